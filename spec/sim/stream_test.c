/* stream_test.c - streams, datagrams and clients of the simulated world: order, limits, closing, cuts, resets. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "dies.h"
#include "probe.h"

enum { GOT_MAX = 1 << 20 };

/* What one node has seen of its one stream. */
struct talk {
    struct orr_stream *s;
    unsigned connected, accepted, closed, rooms, datas, grams;
    uint32_t listener;
    int status;
    size_t n_got;
    unsigned char got[GOT_MAX];
};

static void on_event(struct probe *p, struct orr_req *req) {
    struct talk *t = p->ud;
    struct orr_stream_event *e = (struct orr_stream_event *)(void *)req;
    switch (req->op) {
    case ORR_OP_ACCEPTED:
        t->s = e->stream;
        t->accepted++;
        t->listener = e->listener;
        break;
    case ORR_OP_CONNECTED:
        assert_ptr_equal(t->s, e->stream);
        t->connected++;
        break;
    case ORR_OP_DATA:
        assert_int_equal(t->closed, 0);
        assert_true(t->n_got + e->data.size <= GOT_MAX);
        memcpy(t->got + t->n_got, e->data.at, e->data.size);
        t->n_got += e->data.size;
        t->datas++;
        break;
    case ORR_OP_ROOM: t->rooms++; break;
    case ORR_OP_CLOSED:
        assert_ptr_equal(t->s, e->stream);
        t->closed++;
        t->status = req->status;
        break;
    case ORR_OP_DATAGRAM:
        assert_int_equal(((struct orr_datagram *)(void *)req)->data.size, 3);
        t->grams++;
        break;
    default: fail();
    }
}

struct pair {
    struct orr_sim *sim;
    struct probe a, b;
    struct talk ta, tb;
};

static void do_connect(struct probe *p, void *arg) {
    struct talk *t = p->ud;
    assert_int_equal(p->w->ops->peer(p->w, orr_id_of("b"), arg), 0);
    assert_int_equal(p->w->ops->connect(p->w, orr_id_of("b"), &t->s), 0);
}

static struct pair *pair_of(const struct orr_sim_config *cfg) {
    struct pair *x = calloc(1, sizeof *x);
    assert_non_null(x);
    assert_int_equal(orr_sim_new(&x->sim, cfg), 0);
    x->a.ud = &x->ta;
    x->b.ud = &x->tb;
    x->a.on_event = x->b.on_event = on_event;
    assert_int_equal(probe_add(x->sim, &x->a, "a", "a:1"), 0);
    assert_int_equal(probe_add(x->sim, &x->b, "b", "b:1"), 0);
    probe_do(&x->a, do_connect, (void *)(uintptr_t)"b:1");
    return x;
}

static struct pair *connected_pair(uint64_t seed) {
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.faults.rate[ORR_SIM_SHORT_READ] = 0.3;
    cfg.faults.rate[ORR_SIM_DELAY] = 0.1;
    struct pair *x = pair_of(&cfg);
    orr_sim_run(x->sim, ORR_SECOND);
    assert_int_equal(x->ta.connected, 1);
    assert_int_equal(x->tb.accepted, 1);
    assert_int_equal(x->tb.listener, 7);
    return x;
}

static void pair_free(struct pair *x) {
    orr_sim_free(x->sim);
    free(x);
}

static void run_for(struct pair *x, orr_time t) { orr_sim_run(x->sim, orr_sim_now(x->sim) + t); }

/* A counted sequence of bytes: each frame goes on where the last one ended. */
struct burst {
    unsigned frames, cls;
    size_t size;
    unsigned char next;
    int status;
    size_t taken;
};
static void do_send(struct probe *p, void *arg) {
    struct burst *b = arg;
    struct talk *t = p->ud;
    unsigned char *frame = malloc(b->size);
    assert_non_null(frame);
    for (unsigned i = 0; i < b->frames; i++) {
        for (size_t k = 0; k < b->size; k++) frame[k] = (unsigned char)(b->next + k);
        struct orr_slice parts[2] = { orr_borrow(frame, b->size / 2),
                                      orr_borrow(frame + b->size / 2, b->size - b->size / 2) };
        b->status = p->w->ops->send(p->w, t->s, b->cls, parts, 2);
        if (b->status != 0) break;
        b->next = (unsigned char)(b->next + b->size);
        b->taken += b->size;
    }
    free(frame);
}
static bool counted(const struct talk *t) {
    for (size_t i = 0; i < t->n_got; i++) {
        if (t->got[i] != (unsigned char)i) return false;
    }
    return true;
}
static void do_close(struct probe *p, void *arg) { p->w->ops->close(p->w, ((struct talk *)p->ud)->s, arg != NULL); }
static void do_pause(struct probe *p, void *arg) {
    p->w->ops->read_pause(p->w, ((struct talk *)p->ud)->s, arg != NULL);
}

/* -- Order and limits -------------------------------------------------------------------------------------------- */
static void bytes_arrive_in_order_however_they_are_cut(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair *x = connected_pair(seed);
        struct burst b = { .frames = 7, .size = 1000, .cls = 1 };
        for (unsigned i = 0; i < 20; i++) probe_do(&x->a, do_send, &b);
        run_for(x, 3 * ORR_SECOND);
        assert_int_equal(x->tb.n_got, 140000);
        assert_true(counted(&x->tb));
        assert_true(orr_sim_counts(x->sim)[ORR_SIM_SHORT_READ] > 0);
        assert_int_equal(x->tb.closed + x->ta.closed, 0);
        pair_free(x);
    }
}

static void a_reader_that_pauses_stops_the_writer_and_room_comes_once(void **state) {
    (void)state;
    struct pair *x = connected_pair(2);
    struct burst b = { .frames = 1000000, .size = 10000, .cls = 1 };
    probe_do(&x->b, do_pause, "on");
    while (b.status == 0) probe_do(&x->a, do_send, &b);
    assert_int_equal(b.status, ORR_EOVERLOADED);
    assert_true(b.taken < 6 << 20);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.n_got, 0);
    assert_int_equal(x->ta.rooms, 0);
    x->tb.n_got = 0;
    probe_do(&x->b, do_pause, NULL);
    for (size_t all = 0; all < b.taken; all += x->tb.n_got, x->tb.n_got = 0) assert_true(orr_sim_step(x->sim));
    assert_int_equal(x->ta.rooms, 1);
    pair_free(x);
}

static void do_send_both(struct probe *p, void *arg) {
    struct talk *t = p->ud;
    (void)arg;
    struct orr_slice bulk = orr_borrow("bulk", 4);
    struct orr_slice control = orr_borrow("CTRL", 4);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(p->w->ops->send(p->w, t->s, 1, &bulk, 1), 0);
    assert_int_equal(p->w->ops->send(p->w, t->s, 0, &control, 1), 0);
}
static void control_overtakes_bulk_at_frame_borders(void **state) {
    (void)state;
    struct pair *x = connected_pair(3);
    probe_do(&x->a, do_send_both, NULL);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.n_got, 16);
    assert_memory_equal(x->tb.got, "CTRLbulkbulkbulk", 16);
    pair_free(x);
}

static void a_slow_link_takes_its_time(void **state) {
    (void)state;
    struct pair *x = connected_pair(4);
    struct burst b = { .frames = 10, .size = 10000, .cls = 1 };
    assert_int_equal(orr_sim_link(x->sim, "a", "b", &(struct orr_sim_link){ .delay = ORR_MS, .bandwidth = 100000 }), 0);
    probe_do(&x->a, do_send, &b);
    run_for(x, 500 * ORR_MS);
    assert_in_range(x->tb.n_got, 30000, 60000);
    run_for(x, 800 * ORR_MS);
    assert_int_equal(x->tb.n_got, 100000);
    pair_free(x);
}

/* -- Closing ----------------------------------------------------------------------------------------------------- */
static void a_flushing_close_delivers_all_and_each_side_hears_closed_once(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct pair *x = connected_pair(seed);
        struct burst b = { .frames = 60, .size = 10000, .cls = 1 };
        probe_do(&x->a, do_send, &b);
        probe_do(&x->a, do_close, (void *)(uintptr_t)"flush");
        run_for(x, 3 * ORR_SECOND);
        assert_int_equal(x->tb.n_got, 600000);
        assert_int_equal(x->ta.closed, 1);
        assert_int_equal(x->tb.closed, 1);
        assert_int_equal(x->tb.status, 0);
        pair_free(x);
    }
}

static void both_sides_may_close_at_once(void **state) {
    (void)state;
    struct pair *x = connected_pair(5);
    orr_sim_stall(x->sim, NULL, NULL, orr_sim_now(x->sim) + 10 * ORR_MS);
    probe_do(&x->a, do_close, (void *)(uintptr_t)"flush");
    probe_do(&x->b, do_close, NULL);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->ta.closed, 1);
    assert_int_equal(x->tb.closed, 1);
    pair_free(x);
}

static void do_close_twice(struct probe *p, void *arg) {
    do_close(p, arg);
    do_close(p, arg);
}
static void closing_before_it_is_open_and_closing_twice_is_closed_once(void **state) {
    (void)state;
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    struct pair *x = pair_of(&cfg);
    probe_do(&x->a, do_close_twice, NULL);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->ta.closed, 1);
    assert_int_equal(x->tb.accepted, x->tb.closed);
    pair_free(x);
}

static void a_reset_breaks_both_sides_and_what_came_is_a_prefix(void **state) {
    (void)state;
    unsigned cut_in_frame = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair *x = connected_pair(seed);
        struct burst b = { .frames = 10, .size = 1000, .cls = 1 };
        probe_do(&x->a, do_send, &b);
        assert_int_equal(orr_sim_reset(x->sim, "b", "a"), 0);
        run_for(x, 3 * ORR_SECOND);
        assert_int_equal(x->ta.closed, 1);
        assert_int_equal(x->tb.closed, 1);
        assert_int_equal(x->ta.status, -ECONNRESET);
        assert_true(counted(&x->tb));
        cut_in_frame += x->tb.n_got % 1000 != 0;
        pair_free(x);
    }
    assert_true(cut_in_frame > 0);
}

static void nobody_listening_refuses_and_a_far_side_without_answer_times_out(void **state) {
    (void)state;
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    struct pair *x = calloc(1, sizeof *x);
    assert_non_null(x);
    assert_int_equal(orr_sim_new(&x->sim, &cfg), 0);
    x->a.ud = &x->ta;
    x->a.on_event = on_event;
    assert_int_equal(probe_add(x->sim, &x->a, "a", "a:1"), 0);
    probe_do(&x->a, do_connect, (void *)(uintptr_t)"b:1");
    run_for(x, ORR_SECOND);
    assert_int_equal(x->ta.connected, 0);
    assert_int_equal(x->ta.closed, 1);
    assert_int_equal(x->ta.status, -ECONNREFUSED);
    assert_int_equal(probe_add(x->sim, &x->b, "b", "b:1"), 0);
    orr_sim_cut(x->sim, "a", "b");
    probe_do(&x->a, do_connect, (void *)(uintptr_t)"b:1");
    run_for(x, 9 * ORR_SECOND);
    assert_int_equal(x->ta.closed, 1);
    run_for(x, 3 * ORR_SECOND);
    assert_int_equal(x->ta.closed, 2);
    assert_int_equal(x->ta.status, -ETIMEDOUT);
    pair_free(x);
}

static void an_answer_to_a_connect_that_does_not_come_breaks_both_sides(void **state) {
    (void)state;
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    struct pair *x = pair_of(&cfg);
    orr_sim_cut(x->sim, "b", "a");
    run_for(x, 9 * ORR_SECOND);
    assert_int_equal(x->tb.accepted, 1);
    assert_int_equal(x->ta.connected + x->ta.closed + x->tb.closed, 0);
    run_for(x, 3 * ORR_SECOND);
    orr_sim_uncut(x->sim, "b", "a");
    run_for(x, ORR_SECOND);
    assert_int_equal(x->ta.connected, 0);
    assert_int_equal(x->ta.closed, 1);
    assert_int_equal(x->ta.status, -ETIMEDOUT);
    assert_int_equal(x->tb.closed, 1);
    assert_int_equal(x->tb.status, -ETIMEDOUT);
    pair_free(x);
}

static void send_after_closed(void) {
    struct pair *x = connected_pair(9);
    struct burst b = { .frames = 1, .size = 10 };
    probe_do(&x->a, do_close, NULL);
    run_for(x, ORR_SECOND);
    probe_do(&x->a, do_send, &b);
}
static void a_stream_is_not_used_after_closed(void **state) {
    (void)state;
    if (ASSERTS_ON) assert_true(dies(send_after_closed));
}

/* -- Cuts -------------------------------------------------------------------------------------------------------- */
static void a_cut_holds_bytes_one_way_and_healing_delivers_them(void **state) {
    (void)state;
    struct pair *x = connected_pair(6);
    struct burst b = { .frames = 5, .size = 100, .cls = 0 };
    struct burst back = b;
    orr_sim_cut(x->sim, "a", "b");
    probe_do(&x->a, do_send, &b);
    probe_do(&x->b, do_send, &back);
    run_for(x, 2 * ORR_SECOND);
    assert_int_equal(x->tb.n_got, 0);
    assert_int_equal(x->ta.n_got, 500);
    orr_sim_uncut(x->sim, "a", "b");
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.n_got, 500);
    orr_sim_partition(x->sim, 1);
    probe_do(&x->a, do_send, &b);
    probe_do(&x->b, do_send, &back);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.n_got + x->ta.n_got, 1000);
    orr_sim_heal_links(x->sim);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.n_got + x->ta.n_got, 2000);
    orr_sim_stall(x->sim, "a", "b", orr_sim_now(x->sim) + ORR_SECOND);
    probe_do(&x->a, do_send, &b);
    run_for(x, 900 * ORR_MS);
    assert_int_equal(x->tb.n_got, 1000);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.n_got, 1500);
    assert_true(counted(&x->tb));
    pair_free(x);
}

static void a_stall_that_ends_sooner_holds_nothing_back(void **state) {
    (void)state;
    struct pair *x = connected_pair(6);
    struct burst b = { .frames = 1, .size = 500, .cls = 0 };
    orr_sim_stall(x->sim, "a", "b", orr_sim_now(x->sim) + 9 * ORR_SECOND);
    probe_do(&x->a, do_send, &b);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.n_got, 0);
    orr_sim_heal_links(x->sim);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.n_got, 500);
    orr_sim_stall(x->sim, "a", "b", orr_sim_now(x->sim) + 9 * ORR_SECOND);
    probe_do(&x->a, do_send, &b);
    run_for(x, ORR_SECOND);
    orr_sim_stall(x->sim, "a", "b", orr_sim_now(x->sim) + 500 * ORR_MS);
    run_for(x, 400 * ORR_MS);
    assert_int_equal(x->tb.n_got, 500);
    run_for(x, 400 * ORR_MS);
    assert_int_equal(x->tb.n_got, 1000);
    assert_true(counted(&x->tb));
    pair_free(x);
}

static void a_long_cut_breaks_the_sender_and_leaves_the_other_half_open(void **state) {
    (void)state;
    struct pair *x = connected_pair(7);
    struct burst b = { .frames = 1, .size = 100, .cls = 0 };
    orr_sim_cut(x->sim, "a", "b");
    probe_do(&x->a, do_send, &b);
    run_for(x, 12 * ORR_SECOND);
    assert_int_equal(x->ta.closed, 1);
    assert_int_equal(x->ta.status, -ETIMEDOUT);
    assert_int_equal(x->tb.closed, 0);
    orr_sim_uncut(x->sim, "a", "b");
    b = (struct burst){ .frames = 1, .size = 100 };
    probe_do(&x->b, do_send, &b);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.closed, 1);
    assert_int_equal(x->tb.status, -ECONNRESET);
    pair_free(x);
}

static void peers_of_a_dead_process_hear_of_it_and_those_of_a_silent_host_do_not(void **state) {
    (void)state;
    struct pair *x = connected_pair(8);
    orr_sim_kill_process(x->sim, "b");
    run_for(x, ORR_SECOND);
    assert_int_equal(x->ta.closed, 1);
    pair_free(x);

    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.faults.rate[ORR_SIM_CRASH_SILENT] = 1;
    x = pair_of(&cfg);
    run_for(x, ORR_SECOND);
    orr_sim_arm(x->sim, "b", ORR_SIM_CRASH, 1);
    run_for(x, 20 * ORR_SECOND);
    assert_int_equal(orr_sim_state(x->sim, "b"), ORR_SIM_DOWN);
    assert_int_equal(x->ta.closed, 0);
    struct burst b = { .frames = 1, .size = 100 };
    probe_do(&x->a, do_send, &b);
    run_for(x, 2 * ORR_SECOND);
    assert_int_equal(x->ta.closed, 0);
    assert_int_equal(orr_sim_start(x->sim, "b"), 0);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->ta.closed, 1);
    assert_int_equal(x->ta.status, -ECONNRESET);
    pair_free(x);
}

/* -- Datagrams --------------------------------------------------------------------------------------------------- */
static void do_datagrams(struct probe *p, void *arg) {
    (void)arg;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(p->w->ops->datagram(p->w, orr_id_of("b"), orr_borrow("abc", 3)), 0);
    static unsigned char big[1201];
    assert_int_equal(p->w->ops->datagram(p->w, orr_id_of("b"), orr_borrow(big, sizeof big)), ORR_EINVALID);
    assert_int_equal(p->w->ops->datagram(p->w, orr_id_of("c"), orr_borrow("abc", 3)), -ENOENT);
}
static void datagrams_are_lost_and_doubled_as_often_as_counted(void **state) {
    (void)state;
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.faults.rate[ORR_SIM_LOSS] = 0.2;
    cfg.faults.rate[ORR_SIM_DUPLICATE] = 0.1;
    cfg.faults.rate[ORR_SIM_REORDER] = 0.1;
    struct pair *x = pair_of(&cfg);
    for (unsigned i = 0; i < 10; i++) probe_do(&x->a, do_datagrams, NULL);
    run_for(x, ORR_SECOND);
    const uint64_t *n = orr_sim_counts(x->sim);
    assert_in_range(n[ORR_SIM_LOSS], 100, 300);
    assert_in_range(n[ORR_SIM_DUPLICATE], 30, 130);
    assert_in_range(n[ORR_SIM_REORDER], 30, 130);
    assert_int_equal(x->tb.grams, 1000 - n[ORR_SIM_LOSS] + n[ORR_SIM_DUPLICATE]);
    orr_sim_cut(x->sim, "a", "b");
    unsigned before = x->tb.grams;
    probe_do(&x->a, do_datagrams, NULL);
    orr_sim_uncut(x->sim, "a", "b");
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.grams, before);
    pair_free(x);
}

static void one_way_of_a_link_may_lose_double_and_reorder(void **state) {
    (void)state;
    struct orr_sim_config cfg;
    struct orr_sim_link link;
    bool cut;
    orr_sim_config_init(&cfg);
    struct pair *x = pair_of(&cfg);
    const uint64_t *n = orr_sim_counts(x->sim);
    assert_int_equal(orr_sim_link_now(x->sim, "a", "b", &link, &cut), 0);
    assert_false(cut);
    assert_int_equal(link.delay, 100 * ORR_US);
    link.loss = 0.2;
    link.duplicate = link.reorder = 0.1;
    assert_int_equal(orr_sim_link(x->sim, "b", "a", &link), 0);
    for (unsigned i = 0; i < 10; i++) probe_do(&x->a, do_datagrams, NULL);
    assert_int_equal(n[ORR_SIM_LOSS] + n[ORR_SIM_DUPLICATE] + n[ORR_SIM_REORDER], 0);
    assert_int_equal(orr_sim_link(x->sim, "a", "b", &link), 0);
    for (unsigned i = 0; i < 10; i++) probe_do(&x->a, do_datagrams, NULL);
    run_for(x, ORR_SECOND);
    assert_in_range(n[ORR_SIM_LOSS], 100, 300);
    assert_in_range(n[ORR_SIM_DUPLICATE], 30, 130);
    assert_in_range(n[ORR_SIM_REORDER], 30, 130);
    assert_int_equal(x->tb.grams, 2000 - n[ORR_SIM_LOSS] + n[ORR_SIM_DUPLICATE]);
    struct burst b = { .frames = 100, .size = 500, .cls = 1 };
    probe_do(&x->a, do_send, &b);
    run_for(x, ORR_SECOND);
    assert_int_equal(x->tb.n_got, 50000);                   /* a stream loses nothing, it is late */
    assert_true(counted(&x->tb));
    link.loss = 1.5;
    assert_int_equal(orr_sim_link(x->sim, "a", "b", &link), ORR_EINVALID);
    assert_int_equal(orr_sim_link_now(x->sim, "a", "c", &link, NULL), -ENOENT);
    pair_free(x);
}

/* -- Clients ----------------------------------------------------------------------------------------------------- */
struct user {
    struct orr_sim_client *client;
    unsigned connected, closed;
    int status;
    size_t n_got;
    char got[100];
    bool close_on_data;
};
static void user_connected(void *ud) {
    struct user *u = ud;
    u->connected++;
    assert_int_equal(orr_sim_client_send(u->client, "ping", 4), 0);
}
static void user_data(void *ud, const void *bytes, size_t size) {
    struct user *u = ud;
    assert_int_equal(u->closed, 0);
    memcpy(u->got + u->n_got, bytes, size);
    u->n_got += size;
    if (u->close_on_data) orr_sim_client_close(u->client);
}
static void user_closed(void *ud, int status) {
    struct user *u = ud;
    u->closed++;
    u->status = status;
}
static const struct orr_sim_client_ops user_ops = { user_connected, user_data, user_closed };

/* Sends back what comes, and hangs up on "bye". */
static void echo(struct probe *p, struct orr_req *req) {
    struct orr_stream_event *e = (struct orr_stream_event *)(void *)req;
    if (req->op != ORR_OP_DATA) return;
    if (e->data.size == 3) {
        p->w->ops->close(p->w, e->stream, true);
    } else {
        assert_int_equal(p->w->ops->send(p->w, e->stream, 0, &e->data, 1), 0);
    }
}

static void a_client_talks_to_a_node_and_each_may_hang_up(void **state) {
    (void)state;
    struct orr_sim_config cfg;
    struct orr_sim *sim;
    struct probe p = { .on_event = echo };
    orr_sim_config_init(&cfg);
    cfg.faults.rate[ORR_SIM_SHORT_READ] = 0;
    assert_int_equal(orr_sim_new(&sim, &cfg), 0);
    assert_int_equal(probe_add(sim, &p, "n1", "n1:80"), 0);
    struct user u = { 0 };
    assert_int_equal(orr_sim_client_new(sim, &u.client, "c1", &user_ops, &u), 0);
    assert_int_equal(orr_sim_client_send(u.client, "x", 1), -ENOTCONN);
    assert_int_equal(orr_sim_client_connect(u.client, "n1:80"), 0);
    assert_int_equal(orr_sim_client_connect(u.client, "n1:80"), -EISCONN);
    orr_sim_run(sim, ORR_SECOND);
    assert_int_equal(u.n_got, 4);
    assert_memory_equal(u.got, "ping", 4);
    assert_int_equal(orr_sim_client_send(u.client, "bye", 3), 0);
    orr_sim_run(sim, 2 * ORR_SECOND);
    assert_int_equal(u.closed, 1);
    assert_int_equal(u.status, 0);
    u = (struct user){ .client = u.client, .close_on_data = true };
    assert_int_equal(orr_sim_client_connect(u.client, "n1:80"), 0);
    orr_sim_run(sim, 3 * ORR_SECOND);
    assert_int_equal(u.closed, 1);
    u = (struct user){ .client = u.client };
    assert_int_equal(orr_sim_client_connect(u.client, "n1:81"), 0);
    orr_sim_run(sim, 4 * ORR_SECOND);
    assert_int_equal(u.connected, 0);
    assert_int_equal(u.status, -ECONNREFUSED);
    assert_int_equal(orr_sim_client_connect(u.client, "n1:80"), 0);
    orr_sim_client_close(u.client);
    assert_int_equal(u.closed, 1);
    orr_sim_run(sim, 5 * ORR_SECOND);
    assert_int_equal(u.closed, 2);
    u = (struct user){ .client = u.client };
    assert_int_equal(orr_sim_client_connect(u.client, "n1:80"), 0);
    orr_sim_run(sim, 6 * ORR_SECOND);
    orr_sim_client_free(u.client);
    orr_sim_run(sim, 7 * ORR_SECOND);
    orr_sim_free(sim);
}

/* Takes an end as the end of one direction: answers it with what it got, once more, and closes. */
static void twice(struct probe *p, struct orr_req *req) {
    static char got[8];
    static size_t n;
    struct orr_stream_event *e = (struct orr_stream_event *)(void *)req;
    struct orr_slice all = orr_borrow(got, sizeof got);
    unsigned *ended = p->ud;
    if (req->op == ORR_OP_ACCEPTED) {
        n = 0;
        e->stream->half = true;
    } else if (req->op == ORR_OP_DATA) {
        assert_true(n + e->data.size <= sizeof got);
        memcpy(got + n, e->data.at, e->data.size);
        n += e->data.size;
        assert_int_equal(p->w->ops->send(p->w, e->stream, 0, &e->data, 1), 0);
    } else if (req->op == ORR_OP_ENDED) {
        ++*ended;
        assert_int_equal(n, 4);                     /* all bytes came before it */
        assert_int_equal(p->w->ops->send(p->w, e->stream, 0, &(struct orr_slice){ NULL, all.at, n }, 1), 0);
        p->w->ops->close(p->w, e->stream, true);
    }
}

static void a_client_that_has_said_all_still_hears_all(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct orr_sim_config cfg;
        struct orr_sim *sim;
        unsigned ended = 0;
        struct probe p = { .on_event = twice, .ud = &ended };
        orr_sim_config_init(&cfg);
        cfg.seed = seed;
        cfg.faults.rate[ORR_SIM_SHORT_READ] = 0.5;
        assert_int_equal(orr_sim_new(&sim, &cfg), 0);
        assert_int_equal(probe_add(sim, &p, "n1", "n1:80"), 0);
        struct user u = { 0 };
        assert_int_equal(orr_sim_client_new(sim, &u.client, "c1", &user_ops, &u), 0);
        assert_int_equal(orr_sim_client_end(u.client), -ENOTCONN);
        assert_int_equal(orr_sim_client_connect(u.client, "n1:80"), 0);
        while (u.connected == 0) assert_true(orr_sim_step(sim));
        assert_int_equal(orr_sim_client_end(u.client), 0);
        assert_int_equal(orr_sim_client_end(u.client), -ENOTCONN);
        assert_int_equal(orr_sim_client_send(u.client, "x", 1), -ENOTCONN);
        orr_sim_run(sim, ORR_SECOND);
        assert_int_equal(ended, 1);
        assert_int_equal(u.n_got, 8);
        assert_memory_equal(u.got, "pingping", 8);
        assert_true(u.closed == 1 && u.status == 0);
        assert_int_equal(orr_sim_counts(sim)[ORR_SIM_HALF_CLOSE], 1);
        u = (struct user){ .client = u.client };    /* ended while it connects, and gone before the answer */
        assert_int_equal(orr_sim_client_connect(u.client, "n1:80"), 0);
        while (u.connected == 0) assert_true(orr_sim_step(sim));
        assert_int_equal(orr_sim_client_end(u.client), 0);
        orr_sim_client_close(u.client);
        orr_sim_run(sim, 2 * ORR_SECOND);
        assert_int_equal(ended, 2);
        assert_true(u.closed == 1 && u.n_got == 0);
        orr_sim_free(sim);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order_however_they_are_cut),
        cmocka_unit_test(a_reader_that_pauses_stops_the_writer_and_room_comes_once),
        cmocka_unit_test(control_overtakes_bulk_at_frame_borders),
        cmocka_unit_test(a_slow_link_takes_its_time),
        cmocka_unit_test(a_flushing_close_delivers_all_and_each_side_hears_closed_once),
        cmocka_unit_test(both_sides_may_close_at_once),
        cmocka_unit_test(closing_before_it_is_open_and_closing_twice_is_closed_once),
        cmocka_unit_test(a_reset_breaks_both_sides_and_what_came_is_a_prefix),
        cmocka_unit_test(nobody_listening_refuses_and_a_far_side_without_answer_times_out),
        cmocka_unit_test(an_answer_to_a_connect_that_does_not_come_breaks_both_sides),
        cmocka_unit_test(a_stream_is_not_used_after_closed),
        cmocka_unit_test(a_cut_holds_bytes_one_way_and_healing_delivers_them),
        cmocka_unit_test(a_stall_that_ends_sooner_holds_nothing_back),
        cmocka_unit_test(a_long_cut_breaks_the_sender_and_leaves_the_other_half_open),
        cmocka_unit_test(peers_of_a_dead_process_hear_of_it_and_those_of_a_silent_host_do_not),
        cmocka_unit_test(datagrams_are_lost_and_doubled_as_often_as_counted),
        cmocka_unit_test(one_way_of_a_link_may_lose_double_and_reorder),
        cmocka_unit_test(a_client_talks_to_a_node_and_each_may_hang_up),
        cmocka_unit_test(a_client_that_has_said_all_still_hears_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
