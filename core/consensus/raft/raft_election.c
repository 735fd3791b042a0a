/* raft_election.c - elections: timeouts, pre-vote, votes, becoming something else.
 *
 * Thesis 3.4, 3.6.1, 4.2.3, 6.2, 9.6. Who heard nothing from a leader for 1 to 2 times `election` asks first, in a
 * term that it doesn't enter yet (pre-vote), and stands only when a quorum would vote for it. Voters who hear a
 * leader refuse (stickiness), so a node that can't hear the leader, but is heard by others, disturbs nobody. A
 * leader without a quorum steps down by itself (raft_replicate.c), so stickiness to one that can do nothing ends.
 *
 * The case that makes this hard: a node whose term has got ahead (it voted in an election that came to nothing)
 * refuses the leader's appends. It must SAY so: its refusal bears its term, the leader steps down, and the next
 * election has a term that all can live with. Silence, or mere stickiness, would cut that node off for ever; so
 * would a pre-vote refusal that hid a higher term.
 *
 * A vote counts (the own one too) and leaves only when it is on the disk; so does the request, since it claims how
 * far the log of the asker goes. */
#include "internal.h"

bool orri_raft_is_voter(const struct orr_raft *r) {
    return r->me && (r->me->seats & (ORR_RAFT_VOTER | ORR_RAFT_OUTGOING));
}

static void draw_timeout(struct orr_raft *r) {
    r->heard = r->now;
    r->timeout = orri_rng_between(&r->rng, r->cfg.order.election, 2 * r->cfg.order.election);
    if (orr_rare(&r->cfg.order.rare, "raft.short_timeout")) r->timeout = r->cfg.order.election;
}

orr_time orri_raft_election_at(const struct orr_raft *r) {
    if (r->mute || r->role == ORR_LEADER || !orri_raft_is_voter(r)) return ORR_NEVER;
    orr_time at = orri_raft_may_stand(r, r->heard + r->timeout);
    return r->cfg.order.leases && at < r->promised_until ? r->promised_until : at;
}

/* Does this node hear a leader, so that it wants no election? */
bool orri_raft_sticky(const struct orr_raft *r) {
    if (r->role == ORR_LEADER) return true;
    return r->leader != ORR_NOBODY && r->now < r->heard + r->cfg.order.election;
}

/* What an earlier term left unsaid is void, what it withheld above all: a claim made then must not be heard after a
 * vote of now. */
static void enter_term(struct orr_raft *r, orr_term term, orr_id vote) {
    ORR_ASSERT(term > r->term);
    r->term = term;
    r->vote = vote;
    r->dirty = true;
    orri_raft_clear_queue(r);
}

static void become(struct orr_raft *r, enum orr_role role, orr_id leader) {
    if (r->role == ORR_LEADER) orri_raft_unlead(r);
    bool reads_move = r->leader != leader || (r->role == ORR_LEADER) != (role == ORR_LEADER);
    r->role = role;
    r->leader = leader;
    r->matched = r->acked = 0;
    r->reply = false;
    r->round = 0;
    if (reads_move) orri_raft_reads_new_role(r);
}

void orri_raft_become_follower(struct orr_raft *r, orr_term term, orr_id leader) {
    ORR_ASSERT(term >= r->term);
    bool was_passive = r->role == ORR_FOLLOWER || r->role == ORR_LEARNER;
    if (term > r->term) enter_term(r, term, ORR_NOBODY);
    become(r, orri_raft_is_voter(r) ? ORR_FOLLOWER : ORR_LEARNER, leader);
    /* A mere higher term doesn't put off the own candidacy. */
    if (!was_passive || leader != ORR_NOBODY) draw_timeout(r);
}

static void become_leader(struct orr_raft *r) {
    orri_raft_note(r, ORR_CAUSE_WON, r->term, ORR_NOBODY);
    ORR_ASSERT(r->role == ORR_CANDIDATE && r->vote_stored == r->cfg.order.self && r->term_stored == r->term);
    become(r, ORR_LEADER, r->cfg.order.self);
    orri_raft_lead(r);
}

/* -- Standing ---------------------------------------------------------------------------------------------------- */
static enum orri_verdict count_half(const struct orr_raft *r, unsigned seat) {
    size_t yes = 0, no = 0, n = 0;
    for (size_t i = 0; i < r->n_peers; i++) {
        const struct orri_raft_peer *p = &r->peers[i];
        if (!(p->seats & seat)) continue;
        n++;
        yes += p->ballot == ORRI_YES && !p->lost;
        no += p->ballot == ORRI_NO;
    }
    return orri_quorum_vote(yes, no, n);
}

static enum orri_verdict count(const struct orr_raft *r) {
    return orri_quorum_both(count_half(r, ORR_RAFT_VOTER), count_half(r, ORR_RAFT_OUTGOING));
}

static void ask(struct orr_raft *r, enum orr_raft_type type, orr_term term) {
    orri_raft_note_asked(r, type, term);
    for (size_t i = 0; i < r->n_peers; i++) {
        struct orri_raft_peer *p = &r->peers[i];
        p->ballot = ORRI_SILENT;
        if (p == r->me || !(p->seats & (ORR_RAFT_VOTER | ORR_RAFT_OUTGOING))) continue;
        struct orr_raft_msg m = orri_raft_msg(r, type, p->id);
        m.term = term;
        m.last_log_index = r->log.last;
        m.last_log_term = orri_raft_log_last_term(&r->log);
        m.forced = r->forced;
        orri_raft_post(r, &m);
    }
}

static void stand_for_vote(struct orr_raft *r) {
    enter_term(r, r->term + 1, r->cfg.order.self);
    become(r, ORR_CANDIDATE, ORR_NOBODY);
    draw_timeout(r);
    r->votes_time = 0;
    ask(r, ORR_RAFT_VOTE, r->term);         /* withheld, as the own vote is, until that is on the disk */
}

void orri_raft_stand(struct orr_raft *r, bool ask_first, bool forced) {
    r->forced = forced;
    if (orri_raft_log_reserve(&r->log, 1) != 0) {    /* its no-op would open a run of terms */
        draw_timeout(r);
        return;
    }
    if (!ask_first) {
        stand_for_vote(r);
        return;
    }
    become(r, ORR_PRECANDIDATE, ORR_NOBODY);
    draw_timeout(r);
    ask(r, ORR_RAFT_PREVOTE, r->term + 1);
    r->me->ballot = ORRI_YES;
    if (count(r) == ORRI_WON) stand_for_vote(r);
}

void orri_raft_own_vote_stored(struct orr_raft *r) {
    if (r->mute || r->role != ORR_CANDIDATE || r->me->ballot == ORRI_YES) return;
    if (r->term_stored != r->term || r->vote_stored != r->cfg.order.self) return;
    r->me->ballot = ORRI_YES;
    if (count(r) == ORRI_WON) become_leader(r);
}

int orr_raft_campaign(struct orr_raft *r, orr_time now) {
    if (r->mute || !orri_raft_is_voter(r)) return ORR_EDENIED;
    orri_raft_begin(r, now);
    if (orri_raft_promised(r) && r->role != ORR_LEADER) return orri_raft_end(r, ORR_EDENIED);
    if (r->role != ORR_LEADER) {
        orri_raft_note(r, ORR_CAUSE_ASKED_TO_LEAD, r->term, ORR_NOBODY);
        orri_raft_stand(r, false, !r->cfg.order.leases);    /* forced is what a leader has given its leases up for */
    }
    return orri_raft_end(r, 0);
}

/* -- Being asked ------------------------------------------------------------------------------------------------- */
/* Thesis 3.6.1: later last term, or the same and at least as long. */
static bool up_to_date(const struct orr_raft *r, const struct orr_raft_msg *m) {
    orr_term mine = orri_raft_log_last_term(&r->log);
    return m->last_log_term != mine ? m->last_log_term > mine : m->last_log_index >= r->log.last;
}

void orri_raft_on_prevote(struct orr_raft *r, const struct orr_raft_msg *m) {
    struct orr_raft_msg reply = orri_raft_msg(r, ORR_RAFT_PREVOTE_REPLY, m->from);
    bool held = orri_raft_sticky(r) || orri_raft_promised(r);
    reply.granted = m->term > r->term && up_to_date(r, m) && (m->forced || !held);
    if (reply.granted) reply.term = m->term;
    orri_raft_post(r, &reply);
}

void orri_raft_on_prevote_reply(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m) {
    if (r->role == ORR_LEADER && !m->granted) orri_raft_declined(r, p);
    if (r->role != ORR_PRECANDIDATE || m->term > r->term + 1 || (m->granted && m->term != r->term + 1)) return;
    p->ballot = m->granted ? ORRI_YES : ORRI_NO;
    orri_raft_note_ballots(r);
    if (count(r) == ORRI_WON) stand_for_vote(r);
}

void orri_raft_on_vote(struct orr_raft *r, const struct orr_raft_msg *m) {
    struct orr_raft_msg reply = orri_raft_msg(r, ORR_RAFT_VOTE_REPLY, m->from);
    bool free = r->vote == m->from || (r->vote == ORR_NOBODY && r->leader == ORR_NOBODY);
    reply.granted = m->term == r->term && free && up_to_date(r, m) && (m->forced || !orri_raft_promised(r));
    if (reply.granted) {
        if (r->vote != m->from) {
            r->dirty = true;
            orri_raft_note_voted(r, m->from);
        }
        r->vote = m->from;
        r->heard = r->now;
        reply.time = r->time.anchored ? orri_raft_time_guess(&r->time, r->now) : 0;
    }
    orri_raft_post(r, &reply);
}

void orri_raft_on_vote_reply(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m) {
    if (m->granted) p->told = orri_max(p->told, m->term);
    if (r->role != ORR_CANDIDATE || r->me->ballot != ORRI_YES) return;     /* before its own vote it asks nobody */
    p->ballot = m->granted ? ORRI_YES : ORRI_NO;
    orri_raft_note_ballots(r);
    if (m->granted && m->time > r->votes_time) r->votes_time = m->time;
    switch (count(r)) {
    case ORRI_WON: become_leader(r); break;
    case ORRI_LOST: orri_raft_become_follower(r, r->term, ORR_NOBODY); break;
    case ORRI_PENDING: break;
    }
}
