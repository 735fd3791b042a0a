/* resp_fake.h - a node that is nothing but one kv machine, for trying the RESP service without a cluster.
 *
 * It defines the functions of node/group.h and orrery/service.h that the service calls, so it is included in one file
 * of a program, and the real ones are not linked. Writes and reads wait until the test applies, serves or loses them:
 * fake_turn does what a healthy single node would do in a turn. */
#ifndef SPEC_RESP_FAKE_H
#define SPEC_RESP_FAKE_H

#include <orrery/kv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/inner.h"

enum { FAKE_CONNS = 4 };

struct fake_op {
    unsigned char *at;
    size_t size;
    struct orri_waiter *w;
    uint64_t tag;
};
struct fake_read {
    struct orri_waiter *w;
    uint64_t tag;
};
struct fake;
struct fake_conn {
    struct orr_conn conn;          /* first: its members are the node's, and unused but for `state` */
    struct fake *fake;
    unsigned char *in, *out;
    size_t n_in, n_out, cap_out, want;
    bool open, closing, paused, soon, crowded;
    uint64_t serial;
    orr_time alarm;
};
struct fake {
    struct orr_group group;         /* first: what the service is given */
    struct orr_node node;
    struct orr_alloc alloc;
    struct orr_chunks *chunks;
    void *machine;
    struct orr_at at;
    struct fake_op *ops;
    size_t n_ops, cap_ops;
    struct fake_read *reads;
    size_t n_reads, cap_reads;
    int refuse_write, refuse_read;  /* a status for the next ones */
    struct fake_conn conns[FAKE_CONNS];
};

static inline void fake_init_with(struct fake *g, struct orr_alloc alloc) {
    memset(g, 0, sizeof *g);
    g->alloc = alloc;
    g->node.alloc = &g->alloc;
    g->node.cfg.op_bytes_max = (8 << 20) + (64 << 10);
    g->chunks = orr_chunks_new(&g->alloc);
    struct orr_machine_config cfg = { 7, &g->alloc, g->chunks, NULL, { NULL, NULL } };
    g->at = (struct orr_at){ 1, 1, 1700000000 * ORR_SECOND };
    g->machine = NULL;
    if (g->chunks && orr_kv_machine.create(&g->machine, &cfg) < 0) g->machine = NULL;
}
static inline void fake_init(struct fake *g) { fake_init_with(g, orr_alloc_libc); }

static inline struct fake_conn *fake_connect(struct fake *g) {
    for (unsigned i = 0; i < FAKE_CONNS; i++) {
        struct fake_conn *c = &g->conns[i];
        if (c->open) continue;
        *c = (struct fake_conn){ .fake = g, .open = true, .serial = i + 1 };
        if (orr_resp_service.open(&g->group, &c->conn, &c->conn.state) < 0) {
            c->open = false;
            return NULL;
        }
        return c;
    }
    return NULL;
}

static inline void fake_disconnect(struct fake_conn *c) {
    if (!c->open) return;
    orr_resp_service.close(c->conn.state);
    free(c->in);
    free(c->out);
    c->open = false;
}

static inline void fake_free(struct fake *g) {
    for (unsigned i = 0; i < FAKE_CONNS; i++) fake_disconnect(&g->conns[i]);
    for (size_t i = 0; i < g->n_ops; i++) free(g->ops[i].at);
    free(g->ops);
    free(g->reads);
    orr_kv_machine.destroy(g->machine);
    orr_chunks_free(g->chunks);
}

/* Offers what is there, as the node does. The bytes are moved to a block of their exact size each time. */
static inline void fake_offer(struct fake_conn *c) {
    while (c->open && !c->closing && !c->paused && c->n_in > 0 && c->n_in >= c->want) {
        size_t want = 0, before = c->n_in;
        unsigned char *exact = malloc(c->n_in);
        memcpy(exact, c->in, c->n_in);
        int64_t used = orr_resp_service.data(c->conn.state, orr_borrow(exact, c->n_in), &want);
        free(exact);
        c->soon = true;
        if (used < 0 || (size_t)used > c->n_in) abort();
        memmove(c->in, c->in + used, c->n_in - (size_t)used);
        c->n_in -= (size_t)used;
        c->want = want;
        if (c->n_in == before) break;
    }
}

static inline void fake_feed(struct fake_conn *c, const void *at, size_t size) {
    c->in = realloc(c->in, c->n_in + size + 1);
    memcpy(c->in + c->n_in, at, size);
    c->n_in += size;
    fake_offer(c);
}

/* The service's part of a turn. */
static inline void fake_services(struct fake *g) {
    for (unsigned i = 0; i < FAKE_CONNS; i++) {
        struct fake_conn *c = &g->conns[i];
        if (!c->open) continue;
        fake_offer(c);
        if (!c->soon || c->crowded) continue;
        c->soon = false;
        if (!c->closing) orr_resp_service.turn(c->conn.state);
    }
}

/* Applies the oldest `n` writes as one entry. */
static inline int fake_apply(struct fake *g, size_t n) {
    int status = 0;
    if (n > g->n_ops) n = g->n_ops;
    g->at.index++;
    for (size_t i = 0; i < n && status == 0; i++) {
        struct fake_op op = g->ops[i];
        struct orr_sink *sink = op.w ? op.w->ops->begin(op.w, op.tag, &g->at) : NULL;
        status = orr_kv_machine.apply(g->machine, &g->at, orr_borrow(op.at, op.size), sink);
        if (status == 0 && op.w) op.w->ops->end(op.w, op.tag, &g->at);
    }
    for (size_t i = 0; i < n; i++) free(g->ops[i].at);
    memmove(g->ops, g->ops + n, (g->n_ops - n) * sizeof *g->ops);
    g->n_ops -= n;
    orr_kv_machine.advance(g->machine, &g->at);
    return status;
}

static inline void fake_serve(struct fake *g) {
    for (size_t i = 0; i < g->n_reads; i++) {
        struct fake_read r = g->reads[i];
        if (r.w) r.w->ops->served(r.w, r.tag, &g->at);
    }
    g->n_reads = 0;
}

/* The oldest write is lost; or the oldest read. */
static inline void fake_lose(struct fake *g, bool read, int status) {
    if (read) {
        struct fake_read r = g->reads[0];
        memmove(g->reads, g->reads + 1, --g->n_reads * sizeof *g->reads);
        r.w->ops->lost(r.w, r.tag, true, status);
        return;
    }
    struct fake_op op = g->ops[0];
    memmove(g->ops, g->ops + 1, --g->n_ops * sizeof *g->ops);
    free(op.at);
    if (op.w) op.w->ops->lost(op.w, op.tag, false, status);
}

static inline void fake_turn(struct fake *g) {
    bool again = true;
    for (unsigned i = 0; again && i < 1000; i++) {
        fake_services(g);
        if (g->n_ops) (void)fake_apply(g, g->n_ops);
        fake_serve(g);
        again = g->n_ops || g->n_reads;
        for (unsigned k = 0; k < FAKE_CONNS; k++) again |= g->conns[k].open && g->conns[k].soon && !g->conns[k].crowded;
    }
}

/* -- node/group.h -------------------------------------------------------------------------------------------------- */
static inline struct fake *fake_group(const struct orr_group *g) { return (struct fake *)(uintptr_t)g; }

unsigned char *orri_group_room(struct orr_group *group, size_t max, int *status) {
    struct fake *g = fake_group(group);
    *status = max > g->node.cfg.op_bytes_max ? ORR_EINVALID : g->refuse_write;
    if (*status < 0) return NULL;
    if (g->n_ops == g->cap_ops) {
        g->cap_ops = g->cap_ops ? g->cap_ops * 2 : 64;
        g->ops = realloc(g->ops, g->cap_ops * sizeof *g->ops);
    }
    return g->ops[g->n_ops].at = malloc(max);
}
void orri_group_commit(struct orr_group *group, size_t size, struct orri_waiter *w, uint64_t tag) {
    struct fake *g = fake_group(group);
    struct fake_op *op = &g->ops[g->n_ops++];
    *op = (struct fake_op){ realloc(op->at, size), size, w, tag };      /* to the byte: who reads beyond is seen */
}
int orri_group_read(struct orr_group *group, struct orri_waiter *w, uint64_t tag) {
    struct fake *g = fake_group(group);
    if (g->refuse_read < 0) return g->refuse_read;
    if (g->n_reads == g->cap_reads) {
        g->cap_reads = g->cap_reads ? g->cap_reads * 2 : 64;
        g->reads = realloc(g->reads, g->cap_reads * sizeof *g->reads);
    }
    g->reads[g->n_reads++] = (struct fake_read){ w, tag };
    return 0;
}
int orri_group_query(struct orr_group *g, const struct orr_at *at, struct orr_slice question, struct orr_sink *sink) {
    return orr_kv_machine.query(fake_group(g)->machine, at, question, sink);
}
void orri_group_here(const struct orr_group *g, struct orr_at *at) { *at = fake_group(g)->at; }
void orri_group_forget(struct orr_group *group, struct orri_waiter *w) {
    struct fake *g = fake_group(group);
    for (size_t i = 0; i < g->n_ops; i++) {
        if (g->ops[i].w == w) g->ops[i].w = NULL;
    }
    for (size_t i = 0; i < g->n_reads; i++) {
        if (g->reads[i].w == w) g->reads[i].w = NULL;
    }
}
const char *orr_group_name(const struct orr_group *g) { return g ? "kv" : ""; }
void orri_group_machine_stats(const struct orr_group *g, struct orr_machine_stats *out) {
    orr_kv_machine.stats(fake_group(g)->machine, out);
}
void orr_node_status(const struct orr_node *node, struct orr_node_status *out) {
    *out = (struct orr_node_status){ .clients = node != NULL };
}
bool orr_group_status(const struct orr_group *g, struct orr_order_status *out) {
    *out = (struct orr_order_status){ .role = ORR_LEADER, .applied = fake_group(g)->at.index };
    return true;
}
const char *orr_group_leader(const struct orr_group *g) { return g ? "a" : NULL; }
bool orr_group_corrupt(const struct orr_group *g) {
    (void)g;
    return false;
}
uint64_t orr_group_digest(const struct orr_group *g) { return orr_kv_machine.digest(fake_group(g)->machine); }

/* -- orrery/service.h ---------------------------------------------------------------------------------------------- */
static inline struct fake_conn *fake_of(const struct orr_conn *c) { return (struct fake_conn *)(uintptr_t)c; }

unsigned char *orr_conn_room(struct orr_conn *conn, size_t size) {
    struct fake_conn *c = fake_of(conn);
    if (c->closing) return NULL;
    if (c->n_out + size > c->cap_out) {
        c->cap_out = 2 * (c->n_out + size);
        c->out = realloc(c->out, c->cap_out);
    }
    return c->out + c->n_out;
}
void orr_conn_wrote(struct orr_conn *c, size_t size) { fake_of(c)->n_out += size; }
bool orr_conn_crowded(const struct orr_conn *c) { return fake_of(c)->crowded; }
bool orri_conn_rare(const struct orr_conn *c, const char *name) { (void)c, (void)name; return false; }
void orr_conn_pause(struct orr_conn *c, bool on) { fake_of(c)->paused = on; }
void orr_conn_soon(struct orr_conn *c) { fake_of(c)->soon = true; }
void orr_conn_alarm(struct orr_conn *c, orr_time at) { fake_of(c)->alarm = at; }
void orr_conn_close(struct orr_conn *c, bool flush) {
    (void)flush;
    fake_of(c)->closing = true;
}
uint64_t orr_conn_serial(const struct orr_conn *c) { return fake_of(c)->serial; }
orr_time orr_conn_now(const struct orr_conn *c) { return fake_of(c)->fake->at.time; }
void orr_conn_limits(const struct orr_conn *c, size_t *held, size_t *client_max, size_t *clients_max) {
    (void)c;
    *held = 0;
    *client_max = *clients_max = 256 << 20;
}
const struct orr_alloc *orr_conn_alloc(const struct orr_conn *c) { return &fake_of(c)->fake->alloc; }
void orr_conn_keeps(struct orr_conn *c, size_t bytes) { (void)c, (void)bytes; }
struct orr_node *orr_conn_node(const struct orr_conn *c) { return &fake_of(c)->fake->node; }

#endif
