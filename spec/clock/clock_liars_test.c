/* clock_liars_test.c - peers that lie: fewer than half of them move nothing and are named, half of them are enough for
 * the clock to say that it does not know. */
#include "clock/peers.h"

enum { PER_HOUR = 225 };            /* rounds of 16 s */

static unsigned bits(uint64_t v) { return (unsigned)__builtin_popcountll(v); }
static uint64_t first_bits(unsigned n) { return n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1; }

static void fewer_than_half_may_lie_from_the_start_by_any_amounts(void **state) {
    (void)state;
    for (unsigned n = 3; n <= 9; n++) {
        for (unsigned round = 0; round < 20; round++) {
            struct peers w;
            unsigned liars = (n - 1) / 2;
            peers_begin(&w, n);
            orri_rng_init(&w.rng, 100 * n + round);
            for (unsigned i = 0; i < liars; i++) {          /* 1 ms to 30 years, either way */
                double size = exp(log(1e6) + orri_rng_unit(&w.rng) * (log(1e18) - log(1e6)));
                w.lie[i] = orri_rng_chance(&w.rng, 0.5) ? (orr_time)size : -(orr_time)size;
            }
            poll_all(&w, n, 40);
            assert_holds_truth(&w);
            struct orr_clock_time t = read_clock(&w);
            assert_int_equal(t.good & first_bits(liars), 0);
            assert_true(bits(t.good) > n / 2);
            assert_true(llabs(error_now(&w)) < 60000);
            for (uint32_t id = 0; id < n; id++) {
                struct orr_clock_peer p;
                assert_int_equal(orr_clock_peer_info(w.clock, local(&w), id, &p), 0);
                assert_int_equal(p.place, id);
                assert_int_equal(p.role, t.good >> id & 1 ? ORR_CLOCK_TRUE : ORR_CLOCK_FALSE);
            }
            peers_end(&w);
        }
    }
}

static void one_that_was_true_and_lies_then_is_out_within_a_minute(void **state) {
    (void)state;
    for (orr_time lie = -3000000; lie <= 3000000; lie += 6000000) {
        struct peers w;
        peers_begin(&w, 4);
        poll_all(&w, 4, 200);
        assert_int_equal(read_clock(&w).good, 15);
        w.lie[1] = lie;
        poll_all(&w, 4, 4);
        assert_int_equal(read_clock(&w).good, 13);
        for (unsigned i = 0; i < 100; i++) {
            poll_all(&w, 4, 1);
            assert_true(llabs(error_now(&w)) < 30000);
        }
        assert_int_equal(read_clock(&w).epoch, 0);          /* a liar's step is not the clock's */
        w.lie[1] = 0;
        poll_all(&w, 4, 200);
        assert_int_equal(read_clock(&w).good, 15);          /* and it is taken back */
        peers_end(&w);
    }
}

static void those_that_creep_and_collude_are_out_before_they_matter(void **state) {
    (void)state;
    for (unsigned n = 4; n <= 7; n++) {
        struct peers w;
        unsigned liars = (n - 1) / 2;
        peers_begin(&w, n);
        poll_all(&w, n, 200);
        w.creep_from = w.time;
        for (unsigned i = 0; i < liars; i++) w.creep[i] = 0.1e-6;
        unsigned rounds = 0;
        for (; rounds < 3 * PER_HOUR; rounds++) {
            poll_all(&w, n, 1);
            assert_holds_truth(&w);
            assert_true(llabs(error_now(&w)) < 150000);
        }
        assert_int_equal(read_clock(&w).good & first_bits(liars), 0);
        assert_true(llabs(error_now(&w)) < 30000);
        peers_end(&w);
    }
}

static void half_that_disagree_are_enough_for_no_answer(void **state) {
    (void)state;
    for (unsigned n = 2; n <= 8; n++) {
        struct peers w;
        peers_begin(&w, n);
        for (unsigned i = 0; i < (n + 1) / 2; i++) w.lie[i] = 10000000 * (orr_time)(i + 1);
        for (unsigned i = 0; i < 60; i++) {
            poll_all(&w, n, 1);
            assert_int_equal(read_clock(&w).state, ORR_CLOCK_UNSYNC);
        }
        struct orr_clock_time t = read_clock(&w);
        assert_true(t.earliest <= w.time && w.time <= t.latest);    /* the hull of all, for people */
        assert_int_equal(t.good, 0);
        assert_int_equal(t.stratum, 16);
        assert_int_equal(orr_clock_wait(w.clock, local(&w), w.time), ORR_NEVER);
        peers_end(&w);
    }
}

static void two_that_come_apart_are_no_answer(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 2);
    poll_all(&w, 2, 100);
    assert_int_equal(read_clock(&w).state, ORR_CLOCK_SYNC);
    w.lie[1] = 5000000;
    for (unsigned i = 0; i < 20; i++) {
        (void)ask(&w, 0);
        (void)ask(&w, 1);
        w.time += 16 * ORR_SECOND;
    }
    assert_int_equal(read_clock(&w).state, ORR_CLOCK_UNSYNC);
    w.lie[1] = 0;
    for (unsigned i = 0; i < 20; i++) {
        (void)ask(&w, 0);
        (void)ask(&w, 1);
        w.time += 16 * ORR_SECOND;
    }
    assert_holds_truth(&w);
    peers_end(&w);
}

static void the_first_to_answer_is_not_right_for_being_first(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 3);
    w.lie[0] = 50000000;
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(ask(&w, 0), ORR_CLOCK_USED);
        w.time += 2 * ORR_SECOND;
        assert_int_equal(read_clock(&w).state, ORR_CLOCK_UNSYNC);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ask(&w, 1), ORR_CLOCK_USED);
        assert_int_equal(ask(&w, 2), ORR_CLOCK_USED);
        w.time += 2 * ORR_SECOND;
    }
    assert_holds_truth(&w);
    peers_end(&w);
}

static void one_that_never_answers_is_not_waited_for_for_ever(void **state) {
    (void)state;
    struct peers w;
    peers_begin(&w, 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(read_clock(&w).state, ORR_CLOCK_UNSYNC);
        (void)ask(&w, 0);
        assert_int_equal(orr_clock_lost(w.clock, local(&w), 1), 0);
        w.time += 2 * ORR_SECOND;
    }
    assert_holds_truth(&w);
    peers_end(&w);
    peers_begin(&w, 2);                                     /* nor if nobody says that it was asked */
    poll_all(&w, 1, 8);
    assert_holds_truth(&w);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 9, 0), ORR_EOVERLOADED);
    assert_int_equal(orr_clock_peer_remove(w.clock, local(&w), 1), 0);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 9, 0), 0);
    assert_holds_truth(&w);                                 /* nor one that joins later */
    peers_end(&w);
}

static void flags_say_who_has_a_vote(void **state) {
    (void)state;
    struct peers w;
    struct orr_clock_config config;
    struct orr_clock_peer p;
    orr_clock_config_init(&config);
    config.mode = peers_mode;
    config.peers_max = 4;
    peers_with(&w, &config, 0);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 0, 0), 0);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 1, ORR_CLOCK_NOSELECT), 0);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 2, ORR_CLOCK_NOSELECT), 0);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 3, 4), ORR_EINVALID);
    w.lie[1] = w.lie[2] = 8000000;
    poll_all(&w, 3, 50);
    assert_holds_truth(&w);
    assert_int_equal(read_clock(&w).good, 1);
    assert_int_equal(orr_clock_peer_info(w.clock, local(&w), 1, &p), 0);
    assert_int_equal(p.role, ORR_CLOCK_OBSERVED);
    assert_true(llabs(local(&w) + p.offset - w.time - 8000000) < 60000);
    peers_end(&w);

    peers_with(&w, &config, 0);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 0, ORR_CLOCK_TRUST), 0);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 1, 0), 0);
    assert_int_equal(orr_clock_peer_add(w.clock, local(&w), 2, 0), 0);
    w.lie[1] = w.lie[2] = 8000000;
    poll_all(&w, 3, 50);
    assert_holds_truth(&w);
    assert_int_equal(read_clock(&w).good, 1);
    peers_end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewer_than_half_may_lie_from_the_start_by_any_amounts),
        cmocka_unit_test(one_that_was_true_and_lies_then_is_out_within_a_minute),
        cmocka_unit_test(those_that_creep_and_collude_are_out_before_they_matter),
        cmocka_unit_test(half_that_disagree_are_enough_for_no_answer),
        cmocka_unit_test(two_that_come_apart_are_no_answer),
        cmocka_unit_test(the_first_to_answer_is_not_right_for_being_first),
        cmocka_unit_test(one_that_never_answers_is_not_waited_for_for_ever),
        cmocka_unit_test(flags_say_who_has_a_vote),
    };
    int failed = 0;
    for (peers_mode = ORR_CLOCK_NTP; peers_mode <= ORR_CLOCK_PACEMAKER; peers_mode++) {
        failed += cmocka_run_group_tests_name(peers_modes[peers_mode], tests, NULL, NULL);
    }
    return failed;
}
