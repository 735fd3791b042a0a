/* clients_test.c - Redis clients of a whole node in the simulator: who shuts his sending side is answered all the
 * same; who holds too much is told so.                                                                               */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/kv.h>
#include <orrery/sim.h>

#include "node/inner.h"

enum { GOT_MAX = 40 << 20, BIG = 1 << 20, SEEDS = 20 };

struct rig {
    struct orr_sim *sim;
    struct orr_node *node;
    struct orr_sim_client *client;
    bool connected, closed;
    int status;
    char *got;
    size_t n_got;
};

static int boot(void *ud, struct orr_world *w, const char *name) {
    struct rig *r = ud;
    struct orr_group *group;
    struct orr_node_member file = { name, "10.0.0.1:7000", false };
    struct orr_node_config cfg;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = name;
    cfg.nodes = &file;
    cfg.n_nodes = 1;
    cfg.segment_bytes = 4 << 20;
    int rc = orr_node_new(&r->node, w, &cfg, &(const char *){ NULL });
    struct orr_group_spec spec = { .order = &orr_raft_order, .machine = &orr_kv_machine };
    if (rc == 0) rc = orr_node_replicate(r->node, "kv", &spec, &group);
    if (rc == 0) rc = orr_node_listen(r->node, "resp", "10.0.0.1:7500", &orr_resp_service, group);
    if (rc == 0) rc = orr_node_limit(r->node, "resp", 10 << 20, 11 << 20);
    return rc == 0 ? orr_node_start(r->node) : rc;
}
static void halt(void *ud, const char *name) {
    (void)name;
    struct rig *r = ud;
    orr_node_free(r->node);
    r->node = NULL;
}
static void run(struct rig *r, orr_time for_ns) { orr_sim_run(r->sim, orr_sim_now(r->sim) + for_ns); }
static void on_connected(void *ud) { ((struct rig *)ud)->connected = true; }
static void on_data(void *ud, const void *bytes, size_t size) {
    struct rig *r = ud;
    assert_true(!r->closed && r->n_got + size < GOT_MAX);
    memcpy(r->got + r->n_got, bytes, size);
    r->n_got += size;
}
static void on_closed(void *ud, int status) {
    struct rig *r = ud;
    r->closed = true;
    r->status = status;
}
static const struct orr_sim_client_ops client_ops = { on_connected, on_data, on_closed };

static struct rig *rig_new(uint64_t seed) {
    struct rig *r = calloc(1, sizeof *r);
    struct orr_sim_config cfg;
    r->got = malloc(GOT_MAX);
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.faults.rate[ORR_SIM_SHORT_READ] = 0.3;
    cfg.faults.rate[ORR_SIM_TURN_CUT] = 0.3;
    cfg.faults.rate[ORR_SIM_DELAY] = 0.1;
    assert_int_equal(orr_sim_new(&r->sim, &cfg), 0);
    assert_int_equal(orr_sim_add(r->sim, "n", &(struct orr_sim_boot){ .start = boot, .halt = halt, .ud = r }), 0);
    assert_int_equal(orr_sim_start(r->sim, "n"), 0);
    run(r, 2 * ORR_SECOND);
    assert_int_equal(orr_sim_client_new(r->sim, &r->client, "c", &client_ops, r), 0);
    return r;
}
static void connect(struct rig *r) {
    r->connected = r->closed = false;
    r->n_got = 0;
    assert_int_equal(orr_sim_client_connect(r->client, "10.0.0.1:7500"), 0);
    while (!r->connected) assert_true(orr_sim_step(r->sim));
}
static void rig_free(struct rig *r) {
    orr_sim_free(r->sim);
    free(r->got);
    free(r);
}
static size_t clients(const struct rig *r) {
    struct orr_node_status s;
    orr_node_status(r->node, &s);
    return s.clients;
}
static void say(struct rig *r, const char *text) {
    assert_int_equal(orr_sim_client_send(r->client, text, strlen(text)), 0);
}
/* Everything that was asked is answered, and then the connection is closed. */
static void expect(struct rig *r, const char *answers, size_t size) {
    run(r, 5 * ORR_SECOND);
    assert_true(r->closed && r->status == 0);
    assert_int_equal(r->n_got, size);
    assert_memory_equal(r->got, answers, size);
    assert_int_equal(clients(r), 0);
}

static void all_that_came_before_the_end_is_answered(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rig *r = rig_new(seed);
        char answers[4096];
        size_t size = 0;
        connect(r);
        for (unsigned i = 1; i <= 60; i++) {
            say(r, "SET k v\r\nGET k\r\nINCR n\r\n");
            size += (size_t)snprintf(answers + size, sizeof answers - size, "+OK\r\n$1\r\nv\r\n:%u\r\n", i);
        }
        say(r, "PING\r\n");
        size += (size_t)snprintf(answers + size, sizeof answers - size, "+PONG\r\n");
        assert_int_equal(orr_sim_client_end(r->client), 0);
        expect(r, answers, size);
        connect(r);                                 /* nothing asked */
        assert_int_equal(orr_sim_client_end(r->client), 0);
        expect(r, "", 0);
        connect(r);                                 /* half a command is none */
        say(r, "PING\r\nGET ");
        assert_int_equal(orr_sim_client_end(r->client), 0);
        expect(r, "+PONG\r\n", 7);
        rig_free(r);
    }
}

static void long_answers_are_finished_after_the_end(void **state) {
    (void)state;
    enum { GETS = 32 };
    struct rig *r = rig_new(7);
    char *value = malloc(BIG + 64), *all = malloc((size_t)GETS * (BIG + 64));
    size_t size = 0;
    connect(r);
    int head = snprintf(value, 64, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n", BIG);
    memset(value + head, 'x', BIG);
    memcpy(value + head + BIG, "\r\n", 2);
    assert_int_equal(orr_sim_client_send(r->client, value, (size_t)head + BIG + 2), 0);
    run(r, 2 * ORR_SECOND);
    assert_int_equal(r->n_got, 5);
    r->n_got = 0;
    for (unsigned i = 0; i < GETS; i++) {
        say(r, "GET big\r\n");
        size += (size_t)snprintf(all + size, 64, "$%d\r\n", BIG);
        memset(all + size, 'x', BIG);
        memcpy(all + size + BIG, "\r\n", 2);
        size += BIG + 2;
    }
    assert_int_equal(orr_sim_client_end(r->client), 0);
    expect(r, all, size);
    free(value);
    free(all);
    rig_free(r);
}

static void who_ends_and_goes_leaves_nothing_behind(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rig *r = rig_new(seed);
        connect(r);
        for (unsigned i = 0; i < 100; i++) say(r, "INCR n\r\n");
        assert_int_equal(orr_sim_client_end(r->client), 0);
        if (seed % 2) run(r, ORR_MS);
        orr_sim_client_close(r->client);
        run(r, 5 * ORR_SECOND);
        assert_true(r->closed && clients(r) == 0);
        rig_free(r);
    }
}

static size_t figure(const struct rig *r, const char *name) {
    const char *at = strstr(r->got, name);
    assert_non_null(at);
    return strtoul(at + strlen(name), NULL, 10);
}
static void info(struct rig *r) {
    r->n_got = 0;
    say(r, "INFO clients\r\n");
    run(r, ORR_SECOND);
    r->got[r->n_got] = '\0';
}

/* Two that send one long value each, and never its end: the second one's growth is too much for all. */
static void who_holds_most_is_told_why(void **state) {
    (void)state;
    struct rig *r = rig_new(3);
    struct rig other = { .got = malloc(GOT_MAX) };
    char *part = calloc(1, 6 << 20);
    const char *head = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n";
    assert_int_equal(orr_sim_client_new(r->sim, &other.client, "d", &client_ops, &other), 0);
    assert_int_equal(orr_sim_client_connect(other.client, "10.0.0.1:7500"), 0);
    connect(r);
    info(r);
    assert_true(figure(r, "client_bytes_max:") == 10 << 20 && figure(r, "clients_bytes_max:") == 11 << 20);
    assert_true(figure(r, "clients_shed:") == 0 && figure(r, "clients_bytes:") < 1 << 20);
    struct rig *both[] = { &other, r };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(orr_sim_client_send(both[i]->client, head, strlen(head)), 0);
        for (size_t sent = 0; sent < (i ? 5u << 20 : 6u << 20); sent += 1 << 20) {
            both[i]->n_got = 0;
            assert_int_equal(orr_sim_client_send(both[i]->client, part, 1 << 20), 0);
            run(r, 100 * ORR_MS);
            if (both[i]->closed || (i && other.closed)) break;
        }
    }
    struct rig *shed = other.closed ? &other : r;
    const char *why = "-ERR closed: all clients together hold too much memory here, this one the most\r\n";
    run(r, ORR_SECOND);
    assert_true(other.closed != r->closed && shed->status == 0);
    assert_int_equal(shed->n_got, strlen(why));
    assert_memory_equal(shed->got, why, strlen(why));
    free(part);
    free(other.got);
    rig_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_came_before_the_end_is_answered),
        cmocka_unit_test(long_answers_are_finished_after_the_end),
        cmocka_unit_test(who_ends_and_goes_leaves_nothing_behind),
        cmocka_unit_test(who_holds_most_is_told_why),
    };
    return cmocka_run_group_tests_name("node.clients", tests, NULL, NULL);
}
