/* internal.h - what the files of the Raft room share: the object, its parts, who does what.
 *
 *   raft.c            life, inputs, one recv that checks the term, ready, deadline
 *   raft_election.c   timeouts, pre-vote, votes, becoming something else; hand-over's other end
 *   raft_replicate.c  the leader: appends, acks, commit, heartbeats, hand-over
 *   raft_follow.c     the follower: taking entries, acknowledging them
 *   raft_read.c       reads: rounds of confirmation, forwarding
 *   raft_lease.c      leases: reads without a round; as of when a copy is whole
 *   raft_snapshot.c   sending and receiving snapshots, compaction
 *   raft_store.c      stores, what is durable, commits to apply, fetches for them
 *   raft_ailing.c     a disk that is full or sick: others should lead
 *   raft_log.c        the window of entries in memory, the terms of all the others
 *   raft_why.c        what led to it all, for people
 *   raft_config.c     members;  raft_time.c  log time;  raft_quorum.c  majorities;  raft_check.c  invariants
 *   raft_codec.c      messages as bytes;  raft_order.c  the table for the driver
 *
 * Decided and durable are kept apart by name: term and term_stored, vote and vote_stored, last and stored. */
#ifndef ORRI_RAFT_INTERNAL_H
#define ORRI_RAFT_INTERNAL_H

#include "base/assert.h"
#include "base/rng.h"
#include <errno.h>
#include <orrery/raft.h>
#include <string.h>

enum {
    ORRI_RAFT_MEMBERS_MAX = 64,
    ORRI_RAFT_NAME_MAX = 255,
    ORRI_RAFT_STORES_MAX = 64,      /* stores under way */
    ORRI_RAFT_READS_MAX = 1024,     /* reads that wait */
    ORRI_RAFT_BURST = 8,            /* appends to one peer in one ready */
    ORRI_RAFT_QUEUE_PER_PEER = 11,  /* one message of each type */
    ORRI_RAFT_CAUSES = 32           /* that are remembered */
};

/* -- raft_quorum.c: pure ----------------------------------------------------------------------------------------- */
enum orri_verdict { ORRI_PENDING, ORRI_WON, ORRI_LOST };
/* The greatest value that a majority has reached; sorts `values`. Nobody to ask: UINT64_MAX. */
uint64_t orri_quorum_reached(uint64_t *values, size_t n);
enum orri_verdict orri_quorum_vote(size_t yes, size_t no, size_t n);
/* Joint consensus: both must agree. */
enum orri_verdict orri_quorum_both(enum orri_verdict a, enum orri_verdict b);

/* -- raft_log.c -------------------------------------------------------------------------------------------------- */
struct orri_raft_log {
    const struct orr_alloc *alloc;
    struct orr_entry *ring;         /* entry i is in ring[i & (cap - 1)] */
    size_t cap, entries_max;
    size_t bytes, bytes_max;        /* of the window's data */
    orr_index first, last;          /* the log: on the disk or on its way there */
    orr_index window;               /* the oldest entry in memory; last + 1: none */
    orr_term base_term;             /* of first - 1, if known: */
    bool base_known;
    struct orr_term_run *runs;      /* cover first..last */
    size_t n_runs, cap_runs;
};
int orri_raft_log_init(struct orri_raft_log *log, const struct orr_order_config *cfg, const struct orr_boot *boot);
void orri_raft_log_clear(struct orri_raft_log *log);
bool orri_raft_log_term(const struct orri_raft_log *log, orr_index index, orr_term *term); /* false: not known here */
orr_term orri_raft_log_last_term(const struct orri_raft_log *log);
const struct orr_entry *orri_raft_log_at(const struct orri_raft_log *log, orr_index index);   /* in the window */
/* Room for one more entry of `size` bytes, at the expense of old ones up to `evict_through`. */
bool orri_raft_log_room(struct orri_raft_log *log, size_t size, orr_index evict_through);
void orri_raft_log_evict(struct orri_raft_log *log, orr_index through);   /* from memory; the disk has them */
int orri_raft_log_reserve(struct orri_raft_log *log, size_t runs);
void orri_raft_log_append(struct orri_raft_log *log, const struct orr_entry *entry);          /* data: moved */
void orri_raft_log_truncate(struct orri_raft_log *log, orr_index from);
void orri_raft_log_compact(struct orri_raft_log *log, orr_index keep_after);
void orri_raft_log_restart(struct orri_raft_log *log, orr_index index, orr_term term); /* empty, after a snapshot */
/* Entries from..through that lie in the window side by side: at most n_max, and bytes_max but for the first. */
size_t orri_raft_log_span(const struct orri_raft_log *log, orr_index from, orr_index through, size_t n_max,
                          size_t bytes_max, const struct orr_entry **at);
/* The greatest index <= `index` whose term is <= `term`; never below first - 1. */
orr_index orri_raft_log_agree(const struct orri_raft_log *log, orr_index index, orr_term term);
void orri_raft_log_check(const struct orri_raft_log *log, bool whole);

/* -- raft_time.c ------------------------------------------------------------------------------------------------- */
struct orri_raft_time {
    orr_time stamp, at;             /* log time was `stamp` when the monotonic clock said `at` */
    bool anchored;                  /* `at` is of this life: a leader said so, or this node stamped as one */
    orr_time real, real_at;         /* the machine's wall clock; real_at ORR_NEVER: not told yet */
};
void orri_raft_time_init(struct orri_raft_time *t, orr_time last, orr_time now);
void orri_raft_time_wall(struct orri_raft_time *t, orr_time now, orr_time real);
orr_time orri_raft_time_guess(const struct orri_raft_time *t, orr_time now);
orr_time orri_raft_time_stamp(struct orri_raft_time *t, orr_time now);             /* leader: the stamp of `now` */
void orri_raft_time_hear(struct orri_raft_time *t, orr_time now, orr_time stamp);  /* a stamp of `now` or before */
void orri_raft_time_floor(struct orri_raft_time *t, orr_time now, orr_time stamp);    /* an entry, of unknown age */

/* -- The object -------------------------------------------------------------------------------------------------- */
struct orri_raft_batch {            /* entries from the disk, held */
    size_t n;
    struct orr_entry entries[];
};
struct orri_raft_sent {             /* one append on its way */
    orr_index last;
    size_t bytes;
};
enum orri_raft_progress { ORRI_PROBE, ORRI_REPLICATE, ORRI_SNAPSHOT };
enum orri_raft_ballot { ORRI_SILENT, ORRI_YES, ORRI_NO };

struct orri_raft_peer {             /* a member; this node is one, too */
    orr_id id;
    unsigned seats;
    enum orri_raft_ballot ballot;   /* to this node's candidacy */
    orr_term told;                  /* greatest term that it claimed to have on its disk */
    bool lost;                      /* it forgot what it acknowledged: counts for nothing */

    enum orri_raft_progress progress;
    orr_index next, match;
    bool probing;                   /* PROBE: the one is on its way */
    bool poke;                      /* wants an append with want_reply now, an empty one if need be */
    orr_index commit_sent;
    struct orri_raft_sent *sent;    /* ring of inflight_messages */
    size_t sent_first, n_sent, sent_bytes;
    orr_time heard, sent_at, moved_at;   /* a reply; an append; match, or a first append under way */
    orr_time declined_until;        /* it would not, or did not, take leadership over: not asked before then */
    uint64_t round, promised;       /* acknowledged; with a promise */
    uint64_t fetch;                 /* under way for it, or 0 */
    struct orri_raft_batch *batch;  /* fetched, to be sent next */

    struct orr_snapshot snapshot;   /* SNAPSHOT: what is being sent */
    uint64_t offset;                /* the receiver has */
    bool waiting;                   /* a part is on its way */
};

struct orri_raft_queued {
    struct orr_raft_msg msg;
    uint64_t after;                 /* the store that it waits for */
};
struct orri_raft_stored {           /* a store under way */
    uint64_t id;
    orr_time since;                 /* when it was handed out */
    orr_term term;
    orr_id vote;
    orr_index last;                 /* lowered when the log is cut: then it no longer speaks of this log */
    unsigned char state[ORR_RAFT_STATE_SIZE];
};
struct orri_raft_read {
    uint64_t tag;
    orr_id from;
    orr_time asked;
    uint64_t round;                 /* leader: to be confirmed; follower: its batch; 0: neither yet */
    orr_index index;
    orr_time time;
};
struct orri_raft_as_of {            /* all that was acknowledged before then is up to `index` */
    orr_index index;
    orr_time time;                  /* the cluster's, or an earlier one; 0: nothing is known */
    orr_time since;                 /* by this node's clock, or an earlier one */
};
struct orri_raft_incoming {         /* a snapshot that comes in */
    struct orr_snapshot snapshot;   /* index 0: none */
    orr_term term;                  /* of the leader that sends it */
    uint64_t have;                  /* bytes on the disk */
    uint64_t part;                  /* id of the part being written, or 0 */
    size_t part_size;
    bool done;                      /* that part is the last: the log is about to begin anew */
};

struct orr_raft {
    struct orr_raft_config cfg;
    struct orr_alloc alloc;
    struct orr_rng rng;
    orr_time now;

    struct orri_raft_peer *peers;   /* sorted by id */
    size_t n_peers;
    struct orri_raft_peer *me;      /* NULL: not a member */

    enum orr_role role;
    orr_term term, term_stored;
    orr_id vote, vote_stored, leader;
    bool mute;                      /* takes no part: disenfranchised, or its disk failed */
    int error;                      /* why */
    bool full;
    orr_time last_took;             /* the last store done */
    orr_time well_at;               /* a store took too long: not quite trusted until then */

    struct orri_raft_log log;
    struct orri_raft_time time;
    orr_index submitted;            /* stores for it were handed out */
    orr_index stored, commit, handed, applied;
    struct orr_snapshot snapshot;
    bool dirty;                     /* term or vote, not in a store yet */
    bool cut;                       /* the next entries replace some on the disk */

    orr_time heard;                 /* follower: the leader, or a vote granted */
    orr_time timeout;               /* drawn anew for each role */
    bool forced;                    /* candidate: without stickiness */
    orr_time votes_time;            /* candidate: the latest log time of its voters */

    orr_index matched;              /* follower: its log is this leader's up to here */
    orr_index acked;                /* what the last reply said */
    bool reply;                     /* owes one, whether it has news or not */
    uint64_t round;                 /* leader: its last; follower: the last seen */

    orr_index term_start;           /* leader: its no-op */
    uint64_t queued_bytes;
    orr_time heartbeat_at;
    orr_id transfer;                /* being handed over to */
    bool transfer_any;              /* when that one declines: the next */
    orr_time transfer_until;

    struct orr_clock_reading clock;     /* as the driver said last, */
    orr_time clock_at;              /* at this time */
    orr_time promised_until;        /* to a leader: no vote for anybody else before */
    bool gave_up;                   /* leader: it asked somebody to stand, and has no lease in this term any more */
    uint64_t claim_round;           /* leader: when this is confirmed, `claim` is so; 0: there is none */
    struct orri_raft_as_of claim, claimed;      /* leader; claimed: is told with appends */
    struct orri_raft_as_of awaited, newest;     /* not applied so far yet; the last one heard */
    orr_time as_of;                 /* of what is applied here: by this node's clock */

    struct orri_raft_read *reads;   /* ring */
    size_t reads_first, n_reads;
    uint64_t read_batch;
    orr_time read_retry_at;

    struct orri_raft_incoming incoming;
    struct orri_raft_stored stores[ORRI_RAFT_STORES_MAX];
    size_t stores_first, n_stores;
    uint64_t last_id;               /* of stores, parts and fetches: one count */
    uint64_t last_store, done_store;

    struct orri_raft_queued *queue;
    size_t n_queue;
    uint64_t apply_fetch;
    struct orri_raft_batch *apply_batch;

    /* what is handed out */
    struct orr_raft_ready ready;
    bool ready_out;                 /* it has been lent, and not come back */
    struct orr_raft_msg *msgs;
    struct orr_store out_stores[ORRI_RAFT_STORES_MAX];
    struct orr_answer *answers;
    size_t n_answers;
    struct orr_fetch *fetches;
    size_t n_fetches;
    struct orr_part part;
    bool part_out;
    struct orr_snapshot restore;
    bool restore_out, restoring;
    struct orri_raft_batch **lent;  /* batches that msgs and commits point into */
    size_t n_lent;
    enum orr_role told_role;
    orr_term told_term;
    orr_id told_leader;
    struct orr_cause causes[ORRI_RAFT_CAUSES];      /* the last ones; cause i is at [i % ORRI_RAFT_CAUSES] */
    uint64_t n_causes;
    unsigned n_kept;                /* of them */
    uint64_t checks;
};

static inline orr_index orri_min(orr_index a, orr_index b) { return a < b ? a : b; }
static inline orr_index orri_max(orr_index a, orr_index b) { return a > b ? a : b; }

/* raft.c */
void orri_raft_begin(struct orr_raft *r, orr_time now); /* each input: takes back what was lent */
int orri_raft_end(struct orr_raft *r, int rc); /* each input: checks; gives rc */
void orri_raft_clear_queue(struct orr_raft *r);
struct orr_raft_msg *orri_raft_out(struct orr_raft *r); /* one more of ready's msgs, to be filled */
void *orri_raft_alloc(const struct orr_alloc *alloc, size_t size);                     /* zeroed */
struct orri_raft_peer *orri_raft_peer(struct orr_raft *r, orr_id id);                  /* NULL: not a member */
/* A message to be sent once all that is decided now is durable, if it is a claim; one of its type and receiver at a
 * time. */
void orri_raft_post(struct orr_raft *r, const struct orr_raft_msg *msg);
struct orr_raft_msg orri_raft_msg(const struct orr_raft *r, enum orr_raft_type type, orr_id to);
int orri_raft_keep(struct orr_raft *r, struct orr_slice s, struct orr_slice *out);     /* held, or copied */
int orri_raft_keep_snapshot(struct orr_raft *r, struct orr_snapshot *to, const struct orr_snapshot *from);
void orri_raft_drop_snapshot(struct orr_snapshot *snapshot);
struct orri_raft_batch *orri_raft_batch_new(struct orr_raft *r, const struct orr_entry *entries, size_t n);
void orri_raft_batch_free(struct orr_raft *r, struct orri_raft_batch *batch);
void orri_raft_lend(struct orr_raft *r, struct orri_raft_batch *batch); /* moved: freed when taken back */
uint64_t orri_raft_fetch(struct orr_raft *r, const struct orr_fetch *fetch);           /* id filled in */
void orri_raft_mute(struct orr_raft *r, int why);
/* Over all voters, each half of a joint configuration for itself: what a quorum has reached. */
uint64_t orri_raft_reached(const struct orr_raft *r,
                           uint64_t (*value)(const struct orr_raft *, const struct orri_raft_peer *));

/* raft_election.c */
bool orri_raft_is_voter(const struct orr_raft *r);
void orri_raft_become_follower(struct orr_raft *r, orr_term term, orr_id leader);
void orri_raft_stand(struct orr_raft *r, bool ask_first, bool forced);
void orri_raft_own_vote_stored(struct orr_raft *r);
orr_time orri_raft_election_at(const struct orr_raft *r);
bool orri_raft_sticky(const struct orr_raft *r);
void orri_raft_on_prevote(struct orr_raft *r, const struct orr_raft_msg *m);
void orri_raft_on_prevote_reply(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m);
void orri_raft_on_vote(struct orr_raft *r, const struct orr_raft_msg *m);
void orri_raft_on_vote_reply(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m);

/* raft_replicate.c */
void orri_raft_lead(struct orr_raft *r);                     /* its first entry, its view of the others */
void orri_raft_unlead(struct orr_raft *r);                   /* forget that view */
void orri_raft_leader_tick(struct orr_raft *r);
void orri_raft_advance(struct orr_raft *r);                  /* commit what a quorum has */
void orri_raft_commit_to(struct orr_raft *r, orr_index commit);
void orri_raft_send(struct orr_raft *r, struct orri_raft_peer *p);
void orri_raft_probe(struct orri_raft_peer *p, orr_index next);
void orri_raft_matched(struct orr_raft *r, struct orri_raft_peer *p, orr_index match, orr_index agreed);
int orri_raft_on_append_reply(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m);
void orri_raft_declined(struct orr_raft *r, struct orri_raft_peer *p);
orr_index orri_raft_evict_through(const struct orr_raft *r);

/* raft_ailing.c */
const struct orri_raft_stored *orri_raft_stalled(const struct orr_raft *r, orr_time at);
bool orri_raft_ails(const struct orr_raft *r, orr_time at);
void orri_raft_took(struct orr_raft *r, const struct orri_raft_stored *s);
orr_time orri_raft_may_stand(const struct orr_raft *r, orr_time at);
bool orri_raft_others_should_lead(const struct orr_raft *r);
bool orri_raft_decline(struct orr_raft *r, orr_id leader);

/* raft_follow.c */
void orri_raft_follow(struct orr_raft *r, orr_id leader);    /* heard from the term's leader */
int orri_raft_on_append(struct orr_raft *r, const struct orr_raft_msg *m);
void orri_raft_ack(struct orr_raft *r);

/* raft_read.c */
void orri_raft_reads_flush(struct orr_raft *r);
void orri_raft_reads_new_role(struct orr_raft *r);
void orri_raft_reads_fail(struct orr_raft *r);
void orri_raft_reads_tick(struct orr_raft *r);
orr_time orri_raft_reads_deadline(const struct orr_raft *r);
void orri_raft_on_read(struct orr_raft *r, const struct orr_raft_msg *m);
void orri_raft_on_read_reply(struct orr_raft *r, const struct orr_raft_msg *m);

uint64_t orri_raft_round_of(const struct orr_raft *r, const struct orri_raft_peer *p);     /* confirmed by it */

/* raft_lease.c */
void orri_raft_begin_round(struct orr_raft *r);
void orri_raft_renew(struct orr_raft *r);                    /* leader: a heartbeat goes out */
void orri_raft_claim(struct orr_raft *r);                    /* leader: what is confirmed by now is told */
void orri_raft_forget_leases(struct orr_raft *r);            /* a term begins */
void orri_raft_promise(struct orr_raft *r);
bool orri_raft_promised(const struct orr_raft *r);           /* may vote for nobody now, unless that is forced */
orr_time orri_raft_lease_until(const struct orr_raft *r);    /* 0: it has none */
bool orri_raft_leased(const struct orr_raft *r);
void orri_raft_date(const struct orr_raft *r, struct orr_raft_msg *m);         /* an append: as of when it is all */
void orri_raft_on_as_of(struct orr_raft *r, const struct orr_raft_msg *m);     /* an append's */
void orri_raft_hear_as_of(struct orr_raft *r, struct orri_raft_as_of heard);
void orri_raft_reach_as_of(struct orr_raft *r);              /* more was applied */

/* raft_snapshot.c */
void orri_raft_snapshot_start(struct orr_raft *r, struct orri_raft_peer *p);
void orri_raft_snapshot_end(struct orri_raft_peer *p);
void orri_raft_snapshot_send(struct orr_raft *r, struct orri_raft_peer *p);
int orri_raft_snapshot_fetched(struct orr_raft *r, struct orri_raft_peer *p, struct orr_slice data, int status);
int orri_raft_on_snapshot(struct orr_raft *r, const struct orr_raft_msg *m);
int orri_raft_on_snapshot_reply(struct orr_raft *r, struct orri_raft_peer *p, const struct orr_raft_msg *m);

/* raft_store.c */
void orri_raft_make_stores(struct orr_raft *r);
void orri_raft_cut(struct orr_raft *r, orr_index from);
void orri_raft_make_commits(struct orr_raft *r);

/* raft_why.c */
struct orr_cause *orri_raft_note(struct orr_raft *r, enum orr_cause_kind kind, orr_term term, orr_id peer);
void orri_raft_note_waited(struct orr_raft *r, enum orr_cause_kind kind, orr_id peer, orr_time since);
void orri_raft_note_asked(struct orr_raft *r, enum orr_raft_type type, orr_term term);
void orri_raft_note_ballots(struct orr_raft *r);            /* the voters that were asked say this, so far */
void orri_raft_note_voted(struct orr_raft *r, orr_id peer);

/* raft_config.c */
struct orri_raft_members {
    size_t n;
    struct {
        orr_id id;
        unsigned seats;
    } at[ORRI_RAFT_MEMBERS_MAX];
};
int orri_raft_config_decode(struct orr_slice config, struct orri_raft_members *out);
int orri_raft_config_members(const struct orr_raft_config *cfg, struct orri_raft_members *out);

/* raft_codec.c */
size_t orri_raft_head_size(const struct orr_raft_msg *m);    /* no less than encode takes */
/* The head; the data of entries or snapshot goes after it. Gives its size. */
size_t orri_raft_encode(const struct orr_raft_msg *m, unsigned char *out, size_t cap);
/* Any bytes: a message whose slices are parts of the frame, or ORR_EINVALID. entries: room for ORR_RAFT_ENTRIES_MAX;
 * NULL: the message without them, which are not looked at.
 * from and to aren't in a frame; only a vote says who asks, its reply whom it answers: so that its claim is whole. */
int orri_raft_decode(struct orr_slice frame, struct orr_raft_msg *m, struct orr_entry *entries);
int orri_raft_glance(struct orr_slice head, void *out);         /* struct orr_glance, for viewers; ORR_EINVALID */

/* raft_check.c */
void orri_raft_check(const struct orr_raft *r, bool whole);

#endif
