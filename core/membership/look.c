/* look.c - who is a member, what he is, and why; how far it is from one to another. */
#include "membership/inner.h"

static void show(const struct orr_membership *m, const struct orri_member *r, struct orr_member_info *out) {
    *out = (struct orr_member_info){
        .id = r->id, .name = orri_name(r), .address = orri_address(r), .zone = orri_zone(r),
        .tags = orr_borrow(orri_tags(r), r->tags_size), .version = r->version, .incarnation = r->incarnation,
        .state = r->state, .since = r->since, .self = r == m->self, .may_talk = r->may_talk, .probed = INT64_MIN,
    };
    if (!r->detail) return;
    out->rtt = r->detail->rtt;
    out->way = r->detail->way;
    out->probed = r->detail->probed;
}

size_t orr_membership_count(const struct orr_membership *m) { return m->n_names; }

bool orr_membership_at(const struct orr_membership *m, size_t i, struct orr_member_info *out) {
    if (i >= m->n_names) return false;
    show(m, m->names[i], out);
    return true;
}

bool orr_membership_find(const struct orr_membership *m, orr_id id, struct orr_member_info *out) {
    const struct orri_member *r = orri_member_find(m, id);
    if (!r || !r->heard) return false;
    show(m, r, out);
    return true;
}

/* -- Evidence ------------------------------------------------------------------------------------------------------ */
static void show_probes(const struct orri_member_detail *d, struct orr_member_why *out) {
    out->n_probes = d->n_probes;
    for (size_t i = 0; i < d->n_probes; i++) {
        size_t at = (d->next_probe + (size_t)ORR_MEMBER_PROBES_KEPT - d->n_probes + i) % ORR_MEMBER_PROBES_KEPT;
        const struct orri_probed *p = &d->probes[at];
        out->probes[i] = (struct orr_member_probe){ .at = p->at, .way = p->way, .rtt = (orr_time)p->rtt_us * ORR_US,
                                                    .asked = p->asked, .nacks = p->nacks };
    }
}

static void show_suspicion(const struct orr_membership *m, const struct orri_member *r, struct orr_member_why *out) {
    if (r->state == ORR_MEMBER_SUSPECT || r->state == ORR_MEMBER_FAILED)
        out->suspected_by = r->by != ORR_NOBODY ? r->by : m->self->id;
    if (r->state != ORR_MEMBER_SUSPECT) return;
    out->suspected = r->since;
    if (!orri_member_swim(m)) {
        out->fails = r->pulse ? r->pulse->timer.at : ORR_NEVER;
        return;
    }
    out->confirmed = r->suspicion->n;
    out->suspected = r->suspicion->from;
    out->fails = r->suspicion->timer.at;
}

int orr_membership_why(const struct orr_membership *m, orr_time now, orr_id id, struct orr_member_why *out) {
    const struct orri_member *r = orri_member_find(m, id);
    if (!r || !r->heard) return ORR_EINVALID;
    *out = (struct orr_member_why){ .suspected = ORR_NEVER, .fails = ORR_NEVER, .awareness = m->awareness };
    show(m, r, &out->member);
    if (r->detail) show_probes(r->detail, out);
    show_suspicion(m, r, out);
    if (m->cfg.detector == ORR_DETECTOR_PHI && r->pulse) out->phi = orri_arrivals_phi(&r->pulse->arrivals, now);
    return 0;
}

/* -- Distances ----------------------------------------------------------------------------------------------------- */
static bool place_of(const struct orr_membership *m, orr_id id, struct orri_coordinate *out) {
    const struct orri_member *r = orri_member_find(m, id);
    if (r == m->self) {
        *out = m->vivaldi.here;
        return true;
    }
    return r && r->heard && r->detail && r->detail->placed && orri_coordinate_read(r->detail->coordinate, out);
}

int orr_membership_estimate(const struct orr_membership *m, orr_id a, orr_id b, orr_time *rtt, double *error) {
    struct orri_coordinate from, to;
    if (!place_of(m, a, &from) || !place_of(m, b, &to)) return ORR_EUNAVAILABLE;
    *rtt = a == b ? 0 : orri_coordinate_rtt(&from, &to);
    if (error) *error = a == b ? 0 : from.error > to.error ? from.error : to.error;
    return 0;
}

/* -- Counters ------------------------------------------------------------------------------------------------------ */
void orr_membership_status(const struct orr_membership *m, struct orr_membership_status *out) {
    *out = m->counted;
    out->alive = m->n_in[ORR_MEMBER_ALIVE];
    out->suspect = m->n_in[ORR_MEMBER_SUSPECT];
    out->failed = m->n_in[ORR_MEMBER_FAILED];
    out->left = m->n_in[ORR_MEMBER_LEFT];
    out->awareness = m->awareness;
    out->incarnation = m->self->incarnation;
    out->untold = m->n_queued;
}
