/* rpc.h - what a node keeps for its host (orrery/host.h): what is under way, what it was asked, what waits to be sent.
 *
 *   wait.c    what is under way: a record for each orr_wait, told by the turn      rpc.c     calls, casts, answers
 *   out.c     messages of a turn to one peer, cut into frames                      carry.c   groups, from everywhere
 *   saved.c   durable values                                                       host.c    the host, and its turn
 *   stamps.c  the node's hybrid logical clock
 *
 * A record is the node's own, so that a caller's orr_wait may go at any time, and whatever bears the record's tag (a
 * message to another node, a command in a batch) finds that it is nobody's any more. A tag is the place of the record
 * and how often that place was used. Records, questions and frames are pooled: at rest nothing is allocated.         */
#ifndef ORRI_RPC_H
#define ORRI_RPC_H

#include <orrery/host.h>

#include "base/map.h"
#include "node/alarm.h"
#include "node/group.h"
#include "node/message.h"
#include "node/results.h"

struct orri_link;
struct orri_peer;
struct orri_frame;

/* -- To a peer ----------------------------------------------------------------------------------------------------- */
struct orri_packet {                /* messages on their way into one frame */
    struct orri_packet *next;
    struct orr_chunk *chunk;        /* being filled; its part begins at `from` and ends at `to` */
    size_t from, to, room;
    struct orr_slice *parts;        /* what came before that part */
    size_t n_parts, cap_parts, bytes;
    uint64_t last;                  /* number of its last message */
};
struct orri_out {                   /* of a peer */
    struct orri_packet *head, *tail;
    struct orri_peer *next;         /* of those that have something to send */
    bool listed;
    size_t bytes, hint;             /* hint: of the last packet */
    uint64_t queued, sent;          /* messages, by number */
    struct orri_under_way *calls, *calls_last;      /* that wait for its answers */
    size_t n_calls;
};

/* -- Under way ----------------------------------------------------------------------------------------------------- */
enum orri_errand_kind {
    ORRI_IS_TIMER, ORRI_IS_CALL, ORRI_IS_CARRIED, ORRI_IS_PROPOSAL, ORRI_IS_READ, ORRI_IS_SAVE, ORRI_IS_SNAPSHOT,
    ORRI_IS_STAMP
};
enum orri_record_state { ORRI_RECORD_FREE, ORRI_RECORD_OPEN, ORRI_RECORD_TOLD };
struct orri_under_way {
    struct orri_alarm alarm;        /* first: its deadline, or when it is due */
    struct orr_node *node;
    struct orr_wait *w;
    enum orri_errand_kind kind;
    enum orri_record_state state;
    uint32_t place, used;           /* the tag */
    struct orri_under_way *next, *before;   /* of its peer's calls, of its group's snapshots, or of
                                             * those that were told */
    struct orri_value *saving;
    struct orri_under_way *next_save;       /* of that name; of those that wait for a stamp */
    struct orri_peer *peer;         /* calls: who is to answer, */
    uint64_t number;                /* which message that is, */
    unsigned char *at;              /* and where, until it is sent */
    struct orr_group *group;
    bool read;                      /* carried: it is a read, */
    orr_time age_max;               /* of a copy no older; 0: a linearizable one */
    unsigned tries;
    orr_time deadline;
    struct orr_slice body;          /* held: an op or question that may have to be sent again */
    struct orr_slice result;        /* told: held */
    int status;
    struct orr_at logged;
};

/* -- Asked --------------------------------------------------------------------------------------------------------- */
struct orri_question {
    struct orr_asked asked;         /* first: what the host sees */
    struct orri_alarm alarm;
    struct orr_node *node;
    struct orri_peer *peer;         /* who waits; NULL: nobody (any more) */
    uint64_t tag;
    struct orri_question *next, *before;    /* of all that are not answered */
    struct orr_wait wait;           /* what another node wants of a group here */
    struct orri_results results;
};

/* -- The node's part ----------------------------------------------------------------------------------------------- */
struct orri_host {
    const struct orr_host_ops *ops;
    void *ud;
    bool declaring, stopped, soon;
    bool peers_changed;             /* the host was not told yet */
    bool bundle_changed;            /* peers were not told yet */
    bool stepped;                   /* the cluster's time; the host was not told yet */
    struct orri_under_way **places; /* all records, by place; free ones through next */
    size_t n_places, cap_places;
    struct orri_under_way *spare;
    struct orri_under_way *told, *told_last;
    size_t n_told;
    struct orri_question *asked, *spare_questions;
    size_t n_asked, n_visitors;     /* n_visitors: of them by visitors */
    struct orri_packet *spare_packets;
    size_t n_spare_packets;
    struct orri_peer *out, *out_last;       /* with something to send */
    struct orri_alarm retry;        /* a stream that is too full for us is looked at again */
    struct orri_waiter waiter;      /* of all proposals and reads */
    struct orr_map values;          /* saved.c: by name */
    struct orri_value *due;         /* that are to be written */
    size_t n_saving;
    struct orri_reading *reading;   /* at the start */
    uint64_t calls, casts, casts_dropped;   /* for people: that came */
};

/* wait.c */
struct orri_under_way *orri_wait_new(struct orr_node *n, struct orr_wait *w, enum orri_errand_kind kind,
                                     int *status);
struct orri_under_way *orri_wait_find(struct orr_node *n, uint64_t tag);    /* NULL: told already, or nobody's */
static inline uint64_t orri_wait_tag(const struct orri_under_way *u) { return (uint64_t)u->used << 32 | u->place; }
/* done(w) will be called in the node's turn. result: held here. */
void orri_wait_tell(struct orri_under_way *u, int status, struct orr_slice result);
void orri_wait_drop(struct orri_under_way *u);                              /* nothing is told; its wait is free */
bool orri_waits_told(struct orr_node *n);                                   /* calls done for all that is told now */
void orri_waits_end(struct orr_node *n);                                    /* the node has ended: tells the rest */
void orri_waits_clear(struct orr_node *n);
/* out.c */
/* must: above the limit too. *at: where the message lies, until it is sent. ORR_EUNAVAILABLE, ORR_EOVERLOADED,
 * -ENOMEM. */
int orri_out_put(struct orri_peer *p, const struct orri_message *m, bool must, unsigned char **at);
bool orri_out_open(const struct orri_peer *p);                              /* may messages go there now? */
void orri_out_lost(struct orri_peer *p);                                    /* what was to be sent is gone */
void orri_out_unlist(struct orri_peer *p);                                  /* it goes, too */
bool orri_outs_own(struct orr_node *n);                                     /* hands over what this node asks itself */
void orri_outs_flush(struct orr_node *n);
void orri_outs_clear(struct orr_node *n);
/* rpc.c */
int orri_rpc_frame(struct orri_peer *from, struct orr_slice payload);       /* ORR_EINVALID */
void orri_rpc_lost(struct orri_peer *p);                                    /* the connection */
void orri_rpc_unlink(struct orri_under_way *u);                             /* from its peer's calls */
void orri_rpc_withdraw(struct orri_under_way *u);                           /* nobody waits: the callee hears of it */
void orri_rpc_late(struct orri_under_way *u);
int orri_rpc_ask(struct orri_under_way *u, struct orri_peer *p, const struct orri_message *m);
void orri_rpc_answer(struct orri_question *q, int status, struct orr_slice result);
void orri_rpc_clear(struct orr_node *n);
/* carry.c */
void orri_carry_asked(struct orri_question *q, enum orri_message_kind kind);   /* by another node; asked.name, .args */
void orri_carry_answered(struct orri_under_way *u, int status, struct orr_slice body);
void orri_carry_late(struct orri_under_way *u);
/* saved.c */
#define ORRI_SAVED_OWN "orrery."    /* names that begin so are the node's own */
#define ORRI_SAVED_CLOCK ORRI_SAVED_OWN "clock"
#define ORRI_SAVED_HLC ORRI_SAVED_OWN "hlc"
int orri_saved_put(struct orr_node *n, struct orr_wait *w, const char *name, struct orr_slice value);
void orri_saved_read(struct orr_node *n);                                   /* then orri_host_declare */
void orri_saved_flush(struct orr_node *n);                                  /* the turn ends: begins what is due */
void orri_saved_forget(struct orri_under_way *u);
bool orri_saved_idle(const struct orr_node *n);
void orri_saved_clear(struct orr_node *n);
/* stamps.c */
void orri_stamps_due(struct orri_under_way *u);
void orri_stamps_forget(struct orri_under_way *u);
void orri_stamps_free(struct orr_node *n);
/* host.c */
void orri_host_init(struct orr_node *n);
void orri_host_clear(struct orr_node *n);
void orri_host_opened(struct orr_node *n);                                  /* the disk is open */
void orri_host_declare(struct orr_node *n);                                 /* saved values are there */
void orri_host_ready(struct orr_node *n);
void orri_host_event(struct orr_group *g, unsigned events);
bool orri_host_turn(struct orr_node *n);                                    /* false: nothing was done */
bool orri_host_due(const struct orr_node *n);                               /* something is left for a next turn */
void orri_host_stop(struct orr_node *n);
void orri_host_wake(struct orr_node *n);                                    /* there is work: sees that a turn comes */

#endif
