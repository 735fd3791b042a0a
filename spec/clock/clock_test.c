/* clock_test.c - the clock: what it finds, what it promises, steps, temperature, waiting, polling, restarts. */
#include "clock/peers.h"

#include <string.h>

#include "support/alloc.h"

static void a_steady_clock_is_found_and_the_truth_is_always_in_the_interval(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    assert_int_equal(read_clock(&w).state, ORR_CLOCK_UNSYNC);
    poll_all(&w, 1, 200);
    for (unsigned i = 0; i < 100; i++) {
        poll_all(&w, 1, 1);
        assert_true(llabs(error_now(&w)) < 20000);
    }
    struct orr_clock_time t = read_clock(&w);
    assert_int_equal(t.state, ORR_CLOCK_SYNC);
    assert_int_equal(t.epoch, 0);
    assert_int_equal(t.stratum, 2);
    assert_int_equal(t.good, 1);
    assert_true(labs(t.rate_ppt - 12000000) < 50000);       /* 12 ppm to 0.05 */
    assert_true(t.latest - t.earliest < 350000 && t.latest - t.earliest > 200000);
    assert_true(t.likely > 0 && t.likely < 60000);
    peers_end(&w);
}

static void four_peers_are_better_than_one(void **state) {
    (void)state;
    double sum[2] = { 0, 0 };
    for (unsigned k = 0; k < 2; k++) {
        struct peers w;
        unsigned n = k ? 4 : 1;
        peers_begin(&w, n);
        poll_all(&w, n, 100);
        for (unsigned i = 0; i < 3000; i++) {
            poll_all(&w, n, 1);
            double e = (double)error_now(&w);
            sum[k] += e * e;
        }
        assert_int_equal(read_clock(&w).good, ((uint64_t)1 << n) - 1);
        peers_end(&w);
    }
    assert_true(sum[1] < 0.6 * sum[0]);
}

static void what_the_peer_says_of_its_own_error_is_in_the_interval(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    w.root_dispersion = 5000000;
    w.lie[0] = 4900000;
    poll_all(&w, 1, 50);
    assert_holds_truth(&w);
    struct orr_clock_exchange x = exchange_with(&w, 0);
    x.root_delay_ns = 20000000;
    assert_int_equal(give(&w, 0, &x), ORR_CLOCK_USED);
    struct orr_clock_time t = read_clock(&w);
    assert_true(t.latest - (local(&w) + t.offset) > 15000000);      /* earliest stays: it was claimed */
    peers_end(&w);
}

static void an_interval_grows_while_nothing_is_heard(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    poll_all(&w, 1, 300);
    struct orr_clock_time before = read_clock(&w);
    w.rate += 0.9e-6;                                       /* as far as max_drift_ppb allows; the clock goes on: */
    w.offset -= llround((double)(w.time - w.began) * 0.9e-6);
    for (unsigned i = 0; i < 720; i++) {
        w.time += 10 * ORR_SECOND;
        assert_int_equal(orr_clock_lost(w.clock, local(&w), 0), 0);
        assert_holds_truth(&w);
    }
    struct orr_clock_time after = read_clock(&w);
    assert_int_equal(after.state, ORR_CLOCK_HOLDOVER);
    assert_int_equal(before.state, ORR_CLOCK_SYNC);
    assert_true(after.latest - after.earliest > before.latest - before.earliest + 2 * 7200 * 1000);
    assert_true(after.likely > 2 * before.likely);
    poll_all(&w, 1, 5);
    assert_int_equal(read_clock(&w).state, ORR_CLOCK_SYNC);
    peers_end(&w);
}

/* With rate_max nothing that was learned is believed: a clock may go as it likes within it, at any moment. */
static void no_change_of_pace_within_the_largest_rate_takes_the_truth_out(void **state) {
    (void)state;
    struct orr_clock_config config;
    orr_clock_config_init(&config);
    config.peers_max = 1;
    config.rate_max_ppb = 600000;
    struct peers w;
    peers_with(&w, &config, 1);
    struct orr_rng rng;
    orri_rng_init(&rng, 3);
    for (unsigned i = 0; i < 2000; i++) {
        w.offset = local(&w) - w.time;
        w.began = w.time;
        w.rate = 600e-6 * (2 * orri_rng_unit(&rng) - 1);
        if (orri_rng_chance(&rng, 0.7)) (void)ask(&w, 0);
        w.time += orri_rng_between(&rng, 0, 20 * ORR_SECOND);
        struct orr_clock_peer p;
        assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 0, &p), 0);
        if (p.role == ORR_CLOCK_NEW) continue;
        assert_true(p.earliest <= w.time && w.time <= p.latest);
    }
    peers_end(&w);
    config.rate_max_ppb = 10000001;
    assert_int_equal(orr_clock_new(&w.clock, &config), ORR_EINVALID);
}

static void a_peer_that_knows_better_now_knew_worse_before(void **state) {
    (void)state;
    struct orr_clock_config config;
    orr_clock_config_init(&config);
    config.peers_max = 1;
    config.rate_max_ppb = 50000;
    for (unsigned i = 0; i < 50; i++) {
        struct peers w;
        peers_with(&w, &config, 1);
        w.root_dispersion = 200000;
        w.lie[0] = 150000;
        for (unsigned k = 0; k < i + 3; k++) (void)ask(&w, 0);
        w.root_dispersion = 1000;
        w.lie[0] = 0;
        for (unsigned k = 0; k < 5; k++) {
            (void)ask(&w, 0);
            struct orr_clock_peer p;
            assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 0, &p), 0);
            assert_true(p.earliest <= w.time && w.time <= p.latest);
        }
        peers_end(&w);
    }
}

static void one_way_longer_than_the_other_is_not_seen_but_held(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    for (unsigned i = 0; i < 300; i++) {
        struct orr_clock_exchange x = exchange_with(&w, 0);
        w.time += 10000000;
        x.t4 = local(&w);
        (void)give(&w, 0, &x);
        w.time += 16 * ORR_SECOND;
        if (i > 4) assert_holds_truth(&w);
    }
    assert_true(llabs(error_now(&w) + 5000000) < 100000);   /* by half of the 10 ms more on the way back */
    peers_end(&w);
}

/* Queues of 500 us one way, of 5 us the other; root mean square of the error, us, and the peer as it is seen then. */
static double error_of_uneven(bool back, struct orr_clock_peer *p) {
    struct peers w;
    double sum = 0;
    peers_begin(&w, 1);
    for (unsigned i = 0; i < 3000; i++) {
        struct orr_clock_exchange x = { .t1 = local(&w), .stratum = 1 };
        orr_time out = 100000 + (queue(&w) - 100000) * (back ? 1 : 100) / 10;
        orr_time home = 100000 + (queue(&w) - 100000) * (back ? 100 : 1) / 10;
        w.time += out;
        x.t2 = x.t3 = w.time;
        w.time += home;
        x.t4 = local(&w);
        assert_int_equal(give(&w, 0, &x), ORR_CLOCK_USED);
        w.time += 4 * ORR_SECOND;
        if (i >= 1000) sum += pow((double)error_now(&w) / 1e3, 2);
    }
    assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 0, p), 0);
    peers_end(&w);
    return sqrt(sum / 2000);
}
static void queues_that_are_all_on_one_way_are_learned_and_taken_out(void **state) {
    (void)state;
    struct orr_clock_peer p;
    assert_true(error_of_uneven(false, &p) < 3);       /* halfway would be off by 250 in the mean */
    assert_true(p.out_percent >= 90);
    assert_true(error_of_uneven(true, &p) < 3);
    assert_true(p.out_percent <= 10);
    assert_true(p.delay >= 200000 && p.delay < 230000 && p.jitter > 150000);
}

/* -- Steps --------------------------------------------------------------------------------------------------------- */
static void a_step_of_the_reference_is_believed_at_the_second_time(void **state) {
    (void)state;
    for (orr_time by = -20000000; by <= 20000000; by += 40000000) {
        struct peers w;
        peers_begin(&w, 1);
        poll_all(&w, 1, 100);
        w.lie[0] = by;
        assert_int_equal(ask(&w, 0), ORR_CLOCK_HELD_OUT);
        assert_true(llabs(error_now(&w)) < 50000);
        assert_int_equal(read_clock(&w).epoch, 0);
        w.time += 16 * ORR_SECOND;
        assert_int_equal(ask(&w, 0), ORR_CLOCK_STEP);
        struct orr_clock_time t = read_clock(&w);
        assert_int_equal(t.epoch, 1);
        assert_true(llabs(error_now(&w) - by) < 300000);
        assert_true(labs(t.rate_ppt - 12000000) < 100000);  /* the frequency is kept */
        assert_true(t.earliest <= w.time + by && w.time + by <= t.latest);
        peers_end(&w);
    }
}

static void where_most_peers_step_all_of_them_do_at_once(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 4);
    poll_all(&w, 4, 100);
    for (unsigned i = 0; i < 4; i++) w.lie[i] = 20000000;
    assert_int_equal(ask(&w, 0), ORR_CLOCK_HELD_OUT);
    assert_int_equal(ask(&w, 1), ORR_CLOCK_HELD_OUT);
    assert_true(llabs(error_now(&w)) < 50000);
    assert_int_equal(ask(&w, 2), ORR_CLOCK_STEP);
    assert_int_equal(read_clock(&w).epoch, 1);
    assert_true(llabs(error_now(&w) - 20000000) < 300000);
    peers_end(&w);
}

static void a_local_step_begins_an_epoch_and_an_interval_from_scratch(void **state) {
    (void)state;
    const orr_time deltas[] = { 3600 * ORR_SECOND, -3600 * ORR_SECOND, 50000000, ORR_CLOCK_UNKNOWN };
    for (unsigned i = 0; i < sizeof deltas / sizeof *deltas; i++) {
        struct peers w;
        peers_begin(&w, 1);
        poll_all(&w, 1, 100);
        w.offset += deltas[i] == ORR_CLOCK_UNKNOWN ? -77777777777 : deltas[i];
        orr_clock_local_step(w.clock, local(&w), deltas[i]);
        struct orr_clock_time t = read_clock(&w);
        assert_int_equal(t.state, ORR_CLOCK_UNSYNC);
        assert_int_equal(t.epoch, 1);
        assert_false(orr_clock_after(&t, INT64_MIN) || orr_clock_before(&t, INT64_MAX));
        assert_int_equal(orr_clock_wait(w.clock, local(&w), w.time), ORR_NEVER);
        for (unsigned k = 0; k < 3; k++) {
            w.time += 2 * ORR_SECOND;
            assert_int_equal(ask(&w, 0), ORR_CLOCK_USED);
        }
        assert_holds_truth(&w);
        t = read_clock(&w);
        assert_true(labs(t.rate_ppt - 12000000) < 2000000);
        assert_int_equal(t.epoch, 1);
        peers_end(&w);
    }
}

static void a_clock_that_goes_back_is_found_out_without_being_told(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    poll_all(&w, 1, 100);
    struct orr_clock_time t;
    assert_false(orr_clock_now(w.clock, local(&w) - 60 * ORR_SECOND, &t));
    assert_int_equal(t.state, ORR_CLOCK_UNSYNC);
    assert_int_equal(t.epoch, 0);
    w.offset -= 100 * ORR_SECOND;
    assert_int_equal(ask(&w, 0), ORR_CLOCK_USED);
    assert_int_equal(read_clock(&w).epoch, 1);
    assert_int_equal(read_clock(&w).state, ORR_CLOCK_UNSYNC);
    poll_all(&w, 1, 5);
    assert_holds_truth(&w);
    peers_end(&w);
}

/* -- Temperature --------------------------------------------------------------------------------------------------- */
/* Six hours of a clock that follows a sine of an hour, 0.2 ppm a degree, then an hour alone; the error after it. */
static orr_time alone_after(bool sensor, int32_t (*spoil)(unsigned, int32_t)) {
    struct peers w;
    peers_begin(&w, 1);
    double begin = w.rate;
    for (unsigned i = 0; i < 420 * 6; i++) {
        double degrees = 40 + 2.5 * sin(2 * 3.14159265358979 * i / 360) + (i > 2160 ? 2 : 0), was = w.rate;
        w.rate = begin + 0.2e-6 * (degrees - 40);
        w.offset -= llround((double)(w.time - w.began) * (w.rate - was));
        int32_t reading = (int32_t)lround(degrees * 4) * 250;
        if (sensor) orr_clock_temperature(w.clock, local(&w), spoil ? spoil(i, reading) : reading);
        if (i < 2160) (void)ask(&w, 0);
        w.time += 10 * ORR_SECOND;
        if (i > 10) assert_holds_truth(&w);
    }
    orr_time error = llabs(error_now(&w));
    peers_end(&w);
    return error;
}
static int32_t stuck(unsigned i, int32_t reading) { return i > 0 ? 40000 : reading; }
static int32_t jumping(unsigned i, int32_t reading) { return i % 100 == 99 ? reading + 50000 : reading; }
static int32_t in_steps_of_50(unsigned i, int32_t reading) { return i > 2200 ? reading + 50000 : reading; }
static int32_t wild(unsigned i, int32_t reading) { return i % 3 ? reading : i % 2 ? 1000000000 : INT32_MIN; }

static void how_the_frequency_follows_a_sensor_is_learned(void **state) {
    (void)state;
    orr_time without = alone_after(false, NULL), with = alone_after(true, NULL);
    assert_true(without > 500000);
    assert_true(with < without / 3);
    assert_true(alone_after(true, wild) < without / 3);     /* readings that cannot be are left out */
    assert_true(alone_after(true, jumping) < without / 3);
}

static void a_sensor_gone_wrong_does_no_harm_that_the_interval_does_not_hold(void **state) {
    (void)state;
    orr_time without = alone_after(false, NULL);
    assert_true(alone_after(true, stuck) < without * 3 / 2);
    assert_true(alone_after(true, in_steps_of_50) < 20000000);  /* and each read held the truth */
}

/* Peers of which none is followed, each with a rate of its own, as a cluster's nodes are to each other. */
enum { OBSERVED = 3 };
struct seen {
    orr_time error, low, high;      /* of the first one's offset; its interval, from the truth */
};
static void observe(struct peers *w, struct orr_clock_config *config, const void *saved, size_t size) {
    static const double creeps[OBSERVED] = { 10e-6, -30e-6, 3e-6 };
    orr_clock_config_init(config);
    config->mode = peers_mode;
    config->peers_max = OBSERVED;
    config->rate_max_ppb = 500000;
    peers_with(w, config, 0);
    for (uint32_t id = 0; id < OBSERVED; id++) {
        assert_int_equal(orr_clock_peer_add(w->clock, local(w), id, ORR_CLOCK_NOSELECT), 0);
        w->creep[id] = creeps[id];
    }
    w->creep_from = w->began;
    if (saved) assert_int_equal(orr_clock_load(w->clock, saved, size), 0);
}
/* So many readings, 10 s apart; exchanges with all in the first ones; the clock is warmer by `step` behind those. */
static void follow_heat(struct peers *w, unsigned asked, unsigned all, bool sensor, double step) {
    double begin = w->rate;
    for (unsigned i = 0; i < all; i++) {
        double degrees = 40 + 2.5 * sin(2 * 3.14159265358979 * i / 360) + (i > asked ? step : 0), was = w->rate;
        w->rate = begin + 0.2e-6 * (degrees - 40);
        w->offset -= llround((double)(w->time - w->began) * (w->rate - was));
        if (sensor) orr_clock_temperature(w->clock, local(w), (int32_t)lround(degrees * 1000));
        for (uint32_t id = 0; id < OBSERVED && i < asked; id++) (void)ask(w, id);
        w->time += 10 * ORR_SECOND;
    }
}
static struct seen look_at(struct peers *w) {
    struct orr_clock_peer p;
    orr_time truth = shown_by(w, 0, w->time);
    assert_int_equal(orr_clock_peer_info(w->clock, local(w), 0, &p), 0);
    assert_true(p.earliest <= truth && truth <= p.latest);
    return (struct seen){ llabs(local(w) + p.offset - truth), p.earliest - truth, p.latest - truth };
}
static struct seen observed_alone(bool sensor) {
    struct orr_clock_config config;
    struct peers w;
    observe(&w, &config, NULL, 0);
    follow_heat(&w, 2160, 2520, sensor, 2);
    struct seen s = look_at(&w);
    peers_end(&w);
    return s;
}

static void it_is_learned_from_peers_that_are_only_observed_too_and_moves_no_interval(void **state) {
    (void)state;
    struct seen without = observed_alone(false), with = observed_alone(true);
    assert_true(without.error > 500000);
    assert_true(with.error < without.error / 3);
    assert_true(llabs(with.low - without.low) <= 2 && llabs(with.high - without.high) <= 2);
}

static void it_is_known_again_after_a_restart_and_their_rate_is_not(void **state) {
    (void)state;
    unsigned char saved[4096], again[4096];
    struct orr_clock_config config;
    struct peers w, next[2];
    observe(&w, &config, NULL, 0);
    follow_heat(&w, 2160, 2160, true, 0);
    size_t size = orr_clock_save(w.clock, saved, sizeof saved);
    assert_true(size <= sizeof saved);
    peers_end(&w);
    for (unsigned i = 0; i < 2; i++) {              /* ten minutes of it, and an hour alone */
        observe(&next[i], &config, i ? saved : NULL, size);
        assert_true(orr_clock_save(next[i].clock, again, sizeof again) <= sizeof again);
        assert_memory_equal(again + 8, (unsigned char[8]){ 0 }, 8);         /* the frequency: 0.0 */
        follow_heat(&next[i], 60, 420, true, 4);
    }
    struct seen fresh = look_at(&next[0]), knows = look_at(&next[1]);
    assert_true(knows.error < fresh.error / 3);
    peers_end(&next[0]);
    peers_end(&next[1]);
}

/* -- Waiting, polling ---------------------------------------------------------------------------------------------- */
static void waiting_is_long_enough_and_no_longer(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    poll_all(&w, 1, 100);
    for (orr_time ahead = -ORR_SECOND; ahead <= 1000 * ORR_SECOND; ahead += 91 * ORR_SECOND) {
        struct orr_clock_time now = read_clock(&w), then;
        orr_time t = now.latest + ahead, wait = orr_clock_wait(w.clock, local(&w), t);
        assert_true(wait >= 0 && wait < ORR_NEVER);
        assert_true(orr_clock_now(w.clock, local(&w) + wait, &then));
        assert_true(orr_clock_after(&then, t));
        assert_false(orr_clock_before(&then, t));
        if (ahead < 0) {
            assert_int_equal(wait, 0);
            continue;
        }
        assert_true(orr_clock_now(w.clock, local(&w) + wait - wait / 500 - 10, &then));
        assert_false(orr_clock_after(&then, t));
        assert_true(orr_clock_before(&now, now.latest + 1));
        assert_false(orr_clock_before(&now, now.latest));
    }
    assert_int_equal(orr_clock_wait(w.clock, local(&w), ORR_NEVER), ORR_NEVER);
    peers_end(&w);
}

static void peers_are_asked_in_a_burst_and_then_as_often_as_the_bound_needs(void **state) {
    (void)state;
    struct orr_clock_config config;
    orr_clock_config_init(&config);
    config.mode = peers_mode;
    config.poll_min = 2;
    config.poll_max = 10;
    struct peers w;
    peers_with(&w, &config, 1);
    assert_int_equal(orr_clock_next(w.clock, local(&w), 0), local(&w));
    assert_int_equal(orr_clock_next(w.clock, local(&w), 1), ORR_NEVER);
    orr_time longest = 0;
    for (unsigned i = 0; i < 100; i++) {
        orr_time asked = local(&w);
        (void)ask(&w, 0);
        orr_time wait = orr_clock_next(w.clock, local(&w), 0) - asked;
        if (i < 3) assert_true(llabs(wait - 2 * ORR_SECOND) <= 20000000);
        assert_true(wait >= 1980000000 && wait <= 1035 * ORR_SECOND);
        if (wait > longest) longest = wait;
        w.time += wait;
    }
    assert_true(longest > 15 * ORR_SECOND && longest < 130 * ORR_SECOND);   /* 250 us of path bear some 30 s of 1 ppm */
    w.lie[0] = 50000000;
    orr_time asked = local(&w);
    assert_int_equal(ask(&w, 0), ORR_CLOCK_HELD_OUT);
    assert_true(orr_clock_next(w.clock, local(&w), 0) - asked <= 4040000000);       /* soon, to know */
    peers_end(&w);
}

/* -- Restarts ------------------------------------------------------------------------------------------------------ */
static void a_clock_begins_with_what_an_earlier_one_knew(void **state) {
    (void)state;
    struct peers w, again;
    unsigned char saved[1024], more[1024];
    peers_begin(&w, 2);
    poll_all(&w, 2, 200);
    size_t size = orr_clock_save(w.clock, saved, sizeof saved);
    assert_true(size <= sizeof saved);
    assert_int_equal(orr_clock_save(w.clock, NULL, 0), size);
    peers_end(&w);

    peers_begin(&again, 2);
    assert_int_equal(orr_clock_load(again.clock, saved, size), 0);
    assert_int_equal(orr_clock_save(again.clock, more, sizeof more), size);
    assert_memory_equal(more, saved, 16);                   /* magic and frequency; its deviation is larger now */
    assert_memory_equal(more + 24, saved + 24, size - 24 - 8);
    for (unsigned i = 0; i < 3; i++) {
        (void)ask(&again, 0);
        (void)ask(&again, 1);
        again.time += 2 * ORR_SECOND;
    }
    struct orr_clock_time t = read_clock(&again);
    assert_int_equal(t.state, ORR_CLOCK_SYNC);
    assert_true(labs(t.rate_ppt - 12000000) < 5000000);     /* without it, 4 s tell nothing of 12 ppm */
    assert_int_equal(orr_clock_load(again.clock, saved, size), ORR_EINVALID);
    peers_end(&again);
}

static void damaged_bytes_are_refused(void **state) {
    (void)state;
    struct peers w;
    unsigned char saved[1024], bad[1024];
    peers_begin(&w, 2);
    poll_all(&w, 2, 20);
    size_t size = orr_clock_save(w.clock, saved, sizeof saved);
    peers_end(&w);
    peers_begin(&w, 2);
    size_t fresh = orr_clock_save(w.clock, bad, sizeof bad);
    unsigned char before[1024];
    memcpy(before, bad, fresh);
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bad, saved, size);
            bad[i] ^= (unsigned char)(1u << bit);
            assert_int_equal(orr_clock_load(w.clock, bad, size), ORR_ECORRUPT);
        }
        assert_int_equal(orr_clock_load(w.clock, saved, i), ORR_ECORRUPT);
    }
    memcpy(bad, saved, size);
    bad[size] = 0;
    assert_int_equal(orr_clock_load(w.clock, bad, size + 1), ORR_ECORRUPT);
    assert_int_equal(orr_clock_save(w.clock, bad, sizeof bad), fresh);
    assert_memory_equal(bad, before, fresh);                /* nothing of it came in */
    assert_int_equal(orr_clock_load(w.clock, saved, size), 0);
    peers_end(&w);
}

static void a_clock_is_one_allocation(void **state) {
    (void)state;
    struct orr_clock_config config;
    struct orr_clock *c;
    orr_clock_config_init(&config);
    config.mode = peers_mode;
    SPEC_EACH_FAILURE(a) {
        const struct orr_alloc alloc = spec_alloc_of(&a);
        config.alloc = &alloc;
        int rc = orr_clock_new(&c, &config);
        assert_int_equal(rc == 0, !a.failed);
        if (rc == 0) {
            assert_int_equal(a.n_calls, 1);
            orr_clock_free(c);
        }
        spec_alloc_check(&a);
    }
    orr_clock_free(NULL);
    assert_true(orr_clock_bytes(peers_mode, 2) - orr_clock_bytes(peers_mode, 1) <= 16384);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_clock_is_found_and_the_truth_is_always_in_the_interval),
        cmocka_unit_test(four_peers_are_better_than_one),
        cmocka_unit_test(what_the_peer_says_of_its_own_error_is_in_the_interval),
        cmocka_unit_test(an_interval_grows_while_nothing_is_heard),
        cmocka_unit_test(no_change_of_pace_within_the_largest_rate_takes_the_truth_out),
        cmocka_unit_test(a_peer_that_knows_better_now_knew_worse_before),
        cmocka_unit_test(one_way_longer_than_the_other_is_not_seen_but_held),
        cmocka_unit_test(queues_that_are_all_on_one_way_are_learned_and_taken_out),
        cmocka_unit_test(a_step_of_the_reference_is_believed_at_the_second_time),
        cmocka_unit_test(where_most_peers_step_all_of_them_do_at_once),
        cmocka_unit_test(a_local_step_begins_an_epoch_and_an_interval_from_scratch),
        cmocka_unit_test(a_clock_that_goes_back_is_found_out_without_being_told),
        cmocka_unit_test(how_the_frequency_follows_a_sensor_is_learned),
        cmocka_unit_test(a_sensor_gone_wrong_does_no_harm_that_the_interval_does_not_hold),
        cmocka_unit_test(it_is_learned_from_peers_that_are_only_observed_too_and_moves_no_interval),
        cmocka_unit_test(it_is_known_again_after_a_restart_and_their_rate_is_not),
        cmocka_unit_test(waiting_is_long_enough_and_no_longer),
        cmocka_unit_test(peers_are_asked_in_a_burst_and_then_as_often_as_the_bound_needs),
        cmocka_unit_test(a_clock_begins_with_what_an_earlier_one_knew),
        cmocka_unit_test(damaged_bytes_are_refused),
        cmocka_unit_test(a_clock_is_one_allocation),
    };
    int failed = 0;
    for (peers_mode = ORR_CLOCK_NTP; peers_mode <= ORR_CLOCK_PACEMAKER; peers_mode++) {
        failed += cmocka_run_group_tests_name(peers_modes[peers_mode], tests, NULL, NULL);
    }
    return failed;
}
