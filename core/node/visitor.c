/* visitor.c - the node's side of visitors (orrery/visit.h, welcome.h): who is let in, what he may say, what he costs.
 *
 * A visitor is a peer of no file: it has an orri_peer of its own, nobody's id, so that answers go out as to any peer.
 * It is never dialed, has no part in any group, and its silence is no sign of anything. All visitors together get half
 * of the handlers, so that nodes always reach each other. One that doesn't read its answers isn't read any more, and is
 * closed when it has taken nothing for a while.                                                                      */
#include <string.h>

#include "node/inner.h"
#include "node/welcome.h"

#define STUCK_MAX (10 * ORR_SECOND)
#define STUCK_LOOK (20 * ORR_MS)

static struct orri_visitor *visitor_of(struct orri_peer *p) { return ORRI_OWNER(p, struct orri_visitor, peer); }

size_t orri_visitor_payload_max(const struct orr_node *n) { return orri_visit_payload_max(n->cfg.message_bytes_max); }
size_t orri_visitor_bytes_max(const struct orr_node *n) { return 2 * orri_visitor_payload_max(n); }

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static void add(struct orri_link *l, struct orri_visitor *v) {
    struct orr_node *n = l->node;
    *v = (struct orri_visitor){ .peer = { .node = n, .id = ORR_NOBODY, .name = ORRI_VISITOR_NAME, .up = l },
                                .stuck = ORR_NEVER, .next = n->visitors };
    if (n->visitors) n->visitors->before = v;
    n->visitors = v;
    n->n_visitors++;
    l->peer = &v->peer;
}

static void drop(struct orri_visitor *v) {
    struct orr_node *n = v->peer.node;
    if (v->before) v->before->next = v->next;
    else n->visitors = v->next;
    if (v->next) v->next->before = v->before;
    n->n_visitors--;
    orri_out_unlist(&v->peer);
    orri_node_resize(n, v, sizeof *v, 0);
}

void orri_visitor_gone(struct orri_link *l) {
    struct orri_visitor *v = visitor_of(l->peer);
    l->peer = NULL;
    v->peer.up = NULL;
    orri_rpc_lost(&v->peer);
    drop(v);
}

void orri_visitors_free(struct orr_node *n) {
    while (n->visitors) drop(n->visitors);
}

/* -- Coming -------------------------------------------------------------------------------------------------------- */
/* Is it let in? Refuses it where not. */
static bool welcome(struct orri_link *l, const struct orri_visit_hello *h) {
    struct orr_node *n = l->node;
    if (h->newest < ORRI_PROTOCOL_RPC || h->oldest > ORRI_PROTOCOL_NEWEST) {
        orri_link_refuse(l, ORRI_REFUSED_VERSION, "%s speaks protocol %d to %d with visitors", n->name,
                         ORRI_PROTOCOL_RPC, ORRI_PROTOCOL_NEWEST);
    } else if (!l->stream->local) {
        orri_link_refuse(l, ORRI_REFUSED_REMOTE,
                         "%s takes visitors at a loopback address alone, as 127.0.0.1: this version has no TLS",
                         n->name);
    } else if (h->cluster[0] && strcmp(h->cluster, n->cluster) != 0) {
        orri_link_refuse(l, ORRI_REFUSED_CLUSTER, "%s is of cluster %s, not %s", n->name, n->cluster, h->cluster);
    } else if (n->n_visitors >= n->cfg.visitors_max) {
        orri_link_refuse(l, ORRI_REFUSED_BUSY, "%s has %zu visitors, as many as it takes", n->name, n->n_visitors);
    } else {
        return true;
    }
    return false;
}

static void say_welcome(struct orri_link *l) {
    const struct orr_node *n = l->node;
    struct orri_welcome w = { .oldest = ORRI_PROTOCOL_OLDEST,
                              .newest = ORRI_PROTOCOL_NEWEST,
                              .cluster = n->identity.cluster,
                              .incarnation = n->identity.incarnation,
                              .nonce = n->identity.nonce,
                              .bytes_max = (uint32_t)n->cfg.message_bytes_max };
    unsigned char bytes[ORRI_WELCOME_MAX];
    memcpy(w.node, n->name, strlen(n->name) + 1);
    memcpy(w.cluster_name, n->cluster, strlen(n->cluster) + 1);
    struct orr_slice payload = orr_borrow(bytes, orri_welcome_write(&w, bytes));
    if (orri_link_send(l, &(struct orri_frame){ .kind = ORRI_FRAME_WELCOME }, payload, NULL, 0) < 0)
        orri_link_close(l, false);
}

void orri_visitor_come(struct orri_link *l, struct orr_slice payload) {
    struct orr_node *n = l->node;
    struct orri_visit_hello h;
    if (orri_visit_hello_read(payload, &h) < 0) {
        orri_link_refuse(l, ORRI_REFUSED_VERSION, "that is no VISIT that %s can read", n->name);
        return;
    }
    if (!welcome(l, &h)) return;
    struct orri_visitor *v = orri_node_resize(n, NULL, 0, sizeof *v);
    if (!v) {
        orri_link_refuse(l, ORRI_REFUSED_BUSY, "%s has no room now", n->name);
        return;
    }
    add(l, v);
    l->hello.newest = h.newest;
    orri_link_known(l);
    l->state = ORRI_LINK_UP;
    orri_heap_unset(&n->heap, &l->alarm.timer);
    orri_node_log(n, ORR_LOG_DEBUG, "a visitor: %zu are here", n->n_visitors);
    say_welcome(l);
}

/* -- In ------------------------------------------------------------------------------------------------------------ */
static void pause(struct orri_visitor *v, bool on) {
    struct orr_node *n = v->peer.node;
    if (v->paused != on) n->w->ops->read_pause(n->w, v->peer.up->stream, on);
    v->paused = on;
}

void orri_visitor_frame(struct orri_link *l, const struct orri_frame *f) {
    struct orri_visitor *v = visitor_of(l->peer);
    if (f->kind != ORRI_FRAME_RPC || f->group) {
        orri_link_bad(l, "a visitor asks, and says nothing else");
    } else if (orri_rpc_frame(&v->peer, f->payload) < 0) {
        orri_link_bad(l, "a visitor's message that can't be read, or is none of his");
    } else if (v->peer.out.bytes > orri_visitor_bytes_max(l->node) / 2) {
        pause(v, true);
    }
}

/* -- Out ----------------------------------------------------------------------------------------------------------- */
void orri_visitor_flushed(struct orri_peer *p, bool any) {
    struct orri_visitor *v = visitor_of(p);
    struct orr_node *n = p->node;
    if (any || !p->out.head) v->stuck = ORR_NEVER;
    if (!p->out.head) {
        orri_heap_unset(&n->heap, &p->up->alarm.timer);
        pause(v, false);
        return;
    }
    if (v->stuck == ORR_NEVER) v->stuck = n->now;
    if (!p->up->alarm.timer.place) orri_node_alarm(n, &p->up->alarm, n->now + STUCK_LOOK);
}

/* It is looked at again, by the end of this turn; unless that was so for too long. */
void orri_visitor_alarm(struct orri_link *l) {
    const struct orri_visitor *v = visitor_of(l->peer);
    struct orr_node *n = l->node;
    if (n->now - v->stuck < STUCK_MAX) return;
    orri_node_log_rarely(n, &n->note_bad, ORR_LOG_WARN, "closed the connection of a visitor: it reads no answers");
    orri_link_close(l, false);
}
