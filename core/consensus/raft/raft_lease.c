/* raft_lease.c - leases: what followers promise, what a leader may do by it; and as of when a copy is whole.
 *
 * Thesis 6.4.1. An acknowledgement promises: for `election` from now on this node votes for nobody else and stands for
 * nothing. It names the round that it has seen, and a round's number is the leader's clock when it began: so a leader
 * who has such promises of a quorum to rounds of t or later knows that nobody else leads before t + election, and
 * answers reads until t + 0.8 election without asking anybody. The fifth that is left out covers
 *   - clocks that run apart: less than a thousandth (what is promised of them is orrery/node.h's drift_max);
 *   - log time. A read's time is at most 1.1 times what passed since t ahead of the stamp that a quorum took then, and
 *     whoever leads next has counted 0.9 times the whole promise since: 1.1 * 0.8 < 0.9, so it never goes back.
 * Only durations are measured, none of them by the time of day. That it is known within its bound (`trusted`) is asked
 * for all the same: where it isn't, this machine's clock is not to be relied on, and it neither gives nor takes any.
 *
 * What would break a promise, and why it does not:
 *   - a restart: a node that had a term before it began promises nobody anything for the first `election`, and votes
 *     for nobody either;
 *   - leadership handed over: whoever is asked to stand does so at once, and voters obey (`forced`). So the leader
 *     gives its leases up, for the rest of its term, before it asks; that request may arrive late;
 *   - an operator's campaign: is no such request then, and waits for the own promise;
 *   - a program that is stopped between reading its clock and reading its messages: the driver tells the time anew,
 *     by orr_raft_clock, when the inputs are in. A lease is looked at, and a promise begins, by that.
 *
 * As of. What the leader had committed when a round began that a quorum confirmed is all that anybody was told of until
 * then. With what the cluster's time surely was at that moment it goes out with the appends. Who gets it sees by the
 * latest that the time can be now how long ago that was at most, and counts on by its own clock: a replica that has
 * applied so far has all that was acknowledged before. No later step of the cluster's time makes it look younger; one
 * that is taken while the message is under way can, by as much. */
#include "internal.h"

static orr_time lease_of(const struct orr_raft *r) { return r->cfg.order.election / 10 * 8; }

/* -- Promises ---------------------------------------------------------------------------------------------------- */
void orri_raft_promise(struct orr_raft *r) {
    if (r->cfg.order.leases) r->promised_until = r->now + r->cfg.order.election;
}

bool orri_raft_promised(const struct orr_raft *r) { return r->cfg.order.leases && r->now < r->promised_until; }

/* -- The leader -------------------------------------------------------------------------------------------------- */
/* With leases its number is the time; where two begin at the same one it is a nanosecond or two ahead of it. */
void orri_raft_begin_round(struct orr_raft *r) {
    r->round++;
    if (r->cfg.order.leases && r->round < (uint64_t)r->now) r->round = (uint64_t)r->now;
}

static uint64_t promised_by(const struct orr_raft *r, const struct orri_raft_peer *p) {
    if (p == r->me) return r->round;
    return p->lost ? 0 : p->promised;
}

orr_time orri_raft_lease_until(const struct orr_raft *r) {
    bool may = r->cfg.order.leases && r->clock.trusted && !r->gave_up && !r->mute;
    if (!may || r->role != ORR_LEADER || r->commit < r->term_start) return 0;
    uint64_t since = orri_raft_reached(r, promised_by);
    return since == 0 ? 0 : (orr_time)since + lease_of(r);
}

bool orri_raft_leased(const struct orr_raft *r) { return r->now < orri_raft_lease_until(r); }

/* A new round where it serves for something: a longer lease, a newer time that a copy is whole as of. */
void orri_raft_renew(struct orr_raft *r) {
    bool dated = r->clock.earliest > 0 && r->commit >= r->term_start;
    if (!r->cfg.order.leases && !dated) return;
    orri_raft_begin_round(r);
    if (!dated || r->claim_round != 0) return;
    r->claim_round = r->round;
    r->claim = (struct orri_raft_as_of){ r->commit, r->clock.earliest, r->now };
}

/* With a lease no round is waited for. */
void orri_raft_claim(struct orr_raft *r) {
    bool confirmed = r->claim_round && orri_raft_reached(r, orri_raft_round_of) >= r->claim_round;
    bool leased = r->clock.earliest > 0 && r->clock_at > r->claimed.since && orri_raft_leased(r);
    if (!confirmed && !leased) return;
    if (confirmed) r->claim_round = 0;
    r->claimed = leased ? (struct orri_raft_as_of){ r->commit, r->clock.earliest, r->clock_at } : r->claim;
    orri_raft_hear_as_of(r, r->claimed);
}

/* While it is new: the cluster's time may have stepped since, and what is of before looks young after a step back. */
void orri_raft_date(const struct orr_raft *r, struct orr_raft_msg *m) {
    if (r->claimed.time == 0 || r->now - r->claimed.since > r->cfg.order.election) return;
    m->as_of_index = r->claimed.index;
    m->as_of_time = r->claimed.time;
}

void orri_raft_forget_leases(struct orr_raft *r) {
    r->gave_up = false;
    r->claim_round = 0;
    r->claimed = (struct orri_raft_as_of){ 0, 0, 0 };
}

/* -- As of ------------------------------------------------------------------------------------------------------- */
/* One that waits is kept until it is reached: a replica that is always a little behind would never reach the newest. */
void orri_raft_reach_as_of(struct orr_raft *r) {
    for (int i = 0; i < 2 && r->awaited.index <= r->applied; i++) {
        r->as_of = r->awaited.since;
        r->awaited = r->newest;
    }
}

void orri_raft_hear_as_of(struct orr_raft *r, struct orri_raft_as_of heard) {
    if (heard.since <= r->newest.since) return;
    r->newest = heard;
    orri_raft_reach_as_of(r);
}

/* The reading is of a while ago, and the cluster's clocks may be faster than this one. What is ahead of all that the
 * time can be is of before a step. */
void orri_raft_on_as_of(struct orr_raft *r, const struct orr_raft_msg *m) {
    if (m->as_of_time == 0 || r->clock.latest == 0) return;
    orr_time passed = r->now - r->clock_at, latest = r->clock.latest + passed + passed / 400;
    if (m->as_of_time > latest) return;
    orr_time age = latest - m->as_of_time;
    orri_raft_hear_as_of(r, (struct orri_raft_as_of){ m->as_of_index, m->as_of_time, r->now - age });
}

void orr_raft_clock(struct orr_raft *r, orr_time now, const struct orr_clock_reading *reading) {
    orri_raft_begin(r, now);
    r->clock = *reading;
    r->clock_at = r->now;
    orri_raft_end(r, 0);
}
