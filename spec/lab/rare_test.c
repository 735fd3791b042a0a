/* rare_test.c - the branches that only the simulator takes (ORR_RARE): each is taken, and none breaks anything.
 *
 * One that is never taken tests nothing: it stands where nothing comes by, or its condition is never met. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "kv_cluster.h"

static const char *const names[] = {
    "agree.early_beat", "apply.one_entry", "group.drops_message", "group.pulls_one", "group.sends_twice",
    "group.stores_first", "kv.image_own_chunk", "kv.image_short_walk", "kv.joins_buckets", "kv.splits_buckets",
    "link.closes", "link.early_ping", "link.saves_again", "node.one_pass", "node.one_timer", "origin.closes_batch",
    "origin.sends_again", "peer.dials_at_once", "raft.commits_one", "raft.forgets_cache", "raft.narrow_window",
    "raft.needless_round", "raft.probes_again", "raft.sends_one", "raft.short_timeout", "raft.small_part",
    "raft.stores_one", "raft.wants_reply", "reads.asks_again", "resp.asks_anyway",
    "resp.tight_queue", "service.crowded", "service.halves_input", "service.seals_early", "service.small_block",
    "service.tight_input", "snapshot.abandoned", "snapshot.early", "snapshot.keeps_no_log", "snapshot.small_fetch",
    "snapshot.small_piece", "snapshot.splits_part", "snapshot.unheld", "storage.drops_segment",
    "storage.early_segment", "storage.fetches_one", "storage.flushes_later", "storage.needless_batch",
    "storage.prepares_later", "storage.reads_less", "storage.seems_cramped", "storage.short_queue",
    "storage.small_batch", "storage.small_room",
};
enum { N_NAMES = sizeof names / sizeof *names, SEEDS = 60 };
_Static_assert(N_NAMES >= 40, "at least so many");

struct total {
    uint64_t offered, taken;
    unsigned seeds_offered, seeds_taken;
};
static struct total totals[N_NAMES];

static void add(const struct orr_lab_rare *rare) {
    for (size_t i = 0; i < N_NAMES; i++) {
        if (strcmp(names[i], rare->name) != 0) continue;
        totals[i].offered += rare->offered;
        totals[i].taken += rare->taken;
        totals[i].seeds_offered += rare->offered > 0;
        totals[i].seeds_taken += rare->taken > 0;
        return;
    }
    fail_msg("%s is not listed here", rare->name);
}

static void run(uint64_t seed, const struct orr_sim_faults *faults) {
    struct kv_cluster cluster = KV_CLUSTER(3);
    struct orr_lab_config cfg;
    struct orr_lab_result r;
    orr_lab_config_init(&cfg);
    cluster.segment_bytes = 128 << 10;
    cfg.sim.seed = seed;
    cfg.nodes = kv_places;
    cfg.n_nodes = cluster.n;
    cfg.boot = (struct orr_sim_boot){ .start = kv_start, .ud = &cluster };
    cfg.faults = faults;
    cfg.run = 10 * ORR_SECOND;
    assert_int_equal(orr_lab_run(&cfg, &r), 0);
    if (!r.ok) fail_msg("seed %d: %s: %s", (int)seed, r.property, r.violation);
    for (size_t i = 0; i < r.n_rares; i++) add(&r.rares[i]);
}

/* Ten times as often as by default: as many come by in a short run as in a long one. */
static void each_is_taken_and_breaks_nothing(void **state) {
    (void)state;
    struct orr_sim_faults faults;
    const char *all = getenv("ORR_SEEDS");
    uint64_t seeds = all ? strtoull(all, NULL, 10) : SEEDS;
    orr_sim_faults_default(&faults);
    faults.rate[ORR_SIM_RARE] *= 10;
    for (uint64_t seed = 1; seed <= seeds; seed++) run(seed, &faults);
    unsigned never = 0;
    for (size_t i = 0; i < N_NAMES; i++) {
        print_message("%-24s offered %9llu times in %3u seeds, taken %7llu times in %3u\n", names[i],
                      (unsigned long long)totals[i].offered, totals[i].seeds_offered,
                      (unsigned long long)totals[i].taken, totals[i].seeds_taken);
        never += totals[i].taken == 0;
    }
    assert_int_equal(never, 0);
}

/* They are no faults: a cluster that nothing else happens to answers everything, and elects once. */
static void a_quiet_cluster_stays_quiet(void **state) {
    (void)state;
    struct orr_sim_faults faults;
    orr_sim_faults_init(&faults);
    faults.rate[ORR_SIM_RARE] *= 3;
    for (uint64_t seed = 1; seed <= SEEDS / 3; seed++) run(seed, &faults);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_taken_and_breaks_nothing),
        cmocka_unit_test(a_quiet_cluster_stays_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
