/* heap.h - a heap of timers with a total order: by time, then by the order in which they were set.
 *
 * Intrusive: a timer lies in its owner's struct, zeroed. The heap keeps an array of pointers and nothing else.       */
#ifndef ORRI_HEAP_H
#define ORRI_HEAP_H

#include <orrery/base.h>

struct orr_timer {
    orr_time at;
    uint64_t sequence;              /* ties: who was set first comes first */
    size_t place;                   /* 0: not in a heap; else index + 1 */
};
struct orr_heap {
    struct orr_timer **timers;
    size_t n, cap;
    uint64_t sequence;
    const struct orr_alloc *alloc;
};

void orri_heap_init(struct orr_heap *heap, const struct orr_alloc *alloc);     /* alloc: borrowed for the heap's life */
/* Takes all timers out: they are still alive. */
void orri_heap_clear(struct orr_heap *heap);
/* Sets a timer, or moves it. ORR_NEVER takes it out. -ENOMEM only when it was not in. */
int orri_heap_set(struct orr_heap *heap, struct orr_timer *timer, orr_time at);
void orri_heap_unset(struct orr_heap *heap, struct orr_timer *timer);          /* not in: nothing happens */
orr_time orri_heap_next(const struct orr_heap *heap);                          /* ORR_NEVER when empty */
/* The first timer due at `now`, taken out, or NULL. A timer set for now or before while draining comes in the same
 * drain: who drains takes a limit of its own. */
struct orr_timer *orri_heap_due(struct orr_heap *heap, orr_time now);
/* Asserts the heap order and all places. */
void orri_heap_check(const struct orr_heap *heap);

#endif
