/* tally.c - see tally.h. A machine is a value: everything in it follows from the ops, so replicas are equal; where they
 * are not, digest() shows it. Sums wrap around, because ops may not fail on one replica alone. */
#include "tally.h"

#include <errno.h>
#include <string.h>

enum { IMAGE = 16 };                    /* sum, how many ops */

struct tally {
    const struct orr_alloc *alloc;
    struct orr_chunks *chunks;
    uint64_t sum, ops;
    unsigned char image[IMAGE];         /* frozen, or what has been restored of one */
    size_t have;
    bool frozen;
};

static void put(unsigned char *at, uint64_t v) {
    for (size_t i = 0; i < 8; i++) at[i] = (unsigned char)(v >> 8 * i);
}
static uint64_t get(const unsigned char *at) {
    uint64_t v = 0;
    for (size_t i = 8; i-- > 0;) v = v << 8 | at[i];
    return v;
}

struct orr_slice tally_op(unsigned char at[TALLY_OP], int64_t by) {
    put(at, (uint64_t)by);
    return orr_borrow(at, TALLY_OP);
}

static int create(void **out, const struct orr_machine_config *cfg) {
    struct tally *t = cfg->alloc->fn(cfg->alloc->ud, NULL, 0, sizeof *t);
    if (!t) return -ENOMEM;
    *t = (struct tally){ .alloc = cfg->alloc, .chunks = cfg->chunks };
    *out = t;
    return 0;
}

static void destroy(void *m) {
    struct tally *t = m;
    t->alloc->fn(t->alloc->ud, t, sizeof *t, 0);
}

/* Nobody may wait for the result: then there is no sink. */
static int apply(void *m, const struct orr_at *at, struct orr_slice op, struct orr_sink *sink) {
    struct tally *t = m;
    (void)at;
    if (op.size != TALLY_OP) {
        if (sink) sink->ops->error(sink, ORR_EINVALID, "ERR an op is a number of 8 bytes");
        return 0;
    }
    t->sum += get(op.at);
    t->ops++;
    if (sink) sink->ops->integer(sink, (int64_t)t->sum);
    return 0;
}

static void advance(void *m, const struct orr_at *at) { (void)m, (void)at; }

static int query(void *m, const struct orr_at *at, struct orr_slice question, struct orr_sink *sink) {
    const struct tally *t = m;
    (void)at, (void)question;
    sink->ops->integer(sink, (int64_t)t->sum);
    return 0;
}

static orr_time wants(const void *m) {
    (void)m;
    return ORR_NEVER;
}

static uint64_t digest(const void *m) {
    const struct tally *t = m;
    return (t->sum * UINT64_C(0x9e3779b97f4a7c15) ^ t->ops) * UINT64_C(0xbf58476d1ce4e5b9);
}

static void stats(const void *m, struct orr_machine_stats *out) {
    (void)m;
    *out = (struct orr_machine_stats){ .keys = 1, .bytes = sizeof(struct tally) };
}

/* -- Snapshots ----------------------------------------------------------------------------------------------------- */
static int freeze(void *m) {
    struct tally *t = m;
    if (t->frozen) return ORR_EBUSY;
    put(t->image, t->sum);
    put(t->image + 8, t->ops);
    t->frozen = true;
    return 0;
}

static int next(void *m, size_t bytes, struct orr_slice *out) {
    struct tally *t = m;
    struct orr_chunk *c = t->chunks->get(t->chunks, IMAGE);
    (void)bytes;                        /* it is as small as a piece can be */
    if (!c) return -ENOMEM;
    memcpy(c->at, t->image, IMAGE);
    *out = (struct orr_slice){ c, c->at, IMAGE };
    return 0;
}

static void unfreeze(void *m) { ((struct tally *)m)->frozen = false; }

static int restore_begin(void *m) {
    struct tally *t = m;
    t->sum = t->ops = 0;
    t->have = 0;
    return 0;
}

static int restore_part(void *m, const void *at, size_t size) {
    struct tally *t = m;
    if (size > IMAGE - t->have) return ORR_ECORRUPT;
    if (size) memcpy(t->image + t->have, at, size);
    t->have += size;
    return 0;
}

static int restore_end(void *m) {
    struct tally *t = m;
    if (t->have != IMAGE) return ORR_ECORRUPT;
    t->sum = get(t->image);
    t->ops = get(t->image + 8);
    return 0;
}

const struct orr_machine_ops tally_machine = {
    .name = "tally", .version = 1, .create = create, .destroy = destroy, .apply = apply, .advance = advance,
    .query = query, .wants = wants, .digest = digest, .stats = stats, .freeze = freeze, .next = next,
    .unfreeze = unfreeze, .restore_begin = restore_begin, .restore_part = restore_part, .restore_end = restore_end,
};
