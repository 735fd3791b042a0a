/* clock_input_test.c - what must not be believed: stamps that cannot be, peers that say so themselves, one sample that
 * is off; and whatever comes in, the answer is an interval, and the same one each time. */
#include "clock/peers.h"

#include <string.h>

#include "support/alloc.h"

static void assert_unmoved(struct peers *w, const struct orr_clock_time *before) {
    struct orr_clock_time now;
    (void)orr_clock_now(w->clock, local(w), &now);
    assert_memory_equal(&now, before, sizeof now);
}

static void stamps_that_cannot_be_change_nothing(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    poll_all(&w, 1, 50);
    struct orr_clock_exchange good = exchange_with(&w, 0);
    w.time += ORR_SECOND;
    (void)orr_clock_sample(w.clock, local(&w), 0, &(struct orr_clock_exchange){ .stratum = 1 });
    struct orr_clock_time before = read_clock(&w);
    const orr_time t1 = good.t1, t2 = good.t2, t3 = good.t3, t4 = good.t4, edge = (orr_time)1 << 62;
    const struct {
        orr_time t1, t2, t3, t4;
        enum orr_clock_verdict verdict;
    } rows[] = {
        { 0, 0, 0, 0, ORR_CLOCK_BAD_RANGE },
        { t1, 0, t3, t4, ORR_CLOCK_BAD_RANGE },
        { t1, t2, 0, t4, ORR_CLOCK_BAD_RANGE },
        { t1, t2, t2 - 1, t4, ORR_CLOCK_BAD_RANGE },
        { t1, t2, t3, t1, ORR_CLOCK_BAD_RANGE },
        { t4, t2, t3, t1, ORR_CLOCK_BAD_RANGE },
        { t1, t2, t3, t4 + 10 * ORR_SECOND, ORR_CLOCK_BAD_RANGE },      /* from the future */
        { t1, edge, edge, t4, ORR_CLOCK_BAD_RANGE },
        { t1, -edge, -edge, t4, ORR_CLOCK_BAD_RANGE },
        { t1, edge - 1, edge - 1, t4 - 2 * t1, ORR_CLOCK_BAD_RANGE },
        { -edge / 2, edge / 2 + 1, edge / 2 + 1, -edge / 2 + 1000, ORR_CLOCK_BAD_RANGE },
        { edge / 2 - 1000, -edge / 2 - 1, -edge / 2 - 1, edge / 2, ORR_CLOCK_BAD_RANGE },
        { INT64_MIN, t2, t3, t4, ORR_CLOCK_BAD_RANGE },
        { t1, INT64_MIN, t3, t4, ORR_CLOCK_BAD_RANGE },
        { t1, t2, INT64_MAX, t4, ORR_CLOCK_BAD_RANGE },
        { t1, INT64_MIN, INT64_MAX, t4, ORR_CLOCK_BAD_RANGE },
        { INT64_MIN, INT64_MIN, INT64_MAX, INT64_MAX, ORR_CLOCK_BAD_RANGE },
        { t1, t2, t2 + (t4 - t1) + 31, t4, ORR_CLOCK_BAD_DELAY },       /* sooner back than it can be: delta < -rho */
        { t1 - 17 * ORR_SECOND, t2, t3, t4, ORR_CLOCK_BAD_DELAY },
    };
    uint64_t refused = 0;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct orr_clock_exchange x = good;
        x.t1 = rows[i].t1;
        x.t2 = rows[i].t2;
        x.t3 = rows[i].t3;
        x.t4 = rows[i].t4;
        assert_int_equal(give(&w, 0, &x), rows[i].verdict);
        assert_unmoved(&w, &before);
        refused += rows[i].verdict == ORR_CLOCK_BAD_RANGE;
    }
    struct orr_clock_exchange x = good;
    x.stamp_error_ns = UINT32_MAX;
    assert_int_equal(give(&w, 0, &x), ORR_CLOCK_BAD_RANGE);
    assert_int_equal(orr_clock_sample(w.clock, INT64_MAX, 0, &good), ORR_CLOCK_BAD_RANGE);
    assert_int_equal(orr_clock_sample(w.clock, INT64_MIN, 0, &good), ORR_CLOCK_BAD_RANGE);
    assert_int_equal(orr_clock_sample(w.clock, local(&w), 5, &good), ORR_EINVALID);
    assert_unmoved(&w, &before);
    struct orr_clock_peer p;
    assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 0, &p), 0);
    assert_int_equal(p.verdicts[ORR_CLOCK_BAD_RANGE], refused + 4);     /* the one above, and the last three */
    assert_int_equal(p.verdicts[ORR_CLOCK_BAD_DELAY], 2);
    assert_int_equal(p.reach, 255);
    assert_int_equal(give(&w, 0, &good), ORR_CLOCK_USED);
    peers_end(&w);
}

static void a_reply_that_is_a_little_too_fast_is_within_the_stamps_error(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    for (unsigned i = 0; i < 20; i++) {
        struct orr_clock_exchange x = { .t1 = local(&w), .stratum = 1, .stamp_error_ns = 1000 };
        w.time += 100000;
        x.t4 = local(&w);
        x.t2 = w.time - 100000;
        x.t3 = x.t2 + (x.t4 - x.t1) + 1000;
        assert_int_equal(give(&w, 0, &x), ORR_CLOCK_USED);
        w.time += ORR_SECOND;
        if (i > 2) assert_holds_truth(&w);
    }
    peers_end(&w);
}

static void what_is_out_of_order_is_left_out_and_what_follows_is_used(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    poll_all(&w, 1, 20);
    struct orr_clock_exchange early = exchange_with(&w, 0);
    w.time += 100000000;
    struct orr_clock_exchange late = exchange_with(&w, 0);
    assert_int_equal(give(&w, 0, &late), ORR_CLOCK_USED);
    struct orr_clock_time before = read_clock(&w);
    assert_int_equal(give(&w, 0, &early), ORR_CLOCK_BAD_ORDER);
    assert_int_equal(give(&w, 0, &late), ORR_CLOCK_BAD_ORDER);
    late.t4 += 1000;
    assert_int_equal(give(&w, 0, &late), ORR_CLOCK_BAD_ORDER);
    assert_unmoved(&w, &before);
    w.time += ORR_SECOND;
    assert_int_equal(ask(&w, 0), ORR_CLOCK_USED);
    peers_end(&w);
}

static void a_peer_that_is_not_synchronised_is_not_used(void **state) {
    (void)state;
    const struct {
        uint8_t stratum, leap;
        uint32_t delay, dispersion;
        enum orr_clock_verdict verdict;
    } rows[] = {
        { 0, 0, 0, 0, ORR_CLOCK_BAD_SYNC },
        { 16, 0, 0, 0, ORR_CLOCK_BAD_SYNC },
        { 255, 0, 0, 0, ORR_CLOCK_BAD_SYNC },
        { 1, 3, 0, 0, ORR_CLOCK_BAD_SYNC },
        { 1, 0, 0, 1000000001, ORR_CLOCK_BAD_ROOT },
        { 1, 0, 2000000002, 0, ORR_CLOCK_BAD_ROOT },
        { 1, 0, UINT32_MAX, UINT32_MAX, ORR_CLOCK_BAD_ROOT },
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peers w;
        struct orr_clock_peer p;
        peers_begin(&w, 1);
        poll_all(&w, 1, 200);
        assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 0, &p), 0);
        assert_int_equal(p.reach, 255);
        for (unsigned k = 0; k < 8; k++) {
            struct orr_clock_exchange x = exchange_with(&w, 0);
            x.stratum = rows[i].stratum;
            x.leap = rows[i].leap;
            x.root_delay_ns = rows[i].delay;
            x.root_dispersion_ns = rows[i].dispersion;
            x.t2 += 77000000;
            x.t3 += 77000000;
            assert_int_equal(give(&w, 0, &x), rows[i].verdict);
            w.time += 16 * ORR_SECOND;
            assert_true(llabs(error_now(&w)) < 60000);
            assert_holds_truth(&w);
        }
        assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 0, &p), 0);
        assert_int_equal(p.reach, 0);
        assert_int_equal(p.verdicts[rows[i].verdict], 8);
        w.time += 16 * ORR_SECOND;
        assert_int_equal(read_clock(&w).state, ORR_CLOCK_HOLDOVER);
        peers_end(&w);
    }
}

static void one_sample_off_by_any_amount_is_held_out_and_the_interval_holds_both(void **state) {
    (void)state;
    for (orr_time by = 1000000; by < (orr_time)1 << 61; by *= 7) {
        for (int sign = -1; sign <= 1; sign += 2) {
            struct peers w;
            peers_begin(&w, 1);
            poll_all(&w, 1, 100);
            struct orr_clock_time before = read_clock(&w);
            struct orr_clock_exchange x = exchange_with(&w, 0);
            x.t2 += sign * by;
            x.t3 += sign * by;
            if (llabs(x.t2 - x.t1) >= (orr_time)1 << 62) {
                peers_end(&w);
                continue;
            }
            assert_int_equal(give(&w, 0, &x), ORR_CLOCK_HELD_OUT);
            struct orr_clock_time t = read_clock(&w);
            assert_true(llabs(t.offset - before.offset) < 10000);
            assert_holds_truth(&w);
            assert_int_equal(t.epoch, before.epoch);
            if (sign > 0) assert_true(t.latest >= w.time + by);
            else assert_true(t.earliest <= w.time - by || t.earliest == w.earliest);
            w.time += 16 * ORR_SECOND;
            assert_int_equal(ask(&w, 0), ORR_CLOCK_USED);
            t = read_clock(&w);
            assert_true(t.latest - t.earliest < 500000);
            assert_true(llabs(error_now(&w)) < 60000);
            peers_end(&w);
        }
    }
}

static void two_samples_off_in_a_row_but_not_alike_are_both_held_out(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 1);
    poll_all(&w, 1, 100);
    w.lie[0] = 900000000;
    assert_int_equal(ask(&w, 0), ORR_CLOCK_HELD_OUT);
    w.time += 16 * ORR_SECOND;
    w.lie[0] = -300000000;
    assert_int_equal(ask(&w, 0), ORR_CLOCK_HELD_OUT);
    assert_true(llabs(error_now(&w)) < 60000);
    w.time += 16 * ORR_SECOND;
    w.lie[0] = 0;
    assert_int_equal(ask(&w, 0), ORR_CLOCK_USED);
    assert_holds_truth(&w);
    assert_int_equal(read_clock(&w).epoch, 0);
    peers_end(&w);
}

/* -- How many ------------------------------------------------------------------------------------------------------ */
static void there_is_room_for_as_many_peers_as_was_said_and_no_more(void **state) {
    (void)state;
    struct orr_clock_config config;
    struct orr_clock *c;
    orr_clock_config_init(&config);
    config.mode = peers_mode;
    const struct orr_clock_config fits = config;
#define REFUSED(field, value)                                                                                          \
    config = fits;                                                                                                     \
    config.field = value;                                                                                              \
    assert_int_equal(orr_clock_new(&c, &config), ORR_EINVALID)
    REFUSED(peers_max, 0);
    REFUSED(peers_max, 65);
    REFUSED(mode, (enum orr_clock_mode)2);
    REFUSED(precision_ns, 0);
    REFUSED(max_drift_ppb, 1000001);
    REFUSED(poll_min, -7);
    REFUSED(poll_min, 11);
    REFUSED(poll_max, 18);
#undef REFUSED
    struct peers w;
    peers_begin(&w, 64);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 64, 0), ORR_EOVERLOADED);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 63, 0), ORR_ECONFLICT);
    poll_all(&w, 64, 20);
    assert_holds_truth(&w);
    assert_true(read_clock(&w).good >> 63);
    assert_int_equal(orr_clock_peer_remove(w.clock, local(&w), 64), ORR_EINVALID);
    for (uint32_t id = 0; id < 64; id++) {
        assert_holds_truth(&w);
        assert_int_equal(orr_clock_peer_remove(w.clock, local(&w), id), 0);
    }
    struct orr_clock_time t;
    assert_false(orr_clock_now(w.clock, local(&w), &t));
    assert_int_equal(orr_clock_sample(w.clock, local(&w), 0, &(struct orr_clock_exchange){ 0 }), ORR_EINVALID);
    assert_int_equal(orr_clock_lost(w.clock, local(&w), 0), ORR_EINVALID);
    struct orr_clock_peer p;
    assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 0, &p), ORR_EINVALID);
    peers_end(&w);
}

static void however_many_samples_come_nothing_grows(void **state) {
    (void)state;
    struct spec_alloc a = { .fail_at = 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orr_clock_config config;
    struct orr_clock_peer p;
    struct peers w;
    orr_clock_config_init(&config);
    config.mode = peers_mode;
    config.peers_max = 1;
    config.alloc = &alloc;
    peers_with(&w, &config, 1);
    size_t bytes = a.bytes_live;
    for (unsigned i = 0; i < 200000; i++) {
        assert_int_equal(ask(&w, 0), ORR_CLOCK_USED);
        w.time += ORR_SECOND;
        if (i % 1000 == 999) assert_true(llabs(error_now(&w)) < 20000);
    }
    for (unsigned i = 0; i < 100000; i++) {
        w.time += 100 * ORR_SECOND;
        assert_int_equal(orr_clock_lost(w.clock, local(&w), 0), 0);
    }
    assert_int_equal(a.n_calls, 1);
    assert_int_equal(a.bytes_live, bytes);
    assert_int_equal(bytes, orr_clock_bytes(peers_mode, 1));
    assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 0, &p), 0);
    assert_int_equal(p.verdicts[ORR_CLOCK_USED], 200000);
    assert_int_equal(p.lost, 100000);
    assert_holds_truth(&w);
    peers_end(&w);
    spec_alloc_check(&a);
}

/* -- Anything at all ----------------------------------------------------------------------------------------------- */
static orr_time any_time(struct orr_rng *rng, orr_time near) {
    const orr_time edges[] = { 0, 1, -1, INT64_MIN, INT64_MAX, (orr_time)1 << 62, -((orr_time)1 << 62),
                               ((orr_time)1 << 62) - 1, 1 - ((orr_time)1 << 62), (orr_time)1 << 61 };
    switch (orri_rng_below(rng, 8)) {
    case 0: return edges[orri_rng_below(rng, sizeof edges / sizeof *edges)];
    case 1: return (orr_time)orri_rng_next(rng);
    case 2: return (orr_time)(orri_rng_next(rng) >> (1 + orri_rng_below(rng, 63)));
    default: return (orr_time)((uint64_t)near + (uint64_t)orri_rng_between(rng, -1, 1) *
                                                    (orri_rng_next(rng) >> (20 + orri_rng_below(rng, 44))));
    }
}

/* A word on all that the clock says after each of `n` inputs of any sort; what it says is looked at, too. */
static uint64_t garbage(uint64_t seed, unsigned n, bool wild) {
    struct orr_clock_config config;
    struct orr_clock *c;
    struct orr_rng rng;
    uint64_t digest = 0;
    orri_rng_init(&rng, seed);
    orr_clock_config_init(&config);
    config.mode = peers_mode;
    config.peers_max = 1 + (unsigned)orri_rng_below(&rng, 6);
    config.poll_min = -6;
    assert_int_equal(orr_clock_new(&c, &config), 0);
    for (uint32_t i = 0; i < config.peers_max; i++) {
        assert_int_equal(orr_clock_peer_add(c, 0, i, (unsigned)orri_rng_below(&rng, 3)), 0);
    }
    orr_time now = 0, earliest = INT64_MIN, read_at = 0;
    uint32_t epoch = 0;
    for (unsigned i = 0; i < n; i++) {
        orr_time there = now / 2 + ORR_SECOND * 5;
        struct orr_clock_exchange x = { .t1 = now, .stratum = 1 };
        uint32_t id = (uint32_t)orri_rng_below(&rng, config.peers_max);
        if (wild && orri_rng_chance(&rng, 0.02)) now = any_time(&rng, now);
        else if (now < (orr_time)1 << 61) now += (orr_time)(orri_rng_next(&rng) >> (26 + orri_rng_below(&rng, 38)));
        x.t4 = now;
        x.t2 = orri_rng_chance(&rng, 0.2) ? any_time(&rng, there) : now / 2 + x.t1 / 2;
        x.t3 = orri_rng_chance(&rng, 0.2) ? any_time(&rng, x.t2)
                                          : x.t2 / 2 + x.t2 / 2 + (orr_time)orri_rng_below(&rng, 2);
        x.stamp_error_ns = (uint32_t)(orri_rng_next(&rng) >> (32 + orri_rng_below(&rng, 32)));
        x.root_dispersion_ns = (uint32_t)(orri_rng_next(&rng) >> (34 + orri_rng_below(&rng, 30)));
        if (wild && orri_rng_chance(&rng, 0.1)) x.t1 = any_time(&rng, now);
        int verdict = 0;
        switch (orri_rng_below(&rng, 12)) {
        case 0: assert_int_equal(orr_clock_lost(c, now, id), 0); break;
        case 1: orr_clock_temperature(c, now, (int32_t)orri_rng_next(&rng) >> orri_rng_below(&rng, 32)); break;
        case 2:
            if (wild && orri_rng_chance(&rng, 0.1)) orr_clock_local_step(c, now, any_time(&rng, 0));
            break;
        default: verdict = orr_clock_sample(c, now, id, &x);
        }
        assert_in_range(verdict, 0, ORR_CLOCK_VERDICTS - 1);

        struct orr_clock_time t;
        struct orr_clock_peer p;
        orr_time at = wild && orri_rng_chance(&rng, 0.2) ? any_time(&rng, now) : now;
        bool any = orr_clock_now(c, at, &t);
        assert_true(any || t.state == ORR_CLOCK_UNSYNC);
        assert_true(t.earliest <= t.latest);
        assert_true(t.likely >= 0 && labs(t.rate_ppt) <= 1000000000);
        if (any && t.earliest > INT64_MIN / 2 && t.latest < INT64_MAX / 2) {
            assert_true(t.offset >= t.earliest - at && t.offset <= t.latest - at);
        }
        if (t.state != ORR_CLOCK_UNSYNC && at == now && (t.epoch != epoch || at >= read_at)) {
            if (t.epoch == epoch) assert_true(t.earliest >= earliest);
            earliest = t.earliest;
            epoch = t.epoch;
            read_at = at;
        }
        assert_int_equal(orr_clock_peer_info(c, at, id, &p), 0);
        assert_true(p.earliest <= p.latest && p.sd >= 0);
        assert_true(orr_clock_wait(c, at, any_time(&rng, at)) >= 0);
        assert_true(orr_clock_next(c, at, id) >= at);
        digest = digest * 31 + (uint64_t)t.earliest * 7 + (uint64_t)t.latest * 5 + (uint64_t)t.offset * 3 + t.good;
        digest = digest * 31 + (uint64_t)t.likely + (uint64_t)p.offset + (uint64_t)p.sd;
        digest = digest * 31 + (uint32_t)t.rate_ppt;
    }
    unsigned char saved[4096];
    size_t size = orr_clock_save(c, saved, sizeof saved);
    assert_true(size <= sizeof saved);
    for (size_t i = 0; i < size; i++) digest = digest * 31 + saved[i];
    orr_clock_free(c);
    assert_int_equal(orr_clock_new(&c, &config), 0);
    assert_int_equal(orr_clock_load(c, saved, size), 0);    /* whatever it learned from that */
    orr_clock_free(c);
    return digest;
}

static void whatever_comes_in_the_answer_is_an_interval(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 600; seed++) (void)garbage(seed, 300, seed % 2);
    (void)garbage(1000, 100000, false);
    (void)garbage(1001, 100000, true);
}

static void the_same_calls_give_the_same_bits(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        assert_true(garbage(seed, 2000, false) == garbage(seed, 2000, false));
        assert_true(garbage(seed, 2000, true) != garbage(seed + 1, 2000, true));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_that_cannot_be_change_nothing),
        cmocka_unit_test(a_reply_that_is_a_little_too_fast_is_within_the_stamps_error),
        cmocka_unit_test(what_is_out_of_order_is_left_out_and_what_follows_is_used),
        cmocka_unit_test(a_peer_that_is_not_synchronised_is_not_used),
        cmocka_unit_test(one_sample_off_by_any_amount_is_held_out_and_the_interval_holds_both),
        cmocka_unit_test(two_samples_off_in_a_row_but_not_alike_are_both_held_out),
        cmocka_unit_test(there_is_room_for_as_many_peers_as_was_said_and_no_more),
        cmocka_unit_test(however_many_samples_come_nothing_grows),
        cmocka_unit_test(whatever_comes_in_the_answer_is_an_interval),
        cmocka_unit_test(the_same_calls_give_the_same_bits),
    };
    int failed = 0;
    for (peers_mode = ORR_CLOCK_NTP; peers_mode <= ORR_CLOCK_PACEMAKER; peers_mode++) {
        failed += cmocka_run_group_tests_name(peers_modes[peers_mode], tests, NULL, NULL);
    }
    return failed;
}
