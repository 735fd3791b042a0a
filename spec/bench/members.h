/* members.h - what the benchmarks of memberships share. They run on the specs' network of virtual time
 * (support/member_net.h): core/sim keeps a link with a random stream for each pair of nodes and walks all listeners at
 * each datagram; it is made for dozens of whole nodes, and for faults of all kinds. */
#ifndef BENCH_MEMBERS_H
#define BENCH_MEMBERS_H

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/rng.h"
#include "support/member_net.h"

#define SECONDS(t) ((double)(t) * 1e-9)

/* By halving, so that no logarithm of the machine's is in it. */
static inline orr_time exponential(struct orr_rng *rng, double mean) {
    double sum = 0, unit = mean * 0.69314718055994531;
    while (orri_rng_chance(rng, 0.5)) sum += unit;
    return (orr_time)(sum + unit * orri_rng_unit(rng));
}

static inline int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* False, and it is said: it is no such number. */
static inline bool number(const char *bench, const char *what, const char *text, double least, double most,
                          double *out) {
    char *end;
    *out = strtod(text, &end);
    if (end != text && *end == '\0' && *out >= least && *out <= most) return true;
    fprintf(stderr, "%s: %s must be from %g to %g (got '%s')\n", bench, what, least, most, text);
    return false;
}

#endif
