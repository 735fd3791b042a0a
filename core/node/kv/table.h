/* table.h - the keys of one state: a hash table in hash order, and a heap of those that will expire.
 *
 * The table is linear hashing turned round. A bucket is addressed by the *top* bits of the hash, so buckets stand in
 * hash order whatever their number, and a position in that order (a hash) means the same on every node: SCAN's cursors
 * and snapshots are such positions. It grows by splitting one bucket at a time, in order:
 *
 *     coarse:  2^bits buckets      c            those below `split` are gone, each split into
 *     fine:    2^(bits+1) buckets  2c, 2c+1     these two
 *
 * and shrinks by joining them again, from `split` downwards. Both arrays lie in segments that come and go with the
 * boundary, so no insertion or removal does more than a handful of moves and one segment of 32 KiB: there is no pause
 * at any size. A split that finds no memory does not happen; the next insertion tries again.
 *
 * The heap orders by (time, hash, key): a total order that does not know who was inserted first,
 * so every replica removes the same keys at the same log position, one that was restored from a snapshot too. */
#ifndef ORRI_KV_TABLE_H
#define ORRI_KV_TABLE_H

#include <orrery/base.h>

struct orri_kv_entry {
    struct orri_kv_entry *next;
    uint64_t hash, version, digest;
    uint32_t key_size, value_size;
    uint32_t place;                 /* in the heap, from 1; 0: it has no end */
    uint32_t image;                 /* the last snapshot that has it, or that it was too new for */
    unsigned char bytes[];          /* the key, then the value */
};
struct orri_kv_level {
    struct orri_kv_entry ***segments;
    uint64_t n_segments;
};
struct orri_kv_end {
    int64_t ends;                   /* log time in ms, above 0 */
    struct orri_kv_entry *entry;
};
struct orri_kv_table {
    const struct orr_alloc *alloc;
    struct orri_kv_level coarse, fine;
    unsigned bits;
    uint64_t split;                 /* coarse buckets below it have moved to `fine` */
    uint64_t n, bytes;
    struct orri_kv_end **ends;      /* the heap, in segments: a directory with room for n_end_segments */
    uint32_t n_ends, n_end_segments, end_segments_max;
    struct orri_kv_table *next;     /* among tables that are being taken down */
    uint64_t reaped;                /* how far that has come, in hash order */
    bool emptied;
};

int orri_kv_table_new(struct orri_kv_table **out, const struct orr_alloc *alloc);
/* More buckets, or less, than the number of keys asks for: that of `hash` is split, or joined with its twin, and so
 * are those between it and the boundary, as far as there is memory. */
void orri_kv_table_split(struct orri_kv_table *t, uint64_t hash);
void orri_kv_table_join(struct orri_kv_table *t, uint64_t hash);
/* Takes a table down, about `work` entries or segments a call; true: it is gone, and so is `t`. */
bool orri_kv_table_reap(struct orri_kv_table *t, uint64_t work);

static inline const unsigned char *orri_kv_value(const struct orri_kv_entry *e) { return e->bytes + e->key_size; }

/* The pointer that points to the key's entry, or NULL. It holds until the table changes. */
struct orri_kv_entry **orri_kv_find(const struct orri_kv_table *t, const void *key, size_t size, uint64_t hash);
/* Has the bucket (step 0), then its first entry (step 1) fetched into the cache. */
void orri_kv_prefetch(const struct orri_kv_table *t, uint64_t hash, unsigned step);
/* A new entry with room for its value, which is not written yet; the key isn't there. NULL:
 * no memory, nothing changed. */
struct orri_kv_entry *orri_kv_insert(struct orri_kv_table *t, struct orr_slice key, uint64_t hash, uint32_t value_size);
/* Another size for the value; as much of the old one as fits is kept. NULL: no memory, nothing changed. */
struct orri_kv_entry *orri_kv_resize(struct orri_kv_table *t, struct orri_kv_entry **link, uint32_t value_size);
void orri_kv_remove(struct orri_kv_table *t, struct orri_kv_entry **link);

/* In ms, 0: never. Setting one fails with -ENOMEM only when it had none. */
int64_t orri_kv_ends(const struct orri_kv_table *t, const struct orri_kv_entry *e);
int orri_kv_set_ends(struct orri_kv_table *t, struct orri_kv_entry *e, int64_t ends);
/* The first to end, or NULL. */
struct orri_kv_entry *orri_kv_first_end(const struct orri_kv_table *t);

/* The chain of the bucket in which `position` lies; *next is where the next bucket begins, 0 after the last. */
struct orri_kv_entry *orri_kv_bucket(const struct orri_kv_table *t, uint64_t position, uint64_t *next);

/* Asserts what must hold of the whole table: debug and tests. */
void orri_kv_table_check(const struct orri_kv_table *t);

/* expiry.c, for table.c: the entry has moved in memory, or goes. */
void orri_kv_end_moved(struct orri_kv_table *t, struct orri_kv_entry *e);
bool orri_kv_ends_reap(struct orri_kv_table *t);    /* frees one segment; false: there was none */

#endif
