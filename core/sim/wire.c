/* wire.c - what flies between the two ends of a stream.
 *
 * A wire is a queue of pieces towards the other end: SYN, OPENED (its answer), bytes, FIN, RST. They arrive in order,
 * each at its time. One tick, of the first piece. As in TCP: bytes to an end that nobody owns are answered by RST;
 * what can't pass (a cut, a silent host) waits and breaks the stream after config.stream_timeout; nothing tells an end
 * that its peer is gone but a FIN, an RST or that timeout. Bytes sent and not taken are limited; above, they stay in
 * the sender's queues, where control overtakes bulk, whole frames at a time. */
#include <errno.h>
#include <string.h>

#include "sim/room.h"

enum { PIECE_NEXT = 4096 };         /* who sends a second piece in a turn sends more */

/* -- Pieces ------------------------------------------------------------------------------------------------------ */
struct orri_piece *orri_piece_new(struct orr_sim *sim, size_t size) {
    unsigned k = 0;
    while (k < ORRI_PIECE_CLASSES && sim->pieces[k].size - sizeof(struct orri_piece) < size) k++;
    bool pooled = k < ORRI_PIECE_CLASSES;
    size_t cap = pooled ? sim->pieces[k].size - sizeof(struct orri_piece) : size;
    struct orri_piece *piece = pooled ? orri_pool_get(&sim->pieces[k]) : orri_sim_raw(sim, sizeof *piece + cap);
    *piece = (struct orri_piece){ .kind = ORRI_BYTES, .size_class = k, .cap = cap };
    return piece;
}

void orri_piece_free(struct orr_sim *sim, struct orri_piece *piece) {
    if (piece->size_class < ORRI_PIECE_CLASSES) {
        orri_pool_put(&sim->pieces[piece->size_class], piece);
    } else {
        orri_sim_put(sim, piece, sizeof *piece + piece->cap);
    }
}

void orri_pieces_push(struct orri_pieces *pieces, struct orri_piece *piece) {
    piece->next = NULL;
    if (pieces->last) {
        pieces->last->next = piece;
    } else {
        pieces->first = piece;
    }
    pieces->last = piece;
    pieces->bytes += piece->size - piece->from;
}

struct orri_piece *orri_pieces_pop(struct orri_pieces *pieces) {
    struct orri_piece *piece = pieces->first;
    if (!piece) return NULL;
    pieces->first = piece->next;
    if (!pieces->first) pieces->last = NULL;
    pieces->bytes -= piece->size - piece->from;
    return piece;
}

/* What is in it is lost from the byte `kept` on. */
static void tell_lost(const struct orr_sim *sim, const struct orri_piece *piece, size_t kept) {
    const struct orr_sim_config *c = &sim->config;
    if (piece->first && c->lost) c->lost(c->ud, sim->now, piece->first, piece->last, kept);
}

void orri_pieces_clear(struct orr_sim *sim, struct orri_pieces *pieces) {
    for (struct orri_piece *piece; (piece = orri_pieces_pop(pieces));) {
        tell_lost(sim, piece, piece->from);
        orri_piece_free(sim, piece);
    }
}

/* -- Connections ------------------------------------------------------------------------------------------------- */
static void wire_fire(struct orri_tick *tick);

static void end_init(struct orri_end *end, struct orri_conn *conn, unsigned site) {
    end->conn = conn;
    end->site = site;
    end->ready.kind = ORRI_READY_END;
    end->tick.fire = wire_fire;
}

/* The SYN is on its way. `to` NULL: nobody has ever listened there; refused as if by a far host. */
struct orri_conn *orri_conn_new(struct orr_sim *sim, unsigned from, struct orri_listener *to) {
    struct orri_conn *conn = orri_sim_get(sim, sizeof *conn);
    conn->sim = sim;
    conn->listener = to;
    end_init(&conn->end[0], conn, from);
    end_init(&conn->end[1], conn, to ? to->node->site : ORRI_SITE_CLIENTS);
    conn->next = sim->conns;
    if (sim->conns) sim->conns->prev = conn;
    sim->conns = conn;
    orri_wire_put(&conn->end[0], ORRI_SYN, 0);
    return conn;
}

static void end_clear(struct orri_end *end) {
    struct orr_sim *sim = end->conn->sim;
    orri_sim_unset(sim, &end->tick);
    orri_pieces_clear(sim, &end->queue[0]);
    orri_pieces_clear(sim, &end->queue[1]);
    orri_pieces_clear(sim, &end->wire);
    orri_pieces_clear(sim, &end->inbox);
    if (end->again) orri_piece_free(sim, end->again);
    end->again = NULL;
}

/* The memory rests in a grave for a while, so that a late use by a node is seen by an assertion, not by ASan alone. */
void orri_conn_free(struct orri_conn *conn) {
    struct orr_sim *sim = conn->sim;
    end_clear(&conn->end[0]);
    end_clear(&conn->end[1]);
    if (conn->prev) {
        conn->prev->next = conn->next;
    } else {
        sim->conns = conn->next;
    }
    if (conn->next) conn->next->prev = conn->prev;
    struct orri_conn **grave = &sim->graves[sim->grave++ % ORRI_GRAVES];
    orri_sim_put(sim, *grave, sizeof **grave);
    *grave = conn;
}

static bool owned(const struct orri_end *end) { return end->node || end->client; }

void orri_conn_release(struct orri_conn *conn) {
    if (!owned(&conn->end[0]) && !owned(&conn->end[1])) orri_conn_free(conn);
}

void orri_end_detach(struct orri_end *end) {
    struct orri_node *node = end->node;
    if (end->node_prev) {
        end->node_prev->node_next = end->node_next;
    } else {
        node->ends = end->node_next;
    }
    if (end->node_next) end->node_next->node_prev = end->node_prev;
    for (struct orri_end **at = &node->touched_ends; end->touched; at = &(*at)->touched_next) {
        if (*at != end) continue;
        *at = end->touched_next;
        end->touched = false;
        break;
    }
    if (end->listener) end->listener->connections--;
    end->listener = NULL;
    end->node = NULL;
    orri_pieces_clear(end->conn->sim, &end->inbox);
    orri_pieces_clear(end->conn->sim, &end->queue[0]);
    orri_pieces_clear(end->conn->sim, &end->queue[1]);
}

/* -- Sending ----------------------------------------------------------------------------------------------------- */
/* Whose faults strike this end's sends: its node's, or, of a client, the other's. */
static struct orri_node *sufferer(struct orri_end *end) { return end->node ? end->node : orri_end_other(end)->node; }

static orr_time arrival(struct orri_end *end, size_t size) {
    struct orri_end *other = orri_end_other(end);
    orr_time at = orri_link_arrival(end->conn->sim, end->site, other->site, size);
    at += orri_link_again(end->conn->sim, end->site, other->site);
    struct orri_node *node = sufferer(end);
    if (node && orri_strike(node, ORR_SIM_DELAY)) at += orri_rng_between(&node->ends_rng, ORR_MS, 200 * ORR_MS);
    if (at < end->wire_last) at = end->wire_last;
    return end->wire_last = at;
}

static void fly(struct orri_end *end, struct orri_piece *piece, orr_time at) {
    piece->at = at;
    bool idle = !end->wire.first;
    orri_pieces_push(&end->wire, piece);
    if (idle) orri_sim_set(end->conn->sim, &end->tick, at);
}

void orri_wire_put(struct orri_end *end, enum orri_piece_kind kind, int status) {
    struct orri_piece *piece = orri_piece_new(end->conn->sim, 0);
    piece->kind = kind;
    piece->status = status;
    fly(end, piece, arrival(end, 0));
}

static void tell_sent(struct orri_end *end, struct orri_piece *piece, const struct orr_slice *parts, size_t n_parts) {
    const struct orr_sim *sim = end->conn->sim;
    const struct orr_sim_config *c = &sim->config;
    if (!c->sent) return;
    uint64_t token = c->sent(c->ud, sim->now, orri_site_name(sim, end->site),
                             orri_site_name(sim, orri_end_other(end)->site), piece->first, parts, n_parts);
    if (token == 0) return;
    if (piece->first == 0) piece->first = token;
    piece->last = token;
}

void orri_end_send(struct orri_end *end, unsigned cls, const struct orr_slice *parts, size_t n_parts) {
    size_t size = 0;
    for (size_t i = 0; i < n_parts; i++) size += parts[i].size;
    struct orri_pieces *queue = &end->queue[cls];
    struct orri_piece *piece = queue->last;
    bool fits = piece && piece->cap - piece->size >= size;
    if (!fits) piece = orri_piece_new(end->conn->sim, piece && size < PIECE_NEXT ? PIECE_NEXT : size);
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].size) memcpy(piece->bytes + piece->size, parts[i].at, parts[i].size);
        piece->size += parts[i].size;
    }
    tell_sent(end, piece, parts, n_parts);
    if (fits) {
        queue->bytes += size;
    } else {
        orri_pieces_push(queue, piece);
    }
}

static size_t queued(const struct orri_end *end) { return end->queue[0].bytes + end->queue[1].bytes; }

static bool window_open(struct orri_end *end) {
    return end->wire.bytes + orri_end_other(end)->inbox.bytes < end->conn->sim->config.wire_bytes_max;
}

/* -- Bytes that lie ---------------------------------------------------------------------------------------------- */
static struct orri_piece *copy_of(struct orr_sim *sim, const struct orri_piece *piece) {
    struct orri_piece *copy = orri_piece_new(sim, piece->size);
    memcpy(copy->bytes, piece->bytes, piece->size);
    copy->size = piece->size;
    return copy;
}

static bool lies(struct orri_end *end, struct orri_link *link, double rate, enum orr_sim_fault kind) {
    bool of_node = end->node && orri_end_other(end)->site != ORRI_SITE_CLIENTS && orri_strike(end->node, kind);
    return of_node || orri_link_strikes(end->conn->sim, link, rate, kind);
}

/* A piece is whole frames: what is replayed is whole, too, and comes when some others have followed. */
static void falsify(struct orri_end *end, struct orri_piece *piece) {
    struct orr_sim *sim = end->conn->sim;
    struct orri_link *link = orri_link_of(sim, end->site, orri_end_other(end)->site);
    if (lies(end, link, link->p.replay, ORR_SIM_REPLAY) && !end->again) {
        end->again = copy_of(sim, piece);
        end->again_in = 1 + (unsigned)orri_rng_below(&link->rng, 4);
    }
    if (lies(end, link, link->p.mutate, ORR_SIM_MUTATE)) orri_mutate(&link->rng, piece->bytes, piece->size);
}

static void fly_again(struct orri_end *end, orr_time at) {
    if (!end->again || --end->again_in > 0) return;
    fly(end, end->again, at);
    end->again = NULL;
}

/* Puts on the wire what it has room for, control first; then the FIN, where the owner wants one. */
void orri_wire_pump(struct orri_end *end) {
    if (end->over || end->finished || !end->opened) return;
    orr_time at = 0;
    bool slow = orri_link_bandwidth(orri_link_of(end->conn->sim, end->site, orri_end_other(end)->site)) > 0;
    while (queued(end) > 0 && window_open(end)) {
        struct orri_piece *piece = orri_pieces_pop(&end->queue[end->queue[0].first ? 0 : 1]);
        falsify(end, piece);
        if (at == 0 || slow) at = arrival(end, piece->size);
        fly(end, piece, at);
        fly_again(end, at);
    }
    if ((end->closing || end->ending) && queued(end) == 0) {
        end->finished = true;
        orri_wire_put(end, ORRI_FIN, 0);
        orri_end_news(end);
    }
    if (end->refused && queued(end) < end->conn->sim->config.stream_bytes_max / 2) {
        end->refused = false;
        end->room = true;
        orri_end_news(end);
    }
}

/* A random prefix of what flies still arrives, cut at any byte. */
void orri_wire_break(struct orri_end *end, int status) {
    struct orr_sim *sim = end->conn->sim;
    struct orri_node *node = sufferer(end);
    size_t keep = node ? (size_t)orri_rng_below(&node->ends_rng, end->wire.bytes + 1) : 0;
    struct orri_pieces old = end->wire;
    end->wire = (struct orri_pieces){ 0 };
    orri_sim_unset(sim, &end->tick);
    for (struct orri_piece *piece; (piece = orri_pieces_pop(&old));) {
        size_t size = piece->size;
        if (piece->kind == ORRI_BYTES && size > keep) {
            piece->size = keep;
            tell_lost(sim, piece, keep);
        }
        if (piece->kind == ORRI_FIN || (piece->kind == ORRI_BYTES && piece->size == 0)) {
            orri_piece_free(sim, piece);
            continue;
        }
        keep -= piece->size;
        fly(end, piece, piece->at);
    }
    if (status != 0) orri_wire_put(end, ORRI_RST, status);
}

/* -- Arriving ---------------------------------------------------------------------------------------------------- */
static void end_over(struct orri_end *end, int status) {
    struct orr_sim *sim = end->conn->sim;
    if (end->over) return;
    end->over = true;
    end->status = status;
    orri_pieces_clear(sim, &end->queue[0]);
    orri_pieces_clear(sim, &end->queue[1]);
    if (status != 0) orri_pieces_clear(sim, &end->inbox);
    orri_end_news(end);
}

static bool accepts(const struct orri_listener *l) {
    return l && l->open && l->node->state != ORR_SIM_DOWN && l->connections < l->connections_max;
}

static void accept_syn(struct orri_end *end) {
    struct orri_listener *l = end->conn->listener;
    if (!accepts(l)) {
        orri_wire_put(end, ORRI_RST, -ECONNREFUSED);
        return;
    }
    struct orri_node *node = l->node;
    l->connections++;
    end->listener = l;
    end->site = node->site;
    end->node = node;
    end->face.local = strncmp(l->address, "127.", 4) == 0;     /* nobody else reaches that */
    end->face.serial = ++node->serials;
    end->node_next = node->ends;
    if (node->ends) node->ends->node_prev = end;
    node->ends = end;
    end->opened = true;
    orri_wire_put(end, ORRI_OPENED, 0);
    orri_end_news(end);
}

static void bytes_arrive(struct orri_end *end, struct orri_piece *piece) {
    const struct orr_sim_config *c = &end->conn->sim->config;
    bool wanted = owned(end) && !end->over && !end->closing;
    if (!wanted) tell_lost(end->conn->sim, piece, 0);
    else if (piece->first && c->arrived) c->arrived(c->ud, end->conn->sim->now, piece->first, piece->last);
    if (!owned(end)) {
        orri_piece_free(end->conn->sim, piece);
        if (!end->reset) orri_wire_put(end, ORRI_RST, -ECONNRESET);
        end->reset = end->finished = true;
    } else if (!wanted) {
        orri_piece_free(end->conn->sim, piece);
    } else {
        orri_pieces_push(&end->inbox, piece);
        orri_end_news(end);
    }
}

/* To a node that goes on sending after it (orr_stream.half) a FIN ends one direction only. Until it has been told of
 * the stream it can't have said which. */
static void fin_arrives(struct orri_end *end) {
    if (!end->node || (end->told && !end->face.half)) {
        end_over(end, 0);
        return;
    }
    end->fin = true;
    orri_end_news(end);
}

static void piece_arrives(struct orri_end *end, struct orri_piece *piece) {
    struct orr_sim *sim = end->conn->sim;
    enum orri_piece_kind kind = piece->kind;
    int status = piece->status;
    if (kind == ORRI_BYTES) {
        bytes_arrive(end, piece);
        return;
    }
    orri_piece_free(sim, piece);
    switch (kind) {
    case ORRI_SYN: accept_syn(end); break;
    case ORRI_OPENED:
        end->opened = true;
        orri_end_news(end);
        orri_wire_pump(end);
        break;
    case ORRI_FIN: fin_arrives(end); break;
    case ORRI_RST: end_over(end, status); break;
    case ORRI_BYTES: break;
    }
}

/* The way is barred: after the timeout the sender gives up. What the other end knows of it is nothing; but one that
 * waits for the answer to its SYN has heard nothing for as long, and gives up, too. */
static void wait_or_break(struct orri_end *end, orr_time again) {
    struct orr_sim *sim = end->conn->sim;
    struct orri_end *other = orri_end_other(end);
    orr_time deadline = end->wire.first->at + sim->config.stream_timeout;
    if (sim->now < deadline) {
        orri_sim_set(sim, &end->tick, again < deadline ? again : deadline);
        return;
    }
    orri_pieces_clear(sim, &end->wire);
    if (owned(end)) end_over(end, -ETIMEDOUT);
    if (owned(other) && !other->opened) end_over(other, -ETIMEDOUT);
}

static void wire_fire(struct orri_tick *tick) {
    struct orri_end *end = ORRI_CONTAINER(tick, struct orri_end, tick);
    struct orri_end *other = orri_end_other(end);
    struct orr_sim *sim = end->conn->sim;
    orr_time again;
    if (!orri_link_passes(sim, end->site, other->site, &again)) {
        wait_or_break(end, again);
        return;
    }
    /* Nothing in here frees the connection: owners leave when they take CLOSED, or in a client's callback, and then it
     * lies in its grave with empty wires. */
    while (end->wire.first && end->wire.first->at <= sim->now) piece_arrives(other, orri_pieces_pop(&end->wire));
    if (end->wire.first) orri_sim_set(sim, &end->tick, end->wire.first->at);
    if (queued(end) > 0) orri_wire_pump(end);
}

void orri_wire_rearm(struct orr_sim *sim, unsigned from, unsigned to) {
    for (struct orri_conn *conn = sim->conns; conn; conn = conn->next) {
        for (unsigned i = 0; i < 2; i++) {
            struct orri_end *end = &conn->end[i];
            if (!end->wire.first || conn->end[!i].site != to || (from != UINT32_MAX && end->site != from)) continue;
            orr_time again = sim->now + orri_rng_between(&orri_link_of(sim, end->site, to)->rng, ORR_MS, 200 * ORR_MS);
            orri_sim_set(sim, &end->tick, again > end->wire.first->at ? again : end->wire.first->at);
        }
    }
}

/* -- Telling the owner ------------------------------------------------------------------------------------------- */
void orri_end_news(struct orri_end *end) {
    if (end->node) {
        orri_node_ready(end->node, &end->ready);
    } else if (end->client) {
        orri_client_news(end);
    }
}
