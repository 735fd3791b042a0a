/* node_test.c - a simulated node's life: turns, alarms, clocks, memory, crashes, chance; and that a run is its seed. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "dies.h"
#include "probe.h"

/* -- Life and memory --------------------------------------------------------------------------------------------- */
static void hoard(struct probe *p, void *arg) {
    (void)arg;
    const struct orr_alloc *a = &p->w->alloc;
    void *kept = a->fn(a->ud, NULL, 0, 1000);
    assert_non_null(kept);
    kept = a->fn(a->ud, kept, 1000, 5000);
    assert_non_null(kept);
    void *given_back = a->fn(a->ud, NULL, 0, 77);
    assert_non_null(given_back);
    assert_null(a->fn(a->ud, given_back, 77, 0));
    assert_non_null(p->w->chunks->get(p->w->chunks, 300));
}

static void all_memory_of_a_node_goes_with_it(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct probe p = { 0 };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    size_t fresh = orr_sim_memory(sim, "n1");
    probe_do(&p, hoard, NULL);
    assert_true(orr_sim_memory(sim, "n1") >= fresh + 5300);
    assert_int_equal(orr_sim_kill(sim, "n1"), 0);
    assert_int_equal(orr_sim_memory(sim, "n1"), 0);
    assert_int_equal(p.halts, 1);
    assert_int_equal(orr_sim_kill(sim, "n1"), -EALREADY);
    assert_int_equal(orr_sim_start(sim, "n1"), 0);
    assert_int_equal(orr_sim_start(sim, "n1"), -EALREADY);
    assert_int_equal(orr_sim_memory(sim, "n1"), fresh);
    orr_sim_free(sim);
    assert_int_equal(p.halts, 2);
}

static void fail_third(struct probe *p, void *arg) {
    const struct orr_alloc *a = &p->w->alloc;
    unsigned *got = arg;
    for (unsigned i = 0; i < 5; i++) *got = *got * 2 + (a->fn(a->ud, NULL, 0, 16) != NULL);
}
static void an_allocation_fails_where_it_is_armed(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct probe p = { 0 };
    unsigned got = 0;
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    assert_int_equal(orr_sim_arm(sim, "n1", ORR_SIM_ALLOC, 3), 0);
    probe_do(&p, fail_third, &got);
    assert_int_equal(got, 0x1b);
    orr_sim_free(sim);
}

static void say_stop(struct probe *p, void *arg) { p->w->ops->stop(p->w, 3, arg); }
static void note_life(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why) {
    (void)now;
    char *text = ud;
    snprintf(text + strlen(text), 200 - strlen(text), "%s %d %d %s;", node, (int)state, code, why);
}
static void a_node_may_stop_and_starts_that_fail_leave_it_down(void **state) {
    (void)state;
    char life[200] = "";
    struct orr_sim_config cfg;
    struct orr_sim *sim;
    struct probe p = { 0 };
    orr_sim_config_init(&cfg);
    cfg.life = note_life;
    cfg.ud = life;
    assert_int_equal(orr_sim_new(&sim, &cfg), 0);
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    probe_do(&p, say_stop, (void *)(uintptr_t)"enough");
    assert_int_equal(orr_sim_state(sim, "n1"), ORR_SIM_DOWN);
    assert_int_equal(p.halts, 1);
    p.start_status = ORR_EBUSY;
    assert_int_equal(orr_sim_start(sim, "n1"), ORR_EBUSY);
    assert_int_equal(p.halts, 1);
    assert_string_equal(life, "n1 1 0 start;n1 0 3 enough;n1 0 -1015 start failed;");
    assert_int_equal(orr_sim_start(sim, "n2"), -ENOENT);
    orr_sim_free(sim);
}

static void a_paused_node_takes_no_turn_and_goes_on_later(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct probe p = { 0 };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    orr_sim_run(sim, 10 * ORR_MS);
    unsigned turns = p.turns;
    assert_in_range(turns, 8, 12);
    orr_sim_pause(sim, "n1");
    orr_sim_run(sim, 20 * ORR_MS);
    assert_int_equal(p.turns, turns);
    orr_sim_resume(sim, "n1");
    orr_sim_run(sim, 30 * ORR_MS);
    assert_in_range(p.turns, turns + 8, turns + 12);
    orr_sim_free(sim);
}

static void a_bearer_gives_an_idle_node_a_turn_and_goes_no_further_than_asked(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct probe p = { .idle = true }, q = { 0 };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    while (orr_sim_step_until(sim, 10 * ORR_MS)) continue;
    unsigned turns = p.turns;
    assert_int_equal(orr_sim_poke(sim, "n1"), 0);
    assert_true(orr_sim_step_until(sim, orr_sim_now(sim)));
    assert_int_equal(p.turns, turns + 1);
    assert_int_equal(orr_sim_poke(sim, "n2"), -ENOENT);
    orr_sim_run(sim, 20 * ORR_MS);
    orr_time now = p.w->ops->now(p.w);
    p.w->ops->alarm(p.w, now + ORR_MS, 0);                  /* between turns */
    orr_sim_run(sim, 20 * ORR_MS + ORR_MS / 2);
    assert_int_equal(p.turns, turns + 1);
    orr_sim_run(sim, 22 * ORR_MS);
    assert_int_equal(p.turns, turns + 2);
    orr_sim_kill(sim, "n1");
    assert_int_equal(orr_sim_poke(sim, "n1"), 0);           /* nobody is there */
    assert_false(orr_sim_step_until(sim, orr_sim_now(sim)));
    assert_int_equal(probe_add(sim, &q, "n3", NULL), 0);
    while (orr_sim_step_until(sim, 27 * ORR_MS)) assert_true(orr_sim_now(sim) <= 27 * ORR_MS);
    assert_in_range(q.turns, 3, 6);
    orr_sim_free(sim);
}

static void a_crash_strikes_at_the_delivery_it_is_armed_for(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct probe p = { 0 };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    orr_sim_arm(sim, "n1", ORR_SIM_CRASH, 5);
    orr_sim_run(sim, ORR_SECOND);
    assert_int_equal(orr_sim_state(sim, "n1"), ORR_SIM_DOWN);
    assert_int_equal(p.turns, 4);
    assert_int_equal(orr_sim_counts(sim)[ORR_SIM_CRASH], 1);
    orr_sim_free(sim);
}

/* -- Time -------------------------------------------------------------------------------------------------------- */
struct alarms {
    orr_time due, slack, most;
    unsigned n;
};
static void check_alarm(struct probe *p) {
    struct alarms *a = p->ud;
    orr_time now = p->w->ops->now(p->w);
    if (a->due) {
        assert_true(now >= a->due);
        assert_true(now <= a->due + a->slack + a->slack / 1000 + 10);
        if (now - a->due > a->most) a->most = now - a->due;
    }
    a->due = now + 1 + (orr_time)a->n * 977;
    a->n++;
    p->w->ops->alarm(p->w, a->due, a->slack);
}
static void set_alarm(struct probe *p, void *arg) {
    (void)arg;
    check_alarm(p);
}
static void an_alarm_is_never_early_by_the_node_s_own_clock(void **state) {
    (void)state;
    static const int32_t drifts[] = { 0, 300000, -300000, 1, -1 };
    for (unsigned i = 0; i < 5; i++) {
        struct orr_sim *sim = probe_sim(i);
        struct alarms a = { .slack = 1000 * i };
        struct probe p = { .ud = &a };
        assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
        assert_int_equal(orr_sim_clock(sim, "n1", 0, drifts[i]), 0);
        p.idle = true;
        probe_do(&p, set_alarm, NULL);
        p.on_turn = check_alarm;
        while (a.n < 2000) assert_true(orr_sim_step(sim));
        if (i > 0) assert_true(a.most > a.slack / 2);
        orr_sim_free(sim);
    }
}

struct times {
    orr_time now;
    struct orr_wall wall;
};
static void read_times(struct probe *p, void *arg) {
    struct times *t = arg;
    t->now = p->w->ops->now(p->w);
    p->w->ops->wall(p->w, &t->wall);
}
static void clocks_drift_step_and_begin_anew_at_a_boot(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct probe p = { 0 };
    struct times a, b;
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    orr_sim_clock(sim, "n1", 0, 200000);
    probe_do(&p, read_times, &a);
    orr_time from = orr_sim_now(sim);
    orr_sim_run(sim, from + 100 * ORR_SECOND);
    probe_do(&p, read_times, &b);
    orr_time passed = orr_sim_now(sim) - from;
    assert_in_range(b.now - a.now - passed, passed / 5000 - 10, passed / 5000 + 10);
    assert_in_range(b.wall.realtime - a.wall.realtime - passed, passed / 5000 - 10, passed / 5000 + 10);
    assert_int_equal(b.wall.steps, 0);
    orr_sim_clock(sim, "n1", -30 * ORR_SECOND, 0);
    probe_do(&p, read_times, &a);
    assert_int_equal(a.wall.steps, 1);
    assert_true(a.now > b.now);
    assert_in_range(b.wall.realtime - a.wall.realtime, 29 * ORR_SECOND, 30 * ORR_SECOND);
    orr_time wall;
    int32_t ppb;
    assert_int_equal(orr_sim_clock_now(sim, "n1", &wall, &ppb), 0);
    assert_int_equal(wall, a.wall.realtime);
    assert_int_equal(ppb, 0);
    orr_sim_restart(sim, "n1", ORR_SIM_KEPT);
    probe_do(&p, read_times, &b);
    assert_in_range(b.wall.realtime - a.wall.realtime, 0, 100 * ORR_MS);
    assert_true(b.now - a.now < 0 || b.now - a.now > 100 * ORR_MS);
    orr_sim_free(sim);
}

/* -- Chance ------------------------------------------------------------------------------------------------------ */
struct draws {
    uint64_t x, y, x_again;
    unsigned char secret[2][16];
};
static void draw_all(struct probe *p, void *arg) {
    struct draws *d = arg;
    d->x = p->w->ops->seed(p->w, "x");
    d->y = p->w->ops->seed(p->w, "y");
    d->x_again = p->w->ops->seed(p->w, "x");
    p->w->ops->secret(p->w, d->secret[0], 16);
    p->w->ops->secret(p->w, d->secret[1], 16);
}
static void seeds_are_by_name_and_boot_and_secrets_never_repeat(void **state) {
    (void)state;
    struct draws d[3] = { 0 };
    for (unsigned run = 0; run < 2; run++) {
        struct orr_sim *sim = probe_sim(1);
        struct probe p = { 0 };
        assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
        probe_do(&p, draw_all, &d[run]);
        orr_sim_restart(sim, "n1", ORR_SIM_KEPT);
        probe_do(&p, draw_all, &d[2]);
        orr_sim_free(sim);
    }
    assert_memory_equal(&d[0], &d[1], sizeof d[0]);
    assert_int_equal(d[0].x, d[0].x_again);
    assert_true(d[0].x != d[0].y && d[0].x != d[2].x);
    assert_memory_not_equal(d[0].secret[0], d[0].secret[1], 16);
    assert_memory_not_equal(d[0].secret[0], d[2].secret[0], 16);
    assert_memory_not_equal(d[0].secret[1], d[2].secret[0], 16);
}

static void ask_rare(struct probe *p, void *arg) {
    (void)arg;
    for (unsigned i = 0; i < 10000; i++) {
        (void)ORR_RARE(p->w, "one");
        (void)ORR_RARE(p->w, "two");
    }
}
static void rare_branches_are_taken_now_and_then_and_counted(void **state) {
    (void)state;
    uint64_t most = 0;
    uint64_t least = UINT64_MAX;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct orr_sim *sim = probe_sim(seed);
        struct probe p = { 0 };
        const char *name;
        uint64_t offered, taken;
        assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
        probe_do(&p, ask_rare, NULL);
        assert_true(orr_sim_rare(sim, 0, &name, &offered, &taken));
        if (strcmp(name, "two") != 0) assert_true(orr_sim_rare(sim, 1, &name, &offered, &taken));
        assert_string_equal(name, "two");
        assert_in_range(offered, 50, 150);
        assert_in_range(taken, 0, offered);
        if (taken > most) most = taken;
        if (taken < least) least = taken;
        assert_false(orr_sim_rare(sim, 2, &name, &offered, &taken));
        orr_sim_free(sim);
    }
    assert_int_equal(least, 0);
    assert_true(most > 50);
}

/* -- Turns ------------------------------------------------------------------------------------------------------- */
enum { JOBS = 50 };
struct jobs {
    struct probe_req reqs[JOBS];
    unsigned ran;
};
static void run_job(void *arg) { ++*(unsigned *)arg; }
static void submit_jobs(struct probe *p, void *arg) {
    struct jobs *j = arg;
    for (unsigned i = 0; i < JOBS; i++) {
        j->reqs[i] = (struct probe_req){ .op = ORR_OP_JOB, .u.job = { .run = run_job, .arg = &j->ran, .cost_ns = 0 } };
        probe_submit(p, &j->reqs[i]);
    }
}
static void completions_of_one_instant_come_in_one_turn_unless_it_is_cut(void **state) {
    (void)state;
    for (unsigned cut = 0; cut < 2; cut++) {
        struct orr_sim_config cfg;
        struct orr_sim *sim;
        struct probe p = { 0 };
        struct jobs j = { 0 };
        orr_sim_config_init(&cfg);
        cfg.faults.rate[ORR_SIM_TURN_CUT] = cut ? 0.5 : 0;
        assert_int_equal(orr_sim_new(&sim, &cfg), 0);
        assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
        probe_do(&p, submit_jobs, &j);
        unsigned turns = p.turns;
        for (unsigned i = 0; i < JOBS; i++) probe_wait(&p, &j.reqs[i]);
        assert_int_equal(j.ran, JOBS);
        if (cut) assert_in_range(p.turns - turns, 10, 50);
        if (!cut) assert_int_equal(p.turns - turns, 1);
        orr_sim_free(sim);
    }
}

static void note_call(void *ud) {
    unsigned *n = ud;
    *n = *n * 10 + 1;
}
static void the_harness_s_timers_come_in_order(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    unsigned n = 0;
    assert_int_equal(orr_sim_at(sim, 2 * ORR_SECOND, note_call, &n), 0);
    assert_int_equal(orr_sim_at(sim, ORR_SECOND, note_call, &n), 0);
    assert_int_equal(orr_sim_at(sim, 4 * ORR_SECOND, note_call, &n), 0);
    orr_sim_run(sim, ORR_SECOND);
    assert_int_equal(n, 1);
    orr_sim_run(sim, 3 * ORR_SECOND);
    assert_int_equal(n, 11);
    assert_int_equal(orr_sim_now(sim), 3 * ORR_SECOND);
    assert_true(orr_sim_step(sim));
    assert_false(orr_sim_step(sim));
    orr_sim_free(sim);
}

/* -- Misuse ends the process ------------------------------------------------------------------------------------- */
static struct orr_sim *bad_sim;
static struct probe bad;
static struct probe_req bad_req;
static char bad_bytes[100];

static void bad_begin(void) {
    bad_sim = probe_sim(1);
    (void)probe_add(bad_sim, &bad, "n1", NULL);
    int status;
    struct orr_file *f = probe_open(&bad, "f", ORR_F_CREATE, &status);
    bad_req = (struct probe_req){ .op = ORR_OP_WRITE,
                                  .u.write = { .file = f },
                                  .part = orr_borrow(bad_bytes, sizeof bad_bytes) };
}
static void submit_twice(void) {
    bad_begin();
    probe_do(&bad, probe_submit, &bad_req);
    probe_submit(&bad, &bad_req);
}
static void twice_in_turn(struct probe *p, void *arg) {
    probe_submit(p, arg);
    probe_submit(p, arg);
}
static void submit_twice_in_a_turn(void) {
    bad_begin();
    probe_do(&bad, twice_in_turn, &bad_req);
}
static void change_borrowed_bytes(void) {
    bad_begin();
    probe_do(&bad, probe_submit, &bad_req);
    bad_bytes[50]++;
    orr_sim_run(bad_sim, ORR_SECOND);
}
static void overwrite_a_running_request(void) {
    bad_begin();
    probe_do(&bad, probe_submit, &bad_req);
    memset(&bad_req.u.req, 0, sizeof bad_req.u.req);
    orr_sim_run(bad_sim, ORR_SECOND);
}
static void close_then_write(struct probe *p, void *arg) {
    struct probe_req c = { .op = ORR_OP_CLOSE, .u.file = { .file = bad_req.u.write.file } };
    probe_submit(p, &c);
    probe_submit(p, arg);
}
static void write_after_close(void) {
    bad_begin();
    probe_do(&bad, close_then_write, &bad_req);
}
static void act_outside_a_turn(void) {
    bad_begin();
    bad.w->ops->stop(bad.w, 0, "outside");
}
static void give_back_a_wrong_size(void) {
    bad_begin();
    const struct orr_alloc *a = &bad.w->alloc;
    (void)a->fn(a->ud, a->fn(a->ud, NULL, 0, 10), 11, 0);
}
static void wake_for_ever(struct probe *p) { p->w->ops->alarm(p->w, 0, 0); }
static void never_let_time_pass(void) {
    bad_begin();
    bad.idle = true;
    bad.on_turn = wake_for_ever;
    orr_sim_run(bad_sim, ORR_SECOND);
}

static void what_world_h_forbids_is_an_assertion(void **state) {
    static void (*const forbidden[])(void) = {
        submit_twice, submit_twice_in_a_turn, change_borrowed_bytes, overwrite_a_running_request,
        write_after_close, act_outside_a_turn, give_back_a_wrong_size, never_let_time_pass,
    };
    (void)state;
    for (unsigned i = 0; ASSERTS_ON && i < sizeof forbidden / sizeof *forbidden; i++) assert_true(dies(forbidden[i]));
    assert_false(dies(bad_begin));
}

/* -- A run is its seed ------------------------------------------------------------------------------------------- */
/* A node that sends what it gets to the next one, with a byte of its own, and writes some of it. */
struct ring {
    struct orr_sim *sim;
    struct probe p[3];
    struct orr_stream *next[3];
    struct probe_req writes[3];
    struct orr_file *files[3];
};

static unsigned place_of(const struct probe *p) { return (unsigned)(p->name[1] - '1'); }

static void ring_event(struct probe *p, struct orr_req *req) {
    struct ring *r = p->ud;
    unsigned i = place_of(p);
    struct orr_stream_event *e = (struct orr_stream_event *)(void *)req;
    unsigned char own = (unsigned char)p->w->ops->seed(p->w, "byte");
    if (req->op == ORR_OP_CLOSED && e->stream == r->next[i]) r->next[i] = NULL;
    struct orr_slice parts[2] = { e->data, orr_borrow(&own, 1) };
    if (e->data.size > 200) parts[0] = orr_part_of(e->data, 0, 200);
    if (req->op == ORR_OP_CONNECTED) (void)p->w->ops->send(p->w, e->stream, 0, &parts[1], 1);
    if (req->op == ORR_OP_DATA && r->next[i]) (void)p->w->ops->send(p->w, r->next[i], 0, parts, 2);
}

static void ring_turn(struct probe *p) {
    struct ring *r = p->ud;
    unsigned i = place_of(p);
    char name[3] = "n1";
    char address[5] = "n1:1";
    name[1] = address[1] = (char)('1' + (i + 1) % 3);
    if (!r->next[i]) {
        (void)p->w->ops->peer(p->w, orr_id_of(name), address);
        if (p->w->ops->connect(p->w, orr_id_of(name), &r->next[i]) != 0) abort();
    }
    struct probe_req *w = &r->writes[i];
    if (w->op == ORR_OP_OPEN && w->done && w->u.req.status == 0) {
        struct orr_file *f = w->u.open.file;
        *w = (struct probe_req){ .op = ORR_OP_WRITE,
                                 .u.write = { .file = f, .flags = ORR_W_SYNC },
                                 .part = orr_borrow("x", 1) };
        probe_submit(p, w);
    } else if (w->op == ORR_OP_WRITE && w->done && w->u.req.status == 0) {
        w->u.write.at++;
        probe_submit(p, w);
    }
}

static void ring_start(struct probe *p) {
    struct ring *r = p->ud;
    unsigned i = place_of(p);
    r->next[i] = NULL;
    r->writes[i] = (struct probe_req){ .op = ORR_OP_OPEN, .u.open = { .path = "f", .flags = ORR_F_CREATE } };
    probe_submit(p, &r->writes[i]);
}

static uint64_t ring_run(uint64_t seed, uint64_t flip, bool chaos, uint64_t *events) {
    static const char *const names[] = { "n1", "n2", "n3" };
    static const char *const addresses[] = { "n1:1", "n2:1", "n3:1" };
    struct ring *r = calloc(1, sizeof *r);
    struct orr_sim_faults rates;
    assert_non_null(r);
    r->sim = probe_sim(seed);
    orr_sim_flip(r->sim, flip);
    for (unsigned i = 0; i < 3; i++) {
        r->p[i] = (struct probe){ .on_event = ring_event, .on_turn = ring_turn, .on_start = ring_start, .ud = r };
        assert_int_equal(probe_add(r->sim, &r->p[i], names[i], addresses[i]), 0);
    }
    orr_sim_faults_default(&rates);
    if (chaos) assert_int_equal(orr_sim_chaos(r->sim, &rates, 0, 4 * ORR_SECOND), 0);
    orr_sim_run(r->sim, 5 * ORR_SECOND);
    uint64_t digest = orr_sim_digest(r->sim);
    *events = orr_sim_events(r->sim);
    orr_sim_free(r->sim);
    free(r);
    return digest;
}

static void the_same_seed_gives_the_same_digest_and_another_one_does_not(void **state) {
    (void)state;
    uint64_t digests[10];
    for (uint64_t seed = 0; seed < 10; seed++) {
        uint64_t events, again;
        digests[seed] = ring_run(seed, UINT64_MAX, seed % 2, &events);
        assert_true(events > 10000);
        assert_true(ring_run(seed, UINT64_MAX, seed % 2, &again) == digests[seed]);
        assert_true(again == events);
        for (uint64_t other = 0; other < seed; other++) assert_true(digests[other] != digests[seed]);
    }
}

static void one_flipped_byte_is_another_digest(void **state) {
    (void)state;
    uint64_t events;
    uint64_t plain = ring_run(7, UINT64_MAX, false, &events);
    assert_true(ring_run(7, 0, false, &events) != plain);
    assert_true(ring_run(7, 100000, false, &events) != plain);
    assert_true(ring_run(7, (uint64_t)1 << 60, false, &events) == plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_memory_of_a_node_goes_with_it),
        cmocka_unit_test(an_allocation_fails_where_it_is_armed),
        cmocka_unit_test(a_node_may_stop_and_starts_that_fail_leave_it_down),
        cmocka_unit_test(a_paused_node_takes_no_turn_and_goes_on_later),
        cmocka_unit_test(a_bearer_gives_an_idle_node_a_turn_and_goes_no_further_than_asked),
        cmocka_unit_test(a_crash_strikes_at_the_delivery_it_is_armed_for),
        cmocka_unit_test(an_alarm_is_never_early_by_the_node_s_own_clock),
        cmocka_unit_test(clocks_drift_step_and_begin_anew_at_a_boot),
        cmocka_unit_test(seeds_are_by_name_and_boot_and_secrets_never_repeat),
        cmocka_unit_test(rare_branches_are_taken_now_and_then_and_counted),
        cmocka_unit_test(completions_of_one_instant_come_in_one_turn_unless_it_is_cut),
        cmocka_unit_test(the_harness_s_timers_come_in_order),
        cmocka_unit_test(what_world_h_forbids_is_an_assertion),
        cmocka_unit_test(the_same_seed_gives_the_same_digest_and_another_one_does_not),
        cmocka_unit_test(one_flipped_byte_is_another_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
