/* host_test.c - the host's life and its turn, and groups as it sees them: here, and from nodes without a replica. */
#include "host_rig.h"

static struct rig r;

static int set_up(void **state) {
    memset(&r, 0, sizeof r);
    *state = &r;
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    rig_free(&r);
    return 0;
}
static struct host *host(size_t i) { return &r.hosts[i]; }
static void begin(size_t n, size_t replicas) {
    r.replicas = replicas;
    rig_new(&r, n, 5);
    rig_run(&r, 2 * ORR_SECOND);
}

/* -- Proposing and reading ----------------------------------------------------------------------------------------- */
struct asked {
    struct orr_wait w;              /* first */
    struct orr_sink sink;
    int64_t value;
    unsigned told, values;
    int status, rc;
    uint64_t id;
    bool read;
    orr_time in;
    unsigned char bytes[8];
    struct host *from;
};
static struct asked *of_sink(struct orr_sink *s) { return ORRI_OWNER(s, struct asked, sink); }
static void on_nil(struct orr_sink *s) { of_sink(s)->values++; }
static void on_integer(struct orr_sink *s, int64_t v) {
    of_sink(s)->value = v;
    of_sink(s)->values++;
}
static void on_text(struct orr_sink *s, const void *at, size_t size) { (void)at, (void)size, of_sink(s)->values++; }
static void on_status(struct orr_sink *s, const char *word) { (void)word, of_sink(s)->values++; }
static void on_error(struct orr_sink *s, int code, const char *t) { (void)code, (void)t, of_sink(s)->values++; }
static void on_array(struct orr_sink *s, size_t n) { (void)n, of_sink(s)->values++; }
static const struct orr_sink_ops sink_ops = { on_nil, on_integer, on_text, on_status, on_error, on_array };

static void told(struct orr_wait *w) {
    struct asked *a = (struct asked *)(void *)w;
    a->told++;
    a->status = w->status;
    if (a->read && w->status == 0 && !w->sink)
        assert_int_equal(orr_group_query(a->from->group, &w->at, orr_borrow(a->bytes, 8), &a->sink), 0);
}
static void submit(struct host *h, void *ud) {
    struct asked *a = ud;
    orr_time deadline = orr_node_now(h->node) + a->in;
    a->from = h;
    a->sink.ops = &sink_ops;
    a->w.done = told;
    orri_put_le(a->bytes, a->id, 8);
    struct orr_slice bytes = orr_borrow(a->bytes, 8);
    a->rc = a->read ? orr_group_read(h->group, &a->w, bytes, 0, deadline)
                    : orr_group_propose(h->group, &a->w, bytes, deadline);
}
static struct asked *new_asked(uint64_t id, bool read, bool sink) {
    static struct asked all[64];
    static size_t n;
    struct asked *a = &all[n++ % 64];
    assert_null(a->w.under_way);
    *a = (struct asked){ .id = id, .read = read, .in = ORR_SECOND };
    if (sink) a->w.sink = &a->sink;
    return a;
}
static struct asked *propose(size_t i, uint64_t id) {
    struct asked *a = new_asked(id, false, true);
    rig_do(host(i), submit, a);
    return a;
}
static struct asked *read_at(size_t i, uint64_t id, bool sink) {
    struct asked *a = new_asked(id, true, sink);
    rig_do(host(i), submit, a);
    return a;
}

static void its_life_is_told(void **state) {
    (void)state;
    begin(3, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(host(i)->readies, 1);
        assert_int_equal(host(i)->events, ORR_GROUP_LEADER);
        assert_int_equal(host(i)->stops, 0);
    }
}

static int bad_script(struct host *h, const char **why) {
    (void)h;
    *why = "node.lua:3: no such thing";
    return ORR_EFAILED;
}
static void a_declaration_that_fails_stops_the_node(void **state) {
    (void)state;
    host(1)->declare = bad_script;
    begin(2, 0);
    assert_null(host(1)->node);
    assert_int_equal(host(1)->stop_code, 2);
    assert_string_equal(host(1)->why, "node.lua:3: no such thing");
    assert_non_null(host(0)->node);
}

static void *given;
static int create_noting(void **m, const struct orr_machine_config *cfg) {
    given = cfg->ud;
    return counter_machine.create(m, cfg);
}
static int all_sorts(struct host *h, const char **why) {
    static struct orr_machine_ops noting;
    noting = counter_machine;
    noting.create = create_noting;
    struct orr_group_spec spec = { .order = &orr_raft_order, .machine = &noting, .machine_ud = &given };
    struct orr_group *g;
    (void)why;
    assert_int_equal(orr_node_host(h->node, NULL, NULL), ORR_EINVALID);
    assert_int_equal(orr_node_replicate(h->node, "count", &spec, &h->group), 0);
    assert_int_equal(orr_node_replicate(h->node, "count", &spec, &g), ORR_ECONFLICT);
    assert_int_equal(orr_node_listen(h->node, "counter", "10.0.0.1:7500", &counter_service, h->group), 0);
    return 0;
}
static void declare_late(struct host *h, void *ud) {
    struct orr_group_spec spec = { .order = &orr_raft_order, .machine = &counter_machine };
    struct orr_group *g;
    (void)ud;
    assert_int_equal(orr_node_replicate(h->node, "late", &spec, &g), ORR_EINVALID);
}
static void groups_and_listeners_are_declared_in_declare_only(void **state) {
    (void)state;
    host(0)->declare = all_sorts;
    begin(1, 0);
    assert_non_null(host(0)->node);
    rig_do(host(0), declare_late, NULL);
    assert_string_equal(orr_group_name(host(0)->group), "count");
    assert_non_null(orr_group_machine(host(0)->group));
    assert_ptr_equal(given, &given);
}

static void a_proposal_is_answered_where_a_replica_is(void **state) {
    (void)state;
    begin(3, 3);
    for (size_t i = 0; i < 3; i++) {
        struct asked *a = propose(i, 10 + i);
        rig_run(&r, 50 * ORR_MS);
        assert_int_equal(a->rc, 0);
        assert_int_equal(a->told, 1);
        assert_int_equal(a->status, 0);
        assert_int_equal(a->values, 1);
        assert_int_equal(a->value, 1);
        assert_true(a->w.at.index > 0 && a->w.at.term > 0);
        struct asked *q = read_at((i + 1) % 3, 10 + i, i != 1);
        rig_run(&r, 50 * ORR_MS);
        assert_int_equal(q->status, 0);
        assert_int_equal(q->told, 1);
        assert_int_equal(q->value, 1);
    }
}

static void and_where_none_is(void **state) {
    (void)state;
    begin(5, 3);
    struct orr_at at;
    assert_false(orr_group_here(host(4)->group, &at));
    assert_true(orr_group_here(host(0)->group, &at));
    for (size_t i = 0; i < 20; i++) {
        struct asked *a = propose(3 + i % 2, 100 + i);
        rig_run(&r, 200 * ORR_MS);
        assert_int_equal(a->status, 0);
        assert_int_equal(a->told, 1);
        assert_int_equal(a->value, 1);
        assert_true(a->w.at.index > 0);
        struct asked *q = read_at(4 - i % 2, 100 + i, true);
        rig_run(&r, 200 * ORR_MS);
        assert_int_equal(q->status, 0);
        assert_int_equal(q->value, 1);
    }
    struct asked *q = read_at(4, 1, false);
    assert_int_equal(q->rc, ORR_EINVALID);          /* done could ask nobody */
}

static void another_replica_is_asked_where_one_is_away(void **state) {
    (void)state;
    begin(4, 3);
    assert_int_equal(orr_sim_kill(r.sim, "n1"), 0);
    rig_run(&r, 3 * ORR_SECOND);
    struct asked *a = propose(3, 7);
    rig_run(&r, 50 * ORR_MS);
    assert_int_equal(a->status, 0);
    assert_int_equal(a->value, 1);
    assert_int_equal(orr_sim_kill(r.sim, "n2"), 0);
    assert_int_equal(orr_sim_kill(r.sim, "n3"), 0);
    rig_run(&r, 3 * ORR_SECOND);
    a = propose(3, 8);
    assert_int_equal(a->rc, ORR_EUNAVAILABLE);
    assert_int_equal(a->told, 0);
}

static void without_a_leader_nothing_is_done(void **state) {
    (void)state;
    begin(3, 3);
    assert_int_equal(orr_sim_kill(r.sim, "n2"), 0);
    assert_int_equal(orr_sim_kill(r.sim, "n3"), 0);
    rig_run(&r, 3 * ORR_SECOND);
    struct asked *a = propose(0, 21), *b = new_asked(22, false, true), *q = read_at(0, 21, true);
    b->in = 300 * ORR_MS;
    rig_do(host(0), submit, b);
    rig_run(&r, 500 * ORR_MS);
    assert_int_equal(b->told, 1);
    assert_int_equal(b->status, ORR_ENOLEADER);     /* taken out of its batch: surely not done */
    assert_int_equal(a->told, 0);
    assert_int_equal(orr_sim_start(r.sim, "n2"), 0);
    rig_run(&r, 2 * ORR_SECOND);
    assert_int_equal(a->told, 1);
    assert_int_equal(q->told, 1);
    assert_int_equal(counter_of(host(0)->group, 21), a->status == 0);
    assert_int_equal(counter_of(host(0)->group, 22), 0);
}

static void cancel(struct host *h, void *ud) {
    (void)h;
    orr_wait_cancel(&((struct asked *)ud)->w);
}
static void what_was_proposed_stays_proposed(void **state) {
    (void)state;
    begin(4, 3);
    struct asked *a = new_asked(31, false, true), *b = new_asked(32, false, true);
    rig_later_do(host(0), submit, a);
    rig_later_do(host(0), cancel, a);
    rig_later_do(host(3), submit, b);
    rig_later_do(host(3), cancel, b);               /* not sent yet: withdrawn */
    rig_run(&r, 200 * ORR_MS);
    assert_int_equal(a->told + b->told, 0);
    assert_int_equal(a->values, 0);
    assert_int_equal(counter_of(host(0)->group, 31), 1);
    assert_int_equal(counter_of(host(0)->group, 32), 0);
}

/* -- Timers, turns ------------------------------------------------------------------------------------------------- */
static struct ask timers[3];
static orr_time due[3];
static void set_timers(struct host *h, void *ud) {
    (void)ud;
    for (size_t i = 0; i < 3; i++) {
        timers[i] = (struct ask){ .w.done = ask_done, .from = h };
        due[i] = orr_node_now(h->node) + (orr_time)(30 - 10 * i) * ORR_MS;
        assert_int_equal(orr_node_timer(h->node, &timers[i].w, due[i]), 0);
    }
    orr_wait_cancel(&timers[1].w);
}
static void timers_come_when_they_are_due(void **state) {
    (void)state;
    begin(1, 0);
    rig_do(host(0), set_timers, NULL);
    rig_run(&r, 15 * ORR_MS);
    assert_int_equal(timers[2].told, 1);
    assert_int_equal(timers[0].told, 0);
    rig_run(&r, 30 * ORR_MS);
    assert_int_equal(timers[0].told, 1);
    assert_int_equal(timers[1].told, 0);
    assert_true(timers[2].at >= due[2] && timers[0].at >= due[0]);
}

static size_t turns, wanted;
static bool counting(struct host *h) {
    turns++;
    if (!wanted) return false;
    wanted--;
    orr_node_soon(h->node);
    return false;
}
static void want(struct host *h, void *ud) {
    (void)ud;
    wanted = 100;
    orr_node_soon(h->node);
}
static void a_turn_comes_where_it_is_asked_for(void **state) {
    (void)state;
    host(0)->turn = counting;
    begin(1, 0);
    size_t before = turns;
    rig_do(host(0), want, NULL);
    rig_run(&r, 10 * ORR_MS);
    assert_int_equal(wanted, 0);
    assert_true(turns - before >= 100);
    before = turns;
    rig_run(&r, 100 * ORR_MS);
    assert_true(turns - before < 400);              /* it does not spin: there is a tick each millisecond */
}

/* -- Many, with faults, half of the nodes without a replica -------------------------------------------------------- */
enum { OPS = 6000, WINDOW = 8 };
static struct slot {
    struct asked a;
    bool busy;
} window[RIG_MAX][WINDOW];
static enum { OPEN, DONE, NOT_DONE, UNKNOWN } fate[OPS];
static uint64_t next_op;
static size_t fates[4];
static bool quiet;

static void settle(struct slot *s, int status) {
    s->busy = false;
    fate[s->a.id] = status == 0 ? DONE : status == ORR_EUNKNOWN || status == ORR_EFAILED ? UNKNOWN : NOT_DONE;
    fates[fate[s->a.id]]++;
}
static void op_told(struct orr_wait *w) {
    struct slot *s = (struct slot *)(void *)w;
    assert_true(s->busy);
    if (w->status == 0) assert_true(s->a.values == 1 && s->a.value == 1);
    settle(s, w->status);
}
static bool propose_some(struct host *h) {
    struct slot *all = window[h - r.hosts];
    static orr_time last[RIG_MAX];
    bool any = false;
    orr_time now = orr_node_now(h->node);
    if (now < last[h - r.hosts] + 10 * ORR_MS && now >= last[h - r.hosts]) return false;
    last[h - r.hosts] = now;
    for (size_t i = 0; i < WINDOW && next_op < OPS && !quiet; i++) {
        struct slot *s = &all[i];
        if (s->busy || !h->group) continue;
        *s = (struct slot){ .a = { .id = next_op++, .sink.ops = &sink_ops }, .busy = true };
        s->a.w = (struct orr_wait){ .done = op_told, .sink = &s->a.sink };
        orri_put_le(s->a.bytes, s->a.id, 8);
        orr_time in = (orr_time)orri_rng_between(&r.rng, 5, 3000) * ORR_MS;
        int rc = orr_group_propose(h->group, &s->a.w, orr_borrow(s->a.bytes, 8), orr_node_now(h->node) + in);
        if (rc < 0) settle(s, rc);
        any = any || rc == 0;
        break;
    }
    return any;
}
static void forget_ops(struct host *h) {
    struct slot *all = window[h - r.hosts];
    for (size_t i = 0; i < WINDOW; i++) {
        if (all[i].busy) settle(&all[i], ORR_EUNKNOWN);
    }
}
static void what_was_told_holds(void **state) {
    (void)state;
    struct orr_sim_faults rates = { 0 };
    r.replicas = 3;
    r.halted = forget_ops;
    for (size_t i = 0; i < 5; i++) host(i)->turn = propose_some;
    rig_new(&r, 5, 23);
    orr_sim_faults_default(&rates);
    rates.rate[ORR_SIM_RESTART_EMPTY] = rates.rate[ORR_SIM_RESTART_OLD] = 0;
    orr_sim_chaos(r.sim, &rates, ORR_SECOND, 60 * ORR_SECOND);
    for (int i = 0; i < 60 && next_op < OPS; i++) rig_run(&r, ORR_SECOND);
    quiet = true;
    orr_sim_heal(r.sim);
    rig_run(&r, 20 * ORR_SECOND);
    print_message("%llu ops: %zu done, %zu not done, %zu unknown\n", (unsigned long long)next_op, fates[DONE],
                  fates[NOT_DONE], fates[UNKNOWN]);
    assert_true(fates[DONE] > OPS / 10 && fates[NOT_DONE] > 0);
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(host(i)->node);
        for (uint64_t id = 0; id < next_op; id++) {
            unsigned n = counter_of(host(i)->group, id);
            assert_true(fate[id] != OPEN);
            if (n > 1 || (fate[id] == DONE && n != 1) || (fate[id] == NOT_DONE && n != 0))
                fail_msg("op %llu: fate %d, %u times", (unsigned long long)id, (int)fate[id], n);
        }
    }
}

int main(void) {
#define IT(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IT(its_life_is_told),
        IT(a_declaration_that_fails_stops_the_node),
        IT(groups_and_listeners_are_declared_in_declare_only),
        IT(a_proposal_is_answered_where_a_replica_is),
        IT(and_where_none_is),
        IT(another_replica_is_asked_where_one_is_away),
        IT(without_a_leader_nothing_is_done),
        IT(what_was_proposed_stays_proposed),
        IT(timers_come_when_they_are_due),
        IT(a_turn_comes_where_it_is_asked_for),
        IT(what_was_told_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
