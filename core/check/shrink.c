/* shrink.c - cuts off the end, then the beginning, by bisection; then tries to leave out ever smaller parts (as delta
 * debugging does), until no single call can be left out.
 *
 * A trial that its budget leaves undecided counts as not violated, so the call stays in. */
#include "check/shrink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TRIAL_STEPS = 1000000, ALL_STEPS = 100000000, ALL_TRIALS = 20000 };

struct shrinking {
    struct orri_search *search;
    const struct orri_problem *problem;
    struct orri_item *items;        /* of a trial */
    bool *in, *dead;                /* by item: is it in the trial; is it of no use when it is not */
    uint32_t *core, n_core;         /* the best so far, ascending */
    uint64_t steps, steps_max;
    uint32_t trials;
};

/* What `in` has, and the rest at any time, in front. */
static uint32_t compose(struct shrinking *k) {
    const struct orri_problem *p = k->problem;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        if (k->in[i] || k->dead[i] || p->items[i].reads) continue;
        k->items[n] = p->items[i];
        k->items[n].invoked = ORRI_ANY_TIME;
        k->items[n].returned = ORR_NEVER;
        k->items[n].process = UINT32_MAX - i;           /* of none that has another call */
        n++;
    }
    for (uint32_t i = 0; i < p->n; i++)
        if (k->in[i]) k->items[n++] = p->items[i];
    return n;
}

/* 1: what `in` has is violated; 0: it isn't, or that can't be said. */
static int violated(struct shrinking *k) {
    struct orri_problem trial = *k->problem;
    struct orri_outcome outcome;
    trial.items = k->items;
    trial.n = compose(k);
    if (trial.steps_max > TRIAL_STEPS) trial.steps_max = TRIAL_STEPS;
    trial.look = true;
    int rc = orri_search_run(k->search, &trial, &outcome);
    if (rc < 0) return rc;
    k->steps += outcome.steps;
    k->trials++;
    return outcome.result == ORR_VERDICT_VIOLATED;
}

static void put(struct shrinking *k, uint32_t from, uint32_t to, bool in) {
    for (uint32_t i = from; i < to; i++) k->in[k->core[i]] = in;
}
/* The core is what is in now. */
static void settle(struct shrinking *k) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->n_core; i++)
        if (k->in[k->core[i]]) k->core[n++] = k->core[i];
    k->n_core = n;
}

/* -- Cutting off --------------------------------------------------------------------------------------------------- */
static int ascending(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Keeps what returned by the earliest moment that leaves it violated (`end`), or what was invoked since the latest. */
static int cut(struct shrinking *k, struct orri_arena *arena, bool end) {
    int64_t *times = orri_take(arena, k->n_core + 1u, sizeof *times);
    if (!times) return -ENOMEM;
    const struct orri_item *items = k->problem->items;
    for (uint32_t i = 0; i < k->n_core; i++) times[i] = end ? items[k->core[i]].returned : items[k->core[i]].invoked;
    qsort(times, k->n_core, sizeof *times, ascending);
    uint32_t low = 0, high = k->n_core - 1;             /* end: the answer's place is in low..high */
    while (low < high) {
        uint32_t middle = low + (high - low + !end) / 2;
        for (uint32_t i = 0; i < k->n_core; i++)
            k->in[k->core[i]] = end ? items[k->core[i]].returned <= times[middle]
                                    : items[k->core[i]].invoked >= times[middle];
        int rc = violated(k);
        if (rc < 0) return rc;
        if (end) *(rc ? &high : &low) = rc ? middle : middle + 1;
        else *(rc ? &low : &high) = rc ? middle : middle - 1;
    }
    for (uint32_t i = 0; i < k->n_core; i++)
        k->in[k->core[i]] = end ? items[k->core[i]].returned <= times[low] : items[k->core[i]].invoked >= times[low];
    settle(k);
    return 0;
}

/* What is of no use to the core now never will be to a smaller one. */
static int bury(struct shrinking *k) {
    const struct orri_object *o = k->problem->object;
    uint32_t n = compose(k);
    int rc = o->reset(o->ud, k->items, n, true);
    if (rc < 0 || !o->useless || k->problem->witness) return rc;
    for (uint32_t i = 0; i < k->problem->n; i++)
        k->dead[i] = k->dead[i] || (!k->in[i] && o->useless(o->ud, k->problem->items[i].call));
    return 0;
}

/* -- Guessing ------------------------------------------------------------------------------------------------------ */
/* What the search failed at, and some calls around: often enough that is violated already, and thousands needn't be
 * left out one by one. Asked before any trial. */
static int guess(struct shrinking *k, const bool *suspects) {
    uint32_t first = ORRI_NONE, last = 0;
    for (uint32_t i = 0; i < k->n_core; i++) {
        if (!suspects[i]) continue;
        if (first == ORRI_NONE) first = i;
        last = i;
    }
    if (first == ORRI_NONE) return 0;
    int rc = 0;
    for (uint32_t around = 4; rc == 0 && around <= 64; around *= 4) {
        for (uint32_t i = 0; i < k->n_core; i++)
            k->in[i] = suspects[i] || (i >= first && i - first < around) || (i <= last && last - i < around);
        rc = violated(k);
    }
    if (rc == 0) put(k, 0, k->n_core, true);
    else if (rc > 0) settle(k);
    return rc < 0 ? rc : 0;
}

/* -- Leaving out --------------------------------------------------------------------------------------------------- */
static bool spent(const struct shrinking *k) { return k->steps > k->steps_max || k->trials > ALL_TRIALS; }

/* One pass over all parts of this size; *less: something was left out. The latest first: what came before explains. */
static int leave_out(struct shrinking *k, uint32_t size, bool *less) {
    *less = false;
    for (uint32_t to = k->n_core; to > 0 && !spent(k);) {
        uint32_t from = to > size ? to - size : 0;
        put(k, from, to, false);
        int rc = violated(k);
        if (rc < 0) return rc;
        if (rc == 0) {
            put(k, from, to, true);
        } else {
            *less = true;
            settle(k);
        }
        to = from;
    }
    return 0;
}

static int minimise(struct shrinking *k) {
    bool less;
    for (uint32_t size = (k->n_core + 1) / 2; size > 1; size = (size + 1) / 2) {
        int rc = leave_out(k, size, &less);
        if (rc < 0) return rc;
        if (size > k->n_core / 2) size = k->n_core / 2 + 1;
        if (size <= 1) break;
    }
    do {
        int rc = leave_out(k, 1, &less);
        if (rc < 0) return rc;
    } while (less && !spent(k));
    return 0;
}

int orri_shrink(struct orri_search *s, const struct orri_problem *p, struct orri_arena *arena, struct orri_core *out) {
    struct shrinking k = { .search = s, .problem = p, .steps_max = ALL_STEPS };
    if (p->steps_max < ALL_STEPS / 5) k.steps_max = 5 * p->steps_max;
    k.items = orri_take(arena, p->n + 1u, sizeof *k.items);
    k.in = orri_take_zeroed(arena, p->n + 1u, sizeof *k.in);
    k.dead = orri_take_zeroed(arena, p->n + 1u, sizeof *k.dead);
    k.core = orri_take(arena, p->n + 1u, sizeof *k.core);
    bool *suspects = orri_take_zeroed(arena, p->n + 1u, sizeof *suspects);
    if (!k.items || !k.in || !k.dead || !k.core || !suspects) return -ENOMEM;
    for (uint32_t i = 0; i < p->n; i++) {
        k.core[k.n_core++] = i;
        k.in[i] = true;
        suspects[i] = p->object->suspect && !p->by_process && p->object->suspect(p->object->ud, p->items[i].call);
    }
    int rc = guess(&k, suspects);
    if (rc == 0) rc = cut(&k, arena, true);
    if (rc == 0 && !p->by_process) rc = cut(&k, arena, false);
    if (rc == 0) rc = bury(&k);
    if (rc == 0) rc = minimise(&k);
    *out = (struct orri_core){ k.core, k.n_core, k.items, rc == 0 ? compose(&k) : 0, !spent(&k), k.steps };
    return rc;
}
