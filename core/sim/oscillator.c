/* oscillator.c - what a quartz does by itself: its rate walks at random, and follows the temperature.
 *
 * At each whole second of virtual time the rate changes, and stays for that second: the walk by a step of its own, the
 * temperature along a sine, with noise that forgets in a minute. A rate is a whole number of ppb, so a second's end is
 * at a whole ns, and however many seconds one leaps over, nothing is rounded.
 *
 * Every step is drawn from the node's seed and the number of its second (a hash, no stream): so a clock is the same
 * whenever and however often it is read, and whatever was set before. Nothing is done for a second that nobody asks
 * for; a clock that neither wanders nor is heated has one line without an end, and costs what it always did.
 *
 * The walk's steps are the number of ones among 64 random bits, less 32: mean 0, deviation 4, near enough to a normal
 * one, and in integers. The rate leaves true time by no more than most_ppb, but where drift itself was set beyond it:
 * there the walk turns back. */
#include <errno.h>

#include "base/hash.h"
#include "sim/room.h"

enum { PPT = 1000, ROOT_OF_HOUR = 60, DEVIATION = 4, MILLION = 1000000, PPB_MOST = 100000000, KEPT = 64 };
#define ROOM_MC 25000               /* the temperature at which the rate is what drift and wander say */
#define COEFFICIENT_MOST 1000000
#define SWING_MOST_MK 100000
#define NOISE_PER_SWING 10          /* its deviation is so small a part of the swing */

static int64_t draw(const struct orri_clock *clock, uint64_t use, int64_t second) {
    return __builtin_popcountll(orri_mix64(orri_mix64(clock->seed, use), (uint64_t)second)) - 32;
}

/* sin of 2 pi turns, within 0.0002: a polynomial of the quarter, so that every machine has the same bits. */
static double sine(double turns) {
    double quarter = 4 * (turns - (double)(int64_t)turns);
    double sign = quarter < 2 ? 1 : -1, z = quarter < 2 ? quarter : quarter - 2;
    if (z > 1) z = 2 - z;
    double zz = z * z;
    return sign * z * (1.5707963267948966 - zz * (0.6415926535897932 - zz * 0.0707963267948966));
}

static int64_t within(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

/* What wander and heat may add, in ppb: drift alone may be beyond. */
static int64_t least(const struct orri_clock *c) {
    int64_t most = c->as.most_ppb;
    return c->ppb < -most ? 0 : -most - c->ppb;
}
static int64_t most(const struct orri_clock *c) {
    int64_t most = c->as.most_ppb;
    return c->ppb > most ? 0 : most - c->ppb;
}

static void walk(struct orri_clock *c, int64_t second) {
    int64_t low = least(c) * PPT, high = most(c) * PPT;
    int64_t by = draw(c, 1, second) * c->as.wander_ppb * PPT / (DEVIATION * ROOT_OF_HOUR);
    int64_t to = c->walk_ppt + by;
    if (to > high) to = 2 * high - to;
    if (to < low) to = 2 * low - to;
    c->walk_ppt = within(to, low, high);
}

/* The noise keeps 63 of 64 parts: its deviation is 5.68 times that of its steps. */
static void warm(struct orri_clock *c, orr_time t) {
    int64_t deviation_uk = (int64_t)c->as.swing_mk * 1000 / NOISE_PER_SWING;
    int64_t step = draw(c, 2, t / ORR_SECOND) * deviation_uk * 100 / (DEVIATION * 568);
    c->noise_uk += step - c->noise_uk / KEPT;
    double turns = (double)(t - c->heated) / (double)c->as.period;
    c->celsius_uc = ROOM_MC * 1000 + (int64_t)(c->as.swing_mk * 1000.0 * sine(turns)) + c->noise_uk;
}

void orri_clock_aim(struct orri_clock *c) {
    int64_t heat = (c->celsius_uc - ROOM_MC * 1000) * c->as.ppb_per_kelvin / MILLION;
    int64_t more = within(c->walk_ppt / PPT + (c->as.swing_mk ? heat : 0), least(c), most(c));
    c->rate = c->until == ORR_NEVER ? c->ppb : (int32_t)(c->ppb + more);
}

void orri_clock_bend(struct orri_clock *c) {
    c->base_local = orri_clock_line(c, c->until);
    c->base_t = c->until;
    c->until += ORR_SECOND;
    if (c->as.wander_ppb) walk(c, c->base_t / ORR_SECOND);
    if (c->as.swing_mk) warm(c, c->base_t);
    orri_clock_aim(c);
}

void orri_clock_set(struct orri_clock *c, orr_time t, const struct orr_sim_oscillator *as) {
    bool was_heated = c->as.swing_mk != 0;
    c->base_local = orri_clock_local(c, t);
    c->base_t = t;
    c->as = *as;
    if (as->wander_ppb == 0) c->walk_ppt = 0;
    if (as->swing_mk == 0 || !was_heated) {
        c->heated = t;
        c->noise_uk = 0;
        c->celsius_uc = ROOM_MC * 1000;
    }
    bool bent = as->wander_ppb != 0 || as->swing_mk != 0;
    if (!bent) c->until = ORR_NEVER;
    else if (c->until == ORR_NEVER) c->until = (t / ORR_SECOND + 1) * ORR_SECOND;
    orri_clock_aim(c);
}

/* -- Public -------------------------------------------------------------------------------------------------------- */
static bool sound(const struct orr_sim_oscillator *as) {
    return as->wander_ppb >= 0 && as->wander_ppb <= PPB_MOST && as->most_ppb >= 0 && as->most_ppb <= PPB_MOST &&
           as->swing_mk >= 0 && as->swing_mk <= SWING_MOST_MK && as->period >= 0 &&
           as->ppb_per_kelvin <= COEFFICIENT_MOST && as->ppb_per_kelvin >= -COEFFICIENT_MOST;
}

int orr_sim_oscillator(struct orr_sim *sim, const char *name, const struct orr_sim_oscillator *as) {
    struct orri_node *node = orri_node_find(sim, name);
    struct orr_sim_oscillator exact = *as;
    if (!node) return -ENOENT;
    if (!sound(as)) return ORR_EINVALID;
    if (exact.period == 0) exact.period = 3600 * ORR_SECOND;
    if (exact.most_ppb == 0) exact.most_ppb = 500000;
    orri_clock_set(&node->clock, sim->now, &exact);
    orri_node_rearm(node);
    return 0;
}

int orr_sim_oscillator_now(const struct orr_sim *sim, const char *name, struct orr_sim_oscillator *as) {
    const struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    *as = node->clock.as;
    return 0;
}

int orr_sim_oscillator_rate(const struct orr_sim *sim, const char *name, int32_t *ppb) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    (void)orri_clock_local(&node->clock, sim->now);
    *ppb = node->clock.rate;
    return 0;
}

/* The sensor stands beside the quartz. */
int orri_world_temperature(struct orr_world *w, int32_t *milli_c) {
    struct orri_node *node = orri_node_of(w);
    if (node->clock.as.swing_mk == 0) return ORR_EUNAVAILABLE;
    (void)orri_clock_local(&node->clock, node->sim->now);
    *milli_c = (int32_t)(node->clock.celsius_uc / 1000);
    return 0;
}

int orr_sim_temperature(struct orr_sim *sim, const char *name, int32_t *milli_c) {
    struct orri_node *node = orri_node_find(sim, name);
    return node ? orri_world_temperature(&node->world, milli_c) : -ENOENT;
}
