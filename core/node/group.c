/* group.c - the driver: one group's turn. It knows a protocol by its table (orrery/order.h) and nothing more of it.
 *
 * In a turn: the inputs have been given as they came (frames, completions); then what waits is proposed, asked, and
 * ready() is pulled until there is nothing: sends, stores, commits, answers; then commits are applied, and told.
 * Nothing of a ready is touched after the next input, so what the storage refuses outright is reported behind the
 * loop. */
#include <string.h>

#include "base/hash.h"
#include "node/inner.h"

enum { ROUNDS_MAX = 4 };
/* Between two empty batches: at least; where log time does not follow; while there is more to do than one does. */
#define NUDGE (50 * ORR_MS)
#define NUDGE_MAX (2 * ORR_SECOND)
#define NUDGE_BEHIND (5 * ORR_MS)

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static void wake_up(struct orri_alarm *alarm) { (void)alarm; }         /* the turn itself does what is due */

static bool take_rare(void *ud, const char *name) { return ORR_RARE((struct orr_world *)ud, name); }

static struct orr_rare rare_of(const struct orr_node *n) {
    return (struct orr_rare){ n->w->ops->rare ? take_rare : NULL, n->w };
}

int orri_group_new_machine(struct orr_group *g) {
    struct orr_node *n = g->node;
    struct orr_machine_config cfg = { n->w->ops->seed(n->w, g->name), n->alloc, n->w->chunks, g->machine_ud,
                                      rare_of(n) };
    return g->machine_ops->create(&g->machine, &cfg);
}

int orri_group_start(struct orr_group *g) {
    struct orr_node *n = g->node;
    struct orr_boot boot;
    g->alarm.fire = wake_up;
    if (!g->here) return 0;
    int rc = orri_group_new_machine(g);
    if (rc < 0) return rc;
    orri_storage_boot(n->storage, g->number, &boot);
    if (boot.snapshot.index) orri_snapshot_restore(g, &boot.snapshot);
    else orri_group_begin(g, NULL);
    return 0;
}

static int forward(void *ud, const struct orri_forward *head, struct orr_slice batch) {
    struct orr_group *g = ud;
    struct orri_peer *p = orri_names_peer(g->node, g->status.leader);
    unsigned char bytes[ORRI_FORWARD_HEAD];
    if (!p) return ORR_EUNAVAILABLE;
    orri_forward_write(bytes, head);
    struct orri_frame frame = { .kind = ORRI_FRAME_FORWARD, .channel = 1, .group = g->number };
    return orri_peer_send(p, &frame, orr_borrow(bytes, sizeof bytes), &batch, 1);
}

static void taken(void *ud, const struct orri_pending *p) {
    struct orr_group *g = ud;
    const struct orri_identity *id = &g->node->identity;
    struct orr_trace_ack t = { 0, id->birth, id->incarnation, p->sequence, p->count };
    orri_trace(g, ORR_TRACE_TAKEN, &t, sizeof t);
}

static void init_streams(struct orr_group *g) {
    struct orr_node *n = g->node;
    struct orri_origin_config origin = { .alloc = n->alloc, .chunks = n->w->chunks, .slots = &n->slots };
    origin.order = g->order;
    origin.x = g->x;
    origin.forward = forward;
    origin.taken = taken;
    origin.ud = g;
    origin.birth = n->identity.birth;
    origin.incarnation = n->identity.incarnation;
    origin.bytes_max = n->cfg.memory_bytes_max;
    origin.call = n->cfg.call;
    orri_origin_init(&g->origin, &origin);
    struct orri_reads_config reads = { .alloc = n->alloc, .slots = &n->slots, .order = g->order, .x = g->x };
    reads.call = n->cfg.call;
    reads.again = 2 * g->election;
    orri_reads_init(&g->reads, &reads);
}

static int create_order(struct orr_group *g, const struct orr_boot *boot) {
    struct orr_node *n = g->node;
    struct orr_order_config cfg;
    g->order->config_init(&cfg);
    cfg.self = n->id;
    cfg.voters = g->voters;
    cfg.n_voters = g->n_voters;
    cfg.election = g->election;
    cfg.heartbeat = g->heartbeat;
    cfg.leases = g->leases;
    cfg.seed = orri_mix64(n->w->ops->seed(n->w, "order"), g->number);
    if (cfg.queue_bytes > n->cfg.memory_bytes_max) cfg.queue_bytes = n->cfg.memory_bytes_max;
    cfg.alloc = n->alloc;
    cfg.chunks = n->w->chunks;
    cfg.rare = rare_of(n);
    return g->order->create(&g->x, &cfg, boot, n->now);
}

void orri_group_begin(struct orr_group *g, const struct orr_snapshot *loaded) {
    struct orr_node *n = g->node;
    struct orr_boot boot;
    orri_storage_boot(n->storage, g->number, &boot);
    if (loaded) boot.snapshot = *loaded;
    int rc = create_order(g, &boot);
    if (rc < 0) {
        orri_node_fail(n, rc == -ENOMEM ? 4 : 3, "group %s: what the disk knows of it does not fit together: %s",
                       g->name, orr_strerror(rc));
        return;
    }
    g->order->status(g->x, &g->status);
    g->durable_term = g->status.term;
    g->told_applied = g->at.index;
    init_streams(g);
    orri_trace(g, ORR_TRACE_RECOVERED, &g->status, sizeof g->status);
    orri_node_log(n, ORR_LOG_INFO, "group %s: term %llu, log %llu..%llu, snapshot %llu", g->name,
                  (unsigned long long)g->status.term, (unsigned long long)g->status.first,
                  (unsigned long long)g->status.last, (unsigned long long)g->status.snapshot);
    if (n->identity.disenfranchised) g->order->disenfranchise(g->x, n->now);
    if (n->disk_full) (void)g->order->full(g->x, n->now, true);
}

void orri_group_delete(struct orr_group *g) {
    struct orr_node *n = g->node;
    orri_commits_clear(g);
    orri_node_resize(n, g->queue.ring, g->queue.cap * sizeof *g->queue.ring, 0);
    orri_node_resize(n, g->states, g->cap_states * sizeof *g->states, 0);
    orri_node_resize(n, g->refused, g->cap_refused * sizeof *g->refused, 0);
    orr_chunk_drop(g->restoring.prefix);
    if (g->x) {
        orri_origin_clear(&g->origin);
        orri_reads_clear(&g->reads);
        g->order->destroy(g->x);
    }
    if (g->machine) g->machine_ops->destroy(g->machine);
    orri_filter_clear(&g->filter);
    orri_heap_unset(&n->heap, &g->alarm.timer);
    orri_node_drop_text(n, g->name);
    orri_node_resize(n, g, sizeof *g, 0);
}

/* -- Carrying out what the protocol wants -------------------------------------------------------------------------- */
static size_t voter_of(const struct orr_group *g, orr_id id) {
    size_t i = 0;
    while (i < g->n_voters && g->voters[i].id != id) i++;
    return i;
}

/* Reserves one more item in an array of the group. */
static bool reserve(struct orr_group *g, void **at, size_t *cap, size_t n, size_t size) {
    if (n < *cap) return true;
    size_t more = *cap ? 2 * *cap : 8;
    void *p = orri_node_resize(g->node, *at, *cap * size, more * size);
    if (!p) {
        orri_node_fail(g->node, 4, "group %s: memory is out", g->name);
        return false;
    }
    *at = p;
    *cap = more;
    return true;
}

static void refused_by_storage(struct orr_group *g, enum orri_storage_kind kind, uint64_t id, int status) {
    if (!reserve(g, (void **)&g->refused, &g->cap_refused, g->n_refused, sizeof *g->refused)) return;
    g->refused[g->n_refused++] = (struct orri_refused_work){ kind, id, status };
}

static void trace_send(struct orr_group *g, const struct orr_out *m) {
    struct orr_trace_send t = { .to = m->to };
    if (g->order->claims(m->head, &t.claims) == 0) orri_trace(g, ORR_TRACE_SEND, &t, sizeof t);
}

static void send_one(struct orr_group *g, const struct orr_out *m) {
    struct orri_peer *p = orri_names_peer(g->node, m->to);
    if (!p) return;
    if (orri_traced(g)) trace_send(g, m);
    struct orri_frame f = { .kind = ORRI_FRAME_ORDER, .channel = m->cls, .group = g->number };
    size_t voter = voter_of(g, m->to);
    bool leads = g->status.role == ORR_LEADER;      /* without a leader, what is lost is waited for much longer */
    bool dropped = leads && ORR_RARE(g->node->w, "group.drops_message");
    int rc = dropped ? ORR_EOVERLOADED : orri_peer_send(p, &f, m->head, m->body, m->n_body);
    if (rc == 0 && ORR_RARE(g->node->w, "group.sends_twice"))
        (void)orri_peer_send(p, &f, m->head, m->body, m->n_body);
    if (rc < 0 && rc != ORR_EUNAVAILABLE && voter < g->n_voters) g->dropped[voter] = true;
}

static void store_one(struct orr_group *g, const struct orr_store *s) {
    int rc = orri_storage_store(g->node->storage, g->number, s);
    if (rc < 0) {
        refused_by_storage(g, ORR_TAKE_STORED, s->id, rc);
    } else if (s->state.size && reserve(g, (void **)&g->states, &g->cap_states, g->n_states, sizeof *g->states)) {
        struct orr_order_status now;
        g->order->status(g->x, &now);
        g->states[g->n_states++] = (struct orri_pending_state){ s->id, now.term };
    }
}

static void commit_one(struct orr_group *g, const struct orr_entry *e) {
    if (orri_traced(g)) {
        struct orr_trace_commit t = { e->index,
                                      e->term,
                                      e->time,
                                      e->kind,
                                      orri_hash64(e->data.at, e->data.size, 0),
                                      e->data,
                                      g->status.role == ORR_LEADER };
        orri_trace(g, ORR_TRACE_COMMIT, &t, sizeof t);
    }
    if (orri_commits_push(g, e) < 0) orri_node_fail(g->node, 4, "group %s: memory is out", g->name);
}

static void carry_out(struct orr_group *g, const struct orr_ready *rd) {
    struct orr_node *n = g->node;
    bool stores_first = rd->n_stores && ORR_RARE(n->w, "group.stores_first");
    for (size_t i = 0; stores_first && i < rd->n_stores; i++) store_one(g, &rd->stores[i]);
    for (size_t i = 0; i < rd->n_msgs; i++) send_one(g, &rd->msgs[i]);
    for (size_t i = 0; !stores_first && i < rd->n_stores; i++) store_one(g, &rd->stores[i]);
    for (size_t i = 0; i < rd->n_parts; i++) {
        int rc = orri_storage_part(n->storage, g->number, &rd->parts[i]);
        if (rc < 0) refused_by_storage(g, ORR_TAKE_PART, rd->parts[i].id, rc);
    }
    for (size_t i = 0; i < rd->n_fetches; i++) {
        const struct orr_fetch *f = &rd->fetches[i];
        int rc = orri_storage_fetch(n->storage, g->number, f);
        if (rc < 0)
            refused_by_storage(g, f->kind == ORR_FETCH_ENTRIES ? ORR_TAKE_FETCHED : ORR_TAKE_FETCHED_PART, f->id, rc);
    }
    for (size_t i = 0; i < rd->n_commits; i++) commit_one(g, &rd->commits[i]);
    for (size_t i = 0; i < rd->n_answers; i++) orri_reads_answer(&g->reads, n->now, &rd->answers[i]);
    if (!rd->restore) return;
    if (rd->restore->index > g->at.index) orri_snapshot_restore(g, rd->restore);
    else g->told_applied = 0;       /* the state here is later already: say so again */
}

static void report_refused(struct orr_group *g) {
    orr_time now = g->node->now;
    for (size_t i = 0; i < g->n_refused; i++) {
        struct orri_refused_work r = g->refused[i];
        switch (r.kind) {
        case ORR_TAKE_STORED: (void)g->order->stored(g->x, now, r.id, r.status); break;
        case ORR_TAKE_PART: (void)g->order->part_stored(g->x, now, r.id, r.status); break;
        case ORR_TAKE_FETCHED: (void)g->order->fetched(g->x, now, r.id, NULL, 0, r.status); break;
        case ORR_TAKE_FETCHED_PART:
            (void)g->order->fetched_part(g->x, now, r.id, (struct orr_slice){ 0 }, r.status);
            break;
        default: break;
        }
    }
    g->n_refused = 0;
    for (size_t i = 0; i < g->n_voters; i++) {
        if (g->dropped[i]) (void)g->order->peer_lost(g->x, now, g->voters[i].id);      /* what was on its way is lost */
        g->dropped[i] = false;
    }
}

static const char *const role_names[] = { "follower", "precandidate", "candidate", "leader", "learner" };

static void refresh_status(struct orr_group *g) {
    bool ailed = g->status.ailing;
    g->order->status(g->x, &g->status);
    if (g->status.ailing == ailed) return;
    orri_node_log(g->node, ORR_LOG_WARN, "group %s: %s", g->name,
                  ailed ? "the disk takes writes as it should again"
                        : "the disk is full, or takes too long for a write: others should lead");
}

static void status_changed(struct orr_group *g) {
    struct orr_order_status was = g->status;
    refresh_status(g);
    orri_trace(g, ORR_TRACE_STATUS, &g->status, sizeof g->status);
    if (was.role == g->status.role && was.leader == g->status.leader && was.term == g->status.term) return;
    orri_host_event(g, ORR_GROUP_LEADER);
    const char *leader = g->status.leader == ORR_NOBODY ? "nobody" : orri_names_name(g->node, g->status.leader);
    orri_node_log(g->node, ORR_LOG_INFO, "group %s: %s in term %llu, leader %s", g->name, role_names[g->status.role],
             (unsigned long long)g->status.term, leader);
}

/* Pulls until the protocol wants nothing more. True: role, term or leader changed. */
static bool pull(struct orr_group *g) {
    const struct orr_ready *rd;
    bool changed = false;
    while (!orri_node_dead(g->node) && (rd = g->order->ready(g->x))) {
        carry_out(g, rd);
        if (rd->status_changed) {
            status_changed(g);
            changed = true;
        }
        if (ORR_RARE(g->node->w, "group.pulls_one")) {
            g->node->again = true;
            break;
        }
    }
    report_refused(g);
    return changed;
}

/* -- The turn ------------------------------------------------------------------------------------------------------ */
/* As the leader: is what the machine wants before all else in the log? Until then nobody's batches are taken. */
static bool open_term(struct orr_group *g) {
    const struct orr_machine_ops *ops = g->machine_ops;
    struct orr_node *n = g->node;
    struct orr_slice op = { 0 };
    size_t count = 0;
    if (g->opened == g->status.term) return true;
    if (ops->opening && g->restoring.on) return false;      /* its state is not known yet */
    int rc = ops->opening && !g->machine_broken ? ops->opening(g->machine, &op) : 0;
    if (rc == 1) {
        struct orr_slice batch = orri_batch_of_one(n->w->chunks, op);
        orr_drop(op);
        rc = batch.chunk ? g->order->propose(g->x, n->now, &batch, 1, &count) : -ENOMEM;
        orr_drop(batch);
        if (rc == 0 && count == 0) rc = ORR_EOVERLOADED;
    }
    if (rc == 0) g->opened = g->status.term;
    return rc == 0;
}

static void aim(struct orr_group *g) {
    const struct orr_order_status *s = &g->status;
    struct orri_peer *p = s->leader == ORR_NOBODY ? NULL : orri_names_peer(g->node, s->leader);
    if (s->role == ORR_LEADER && !open_term(g)) orri_origin_aim(&g->origin, ORRI_TO_NOBODY, s->term, 0);
    else if (s->role == ORR_LEADER) orri_origin_aim(&g->origin, ORRI_TO_SELF, s->term, 0);
    else if (p && p->up) orri_origin_aim(&g->origin, ORRI_TO_LEADER, s->term, p->up->stream->serial);
    else orri_origin_aim(&g->origin, ORRI_TO_NOBODY, s->term, 0);
}

/* What is surely not done when its time is up: for want of a leader, or of time. */
static int late(const struct orr_group *g) { return g->status.leader == ORR_NOBODY ? ORR_ENOLEADER : ORR_ETIMEOUT; }

static orr_time realtime(const struct orr_group *g) {
    struct orr_wall wall;
    g->node->w->ops->wall(g->node->w, &wall);
    return wall.realtime;
}

/* The machine wants log time to move on although nobody writes: an empty batch does that. When the next one is due.
 * What log time has reached already is a backlog, worked off soon. What only this clock has reached may have to wait
 * long: log time follows a clock that was set forward at its own pace. */
static orr_time nudge_due(const struct orr_group *g) {
    if (g->status.role != ORR_LEADER || g->nudged || g->restoring.on || g->machine_broken) return ORR_NEVER;
    orr_time wants = g->machine_ops->wants(g->machine);
    if (wants == ORR_NEVER) return ORR_NEVER;
    if (wants <= g->at.time) return g->nudged_at + NUDGE_BEHIND;
    orr_time wait = wants - realtime(g), after = g->nudged_at + g->nudge_wait;
    return wait > 0 && g->node->now + wait > after ? g->node->now + wait : after;
}

static void nudge(struct orr_group *g) {
    struct orr_node *n = g->node;
    if (nudge_due(g) > n->now) return;
    orr_time wants = g->machine_ops->wants(g->machine);
    bool unmet = g->nudge_wants > g->at.time;       /* by the one before */
    g->nudge_wait = !unmet ? NUDGE : g->nudge_wait < NUDGE_MAX / 2 ? 2 * g->nudge_wait : NUDGE_MAX;
    g->nudge_wants = wants;
    g->nudged_at = n->now;
    size_t count = 0;
    struct orr_chunk *c = n->w->chunks->get(n->w->chunks, ORRI_BATCH_HEAD);
    if (!c) return;
    orri_batch_head_write(c->at, &(struct orri_batch_head){ 0 });
    struct orr_slice batch = { c, c->at, ORRI_BATCH_HEAD };
    if (g->order->propose(g->x, n->now, &batch, 1, &count) == 0 && count == 1) g->nudged = true;
    orr_drop(batch);
}

static bool work(struct orr_group *g) {
    orr_time now = g->node->now;
    bool changed = false;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        aim(g);
        if (!g->corrupt) orri_origin_push(&g->origin, now);
        orri_reads_push(&g->reads, now);
        changed = pull(g);
        if (!changed) break;
        if (g->status.role != ORR_LEADER) g->nudged = false;
    }
    return changed;
}

/* A protocol that takes no part any more because of this disk would only look alive. */
static void stop_if_broken(struct orr_group *g) {
    int error = g->status.error;
    if (error == 0 || error == ORR_EDENIED) return;
    orri_node_fail(g->node, error == ORR_ECORRUPT ? 3 : 4,
                   "group %s: its log can't be read or written any more: %s. Start this node again; where that "
                   "does not help, put back a copy of its data directory, not older than its last start (with an "
                   "emptied one its peers refuse it)",
                   g->name, orr_strerror(error));
}

void orri_group_turn(struct orr_group *g) {
    struct orr_node *n = g->node;
    if (!g->x || n->closing || orri_node_dead(n)) return;      /* closing: all that runs ends, nothing begins */
    orri_lease_clock(g);
    if (g->order->deadline(g->x) <= n->now) (void)g->order->tick(g->x, n->now);
    orri_origin_tick(&g->origin, n->now, late(g));
    orri_reads_tick(&g->reads, n->now, late(g));
    if (g->origin.head && ORR_RARE(n->w, "origin.sends_again")) orri_origin_again(&g->origin);
    if (g->reads.head && ORR_RARE(n->w, "reads.asks_again")) orri_reads_again(&g->reads);
    nudge(g);
    bool unfinished = work(g);
    while (!orri_node_dead(n) && orri_apply_some(g)) {
        g->told_applied = g->at.index;
        (void)g->order->applied(g->x, n->now, g->at.index);
        unfinished = work(g);
        if (n->again) break;
    }
    if (orri_node_dead(n)) return;
    if (g->told_applied < g->at.index && !g->restoring.on) {       /* a snapshot was loaded */
        g->told_applied = g->at.index;
        (void)g->order->applied(g->x, n->now, g->at.index);
        unfinished = true;
    }
    orri_agree_turn(g);
    orri_apply_reads(g);
    orri_snapshot_step(g);
    refresh_status(g);
    orri_lease_trace(g);
    stop_if_broken(g);
    if (unfinished) n->again = true;
    orr_time at = g->order->deadline(g->x);
    orr_time others[] = { g->corrupt ? ORR_NEVER : orri_origin_deadline(&g->origin), orri_reads_deadline(&g->reads),
                          nudge_due(g), orri_agree_deadline(g),
                          g->taking.state == ORRI_TAKING_HELD ? g->taking.held_until : ORR_NEVER };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) at = others[i] < at ? others[i] : at;
    orri_node_alarm(n, &g->alarm, at);
}

/* -- Inputs -------------------------------------------------------------------------------------------------------- */
static void bad_frame(struct orr_group *g, struct orri_link *l, const char *what) {
    g->node->frames_bad++;
    orri_node_log_rarely(g->node, &g->node->note_bad, ORR_LOG_WARN, "%s sent %s for group %s: connection closed",
                         l->peer->name, what, g->name);
    orri_link_close(l, false);
}

static void answer_resend(struct orr_group *g, struct orri_link *l, const struct orri_forward *f, uint64_t from,
                          int status) {
    unsigned char bytes[ORRI_RESEND_SIZE];
    orri_resend_write(bytes, &(struct orri_resend){ f->term, f->epoch, status, from });
    struct orri_frame frame = { .kind = ORRI_FRAME_RESEND, .group = g->number };
    /* its epoch must not hang */
    if (orri_link_send(l, &frame, orr_borrow(bytes, sizeof bytes), NULL, 0) < 0) orri_link_close(l, false);
}

/* A batch of another node's. Whatever is wrong with it, its origin hears of it, or loses the connection: both make it
 * send again. */
static void on_forward(struct orr_group *g, struct orri_link *l, struct orr_slice payload) {
    struct orri_forward f;
    struct orri_batch_head head;
    struct orr_slice batch;
    uint64_t from = 0;
    size_t voter = voter_of(g, l->peer->id), count = 0;
    if (orri_forward_read(payload, &f, &batch) < 0 || orri_batch_open(batch, &head) < 0 || voter == g->n_voters ||
        head.origin.incarnation != l->hello.incarnation || !orri_birth_equal(&head.origin.birth, &l->hello.birth)) {
        bad_frame(g, l, "a batch that is not its own");
        return;
    }
    struct orri_inbound *in = &g->inbound[voter];
    enum orri_inbound_verdict verdict = orri_inbound_judge(in, &f, head.origin.sequence, &from);
    int rc = ORR_ECONFLICT;
    if (verdict == ORRI_TAKE) {
        struct orr_order_status s;
        g->order->status(g->x, &s);
        bool ours = s.role == ORR_LEADER && s.term == f.term && s.term == g->opened;
        rc = ours ? g->order->propose(g->x, g->node->now, &batch, 1, &count) : ORR_ENOLEADER;
        if (rc == 0 && count == 1) orri_inbound_took(in, head.origin.sequence);
        else verdict = ORRI_REFUSE;
        if (rc == 0 && count == 0) rc = ORR_EOVERLOADED;
    }
    if (verdict != ORRI_REFUSE) return;
    orri_inbound_refuse(in);
    answer_resend(g, l, &f, from, rc);
}

void orri_group_frame(struct orr_group *g, struct orri_link *l, const struct orri_frame *f) {
    struct orri_resend r;
    if (!g->x) return;
    if (f->kind == ORRI_FRAME_PING) {
        size_t voter = voter_of(g, l->peer->id);
        if (voter < g->n_voters) orri_agree_report(g, voter, f->payload);
    } else if (f->kind == ORRI_FRAME_ORDER) {
        if (g->order->recv(g->x, g->node->now, l->peer->id, f->payload) == ORR_EINVALID)
            bad_frame(g, l, "a message that can't be read");
    } else if (f->kind == ORRI_FRAME_FORWARD) {
        on_forward(g, l, f->payload);
    } else if (f->kind == ORRI_FRAME_RESEND) {
        if (orri_resend_read(f->payload, &r) < 0) bad_frame(g, l, "a refusal that can't be read");
        else if (l->peer->id == g->status.leader) orri_origin_refused(&g->origin, g->node->now, &r);
    }
}

void orri_group_peer_up(struct orr_group *g, struct orri_link *l) {
    size_t voter = voter_of(g, l->peer->id);
    if (!g->x || voter == g->n_voters) return;
    g->inbound[voter] = (struct orri_inbound){ 0 };
    if (l->same_run) return; /* what its HELLO says may be older than what it said since; and it forgot nothing */
    for (size_t i = 0; i < l->hello.n_groups; i++) {
        const struct orri_hello_group *h = &l->hello.groups[i];
        if (h->group != g->number) continue;
        if (g->order->greet(g->x, g->node->now, l->peer->id, h->term, h->last) != ORR_ECORRUPT) continue;
        orri_link_refuse(l, ORRI_REFUSED_MEMORY, "%s had more of group %s than its disk has now", l->peer->name,
                         g->name);
        return;
    }
}

void orri_group_peer_lost(struct orr_group *g, struct orri_peer *p) {
    if (g->x && voter_of(g, p->id) < g->n_voters) (void)g->order->peer_lost(g->x, g->node->now, p->id);
}

void orri_group_peer_room(struct orr_group *g, struct orri_peer *p) {
    if (g->x && p->id == g->status.leader) orri_origin_unblock(&g->origin);
}

static void on_stored(struct orr_group *g, const struct orri_storage_done *d) {
    struct orr_trace_stored t = { d->id, d->status };
    size_t done = 0;
    orri_trace(g, ORR_TRACE_STORED, &t, sizeof t);
    while (done < g->n_states && g->states[done].id <= d->id) {
        if (d->status == 0) g->durable_term = g->states[done].term;
        done++;
    }
    g->n_states -= done;
    if (done) memmove(g->states, g->states + done, g->n_states * sizeof *g->states);
    (void)g->order->stored(g->x, g->node->now, d->id, d->status);
}

void orri_group_done(struct orr_group *g, const struct orri_storage_done *d) {
    orr_time now = g->node->now;
    if (d->kind == ORR_TAKE_FETCHED_PART && (d->id & ORRI_FETCH_OURS)) {
        orri_snapshot_fetched(g, d);
        return;
    }
    if (!g->x) return;
    switch (d->kind) {
    case ORR_TAKE_STORED: on_stored(g, d); break;
    case ORR_TAKE_PART: (void)g->order->part_stored(g->x, now, d->id, d->status); break;
    case ORR_TAKE_FETCHED: (void)g->order->fetched(g->x, now, d->id, d->entries, d->n_entries, d->status); break;
    case ORR_TAKE_FETCHED_PART:
        if (d->status < 0) orri_snapshot_unread(g, d);
        (void)g->order->fetched_part(g->x, now, d->id, d->data, d->status);
        break;
    case ORR_TAKE_SNAPSHOT: orri_snapshot_taken(g, d); break;
    default: break;
    }
}

void orri_group_full(struct orr_group *g, bool full) {
    if (g->x) (void)g->order->full(g->x, g->node->now, full);
}

void orri_group_disenfranchise(struct orr_group *g) {
    if (g->x) g->order->disenfranchise(g->x, g->node->now);
}

void orri_group_abandon(struct orr_group *g, int status) {
    if (!g->x) return;
    orri_origin_abandon(&g->origin, status);
    orri_reads_abandon(&g->reads, status);
}

/* -- What services and others see ---------------------------------------------------------------------------------- */
static int may_work(const struct orr_group *g) {
    if (g->corrupt) return ORR_ECORRUPT;
    if (!g->x || g->node->phase != ORRI_NODE_RUNNING || g->machine_broken) return ORR_EUNAVAILABLE;
    return 0;
}

unsigned char *orri_group_room(struct orr_group *g, size_t max, int *status) {
    *status = may_work(g);
    if (*status == 0 && max > g->node->cfg.op_bytes_max) *status = ORR_EINVALID;
    /* Whoever leads: this node would never apply it, so not learn its result. */
    if (*status == 0 && g->node->disk_full) *status = ORR_EFULL;
    if (*status == 0 && ORR_RARE(g->node->w, "origin.closes_batch")) orri_origin_close(&g->origin);
    return *status == 0 ? orri_origin_room(&g->origin, g->node->now, max, status) : NULL;
}

void orri_group_commit(struct orr_group *g, size_t size, struct orri_waiter *w, uint64_t tag) {
    orri_origin_commit(&g->origin, size, w, tag);
}

int orri_group_read(struct orr_group *g, struct orri_waiter *w, uint64_t tag) {
    int rc = may_work(g);
    return rc < 0 ? rc : orri_reads_add(&g->reads, g->node->now, w, tag);
}

int orri_group_query(struct orr_group *g, const struct orr_at *at, struct orr_slice question, struct orr_sink *sink) {
    if (g->corrupt) return ORR_ECORRUPT;
    if (!g->x || g->restoring.on || g->machine_broken) return ORR_EUNAVAILABLE;
    return g->machine_ops->query(g->machine, at, question, sink);
}

void orri_group_here(const struct orr_group *g, struct orr_at *at) { *at = g->at; }
void orri_group_forget(struct orr_group *g, struct orri_waiter *w) { orri_slots_forget(&g->node->slots, w); }

void orri_group_machine_stats(const struct orr_group *g, struct orr_machine_stats *out) {
    *out = (struct orr_machine_stats){ 0 };
    if (g->machine) g->machine_ops->stats(g->machine, out);
}

bool orr_group_status(const struct orr_group *g, struct orr_order_status *out) {
    if (!g->x) return false;
    g->order->status(g->x, out);
    return true;
}

size_t orr_group_causes(const struct orr_group *g, struct orr_cause *out, size_t max) {
    return g->x && g->order->causes ? g->order->causes(g->x, out, max) : 0;
}

const char *orr_group_leader(const struct orr_group *g) {
    return g->x && g->status.leader != ORR_NOBODY ? orri_names_name(g->node, g->status.leader) : NULL;
}

uint64_t orr_group_digest(const struct orr_group *g) { return g->x && !g->restoring.on ? orri_apply_digest(g) : 0; }
bool orr_group_all_run(const struct orr_group *g, const struct orr_birth *bundle) {
    struct orr_peer_status p;
    for (size_t i = 0; i < g->n_voters; i++) {
        if (!orr_node_peer(g->node, g->voters[i].id, &p) || !orri_birth_equal(&p.bundle, bundle)) return false;
    }
    return true;
}

bool orr_group_corrupt(const struct orr_group *g) { return g->corrupt; }

bool orri_group_ready(const struct orr_group *g) {
    if (!g->here) return true;
    return g->x && !g->restoring.on && !g->corrupt && g->status.leader != ORR_NOBODY && g->at.term == g->status.term;
}
