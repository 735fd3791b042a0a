/* support/alloc.h - an allocator for tests: counts, checks the sizes it is told, and fails when it is asked to.
 *
 *     struct spec_alloc a = { .fail_at = n };
 *     const struct orr_alloc alloc = spec_alloc_of(&a);
 *     ... use alloc ...
 *     spec_alloc_check(&a);        // everything was given back
 *
 * SPEC_EACH_FAILURE runs a body once for each n, the n-th allocation failing, until the body ran without a failure.  */
#ifndef SPEC_ALLOC_H
#define SPEC_ALLOC_H

#include <orrery/base.h>

struct spec_alloc {
    size_t fail_at;                 /* the fail_at-th allocation (from 1) fails; 0: none does */
    size_t n_calls;                 /* allocations and growths asked for */
    size_t n_live, bytes_live;      /* blocks and bytes not given back */
    bool failed;
};

struct orr_alloc spec_alloc_of(struct spec_alloc *a);
void spec_alloc_check(const struct spec_alloc *a);

/* for each n: `a` is fresh and fails at its n-th allocation; ends after the first round in which nothing failed */
#define SPEC_EACH_FAILURE(a)                                                                                           \
    for (struct spec_alloc a = { .fail_at = 1 }, *spec_more_ = &a; spec_more_;                                         \
         spec_more_ = a.failed ? spec_more_ : NULL, a = (struct spec_alloc){ .fail_at = a.fail_at + 1 })

#endif
