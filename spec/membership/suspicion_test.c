/* suspicion_test.c - how long a suspect has: Lifeguard, section IV-B, with memberlist's figures. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "support/member_hand.h"

static orr_time fails_at(const struct mhand *h, char of) {
    struct orr_member_why why;
    assert_int_equal(orr_membership_why(h->m, h->now, mhand_id(of), &why), 0);
    return why.fails;
}

static unsigned confirmed(const struct mhand *h, char of) {
    struct orr_member_why why;
    assert_int_equal(orr_membership_why(h->m, h->now, mhand_id(of), &why), 0);
    return why.confirmed;
}

/* 4 intervals, for fewer than ten members; 6 times that where nobody confirms. */
enum { SHORTEST = 4, LONGEST = 24 };

static void it_begins_with_the_longest_time(void **state) {
    (void)state;
    struct mhand *h = mhand_new(5, NULL);
    orr_time from = h->now;
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
    assert_int_equal(fails_at(h, 'b'), from + LONGEST * ORR_SECOND);
    mhand_answering(h, from + LONGEST * ORR_SECOND - 1);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_SUSPECT);
    mhand_forget(h);
    mhand_answering(h, from + LONGEST * ORR_SECOND);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_FAILED);
    assert_int_equal(h->events[0].kind, ORR_MEMBER_FAILS);
    assert_int_equal(h->events[0].by, 'c');
    mhand_free(h);
}

static void confirmations_shorten_it_by_their_logarithm(void **state) {
    (void)state;
    struct mhand *h = mhand_new(7, NULL);
    orr_time from = h->now;
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'd');                /* one of two: log 2 / log 3 of the way */
    double part = log(2) / log(3);
    double expected = LONGEST - part * (LONGEST - SHORTEST);
    assert_true(fabs((double)(fails_at(h, 'b') - from) / 1e9 - expected) < 1e-6);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'e');
    assert_int_equal(fails_at(h, 'b'), from + SHORTEST * ORR_SECOND);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'f');                /* more than are wanted change nothing */
    assert_int_equal(fails_at(h, 'b'), from + SHORTEST * ORR_SECOND);
    assert_int_equal(confirmed(h, 'b'), 2);
    mhand_free(h);
}

static void one_counts_once(void **state) {
    (void)state;
    struct mhand *h = mhand_new(7, NULL);
    orr_time from = h->now;
    for (unsigned i = 0; i < 3; i++) mhand_told(h, 'd', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
    assert_int_equal(confirmed(h, 'b'), 0);
    assert_int_equal(fails_at(h, 'b'), from + LONGEST * ORR_SECOND);
    for (unsigned i = 0; i < 3; i++) mhand_told(h, 'e', ORR_MEMBER_SUSPECT, 'b', 1, 'd');
    assert_int_equal(confirmed(h, 'b'), 1);
    mhand_free(h);
}

static void late_confirmations_end_it_at_once(void **state) {
    (void)state;
    struct mhand *h = mhand_new(7, NULL);
    orr_time from = h->now;
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
    mhand_answering(h, from + 10 * ORR_SECOND);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'd');
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'e');
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_SUSPECT);
    mhand_answering(h, h->now);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_FAILED);
    mhand_free(h);
}

static void too_few_to_confirm_are_not_waited_for(void **state) {
    (void)state;
    for (size_t others = 2; others <= 3; others++) {        /* with itself 3, 4 members: one or two may confirm */
        struct mhand *h = mhand_new(others, NULL);
        orr_time from = h->now;
        mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
        assert_int_equal(fails_at(h, 'b'), from + (others == 2 ? SHORTEST : LONGEST) * ORR_SECOND);
        mhand_free(h);
    }
}

static void is_open(struct orr_membership_config *cfg) { cfg->open = true; }

static void it_grows_with_the_logarithm_of_the_members(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, is_open);
    for (unsigned i = 0; i < 97; i++) {
        char name[8] = { 'm', (char)('a' + i / 26), (char)('a' + i % 26), 0 };
        struct orri_fact f = mhand_whole(ORR_MEMBER_ALIVE, name, 1);
        mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_GOSSIP }, &f, 1);
    }
    assert_int_equal(mhand_status(h).alive, 100);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
    assert_int_equal(fails_at(h, 'b'), h->now + 2 * LONGEST * ORR_SECOND);
    mhand_free(h);
}

static void a_confirmation_is_told_on_under_its_own_name(void **state) {
    (void)state;
    struct mhand *h = mhand_new(7, NULL);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
    mhand_until(h, h->now + 300 * ORR_MS);
    mhand_forget(h);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'd');
    mhand_until(h, h->now + 300 * ORR_MS);
    const struct mhand_said *s = mhand_said(h, ORRI_GOSSIP, 0);
    assert_true(mhand_says(s, ORR_MEMBER_SUSPECT, 'b', 1));
    assert_int_equal(s->facts.at[0].by, mhand_id('d'));
    struct orr_member_why why;
    orr_membership_why(h->m, h->now, mhand_id('b'), &why);
    assert_int_equal(why.suspected_by, mhand_id('c'));
    mhand_free(h);
}

static void who_refutes_is_suspected_anew(void **state) {
    (void)state;
    struct mhand *h = mhand_new(7, NULL);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'd');
    mhand_answering(h, h->now + 3 * ORR_SECOND);
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'b', 2, 0);
    assert_int_equal(fails_at(h, 'b'), ORR_NEVER);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 2, 'c');
    assert_int_equal(fails_at(h, 'b'), h->now + LONGEST * ORR_SECOND);
    assert_int_equal(confirmed(h, 'b'), 0);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 3, 'c');        /* the refutation in between was not heard */
    assert_int_equal(mhand_sees(h, 'b').incarnation, 3);
    assert_int_equal(fails_at(h, 'b'), h->now + LONGEST * ORR_SECOND);
    mhand_answering(h, h->now + LONGEST * ORR_SECOND);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_FAILED);
    mhand_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_with_the_longest_time),
        cmocka_unit_test(confirmations_shorten_it_by_their_logarithm),
        cmocka_unit_test(one_counts_once),
        cmocka_unit_test(late_confirmations_end_it_at_once),
        cmocka_unit_test(too_few_to_confirm_are_not_waited_for),
        cmocka_unit_test(it_grows_with_the_logarithm_of_the_members),
        cmocka_unit_test(a_confirmation_is_told_on_under_its_own_name),
        cmocka_unit_test(who_refutes_is_suspected_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
