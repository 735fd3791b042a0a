/* ring_inner.h - what the files of the placement room share. */
#ifndef ORRI_RING_INNER_H
#define ORRI_RING_INNER_H

#include <orrery/ring.h>

struct orri_ring_node {
    const char *id, *zone;
    double weight;
    uint32_t domains[ORR_RING_LEVELS_MAX];      /* on each level, one number for each failure domain, from 0; a node
                                                 * whose zone has fewer levels is one of its own below */
};
/* Points lie in buckets by their upper bits, about one in two: bucket b's are first[b] to first[b + 1] - 1. */
struct orr_ring {
    struct orr_alloc alloc;
    struct orri_ring_node *nodes;   /* by id */
    uint32_t n, n_points;
    uint32_t levels;                /* on which anybody has a domain, */
    uint32_t domains[ORR_RING_LEVELS_MAX];      /* and how many there are on each */
    unsigned shift;                 /* place >> shift is the bucket */
    uint64_t *places;               /* sorted, those of one place by node; one more at the end, UINT64_MAX, */
    uint32_t *owners;               /* which is the first point's owner's */
    uint32_t *first;
    uint32_t n_buckets;
    uint64_t *shares;               /* places of each node, less than 2^64 but where it has all */
    char *text;
    size_t text_size;
};

/* The first point at or behind the place; n_points: it is behind the last. */
static inline uint32_t orri_ring_point(const struct orr_ring *r, uint64_t place) {
    uint32_t i = r->first[place >> r->shift];
    while (r->places[i] < place) i++;
    return i;
}

#endif
