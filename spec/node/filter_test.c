/* filter_test.c - the duplicate filter: next, older, gap, a new incarnation; digest and snapshot; the oldest gives
 * way. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/rng.h"
#include "node/filter.h"
#include "support/alloc.h"

static struct orri_origin_tag tag_of(unsigned origin, uint32_t incarnation, uint64_t sequence) {
    struct orri_origin_tag t = { .incarnation = incarnation, .sequence = sequence };
    memcpy(t.birth.b, &origin, sizeof origin);
    t.birth.b[15] = 1;
    return t;
}

static enum orri_filtered judge(struct orri_filter *f, unsigned origin, uint32_t incarnation, uint64_t sequence,
                                orr_index index) {
    enum orri_filtered verdict;
    struct orri_origin_tag t = tag_of(origin, incarnation, sequence);
    assert_int_equal(orri_filter_judge(f, &t, index, &verdict), 0);
    return verdict;
}

static void only_the_next_one_passes(void **state) {
    (void)state;
    struct orri_filter f;
    orri_filter_init(&f, &orr_alloc_libc);
    assert_int_equal(judge(&f, 1, 5, 2, 1), ORRI_GAP);
    assert_int_equal(judge(&f, 1, 5, 1, 2), ORRI_PASS);
    assert_int_equal(judge(&f, 1, 5, 1, 3), ORRI_DUPLICATE);
    assert_int_equal(judge(&f, 1, 5, 3, 4), ORRI_GAP);
    assert_int_equal(judge(&f, 1, 5, 2, 5), ORRI_PASS);
    assert_int_equal(judge(&f, 2, 1, 1, 6), ORRI_PASS);             /* another origin has a stream of its own */
    assert_int_equal(judge(&f, 1, 7, 2, 7), ORRI_GAP);              /* a later start begins at 1 */
    assert_int_equal(judge(&f, 1, 7, 1, 8), ORRI_PASS);
    assert_int_equal(judge(&f, 1, 5, 3, 9), ORRI_DUPLICATE);        /* and ends the earlier one */
    struct orri_origin_tag t = tag_of(1, 0, 0);
    assert_int_equal(orri_filter_last(&f, &t.birth, 7), 1);
    assert_true(orri_filter_last(&f, &t.birth, 5) == UINT64_MAX);
    assert_int_equal(orri_filter_last(&f, &t.birth, 8), 0);
    orri_filter_clear(&f);
}

static void digest_is_of_the_state_and_a_snapshot_keeps_it(void **state) {
    (void)state;
    struct orri_filter f, g;
    struct orr_rng rng;
    unsigned char bytes[ORRI_FILTER_ENTRY * 64 + 4];
    orri_filter_init(&f, &orr_alloc_libc);
    orri_filter_init(&g, &orr_alloc_libc);
    orri_rng_init(&rng, 3);
    uint64_t before = f.digest;
    for (orr_index i = 1; i < 3000; i++)
        (void)judge(&f, (unsigned)orri_rng_below(&rng, 20), 1 + (uint32_t)orri_rng_below(&rng, 3),
                    1 + orri_rng_below(&rng, 4), i);
    assert_true(f.digest != before);
    struct orr_writer w = orri_writer(bytes, sizeof bytes);
    orri_filter_write(&f, &w);
    assert_false(w.failed);
    assert_int_equal((size_t)(w.at - bytes), orri_filter_size(&f));
    struct orr_reader r = orri_reader(bytes, orri_filter_size(&f));
    assert_int_equal(orri_filter_read(&g, &r), 0);
    assert_true(g.digest == f.digest);
    for (size_t n = 0; n < orri_filter_size(&f); n++) {
        r = orri_reader(bytes, n);
        assert_int_equal(orri_filter_read(&g, &r), ORR_ECORRUPT);
        assert_true(g.n == 0 && g.digest == 0);
    }
    orri_filter_clear(&f);
    orri_filter_clear(&g);
}

static void of_too_many_the_longest_silent_gives_way(void **state) {
    (void)state;
    struct orri_filter f;
    orr_index index = 1;
    orri_filter_init(&f, &orr_alloc_libc);
    for (unsigned i = 0; i < ORRI_FILTER_ORIGINS_MAX; i++) assert_int_equal(judge(&f, i, 1, 1, index++), ORRI_PASS);
    assert_int_equal(judge(&f, 0, 1, 2, index++), ORRI_PASS);       /* so 1 is the oldest now */
    assert_int_equal(judge(&f, 5000, 1, 1, index++), ORRI_PASS);
    assert_int_equal(f.n, ORRI_FILTER_ORIGINS_MAX);
    assert_int_equal(judge(&f, 1, 1, 2, index++), ORRI_GAP);
    assert_int_equal(judge(&f, 0, 1, 3, index++), ORRI_PASS);
    orri_filter_clear(&f);
}

static void no_memory_changes_nothing(void **state) {
    (void)state;
    struct spec_alloc a = { .fail_at = 1 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orri_filter f;
    enum orri_filtered verdict;
    struct orri_origin_tag t = tag_of(1, 1, 1);
    orri_filter_init(&f, &alloc);
    assert_int_equal(orri_filter_judge(&f, &t, 1, &verdict), -12);
    assert_true(f.n == 0 && f.digest == 0);
    orri_filter_clear(&f);
    spec_alloc_check(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_next_one_passes),
        cmocka_unit_test(digest_is_of_the_state_and_a_snapshot_keeps_it),
        cmocka_unit_test(of_too_many_the_longest_silent_gives_way),
        cmocka_unit_test(no_memory_changes_nothing),
    };
    return cmocka_run_group_tests_name("node.filter", tests, NULL, NULL);
}
