/* raft_paper_test.c - one test for each claim of the Raft paper's section 5, quoted, and for the thesis' additions.
 *
 * The scenarios of figures 7 and 8 are compared with spec/consensus/traces/NAME.txt, message by message;
 * RAFT_REWRITE=1 writes those anew (then read the difference). */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/raft_hand.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T ORR_SECOND                /* the election timeout here */

static void same_trace(struct hand *h, const char *name) {
    char path[200], was[sizeof h->trace] = { 0 };
    snprintf(path, sizeof path, "spec/consensus/traces/%s.txt", name);
    if (getenv("RAFT_REWRITE")) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fwrite(h->trace, 1, h->trace_size, f);
        fclose(f);
    }
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(was, 1, sizeof was - 1, f);
    fclose(f);
    was[n] = 0;
    assert_string_equal(h->trace, was);
}

static struct orr_raft_msg msg(enum orr_raft_type type, orr_id from, orr_term term) {
    return (struct orr_raft_msg){ .type = type, .from = from, .term = term };
}

static struct orr_raft_msg vote(orr_id from, orr_term term, orr_index last, orr_term last_term) {
    struct orr_raft_msg m = msg(ORR_RAFT_VOTE, from, term);
    m.last_log_index = last;
    m.last_log_term = last_term;
    return m;
}

static struct orr_raft_msg append(orr_id from, orr_term term, orr_index prev, orr_term prev_term, orr_index commit) {
    struct orr_raft_msg m = msg(ORR_RAFT_APPEND, from, term);
    m.prev_log_index = prev;
    m.prev_log_term = prev_term;
    m.leader_commit = commit;
    m.want_reply = true;
    return m;
}

/* 5.1: "If a server receives a request with a stale term number, it rejects the request." */
static void stale_term_is_rejected(void **state) {
    (void)state;
    struct hand_boot boots[3] = { { .term = 5, .log = { 1 } } };
    struct hand *h = hand_new(3, boots);
    hand_recv(h, 0, vote(2, 4, 9, 4));
    struct orr_raft_msg reply = hand_said(h, 0, ORR_RAFT_VOTE_REPLY);
    assert_true(reply.type && !reply.granted && reply.term == 5);
    hand_recv(h, 0, append(2, 4, 1, 1, 1));
    reply = hand_said(h, 0, ORR_RAFT_APPEND_REPLY);
    assert_true(reply.type && !reply.success && reply.term == 5);
    assert_int_equal(hand_status(h, 0).leader, ORR_NOBODY);
    hand_free(h);
}

/* 5.1: "If a candidate or leader discovers that its term is out of date, it immediately reverts to follower state." */
static void later_term_makes_a_follower(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    assert_int_equal(hand_status(h, 0).role, ORR_LEADER);
    hand_recv(h, 0, msg(ORR_RAFT_APPEND_REPLY, 2, 9));
    assert_int_equal(hand_status(h, 0).role, ORR_FOLLOWER);
    assert_int_equal(hand_status(h, 0).term, 9);
    hand_free(h);
}

/* 5.2: "If a follower receives no communication over a period of time called the election timeout, then it assumes
 * there is no viable leader and begins an election"; "Raft uses randomized election timeouts". */
static void timeouts_are_random(void **state) {
    (void)state;
    orr_time least = ORR_NEVER, most = 0;
    for (unsigned i = 0; i < 40; i++) {
        struct hand *h = hand_new(7, NULL);
        for (size_t k = 0; k < 7; k++) {
            orr_time at = orr_raft_deadline(h->r[k]);
            assert_true(at >= T && at <= 2 * T);
            least = at < least ? at : least;
            most = at > most ? at : most;
        }
        hand_tick_all(h, 3 * T);
        size_t leaders = 0;
        for (size_t k = 0; k < 7; k++) leaders += hand_status(h, k).role == ORR_LEADER;
        assert_int_equal(leaders, 1);
        hand_free(h);
    }
    assert_true(most - least > T / 2);
}

/* 5.2: "To begin an election, a follower increments its current term and transitions to candidate state. It then
 * votes for itself and issues RequestVote RPCs in parallel to each of the other servers." Not before its own vote is
 * on its disk. */
static void candidate_votes_for_itself_first(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    orr_raft_campaign(h->r[0], 0);
    hand_collect(h, 0);
    assert_int_equal(hand_status(h, 0).role, ORR_CANDIDATE);
    assert_int_equal(hand_status(h, 0).term, 1);
    assert_int_equal(hand_status(h, 0).vote, 1);
    assert_int_equal(h->n_msgs, 0);
    hand_written(h, 0);
    assert_int_equal(h->n_msgs, 2);
    assert_int_equal(h->msgs[0].type, ORR_RAFT_VOTE);
    assert_int_equal(h->msgs[1].type, ORR_RAFT_VOTE);
    hand_free(h);
}

/* 5.2: "Each server will vote for at most one candidate in a given term, on a first-come-first-served basis." Also
 * after a restart; and the vote is heard only once it is on the disk. */
static void one_vote_a_term(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_recv(h, 0, vote(2, 3, 0, 0));
    assert_int_equal(hand_said(h, 0, ORR_RAFT_VOTE_REPLY).type, 0);
    hand_written(h, 0);
    assert_true(hand_said(h, 0, ORR_RAFT_VOTE_REPLY).granted);
    hand_recv(h, 0, vote(3, 3, 7, 2));
    struct orr_raft_msg reply = hand_said(h, 0, ORR_RAFT_VOTE_REPLY);
    assert_true(reply.to == 3 && !reply.granted);
    hand_free(h);

    struct hand_boot boots[3] = { { .term = 3, .vote = 2 } };
    h = hand_new(3, boots);
    hand_recv(h, 0, vote(3, 3, 7, 2));
    assert_false(hand_said(h, 0, ORR_RAFT_VOTE_REPLY).granted);
    hand_recv(h, 0, vote(2, 3, 7, 2));
    assert_true(hand_said(h, 0, ORR_RAFT_VOTE_REPLY).granted);
    hand_free(h);
}

/* 5.2: "A candidate wins an election if it receives votes from a majority of the servers in the full cluster for the
 * same term." ... "it then sends heartbeat messages to all of the other servers". */
static void majority_elects(void **state) {
    (void)state;
    struct hand *h = hand_new(5, NULL);
    orr_raft_campaign(h->r[0], 0);
    hand_collect(h, 0);
    hand_written(h, 0);
    struct orr_raft_msg yes = msg(ORR_RAFT_VOTE_REPLY, 2, 1);
    yes.granted = true;
    hand_recv(h, 0, yes);
    hand_recv(h, 0, yes);                   /* the same voter twice is one vote */
    assert_int_equal(hand_status(h, 0).role, ORR_CANDIDATE);
    hand_forget(h);
    yes.from = 5;
    hand_recv(h, 0, yes);
    assert_int_equal(hand_status(h, 0).role, ORR_LEADER);
    assert_int_equal(h->n_msgs, 4);
    for (size_t i = 0; i < 4; i++) assert_int_equal(h->msgs[i].type, ORR_RAFT_APPEND);
    hand_free(h);
}

/* 5.2: "While waiting for votes, a candidate may receive an AppendEntries RPC ... If the leader's term is at least
 * as large as the candidate's current term, then the candidate recognizes the leader as legitimate and returns to
 * follower state." */
static void candidate_yields_to_leader(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    orr_raft_campaign(h->r[0], 0);
    hand_recv(h, 0, append(2, 1, 0, 0, 0));
    assert_int_equal(hand_status(h, 0).role, ORR_FOLLOWER);
    assert_int_equal(hand_status(h, 0).leader, 2);
    hand_free(h);
}

/* 5.3: "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in parallel"; "A
 * log entry is committed once the leader that created the entry has replicated it on a majority of the servers."
 * Thesis 10.2.1: the leader's own disk counts only when it has it, and the others need not wait for it. */
static void committed_by_a_majority_of_disks(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    h->held[0] = h->held[1] = h->held[2] = true;
    hand_propose(h, 0, "x");
    hand_pump(h);
    assert_int_equal(hand_status(h, 1).last, 2);           /* sent before the leader's own write was done */
    assert_int_equal(hand_status(h, 0).commit, 1);
    hand_written(h, 1);
    hand_pump(h);
    assert_int_equal(hand_status(h, 0).commit, 1);         /* one disk of three */
    hand_written(h, 0);
    assert_int_equal(hand_status(h, 0).commit, 2);
    hand_pump(h);
    assert_int_equal(hand_status(h, 1).commit, 2);         /* the others learn at once, not with the next heartbeat */
    assert_int_equal(hand_status(h, 2).commit, 2);
    assert_int_equal(h->applied[2], 1);                    /* but apply what their own disk has */
    hand_free(h);
}

/* 5.3: "If the follower does not find an entry in its log with the same index and term, then it refuses the new
 * entries." */
static void consistency_check(void **state) {
    (void)state;
    struct hand_boot boots[3] = { { .term = 3, .log = { 1, 1, 2 } } };
    struct hand *h = hand_new(3, boots);
    struct orr_entry e = { .index = 4, .term = 3, .kind = ORR_ENTRY_NOOP };
    struct orr_raft_msg m = append(2, 3, 3, 3, 0);
    m.entries = &e;
    m.n_entries = 1;
    hand_recv(h, 0, m);
    assert_false(hand_said(h, 0, ORR_RAFT_APPEND_REPLY).success);
    assert_int_equal(hand_status(h, 0).last, 3);
    m = append(2, 3, 5, 3, 0);
    hand_recv(h, 0, m);
    struct orr_raft_msg reply = hand_said(h, 0, ORR_RAFT_APPEND_REPLY);
    assert_true(!reply.success && reply.hint_index == 3 && reply.hint_term == 2);
    hand_free(h);
}

/* 5.3, receiver step 3: "If an existing entry conflicts with a new one ..., delete the existing entry and all that
 * follow it"; only then: an append that is merely shorter than the log is an old one. 5.5: such requests "have no
 * effect". */
static void only_conflicts_cut(void **state) {
    (void)state;
    struct hand_boot boots[3] = { { .term = 3, .log = { 1, 1, 3, 3, 3 } } };
    struct hand *h = hand_new(3, boots);
    struct orr_entry e = { .index = 3, .term = 3, .kind = ORR_ENTRY_NOOP };
    struct orr_raft_msg m = append(2, 3, 2, 1, 9);
    m.entries = &e;
    m.n_entries = 1;
    hand_recv(h, 0, m);
    assert_int_equal(hand_status(h, 0).last, 5);
    /* Receiver step 5: min(leaderCommit, index of last new entry). */
    assert_int_equal(hand_status(h, 0).commit, 3);
    assert_int_equal(hand_said(h, 0, ORR_RAFT_APPEND_REPLY).match_index, 3);
    e = (struct orr_entry){ .index = 4, .term = 4, .kind = ORR_ENTRY_NOOP };
    m = append(2, 4, 3, 3, 3);
    m.entries = &e;
    m.n_entries = 1;
    hand_recv(h, 0, m);
    char log[100];
    hand_log(h, 0, log);
    assert_string_equal(log, "1 1 3 4");
    hand_free(h);
}

/* An acknowledgement says what is on the disk, however often the entries come. */
static void acknowledges_what_is_stored(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    struct orr_entry e = { .index = 1, .term = 1, .kind = ORR_ENTRY_NOOP };
    struct orr_raft_msg m = append(2, 1, 0, 0, 0);
    m.entries = &e;
    m.n_entries = 1;
    hand_recv(h, 0, m);
    hand_recv(h, 0, m);
    assert_int_equal(hand_said(h, 0, ORR_RAFT_APPEND_REPLY).type, 0);     /* its term isn't there yet */
    hand_written(h, 0);
    assert_int_equal(hand_said(h, 0, ORR_RAFT_APPEND_REPLY).match_index, 1);
    e.index = 2;
    m = append(2, 1, 1, 1, 0);
    m.entries = &e;
    m.n_entries = 1;
    hand_recv(h, 0, m);
    hand_recv(h, 0, m);
    assert_int_equal(hand_said(h, 0, ORR_RAFT_APPEND_REPLY).match_index, 1);
    hand_written(h, 0);
    assert_int_equal(hand_said(h, 0, ORR_RAFT_APPEND_REPLY).match_index, 2);
    hand_free(h);
}

/* 5.3, figure 7: whatever a follower's log is like when a leader comes to power, it becomes the leader's. */
static void figure_7(void **state) {
    (void)state;
    struct hand_boot boots[7] = {
        { .term = 7, .log = { 1, 1, 1, 4, 4, 5, 5, 6, 6, 6 } },                 /* the leader for term 8 */
        { .term = 7, .log = { 1, 1, 1, 4, 4, 5, 5, 6, 6 } },                    /* a */
        { .term = 7, .log = { 1, 1, 1, 4 } },                                   /* b */
        { .term = 7, .log = { 1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6 } },              /* c */
        { .term = 7, .log = { 1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7 } },           /* d */
        { .term = 7, .log = { 1, 1, 1, 4, 4, 4, 4 } },                          /* e */
        { .term = 7, .log = { 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3 } },              /* f */
    };
    struct hand *h = hand_new(7, boots);
    orr_raft_campaign(h->r[0], h->now);
    hand_pump(h);
    assert_int_equal(hand_status(h, 0).role, ORR_LEADER);
    hand_tick_all(h, T);
    for (size_t i = 0; i < 7; i++) {
        char log[100];
        hand_log(h, i, log);
        hand_note(h, "n%zu: %s\n", i + 1, log);
        assert_string_equal(log, "1 1 1 4 4 5 5 6 6 6 8");
    }
    same_trace(h, "figure7");
    hand_free(h);
}

/* 5.4.1: "the voter denies its vote if its own log is more up-to-date than that of the candidate." */
static void election_restriction(void **state) {
    (void)state;
    struct { orr_index last; orr_term term; bool granted; } cases[] = {
        { 3, 3, true }, { 4, 3, true }, { 2, 3, false }, { 1, 4, true }, { 9, 2, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hand_boot boots[3] = { { .term = 4, .log = { 1, 2, 3 } } };
        struct hand *h = hand_new(3, boots);
        hand_recv(h, 0, vote(2, 5, cases[i].last, cases[i].term));
        hand_written(h, 0);
        assert_int_equal(hand_said(h, 0, ORR_RAFT_VOTE_REPLY).granted, cases[i].granted);
        hand_free(h);
    }
}

static void note_logs(struct hand *h) {
    for (size_t i = 0; i < h->n; i++) {
        char log[100];
        hand_log(h, i, log);
        hand_note(h, "n%zu: %s commit=%llu\n", i + 1, log, (unsigned long long)hand_status(h, i).commit);
    }
}

/* 5.4.2, figure 8: an entry of an earlier term that lies on a majority may still be overwritten, so "only log
 * entries from the leader's current term are committed by counting replicas". The disks are those of (c), where S1
 * has brought its entry of term 2 to S3 and crashed before it wrote one of its own term, 4. */
static const struct hand_boot figure_8c[5] = {
    { .term = 4, .vote = 1, .log = { 1, 2 } }, { .term = 4, .vote = 1, .log = { 1, 2 } },
    { .term = 4, .vote = 1, .log = { 1, 2 } }, { .term = 3, .vote = 5, .log = { 1 } },
    { .term = 3, .vote = 5, .log = { 1, 3 } },
};

static void figure_8(void **state) {
    (void)state;
    struct hand *h = hand_new(5, figure_8c);
    hand_note(
        h, "-- (d): S1 is down; S5 can be elected, by a later term than it had, and its entry of term 3 takes over\n");
    h->cut[0] = true;
    hand_elect(h, 4);                       /* term 4: S2 and S3 have voted in it */
    hand_elect(h, 4);
    assert_int_equal(hand_status(h, 4).role, ORR_LEADER);
    note_logs(h);
    assert_int_equal(hand_status(h, 1).commit, 3);
    same_trace(h, "figure8d");
    hand_free(h);

    h = hand_new(5, figure_8c);
    hand_note(h,
              "-- (e): S1 leads and brings an entry of its own term to a majority: both are committed, S5 can't win\n");
    h->cut[3] = h->cut[4] = true;
    hand_elect(h, 0);
    assert_int_equal(hand_status(h, 0).commit, 3);
    h->cut[3] = h->cut[4] = false;
    h->cut[0] = true;
    hand_elect(h, 4);
    hand_elect(h, 4);
    hand_elect(h, 4);
    assert_int_not_equal(hand_status(h, 4).role, ORR_LEADER);
    note_logs(h);
    same_trace(h, "figure8e");
    hand_free(h);
}

/* A leader that is cut off goes on for a while, to no effect; what it wrote gives way. */
static void partitioned_leader(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    h->cut[0] = true;
    hand_propose(h, 0, "lost");
    hand_pump(h);
    hand_note(h, "-- n1 is cut off, n2 is elected\n");
    h->now += 3 * T;
    hand_elect(h, 1);
    hand_propose(h, 1, "kept");
    hand_pump(h);
    h->cut[0] = false;
    hand_note(h, "-- n1 is back\n");
    hand_tick_all(h, T / 4);
    note_logs(h);
    for (size_t i = 0; i < 3; i++) assert_int_equal(hand_status(h, i).commit, 3);
    same_trace(h, "partitioned_leader");
    hand_free(h);
}

/* The counting itself, exactly: an old entry on a majority is not committed until one of the own term is. */
static void old_terms_are_not_counted(void **state) {
    (void)state;
    struct hand_boot boots[5] = { { .term = 4, .log = { 1, 2 } } };
    struct hand *h = hand_new(5, boots);
    orr_raft_campaign(h->r[0], 0);
    hand_collect(h, 0);
    hand_written(h, 0);
    for (orr_id from = 2; from <= 3; from++) {
        struct orr_raft_msg yes = msg(ORR_RAFT_VOTE_REPLY, from, 5);
        yes.granted = true;
        hand_recv(h, 0, yes);
    }
    hand_written(h, 0);
    for (orr_id from = 2; from <= 4; from++) {
        struct orr_raft_msg ack = msg(ORR_RAFT_APPEND_REPLY, from, 5);
        ack.success = true;
        ack.match_index = ack.prev_log_index = 2;
        hand_recv(h, 0, ack);
    }
    assert_int_equal(hand_status(h, 0).commit, 0);
    for (orr_id from = 2; from <= 3; from++) {
        struct orr_raft_msg ack = msg(ORR_RAFT_APPEND_REPLY, from, 5);
        ack.success = true;
        ack.match_index = ack.prev_log_index = 3;
        hand_recv(h, 0, ack);
    }
    assert_int_equal(hand_status(h, 0).commit, 3);
    struct orr_raft_msg late = msg(ORR_RAFT_APPEND_REPLY, 4, 4);     /* of an earlier term: says nothing now */
    late.success = true;
    late.match_index = 3;
    assert_int_equal(hand_recv(h, 0, late), 0);
    late.term = 5;
    late.match_index = 9;                                            /* more than there is */
    assert_int_equal(hand_recv(h, 0, late), ORR_EINVALID);
    hand_free(h);
}

/* Thesis 9.6 and 4.2.3: who can't hear the leader asks first, is refused by those who do, and raises no term. */
static void pre_vote_disturbs_nobody(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    hand_tick_all(h, T / 2);
    h->cut[2] = true;
    hand_tick_all(h, 20 * T);
    assert_int_equal(hand_status(h, 2).term, 1);
    assert_int_equal(hand_status(h, 2).role, ORR_PRECANDIDATE);
    h->cut[2] = false;
    hand_tick_all(h, T);
    assert_int_equal(hand_status(h, 0).role, ORR_LEADER);
    assert_int_equal(hand_status(h, 0).term, 1);
    assert_int_equal(hand_status(h, 2).leader, 1);
    hand_free(h);
}

/* Thesis 6.2: "a leader steps down if an election timeout elapses without a successful round of heartbeats to a
 * majority". */
static void check_quorum(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    h->cut[1] = h->cut[2] = true;
    hand_tick_all(h, T / 2);
    assert_int_equal(hand_status(h, 0).role, ORR_LEADER);
    hand_tick_all(h, T);
    assert_int_not_equal(hand_status(h, 0).role, ORR_LEADER);
    hand_free(h);
}

/* At the very end of the time it has not elapsed yet: a leader that is ticked then asks once more. */
static void check_quorum_to_the_point(void **state) {
    (void)state;
    for (orr_time late = 0; late <= 1; late++) {
        struct hand *h = hand_new(3, NULL);
        hand_elect(h, 0);
        orr_raft_tick(h->r[0], T + late);
        assert_int_equal(hand_status(h, 0).role, late ? ORR_FOLLOWER : ORR_LEADER);
        hand_free(h);
    }
}

/* A node whose term has got ahead says so when the leader speaks to it, or it would stay out for ever. */
static void higher_term_is_told(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    h->cut[0] = h->cut[1] = true;
    hand_elect(h, 2);                       /* term 2, to nobody */
    h->cut[0] = h->cut[1] = false;
    hand_tick_all(h, 5 * T);
    size_t leaders = 0;
    for (size_t i = 0; i < 3; i++) {
        leaders += hand_status(h, i).role == ORR_LEADER;
        assert_true(hand_status(h, i).term >= 2 && hand_status(h, i).term <= 4);
        assert_int_not_equal(hand_status(h, i).leader, ORR_NOBODY);
    }
    assert_int_equal(leaders, 1);
    hand_free(h);
}

/* Thesis 6.4: a read's index, on any node, once the leader was confirmed after it was asked; one round for a turn's
 * reads. */
static void read_index(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    assert_int_equal(orr_raft_read_index(h->r[1], 0, 1), ORR_ENOLEADER);
    hand_elect(h, 0);
    for (uint64_t tag = 10; tag < 15; tag++) assert_int_equal(orr_raft_read_index(h->r[0], h->now, tag), 0);
    hand_collect(h, 0);
    assert_int_equal(h->n_answers, 0);
    assert_int_equal(h->n_msgs, 2);         /* one to each */
    hand_pump(h);
    assert_int_equal(h->n_answers, 5);
    for (size_t i = 0; i < 5; i++)
        assert_true(h->answers[i].tag == 10 + i && h->answers[i].index == 1 && h->answers[i].status == 0);
    h->n_answers = 0;
    orr_raft_read_index(h->r[1], h->now, 20);
    orr_raft_read_index(h->r[1], h->now, 21);
    hand_pump(h);
    assert_int_equal(h->n_answers, 2);
    assert_true(h->answers[1].tag == 21 && h->answers[1].index == 1);
    h->n_answers = 0;                       /* cut off, it refuses them after a while */
    h->cut[1] = true;
    orr_raft_read_index(h->r[1], h->now, 30);
    hand_tick_all(h, 3 * T);
    assert_int_equal(h->n_answers, 1);
    assert_int_equal(h->answers[0].status, ORR_ENOLEADER);
    hand_free(h);

    h = hand_new(1, NULL);                  /* alone: at once */
    hand_elect(h, 0);
    orr_raft_read_index(h->r[0], 0, 1);
    hand_collect(h, 0);
    assert_int_equal(h->n_answers, 1);
    assert_int_equal(orr_raft_deadline(h->r[0]), ORR_NEVER);
    hand_free(h);
}

/* What is read comes before what is not committed yet, and so does its time:
 * or a key that a read found expired would be there again for the write behind it. */
static void a_read_is_no_later_than_the_entries_behind_it(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    for (size_t i = 0; i < 3; i++) orr_raft_wall(h->r[i], h->now, 1700000000 * ORR_SECOND);
    hand_propose(h, 0, "kept");
    hand_pump(h);
    struct orr_slice data = orr_borrow("behind", 6);
    size_t taken;
    orr_index at;
    assert_int_equal(orr_raft_propose(h->r[0], h->now, &data, 1, &taken, &at), 0);
    const struct orr_raft_ready *rd = orr_raft_ready(h->r[0]);
    assert_non_null(rd);
    assert_int_equal(rd->io.n_stores, 1);               /* never reported, so the entry stays uncommitted for now */
    orr_time behind = rd->io.stores[0].entries[0].time;
    h->now += 100 * ORR_MS;
    orr_raft_read_index(h->r[0], h->now, 1);
    h->n_answers = 0;
    hand_pump(h);
    assert_int_equal(h->n_answers, 1);
    assert_true(h->answers[0].index < at);
    assert_true(h->answers[0].time <= behind);
    hand_free(h);
}

/* A deposed leader that doesn't know it answers no read. */
static void deposed_leader_answers_no_read(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    h->cut[0] = true;
    hand_elect(h, 1);
    hand_propose(h, 1, "new");
    hand_pump(h);
    orr_raft_read_index(h->r[0], h->now, 1);
    hand_collect(h, 0);
    assert_int_equal(hand_status(h, 0).role, ORR_LEADER);
    assert_int_equal(h->n_answers, 0);
    h->cut[0] = false;
    hand_tick_all(h, T);                    /* now a follower: it asks again, of the new leader */
    assert_int_equal(h->n_answers, 1);
    assert_int_equal(h->answers[0].index, hand_status(h, 1).commit);
    hand_free(h);
}

/* Thesis 3.10: the target has all, stands at once, and is voted for although the leader is heard. */
static void hand_over(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    assert_int_equal(orr_raft_hand_over(h->r[0], 0, ORR_NOBODY), ORR_ENOLEADER);
    hand_elect(h, 0);
    hand_propose(h, 0, "x");
    assert_int_equal(orr_raft_hand_over(h->r[0], h->now, 3), 0);
    size_t taken;
    struct orr_slice b = orr_borrow("y", 1);
    assert_int_equal(orr_raft_propose(h->r[0], h->now, &b, 1, &taken, NULL), ORR_ENOLEADER);
    hand_pump(h);
    assert_int_equal(hand_status(h, 2).role, ORR_LEADER);
    assert_int_equal(hand_status(h, 0).leader, 3);
    h->cut[0] = h->cut[1] = true;           /* nobody there: it gives up after a while, or steps down */
    assert_int_equal(orr_raft_hand_over(h->r[2], h->now, 1), 0);
    hand_tick_all(h, 2 * T);
    h->cut[0] = h->cut[1] = false;
    hand_tick_all(h, 4 * T);
    size_t leaders = 0;
    for (size_t i = 0; i < 3; i++) leaders += hand_status(h, i).role == ORR_LEADER;
    assert_int_equal(leaders, 1);
    hand_free(h);
}

/* A failed store is final: no vote, no acknowledgement, no leadership. */
static void failed_store_mutes(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    hand_propose(h, 0, "x");
    assert_int_equal(orr_raft_stored(h->r[0], h->now, h->stores[0][0], ORR_EPOISONED), 0);
    h->n_stores[0] = 0;
    assert_int_equal(hand_status(h, 0).role, ORR_FOLLOWER);
    assert_int_equal(hand_status(h, 0).error, ORR_EPOISONED);
    assert_int_equal(orr_raft_deadline(h->r[0]), ORR_NEVER);
    hand_forget(h);
    hand_recv(h, 0, vote(2, 9, 9, 9));
    assert_int_equal(h->n_msgs, 0);
    hand_tick_all(h, 5 * T);
    assert_true(hand_status(h, 1).role == ORR_LEADER || hand_status(h, 2).role == ORR_LEADER);
    hand_free(h);
}

/* A peer that says less than it said before has lost its memory. */
static void greeting_shows_amnesia(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    hand_propose(h, 0, "x");
    hand_pump(h);
    assert_int_equal(orr_raft_greet(h->r[0], h->now, 2, 1, 2), 0);
    assert_int_equal(orr_raft_greet(h->r[0], h->now, 2, 5, 0), 0);       /* of a later term: not ours to judge */
    assert_int_equal(orr_raft_greet(h->r[0], h->now, 2, 1, 1), ORR_ECORRUPT);
    assert_int_equal(orr_raft_greet(h->r[0], h->now, 3, 0, 2), ORR_ECORRUPT);
    hand_propose(h, 0, "y");                /* and counts for nothing from now on */
    hand_pump(h);
    assert_int_equal(hand_status(h, 0).commit, 2);
    hand_free(h);

    h = hand_new(3, NULL);
    orr_raft_disenfranchise(h->r[0], 0);
    hand_recv(h, 0, vote(2, 9, 9, 9));
    assert_int_equal(h->n_msgs, 0);
    assert_int_equal(orr_raft_campaign(h->r[0], 0), ORR_EDENIED);
    assert_int_equal(hand_status(h, 0).error, ORR_EDENIED);
    hand_free(h);
}

/* A full disk: writes are refused, elections go on. */
static void full_disk(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    orr_raft_full(h->r[0], h->now, true);
    size_t taken;
    struct orr_slice b = orr_borrow("y", 1);
    assert_int_equal(orr_raft_propose(h->r[0], h->now, &b, 1, &taken, NULL), ORR_EFULL);
    orr_raft_full(h->r[1], h->now, true);
    orr_raft_full(h->r[2], h->now, true);
    hand_elect(h, 1);
    assert_int_equal(hand_status(h, 1).role, ORR_LEADER);
    assert_int_equal(hand_status(h, 1).commit, 2);
    orr_raft_full(h->r[1], h->now, false);
    hand_propose(h, 1, "x");
    hand_pump(h);
    assert_int_equal(hand_status(h, 1).commit, 2);         /* nobody else takes it */
    orr_raft_full(h->r[0], h->now, false);
    hand_tick_all(h, 3 * T);
    assert_int_equal(hand_status(h, 1).commit, 3);
    hand_free(h);
}

static void tiny_queue(struct orr_raft_config *cfg) { cfg->order.queue_bytes = 10; }

/* More than the queue takes is refused; it is open again when what waited is committed. */
static void queue_is_bounded(void **state) {
    (void)state;
    struct hand *h = hand_new_with(3, NULL, tiny_queue);
    hand_elect(h, 0);
    struct orr_slice b[4] = { orr_borrow("12345", 5), orr_borrow("12345", 5), orr_borrow("1", 1), orr_borrow("1", 1) };
    size_t taken;
    assert_int_equal(orr_raft_propose(h->r[0], h->now, b, 4, &taken, NULL), ORR_EOVERLOADED);
    assert_int_equal(taken, 2);
    assert_int_equal(hand_status(h, 0).queued_bytes, 10);
    hand_pump(h);
    assert_int_equal(hand_status(h, 0).queued_bytes, 0);
    struct orr_slice big = orr_borrow("12345678901234567890", 20);    /* alone anything goes */
    assert_int_equal(orr_raft_propose(h->r[0], h->now, &big, 1, &taken, NULL), 0);
    hand_free(h);
}

/* An idle follower has its election deadline and no other; an idle leader one a heartbeat; nothing else is sent. */
static void idle_is_quiet(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    hand_elect(h, 0);
    hand_tick_all(h, T);
    h->trace_size = 0;
    hand_tick_all(h, 10 * T);
    size_t lines = 0;
    for (size_t i = 0; i < h->trace_size; i++) lines += h->trace[i] == '\n';
    assert_int_equal(lines, 400);           /* 100 heartbeats to two, and their replies */
    assert_int_equal(orr_raft_deadline(h->r[0]) - h->now, T / 10);
    assert_true(orr_raft_deadline(h->r[1]) >= h->now + T);
    assert_int_equal(hand_status(h, 0).term, 1);
    hand_free(h);
}

static void with_founding(struct orr_raft_config *cfg) { cfg->found = true; }

/* The founding configuration is entry 1 of term 1 on all, and committed; nobody leads term 1. */
static void founding(void **state) {
    (void)state;
    struct hand *h = hand_new_with(3, NULL, with_founding);
    hand_pump(h);
    for (size_t i = 0; i < 3; i++) {
        struct orr_order_status s = hand_status(h, i);
        assert_true(s.term == 1 && s.vote == ORR_NOBODY && s.last == 1 && s.commit == 1 && h->applied[i] == 1);
    }
    hand_elect(h, 2);
    assert_int_equal(hand_status(h, 2).term, 2);
    assert_int_equal(hand_status(h, 0).commit, 2);
    hand_free(h);
}

/* Log time: never back, at most 1.1 times as fast as the monotonic clock, whatever the wall clocks say. */
static void log_time(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    const orr_time wall = 1700000000 * ORR_SECOND;
    for (size_t i = 0; i < 3; i++) orr_raft_wall(h->r[i], h->now, wall + (orr_time)i * 3600 * ORR_SECOND);
    hand_elect(h, 0);
    orr_raft_read_index(h->r[0], h->now, 1);
    hand_pump(h);
    assert_int_equal(h->answers[0].time, wall);
    h->now += 10 * T;                       /* an hour ahead, the next leader goes faster, but by a tenth at most */
    for (size_t i = 0; i < 3; i++) orr_raft_wall(h->r[i], h->now, wall + (orr_time)i * 3600 * ORR_SECOND + 10 * T);
    hand_elect(h, 1);
    orr_raft_read_index(h->r[1], h->now, 2);
    hand_pump(h);
    orr_time then = h->answers[1].time;
    assert_true(then >= wall + 9 * T && then <= wall + 11 * T);
    h->now += 10 * T;                       /* and one that is behind goes slower, not back */
    for (size_t i = 0; i < 3; i++) orr_raft_wall(h->r[i], h->now, wall);
    hand_elect(h, 0);
    orr_raft_read_index(h->r[2], h->now, 3);
    hand_pump(h);
    assert_true(h->answers[2].time >= then + 9 * T && h->answers[2].time <= then + 11 * T);
    hand_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stale_term_is_rejected),
        cmocka_unit_test(later_term_makes_a_follower),
        cmocka_unit_test(timeouts_are_random),
        cmocka_unit_test(candidate_votes_for_itself_first),
        cmocka_unit_test(one_vote_a_term),
        cmocka_unit_test(majority_elects),
        cmocka_unit_test(candidate_yields_to_leader),
        cmocka_unit_test(committed_by_a_majority_of_disks),
        cmocka_unit_test(consistency_check),
        cmocka_unit_test(only_conflicts_cut),
        cmocka_unit_test(acknowledges_what_is_stored),
        cmocka_unit_test(figure_7),
        cmocka_unit_test(election_restriction),
        cmocka_unit_test(figure_8),
        cmocka_unit_test(partitioned_leader),
        cmocka_unit_test(old_terms_are_not_counted),
        cmocka_unit_test(pre_vote_disturbs_nobody),
        cmocka_unit_test(check_quorum),
        cmocka_unit_test(check_quorum_to_the_point),
        cmocka_unit_test(higher_term_is_told),
        cmocka_unit_test(read_index),
        cmocka_unit_test(a_read_is_no_later_than_the_entries_behind_it),
        cmocka_unit_test(deposed_leader_answers_no_read),
        cmocka_unit_test(hand_over),
        cmocka_unit_test(failed_store_mutes),
        cmocka_unit_test(greeting_shows_amnesia),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(queue_is_bounded),
        cmocka_unit_test(idle_is_quiet),
        cmocka_unit_test(founding),
        cmocka_unit_test(log_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
