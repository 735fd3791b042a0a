/* machine.h - a replicated state machine: what a group applies its ops to, and where results go.
 *
 * A machine is a pure value: its state depends on the ops, in order, and on nothing else. It reads no clock (time is
 * the entry's), draws no chance but from its seed, and calls nothing back but the sink that it is given.
 *
 *     orr_group applies:   ops->apply(m, &at, op, sink)     sink is NULL on replicas where nobody waits for the result
 *     a client reads:      ops->query(m, &at, question, sink)
 *
 * One machine, one thread. An op is bytes that the machine's own client side encoded (orrery/kv.h for the key-value
 * machine); decoding is total: an op that can't be read answers ORR_EINVALID and changes nothing, on every replica. */
#ifndef ORR_MACHINE_H
#define ORR_MACHINE_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- Results: told to a sink, one value for each op; an array announces its size and is followed by its values ----- */
struct orr_sink;
struct orr_sink_ops {
    void (*nil)(struct orr_sink *s);
    void (*integer)(struct orr_sink *s, int64_t v);
    void (*text)(struct orr_sink *s, const void *at, size_t size);       /* any bytes */
    void (*status)(struct orr_sink *s, const char *word);                /* "OK" */
    /* code: an ORR_E code; text: for the client, in RESP's form "ERR value is not an integer or out of range" */
    void (*error)(struct orr_sink *s, int code, const char *text);
    void (*array)(struct orr_sink *s, size_t n);
};
struct orr_sink {                   /* embed */
    const struct orr_sink_ops *ops;
};

/* Where in the log, and when by log time (ns since 1970), something happens. */
struct orr_at {
    orr_index index;
    orr_term term;
    orr_time time;
};

struct orr_machine_config {
    uint64_t seed;                  /* of hash tables: this process's own, no part of the state */
    const struct orr_alloc *alloc;
    struct orr_chunks *chunks;
    void *ud;                       /* of the group's spec */
    struct orr_rare rare;           /* never for what another replica could see */
};
struct orr_machine_stats {
    uint64_t keys, bytes;           /* alive; memory */
};

struct orr_machine_ops {
    const char *name;               /* "kv" */
    uint32_t version;               /* of op and snapshot formats */
    int (*create)(void **m, const struct orr_machine_config *cfg);
    void (*destroy)(void *m);
    /* 0; or -ENOMEM or another error, which is never a result: the replica stops, for its state is not the others'. */
    int (*apply)(void *m, const struct orr_at *at, struct orr_slice op, struct orr_sink *sink);
    /* After the last op of an entry: bounded housekeeping by log time (expiry), the same on every replica. */
    void (*advance)(void *m, const struct orr_at *at);
    /* Changes nothing that another replica could see. */
    int (*query)(void *m, const struct orr_at *at, struct orr_slice question, struct orr_sink *sink);
    /* When the machine next wants advance() although no op comes: log time, or ORR_NEVER;
     * the leader proposes an empty batch then. */
    orr_time (*wants)(const void *m);
    /* Digest of the whole state; equal on all replicas at one index. They are compared by it, live and simulated. */
    uint64_t (*digest)(const void *m);
    /* 0: it is kept incrementally, and asked after every entry. n: it costs a walk over the state, and is asked after
     * every n-th index (a multiple of 64, the same on all replicas), when a group comes to rest, and in doubt. */
    uint32_t digest_every;
    void (*stats)(const void *m, struct orr_machine_stats *out);
    /* Snapshot: freeze() begins an image of now, while ops go on being applied; each next() gives up to `bytes` more as
     * an owned slice: 1 there is more, 0 that was the last (slice may be empty), or an error. One image at a time
     * (ORR_EBUSY). Work of one call is bounded by `bytes` and by a scan of at most some thousand keys. unfreeze() ends
     * it, whether complete or not. */
    int (*freeze)(void *m);
    int (*next)(void *m, size_t bytes, struct orr_slice *out);
    void (*unfreeze)(void *m);
    /* The other way: begin empties the machine, part takes the image's bytes in order, cut anywhere;
     * end checks that all is there: ORR_ECORRUPT. */
    int (*restore_begin)(void *m);
    int (*restore_part)(void *m, const void *at, size_t size);
    int (*restore_end)(void *m);
    /* Optional (NULL), and without effect on the state: this op or question comes soon, what it touches may be fetched
     * into the cache. Called with step 0 some eight ahead, with step 1 some four ahead. */
    void (*prefetch)(const void *m, struct orr_slice call, unsigned step);
    /* Optional (NULL): the op that a leader appends before anything else that is proposed in its term, judged by its
     * state when it begins, which may lack what is committed already: so one that comes again must change nothing.
     * 1: *op, owned; 0: none; or an error. Applied without a sink, once for each time it is in the log. */
    int (*opening)(const void *m, struct orr_slice *op);
};

ORR_API extern const struct orr_machine_ops orr_kv_machine;     /* orrery/kv.h */

#ifdef __cplusplus
}
#endif
#endif
