/* time_told.c - what people are told of the cluster's time: why it isn't known, of whom what is known, the log; and
 * the trace, of this node's own clock. */
#include <stdio.h>

#include "node/inner.h"
#include "node/time.h"

bool orr_node_time_asks(const struct orr_node *n) { return n->time && n->time->clock; }

void orri_time_trace_clock(const struct orri_time *t) {
    struct orr_world *w = t->node->w;
    if (t->me && t->wall.ours && w->ops->trace)
        w->ops->trace(w, 0, ORR_TRACE_CLOCK, &t->wall.offset, sizeof t->wall.offset);
}

/* -- Why not ------------------------------------------------------------------------------------------------------- */
static void say_why(const struct orri_time *t, const struct orri_known *k, char *out, size_t size) {
    bool any = k->all.low != INT64_MIN && k->all.high != INT64_MAX;
    if (orri_time_is_narrow(t, &k->all)) *out = '\0';
    else if (any)
        snprintf(out, size, "it is known to %.6f s only, and clock.bound_max is %.6f s",
                 (double)(k->all.high - k->all.low) / 2e9, (double)t->node->cfg.clock.bound_max / 1e9);
    else if (orri_time_by_servers(t) && k->n_known <= orri_time_liars(t))
        snprintf(out, size, "of the servers and nodes that are asked %zu are known, %zu are needed", k->n_known,
                 orri_time_liars(t) + 1);
    else if (orri_time_by_servers(t))
        snprintf(out, size, "half or more of the servers that are known contradict the others");
    else
        snprintf(out, size, "the clocks of %zu of %zu members are known, %zu are needed", k->n_known, t->n,
                 t->n / 2 + 1);
}

void orr_node_time_why(const struct orr_node *n, char *out, size_t size) {
    if (n->cfg.clock.off) {
        snprintf(out, size, "the cluster file says clock = false");
    } else if (!orr_node_time_asks(n)) {
        snprintf(out, size, "nobody has asked for it, the node doesn't run yet, or memory is out");
    } else {
        const struct orri_known k = orri_time_known(n->time, n->w->ops->fresh(n->w));
        say_why(n->time, &k, out, size);
    }
}

/* -- Of whom what is known ----------------------------------------------------------------------------------------- */
static orr_time off_by(const struct orri_span *clock, const struct orri_span *all) {
    if (clock->low > all->high) return clock->low - all->high;
    return clock->high < all->low ? clock->high - all->low : 0;
}

static bool is_off(const struct orri_time *t, orr_time by) {
    orr_time most = t->node->cfg.clock.bound_max;
    return by > most || by < -most;
}

bool orr_node_time_member(const struct orr_node *n, size_t i, struct orr_time_member *out) {
    const struct orri_time *t = n->time;
    if (!orr_node_time_asks(n) || i >= t->n_asked) return false;
    orr_time local = n->w->ops->fresh(n->w);
    const struct orri_known k = orri_time_known(t, local);
    const struct orri_timekeeper *m = &t->asked[i];
    struct orr_clock_peer info;
    struct orri_span clock;
    *out = (struct orr_time_member){ .name = m->name, .own = m == t->me, .server = m->server };
    bool begins = m == t->me && !orri_time_by_servers(t) && !t->wall.told;
    if (m->unsteady || begins) out->role = ORR_TIME_UNSTEADY;
    if (!orri_time_look(m, local, &clock, &out->likely)) {
        out->likely = 0;
        return true;
    }
    if (m != t->me) out->age = local - m->heard;
    orr_time running = orri_time_free_running(t, local);
    if (m != t->me && orr_clock_peer_info(t->clock, running, m->number, &info) == 0) out->delay = info.delay;
    if (out->role == ORR_TIME_UNKNOWN) out->role = ORR_TIME_KNOWN;
    out->earliest = clock.low;
    out->latest = clock.high;
    if (orri_time_is_narrow(t, &k.all)) out->off = off_by(&clock, &k.all);
    if (is_off(t, out->off) || (m->server && out->off != 0)) out->role = ORR_TIME_OFF;
    return true;
}

/* -- The log ------------------------------------------------------------------------------------------------------- */
static void name_off(struct orri_timekeeper *m, orr_time by) {
    struct orr_node *n = m->time->node;
    bool off = is_off(m->time, by), own = m == m->time->me;
    if (off == m->named) return;
    m->named = off;
    const char *whose = own ? "this machine" : m->name;
    if (!off) orri_node_log(n, ORR_LOG_INFO, "%s's clock is with the cluster's again", whose);
    else orri_node_log(n, ORR_LOG_WARN, "%s's clock is at least %.3f s %s the cluster's", whose,
                       (double)(by < 0 ? -by : by) / 1e9, by < 0 ? "behind" : "ahead of");
}

/* One that was set, or started again, counts again soon; one that keeps on being set does not. */
static void name_restless(struct orri_timekeeper *m, orr_time local) {
    bool restless = m->unsteady && local - m->begins > 2 * ORR_TIME_KEPT;
    if (restless == m->restless) return;
    m->restless = restless;
    if (restless) orri_node_log(m->time->node, ORR_LOG_WARN, "%s's clock does not keep still: it does not count",
                                m->name);
    else orri_node_log(m->time->node, ORR_LOG_INFO, "%s's clock keeps still again", m->name);
}

static void name_state(struct orri_time *t, const struct orri_known *k) {
    bool known = orri_time_is_narrow(t, &k->all);
    char why[200];
    if (t->named ? known == t->known : !known) return;
    t->named = true;
    t->known = known;
    say_why(t, k, why, sizeof why);
    if (!known) orri_node_log(t->node, ORR_LOG_WARN, "the cluster's time is not known any more: %s", why);
    else orri_node_log(t->node, ORR_LOG_INFO, "the cluster's time is known within %.6f s",
                       (double)(k->all.high - k->all.low) / 2e9);
}

void orri_time_review(struct orri_time *t) {
    orr_time local = t->node->w->ops->fresh(t->node->w);
    orri_time_expire(t, local);
    orri_mesh_review(t, local);
    const struct orri_known k = orri_time_known(t, local);
    name_state(t, &k);
    for (size_t i = 0; i < t->n_asked; i++) {
        name_restless(&t->asked[i], local);
        if (orri_time_is_narrow(t, &k.all) && k.clocks[i].low != INT64_MIN)
            name_off(&t->asked[i], off_by(&k.clocks[i], &k.all));
    }
}
