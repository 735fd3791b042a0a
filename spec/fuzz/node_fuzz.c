/* node_fuzz.c - a whole node in the simulator, and what its only peer says: frames, messages, batches, snapshots. It
 * may be led astray, it may stop and say why, but it doesn't break; nor when it starts again on that disk.
 *
 * Input: records of a byte that says what comes (enum what), a byte of size, so many bytes; one a turn. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/host.h>
#include <orrery/sim.h>

#include "base/hash.h"
#include "consensus/raft/internal.h"
#include "node/batch.h"
#include "node/forward.h"
#include "node/inner.h"
#include "storage/snapshot_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AT_NODE "10.0.0.1:7000"
#define AT_LIAR "10.0.0.2:7000"

enum what { BYTES, FRAME, HELLO, WAIT, VOTES, APPEND, SNAPSHOT, ACKNOWLEDGE, FORWARD, HANG_UP, WHATS };

static const struct orr_birth liars_birth = { { 'l', 'i', 'a', 'r' } };

struct rig {
    struct orr_sim *sim;
    struct orr_node *node;
    struct orr_wait asked;          /* for a snapshot; the node's while it is under way */
    struct orr_group *group;
    struct orr_world *w;                            /* the liar's */
    struct orr_stream *stream;
    bool dialing;
    orr_time due;
    orr_term last_term;                             /* of the last entry that it made up */
    uint32_t incarnation;
    const uint8_t *at, *end;
};

/* -- A machine whose image is any bytes ---------------------------------------------------------------------------- */
static int m_create(void **m, const struct orr_machine_config *cfg) {
    (void)cfg;
    static char it;
    return *m = &it, 0;
}
static void m_destroy(void *m) { (void)m; }
static int m_apply(void *m, const struct orr_at *at, struct orr_slice op, struct orr_sink *sink) {
    (void)m, (void)at, (void)op;
    if (sink) sink->ops->nil(sink);
    return 0;
}
static void m_advance(void *m, const struct orr_at *at) { (void)m, (void)at; }
static orr_time m_wants(const void *m) { return (void)m, ORR_NEVER; }
static uint64_t m_digest(const void *m) { return (void)m, 1; }
static void m_stats(const void *m, struct orr_machine_stats *out) { (void)m, *out = (struct orr_machine_stats){ 0 }; }
static int m_begin(void *m) { return (void)m, 0; }
static int m_next(void *m, size_t bytes, struct orr_slice *out) {
    (void)m, (void)bytes;
    return *out = (struct orr_slice){ 0 }, 0;
}
static int m_part(void *m, const void *at, size_t size) {
    volatile unsigned char last = ((const unsigned char *)at)[size - 1];
    return (void)m, (void)last, 0;
}
static const struct orr_machine_ops machine = { .name = "any", .version = 1, .create = m_create, .destroy = m_destroy,
                                                .apply = m_apply, .advance = m_advance, .query = m_apply,
                                                .wants = m_wants, .digest = m_digest, .stats = m_stats,
                                                .freeze = m_begin, .next = m_next, .unfreeze = m_destroy,
                                                .restore_begin = m_begin, .restore_part = m_part,
                                                .restore_end = m_begin };

/* -- The node ------------------------------------------------------------------------------------------------------ */
static void node_halt(void *ud, const char *name) {
    struct rig *r = ud;
    (void)name;
    orr_node_free(r->node);
    r->node = NULL;
    r->group = NULL;
    r->asked = (struct orr_wait){ 0 };
}

static int node_boot(void *ud, struct orr_world *w, const char *name) {
    static const struct orr_node_member file[] = { { "a", AT_NODE, true }, { "b", AT_LIAR, true } };
    struct rig *r = ud;
    struct orr_node_config cfg;
    const char *why;
    (void)name;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = "a";
    cfg.nodes = file;
    cfg.n_nodes = 2;
    cfg.segment_bytes = 64 << 10;
    cfg.snapshot_bytes = 2000;
    if (orr_node_new(&r->node, w, &cfg, &why) < 0) abort();
    struct orr_group_spec spec = { .order = &orr_raft_order, .machine = &machine };
    if (orr_node_replicate(r->node, "any", &spec, &r->group) < 0 || orr_node_start(r->node) < 0) abort();
    return 0;
}

/* -- What the liar says -------------------------------------------------------------------------------------------- */
static void say(struct rig *r, enum orri_frame_kind kind, struct orr_slice first, struct orr_slice second) {
    unsigned char head[ORRI_FRAME_HEAD];
    struct orr_slice parts[] = { orr_borrow(head, sizeof head), first, second };
    bool groups = (kind >= ORRI_FRAME_ORDER && kind <= ORRI_FRAME_RESEND) || (kind == ORRI_FRAME_PING && first.size);
    struct orri_frame f = { .kind = kind, .group = groups ? r->group->number : 0 };
    orri_frame_head(head, &f, parts + 1, 2);
    (void)r->w->ops->send(r->w, r->stream, 0, parts, 3);
}

static void say_message(struct rig *r, struct orr_raft_msg *m, struct orr_slice data) {
    unsigned char head[4096];
    m->from = orr_id_of("b");
    m->to = orr_id_of("a");
    if (orri_raft_head_size(m) > sizeof head) return;
    say(r, ORRI_FRAME_ORDER, orr_borrow(head, orri_raft_encode(m, head, sizeof head)), data);
}

/* p: its incarnation (0: as before), what it says it had of the group, and which field is another's. */
static void say_hello(struct rig *r, struct orr_slice p) {
    unsigned char bytes[ORRI_HELLO_MAX];
    if (p.size && p.at[0]) r->incarnation = p.at[0];
    struct orri_hello h = { .oldest = ORRI_PROTOCOL_OLDEST, .newest = ORRI_PROTOCOL_NEWEST, .id = orr_id_of("b"),
                            .cluster = r->node->identity.cluster, .birth = liars_birth,
                            .incarnation = r->incarnation, .nonce = 7, .name = "b" };
    if (p.size > 2) {
        h.n_groups = 1;
        h.groups[0] = (struct orri_hello_group){ r->group->number, p.at[1], p.at[2] };
    }
    if (p.size > 3) {
        unsigned char *const fields[] = { (void *)&h.oldest, (void *)&h.cluster, (void *)&h.id, h.bundle.b, h.birth.b };
        fields[p.at[3] % 5][0] ^= p.at[3] >> 3 & 31;
    }
    say(r, ORRI_FRAME_HELLO, orr_borrow(bytes, orri_hello_write(&h, bytes)), (struct orr_slice){ 0 });
}

static void say_votes(struct rig *r, orr_term term) {
    struct orr_raft_msg before = { .type = ORR_RAFT_PREVOTE_REPLY, .granted = true, .term = term + 1 };
    struct orr_raft_msg vote = { .type = ORR_RAFT_VOTE_REPLY, .granted = true, .term = term };
    say_message(r, &before, (struct orr_slice){ 0 });
    say_message(r, &vote, (struct orr_slice){ 0 });
}

static void say_append(struct rig *r, const struct orr_order_status *s, orr_term term, struct orr_slice p) {
    struct orr_entry e = { .index = s->last + 1, .term = term, .kind = ORR_ENTRY_DATA, .data = p };
    struct orr_raft_msg m = { .type = ORR_RAFT_APPEND, .term = term, .prev_log_index = s->last,
                              .prev_log_term = r->last_term, .entries = &e, .n_entries = 1,
                              .leader_commit = s->last + 1, .want_reply = true };
    say_message(r, &m, p);
    r->last_term = term;
}

static void say_snapshot(struct rig *r, const struct orr_order_status *s, orr_term term, struct orr_slice p) {
    struct orr_raft_msg m = { .type = ORR_RAFT_SNAPSHOT, .term = term, .data = p, .done = true };
    m.snapshot = (struct orr_snapshot){ .index = s->last + 5, .term = term, .size = p.size,
                                        .checksum = orri_hash64(p.at, p.size, 0),
                                        .config = orr_borrow(r->group->config, r->group->config_size) };
    say_message(r, &m, p);
    r->last_term = term;
}

static void say_forward(struct rig *r, orr_term term, struct orr_slice p) {
    unsigned char head[ORRI_FORWARD_HEAD + ORRI_BATCH_HEAD];
    uint64_t sequence = p.size ? p.at[0] : 1;
    struct orri_batch_head batch = { .count = p.size > 5, .origin = { liars_birth, r->incarnation, sequence } };
    orri_forward_write(head, &(struct orri_forward){ term, 1, sequence == 1 });
    orri_batch_head_write(head + ORRI_FORWARD_HEAD, &batch);
    say(r, ORRI_FRAME_FORWARD, orr_borrow(head, sizeof head), p.size ? orr_part_of(p, 1, p.size - 1) : p);
}

static void speak(struct rig *r, enum what what, struct orr_slice p) {
    struct orr_order_status s = { 0 };
    (void)orr_group_status(r->group, &s);
    orr_term term = s.leader == orr_id_of("b") ? s.term : s.term + 1;      /* that it says it leads */
    struct orr_raft_msg ack = { .type = ORR_RAFT_APPEND_REPLY, .term = s.term, .success = true,
                                .match_index = s.last, .prev_log_index = s.last, .round = p.size };
    switch (what) {
    case BYTES: (void)r->w->ops->send(r->w, r->stream, 0, &p, 1); break;
    case FRAME:
        if (p.size) say(r, 1 + p.at[0] % (ORRI_FRAME_KINDS - 1), orr_part_of(p, 1, p.size - 1), orr_borrow(NULL, 0));
        break;
    case HELLO: say_hello(r, p); break;
    case VOTES: say_votes(r, s.term); break;
    case APPEND: say_append(r, &s, term, p); break;
    case SNAPSHOT: say_snapshot(r, &s, term, p); break;
    case ACKNOWLEDGE: say_message(r, &ack, (struct orr_slice){ 0 }); break;
    case FORWARD: say_forward(r, s.term, p); break;
    case HANG_UP: r->w->ops->close(r->w, r->stream, true); break;
    default: break;
    }
}

/* -- The liar ------------------------------------------------------------------------------------------------------ */
static void hear(struct rig *r, struct orr_req *req) {
    struct orr_stream_event *ev = (struct orr_stream_event *)(void *)req;
    if (req->op == ORR_OP_ACCEPTED && r->stream) r->w->ops->close(r->w, ev->stream, false);
    else if (req->op == ORR_OP_ACCEPTED || req->op == ORR_OP_CONNECTED) r->stream = ev->stream;
    if (req->op == ORR_OP_CLOSED && (r->stream == ev->stream || !r->stream)) r->stream = NULL, r->dialing = false;
}

static void told(struct orr_wait *w) { (void)w; }

/* As a host does. */
static void ask_for_snapshot(struct rig *r) {
    if (r->asked.under_way) return;
    r->asked = (struct orr_wait){ .done = told };
    (void)orr_group_snapshot(r->group, &r->asked);
}

/* A bit of the newest snapshot's content is another one. p: where */
static void rot(struct rig *r, struct orr_slice p) {
    const char *name, *newest = NULL;
    for (size_t i = 0; (name = orr_sim_disk_durable_name(r->sim, "a", i)); i++)
        if (orri_snapshot_is_name(name) && (!newest || strcmp(name, newest) > 0)) newest = name;
    if (newest) (void)orr_sim_disk_rot(r->sim, "a", newest, ORRI_SNAPSHOT_HEAD + p.at[1]);
}

static void next_record(struct rig *r) {
    enum what what = r->at[0] % WHATS;
    size_t size = r->end - r->at > 1 ? r->at[1] : 0;
    r->at += r->end - r->at > 1 ? 2 : 1;
    if (size > (size_t)(r->end - r->at)) size = (size_t)(r->end - r->at);
    struct orr_slice p = orr_borrow(r->at, size);
    r->at += size;
    if (what == WAIT && size == 2) ask_for_snapshot(r);
    if (what == WAIT && size == 3) rot(r, p);
    if (what == WAIT) r->due += size ? p.at[0] * 20 * ORR_MS : 0;
    else if (r->stream) speak(r, what, p);
}

static void liar_wake(void *ud) {
    struct rig *r = ud;
    struct orr_stream *dialed;
    for (struct orr_req *req; (req = r->w->ops->take(r->w));) hear(r, req);
    if (r->w->ops->now(r->w) >= r->due && r->at < r->end && r->node) {
        r->due = r->w->ops->now(r->w) + 2 * ORR_MS;
        if (r->stream || r->at[0] % WHATS == WAIT) next_record(r);
        else if (!r->dialing) r->dialing = r->w->ops->connect(r->w, orr_id_of("a"), &dialed) == 0;
        else r->at++;                               /* it comes to an end, whoever hangs up on whom */
    }
    r->w->ops->alarm(r->w, r->at < r->end && r->node ? r->due : ORR_NEVER, 0);
}

static int liar_boot(void *ud, struct orr_world *w, const char *name) {
    struct rig *r = ud;
    (void)name;
    r->w = w;
    w->wake = liar_wake;
    w->ud = r;
    r->due = 10 * ORR_MS;
    w->ops->alarm(w, r->due, 0);
    if (w->ops->peer(w, orr_id_of("a"), AT_NODE) < 0) abort();
    return w->ops->listen(w, AT_LIAR, 0, 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rig r = { .last_term = 1, .incarnation = 1, .at = data, .end = data + size };
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.seed = 1;
    if (orr_sim_new(&r.sim, &cfg) < 0) abort();
    if (orr_sim_add(r.sim, "a", &(struct orr_sim_boot){ .start = node_boot, .halt = node_halt, .ud = &r }) < 0) abort();
    if (orr_sim_add(r.sim, "b", &(struct orr_sim_boot){ .start = liar_boot, .ud = &r }) < 0) abort();
    if (orr_sim_start(r.sim, "a") < 0 || orr_sim_start(r.sim, "b") < 0) abort();
    while (r.at < r.end && r.node && orr_sim_now(r.sim) < 60 * ORR_SECOND)
        orr_sim_run(r.sim, orr_sim_now(r.sim) + 100 * ORR_MS);
    (void)orr_sim_restart(r.sim, "a", ORR_SIM_KEPT);
    orr_sim_run(r.sim, orr_sim_now(r.sim) + 500 * ORR_MS);
    orr_sim_free(r.sim);
    return 0;
}
