/* map.c - the map: entries in the order of insertion, and an index of their positions by hash, probed linearly.
 *
 * A removed entry stays as a gap, and its index slot with it, which so serves as the tombstone of the probe. The index
 * has at least twice as many slots as there is room for entries, hence always an empty one, where each probe ends. Gaps
 * go when the entries are full: in place where a quarter or more of them are gaps, else while growing.               */
#include "base/map.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

enum { CAP_FIRST = 8 };

static void *resize(const struct orr_map *map, void *ptr, size_t old_size, size_t new_size) {
    return map->alloc->fn(map->alloc->ud, ptr, old_size, new_size);
}

void orri_map_init(struct orr_map *map, const struct orr_alloc *alloc, uint64_t seed) {
    *map = (struct orr_map){ .alloc = alloc, .seed = seed };
}

void orri_map_clear(struct orr_map *map) {
    struct orr_map_entry *e;
    for (size_t at = 0; (e = orri_map_each(map, &at));) resize(map, e->key, e->size + 1, 0);
    if (map->entries) resize(map, map->entries, map->cap * sizeof *map->entries, 0);
    if (map->index) resize(map, map->index, map->index_cap * sizeof *map->index, 0);
    orri_map_init(map, map->alloc, map->seed);
}

static struct orr_map_entry *find(const struct orr_map *map, const void *key, size_t size, uint64_t hash) {
    if (map->n == 0) return NULL;
    size_t mask = map->index_cap - 1;
    for (size_t i = hash & mask; map->index[i] != 0; i = (i + 1) & mask) {
        struct orr_map_entry *e = &map->entries[map->index[i] - 1];
        if (e->key && e->hash == hash && e->size == size && (size == 0 || memcmp(e->key, key, size) == 0)) return e;
    }
    return NULL;
}

static void point_to(struct orr_map *map, size_t entry) {
    size_t mask = map->index_cap - 1;
    size_t i = map->entries[entry].hash & mask;
    while (map->index[i] != 0) i = (i + 1) & mask;
    map->index[i] = (uint32_t)entry + 1;
}

/* Closes the gaps and writes the index anew. */
static void close_gaps(struct orr_map *map) {
    size_t n = 0;
    for (size_t i = 0; i < map->n_entries; i++) {
        if (map->entries[i].key) map->entries[n++] = map->entries[i];
    }
    ORR_ASSERT(n == map->n);
    map->n_entries = n;
    memset(map->index, 0, map->index_cap * sizeof *map->index);
    for (size_t i = 0; i < n; i++) point_to(map, i);
}

static int grow(struct orr_map *map) {
    size_t cap = map->cap ? 2 * map->cap : CAP_FIRST;
    if (cap > UINT32_MAX / 2) return -ENOMEM;
    uint32_t *index = resize(map, NULL, 0, 2 * cap * sizeof *index);
    if (!index) return -ENOMEM;
    struct orr_map_entry *entries = resize(map, map->entries, map->cap * sizeof *entries, cap * sizeof *entries);
    if (!entries) {
        resize(map, index, 2 * cap * sizeof *index, 0);
        return -ENOMEM;
    }
    if (map->index) resize(map, map->index, map->index_cap * sizeof *map->index, 0);
    map->index = index;
    map->index_cap = 2 * cap;
    map->entries = entries;
    map->cap = cap;
    close_gaps(map);
    return 0;
}

static int make_room(struct orr_map *map) {
    if (map->n_entries < map->cap) return 0;
    if (map->cap == 0 || map->n > map->cap / 4 * 3) return grow(map);
    close_gaps(map);
    return 0;
}

void *orri_map_get(const struct orr_map *map, const void *key, size_t size) {
    if (map->n == 0) return NULL;
    struct orr_map_entry *e = find(map, key, size, orri_hash64(key, size, map->seed));
    return e ? e->value : NULL;
}

int orri_map_set(struct orr_map *map, const void *key, size_t size, void *value, void **old) {
    ORR_ASSERT(value != NULL);
    uint64_t hash = orri_hash64(key, size, map->seed);
    struct orr_map_entry *e = find(map, key, size, hash);
    if (old) *old = e ? e->value : NULL;
    if (e) {
        e->value = value;
        return 0;
    }
    unsigned char *copy = resize(map, NULL, 0, size + 1);
    if (!copy) return -ENOMEM;
    if (make_room(map) != 0) {
        resize(map, copy, size + 1, 0);
        return -ENOMEM;
    }
    if (size) memcpy(copy, key, size);
    copy[size] = 0;
    map->entries[map->n_entries++] = (struct orr_map_entry){ hash, copy, size, value };
    map->n++;
    point_to(map, map->n_entries - 1);
    return 0;
}

void *orri_map_remove(struct orr_map *map, const void *key, size_t size) {
    struct orr_map_entry *e = map->n ? find(map, key, size, orri_hash64(key, size, map->seed)) : NULL;
    if (!e) return NULL;
    void *value = e->value;
    resize(map, e->key, e->size + 1, 0);
    *e = (struct orr_map_entry){ 0 };
    map->n--;
    return value;
}

struct orr_map_entry *orri_map_each(const struct orr_map *map, size_t *at) {
    while (*at < map->n_entries) {
        struct orr_map_entry *e = &map->entries[(*at)++];
        if (e->key) return e;
    }
    return NULL;
}
