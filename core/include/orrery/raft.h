/* raft.h - Raft as a value with a state: Ongaro's thesis, sans I/O.
 *
 * The typed face, for whoever wants to see or make messages: specs, experiments, bindings. A node's driver uses
 * the table orr_raft_order (order.h), which is this plus frames. The core reads no clock, draws from its seed
 * only, calls nothing back. Whatever a message claims (a term, a vote, an acknowledged entry) is on the disk
 * before it is in `msgs`: the core withholds it until the store is reported, so a driver that works in any order
 * stays safe.
 *
 *     struct orr_raft_config cfg;
 *     orr_raft_config_init(&cfg);
 *     cfg.order.self = ..., cfg.order.voters = ..., cfg.order.chunks = ...;
 *     orr_raft_new(&r, &cfg, NULL, now);
 *     for (;;) {
 *         ... one of: orr_raft_recv, _tick (when _deadline is due), _propose, _read_index
 *         while ((rd = orr_raft_ready(r))) {
 *             for each rd->io.stores: write it, then orr_raft_stored(r, now, id, 0)
 *             for each rd->msgs: send it          for each rd->io.commits: apply it; then orr_raft_applied
 *         }
 *     }
 *
 * Inputs return 0 or an error; on an error nothing has changed. -ENOMEM is among the errors of all that take data. */
#ifndef ORR_RAFT_H
#define ORR_RAFT_H

#include <orrery/order.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_raft;

struct orr_raft_config {
    struct orr_order_config order;
    const struct orr_member *learners;   /* follow, but don't vote; sorted by id */
    size_t n_learners;
    orr_index commit;               /* what somebody knows to be committed already, of what the disk has; 0 else */
    bool found;                     /* on an empty disk write the configuration as entry 1 (see raft_config.c) */
    bool pre_vote;                  /* thesis 9.6: ask whether it could win before it raises its term */
    bool check_quorum;              /* thesis 6.2: a leader that hears no quorum for `election` steps down */
};

enum { ORR_RAFT_ENTRIES_MAX = 256 };    /* in one message; also: commits handed out ahead of applied() */

enum orr_raft_type {
    ORR_RAFT_PREVOTE = 1,           /* last_log_*, forced. term: the one it would stand for */
    ORR_RAFT_PREVOTE_REPLY,         /* granted. term: as asked when granted, else the voter's. Refused, to the leader:
                                     * it declines the TIMEOUT_NOW, since its disk is full or sick */
    ORR_RAFT_VOTE,                  /* last_log_*, forced */
    ORR_RAFT_VOTE_REPLY,            /* granted, time */
    ORR_RAFT_APPEND,                /* prev_log_*, entries (heartbeat: none), leader_commit, round, want_reply, time,
                                     * as_of_* */
    ORR_RAFT_APPEND_REPLY,          /* success, match_index, prev_log_index, round, promise; refused: hint_* */
    ORR_RAFT_SNAPSHOT,              /* snapshot, offset, data, done */
    ORR_RAFT_SNAPSHOT_REPLY,        /* snapshot.index and .term, offset: bytes it has on its disk, done */
    ORR_RAFT_READ,                  /* tag: the newest batch of reads that wait */
    ORR_RAFT_READ_REPLY,            /* tag: answers all batches up to this; read_index, time */
    ORR_RAFT_TIMEOUT_NOW            /* stand at once (thesis 3.10) */
};

struct orr_raft_msg {               /* fields that its type doesn't name are 0 */
    enum orr_raft_type type;
    orr_id from, to;
    orr_term term;

    orr_index last_log_index;
    orr_term last_log_term;
    bool forced;                    /* the leader itself, or the operator, wants this election: no stickiness */
    bool granted;

    orr_index prev_log_index;       /* in a reply: as refused; or how far the logs agree, on the disk or not yet */
    orr_term prev_log_term;
    const struct orr_entry *entries;    /* consecutive, from prev_log_index + 1 */
    size_t n_entries;
    orr_index leader_commit;
    uint64_t round;                 /* counts the leader's rounds of confirmation; echoed */
    bool want_reply;                /* answer at once, not only when the entries are on the disk */
    orr_time time;                  /* log time as the sender knows it; vote_reply: 0 when it doesn't */
    orr_index as_of_index;          /* all that was acknowledged before cluster time as_of_time is up to here; */
    orr_time as_of_time;            /* 0: it is not said */

    bool success;
    orr_index match_index;          /* on the disk, and as the leader's */
    orr_index hint_index;           /* refused: the logs can agree no later than here, */
    orr_term hint_term;             /* where this log has this term */
    bool promise;                   /* it votes for nobody else for `election` from now on: a lease may rest on it */

    struct orr_snapshot snapshot;
    uint64_t offset;
    struct orr_slice data;
    bool done;

    uint64_t tag;
    orr_index read_index;
};

struct orr_raft_ready {             /* borrowed until the next input or _ready; each item is handed out exactly once */
    struct orr_ready io;            /* its msgs are empty: they are here, typed */
    const struct orr_raft_msg *msgs;
    size_t n_msgs;
};

/* Defaults for people (election 1 s, heartbeat 0.1 s), pre_vote and check_quorum on. The caller sets self, voters,
 * chunks. */
ORR_API void orr_raft_config_init(struct orr_raft_config *cfg);
/* 0, or ORR_EINVALID and the bad field's name (static). */
ORR_API int orr_raft_config_check(const struct orr_raft_config *cfg, const char **field);
/* cfg's voters and learners as a snapshot's `config`; out: ORR_CONFIG_MAX bytes. */
ORR_API int orr_raft_config_encode(const struct orr_raft_config *cfg, unsigned char *out, size_t *size);
/* boot: NULL for an empty disk; borrowed. cfg: copied, but alloc and chunks are borrowed for the object's life.
 * ORR_EINVALID: a bad config; ORR_ECORRUPT: a boot that no disk of ours can hold. */
ORR_API int orr_raft_new(struct orr_raft **out, const struct orr_raft_config *cfg, const struct orr_boot *boot,
                         orr_time now);
ORR_API void orr_raft_free(struct orr_raft *r);

/* -- Inputs. As in order.h, where not said otherwise. ------------------------------------------------------------ */
ORR_API void orr_raft_wall(struct orr_raft *r, orr_time now, orr_time realtime);
ORR_API void orr_raft_clock(struct orr_raft *r, orr_time now, const struct orr_clock_reading *reading);
ORR_API int orr_raft_tick(struct orr_raft *r, orr_time now);
/* msg and its entries: borrowed; data with a chunk is held, without one copied. ORR_EINVALID: not from a member, or
 * not a message. ORR_ECORRUPT: it contradicts what is committed. */
ORR_API int orr_raft_recv(struct orr_raft *r, orr_time now, const struct orr_raft_msg *msg);
/* *first (may be NULL): the index of the first batch taken. */
ORR_API int orr_raft_propose(struct orr_raft *r, orr_time now, const struct orr_slice *batches, size_t n, size_t *taken,
                             orr_index *first);
ORR_API int orr_raft_read_index(struct orr_raft *r, orr_time now, uint64_t tag);
/* Stand for the next term at once, without asking first. ORR_EDENIED: not a voter, disenfranchised, or bound by a
 * promise to the leader (order.h, leases). */
ORR_API int orr_raft_campaign(struct orr_raft *r, orr_time now);
/* ORR_EINVALID: not the oldest store under way. A status < 0 other than ORR_EFULL is final: it takes no part any
 * more. */
ORR_API int orr_raft_stored(struct orr_raft *r, orr_time now, uint64_t store_id, int status);
ORR_API int orr_raft_part_stored(struct orr_raft *r, orr_time now, uint64_t part_id, int status);
ORR_API int orr_raft_fetched(struct orr_raft *r, orr_time now, uint64_t fetch_id, const struct orr_entry *entries,
                             size_t n, int status);
ORR_API int orr_raft_fetched_part(struct orr_raft *r, orr_time now, uint64_t fetch_id, struct orr_slice data,
                                  int status);
ORR_API int orr_raft_applied(struct orr_raft *r, orr_time now, orr_index through);
ORR_API int orr_raft_compacted(struct orr_raft *r, orr_time now, const struct orr_snapshot *snapshot,
                               orr_index keep_after);
ORR_API int orr_raft_greet(struct orr_raft *r, orr_time now, orr_id peer, orr_term term, orr_index last);
ORR_API int orr_raft_peer_lost(struct orr_raft *r, orr_time now, orr_id peer);
/* ORR_ENOLEADER: not the leader; ORR_EUNAVAILABLE: nobody to hand over to. Gives up after `election`. To ORR_NOBODY in
 * particular: who declines is passed over for the next. */
ORR_API int orr_raft_hand_over(struct orr_raft *r, orr_time now, orr_id to);
ORR_API void orr_raft_disenfranchise(struct orr_raft *r, orr_time now);
ORR_API int orr_raft_full(struct orr_raft *r, orr_time now, bool full);

/* -- Outputs ----------------------------------------------------------------------------------------------------- */
ORR_API const struct orr_raft_ready *orr_raft_ready(struct orr_raft *r);     /* NULL: nothing to do */
ORR_API orr_time orr_raft_deadline(const struct orr_raft *r);                /* ORR_NEVER: none */
/* Why role, term and leader are what they are: the last causes, at most `max`, the oldest first. */
ORR_API size_t orr_raft_causes(const struct orr_raft *r, struct orr_cause *out, size_t max);
ORR_API void orr_raft_status(const struct orr_raft *r, struct orr_order_status *out);
ORR_API void orr_raft_check(const struct orr_raft *r);

/* Seats of a member; one may have both of the first two, in joint consensus. */
enum { ORR_RAFT_VOTER = 1, ORR_RAFT_OUTGOING = 2, ORR_RAFT_LEARNER = 4 };
struct orr_raft_member {
    orr_id id;
    unsigned seats;
    orr_index match, next;          /* leader: what it knows of this member */
    orr_time heard;
    bool snapshot;                  /* it is being sent one */
};
/* The i-th member, sorted by id; false: no such. */
ORR_API bool orr_raft_member(const struct orr_raft *r, size_t i, struct orr_raft_member *out);

/* The state slice of a store or boot: version, term, vote. */
enum { ORR_RAFT_STATE_SIZE = 17 };
ORR_API void orr_raft_state_encode(unsigned char out[ORR_RAFT_STATE_SIZE], orr_term term, orr_id vote);
ORR_API int orr_raft_state_decode(struct orr_slice state, orr_term *term, orr_id *vote);     /* ORR_ECORRUPT */

#ifdef __cplusplus
}
#endif
#endif
