/* placement.h - whose is a key? Ring, jump, rendezvous, Maglev and multi-probe hashing behind one face.
 *
 *     struct orr_ring_node nodes[] = { { .id = "a" }, { .id = "b", .weight = 2, .zone = "eu/1" }, { .id = "c" } };
 *     struct orr_placement_config cfg;
 *     orr_placement_config_init(&cfg);
 *     cfg.policy = ORR_PLACEMENT_RENDEZVOUS;
 *     orr_placement_new(&p, &cfg, nodes, 3, NULL);
 *     const char *owner = orr_placement_id(p, orr_placement_owner(p, key, size));
 *
 * Whom a key belongs to follows from the members alone, on any machine, in whatever order they are given (but for jump
 * hashing, which is about an order); what is equal goes by id. Which to take: `orrery bench placement` measures
 * balance, movement, memory and time of each.
 *
 * Plain data: nothing is read but what is given; a placement never changes (make another one), so any number of threads
 * may look things up. Ids and zones are copied. Nodes are numbered by their ids' order, from 0. */
#ifndef ORR_PLACEMENT_H
#define ORR_PLACEMENT_H

#include <orrery/ring.h>

#ifdef __cplusplus
extern "C" {
#endif

enum orr_placement_policy {
    ORR_PLACEMENT_RING,             /* orrery/ring.h */
    ORR_PLACEMENT_JUMP,             /* orr_jump over the nodes in the order in which they are given, which is to change
                                     * at its end alone; no weights. Exact shares, no memory, the fewest moves */
    ORR_PLACEMENT_RENDEZVOUS,       /* Thaler and Ravishankar (1998): each node draws for each key, the highest has it;
                                     * with weights -weight / ln(draw). The fewest moves, whatever comes or goes; a
                                     * look-up takes as long as there are nodes */
    ORR_PLACEMENT_MAGLEV,           /* Eisenbud and others, NSDI 2016: a table that the nodes fill in turns, the heavier
                                     * more often. Even shares, the quickest look-ups; moves some more than must be */
    ORR_PLACEMENT_MULTIPROBE        /* Appleton and O'Reilly (2015): one point for each node and unit of its weight, a
                                     * whole number, and several places for each key, of which the one that is nearest
                                     * to a point counts */
};
#define ORR_PLACEMENT_SLOTS_MAX (UINT32_C(1) << 20)
#define ORR_PLACEMENT_PROBES_MAX 256

struct orr_placement_config {
    enum orr_placement_policy policy;   /* the ring */
    uint32_t vnodes;                /* of the ring: as in orr_ring_config, and */
    enum orr_ring_hash hash;        /* likewise */
    uint32_t slots;                 /* of Maglev's table: a prime up to ORR_PLACEMENT_SLOTS_MAX, no less than there are
                                     * nodes, better a hundred times as many; 65537. Tables of different sizes have
                                     * nothing in common */
    uint32_t probes;                /* of multi-probe: 1 to ORR_PLACEMENT_PROBES_MAX; 21, with which the fullest node
                                     * has about a twentieth more than the mean */
    struct orr_alloc alloc;         /* libc's */
};
struct orr_placement;

ORR_API void orr_placement_config_init(struct orr_placement_config *cfg);
/* cfg and nodes: copied. ORR_EINVALID: as orr_ring_new; a weight with jump, one that is no whole number with
 * multi-probe; slots that are no prime or too few or many, probes likewise. *wrong (may be NULL) is the place in
 * `nodes` of the one that is wrong, or SIZE_MAX where it is none's. -ENOMEM. */
ORR_API int orr_placement_new(struct orr_placement **out, const struct orr_placement_config *cfg,
                              const struct orr_ring_node *nodes, size_t n, size_t *wrong);
ORR_API void orr_placement_free(struct orr_placement *p);

/* -- Its members --------------------------------------------------------------------------------------------------- */
ORR_API enum orr_placement_policy orr_placement_policy(const struct orr_placement *p);
ORR_API uint32_t orr_placement_size(const struct orr_placement *p);                 /* nodes */
ORR_API const char *orr_placement_id(const struct orr_placement *p, uint32_t node);     /* for the placement's life */
ORR_API const char *orr_placement_zone(const struct orr_placement *p, uint32_t node);
ORR_API double orr_placement_weight(const struct orr_placement *p, uint32_t node);
ORR_API uint32_t orr_placement_find(const struct orr_placement *p, const char *id);     /* ORR_RING_NOBODY */
/* The fraction of all keys that is the node's, 0 to 1, as it must be on the whole. */
ORR_API double orr_placement_share(const struct orr_placement *p, uint32_t node);

/* -- Whose is a key? ----------------------------------------------------------------------------------------------- */
/* A key's place: orr_ring_place, but for a ring with another program's hash. */
ORR_API uint64_t orr_placement_place(const struct orr_placement *p, const void *key, size_t size);
ORR_API uint32_t orr_placement_owner_at(const struct orr_placement *p, uint64_t place);
ORR_API uint32_t orr_placement_owner(const struct orr_placement *p, const void *key, size_t size);

/* The owner first, then the others, each of them once: where to try next. With ring, rendezvous and multi-probe the
 * next one is who would own the key if those before were gone; with Maglev the next in the table; with jump another
 * draw among those that are left. A node whose weight is next to nothing may have no point of a ketama ring and no slot
 * of a table: it owns nothing and doesn't come. room: the caller's, orr_placement_room(p) words, of which nothing is
 * expected. */
struct orr_placement_walk {
    const struct orr_placement *placement;      /* borrowed for the walk */
    uint64_t place;
    uint64_t *room;
    uint32_t at, left;
};
ORR_API size_t orr_placement_room(const struct orr_placement *p);
ORR_API void orr_placement_walk(struct orr_placement_walk *walk, const struct orr_placement *p, uint64_t place,
                                uint64_t *room);
ORR_API uint32_t orr_placement_next(struct orr_placement_walk *walk);       /* ORR_RING_NOBODY: that was the last one */

/* The owner and n - 1 more, for replicas: distinct nodes, in as many zones as can be, the widest first; within that in
 * the order of the walk. Gives how many there are: fewer than n where there are fewer nodes (that own something).
 * *zones (may be NULL): how many of the widest zones they are in. `owners` has room for n; room: as for a walk. */
ORR_API uint32_t orr_placement_owners_at(const struct orr_placement *p, uint64_t place, uint32_t n, uint32_t *owners,
                                         uint32_t *zones, uint64_t *room);

/* -- What moves? --------------------------------------------------------------------------------------------------- */
/* The fraction of keys whose owner in b is another than in a, by id: exactly for two rings (that are comparable) and
 * two tables of one size, else of 65,536 keys, always the same ones, so to about 0.002. *least (may be NULL): what must
 * move for the shares to become b's. */
ORR_API double orr_placement_moved(const struct orr_placement *a, const struct orr_placement *b, double *least);

#ifdef __cplusplus
}
#endif
#endif
