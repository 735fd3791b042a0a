/* ring.c - making a ring, and looking up a key's owner.
 *
 * A point's place is XXH3-64 of its node's id, seeded by the point's number, so places are spread evenly: sorting them
 * into buckets by their upper bits leaves next to nothing to be sorted within, and looking one up is a look at the
 * bucket's beginning and a step or two. Points of other programs' hashes (ring_hash.c) are made once and kept
 * meanwhile.
 *
 * A point in common is the lower id's. */
#define XXH_INLINE_ALL              /* a look-up takes no longer than calling it would */
#include <xxhash.h>

#include <errno.h>
#include <string.h>

#include "placement/ring_inner.h"

enum { VNODES = 160, BUCKETS_A_POINT = 2 };

void orr_ring_config_init(struct orr_ring_config *cfg) {
    *cfg = (struct orr_ring_config){ .vnodes = VNODES, .alloc = orr_alloc_libc };
}

void orr_ring_free(struct orr_ring *r) {
    if (!r) return;
    struct orr_alloc alloc = r->m.alloc;
    orri_roster_free(&r->m);
    orri_give_back(&alloc, r->places, r->room + (size_t)1, sizeof *r->places);
    orri_give_back(&alloc, r->owners, r->room + (size_t)1, sizeof *r->owners);
    orri_give_back(&alloc, r->first, r->n_buckets + (size_t)1, sizeof *r->first);
    orri_give_back(&alloc, r->shares, r->m.n, sizeof *r->shares);
    alloc.fn(alloc.ud, r, sizeof *r, 0);
}

/* -- Points -------------------------------------------------------------------------------------------------------- */
static uint32_t points_of(const struct orr_ring *r, uint32_t node, uint32_t vnodes, double all_weights) {
    if (orri_ring_is_foreign(r->hash)) return orri_ring_foreign_points(r, node, all_weights);
    double points = r->m.nodes[node].weight * vnodes + 0.5;
    return points < 1 ? 1 : (uint32_t)points;
}

static int make_room(struct orr_ring *r) {
    unsigned bits = 1;
    while (bits < 31 && (UINT32_C(1) << bits) < r->n_points * (uint64_t)BUCKETS_A_POINT) bits++;
    r->shift = 64 - bits;
    r->n_buckets = UINT32_C(1) << bits;
    r->room = r->n_points;
    r->places = orri_get(&r->m.alloc, r->room + (size_t)1, sizeof *r->places);
    r->owners = orri_get(&r->m.alloc, r->room + (size_t)1, sizeof *r->owners);
    r->first = orri_get(&r->m.alloc, r->n_buckets + (size_t)1, sizeof *r->first);
    r->shares = orri_get(&r->m.alloc, r->m.n, sizeof *r->shares);
    if (!r->places || !r->owners || !r->first || !r->shares) return -ENOMEM;
    memset(r->first, 0, (r->n_buckets + (size_t)1) * sizeof *r->first);
    memset(r->shares, 0, r->m.n * sizeof *r->shares);
    return 0;
}

/* Points by node. XXH3's are told twice, once to be counted: that is quicker than to keep them. Others are given. */
struct source {
    const uint32_t *counts;         /* of each node */
    uint64_t *given;                /* NULL: XXH3's */
};

static uint64_t point(const struct orri_listed *node, size_t size, uint32_t k) {
    return XXH3_64bits_withSeed(node->id, size, k);
}

static void count(struct orr_ring *r, const struct source *from) {
    const uint64_t *given = from->given;
    for (uint32_t i = 0; i < r->m.n; i++) {
        size_t size = strlen(r->m.nodes[i].id);
        for (uint32_t k = 0; k < from->counts[i]; k++)
            r->first[((given ? *given++ : point(&r->m.nodes[i], size, k)) >> r->shift) + 1]++;
    }
    for (uint32_t b = 0; b < r->n_buckets; b++) r->first[b + 1] += r->first[b];
}

static void scatter(struct orr_ring *r, const struct source *from) {
    const uint64_t *given = from->given;
    for (uint32_t i = 0; i < r->m.n; i++) {
        size_t size = strlen(r->m.nodes[i].id);
        for (uint32_t k = 0; k < from->counts[i]; k++) {
            uint64_t place = given ? *given++ : point(&r->m.nodes[i], size, k);
            uint32_t at = r->first[place >> r->shift]++;
            r->places[at] = place;
            r->owners[at] = i;
        }
    }
    memmove(r->first + 1, r->first, r->n_buckets * sizeof *r->first);      /* each is where the next one begins now */
    r->first[0] = 0;
}

static void sort_bucket(struct orr_ring *r, uint32_t from, uint32_t to) {
    for (uint32_t i = from + 1; i < to; i++) {
        uint64_t place = r->places[i];
        uint32_t owner = r->owners[i], at = i;
        for (; at > from; at--) {
            uint64_t before = r->places[at - 1];
            if (before < place || (before == place && r->owners[at - 1] < owner)) break;
            r->places[at] = before;
            r->owners[at] = r->owners[at - 1];
        }
        r->places[at] = place;
        r->owners[at] = owner;
    }
}

/* As nginx does: who is behind another one at the same place isn't there, not even for those who walk on. */
static void drop_equals(struct orr_ring *r) {
    uint32_t kept = 0, bucket = 0;
    for (uint32_t i = 0; i < r->n_points; i++) {
        if (kept > 0 && r->places[i] == r->places[kept - 1]) continue;
        for (; bucket <= r->places[i] >> r->shift; bucket++) r->first[bucket] = kept;
        r->places[kept] = r->places[i];
        r->owners[kept++] = r->owners[i];
    }
    for (; bucket <= r->n_buckets; bucket++) r->first[bucket] = kept;
    r->n_points = kept;
}

/* A point's share is what lies behind the one before, up to itself. */
static void measure(struct orr_ring *r) {
    uint64_t before = r->places[r->n_points - 1];
    for (uint32_t i = 0; i < r->n_points; i++) {
        r->shares[r->owners[i]] += r->places[i] - before;
        before = r->places[i];
    }
}

/* shares serve as marks until they are measured. */
static void count_placed(struct orr_ring *r) {
    for (uint32_t i = 0; i < r->n_points; i++) {
        r->placed += r->shares[r->owners[i]] == 0;
        r->shares[r->owners[i]] = 1;
    }
    memset(r->shares, 0, r->m.n * sizeof *r->shares);
}

static void place(struct orr_ring *r, const struct source *from) {
    count(r, from);
    scatter(r, from);
    for (uint32_t b = 0; b < r->n_buckets; b++) sort_bucket(r, r->first[b], r->first[b + 1]);
    if (from->given) drop_equals(r);
    r->places[r->n_points] = UINT64_MAX;
    r->owners[r->n_points] = r->owners[0];
    count_placed(r);
    measure(r);
}

static int place_foreign(struct orr_ring *r, struct source *from) {
    uint64_t *at = from->given = orri_get(&r->m.alloc, r->n_points, sizeof *from->given);
    if (!from->given) return -ENOMEM;
    for (uint32_t i = 0; i < r->m.n; i++) {
        orri_ring_foreign_places(r, i, from->counts[i], at);
        at += from->counts[i];
    }
    uint32_t points = r->n_points;
    place(r, from);
    orri_give_back(&r->m.alloc, from->given, points, sizeof *from->given);
    return 0;
}

static int place_counted(struct orr_ring *r, uint32_t vnodes, uint32_t *counts) {
    struct source from = { counts, NULL };
    double weights = orri_roster_weights(&r->m);
    uint64_t points = 0;
    for (uint32_t i = 0; i < r->m.n; i++) points += counts[i] = points_of(r, i, vnodes, weights);
    if (points > ORR_RING_POINTS_MAX) return ORR_EINVALID;
    r->n_points = (uint32_t)points;
    int rc = make_room(r);
    if (rc == 0 && orri_ring_is_foreign(r->hash)) rc = place_foreign(r, &from);
    else if (rc == 0) place(r, &from);
    return rc;
}

static int take_points(struct orr_ring *r, uint32_t vnodes) {
    uint32_t *counts = orri_get(&r->m.alloc, r->m.n, sizeof *counts);
    if (!counts) return -ENOMEM;
    int rc = place_counted(r, vnodes, counts);
    orri_give_back(&r->m.alloc, counts, r->m.n, sizeof *counts);
    return rc;
}

/* ------------------------------------------------------------------------------------------------------------------ */
static int take_members(struct orr_ring *r, const struct orr_ring_node *nodes, size_t n, size_t *wrong) {
    uint32_t alias = ORR_RING_NOBODY;
    bool foreign = orri_ring_is_foreign(r->hash);
    int rc = orri_roster_take(&r->m, nodes, n, orri_ring_weight_max(r->hash), foreign, wrong);
    if (rc == 0 && foreign) rc = orri_ring_aliases(r, &alias);
    if (rc < 0 || alias == ORR_RING_NOBODY) return rc;
    *wrong = orri_roster_given(nodes, n, r->m.nodes[alias].id);
    return ORR_EINVALID;
}

int orr_ring_new(struct orr_ring **out, const struct orr_ring_config *cfg, const struct orr_ring_node *nodes, size_t n,
                 size_t *wrong) {
    size_t nowhere;
    if (!wrong) wrong = &nowhere;
    *wrong = SIZE_MAX;
    if (cfg->vnodes == 0 || cfg->vnodes > ORR_RING_POINTS_MAX || cfg->hash > ORR_RING_NGINX) return ORR_EINVALID;
    if (orri_ring_is_foreign(cfg->hash) && cfg->vnodes != VNODES) return ORR_EINVALID;
    struct orr_ring *r = cfg->alloc.fn(cfg->alloc.ud, NULL, 0, sizeof *r);
    if (!r) return -ENOMEM;
    *r = (struct orr_ring){ .m.alloc = cfg->alloc, .hash = cfg->hash };
    int rc = take_members(r, nodes, n, wrong);
    if (rc == 0) rc = take_points(r, cfg->vnodes);
    if (rc == 0) *out = r;
    else orr_ring_free(r);
    return rc;
}

/* -- What is asked ------------------------------------------------------------------------------------------------- */
uint32_t orr_ring_size(const struct orr_ring *r) { return r->m.n; }
uint32_t orr_ring_points(const struct orr_ring *r) { return r->n_points; }
const char *orr_ring_id(const struct orr_ring *r, uint32_t node) { return r->m.nodes[node].id; }
const char *orr_ring_zone(const struct orr_ring *r, uint32_t node) { return r->m.nodes[node].zone; }
double orr_ring_weight(const struct orr_ring *r, uint32_t node) { return r->m.nodes[node].weight; }
uint32_t orr_ring_find(const struct orr_ring *r, const char *id) { return orri_roster_find(&r->m, id); }

double orr_ring_share(const struct orr_ring *r, uint32_t node) {
    return r->placed == 1 && r->owners[0] == node ? 1 : (double)r->shares[node] * 0x1p-64;
}

uint64_t orr_ring_place(const void *key, size_t size) { return XXH3_64bits(key, size); }

uint64_t orr_ring_place_in(const struct orr_ring *r, const void *key, size_t size) {
    return orri_ring_is_foreign(r->hash) ? orri_ring_foreign_place(r->hash, key, size) : XXH3_64bits(key, size);
}

uint32_t orr_ring_owner_at(const struct orr_ring *r, uint64_t place) { return r->owners[orri_ring_point(r, place)]; }

uint32_t orr_ring_owner(const struct orr_ring *r, const void *key, size_t size) {
    return r->owners[orri_ring_point(r, orr_ring_place_in(r, key, size))];
}
