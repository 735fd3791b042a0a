/* pulse_test.c - detectors by heartbeats: phi-accrual and a plain deadline. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/member_hand.h"
#include "support/member_net.h"

static void by_deadline(struct orr_membership_config *cfg) { cfg->detector = ORR_DETECTOR_DEADLINE; }
static void by_phi(struct orr_membership_config *cfg) { cfg->detector = ORR_DETECTOR_PHI; }

static void beat(struct mhand *h, char from, int64_t stamp, int64_t echo, orr_time held) {
    struct orri_packet p = { .kind = ORRI_HEARTBEAT, .sent = stamp, .echo = echo, .held = held };
    mhand_recv(h, from, p, NULL, 0);
}

/* One second after another with heartbeats of b. */
static void beats(struct mhand *h, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        mhand_until(h, h->now + ORR_SECOND);
        beat(h, 'b', h->now, 0, 0);
    }
}

static void everybody_gets_one_each_interval(void **state) {
    (void)state;
    struct mhand *h = mhand_new(5, by_deadline);
    assert_int_equal(orr_membership_know(h->m, h->now, "x", "", false), 0);
    mhand_until(h, h->now + 2 * ORR_SECOND);
    mhand_forget(h);
    mhand_until(h, h->now + 10 * ORR_SECOND);       /* nobody answers: the failed ones, too */
    assert_int_equal(mhand_count(h, ORRI_HEARTBEAT, 0), 50);
    for (char c = 'b'; c <= 'f'; c++) assert_int_equal(mhand_count(h, ORRI_HEARTBEAT, c), 10);
    assert_int_equal(mhand_count(h, ORRI_PING, 0), 0);
    mhand_free(h);
}

static void silence_is_suspect_after_half_of_it_and_failed_after_all(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, by_deadline);
    beats(h, 3);
    orr_time last = h->now;
    mhand_until(h, last + 2500 * ORR_MS - 1);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_ALIVE);
    mhand_until(h, last + 2500 * ORR_MS);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_SUSPECT);
    struct orr_member_why why;
    orr_membership_why(h->m, h->now, mhand_id('b'), &why);
    assert_int_equal(why.fails, last + 5 * ORR_SECOND);
    assert_int_equal(why.suspected_by, mhand_id('a'));
    mhand_until(h, last + 5 * ORR_SECOND);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_FAILED);
    assert_int_equal(mhand_sees(h, 'b').way, ORR_WAY_NONE);
    assert_true(mhand_event(h, ORR_MEMBER_SUSPECTED, 'b') && mhand_event(h, ORR_MEMBER_FAILS, 'b'));
    mhand_free(h);
}

static void who_is_heard_again_returns(void **state) {
    (void)state;
    for (unsigned stream = 0; stream <= 1; stream++) {
        struct mhand *h = mhand_new(1, stream ? by_deadline : by_phi);
        beats(h, 10);
        mhand_until(h, h->now + 60 * ORR_SECOND);
        assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_FAILED);
        mhand_forget(h);
        if (stream) orr_membership_heard(h->m, h->now, mhand_id('b'));
        else beat(h, 'b', h->now, 0, 0);
        mhand_take(h);
        assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_ALIVE);
        assert_int_equal(h->events[0].kind, ORR_MEMBER_RETURNS);
        if (stream) assert_int_equal(mhand_sees(h, 'b').way, ORR_WAY_STREAM);
        mhand_free(h);
    }
}

static void phi_goes_up_with_silence(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, by_phi);
    beats(h, 100);
    struct orr_member_why why;
    double before = 0;
    for (unsigned i = 0; i < 100 && mhand_sees(h, 'b').state != ORR_MEMBER_FAILED; i++) {
        orr_membership_why(h->m, h->now, mhand_id('b'), &why);
        assert_true(why.phi >= before);
        assert_int_equal(why.member.state, why.phi >= 8 ? ORR_MEMBER_FAILED
                                           : why.phi >= 5 ? ORR_MEMBER_SUSPECT : ORR_MEMBER_ALIVE);
        before = why.phi;
        mhand_until(h, h->now + 100 * ORR_MS);
    }
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_FAILED);
    assert_true(h->now < 100 * ORR_SECOND + 110 * ORR_SECOND);
    mhand_free(h);
}

static const struct mhand_said *last_beat(const struct mhand *h) {
    size_t i = h->n_said;
    while (h->said[i - 1].packet.kind != ORRI_HEARTBEAT) i--;
    return &h->said[i - 1];
}

static void an_echo_is_a_round_trip(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, by_deadline);
    beats(h, 2);
    orr_time sent = last_beat(h)->packet.sent;
    assert_int_equal(sent, last_beat(h)->at);
    mhand_until(h, h->now + 300 * ORR_MS);
    beat(h, 'b', h->now, sent, h->now - sent - 12 * ORR_MS);
    assert_int_equal(mhand_sees(h, 'b').rtt, 12 * ORR_MS);
    assert_int_equal(mhand_sees(h, 'b').way, ORR_WAY_DIRECT);
    mhand_until(h, h->now + 2 * ORR_SECOND);
    const struct orri_packet *p = &last_beat(h)->packet;
    assert_int_equal(p->echo, h->now - 2 * ORR_SECOND);
    assert_int_equal(p->held, last_beat(h)->at - (h->now - 2 * ORR_SECOND));
    mhand_until(h, h->now + 2 * ORR_SECOND);
    beat(h, 'b', h->now, sent, h->now - sent - 12 * ORR_MS);        /* ours do not arrive any more */
    assert_int_equal(mhand_sees(h, 'b').way, ORR_WAY_NONE);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_ALIVE);
    mhand_free(h);
}

static void absurd_echoes_are_none(void **state) {
    (void)state;
    static const int64_t echoes[] = { INT64_MIN, INT64_MAX, -1, 1 };
    struct mhand *h = mhand_new(1, by_deadline);
    for (unsigned i = 0; i < 4; i++) {
        beat(h, 'b', INT64_MIN + i, echoes[i], INT64_MAX);
        beat(h, 'b', INT64_MAX, echoes[i], 0);
        assert_int_equal(mhand_sees(h, 'b').rtt, 0);
    }
    beat(h, 'b', 1, h->now + 1, 0);         /* from the future */
    assert_int_equal(mhand_sees(h, 'b').rtt, 0);
    mhand_until(h, h->now + 3 * ORR_SECOND);
    mhand_free(h);
}

static void nobody_is_told_of_failures_or_believed_about_them(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, by_deadline);
    mhand_told(h, 'b', ORR_MEMBER_FAILED, 'c', 1, 'b');
    mhand_told(h, 'b', ORR_MEMBER_SUSPECT, 'c', 1, 'b');
    assert_int_equal(mhand_sees(h, 'c').state, ORR_MEMBER_ALIVE);
    uint64_t bucket = h->m->buckets[orri_sync_bucket(mhand_id('c'))];
    mhand_until(h, h->now + 10 * ORR_SECOND);
    assert_int_equal(mhand_sees(h, 'c').state, ORR_MEMBER_FAILED);
    assert_int_not_equal(h->m->buckets[orri_sync_bucket(mhand_id('c'))], bucket);
    mhand_forget(h);
    mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_RECORDS, .wanted = UINT64_MAX }, NULL, 0);
    assert_true(mhand_says(mhand_said(h, ORRI_RECORDS, 'b'), ORR_MEMBER_ALIVE, 'a', 1));
    assert_false(mhand_says(mhand_said(h, ORRI_RECORDS, 'b'), ORR_MEMBER_ALIVE, 'c', 1));
    for (size_t i = 0; i < h->n_said; i++) {
        for (size_t k = 0; k < h->said[i].facts.n; k++)
            assert_int_equal(h->said[i].facts.at[k].state, ORR_MEMBER_ALIVE);
    }
    mhand_told(h, 'b', ORR_MEMBER_LEFT, 'c', 1, 0);
    assert_int_equal(mhand_sees(h, 'c').state, ORR_MEMBER_LEFT);
    beat(h, 'c', 1, 0, 0);
    assert_int_equal(mhand_sees(h, 'c').state, ORR_MEMBER_LEFT);
    mhand_free(h);
}

static void a_cut_that_heals_is_seen_by_both(void **state) {
    (void)state;
    for (int detector = ORR_DETECTOR_PHI; detector <= ORR_DETECTOR_DEADLINE; detector++) {
        struct mnet_options o = { .n = 4, .seed = 9, .delay_max = 5 * ORR_MS, .loss = 0.05 };
        orr_membership_config_init(&o.cfg);
        o.cfg.detector = (enum orr_detector)detector;
        struct mnet *net = mnet_new(&o);
        for (size_t i = 0; i < 4; i++) mnet_start(net, i);
        mnet_run(net, 20 * ORR_SECOND);
        for (size_t i = 0; i < 8; i++) mnet_cut(net, i / 2 % 2 + i / 4 * 2, i % 2 + (1 - i / 4) * 2, true);
        mnet_run(net, 20 * ORR_SECOND);
        for (size_t i = 0; i < 16; i++)
            assert_int_equal(mnet_sees(net, i / 4, i % 4), i / 8 == i % 4 / 2 ? ORR_MEMBER_ALIVE : ORR_MEMBER_FAILED);
        mnet_heal(net);
        mnet_run(net, 3 * ORR_SECOND);
        for (size_t i = 0; i < 16; i++) assert_int_equal(mnet_sees(net, i / 4, i % 4), ORR_MEMBER_ALIVE);
        mnet_free(net);
    }
}

static void by_one_who_leaves_no_more_are_sent(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, by_phi);
    mhand_until(h, h->now + 3 * ORR_SECOND);
    orr_membership_leave(h->m, h->now);
    mhand_until(h, h->now + ORR_SECOND);
    assert_true(orr_membership_gone(h->m));
    mhand_forget(h);
    mhand_until(h, h->now + 30 * ORR_SECOND);
    assert_int_equal(h->n_said, 0);
    mhand_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_gets_one_each_interval),
        cmocka_unit_test(silence_is_suspect_after_half_of_it_and_failed_after_all),
        cmocka_unit_test(who_is_heard_again_returns),
        cmocka_unit_test(phi_goes_up_with_silence),
        cmocka_unit_test(an_echo_is_a_round_trip),
        cmocka_unit_test(absurd_echoes_are_none),
        cmocka_unit_test(nobody_is_told_of_failures_or_believed_about_them),
        cmocka_unit_test(a_cut_that_heals_is_seen_by_both),
        cmocka_unit_test(by_one_who_leaves_no_more_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
