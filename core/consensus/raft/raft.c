/* raft.c - the Raft object: its life, its inputs, what it hands out, when it wants to be woken.
 *
 * One recv looks at a message's form and term once, then one function per type and role does the rest. Every input
 * begins by taking back what ready() lent and ends by checking the invariants (debug and simulation). ready() does
 * what was put off until all of a turn's inputs are in: it commits, stores, sends, acknowledges, so all of that is
 * batched.
 *
 * Withholding: a message waits in the queue until the store is reported after which what it claims is durable.
 * There is one message of a type to a peer at a time, the newest; so the queue is bounded. A new term empties it. */
#include "internal.h"

/* -- Memory ------------------------------------------------------------------------------------------------------ */
void *orri_raft_alloc(const struct orr_alloc *alloc, size_t size) {
    void *p = alloc->fn(alloc->ud, NULL, 0, size);
    if (p) memset(p, 0, size);
    return p;
}

static void release(const struct orr_raft *r, void *p, size_t size) {
    if (p) r->alloc.fn(r->alloc.ud, p, size, 0);
}

int orri_raft_keep(struct orr_raft *r, struct orr_slice s, struct orr_slice *out) {
    *out = s.size ? orr_hold(s) : orr_borrow(NULL, 0);
    if (s.chunk || s.size == 0) return 0;
    struct orr_chunk *c = r->cfg.order.chunks->get(r->cfg.order.chunks, s.size);
    if (!c) return -ENOMEM;
    memcpy(c->at, s.at, s.size);
    *out = (struct orr_slice){ c, c->at, s.size };
    return 0;
}

int orri_raft_keep_snapshot(struct orr_raft *r, struct orr_snapshot *to, const struct orr_snapshot *from) {
    struct orr_slice config;
    int rc = orri_raft_keep(r, from->config, &config);
    if (rc) return rc;
    *to = *from;
    to->config = config;
    return 0;
}

void orri_raft_drop_snapshot(struct orr_snapshot *snapshot) {
    orr_drop(snapshot->config);
    *snapshot = (struct orr_snapshot){ 0 };
}

struct orri_raft_batch *orri_raft_batch_new(struct orr_raft *r, const struct orr_entry *entries, size_t n) {
    struct orri_raft_batch *b = orri_raft_alloc(&r->alloc, sizeof *b + n * sizeof b->entries[0]);
    if (!b) return NULL;
    b->n = n;                               /* the data of those not reached below is nothing */
    for (size_t i = 0; i < n; i++) {
        struct orr_slice data;
        if (orri_raft_keep(r, entries[i].data, &data) != 0) {
            orri_raft_batch_free(r, b);
            return NULL;
        }
        b->entries[i] = entries[i];
        b->entries[i].data = data;
    }
    return b;
}

void orri_raft_batch_free(struct orr_raft *r, struct orri_raft_batch *b) {
    if (!b) return;
    for (size_t i = 0; i < b->n; i++) orr_drop(b->entries[i].data);
    release(r, b, sizeof *b + b->n * sizeof b->entries[0]);
}

void orri_raft_lend(struct orr_raft *r, struct orri_raft_batch *batch) { r->lent[r->n_lent++] = batch; }

/* -- Life -------------------------------------------------------------------------------------------------------- */
void orr_raft_config_init(struct orr_raft_config *cfg) {
    *cfg = (struct orr_raft_config){ .pre_vote = true, .check_quorum = true };
    cfg->order = (struct orr_order_config){
        .election = ORR_SECOND, .heartbeat = ORR_SECOND / 10, .seed = 1,
        .window_bytes = (size_t)32 << 20, .window_entries = 4096,
        .inflight_bytes = (size_t)4 << 20, .inflight_messages = 128, .message_bytes = (size_t)256 << 10,
        .queue_bytes = (size_t)16 << 20, .part_bytes = (size_t)256 << 10, .alloc = &orr_alloc_libc,
    };
}

int orr_raft_config_check(const struct orr_raft_config *cfg, const char **field) {
    const struct orr_order_config *o = &cfg->order;
    struct orri_raft_members members;
    const char *bad = NULL;
    if (o->self == ORR_NOBODY) bad = "self";
    else if (o->n_voters == 0 || orri_raft_config_members(cfg, &members) != 0) bad = "voters";
    else if (o->heartbeat <= 0 || o->heartbeat > ORR_SECOND * 3600) bad = "heartbeat";
    else if (o->election <= o->heartbeat || o->election > ORR_SECOND * 86400) bad = "election";
    else if (o->stall < 0 || o->stall > ORR_SECOND * 86400) bad = "stall";
    else if (o->window_entries < 2 || o->window_entries > (size_t)1 << 24) bad = "window_entries";
    else if (o->window_bytes == 0) bad = "window_bytes";
    else if (o->inflight_messages == 0 || o->inflight_messages > 65536) bad = "inflight_messages";
    else if (o->inflight_bytes == 0) bad = "inflight_bytes";
    else if (o->message_bytes == 0) bad = "message_bytes";
    else if (o->queue_bytes == 0) bad = "queue_bytes";
    else if (o->part_bytes == 0) bad = "part_bytes";
    else if (!o->alloc || !o->chunks) bad = o->alloc ? "chunks" : "alloc";
    if (field) *field = bad;
    return bad ? ORR_EINVALID : 0;
}

static size_t msgs_cap(const struct orr_raft *r) {
    return r->n_peers * (ORRI_RAFT_QUEUE_PER_PEER + ORRI_RAFT_BURST + 1) + 1;
}
static size_t lent_cap(const struct orr_raft *r) { return r->n_peers * ORRI_RAFT_BURST + 1; }
static size_t sent_size(const struct orr_raft *r) {
    return r->cfg.order.inflight_messages * sizeof(struct orri_raft_sent);
}

static int make_peers(struct orr_raft *r, const struct orri_raft_members *members) {
    r->peers = orri_raft_alloc(&r->alloc, members->n * sizeof *r->peers);
    if (!r->peers) return -ENOMEM;
    r->n_peers = members->n;
    for (size_t i = 0; i < members->n; i++) {
        struct orri_raft_peer *p = &r->peers[i];
        p->id = members->at[i].id;
        p->seats = members->at[i].seats;
        p->sent = orri_raft_alloc(&r->alloc, sent_size(r));
        if (!p->sent) return -ENOMEM;
    }
    r->me = orri_raft_peer(r, r->cfg.order.self);
    return 0;
}

static int make_pools(struct orr_raft *r) {
    r->reads = orri_raft_alloc(&r->alloc, ORRI_RAFT_READS_MAX * sizeof *r->reads);
    r->answers = orri_raft_alloc(&r->alloc, ORRI_RAFT_READS_MAX * sizeof *r->answers);
    r->queue = orri_raft_alloc(&r->alloc, r->n_peers * ORRI_RAFT_QUEUE_PER_PEER * sizeof *r->queue);
    r->msgs = orri_raft_alloc(&r->alloc, msgs_cap(r) * sizeof *r->msgs);
    r->fetches = orri_raft_alloc(&r->alloc, (r->n_peers + 1) * sizeof *r->fetches);
    r->lent = orri_raft_alloc(&r->alloc, lent_cap(r) * sizeof *r->lent);
    return r->reads && r->answers && r->queue && r->msgs && r->fetches && r->lent ? 0 : -ENOMEM;
}

/* The newest configuration that the disk has; of an empty one, the config's. */
static int find_members(const struct orr_raft *r, const struct orr_boot *boot, struct orri_raft_members *out) {
    if (boot->n_configs) return orri_raft_config_decode(boot->configs[boot->n_configs - 1].data, out);
    if (boot->snapshot.config.size) return orri_raft_config_decode(boot->snapshot.config, out);
    return orri_raft_config_members(&r->cfg, out);
}

static bool is_empty(const struct orr_boot *boot) {
    return boot->state.size == 0 && boot->snapshot.index == 0 && boot->last < boot->first;
}

static int found(struct orr_raft *r) {
    unsigned char bytes[ORR_CONFIG_MAX];
    struct orr_entry e = { .index = 1, .term = 1, .kind = ORR_ENTRY_CONFIG };
    size_t size;
    int rc = orr_raft_config_encode(&r->cfg, bytes, &size);
    if (rc == 0) rc = orri_raft_keep(r, orr_borrow(bytes, size), &e.data);
    if (rc) return rc;
    orri_raft_log_append(&r->log, &e);
    r->term = 1;
    r->dirty = true;
    r->commit = 1;
    return 0;
}

static int load(struct orr_raft *r, const struct orr_boot *boot) {
    int rc = boot->state.size ? orr_raft_state_decode(boot->state, &r->term, &r->vote) : 0;
    if (rc == 0) rc = orri_raft_log_init(&r->log, &r->cfg.order, boot);
    if (rc == 0) rc = orri_raft_keep_snapshot(r, &r->snapshot, &boot->snapshot);
    if (rc) return rc;
    r->term_stored = r->term;
    r->vote_stored = r->vote;
    /* It has a file of its own, which may have been done before the state was. */
    if (r->snapshot.term > r->term) {
        r->term = r->snapshot.term;
        r->vote = ORR_NOBODY;
        r->dirty = true;
    }
    /* An entry's was stored with or before it. */
    if (orri_raft_log_last_term(&r->log) > r->term) return ORR_ECORRUPT;
    r->submitted = r->stored = r->log.last;
    r->cut = boot->last > r->log.last;      /* what the snapshot made void may lie there still */
    r->handed = r->applied = r->snapshot.index;
    r->commit = orri_max(r->snapshot.index, orri_min(r->cfg.commit, r->log.last));
    orri_raft_time_init(&r->time, boot->time > boot->snapshot.time ? boot->time : boot->snapshot.time, r->now);
    if (!is_empty(boot)) orri_raft_promise(r);      /* what an earlier life has promised is not known */
    if (r->cfg.found && is_empty(boot)) return found(r);
    if (r->cfg.found && r->log.last >= 1) r->commit = orri_max(r->commit, 1);
    return 0;
}

static int start(struct orr_raft *r, const struct orr_boot *boot) {
    struct orri_raft_members members;
    int rc = find_members(r, boot, &members);
    if (rc == 0) rc = make_peers(r, &members);
    if (rc == 0) rc = make_pools(r);
    if (rc == 0) rc = load(r, boot);
    if (rc) return rc;
    r->read_batch = orri_rng_next(&r->rng) >> 2;
    r->told_role = r->role = orri_raft_is_voter(r) ? ORR_FOLLOWER : ORR_LEARNER;
    r->heard = r->now;
    r->timeout = orri_rng_between(&r->rng, r->cfg.order.election, 2 * r->cfg.order.election);
    r->told_term = r->term;
    orri_raft_note(r, ORR_CAUSE_START, r->term, ORR_NOBODY);
    return 0;
}

int orr_raft_new(struct orr_raft **out, const struct orr_raft_config *cfg, const struct orr_boot *boot, orr_time now) {
    static const struct orr_boot nothing = { .first = 1 };
    int rc = orr_raft_config_check(cfg, NULL);
    if (rc) return rc;
    struct orr_raft *r = orri_raft_alloc(cfg->order.alloc, sizeof *r);
    if (!r) return -ENOMEM;
    r->cfg = *cfg;
    r->alloc = *cfg->order.alloc;
    r->cfg.order.alloc = &r->alloc;
    if (cfg->order.stall == 0) r->cfg.order.stall = 4 * cfg->order.election;
    r->now = now;
    orri_rng_init(&r->rng, cfg->order.seed ^ (cfg->order.self * 0x9e3779b97f4a7c15u) ^ (uint64_t)now);
    rc = start(r, boot ? boot : &nothing);
    if (rc) {
        orr_raft_free(r);
        return rc;
    }
    r->cfg.order.voters = NULL;             /* borrowed until here */
    r->cfg.learners = NULL;
    *out = r;
    return 0;
}

static void free_peers(struct orr_raft *r) {
    for (size_t i = 0; i < r->n_peers; i++) {
        orri_raft_batch_free(r, r->peers[i].batch);
        orri_raft_drop_snapshot(&r->peers[i].snapshot);
        release(r, r->peers[i].sent, sent_size(r));
    }
    release(r, r->peers, r->n_peers * sizeof *r->peers);
}

static void take_back(struct orr_raft *r);

void orr_raft_free(struct orr_raft *r) {
    if (!r) return;
    take_back(r);
    orri_raft_clear_queue(r);
    if (r->part_out) orr_drop(r->part.data);
    orri_raft_drop_snapshot(&r->snapshot);
    orri_raft_drop_snapshot(&r->incoming.snapshot);
    orri_raft_batch_free(r, r->apply_batch);
    if (r->log.alloc) orri_raft_log_clear(&r->log);
    release(r, r->reads, ORRI_RAFT_READS_MAX * sizeof *r->reads);
    release(r, r->answers, ORRI_RAFT_READS_MAX * sizeof *r->answers);
    release(r, r->queue, r->n_peers * ORRI_RAFT_QUEUE_PER_PEER * sizeof *r->queue);
    release(r, r->msgs, msgs_cap(r) * sizeof *r->msgs);
    release(r, r->fetches, (r->n_peers + 1) * sizeof *r->fetches);
    release(r, r->lent, lent_cap(r) * sizeof *r->lent);
    free_peers(r);
    struct orr_alloc alloc = r->alloc;
    alloc.fn(alloc.ud, r, sizeof *r, 0);
}

/* -- Members ----------------------------------------------------------------------------------------------------- */
struct orri_raft_peer *orri_raft_peer(struct orr_raft *r, orr_id id) {
    for (size_t i = 0; i < r->n_peers; i++)
        if (r->peers[i].id == id) return &r->peers[i];
    return NULL;
}

static uint64_t reached_by(const struct orr_raft *r, unsigned seat,
                           uint64_t (*value)(const struct orr_raft *, const struct orri_raft_peer *)) {
    uint64_t values[ORRI_RAFT_MEMBERS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < r->n_peers; i++)
        if (r->peers[i].seats & seat) values[n++] = value(r, &r->peers[i]);
    return orri_quorum_reached(values, n);
}

uint64_t orri_raft_reached(const struct orr_raft *r,
                           uint64_t (*value)(const struct orr_raft *, const struct orri_raft_peer *)) {
    uint64_t now = reached_by(r, ORR_RAFT_VOTER, value), outgoing = reached_by(r, ORR_RAFT_OUTGOING, value);
    return now < outgoing ? now : outgoing;
}

bool orr_raft_member(const struct orr_raft *r, size_t i, struct orr_raft_member *out) {
    if (i >= r->n_peers) return false;
    const struct orri_raft_peer *p = &r->peers[i];
    bool me = p == r->me;
    *out = (struct orr_raft_member){ .id = p->id,
                                     .seats = p->seats,
                                     .match = me ? r->stored : p->match,
                                     .next = me ? r->log.last + 1 : p->next,
                                     .heard = me ? r->now : p->heard,
                                     .snapshot = p->progress == ORRI_SNAPSHOT };
    return true;
}

/* -- Messages out ------------------------------------------------------------------------------------------------ */
struct orr_raft_msg orri_raft_msg(const struct orr_raft *r, enum orr_raft_type type, orr_id to) {
    return (struct orr_raft_msg){ .type = type, .from = r->cfg.order.self, .to = to, .term = r->term };
}

static void drop_msg(struct orr_raft_msg *m) {
    if (m->type != ORR_RAFT_SNAPSHOT) return;
    orr_drop(m->data);
    orr_drop(m->snapshot.config);
}

void orri_raft_clear_queue(struct orr_raft *r) {
    for (size_t i = 0; i < r->n_queue; i++) drop_msg(&r->queue[i].msg);
    r->n_queue = 0;
}

/* The store after which all that the message claims is durable; 0: it is. Whatever bears a term claims that term,
 * but for the talk about one that nobody has entered yet; a vote and the request for one claim the vote. What an
 * acknowledgement or a snapshot's reply claims beyond was durable before it was posted. */
static uint64_t claim_of(const struct orr_raft *r, const struct orr_raft_msg *m) {
    if (m->type == ORR_RAFT_PREVOTE || (m->type == ORR_RAFT_PREVOTE_REPLY && m->granted)) return 0;
    if (r->term_stored == r->term && r->vote_stored == r->vote) return 0;
    return r->dirty ? r->last_store + 1 : r->last_store;
}

void orri_raft_post(struct orr_raft *r, const struct orr_raft_msg *msg) {
    size_t at = 0;
    while (at < r->n_queue && !(r->queue[at].msg.type == msg->type && r->queue[at].msg.to == msg->to)) at++;
    struct orr_raft_msg m = *msg;
    if (m.type == ORR_RAFT_SNAPSHOT) {
        if (orri_raft_keep(r, m.data, &m.data) != 0) return;    /* as if lost: sent again in a while */
        m.snapshot.config = orr_hold(m.snapshot.config);
    }
    if (at == r->n_queue) r->n_queue++;
    else drop_msg(&r->queue[at].msg);
    ORR_ASSERT(r->n_queue <= r->n_peers * ORRI_RAFT_QUEUE_PER_PEER);
    r->queue[at] = (struct orri_raft_queued){ m, claim_of(r, &m) };
}

struct orr_raft_msg *orri_raft_out(struct orr_raft *r) {
    ORR_ASSERT(r->ready.n_msgs < msgs_cap(r));
    return &r->msgs[r->ready.n_msgs++];
}

static void send_queued(struct orr_raft *r) {
    size_t left = 0;
    for (size_t i = 0; i < r->n_queue; i++) {
        if (r->queue[i].after <= r->done_store) *orri_raft_out(r) = r->queue[i].msg;    /* moved */
        else r->queue[left++] = r->queue[i];
    }
    r->n_queue = left;
}

uint64_t orri_raft_fetch(struct orr_raft *r, const struct orr_fetch *fetch) {
    struct orr_fetch *f = &r->fetches[r->n_fetches++];
    *f = *fetch;
    return f->id = ++r->last_id;
}

/* -- Inputs ------------------------------------------------------------------------------------------------------ */
/* What ready() lent. */
static void take_back(struct orr_raft *r) {
    if (!r->ready_out && r->n_lent == 0) return;
    for (size_t i = 0; i < r->ready.n_msgs; i++) drop_msg(&r->msgs[i]);
    for (size_t i = 0; i < r->n_lent; i++) orri_raft_batch_free(r, r->lent[i]);
    r->n_lent = 0;
    if (r->ready.io.n_parts) orr_drop(r->part.data);
    if (r->ready.io.restore) orri_raft_drop_snapshot(&r->restore);
    r->ready = (struct orr_raft_ready){ 0 };
    r->ready_out = false;
}

void orri_raft_begin(struct orr_raft *r, orr_time now) {
    take_back(r);
    if (now > r->now) r->now = now;
}

int orri_raft_end(struct orr_raft *r, int rc) {
#ifdef ORR_CHECKS
    orri_raft_check(r, ++r->checks % 64 == 0);
#else
    (void)r;
#endif
    return rc;
}

void orr_raft_wall(struct orr_raft *r, orr_time now, orr_time realtime) {
    orri_raft_begin(r, now);
    orri_raft_time_wall(&r->time, r->now, realtime);
}

int orr_raft_tick(struct orr_raft *r, orr_time now) {
    orri_raft_begin(r, now);
    if (r->mute) return orri_raft_end(r, 0);
    if (r->role == ORR_LEADER) orri_raft_leader_tick(r);
    else if (r->now >= orri_raft_election_at(r)) {
        if (r->role == ORR_FOLLOWER) orri_raft_note_waited(r, ORR_CAUSE_SILENCE, r->leader, r->heard);
        orri_raft_stand(r, r->cfg.pre_vote, false);
    }
    orri_raft_reads_tick(r);
    return orri_raft_end(r, 0);
}

/* Takes no part from now on: neither votes nor acknowledges, follows nobody. */
void orri_raft_mute(struct orr_raft *r, int why) {
    if (!r->mute) {
        r->error = why;
        orri_raft_note(r, ORR_CAUSE_MUTE, r->term, ORR_NOBODY)->status = why;
        orri_raft_become_follower(r, r->term, ORR_NOBODY);
        orri_raft_clear_queue(r);
        orri_raft_reads_fail(r);
    } else if (r->error == ORR_EDENIED) {
        r->error = why;
    }
    r->mute = true;
}

void orr_raft_disenfranchise(struct orr_raft *r, orr_time now) {
    orri_raft_begin(r, now);
    orri_raft_mute(r, ORR_EDENIED);
    orri_raft_end(r, 0);
}

int orr_raft_full(struct orr_raft *r, orr_time now, bool full) {
    orri_raft_begin(r, now);
    r->full = full;
    return orri_raft_end(r, 0);
}

int orr_raft_greet(struct orr_raft *r, orr_time now, orr_id peer, orr_term term, orr_index last) {
    struct orri_raft_peer *p = orri_raft_peer(r, peer);
    if (!p) return ORR_EINVALID;
    orri_raft_begin(r, now);
    bool leads = r->role == ORR_LEADER;
    bool forgot = term < p->told || (leads && term == r->term && last < p->match);
    if (forgot) p->lost = true;
    if (leads && p != r->me) {              /* there it is again: let it hear us */
        if (p->progress != ORRI_SNAPSHOT) orri_raft_probe(p, p->match + 1);
        p->poke = true;
    }
    return orri_raft_end(r, forgot ? ORR_ECORRUPT : 0);
}

int orr_raft_peer_lost(struct orr_raft *r, orr_time now, orr_id peer) {
    struct orri_raft_peer *p = orri_raft_peer(r, peer);
    if (!p) return ORR_EINVALID;
    orri_raft_begin(r, now);
    if (r->role == ORR_LEADER && p != r->me) {
        if (p->progress == ORRI_SNAPSHOT) p->waiting = false;
        else orri_raft_probe(p, p->match + 1);
    }
    return orri_raft_end(r, 0);
}

/* -- Messages in ------------------------------------------------------------------------------------------------- */
static bool valid_entries(const struct orr_raft_msg *m) {
    orr_term term = m->prev_log_term;
    if (m->n_entries > ORR_RAFT_ENTRIES_MAX || term > m->term || m->prev_log_index > UINT64_MAX / 2) return false;
    if (m->as_of_index > m->leader_commit || m->as_of_time < 0) return false;
    for (size_t i = 0; i < m->n_entries; i++) {
        const struct orr_entry *e = &m->entries[i];
        if (e->index != m->prev_log_index + 1 + i || e->term < term || e->term > m->term) return false;
        term = e->term;
    }
    return true;
}

static bool valid_snapshot(const struct orr_raft_msg *m) {
    const struct orr_snapshot *s = &m->snapshot;
    if (s->index == 0 || s->index > UINT64_MAX / 2 || s->term > m->term || s->config.size > ORR_CONFIG_MAX)
        return false;
    if (m->offset > s->size || m->data.size > s->size - m->offset) return false;
    return m->done == (m->offset + m->data.size == s->size);
}

static bool valid(const struct orr_raft_msg *m) {
    if (m->term > UINT64_MAX / 2) return false;
    if (m->type == ORR_RAFT_APPEND) return valid_entries(m);
    if (m->type == ORR_RAFT_SNAPSHOT) return valid_snapshot(m);
    return m->type >= ORR_RAFT_PREVOTE && m->type <= ORR_RAFT_TIMEOUT_NOW;
}

static bool names_leader(const struct orr_raft_msg *m) {
    return m->type == ORR_RAFT_APPEND || m->type == ORR_RAFT_SNAPSHOT;
}

/* Somebody is behind: questions are answered with our term, so that he catches up (and a leader of old steps down). The
 * term is all that is said: he may lead it by the time he hears this, and the question was of another. */
static void answer_old(struct orr_raft *r, const struct orr_raft_msg *m) {
    struct orr_raft_msg reply = orri_raft_msg(r, ORR_RAFT_APPEND_REPLY, m->from);
    if (m->type == ORR_RAFT_VOTE) reply.type = ORR_RAFT_VOTE_REPLY;
    else if (!names_leader(m)) return;
    orri_raft_post(r, &reply);
}

static int dispatch(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m) {
    switch (m->type) {
    case ORR_RAFT_PREVOTE: orri_raft_on_prevote(r, m); break;
    case ORR_RAFT_PREVOTE_REPLY: orri_raft_on_prevote_reply(r, p, m); break;
    case ORR_RAFT_VOTE: orri_raft_on_vote(r, m); break;
    case ORR_RAFT_VOTE_REPLY: orri_raft_on_vote_reply(r, p, m); break;
    case ORR_RAFT_APPEND: return orri_raft_on_append(r, m);
    case ORR_RAFT_APPEND_REPLY: return orri_raft_on_append_reply(r, p, m);
    case ORR_RAFT_SNAPSHOT: return orri_raft_on_snapshot(r, m);
    case ORR_RAFT_SNAPSHOT_REPLY: return orri_raft_on_snapshot_reply(r, p, m);
    case ORR_RAFT_READ: orri_raft_on_read(r, m); break;
    case ORR_RAFT_READ_REPLY: orri_raft_on_read_reply(r, m); break;
    case ORR_RAFT_TIMEOUT_NOW:
        if (m->from == r->leader && orri_raft_is_voter(r) && !orri_raft_decline(r, m->from)) {
            orri_raft_note(r, ORR_CAUSE_ASKED_TO_LEAD, r->term, m->from);
            orri_raft_stand(r, false, true);
        }
        break;
    }
    return 0;
}

/* The term, once for all: a later one makes a follower; except a pre-vote, which only talks of one, and a vote for
 * somebody who can't hear the leader that this node hears. */
static int receive(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m) {
    bool talks = m->type == ORR_RAFT_PREVOTE || (m->type == ORR_RAFT_PREVOTE_REPLY && m->granted);
    if (talks) return dispatch(r, p, m);
    if (m->term > r->term) {
        bool held = (r->cfg.check_quorum && orri_raft_sticky(r)) || orri_raft_promised(r);
        if (m->type == ORR_RAFT_VOTE && !m->forced && held) return 0;
        orri_raft_note(r, names_leader(m) ? ORR_CAUSE_LEADER : ORR_CAUSE_TERM, m->term, m->from);
        orri_raft_become_follower(r, m->term, names_leader(m) ? m->from : ORR_NOBODY);
    }
    if (m->term < r->term) {
        answer_old(r, m);
        return 0;
    }
    return dispatch(r, p, m);
}

int orr_raft_recv(struct orr_raft *r, orr_time now, const struct orr_raft_msg *msg) {
    struct orri_raft_peer *p = orri_raft_peer(r, msg->from);
    if (!p || p == r->me || !valid(msg)) return ORR_EINVALID;
    orri_raft_begin(r, now);
    if (r->mute) return orri_raft_end(r, 0);
    return orri_raft_end(r, receive(r, p, msg));
}

/* -- Outputs ----------------------------------------------------------------------------------------------------- */
static void work(struct orr_raft *r) {
    if (r->role == ORR_LEADER) {
        orri_raft_advance(r);
        orri_raft_claim(r);
    }
    orri_raft_reads_flush(r);
    orri_raft_make_stores(r);
    if (r->role == ORR_LEADER)
        for (size_t i = 0; i < r->n_peers; i++) orri_raft_send(r, &r->peers[i]);
    orri_raft_ack(r);
    send_queued(r);
}

static void hand_out(struct orr_raft *r) {
    struct orr_ready *io = &r->ready.io;
    r->ready.msgs = r->msgs;
    io->answers = r->answers;
    io->n_answers = r->n_answers;
    io->fetches = r->fetches;
    io->n_fetches = r->n_fetches;
    io->parts = &r->part;
    io->n_parts = r->part_out;
    if (r->restore_out && orri_raft_keep_snapshot(r, &r->restore, &r->snapshot) == 0) {
        io->restore = &r->restore;
        r->restore_out = false;
    }
    io->status_changed = r->told_role != r->role || r->told_term != r->term || r->told_leader != r->leader;
    r->told_role = r->role;
    r->told_term = r->term;
    r->told_leader = r->leader;
    r->n_answers = r->n_fetches = 0;
    r->part_out = false;
}

const struct orr_raft_ready *orr_raft_ready(struct orr_raft *r) {
    take_back(r);
    if (!r->mute) work(r);
    orri_raft_make_commits(r);
    hand_out(r);
    const struct orr_ready *io = &r->ready.io;
    bool anything = r->ready.n_msgs || io->n_stores || io->n_parts || io->n_commits || io->n_answers || io->n_fetches ||
                    io->restore || io->status_changed;
    r->ready_out = anything;
    orri_raft_end(r, 0);
    return anything ? &r->ready : NULL;
}

static orr_time sooner(orr_time a, orr_time b) { return a < b ? a : b; }

orr_time orr_raft_deadline(const struct orr_raft *r) {
    orr_time at = orri_raft_reads_deadline(r);
    if (r->mute) return at;
    if (r->role != ORR_LEADER) return sooner(at, orri_raft_election_at(r));
    if (r->transfer != ORR_NOBODY) at = sooner(at, r->transfer_until);
    return r->n_peers > 1 ? sooner(at, r->heartbeat_at) : at;
}

void orr_raft_status(const struct orr_raft *r, struct orr_order_status *out) {
    *out = (struct orr_order_status){
        .id = r->cfg.order.self, .leader = r->leader, .vote = r->vote, .role = r->role, .term = r->term,
        .first = r->log.first, .last = r->log.last, .stored = r->stored, .commit = r->commit, .applied = r->applied,
        .snapshot = r->snapshot.index, .window_bytes = r->log.bytes, .queued_bytes = r->queued_bytes, .error = r->error,
        .ailing = orri_raft_ails(r, r->now), .lease = orri_raft_lease_until(r), .as_of = r->as_of,
    };
}

void orr_raft_check(const struct orr_raft *r) { orri_raft_check(r, true); }
