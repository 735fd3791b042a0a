/* pulse.c - failure detection by heartbeats alone: each member sends one to all that it may talk to, every interval,
 * and judges each by what came of it, for itself: by phi (arrivals.h) or by a plain deadline.
 *
 * A heartbeat bears its sender's stamp, and the receiver's last one with how long ago it came: so the round trip is
 * known without a packet more, and whether a datagram gets there and back. Failed members are sent heartbeats, too: who
 * comes back is seen at once. */
#include "membership/inner.h"

enum { FRESH = 3 };                 /* intervals: an older echo says that ours do not arrive */

static orr_time deadline(const struct orr_membership *m, const struct orri_member *r) {
    const struct orri_pulse *p = r->pulse;
    bool suspect = r->state == ORR_MEMBER_SUSPECT;
    if (!orri_member_lives(r)) return ORR_NEVER;
    if (m->cfg.detector == ORR_DETECTOR_PHI)
        return orri_arrivals_when(&p->arrivals, suspect ? m->cfg.phi_fail : m->cfg.phi_suspect);
    return p->heard + (suspect ? m->cfg.silence : m->cfg.silence / 2);
}

/* The timer's place in the heap was taken when the pulse was made. */
static void wait(struct orr_membership *m, struct orri_member *r) {
    orr_time at = deadline(m, r);
    if (at == ORR_NEVER) at = ORRI_NO_PULSE;
    (void)orri_heap_set(&m->timers, &r->pulse->timer, at > m->now ? at : m->now);
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
void orri_pulse_begin(struct orr_membership *m, struct orri_member *r) {
    if (orri_member_swim(m) || r == m->self || !r->may_talk) return;
    if (!r->pulse) {
        struct orri_pulse *p = orri_member_get(m, sizeof *p);
        if (!p) return;
        p->member = r;
        if (orri_heap_set(&m->timers, &p->timer, ORRI_NO_PULSE) < 0) {
            orri_member_give_back(m, p, sizeof *p);
            return;
        }
        orri_arrivals_init(&p->arrivals, m->cfg.probe_interval, m->cfg.probe_interval / 10, m->cfg.probe_interval);
        orri_arrivals_heard(&p->arrivals, m->now);
        r->pulse = p;
    }
    r->pulse->heard = r->pulse->arrivals.last = m->now;
    wait(m, r);
}

void orri_pulse_end(struct orr_membership *m, struct orri_member *r) {
    if (orri_member_swim(m) || !r->pulse) return;
    orri_heap_unset(&m->timers, &r->pulse->timer);
    orri_member_give_back(m, r->pulse, sizeof *r->pulse);
    r->pulse = NULL;
}

/* -- Heard --------------------------------------------------------------------------------------------------------- */
static void lives(struct orr_membership *m, struct orri_member *r) {
    enum orr_member_state was = r->state;
    if (was != ORR_MEMBER_ALIVE) {
        if (!orri_member_event_room(m, 1)) return;
        orri_record_state(m, r, ORR_MEMBER_ALIVE, r->incarnation, m->now);
        r->by = ORR_NOBODY;
        orri_member_event(m, was == ORR_MEMBER_FAILED ? ORR_MEMBER_RETURNS : ORR_MEMBER_REFUTED, r, ORR_NOBODY);
        if (was == ORR_MEMBER_FAILED) orri_member_appears(m);
    }
    wait(m, r);
}

static void found(struct orr_membership *m, struct orri_member *r, enum orr_member_way way, orr_time rtt) {
    struct orri_member_detail *d = orri_member_detail(m, r);
    if (!d) return;
    d->way = (uint8_t)way;
    d->probed = m->now;
    d->probes[d->next_probe] = (struct orri_probed){ .at = m->now - rtt, .rtt_us = (uint32_t)(rtt / ORR_US),
                                                     .way = (uint8_t)way };
    d->next_probe = (uint8_t)((d->next_probe + 1) % ORR_MEMBER_PROBES_KEPT);
    if (d->n_probes < ORR_MEMBER_PROBES_KEPT) d->n_probes++;
}

static bool is_sound(const struct orr_membership *m, const struct orri_packet *p) {
    return p->echo > m->now - ORRI_LONGEST && p->echo <= m->now && p->held <= m->now - p->echo &&
           m->now - p->echo - p->held <= ORRI_VIVALDI_RTT_MAX;
}

void orri_pulse_recv(struct orr_membership *m, struct orri_member *r, const struct orri_packet *p) {
    if (orri_member_swim(m) || !r->heard || r->state == ORR_MEMBER_LEFT) return;
    if (!r->pulse) orri_pulse_begin(m, r);
    if (!r->pulse) return;
    r->pulse->heard = r->pulse->stamped = m->now;
    r->pulse->stamp = p->sent;
    orri_arrivals_heard(&r->pulse->arrivals, m->now);
    bool back = p->echo != 0 && is_sound(m, p) && p->held <= FRESH * m->cfg.probe_interval;
    orr_time rtt = back ? m->now - p->echo - p->held : 0;
    if (back) orri_member_measured(m, r, rtt, p->coordinate);
    else orri_member_placed(m, r, p->coordinate);
    found(m, r, back ? ORR_WAY_DIRECT : ORR_WAY_NONE, rtt);
    lives(m, r);
}

void orri_pulse_heard(struct orr_membership *m, struct orri_member *r) {
    if (orri_member_swim(m) || !r->heard || r->state == ORR_MEMBER_LEFT || !r->pulse) return;
    r->pulse->heard = r->pulse->arrivals.last = m->now;
    if (!r->detail || r->detail->way == ORR_WAY_NONE) found(m, r, ORR_WAY_STREAM, 0);
    lives(m, r);
}

void orri_pulse_write(const struct orr_membership *m, const struct orri_member *to, struct orri_packet *p) {
    p->sent = m->now;
    if (!to->pulse || to->pulse->stamp == 0) return;
    p->echo = to->pulse->stamp;
    p->held = m->now - to->pulse->stamped;
}

/* -- Not heard ----------------------------------------------------------------------------------------------------- */
static void missed(struct orr_membership *m, struct orri_member *r) {
    bool suspect = r->state == ORR_MEMBER_SUSPECT;
    found(m, r, ORR_WAY_NONE, 0);
    orri_record_state(m, r, suspect ? ORR_MEMBER_FAILED : ORR_MEMBER_SUSPECT, r->incarnation, m->now);
    orri_member_event(m, suspect ? ORR_MEMBER_FAILS : ORR_MEMBER_SUSPECTED, r, ORR_NOBODY);
    if (!suspect) return;
    orri_member_tell_no_more(m, r);
    orri_forget_later(m, r);
    orri_join_soon(m);
}

static void judge(struct orr_membership *m) {
    for (struct orr_timer *t; (t = orri_heap_due(&m->timers, m->now));) {
        struct orri_member *r = ((struct orri_pulse *)t)->member;
        if (orri_member_lives(r) && deadline(m, r) <= m->now) {
            if (!orri_member_event_room(m, 1)) {
                (void)orri_heap_set(&m->timers, t, m->now + m->cfg.probe_interval);
                continue;
            }
            missed(m, r);
        }
        wait(m, r);
    }
}

void orri_pulse_tick(struct orr_membership *m) {
    if (orri_member_swim(m)) return;
    judge(m);
    if (m->now < m->probe_at) return;
    m->probe_at = m->n_talk == 0 || m->leaving ? ORR_NEVER : m->now + m->cfg.probe_interval;
    if (m->probe_at != ORR_NEVER)
        orri_member_send(m, (struct orri_sending){ .kind = ORRI_HEARTBEAT, .left = (uint32_t)m->n_talk });
}
