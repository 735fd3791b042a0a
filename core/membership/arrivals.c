/* arrivals.c - phi-accrual over running moments. */
#include "membership/arrivals.h"

#include <math.h>

#include "base/assert.h"

#define LN10 2.302585092994045684
#define SQRT_HALF 0.70710678118654752440
#define TAIL 35.0                   /* deviations beyond which erfc() has no more digits to give */
#define LONGEST 10.0                /* deviations beyond the mean and the pause: what an interval counts as, at most */
enum { ALIKE = 500 };               /* 2 / 1001 is about 1 / 500: from there on weights fall */
#define DAY (86400 * ORR_SECOND)

void orri_arrivals_init(struct orri_arrivals *a, orr_time first_estimate, orr_time min_sd, orr_time pause) {
    ORR_ASSERT(first_estimate > 0 && first_estimate <= DAY && min_sd > 0 && min_sd <= DAY);
    ORR_ASSERT(pause >= 0 && pause <= DAY);
    double sd = (double)first_estimate / 4;
    *a = (struct orri_arrivals){ .last = ORRI_UNHEARD, .mean = (double)first_estimate, .variance = sd * sd,
                                 .min_sd = min_sd, .pause = pause, .n = 2 };
}

static double deviation(const struct orri_arrivals *a) {
    double sd = sqrt(a->variance);
    return sd > (double)a->min_sd ? sd : (double)a->min_sd;
}

void orri_arrivals_heard(struct orri_arrivals *a, orr_time now) {
    orr_time last = a->last;
    a->last = now;
    if (last == ORRI_UNHEARD) return;
    double interval = (double)(now - last), longest = a->mean + (double)a->pause + LONGEST * deviation(a);
    if (interval > longest) interval = longest;
    if (interval > (double)DAY) interval = (double)DAY;
    if (a->n < ALIKE) a->n++;
    double weight = 1.0 / a->n, off = interval - a->mean;
    a->mean += weight * off;
    a->variance = (1 - weight) * (a->variance + weight * off * off);
}

/* -log10 of the chance that a normal variable is more than so many deviations above its mean. Far out by the series
 * of Mills' ratio, whose next term is below 1e-10 there. */
static double phi_of(double deviations) {
    double y = deviations;
    if (y < TAIL) return -log(0.5 * erfc(y * SQRT_HALF)) / LN10;
    double s = 1 / (y * y), series = 1 - s * (1 - 3 * s * (1 - 5 * s * (1 - 7 * s)));
    return (y * y / 2 + log(y * 2.50662827463100050242 / series)) / LN10;
}

static double phi_after(const struct orri_arrivals *a, orr_time silence) {
    double late = (double)silence - a->mean - (double)a->pause, phi = phi_of(late / deviation(a));
    return phi > 0 ? phi : 0;       /* -0 and the like */
}

double orri_arrivals_phi(const struct orri_arrivals *a, orr_time now) {
    if (a->last == ORRI_UNHEARD || now <= a->last) return 0;
    return phi_after(a, now - a->last);
}

/* By halving, on phi itself: so the two can't disagree. That many deviations are enough follows from a normal
 * variable's tail, which is below exp(-y^2 / 2) / 2. */
orr_time orri_arrivals_when(const struct orri_arrivals *a, double phi) {
    if (a->last == ORRI_UNHEARD || !(phi <= ORRI_PHI_MAX)) return ORR_NEVER;
    if (phi <= 0) return a->last;
    double longest = a->mean + (double)a->pause + sqrt(2 * LN10 * phi) * deviation(a);
    orr_time early = 0, late = (orr_time)longest + 2;
    while (late - early > 1) {
        orr_time middle = early + (late - early) / 2;
        if (phi_after(a, middle) >= phi) late = middle;
        else early = middle;
    }
    return late > ORR_NEVER - 1 - a->last && a->last > 0 ? ORR_NEVER : a->last + late;
}
