/* ring.c - making a ring, and looking up a key's owner.
 *
 * A point's place is XXH3-64 of its node's id, seeded by the point's number, so places are spread evenly: sorting them
 * into buckets by their upper bits leaves next to nothing to be sorted within, and looking one up is a look at the
 * bucket's beginning and a step or two. */
#define XXH_INLINE_ALL              /* a look-up takes no longer than calling it would */
#include <xxhash.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "placement/ring_inner.h"

enum { VNODES = 160, BUCKETS_A_POINT = 2 };

void orr_ring_config_init(struct orr_ring_config *cfg) {
    *cfg = (struct orr_ring_config){ .vnodes = VNODES, .alloc = orr_alloc_libc };
}

/* -- Memory -------------------------------------------------------------------------------------------------------- */
static void *get(const struct orr_ring *r, size_t n, size_t each) {
    return r->alloc.fn(r->alloc.ud, NULL, 0, n * each);
}

static void give_back(const struct orr_ring *r, void *p, size_t n, size_t each) {
    if (p) r->alloc.fn(r->alloc.ud, p, n * each, 0);
}

void orr_ring_free(struct orr_ring *r) {
    if (!r) return;
    give_back(r, r->nodes, r->n, sizeof *r->nodes);
    give_back(r, r->places, r->n_points + (size_t)1, sizeof *r->places);
    give_back(r, r->owners, r->n_points + (size_t)1, sizeof *r->owners);
    give_back(r, r->first, r->n_buckets + (size_t)1, sizeof *r->first);
    give_back(r, r->shares, r->n, sizeof *r->shares);
    give_back(r, r->text, r->text_size, 1);
    struct orr_alloc alloc = r->alloc;
    alloc.fn(alloc.ud, r, sizeof *r, 0);
}

/* -- Members ------------------------------------------------------------------------------------------------------- */
static double weight_of(const struct orr_ring_node *n) {
    return isnan(n->weight) || n->weight > 0 || n->weight < 0 ? n->weight : 1;
}

static bool sound(const struct orr_ring_node *n) {
    size_t size = n->id ? strnlen(n->id, ORR_RING_ID_MAX + 1) : 0;
    double w = weight_of(n);
    return size > 0 && size <= ORR_RING_ID_MAX && w > 0 && w <= ORR_RING_WEIGHT_MAX;        /* no number is neither */
}

static uint32_t points_of(double weight, uint32_t vnodes) {
    double points = weight * vnodes + 0.5;
    return points < 1 ? 1 : (uint32_t)points;
}

static const char *copy(struct orr_ring *r, size_t *used, const char *text) {
    size_t size = strlen(text) + 1;
    char *to = memcpy(r->text + *used, text, size);
    *used += size;
    return to;
}

static int copy_text(struct orr_ring *r, const struct orr_ring_node *nodes) {
    size_t used = 0;
    for (uint32_t i = 0; i < r->n; i++)
        r->text_size += strlen(nodes[i].id) + 1 + (nodes[i].zone ? strlen(nodes[i].zone) : 0) + 1;
    r->text = get(r, r->text_size, 1);
    if (!r->text) return -ENOMEM;
    for (uint32_t i = 0; i < r->n; i++) {
        r->nodes[i].id = copy(r, &used, nodes[i].id);
        r->nodes[i].zone = copy(r, &used, nodes[i].zone ? nodes[i].zone : "");
        r->nodes[i].weight = weight_of(&nodes[i]);
    }
    return 0;
}

/* A heap sort: of any order in, the same time. */
static void sift(struct orri_ring_node *a, size_t at, size_t n) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && strcmp(a[child].id, a[child + 1].id) < 0) child++;
        if (strcmp(a[at].id, a[child].id) >= 0) return;
        struct orri_ring_node other = a[at];
        a[at] = a[child];
        a[child] = other;
    }
}
static void sort_by_id(struct orri_ring_node *a, size_t n) {
    for (size_t i = n / 2; i-- > 0;) sift(a, i, n);
    for (size_t i = n; i-- > 1;) {
        struct orri_ring_node last = a[i];
        a[i] = a[0];
        a[0] = last;
        sift(a, 0, i);
    }
}

/* The place in the caller's array of the id that is there twice: its second one. */
static size_t second_of(const struct orr_ring_node *nodes, size_t n, const char *id) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(nodes[i].id, id) == 0 && ++found == 2) return i;
    }
    return SIZE_MAX;
}

static int take_members(struct orr_ring *r, const struct orr_ring_node *nodes, size_t *wrong) {
    r->nodes = get(r, r->n, sizeof *r->nodes);
    if (!r->nodes) return -ENOMEM;
    memset(r->nodes, 0, r->n * sizeof *r->nodes);
    int rc = copy_text(r, nodes);
    if (rc < 0) return rc;
    sort_by_id(r->nodes, r->n);
    for (uint32_t i = 1; i < r->n; i++) {
        if (strcmp(r->nodes[i - 1].id, r->nodes[i].id) != 0) continue;
        *wrong = second_of(nodes, r->n, r->nodes[i].id);
        return ORR_EINVALID;
    }
    return 0;
}

/* -- Zones --------------------------------------------------------------------------------------------------------- */
/* How long the part of a zone is that names its domain on that level; 0: it has none. */
static size_t prefix(const char *zone, uint32_t level) {
    const char *at = zone;
    for (uint32_t l = 0; *at; l++) {
        size_t size = strcspn(at, "/");
        if (size == 0) return 0;
        if (l == level) return (size_t)(at - zone) + size;
        at += size;
        if (*at) at++;
    }
    return 0;
}

/* The first node, up to i, in i's domain. table: by the domain's hash, a node's number and 1. */
static uint32_t domain_of(const struct orr_ring *r, uint32_t level, uint32_t i, uint32_t *table, uint32_t mask) {
    const char *zone = r->nodes[i].zone;
    size_t size = prefix(zone, level);
    if (size == 0) return i;
    uint32_t at = (uint32_t)XXH3_64bits(zone, size) & mask;
    for (; table[at]; at = (at + 1) & mask) {
        const char *other = r->nodes[table[at] - 1].zone;
        if (prefix(other, level) == size && memcmp(other, zone, size) == 0) return table[at] - 1;
    }
    table[at] = i + 1;
    return i;
}

static int name_domains(struct orr_ring *r) {
    uint32_t cap = 2;
    while (cap < 2 * r->n) cap *= 2;
    uint32_t *table = get(r, cap, sizeof *table);
    if (!table) return -ENOMEM;
    for (uint32_t level = 0; level < ORR_RING_LEVELS_MAX; level++) {
        memset(table, 0, cap * sizeof *table);
        for (uint32_t i = 0; i < r->n; i++) {
            uint32_t domain = domain_of(r, level, i, table, cap - 1);
            r->nodes[i].domains[level] = domain;
            r->domains[level] += domain == i;
            if (prefix(r->nodes[i].zone, level) > 0) r->levels = level + 1;
        }
    }
    give_back(r, table, cap, sizeof *table);
    return 0;
}

/* -- Points -------------------------------------------------------------------------------------------------------- */
static int make_room(struct orr_ring *r) {
    unsigned bits = 1;
    while (bits < 31 && (UINT32_C(1) << bits) < r->n_points * (uint64_t)BUCKETS_A_POINT) bits++;
    r->shift = 64 - bits;
    r->n_buckets = UINT32_C(1) << bits;
    r->places = get(r, r->n_points + (size_t)1, sizeof *r->places);
    r->owners = get(r, r->n_points + (size_t)1, sizeof *r->owners);
    r->first = get(r, r->n_buckets + (size_t)1, sizeof *r->first);
    r->shares = get(r, r->n, sizeof *r->shares);
    if (!r->places || !r->owners || !r->first || !r->shares) return -ENOMEM;
    memset(r->first, 0, (r->n_buckets + (size_t)1) * sizeof *r->first);
    memset(r->shares, 0, r->n * sizeof *r->shares);
    return 0;
}

static uint64_t point(const struct orri_ring_node *node, size_t size, uint32_t k) {
    return XXH3_64bits_withSeed(node->id, size, k);
}

/* Places are told twice, once to be counted: that is quicker than to keep them. */
static void count(struct orr_ring *r, uint32_t vnodes) {
    for (uint32_t i = 0; i < r->n; i++) {
        size_t size = strlen(r->nodes[i].id);
        uint32_t n = points_of(r->nodes[i].weight, vnodes);
        for (uint32_t k = 0; k < n; k++) r->first[(point(&r->nodes[i], size, k) >> r->shift) + 1]++;
    }
    for (uint32_t b = 0; b < r->n_buckets; b++) r->first[b + 1] += r->first[b];
}

static void scatter(struct orr_ring *r, uint32_t vnodes) {
    for (uint32_t i = 0; i < r->n; i++) {
        size_t size = strlen(r->nodes[i].id);
        uint32_t n = points_of(r->nodes[i].weight, vnodes);
        for (uint32_t k = 0; k < n; k++) {
            uint64_t place = point(&r->nodes[i], size, k);
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

/* A point's share is what lies behind the one before, up to itself. */
static void measure(struct orr_ring *r) {
    uint64_t before = r->places[r->n_points - 1];
    for (uint32_t i = 0; i < r->n_points; i++) {
        r->shares[r->owners[i]] += r->places[i] - before;
        before = r->places[i];
    }
}

static int take_points(struct orr_ring *r, uint32_t vnodes) {
    uint64_t points = 0;
    for (uint32_t i = 0; i < r->n; i++) points += points_of(r->nodes[i].weight, vnodes);
    if (points > ORR_RING_POINTS_MAX) return ORR_EINVALID;
    r->n_points = (uint32_t)points;
    int rc = make_room(r);
    if (rc < 0) return rc;
    count(r, vnodes);
    scatter(r, vnodes);
    for (uint32_t b = 0; b < r->n_buckets; b++) sort_bucket(r, r->first[b], r->first[b + 1]);
    r->places[r->n_points] = UINT64_MAX;
    r->owners[r->n_points] = r->owners[0];
    measure(r);
    return 0;
}

int orr_ring_new(struct orr_ring **out, const struct orr_ring_config *cfg, const struct orr_ring_node *nodes, size_t n,
                 size_t *wrong) {
    size_t nowhere;
    if (!wrong) wrong = &nowhere;
    *wrong = SIZE_MAX;
    if (n == 0 || n > ORR_RING_NODES_MAX || cfg->vnodes == 0 || cfg->vnodes > ORR_RING_POINTS_MAX) return ORR_EINVALID;
    for (size_t i = 0; i < n; i++) {
        if (sound(&nodes[i])) continue;
        *wrong = i;
        return ORR_EINVALID;
    }
    struct orr_ring *r = cfg->alloc.fn(cfg->alloc.ud, NULL, 0, sizeof *r);
    if (!r) return -ENOMEM;
    *r = (struct orr_ring){ .alloc = cfg->alloc, .n = (uint32_t)n };
    int rc = take_members(r, nodes, wrong);
    if (rc == 0) rc = take_points(r, cfg->vnodes);
    if (rc == 0) rc = name_domains(r);
    if (rc == 0) *out = r;
    else orr_ring_free(r);
    return rc;
}

/* -- What is asked ------------------------------------------------------------------------------------------------- */
uint32_t orr_ring_size(const struct orr_ring *r) { return r->n; }
uint32_t orr_ring_points(const struct orr_ring *r) { return r->n_points; }
const char *orr_ring_id(const struct orr_ring *r, uint32_t node) { return r->nodes[node].id; }
const char *orr_ring_zone(const struct orr_ring *r, uint32_t node) { return r->nodes[node].zone; }
double orr_ring_weight(const struct orr_ring *r, uint32_t node) { return r->nodes[node].weight; }

uint32_t orr_ring_find(const struct orr_ring *r, const char *id) {
    uint32_t from = 0, to = r->n;
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        int order = strcmp(r->nodes[mid].id, id);
        if (order == 0) return mid;
        if (order < 0) from = mid + 1;
        else to = mid;
    }
    return ORR_RING_NOBODY;
}

double orr_ring_share(const struct orr_ring *r, uint32_t node) {
    return r->n == 1 ? 1 : (double)r->shares[node] * 0x1p-64;
}

uint64_t orr_ring_place(const void *key, size_t size) { return XXH3_64bits(key, size); }

uint32_t orr_ring_owner_at(const struct orr_ring *r, uint64_t place) { return r->owners[orri_ring_point(r, place)]; }

uint32_t orr_ring_owner(const struct orr_ring *r, const void *key, size_t size) {
    return r->owners[orri_ring_point(r, XXH3_64bits(key, size))];
}
