/* memory.c - pools of the simulator, and the arena behind each world's alloc.
 *
 * Every block of a world is linked, so a crash frees all of it at once: a leak can't outlive its node, and a node that
 * is used after its death is seen by AddressSanitizer. The sizes given back are compared with those asked for.       */
#include <string.h>

#include "sim/room.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* -- Pools ------------------------------------------------------------------------------------------------------- */
enum { SLAB_BYTES = 64 * 1024, SLAB_BLOCKS_MIN = 4, ALIGN = 16 };
struct slab {
    struct slab *next;
    size_t bytes;
};

void orri_pool_init(struct orri_pool *pool, const struct orr_alloc *alloc, size_t size) {
    *pool = (struct orri_pool){ .alloc = alloc, .size = (size + ALIGN - 1) / ALIGN * ALIGN };
}

void orri_pool_clear(struct orri_pool *pool) {
    for (struct slab *s = pool->slabs, *next; s; s = next) {
        next = s->next;
        ASAN_UNPOISON_MEMORY_REGION(s, s->bytes);
        pool->alloc->fn(pool->alloc->ud, s, s->bytes, 0);
    }
    pool->free = pool->slabs = NULL;
}

/* The link of a free block lies in its first bytes, which stay readable. */
static void block_free(struct orri_pool *pool, void *block) {
    memcpy(block, &pool->free, sizeof(void *));
    pool->free = block;
    ASAN_POISON_MEMORY_REGION((char *)block + sizeof(void *), pool->size - sizeof(void *));
}

static void slab_new(struct orri_pool *pool) {
    size_t n = SLAB_BYTES / pool->size;
    if (n < SLAB_BLOCKS_MIN) n = SLAB_BLOCKS_MIN;
    size_t bytes = ALIGN + n * pool->size;
    struct slab *s = pool->alloc->fn(pool->alloc->ud, NULL, 0, bytes);
    ORRI_MUST(s);
    *s = (struct slab){ pool->slabs, bytes };
    pool->slabs = s;
    for (size_t i = n; i-- > 0;) block_free(pool, (char *)s + ALIGN + i * pool->size);
}

void *orri_pool_get(struct orri_pool *pool) {
    if (!pool->free) slab_new(pool);
    void *block = pool->free;
    memcpy(&pool->free, block, sizeof(void *));
    ASAN_UNPOISON_MEMORY_REGION(block, pool->size);
    return block;
}

void orri_pool_put(struct orri_pool *pool, void *block) { block_free(pool, block); }

void *orri_sim_raw(struct orr_sim *sim, size_t size) {
    void *at = sim->alloc.fn(sim->alloc.ud, NULL, 0, size);
    ORRI_MUST(at);
    return at;
}

void *orri_sim_get(struct orr_sim *sim, size_t size) { return memset(orri_sim_raw(sim, size), 0, size); }

void orri_sim_put(struct orr_sim *sim, void *at, size_t size) {
    if (at) sim->alloc.fn(sim->alloc.ud, at, size, 0);
}

char *orri_sim_text(struct orr_sim *sim, const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(orri_sim_get(sim, size), text, size);
}

void orri_sim_put_text(struct orr_sim *sim, char *text) {
    if (text) orri_sim_put(sim, text, strlen(text) + 1);
}

/* -- A world's arena --------------------------------------------------------------------------------------------- */
struct orri_block {
    struct orri_block *prev, *next;
    size_t size;
    _Alignas(max_align_t) unsigned char bytes[];
};

static void unlink_block(struct orri_memory *m, struct orri_block *b) {
    if (b->prev) {
        b->prev->next = b->next;
    } else {
        m->first = b->next;
    }
    if (b->next) b->next->prev = b->prev;
    m->bytes -= b->size;
}

static void link_block(struct orri_memory *m, struct orri_block *b, size_t size) {
    b->prev = NULL;
    b->next = m->first;
    b->size = size;
    if (m->first) m->first->prev = b;
    m->first = b;
    m->bytes += size;
}

void *orri_memory_fn(void *ud, void *ptr, size_t old_size, size_t new_size) {
    struct orri_node *node = ud;
    struct orri_memory *m = &node->memory;
    const struct orr_alloc *host = &node->sim->alloc;
    struct orri_block *b = ptr ? ORRI_CONTAINER(ptr, struct orri_block, bytes) : NULL;
    ORR_ASSERT(b ? b->size == old_size : old_size == 0);
    if (new_size > old_size && !m->never_fails && orri_strike(node, ORR_SIM_ALLOC)) return NULL;
    if (b) unlink_block(m, b);
    if (new_size == 0) {
        if (b) host->fn(host->ud, b, sizeof *b + old_size, 0);
        return NULL;
    }
    struct orri_block *now = host->fn(host->ud, b, b ? sizeof *b + old_size : 0, sizeof *b + new_size);
    ORRI_MUST(now);
    link_block(m, now, new_size);
    return now->bytes;
}

void orri_memory_clear(struct orri_node *node) {
    const struct orr_alloc *host = &node->sim->alloc;
    for (struct orri_block *b = node->memory.first, *next; b; b = next) {
        next = b->next;
        host->fn(host->ud, b, sizeof *b + b->size, 0);
    }
    node->memory = (struct orri_memory){ 0 };
}
