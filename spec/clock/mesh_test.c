/* mesh_test.c - the graph of a cluster's clocks: known answers, links that fit no other, parts, any input. */
#include <math.h>
#include <stdlib.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <orrery/mesh.h>

#include "base/rng.h"

enum { EDGES_MOST = 512, NODES_MOST = ORR_MESH_NODES_MAX, NOW = 1000000 };
struct cluster {
    struct orr_mesh mesh;
    size_t n;
    struct orr_mesh_edge edges[EDGES_MOST];
    struct orr_mesh_link links[EDGES_MOST];
    struct orr_mesh_node nodes[NODES_MOST];
    orr_time truth[NODES_MOST];
};

static struct cluster cluster_of(unsigned nodes) {
    return (struct cluster){ .mesh = { .nodes = nodes, .now = NOW * ORR_SECOND, .drift_ppb = 1000,
                                       .age_max = 60 * ORR_SECOND } };
}
static void join(struct cluster *c, unsigned a, unsigned b, orr_time offset, orr_time sd) {
    c->edges[c->n++] = (struct orr_mesh_edge){ a, b, offset, sd, c->mesh.now };
}
static void solve(struct cluster *c) {
    assert_int_equal(orr_mesh_solve(&c->mesh, c->edges, c->n, c->links, c->nodes), 0);
}
/* Who measures whom as orr_mesh_neighbours has it, each link once, its error of up to `noise`. */
static struct cluster usual(unsigned nodes, struct orr_rng *rng, orr_time noise) {
    struct cluster c = cluster_of(nodes);
    for (unsigned i = 0; i < nodes; i++) c.truth[i] = orri_rng_between(rng, -1000000000, 1000000000);
    for (unsigned i = 0; i < nodes; i++) {
        unsigned others[ORR_MESH_NEIGHBOURS_MAX], n = orr_mesh_neighbours(nodes, i, others);
        for (unsigned k = 0; k < n; k++) {
            if (others[k] < i) continue;
            join(&c, i, others[k], c.truth[others[k]] - c.truth[i] + orri_rng_between(rng, -noise, noise), 1000);
        }
    }
    return c;
}
static orr_time error_of(const struct cluster *c, unsigned node) {
    return c->nodes[node].offset - (c->truth[node] - c->truth[c->mesh.anchor]);
}

/* -- Whom to measure ----------------------------------------------------------------------------------------------- */
static void each_node_measures_about_two_log_of_them_and_it_is_mutual(void **state) {
    (void)state;
    unsigned of[ORR_MESH_NEIGHBOURS_MAX], back[ORR_MESH_NEIGHBOURS_MAX];
    assert_int_equal(orr_mesh_neighbours(0, 0, of), 0);
    assert_int_equal(orr_mesh_neighbours(1, 0, of), 0);
    assert_int_equal(orr_mesh_neighbours(65, 0, of), 0);
    assert_int_equal(orr_mesh_neighbours(8, 8, of), 0);
    for (unsigned nodes = 2; nodes <= 64; nodes++) {
        unsigned least = nodes - 1 < 4 ? nodes - 1 : 4;
        for (unsigned i = 0; i < nodes; i++) {
            unsigned n = orr_mesh_neighbours(nodes, i, of);
            assert_in_range(n, least, ORR_MESH_NEIGHBOURS_MAX);
            if (nodes > 16) assert_true(fabs(n - 2 * log2(nodes)) < 2.01);
            for (unsigned k = 0; k < n; k++) {
                unsigned times = 0, m = orr_mesh_neighbours(nodes, of[k], back);
                assert_true(of[k] < nodes && of[k] != i);
                for (unsigned j = 0; j < m; j++) times += back[j] == i;
                assert_int_equal(times, 1);
            }
        }
    }
    const unsigned of_64[] = { 1, 63, 3, 61, 9, 55, 27, 37, 17, 47, 13, 51 };
    assert_int_equal(orr_mesh_neighbours(64, 0, of), 12);
    assert_memory_equal(of, of_64, sizeof of_64);
}

/* -- Known answers ------------------------------------------------------------------------------------------------- */
static void one_node_and_two_nodes(void **state) {
    (void)state;
    struct cluster c = cluster_of(1);
    solve(&c);
    assert_true(c.nodes[0].known && c.nodes[0].offset == 0 && c.nodes[0].sd == 0);

    c = cluster_of(2);
    c.mesh.anchor = 1;
    join(&c, 0, 1, 5000, 40);
    solve(&c);
    assert_int_equal(c.nodes[0].offset, -5000);
    assert_int_equal(c.nodes[0].sd, 40);
    assert_int_equal(c.nodes[1].offset, 0);
    assert_int_equal(c.links[0].residual, 0);
    join(&c, 1, 0, -5100, 40);                              /* measured from both ends */
    solve(&c);
    assert_int_equal(c.nodes[0].offset, -5050);
    assert_int_equal(c.nodes[0].sd, 29);                    /* 40 / sqrt(2) */
    assert_int_equal(c.links[0].residual, -50);
    assert_int_equal(c.links[1].residual, -50);
}

static void what_a_loop_does_not_add_up_to_is_shared_out(void **state) {
    (void)state;
    struct cluster c = cluster_of(3);
    join(&c, 0, 1, 1000, 1000);
    join(&c, 1, 2, 2000, 1000);
    join(&c, 0, 2, 3300, 1000);                             /* 300 too much */
    solve(&c);
    assert_int_equal(c.nodes[1].offset, 1100);
    assert_int_equal(c.nodes[2].offset, 3200);
    assert_int_equal(c.nodes[2].sd, 817);                   /* 1000 beside 1414 */
    assert_int_equal(c.links[0].residual, -100);
    assert_int_equal(c.links[1].residual, -100);
    assert_int_equal(c.links[2].residual, 100);
    c.edges[0].sd = c.edges[1].sd = 100;                    /* by variances: 1 : 1 : 100 */
    solve(&c);
    assert_int_equal(c.nodes[2].offset, 3006);
}

/* Numbers far beyond what a double holds to 1 ns. */
static void whole_nanoseconds_are_kept_at_any_distance(void **state) {
    (void)state;
    struct cluster c = cluster_of(3);
    orr_time far = 4000000000000000001;
    join(&c, 0, 1, far, 10);
    join(&c, 2, 1, far, 10);
    join(&c, 0, 2, 3, 10);
    solve(&c);
    assert_int_equal(c.nodes[1].offset, far + 1);
    assert_int_equal(c.nodes[2].offset, 2);
}

static void many_links_are_better_than_one_and_normal_equations_hold(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 3);
    for (unsigned nodes = 5; nodes <= 64; nodes += 7) {
        double square = 0, raw = 0, pull[NODES_MOST] = { 0 };
        struct cluster c = usual(nodes, &rng, 1500);
        for (size_t i = 0; i < c.n; i++) c.edges[i].sd = 700 + orri_rng_between(&rng, 0, 600);
        solve(&c);
        for (unsigned i = 0; i < nodes; i++) {
            assert_true(c.nodes[i].known && c.nodes[i].sd < 1000 && llabs(error_of(&c, i)) < 5 * 1000);
        }
        for (size_t i = 0; i < c.n; i++) {
            unsigned a = c.edges[i].a, b = c.edges[i].b;
            double w = pow((double)c.links[i].sd, -2), truth = (double)(c.truth[b] - c.truth[a]);
            assert_int_equal(c.links[i].verdict, ORR_MESH_KEPT);
            pull[a] -= w * (double)c.links[i].residual;
            pull[b] += w * (double)c.links[i].residual;
            square += pow((double)(c.nodes[b].offset - c.nodes[a].offset) - truth, 2);
            raw += pow((double)c.edges[i].offset - truth, 2);
        }
        for (unsigned i = 0; i < nodes; i++) assert_true(fabs(pull[i]) < 24e-6);        /* of 1e-3, but for rounding */
        assert_true(square < 0.7 * raw);
    }
}

static void another_anchor_moves_all_alike(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 4);
    struct cluster c = usual(16, &rng, 1000), other = c;
    solve(&c);
    other.mesh.anchor = 11;
    solve(&other);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(llabs(other.nodes[i].offset - (c.nodes[i].offset - c.nodes[11].offset)) <= 2);
    }
}

/* -- Links that fit no other --------------------------------------------------------------------------------------- */
static void the_asymmetric_link_is_named_and_does_not_count(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 5);
    for (unsigned nodes = 5; nodes <= 64; nodes += 13) {
        struct cluster clean = usual(nodes, &rng, 1000);
        solve(&clean);
        for (size_t bad = 0; bad < clean.n; bad += 1 + clean.n / 24) {
            struct cluster c = clean, without = clean;
            orr_time sign = bad % 2 ? 1 : -1;
            c.edges[bad].offset += sign * 50000;
            solve(&c);
            without.edges[bad] = without.edges[--without.n];
            solve(&without);
            for (size_t i = 0; i < c.n; i++) {
                assert_int_equal(c.links[i].verdict, i == bad ? ORR_MESH_CUT : ORR_MESH_KEPT);
            }
            assert_true(llabs(c.links[bad].residual - sign * 50000) < 4000);
            assert_int_equal(c.links[bad].sd, 1000);
            for (unsigned i = 0; i < nodes; i++) {          /* as if it had never been */
                assert_true(llabs(c.nodes[i].offset - without.nodes[i].offset) <= 1);
                assert_true(llabs(c.nodes[i].sd - without.nodes[i].sd) <= 1);
            }
        }
    }
}

static void a_node_that_is_off_is_no_bad_link(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 6);
    struct cluster c = usual(16, &rng, 1000);
    for (size_t i = 0; i < c.n; i++) {                      /* one clock is an hour ahead: that is what it is */
        if (c.edges[i].a == 7) c.edges[i].offset -= 3600 * ORR_SECOND;
        if (c.edges[i].b == 7) c.edges[i].offset += 3600 * ORR_SECOND;
    }
    c.truth[7] += 3600 * ORR_SECOND;
    solve(&c);
    for (size_t i = 0; i < c.n; i++) assert_int_equal(c.links[i].verdict, ORR_MESH_KEPT);
    for (unsigned i = 0; i < 16; i++) assert_true(llabs(error_of(&c, i)) < 4000);
}

static void several_bad_links_are_all_named(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 7);
    for (unsigned round = 0; round < 20; round++) {
        struct cluster c = usual(32, &rng, 1000);
        bool bad[EDGES_MOST] = { false };
        for (unsigned k = 0; k < 12; k++) {
            size_t i = (size_t)orri_rng_below(&rng, c.n);
            if (!bad[i]) c.edges[i].offset += orri_rng_between(&rng, 20000, 2000000);
            bad[i] = true;
        }
        solve(&c);
        for (size_t i = 0; i < c.n; i++) assert_int_equal(c.links[i].verdict, bad[i] ? ORR_MESH_CUT : ORR_MESH_KEPT);
    }
}

static void of_a_single_loop_nobody_can_say_which_it_is(void **state) {
    (void)state;
    struct cluster c = cluster_of(4);
    join(&c, 0, 1, 0, 100);
    join(&c, 1, 2, 0, 100);
    join(&c, 2, 0, 9000, 100);
    join(&c, 2, 3, 70, 100);                                /* and one that hangs on it */
    solve(&c);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(c.links[i].verdict, ORR_MESH_SUSPECT);
        assert_int_equal(c.links[i].residual, 3000);
    }
    assert_int_equal(c.links[3].verdict, ORR_MESH_KEPT);
    assert_int_equal(c.links[3].residual, 0);
    assert_int_equal(c.nodes[3].offset - c.nodes[2].offset, 70);
}

/* -- What isn't joined --------------------------------------------------------------------------------------------- */
/* A triangle, and a node that hangs on it by one link. */
static void what_is_in_no_loop_is_not_checked(void **state) {
    (void)state;
    struct cluster c = cluster_of(5);
    join(&c, 0, 1, 1000, 100);
    join(&c, 1, 2, 1000, 200);
    join(&c, 0, 2, 2010, 300);
    join(&c, 2, 3, 700, 100);
    solve(&c);
    for (size_t i = 0; i < 3; i++) assert_true(c.links[i].checked && c.links[i].residual != 0);
    assert_true(!c.links[3].checked && c.links[3].residual == 0 && c.links[3].verdict == ORR_MESH_KEPT);

    c = cluster_of(4);                                      /* all of four but two; then one is left out */
    join(&c, 0, 1, 0, 100);
    join(&c, 1, 2, 0, 100);
    join(&c, 2, 0, 0, 100);
    join(&c, 2, 3, 0, 100);
    join(&c, 3, 0, 9000, 100);
    solve(&c);
    for (size_t i = 0; i < 5; i++) assert_true(c.links[i].checked);
    c.edges[2].at -= 61 * ORR_SECOND;                       /* too old: one loop of four is left */
    solve(&c);
    assert_true(!c.links[2].checked && c.links[2].verdict == ORR_MESH_UNUSED);
    for (size_t i = 0; i < 5; i++) assert_true(c.links[i].checked == (i != 2));
}

static void a_part_that_is_not_joined_to_the_anchor_is_unknown(void **state) {
    (void)state;
    struct cluster c = cluster_of(6);
    join(&c, 0, 1, 10, 100);
    join(&c, 2, 3, 20, 100);
    join(&c, 3, 4, 20, 100);
    join(&c, 4, 2, 20, 100);
    solve(&c);
    for (unsigned i = 0; i < 6; i++) assert_int_equal(c.nodes[i].known, i < 2);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(c.links[i].verdict, i == 0 ? ORR_MESH_KEPT : ORR_MESH_UNUSED);
    c.mesh.anchor = 3;
    solve(&c);
    for (unsigned i = 0; i < 6; i++) assert_int_equal(c.nodes[i].known, i >= 2 && i < 5);
    c.n = 0;
    solve(&c);
    for (unsigned i = 0; i < 6; i++) assert_int_equal(c.nodes[i].known, i == 3);
}

static void a_measurement_counts_for_less_with_its_age_and_then_not_at_all(void **state) {
    (void)state;
    struct cluster c = cluster_of(2);
    join(&c, 0, 1, 0, 300);
    join(&c, 0, 1, 500, 300);
    c.mesh.drift_ppb = 10;
    c.edges[1].at -= 40 * ORR_SECOND;                       /* 400 ns of drift: 500 of deviation in all */
    solve(&c);
    assert_int_equal(c.links[1].sd, 500);
    assert_int_equal(c.nodes[1].offset, 132);               /* 500 / (1 + 25 / 9) */
    c.edges[1].at -= 21 * ORR_SECOND;
    solve(&c);
    assert_int_equal(c.links[1].verdict, ORR_MESH_UNUSED);
    assert_int_equal(c.nodes[1].offset, 0);
    c.edges[0].at = c.edges[1].at;
    solve(&c);
    assert_false(c.nodes[1].known);
}

/* -- Anything at all ----------------------------------------------------------------------------------------------- */
static void what_is_out_of_range_is_refused_and_nothing_written(void **state) {
    (void)state;
    struct cluster c = cluster_of(3), fits;
    join(&c, 0, 1, 10, 100);
    join(&c, 1, 2, 10, 100);
    memset(c.links, 0x5a, sizeof c.links);
    memset(c.nodes, 0x5a, sizeof c.nodes);
    fits = c;
#define REFUSED(field, value)                                                                                          \
    c = fits;                                                                                                          \
    c.field = value;                                                                                                   \
    assert_int_equal(orr_mesh_solve(&c.mesh, c.edges, c.n, c.links, c.nodes), ORR_EINVALID);                           \
    assert_memory_equal(c.links, fits.links, sizeof c.links);                                                          \
    assert_memory_equal(c.nodes, fits.nodes, sizeof c.nodes)
    REFUSED(mesh.nodes, 0);
    REFUSED(mesh.nodes, 65);
    REFUSED(mesh.nodes, 2);
    REFUSED(mesh.anchor, 3);
    REFUSED(mesh.now, INT64_MAX);
    REFUSED(mesh.drift_ppb, 1000001);
    REFUSED(mesh.age_max, -1);
    REFUSED(edges[1].a, 3);
    REFUSED(edges[1].a, 2);
    REFUSED(edges[1].b, UINT32_MAX);
    REFUSED(edges[1].sd, 0);
    REFUSED(edges[1].sd, ((orr_time)1 << 40) + 1);
    REFUSED(edges[1].offset, (orr_time)1 << 62);
    REFUSED(edges[1].offset, INT64_MIN);
    REFUSED(edges[1].at, INT64_MIN);
#undef REFUSED
}

static void whatever_is_measured_there_is_an_answer(void **state) {
    (void)state;
    struct orr_rng rng;
    static struct cluster c, again;
    orri_rng_init(&rng, 9);
    for (unsigned round = 0; round < 1000; round++) {
        c = cluster_of(1 + (unsigned)orri_rng_below(&rng, 64));
        c.mesh.anchor = (unsigned)orri_rng_below(&rng, c.mesh.nodes);
        c.mesh.drift_ppb = (uint32_t)orri_rng_below(&rng, 1000001);
        while (c.mesh.nodes > 1 && c.n < EDGES_MOST && !orri_rng_chance(&rng, 0.01)) {
            unsigned a = (unsigned)orri_rng_below(&rng, c.mesh.nodes), b = (unsigned)orri_rng_below(&rng, c.mesh.nodes);
            orr_time offset = (orr_time)(orri_rng_next(&rng) >> (2 + orri_rng_below(&rng, 61)));
            if (a == b) continue;
            join(&c, a, b, orri_rng_chance(&rng, 0.5) ? offset : -offset,
                 1 + (orr_time)(orri_rng_next(&rng) >> (24 + orri_rng_below(&rng, 40))));
            c.edges[c.n - 1].at -= (orr_time)(orri_rng_next(&rng) >> (26 + orri_rng_below(&rng, 38)));
        }
        again = c;
        solve(&c);
        solve(&again);
        assert_memory_equal(again.links, c.links, sizeof c.links);
        assert_memory_equal(again.nodes, c.nodes, sizeof c.nodes);
        assert_true(c.nodes[c.mesh.anchor].known && c.nodes[c.mesh.anchor].offset == 0);
        for (unsigned i = 0; i < c.mesh.nodes; i++) assert_in_range(c.nodes[i].sd, 0, (orr_time)1 << 50);
        for (size_t i = 0; i < c.n; i++) {
            assert_in_range(c.links[i].verdict, ORR_MESH_KEPT, ORR_MESH_UNUSED);
            if (c.links[i].verdict != ORR_MESH_UNUSED) assert_true(c.nodes[c.edges[i].a].known);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_node_measures_about_two_log_of_them_and_it_is_mutual),
        cmocka_unit_test(one_node_and_two_nodes),
        cmocka_unit_test(what_a_loop_does_not_add_up_to_is_shared_out),
        cmocka_unit_test(whole_nanoseconds_are_kept_at_any_distance),
        cmocka_unit_test(many_links_are_better_than_one_and_normal_equations_hold),
        cmocka_unit_test(another_anchor_moves_all_alike),
        cmocka_unit_test(the_asymmetric_link_is_named_and_does_not_count),
        cmocka_unit_test(a_node_that_is_off_is_no_bad_link),
        cmocka_unit_test(several_bad_links_are_all_named),
        cmocka_unit_test(of_a_single_loop_nobody_can_say_which_it_is),
        cmocka_unit_test(what_is_in_no_loop_is_not_checked),
        cmocka_unit_test(a_part_that_is_not_joined_to_the_anchor_is_unknown),
        cmocka_unit_test(a_measurement_counts_for_less_with_its_age_and_then_not_at_all),
        cmocka_unit_test(what_is_out_of_range_is_refused_and_nothing_written),
        cmocka_unit_test(whatever_is_measured_there_is_an_answer),
    };
    return cmocka_run_group_tests_name("mesh", tests, NULL, NULL);
}
