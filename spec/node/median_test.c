/* median_test.c - the median of clocks that are known by intervals only. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/rng.h"
#include "node/median.h"

static struct orri_span at(orr_time low, orr_time high) { return (struct orri_span){ low, high }; }
static void is(struct orri_span s, orr_time low, orr_time high) {
    assert_true(s.low == low);
    assert_true(s.high == high);
}

static void of_clocks_that_are_known_it_is_the_lower_one(void **state) {
    (void)state;
    is(orri_median((struct orri_span[]){ at(7, 7) }, 1), 7, 7);
    is(orri_median((struct orri_span[]){ at(9, 9), at(7, 7) }, 2), 7, 7);
    is(orri_median((struct orri_span[]){ at(9, 9), at(7, 7), at(8, 8) }, 3), 8, 8);
    is(orri_median((struct orri_span[]){ at(9, 9), at(6, 6), at(7, 7), at(8, 8) }, 4), 7, 7);
}

static void one_clock_far_away_moves_it_no_further_than_its_neighbour(void **state) {
    (void)state;
    is(orri_median((struct orri_span[]){ at(100, 101), at(102, 103), at(2000, 2001) }, 3), 102, 103);
    is(orri_median((struct orri_span[]){ at(100, 101), at(102, 103), at(-2000, -1999) }, 3), 100, 101);
}

static void it_is_known_as_soon_as_a_majority_is(void **state) {
    (void)state;
    is(orri_median((struct orri_span[]){ at(1, 2), at(5, 6), ORRI_SPAN_ANY }, 3), 1, 6);
    is(orri_median((struct orri_span[]){ at(1, 2), ORRI_SPAN_ANY, ORRI_SPAN_ANY }, 3), INT64_MIN, INT64_MAX);
    is(orri_median((struct orri_span[]){ at(1, 2), at(5, 6), at(3, 4), ORRI_SPAN_ANY }, 4), 1, 4);
    is(orri_median((struct orri_span[]){ at(1, 2), at(5, 6), ORRI_SPAN_ANY, ORRI_SPAN_ANY }, 4), INT64_MIN, 6);
    is(orri_median((struct orri_span[]){ at(1, 2), ORRI_SPAN_ANY }, 2), INT64_MIN, 2);
}

static int by_value(const void *a, const void *b) {
    const orr_time *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void whatever_the_clocks_are_it_holds_their_median(void **state) {
    struct orr_rng rng;
    (void)state;
    orri_rng_init(&rng, 11);
    for (int round = 0; round < 20000; round++) {
        size_t n = 1 + orri_rng_below(&rng, 15), unknown = 0;
        struct orri_span spans[15];
        orr_time clocks[15];
        for (size_t i = 0; i < n; i++) {
            clocks[i] = orri_rng_between(&rng, -50, 50);
            spans[i] = at(clocks[i] - orri_rng_between(&rng, 0, 9), clocks[i] + orri_rng_between(&rng, 0, 9));
            if (orri_rng_chance(&rng, 0.3)) {
                spans[i] = ORRI_SPAN_ANY;
                clocks[i] = orri_rng_between(&rng, -1000, 1000);
                unknown++;
            }
        }
        struct orri_span m = orri_median(spans, n);
        qsort(clocks, n, sizeof *clocks, by_value);
        orr_time truth = clocks[(n - 1) / 2];
        assert_true(m.low <= truth && truth <= m.high);
        assert_true((2 * (n - unknown) > n) == (m.low != INT64_MIN && m.high != INT64_MAX));
    }
}

static void what_enough_intervals_hold_is_their_hull(void **state) {
    (void)state;
    const struct orri_span three[] = { at(1, 5), at(4, 9), at(8, 12) };
    is(orri_covered(three, 3, 1), 1, 12);
    is(orri_covered(three, 3, 2), 4, 9);
    is(orri_covered(three, 3, 3), INT64_MIN, INT64_MAX);
    is(orri_covered(three, 2, 2), 4, 5);
    is(orri_covered(three, 0, 1), INT64_MIN, INT64_MAX);
    is(orri_covered((struct orri_span[]){ at(1, 9), at(3, 4), ORRI_SPAN_ANY }, 3, 3), 3, 4);
}

static void whoever_lies_of_few_enough_the_others_hold_the_truth(void **state) {
    struct orr_rng rng;
    (void)state;
    orri_rng_init(&rng, 12);
    for (int round = 0; round < 20000; round++) {
        size_t n = 1 + orri_rng_below(&rng, 9), liars = orri_rng_below(&rng, n);
        struct orri_span spans[9];
        for (size_t i = 0; i < n; i++) {
            orr_time of = i < liars ? orri_rng_between(&rng, -30, 30) : 0;
            spans[i] = at(of - orri_rng_between(&rng, 0, 9), of + orri_rng_between(&rng, 0, 9));
        }
        struct orri_span all = orri_covered(spans, n, n - liars);
        assert_true(all.low <= 0 && 0 <= all.high);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_clocks_that_are_known_it_is_the_lower_one),
        cmocka_unit_test(one_clock_far_away_moves_it_no_further_than_its_neighbour),
        cmocka_unit_test(it_is_known_as_soon_as_a_majority_is),
        cmocka_unit_test(whatever_the_clocks_are_it_holds_their_median),
        cmocka_unit_test(what_enough_intervals_hold_is_their_hull),
        cmocka_unit_test(whoever_lies_of_few_enough_the_others_hold_the_truth),
    };
    return cmocka_run_group_tests_name("node.median", tests, NULL, NULL);
}
