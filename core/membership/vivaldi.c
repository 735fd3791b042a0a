/* vivaldi.c - network coordinates.
 *
 * A sample is first the median of the peer's latest; then it moves the node along the line to the peer by a share of
 * what the guess was off, the greater the less sure this node is of itself and the surer the peer; then gravity pulls a
 * little towards the origin; then the adjustment becomes half of what the guesses of late were off on average. Half,
 * for the peer adds its own.
 *
 * Whatever comes in is bounded, and one sample moves a node no farther than a quarter of what it was off; should the
 * outcome be absurd all the same, the node begins anew.                                                              */
#include "membership/vivaldi.h"

#include <math.h>
#include <string.h>

#include "base/codec.h"

#define ERROR_MAX 1.5
#define ERROR_WEIGHT 0.25           /* the paper's c_e, how soon the error follows */
#define FORCE_WEIGHT 0.25           /* and c_c, how far a sample moves */
#define HEIGHT_MIN 10e-6
#define GRAVITY_RHO 150.0
#define NEAR 1e-6                   /* in seconds: on top of each other */
#define FARTHEST 60.0               /* six times the longest round trip that counts */

void orri_vivaldi_init(struct orri_vivaldi *v, uint64_t seed) {
    *v = (struct orri_vivaldi){ .here = { .height = HEIGHT_MIN, .error = ERROR_MAX } };
    orri_rng_init(&v->rng, seed);
}

/* -- Distances ----------------------------------------------------------------------------------------------------- */
static double length(const double v[ORRI_DIMENSIONS]) {
    double sum = 0;
    for (unsigned i = 0; i < ORRI_DIMENSIONS; i++) sum += v[i] * v[i];
    return sqrt(sum);
}

static double raw_distance(const struct orri_coordinate *a, const struct orri_coordinate *b) {
    double by[ORRI_DIMENSIONS];
    for (unsigned i = 0; i < ORRI_DIMENSIONS; i++) by[i] = a->at[i] - b->at[i];
    return length(by) + a->height + b->height;
}

/* Adjustments that would make it negative are left out. */
static double distance(const struct orri_coordinate *a, const struct orri_coordinate *b) {
    double raw = raw_distance(a, b), adjusted = raw + a->adjustment + b->adjustment;
    return adjusted > 0 ? adjusted : raw;
}

orr_time orri_coordinate_rtt(const struct orri_coordinate *a, const struct orri_coordinate *b) {
    return (orr_time)(distance(a, b) * 1e9 + 0.5);
}

/* -- The median of a peer's latest samples ------------------------------------------------------------------------- */
/* Chance decides whose samples are lost where there are more peers than room: who probes all in turn would else never
 * come upon one that it still knows. */
static struct orri_vivaldi_peer *peer_of(struct orri_vivaldi *v, orr_id id) {
    for (uint32_t i = 0; i < v->n_peers; i++)
        if (v->peers[i].id == id) return &v->peers[i];
    uint32_t at = v->n_peers < ORRI_VIVALDI_PEERS ? v->n_peers++
                                                  : (uint32_t)orri_rng_below(&v->rng, ORRI_VIVALDI_PEERS);
    v->peers[at] = (struct orri_vivaldi_peer){ .id = id };
    return &v->peers[at];
}

static uint32_t lesser(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t greater(uint32_t a, uint32_t b) { return a < b ? b : a; }

/* Of two the lesser: what is late is so by accident. */
static double median(struct orri_vivaldi *v, orr_id id, orr_time rtt) {
    struct orri_vivaldi_peer *p = peer_of(v, id);
    uint32_t *r = p->rtt_us_16;
    memmove(r + 1, r, (ORRI_VIVALDI_FILTER - 1) * sizeof *r);
    r[0] = (uint32_t)((rtt * 16 + 500) / 1000);
    if (p->n < ORRI_VIVALDI_FILTER) p->n++;
    uint32_t low = lesser(r[0], r[1]), high = greater(r[0], r[1]);
    uint32_t middle = p->n == 1 ? r[0] : p->n == 2 ? low : greater(low, lesser(high, r[2]));
    return (double)middle / 16e6;
}

/* -- Moving -------------------------------------------------------------------------------------------------------- */
/* Of nodes in one place none knows where to go: chance does. */
static void any_direction(struct orr_rng *rng, double unit[ORRI_DIMENSIONS]) {
    for (unsigned i = 0; i < ORRI_DIMENSIONS; i++) unit[i] = orri_rng_unit(rng) - 0.5;
    double size = length(unit);
    if (size > NEAR) {
        for (unsigned i = 0; i < ORRI_DIMENSIONS; i++) unit[i] /= size;
    } else {
        memset(unit, 0, ORRI_DIMENSIONS * sizeof *unit);
        unit[0] = 1;
    }
}

/* By `force` seconds away from the other, or towards it where that is negative. The height takes its share of it, as
 * if it lay on the way. */
static void push(struct orri_vivaldi *v, double force, const struct orri_coordinate *from) {
    struct orri_coordinate *c = &v->here;
    double unit[ORRI_DIMENSIONS];
    for (unsigned i = 0; i < ORRI_DIMENSIONS; i++) unit[i] = c->at[i] - from->at[i];
    double apart = length(unit);
    if (apart > NEAR) {
        for (unsigned i = 0; i < ORRI_DIMENSIONS; i++) unit[i] /= apart;
        double height = c->height + (c->height + from->height) * force / apart;
        c->height = height > HEIGHT_MIN ? height : HEIGHT_MIN;
    } else {
        any_direction(&v->rng, unit);
    }
    for (unsigned i = 0; i < ORRI_DIMENSIONS; i++) c->at[i] += unit[i] * force;
}

static void pull_to_origin(struct orri_vivaldi *v) {
    static const struct orri_coordinate origin = { .height = HEIGHT_MIN };
    double far = distance(&origin, &v->here) / GRAVITY_RHO;
    push(v, -far * far, &origin);
}

static void spring(struct orri_vivaldi *v, const struct orri_coordinate *other, double rtt) {
    struct orri_coordinate *c = &v->here;
    double guess = distance(c, other), off = rtt - guess;
    double wrong = (off < 0 ? -off : off) / rtt;
    double doubt = c->error + other->error;
    double weight = c->error / (doubt > NEAR ? doubt : NEAR);
    double error = ERROR_WEIGHT * weight * wrong + c->error * (1 - ERROR_WEIGHT * weight);
    c->error = error < ERROR_MAX ? error : ERROR_MAX;
    push(v, FORCE_WEIGHT * weight * off, other);
}

static void adjust(struct orri_vivaldi *v, const struct orri_coordinate *other, double rtt) {
    v->window[v->n_window++ % ORRI_VIVALDI_WINDOW] = rtt - raw_distance(&v->here, other);
    double sum = 0;
    for (unsigned i = 0; i < ORRI_VIVALDI_WINDOW; i++) sum += v->window[i];
    v->here.adjustment = sum / (2.0 * ORRI_VIVALDI_WINDOW);
}

static void begin_anew(struct orri_vivaldi *v) {
    v->here = (struct orri_coordinate){ .height = HEIGHT_MIN, .error = ERROR_MAX };
    memset(v->window, 0, sizeof v->window);
}

bool orri_vivaldi_learn(struct orri_vivaldi *v, orr_id peer, const struct orri_coordinate *other, orr_time rtt) {
    if (rtt < 0 || rtt > ORRI_VIVALDI_RTT_MAX || !orri_coordinate_fits(other)) {
        v->rejected++;
        return false;
    }
    double seconds = median(v, peer, rtt);
    if (seconds < NEAR) seconds = NEAR;
    spring(v, other, seconds);
    adjust(v, other, seconds);
    pull_to_origin(v);
    if (!orri_coordinate_fits(&v->here)) begin_anew(v);
    return true;
}

/* -- As they travel ------------------------------------------------------------------------------------------------ */
static bool within(double x, double low, double high) { return x >= low && x <= high; }     /* NaN is not */

bool orri_coordinate_fits(const struct orri_coordinate *c) {
    for (unsigned i = 0; i < ORRI_DIMENSIONS; i++)
        if (!within(c->at[i], -FARTHEST, FARTHEST)) return false;
    return within(c->height, 0, FARTHEST) && within(c->adjustment, -FARTHEST, FARTHEST) &&
           within(c->error, 0, ERROR_MAX);
}

static void put(unsigned char *at, double x) {
    float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    orri_put_le(at, bits, 4);
}
static double get(const unsigned char *at) {
    uint32_t bits = (uint32_t)orri_get_le(at, 4);
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

void orri_coordinate_write(unsigned char *at, const struct orri_coordinate *c) {
    for (unsigned i = 0; i < ORRI_DIMENSIONS; i++, at += 4) put(at, c->at[i]);
    put(at, c->height);
    put(at + 4, c->adjustment);
    put(at + 8, c->error);
}

bool orri_coordinate_read(const unsigned char *at, struct orri_coordinate *c) {
    for (unsigned i = 0; i < ORRI_DIMENSIONS; i++, at += 4) c->at[i] = get(at);
    c->height = get(at);
    c->adjustment = get(at + 4);
    c->error = get(at + 8);
    return orri_coordinate_fits(c);
}
