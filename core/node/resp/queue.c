/* queue.c - what a connection has asked and not been answered, in a row: replies go out in the order of commands. */
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
    if (orri_conn_rare(c->conn, "resp.tight_queue")) cap = q->to + size;
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

struct orri_resp_item *orri_resp_first(const struct orri_resp_conn *c) {
    return c->queue.n ? item_at(&c->queue, c->queue.from) : NULL;
}

struct orri_resp_item *orri_resp_last(const struct orri_resp_conn *c) { return item_at(&c->queue, c->queue.last); }

struct orri_resp_item *orri_resp_after(const struct orri_resp_conn *c, const struct orri_resp_item *item) {
    const struct orri_resp_queue *q = &c->queue;
    size_t at = (size_t)((const unsigned char *)item - q->bytes) + item_bytes(item->size);
    return at < q->to ? item_at(q, at) : NULL;
}

void orri_resp_queue_clear(struct orri_resp_conn *c) {
    (void)resize(c, 0);
    c->queue = (struct orri_resp_queue){ .bytes = NULL };
}

static void pop(struct orri_resp_conn *c) {
    struct orri_resp_queue *q = &c->queue;
    q->from += item_bytes(orri_resp_first(c)->size);
    if (--q->n > 0) return;
    q->from = q->to = q->last = 0;
    if (q->cap > QUEUE_KEPT) orri_resp_queue_clear(c);
}

/* -- Answering from the front -------------------------------------------------------------------------------------- */

void orri_resp_show(struct orri_resp_conn *c, const struct orri_resp_item *item) {
    c->muted = item->flags & ORRI_RESP_MUTE;
    if (item->flags & ORRI_RESP_PROTO2) c->proto_out = 2;
    if (item->flags & ORRI_RESP_PROTO3) c->proto_out = 3;
}

void orri_resp_answered(struct orri_resp_conn *c) {
    bool close = orri_resp_first(c)->flags & ORRI_RESP_CLOSE;
    c->muted = false;
    pop(c);
    if (close) orr_conn_close(c->conn, true);
}
