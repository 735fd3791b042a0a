/* join.c - those who should be here and are not: asked again and again, whether this node is new or they were cut off.
 *
 * A joiner asks a few of those that it may talk to for all that they know, with growing pauses, until somebody is
 * there. What it is answered it does not tell on: that is no news to those who are there. Afterwards one of the absent
 * is asked now and then, in turn: who failed may be back, and two halves that each declared the other failed find
 * together again (Serf does so; SWIM and memberlist leave it to the operator). */
#include "membership/inner.h"

enum { PAUSES_LONGER = 30 };        /* than a probe interval, where nothing is compared now and then */

orr_time orri_join_seldom(const struct orr_membership_config *c) {
    return c->sync_interval > 0 ? c->sync_interval : PAUSES_LONGER * c->probe_interval;
}

static orr_time seldom(const struct orr_membership *m) { return orri_join_seldom(&m->cfg); }

/* Who left is gone; but one that the operator named may be back, with nobody left who knows us. */
static bool is_absent(const struct orri_member *r) {
    return !r->heard || r->state == ORR_MEMBER_FAILED || (r->state == ORR_MEMBER_LEFT && r->known);
}

/* In turn, by their ids: the list is shuffled now and then. */
static struct orri_member *next_absent(struct orr_membership *m) {
    struct orri_member *first = NULL, *after = NULL;
    for (size_t i = 0; i < m->n_talk; i++) {
        struct orri_member *r = m->talk[i];
        if (!is_absent(r)) continue;
        if (!first || r->id < first->id) first = r;
        if (r->id > m->asked_last && (!after || r->id < after->id)) after = r;
    }
    if (!after) after = first;
    if (after) m->asked_last = after->id;
    return after;
}

static bool is_alone(const struct orr_membership *m) { return orri_member_living(m) <= 1; }

static orr_time pause(struct orr_membership *m) {
    if (!is_alone(m)) return orri_member_jitter(m, seldom(m));
    orr_time longest = seldom(m);
    m->join_pause = m->join_pause == 0 ? m->cfg.probe_interval : 2 * m->join_pause;
    if (m->join_pause > longest) m->join_pause = longest;
    return orri_member_jitter(m, m->join_pause);
}

void orri_join_tick(struct orr_membership *m) {
    if (m->now < m->join_at) return;
    m->join_at = ORR_NEVER;
    if (m->leaving) return;
    unsigned asked = 0, most = is_alone(m) ? ORRI_JOIN_NODES : 1;
    orr_id first = ORR_NOBODY;
    for (struct orri_member *r; asked < most && (r = next_absent(m)) && r->id != first; asked++) {
        if (first == ORR_NOBODY) first = r->id;
        orri_member_send(m, (struct orri_sending){ .kind = ORRI_SYNC, .to = r->id });
    }
    if (asked > 0) m->join_at = m->now + pause(m);
}

/* Somebody is absent who was not. */
void orri_join_soon(struct orr_membership *m) {
    if (m->join_at != ORR_NEVER || m->leaving) return;
    m->join_pause = 0;
    m->join_at = m->now + (is_alone(m) ? 0 : orri_member_jitter(m, seldom(m)));
}
