/* lease.c - what a group is told of the cluster's time, for its leases and the age of its copy (order.h). */
#include "node/inner.h"
#include "node/time.h"

/* It is known, and that decides nothing: a lease that is not taken costs a round. */
static void name_trust(struct orr_group *g, bool trusted) {
    char why[200];
    if (!g->leases || g->trusted == trusted) return;
    g->trusted = trusted;
    orr_node_time_why(g->node, why, sizeof why);
    if (trusted) orri_node_log(g->node, ORR_LOG_INFO, "group %s: reads go by leases", g->name);
    else orri_node_log(g->node, ORR_LOG_WARN, "group %s: reads ask a majority each: %s", g->name, why);
}

void orri_lease_clock(struct orr_group *g) {
    struct orr_world *w = g->node->w;
    struct orr_clock_reading reading;
    if (!g->order->clock) return;
    bool asks = orri_time_reading(g->node, &reading), told = g->dated;
    g->dated = asks;
    if (!asks && !told) return;                     /* it asks no more: that is told once */
    g->order->clock(g->x, w->ops->fresh(w), &reading);
    name_trust(g, reading.trusted);
}

orr_time orr_group_age(const struct orr_group *g) { return orri_lease_age(g); }

orr_time orr_group_lease(const struct orr_group *g) {
    struct orr_world *w = g->node->w;
    orr_time left = g->status.lease - w->ops->fresh(w);
    return g->x && left > 0 ? left : 0;
}

void orri_lease_trace(struct orr_group *g) {
    struct orr_world *w = g->node->w;
    orr_time now = w->ops->fresh(w);
    const struct orr_order_status *s = &g->status;
    struct orr_trace_lease t = { s->term, s->commit, s->applied, s->lease > now, orri_lease_age(g) };
    if (orri_traced(g) && (t.held || t.age != ORR_NEVER)) orri_trace(g, ORR_TRACE_LEASE, &t, sizeof t);
}

/* A little more than this clock says, for it may be slow (drift_max). */
orr_time orri_lease_age(const struct orr_group *g) {
    struct orr_world *w = g->node->w;
    if (!g->x || g->status.as_of <= 0 || g->restoring.on || g->machine_broken || g->corrupt) return ORR_NEVER;
    orr_time age = w->ops->fresh(w) - g->status.as_of;
    return age + age / 500;
}
