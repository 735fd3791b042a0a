/* tally.h - a replicated machine of a user's own: one number that grows by what is added to it. */
#ifndef TALLY_H
#define TALLY_H

#include <orrery/machine.h>

enum { TALLY_OP = 8 };

/* An op is a number, 8 bytes, little-endian; its result, and the answer to any question, is the sum. */
extern const struct orr_machine_ops tally_machine;
struct orr_slice tally_op(unsigned char at[TALLY_OP], int64_t by);

#endif
