/* rendezvous.c - highest random weight (Thaler and Ravishankar, 1998): for each key each node draws, and the highest
 * has it. With weights (Schindelhauer and Schomaker, 2005) the lowest -log(draw) / weight has it, which is the same
 * where weights are.
 *
 * No two libms agree on the last bits of a logarithm, so ours is made of whole numbers: straight lines between 257
 * known ones, which are found digit by digit. It is off by 3 in a million at most and never falls as draws rise, so
 * equal weights order nodes as their draws do. The quotient with a weight is IEEE 754's, the same everywhere. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <string.h>

#include "placement/placement_inner.h"

enum { FRACTION = 40, STEP_BITS = 8, REST_BITS = 31 };

/* -- Logarithms ---------------------------------------------------------------------------------------------------- */
/* log2 of x, 2^31 <= x < 2^32 being 1 to 2: its next digit is whether the square has passed 2. */
static uint64_t digits(uint64_t x) {
    uint64_t log = 0;
    for (unsigned i = 0; i < FRACTION; i++) {
        x = x * x >> 31;
        log = log << 1 | x >> 32;
        if (x >> 32) x >>= 1;
    }
    return log;
}

void orri_rendezvous_logs(uint64_t logs[ORRI_LOG_STEPS + 1]) {
    logs[0] = 0;
    for (uint64_t i = 1; i < ORRI_LOG_STEPS; i++) logs[i] = digits((ORRI_LOG_STEPS + i) << (31 - STEP_BITS));
    logs[ORRI_LOG_STEPS] = UINT64_C(1) << FRACTION;
}

uint64_t orri_rendezvous_cost(const uint64_t logs[ORRI_LOG_STEPS + 1], uint64_t draw) {
    unsigned zeros = (unsigned)__builtin_clzll(draw | 1);
    uint64_t x = (draw | 1) << zeros, step = x >> (63 - STEP_BITS) & (ORRI_LOG_STEPS - 1);
    uint64_t rest = x >> (63 - STEP_BITS - REST_BITS) & ((UINT64_C(1) << REST_BITS) - 1);
    uint64_t log = logs[step] + ((logs[step + 1] - logs[step]) * rest >> REST_BITS);
    return ((UINT64_C(1) + zeros) << FRACTION) - log;
}

/* -- Draws --------------------------------------------------------------------------------------------------------- */
static uint64_t draw(const struct orr_placement *p, uint32_t node, uint64_t place) {
    return orri_draw(place ^ p->seeds[node], 1);
}

/* The lowest has the key; of equal ones the higher draw, then the lower id. Doubles above 0 are ordered as their bits
 * are. */
static uint64_t rank(const struct orr_placement *p, uint32_t node, uint64_t drawn) {
    uint64_t bits;
    if (!p->weighted) return ~drawn;
    double cost = (double)orri_rendezvous_cost(p->logs, drawn) / p->own.nodes[node].weight;
    memcpy(&bits, &cost, sizeof bits);
    return bits;
}

static uint32_t owner(const struct orr_placement *p, uint64_t place) {
    uint64_t best_draw = draw(p, 0, place), best = rank(p, 0, best_draw);
    uint32_t node = 0;
    for (uint32_t i = 1; i < p->own.n; i++) {
        uint64_t drawn = draw(p, i, place), ours = rank(p, i, drawn);
        if (ours > best || (ours == best && drawn <= best_draw)) continue;
        best = ours;
        best_draw = drawn;
        node = i;
    }
    return node;
}

static void begin(struct orr_placement_walk *w) {
    uint64_t *ranks = orri_walk_own(w);
    for (uint32_t i = 0; i < w->placement->own.n; i++)
        ranks[i] = rank(w->placement, i, draw(w->placement, i, w->place));
}

static bool before(const struct orr_placement_walk *w, uint32_t i, uint32_t j) {
    const uint64_t *ranks = orri_walk_own(w);
    if (ranks[i] != ranks[j]) return ranks[i] < ranks[j];
    uint64_t a = draw(w->placement, i, w->place), b = draw(w->placement, j, w->place);
    return a != b ? a > b : i < j;
}

static uint32_t next(struct orr_placement_walk *w) {
    uint32_t best = ORR_RING_NOBODY;
    for (uint32_t i = 0; i < w->placement->own.n; i++) {
        if (!orri_walk_met(w, i) && (best == ORR_RING_NOBODY || before(w, i, best))) best = i;
    }
    return orri_walk_meet(w, best);
}

/* -- Its life ------------------------------------------------------------------------------------------------------ */
static int make(struct orr_placement *p, const struct orr_ring_node *nodes, size_t n, size_t *wrong) {
    int rc = orri_roster_take(&p->own, nodes, n, ORR_RING_WEIGHT_MAX, false, wrong);
    if (rc < 0) return rc;
    p->placed = p->own.n;
    p->seeds = orri_placement_get(p, n, sizeof *p->seeds);
    if (!p->seeds) return -ENOMEM;
    for (uint32_t i = 0; i < p->own.n; i++) {
        const struct orri_listed *node = &p->own.nodes[i];
        p->seeds[i] = XXH3_64bits(node->id, strlen(node->id));
        if (node->weight < p->own.nodes[0].weight || node->weight > p->own.nodes[0].weight) p->weighted = true;
    }
    if (p->weighted) orri_rendezvous_logs(p->logs);
    return 0;
}

static void clear(struct orr_placement *p) { orri_placement_give_back(p, p->seeds, p->own.n, sizeof *p->seeds); }

static double share(const struct orr_placement *p, uint32_t node) {
    return p->own.nodes[node].weight / orri_roster_weights(&p->own);
}

static size_t room(const struct orr_placement *p) { return p->own.n; }

const struct orri_policy orri_policy_rendezvous = { make, clear, owner, share, room, begin, next };
