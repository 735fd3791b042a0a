/* multiprobe.c - multi-probe consistent hashing (Appleton and O'Reilly, arXiv:1505.00062): few points, one for each
 * unit of weight, and many places of each key on the circle, of which the one counts that is nearest to the point
 * behind it.
 *
 * The points are a ring's. What part of all keys a point gets can be told: a place lies further than d from its point
 * with a chance of R(d), the sum of what gaps are longer than d by; the best of k places comes to a point with that gap
 * g as the integral from 0 to g of k R^(k-1), and R is straight from one length of gaps to the next. */
#include <errno.h>
#include <string.h>

#include "placement/placement_inner.h"

static uint64_t probe(uint64_t place, uint32_t i) { return i == 0 ? place : orri_draw(place, i); }

static uint32_t point_at(const struct orr_ring *r, uint64_t place) {
    uint32_t i = orri_ring_point(r, place);
    return i < r->n_points ? i : 0;
}

static uint32_t owner(const struct orr_placement *p, uint64_t place) {
    const struct orr_ring *r = p->ring;
    uint64_t nearest = UINT64_MAX;
    uint32_t node = ORR_RING_NOBODY;
    for (uint32_t i = 0; i < p->cfg.probes; i++) {
        uint64_t from = probe(place, i);
        uint32_t at = point_at(r, from);
        uint64_t distance = r->places[at] - from;               /* around the circle where it must */
        if (distance > nearest || (distance == nearest && r->owners[at] >= node)) continue;
        nearest = distance;
        node = r->owners[at];
    }
    return node;
}

/* -- Walking ------------------------------------------------------------------------------------------------------- */
/* Each place goes on along the circle by itself; own words: how many points it has come by. */
static size_t room(const struct orr_placement *p) { return p->cfg.probes; }

static void begin(struct orr_placement_walk *w) {
    memset(orri_walk_own(w), 0, w->placement->cfg.probes * sizeof(uint64_t));
}

/* The first point, from the probe's place on, of somebody who wasn't met. */
static uint32_t go_on(const struct orr_placement_walk *w, uint64_t from, uint64_t *passed) {
    const struct orr_ring *r = w->placement->ring;
    uint32_t start = point_at(r, from);
    for (;; ++*passed) {
        uint32_t at = (uint32_t)((start + *passed) % r->n_points);
        if (!orri_walk_met(w, r->owners[at])) return at;
    }
}

static uint32_t next(struct orr_placement_walk *w) {
    const struct orr_ring *r = w->placement->ring;
    uint64_t nearest = UINT64_MAX, *passed = orri_walk_own(w);
    uint32_t node = ORR_RING_NOBODY;
    for (uint32_t i = 0; i < w->placement->cfg.probes; i++) {
        uint64_t from = probe(w->place, i);
        uint32_t at = go_on(w, from, &passed[i]);
        uint64_t distance = r->places[at] - from;
        if (distance > nearest || (distance == nearest && r->owners[at] >= node)) continue;
        nearest = distance;
        node = r->owners[at];
    }
    return orri_walk_meet(w, node);
}

/* -- Shares -------------------------------------------------------------------------------------------------------- */
static void sort(double *a, uint32_t n) {                       /* Shell's: no memory, no recursion */
    for (uint32_t gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
        for (uint32_t i = gap; i < n; i++) {
            double x = a[i];
            uint32_t at = i;
            for (; at >= gap && a[at - gap] > x; at -= gap) a[at] = a[at - gap];
            a[at] = x;
        }
    }
}

static double power(double x, uint32_t k) {
    double out = 1;
    for (; k > 0; k /= 2, x *= x) {
        if (k % 2) out *= x;
    }
    return out;
}

static double gap_before(const struct orr_ring *r, uint32_t i) {
    uint64_t gap = r->places[i] - r->places[i > 0 ? i - 1 : r->n_points - 1];
    return r->n_points == 1 ? 1 : (double)gap * 0x1p-64;
}

/* gaps, sorted -> parts[i], that of a point with gaps[i] before it. */
static void integrate(const double *gaps, double *parts, uint32_t n, uint32_t probes) {
    double further = 1, part = 0, length = 0;
    for (uint32_t i = 0; i < n; i++) {
        double left = further - (n - i) * (gaps[i] - length);
        if (left < 0 || i + 1 == n) left = 0;
        part += (power(further, probes) - power(left, probes)) / (n - i);
        parts[i] = part;
        further = left;
        length = gaps[i];
    }
}

static uint32_t find(const double *sorted, uint32_t n, double x) {
    uint32_t from = 0, to = n;
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (sorted[mid] < x) from = mid + 1;
        else to = mid;
    }
    return from;
}

static int measure(struct orr_placement *p) {
    const struct orr_ring *r = p->ring;
    uint32_t n = r->n_points;
    double *gaps = orri_placement_get(p, n, 2 * sizeof *gaps), *parts = gaps + n;
    if (!gaps) return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) gaps[i] = gap_before(r, i);
    sort(gaps, n);
    integrate(gaps, parts, n, p->cfg.probes);
    memset(p->shares, 0, p->m->n * sizeof *p->shares);
    for (uint32_t i = 0; i < n; i++) p->shares[r->owners[i]] += parts[find(gaps, n, gap_before(r, i))];
    orri_placement_give_back(p, gaps, n, 2 * sizeof *gaps);
    return 0;
}

/* -- Its life ------------------------------------------------------------------------------------------------------ */
/* A ring of one point a unit takes any weight: which are whole is seen first. */
static int check_weights(const struct orr_ring_node *nodes, size_t n, size_t *wrong) {
    for (size_t i = 0; i < n; i++) {
        double w = nodes[i].weight;
        if (!(w > 0 && w <= ORR_RING_WEIGHT_MAX) || w - (double)(uint64_t)w <= 0) continue;
        *wrong = i;
        return ORR_EINVALID;
    }
    return 0;
}

static int make(struct orr_placement *p, const struct orr_ring_node *nodes, size_t n, size_t *wrong) {
    struct orr_ring_config cfg = { .vnodes = 1, .alloc = p->cfg.alloc };
    int rc = check_weights(nodes, n, wrong);
    if (rc == 0) rc = orr_ring_new(&p->ring, &cfg, nodes, n, wrong);
    if (rc < 0) return rc;
    if (p->cfg.probes == 0 || p->cfg.probes > ORR_PLACEMENT_PROBES_MAX) return ORR_EINVALID;
    p->m = &p->ring->m;
    p->placed = p->ring->placed;
    p->shares = orri_placement_get(p, p->m->n, sizeof *p->shares);
    return p->shares ? measure(p) : -ENOMEM;
}

static void clear(struct orr_placement *p) { orri_placement_give_back(p, p->shares, p->m->n, sizeof *p->shares); }

static double share(const struct orr_placement *p, uint32_t node) { return p->shares[node]; }

const struct orri_policy orri_policy_multiprobe = { make, clear, owner, share, room, begin, next };
