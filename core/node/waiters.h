/* waiters.h - who waits for the fate of a command or a read: 16 bytes for each, by way of a slot.
 *
 * A waiter (a connection) with thousands of outstanding tags owns one slot; the tags bear its number. Forgetting the
 * waiter empties the slot, which is free for another one when its last tag has passed.                               */
#ifndef ORRI_WAITERS_H
#define ORRI_WAITERS_H

#include "node/group.h"

struct orri_tag {
    uint32_t slot;
    uint64_t tag;
};
struct orri_slot {
    struct orri_waiter *waiter;     /* NULL: forgotten, or free */
    uint32_t refs, next_free;
};
struct orri_slots {
    struct orri_slot *at;           /* 0 is nobody's */
    uint32_t cap, free;             /* free: 0: none */
    const struct orr_alloc *alloc;
};

void orri_slots_init(struct orri_slots *s, const struct orr_alloc *alloc);
void orri_slots_clear(struct orri_slots *s);
/* Sees to it that the next take can't fail. -ENOMEM. */
int orri_slots_ensure(struct orri_slots *s);
/* One more tag of this waiter: the number of its slot. After ensure. */
uint32_t orri_slots_take(struct orri_slots *s, struct orri_waiter *w);
static inline struct orri_waiter *orri_slots_look(const struct orri_slots *s, uint32_t slot) {
    return s->at[slot].waiter;
}
/* A tag was told. */
void orri_slots_release(struct orri_slots *s, uint32_t slot);
void orri_slots_forget(struct orri_slots *s, struct orri_waiter *w);
/* Tells and releases one. */
void orri_slots_lost(struct orri_slots *s, const struct orri_tag *tag, bool read, int status);

#endif
