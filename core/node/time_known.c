/* time_known.c - what is known of the cluster's time, and what of it a program is told.
 *
 * Within an epoch `earliest` never goes back. What was told was below the median for whatever the unknown clocks were,
 * so it stays below it while the known clocks go on. Where one of them may have become another one, because it was not
 * heard of or says so, the median may step back: if the answer has to, a new epoch begins.
 *
 * Where it is the time of NTP servers, it is what all sources but a minority of the servers hold. It never steps,
 * unless more of them lied. */
#include "node/inner.h"
#include "node/time.h"

#define LATELY (4 * ORR_SECOND)     /* a pause between two polls is no longer */
#define LATELY_SERVERS (128 * ORR_SECOND)       /* two such pauses with servers */

/* -- The clocks ---------------------------------------------------------------------------------------------------- */
bool orri_time_look(const struct orri_timekeeper *m, orr_time local, struct orri_span *out, orr_time *likely) {
    const struct orri_time *t = m->time;
    bool by_servers = orri_time_by_servers(t);
    struct orr_clock_peer info;
    if (m == t->me) {
        *likely = local + (by_servers ? t->wall.next : t->wall.offset);
        *out = (struct orri_span){ *likely, *likely };
        return by_servers || t->wall.ours;
    }
    if (!m->known || (!by_servers && local - m->heard >= ORR_TIME_KEPT)) return false;
    orr_time running = orri_time_free_running(t, local);
    if (orr_clock_peer_info(t->clock, running, m->number, &info) < 0 || info.role == ORR_CLOCK_NEW) return false;
    *out = (struct orri_span){ info.earliest, info.latest };
    *likely = orri_mesh_correct(m, local, out, running + info.offset);
    return true;
}

void orri_time_expire(struct orri_time *t, orr_time local) {
    for (size_t i = 0; i < t->n && !orri_time_by_servers(t); i++) {
        struct orri_timekeeper *m = &t->asked[i];
        if (m->known && local - m->heard >= ORR_TIME_KEPT) orri_time_forget(m, local);
    }
}

static orr_time likely_of(const struct orri_known *k, const orr_time *likely) {
    orr_time at = orri_smallest(likely, k->n_known, (k->n_known + 1) / 2);
    return at < k->all.low ? k->all.low : at > k->all.high ? k->all.high : at;
}

static bool is_finite(const struct orri_span *s) { return s->low != INT64_MIN && s->high != INT64_MAX; }

static void by_median(const struct orri_time *t, struct orri_known *k, const orr_time *likely, size_t n_lately) {
    k->all = orri_median(k->clocks, t->n);
    k->epoch = t->epoch;
    if (!is_finite(&k->all)) return;
    k->likely = likely_of(k, likely);
    k->state = n_lately >= t->n / 2 + 1 ? ORR_CLOCK_SYNC : ORR_CLOCK_HOLDOVER;
}

/* Of the servers up to orri_time_liars may lie, whoever of them is heard; so truth is in what all the others hold.
 * Nodes don't lie. */
static void by_servers(const struct orri_time *t, struct orri_known *k, const orr_time *likely, orr_time heard) {
    struct orri_span others[ORRI_ASKED_MAX];
    size_t n = 0, liars = orri_time_liars(t);
    for (size_t i = 0; i < t->n_asked; i++)
        if (&t->asked[i] != t->me && k->clocks[i].low != INT64_MIN) others[n++] = k->clocks[i];
    k->epoch = t->epoch;
    k->all = n > liars ? orri_covered(others, n, n - liars) : ORRI_SPAN_ANY;
    if (!is_finite(&k->all)) return;
    k->likely = likely_of(k, likely);
    k->state = heard <= LATELY_SERVERS ? ORR_CLOCK_SYNC : ORR_CLOCK_HOLDOVER;
}

struct orri_known orri_time_known(const struct orri_time *t, orr_time local) {
    struct orri_known k = { .state = ORR_CLOCK_UNSYNC };
    orr_time likely[ORRI_ASKED_MAX];
    orr_time heard = ORR_NEVER;                     /* so long ago, by anybody */
    size_t n_lately = 0;
    for (size_t i = 0; i < t->n_asked; i++) {
        const struct orri_timekeeper *m = &t->asked[i];
        if (!orri_time_look(m, local, &k.clocks[i], &likely[k.n_known])) {
            k.clocks[i] = ORRI_SPAN_ANY;
            continue;
        }
        if (m == t->me && orri_time_by_servers(t)) continue;    /* a wall clock, which is only shown */
        k.n_known++;
        n_lately += m == t->me || local - m->heard <= LATELY;
        if (m != t->me && local - m->heard < heard) heard = local - m->heard;
    }
    if (orri_time_by_servers(t)) by_servers(t, &k, likely, heard);
    else by_median(t, &k, likely, n_lately);
    return k;
}

/* -- The answer ---------------------------------------------------------------------------------------------------- */
bool orri_time_is_narrow(const struct orri_time *t, const struct orri_span *s) {
    return is_finite(s) && (s->high - s->low) / 2 <= t->node->cfg.clock.bound_max;
}

/* What has surely passed some ms ago has so now, and what is latest moves with our own clock. */
#define READING_KEPT (2 * ORR_MS)
bool orri_time_reading(struct orr_node *n, struct orr_clock_reading *out) {
    struct orri_time *t = n->time;
    *out = (struct orr_clock_reading){ .trusted = false };
    if (!orr_node_time_asks(n)) return false;
    orr_time local = n->w->ops->fresh(n->w);
    if (t->read == 0 || local - t->read >= READING_KEPT) {
        const struct orri_known k = orri_time_known(t, local);
        t->reading = *out;
        if (is_finite(&k.all))
            t->reading = (struct orr_clock_reading){ orri_time_is_narrow(t, &k.all), k.all.low, k.all.high };
        t->read = local;
    }
    *out = t->reading;
    if (out->latest) out->latest += (local - t->read) + (local - t->read) / 400;
    return true;
}

/* In this epoch, or not before the next. */
static bool must_step(const struct orri_time *t, const struct orri_span *all) {
    return all->low < t->floor && (t->loose || t->floor > all->high);
}

static void step(struct orri_time *t, struct orri_known *k) {
    struct orr_node *n = t->node;
    k->epoch = ++t->epoch;
    orri_node_log(n, ORR_LOG_WARN, "the cluster's time may have stepped back by up to %.6f s: epoch %u",
                  (double)(t->floor - k->all.low) / 1e9, t->epoch);
    t->floor = INT64_MIN;
    n->host.stepped = true;
    orri_host_wake(n);
}

static int answer(const struct orri_time *t, const struct orri_known *k, struct orr_node_time *out) {
    *out = (struct orr_node_time){ .state = ORR_CLOCK_UNSYNC, .epoch = k->epoch };
    if (!is_finite(&k->all)) return ORR_EUNAVAILABLE;
    bool held = k->all.low < t->floor && !must_step(t, &k->all);
    out->earliest = held ? t->floor : k->all.low;
    out->latest = k->all.high;
    out->likely = k->likely < out->earliest ? out->earliest : k->likely;
    if (!orri_time_is_narrow(t, &k->all)) return ORR_EUNAVAILABLE;
    out->state = k->state;
    return 0;
}

/* It is told: from now on no less is. */
static int tell(struct orri_time *t, orr_time local, struct orr_node_time *out) {
    orri_time_expire(t, local);
    struct orri_known k = orri_time_known(t, local);
    if (orri_time_is_narrow(t, &k.all) && must_step(t, &k.all)) step(t, &k);
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
    const struct orri_known k = orri_time_known(n->time, n->w->ops->fresh(n->w));
    return answer(n->time, &k, out);
}

orr_time orr_node_time_wait(struct orr_node *n, orr_time at) {
    struct orr_node_time now;
    if (at == ORR_NEVER || orr_node_time(n, &now) < 0) return ORR_NEVER;
    if (now.earliest > at) return 0;
    orr_time missing = at - now.earliest;           /* earliest is slower than our clock, by twice the drift at most */
    return missing + missing / 100 + 1;
}
