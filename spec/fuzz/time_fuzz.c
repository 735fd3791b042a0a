/* time_fuzz.c - a node that asks two others for the time, and what these say: datagrams of any bytes, requests, replies
 * to what was asked, what they pretend to have measured of each other and of the node. It may believe any time, but
 * what it tells is in order, and it doesn't break. Nor does its hybrid logical clock, which follows that time.
 *
 * Input: records of a byte that says what comes (enum what; 64 more: of the second one), a byte of size, so many bytes;
 * one each 10 ms. Where the first byte is odd, the first one is no node but the cluster's only NTP server. The node has
 * a sensor; what it learned by that may be any bytes, when it starts again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/node_hlc.h>
#include <orrery/ntp.h>
#include <orrery/sim.h>
#include <orrery/time.h>

#include "base/codec.h"
#include "base/hash.h"
#include "node/edges.h"
#include "node/inner.h"
#include "node/time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AT_NODE "10.0.0.1:7000"
#define AT_LIAR "10.0.0.2:7000"
#define AT_SECOND "10.0.0.3:7000"

enum what { BYTES, WHOLE, HONEST, LIE, UNSTEADY, WAIT, KEPT, AGAIN, EDGES, SEALED, WHATS };
enum { SIZE = ORR_NTP_SIZE + 8, REFERENCE = 4711 };

enum { FROM_SECOND = 64 };

struct liar {
    struct rig *rig;
    const char *id, *other;         /* in the simulation; the node that it tells of */
    struct orr_world *w;
    struct orr_ntp_packet request;  /* the last */
    orr_time came, wall;
};
struct rig {
    struct orr_node *node;
    bool server;                    /* is the first liar one? */
    struct liar liars[2];
    struct orr_sim *sim;
    orr_time due;                   /* by its time: each world's own clock shows another */
    orr_hlc_stamp stamp;            /* the node's last */
    struct orr_wait wait;
    const uint8_t *at, *end;
    struct orr_slice kept;          /* to be saved as what was learned */
    bool saves, again, leaves;
    struct orr_wait saving;
};

static void node_halt(void *ud, const char *name) {
    struct rig *r = ud;
    (void)name;
    orr_node_free(r->node);
    r->node = NULL;
}

static const struct orr_host_ops host = { 0 };

static int node_boot(void *ud, struct orr_world *w, const char *name) {
    static const struct orr_node_member file[] = { { "a", AT_NODE, true }, { "b", AT_LIAR, true },
                                                   { "c", AT_SECOND, true } };
    static const char *const servers[] = { AT_LIAR };
    struct rig *r = ud;
    struct orr_node_config cfg;
    const char *why;
    (void)name;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = "a";
    cfg.nodes = file;
    cfg.n_nodes = r->server ? 1 : 3;
    cfg.segment_bytes = 64 << 10;
    cfg.clock.at_once = true;
    cfg.clock.ntp = servers;
    cfg.clock.n_ntp = r->server;
    if (orr_node_new(&r->node, w, &cfg, &why) < 0 || orr_node_host(r->node, &host, r) < 0) abort();
    if (orr_node_start(r->node) < 0) abort();
    return 0;
}

/* -- What a liar says ---------------------------------------------------------------------------------------------- */
static void say(struct liar *l, unsigned char bytes[SIZE]) {
    orri_put_le(bytes + ORR_NTP_SIZE, orri_hash64(bytes, ORR_NTP_SIZE, l->rig->node->identity.cluster), 8);
    (void)l->w->ops->datagram(l->w, orr_id_of("a"), orr_borrow(bytes, l->rig->server ? ORR_NTP_SIZE : SIZE));
}

/* A reply to the last request; `over` lies over it from its first byte on. */
static void reply(struct liar *l, bool steady, struct orr_slice over) {
    unsigned char bytes[SIZE] = { 0 };
    struct orr_ntp_packet p = { .version = 4, .mode = ORR_NTP_SERVER, .precision = -20, .origin = l->request.transmit };
    p.leap = steady ? 0 : ORR_NTP_UNSYNC;
    p.stratum = steady ? 15 : 0;
    p.reference = REFERENCE;
    p.receive = orr_ntp_stamp_of(l->wall + l->came);
    p.transmit = orr_ntp_stamp_of(l->wall + l->w->ops->now(l->w));
    orr_ntp_encode(&p, bytes);
    size_t from = over.size ? over.at[0] % ORR_NTP_SIZE : 0;
    for (size_t i = 1; i < over.size && from + i <= ORR_NTP_SIZE; i++) bytes[from + i - 1] ^= over.at[i];
    for (size_t i = 0; i < 8; i++) bytes[24 + i] = (unsigned char)(p.origin >> (56 - 8 * i));
    say(l, bytes);
}

/* Sealed as it should be, whatever it is. */
static void send_sealed(struct liar *l, unsigned char *bytes, size_t size) {
    orri_put_le(bytes + size, orri_hash64(bytes, size, l->rig->node->identity.cluster), 8);
    (void)l->w->ops->datagram(l->w, orr_id_of("a"), orr_borrow(bytes, size + 8));
}

/* Of the clock that replies are of, at its present time: what was measured of the node and the other liar. `over` lies
 * over it from the byte on that its first one says. */
static void tell_edges(struct liar *l, struct orr_slice over) {
    unsigned char bytes[ORRI_EDGES_SIZE_MAX];
    struct orri_edges e = { .clock = REFERENCE, .now = l->wall + l->w->ops->now(l->w), .n = 2 };
    const struct orri_time *t = l->rig->node->time;
    e.edges[0] = (struct orri_edge){ .to = orr_id_of("a"), .clock = t ? orr_ntp_stamp_of(t->wall.born) : 1,
                                     .offset = ORR_MS, .sd_ns = 1000 };
    e.edges[1] = (struct orri_edge){ .to = orr_id_of(l->other), .clock = REFERENCE, .offset = ORR_MS, .sd_ns = 1000 };
    size_t size = orri_edges_write(&e, l->rig->node->identity.cluster, bytes) - ORRI_EDGES_SUM;
    size_t from = over.size ? over.at[0] % size : 0;
    for (size_t i = 1; i < over.size && from + i <= size; i++) bytes[from + i - 1] ^= over.at[i];
    send_sealed(l, bytes, size);
}

static void seal_any(struct liar *l, struct orr_slice p) {
    unsigned char bytes[264] = { 0 };
    if (p.size) memcpy(bytes, p.at, p.size);
    send_sealed(l, bytes, p.size);
}

static void speak(struct liar *l, enum what what, struct orr_slice p) {
    unsigned char bytes[SIZE] = { 0 };
    switch (what) {
    case BYTES: (void)l->w->ops->datagram(l->w, orr_id_of("a"), p); break;
    case WHOLE:
        if (p.size) memcpy(bytes, p.at, p.size < ORR_NTP_SIZE ? p.size : ORR_NTP_SIZE);
        say(l, bytes);
        break;
    case HONEST: reply(l, true, orr_borrow(NULL, 0)); break;
    case LIE: reply(l, true, p); break;
    case UNSTEADY: reply(l, false, orr_borrow(NULL, 0)); break;
    case WAIT: l->rig->due += p.size ? p.at[0] * 50 * ORR_MS : 0; break;
    case KEPT: l->rig->kept = p; l->rig->saves = true; break;
    case AGAIN: l->rig->again = true; l->rig->leaves = p.size && (p.at[0] & 1); break;
    case EDGES: tell_edges(l, p); break;
    case SEALED: seal_any(l, p); break;
    default: break;
    }
}

static void waited(struct orr_wait *w) { (void)w; }

/* heard: of a message that anybody may have sent */
static void stamp(struct rig *r, orr_hlc_stamp heard) {
    struct orr_node_hlc_status s;
    orr_hlc_stamp next;
    int rc = heard ? orr_node_hlc_recv(r->node, heard, &next) : orr_node_hlc_now(r->node, &next);
    if (rc == 0 && (next <= r->stamp || next <= heard)) abort();
    if (rc == 0) r->stamp = next;
    if (rc == -EAGAIN && !r->wait.under_way) {
        r->wait = (struct orr_wait){ .done = waited };
        (void)orr_node_hlc_wait(r->node, &r->wait, orr_node_now(r->node) + 200 * ORR_MS);
    }
    orr_node_hlc_status(r->node, &s);
    if (s.last < r->stamp) abort();
}

/* Behind the ids of all who are asked, where its first byte is even. */
static void saved(struct orr_wait *w) { (void)w; }
static void keep(struct rig *r) {
    unsigned char bytes[8 + 255];
    const struct orri_time *t = r->node->time;
    bool of_them = t && r->kept.size && !(r->kept.at[0] & 1);
    uint64_t who = 0;
    for (size_t i = 0; t && i < t->n_asked; i++) who = orri_mix64(who, t->asked[i].id);
    orri_put_le(bytes, who, 8);
    for (size_t i = 1; i < r->kept.size; i++) bytes[7 + i] = r->kept.at[i];
    size_t from = of_them ? 0 : 8, end = r->kept.size ? 7 + r->kept.size : 8;
    orr_wait_cancel(&r->saving);
    r->saving = (struct orr_wait){ .done = saved };
    (void)orri_saved_put(r->node, &r->saving, ORRI_SAVED_CLOCK, orr_borrow(bytes + from, end - from));
}
static void start_again(struct rig *r, struct orr_sim *sim) {
    if (r->leaves) orr_node_stop(r->node, "again");
    if (r->leaves) orr_sim_run(sim, orr_sim_now(sim) + 3 * ORR_SECOND);
    r->saving = (struct orr_wait){ 0 };
    if (orr_sim_restart(sim, "a", ORR_SIM_KEPT) < 0) abort();
}

static void read_links(struct rig *r) {
    static struct orr_time_graph g;
    if (orr_node_time_graph(r->node, &g) < 0) return;
    if (g.n_clocks != 3 || g.n_links > 3 || g.own != 0 || !g.clocks[0].known) abort();
    for (size_t i = 0; i < g.n_links; i++)
        if (g.links[i].sd <= 0 || g.links[i].age < 0 || (!g.links[i].checked && g.links[i].residual != 0)) abort();
}

static void read_all(struct rig *r) {
    struct orr_node_time now;
    struct orr_time_member m;
    struct orr_clock_reading reading;
    char why[200];
    if (orr_node_time(r->node, &now) == 0 && (now.earliest > now.likely || now.likely > now.latest)) abort();
    if (orri_time_reading(r->node, &reading) && reading.earliest > reading.latest) abort();
    (void)orr_node_time_wait(r->node, now.latest + 1);
    orr_node_time_why(r->node, why, sizeof why);
    for (size_t i = 0; orr_node_time_member(r->node, i, &m); i++)
        if (m.earliest > m.latest || m.likely < m.earliest || m.likely > m.latest) abort();
    read_links(r);
    stamp(r, 0);
    stamp(r, r->stamp + ((orr_hlc_stamp)(r->end - r->at) << 25));
}

/* -- The liars ----------------------------------------------------------------------------------------------------- */
static void hear(struct liar *l, struct orr_req *req) {
    const struct orr_datagram *d = (const struct orr_datagram *)(const void *)req;
    struct orr_stream_event *ev = (struct orr_stream_event *)(void *)req;
    struct orr_ntp_packet p;
    if (req->op == ORR_OP_ACCEPTED) l->w->ops->close(l->w, ev->stream, false);
    if (req->op != ORR_OP_DATAGRAM || orr_ntp_decode(d->data.at, ORR_NTP_SIZE, &p) != ORR_NTP_TAKEN) return;
    if (p.mode != ORR_NTP_CLIENT) return;           /* it tells of its edges */
    l->request = p;
    l->came = d->received;
}

/* A world is called in its own turn only: so whose the record is has to come round. */
static bool is_next(const struct liar *l) {
    const struct rig *r = l->rig;
    bool second = !r->server && (r->at[0] & FROM_SECOND);
    return l == &r->liars[second] && orr_sim_now(r->sim) >= r->due;
}

static void next_record(struct liar *l) {
    struct rig *r = l->rig;
    enum what what = r->at[0] % FROM_SECOND % WHATS;
    size_t size = r->end - r->at > 1 ? r->at[1] : 0;
    r->at += r->end - r->at > 1 ? 2 : 1;
    if (size > (size_t)(r->end - r->at)) size = (size_t)(r->end - r->at);
    speak(l, what, orr_borrow(r->at, size));
    r->at += size;
}

static void liar_wake(void *ud) {
    struct liar *l = ud;
    struct rig *r = l->rig;
    for (struct orr_req *req; (req = l->w->ops->take(l->w));) hear(l, req);
    orr_time now = orr_sim_now(r->sim);
    if (r->at < r->end && r->node && is_next(l)) {
        r->due = now + 10 * ORR_MS;
        next_record(l);
    }
    orr_time pause = r->due > now ? r->due - now : ORR_MS;
    l->w->ops->alarm(l->w, r->at < r->end && r->node ? l->w->ops->now(l->w) + pause : ORR_NEVER, 0);
}

static int liar_boot(void *ud, struct orr_world *w, const char *name) {
    struct liar *l = ud;
    struct orr_wall wall;
    (void)name;
    l->w = w;
    w->wake = liar_wake;
    w->ud = l;
    w->ops->wall(w, &wall);
    l->wall = wall.realtime - w->ops->now(w);
    w->ops->alarm(w, w->ops->now(w) + 50 * ORR_MS, 0);
    if (w->ops->peer(w, orr_id_of("a"), AT_NODE) < 0) abort();
    return w->ops->listen(w, l == l->rig->liars ? AT_LIAR : AT_SECOND, 0, 10);
}

static void add_liar(struct orr_sim *sim, struct rig *r, size_t i) {
    const char *other = i ? "b" : "c", *id = i ? "c" : r->server ? AT_LIAR : "b";   /* servers: by their addresses */
    r->liars[i] = (struct liar){ .rig = r, .id = id, .other = other };
    if (orr_sim_add(sim, id, &(struct orr_sim_boot){ .start = liar_boot, .ud = &r->liars[i] }) < 0) abort();
    if (orr_sim_start(sim, id) < 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rig r = { .at = data, .end = data + size, .server = size > 0 && (data[0] & 1) };
    static const struct orr_sim_oscillator warm = { .swing_mk = 5000, .ppb_per_kelvin = 200 };
    struct orr_sim_config cfg;
    struct orr_sim *sim;
    orr_sim_config_init(&cfg);
    cfg.seed = 1;
    if (orr_sim_new(&sim, &cfg) < 0) abort();
    r.sim = sim;
    r.due = 50 * ORR_MS;
    if (orr_sim_add(sim, "a", &(struct orr_sim_boot){ .start = node_boot, .halt = node_halt, .ud = &r }) < 0) abort();
    if (orr_sim_oscillator(sim, "a", &warm) < 0) abort();
    if (orr_sim_start(sim, "a") < 0) abort();
    for (size_t i = 0; i < (r.server ? 1 : 2); i++) add_liar(sim, &r, i);
    while (r.at < r.end && r.node && orr_sim_now(sim) < 60 * ORR_SECOND) {
        orr_sim_run(sim, orr_sim_now(sim) + 20 * ORR_MS);
        if (r.node) read_all(&r);
        if (r.node && r.saves) keep(&r);
        if (r.node && r.again) start_again(&r, sim);
        r.saves = r.again = false;
    }
    orr_sim_free(sim);
    return 0;
}
