/* send.c - packets: what was noted to be sent is built here when it is asked for.
 *
 * In each there is first what its receiver must know: if it is not held to be alive, that (so that it can refute: the
 * buddy system, and who was cut off learns of it by the first answer); who we are, where this may be the first that he
 * hears of us; and that this node leaves. Changes fill the rest. */
#include <string.h>

#include "membership/inner.h"

/* Full: as if the packet had been lost. */
void orri_member_send(struct orr_membership *m, struct orri_sending s) {
    if (m->n_sending == ORRI_SENDING_MAX) return;
    m->sending[(m->first_sending + m->n_sending++) % ORRI_SENDING_MAX] = s;
}

static void done(struct orr_membership *m) {
    m->first_sending = (m->first_sending + 1) % ORRI_SENDING_MAX;
    m->n_sending--;
}

/* -- Contents ------------------------------------------------------------------------------------------------------ */
static void tell_first(struct orr_membership *m, struct orr_writer *w, const struct orri_member *r) {
    struct orri_fact f;
    orri_fact_of(m, r, false, &f);
    if (orri_fact_size(&f) <= (size_t)(w->end - w->at)) orri_fact_write(w, &f);
}

/* Whoever answered a ping knows us. Where only those in the file may join, all do. */
static bool may_not_know_us(const struct orr_membership *m, const struct orri_member *to) {
    return m->cfg.open && !(to->detail && to->detail->way == ORR_WAY_DIRECT);
}

static void fill(struct orr_membership *m, const struct orri_packet *p, const struct orri_member *to,
                 struct orr_writer *w) {
    bool asks = p->kind == ORRI_PING || p->kind == ORRI_PING_REQ;
    bool introduce = p->kind == ORRI_SYNC || m->leaving || (asks && may_not_know_us(m, to));
    if (introduce) tell_first(m, w, m->self);
    if (to->heard && to->state != ORR_MEMBER_ALIVE && orri_member_swim(m)) tell_first(m, w, to);
    orri_member_tell_on_the_back(m, w, introduce ? m->self : NULL);
    if (introduce) orri_member_told(m, m->self);
}

static struct orri_packet packet_of(struct orr_membership *m, const struct orri_sending *s,
                                    const struct orri_member *to) {
    struct orri_packet p = { .kind = s->kind, .from = m->self->id, .to = to->id, .sequence = s->sequence,
                             .target = s->target, .within = s->within };
    orri_coordinate_write(p.coordinate, &m->vivaldi.here);
    if (s->kind == ORRI_SYNC) orri_sync_head(m, &p);
    if (s->kind == ORRI_HEARTBEAT) orri_pulse_write(m, to, &p);
    if (s->kind == ORRI_RECORDS) p.wanted = s->packets == 0 ? s->wanted : 0;
    return p;
}

/* -- Building ------------------------------------------------------------------------------------------------------ */
static void give(struct orr_membership *m, const struct orri_member *to, size_t size) {
    if (m->keyring.n > 0) size = orri_keyring_seal(&m->keyring, m->out, size, m->self->id, to->id);
    else size = orri_packet_sum(m->out, size);
    m->ready.kind = ORR_MEMBERSHIP_PACKET;
    m->ready.packet.to = to->id;
    strcpy(m->given, orri_address(to));
    m->ready.packet.address = m->given;
    m->ready.packet.bytes = orr_borrow(m->out, size);
    m->counted.packets_out++;
    m->counted.bytes_out += size;
}

/* False: there would have been nothing in it. *last: no more of this. */
static bool build(struct orr_membership *m, struct orri_sending *s, const struct orri_member *to, bool *last) {
    bool sealed = m->keyring.n > 0;
    struct orr_writer w = orri_writer(m->out, sizeof m->out - (sealed ? ORRI_CODE : ORRI_SUM));
    struct orri_packet p = packet_of(m, s, to);
    orri_packet_write(&w, &p, m->cfg.cluster, sealed);
    unsigned char *body_end = w.at;
    if (s->kind == ORRI_RECORDS) {
        *last = orri_sync_write(m, s, &w);
        body_end[-1] = s->flags;
    } else {
        fill(m, &p, to, &w);
    }
    ORR_ASSERT(!w.failed);
    if (s->kind == ORRI_GOSSIP && w.at == body_end) return false;
    give(m, to, (size_t)(w.at - m->out));
    return true;
}

/* One heartbeat after another, as many as there are in the list. */
static const struct orri_member *next_of_all(const struct orr_membership *m, struct orri_sending *s) {
    while (s->left > 0) {
        const struct orri_member *r = s->at < m->n_talk ? m->talk[s->at] : NULL;
        s->at++;
        s->left--;
        if (r && r->heard && r->state != ORR_MEMBER_LEFT) return r;
    }
    return NULL;
}

bool orri_member_send_next(struct orr_membership *m) {
    while (m->n_sending > 0) {
        struct orri_sending *s = &m->sending[m->first_sending];
        bool all = s->kind == ORRI_HEARTBEAT, last = !all;
        const struct orri_member *to = all ? next_of_all(m, s) : orri_member_find(m, s->to);
        bool built = to && to->may_talk && build(m, s, to, &last);
        if (last || !to || !to->may_talk) done(m);
        if (built) return true;
    }
    return false;
}
