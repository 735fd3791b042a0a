/* merge_test.c - what becomes of what is said: SWIM, section 4.2, and what a refusal leaves as it was. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/member_hand.h"

/* -- Which of two stands ------------------------------------------------------------------------------------------- */
static void of_equal_incarnations_the_worse_stands(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    assert_int_equal(mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c'), 0);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_SUSPECT);
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'b', 1, 0);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_SUSPECT);
    mhand_told(h, 'c', ORR_MEMBER_FAILED, 'b', 1, 'c');
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_FAILED);
    mhand_told(h, 'd', ORR_MEMBER_SUSPECT, 'b', 1, 'd');
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'b', 1, 0);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_FAILED);
    mhand_told(h, 'd', ORR_MEMBER_LEFT, 'b', 1, 0);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_LEFT);
    mhand_told(h, 'd', ORR_MEMBER_FAILED, 'b', 1, 'd');
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_LEFT);
    assert_int_equal(mhand_status(h).stale, 4);
    mhand_free(h);
}

static void the_higher_incarnation_stands(void **state) {
    (void)state;
    static const enum orr_member_event_kind after[] = { ORR_MEMBER_REFUTED, ORR_MEMBER_RETURNS, ORR_MEMBER_JOINS };
    struct mhand *h = mhand_new(3, NULL);
    for (unsigned i = 0; i < 3; i++) {
        mhand_told(h, 'c', (enum orr_member_state)(ORR_MEMBER_SUSPECT + i), 'b', i + 1, 'c');
        mhand_forget(h);
        mhand_told(h, 'd', ORR_MEMBER_ALIVE, 'b', i + 2, 0);
        assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_ALIVE);
        assert_int_equal(mhand_sees(h, 'b').incarnation, i + 2);
        assert_int_equal(h->n_events, 1);
        assert_int_equal(h->events[0].kind, after[i]);
        mhand_told(h, 'c', ORR_MEMBER_FAILED, 'b', i + 1, 'c');
        assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_ALIVE);
    }
    mhand_free(h);
}

static void who_failed_and_is_suspected_in_a_later_life_lives(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    mhand_told(h, 'c', ORR_MEMBER_FAILED, 'b', 1, 'c');
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 2, 'd');
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_SUSPECT);
    assert_true(mhand_event(h, ORR_MEMBER_RETURNS, 'b') && mhand_event(h, ORR_MEMBER_SUSPECTED, 'b'));
    mhand_free(h);
}

static void of_the_unheard_only_life_is_news(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, NULL);
    assert_int_equal(orr_membership_know(h->m, h->now, "x", "address", true), 0);
    for (int s = ORR_MEMBER_SUSPECT; s <= ORR_MEMBER_LEFT; s++) {
        mhand_told(h, 'b', (enum orr_member_state)s, 'x', 1, 'b');
        assert_int_equal(mhand_sees(h, 'x').state, MHAND_NOBODY);
    }
    assert_int_equal(h->n_events, 0);
    assert_int_equal(orr_membership_count(h->m), 2);
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'x', 1, 0);
    assert_int_equal(mhand_sees(h, 'x').state, ORR_MEMBER_ALIVE);
    mhand_free(h);
}

static void other_tags_are_told_with_a_higher_incarnation_only(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    struct orri_fact f = mhand_whole(ORR_MEMBER_ALIVE, "b", 1);
    struct orri_packet gossip = { .kind = ORRI_GOSSIP };
    f.tags = orr_borrow("red", 3);
    f.version = 7;
    mhand_recv(h, 'b', gossip, &f, 1);
    assert_int_equal(mhand_sees(h, 'b').tags.size, 0);
    f.incarnation = 2;
    mhand_recv(h, 'b', gossip, &f, 1);
    assert_int_equal(mhand_sees(h, 'b').tags.size, 3);
    assert_memory_equal(mhand_sees(h, 'b').tags.at, "red", 3);
    assert_int_equal(mhand_sees(h, 'b').version, 7);
    assert_true(mhand_event(h, ORR_MEMBER_CHANGES, 'b'));
    mhand_free(h);
}

/* -- Oneself ------------------------------------------------------------------------------------------------------- */
static void refuting_raises_the_incarnation_above_what_was_said(void **state) {
    (void)state;
    for (int s = ORR_MEMBER_SUSPECT; s <= ORR_MEMBER_LEFT; s++) {
        struct mhand *h = mhand_new(3, NULL);
        mhand_told(h, 'b', (enum orr_member_state)s, 'a', 0, 'c');
        assert_int_equal(mhand_sees(h, 'a').incarnation, 1);            /* an earlier life's */
        mhand_told(h, 'b', (enum orr_member_state)s, 'a', 1, 'c');
        assert_int_equal(mhand_sees(h, 'a').incarnation, 2);
        mhand_told(h, 'b', (enum orr_member_state)s, 'a', 9, 'c');
        assert_int_equal(mhand_sees(h, 'a').incarnation, 10);
        assert_int_equal(mhand_sees(h, 'a').state, ORR_MEMBER_ALIVE);
        assert_int_equal(mhand_status(h).refuted, 2);
        assert_int_equal(mhand_status(h).awareness, 2);
        mhand_until(h, h->now + ORR_SECOND);
        assert_true(mhand_says(mhand_said(h, ORRI_GOSSIP, 0), ORR_MEMBER_ALIVE, 'a', 10));
        mhand_free(h);
    }
}

static void an_accusation_is_answered_at_once(void **state) {
    (void)state;
    struct mhand *h = mhand_new(3, NULL);
    struct orri_fact f = mhand_brief(ORR_MEMBER_SUSPECT, 'a', 1, 'b');
    mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_PING, .sequence = 5 }, &f, 1);
    const struct mhand_said *ack = mhand_said(h, ORRI_ACK, 'b');
    assert_non_null(ack);
    assert_int_equal(ack->packet.sequence, 5);
    assert_true(mhand_says(ack, ORR_MEMBER_ALIVE, 'a', 2));
    mhand_free(h);
}

static void another_under_ones_own_name_is_outbid(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'a', 1, 0);            /* the same incarnation, another address */
    assert_int_equal(mhand_sees(h, 'a').incarnation, 2);
    assert_string_equal(mhand_sees(h, 'a').address, "");
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'a', 1, 0);
    assert_int_equal(mhand_sees(h, 'a').incarnation, 2);
    mhand_free(h);
}

static void the_highest_incarnation_is_the_last(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    mhand_told(h, 'b', ORR_MEMBER_SUSPECT, 'a', INT64_MAX, 'b');
    assert_int_equal(mhand_sees(h, 'a').incarnation, INT64_MAX);
    assert_int_equal(mhand_told(h, 'b', ORR_MEMBER_SUSPECT, 'a', (uint64_t)INT64_MAX + 1, 'b'), ORR_EINVALID);
    mhand_free(h);
}

/* -- Records ------------------------------------------------------------------------------------------------------- */
static void a_failure_in_records_is_a_suspicion(void **state) {
    (void)state;
    struct mhand *h = mhand_new(3, NULL);
    struct orri_fact f = mhand_whole(ORR_MEMBER_FAILED, "b", 1);
    f.by = mhand_id('d');
    mhand_recv(h, 'c', (struct orri_packet){ .kind = ORRI_RECORDS, .flags = ORRI_LAST | ORRI_ANSWER }, &f, 1);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_SUSPECT);
    struct orr_member_why why;
    assert_int_equal(orr_membership_why(h->m, h->now, mhand_id('b'), &why), 0);
    assert_int_equal(why.suspected_by, mhand_id('d'));
    mhand_free(h);
}

static void forgets_soon(struct orr_membership_config *cfg) {
    cfg->open = true;
    cfg->forget = 100 * ORR_SECOND;
}

static void tombstones_of_strangers_are_kept_but_no_old_ones(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, forgets_soon);
    struct orri_fact f = mhand_whole(ORR_MEMBER_LEFT, "x", 4);
    struct orri_packet records = { .kind = ORRI_RECORDS };
    f.age = 50 * ORR_SECOND;
    mhand_recv(h, 'b', records, &f, 1);
    assert_int_equal(mhand_sees(h, 'x').state, MHAND_NOBODY);
    f.age = 40 * ORR_SECOND;
    mhand_recv(h, 'b', records, &f, 1);
    assert_int_equal(mhand_sees(h, 'x').state, ORR_MEMBER_LEFT);
    assert_int_equal(mhand_sees(h, 'x').since, h->now - 40 * ORR_SECOND);
    assert_int_equal(h->n_events, 0);
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'x', 4, 0);
    assert_int_equal(mhand_sees(h, 'x').state, ORR_MEMBER_LEFT);
    mhand_free(h);
}

static void the_dead_are_forgotten_after_their_time(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, forgets_soon);
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'x', 1, 0);
    mhand_told(h, 'b', ORR_MEMBER_LEFT, 'x', 1, 0);
    uint64_t with = h->m->buckets[orri_sync_bucket(mhand_id('x'))];
    mhand_answering(h, h->now + 51 * ORR_SECOND);
    assert_int_equal(mhand_sees(h, 'x').state, ORR_MEMBER_LEFT);        /* but is told no more */
    assert_int_not_equal(h->m->buckets[orri_sync_bucket(mhand_id('x'))], with);
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'x', 1, 0);
    assert_int_equal(mhand_sees(h, 'x').state, ORR_MEMBER_LEFT);
    mhand_answering(h, h->now + 50 * ORR_SECOND);
    assert_int_equal(mhand_sees(h, 'x').state, MHAND_NOBODY);
    assert_int_equal(orr_membership_count(h->m), 3);
    mhand_free(h);
}

/* -- Refusals ------------------------------------------------------------------------------------------------------ */
static void nothing_moves(struct mhand *h, int rc, int expected, uint64_t counted) {
    struct orr_membership_status s = mhand_status(h);
    assert_int_equal(rc, expected);
    assert_int_equal(counted, 1);
    assert_int_equal(s.alive, 3);
    assert_int_equal(s.dropped_malformed + s.dropped_cluster + s.dropped_key + s.dropped_stranger, 1);
    assert_int_equal(h->n_events + h->n_said, 0);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_ALIVE);
    mhand_free(h);
}

static size_t packet(unsigned char *bytes, orr_id from, orr_id to, uint64_t cluster) {
    struct orr_writer w = orri_writer(bytes, ORR_MEMBERSHIP_PACKET_MAX);
    struct orri_fact f = mhand_brief(ORR_MEMBER_FAILED, 'b', 1, 'c');
    orri_packet_write(&w, &(struct orri_packet){ .kind = ORRI_GOSSIP, .from = from, .to = to }, cluster, false);
    orri_fact_write(&w, &f);
    return orri_packet_sum(bytes, (size_t)(w.at - bytes));
}

static int recv(struct mhand *h, orr_id from, const unsigned char *bytes, size_t size) {
    return orr_membership_recv(h->m, h->now, from, orr_borrow(bytes, size));
}

static void refusals_are_counted_and_nothing_moves(void **state) {
    (void)state;
    unsigned char b[ORR_MEMBERSHIP_PACKET_MAX + 1];
    orr_id a = mhand_id('a'), c = mhand_id('c'), x = mhand_id('x');
    struct mhand *h = mhand_new(2, NULL);
    int rc = recv(h, c, b, packet(b, c, a, 1));
    nothing_moves(h, rc, ORR_EINVALID, mhand_status(h).dropped_cluster);

    h = mhand_new(2, NULL);
    rc = recv(h, x, b, packet(b, x, a, 0));
    nothing_moves(h, rc, ORR_EDENIED, mhand_status(h).dropped_stranger);

    h = mhand_new(2, NULL);
    rc = recv(h, mhand_id('b'), b, packet(b, c, a, 0));
    nothing_moves(h, rc, ORR_ECONFLICT, mhand_status(h).dropped_stranger);

    h = mhand_new(2, NULL);
    rc = recv(h, c, b, packet(b, c, x, 0));
    nothing_moves(h, rc, ORR_ECONFLICT, mhand_status(h).dropped_stranger);

    h = mhand_new(2, NULL);
    rc = recv(h, a, b, packet(b, a, a, 0));
    nothing_moves(h, rc, ORR_ECONFLICT, mhand_status(h).dropped_stranger);

    for (size_t cut = 1; cut < packet(b, c, a, 0); cut++) {     /* whatever is missing, but all of the fact */
        if (packet(b, c, a, 0) - cut == 29) continue;
        h = mhand_new(2, NULL);
        rc = recv(h, c, b, packet(b, c, a, 0) - cut);
        nothing_moves(h, rc, ORR_EINVALID, mhand_status(h).dropped_malformed);
    }
}

static void one_whom_it_may_not_talk_to_is_a_stranger(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    assert_int_equal(orr_membership_know(h->m, h->now, "x", "", false), 0);
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'x', 1, 0);
    assert_int_equal(mhand_sees(h, 'x').state, ORR_MEMBER_ALIVE);
    assert_false(mhand_sees(h, 'x').may_talk);
    assert_int_equal(mhand_told(h, 'x', ORR_MEMBER_FAILED, 'b', 1, 'x'), ORR_EDENIED);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_ALIVE);
    mhand_forget(h);
    mhand_answering(h, h->now + 60 * ORR_SECOND);
    for (size_t i = 0; i < h->n_said; i++) assert_int_not_equal(h->said[i].to, 'x');
    mhand_free(h);
}

static void who_is_not_in_the_file_stays_out(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, NULL);
    assert_int_equal(mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'x', 1, 0), 0);
    assert_int_equal(mhand_sees(h, 'x').state, MHAND_NOBODY);
    assert_int_equal(mhand_status(h).dropped_stranger, 1);
    mhand_free(h);
}

static void is_open(struct orr_membership_config *cfg) { cfg->open = true; }

static void who_introduces_himself_joins_an_open_cluster(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, is_open);
    assert_int_equal(mhand_told(h, 'x', ORR_MEMBER_FAILED, 'b', 1, 'x'), ORR_EDENIED);
    assert_int_equal(mhand_told(h, 'x', ORR_MEMBER_ALIVE, 'x', 1, 0), 0);
    assert_int_equal(mhand_sees(h, 'x').state, ORR_MEMBER_ALIVE);
    assert_true(mhand_sees(h, 'x').may_talk);
    mhand_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_equal_incarnations_the_worse_stands),
        cmocka_unit_test(the_higher_incarnation_stands),
        cmocka_unit_test(who_failed_and_is_suspected_in_a_later_life_lives),
        cmocka_unit_test(of_the_unheard_only_life_is_news),
        cmocka_unit_test(other_tags_are_told_with_a_higher_incarnation_only),
        cmocka_unit_test(refuting_raises_the_incarnation_above_what_was_said),
        cmocka_unit_test(an_accusation_is_answered_at_once),
        cmocka_unit_test(another_under_ones_own_name_is_outbid),
        cmocka_unit_test(the_highest_incarnation_is_the_last),
        cmocka_unit_test(a_failure_in_records_is_a_suspicion),
        cmocka_unit_test(tombstones_of_strangers_are_kept_but_no_old_ones),
        cmocka_unit_test(the_dead_are_forgotten_after_their_time),
        cmocka_unit_test(refusals_are_counted_and_nothing_moves),
        cmocka_unit_test(one_whom_it_may_not_talk_to_is_a_stranger),
        cmocka_unit_test(who_is_not_in_the_file_stays_out),
        cmocka_unit_test(who_introduces_himself_joins_an_open_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
