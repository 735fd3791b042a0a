/* config.c - what a membership is told at first, and what of it can't be. */
#include <string.h>

#include "membership/inner.h"

void orr_membership_config_init(struct orr_membership_config *cfg) {
    *cfg = (struct orr_membership_config){
        .size = sizeof *cfg,
        .probe_interval = ORR_SECOND, .probe_timeout = 500 * ORR_MS, .indirect = 3,
        .suspicion_mult = 4, .suspicion_max_mult = 6, .retransmit_mult = 4,
        .gossip_interval = 200 * ORR_MS, .gossip_nodes = 3, .gossip_dead = 30 * ORR_SECOND,
        .sync_interval = 30 * ORR_SECOND, .awareness_max = 8, .forget = 24 * 3600 * ORR_SECOND,
        .phi_suspect = 5, .phi_fail = 8, .silence = 5 * ORR_SECOND,
        .alloc = orr_alloc_libc,
    };
}

static bool fits(const char *text, size_t most) { return !text || strnlen(text, most + 1) <= most; }
static bool is_interval(orr_time t) { return t > 0 && t <= ORRI_LONGEST; }
static bool is_within(unsigned n, unsigned least, unsigned most) { return n >= least && n <= most; }

static const char *bad_self(const struct orr_member_self *self) {
    if (!self->name || !self->name[0] || !fits(self->name, ORR_MEMBER_NAME_MAX)) return "name";
    if (!fits(self->address, ORR_MEMBER_ADDRESS_MAX)) return "address";
    if (!fits(self->zone, ORR_MEMBER_ZONE_MAX)) return "zone";
    if (self->tags.size > ORR_MEMBER_TAGS_MAX) return "tags";
    return self->incarnation < ORRI_INCARNATION_MAX ? NULL : "incarnation";
}

static const char *bad_swim(const struct orr_membership_config *c) {
    if (!is_interval(c->probe_interval)) return "probe_interval";
    if (c->probe_timeout <= 0 || c->probe_timeout >= c->probe_interval) return "probe_timeout";
    if (!is_within(c->indirect, 0, ORRI_INDIRECT_MAX)) return "indirect";
    if (!is_within(c->suspicion_mult, 1, ORRI_SUSPICION_MULT_MAX)) return "suspicion_mult";
    if (!is_within(c->suspicion_max_mult, 1, 100)) return "suspicion_max_mult";
    if (!is_within(c->awareness_max, 1, 100)) return "awareness_max";
    return NULL;
}

static const char *bad_telling(const struct orr_membership_config *c) {
    if (!is_within(c->retransmit_mult, 1, ORRI_RETRANSMIT_MULT_MAX)) return "retransmit_mult";
    if (!is_interval(c->gossip_interval)) return "gossip_interval";
    if (!is_within(c->gossip_nodes, 1, ORRI_GOSSIP_NODES_MAX)) return "gossip_nodes";
    if (c->gossip_dead < 0 || c->gossip_dead > ORRI_LONGEST) return "gossip_dead";
    if (c->sync_interval != 0 && !is_interval(c->sync_interval)) return "sync_interval";
    return c->forget < 0 || c->forget > 1000 * ORRI_LONGEST ? "forget" : NULL;
}

static const char *bad_heartbeats(const struct orr_membership_config *c) {
    if (c->detector > ORR_DETECTOR_DEADLINE) return "detector";
    if (!(c->phi_suspect > 0 && c->phi_suspect <= ORRI_PHI_MAX)) return "phi_suspect";
    if (!(c->phi_fail >= c->phi_suspect && c->phi_fail <= ORRI_PHI_MAX)) return "phi_fail";
    return is_interval(c->silence) ? NULL : "silence";
}

const char *orr_membership_wrong(const struct orr_membership_config *c) {
    const char *bad = c->size == sizeof *c ? bad_self(&c->self) : "size";
    if (!bad) bad = bad_swim(c);
    if (!bad) bad = bad_telling(c);
    return bad ? bad : bad_heartbeats(c);
}

/* -- How long it takes --------------------------------------------------------------------------------------------- */
static orr_time detection_bound(const struct orr_membership_config *c, size_t n) {
    orr_time recovery = (orr_time)(c->awareness_max * (c->awareness_max + 1) / 2) * c->probe_interval;
    orr_time round = (orr_time)(2 * n) * c->probe_interval;         /* SWIM 4.3: 2 n - 1 intervals at most */
    if (c->detector != ORR_DETECTOR_SWIM) return 20 * c->probe_interval + c->silence;
    return recovery + round + c->probe_interval +
           orri_suspicion_of(c, n) * (orr_time)c->suspicion_max_mult;
}

orr_time orr_membership_bound(const struct orr_membership_config *c, size_t n) {
    orr_time seldom = orri_join_seldom(c), tells = orri_tell_limit_of(c, n);
    orr_time reunion = (orr_time)n * (seldom + seldom / 4);         /* each of the absent is tried in turn */
    return detection_bound(c, n) + reunion + 2 * tells * c->gossip_interval + 4 * c->probe_interval;
}

/* -- Words --------------------------------------------------------------------------------------------------------- */
const char *orr_member_state_word(enum orr_member_state state) {
    static const char *const words[] = { "alive", "suspect", "failed", "left" };
    return state <= ORR_MEMBER_LEFT ? words[state] : "?";
}

const char *orr_detector_word(enum orr_detector detector) {
    static const char *const words[] = { "swim", "phi", "deadline" };
    return detector <= ORR_DETECTOR_DEADLINE ? words[detector] : "?";
}
