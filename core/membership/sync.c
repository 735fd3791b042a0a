/* sync.c - anti-entropy: two members compare all that they know, and tell each other what differs.
 *
 * Members fall into 64 buckets by their ids; a bucket's hash is the XOR of its records' hashes, kept as they change. So
 * a comparison is one packet of 64 halves of hashes, and in agreement one in return:
 *
 *     A: SYNC, its hashes  ->  B: RECORDS of the buckets that differ, and: tell me yours  ->  A: RECORDS of those
 *
 * An answer holds about ORRI_SYNC_BYTES. Where that was not all, the other asks again soon, as long as it learns from
 * it. A packet that is lost is made good by the next comparison, with this one or another. */
#include "base/hash.h"
#include "membership/inner.h"

/* -- Buckets ------------------------------------------------------------------------------------------------------- */
unsigned orri_sync_bucket(orr_id id) { return (unsigned)(id >> 58); }

/* By heartbeats nobody is told that one failed, nor that he lives: who has forgotten him would take him for new. */
bool orri_member_in_sync(const struct orr_membership *m, const struct orri_member *r) {
    return r->heard && !r->faded && (orri_member_swim(m) || r->state != ORR_MEMBER_FAILED);
}

/* And only who left is something that all agree upon. */
uint64_t orri_sync_hash(const struct orr_membership *m, const struct orri_member *r) {
    unsigned state = orri_member_swim(m) || r->state == ORR_MEMBER_LEFT ? r->state : ORR_MEMBER_ALIVE;
    unsigned char bytes[17];
    orri_put_le(bytes, r->id, 8);
    orri_put_le(bytes + 8, r->incarnation, 8);
    bytes[16] = (unsigned char)state;
    return orri_hash64(bytes, sizeof bytes, 0);
}

static uint32_t half(uint64_t hash, bool upper) { return (uint32_t)(upper ? hash >> 32 : hash); }

static uint64_t differing(const struct orr_membership *m, const struct orri_packet *p) {
    uint64_t bits = 0;
    for (unsigned i = 0; i < ORRI_BUCKETS; i++) {
        if (half(m->buckets[i], p->upper) != p->buckets[i]) bits |= UINT64_C(1) << i;
    }
    return bits;
}

void orri_sync_head(struct orr_membership *m, struct orri_packet *p) {
    p->upper = (uint8_t)orri_rng_below(&m->rng, 2);
    for (unsigned i = 0; i < ORRI_BUCKETS; i++) p->buckets[i] = half(m->buckets[i], p->upper);
}

/* -- An exchange --------------------------------------------------------------------------------------------------- */
/* Of these buckets as many as an answer may hold, but one at least: whole ones, so that the next comparison goes on
 * from there. */
static uint64_t that_fit(struct orr_membership *m, uint64_t buckets) {
    size_t bytes[ORRI_BUCKETS] = { 0 }, sum = 0;
    uint64_t some = 0;
    unsigned from = (unsigned)orri_rng_below(&m->rng, ORRI_BUCKETS);
    for (size_t i = 0; i < m->n_names && buckets; i++) {
        struct orri_fact f;
        orri_fact_of(m, m->names[i], true, &f);
        bytes[orri_sync_bucket(m->names[i]->id)] += orri_fact_size(&f);
    }
    for (unsigned i = 0; i < ORRI_BUCKETS; i++) {
        unsigned at = (from + i) % ORRI_BUCKETS;
        if (!(buckets >> at & 1)) continue;
        sum += bytes[at];
        if (some && sum > ORRI_SYNC_BYTES) break;
        some |= UINT64_C(1) << at;
    }
    return some;
}

static void send_records(struct orr_membership *m, orr_id to, uint64_t buckets, uint64_t wanted, unsigned flags) {
    uint64_t some = that_fit(m, buckets);
    uint32_t from = (uint32_t)orri_rng_below(&m->rng, m->n_names);
    if (some != buckets) flags |= ORRI_MORE;
    orri_member_send(m, (struct orri_sending){ .kind = ORRI_RECORDS, .to = to, .buckets = some, .wanted = wanted,
                                               .at = from, .left = (uint32_t)m->n_names, .flags = (uint8_t)flags });
}

void orri_sync_recv(struct orr_membership *m, const struct orri_packet *p) {
    uint64_t bits = differing(m, p);
    send_records(m, p->from, bits, bits, ORRI_ANSWER);
}

void orri_sync_records(struct orr_membership *m, const struct orri_packet *p, bool news) {
    m->learning |= news;
    if (p->wanted) send_records(m, p->from, p->wanted, 0, 0);
    if (!(p->flags & ORRI_LAST)) return;
    if (p->flags & ORRI_MORE) {
        orr_time soon = m->now + m->cfg.gossip_interval;
        if (m->learning && soon < m->sync_at) {
            m->sync_at = soon;
            m->ask_again = p->from;
        }
    } else if (p->flags & ORRI_ANSWER) {
        m->joining = false;
    }
    m->learning = false;
}

static bool write_record(struct orr_membership *m, const struct orri_member *r, struct orr_writer *w) {
    struct orri_fact f;
    orri_fact_of(m, r, true, &f);
    if (orri_fact_size(&f) > (size_t)(w->end - w->at)) return false;
    orri_fact_write(w, &f);
    return true;
}

static bool is_told(const struct orr_membership *m, const struct orri_sending *s, const struct orri_member *r) {
    return r != m->self && s->buckets >> orri_sync_bucket(r->id) & 1 && orri_member_in_sync(m, r);
}

/* A packet's worth of records; true: no more will be. In the first, oneself: a joiner has to know whom he asks. */
bool orri_sync_write(struct orr_membership *m, struct orri_sending *s, struct orr_writer *w) {
    if (s->packets == 0 && s->buckets) write_record(m, m->self, w);
    for (; s->left > 0; s->left--, s->at++) {
        if (s->at >= m->n_names) s->at = 0;
        if (is_told(m, s, m->names[s->at]) && !write_record(m, m->names[s->at], w)) break;
    }
    s->packets++;
    if (s->left > 0 && s->packets < ORRI_SYNC_PACKETS_MAX) return false;
    s->flags |= ORRI_LAST | (s->left > 0 ? ORRI_MORE : 0);
    return true;
}

/* -- When ---------------------------------------------------------------------------------------------------------- */
static bool fits(const struct orr_membership *m, const struct orri_member *r) {
    (void)m;
    return orri_member_lives(r);
}

/* Longer and longer at first: whom a newcomer asked may have been one himself. */
static orr_time pause(struct orr_membership *m) {
    if (m->joining) return m->cfg.probe_interval;
    if (m->cfg.sync_interval == 0) return ORR_NEVER;
    m->sync_pause = m->sync_pause == 0 ? m->cfg.probe_interval : 2 * m->sync_pause;
    if (m->sync_pause > m->cfg.sync_interval) m->sync_pause = m->cfg.sync_interval;
    return orri_member_jitter(m, m->sync_pause);
}

static const struct orri_member *whom(struct orr_membership *m) {
    const struct orri_member *r = orri_member_find(m, m->ask_again);
    m->ask_again = ORR_NOBODY;
    return r && r->may_talk ? r : orri_member_pick(m, fits, NULL, 0);
}

void orri_sync_tick(struct orr_membership *m) {
    if (m->now < m->sync_at) return;
    const struct orri_member *r = m->leaving ? NULL : whom(m);
    orr_time next = r ? pause(m) : ORR_NEVER;
    m->sync_at = next == ORR_NEVER ? ORR_NEVER : m->now + next;
    if (r) orri_member_send(m, (struct orri_sending){ .kind = ORRI_SYNC, .to = r->id });
}

void orri_sync_soon(struct orr_membership *m) {
    orr_time next = m->sync_at == ORR_NEVER && !m->leaving ? pause(m) : ORR_NEVER;
    if (next != ORR_NEVER) m->sync_at = m->now + next;
}
