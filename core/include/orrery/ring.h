/* ring.h - a hash ring: which nodes own a key, so that few keys move when nodes come and go.
 *
 *     struct orr_ring_node nodes[] = { { .id = "a" }, { .id = "b", .weight = 2, .zone = "eu/1" }, { .id = "c" } };
 *     struct orr_ring_config cfg;
 *     orr_ring_config_init(&cfg);
 *     orr_ring_new(&ring, &cfg, nodes, 3, NULL);
 *     const char *owner = orr_ring_id(ring, orr_ring_owner(ring, key, size));
 *
 * Each node has `vnodes` points on a circle of 2^64 places, times its weight; a key belongs to the first point at or
 * behind its own place (Karger and others, STOC 1997). A ring follows from its members alone: in whatever order they
 * are given, on any machine, it is the same to the last bit. Nodes are numbered by their ids' order, from 0.
 *
 * Or it is the ring of another program, whose place it takes without moving a key: of libmemcached, libketama or nginx.
 *
 * Plain data: nothing is read but what is given; a ring never changes (make another one), so any number of threads may
 * look things up. Ids and zones are copied. */
#ifndef ORR_RING_H
#define ORR_RING_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ORR_RING_NODES_MAX = 16384, ORR_RING_ID_MAX = 255, ORR_RING_LEVELS_MAX = 8 };
#define ORR_RING_WEIGHT_MAX 1000.0
#define ORR_RING_POINTS_MAX (UINT32_C(1) << 24)
#define ORR_RING_NOBODY UINT32_MAX

struct orr_ring_node {
    const char *id;                 /* 1 to ORR_RING_ID_MAX bytes */
    double weight;                  /* 0 is 1: so much of the space beside the others; up to ORR_RING_WEIGHT_MAX */
    const char *zone;               /* failure domains from the widest on, "eu/hall 2/rack 7"; NULL or "": one of its
                                     * own for each node */
};
/* Whose points and places of keys. The others' ids are their servers, "host:port" as written there; weights are whole
 * numbers, up to 2^32 - 1 for KETAMA and LIBKETAMA, whose rings have about 160 points a node whatever the weights: one
 * with next to no weight may have none, and owns nothing. vnodes stays what it is.
 *
 * Where two servers have a point in common (one in thirty rings of 100 servers has such a place), it belongs to the
 * lower id; so it does in libmemcached with sorted hosts, else and in nginx to the one that was listed first. */
enum orr_ring_hash {
    ORR_RING_XXH3,                  /* our own: XXH3 of the id, seeded by the point's number */
    ORR_RING_KETAMA,                /* libmemcached 1.1, consistent distribution with weights: KETAMA_WEIGHTED (also
                                     * what PHP calls LIBKETAMA_COMPATIBLE). The usual port, 11211, is the same as
                                     * none; an id that begins with '/' is a Unix socket */
    ORR_RING_KETAMA_UNWEIGHTED,     /* libmemcached, behaviour KETAMA alone and HASH MD5: 100 points; weights
                                     * are 1 */
    ORR_RING_LIBKETAMA,             /* libketama itself: the port always counts */
    ORR_RING_NGINX                  /* nginx, `hash KEY consistent`; the server is as the directive has it, "unix:/s"
                                     * included */
};
struct orr_ring_config {
    uint32_t vnodes;                /* of a node with weight 1; 160 */
    enum orr_ring_hash hash;
    struct orr_alloc alloc;         /* libc's */
};
struct orr_ring;

ORR_API void orr_ring_config_init(struct orr_ring_config *cfg);
/* cfg and nodes: copied. ORR_EINVALID: no nodes or too many, an id that is missing, too long or there twice (under
 * two names, for other programs' hashes), a weight that is none, too many points, vnodes with another program's hash;
 * *wrong (may be NULL) is then the node's place in `nodes`, or SIZE_MAX where it is none's. -ENOMEM. Takes about 40 ns
 * a point, and 16 bytes a point to keep. */
ORR_API int orr_ring_new(struct orr_ring **out, const struct orr_ring_config *cfg, const struct orr_ring_node *nodes,
                         size_t n, size_t *wrong);
ORR_API void orr_ring_free(struct orr_ring *ring);

/* -- Its members --------------------------------------------------------------------------------------------------- */
ORR_API uint32_t orr_ring_size(const struct orr_ring *ring);        /* nodes */
ORR_API uint32_t orr_ring_points(const struct orr_ring *ring);
ORR_API const char *orr_ring_id(const struct orr_ring *ring, uint32_t node);        /* for the ring's life */
ORR_API const char *orr_ring_zone(const struct orr_ring *ring, uint32_t node);      /* "" where none was given */
ORR_API double orr_ring_weight(const struct orr_ring *ring, uint32_t node);
ORR_API uint32_t orr_ring_find(const struct orr_ring *ring, const char *id);        /* ORR_RING_NOBODY */
/* The fraction of the space that is the node's, 0 to 1. */
ORR_API double orr_ring_share(const struct orr_ring *ring, uint32_t node);

/* -- Whose is a key? ----------------------------------------------------------------------------------------------- */
/* A key's place by ORR_RING_XXH3: XXH3-64 of it. What has a good hash already may be its own place. */
ORR_API uint64_t orr_ring_place(const void *key, size_t size);
/* And by this ring's hash. Others have 2^32 places, which are the upper half of ours. */
ORR_API uint64_t orr_ring_place_in(const struct orr_ring *ring, const void *key, size_t size);
ORR_API uint32_t orr_ring_owner_at(const struct orr_ring *ring, uint64_t place);
ORR_API uint32_t orr_ring_owner(const struct orr_ring *ring, const void *key, size_t size);

/* The owner and n - 1 more, for replicas: distinct nodes, in as many zones as can be, the widest first; within that in
 * the order of the circle. Gives how many there are: fewer than n where the ring has fewer nodes (that own something).
 * *zones (may be NULL): how many of the widest zones they are in. Where a node goes, owners[1] of its keys owns them
 * next if zones allow it. `owners` has room for n. */
ORR_API uint32_t orr_ring_owners_at(const struct orr_ring *ring, uint64_t place, uint32_t n, uint32_t *owners,
                                    uint32_t *zones);

/* The owner first, and then all other nodes, in the order in which they would own the place if those before were gone:
 * where to try next. */
struct orr_ring_walk {
    const struct orr_ring *ring;    /* borrowed for the walk */
    uint64_t *seen;                 /* the caller's: ORR_RING_SEEN(nodes) words, of which nothing is expected */
    uint32_t at, left;
};
#define ORR_RING_SEEN(nodes) (((size_t)(nodes) + 63) / 64)
ORR_API void orr_ring_walk(struct orr_ring_walk *walk, const struct orr_ring *ring, uint64_t place, uint64_t *seen);
ORR_API uint32_t orr_ring_next(struct orr_ring_walk *walk);         /* ORR_RING_NOBODY: that was the last one */

/* With bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018): the first node from the owner on whose load is below
 * its part of (1 + slack) times all load, this one included; parts go by weight. loads: of each node, in any unit that
 * adds up, or NULL. slack > 0; 0.25 costs little, and no node ever has a quarter more than its part. */
ORR_API uint32_t orr_ring_bounded_at(const struct orr_ring *ring, uint64_t place, const uint64_t *loads, double slack);

/* -- What moves? --------------------------------------------------------------------------------------------------- */
struct orr_ring_move {
    uint64_t from, to;              /* places from <= place <= to change hands: */
    const char *before, *after;     /* whose they were and will be; as orr_ring_id */
};
struct orr_ring_diff {
    const struct orr_ring *a, *b;
    uint32_t i, j;
    bool done;
    uint64_t at;
};
/* Do both give a key the same place? Others can't be held against each other. */
ORR_API bool orr_ring_comparable(const struct orr_ring *a, const struct orr_ring *b);
/* The ranges whose owner in `b` is another one than in `a`, by id, in the order of the circle from place 0 on. */
ORR_API void orr_ring_diff(struct orr_ring_diff *d, const struct orr_ring *a, const struct orr_ring *b);
ORR_API bool orr_ring_diff_next(struct orr_ring_diff *d, struct orr_ring_move *out);
/* The fraction of the space that moves from a to b; *least (may be NULL): what must, for the shares to become b's. */
ORR_API double orr_ring_moved(const struct orr_ring *a, const struct orr_ring *b, double *least);

/* -- Without a ring ------------------------------------------------------------------------------------------------ */
/* Jump consistent hash (Lamping and Veach, 2014): a bucket from 0 to buckets - 1; from n to n + 1 buckets 1 / (n + 1)
 * of all keys move, all to the new one. For buckets that go only at the end. 0 where buckets <= 1. */
ORR_API uint32_t orr_jump(uint64_t place, uint32_t buckets);

#ifdef __cplusplus
}
#endif
#endif
