/* rng.c - xoshiro256** 1.0 and splitmix64 (Blackman & Vigna, "Scrambled linear pseudorandom number generators",
 * 2018). */
#include "base/rng.h"

#include "base/assert.h"
#include "base/codec.h"

__extension__ typedef unsigned __int128 wide;

static uint64_t rotate(uint64_t x, unsigned by) { return (x << by) | (x >> (64 - by)); }

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void orri_rng_init(struct orr_rng *rng, uint64_t seed) {
    for (unsigned i = 0; i < 4; i++) rng->s[i] = splitmix(&seed);
}

uint64_t orri_rng_next(struct orr_rng *rng) {
    uint64_t *s = rng->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

/* The high half of a product is nearly uniform; the low half tells which draws are too many (Lemire, 2019). */
uint64_t orri_rng_below(struct orr_rng *rng, uint64_t n) {
    ORR_ASSERT(n > 0);
    wide product = (wide)orri_rng_next(rng) * n;
    if ((uint64_t)product < n) {
        uint64_t too_many = (0 - n) % n;
        while ((uint64_t)product < too_many) product = (wide)orri_rng_next(rng) * n;
    }
    return (uint64_t)(product >> 64);
}

int64_t orri_rng_between(struct orr_rng *rng, int64_t from, int64_t to) {
    ORR_ASSERT(from <= to);
    uint64_t span = (uint64_t)to - (uint64_t)from;
    uint64_t above = span == UINT64_MAX ? orri_rng_next(rng) : orri_rng_below(rng, span + 1);
    return (int64_t)((uint64_t)from + above);
}

double orri_rng_unit(struct orr_rng *rng) { return (double)(orri_rng_next(rng) >> 11) * 0x1p-53; }

bool orri_rng_chance(struct orr_rng *rng, double p) { return orri_rng_unit(rng) < p; }

void orri_rng_fill(struct orr_rng *rng, void *out, size_t size) {
    unsigned char *at = out;
    for (size_t some; size > 0; at += some, size -= some) {
        some = size < 8 ? size : 8;
        orri_put_le(at, orri_rng_next(rng), (unsigned)some);
    }
}
