/* trace.c - a scenario as a trace: an oscillator, its peers, a poller, queries; the truth beside each.
 *
 *   trace SCENARIO SEED         lines as spec/bench/clock.c reads them, and with the truth in
 *   trace --list                the scenarios' names
 *
 * X lines: peer t1 t2 t3 t4 true-time delay-out delay-back stratum root-delay root-dispersion; L: peer true-time t1;
 * S: local millicelsius; Q: true-time local true-reference-minus-true-time. ns. */
#include "clock/bench/ways.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_DISPERSION 15259       /* ns: what 1 us is in a packet, rounded up to 2^-16 s */
enum { PEERS = 4, WAITING = 64, OFFSET_NS = 5000000 };

struct reply {
    double at;
    char line[200];
};
struct run {
    const struct scenario *s;
    struct orr_rng oscillator, sensor, loss[PEERS], poller[PEERS], way[PEERS][2];
    uint64_t seed;
    size_t seconds;
    double *phase, *rate, *degrees; /* of each second */
    double next[PEERS];
    unsigned asked[PEERS];
    struct reply waiting[WAITING];
    unsigned n_waiting;
};

static double middle(const struct scenario *s) { return s->hours * 1800; }
static double sine(double amplitude, double t, double period) {
    return period > 0 ? amplitude * sin(2 * PI * t / period) : 0;
}

static void oscillate(struct run *r) {
    const struct scenario *s = r->s;
    double wander = 0, walk = 0, phase = OFFSET_NS * 1e-9;
    r->seconds = (size_t)(s->hours * 3600) + 64;
    r->phase = calloc(r->seconds, sizeof(double));
    r->rate = calloc(r->seconds, sizeof(double));
    r->degrees = calloc(r->seconds, sizeof(double));
    if (!r->phase || !r->rate || !r->degrees) exit(2);
    for (size_t i = 0; i < r->seconds; i++) {
        double t = (double)i;
        r->degrees[i] = 40 + walk + sine(s->degrees, t, s->degrees_period);
        r->rate[i] = 12e-6 + wander + sine(s->sine, t, s->sine_period) + s->per_degree * (r->degrees[i] - 40);
        if (t >= middle(s)) r->rate[i] += s->rate_step;
        r->phase[i] = phase;
        phase += r->rate[i];
        wander += s->wander / 60 * way_normal(&r->oscillator);
        walk += s->degrees_walk / 60 * way_normal(&r->oscillator);
    }
}

/* All in ns since the run's beginning. */
static int64_t local_at(const struct run *r, double t) {
    size_t i = (size_t)t < r->seconds ? (size_t)t : r->seconds - 1;
    return llround((t + r->phase[i] + r->rate[i] * (t - (double)i)) * 1e9);
}
static double reference_at(const struct run *r, double t) { return t >= middle(r->s) ? r->s->reference_step : 0; }
static int64_t peer_at(const struct run *r, unsigned peer, double t) {
    double from = r->s->hours * 1200, shown = t + reference_at(r, t);
    if (peer + 1 == r->s->peers && t >= from) shown += r->s->lie + r->s->creep * (t - from);
    return llround(shown * 1e9);
}

static double delay(struct run *r, unsigned peer, unsigned back, double t) {
    double d = way_delay(back ? &r->s->back : &r->s->out, &r->way[peer][back], r->seed * 64 + peer * 2 + back, t);
    return !back && t >= middle(r->s) ? d + r->s->route_step : d;
}

static void poll(struct run *r, unsigned peer, double t) {
    const struct scenario *s = r->s;
    double jitter = 1 + 0.01 * orri_rng_unit(&r->poller[peer]), from = middle(s);
    r->next[peer] = t + (r->asked[peer]++ < 3 ? 2 : s->poll * jitter);
    bool lost = orri_rng_chance(&r->loss[peer], s->loss);
    double there = t + delay(r, peer, 0, t), leaves = there + s->inside, here = leaves + delay(r, peer, 1, leaves);
    if (lost || (s->outage && t >= from && t < from + 7200)) {
        printf("L %u %lld %" PRId64 "\n", peer, llround(t * 1e9), local_at(r, t));
        return;
    }
    if (r->n_waiting == WAITING) exit(2);
    struct reply *reply = &r->waiting[r->n_waiting++];
    reply->at = here;
    (void)snprintf(reply->line, sizeof reply->line, "X %u %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
                   " %lld %.0f %.0f 1 0 %d\n", peer, local_at(r, t), peer_at(r, peer, there), peer_at(r, peer, leaves),
                   local_at(r, here), llround(t * 1e9), (there - t) * 1e9, (here - leaves) * 1e9, ROOT_DISPERSION);
}

static void query(struct run *r, double t) {
    if (r->s->degrees_period > 0) {
        double shown = r->degrees[(size_t)t] + 0.2 * way_normal(&r->sensor);
        printf("S %" PRId64 " %ld\n", local_at(r, t), lround(shown * 4) * 250);
    }
    printf("Q %lld %" PRId64 " %lld\n", llround(t * 1e9), local_at(r, t), llround(reference_at(r, t) * 1e9));
}

static void come_in(struct run *r, double until) {
    for (;;) {
        unsigned first = 0;
        for (unsigned i = 1; i < r->n_waiting; i++) first = r->waiting[i].at < r->waiting[first].at ? i : first;
        if (r->n_waiting == 0 || r->waiting[first].at > until) return;
        (void)fputs(r->waiting[first].line, stdout);
        r->waiting[first] = r->waiting[--r->n_waiting];
    }
}

static void run(struct run *r) {
    double asks = r->s->query;
    for (;;) {
        unsigned peer = PEERS;
        double t = asks;
        for (unsigned i = 0; i < r->s->peers; i++) {
            if (r->next[i] < t) t = r->next[i], peer = i;
        }
        come_in(r, t);
        if (t > r->s->hours * 3600) return;
        if (peer < PEERS) {
            poll(r, peer, t);
        } else {
            query(r, t);
            asks += r->s->query;
        }
    }
}

int main(int argc, char **argv) {
    static struct run r;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (unsigned i = 0; i < SCENARIOS; i++) printf("%s\n", scenarios[i].name);
        return 0;
    }
    for (unsigned i = 0; argc == 3 && i < SCENARIOS; i++) {
        if (strcmp(argv[1], scenarios[i].name) == 0) r.s = &scenarios[i];
    }
    if (!r.s) {
        (void)fputs("usage: trace SCENARIO SEED | --list\n", stderr);
        return 2;
    }
    r.seed = strtoull(argv[2], NULL, 10);
    orri_rng_init(&r.oscillator, r.seed * 64 + 60);
    orri_rng_init(&r.sensor, r.seed * 64 + 61);
    for (unsigned i = 0; i < PEERS; i++) {
        orri_rng_init(&r.loss[i], r.seed * 64 + i);
        orri_rng_init(&r.poller[i], r.seed * 64 + 10 + i);
        orri_rng_init(&r.way[i][0], r.seed * 64 + 20 + i);
        orri_rng_init(&r.way[i][1], r.seed * 64 + 30 + i);
        r.next[i] = 0.2 + 0.01 * i;
    }
    oscillate(&r);
    run(&r);
    free(r.phase);
    free(r.rate);
    free(r.degrees);
    return 0;
}
