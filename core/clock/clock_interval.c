/* clock_interval.c - a peer's interval, which is promised where the offset is only likely.
 *
 * A reply left the peer before it came and after the request did: so the offset at an exchange is surely between
 * t3 - t4 and t2 - t1. Each exchange of late says so of its own moment; carried to now by the estimated frequency, and
 * widened by what that may be wrong, all hold at once. Where an older one disagrees, the newer ones are right: the path
 * or the clock has changed in between. No statistics of queues are in it, and no symmetry.
 *
 * With a rate_max no frequency is believed at all: what was known stays where it was, and widens by that rate. */
#include <math.h>

#include "clock/clock_inner.h"

#define CERTAIN 5.0                 /* deviations of the frequency */

void orri_history_add(struct orri_history *h, const struct orri_exchange *x) {
    h->ring[h->next] = (struct orri_bounds){ x->at, x->low - x->stamp, x->high + x->stamp };
    h->next = (h->next + 1) % ORRI_HISTORY;
    if (h->n < ORRI_HISTORY) h->n++;
}

/* How far a bound goes in dt seconds, and how wrong that may be. */
static double go(const struct orri_peer *p, double dt) { return p->rate_max > 0 ? 0 : p->bank.rate * dt; }
static double carry(const struct orri_peer *p, double dt) {
    return p->rate_max > 0 ? p->rate_max * fabs(dt) : CERTAIN * sqrt(orri_bank_carry(&p->bank, fabs(dt)));
}

void orri_peer_intersect(struct orri_peer *p) {
    const struct orri_bank *b = &p->bank;
    p->low = -INFINITY;
    p->high = INFINITY;
    for (uint32_t j = 0; j < p->history.n; j++) {
        const struct orri_bounds *h = orri_history_at(&p->history, j);
        double dt = orri_seconds(b->at - h->at), wide = carry(p, dt);
        double low = orri_larger(p->low, h->low + go(p, dt) - wide);
        double high = orri_smaller(p->high, h->high + go(p, dt) + wide);
        if (low > high) break;
        p->low = low;
        p->high = high;
    }
}

void orri_peer_interval(const struct orri_peer *p, orr_time local, double max_drift, double *low, double *high) {
    const struct orri_bank *b = &p->bank;
    double dt = orri_seconds(local - b->at), age = fabs(dt), moved = go(p, dt);
    /* A learned temperature may be learned wrongly: half of what it did since the last exchange is open. */
    double drift = p->rate_max > 0 ? 0 : max_drift * (age + 1) + 0.5 * p->heat * age;
    double wide = carry(p, dt) + drift;
    *low = p->low + moved - p->root - wide;
    *high = p->high + moved + p->root + wide;
    if (p->held == 0) return;
    /* One that is held out may be the only right one. */
    const struct orri_exchange *s = &p->suspect;
    dt = orri_seconds(local - s->at);
    drift = p->rate_max > 0 ? 0 : max_drift * (fabs(dt) + 1);
    wide = carry(p, dt) + drift + p->suspect_root + s->stamp;
    *low = orri_smaller(*low, s->low + go(p, dt) - wide);
    *high = orri_larger(*high, s->high + go(p, dt) + wide);
}
