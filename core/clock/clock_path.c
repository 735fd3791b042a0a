/* clock_path.c - what a round trip says of its exchange.
 *
 * Queues only add. The least delay of late is the empty path; what an exchange took beyond it, its excess, bounds its
 * error: the offset is wrong by at most half of it. How much of the excess is on the way out is learned (0.5: all of
 * it, -0.5: all of it is on the way back), and so is how widely the error scatters around that. */
#include "clock/clock_inner.h"

#define FAR 1e9                     /* s; longer than any delay that is accepted */
enum { LEARNED = 8, SETTLED = 16 };

void orri_path_begin(struct orri_path *p) {
    for (unsigned i = 0; i < ORRI_PATH_BLOCKS; i++) p->least[i] = FAR;
    p->in_block = 0;
    p->n = 0;
    p->n_excess = 0;
}

void orri_path_init(struct orri_path *p) {
    *p = (struct orri_path){ .spread = 1.0 / 12 };
    orri_path_begin(p);
}

double orri_path_share(const struct orri_path *p) {
    return p->out_sum / (p->out_weight + 1);                /* pulled towards symmetry while little is known */
}

static void shortest(struct orri_path *p, double delay) {
    if (p->in_block == ORRI_PATH_BLOCK) {
        for (unsigned i = ORRI_PATH_BLOCKS - 1; i > 0; i--) p->least[i] = p->least[i - 1];
        p->least[0] = FAR;
        p->in_block = 0;
    }
    p->in_block++;
    p->least[0] = orri_smaller(p->least[0], delay);
    p->delay = p->least[0];
    for (unsigned i = 1; i < ORRI_PATH_BLOCKS; i++) p->delay = orri_smaller(p->delay, p->least[i]);
}

struct orri_reading orri_path_read(struct orri_path *p, const struct orri_exchange *x) {
    shortest(p, x->delay);
    double excess = x->delay - p->delay;
    if (p->n_excess < LEARNED) p->excess += (excess - p->excess) / ++p->n_excess;
    else p->excess += p->excess * (excess > p->excess ? 0.05 : -0.05);
    if (p->excess < 1e-3 * x->stamp) p->excess = 1e-3 * x->stamp;      /* so that it can grow again */

    struct orri_reading r = { .excess = excess, .floor = x->stamp * ORRI_STAMP_SD + 0.02 * p->excess };
    r.offset = x->offset - orri_path_share(p) * excess;
    r.variance = orri_square(r.floor) + p->spread * orri_square(excess);
    /* The empty path isn't known yet: the least of n is about 1/n as far from it as one is. */
    if (p->n < LEARNED) r.variance += orri_square(x->delay / (p->n + 1)) / 12;
    if (p->n <= SETTLED) p->n++;
    return r;
}

void orri_path_learn(struct orri_path *p, const struct orri_reading *r, double raw_error, double sd) {
    if (p->n <= SETTLED || r->excess <= 4 * r->floor) return;
    double trust = orri_square(r->excess) / (orri_square(r->excess) + 4 * orri_square(sd));
    double error = raw_error - orri_path_share(p) * r->excess;
    p->out_sum = 0.998 * p->out_sum + trust * orri_within(raw_error / r->excess, 0.5);
    p->out_weight = 0.998 * p->out_weight + trust;
    double spread = orri_smaller(orri_square(error / r->excess), 0.25);
    p->spread = orri_larger(p->spread + 0.01 * trust * (spread - p->spread), 0.002);
}
