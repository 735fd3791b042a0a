/* raft_ailing_test.c - disks that are full, or slow without failing: who leads then, message by message, and whether a
 * cluster of slow disks gets anywhere. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "support/raft_hand.h"

#define T ORR_SECOND                /* the election timeout here */
#define STALL (4 * T)               /* and what is too long for a write */

static size_t leader_of(const struct hand *h) {
    size_t best = h->n;
    for (size_t i = 0; i < h->n; i++) {
        struct orr_order_status s = hand_status(h, i);
        if (s.role == ORR_LEADER && (best == h->n || s.term > hand_status(h, best).term)) best = i;
    }
    return best;
}

/* Long times, untraced. */
static void pass(struct hand *h, orr_time by) {
    for (orr_time end = h->now + by; h->now < end; h->trace_size = 0)
        hand_tick_all(h, end - h->now < T ? end - h->now : T);
}

static int propose(struct hand *h, size_t i) {
    struct orr_slice b = orr_borrow("x", 1);
    size_t taken;
    int rc = orr_raft_propose(h->r[i], h->now, &b, 1, &taken, NULL);
    hand_collect(h, i);
    return rc;
}

/* Node 1 leads, its disk takes nothing more, and the others have committed a write without it. */
static struct hand *hung_leader(size_t n) {
    struct hand *h = hand_new(n, NULL);
    hand_elect(h, 0);
    h->held[0] = true;
    assert_int_equal(propose(h, 0), 0);
    hand_pump(h);
    assert_int_equal(hand_status(h, 0).commit, hand_status(h, 0).last);
    assert_int_equal(hand_status(h, 0).stored, hand_status(h, 0).last - 1);
    return h;
}

static void a_leader_whose_disk_hangs_hands_over(void **state) {
    (void)state;
    struct hand *h = hung_leader(3);
    pass(h, STALL - T);
    assert_int_equal(leader_of(h), 0);
    assert_false(hand_status(h, 0).ailing);
    pass(h, T + T / 5);
    assert_true(hand_status(h, 0).ailing);
    size_t leader = leader_of(h);
    assert_true(leader == 1 || leader == 2);
    assert_int_equal(hand_status(h, leader).term, 2);   /* nobody had to wait for an election */
    assert_int_equal(hand_status(h, 0).leader, leader + 1);
    assert_int_equal(propose(h, leader), 0);
    hand_pump(h);
    assert_int_equal(hand_status(h, leader).commit, hand_status(h, leader).last);
    h->held[0] = false;
    hand_pump(h);
    assert_int_equal(hand_status(h, 0).stored, hand_status(h, leader).last);
    assert_true(hand_status(h, 0).ailing);              /* not quite trusted yet */
    pass(h, 10 * T);
    assert_false(hand_status(h, 0).ailing);
    assert_int_equal(leader_of(h), leader);
    hand_free(h);
}

/* Nobody is ahead of the leader: another one could not commit either. */
static void it_leads_on_where_that_would_not_help(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    h->held[0] = h->held[1] = true;
    assert_int_equal(propose(h, 0), 0);
    pass(h, 10 * STALL);
    assert_int_equal(leader_of(h), 0);
    assert_int_equal(hand_status(h, 0).term, 1);
    assert_int_equal(hand_said(h, 0, ORR_RAFT_TIMEOUT_NOW).type, 0);
    h->held[1] = false;                                 /* now it does; the one that hung itself is not asked to, */
    pass(h, T);
    assert_int_equal(leader_of(h), 2);                  /* or says no */
    hand_free(h);
}

static struct orr_raft_msg timeout_now(orr_id from, orr_term term) {
    return (struct orr_raft_msg){ .type = ORR_RAFT_TIMEOUT_NOW, .from = from, .term = term };
}

static void who_ails_declines_leadership(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    orr_raft_full(h->r[1], h->now, true);
    hand_recv(h, 1, timeout_now(1, 1));
    struct orr_raft_msg no = hand_said(h, 1, ORR_RAFT_PREVOTE_REPLY);
    assert_true(no.type && no.to == 1 && !no.granted && no.term == 1);
    assert_int_equal(hand_status(h, 1).role, ORR_FOLLOWER);
    hand_forget(h);
    h->held[2] = true;
    assert_int_equal(propose(h, 0), 0);
    hand_pump(h);
    pass(h, STALL);
    hand_recv(h, 2, timeout_now(1, 1));                 /* its disk hangs */
    assert_int_equal(hand_said(h, 2, ORR_RAFT_PREVOTE_REPLY).type, ORR_RAFT_PREVOTE_REPLY);
    hand_forget(h);
    h->held[2] = false;
    hand_pump(h);
    pass(h, 9 * T);
    hand_recv(h, 2, timeout_now(1, 1));                 /* or did a moment ago */
    assert_int_equal(hand_said(h, 2, ORR_RAFT_PREVOTE_REPLY).type, ORR_RAFT_PREVOTE_REPLY);
    hand_forget(h);
    pass(h, 2 * T);
    hand_recv(h, 2, timeout_now(1, 1));
    assert_int_equal(hand_status(h, 2).role, ORR_CANDIDATE);
    hand_free(h);
}

/* Proposals wait no longer than the answer takes; the operator's wish goes on to the next one. */
static void a_decline_ends_the_offer(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    orr_raft_full(h->r[1], h->now, true);
    assert_int_equal(orr_raft_hand_over(h->r[0], h->now, 2), 0);
    hand_collect(h, 0);
    assert_int_equal(propose(h, 0), ORR_ENOLEADER);
    hand_pump(h);
    assert_int_equal(propose(h, 0), 0);
    hand_pump(h);
    assert_int_equal(leader_of(h), 0);
    assert_int_equal(orr_raft_hand_over(h->r[0], h->now, ORR_NOBODY), 0);
    hand_collect(h, 0);
    hand_pump(h);
    assert_int_equal(leader_of(h), 2);
    hand_free(h);
}

static void a_leader_whose_disk_is_full_hands_over(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    orr_raft_full(h->r[0], h->now, true);
    orr_raft_full(h->r[1], h->now, true);               /* it would decline; then two of three have no room */
    pass(h, T);
    size_t leader = leader_of(h);
    assert_int_equal(leader, 0);
    assert_int_equal(propose(h, 0), ORR_EFULL);
    orr_raft_full(h->r[1], h->now, false);
    pass(h, 12 * T);
    leader = leader_of(h);
    assert_true(leader == 1 || leader == 2);
    assert_int_equal(propose(h, leader), 0);
    hand_pump(h);
    assert_int_equal(hand_status(h, leader).commit, hand_status(h, leader).last);
    orr_term term = hand_status(h, leader).term;
    for (size_t i = 0; i < 3; i++) orr_raft_full(h->r[i], h->now, true);
    pass(h, 100 * T);                          /* nobody has room: no change helps */
    assert_int_equal(leader_of(h), leader);
    assert_int_equal(hand_status(h, leader).term, term);
    hand_free(h);
}

/* The one that can't store its vote does not stand; the one without room stands last. */
static void who_ails_stands_last_but_stands(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    orr_raft_full(h->r[1], h->now, true);
    h->cut[0] = true;
    pass(h, 3 * T);
    assert_int_equal(hand_status(h, 2).role, ORR_LEADER);
    h->cut[0] = false;
    orr_raft_full(h->r[0], h->now, true);
    pass(h, T);
    orr_raft_full(h->r[0], h->now, true);
    h->cut[2] = true;
    orr_term term = hand_status(h, 2).term;
    pass(h, 6 * T);
    assert_true(hand_status(h, 0).role == ORR_LEADER || hand_status(h, 1).role == ORR_LEADER);
    assert_true(hand_status(h, 0).term <= term + 3);
    hand_free(h);

    h = hand_new(3, NULL);
    hand_elect(h, 0);
    h->held[1] = true;
    assert_int_equal(propose(h, 0), 0);
    pass(h, STALL);
    h->cut[0] = h->cut[2] = true;
    assert_int_equal(orr_raft_deadline(h->r[1]), ORR_NEVER);
    h->held[1] = false;
    hand_pump(h);
    assert_true(orr_raft_deadline(h->r[1]) < ORR_NEVER);
    hand_free(h);
}

/* -- All disks slow ---------------------------------------------------------------------------------------------- */
struct slow_disk {
    orr_time done_at;               /* ORR_NEVER: at rest */
    size_t n;                       /* stores in this write */
};

static orr_time duration(struct orr_rng *rng, orr_time least) {
    return orri_rng_between(rng, least, least + least / 4);
}

/* One write at a time; what comes in meanwhile is the next. */
static void turn_disk(struct hand *h, size_t i, struct slow_disk *d, struct orr_rng *rng, orr_time least) {
    if (d->done_at <= h->now) {
        for (size_t k = 0; k < d->n; k++) assert_int_equal(orr_raft_stored(h->r[i], h->now, h->stores[i][k], 0), 0);
        h->n_stores[i] -= d->n;
        for (size_t k = 0; k < h->n_stores[i]; k++) h->stores[i][k] = h->stores[i][k + d->n];
        d->done_at = ORR_NEVER;
        hand_collect(h, i);
    }
    if (d->done_at != ORR_NEVER || h->n_stores[i] == 0) return;
    d->n = h->n_stores[i];
    d->done_at = h->now + duration(rng, least);
}

static orr_index run_slow(struct hand *h, orr_time least, orr_time for_ns, struct orr_rng *rng) {
    struct slow_disk disks[HAND_MAX];
    orr_index commit = 0;
    for (size_t i = 0; i < h->n; i++) disks[i] = (struct slow_disk){ ORR_NEVER, 0 };
    for (orr_time end = h->now + for_ns; h->now < end;) {
        pass(h, T / 50);
        for (size_t i = 0; i < h->n; i++) turn_disk(h, i, &disks[i], rng, least);
        size_t leader = leader_of(h);
        if (leader == h->n) continue;
        struct orr_order_status s = hand_status(h, leader);
        if (s.last == s.commit) (void)propose(h, leader);
        if (s.commit > commit) commit = s.commit;
    }
    return commit;
}

static void slow_disks_elect_and_commit(void **state) {
    (void)state;
    static const orr_time takes[] = { T / 2, T, 3 * T / 2, 2 * T, 3 * T, 5 * T, 10 * T, 20 * T };
    for (unsigned i = 0; i < sizeof takes / sizeof *takes * 20; i++) {
        orr_time least = takes[i / 20];
        struct orr_rng rng;
        orri_rng_init(&rng, i);
        struct hand *h = hand_new(i % 2 ? 3 : 5, NULL);
        for (size_t k = 0; k < h->n; k++) h->held[k] = true;
        pass(h, (orr_time)orri_rng_below(&rng, T));
        orr_index commit = run_slow(h, least, 60 * least + 60 * T, &rng);
        orr_term term = 0;
        for (size_t k = 0; k < h->n; k++) term = hand_status(h, k).term > term ? hand_status(h, k).term : term;
        if (commit < 20 || term > 2)
            fail_msg("%.1f election timeouts a write, run %u: %llu committed, term %llu", (double)least / (double)T, i,
                     (unsigned long long)commit, (unsigned long long)term);
        hand_free(h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_whose_disk_hangs_hands_over),
        cmocka_unit_test(it_leads_on_where_that_would_not_help),
        cmocka_unit_test(who_ails_declines_leadership),
        cmocka_unit_test(a_decline_ends_the_offer),
        cmocka_unit_test(a_leader_whose_disk_is_full_hands_over),
        cmocka_unit_test(who_ails_stands_last_but_stands),
        cmocka_unit_test(slow_disks_elect_and_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
