/* blocks.h - an allocator for many small blocks whose sizes their users know: slabs, which all go together. */
#ifndef ORRI_BLOCKS_H
#define ORRI_BLOCKS_H

#include <orrery/base.h>

enum { ORRI_BLOCK_STEP = 16, ORRI_BLOCK_CLASSES = 32, ORRI_BLOCK_MAX = ORRI_BLOCK_STEP * ORRI_BLOCK_CLASSES };

struct orri_blocks {
    const struct orr_alloc *alloc;
    void *free[ORRI_BLOCK_CLASSES];
    void *slabs;
    unsigned char *at, *end;        /* what is left of the newest slab */
};
void orri_blocks_init(struct orri_blocks *b, const struct orr_alloc *alloc);
/* As realloc, but told what the block had: 0 where there is none, and then `at` is NULL. NULL, and it is left as it
 * was: no memory; what gets smaller does not fail. size > 0. Above ORRI_BLOCK_MAX it is the allocator's own. */
void *orri_block_resize(struct orri_blocks *b, void *at, size_t had, size_t size);
void orri_block_free(struct orri_blocks *b, void *at, size_t had);
/* All small blocks are gone. The others must have been given back. */
void orri_blocks_clear(struct orri_blocks *b);

#endif
