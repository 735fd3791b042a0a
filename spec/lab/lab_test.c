/* lab_test.c - the laboratory on a kv cluster made by the C API: it finds nothing, it is deterministic, it can see. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <orrery/lab.h>
#include <orrery/node.h>
#include <stdio.h>
#include <string.h>

static const struct orr_node_member members[] = {
    { "a", "127.0.0.1:7401", true }, { "b", "127.0.0.1:7402", true }, { "c", "127.0.0.1:7403", true },
    { "d", "127.0.0.1:7404", true }, { "e", "127.0.0.1:7405", true },
};
static const struct orr_lab_node places[] = {
    { "a", "127.0.0.1:7501" }, { "b", "127.0.0.1:7502" }, { "c", "127.0.0.1:7503" },
    { "d", "127.0.0.1:7504" }, { "e", "127.0.0.1:7505" },
};
static size_t n_nodes = 3;

static int start(void *ud, struct orr_world *w, const char *name) {
    (void)ud;
    struct orr_node_config cfg;
    struct orr_node *node;
    struct orr_group *group;
    const char *why = "";
    orr_node_config_init(&cfg);
    cfg.cluster = "kv";
    cfg.id = name;
    cfg.nodes = members;
    cfg.n_nodes = n_nodes;
    cfg.segment_bytes = 1 << 20;    /* so that segments are recycled and snapshots taken */
    cfg.snapshot_bytes = 64 << 10;
    int rc = orr_node_new(&node, w, &cfg, &why);
    if (rc < 0) return rc;
    rc = orr_node_replicate(node, "kv",
                            &(struct orr_group_spec){ .order = &orr_raft_order, .machine = &orr_kv_machine }, &group);
    for (size_t i = 0; rc == 0 && i < n_nodes; i++)
        if (strcmp(places[i].id, name) == 0)
            rc = orr_node_listen(node, "resp", places[i].resp, &orr_resp_service, group);
    return rc < 0 ? rc : orr_node_start(node);
}

static struct orr_lab_result run(uint64_t seed, const struct orr_sim_faults *faults, orr_time length, unsigned clients,
                                 uint64_t flip) {
    struct orr_lab_config cfg;
    struct orr_lab_result r;
    orr_lab_config_init(&cfg);
    cfg.sim.seed = seed;
    cfg.nodes = places;
    cfg.n_nodes = n_nodes;
    cfg.boot.start = start;
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
