/* clock_pace_test.c - mode pacemaker beside mode ntp: what it is better at, what it leaves as it is; and its parts. */
#include "clock/peers.h"

#include <string.h>

#include "base/codec.h"
#include "base/hash.h"
#include "clock/clock_inner.h"

/* -- Two clocks of both modes that hear the same ------------------------------------------------------------------- */
typedef orr_time way_fn(struct orr_rng *rng, bool back);

static orr_time exponential(struct orr_rng *rng, double mean) {
    return (orr_time)(-mean * log(1 - orri_rng_unit(rng)));
}
/* A way that is free one time in five. */
static orr_time busy(struct orr_rng *rng, bool back) {
    (void)back;
    return 20000 + (orr_time)orri_rng_below(rng, 40) + (orri_rng_chance(rng, 0.8) ? exponential(rng, 10000) : 0);
}
static orr_time plain(struct orr_rng *rng, bool back) {
    (void)back;
    return 100000 + exponential(rng, 50000);
}
static orr_time uneven(struct orr_rng *rng, bool back) { return 100000 + exponential(rng, back ? 5000 : 500000); }

struct pair {
    struct peers of[2];             /* by mode; both draw the same */
    orr_time longer;                /* the way out, from now on */
};
struct errors {
    double rms[2];                  /* ns, by mode */
};

static void pair_begin(struct pair *p, unsigned peers) {
    *p = (struct pair){ .longer = 0 };
    for (peers_mode = ORR_CLOCK_NTP; peers_mode <= ORR_CLOCK_PACEMAKER; peers_mode++) {
        peers_begin(&p->of[peers_mode], peers);
    }
}
static void pair_end(struct pair *p) {
    for (unsigned i = 0; i < 2; i++) peers_end(&p->of[i]);
}

static int over(struct peers *w, uint32_t id, way_fn *way, orr_time longer) {
    struct orr_clock_exchange x = { .stratum = 1, .root_dispersion_ns = w->root_dispersion };
    x.t1 = local(w);
    w->time += way(&w->rng, false) + longer;
    x.t2 = shown_by(w, id, w->time);
    w->time += 1000;
    x.t3 = shown_by(w, id, w->time);
    w->time += way(&w->rng, true);
    x.t4 = local(w);
    return give(w, id, &x);
}

/* Both hear the same, and promise the same; how far each is from the truth. */
static struct errors hear(struct pair *p, way_fn *way, double spacing, unsigned rounds) {
    struct errors e = { { 0, 0 } };
    for (unsigned i = 0; i < rounds; i++) {
        struct orr_clock_time t[2];
        for (unsigned mode = 0; mode < 2; mode++) {
            struct peers *w = &p->of[mode];
            (void)over(w, 0, way, p->longer);
            w->time += (orr_time)(spacing * 1e9);
            t[mode] = read_clock(w);
            double error = (double)(local(w) + t[mode].offset - w->time);
            e.rms[mode] += error * error / rounds;
        }
        assert_int_equal(t[0].state, t[1].state);
        assert_int_equal(t[0].earliest, t[1].earliest);
        assert_int_equal(t[0].latest, t[1].latest);
        assert_int_equal(t[0].good, t[1].good);
        assert_int_equal(t[0].epoch, t[1].epoch);
        assert_int_equal(t[0].likely, t[1].likely);
    }
    for (unsigned mode = 0; mode < 2; mode++) e.rms[mode] = sqrt(e.rms[mode]);
    return e;
}

static void where_switches_are_busy_it_finds_the_free_ones(void **state) {
    (void)state;
    struct pair p;
    pair_begin(&p, 1);
    (void)hear(&p, busy, 1, 300);
    struct errors e = hear(&p, busy, 1, 3000);
    assert_true(e.rms[ORR_CLOCK_PACEMAKER] < 15);
    assert_true(e.rms[ORR_CLOCK_PACEMAKER] < 0.3 * e.rms[ORR_CLOCK_NTP]);
    pair_end(&p);
}

static void it_is_better_under_plain_jitter(void **state) {
    (void)state;
    struct pair p;
    pair_begin(&p, 1);
    (void)hear(&p, plain, 16, 200);
    struct errors e = hear(&p, plain, 16, 3000);
    assert_true(e.rms[ORR_CLOCK_PACEMAKER] < 0.9 * e.rms[ORR_CLOCK_NTP]);
    pair_end(&p);
}

static void queues_on_one_way_do_not_move_it(void **state) {
    (void)state;
    struct pair p;
    double sum = 0;
    pair_begin(&p, 1);
    (void)hear(&p, uneven, 16, 300);
    for (unsigned i = 0; i < 1000; i++) {
        (void)hear(&p, uneven, 16, 1);
        sum += (double)error_now(&p.of[ORR_CLOCK_PACEMAKER]);
    }
    assert_true(fabs(sum / 1000) < 2000);                   /* of 500 us of queue on the way out, 5 on the way back */
    struct errors e = hear(&p, uneven, 16, 1000);
    assert_true(e.rms[ORR_CLOCK_PACEMAKER] < 0.7 * e.rms[ORR_CLOCK_NTP]);
    pair_end(&p);
}

/* Every request takes 200 us more from now on, no reply does: that is a longer way, not a clock that moved. */
static void a_way_that_becomes_longer_is_no_moved_clock(void **state) {
    (void)state;
    struct pair p;
    pair_begin(&p, 1);
    (void)hear(&p, plain, 16, 500);
    p.longer = 200000;
    struct errors e = hear(&p, plain, 16, 1000);
    assert_true(e.rms[ORR_CLOCK_NTP] > 50000);
    assert_true(e.rms[ORR_CLOCK_PACEMAKER] < 10000);
    pair_end(&p);
}

static void a_clock_that_changes_its_rate_is_followed(void **state) {
    (void)state;
    struct pair p;
    pair_begin(&p, 1);
    (void)hear(&p, plain, 16, 500);
    for (unsigned mode = 0; mode < 2; mode++) {
        struct peers *w = &p.of[mode];
        w->offset -= llround((double)(w->time - w->began) * 0.9e-6);
        w->rate += 0.9e-6;
    }
    struct errors at_once = hear(&p, plain, 16, 20), later = hear(&p, plain, 16, 300);
    assert_true(at_once.rms[ORR_CLOCK_PACEMAKER] < 1.2 * at_once.rms[ORR_CLOCK_NTP]);
    assert_true(later.rms[ORR_CLOCK_PACEMAKER] < 1.2 * later.rms[ORR_CLOCK_NTP]);
    pair_end(&p);
}

static void steps_begin_it_anew_and_what_it_learned_stays(void **state) {
    (void)state;
    struct pair p;
    pair_begin(&p, 1);
    (void)hear(&p, plain, 16, 500);
    for (unsigned mode = 0; mode < 2; mode++) p.of[mode].lie[0] = 20000000;     /* the reference */
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned mode = 0; mode < 2; mode++) {
            (void)over(&p.of[mode], 0, plain, 0);
            p.of[mode].time += 16 * ORR_SECOND;
        }
    }
    for (unsigned mode = 0; mode < 2; mode++) {
        p.of[mode].lie[0] = 0;
        p.of[mode].time += 20000000;
        p.of[mode].offset -= 20000000;                      /* and what it shows is the truth */
    }
    struct errors e = hear(&p, plain, 16, 300);
    assert_true(e.rms[ORR_CLOCK_PACEMAKER] < 1.05 * e.rms[ORR_CLOCK_NTP]);

    for (unsigned mode = 0; mode < 2; mode++) {             /* the local clock, by an hour, and it is told */
        p.of[mode].offset += 3600 * ORR_SECOND;
        orr_clock_local_step(p.of[mode].clock, local(&p.of[mode]), 3600 * ORR_SECOND);
        for (unsigned i = 0; i < 4; i++) {
            (void)over(&p.of[mode], 0, plain, 0);
            p.of[mode].time += 16 * ORR_SECOND;
        }
    }
    e = hear(&p, plain, 16, 300);
    assert_true(e.rms[ORR_CLOCK_PACEMAKER] < 1.05 * e.rms[ORR_CLOCK_NTP]);
    pair_end(&p);
}

/* 100 ppm for two days: offsets leave the origin that they are against, and it follows. */
static void a_clock_that_runs_far_away_is_followed(void **state) {
    (void)state;
    struct pair p;
    pair_begin(&p, 1);
    for (unsigned mode = 0; mode < 2; mode++) p.of[mode].rate = 100e-6;
    (void)hear(&p, plain, 16, 500);
    struct errors e = hear(&p, plain, 16, 12000);           /* 19 s */
    assert_true(e.rms[ORR_CLOCK_PACEMAKER] < 0.9 * e.rms[ORR_CLOCK_NTP]);
    pair_end(&p);
}

/* The temperature moves the rate, and a sensor tells; what was said before it did is held against what is known now. */
static void a_sensor_does_not_spoil_hindsight(void **state) {
    (void)state;
    struct pair p;
    double degrees = 40;
    struct errors e = { { 0, 0 } };
    pair_begin(&p, 1);
    for (unsigned i = 0; i < 4000; i++) {
        double to = 40 + 2.5 * sin(i * 2 * 3.14159265358979 * 16 / 3600), rise = 0.2e-6 * (to - degrees);
        degrees = to;
        for (unsigned mode = 0; mode < 2; mode++) {
            struct peers *w = &p.of[mode];
            w->offset -= llround((double)(w->time - w->began) * rise);
            w->rate += rise;
            orr_clock_temperature(w->clock, local(w), (int32_t)lround(degrees * 1000));
        }
        struct errors one = hear(&p, plain, 16, 1);
        for (unsigned mode = 0; mode < 2 && i >= 2000; mode++) e.rms[mode] += one.rms[mode] * one.rms[mode];
    }
    assert_true(e.rms[ORR_CLOCK_PACEMAKER] < 0.9 * e.rms[ORR_CLOCK_NTP]);
    pair_end(&p);
}

/* -- Restarts ------------------------------------------------------------------------------------------------------ */
static double first_errors(const void *saved, size_t size) {
    struct peers w;
    double sum = 0;
    peers_mode = ORR_CLOCK_PACEMAKER;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        peers_begin(&w, 1);
        orri_rng_init(&w.rng, seed);
        if (size > 0) assert_int_equal(orr_clock_load(w.clock, saved, size), 0);
        for (unsigned i = 0; i < 60; i++) {
            (void)over(&w, 0, busy, 0);
            w.time += ORR_SECOND;
            if (i >= 15) sum += pow((double)error_now(&w), 2);
        }
        peers_end(&w);
    }
    return sqrt(sum / 20 / 45);
}

static void what_was_learned_is_there_after_a_restart(void **state) {
    (void)state;
    unsigned char saved[1024];
    struct pair p;
    pair_begin(&p, 1);
    (void)hear(&p, busy, 1, 1000);
    size_t size = orr_clock_save(p.of[ORR_CLOCK_PACEMAKER].clock, saved, sizeof saved);
    double without = first_errors(NULL, 0), with = first_errors(saved, size);
    assert_true(with < 0.8 * without);
    pair_end(&p);
}

/* The form of version 1 is that of a clock in mode ntp without the byte after each peer. */
static void what_an_earlier_version_saved_is_read(void **state) {
    (void)state;
    unsigned char saved[1024], old[1024], more[1024];
    struct pair p;
    pair_begin(&p, 2);
    (void)hear(&p, plain, 16, 100);
    size_t size = orr_clock_save(p.of[ORR_CLOCK_NTP].clock, saved, sizeof saved), peer = 4 + 4 * 8, n = 0;
    size_t head = size - 8 - 2 * (peer + 1);
    memcpy(old, saved, head);
    old[7] = '1';
    for (n = head; n < head + 2 * peer; n += peer) memcpy(old + n, saved + n + (n - head) / peer, peer);
    struct orr_writer w = orri_writer(old + n, 8);
    orri_write_u64(&w, orri_hash64(old, n, 0));
    for (peers_mode = ORR_CLOCK_NTP; peers_mode <= ORR_CLOCK_PACEMAKER; peers_mode++) {
        struct peers again;
        peers_begin(&again, 2);
        assert_int_equal(orr_clock_load(again.clock, old, n + 8 - 1), ORR_ECORRUPT);
        assert_int_equal(orr_clock_load(again.clock, old, n + 8), 0);
        assert_int_equal(orr_clock_save(again.clock, more, sizeof more), size);
        assert_memory_equal(more + 24, saved + 24, size - 24 - 8);
        peers_end(&again);
    }
    pair_end(&p);
}

static void either_mode_reads_what_the_other_saved(void **state) {
    (void)state;
    unsigned char saved[1024];
    struct pair p;
    pair_begin(&p, 1);
    (void)hear(&p, plain, 16, 100);
    for (unsigned by = 0; by < 2; by++) {
        struct peers again;
        size_t size = orr_clock_save(p.of[by].clock, saved, sizeof saved);
        peers_mode = by == ORR_CLOCK_NTP ? ORR_CLOCK_PACEMAKER : ORR_CLOCK_NTP;
        peers_begin(&again, 1);
        assert_int_equal(orr_clock_load(again.clock, saved, size), 0);
        poll_all(&again, 1, 30);
        assert_true(llabs(error_now(&again)) < 30000);
        peers_end(&again);
    }
    pair_end(&p);
}

/* -- Peers --------------------------------------------------------------------------------------------------------- */
/* Places are handed on when one goes; what each learned goes with it, and a new one begins with nothing. */
static void a_peer_that_goes_takes_along_what_was_learned_of_it(void **state) {
    (void)state;
    struct peers w;
    peers_mode = ORR_CLOCK_PACEMAKER;
    peers_begin(&w, 3);
    poll_all(&w, 3, 200);
    struct orr_clock_peer before, after;
    assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 2, &before), 0);
    assert_int_equal(orr_clock_peer_remove(w.clock, local(&w), 0), 0);
    assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 2, &after), 0);
    assert_int_equal(before.offset, after.offset);
    assert_int_equal(after.place, 1);
    size_t two = orr_clock_save(w.clock, NULL, 0);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 9, 0), 0);
    size_t learned = 1 + 1 + 8 * (ORRI_CANDIDATES + 2 * ORRI_SCALES), bare = 4 + 4 * 8 + 1;
    assert_int_equal(orr_clock_save(w.clock, NULL, 0), two + bare);
    for (unsigned i = 0; i < 100; i++) {
        for (uint32_t id = 1; id < 10; id += id == 1 ? 1 : 7) (void)ask(&w, id);
        w.time += 16 * ORR_SECOND;
        assert_holds_truth(&w);
    }
    assert_int_equal(orr_clock_save(w.clock, NULL, 0), two + bare + learned);
    assert_int_equal(read_clock(&w).good, 7);
    peers_end(&w);
}

static void it_takes_no_more_memory_than_was_said(void **state) {
    (void)state;
    for (unsigned n = 1; n <= 64; n += 63) {
        assert_true(orr_clock_bytes(ORR_CLOCK_NTP, n) < n * 6144 + 512);
        assert_true(orr_clock_bytes(ORR_CLOCK_PACEMAKER, n) < n * 14336 + 512);
    }
}

/* -- Its parts ----------------------------------------------------------------------------------------------------- */
static void a_density_adds_up_and_its_derivatives_are_true(void **state) {
    (void)state;
    struct orri_queue q;
    orri_queue_init(&q, 50e-6);
    for (double sd = 10e-9; sd < 1e-3; sd *= 10) {
        double v = sd * sd, sum = 0, share = 0;
        for (double at = -10 * sd; at < 1; at += orri_larger(sd, at) / 50) {
            sum += exp(orri_queue_weigh(&q, at, v).log) * orri_larger(sd, at) / 50;
        }
        assert_true(fabs(sum - 1) < 0.02);
        for (double z = -8; z < 1e4; z += 0.3 + fabs(z) / 2) {
            double at = z * sd, d = sd / 256;
            struct orri_evidence e = orri_queue_weigh(&q, at, v), less = orri_queue_weigh(&q, at - d, v);
            struct orri_evidence more = orri_queue_weigh(&q, at + d, v);
            double slope = (more.log - less.log) / 2 / d, bend = (more.slope - less.slope) / 2 / d;
            assert_true(fabs(e.slope - slope) < 1e-3 / sd + 1e-3 * fabs(slope));
            assert_true(fabs(e.bend - bend) < 1e-3 / v + 1e-3 * fabs(bend));
            share = 0;
            for (unsigned j = 0; j < ORRI_SCALES; j++) share += e.share[j];
            assert_true(fabs(share - 1) < 1e-9);
        }
    }
}

static void no_excess_is_too_far_for_a_density(void **state) {
    (void)state;
    struct orri_queue q;
    orri_queue_init(&q, 1e-9);
    for (double sd = 1e-13; sd < 100; sd *= 10) {
        for (double at = 1e-12; at < 1e4; at *= 10) {
            for (int sign = -1; sign <= 1; sign += 2) {
                struct orri_evidence e = orri_queue_weigh(&q, sign * at, sd * sd);
                assert_true(isfinite(e.log) && isfinite(e.slope) && isfinite(e.bend));
                assert_true(1 + e.bend * sd * sd > -1e-9);  /* no variance becomes negative by it */
                double share[ORRI_SCALES];
                memcpy(share, e.share, sizeof share);
                orri_queue_learn(&q, share, 0.01);
                for (unsigned j = 0; j < ORRI_SCALES; j++) assert_true(q.share[j] > 0 && q.share[j] <= 1);
            }
        }
    }
}

/* Bounds 10 us around a line that is 1 us and 0.1 ppm off the bank's, some of them farther away. */
static void a_line_between_bounds_is_found(void **state) {
    (void)state;
    float price[32][2] = { { 0 } }, cold[32][2] = { { 0 } };
    double offset = 0, again = 0;
    struct orri_history h = { .n = 0 };
    struct orri_bank b = { .rate = 1e-6 };
    for (unsigned i = 0; i < 200; i++) {
        struct orri_exchange x = { .at = i * ORR_SECOND };
        double truth = 4e-6 + 1.1e-6 * i;
        x.high = truth + 10e-6 + (i % 3 ? i % 7 * 1e-6 : 0);
        x.low = truth - 10e-6 - (i % 4 ? i % 5 * 2e-6 : 0);
        b.at = x.at;
        b.offset = truth - 1e-6;
        orri_history_add(&h, &x);
        bool told = orri_line_fit(price, 32, &h, &b, 2e-6, &offset);
        assert_int_equal(told, i >= 3);
        if (i >= 40) assert_true(fabs(offset - truth) < 0.3e-6);
    }
    for (unsigned i = 0; i < 50; i++) assert_true(orri_line_fit(cold, 32, &h, &b, 2e-6, &again));
    for (unsigned i = 0; i < 50; i++) assert_true(orri_line_fit(price, 32, &h, &b, 2e-6, &offset));
    assert_true(fabs(offset - again) < 0.02e-6);            /* one answer, wherever it began */
}

/* Of the same moment, what is known 12 exchanges later is nearer than what was said then. */
static void hindsight_is_better(void **state) {
    (void)state;
    struct orri_edge e = { .learned = 0 };
    struct orr_rng rng;
    double truth[ORRI_TRAIL] = { 0 }, said[ORRI_TRAIL] = { 0 }, then = 0, later = 0, moved = 0, rate = 0;
    orri_rng_init(&rng, 5);
    for (unsigned i = 0; i < 3000; i++) {
        struct orri_exchange x = { .at = (i + 1) * ORR_SECOND, .stamp = 30e-9 };
        double out = 20e-6 + 1e-9 * (double)busy(&rng, false), back = 20e-6 + 1e-9 * (double)busy(&rng, true);
        rate += 1e-9 * (orri_rng_unit(&rng) - 0.5);
        moved += rate;
        x.high = moved + out;
        x.low = moved - back;
        x.offset = (x.high + x.low) / 2;
        x.delay = out + back;
        if (i == 0) orri_edge_begin(&e, &x, 0, 1e-6);
        else orri_edge_update(&e, &x);
        said[i % ORRI_TRAIL] = e.offset;
        truth[i % ORRI_TRAIL] = moved;
        if (i < 500) continue;
        unsigned oldest = (i + 1) % ORRI_TRAIL;
        then += pow(said[oldest] - truth[oldest], 2);
        later += pow(orri_edge_hindsight(&e, ORRI_TRAIL - 1) - truth[oldest], 2);
    }
    assert_true(later < 0.7 * then);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_switches_are_busy_it_finds_the_free_ones),
        cmocka_unit_test(it_is_better_under_plain_jitter),
        cmocka_unit_test(queues_on_one_way_do_not_move_it),
        cmocka_unit_test(a_way_that_becomes_longer_is_no_moved_clock),
        cmocka_unit_test(a_clock_that_changes_its_rate_is_followed),
        cmocka_unit_test(steps_begin_it_anew_and_what_it_learned_stays),
        cmocka_unit_test(a_clock_that_runs_far_away_is_followed),
        cmocka_unit_test(a_sensor_does_not_spoil_hindsight),
        cmocka_unit_test(what_was_learned_is_there_after_a_restart),
        cmocka_unit_test(what_an_earlier_version_saved_is_read),
        cmocka_unit_test(either_mode_reads_what_the_other_saved),
        cmocka_unit_test(a_peer_that_goes_takes_along_what_was_learned_of_it),
        cmocka_unit_test(it_takes_no_more_memory_than_was_said),
        cmocka_unit_test(a_density_adds_up_and_its_derivatives_are_true),
        cmocka_unit_test(no_excess_is_too_far_for_a_density),
        cmocka_unit_test(a_line_between_bounds_is_found),
        cmocka_unit_test(hindsight_is_better),
    };
    return cmocka_run_group_tests_name("pacemaker", tests, NULL, NULL);
}
