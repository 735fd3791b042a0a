/* oscillator_test.c - clocks whose rate wanders and follows the temperature: statistics, exactness, and that reading
 * changes nothing. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "probe.h"
#include "sim/room.h"

#define HOUR (3600 * ORR_SECOND)
enum { UNBOUND = 100000000 };

static struct orri_clock clock_of(uint64_t seed, int32_t ppb) {
    return (struct orri_clock){ .until = ORR_NEVER, .ppb = ppb, .rate = ppb, .seed = seed,
                                .base_local = 5 * ORR_SECOND };
}
static struct orri_clock wandering(uint64_t seed, int32_t ppb, int32_t wander_ppb, int32_t most_ppb) {
    struct orri_clock c = clock_of(seed, ppb);
    const struct orr_sim_oscillator as = { .wander_ppb = wander_ppb, .most_ppb = most_ppb };
    orri_clock_set(&c, 0, &as);
    return c;
}
static struct orri_clock wild(uint64_t seed) {
    struct orri_clock c = clock_of(seed, (int32_t)(seed % 7) * 10000 - 30000);
    const struct orr_sim_oscillator as = { .wander_ppb = 3000000, .most_ppb = 300000, .swing_mk = 20000,
                                           .ppb_per_kelvin = 1500, .period = 97 * ORR_SECOND };
    orri_clock_set(&c, (orr_time)(seed % 5) * 333333333, &as);
    return c;
}
static int32_t rate_at(struct orri_clock *c, orr_time t) {
    (void)orri_clock_local(c, t);
    return c->rate;
}

/* -- Wander -------------------------------------------------------------------------------------------------------- */
static void the_walk_grows_with_the_root_of_time_as_it_was_told(void **state) {
    static const struct { orr_time after; double deviation;
    } rows[] = { { HOUR / 36, 1.0 / 6 }, { HOUR / 4, 0.5 }, { HOUR, 1 }, { 4 * HOUR, 2 } };
    enum { CLOCKS = 1000, WANDER = 20000 };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double sum = 0, squares = 0;
        for (uint64_t seed = 0; seed < CLOCKS; seed++) {
            struct orri_clock c = wandering(seed, 0, WANDER, UNBOUND);
            double rate = rate_at(&c, rows[i].after + 1) / (double)WANDER;
            sum += rate;
            squares += rate * rate;
        }
        double deviation = sqrt(squares / CLOCKS), error = deviation / sqrt(2.0 * CLOCKS);
        assert_true(fabs(deviation - rows[i].deviation) < 3.5 * error);
        assert_true(fabs(sum / CLOCKS) < 3.5 * deviation / sqrt(CLOCKS));
    }
}

static void a_small_wander_is_not_lost_in_rounding(void **state) {
    double squares = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct orri_clock c = wandering(seed, 0, 20, UNBOUND);
        double rate = rate_at(&c, HOUR + 1);
        squares += rate * rate;
    }
    assert_true(sqrt(squares / 400) > 17 && sqrt(squares / 400) < 23);
}

static void steps_of_one_clock_and_of_two_are_independent(void **state) {
    struct orri_clock a = wandering(1, 0, 1000000, UNBOUND), b = wandering(2, 0, 1000000, UNBOUND);
    double last_a = 0, last_b = 0, before = 0, own = 0, both = 0, squares = 0;
    (void)state;
    for (orr_time t = 2 * ORR_SECOND; t < 20000 * ORR_SECOND; t += ORR_SECOND) {
        double ra = rate_at(&a, t), rb = rate_at(&b, t);
        own += (ra - last_a) * before;
        both += (ra - last_a) * (rb - last_b);
        squares += (ra - last_a) * (ra - last_a);
        before = ra - last_a;
        last_a = ra;
        last_b = rb;
    }
    assert_true(fabs(own / squares) < 0.025 && fabs(both / squares) < 0.025);
}

static void no_rate_is_farther_off_than_it_may_be_unless_the_drift_is(void **state) {
    static const int32_t drifts[] = { 0, 20000, -300000, 299999, 700000, -700000 };
    (void)state;
    for (size_t i = 0; i < sizeof drifts / sizeof *drifts; i++) {
        struct orri_clock c = wandering(i, drifts[i], 5000000, 300000);
        int32_t low = drifts[i] < -300000 ? drifts[i] : -300000, high = drifts[i] > 300000 ? drifts[i] : 300000;
        int32_t least = INT32_MAX, most = INT32_MIN;
        for (orr_time t = ORR_SECOND / 2; t < HOUR; t += ORR_SECOND) {
            int32_t rate = rate_at(&c, t);
            if (rate < least) least = rate;
            if (rate > most) most = rate;
        }
        assert_true(least >= low && most <= high);
        assert_true(most - least > 500000);          /* and it doesn't stick to an end */
    }
}

/* -- Exactness ----------------------------------------------------------------------------------------------------- */
static void how_often_it_is_read_changes_nothing(void **state) {
    struct orr_rng rng;
    (void)state;
    orri_rng_init(&rng, 7);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct orri_clock often = wild(seed), never = wild(seed);
        for (orr_time t = 2 * ORR_SECOND; t < 100 * ORR_SECOND; t += orri_rng_between(&rng, 0, 20 * ORR_MS)) {
            (void)orri_clock_local(&often, t);
            (void)orri_clock_when(&often, often.base_local + orri_rng_between(&rng, 0, 1000 * ORR_SECOND));
        }
        for (orr_time t = 100 * ORR_SECOND; t < 103 * ORR_SECOND; t += 77 * ORR_MS)
            assert_int_equal(orri_clock_local(&often, t), orri_clock_local(&never, t));
        orri_clock_drift(&often, 103 * ORR_SECOND + 5, 11111);
        orri_clock_drift(&never, 103 * ORR_SECOND + 5, 11111);
        assert_int_equal(orri_clock_local(&often, 500 * ORR_SECOND), orri_clock_local(&never, 500 * ORR_SECOND));
        assert_int_equal(often.rate, never.rate);
        assert_int_equal(often.celsius_uc, never.celsius_uc);
    }
}

/* When a local time is reached for the first time: asked again until it is. */
static orr_time first(struct orri_clock c, orr_time local, unsigned *asked) {
    orr_time t = 0;
    for (*asked = 1; t = orri_clock_when(&c, local), orri_clock_local(&c, t) < local; ++*asked)
        assert_true(*asked < 99);
    return t;
}

static void an_instant_is_found_from_its_local_time_however_far(void **state) {
    struct orr_rng rng;
    unsigned asked, most = 0, once = 0;
    (void)state;
    orri_rng_init(&rng, 3);
    for (uint64_t seed = 0; seed < 4000; seed++) {
        struct orri_clock c = wild(seed), before = c, at;
        orr_time far = orri_expo(&rng, seed % 4 ? ORR_SECOND : 3 * HOUR);
        orr_time local = orri_clock_local(&c, 3 * ORR_SECOND) + 1 + far;
        orr_time t = first(c, local, &asked);
        at = before;
        assert_true(orri_clock_local(&at, t) >= local);
        at = before;
        assert_true(orri_clock_local(&at, t - 1) < local);
        if (asked > most) most = asked;
        once += asked == 1;
    }
    assert_true(most > 1 && most < 12 && once > 2800);
}

static void it_never_goes_back_nor_leaps(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct orri_clock c = wild(seed);
        orr_time last = orri_clock_local(&c, 2 * ORR_SECOND - 200);
        for (orr_time second = 2; second < 60; second++) {
            last = orri_clock_local(&c, second * ORR_SECOND - 200);
            for (orr_time t = second * ORR_SECOND - 199; t < second * ORR_SECOND + 200; t++) {
                orr_time now = orri_clock_local(&c, t);
                assert_true(now >= last && now <= last + 2);
                last = now;
            }
        }
        assert_true(llabs(last - 5 * ORR_SECOND - 59 * ORR_SECOND) < 59 * ORR_SECOND * 3 / 10000);
    }
}

/* -- Heat ---------------------------------------------------------------------------------------------------------- */
static void the_temperature_swings_and_the_rate_follows(void **state) {
    struct orri_clock c = clock_of(9, 4000);
    const struct orr_sim_oscillator as = { .swing_mk = 8000, .ppb_per_kelvin = -120, .most_ppb = 500000,
                                           .period = HOUR };
    int64_t least = INT64_MAX, most = INT64_MIN;
    double sum = 0, squares = 0;
    (void)state;
    orri_clock_set(&c, 10 * ORR_SECOND, &as);
    assert_int_equal(c.celsius_uc, 25000000);
    for (int i = 1; i <= 36000; i++) {
        (void)orri_clock_local(&c, (10 + i) * ORR_SECOND + 1);
        assert_true(llabs(c.rate - (4000 - 120 * (c.celsius_uc - 25000000) / 1000000)) <= 1);
        double noise = (double)c.celsius_uc / 1e6 - 25 - 8 * sin(2 * 3.14159265358979 * i / 3600);
        sum += noise;
        squares += noise * noise;
        if (c.celsius_uc < least) least = c.celsius_uc;
        if (c.celsius_uc > most) most = c.celsius_uc;
    }
    assert_true(fabs(sum / 36000) < 0.1 && fabs(sqrt(squares / 36000) - 0.8) < 0.1);
    assert_true(most > 32500000 && most < 36500000 && least < 17500000 && least > 13500000);
}

static void a_heated_clock_keeps_its_bounds_too(void **state) {
    struct orri_clock c = clock_of(9, 280000);
    const struct orr_sim_oscillator as = { .swing_mk = 50000, .ppb_per_kelvin = 10000, .most_ppb = 300000,
                                           .period = 60 * ORR_SECOND };
    int32_t most = 0, least = 0;
    (void)state;
    orri_clock_set(&c, 0, &as);
    for (orr_time t = 1; t < 300 * ORR_SECOND; t += ORR_SECOND) {
        int32_t rate = rate_at(&c, t);
        if (rate > most) most = rate;
        if (rate < least) least = rate;
    }
    assert_true(most == 300000 && least < -100000 && least >= -300000);
}

/* -- In a simulation ----------------------------------------------------------------------------------------------- */
struct sleeper {
    struct probe p;
    orr_time at;
    unsigned late;
};
static void look(struct probe *p) {
    struct sleeper *s = p->ud;
    orr_time now = p->w->ops->now(p->w);
    if (s->at && now < s->at) return;
    if (s->at) assert_true(now <= s->at + 1);       /* never early; of two local ns one may be skipped */
    s->late++;
    s->at = now + 1 + (orr_time)(orr_sim_events(p->sim) * 7919 % 40) * 1234567891;
    p->w->ops->alarm(p->w, s->at, 0);
}

static void an_alarm_is_never_early_nor_late_by_a_clock_that_wanders(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct orr_sim *sim = probe_sim(seed);
        struct sleeper s = { .p = { .on_turn = look, .idle = true, .ud = &s } };
        const struct orr_sim_oscillator as = { .wander_ppb = 9000000, .swing_mk = 30000, .ppb_per_kelvin = 3000 };
        assert_int_equal(probe_add(sim, &s.p, "a", "a:1"), 0);
        assert_int_equal(orr_sim_poke(sim, "a"), 0);
        for (int i = 1; i < 20; i++) {              /* set anew while an alarm is under way, too */
            struct orr_sim_oscillator other = as;
            other.wander_ppb /= i;
            assert_int_equal(orr_sim_oscillator(sim, "a", &other), 0);
            orr_sim_run(sim, i * 100 * ORR_SECOND);
        }
        assert_true(s.late > 60);
        orr_sim_free(sim);
    }
}

static int32_t sensor_of(struct probe *p) {
    int32_t milli = 0;
    int rc = p->w->ops->temperature(p->w, &milli);
    return rc < 0 ? rc : milli;
}

static void who_is_not_heated_has_no_sensor_and_healing_ends_it(void **state) {
    struct orr_sim *sim = probe_sim(4);
    struct probe p = { .idle = true };
    struct orr_sim_oscillator as = { .wander_ppb = 5000000, .swing_mk = 10000, .ppb_per_kelvin = 100 };
    int32_t milli = 0, rate = 0, drift = 0;
    orr_time wall;
    (void)state;
    assert_int_equal(probe_add(sim, &p, "a", "a:1"), 0);
    assert_int_equal(sensor_of(&p), ORR_EUNAVAILABLE);
    assert_int_equal(orr_sim_temperature(sim, "a", &milli), ORR_EUNAVAILABLE);
    assert_int_equal(orr_sim_oscillator(sim, "a", &as), 0);
    orr_sim_run(sim, 900 * ORR_SECOND);
    assert_true(sensor_of(&p) > 32000);
    assert_int_equal(orr_sim_temperature(sim, "a", &milli), 0);
    assert_int_equal(milli, sensor_of(&p));
    assert_int_equal(orr_sim_oscillator_now(sim, "a", &as), 0);
    assert_true(as.period == HOUR && as.most_ppb == 500000);
    assert_int_equal(orr_sim_clock_now(sim, "a", &wall, &drift), 0);
    assert_int_equal(orr_sim_oscillator_rate(sim, "a", &rate), 0);
    assert_true(drift >= -20000 && drift <= 20000 && rate != drift);
    orr_sim_heal(sim);
    assert_int_equal(orr_sim_oscillator_rate(sim, "a", &rate), 0);
    assert_int_equal(rate, 0);
    assert_int_equal(sensor_of(&p), ORR_EUNAVAILABLE);
    orr_sim_free(sim);
}

static void what_no_oscillator_is_like_is_refused(void **state) {
    struct orr_sim *sim = probe_sim(4);
    struct probe p = { .idle = true };
    const struct orr_sim_oscillator fine = { .wander_ppb = 1 }, bad[] = {
        { .wander_ppb = -1 }, { .wander_ppb = 100000001 }, { .most_ppb = -1 }, { .most_ppb = 100000001 },
        { .swing_mk = -1 }, { .swing_mk = 100001 }, { .ppb_per_kelvin = 1000001 }, { .ppb_per_kelvin = -1000001 },
        { .period = -1 },
    };
    int32_t out;
    (void)state;
    assert_int_equal(probe_add(sim, &p, "a", "a:1"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(orr_sim_oscillator(sim, "a", &bad[i]), ORR_EINVALID);
    assert_int_equal(orr_sim_oscillator(sim, "z", &fine), -ENOENT);
    assert_int_equal(orr_sim_oscillator_rate(sim, "z", &out), -ENOENT);
    assert_int_equal(orr_sim_temperature(sim, "z", &out), -ENOENT);
    assert_int_equal(orr_sim_oscillator_now(sim, "z", &(struct orr_sim_oscillator){ 0 }), -ENOENT);
    orr_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_walk_grows_with_the_root_of_time_as_it_was_told),
        cmocka_unit_test(a_small_wander_is_not_lost_in_rounding),
        cmocka_unit_test(steps_of_one_clock_and_of_two_are_independent),
        cmocka_unit_test(no_rate_is_farther_off_than_it_may_be_unless_the_drift_is),
        cmocka_unit_test(how_often_it_is_read_changes_nothing),
        cmocka_unit_test(an_instant_is_found_from_its_local_time_however_far),
        cmocka_unit_test(it_never_goes_back_nor_leaps),
        cmocka_unit_test(the_temperature_swings_and_the_rate_follows),
        cmocka_unit_test(a_heated_clock_keeps_its_bounds_too),
        cmocka_unit_test(an_alarm_is_never_early_nor_late_by_a_clock_that_wanders),
        cmocka_unit_test(who_is_not_heated_has_no_sensor_and_healing_ends_it),
        cmocka_unit_test(what_no_oscillator_is_like_is_refused),
    };
    return cmocka_run_group_tests_name("sim.oscillator", tests, NULL, NULL);
}
