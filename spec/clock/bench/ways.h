/* ways.h - how long a packet takes, for the programs that make networks up. */
#ifndef SPEC_CLOCK_WAYS_H
#define SPEC_CLOCK_WAYS_H

#include "clock/bench/scenarios.h"

#include <math.h>
#include <stdint.h>

#include "base/rng.h"

#define PI 3.14159265358979323846

static inline double way_normal(struct orr_rng *rng) {
    double u = 1 - orri_rng_unit(rng), v = orri_rng_unit(rng);
    return sqrt(-2 * log(u)) * cos(2 * PI * v);
}
static inline double way_exponential(struct orr_rng *rng, double mean) { return -mean * log(1 - orri_rng_unit(rng)); }

/* Whether this 2 s slot is congested: the same for all that ask with this seed. */
static inline bool way_congested(uint64_t seed, double t, double share) {
    struct orr_rng slot;
    orri_rng_init(&slot, seed * 1000003 + (uint64_t)(t / 2));
    return orri_rng_chance(&slot, share);
}

/* s, for what leaves at t; slots: the seed of the way's congestion. */
static inline double way_delay(const struct way *w, struct orr_rng *rng, uint64_t slots, double t) {
    double d = w->base;
    switch (w->queue) {
    case EXPONENTIAL: d += way_exponential(rng, w->mean); break;
    case HEAVY: d += w->mean * 1.5 * (pow(1 - orri_rng_unit(rng), -1 / 2.5) - 1); break;
    case NORMAL: d += fabs(way_normal(rng)) * w->mean * sqrt(PI / 2); break;
    case SWITCH:
        if (orri_rng_chance(rng, w->load)) d += way_exponential(rng, w->mean);
        d += 20e-9 * way_normal(rng);
    }
    if (w->burst > 0 && way_congested(slots, t, w->burst)) d += way_exponential(rng, w->burst_mean);
    return d;
}

#endif
