/* placement_test.c - the policies behind one face: the same whatever the order, known answers, shares, what moves,
 * successors, zones, bad input. Known answers: splitmix64's own; the owners of forty keys, computed once by a small
 * reference in Python that shares no line with this; table 1 of Maglev's paper. */
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
#include "placement/placement_inner.h"

enum { MANY = 64, POLICIES = ORR_PLACEMENT_MULTIPROBE + 1, SLOTS = 4099 };
struct file {
    char ids[MANY][32];
    struct orr_ring_node nodes[MANY];
    size_t n;
};

static void fill(struct file *f, size_t n) {
    f->n = n;
    for (size_t i = 0; i < n; i++) {
        snprintf(f->ids[i], sizeof f->ids[i], "node%03zu", i);
        f->nodes[i] = (struct orr_ring_node){ .id = f->ids[i] };
    }
}

static struct orr_placement_config config(enum orr_placement_policy policy) {
    struct orr_placement_config cfg;
    orr_placement_config_init(&cfg);
    cfg.policy = policy;
    cfg.slots = SLOTS;
    return cfg;
}
static struct orr_placement *made(const struct orr_placement_config *cfg, const struct orr_ring_node *nodes, size_t n) {
    struct orr_placement *p = NULL;
    assert_int_equal(orr_placement_new(&p, cfg, nodes, n, NULL), 0);
    return p;
}
static struct orr_placement *placed(enum orr_placement_policy policy, const struct orr_ring_node *nodes, size_t n) {
    struct orr_placement_config cfg = config(policy);
    return made(&cfg, nodes, n);
}

/* -- Known answers ------------------------------------------------------------------------------------------------- */
static void draws_are_splitmix64_s(void **state) {
    (void)state;
    static const uint64_t known[] = { 6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                      4593380528125082431u, 16408922859458223821u };
    for (uint64_t i = 0; i < 5; i++) assert_int_equal(orri_draw(1234567, i + 1), known[i]);
}

static void owned(const struct orr_placement_config *cfg, const double *weights, const char *expected) {
    static const char *const ids[] = { "e", "c", "a", "b", "d" };
    struct orr_ring_node nodes[5];
    char said[41] = "", key[32];
    for (size_t i = 0; i < 5; i++)
        nodes[i] = (struct orr_ring_node){ .id = ids[i], .weight = weights ? weights[*ids[i] - 'a'] : 1 };
    struct orr_placement *p = made(cfg, nodes, 5);
    for (size_t k = 0; k < 40; k++) {
        int size = snprintf(key, sizeof key, "key%zu", k);
        said[k] = *orr_placement_id(p, orr_placement_owner(p, key, (size_t)size));
    }
    assert_string_equal(said, expected);
    orr_placement_free(p);
}
static void keys_have_the_owners_that_the_reference_says(void **state) {
    (void)state;
    static const double weights[] = { 1, 2, 0.5, 1, 4 }, whole[] = { 1, 2, 3, 1, 4 };
    struct orr_placement_config cfg = config(ORR_PLACEMENT_RENDEZVOUS);
    owned(&cfg, NULL, "eaeaabeeeeecaccbccbcacbcbdbacddbcaabbeee");
    owned(&cfg, weights, "eeeaabeeeeebaecbccbeaebebbbaeddbeeabeeee");
    cfg = config(ORR_PLACEMENT_MAGLEV);
    cfg.slots = 101;
    owned(&cfg, NULL, "eebaabeaadccbddbcbecbcbacdbecbacbeaddcee");
    owned(&cfg, weights, "eebeabeeeeedbedbcbeebbbebdbeebecbeeddcee");
    cfg = config(ORR_PLACEMENT_MULTIPROBE);
    owned(&cfg, NULL, "edcceccbdcdccaeebdeececdebddbbadbebbeebb");
    cfg.probes = 5;
    owned(&cfg, whole, "cdcceccebeecddcedeeececdebdebbebbdbceebb");
    cfg = config(ORR_PLACEMENT_JUMP);
    owned(&cfg, NULL, "cdacacbcdcbacbeeebdaeadedeedcbbbbeabbcab");
}

/* Table 1 of the paper: B0 (offset 3, skip 4), B1 (0, 2), B2 (3, 1) and seven slots; then without B1. */
static void the_table_is_the_paper_s(void **state) {
    (void)state;
    uint16_t slots[7];
    static const uint16_t before[] = { 1, 0, 1, 0, 2, 2, 0 }, after[] = { 0, 0, 0, 0, 2, 2, 2 };
    struct orri_turn all[] = { { 1, 1, 0, 3, 4 }, { 1, 1, 1, 0, 2 }, { 1, 1, 2, 3, 1 } };
    orri_maglev_fill(slots, 7, all, 3);
    assert_memory_equal(slots, before, sizeof slots);
    struct orri_turn rest[] = { { 1, 1, 0, 3, 4 }, { 1, 1, 2, 3, 1 } };
    orri_maglev_fill(slots, 7, rest, 2);
    assert_memory_equal(slots, after, sizeof slots);
}

static void logarithms_are_near_and_never_fall(void **state) {
    (void)state;
    uint64_t logs[ORRI_LOG_STEPS + 1], before = 0;
    struct orr_rng rng;
    orri_rng_init(&rng, 1);
    orri_rendezvous_logs(logs);
    for (int i = 0; i < 100000; i++) {
        uint64_t draw = orri_rng_next(&rng) >> (i % 60);
        double known = 64 - log2((double)(draw | 1)), got = (double)orri_rendezvous_cost(logs, draw) * 0x1p-40;
        assert_true(fabs(known - got) < 3e-6);
    }
    for (uint64_t draw = UINT64_MAX; draw > UINT64_MAX / 5; draw -= (UINT64_C(1) << 44) - 7) {
        uint64_t cost = orri_rendezvous_cost(logs, draw);
        assert_true(cost >= before && cost > 0);
        before = cost;
    }
    assert_true(orri_rendezvous_cost(logs, 0) <= UINT64_C(64) << 40);
}

/* -- Members ------------------------------------------------------------------------------------------------------- */
static void whatever_the_order_it_is_the_same(void **state) {
    (void)state;
    struct orr_rng rng;
    struct file f;
    orri_rng_init(&rng, 2);
    fill(&f, 30);
    for (int policy = 0; policy < POLICIES; policy++) {
        if (policy == ORR_PLACEMENT_JUMP) continue;
        for (size_t i = 0; i < f.n; i++) f.nodes[i].weight = 1 + (double)(f.nodes[i].id[6] % 3);
        struct orr_placement *a = placed((enum orr_placement_policy)policy, f.nodes, f.n);
        for (size_t i = f.n; i-- > 1;) {
            size_t j = orri_rng_below(&rng, i + 1);
            struct orr_ring_node was = f.nodes[i];
            f.nodes[i] = f.nodes[j];
            f.nodes[j] = was;
        }
        struct orr_placement *b = placed((enum orr_placement_policy)policy, f.nodes, f.n);
        for (int k = 0; k < 3000; k++) {
            uint64_t place = orri_rng_next(&rng);
            assert_int_equal(orr_placement_owner_at(a, place), orr_placement_owner_at(b, place));
        }
        assert_true(orr_placement_moved(a, b, NULL) <= 0);
        assert_int_equal(orr_placement_size(a), 30);
        assert_string_equal(orr_placement_id(a, 7), "node007");
        assert_int_equal(orr_placement_find(b, "node007"), 7);
        assert_int_equal(orr_placement_find(b, "node7"), ORR_RING_NOBODY);
        assert_int_equal(orr_placement_policy(a), policy);
        orr_placement_free(a);
        orr_placement_free(b);
    }
}

/* Equal draws: two ids whose seeds are made one. */
static void what_is_equal_goes_to_the_lower_id(void **state) {
    (void)state;
    const struct orr_ring_node given[2][2] = { { { .id = "b" }, { .id = "a" } },
                                               { { .id = "b", .weight = 2 }, { .id = "a", .weight = 2 } } };
    uint64_t room[8];
    for (int round = 0; round < 4; round++) {
        struct orr_placement *p = placed(ORR_PLACEMENT_RENDEZVOUS, given[round % 2], 2);
        struct orr_placement_walk w;
        p->seeds[1] = p->seeds[0];
        if (round >= 2) {
            p->weighted = true;
            orri_rendezvous_logs(p->logs);
        }
        assert_true(orr_placement_room(p) <= 8);
        for (uint64_t place = 0; place < 50; place++) {
            assert_int_equal(orr_placement_owner_at(p, place), 0);
            orr_placement_walk(&w, p, place, room);
            assert_int_equal(orr_placement_next(&w), 0);
            assert_int_equal(orr_placement_next(&w), 1);
        }
        orr_placement_free(p);
    }
}

/* -- Shares and moves ---------------------------------------------------------------------------------------------- */
static void shares_are_what_keys_find(void **state) {
    (void)state;
    struct orr_rng rng;
    struct file f;
    enum { KEYS = 400000 };
    orri_rng_init(&rng, 3);
    fill(&f, 7);
    for (int policy = 0; policy < POLICIES; policy++) {
        for (size_t i = 0; i < f.n; i++) f.nodes[i].weight = policy == ORR_PLACEMENT_JUMP ? 1 : (double)(1 + i % 3 * 2);
        struct orr_placement *p = placed((enum orr_placement_policy)policy, f.nodes, f.n);
        unsigned counts[7] = { 0 };
        double sum = 0;
        for (int k = 0; k < KEYS; k++) counts[orr_placement_owner_at(p, orri_rng_next(&rng))]++;
        for (uint32_t i = 0; i < 7; i++) {
            double share = orr_placement_share(p, i), deviation = sqrt(share * (1 - share) / KEYS);
            assert_true(fabs((double)counts[i] / KEYS - share) < 4.5 * deviation);
            sum += share;
        }
        assert_true(fabs(sum - 1) < 1e-9);
        orr_placement_free(p);
    }
}

static void shares_go_by_weight(void **state) {
    (void)state;
    const struct orr_ring_node nodes[] = { { .id = "a", .weight = 0.5 }, { .id = "b", .weight = 1.5 }, { .id = "c" } };
    struct orr_placement *r = placed(ORR_PLACEMENT_RENDEZVOUS, nodes, 3), *m = placed(ORR_PLACEMENT_MAGLEV, nodes, 3);
    for (uint32_t i = 0; i < 3; i++) {
        double part = (i == 2 ? 1 : orr_placement_weight(m, i)) / 3;
        assert_true(fabs(orr_placement_share(r, i) - part) < 1e-12);
        assert_true(fabs(orr_placement_share(m, i) - part) < 2.0 / SLOTS);
    }
    orr_placement_free(r);
    orr_placement_free(m);
}

/* One more node: who moves, moves to it, and few do; with Maglev some others, too. */
static void what_moves_is_what_must(void **state) {
    (void)state;
    struct orr_rng rng;
    struct file f;
    orri_rng_init(&rng, 4);
    fill(&f, 21);
    for (int policy = 0; policy < POLICIES; policy++) {
        struct orr_placement *a = placed((enum orr_placement_policy)policy, f.nodes, 20);
        struct orr_placement *b = placed((enum orr_placement_policy)policy, f.nodes, 21);
        double least, moved = orr_placement_moved(a, b, &least), back = orr_placement_moved(b, a, NULL);
        assert_true(fabs(moved - back) < 1e-12);
        assert_true(least > 0.02 && least < 0.09);
        if (policy == ORR_PLACEMENT_MAGLEV) assert_true(moved >= least && moved < 0.2);
        else assert_true(fabs(moved - least) < 0.004);
        for (int k = 0; k < 20000 && policy != ORR_PLACEMENT_MAGLEV; k++) {
            uint64_t place = orri_rng_next(&rng);
            uint32_t before = orr_placement_owner_at(a, place), after = orr_placement_owner_at(b, place);
            assert_true(after == before || after == 20);
        }
        orr_placement_free(b);
        b = placed((enum orr_placement_policy)policy, f.nodes + 1, 19);     /* one less, and so all numbers change */
        moved = orr_placement_moved(a, b, &least);
        assert_true(fabs(least - orr_placement_share(a, 0)) < 1e-9 || policy == ORR_PLACEMENT_MAGLEV);
        if (policy == ORR_PLACEMENT_MAGLEV) assert_true(moved >= least && moved < 0.2);
        else if (policy == ORR_PLACEMENT_JUMP) assert_true(moved > 0.4);        /* it isn't for that */
        else assert_true(fabs(moved - least) < 0.004);
        orr_placement_free(a);
        orr_placement_free(b);
    }
}

/* Policies have nothing to do with each other, nor tables of different sizes. */
static void between_policies_nearly_all_moves(void **state) {
    (void)state;
    struct file f;
    fill(&f, 20);
    struct orr_placement_config cfg = config(ORR_PLACEMENT_MAGLEV);
    struct orr_placement *r = placed(ORR_PLACEMENT_RING, f.nodes, 20), *m = made(&cfg, f.nodes, 20), *other;
    assert_true(fabs(orr_placement_moved(r, m, NULL) - 0.95) < 0.01);
    cfg.slots = 4111;
    other = made(&cfg, f.nodes, 20);
    assert_true(orr_placement_moved(m, other, NULL) > 0.5);
    orr_placement_free(r);
    orr_placement_free(m);
    orr_placement_free(other);
    cfg = config(ORR_PLACEMENT_RING);
    cfg.hash = ORR_RING_NGINX;
    r = made(&cfg, f.nodes, 20);
    m = placed(ORR_PLACEMENT_RING, f.nodes, 20);
    assert_true(fabs(orr_placement_moved(r, m, NULL) - 0.95) < 0.01);
    assert_int_equal(orr_placement_place(r, "123456789", 9), UINT64_C(0xcbf43926) << 32);
    assert_int_equal(orr_placement_place(m, "", 0), UINT64_C(0x2d06800538d394c2));
    orr_placement_free(r);
    orr_placement_free(m);
}

/* -- Walks and replicas -------------------------------------------------------------------------------------------- */
static void a_walk_meets_each_once_in_the_order_of_succession(void **state) {
    (void)state;
    struct orr_rng rng;
    struct file f;
    uint64_t room[512];
    orri_rng_init(&rng, 5);
    for (int policy = 0; policy < POLICIES; policy++) {
        bool exact = policy != ORR_PLACEMENT_JUMP && policy != ORR_PLACEMENT_MAGLEV;
        fill(&f, 12);
        for (size_t i = 0; i < f.n && exact; i++) f.nodes[i].weight = (double)(1 + i % 3);
        struct orr_placement *p = placed((enum orr_placement_policy)policy, f.nodes, f.n);
        assert_true(orr_placement_room(p) <= 512);
        for (int k = 0; k < 40; k++) {
            uint64_t place = orri_rng_next(&rng);
            struct orr_placement_walk w;
            struct orr_ring_node rest[12];
            size_t left = 12;
            memcpy(rest, f.nodes, sizeof rest);
            memset(room, 0xa5, sizeof room);
            orr_placement_walk(&w, p, place, room);
            assert_int_equal(orr_placement_owner_at(p, place), orr_placement_next(&w));
            orr_placement_walk(&w, p, place, room);
            bool met[12] = { false };
            for (; left > 0; left--) {                  /* each is who owns it among those that are left */
                uint32_t node = orr_placement_next(&w);
                assert_true(node < 12 && !met[node]);
                met[node] = true;
                struct orr_placement *without = exact ? placed((enum orr_placement_policy)policy, rest, left) : NULL;
                if (exact)
                    assert_string_equal(orr_placement_id(without, orr_placement_owner_at(without, place)), f.ids[node]);
                orr_placement_free(without);
                size_t at = 0;
                while (rest[at].id != f.ids[node]) at++;
                memmove(&rest[at], &rest[at + 1], (left - at - 1) * sizeof *rest);
            }
            assert_int_equal(orr_placement_next(&w), ORR_RING_NOBODY);
        }
        orr_placement_free(p);
    }
}

static void replicas_are_in_as_many_zones_as_can_be(void **state) {
    (void)state;
    static const char *const zones[] = { "eu/1", "eu/2", "us/1", "us/1", "ap" };
    struct orr_rng rng;
    struct file f;
    uint64_t room[512];
    uint32_t owners[20], plain[20], n_zones;
    orri_rng_init(&rng, 6);
    fill(&f, 15);
    for (size_t i = 0; i < f.n; i++) f.nodes[i].zone = zones[i % 5];
    struct orr_ring_config ring_cfg;
    struct orr_ring *ring;
    orr_ring_config_init(&ring_cfg);
    assert_int_equal(orr_ring_new(&ring, &ring_cfg, f.nodes, f.n, NULL), 0);
    for (int policy = 0; policy < POLICIES; policy++) {
        struct orr_placement *p = placed((enum orr_placement_policy)policy, f.nodes, f.n);
        assert_string_equal(orr_placement_zone(p, 1), "eu/2");
        for (int k = 0; k < 200; k++) {
            uint64_t place = orri_rng_next(&rng);
            assert_int_equal(orr_placement_owners_at(p, place, 4, owners, &n_zones, room), 4);
            assert_int_equal(n_zones, 3);
            assert_int_equal(owners[0], orr_placement_owner_at(p, place));
            unsigned seen = 0;
            for (int i = 0; i < 4; i++) seen |= 1u << *zones[owners[i] % 5] % 32;
            assert_int_equal(__builtin_popcount(seen), 3);
            assert_int_equal(orr_placement_owners_at(p, place, 20, owners, &n_zones, room), 15);
            if (policy != ORR_PLACEMENT_RING) continue;
            assert_int_equal(orr_ring_owners_at(ring, place, 20, plain, NULL), 15);
            assert_memory_equal(owners, plain, 15 * sizeof *owners);
        }
        orr_placement_free(p);
    }
    orr_ring_free(ring);
}

/* -- Bad input ----------------------------------------------------------------------------------------------------- */
static void bad_input_is_refused_and_named(void **state) {
    (void)state;
    static const struct {
        enum orr_placement_policy policy;
        const char *id;
        double weight;
        uint32_t slots, probes;
        bool node;                                      /* is it that node that is wrong? */
    } bad[] = {
        { ORR_PLACEMENT_RING, "", 1, 0, 0, true },           { ORR_PLACEMENT_JUMP, "b", 2, 0, 0, true },
        { ORR_PLACEMENT_JUMP, "b", 0.5, 0, 0, true },        { ORR_PLACEMENT_RENDEZVOUS, "a", 1, 0, 0, true },
        { ORR_PLACEMENT_RENDEZVOUS, "b", -1, 0, 0, true },   { ORR_PLACEMENT_RENDEZVOUS, "b", 1001, 0, 0, true },
        { ORR_PLACEMENT_MAGLEV, "b", (double)NAN, 0, 0, true }, { ORR_PLACEMENT_MAGLEV, "b", 1, 1024, 0, false },
        { ORR_PLACEMENT_MAGLEV, "b", 1, 2, 0, false },       { ORR_PLACEMENT_MAGLEV, "b", 1, 1048583, 0, false },
        { ORR_PLACEMENT_MAGLEV, "b", 1, 1, 0, false },       { ORR_PLACEMENT_MULTIPROBE, "b", 1.5, 0, 0, true },
        { ORR_PLACEMENT_MULTIPROBE, "b", 0.5, 0, 0, true },  { ORR_PLACEMENT_MULTIPROBE, "b", 1, 0, 257, false },
        { (enum orr_placement_policy)POLICIES, "b", 1, 0, 0, false },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct orr_ring_node nodes[] = { { .id = "a" }, { .id = bad[i].id, .weight = bad[i].weight },
                                               { .id = "c" } };
        struct orr_placement_config cfg = config(bad[i].policy);
        struct orr_placement *p = NULL;
        size_t wrong = 7;
        if (bad[i].slots) cfg.slots = bad[i].slots;
        if (bad[i].probes) cfg.probes = bad[i].probes;
        assert_int_equal(orr_placement_new(&p, &cfg, nodes, 3, &wrong), ORR_EINVALID);
        assert_int_equal(wrong, bad[i].node ? 1 : SIZE_MAX);
        assert_int_equal(orr_placement_new(&p, &cfg, nodes, 0, &wrong), ORR_EINVALID);
        assert_int_equal(wrong, SIZE_MAX);
    }
    struct orr_placement_config cfg = config(ORR_PLACEMENT_MULTIPROBE);
    const struct orr_ring_node one = { .id = "a" };
    struct orr_placement *p = NULL;
    cfg.probes = 0;
    assert_int_equal(orr_placement_new(&p, &cfg, &one, 1, NULL), ORR_EINVALID);
    orr_placement_free(NULL);
}

static void one_node_has_all(void **state) {
    (void)state;
    const struct orr_ring_node one = { .id = "a" };
    uint64_t room[64];
    uint32_t owner, zones;
    for (int policy = 0; policy < POLICIES; policy++) {
        struct orr_placement *p = placed((enum orr_placement_policy)policy, &one, 1);
        assert_true(fabs(orr_placement_share(p, 0) - 1) < 1e-12);
        assert_int_equal(orr_placement_owner(p, "k", 1), 0);
        assert_int_equal(orr_placement_owners_at(p, UINT64_MAX, 1, &owner, &zones, room), 1);
        assert_int_equal(zones, 1);
        orr_placement_free(p);
    }
}

/* Who has no slot is nobody's owner, and no walk waits for him. */
static void next_to_no_weight_owns_nothing(void **state) {
    (void)state;
    const struct orr_ring_node nodes[] = { { .id = "a" }, { .id = "b", .weight = 1e-9 }, { .id = "c" } };
    struct orr_placement *p = placed(ORR_PLACEMENT_MAGLEV, nodes, 3);
    uint64_t room[8];
    uint32_t owners[3];
    assert_true(orr_placement_share(p, 1) <= 0);
    assert_int_equal(orr_placement_owners_at(p, 99, 3, owners, NULL, room), 2);
    orr_placement_free(p);
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
    const struct orr_ring_node nodes[] = { { .id = "a", .zone = "x/y" }, { .id = "b" } };
    for (int policy = 0; policy < POLICIES; policy++) {
        struct orr_placement_config cfg = config((enum orr_placement_policy)policy);
        struct orr_placement *p = NULL;
        size_t tries = 0;
        cfg.alloc.fn = scarce;
        for (int rc = -1; rc != 0; tries++) {
            left = tries;
            rc = orr_placement_new(&p, &cfg, nodes, 2, NULL);
            assert_true(rc == 0 || rc == -12);
        }
        assert_true(tries > 4);
        left = SIZE_MAX;
        orr_placement_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_splitmix64_s),
        cmocka_unit_test(keys_have_the_owners_that_the_reference_says),
        cmocka_unit_test(the_table_is_the_paper_s),
        cmocka_unit_test(logarithms_are_near_and_never_fall),
        cmocka_unit_test(whatever_the_order_it_is_the_same),
        cmocka_unit_test(what_is_equal_goes_to_the_lower_id),
        cmocka_unit_test(shares_are_what_keys_find),
        cmocka_unit_test(shares_go_by_weight),
        cmocka_unit_test(what_moves_is_what_must),
        cmocka_unit_test(between_policies_nearly_all_moves),
        cmocka_unit_test(a_walk_meets_each_once_in_the_order_of_succession),
        cmocka_unit_test(replicas_are_in_as_many_zones_as_can_be),
        cmocka_unit_test(bad_input_is_refused_and_named),
        cmocka_unit_test(one_node_has_all),
        cmocka_unit_test(next_to_no_weight_owns_nothing),
        cmocka_unit_test(memory_may_be_out_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
