/* table.c - the hash table of table.h: find, insert, resize, remove, growth in steps, taking down in steps.
 *
 * Invariants: n buckets are 2^bits + split; a coarse segment exists when it has a bucket at or above split, a fine one
 * when it has one below 2 * split; a chain holds exactly the entries whose top bits are the bucket's number. Load is
 * kept between one key for four buckets and one for two: each further entry of a chain is a wait for memory. */
#include "node/kv/table.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

enum {
    SEGMENT_BITS = 12,
    SEGMENT = 1 << SEGMENT_BITS,
    ROUND = 16,                     /* sizes of entries: a value that stays within is written in place */
    SPLITS = 2, JOINS = 4           /* buckets that one insertion splits, one removal joins, at most */
};

static void *get(struct orri_kv_table *t, size_t size) {
    void *p = t->alloc->fn(t->alloc->ud, NULL, 0, size);
    if (p) t->bytes += size;
    return p;
}

static void put(struct orri_kv_table *t, void *p, size_t size) {
    if (!p) return;
    t->alloc->fn(t->alloc->ud, p, size, 0);
    t->bytes -= size;
}

static size_t entry_bytes(uint32_t key_size, uint32_t value_size) {
    return (sizeof(struct orri_kv_entry) + key_size + value_size + ROUND - 1) / ROUND * ROUND;
}

/* -- Levels -------------------------------------------------------------------------------------------------------- */

static bool level_init(struct orri_kv_table *t, struct orri_kv_level *level, unsigned bits) {
    uint64_t n = (uint64_t)1 << (bits - SEGMENT_BITS);
    level->segments = get(t, n * sizeof *level->segments);
    if (!level->segments) return false;
    memset(level->segments, 0, n * sizeof *level->segments);
    level->n_segments = n;
    return true;
}

static void level_clear(struct orri_kv_table *t, struct orri_kv_level *level) {
    put(t, level->segments, level->n_segments * sizeof *level->segments);
    *level = (struct orri_kv_level){ NULL, 0 };
}

/* Makes sure that the segment of `bucket` is there. */
static bool level_need(struct orri_kv_table *t, struct orri_kv_level *level, uint64_t bucket) {
    struct orri_kv_entry ***at = &level->segments[bucket >> SEGMENT_BITS];
    if (*at) return true;
    *at = get(t, SEGMENT * sizeof **at);
    if (*at) memset(*at, 0, SEGMENT * sizeof **at);
    return *at != NULL;
}

static void level_forget(struct orri_kv_table *t, struct orri_kv_level *level, uint64_t segment) {
    put(t, level->segments[segment], SEGMENT * sizeof **level->segments);
    level->segments[segment] = NULL;
}

static struct orri_kv_entry **level_at(const struct orri_kv_level *level, uint64_t bucket) {
    return &level->segments[bucket >> SEGMENT_BITS][bucket & (SEGMENT - 1)];
}

static struct orri_kv_entry **slot_of(const struct orri_kv_table *t, uint64_t hash) {
    uint64_t c = hash >> (64 - t->bits);
    return c < t->split ? level_at(&t->fine, hash >> (63 - t->bits)) : level_at(&t->coarse, c);
}

static uint64_t n_buckets(const struct orri_kv_table *t) { return ((uint64_t)1 << t->bits) + t->split; }

/* -- Growing and shrinking ----------------------------------------------------------------------------------------- */

/* All buckets are split: that is a table of twice the size. */
static void roll(struct orri_kv_table *t) {
    level_clear(t, &t->coarse);
    t->coarse = t->fine;
    t->fine = (struct orri_kv_level){ NULL, 0 };
    t->bits++;
    t->split = 0;
}

static bool split_one(struct orri_kv_table *t) {
    if (t->split == (uint64_t)1 << t->bits) roll(t);            /* halve() went before a failed join */
    uint64_t c = t->split;
    if (!t->fine.segments && !level_init(t, &t->fine, t->bits + 1)) return false;
    if (!level_need(t, &t->fine, 2 * c)) return false;
    struct orri_kv_entry **from = level_at(&t->coarse, c), *next;
    for (struct orri_kv_entry *e = *from; e; e = next) {
        struct orri_kv_entry **to = level_at(&t->fine, e->hash >> (63 - t->bits));
        next = e->next;
        e->next = *to;
        *to = e;
    }
    *from = NULL;
    t->split++;
    if ((t->split & (SEGMENT - 1)) == 0) level_forget(t, &t->coarse, c >> SEGMENT_BITS);
    if (t->split == (uint64_t)1 << t->bits) roll(t);
    return true;
}

/* All buckets count as just split: the step that lets joining go on below a power of two. */
static bool halve(struct orri_kv_table *t) {
    struct orri_kv_level coarse;
    if (t->bits == SEGMENT_BITS || !level_init(t, &coarse, t->bits - 1)) return false;
    if (t->fine.segments) level_clear(t, &t->fine);
    t->fine = t->coarse;
    t->coarse = coarse;
    t->bits--;
    t->split = (uint64_t)1 << t->bits;
    return true;
}

static bool join_one(struct orri_kv_table *t) {
    if (t->split == 0 && !halve(t)) return false;
    uint64_t c = t->split - 1;
    if (!level_need(t, &t->coarse, c)) return false;
    struct orri_kv_entry **to = level_at(&t->coarse, c), **end = to;
    for (unsigned i = 0; i < 2; i++) {
        struct orri_kv_entry **from = level_at(&t->fine, 2 * c + i);
        *end = *from;
        *from = NULL;
        while (*end) end = &(*end)->next;
    }
    t->split--;
    if ((2 * c & (SEGMENT - 1)) == 0) level_forget(t, &t->fine, 2 * c >> SEGMENT_BITS);
    if (t->split == 0) level_clear(t, &t->fine);
    return true;
}

static bool is_split(const struct orri_kv_table *t, uint64_t hash) { return hash >> (64 - t->bits) < t->split; }

/* Never the last one of a level: it would make a table of twice the size, and the next time another. */
void orri_kv_table_split(struct orri_kv_table *t, uint64_t hash) {
    uint64_t last = ((uint64_t)1 << t->bits) - 1;
    while (!is_split(t, hash) && t->split < last && split_one(t)) {}
}
void orri_kv_table_join(struct orri_kv_table *t, uint64_t hash) {
    while (is_split(t, hash) && join_one(t)) {}
}

/* -- Entries ------------------------------------------------------------------------------------------------------- */

struct orri_kv_entry **orri_kv_find(const struct orri_kv_table *t, const void *key, size_t size, uint64_t hash) {
    for (struct orri_kv_entry **link = slot_of(t, hash), *e; (e = *link); link = &e->next) {
        if (e->hash == hash && e->key_size == size && memcmp(e->bytes, key, size) == 0) return link;
    }
    return NULL;
}

void orri_kv_prefetch(const struct orri_kv_table *t, uint64_t hash, unsigned step) {
    enum { LINE = 64, LINES = 3 };  /* head, a short key and the beginning of the value */
    struct orri_kv_entry **slot = slot_of(t, hash);
    if (step == 0) {
        __builtin_prefetch(slot);
        return;
    }
    const char *e = (const char *)*slot;
    for (size_t i = 0; e && i < LINES; i++) __builtin_prefetch(e + i * LINE);
}

struct orri_kv_entry *orri_kv_insert(struct orri_kv_table *t, struct orr_slice key, uint64_t hash,
                                     uint32_t value_size) {
    struct orri_kv_entry *e = get(t, entry_bytes((uint32_t)key.size, value_size));
    if (!e) return NULL;
    struct orri_kv_entry **slot = slot_of(t, hash);
    *e = (struct orri_kv_entry){ .next = *slot, .hash = hash,
                                 .key_size = (uint32_t)key.size, .value_size = value_size };
    if (key.size) memcpy(e->bytes, key.at, key.size);
    *slot = e;
    t->n++;
    for (unsigned i = 0; i < SPLITS && t->n * 2 > n_buckets(t) && split_one(t); i++) {}
    return e;
}

struct orri_kv_entry *orri_kv_resize(struct orri_kv_table *t, struct orri_kv_entry **link, uint32_t value_size) {
    struct orri_kv_entry *e = *link;
    size_t old_size = entry_bytes(e->key_size, e->value_size), new_size = entry_bytes(e->key_size, value_size);
    if (old_size != new_size) {
        e = t->alloc->fn(t->alloc->ud, e, old_size, new_size);
        if (!e) return NULL;
        t->bytes += new_size - old_size;
        *link = e;
        orri_kv_end_moved(t, e);
    }
    e->value_size = value_size;
    return e;
}

void orri_kv_remove(struct orri_kv_table *t, struct orri_kv_entry **link) {
    struct orri_kv_entry *e = *link;
    (void)orri_kv_set_ends(t, e, 0);
    *link = e->next;
    put(t, e, entry_bytes(e->key_size, e->value_size));
    t->n--;
    for (unsigned i = 0; i < JOINS && t->n * 4 < n_buckets(t) && join_one(t); i++) {}
}

struct orri_kv_entry *orri_kv_bucket(const struct orri_kv_table *t, uint64_t position, uint64_t *next) {
    uint64_t c = position >> (64 - t->bits);
    unsigned shift = c < t->split ? 63 - t->bits : 64 - t->bits;
    *next = ((position >> shift) + 1) << shift;         /* wraps to 0 behind the last bucket */
    return *slot_of(t, position);
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */

int orri_kv_table_new(struct orri_kv_table **out, const struct orr_alloc *alloc) {
    struct orri_kv_table *t = alloc->fn(alloc->ud, NULL, 0, sizeof *t);
    if (!t) return -ENOMEM;
    *t = (struct orri_kv_table){ .alloc = alloc, .bits = SEGMENT_BITS };
    if (level_init(t, &t->coarse, t->bits) && level_need(t, &t->coarse, 0)) {
        *out = t;
        return 0;
    }
    if (t->coarse.segments) level_clear(t, &t->coarse);
    alloc->fn(alloc->ud, t, sizeof *t, 0);
    return -ENOMEM;
}

static uint64_t reap_bucket(struct orri_kv_table *t) {
    struct orri_kv_entry **slot = slot_of(t, t->reaped), *next;
    uint64_t work = 1;
    for (struct orri_kv_entry *e = *slot; e; e = next, work++) {
        next = e->next;
        put(t, e, entry_bytes(e->key_size, e->value_size));
    }
    *slot = NULL;
    (void)orri_kv_bucket(t, t->reaped, &t->reaped);
    t->emptied = t->reaped == 0;
    return work;
}

/* Frees the last segment of a level, the level with it when it was the first. */
static bool reap_segment(struct orri_kv_table *t, struct orri_kv_level *level, uint64_t *n_left) {
    if (!level->segments) return false;
    if (*n_left > 0) level_forget(t, level, --*n_left);
    else level_clear(t, level);
    return true;
}

bool orri_kv_table_reap(struct orri_kv_table *t, uint64_t work) {
    while (!t->emptied) {
        uint64_t did = reap_bucket(t);
        if (t->emptied) {           /* from now on these two count the segments that are left */
            t->reaped = t->coarse.n_segments;
            t->split = t->fine.n_segments;
        }
        if (did >= work) return false;
        work -= did;
    }
    for (uint64_t i = 0; i < work; i++) {
        if (orri_kv_ends_reap(t)) continue;
        if (reap_segment(t, &t->coarse, &t->reaped)) continue;
        if (reap_segment(t, &t->fine, &t->split)) continue;
        ORR_ASSERT(t->bytes == 0);
        t->alloc->fn(t->alloc->ud, t, sizeof *t, 0);
        return true;
    }
    return false;
}

void orri_kv_table_check(const struct orri_kv_table *t) {
    uint64_t n = 0, n_ends = 0, position = 0, next;
    do {
        for (const struct orri_kv_entry *e = orri_kv_bucket(t, position, &next); e; e = e->next, n++) {
            ORR_ASSERT(e->hash >= position && (next == 0 || e->hash < next));
            if (e->place) n_ends++;
            ORR_ASSERT(!e->place || orri_kv_ends(t, e) > 0);
        }
        position = next;
    } while (position != 0);
    ORR_ASSERT(n == t->n && n_ends == t->n_ends);
}
