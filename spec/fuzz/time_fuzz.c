/* time_fuzz.c - a node that asks its only peer for the time, and what that says: datagrams of any bytes, requests,
 * replies to what was asked. It may believe any time, but what it tells is in order, and it doesn't break. Nor does its
 * hybrid logical clock, which follows that time.
 *
 * Input: records of a byte that says what comes (enum what), a byte of size, so many bytes; one each 10 ms. Where the
 * first byte is odd, the liar is no node but the cluster's only NTP server. The node has a sensor; what it learned by
 * that may be any bytes, when it starts again. */
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
#include "node/inner.h"
#include "node/time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AT_NODE "10.0.0.1:7000"
#define AT_LIAR "10.0.0.2:7000"

enum what { BYTES, WHOLE, HONEST, LIE, UNSTEADY, WAIT, KEPT, AGAIN, WHATS };
enum { SIZE = ORR_NTP_SIZE + 8 };

struct rig {
    struct orr_node *node;
    bool server;                    /* is the liar one? */
    struct orr_world *w;            /* the liar's */
    struct orr_ntp_packet request;  /* the last */
    orr_time due, came, wall;
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
    static const struct orr_node_member file[] = { { "a", AT_NODE, true }, { "b", AT_LIAR, true } };
    static const char *const servers[] = { AT_LIAR };
    struct rig *r = ud;
    struct orr_node_config cfg;
    const char *why;
    (void)name;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = "a";
    cfg.nodes = file;
    cfg.n_nodes = r->server ? 1 : 2;
    cfg.segment_bytes = 64 << 10;
    cfg.clock.at_once = true;
    cfg.clock.ntp = servers;
    cfg.clock.n_ntp = r->server;
    if (orr_node_new(&r->node, w, &cfg, &why) < 0 || orr_node_host(r->node, &host, r) < 0) abort();
    if (orr_node_start(r->node) < 0) abort();
    return 0;
}

/* -- What the liar says -------------------------------------------------------------------------------------------- */
static void say(struct rig *r, unsigned char bytes[SIZE]) {
    orri_put_le(bytes + ORR_NTP_SIZE, orri_hash64(bytes, ORR_NTP_SIZE, r->node->identity.cluster), 8);
    (void)r->w->ops->datagram(r->w, orr_id_of("a"), orr_borrow(bytes, r->server ? ORR_NTP_SIZE : SIZE));
}

/* A reply to the last request; `over` lies over it from its first byte on. */
static void reply(struct rig *r, bool steady, struct orr_slice over) {
    unsigned char bytes[SIZE] = { 0 };
    struct orr_ntp_packet p = { .version = 4, .mode = ORR_NTP_SERVER, .precision = -20, .origin = r->request.transmit };
    p.leap = steady ? 0 : ORR_NTP_UNSYNC;
    p.stratum = steady ? 15 : 0;
    p.receive = orr_ntp_stamp_of(r->wall + r->came);
    p.transmit = orr_ntp_stamp_of(r->wall + r->w->ops->now(r->w));
    orr_ntp_encode(&p, bytes);
    size_t from = over.size ? over.at[0] % ORR_NTP_SIZE : 0;
    for (size_t i = 1; i < over.size && from + i <= ORR_NTP_SIZE; i++) bytes[from + i - 1] ^= over.at[i];
    for (size_t i = 0; i < 8; i++) bytes[24 + i] = (unsigned char)(p.origin >> (56 - 8 * i));
    say(r, bytes);
}

static void speak(struct rig *r, enum what what, struct orr_slice p) {
    unsigned char bytes[SIZE] = { 0 };
    switch (what) {
    case BYTES: (void)r->w->ops->datagram(r->w, orr_id_of("a"), p); break;
    case WHOLE:
        if (p.size) memcpy(bytes, p.at, p.size < ORR_NTP_SIZE ? p.size : ORR_NTP_SIZE);
        say(r, bytes);
        break;
    case HONEST: reply(r, true, orr_borrow(NULL, 0)); break;
    case LIE: reply(r, true, p); break;
    case UNSTEADY: reply(r, false, orr_borrow(NULL, 0)); break;
    case WAIT: r->due += p.size ? p.at[0] * 50 * ORR_MS : 0; break;
    case KEPT: r->kept = p; r->saves = true; break;
    case AGAIN: r->again = true; r->leaves = p.size && (p.at[0] & 1); break;
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

static void read_all(struct rig *r) {
    struct orr_node_time now;
    struct orr_time_member m;
    char why[200];
    if (orr_node_time(r->node, &now) == 0 && (now.earliest > now.likely || now.likely > now.latest)) abort();
    (void)orr_node_time_wait(r->node, now.latest + 1);
    orr_node_time_why(r->node, why, sizeof why);
    for (size_t i = 0; orr_node_time_member(r->node, i, &m); i++)
        if (m.earliest > m.latest) abort();
    stamp(r, 0);
    stamp(r, r->stamp + ((orr_hlc_stamp)(r->end - r->at) << 25));
}

/* -- The liar ------------------------------------------------------------------------------------------------------ */
static void hear(struct rig *r, struct orr_req *req) {
    const struct orr_datagram *d = (const struct orr_datagram *)(const void *)req;
    struct orr_stream_event *ev = (struct orr_stream_event *)(void *)req;
    if (req->op == ORR_OP_ACCEPTED) r->w->ops->close(r->w, ev->stream, false);
    if (req->op != ORR_OP_DATAGRAM || orr_ntp_decode(d->data.at, ORR_NTP_SIZE, &r->request) != ORR_NTP_TAKEN) return;
    r->came = d->received;
}

static void next_record(struct rig *r) {
    enum what what = r->at[0] % WHATS;
    size_t size = r->end - r->at > 1 ? r->at[1] : 0;
    r->at += r->end - r->at > 1 ? 2 : 1;
    if (size > (size_t)(r->end - r->at)) size = (size_t)(r->end - r->at);
    speak(r, what, orr_borrow(r->at, size));
    r->at += size;
}

static void liar_wake(void *ud) {
    struct rig *r = ud;
    for (struct orr_req *req; (req = r->w->ops->take(r->w));) hear(r, req);
    if (r->w->ops->now(r->w) >= r->due && r->at < r->end && r->node) {
        r->due = r->w->ops->now(r->w) + 10 * ORR_MS;
        next_record(r);
    }
    r->w->ops->alarm(r->w, r->at < r->end && r->node ? r->due : ORR_NEVER, 0);
}

static int liar_boot(void *ud, struct orr_world *w, const char *name) {
    struct rig *r = ud;
    struct orr_wall wall;
    (void)name;
    r->w = w;
    w->wake = liar_wake;
    w->ud = r;
    w->ops->wall(w, &wall);
    r->wall = wall.realtime - w->ops->now(w);
    r->due = w->ops->now(w) + 50 * ORR_MS;
    w->ops->alarm(w, r->due, 0);
    if (w->ops->peer(w, orr_id_of("a"), AT_NODE) < 0) abort();
    return w->ops->listen(w, AT_LIAR, 0, 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rig r = { .at = data, .end = data + size, .server = size > 0 && (data[0] & 1) };
    static const struct orr_sim_oscillator warm = { .swing_mk = 5000, .ppb_per_kelvin = 200 };
    const char *liar = r.server ? AT_LIAR : "b";    /* servers are called by their addresses */
    struct orr_sim_config cfg;
    struct orr_sim *sim;
    orr_sim_config_init(&cfg);
    cfg.seed = 1;
    if (orr_sim_new(&sim, &cfg) < 0) abort();
    if (orr_sim_add(sim, "a", &(struct orr_sim_boot){ .start = node_boot, .halt = node_halt, .ud = &r }) < 0) abort();
    if (orr_sim_add(sim, liar, &(struct orr_sim_boot){ .start = liar_boot, .ud = &r }) < 0) abort();
    if (orr_sim_oscillator(sim, "a", &warm) < 0) abort();
    if (orr_sim_start(sim, "a") < 0 || orr_sim_start(sim, liar) < 0) abort();
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
