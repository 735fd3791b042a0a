/* clock_queue.c - how long one way's queues are, and what a delay on it says of where the empty path ends.
 *
 * An exchange on its way waits for nothing at all, or for a time that is one-sided and may be of any size. Its density
 * is taken for a mixture: a mass at zero, and exponentials whose means stand in a fixed ladder; only their shares are
 * learned, so that switches which are idle most of the time, plain jitter, bursts and heavy tails are all of the same
 * kind. Every such density falls from zero on, which is what ties the empty path to the shortest delays.
 *
 * What is not known of the path (and the stamps' own error) is normal; so each part is an exponentially modified
 * Gaussian, and derivatives of its logarithm are exact. The first says how far to move an estimate, the second how much
 * surer it is now.                                                                                                   */
#include <math.h>

#include "clock/clock_inner.h"

#define ROOT_HALF 0.70710678118654752   /* sqrt(1/2) */
#define HILL 0.39894228040143268        /* 1 / sqrt(2 pi) */
#define SLOPE 1.2533141373155003        /* sqrt(pi/2) */
#define NOTHING 1e-250                  /* a density that no part accounts for */
#define SHARE_LEAST 1e-6                /* so that any can come back */

/* Means of the parts, s: the first is the mass at zero. */
static const double ladder[ORRI_SCALES] = { 0,       10e-9,    40e-9,    160e-9,  640e-9,   2.56e-6, 10.24e-6,
                                            41.0e-6, 163.8e-6, 655.4e-6, 2.62e-3, 10.49e-3, 41.94e-3 };

/* Nothing known: as if delays were spread evenly up to `usual`, and less and less likely beyond. */
void orri_queue_init(struct orri_queue *q, double usual) {
    double sum = 0;
    for (unsigned j = 0; j < ORRI_SCALES; j++) {
        double mean = orri_larger(ladder[j], ladder[1]);
        sum += q->share[j] = orri_smaller(mean / usual, usual / mean);
    }
    for (unsigned j = 0; j < ORRI_SCALES; j++) q->share[j] /= sum;
}

void orri_queue_learn(struct orri_queue *q, const double share[ORRI_SCALES], double gain) {
    double sum = 0;
    for (unsigned j = 0; j < ORRI_SCALES; j++) {
        sum += q->share[j] = orri_larger(q->share[j] + gain * (share[j] - q->share[j]), SHARE_LEAST);
    }
    for (unsigned j = 0; j < ORRI_SCALES; j++) q->share[j] /= sum;
}

/* Mills' ratio of the normal distribution: its tail beyond t by its density at t. */
static double mills(double t) {
    if (t < 4) return SLOPE * exp(t * t / 2) * erfc(t * ROOT_HALF);
    double fraction = t;
    for (int i = 8; i > 0; i--) fraction = t + i / fraction;
    return 1 / fraction;
}

struct orri_evidence orri_queue_weigh(const struct orri_queue *q, double excess, double variance) {
    /* Below zero all parts have the normal's fall in common: it is kept apart, and nothing vanishes. */
    double sd = sqrt(variance), z = excess / sd, fall = z * z / 2, hill = HILL * (z > 0 ? exp(-fall) : 1);
    double normal = hill / sd, normal_slope = -z / sd * normal, sum = 0, slope = 0, bend = 0;
    struct orri_evidence e = { .slope = 0 };
    for (unsigned j = 0; j < ORRI_SCALES; j++) {
        double density = normal, s = normal_slope, b = (z * z - 1) / variance * normal;
        if (j > 0) {
            double mean = ladder[j], a = sd / mean, t = a - z;
            if (z <= 0 || t > 4) density = hill * mills(t) / mean;
            else density = exp(a * a / 2 - excess / mean) * erfc(t * ROOT_HALF) / (2 * mean);
            s = (normal - density) / mean;
            b = (normal_slope - s) / mean;
        }
        sum += e.share[j] = q->share[j] * density;
        slope += q->share[j] * s;
        bend += q->share[j] * b;
    }
    if (!(sum > NOTHING)) {
        e = (struct orri_evidence){ .log = log(NOTHING) };
        for (unsigned j = 0; j < ORRI_SCALES; j++) e.share[j] = q->share[j];
        return e;
    }
    for (unsigned j = 0; j < ORRI_SCALES; j++) e.share[j] /= sum;
    e.log = log(sum) - (z > 0 ? 0 : fall);
    e.slope = slope / sum;
    e.bend = orri_larger(bend / sum - orri_square(e.slope), -1 / variance);
    return e;
}
