/* arrivals_test.c - phi-accrual: its values by the normal distribution's tables, its inverse, what it learns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "membership/arrivals.h"

static const orr_time second = ORR_SECOND;

static bool near(double a, double b, double by) { return fabs(a - b) <= by; }

/* With these, silence of 1 s + y * 250 ms is y deviations. */
static struct orri_arrivals heard_once(orr_time pause) {
    struct orri_arrivals a;
    orri_arrivals_init(&a, second, 100 * ORR_MS, pause);
    orri_arrivals_heard(&a, 5 * second);
    return a;
}

/* -log10 of the upper tail, from tables. */
static void follows_the_normal_distribution(void **state) {
    (void)state;
    static const struct { double y, phi; } table[] = {
        { -3, 5.866584e-4 }, { 0, 0.301029996 }, { 1, 0.79954577 }, { 1.281551566, 1 }, { 3.090232306, 3 },
        { 4.264890794, 5 }, { 5.612001244, 8 }, { 10, 23.118053 }, { 20, 88.560095 }, { 30, 197.309209 },
    };
    struct orri_arrivals a = heard_once(0);
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
        orr_time silence = second + (orr_time)(table[i].y * 250e6);
        assert_true(near(orri_arrivals_phi(&a, 5 * second + silence), table[i].phi, 2e-6));
    }
}

static void begins_by_its_estimate(void **state) {
    (void)state;
    struct orri_arrivals a;
    orri_arrivals_init(&a, second, 100 * ORR_MS, 0);
    assert_true(orri_arrivals_phi(&a, 1000 * second) == 0);         /* never heard: nothing to be late */
    assert_true(orri_arrivals_when(&a, 1) == ORR_NEVER);
    a = heard_once(0);
    assert_true(orri_arrivals_phi(&a, 5 * second) == 0);
    assert_true(near(orri_arrivals_phi(&a, 6 * second), 0.30103, 1e-5));
    assert_true(orri_arrivals_phi(&a, 7 * second) > 4);             /* four deviations of 250 ms */
    a = heard_once(3 * second);                                     /* and the pause moves it all */
    assert_true(near(orri_arrivals_phi(&a, 9 * second), 0.30103, 1e-5));
}

static void grows_with_silence(void **state) {
    (void)state;
    struct orri_arrivals a = heard_once(0);
    double before = 0;
    for (orr_time t = 5 * second; t < 60 * second; t += 1234567) {
        double phi = orri_arrivals_phi(&a, t);
        assert_true(phi >= before && isfinite(phi));
        before = phi;
    }
    assert_true(before > 5000);
    assert_true(isfinite(orri_arrivals_phi(&a, INT64_MAX)));
    orr_time edge = 5 * second + second + 35 * 250 * ORR_MS;        /* where the tail is taken from a series */
    assert_true(near(orri_arrivals_phi(&a, edge), orri_arrivals_phi(&a, edge - 1), 1e-6));
    assert_true(orri_arrivals_phi(&a, edge) >= orri_arrivals_phi(&a, edge - 1));
}

static void says_to_the_nanosecond_when(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 1);
    struct orri_arrivals a = heard_once(0);
    orr_time now = a.last;
    for (unsigned i = 0; i < 2000; i++) {
        now += (orr_time)orri_rng_below(&rng, 3 * ORR_SECOND);
        if (i % 100 == 0) orri_arrivals_init(&a, second, 1 + (orr_time)orri_rng_below(&rng, ORR_SECOND), i * ORR_MS);
        orri_arrivals_heard(&a, now);
        double phi = i % 7 == 0 ? 1e-6 : orri_rng_unit(&rng) * ORRI_PHI_MAX;
        orr_time when = orri_arrivals_when(&a, phi);
        assert_true(when > now);
        assert_true(orri_arrivals_phi(&a, when) >= phi);
        assert_true(orri_arrivals_phi(&a, when - 1) < phi);
    }
    assert_true(orri_arrivals_when(&a, 0) == now);
    assert_true(orri_arrivals_when(&a, ORRI_PHI_MAX) < ORR_NEVER);
    assert_true(orri_arrivals_when(&a, ORRI_PHI_MAX + 1) == ORR_NEVER);
    assert_true(orri_arrivals_when(&a, (double)NAN) == ORR_NEVER);
    a = heard_once(0);
    orri_arrivals_heard(&a, ORR_NEVER - 5);
    assert_true(orri_arrivals_when(&a, 8) == ORR_NEVER);
}

/* -- What it learns ------------------------------------------------------------------------------------------------ */
/* Intervals of 1 s with a deviation of so much; returns when it was last heard. */
static orr_time hear(struct orri_arrivals *a, struct orr_rng *rng, unsigned n, double mean, double sd) {
    orr_time now = a->last == ORRI_UNHEARD ? 0 : a->last;
    for (unsigned i = 0; i < n; i++) {
        double sum = -6;                                    /* a dozen uniform ones are nearly normal, of deviation 1 */
        for (unsigned k = 0; k < 12; k++) sum += orri_rng_unit(rng);
        now += (orr_time)((mean + sum * sd) * 1e9);
        orri_arrivals_heard(a, now);
    }
    return now;
}

static void learns_mean_and_deviation(void **state) {
    (void)state;
    struct orr_rng rng;
    struct orri_arrivals a;
    orri_rng_init(&rng, 2);
    orri_arrivals_init(&a, second, 10 * ORR_MS, 0);
    hear(&a, &rng, 400, 2, 0.3);
    assert_true(near(a.mean, 2e9, 0.06e9));
    assert_true(near(sqrt(a.variance), 0.3e9, 0.05e9));
    hear(&a, &rng, 5000, 0.5, 0.05);                        /* a window that slides: what was is forgotten */
    assert_true(near(a.mean, 0.5e9, 0.02e9));
    assert_true(near(sqrt(a.variance), 0.05e9, 0.02e9));
}

/* While there are few intervals, mean and variance are exactly theirs, and those of the estimate. */
static void counts_the_first_alike(void **state) {
    (void)state;
    static const double intervals[] = { 1.1, 0.9, 1.3, 1.0, 0.8 };
    double sum = 0.75 + 1.25, squares = 0.75 * 0.75 + 1.25 * 1.25;
    struct orri_arrivals a = heard_once(0);
    for (unsigned i = 0; i < 5; i++) {
        orri_arrivals_heard(&a, a.last + (orr_time)(intervals[i] * 1e9 + 0.5));
        sum += intervals[i];
        squares += intervals[i] * intervals[i];
        double mean = sum / (3 + i), variance = squares / (3 + i) - mean * mean;
        assert_true(near(a.mean, mean * 1e9, 10));
        assert_true(near(a.variance, variance * 1e18, 1e10));
    }
}

static void waits_longer_for_the_unsteady(void **state) {
    (void)state;
    struct orr_rng rng;
    struct orri_arrivals steady, unsteady;
    orri_rng_init(&rng, 3);
    orri_arrivals_init(&steady, second, 10 * ORR_MS, 0);
    orri_arrivals_init(&unsteady, second, 10 * ORR_MS, 0);
    orr_time s = hear(&steady, &rng, 1000, 1, 0.02), u = hear(&unsteady, &rng, 1000, 1, 0.4);
    orr_time after_s = orri_arrivals_when(&steady, 8) - s, after_u = orri_arrivals_when(&unsteady, 8) - u;
    assert_true(after_s < 1200 * ORR_MS);
    assert_true(after_u > 3 * second && after_u < 4 * second);
}

static void is_sure_of_no_less_than_the_least_deviation(void **state) {
    (void)state;
    struct orri_arrivals a = heard_once(0);
    for (unsigned i = 0; i < 5000; i++) orri_arrivals_heard(&a, a.last + second);
    orr_time when = orri_arrivals_when(&a, 8) - a.last;
    assert_true(near((double)when, 1e9 + 5.612001244 * 100e6, 2e6));
}

/* Phi promises: at 1, one silence in ten is nothing; at 2, one in a hundred. */
static void is_wrong_as_often_as_it_says(void **state) {
    (void)state;
    struct orr_rng rng;
    struct orri_arrivals a;
    orri_rng_init(&rng, 4);
    orri_arrivals_init(&a, second, ORR_MS, 0);
    hear(&a, &rng, 2000, 1, 0.1);
    unsigned wrong[2] = { 0, 0 }, n = 20000;
    for (unsigned i = 0; i < n; i++) {
        orr_time at[2] = { orri_arrivals_when(&a, 1), orri_arrivals_when(&a, 2) };
        orr_time now = hear(&a, &rng, 1, 1, 0.1);
        for (unsigned k = 0; k < 2; k++) wrong[k] += now >= at[k];
    }
    assert_true(near((double)wrong[0] / n, 0.1, 0.015));
    assert_true(near((double)wrong[1] / n, 0.01, 0.004));
}

static void an_outage_makes_it_no_lazier(void **state) {
    (void)state;
    struct orr_rng rng;
    struct orri_arrivals a;
    orri_rng_init(&rng, 5);
    orri_arrivals_init(&a, second, 100 * ORR_MS, 0);
    orr_time now = hear(&a, &rng, 100, 1, 0.01);
    orr_time before = orri_arrivals_when(&a, 8) - now;
    orri_arrivals_heard(&a, now += 3600 * second);
    assert_true(orri_arrivals_when(&a, 8) - now < 3 * before / 2);
    for (unsigned i = 0; i < 100; i++) orri_arrivals_heard(&a, now += 3 * second);  /* but the slower is followed */
    assert_true(near(a.mean, 2e9, 0.3e9));                  /* as many of 1 s as of 3 */
    for (unsigned i = 0; i < 3000; i++) orri_arrivals_heard(&a, now += 3 * second);
    assert_true(near(a.mean, 3e9, 0.05e9));
}

static void bears_any_times(void **state) {
    (void)state;
    struct orri_arrivals a;
    orri_arrivals_init(&a, 1, 1, 0);
    static const orr_time times[] = { -1, 0, 0, 1, INT64_MAX / 4, INT64_MAX / 2 };
    for (unsigned i = 0; i < sizeof times / sizeof *times; i++) {
        orri_arrivals_heard(&a, times[i]);
        assert_true(isfinite(a.mean) && isfinite(a.variance) && a.mean >= 0 && a.variance >= 0);
        assert_true(orri_arrivals_when(&a, 8) > times[i]);
    }
    assert_true(sizeof a <= 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_normal_distribution), cmocka_unit_test(begins_by_its_estimate),
        cmocka_unit_test(grows_with_silence), cmocka_unit_test(says_to_the_nanosecond_when),
        cmocka_unit_test(learns_mean_and_deviation), cmocka_unit_test(counts_the_first_alike),
        cmocka_unit_test(waits_longer_for_the_unsteady), cmocka_unit_test(is_sure_of_no_less_than_the_least_deviation),
        cmocka_unit_test(is_wrong_as_often_as_it_says), cmocka_unit_test(an_outage_makes_it_no_lazier),
        cmocka_unit_test(bears_any_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
