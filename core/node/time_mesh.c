/* time_mesh.c - members tell each other what they measured of each other's clocks, and what all of it says together.
 *
 * A member tells those whom it asks, every few seconds, once it knows of anybody. Both ends of a link measure it, with
 * the same error where one way is longer: together they are one edge of the graph, else neither would ever be found
 * farther off than all others. No two ways are quite alike, so that an edge's deviation is never less than a share of
 * its round trip: what is named as asymmetric is so by about a fifth of that, at least.
 *
 * The graph knows more of a clock than our own link to it where a loop has the link, or the graph left it out. Then the
 * clock's likely value is the graph's. Its interval stays what it is, and holds that value. */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "node/inner.h"
#include "node/time.h"

#define TELL_FIRST (2 * ORR_SECOND)
#define TELL_EVERY (4 * ORR_SECOND)
#define SURE_AFTER (10 * ORR_SECOND)        /* so long it must have been seen, until the log says so */
/* Of the least round trip, and of what others have more: the deviation that two ways' difference has, unseen; of the
 * latter the more the fewer exchanges there were. (Measured: without it, of links with queues of 2 ms either way 2 %
 * were taken for asymmetric in the first half minute.) */
#define DELAY_SHARE 64
#define JITTER_SHARE 16
#define JITTER_SHARE_FIRST 4        /* by how many exchanges there were */
#define RATE_SD_MOST_PPB 1000000

/* -- What this node measures --------------------------------------------------------------------------------------- */
static bool has_mesh(const struct orri_time *t) { return t->me && t->n >= 2 && t->clock && !orri_time_by_servers(t); }

static uint64_t own_clock(const struct orri_time *t) { return orr_ntp_stamp_of(t->wall.born); }

static double unseen(const struct orr_clock_peer *p) {
    double queues = 1.0 / JITTER_SHARE + JITTER_SHARE_FIRST / ((double)p->verdicts[ORR_CLOCK_USED] + 1);
    return (double)p->delay / DELAY_SHARE + (double)p->jitter * queues;
}

/* From this node's kept clock to m's. */
static bool measured(const struct orri_timekeeper *m, orr_time local, struct orri_edge *out) {
    const struct orri_time *t = m->time;
    struct orr_clock_peer now, later;
    if (m->server || !m->client || !m->known || m->clock == 0 || local - m->heard >= ORR_TIME_KEPT) return false;
    if (orr_clock_peer_info(t->clock, local, m->number, &now) < 0 || now.role == ORR_CLOCK_NEW) return false;
    (void)orr_clock_peer_info(t->clock, local + ORR_SECOND, m->number, &later);
    double own = (double)now.sd, then = (double)later.sd, rate_sd = then > own ? sqrt(then * then - own * own) : 0;
    double path = unseen(&now), sd = sqrt(own * own + path * path);
    orr_time offset = now.offset - t->wall.offset;
    if (offset <= -ORRI_EDGE_OFFSET_LIMIT || offset >= ORRI_EDGE_OFFSET_LIMIT || sd >= UINT32_MAX) return false;
    *out = (struct orri_edge){ .to = m->id, .clock = m->clock, .offset = offset, .sd_ns = (uint32_t)sd + 1,
                               .rate_ppt = -now.rate_ppt, .rate_sd_ppb = (uint32_t)fmin(rate_sd, RATE_SD_MOST_PPB),
                               .age_us = local > m->heard ? (uint32_t)((local - m->heard) / 1000) : 0 };
    return true;
}

/* -- Telling ------------------------------------------------------------------------------------------------------- */
static void tell_all(struct orri_time *t, const struct orri_edges *e) {
    struct orr_node *n = t->node;
    unsigned char out[ORRI_EDGES_SIZE_MAX];
    size_t size = orri_edges_write(e, n->identity.cluster, out);
    for (size_t i = 0; i < t->n; i++) {
        if (!t->asked[i].client) continue;
        (void)n->w->ops->datagram(n->w, t->asked[i].id, orr_borrow(out, size));     /* it may be lost here, too */
        t->mesh.count.told++;
    }
}

static void tell(struct orri_alarm *alarm) {
    struct orri_time *t = ((struct orri_mesh *)(void *)alarm)->time;
    struct orr_node *n = t->node;
    orr_time local = n->w->ops->fresh(n->w);
    struct orri_edges e = { .clock = own_clock(t), .now = local + t->wall.offset };
    for (size_t i = 0; i < t->n; i++) {
        if (measured(&t->asked[i], local, &e.edges[e.n])) e.n++;
    }
    if (t->wall.told && e.n > 0) tell_all(t, &e);
    orr_time jitter = (orr_time)orri_rng_below(&n->rng, TELL_EVERY / 4);
    orri_node_alarm(n, alarm, n->now + TELL_EVERY - TELL_EVERY / 8 + jitter);
}

void orri_mesh_begin(struct orri_time *t) {
    t->mesh = (struct orri_mesh){ .alarm.fire = tell, .time = t };
    if (has_mesh(t) && t->n >= 3) orri_node_alarm(t->node, &t->mesh.alarm, orr_node_now(t->node) + TELL_FIRST);
}

void orri_mesh_stop(struct orri_time *t) { orri_heap_unset(&t->node->heap, &t->mesh.alarm.timer); }

/* -- Hearing ------------------------------------------------------------------------------------------------------- */
/* t->n: it is none. */
static size_t number_of(const struct orri_time *t, orr_id id) {
    size_t i = 0;
    while (i < t->n && t->asked[i].id != id) i++;
    return i;
}

static bool of_members(const struct orri_time *t, const struct orri_edges *e, orr_id from) {
    for (size_t i = 0; i < e->n; i++) {
        if (e->edges[i].to == from || number_of(t, e->edges[i].to) == t->n) return false;
    }
    return true;
}

static bool heard(struct orri_time *t, struct orri_timekeeper *from, const struct orr_datagram *d) {
    struct orr_time_gossip *count = &t->mesh.count;
    struct orri_edges e;
    struct orr_clock_peer info;
    orr_time local = d->received;
    if (!orri_edges_read(d->data, t->node->identity.cluster, &e) || !of_members(t, &e, from->id)) {
        count->wrong++;
        return false;
    }
    if (!from->known || orr_clock_peer_info(t->clock, local, from->number, &info) < 0 || info.role == ORR_CLOCK_NEW) {
        count->strange++;
        return false;
    }
    const struct orri_teller_clock known = { from->clock, local + info.offset, info.latest };
    enum orri_hearing hearing = orri_teller_hear(&t->mesh.tellers[from->number], &e, &known, local);
    if (hearing == ORRI_HEARD) count->heard++;
    else if (hearing == ORRI_HEARD_LATE) count->late++;
    else count->wrong++;
    return hearing == ORRI_HEARD;
}

void orri_mesh_hear(struct orri_time *t, struct orri_timekeeper *from, const struct orr_datagram *d) {
    if (!t || !has_mesh(t)) return;
    if (!from || from->number >= t->n) t->mesh.count.strange++;
    else if (heard(t, from, d)) orri_time_review(t);
}

/* -- All together -------------------------------------------------------------------------------------------------- */
struct pair {                       /* a link as its ends told it */
    bool known;
    double weight;
    struct orr_mesh_edge edge;
};
struct links {
    uint64_t clocks[ORR_TIME_MEMBERS_MAX];          /* of which clock of each member the graph is; 0: of none */
    struct pair pairs[ORR_TIME_MEMBERS_MAX][ORR_TIME_MEMBERS_MAX];
};

/* Of a member that we don't hear: the one that was measured last, if it doesn't say itself that it begins anew. */
static uint64_t clock_by_others(const struct orri_time *t, size_t of, orr_time local) {
    uint64_t clock = 0;
    uint32_t least = UINT32_MAX;
    struct orri_edge e;
    orr_time sd;
    for (size_t i = 0; i < t->n && !t->asked[of].unsteady; i++) {
        for (size_t k = 0; k < ORRI_EDGES_MAX; k++) {
            if (!orri_teller_edge(&t->mesh.tellers[i], k, local, &e, &sd)) continue;
            if (e.to != t->asked[of].id || e.age_us >= least) continue;
            least = e.age_us;
            clock = e.clock;
        }
    }
    return clock;
}

static void choose_clocks(const struct orri_time *t, orr_time local, struct links *out) {
    struct orri_edge e;
    for (size_t i = 0; i < t->n; i++) {
        if (&t->asked[i] == t->me) out->clocks[i] = own_clock(t);
        else if (measured(&t->asked[i], local, &e)) out->clocks[i] = e.clock;
        else out->clocks[i] = clock_by_others(t, i, local);
    }
}

/* The errors of both ends' measurements are alike: together they are no more exact than the better one. */
static void add(struct links *l, size_t from, size_t to, const struct orri_edge *e, orr_time sd, orr_time local) {
    if (to == from || e->clock != l->clocks[to]) return;
    struct pair *p = from < to ? &l->pairs[from][to] : &l->pairs[to][from];
    orr_time offset = from < to ? e->offset : -e->offset, at = local - (orr_time)e->age_us * 1000;
    double weight = 1 / ((double)sd * (double)sd);
    struct orr_mesh_edge *into = &p->edge;
    if (!p->known) {
        *p = (struct pair){ .known = true, .weight = weight,
                            .edge = { .a = (unsigned)(from < to ? from : to), .b = (unsigned)(from < to ? to : from),
                                      .offset = offset, .sd = sd, .at = at } };
        return;
    }
    into->offset += (orr_time)((double)(offset - into->offset) * (weight / (weight + p->weight)));
    if (sd < into->sd) into->sd = sd;
    if (at > into->at) into->at = at;
}

static void add_own(const struct orri_time *t, orr_time local, struct links *l) {
    struct orri_edge e;
    for (size_t i = 0; i < t->n; i++) {
        if (measured(&t->asked[i], local, &e)) add(l, t->me->number, i, &e, e.sd_ns, local);
    }
}

static void add_told(const struct orri_time *t, orr_time local, struct links *l) {
    struct orri_edge e;
    orr_time sd;
    for (size_t i = 0; i < t->n; i++) {
        const struct orri_teller *teller = &t->mesh.tellers[i];
        if (teller->last.clock == 0 || teller->last.clock != l->clocks[i]) continue;
        for (size_t k = 0; k < teller->last.n; k++) {
            if (orri_teller_edge(teller, k, local, &e, &sd)) add(l, i, number_of(t, e.to), &e, sd, local);
        }
    }
}

static void solve(const struct orri_time *t, orr_time local, struct orri_solution *out) {
    struct links l = { .clocks = { 0 } };
    struct orr_mesh mesh = { .nodes = (unsigned)t->n, .anchor = t->me->number, .now = local,
                             .age_max = 2 * ORRI_EDGE_KEPT };
    choose_clocks(t, local, &l);
    add_own(t, local, &l);
    add_told(t, local, &l);
    out->at = local;
    out->n = 0;
    for (size_t i = 0; i < t->n; i++) {
        for (size_t j = i + 1; j < t->n; j++) {
            if (l.pairs[i][j].known) out->edges[out->n++] = l.pairs[i][j].edge;
        }
    }
    if (orr_mesh_solve(&mesh, out->edges, out->n, out->links, out->nodes) == 0) return;
    out->n = 0;
    memset(out->nodes, 0, sizeof out->nodes);
}

/* -- What it is good for ------------------------------------------------------------------------------------------- */
/* Between this node and another member. NULL: none. */
static const struct orr_mesh_link *own_link(const struct orri_time *t, const struct orri_solution *s, size_t to) {
    size_t me = t->me->number;
    for (size_t i = 0; i < s->n; i++) {
        const struct orr_mesh_edge *e = &s->edges[i];
        if ((e->a == me && e->b == to) || (e->b == me && e->a == to)) return &s->links[i];
    }
    return NULL;
}

static void learn_corrections(struct orri_time *t) {
    struct orri_mesh *m = &t->mesh;
    struct orri_edge own;
    for (size_t i = 0; i < t->n; i++) {
        const struct orr_mesh_link *link = own_link(t, &m->now, i);
        m->better[i] = link && link->checked && m->now.nodes[i].known && measured(&t->asked[i], m->now.at, &own);
        if (m->better[i]) m->correction[i] = m->now.nodes[i].offset - own.offset;
    }
}

orr_time orri_mesh_correct(const struct orri_timekeeper *m, orr_time local, const struct orri_span *clock,
                           orr_time likely) {
    const struct orri_mesh *mesh = &m->time->mesh;
    if (m->server || !mesh->better[m->number] || local - mesh->now.at >= ORRI_EDGE_KEPT) return likely;
    likely += mesh->correction[m->number];
    return likely < clock->low ? clock->low : likely > clock->high ? clock->high : likely;
}

/* Each end says it of its own links; positive: the way out takes longer. */
static void name_link(struct orri_time *t, size_t to, orr_time residual, bool asymmetric) {
    struct orr_node *n = t->node;
    const char *own = t->me->name, *other = t->asked[to].name;
    double by = (double)(residual < 0 ? -residual : residual) * 2e-9;
    if (!asymmetric)
        orri_node_log(n, ORR_LOG_INFO, "the link between %s and %s is no longer asymmetric", own, other);
    else
        orri_node_log(n, ORR_LOG_WARN, "the link between %s and %s is asymmetric, as all other links have it: "
                      "%s -> %s takes %.6f s longer than the way back", own, other, residual < 0 ? other : own,
                      residual < 0 ? own : other, by);
}

static void review_link(struct orri_time *t, size_t to) {
    struct orri_mesh *m = &t->mesh;
    const struct orr_mesh_link *link = own_link(t, &m->now, to);
    bool asymmetric = link && link->verdict == ORR_MESH_CUT;
    if (!link || !link->checked || asymmetric == m->named[to]) {
        m->changed[to] = 0;
        return;
    }
    if (m->changed[to] == 0) m->changed[to] = m->now.at;
    if (m->now.at - m->changed[to] < SURE_AFTER) return;
    m->named[to] = asymmetric;
    m->changed[to] = 0;
    name_link(t, to, to > t->me->number ? link->residual : -link->residual, asymmetric);
}

void orri_mesh_review(struct orri_time *t, orr_time local) {
    if (!has_mesh(t) || t->n < 3) return;
    solve(t, local, &t->mesh.now);
    learn_corrections(t);
    for (size_t i = 0; i < t->n; i++) review_link(t, i);
}

int orr_node_time_graph(const struct orr_node *n, struct orr_time_graph *out) {
    const struct orri_time *t = n->time;
    struct orri_solution s;
    *out = (struct orr_time_graph){ 0 };
    if (!orr_node_time_asks(n) || !has_mesh(t)) return ORR_EUNAVAILABLE;
    solve(t, n->w->ops->fresh(n->w), &s);
    out->gossip = t->mesh.count;
    out->n_clocks = t->n;
    out->own = t->me->number;
    for (size_t i = 0; i < t->n; i++) {
        const struct orr_mesh_node *node = &s.nodes[i];
        out->clocks[i] = (struct orr_time_clock){ t->asked[i].name, node->known, node->offset, node->sd };
    }
    out->n_links = s.n;
    for (size_t i = 0; i < s.n; i++) {
        const struct orr_mesh_edge *e = &s.edges[i];
        const struct orr_mesh_link *l = &s.links[i];
        out->links[i] = (struct orr_time_link){ t->asked[e->a].name, t->asked[e->b].name, e->offset, l->sd, l->residual,
                                                s.at - e->at, l->verdict, l->checked };
    }
    return 0;
}
