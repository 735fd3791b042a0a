/* clock_interval.c - a peer's interval, which is promised where the offset is only likely.
 *
 * A reply left the peer before it came and after the request did: so the offset at an exchange is surely between
 * t3 - t4 and t2 - t1. Each exchange of late says so of its own moment; carried to now by the estimated frequency, and
 * widened by what that may be wrong, all hold at once. Where an older one disagrees, the newer ones are right: the path
 * or the clock has changed in between. No statistics of queues are in it, and no symmetry.                          */
#include <math.h>

#include "clock/clock_inner.h"

#define CERTAIN 5.0                 /* deviations of the frequency */

void orri_history_add(struct orri_history *h, const struct orri_exchange *x) {
    h->ring[h->next] = (struct orri_bounds){ x->at, x->low - x->stamp, x->high + x->stamp };
    h->next = (h->next + 1) % ORRI_HISTORY;
    if (h->n < ORRI_HISTORY) h->n++;
}

void orri_peer_intersect(struct orri_peer *p) {
    const struct orri_bank *b = &p->bank;
    p->low = -INFINITY;
    p->high = INFINITY;
    for (uint32_t j = 0; j < p->history.n; j++) {
        const struct orri_bounds *h = orri_history_at(&p->history, j);
        double dt = orri_seconds(b->at - h->at), wide = CERTAIN * sqrt(orri_bank_carry(b, dt));
        double low = orri_larger(p->low, h->low + b->rate * dt - wide);
        double high = orri_smaller(p->high, h->high + b->rate * dt + wide);
        if (low > high) break;
        p->low = low;
        p->high = high;
    }
}

void orri_peer_interval(const struct orri_peer *p, orr_time local, double max_drift, double *low, double *high) {
    const struct orri_bank *b = &p->bank;
    double dt = orri_seconds(local - b->at), age = fabs(dt), moved = b->rate * dt;
    /* A learned temperature may be learned wrongly: half of what it did since the last exchange is open. */
    double drift = max_drift * (age + 1) + 0.5 * p->heat * age;
    double wide = CERTAIN * sqrt(orri_bank_carry(b, age)) + drift;
    *low = p->low + moved - p->root - wide;
    *high = p->high + moved + p->root + wide;
    if (p->held == 0) return;
    /* One that is held out may be the only right one. */
    const struct orri_exchange *s = &p->suspect;
    dt = orri_seconds(local - s->at);
    age = fabs(dt);
    wide = CERTAIN * sqrt(orri_bank_carry(b, age)) + max_drift * (age + 1) + p->suspect_root + s->stamp;
    *low = orri_smaller(*low, s->low + b->rate * dt - wide);
    *high = orri_larger(*high, s->high + b->rate * dt + wide);
}
