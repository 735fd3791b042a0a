/* shrink.h - what of a history can't be ordered: the fewest calls that contradict each other.
 *
 * To leave out a call is not to delete it, for then a read of what it wrote would be wrong for want of it. A read that
 * is left out is gone; any other call that is left out may have happened whenever, or never, with the result it had.
 * So what is left contradicts itself whatever the rest did, and it is minimal: with one call less there is an order. */
#ifndef ORRI_CHECK_SHRINK_H
#define ORRI_CHECK_SHRINK_H

#include "check/search.h"

struct orri_core {
    uint32_t *items, n;             /* numbers of the problem's items, ascending; the arena's */
    struct orri_item *trial;        /* the last trial that is violated: the rest at any time, then these */
    uint32_t n_trial;
    bool minimal;                   /* no: the budget was out first */
    uint64_t steps;
};
/* Of a problem that is violated. `s` has room for all its items. */
int orri_shrink(struct orri_search *s, const struct orri_problem *problem, struct orri_arena *arena,
                struct orri_core *out);

#endif
