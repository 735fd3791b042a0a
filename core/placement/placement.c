/* placement.c - the one face of all policies: life, look-ups, replicas, what moves. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <string.h>

#include "placement/placement_inner.h"

enum { SLOTS = 65537, PROBES = 21, SAMPLES = 65536 };

void orr_placement_config_init(struct orr_placement_config *cfg) {
    struct orr_ring_config ring;
    orr_ring_config_init(&ring);
    *cfg = (struct orr_placement_config){ .policy = ORR_PLACEMENT_RING, .vnodes = ring.vnodes, .hash = ring.hash,
                                          .slots = SLOTS, .probes = PROBES, .alloc = ring.alloc };
}

static const struct orri_policy *policy_of(enum orr_placement_policy policy) {
    switch (policy) {
    case ORR_PLACEMENT_RING: return &orri_policy_ring;
    case ORR_PLACEMENT_JUMP: return &orri_policy_jump;
    case ORR_PLACEMENT_RENDEZVOUS: return &orri_policy_rendezvous;
    case ORR_PLACEMENT_MAGLEV: return &orri_policy_maglev;
    case ORR_PLACEMENT_MULTIPROBE: return &orri_policy_multiprobe;
    }
    return NULL;
}

void orr_placement_free(struct orr_placement *p) {
    if (!p) return;
    p->policy->clear(p);
    orr_ring_free(p->ring);
    orri_roster_free(&p->own);
    struct orr_alloc alloc = p->cfg.alloc;
    alloc.fn(alloc.ud, p, sizeof *p, 0);
}

int orr_placement_new(struct orr_placement **out, const struct orr_placement_config *cfg,
                      const struct orr_ring_node *nodes, size_t n, size_t *wrong) {
    size_t nowhere;
    const struct orri_policy *policy = policy_of(cfg->policy);
    if (!wrong) wrong = &nowhere;
    *wrong = SIZE_MAX;
    if (!policy) return ORR_EINVALID;
    struct orr_placement *p = orri_get(&cfg->alloc, 1, sizeof *p);
    if (!p) return -ENOMEM;
    *p = (struct orr_placement){ .cfg = *cfg, .policy = policy, .own.alloc = cfg->alloc };
    p->m = &p->own;
    int rc = policy->make(p, nodes, n, wrong);
    if (rc == 0) *out = p;
    else orr_placement_free(p);
    return rc;
}

/* -- What is asked ------------------------------------------------------------------------------------------------- */
enum orr_placement_policy orr_placement_policy(const struct orr_placement *p) { return p->cfg.policy; }
uint32_t orr_placement_size(const struct orr_placement *p) { return p->m->n; }
const char *orr_placement_id(const struct orr_placement *p, uint32_t node) { return p->m->nodes[node].id; }
const char *orr_placement_zone(const struct orr_placement *p, uint32_t node) { return p->m->nodes[node].zone; }
double orr_placement_weight(const struct orr_placement *p, uint32_t node) { return p->m->nodes[node].weight; }
uint32_t orr_placement_find(const struct orr_placement *p, const char *id) { return orri_roster_find(p->m, id); }
double orr_placement_share(const struct orr_placement *p, uint32_t node) { return p->policy->share(p, node); }

uint64_t orr_placement_place(const struct orr_placement *p, const void *key, size_t size) {
    bool foreign = p->ring && orri_ring_is_foreign(p->ring->hash);
    return foreign ? orri_ring_foreign_place(p->ring->hash, key, size) : XXH3_64bits(key, size);
}

uint32_t orr_placement_owner_at(const struct orr_placement *p, uint64_t place) { return p->policy->owner(p, place); }

uint32_t orr_placement_owner(const struct orr_placement *p, const void *key, size_t size) {
    return p->policy->owner(p, orr_placement_place(p, key, size));
}

/* -- More than one ------------------------------------------------------------------------------------------------- */
size_t orr_placement_room(const struct orr_placement *p) { return ORR_RING_SEEN(p->m->n) + p->policy->room(p); }

void orr_placement_walk(struct orr_placement_walk *w, const struct orr_placement *p, uint64_t place, uint64_t *room) {
    *w = (struct orr_placement_walk){ .placement = p, .place = place, .room = room, .left = p->placed };
    memset(room, 0, ORR_RING_SEEN(p->m->n) * sizeof *room);
    if (p->policy->begin) p->policy->begin(w);
}

uint32_t orr_placement_next(struct orr_placement_walk *w) {
    return w->left > 0 ? w->placement->policy->next(w) : ORR_RING_NOBODY;
}

/* Level after level: while one has domains that no owner is in yet, the next owner is of one of those. */
uint32_t orr_placement_owners_at(const struct orr_placement *p, uint64_t place, uint32_t n, uint32_t *owners,
                                 uint32_t *zones, uint64_t *room) {
    const struct orri_roster *m = p->m;
    uint32_t most = n < p->placed ? n : p->placed, have = 0;
    for (uint32_t level = 0; level <= m->levels && have < most; level++) {
        uint32_t limit = level < m->levels && m->domains[level] < most ? m->domains[level] : most;
        struct orr_placement_walk w;
        orr_placement_walk(&w, p, place, room);
        while (have < limit) {
            uint32_t node = orr_placement_next(&w);
            if (node == ORR_RING_NOBODY) break;
            if (orri_roster_fits(m, owners, have, node, level)) owners[have++] = node;
        }
    }
    if (zones) *zones = orri_roster_zones(m, owners, have);
    return have;
}

/* -- What moves? --------------------------------------------------------------------------------------------------- */
static bool same(const struct orr_placement *a, uint32_t i, const struct orr_placement *b, uint32_t j) {
    return strcmp(a->m->nodes[i].id, b->m->nodes[j].id) == 0;
}

static double moved_slots(const struct orr_placement *a, const struct orr_placement *b) {
    uint32_t moved = 0;
    for (uint32_t i = 0; i < a->cfg.slots; i++) moved += !same(a, a->slots[i], b, b->slots[i]);
    return (double)moved / a->cfg.slots;
}

static double moved_samples(const struct orr_placement *a, const struct orr_placement *b) {
    uint32_t moved = 0;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        unsigned char key[8];
        uint64_t draw = orri_draw(0, i + 1);
        for (unsigned k = 0; k < 8; k++) key[k] = (unsigned char)(draw >> 8 * k);
        moved += !same(a, orr_placement_owner(a, key, 8), b, orr_placement_owner(b, key, 8));
    }
    return (double)moved / SAMPLES;
}

double orr_placement_moved(const struct orr_placement *a, const struct orr_placement *b, double *least) {
    double gained = 0;
    for (uint32_t i = 0; least && i < b->m->n; i++) {
        uint32_t before = orr_placement_find(a, b->m->nodes[i].id);
        double more = orr_placement_share(b, i) - (before == ORR_RING_NOBODY ? 0 : orr_placement_share(a, before));
        if (more > 0) gained += more;
    }
    if (least) *least = gained;
    if (a->cfg.policy == b->cfg.policy) {
        if (a->slots && a->cfg.slots == b->cfg.slots) return moved_slots(a, b);
        if (a->cfg.policy == ORR_PLACEMENT_RING && orr_ring_comparable(a->ring, b->ring))
            return orr_ring_moved(a->ring, b->ring, NULL);
    }
    return moved_samples(a, b);
}

/* -- The ring as a policy ------------------------------------------------------------------------------------------ */
static int ring_make(struct orr_placement *p, const struct orr_ring_node *nodes, size_t n, size_t *wrong) {
    struct orr_ring_config cfg = { .vnodes = p->cfg.vnodes, .hash = p->cfg.hash, .alloc = p->cfg.alloc };
    int rc = orr_ring_new(&p->ring, &cfg, nodes, n, wrong);
    if (rc < 0) return rc;
    p->m = &p->ring->m;
    p->placed = p->ring->placed;
    return 0;
}

static void nothing(struct orr_placement *p) { (void)p; }
static uint32_t ring_owner(const struct orr_placement *p, uint64_t place) { return orr_ring_owner_at(p->ring, place); }
static double ring_share(const struct orr_placement *p, uint32_t node) { return orr_ring_share(p->ring, node); }

static size_t no_room(const struct orr_placement *p) {
    (void)p;
    return 0;
}

static void ring_begin(struct orr_placement_walk *w) { w->at = orri_ring_point(w->placement->ring, w->place); }

static uint32_t ring_next(struct orr_placement_walk *w) {
    struct orr_ring_walk on_ring = { .ring = w->placement->ring, .seen = w->room, .at = w->at, .left = w->left };
    uint32_t node = orr_ring_next(&on_ring);
    w->at = on_ring.at;
    w->left = on_ring.left;
    return node;
}

const struct orri_policy orri_policy_ring = { ring_make, nothing, ring_owner, ring_share,
                                              no_room,   ring_begin, ring_next };

/* -- Jump as a policy ---------------------------------------------------------------------------------------------- */
static int jump_make(struct orr_placement *p, const struct orr_ring_node *nodes, size_t n, size_t *wrong) {
    int rc = orri_roster_take(&p->own, nodes, n, 1, true, wrong);
    if (rc < 0) return rc;
    p->placed = p->own.n;
    p->order = orri_placement_get(p, n, sizeof *p->order);
    if (!p->order) return -ENOMEM;
    for (size_t i = 0; i < n; i++) p->order[i] = orri_roster_find(&p->own, nodes[i].id);
    return 0;
}

static void jump_clear(struct orr_placement *p) { orri_placement_give_back(p, p->order, p->own.n, sizeof *p->order); }

static uint32_t jump_owner(const struct orr_placement *p, uint64_t place) {
    return p->order[orr_jump(place, p->own.n)];
}

static double jump_share(const struct orr_placement *p, uint32_t node) {
    (void)node;
    return 1 / (double)p->own.n;
}

/* Among those that are left, in their order. */
static uint32_t jump_next(struct orr_placement_walk *w) {
    const uint32_t *order = w->placement->order;
    uint32_t bucket = orr_jump(w->at == 0 ? w->place : orri_draw(w->place, w->at), w->left);
    w->at++;
    for (;; order++) {
        if (!orri_walk_met(w, *order) && bucket-- == 0) return orri_walk_meet(w, *order);
    }
}

const struct orri_policy orri_policy_jump = { jump_make, jump_clear, jump_owner, jump_share, no_room, NULL, jump_next };
