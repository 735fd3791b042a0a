/* suspicion.c - how long a suspect is given to refute.
 *
 * Lifeguard's local health aware suspicion (section IV-B): it begins with the longest time and comes down to the
 * shortest as others confirm that they suspect the member too, by the logarithm of how many did: the first few tell
 * the most. A node that is slow itself gets few confirmations, for it hears little, and so fails nobody in haste.
 *
 *     shortest = suspicion_mult x max(1, log10 n) x probe_interval        longest = suspicion_max_mult x shortest
 *     k = suspicion_mult - 2 confirmations are waited for; none where there are too few members to give them     */
#include <math.h>

#include "membership/inner.h"

orr_time orri_suspicion_of(const struct orr_membership_config *c, size_t n) {
    double scale = n > 10 ? log((double)n) / log(10.0) : 1;
    return (orr_time)(scale * (double)(c->probe_interval * c->suspicion_mult));
}

orr_time orri_suspicion_least(const struct orr_membership *m) {
    return orri_suspicion_of(&m->cfg, orri_member_living(m));
}

static orr_time lasts(const struct orri_suspicion *s) {
    if (s->n >= s->k) return s->shortest;
    double part = log((double)s->n + 1) / log((double)s->k + 1);
    return s->longest - (orr_time)(part * (double)(s->longest - s->shortest));
}

struct orri_suspicion *orri_suspicion_new(struct orr_membership *m, struct orri_member *r, orr_id by) {
    struct orri_suspicion *s = orri_member_get(m, sizeof *s);
    if (!s) return NULL;
    unsigned k = m->cfg.suspicion_mult > 2 ? m->cfg.suspicion_mult - 2 : 0;
    if (orri_member_living(m) < (size_t)k + 2) k = 0;              /* this node and the suspect give none */
    s->member = r;
    s->from = m->now;
    s->shortest = orri_suspicion_least(m);
    s->longest = s->shortest * m->cfg.suspicion_max_mult;
    s->k = k;
    s->said_by[0] = by;
    if (orri_heap_set(&m->timers, &s->timer, s->from + lasts(s)) == 0) return s;
    orri_member_give_back(m, s, sizeof *s);
    return NULL;
}

bool orri_suspicion_confirm(struct orr_membership *m, struct orri_suspicion *s, orr_id by) {
    if (s->n >= s->k) return false;
    for (unsigned i = 0; i <= s->n; i++) {
        if (s->said_by[i] == by) return false;
    }
    s->said_by[++s->n] = by;
    s->told = s->n;
    orr_time at = s->from + lasts(s);
    (void)orri_heap_set(&m->timers, &s->timer, at > m->now ? at : m->now);          /* it is in: no memory is needed */
    return true;
}

void orri_suspicion_end(struct orr_membership *m, struct orri_member *r) {
    if (!orri_member_swim(m) || !r->suspicion) return;
    orri_heap_unset(&m->timers, &r->suspicion->timer);
    orri_member_give_back(m, r->suspicion, sizeof *r->suspicion);
    r->suspicion = NULL;
}

/* Without room for the event it stays a suspect for another interval. */
void orri_suspicion_tick(struct orr_membership *m) {
    for (struct orr_timer *t; (t = orri_heap_due(&m->timers, m->now));) {
        struct orri_suspicion *s = (struct orri_suspicion *)t;
        if (orri_member_event_room(m, 1)) orri_member_fail(m, s->member);
        else (void)orri_heap_set(&m->timers, t, m->now + m->cfg.probe_interval);
    }
}
