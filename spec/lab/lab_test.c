/* lab_test.c - the laboratory on a kv cluster made by the C API: it finds nothing, it is deterministic, it can see. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "kv_cluster.h"

static size_t n_nodes = 3;

static struct orr_lab_result run(uint64_t seed, const struct orr_sim_faults *faults, orr_time length, unsigned clients,
                                 uint64_t flip) {
    struct kv_cluster cluster = KV_CLUSTER(n_nodes);
    struct orr_lab_config cfg;
    struct orr_lab_result r;
    orr_lab_config_init(&cfg);
    cfg.sim.seed = seed;
    cfg.nodes = kv_places;
    cfg.n_nodes = cluster.n;
    cfg.boot = (struct orr_sim_boot){ .start = kv_start, .ud = &cluster };
    cfg.faults = faults;
    cfg.run = length;
    cfg.clients = clients;
    cfg.flip = flip;
    assert_int_equal(orr_lab_run(&cfg, &r), 0);
    return r;
}

static void a_quiet_cluster_works_and_elects_once(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct orr_lab_result r = run(seed, NULL, 10 * ORR_SECOND, 4, 0);
        if (!r.ok) print_message("seed %d: %s: %s\n", (int)seed, r.property, r.violation);
        assert_true(r.ok);
        assert_int_equal(r.leaders, 1);
        assert_int_equal(r.unknown + r.failed, 0);
        assert_true(r.operations > 1000);
    }
}

static void faults_break_nothing(void **state) {
    (void)state;
    struct orr_sim_faults faults;
    orr_sim_faults_default(&faults);
    uint64_t reads = 0, overlapping = 0, claims = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct orr_lab_result r = run(seed, &faults, 20 * ORR_SECOND, 4, 0);
        if (!r.ok) print_message("seed %d: %s: %s\n", (int)seed, r.property, r.violation);
        assert_true(r.ok);
        reads += r.reads;
        overlapping += r.overlapping_reads;
        claims += r.claims;
    }
    assert_true(10 * overlapping >= 3 * reads);
    assert_true(claims > 10000);
}

static void a_run_is_its_seed(void **state) {
    (void)state;
    struct orr_sim_faults faults;
    orr_sim_faults_default(&faults);
    struct orr_lab_result one = run(7, &faults, 10 * ORR_SECOND, 4, 0), two = run(7, &faults, 10 * ORR_SECOND, 4, 0);
    assert_int_equal(one.digest, two.digest);
    assert_int_equal(one.events, two.events);
    struct orr_lab_result other = run(8, &faults, 10 * ORR_SECOND, 4, 0);
    assert_int_not_equal(one.digest, other.digest);
    struct orr_lab_result flipped = run(7, &faults, 10 * ORR_SECOND, 4, 100000);
    assert_int_not_equal(one.digest, flipped.digest);
}

static void an_idle_cluster_of_five_is_quiet(void **state) {
    (void)state;
    n_nodes = 5;
    struct orr_lab_result r = run(1, NULL, 60 * ORR_SECOND, 0, 0);
    n_nodes = 3;
    if (!r.ok) print_message("%s: %s\n", r.property, r.violation);
    assert_true(r.ok);
    assert_int_equal(r.leaders, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_cluster_works_and_elects_once),
        cmocka_unit_test(an_idle_cluster_of_five_is_quiet),
        cmocka_unit_test(a_run_is_its_seed),
        cmocka_unit_test(faults_break_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
