/* hlc.c - the hybrid logical clock: one integer, a maximum and a guard.
 *
 * The paper keeps a pair (l, c) and tells three cases apart. Here the pair is one integer, l in its upper 48 bits, and
 * "the greatest of all that is known, plus one, or the wall clock where that is greater" is all three of them: within
 * one unit the counter goes up, a new unit begins with 0, and a counter that overflows carries into l.
 *
 * The limit lies `ahead` before the wall clock, not before the last stamp: a node that starts again and again within a
 * second would otherwise run away from the time by a second at each start. Only where the clock is there already does
 * the limit follow the stamps, by LEAST. */
#include <orrery/hlc.h>

#include "base/assert.h"

enum { COUNTER_BITS = 16 };
static const uint64_t units_per_second = 1 << 16;
static const orr_hlc_stamp least = (orr_hlc_stamp)64 << COUNTER_BITS;       /* about 1 ms */
static const orr_time ahead_least = ORR_MS;

void orr_hlc_config_init(struct orr_hlc_config *config) {
    *config = (struct orr_hlc_config){ .size = sizeof *config, .skew_max = 500 * ORR_MS, .ahead = ORR_SECOND };
}

int orr_hlc_config_check(const struct orr_hlc_config *config, const char **field) {
    const char *wrong = NULL;
    if (config->size != sizeof *config) wrong = "size";
    else if (config->skew_max < 0) wrong = "skew_max";
    else if (config->ahead < ahead_least) wrong = "ahead";
    if (wrong && field) *field = wrong;
    return wrong ? ORR_EINVALID : 0;
}

int orr_hlc_init(struct orr_hlc *h, const struct orr_hlc_config *config, orr_hlc_stamp limit) {
    struct orr_hlc_config defaults;
    orr_hlc_config_init(&defaults);
    if (!config) config = &defaults;
    if (orr_hlc_config_check(config, NULL) < 0) return ORR_EINVALID;
    /* All that was given before is below the limit, and the first stamp from now on is not. */
    *h = (struct orr_hlc){ .skew_max = config->skew_max, .ahead = config->ahead, .last = limit ? limit - 1 : 0,
                           .asked = limit, .limit = limit };
    return 0;
}

/* -- Units --------------------------------------------------------------------------------------------------------- */
static orr_time later(orr_time at, orr_time by) {
    orr_time sum;
    return __builtin_add_overflow(at, by, &sum) ? INT64_MAX : sum;
}

orr_hlc_stamp orr_hlc_of(orr_time wall) {
    if (wall <= 0) return 0;
    uint64_t seconds = (uint64_t)(wall / ORR_SECOND), rest = (uint64_t)(wall % ORR_SECOND);
    if (seconds > UINT32_MAX) return UINT64_MAX & ~(units_per_second - 1);
    return ((seconds << 16) + rest * units_per_second / (uint64_t)ORR_SECOND) << COUNTER_BITS;
}

orr_time orr_hlc_time(orr_hlc_stamp stamp) {
    uint64_t units = stamp >> COUNTER_BITS, seconds = units / units_per_second, rest = units % units_per_second;
    return (orr_time)(seconds * (uint64_t)ORR_SECOND + rest * (uint64_t)ORR_SECOND / units_per_second);
}

/* -- Stamps -------------------------------------------------------------------------------------------------------- */
static int after(struct orr_hlc *h, orr_hlc_stamp known, orr_time wall, orr_hlc_stamp *stamp) {
    orr_hlc_stamp now = orr_hlc_of(wall);
    if (known >= UINT64_MAX - 1) return ORR_EUNAVAILABLE;      /* the last number is a limit only */
    ORR_ASSERT(known >= h->last);
    h->last = *stamp = known + 1 > now ? known + 1 : now;
    return 0;
}

int orr_hlc_tick(struct orr_hlc *h, orr_time wall, orr_hlc_stamp *stamp) { return after(h, h->last, wall, stamp); }

int orr_hlc_receive(struct orr_hlc *h, orr_time wall, orr_time latest, orr_hlc_stamp heard, orr_hlc_stamp *stamp) {
    if (orr_hlc_time(heard) > later(latest, h->skew_max)) {
        h->refused++;
        return ORR_EDENIED;
    }
    return after(h, heard > h->last ? heard : h->last, wall, stamp);
}

/* -- The limit ----------------------------------------------------------------------------------------------------- */
static orr_hlc_stamp plus(orr_hlc_stamp stamp, orr_hlc_stamp by) {
    return stamp > UINT64_MAX - by ? UINT64_MAX : stamp + by;
}

bool orr_hlc_store(struct orr_hlc *h, orr_time wall, orr_hlc_stamp *limit) {
    orr_hlc_stamp half = orr_hlc_of(later(wall, h->ahead / 2)), whole = orr_hlc_of(later(wall, h->ahead));
    if (h->asked > half && h->asked > plus(h->last, least / 2)) return false;
    orr_hlc_stamp wanted = plus(h->last, least);
    if (wanted < whole) wanted = whole;
    if (wanted <= h->asked) return false;
    h->asked = *limit = wanted;
    return true;
}

void orr_hlc_stored(struct orr_hlc *h, orr_hlc_stamp limit) {
    ORR_ASSERT(limit <= h->asked);
    if (limit > h->limit) h->limit = limit;
}

void orr_hlc_unstored(struct orr_hlc *h) { h->asked = h->limit; }

bool orr_hlc_usable(const struct orr_hlc *h, orr_hlc_stamp stamp) { return stamp < h->limit; }

orr_time orr_hlc_ahead(const struct orr_hlc *h, orr_time wall) {
    orr_time at = orr_hlc_time(h->last);
    return at <= wall ? 0 : wall < 0 ? later(at, wall == INT64_MIN ? INT64_MAX : -wall) : at - wall;
}
