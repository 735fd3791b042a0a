/* orrb_blocks.c - memory of a Lua state: small blocks from slabs, which all go with the state.
 *
 * Lua says with each block how big it was, so that none needs a head: there is a list of free ones for each size, in
 * steps of 16 bytes. Starting and ending a state is mostly allocating and freeing, and a simulation does it by the
 * hundred. AddressSanitizer is to see each block, so with it all are libc's. */
#include "orrb_blocks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB_BYTES = 32 << 10 };
struct slab {
    struct slab *next;
    _Alignas(max_align_t) char bytes[];
};

static bool is_small(size_t size) {
#if defined(__SANITIZE_ADDRESS__)
    (void)size;
    return false;
#else
    return size > 0 && size <= (size_t)ORRB_BLOCK_STEP * ORRB_BLOCK_CLASSES;
#endif
}

static size_t class_of(size_t size) { return (size - 1) / ORRB_BLOCK_STEP; }

static void *small_new(struct orrb_blocks *b, size_t class) {
    void *block = b->free[class];
    size_t size = (class + 1) * ORRB_BLOCK_STEP;
    if (block) {
        memcpy(&b->free[class], block, sizeof block);
        return block;
    }
    if ((size_t)(b->end - b->at) < size) {      /* what was left is too small: less than one in sixty bytes */
        struct slab *s = malloc(sizeof *s + SLAB_BYTES);
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

void orrb_block_free(struct orrb_blocks *b, void *at, size_t had) {
    if (!is_small(had)) {
        free(at);
        return;
    }
    memcpy(at, &b->free[class_of(had)], sizeof at);
    b->free[class_of(had)] = at;
}

void *orrb_block_resize(struct orrb_blocks *b, void *at, size_t had, size_t size) {
    bool was_small = is_small(had), small = is_small(size);
    if (!was_small && !small) return realloc(at, size);
    if (was_small && small && class_of(had) == class_of(size)) return at;
    void *block = small ? small_new(b, class_of(size)) : malloc(size);
    if (!block) return size <= had ? at : NULL;     /* in a bigger one from now on; one of libc's is lost then */
    if (had > 0) {
        memcpy(block, at, had < size ? had : size);
        orrb_block_free(b, at, had);
    }
    return block;
}

void orrb_blocks_clear(struct orrb_blocks *b) {
    for (struct slab *s = b->slabs, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    *b = (struct orrb_blocks){ 0 };
}
