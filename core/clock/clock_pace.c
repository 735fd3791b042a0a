/* clock_pace.c - mode pacemaker: several estimates of one peer's offset, weighed by what they turned out to be worth.
 *
 * The bank, the edge and lines over 16, 32 and 64 exchanges each do best on some network or oscillator. Which does here
 * is learned from hindsight: some exchanges later the past moment is known far better than it was, and each estimate's
 * error then is seen. The answer is the bank's plus the weighted mean of what all say beyond it: the bank carries it
 * from exchange to exchange, holds over, and stands for the interval.
 *
 * The teacher is the edge looking back. For a good smoother the squared distance of any estimate of then to it is that
 * estimate's mean squared error less the smoother's own, the same for all: so it ranks them rightly.                 */
#include <math.h>

#include "clock/clock_inner.h"

#define ERROR_LEAST 1e-22           /* s^2 */
enum { BANK, EDGE, LINES, TAUGHT_LEAST = 10, SHARPNESS = 6 };

void orri_pace_begin(struct orri_pace *k, const struct orri_exchange *x, double rate, double rate_sd) {
    orri_edge_begin(&k->edge, x, rate, rate_sd);
    k->lead = 0;
}

/* Of each estimate, what it says now; where a line has no answer, it says what the bank does. */
static void ask(struct orri_peer *p, double offset[ORRI_CANDIDATES]) {
    static const uint32_t length[] = { 16, 32, 64 };
    struct orri_pace *k = p->pace;
    float (*const price[])[2] = { k->price16, k->price32, k->price64 };
    offset[BANK] = p->bank.offset;
    offset[EDGE] = k->edge.offset;
    for (unsigned i = 0; i < ORRI_CANDIDATES - LINES; i++) {
        double *out = &offset[LINES + i];
        if (!orri_line_fit(price[i], length[i], &p->history, &p->bank, p->path.excess / 2, out)) *out = p->bank.offset;
    }
}

static void teach(struct orri_pace *k) {
    double truth = orri_edge_hindsight(&k->edge, ORRI_TRAIL - 1);
    const double *said = k->past[k->edge.next];             /* the oldest that is kept */
    if (k->taught < ORRI_TAUGHT) k->taught++;
    for (unsigned i = 0; i < ORRI_CANDIDATES; i++) {
        double error = orri_smaller(orri_square(said[i] - truth), ORRI_ERROR_MOST);     /* a line may say anything */
        k->error[i] += (error - k->error[i]) / k->taught;
    }
}

static bool counts(const struct orri_peer *p, unsigned i, double offset) {
    if (i < LINES) return offset >= p->low && offset <= p->high;
    return fabs(offset - p->bank.offset) <= ORRI_BENT * p->bank.sd;
}

static double mean_lead(const struct orri_peer *p, const double offset[ORRI_CANDIDATES]) {
    const struct orri_pace *k = p->pace;
    double least = k->error[0], sum = 0, lead = 0;
    for (unsigned i = 1; i < ORRI_CANDIDATES; i++) least = orri_smaller(least, k->error[i]);
    for (unsigned i = 0; i < ORRI_CANDIDATES; i++) {
        if (!counts(p, i, offset[i])) continue;
        double weight = pow((least + ERROR_LEAST) / (k->error[i] + ERROR_LEAST), SHARPNESS);
        sum += weight;
        lead += weight * (offset[i] - p->bank.offset);
    }
    return sum > 0 ? lead / sum : 0;
}

void orri_pace_update(struct orri_peer *p, const struct orri_exchange *x) {
    struct orri_pace *k = p->pace;
    double *offset = k->past[k->edge.next];
    orri_edge_update(&k->edge, x);
    ask(p, offset);
    bool full = k->edge.steps == ORRI_TRAIL;
    if (full) teach(k);
    bool taught = k->taught >= TAUGHT_LEAST;
    if (taught) k->lead = full ? mean_lead(p, offset) : 0;
    else k->lead = counts(p, LINES, offset[LINES]) ? offset[LINES] - p->bank.offset : 0;   /* it is sooner near */
}

void orri_pace_shift(struct orri_pace *k, orr_time local) { orri_edge_shift(&k->edge, local); }

void orri_pace_move(struct orri_pace *k, double by) {
    for (unsigned j = 0; j < ORRI_TRAIL; j++) {
        for (unsigned i = 0; i < ORRI_CANDIDATES; i++) k->past[j][i] += by;
    }
    orri_edge_move(&k->edge, by);
}

void orri_pace_heat(struct orri_pace *k, orr_time at, double rate) {
    for (unsigned j = 0; j < ORRI_TRAIL; j++) {
        double moved = rate * orri_seconds(at - k->edge.trail[j].at);
        for (unsigned i = 0; i < ORRI_CANDIDATES; i++) k->past[j][i] -= moved;
    }
    orri_edge_heat(&k->edge, at, rate);
}
