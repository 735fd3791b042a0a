/* raft_why.c - why role, term and leader are what they are: the last causes, as plain data for people.
 *
 * No rule of the protocol looks at them. Who stands again and again, and is told the same each time, is one cause with
 * a count: a node that is cut off for a night would remember nothing else. */
#include "internal.h"

static struct orr_cause *cause(struct orr_raft *r, uint64_t i) { return &r->causes[i % ORRI_RAFT_CAUSES]; }

static bool same(const struct orr_cause *a, const struct orr_cause *b) {
    bool alike = a->kind == b->kind && a->term == b->term && a->peer == b->peer && a->status == b->status &&
                 a->n_voters == b->n_voters;
    for (unsigned i = 0; i < a->n_voters && alike; i++)
        alike = a->voters[i] == b->voters[i] && a->ballots[i] == b->ballots[i];
    return alike;
}

static void forget_last(struct orr_raft *r) {
    r->n_causes--;
    r->n_kept--;
}

/* The last one is over: is it what was there before? */
static void merge(struct orr_raft *r) {
    if (r->n_kept < 2) return;
    struct orr_cause *last = cause(r, r->n_causes - 1), *before = cause(r, r->n_causes - 2);
    if (!same(before, last)) return;
    before->last = last->last;
    before->count += last->count;
    forget_last(r);
}

struct orr_cause *orri_raft_note(struct orr_raft *r, enum orr_cause_kind kind, orr_term term, orr_id peer) {
    merge(r);
    struct orr_cause *c = cause(r, r->n_causes++);
    if (r->n_kept < ORRI_RAFT_CAUSES) r->n_kept++;
    *c = (struct orr_cause){ .kind = kind, .at = r->now, .last = r->now, .count = 1, .term = term, .peer = peer };
    return c;
}

void orri_raft_note_waited(struct orr_raft *r, enum orr_cause_kind kind, orr_id peer, orr_time since) {
    orri_raft_note(r, kind, r->term, peer)->waited = r->now - since;
}

void orri_raft_note_asked(struct orr_raft *r, enum orr_raft_type type, orr_term term) {
    bool before = type == ORR_RAFT_PREVOTE;
    struct orr_cause *c = orri_raft_note(r, before ? ORR_CAUSE_PREVOTE : ORR_CAUSE_VOTE, term, ORR_NOBODY);
    for (size_t i = 0; i < r->n_peers && c->n_voters < ORR_CAUSE_VOTERS; i++) {
        bool votes = r->peers[i].seats & (ORR_RAFT_VOTER | ORR_RAFT_OUTGOING);
        if (votes && &r->peers[i] != r->me) c->voters[c->n_voters++] = r->peers[i].id;
    }
}

void orri_raft_note_ballots(struct orr_raft *r) {
    static const enum orr_ballot told[] = { [ORRI_SILENT] = ORR_BALLOT_SILENT, [ORRI_YES] = ORR_BALLOT_YES,
                                            [ORRI_NO] = ORR_BALLOT_NO };
    struct orr_cause *c = cause(r, r->n_causes - 1);
    for (unsigned i = 0; i < c->n_voters; i++) {
        const struct orri_raft_peer *p = orri_raft_peer(r, c->voters[i]);
        if (p) c->ballots[i] = told[p->ballot];
    }
}

/* A later term that came with the request is no cause of its own. */
void orri_raft_note_voted(struct orr_raft *r, orr_id peer) {
    const struct orr_cause *c = cause(r, r->n_causes - 1);
    if (c->kind == ORR_CAUSE_TERM && c->term == r->term && c->peer == peer) forget_last(r);
    orri_raft_note(r, ORR_CAUSE_VOTED, r->term, peer);
}

size_t orr_raft_causes(const struct orr_raft *r, struct orr_cause *out, size_t max) {
    size_t n = r->n_kept < max ? r->n_kept : max;
    for (size_t i = 0; i < n; i++) out[i] = r->causes[(r->n_causes - n + i) % ORRI_RAFT_CAUSES];
    return n;
}
