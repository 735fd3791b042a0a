/* raft_store.c - what goes to the disk, what is there, what may be applied.
 *
 * A store bears whatever was decided since the last: term and vote, entries. `stored` is the greatest index up to
 * which the log AS IT IS NOW is on the disk: when the log is cut, stores under way no longer vouch for what was
 * cut off, and their `last` is lowered. They complete in the order of their ids, so a later one includes all
 * before it.
 *
 * Entries are handed out for applying when committed and stored here, at most ORR_RAFT_ENTRIES_MAX ahead of
 * applied(); those that the window has given up come from the disk first. */
#include "internal.h"

void orr_raft_state_encode(unsigned char out[ORR_RAFT_STATE_SIZE], orr_term term, orr_id vote) {
    out[0] = 1;                             /* version; then term and vote, little-endian */
    for (unsigned i = 0; i < 8; i++) {
        out[1 + i] = (unsigned char)(term >> (8 * i));
        out[9 + i] = (unsigned char)(vote >> (8 * i));
    }
}

int orr_raft_state_decode(struct orr_slice state, orr_term *term, orr_id *vote) {
    *term = 0;
    *vote = ORR_NOBODY;
    if (state.size != ORR_RAFT_STATE_SIZE || state.at[0] != 1) return ORR_ECORRUPT;
    for (unsigned i = 0; i < 8; i++) {
        *term |= (orr_term)state.at[1 + i] << (8 * i);
        *vote |= (orr_id)state.at[9 + i] << (8 * i);
    }
    return 0;
}

static struct orri_raft_stored *under_way(struct orr_raft *r, size_t i) {
    return &r->stores[(r->stores_first + i) % ORRI_RAFT_STORES_MAX];
}

/* While the disk puts a snapshot in the log's place nothing is added to the log. */
static bool may_store_entries(const struct orr_raft *r) {
    return r->submitted < r->log.last && !r->incoming.done;
}

static void make_store(struct orr_raft *r) {
    struct orri_raft_stored *s = under_way(r, r->n_stores++);
    struct orr_store *out = &r->out_stores[r->ready.io.n_stores++];
    *out = (struct orr_store){ .id = ++r->last_store, .urgent = r->vote != r->vote_stored };
    if (may_store_entries(r)) {
        size_t n_max = orr_rare(&r->cfg.order.rare, "raft.stores_one") ? 1 : SIZE_MAX;
        out->n_entries = orri_raft_log_span(&r->log, r->submitted + 1, r->log.last, n_max, SIZE_MAX, &out->entries);
        out->truncate = r->cut;
        out->urgent = true;
        r->cut = false;
        r->submitted += out->n_entries;
    }
    *s = (struct orri_raft_stored){ .id = out->id, .since = r->now, .term = r->term, .vote = r->vote,
                                     .last = r->submitted };
    if (r->dirty) {                         /* the bytes lie here until it is reported */
        orr_raft_state_encode(s->state, r->term, r->vote);
        out->state = orr_borrow(s->state, sizeof s->state);
    }
    r->dirty = false;
}

void orri_raft_make_stores(struct orr_raft *r) {
    while (!r->mute && (r->dirty || may_store_entries(r)) && r->n_stores < ORRI_RAFT_STORES_MAX) make_store(r);
    r->ready.io.stores = r->out_stores;
}

void orri_raft_cut(struct orr_raft *r, orr_index from) {
    ORR_ASSERT(from > r->commit);
    if (r->submitted >= from) {
        r->submitted = from - 1;
        r->cut = true;
    }
    r->stored = orri_min(r->stored, from - 1);
    for (size_t i = 0; i < r->n_stores; i++) under_way(r, i)->last = orri_min(under_way(r, i)->last, from - 1);
    r->matched = orri_min(r->matched, from - 1);
    orri_raft_log_truncate(&r->log, from);
}

/* The disk had no room, and took nothing of that store nor entries of those after it. As after a crash, the log ends
 * with what is stored, and what was withheld is void; a leader can't forget and lead on, so it steps down. */
static void roll_back(struct orr_raft *r) {
    bool passive = r->role == ORR_FOLLOWER || r->role == ORR_LEARNER;
    if (!passive) orri_raft_become_follower(r, r->term, ORR_NOBODY);
    orri_raft_clear_queue(r);
    orri_raft_log_truncate(&r->log, r->stored + 1);
    r->submitted = r->stored;
    r->commit = orri_min(r->commit, r->stored);
    r->matched = orri_min(r->matched, r->stored);
    for (size_t i = 0; i < r->n_stores; i++) under_way(r, i)->last = orri_min(under_way(r, i)->last, r->stored);
    r->cut = true;                          /* the refused one may have been to replace what lies there */
    r->dirty = r->term != r->term_stored || r->vote != r->vote_stored;
    r->full = true;
}

static void done(struct orr_raft *r, const struct orri_raft_stored *s) {
    r->done_store = s->id;
    orri_raft_took(r, s);
    r->term_stored = s->term;
    r->vote_stored = s->vote;
    r->stored = orri_max(r->stored, s->last);
    orri_raft_own_vote_stored(r);
}

static bool has_failed(const struct orr_raft *r) { return r->error != 0 && r->error != ORR_EDENIED; }

int orr_raft_stored(struct orr_raft *r, orr_time now, uint64_t store_id, int status) {
    bool first = r->n_stores > 0 && under_way(r, 0)->id == store_id;
    bool final = status < 0 && status != ORR_EFULL;
    if (!first && !final && !has_failed(r)) return ORR_EINVALID;
    orri_raft_begin(r, now);
    /* No room for entry 1: then it is no founder. */
    bool unfounded = status == ORR_EFULL && r->cfg.found && r->stored == 0;
    if (final || unfounded) orri_raft_mute(r, status);
    if (has_failed(r)) return orri_raft_end(r, 0);     /* nothing that comes after counts */
    struct orri_raft_stored s = *under_way(r, 0);
    r->stores_first = (r->stores_first + 1) % ORRI_RAFT_STORES_MAX;
    r->n_stores--;
    if (status == 0) done(r, &s);
    else roll_back(r);
    if (orr_rare(&r->cfg.order.rare, "raft.forgets_cache")) orri_raft_log_evict(&r->log, orri_raft_evict_through(r));
    return orri_raft_end(r, 0);
}

/* -- Commits ----------------------------------------------------------------------------------------------------- */
static void fetch_commits(struct orr_raft *r, orr_index through) {
    size_t bytes = r->cfg.order.window_bytes / 4;
    r->apply_fetch = orri_raft_fetch(r, &(struct orr_fetch){
        .kind = ORR_FETCH_ENTRIES, .from = r->handed + 1, .through = orri_min(through, r->log.window - 1),
        .bytes_max = bytes > r->cfg.order.message_bytes ? bytes : r->cfg.order.message_bytes });
}

static size_t from_batch(struct orr_raft *r, orr_index through, size_t n_max, const struct orr_entry **at) {
    struct orri_raft_batch *b = r->apply_batch;
    size_t n = 0;
    if (b->n && b->entries[0].index == r->handed + 1) {
        n = (size_t)orri_min(through - r->handed, b->n);
        if (n > n_max) n = n_max;
        *at = b->entries;
    }
    orri_raft_lend(r, b);                   /* what was too much is fetched again: rare */
    r->apply_batch = NULL;
    return n;
}

void orri_raft_make_commits(struct orr_raft *r) {
    orr_index through = orri_min(r->commit, r->stored);
    size_t ahead = (size_t)(r->handed - r->applied);
    if (r->restoring || r->handed >= through || ahead >= ORR_RAFT_ENTRIES_MAX) return;
    size_t n = 0, n_max = ORR_RAFT_ENTRIES_MAX - ahead;
    if (orr_rare(&r->cfg.order.rare, "raft.commits_one")) n_max = 1;
    if (r->handed + 1 >= r->log.window)
        n = orri_raft_log_span(&r->log, r->handed + 1, through, n_max, SIZE_MAX, &r->ready.io.commits);
    else if (r->apply_batch)
        n = from_batch(r, through, n_max, &r->ready.io.commits);
    else if (!r->apply_fetch && !r->incoming.done)
        fetch_commits(r, through);
    r->ready.io.n_commits = n;
    r->handed += n;
}

int orr_raft_applied(struct orr_raft *r, orr_time now, orr_index through) {
    if (through > r->handed) return ORR_EINVALID;
    orri_raft_begin(r, now);
    r->applied = orri_max(r->applied, through);
    orri_raft_reach_as_of(r);
    if (r->applied >= r->snapshot.index) r->restoring = false;
    return orri_raft_end(r, 0);
}

/* Whatever came cannot be trusted to be what was asked for: only entries of this log, as its terms say, are taken. */
static bool is_ours(const struct orr_raft *r, const struct orr_entry *entries, size_t n, orr_index from) {
    for (size_t i = 0; i < n; i++) {
        orr_term term;
        if (entries[i].index != from + i || !orri_raft_log_term(&r->log, entries[i].index, &term)) return false;
        if (entries[i].term != term) return false;
    }
    return n > 0;
}

static int fetched_commits(struct orr_raft *r, const struct orr_entry *entries, size_t n, int status) {
    r->apply_fetch = 0;
    if (status == 0 && !is_ours(r, entries, n, entries[0].index)) status = ORR_ECORRUPT;
    if (status < 0) {                       /* a committed entry that can't be read back: this disk is no longer one */
        bool replaced = r->incoming.done;   /* by the snapshot that is being named: asked for anew, should that fail */
        if (r->handed + 1 >= r->log.first && !replaced) orri_raft_mute(r, status);
        return 0;
    }
    r->apply_batch = orri_raft_batch_new(r, entries, n);
    return r->apply_batch ? 0 : -ENOMEM;
}

static int fetched_for(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_entry *entries, size_t n,
                       int status) {
    p->fetch = 0;
    if (p->progress == ORRI_SNAPSHOT) return 0;
    /* What this log has, and its disk gives back no more, it would try for ever in vain: others should lead. */
    bool lost = status == ORR_ECORRUPT && r->role == ORR_LEADER && p->next >= r->log.first && !r->incoming.done;
    if (lost) orri_raft_mute(r, status);
    if (status < 0 || !is_ours(r, entries, n, p->next)) return 0;           /* asked for anew */
    p->batch = orri_raft_batch_new(r, entries, n);
    return p->batch ? 0 : -ENOMEM;
}

int orr_raft_fetched(struct orr_raft *r, orr_time now, uint64_t fetch_id, const struct orr_entry *entries, size_t n,
                     int status) {
    orri_raft_begin(r, now);
    if (n > ORR_RAFT_ENTRIES_MAX) n = ORR_RAFT_ENTRIES_MAX;
    if (n == 0 && status == 0) status = ORR_ECORRUPT;
    if (fetch_id != 0 && fetch_id == r->apply_fetch) return orri_raft_end(r, fetched_commits(r, entries, n, status));
    for (size_t i = 0; i < r->n_peers; i++)
        if (fetch_id != 0 && r->peers[i].fetch == fetch_id && r->peers[i].progress != ORRI_SNAPSHOT)
            return orri_raft_end(r, fetched_for(r, &r->peers[i], entries, n, status));
    return orri_raft_end(r, 0);             /* nobody wants it any more */
}
