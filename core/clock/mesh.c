/* mesh.c - the offsets that fit all links best: weighted least squares on the cluster's graph.
 *
 * Minimise sum w (x_b - x_a - o)^2, w = 1/sd^2, the anchor's x being 0. The normal matrix is the graph's Laplacian
 * without the anchor; its inverse (by Cholesky's decomposition) gives the offsets, and also how far off each residual
 * may be: a link's own variance less that of what the graph says between its ends. The link that is farthest off by
 * that measure is left out, if it is beyond CUT deviations; the inverse follows by an update of rank one. Then again.
 *
 * Where a graph has one loop only, its links are all equally suspect: then none is cut. A link without which the graph
 * would fall apart has no residual, and is never cut.
 *
 * Whole nanoseconds are carried along a tree from the anchor first, so that doubles hold small differences only.     */
#include <orrery/mesh.h>

#include <math.h>
#include <string.h>

#include "clock/clock_inner.h"

enum { MOST = ORR_MESH_NODES_MAX, DRIFT_MOST = 1000000 };
#define CUT 6.0
#define APART 1e-6                  /* share of its variance that a residual must have, or it is none */
#define ALIKE 0.999                 /* of the farthest: as far off as makes no difference */
#define WIDEST 1e6                  /* ratio of deviations: more would drown in rounding */
#define SD_LIMIT ((orr_time)1 << 40)

struct graph {
    unsigned n, anchor;
    orr_time base[MOST];            /* offsets along the tree */
    bool known[MOST];
    double inverse[MOST][MOST];     /* 0 at the anchor */
    double x[MOST];                 /* beyond base */
};

unsigned orr_mesh_neighbours(unsigned nodes, unsigned node, unsigned out[ORR_MESH_NEIGHBOURS_MAX]) {
    bool taken[MOST / 2 + 1] = { false };
    unsigned wanted = 2, n = 0, power = 1;
    if (nodes < 2 || nodes > MOST || node >= nodes) return 0;
    while (1u << wanted < nodes) wanted++;
    for (unsigned i = 0; i < wanted && i < nodes / 2; i++) {
        unsigned step = power < nodes - power ? power : nodes - power;
        if (step == 0 || taken[step]) {                     /* the powers of 3 come round: the least that is left */
            for (step = 1; taken[step]; step++) continue;
        }
        taken[step] = true;
        power = power * 3 % nodes;
        out[n++] = (node + step) % nodes;
        if (2 * step != nodes) out[n++] = (node + nodes - step) % nodes;
    }
    return n;
}

/* -- What goes in -------------------------------------------------------------------------------------------------- */
static bool in_range(orr_time t) { return t > -ORRI_TIME_LIMIT && t < ORRI_TIME_LIMIT; }

static bool edge_fits(const struct orr_mesh *m, const struct orr_mesh_edge *e) {
    return e->a < m->nodes && e->b < m->nodes && e->a != e->b && e->sd >= 1 && e->sd <= SD_LIMIT &&
           in_range(e->offset) && in_range(e->at);
}

/* Deviations with the age in them; what is too old is left out. */
static void age(const struct orr_mesh *m, const struct orr_mesh_edge *edges, size_t n, struct orr_mesh_link *links) {
    double widest = 0;
    for (size_t i = 0; i < n; i++) {
        orr_time old = m->now > edges[i].at ? m->now - edges[i].at : 0;
        double drift = (double)old * m->drift_ppb * 1e-9, sd = (double)edges[i].sd;
        sd = ceil(sqrt(sd * sd + drift * drift));
        links[i] = (struct orr_mesh_link){ .sd = (orr_time)orri_smaller(sd, (double)ORRI_TIME_LIMIT) };
        links[i].verdict = old > m->age_max ? ORR_MESH_UNUSED : ORR_MESH_KEPT;
        if (links[i].verdict == ORR_MESH_KEPT) widest = orri_larger(widest, sd);
    }
    for (size_t i = 0; i < n; i++) {
        if ((double)links[i].sd < widest / WIDEST) links[i].sd = (orr_time)ceil(widest / WIDEST);
    }
}

static void grow_tree(struct graph *g, const struct orr_mesh_edge *edges, size_t n, struct orr_mesh_link *links) {
    g->known[g->anchor] = true;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < n; i++) {
            const struct orr_mesh_edge *e = &edges[i];
            if (links[i].verdict == ORR_MESH_UNUSED || g->known[e->a] == g->known[e->b]) continue;
            if (g->known[e->a]) g->base[e->b] = orri_add(g->base[e->a], e->offset);
            else g->base[e->a] = orri_subtract(g->base[e->b], e->offset);
            g->known[e->a] = g->known[e->b] = more = true;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!g->known[edges[i].a]) links[i].verdict = ORR_MESH_UNUSED;
    }
}

/* -- Least squares ------------------------------------------------------------------------------------------------- */
static double weight(const struct orr_mesh_link *l) { return 1 / orri_square((double)l->sd); }

/* What was measured, less what the tree says. */
static double beyond(const struct graph *g, const struct orr_mesh_edge *e) {
    return (double)orri_subtract(e->offset, orri_subtract(g->base[e->b], g->base[e->a]));
}

/* In place, of a positive definite matrix: L with m = L L', L's inverse, and that one's square. */
static void invert(double m[MOST][MOST], unsigned n) {
    for (unsigned j = 0; j < n; j++) {
        for (unsigned i = j; i < n; i++) {
            for (unsigned k = 0; k < j; k++) m[i][j] -= m[i][k] * m[j][k];
            m[i][j] = i == j ? sqrt(m[j][j]) : m[i][j] / m[j][j];
        }
    }
    for (unsigned j = 0; j < n; j++) {
        m[j][j] = 1 / m[j][j];
        for (unsigned i = j + 1; i < n; i++) {
            double sum = 0;
            for (unsigned k = j; k < i; k++) sum += m[i][k] * m[k][j];
            m[i][j] = -sum / m[i][i];
        }
    }
    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = 0; j <= i; j++) {
            double sum = 0;
            for (unsigned k = i; k < n; k++) sum += m[k][i] * m[k][j];
            m[i][j] = m[j][i] = sum;
        }
    }
}

static void lay_out(struct graph *g, const struct orr_mesh_edge *edges, size_t n, const struct orr_mesh_link *links) {
    for (size_t i = 0; i < n; i++) {
        unsigned a = edges[i].a, b = edges[i].b;
        double w = weight(&links[i]);
        if (links[i].verdict == ORR_MESH_UNUSED) continue;
        g->inverse[a][a] += w;
        g->inverse[b][b] += w;
        g->inverse[a][b] -= w;
        g->inverse[b][a] -= w;
    }
    for (unsigned i = 0; i < g->n; i++) {                   /* the anchor, and who isn't joined to it, stay apart */
        if (g->known[i] && i != g->anchor) continue;
        for (unsigned j = 0; j < g->n; j++) g->inverse[i][j] = g->inverse[j][i] = 0;
        g->inverse[i][i] = 1;
    }
    invert(g->inverse, g->n);
    for (unsigned i = 0; i < g->n; i++) {
        if (!g->known[i] || i == g->anchor) g->inverse[i][i] = 0;
    }
}

static void fit(struct graph *g, const struct orr_mesh_edge *edges, size_t n, const struct orr_mesh_link *links) {
    double pull[MOST] = { 0 };
    for (size_t i = 0; i < n; i++) {
        if (links[i].verdict == ORR_MESH_UNUSED || links[i].verdict == ORR_MESH_CUT) continue;
        double by = weight(&links[i]) * beyond(g, &edges[i]);
        pull[edges[i].b] += by;
        pull[edges[i].a] -= by;
    }
    for (unsigned i = 0; i < g->n; i++) {
        g->x[i] = 0;
        for (unsigned j = 0; j < g->n; j++) g->x[i] += g->inverse[i][j] * pull[j];
    }
}

static double residual(const struct graph *g, const struct orr_mesh_edge *e) {
    return beyond(g, e) - (g->x[e->b] - g->x[e->a]);
}
/* Variance of what the graph says between the link's ends. */
static double between(const struct graph *g, const struct orr_mesh_edge *e) {
    return g->inverse[e->a][e->a] + g->inverse[e->b][e->b] - 2 * g->inverse[e->a][e->b];
}

/* -- Links that do not fit ----------------------------------------------------------------------------------------- */
/* Variance of a link's residual, as a share of its own: nothing where no loop has it. */
static double apart(const struct graph *g, const struct orr_mesh_edge *e, const struct orr_mesh_link *l) {
    return 1 - between(g, e) / orri_square((double)l->sd);
}

/* By how many of its deviations a link that counts is off. */
static double off_by(const struct graph *g, const struct orr_mesh_edge *e, const struct orr_mesh_link *l) {
    double share = apart(g, e, l);
    if (l->verdict != ORR_MESH_KEPT || share < APART) return 0;
    return fabs(residual(g, e)) / ((double)l->sd * sqrt(share));
}

static void leave_out(struct graph *g, const struct orr_mesh_edge *e, struct orr_mesh_link *l) {
    double w = weight(l), across[MOST], share = w / (1 - w * between(g, e));
    for (unsigned i = 0; i < g->n; i++) across[i] = g->inverse[i][e->b] - g->inverse[i][e->a];
    for (unsigned i = 0; i < g->n; i++) {
        for (unsigned j = 0; j < g->n; j++) g->inverse[i][j] += share * across[i] * across[j];
    }
    l->verdict = ORR_MESH_CUT;
}

static bool cut_farthest(struct graph *g, const struct orr_mesh_edge *edges, size_t n, struct orr_mesh_link *links) {
    double most = 0;
    size_t farthest = 0, alike = 0;
    for (size_t i = 0; i < n; i++) {
        double off = off_by(g, &edges[i], &links[i]);
        if (off <= most) continue;
        most = off;
        farthest = i;
    }
    if (most <= CUT) return false;
    for (size_t i = 0; i < n; i++) alike += off_by(g, &edges[i], &links[i]) >= ALIKE * most;
    if (alike == 1) {
        leave_out(g, &edges[farthest], &links[farthest]);
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (off_by(g, &edges[i], &links[i]) >= ALIKE * most) links[i].verdict = ORR_MESH_SUSPECT;
    }
    return false;
}

/* -- What comes out ------------------------------------------------------------------------------------------------ */
static orr_time whole(double ns) {
    return (orr_time)round(orri_within(ns, (double)(ORRI_TIME_LIMIT / 2)));
}

int orr_mesh_solve(const struct orr_mesh *mesh, const struct orr_mesh_edge *edges, size_t n,
                   struct orr_mesh_link *links, struct orr_mesh_node *nodes) {
    struct graph g = { .n = mesh->nodes, .anchor = mesh->anchor };
    if (mesh->nodes < 1 || mesh->nodes > MOST || mesh->anchor >= mesh->nodes || !in_range(mesh->now) ||
        mesh->drift_ppb > DRIFT_MOST || mesh->age_max < 0) return ORR_EINVALID;
    for (size_t i = 0; i < n; i++) {
        if (!edge_fits(mesh, &edges[i])) return ORR_EINVALID;
    }
    age(mesh, edges, n, links);
    grow_tree(&g, edges, n, links);
    lay_out(&g, edges, n, links);
    do fit(&g, edges, n, links);
    while (cut_farthest(&g, edges, n, links));
    for (size_t i = 0; i < n; i++) {
        if (links[i].verdict == ORR_MESH_UNUSED) continue;
        links[i].checked = links[i].verdict == ORR_MESH_CUT || apart(&g, &edges[i], &links[i]) >= APART;
        if (links[i].checked) links[i].residual = whole(residual(&g, &edges[i]));   /* else: rounding */
    }
    for (unsigned i = 0; i < g.n; i++) {
        nodes[i] = (struct orr_mesh_node){ .known = g.known[i] };
        if (!g.known[i]) continue;
        nodes[i].offset = orri_add(g.base[i], whole(g.x[i]));
        nodes[i].sd = whole(ceil(sqrt(orri_larger(g.inverse[i][i], 0))));
    }
    return 0;
}
