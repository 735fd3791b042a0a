/* blocks_test.c - small blocks from slabs: whole, apart from each other, aligned, used again, and refusals. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/blocks.h"
#include "base/rng.h"
#include "support/alloc.h"

enum { BLOCKS = 500, ROUNDS = 100000, SIZE_MAX_HERE = 2 * ORRI_BLOCK_MAX };
struct block {
    unsigned char *at;
    size_t size;
    unsigned char with;
};

static bool is_whole(const struct block *k, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (k->at[i] != k->with) return false;
    return true;
}

static void blocks_keep_their_bytes_whatever_happens_to_others(void **state) {
    (void)state;
    static struct block blocks[BLOCKS];
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orri_blocks b;
    struct orr_rng rng;
    orri_rng_init(&rng, 1);
    orri_blocks_init(&b, &alloc);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct block *k = &blocks[orri_rng_below(&rng, BLOCKS)];
        size_t size = (size_t)orri_rng_below(&rng, 4) ? 1 + (size_t)orri_rng_below(&rng, SIZE_MAX_HERE) : 0;
        if (size == 0) {
            if (k->at) orri_block_free(&b, k->at, k->size);
            *k = (struct block){ 0 };
            continue;
        }
        k->at = orri_block_resize(&b, k->at, k->size, size);
        assert_non_null(k->at);
        assert_int_equal((uintptr_t)k->at % 16, 0);
        assert_true(is_whole(k, k->size < size ? k->size : size));
        *k = (struct block){ k->at, size, (unsigned char)round };
        memset(k->at, k->with, size);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        assert_true(is_whole(&blocks[i], blocks[i].size));
        if (blocks[i].at) orri_block_free(&b, blocks[i].at, blocks[i].size);
        blocks[i] = (struct block){ 0 };
    }
    orri_blocks_clear(&b);
    spec_alloc_check(&a);
}

static void what_was_given_back_is_used_again(void **state) {
    (void)state;
    struct orri_blocks b;
    orri_blocks_init(&b, &orr_alloc_libc);
    for (int i = 0; i < 1000000; i++) {
        void *at = orri_block_resize(&b, NULL, 0, 40);
        assert_non_null(at);
        orri_block_free(&b, at, 40);
    }
#if !defined(__SANITIZE_ADDRESS__)
    void *first = orri_block_resize(&b, NULL, 0, 40);
    orri_block_free(&b, first, 40);
    assert_ptr_equal(orri_block_resize(&b, NULL, 0, 33), first);     /* of the same step */
    orri_block_free(&b, first, 33);
#endif
    orri_blocks_clear(&b);
}

static void *refuse(void *ud, void *ptr, size_t old_size, size_t new_size) {
    if (new_size > old_size && *(bool *)ud) return NULL;
    return orr_alloc_libc.fn(NULL, ptr, old_size, new_size);
}

static void without_memory_a_block_stays_as_it_was_and_may_shrink(void **state) {
    (void)state;
    bool refusing = false;
    const struct orr_alloc alloc = { refuse, &refusing };
    struct orri_blocks b;
    orri_blocks_init(&b, &alloc);
    unsigned char *at = orri_block_resize(&b, NULL, 0, 300);
    assert_non_null(at);
    memset(at, 'x', 300);
    refusing = true;
    assert_null(orri_block_resize(&b, at, 300, 100 << 10));
    assert_null(orri_block_resize(&b, NULL, 0, 100 << 10));
    assert_true(at[0] == 'x' && at[299] == 'x');
    while (orri_block_resize(&b, NULL, 0, 20)) {}   /* until the slab is used up */
    at = orri_block_resize(&b, at, 300, 20);
    assert_non_null(at);
    assert_true(at[0] == 'x' && at[19] == 'x');
    orri_block_free(&b, at, 20);
    orri_blocks_clear(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_keep_their_bytes_whatever_happens_to_others),
        cmocka_unit_test(what_was_given_back_is_used_again),
        cmocka_unit_test(without_memory_a_block_stays_as_it_was_and_may_shrink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
