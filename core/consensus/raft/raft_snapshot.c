/* raft_snapshot.c - snapshots: sending one in parts, receiving one, compaction (paper 7, thesis 5).
 *
 * One part is on its way at a time: fetched from the disk, sent, written there, and the reply says how many bytes
 * the receiver has, which is where the next part begins: so a transfer that was broken off resumes, with another
 * leader too if it sends the same snapshot. A newer one supersedes it.
 *
 * The receiver's log begins anew after a snapshot. From the moment that its last part is handed to the disk until
 * that is done, no entries are taken or stored (incoming.done): the disk is putting the one in the place of the
 * other. */
#include "internal.h"

static bool same(const struct orr_snapshot *a, const struct orr_snapshot *b) {
    return a->index == b->index && a->term == b->term;
}

/* -- Sending ----------------------------------------------------------------------------------------------------- */
void orri_raft_snapshot_start(struct orr_raft *r, struct orri_raft_peer *p) {
    orri_raft_drop_snapshot(&p->snapshot);
    if (orri_raft_keep_snapshot(r, &p->snapshot, &r->snapshot) != 0) return;
    p->progress = ORRI_SNAPSHOT;
    p->probing = p->waiting = false;
    p->n_sent = p->sent_bytes = 0;
    p->fetch = 0;
    p->offset = 0;
    p->moved_at = r->now;
}

void orri_raft_snapshot_end(struct orri_raft_peer *p) {
    orri_raft_drop_snapshot(&p->snapshot);
    p->waiting = false;
    p->fetch = 0;
}

void orri_raft_snapshot_send(struct orr_raft *r, struct orri_raft_peer *p) {
    if (p->waiting || p->fetch) return;
    bool small = orr_rare(&r->cfg.order.rare, "raft.small_part");
    p->fetch = orri_raft_fetch(r, &(struct orr_fetch){ .kind = ORR_FETCH_SNAPSHOT,
                                                       .from = p->snapshot.index,
                                                       .through = p->snapshot.index,
                                                       .term = p->snapshot.term,
                                                       .offset = p->offset,
                                                       .bytes_max = small ? 100 : r->cfg.order.part_bytes });
}

static int send_part(struct orr_raft *r, struct orri_raft_peer *p, struct orr_slice data) {
    uint64_t left = p->snapshot.size - p->offset;
    if (data.size > left || (data.size == 0 && left > 0)) return ORR_ECORRUPT;
    struct orr_raft_msg m = orri_raft_msg(r, ORR_RAFT_SNAPSHOT, p->id);
    m.snapshot = p->snapshot;
    m.offset = p->offset;
    m.data = data;
    m.done = data.size == left;
    p->waiting = true;
    p->sent_at = r->now;
    orri_raft_post(r, &m);                  /* holds config and data */
    return 0;
}

int orri_raft_snapshot_fetched(struct orr_raft *r, struct orri_raft_peer *p, struct orr_slice data, int status) {
    p->fetch = 0;
    if (status == 0) status = send_part(r, p, data);
    if (status < 0) {                       /* gone, superseded perhaps: the newest, from its beginning, in a while */
        orri_raft_snapshot_start(r, p);
        p->waiting = true;
    }
    return 0;
}

int orr_raft_fetched_part(struct orr_raft *r, orr_time now, uint64_t fetch_id, struct orr_slice data, int status) {
    orri_raft_begin(r, now);
    for (size_t i = 0; i < r->n_peers; i++) {
        struct orri_raft_peer *p = &r->peers[i];
        if (fetch_id == 0 || p->fetch != fetch_id || p->progress != ORRI_SNAPSHOT) continue;
        return orri_raft_end(r, orri_raft_snapshot_fetched(r, p, data, status));
    }
    return orri_raft_end(r, 0);
}

int orri_raft_on_snapshot_reply(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m) {
    if (r->role != ORR_LEADER) return 0;
    p->heard = r->now;
    if (p->progress != ORRI_SNAPSHOT || !same(&m->snapshot, &p->snapshot)) return 0;
    if (m->offset > p->snapshot.size) return ORR_EINVALID;
    if (m->done) {
        p->told = orri_max(p->told, m->term);
        orri_raft_matched(r, p, m->snapshot.index, m->snapshot.index);
    } else if (m->offset != p->offset || !p->fetch) {
        if (m->offset != p->offset) p->moved_at = r->now;
        p->offset = m->offset;
        p->fetch = 0;                       /* one for another offset is of no use */
        p->waiting = false;
    }
    return 0;
}

/* -- Receiving --------------------------------------------------------------------------------------------------- */
static void reply(struct orr_raft *r, const struct orr_snapshot *s, uint64_t offset, bool done) {
    if (r->leader == ORR_NOBODY || r->role == ORR_LEADER) return;
    struct orr_raft_msg m = orri_raft_msg(r, ORR_RAFT_SNAPSHOT_REPLY, r->leader);
    m.snapshot.index = s->index;
    m.snapshot.term = s->term;
    m.offset = offset;
    m.done = done;
    orri_raft_post(r, &m);
}

static void forget_incoming(struct orr_raft *r) {
    orri_raft_drop_snapshot(&r->incoming.snapshot);
    r->incoming = (struct orri_raft_incoming){ 0 };
}

/* Another snapshot than the one that is coming in: a newer one, or one from a newer leader, takes its place. */
static bool accept_new(struct orr_raft *r, const struct orr_raft_msg *m) {
    struct orri_raft_incoming *in = &r->incoming;
    if (in->snapshot.index && in->term == m->term && m->snapshot.index < in->snapshot.index) return false;
    if (in->part) return false;             /* first the disk must be done with what it has of the old one */
    forget_incoming(r);
    return orri_raft_keep_snapshot(r, &in->snapshot, &m->snapshot) == 0;
}

static bool take_part(struct orr_raft *r, const struct orr_raft_msg *m) {
    struct orri_raft_incoming *in = &r->incoming;
    if (m->offset != in->have || orri_raft_keep(r, m->data, &r->part.data) != 0) return false;
    in->part = ++r->last_id;
    in->part_size = m->data.size;
    in->done = m->done;
    if (m->done) in->snapshot.size = m->snapshot.size;          /* who sends it may not have known before */
    r->part = (struct orr_part){ in->part, in->snapshot, m->offset, r->part.data, m->done };
    r->part_out = true;
    return true;
}

int orri_raft_on_snapshot(struct orr_raft *r, const struct orr_raft_msg *m) {
    if (r->role == ORR_LEADER) return ORR_ECORRUPT;
    orri_raft_follow(r, m->from);
    struct orri_raft_incoming *in = &r->incoming;
    orr_term term;
    bool known = orri_raft_log_term(&r->log, m->snapshot.index, &term) && term == m->snapshot.term;
    if (known && !in->done && m->snapshot.index > r->commit) {     /* the log has all of it, and more than it perhaps */
        r->matched = orri_max(r->matched, m->snapshot.index);
        orri_raft_commit_to(r, m->snapshot.index);
    }
    if (m->snapshot.index <= r->commit && !in->done) {
        if (!in->part) forget_incoming(r);
        r->reply = true;                    /* what it has, as an acknowledgement */
        return 0;
    }
    if (!same(&in->snapshot, &m->snapshot) && !accept_new(r, m)) return 0;
    in->term = m->term;
    if (!in->part && !take_part(r, m)) reply(r, &in->snapshot, in->have, false);
    return 0;
}

/* It is on the disk, checked and named: the log begins anew after it. */
static void install(struct orr_raft *r) {
    struct orr_snapshot s = r->incoming.snapshot;
    r->incoming = (struct orri_raft_incoming){ 0 };
    orri_raft_drop_snapshot(&r->snapshot);
    r->snapshot = s;                        /* moved */
    for (size_t i = 0; i < r->n_stores; i++) r->stores[(r->stores_first + i) % ORRI_RAFT_STORES_MAX].last = 0;
    orri_raft_log_restart(&r->log, s.index, s.term);
    orri_raft_time_floor(&r->time, r->now, s.time);
    r->submitted = r->stored = r->commit = r->handed = s.index;
    r->cut = false;
    r->matched = 0;
    r->apply_fetch = 0;
    orri_raft_batch_free(r, r->apply_batch);
    r->apply_batch = NULL;
    r->restoring = r->restore_out = true;
    reply(r, &r->snapshot, s.size, true);
}

int orr_raft_part_stored(struct orr_raft *r, orr_time now, uint64_t part_id, int status) {
    struct orri_raft_incoming *in = &r->incoming;
    if (part_id == 0 || in->part != part_id) return ORR_EINVALID;
    orri_raft_begin(r, now);
    bool done = in->done;
    in->part = 0;
    in->done = false;
    if (status < 0) {       /* a bad checksum too: when the leader sends again, from the beginning what he has then */
        forget_incoming(r);
        return orri_raft_end(r, 0);
    }
    in->have += in->part_size;
    if (done) install(r);
    else reply(r, &in->snapshot, in->have, false);
    return orri_raft_end(r, 0);
}

/* -- Compaction -------------------------------------------------------------------------------------------------- */
int orr_raft_compacted(struct orr_raft *r, orr_time now, const struct orr_snapshot *snapshot, orr_index keep_after) {
    if (snapshot->index > r->applied || keep_after > snapshot->index) return ORR_EINVALID;
    if (snapshot->index < r->snapshot.index || snapshot->index > r->stored) return ORR_EINVALID;
    orri_raft_begin(r, now);
    struct orr_snapshot kept = { 0 };
    if (orri_raft_keep_snapshot(r, &kept, snapshot) != 0) return orri_raft_end(r, -ENOMEM);
    orri_raft_drop_snapshot(&r->snapshot);
    r->snapshot = kept;
    orri_raft_log_compact(&r->log, keep_after);
    return orri_raft_end(r, 0);
}
