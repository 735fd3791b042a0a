/* rpc_test.c - calls and casts between hosts: every call is told exactly once, no handler runs twice for one, and what
 * is said of one that failed is true.                                                                                */
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
static void begin(size_t n) {
    rig_new(&r, n, 7);
    rig_run(&r, ORR_SECOND);
    for (size_t i = 0; i < n; i++) assert_int_equal(host(i)->readies, 1);
}

/* -- One call ------------------------------------------------------------------------------------------------------ */
struct order {                      /* a call that a test wants made */
    struct ask a;
    orr_id to;
    const char *name, *args;
    orr_time in;
    int rc;
};
static void make(struct host *h, void *ud) {
    struct order *o = ud;
    o->rc = ask(&o->a, h, o->to, o->name, text(o->args), o->in);
}
static struct order call(size_t from, size_t to, const char *name, const char *args, orr_time in, orr_time run_for) {
    static struct order orders[8];      /* some may still be under way */
    static size_t n;
    struct order *o = &orders[n++ % 8];
    *o = (struct order){ .to = host(to)->id, .name = name, .args = args, .in = in };
    rig_do(host(from), make, o);
    rig_run(&r, run_for);
    return *o;
}

static void it_answers(void **state) {
    (void)state;
    begin(2);
    struct order o = call(0, 1, "echo", "hello", ORR_SECOND, 10 * ORR_MS);
    assert_int_equal(o.rc, 0);
    assert_int_equal(o.a.told, 1);
    assert_int_equal(o.a.status, 0);
    assert_memory_equal(o.a.bytes, "hello", 5);
    assert_int_equal(o.a.size, 5);
    o = call(0, 1, "later", "x", ORR_SECOND, 10 * ORR_MS);
    assert_int_equal(o.a.told, 0);
    o = call(1, 0, "nothing", "x", ORR_SECOND, 20 * ORR_MS);
    assert_int_equal(o.a.status, ORR_EINVALID);
}

static void a_call_to_oneself_goes_the_same_way(void **state) {
    (void)state;
    begin(1);
    struct order o = call(0, 0, "echo", "me", ORR_SECOND, 0);
    assert_int_equal(o.a.told, 1);
    assert_memory_equal(o.a.bytes, "me", 2);
    o = call(0, 0, "nothing", "", ORR_SECOND, 0);
    assert_int_equal(o.a.status, ORR_EINVALID);
    o = call(0, 0, "hold", "", 50 * ORR_MS, 100 * ORR_MS);
    assert_int_equal(o.a.status, ORR_EUNKNOWN);
    assert_int_equal(host(0)->gone, 1);
}

static void wrong_calls_are_refused_at_once(void **state) {
    (void)state;
    static char large[300];
    memset(large, 'x', sizeof large - 1);
    begin(2);
    struct order o = call(0, 1, "", "", ORR_SECOND, 0);
    assert_int_equal(o.rc, ORR_EINVALID);
    o = call(0, 1, large, "", ORR_SECOND, 0);
    assert_int_equal(o.rc, ORR_EINVALID);
    o = call(0, 1, "echo", "", 0, 0);
    assert_int_equal(o.rc, ORR_ETIMEOUT);
    host(1)->id = orr_id_of("stranger");
    o = call(0, 1, "echo", "", ORR_SECOND, 0);
    assert_int_equal(o.rc, ORR_EUNAVAILABLE);
    assert_int_equal(o.a.told, 0);
}

static void small_ops(struct rig *rig, struct orr_node_config *cfg) {
    (void)rig;
    cfg->op_bytes_max = 1 << 16;
}
static void largest(struct host *h, void *ud) {
    struct order *o = ud;
    size_t size = 1 << 20;
    char *bytes = calloc(size, 1);
    o->rc = ask(&o->a, h, o->to, "echo", orr_borrow(bytes, size), ORR_SECOND);
    free(bytes);
}
static void the_largest_message_arrives(void **state) {
    (void)state;
    r.config = small_ops;
    begin(2);
    struct order o = { .to = host(1)->id };
    rig_do(host(0), largest, &o);
    rig_run(&r, 100 * ORR_MS);
    assert_int_equal(o.rc, 0);
    assert_true(o.a.told == 1 && o.a.status == 0);
}

static void deadlines_are_inherited_less_a_reserve(void **state) {
    (void)state;
    begin(2);
    orr_time before = orr_sim_now(r.sim);
    struct order o = call(0, 1, "hold", "", 40 * ORR_MS, 10 * ORR_MS);
    orr_time left = host(1)->asked_deadline - orr_node_now(host(1)->node);
    assert_true(left > 20 * ORR_MS && left < 40 * ORR_MS);
    rig_run(&r, 25 * ORR_MS);
    assert_int_equal(host(1)->gone, 0);
    rig_run(&r, 15 * ORR_MS);
    assert_int_equal(host(1)->gone, 1);
    (void)before, (void)o;
    o = call(0, 1, "hold", "", ORR_NEVER, 10 * ORR_MS);
    assert_true(host(1)->asked_deadline == ORR_NEVER);
}

static struct order held;
static void hold(struct host *h, void *ud) {
    struct order *o = ud;
    o->rc = ask(&o->a, h, o->to, "hold", text(""), o->in);
}
static void cancel(struct host *h, void *ud) {
    (void)h;
    orr_wait_cancel(&((struct order *)ud)->a.w);
}
static void hold_at(size_t from, size_t to, orr_time in) {
    held = (struct order){ .to = host(to)->id, .in = in };
    rig_do(host(from), hold, &held);
    rig_run(&r, 5 * ORR_MS);
}

static void the_callee_says_unknown_before_the_caller_gives_up(void **state) {
    (void)state;
    begin(2);
    orr_time asked = orr_node_now(host(0)->node);
    hold_at(0, 1, 100 * ORR_MS);
    rig_run(&r, 150 * ORR_MS);
    assert_int_equal(held.a.told, 1);
    assert_int_equal(held.a.status, ORR_EUNKNOWN);
    assert_true(held.a.at - asked < 100 * ORR_MS);
}

static void cancelling_reaches_the_callee(void **state) {
    (void)state;
    begin(2);
    hold_at(0, 1, ORR_SECOND);
    assert_int_equal(host(1)->n_held, 1);
    rig_do(host(0), cancel, &held);
    rig_run(&r, 5 * ORR_MS);
    assert_int_equal(held.a.told, 0);
    assert_int_equal(host(1)->gone, 1);
    assert_int_equal(host(1)->n_held, 0);
    rig_run(&r, 2 * ORR_SECOND);
    assert_int_equal(held.a.told, 0);
    rig_do(host(0), cancel, &held);                 /* nothing is under way: nothing happens */
}

static void ask_and_cancel(struct host *h, void *ud) {
    hold(h, ud);
    cancel(h, ud);
}
static void what_was_not_sent_is_withdrawn(void **state) {
    (void)state;
    begin(2);
    held = (struct order){ .to = host(1)->id, .in = ORR_SECOND };
    rig_do(host(0), ask_and_cancel, &held);
    rig_run(&r, 100 * ORR_MS);
    assert_int_equal(held.rc, 0);
    assert_int_equal(host(1)->n_held + host(1)->gone, 0);
    assert_int_equal(held.a.told, 0);
}

static void an_answer_after_the_end_goes_nowhere(void **state) {
    (void)state;
    begin(2);
    hold_at(0, 1, ORR_NEVER);
    assert_int_equal(orr_sim_restart(r.sim, "n1", ORR_SIM_KEPT), 0);
    rig_run(&r, 2 * ORR_SECOND);
    assert_int_equal(held.a.told, 0);               /* who asked is not there any more */
    assert_int_equal(host(1)->gone, 1);
    struct order o = call(0, 1, "echo", "anew", ORR_SECOND, 10 * ORR_MS);
    assert_int_equal(o.a.status, 0);
}

/* -- Connections --------------------------------------------------------------------------------------------------- */
static void a_lost_connection_leaves_it_open(void **state) {
    (void)state;
    begin(2);
    hold_at(0, 1, 10 * ORR_SECOND);
    assert_int_equal(orr_sim_reset(r.sim, "n1", "n2"), 0);
    rig_run(&r, 20 * ORR_MS);
    assert_int_equal(held.a.told, 1);
    assert_int_equal(held.a.status, ORR_EUNKNOWN);
    assert_int_equal(host(1)->gone, 1);
    rig_run(&r, ORR_SECOND);
    struct order o = call(0, 1, "echo", "again", ORR_SECOND, 10 * ORR_MS);
    assert_int_equal(o.a.status, 0);
}

static void a_restarted_callee_is_unknown(void **state) {
    (void)state;
    begin(2);
    hold_at(0, 1, 10 * ORR_SECOND);
    assert_int_equal(orr_sim_restart(r.sim, "n2", ORR_SIM_KEPT), 0);
    rig_run(&r, 3 * ORR_SECOND);
    assert_int_equal(held.a.told, 1);
    assert_int_equal(held.a.status, ORR_EUNKNOWN);
}

static void who_is_away_is_unavailable(void **state) {
    (void)state;
    begin(2);
    assert_int_equal(orr_sim_kill(r.sim, "n2"), 0);
    rig_run(&r, 3 * ORR_SECOND);
    struct order o = call(0, 1, "echo", "x", ORR_SECOND, 0);
    assert_int_equal(o.rc, ORR_EUNAVAILABLE);
}

static void stop_node(struct host *h, void *ud) { orr_node_stop(h->node, ud); }
static void who_leaves_tells_all(void **state) {
    (void)state;
    begin(2);
    hold_at(0, 1, 10 * ORR_SECOND);
    rig_do(host(0), stop_node, "the test asks");
    rig_run(&r, 3 * ORR_SECOND);
    assert_int_equal(held.a.told, 1);
    assert_int_equal(held.a.status, ORR_EUNKNOWN);
    assert_int_equal(host(0)->stops, 1);
    assert_null(host(0)->node);
    assert_int_equal(host(1)->gone, 1);
}

/* -- Pressure ------------------------------------------------------------------------------------------------------ */
static void few_calls(struct rig *rig, struct orr_node_config *cfg) {
    (void)rig;
    cfg->calls_max = 10;
    cfg->message_bytes_max = 64 << 10;
    cfg->peer_bytes_max = 128 << 10;
}
static struct ask many[64];
static int many_rc[64];
static const char *many_name;
static struct orr_slice many_args;
static void ask_many(struct host *h, void *ud) {
    (void)ud;
    for (size_t i = 0; i < 64; i++) orr_wait_cancel(&many[i].w);
    for (size_t i = 0; i < 64; i++) many_rc[i] = ask(&many[i], h, host(1)->id, many_name, many_args, 10 * ORR_SECOND);
}

static void forget_many(void) { memset(many, 0, sizeof many); }

static void too_many_handlers_are_refused(void **state) {
    (void)state;
    r.config = few_calls;
    forget_many();
    begin(2);
    many_name = "hold";
    many_args = text("");
    rig_do(host(0), ask_many, NULL);
    rig_run(&r, 10 * ORR_MS);
    size_t refused = 0;
    for (size_t i = 0; i < 64; i++) refused += many[i].told && many[i].status == ORR_EOVERLOADED;
    assert_int_equal(refused, 54);
    assert_int_equal(host(1)->n_held, 10);
    struct orr_peer_status s;
    assert_true(orr_node_peer(host(0)->node, host(1)->id, &s));
    assert_int_equal(s.calls, 10);
    assert_true(s.up && s.linked);
    assert_string_equal(s.name, "n2");
}

static void a_full_queue_refuses(void **state) {
    (void)state;
    static unsigned char large[16 << 10];
    r.config = few_calls;
    forget_many();
    begin(2);
    many_name = "echo";
    many_args = orr_borrow(large, sizeof large);
    rig_do(host(0), ask_many, NULL);
    rig_run(&r, 100 * ORR_MS);
    size_t refused = 0, done = 0;
    for (size_t i = 0; i < 64; i++) {
        refused += many_rc[i] == ORR_EOVERLOADED;
        done += many[i].told && many[i].status == 0;
        assert_int_equal(many[i].told, many_rc[i] == 0);
    }
    assert_int_equal(done, 7);
    assert_int_equal(refused + done, 64);
}

static size_t cast_rc[2];
static void cast_many(struct host *h, void *ud) {
    (void)ud;
    for (size_t i = 0; i < 1000; i++) {
        cast_rc[orr_node_cast(h->node, host(1)->id, text(i % 10 ? "note" : "nobody"), text("x")) == 0]++;
    }
}
static void casts_arrive(void **state) {
    (void)state;
    begin(2);
    rig_do(host(0), cast_many, NULL);
    rig_run(&r, 10 * ORR_MS);
    assert_int_equal(cast_rc[1], 1000);
    assert_int_equal(host(1)->notes, 900);
    struct orr_node_status s;
    orr_node_status(host(1)->node, &s);
    assert_int_equal(s.casts, 1000);
    assert_int_equal(s.casts_dropped, 100);
    assert_int_equal(s.asked, 0);
}

static void a_stalled_peer_holds_messages_in_bounds(void **state) {
    (void)state;
    static unsigned char large[16 << 10];
    r.config = few_calls;
    forget_many();
    begin(2);
    orr_time until = orr_sim_now(r.sim) + 600 * ORR_MS;
    assert_int_equal(orr_sim_stall(r.sim, "n1", "n2", until), 0);
    many_name = "echo";
    many_args = orr_borrow(large, sizeof large);
    size_t refused = 0;
    for (int i = 0; i < 40; i++) {
        rig_do(host(0), ask_many, NULL);
        for (size_t k = 0; k < 64; k++) refused += many_rc[k] == ORR_EOVERLOADED;
        struct orr_peer_status s;
        assert_true(orr_node_peer(host(0)->node, host(1)->id, &s));
        assert_true(s.queued <= 128 << 10);
    }
    rig_run(&r, 3 * ORR_SECOND);
    assert_true(refused > 39 * 40);
    for (size_t k = 0; k < 64; k++) assert_int_equal(many[k].told, many_rc[k] == 0);
}

/* -- Memory -------------------------------------------------------------------------------------------------------- */
static void ask_and_cast(struct host *h, void *ud) {
    ask_many(h, ud);
    cast_many(h, ud);
}
static void a_warm_node_allocates_nothing(void **state) {
    (void)state;
    forget_many();
    begin(2);
    many_name = "echo";
    many_args = text("x");
    size_t most[2] = { 0, 0 };
    for (int i = 0; i < 90; i++) {
        rig_do(host(0), ask_and_cast, NULL);
        rig_run(&r, 8 * ORR_MS);
        size_t now[2] = { orr_sim_memory(r.sim, "n1"), orr_sim_memory(r.sim, "n2") };
        for (size_t k = 0; k < 2; k++) {            /* (what is on its way just now may vary) */
            if (i >= 45) assert_true(now[k] <= most[k]);
            if (now[k] > most[k]) most[k] = now[k];
        }
    }
}

/* -- An older peer ------------------------------------------------------------------------------------------------- */
static void older(struct host *h, void *ud) {
    (void)ud;
    for (struct orri_link *l = h->node->links; l; l = l->next) l->hello.newest = 1;
}
static void an_older_peer_is_sent_no_frame_that_it_does_not_know(void **state) {
    (void)state;
    begin(2);
    rig_do(host(0), older, NULL);
    struct order o = call(0, 1, "echo", "x", ORR_SECOND, 0);
    assert_int_equal(o.rc, ORR_EUNAVAILABLE);
    struct orr_peer_status s;
    assert_true(orr_node_peer(host(0)->node, host(1)->id, &s));
    assert_false(s.up);
}

/* -- Many, with faults --------------------------------------------------------------------------------------------- */
enum { CALLS = 100000, WINDOW = 40 };
struct one {
    struct ask a;
    uint64_t id;
    bool busy;
};
static struct one window[RIG_MAX][WINDOW];
static uint64_t next_id, told, fates[5];

static void judge(struct orr_wait *w) {
    struct one *o = (struct one *)(void *)w;
    assert_true(o->busy);
    o->busy = false;
    told++;
    unsigned ran = r.ran[o->id];
    if (w->status == 0) {
        assert_true(w->result.size == 8 && orri_get_le(w->result.at, 8) == o->id);
        assert_int_equal(ran, 1);
        fates[0]++;
    } else if (w->status == ORR_EUNKNOWN || w->status == ORR_ECANCELED) {
        fates[1]++;
    } else {
        assert_int_equal(ran, 0);                   /* surely not done */
        r.ran[o->id] = 2;                           /* nor may it be later */
        fates[w->status == ORR_ETIMEOUT ? 2 : w->status == ORR_EUNAVAILABLE ? 3 : 4]++;
    }
}
static orr_time asked_at[RIG_MAX];

static bool ask_at_random(struct host *h) {
    size_t me = (size_t)(h - r.hosts), asks = 0;
    bool any = false;
    if (orr_node_now(h->node) < asked_at[me] + ORR_MS) return false;
    asked_at[me] = orr_node_now(h->node);
    for (size_t i = 0; i < WINDOW && next_id < CALLS && asks < 2; i++) {
        struct one *o = &window[me][i];
        uint64_t dice = orri_rng_below(&r.rng, 100);
        unsigned char id[8];
        if (o->busy && dice == 0) {
            orr_wait_cancel(&o->a.w);
            o->busy = false;
            told++;
        }
        if (o->busy || dice > 60) continue;
        o->id = next_id++;
        asks++;
        orri_put_le(id, o->id, 8);
        o->a.w = (struct orr_wait){ .done = judge };
        o->busy = orr_node_call(h->node, &o->a.w, host(orri_rng_below(&r.rng, r.n))->id, text("count"),
                                orr_borrow(id, 8), orr_node_now(h->node) + (orr_time)(1 + dice) * 2 * ORR_MS) == 0;
        if (!o->busy) {
            assert_int_equal(r.ran[o->id], 0);
            r.ran[o->id] = 2;
            fates[3]++;
        }
        told += !o->busy;
        any = any || o->busy;
    }
    return any;
}
static void crashed(struct host *h) {
    size_t me = (size_t)(h - r.hosts);
    for (size_t i = 0; i < WINDOW; i++) {
        told += window[me][i].busy;                 /* nobody is there who could be told */
        window[me][i].busy = false;
    }
}
static void each_call_is_told_once_whatever_happens(void **state) {
    (void)state;
    struct orr_sim_faults rates = { 0 };
    r.halted = crashed;
    rig_new(&r, 4, 11);
    for (size_t i = 0; i < 4; i++) host(i)->turn = ask_at_random;
    orr_sim_faults_default(&rates);
    rates.rate[ORR_SIM_RESTART_EMPTY] = rates.rate[ORR_SIM_RESTART_OLD] = 0;
    rates.rate[ORR_SIM_RESET] = 2;
    rates.rate[ORR_SIM_DELAY] = 0.01;
    orr_sim_chaos(r.sim, &rates, ORR_SECOND, 300 * ORR_SECOND);
    for (int i = 0; i < 300 && next_id < CALLS; i++) rig_run(&r, ORR_SECOND);
    orr_sim_heal(r.sim);
    rig_run(&r, 5 * ORR_SECOND);
    print_message("%llu calls: %llu answered, %llu unknown, %llu out of time, %llu unavailable, %llu overloaded\n",
                  (unsigned long long)next_id, (unsigned long long)fates[0], (unsigned long long)fates[1],
                  (unsigned long long)fates[2], (unsigned long long)fates[3], (unsigned long long)fates[4]);
    assert_int_equal(next_id, CALLS);
    assert_int_equal(told, CALLS);
    assert_true(fates[0] > CALLS / 4 && fates[1] > 0 && fates[3] > 0);
    for (size_t i = 0; i < 4; i++) {
        struct orr_node_status s;
        if (!host(i)->node) continue;
        orr_node_status(host(i)->node, &s);
        assert_int_equal(s.asked, 0);
        assert_int_equal(s.frames_bad, 0);
    }
}

int main(void) {
#define IT(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IT(it_answers),
        IT(a_call_to_oneself_goes_the_same_way),
        IT(wrong_calls_are_refused_at_once),
        IT(the_largest_message_arrives),
        IT(deadlines_are_inherited_less_a_reserve),
        IT(the_callee_says_unknown_before_the_caller_gives_up),
        IT(cancelling_reaches_the_callee),
        IT(what_was_not_sent_is_withdrawn),
        IT(an_answer_after_the_end_goes_nowhere),
        IT(a_lost_connection_leaves_it_open),
        IT(a_restarted_callee_is_unknown),
        IT(who_is_away_is_unavailable),
        IT(who_leaves_tells_all),
        IT(too_many_handlers_are_refused),
        IT(a_full_queue_refuses),
        IT(casts_arrive),
        IT(a_stalled_peer_holds_messages_in_bounds),
        IT(a_warm_node_allocates_nothing),
        IT(an_older_peer_is_sent_no_frame_that_it_does_not_know),
        IT(each_call_is_told_once_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
