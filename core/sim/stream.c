/* stream.c - streams as a node sees them: the world's calls on them, and what take() tells.
 *
 * An end lies at most once in its node's ready queue; what it has to tell is found when it is taken: first that it is
 * open, then ROOM, then DATA as long as bytes have arrived (so bytes of many pieces come as one DATA, cut at any
 * byte), then ENDED, where the node asked for it, or CLOSED. */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "sim/room.h"

/* -- What take() tells ------------------------------------------------------------------------------------------- */
enum { NOTHING = UINT16_MAX };

static unsigned news_of(const struct orri_end *end) {
    if (end->closing) return end->finished || end->over ? (unsigned)ORR_OP_CLOSED : NOTHING;
    if (end->opened && !end->told) return end->listener ? ORR_OP_ACCEPTED : ORR_OP_CONNECTED;
    if (end->over && end->status != 0) return ORR_OP_CLOSED;
    if (end->room && !end->over) return ORR_OP_ROOM;
    if (end->paused && (end->inbox.bytes > 0 || end->fin)) return NOTHING;
    if (end->inbox.bytes > 0) return ORR_OP_DATA;
    if (end->fin && !end->ended) return end->face.half ? ORR_OP_ENDED : ORR_OP_CLOSED;
    return end->over ? (unsigned)ORR_OP_CLOSED : NOTHING;
}

/* Bytes out of the inbox into a chunk of the node's. */
static struct orr_slice collect(struct orri_end *end) {
    struct orri_node *node = end->node;
    struct orr_sim *sim = node->sim;
    size_t size = end->inbox.bytes < sim->config.data_bytes_max ? end->inbox.bytes : sim->config.data_bytes_max;
    if (orri_strike(node, ORR_SIM_SHORT_READ)) size = 1 + (size_t)orri_rng_below(&node->ends_rng, size);
    node->memory.never_fails = true;
    struct orr_chunk *chunk = node->world.chunks->get(node->world.chunks, size);
    node->memory.never_fails = false;
    ORR_ASSERT(chunk != NULL);
    for (size_t done = 0; done < size;) {
        struct orri_piece *piece = end->inbox.first;
        size_t some = piece->size - piece->from;
        if (some > size - done) some = size - done;
        memcpy(chunk->at + done, piece->bytes + piece->from, some);
        done += some;
        piece->from += some;
        end->inbox.bytes -= some;
        if (piece->from == piece->size) orri_piece_free(sim, orri_pieces_pop(&end->inbox));
    }
    orri_sim_carried(sim, chunk->at, size);
    return (struct orr_slice){ chunk, chunk->at, size };
}

static void tell_data(struct orri_end *end, struct orr_stream_event *event) {
    event->data = collect(end);
    event->req.result = event->data.size;
    struct orri_end *sender = orri_end_other(end);
    if (sender->queue[0].first || sender->queue[1].first) orri_wire_pump(sender);
}

static void tell_closed(struct orri_end *end, struct orr_stream_event *event) {
    event->req.status = end->over ? end->status : 0;
    struct orri_conn *conn = end->conn;
    orri_end_detach(end);
    orri_conn_release(conn);
}

struct orr_req *orri_end_take(struct orri_end *end) {
    static const char *const words[] = {
        [ORR_OP_ACCEPTED] = "ACCEPTED", [ORR_OP_CONNECTED] = "CONNECTED", [ORR_OP_DATA] = "DATA",
        [ORR_OP_ROOM] = "ROOM", [ORR_OP_CLOSED] = "CLOSED", [ORR_OP_ENDED] = "ENDED",
    };
    struct orri_node *node = end->node;
    unsigned op = node ? news_of(end) : NOTHING;
    if (op == NOTHING) return NULL;
    struct orr_stream_event *event = &node->event;
    node->lent = true;
    *event = (struct orr_stream_event){ .req = { .op = (uint16_t)op, .begun = node->now, .ended = node->now },
                                        .stream = &end->face };
    switch (op) {
    case ORR_OP_ACCEPTED:
        event->listener = end->listener->number;
        end->told = true;
        break;
    case ORR_OP_CONNECTED: end->told = true; break;
    case ORR_OP_ROOM: end->room = false; break;
    case ORR_OP_DATA: tell_data(end, event); break;
    case ORR_OP_ENDED: end->ended = true; break;
    case ORR_OP_CLOSED: tell_closed(end, event); break;
    default: break;
    }
    if (end->node && news_of(end) != NOTHING) orri_node_ready(node, &end->ready);
    orri_sim_deliver(node->sim, node->index, op, event->req.status, event->data.at, event->data.size);
    ORRI_SAY(node->sim, node->name, "%s #%llu %zu %d", words[op],
             (unsigned long long)end->face.serial, event->data.size, event->req.status);
    return &event->req;
}

/* -- The world's calls ------------------------------------------------------------------------------------------- */
int orri_world_peer(struct orr_world *w, orr_id id, const char *address) {
    struct orri_node *node = orri_node_of(w);
    if (id == ORR_NOBODY) return ORR_EINVALID;
    void *old = NULL;
    if (address) {
        if (orri_map_set(&node->peers, &id, sizeof id, orri_sim_text(node->sim, address), &old) != 0) return -ENOMEM;
    } else {
        old = orri_map_remove(&node->peers, &id, sizeof id);
    }
    orri_sim_put_text(node->sim, old);
    return 0;
}

struct orri_listener *orri_listener_find(const struct orr_sim *sim, const char *address) {
    struct orri_listener *l = sim->listeners;
    while (l && strcmp(l->address, address) != 0) l = l->next;
    return l;
}

int orri_world_listen(struct orr_world *w, const char *address, uint32_t listener, unsigned connections_max) {
    struct orri_node *node = orri_node_of(w);
    if (!strchr(address, ':')) return ORR_EINVALID;
    struct orri_listener *l = orri_listener_find(node->sim, address);
    if (l && l->open) return -EADDRINUSE;
    if (!l) {
        l = orri_sim_get(node->sim, sizeof *l);
        l->address = orri_sim_text(node->sim, address);
        l->next = node->sim->listeners;
        node->sim->listeners = l;
    }
    l->node = node;
    l->number = listener;
    l->connections_max = connections_max;
    l->connections = 0;
    l->open = true;
    return 0;
}

int orri_world_connect(struct orr_world *w, orr_id peer, struct orr_stream **out) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(node->in_turn);
    const char *address = orri_map_get(&node->peers, &peer, sizeof peer);
    if (!address) return -ENOENT;
    struct orri_conn *conn = orri_conn_new(node->sim, node->site, orri_listener_find(node->sim, address));
    struct orri_end *end = &conn->end[0];
    end->node = node;
    end->face.serial = ++node->serials;
    end->node_next = node->ends;
    if (node->ends) node->ends->node_prev = end;
    node->ends = end;
    *out = &end->face;
    return 0;
}

/* Not after CLOSED was taken. */
static struct orri_end *end_of(struct orr_world *w, const struct orr_stream *s) {
    struct orri_end *end = (struct orri_end *)(uintptr_t)s;
    ORR_ASSERT(end->node == orri_node_of(w));
    return end;
}

static void touch(struct orri_end *end) {
    if (end->touched) return;
    end->touched = true;
    end->touched_next = end->node->touched_ends;
    end->node->touched_ends = end;
}

int orri_world_send(struct orr_world *w, struct orr_stream *s, unsigned cls, const struct orr_slice *parts,
                    size_t n_parts) {
    struct orri_end *end = end_of(w, s);
    ORR_ASSERT(end->node->in_turn && cls <= 1);
    ORR_ASSERT(!end->closing);
    if (end->over || (end->fin && !end->face.half)) return 0;        /* it went to nobody; CLOSED is on its way */
    if (orri_world_queued(w, s) > end->conn->sim->config.stream_bytes_max) {
        end->refused = true;
        return ORR_EOVERLOADED;
    }
    orri_end_send(end, cls, parts, n_parts);
    touch(end);
    return 0;
}

size_t orri_world_queued(struct orr_world *w, const struct orr_stream *s) {
    const struct orri_end *end = end_of(w, s);
    return end->queue[0].bytes + end->queue[1].bytes;
}

void orri_world_read_pause(struct orr_world *w, struct orr_stream *s, bool on) {
    struct orri_end *end = end_of(w, s);
    end->paused = on;
    if (!on && news_of(end) != NOTHING) orri_node_ready(end->node, &end->ready);
}

void orri_world_close(struct orr_world *w, struct orr_stream *s, bool flush) {
    struct orri_end *end = end_of(w, s);
    ORR_ASSERT(end->node->in_turn);
    if (end->closing) return;
    end->closing = true;
    orri_pieces_clear(end->conn->sim, &end->inbox);
    if (!flush || !end->opened) {
        orri_pieces_clear(end->conn->sim, &end->queue[0]);
        orri_pieces_clear(end->conn->sim, &end->queue[1]);
    }
    touch(end);
}

/* A stream that is closed before it was open: the SYN is forgotten. */
static void close_unopened(struct orri_end *end) {
    end->finished = true;
    orri_pieces_clear(end->conn->sim, &end->wire);
    orri_wire_put(end, ORRI_RST, -ECONNRESET);
    orri_end_news(end);
}

bool orri_ends_begin(struct orri_node *node) {
    while (node->touched_ends) {
        struct orri_end *end = node->touched_ends;
        if (!end->closing && orri_strike(node, ORR_SIM_CRASH_SEND)) return false;
        node->touched_ends = end->touched_next;
        end->touched = false;
        if (end->closing && end->over) {
            orri_end_news(end);
        } else if (end->closing && !end->opened) {
            close_unopened(end);
        } else {
            orri_wire_pump(end);
        }
    }
    return true;
}

/* -- The end ----------------------------------------------------------------------------------------------------- */
/* The kernel of a dead process says goodbye: FIN, or RST where bytes were not read. A silent host says nothing, and
 * what flew from it may be lost. */
static void abandon(struct orri_node *node, struct orri_end *end, enum orri_end_how how, bool silent) {
    struct orri_conn *conn = end->conn;
    bool unread = end->inbox.bytes > 0 || (how != ORRI_STOPPED && orri_rng_chance(&node->ends_rng, 0.5));
    bool said = end->over || end->finished;
    if (silent) {
        orri_wire_break(end, 0);
    } else if (!said) {
        orri_wire_put(end, unread ? ORRI_RST : ORRI_FIN, unread ? -ECONNRESET : 0);
    }
    end->finished = !silent;
    orri_end_detach(end);
    orri_conn_release(conn);
}

void orri_ends_end(struct orri_node *node, enum orri_end_how how, bool silent) {
    for (struct orri_end *end; (end = node->touched_ends) != NULL; node->touched_ends = end->touched_next)
        end->touched = false;
    while (node->ends) abandon(node, node->ends, how, silent);
}
