/* membership.h - who is in the cluster, and who of them is alive.
 *
 * SWIM (Das, Gupta and Motivala, DSN 2002) with what Lifeguard adds (Dadgar, Phillips and Currey, DSN-W 2018): each
 * member probes one other an interval, asks others to probe it where no answer comes, suspects it before it is declared
 * failed, and tells what it learned on the back of its probes. Or, behind the same face, detectors by heartbeats alone:
 * phi-accrual (Hayashibara and others, SRDS 2004) and a plain deadline.
 *
 *     struct orr_membership_config cfg;
 *     orr_membership_config_init(&cfg);
 *     cfg.self = (struct orr_member_self){ .name = "a", .address = "10.0.0.1:7400", .incarnation = starts << 32 };
 *     orr_membership_new(&m, &cfg, now);
 *     orr_membership_know(m, now, "b", "10.0.0.2:7400", true);        // whom to join by
 *     ... a datagram came from b:     orr_membership_recv(m, now, orr_id_of("b"), bytes);
 *     ... now is its deadline:        orr_membership_tick(m, now);
 *     ... and after each input:
 *     while ((r = orr_membership_ready(m))) {
 *         if (r->kind == ORR_MEMBERSHIP_PACKET) send r->packet.bytes to r->packet.to;
 *         else somebody came or went: r->event
 *     }
 *     orr_membership_deadline(m) is when it wants to be called next.
 *
 * A member's state travels with its incarnation, which it alone raises: of two things said of it the one with the
 * higher incarnation stands, and of equal ones the worse (left, failed, suspect, alive). Who hears that he is suspected
 * raises his and says that he lives. An incarnation is never used by two lives of a node: `incarnation` at its start is
 * above all that it ever had, and its upper 32 bits tell one life from another.
 *
 * Sans-IO: no clock, no sockets, no chance but from `seed`. Times are of one monotonic clock, `now` never goes back.
 * One thread at a time. Records cost about 170 bytes a member and what its tags take, and 190 more of each that this
 * node has probed or was probed by; nothing else grows. */
#ifndef ORR_MEMBERSHIP_H
#define ORR_MEMBERSHIP_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ORR_MEMBERS_MAX = 16384,
    ORR_MEMBER_NAME_MAX = 63, ORR_MEMBER_ADDRESS_MAX = 127, ORR_MEMBER_ZONE_MAX = 127, ORR_MEMBER_TAGS_MAX = 512,
    ORR_MEMBERSHIP_PACKET_MAX = 1200,   /* bytes of a datagram */
    ORR_MEMBERSHIP_KEY = 32,        /* bytes of a key */
    ORR_MEMBERSHIP_KEYS_MAX = 8,
    ORR_MEMBER_PROBES_KEPT = 8      /* of each member, for people */
};

/* In the order of their weight, among things said of the same incarnation. */
enum orr_member_state { ORR_MEMBER_ALIVE, ORR_MEMBER_SUSPECT, ORR_MEMBER_FAILED, ORR_MEMBER_LEFT };
ORR_API const char *orr_member_state_word(enum orr_member_state state);         /* "alive", ... */

enum orr_detector {
    ORR_DETECTOR_SWIM,
    ORR_DETECTOR_PHI,               /* heartbeats to all that may be talked to; suspect from phi_suspect on, failed from
                                     * phi_fail on. What this node sees alone: nobody is told of failures, so those
                                     * that it may not talk to are not known to fail */
    ORR_DETECTOR_DEADLINE           /* likewise; suspect after half of `silence`, failed after all of it */
};
ORR_API const char *orr_detector_word(enum orr_detector detector);              /* "swim", "phi", "deadline" */

struct orr_member_self {
    const char *name;               /* 1 to ORR_MEMBER_NAME_MAX bytes */
    const char *address;            /* where others reach it; told to them. NULL: "" */
    const char *zone;               /* NULL: "" */
    struct orr_slice tags;          /* the caller's, whatever they are: up to ORR_MEMBER_TAGS_MAX bytes */
    uint32_t version;               /* of the node's program or script, as the caller counts it */
    uint64_t incarnation;           /* above all of earlier lives: starts << 32 is that */
};
struct orr_membership_config {
    size_t size;                    /* set by config_init */
    struct orr_member_self self;    /* copied */
    uint64_t cluster;               /* packets of another are dropped */
    bool open;                      /* names join that nobody gave to orr_membership_know */
    enum orr_detector detector;     /* the same on all nodes */
    /* SWIM; memberlist's figures for a local network. */
    orr_time probe_interval;        /* 1 s; of heartbeats too */
    orr_time probe_timeout;         /* 500 ms, then others are asked; below the interval */
    unsigned indirect;              /* 3: whom to ask */
    unsigned suspicion_mult;        /* 4: a suspect is failed after so many probe intervals times log10 of members, */
    unsigned suspicion_max_mult;    /* 6: times this where nobody else suspects it too (Lifeguard) */
    unsigned retransmit_mult;       /* 4: a change is told so many times log10 of the members */
    orr_time gossip_interval;       /* 200 ms, while there is something to tell; to: */
    unsigned gossip_nodes;          /* 3 */
    orr_time gossip_dead;           /* 30 s: so long a failed one is told, too: it may live */
    orr_time sync_interval;         /* 30 s: compares all with one other (anti-entropy); 0: never */
    unsigned awareness_max;         /* 8: a node that seems slow itself waits so many times longer, at most */
    orr_time forget;                /* 24 h: who failed or left is forgotten, told of for half of it; 0: never */
    /* Heartbeats. */
    double phi_suspect, phi_fail;   /* 5, 8 */
    orr_time silence;               /* 5 s */
    uint32_t seed;
    struct orr_alloc alloc;
};
struct orr_membership;

ORR_API void orr_membership_config_init(struct orr_membership_config *cfg);
/* The name of a field (static text) that is out of its range; NULL: none is. */
ORR_API const char *orr_membership_wrong(const struct orr_membership_config *cfg);
/* ORR_EINVALID with *why (static text; may be NULL) naming the field; -ENOMEM. */
ORR_API int orr_membership_new(struct orr_membership **out, const struct orr_membership_config *cfg, orr_time now,
                               const char **why);
ORR_API void orr_membership_free(struct orr_membership *m);     /* NULL is nothing */

/* -- Inputs -------------------------------------------------------------------------------------------------------- */
/* A node that the operator names: it may join, and is asked to let this one join if it `may_talk` (else there is no way
 * between the two: it is known by what others say). Again: another address, another way. It is no member until it was
 * heard of. ORR_EINVALID: no name, one's own, an address that is too long; ORR_EOVERLOADED: ORR_MEMBERS_MAX;
 * -ENOMEM. */
ORR_API int orr_membership_know(struct orr_membership *m, orr_time now, const char *name, const char *address,
                                bool may_talk);
/* Is that a membership's datagram, by its first bytes? */
ORR_API bool orr_membership_is(struct orr_slice bytes);
/* A datagram. from: whose address it came from, ORR_NOBODY where that is nobody's whom we know. 0; < 0: dropped and
 * counted: ORR_EINVALID (malformed, another cluster's), ORR_EDENIED (no key of ours made it; it is from a stranger, or
 * from one whom we may not talk to), ORR_ECONFLICT (it isn't who it says, or is for another). `bytes` is borrowed
 * during the call. */
ORR_API int orr_membership_recv(struct orr_membership *m, orr_time now, orr_id from, struct orr_slice bytes);
/* That member was heard by other means, a stream: it lives. Counts as the answer to a probe by a way of its own. */
ORR_API void orr_membership_heard(struct orr_membership *m, orr_time now, orr_id id);
ORR_API void orr_membership_tick(struct orr_membership *m, orr_time now);
/* This node leaves: others are told; orr_membership_gone is true when enough of them were, or nobody is there. */
ORR_API void orr_membership_leave(struct orr_membership *m, orr_time now);
ORR_API bool orr_membership_gone(const struct orr_membership *m);
/* Others are told of new tags, of another version. Copied. ORR_EINVALID: too long; -ENOMEM. */
ORR_API int orr_membership_tags(struct orr_membership *m, orr_time now, struct orr_slice tags);
ORR_API int orr_membership_version(struct orr_membership *m, orr_time now, uint32_t version);

/* Keys. With one or more, packets bear a code made with the first (the primary), and such are believed as any of them
 * made. Without, none is asked for. To rotate: add the new one everywhere, then make it primary everywhere, then remove
 * the old one. A key that is there is not added twice. Removing: ORR_EINVALID where it isn't there or is the primary
 * and not the last. ORR_EOVERLOADED: ORR_MEMBERSHIP_KEYS_MAX. */
/* A key from a secret text of any length: its BLAKE2b-256. */
ORR_API void orr_membership_key_of(const void *secret, size_t size, unsigned char key[ORR_MEMBERSHIP_KEY]);
ORR_API int orr_membership_key_add(struct orr_membership *m, const unsigned char key[ORR_MEMBERSHIP_KEY]);
ORR_API int orr_membership_key_primary(struct orr_membership *m, const unsigned char key[ORR_MEMBERSHIP_KEY]);
ORR_API int orr_membership_key_remove(struct orr_membership *m, const unsigned char key[ORR_MEMBERSHIP_KEY]);

/* -- Outputs ------------------------------------------------------------------------------------------------------- */
enum orr_membership_ready_kind { ORR_MEMBERSHIP_PACKET, ORR_MEMBERSHIP_EVENT };
enum orr_member_event_kind {
    ORR_MEMBER_JOINS,               /* it is here, and was not (it may have been, in an earlier life, or had left) */
    ORR_MEMBER_SUSPECTED,
    ORR_MEMBER_REFUTED,             /* was suspected, lives */
    ORR_MEMBER_FAILS,
    ORR_MEMBER_RETURNS,             /* had failed, lives: the same life or another */
    ORR_MEMBER_LEAVES,
    ORR_MEMBER_CHANGES              /* other tags, address or version; another life, before anybody missed it */
};
struct orr_member_event {
    enum orr_member_event_kind kind;
    orr_id id;
    const char *name;               /* the membership's, until its next input */
    uint64_t incarnation;
    orr_id by;                      /* who suspected or failed it first, as this node has it; ORR_NOBODY: itself */
};
struct orr_membership_ready {       /* valid until the next input or ready() */
    enum orr_membership_ready_kind kind;
    struct {
        orr_id to;
        const char *address;
        struct orr_slice bytes;     /* borrowed */
    } packet;
    struct orr_member_event event;
};
/* Each thing once. NULL: nothing to do until the next input. */
ORR_API const struct orr_membership_ready *orr_membership_ready(struct orr_membership *m);
ORR_API orr_time orr_membership_deadline(const struct orr_membership *m);      /* ORR_NEVER: none */

/* How long after the last fault, at most, n members that can all talk to each other take to agree on who lives: those
 * that are gone are found, those that were wrongly failed are found again, and all are told. With high probability, as
 * the papers have it: where packets are still lost it may take longer. */
ORR_API orr_time orr_membership_bound(const struct orr_membership_config *cfg, size_t n);

/* -- Looking ------------------------------------------------------------------------------------------------------- */
enum orr_member_way { ORR_WAY_NONE, ORR_WAY_DIRECT, ORR_WAY_INDIRECT, ORR_WAY_STREAM };   /* how it answered */
struct orr_member_info {
    orr_id id;
    const char *name, *address, *zone;      /* the membership's, until its next input */
    struct orr_slice tags;
    uint32_t version;
    uint64_t incarnation;
    enum orr_member_state state;
    orr_time since;                 /* of that state, as this node knows it */
    orr_time rtt;                   /* of direct probes, smoothed; 0: none was answered yet, or it is this node */
    bool self, may_talk;
    /* Does a datagram get there and back? NONE: no, as of the last probe; DIRECT; INDIRECT: over others only: the link
     * is cut, the node lives; STREAM: by its stream only. */
    enum orr_member_way way;
    orr_time probed;                /* when that was found; INT64_MIN: never */
};
ORR_API size_t orr_membership_count(const struct orr_membership *m);
/* The i-th in the order of names, this node among them, those who left or failed too. False: past the end. */
ORR_API bool orr_membership_at(const struct orr_membership *m, size_t i, struct orr_member_info *out);
ORR_API bool orr_membership_find(const struct orr_membership *m, orr_id id, struct orr_member_info *out);

/* Why is a member what it is? Evidence. */
struct orr_member_probe {
    orr_time at;                    /* when it was sent */
    enum orr_member_way way;        /* NONE: no answer, */
    orr_time rtt;                   /* DIRECT: of the answer */
    unsigned asked, nacks;          /* so many were asked to probe it, so many said that they had no answer either */
};
struct orr_member_why {
    struct orr_member_info member;
    size_t n_probes;
    struct orr_member_probe probes[ORR_MEMBER_PROBES_KEPT];    /* of this node's, the oldest first */
    orr_id suspected_by;            /* who said so first, of this incarnation; ORR_NOBODY: nobody did */
    unsigned confirmed;             /* by so many others */
    orr_time suspected, fails;      /* since when; when it will be declared failed; ORR_NEVER: it isn't, it won't be */
    double phi;                     /* PHI */
    unsigned awareness;             /* this node's own score: 0 is healthy */
};
/* ORR_EINVALID: no such member. */
ORR_API int orr_membership_why(const struct orr_membership *m, orr_time now, orr_id id, struct orr_member_why *out);

/* The likely round trip between two members, by their network coordinates (Vivaldi; Dabek and others, SIGCOMM 2004):
 * *error (may be NULL) is how far that is off, as a fraction, by their own account. ORR_EUNAVAILABLE: one of them has
 * not been heard from yet. */
ORR_API int orr_membership_estimate(const struct orr_membership *m, orr_id a, orr_id b, orr_time *rtt, double *error);

/* X(field, word): counters. The dropped ones changed nothing. */
#define ORR_MEMBERSHIP_COUNTERS(X)                                                                                     \
    X(packets_in, "packets_in")                                                                                        \
    X(packets_out, "packets_out")                                                                                      \
    X(bytes_out, "bytes_out")                                                                                          \
    X(probes, "probes")                                                                                                \
    X(probes_failed, "probes_failed")       /* neither directly nor over others */                                     \
    X(refuted, "refuted")                   /* it was said of this node that it is not alive */                        \
    X(dropped_malformed, "malformed")                                                                                  \
    X(dropped_cluster, "other_cluster")                                                                                \
    X(dropped_key, "wrong_key")                                                                                        \
    X(dropped_stranger, "stranger")         /* from or about nobody we know, and it isn't `open` */                    \
    X(dropped_late, "late")                 /* an answer that nobody waits for any more */                             \
    X(stale, "stale")                       /* told of an older incarnation, or what was known */
struct orr_membership_status {
    size_t alive, suspect, failed, left;
    unsigned awareness;
    uint64_t incarnation;
    size_t untold;                  /* changes that are still being told */
#define ORR_X(field, word) uint64_t field;
    ORR_MEMBERSHIP_COUNTERS(ORR_X)
#undef ORR_X
};
ORR_API void orr_membership_status(const struct orr_membership *m, struct orr_membership_status *out);

#ifdef __cplusplus
}
#endif
#endif
