/* service.c - listeners and the connections of their clients.
 *
 * A connection at rest has no buffers: input that was consumed is gone, output goes to the world at the end of the
 * turn. What is incomplete lies in one block, which grows by doubling what came, for what a client announces costs it
 * nothing. A client that does not read: the world takes nothing more, then nothing more is read from it, until there is
 * room. What all of them hold is summed up; above the limit who holds most is closed. The service is told `close` once,
 * before its connection is gone.                                                                                     */
#include <string.h>

#include "node/inner.h"

enum {
    OUT_FIRST = 4 << 10, OUT_NEXT = 16 << 10,       /* blocks of output in one turn */
    OUT_TURN = 1 << 20,                             /* what a turn should write to a client */
    COPY_MAX = 1 << 10,                             /* larger slices are held, not copied */
    SPARE_PARTS_MAX = 1 << 10,
    IN_MIN = 512,
    IN_SLACK = 1 << 20                              /* what a command may take beyond the largest op */
};
#define FLUSH_MAX (5 * ORR_SECOND)  /* a closing connection has so long to take what was written */

static void on_event(struct orri_endpoint *end, const struct orr_stream_event *ev);

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static void set_limits(struct orri_listener *l, size_t client, size_t clients) {
    size_t least = l->node->cfg.op_bytes_max + IN_SLACK;            /* one command always fits */
    l->clients_bytes_max = clients > least ? clients : least;
    l->client_bytes_max = client > least ? client : least;
    if (l->client_bytes_max > l->clients_bytes_max) l->client_bytes_max = l->clients_bytes_max;
}

int orr_node_limit(struct orr_node *n, const char *listener, size_t client, size_t clients) {
    struct orri_listener *l = n->listeners;
    while (l && (!listener || strcmp(l->name, listener) != 0)) l = l->next;
    if (!orri_node_open(n) || !l || (client && clients && client > clients)) return ORR_EINVALID;
    set_limits(l, client ? client : n->cfg.client_bytes_max, clients ? clients : n->cfg.clients_bytes_max);
    return 0;
}

int orr_node_listen(struct orr_node *n, const char *name, const char *address, const struct orr_service *service,
                    void *ud) {
    if (!orri_node_open(n) || !name || !address || !service) return ORR_EINVALID;
    struct orri_listener *l = orri_node_resize(n, NULL, 0, sizeof *l);
    if (!l) return -ENOMEM;
    *l = (struct orri_listener){ .node = n, .service = service, .ud = ud, .number = n->n_listeners + 1 };
    set_limits(l, n->cfg.client_bytes_max, n->cfg.clients_bytes_max);
    l->name = orri_node_copy(n, name);
    l->address = orri_node_copy(n, address);
    l->next = n->listeners;
    n->listeners = l;
    n->n_listeners++;
    return l->name && l->address ? 0 : -ENOMEM;
}

int orri_services_listen(struct orr_node *n) {
    for (struct orri_listener *l = n->listeners; l; l = l->next) {
        int rc = n->w->ops->listen(n->w, l->address, l->number, n->cfg.connections_max);
        if (rc == 0) continue;
        orri_node_fail(n, 2, "can't listen at %s (%s): %s", l->address, l->name, orr_strerror(rc));
        return rc;
    }
    return 0;
}

static void mark(struct orr_conn *c) {
    struct orr_node *n = c->listener->node;
    if (c->dirty) return;
    c->dirty = true;
    c->next_dirty = NULL;
    c->before_dirty = n->dirty_last;
    if (n->dirty_last) n->dirty_last->next_dirty = c;
    else n->dirty = c;
    n->dirty_last = c;
}

static void unmark(struct orr_conn *c) {
    struct orr_node *n = c->listener->node;
    if (!c->dirty) return;
    if (c->before_dirty) c->before_dirty->next_dirty = c->next_dirty;
    else n->dirty = c->next_dirty;
    if (c->next_dirty) c->next_dirty->before_dirty = c->before_dirty;
    else n->dirty_last = c->before_dirty;
    c->dirty = false;
}

/* The node keeps one empty array: most turns flush one connection after another, and none keeps its parts. */
static void give_spare(struct orr_conn *c) {
    struct orr_node *n = c->listener->node;
    if (c->cap_parts > n->cap_spare_parts && c->cap_parts <= SPARE_PARTS_MAX) {
        struct orr_slice *smaller = n->spare_parts;
        uint32_t cap = n->cap_spare_parts;
        n->spare_parts = c->parts, n->cap_spare_parts = c->cap_parts;
        c->parts = smaller, c->cap_parts = cap;
    }
    orri_node_resize(n, c->parts, c->cap_parts * sizeof *c->parts, 0);
    c->parts = NULL;
    c->cap_parts = 0;
}

static void take_spare(struct orr_conn *c) {
    struct orr_node *n = c->listener->node;
    c->parts = n->spare_parts, c->cap_parts = n->cap_spare_parts;
    n->spare_parts = NULL, n->cap_spare_parts = 0;
}

static void drop_parts(struct orr_conn *c) {
    for (uint32_t i = 0; i < c->n_parts; i++) orr_drop(c->parts[i]);
    c->n_parts = 0;
    c->parts_bytes = 0;
    give_spare(c);
}

/* -- What clients hold --------------------------------------------------------------------------------------------- */
static size_t written(const struct orr_conn *c) { return c->parts_bytes + (c->out ? c->out_to - c->out_from : 0); }

static void charge(struct orr_conn *c) {
    struct orri_listener *l = c->listener;
    struct orr_world *w = l->node->w;
    size_t now = c->closed ? 0 : (c->in ? c->in->cap : 0) + c->kept + written(c) + w->ops->queued(w, c->stream);
    l->clients_bytes = l->clients_bytes - c->charged + now;
    c->charged = now;
}

static void drop_buffers(struct orr_conn *c) {
    orr_chunk_drop(c->in);
    orr_chunk_drop(c->out);
    c->in = c->out = NULL;
    drop_parts(c);
}

/* Tells the service, and gives the stream back to the world; CLOSED frees what is left. */
static void finish(struct orr_conn *c, bool flush) {
    struct orr_node *n = c->listener->node;
    if (c->closed) return;
    c->closing = c->closed = true;
    if (c->state) c->listener->service->close(c->state);
    c->state = NULL;
    drop_buffers(c);
    charge(c);
    orri_heap_unset(&n->heap, &c->alarm.timer);
    n->w->ops->close(n->w, c->stream, flush);
}

/* Behind a queue that the client doesn't read it would be one thing more that is held. What this turn wrote is not
 * sent: it is what is too much. */
static bool say_why(struct orr_conn *c) {
    struct orr_world *w = c->listener->node->w;
    const struct orr_service *service = c->listener->service;
    if (!service->shed || !c->state || w->ops->queued(w, c->stream) > 0) return false;
    const char *text = service->shed(c->state, c->shed, written(c) > 0);
    struct orr_slice whole = orr_borrow(text, strlen(text));
    return w->ops->send(w, c->stream, 0, &whole, 1) == 0;
}

static void shed_now(struct orr_conn *c) {
    c->listener->node->clients_shed++;
    finish(c, say_why(c));
}

/* Who holds most, each looked at anew: some have read since. */
static struct orr_conn *heaviest(const struct orri_listener *l, const struct orr_conn *asks, size_t more) {
    struct orr_conn *most = NULL;
    size_t most_held = 0;
    for (struct orr_conn *c = l->conns; c; c = c->next) {
        charge(c);
        size_t held = c->charged + (c == asks ? more : 0);
        if (held > most_held) most = c, most_held = held;
    }
    return most;
}

/* Makes room for `more` bytes that `asks` wants, at the cost of those that hold most: that may be itself. */
static void shed(struct orri_listener *l, const struct orr_conn *asks, size_t more) {
    struct orr_node *n = l->node;
    while (l->clients_bytes + more > l->clients_bytes_max) {
        struct orr_conn *c = heaviest(l, asks, more);
        if (!c || l->clients_bytes + more <= l->clients_bytes_max) return;
        n->again = true;                            /* others may have been told of it, and have something to say */
        orri_node_log_rarely(n, &n->note_client, ORR_LOG_WARN,
                             "%s: closed a client, who held most: all clients hold %zu bytes, with %zu more to come",
                             l->name, l->clients_bytes, more);
        c->shed = ORR_SHED_TOGETHER;
        shed_now(c);
        if (c == asks) return;
    }
}

static void conn_free(struct orr_conn *c) {
    struct orri_listener *l = c->listener;
    if (!c->closed && c->state) l->service->close(c->state);
    drop_buffers(c);
    c->closed = true;
    charge(c);
    unmark(c);
    orri_heap_unset(&l->node->heap, &c->alarm.timer);
    if (c->before) c->before->next = c->next;
    else l->conns = c->next;
    if (c->next) c->next->before = c->before;
    l->node->n_conns--;
    orri_node_resize(l->node, c, sizeof *c, 0);
}

static void on_alarm(struct orri_alarm *alarm) {
    struct orr_conn *c = ORRI_OWNER(alarm, struct orr_conn, alarm);
    if (c->closing) finish(c, false);
    else if (c->listener->service->tick) c->listener->service->tick(c->state, c->listener->node->now);
}

static struct orri_listener *listener_of(struct orr_node *n, uint32_t number) {
    struct orri_listener *l = n->listeners;
    while (l && l->number != number) l = l->next;
    return l;
}

void orri_services_accepted(struct orr_node *n, struct orr_stream *s, uint32_t number) {
    struct orri_listener *l = listener_of(n, number);
    struct orr_conn *c = l && n->phase == ORRI_NODE_RUNNING ? orri_node_resize(n, NULL, 0, sizeof *c) : NULL;
    s->owner = NULL;
    if (!c) {
        n->w->ops->close(n->w, s, false);
        return;
    }
    *c = (struct orr_conn){ .end.event = on_event, .alarm.fire = on_alarm, .listener = l, .stream = s };
    c->next = l->conns;
    if (l->conns) l->conns->before = c;
    l->conns = c;
    n->n_conns++;
    s->owner = &c->end;
    s->half = l->service->ended != NULL;
    if (l->service->open(l->ud, c, &c->state) < 0) {
        c->state = NULL;
        finish(c, false);
    }
}

void orri_services_stop(struct orr_node *n) {
    for (struct orri_listener *l = n->listeners; l; l = l->next) {
        for (struct orr_conn *c = l->conns; c; c = c->next) orr_conn_close(c, true);
    }
}

bool orri_services_flushed(const struct orr_node *n) {
    for (const struct orri_listener *l = n->listeners; l; l = l->next) {
        for (const struct orr_conn *c = l->conns; c; c = c->next) {
            if (!c->closed || n->w->ops->queued(n->w, c->stream) > 0) return false;
        }
    }
    return true;
}

void orri_services_free(struct orr_node *n) {
    for (struct orri_listener *l = n->listeners, *next; l; l = next) {
        next = l->next;
        while (l->conns) conn_free(l->conns);
        orri_node_drop_text(n, l->name);
        orri_node_drop_text(n, l->address);
        orri_node_resize(n, l, sizeof *l, 0);
    }
    n->listeners = NULL;
    orri_node_resize(n, n->spare_parts, n->cap_spare_parts * sizeof *n->spare_parts, 0);
    n->spare_parts = NULL;
}

/* -- In ------------------------------------------------------------------------------------------------------------ */
static bool reads(const struct orr_conn *c) { return !c->closing && !c->paused && !c->blocked; }

/* Offers bytes to the service; what it did not consume stays in *rest. */
static void offer(struct orr_conn *c, struct orr_slice *rest) {
    if (!reads(c) || rest->size == 0 || rest->size < c->want) return;
    size_t want = 0;
    int64_t used = c->listener->service->data(c->state, *rest, &want);
    c->soon = true;
    mark(c);
    if (used < 0 || (size_t)used > rest->size) {
        orr_conn_close(c, true);
        return;
    }
    *rest = orr_part_of(*rest, (size_t)used, rest->size - (size_t)used);
    c->want = want;
}

static void too_much(struct orr_conn *c, const char *what) {
    struct orr_node *n = c->listener->node;
    orri_node_log_rarely(n, &n->note_client, ORR_LOG_WARN, "%s: closed a client: %s", c->listener->name, what);
    orr_conn_close(c, false);
}

/* More than one client may hold: said and done at the turn's end, for its service may be in the middle of an answer. */
static void too_much_held(struct orr_conn *c, const char *what) {
    if (!c->closing) c->shed = ORR_SHED_ALONE;
    too_much(c, what);
}

/* Keeps `rest` and `more` behind it as one block. */
static void keep(struct orr_conn *c, struct orr_slice rest, struct orr_slice more) {
    struct orr_node *n = c->listener->node;
    size_t size = rest.size + more.size, max = n->cfg.op_bytes_max + IN_SLACK;
    if (c->closing || size == 0) return;
    if (size > max || c->want > max) {
        too_much(c, "a command above the limit");
        return;
    }
    size_t cap = more.size || c->want > size ? 2 * size : size;
    if (c->want >= size && cap > c->want) cap = c->want;
    if (orri_conn_rare(c, "service.tight_input")) cap = size;
    if (cap > c->listener->client_bytes_max) cap = c->listener->client_bytes_max;
    shed(c->listener, c, cap);
    if (c->closing) return;
    struct orr_chunk *chunk = n->w->chunks->get(n->w->chunks, cap < IN_MIN ? IN_MIN : cap);
    if (!chunk) {
        too_much(c, "memory is out");
        return;
    }
    memcpy(chunk->at, rest.at, rest.size);
    if (more.size) memcpy(chunk->at + rest.size, more.at, more.size);
    c->in = chunk;
    c->in_size = size;
    charge(c);
}

/* Offers what is kept, if it is enough. */
static void offer_kept(struct orr_conn *c) {
    if (!c->in || !reads(c) || c->in_size < c->want) return;
    struct orr_chunk *chunk = c->in;
    struct orr_slice rest = { chunk, chunk->at, c->in_size };
    c->in = NULL;
    offer(c, &rest);
    if (rest.size == c->in_size && !c->closing) c->in = chunk;      /* nothing was consumed: it stays as it is */
    else keep(c, rest, (struct orr_slice){ 0 });
    if (c->in != chunk) orr_chunk_drop(chunk);
    if (!c->in) charge(c);
}

static void on_data(struct orr_conn *c, struct orr_slice data) {
    if (c->closing) return;
    if (!c->in) {
        bool halved = data.size > 1 && orri_conn_rare(c, "service.halves_input");
        size_t first = halved ? data.size / 2 : data.size;
        struct orr_slice now = orr_part_of(data, 0, first), later = orr_part_of(data, first, data.size - first);
        offer(c, &now);
        keep(c, now, later);
        if (halved) offer_kept(c);
        return;
    }
    if (c->in_size + data.size <= c->in->cap) {     /* behind what somebody may hold a slice of, never over it */
        memcpy(c->in->at + c->in_size, data.at, data.size);
        c->in_size += data.size;
    } else {
        struct orr_chunk *old = c->in;
        c->in = NULL;
        keep(c, (struct orr_slice){ old, old->at, c->in_size }, data);
        orr_chunk_drop(old);
    }
    offer_kept(c);
}

/* After all that the client had said. */
static void end_if_read(struct orr_conn *c) {
    if (!c->at_end || !reads(c)) return;
    c->at_end = false;
    c->listener->service->ended(c->state);
    c->soon = true;
    mark(c);
}

static void update_reading(struct orr_conn *c) {
    struct orr_node *n = c->listener->node;
    if (c->closed) return;
    n->w->ops->read_pause(n->w, c->stream, !reads(c));
    if (reads(c) && (c->in || c->at_end)) mark(c);                 /* the next turn of services offers it */
}

static void on_event(struct orri_endpoint *end, const struct orr_stream_event *ev) {
    struct orr_conn *c = ORRI_OWNER(end, struct orr_conn, end);
    switch (ev->req.op) {
    case ORR_OP_DATA: on_data(c, ev->data); break;
    case ORR_OP_ENDED:
        c->at_end = true;
        offer_kept(c);
        end_if_read(c);
        break;
    case ORR_OP_ROOM:
        c->blocked = false;
        mark(c);
        update_reading(c);
        break;
    case ORR_OP_CLOSED: conn_free(c); break;
    default: break;
    }
}

/* -- Out ----------------------------------------------------------------------------------------------------------- */
bool orri_conn_rare(const struct orr_conn *c, const char *name) { return ORR_RARE(c->listener->node->w, name); }

bool orr_conn_crowded(const struct orr_conn *c) {
    return c->blocked || written(c) >= OUT_TURN || orri_conn_rare(c, "service.crowded");
}

static bool may_hold(struct orr_conn *c, size_t more) {
    if (written(c) + c->kept + more <= c->listener->client_bytes_max) return true;
    too_much_held(c, "its answers are above what a client may hold");
    return false;
}

static int add_part(struct orr_conn *c, struct orr_slice held) {
    if (!c->parts) take_spare(c);
    if (c->n_parts == c->cap_parts) {
        uint32_t cap = c->cap_parts ? 2 * c->cap_parts : 4;
        void *p =
            orri_node_resize(c->listener->node, c->parts, c->cap_parts * sizeof *c->parts, cap * sizeof *c->parts);
        if (!p) {
            orr_drop(held);
            orr_conn_close(c, false);
            return -ENOMEM;
        }
        c->parts = p;
        c->cap_parts = cap;
    }
    c->parts[c->n_parts++] = held;
    c->parts_bytes += held.size;
    return 0;
}

/* What the present block holds becomes a part. */
static int seal(struct orr_conn *c) {
    struct orr_chunk *chunk = c->out;
    if (!chunk) return 0;
    c->out = NULL;
    struct orr_slice s = { chunk, chunk->at + c->out_from, c->out_to - c->out_from };
    if (s.size) return add_part(c, s);
    orr_drop(s);
    return 0;
}

unsigned char *orr_conn_room(struct orr_conn *c, size_t size) {
    struct orr_chunks *chunks = c->listener->node->w->chunks;
    if (c->closing) return NULL;
    if (c->out && orri_conn_rare(c, "service.seals_early") && seal(c) < 0) return NULL;
    if (c->out && c->out_to + size <= c->out->cap) return c->out->at + c->out_to;
    if (!may_hold(c, size)) return NULL;
    size_t cap = c->out || c->n_parts ? OUT_NEXT : OUT_FIRST;
    if (orri_conn_rare(c, "service.small_block")) cap = 1;
    if (seal(c) < 0) return NULL;
    c->out = chunks->get(chunks, size < cap ? cap : size);
    if (!c->out) {
        orr_conn_close(c, false); /* an answer that can't be given: nothing after it would be in its place */
        return NULL;
    }
    c->out_from = c->out_to = 0;
    mark(c);
    return c->out->at;
}

void orr_conn_wrote(struct orr_conn *c, size_t size) {
    ORR_ASSERT(c->out && c->out_to + size <= c->out->cap);
    c->out_to += size;
}

int orr_conn_write(struct orr_conn *c, struct orr_slice bytes) {
    if (bytes.chunk && bytes.size > COPY_MAX && !c->closing) {
        if (!may_hold(c, bytes.size)) return ORR_ECLOSED;
        int rc = seal(c);
        mark(c);
        return rc < 0 ? rc : add_part(c, orr_hold(bytes));
    }
    unsigned char *at = orr_conn_room(c, bytes.size);
    if (!at) return ORR_ECLOSED;
    if (bytes.size) memcpy(at, bytes.at, bytes.size);
    orr_conn_wrote(c, bytes.size);
    return 0;
}

static void flush(struct orr_conn *c) {
    struct orr_node *n = c->listener->node;
    if (c->closed || c->blocked) return;
    if (c->shed) {
        shed_now(c);
        return;
    }
    if (seal(c) == 0 && c->n_parts) {
        int rc = n->w->ops->send(n->w, c->stream, 0, c->parts, c->n_parts);
        if (rc == 0) {
            drop_parts(c);
            charge(c);
        } else if (rc == ORR_EOVERLOADED) {
            c->blocked = true;
            update_reading(c);
            charge(c);
            return;
        } else {
            c->closing = true;
            c->flush = false;
        }
    }
    if (c->closing) finish(c, c->flush);
}

/* -- The turn ------------------------------------------------------------------------------------------------------ */
bool orri_services_turn(struct orr_node *n) {
    bool any = false;
    for (struct orr_conn *c = n->dirty; c; c = c->next_dirty) {
        offer_kept(c);
        end_if_read(c);
        if (!c->soon || c->blocked) continue;
        c->soon = false;
        any = true;
        if (!c->closing && c->listener->service->turn) c->listener->service->turn(c->state);
    }
    return any;
}

/* Taken off one by one: what is flushed may mark others, or itself once more. Those that still want a turn stay for the
 * next one. */
void orri_services_flush(struct orr_node *n) {
    struct orr_conn *stay = NULL, *last = NULL;
    for (struct orr_conn *c; (c = n->dirty);) {
        n->dirty = c->next_dirty;
        if (n->dirty) n->dirty->before_dirty = NULL;
        else n->dirty_last = NULL;
        c->dirty = false;
        flush(c);
        if (c->dirty || !c->soon || c->blocked || c->closed) continue;
        c->dirty = true;
        c->next_dirty = NULL;
        c->before_dirty = last;
        if (last) last->next_dirty = c;
        else stay = c;
        last = c;
        n->again = true;
    }
    n->dirty = stay;
    n->dirty_last = last;
    for (struct orri_listener *l = n->listeners; l; l = l->next) shed(l, NULL, 0);
}

/* -- What a service may do ----------------------------------------------------------------------------------------- */
size_t orr_conn_queued(const struct orr_conn *c) {
    struct orr_world *w = c->listener->node->w;
    return written(c) + (c->closed ? 0 : w->ops->queued(w, c->stream));
}

void orr_conn_pause(struct orr_conn *c, bool on) {
    if (c->paused == on) return;
    c->paused = on;
    update_reading(c);
}

void orr_conn_soon(struct orr_conn *c) {
    c->soon = true;
    mark(c);
}

void orr_conn_alarm(struct orr_conn *c, orr_time at) {
    if (!c->closing) orri_node_alarm(c->listener->node, &c->alarm, at);
}

void orr_conn_close(struct orr_conn *c, bool flush_first) {
    if (c->closing) return;
    c->closing = true;
    c->flush = flush_first;
    if (!flush_first) c->blocked = false;
    orri_node_alarm(c->listener->node, &c->alarm, c->listener->node->now + FLUSH_MAX);
    mark(c);
}

void orr_conn_keeps(struct orr_conn *c, size_t bytes) {
    struct orri_listener *l = c->listener;
    if (c->closed) return;
    l->clients_bytes = l->clients_bytes - c->kept + bytes;
    c->charged = c->charged - c->kept + bytes;
    c->kept = bytes;
    if (!c->closing) (void)may_hold(c, 0);
}

uint64_t orr_conn_serial(const struct orr_conn *c) { return c->stream->serial; }
orr_time orr_conn_now(const struct orr_conn *c) { return c->listener->node->now; }
void orr_conn_limits(const struct orr_conn *c, size_t *held, size_t *client_max, size_t *clients_max) {
    *held = c->listener->clients_bytes;
    *client_max = c->listener->client_bytes_max;
    *clients_max = c->listener->clients_bytes_max;
}
const struct orr_alloc *orr_conn_alloc(const struct orr_conn *c) { return c->listener->node->alloc; }
struct orr_node *orr_conn_node(const struct orr_conn *c) { return c->listener->node; }
