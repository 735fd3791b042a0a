/* base.h - what every room of Orrery stands on: time, ids, errors, memory, bytes.
 *
 * Nothing here does I/O, reads a clock or keeps global state. Times are nanoseconds, sizes are bytes. Functions return
 * 0 or a negative error: -errno for the system's, ORR_E... (below -1000) for ours; orr_strerror() knows both.
 *
 * Ownership is said with four words: borrowed (until what), copied, moved (on success only), owned (free with what).
 * On error nothing has changed, unless a function says otherwise. */
#ifndef ORR_BASE_H
#define ORR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ORR_API __attribute__((visibility("default")))

/* -- Time, identity ------------------------------------------------------------------------------------------------ */
typedef int64_t orr_time;           /* ns */
#define ORR_NEVER INT64_MAX         /* no time at all */
#define ORR_US ((orr_time)1000)
#define ORR_MS ((orr_time)1000000)
#define ORR_SECOND ((orr_time)1000000000)

/* A node within its cluster: the hash of its name (orr_id_of), never 0. Names and addresses are look-ups. */
typedef uint64_t orr_id;
#define ORR_NOBODY ((orr_id)0)

typedef uint64_t orr_term;
typedef uint64_t orr_index;         /* of a log entry; the first is 1, 0 is "before the first", as in the papers */

/* A data directory's identity: random, made once with it. Another one under a known name is another node. */
struct orr_birth {
    unsigned char b[16];
};

ORR_API orr_id orr_id_of(const char *name);

/* -- Errors -------------------------------------------------------------------------------------------------------- */
/* X(enumerator, number, the word that scripts see as code, text) */
#define ORR_ERRORS(X)                                                                                                  \
    X(ORR_ETIMEOUT, -1001, "timeout", "time ran out; surely not done")                                                 \
    X(ORR_EUNKNOWN, -1002, "unknown", "may or may not have happened")                                                  \
    X(ORR_EFAILED, -1003, "failed", "the other side failed")                                                           \
    X(ORR_EUNAVAILABLE, -1004, "unavailable", "not available here now")                                                \
    X(ORR_ENOLEADER, -1005, "no_leader", "no leader is known")                                                         \
    X(ORR_ECONFLICT, -1006, "conflict", "somebody else was first")                                                     \
    X(ORR_EDENIED, -1007, "denied", "not allowed")                                                                     \
    X(ORR_EINVALID, -1008, "invalid", "not valid")                                                                     \
    X(ORR_EOVERLOADED, -1009, "overloaded", "a queue is full; surely not done")                                        \
    X(ORR_ECORRUPT, -1010, "corrupt", "data is damaged")                                                               \
    X(ORR_EFULL, -1011, "full", "no room on the disk")                                                                 \
    X(ORR_ECLOSED, -1012, "closed", "closed")                                                                          \
    X(ORR_ECANCELED, -1013, "canceled", "canceled")                                                                    \
    X(ORR_EPOISONED, -1014, "corrupt", "the file had a failed sync and is not used again")                             \
    X(ORR_EBUSY, -1015, "unavailable", "another process has it")                                                       \
    X(ORR_ETORN, -1016, "corrupt", "ends in the middle of a record")

enum orr_error {
#define ORR_X(name, number, word, text) name = number,
    ORR_ERRORS(ORR_X)
#undef ORR_X
};

/* Text of an error (static), for people; never NULL. */
ORR_API const char *orr_strerror(int error);
/* The design's short word for it ("timeout", "full", ...; -ENOSPC is "full", any other errno "failed"). */
ORR_API const char *orr_error_word(int error);

/* -- Memory -------------------------------------------------------------------------------------------------------- */
/* One function as in Lua: new_size 0 frees; ptr NULL allocates (old_size 0). NULL on failure, and then the old block
 * stays. old_size is always the size that was asked for.                                                             */
typedef void *(*orr_alloc_fn)(void *ud, void *ptr, size_t old_size, size_t new_size);
struct orr_alloc {
    orr_alloc_fn fn;
    void *ud;
};
ORR_API extern const struct orr_alloc orr_alloc_libc;

/* -- Bytes --------------------------------------------------------------------------------------------------------- */
/* A chunk is a counted block. A slice holds a part of one: whoever stores a slice holds it, and drops it when done.
 * Bytes that have been sliced are never changed. One thread owns a chunk and all its slices; no count is atomic.
 * A slice whose chunk is NULL is borrowed memory that outlives the call or request by its caller's own promise.      */
struct orr_chunks;
struct orr_chunk {
    uint32_t refs;
    uint32_t cap;
    unsigned char *at;
    struct orr_chunks *home;        /* where it goes when nobody holds it */
};
/* ORR_RARE (orrery/world.h) of what has no world: who makes it passes it on. take NULL: never. */
struct orr_rare {
    bool (*take)(void *ud, const char *name);
    void *ud;
};
static inline bool orr_rare(const struct orr_rare *r, const char *name) { return r->take && r->take(r->ud, name); }

/* A maker of chunks: a world's, or orr_chunks_new's. get: a chunk of at least `cap` bytes with one reference, which is
 * the caller's; NULL when memory is out.                                                                             */
struct orr_chunks {
    struct orr_chunk *(*get)(struct orr_chunks *chunks, size_t cap);
    void (*put)(struct orr_chunks *chunks, struct orr_chunk *chunk);
};
struct orr_slice {
    struct orr_chunk *chunk;
    const unsigned char *at;
    size_t size;
};

static inline struct orr_slice orr_hold(struct orr_slice s) {
    if (s.chunk) s.chunk->refs++;
    return s;
}
static inline void orr_chunk_drop(struct orr_chunk *c) {
    if (c && --c->refs == 0) c->home->put(c->home, c);
}
static inline void orr_drop(struct orr_slice s) { orr_chunk_drop(s.chunk); }
/* A part of a slice, not held anew. */
static inline struct orr_slice orr_part_of(struct orr_slice s, size_t from, size_t size) {
    return (struct orr_slice){ s.chunk, s.at + from, size };
}
static inline struct orr_slice orr_borrow(const void *at, size_t size) {
    return (struct orr_slice){ NULL, (const unsigned char *)at, size };
}

/* Chunks over an allocator, small sizes pooled. Free it after the last of its chunks was dropped. */
ORR_API struct orr_chunks *orr_chunks_new(const struct orr_alloc *alloc);
ORR_API void orr_chunks_free(struct orr_chunks *chunks);

/* -- Version ------------------------------------------------------------------------------------------------------- */
#define ORR_VERSION_MAJOR 0
#define ORR_VERSION_MINOR 1
#define ORR_VERSION_PATCH 0
ORR_API const char *orr_version(void);   /* "0.1.0" */

#ifdef __cplusplus
}
#endif
#endif
