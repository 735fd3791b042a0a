/* query.c - what questions answer. They change nothing: a key whose time has come is passed over,
 * and removed by nobody here.
 *
 * SCAN's cursor is a position in hash order without its lowest 12 bits (bucket borders have none of them in use), so it
 * is below 2^52 and survives clients that keep numbers in doubles. A key that is there all the time is seen whatever
 * the tables do meanwhile, on whichever node each call is asked. */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "node/kv/kv.h"

typedef int (*question_fn)(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args,
                           struct orr_sink *sink);

enum {
    CURSOR_SHIFT = 12,
    SCAN_COUNT = 10,                /* looked for when the client doesn't say */
    SCAN_COUNT_MAX = 4096,          /* it is a hint: a turn is not held up for more */
    SCAN_EMPTY = 10,                /* buckets looked into for each key looked for, at most, */
    SCAN_SMALL = 8192               /* and these: a small table is walked in one call */
};

static int ask_get(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    return orri_kv_value_or_nil(sink, orri_kv_peek(m, at, args->arg[0]));
}

static int ask_mget(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    sink->ops->array(sink, args->n);
    for (size_t i = 0; i < args->n; i++) {
        orri_kv_warm(m, args, i, 1);
        orri_kv_value_or_nil(sink, orri_kv_peek(m, at, orri_kv_next_arg(args)));
    }
    return 0;
}

static int ask_size(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    const struct orri_kv_entry *e = orri_kv_peek(m, at, args->arg[0]);
    return orri_kv_integer(sink, e ? e->value_size : 0);
}

static int ask_range(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    const struct orri_kv_entry *e = orri_kv_peek(m, at, args->arg[0]);
    int64_t from = args->a, to = args->b, size = e ? e->value_size : 0;
    if (from < 0 && to < 0 && from > to) return orri_kv_text(sink, "", 0);
    if (from < 0) from = from + size < 0 ? 0 : from + size;
    if (to < 0) to = to + size < 0 ? 0 : to + size;
    if (to >= size) to = size - 1;
    if (size == 0 || from > to) return orri_kv_text(sink, "", 0);
    return orri_kv_text(sink, orri_kv_value(e) + from, (size_t)(to - from + 1));
}

static int ask_count(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    int64_t n = 0;
    for (size_t i = 0; i < args->n; i++) {
        orri_kv_warm(m, args, i, 1);
        n += orri_kv_peek(m, at, orri_kv_next_arg(args)) != NULL;
    }
    return orri_kv_integer(sink, n);
}

static int ask_ttl(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    const struct orri_kv_entry *e = orri_kv_peek(m, at, args->arg[0]);
    if (!e) return orri_kv_integer(sink, -2);
    int64_t ends = orri_kv_ends(m->live, e);
    if (!ends) return orri_kv_integer(sink, -1);
    if (args->flags & ORR_KV_RELATIVE) ends -= orri_kv_ms(at);
    return orri_kv_integer(sink, args->flags & ORR_KV_SECONDS ? ends / 1000 + (ends % 1000 >= 500) : ends);
}

static int ask_type(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    sink->ops->status(sink, orri_kv_peek(m, at, args->arg[0]) ? "string" : "none");
    return 0;
}

static int ask_dbsize(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    (void)at;
    (void)args;
    return orri_kv_integer(sink, (int64_t)m->live->n);
}

/* -- Walks in hash order ------------------------------------------------------------------------------------------- */

/* Which keys a walk tells: alive, from its start on, matching. */
struct filter {
    const struct orri_kv *m;
    int64_t now;
    uint64_t from;
    const struct orr_slice *pattern;    /* NULL: all */
};

static bool passes(const struct filter *f, const struct orri_kv_entry *e) {
    if (e->hash < f->from || orri_kv_is_due(f->m, e, f->now)) return false;
    return !f->pattern || orri_kv_match(*f->pattern, orr_borrow(e->bytes, e->key_size));
}

/* Keys of the chain that pass; told to the sink where there is one. */
static size_t tell(const struct filter *f, const struct orri_kv_entry *e, struct orr_sink *sink) {
    size_t n = 0;
    for (; e; e = e->next) {
        if (!passes(f, e)) continue;
        n++;
        if (sink) sink->ops->text(sink, e->bytes, e->key_size);
    }
    return n;
}

/* All that passes between two positions (`to` 0: to the end). */
static size_t walk(const struct filter *f, uint64_t from, uint64_t to, struct orr_sink *sink) {
    size_t n = 0;
    do n += tell(f, orri_kv_bucket(f->m->live, from, &from), sink);
    while (from != to && from != 0);
    return n;
}

/* How far a scan of about `count` keys goes. */
static uint64_t scan_end(const struct orri_kv *m, uint64_t position, int64_t count) {
    int64_t seen = 0;
    for (int64_t buckets = count * SCAN_EMPTY + SCAN_SMALL; buckets > 0 && seen < count; buckets--) {
        for (const struct orri_kv_entry *e = orri_kv_bucket(m->live, position, &position); e; e = e->next) seen++;
        if (position == 0) break;
    }
    return position;
}

static int ask_scan(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    char text[ORRI_KV_DIGITS];
    uint64_t from = (uint64_t)args->a << CURSOR_SHIFT;
    int64_t count = args->b <= 0 ? SCAN_COUNT : args->b;
    if (count > SCAN_COUNT_MAX) count = SCAN_COUNT_MAX;
    if ((uint64_t)args->a >> (64 - CURSOR_SHIFT)) from = 0;                 /* nobody gave out such a cursor */
    uint64_t to = scan_end(m, from, count);
    struct filter f = { m, orri_kv_ms(at), from, args->n ? &args->arg[0] : NULL };
    sink->ops->array(sink, 2);
    sink->ops->text(sink, text, orri_kv_write_int(text, (int64_t)(to >> CURSOR_SHIFT)));
    if (args->flags & ORR_KV_NONE) {
        sink->ops->array(sink, 0);
        return 0;
    }
    sink->ops->array(sink, walk(&f, from, to, NULL));
    (void)walk(&f, from, to, sink);
    return 0;
}

static int ask_keys(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    struct filter f = { m, orri_kv_ms(at), 0, &args->arg[0] };
    sink->ops->array(sink, walk(&f, 0, 0, NULL));
    (void)walk(&f, 0, 0, sink);
    return 0;
}

/* The first key alive behind a random position; keys behind a gap come a little more often, as in Redis. */
static int ask_random(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    (void)args;
    uint64_t position = orri_rng_next(&m->rng);
    struct filter f = { m, orri_kv_ms(at), 0, NULL };
    for (unsigned buckets = 1 << 16; buckets > 0; buckets--) {
        const struct orri_kv_entry *chain = orri_kv_bucket(m->live, position, &position);
        size_t n = tell(&f, chain, NULL);
        if (n == 0) continue;
        uint64_t skip = orri_rng_below(&m->rng, n);
        for (const struct orri_kv_entry *e = chain; e; e = e->next) {
            if (passes(&f, e) && skip-- == 0) return orri_kv_text(sink, e->bytes, e->key_size);
        }
    }
    return orri_kv_nil(sink);
}

static int ask_version(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    return orri_kv_integer(sink, (int64_t)orri_kv_version(m, at, args->arg[0]));
}

static int ask_unseeded(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    (void)at;
    (void)args;
    return m->seed ? orri_kv_nil(sink) : orri_kv_text(sink, &m->secret, sizeof m->secret);
}

/* -- Keys by a prefix ---------------------------------------------------------------------------------------------- */
struct listing {
    struct filter filter;
    struct orr_slice prefix;
    size_t n, bytes;                /* that were found */
};

/* Those of a chain; told to the sink where there is one. */
static void list_chain(struct listing *l, const struct orri_kv_entry *e, struct orr_sink *sink) {
    for (; e; e = e->next) {
        bool begins = e->key_size >= l->prefix.size && memcmp(e->bytes, l->prefix.at, l->prefix.size) == 0;
        if (!begins || !passes(&l->filter, e)) continue;
        l->n++;
        l->bytes += (size_t)e->key_size + e->value_size;
        if (!sink) continue;
        sink->ops->text(sink, e->bytes, e->key_size);
        sink->ops->text(sink, orri_kv_value(e), e->value_size);
        sink->ops->integer(sink, (int64_t)e->version);
    }
}

static int ask_list(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    uint64_t from = (uint64_t)args->a, to = from, bytes = args->b > 0 ? (uint64_t)args->b : 1;
    struct listing l = { .filter = { m, orri_kv_ms(at), from, NULL }, .prefix = args->arg[0] };
    for (unsigned buckets = SCAN_SMALL; buckets > 0 && l.bytes < bytes; buckets--) {
        list_chain(&l, orri_kv_bucket(m->live, to, &to), NULL);
        if (to == 0) break;
    }
    sink->ops->array(sink, 2);
    sink->ops->integer(sink, (int64_t)to);
    sink->ops->array(sink, 3 * l.n);
    do list_chain(&l, orri_kv_bucket(m->live, from, &from), sink);
    while (from != to && from != 0);
    return 0;
}

static const question_fn questions[] = {
    [ORR_KV_GET - 64] = ask_get,       [ORR_KV_MGET - 64] = ask_mget,     [ORR_KV_SIZE - 64] = ask_size,
    [ORR_KV_RANGE - 64] = ask_range,   [ORR_KV_COUNT - 64] = ask_count,   [ORR_KV_TTL - 64] = ask_ttl,
    [ORR_KV_TYPE - 64] = ask_type,     [ORR_KV_DBSIZE - 64] = ask_dbsize, [ORR_KV_SCAN - 64] = ask_scan,
    [ORR_KV_KEYS - 64] = ask_keys,     [ORR_KV_RANDOM - 64] = ask_random, [ORR_KV_VERSION - 64] = ask_version,
    [ORR_KV_UNSEEDED - 64] = ask_unseeded, [ORR_KV_LIST - 64] = ask_list,
};

int orri_kv_ask(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink) {
    if (args->code < 64) return orri_kv_error(sink, ORR_EINVALID, "ERR not a question");
    return questions[args->code - 64](m, at, args, sink);
}
