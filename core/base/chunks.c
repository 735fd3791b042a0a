/* chunks.c - a pool of chunks: size classes that double, each with a bounded list of free blocks.
 *
 * Header and bytes are one block, so a chunk costs one allocation, or none where a block of its class lies free. What
 * is larger than the last class goes straight to the allocator and back. A class keeps at most FREE_BYTES_MAX (and
 * always FREE_COUNT_MIN blocks), so a burst does not pin its memory for ever. Under AddressSanitizer the bytes of a
 * free block are poisoned: a slice that was read after its drop is seen although the block is still ours.            */
#include <orrery/base.h>

#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum {
    CAP_MIN_BITS = 6,               /* the first class holds 64 bytes, */
    CAP_MAX_BITS = 18,              /* the last 256 KiB */
    N_CLASSES = CAP_MAX_BITS - CAP_MIN_BITS + 1,
    FREE_BYTES_MAX = 1 << 20,
    FREE_COUNT_MIN = 4
};

struct block {
    struct orr_chunk chunk;
    struct block *next;             /* the next free one */
    _Alignas(max_align_t) unsigned char bytes[];
};
struct class {
    struct block *free;
    size_t n_free;
};
struct pool {
    struct orr_chunks face;         /* first: a struct orr_chunks * is the pool */
    struct orr_alloc alloc;
    size_t n_out;                   /* chunks that somebody holds */
    struct class classes[N_CLASSES];
};

/* The class that fits; N_CLASSES: none does. */
static unsigned class_of(size_t cap) {
    if (cap <= (size_t)1 << CAP_MIN_BITS) return 0;
    if (cap > (size_t)1 << CAP_MAX_BITS) return N_CLASSES;
    return 64u - (unsigned)__builtin_clzll((unsigned long long)cap - 1) - CAP_MIN_BITS;
}

static void block_free(struct pool *pool, struct block *b) {
    ASAN_UNPOISON_MEMORY_REGION(b->bytes, b->chunk.cap);
    pool->alloc.fn(pool->alloc.ud, b, sizeof *b + b->chunk.cap, 0);
}

static struct block *block_new(struct pool *pool, size_t cap) {
    struct block *b = pool->alloc.fn(pool->alloc.ud, NULL, 0, sizeof *b + cap);
    if (!b) return NULL;
    b->chunk = (struct orr_chunk){ 0, (uint32_t)cap, b->bytes, &pool->face };
    return b;
}

static struct orr_chunk *pool_get(struct orr_chunks *chunks, size_t cap) {
    struct pool *pool = (struct pool *)chunks;
    if (cap > UINT32_MAX) return NULL;
    unsigned k = class_of(cap);
    struct block *b = k < N_CLASSES ? pool->classes[k].free : NULL;
    if (b) {
        pool->classes[k].free = b->next;
        pool->classes[k].n_free--;
        ASAN_UNPOISON_MEMORY_REGION(b->bytes, b->chunk.cap);
    } else {
        b = block_new(pool, k < N_CLASSES ? (size_t)1 << (k + CAP_MIN_BITS) : cap);
        if (!b) return NULL;
    }
    b->next = NULL;
    b->chunk.refs = 1;
    pool->n_out++;
    return &b->chunk;
}

static void pool_put(struct orr_chunks *chunks, struct orr_chunk *chunk) {
    struct pool *pool = (struct pool *)chunks;
    struct block *b = (struct block *)chunk;
    ORR_ASSERT(chunk->refs == 0 && pool->n_out > 0);
    pool->n_out--;
    unsigned k = class_of(chunk->cap);
    struct class *c = k < N_CLASSES ? &pool->classes[k] : NULL;
    if (!c || (c->n_free >= FREE_COUNT_MIN && (c->n_free + 1) * chunk->cap > FREE_BYTES_MAX)) {
        block_free(pool, b);
        return;
    }
    b->next = c->free;
    c->free = b;
    c->n_free++;
    ASAN_POISON_MEMORY_REGION(b->bytes, chunk->cap);
}

struct orr_chunks *orr_chunks_new(const struct orr_alloc *alloc) {
    if (!alloc) alloc = &orr_alloc_libc;
    struct pool *pool = alloc->fn(alloc->ud, NULL, 0, sizeof *pool);
    if (!pool) return NULL;
    *pool = (struct pool){ .face = { pool_get, pool_put }, .alloc = *alloc };
    return &pool->face;
}

void orr_chunks_free(struct orr_chunks *chunks) {
    struct pool *pool = (struct pool *)chunks;
    if (!pool) return;
    ORR_ASSERT(pool->n_out == 0);   /* whoever still held a slice would read freed memory */
    for (unsigned k = 0; k < N_CLASSES; k++) {
        for (struct block *b = pool->classes[k].free, *next; b; b = next) {
            next = b->next;
            block_free(pool, b);
        }
    }
    struct orr_alloc alloc = pool->alloc;
    alloc.fn(alloc.ud, pool, sizeof *pool, 0);
}
