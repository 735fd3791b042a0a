/* host.c - the host of a node (orrery/host.h): when it is called, and its part of a turn.
 *
 * In a turn the inputs have come first: answers are told in a row, questions went to the host as they were read. Then,
 * in each pass: what this node asks itself, events, done() for all that was told, the host's own turn; then the groups,
 * which carry out what was proposed. So whatever a pass brings is told in the next one, and what is left is a turn of
 * its own, at once.                                                                                                  */
#include "node/inner.h"

static void look_again(struct orri_alarm *alarm) { (void)alarm; }       /* the turn's end does */

void orri_host_init(struct orr_node *n) {
    n->host.retry.fire = look_again;
    orri_map_init(&n->host.values, n->alloc, n->w->ops->seed(n->w, "saved"));
}

void orri_host_clear(struct orr_node *n) {
    orri_waits_clear(n);
    orri_rpc_clear(n);
    orri_outs_clear(n);
    orri_saved_clear(n);
    if (n->host.waiter.slot) orri_slots_forget(&n->slots, &n->host.waiter);
}

int orr_node_host(struct orr_node *n, const struct orr_host_ops *ops, void *ud) {
    if (n->phase != ORRI_NODE_NEW) return ORR_EINVALID;
    n->host.ops = ops;
    n->host.ud = ud;
    return 0;
}

orr_time orr_node_now(const struct orr_node *n) { return n->in_turn ? n->now : n->w->ops->now(n->w); }
struct orr_world *orr_node_world(const struct orr_node *n) { return n->w; }

void orri_host_wake(struct orr_node *n) {
    if (!n->in_turn) n->w->ops->alarm(n->w, n->now, 0);
}

void orr_node_soon(struct orr_node *n) {
    n->host.soon = true;
    orri_host_wake(n);
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
void orri_host_opened(struct orr_node *n) {
    if (n->host.ops) orri_saved_read(n);
    else orri_node_name(n);
}

void orri_host_declare(struct orr_node *n) {
    struct orri_host *h = &n->host;
    const char *why = NULL;
    h->declaring = true;
    int rc = h->ops->declare ? h->ops->declare(h->ud, &why) : 0;
    h->declaring = false;
    if (rc < 0) orri_node_fail(n, 2, "%s", why ? why : orr_strerror(rc));
    else orri_node_name(n);
}

void orri_host_ready(struct orr_node *n) {
    if (n->host.ops && n->host.ops->ready) n->host.ops->ready(n->host.ud);
}

void orri_host_stop(struct orr_node *n) {
    struct orri_host *h = &n->host;
    if (h->stopped || !h->ops) return;
    h->stopped = true;
    if (h->ops->stop) h->ops->stop(h->ud);
}

/* -- Its turn ------------------------------------------------------------------------------------------------------ */
void orri_host_event(struct orr_group *g, unsigned events) { g->events |= events; }

static bool wants_events(const struct orri_host *h) { return h->ops && h->ops->event && !h->stopped; }

static bool wants_peers(const struct orri_host *h) {
    return h->peers_changed && h->ops && h->ops->peers && !h->stopped;
}

static bool wants_step(const struct orri_host *h) { return h->stepped && h->ops && h->ops->stepped && !h->stopped; }

static bool tell_events(struct orr_node *n) {
    bool any = wants_peers(&n->host);
    if (any) {
        n->host.peers_changed = false;
        n->host.ops->peers(n->host.ud);
    }
    if (wants_step(&n->host)) {
        any = true;
        n->host.stepped = false;
        n->host.ops->stepped(n->host.ud);
    }
    for (size_t i = 0; i < n->n_groups && wants_events(&n->host); i++) {
        struct orr_group *g = n->groups[i];
        unsigned events = g->events;
        g->events = 0;
        if (events) n->host.ops->event(n->host.ud, g, events);
        any = any || events;
    }
    return any;
}

bool orri_host_turn(struct orr_node *n) {
    struct orri_host *h = &n->host;
    bool any = orri_peers_tell_bundle(n);
    any = orri_outs_own(n) || any;
    any = tell_events(n) || any;
    any = orri_waits_told(n) || any;
    h->soon = false;
    if (h->ops && h->ops->turn && !h->stopped) any = h->ops->turn(h->ud) || any;
    return any;
}

bool orri_host_due(const struct orr_node *n) {
    const struct orri_host *h = &n->host;
    if (h->told || h->soon || h->bundle_changed || wants_peers(h) || wants_step(h)) return true;
    if (n->me->out.head) return true;
    for (size_t i = 0; i < n->n_groups && wants_events(h); i++) {
        if (n->groups[i]->events) return true;
    }
    return false;
}
