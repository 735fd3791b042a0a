/* map_test.c - the map against a plain list in the order of insertion. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/rng.h"
#include "support/alloc.h"

static void keys_are_bytes_and_are_copied(void **state) {
    (void)state;
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orr_map map;
    orri_map_init(&map, &alloc, 1);
    char key[] = "a\0b";
    int one, two, three;
    void *old = &map;
    assert_null(orri_map_get(&map, "", 0));
    assert_null(orri_map_remove(&map, "", 0));
    assert_int_equal(orri_map_set(&map, key, 3, &one, &old), 0);
    assert_null(old);
    assert_int_equal(orri_map_set(&map, NULL, 0, &two, NULL), 0);
    memset(key, 'x', sizeof key);
    assert_ptr_equal(orri_map_get(&map, "a\0b", 3), &one);
    assert_null(orri_map_get(&map, "a\0c", 3));
    assert_null(orri_map_get(&map, "a", 1));
    assert_ptr_equal(orri_map_get(&map, "", 0), &two);
    assert_int_equal(orri_map_set(&map, "a\0b", 3, &three, &old), 0);
    assert_ptr_equal(old, &one);
    assert_int_equal(map.n, 2);
    size_t at = 0;
    struct orr_map_entry *e = orri_map_each(&map, &at);
    assert_memory_equal(e->key, "a\0b", 4);                  /* the NUL after it, too */
    assert_ptr_equal(orri_map_remove(&map, "a\0b", 3), &three);
    assert_null(orri_map_get(&map, "a\0b", 3));
    orri_map_clear(&map);
    spec_alloc_check(&a);
}

/* The model. A value is the address of its key's place in `all`. */
enum { KEYS = 60 };
struct model {
    char all[KEYS];
    size_t order[KEYS], n;
};

static size_t model_find(const struct model *m, size_t key) {
    size_t i = 0;
    while (i < m->n && m->order[i] != key) i++;
    return i;
}

static void assert_same(const struct orr_map *map, struct model *m) {
    assert_int_equal(map->n, m->n);
    size_t at = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct orr_map_entry *e = orri_map_each(map, &at);
        assert_non_null(e);
        assert_ptr_equal(e->value, &m->all[m->order[i]]);
    }
    assert_null(orri_map_each(map, &at));
}

static void any_steps_keep_the_order_of_insertion(void **state) {
    (void)state;
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orr_rng rng;
    orri_rng_init(&rng, 6);
    for (int round = 0; round < 40; round++) {
        struct orr_map map;
        struct model m = { .n = 0 };
        orri_map_init(&map, &alloc, orri_rng_next(&rng));
        for (int step = 0; step < 600; step++) {
            size_t key = orri_rng_below(&rng, KEYS), i = model_find(&m, key);
            char name[16];
            size_t size = (size_t)snprintf(name, sizeof name, "key%zu", key);
            if (orri_rng_below(&rng, 100) < (step / 150 % 2 ? 70 : 30)) {
                assert_ptr_equal(orri_map_remove(&map, name, size), i < m.n ? &m.all[key] : NULL);
                if (i < m.n) memmove(&m.order[i], &m.order[i + 1], (--m.n - i) * sizeof *m.order);
                assert_null(orri_map_get(&map, name, size));
            } else {
                assert_int_equal(orri_map_set(&map, name, size, &m.all[key], NULL), 0);
                if (i == m.n) m.order[m.n++] = key;
                assert_ptr_equal(orri_map_get(&map, name, size), &m.all[key]);
            }
            assert_same(&map, &m);
        }
        orri_map_clear(&map);
        spec_alloc_check(&a);
    }
}

static void removing_while_iterating_visits_each_once(void **state) {
    (void)state;
    struct orr_map map;
    orri_map_init(&map, &orr_alloc_libc, 2);
    unsigned char keys[100];
    for (size_t i = 0; i < sizeof keys; i++) {
        keys[i] = (unsigned char)i;
        assert_int_equal(orri_map_set(&map, &keys[i], 1, &keys[i], NULL), 0);
    }
    size_t at = 0, n = 0;
    for (struct orr_map_entry *e; (e = orri_map_each(&map, &at)); n++) {
        assert_ptr_equal(e->value, &keys[n]);
        if (n % 3) orri_map_remove(&map, &keys[n], 1);
    }
    assert_int_equal(n, sizeof keys);
    assert_int_equal(map.n, 34);
    orri_map_clear(&map);
}

static void coming_and_going_does_not_grow_it(void **state) {
    (void)state;
    struct orr_map map;
    orri_map_init(&map, &orr_alloc_libc, 3);
    for (uint32_t i = 0; i < 10000; i++) {
        assert_int_equal(orri_map_set(&map, &i, sizeof i, &map, NULL), 0);
        uint32_t gone = i - 5;
        if (i >= 5) assert_ptr_equal(orri_map_remove(&map, &gone, sizeof gone), &map);
    }
    assert_int_equal(map.n, 5);
    assert_int_equal(map.cap, 8);
    orri_map_clear(&map);
}

static void a_failed_set_leaves_the_map_as_it_was(void **state) {
    (void)state;
    SPEC_EACH_FAILURE(a) {
        const struct orr_alloc alloc = spec_alloc_of(&a);
        struct orr_map map;
        struct model m = { .n = 0 };
        orri_map_init(&map, &alloc, 4);
        for (size_t i = 0; i < KEYS; i++) {
            int rc = orri_map_set(&map, &i, sizeof i, &m.all[i], NULL);
            if (rc == 0) {
                m.order[m.n++] = i;
            } else {
                assert_int_equal(rc, -ENOMEM);
                assert_null(orri_map_get(&map, &i, sizeof i));
            }
            assert_same(&map, &m);
        }
        assert_true(m.n >= KEYS - 1);
        orri_map_clear(&map);
        spec_alloc_check(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_bytes_and_are_copied),
        cmocka_unit_test(any_steps_keep_the_order_of_insertion),
        cmocka_unit_test(removing_while_iterating_visits_each_once),
        cmocka_unit_test(coming_and_going_does_not_grow_it),
        cmocka_unit_test(a_failed_set_leaves_the_map_as_it_was),
    };
    return cmocka_run_group_tests_name("base.map", tests, NULL, NULL);
}
