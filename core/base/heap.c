/* heap.c - a binary heap of timers, ordered by (at, sequence), so that no two are equal and no run differs. */
#include "base/heap.h"

#include <errno.h>

#include "base/assert.h"

enum { CAP_FIRST = 16 };

static bool before(const struct orr_timer *a, const struct orr_timer *b) {
    return a->at < b->at || (a->at == b->at && a->sequence < b->sequence);
}

static void put(struct orr_heap *heap, size_t i, struct orr_timer *timer) {
    heap->timers[i] = timer;
    timer->place = i + 1;
}

/* Both: the slot at i is empty; they find the timer's place from there and put it. */
static void rise(struct orr_heap *heap, size_t i, struct orr_timer *timer) {
    for (size_t parent; i > 0 && before(timer, heap->timers[parent = (i - 1) / 2]); i = parent) {
        put(heap, i, heap->timers[parent]);
    }
    put(heap, i, timer);
}
static void sink(struct orr_heap *heap, size_t i, struct orr_timer *timer) {
    for (size_t child; (child = 2 * i + 1) < heap->n; i = child) {
        if (child + 1 < heap->n && before(heap->timers[child + 1], heap->timers[child])) child++;
        if (before(timer, heap->timers[child])) break;
        put(heap, i, heap->timers[child]);
    }
    put(heap, i, timer);
}
static void settle(struct orr_heap *heap, size_t i, struct orr_timer *timer) {
    if (i > 0 && before(timer, heap->timers[(i - 1) / 2])) {
        rise(heap, i, timer);
    } else {
        sink(heap, i, timer);
    }
}

static int grow(struct orr_heap *heap) {
    size_t cap = heap->cap ? 2 * heap->cap : CAP_FIRST;
    void *timers = heap->alloc->fn(heap->alloc->ud, heap->timers, heap->cap * sizeof(struct orr_timer *),
                                   cap * sizeof(struct orr_timer *));
    if (!timers) return -ENOMEM;
    heap->timers = timers;
    heap->cap = cap;
    return 0;
}

void orri_heap_init(struct orr_heap *heap, const struct orr_alloc *alloc) {
    *heap = (struct orr_heap){ .alloc = alloc };
}

void orri_heap_clear(struct orr_heap *heap) {
    for (size_t i = 0; i < heap->n; i++) heap->timers[i]->place = 0;
    if (heap->timers) heap->alloc->fn(heap->alloc->ud, heap->timers, heap->cap * sizeof(struct orr_timer *), 0);
    heap->timers = NULL;
    heap->n = heap->cap = 0;
}

int orri_heap_set(struct orr_heap *heap, struct orr_timer *timer, orr_time at) {
    if (at == ORR_NEVER) {
        orri_heap_unset(heap, timer);
        return 0;
    }
    size_t i = timer->place - 1;
    if (timer->place == 0) {
        if (heap->n == heap->cap && grow(heap) != 0) return -ENOMEM;
        i = heap->n++;
    }
    timer->at = at;
    timer->sequence = heap->sequence++;
    settle(heap, i, timer);
    return 0;
}

void orri_heap_unset(struct orr_heap *heap, struct orr_timer *timer) {
    if (timer->place == 0) return;
    size_t i = timer->place - 1;
    ORR_ASSERT(i < heap->n && heap->timers[i] == timer);
    timer->place = 0;
    struct orr_timer *last = heap->timers[--heap->n];
    if (i < heap->n) settle(heap, i, last);
}

orr_time orri_heap_next(const struct orr_heap *heap) { return heap->n ? heap->timers[0]->at : ORR_NEVER; }

struct orr_timer *orri_heap_due(struct orr_heap *heap, orr_time now) {
    if (orri_heap_next(heap) > now || heap->n == 0) return NULL;
    struct orr_timer *timer = heap->timers[0];
    orri_heap_unset(heap, timer);
    return timer;
}

void orri_heap_check(const struct orr_heap *heap) {
    ORR_ASSERT(heap->n <= heap->cap);
    for (size_t i = 0; i < heap->n; i++) {
        ORR_ASSERT(heap->timers[i]->place == i + 1);
        ORR_ASSERT(heap->timers[i]->at != ORR_NEVER);
        ORR_ASSERT(i == 0 || before(heap->timers[(i - 1) / 2], heap->timers[i]));
    }
}
