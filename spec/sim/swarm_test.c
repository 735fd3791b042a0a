/* swarm_test.c - what the swarm draws: a subset of the kinds, strengths, means, links and disks; never too much. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "probe.h"

enum { SEEDS = 400 };

static bool no_fault(int kind) {
    return kind == ORR_SIM_TURN_CUT || kind == ORR_SIM_SHORT_READ || kind == ORR_SIM_RARE;
}

/* -- What is drawn ----------------------------------------------------------------------------------------------- */
static void every_kind_is_on_in_about_half_of_the_seeds_and_wander_in_a_quarter(void **state) {
    (void)state;
    struct orr_sim_faults plain, drawn;
    orr_sim_faults_default(&plain);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        unsigned on = 0;
        double least = 1e9, most = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            orr_sim_faults_swarm(&drawn, seed);
            double rate = drawn.rate[kind];
            if (!(rate > 0)) continue;
            on++;
            if (rate < least) least = rate;
            if (rate > most) most = rate;
        }
        bool new = kind == ORR_SIM_CRASH_SEND || kind == ORR_SIM_CLOCK_FREEZE || kind == ORR_SIM_MUTATE;
        if (kind == ORR_SIM_CLOCK_WANDER) {
            assert_in_range(on, SEEDS / 5, SEEDS * 3 / 10);
            assert_true(most > 10 * least);
        } else if (new || (plain.rate[kind] > 0 && !no_fault(kind))) {
            assert_in_range(on, SEEDS * 2 / 5, SEEDS * 3 / 5);
            assert_true(most > 10 * least);
        } else {
            assert_int_equal(on, no_fault(kind) ? SEEDS : 0);    /* what the default lacks, the swarm lacks */
        }
    }
}

static void a_seed_draws_the_same_each_time(void **state) {
    (void)state;
    struct orr_sim_faults one, two, other;
    memset(&one, 0, sizeof one);
    memset(&two, 0, sizeof two);
    orr_sim_faults_swarm(&one, 7);
    orr_sim_faults_swarm(&two, 7);
    orr_sim_faults_swarm(&other, 8);
    assert_memory_equal(&one, &two, sizeof one);
    assert_true(memcmp(one.rate, other.rate, sizeof one.rate) != 0);
}

/* Damage is in addition, in about a quarter of the seeds for each kind: never what makes a node tell what is not so. */
static void damage_is_drawn_besides(void **state) {
    (void)state;
    unsigned on[ORR_SIM_KINDS] = { 0 }, any = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct orr_sim_faults plain, drawn;
        orr_sim_faults_swarm(&plain, seed);
        drawn = plain;
        orr_sim_faults_damage(&drawn, seed);
        for (int kind = 0; kind < ORR_SIM_KINDS; kind++) on[kind] += drawn.rate[kind] > plain.rate[kind];
        assert_int_equal(plain.budget, ORR_SIM_MINORITY);
        assert_int_equal(drawn.budget, ORR_SIM_QUORUMS);
        any += memcmp(drawn.rate, plain.rate, sizeof plain.rate) != 0;
    }
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        bool damages = kind == ORR_SIM_ROT || kind == ORR_SIM_RESTART_EMPTY || kind == ORR_SIM_RESTART_OLD;
        if (damages) assert_in_range(on[kind], SEEDS / 6, SEEDS / 3);
        else assert_int_equal(on[kind], 0);
    }
    assert_in_range(any, SEEDS / 3, SEEDS * 3 / 5);
}

/* Nodes down or paused and links cut, at a time: with so little a majority stands nearly always. */
static void no_seed_draws_more_than_a_cluster_bears(void **state) {
    (void)state;
    static const enum orr_sim_fault crashes[] = { ORR_SIM_CRASH, ORR_SIM_CRASH_SEND, ORR_SIM_CRASH_SUBMITTED,
                                                  ORR_SIM_CRASH_WRITTEN, ORR_SIM_CRASH_SYNCED };
    static const enum orr_sim_fault cuts[] = { ORR_SIM_CUT, ORR_SIM_CUT_ONE_WAY, ORR_SIM_PARTITION, ORR_SIM_SLOW };
    double most = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct orr_sim_faults f;
        orr_sim_faults_swarm(&f, seed);
        double trouble = f.rate[ORR_SIM_PAUSE] * (double)f.pause_mean;
        for (size_t i = 0; i < 5; i++) trouble += f.rate[crashes[i]] * (double)f.down_mean;
        for (size_t i = 0; i < 4; i++) trouble += f.rate[cuts[i]] * (double)f.cut_mean;
        if (trouble > most) most = trouble;
    }
    assert_true(most < 1.21 * (double)ORR_SECOND);
    assert_true(most > 1.0 * (double)ORR_SECOND);
}

/* -- Longer links, slower disks ---------------------------------------------------------------------------------- */
struct pair {
    struct probe a, b;
    orr_time sent, received;
};

static void hears(struct probe *p, struct orr_req *req) {
    struct pair *pair = p->ud;
    if (req->op == ORR_OP_DATAGRAM && p == &pair->b) pair->received = orr_sim_now(p->sim);
}

static void say(struct probe *p, void *arg) {
    struct pair *pair = arg;
    (void)p->w->ops->peer(p->w, orr_id_of("b"), "b:1");
    pair->sent = orr_sim_now(p->sim);
    assert_int_equal(p->w->ops->datagram(p->w, orr_id_of("b"), orr_borrow("x", 1)), 0);
}

/* A way, and a synced write. */
static orr_time way(struct pair *pair) {
    pair->received = 0;
    probe_do(&pair->a, say, pair);
    while (pair->received == 0 && orr_sim_step(pair->a.sim)) continue;
    return pair->received - pair->sent;
}
static orr_time takes(struct pair *pair) {
    int status;
    struct orr_file *f = probe_open(&pair->a, "f", ORR_F_CREATE, &status);
    orr_time began = orr_sim_now(pair->a.sim);
    assert_int_equal(probe_write(&pair->a, f, 0, "x", 1, ORR_W_SYNC), 0);
    orr_time took = orr_sim_now(pair->a.sim) - began;
    assert_int_equal(probe_file_op(&pair->a, f, ORR_OP_CLOSE, 0), 0);
    return took;
}

static void links_are_longer_and_disks_slower_until_all_is_healed(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(5);
    struct pair pair = { 0 };
    struct orr_sim_faults rates;
    pair.a.ud = pair.b.ud = &pair;
    pair.a.on_event = pair.b.on_event = hears;
    assert_int_equal(probe_add(sim, &pair.a, "a", "a:1"), 0);
    assert_int_equal(probe_add(sim, &pair.b, "b", "b:1"), 0);
    orr_time near = way(&pair), quick = takes(&pair);
    orr_sim_faults_init(&rates);
    rates.delay = 10 * ORR_SECOND;
    rates.slower = 100000;
    assert_int_equal(orr_sim_chaos(sim, &rates, orr_sim_now(sim), 100 * ORR_SECOND), 0);
    orr_sim_run(sim, orr_sim_now(sim) + ORR_MS);
    assert_int_equal(orr_sim_counts(sim)[ORR_SIM_FAR], 2);
    assert_int_equal(orr_sim_counts(sim)[ORR_SIM_WORN], 2);
    assert_true(way(&pair) > 20 * near);
    assert_true(takes(&pair) > 20 * quick);
    orr_sim_heal(sim);
    assert_true(way(&pair) < 20 * near);
    assert_true(takes(&pair) < 20 * quick);
    orr_sim_free(sim);
}

static void times_that_go_back_are_refused(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct orr_sim_faults rates;
    orr_sim_faults_init(&rates);
    rates.delay = -1;
    assert_int_equal(orr_sim_chaos(sim, &rates, 0, ORR_SECOND), ORR_EINVALID);
    orr_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_on_in_about_half_of_the_seeds_and_wander_in_a_quarter),
        cmocka_unit_test(a_seed_draws_the_same_each_time),
        cmocka_unit_test(damage_is_drawn_besides),
        cmocka_unit_test(no_seed_draws_more_than_a_cluster_bears),
        cmocka_unit_test(links_are_longer_and_disks_slower_until_all_is_healed),
        cmocka_unit_test(times_that_go_back_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
