/* orrb_blocks.h - memory of a Lua state: small blocks from slabs, which all go with the state. */
#ifndef ORRB_BLOCKS_H
#define ORRB_BLOCKS_H

#include <stddef.h>

enum { ORRB_BLOCK_STEP = 16, ORRB_BLOCK_CLASSES = 32 };      /* above, it is libc's */

struct orrb_blocks {
    void *free[ORRB_BLOCK_CLASSES];
    void *slabs;
    char *at, *end;                 /* what is left of the newest slab */
};
/* As realloc, but told what the block had: 0 where there is none. NULL, and it is left as it was: no memory. What gets
 * smaller, or stays, does not fail. */
void *orrb_block_resize(struct orrb_blocks *b, void *at, size_t had, size_t size);
void orrb_block_free(struct orrb_blocks *b, void *at, size_t had);
void orrb_blocks_clear(struct orrb_blocks *b);  /* after all blocks were given back: Lua does that when it ends */

#endif
