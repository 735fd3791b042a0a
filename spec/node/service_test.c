/* service_test.c - what clients may hold of a node's memory: a node without groups in the simulator, and a service that
 * waits for more than ever comes, or answers at great length.                                                        */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/sim.h>

#include "node/inner.h"

enum { CLIENTS = 200, WANT = 1 << 20, ANSWER = 512 << 10, BUDGET = 1960 << 10 };

struct rig {
    struct orr_sim *sim;
    struct orr_node *node;
    struct orr_sim_client *clients[CLIENTS];
    bool up[CLIENTS];
    size_t n;
};
static unsigned char piece[WANT];
static char heard[64];              /* what a client was told last, where it is short */

/* -- The service: 'w' is answered at length, 'W' longer yet, anything else begins something that never ends -------- */
static int hold_open(void *ud, struct orr_conn *c, void **state) {
    (void)ud;
    *state = c;
    return 0;
}
static int64_t hold_data(void *state, struct orr_slice data, size_t *want) {
    *want = WANT;
    if (data.at[0] != 'w' && data.at[0] != 'W') return 0;
    *want = 0;
    for (size_t i = 0; i < (data.at[0] == 'w' ? ANSWER : 3 * ANSWER) / 1024; i++)
        (void)orr_conn_write(state, orr_borrow(piece, 1024));
    return (int64_t)data.size;
}
static void hold_close(void *state) { (void)state; }
static const char *hold_shed(void *state, enum orr_shed why, bool unsaid) {
    (void)state;
    if (unsaid) return why == ORR_SHED_ALONE ? "alone, unsaid" : "together, unsaid";
    return why == ORR_SHED_ALONE ? "alone" : "together";
}
static const struct orr_service hold = {
    .name = "hold", .open = hold_open, .data = hold_data, .close = hold_close, .shed = hold_shed,
};

/* -- The rig ------------------------------------------------------------------------------------------------------- */
static int boot(void *ud, struct orr_world *w, const char *name) {
    struct rig *r = ud;
    struct orr_node_member file = { name, "10.0.0.1:7000", false };
    struct orr_node_config cfg;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = name;
    cfg.nodes = &file;
    cfg.n_nodes = 1;
    cfg.op_bytes_max = 64 << 10;
    cfg.clients_bytes_max = BUDGET;
    int rc = orr_node_new(&r->node, w, &cfg, &(const char *){ NULL });
    if (rc == 0) rc = orr_node_listen(r->node, "hold", "10.0.0.1:7500", &hold, NULL);
    if (rc == 0 && orr_node_limit(r->node, "hole", 0, 0) != ORR_EINVALID) rc = -1;
    if (rc == 0 && orr_node_limit(r->node, "hold", 3 << 20, 2 << 20) != ORR_EINVALID) rc = -1;
    if (rc == 0) rc = orr_node_limit(r->node, "hold", 1400 << 10, 0);
    return rc == 0 ? orr_node_start(r->node) : rc;
}
static void halt(void *ud, const char *name) {
    (void)name;
    struct rig *r = ud;
    orr_node_free(r->node);
    r->node = NULL;
}
static void run(struct rig *r, orr_time for_ns) { orr_sim_run(r->sim, orr_sim_now(r->sim) + for_ns); }
static void on_connected(void *ud) { *(bool *)ud = true; }
static void on_data(void *ud, const void *bytes, size_t size) {
    (void)ud;
    if (size >= sizeof heard) return;
    memcpy(heard, bytes, size);
    heard[size] = '\0';
}
static void on_closed(void *ud, int status) {
    (void)status;
    *(bool *)ud = false;
}
static const struct orr_sim_client_ops client_ops = { on_connected, on_data, on_closed };

static struct rig *rig_new(size_t n_clients) {
    struct rig *r = calloc(1, sizeof *r);
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.seed = 5;
    memset(piece, 'x', sizeof piece);
    assert_int_equal(orr_sim_new(&r->sim, &cfg), 0);
    assert_int_equal(orr_sim_add(r->sim, "n", &(struct orr_sim_boot){ .start = boot, .halt = halt, .ud = r }), 0);
    assert_int_equal(orr_sim_start(r->sim, "n"), 0);
    run(r, ORR_SECOND);
    for (r->n = 0; r->n < n_clients; r->n++) {
        char name[] = { 'c', (char)('A' + r->n / 26), (char)('A' + r->n % 26), '\0' };
        assert_int_equal(orr_sim_client_new(r->sim, &r->clients[r->n], name, &client_ops, &r->up[r->n]), 0);
        assert_int_equal(orr_sim_client_connect(r->clients[r->n], "10.0.0.1:7500"), 0);
    }
    run(r, 100 * ORR_MS);
    return r;
}
static void rig_free(struct rig *r) {
    orr_sim_free(r->sim);
    free(r);
}
static void say(struct rig *r, size_t from, size_t to, const void *bytes, size_t size) {
    for (size_t i = from; i < to; i++) assert_int_equal(orr_sim_client_send(r->clients[i], bytes, size), 0);
}
static size_t ups(const struct rig *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) n += r->up[i];
    return n;
}
static struct orr_node_status status_of(const struct rig *r) {
    struct orr_node_status s;
    orr_node_status(r->node, &s);
    return s;
}

/* -- Tests --------------------------------------------------------------------------------------------------------- */
static void what_is_announced_costs_nothing(void **state) {
    (void)state;
    struct rig *r = rig_new(CLIENTS);
    size_t before = orr_sim_memory(r->sim, "n");
    say(r, 0, CLIENTS, piece, 100);                 /* each wants 1 MiB now */
    run(r, ORR_SECOND);
    assert_int_equal(ups(r), CLIENTS);
    assert_true(status_of(r).clients_bytes > 0 && status_of(r).clients_bytes <= CLIENTS * 1024);
    assert_true(orr_sim_memory(r->sim, "n") - before < 4 << 20);
    rig_free(r);
}

static void who_holds_most_is_closed_first(void **state) {
    (void)state;
    struct rig *r = rig_new(13);
    say(r, 0, 1, piece, 1000 << 10);
    run(r, ORR_SECOND);
    say(r, 1, 13, piece, 40 << 10);
    run(r, ORR_SECOND);
    assert_false(r->up[0]);
    assert_string_equal(heard, "together");
    assert_int_equal(ups(r), 12);
    assert_true(status_of(r).clients_shed == 1 && status_of(r).clients_bytes <= BUDGET);
    for (size_t i = 1; i < 13; i++) orr_sim_client_close(r->clients[i]);
    run(r, ORR_SECOND);
    assert_int_equal(status_of(r).clients_bytes, 0);
    rig_free(r);
}

static void many_together_hold_no_more_than_the_limit(void **state) {
    (void)state;
    struct rig *r = rig_new(CLIENTS);
    size_t before = orr_sim_memory(r->sim, "n"), most = 0;
    say(r, 0, CLIENTS, piece, 200 << 10);           /* 40 MB */
    for (int i = 0; i < 200; i++) {
        run(r, 5 * ORR_MS);
        if (status_of(r).clients_bytes > most) most = status_of(r).clients_bytes;
    }
    assert_true(most > BUDGET / 2 && most <= BUDGET);
    assert_true(status_of(r).clients_shed > 100 && ups(r) > 0);
    assert_true(orr_sim_memory(r->sim, "n") < before + 3 * BUDGET);
    rig_free(r);
}

static void output_that_is_not_read_counts_too(void **state) {
    (void)state;
    struct rig *r = rig_new(8);
    assert_int_equal(orr_sim_cut(r->sim, "n", ORR_SIM_CLIENTS), 0);
    for (int i = 0; i < 3; i++) {                   /* the first answer is on the wire, the others wait */
        say(r, 0, 8, "w", 1);
        run(r, 200 * ORR_MS);
    }
    assert_true(status_of(r).clients_shed > 0 && status_of(r).clients_bytes > 0);
    assert_true(status_of(r).clients_bytes <= BUDGET && status_of(r).clients > 0);
    rig_free(r);
}

static void who_is_owed_more_than_one_may_hold_is_told_and_closed(void **state) {
    (void)state;
    struct rig *r = rig_new(2);
    say(r, 0, 1, "w", 1);
    run(r, ORR_SECOND);
    assert_true(ups(r) == 2 && status_of(r).clients_shed == 0);
    heard[0] = '\0';
    say(r, 0, 1, "W", 1);
    run(r, ORR_SECOND);
    assert_string_equal(heard, "alone, unsaid");
    assert_true(!r->up[0] && r->up[1]);
    assert_true(status_of(r).clients_shed == 1 && status_of(r).clients_bytes == 0);
    rig_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_announced_costs_nothing),
        cmocka_unit_test(who_holds_most_is_closed_first),
        cmocka_unit_test(many_together_hold_no_more_than_the_limit),
        cmocka_unit_test(output_that_is_not_read_counts_too),
        cmocka_unit_test(who_is_owed_more_than_one_may_hold_is_told_and_closed),
    };
    return cmocka_run_group_tests_name("node.service", tests, NULL, NULL);
}
