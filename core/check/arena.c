/* arena.c - blocks that double, given back together. */
#include "check/arena.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_FIRST = 16384, BLOCK_MAX = 1 << 22 };

struct orri_block {
    struct orri_block *next;
    size_t size;
    _Alignas(max_align_t) unsigned char at[];
};

void orri_arena_init(struct orri_arena *arena, const struct orr_alloc *alloc) {
    *arena = (struct orri_arena){ .alloc = alloc };
}

void orri_arena_clear(struct orri_arena *arena) {
    for (struct orri_block *b = arena->blocks, *next; b; b = next) {
        next = b->next;
        arena->alloc->fn(arena->alloc->ud, b, sizeof *b + b->size, 0);
    }
    orri_arena_init(arena, arena->alloc);
}

void *orri_take(struct orri_arena *arena, size_t count, size_t size) {
    if (count > (SIZE_MAX >> 2) / (size ? size : 1)) return NULL;
    size_t wanted = (count * size + 15) & ~(size_t)15;
    struct orri_block *b = arena->blocks;
    if (!b || b->size - arena->used < wanted) {
        size_t room = b && b->size < BLOCK_MAX ? 2 * b->size : b ? b->size : BLOCK_FIRST;
        if (room < wanted) room = wanted;
        struct orri_block *more = arena->alloc->fn(arena->alloc->ud, NULL, 0, sizeof *more + room);
        if (!more) return NULL;
        *more = (struct orri_block){ .next = b, .size = room };
        arena->blocks = b = more;
        arena->used = 0;
    }
    void *at = b->at + arena->used;
    arena->used += wanted;
    return at;
}

void *orri_take_zeroed(struct orri_arena *arena, size_t count, size_t size) {
    void *at = orri_take(arena, count, size);
    return at ? memset(at, 0, count * size) : NULL;
}

int orri_array_grow(const struct orr_alloc *alloc, void **at, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return 0;
    size_t more = *cap ? 2 * *cap : 64;
    void *grown = alloc->fn(alloc->ud, *at, *cap * size, more * size);
    if (!grown) return -ENOMEM;
    *at = grown;
    *cap = more;
    return 0;
}

/* -- Text ---------------------------------------------------------------------------------------------------------- */
void orri_text_clear(struct orri_text *t) {
    if (t->at) t->alloc->fn(t->alloc->ud, t->at, t->cap, 0);
    *t = (struct orri_text){ .alloc = t->alloc };
}

static bool make_room(struct orri_text *t, size_t size) {
    if (t->failed) return false;
    if (t->size + size < t->cap) return true;
    size_t cap = t->cap ? t->cap : 256;
    while (cap <= t->size + size) cap *= 2;
    char *at = t->alloc->fn(t->alloc->ud, t->at, t->cap, cap);
    t->failed = !at;
    if (!at) return false;
    t->at = at;
    t->cap = cap;
    return true;
}

void orri_text_bytes(struct orri_text *t, const void *at, size_t size) {
    if (!make_room(t, size)) return;
    if (size) memcpy(t->at + t->size, at, size);
    t->size += size;
    t->at[t->size] = '\0';
}

void orri_text_add(struct orri_text *t, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    if (size >= 0 && make_room(t, (size_t)size)) {
        vsnprintf(t->at + t->size, t->cap - t->size, format, again);
        t->size += (size_t)size;
    }
    va_end(again);
    va_end(args);
}
