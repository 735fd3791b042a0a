/* queue.c - what a connection has asked and not been answered: replies in the order of commands,
 * reads at a moment that is linearizable.
 *
 * A write is answered between its begin() and end(). A reply made here waits for what is older. A read may be served
 *
 *   - at the begin() of any later write of this connection: that write was proposed after the read was asked,
 *     so all that was acknowledged before lies below it in the log;
 *   - at the end() of a write of the same turn, for the same reason: so `SET k 1` `GET k` in one packet needs one
 *     round;
 *   - when the group says so (served): asked once for the reads of a turn that has no write.
 *     The tag covers all that are older.
 *
 * In each case all that is older must have been answered. A read that hung on a write which was lost is asked for anew.
 * Log time never goes back within a connection's reads, so a key that was seen to have ended stays so.
 *
 * No turn writes much more than a megabyte, and nothing is written to a client that doesn't read: reads that may be
 * served stay in the queue, where they take a few bytes, and are answered in a later turn, from a later state, though
 * always before a later write. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "node/resp/resp.h"

enum { QUEUE_KEPT = 64 << 10, QUEUE_FIRST = 512, ALIGN = 8 };

/* -- The bytes ----------------------------------------------------------------------------------------------------- */

static size_t item_bytes(size_t size) { return (sizeof(struct orri_resp_item) + size + ALIGN - 1) / ALIGN * ALIGN; }

static struct orri_resp_item *item_at(const struct orri_resp_queue *q, size_t at) {
    return (struct orri_resp_item *)(void *)(q->bytes + at);
}

static bool resize(struct orri_resp_conn *c, size_t cap) {
    struct orri_resp_queue *q = &c->queue;
    unsigned char *bytes = c->alloc->fn(c->alloc->ud, q->bytes, q->cap, cap);
    if (!bytes && cap > 0) return false;
    q->bytes = bytes;
    q->cap = cap;
    return true;
}

/* Room for `size` bytes behind q->to: moves what is left to the front, or grows to the double. */
static bool make_room(struct orri_resp_conn *c, size_t size) {
    struct orri_resp_queue *q = &c->queue;
    if (q->cap - q->to >= size) return true;
    if (q->from > 0 && q->from >= q->to / 2) {
        memmove(q->bytes, q->bytes + q->from, q->to - q->from);
        q->to -= q->from;
        q->last -= q->n ? q->from : 0;
        q->from = 0;
    }
    size_t cap = q->cap ? q->cap : QUEUE_FIRST;
    while (cap - q->to < size) cap *= 2;
    return cap == q->cap || resize(c, cap);
}

struct orri_resp_item *orri_resp_push(struct orri_resp_conn *c, enum orri_resp_kind kind, size_t room) {
    struct orri_resp_queue *q = &c->queue;
    if (!make_room(c, item_bytes(room))) {
        orri_resp_give_up(c);
        return NULL;
    }
    struct orri_resp_item *item = item_at(q, q->to);
    *item = (struct orri_resp_item){ .size = (uint32_t)room, .kind = (uint8_t)kind, .turn = c->turn, .tag = ++c->tag };
    if (c->mute || c->skip) item->flags = ORRI_RESP_MUTE;
    q->last = q->to;
    q->to += item_bytes(room);
    q->n++;
    return item;
}

void orri_resp_trim(struct orri_resp_conn *c, size_t size) {
    struct orri_resp_queue *q = &c->queue;
    struct orri_resp_item *item = item_at(q, q->last);
    ORR_ASSERT(q->n > 0 && size <= item->size);
    item->size = (uint32_t)size;
    q->to = q->last + item_bytes(size);
}

void orri_resp_extend(struct orri_resp_conn *c, const void *at, size_t size) {
    struct orri_resp_queue *q = &c->queue;
    size_t old_size = item_at(q, q->last)->size;
    if (!make_room(c, size + ALIGN)) {
        orri_resp_give_up(c);
        return;
    }
    struct orri_resp_item *item = item_at(q, q->last);
    memcpy(orri_resp_bytes(item) + old_size, at, size);
    item->size = (uint32_t)(old_size + size);
    q->to = q->last + item_bytes(item->size);
}

static struct orri_resp_item *first(const struct orri_resp_queue *q) { return q->n ? item_at(q, q->from) : NULL; }

static struct orri_resp_item *after(const struct orri_resp_queue *q, const struct orri_resp_item *item) {
    size_t at = (size_t)((const unsigned char *)item - q->bytes) + item_bytes(item->size);
    return at < q->to ? item_at(q, at) : NULL;
}

void orri_resp_queue_clear(struct orri_resp_conn *c) {
    (void)resize(c, 0);
    c->queue = (struct orri_resp_queue){ .bytes = NULL };
}

static void pop(struct orri_resp_conn *c) {
    struct orri_resp_queue *q = &c->queue;
    q->from += item_bytes(first(q)->size);
    if (--q->n > 0) return;
    q->from = q->to = q->last = 0;
    if (q->cap > QUEUE_KEPT) orri_resp_queue_clear(c);
}

/* -- Answering from the front -------------------------------------------------------------------------------------- */

/* Reads up to this tag may be answered at any time from now on. */
static void freshen(struct orri_resp_conn *c, uint64_t tag, const struct orr_at *at) {
    if (tag > c->fresh) c->fresh = tag;
    if (at->time > c->fresh_time) c->fresh_time = at->time;
}

/* False: it takes more turns. */
static bool answer_read(struct orri_resp_conn *c, struct orri_resp_item *item, const struct orr_at *at) {
    struct orr_at when = *at;
    if (item->tag <= c->fresh && when.time < c->fresh_time) when.time = c->fresh_time;
    if (item->flags & ORRI_RESP_WALK) {
        freshen(c, item->tag, at);
        return orri_resp_walk(c, item, &when);
    }
    int status = orri_group_query(c->group, &when, orr_borrow(orri_resp_bytes(item), item->size), &c->sink);
    if (status < 0) orri_resp_lost(c, status);
    return true;
}

/* Answers the first item. False: it stays, for more turns. */
static bool answer(struct orri_resp_conn *c, struct orri_resp_item *item, const struct orr_at *at) {
    bool done = true;
    c->muted = item->flags & ORRI_RESP_MUTE;
    if (item->flags & ORRI_RESP_PROTO2) c->proto_out = 2;
    if (item->flags & ORRI_RESP_PROTO3) c->proto_out = 3;
    if (item->kind == ORRI_RESP_REPLY) orri_resp_put(c, orri_resp_bytes(item), item->size);
    else if (item->kind == ORRI_RESP_READ) done = answer_read(c, item, at);
    else                            /* a write that a later one has overtaken: its fate wasn't told */
        orri_resp_lost(c, item->kind == ORRI_RESP_LOST ? item->status : ORR_EUNKNOWN);
    c->muted = false;
    if (!done) {
        orr_conn_soon(c->conn);
        return false;
    }
    bool close = item->flags & ORRI_RESP_CLOSE;
    pop(c);
    if (close) orr_conn_close(c->conn, true);
    return true;
}

/* Enough was written for now: the reads that hung on the write of `turn`, which is done, need it no more. */
static void put_off(struct orri_resp_conn *c, const struct orr_at *at, uint64_t turn) {
    for (struct orri_resp_item *item = first(&c->queue); item && item->turn <= turn; item = after(&c->queue, item)) {
        if (item->kind == ORRI_RESP_WRITE) break;
        if (item->kind == ORRI_RESP_READ && item->turn == turn) freshen(c, item->tag, at);
    }
    orr_conn_soon(c->conn);
}

/* Answers what can be answered now. `written`: the turn of the write that has just been applied, 0: none. */
static void drain(struct orri_resp_conn *c, const struct orr_at *at, uint64_t written) {
    struct orri_resp_item *item;
    while ((item = first(&c->queue))) {
        if (item->kind == ORRI_RESP_WRITE) break;
        if (item->kind == ORRI_RESP_READ && item->tag > c->fresh && item->turn != written) break;
        if (orr_conn_crowded(c->conn)) {
            put_off(c, at, written);
            break;
        }
        if (!answer(c, item, at)) break;
    }
    orri_resp_drained(c);
}

static void drain_here(struct orri_resp_conn *c) {
    struct orr_at at;
    orri_group_here(c->group, &at);
    drain(c, &at, 0);
}

void orri_resp_refuse(struct orri_resp_conn *c, int status) {
    struct orri_resp_item *item = item_at(&c->queue, c->queue.last);
    item->kind = ORRI_RESP_LOST;
    item->status = (int16_t)status;
    if (c->queue.n == 1) drain_here(c);
}

/* -- The group's upcalls ------------------------------------------------------------------------------------------- */

static struct orri_resp_conn *conn_of(struct orri_waiter *w) { return (struct orri_resp_conn *)(void *)w; }

static struct orr_sink *on_begin(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct orri_resp_conn *c = conn_of(w);
    struct orri_resp_item *item;
    while ((item = first(&c->queue)) && item->tag < tag && answer(c, item, at)) continue;
    if (!item || item->tag != tag) return NULL;     /* the seed, or what was answered as unknown */
    c->muted = item->flags & ORRI_RESP_MUTE;
    return &c->sink;
}

static void on_end(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct orri_resp_conn *c = conn_of(w);
    struct orri_resp_item *item = first(&c->queue);
    c->muted = false;
    if (!item || item->tag != tag) return;
    uint64_t turn = item->turn;
    pop(c);
    drain(c, at, turn);
}

static void on_served(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct orri_resp_conn *c = conn_of(w);
    freshen(c, tag, at);
    drain(c, at, 0);
}

static void lose_write(struct orri_resp_conn *c, uint64_t tag, int status) {
    for (struct orri_resp_item *item = first(&c->queue); item && item->tag <= tag; item = after(&c->queue, item)) {
        if (item->tag != tag || item->kind != ORRI_RESP_WRITE) continue;
        item->kind = ORRI_RESP_LOST;
        item->status = (int16_t)status;
        c->ask_again = true;
        orr_conn_soon(c->conn);
    }
}

/* Reads that no write will serve. */
static void lose_reads(struct orri_resp_conn *c, uint64_t tag, int status) {
    const struct orri_resp_item *write = NULL;
    for (struct orri_resp_item *item = first(&c->queue); item; item = after(&c->queue, item)) {
        if (item->kind == ORRI_RESP_WRITE) write = item;
    }
    for (struct orri_resp_item *item = first(&c->queue); item && item->tag <= tag; item = after(&c->queue, item)) {
        if (item->kind != ORRI_RESP_READ || item->tag <= c->fresh) continue;
        if (write && (item->tag < write->tag || item->turn == write->turn)) continue;
        item->kind = ORRI_RESP_LOST;
        item->status = (int16_t)status;
    }
}

static void on_lost(struct orri_waiter *w, uint64_t tag, bool read, int status) {
    struct orri_resp_conn *c = conn_of(w);
    if (read) lose_reads(c, tag, status);
    else lose_write(c, tag, status);
    drain_here(c);
}

const struct orri_waiter_ops orri_resp_waiter_ops = { on_begin, on_end, on_served, on_lost };

/* Reads of a turn that has a write hang on that. */
void orri_resp_queue_turn(struct orri_resp_conn *c) {
    bool ask = c->last_read && !c->last_write;
    uint64_t tag = c->ask_again ? c->tag : c->last_read;
    if (c->ask_again) ask = !orri_resp_idle(c);
    c->last_read = c->last_write = 0;
    c->ask_again = false;
    c->turn++;
    if (!orri_resp_idle(c)) drain_here(c);          /* what was put off */
    if (!ask) return;
    int status = orri_group_read(c->group, &c->waiter, tag);
    if (status < 0) on_lost(&c->waiter, tag, true, status);
}
