/* ring_hash_test.c - other programs' rings: owners that were computed once by a small reference in Python (hashlib,
 * zlib, floats by ctypes), which says what libmemcached and nginx say; the rounding of weights; points in common;
 * names; bad input. (Against the real things: spec/stages/48-placement.sh.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "placement/ring_inner.h"

static int try(struct orr_ring **r, enum orr_ring_hash hash, const struct orr_ring_node *nodes, size_t n,
               size_t *wrong) {
    struct orr_ring_config cfg;
    orr_ring_config_init(&cfg);
    cfg.hash = hash;
    return orr_ring_new(r, &cfg, nodes, n, wrong);
}
static struct orr_ring *ring_of(enum orr_ring_hash hash, const struct orr_ring_node *nodes, size_t n) {
    struct orr_ring *r = NULL;
    assert_int_equal(try(&r, hash, nodes, n, NULL), 0);
    return r;
}

/* Five servers on port 11211; key0 to key59. */
static void owned(enum orr_ring_hash hash, bool weighted, const char *expected) {
    static const unsigned weights[] = { 1, 2, 3, 1, 5 };
    struct orr_ring_node nodes[5];
    char ids[5][40], said[61] = "", key[32];
    for (size_t i = 0; i < 5; i++) {
        snprintf(ids[i], sizeof ids[i], "10.0.1.%zu:11211", i + 1);
        nodes[4 - i] = (struct orr_ring_node){ .id = ids[i], .weight = weighted ? weights[i] : 1 };
    }
    struct orr_ring *r = ring_of(hash, nodes, 5);
    for (size_t k = 0; k < 60; k++) {
        int size = snprintf(key, sizeof key, "key%zu", k);
        uint32_t owner = orr_ring_owner(r, key, (size_t)size);
        assert_int_equal(orr_ring_owner_at(r, orr_ring_place_in(r, key, (size_t)size)), owner);
        said[k] = orr_ring_id(r, owner)[7];
    }
    assert_string_equal(said, expected);
    orr_ring_free(r);
}

static void keys_have_the_owners_that_they_have_there(void **state) {
    (void)state;
    owned(ORR_RING_KETAMA, true, "532522353523335455532135552322143341521313254351555535535521");
    owned(ORR_RING_KETAMA_UNWEIGHTED, false, "223142544222535225421235242422143112542424542351325252514145");
    owned(ORR_RING_LIBKETAMA, true, "545525355352552352232535244233525553553235145523542351552541");
    owned(ORR_RING_NGINX, true, "514231552533532535155354235153552232543533225535551233234332");
}

static uint32_t points_of_each(enum orr_ring_hash hash, size_t n) {
    static char ids[100][32];
    static struct orr_ring_node nodes[100];
    for (size_t i = 0; i < n; i++) {
        snprintf(ids[i], sizeof ids[i], "s%zu", i);
        nodes[i] = (struct orr_ring_node){ .id = ids[i] };
    }
    struct orr_ring *r = ring_of(hash, nodes, n);
    uint32_t points = orr_ring_points(r);
    assert_int_equal(points % n, 0);
    orr_ring_free(r);
    return points / (uint32_t)n;
}

/* As floats have it, a fiftieth fifty times is less than one. */
static void parts_are_rounded_down_in_floats(void **state) {
    (void)state;
    const struct orr_ring_node three[] = { { .id = "a", .weight = 7 }, { .id = "b", .weight = 11 },
                                           { .id = "c", .weight = 13 } };
    struct orr_ring *r = ring_of(ORR_RING_KETAMA, three, 3);
    assert_int_equal(orr_ring_points(r), 108 + 168 + 200);
    uint32_t points[3] = { 0 };
    for (uint32_t i = 0; i < r->n_points; i++) points[r->owners[i]]++;
    assert_int_equal(points[0], 108);
    assert_int_equal(points[1], 168);
    assert_int_equal(points[2], 200);
    orr_ring_free(r);
    assert_int_equal(points_of_each(ORR_RING_KETAMA, 24), 160);
    assert_int_equal(points_of_each(ORR_RING_KETAMA, 25), 156);
    assert_int_equal(points_of_each(ORR_RING_LIBKETAMA, 25), 160);
    assert_int_equal(points_of_each(ORR_RING_KETAMA, 50), 156);
    assert_int_equal(points_of_each(ORR_RING_KETAMA, 61), 156);
    assert_int_equal(points_of_each(ORR_RING_LIBKETAMA, 61), 156);
    assert_int_equal(points_of_each(ORR_RING_KETAMA_UNWEIGHTED, 50), 100);
    assert_int_equal(points_of_each(ORR_RING_NGINX, 25), 160);
}

/* These two have that point in common, by each hash; they were looked for. */
static void a_point_in_common_is_the_lower_id_s(enum orr_ring_hash hash, const char *low, const char *high,
                                                uint32_t point) {
    const struct orr_ring_node nodes[] = { { .id = high }, { .id = low } };
    struct orr_ring *r = ring_of(hash, nodes, 2);
    uint64_t place = (uint64_t)point << 32;
    uint32_t i = orri_ring_point(r, place), shared = i;
    assert_int_equal(r->places[i], place | UINT32_MAX);
    assert_int_equal(orr_ring_points(r), 319);
    assert_string_equal(orr_ring_id(r, r->owners[i]), low);
    assert_int_equal(orr_ring_owner_at(r, place | UINT32_MAX), r->owners[i]);
    assert_int_equal(orr_ring_owner_at(r, place + (UINT64_C(1) << 32)), r->owners[i + 1 < 319 ? i + 1 : 0]);
    for (i = 1; i < r->n_points; i++) assert_true(r->places[i - 1] < r->places[i]);
    for (i = 0; i < r->n_points; i++) assert_int_equal(orri_ring_point(r, r->places[i]), i);
    assert_true(r->places[shared] != r->places[(shared + 1) % 319]);
    double share = orr_ring_share(r, 0) + orr_ring_share(r, 1);
    assert_true(share > 1 - 1e-9 && share < 1 + 1e-9);
    orr_ring_free(r);
}
static void points_in_common_are_one(void **state) {
    (void)state;
    a_point_in_common_is_the_lower_id_s(ORR_RING_KETAMA, "h521", "h543", 0xf6b6519c);
    a_point_in_common_is_the_lower_id_s(ORR_RING_NGINX, "h36", "h948", 0x106c004e);
    a_point_in_common_is_the_lower_id_s(ORR_RING_NGINX, "h920", "h942", 0xba4c7dbb);
}

static void behind_the_last_point_comes_the_first(void **state) {
    (void)state;
    const struct orr_ring_node nodes[] = { { .id = "a" }, { .id = "b" }, { .id = "c" } };
    for (int hash = ORR_RING_KETAMA; hash <= ORR_RING_NGINX; hash++) {
        struct orr_ring *r = ring_of((enum orr_ring_hash)hash, nodes, 3);
        char key[32];
        uint64_t last = r->places[r->n_points - 1];
        int behind = 0;
        for (unsigned k = 0; k < 20000; k++) {
            int size = snprintf(key, sizeof key, "%u", k);
            uint64_t place = orr_ring_place_in(r, key, (size_t)size);
            assert_int_equal(place & UINT32_MAX, 0);
            if (place <= last) continue;
            behind++;
            assert_int_equal(orr_ring_owner(r, key, (size_t)size), r->owners[0]);
        }
        assert_true(behind > 0);
        orr_ring_free(r);
    }
}

/* Who has no point is nobody's owner, and no walk waits for him. */
static void next_to_no_weight_owns_nothing(void **state) {
    (void)state;
    const struct orr_ring_node nodes[] = { { .id = "a", .weight = 1e9, .zone = "x" }, { .id = "b", .weight = 1 },
                                           { .id = "c", .weight = 1e9, .zone = "x" } };
    struct orr_ring *r = ring_of(ORR_RING_KETAMA, nodes, 3);
    struct orr_ring_walk w;
    uint64_t seen[ORR_RING_SEEN(3)];
    uint32_t owners[3], zones;
    assert_int_equal(orr_ring_size(r), 3);
    assert_int_equal(r->placed, 2);
    assert_true(orr_ring_share(r, 1) <= 0);
    assert_int_equal(orr_ring_owners_at(r, 5, 3, owners, &zones), 2);
    assert_int_equal(zones, 1);
    orr_ring_walk(&w, r, 5, seen);
    assert_int_not_equal(orr_ring_next(&w), 1);
    assert_int_not_equal(orr_ring_next(&w), 1);
    assert_int_equal(orr_ring_next(&w), ORR_RING_NOBODY);
    orr_ring_free(r);
}

static void names_are_read_as_they_read_them(void **state) {
    (void)state;
    static const struct {
        enum orr_ring_hash hash;
        const char *a, *b;
        bool same;
    } pairs[] = {
        { ORR_RING_KETAMA, "h", "h:11211", true },
        { ORR_RING_KETAMA, "h:112", "h:11211", false },
        { ORR_RING_KETAMA, "h:1121", "h", false },
        { ORR_RING_KETAMA, "/s", "/s:0", false },           /* two sockets */
        { ORR_RING_KETAMA_UNWEIGHTED, "h", "h:11211", true },
        { ORR_RING_LIBKETAMA, "h", "h:11211", false },
        { ORR_RING_NGINX, "h", "h:80", false },
        { ORR_RING_NGINX, "h", "h:", true },
        { ORR_RING_NGINX, "unix:/s", "UNIX:/s", true },
        { ORR_RING_NGINX, "unix:/s:1", "/s:1", false },     /* of a socket no port is taken off */
        { ORR_RING_NGINX, "[::1]:80", "[::1]", false },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct orr_ring_node nodes[] = { { .id = pairs[i].a }, { .id = "z" }, { .id = pairs[i].b } };
        struct orr_ring *r = NULL;
        size_t wrong = 7;
        int rc = try(&r, pairs[i].hash, nodes, 3, &wrong);
        assert_int_equal(rc, pairs[i].same ? ORR_EINVALID : 0);
        if (rc < 0) assert_int_equal(wrong, strcmp(pairs[i].a, pairs[i].b) > 0 ? 0 : 2);
        orr_ring_free(r);
    }
}

static void ids_may_be_as_long_as_can_be(void **state) {
    (void)state;
    static const char *const beginnings[] = { "h", "/", "unix:/", "1" };
    for (size_t i = 0; i < 4; i++) {
        char id[ORR_RING_ID_MAX + 1];
        memset(id, '7', sizeof id - 1);
        id[sizeof id - 1] = '\0';
        memcpy(id, beginnings[i], strlen(beginnings[i]));
        const struct orr_ring_node nodes[] = { { .id = id }, { .id = "a" } };
        for (int hash = ORR_RING_KETAMA; hash <= ORR_RING_NGINX; hash++) {
            struct orr_ring *r = ring_of((enum orr_ring_hash)hash, nodes, 2);
            assert_true(orr_ring_share(r, 0) > 0.2 && orr_ring_share(r, 1) > 0.2);
            orr_ring_free(r);
        }
    }
}

static void bad_input_is_refused_and_named(void **state) {
    (void)state;
    static const struct {
        enum orr_ring_hash hash;
        double weight;
        int rc;
    } bad[] = {
        { ORR_RING_KETAMA, 1.5, ORR_EINVALID },        { ORR_RING_KETAMA, 4294967295.0, 0 },
        { ORR_RING_KETAMA, 4294967296.0, ORR_EINVALID }, { ORR_RING_KETAMA, -1, ORR_EINVALID },
        { ORR_RING_KETAMA_UNWEIGHTED, 2, ORR_EINVALID }, { ORR_RING_LIBKETAMA, 0.5, ORR_EINVALID },
        { ORR_RING_NGINX, 1000, 0 },                   { ORR_RING_NGINX, 1001, ORR_EINVALID },
        { ORR_RING_NGINX, 2.25, ORR_EINVALID },        { ORR_RING_XXH3, 2.25, 0 },
        { (enum orr_ring_hash)(ORR_RING_NGINX + 1), 1, ORR_EINVALID },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct orr_ring_node nodes[] = { { .id = "a" }, { .id = "b", .weight = bad[i].weight } };
        struct orr_ring *r = NULL;
        size_t wrong = 7;
        assert_int_equal(try(&r, bad[i].hash, nodes, 2, &wrong), bad[i].rc);
        if (bad[i].rc < 0) assert_int_equal(wrong, bad[i].hash > ORR_RING_NGINX ? SIZE_MAX : 1);
        orr_ring_free(r);
    }
    struct orr_ring_config cfg;
    struct orr_ring *r = NULL;
    const struct orr_ring_node one = { .id = "a" };
    orr_ring_config_init(&cfg);
    cfg.hash = ORR_RING_NGINX;
    cfg.vnodes = 100;
    assert_int_equal(orr_ring_new(&r, &cfg, &one, 1, NULL), ORR_EINVALID);
}

static size_t left;
static void *scarce(void *ud, void *p, size_t old, size_t size) {
    if (size > 0 && left-- == 0) {
        left = 0;
        return NULL;
    }
    return orr_alloc_libc.fn(ud, p, old, size);
}
static void memory_may_be_out_at_any_time(void **state) {
    (void)state;
    struct orr_ring_config cfg;
    struct orr_ring *r = NULL;
    const struct orr_ring_node nodes[] = { { .id = "a", .zone = "x/y" }, { .id = "b" } };
    size_t tries = 0;
    orr_ring_config_init(&cfg);
    cfg.alloc.fn = scarce;
    cfg.hash = ORR_RING_NGINX;
    for (int rc = -1; rc != 0; tries++) {
        left = tries;
        rc = orr_ring_new(&r, &cfg, nodes, 2, NULL);
        assert_true(rc == 0 || rc == -12);
    }
    assert_true(tries > 8);
    left = SIZE_MAX;
    orr_ring_free(r);
}

/* What moves is told where keys have the same places. */
static void rings_of_one_key_hash_are_comparable(void **state) {
    (void)state;
    const struct orr_ring_node nodes[] = { { .id = "a" }, { .id = "b" }, { .id = "c" } };
    struct orr_ring *k = ring_of(ORR_RING_KETAMA, nodes, 3), *less = ring_of(ORR_RING_KETAMA, nodes, 2);
    struct orr_ring *u = ring_of(ORR_RING_KETAMA_UNWEIGHTED, nodes, 3), *g = ring_of(ORR_RING_NGINX, nodes, 3);
    struct orr_ring *x = ring_of(ORR_RING_XXH3, nodes, 3);
    double least, moved = orr_ring_moved(k, less, &least), share = orr_ring_share(k, 2);
    assert_true(moved > share - 1e-9 && moved < share + 1e-9 && least > moved - 1e-9 && least < moved + 1e-9);
    assert_true(orr_ring_comparable(k, u) && !orr_ring_comparable(k, g) && !orr_ring_comparable(x, k));
    assert_true(orr_ring_comparable(g, g) && !orr_ring_comparable(x, g));
    assert_true(orr_ring_moved(k, u, NULL) > 0.1);
    struct orr_ring *all[] = { k, less, u, g, x };
    for (size_t i = 0; i < 5; i++) orr_ring_free(all[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_have_the_owners_that_they_have_there),
        cmocka_unit_test(parts_are_rounded_down_in_floats),
        cmocka_unit_test(points_in_common_are_one),
        cmocka_unit_test(behind_the_last_point_comes_the_first),
        cmocka_unit_test(next_to_no_weight_owns_nothing),
        cmocka_unit_test(names_are_read_as_they_read_them),
        cmocka_unit_test(ids_may_be_as_long_as_can_be),
        cmocka_unit_test(bad_input_is_refused_and_named),
        cmocka_unit_test(memory_may_be_out_at_any_time),
        cmocka_unit_test(rings_of_one_key_hash_are_comparable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
