/* forward.h - a batch on its way from its origin to the leader, and the leader's refusal.
 *
 * FORWARD:                                                  RESEND:
 *   byte  size  field                                         byte  size  field
 *      0     8  term in which the receiver is thought to lead    0     8  term, as in the frame that is refused
 *      8     4  epoch of the origin's stream                     8     4  epoch, likewise
 *     12     1  1: the stream begins anew here, 0: goes on      12     4  why: an error's number, its sign turned
 *     13     3  zero                                            16     8  the first sequence that was not taken
 *     16        the batch
 *
 * The leader takes only the next sequence of an epoch; the first thing that it doesn't take ends the epoch, with one
 * RESEND. So what it took is always a prefix, and what an origin sent only in that epoch and only behind that prefix is
 * in nobody's log. */
#ifndef ORRI_FORWARD_H
#define ORRI_FORWARD_H

#include <orrery/base.h>

enum { ORRI_FORWARD_HEAD = 16, ORRI_RESEND_SIZE = 24 };

struct orri_forward {
    orr_term term;
    uint32_t epoch;
    bool restart;
};
struct orri_resend {
    orr_term term;
    uint32_t epoch;
    int status;
    uint64_t from;
};
void orri_forward_write(unsigned char at[ORRI_FORWARD_HEAD], const struct orri_forward *f);
int orri_forward_read(struct orr_slice payload, struct orri_forward *out, struct orr_slice *batch); /* ORR_EINVALID */
void orri_resend_write(unsigned char at[ORRI_RESEND_SIZE], const struct orri_resend *r);
int orri_resend_read(struct orr_slice payload, struct orri_resend *out); /* ORR_EINVALID */

/* The leader's side of one origin's stream. A value; zero: nothing came yet. */
struct orri_inbound {
    uint32_t epoch;
    bool open;                      /* batches of this epoch are being taken */
    uint64_t next;
};
enum orri_inbound_verdict { ORRI_TAKE, ORRI_REFUSE, ORRI_IGNORE };
/* What to do with a batch of this sequence: try to take it (then orri_inbound_took), send a RESEND (of everything from
 * *from on), or nothing. */
enum orri_inbound_verdict orri_inbound_judge(struct orri_inbound *in, const struct orri_forward *f, uint64_t sequence,
                                             uint64_t *from);
void orri_inbound_took(struct orri_inbound *in, uint64_t sequence);
void orri_inbound_refuse(struct orri_inbound *in);          /* it could not be taken: the epoch ends */

#endif
