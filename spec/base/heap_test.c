/* heap_test.c - the timer heap against a list that is searched, at random, with the whole check after each step. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/heap.h"
#include "base/rng.h"
#include "support/alloc.h"

enum { TIMERS = 40 };

static void equal_times_come_in_the_order_in_which_they_were_set(void **state) {
    (void)state;
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orr_heap heap;
    struct orr_timer t[TIMERS] = { 0 };
    orri_heap_init(&heap, &alloc);
    for (size_t i = 0; i < TIMERS; i++) assert_int_equal(orri_heap_set(&heap, &t[i], 5), 0);
    assert_int_equal(orri_heap_set(&heap, &t[0], 5), 0);     /* set anew: now it is the last */
    assert_null(orri_heap_due(&heap, 4));
    for (size_t i = 1; i < TIMERS; i++) assert_ptr_equal(orri_heap_due(&heap, 5), &t[i]);
    assert_ptr_equal(orri_heap_due(&heap, 5), &t[0]);
    assert_null(orri_heap_due(&heap, 5));
    orri_heap_clear(&heap);
    spec_alloc_check(&a);
}

static void never_is_out_of_the_heap(void **state) {
    (void)state;
    struct orr_heap heap;
    struct orr_timer t = { 0 }, u = { 0 };
    orri_heap_init(&heap, &orr_alloc_libc);
    assert_true(orri_heap_next(&heap) == ORR_NEVER);
    assert_null(orri_heap_due(&heap, ORR_NEVER));
    orri_heap_unset(&heap, &t);
    assert_int_equal(orri_heap_set(&heap, &t, ORR_NEVER), 0);
    assert_int_equal(t.place, 0);
    assert_int_equal(orri_heap_set(&heap, &t, -3), 0);
    assert_int_equal(orri_heap_set(&heap, &u, ORR_NEVER - 1), 0);
    assert_true(orri_heap_next(&heap) == -3);
    assert_int_equal(orri_heap_set(&heap, &t, ORR_NEVER), 0);
    assert_true(orri_heap_next(&heap) == ORR_NEVER - 1);
    orri_heap_clear(&heap);
    assert_int_equal(u.place, 0);
}

/* The model: the timer that is in the heap and first by (at, sequence), found by looking at all. */
static struct orr_timer *first_of(struct orr_timer *t) {
    struct orr_timer *first = NULL;
    for (size_t i = 0; i < TIMERS; i++) {
        if (t[i].place == 0) continue;
        if (!first || t[i].at < first->at || (t[i].at == first->at && t[i].sequence < first->sequence)) first = &t[i];
    }
    return first;
}

static void any_steps_keep_the_order(void **state) {
    (void)state;
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orr_rng rng;
    orri_rng_init(&rng, 5);
    for (int round = 0; round < 50; round++) {
        struct orr_heap heap;
        struct orr_timer t[TIMERS] = { 0 };
        orri_heap_init(&heap, &alloc);
        for (int step = 0; step < 400; step++) {
            struct orr_timer *some = &t[orri_rng_below(&rng, TIMERS)];
            orr_time at = (orr_time)orri_rng_below(&rng, 20);
            struct orr_timer *first = first_of(t);
            switch (orri_rng_below(&rng, 8)) {
            case 0: orri_heap_unset(&heap, some); break;
            case 1: orri_heap_set(&heap, some, ORR_NEVER); break;
            case 2:
            case 3: assert_ptr_equal(orri_heap_due(&heap, at), first && first->at <= at ? first : NULL); break;
            default: assert_int_equal(orri_heap_set(&heap, some, at), 0);
            }
            orri_heap_check(&heap);
            first = first_of(t);
            assert_true(orri_heap_next(&heap) == (first ? first->at : ORR_NEVER));
        }
        orri_heap_clear(&heap);
    }
    spec_alloc_check(&a);
}

static void a_failed_growth_leaves_the_heap_as_it_was(void **state) {
    (void)state;
    SPEC_EACH_FAILURE(a) {
        const struct orr_alloc alloc = spec_alloc_of(&a);
        struct orr_heap heap;
        struct orr_timer t[TIMERS] = { 0 };
        orri_heap_init(&heap, &alloc);
        size_t n = 0;
        for (size_t i = 0; i < TIMERS; i++) {
            int rc = orri_heap_set(&heap, &t[i], (orr_time)(TIMERS - i));
            if (rc == 0) {
                n++;
                continue;
            }
            assert_int_equal(rc, -ENOMEM);
            assert_int_equal(t[i].place, 0);
            orri_heap_check(&heap);
            if (i > 0) assert_int_equal(orri_heap_set(&heap, &t[i - 1], 0), 0);       /* moving needs no memory */
        }
        assert_int_equal(heap.n, n);
        orri_heap_check(&heap);
        orri_heap_clear(&heap);
        spec_alloc_check(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_times_come_in_the_order_in_which_they_were_set),
        cmocka_unit_test(never_is_out_of_the_heap),
        cmocka_unit_test(any_steps_keep_the_order),
        cmocka_unit_test(a_failed_growth_leaves_the_heap_as_it_was),
    };
    return cmocka_run_group_tests_name("base.heap", tests, NULL, NULL);
}
