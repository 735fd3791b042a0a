/* rng_test.c - the generator: the numbers of the reference code, no bias, every range. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/rng.h"

/* splitmix64's first outputs for seed 0 fill the state; xoshiro256** gives these from it (the authors' C code). */
static void the_numbers_are_those_of_the_reference_code(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 0);
    assert_true(rng.s[0] == 0xe220a8397b1dcdaf && rng.s[1] == 0x6e789e6aa1b965f4);
    assert_true(rng.s[2] == 0x06c45d188009454f && rng.s[3] == 0xf88bb8a8724c81ec);
    rng = (struct orr_rng){ { 1, 2, 3, 4 } };
    static const uint64_t expected[] = { 11520, 0, 1509978240, 1215971899390074240, 1216172134540287360 };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) assert_true(orri_rng_next(&rng) == expected[i]);
}

static void a_copy_is_the_same_stream(void **state) {
    (void)state;
    struct orr_rng a, b;
    orri_rng_init(&a, 42);
    orri_rng_next(&a);
    b = a;
    for (int i = 0; i < 100; i++) assert_true(orri_rng_next(&a) == orri_rng_next(&b));
    orri_rng_init(&b, 43);
    assert_false(orri_rng_next(&a) == orri_rng_next(&b));
}

static void below_stays_below_and_has_no_bias(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 7);
    enum { SIDES = 7, DRAWS = 70000 };
    int seen[SIDES] = { 0 };
    for (int i = 0; i < DRAWS; i++) seen[orri_rng_below(&rng, SIDES)]++;
    double chi_square = 0;
    for (int i = 0; i < SIDES; i++) chi_square += (seen[i] - 10000.0) * (seen[i] - 10000.0) / 10000.0;
    assert_true(chi_square < 22.46);                         /* 6 degrees of freedom, one in a thousand */

    /* Three quarters of 2^64: a plain remainder would give the low third half of the draws, and a plain product the
     * multiples of three. */
    uint64_t n = (uint64_t)3 << 62;
    int low = 0, threes = 0;
    for (int i = 0; i < 30000; i++) {
        uint64_t v = orri_rng_below(&rng, n);
        assert_true(v < n);
        low += v < n / 3;
        threes += v % 3 == 0;
    }
    assert_in_range(low, 9700, 10300);
    assert_in_range(threes, 9700, 10300);
    assert_int_equal(orri_rng_below(&rng, 1), 0);
}

static void between_reaches_both_ends(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 8);
    int seen[5] = { 0 };
    for (int i = 0; i < 1000; i++) {
        int64_t v = orri_rng_between(&rng, -2, 2);
        assert_true(v >= -2 && v <= 2);
        seen[v + 2]++;
    }
    for (int i = 0; i < 5; i++) assert_true(seen[i] > 100);
    assert_true(orri_rng_between(&rng, INT64_MAX, INT64_MAX) == INT64_MAX);
    bool negative = false, positive = false;
    for (int i = 0; i < 100; i++) {
        int64_t v = orri_rng_between(&rng, INT64_MIN, INT64_MAX);
        negative |= v < 0;
        positive |= v > 0;
    }
    assert_true(negative && positive);
}

static void chance_draws_once_whatever_its_odds(void **state) {
    (void)state;
    struct orr_rng a, b;
    orri_rng_init(&a, 9);
    b = a;
    int hits = 0;
    for (int i = 0; i < 10000; i++) {
        assert_false(orri_rng_chance(&a, 0.0));
        assert_true(orri_rng_chance(&a, 1.0));
        hits += orri_rng_chance(&a, 0.25);
        for (int k = 0; k < 3; k++) orri_rng_next(&b);
    }
    assert_in_range(hits, 2300, 2700);
    assert_memory_equal(&a, &b, sizeof a);
    for (int i = 0; i < 10000; i++) {
        double u = orri_rng_unit(&a);
        assert_true(u >= 0.0 && u < 1.0);
    }
}

static void fill_writes_what_it_was_asked_for(void **state) {
    (void)state;
    for (size_t size = 0; size <= 24; size++) {
        struct orr_rng rng, same;
        orri_rng_init(&rng, 10);
        same = rng;
        unsigned char b[32], longer[32];
        memset(b, 0, sizeof b);
        orri_rng_fill(&rng, b, size);
        orri_rng_fill(&same, longer, 24);
        assert_memory_equal(b, longer, size);
        for (size_t i = size; i < sizeof b; i++) assert_int_equal(b[i], 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_numbers_are_those_of_the_reference_code),
        cmocka_unit_test(a_copy_is_the_same_stream),
        cmocka_unit_test(below_stays_below_and_has_no_bias),
        cmocka_unit_test(between_reaches_both_ends),
        cmocka_unit_test(chance_draws_once_whatever_its_odds),
        cmocka_unit_test(fill_writes_what_it_was_asked_for),
    };
    return cmocka_run_group_tests_name("base.rng", tests, NULL, NULL);
}
