/* agree_test.c - replicas whose states differ: whole nodes in the simulator, one of whose machines is led astray by an
 * op that is in no log. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "node/inner.h"
#include "support/counter.h"

enum { NODES_MAX = 5, IDS = 1000 };
#define BEAT (5 * ORR_MS)
#define BOUND (5 * ORR_SECOND)      /* by then a difference has been found, and who is wrong has stopped */

struct cluster;
struct member {
    struct cluster *cluster;
    char name[32], at[48], service[48];
    struct orr_node *node;
    struct orr_group *group;
    struct orr_sim_client *client;
    bool up;
    unsigned done, refused;         /* of its client's writes */
    unsigned char in[COUNTER_ANSWER];
    size_t n_in;
};
struct cluster {
    struct orr_sim *sim;
    size_t n;
    struct member m[NODES_MAX];
    struct orr_node_member file[NODES_MAX];
    uint64_t next;
    bool quiet;
    uint64_t snapshot_bytes;
    unsigned said_corrupt;          /* log lines that say so */
};

/* -- A machine whose digest is a walk over its state --------------------------------------------------------------- */
static struct orr_machine_ops costly;
static const struct orr_machine_ops *machine = &counter_machine;
static uint64_t walks;
static uint64_t walk(const void *m) {
    walks++;
    return counter_machine.digest(m);
}
static void use_costly(void) {
    costly = counter_machine;
    costly.digest = walk;
    costly.digest_every = 128;
    machine = &costly;
    walks = 0;
}

/* -- Nodes --------------------------------------------------------------------------------------------------------- */
static void halt(void *ud, const char *name) {
    struct member *m = ud;
    (void)name;
    orr_node_free(m->node);
    m->node = NULL;
    m->group = NULL;
}
static int boot(void *ud, struct orr_world *w, const char *name) {
    struct member *m = ud;
    struct orr_node_config cfg;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = name;
    cfg.nodes = m->cluster->file;
    cfg.n_nodes = m->cluster->n;
    cfg.segment_bytes = 1 << 20;
    cfg.snapshot_bytes = m->cluster->snapshot_bytes;
    int rc = orr_node_new(&m->node, w, &cfg, &(const char *){ NULL });
    struct orr_group_spec spec = { .order = &orr_raft_order, .machine = machine };
    if (rc == 0) rc = orr_node_replicate(m->node, "count", &spec, &m->group);
    if (rc == 0) rc = orr_node_listen(m->node, "counter", m->service, &counter_service, m->group);
    return rc == 0 ? orr_node_start(m->node) : rc;
}
static void on_log(void *ud, orr_time now, const char *node, enum orr_level level, const char *text, size_t size) {
    struct cluster *c = ud;
    if (getenv("VERBOSE")) printf("%9.3f %s %.*s\n", (double)now / 1e9, node, (int)size, text);
    char copy[600];
    snprintf(copy, sizeof copy, "%.*s", (int)size, text);
    if (level == ORR_LOG_ERROR && strstr(copy, "CORRUPT")) c->said_corrupt++;
}

/* -- Clients: one for each node, which writes again and again ------------------------------------------------------ */
static void on_connected(void *ud) { ((struct member *)ud)->up = true; }
static void on_data(void *ud, const void *bytes, size_t size) {
    struct member *m = ud;
    for (const unsigned char *at = bytes; size; at++, size--) {
        m->in[m->n_in++] = *at;
        if (m->n_in < COUNTER_ANSWER) continue;
        m->n_in = 0;
        if (m->in[0] == '+') m->done++;
        else m->refused++;
    }
}
static void on_closed(void *ud, int status) {
    struct member *m = ud;
    (void)status;
    m->up = false;
    m->n_in = 0;
}
static const struct orr_sim_client_ops client_ops = { on_connected, on_data, on_closed };

static void beat(void *ud) {
    struct cluster *c = ud;
    for (size_t i = 0; i < c->n; i++) {
        unsigned char request[COUNTER_REQUEST] = { 'W' };
        orri_put_le(request + 1, c->next++ % IDS, 8);
        if (!c->m[i].up) (void)orr_sim_client_connect(c->m[i].client, c->m[i].service);
        else if (!c->quiet) (void)orr_sim_client_send(c->m[i].client, request, sizeof request);
    }
    assert_int_equal(orr_sim_at(c->sim, orr_sim_now(c->sim) + BEAT, beat, c), 0);
}

/* -- The cluster --------------------------------------------------------------------------------------------------- */
static struct cluster *cluster_with(size_t n, uint64_t seed, uint64_t snapshot_bytes) {
    struct cluster *c = calloc(1, sizeof *c);
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.log = on_log;
    cfg.ud = c;
    c->n = n;
    c->snapshot_bytes = snapshot_bytes;
    counter_pad = 0;
    assert_int_equal(orr_sim_new(&c->sim, &cfg), 0);
    for (size_t i = 0; i < n; i++) {
        struct member *m = &c->m[i];
        m->cluster = c;
        snprintf(m->name, sizeof m->name, "n%zu", i + 1);
        snprintf(m->at, sizeof m->at, "10.0.0.%zu:7000", i + 1);
        snprintf(m->service, sizeof m->service, "10.0.0.%zu:7500", i + 1);
        c->file[i] = (struct orr_node_member){ m->name, m->at, true };
    }
    for (size_t i = 0; i < n; i++) {
        struct member *m = &c->m[i];
        struct orr_sim_boot b = { .start = boot, .halt = halt, .ud = m };
        assert_int_equal(orr_sim_add(c->sim, m->name, &b), 0);
        assert_int_equal(orr_sim_start(c->sim, m->name), 0);
        assert_int_equal(orr_sim_client_new(c->sim, &m->client, m->name, &client_ops, m), 0);
    }
    beat(c);
    orr_sim_run(c->sim, 4 * ORR_SECOND);
    for (size_t i = 0; i < n; i++) assert_true(c->m[i].done > 50);
    return c;
}
static struct cluster *cluster_new(size_t n, uint64_t seed) { return cluster_with(n, seed, 64 << 20); }
static void cluster_free(struct cluster *c) {
    orr_sim_free(c->sim);
    free(c);
}
static void run(struct cluster *c, orr_time for_ns) { orr_sim_run(c->sim, orr_sim_now(c->sim) + for_ns); }

/* One op that nobody else has: a difference of one count in the table. */
static void lead_astray(struct member *m, uint64_t id) {
    unsigned char op[8];
    orri_put_le(op, id, 8);
    assert_int_equal(counter_machine.apply(m->group->machine, &m->group->at, orr_borrow(op, 8), NULL), 0);
}
static size_t corrupt(const struct cluster *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) n += c->m[i].group && orr_group_corrupt(c->m[i].group);
    return n;
}
static struct member *leader_of(struct cluster *c) {
    for (size_t i = 0; i < c->n; i++) {
        const char *leader = c->m[i].group ? orr_group_leader(c->m[i].group) : NULL;
        if (leader && strcmp(leader, c->m[i].name) == 0) return &c->m[i];
    }
    return NULL;
}
static bool serves(struct cluster *c, struct member *m) {
    unsigned done = m->done;
    run(c, ORR_SECOND);
    return m->done > done + 50;
}

/* -- Specs --------------------------------------------------------------------------------------------------------- */
static void reports_read_as_written_and_nothing_else_does(void **state) {
    (void)state;
    unsigned char bytes[ORRI_AGREE_SIZE + 1];
    struct orri_report in = { true, { 77, UINT64_MAX - 5 } }, out;
    orri_report_write(bytes, &in);
    assert_int_equal(orri_report_read(orr_borrow(bytes, ORRI_AGREE_SIZE), &out), 0);
    assert_true(out.asks && out.mark.index == 77 && out.mark.digest == UINT64_MAX - 5);
    assert_int_equal(orri_report_read(orr_borrow(bytes, ORRI_AGREE_SIZE + 1), &out), 0);      /* a later, longer one */
    for (size_t n = 0; n < ORRI_AGREE_SIZE; n++)
        assert_int_equal(orri_report_read(orr_borrow(bytes, n), &out), ORR_EINVALID);
    bytes[0] = 2;
    assert_int_equal(orri_report_read(orr_borrow(bytes, ORRI_AGREE_SIZE), &out), ORR_EINVALID);
}

static void one_astray_is_stopped_and_the_others_go_on(size_t n, uint64_t seed, bool the_leader) {
    struct cluster *c = cluster_new(n, seed);
    struct member *wrong = leader_of(c);
    if (!the_leader) wrong = wrong == &c->m[0] ? &c->m[1] : &c->m[0];
    lead_astray(wrong, IDS + 1);
    run(c, BOUND);
    assert_int_equal(corrupt(c), 1);
    assert_true(orr_group_corrupt(wrong->group));
    assert_true(c->said_corrupt >= n / 2 + 1);      /* each of those that know says so */
    assert_true(leader_of(c) && leader_of(c) != wrong);
    for (size_t i = 0; i < n; i++) assert_true(serves(c, &c->m[i]) == (&c->m[i] != wrong));
    unsigned refused = wrong->refused;
    run(c, ORR_SECOND);
    assert_true(wrong->refused > refused + 50);
    orr_sim_kill(c->sim, wrong->name);              /* a start builds its state anew, from the log */
    run(c, ORR_SECOND);
    assert_int_equal(orr_sim_start(c->sim, wrong->name), 0);
    run(c, BOUND);
    assert_true(corrupt(c) == 0 && serves(c, wrong));
    assert_int_equal(counter_of(wrong->group, IDS + 1), 0);
    cluster_free(c);
}
static void a_follower_in_the_minority_stops(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) one_astray_is_stopped_and_the_others_go_on(3, seed, false);
}
static void a_leader_in_the_minority_stops_and_leads_no_more(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) one_astray_is_stopped_and_the_others_go_on(3, seed, true);
    one_astray_is_stopped_and_the_others_go_on(5, 6, true);
}

static void a_quiet_cluster_finds_it_after_its_last_write(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 21);
    run(c, 130 * ORR_MS);
    lead_astray(&c->m[2], IDS + 1);
    run(c, 20 * ORR_MS);
    c->quiet = true;
    run(c, BOUND);
    assert_true(corrupt(c) == 1 && orr_group_corrupt(c->m[2].group));
    cluster_free(c);
}

static void a_costly_digest_is_taken_seldom_and_finds_it_all_the_same(void **state) {
    (void)state;
    use_costly();
    one_astray_is_stopped_and_the_others_go_on(3, 3, false);
    struct cluster *c = cluster_new(3, 22);
    run(c, ORR_SECOND);
    uint64_t before = walks;
    orr_index from = c->m[0].group->at.index;
    run(c, 2 * ORR_SECOND);
    orr_index applied = c->m[0].group->at.index - from;
    print_message("%llu entries, %llu walks on three replicas\n", (unsigned long long)applied,
                  (unsigned long long)(walks - before));
    assert_true(applied > 300 && walks - before < 3 * applied / 10);
    lead_astray(&c->m[2], IDS + 1);
    c->quiet = true;                                /* found at rest */
    run(c, BOUND);
    assert_true(corrupt(c) == 1 && orr_group_corrupt(c->m[2].group));
    cluster_free(c);
    machine = &counter_machine;
}

static void without_a_majority_all_stop(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 31);
    for (size_t i = 0; i < 3; i++) lead_astray(&c->m[i], IDS + i);
    run(c, BOUND);
    assert_int_equal(corrupt(c), 3);
    for (size_t i = 0; i < 3; i++) assert_false(serves(c, &c->m[i]));
    cluster_free(c);
}

static void two_that_differ_stop_when_the_third_is_away_for_long(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 41);
    struct member *away = leader_of(c) == &c->m[0] ? &c->m[1] : &c->m[0];
    orr_sim_kill(c->sim, away->name);
    run(c, ORR_SECOND);
    lead_astray(leader_of(c), IDS);
    run(c, 4 * BOUND);
    assert_int_equal(corrupt(c), 2);
    cluster_free(c);
}

static void who_has_been_away_is_not_wrong(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 51);
    for (int i = 0; i < 6; i++) {
        struct member *m = &c->m[i % 3];
        orr_sim_kill(c->sim, m->name);
        run(c, ORR_SECOND);
        assert_int_equal(orr_sim_start(c->sim, m->name), 0);
        run(c, 3 * ORR_SECOND);
    }
    assert_true(corrupt(c) == 0 && c->said_corrupt == 0);
    for (size_t i = 0; i < 3; i++) assert_true(serves(c, &c->m[i]));
    cluster_free(c);
}

static void no_snapshot_keeps_what_is_wrong(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct cluster *c = cluster_with(3, seed, 64 << 10);
        struct member *wrong = &c->m[seed % 3];
        struct orr_order_status s;
        run(c, 3 * ORR_SECOND + (orr_time)seed * 130 * ORR_MS);
        assert_true(orr_group_status(wrong->group, &s) && s.snapshot > 0);
        lead_astray(wrong, IDS + 1);
        run(c, BOUND);
        assert_true(corrupt(c) == 1 && orr_group_corrupt(wrong->group));
        assert_int_equal(orr_sim_restart(c->sim, wrong->name, ORR_SIM_KEPT), 0);
        run(c, BOUND);
        assert_true(corrupt(c) == 0 && serves(c, wrong));
        assert_int_equal(counter_of(wrong->group, IDS + 1), 0);
        cluster_free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_read_as_written_and_nothing_else_does),
        cmocka_unit_test(a_follower_in_the_minority_stops),
        cmocka_unit_test(a_leader_in_the_minority_stops_and_leads_no_more),
        cmocka_unit_test(a_quiet_cluster_finds_it_after_its_last_write),
        cmocka_unit_test(a_costly_digest_is_taken_seldom_and_finds_it_all_the_same),
        cmocka_unit_test(without_a_majority_all_stop),
        cmocka_unit_test(two_that_differ_stop_when_the_third_is_away_for_long),
        cmocka_unit_test(who_has_been_away_is_not_wrong),
        cmocka_unit_test(no_snapshot_keeps_what_is_wrong),
    };
    return cmocka_run_group_tests_name("node.agree", tests, NULL, NULL);
}
