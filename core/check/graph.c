/* graph.c - strongly connected components (Tarjan, without recursion), and the shortest way back to oneself.
 *
 * Helper nodes stand for "all of these": an edge into one and those out of it are one dependency, so edges out of
 * helpers cost nothing, and a way through them is told as one step. */
#include "check/graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS_MAX = 400 };            /* searches for a shortest way in one component */
#define NOWHERE UINT32_MAX

int orri_edge_add(struct orri_graph *g, struct orri_edge edge) {
    if (edge.from == edge.to) return 0;
    if (orri_array_grow(g->alloc, (void **)&g->edges, g->n_edges, &g->cap, sizeof edge) < 0) return -ENOMEM;
    g->edges[g->n_edges++] = edge;
    return 0;
}
void orri_graph_clear(struct orri_graph *g) {
    if (g->edges) g->alloc->fn(g->alloc->ud, g->edges, g->cap * sizeof *g->edges, 0);
    *g = (struct orri_graph){ .alloc = g->alloc };
}

struct finding {
    struct orri_graph *g;
    size_t *first;                  /* by node: its edges are first[node] .. first[node + 1] */
    unsigned kinds;                 /* those that count: a bit for each */
    uint32_t *component, *low, *at, *stack, *path;
    size_t *next;                   /* by node: the edge to look at next */
    uint32_t n_components;
    uint32_t *size;                 /* by component */
    uint32_t *distance, *queue;     /* of a search; the queue has room on both sides */
    size_t *came;                   /* by node: the edge of the shortest way to it */
};

static bool counts(const struct finding *f, const struct orri_edge *e) {
    return e->kind == ORRI_PASS || (f->kinds >> e->kind & 1);
}

static int by_from(const void *a, const void *b) {
    const struct orri_edge *x = a, *y = b;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    if (x->to != y->to) return x->to < y->to ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->written != y->written) return x->written < y->written ? -1 : 1;
    return x->seen < y->seen ? -1 : x->seen > y->seen;
}

static int prepare(struct finding *f, struct orri_arena *arena) {
    struct orri_graph *g = f->g;
    size_t n = g->n + 1u;
    f->first = orri_take_zeroed(arena, n + 1, sizeof *f->first);
    f->next = orri_take(arena, n, sizeof *f->next);
    f->came = orri_take(arena, n, sizeof *f->came);
    f->component = orri_take(arena, n, sizeof *f->component);
    f->low = orri_take(arena, n, sizeof *f->low);
    f->at = orri_take(arena, n, sizeof *f->at);
    f->stack = orri_take(arena, n, sizeof *f->stack);
    f->path = orri_take(arena, n, sizeof *f->path);
    f->size = orri_take(arena, n, sizeof *f->size);
    f->distance = orri_take(arena, n, sizeof *f->distance);
    f->queue = orri_take(arena, 2 * (g->n_edges + n), sizeof *f->queue);
    if (!f->first || !f->next || !f->came || !f->component || !f->low || !f->at || !f->stack || !f->path || !f->size
        || !f->distance || !f->queue)
        return -ENOMEM;
    if (g->n_edges > 1) qsort(g->edges, g->n_edges, sizeof *g->edges, by_from);
    for (size_t i = 0; i < g->n_edges; i++) f->first[g->edges[i].from + 1]++;
    for (uint32_t i = 0; i < g->n; i++) f->first[i + 1] += f->first[i];
    return 0;
}

/* -- Components ---------------------------------------------------------------------------------------------------- */
static void close_component(struct finding *f, uint32_t root, uint32_t *height) {
    uint32_t node;
    f->size[f->n_components] = 0;
    do {
        node = f->stack[--*height];
        f->component[node] = f->n_components;
        f->size[f->n_components]++;
    } while (node != root);
    f->n_components++;
}

static void components_from(struct finding *f, uint32_t root, uint32_t *index, uint32_t *height) {
    uint32_t depth = 0;
    f->path[depth++] = root;
    f->at[root] = f->low[root] = (*index)++;
    f->next[root] = f->first[root];
    f->stack[(*height)++] = root;
    while (depth > 0) {
        uint32_t node = f->path[depth - 1];
        if (f->next[node] < f->first[node + 1]) {
            const struct orri_edge *e = &f->g->edges[f->next[node]++];
            if (!counts(f, e)) continue;
            if (f->at[e->to] == NOWHERE) {
                f->at[e->to] = f->low[e->to] = (*index)++;
                f->next[e->to] = f->first[e->to];
                f->stack[(*height)++] = e->to;
                f->path[depth++] = e->to;
            } else if (f->component[e->to] == NOWHERE && f->at[e->to] < f->low[node]) {
                f->low[node] = f->at[e->to];
            }
            continue;
        }
        depth--;
        if (f->low[node] == f->at[node]) close_component(f, node, height);
        if (depth > 0 && f->low[node] < f->low[f->path[depth - 1]]) f->low[f->path[depth - 1]] = f->low[node];
    }
}

static void find_components(struct finding *f) {
    uint32_t index = 0, height = 0;
    f->n_components = 0;
    for (uint32_t i = 0; i < f->g->n; i++) f->at[i] = f->component[i] = NOWHERE;
    for (uint32_t i = 0; i < f->g->n; i++)
        if (f->at[i] == NOWHERE) components_from(f, i, &index, &height);
}

/* -- Shortest ways ------------------------------------------------------------------------------------------------- */
/* From one node to all of its component, by edges that count: edges out of helpers are free. */
static void spread(struct finding *f, uint32_t from) {
    size_t middle = f->g->n_edges + f->g->n, begin = middle, end = middle;
    for (uint32_t i = 0; i < f->g->n; i++) f->distance[i] = NOWHERE;
    f->distance[from] = 0;
    f->queue[end++] = from;
    while (begin < end) {
        uint32_t node = f->queue[begin++];
        for (size_t i = f->first[node]; i < f->first[node + 1]; i++) {
            const struct orri_edge *e = &f->g->edges[i];
            uint32_t distance = f->distance[node] + (e->kind != ORRI_PASS);
            if (!counts(f, e) || f->component[e->to] != f->component[from]) continue;
            if (f->distance[e->to] <= distance) continue;
            f->distance[e->to] = distance;
            f->came[e->to] = i;
            if (e->kind == ORRI_PASS) f->queue[--begin] = e->to;
            else f->queue[end++] = e->to;
        }
    }
}

/* `first`, and the way that `spread` found from its end to its beginning. Helpers are left out; rt after rt is one. */
static int take_cycle(struct finding *f, struct orri_arena *arena, const struct orri_edge *first,
                      struct orri_cycle *out) {
    uint32_t n = 1, from = first->to;
    for (uint32_t node = first->from; node != from; node = f->g->edges[f->came[node]].from) n++;
    struct orri_edge *edges = orri_take(arena, n, sizeof *edges);
    if (!edges) return -ENOMEM;
    edges[0] = *first;
    uint32_t at = n;
    for (uint32_t node = first->from; node != from; node = f->g->edges[f->came[node]].from)
        edges[--at] = f->g->edges[f->came[node]];
    out->n = 1;
    out->edges = edges;
    for (uint32_t i = 1; i < n; i++) {
        struct orri_edge *before = &edges[out->n - 1];
        if (edges[i].kind == ORRI_PASS) before->to = edges[i].to, before->written = edges[i].written;
        else if (edges[i].kind == ORRI_RT && before->kind == ORRI_RT) before->to = edges[i].to;
        else edges[out->n++] = edges[i];
    }
    return 0;
}

/* 1: found the shortest cycle that begins with an edge of `through`, and goes on by edges that count. */
static int shortest(struct finding *f, struct orri_arena *arena, unsigned through, struct orri_cycle *out) {
    uint32_t ways = 0, best = NOWHERE;
    for (size_t i = 0; i < f->g->n_edges && ways < WAYS_MAX && best > 2; i++) {
        const struct orri_edge *e = &f->g->edges[i];
        if (e->kind == ORRI_PASS || !(through >> e->kind & 1) || f->component[e->from] != f->component[e->to]) continue;
        ways++;
        spread(f, e->to);
        if (f->distance[e->from] == NOWHERE || f->distance[e->from] + 1 >= best) continue;
        best = f->distance[e->from] + 1;
        int rc = take_cycle(f, arena, e, out);
        if (rc < 0) return rc;
    }
    return best != NOWHERE;
}

#define BIT(kind) (1u << (kind))
int orri_cycle_find(struct orri_graph *g, struct orri_arena *arena, struct orri_cycle *out) {
    static const struct {
        const char *name, *name_rt;
        unsigned kinds, through;    /* all that may be in it; what it has once (0: nothing in particular) */
    } sorts[] = {
        { "G0", "G0-realtime", BIT(ORRI_WW), 0 },
        { "G1c", "G1c-realtime", BIT(ORRI_WW) | BIT(ORRI_WR), 0 },
        { "G-single", "G-single-realtime", BIT(ORRI_WW) | BIT(ORRI_WR), BIT(ORRI_RW) },
        { "G2", "G2-realtime", BIT(ORRI_WW) | BIT(ORRI_WR) | BIT(ORRI_RW), 0 },
    };
    struct finding f = { .g = g };
    *out = (struct orri_cycle){ 0 };
    if (prepare(&f, arena) < 0) return -ENOMEM;
    for (size_t i = 0; i < 2 * sizeof sorts / sizeof sorts[0]; i++) {
        unsigned rt = i % 2 ? BIT(ORRI_RT) : 0, through = sorts[i / 2].through;
        f.kinds = sorts[i / 2].kinds | through | rt;
        find_components(&f);
        if (f.n_components == g->n) continue;
        f.kinds = sorts[i / 2].kinds | rt;
        int rc = shortest(&f, arena, through ? through : f.kinds & ~BIT(ORRI_RT), out);
        if (rc < 0) return rc;
        out->name = rc == 0 ? NULL : rt ? sorts[i / 2].name_rt : sorts[i / 2].name;
        if (rc > 0) return 0;
    }
    return 0;
}
