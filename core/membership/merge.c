/* merge.c - what is said of a member, and what becomes of it.
 *
 * Of two things said of it the one with the higher incarnation stands, of equal ones the worse: left, failed, suspect,
 * alive (SWIM, section 4.2). Only `alive` bears a new incarnation's address and tags: who was suspected at one that is
 * new to us refutes it at a higher one still, and that comes whole.
 *
 * From records (anti-entropy) a failure counts as a suspicion, as in memberlist: the one it is about, which may be
 * reached from here, gets its chance to refute. A stranger's state is taken as it is, so that all know the same
 * tombstones. With heartbeats each judges for itself, so nobody is believed about failures.
 *
 * Whatever finds no memory is as if it had not been heard; anti-entropy says it again. */
#include <errno.h>
#include <string.h>

#include "membership/inner.h"

/* -- Events -------------------------------------------------------------------------------------------------------- */
enum { EVENTS_FIRST = 16, EVENTS_A_FACT = 2 };

bool orri_member_event_room(struct orr_membership *m, size_t n) {
    if (m->first_event == m->n_events) m->first_event = m->n_events = 0;
    if (m->n_events + n <= m->events_cap) return true;
    size_t cap = m->events_cap ? 2 * m->events_cap : EVENTS_FIRST, one = sizeof *m->events;
    void *events = m->alloc.fn(m->alloc.ud, m->events, m->events_cap * one, cap * one);
    if (!events) return false;
    m->events = events;
    m->events_cap = cap;
    return true;
}

/* `by` is this node itself where it is nobody else. */
void orri_member_event(struct orr_membership *m, enum orr_member_event_kind kind, const struct orri_member *r,
                       orr_id by) {
    ORR_ASSERT(m->n_events < m->events_cap);
    m->events[m->n_events++] = (struct orri_member_event){ .id = r->id, .incarnation = r->incarnation, .kind = kind,
                                                    .by = by == m->self->id ? ORR_NOBODY : by };
}

/* -- Oneself ------------------------------------------------------------------------------------------------------- */
void orri_member_refute(struct orr_membership *m, uint64_t said) {
    struct orri_member *self = m->self;
    uint64_t incarnation = said > self->incarnation ? said : self->incarnation;
    if (incarnation < ORRI_INCARNATION_MAX) incarnation++;
    orri_record_state(m, self, self->state, incarnation, self->since);
    orri_member_tell(m, self);
}

static void of_oneself(struct orr_membership *m, const struct orri_fact *f) {
    const struct orri_member *self = m->self;
    bool alive = f->state == ORR_MEMBER_ALIVE;
    bool another = f->incarnation == self->incarnation && alive && orri_record_differs(self, f);
    if (m->leaving || f->incarnation < self->incarnation ||
        (f->incarnation == self->incarnation && alive && !another)) {
        m->counted.stale++;
        return;
    }
    if (!alive) {
        m->counted.refuted++;
        if (orri_member_swim(m)) orri_member_aware(m, 1);
    }
    orri_member_refute(m, f->incarnation);
}

/* -- Others -------------------------------------------------------------------------------------------------------- */
static void tell(struct orr_membership *m, struct orri_member *r) {
    if (!m->quiet) orri_member_tell(m, r);
}

static void move(struct orr_membership *m, struct orri_member *r, enum orr_member_state state, uint64_t incarnation) {
    if (state != ORR_MEMBER_SUSPECT) orri_suspicion_end(m, r);
    orr_time since = r->heard && r->state == state ? r->since : m->now;
    orri_record_state(m, r, state, incarnation, since);
    orri_forget_later(m, r);
    if (state > ORR_MEMBER_SUSPECT) orri_join_soon(m);
    if (state == ORR_MEMBER_ALIVE) orri_pulse_begin(m, r);
    else if (state == ORR_MEMBER_LEFT) orri_pulse_end(m, r);
}

static bool is_another_life(const struct orri_member *r, uint64_t incarnation) {
    return incarnation >> 32 != r->incarnation >> 32;
}

static void alive(struct orr_membership *m, struct orri_member *r, const struct orri_fact *f) {
    bool differs = orri_record_differs(r, f), new = !r->heard;
    enum orr_member_state was = r->state;
    if (r->heard && f->incarnation <= r->incarnation) {
        m->counted.stale++;
        return;
    }
    if (!orri_member_event_room(m, EVENTS_A_FACT)) return;
    if (differs && orri_record_tell(m, r, f) < 0) return;
    if (new && orri_record_heard(m, r) < 0) return;
    bool restarted = is_another_life(r, f->incarnation) && was < ORR_MEMBER_FAILED;
    move(m, r, ORR_MEMBER_ALIVE, f->incarnation);
    r->by = ORR_NOBODY;
    if (new || was == ORR_MEMBER_LEFT) orri_member_event(m, ORR_MEMBER_JOINS, r, ORR_NOBODY);
    else if (was == ORR_MEMBER_FAILED) orri_member_event(m, ORR_MEMBER_RETURNS, r, ORR_NOBODY);
    else if (was == ORR_MEMBER_SUSPECT) orri_member_event(m, ORR_MEMBER_REFUTED, r, ORR_NOBODY);
    if ((differs || restarted) && !new && was != ORR_MEMBER_LEFT)
        orri_member_event(m, ORR_MEMBER_CHANGES, r, ORR_NOBODY);
    tell(m, r);
    if (new || was > ORR_MEMBER_SUSPECT) orri_member_appears(m);
}

/* At a higher incarnation: it had refuted what we had of it. */
static void suspect_anew(struct orr_membership *m, struct orri_member *r, const struct orri_fact *f) {
    enum orr_member_state was = r->state;
    if (!orri_member_event_room(m, EVENTS_A_FACT)) return;
    if (was == ORR_MEMBER_SUSPECT) orri_suspicion_end(m, r);
    r->suspicion = orri_suspicion_new(m, r, f->by);
    if (!r->suspicion) {
        if (was == ORR_MEMBER_SUSPECT) move(m, r, ORR_MEMBER_ALIVE, r->incarnation);
        return;
    }
    move(m, r, ORR_MEMBER_SUSPECT, f->incarnation);
    r->by = f->by;
    if (was == ORR_MEMBER_FAILED) orri_member_event(m, ORR_MEMBER_RETURNS, r, ORR_NOBODY);
    if (was == ORR_MEMBER_LEFT) orri_member_event(m, ORR_MEMBER_JOINS, r, ORR_NOBODY);
    if (was != ORR_MEMBER_SUSPECT) orri_member_event(m, ORR_MEMBER_SUSPECTED, r, f->by);
    tell(m, r);
    if (was > ORR_MEMBER_SUSPECT) orri_member_appears(m);
}

static void suspect(struct orr_membership *m, struct orri_member *r, const struct orri_fact *f) {
    if (f->incarnation < r->incarnation || (f->incarnation == r->incarnation && r->state > ORR_MEMBER_SUSPECT)) {
        m->counted.stale++;
        return;
    }
    if (f->incarnation > r->incarnation || r->state == ORR_MEMBER_ALIVE) {
        suspect_anew(m, r, f);
    } else if (orri_suspicion_confirm(m, r->suspicion, f->by)) {
        tell(m, r);
    } else {
        m->counted.stale++;
    }
}

static void gone(struct orr_membership *m, struct orri_member *r, const struct orri_fact *f) {
    enum orr_member_state was = r->state;
    if (f->incarnation < r->incarnation || (f->incarnation == r->incarnation && was >= f->state)) {
        m->counted.stale++;
        return;
    }
    if (!orri_member_event_room(m, EVENTS_A_FACT)) return;
    move(m, r, f->state, f->incarnation);
    r->by = f->by;
    if (f->state != was && f->state == ORR_MEMBER_LEFT) orri_member_event(m, ORR_MEMBER_LEAVES, r, ORR_NOBODY);
    if (f->state != was && f->state == ORR_MEMBER_FAILED) orri_member_event(m, ORR_MEMBER_FAILS, r, f->by);
    tell(m, r);
}

/* A tombstone that is old is near its end elsewhere too: it would live on by being told. */
static bool too_old(const struct orr_membership *m, const struct orri_fact *f) {
    return f->state > ORR_MEMBER_SUSPECT && m->cfg.forget > 0 && f->age >= m->cfg.forget / 2;
}

/* Of one that nobody told us of before, in a state that isn't alive. */
static void bury(struct orr_membership *m, struct orri_member *r, const struct orri_fact *f) {
    if (!orri_member_event_room(m, EVENTS_A_FACT) || orri_record_tell(m, r, f) < 0) return;
    struct orri_suspicion *s = NULL;
    if (f->state == ORR_MEMBER_SUSPECT) {
        s = orri_suspicion_new(m, r, f->by);
        if (!s) return;
    }
    r->suspicion = s;
    if (orri_record_heard(m, r) < 0) {
        orri_suspicion_end(m, r);
        return;
    }
    orri_record_state(m, r, f->state, f->incarnation, m->now - f->age);
    r->by = f->by;
    orri_forget_later(m, r);
    if (f->state == ORR_MEMBER_SUSPECT) {
        orri_member_event(m, ORR_MEMBER_JOINS, r, ORR_NOBODY);
        orri_member_event(m, ORR_MEMBER_SUSPECTED, r, f->by);
        orri_member_appears(m);
    }
}

static void of_another(struct orr_membership *m, struct orri_member *r, const struct orri_fact *f, bool record) {
    if (!r->heard && f->state != ORR_MEMBER_ALIVE) {
        if (f->whole) bury(m, r, f);
        return;
    }
    switch (f->state) {
    case ORR_MEMBER_ALIVE: alive(m, r, f); break;
    case ORR_MEMBER_SUSPECT: suspect(m, r, f); break;
    case ORR_MEMBER_FAILED:
        if (record && orri_member_lives(r)) suspect(m, r, f);
        else gone(m, r, f);
        break;
    case ORR_MEMBER_LEFT: gone(m, r, f); break;
    }
}

/* Who is said to be here is, if he may; and others we have no word for. NULL: nothing becomes of it. */
static struct orri_member *newcomer(struct orr_membership *m, const struct orri_fact *f) {
    if (!f->whole || too_old(m, f)) return NULL;
    if (!m->cfg.open) {
        m->counted.dropped_stranger++;
        return NULL;
    }
    return orri_record_new(m, f->name, true);
}

static bool same_name(const struct orri_member *r, const struct orri_fact *f) {
    return !f->whole || (f->name.size == r->name_size && memcmp(f->name.at, orri_name(r), r->name_size) == 0);
}

void orri_member_merge(struct orr_membership *m, const struct orri_fact *f, bool record) {
    if (!orri_member_swim(m) && (f->state == ORR_MEMBER_SUSPECT || f->state == ORR_MEMBER_FAILED)) return;
    struct orri_member *r = orri_member_find(m, f->id);
    bool made = !r;
    if (!r) r = newcomer(m, f);
    if (!r) return;
    if (!same_name(r, f)) m->counted.dropped_stranger++;
    else if (r == m->self) of_oneself(m, f);
    else of_another(m, r, f, record);
    if (made && !r->heard) orri_record_free(m, r);          /* no memory for the rest of it */
}

bool orri_member_merge_all(struct orr_membership *m, const struct orri_facts *facts, bool record) {
    const struct orr_membership_status *c = &m->counted;
    uint64_t before = c->stale + c->dropped_stranger;
    orri_member_fetch(m, facts);
    for (size_t i = 0; i < facts->n; i++) orri_member_merge(m, &facts->at[i], record);
    return c->stale + c->dropped_stranger - before < facts->n;
}

void orri_member_appears(struct orr_membership *m) {
    orr_time some = (orr_time)orri_rng_below(&m->rng, (uint64_t)m->cfg.probe_interval);
    if (m->leaving) return;
    if (m->probe_at == ORR_NEVER) m->probe_at = m->now + some;
    if (m->gossip_at == ORR_NEVER && m->n_queued > 0) m->gossip_at = m->now + m->cfg.gossip_interval;
    orri_sync_soon(m);
}

void orri_member_fail(struct orr_membership *m, struct orri_member *r) {
    move(m, r, ORR_MEMBER_FAILED, r->incarnation);
    orri_member_event(m, ORR_MEMBER_FAILS, r, r->by);
    orri_member_tell(m, r);
}
