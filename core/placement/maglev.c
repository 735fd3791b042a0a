/* maglev.c - a table that its nodes fill in turns, each by its own permutation of the slots (Eisenbud and others,
 * "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4).
 *
 * A permutation begins at one hash of the node's id and goes on by another: the number of slots is a prime, so it comes
 * by all of them. Turns go round by id; a node of twice the weight has two where another one has one. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <string.h>

#include "placement/placement_inner.h"

static bool is_prime(uint32_t x) {
    if (x < 2) return false;
    for (uint32_t d = 2; d * d <= x; d++) {
        if (x % d == 0) return false;
    }
    return true;
}

/* -- Filling ------------------------------------------------------------------------------------------------------- */
static bool sooner(const struct orri_turn *a, const struct orri_turn *b) {
    if (a->due < b->due || a->due > b->due) return a->due < b->due;
    return a->node < b->node;
}

/* Keeps the next turn on top of the heap. */
static void sink(struct orri_turn *turns, uint32_t at, uint32_t n) {
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && sooner(&turns[child + 1], &turns[child])) child++;
        if (!sooner(&turns[child], &turns[at])) return;
        struct orri_turn other = turns[at];
        turns[at] = turns[child];
        turns[child] = other;
    }
}

static uint32_t after(const struct orri_turn *turn, uint32_t n_slots) {
    uint32_t at = turn->at + turn->skip;
    return at < n_slots ? at : at - n_slots;
}

void orri_maglev_fill(uint16_t *slots, uint32_t n_slots, struct orri_turn *turns, uint32_t n) {
    memset(slots, 0xff, n_slots * sizeof *slots);
    for (uint32_t i = n / 2; i-- > 0;) sink(turns, i, n);
    for (uint32_t filled = 0; filled < n_slots; filled++) {
        struct orri_turn *turn = turns;
        while (slots[turn->at] != UINT16_MAX) turn->at = after(turn, n_slots);
        slots[turn->at] = (uint16_t)turn->node;
        turn->at = after(turn, n_slots);
        turn->due += turn->every;
        sink(turns, 0, n);
    }
}

static int fill(struct orr_placement *p) {
    struct orri_turn *turns = orri_placement_get(p, p->own.n, sizeof *turns);
    if (!turns) return -ENOMEM;
    for (uint32_t i = 0; i < p->own.n; i++) {
        const struct orri_listed *node = &p->own.nodes[i];
        uint64_t first = XXH3_64bits(node->id, strlen(node->id));
        uint64_t second = XXH3_64bits_withSeed(node->id, strlen(node->id), 1);
        turns[i] = (struct orri_turn){ .due = 1 / node->weight, .every = 1 / node->weight, .node = i,
                                       .at = (uint32_t)(first % p->cfg.slots),
                                       .skip = (uint32_t)(second % (p->cfg.slots - 1)) + 1 };
    }
    orri_maglev_fill(p->slots, p->cfg.slots, turns, p->own.n);
    orri_placement_give_back(p, turns, p->own.n, sizeof *turns);
    return 0;
}

/* -- Its life ------------------------------------------------------------------------------------------------------ */
static int make(struct orr_placement *p, const struct orr_ring_node *nodes, size_t n, size_t *wrong) {
    int rc = orri_roster_take(&p->own, nodes, n, ORR_RING_WEIGHT_MAX, false, wrong);
    if (rc < 0) return rc;
    if (p->cfg.slots > ORR_PLACEMENT_SLOTS_MAX || p->cfg.slots < n || !is_prime(p->cfg.slots)) return ORR_EINVALID;
    p->slots = orri_placement_get(p, p->cfg.slots, sizeof *p->slots);
    p->counts = orri_placement_get(p, n, sizeof *p->counts);
    if (!p->slots || !p->counts) return -ENOMEM;
    rc = fill(p);
    if (rc < 0) return rc;
    memset(p->counts, 0, n * sizeof *p->counts);
    for (uint32_t i = 0; i < p->cfg.slots; i++) p->placed += p->counts[p->slots[i]]++ == 0;
    return 0;
}

static void clear(struct orr_placement *p) {
    orri_placement_give_back(p, p->slots, p->cfg.slots, sizeof *p->slots);
    orri_placement_give_back(p, p->counts, p->own.n, sizeof *p->counts);
}

/* -- Looking up ---------------------------------------------------------------------------------------------------- */
/* By the upper half of the place, so that slots are ranges: one multiplication, where a remainder takes a division. */
static uint32_t slot(const struct orr_placement *p, uint64_t place) {
    return (uint32_t)((place >> 32) * p->cfg.slots >> 32);
}

static uint32_t owner(const struct orr_placement *p, uint64_t place) { return p->slots[slot(p, place)]; }

static double share(const struct orr_placement *p, uint32_t node) {
    return (double)p->counts[node] / (double)p->cfg.slots;
}

static size_t room(const struct orr_placement *p) {
    (void)p;
    return 0;
}

static void begin(struct orr_placement_walk *w) { w->at = slot(w->placement, w->place); }

static uint32_t next(struct orr_placement_walk *w) {
    const struct orr_placement *p = w->placement;
    while (orri_walk_met(w, p->slots[w->at])) w->at = w->at + 1 < p->cfg.slots ? w->at + 1 : 0;
    return orri_walk_meet(w, p->slots[w->at]);
}

const struct orri_policy orri_policy_maglev = { make, clear, owner, share, room, begin, next };
