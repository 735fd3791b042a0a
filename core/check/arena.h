/* arena.h - memory that is given back all at once, and text that grows in it.
 *
 * A judgement makes many small things whose lives end together. What is taken is never zeroed, unless it is said, and
 * a failed allocation is remembered, so that text can be written without asking after each piece. */
#ifndef ORRI_CHECK_ARENA_H
#define ORRI_CHECK_ARENA_H

#include <orrery/base.h>

struct orri_block;
struct orri_arena {
    const struct orr_alloc *alloc;
    struct orri_block *blocks;      /* the newest first */
    size_t used;                    /* of the newest */
};

void orri_arena_init(struct orri_arena *arena, const struct orr_alloc *alloc);
void orri_arena_clear(struct orri_arena *arena);
void *orri_take(struct orri_arena *arena, size_t count, size_t size);       /* NULL: memory is out */
void *orri_take_zeroed(struct orri_arena *arena, size_t count, size_t size);

/* An array that doubles, outside of any arena: room for one more after n of them. -ENOMEM. */
int orri_array_grow(const struct orr_alloc *alloc, void **at, size_t n, size_t *cap, size_t size);

/* Text, ended by a NUL. */
struct orri_text {
    const struct orr_alloc *alloc;
    char *at;                       /* NULL: nothing yet */
    size_t size, cap;
    bool failed;                    /* memory was out: the text is not whole */
};
void orri_text_clear(struct orri_text *t);
void orri_text_bytes(struct orri_text *t, const void *at, size_t size);
__attribute__((format(printf, 2, 3))) void orri_text_add(struct orri_text *t, const char *format, ...);

#endif
