/* reads.h - linearizable reads of one group: gathered in a turn, covered by one question to the protocol, served when
 * the state here is late enough.
 *
 * A question that is asked later than a read came in covers it too, so whatever waits while there is no leader shares
 * the next question. Refused questions are asked again, with a pause, until the reads' deadline.                     */
#ifndef ORRI_READS_H
#define ORRI_READS_H

#include <orrery/order.h>

#include "node/waiters.h"

struct orri_read {                  /* the reads of one turn */
    struct orri_read *next;
    struct orri_tag *tags;
    uint32_t n, cap;
    uint64_t question;              /* 0: not asked */
    bool answered;
    orr_index index;                /* answered: what applied must reach */
    orr_time begun, deadline, time; /* time: log time of the answer */
};
struct orri_reads_config {
    const struct orr_alloc *alloc;
    struct orri_slots *slots;
    const struct orr_order_ops *order;
    void *x;
    orr_time call, again;           /* how long a read waits; a question that got no answer for so long is asked anew */
};
struct orri_reads {
    struct orri_reads_config cfg;
    struct orri_read *head, *tail, *spare;
    size_t n_tags, n_spare, n_unasked, n_answered;
    uint64_t question;              /* the last that was asked */
    orr_time not_before, asked;
};

void orri_reads_init(struct orri_reads *r, const struct orri_reads_config *cfg);
void orri_reads_clear(struct orri_reads *r);
/* ORR_EOVERLOADED, -ENOMEM */
int orri_reads_add(struct orri_reads *r, orr_time now, struct orri_waiter *w, uint64_t tag);
void orri_reads_push(struct orri_reads *r, orr_time now);       /* asks, where there is anything to ask for */
void orri_reads_answer(struct orri_reads *r, orr_time now, const struct orr_answer *a);
/* Takes out the first that may be served with the state at `applied`; give it back when its waiters were told. */
struct orri_read *orri_reads_due(struct orri_reads *r, orr_index applied);
void orri_reads_give_back(struct orri_reads *r, struct orri_read *read);
void orri_reads_abandon(struct orri_reads *r, int status);
orr_time orri_reads_deadline(const struct orri_reads *r);
void orri_reads_again(struct orri_reads *r);        /* what is in question is asked anew */
void orri_reads_tick(struct orri_reads *r, orr_time now, int status);       /* status: for those whose time is up */

#endif
