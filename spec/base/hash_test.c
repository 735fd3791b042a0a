/* hash_test.c - XXH3 as the library gives it, lists of slices, ids, the running digest. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/rng.h"

/* From the XXH3 specification's vectors: the empty input, seed 0. Files on disk depend on them. */
static void known_values_stay(void **state) {
    (void)state;
    assert_true(orri_hash64("", 0, 0) == 0x2d06800538d394c2);
    struct orr_hash128 h = orri_hash128("", 0, 0);
    assert_true(h.low == 0x6001c324468d497f && h.high == 0x99aa06d3014798d8);
    assert_false(orri_hash64("orrery", 6, 0) == orri_hash64("orrery", 6, 1));
}

static void an_id_is_the_hash_of_the_name(void **state) {
    (void)state;
    assert_true(orr_id_of("n1") == orri_hash64("n1", 2, 0));
    assert_false(orr_id_of("n1") == orr_id_of("n2"));
    assert_false(orr_id_of("") == ORR_NOBODY);
}

static void slices_hash_as_their_bytes_end_to_end(void **state) {
    (void)state;
    enum { SIZE = 3000, PARTS = 12 };
    struct orr_rng rng;
    orri_rng_init(&rng, 3);
    unsigned char *bytes = malloc(SIZE);
    assert_non_null(bytes);
    orri_rng_fill(&rng, bytes, SIZE);
    for (int round = 0; round < 2000; round++) {
        struct orr_slice parts[PARTS];
        size_t n = orri_rng_below(&rng, PARTS + 1), total = 0, largest = (size_t)1 << orri_rng_below(&rng, 8);
        for (size_t i = 0; i < n; i++) {
            size_t size = orri_rng_below(&rng, largest + 1);
            parts[i] = orr_borrow(bytes + total, size);
            total += size;
        }
        uint64_t seed = orri_rng_below(&rng, 2) ? orri_rng_next(&rng) : 0;
        assert_true(orri_hash64_slices(parts, n, seed) == orri_hash64(bytes, total, seed));
    }
    assert_true(orri_hash64_slices(&(struct orr_slice){ 0 }, 1, 5) == orri_hash64("", 0, 5));
    free(bytes);
}

static void the_digest_minds_words_and_their_order(void **state) {
    (void)state;
    uint64_t ab = orri_mix64(orri_mix64(0, 1), 2), ba = orri_mix64(orri_mix64(0, 2), 1);
    assert_false(ab == ba);
    assert_false(orri_mix64(0, 0) == 0);
    assert_false(orri_mix64(orri_mix64(0, 0), 0) == orri_mix64(0, 0));
    struct orr_rng rng;
    orri_rng_init(&rng, 4);
    for (int i = 0; i < 1000; i++) {    /* one bit in changes about half of the bits that come out */
        uint64_t d = orri_rng_next(&rng), w = orri_rng_next(&rng);
        uint64_t bit = (uint64_t)1 << orri_rng_below(&rng, 64);
        assert_in_range(__builtin_popcountll(orri_mix64(d, w) ^ orri_mix64(d, w ^ bit)), 10, 54);
        assert_in_range(__builtin_popcountll(orri_mix64(d, w) ^ orri_mix64(d ^ bit, w)), 10, 54);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values_stay),
        cmocka_unit_test(an_id_is_the_hash_of_the_name),
        cmocka_unit_test(slices_hash_as_their_bytes_end_to_end),
        cmocka_unit_test(the_digest_minds_words_and_their_order),
    };
    return cmocka_run_group_tests_name("base.hash", tests, NULL, NULL);
}
