/* every_test.c - small runs with one fault each, wherever it may strike: no place is left to chance.
 *
 * A run is its seed, so up to the fault each is the one before it once more. What one fault struck at its nth
 * opportunity, the next strikes at the one after, until there is no such any more. Every run is judged by the oracles
 * of the laboratory, and goes on until all nodes answer. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "kv_cluster.h"

enum { TIMES_MAX = 4096 };

struct trial {
    struct kv_cluster cluster;
    struct orr_sim *sim;
    /* A crash of `node` at the nth opportunity of its kind; 0: none. */
    const char *node;
    enum orr_sim_fault kind;
    uint64_t nth;
    /* Or all streams between two nodes break at a moment. */
    const char *a, *b;
    orr_time reset_at;
    /* Moments at which bytes were delivered, where they are wanted. */
    orr_time *times;
    size_t n_times;
};

static void reset_now(void *ud) {
    const struct trial *t = ud;
    (void)orr_sim_reset(t->sim, t->a, t->b);
}

static void plan(void *ud, struct orr_sim *sim) {
    struct trial *t = ud;
    t->sim = sim;
    if (t->nth) assert_int_equal(orr_sim_arm(sim, t->node, t->kind, t->nth), 0);
    if (t->a) assert_int_equal(orr_sim_at(sim, t->reset_at, reset_now, t), 0);
}

/* "0.005169061 a DATA #1 239 0" */
static void note_delivery(void *ud, const char *line, size_t size) {
    struct trial *t = ud;
    (void)size;
    if (!strstr(line, " DATA ")) return;
    orr_time now = orr_sim_now(t->sim);
    if (t->n_times && t->times[t->n_times - 1] == now) return;
    assert_true(t->n_times < TIMES_MAX);
    t->times[t->n_times++] = now;
}

static struct orr_lab_result run(struct trial *t, orr_time length) {
    struct orr_sim_faults none;
    struct orr_lab_config cfg;
    struct orr_lab_result r;
    orr_lab_config_init(&cfg);
    orr_sim_faults_init(&none);         /* what goes down comes back */
    none.down_mean = 200 * ORR_MS;
    none.rate[ORR_SIM_TURN_CUT] = none.rate[ORR_SIM_SHORT_READ] = none.rate[ORR_SIM_RARE] = 0;
    cfg.sim.seed = 11;
    cfg.nodes = kv_places;
    cfg.n_nodes = t->cluster.n;
    cfg.boot = (struct orr_sim_boot){ .start = kv_start, .ud = &t->cluster };
    cfg.faults = &none;
    cfg.run = length;
    cfg.clients = 2;
    cfg.think = 60 * ORR_MS;
    cfg.operations_floor = 1;
    cfg.plan = plan;
    if (t->times) cfg.sim.event = note_delivery;
    cfg.sim.ud = t;
    assert_int_equal(orr_lab_run(&cfg, &r), 0);
    if (r.ok) return r;
    if (t->nth) fail_msg("%s %s at its opportunity %llu: %s: %s", t->node, orr_sim_fault_name(t->kind),
                         (unsigned long long)t->nth, r.property, r.violation);
    fail_msg("reset of %s-%s at %.9f: %s: %s", t->a ? t->a : "nobody", t->b ? t->b : "nobody",
             (double)t->reset_at / 1e9, r.property, r.violation);
    return r;
}

/* -- Crashes ------------------------------------------------------------------------------------------------------- */
static unsigned crash_everywhere(size_t n_nodes, const char *node, enum orr_sim_fault kind, orr_time length) {
    for (uint64_t nth = 1;; nth++) {
        struct trial t = { .cluster = KV_CLUSTER(n_nodes), .node = node, .kind = kind, .nth = nth };
        /* So that snapshots are taken in so short a run. */
        t.cluster.segment_bytes = 64 << 10;
        t.cluster.snapshot_bytes = 2 << 10;
        struct orr_lab_result r = run(&t, length);
        if (r.faults[kind] == 0) return (unsigned)nth - 1;
        assert_true(r.restarts >= 1);
    }
}

static const enum orr_sim_fault effects[] = { ORR_SIM_CRASH_SUBMITTED, ORR_SIM_CRASH_WRITTEN, ORR_SIM_CRASH_SYNCED };

static void crash_at_each_effect(size_t n_nodes, orr_time length, unsigned least) {
    for (size_t node = 0; node < n_nodes; node++) {
        for (size_t i = 0; i < sizeof effects / sizeof *effects; i++) {
            unsigned n = crash_everywhere(n_nodes, kv_places[node].id, effects[i], length);
            print_message("%s of %zu: %u times %s\n", kv_places[node].id, n_nodes, n, orr_sim_fault_name(effects[i]));
            assert_true(n >= least);
        }
    }
}

static void a_node_alone_crashes_at_each_effect(void **state) {
    (void)state;
    crash_at_each_effect(1, 2 * ORR_SECOND, 30);
}

static void each_of_three_crashes_at_each_effect(void **state) {
    (void)state;
    crash_at_each_effect(3, 2 * ORR_SECOND, 30);
}

static void a_node_alone_crashes_at_each_delivery(void **state) {
    (void)state;
    unsigned n = crash_everywhere(1, "a", ORR_SIM_CRASH, 2 * ORR_SECOND);
    print_message("%u deliveries\n", n);
    assert_true(n >= 100);
}

static void each_of_three_crashes_at_each_delivery(void **state) {
    (void)state;
    for (size_t node = 0; node < 3; node++) {
        unsigned n = crash_everywhere(3, kv_places[node].id, ORR_SIM_CRASH, 1500 * ORR_MS);
        print_message("%s: %u deliveries\n", kv_places[node].id, n);
        assert_true(n >= 100);
    }
}

/* -- Resets -------------------------------------------------------------------------------------------------------- */
/* A stream that breaks takes what is on its way along: at the moment of a delivery, the frame that was to come. */
static void each_delivery_is_lost_with_its_connection(void **state) {
    (void)state;
    static orr_time times[TIMES_MAX];
    orr_time length = 1500 * ORR_MS;
    struct trial clean = { .cluster = KV_CLUSTER(3), .times = times };
    run(&clean, length);
    unsigned struck = 0;
    for (size_t i = 0; i < clean.n_times && times[i] < length; i++) {
        for (size_t a = 0; a < 3; a++) {
            struct trial t = { .cluster = KV_CLUSTER(3), .a = kv_places[a].id, .b = kv_places[(a + 1) % 3].id,
                               .reset_at = times[i] };
            run(&t, length);
            struck++;
        }
    }
    print_message("%u resets\n", struck);
    assert_true(struck >= 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_alone_crashes_at_each_effect),
        cmocka_unit_test(a_node_alone_crashes_at_each_delivery),
        cmocka_unit_test(each_of_three_crashes_at_each_effect),
        cmocka_unit_test(each_of_three_crashes_at_each_delivery),
        cmocka_unit_test(each_delivery_is_lost_with_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
