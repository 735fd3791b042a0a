/* rpc_fuzz.c - what other nodes tell a host, and what its disk tells it. The first byte says which:
 *
 *   0  messages: what is read is written again as it was          1  results of a machine: likewise
 *   2  the file of a saved value: a node starts on it             3  a dialogue: records of a byte of size and so many
 *      bytes, each the messages of one frame, to a node with a host that asks, too, and a group that is elsewhere */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/host.h>
#include <orrery/sim.h>

#include "node/inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AT_NODE "10.0.0.1:7000"
#define AT_LIAR "10.0.0.2:7000"

/* -- Codecs -------------------------------------------------------------------------------------------------------- */
static void messages(struct orr_slice in) {
    unsigned char head[ORRI_MESSAGE_HEAD + UINT8_MAX];
    struct orri_message m;
    orr_time clock;
    size_t at = 0, before;
    if (orri_messages_open(in, &clock, &at) < 0) return;
    for (before = at; orri_message_next(in, &at, &m) > 0; before = at) {
        if (orri_message_head_size(&m) + m.body.size != at - before) abort();
        orri_message_write(head, &m);
        if (memcmp(head, in.at + before, orri_message_head_size(&m)) != 0) abort();
    }
}

static void results(struct orr_slice in) {
    struct orr_chunks *chunks = orr_chunks_new(&orr_alloc_libc);
    struct orri_results r;
    orri_results_init(&r, chunks, 3, 1 << 16);
    int rc = orri_results_tell(in, &r.sink);
    if (rc < 0 && r.size > 3) abort();              /* all or nothing */
    struct orr_slice out = orri_results_take(&r);
    bool text = memchr(in.at, 0, in.size) != NULL;  /* a NUL in a word ends it */
    if (rc == 0 && !text && (out.size != in.size + 3 || memcmp(out.at + 3, in.at, in.size) != 0)) abort();
    orr_drop(out);
    orr_chunks_free(chunks);
}

/* -- A node, and the other side of it ------------------------------------------------------------------------------ */
struct rig {
    struct orr_sim *sim;
    struct orr_node *node;
    struct orr_group *group;
    struct orr_wait tick, waits[8];
    struct orr_sink sink;
    struct orr_asked *held[64];
    size_t n_held, n_asks;
    struct orr_slice in;
    struct orr_world *w;            /* the liar's, or that of who writes the file */
    struct orr_stream *stream;
    struct orr_open open;
    struct orr_write write;
    struct orr_name_op sync;
    orr_time due;
    bool greeted;
};
static void on_nil(struct orr_sink *s) { (void)s; }
static void on_integer(struct orr_sink *s, int64_t v) { (void)s, (void)v; }
static void on_text(struct orr_sink *s, const void *at, size_t size) {
    volatile unsigned char sum = 0;
    (void)s;
    for (size_t i = 0; i < size; i++) sum = (unsigned char)(sum + ((const unsigned char *)at)[i]);
}
static void on_status(struct orr_sink *s, const char *word) { on_text(s, word, strlen(word)); }
static void on_error(struct orr_sink *s, int code, const char *t) { (void)code, on_text(s, t, strlen(t)); }
static void on_array(struct orr_sink *s, size_t n) { (void)s, (void)n; }
static const struct orr_sink_ops sink_ops = { on_nil, on_integer, on_text, on_status, on_error, on_array };

static void told(struct orr_wait *w) {
    struct rig *r = w->owner;
    on_text(&r->sink, w->result.at, w->result.size);
}
static void tick(struct orr_wait *w) {
    struct rig *r = w->owner;
    orr_time until = orr_node_now(r->node) + 60 * ORR_MS;
    struct orr_wait *next = &r->waits[r->n_asks++ % 8];
    if (w->status < 0) return;
    orr_wait_cancel(next);
    *next = (struct orr_wait){ .done = told, .owner = r, .sink = &r->sink };
    switch (r->n_asks % 3) {
    case 0: (void)orr_node_call(r->node, next, orr_id_of("b"), orr_borrow("f", 1), orr_borrow("x", 1), until); break;
    case 1: (void)orr_group_propose(r->group, next, orr_borrow("op", 2), until); break;
    default: (void)orr_group_read(r->group, next, orr_borrow("q", 1), 0, until); break;
    }
    (void)orr_node_timer(r->node, w, orr_node_now(r->node) + 5 * ORR_MS);
}
static int declare(void *ud, const char **why) {
    struct rig *r = ud;
    struct orr_slice v;
    static const char *const on[] = { "b" };
    struct orr_group_spec spec = { .order = &orr_raft_order, .machine = &orr_kv_machine, .on = on, .n_on = 1 };
    (void)why;
    if (orr_node_load(r->node, "x", &v) == 0) on_text(&r->sink, v.at, v.size);
    return orr_node_replicate(r->node, "g", &spec, &r->group);
}
static void ready(void *ud) {
    struct rig *r = ud;
    r->tick = (struct orr_wait){ .done = tick, .owner = r };
    (void)orr_node_timer(r->node, &r->tick, orr_node_now(r->node) + 5 * ORR_MS);
}
static int asked(void *ud, struct orr_asked *a) {
    struct rig *r = ud;
    on_text(&r->sink, a->args.at, a->args.size);
    if (a->name.at[0] == 'n') return ORR_EINVALID;
    if (a->name.at[0] == 'h' && r->n_held < 64) r->held[r->n_held++] = a;
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
static const struct orr_host_ops host = { .declare = declare, .ready = ready, .asked = asked, .gone = gone };

static int node_boot(void *ud, struct orr_world *w, const char *name) {
    static const struct orr_node_member file[] = { { "a", AT_NODE, true }, { "b", AT_LIAR, true } };
    struct rig *r = ud;
    struct orr_node_config cfg;
    const char *why;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = name;
    cfg.nodes = file;
    cfg.n_nodes = 2;
    cfg.segment_bytes = 64 << 10;
    cfg.calls_max = 8;
    r->n_held = 0;
    if (orr_node_new(&r->node, w, &cfg, &why) < 0 || orr_node_host(r->node, &host, r) < 0) abort();
    return orr_node_start(r->node);
}
static void node_halt(void *ud, const char *name) {
    struct rig *r = ud;
    (void)name;
    orr_node_free(r->node);
    r->node = NULL;
}

/* -- Who writes the file of a value -------------------------------------------------------------------------------- */
static void writer_wake(void *ud) {
    struct rig *r = ud;
    for (struct orr_req *req; (req = r->w->ops->take(r->w));) {
        if (req != &r->open.req) continue;
        r->write = (struct orr_write){ .file = r->open.file, .parts = &r->in, .n_parts = 1, .flags = ORR_W_SYNC };
        if (r->w->ops->write(r->w, &r->write) < 0 || r->w->ops->name_op(r->w, &r->sync, ORR_OP_SYNC_DIR) < 0) abort();
    }
}
static int writer_boot(void *ud, struct orr_world *w, const char *name) {
    struct rig *r = ud;
    if (r->w) return node_boot(ud, w, name);
    r->w = w;
    w->wake = writer_wake;
    w->ud = r;
    if (w->ops->open_dir(w) < 0) abort();
    r->open = (struct orr_open){ .path = "value-x", .flags = ORR_F_CREATE };
    return w->ops->open(w, &r->open);
}
static void writer_halt(void *ud, const char *name) {
    struct rig *r = ud;
    if (r->node) node_halt(ud, name);
}

/* -- The liar ------------------------------------------------------------------------------------------------------ */
static void say(struct rig *r, enum orri_frame_kind kind, struct orr_slice first, struct orr_slice second) {
    unsigned char head[ORRI_FRAME_HEAD];
    struct orr_slice parts[] = { orr_borrow(head, sizeof head), first, second };
    orri_frame_head(head, &(struct orri_frame){ .kind = kind }, parts + 1, 2);
    (void)r->w->ops->send(r->w, r->stream, 0, parts, 3);
}
static void greet(struct rig *r) {
    static const struct orr_birth birth = { { 'l', 'i', 'a', 'r' } };
    unsigned char bytes[ORRI_HELLO_MAX];
    struct orri_hello h = { .oldest = 1, .newest = ORRI_PROTOCOL_NEWEST, .cluster = r->node->identity.cluster,
                            .id = orr_id_of("b"), .birth = birth, .incarnation = 1, .nonce = 7, .name = "b" };
    say(r, ORRI_FRAME_HELLO, orr_borrow(bytes, orri_hello_write(&h, bytes)), orr_borrow(NULL, 0));
    r->greeted = true;
}
static void speak(struct rig *r) {
    unsigned char clock[ORRI_MESSAGES_HEAD] = { 1 };
    size_t size = r->in.at[0];
    if (size > r->in.size - 1) size = r->in.size - 1;
    say(r, ORRI_FRAME_PING, orr_borrow(NULL, 0), orr_borrow(NULL, 0));
    say(r, ORRI_FRAME_RPC, orr_borrow(clock, sizeof clock), orr_part_of(r->in, 1, size));
    r->in = orr_part_of(r->in, 1 + size, r->in.size - 1 - size);
}
static void liar_wake(void *ud) {
    struct rig *r = ud;
    orr_time now = r->w->ops->now(r->w);
    for (struct orr_req *req; (req = r->w->ops->take(r->w));) {
        struct orr_stream_event *ev = (struct orr_stream_event *)(void *)req;
        if (req->op == ORR_OP_ACCEPTED) r->stream = ev->stream, r->greeted = false;
        if (req->op == ORR_OP_CLOSED && r->stream == ev->stream) r->stream = NULL;
    }
    if (now >= r->due && r->stream && r->node && r->in.size) {
        r->due = now + 10 * ORR_MS;
        if (r->greeted) speak(r);
        else greet(r);
    } else if (now >= r->due) {
        r->due = now + 10 * ORR_MS;
    }
    r->w->ops->alarm(r->w, r->due, 0);
}
static int liar_boot(void *ud, struct orr_world *w, const char *name) {
    struct rig *r = ud;
    (void)name;
    r->w = w;
    w->wake = liar_wake;
    w->ud = r;
    r->due = 10 * ORR_MS;
    w->ops->alarm(w, r->due, 0);
    return w->ops->listen(w, AT_LIAR, 0, 10);
}

static void simulate(struct orr_slice in, bool file) {
    struct rig r = { .in = in, .sink.ops = &sink_ops };
    struct orr_sim_config cfg;
    struct orr_sim_boot node = { .start = file ? writer_boot : node_boot, .halt = writer_halt, .ud = &r };
    struct orr_sim_boot liar = { .start = liar_boot, .ud = &r };
    orr_sim_config_init(&cfg);
    cfg.seed = 1;
    if (orr_sim_new(&r.sim, &cfg) < 0) abort();
    if (orr_sim_add(r.sim, "a", &node) < 0 || orr_sim_add(r.sim, "b", &liar) < 0) abort();
    if (orr_sim_start(r.sim, "a") < 0 || (!file && orr_sim_start(r.sim, "b") < 0)) abort();
    orr_sim_run(r.sim, 100 * ORR_MS);
    if (file && orr_sim_restart(r.sim, "a", ORR_SIM_KEPT) < 0) abort();
    for (int i = 0; i < 20 && (i < 3 || (r.in.size && !file)); i++)
        orr_sim_run(r.sim, orr_sim_now(r.sim) + 100 * ORR_MS);
    if (!r.node) abort();                           /* it has nothing to stop for */
    orr_sim_free(r.sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    struct orr_slice in = orr_borrow(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0: messages(in); break;
    case 1: results(in); break;
    default: simulate(in, data[0] % 4 == 2); break;
    }
    return 0;
}
