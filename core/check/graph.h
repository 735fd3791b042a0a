/* graph.h - which transactions must come before which, and the shortest reason why they can't.
 *
 * Adya's dependencies: ww, b wrote what follows a's version; wr, b read a's version; rw, b wrote what follows the
 * version that a read; rt, a was over before b began. A cycle is worse the fewer rw it needs: G0 is of ww alone, G1c
 * has wr too, G-single one rw, G2 more. */
#ifndef ORRI_CHECK_GRAPH_H
#define ORRI_CHECK_GRAPH_H

#include "check/value.h"

enum orri_edge_kind { ORRI_WW, ORRI_WR, ORRI_RW, ORRI_RT, ORRI_PASS };
struct orri_edge {
    uint32_t from, to;
    uint8_t kind;                   /* PASS: from a helper node; what led there says the kind */
    orri_id key, seen, written;     /* why: see append.c */
};
struct orri_graph {
    const struct orr_alloc *alloc;
    struct orri_edge *edges;
    size_t n_edges, cap;
    uint32_t n;                     /* nodes, helpers among them */
};
struct orri_cycle {
    struct orri_edge *edges;        /* each ends where the next begins; the arena's; helpers are left out */
    uint32_t n;
    const char *name;               /* "G-single-realtime"; static. NULL: there is no cycle */
};

int orri_edge_add(struct orri_graph *g, struct orri_edge edge);
void orri_graph_clear(struct orri_graph *g);
/* The worst sort of cycle there is, the shortest of its sort; of a component of more than some hundred nodes, the
 * shortest through some hundred of them. */
int orri_cycle_find(struct orri_graph *g, struct orri_arena *arena, struct orri_cycle *out);

#endif
