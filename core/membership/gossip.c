/* gossip.c - changes on their way: what is still to be told, and to whom.
 *
 * A change is a member whose state is news. Those told least often go first, and among them who waited longest; each is
 * told retransmit_mult x ceil(log10(n + 1)) times, which reaches all with a probability near 1 (SWIM, section 4.1,
 * with memberlist's figures). There is one change a member: it says what is true when it is sent, so a newer one is in
 * an older one's place. They ride on whatever is sent, and while there are any, packets of their own go to a few
 * members by chance each gossip_interval. */
#include "membership/inner.h"

enum { MISFITS = 16 };              /* too large for what is left of a packet: so many are passed over */

unsigned orri_tell_limit_of(const struct orr_membership_config *c, size_t n) {
    unsigned digits = 0;
    for (size_t reach = 1; reach < n + 1; reach *= 10) digits++;
    return c->retransmit_mult * (digits ? digits : 1);
}

unsigned orri_member_tell_limit(const struct orr_membership *m) {
    return orri_tell_limit_of(&m->cfg, orri_member_living(m));
}

/* -- The queue ----------------------------------------------------------------------------------------------------- */
static void put(struct orr_membership *m, struct orri_member *r, unsigned level) {
    struct orri_level *l = &m->levels[level];
    r->told = (uint8_t)level;
    r->queued = true;
    r->after = NULL;
    r->before = l->last;
    if (l->last) l->last->after = r;
    else l->first = r;
    l->last = r;
    m->used_levels |= UINT64_C(1) << level;
    m->n_queued++;
}

void orri_member_tell_no_more(struct orr_membership *m, struct orri_member *r) {
    if (!r->queued) return;
    struct orri_level *l = &m->levels[r->told];
    if (r->before) r->before->after = r->after;
    else l->first = r->after;
    if (r->after) r->after->before = r->before;
    else l->last = r->before;
    if (!l->first) m->used_levels &= ~(UINT64_C(1) << r->told);
    r->queued = false;
    m->n_queued--;
}

void orri_member_tell(struct orr_membership *m, struct orri_member *r) {
    orri_member_tell_no_more(m, r);
    put(m, r, 0);
    if (m->gossip_at == ORR_NEVER && m->n_names > 1)
        m->gossip_at = m->now + orri_member_jitter(m, m->cfg.gossip_interval);
}

void orri_member_told(struct orr_membership *m, struct orri_member *r) {
    unsigned told = r->told + 1u;
    if (!r->queued) return;
    orri_member_tell_no_more(m, r);
    if (told < orri_member_tell_limit(m)) put(m, r, told);
}

/* -- What is told -------------------------------------------------------------------------------------------------- */
static orr_id said_by(const struct orr_membership *m, const struct orri_member *r) {
    if (orri_member_swim(m) && r->state == ORR_MEMBER_SUSPECT) return r->suspicion->said_by[r->suspicion->told];
    return r->by;
}

void orri_fact_of(const struct orr_membership *m, const struct orri_member *r, bool whole, struct orri_fact *f) {
    *f = (struct orri_fact){
        .state = r->state, .whole = true, .id = r->id, .by = said_by(m, r), .incarnation = r->incarnation,
        .version = r->version, .age = r->state == ORR_MEMBER_ALIVE ? 0 : m->now - r->since,
        .name = orr_borrow(orri_name(r), r->name_size), .address = orr_borrow(orri_told_address(r), r->address_size),
        .zone = orr_borrow(orri_zone(r), r->zone_size), .tags = orr_borrow(orri_tags(r), r->tags_size),
    };
    if (!orri_member_swim(m) && r->state != ORR_MEMBER_LEFT) f->state = ORR_MEMBER_ALIVE;     /* each for itself */
    f->whole = whole || f->state == ORR_MEMBER_ALIVE;
}

void orri_member_tell_on_the_back(struct orr_membership *m, struct orr_writer *w, const struct orri_member *but) {
    struct orri_member *told[ORR_MEMBERSHIP_PACKET_MAX / 16];
    size_t n = 0, misfits = 0;
    for (uint64_t levels = m->used_levels; levels && misfits < MISFITS; levels &= levels - 1) {
        struct orri_member *r = m->levels[__builtin_ctzll(levels)].first;
        for (; r && misfits < MISFITS; r = r->after) {
            struct orri_fact f;
            if (r == but) continue;
            orri_fact_of(m, r, false, &f);
            if (orri_fact_size(&f) > (size_t)(w->end - w->at)) {
                misfits++;
                continue;
            }
            orri_fact_write(w, &f);
            told[n++] = r;
        }
    }
    for (size_t i = 0; i < n; i++) orri_member_told(m, told[i]);
}

/* -- Packets of their own ------------------------------------------------------------------------------------------ */
static bool fits(const struct orr_membership *m, const struct orri_member *r) {
    if (!r->heard || r->state == ORR_MEMBER_LEFT) return false;
    return r->state != ORR_MEMBER_FAILED || m->now - r->since < m->cfg.gossip_dead;
}

/* With nobody to tell, it waits for somebody to come. */
void orri_gossip_tick(struct orr_membership *m) {
    if (m->now < m->gossip_at) return;
    orr_id chosen[ORRI_GOSSIP_NODES_MAX];
    size_t n = 0;
    m->gossip_at = ORR_NEVER;
    if (m->n_queued == 0) return;
    for (struct orri_member *r; n < m->cfg.gossip_nodes && (r = orri_member_pick(m, fits, chosen, n));) {
        chosen[n++] = r->id;
        orri_member_send(m, (struct orri_sending){ .kind = ORRI_GOSSIP, .to = r->id });
    }
    if (n > 0) m->gossip_at = m->now + m->cfg.gossip_interval;
}
