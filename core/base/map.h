/* map.h - a map from short byte keys to pointers that keeps the order of insertion.
 *
 * Open addressing over an array of entries in insertion order; removal leaves a gap that the next growth closes, so
 * iteration is by insertion whatever the hashes. Keys are copied (a NUL follows the copy, so a name is a string).
 * One seed a map, so that no peer can choose collisions. A pointer to an entry holds until the next set. */
#ifndef ORRI_MAP_H
#define ORRI_MAP_H

#include <orrery/base.h>

struct orr_map_entry {
    uint64_t hash;
    unsigned char *key;             /* NULL: a gap */
    size_t size;
    void *value;
};
struct orr_map {
    struct orr_map_entry *entries;
    size_t n_entries, cap, n;       /* entries used (gaps too), room for, alive */
    uint32_t *index;
    size_t index_cap;
    uint64_t seed;
    const struct orr_alloc *alloc;
};

void orri_map_init(struct orr_map *map, const struct orr_alloc *alloc, uint64_t seed);
void orri_map_clear(struct orr_map *map);
void *orri_map_get(const struct orr_map *map, const void *key, size_t size);               /* NULL: not there */
/* Sets key to value (not NULL); *old (may be NULL) gets what was there before. -ENOMEM. */
int orri_map_set(struct orr_map *map, const void *key, size_t size, void *value, void **old);
void *orri_map_remove(struct orr_map *map, const void *key, size_t size);                  /* the value, or NULL */
/* In order of insertion: start with *at = 0; NULL at the end. Removing while iterating is fine, setting is not. */
struct orr_map_entry *orri_map_each(const struct orr_map *map, size_t *at);

#endif
