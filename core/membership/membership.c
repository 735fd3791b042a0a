/* membership.c - the membership's life, its inputs, what it hands out, when it wants to be woken.
 *
 * A packet is read whole and looked at - its cluster, its code, whose it is - before anything of it counts. Then its
 * facts are merged, and only then is its kind seen to: so an answer to it knows what it said. */
#include <errno.h>
#include <string.h>

#include "membership/inner.h"

/* -- Memory -------------------------------------------------------------------------------------------------------- */
void *orri_member_get(struct orr_membership *m, size_t size) {
    void *at = orri_block_resize(&m->blocks, NULL, 0, size);
    return at ? memset(at, 0, size) : NULL;
}

void orri_member_give_back(struct orr_membership *m, void *at, size_t size) {
    if (at) orri_block_free(&m->blocks, at, size);
}

int orri_member_room(struct orr_membership *m, struct orri_member ***array, size_t n, size_t *cap) {
    if (n < *cap) return 0;
    size_t more = *cap ? *cap + *cap / 2 : 8, one = sizeof **array;
    void *at = m->alloc.fn(m->alloc.ud, *array, *cap * one, more * one);
    if (!at) return -ENOMEM;
    *array = at;
    *cap = more;
    return 0;
}

orr_time orri_member_jitter(struct orr_membership *m, orr_time t) {
    return t - t / 4 + (orr_time)orri_rng_below(&m->rng, (uint64_t)(t / 2 + 1));
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static struct orr_slice text_of(const char *s) { return orr_borrow(s, s ? strlen(s) : 0); }

static int make_self(struct orr_membership *m, const struct orr_member_self *self) {
    struct orri_fact f = { .address = text_of(self->address), .zone = text_of(self->zone), .tags = self->tags,
                           .version = self->version };
    m->self = orri_record_new(m, text_of(self->name), false);
    if (!m->self || orri_record_tell(m, m->self, &f) < 0 || orri_record_heard(m, m->self) < 0) return -ENOMEM;
    orri_record_state(m, m->self, ORR_MEMBER_ALIVE, self->incarnation, m->now);
    return 0;
}

int orr_membership_new(struct orr_membership **out, const struct orr_membership_config *cfg, orr_time now,
                       const char **why) {
    const char *bad = orr_membership_wrong(cfg);
    if (why) *why = bad;
    if (bad) return ORR_EINVALID;
    struct orr_alloc alloc = cfg->alloc.fn ? cfg->alloc : orr_alloc_libc;
    struct orr_membership *m = alloc.fn(alloc.ud, NULL, 0, sizeof *m);
    if (!m) return -ENOMEM;
    memset(m, 0, sizeof *m);
    m->alloc = alloc;
    m->cfg = *cfg;
    m->cfg.self = (struct orr_member_self){ 0 };
    m->now = now;
    orri_blocks_init(&m->blocks, &m->alloc);
    orri_heap_init(&m->timers, &m->alloc);
    orri_rng_init(&m->rng, cfg->seed ^ orr_id_of(cfg->self.name));
    orri_vivaldi_init(&m->vivaldi, orri_rng_next(&m->rng));
    orri_keyring_init(&m->keyring);
    m->sequence = (uint32_t)orri_rng_next(&m->rng);
    m->probe_at = m->gossip_at = m->sync_at = m->join_at = m->forget_at = m->gone_at = ORR_NEVER;
    m->joining = true;
    if (make_self(m, &cfg->self) < 0) {
        orr_membership_free(m);
        return -ENOMEM;
    }
    orri_member_tell(m, m->self);
    orri_membership_check(m);
    *out = m;
    return 0;
}

void orr_membership_free(struct orr_membership *m) {
    if (!m) return;
    orri_member_records_clear(m);
    orri_heap_clear(&m->timers);
    orri_blocks_clear(&m->blocks);
    orri_keyring_clear(&m->keyring);
    struct orr_alloc alloc = m->alloc;
    if (m->events) alloc.fn(alloc.ud, m->events, m->events_cap * sizeof *m->events, 0);
    alloc.fn(alloc.ud, m, sizeof *m, 0);
}

/* -- The operator's word ------------------------------------------------------------------------------------------- */
static int known(struct orr_membership *m, struct orri_member *r, const char *address, bool may_talk) {
    if (orri_record_via(m, r, address) < 0 || orri_record_may_talk(m, r, may_talk) < 0) return -ENOMEM;
    r->known = true;
    if (!may_talk) orri_pulse_end(m, r);
    else if (r->heard && r->state != ORR_MEMBER_LEFT && !orri_member_swim(m) && !r->pulse) orri_pulse_begin(m, r);
    if (!orri_member_lives(r)) orri_join_soon(m);
    else if (may_talk) orri_member_appears(m);
    return 0;
}

int orr_membership_know(struct orr_membership *m, orr_time now, const char *name, const char *address, bool may_talk) {
    size_t size = name ? strnlen(name, ORR_MEMBER_NAME_MAX + 1) : 0;
    if (!address) address = "";
    if (size == 0 || size > ORR_MEMBER_NAME_MAX || strcmp(name, orri_name(m->self)) == 0) return ORR_EINVALID;
    if (strnlen(address, ORR_MEMBER_ADDRESS_MAX + 1) > ORR_MEMBER_ADDRESS_MAX) return ORR_EINVALID;
    m->now = now;
    struct orri_member *r = orri_member_find(m, orr_id_of(name));
    if (r && strcmp(orri_name(r), name) != 0) return ORR_EINVALID;          /* two names of one id */
    bool made = !r;
    if (made && m->n_records == ORR_MEMBERS_MAX) return ORR_EOVERLOADED;
    if (made) r = orri_record_new(m, orr_borrow(name, size), false);
    int rc = r ? known(m, r, address, may_talk) : -ENOMEM;
    if (rc < 0 && r && made) orri_record_free(m, r);
    orri_membership_check(m);
    return rc;
}

/* -- Packets ------------------------------------------------------------------------------------------------------- */
static int drop(uint64_t *counter, int rc) {
    ++*counter;
    return rc;
}

/* Its code is true: *bytes is without it. */
static bool unseal(const struct orr_membership *m, struct orr_slice *bytes) {
    bool sealed = orri_packet_sealed(*bytes);
    if (sealed != (m->keyring.n > 0)) return false;
    return !sealed || orri_keyring_open(&m->keyring, bytes->at, &bytes->size, orri_packet_from(*bytes),
                                        orri_packet_to(*bytes));
}

/* Its first fact is that its sender is here. */
static bool introduces(const struct orr_membership *m, const struct orri_packet *p, const struct orri_facts *facts) {
    const struct orri_fact *f = facts->at;
    return m->cfg.open && facts->n > 0 && f->whole && f->state == ORR_MEMBER_ALIVE && f->id == p->from;
}

static bool is_stranger(const struct orr_membership *m, const struct orri_packet *p, const struct orri_facts *facts) {
    const struct orri_member *r = orri_member_find(m, p->from);
    return r ? !r->may_talk : !introduces(m, p, facts);
}

static void ack(struct orr_membership *m, struct orri_member *from, const struct orri_packet *p) {
    orri_member_placed(m, from, p->coordinate);
    orri_member_send(m, (struct orri_sending){ .kind = ORRI_ACK, .to = from->id, .sequence = p->sequence });
}

static void dispatch(struct orr_membership *m, struct orri_member *from, const struct orri_packet *p, bool news) {
    bool waited = true;
    switch (p->kind) {
    case ORRI_PING: ack(m, from, p); break;
    case ORRI_ACK: waited = orri_probe_ack(m, p) || orri_relay_ack(m, p); break;
    case ORRI_PING_REQ: orri_relay_ask(m, p); break;
    case ORRI_RELAYED: waited = orri_probe_relayed(m, p); break;
    case ORRI_NACK: waited = orri_probe_nack(m, p); break;
    case ORRI_GOSSIP: break;
    case ORRI_SYNC: orri_sync_recv(m, p); break;
    case ORRI_RECORDS: orri_sync_records(m, p, news); break;
    case ORRI_HEARTBEAT: orri_pulse_recv(m, from, p); break;
    }
    if (!waited) m->counted.dropped_late++;
}

bool orr_membership_is(struct orr_slice bytes) { return orri_packet_head(bytes); }

int orr_membership_recv(struct orr_membership *m, orr_time now, orr_id from, struct orr_slice bytes) {
    struct orr_membership_status *c = &m->counted;
    struct orri_packet p;
    struct orri_facts facts;
    m->now = now;
    c->packets_in++;
    if (!orri_packet_head(bytes)) return drop(&c->dropped_malformed, ORR_EINVALID);
    if (orri_packet_cluster(bytes) != m->cfg.cluster) return drop(&c->dropped_cluster, ORR_EINVALID);
    if (!orri_packet_sealed(bytes) && !orri_packet_whole(&bytes)) return drop(&c->dropped_malformed, ORR_EINVALID);
    if (!unseal(m, &bytes)) return drop(&c->dropped_key, ORR_EDENIED);
    if (!orri_packet_head(bytes) || orri_packet_read(bytes, &p, &facts) < 0)
        return drop(&c->dropped_malformed, ORR_EINVALID);
    if (p.to != m->self->id || p.from == m->self->id || (from != ORR_NOBODY && from != p.from))
        return drop(&c->dropped_stranger, ORR_ECONFLICT);
    if (is_stranger(m, &p, &facts)) return drop(&c->dropped_stranger, ORR_EDENIED);
    m->quiet = m->joining && p.kind == ORRI_RECORDS && p.flags & ORRI_ANSWER;
    bool news = orri_member_merge_all(m, &facts, p.kind == ORRI_RECORDS);
    m->quiet = false;
    struct orri_member *sender = orri_member_find(m, p.from);      /* NULL: there was no memory for it */
    if (sender) dispatch(m, sender, &p, news);
    orri_membership_check(m);
    return 0;
}

void orr_membership_heard(struct orr_membership *m, orr_time now, orr_id id) {
    struct orri_member *r = orri_member_find(m, id);
    m->now = now;
    if (!r || r == m->self) return;
    orri_probe_stream(m, r);
    orri_pulse_heard(m, r);
    orri_membership_check(m);
}

/* -- Time ---------------------------------------------------------------------------------------------------------- */
void orr_membership_tick(struct orr_membership *m, orr_time now) {
    m->now = now;
    if (m->now >= m->gone_at) {
        m->gone = true;
        m->gone_at = m->gossip_at = ORR_NEVER;
    }
    orri_relay_tick(m);
    if (orri_member_swim(m)) {
        orri_probe_tick(m);
        orri_suspicion_tick(m);
    } else {
        orri_pulse_tick(m);
    }
    orri_gossip_tick(m);
    orri_sync_tick(m);
    orri_join_tick(m);
    orri_forget_tick(m);
    orri_membership_check(m);
}

static orr_time sooner(orr_time a, orr_time b) { return a < b ? a : b; }

orr_time orr_membership_deadline(const struct orr_membership *m) {
    orr_time timers = orri_heap_next(&m->timers);
    if (timers == ORRI_NO_PULSE) timers = ORR_NEVER;
    orr_time at = sooner(orri_probe_deadline(m), orri_relay_deadline(m));
    at = sooner(at, sooner(timers, m->gossip_at));
    at = sooner(at, sooner(m->sync_at, m->join_at));
    return sooner(at, sooner(m->forget_at, m->gone_at));
}

/* -- Outputs ------------------------------------------------------------------------------------------------------- */
static bool next_event(struct orr_membership *m) {
    if (m->first_event == m->n_events) return false;
    const struct orri_member_event *e = &m->events[m->first_event++];
    const struct orri_member *r = orri_member_find(m, e->id);
    m->ready.kind = ORR_MEMBERSHIP_EVENT;
    m->ready.event.kind = e->kind;
    m->ready.event.id = e->id;
    m->ready.event.name = r ? orri_name(r) : "";
    m->ready.event.incarnation = e->incarnation;
    m->ready.event.by = e->by;
    return true;
}

const struct orr_membership_ready *orr_membership_ready(struct orr_membership *m) {
    memset(&m->ready, 0, sizeof m->ready);
    return next_event(m) || orri_member_send_next(m) ? &m->ready : NULL;
}
