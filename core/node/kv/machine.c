/* machine.c - the key-value machine's table of functions, its life and its housekeeping.
 *
 * The seed of the table is replicated, so that SCAN's order is the same everywhere, and secret, so that no client
 * can choose keys that collide. The first op sets it: from its bytes, its place in the log and its log time. A
 * client that wants one nobody can guess sends ORR_KV_SEED with secret bytes first (the RESP service does); later
 * ones change nothing. */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "node/kv/kv.h"

enum {
    DUE_OP = 2, DUE_ENTRY = 1024,   /* keys whose time has come removed behind an op, and behind an entry: more than an
                                     * op adds, so that they don't pile up; and well under 5 ms of work */
    REAP_OP = 8, REAP_ENTRY = 256   /* steps of taking old tables down, an op and an entry */
};

static int kv_create(void **out, const struct orr_machine_config *cfg) {
    struct orri_kv *m = cfg->alloc->fn(cfg->alloc->ud, NULL, 0, sizeof *m);
    if (!m) return -ENOMEM;
    memset(m, 0, sizeof *m);
    m->alloc = *cfg->alloc;
    m->chunks = cfg->chunks;
    m->rare = cfg->rare;
    m->secret = orri_mix64(cfg->seed, 1);
    orri_rng_init(&m->rng, orri_mix64(cfg->seed, 2));
    if (orri_kv_table_new(&m->live, &m->alloc) < 0) {
        m->alloc.fn(m->alloc.ud, m, sizeof *m, 0);
        return -ENOMEM;
    }
    *out = m;
    return 0;
}

static void kv_destroy(void *x) {
    struct orri_kv *m = x;
    if (!m) return;
    orri_kv_unfreeze(m);
    orri_kv_restore_clear(m);
    m->live->next = m->dead;
    m->dead = m->live;
    while (m->dead) orri_kv_reap(m, UINT64_MAX);
    struct orr_alloc alloc = m->alloc;
    alloc.fn(alloc.ud, m, sizeof *m, 0);
}

static uint64_t first_seed(const struct orr_at *at, struct orr_slice op) {
    uint64_t place = orri_mix64(orri_mix64(at->index, at->term), (uint64_t)at->time);
    uint64_t seed = orri_hash64(op.at, op.size, place);
    return seed ? seed : 1;
}

/* Removes keys whose time has come, the longest due first, up to `max`. */
static void remove_due(struct orri_kv *m, const struct orr_at *at, unsigned max) {
    for (unsigned i = 0; i < max; i++) {
        struct orri_kv_entry *e = orri_kv_first_end(m->live);
        if (!e || !orri_kv_is_due(m, e, orri_kv_ms(at))) break;
        struct orr_slice key = orr_borrow(e->bytes, e->key_size);
        struct orri_kv_spot spot = { key, e->hash, orri_kv_find(m->live, key.at, key.size, e->hash) };
        orri_kv_drop(m, at, &spot);
    }
}

/* How the table lies in memory is nothing that another replica sees. Few keys leave nearly all buckets empty: that of
 * the op's is moved. */
static void reshape(struct orri_kv *m, struct orr_slice op) {
    bool splits = orr_rare(&m->rare, "kv.splits_buckets"), joins = orr_rare(&m->rare, "kv.joins_buckets");
    if (!splits && !joins) return;
    uint64_t hash = orri_kv_hash(m, orri_kv_first_arg(op));
    if (splits) orri_kv_table_split(m->live, hash);
    if (joins) orri_kv_table_join(m->live, hash);
}

static int kv_apply(void *x, const struct orr_at *at, struct orr_slice op, struct orr_sink *sink) {
    struct orri_kv *m = x;
    struct orri_kv_args args;
    if (orri_kv_decode(&args, op) < 0 || args.code >= 64) return orri_kv_error(sink, ORR_EINVALID, "ERR not an op");
    if (!m->seed) m->seed = first_seed(at, op);
    if (m->dead) orri_kv_reap(m, REAP_OP);
    reshape(m, op);
    int rc = orri_kv_apply(m, at, &args, sink);
    if (rc == 0) remove_due(m, at, DUE_OP);
    return rc;
}

static void kv_advance(void *x, const struct orr_at *at) {
    struct orri_kv *m = x;
    remove_due(m, at, DUE_ENTRY);
    if (m->dead) orri_kv_reap(m, REAP_ENTRY);
}

static int kv_query(void *x, const struct orr_at *at, struct orr_slice question, struct orr_sink *sink) {
    struct orri_kv_args args;
    if (orri_kv_decode(&args, question) < 0) return orri_kv_error(sink, ORR_EINVALID, "ERR not a question");
    return orri_kv_ask(x, at, &args, sink);
}

static orr_time kv_wants(const void *x) {
    const struct orri_kv *m = x;
    const struct orri_kv_entry *e = orri_kv_first_end(m->live);
    if (!e) return ORR_NEVER;
    int64_t ends = orri_kv_ends(m->live, e);
    return ends > ORR_NEVER / ORR_MS ? ORR_NEVER : ends * ORR_MS;
}

static uint64_t kv_digest(const void *x) { return orri_kv_digest(x); }

static void kv_stats(const void *x, struct orr_machine_stats *out) {
    const struct orri_kv *m = x;
    *out = (struct orr_machine_stats){ m->live->n, sizeof *m + m->live->bytes + m->image.queued };
    for (const struct orri_kv_table *t = m->dead; t; t = t->next) out->bytes += t->bytes;
}

static int kv_freeze(void *x) { return orri_kv_freeze(x); }
static int kv_next(void *x, size_t bytes, struct orr_slice *out) { return orri_kv_next(x, bytes, out); }
static void kv_unfreeze(void *x) { orri_kv_unfreeze(x); }
static int kv_restore_begin(void *x) { return orri_kv_restore_begin(x); }
static int kv_restore_part(void *x, const void *at, size_t size) { return orri_kv_restore_part(x, at, size); }
static int kv_restore_end(void *x) { return orri_kv_restore_end(x); }

static void kv_prefetch(const void *x, struct orr_slice call, unsigned step) {
    const struct orri_kv *m = x;
    struct orr_slice key = orri_kv_first_arg(call);
    if (key.size > 0) orri_kv_prefetch(m->live, orri_kv_hash(m, key), step);
}

const struct orr_machine_ops orr_kv_machine = {
    .name = "kv",
    .version = 1,
    .create = kv_create,
    .destroy = kv_destroy,
    .apply = kv_apply,
    .advance = kv_advance,
    .query = kv_query,
    .wants = kv_wants,
    .digest = kv_digest,
    .stats = kv_stats,
    .freeze = kv_freeze,
    .next = kv_next,
    .unfreeze = kv_unfreeze,
    .restore_begin = kv_restore_begin,
    .restore_part = kv_restore_part,
    .restore_end = kv_restore_end,
    .prefetch = kv_prefetch,
};
