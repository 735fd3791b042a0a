/* search.h - finds an order of calls that an object could have taken, or verifies a given one.
 *
 * The object is behind five functions over one present state; the search applies and undoes, never copies. */
#ifndef ORRI_CHECK_SEARCH_H
#define ORRI_CHECK_SEARCH_H

#include <orrery/check.h>

#include "base/hash.h"
#include "check/arena.h"

#define ORRI_NONE UINT32_MAX
#define ORRI_ANY_TIME INT64_MIN     /* invoked: it may have happened whenever, or never (see shrink.h) */

struct orri_item {                  /* a call as the search sees it; sorted by `invoked` */
    uint32_t call;                  /* whose it is: the object's number of it */
    uint32_t twins;                 /* calls of one number (not 0) differ in nothing but their times: class */
    int64_t invoked, returned;      /* ORR_NEVER: it may stay out for ever */
    uint64_t order;                 /* the witness's */
    uint32_t process;
    bool reads;                     /* changes no state, whatever state takes it */
};

struct orri_object {
    /* Back to the first state; these items are what will be placed. `look` says that it may refuse a state from which
     * they could not all find a place; without, it refuses what is wrong here and now alone. */
    int (*reset)(void *ud, const struct orri_item *items, uint32_t n, bool look);
    int (*step)(void *ud, uint32_t call);               /* 1: applied; 0: refused; < 0: an error */
    void (*undo)(void *ud, uint32_t call);              /* the last that was applied */
    struct orr_hash128 (*state)(void *ud);
    /* Of a call that may stay out: is it of no use, here, or (asked after reset) anywhere? NULL: none is. */
    bool (*useless_here)(void *ud, uint32_t call);
    bool (*useless)(void *ud, uint32_t call);
    void (*show)(void *ud, struct orri_text *out);      /* NULL: states can't be told */
    /* Has this call to do with what the deepest tries of the last run failed at? NULL: that can't be said. */
    bool (*suspect)(void *ud, uint32_t call);
    /* Which of the calls that must be placed had better be tried first here: 0, then 1, then 2. NULL: all are 0. */
    unsigned (*rank)(void *ud, uint32_t call);
    void *ud;
};

struct orri_search;
struct orri_problem {
    const struct orri_object *object;
    const struct orri_item *items;
    uint32_t n;
    bool by_process;                /* real time doesn't count, the order within each process does */
    bool witness;                   /* follow the items' order */
    bool look;                      /* as in reset; false when the way it fails is to be told */
    uint64_t steps_max;
};
struct orri_outcome {
    enum orr_verdict_result result;
    uint64_t steps;
    uint32_t stuck;                 /* VIOLATED: of the deepest try, the item that could wait no longer; ORRI_NONE */
    const uint32_t *trail;          /* and what was placed before it; borrowed until the next run */
    uint32_t height;
};

/* A search for up to n items. */
int orri_search_new(struct orri_search **out, const struct orr_alloc *alloc, uint32_t n);
void orri_search_free(struct orri_search *s);
/* 0 with an outcome; -ENOMEM, or what the object's reset or step gave. */
int orri_search_run(struct orri_search *s, const struct orri_problem *problem, struct orri_outcome *out);

#endif
