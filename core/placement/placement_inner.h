/* placement_inner.h - a placement and its policies. Each policy is a table of what it does. */
#ifndef ORRI_PLACEMENT_INNER_H
#define ORRI_PLACEMENT_INNER_H

#include <orrery/placement.h>

#include "placement/ring_inner.h"

struct orri_policy {
    /* Makes its part of p, whose config is there and, but for ring and multi-probe, its members. */
    int (*make)(struct orr_placement *p, const struct orr_ring_node *nodes, size_t n, size_t *wrong);
    void (*clear)(struct orr_placement *p);     /* gives that back, as much as there is */
    uint32_t (*owner)(const struct orr_placement *p, uint64_t place);
    double (*share)(const struct orr_placement *p, uint32_t node);
    size_t (*room)(const struct orr_placement *p);      /* words that its walks want beside one bit for each node */
    void (*begin)(struct orr_placement_walk *w);        /* whose bits and `left` are set; may be NULL */
    uint32_t (*next)(struct orr_placement_walk *w);     /* somebody is left */
};
extern const struct orri_policy orri_policy_ring, orri_policy_jump, orri_policy_rendezvous, orri_policy_maglev,
    orri_policy_multiprobe;

enum { ORRI_LOG_STEPS = 256 };
struct orr_placement {
    struct orr_placement_config cfg;
    const struct orri_policy *policy;
    const struct orri_roster *m;   /* its own, or the ring's */
    struct orri_roster own;
    uint32_t placed;                /* nodes that own something */
    struct orr_ring *ring;          /* of ring; of multi-probe, with its points */
    uint32_t *order;                /* jump: buckets' nodes */
    uint64_t *seeds;                /* rendezvous: of each node; */
    bool weighted;
    uint64_t logs[ORRI_LOG_STEPS + 1];
    uint16_t *slots;                /* Maglev: slots' nodes, and how many each has */
    uint32_t *counts;
    double *shares;                 /* multi-probe: of each node */
};

static inline void *orri_placement_get(const struct orr_placement *p, size_t n, size_t each) {
    return orri_get(&p->cfg.alloc, n, each);
}
static inline void orri_placement_give_back(const struct orr_placement *p, void *at, size_t n, size_t each) {
    orri_give_back(&p->cfg.alloc, at, n, each);
}

/* A walk's marks. */
static inline bool orri_walk_met(const struct orr_placement_walk *w, uint32_t node) {
    return w->room[node / 64] >> node % 64 & 1;
}
static inline uint32_t orri_walk_meet(struct orr_placement_walk *w, uint32_t node) {
    w->room[node / 64] |= UINT64_C(1) << node % 64;
    w->left--;
    return node;
}
/* The policy's own words. */
static inline uint64_t *orri_walk_own(const struct orr_placement_walk *w) {
    return w->room + ORR_RING_SEEN(w->placement->m->n);
}

/* splitmix64 (Steele, Lea and Flood, 2014): the draw number i of a stream. */
static inline uint64_t orri_draw(uint64_t seed, uint64_t i) {
    uint64_t z = seed + i * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* -log2 of a draw over 2^64, in parts of 2^-40 (rendezvous.c). Never more for a higher draw. */
void orri_rendezvous_logs(uint64_t logs[ORRI_LOG_STEPS + 1]);
uint64_t orri_rendezvous_cost(const uint64_t logs[ORRI_LOG_STEPS + 1], uint64_t draw);

/* One node's turns at filling a table (maglev.c). */
struct orri_turn {
    double due, every;              /* the next turn, and the span between two */
    uint32_t node, at, skip;        /* the slot it wants next, the step to the one after */
};
/* Fills all slots, n turns of which are at their first. */
void orri_maglev_fill(uint16_t *slots, uint32_t n_slots, struct orri_turn *turns, uint32_t n);

#endif
