/* tree_test.c - the ordered map against a plain array; its digest; memory that runs out. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/tree.h"

enum { KEYS = 3000 };

/* -- Allocation that counts, and fails at the n-th ----------------------------------------------------------------- */
static long live_bytes, allocations_left = -1;

static void *counted(void *ud, void *at, size_t old_size, size_t new_size) {
    (void)ud;
    if (new_size > old_size && allocations_left == 0) return NULL;
    if (new_size > old_size && allocations_left > 0) allocations_left--;
    live_bytes += (long)new_size - (long)old_size;
    if (new_size) return realloc(at, new_size);
    free(at);
    return NULL;
}
static const struct orr_alloc alloc = { counted, NULL };

static struct orr_tree_key key_of(unsigned tag, const char *text) {
    return (struct orr_tree_key){ tag, text, strlen(text) };
}

static int set(struct orr_tree *t, unsigned tag, const char *key, const char *value) {
    return orri_tree_set(t, key_of(tag, key), value, strlen(value));
}

static void is_an_ordered_map(void **state) {
    (void)state;
    struct orr_tree t;
    struct orr_tree_place place;
    static const char *const keys[] = { "", "a", "aa", "ab", "b", "longer than eight bytes", "longer than eight, too" };
    orri_tree_init(&t, &alloc);
    assert_null(orri_tree_first(&t, &place));
    assert_null(orri_tree_get(&t, key_of(0, "a")));
    assert_false(orri_tree_remove(&t, key_of(0, "a")));
    for (int i = 6; i >= 0; i--) assert_int_equal(0, set(&t, 1, keys[i], "v"));
    assert_int_equal(0, set(&t, 0, "z", "first, by its tag"));
    assert_int_equal(0, set(&t, 1, "ab", "anew"));
    orri_tree_check(&t);
    assert_int_equal(8, t.n);
    const struct orr_tree_item *item = orri_tree_first(&t, &place);
    assert_memory_equal("first, by its tag", orri_tree_value(item), item->value_size);
    for (int i = 0; i < 7; i++) {
        item = orri_tree_next(&place);
        assert_int_equal(strlen(keys[i]), item->key_size);
        assert_memory_equal(keys[i], item->bytes, item->key_size);
    }
    assert_null(orri_tree_next(&place));
    assert_memory_equal("aa", orri_tree_seek(&t, key_of(1, "a"), true, &place)->bytes, 2);
    assert_memory_equal("a", orri_tree_seek(&t, key_of(1, "a"), false, &place)->bytes, 1);
    assert_null(orri_tree_seek(&t, key_of(1, "zz"), false, &place));
    item = orri_tree_get(&t, key_of(1, "ab"));
    assert_memory_equal("anew", orri_tree_value(item), 4);
    orri_tree_clear(&t);
    assert_int_equal(0, live_bytes);
}

/* -- Against an array ---------------------------------------------------------------------------------------------- */
static bool model[KEYS];
static unsigned model_value[KEYS];

static struct orr_tree_key key_at(unsigned i, char text[32], bool numbers) {
    if (!numbers) return (struct orr_tree_key){ 3, text, (size_t)snprintf(text, 32, "user:%08u", i) };
    memset(text, 0, 8);
    text[6] = (char)(i >> 8);
    text[7] = (char)i;
    return (struct orr_tree_key){ i % 2 ? 0 : 4, text, 8 };
}

static void agree(const struct orr_tree *t, bool numbers) {
    struct orr_tree_place place;
    char text[32];
    size_t n = 0;
    orri_tree_check(t);
    const struct orr_tree_item *item = orri_tree_first(t, &place);
    for (unsigned odd = 2; odd-- > 0;) {
        for (unsigned i = 0; i < KEYS; i++) {
            if (!model[i] || (numbers ? i % 2 != odd : odd)) continue;
            assert_non_null(item);
            assert_int_equal(0, orri_tree_order(item, key_at(i, text, numbers)));
            assert_memory_equal(&model_value[i], orri_tree_value(item), sizeof model_value[i]);
            item = orri_tree_next(&place);
            n++;
        }
    }
    assert_null(item);
    assert_int_equal(n, t->n);
}

static void churn(struct orr_rng *rng, struct orr_tree *t, unsigned steps, unsigned sets_of_ten, bool numbers) {
    char text[32];
    for (unsigned s = 0; s < steps; s++) {
        unsigned i = (unsigned)orri_rng_below(rng, KEYS);
        struct orr_tree_key key = key_at(i, text, numbers);
        if (orri_rng_below(rng, 10) < sets_of_ten) {
            model[i] = true;
            model_value[i] = s;
            assert_int_equal(0, orri_tree_set(t, key, &s, sizeof s));
        } else {
            assert_int_equal(model[i], orri_tree_remove(t, key));
            model[i] = false;
        }
        if (s % 500 == 0) agree(t, numbers);
    }
    agree(t, numbers);
}

static void agrees_with_an_array(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 4; seed++) {
        struct orr_rng rng;
        struct orr_tree t;
        char text[32];
        bool numbers = seed % 2;
        orri_rng_init(&rng, seed);
        orri_tree_init(&t, &alloc);
        memset(model, 0, sizeof model);
        churn(&rng, &t, 10000, 8, numbers);
        churn(&rng, &t, 10000, 2, numbers);
        churn(&rng, &t, 10000, 5, numbers);
        churn(&rng, &t, 5000, 0, numbers);
        for (unsigned i = 0; i < KEYS; i++) assert_int_equal(model[i], orri_tree_remove(&t, key_at(i, text, numbers)));
        assert_int_equal(0, t.n);
        assert_null(t.root);
        orri_tree_clear(&t);
        assert_int_equal(0, live_bytes);
    }
}

static void fills_its_nodes_in_either_direction(void **state) {
    (void)state;
    char text[32];
    for (int down = 0; down < 2; down++) {
        struct orr_tree t;
        orri_tree_init(&t, &alloc);
        for (unsigned i = 0; i < KEYS; i++)
            assert_int_equal(0, orri_tree_set(&t, key_at(down ? KEYS - i : i, text, false), "v", 1));
        orri_tree_check(&t);
        assert_true((size_t)live_bytes < KEYS * 80);
        for (unsigned i = 0; i < KEYS; i++) assert_true(orri_tree_remove(&t, key_at(down ? KEYS - i : i, text, false)));
        orri_tree_clear(&t);
        assert_int_equal(0, live_bytes);
    }
}

static void has_the_digest_of_its_content(void **state) {
    (void)state;
    struct orr_tree a, b;
    char text[32];
    orri_tree_init(&a, &alloc);
    orri_tree_init(&b, &alloc);
    uint64_t empty = orri_tree_digest(&a);
    for (unsigned i = 0; i < KEYS; i++) {
        (void)orri_tree_set(&a, key_at(i, text, false), &i, sizeof i);
        unsigned k = KEYS - 1 - i;
        (void)orri_tree_set(&b, key_at(k, text, false), "other", 5);
        (void)orri_tree_set(&b, key_at(k, text, false), &k, sizeof k);
    }
    assert_true(orri_tree_digest(&a) == orri_tree_digest(&b));
    (void)set(&b, 3, "user:00000007", "x");
    assert_false(orri_tree_digest(&a) == orri_tree_digest(&b));
    for (unsigned i = 0; i < KEYS; i++) (void)orri_tree_remove(&a, key_at(i, text, false));
    assert_true(orri_tree_digest(&a) == empty);
    orri_tree_clear(&a);
    orri_tree_clear(&b);
    assert_int_equal(0, live_bytes);
}

static void is_unchanged_when_memory_runs_out(void **state) {
    (void)state;
    struct orr_tree t;
    char text[32];
    orri_tree_init(&t, &alloc);
    for (unsigned i = 0; i < KEYS; i++) {
        struct orr_tree_key key = key_at(i * 7 % KEYS, text, false);
        uint64_t before = orri_tree_digest(&t);
        for (allocations_left = 0;; allocations_left++) {
            long limit = allocations_left;
            int rc = orri_tree_set(&t, key, "v", 1);
            allocations_left = limit;
            if (rc == 0) break;
            assert_int_equal(-ENOMEM, rc);
            assert_true(before == orri_tree_digest(&t));
        }
        allocations_left = -1;
    }
    orri_tree_check(&t);
    assert_int_equal(KEYS, t.n);
    orri_tree_clear(&t);
    assert_int_equal(0, live_bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_an_ordered_map),
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(fills_its_nodes_in_either_direction),
        cmocka_unit_test(has_the_digest_of_its_content),
        cmocka_unit_test(is_unchanged_when_memory_runs_out),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
