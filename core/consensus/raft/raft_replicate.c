/* raft_replicate.c - the leader's half of log replication: appends, acknowledgements, commit, heartbeats, hand-over.
 *
 * Paper 5.3, 5.4.2; thesis 10.2.1 (the own disk write in parallel), 10.2.2 (pipelining), 6.2 (check quorum), 3.10.
 * A peer is PROBED with one append at a time until it says where the logs agree, then REPLICATED to: `next` runs
 * ahead of `match`, with at most inflight_messages and inflight_bytes not yet acknowledged. A refusal, a lost
 * connection, or no progress for `election` lead back to PROBE. Entries that the window has given up come from the
 * disk; a peer whose next entry isn't there either gets the snapshot (raft_snapshot.c). So a slow peer holds up
 * nobody.
 *
 * Whatever is to be told goes out with the next append: the commit index, the round of confirmation, log time. An
 * empty append is sent where no entries go: at a heartbeat, when a read waits, or when the commit index moved,
 * because the followers' clients wait for it, too. */
#include "internal.h"

enum { DECLINED = 10 };            /* times `election`: so long nobody who declined leadership is asked again */

/* -- Leading ----------------------------------------------------------------------------------------------------- */
orr_index orri_raft_evict_through(const struct orr_raft *r) {
    if (r->role != ORR_LEADER) return r->stored;
    /* The queue's bytes are counted in the window. */
    return orri_min(r->stored, orri_max(r->commit, r->term_start - 1));
}

static void append_own(struct orr_raft *r, uint32_t kind, struct orr_slice data) {
    struct orr_entry e = { .index = r->log.last + 1, .term = r->term, .kind = kind, .data = data };
    e.time = orri_raft_time_stamp(&r->time, r->now);
    orri_raft_log_append(&r->log, &e);
}

static void start_peer(struct orr_raft *r, struct orri_raft_peer *p) {
    p->progress = ORRI_PROBE;
    p->next = r->log.last + 1;
    p->match = p->commit_sent = 0;
    p->probing = p->poke = false;
    p->n_sent = p->sent_first = p->sent_bytes = 0;
    p->heard = p->sent_at = p->moved_at = r->now;
    p->declined_until = r->now;
    p->round = p->promised = 0;
}

void orri_raft_lead(struct orr_raft *r) {
    if (r->votes_time > 0) orri_raft_time_hear(&r->time, r->now, r->votes_time);
    for (size_t i = 0; i < r->n_peers; i++) start_peer(r, &r->peers[i]);
    r->term_start = r->log.last + 1;
    r->queued_bytes = 0;
    r->transfer = ORR_NOBODY;
    orri_raft_forget_leases(r);
    r->heartbeat_at = r->now + r->cfg.order.heartbeat;
    orri_raft_log_room(&r->log, 0, r->stored);    /* if there is none: the ring keeps a slot for it */
    append_own(r, ORR_ENTRY_NOOP, orr_borrow(NULL, 0));
}

void orri_raft_unlead(struct orr_raft *r) {
    for (size_t i = 0; i < r->n_peers; i++) {
        struct orri_raft_peer *p = &r->peers[i];
        orri_raft_batch_free(r, p->batch);
        p->batch = NULL;
        p->fetch = 0;
        orri_raft_snapshot_end(p);
    }
    r->transfer = ORR_NOBODY;
    r->queued_bytes = 0;
}

int orr_raft_propose(struct orr_raft *r, orr_time now, const struct orr_slice *batches, size_t n, size_t *taken,
                     orr_index *first) {
    *taken = 0;
    if (r->mute || r->role != ORR_LEADER || r->transfer != ORR_NOBODY) return ORR_ENOLEADER;
    if (r->full) return ORR_EFULL;
    orri_raft_begin(r, now);
    if (first) *first = r->log.last + 1;
    int rc = 0;
    for (; *taken < n && rc == 0; *taken += rc == 0) {
        size_t size = batches[*taken].size;
        struct orr_slice kept;
        if (r->queued_bytes > 0 && r->queued_bytes + size > r->cfg.order.queue_bytes) rc = ORR_EOVERLOADED;
        else if (!orri_raft_log_room(&r->log, size, orri_raft_evict_through(r))) rc = ORR_EOVERLOADED;
        else rc = orri_raft_keep(r, batches[*taken], &kept);
        if (rc) break;
        append_own(r, ORR_ENTRY_DATA, kept);
        r->queued_bytes += size;
    }
    return orri_raft_end(r, rc);
}

static uint64_t match_of(const struct orr_raft *r, const struct orri_raft_peer *p) {
    if (p == r->me) return r->stored;       /* the own disk counts when it has it, not before */
    return p->lost ? 0 : p->match;
}

static uint64_t heard_from(const struct orr_raft *r, const struct orri_raft_peer *p) {
    return (uint64_t)(p == r->me ? r->now : p->heard);
}

/* Only entries of the own term are committed by counting (paper 5.4.2, figure 8); earlier ones with them. */
void orri_raft_advance(struct orr_raft *r) {
    if (r->commit == r->log.last) return;
    orr_index reached = orri_raft_reached(r, match_of);
    orr_term term;
    if (reached > r->commit && orri_raft_log_term(&r->log, reached, &term) && term == r->term)
        orri_raft_commit_to(r, reached);
}

void orri_raft_commit_to(struct orr_raft *r, orr_index commit) {
    if (commit <= r->commit) return;
    ORR_ASSERT(commit <= r->log.last);
    if (r->role == ORR_LEADER)
        for (orr_index i = orri_max(r->commit + 1, r->term_start); i <= commit; i++)
            r->queued_bytes -= orri_raft_log_at(&r->log, i)->data.size;
    r->commit = commit;
}

/* -- Sending ----------------------------------------------------------------------------------------------------- */
void orri_raft_probe(struct orri_raft_peer *p, orr_index next) {
    p->progress = ORRI_PROBE;
    p->next = orri_max(p->match + 1, next);
    p->probing = false;
    p->n_sent = p->sent_bytes = 0;
}

static bool window_open(const struct orr_raft *r, const struct orri_raft_peer *p) {
    if (p->progress == ORRI_PROBE) return !p->probing;
    if (p->n_sent > 0 && orr_rare(&r->cfg.order.rare, "raft.narrow_window")) return false;
    return p->n_sent < r->cfg.order.inflight_messages && p->sent_bytes < r->cfg.order.inflight_bytes;
}

static void send_append(struct orr_raft *r, struct orri_raft_peer *p, orr_index prev, const struct orr_entry *entries,
                        size_t n) {
    struct orr_raft_msg *m = orri_raft_out(r);
    *m = orri_raft_msg(r, ORR_RAFT_APPEND, p->id);
    /* Else from 0, where all agree. */
    if (orri_raft_log_term(&r->log, prev, &m->prev_log_term)) m->prev_log_index = prev;
    m->entries = entries;
    m->n_entries = n;
    m->leader_commit = p->commit_sent = r->commit;
    m->round = r->round;
    m->want_reply = p->poke || p->progress == ORRI_PROBE || orr_rare(&r->cfg.order.rare, "raft.wants_reply");
    m->time = orri_raft_time_stamp(&r->time, r->now);
    orri_raft_date(r, m);
    p->poke = false;
    p->sent_at = r->now;
}

static void count_sent(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_entry *entries, size_t n) {
    if (p->progress == ORRI_PROBE) {
        p->probing = true;
        return;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += entries[i].data.size;
    if (p->n_sent == 0) p->moved_at = r->now;
    size_t at = (p->sent_first + p->n_sent++) % r->cfg.order.inflight_messages;
    p->sent[at] = (struct orri_raft_sent){ entries[n - 1].index, bytes };
    p->sent_bytes += bytes;
    p->next += n;
}

/* Entries from the disk, moved out of the peer's batch; none yet: they are asked for. */
static size_t from_disk(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_entry **at) {
    struct orri_raft_batch *b = p->batch;
    p->batch = NULL;
    if (b && b->entries[0].index == p->next) {
        orri_raft_lend(r, b);
        *at = b->entries;
        return b->n;
    }
    orri_raft_batch_free(r, b);
    if (!p->fetch)
        p->fetch = orri_raft_fetch(r, &(struct orr_fetch){ .kind = ORR_FETCH_ENTRIES, .from = p->next,
            .through = r->log.window - 1, .bytes_max = r->cfg.order.message_bytes });
    return 0;
}

static bool send_entries(struct orr_raft *r, struct orri_raft_peer *p) {
    if (p->next > r->log.last) return false;
    orr_term prev_term;
    /* Compacted, perhaps while a probe was on its way. */
    if (!orri_raft_log_term(&r->log, p->next - 1, &prev_term)) {
        orri_raft_snapshot_start(r, p);
        return false;
    }
    if (!window_open(r, p)) return false;
    const struct orr_entry *entries;
    size_t n;
    if (p->next >= r->log.window)
        n = orri_raft_log_span(&r->log, p->next, r->log.last, ORR_RAFT_ENTRIES_MAX, r->cfg.order.message_bytes,
                               &entries);
    else
        n = from_disk(r, p, &entries);
    if (n == 0) return false;
    if (n > 1 && orr_rare(&r->cfg.order.rare, "raft.sends_one")) n = 1;
    send_append(r, p, p->next - 1, entries, n);
    count_sent(r, p, entries, n);
    return true;
}

void orri_raft_send(struct orr_raft *r, struct orri_raft_peer *p) {
    if (p == r->me) return;
    for (unsigned i = 0; i < ORRI_RAFT_BURST && p->progress != ORRI_SNAPSHOT; i++)
        if (!send_entries(r, p)) break;
    if (p->progress == ORRI_SNAPSHOT) orri_raft_snapshot_send(r, p);
    bool news = p->progress == ORRI_REPLICATE && p->commit_sent < r->commit;
    if (p->poke || news) send_append(r, p, p->progress == ORRI_SNAPSHOT ? 0 : p->next - 1, NULL, 0);
}

/* -- Replies ----------------------------------------------------------------------------------------------------- */
static void try_hand_over(struct orr_raft *r, const struct orri_raft_peer *p) {
    if (p->id != r->transfer || p->match != r->log.last) return;
    r->gave_up = true;                      /* it may stand whenever this arrives */
    struct orr_raft_msg m = orri_raft_msg(r, ORR_RAFT_TIMEOUT_NOW, p->id);
    orri_raft_post(r, &m);
}

void orri_raft_matched(struct orr_raft *r, struct orri_raft_peer *p, orr_index match, orr_index agreed) {
    if (match > p->match) {
        p->match = match;
        p->moved_at = r->now;
    }
    for (; p->n_sent && p->sent[p->sent_first].last <= p->match; p->n_sent--) {
        p->sent_bytes -= p->sent[p->sent_first].bytes;
        p->sent_first = (p->sent_first + 1) % r->cfg.order.inflight_messages;
    }
    if (p->progress == ORRI_SNAPSHOT && p->match >= p->snapshot.index) {
        orri_raft_snapshot_end(p);
        orri_raft_probe(p, p->match + 1);
    }
    agreed = orri_max(agreed, p->match);
    bool took_nothing = p->probing && agreed + 1 == p->next;    /* full, perhaps: one append a heartbeat is enough */
    if (p->progress == ORRI_PROBE && agreed + 1 >= p->next && !took_nothing) {
        p->progress = ORRI_REPLICATE;
        p->probing = false;
        p->next = agreed + 1;
    }
    p->next = orri_max(p->next, p->match + 1);
    try_hand_over(r, p);
}

/* Refused: go back to where they may agree. Both logs' terms help: whole terms are skipped at a time (paper 5.3, end).
 * A refusal of what is no longer asked is late, and says nothing. */
static void refused(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m) {
    if (p->progress == ORRI_SNAPSHOT || m->prev_log_index <= p->match) return;
    if (p->progress == ORRI_PROBE && m->prev_log_index != p->next - 1) return;
    orr_index agree = orri_raft_log_agree(&r->log, orri_min(m->hint_index, m->prev_log_index - 1), m->hint_term);
    orri_raft_probe(p, agree + 1);
}

int orri_raft_on_append_reply(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m) {
    if (m->success) p->told = orri_max(p->told, m->term);
    if (r->role != ORR_LEADER) return 0;
    bool beyond = m->match_index > r->log.last || m->prev_log_index > r->log.last || m->round > r->round;
    if (beyond) return ORR_EINVALID;
    p->heard = r->now;
    if (m->round > p->round) p->round = m->round;
    if (m->promise && m->round > p->promised) p->promised = m->round;
    if (m->success) orri_raft_matched(r, p, m->match_index, m->prev_log_index);
    else refused(r, p, m);
    if (p->progress == ORRI_REPLICATE && orr_rare(&r->cfg.order.rare, "raft.probes_again"))
        orri_raft_probe(p, p->match + 1);
    return 0;
}

/* -- Hand-over --------------------------------------------------------------------------------------------------- */
/* The one with the longest log of those who are there and have not just declined. */
static struct orri_raft_peer *successor(const struct orr_raft *r) {
    struct orri_raft_peer *best = NULL;
    for (size_t i = 0; i < r->n_peers; i++) {
        struct orri_raft_peer *p = &r->peers[i];
        bool able = p != r->me && (p->seats & ORR_RAFT_VOTER) && !p->lost && p->progress != ORRI_SNAPSHOT;
        if (!able || r->now < p->declined_until || r->now - p->heard >= r->cfg.order.election) continue;
        if (!best || p->match > best->match) best = p;
    }
    return best;
}

static void offer(struct orr_raft *r, const struct orri_raft_peer *p, bool any) {
    r->transfer = p ? p->id : ORR_NOBODY;
    if (p) orri_raft_note(r, ORR_CAUSE_HANDS_OVER, r->term, p->id);
    r->transfer_any = any;
    r->transfer_until = r->now + r->cfg.order.election;
    if (p) try_hand_over(r, p);
}

void orri_raft_declined(struct orr_raft *r, struct orri_raft_peer *p) {
    if (p->id != r->transfer) return;
    p->declined_until = r->now + DECLINED * r->cfg.order.election;
    offer(r, r->transfer_any ? successor(r) : NULL, r->transfer_any);
}

static void unanswered(struct orr_raft *r) {
    orri_raft_peer(r, r->transfer)->declined_until = r->now + DECLINED * r->cfg.order.election;
    r->transfer = ORR_NOBODY;
}

int orr_raft_hand_over(struct orr_raft *r, orr_time now, orr_id to) {
    if (r->mute || r->role != ORR_LEADER) return ORR_ENOLEADER;
    orri_raft_begin(r, now);
    for (size_t i = 0; i < r->n_peers; i++) r->peers[i].declined_until = r->now;    /* the operator asks all anew */
    const struct orri_raft_peer *p = to == ORR_NOBODY ? successor(r) : orri_raft_peer(r, to);
    if (!p || p == r->me || !(p->seats & ORR_RAFT_VOTER)) return orri_raft_end(r, ORR_EUNAVAILABLE);
    offer(r, p, to == ORR_NOBODY);
    return orri_raft_end(r, 0);
}

/* -- Time -------------------------------------------------------------------------------------------------------- */
static void heartbeat(struct orr_raft *r, struct orri_raft_peer *p) {
    if (r->now - p->sent_at >= r->cfg.order.heartbeat / 2) p->poke = true;
    if (p->progress == ORRI_PROBE) p->probing = false;
    if (r->now - p->moved_at < r->cfg.order.election) return;
    if (p->progress == ORRI_REPLICATE && p->n_sent > 0) orri_raft_probe(p, p->match + 1);
    if (p->progress == ORRI_SNAPSHOT) p->waiting = false;       /* the part, or what said that it came, was lost */
    p->moved_at = r->now;
}

void orri_raft_leader_tick(struct orr_raft *r) {
    if (r->transfer != ORR_NOBODY && r->now >= r->transfer_until) unanswered(r);
    if (r->now < r->heartbeat_at || r->n_peers == 1) return;
    orr_time heard = (orr_time)orri_raft_reached(r, heard_from);
    if (r->cfg.check_quorum && r->now - heard > r->cfg.order.election) {
        orri_raft_note_waited(r, ORR_CAUSE_ALONE, ORR_NOBODY, heard);
        orri_raft_become_follower(r, r->term, ORR_NOBODY);
        return;
    }
    orri_raft_renew(r);
    for (size_t i = 0; i < r->n_peers; i++)
        if (&r->peers[i] != r->me) heartbeat(r, &r->peers[i]);
    if (r->transfer == ORR_NOBODY && orri_raft_others_should_lead(r)) offer(r, successor(r), false);
    r->heartbeat_at = r->now + r->cfg.order.heartbeat;
}
