/* raft_ailing.c - a disk that is full, or takes seconds for a write and never fails: then others should lead.
 *
 * A leader's heartbeats don't touch its disk, and the others commit without it (thesis 10.2.1), so such a leader leads
 * on for ever, while its own state stands still. What it measures is the age of its oldest store under way: past
 * `stall` it hands over as an operator would have it do (thesis 3.10), but only when that helps: when a quorum of the
 * others has what it could not store. Where all disks are slow nobody is ahead of it, and it goes on leading. With a
 * full disk it hands over when a quorum of the others has all of its log, as those have who took all writes so far.
 *
 * Who takes over must be well. The leader can't see that, so who isn't declines. A disk is well again when it has done
 * without a stall for a while, so that leadership doesn't come straight back. Such a node stands later than the others,
 * not never: it may be the only one that can. Two more things let a cluster of slow disks elect at all, in few terms:
 * nobody stands while his term or vote is on its way to the disk, and everybody gives the others twice the time for
 * their votes that its own disk took for its last write. */
#include "internal.h"

enum { CONVALESCENCE = 10, DEFERENCE = 2, PATIENCE_MAX = 32 };     /* times `election` */

/* The oldest store under way, if that will be for `stall` or longer at `at`; else NULL. */
const struct orri_raft_stored *orri_raft_stalled(const struct orr_raft *r, orr_time at) {
    const struct orri_raft_stored *s = &r->stores[r->stores_first];
    return r->n_stores > 0 && at - s->since >= r->cfg.order.stall ? s : NULL;
}

bool orri_raft_ails(const struct orr_raft *r, orr_time at) {
    return r->full || at < r->well_at || orri_raft_stalled(r, at);
}

/* A store was reported done: what that says of the disk. */
void orri_raft_took(struct orr_raft *r, const struct orri_raft_stored *s) {
    orr_time took = r->now - s->since;
    r->last_took = took;
    if (took >= r->cfg.order.stall) r->well_at = r->now + CONVALESCENCE * r->cfg.order.election;
    bool voted = r->vote != ORR_NOBODY && s->term == r->term && s->vote == r->vote;
    bool before = r->term_stored == r->term && r->vote_stored == r->vote;
    if (r->leader != ORR_NOBODY || !voted || before) return;
    r->heard = r->now;                      /* only now does the vote count, or is heard of */
}

/* When a node whose patience ends at `at` may stand. */
orr_time orri_raft_may_stand(const struct orr_raft *r, orr_time at) {
    if (r->term_stored != r->term || r->vote_stored != r->vote) return ORR_NEVER;  /* then it is decided anew */
    if (orri_raft_stalled(r, at)) return ORR_NEVER;         /* its vote could not be stored either */
    orr_time patience = 2 * r->last_took, most = PATIENCE_MAX * r->cfg.order.election;
    at += patience < most ? patience : most;
    orr_time late = at + DEFERENCE * r->cfg.order.election;
    if (r->full) return late;
    return at >= r->well_at ? at : r->well_at < late ? r->well_at : late;
}

static uint64_t has(const struct orr_raft *r, const struct orri_raft_peer *p) {
    return p == r->me || p->lost ? 0 : p->match;
}

/* Who declined may have no room itself. */
static uint64_t has_room(const struct orr_raft *r, const struct orri_raft_peer *p) {
    return r->now < p->declined_until ? 0 : has(r, p);
}

bool orri_raft_others_should_lead(const struct orr_raft *r) {
    const struct orri_raft_stored *s = orri_raft_stalled(r, r->now);
    if (s && orri_raft_reached(r, has) >= s->last) return true;
    return r->full && orri_raft_reached(r, has_room) >= r->log.last;
}

/* The leader wants this node to stand: says no where that would only move the trouble. */
bool orri_raft_decline(struct orr_raft *r, orr_id leader) {
    if (!orri_raft_ails(r, r->now)) return false;
    struct orr_raft_msg reply = orri_raft_msg(r, ORR_RAFT_PREVOTE_REPLY, leader);
    orri_raft_post(r, &reply);
    return true;
}
