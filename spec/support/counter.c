/* support/counter.c - the counting machine, and the service in front of it. */
#include "support/counter.h"

#include <orrery/service.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/hash.h"
#include "node/group.h"

size_t counter_pad;

/* -- The machine --------------------------------------------------------------------------------------------------- */
struct counter {
    struct orr_machine_config cfg;
    uint64_t digest;
    uint16_t n[COUNTER_IDS];
    uint16_t frozen[COUNTER_IDS];
    size_t given, taken;            /* bytes of an image */
    bool freezing;
};

static int create(void **m, const struct orr_machine_config *cfg) {
    struct counter *c = cfg->alloc->fn(cfg->alloc->ud, NULL, 0, sizeof *c);
    if (!c) return -12;
    memset(c, 0, sizeof *c);
    c->cfg = *cfg;
    *m = c;
    return 0;
}
static void destroy(void *m) {
    struct counter *c = m;
    c->cfg.alloc->fn(c->cfg.alloc->ud, c, sizeof *c, 0);
}
static uint64_t word(size_t id, uint16_t n) { return n ? orri_mix64(id, n) : 0; }

static int apply(void *m, const struct orr_at *at, struct orr_slice op, struct orr_sink *sink) {
    struct counter *c = m;
    (void)at;
    if (op.size < 8 || orri_get_le(op.at, 8) >= COUNTER_IDS) {
        if (sink) sink->ops->error(sink, ORR_EINVALID, "ERR no id");
        return 0;
    }
    size_t id = (size_t)orri_get_le(op.at, 8);
    c->digest ^= word(id, c->n[id]);
    c->n[id]++;
    c->digest ^= word(id, c->n[id]);
    if (sink) sink->ops->integer(sink, c->n[id]);
    return 0;
}
static void advance(void *m, const struct orr_at *at) { (void)m, (void)at; }
static int query(void *m, const struct orr_at *at, struct orr_slice q, struct orr_sink *sink) {
    struct counter *c = m;
    (void)at;
    sink->ops->integer(sink, q.size == 8 ? c->n[orri_get_le(q.at, 8) % COUNTER_IDS] : -1);
    return 0;
}
static orr_time wants(const void *m) {
    (void)m;
    return ORR_NEVER;
}
static uint64_t digest(const void *m) { return ((const struct counter *)m)->digest; }
static void stats(const void *m, struct orr_machine_stats *out) {
    (void)m;
    *out = (struct orr_machine_stats){ COUNTER_IDS, sizeof(struct counter) };
}
static int freeze(void *m) {
    struct counter *c = m;
    if (c->freezing) return ORR_EBUSY;
    c->freezing = true;
    memcpy(c->frozen, c->n, sizeof c->n);
    c->given = 0;
    return 0;
}
static int next(void *m, size_t bytes, struct orr_slice *out) {
    struct counter *c = m;
    size_t left = sizeof c->frozen - c->given, size = bytes < left ? bytes : left;
    struct orr_chunk *chunk = c->cfg.chunks->get(c->cfg.chunks, size ? size : 1);
    if (!chunk) return -12;
    memcpy(chunk->at, (unsigned char *)c->frozen + c->given, size);
    c->given += size;
    *out = (struct orr_slice){ chunk, chunk->at, size };
    return c->given < sizeof c->frozen;
}
static void unfreeze(void *m) { ((struct counter *)m)->freezing = false; }
static int restore_begin(void *m) {
    struct counter *c = m;
    memset(c->n, 0, sizeof c->n);
    c->digest = 0;
    c->taken = 0;
    return 0;
}
static int restore_part(void *m, const void *at, size_t size) {
    struct counter *c = m;
    if (size > sizeof c->n - c->taken) return ORR_ECORRUPT;
    memcpy((unsigned char *)c->n + c->taken, at, size);
    c->taken += size;
    return 0;
}
static int restore_end(void *m) {
    struct counter *c = m;
    if (c->taken != sizeof c->n) return ORR_ECORRUPT;
    for (size_t i = 0; i < COUNTER_IDS; i++) c->digest ^= word(i, c->n[i]);
    return 0;
}
const struct orr_machine_ops counter_machine = { .name = "counter",
                                                 .version = 1,
                                                 .create = create,
                                                 .destroy = destroy,
                                                 .apply = apply,
                                                 .advance = advance,
                                                 .query = query,
                                                 .wants = wants,
                                                 .digest = digest,
                                                 .stats = stats,
                                                 .freeze = freeze,
                                                 .next = next,
                                                 .unfreeze = unfreeze,
                                                 .restore_begin = restore_begin,
                                                 .restore_part = restore_part,
                                                 .restore_end = restore_end };

/* -- A sink that keeps one integer --------------------------------------------------------------------------------- */
struct number {
    struct orr_sink sink;
    int64_t v;
};
static void on_nil(struct orr_sink *s) { ((struct number *)(void *)s)->v = -1; }
static void on_integer(struct orr_sink *s, int64_t v) { ((struct number *)(void *)s)->v = v; }
static void on_text(struct orr_sink *s, const void *at, size_t size) { (void)s, (void)at, (void)size; }
static void on_status(struct orr_sink *s, const char *w) { (void)s, (void)w; }
static void on_error(struct orr_sink *s, int code, const char *text) {
    (void)text, ((struct number *)(void *)s)->v = code;
}
static void on_array(struct orr_sink *s, size_t n) { (void)s, (void)n; }
static const struct orr_sink_ops number_ops = { on_nil, on_integer, on_text, on_status, on_error, on_array };

unsigned counter_of(const struct orr_group *g, uint64_t id) {
    struct number n = { .sink = { &number_ops }, .v = -1 };
    unsigned char q[8];
    struct orr_at at;
    orri_put_le(q, id, 8);
    orri_group_here(g, &at);
    (void)orri_group_query((struct orr_group *)g, &at, orr_borrow(q, 8), &n.sink);
    return (unsigned)n.v;
}

/* -- The service --------------------------------------------------------------------------------------------------- */
struct session {
    struct orri_waiter w;           /* first */
    struct orr_conn *c;
    struct orr_group *g;
    struct number result;
    const struct orr_alloc *alloc;
};

static void answer(struct session *s, char what, uint64_t id, uint64_t value) {
    unsigned char *at = orr_conn_room(s->c, COUNTER_ANSWER);
    if (!at) return;
    at[0] = (unsigned char)what;
    orri_put_le(at + 1, id, 8);
    orri_put_le(at + 9, value, 8);
    orr_conn_wrote(s->c, COUNTER_ANSWER);
}
static struct orr_sink *begin(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    (void)tag, (void)at;
    struct session *s = (struct session *)(void *)w;
    return &s->result.sink;
}
static void end(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    (void)at;
    struct session *s = (struct session *)(void *)w;
    answer(s, '+', tag, (uint64_t)s->result.v);
}
static void served(struct orri_waiter *w, uint64_t tag, const struct orr_at *at) {
    struct session *s = (struct session *)(void *)w;
    unsigned char q[8];
    orri_put_le(q, tag, 8);
    (void)orri_group_query(s->g, at, orr_borrow(q, 8), &s->result.sink);
    answer(s, '+', tag, (uint64_t)s->result.v);
}
static void lost(struct orri_waiter *w, uint64_t tag, bool read, int status) {
    (void)read;
    answer((struct session *)(void *)w, status == ORR_EUNKNOWN ? '?' : '-', tag, (uint64_t)-(int64_t)status);
}
static const struct orri_waiter_ops waiter_ops = { begin, end, served, lost };

static int session_open(void *ud, struct orr_conn *c, void **state) {
    struct orr_group *g = ud;
    (void)g;
    struct session *s = malloc(sizeof *s);
    *s = (struct session){ .w.ops = &waiter_ops, .c = c, .g = g, .result.sink.ops = &number_ops };
    *state = s;
    return 0;
}
static void propose(struct session *s, uint64_t id) {
    int status;
    unsigned char *at = orri_group_room(s->g, 8 + counter_pad, &status);
    if (!at) {
        answer(s, '-', id, (uint64_t)-(int64_t)status);
        return;
    }
    orri_put_le(at, id, 8);
    if (counter_pad) memset(at + 8, 0, counter_pad);
    orri_group_commit(s->g, 8 + counter_pad, &s->w, id);
}
static int64_t session_data(void *state, struct orr_slice data, size_t *want) {
    struct session *s = state;
    size_t n = data.size / COUNTER_REQUEST;
    *want = COUNTER_REQUEST;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *at = data.at + i * COUNTER_REQUEST;
        uint64_t id = orri_get_le(at + 1, 8);
        if (at[0] == 'Q') orr_node_stop(orri_group_node(s->g), "a client asks");
        else if (at[0] == 'W') propose(s, id);
        else if (at[0] != 'R') return -1;
        else if (orri_group_read(s->g, &s->w, id) < 0) answer(s, '-', id, 0);
    }
    return (int64_t)(n * COUNTER_REQUEST);
}
static void session_close(void *state) {
    struct session *s = state;
    orri_group_forget(s->g, &s->w);
    free(s);
}
const struct orr_service counter_service = {
    .name = "counter", .open = session_open, .data = session_data, .close = session_close
};
