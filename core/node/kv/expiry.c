/* expiry.c - the heap of table.h: which key ends first, by (time, hash, key).
 *
 * A binary heap in segments of 4096 (a growing array would stall while it is copied);
 * each slot has the time beside the pointer, so a comparison seldom leaves the heap. An entry knows its place. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "node/kv/table.h"

enum { SEGMENT_BITS = 12, SEGMENT = 1 << SEGMENT_BITS, FIRST_SEGMENTS = 16 };

/* Places count from 1. */
static struct orri_kv_end *place_of(const struct orri_kv_table *t, uint32_t place) {
    return &t->ends[(place - 1) >> SEGMENT_BITS][(place - 1) & (SEGMENT - 1)];
}

static bool before(const struct orri_kv_end *a, const struct orri_kv_end *b) {
    if (a->ends != b->ends) return a->ends < b->ends;
    const struct orri_kv_entry *x = a->entry, *y = b->entry;
    if (x->hash != y->hash) return x->hash < y->hash;
    int order = memcmp(x->bytes, y->bytes, x->key_size < y->key_size ? x->key_size : y->key_size);
    return order != 0 ? order < 0 : x->key_size < y->key_size;
}

static void put_at(struct orri_kv_table *t, uint32_t place, struct orri_kv_end end) {
    *place_of(t, place) = end;
    end.entry->place = place;
}

static void rise(struct orri_kv_table *t, uint32_t place, struct orri_kv_end end) {
    for (; place > 1 && before(&end, place_of(t, place / 2)); place /= 2) put_at(t, place, *place_of(t, place / 2));
    put_at(t, place, end);
}

static void sink(struct orri_kv_table *t, uint32_t place, struct orri_kv_end end) {
    for (uint32_t child; place <= t->n_ends / 2; place = child) {
        child = place * 2;
        if (child < t->n_ends && before(place_of(t, child + 1), place_of(t, child))) child++;
        if (!before(place_of(t, child), &end)) break;
        put_at(t, place, *place_of(t, child));
    }
    put_at(t, place, end);
}

static void settle(struct orri_kv_table *t, uint32_t place, struct orri_kv_end end) {
    if (place > 1 && before(&end, place_of(t, place / 2))) rise(t, place, end);
    else sink(t, place, end);
}

static int need_segment(struct orri_kv_table *t) {
    if (t->n_ends < t->n_end_segments << SEGMENT_BITS) return 0;
    if (t->n_ends >= UINT32_MAX / 2) return -ENOMEM;            /* places are 32 bits */
    size_t each = sizeof *t->ends;
    if (t->n_end_segments == t->end_segments_max) {
        uint32_t max = t->end_segments_max ? t->end_segments_max * 2 : FIRST_SEGMENTS;
        struct orri_kv_end **ends = t->alloc->fn(t->alloc->ud, t->ends, t->end_segments_max * each, max * each);
        if (!ends) return -ENOMEM;
        t->bytes += (max - t->end_segments_max) * each;
        t->ends = ends;
        t->end_segments_max = max;
    }
    struct orri_kv_end *segment = t->alloc->fn(t->alloc->ud, NULL, 0, SEGMENT * sizeof *segment);
    if (!segment) return -ENOMEM;
    t->bytes += SEGMENT * sizeof *segment;
    t->ends[t->n_end_segments++] = segment;
    return 0;
}

bool orri_kv_ends_reap(struct orri_kv_table *t) {
    if (t->n_end_segments > 0) {
        t->alloc->fn(t->alloc->ud, t->ends[--t->n_end_segments], SEGMENT * sizeof **t->ends, 0);
        t->bytes -= SEGMENT * sizeof **t->ends;
        return true;
    }
    if (!t->ends) return false;
    t->alloc->fn(t->alloc->ud, t->ends, t->end_segments_max * sizeof *t->ends, 0);
    t->bytes -= t->end_segments_max * sizeof *t->ends;
    t->ends = NULL;
    return true;
}

static void take_out(struct orri_kv_table *t, struct orri_kv_entry *e) {
    struct orri_kv_end last = *place_of(t, t->n_ends--);
    uint32_t place = e->place;
    e->place = 0;
    if (last.entry != e) settle(t, place, last);
    /* One spare segment stays, so that a heap which goes up and down by one doesn't thrash. */
    if (t->n_ends + 2 * SEGMENT <= t->n_end_segments << SEGMENT_BITS) (void)orri_kv_ends_reap(t);
}

int orri_kv_set_ends(struct orri_kv_table *t, struct orri_kv_entry *e, int64_t ends) {
    ORR_ASSERT(ends >= 0);
    if (ends == 0) {
        if (e->place) take_out(t, e);
        return 0;
    }
    struct orri_kv_end end = { ends, e };
    if (e->place) {
        settle(t, e->place, end);
        return 0;
    }
    if (need_segment(t) < 0) return -ENOMEM;
    rise(t, ++t->n_ends, end);
    return 0;
}

int64_t orri_kv_ends(const struct orri_kv_table *t, const struct orri_kv_entry *e) {
    return e->place ? place_of(t, e->place)->ends : 0;
}

void orri_kv_end_moved(struct orri_kv_table *t, struct orri_kv_entry *e) {
    if (e->place) place_of(t, e->place)->entry = e;
}

struct orri_kv_entry *orri_kv_first_end(const struct orri_kv_table *t) {
    return t->n_ends ? place_of(t, 1)->entry : NULL;
}
