/* forget.c - tombstones: who failed or left is remembered for a while, so that nothing older brings him back.
 *
 * All hear of an end at nearly the same time, or with its age; so all forget it at nearly the same time. But one that
 * forgot it would hear of it again from one that is about to. Therefore a tombstone is told only during the first half
 * of its time, and taken from nobody whose own is older than that: none outlives its time. */
#include "membership/inner.h"

void orri_forget_later(struct orr_membership *m, const struct orri_member *r) {
    if (m->cfg.forget == 0 || !r->heard || orri_member_lives(r) || r == m->self) return;
    orr_time at = r->since + (r->faded ? m->cfg.forget : m->cfg.forget / 2);
    if (at < m->forget_at) m->forget_at = at;
}

static void forget(struct orr_membership *m, struct orri_member *r) {
    if (r->known) {
        orri_record_unhear(m, r);
        orri_join_soon(m);
    } else {
        orri_record_free(m, r);
    }
}

/* Events bear names, so none may be waiting for its record. */
void orri_forget_tick(struct orr_membership *m) {
    if (m->now < m->forget_at || m->first_event < m->n_events) return;
    m->forget_at = ORR_NEVER;
    for (size_t i = m->n_names; i-- > 0;) {
        struct orri_member *r = m->names[i];
        if (orri_member_lives(r) || r == m->self) continue;
        if (!r->faded && m->now - r->since >= m->cfg.forget / 2) orri_record_fade(m, r);
        if (m->now - r->since >= m->cfg.forget) forget(m, r);
        else orri_forget_later(m, r);
    }
}
