/* ring_inner.h - what the files of the placement room share of a ring. */
#ifndef ORRI_RING_INNER_H
#define ORRI_RING_INNER_H

#include "placement/roster.h"

/* Points lie in buckets by their upper bits, about one in two: bucket b's are first[b] to first[b + 1] - 1. */
struct orr_ring {
    struct orri_roster m;
    enum orr_ring_hash hash;
    uint32_t n_points;
    uint32_t placed;                /* nodes that have a point; with ORR_RING_KETAMA a light one may have none */
    unsigned shift;                 /* place >> shift is the bucket */
    uint64_t *places;               /* sorted, those of one place by node; one more at the end, UINT64_MAX, */
    uint32_t *owners;               /* which is the first point's owner's */
    uint32_t room;                  /* for so many points */
    uint32_t *first;
    uint32_t n_buckets;
    uint64_t *shares;               /* places of each node, less than 2^64 but where it has all */
};

/* The first point at or behind the place; n_points: it is behind the last. */
static inline uint32_t orri_ring_point(const struct orr_ring *r, uint64_t place) {
    uint32_t i = r->first[place >> r->shift];
    while (r->places[i] < place) i++;
    return i;
}

/* -- Other programs' hashes (ring_hash.c) ---------------------------------------------------------------------------
 * Their circles have 2^32 places: a key's place is its hash and 32 zero bits, a point's is its hash and 32 ones, so
 * that the order is theirs and a point's own place is its own. */
#define ORRI_RING_POINT(hash) ((uint64_t)(hash) << 32 | UINT32_MAX)
static inline bool orri_ring_is_foreign(enum orr_ring_hash hash) { return hash != ORR_RING_XXH3; }
static inline bool orri_ring_by_md5(enum orr_ring_hash hash) {
    return hash != ORR_RING_XXH3 && hash != ORR_RING_NGINX;
}
double orri_ring_weight_max(enum orr_ring_hash hash);
uint32_t orri_ring_foreign_points(const struct orr_ring *r, uint32_t node, double all_weights);
/* Writes that many places. */
void orri_ring_foreign_places(const struct orr_ring *r, uint32_t node, uint32_t n, uint64_t *to);
uint64_t orri_ring_foreign_place(enum orr_ring_hash hash, const void *key, size_t size);
/* Two ids of one server, as "a" and "a:11211" are with ORR_RING_KETAMA: the second node's number, else
 * ORR_RING_NOBODY. -ENOMEM. */
int orri_ring_aliases(const struct orr_ring *r, uint32_t *second);

#endif
