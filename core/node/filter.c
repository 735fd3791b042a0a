/* filter.c - the duplicate filter (what it promises is in filter.h).
 *
 * Origins are few (one for each data directory there ever was), so the entries are an array, and the one that was asked
 * for last is tried first. The digest is the XOR of the entries' hashes: it is kept in step by taking out the old and
 * putting in the new. */
#include "node/filter.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

void orri_filter_init(struct orri_filter *f, const struct orr_alloc *alloc) {
    *f = (struct orri_filter){ .alloc = alloc };
}

void orri_filter_clear(struct orri_filter *f) {
    f->alloc->fn(f->alloc->ud, f->entries, f->cap * sizeof *f->entries, 0);
    orri_filter_init(f, f->alloc);
}

static uint64_t hash_of(const struct orri_filter_entry *e) {
    uint64_t h = orri_hash64(e->last.birth.b, sizeof e->last.birth.b, e->last.incarnation);
    return orri_mix64(orri_mix64(h, e->last.sequence), e->index);
}

static struct orri_filter_entry *find(const struct orri_filter *f, const struct orr_birth *birth) {
    if (f->hint < f->n && orri_birth_equal(&f->entries[f->hint].last.birth, birth)) return &f->entries[f->hint];
    for (size_t i = 0; i < f->n; i++) {
        if (orri_birth_equal(&f->entries[i].last.birth, birth)) return &f->entries[i];
    }
    return NULL;
}

static int grow(struct orri_filter *f) {
    size_t cap = f->cap ? 2 * f->cap : 8;
    void *p = f->alloc->fn(f->alloc->ud, f->entries, f->cap * sizeof *f->entries, cap * sizeof *f->entries);
    if (!p) return -ENOMEM;
    f->entries = p;
    f->cap = cap;
    return 0;
}

/* The place for a new origin. Indices of entries differ, so the one that goes is the same on every replica. */
static struct orri_filter_entry *place(struct orri_filter *f) {
    if (f->n < ORRI_FILTER_ORIGINS_MAX) {
        if (f->n == f->cap && grow(f) < 0) return NULL;
        return &f->entries[f->n++];
    }
    struct orri_filter_entry *oldest = &f->entries[0];
    for (size_t i = 1; i < f->n; i++) {
        if (f->entries[i].index < oldest->index) oldest = &f->entries[i];
    }
    f->digest ^= hash_of(oldest);
    return oldest;
}

static enum orri_filtered verdict_of(const struct orri_origin_tag *last, const struct orri_origin_tag *tag) {
    if (tag->incarnation < last->incarnation) return ORRI_DUPLICATE;
    uint64_t next = tag->incarnation > last->incarnation ? 1 : last->sequence + 1;
    return tag->sequence < next ? ORRI_DUPLICATE : tag->sequence > next ? ORRI_GAP : ORRI_PASS;
}

int orri_filter_judge(struct orri_filter *f, const struct orri_origin_tag *tag, orr_index index,
                      enum orri_filtered *out) {
    struct orri_filter_entry *e = find(f, &tag->birth);
    struct orri_origin_tag none = { .birth = tag->birth };
    *out = verdict_of(e ? &e->last : &none, tag);
    if (*out != ORRI_PASS) return 0;
    if (e) {
        f->digest ^= hash_of(e);
    } else if (!(e = place(f))) {
        return -ENOMEM;
    }
    *e = (struct orri_filter_entry){ *tag, index };
    f->digest ^= hash_of(e);
    f->hint = (size_t)(e - f->entries);
    return 0;
}

uint64_t orri_filter_last(const struct orri_filter *f, const struct orr_birth *birth, uint32_t incarnation) {
    const struct orri_filter_entry *e = find(f, birth);
    if (!e || e->last.incarnation < incarnation) return 0;
    return e->last.incarnation > incarnation ? UINT64_MAX : e->last.sequence;
}

size_t orri_filter_size(const struct orri_filter *f) { return 4 + f->n * ORRI_FILTER_ENTRY; }

void orri_filter_write(const struct orri_filter *f, struct orr_writer *w) {
    orri_write_u32(w, (uint32_t)f->n);
    for (size_t i = 0; i < f->n; i++) {
        const struct orri_filter_entry *e = &f->entries[i];
        orri_write_bytes(w, e->last.birth.b, sizeof e->last.birth.b);
        orri_write_u32(w, e->last.incarnation);
        orri_write_u64(w, e->last.sequence);
        orri_write_u64(w, e->index);
    }
}

int orri_filter_read(struct orri_filter *f, struct orr_reader *r) {
    orri_filter_clear(f);
    uint32_t n = orri_read_u32(r);
    if (r->failed || n > ORRI_FILTER_ORIGINS_MAX) return ORR_ECORRUPT;
    for (uint32_t i = 0; i < n; i++) {
        struct orri_filter_entry e = { 0 };
        struct orr_slice birth = orri_read_bytes(r, sizeof e.last.birth.b);
        if (birth.size) memcpy(e.last.birth.b, birth.at, birth.size);
        e.last.incarnation = orri_read_u32(r);
        e.last.sequence = orri_read_u64(r);
        e.index = orri_read_u64(r);
        int rc = r->failed || find(f, &e.last.birth) ? ORR_ECORRUPT : f->n == f->cap ? grow(f) : 0;
        if (rc < 0) {
            orri_filter_clear(f);
            return rc;
        }
        f->entries[f->n++] = e;
        f->digest ^= hash_of(&e);
    }
    return 0;
}
