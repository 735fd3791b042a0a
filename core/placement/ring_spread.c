/* ring_spread.c - more than one owner: replicas in distinct zones, whom to try next, bounded loads. */
#include <string.h>

#include "placement/ring_inner.h"

/* -- Walking ------------------------------------------------------------------------------------------------------- */
void orr_ring_walk(struct orr_ring_walk *w, const struct orr_ring *r, uint64_t place, uint64_t *seen) {
    *w = (struct orr_ring_walk){ .ring = r, .seen = seen, .at = orri_ring_point(r, place), .left = r->placed };
    memset(seen, 0, ORR_RING_SEEN(r->m.n) * sizeof *seen);
}

uint32_t orr_ring_next(struct orr_ring_walk *w) {
    const struct orr_ring *r = w->ring;
    if (w->left == 0) return ORR_RING_NOBODY;
    for (;; w->at++) {
        if (w->at >= r->n_points) w->at -= r->n_points;
        uint32_t node = r->owners[w->at];
        uint64_t bit = UINT64_C(1) << node % 64;
        if (w->seen[node / 64] & bit) continue;
        w->seen[node / 64] |= bit;
        w->left--;
        return node;
    }
}

/* -- Replicas ------------------------------------------------------------------------------------------------------ */
/* Level after level: while one has domains that no owner is in yet, the next owner is of one of those. */
uint32_t orr_ring_owners_at(const struct orr_ring *r, uint64_t place, uint32_t n, uint32_t *owners, uint32_t *zones) {
    uint32_t most = n < r->placed ? n : r->placed, have = 0, start = orri_ring_point(r, place);
    for (uint32_t level = 0; level <= r->m.levels && have < most; level++) {
        uint32_t room = level < r->m.levels ? r->m.domains[level] : r->m.n;
        for (uint32_t step = 0; step < r->n_points && have < most && have < room; step++) {
            uint32_t at = start + step < r->n_points ? start + step : start + step - r->n_points;
            if (orri_roster_fits(&r->m, owners, have, r->owners[at], level)) owners[have++] = r->owners[at];
        }
    }
    if (zones) *zones = orri_roster_zones(&r->m, owners, have);
    return have;
}

/* -- Bounded loads ------------------------------------------------------------------------------------------------- */
uint32_t orr_ring_bounded_at(const struct orr_ring *r, uint64_t place, const uint64_t *loads, double slack) {
    uint32_t at = orri_ring_point(r, place);
    double total = 1, weights = orri_roster_weights(&r->m);
    if (!loads) return r->owners[at];
    for (uint32_t i = 0; i < r->m.n; i++) total += (double)loads[i];
    for (uint32_t step = 0; step < r->n_points; step++, at++) {
        if (at >= r->n_points) at -= r->n_points;
        uint32_t node = r->owners[at];
        double part = (1 + slack) * total * r->m.nodes[node].weight / weights;
        if ((double)loads[node] + 1 <= part || (double)loads[node] < part) return node;
    }
    return r->owners[orri_ring_point(r, place)];    /* no slack: all are full */
}
