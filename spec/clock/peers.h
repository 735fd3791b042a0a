/* peers.h - for the clock's tests: a local clock that is wrong, peers over a network with queues, and the truth.
 *
 * `time` is the truth, ns. The local clock is off and runs at a rate of its own; a peer shows the truth and what it
 * lies by. Delays are 100 us each way and an exponential queue of 50 us in the mean. */
#ifndef SPEC_CLOCK_PEERS_H
#define SPEC_CLOCK_PEERS_H

#include <math.h>
#include <stdlib.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <orrery/clock.h>

#include "base/rng.h"

enum { PEERS_MOST = 64 };
static enum orr_clock_mode peers_mode;      /* of the clocks that are made: a file's tests are run in both */
static const char *const peers_modes[] = { "ntp", "pacemaker" };
struct peers {
    struct orr_clock *clock;
    struct orr_rng rng;
    orr_time time, began;
    double rate;                    /* local against the truth: positive is fast */
    orr_time offset;                /* local minus truth, when it began */
    orr_time lie[PEERS_MOST];
    double creep[PEERS_MOST];       /* s/s, from creep_from on */
    orr_time creep_from;
    orr_time earliest;              /* the last that was read, of this epoch */
    uint32_t epoch;
    uint32_t root_dispersion;
    uint64_t reads;
};

static inline orr_time local_at(const struct peers *w, orr_time time) {
    return time + w->offset + llround((double)(time - w->began) * w->rate);
}
static inline orr_time local(const struct peers *w) { return local_at(w, w->time); }

static inline void peers_with(struct peers *w, const struct orr_clock_config *config, unsigned n) {
    *w = (struct peers){ .time = 1700000000 * ORR_SECOND, .began = 1700000000 * ORR_SECOND, .rate = 12e-6,
                         .offset = -1699990000 * ORR_SECOND, .root_dispersion = 1000, .earliest = INT64_MIN };
    assert_int_equal(orr_clock_new(&w->clock, config), 0);
    for (uint32_t i = 0; i < n; i++) assert_int_equal(orr_clock_peer_add(w->clock, local(w), i, 0), 0);
    orri_rng_init(&w->rng, 7 + n);
}
static inline void peers_begin(struct peers *w, unsigned n) {
    struct orr_clock_config config;
    orr_clock_config_init(&config);
    config.mode = peers_mode;
    config.peers_max = n;
    peers_with(w, &config, n);
}
static inline void peers_end(struct peers *w) { orr_clock_free(w->clock); }

static inline orr_time queue(struct peers *w) {
    return 100000 + (orr_time)(-50000 * log(1 - orri_rng_unit(&w->rng)));
}
static inline orr_time shown_by(const struct peers *w, uint32_t id, orr_time time) {
    orr_time creeping = time > w->creep_from ? time - w->creep_from : 0;
    return time + w->lie[id] + llround((double)creeping * w->creep[id]);
}
/* What an exchange that begins now would be; the time goes on to its end. */
static inline struct orr_clock_exchange exchange_with(struct peers *w, uint32_t id) {
    struct orr_clock_exchange x = { .stratum = 1, .root_dispersion_ns = w->root_dispersion };
    x.t1 = local(w);
    w->time += queue(w);
    x.t2 = shown_by(w, id, w->time);
    w->time += 5000;
    x.t3 = shown_by(w, id, w->time);
    w->time += queue(w);
    x.t4 = local(w);
    return x;
}
static inline int give(struct peers *w, uint32_t id, const struct orr_clock_exchange *x) {
    return orr_clock_sample(w->clock, local(w), id, x);
}
static inline int ask(struct peers *w, uint32_t id) {
    struct orr_clock_exchange x = exchange_with(w, id);
    return give(w, id, &x);
}

/* Reads the clock; whatever it says, it says it in order, and within an epoch `earliest` doesn't go back. */
static inline struct orr_clock_time read_clock(struct peers *w) {
    struct orr_clock_time t;
    w->reads++;
    if (!orr_clock_now(w->clock, local(w), &t)) {
        assert_int_equal(t.state, ORR_CLOCK_UNSYNC);
        return t;
    }
    assert_true(t.earliest <= t.latest);
    assert_true(t.offset >= t.earliest - local(w) && t.offset <= t.latest - local(w));
    if (t.state == ORR_CLOCK_UNSYNC) return t;
    if (t.epoch == w->epoch) assert_true(t.earliest >= w->earliest);
    w->epoch = t.epoch;
    w->earliest = t.earliest;
    return t;
}
static inline void assert_holds_truth(struct peers *w) {
    struct orr_clock_time t = read_clock(w);
    assert_int_not_equal(t.state, ORR_CLOCK_UNSYNC);
    assert_true(t.earliest <= w->time && w->time <= t.latest);
}
static inline orr_time error_now(struct peers *w) {
    struct orr_clock_time t = read_clock(w);
    assert_int_not_equal(t.state, ORR_CLOCK_UNSYNC);
    return local(w) + t.offset - w->time;
}

/* `rounds` times all peers are asked, 16 s apart, and the truth is looked for in the interval all the while. */
static inline void poll_all(struct peers *w, unsigned n, unsigned rounds) {
    for (unsigned i = 0; i < rounds; i++) {
        for (uint32_t id = 0; id < n; id++) (void)ask(w, id);
        for (unsigned j = 0; j < 4; j++) {
            w->time += 4 * ORR_SECOND;
            struct orr_clock_time t = read_clock(w);
            if (t.state != ORR_CLOCK_UNSYNC) assert_true(t.earliest <= w->time && w->time <= t.latest);
        }
    }
}

#endif
