/* raft_order.c - Raft as the table of order.h: messages become frames, frames messages.
 *
 * A frame that goes out is a head of its own and, as bodies, the data that the log holds: nothing is copied. One
 * that comes in is decoded where it lies; its entries hold its chunk. Where a small frame lies in a much larger
 * chunk, a copy is made instead, since the window may keep it for long. */
#include "internal.h"
#include <orrery/trace.h>

struct order {
    struct orr_raft *r;
    struct orr_alloc alloc;
    struct orr_chunks *chunks;
    struct orr_ready ready;
    struct orr_out *outs;           /* grow to what a ready has needed at most */
    size_t n_outs, cap_outs;
    struct orr_slice *bodies;
    size_t cap_bodies;
    struct orr_entry entries[ORR_RAFT_ENTRIES_MAX];
};

/* -- Life -------------------------------------------------------------------------------------------------------- */
static void config_init(struct orr_order_config *cfg) {
    struct orr_raft_config typed;
    orr_raft_config_init(&typed);
    *cfg = typed.order;
}

static int create(void **x, const struct orr_order_config *cfg, const struct orr_boot *boot, orr_time now) {
    struct orr_raft_config typed;
    orr_raft_config_init(&typed);
    typed.order = *cfg;
    typed.found = true;
    if (!cfg->alloc) return ORR_EINVALID;
    struct order *o = orri_raft_alloc(cfg->alloc, sizeof *o);
    if (!o) return -ENOMEM;
    o->alloc = *cfg->alloc;
    o->chunks = cfg->chunks;
    int rc = orr_raft_new(&o->r, &typed, boot, now);
    if (rc) o->alloc.fn(o->alloc.ud, o, sizeof *o, 0);
    else *x = o;
    return rc;
}

static void take_back(struct order *o) {
    for (size_t i = 0; i < o->n_outs; i++) orr_drop(o->outs[i].head);
    o->n_outs = 0;
}

static void destroy(void *x) {
    struct order *o = x;
    if (!o) return;
    take_back(o);
    orr_raft_free(o->r);
    struct orr_alloc alloc = o->alloc;
    if (o->outs) alloc.fn(alloc.ud, o->outs, o->cap_outs * sizeof *o->outs, 0);
    if (o->bodies) alloc.fn(alloc.ud, o->bodies, o->cap_bodies * sizeof *o->bodies, 0);
    alloc.fn(alloc.ud, o, sizeof *o, 0);
}

/* -- Frames in --------------------------------------------------------------------------------------------------- */
static bool pins_too_much(struct orr_slice frame) {
    return !frame.chunk || (frame.chunk->cap > 4096 && frame.size < frame.chunk->cap / 4);
}

static int copy(struct order *o, struct orr_slice *frame) {
    struct orr_chunk *c = o->chunks->get(o->chunks, frame->size);
    if (!c) return -ENOMEM;
    memcpy(c->at, frame->at, frame->size);
    *frame = (struct orr_slice){ c, c->at, frame->size };
    return 0;
}

static int recv_frame(void *x, orr_time now, orr_id from, struct orr_slice frame) {
    struct order *o = x;
    struct orr_raft_msg m;
    int rc = orri_raft_decode(frame, &m, o->entries);
    if (rc) return rc;
    if (m.type == ORR_RAFT_VOTE && m.from != from) return ORR_EINVALID;
    bool copied = (m.n_entries > 0 || m.type == ORR_RAFT_SNAPSHOT) && pins_too_much(frame);
    if (copied) {
        rc = copy(o, &frame);
        if (rc == 0) rc = orri_raft_decode(frame, &m, o->entries);
        if (rc) return rc;
    }
    m.from = from;
    rc = orr_raft_recv(o->r, now, &m);
    if (copied) orr_drop(frame);
    return rc;
}

static int claims(struct orr_slice head, void *out) {
    struct orr_claims *c = out;
    struct orr_raft_msg m;
    *c = (struct orr_claims){ 0 };
    int rc = orri_raft_decode(head, &m, NULL);        /* no entries wanted: it need not go to the end */
    if (rc) return rc;
    bool talks = m.type == ORR_RAFT_PREVOTE || (m.type == ORR_RAFT_PREVOTE_REPLY && m.granted);
    if (!talks) c->term = m.term;
    if (m.type == ORR_RAFT_APPEND_REPLY && m.success) c->match = m.match_index;
    if (m.type == ORR_RAFT_SNAPSHOT_REPLY && m.done) c->snapshot = m.snapshot.index;
    if (m.type == ORR_RAFT_APPEND) c->commit = m.leader_commit;
    c->vote = m.type == ORR_RAFT_VOTE || (m.type == ORR_RAFT_VOTE_REPLY && m.granted);
    if (c->vote) c->candidate = m.type == ORR_RAFT_VOTE ? m.from : m.to;
    return 0;
}

/* -- Frames out -------------------------------------------------------------------------------------------------- */
static int grow(struct order *o, void **at, size_t *cap, size_t n, size_t size) {
    if (n <= *cap) return 0;
    void *grown = o->alloc.fn(o->alloc.ud, *at, *cap * size, n * size);
    if (!grown) return -ENOMEM;
    *at = grown;
    *cap = n;
    return 0;
}

static int reserve(struct order *o, const struct orr_raft_ready *rd) {
    size_t bodies = 0;
    for (size_t i = 0; i < rd->n_msgs; i++) bodies += rd->msgs[i].n_entries + 1;
    void *outs = o->outs, *slices = o->bodies;
    int rc = grow(o, &outs, &o->cap_outs, rd->n_msgs, sizeof *o->outs);
    o->outs = outs;
    if (rc == 0) rc = grow(o, &slices, &o->cap_bodies, bodies, sizeof *o->bodies);
    o->bodies = slices;
    return rc;
}

static size_t fill_bodies(const struct orr_raft_msg *m, struct orr_slice *bodies) {
    size_t n = 0;
    for (size_t i = 0; i < m->n_entries; i++)
        if (m->entries[i].data.size) bodies[n++] = m->entries[i].data;
    if (m->data.size) bodies[n++] = m->data;
    return n;
}

/* Without memory for it a message is as good as lost, which the protocol bears. */
static void encode(struct order *o, const struct orr_raft_ready *rd) {
    if (reserve(o, rd) != 0) return;
    struct orr_slice *bodies = o->bodies;
    for (size_t i = 0; i < rd->n_msgs; i++) {
        const struct orr_raft_msg *m = &rd->msgs[i];
        struct orr_chunk *c = o->chunks->get(o->chunks, orri_raft_head_size(m));
        if (!c) continue;
        size_t size = orri_raft_encode(m, c->at, c->cap);
        size_t n = fill_bodies(m, bodies);
        o->outs[o->n_outs++] = (struct orr_out){ .to = m->to, .cls = m->type == ORR_RAFT_SNAPSHOT,
            .head = { c, c->at, size }, .body = bodies, .n_body = n };
        bodies += n;
    }
}

static const struct orr_ready *ready(void *x) {
    struct order *o = x;
    take_back(o);
    const struct orr_raft_ready *rd = orr_raft_ready(o->r);
    if (!rd) return NULL;
    encode(o, rd);
    o->ready = rd->io;
    o->ready.msgs = o->outs;
    o->ready.n_msgs = o->n_outs;
    return &o->ready;
}

/* -- The rest passes through ------------------------------------------------------------------------------------- */
static struct orr_raft *raft(const void *x) { return ((const struct order *)x)->r; }

static void wall(void *x, orr_time now, orr_time realtime) { orr_raft_wall(raft(x), now, realtime); }
static void clock(void *x, orr_time now, const struct orr_clock_reading *reading) {
    orr_raft_clock(raft(x), now, reading);
}
static int propose(void *x, orr_time now, const struct orr_slice *batches, size_t n, size_t *taken) {
    return orr_raft_propose(raft(x), now, batches, n, taken, NULL);
}
static int read_index(void *x, orr_time now, uint64_t tag) { return orr_raft_read_index(raft(x), now, tag); }
static int stored(void *x, orr_time now, uint64_t id, int status) { return orr_raft_stored(raft(x), now, id, status); }
static int part_stored(void *x, orr_time now, uint64_t id, int status) {
    return orr_raft_part_stored(raft(x), now, id, status);
}
static int fetched(void *x, orr_time now, uint64_t id, const struct orr_entry *entries, size_t n, int status) {
    return orr_raft_fetched(raft(x), now, id, entries, n, status);
}
static int fetched_part(void *x, orr_time now, uint64_t id, struct orr_slice data, int status) {
    return orr_raft_fetched_part(raft(x), now, id, data, status);
}
static int applied(void *x, orr_time now, orr_index through) { return orr_raft_applied(raft(x), now, through); }
static int compacted(void *x, orr_time now, const struct orr_snapshot *snapshot, orr_index keep_after) {
    return orr_raft_compacted(raft(x), now, snapshot, keep_after);
}
static int greet(void *x, orr_time now, orr_id peer, orr_term term, orr_index last) {
    return orr_raft_greet(raft(x), now, peer, term, last);
}
static int peer_lost(void *x, orr_time now, orr_id peer) { return orr_raft_peer_lost(raft(x), now, peer); }
static int hand_over(void *x, orr_time now, orr_id to) { return orr_raft_hand_over(raft(x), now, to); }
static void disenfranchise(void *x, orr_time now) { orr_raft_disenfranchise(raft(x), now); }
static int full(void *x, orr_time now, bool is_full) { return orr_raft_full(raft(x), now, is_full); }
static int tick(void *x, orr_time now) { return orr_raft_tick(raft(x), now); }
static orr_time deadline(const void *x) { return orr_raft_deadline(raft(x)); }
static void status(const void *x, struct orr_order_status *out) { orr_raft_status(raft(x), out); }
static size_t causes(const void *x, struct orr_cause *out, size_t max) { return orr_raft_causes(raft(x), out, max); }
static void check(const void *x) { orr_raft_check(raft(x)); }

const struct orr_order_ops orr_raft_order = {
    .name = "raft", .config_init = config_init, .create = create, .destroy = destroy, .wall = wall, .clock = clock,
    .recv = recv_frame, .propose = propose, .read = read_index, .stored = stored, .part_stored = part_stored,
    .fetched = fetched, .fetched_part = fetched_part, .applied = applied, .compacted = compacted, .greet = greet,
    .peer_lost = peer_lost, .hand_over = hand_over, .disenfranchise = disenfranchise, .full = full, .tick = tick,
    .deadline = deadline, .ready = ready, .status = status, .causes = causes, .check = check, .claims = claims,
    .glance = orri_raft_glance,
};
