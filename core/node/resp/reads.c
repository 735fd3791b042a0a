/* reads.c - what a connection has asked of its group: replies in the order of commands, reads at a moment that is
 * linearizable.
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
#include "node/resp/kv.h"

/* -- Answering from the front -------------------------------------------------------------------------------------- */

/* Reads up to this tag may be answered at any time from now on. */
static void freshen(struct orri_resp_conn *c, uint64_t tag, const struct orr_at *at) {
    struct orri_resp_kv *kv = orri_resp_kv_of(c);
    if (tag > kv->fresh) kv->fresh = tag;
    if (at->time > kv->fresh_time) kv->fresh_time = at->time;
}

/* False: it takes more turns. */
static bool answer_read(struct orri_resp_conn *c, struct orri_resp_item *item, const struct orr_at *at) {
    const struct orri_resp_kv *kv = orri_resp_kv_of(c);
    struct orr_at when = *at;
    if (item->tag <= kv->fresh && when.time < kv->fresh_time) when.time = kv->fresh_time;
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
    orri_resp_show(c, item);
    if (item->kind == ORRI_RESP_REPLY) orri_resp_put(c, orri_resp_bytes(item), item->size);
    else if (item->kind == ORRI_RESP_READ) done = answer_read(c, item, at);
    else                            /* a write that a later one has overtaken: its fate wasn't told */
        orri_resp_lost(c, item->kind == ORRI_RESP_LOST ? item->status : ORR_EUNKNOWN);
    if (done) {
        orri_resp_answered(c);
        return true;
    }
    c->muted = false;
    orr_conn_soon(c->conn);
    return false;
}

/* Enough was written for now: the reads that hung on the write of `turn`, which is done, need it no more. */
static void put_off(struct orri_resp_conn *c, const struct orr_at *at, uint64_t turn) {
    for (struct orri_resp_item *item = orri_resp_first(c); item; item = orri_resp_after(c, item)) {
        if (item->turn > turn || item->kind == ORRI_RESP_WRITE) break;
        if (item->kind == ORRI_RESP_READ && item->turn == turn) freshen(c, item->tag, at);
    }
    orr_conn_soon(c->conn);
}

/* Answers what can be answered now. `written`: the turn of the write that has just been applied, 0: none. */
static void drain(struct orri_resp_conn *c, const struct orr_at *at, uint64_t written) {
    struct orri_resp_item *item;
    while ((item = orri_resp_first(c))) {
        if (item->kind == ORRI_RESP_WRITE) break;
        if (item->kind == ORRI_RESP_READ && item->tag > orri_resp_kv_of(c)->fresh && item->turn != written) break;
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
    struct orri_resp_item *item = orri_resp_last(c);
    item->kind = ORRI_RESP_LOST;
    item->status = (int16_t)status;
    if (c->queue.n == 1) drain_here(c);
}

/* -- The group's upcalls ------------------------------------------------------------------------------------------- */

static struct orri_resp_conn *conn_of(struct orri_waiter *w) {
    return &ORRI_RESP_OWNER(w, struct orri_resp_kv, waiter)->conn;
}

static struct orr_sink *on_begin(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct orri_resp_conn *c = conn_of(w);
    struct orri_resp_item *item;
    while ((item = orri_resp_first(c)) && item->tag < tag && answer(c, item, at)) continue;
    if (!item || item->tag != tag) return NULL;     /* the seed, or what was answered as unknown */
    c->muted = item->flags & ORRI_RESP_MUTE;
    return &c->sink;
}

static void on_end(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct orri_resp_conn *c = conn_of(w);
    struct orri_resp_item *item = orri_resp_first(c);
    c->muted = false;
    if (!item || item->tag != tag) return;
    uint64_t turn = item->turn;
    orri_resp_answered(c);
    drain(c, at, turn);
}

static void on_served(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct orri_resp_conn *c = conn_of(w);
    freshen(c, tag, at);
    drain(c, at, 0);
}

static void lose_write(struct orri_resp_conn *c, uint64_t tag, int status) {
    for (struct orri_resp_item *item = orri_resp_first(c); item && item->tag <= tag; item = orri_resp_after(c, item)) {
        if (item->tag != tag || item->kind != ORRI_RESP_WRITE) continue;
        item->kind = ORRI_RESP_LOST;
        item->status = (int16_t)status;
        orri_resp_kv_of(c)->ask_again = true;
        orr_conn_soon(c->conn);
    }
}

/* Reads that no write will serve. */
static void lose_reads(struct orri_resp_conn *c, uint64_t tag, int status) {
    const struct orri_resp_item *write = NULL;
    for (struct orri_resp_item *item = orri_resp_first(c); item; item = orri_resp_after(c, item)) {
        if (item->kind == ORRI_RESP_WRITE) write = item;
    }
    for (struct orri_resp_item *item = orri_resp_first(c); item && item->tag <= tag; item = orri_resp_after(c, item)) {
        if (item->kind != ORRI_RESP_READ || item->tag <= orri_resp_kv_of(c)->fresh) continue;
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
void orri_resp_reads_turn(struct orri_resp_conn *c) {
    struct orri_resp_kv *kv = orri_resp_kv_of(c);
    bool ask = kv->last_read && (!kv->last_write || orri_conn_rare(c->conn, "resp.asks_anyway"));
    uint64_t tag = kv->ask_again ? c->tag : kv->last_read;
    if (kv->ask_again) ask = !orri_resp_idle(c);
    kv->last_read = kv->last_write = 0;
    kv->ask_again = false;
    c->turn++;
    if (!orri_resp_idle(c)) drain_here(c);          /* what was put off */
    if (!ask) return;
    int status = orri_group_read(c->group, &kv->waiter, tag);
    if (status < 0) on_lost(&kv->waiter, tag, true, status);
}
