/* node.c - a node's life, and its turn.
 *
 *     new ─> opening (the disk is read) ─> naming (the incarnation is raised) ─> loading (snapshots into machines)
 *     ─> running ─> leaving (somebody else leads, what is under way ends, all is closed) ─> stopped
 *
 * Nothing is said to anybody before the new incarnation is durable. A turn: all completions; what the storage has to
 * tell; timers; services and groups; output; one write for all groups; one alarm. What fails for good ends the node at
 * the end of the turn. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "node/inner.h"
#include "node/members.h"
#include "node/time.h"

enum { STRANGERS_MAX = 64, TIMERS_A_TURN = 10000, PASSES_MAX = 3 };
#define ALARM_SLACK (50 * ORR_US)
/* Leaving: what is written is given this long to get out, and who has it all so long to close its side. */
#define FLUSH (1 * ORR_SECOND)
#define LINGER (50 * ORR_MS)

static void turn(void *ud);

/* -- Life ---------------------------------------------------------------------------------------------------------- */
void orri_node_init(struct orr_node *n) {
    orri_heap_init(&n->heap, n->alloc);
    orri_slots_init(&n->slots, n->alloc);
    orri_identity_init(&n->identity, n->alloc);
    orri_host_init(n);
    orri_rng_init(&n->rng, n->w->ops->seed(n->w, "node"));
    n->w->wake = turn;
    n->w->ud = n;
}

void orr_node_free(struct orr_node *n) {
    if (!n) return;
    n->in_turn = true;                              /* whoever is told now asks the world for nothing */
    orri_heap_clear(&n->heap);                      /* first: every timer in it is still alive */
    orri_time_free(n);
    orri_members_free(n);
    orri_services_free(n);
    orri_host_clear(n);
    orri_stamps_free(n);
    for (size_t i = 0; i < n->n_groups; i++) orri_group_delete(n->groups[i]);
    if (n->peers) orri_peers_free(n);
    if (n->storage) orri_storage_free(n->storage);
    orri_identity_clear(&n->identity);
    orri_slots_clear(&n->slots);
    orri_node_resize(n, n->parts, n->cap_parts * sizeof *n->parts, 0);
    orri_node_resize(n, n->servers, n->n_servers * sizeof *n->servers, 0);
    explicit_bzero(n->keys, sizeof n->keys);
    orri_node_drop_text(n, n->zone);
    orri_node_drop_text(n, n->cluster);
    orri_node_drop_text(n, n->name);
    n->w->wake = NULL;
    struct orr_alloc alloc = *n->alloc;
    alloc.fn(alloc.ud, n, sizeof *n, 0);
}

int orr_node_start(struct orr_node *n) {
    struct orr_storage_config cfg;
    if (n->phase != ORRI_NODE_NEW) return ORR_EINVALID;
    n->started = n->w->ops->now(n->w);
    int rc = n->w->ops->open_dir(n->w);
    if (rc < 0) return rc;
    orri_storage_config_init(&cfg);
    cfg.segment_bytes = n->cfg.segment_bytes;
    for (size_t i = 0; i < n->n_peers && rc == 0; i++) {
        if (n->peers[i].linked) rc = n->w->ops->peer(n->w, n->peers[i].id, n->peers[i].address);
    }
    for (size_t i = 0; i < n->n_servers && rc == 0; i++) {
        rc = n->w->ops->peer(n->w, n->servers[i].id, n->servers[i].address);
        if (rc < 0) orri_node_log(n, ORR_LOG_ERROR, "the NTP server %s can't be asked: %s", n->servers[i].address,
                                  orr_strerror(rc));
    }
    if (rc == 0) rc = orri_storage_new(&n->storage, n->w, &cfg);
    if (rc == 0) n->phase = ORRI_NODE_OPENING;
    return rc;
}

void orri_node_fail(struct orr_node *n, int code, const char *format, ...) {
    va_list args;
    if (n->phase == ORRI_NODE_STOPPED) return;
    n->phase = ORRI_NODE_STOPPED;
    n->stop_code = code;
    va_start(args, format);
    (void)vsnprintf(n->stop_why, sizeof n->stop_why, format, args);
    va_end(args);
}

void orri_node_alarm(struct orr_node *n, struct orri_alarm *a, orr_time at) {
    if (a->timer.place && a->timer.at == at) return;
    if (orri_heap_set(&n->heap, &a->timer, at) < 0) orri_node_fail(n, 4, "memory is out");
}

size_t orri_node_payload_max(const struct orr_node *n) {
    size_t batch = n->cfg.op_bytes_max + (64 << 10);            /* a large command alone, and what stands before it */
    size_t message = n->cfg.message_bytes_max + (1 << 10);      /* likewise */
    return message > batch ? message : batch;
}

/* -- Identity ------------------------------------------------------------------------------------------------------ */
void orri_node_save(struct orr_node *n) {
    size_t cap = orri_identity_size(&n->identity);
    struct orr_chunk *c = n->w->chunks->get(n->w->chunks, cap);
    if (!c) {
        orri_node_fail(n, 4, "memory is out");
        return;
    }
    struct orr_slice state = { c, c->at, orri_identity_write(&n->identity, c->at, cap) };
    struct orr_store store = { .id = ++n->saves, .state = state, .urgent = true };
    int rc = orri_storage_store(n->storage, 0, &store);
    orr_drop(state);
    if (rc < 0) orri_node_fail(n, 4, "the node's own state can't be stored: %s", orr_strerror(rc));
}

static bool begins_with_cluster(const struct orr_node *n) {
    const struct orri_identity *id = &n->identity;
    size_t size = strlen(n->cluster);
    return id->founding_size >= 9 + size && memcmp(id->founding, "cluster ", 8) == 0 &&
           memcmp(id->founding + 8, n->cluster, size) == 0 && id->founding[8 + size] == '\n';
}

/* The file may have changed since the cluster was founded: members come from the log all the same, and the operator
 * should know. */
static void tell_drift(struct orr_node *n, const char *file, size_t size) {
    const struct orri_identity *id = &n->identity;
    if (id->founding_size == size && memcmp(id->founding, file, size) == 0) return;
    orri_node_log(n, ORR_LOG_WARN, "the cluster file's groups and voters are not those that this cluster was founded "
                  "with; the log's stand. Founded: %.*s File: %.*s", (int)id->founding_size, id->founding, (int)size,
                  file);
}

static void recall(struct orr_node *n, struct orr_slice state, const char *file, size_t size) {
    int rc = orri_identity_read(&n->identity, state);
    if (rc < 0) {
        orri_node_fail(n, rc == -ENOMEM ? 4 : 3, "the node's own state is damaged: %s", orr_strerror(rc));
    } else if (strcmp(n->identity.name, n->name) != 0) {
        orri_node_fail(n, 2, "this data directory is node %s's, not %s's", n->identity.name, n->name);
    } else if (!begins_with_cluster(n)) {
        orri_node_fail(n, 2, "this data directory belongs to another cluster than %s", n->cluster);
    } else {
        tell_drift(n, file, size);
    }
}

void orri_node_name(struct orr_node *n) {
    struct orri_identity *id = &n->identity;
    uint64_t nonce;
    struct orr_boot boot;
    char *file;
    size_t size;
    int rc = orri_names_founding(n, &file, &size);
    if (rc < 0) {
        orri_node_fail(n, 4, "memory is out");
        return;
    }
    orri_storage_boot(n->storage, 0, &boot);
    if (boot.state.size) {
        recall(n, boot.state, file, size);
    } else {
        rc = orri_identity_found(id, n->name, file, size);
        n->w->ops->secret(n->w, id->birth.b, sizeof id->birth.b);
        if (rc < 0) orri_node_fail(n, 2, "the founding configuration is too long");
    }
    orri_node_resize(n, file, size, 0);
    if (orri_node_dead(n)) return;
    n->w->ops->secret(n->w, &nonce, sizeof nonce);
    orri_identity_begin(id, nonce ? nonce : 1);
    n->phase = ORRI_NODE_NAMING;
    orri_node_save(n);
}

void orri_node_disenfranchise(struct orr_node *n, const char *why) {
    if (n->identity.disenfranchised || orri_node_dead(n)) return;
    n->identity.disenfranchised = true;
    orri_node_log(n, ORR_LOG_ERROR, "this node votes for nobody any more, until it is admitted again: %s", why);
    orri_node_save(n);
    for (size_t i = 0; i < n->n_groups; i++) orri_group_disenfranchise(n->groups[i]);
}

/* -- Getting up ---------------------------------------------------------------------------------------------------- */
static void load(struct orr_node *n) {
    n->phase = ORRI_NODE_LOADING;
    for (size_t i = 0; i < n->n_groups && !orri_node_dead(n); i++) {
        int rc = orri_group_start(n->groups[i]);
        if (rc < 0) orri_node_fail(n, 4, "group %s can't start: %s", n->groups[i]->name, orr_strerror(rc));
    }
}

static void run_if_loaded(struct orr_node *n) {
    for (size_t i = 0; i < n->n_groups; i++) {
        if (n->groups[i]->here && !n->groups[i]->x) return;
    }
    const struct orri_peer *me = orri_names_peer(n, n->id);
    n->phase = ORRI_NODE_RUNNING;
    int rc = n->w->ops->listen(n->w, me->address, 0, STRANGERS_MAX + 4 * (unsigned)n->n_peers + n->cfg.visitors_max);
    if (rc < 0) orri_node_fail(n, 2, "can't listen at %s: %s", me->address, orr_strerror(rc));
    else rc = orri_services_listen(n);
    if (rc < 0) return;
    orri_node_log(n, ORR_LOG_INFO, "%s of cluster %s %016llx, start number %u", n->name, n->cluster,
             (unsigned long long)n->identity.cluster, n->identity.incarnation);
    orri_peers_start(n);
    orri_time_start(n);
    orri_members_start(n);
    orri_host_ready(n);
}

/* -- Leaving ------------------------------------------------------------------------------------------------------- */
static void wake_up(struct orri_alarm *alarm) { (void)alarm; }

void orr_node_stop(struct orr_node *n, const char *why) {
    if (n->stop_asked) return;
    n->stop_asked = true;
    (void)snprintf(n->stop_why, sizeof n->stop_why, "%s", why ? why : "asked to");
    n->again = true;                        /* an idle node must hear of it: this turn has looked already, */
    orri_host_wake(n);                      /* or there is none */
}

static void begin_leaving(struct orr_node *n) {
    bool running = n->phase == ORRI_NODE_RUNNING;
    n->phase = ORRI_NODE_LEAVING;
    n->leave_until = n->now + (running ? 2 * n->cfg.election : 0);
    n->leaving.fire = wake_up;
    orri_node_log(n, ORR_LOG_INFO, "leaving: %s", n->stop_why);
    orri_host_stop(n);
    orri_time_leave(n);
    orri_members_leave(n);
    for (size_t i = 0; i < n->n_groups; i++) {
        struct orr_group *g = n->groups[i];
        if (g->x && g->status.role == ORR_LEADER) g->handing_over = g->order->hand_over(g->x, n->now, ORR_NOBODY) == 0;
    }
}

static bool groups_at_rest(const struct orr_node *n) {
    for (size_t i = 0; i < n->n_groups; i++) {
        const struct orr_group *g = n->groups[i];
        if (!g->x) continue;
        if (g->origin.untold || g->reads.head || (g->handing_over && g->status.role == ORR_LEADER)) return false;
    }
    return true;
}

/* Has the system all that was said to anybody? */
static bool all_said(const struct orr_node *n) {
    for (const struct orri_link *l = n->links; l; l = l->next) {
        if (n->w->ops->queued(n->w, l->stream) > 0) return false;
    }
    return orri_services_flushed(n);
}

/* Somebody who has heard all and stays connected (an idle client in its pool) doesn't hold this node up. */
static void leave(struct orr_node *n) {
    if (!n->closing && (groups_at_rest(n) || n->now >= n->leave_until)) {
        n->closing = true;
        n->leave_until = n->now + FLUSH;
        n->linger_until = n->now + LINGER;
        for (size_t i = 0; i < n->n_groups; i++) orri_group_abandon(n->groups[i], ORR_EUNAVAILABLE);
        orri_services_stop(n);
        orri_services_flush(n);
        orri_peers_stop(n);
        orri_time_stop(n);
    }
    bool alone = n->n_conns == 0 && !n->links, linger = n->closing && n->now >= n->linger_until;
    bool written = (!n->storage || orri_storage_idle(n->storage)) && orri_saved_idle(n);
    bool quiet = (alone || (linger && all_said(n))) && written && orri_members_gone(n);
    if (n->closing && (quiet || n->now >= n->leave_until)) {
        orri_node_fail(n, 0, "left");
        return;
    }
    if (linger) n->linger_until = n->now + LINGER;
    orri_node_alarm(n, &n->leaving, n->closing && n->linger_until < n->leave_until ? n->linger_until : n->leave_until);
}

/* The node ends: whoever waits is told what can still be told. */
static void stop(struct orr_node *n) {
    if (n->stop_code) orri_node_log(n, ORR_LOG_ERROR, "stopping: %s", n->stop_why);
    for (size_t i = 0; i < n->n_groups; i++) orri_group_abandon(n->groups[i], ORR_EUNAVAILABLE);
    orri_services_stop(n);
    orri_services_flush(n);
    orri_host_stop(n);
    orri_peers_stop(n);
    orri_time_stop(n);
    orri_members_stop(n);
    orri_waits_end(n);
    n->w->ops->stop(n->w, n->stop_code, n->stop_why);
}

/* -- The turn ------------------------------------------------------------------------------------------------------ */
static void accepted(struct orr_node *n, const struct orr_stream_event *ev) {
    if (ev->listener != 0) {
        orri_services_accepted(n, ev->stream, ev->listener);
        return;
    }
    if (n->phase == ORRI_NODE_RUNNING && n->n_strangers < STRANGERS_MAX && orri_link_new(n, ev->stream, NULL)) return;
    ev->stream->owner = NULL;
    n->w->ops->close(n->w, ev->stream, false);
    orri_node_log_rarely(n, &n->note_stranger, ORR_LOG_INFO,
                         "refused a connection: too many that did not say who they are");
}

static void datagram(struct orr_node *n, const struct orr_datagram *d) {
    if (orr_membership_is(d->data)) orri_members_datagram(n, d);
    else orri_time_datagram(n, d);
}

static void dispatch(struct orr_node *n, struct orr_req *req) {
    if (req->done) {
        req->done(req);
        return;
    }
    const struct orr_stream_event *ev = (const struct orr_stream_event *)(const void *)req;
    switch (req->op) {
    case ORR_OP_ACCEPTED: accepted(n, ev); break;
    case ORR_OP_CONNECTED: case ORR_OP_DATA: case ORR_OP_ROOM: case ORR_OP_ENDED: case ORR_OP_CLOSED: {
        struct orri_endpoint *end = ev->stream->owner;
        if (end) end->event(end, ev);
        break;
    }
    case ORR_OP_DATAGRAM: datagram(n, (const struct orr_datagram *)(const void *)req); break;
    case ORR_OP_SIGNAL: orr_node_stop(n, "a signal"); break;
    default: break;
    }
}

static void opened(struct orr_node *n, const struct orri_storage_done *d) {
    const char *text = d->text ? d->text : orr_strerror(d->status);
    if (d->status == 0) orri_host_opened(n);
    else orri_node_fail(n, d->status == ORR_ECORRUPT || d->status == ORR_EINVALID ? 3 : 4, "%s", text);
}

static void own_state_stored(struct orr_node *n, const struct orri_storage_done *d) {
    if (d->status < 0) {
        orri_node_fail(n, 4, "the node's own state can't be stored: %s", orr_strerror(d->status));
        return;
    }
    n->saved = d->id;
    if (n->phase == ORRI_NODE_NAMING) load(n);
    else orri_peers_saved(n);
}

static void disk_full(struct orr_node *n, bool full) {
    n->disk_full = full;
    orri_node_log(n, ORR_LOG_WARN, full ? "the disk is full: writes are refused" : "the disk has room again");
    for (size_t i = 0; i < n->n_groups; i++) orri_group_full(n->groups[i], full);
}

static void disk_failed(struct orr_node *n, const struct orri_storage_done *d) {
    for (size_t i = 0; i < n->n_groups; i++) orri_group_disenfranchise(n->groups[i]);
    orri_node_fail(n, 4, "%s", d->text ? d->text : orr_strerror(d->status));
}

static void storage_done(struct orr_node *n, const struct orri_storage_done *d) {
    if (d->kind == ORR_TAKE_OPENED) {
        opened(n, d);
    } else if (d->kind == ORR_TAKE_FULL) {
        disk_full(n, d->status < 0);
    } else if (d->kind == ORR_TAKE_FAILED) {
        disk_failed(n, d);
    } else if (d->group == 0) {
        own_state_stored(n, d);
    } else {
        for (size_t i = 0; i < n->n_groups; i++) {
            if (n->groups[i]->number == d->group) orri_group_done(n->groups[i], d);
        }
    }
}

static void inputs(struct orr_node *n) {
    struct orr_req *req;
    struct orr_wall wall;
    struct orri_storage_done done;
    n->w->ops->wall(n->w, &wall);
    for (size_t i = 0; i < n->n_groups; i++) {
        if (n->groups[i]->x) n->groups[i]->order->wall(n->groups[i]->x, n->now, wall.realtime);
    }
    orri_time_turn(n);
    while ((req = n->w->ops->take(n->w))) dispatch(n, req);
    while (n->storage && !orri_node_dead(n) && orri_storage_take(n->storage, &done)) storage_done(n, &done);
    if (n->storage && orri_storage_deadline(n->storage) <= n->now) orri_storage_tick(n->storage, n->now);
    struct orr_timer *t;
    int timers = ORR_RARE(n->w, "node.one_timer") ? 1 : TIMERS_A_TURN;
    for (int i = 0; i < timers && !orri_node_dead(n) && (t = orri_heap_due(&n->heap, n->now)); i++) {
        struct orri_alarm *a = (struct orri_alarm *)(void *)t;
        a->fire(a);
    }
}

static void work(struct orr_node *n) {
    int passes = ORR_RARE(n->w, "node.one_pass") ? 1 : PASSES_MAX;
    for (int pass = 0; pass < passes; pass++) {
        bool any = orri_services_turn(n);
        any = orri_host_turn(n) || any;
        if (!any && pass > 0) break;
        for (size_t i = 0; i < n->n_groups; i++) orri_group_turn(n->groups[i]);
    }
    if (passes == 1) n->again = true;
    orri_services_flush(n);
    orri_outs_flush(n);
    if (orri_host_due(n)) n->again = true;
}

static void arm(struct orr_node *n) {
    orr_time at = orri_heap_next(&n->heap), storage = n->storage ? orri_storage_deadline(n->storage) : ORR_NEVER;
    if (storage < at) at = storage;
    if (n->again) at = n->now;
    n->w->ops->alarm(n->w, at, ALARM_SLACK);
}

static void turn(void *ud) {
    struct orr_node *n = ud;
    bool was_dead = orri_node_dead(n);
    n->in_turn = !was_dead;
    n->now = n->w->ops->now(n->w);
    n->again = false;
    inputs(n);
    if (was_dead) return;
    if (n->phase == ORRI_NODE_LOADING) run_if_loaded(n);
    if (n->stop_asked && n->phase < ORRI_NODE_LEAVING) begin_leaving(n);
    if (n->phase == ORRI_NODE_RUNNING || n->phase == ORRI_NODE_LEAVING) work(n);
    if (n->phase == ORRI_NODE_LEAVING) leave(n);
    if (orri_node_dead(n)) stop(n);
    else orri_saved_flush(n);
    if (n->storage) orri_storage_flush(n->storage);
    arm(n);
    n->in_turn = false;
}

/* -- What others see ----------------------------------------------------------------------------------------------- */
void orr_node_status(const struct orr_node *n, struct orr_node_status *out) {
    *out = (struct orr_node_status){ .recovered = n->phase >= ORRI_NODE_RUNNING,
                                     .ready = n->phase == ORRI_NODE_RUNNING,
                                     .disk_full = n->disk_full,
                                     .disenfranchised = n->identity.disenfranchised,
                                     .birth = n->identity.birth,
                                     .incarnation = n->identity.incarnation,
                                     .cluster = n->identity.cluster,
                                     .clients = n->n_conns,
                                     .visitors = n->n_visitors,
                                     .frames_in = n->frames_in,
                                     .frames_out = n->frames_out,
                                     .frames_bad = n->frames_bad,
                                     .bytes_in = n->bytes_in,
                                     .bytes_out = n->bytes_out,
                                     .clients_shed = n->clients_shed,
                                     .asked = n->host.n_asked,
                                     .calls = n->host.calls,
                                     .casts = n->host.casts,
                                     .casts_dropped = n->host.casts_dropped };
    for (const struct orri_listener *l = n->listeners; l; l = l->next) out->clients_bytes += l->clients_bytes;
    for (size_t i = 0; i < n->n_groups; i++) out->ready = out->ready && orri_group_ready(n->groups[i]);
    for (size_t i = 0; i < n->n_peers; i++) out->peers_up += n->peers[i].up != NULL;
}
