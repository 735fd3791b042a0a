/* raft_random_test.c - Raft against a network and disks that do what they may; see support/raft_net.h for what is
 * asked.
 *
 * Each seed draws a cluster and which faults strike how hard. RAFT_SEEDS=FIRST:LAST runs others than the usual
 * ones; a failure prints the seed. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "support/raft_net.h"
#include <stdio.h>
#include <stdlib.h>

static double strength(struct orr_rng *rng, double most) {      /* half of the seeds are without */
    return orri_rng_chance(rng, 0.5) ? orri_rng_unit(rng) * most : 0;
}

static struct net_options draw(uint64_t seed) {
    struct orr_rng rng;
    orri_rng_init(&rng, seed * 2 + 1);
    struct net_options o = { .seed = seed };
    o.n_nodes = (size_t[]){ 1, 2, 3, 3, 3, 4, 5, 5 }[orri_rng_below(&rng, 8)];
    o.loss = strength(&rng, 0.3);
    o.duplicate = strength(&rng, 0.3);
    o.delay_max = orri_rng_chance(&rng, 0.7) ? 3 * ORR_MS : 60 * ORR_MS;
    o.disk_max = orri_rng_chance(&rng, 0.7) ? 2 * ORR_MS : 50 * ORR_MS;
    o.election = o.delay_max > 10 * ORR_MS ? 150 * ORR_MS : orri_rng_chance(&rng, 0.5) ? 30 * ORR_MS : 100 * ORR_MS;
    o.crash = strength(&rng, 0.2);
    o.cut = strength(&rng, 0.4);
    o.pause = strength(&rng, 0.2);
    o.pick_leader = strength(&rng, 0.8);
    o.hand_over = strength(&rng, 0.1);
    o.compact = strength(&rng, 0.3);
    o.lost = strength(&rng, 0.2);
    o.full = orri_rng_chance(&rng, 0.3) ? orri_rng_unit(&rng) * 0.1 : 0;
    o.hang = orri_rng_chance(&rng, 0.3) ? orri_rng_unit(&rng) * 0.2 : 0;
    o.window_entries = orri_rng_chance(&rng, 0.5) ? 16 : 200;
    o.window_bytes = orri_rng_chance(&rng, 0.5) ? 500 : 5000;
    return o;
}

static struct net_report total;

static void run_seed(uint64_t seed) {
    struct net_options o = draw(seed);
    struct net *net = net_new(&o);
    net_run(net, 2 * ORR_SECOND, true, true);
    bool live = net_breach(net) ? false : net_recovers(net, 10 * ORR_SECOND);
    const struct net_report *r = net_report(net);
    total.events += r->events;
    total.committed += r->committed;
    total.elections += r->elections;
    total.crashes += r->crashes;
    total.snapshots += r->snapshots;
    total.reads += r->reads;
    total.fetches += r->fetches;
    total.cuts += r->cuts;
    total.pauses += r->pauses;
    total.refused += r->refused;
    total.hangs += r->hangs;
    if (net_breach(net)) fail_msg("seed %llu (%zu nodes) %s", (unsigned long long)seed, o.n_nodes, net_breach(net));
    if (!live) fail_msg("seed %llu (%zu nodes): healed, but doesn't come to rest", (unsigned long long)seed, o.n_nodes);
    net_free(net);
}

static void many_seeds(void **state) {
    (void)state;
    unsigned long long first = 1, last = 1000;
    const char *range = getenv("RAFT_SEEDS");
    if (range) sscanf(range, "%llu:%llu", &first, &last);
    for (unsigned long long seed = first; seed <= last; seed++) run_seed(seed);
    print_message("%llu events, %llu committed, %llu elections, %llu crashes, %llu cuts, %llu pauses, %llu stores "
                  "refused, %llu hangs, %llu snapshots, %llu reads, %llu fetches\n",
                  (unsigned long long)total.events, (unsigned long long)total.committed,
                  (unsigned long long)total.elections, (unsigned long long)total.crashes,
                  (unsigned long long)total.cuts, (unsigned long long)total.pauses, (unsigned long long)total.refused,
                  (unsigned long long)total.hangs, (unsigned long long)total.snapshots, (unsigned long long)total.reads,
                  (unsigned long long)total.fetches);
    if (range) return;
    assert_true(total.committed > 50000 && total.elections > 2000 && total.crashes > 1000 && total.cuts > 1000);
    assert_true(total.hangs > 500);
    assert_true(total.snapshots > 200 && total.reads > 10000 && total.fetches > 5000);      /* a floor of work */
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(many_seeds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
