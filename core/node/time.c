/* time.c - nodes ask each other for the time, and answer.
 *
 * Both sides are NTP's (orrery/ntp.h) in basic mode: every stamp of ours is taken outside of what it stands for (t1 and
 * t3 before sending, t2 and t4 after arrival), so the intervals hold though no stamp is exact. What travels is a packet
 * and a checksum, for a flipped bit in a stamp would be believed:
 *
 *   byte  size  field
 *      0    48  the NTP packet; stratum 15, reference "WALL": the clock of a node, which nobody vouches for; or
 *               unsynchronised: it begins anew
 *     48     8  XXH3-64 of it, seeded by the cluster's id, little-endian
 *
 * Where the file names NTP servers, these are asked too, by the packet alone, and a node tells others what it has from
 * servers, never what it has from nodes: so nothing it tells comes back to it.
 *
 * The packet's reference stamp names the clock: it is what that showed when it began.
 *
 * A node answers whatever peer asks, and asks once it is told to: a quick burst, then at the estimation's pace. */
#include <string.h>

#include "base/codec.h"
#include "base/hash.h"
#include "node/inner.h"
#include "node/time.h"

enum { SUM = 8, SIZE = ORR_NTP_SIZE + SUM, BURST = 4, POLL_MIN = 0, POLL_MAX = 2, SERVERS_POLL_MIN = 4,
       SERVERS_POLL_MAX = 6, ASKERS_MAX = 64, STRATUM = 15, PRECISION = -20 };
#define BURST_PAUSE (50 * ORR_MS)
#define SERVERS_BURST_PAUSE (2 * ORR_SECOND)
#define LOCAL_PRECISION_NS 1000
#define WALL_LETTERS UINT32_C(0x57414c4c)

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static struct orri_time *made(struct orr_node *n) {
    if (n->time) return n->time;
    struct orri_time *t = orri_node_resize(n, NULL, 0, sizeof *t);
    if (!t) return NULL;
    *t = (struct orri_time){ .node = n, .floor = INT64_MIN };
    for (size_t i = 0; i < n->n_peers && i < ORR_TIME_MEMBERS_MAX; i++) {
        const struct orri_peer *p = &n->peers[i];
        if (p == n->me) t->me = &t->asked[t->n];
        t->asked[t->n++] = (struct orri_timekeeper){ .id = p->id, .name = p->name, .linked = p->linked };
    }
    t->n_asked = t->n;
    for (size_t i = 0; i < n->n_servers; i++) {
        const struct orri_ntp_server *s = &n->servers[i];
        t->asked[t->n_asked++] = (struct orri_timekeeper){ .id = s->id, .name = s->address, .linked = true,
                                                           .server = true };
    }
    for (uint32_t i = 0; i < t->n_asked; i++) {
        t->asked[i].time = t;
        t->asked[i].number = i;
    }
    orri_wall_begin(&t->wall, n->w, n->identity.incarnation == 1 || n->n_peers == 1, n->started);
    n->time = t;
    orri_time_trace_clock(t);
    return t;
}

/* What a clock may gain or lose on ours in the time that ours counts: ours may be slow, and count too little of it. */
static uint32_t rate_max_ppb(const struct orri_time *t) {
    uint64_t drift = t->node->cfg.clock.drift_max_ppb, counted = 1000000000 - drift;
    uint64_t apart = orri_time_by_servers(t) ? drift : 2 * drift;
    return (uint32_t)((apart * 1000000000 + counted - 1) / counted);
}

static int new_estimation(struct orri_time *t) {
    struct orr_node *n = t->node;
    struct orr_clock_config cfg;
    orr_clock_config_init(&cfg);
    cfg.mode = n->cfg.clock.mode;
    cfg.peers_max = (unsigned)t->n_asked;
    cfg.precision_ns = LOCAL_PRECISION_NS;
    cfg.rate_max_ppb = rate_max_ppb(t);
    cfg.poll_min = POLL_MIN;
    cfg.poll_max = SERVERS_POLL_MAX;
    cfg.seed = n->w->ops->seed(n->w, "clock");
    cfg.alloc = n->alloc;
    return orr_clock_new(&t->clock, &cfg);
}

/* A peer's id in place of an address: it is proven by where the datagram came from. */
static struct orr_ntp_address address_of(orr_id id) {
    struct orr_ntp_address a = { .port = 1 };
    memcpy(a.ip, &id, sizeof id);
    return a;
}

static void poll(struct orri_alarm *alarm);

static int new_client(struct orri_timekeeper *m) {
    struct orr_node *n = m->time->node;
    struct orr_ntp_client_config cfg;
    orr_ntp_client_config_init(&cfg);
    cfg.server = address_of(m->id);
    cfg.precision_ns = LOCAL_PRECISION_NS;
    cfg.alloc = n->alloc;
    int rc = orr_ntp_client_new(&m->client, &cfg, n->now);
    if (rc < 0) return rc;
    m->alarm.fire = poll;
    orri_node_alarm(n, &m->alarm, orr_node_now(n));
    orr_time local = orri_time_free_running(m->time, orr_node_now(n));
    return orr_clock_peer_add(m->time->clock, local, m->number, ORR_CLOCK_NOSELECT);
}

static void stop_asking(struct orri_time *t) {
    for (size_t i = 0; i < t->n_asked; i++) {
        orri_heap_unset(&t->node->heap, &t->asked[i].alarm.timer);
        orr_ntp_client_free(t->asked[i].client);
        t->asked[i].client = NULL;
        t->asked[i].known = false;
    }
    orri_mesh_stop(t);
    orr_clock_free(t->clock);
    t->clock = NULL;
}

static bool runs(const struct orr_node *n) { return n->phase == ORRI_NODE_RUNNING || n->phase == ORRI_NODE_LEAVING; }

struct orri_time *orri_time_ask(struct orr_node *n) {
    struct orri_time *t = runs(n) && !n->cfg.clock.off ? made(n) : NULL;
    if (!t || t->clock) return t;
    int rc = new_estimation(t);
    for (size_t i = 0; i < t->n_asked && rc == 0; i++) {
        if (t->asked[i].linked) rc = new_client(&t->asked[i]);
    }
    if (rc < 0) {
        stop_asking(t);
        return NULL;
    }
    orri_time_load(t);
    orri_mesh_begin(t);
    orri_host_wake(n);                              /* for the alarms, where this is no turn */
    return t;
}

void orri_time_start(struct orr_node *n) {
    bool leases = false, steers = n->cfg.clock.discipline && !n->cfg.clock.off;
    for (size_t i = 0; i < n->n_groups; i++) leases = leases || n->groups[i]->leases;
    bool asks = n->cfg.clock.at_once || leases || steers;
    struct orri_time *t = asks ? orri_time_ask(n) : NULL;   /* no memory: who wants to know it tries again */
    if (t && steers) orri_steer_start(t);
}

void orri_time_leave(struct orr_node *n) {
    if (n->time) orri_time_save(n->time);
}

void orri_time_stop(struct orr_node *n) {
    if (!n->time) return;
    stop_asking(n->time);
    orri_steer_stop(n->time);
}

void orri_time_free(struct orr_node *n) {
    if (!n->time) return;
    stop_asking(n->time);
    orr_wait_cancel(&n->time->saving);
    orr_ntp_server_free(n->time->server);
    orri_node_resize(n, n->time, sizeof *n->time, 0);
    n->time = NULL;
}

void orri_time_turn(struct orr_node *n) {
    struct orri_time *t = n->time;
    if (!t) return;
    t->wall.set = 0;
    bool other = orri_wall_look(&t->wall, n->w);
    if (t->wall.set) {
        orri_node_log_rarely(n, &t->note, ORR_LOG_WARN, "this machine's clock was set by %+.3f s: it counts again in "
                             "the cluster's time when it has kept still for %.0f s", (double)t->wall.set / 1e9,
                             (double)ORR_TIME_KEPT / 1e9);
    }
    if (!other || orri_time_by_servers(t)) return;
    t->loose = true;
    orri_time_trace_clock(t);
}

/* -- What travels -------------------------------------------------------------------------------------------------- */
static void seal(const struct orr_node *n, unsigned char bytes[SIZE]) {
    orri_put_le(bytes + ORR_NTP_SIZE, orri_hash64(bytes, ORR_NTP_SIZE, n->identity.cluster), SUM);
}
static void send(struct orr_node *n, orr_id to, const unsigned char *bytes, size_t size) {
    (void)n->w->ops->datagram(n->w, to, orr_borrow(bytes, size));       /* it may be lost here, too */
}

static bool is_whole(const struct orr_node *n, struct orr_slice data) {
    return data.size == SIZE &&
           orri_get_le(data.at + ORR_NTP_SIZE, SUM) == orri_hash64(data.at, ORR_NTP_SIZE, n->identity.cluster);
}

static struct orr_ntp_arrival arrival(const struct orr_datagram *d, orr_time offset) {
    return (struct orr_ntp_arrival){ .at = d->data.at, .size = ORR_NTP_SIZE, .from = address_of(d->from),
                                     .local = d->received, .wall = d->received + offset,
                                     .by_kernel = d->kernel_stamp };
}

/* -- Being asked --------------------------------------------------------------------------------------------------- */
static bool ready_to_answer(struct orri_time *t) {
    if (t->server) return true;
    struct orr_ntp_server_config cfg;
    orr_ntp_server_config_init(&cfg);
    cfg.addresses_max = ASKERS_MAX;
    cfg.interval = 0;                               /* peers of ours, and an answer is no larger than a question */
    cfg.interleaved = false;
    cfg.seed = t->node->w->ops->seed(t->node->w, "askers");
    cfg.alloc = t->node->alloc;
    return orr_ntp_server_new(&t->server, &cfg) == 0;
}

/* The time by the servers alone. False: it isn't known. */
static bool by_servers_alone(const struct orri_time *t, orr_time local, struct orri_span *out) {
    struct orri_span servers[ORRI_SERVERS_MAX];
    orr_time likely;
    size_t n = 0, liars = orri_time_liars(t);
    for (size_t i = t->n; t->clock && i < t->n_asked; i++)
        n += orri_time_look(&t->asked[i], local, &servers[n], &likely);
    *out = n > liars ? orri_covered(servers, n, n - liars) : ORRI_SPAN_ANY;
    return out->low != INT64_MIN;
}

/* What this node says of its clock; *offset: of that to the local one. */
static struct orr_ntp_server_clock own_clock(const struct orri_time *t, orr_time local, orr_time *offset) {
    struct orr_ntp_server_clock out = { .precision = PRECISION, .stratum = STRATUM, .refid = WALL_LETTERS };
    struct orri_span now;
    *offset = t->wall.offset;
    if (!orri_time_by_servers(t)) {
        out.synchronised = t->wall.told && t->me;
    } else if (by_servers_alone(t, local, &now)) {
        out.synchronised = true;
        out.half_width = (now.high - now.low + 1) / 2;
        *offset = now.low + out.half_width - local;
    }
    out.reference = orri_time_by_servers(t) ? local + *offset : t->wall.born;
    return out;
}

static void asked(struct orr_node *n, const struct orr_datagram *d) {
    struct orri_time *t = n->cfg.clock.off ? NULL : made(n);
    unsigned char out[SIZE];
    orr_time offset;
    if (!t || !ready_to_answer(t)) return;
    orri_time_turn(n);                              /* as it is now, not as at the turn's beginning */
    orr_time local = n->w->ops->fresh(n->w);
    struct orr_ntp_server_clock clock = own_clock(t, local, &offset);
    const struct orr_ntp_arrival a = arrival(d, offset);
    if (orri_time_by_servers(t))                    /* the offset is of now, and t2 may be long ago */
        clock.half_width += (local - d->received) / 1000 + 1;
    orr_time wall = n->w->ops->fresh(n->w) + offset;
    if (orr_ntp_server_recv(t->server, &a, &clock, wall, out) != ORR_NTP_TAKEN) return;
    seal(n, out);
    send(n, d->from, out, SIZE);
}

/* -- Asking -------------------------------------------------------------------------------------------------------- */
void orri_time_forget(struct orri_timekeeper *m, orr_time local) {
    struct orri_time *t = m->time;
    m->known = false;
    t->loose = t->loose || !m->server;              /* a server tells the one true time, another one does too */
    local = orri_time_free_running(t, local);
    (void)orr_clock_peer_remove(t->clock, local, m->number);
    (void)orr_clock_peer_add(t->clock, local, m->number, ORR_CLOCK_NOSELECT);
}

static orr_time pause(const struct orri_timekeeper *m, orr_time now) {
    struct orr_clock_peer info;
    if (m->asked < BURST) return m->server ? SERVERS_BURST_PAUSE : BURST_PAUSE;
    int least = m->server ? SERVERS_POLL_MIN : POLL_MIN, most = m->server ? SERVERS_POLL_MAX : POLL_MAX;
    orr_time local = orri_time_free_running(m->time, now);
    int poll = orr_clock_peer_info(m->time->clock, local, m->number, &info) == 0 ? info.poll : least;
    poll = poll < least ? least : poll > most ? most : poll;
    orr_time interval = orr_ntp_power(poll);
    return interval - interval / 64 + (orr_time)orri_rng_below(&m->time->node->rng, (uint64_t)interval / 32);
}

/* t1 is read when nothing is left to do but to send: what a cold cache takes would be on the way out only. */
static void ask(struct orri_timekeeper *m) {
    struct orr_node *n = m->time->node;
    struct orr_ntp_cookies cookies;
    unsigned char out[SIZE];
    n->w->ops->secret(n->w, &cookies, sizeof cookies);
    if (orr_ntp_client_request(m->client, n->w->ops->fresh(n->w), &cookies, out) < 0) return;
    seal(n, out);
    orr_ntp_client_sent(m->client, cookies.transmit, n->w->ops->fresh(n->w));
    send(n, m->id, out, m->server ? (size_t)ORR_NTP_SIZE : (size_t)SIZE);
}

static void poll(struct orri_alarm *alarm) {
    struct orri_timekeeper *m = (struct orri_timekeeper *)(void *)alarm;
    struct orr_node *n = m->time->node;
    if (m->waits) (void)orr_clock_lost(m->time->clock, orri_time_free_running(m->time, n->now), m->number);
    ask(m);
    m->waits = true;
    if (m->asked < BURST) m->asked++;
    orri_node_alarm(n, &m->alarm, n->now + pause(m, n->now));
    orri_time_sense(m->time);
    orri_time_review(m->time);
}

static void learn(struct orri_timekeeper *m, const struct orr_ntp_exchange *x, orr_time now) {
    const struct orri_time *t = m->time;
    const struct orr_clock_exchange e = { .t1 = orri_time_free_running(t, x->t1), .t2 = x->t2, .t3 = x->t3,
                                          .t4 = orri_time_free_running(t, x->t4), .stratum = x->stratum,
                                          .root_delay_ns = x->root_delay_ns, .leap = x->leap,
                                          .root_dispersion_ns = x->root_dispersion_ns,
                                          .stamp_error_ns = x->stamp_error_ns };
    int verdict = orr_clock_sample(t->clock, orri_time_free_running(t, now), m->number, &e);
    if (verdict < 0 || verdict >= ORR_CLOCK_BAD_ORDER) return;
    if (!m->known && !m->server) {                  /* quickly now: a few are needed until it counts */
        m->asked = 1;
        orri_node_alarm(m->time->node, &m->alarm, m->time->node->now + BURST_PAUSE);
    }
    m->known = true;
    m->heard = x->t1;
}

static uint64_t which_clock(const struct orr_datagram *d) {
    struct orr_ntp_packet p;
    return orr_ntp_decode(d->data.at, ORR_NTP_SIZE, &p) == ORR_NTP_TAKEN ? p.reference : 0;
}

static void answered(struct orri_timekeeper *m, const struct orr_datagram *d) {
    struct orri_time *t = m->time;
    struct orr_ntp_exchange x;
    const struct orr_ntp_arrival a = arrival(d, t->wall.offset);
    enum orr_ntp_verdict verdict = orr_ntp_client_recv(m->client, &a, &x);
    bool unsteady = verdict == ORR_NTP_LEAP || verdict == ORR_NTP_STRATUM;
    orr_time now = t->node->w->ops->fresh(t->node->w);
    if (verdict != ORR_NTP_TAKEN && !unsteady) return;
    m->waits = false;
    if (m->moved != d->moved && m->known) orri_time_forget(m, now);    /* it is another server: begin anew */
    m->moved = d->moved;
    if (!m->unsteady) m->begins = d->received;
    m->unsteady = unsteady;
    m->clock = which_clock(d);
    if (!unsteady) learn(m, &x, now);
    else if (!orri_time_by_servers(t)) orri_time_forget(m, now);   /* else what it told of the one true time holds on */
    orri_time_review(t);
}

static struct orri_timekeeper *whom_we_asked(struct orri_time *t, orr_id id) {
    for (size_t i = 0; t && t->clock && i < t->n_asked; i++) {
        if (t->asked[i].client && t->asked[i].id == id) return &t->asked[i];
    }
    return NULL;
}

void orri_time_datagram(struct orr_node *n, const struct orr_datagram *d) {
    struct orri_timekeeper *m = runs(n) ? whom_we_asked(n->time, d->from) : NULL;
    if (!runs(n) || d->data.size < ORR_NTP_SIZE) return;
    if (m && m->server) answered(m, d);
    else if (orri_edges_are(d->data)) orri_mesh_hear(n->time, m, d);
    else if (!is_whole(n, d->data)) return;
    else if ((d->data.at[0] & 7) == ORR_NTP_CLIENT) asked(n, d);
    else if (m) answered(m, d);
}
