/* time_known.c - what is known of the cluster's time, and what of it a program and the log are told.
 *
 * Within an epoch `earliest` never goes back. What was told was below the median for whatever the unknown clocks were,
 * so it stays below it while the known clocks go on. Where one of them may have become another one, because it was not
 * heard of or says so, the median may step back: if the answer has to, a new epoch begins. */
#include <stdio.h>
#include <string.h>

#include "node/inner.h"
#include "node/time.h"

#define LATELY (4 * ORR_SECOND)     /* a pause between two polls is no longer */

struct known {
    struct orri_span clocks[ORR_TIME_MEMBERS_MAX], all;
    orr_time likely[ORR_TIME_MEMBERS_MAX];  /* of those that are known */
    size_t n_known, n_lately;
};

/* -- The members' clocks ------------------------------------------------------------------------------------------- */
static bool look_at(const struct orri_timekeeper *m, orr_time local, struct orri_span *out, orr_time *likely) {
    const struct orri_time *t = m->time;
    struct orr_clock_peer info;
    if (m == t->me) {
        *likely = local + t->wall.offset;
        *out = (struct orri_span){ *likely, *likely };
        return t->wall.ours;
    }
    if (!m->known || local - m->heard >= ORR_TIME_KEPT) return false;
    if (orr_clock_peer_info(t->clock, local, m->number, &info) < 0 || info.role == ORR_CLOCK_NEW) return false;
    *likely = local + info.offset;
    *out = (struct orri_span){ info.earliest, info.latest };
    return true;
}

static void expire(struct orri_time *t, orr_time local) {
    for (size_t i = 0; i < t->n; i++) {
        struct orri_timekeeper *m = &t->members[i];
        if (m->known && local - m->heard >= ORR_TIME_KEPT) orri_time_forget(m, local);
    }
}

static struct known gather(const struct orri_time *t, orr_time local) {
    struct known k = { .n_known = 0 };
    for (size_t i = 0; i < t->n; i++) {
        const struct orri_timekeeper *m = &t->members[i];
        if (!look_at(m, local, &k.clocks[i], &k.likely[k.n_known])) {
            k.clocks[i] = ORRI_SPAN_ANY;
            continue;
        }
        k.n_known++;
        k.n_lately += m == t->me || local - m->heard <= LATELY;
    }
    k.all = orri_median(k.clocks, t->n);
    return k;
}

/* -- The answer ---------------------------------------------------------------------------------------------------- */
static bool is_finite(const struct orri_span *s) { return s->low != INT64_MIN && s->high != INT64_MAX; }
static bool is_narrow(const struct orri_time *t, const struct orri_span *s) {
    return is_finite(s) && (s->high - s->low) / 2 <= t->node->cfg.clock.bound_max;
}

static orr_time likely_of(const struct known *k) {
    orr_time at = orri_smallest(k->likely, k->n_known, (k->n_known + 1) / 2);
    return at < k->all.low ? k->all.low : at > k->all.high ? k->all.high : at;
}

/* In this epoch, or not before the next. */
static bool must_step(const struct orri_time *t, const struct orri_span *all) {
    return all->low < t->floor && (t->loose || t->floor > all->high);
}

static void step(struct orri_time *t, orr_time low) {
    struct orr_node *n = t->node;
    orri_node_log(n, ORR_LOG_WARN, "the cluster's time may have stepped back by up to %.6f s: epoch %u",
                  (double)(t->floor - low) / 1e9, t->epoch + 1);
    t->epoch++;
    n->host.stepped = true;
    orri_host_wake(n);
}

static int answer(const struct orri_time *t, const struct known *k, struct orr_node_time *out) {
    *out = (struct orr_node_time){ .state = ORR_CLOCK_UNSYNC, .epoch = t->epoch };
    if (!is_finite(&k->all)) return ORR_EUNAVAILABLE;
    out->earliest = k->all.low < t->floor && !must_step(t, &k->all) ? t->floor : k->all.low;
    out->latest = k->all.high;
    out->likely = likely_of(k);
    if (out->likely < out->earliest) out->likely = out->earliest;
    if (!is_narrow(t, &k->all)) return ORR_EUNAVAILABLE;
    out->state = k->n_lately >= t->n / 2 + 1 ? ORR_CLOCK_SYNC : ORR_CLOCK_HOLDOVER;
    return 0;
}

/* It is told: from now on no less is. */
static int tell(struct orri_time *t, orr_time local, struct orr_node_time *out) {
    expire(t, local);
    const struct known k = gather(t, local);
    if (is_narrow(t, &k.all) && must_step(t, &k.all)) {
        step(t, k.all.low);
        t->floor = INT64_MIN;
    }
    int rc = answer(t, &k, out);
    if (rc < 0) return rc;
    t->floor = out->earliest;
    t->loose = false;
    if (t->node->w->ops->trace) t->node->w->ops->trace(t->node->w, 0, ORR_TRACE_TIME, out, sizeof *out);
    return 0;
}

int orr_node_time(struct orr_node *n, struct orr_node_time *out) {
    struct orri_time *t = orri_time_ask(n);
    *out = (struct orr_node_time){ .state = ORR_CLOCK_UNSYNC };
    return t ? tell(t, n->w->ops->fresh(n->w), out) : ORR_EUNAVAILABLE;
}

int orr_node_time_peek(const struct orr_node *n, struct orr_node_time *out) {
    *out = (struct orr_node_time){ .state = ORR_CLOCK_UNSYNC };
    if (!orr_node_time_asks(n)) return ORR_EUNAVAILABLE;
    const struct known k = gather(n->time, n->w->ops->fresh(n->w));
    return answer(n->time, &k, out);
}

orr_time orr_node_time_wait(struct orr_node *n, orr_time at) {
    struct orr_node_time now;
    if (at == ORR_NEVER || orr_node_time(n, &now) < 0) return ORR_NEVER;
    if (now.earliest > at) return 0;
    orr_time missing = at - now.earliest;           /* earliest is slower than our clock, by twice the drift at most */
    return missing + missing / 100 + 1;
}

static void say_why(const struct orri_time *t, const struct orri_span *all, size_t n_known, char *out, size_t size) {
    if (is_narrow(t, all)) *out = '\0';
    else if (!is_finite(all))
        snprintf(out, size, "the clocks of %zu of %zu members are known, %zu are needed", n_known, t->n, t->n / 2 + 1);
    else
        snprintf(out, size, "it is known to %.6f s only, and clock.bound_max is %.6f s",
                 (double)(all->high - all->low) / 2e9, (double)t->node->cfg.clock.bound_max / 1e9);
}

void orr_node_time_why(const struct orr_node *n, char *out, size_t size) {
    if (n->cfg.clock.off) {
        snprintf(out, size, "the cluster file says clock = false");
    } else if (!orr_node_time_asks(n)) {
        snprintf(out, size, "nobody has asked for it, the node doesn't run yet, or memory is out");
    } else {
        const struct known k = gather(n->time, n->w->ops->fresh(n->w));
        say_why(n->time, &k.all, k.n_known, out, size);
    }
}

void orri_time_trace_clock(const struct orri_time *t) {
    struct orr_world *w = t->node->w;
    if (t->me && t->wall.ours && w->ops->trace)
        w->ops->trace(w, 0, ORR_TRACE_CLOCK, &t->wall.offset, sizeof t->wall.offset);
}

/* -- Members, for people ------------------------------------------------------------------------------------------- */
static orr_time off_by(const struct orri_span *clock, const struct orri_span *all) {
    if (clock->low > all->high) return clock->low - all->high;
    return clock->high < all->low ? clock->high - all->low : 0;
}

static bool is_off(const struct orri_time *t, orr_time by) {
    orr_time most = t->node->cfg.clock.bound_max;
    return by > most || by < -most;
}

bool orr_node_time_asks(const struct orr_node *n) { return n->time && n->time->clock; }

bool orr_node_time_member(const struct orr_node *n, size_t i, struct orr_time_member *out) {
    const struct orri_time *t = n->time;
    if (!orr_node_time_asks(n) || i >= t->n) return false;
    orr_time local = n->w->ops->fresh(n->w);
    const struct known k = gather(t, local);
    const struct orri_timekeeper *m = &t->members[i];
    struct orr_clock_peer info;
    struct orri_span clock;
    *out = (struct orr_time_member){ .name = m->peer->name, .own = m == t->me };
    if (m->unsteady || (m == t->me && !t->wall.told)) out->role = ORR_TIME_UNSTEADY;
    if (!look_at(m, local, &clock, &out->likely)) {
        out->likely = 0;
        return true;
    }
    if (out->role == ORR_TIME_UNKNOWN) out->role = ORR_TIME_KNOWN;
    out->earliest = clock.low;
    out->latest = clock.high;
    out->off = is_finite(&k.all) ? off_by(&clock, &k.all) : 0;
    if (is_off(t, out->off)) out->role = ORR_TIME_OFF;
    if (m == t->me) return true;
    out->age = local - m->heard;
    if (orr_clock_peer_info(t->clock, local, m->number, &info) == 0) out->delay = info.delay;
    return true;
}

/* -- The log ------------------------------------------------------------------------------------------------------- */
static void name_off(struct orri_timekeeper *m, orr_time by) {
    struct orr_node *n = m->time->node;
    bool off = is_off(m->time, by), own = m == m->time->me;
    if (off == m->named) return;
    m->named = off;
    const char *whose = own ? "this machine" : m->peer->name;
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
                                m->peer->name);
    else orri_node_log(m->time->node, ORR_LOG_INFO, "%s's clock keeps still again", m->peer->name);
}

static void name_state(struct orri_time *t, const struct known *k) {
    bool known = is_narrow(t, &k->all);
    char why[200];
    if (t->named ? known == t->known : !known) return;
    t->named = true;
    t->known = known;
    say_why(t, &k->all, k->n_known, why, sizeof why);
    if (!known) orri_node_log(t->node, ORR_LOG_WARN, "the cluster's time is not known any more: %s", why);
    else orri_node_log(t->node, ORR_LOG_INFO, "the cluster's time is known within %.6f s",
                       (double)(k->all.high - k->all.low) / 2e9);
}

void orri_time_review(struct orri_time *t) {
    orr_time local = t->node->w->ops->fresh(t->node->w);
    expire(t, local);
    const struct known k = gather(t, local);
    name_state(t, &k);
    for (size_t i = 0; i < t->n; i++) name_restless(&t->members[i], local);
    for (size_t i = 0; i < t->n && is_narrow(t, &k.all); i++) {
        if (k.clocks[i].low != INT64_MIN) name_off(&t->members[i], off_by(&k.clocks[i], &k.all));
    }
}
