/* members.c - drives a node's membership over its datagrams: joins, hears, tells the host and the log.
 *
 * Whose stream is not silent is told to the membership before each of its deadlines, so that a probe that got no answer
 * by datagram is not taken for a failure. A stream with nothing to say says so once a ping.                          */
#include <string.h>

#include "node/members.h"

/* -- Telling ------------------------------------------------------------------------------------------------------- */
static void trace(const struct orr_node *n, const struct orr_trace_member *t) {
    if (n->w->ops->trace) n->w->ops->trace(n->w, 0, ORR_TRACE_MEMBER, t, sizeof *t);
}

/* What others may say of this node. */
static void trace_own(struct orri_members *m) {
    struct orr_membership_status s;
    const struct orr_node *n = m->node;
    if (!n->w->ops->trace) return;
    orr_membership_status(m->of, &s);
    if (s.incarnation == m->incarnation) return;
    m->incarnation = s.incarnation;
    trace(n, &(struct orr_trace_member){ .about = n->id, .incarnation = s.incarnation,
                                         .bound = orr_membership_bound(&n->cfg.members.with, n->n_peers) });
}

static enum orr_member_state state_of(enum orr_member_event_kind kind) {
    switch (kind) {
    case ORR_MEMBER_SUSPECTED: return ORR_MEMBER_SUSPECT;
    case ORR_MEMBER_FAILS: return ORR_MEMBER_FAILED;
    case ORR_MEMBER_LEAVES: return ORR_MEMBER_LEFT;
    case ORR_MEMBER_JOINS: case ORR_MEMBER_REFUTED: case ORR_MEMBER_RETURNS: case ORR_MEMBER_CHANGES: break;
    }
    return ORR_MEMBER_ALIVE;
}

static void log_event(struct orr_node *n, const struct orr_member_event *e) {
    const char *by = e->by == ORR_NOBODY ? n->name : orri_names_name(n, e->by);
    switch (e->kind) {
    case ORR_MEMBER_JOINS: orri_node_log(n, ORR_LOG_INFO, "members: %s is here", e->name); break;
    case ORR_MEMBER_SUSPECTED: orri_node_log(n, ORR_LOG_INFO, "members: %s suspects %s", by, e->name); break;
    case ORR_MEMBER_REFUTED: orri_node_log(n, ORR_LOG_INFO, "members: %s lives", e->name); break;
    case ORR_MEMBER_FAILS: orri_node_log(n, ORR_LOG_WARN, "members: %s failed, as %s has it", e->name, by); break;
    case ORR_MEMBER_RETURNS: orri_node_log(n, ORR_LOG_INFO, "members: %s is back", e->name); break;
    case ORR_MEMBER_LEAVES: orri_node_log(n, ORR_LOG_INFO, "members: %s has left", e->name); break;
    case ORR_MEMBER_CHANGES: break;
    }
}

static void tell(struct orr_node *n, const struct orr_member_event *e) {
    struct orri_host *h = &n->host;
    trace(n, &(struct orr_trace_member){ .about = e->id, .incarnation = e->incarnation, .state = state_of(e->kind),
                                         .by_heartbeats = n->cfg.members.with.detector != ORR_DETECTOR_SWIM });
    log_event(n, e);
    if (h->ops && h->ops->member && !h->stopped) h->ops->member(h->ud, e);
}

static void pump(struct orri_members *m) {
    struct orr_node *n = m->node;
    const struct orr_membership_ready *r;
    while ((r = orr_membership_ready(m->of))) {
        if (r->kind == ORR_MEMBERSHIP_EVENT) tell(n, &r->event);
        else (void)n->w->ops->datagram(n->w, r->packet.to, r->packet.bytes);    /* it may be lost here, too */
    }
    trace_own(m);
    orr_time at = orr_membership_deadline(m->of);
    if (at == ORR_NEVER) orri_heap_unset(&n->heap, &m->alarm.timer);
    else orri_node_alarm(n, &m->alarm, at);
}

/* -- Hearing ------------------------------------------------------------------------------------------------------- */
static void look_at_streams(struct orri_members *m) {
    struct orr_node *n = m->node;
    for (const struct orri_link *l = n->links; l; l = l->next) {
        bool up = l->state == ORRI_LINK_UP && l->peer && !orri_is_visitor(l->peer);
        if (up && n->now - l->heard <= orri_node_ping(n) * 3 / 2) orr_membership_heard(m->of, n->now, l->peer->id);
    }
}

static void due(struct orri_alarm *alarm) {
    struct orri_members *m = (struct orri_members *)(void *)alarm;
    if (!m->of) return;
    look_at_streams(m);
    orr_membership_tick(m->of, m->node->now);
    pump(m);
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static uint32_t version_of(const struct orr_node *n) {
    const unsigned char *b = n->cfg.bundle.b;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int know_all(struct orri_members *m) {
    struct orr_node *n = m->node;
    for (size_t i = 0; i < n->n_peers; i++) {
        const struct orri_peer *p = &n->peers[i];
        if (p == n->me) continue;
        int rc = orr_membership_know(m->of, n->now, p->name, p->address, p->linked);
        if (rc < 0) return rc;
        trace(n, &(struct orr_trace_member){ .about = p->id, .unheard = true, .linked = p->linked });
    }
    return 0;
}

static int begin(struct orri_members *m) {
    struct orr_node *n = m->node;
    struct orr_membership_config cfg = n->cfg.members.with;
    cfg.self = (struct orr_member_self){ .name = n->name, .address = n->me->address, .zone = n->zone, .tags = m->tags,
                                         .version = version_of(n),
                                         .incarnation = (uint64_t)n->identity.incarnation << 32 };
    cfg.cluster = n->identity.cluster;
    cfg.open = false;
    cfg.seed = (uint32_t)n->w->ops->seed(n->w, "members");
    cfg.alloc = *n->alloc;
    int rc = orr_membership_new(&m->of, &cfg, n->now, NULL);
    for (size_t i = 0; rc == 0 && i < n->n_keys; i++) rc = orr_membership_key_add(m->of, n->keys[i]);
    if (rc == 0) rc = know_all(m);
    if (rc < 0) {
        orr_membership_free(m->of);
        m->of = NULL;
        return rc;
    }
    m->alarm.fire = due;
    m->incarnation = 0;
    orri_node_alarm(n, &m->alarm, n->now);
    return 0;
}

static struct orri_members *made(struct orr_node *n) {
    if (n->members) return n->members;
    n->members = orri_node_resize(n, NULL, 0, sizeof *n->members);
    if (n->members) *n->members = (struct orri_members){ .node = n };
    return n->members;
}

int orr_node_members_ask(struct orr_node *n) {
    if (n->phase > ORRI_NODE_RUNNING) return ORR_EUNAVAILABLE;
    struct orri_members *m = made(n);
    if (!m) return -ENOMEM;
    m->wanted = true;
    if (m->of || n->phase != ORRI_NODE_RUNNING) return 0;
    if (!n->in_turn) n->now = n->w->ops->now(n->w);
    int rc = begin(m);
    orri_host_wake(n);
    return rc;
}

void orri_members_start(struct orr_node *n) {
    if (n->cfg.members.at_once || (n->members && n->members->wanted)) (void)orr_node_members_ask(n);
}

void orri_members_datagram(struct orr_node *n, const struct orr_datagram *d) {
    if (n->phase != ORRI_NODE_RUNNING && n->phase != ORRI_NODE_LEAVING) return;
    if (!n->members || !n->members->of) (void)orr_node_members_ask(n);      /* somebody wants to know who is there */
    struct orri_members *m = n->members;
    if (!m || !m->of) return;
    (void)orr_membership_recv(m->of, n->now, d->from, d->data);             /* what is dropped is counted there */
    pump(m);
}

void orri_members_bundle(struct orr_node *n) {
    struct orri_members *m = n->members;
    if (!m || !m->of) return;
    (void)orr_membership_version(m->of, n->now, version_of(n));     /* no memory: it is for people */
    orri_node_alarm(n, &m->alarm, n->now);
}

void orri_members_leave(struct orr_node *n) {
    struct orri_members *m = n->members;
    if (!m || !m->of) return;
    orr_membership_leave(m->of, n->now);
    pump(m);
}

bool orri_members_gone(const struct orr_node *n) {
    return !n->members || !n->members->of || orr_membership_gone(n->members->of);
}

void orri_members_stop(struct orr_node *n) {
    struct orri_members *m = n->members;
    if (!m || !m->of) return;
    orri_heap_unset(&n->heap, &m->alarm.timer);
    orr_membership_free(m->of);
    m->of = NULL;
}

void orri_members_free(struct orr_node *n) {
    if (!n->members) return;
    orri_members_stop(n);
    orri_node_resize(n, (void *)(uintptr_t)n->members->tags.at, n->members->tags.size, 0);
    orri_node_resize(n, n->members, sizeof *n->members, 0);
    n->members = NULL;
}

/* -- For the program ----------------------------------------------------------------------------------------------- */
const struct orr_membership *orr_node_members(const struct orr_node *n) { return n->members ? n->members->of : NULL; }

int orr_node_members_tags(struct orr_node *n, struct orr_slice tags) {
    if (tags.size > ORR_MEMBER_TAGS_MAX) return ORR_EINVALID;
    struct orri_members *m = made(n);
    unsigned char *copy = m && tags.size ? orri_node_resize(n, NULL, 0, tags.size) : NULL;
    if (!m || (tags.size && !copy)) return -ENOMEM;
    if (copy) memcpy(copy, tags.at, tags.size);
    orri_node_resize(n, (void *)(uintptr_t)m->tags.at, m->tags.size, 0);
    m->tags = orr_borrow(copy, tags.size);
    if (!m->of) return 0;
    int rc = orr_membership_tags(m->of, orr_node_now(n), m->tags);
    orri_node_alarm(n, &m->alarm, orr_node_now(n));
    orri_host_wake(n);
    return rc;
}

static size_t key_number(const struct orr_node *n, const unsigned char *key) {
    size_t i = 0;
    while (i < n->n_keys && memcmp(n->keys[i], key, ORR_MEMBERSHIP_KEY) != 0) i++;
    return i;
}

static int keep_key(struct orr_node *n, enum orr_node_key what, const unsigned char *key) {
    size_t i = key_number(n, key);
    bool has = i < n->n_keys;
    switch (what) {
    case ORR_NODE_KEY_ADD:
        if (has) return 0;
        if (n->n_keys == ORR_MEMBERSHIP_KEYS_MAX) return ORR_EOVERLOADED;
        memcpy(n->keys[n->n_keys++], key, ORR_MEMBERSHIP_KEY);
        return 0;
    case ORR_NODE_KEY_PRIMARY:
        if (!has) return ORR_EINVALID;
        memmove(n->keys + 1, n->keys, i * sizeof n->keys[0]);
        memcpy(n->keys[0], key, ORR_MEMBERSHIP_KEY);
        return 0;
    case ORR_NODE_KEY_REMOVE:
        if (!has || (i == 0 && n->n_keys > 1)) return ORR_EINVALID;
        memmove(n->keys + i, n->keys + i + 1, (n->n_keys - i - 1) * sizeof n->keys[0]);
        explicit_bzero(n->keys[--n->n_keys], sizeof n->keys[0]);
        return 0;
    }
    return ORR_EINVALID;
}

int orr_node_members_key(struct orr_node *n, enum orr_node_key what, const unsigned char key[ORR_MEMBERSHIP_KEY]) {
    unsigned char copy[ORR_MEMBERSHIP_KEY];
    memcpy(copy, key, sizeof copy);                 /* it may be one of ours, which move */
    int rc = keep_key(n, what, copy);
    struct orr_membership *of = n->members ? n->members->of : NULL;
    if (rc < 0 || !of) return rc;
    switch (what) {
    case ORR_NODE_KEY_ADD: return orr_membership_key_add(of, copy);
    case ORR_NODE_KEY_PRIMARY: return orr_membership_key_primary(of, copy);
    case ORR_NODE_KEY_REMOVE: return orr_membership_key_remove(of, copy);
    }
    return ORR_EINVALID;
}
