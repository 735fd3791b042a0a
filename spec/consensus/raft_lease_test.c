/* raft_lease_test.c - leases and the age of copies (raft_lease.c): when a leader may answer alone, what voters owe it,
 * what takes a lease away, and what a replica knows of its own age. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/raft_hand.h"

#define T ORR_SECOND                /* the election timeout here; heartbeats each T / 10 */
#define LEASE (T / 10 * 8)
#define WALL (INT64_C(1767225600) * ORR_SECOND)
#define BOUND ORR_MS

static void with_leases(struct orr_raft_config *cfg) { cfg->order.leases = true; }

static void tell(struct hand *h, size_t i, bool trusted) {
    orr_time now = WALL + h->now;
    orr_raft_clock(h->r[i], h->now, &(struct orr_clock_reading){ trusted, now - BOUND, now + BOUND });
}
static void tell_all(struct hand *h) {
    for (size_t i = 0; i < h->n; i++) tell(h, i, true);
}

/* Time goes on, in steps that are short beside a heartbeat, with clocks that all can rely on. */
static void pass(struct hand *h, orr_time by) {
    for (orr_time end = h->now + by; h->now < end;) {
        orr_time step = end - h->now < T / 100 ? end - h->now : T / 100;
        tell_all(h);
        hand_tick_all(h, step);
    }
    tell_all(h);
}

static struct hand *led(void) {
    struct hand *h = hand_new_with(3, NULL, with_leases);
    h->now = 10 * T;
    tell_all(h);
    hand_elect(h, 0);
    pass(h, T / 2);
    assert_int_equal(hand_status(h, 0).role, ORR_LEADER);
    return h;
}

/* Is a read of node i answered without a word to anybody? */
static bool at_once(struct hand *h, size_t i) {
    size_t answers = h->n_answers;
    tell(h, i, true);
    assert_int_equal(orr_raft_read_index(h->r[i], h->now, 77), 0);
    hand_collect(h, i);
    return h->n_answers > answers && h->answers[h->n_answers - 1].status == 0;
}

static struct orr_raft_msg vote(orr_id from, orr_term term, bool forced) {
    return (struct orr_raft_msg){ .type = ORR_RAFT_VOTE, .from = from, .term = term, .last_log_index = 99,
                                  .last_log_term = term - 1, .forced = forced };
}

static void a_leader_answers_alone(void **state) {
    (void)state;
    struct hand *h = led();
    hand_propose(h, 0, "x");
    hand_pump(h);
    hand_forget(h);
    assert_true(at_once(h, 0));
    assert_int_equal(h->answers[h->n_answers - 1].index, hand_status(h, 0).commit);
    assert_int_equal(h->n_msgs, 0);
    /* for another node in one exchange */
    assert_int_equal(orr_raft_read_index(h->r[1], h->now, 78), 0);
    hand_collect(h, 1);
    assert_true(hand_deliver(h));
    assert_int_equal(hand_said(h, 0, ORR_RAFT_READ_REPLY).to, 2);
    assert_true(hand_deliver(h));
    assert_int_equal(h->answers[h->n_answers - 1].tag, 78);
    hand_free(h);
}

/* Four fifths of what was promised, counted from when the round began. */
static void it_ends(void **state) {
    (void)state;
    struct hand *h = led();
    orr_time until = hand_status(h, 0).lease;
    assert_true(until > h->now + LEASE - T / 10 - T / 50 && until <= h->now + LEASE);
    h->cut[0] = true;
    pass(h, until - h->now - 1);
    assert_true(at_once(h, 0));
    pass(h, 1);
    hand_forget(h);
    assert_false(at_once(h, 0));
    assert_true(h->n_msgs > 0);                     /* it asks */
    hand_free(h);
}

/* It was on its way for long: what it promises is of then. */
static void a_late_promise_is_no_newer(void **state) {
    (void)state;
    struct hand *h = led();
    hand_forget(h);
    orr_time sent = h->now + T / 10;
    h->now = sent;
    tell_all(h);
    assert_int_equal(orr_raft_tick(h->r[0], h->now), 0);
    hand_collect(h, 0);
    assert_int_equal(h->n_msgs, 2);
    h->now += T / 2;
    tell(h, 0, true);
    hand_pump(h);
    assert_int_equal(hand_status(h, 0).lease, sent + LEASE);
    hand_free(h);
}

static void without_promises_there_is_none(void **state) {
    (void)state;
    struct hand *h = hand_new_with(3, NULL, with_leases);
    h->now = 10 * T;
    hand_elect(h, 0);
    for (int i = 0; i < 30; i++) {
        tell(h, 0, true);                           /* the others know of no time */
        hand_tick_all(h, T / 50);
    }
    assert_int_equal(hand_status(h, 0).lease, 0);
    hand_forget(h);
    assert_false(at_once(h, 0));
    hand_free(h);
    h = led();
    tell(h, 0, false);                              /* its own clock is not to be relied on */
    assert_int_equal(hand_status(h, 0).lease, 0);
    hand_free(h);
    h = hand_new(3, NULL);                          /* nobody asked for leases */
    hand_elect(h, 0);
    pass(h, T);
    assert_int_equal(hand_status(h, 0).lease, 0);
    hand_free(h);
}

/* Neither a candidate, nor a later term that it hears of, nor a leader that it has forgotten frees a voter. */
static void a_voter_keeps_its_promise(void **state) {
    (void)state;
    struct hand *h = led();
    orr_time acked = h->now;
    hand_forget(h);
    h->cut[0] = true;
    (void)hand_recv(h, 1, (struct orr_raft_msg){ .type = ORR_RAFT_APPEND_REPLY, .from = 3, .term = 8 });
    assert_int_equal(hand_status(h, 1).term, 8);
    assert_int_equal(hand_status(h, 1).leader, ORR_NOBODY);
    hand_written(h, 1);
    (void)hand_recv(h, 1, vote(3, 8, false));
    hand_written(h, 1);
    assert_false(hand_said(h, 1, ORR_RAFT_VOTE_REPLY).granted);
    (void)hand_recv(h, 1, (struct orr_raft_msg){ .type = ORR_RAFT_PREVOTE, .from = 3, .term = 9, .last_log_index = 99,
                                                 .last_log_term = 8 });
    assert_false(hand_said(h, 1, ORR_RAFT_PREVOTE_REPLY).granted);
    (void)hand_recv(h, 1, vote(3, 9, false));       /* not even the term is entered */
    assert_int_equal(hand_status(h, 1).term, 8);
    assert_int_equal(orr_raft_campaign(h->r[1], h->now), ORR_EDENIED);
    assert_true(orr_raft_deadline(h->r[1]) >= acked + T - T / 100);
    h->now += T;
    hand_forget(h);
    (void)hand_recv(h, 1, vote(3, 9, false));
    hand_written(h, 1);
    assert_true(hand_said(h, 1, ORR_RAFT_VOTE_REPLY).granted);
    hand_free(h);
}

/* What an earlier life promised, it does not know. */
static void a_restart_forgets_no_promise(void **state) {
    (void)state;
    struct hand_boot ran = { .term = 5, .log = { 1 } }, boots[3] = { ran, ran, ran };
    struct hand *h = hand_new_with(3, boots, with_leases);
    (void)hand_recv(h, 0, vote(2, 6, false));
    hand_written(h, 0);
    assert_false(hand_said(h, 0, ORR_RAFT_VOTE_REPLY).granted);
    h->now = T - 1;
    (void)hand_recv(h, 0, vote(2, 7, false));
    assert_int_equal(hand_status(h, 0).term, 5);
    h->now = T;
    hand_forget(h);
    (void)hand_recv(h, 0, vote(2, 7, false));
    hand_written(h, 0);
    assert_true(hand_said(h, 0, ORR_RAFT_VOTE_REPLY).granted);
    hand_free(h);
    h = hand_new_with(3, NULL, with_leases);        /* never ran before: free at once */
    (void)hand_recv(h, 0, vote(2, 1, false));
    hand_written(h, 0);
    assert_true(hand_said(h, 0, ORR_RAFT_VOTE_REPLY).granted);
    hand_free(h);
}

/* Whom the leader asks to stand may be elected while its lease would last: so it has none from then on. */
static void handing_over_ends_it(void **state) {
    (void)state;
    struct hand *h = led();
    h->cut[1] = true;
    assert_int_equal(orr_raft_hand_over(h->r[0], h->now, 2), 0);
    hand_collect(h, 0);
    assert_int_equal(hand_said(h, 0, ORR_RAFT_TIMEOUT_NOW).to, 2);
    struct orr_raft_msg late = hand_said(h, 0, ORR_RAFT_TIMEOUT_NOW);
    assert_int_equal(hand_status(h, 0).lease, 0);
    hand_pump(h);
    pass(h, 2 * T);                                 /* given up: it leads on, and asks for each read */
    assert_int_equal(hand_status(h, 0).role, ORR_LEADER);
    assert_int_equal(hand_status(h, 0).lease, 0);
    h->cut[1] = false;
    pass(h, T);
    (void)hand_recv(h, 1, late);                    /* now it arrives */
    hand_pump(h);
    assert_int_equal(hand_status(h, 1).role, ORR_LEADER);
    assert_int_equal(hand_status(h, 1).term, hand_status(h, 0).term);
    pass(h, T / 2);
    assert_true(hand_status(h, 1).lease > h->now);  /* a new term */
    hand_free(h);
}

/* The program stood still between reading its clock and its messages: the promise is of now, not of then. */
static void a_promise_begins_when_it_is_given(void **state) {
    (void)state;
    struct hand *h = led();
    hand_forget(h);
    struct orr_order_status s = hand_status(h, 1);
    struct orr_raft_msg append = { .type = ORR_RAFT_APPEND, .from = 1, .to = 2, .term = s.term, .round = 1,
                                   .prev_log_index = s.last, .prev_log_term = s.term, .leader_commit = s.commit,
                                   .want_reply = true };
    assert_int_equal(orr_raft_recv(h->r[1], h->now, &append), 0);
    h->now += 9 * T;
    tell(h, 1, true);
    hand_collect(h, 1);
    assert_true(hand_said(h, 1, ORR_RAFT_APPEND_REPLY).promise);
    h->now += T - 1;
    (void)hand_recv(h, 1, vote(3, s.term + 1, false));
    assert_int_equal(hand_status(h, 1).term, s.term);
    hand_free(h);
}

/* An entry of the own term must be committed first, as for any read. */
static void a_new_leader_has_none_yet(void **state) {
    (void)state;
    struct hand *h = led();
    pass(h, T);
    h->held[1] = true;                              /* its no-op is not stored, nor is anybody's */
    h->held[2] = true;
    h->cut[0] = true;
    h->now += 3 * T;
    tell_all(h);
    orr_raft_campaign(h->r[1], h->now);
    for (int i = 0; i < 6; i++) {                   /* votes are written, entries are not */
        bool leads = hand_status(h, 1).role == ORR_LEADER;
        hand_collect(h, 1);
        while (hand_deliver(h)) continue;
        if (!leads) hand_written(h, 1), hand_written(h, 2);
    }
    assert_int_equal(hand_status(h, 1).role, ORR_LEADER);
    assert_int_equal(hand_status(h, 1).lease, 0);
    hand_free(h);
}

/* Strong reads tell log time, and the next leader must not count from before. */
static void log_time_does_not_go_back(void **state) {
    (void)state;
    struct hand *h = hand_new_with(3, NULL, with_leases);
    h->now = 10 * T;
    for (size_t i = 0; i < 3; i++) orr_raft_wall(h->r[i], h->now, i == 0 ? WALL + 99 * T : WALL - 99 * T);
    tell_all(h);
    hand_elect(h, 0);
    pass(h, T);
    orr_raft_wall(h->r[0], h->now, WALL + 999 * T);         /* as fast as it may be; the others' as slow */
    for (size_t i = 1; i < 3; i++) orr_raft_wall(h->r[i], h->now, WALL - 999 * T);
    orr_time until = hand_status(h, 0).lease, first = h->now;
    h->cut[0] = true;
    pass(h, until - h->now - 1);
    assert_true(at_once(h, 0));
    orr_time told = h->answers[h->n_answers - 1].time;
    while (hand_status(h, 1).role != ORR_LEADER && hand_status(h, 2).role != ORR_LEADER && h->now < first + 9 * T)
        pass(h, T / 100);
    size_t next = hand_status(h, 1).role == ORR_LEADER ? 1 : 2;
    assert_false(at_once(h, next));
    hand_pump(h);
    assert_true(h->answers[h->n_answers - 1].time >= told);
    hand_free(h);
}

/* -- Ages ------------------------------------------------------------------------------------------------------ */
static orr_time age(const struct hand *h, size_t i) { return h->now - hand_status(h, i).as_of; }

static void a_replica_knows_its_age(void **state) {
    (void)state;
    for (int leases = 0; leases < 2; leases++) {
        struct hand *h = leases ? hand_new_with(3, NULL, with_leases) : hand_new(3, NULL);
        h->now = 10 * T;
        tell_all(h);
        hand_elect(h, 0);
        pass(h, T);
        for (size_t i = 0; i < 3; i++) assert_true(age(h, i) >= 0 && age(h, i) < T / 10 * 3);
        orr_time was = age(h, 2), cut_at = h->now;
        h->cut[2] = true;
        pass(h, T / 2);
        assert_true(age(h, 2) == was + h->now - cut_at && age(h, 1) < T / 10 * 3);
        h->cut[2] = false;
        pass(h, T);
        assert_true(age(h, 2) < T / 10 * 3);
        h->cut[0] = true;                           /* alone: no quorum confirms what it has */
        cut_at = h->now;
        pass(h, T / 10 * 9);
        assert_true(age(h, 0) >= h->now - cut_at - (leases ? LEASE : 0));
        hand_free(h);
    }
}

/* Nor does it tell others before a quorum has confirmed the round. */
static void what_no_quorum_has_confirmed_is_not_told(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    h->now = 10 * T;
    tell_all(h);
    hand_elect(h, 0);
    pass(h, T);
    orr_time last = h->now;
    for (int beat = 0; beat < 5; beat++) {
        hand_forget(h);
        h->now += T / 10;
        tell(h, 0, true);
        assert_int_equal(orr_raft_tick(h->r[0], h->now), 0);
        hand_collect(h, 0);
        assert_int_equal(h->n_msgs, 2);
        assert_true(h->msgs[0].as_of_time > 0 && h->msgs[0].as_of_time <= WALL + last);
    }
    hand_free(h);
}

/* A leader that was left alone can say that its copy is whole until its lease ends. */
static void a_deposed_leader_grows_old(void **state) {
    (void)state;
    struct hand *h = led();
    h->cut[0] = true;
    orr_time cut_at = h->now;
    pass(h, 5 * T);
    assert_true(age(h, 0) >= h->now - cut_at - LEASE && age(h, 0) <= h->now - cut_at);
    size_t next = hand_status(h, 1).role == ORR_LEADER ? 1 : 2;
    assert_true(age(h, next) < T / 2);
    hand_free(h);
}

static struct orr_raft_msg dated(const struct hand *h, size_t i, orr_index commit, orr_index index, orr_time time) {
    struct orr_order_status s = hand_status(h, i);
    return (struct orr_raft_msg){ .type = ORR_RAFT_APPEND, .from = s.leader, .term = s.term, .prev_log_index = s.last,
                                  .prev_log_term = s.term, .leader_commit = commit, .as_of_index = index,
                                  .as_of_time = time, .round = 1 };
}

/* What isn't applied yet counts when it is; one that is always behind counts from what it has reached. */
static void what_is_not_applied_does_not_count(void **state) {
    (void)state;
    struct hand *h = led();
    hand_forget(h);
    orr_index last = hand_status(h, 1).last;
    struct orr_raft_msg m = dated(h, 1, last + 2, last + 2, WALL + h->now - 5 * ORR_MS);
    struct orr_entry x = { .index = last + 1, .term = m.term, .kind = ORR_ENTRY_DATA, .data = orr_borrow("x", 1) };
    struct orr_entry two[] = { x, x };
    two[1].index++;
    m.entries = two;
    m.n_entries = 2;
    orr_time before = hand_status(h, 1).as_of;
    (void)hand_recv(h, 1, m);
    assert_int_equal(hand_status(h, 1).as_of, before);
    hand_written(h, 1);
    assert_int_equal(hand_status(h, 1).applied, last + 2);
    assert_true(age(h, 1) >= 5 * ORR_MS && age(h, 1) < 8 * ORR_MS);
    assert_int_equal(hand_recv(h, 1, dated(h, 1, last + 2, last + 3, WALL + h->now)), ORR_EINVALID);
    assert_int_equal(hand_recv(h, 1, dated(h, 1, last + 2, last + 2, -1)), ORR_EINVALID);
    hand_free(h);
}

/* The cluster's time may step: who has an age keeps it. A date from ahead of all that the time can be is of before. */
static void steps_of_the_time_make_nothing_younger(void **state) {
    (void)state;
    struct hand *h = led();
    hand_forget(h);
    orr_index last = hand_status(h, 1).last;
    h->cut[0] = true;
    orr_time was = age(h, 1), then = h->now;
    h->now += T / 4;
    orr_time stepped = WALL + h->now - 100 * T;
    orr_raft_clock(h->r[1], h->now, &(struct orr_clock_reading){ true, stepped, stepped + BOUND });
    assert_int_equal(age(h, 1), was + h->now - then);
    (void)hand_recv(h, 1, dated(h, 1, last, last, WALL + h->now));      /* as it was before the step */
    assert_int_equal(age(h, 1), was + h->now - then);
    h->now += T / 4;
    orr_raft_clock(h->r[1], h->now, &(struct orr_clock_reading){ false, 0, 0 });
    (void)hand_recv(h, 1, dated(h, 1, last, last, WALL + h->now));      /* not known: nothing can be said */
    assert_int_equal(age(h, 1), was + h->now - then);
    hand_free(h);
}

/* What a leader once knew it does not tell for ever: a step back would make it young again. */
static void an_old_date_is_not_told_again(void **state) {
    (void)state;
    struct hand *h = led();
    h->now += T / 10;
    tell_all(h);
    orr_raft_tick(h->r[0], h->now);
    hand_collect(h, 0);
    assert_true(h->n_msgs > 0 && h->msgs[0].as_of_time > 0);
    hand_pump(h);
    for (size_t i = 0; i < 3; i++) orr_raft_clock(h->r[i], h->now, &(struct orr_clock_reading){ false, 0, 0 });
    hand_tick_all(h, 2 * T);
    h->now += T / 10;
    orr_raft_tick(h->r[0], h->now);
    hand_collect(h, 0);
    assert_true(h->n_msgs > 0 && h->msgs[0].as_of_time == 0);
    hand_pump(h);
    h->now += T / 10;                               /* stepped back by far */
    for (size_t i = 0; i < 3; i++)
        orr_raft_clock(h->r[i], h->now, &(struct orr_clock_reading){ true, 9 * T, 9 * T + BOUND });
    orr_raft_tick(h->r[0], h->now);
    hand_pump(h);
    assert_true(age(h, 0) <= T / 10);
    hand_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_answers_alone),
        cmocka_unit_test(it_ends),
        cmocka_unit_test(a_late_promise_is_no_newer),
        cmocka_unit_test(without_promises_there_is_none),
        cmocka_unit_test(a_voter_keeps_its_promise),
        cmocka_unit_test(a_restart_forgets_no_promise),
        cmocka_unit_test(handing_over_ends_it),
        cmocka_unit_test(a_promise_begins_when_it_is_given),
        cmocka_unit_test(a_new_leader_has_none_yet),
        cmocka_unit_test(log_time_does_not_go_back),
        cmocka_unit_test(a_replica_knows_its_age),
        cmocka_unit_test(what_no_quorum_has_confirmed_is_not_told),
        cmocka_unit_test(a_deposed_leader_grows_old),
        cmocka_unit_test(what_is_not_applied_does_not_count),
        cmocka_unit_test(steps_of_the_time_make_nothing_younger),
        cmocka_unit_test(an_old_date_is_not_told_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
