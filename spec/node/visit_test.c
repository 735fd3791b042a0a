/* visit_test.c - visitors: they ask and are answered, every call is told exactly once, what is said of one that failed
 * is true; and who is no visitor as it should be is shown out.                                                       */
#include "host_rig.h"

#include <orrery/visit.h>

#include "node/welcome.h"

static struct rig r;

/* -- Guests: worlds with a visit, or with bytes only --------------------------------------------------------------- */
enum { GUESTS = 6, WINDOW = 16 };
struct guest {
    char name[8];
    struct orr_world *w;
    struct orr_visit *v;            /* NULL: a raw one */
    void (*visit_wake)(void *ud);
    void (*turn)(struct guest *g);  /* in each of its turns; one comes each ms */
    void *ud;
    struct orr_stream *stream;      /* of a raw one */
    const char *dial;
    unsigned char got[1024];
    size_t n_got;
    bool closed;
    orr_time tick;
};
static struct guest guests[GUESTS];
static size_t n_guests;
static const char *wanted;

static void raw_take(struct guest *g) {
    for (struct orr_req *req; (req = g->w->ops->take(g->w));) {
        const struct orr_stream_event *ev = (const struct orr_stream_event *)(const void *)req;
        if (req->op == ORR_OP_DATA && g->n_got + ev->data.size <= sizeof g->got) {
            memcpy(g->got + g->n_got, ev->data.at, ev->data.size);
            g->n_got += ev->data.size;
        }
        if (req->op == ORR_OP_CLOSED) g->closed = true, g->stream = NULL;
    }
}
static void guest_wake(void *ud) {
    struct guest *g = ud;
    orr_time now = g->w->ops->now(g->w);
    if (g->v) {
        g->w->ud = g->v;
        g->visit_wake(g->v);
        g->w->ud = g;
    } else {
        raw_take(g);
    }
    if (now >= g->tick) {
        g->tick = now + ORR_MS;
        if (g->turn) g->turn(g);
    }
    g->w->ops->alarm(g->w, g->tick, 0);
}
static int guest_start(void *ud, struct orr_world *w, const char *name) {
    struct guest *g = ud;
    struct orr_visit_config cfg;
    (void)name;
    g->w = w;
    g->tick = w->ops->now(w);
    if (!g->dial) {
        orr_visit_config_init(&cfg);
        cfg.cluster = wanted;
        assert_int_equal(orr_visit_new(&g->v, w, &cfg), 0);
        g->visit_wake = w->wake;
    } else {
        assert_int_equal(w->ops->peer(w, 1, g->dial), 0);
    }
    w->wake = guest_wake;
    w->ud = g;
    w->ops->alarm(w, g->tick, 0);
    return 0;
}
static void (*guest_halted)(struct guest *g);
static void guest_halt(void *ud, const char *name) {
    struct guest *g = ud;
    (void)name;
    if (guest_halted) guest_halted(g);
    orr_visit_free(g->v);
    g->v = NULL;
}
/* raw: the address that it dials; NULL: it has a visit */
static struct guest *guest(const char *raw) {
    struct guest *g = &guests[n_guests++];
    struct orr_sim_boot boot = { .start = guest_start, .halt = guest_halt, .ud = g };
    *g = (struct guest){ .dial = raw };
    snprintf(g->name, sizeof g->name, "g%zu", n_guests);
    assert_int_equal(orr_sim_add(r.sim, g->name, &boot), 0);
    assert_int_equal(orr_sim_start(r.sim, g->name), 0);
    return g;
}

/* What a guest does in its next turn. */
struct act {
    void (*fn)(struct guest *g, void *ud);
    void *ud;
};
static void act_once(struct guest *g) {
    struct act *a = g->ud;
    g->turn = NULL;
    a->fn(g, a->ud);
}
static void guest_do(struct guest *g, void (*fn)(struct guest *g, void *ud), void *ud) {
    struct act a = { fn, ud };
    g->ud = &a;
    g->turn = act_once;
    rig_run(&r, 3 * ORR_MS);
    assert_null(g->turn);
}

static int set_up(void **state) {
    memset(&r, 0, sizeof r);
    r.net = "127.0.0.";
    n_guests = 0;
    guest_halted = NULL;
    wanted = NULL;
    *state = &r;
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    rig_free(&r);
    return 0;
}
static struct host *host(size_t i) { return &r.hosts[i]; }
static void begin(size_t n) {
    rig_new(&r, n, 7);
    rig_run(&r, ORR_SECOND);
}
static struct orr_node_status status_of(size_t i) {
    struct orr_node_status s;
    orr_node_status(host(i)->node, &s);
    return s;
}

/* -- Asking -------------------------------------------------------------------------------------------------------- */
struct asking {
    struct orr_visit_call c;        /* first */
    const char *name, *args;
    orr_time in;
    int rc, status;
    unsigned told;
    char got[64];
    size_t size;
};
static void answered(struct orr_visit_call *c) {
    struct asking *a = (struct asking *)(void *)c;
    a->told++;
    a->status = c->status;
    a->size = c->result.size < sizeof a->got ? c->result.size : sizeof a->got;
    if (a->size) memcpy(a->got, c->result.at, a->size);
}
static void put(struct guest *g, void *ud) {
    struct asking *a = ud;
    a->c = (struct orr_visit_call){ .done = answered };
    a->rc = orr_visit_call(g->v, &a->c, text(a->name), text(a->args), a->in == ORR_NEVER ? a->in
                           : g->w->ops->now(g->w) + a->in);
}
static struct asking *call(struct guest *g, const char *name, const char *args, orr_time in) {
    static struct asking asks[8];
    static size_t n;
    struct asking *a = &asks[n++ % 8];
    *a = (struct asking){ .name = name, .args = args, .in = in };
    guest_do(g, put, a);
    rig_run(&r, 20 * ORR_MS);
    return a;
}
static void open_at(struct guest *g, void *ud) { assert_int_equal(orr_visit_open(g->v, ud), 0); }
static struct orr_visit_status visit_status(const struct guest *g) {
    struct orr_visit_status s;
    orr_visit_status(g->v, &s);
    return s;
}
static struct orr_visit_status come(struct guest *g, const char *address) {
    guest_do(g, open_at, (void *)(uintptr_t)address);
    rig_run(&r, 50 * ORR_MS);
    return visit_status(g);
}

static void it_asks_and_is_answered(void **state) {
    (void)state;
    begin(2);
    struct guest *g = guest(NULL);
    assert_int_equal(visit_status(g).state, ORR_VISIT_CLOSED);
    assert_int_equal(call(g, "echo", "x", ORR_SECOND)->rc, ORR_EUNAVAILABLE);
    struct orr_visit_status s = come(g, "127.0.0.2:7000");
    assert_int_equal(s.state, ORR_VISIT_OPEN);
    assert_string_equal(s.node, "n2");
    assert_string_equal(s.cluster, "test");
    assert_int_equal(s.incarnation, 1);
    assert_int_equal(status_of(1).visitors, 1);
    struct asking *a = call(g, "echo", "hello", ORR_SECOND);
    assert_int_equal(a->told, 1);
    assert_int_equal(a->status, 0);
    assert_memory_equal(a->got, "hello", 5);
    a = call(g, "echo", "", ORR_NEVER);
    assert_true(a->told == 1 && a->status == 0 && a->size == 0);
    assert_int_equal(call(g, "nothing", "x", ORR_SECOND)->status, ORR_EINVALID);
    assert_int_equal(status_of(1).asked, 0);
    assert_int_equal(status_of(1).peers_up, 1);
}

static void cast(struct guest *g, void *ud) {
    int *rc = ud;
    *rc = orr_visit_cast(g->v, text("note"), text("x"));
}
static void casts_and_wrong_calls(void **state) {
    (void)state;
    static char large[300];
    int rc = 1;
    memset(large, 'x', sizeof large - 1);
    begin(1);
    struct guest *g = guest(NULL);
    guest_do(g, cast, &rc);
    assert_int_equal(rc, ORR_EUNAVAILABLE);
    come(g, host(0)->at);
    guest_do(g, cast, &rc);
    rig_run(&r, 10 * ORR_MS);
    assert_int_equal(rc, 0);
    assert_int_equal(host(0)->notes, 1);
    assert_int_equal(call(g, "", "", ORR_SECOND)->rc, ORR_EINVALID);
    assert_int_equal(call(g, large, "", ORR_SECOND)->rc, ORR_EINVALID);
    assert_int_equal(call(g, "echo", "", 0)->rc, ORR_ETIMEOUT);
    assert_int_equal(status_of(0).frames_bad, 0);
}

static void deadlines_pass(void **state) {
    (void)state;
    begin(1);
    struct guest *g = guest(NULL);
    come(g, host(0)->at);
    struct asking *a = call(g, "hold", "", 40 * ORR_MS);
    assert_int_equal(a->told, 0);
    assert_int_equal(host(0)->n_held, 1);
    assert_true(host(0)->held[0]->from == ORR_NOBODY);
    assert_string_equal(host(0)->held[0]->from_name, "(visitor)");
    rig_run(&r, 50 * ORR_MS);
    assert_true(a->told == 1 && a->status == ORR_EUNKNOWN);
    assert_int_equal(host(0)->gone, 1);
    assert_int_equal(visit_status(g).calls, 0);
}

static void cancel(struct guest *g, void *ud) { orr_visit_cancel(g->v, ud); }
static void cancelling_reaches_the_callee(void **state) {
    (void)state;
    begin(1);
    struct guest *g = guest(NULL);
    come(g, host(0)->at);
    struct asking *a = call(g, "hold", "", ORR_SECOND);
    guest_do(g, cancel, &a->c);
    guest_do(g, cancel, &a->c);
    rig_run(&r, 10 * ORR_MS);
    assert_int_equal(host(0)->gone, 1);
    rig_run(&r, 2 * ORR_SECOND);
    assert_int_equal(a->told, 0);
}

static void close_it(struct guest *g, void *ud) {
    (void)ud;
    orr_visit_close(g->v);
}
static void who_leaves_is_gone(void **state) {
    (void)state;
    begin(1);
    struct guest *g = guest(NULL);
    come(g, host(0)->at);
    struct asking *a = call(g, "hold", "", ORR_SECOND);
    guest_do(g, close_it, NULL);
    rig_run(&r, 10 * ORR_MS);
    assert_true(a->told == 1 && a->status == ORR_EUNKNOWN);
    assert_int_equal(host(0)->gone, 1);
    assert_int_equal(status_of(0).visitors, 0);
    assert_int_equal(visit_status(g).error, ORR_ECLOSED);
    assert_int_equal(come(g, host(0)->at).state, ORR_VISIT_OPEN);
}

static void a_node_that_dies_leaves_calls_unknown(void **state) {
    (void)state;
    begin(1);
    struct guest *g = guest(NULL);
    come(g, host(0)->at);
    struct asking *a = call(g, "hold", "", ORR_SECOND);
    assert_int_equal(orr_sim_kill_process(r.sim, "n1"), 0);
    rig_run(&r, 50 * ORR_MS);
    assert_true(a->told == 1 && a->status == ORR_EUNKNOWN);
    struct orr_visit_status s = visit_status(g);
    assert_true(s.state == ORR_VISIT_CLOSED && s.error == ORR_EUNAVAILABLE && s.why[0]);
    s = come(g, host(0)->at);
    assert_true(s.state == ORR_VISIT_CLOSED && s.error == ORR_EUNAVAILABLE);
    assert_int_equal(orr_sim_restart(r.sim, "n1", ORR_SIM_KEPT), 0);
    rig_run(&r, ORR_SECOND);
    s = come(g, host(0)->at);
    assert_true(s.state == ORR_VISIT_OPEN && s.incarnation == 2);
    assert_int_equal(call(g, "echo", "x", ORR_SECOND)->status, 0);
}

static void leave(struct host *h, void *ud) {
    (void)ud;
    orr_node_stop(h->node, "enough");
}
static void a_node_that_stops_tells_all(void **state) {
    (void)state;
    begin(1);
    struct guest *g = guest(NULL);
    come(g, host(0)->at);
    struct asking *a = call(g, "hold", "", ORR_SECOND);
    rig_later_do(host(0), leave, NULL);
    rig_run(&r, ORR_SECOND);
    assert_true(a->told == 1 && a->status == ORR_EUNKNOWN);
    assert_int_equal(visit_status(g).state, ORR_VISIT_CLOSED);
    assert_null(host(0)->node);
}

/* -- Who is not let in --------------------------------------------------------------------------------------------- */
static void from_beyond_the_machine_nobody_is_let_in(void **state) {
    (void)state;
    r.net = NULL;
    begin(1);
    struct orr_visit_status s = come(guest(NULL), host(0)->at);
    assert_true(s.state == ORR_VISIT_CLOSED && s.error == ORR_EDENIED);
    assert_string_equal(s.why, "n1 takes visitors at a loopback address alone, as 127.0.0.1: this version has no TLS");
}

static void another_cluster_is_refused(void **state) {
    (void)state;
    wanted = "best";
    begin(1);
    struct orr_visit_status s = come(guest(NULL), host(0)->at);
    assert_true(s.state == ORR_VISIT_CLOSED && s.error == ORR_EINVALID);
    assert_string_equal(s.why, "n1 is of cluster test, not best");
    wanted = "test";
    assert_int_equal(come(guest(NULL), host(0)->at).state, ORR_VISIT_OPEN);
}

static void two_visitors(struct rig *rig, struct orr_node_config *cfg) {
    (void)rig;
    cfg->visitors_max = 2;
    cfg->calls_max = 5;
}
static void too_many_are_refused(void **state) {
    (void)state;
    r.config = two_visitors;
    begin(1);
    struct guest *a = guest(NULL), *b = guest(NULL), *c = guest(NULL);
    assert_int_equal(come(a, host(0)->at).state, ORR_VISIT_OPEN);
    assert_int_equal(come(b, host(0)->at).state, ORR_VISIT_OPEN);
    struct orr_visit_status s = come(c, host(0)->at);
    assert_true(s.state == ORR_VISIT_CLOSED && s.error == ORR_EOVERLOADED);
    assert_string_equal(s.why, "n1 has 2 visitors, as many as it takes");
    guest_do(a, close_it, NULL);
    rig_run(&r, 10 * ORR_MS);
    assert_int_equal(come(c, host(0)->at).state, ORR_VISIT_OPEN);
}

static void visitors_get_half_of_the_handlers(void **state) {
    (void)state;
    r.config = two_visitors;
    begin(1);
    struct guest *g = guest(NULL);
    come(g, host(0)->at);
    struct asking *a = NULL;
    for (int i = 0; i < 3; i++) a = call(g, "hold", "", ORR_NEVER);
    assert_int_equal(a->told, 0);
    a = call(g, "hold", "", ORR_NEVER);
    assert_true(a->told == 1 && a->status == ORR_EOVERLOADED);
    assert_int_equal(status_of(0).asked, 3);
    guest_do(g, close_it, NULL);
    rig_run(&r, 10 * ORR_MS);
    assert_int_equal(status_of(0).asked, 0);
    come(g, host(0)->at);
    assert_int_equal(call(g, "hold", "", ORR_NEVER)->told, 0);
}

/* -- Who does not speak as a visitor does -------------------------------------------------------------------------- */
struct bytes {
    unsigned char at[64 << 10];
    size_t size;
};
static void add_frame(struct bytes *b, enum orri_frame_kind kind, uint32_t group, const void *at, size_t size) {
    struct orr_slice part = orr_borrow(at, size);
    orri_frame_head(b->at + b->size, &(struct orri_frame){ .kind = kind, .group = group }, &part, 1);
    if (size) memcpy(b->at + b->size + ORRI_FRAME_HEAD, at, size);
    b->size += ORRI_FRAME_HEAD + size;
}
static void add_visit(struct bytes *b, uint16_t oldest, uint16_t newest) {
    unsigned char at[ORRI_VISIT_MAX];
    struct orri_visit_hello h = { .oldest = oldest, .newest = newest };
    add_frame(b, ORRI_FRAME_VISIT, 0, at, orri_visit_hello_write(&h, at));
}
static void add_message(struct bytes *b, enum orri_message_kind kind, const char *name) {
    unsigned char at[64] = { 0 };
    struct orri_message m = { .kind = kind, .tag = kind != ORRI_MESSAGE_CAST, .name = text(name) };
    if (kind == ORRI_MESSAGE_CALL || kind == ORRI_MESSAGE_PROPOSE || kind == ORRI_MESSAGE_READ) m.when = ORR_SECOND;
    orri_message_write(at + ORRI_MESSAGES_HEAD, &m);
    add_frame(b, ORRI_FRAME_RPC, 0, at, ORRI_MESSAGES_HEAD + orri_message_head_size(&m));
}
static void say(struct guest *g, void *ud) {
    const struct bytes *b = ud;
    struct orr_slice part = orr_borrow(b->at, b->size);
    if (!g->stream) assert_int_equal(g->w->ops->connect(g->w, 1, &g->stream), 0);
    (void)g->w->ops->send(g->w, g->stream, 0, &part, 1);
}
static struct guest *raw(const struct bytes *b) {
    struct guest *g = guest(host(0)->at);
    guest_do(g, say, (void *)(uintptr_t)b);
    rig_run(&r, 50 * ORR_MS);
    return g;
}
static enum orri_frame_kind heard(const struct guest *g) {
    return g->n_got > ORRI_FRAME_HEAD ? (enum orri_frame_kind)g->got[6] : 0;
}

static void a_visitor_may_call_cast_and_cancel(void **state) {
    (void)state;
    struct bytes b = { .size = 0 };
    begin(1);
    add_visit(&b, 1, 99);
    add_message(&b, ORRI_MESSAGE_CALL, "echo");
    add_message(&b, ORRI_MESSAGE_CAST, "note");
    add_message(&b, ORRI_MESSAGE_CANCEL, "");
    struct guest *g = raw(&b);
    assert_false(g->closed);
    assert_int_equal(heard(g), ORRI_FRAME_WELCOME);
    assert_int_equal(host(0)->notes, 1);
    rig_run(&r, 20 * ORR_SECOND);                   /* its silence is no matter */
    assert_false(g->closed);
    assert_int_equal(status_of(0).visitors, 1);
}

static void whoever_says_anything_else_is_shown_out(void **state) {
    (void)state;
    static const struct {
        enum orri_frame_kind kind;
        uint32_t group;
    } wrong[] = {
        { ORRI_FRAME_ORDER, 7 }, { ORRI_FRAME_FORWARD, 7 }, { ORRI_FRAME_RESEND, 7 }, { ORRI_FRAME_PING, 0 },
        { ORRI_FRAME_PING, 7 }, { ORRI_FRAME_HELLO, 0 }, { ORRI_FRAME_VISIT, 0 }, { ORRI_FRAME_WELCOME, 0 },
        { ORRI_FRAME_REFUSED, 0 }, { ORRI_FRAME_RPC, 7 },
    };
    static const enum orri_message_kind none_of_his[] = { ORRI_MESSAGE_PROPOSE, ORRI_MESSAGE_READ, ORRI_MESSAGE_REPLY };
    r.replicas = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong + 3; i++) {
        struct bytes b = { .size = 0 };
        begin(1);
        n_guests = 0;
        add_visit(&b, 1, 2);
        if (i < 3) add_message(&b, none_of_his[i], none_of_his[i] == ORRI_MESSAGE_REPLY ? "" : "count");
        else add_frame(&b, wrong[i - 3].kind, wrong[i - 3].group ? host(0)->group->number : 0, "ORRY", 4);
        struct guest *g = raw(&b);
        assert_true(g->closed);
        assert_int_equal(status_of(0).visitors, 0);
        assert_int_equal(status_of(0).frames_bad, 1);
        assert_true(status_of(0).ready);
        rig_free(&r);
    }
    begin(1);
}

static void whoever_asks_before_the_visit_is_shown_out(void **state) {
    (void)state;
    struct bytes b = { .size = 0 };
    begin(1);
    add_message(&b, ORRI_MESSAGE_CAST, "note");
    assert_true(raw(&b)->closed);
    b.size = 0;
    add_frame(&b, ORRI_FRAME_VISIT, 0, "ORRX\1\0\2\0", 9);
    struct guest *g = raw(&b);
    assert_true(g->closed);
    assert_int_equal(heard(g), ORRI_FRAME_REFUSED);
    b.size = 0;
    add_visit(&b, 1, 1);                            /* from before there were calls */
    g = raw(&b);
    assert_true(g->closed);
    assert_int_equal(heard(g), ORRI_FRAME_REFUSED);
    b.size = 0;
    add_visit(&b, 50, 99);
    assert_true(raw(&b)->closed);
    assert_int_equal(host(0)->notes, 0);
}

/* It asks for more and more, and never reads. */
static void ask_much(struct guest *g) {
    static struct bytes b;
    if (!g->stream) return;
    b.size = 0;
    for (int i = 0; i < 8; i++) {
        unsigned char at[8 << 10] = { 0 };
        struct orri_message m = { .kind = ORRI_MESSAGE_CALL, .tag = 1, .when = ORR_NEVER, .name = text("echo") };
        m.body.size = sizeof at - ORRI_MESSAGES_HEAD - orri_message_head_size(&m);
        orri_message_write(at + ORRI_MESSAGES_HEAD, &m);
        add_frame(&b, ORRI_FRAME_RPC, 0, at, sizeof at);
        if (b.size + sizeof at + ORRI_FRAME_HEAD > sizeof b.at) break;
    }
    struct orr_slice part = orr_borrow(b.at, b.size);
    (void)g->w->ops->send(g->w, g->stream, 0, &part, 1);
}
static void who_never_reads_is_shown_out(void **state) {
    (void)state;
    struct bytes b = { .size = 0 };
    begin(1);
    add_visit(&b, 1, 2);
    struct guest *g = raw(&b), *other = guest(NULL);
    come(other, host(0)->at);
    size_t most = 0;
    guest_do(g, say, &(struct bytes){ .size = 0 });
    g->w->ops->read_pause(g->w, g->stream, true);
    g->turn = ask_much;
    for (int i = 0; i < 40 && status_of(0).visitors == 2; i++) {
        rig_run(&r, 500 * ORR_MS);
        size_t now = orr_sim_memory(r.sim, "n1");
        if (now > most) most = now;
        assert_int_equal(call(other, "echo", "x", ORR_SECOND)->status, 0);
    }
    assert_int_equal(status_of(0).visitors, 1);
    assert_true(most < 40 << 20);
    assert_int_equal(call(other, "echo", "x", ORR_SECOND)->status, 0);
}

/* -- Who is visited is no node ------------------------------------------------------------------------------------- */
static struct orr_stream *liar_stream;
static struct bytes lie;
static void liar_wake(void *ud) {
    struct orr_world *w = ud;
    for (struct orr_req *req; (req = w->ops->take(w));) {
        struct orr_stream_event *ev = (struct orr_stream_event *)(void *)req;
        struct orr_slice part = orr_borrow(lie.at, lie.size);
        if (req->op == ORR_OP_ACCEPTED) liar_stream = ev->stream;
        if (req->op == ORR_OP_DATA && ev->stream == liar_stream && lie.size)
            (void)w->ops->send(w, ev->stream, 0, &part, 1);
    }
}
static int liar_start(void *ud, struct orr_world *w, const char *name) {
    (void)ud, (void)name;
    w->wake = liar_wake;
    w->ud = w;
    return w->ops->listen(w, "127.0.0.9:7000", 0, 10);
}
static void add_welcome(struct bytes *b) {
    unsigned char at[ORRI_WELCOME_MAX];
    struct orri_welcome w = { .oldest = 1, .newest = 2, .bytes_max = 1 << 20, .node = "liar", .cluster_name = "lies" };
    add_frame(b, ORRI_FRAME_WELCOME, 0, at, orri_welcome_write(&w, at));
}
static void liars_are_left(void **state) {
    (void)state;
    struct orr_sim_boot boot = { .start = liar_start };
    begin(1);
    assert_int_equal(orr_sim_add(r.sim, "liar", &boot), 0);
    assert_int_equal(orr_sim_start(r.sim, "liar"), 0);
    struct guest *g = guest(NULL);
    lie.size = 0;
    struct orr_visit_status s = come(g, "127.0.0.9:7000");          /* it says nothing */
    assert_int_equal(s.state, ORR_VISIT_OPENING);
    rig_run(&r, 3 * ORR_SECOND);
    s = visit_status(g);
    assert_true(s.state == ORR_VISIT_CLOSED && s.error == ORR_ETIMEOUT);
    static const enum orri_frame_kind kinds[] = { ORRI_FRAME_HELLO, ORRI_FRAME_PING, ORRI_FRAME_RPC, ORRI_FRAME_VISIT,
                                                  ORRI_FRAME_WELCOME, ORRI_FRAME_REFUSED };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        lie.size = 0;
        add_frame(&lie, kinds[i], 0, "x", 1);
        s = come(g, "127.0.0.9:7000");
        assert_true(s.state == ORR_VISIT_CLOSED && s.error == ORR_ECORRUPT);
    }
    lie.size = 30;
    memset(lie.at, 'x', 30);
    s = come(g, "127.0.0.9:7000");
    assert_true(s.state == ORR_VISIT_CLOSED && s.error == ORR_ECORRUPT);
    for (int what = 0; what < 3; what++) {                          /* after a true welcome */
        lie.size = 0;
        add_welcome(&lie);
        if (what == 0) add_message(&lie, ORRI_MESSAGE_CALL, "echo");
        if (what == 1) add_frame(&lie, ORRI_FRAME_RPC, 0, "x", 1);
        if (what == 2) add_frame(&lie, ORRI_FRAME_ORDER, 3, "x", 1);
        s = come(g, "127.0.0.9:7000");
        assert_true(s.state == ORR_VISIT_CLOSED && s.error == ORR_ECORRUPT);
    }
    lie.size = 0;
    add_welcome(&lie);
    add_message(&lie, ORRI_MESSAGE_REPLY, "");                      /* to nobody */
    s = come(g, "127.0.0.9:7000");
    assert_true(s.state == ORR_VISIT_OPEN && strcmp(s.node, "liar") == 0);
}

/* -- Many, with faults --------------------------------------------------------------------------------------------- */
static struct one {
    struct orr_visit_call c;        /* first */
    uint64_t id;
} window[GUESTS][WINDOW];
static uint64_t next_id, told, fates[4];

static void judge(struct orr_visit_call *c) {
    struct one *o = (struct one *)(void *)c;
    unsigned ran = r.ran[o->id];
    told++;
    if (c->status == 0) {
        assert_true(c->result.size == 8 && orri_get_le(c->result.at, 8) == o->id);
        assert_int_equal(ran, 1);
        fates[0]++;
    } else if (c->status == ORR_EUNKNOWN || c->status == ORR_ECANCELED) {
        fates[1]++;
    } else {
        assert_int_equal(ran, 0);                   /* surely not done */
        r.ran[o->id] = 2;                           /* nor may it be later */
        fates[2]++;
    }
}
static void ask_at_random(struct guest *g) {
    size_t me = (size_t)(g - guests), asks = 0;
    struct orr_visit_status s;
    orr_visit_status(g->v, &s);
    uint64_t dice = orri_rng_below(&r.rng, 1000);
    if (s.state == ORR_VISIT_CLOSED && dice < 100)
        assert_int_equal(orr_visit_open(g->v, host(orri_rng_below(&r.rng, r.n))->at), 0);
    if (dice == 999) orr_visit_close(g->v);
    for (size_t i = 0; i < WINDOW && asks < 2; i++) {
        struct one *o = &window[me][i];
        unsigned char id[8];
        dice = orri_rng_below(&r.rng, 100);
        if (orr_visit_busy(&o->c) && dice == 0) {
            orr_visit_cancel(g->v, &o->c);
            told++;
        }
        if (orr_visit_busy(&o->c) || dice > 60 || next_id + 1 >= RIG_IDS) continue;
        o->id = next_id++;
        asks++;
        orri_put_le(id, o->id, 8);
        o->c = (struct orr_visit_call){ .done = judge };
        int rc = orr_visit_call(g->v, &o->c, text("count"), orr_borrow(id, 8),
                                g->w->ops->now(g->w) + (orr_time)(1 + dice) * 2 * ORR_MS);
        if (rc == 0) continue;
        assert_false(orr_visit_busy(&o->c));
        r.ran[o->id] = 2;
        fates[3]++;
        told++;
    }
}
static void crashed(struct guest *g) {
    size_t me = (size_t)(g - guests);
    for (size_t i = 0; i < WINDOW; i++) {
        told += orr_visit_busy(&window[me][i].c);   /* nobody is there who could be told */
        window[me][i].c.tag = 0;
    }
}
static void each_call_is_told_once_whatever_happens(void **state) {
    (void)state;
    struct orr_sim_faults rates = { 0 };
    memset(fates, 0, sizeof fates);
    for (uint64_t seed = 1; seed <= 120; seed++) {
        memset(window, 0, sizeof window);
        next_id = told = 0;
        n_guests = 0;
        rig_new(&r, 2, seed);
        guest_halted = crashed;
        for (size_t i = 0; i < 4; i++) guest(NULL)->turn = ask_at_random;
        orr_sim_faults_default(&rates);
        rates.rate[ORR_SIM_RESTART_EMPTY] = rates.rate[ORR_SIM_RESTART_OLD] = 0;
        rates.rate[ORR_SIM_RESET] = 2;
        rates.rate[ORR_SIM_DELAY] = 0.01;
        orr_sim_chaos(r.sim, &rates, ORR_SECOND, 5 * ORR_SECOND);
        rig_run(&r, 6 * ORR_SECOND);
        for (size_t i = 0; i < 4; i++) guests[i].turn = NULL;
        orr_sim_heal(r.sim);
        rig_run(&r, 2 * ORR_SECOND);
        assert_true(next_id > 100);
        assert_int_equal(told, next_id);
        for (size_t i = 0; i < 2; i++) {
            if (!host(i)->node) continue;
            assert_int_equal(status_of(i).asked, 0);
            assert_int_equal(status_of(i).frames_bad, 0);
        }
        if (seed < 120) rig_free(&r);
    }
    print_message("%llu answered, %llu unknown, %llu surely not done, %llu not sent\n", (unsigned long long)fates[0],
                  (unsigned long long)fates[1], (unsigned long long)fates[2], (unsigned long long)fates[3]);
    assert_true(fates[0] > 10000 && fates[1] > 1000 && fates[3] > 0);
}

/* -- The formats --------------------------------------------------------------------------------------------------- */
static void greetings_come_back_as_they_were(void **state) {
    (void)state;
    unsigned char at[ORRI_WELCOME_MAX + 1] = { 0 };
    struct orri_visit_hello h = { .oldest = 1, .newest = 3 }, h2;
    struct orri_welcome w = { .oldest = 1, .newest = 2, .cluster = 9, .incarnation = 4, .nonce = 5, .bytes_max = 77 };
    struct orri_welcome w2;
    memset(h.cluster, 'c', ORRI_NAME_MAX);
    memset(w.node, 'n', ORRI_NAME_MAX);
    memset(w.cluster_name, 'c', ORRI_NAME_MAX);
    size_t size = orri_visit_hello_write(&h, at);
    assert_int_equal(orri_visit_hello_read(orr_borrow(at, size), &h2), 0);
    assert_memory_equal(&h, &h2, sizeof h);
    for (size_t i = 0; i < size; i++) assert_int_equal(orri_visit_hello_read(orr_borrow(at, i), &h2), ORR_EINVALID);
    assert_int_equal(orri_visit_hello_read(orr_borrow(at, size + 1), &h2), ORR_EINVALID);
    size = orri_welcome_write(&w, at);
    assert_int_equal(size, ORRI_WELCOME_MAX);
    assert_int_equal(orri_welcome_read(orr_borrow(at, size), &w2), 0);
    assert_memory_equal(&w, &w2, sizeof w);
    for (size_t i = 0; i < size; i++) assert_int_equal(orri_welcome_read(orr_borrow(at, i), &w2), ORR_EINVALID);
    assert_int_equal(orri_welcome_read(orr_borrow(at, size + 1), &w2), ORR_EINVALID);
}

int main(void) {
#define IT(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IT(it_asks_and_is_answered),
        IT(casts_and_wrong_calls),
        IT(deadlines_pass),
        IT(cancelling_reaches_the_callee),
        IT(who_leaves_is_gone),
        IT(a_node_that_dies_leaves_calls_unknown),
        IT(a_node_that_stops_tells_all),
        IT(from_beyond_the_machine_nobody_is_let_in),
        IT(another_cluster_is_refused),
        IT(too_many_are_refused),
        IT(visitors_get_half_of_the_handlers),
        IT(a_visitor_may_call_cast_and_cancel),
        IT(whoever_says_anything_else_is_shown_out),
        IT(whoever_asks_before_the_visit_is_shown_out),
        IT(who_never_reads_is_shown_out),
        IT(liars_are_left),
        IT(each_call_is_told_once_whatever_happens),
        cmocka_unit_test(greetings_come_back_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
