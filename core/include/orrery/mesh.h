/* mesh.h - the clocks of a cluster's nodes against each other: what all measured offsets say together.
 *
 * Each node measures some others (orr_mesh_neighbours says which; orr_clock_peer_info gives offset and deviation). An
 * offset alone has the error of its path in it: jitter, and half of what the path is longer one way than the other.
 * Around a loop of links offsets must add up to nothing, and what they add up to instead is error: the offsets that fit
 * all links best have less of it than any one link. And a link that fits none of the others is named.
 *
 *     struct orr_mesh_edge edges[] = { { .a = 0, .b = 1, .offset = 1200, .sd = 300, .at = now }, ... };
 *     struct orr_mesh_link links[N_EDGES];
 *     struct orr_mesh_node nodes[8];
 *     struct orr_mesh mesh = { .nodes = 8, .anchor = 0, .now = now, .drift_ppb = 1000, .age_max = 64 * ORR_SECOND };
 *     orr_mesh_solve(&mesh, edges, N_EDGES, links, nodes);
 *     // nodes[5].offset: node 5's clock minus node 0's; links[2].verdict: whether to believe edges[2]
 *
 * It moves offsets, never intervals: those are promised path by path, and no average of likely values can promise more.
 * Nothing is allocated, kept, or read but what is given; the same input gives the same bits. Any thread.
 *
 * Sources: the network effect of Huygens (NSDI 2018); weighted least squares on a graph; the test of one residual after
 * the other is Baarda's data snooping, from geodesy. */
#ifndef ORR_MESH_H
#define ORR_MESH_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ORR_MESH_NODES_MAX = 64, ORR_MESH_NEIGHBOURS_MAX = 12 };

/* Whom this node measures, of `nodes` in a ring by their numbers: those 1, 3, 9, ... away both ways, about 2 log2 of
 * them, at least 4 if there are so many: any two are a few links apart, and each link is in many loops. It is mutual.
 * How many were written; 0: there are no others, more than ORR_MESH_NODES_MAX, or no such node.                      */
ORR_API unsigned orr_mesh_neighbours(unsigned nodes, unsigned node, unsigned out[ORR_MESH_NEIGHBOURS_MAX]);

struct orr_mesh {
    unsigned nodes;                 /* 1 to ORR_MESH_NODES_MAX */
    unsigned anchor;                /* the node whose clock the others are held against */
    orr_time now;
    uint32_t drift_ppb;             /* how much worse a measurement becomes with its age; up to 1000000 */
    orr_time age_max;               /* older ones aren't used */
};
struct orr_mesh_edge {
    unsigned a, b;                  /* two nodes; there may be more than one edge between them */
    orr_time offset;                /* b's clock minus a's, now; less than 2^62 */
    orr_time sd;                    /* its standard deviation, 1 ns to 2^40 */
    orr_time at;                    /* when it was last measured, by the clock that `now` is of */
};

enum orr_mesh_verdict {
    ORR_MESH_KEPT,
    ORR_MESH_CUT,                   /* more than 6 deviations from what the others say, and left out: asymmetric */
    ORR_MESH_SUSPECT,               /* so far off, but others may be at fault instead: kept, as nobody can say which */
    ORR_MESH_UNUSED                 /* too old, or of nodes that nothing joins to the anchor */
};
struct orr_mesh_link {
    orr_time residual;              /* what was measured minus what the graph says; 0 where that has nothing to say */
    orr_time sd;                    /* of the measurement, its age counted in */
    enum orr_mesh_verdict verdict;
    bool checked;                   /* it is in a loop of links that are used: false: nobody can say what it is worth */
};
struct orr_mesh_node {
    bool known;                     /* joined to the anchor by links that are used */
    orr_time offset, sd;            /* its clock minus the anchor's; what the links' deviations make of it */
};

/* Writes links[0 .. n) and nodes[0 .. mesh->nodes), both the caller's. 0; ORR_EINVALID: something is out of range, and
 * nothing was written. Takes about N^3 / 2 + n N steps, and N^2 for each link that is cut. */
ORR_API int orr_mesh_solve(const struct orr_mesh *mesh, const struct orr_mesh_edge *edges, size_t n,
                           struct orr_mesh_link *links, struct orr_mesh_node *nodes);

#ifdef __cplusplus
}
#endif
#endif
