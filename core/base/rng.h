/* rng.h - a seeded generator of random numbers (xoshiro256**, Blackman & Vigna), for protocols and simulator.
 *
 * Not for secrets. The same seed gives the same numbers everywhere. A value: copy it to fork the stream.             */
#ifndef ORRI_RNG_H
#define ORRI_RNG_H

#include <orrery/base.h>

struct orr_rng {
    uint64_t s[4];
};

void orri_rng_init(struct orr_rng *rng, uint64_t seed);        /* splitmix64 fills the state, as its authors advise */
uint64_t orri_rng_next(struct orr_rng *rng);                   /* 64 bits */
uint64_t orri_rng_below(struct orr_rng *rng, uint64_t n);      /* uniform in 0..n-1 without bias; n > 0 */
int64_t orri_rng_between(struct orr_rng *rng, int64_t from, int64_t to);  /* uniform, both ends included */
double orri_rng_unit(struct orr_rng *rng);                     /* uniform in [0, 1) */
bool orri_rng_chance(struct orr_rng *rng, double p);           /* true with probability p; draws in any case */
void orri_rng_fill(struct orr_rng *rng, void *out, size_t size);

#endif
