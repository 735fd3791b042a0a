/* probe.c - is it alive? One member an interval is asked, round robin over the shuffled list (SWIM, sections 3.1, 4.3).
 *
 *     sent        ping; a suspect is told first of what it is suspected (Lifeguard's buddy system)
 *     + timeout   no answer: `indirect` others are asked to probe it, and to say so if they got no answer either
 *     + interval  still none: it is suspected, and the next one's turn comes
 *
 * Timeout and interval are longer where this node itself seems slow (local health aware probe, Lifeguard, section
 * IV-A): its score goes up by each who was asked and did not even say that it had no answer, by one for a failed probe
 * with nobody to ask, by one when it has to refute; an answer takes one off. */
#include "membership/inner.h"

void orri_member_aware(struct orr_membership *m, int delta) {
    int score = (int)m->awareness + delta, most = (int)m->cfg.awareness_max - 1;
    m->awareness = (unsigned)(score < 0 ? 0 : score > most ? most : score);
}

static orr_time scaled(const struct orr_membership *m, orr_time t) { return t * (m->awareness + 1); }

/* -- Evidence ------------------------------------------------------------------------------------------------------ */
static struct orri_probed *entry(struct orri_member_detail *d, bool again) {
    if (again) return &d->probes[(d->next_probe + ORR_MEMBER_PROBES_KEPT - 1) % ORR_MEMBER_PROBES_KEPT];
    struct orri_probed *e = &d->probes[d->next_probe];
    d->next_probe = (uint8_t)((d->next_probe + 1) % ORR_MEMBER_PROBES_KEPT);
    if (d->n_probes < ORR_MEMBER_PROBES_KEPT) d->n_probes++;
    return e;
}

/* What came of it; an answer by a better way, later, takes its place. */
static void log_probe(struct orr_membership *m, struct orri_member *r, orr_time rtt) {
    struct orri_probe *p = &m->probe;
    struct orri_member_detail *d = orri_member_detail(m, r);
    if (!d) return;
    struct orri_probed *e = entry(d, p->logged);
    orr_time us = rtt / ORR_US;
    p->logged = true;
    *e = (struct orri_probed){ .at = p->sent, .rtt_us = (uint32_t)(us < UINT32_MAX ? us : UINT32_MAX), .way = p->way,
                               .asked = (uint8_t)p->n_asked, .nacks = (uint8_t)p->nacks };
    d->way = p->way;
    d->probed = m->now;
}

void orri_member_placed(struct orr_membership *m, struct orri_member *r, const unsigned char *coordinate) {
    struct orri_coordinate c;
    struct orri_member_detail *d = orri_coordinate_read(coordinate, &c) ? orri_member_detail(m, r) : NULL;
    if (!d) return;
    d->placed = true;
    orri_coordinate_write(d->coordinate, &c);
}

void orri_member_measured(struct orr_membership *m, struct orri_member *r, orr_time rtt,
                          const unsigned char *coordinate) {
    struct orri_member_detail *d = orri_member_detail(m, r);
    struct orri_coordinate c;
    if (d) d->rtt = d->rtt > 0 ? d->rtt + (rtt - d->rtt) / 8 : rtt > 0 ? rtt : 1;
    if (orri_coordinate_read(coordinate, &c)) (void)orri_vivaldi_learn(&m->vivaldi, r->id, &c, rtt);
    orri_member_placed(m, r, coordinate);
}

/* -- Answers ------------------------------------------------------------------------------------------------------- */
static bool is_better(enum orr_member_way way, enum orr_member_way than) {
    static const unsigned char rank[] = { [ORR_WAY_NONE] = 0, [ORR_WAY_STREAM] = 1, [ORR_WAY_INDIRECT] = 2,
                                          [ORR_WAY_DIRECT] = 3 };
    return rank[way] > rank[than];
}

static void answered(struct orr_membership *m, struct orri_member *r, enum orr_member_way way, orr_time rtt) {
    struct orri_probe *p = &m->probe;
    if (!is_better(way, p->way)) return;
    if (p->way == ORR_WAY_NONE) orri_member_aware(m, -1);
    p->way = (uint8_t)way;
    log_probe(m, r, rtt);
}

/* An answer counts until its end is seen to: where this node stood still, it has come in time. But nobody knows how
 * long it took then. */
bool orri_probe_ack(struct orr_membership *m, const struct orri_packet *p) {
    struct orri_probe *probe = &m->probe;
    if (probe->id != p->from || probe->sequence != p->sequence) return false;
    if (probe->way == ORR_WAY_DIRECT) return false;         /* the packet came twice */
    struct orri_member *r = orri_member_find(m, p->from);
    if (m->now < probe->end) orri_member_measured(m, r, m->now - probe->sent, p->coordinate);
    else orri_member_placed(m, r, p->coordinate);
    answered(m, r, ORR_WAY_DIRECT, m->now - probe->sent);
    return true;
}

static size_t asked(const struct orri_probe *probe, const struct orri_packet *p) {
    size_t i = 0;
    if (probe->id == ORR_NOBODY || probe->sequence != p->sequence) return SIZE_MAX;
    while (i < probe->n_asked && probe->asked[i] != p->from) i++;
    return i < probe->n_asked ? i : SIZE_MAX;
}

bool orri_probe_relayed(struct orr_membership *m, const struct orri_packet *p) {
    struct orri_member *r = orri_member_find(m, m->probe.id);
    if (asked(&m->probe, p) == SIZE_MAX || !r) return false;
    answered(m, r, ORR_WAY_INDIRECT, 0);
    return true;
}

bool orri_probe_nack(struct orr_membership *m, const struct orri_packet *p) {
    size_t i = asked(&m->probe, p);
    if (i == SIZE_MAX || m->probe.nacked[i]) return false;
    m->probe.nacked[i] = true;
    m->probe.nacks++;
    return true;
}

/* Also when its end has come, but was not seen to: who drives this tells of streams when he is woken for that. */
void orri_probe_stream(struct orr_membership *m, struct orri_member *r) {
    if (m->probe.id == r->id) answered(m, r, ORR_WAY_STREAM, 0);
}

/* -- A probe's course ---------------------------------------------------------------------------------------------- */
static bool is_probed(const struct orri_member *r) { return orri_member_lives(r); }

static struct orri_member *rest_of_round(struct orr_membership *m) {
    while (m->next_probe < m->n_talk) {
        struct orri_member *r = m->talk[m->next_probe++];
        if (is_probed(r)) return r;
    }
    return NULL;
}

/* The next one whose turn it is; the list is shuffled each time round. */
static struct orri_member *next(struct orr_membership *m) {
    struct orri_member *r = rest_of_round(m);
    if (r) return r;
    orri_member_shuffle(m);
    m->next_probe = 0;
    return rest_of_round(m);
}

static void begin(struct orr_membership *m) {
    struct orri_member *r = next(m);
    m->probe.id = ORR_NOBODY;
    m->probe_at = ORR_NEVER;
    if (!r || m->leaving) return;           /* until somebody appears */
    orr_time end = m->now + scaled(m, m->cfg.probe_interval);
    m->probe = (struct orri_probe){ .id = r->id, .sequence = ++m->sequence, .sent = m->now, .end = end,
                                    .ask = m->now + scaled(m, m->cfg.probe_timeout) };
    m->probe_at = end;
    m->counted.probes++;
    orri_member_send(m, (struct orri_sending){ .kind = ORRI_PING, .to = r->id, .sequence = m->probe.sequence });
}

static bool can_help(const struct orr_membership *m, const struct orri_member *r) {
    (void)m;
    return r->heard && r->state == ORR_MEMBER_ALIVE;
}

static void ask_others(struct orr_membership *m) {
    struct orri_probe *p = &m->probe;
    orr_id but[ORRI_INDIRECT_MAX + 1] = { p->id };
    p->ask = ORR_NEVER;
    while (p->n_asked < m->cfg.indirect) {
        const struct orri_member *r = orri_member_pick(m, can_help, but, p->n_asked + 1);
        if (!r) break;
        but[p->n_asked + 1] = p->asked[p->n_asked] = r->id;
        p->n_asked++;
        orri_member_send(m, (struct orri_sending){ .kind = ORRI_PING_REQ, .to = r->id, .target = p->id,
                                            .sequence = p->sequence, .within = p->end - m->now });
    }
}

static void fail(struct orr_membership *m, struct orri_member *r) {
    struct orri_probe *p = &m->probe;
    m->counted.probes_failed++;
    orri_member_aware(m, p->n_asked > 0 ? (int)(p->n_asked - p->nacks) : 1);
    log_probe(m, r, 0);
    orri_member_merge(m, &(struct orri_fact){ .state = ORR_MEMBER_SUSPECT, .id = r->id, .by = m->self->id,
                                       .incarnation = r->incarnation }, false);
}

/* Who left or was declared failed meanwhile is past being suspected. */
static void end(struct orr_membership *m) {
    struct orri_member *r = orri_member_find(m, m->probe.id);
    if (r && m->probe.way == ORR_WAY_NONE && is_probed(r)) fail(m, r);
    m->probe.id = ORR_NOBODY;
}

void orri_probe_tick(struct orr_membership *m) {
    struct orri_probe *p = &m->probe;
    if (p->id != ORR_NOBODY && p->way == ORR_WAY_NONE && m->now >= p->ask && m->now < p->end) ask_others(m);
    if (p->id != ORR_NOBODY && m->now >= p->end) end(m);
    if (m->now >= m->probe_at) begin(m);
}

orr_time orri_probe_deadline(const struct orr_membership *m) {
    const struct orri_probe *p = &m->probe;
    return p->id != ORR_NOBODY && p->way == ORR_WAY_NONE && p->ask < m->probe_at ? p->ask : m->probe_at;
}
