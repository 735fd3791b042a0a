/* blocks.c - an allocator for many small blocks whose sizes their users know: slabs, which all go together.
 *
 * As the size comes with each block, none needs a head: there is a list of free ones for each size, in steps of 16
 * bytes. AddressSanitizer is to see each block, so with it all of them are the allocator's own. */
#include "base/blocks.h"

#include <stddef.h>
#include <string.h>

enum { SLAB_BYTES = 32 << 10 };
struct slab {
    struct slab *next;
    _Alignas(max_align_t) unsigned char bytes[SLAB_BYTES];
};

void orri_blocks_init(struct orri_blocks *b, const struct orr_alloc *alloc) {
    *b = (struct orri_blocks){ .alloc = alloc };
}

static bool is_small(size_t size) {
#if defined(__SANITIZE_ADDRESS__)
    (void)size;
    return false;
#else
    return size > 0 && size <= ORRI_BLOCK_MAX;
#endif
}

static size_t class_of(size_t size) { return (size - 1) / ORRI_BLOCK_STEP; }

static void *own(struct orri_blocks *b, void *at, size_t had, size_t size) {
    return b->alloc->fn(b->alloc->ud, at, had, size);
}

static void *small_new(struct orri_blocks *b, size_t class) {
    void *block = b->free[class];
    size_t size = (class + 1) * ORRI_BLOCK_STEP;
    if (block) {
        memcpy(&b->free[class], block, sizeof block);
        return block;
    }
    if ((size_t)(b->end - b->at) < size) {          /* what was left is lost: less than one byte in sixty */
        struct slab *s = own(b, NULL, 0, sizeof *s);
        if (!s) return NULL;
        s->next = b->slabs;
        b->slabs = s;
        b->at = s->bytes;
        b->end = s->bytes + SLAB_BYTES;
    }
    block = b->at;
    b->at += size;
    return block;
}

void orri_block_free(struct orri_blocks *b, void *at, size_t had) {
    if (!is_small(had)) {
        if (had > 0) own(b, at, had, 0);
        return;
    }
    memcpy(at, &b->free[class_of(had)], sizeof at);
    b->free[class_of(had)] = at;
}

void *orri_block_resize(struct orri_blocks *b, void *at, size_t had, size_t size) {
    bool was_small = is_small(had), small = is_small(size);
    if (!was_small && !small) return own(b, at, had, size);
    if (was_small && small && class_of(had) == class_of(size)) return at;
    void *block = small ? small_new(b, class_of(size)) : own(b, NULL, 0, size);
    /* What can't be moved to a smaller one stays, and is of that size from now on: one that was the allocator's is
     * lost to it then, until the process ends. */
    if (!block) return size <= had ? at : NULL;
    if (had > 0) {
        memcpy(block, at, had < size ? had : size);
        orri_block_free(b, at, had);
    }
    return block;
}

void orri_blocks_clear(struct orri_blocks *b) {
    for (struct slab *s = b->slabs, *next; s; s = next) {
        next = s->next;
        own(b, s, sizeof *s, 0);
    }
    orri_blocks_init(b, b->alloc);
}
