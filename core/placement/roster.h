/* roster.h - the nodes of a placement: checked, copied, sorted by id, with their failure domains. */
#ifndef ORRI_ROSTER_H
#define ORRI_ROSTER_H

#include <orrery/ring.h>

struct orri_listed {
    const char *id, *zone;
    double weight;
    uint32_t domains[ORR_RING_LEVELS_MAX];      /* on each level, one number for each failure domain, from 0; a node
                                                 * whose zone has fewer levels is one of its own below */
};
struct orri_roster {
    struct orr_alloc alloc;
    struct orri_listed *nodes;      /* by id */
    uint32_t n;
    uint32_t levels;                /* on which anybody has a domain, */
    uint32_t domains[ORR_RING_LEVELS_MAX];      /* and how many there are on each */
    char *text;
    size_t text_size;
};

/* Takes copies. ORR_EINVALID and *wrong as orr_ring_new; -ENOMEM. What it took until then is to be freed all the same.
 * whole: weights must be whole numbers. */
int orri_roster_take(struct orri_roster *m, const struct orr_ring_node *nodes, size_t n, double weight_max,
                      bool whole, size_t *wrong);
void orri_roster_free(struct orri_roster *m);
uint32_t orri_roster_find(const struct orri_roster *m, const char *id);       /* ORR_RING_NOBODY */
/* The place in `nodes` of the last one with that id. */
size_t orri_roster_given(const struct orr_ring_node *nodes, size_t n, const char *id);
double orri_roster_weights(const struct orri_roster *m);

/* May `node` be the next of these owners, on that level: neither one of them nor in a domain of theirs? */
bool orri_roster_fits(const struct orri_roster *m, const uint32_t *owners, uint32_t n, uint32_t node,
                       uint32_t level);
/* In how many of the widest zones they are. */
uint32_t orri_roster_zones(const struct orri_roster *m, const uint32_t *owners, uint32_t n);

static inline void *orri_get(const struct orr_alloc *a, size_t n, size_t each) {
    return a->fn(a->ud, NULL, 0, n * each);
}
static inline void orri_give_back(const struct orr_alloc *a, void *p, size_t n, size_t each) {
    if (p) a->fn(a->ud, p, n * each, 0);
}

#endif
