/* ring_diff.c - two rings held against each other: which ranges change hands, how much that is, how much it must be. */
#include <string.h>

#include "base/assert.h"
#include "placement/ring_inner.h"

/* Whose keys have the same places? */
bool orr_ring_comparable(const struct orr_ring *a, const struct orr_ring *b) {
    if (a->hash == b->hash) return true;
    return orri_ring_by_md5(a->hash) && orri_ring_by_md5(b->hash);
}

void orr_ring_diff(struct orr_ring_diff *d, const struct orr_ring *a, const struct orr_ring *b) {
    ORR_ASSERT(orr_ring_comparable(a, b));
    *d = (struct orr_ring_diff){ .a = a, .b = b };
}

/* The next range in which both rings have one owner each; false: the circle is closed. */
static bool next_range(struct orr_ring_diff *d, struct orr_ring_move *out) {
    if (d->done) return false;
    uint64_t a = d->a->places[d->i], b = d->b->places[d->j], to = a < b ? a : b;
    *out = (struct orr_ring_move){ d->at, to, orr_ring_id(d->a, d->a->owners[d->i]),
                                   orr_ring_id(d->b, d->b->owners[d->j]) };
    d->done = to == UINT64_MAX;
    d->at = to + 1;
    while (!d->done && d->i < d->a->n_points && d->a->places[d->i] <= to) d->i++;
    while (!d->done && d->j < d->b->n_points && d->b->places[d->j] <= to) d->j++;
    return true;
}

bool orr_ring_diff_next(struct orr_ring_diff *d, struct orr_ring_move *out) {
    struct orr_ring_move more;
    do {
        if (!next_range(d, out)) return false;
    } while (strcmp(out->before, out->after) == 0);
    for (struct orr_ring_diff ahead = *d; next_range(&ahead, &more); *d = ahead) {      /* the same two go on */
        if (strcmp(more.before, out->before) != 0 || strcmp(more.after, out->after) != 0) break;
        out->to = more.to;
    }
    return true;
}

double orr_ring_moved(const struct orr_ring *a, const struct orr_ring *b, double *least) {
    struct orr_ring_diff d;
    struct orr_ring_move m;
    double moved = 0, gained = 0;
    orr_ring_diff(&d, a, b);
    while (orr_ring_diff_next(&d, &m)) moved += ((double)(m.to - m.from) + 1) * 0x1p-64;
    for (uint32_t i = 0; least && i < b->m.n; i++) {
        uint32_t before = orr_ring_find(a, b->m.nodes[i].id);
        double more = orr_ring_share(b, i) - (before == ORR_RING_NOBODY ? 0 : orr_ring_share(a, before));
        if (more > 0) gained += more;
    }
    if (least) *least = gained;
    return moved;
}
