/* arrivals.h - phi-accrual: how suspicious a peer's silence is (Hayashibara, Defago, Yared and Katayama, SRDS 2004).
 *
 * Of one peer, from when its heartbeats came: phi is -log10 of the chance that the next one is still to come though it
 * has not by now, the intervals taken as normal with the mean and the deviation that they had. At phi 1 one silence in
 * ten is nothing, at 8 one in a hundred million.
 *
 * The window is of running moments and so takes 48 bytes, where the paper's keeps a thousand intervals: the first 500
 * count alike, then each counts a little more than the one before it, as if a thousand were remembered (weight 2/1001);
 * after a thousand intervals a seventh of what was is left, after 3500 a thousandth.
 * As in Akka, a deviation has a least value, a pause is given to every silence, and before there is anything to go by
 * the window holds two intervals a quarter to either side of the first estimate. An interval longer than anybody would
 * have waited for (ten deviations and the pause beyond the mean) counts as that long: an outage does not make the
 * detector lazy, while a peer that has become slower is followed, a step a heartbeat.
 *
 * Nanoseconds throughout. No chance; logarithm and error function are the machine's own.                             */
#ifndef ORRI_ARRIVALS_H
#define ORRI_ARRIVALS_H

#include <orrery/base.h>

struct orri_arrivals {
    orr_time last;                  /* ORRI_UNHEARD: never */
    double mean, variance;          /* of intervals: ns, ns^2 */
    orr_time min_sd, pause;
    uint32_t n;                     /* intervals that count, up to 500 */
};
#define ORRI_UNHEARD INT64_MIN

/* first_estimate, min_sd above 0; pause 0 or more: each a day at most. */
void orri_arrivals_init(struct orri_arrivals *a, orr_time first_estimate, orr_time min_sd, orr_time pause);
/* A heartbeat came. The first begins it; `now` never goes back. */
void orri_arrivals_heard(struct orri_arrivals *a, orr_time now);
/* 0 and more, the more the longer nothing is heard; 0 as long as it never was. */
double orri_arrivals_phi(const struct orri_arrivals *a, orr_time now);
/* The first nanosecond at which orri_arrivals_phi() is `phi` or more, if nothing is heard until then. ORR_NEVER where
 * it never was heard, or phi is above ORRI_PHI_MAX. */
orr_time orri_arrivals_when(const struct orri_arrivals *a, double phi);
#define ORRI_PHI_MAX 200.0

#endif
