/* waiters.c - the slots of waiters (why there are any: waiters.h). A free slot is on a list through next_free.      */
#include "node/waiters.h"

#include <errno.h>

#include "base/assert.h"

void orri_slots_init(struct orri_slots *s, const struct orr_alloc *alloc) {
    *s = (struct orri_slots){ .alloc = alloc };
}

void orri_slots_clear(struct orri_slots *s) {
    s->alloc->fn(s->alloc->ud, s->at, s->cap * sizeof *s->at, 0);
    orri_slots_init(s, s->alloc);
}

int orri_slots_ensure(struct orri_slots *s) {
    if (s->free) return 0;
    uint32_t cap = s->cap ? 2 * s->cap : 64;
    struct orri_slot *at = s->alloc->fn(s->alloc->ud, s->at, s->cap * sizeof *at, cap * sizeof *at);
    if (!at) return -ENOMEM;
    for (uint32_t i = cap - 1; i >= (s->cap ? s->cap : 1); i--) {
        at[i] = (struct orri_slot){ .next_free = s->free };
        s->free = i;
    }
    at[0] = (struct orri_slot){ 0 };
    s->at = at;
    s->cap = cap;
    return 0;
}

uint32_t orri_slots_take(struct orri_slots *s, struct orri_waiter *w) {
    if (!w->slot) {
        ORR_ASSERT(s->free);
        w->slot = s->free;
        s->free = s->at[w->slot].next_free;
        s->at[w->slot] = (struct orri_slot){ .waiter = w };
    }
    ORR_ASSERT(s->at[w->slot].waiter == w);
    s->at[w->slot].refs++;
    return w->slot;
}

void orri_slots_release(struct orri_slots *s, uint32_t slot) {
    struct orri_slot *p = &s->at[slot];
    ORR_ASSERT(slot && p->refs);
    if (--p->refs) return;
    if (p->waiter) p->waiter->slot = 0;
    *p = (struct orri_slot){ .next_free = s->free };
    s->free = slot;
}

void orri_slots_forget(struct orri_slots *s, struct orri_waiter *w) {
    if (!w->slot) return;
    s->at[w->slot].waiter = NULL;       /* its last tag frees it */
    w->slot = 0;
}

void orri_slots_lost(struct orri_slots *s, const struct orri_tag *tag, bool read, int status) {
    struct orri_waiter *w = orri_slots_look(s, tag->slot);
    if (w) w->ops->lost(w, tag->tag, read, status);
    orri_slots_release(s, tag->slot);
}
