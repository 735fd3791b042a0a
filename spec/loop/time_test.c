/* time_test.c - the loop's turn: time, alarm, chance, jobs, signals, stopping, and a host that polls. */
#include "support.h"

#include <sched.h>
#include <signal.h>

static struct node node;

static int set_up(void **state) {
    (void)state;
    node_new(&node, NULL);
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    orr_loop_free(node.loop);
    return 0;
}

static void an_alarm_is_never_early_and_prompt_when_the_machine_is(void **state) {
    (void)state;
    unsigned prompt = 0;
    for (unsigned i = 0; prompt < 5; i++) {
        orr_time at = node.w->ops->fresh(node.w) + 2 * ORR_MS;
        unsigned before = node.wakes;
        assert_true(i < 2000);      /* so many are late only where the timer is coarse */
        node.w->ops->alarm(node.w, at, 0);
        while (node.wakes == before) assert_true(orr_loop_step(node.loop, ORR_NEVER) >= 0);
        assert_true(node.loop->now >= at);
        prompt += node.loop->now - at < 200 * ORR_US;
    }
}

static void an_alarm_moved_later_wakes_nobody_at_the_old_time(void **state) {
    (void)state;
    orr_time start = node.w->ops->fresh(node.w);
    node.w->ops->alarm(node.w, start + 2 * ORR_MS, 0);
    assert_int_equal(orr_loop_step(node.loop, 0), 0);
    node.w->ops->alarm(node.w, start + 30 * ORR_MS, 0);
    while (node.wakes == 0) assert_true(orr_loop_step(node.loop, ORR_NEVER) >= 0);
    assert_true(node.w->ops->now(node.w) >= start + 30 * ORR_MS);
    assert_int_equal(node.wakes, 1);
}

static void no_alarm_comes_without_being_asked_for(void **state) {
    (void)state;
    node.w->ops->alarm(node.w, node.w->ops->fresh(node.w) + ORR_MS, 0);
    node.w->ops->alarm(node.w, ORR_NEVER, 0);
    assert_int_equal(orr_loop_deadline(node.loop), ORR_NEVER);
    assert_int_equal(orr_loop_step(node.loop, 5 * ORR_MS), 0);
    assert_int_equal(node.wakes, 0);
}

static void slack_lets_another_turn_serve_the_alarm(void **state) {
    (void)state;
    orr_time start = node.w->ops->fresh(node.w);
    node.w->ops->alarm(node.w, start + ORR_MS, 40 * ORR_MS);
    while (node.wakes == 0) orr_loop_step(node.loop, ORR_NEVER);
    assert_true(node.w->ops->now(node.w) >= start + ORR_MS);
    assert_true(node.w->ops->now(node.w) < start + 10 * ORR_SECOND);
}

static void a_step_waits_no_longer_than_it_may(void **state) {
    (void)state;
    orr_time start = node.w->ops->fresh(node.w);
    node.w->ops->alarm(node.w, start + 3600 * ORR_SECOND, 0);
    assert_int_equal(orr_loop_step(node.loop, 3 * ORR_MS), 0);
    assert_true(node.w->ops->now(node.w) >= start + 3 * ORR_MS);
    assert_int_equal(node.wakes, 0);
}

static void time_never_goes_back(void **state) {
    (void)state;
    orr_time now = node.w->ops->now(node.w), fresh = node.w->ops->fresh(node.w);
    assert_true(fresh >= now);
    orr_loop_step(node.loop, 0);
    assert_true(node.w->ops->now(node.w) >= fresh);
}

static void a_jump_of_the_wall_clock_is_counted(void **state) {
    (void)state;
    struct orr_wall before, after;
    node.w->ops->wall(node.w, &before);
    assert_int_equal(before.steps, 0);
    assert_true(before.realtime > 1600000000 * ORR_SECOND);
    node.loop->wall_offset -= ORR_SECOND;       /* as if it had been a second behind until now */
    node.w->ops->wall(node.w, &after);
    assert_int_equal(after.steps, 1);
    node.w->ops->wall(node.w, &after);
    assert_int_equal(after.steps, 1);
}

static void seeds_depend_on_their_use_and_not_on_order(void **state) {
    (void)state;
    uint64_t a = node.w->ops->seed(node.w, "a"), b = node.w->ops->seed(node.w, "b");
    assert_int_not_equal(a, b);
    assert_int_equal(node.w->ops->seed(node.w, "b"), b);
    assert_int_equal(node.w->ops->seed(node.w, "a"), a);
    struct node other;
    node_new(&other, NULL);
    assert_int_not_equal(other.w->ops->seed(other.w, "a"), a);
    orr_loop_free(other.loop);
    unsigned char x[64] = { 0 }, y[64] = { 0 };
    node.w->ops->secret(node.w, x, sizeof x);
    node.w->ops->secret(node.w, y, sizeof y);
    assert_memory_not_equal(x, y, sizeof x);
}

/* -- Jobs ---------------------------------------------------------------------------------------------------------- */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opens;
    bool open;
    unsigned ran;
};
static void wait_at_gate(void *arg) {
    struct gate *g = arg;
    pthread_mutex_lock(&g->lock);
    while (!g->open) pthread_cond_wait(&g->opens, &g->lock);
    g->ran++;
    pthread_mutex_unlock(&g->lock);
}
static void open_gate(struct gate *g) {
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_broadcast(&g->opens);
    pthread_mutex_unlock(&g->lock);
}

static void jobs_run_elsewhere_and_come_back_once(void **state) {
    (void)state;
    struct gate gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };
    static struct orr_job jobs[50];
    memset(jobs, 0, sizeof jobs);
    for (unsigned i = 0; i < 50; i++) {
        jobs[i].run = wait_at_gate;
        jobs[i].arg = &gate;
        assert_int_equal(node.w->ops->job(node.w, &jobs[i]), 0);
    }
    assert_int_equal(node.loop->jobs.n, 2);
    assert_int_equal(orr_loop_step(node.loop, 0), 0);
    open_gate(&gate);
    UNTIL(&node, node.taken, 50);
    assert_int_equal(gate.ran, 50);
    for (unsigned i = 0; i < 50; i++) assert_int_equal(jobs[i].req.status, 0);
    orr_loop_step(node.loop, 0);
    assert_int_equal(node.taken, 50);
}

static void a_job_that_has_not_begun_can_be_canceled(void **state) {
    (void)state;
    struct gate gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };
    static struct orr_job jobs[5];
    memset(jobs, 0, sizeof jobs);
    for (unsigned i = 0; i < 5; i++) {
        jobs[i].run = wait_at_gate;
        jobs[i].arg = &gate;
        assert_int_equal(node.w->ops->job(node.w, &jobs[i]), 0);
    }
    node.w->ops->cancel(node.w, &jobs[4].req);
    open_gate(&gate);
    UNTIL(&node, node.taken, 5);
    assert_int_equal(gate.ran, 4);
    assert_int_equal(jobs[4].req.status, ORR_ECANCELED);
}

enum { LAPS = 20000 };
static struct orr_job lap_job;
static void do_nothing(void *arg) { (void)arg; }
static void next_lap(struct orr_req *req) {
    (void)req;
    if (node.taken >= LAPS) {
        node.w->ops->stop(node.w, 0, "round");
        return;
    }
    lap_job = (struct orr_job){ .req.done = next_lap, .run = do_nothing };
    assert_int_equal(node.w->ops->job(node.w, &lap_job), 0);
    /* It ends before, while or after we go to sleep. */
    for (volatile unsigned spin = 0; spin < node.taken; spin++) continue;
}
static void no_completion_is_slept_over(void **state) {
    (void)state;
    next_lap(NULL);
    assert_int_equal(orr_loop_run(node.loop), 0);
    assert_int_equal(node.taken, LAPS);
}

/* The ringer waits until its last ring was heard, so that each comes before, while or after the loop goes to sleep. */
struct ringer {
    struct orr_loop *loop;
    atomic_uint rung, heard;
};
static void *ring_and_wait(void *arg) {
    struct ringer *r = arg;
    for (unsigned i = 1; i <= LAPS; i++) {
        for (volatile unsigned spin = 0; spin < i % 4096; spin++) continue;
        atomic_store(&r->rung, i);
        orr_loop_ring(r->loop);
        while (atomic_load(&r->heard) < i) sched_yield();
    }
    return NULL;
}
static void no_ring_is_slept_over(void **state) {
    (void)state;
    struct ringer r = { .loop = node.loop };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ring_and_wait, &r), 0);
    while (atomic_load(&r.heard) < LAPS) {
        assert_int_equal(orr_loop_step(node.loop, ORR_NEVER), 0);
        atomic_store(&r.heard, atomic_load(&r.rung));
    }
    pthread_join(thread, NULL);
    assert_int_equal(node.wakes, 0);
}

static void a_ring_between_steps_holds_for_the_next_one(void **state) {
    (void)state;
    orr_loop_fd(node.loop);
    orr_loop_ring(node.loop);
    orr_loop_fd(node.loop);             /* as a host that polls does before each wait */
    assert_true(orr_loop_deadline(node.loop) <= node.w->ops->now(node.w));
    assert_int_equal(orr_loop_step(node.loop, ORR_NEVER), 0);
    assert_int_equal(orr_loop_deadline(node.loop), ORR_NEVER);
}

static void no_thread_before_it_is_needed(void **state) {
    (void)state;
    assert_int_equal(node.loop->jobs.n, 0);
    assert_false(node.loop->disk.running);
}

/* -- The end ------------------------------------------------------------------------------------------------------- */
static void stop_on_alarm(void *ud) {
    struct node *n = ud;
    n->w->ops->stop(n->w, 7, "enough");
    n->w->ops->stop(n->w, 8, "too late");
}
static void run_gives_the_code_of_the_first_stop(void **state) {
    (void)state;
    int code = 0;
    assert_null(orr_loop_stop_reason(node.loop, &code));
    node.w->wake = stop_on_alarm;
    node.w->ops->alarm(node.w, 1, 0);
    assert_int_equal(orr_loop_run(node.loop), 7);
    assert_string_equal(orr_loop_stop_reason(node.loop, &code), "enough");
    assert_int_equal(code, 7);
    assert_int_equal(orr_loop_step(node.loop, 0), ORR_ECLOSED);
    struct orr_job job = { .run = wait_at_gate };
    assert_int_equal(node.w->ops->job(node.w, &job), ORR_ECLOSED);
}

static unsigned signal_came;
static void on_signal_req(struct node *n, struct orr_req *req) {
    (void)n;
    assert_int_equal(req->op, ORR_OP_SIGNAL);
    signal_came = (unsigned)req->result;
}
static void a_signal_is_a_request_when_asked_for(void **state) {
    (void)state;
    struct node n = { .on = on_signal_req };
    struct orr_loop_config config;
    struct sigaction before, during, after;
    sigaction(SIGHUP, NULL, &before);
    node_config(&n, &config);
    config.signals = true;
    node_new_with(&n, &config);
    sigaction(SIGHUP, NULL, &during);
    assert_true(during.sa_handler != before.sa_handler);
    raise(SIGHUP);
    UNTIL(&n, signal_came, 1);
    assert_int_equal(signal_came, SIGHUP);
    orr_loop_free(n.loop);
    sigaction(SIGHUP, NULL, &after);
    assert_true(after.sa_handler == before.sa_handler);
}

static void the_histogram_counts_every_turn(void **state) {
    (void)state;
    struct orr_world_stats stats;
    uint64_t sum = 0;
    for (unsigned i = 0; i < 10; i++) orr_loop_step(node.loop, 0);
    assert_true(node.w->ops->stats(node.w, &stats));
    for (unsigned i = 0; i < 40; i++) sum += stats.turn_log2_ns[i];
    assert_int_equal(stats.turns, 10);
    assert_int_equal(sum, 10);
}

static void a_wrong_config_is_named(void **state) {
    (void)state;
    struct orr_loop_config config;
    const char *field = NULL;
    struct orr_loop *loop = NULL;
    orr_loop_config_init(&config);
    assert_int_equal(orr_loop_config_check(&config, &field), 0);
    assert_null(field);
    config.patience = 0;
    assert_int_equal(orr_loop_config_check(&config, &field), ORR_EINVALID);
    assert_string_equal(field, "patience");
    assert_int_equal(orr_loop_new(&loop, &config), ORR_EINVALID);
    assert_null(loop);
}

/* The n-th allocation fails, for every n until none does: no crash, no leak. */
struct stingy {
    unsigned left;
};
static void *stingy_alloc(void *ud, void *ptr, size_t old_size, size_t new_size) {
    struct stingy *s = ud;
    if (new_size > 0 && s->left == 0) return NULL;
    if (new_size > 0) s->left--;
    return orr_alloc_libc.fn(orr_alloc_libc.ud, ptr, old_size, new_size);
}
static void a_loop_can_run_out_of_memory_anywhere(void **state) {
    (void)state;
    int error = -ENOMEM;
    unsigned n = 0;
    for (; error != 0; n++) {
        struct stingy stingy = { n };
        struct orr_loop_config config;
        struct orr_loop *loop = NULL;
        orr_loop_config_init(&config);
        config.alloc = (struct orr_alloc){ stingy_alloc, &stingy };
        config.dir = "unused";
        error = orr_loop_new(&loop, &config);
        if (error == 0) orr_loop_free(loop);
        else assert_int_equal(error, -ENOMEM);
    }
    assert_true(n > 2);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(an_alarm_is_never_early_and_prompt_when_the_machine_is),
        T(an_alarm_moved_later_wakes_nobody_at_the_old_time),
        T(no_alarm_comes_without_being_asked_for),
        T(slack_lets_another_turn_serve_the_alarm),
        T(a_step_waits_no_longer_than_it_may),
        T(time_never_goes_back),
        T(a_jump_of_the_wall_clock_is_counted),
        T(seeds_depend_on_their_use_and_not_on_order),
        T(jobs_run_elsewhere_and_come_back_once),
        T(a_job_that_has_not_begun_can_be_canceled),
        T(no_completion_is_slept_over),
        T(no_ring_is_slept_over),
        T(a_ring_between_steps_holds_for_the_next_one),
        T(no_thread_before_it_is_needed),
        T(run_gives_the_code_of_the_first_stop),
        T(a_signal_is_a_request_when_asked_for),
        T(the_histogram_counts_every_turn),
        T(a_wrong_config_is_named),
        T(a_loop_can_run_out_of_memory_anywhere),
    };
    return cmocka_run_group_tests_name("loop.time", tests, NULL, NULL);
}
