/* origin.h - this node's own batches in one group, from the first command until they are applied here.
 *
 *     open ── end of turn ──> waiting (no number) ── sent ──> sent (numbered) ── applied here ──> gone
 *
 * The stream keeps every batch until it is applied here, and sends those that are not, in order, to each new leader,
 * term or connection (a new epoch of the stream). A number is given at the first sending and says for ever which batch
 * it is, with one exception: a leader that refuses a batch has never taken it, so where it was sent to nobody else the
 * number is taken back. So a batch without a number is in nobody's log: at its deadline it is withdrawn, and its
 * waiters are told that it was surely not done. The waiters of a numbered one are told "unknown", and it stays.
 *
 * It knows a protocol's table and a function that forwards; no peers, no timers: `now` comes in.                     */
#ifndef ORRI_ORIGIN_H
#define ORRI_ORIGIN_H

#include <orrery/order.h>

#include "node/batch.h"
#include "node/forward.h"
#include "node/waiters.h"

struct orri_pending {
    struct orri_pending *next;
    struct orr_chunk *chunk;
    size_t size;
    uint32_t count, cap;            /* commands; room in tags */
    uint32_t withdrawn;             /* of them (their tags have no slot): taken out before it gets a number */
    bool told;                      /* its waiters know already */
    uint64_t sequence;              /* 0: no number */
    uint32_t sends, epoch;          /* how often it was sent; in which epoch last */
    orr_time deadline;
    struct orri_tag *tags;
};
enum orri_target { ORRI_TO_NOBODY, ORRI_TO_SELF, ORRI_TO_LEADER };

struct orri_origin_config {
    const struct orr_alloc *alloc;
    struct orr_chunks *chunks;
    struct orri_slots *slots;
    const struct orr_order_ops *order;
    void *x;                        /* the order's object */
    /* Sends a batch to the leader of now. ORR_EOVERLOADED: later. */
    int (*forward)(void *ud, const struct orri_forward *head, struct orr_slice batch);
    /* A batch of ours went into the leader's log, or on its way there (for the trace). May be NULL. */
    void (*taken)(void *ud, const struct orri_pending *p);
    void *ud;
    struct orr_birth birth;
    uint32_t incarnation;
    size_t bytes_max;               /* of all batches that are not applied */
    orr_time call;                  /* how long waiters wait */
};
struct orri_origin {
    struct orri_origin_config cfg;
    struct orri_pending *head, *tail;       /* closed batches: numbered ones first */
    struct orri_pending *cursor;            /* the next to send in this epoch */
    struct orri_pending *untold;            /* the first whose waiters may still be told by time */
    struct orri_pending *open, *spare;
    size_t n_spare, hint;
    uint64_t next_sequence;
    size_t bytes;
    enum orri_target target;
    orr_term term;
    uint64_t route;                         /* of the target: another one is another connection */
    uint32_t epoch;
    bool restart;                           /* nothing was sent in this epoch yet */
    orr_time not_before, progress;
};

void orri_origin_init(struct orri_origin *o, const struct orri_origin_config *cfg);
void orri_origin_clear(struct orri_origin *o);              /* tells nobody */

/* group.h: orri_group_room and orri_group_commit. */
unsigned char *orri_origin_room(struct orri_origin *o, orr_time now, size_t max, int *status);
void orri_origin_commit(struct orri_origin *o, size_t size, struct orri_waiter *w, uint64_t tag);

/* Takes a command out that is in no numbered batch: it will not be done, and its waiter is told nothing. False: it may
 * be done. */
bool orri_origin_withdraw(struct orri_origin *o, struct orri_waiter *w, uint64_t tag);

/* Who takes batches now. Anything new about it begins a new epoch. */
void orri_origin_aim(struct orri_origin *o, enum orri_target target, orr_term term, uint64_t route);
/* Closes the open batch and sends what can be sent. */
void orri_origin_push(struct orri_origin *o, orr_time now);
void orri_origin_unblock(struct orri_origin *o);            /* there is room again */
void orri_origin_refused(struct orri_origin *o, orr_time now, const struct orri_resend *r);
/* The numbered batch of this sequence, if it is the first of the stream: it is being applied. orri_origin_pop after
 * that. */
struct orri_pending *orri_origin_match(struct orri_origin *o, uint64_t sequence);
void orri_origin_pop(struct orri_origin *o, orr_time now);
/* All through `last` are applied, results unknown (a snapshot covered them). */
void orri_origin_settle(struct orri_origin *o, orr_time now, uint64_t last);
/* A batch of ours was dropped for a gap before it: once more from the first. */
void orri_origin_again(struct orri_origin *o);
void orri_origin_close(struct orri_origin *o);      /* what comes next is of another batch */
/* Tells all: `status` to those surely not done, which are withdrawn; ORR_EUNKNOWN to the others. */
void orri_origin_abandon(struct orri_origin *o, int status);
orr_time orri_origin_deadline(const struct orri_origin *o);
void orri_origin_tick(struct orri_origin *o, orr_time now, int status);     /* status: for those surely not done */

#endif
