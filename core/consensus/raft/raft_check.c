/* raft_check.c - what must hold of a Raft object at any time, between any two inputs.
 *
 * The borders in order:  first - 1 <= snapshot.index <= handed <= commit <= last,  applied <= handed <= stored,
 * matched <= last, stored <= submitted <= last. `whole` walks the window and the term runs, too: the caller does
 * that now and then, since they change at their ends only.
 *
 * Surprising, but allowed: commit > stored (a quorum of others has it; it is not applied before the own disk
 * does); applied < snapshot.index (the snapshot came in and is not loaded yet: restoring); a leader whose
 * term_stored is its term but whose log is not stored (its write goes on in parallel). */
#include "internal.h"

static void check_role(const struct orr_raft *r) {
    ORR_ASSERT((r->role == ORR_LEADER) == (r->leader == r->cfg.order.self));
    ORR_ASSERT(r->role == ORR_LEARNER ? !orri_raft_is_voter(r) : orri_raft_is_voter(r));
    ORR_ASSERT(r->role != ORR_CANDIDATE || r->vote == r->cfg.order.self);
    ORR_ASSERT((r->role != ORR_CANDIDATE && r->role != ORR_PRECANDIDATE) || r->leader == ORR_NOBODY);
    ORR_ASSERT(r->role != ORR_LEADER || (r->term_stored == r->term && r->vote_stored == r->cfg.order.self));
    ORR_ASSERT(r->role != ORR_LEADER || (r->term_start <= r->log.last && orri_raft_log_last_term(&r->log) == r->term));
    ORR_ASSERT(!r->mute || (r->role != ORR_LEADER && r->n_queue == 0 && r->error != 0));
}

static void check_borders(const struct orr_raft *r) {
    ORR_ASSERT(r->term_stored <= r->term);
    ORR_ASSERT(r->dirty || r->n_stores || r->error || (r->term_stored == r->term && r->vote_stored == r->vote));
    ORR_ASSERT(r->log.first <= r->snapshot.index + 1);
    ORR_ASSERT(r->snapshot.index <= r->handed && r->handed <= r->commit && r->commit <= r->log.last);
    ORR_ASSERT(r->applied <= r->handed && r->handed <= r->stored);
    ORR_ASSERT(r->restoring || r->snapshot.index <= r->applied);
    ORR_ASSERT(r->stored <= r->submitted && r->submitted <= r->log.last);
    ORR_ASSERT(r->submitted + 1 >= r->log.window);      /* what isn't stored is in memory */
    ORR_ASSERT(r->stored + 1 >= r->log.window);
    ORR_ASSERT(r->matched <= r->log.last);
    ORR_ASSERT(orri_raft_log_last_term(&r->log) <= r->term);
}

static void check_peer(const struct orr_raft *r, const struct orri_raft_peer *p) {
    ORR_ASSERT(p->match < p->next && p->next <= r->log.last + 1);
    ORR_ASSERT(p->round <= r->round && p->commit_sent <= r->commit);
    ORR_ASSERT(p->n_sent <= r->cfg.order.inflight_messages);
    ORR_ASSERT(p->n_sent == 0 || p->progress == ORRI_REPLICATE);
    ORR_ASSERT(p->n_sent == 0 || p->sent[p->sent_first].last > p->match);
    ORR_ASSERT(p->progress == ORRI_SNAPSHOT ? p->snapshot.index > p->match : p->snapshot.index == 0);
}

static void check_sent(const struct orr_raft *r, const struct orri_raft_peer *p) {
    size_t bytes = 0;
    orr_index last = p->match;
    for (size_t i = 0; i < p->n_sent; i++) {
        const struct orri_raft_sent *s = &p->sent[(p->sent_first + i) % r->cfg.order.inflight_messages];
        ORR_ASSERT(s->last > last && s->last < p->next);
        last = s->last;
        bytes += s->bytes;
    }
    ORR_ASSERT(bytes == p->sent_bytes);
}

static void check_stores(const struct orr_raft *r) {
    uint64_t id = r->done_store;
    for (size_t i = 0; i < r->n_stores; i++) {
        const struct orri_raft_stored *s = &r->stores[(r->stores_first + i) % ORRI_RAFT_STORES_MAX];
        ORR_ASSERT(s->id > id && s->term <= r->term && s->last <= r->submitted);
        id = s->id;
    }
    ORR_ASSERT(id == r->last_store || r->n_stores == 0 || r->error);
}

static void check_queued_bytes(const struct orr_raft *r) {
    uint64_t bytes = 0;
    for (orr_index i = orri_max(r->commit + 1, r->term_start); i <= r->log.last; i++)
        bytes += orri_raft_log_at(&r->log, i)->data.size;
    ORR_ASSERT(bytes == r->queued_bytes);
}

void orri_raft_check(const struct orr_raft *r, bool whole) {
    check_role(r);
    check_borders(r);
    check_stores(r);
    orri_raft_log_check(&r->log, whole);
    if (r->role != ORR_LEADER) return;
    for (size_t i = 0; i < r->n_peers; i++) {
        if (&r->peers[i] == r->me) continue;
        check_peer(r, &r->peers[i]);
        if (whole) check_sent(r, &r->peers[i]);
    }
    if (whole) check_queued_bytes(r);
}
