/* kv.h - the key-value machine inside: its state, and what its files share.
 *
 *     machine.c  the table of functions, life, housekeeping     ops.c    what ops do
 *     state.c    look, change, digest                           query.c  what questions answer
 *     table.c    the keys; expiry.c: their ends                 image.c  snapshots out; restore.c: in
 *     call.c     ops and questions as bytes                     text.c   numbers and patterns
 *
 * The replicated state is: the seed, the keys (value, version, end), the versions of the slots. Everything else
 * (table size, chain order, tables being taken down, a snapshot in the making) is this replica's own and is
 * never seen in a result. */
#ifndef ORRI_KV_H
#define ORRI_KV_H

#include <orrery/kv.h>

#include "base/codec.h"
#include "base/rng.h"
#include "node/kv/table.h"

enum {
    ORRI_KV_SLOT_BITS = 12,
    ORRI_KV_SLOTS = 1 << ORRI_KV_SLOT_BITS,
    ORRI_KV_ARGS_KEPT = 3,
    ORRI_KV_DIGITS = 24             /* room for any int64 as text */
};

/* Bytes of a snapshot that nobody has fetched yet: chunks in a row. */
struct orri_kv_chunk {
    struct orri_kv_chunk *next;
    struct orr_chunk *chunk;
    uint32_t used, taken;
};
struct orri_kv_image {
    struct orri_kv_table *of;       /* what is still being walked; NULL: all of it is out, or there is none */
    uint64_t position;              /* in hash order */
    uint32_t id;                    /* an entry that bears it is out, or came later */
    bool on, failed;                /* failed: memory was out; next() says so, ops went on */
    struct orri_kv_chunk *first, *last;
    uint64_t queued;
};
struct orri_kv_restore {
    bool on;
    int failed;                     /* ORR_ECORRUPT, -ENOMEM */
    unsigned char head[64];         /* of a record, or of the image: what came so far of it */
    size_t n_head;
    uint64_t n_slots;               /* filled so far */
    bool begun;                     /* the image's own head was read */
    uint64_t keys, digest;          /* what it promised */
    struct orri_kv_entry *entry;    /* its bytes are coming */
    unsigned char *key;             /* or its key's are */
    size_t key_size, filled;
    uint64_t value_size, version, ends;
};
struct orri_kv {
    struct orr_alloc alloc;
    struct orr_chunks *chunks;
    struct orr_rare rare;
    struct orri_kv_table *live, *dead;
    uint64_t seed;                  /* 0: none yet, and then no key either */
    uint64_t sum;                   /* of the digests of keys and slots */
    uint64_t secret;
    struct orr_rng rng;             /* for RANDOMKEY; no part of the state */
    struct orri_kv_image image;
    struct orri_kv_restore restore;
    struct orr_kv_observer *observer;       /* or NULL */
    uint64_t slots[ORRI_KV_SLOTS];  /* log index of the last removal among the hashes with these top bits */
};

/* -- call.c -------------------------------------------------------------------------------------------------------- */
struct orri_kv_args {
    unsigned code, flags;
    int64_t a, b;
    size_t n;
    struct orr_slice arg[ORRI_KV_ARGS_KEPT];    /* the first ones */
    struct orr_reader rest;                     /* all of them, for those that take many */
};
/* 0 or ORR_EINVALID. The head is checked, and every argument: their number, sizes, that nothing follows. */
int orri_kv_decode(struct orri_kv_args *out, struct orr_slice bytes);
static inline struct orr_slice orri_kv_next_arg(struct orri_kv_args *args) {
    return orri_read_blob(&args->rest, ORR_KV_VALUE_MAX);
}
/* The first argument of what may be an op or a question, a key mostly; nothing is checked but its bounds.
 * Empty: there is none. */
struct orr_slice orri_kv_first_arg(struct orr_slice bytes);
/* The encoder in parts: the head, then n times orri_write_blob. */
void orri_kv_write_head(struct orr_writer *w, const struct orr_kv_call *call);

/* -- state.c ------------------------------------------------------------------------------------------------------- */
/* Where a key is, or would be. */
struct orri_kv_spot {
    struct orr_slice key;
    uint64_t hash;
    struct orri_kv_entry **link;    /* NULL: not there */
};
static inline int64_t orri_kv_ms(const struct orr_at *at) { return at->time / ORR_MS; }
static inline struct orri_kv_entry *orri_kv_at(const struct orri_kv_spot *spot) {
    return spot->link ? *spot->link : NULL;
}

bool orri_kv_is_due(const struct orri_kv *m, const struct orri_kv_entry *e, int64_t now_ms);
/* For ops and questions of many keys, with the reader before argument i, each `step`-th of which is a key: fetches what
 * the next ones are found by into the cache, all at once and not one after the other. */
void orri_kv_warm(const struct orri_kv *m, const struct orri_kv_args *args, size_t i, size_t step);
/* Asks: an entry that is alive, or NULL. */
const struct orri_kv_entry *orri_kv_peek(const struct orri_kv *m, const struct orr_at *at, struct orr_slice key);
/* For a change: a key whose time has come is removed first. */
void orri_kv_look(struct orri_kv *m, const struct orr_at *at, struct orr_slice key, struct orri_kv_spot *out);
void orri_kv_drop(struct orri_kv *m, const struct orr_at *at, struct orri_kv_spot *spot);
/* Opens an entry for a change, made where it wasn't, with room for the value; write it, set its end,
 * then close. 0 or -ENOMEM. */
int orri_kv_open(struct orri_kv *m, struct orri_kv_spot *spot, uint32_t value_size, struct orri_kv_entry **out);
void orri_kv_close(struct orri_kv *m, const struct orr_at *at, struct orri_kv_entry *e);
int orri_kv_store(struct orri_kv *m, const struct orr_at *at, struct orri_kv_spot *spot, struct orr_slice value,
                  int64_t ends);
uint64_t orri_kv_hash(const struct orri_kv *m, struct orr_slice key);
uint64_t orri_kv_version(const struct orri_kv *m, const struct orr_at *at, struct orr_slice key);
int orri_kv_flush(struct orri_kv *m, const struct orr_at *at);
void orri_kv_reap(struct orri_kv *m, uint64_t work);
void orri_kv_set_slot(struct orri_kv *m, uint64_t slot, uint64_t version);
uint64_t orri_kv_digest(const struct orri_kv *m);
/* As orri_kv_close, with a version as it was: for restore. */
void orri_kv_seal(struct orri_kv *m, struct orri_kv_entry *e, uint64_t version);

/* -- ops.c, query.c ------------------------------------------------------------------------------------------------ */
int orri_kv_apply(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink);
int orri_kv_ask(struct orri_kv *m, const struct orr_at *at, struct orri_kv_args *args, struct orr_sink *sink);

/* -- image.c, restore.c -------------------------------------------------------------------------------------------- */
int orri_kv_freeze(struct orri_kv *m);
int orri_kv_next(struct orri_kv *m, size_t bytes, struct orr_slice *out);
void orri_kv_unfreeze(struct orri_kv *m);
/* Before an entry is changed or removed: into the image with it, if it belongs there and isn't there yet. */
void orri_kv_save(struct orri_kv *m, struct orri_kv_entry *e);
int orri_kv_restore_begin(struct orri_kv *m);
int orri_kv_restore_part(struct orri_kv *m, const void *at, size_t size);
int orri_kv_restore_end(struct orri_kv *m);
void orri_kv_restore_clear(struct orri_kv *m);

/* Snapshot's head; the slots' versions and the records follow. */
#define ORRI_KV_MAGIC "orrerykv"
enum { ORRI_KV_FORMAT = 1, ORRI_KV_HEAD = 40, ORRI_KV_RECORD_HEAD_MAX = 4 * ORR_VARINT_MAX };

/* -- text.c -------------------------------------------------------------------------------------------------------- */
/* Strict, as Redis reads integers: no blanks, plus, leading zeros. */
bool orri_kv_read_int(struct orr_slice text, int64_t *out);
size_t orri_kv_write_int(char out[ORRI_KV_DIGITS], int64_t v);
/* A decimal number in units of 1e-17; false: it isn't one, or is beyond 1e20. */
bool orri_kv_read_decimal(struct orr_slice text, __int128 *out);
enum { ORRI_KV_DECIMAL = 48 };
size_t orri_kv_write_decimal(char out[ORRI_KV_DECIMAL], __int128 v);
/* Redis's patterns: * ? [a-z] [^a] and backslash. */
bool orri_kv_match(struct orr_slice pattern, struct orr_slice text);

/* -- Sinks that may be absent -------------------------------------------------------------------------------------- */
static inline int orri_kv_nil(struct orr_sink *s) {
    if (s) s->ops->nil(s);
    return 0;
}
static inline int orri_kv_integer(struct orr_sink *s, int64_t v) {
    if (s) s->ops->integer(s, v);
    return 0;
}
static inline int orri_kv_text(struct orr_sink *s, const void *at, size_t size) {
    if (s) s->ops->text(s, at, size);
    return 0;
}
static inline int orri_kv_ok(struct orr_sink *s) {
    if (s) s->ops->status(s, "OK");
    return 0;
}
static inline int orri_kv_error(struct orr_sink *s, int code, const char *text) {
    if (s) s->ops->error(s, code, text);
    return 0;
}
static inline int orri_kv_value_or_nil(struct orr_sink *s, const struct orri_kv_entry *e) {
    return e ? orri_kv_text(s, orri_kv_value(e), e->value_size) : orri_kv_nil(s);
}

#endif
