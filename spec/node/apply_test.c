/* apply_test.c - a log that is long behind: how much of it goes into the machine in one turn. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/codec.h"
#include "support/counter.h"

static struct {
    struct orr_sim *sim;
    struct orr_sim_client *client;
    struct orr_node *node;
    struct orr_group *group;
    uint64_t id;                    /* the last one asked for */
    /* A machine so slow that each look at the clock finds it 1 ms later: what is applied in a turn all the same. */
    bool slow;
    const struct orr_world_ops *real;
    struct orr_world_ops ops;
    orr_time passed;
    orr_index applied, most;
} t;

static orr_time slow_fresh(struct orr_world *w) { return t.real->now(w) + (t.passed += ORR_MS); }

static void slow_alarm(struct orr_world *w, orr_time at, orr_time slack) {     /* a turn's last act */
    struct orr_order_status s;
    t.real->alarm(w, at, slack);
    t.passed = 0;
    if (!t.group || !orr_group_status(t.group, &s)) return;
    if (s.applied - t.applied > t.most) t.most = s.applied - t.applied;
    t.applied = s.applied;
}

static void slow_down(struct orr_world *w) {
    t.real = w->ops;
    t.ops = *w->ops;
    t.ops.fresh = slow_fresh;
    t.ops.alarm = slow_alarm;
    w->ops = &t.ops;
}

static void halt(void *ud, const char *name) {
    (void)name;
    (void)ud;
    orr_node_free(t.node);
    t.node = NULL;
    t.group = NULL;
}

static int boot(void *ud, struct orr_world *w, const char *name) {
    static const struct orr_node_member nodes[] = { { "n1", "10.0.0.1:7000", true } };
    struct orr_group_spec spec = { .order = &orr_raft_order, .machine = &counter_machine };
    struct orr_node_config cfg;
    const char *why;
    if (t.slow) slow_down(w);
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = name;
    cfg.nodes = nodes;
    cfg.n_nodes = 1;
    int rc = orr_node_new(&t.node, w, &cfg, &why);
    if (rc < 0) return rc;
    rc = orr_node_replicate(t.node, "count", &spec, &t.group);
    if (rc == 0) rc = orr_node_listen(t.node, "counter", "10.0.0.1:7500", &counter_service, t.group);
    if (rc == 0) rc = orr_node_start(t.node);
    if (rc < 0) halt(ud, name);
    return rc;
}

static void on_nothing(void *ud) { (void)ud; }
static void on_answer(void *ud, const void *bytes, size_t size) { (void)ud, (void)bytes, (void)size; }
static void on_closed(void *ud, int status) { (void)ud, (void)status; }

/* One entry each ms. */
static void ask(void *ud) {
    unsigned char request[COUNTER_REQUEST] = { 'W' };
    (void)ud;
    orri_put_le(request + 1, ++t.id, 8);
    (void)orr_sim_client_send(t.client, request, sizeof request);
    if (t.id < 1000) orr_sim_at(t.sim, orr_sim_now(t.sim) + ORR_MS, ask, NULL);
}

static void run(orr_time for_ns) { orr_sim_run(t.sim, orr_sim_now(t.sim) + for_ns); }

static void a_long_log_is_applied_bit_by_bit(void **state) {
    (void)state;
    static const struct orr_sim_client_ops ops = { .connected = on_nothing, .data = on_answer, .closed = on_closed };
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.seed = 3;
    assert_int_equal(orr_sim_new(&t.sim, &cfg), 0);
    assert_int_equal(orr_sim_add(t.sim, "n1", &(struct orr_sim_boot){ .start = boot, .halt = halt, .ud = &t }), 0);
    assert_int_equal(orr_sim_start(t.sim, "n1"), 0);
    run(2 * ORR_SECOND);
    assert_int_equal(orr_sim_client_new(t.sim, &t.client, "c", &ops, NULL), 0);
    assert_int_equal(orr_sim_client_connect(t.client, "10.0.0.1:7500"), 0);
    run(100 * ORR_MS);
    ask(NULL);
    run(5 * ORR_SECOND);
    assert_int_equal(counter_of(t.group, 1000), 1);
    assert_int_equal(orr_sim_kill(t.sim, "n1"), 0);
    t.slow = true;
    assert_int_equal(orr_sim_start(t.sim, "n1"), 0);
    run(5 * ORR_SECOND);
    assert_int_equal(counter_of(t.group, 1000), 1);
    assert_in_range(t.most, 1, 8);
    orr_sim_free(t.sim);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_long_log_is_applied_bit_by_bit) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
