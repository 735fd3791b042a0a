/* chunks_test.c - the pool of chunks: room, alignment, counting, bounded reuse, failures. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/rng.h"
#include "support/alloc.h"

static void a_chunk_has_the_room_that_was_asked_for(void **state) {
    (void)state;
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orr_chunks *chunks = orr_chunks_new(&alloc);
    static const size_t caps[] = { 0, 1, 63, 64, 65, 127, 128, 129, 4096, 4097, 262143, 262144, 262145, 8 << 20 };
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
            struct orr_chunk *c = chunks->get(chunks, caps[i]);
            assert_non_null(c);
            assert_int_equal(c->refs, 1);
            assert_ptr_equal(c->home, chunks);
            assert_true(c->cap >= caps[i]);
            assert_int_equal((uintptr_t)c->at % _Alignof(max_align_t), 0);
            memset(c->at, 0x5a, c->cap);
            orr_chunk_drop(c);
        }
    }
    assert_null(chunks->get(chunks, (size_t)UINT32_MAX + 1));
    orr_chunks_free(chunks);
    spec_alloc_check(&a);
    orr_chunks_free(NULL);
}

static void a_chunk_lives_as_long_as_somebody_holds_it(void **state) {
    (void)state;
    struct orr_chunks *chunks = orr_chunks_new(NULL);
    struct orr_chunk *c = chunks->get(chunks, 100);
    memcpy(c->at, "orrery", 6);
    struct orr_slice s = { c, c->at, 6 };
    struct orr_slice part = orr_hold(orr_part_of(s, 2, 3));
    orr_drop(s);
    assert_int_equal(c->refs, 1);
    assert_int_equal(part.size, 3);
    assert_memory_equal(part.at, "rer", 3);
    orr_drop(part);
    orr_drop(orr_hold(orr_borrow("x", 1)));                  /* no chunk: nothing to count */
    orr_chunk_drop(NULL);
    orr_chunks_free(chunks);
}

static void a_warm_pool_allocates_nothing_and_keeps_a_bounded_amount(void **state) {
    (void)state;
    enum { N = 100 };
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orr_chunks *chunks = orr_chunks_new(&alloc);
    struct orr_chunk *c[N];
    for (size_t i = 0; i < N; i++) c[i] = chunks->get(chunks, 65536);
    for (size_t i = 0; i < N; i++) orr_chunk_drop(c[i]);
    assert_in_range(a.bytes_live, 16 * 65536, 17 * 65536);   /* a MiB of the hundred chunks was kept */
    size_t before = a.n_calls;
    for (size_t i = 0; i < 16; i++) c[i] = chunks->get(chunks, 40000);
    assert_int_equal(a.n_calls, before);
    for (size_t i = 0; i < 16; i++) orr_chunk_drop(c[i]);
    size_t live = a.bytes_live;
    orr_chunk_drop(chunks->get(chunks, 1 << 20));            /* beyond the classes: straight back */
    assert_int_equal(a.bytes_live, live);
    orr_chunks_free(chunks);
    spec_alloc_check(&a);
}

static void random_holders_never_share_a_block(void **state) {
    (void)state;
    enum { N = 64 };
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orr_chunks *chunks = orr_chunks_new(&alloc);
    struct orr_chunk *c[N] = { 0 };
    struct orr_rng rng;
    orri_rng_init(&rng, 7);
    for (int step = 0; step < 20000; step++) {
        size_t i = orri_rng_below(&rng, N);
        if (c[i]) {
            assert_int_equal(c[i]->at[0], i);
            assert_int_equal(c[i]->at[c[i]->cap - 1], i);
            orr_chunk_drop(c[i]);
            c[i] = NULL;
        } else {
            c[i] = chunks->get(chunks, orri_rng_below(&rng, (uint64_t)1 << orri_rng_below(&rng, 20)));
            c[i]->at[0] = c[i]->at[c[i]->cap - 1] = (unsigned char)i;
        }
    }
    for (size_t i = 0; i < N; i++) orr_chunk_drop(c[i]);
    orr_chunks_free(chunks);
    spec_alloc_check(&a);
}

static void a_failed_allocation_is_null_and_harms_nothing(void **state) {
    (void)state;
    SPEC_EACH_FAILURE(a) {
        const struct orr_alloc alloc = spec_alloc_of(&a);
        struct orr_chunks *chunks = orr_chunks_new(&alloc);
        struct orr_chunk *c[4] = { 0 };
        for (size_t i = 0; chunks && i < 4; i++) {
            c[i] = chunks->get(chunks, (size_t)100 << (6 * i));
            assert_true(c[i] || a.failed);
        }
        for (size_t i = 0; i < 4; i++) orr_chunk_drop(c[i]);
        orr_chunks_free(chunks);
        spec_alloc_check(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_has_the_room_that_was_asked_for),
        cmocka_unit_test(a_chunk_lives_as_long_as_somebody_holds_it),
        cmocka_unit_test(a_warm_pool_allocates_nothing_and_keeps_a_bounded_amount),
        cmocka_unit_test(random_holders_never_share_a_block),
        cmocka_unit_test(a_failed_allocation_is_null_and_harms_nothing),
    };
    return cmocka_run_group_tests_name("base.chunks", tests, NULL, NULL);
}
