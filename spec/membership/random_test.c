/* random_test.c - memberships against a network and fates that are what they may be.
 *
 * Each seed draws a cluster - open, or by the file, in which not all may talk to all; now and then by heartbeats - and
 * which faults strike, how hard: loss, duplicates, delays beyond a probe's timeout, cuts one way and both, nodes that
 * stand still, die, come back, leave. Asked of it:
 *
 *   - what events say and what a look shows go together, at each node, at any time;
 *   - when faults end, all views are equal, and true, within orr_membership_bound();
 *   - then nothing happens any more;
 *   - where only packets are lost, nobody who lives is held to have failed for longer than his word takes.
 *
 * MEMBER_SEEDS=FIRST:LAST runs others than the usual ones; a failure prints the seed. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/member_net.h"

enum { MOST = 10 };

struct rates {
    double cut, one_way, pause, kill, leave, start;     /* chances, each step of chaos */
};
struct run {
    uint64_t seed;
    struct mnet *net;
    struct mnet_options o;
    struct rates rates;
    struct orr_rng rng;
    bool talk[MOST][MOST], by_hearsay;
    int seen[MOST][MOST];           /* by events; -1: nothing */
    orr_time failed_at[MOST][MOST]; /* 0: it isn't */
    bool left[MOST];                /* said that it leaves, in some life: a later one may not have been heard of */
    bool calm;                      /* no event is due */
    char breach[200];
};
static struct {
    uint64_t events[ORR_MEMBER_CHANGES + 1], packets, kills, starts, leaves, cuts, pauses;
    uint64_t hearsay, open, forgot, heartbeats;
    orr_time longest, wronged;
} total;

static void breach(struct run *r, const char *what, size_t at, size_t of) {
    if (!r->breach[0]) snprintf(r->breach, sizeof r->breach, "at %.3f s: %s, n%04zu of n%04zu",
                                (double)mnet_now(r->net) / 1e9, what, at, of);
}

/* -- Events -------------------------------------------------------------------------------------------------------- */
/* What may have been before each; a tombstone is taken over without an event. */
static bool may_follow(int was, enum orr_member_event_kind kind) {
    bool here = was == ORR_MEMBER_ALIVE || was == ORR_MEMBER_SUSPECT;
    switch (kind) {
    case ORR_MEMBER_JOINS: return was == -1 || was == ORR_MEMBER_LEFT;
    case ORR_MEMBER_SUSPECTED: return was == ORR_MEMBER_ALIVE;
    case ORR_MEMBER_REFUTED: return was == ORR_MEMBER_SUSPECT;
    case ORR_MEMBER_FAILS: return here || was == ORR_MEMBER_LEFT || was == -1;      /* in a life not heard of */
    case ORR_MEMBER_RETURNS: return was == ORR_MEMBER_FAILED || was == -1;
    case ORR_MEMBER_LEAVES: return was != ORR_MEMBER_LEFT;
    case ORR_MEMBER_CHANGES: return was == ORR_MEMBER_ALIVE;
    }
    return false;
}

static int state_after(int was, enum orr_member_event_kind kind) {
    switch (kind) {
    case ORR_MEMBER_SUSPECTED: return ORR_MEMBER_SUSPECT;
    case ORR_MEMBER_FAILS: return ORR_MEMBER_FAILED;
    case ORR_MEMBER_LEAVES: return ORR_MEMBER_LEFT;
    case ORR_MEMBER_CHANGES: return was;
    default: return ORR_MEMBER_ALIVE;
    }
}

static void event(void *ud, size_t node, const struct orr_membership_ready *e) {
    struct run *r = ud;
    size_t of = mnet_number(r->net, e->event.id);
    if (of >= r->o.n || of == node) {
        breach(r, "an event of nobody", node, of);
        return;
    }
    int *seen = &r->seen[node][of];
    bool forgot = r->o.cfg.forget > 0 && *seen >= ORR_MEMBER_FAILED;        /* or may have, since the last look */
    bool fits = may_follow(*seen, e->event.kind) || (forgot && may_follow(-1, e->event.kind));
    if (!fits) breach(r, "an event that can't be", node, of);
    if (r->calm) breach(r, "an event though all is well", node, of);
    if (strcmp(e->event.name, mnet_name(r->net, of)) != 0) breach(r, "an event with another name", node, of);
    *seen = state_after(*seen, e->event.kind);
    r->failed_at[node][of] = *seen == ORR_MEMBER_FAILED ? mnet_now(r->net) : 0;
    total.events[e->event.kind]++;
}

/* -- Draws --------------------------------------------------------------------------------------------------------- */
static double strength(struct orr_rng *rng, double most) {      /* half of the seeds are without */
    return orri_rng_chance(rng, 0.5) ? orri_rng_unit(rng) * most : 0;
}

static bool may_talk(void *ud, size_t a, size_t b) {
    const struct run *r = ud;
    return r->talk[a][b];
}

/* All may talk to n0000, so nobody is apart. */
static void draw_ways(struct run *r) {
    bool some = orri_rng_chance(&r->rng, 0.3) && r->o.cfg.detector == ORR_DETECTOR_SWIM;
    for (size_t a = 0; a < MOST; a++) {
        for (size_t b = 0; b < a; b++) r->talk[a][b] = r->talk[b][a] = b == 0 || !some || orri_rng_chance(&r->rng, 0.6);
    }
    r->by_hearsay = some;
    total.hearsay += some;
}

static void draw_config(struct run *r, struct orr_membership_config *c) {
    orr_membership_config_init(c);
    c->probe_interval = 100 * ORR_MS;
    c->probe_timeout = 40 * ORR_MS;
    c->gossip_interval = 20 * ORR_MS;
    c->sync_interval = 500 * ORR_MS;
    c->gossip_dead = 3 * ORR_SECOND;
    c->suspicion_mult = orri_rng_chance(&r->rng, 0.5) ? 4 : 3;
    c->suspicion_max_mult = orri_rng_chance(&r->rng, 0.5) ? 6 : 3;
    c->awareness_max = orri_rng_chance(&r->rng, 0.5) ? 8 : 3;
    c->indirect = (unsigned)orri_rng_below(&r->rng, 4);
    c->forget = orri_rng_chance(&r->rng, 0.2) ? 3 * ORR_SECOND : 0;
    if (orri_rng_chance(&r->rng, 0.2)) {            /* by heartbeats: all that is seen is seen by oneself */
        c->detector = orri_rng_chance(&r->rng, 0.5) ? ORR_DETECTOR_PHI : ORR_DETECTOR_DEADLINE;
        c->silence = 600 * ORR_MS;
        total.heartbeats++;
    }
    total.forgot += c->forget > 0;
}

static void draw(struct run *r) {
    struct mnet_options *o = &r->o;
    orri_rng_init(&r->rng, r->seed * 2 + 1);
    o->n = 2 + orri_rng_below(&r->rng, MOST - 1);
    o->seed = r->seed;
    o->seeds = orri_rng_chance(&r->rng, 0.3) ? 1 + orri_rng_below(&r->rng, 2) : 0;
    total.open += o->seeds > 0;
    draw_config(r, &o->cfg);
    draw_ways(r);
    if (o->seeds == 0) o->may_talk = may_talk;
    o->event = event;
    o->ud = r;
    o->loss = strength(&r->rng, 0.3);
    o->duplicate = strength(&r->rng, 0.3);
    o->delay_max = orri_rng_chance(&r->rng, 0.7) ? 5 * ORR_MS : 60 * ORR_MS;
    bool mild = orri_rng_chance(&r->rng, 0.2);
    if (mild) return;
    r->rates = (struct rates){ .cut = strength(&r->rng, 0.5), .one_way = orri_rng_unit(&r->rng),
                               .pause = strength(&r->rng, 0.2), .kill = strength(&r->rng, 0.15),
                               .leave = strength(&r->rng, 0.1), .start = 0.2 };
}

static orr_time bound(const struct run *r) { return orr_membership_bound(&r->o.cfg, r->o.n); }

/* -- Chaos --------------------------------------------------------------------------------------------------------- */
static void start(struct run *r, size_t i) {
    for (size_t k = 0; k < r->o.n; k++) {
        r->seen[i][k] = -1;
        r->failed_at[i][k] = 0;
    }
    mnet_start(r->net, i);
    total.starts++;
}

static void cut(struct run *r) {
    size_t a = orri_rng_below(&r->rng, r->o.n), b = orri_rng_below(&r->rng, r->o.n);
    bool on = orri_rng_chance(&r->rng, 0.5);
    mnet_cut(r->net, a, b, on);
    if (!orri_rng_chance(&r->rng, r->rates.one_way)) mnet_cut(r->net, b, a, on);
    total.cuts += on;
}

static void split(struct run *r) {
    uint64_t side = orri_rng_next(&r->rng);
    for (size_t a = 0; a < r->o.n; a++) {
        for (size_t b = 0; b < r->o.n; b++) mnet_cut(r->net, a, b, (side >> a & 1) != (side >> b & 1));
    }
    total.cuts++;
}

static void strike(struct run *r) {
    const struct rates *c = &r->rates;
    size_t i = orri_rng_below(&r->rng, r->o.n);
    bool up = mnet_of(r->net, i) != NULL;
    if (orri_rng_chance(&r->rng, c->cut)) orri_rng_chance(&r->rng, 0.2) ? split(r) : cut(r);
    if (orri_rng_chance(&r->rng, c->pause) && up) {
        mnet_pause(r->net, i, !mnet_is_paused(r->net, i));
        total.pauses++;
    }
    up = mnet_of(r->net, i) != NULL;
    if (orri_rng_chance(&r->rng, c->kill) && up) {
        mnet_kill(r->net, i);
        total.kills++;
    } else if (orri_rng_chance(&r->rng, c->leave) && up && !mnet_is_paused(r->net, i)) {
        r->left[i] = true;
        mnet_leave(r->net, i);
        total.leaves++;
    }
    if (orri_rng_chance(&r->rng, c->start) && !mnet_of(r->net, i)) start(r, i);
}

static void look(struct run *r) {
    for (size_t at = 0; at < r->o.n; at++) {
        for (size_t of = 0; of < r->o.n && mnet_of(r->net, at); of++) {
            int sees = mnet_sees(r->net, at, of);
            bool forgot = r->o.cfg.forget > 0 && r->seen[at][of] >= ORR_MEMBER_FAILED;
            if (forgot && sees == -1) r->seen[at][of] = -1;
            bool tombstone = (forgot || r->seen[at][of] == -1) && sees >= ORR_MEMBER_FAILED;
            if (at != of && sees != r->seen[at][of] && !tombstone) breach(r, "events tell another state", at, of);
            if (sees != ORR_MEMBER_FAILED) r->failed_at[at][of] = 0;
            else if (r->failed_at[at][of] == 0) r->failed_at[at][of] = mnet_now(r->net);
        }
    }
}

/* Who is held failed hears of it when he probes those who hold him so, and refutes: so long as a few probes of his take
 * at their slowest, for some are lost. Where one may talk to him alone, his turn has to come. */
static orr_time refutation(const struct run *r) {
    orr_time probes = 8 + (r->by_hearsay ? 2 * (orr_time)r->o.n - 1 : 0);
    return probes * r->o.cfg.awareness_max * r->o.cfg.probe_interval;
}

/* Of seeds in which packets are lost, and no worse. */
static void nobody_is_wronged(struct run *r) {
    for (size_t at = 0; at < r->o.n; at++) {
        for (size_t of = 0; of < r->o.n; of++) {
            orr_time since = r->failed_at[at][of];
            if (since == 0) continue;
            if (mnet_now(r->net) - since > total.wronged) total.wronged = mnet_now(r->net) - since;
            if (mnet_now(r->net) - since > refutation(r)) breach(r, "held failed for too long", at, of);
        }
    }
}

static void chaos(struct run *r) {
    bool mild = r->rates.start == 0;
    for (unsigned i = 0; i < (mild ? 300 : 60) && !r->breach[0]; i++) {
        if (!mild) strike(r);
        mnet_run(r->net, 100 * ORR_MS);
        look(r);
        if (mild) nobody_is_wronged(r);
    }
}

/* -- Calm ---------------------------------------------------------------------------------------------------------- */
static bool is_up(const struct run *r, size_t i) { return mnet_of(r->net, i) && !mnet_is_leaving(r->net, i); }

static bool is_true(const struct run *r, size_t at, size_t of) {
    int sees = mnet_sees(r->net, at, of);
    if (is_up(r, of)) return sees == ORR_MEMBER_ALIVE;
    if (r->left[of]) return sees == -1 || sees == ORR_MEMBER_LEFT || sees == ORR_MEMBER_FAILED;
    return sees == -1 || sees == ORR_MEMBER_FAILED;
}

static bool same(const struct run *r, size_t a, size_t b, size_t of) {
    struct orr_member_info x, y;
    bool here = orr_membership_find(mnet_of(r->net, a), mnet_id(r->net, of), &x);
    bool there = orr_membership_find(mnet_of(r->net, b), mnet_id(r->net, of), &y);
    if (r->o.cfg.forget > 0 && (!here || !there)) return true;
    if (r->o.cfg.detector != ORR_DETECTOR_SWIM) {           /* of a life that failed nobody tells, only of who left */
        bool left = here && there && (x.state == ORR_MEMBER_LEFT) != (y.state == ORR_MEMBER_LEFT);
        return !left || x.incarnation != y.incarnation;
    }
    return here == there && (!here || (x.state == y.state && x.incarnation == y.incarnation));
}

static bool converged(const struct run *r) {
    size_t first = SIZE_MAX;
    for (size_t at = 0; at < r->o.n; at++) {
        if (!is_up(r, at)) continue;
        for (size_t of = 0; of < r->o.n; of++) {
            if (!is_true(r, at, of) || (first != SIZE_MAX && !same(r, first, at, of))) return false;
        }
        if (first == SIZE_MAX) first = at;
    }
    return true;
}

static void converge(struct run *r, orr_time since) {
    while (!converged(r) && !r->breach[0]) {
        if (mnet_now(r->net) - since > bound(r)) breach(r, "healed, but views differ", r->o.n, r->o.n);
        mnet_run(r->net, 50 * ORR_MS);
        look(r);
    }
    if (mnet_now(r->net) - since > total.longest) total.longest = mnet_now(r->net) - since;
}

/* What was probed last when packets were still lost may be suspected after all. */
static void calm(struct run *r) {
    size_t hubs = r->o.seeds ? r->o.seeds : 1;
    mnet_heal(r->net);
    for (size_t i = 0; i < hubs && i < r->o.n; i++) {
        if (!is_up(r, i)) start(r, i);
    }
    orr_time since = mnet_now(r->net);
    converge(r, since);
    mnet_run(r->net, 2 * r->o.cfg.awareness_max * r->o.cfg.probe_interval);
    look(r);
    converge(r, since);
    r->calm = r->o.delay_max < 40 * ORR_MS / 4;     /* or probes time out for ever */
    mnet_run(r->net, 2 * ORR_SECOND);
    look(r);
}

static void run_seed(uint64_t seed) {
    static struct run r;
    r = (struct run){ .seed = seed };
    draw(&r);
    r.net = mnet_new(&r.o);
    for (size_t i = 0; i < r.o.n; i++) start(&r, i);
    chaos(&r);
    if (!r.breach[0]) calm(&r);
    total.packets += mnet_packets(r.net);
    mnet_free(r.net);
    if (r.breach[0]) fail_msg("seed %llu (%zu nodes) %s", (unsigned long long)seed, r.o.n, r.breach);
}

/* Under a sanitizer each takes ten times as long and more: fewer of them, and a floor of work to match. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SEEDS = 400 };
#else
enum { SEEDS = 4000 };
#endif

/* Of 4,000 seeds. */
static bool is_at_least(uint64_t n, uint64_t of_all) { return n > of_all * SEEDS / 4000; }

#define LLU(x) ((unsigned long long)(x))
static void many_seeds(void **state) {
    (void)state;
    unsigned long long first = 1, last = SEEDS;
    const char *range = getenv("MEMBER_SEEDS");
    if (range) sscanf(range, "%llu:%llu", &first, &last);
    for (unsigned long long seed = first; seed <= last; seed++) run_seed(seed);
    print_message("%llu packets, %llu joins, %llu suspected, %llu refuted, %llu failed, %llu returned, %llu left; ",
                  LLU(total.packets), LLU(total.events[ORR_MEMBER_JOINS]), LLU(total.events[ORR_MEMBER_SUSPECTED]),
                  LLU(total.events[ORR_MEMBER_REFUTED]), LLU(total.events[ORR_MEMBER_FAILS]),
                  LLU(total.events[ORR_MEMBER_RETURNS]), LLU(total.events[ORR_MEMBER_LEAVES]));
    print_message("%llu kills, %llu starts, %llu leaves, %llu cuts, %llu pauses; ", LLU(total.kills),
                  LLU(total.starts), LLU(total.leaves), LLU(total.cuts), LLU(total.pauses));
    print_message("%llu open, %llu by hearsay, %llu with short memory, %llu by heartbeats; ", LLU(total.open),
                  LLU(total.hearsay), LLU(total.forgot), LLU(total.heartbeats));
    print_message("all views equal after %.1f s at most; somebody wronged for %.1f s\n", (double)total.longest / 1e9,
                  (double)total.wronged / 1e9);
    if (range) return;                      /* else a floor of work */
    assert_true(is_at_least(total.events[ORR_MEMBER_JOINS], 150000));
    assert_true(is_at_least(total.events[ORR_MEMBER_REFUTED], 200000));
    assert_true(is_at_least(total.events[ORR_MEMBER_FAILS], 40000));
    assert_true(is_at_least(total.events[ORR_MEMBER_RETURNS], 30000));
    assert_true(is_at_least(total.events[ORR_MEMBER_LEAVES], 9000));
    assert_true(is_at_least(total.kills, 4000) && is_at_least(total.pauses, 6000));
    assert_true(is_at_least(total.cuts, 10000) && is_at_least(total.open, 700));
    assert_true(is_at_least(total.hearsay, 700) && is_at_least(total.heartbeats, 600));
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(many_seeds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
