/* clock_bank.c - a peer's offset and frequency by a bank of Kalman filters.
 *
 * Nobody knows beforehand how restless an oscillator is, nor how many exchanges should be condensed into one
 * measurement: few where the clock moves, many where queues are what hides it. So each filter has its own guess of
 * both. All foretell each exchange, and the ones that did best of late have the say: the answer is the mixture.
 *
 * A block of exchanges is better than their mean: queues only add, so the lowest upper bound and the highest lower
 * bound are each near the truth, and come nearer as 1/n. How near, the distance between the best bound and the second
 * best tells, which on the average is what the best itself is off. Their difference, both ways, shows which way has
 * the longer queues, and is taken out.
 *
 * A block that isn't full is used, too, at what it is worth; but from the filter as it was at the last full block, or
 * its exchanges would count many times.                                                                              */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "clock/clock_inner.h"

enum { GAPS_LEARNED = 10, GAPS_KNOWN = 3 };
#define FORGET 0.99                 /* a filter's score fades so much with each exchange */
#define SCORE_LEAST (-12.0)         /* behind the best, so that any can come back soon */
#define FAR 1e18                    /* s; beyond every bound */

static const double wander_variance[ORRI_WANDERS] = { 1e-24, 1e-22, 1e-20, 1e-18, 1e-16, 1e-14, 1e-12 };
/* Before anything is heard: an oscillator that restless is rare, and takes a few exchanges to be believed. */
static const double score_before[ORRI_WANDERS] = { 0, 0, 0, 0, -1.5, -4.5, -9 };
static const uint32_t length[ORRI_LENGTHS] = { 1, 4, 12, 32, 63 };      /* below ORRI_HISTORY + 1 */

static double wander_of(unsigned i) { return wander_variance[i % ORRI_WANDERS]; }

static void predict(struct orri_filter *k, double dt, double wander) {
    k->offset += k->rate * dt;
    k->p00 += 2 * dt * k->p01 + dt * dt * k->p11 + wander * dt * dt * dt / 3;
    k->p01 += dt * k->p11 + wander * dt * dt / 2;
    k->p11 += wander * dt;
}

/* A measurement that is more than three deviations off is taken to be wider than it says. Where it is a full block,
 * which no few late replies can spoil, the offset itself may have jumped as well (another route): half of the surprise
 * is given to either, so that a jump is not taken for a frequency. */
static void correct(struct orri_filter *k, double offset, double variance, bool may_jump) {
    double error = offset - k->offset, chance = orri_square(error) / (k->p00 + variance);
    if (chance > 9) {
        double surprise = variance * (chance / 9 - 1);
        k->p00 += may_jump ? surprise / 2 : 0;
        variance += may_jump ? surprise / 2 : surprise;
    }
    double sum = k->p00 + variance, gain = k->p00 / sum, rate_gain = k->p01 / sum;
    k->offset += gain * error;
    k->rate = orri_within(k->rate + rate_gain * error, ORRI_RATE_MAX);
    k->p11 = orri_larger(k->p11 - rate_gain * k->p01, 1e-26);
    k->p00 = orri_larger((1 - gain) * k->p00, 1e-26);
    k->p01 = (1 - gain) * k->p01;
}

static void mix(struct orri_bank *b) {
    double offset = 0, rate = 0, wander = 0, v = 0, rate_v = 0;
    for (unsigned i = 0; i < ORRI_FILTERS; i++) {
        offset += b->weight[i] * b->now[i].offset;
        rate += b->weight[i] * b->now[i].rate;
        wander += b->weight[i] * wander_of(i);
    }
    for (unsigned i = 0; i < ORRI_FILTERS; i++) {
        const struct orri_filter *k = &b->now[i];
        v += b->weight[i] * (k->p00 + orri_square(k->offset - offset));
        rate_v += b->weight[i] * (k->p11 + orri_square(k->rate - rate));
    }
    b->offset = offset;
    b->rate = rate;
    b->wander = wander;
    b->sd = sqrt(v);
    b->rate_sd = sqrt(rate_v);
}

static void weigh(struct orri_bank *b) {
    double best = b->score[0], sum = 0;
    for (unsigned i = 1; i < ORRI_FILTERS; i++) best = orri_larger(best, b->score[i]);
    for (unsigned i = 0; i < ORRI_FILTERS; i++) {
        b->score[i] = orri_larger(b->score[i] - best, SCORE_LEAST);
        sum += b->weight[i] = exp(b->score[i]);
    }
    for (unsigned i = 0; i < ORRI_FILTERS; i++) b->weight[i] /= sum;
}

void orri_bank_begin(struct orri_bank *b, const struct orri_exchange *x, double rate, double rate_sd) {
    memset(b, 0, sizeof *b);
    b->begun = true;
    b->at = x->at;
    struct orri_filter k = { x->offset, rate, orri_square(x->delay / 2), 0, orri_square(rate_sd) };
    for (unsigned i = 0; i < ORRI_FILTERS; i++) b->now[i] = b->settled[i] = k;
    for (unsigned l = 0; l < ORRI_LENGTHS; l++) b->block[l].since = x->at;
    for (unsigned i = 0; i < ORRI_FILTERS; i++) b->score[i] = score_before[i % ORRI_WANDERS];
    weigh(b);
    mix(b);
}

void orri_bank_predict(struct orri_bank *b, orr_time at) {
    double dt = orri_seconds(at - b->at);
    ORR_ASSERT(b->begun && dt >= 0);
    for (unsigned i = 0; i < ORRI_FILTERS; i++) predict(&b->now[i], dt, wander_of(i));
    b->at = at;
    mix(b);
}

/* All are judged by the same exchange, each by its own prediction: the density of a Student's t with 4 degrees. */
static void judge(struct orri_bank *b, const struct orri_reading *r) {
    for (unsigned i = 0; i < ORRI_FILTERS; i++) {
        double v = b->now[i].p00 + r->variance, c = 1 + orri_square(r->offset - b->now[i].offset) / v / 4;
        b->score[i] = FORGET * b->score[i] - 0.5 * log(v * c * c * c * c * c);
    }
}

struct extremes {
    double out, out_second, back, back_second;
};
/* The best bounds of the exchanges in each block under way, x being the newest; one walk for all lengths. */
static void find_extremes(const struct orri_bank *b, const struct orri_exchange *x, const struct orri_history *h,
                          struct extremes found[ORRI_LENGTHS]) {
    struct extremes e = { x->high, FAR, x->low, -FAR };
    uint32_t most = 0;
    for (unsigned l = 1; l < ORRI_LENGTHS; l++) {
        most = b->block[l].n > most ? b->block[l].n : most;
        found[l] = e;
    }
    for (uint32_t j = 1; j < most; j++) {
        const struct orri_bounds *p = orri_history_at(h, j - 1);
        double moved = b->rate * orri_seconds(x->at - p->at), high = p->high + moved, low = p->low + moved;
        if (high < e.out) e.out_second = e.out, e.out = high;
        else if (high < e.out_second) e.out_second = high;
        if (low > e.back) e.back_second = e.back, e.back = low;
        else if (low > e.back_second) e.back_second = low;
        for (unsigned l = 1; l < ORRI_LENGTHS; l++) {
            if (b->block[l].n == j + 1) found[l] = e;
        }
    }
}

static void learn_gaps(struct orri_block *k, uint32_t size, const struct extremes *e) {
    if (k->full < GAPS_LEARNED) k->full++;
    double gain = 1.0 / k->full, part = (size - 1.0) / size;
    k->gap_out += gain * ((e->out_second - e->out) * part - k->gap_out);
    k->gap_back += gain * ((e->back - e->back_second) * part - k->gap_back);
}

/* One measurement of a block's n exchanges; false while its gaps aren't known. */
static bool condense(const struct orri_block *k, uint32_t size, const struct extremes *e, double stamp, double *offset,
                     double *variance) {
    if (k->full < GAPS_KNOWN) return false;
    double part = (double)size / k->n;
    *offset = (e->out + e->back) / 2 - part * (k->gap_out - k->gap_back) / 2;
    double unsure = 1 + 20.0 / (k->full * k->full);         /* a mean of few gaps may be far too small */
    *variance = unsure * part * part * (orri_square(k->gap_out) + orri_square(k->gap_back)) / 4 + orri_square(stamp);
    return true;
}

static void update_length(struct orri_bank *b, unsigned l, const struct orri_exchange *x,
                          const struct orri_reading *r, const struct extremes *e) {
    struct orri_block *k = &b->block[l];
    bool full = k->n == length[l];
    if (length[l] > 1 && full) learn_gaps(k, length[l], e);
    double offset = r->offset, variance = r->variance;
    bool block = length[l] > 1 && condense(k, length[l], e, x->stamp * ORRI_STAMP_SD, &offset, &variance);
    bool settles = full || !block;
    for (unsigned i = l * ORRI_WANDERS; i < (l + 1) * ORRI_WANDERS; i++) {
        if (block) {
            b->now[i] = b->settled[i];
            predict(&b->now[i], orri_seconds(x->at - k->since), wander_of(i));
        }
        correct(&b->now[i], offset, variance, block && full);
        if (settles) b->settled[i] = b->now[i];
    }
    if (settles) k->since = x->at;
    if (full) k->n = 0;
}

void orri_bank_update(struct orri_bank *b, const struct orri_exchange *x, const struct orri_reading *r,
                      const struct orri_history *h) {
    struct extremes found[ORRI_LENGTHS] = { { 0, 0, 0, 0 } };
    ORR_ASSERT(b->begun && b->at == x->at);
    judge(b, r);
    for (unsigned l = 0; l < ORRI_LENGTHS; l++) {
        b->block[l].n++;
        ORR_ASSERT(b->block[l].n <= h->n + 1);
    }
    find_extremes(b, x, h, found);
    for (unsigned l = 0; l < ORRI_LENGTHS; l++) update_length(b, l, x, r, &found[l]);
    weigh(b);
    mix(b);
}

void orri_bank_shift(struct orri_bank *b, orr_time local) {
    b->at = orri_add(b->at, local);
    for (unsigned l = 0; l < ORRI_LENGTHS; l++) {
        b->block[l].n = 0;                                  /* the exchanges of the one under way are gone */
        b->block[l].since = b->at;
        for (unsigned i = l * ORRI_WANDERS; i < (l + 1) * ORRI_WANDERS; i++) b->settled[i] = b->now[i];
    }
}

void orri_bank_move(struct orri_bank *b, double by) {
    for (unsigned i = 0; i < ORRI_FILTERS; i++) {
        b->now[i].offset += by;
        b->settled[i].offset += by;
    }
    mix(b);
}

void orri_bank_heat(struct orri_bank *b, orr_time at, double rate) {
    double before = orri_seconds(at - b->at);
    for (unsigned i = 0; i < ORRI_FILTERS; i++) {
        struct orri_filter *k = &b->now[i], *s = &b->settled[i];
        k->offset -= rate * before;                         /* what it would add from the last exchange to now */
        k->rate = orri_within(k->rate + rate, ORRI_RATE_MAX);
        s->offset -= rate * orri_seconds(at - b->block[i / ORRI_WANDERS].since);
        s->rate = orri_within(s->rate + rate, ORRI_RATE_MAX);
    }
    mix(b);
}

double orri_bank_carry(const struct orri_bank *b, double dt) {
    return orri_square(b->rate_sd * dt) + b->wander * dt * dt * dt / 3;
}
double orri_bank_variance(const struct orri_bank *b, double dt) { return b->sd * b->sd + orri_bank_carry(b, dt); }
