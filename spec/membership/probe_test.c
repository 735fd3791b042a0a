/* probe_test.c - probes: SWIM, sections 3.1 and 4.3; Lifeguard's local health and buddy system. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/member_hand.h"

static const struct mhand_said *next_ping(struct mhand *h) {
    mhand_forget(h);
    while (!mhand_said(h, ORRI_PING, 0)) mhand_until(h, orr_membership_deadline(h->m));
    return mhand_said(h, ORRI_PING, 0);
}

/* The next probe, of whoever it is, without an answer up to now + by. */
static struct mhand_said unanswered(struct mhand *h, orr_time by) {
    struct mhand_said ping = *next_ping(h);
    mhand_until(h, ping.at + by);
    return ping;
}

static struct orr_member_why why(const struct mhand *h, char of) {
    struct orr_member_why out;
    assert_int_equal(orr_membership_why(h->m, h->now, mhand_id(of), &out), 0);
    return out;
}

/* -- A probe's course ---------------------------------------------------------------------------------------------- */
static void an_answer_is_life(void **state) {
    (void)state;
    struct mhand *h = mhand_new(3, NULL);
    struct mhand_said ping = unanswered(h, 7 * ORR_MS);
    mhand_ack(h, &ping);
    struct orr_member_info m = mhand_sees(h, ping.to);
    assert_int_equal(m.way, ORR_WAY_DIRECT);
    assert_int_equal(m.rtt, 7 * ORR_MS);
    assert_int_equal(m.probed, h->now);
    mhand_until(h, ping.at + ORR_SECOND - 1);
    assert_null(mhand_said(h, ORRI_PING_REQ, 0));
    assert_int_equal(mhand_sees(h, ping.to).state, ORR_MEMBER_ALIVE);
    mhand_free(h);
}

static void round_trips_are_smoothed(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, NULL);
    orr_time expected = 8 * ORR_MS;
    struct mhand_said ping = unanswered(h, expected);
    mhand_ack(h, &ping);
    ping = unanswered(h, 16 * ORR_MS);
    mhand_ack(h, &ping);
    assert_int_equal(mhand_sees(h, 'b').rtt, expected + 8 * ORR_MS / 8);
    assert_int_equal(why(h, 'b').n_probes, 2);
    assert_int_equal(why(h, 'b').probes[0].rtt, 8 * ORR_MS);
    assert_int_equal(why(h, 'b').probes[1].rtt, 16 * ORR_MS);
    mhand_free(h);
}

static void without_an_answer_others_are_asked_and_then_it_is_suspect(void **state) {
    (void)state;
    struct mhand *h = mhand_new(6, NULL);
    struct mhand_said ping = unanswered(h, 500 * ORR_MS - 1);
    assert_null(mhand_said(h, ORRI_PING_REQ, 0));
    mhand_until(h, ping.at + 500 * ORR_MS);
    assert_int_equal(mhand_count(h, ORRI_PING_REQ, 0), 3);
    assert_int_equal(mhand_count(h, ORRI_PING_REQ, ping.to), 0);
    for (char c = 'b'; c <= 'g'; c++) assert_true(mhand_count(h, ORRI_PING_REQ, c) <= 1);
    const struct mhand_said *req = mhand_said(h, ORRI_PING_REQ, 0);
    assert_int_equal(req->packet.target, mhand_id(ping.to));
    assert_int_equal(req->packet.within, 500 * ORR_MS);
    mhand_until(h, ping.at + ORR_SECOND - 1);
    assert_int_equal(mhand_sees(h, ping.to).state, ORR_MEMBER_ALIVE);
    mhand_until(h, ping.at + ORR_SECOND);
    assert_int_equal(mhand_sees(h, ping.to).state, ORR_MEMBER_SUSPECT);
    assert_int_equal(mhand_sees(h, ping.to).way, ORR_WAY_NONE);
    assert_int_equal(why(h, ping.to).suspected_by, mhand_id('a'));
    assert_int_equal(mhand_status(h).probes_failed, 1);
    assert_true(mhand_event(h, ORR_MEMBER_SUSPECTED, ping.to));
    assert_int_equal(h->events[0].by, 0);
    mhand_free(h);
}

static void over_others_it_lives_and_the_link_is_cut(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    struct mhand_said ping = unanswered(h, 600 * ORR_MS);
    const struct mhand_said *req = mhand_said(h, ORRI_PING_REQ, 0);
    struct orri_packet relayed = { .kind = ORRI_RELAYED, .sequence = ping.packet.sequence };
    char stranger = 'b';
    while (stranger == ping.to || mhand_said(h, ORRI_PING_REQ, stranger)) stranger++;
    if (stranger <= 'e') {                  /* who was not asked is not believed */
        mhand_recv(h, stranger, relayed, NULL, 0);
        assert_int_equal(mhand_status(h).dropped_late, 1);
    }
    mhand_recv(h, req->to, relayed, NULL, 0);
    assert_int_equal(mhand_sees(h, ping.to).way, ORR_WAY_INDIRECT);
    mhand_until(h, ping.at + ORR_SECOND);
    assert_int_equal(mhand_sees(h, ping.to).state, ORR_MEMBER_ALIVE);
    assert_int_equal(mhand_status(h).probes_failed, 0);
    mhand_free(h);
}

static void a_later_answer_by_a_better_way_takes_its_place(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    struct mhand_said ping = unanswered(h, 10 * ORR_MS);
    orr_membership_heard(h->m, h->now, mhand_id(ping.to));
    assert_int_equal(mhand_sees(h, ping.to).way, ORR_WAY_STREAM);
    mhand_ack(h, &ping);
    assert_int_equal(mhand_sees(h, ping.to).way, ORR_WAY_DIRECT);
    orr_membership_heard(h->m, h->now, mhand_id(ping.to));
    assert_int_equal(mhand_sees(h, ping.to).way, ORR_WAY_DIRECT);
    assert_int_equal(why(h, ping.to).n_probes, 1);
    mhand_free(h);
}

static void heard_by_a_stream_it_lives(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    struct mhand_said ping = unanswered(h, 700 * ORR_MS);
    orr_membership_heard(h->m, h->now, mhand_id(ping.to));
    mhand_until(h, ping.at + ORR_SECOND);
    assert_int_equal(mhand_sees(h, ping.to).state, ORR_MEMBER_ALIVE);
    assert_int_equal(mhand_sees(h, ping.to).way, ORR_WAY_STREAM);
    orr_membership_heard(h->m, h->now, mhand_id('x'));          /* nobody: nothing */
    mhand_free(h);
}

static void a_late_answer_is_counted_and_changes_nothing(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    struct mhand_said ping = unanswered(h, ORR_SECOND);
    assert_int_equal(mhand_ack(h, &ping), 0);
    assert_int_equal(mhand_sees(h, ping.to).state, ORR_MEMBER_SUSPECT);
    assert_int_equal(mhand_sees(h, ping.to).rtt, 0);
    assert_int_equal(mhand_status(h).dropped_late, 1);
    struct mhand_said other = *next_ping(h);
    mhand_ack(h, &other);
    mhand_ack(h, &other);                   /* twice the same */
    assert_int_equal(mhand_status(h).dropped_late, 2);
    mhand_free(h);
}

/* It reads what had come before it looks at what is due. */
static void who_stood_still_believes_what_came_meanwhile(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    struct mhand_said ping = unanswered(h, 100 * ORR_MS);
    h->now = ping.at + 5 * ORR_SECOND;
    mhand_ack(h, &ping);
    mhand_until(h, h->now);
    assert_int_equal(mhand_sees(h, ping.to).state, ORR_MEMBER_ALIVE);
    assert_int_equal(mhand_sees(h, ping.to).rtt, 0);
    assert_int_equal(mhand_status(h).probes_failed, 0);
    mhand_free(h);
}

/* -- Whose turn it is ---------------------------------------------------------------------------------------------- */
/* SWIM, section 4.3: two probes of one member are at most 2n - 1 intervals apart, of n others. */
static void each_is_probed_within_twice_the_others(void **state) {
    (void)state;
    struct mhand *h = mhand_new(9, NULL);
    orr_time last[26], from = h->now;
    for (unsigned i = 0; i < 26; i++) last[i] = from;
    for (unsigned n = 0; n < 400; n++) {
        struct mhand_said ping = *next_ping(h);
        mhand_ack(h, &ping);
        orr_time gap = ping.at - last[ping.to - 'a'];
        assert_true(gap <= (2 * 9 - 1) * ORR_SECOND || last[ping.to - 'a'] == from);
        last[ping.to - 'a'] = ping.at;
    }
    mhand_free(h);
}

static uint32_t seed;
static void with_seed(struct orr_membership_config *cfg) { cfg->seed = seed; }

/* Where it is put is chance: somewhere in the middle of the list, in half of the cases it is still to come. */
static void newcomers_are_probed_in_this_round_or_the_next(void **state) {
    (void)state;
    unsigned this_round = 0;
    for (seed = 0; seed < 40; seed++) {
        struct mhand *h = mhand_new(8, with_seed);
        unsigned before = 4;
        for (unsigned i = 0; i < before; i++) {
            struct mhand_said ping = *next_ping(h);
            mhand_ack(h, &ping);
        }
        assert_int_equal(orr_membership_know(h->m, h->now, "x", "", true), 0);
        mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'x', 1, 0);
        unsigned n = 1;
        for (struct mhand_said ping; (ping = *next_ping(h)).to != 'x'; n++) mhand_ack(h, &ping);
        assert_true(n <= 8 - before + 1 + 9);
        this_round += n <= 8 - before;
        mhand_free(h);
    }
    assert_true(this_round >= 8 && this_round <= 32);
}

static void who_failed_or_left_is_not_probed(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    mhand_told(h, 'c', ORR_MEMBER_FAILED, 'b', 1, 'c');
    mhand_told(h, 'c', ORR_MEMBER_LEFT, 'd', 1, 0);
    mhand_answering(h, h->now + 30 * ORR_SECOND);
    assert_int_equal(mhand_count(h, ORRI_PING, 'b') + mhand_count(h, ORRI_PING, 'd'), 0);
    assert_true(mhand_count(h, ORRI_PING, 'c') > 10 && mhand_count(h, ORRI_PING, 'e') > 10);
    mhand_free(h);
}

/* -- Lifeguard ----------------------------------------------------------------------------------------------------- */
static void a_suspect_is_told_of_it_with_the_ping(void **state) {
    (void)state;
    struct mhand *h = mhand_new(3, NULL);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
    mhand_answering(h, h->now + 10 * ORR_SECOND);       /* the change has long been told */
    mhand_forget(h);
    mhand_answering(h, h->now + 6 * ORR_SECOND);
    const struct mhand_said *ping = mhand_said(h, ORRI_PING, 'b');
    assert_non_null(ping);
    assert_int_equal(ping->facts.at[0].state, ORR_MEMBER_SUSPECT);
    assert_int_equal(ping->facts.at[0].id, mhand_id('b'));
    mhand_free(h);
}

static void who_failed_and_asks_is_told_so(void **state) {
    (void)state;
    struct mhand *h = mhand_new(3, NULL);
    mhand_told(h, 'c', ORR_MEMBER_FAILED, 'b', 1, 'c');
    mhand_until(h, h->now + 5 * ORR_SECOND);
    mhand_forget(h);
    mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_PING, .sequence = 1 }, NULL, 0);
    assert_true(mhand_says(mhand_said(h, ORRI_ACK, 'b'), ORR_MEMBER_FAILED, 'b', 1));
    mhand_free(h);
}

static unsigned awareness(const struct mhand *h) { return mhand_status(h).awareness; }

/* A failed probe of which so many of those who were asked say that they had no answer either. */
static void fail_with_nacks(struct mhand *h, unsigned nacks) {
    struct mhand_said ping = *next_ping(h);
    mhand_until(h, ping.at + 500 * ORR_MS * (awareness(h) + 1));
    orr_time end = ping.at + ORR_SECOND * (awareness(h) + 1);
    struct orri_packet nack = { .kind = ORRI_NACK, .sequence = ping.packet.sequence };
    for (char c = 'b'; c <= 'z' && nacks > 0; c++) {
        if (!mhand_said(h, ORRI_PING_REQ, c)) continue;
        mhand_recv(h, c, nack, NULL, 0);
        mhand_recv(h, c, nack, NULL, 0);                /* twice counts once */
        nacks--;
    }
    mhand_until(h, end);
}

static void no_nacks_are_a_sign_of_ones_own_health(void **state) {
    (void)state;
    for (unsigned nacks = 0; nacks <= 3; nacks++) {
        struct mhand *h = mhand_new(8, NULL);
        fail_with_nacks(h, nacks);
        assert_int_equal(awareness(h), 3 - nacks);
        mhand_free(h);
    }
}

static void with_nobody_to_ask_a_failure_counts_one(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, NULL);
    unanswered(h, ORR_SECOND);
    assert_int_equal(awareness(h), 1);
    mhand_free(h);
}

static void the_score_has_bounds(void **state) {
    (void)state;
    struct mhand *h = mhand_new(20, NULL);
    for (unsigned i = 0; i < 5; i++) {
        struct mhand_said ping = *next_ping(h);
        mhand_ack(h, &ping);
    }
    assert_int_equal(awareness(h), 0);
    for (unsigned i = 0; i < 5; i++) fail_with_nacks(h, 0);
    assert_int_equal(awareness(h), 7);
    mhand_free(h);
}

static void who_seems_slow_waits_longer(void **state) {
    (void)state;
    struct mhand *h = mhand_new(8, NULL);
    for (unsigned i = 0; i < 2; i++) mhand_told(h, 'b', ORR_MEMBER_SUSPECT, 'a', 5 + i, 'b');
    assert_int_equal(awareness(h), 2);
    struct mhand_said ping = unanswered(h, 1500 * ORR_MS - 1);
    assert_null(mhand_said(h, ORRI_PING_REQ, 0));
    mhand_until(h, ping.at + 1500 * ORR_MS);
    assert_int_equal(mhand_count(h, ORRI_PING_REQ, 0), 3);
    mhand_until(h, ping.at + 3 * ORR_SECOND - 1);
    assert_int_equal(mhand_sees(h, ping.to).state, ORR_MEMBER_ALIVE);
    mhand_until(h, ping.at + 3 * ORR_SECOND);
    assert_int_equal(mhand_sees(h, ping.to).state, ORR_MEMBER_SUSPECT);
    mhand_free(h);
}

static void an_answer_takes_one_off(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    for (unsigned i = 0; i < 2; i++) mhand_told(h, 'b', ORR_MEMBER_SUSPECT, 'a', 5 + i, 'b');
    struct mhand_said ping = *next_ping(h);
    mhand_ack(h, &ping);
    assert_int_equal(awareness(h), 1);
    mhand_free(h);
}

/* -- For others ---------------------------------------------------------------------------------------------------- */
static struct orri_packet request(char target) {
    return (struct orri_packet){ .kind = ORRI_PING_REQ, .sequence = 77, .target = mhand_id(target),
                                 .within = 500 * ORR_MS };
}

static void an_answer_is_passed_on(void **state) {
    (void)state;
    struct mhand *h = mhand_new(3, NULL);
    mhand_recv(h, 'b', request('c'), NULL, 0);
    const struct mhand_said *ping = mhand_said(h, ORRI_PING, 'c');
    assert_non_null(ping);
    mhand_ack(h, ping);
    const struct mhand_said *relayed = mhand_said(h, ORRI_RELAYED, 'b');
    assert_int_equal(relayed->packet.sequence, 77);
    mhand_answering(h, h->now + ORR_SECOND);
    assert_null(mhand_said(h, ORRI_NACK, 0));
    mhand_free(h);
}

static void the_asker_is_told_in_time_that_none_came(void **state) {
    (void)state;
    struct mhand *h = mhand_new(3, NULL);
    orr_time from = h->now;
    mhand_recv(h, 'b', request('c'), NULL, 0);
    struct mhand_said ping = *mhand_said(h, ORRI_PING, 'c');
    mhand_until(h, from + 400 * ORR_MS - 1);
    assert_null(mhand_said(h, ORRI_NACK, 0));
    mhand_until(h, from + 400 * ORR_MS);
    assert_int_equal(mhand_said(h, ORRI_NACK, 'b')->packet.sequence, 77);
    mhand_ack(h, &ping);                    /* late, but not too late */
    assert_int_equal(mhand_count(h, ORRI_RELAYED, 'b'), 1);
    mhand_until(h, from + 500 * ORR_MS);
    mhand_ack(h, &ping);
    assert_int_equal(mhand_count(h, ORRI_RELAYED, 'b'), 1);
    assert_int_equal(mhand_count(h, ORRI_NACK, 'b'), 1);
    mhand_free(h);
}

static void of_nobody_there_is_none_at_once(void **state) {
    (void)state;
    struct mhand *h = mhand_new(3, NULL);
    mhand_recv(h, 'b', request('x'), NULL, 0);
    assert_non_null(mhand_said(h, ORRI_NACK, 'b'));
    mhand_recv(h, 'b', request('a'), NULL, 0);
    assert_non_null(mhand_said(h, ORRI_RELAYED, 'b'));
    struct orri_packet longest = request('c');
    longest.within = ORRI_LONGEST;
    for (unsigned i = 0; i < 200; i++) mhand_recv(h, 'b', longest, NULL, 0);            /* bounded in number, in time */
    assert_int_equal(mhand_count(h, ORRI_PING, 'c'), ORRI_RELAYS_MAX);
    mhand_until(h, h->now + 8 * ORR_SECOND);
    assert_int_equal(h->m->n_relays, 0);
    mhand_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_life),
        cmocka_unit_test(round_trips_are_smoothed),
        cmocka_unit_test(without_an_answer_others_are_asked_and_then_it_is_suspect),
        cmocka_unit_test(over_others_it_lives_and_the_link_is_cut),
        cmocka_unit_test(a_later_answer_by_a_better_way_takes_its_place),
        cmocka_unit_test(heard_by_a_stream_it_lives),
        cmocka_unit_test(a_late_answer_is_counted_and_changes_nothing),
        cmocka_unit_test(who_stood_still_believes_what_came_meanwhile),
        cmocka_unit_test(each_is_probed_within_twice_the_others),
        cmocka_unit_test(newcomers_are_probed_in_this_round_or_the_next),
        cmocka_unit_test(who_failed_or_left_is_not_probed),
        cmocka_unit_test(a_suspect_is_told_of_it_with_the_ping),
        cmocka_unit_test(who_failed_and_asks_is_told_so),
        cmocka_unit_test(no_nacks_are_a_sign_of_ones_own_health),
        cmocka_unit_test(with_nobody_to_ask_a_failure_counts_one),
        cmocka_unit_test(the_score_has_bounds),
        cmocka_unit_test(who_seems_slow_waits_longer),
        cmocka_unit_test(an_answer_takes_one_off),
        cmocka_unit_test(an_answer_is_passed_on),
        cmocka_unit_test(the_asker_is_told_in_time_that_none_came),
        cmocka_unit_test(of_nobody_there_is_none_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
