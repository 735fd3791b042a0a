/* recent.c - the last records of a stream: a ring of blocks, the oldest ones freed where bytes are short. */
#include "base/recent.h"

#include <string.h>

enum { CAP_FIRST = 16 };

static size_t cost(size_t size) { return sizeof(struct orri_recent_record) + size; }
static struct orri_recent_record **at(const struct orri_recent *r, uint64_t i) { return &r->ring[i & (r->cap - 1)]; }

void orri_recent_init(struct orri_recent *r, const struct orr_alloc *alloc, size_t bytes_max, uint64_t gone) {
    *r = (struct orri_recent){ .alloc = alloc, .first = 1, .next = 1, .gone = gone, .bytes_max = bytes_max };
}

static void drop_first(struct orri_recent *r) {
    struct orri_recent_record *record = *at(r, r->first++);
    r->gone = record->mark;
    r->bytes -= cost(record->size);
    (void)r->alloc->fn(r->alloc->ud, record, cost(record->size), 0);
}

void orri_recent_clear(struct orri_recent *r) {
    while (r->first < r->next) drop_first(r);
    (void)r->alloc->fn(r->alloc->ud, r->ring, r->cap * sizeof(void *), 0);
    r->ring = NULL;
    r->cap = 0;
}

/* A number is left out for what was forgotten: so a reader that had read all that was there has missed one, too. */
void orri_recent_forget(struct orri_recent *r, uint64_t mark) {
    while (r->first < r->next) drop_first(r);
    if (mark > r->gone) r->gone = mark;
    r->first = ++r->next;
}

static bool grow(struct orri_recent *r) {
    if (r->next - r->first < r->cap) return true;
    size_t cap = r->cap ? 2 * r->cap : CAP_FIRST;
    struct orri_recent_record **ring = r->alloc->fn(r->alloc->ud, NULL, 0, cap * sizeof(void *));
    if (!ring) return false;
    for (uint64_t i = r->first; i < r->next; i++) ring[i & (cap - 1)] = *at(r, i);
    (void)r->alloc->fn(r->alloc->ud, r->ring, r->cap * sizeof(void *), 0);
    r->ring = ring;
    r->cap = cap;
    return true;
}

void orri_recent_add(struct orri_recent *r, uint64_t mark, const struct orr_slice *parts, size_t n) {
    struct orri_recent_record *record = NULL;
    size_t size = 0;
    for (size_t i = 0; i < n; i++) size += parts[i].size;
    while (r->first < r->next && r->bytes + cost(size) > r->bytes_max) drop_first(r);
    if (grow(r)) record = r->alloc->fn(r->alloc->ud, NULL, 0, cost(size));
    if (!record) {
        orri_recent_forget(r, mark);
        return;
    }
    record->mark = mark;
    record->size = 0;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].size) memcpy(record->bytes + record->size, parts[i].at, parts[i].size);
        record->size += parts[i].size;
    }
    r->bytes += cost(size);
    *at(r, r->next++) = record;
}

enum orri_recent_found orri_recent_read(const struct orri_recent *r, struct orri_recent_place *place,
                                        const struct orri_recent_record **record, uint64_t *gap) {
    if (place->next < r->first) {
        place->next = r->first;
        if (r->gone >= place->from) {
            *gap = r->gone;
            place->from = r->gone + 1;
            return ORRI_RECENT_GAP;
        }
    }
    while (place->next < r->next) {
        *record = *at(r, place->next++);
        if ((*record)->mark >= place->from) return ORRI_RECENT_RECORD;
    }
    return ORRI_RECENT_NONE;
}
