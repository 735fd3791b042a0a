/* relay.c - probes for others: who is asked, pings, and passes the answer on.
 *
 * The asker is told, too, where none has come by four fifths of the time that it waits (Lifeguard, section IV-A): this
 * node is well, then, and so is the way between the two. An answer that comes later still is passed on. */
#include "membership/inner.h"

static void answer(struct orr_membership *m, const struct orri_relay *r, enum orri_kind kind) {
    orri_member_send(m, (struct orri_sending){ .kind = kind, .to = r->asker, .sequence = r->asked });
}

/* Full: as if the packet had been lost. None takes its place for longer than a probe may last. */
void orri_relay_ask(struct orr_membership *m, const struct orri_packet *p) {
    const struct orri_member *target = orri_member_find(m, p->target);
    orr_time most = m->cfg.probe_interval * m->cfg.awareness_max, within = p->within < most ? p->within : most;
    if (m->n_relays == ORRI_RELAYS_MAX) return;
    struct orri_relay r = { .asker = p->from, .target = p->target, .asked = p->sequence,
                            .nack = m->now + within / 5 * 4, .until = m->now + within };
    if (!target || target == m->self || !target->may_talk) {
        answer(m, &r, target == m->self ? ORRI_RELAYED : ORRI_NACK);
        return;
    }
    r.sequence = ++m->sequence;
    m->relays[m->n_relays++] = r;
    orri_member_send(m, (struct orri_sending){ .kind = ORRI_PING, .to = r.target, .sequence = r.sequence });
}

static void take_out(struct orr_membership *m, size_t i) { m->relays[i] = m->relays[--m->n_relays]; }

bool orri_relay_ack(struct orr_membership *m, const struct orri_packet *p) {
    for (size_t i = 0; i < m->n_relays; i++) {
        if (m->relays[i].target != p->from || m->relays[i].sequence != p->sequence) continue;
        answer(m, &m->relays[i], ORRI_RELAYED);
        take_out(m, i);
        return true;
    }
    return false;
}

void orri_relay_tick(struct orr_membership *m) {
    for (size_t i = m->n_relays; i-- > 0;) {
        struct orri_relay *r = &m->relays[i];
        if (m->now >= r->nack) {
            answer(m, r, ORRI_NACK);
            r->nack = ORR_NEVER;
        }
        if (m->now >= r->until) take_out(m, i);
    }
}

orr_time orri_relay_deadline(const struct orr_membership *m) {
    orr_time at = ORR_NEVER;
    for (size_t i = 0; i < m->n_relays; i++) {
        orr_time next = m->relays[i].nack < m->relays[i].until ? m->relays[i].nack : m->relays[i].until;
        if (next < at) at = next;
    }
    return at;
}
