/* waiting.h - the calls that are not placed and wait for something, in a fixed order; they leave and come back as the
 * search places and unplaces them, last out first in. A call that doesn't wait points to itself. */
#ifndef ORRI_CHECK_WAITING_H
#define ORRI_CHECK_WAITING_H

#include "check/arena.h"

struct orri_waiting {
    uint32_t *next, *prev, n;       /* calls, and the head, which is number n */
};

static inline bool orri_waiting_init(struct orri_waiting *w, struct orri_arena *arena, uint32_t n) {
    w->n = n;
    w->next = orri_take(arena, n + 1u, sizeof *w->next);
    w->prev = orri_take(arena, n + 1u, sizeof *w->prev);
    return w->next && w->prev;
}
static inline void orri_waiting_reset(struct orri_waiting *w) {
    for (uint32_t i = 0; i <= w->n; i++) w->next[i] = w->prev[i] = i;
}
static inline void orri_waiting_add(struct orri_waiting *w, uint32_t call) {    /* as the last */
    uint32_t last = w->prev[w->n];
    w->next[call] = w->n;
    w->prev[call] = last;
    w->next[last] = w->prev[w->n] = call;
}
static inline void orri_waiting_leave(struct orri_waiting *w, uint32_t call) {
    w->next[w->prev[call]] = w->next[call];
    w->prev[w->next[call]] = w->prev[call];
}
static inline void orri_waiting_come_back(struct orri_waiting *w, uint32_t call) {
    w->next[w->prev[call]] = call;
    w->prev[w->next[call]] = call;
}
static inline uint32_t orri_waiting_first(const struct orri_waiting *w) { return w->next[w->n]; }    /* n: nobody */

#endif
