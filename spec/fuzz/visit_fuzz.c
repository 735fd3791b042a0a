/* visit_fuzz.c - visitors: what one says to a node, and what is said to one. The first byte says which:
 *
 *   0  VISIT, and   1  WELCOME: what is read is written again as it was
 *   2  a dialogue: records of a byte of kind, a byte of size and so many bytes, each a frame (kind 0: just bytes) to a
 *      node with a host                    3  the same, to a visit that asks */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/host.h>
#include <orrery/sim.h>
#include <orrery/visit.h>

#include "node/frame.h"
#include "node/message.h"
#include "node/welcome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AT "127.0.0.1:7000"

/* -- Formats ------------------------------------------------------------------------------------------------------- */
static void visit_hello(struct orr_slice in) {
    struct orri_visit_hello h, again;
    unsigned char bytes[ORRI_VISIT_MAX];
    if (orri_visit_hello_read(in, &h) < 0) return;
    size_t size = orri_visit_hello_write(&h, bytes);
    if (orri_visit_hello_read(orr_borrow(bytes, size), &again) < 0 || memcmp(&h, &again, sizeof h) != 0) abort();
}

static void welcome(struct orr_slice in) {
    struct orri_welcome h, again;
    unsigned char bytes[ORRI_WELCOME_MAX];
    if (orri_welcome_read(in, &h) < 0) return;
    size_t size = orri_welcome_write(&h, bytes);
    if (orri_welcome_read(orr_borrow(bytes, size), &again) < 0 || again.bytes_max != h.bytes_max ||
        strcmp(again.node, h.node) != 0 || strcmp(again.cluster_name, h.cluster_name) != 0)
        abort();
}

/* -- Who speaks ---------------------------------------------------------------------------------------------------- */
struct rig {
    struct orr_slice in;
    struct orr_world *w;            /* of who says what the input says */
    struct orr_stream *stream;
    orr_time due;
    bool dials;
    struct orr_node *node;
    struct orr_asked *held[16];
    size_t n_held;
    struct orr_visit *visit;
    struct orr_world *visitors;
    void (*visit_wake)(void *ud);
    orr_time visit_due;
    struct orr_visit_call calls[4];
    size_t n_calls;
};

static void look_at(struct orr_slice s) {
    volatile unsigned char sum = 0;
    for (size_t i = 0; i < s.size; i++) sum = (unsigned char)(sum + s.at[i]);
}

static void speak(struct rig *r) {
    unsigned char head[ORRI_FRAME_HEAD];
    if (r->in.size < 2) return;
    unsigned kind = r->in.at[0] % ORRI_FRAME_KINDS;
    size_t size = r->in.at[1] < r->in.size - 2 ? r->in.at[1] : r->in.size - 2;
    struct orr_slice parts[] = { { 0 }, orr_part_of(r->in, 2, size) };
    struct orri_frame f = { .kind = (enum orri_frame_kind)kind, .group = r->in.at[0] >= 128 };
    if (kind) orri_frame_head(head, &f, parts + 1, 1);
    parts[0] = orr_borrow(head, sizeof head);
    (void)r->w->ops->send(r->w, r->stream, 0, parts + !kind, 1 + (kind != 0));
    r->in = orr_part_of(r->in, 2 + size, r->in.size - 2 - size);
}

static void speaker_wake(void *ud) {
    struct rig *r = ud;
    orr_time now = r->w->ops->now(r->w);
    for (struct orr_req *req; (req = r->w->ops->take(r->w));) {
        struct orr_stream_event *ev = (struct orr_stream_event *)(void *)req;
        if (req->op == ORR_OP_ACCEPTED) r->stream = ev->stream;
        if (req->op == ORR_OP_DATA) look_at(ev->data);
        if (req->op == ORR_OP_CLOSED && r->stream == ev->stream) r->stream = NULL;
    }
    if (now >= r->due) {
        r->due = now + 5 * ORR_MS;
        if (r->stream) speak(r);
        else if (r->dials && r->in.size && r->w->ops->connect(r->w, 1, &r->stream) < 0) abort();
    }
    r->w->ops->alarm(r->w, r->due, 0);
}

static int speaker_boot(void *ud, struct orr_world *w, const char *name) {
    struct rig *r = ud;
    (void)name;
    r->w = w;
    w->wake = speaker_wake;
    w->ud = r;
    r->due = w->ops->now(w) + 20 * ORR_MS;
    w->ops->alarm(w, r->due, 0);
    return r->dials ? w->ops->peer(w, 1, AT) : w->ops->listen(w, AT, 0, 10);
}

/* -- Who is spoken to: a node -------------------------------------------------------------------------------------- */
static int asked(void *ud, struct orr_asked *a) {
    struct rig *r = ud;
    look_at(a->args);
    if (a->name.at[0] == 'n') return ORR_EINVALID;
    if (a->name.at[0] == 'h' && r->n_held < 16) r->held[r->n_held++] = a;
    else orr_node_answer(a, 0, a->args);
    return 0;
}
static void gone(void *ud, struct orr_asked *a) {
    struct rig *r = ud;
    for (size_t i = 0; i < r->n_held; i++) {
        if (r->held[i] == a) r->held[i] = r->held[--r->n_held];
    }
    orr_node_answer(a, 0, a->args);
}
static const struct orr_host_ops host = { .asked = asked, .gone = gone };

static int node_boot(void *ud, struct orr_world *w, const char *name) {
    static const struct orr_node_member file[] = { { "a", AT, true } };
    struct rig *r = ud;
    struct orr_node_config cfg;
    const char *why;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = name;
    cfg.nodes = file;
    cfg.n_nodes = 1;
    cfg.segment_bytes = 64 << 10;
    cfg.calls_max = 8;
    if (orr_node_new(&r->node, w, &cfg, &why) < 0 || orr_node_host(r->node, &host, r) < 0) abort();
    return orr_node_start(r->node);
}
static void node_halt(void *ud, const char *name) {
    struct rig *r = ud;
    (void)name;
    orr_node_free(r->node);
    r->node = NULL;
}

/* -- A visit ------------------------------------------------------------------------------------------------------- */
static void told(struct orr_visit_call *c) { look_at(c->result); }

static void ask(struct rig *r) {
    struct orr_visit_status s;
    struct orr_visit_call *c = &r->calls[r->n_calls++ % 4];
    orr_time until = r->visitors->ops->now(r->visitors) + 40 * ORR_MS;
    orr_visit_status(r->visit, &s);
    if (s.state == ORR_VISIT_CLOSED && orr_visit_open(r->visit, AT) < 0) abort();
    orr_visit_cancel(r->visit, c);
    *c = (struct orr_visit_call){ .done = told };
    (void)orr_visit_call(r->visit, c, orr_borrow("f", 1), orr_borrow("x", 1), until);
}
static void visit_wake(void *ud) {
    struct rig *r = ud;
    orr_time now = r->visitors->ops->now(r->visitors);
    r->visit_wake(r->visit);
    if (now >= r->visit_due) {
        r->visit_due = now + 3 * ORR_MS;
        ask(r);
    }
    r->visitors->ops->alarm(r->visitors, r->visit_due, 0);
}
static int visit_boot(void *ud, struct orr_world *w, const char *name) {
    struct rig *r = ud;
    struct orr_visit_config cfg;
    (void)name;
    orr_visit_config_init(&cfg);
    if (orr_visit_new(&r->visit, w, &cfg) < 0) abort();
    r->visitors = w;
    r->visit_wake = w->wake;
    w->wake = visit_wake;
    w->ud = r;
    r->visit_due = w->ops->now(w);
    w->ops->alarm(w, r->visit_due, 0);
    return 0;
}
static void visit_halt(void *ud, const char *name) {
    struct rig *r = ud;
    (void)name;
    orr_visit_free(r->visit);
    r->visit = NULL;
}

static void talk(struct orr_slice in, bool node) {
    struct rig r = { .in = in, .dials = node };
    struct orr_sim *sim;
    struct orr_sim_config cfg;
    struct orr_sim_boot speaker = { .start = speaker_boot, .ud = &r };
    struct orr_sim_boot heard = { .start = node ? node_boot : visit_boot, .halt = node ? node_halt : visit_halt,
                                  .ud = &r };
    orr_sim_config_init(&cfg);
    cfg.seed = 1;
    if (orr_sim_new(&sim, &cfg) < 0) abort();
    if (orr_sim_add(sim, "a", &heard) < 0 || orr_sim_add(sim, "b", &speaker) < 0) abort();
    if (orr_sim_start(sim, "a") < 0 || orr_sim_start(sim, "b") < 0) abort();
    for (int i = 0; i < 40 && (i < 2 || r.in.size > 1); i++) orr_sim_run(sim, orr_sim_now(sim) + 50 * ORR_MS);
    orr_sim_run(sim, orr_sim_now(sim) + 50 * ORR_MS);
    if (node && !r.node) abort();                   /* it has nothing to stop for */
    orr_sim_free(sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    struct orr_slice in = orr_borrow(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0: visit_hello(in); break;
    case 1: welcome(in); break;
    default: talk(in, data[0] % 4 == 2); break;
    }
    return 0;
}
