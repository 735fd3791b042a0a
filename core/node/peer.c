/* peer.c - the other nodes: who dials whom and when, and which of two connections stays.
 *
 * Either side may dial; the one with the smaller id does so at once, the other one a little later, so that connections
 * seldom cross. Where they do, both sides keep the one that the smaller id dialed: it does not answer the other one
 * while its own is under way, and of two that are up both sides close the same one. A process that was started anew, or
 * a connection that has gone silent, gives way to a new one in any case. Redialing backs off with jitter until
 * the peer says more than HELLO: it may say no after that.                                                           */
#include <string.h>

#include "node/inner.h"
#include "node/members.h"

#define BACKOFF_MIN (20 * ORR_MS)
#define BACKOFF_MAX (2 * ORR_SECOND)
#define SECOND_DIAL (100 * ORR_MS)

static void dial_later(struct orri_peer *p) {
    struct orr_node *n = p->node;
    if (!p->linked || p->up || p->dial || n->phase != ORRI_NODE_RUNNING) return;
    int64_t jitter = orri_rng_between(&n->rng, 50, 150);
    orri_node_alarm(n, &p->redial, n->now + p->backoff / 100 * jitter);
    p->backoff = p->backoff * 2 < BACKOFF_MAX ? p->backoff * 2 : BACKOFF_MAX;
}

static void dial(struct orri_alarm *alarm) {
    struct orri_peer *p = ORRI_OWNER(alarm, struct orri_peer, redial);
    struct orr_node *n = p->node;
    struct orr_stream *s;
    if (p->up || p->dial || n->phase != ORRI_NODE_RUNNING) return;
    if (n->w->ops->connect(n->w, p->id, &s) == 0) {
        p->dial = orri_link_new(n, s, p);
        if (p->dial) return;
        s->owner = NULL;
        n->w->ops->close(n->w, s, false);
    }
    dial_later(p);
}

void orri_peers_start(struct orr_node *n) {
    for (size_t i = 0; i < n->n_peers; i++) {
        struct orri_peer *p = &n->peers[i];
        if (!p->linked) continue;
        p->redial.fire = dial;
        p->backoff = BACKOFF_MIN;
        bool at_once = n->id < p->id || ORR_RARE(n->w, "peer.dials_at_once");
        orri_node_alarm(n, &p->redial, at_once ? n->now : n->now + SECOND_DIAL);
    }
}

void orri_peers_stop(struct orr_node *n) {
    for (size_t i = 0; i < n->n_peers; i++) orri_heap_unset(&n->heap, &n->peers[i].redial.timer);
    for (struct orri_link *l = n->links, *next; l; l = next) {
        next = l->next;
        orri_link_close(l, true);
    }
}

void orri_peers_free(struct orr_node *n) {
    orri_visitors_free(n);
    while (n->links) orri_link_free(n->links);
    for (size_t i = 0; i < n->n_peers; i++) {
        orri_node_drop_text(n, n->peers[i].name);
        orri_node_drop_text(n, n->peers[i].address);
    }
    orri_node_resize(n, n->peers, n->cfg.n_nodes * sizeof *n->peers, 0);
    orri_node_resize(n, n->by_id, n->by_id ? n->cfg.n_nodes * sizeof *n->by_id : 0, 0);
    n->peers = NULL;
    n->by_id = NULL;
    n->n_peers = 0;
}

void orri_peers_saved(struct orr_node *n) {
    for (struct orri_link *l = n->links, *next; l; l = next) {
        next = l->next;
        if (l->state == ORRI_LINK_PIN && l->pin <= n->saved) orri_link_pinned(l);
    }
}

bool orri_peer_prefers_own(const struct orri_peer *p) {
    return p->node->id < p->id && p->dial && (p->dial->state == ORRI_LINK_HELLO || p->dial->state == ORRI_LINK_PIN);
}

/* Of two connections to one process: the one that the smaller id dialed. */
static bool stays(const struct orri_link *old, const struct orri_link *new) {
    const struct orr_node *n = old->node;
    bool smaller = n->id < old->peer->id;
    bool silent = n->now - old->heard >= 2 * orri_node_ping(n);
    return new->same_run && !silent && old->dialed != new->dialed && old->dialed == smaller;
}

void orri_peer_runs(struct orri_peer *p) {
    struct orr_node *n = p->node;
    const unsigned char *theirs = p->up->hello.bundle.b, *own = n->cfg.bundle.b;
    n->host.peers_changed = true;
    if (memcmp(theirs, own, sizeof n->cfg.bundle.b) == 0) return;
    orri_node_log(n, ORR_LOG_WARN, "%s runs other scripts than this node: bundle %02x%02x%02x%02x, here "
                  "%02x%02x%02x%02x", p->name, theirs[0], theirs[1], theirs[2], theirs[3], own[0], own[1], own[2],
                  own[3]);
}

void orr_node_bundle(struct orr_node *n, const struct orr_birth *bundle) {
    n->cfg.bundle = *bundle;
    n->host.bundle_changed = n->host.peers_changed = true;
    orri_members_bundle(n);
    orri_host_wake(n);
}

bool orri_peers_tell_bundle(struct orr_node *n) {
    const struct orr_birth *bundle = &n->cfg.bundle;
    struct orri_frame frame = { .kind = ORRI_FRAME_BUNDLE };
    if (!n->host.bundle_changed) return false;
    n->host.bundle_changed = false;
    for (size_t i = 0; i < n->n_peers; i++) {
        struct orri_link *l = n->peers[i].up;
        if (!l || l->hello.newest < ORRI_PROTOCOL_BUNDLE) continue;
        /* one that does not know would be wrong for good: a new connection tells it, too */
        if (orri_link_send(l, &frame, orr_borrow(bundle->b, sizeof bundle->b), NULL, 0) < 0) orri_link_close(l, false);
    }
    return true;
}

void orri_peer_up(struct orri_link *l) {
    struct orri_peer *p = l->peer;
    struct orr_node *n = p->node;
    l->same_run = p->nonce == l->hello.nonce;
    if (p->up && stays(p->up, l)) {
        orri_link_close(l, false);
        return;
    }
    l->state = ORRI_LINK_UP;
    if (p->up) orri_link_close(p->up, false);
    if (p->dial == l) p->dial = NULL;
    orri_link_known(l);
    p->up = l;
    p->nonce = l->hello.nonce;
    orri_heap_unset(&n->heap, &p->redial.timer);
    orri_node_alarm(n, &l->alarm, n->now + orri_node_ping(n));
    orri_node_log(n, ORR_LOG_INFO, "connected to %s, its start number %u", p->name, l->hello.incarnation);
    orri_peer_runs(p);
    for (size_t i = 0; i < n->n_groups && l->state == ORRI_LINK_UP; i++) orri_group_peer_up(n->groups[i], l);
}

void orri_peer_heard(struct orri_peer *p) { p->backoff = BACKOFF_MIN; }

void orri_peer_gone(struct orri_link *l) {
    struct orri_peer *p = l->peer;
    if (!p) return;
    if (orri_is_visitor(p)) {
        orri_visitor_gone(l);
        return;
    }
    if (p->dial != l && p->up != l) return;
    struct orr_node *n = p->node;
    if (p->dial == l) p->dial = NULL;
    if (p->up == l) {
        p->up = NULL;
        p->full = false;
        n->host.peers_changed = true;
        orri_node_log(n, ORR_LOG_INFO, "lost the connection to %s", p->name);
        for (size_t i = 0; i < n->n_groups; i++) orri_group_peer_lost(n->groups[i], p);
        orri_rpc_lost(p);
    }
    dial_later(p);
}

void orri_peer_room(struct orri_peer *p) {
    p->full = false;
    for (size_t i = 0; i < p->node->n_groups; i++) orri_group_peer_room(p->node->groups[i], p);
}

int orri_peer_send(struct orri_peer *p, const struct orri_frame *frame, struct orr_slice head,
                   const struct orr_slice *body, size_t n_body) {
    if (!p->up) return ORR_EUNAVAILABLE;
    if (p->full && frame->channel == 1) return ORR_EOVERLOADED;
    int rc = orri_link_send(p->up, frame, head, body, n_body);
    if (rc == ORR_EOVERLOADED) p->full = true;
    return rc;
}
