/* raft_follow.c - the follower's half of log replication: taking entries, saying what it has.
 *
 * Paper 5.3. Only entries whose term differs are cut off, never because an append ends earlier than the log does:
 * it may be an old one. The commit index goes no further than the last entry that this append showed to agree.
 * What is acknowledged is on the disk: min(stored, how far the logs agree); one acknowledgement a turn says it
 * all. */
#include "internal.h"

void orri_raft_follow(struct orr_raft *r, orr_id leader) {
    bool follows = (r->role == ORR_FOLLOWER || r->role == ORR_LEARNER) && r->leader == leader;
    if (!follows) orri_raft_note(r, ORR_CAUSE_LEADER, r->term, leader);
    if (!follows) orri_raft_become_follower(r, r->term, leader);
    r->heard = r->now;
}

static void refuse(struct orr_raft *r, const struct orr_raft_msg *m) {
    struct orr_raft_msg reply = orri_raft_msg(r, ORR_RAFT_APPEND_REPLY, m->from);
    reply.prev_log_index = m->prev_log_index;
    reply.round = r->round;
    orr_index hint = orri_raft_log_agree(&r->log, m->prev_log_index, m->prev_log_term);
    reply.hint_index = orri_max(hint, r->commit);              /* what is committed agrees in any case */
    if (!orri_raft_log_term(&r->log, reply.hint_index, &reply.hint_term)) reply.hint_term = r->snapshot.term;
    r->reply = false;
    orri_raft_post(r, &reply);
}

/* A full disk takes the protocol's own entries, so that leaders can be elected, and no writes. Terms that go down
 * are a liar's. */
static bool acceptable(struct orr_raft *r, const struct orr_entry *e) {
    if (e->term < orri_raft_log_last_term(&r->log)) return false;
    if (r->full && e->kind >= ORR_ENTRY_DATA) return false;
    return orri_raft_log_reserve(&r->log, 1) == 0 &&
           orri_raft_log_room(&r->log, e->data.size, orri_raft_evict_through(r));
}

/* Takes what it has room for; the leader sends the rest again. Gives the last index that agrees now. */
static orr_index take(struct orr_raft *r, const struct orr_entry *entries, size_t n, orr_index agreed) {
    for (size_t i = 0; i < n; i++) {
        struct orr_entry e = entries[i];
        orr_term term;
        if (e.index <= r->log.last && orri_raft_log_term(&r->log, e.index, &term)) {
            if (term == e.term) {
                agreed = e.index;
                continue;
            }
            orri_raft_cut(r, e.index);
        }
        if (!acceptable(r, &e) || orri_raft_keep(r, e.data, &e.data) != 0) break;
        orri_raft_log_append(&r->log, &e);
        orri_raft_time_floor(&r->time, r->now, e.time);
        agreed = e.index;
    }
    return agreed;
}

/* Do the first `n` entries, which are committed here, contradict this log? Then somebody broke the protocol. */
static bool contradicts(const struct orr_raft *r, const struct orr_entry *entries, size_t n) {
    orr_term term;
    for (size_t i = 0; i < n; i++)
        if (orri_raft_log_term(&r->log, entries[i].index, &term) && term != entries[i].term) return true;
    return false;
}

int orri_raft_on_append(struct orr_raft *r, const struct orr_raft_msg *m) {
    size_t known = m->prev_log_index < r->commit ? (size_t)orri_min(r->commit - m->prev_log_index, m->n_entries) : 0;
    if (r->role == ORR_LEADER || contradicts(r, m->entries, known)) return ORR_ECORRUPT;
    orri_raft_follow(r, m->from);
    orri_raft_time_hear(&r->time, r->now, m->time);
    if (m->round > r->round) r->round = m->round;
    orri_raft_on_as_of(r, m);
    r->reply |= m->want_reply;
    if (r->incoming.done) return 0;                            /* the log is about to begin anew */
    orr_index prev = m->prev_log_index + known;                /* what is committed agrees */
    orr_term term;
    if (prev > r->commit && (!orri_raft_log_term(&r->log, prev, &term) || term != m->prev_log_term)) {
        refuse(r, m);
        return 0;
    }
    orr_index agreed = take(r, m->entries + known, m->n_entries - known, prev);
    r->matched = orri_max(r->matched, agreed);
    orri_raft_commit_to(r, orri_min(m->leader_commit, agreed));
    return 0;
}

void orri_raft_ack(struct orr_raft *r) {
    if (r->mute || r->role == ORR_LEADER || r->leader == ORR_NOBODY || r->term_stored != r->term) return;
    orr_index agreed = orri_max(r->matched, r->commit), match = orri_min(agreed, r->stored);
    if (!r->reply && match <= r->acked) return;
    struct orr_raft_msg *m = orri_raft_out(r);
    *m = orri_raft_msg(r, ORR_RAFT_APPEND_REPLY, r->leader);
    m->success = true;
    m->match_index = r->acked = match;
    m->prev_log_index = agreed;
    m->round = r->round;
    m->promise = r->cfg.order.leases && r->clock.trusted;
    if (m->promise) orri_raft_promise(r);
    r->reply = false;
}
