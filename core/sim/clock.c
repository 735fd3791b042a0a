/* clock.c - a node's clocks as straight lines over virtual time, bent where the drift changes (and oscillator.c: each
 * second).
 *
 * Both directions are exact in integers: an alarm set for a local time is never early, at no drift. */
#include "sim/room.h"

__extension__ typedef __int128 wide;

enum { BILLION = 1000000000 };

static orr_time gained(const struct orri_clock *clock, orr_time passed) {
    enum { SMALL = 1 << 30 };       /* products of this many ns * ppb, times 8192, fit 64 bits */
    bool small = clock->rate < 1 << 20 && clock->rate > -(1 << 20);
    if (passed / 8192 < SMALL && small) return passed * clock->rate / BILLION;
    return (orr_time)((wide)passed * clock->rate / BILLION);
}

orr_time orri_clock_line(const struct orri_clock *clock, orr_time t) {
    orr_time passed = t - clock->base_t;
    return clock->base_local + passed + (clock->rate ? gained(clock, passed) : 0);
}

orr_time orri_clock_local(struct orri_clock *clock, orr_time t) {
    while (__builtin_expect(t > clock->until, 0)) orri_clock_bend(clock);
    return orri_clock_line(clock, t);
}

/* The first guess, 1 - e for 1 / (1 + e), is never late; what is missing is added until nothing is. */
static orr_time when(const struct orri_clock *clock, orr_time local) {
    orr_time wanted = local - clock->base_local;
    if (wanted <= 0) return clock->base_t;
    if (clock->rate == 0) return clock->base_t + wanted;
    orr_time t = clock->base_t + wanted - gained(clock, wanted) - 1;
    for (orr_time missing; (missing = local - orri_clock_line(clock, t)) > 0;) t += missing;
    return t;
}

/* A ns that was added too many is taken back. (A line without an end keeps it: runs are to stay what they are.) */
static orr_time when_exactly(const struct orri_clock *clock, orr_time local) {
    orr_time t = when(clock, local);
    while (t > clock->base_t && orri_clock_line(clock, t - 1) >= local) t--;
    return t;
}

/* Looks ahead in a copy. Behind that it takes the clock for as fast as it can be. */
static orr_time when_bent(const struct orri_clock *clock, orr_time local) {
    enum { AHEAD = 16 };
    struct orri_clock ahead = *clock;
    for (int i = 0; i < AHEAD && orri_clock_line(&ahead, ahead.until) < local; i++) orri_clock_bend(&ahead);
    if (orri_clock_line(&ahead, ahead.until) < local) {
        orri_clock_bend(&ahead);
        ahead.rate = ahead.ppb > ahead.as.most_ppb ? ahead.ppb : ahead.as.most_ppb;
    }
    return when_exactly(&ahead, local);
}

orr_time orri_clock_when(const struct orri_clock *clock, orr_time local) {
    if (__builtin_expect(clock->until == ORR_NEVER, 1)) return when(clock, local);
    return when_bent(clock, local);
}

void orri_clock_drift(struct orri_clock *clock, orr_time t, int32_t ppb) {
    clock->base_local = orri_clock_local(clock, t);
    clock->base_t = t;
    clock->ppb = ppb;
    orri_clock_aim(clock);
}

orr_time orri_clock_wall(const struct orri_clock *clock, orr_time local) {
    return clock->frozen ? clock->frozen_at : local + clock->wall_offset;
}

void orri_clock_freeze(struct orri_clock *clock, orr_time t, bool on) {
    if (clock->frozen == on) return;
    orr_time local = orri_clock_local(clock, t);
    if (on) clock->frozen_at = local + clock->wall_offset;
    else clock->wall_offset = clock->frozen_at - local;
    clock->frozen = on;
}

orr_time orri_expo(struct orr_rng *rng, orr_time mean) {
    static const int64_t ln2 = 2977044472;               /* of 2^32 */
    uint64_t u = orri_rng_next(rng);
    if (mean <= 0) return 0;
    unsigned zeros = (unsigned)__builtin_clzll(u | 1);
    uint64_t fraction = zeros < 63 ? (u << zeros << 1) >> 32 : 0;
    uint64_t log2 = ((uint64_t)(zeros + 1) << 32) - fraction;        /* -log2(u / 2^64), 32 bits of fraction */
    uint64_t ln = (uint64_t)(((wide)log2 * ln2) >> 32);
    return (orr_time)(((wide)mean * (wide)ln) >> 32);
}
