/* members.c - two thousand nodes under SWIM and a hundredth of all packets lost, in virtual time on one core: joining,
 * two minutes of rest, one more that joins, twenty that die: [NODES] [SEED]
 *
 * Bars, of the papers where they say something. A member is probed by nobody in a protocol period (a probe interval)
 * with the chance 1/e, so the first to suspect it does after e/(e-1) periods on average, and one more for the probe to
 * end; what is told from mouth to mouth has, after lambda ln n periods, n^(2 - 2 lambda) left who have not heard, which
 * is one in n at lambda 1.5 (Das, Gupta, Motivala 2002, sections 3.1 and 4.1). A suspect is failed after the least
 * suspicion time if three others find it dead too by then (Dadgar, Phillips, Currey 2018), as of 500 nodes they do 499
 * times in 500: one of the twenty may be found by two only, and is suspect for longer. Where all join at once there is
 * more to tell than that allows for, and what is left is made good by anti-entropy, once by each. */
#include "members.h"

enum { DEAD = 20, REST = 120, MOST = 10001, KINDS = ORR_MEMBER_CHANGES + 1 };

static struct run {
    struct mnet *net;
    size_t n;                       /* nodes that are there from the start */
    uint64_t kinds[KINDS];          /* events */
    uint64_t wrong;                 /* somebody who lives was declared failed, or taken for gone */
    orr_time joined;                /* the last JOINS of the newcomer's */
    size_t n_joined;
    bool dead[MOST];
    orr_time first[MOST], last[MOST];       /* of the dead: suspected first, failed last */
    uint64_t n_failed, digest;
    bool missed;
} run;

static size_t bytes;                /* that memberships have */
static void *counted(void *ud, void *p, size_t old_size, size_t new_size) {
    bytes += new_size - old_size;
    return orr_alloc_libc.fn(ud, p, old_size, new_size);
}

static orr_time delay(void *ud, struct orr_rng *rng, orr_time now, size_t from, size_t to) {
    (void)ud;
    (void)now;
    (void)from;
    (void)to;
    return 200 * ORR_US + exponential(rng, 300e3);
}

static void event(void *ud, size_t node, const struct orr_membership_ready *r) {
    size_t about = mnet_number(run.net, r->event.id);
    orr_time now = mnet_now(run.net);
    bool dead = run.dead[about];
    (void)ud;
    run.digest = orri_mix64(orri_mix64(run.digest, (uint64_t)now), (uint64_t)r->event.kind << 48 | node << 24 | about);
    run.kinds[r->event.kind]++;
    if (r->event.kind == ORR_MEMBER_JOINS && about == run.n) {
        run.n_joined++;
        run.joined = now;
    } else if (r->event.kind == ORR_MEMBER_SUSPECTED && dead && run.first[about] == 0) {
        run.first[about] = now;
    } else if (r->event.kind == ORR_MEMBER_FAILS) {
        if (dead) run.n_failed++;
        else run.wrong++;
        run.last[about] = now;
    } else if (r->event.kind == ORR_MEMBER_LEAVES) {
        run.wrong++;
    }
}

static void bar(bool met, const char *what) {
    printf(" (%s: %s)\n", what, met ? "met" : "MISSED");
    run.missed |= !met;
}

static struct orr_membership_status status(size_t i) {
    struct orr_membership_status s;
    orr_membership_status(mnet_of(run.net, i), &s);
    return s;
}

static bool all_know(size_t n) {
    for (size_t i = 0; i < n; i++)
        if (status(i).alive != n) return false;
    return true;
}

static struct orr_membership_status sums(void) {
    struct orr_membership_status sum = { .alive = 0 };
    for (size_t i = 0; i < run.n; i++) {
        struct orr_membership_status s = status(i);
        sum.packets_out += s.packets_out;
        sum.bytes_out += s.bytes_out;
        sum.probes += s.probes;
        sum.probes_failed += s.probes_failed;
        sum.refuted += s.refuted;
    }
    return sum;
}

/* Within 10 s, one after the other. */
static void join(double told) {
    orr_time from = mnet_now(run.net), last = from + 10 * ORR_SECOND;
    char text[128];
    double most = told + 1.25 * 30;                         /* the longest pause between two comparisons */
    for (size_t i = 0; i < run.n; i++) {
        mnet_run(run.net, from + (orr_time)(i + 1) * 10 * ORR_SECOND / (orr_time)run.n - mnet_now(run.net));
        mnet_start(run.net, i);
    }
    while (!all_know(run.n) && mnet_now(run.net) < last + 300 * ORR_SECOND) mnet_run(run.net, ORR_SECOND / 10);
    bool all = all_know(run.n);
    double took = SECONDS(mnet_now(run.net) - last);
    printf("%zu nodes start within 10 s: all know all %.1f s after the last", run.n, took);
    snprintf(text, sizeof text, "at most %.1f s: telling, and a comparison with another", most);
    bar(all && took <= most, text);
    mnet_run(run.net, 30 * ORR_SECOND);                     /* until the last joins are told no more */
}

static void rest(void) {
    struct orr_membership_status before = sums(), after;
    uint64_t kinds[KINDS], others = 0;
    memcpy(kinds, run.kinds, sizeof kinds);
    mnet_run(run.net, REST * ORR_SECOND);
    after = sums();
    for (unsigned k = 0; k < KINDS; k++)
        if (k != ORR_MEMBER_SUSPECTED && k != ORR_MEMBER_REFUTED) others += run.kinds[k] - kinds[k];
    printf("%d s at rest: %llu members came, went or changed", REST, (unsigned long long)others);
    bar(others == 0, "none");
    printf("  %llu of %llu probes found nobody; %llu suspicions were refuted\n",
           (unsigned long long)(after.probes_failed - before.probes_failed),
           (unsigned long long)(after.probes - before.probes), (unsigned long long)(after.refuted - before.refuted));
    double by = (double)run.n * REST, messages = (double)(after.packets_out - before.packets_out) / by;
    double sent = (double)(after.bytes_out - before.bytes_out) / by, memory = (double)bytes / (double)run.n;
    printf("  %.2f messages and %.0f bytes sent a node and second", messages, sent);
    bar(messages <= 3 && sent <= 1024, "at most 3 and 1024");
    double probed = 2 * SECONDS(mnet_now(run.net));         /* by it, and it by others */
    if (probed > (double)run.n) probed = (double)run.n;
    printf("  %.0f KiB a node, %.0f bytes a member that it knows", memory / 1024, memory / (double)run.n);
    bar(memory <= 49152 + 170 * (double)run.n + 190 * probed, "at most 48 KiB, 170 bytes a member, 190 a probed one");
}

static void one_more(double told) {
    orr_time from = mnet_now(run.net), knows = 0;
    char text[64];
    mnet_start(run.net, run.n);
    while ((run.n_joined < run.n || !knows) && mnet_now(run.net) < from + 60 * ORR_SECOND) {
        mnet_run(run.net, 10 * ORR_MS);
        if (!knows && status(run.n).alive == run.n + 1) knows = mnet_now(run.net);
    }
    bool all = run.n_joined == run.n && knows;
    double takes = SECONDS(run.joined - from), learns = SECONDS(knows - from);
    printf("one more joins: it knows all after %.2f s, all know it after %.2f s", learns, takes);
    snprintf(text, sizeof text, "at most %.1f s", told);
    bar(all && takes <= told && learns <= told, text);
    mnet_run(run.net, from + 60 * ORR_SECOND - mnet_now(run.net));
}

static void kill_some(uint64_t seed) {
    struct orr_rng rng;
    orri_rng_init(&rng, seed);
    for (unsigned k = 0; k < DEAD; k++) {
        size_t i;
        do i = (size_t)orri_rng_below(&rng, run.n);
        while (run.dead[i]);
        run.dead[i] = true;
        mnet_kill(run.net, i);
    }
}

/* Suspicion of a member that two others confirm, not three as wanted. */
static double longer(double least) { return 6 * least - 5 * least * log(3) / log(4); }

static void die(double told, uint64_t seed) {
    double mean = 0, first = 0, last = 0, least = 4 * log10((double)run.n);
    double q = (double)(run.n + 1 - DEAD) / (double)(run.n + 1), chance = 1 - exp(-q);     /* in a period */
    double suspects = 1 / chance + 1 + 2 * sqrt((1 - chance) / DEAD) / chance;
    uint64_t wanted = (uint64_t)DEAD * (run.n + 1 - DEAD);
    orr_time from = mnet_now(run.net);
    unsigned soon = 0;
    bool all = true;
    char text[128];
    kill_some(seed);
    while (run.n_failed < wanted && mnet_now(run.net) < from + 180 * ORR_SECOND) mnet_run(run.net, ORR_SECOND);
    for (size_t i = 0; i < run.n; i++) {
        if (!run.dead[i]) continue;
        double it = run.first[i] ? SECONDS(run.first[i] - from) : INFINITY, takes = SECONDS(run.last[i] - from) - it;
        mean += it / DEAD;
        first = fmax(first, it);
        last = fmax(last, SECONDS(run.last[i] - from));
        soon += takes <= least + told;
        all &= takes <= longer(least) + told;
    }
    printf("%d nodes die: somebody suspects one after %.2f s on average, after %.2f s at most", DEAD, mean, first);
    snprintf(text, sizeof text, "%.2f on average: e/(e-1) + 1, and 2 deviations of a mean of %d", suspects, DEAD);
    bar(mean <= suspects, text);
    printf("  failed, as all others know, after %.1f s; %u at most %.1f s after they were suspected", last, soon,
           least + told);
    snprintf(text, sizeof text, "all but one: suspicion of %.1f s, telling; that one in %.1f s", least,
             longer(least) + told);
    bar(run.n_failed == wanted && soon + 1 >= DEAD && all, text);
}

static double cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + SECONDS(t.tv_nsec);
}

int main(int argc, char **argv) {
    double n = 2000, seed = 1;
    if (argc > 1 && !number("members", "NODES", argv[1], 500, MOST - 1, &n)) return 2;
    if (argc > 2 && !number("members", "SEED", argv[2], 0, 1e15, &seed)) return 2;
    run.n = (size_t)n;
    struct mnet_options o = { .n = run.n + 1, .seed = (uint64_t)seed, .seeds = 3, .loss = 0.01, .delay = delay,
                              .event = event };
    orr_membership_config_init(&o.cfg);
    o.cfg.alloc.fn = counted;
    o.cfg.cluster = 1;
    run.net = mnet_new(&o);
    double told = 1.5 * log((double)run.n), begun = cpu();
    join(told);
    double joined = cpu() - begun;
    rest();
    double took = cpu() - begun;
    printf("  until here %.1f s of one core, %.1f s of them to join", took, joined);
    bar(took < 60, "under 60");
    one_more(told);
    die(told, (uint64_t)seed);
    printf("%llu of the living were ever declared failed", (unsigned long long)run.wrong);
    bar(run.wrong == 0, "none");
    printf("%.0f virtual seconds, %llu packets, %.1f s of one core; digest %016llx\n", SECONDS(mnet_now(run.net)),
           (unsigned long long)mnet_packets(run.net), cpu() - begun,
           (unsigned long long)orri_mix64(run.digest, mnet_digest(run.net)));
    mnet_free(run.net);
    return run.missed;
}
