/* raft_why_test.c - the causes that a replica remembers: which, of whom, how often; and that they are bounded. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/raft_hand.h"

#define T ORR_SECOND                /* the election timeout here */

/* "start 0, prevote 2 [2+ 3?] x4": kind, term, peer, ballots, count. */
static const char *causes(const struct hand *h, size_t i, size_t max) {
    static const char *const kinds[] = { "start", "silence", "prevote", "vote", "won", "leader", "term", "voted",
                                         "alone", "asked", "hands", "mute" };
    static char text[4096];
    struct orr_cause c[64];
    size_t n = orr_raft_causes(h->r[i], c, max), at = 0;
    assert_true(n <= max);
    text[0] = '\0';
    for (size_t k = 0; k < n; k++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %d", k ? ", " : "", kinds[c[k].kind],
                               (int)c[k].term);
        if (c[k].peer != ORR_NOBODY) at += (size_t)snprintf(text + at, sizeof text - at, " of %d", (int)c[k].peer);
        for (unsigned v = 0; v < c[k].n_voters; v++)
            at += (size_t)snprintf(text + at, sizeof text - at, " %d%c", (int)c[k].voters[v], "?+-"[c[k].ballots[v]]);
        if (c[k].count > 1) at += (size_t)snprintf(text + at, sizeof text - at, " x%d", (int)c[k].count);
        assert_true(c[k].count >= 1 && c[k].at <= c[k].last && (k == 0 || c[k].at >= c[k - 1].last));
    }
    return text;
}

static void an_election_by_the_book(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    assert_string_equal(causes(h, 0, 9), "start 0");
    h->now += 2 * T;
    assert_int_equal(orr_raft_tick(h->r[0], h->now), 0);
    hand_collect(h, 0);
    hand_pump(h);
    assert_string_equal(causes(h, 0, 9), "start 0, silence 0, prevote 1 2+ 3?, vote 1 2+ 3?, won 1");
    assert_string_equal(causes(h, 1, 9), "start 0, voted 1 of 1, leader 1 of 1");
    assert_string_equal(causes(h, 1, 1), "leader 1 of 1");
    struct orr_cause c[9];
    assert_int_equal(orr_raft_causes(h->r[0], c, 9), 5);
    assert_true(c[1].waited >= T && c[1].waited <= 2 * T);
    hand_free(h);
}

static void a_leader_that_nobody_hears(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    assert_string_equal(causes(h, 0, 9), "start 0, asked 0, vote 1 2+ 3?, won 1");
    h->cut[0] = true;
    hand_tick_all(h, 2 * T);
    hand_tick_all(h, 2 * T);
    for (int i = 0; i < 20; i++) hand_tick_all(h, 2 * T);
    assert_string_equal(causes(h, 0, 4), "alone 1, silence 1, prevote 2 2? 3? x28, prevote 2 2? 3?");
    h->cut[0] = false;
    for (int i = 0; i < 3; i++) hand_tick_all(h, T / 5);
    struct orr_order_status s = hand_status(h, 0);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "leader %d of %d", (int)s.term, (int)s.leader);
    assert_string_equal(causes(h, 0, 1), expected);
    hand_free(h);
}

static void leadership_that_is_handed_over_or_refused(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    assert_int_equal(orr_raft_hand_over(h->r[0], h->now, 2), 0);
    hand_collect(h, 0);
    hand_pump(h);
    assert_string_equal(causes(h, 0, 3), "hands 1 of 2, voted 2 of 2, leader 2 of 2");
    assert_string_equal(causes(h, 1, 3), "asked 1 of 1, vote 2 1+ 3?, won 2");
    orr_raft_disenfranchise(h->r[1], h->now);
    assert_string_equal(causes(h, 1, 1), "mute 2");
    hand_free(h);
}

/* A later term without a leader; a voter that hears one refuses. */
static void terms_and_refusals(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    h->now += T / 2;
    struct orr_raft_msg beat = { .type = ORR_RAFT_APPEND, .from = 1, .to = 3, .term = 1, .prev_log_index = 1,
                                 .prev_log_term = 1 };
    assert_int_equal(hand_recv(h, 2, beat), 0);
    h->cut[0] = true;
    h->now += T / 2;
    h->now += T / 4;
    struct orr_raft_msg no = { .type = ORR_RAFT_PREVOTE_REPLY, .from = 3, .to = 2, .term = 1 };
    h->now += 2 * T;
    assert_int_equal(orr_raft_tick(h->r[1], h->now), 0);
    assert_int_equal(hand_recv(h, 1, no), 0);
    assert_string_equal(causes(h, 1, 2), "silence 1 of 1, prevote 2 1? 3-");
    struct orr_raft_msg later = { .type = ORR_RAFT_APPEND_REPLY, .from = 3, .to = 2, .term = 7 };
    assert_int_equal(hand_recv(h, 1, later), 0);
    assert_string_equal(causes(h, 1, 1), "term 7 of 3");
    hand_free(h);
}

static void only_the_last_are_kept(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    for (int i = 0; i < 200; i++, h->trace_size = 0) hand_elect(h, (size_t)i % 3);
    struct orr_cause c[64];
    size_t n = orr_raft_causes(h->r[0], c, 64);
    assert_true(n >= 8 && n <= 32);
    for (size_t i = 1; i < n; i++) assert_true(c[i].term >= c[i - 1].term && c[i].at >= c[i - 1].at);
    h->cut[0] = true;
    for (int i = 0; i < 300; i++, h->trace_size = 0) hand_tick_all(h, 2 * T);
    n = orr_raft_causes(h->r[0], c, 64);
    assert_int_equal(c[n - 1].kind == ORR_CAUSE_PREVOTE || c[n - 2].kind == ORR_CAUSE_PREVOTE, 1);
    for (size_t i = 1; i < n; i++) assert_true(c[i].term + 1 >= c[i - 1].term && c[i].at >= c[i - 1].at);
    hand_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_election_by_the_book),
        cmocka_unit_test(a_leader_that_nobody_hears),
        cmocka_unit_test(leadership_that_is_handed_over_or_refused),
        cmocka_unit_test(terms_and_refusals),
        cmocka_unit_test(only_the_last_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
