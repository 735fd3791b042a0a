/* trace.h - what a node tells its world's trace, for oracles outside it. Values only; borrowed during the call.
 *
 * Live worlds have no trace, and the cost is one test a call. */
#ifndef ORR_TRACE_H
#define ORR_TRACE_H

#include <orrery/membership.h>
#include <orrery/order.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a protocol frame claims about its sender's disk; zero what it doesn't. */
struct orr_claims {
    orr_term term;                  /* the sender has at least this term stored */
    bool vote;                      /* it stored a vote for `candidate` in `term` */
    orr_id candidate;
    orr_index match;                /* it stored all entries through here, as the leader of `term` has them */
    orr_index snapshot;             /* it stored the snapshot at this index */
    orr_index commit;               /* it says that this is committed (claims nothing of its disk) */
};

ORR_API uint32_t orr_group_number(const char *name);     /* what the trace calls a group of that name */

enum orr_trace_kind {
    ORR_TRACE_SEND = 1,             /* struct orr_trace_send: a protocol frame goes out */
    ORR_TRACE_STATUS,               /* struct orr_order_status: role, term, leader changed */
    ORR_TRACE_COMMIT,               /* struct orr_trace_commit: an entry is handed out as committed */
    ORR_TRACE_APPLY,                /* struct orr_trace_apply: an entry was applied */
    ORR_TRACE_RESTORE,              /* struct orr_trace_apply: the machine was loaded from a snapshot */
    ORR_TRACE_ACK,                  /* struct orr_trace_ack: a client is being told that its write was done */
    ORR_TRACE_READ,                 /* struct orr_trace_read: a client is being told the
                                     * result of a linearizable read */
    ORR_TRACE_STORED,               /* struct orr_trace_stored: the storage reported something durable */
    ORR_TRACE_RECOVERED,            /* struct orr_order_status: what a node found on its disk at start */
    ORR_TRACE_TAKEN,                /* struct orr_trace_ack: the leader put a batch of ours into
                                     * the log (or we re-sent it) */
    ORR_TRACE_SNAPSHOT,             /* orr_index: a snapshot was taken through here */
    ORR_TRACE_UPGRADE,              /* orr_index: from the next entry on the group's machine runs other code */
    ORR_TRACE_LEASE,                /* struct orr_trace_lease: what it would do by the clock at a turn's end */
    /* Of the node itself: the group is 0. */
    ORR_TRACE_CLOCK,                /* orr_time: the clock that it keeps for the cluster's time (orrery/time.h) is its
                                     * local clock plus this from now on */
    ORR_TRACE_TIME,                 /* struct orr_node_time: what somebody is told of the cluster's time */
    ORR_TRACE_STAMP,                /* struct orr_trace_stamp: its hybrid logical clock gives one (node_hlc.h), right
                                     * after an ORR_TRACE_TIME */
    ORR_TRACE_MEMBER                /* struct orr_trace_member: what it knows of a node's life has changed */
};
struct orr_trace_member {
    orr_id about;                   /* itself: it takes part, and `incarnation` is what it tells of itself from now */
    uint64_t incarnation;
    enum orr_member_state state;
    bool by_heartbeats;             /* its detector is one of heartbeats */
    bool unheard, linked;           /* unheard: the first of its life: it knows nothing of that node, and `linked` says
                                     * whether they may talk to each other */
    orr_time bound;                 /* of itself: orr_membership_bound() */
};
struct orr_trace_stamp {
    uint64_t stamp, heard;          /* orrery/hlc.h; heard: of the message whose receipt it is, or 0 */
    orr_time skew_max;              /* of the node's config */
};
struct orr_trace_send {
    orr_id to;
    struct orr_claims claims;
};
struct orr_trace_commit {
    orr_index index;
    orr_term term;
    orr_time time;
    uint32_t kind;
    uint64_t hash;                  /* XXH3-64 of the data */
    struct orr_slice data;
    bool leader;                    /* the node that says so leads */
};
struct orr_trace_apply {
    orr_index index;
    orr_term term;
    uint64_t digest;                /* of the machine and the duplicate filter, after it; 0: not taken */
    const char *name;               /* the group's; borrowed during the call */
};
struct orr_trace_ack {
    orr_index index;                /* the entry that did it */
    struct orr_birth birth;         /* origin */
    uint32_t incarnation;
    uint64_t sequence;
    uint64_t n_ops;
};
struct orr_trace_read {
    orr_index index;                /* applied index of the state it was served from */
    orr_index read_index;           /* what the protocol said it must at least be */
};
struct orr_trace_lease {
    orr_term term;
    orr_index commit, applied;
    bool held;                      /* a read would be answered by a lease now */
    orr_time age;                   /* so old the copy here is at most; ORR_NEVER: not known */
};
struct orr_trace_stored {
    uint64_t store_id;
    int status;
};

struct orr_group;
/* A machine tells the trace something of its group. */
ORR_API void orr_group_trace(const struct orr_group *g, enum orr_trace_kind kind, const void *event, size_t size);
/* What one node sends another, by its first bytes: for viewers. */
struct orr_glance {
    const char *kind;               /* "append", "heartbeat", "vote_reply", "call", "ping", ... */
    uint32_t group;                 /* 0: the nodes themselves */
    orr_term term;                  /* of the group's protocol, as the next two */
    orr_index index;                /* an append's last entry, its reply's match, a snapshot's */
    uint64_t count;                 /* of entries; of messages between hosts */
    bool refused;                   /* a reply that says no */
    char name[24];                  /* of the first message between hosts: its name, cut off where it is long */
};
/* parts: as the world was given them; order: of the groups, or NULL. ORR_EINVALID: that is no frame of a node's. */
ORR_API int orr_frame_glance(const struct orr_slice *parts, size_t n_parts, const struct orr_order_ops *order,
                             struct orr_glance *out);

#ifdef __cplusplus
}
#endif
#endif
