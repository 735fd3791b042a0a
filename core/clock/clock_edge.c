/* clock_edge.c - the offset from both ways apart: where the empty path ends on the way out, and where on the way back.
 *
 * A round trip's half difference is spoiled if either way had a queue; here each way tells what it can by itself. The
 * state is the offset, its rate, and half of the empty round trip, which both ways share. A request that came `excess`
 * later than foretold is weighed by what is known of that way's queues (clock_queue.c), and the state takes the first
 * two moments of what is left possible: assumed density filtering. So an exchange that waited says little, one that
 * found a way free says much, and a path that becomes longer one way only is a queue on that way, not a moved clock.
 *
 * Filters with different guesses of the oscillator's wander run side by side, like the bank's, and are weighed by how
 * likely they found what came.
 *
 * Looking back: each step is kept for a while, and the information that came later is carried backwards through them
 * (the modified Bryson-Frazier smoother, which inverts nothing). That estimate of a past moment is the teacher. */
#include <math.h>

#include "base/assert.h"
#include "clock/clock_inner.h"

#define FORGET 0.99                 /* a filter's score fades so much with each exchange */
#define SCORE_LEAST (-12.0)
#define PATH_WANDER 1e-6            /* of the delay, per sqrt(s): the empty path is nearly still */
#define VARIANCE_LEAST 1e-26
enum { OFFSET, RATE, HALF, UNSURE = 10 };

static const double wander_variance[ORRI_EDGES] = { 1e-22, 1e-20, 1e-19, 3e-18, 1e-16, 1e-14 };
static const double score_before[ORRI_EDGES] = { 0, 0, 0, -1, -2, -6 };

static void weigh(struct orri_edge *e) {
    double best = e->score[0], sum = 0;
    for (unsigned i = 1; i < ORRI_EDGES; i++) best = orri_larger(best, e->score[i]);
    for (unsigned i = 0; i < ORRI_EDGES; i++) {
        e->score[i] = orri_larger(e->score[i] - best, SCORE_LEAST);
        sum += e->weight[i] = exp(e->score[i]);
    }
    e->offset = 0;
    for (unsigned i = 0; i < ORRI_EDGES; i++) {
        e->weight[i] /= sum;
        e->offset += e->weight[i] * e->filter[i].x[OFFSET];
    }
}

void orri_edge_begin(struct orri_edge *e, const struct orri_exchange *x, double rate, double rate_sd) {
    double half = x->delay / 2;
    struct orri_edge_filter k = { .x = { x->offset, rate, half } };
    k.p[OFFSET][OFFSET] = k.p[HALF][HALF] = orri_square(half);
    k.p[RATE][RATE] = orri_square(rate_sd);
    if (e->learned == 0) {
        for (unsigned way = 0; way < 2; way++) orri_queue_init(&e->queue[way], half);
    }
    e->at = x->at;
    e->steps = e->next = 0;
    for (unsigned i = 0; i < ORRI_EDGES; i++) {
        e->filter[i] = k;
        e->score[i] = score_before[i];
    }
    weigh(e);
}

static void predict(struct orri_edge_filter *k, double dt, double wander, double path_wander) {
    double (*p)[3] = k->p, carried = p[OFFSET][RATE] + dt * p[RATE][RATE];
    k->x[OFFSET] += k->x[RATE] * dt;
    p[OFFSET][OFFSET] += dt * (p[OFFSET][RATE] + carried) + wander * dt * dt * dt / 3;
    p[OFFSET][RATE] = p[RATE][OFFSET] = carried + wander * dt * dt / 2;
    p[OFFSET][HALF] = p[HALF][OFFSET] = p[OFFSET][HALF] + dt * p[RATE][HALF];
    p[RATE][RATE] += wander * dt;
    p[HALF][HALF] += path_wander * dt;
}

/* One way's delay: `direction` is how the offset is in it, 1 on the way out and -1 on the way back. */
static struct orri_evidence correct(struct orri_edge_filter *k, const struct orri_queue *q, double direction,
                                    double delay, double noise, struct orri_edge_pull *pull) {
    double gain[3], variance = noise, excess = delay - direction * k->x[OFFSET] - k->x[HALF];
    for (unsigned r = 0; r < 3; r++) gain[r] = direction * k->p[r][OFFSET] + k->p[r][HALF];
    variance += direction * gain[OFFSET] + gain[HALF];
    struct orri_evidence e = orri_queue_weigh(q, excess, variance);
    for (unsigned r = 0; r < 3; r++) {
        k->x[r] -= gain[r] * e.slope;
        for (unsigned c = 0; c < 3; c++) k->p[r][c] += gain[r] * gain[c] * e.bend;
        k->p[r][r] = orri_larger(k->p[r][r], VARIANCE_LEAST);
        pull->gain[r] = (float)gain[r];
    }
    k->x[RATE] = orri_within(k->x[RATE], ORRI_RATE_MAX);
    pull->slope = (float)e.slope;
    pull->bend = (float)e.bend;
    return e;
}

static double direction_of(unsigned way) { return way == 0 ? 1 : -1; }

void orri_edge_update(struct orri_edge *e, const struct orri_exchange *x) {
    double dt = orri_seconds(x->at - e->at), noise = orri_square(x->stamp * ORRI_STAMP_SD);
    double share[2][ORRI_SCALES] = { { 0 } };
    ORR_ASSERT(dt >= 0);
    struct orri_edge_step *step = &e->trail[e->next];
    e->next = (e->next + 1) % ORRI_TRAIL;
    if (e->steps < ORRI_TRAIL) e->steps++;
    e->at = step->at = x->at;
    for (unsigned i = 0; i < ORRI_EDGES; i++) {
        struct orri_edge_filter *k = &e->filter[i];
        predict(k, dt, wander_variance[i], orri_square(PATH_WANDER * x->delay));
        e->score[i] *= FORGET;
        for (unsigned way = 0; way < 2; way++) {
            struct orri_evidence seen = correct(k, &e->queue[way], direction_of(way), way == 0 ? x->high : -x->low,
                                                noise, &step->pull[i][way]);
            e->score[i] += seen.log;
            for (unsigned j = 0; j < ORRI_SCALES; j++) share[way][j] += e->weight[i] * seen.share[j];
        }
        step->offset[i] = k->x[OFFSET];
        for (unsigned r = 0; r < 3; r++) step->p[i][r] = (float)k->p[OFFSET][r];
    }
    if (e->learned < ORRI_TAUGHT) e->learned++;
    for (unsigned way = 0; way < 2; way++) orri_queue_learn(&e->queue[way], share[way], 1.0 / (e->learned + UNSURE));
    weigh(e);
}

static const struct orri_edge_step *step_at(const struct orri_edge *e, uint32_t back) {
    return &e->trail[(e->next + ORRI_TRAIL - 1 - back) % ORRI_TRAIL];
}

/* What filter i thinks now of the offset at that step. `later` is the information of all later exchanges. */
static double look_back(const struct orri_edge *e, unsigned i, uint32_t back) {
    double later[3] = { 0, 0, 0 };
    for (uint32_t j = 0; j < back; j++) {
        const struct orri_edge_step *s = step_at(e, j);
        for (unsigned way = 2; way-- > 0;) {
            const struct orri_edge_pull *u = &s->pull[i][way];
            double moved = -(double)u->slope;
            for (unsigned r = 0; r < 3; r++) moved += (double)u->bend * (double)u->gain[r] * later[r];
            later[OFFSET] += direction_of(way) * moved;
            later[HALF] += moved;
        }
        later[RATE] += later[OFFSET] * orri_seconds(s->at - step_at(e, j + 1)->at);
    }
    const struct orri_edge_step *s = step_at(e, back);
    double offset = s->offset[i];
    for (unsigned r = 0; r < 3; r++) offset += (double)s->p[i][r] * later[r];
    return offset;
}

double orri_edge_hindsight(const struct orri_edge *e, uint32_t back) {
    double offset = 0;
    ORR_ASSERT(back < e->steps);
    for (unsigned i = 0; i < ORRI_EDGES; i++) offset += e->weight[i] * look_back(e, i, back);
    return offset;
}

void orri_edge_shift(struct orri_edge *e, orr_time local) {
    e->at = orri_add(e->at, local);
    e->steps = e->next = 0;
}

void orri_edge_move(struct orri_edge *e, double by) {
    for (unsigned i = 0; i < ORRI_EDGES; i++) {
        e->filter[i].x[OFFSET] += by;
        for (unsigned j = 0; j < ORRI_TRAIL; j++) e->trail[j].offset[i] += by;
    }
    e->offset += by;
}

void orri_edge_heat(struct orri_edge *e, orr_time at, double rate) {
    for (unsigned i = 0; i < ORRI_EDGES; i++) {
        struct orri_edge_filter *k = &e->filter[i];
        k->x[OFFSET] -= rate * orri_seconds(at - e->at);    /* what it would add from the last exchange to now */
        k->x[RATE] = orri_within(k->x[RATE] + rate, ORRI_RATE_MAX);
        for (unsigned j = 0; j < ORRI_TRAIL; j++) e->trail[j].offset[i] -= rate * orri_seconds(at - e->trail[j].at);
    }
    e->offset -= rate * orri_seconds(at - e->at);
}
