/* kv.h - the key-value machine's language: what its ops and questions look like as bytes.
 *
 * Ops and questions have one shape, so a client needs one function:
 *
 *     struct orr_slice args[2] = { orr_borrow("k", 1), orr_borrow("v", 1) };
 *     struct orr_kv_call set = { .code = ORR_KV_SET,
 *                               .flags = ORR_KV_TIMED | ORR_KV_RELATIVE, .a = 5000, .args = args, .n_args = 2 };
 *     unsigned char bytes[64];
 *     size_t size = orr_kv_encode(bytes, sizeof bytes, &set);          // 0: it needs more, orr_kv_size(&set)
 *
 * Byte table (varints are LEB128 in their shortest form, signed numbers zigzag):
 *
 *     | bytes       | is                                                                   |
 *     | 1           | code (below): under 64 an op, else a question                        |
 *     | varint      | flags; bit 0: a follows, bit 1: b follows                            |
 *     | 0 or varint | a, signed                                                            |
 *     | 0 or varint | b, signed                                                            |
 *     | varint      | number of arguments                                                  |
 *     | each        | varint size, bytes                                                   |
 *
 * An op or question names at most ORR_KV_KEYS_MAX keys: each is done in one go, on every node, and nothing else moves
 * meanwhile. Nothing may follow. What can't be read, or breaks a limit, is answered with ORR_EINVALID and changes
 * nothing. Times are milliseconds by log time; a relative one counts from the log time at which the op is applied. A
 * key is gone from the millisecond on in which its time has come, whether or not it has been removed yet.
 *
 * The version of a key is the log index of its last change. A missing key has one too: the index of the last removal
 * among the keys that share its slot (4096 of them), so a key that came and went is never taken for untouched. */
#ifndef ORR_KV_H
#define ORR_KV_H

#include <orrery/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ORR_KV_KEY_MAX = 512 << 10, ORR_KV_VALUE_MAX = 8 << 20, ORR_KV_KEYS_MAX = 16384 };

/* a, b, flags and arguments not named are 0 and none. Results in brackets. */
enum orr_kv_code {
    /* Ops. */
    ORR_KV_SEED = 1,        /* secret: the table's seed, if none is set yet [nil]; any other first op sets
                             * one from itself, its log position and time, so a client that wants an
                             * unguessable one sends this first */
    ORR_KV_SET = 2,         /* key, value[, expected]; NX XX WITH_GET KEEPTTL TIMED(a) RELATIVE IFEQ(expected)
                             * IFVERSION(b) INTEGER [OK, nil when a condition failed; WITH_GET: the old value or nil;
                             * INTEGER: 1 or 0; IFVERSION: conflict] */
    ORR_KV_MSET = 3,        /* key, value, ...; NX: all or none, INTEGER [OK; INTEGER: 1 or 0] */
    ORR_KV_APPEND = 4,      /* key, value [size] */
    ORR_KV_SETRANGE = 5,    /* key, value; a: offset [size] */
    ORR_KV_ADD = 6,         /* key; a: by [the new number] */
    ORR_KV_ADD_FLOAT = 7,   /* key, decimal [the new number as text] */
    ORR_KV_DEL = 8,         /* key, ...; WITH_GET: of one key, its value [how many; WITH_GET: the value or nil] */
    ORR_KV_EXPIRE = 9,      /* key; TIMED(a), RELATIVE; NX XX GT LT [1 or 0] */
    ORR_KV_PERSIST = 10,    /* key; WITH_GET [1 or 0; WITH_GET: the value or nil] */
    ORR_KV_GET_EXPIRE = 11, /* key; TIMED(a), RELATIVE [the value or nil] */
    ORR_KV_RENAME = 12,     /* from, to; NX [OK; NX: 1 or 0] */
    ORR_KV_FLUSH = 13,      /* [OK] */
    /* Questions */
    ORR_KV_GET = 64,        /* key [value or nil] */
    ORR_KV_MGET = 65,       /* key, ... [array of value or nil] */
    ORR_KV_SIZE = 66,       /* key [size of the value, 0 without one] */
    ORR_KV_RANGE = 67,      /* key; a, b: first and last byte, negative from the end [bytes] */
    ORR_KV_COUNT = 68,      /* key, ... [how many are there] */
    ORR_KV_TTL = 69,        /* key; RELATIVE: what is left, else when; SECONDS [number; -1 never; -2 no such key] */
    ORR_KV_TYPE = 70,       /* key ["string" or "none"] */
    ORR_KV_DBSIZE = 71,     /* [keys, with those whose time has come and that were not removed yet] */
    ORR_KV_SCAN = 72,       /* [pattern]; a: cursor, b: how many to look for; NONE: keep the keys back [array:
                             * cursor as text, array of keys] */
    ORR_KV_KEYS = 73,       /* pattern [array of keys]; takes as long as there are keys: SCAN is for large tables */
    ORR_KV_RANDOM = 74,     /* [a key or nil] */
    ORR_KV_VERSION = 75,    /* key [version] */
    ORR_KV_UNSEEDED = 76,   /* [nil when the table has its seed; else 8 secret bytes of this process for ORR_KV_SEED] */
    ORR_KV_LIST = 77        /* prefix; a: position, b: bytes [array: the next position, 0 at the end; array of key,
                             * value, version, ...]. Keys that begin so, from this position on, until there are so many
                             * bytes of them, or many were looked at. For the replica at hand: see orr_kv_observe */
};

enum orr_kv_flag {
    ORR_KV_HAS_A = 1 << 0, ORR_KV_HAS_B = 1 << 1,       /* set by the encoder */
    ORR_KV_NX = 1 << 2, ORR_KV_XX = 1 << 3, ORR_KV_GT = 1 << 4, ORR_KV_LT = 1 << 5,
    ORR_KV_WITH_GET = 1 << 6, ORR_KV_KEEPTTL = 1 << 7, ORR_KV_TIMED = 1 << 8, ORR_KV_RELATIVE = 1 << 9,
    ORR_KV_IFEQ = 1 << 10, ORR_KV_IFVERSION = 1 << 11, ORR_KV_INTEGER = 1 << 12, ORR_KV_SECONDS = 1 << 13,
    ORR_KV_NONE = 1 << 14
};

struct orr_kv_call {
    unsigned code, flags;
    int64_t a, b;
    const struct orr_slice *args;       /* borrowed */
    size_t n_args;
};
ORR_API size_t orr_kv_size(const struct orr_kv_call *call);
/* The size written, or 0 when `cap` is too small. */
ORR_API size_t orr_kv_encode(void *at, size_t cap, const struct orr_kv_call *call);

/* -- Who watches a machine -----------------------------------------------------------------------------------------
 * One observer is told every change while it is applied, in order. It copies what it wants, and calls nothing of the
 * machine or the node.
 *
 * A key's position stays what it is until `replaced`. So who wants what is there now, and then the changes, asks
 * ORR_KV_LIST from position 0 on, piece by piece, while ops go on being applied: a change of a key whose position the
 * last piece has not passed is in the pieces to come, any other one counts. */
enum orr_kv_change_kind { ORR_KV_CHANGE_SET, ORR_KV_CHANGE_DEL, ORR_KV_CHANGE_EXPIRE };
struct orr_kv_change {
    enum orr_kv_change_kind kind;
    orr_index version;
    uint64_t position;
    struct orr_slice key, value;    /* borrowed; value: of SET */
};
struct orr_kv_observer {
    void (*changed)(struct orr_kv_observer *o, const struct orr_kv_change *change);
    /* All keys went, by an op of this version (ORR_KV_FLUSH); or, 0, because a snapshot is about to be loaded. */
    void (*replaced)(struct orr_kv_observer *o, orr_index version);
};
/* machine: one that orr_kv_machine created (orr_group_machine gives it). o: borrowed for its life, or until another
 * one, or NULL, takes its place. */
ORR_API void orr_kv_observe(void *machine, struct orr_kv_observer *o);

#ifdef __cplusplus
}
#endif
#endif
