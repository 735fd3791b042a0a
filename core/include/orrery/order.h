/* order.h - what any protocol that keeps an ordered log looks like to the one driver (node/group.c) and to storage.
 *
 * Raft, and later Paxos and the others, give one static table; the driver knows no protocol. Payloads are slices that
 * nobody looks into: one batch's bytes are held by the log write, every peer's send and the apply queue at once.
 *
 * An entry's data is the batch of one node's turn: one header, one checksum, many commands.
 *
 * The order that the driver keeps in a turn: 1 inputs (completions, frames, proposals: all of the turn); 2 ready():
 * start sends; 3 start writes; 4 apply commits (a bounded number, the rest next turn); 5 answer; 6 alarm. It may keep
 * another order of 2 to 5: a message is in `msgs` only when what it claims is already stored. What may go out
 * before the leader's own sync (its appends: they claim nothing of its disk) is there at once; votes,
 * promises, acks are not.                                                                                            */
#ifndef ORR_ORDER_H
#define ORR_ORDER_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- The log ------------------------------------------------------------------------------------------------------- */
enum orr_entry_kind {               /* below 16: the protocol's own; the state machine sees DATA only */
    ORR_ENTRY_NOOP = 0,
    ORR_ENTRY_CONFIG = 1,           /* voters, learners: the founding one is entry 1 */
    ORR_ENTRY_LEVEL = 2,            /* the cluster's feature level */
    ORR_ENTRY_DATA = 16
};
struct orr_entry {
    orr_index index;
    orr_term term;                  /* a ballot, where the paper says so */
    orr_time time;                  /* log time, ns since 1970: the leader's stamp made monotone */
    uint32_t kind;
    struct orr_slice data;
};
/* Where a term begins: terms of all indices from `first` on, up to the next run's first. Sorted by `first`. */
struct orr_term_run {
    orr_index first;
    orr_term term;
};
/* A snapshot of everything through `index`. */
struct orr_snapshot {
    orr_index index;                /* 0: none */
    orr_term term;
    orr_time time;                  /* log time at index */
    uint64_t size;                  /* bytes of the file */
    uint64_t checksum;              /* XXH3-64 of its bytes */
    struct orr_slice config;        /* the configuration at index, as the protocol encoded it; at most ORR_CONFIG_MAX */
};

enum { ORR_STATE_MAX = 128, ORR_CONFIG_MAX = 4096 };

/* -- What a protocol wants done ------------------------------------------------------------------------------------ */
/* A message: head and bodies go out as one frame. cls: 0 control, 1 bulk. */
struct orr_out {
    orr_id to;
    unsigned cls;
    struct orr_slice head;
    const struct orr_slice *body;
    size_t n_body;
};
/* Make durable, then call stored(id). Stores may overlap; they are reported in the order of their ids, and a failed one
 * fails all after it. ORR_EFULL isn't final: nothing of that store was written, nor entries of those after it that were
 * handed out before it was reported; the protocol forgets them. What has no chunk stays as it is until it is
 * reported. */
struct orr_store {
    uint64_t id;
    struct orr_slice state;         /* size 0: as before; else replaces the group's state (term, vote, ...) */
    const struct orr_entry *entries;
    size_t n_entries;               /* consecutive indices */
    bool truncate;                  /* whatever the log has at entries[0].index and after is replaced */
    bool urgent;                    /* somebody waits for it: a vote, a quorum's last ack */
};
/* A piece of a snapshot that a peer sends: write it at `offset` of the incoming file, then call part_stored(id). When
 * `done`: check size and checksum, sync, name it, and only then report; its log begins anew after snapshot.index. */
struct orr_part {
    uint64_t id;
    struct orr_snapshot snapshot;
    uint64_t offset;
    struct orr_slice data;
    bool done;
};
/* Wanted from the disk. ENTRIES: from..through, at most bytes_max (but one entry in any case), then fetched().
 * SNAPSHOT: `bytes_max` bytes at `offset` of the snapshot file of (index from, term), then fetched_part(). */
enum orr_fetch_kind { ORR_FETCH_ENTRIES, ORR_FETCH_SNAPSHOT };
struct orr_fetch {
    uint64_t id;
    enum orr_fetch_kind kind;
    orr_index from, through;
    orr_term term;
    uint64_t offset;
    size_t bytes_max;
};
/* A read may be served once applied >= index, at log time `time`; or it was refused: status < 0, surely not served. */
struct orr_answer {
    uint64_t tag;
    orr_index index;
    orr_time time;
    int status;
};
/* Borrowed until the next input or ready(); each item is handed out exactly once. */
struct orr_ready {
    const struct orr_store *stores;
    size_t n_stores;
    const struct orr_part *parts;
    size_t n_parts;
    const struct orr_out *msgs;
    size_t n_msgs;
    const struct orr_entry *commits;    /* to apply, in order, all kinds; then applied(). Slices: hold what you keep */
    size_t n_commits;
    const struct orr_answer *answers;
    size_t n_answers;
    const struct orr_fetch *fetches;
    size_t n_fetches;
    const struct orr_snapshot *restore; /* or NULL: load this snapshot (stored before) into the machine,
                                         * then applied(index) */
    bool status_changed;                /* role, term or leader are not what they were */
};

enum orr_role { ORR_FOLLOWER, ORR_PRECANDIDATE, ORR_CANDIDATE, ORR_LEADER, ORR_LEARNER };
struct orr_order_status {
    orr_id id, leader, vote;
    enum orr_role role;
    orr_term term;
    orr_index first, last, stored, commit, applied;
    orr_index snapshot;
    size_t window_bytes;
    uint64_t queued_bytes;          /* proposed, not committed */
    int error;                      /* why it takes no part any more: a failed store's status, ORR_EDENIED:
                                     * disenfranchised; else 0 */
    bool ailing;                    /* its disk is full, or takes longer than `stall`: it would rather not lead */
    orr_time lease;                 /* leader: monotonic; until then it serves reads without asking. 0: it has none */
    orr_time as_of;                 /* monotonic: what is applied here has all that was acknowledged before then; 0: not
                                     * known */
};

/* -- Why it is as it is -------------------------------------------------------------------------------------------- */
/* What led to a change of role, term or leader; for people, and of no consequence. */
enum orr_cause_kind {
    ORR_CAUSE_START,                /* begun, with the term that the disk has */
    ORR_CAUSE_SILENCE,              /* heard nothing for `waited` from `peer`, its leader, or from any (ORR_NOBODY) */
    ORR_CAUSE_PREVOTE,              /* asked the voters whether they would vote for it in `term`, which it does not
                                     * enter for that */
    ORR_CAUSE_VOTE,                 /* entered `term` and asked the voters for their votes */
    ORR_CAUSE_WON,                  /* leads `term` */
    ORR_CAUSE_LEADER,               /* heard from `peer`, which leads `term` */
    ORR_CAUSE_TERM,                 /* `peer` spoke of `term`, a later one */
    ORR_CAUSE_VOTED,                /* voted for `peer` in `term` */
    ORR_CAUSE_ALONE,                /* led, and heard from no majority for `waited` */
    ORR_CAUSE_ASKED_TO_LEAD,        /* by `peer`, its leader; ORR_NOBODY: by an operator */
    ORR_CAUSE_HANDS_OVER,           /* led, and asked `peer` to lead */
    ORR_CAUSE_MUTE                  /* takes no part any more: `status` */
};
enum orr_ballot { ORR_BALLOT_SILENT, ORR_BALLOT_YES, ORR_BALLOT_NO };
enum { ORR_CAUSE_VOTERS = 7 };
struct orr_cause {
    enum orr_cause_kind kind;
    orr_time at, last;              /* monotonic: when; and when the last of several that were the same */
    uint32_t count;                 /* how many of them, 1 at least */
    orr_term term;
    orr_id peer;
    orr_time waited;
    int status;
    unsigned n_voters;              /* that were asked, of them those that fit in here */
    orr_id voters[ORR_CAUSE_VOTERS];
    enum orr_ballot ballots[ORR_CAUSE_VOTERS];
};

/* What the disk knew at start. Everything is borrowed during new(). */
struct orr_boot {
    struct orr_slice state;         /* size 0: nothing was ever stored */
    orr_index first, last;          /* entries on disk: first..last; empty: last == first - 1 */
    const struct orr_term_run *runs;
    size_t n_runs;
    struct orr_snapshot snapshot;   /* index 0: none. first <= snapshot.index + 1 */
    const struct orr_entry *configs;    /* the CONFIG entries among first..last, in order */
    size_t n_configs;
    orr_time time;                  /* log time of the last entry, or of the snapshot */
};

/* What this node knows of the cluster's time (orrery/time.h). */
struct orr_clock_reading {
    bool trusted;                   /* within its bound: this node gives and takes leases */
    orr_time earliest, latest;      /* ns since 1970; both 0: not known */
};
struct orr_member {
    orr_id id;
    const char *name;               /* borrowed during new() */
};
struct orr_order_config {
    orr_id self;
    const struct orr_member *voters;    /* the founding configuration, sorted by id;
                                         * written as entry 1 where the disk is empty */
    size_t n_voters;
    orr_time election, heartbeat;       /* ns; an election starts after 1 to 2 times `election` without a leader */
    orr_time stall;                     /* ns; a store under way for so long: this disk is sick, and others should
                                         * lead. 0: four times `election` */
    uint64_t seed;
    size_t window_bytes, window_entries;     /* entries kept in memory */
    size_t inflight_bytes, inflight_messages;/* to one peer, not yet acknowledged */
    size_t message_bytes;                    /* of entries in one message, one entry in any case */
    size_t queue_bytes;                      /* proposed and not committed: above, propose is refused */
    size_t part_bytes;                       /* of a snapshot in one message */
    const struct orr_alloc *alloc;
    struct orr_chunks *chunks;
    bool leases;                        /* leaders serve reads by leases, and members promise what these rest on */
    struct orr_rare rare;           /* another size, another order, too early: nothing that breaks a promise */
};

/* -- The table. All calls are from one thread and never re-entered; `x` is the protocol's object. ------------------ */
struct orr_order_ops {
    const char *name;               /* "raft" */
    void (*config_init)(struct orr_order_config *cfg);
    int (*create)(void **x, const struct orr_order_config *cfg, const struct orr_boot *boot, orr_time now);
    void (*destroy)(void *x);
    /* The machine's wall clock at `now`: what log time follows (it never goes back,
     * and advances at most 1.1 times as fast as `now`). Once a turn, before the inputs. */
    void (*wall)(void *x, orr_time now, orr_time realtime);
    /* `now`: read when the turn's inputs were in, before the turn's first ready(). Without it there are no leases, and
     * no copy is dated. Optional (NULL). */
    void (*clock)(void *x, orr_time now, const struct orr_clock_reading *reading);
    /* A frame of a peer that the handshake knows. ORR_EINVALID: not a message; nothing changed.
     * Slices are held as needed. */
    int (*recv)(void *x, orr_time now, orr_id from, struct orr_slice frame);
    /* Batches to append, in order; *taken of them were. ORR_ENOLEADER (not the leader), ORR_EOVERLOADED, ORR_EFULL. */
    int (*propose)(void *x, orr_time now, const struct orr_slice *batches, size_t n, size_t *taken);
    /* A linearizable read, on any node: one answer with this tag will come. ORR_EOVERLOADED, ORR_ENOLEADER. */
    int (*read)(void *x, orr_time now, uint64_t tag);
    int (*stored)(void *x, orr_time now, uint64_t store_id, int status);
    int (*part_stored)(void *x, orr_time now, uint64_t part_id, int status);
    int (*fetched)(void *x, orr_time now, uint64_t fetch_id, const struct orr_entry *entries, size_t n, int status);
    int (*fetched_part)(void *x, orr_time now, uint64_t fetch_id, struct orr_slice data, int status);
    int (*applied)(void *x, orr_time now, orr_index through);
    /* This node has a snapshot of its own now; entries through `keep_after` may go from the disk. */
    int (*compacted)(void *x, orr_time now, const struct orr_snapshot *snapshot, orr_index keep_after);
    /* What a peer says of itself when it connects: its durable term and its last index in it. ORR_ECORRUPT: it has lost
     * what it acknowledged to this node, and must not vote. */
    int (*greet)(void *x, orr_time now, orr_id peer, orr_term term, orr_index last);
    int (*peer_lost)(void *x, orr_time now, orr_id peer);       /* its connection is gone: what was in flight is too */
    int (*hand_over)(void *x, orr_time now, orr_id to);         /* leadership to `to`, or to the best when ORR_NOBODY */
    /* May this node vote and stand? false after the others said that it lost its memory, or its disk failed. */
    void (*disenfranchise)(void *x, orr_time now);
    int (*full)(void *x, orr_time now, bool full);              /* the disk is: a leader refuses proposals,
                                                                 * no-ops and votes go on */
    int (*tick)(void *x, orr_time now);
    orr_time (*deadline)(const void *x);
    const struct orr_ready *(*ready)(void *x);                  /* NULL: nothing to do */
    void (*status)(const void *x, struct orr_order_status *out);
    /* The last causes, at most `max`, the oldest first. Optional (NULL). */
    size_t (*causes)(const void *x, struct orr_cause *out, size_t max);
    void (*check)(const void *x);                               /* asserts every structural invariant */
    /* For oracles: what a message claims, by its head as it is in `msgs` (orrery/trace.h: struct orr_claims);
     * ORR_EINVALID. Pure. */
    int (*claims)(struct orr_slice head, void *claims);
    /* For viewers: what a message is, by its head as it is in `msgs` (orrery/trace.h: struct orr_glance); ORR_EINVALID.
     * Pure. Optional (NULL). */
    int (*glance)(struct orr_slice head, void *glance);
};

ORR_API extern const struct orr_order_ops orr_raft_order;

#ifdef __cplusplus
}
#endif
#endif
