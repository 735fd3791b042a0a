/* ring_test.c - hash rings: the same whatever the order, shares, what moves, zones, walks, bounded loads, bad input;
 * jump hash by its known answers. What is looked up is held against the plainest way to do it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "placement/ring_inner.h"

enum { MANY = 200 };
struct file {
    char ids[MANY][32], zones[MANY][48];
    struct orr_ring_node nodes[MANY];
    size_t n;
};

static void fill(struct file *f, size_t n) {
    f->n = n;
    for (size_t i = 0; i < n; i++) {
        snprintf(f->ids[i], sizeof f->ids[i], "node%03zu", i);
        f->zones[i][0] = '\0';
        f->nodes[i] = (struct orr_ring_node){ .id = f->ids[i], .zone = f->zones[i] };
    }
}
static void shuffle(struct file *f, struct orr_rng *rng) {
    for (size_t i = f->n; i-- > 1;) {
        size_t j = orri_rng_below(rng, i + 1);
        struct orr_ring_node was = f->nodes[i];
        f->nodes[i] = f->nodes[j];
        f->nodes[j] = was;
    }
}
static struct orr_ring *ring_of(const struct orr_ring_node *nodes, size_t n, uint32_t vnodes) {
    struct orr_ring_config cfg;
    struct orr_ring *r = NULL;
    orr_ring_config_init(&cfg);
    cfg.vnodes = vnodes;
    assert_int_equal(orr_ring_new(&r, &cfg, nodes, n, NULL), 0);
    return r;
}

static void whatever_the_order_it_is_the_same(void **state) {
    (void)state;
    struct file f;
    struct orr_rng rng;
    orri_rng_init(&rng, 1);
    fill(&f, 50);
    struct orr_ring *first = ring_of(f.nodes, f.n, 160);
    for (int round = 0; round < 5; round++) {
        shuffle(&f, &rng);
        struct orr_ring *r = ring_of(f.nodes, f.n, 160);
        assert_int_equal(r->n_points, first->n_points);
        assert_memory_equal(r->places, first->places, r->n_points * sizeof *r->places);
        assert_memory_equal(r->owners, first->owners, r->n_points * sizeof *r->owners);
        orr_ring_free(r);
    }
    orr_ring_free(first);
}

/* So that no version and no machine moves a key. */
static void places_are_what_they_were(void **state) {
    (void)state;
    const struct orr_ring_node nodes[] = { { .id = "a" }, { .id = "b" }, { .id = "c", .weight = 2 } };
    static const char *const keys[] = { "", "a", "user:17", "0123456789abcdef",
                                        "a longer key, of more than one stripe" };
    struct orr_ring *r = ring_of(nodes, 3, 160);
    char said[8] = "";
    for (size_t i = 0; i < 5; i++)
        said[i] = *orr_ring_id(r, orr_ring_owner(r, keys[i], strlen(keys[i])));
    assert_string_equal(said, "cacca");
    assert_int_equal(orr_ring_place("", 0), UINT64_C(0x2d06800538d394c2));      /* XXH3's own */
    orr_ring_free(r);
}

static uint32_t plainly(const struct orr_ring *r, uint64_t place) {
    uint32_t best = ORR_RING_NOBODY;
    for (uint32_t i = 0; i < r->n_points; i++) {
        if (r->places[i] < place) continue;
        if (best == ORR_RING_NOBODY || r->places[i] < r->places[best]) best = i;
    }
    return r->owners[best == ORR_RING_NOBODY ? 0 : best];
}

static void the_owner_is_the_next_point_s(void **state) {
    (void)state;
    struct file f;
    struct orr_rng rng;
    orri_rng_init(&rng, 2);
    for (size_t n = 1; n < 40; n += 6) {
        fill(&f, n);
        struct orr_ring *r = ring_of(f.nodes, n, 1 + (uint32_t)n % 7);
        for (uint32_t i = 1; i < r->n_points; i++) assert_true(r->places[i - 1] <= r->places[i]);
        for (int k = 0; k < 500; k++) {
            uint64_t place = orri_rng_next(&rng);
            assert_int_equal(orr_ring_owner_at(r, place), plainly(r, place));
        }
        for (uint32_t i = 0; i < r->n_points; i++) {            /* at a point, and right behind it */
            assert_int_equal(orr_ring_owner_at(r, r->places[i]), plainly(r, r->places[i]));
            if (r->places[i] < UINT64_MAX)
                assert_int_equal(orr_ring_owner_at(r, r->places[i] + 1), plainly(r, r->places[i] + 1));
        }
        assert_int_equal(orr_ring_owner_at(r, 0), r->owners[0]);
        assert_int_equal(orr_ring_owner_at(r, UINT64_MAX), plainly(r, UINT64_MAX));
        orr_ring_free(r);
    }
}

static void shares_are_what_keys_find(void **state) {
    (void)state;
    struct file f;
    double sum = 0;
    uint32_t found[10] = { 0 };
    fill(&f, 10);
    f.nodes[3].weight = 3;
    f.nodes[4].weight = 0.5;
    struct orr_ring *r = ring_of(f.nodes, f.n, 640);
    enum { KEYS = 200000 };
    for (uint32_t k = 0; k < KEYS; k++) found[orr_ring_owner(r, &k, sizeof k)]++;
    for (uint32_t i = 0; i < 10; i++) {
        double share = orr_ring_share(r, i), weight = i == 3 ? 3 : i == 4 ? 0.5 : 1;
        assert_true(fabs(found[i] / (double)KEYS - share) < 0.005);
        assert_true(fabs(share - weight / 11.5) < 0.2 * weight / 11.5);
        sum += share;
    }
    assert_true(fabs(sum - 1) < 1e-9);
    orr_ring_free(r);
    fill(&f, 1);
    r = ring_of(f.nodes, 1, 1);
    assert_true(orr_ring_share(r, 0) >= 1 && orr_ring_share(r, 0) <= 1);
    orr_ring_free(r);
}

/* From n to n + 1 nodes only what the new one gets moves; back again the same. */
static void what_moves_is_what_must(void **state) {
    (void)state;
    struct file f;
    struct orr_rng rng;
    struct orr_ring_diff d;
    struct orr_ring_move m;
    orri_rng_init(&rng, 3);
    fill(&f, 21);
    struct orr_ring *a = ring_of(f.nodes, 20, 160), *b = ring_of(f.nodes, 21, 160);
    double least, moved = orr_ring_moved(a, b, &least), share = orr_ring_share(b, 20);
    assert_true(fabs(moved - share) < 1e-12 && fabs(least - share) < 1e-12);
    uint64_t last = 0;
    size_t ranges = 0;
    orr_ring_diff(&d, a, b);
    while (orr_ring_diff_next(&d, &m)) {
        assert_true(m.from <= m.to && (ranges == 0 || m.from > last));
        assert_string_equal(m.after, "node020");
        assert_string_not_equal(m.before, "node020");
        last = m.to;
        ranges++;
    }
    assert_true(ranges > 100 && ranges <= 161);
    assert_true(fabs(orr_ring_moved(b, a, NULL) - share) < 1e-12);
    assert_true(orr_ring_moved(a, a, &least) <= 0 && least <= 0);
    for (int k = 0; k < 2000; k++) {                        /* a place is in a range where its owner changes */
        uint64_t place = k == 0 ? 0 : k == 1 ? UINT64_MAX : orri_rng_next(&rng);
        const char *before = orr_ring_id(a, orr_ring_owner_at(a, place));
        const char *after = orr_ring_id(b, orr_ring_owner_at(b, place));
        bool in = false;
        orr_ring_diff(&d, a, b);
        while (!in && orr_ring_diff_next(&d, &m)) in = m.from <= place && place <= m.to;
        assert_int_equal(in, strcmp(before, after) != 0);
        if (in) assert_true(strcmp(m.before, before) == 0 && strcmp(m.after, after) == 0);
    }
    orr_ring_free(a);
    orr_ring_free(b);
}

static void a_walk_meets_each_once_in_the_order_of_succession(void **state) {
    (void)state;
    struct file f;
    struct orr_rng rng;
    orri_rng_init(&rng, 4);
    fill(&f, 12);
    for (int k = 0; k < 100; k++) {
        struct orr_ring_node left[12];
        size_t n = 12;
        uint64_t place = orri_rng_next(&rng), seen[ORR_RING_SEEN(12)];
        struct orr_ring_walk w;
        memcpy(left, f.nodes, sizeof left);
        struct orr_ring *whole = ring_of(f.nodes, 12, 40);
        orr_ring_walk(&w, whole, place, seen);
        for (uint32_t node; (node = orr_ring_next(&w)) != ORR_RING_NOBODY; n--) {
            struct orr_ring *r = ring_of(left, n, 40);
            const char *owner = orr_ring_id(r, orr_ring_owner_at(r, place));
            assert_string_equal(owner, orr_ring_id(whole, node));
            for (size_t i = 0, to = 0; i < n; i++) {
                if (strcmp(left[i].id, owner) != 0) left[to++] = left[i];
            }
            orr_ring_free(r);
        }
        assert_int_equal(n, 0);
        orr_ring_free(whole);
    }
}

static void replicas_are_in_as_many_zones_as_can_be(void **state) {
    (void)state;
    struct file f;
    struct orr_rng rng;
    uint32_t owners[MANY], zones;
    orri_rng_init(&rng, 5);
    fill(&f, 24);
    for (size_t i = 0; i < 24; i++) snprintf(f.zones[i], sizeof f.zones[i], "z%zu/r%zu", i % 3, i % 6);
    struct orr_ring *r = ring_of(f.nodes, 24, 100);
    assert_int_equal(r->m.levels, 2);
    for (int k = 0; k < 500; k++) {
        uint64_t place = orri_rng_next(&rng);
        for (uint32_t n = 1; n <= 30; n++) {
            uint32_t have = orr_ring_owners_at(r, place, n, owners, &zones), racks = 0;
            assert_int_equal(have, n < 24 ? n : 24);
            assert_int_equal(owners[0], orr_ring_owner_at(r, place));
            assert_int_equal(zones, n < 3 ? n : 3);
            bool rack[6] = { false };
            for (uint32_t i = 0; i < have; i++) {
                for (uint32_t j = 0; j < i; j++) assert_int_not_equal(owners[i], owners[j]);
                unsigned at = (unsigned)atoi(orr_ring_id(r, owners[i]) + 4) % 6;
                racks += !rack[at];
                rack[at] = true;
            }
            assert_int_equal(racks, n < 6 ? n : 6);
        }
    }
    orr_ring_free(r);
}

/* Where no zones are named, each node is one: the walk's first ones. */
static void without_zones_replicas_are_the_walk(void **state) {
    (void)state;
    struct file f;
    uint32_t owners[9], zones;
    uint64_t seen[ORR_RING_SEEN(9)];
    struct orr_ring_walk w;
    fill(&f, 9);
    struct orr_ring *r = ring_of(f.nodes, 9, 50);
    for (uint64_t place = 1; place < UINT64_C(1) << 63; place *= 3) {
        assert_int_equal(orr_ring_owners_at(r, place, 5, owners, &zones), 5);
        assert_int_equal(zones, 5);
        orr_ring_walk(&w, r, place, seen);
        for (size_t i = 0; i < 5; i++) assert_int_equal(orr_ring_next(&w), owners[i]);
    }
    orr_ring_free(r);
}

static void nobody_is_loaded_beyond_his_part(void **state) {
    (void)state;
    struct file f;
    struct orr_rng rng;
    uint64_t loads[20] = { 0 };
    orri_rng_init(&rng, 6);
    fill(&f, 20);
    f.nodes[7].weight = 4;
    struct orr_ring *r = ring_of(f.nodes, 20, 20);
    for (uint64_t total = 1; total <= 5000; total++) {
        uint32_t node = orr_ring_bounded_at(r, orri_rng_next(&rng), loads, 0.25);
        loads[node]++;
        double part = 1.25 * (double)total * (node == 7 ? 4 : 1) / 23;
        assert_true((double)loads[node] < part + 1);
    }
    for (size_t i = 0; i < 20; i++) assert_true(loads[i] > 0);
    assert_int_equal(orr_ring_bounded_at(r, 99, NULL, 0.25), orr_ring_owner_at(r, 99));
    orr_ring_free(r);
}

static void bad_input_is_refused_and_named(void **state) {
    (void)state;
    struct orr_ring_config cfg;
    struct orr_ring *r = NULL;
    size_t wrong = 7;
    char longest[ORR_RING_ID_MAX + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    orr_ring_config_init(&cfg);
    const struct orr_ring_node bad[] = { { .id = NULL },          { .id = "" },
                                         { .id = longest },       { .id = "b", .weight = -1 },
                                         { .id = "b", .weight = (double)NAN }, { .id = "b", .weight = 1000.5 },
                                         { .id = "a" },           { .id = "b", .weight = (double)INFINITY } };
    assert_int_equal(orr_ring_new(&r, &cfg, bad, 0, &wrong), ORR_EINVALID);
    assert_int_equal(wrong, SIZE_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct orr_ring_node nodes[] = { { .id = "a" }, bad[i], { .id = "c" } };
        assert_int_equal(orr_ring_new(&r, &cfg, nodes, 3, &wrong), ORR_EINVALID);
        assert_int_equal(wrong, 1);
    }
    const struct orr_ring_node fine[] = { { .id = longest + 1, .weight = 1000 }, { .id = "b", .weight = 1e-9 } };
    cfg.vnodes = 0;
    assert_int_equal(orr_ring_new(&r, &cfg, fine, 2, &wrong), ORR_EINVALID);
    cfg.vnodes = 1 << 20;
    assert_int_equal(orr_ring_new(&r, &cfg, fine, 2, &wrong), ORR_EINVALID);        /* too many points */
    cfg.vnodes = 10;
    assert_int_equal(orr_ring_new(&r, &cfg, fine, 2, NULL), 0);
    assert_int_equal(orr_ring_points(r), 10001);                /* one at least */
    assert_int_equal(orr_ring_find(r, "b"), 0);
    assert_int_equal(orr_ring_find(r, "c"), ORR_RING_NOBODY);
    orr_ring_free(r);
    orr_ring_free(NULL);
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
    for (int rc = -1; rc != 0; tries++) {
        left = tries;
        rc = orr_ring_new(&r, &cfg, nodes, 2, NULL);
        assert_true(rc == 0 || rc == -12);
    }
    assert_true(tries > 6);
    left = SIZE_MAX;
    orr_ring_free(r);
}

/* As the authors' function and its ports answer. */
static void jump_is_the_known_one(void **state) {
    (void)state;
    assert_int_equal(orr_jump(1, 1), 0);
    assert_int_equal(orr_jump(42, 57), 43);
    assert_int_equal(orr_jump(0xDEAD10CC, 1), 0);
    assert_int_equal(orr_jump(0xDEAD10CC, 666), 361);
    assert_int_equal(orr_jump(256, 1024), 520);
    assert_int_equal(orr_jump(7, 0), 0);
    struct orr_rng rng;
    orri_rng_init(&rng, 8);
    unsigned moved = 0;
    for (int k = 0; k < 20000; k++) {
        uint64_t place = orri_rng_next(&rng);
        uint32_t before = orr_jump(place, 20), after = orr_jump(place, 21);
        assert_true(before < 20 && (after == before || after == 20));
        moved += after != before;
    }
    assert_true(moved > 20000 / 21 - 150 && moved < 20000 / 21 + 150);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_the_order_it_is_the_same),
        cmocka_unit_test(places_are_what_they_were),
        cmocka_unit_test(the_owner_is_the_next_point_s),
        cmocka_unit_test(shares_are_what_keys_find),
        cmocka_unit_test(what_moves_is_what_must),
        cmocka_unit_test(a_walk_meets_each_once_in_the_order_of_succession),
        cmocka_unit_test(replicas_are_in_as_many_zones_as_can_be),
        cmocka_unit_test(without_zones_replicas_are_the_walk),
        cmocka_unit_test(nobody_is_loaded_beyond_his_part),
        cmocka_unit_test(bad_input_is_refused_and_named),
        cmocka_unit_test(memory_may_be_out_at_any_time),
        cmocka_unit_test(jump_is_the_known_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
