/* self.c - this node about itself: it leaves, it has other tags. */
#include <errno.h>

#include "membership/inner.h"

enum { LEAVE_SLACK = 5 };           /* gossip intervals longer than the change takes to be told, if nobody hears it */

void orr_membership_leave(struct orr_membership *m, orr_time now) {
    if (m->leaving) return;
    m->now = now;
    m->leaving = true;
    m->joining = false;
    orri_record_state(m, m->self, ORR_MEMBER_LEFT, m->self->incarnation, now);
    orri_member_tell(m, m->self);
    m->gossip_at = now;
    m->gone_at = now + m->cfg.gossip_interval * (orri_member_tell_limit(m) / m->cfg.gossip_nodes + LEAVE_SLACK);
    m->probe_at = m->sync_at = m->join_at = ORR_NEVER;
    m->probe.id = ORR_NOBODY;
    m->gone = orri_member_living(m) == 0;
    if (m->gone) m->gone_at = m->gossip_at = ORR_NEVER;
    orri_membership_check(m);
}

bool orr_membership_gone(const struct orr_membership *m) {
    return m->gone || (m->leaving && !m->self->queued);
}

/* What it says of itself is that from now on. */
static int says(struct orr_membership *m, const struct orri_fact *f) {
    if (!orri_record_differs(m->self, f)) return 0;
    if (orri_record_tell(m, m->self, f) < 0) return -ENOMEM;
    if (!m->leaving) orri_member_refute(m, 0);
    orri_membership_check(m);
    return 0;
}

int orr_membership_tags(struct orr_membership *m, orr_time now, struct orr_slice tags) {
    struct orri_fact f;
    if (tags.size > ORR_MEMBER_TAGS_MAX) return ORR_EINVALID;
    m->now = now;
    orri_fact_of(m, m->self, true, &f);
    f.tags = tags;
    return says(m, &f);
}

int orr_membership_version(struct orr_membership *m, orr_time now, uint32_t version) {
    struct orri_fact f;
    m->now = now;
    orri_fact_of(m, m->self, true, &f);
    f.version = version;
    return says(m, &f);
}

/* The operator's keys. */
void orr_membership_key_of(const void *secret, size_t size, unsigned char key[ORR_MEMBERSHIP_KEY]) {
    orri_keyring_key_of(secret, size, key);
}
int orr_membership_key_add(struct orr_membership *m, const unsigned char key[ORR_MEMBERSHIP_KEY]) {
    return orri_keyring_add(&m->keyring, key);
}
int orr_membership_key_primary(struct orr_membership *m, const unsigned char key[ORR_MEMBERSHIP_KEY]) {
    return orri_keyring_primary(&m->keyring, key);
}
int orr_membership_key_remove(struct orr_membership *m, const unsigned char key[ORR_MEMBERSHIP_KEY]) {
    return orri_keyring_remove(&m->keyring, key);
}
