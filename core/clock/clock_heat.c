/* clock_heat.c - how the oscillator's frequency follows the temperature, learned and then fed forward.
 *
 * A regression of the estimated frequency on the smoothed reading, over some hours. Where exchanges come, the filters
 * would follow anyway, later; where none come, this is the one thing that knows more than they did. A sensor can be
 * stuck, jump, or be another machine's: readings that no machine has are left out, and what it does is bounded three
 * times over: in each reading, to the temperatures that the regression has seen, and by the interval, which half of it
 * stays open in.                                                                                                     */
#include <math.h>

#include "clock/clock_inner.h"

#define SMOOTH 60.0                 /* s */
#define MEMORY 14400.0              /* s */
#define LEARNED 3600.0              /* s of readings until it is used */
#define STILL 0.02                  /* degrees squared: less variance than this tells little */
#define FASTEST 5.0                 /* degrees a second that a sensor may change by */
#define RATE_PER_READING 1e-6

static bool plausible(const struct orri_heat *h, double dt, double celsius) {
    if (celsius < -100 || celsius > 200) return false;
    return !h->begun || fabs(celsius - h->mean) <= FASTEST * orri_larger(dt, 1);
}

static void learn(struct orri_heat *h, double dt, double rate) {
    double keep = exp(-dt / MEMORY), x = h->mean - h->first, y = rate * 1e6;
    h->w = h->w * keep + dt;
    h->x = h->x * keep + dt * x;
    h->y = h->y * keep + dt * y;
    h->xx = h->xx * keep + dt * x * x;
    h->xy = h->xy * keep + dt * x * y;
    if (h->w <= LEARNED) return;
    double mean = h->x / h->w, variance = orri_larger(h->xx / h->w - mean * mean, 0);
    h->per_degree = orri_within(1e-6 * (h->xy / h->w - mean * h->y / h->w) / (variance + STILL), 1e-5);
    h->used = true;
}

/* The reading as far as the regression can speak of it. */
static double known_part(const struct orri_heat *h) {
    double mean = h->x / h->w, sd = sqrt(orri_larger(h->xx / h->w - mean * mean, 0));
    return h->first + mean + orri_within(h->mean - h->first - mean, 3 * sd + 1);
}

double orri_heat_expected(const struct orri_heat *h) {
    if (h->w <= 0 || !h->begun) return 0;
    return 1e-6 * h->y / h->w + h->per_degree * (h->mean - h->first - h->x / h->w);
}

double orri_heat_read(struct orri_heat *h, orr_time at, double celsius, const double *rate) {
    double dt = h->begun ? orri_seconds(at - h->at) : 0;
    if (dt < 0 || !plausible(h, dt, celsius)) return 0;
    if (!h->begun) {
        h->begun = true;
        h->at = at;
        h->mean = h->applied = celsius;
        if (!h->used) h->first = celsius;
        return 0;
    }
    h->at = at;
    h->mean += (1 - exp(-dt / SMOOTH)) * (celsius - h->mean);
    dt = orri_smaller(dt, MEMORY);
    if (rate) learn(h, dt, *rate);
    if (!h->used) {
        h->applied = h->mean;
        return 0;
    }
    double to = known_part(h);
    double change = orri_within(h->per_degree * (to - h->applied), RATE_PER_READING);
    h->applied = to;
    return change;
}
