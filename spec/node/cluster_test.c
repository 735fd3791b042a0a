/* cluster_test.c - whole nodes in the simulator: a counting machine behind Raft, clients on every node, and what goes
 * wrong.
 *
 * Whatever a client was told must hold at the end on every node: "done" is there exactly once, "not done" is not there,
 * and nothing is there twice, whoever led, died, or was cut off meanwhile.                                           */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/rng.h"
#include "node/frame.h"
#include "node/handshake.h"
#include "support/counter.h"

enum { NODES_MAX = 5, CLIENTS = 4, WINDOW = 8 };
#define BEAT (10 * ORR_MS)

struct cluster;
struct member {
    struct cluster *cluster;
    char name[32], at[48], service[48];
    struct orr_node *node;
    struct orr_group *group;
    int stop_code;
    const struct orri_refused *forged;      /* not NULL: no node, but somebody who answers at its address with this */
    struct orr_world *impostor;
};
enum fate { UNASKED, ASKED, DONE, NOT_DONE, UNKNOWN };
struct client {
    struct cluster *cluster;
    struct orr_sim_client *c;
    size_t node;
    bool up;
    unsigned outstanding;
    unsigned char in[COUNTER_ANSWER];
    size_t n_in;
    uint64_t last_done;             /* an id that was acknowledged to this client; 0: none */
};
struct cluster {
    struct orr_sim *sim;
    size_t n;
    struct member members[NODES_MAX];
    struct orr_node_member file[NODES_MAX];
    struct client clients[CLIENTS];
    unsigned char fate[COUNTER_IDS];
    uint64_t next_id;
    size_t done, unknown, not_done, reads;
    bool quiet;                     /* clients ask nothing new */
    uint64_t snapshot_bytes, segment_bytes;
    struct orr_rng rng;
};

/* -- Nodes --------------------------------------------------------------------------------------------------------- */
static void halt(void *ud, const char *name) {
    struct member *m = ud;
    assert_string_equal(name, m->name);
    orr_node_free(m->node);
    m->node = NULL;
    m->group = NULL;
}
/* Says no to whoever connects, and reads nothing. */
static void forge(void *ud) {
    struct member *m = ud;
    struct orr_world *w = m->impostor;
    for (struct orr_req *req; (req = w->ops->take(w));) {
        const struct orr_stream_event *ev = (const struct orr_stream_event *)(const void *)req;
        if (req->op != ORR_OP_ACCEPTED) continue;
        unsigned char head[ORRI_FRAME_HEAD], bytes[ORRI_REFUSED_MAX];
        struct orr_slice parts[] = { orr_borrow(head, sizeof head),
                                     orr_borrow(bytes, orri_refused_write(m->forged, bytes, sizeof bytes)) };
        orri_frame_head(head, &(struct orri_frame){ .kind = ORRI_FRAME_REFUSED }, parts + 1, 1);
        (void)w->ops->send(w, ev->stream, 0, parts, 2);
        w->ops->close(w, ev->stream, true);
    }
}
static int boot_impostor(struct member *m, struct orr_world *w) {
    m->impostor = w;
    w->wake = forge;
    w->ud = m;
    return w->ops->listen(w, m->at, 0, 100);
}
static int boot(void *ud, struct orr_world *w, const char *name) {
    struct member *m = ud;
    if (m->forged) return boot_impostor(m, w);
    struct orr_node_config cfg;
    const char *why;
    orr_node_config_init(&cfg);
    cfg.cluster = "test";
    cfg.id = m->name;
    cfg.nodes = m->cluster->file;
    cfg.n_nodes = m->cluster->n;
    cfg.memory_bytes_max = 32 << 20;
    cfg.segment_bytes = m->cluster->segment_bytes;
    cfg.snapshot_bytes = m->cluster->snapshot_bytes;
    int rc = orr_node_new(&m->node, w, &cfg, &why);
    if (rc < 0) return rc;
    struct orr_group_spec spec = { .order = &orr_raft_order, .machine = &counter_machine };
    rc = orr_node_replicate(m->node, "count", &spec, &m->group);
    if (rc == 0) rc = orr_node_listen(m->node, "counter", m->service, &counter_service, m->group);
    if (rc == 0) rc = orr_node_start(m->node);
    if (rc < 0) halt(m, name);
    return rc;
}
static bool verbose;
static void on_log(void *ud, orr_time now, const char *node, enum orr_level level, const char *text, size_t size) {
    (void)ud;
    if (verbose) printf("%9.4f %s %d %.*s\n", (double)now / 1e9, node, (int)level, (int)size, text);
}
static void on_event(void *ud, const char *line, size_t size) {
    (void)ud;
    if (verbose && (getenv("EVENTS") || strstr(line, "FAULT"))) printf("%.*s\n", (int)size, line);
}
static void on_life(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why) {
    struct cluster *c = ud;
    if (verbose) printf("%9.4f %s state %d code %d %s\n", (double)now / 1e9, node, (int)state, code, why ? why : "");
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->members[i].name, node) == 0 && state == ORR_SIM_DOWN) c->members[i].stop_code = code;
    }
}

/* -- Clients ------------------------------------------------------------------------------------------------------- */
static void ask(struct client *k) {
    struct cluster *c = k->cluster;
    unsigned char request[COUNTER_REQUEST];
    while (k->up && !c->quiet && k->outstanding < WINDOW && c->next_id < COUNTER_IDS) {
        bool read = k->last_done && orri_rng_below(&c->rng, 4) == 0;
        uint64_t id = read ? k->last_done : c->next_id++;
        request[0] = read ? 'R' : 'W';
        orri_put_le(request + 1, id, 8);
        if (orr_sim_client_send(k->c, request, sizeof request) < 0) {
            if (!read) c->fate[id] = NOT_DONE;
            return;
        }
        if (!read) c->fate[id] = ASKED;
        k->outstanding++;
    }
}
static void on_answer(struct client *k) {
    struct cluster *c = k->cluster;
    uint64_t id = orri_get_le(k->in + 1, 8), value = orri_get_le(k->in + 9, 8);
    k->outstanding--;
    if (c->fate[id] != ASKED) {                     /* a read of what was done */
        assert_true(c->fate[id] == DONE);
        if (k->in[0] == '+') {
            assert_int_equal(value, 1);
            c->reads++;
        }
        return;
    }
    if (k->in[0] == '+') {
        assert_int_equal(value, 1);
        c->fate[id] = DONE;
        c->done++;
        k->last_done = id;
    } else if (k->in[0] == '-') {
        c->fate[id] = NOT_DONE;
        c->not_done++;
    } else {
        c->fate[id] = UNKNOWN;
        c->unknown++;
    }
}
static void on_data(void *ud, const void *bytes, size_t size) {
    struct client *k = ud;
    for (size_t i = 0; i < size; i++) {
        k->in[k->n_in++] = ((const unsigned char *)bytes)[i];
        if (k->n_in < COUNTER_ANSWER) continue;
        k->n_in = 0;
        on_answer(k);
    }
}
static void beat(void *ud) {
    struct client *k = ud;
    ask(k);
    orr_sim_at(k->cluster->sim, orr_sim_now(k->cluster->sim) + BEAT, beat, k);
}
static void on_connected(void *ud) {
    struct client *k = ud;
    k->up = true;
}
static void reconnect(void *ud) {
    struct client *k = ud;
    struct cluster *c = k->cluster;
    if (k->up) return;
    k->node = (k->node + 1) % c->n;
    if (orr_sim_client_connect(k->c, c->members[k->node].service) < 0)
        orr_sim_at(c->sim, orr_sim_now(c->sim) + 50 * ORR_MS, reconnect, k);
}
static void on_closed(void *ud, int status) {
    struct client *k = ud;
    (void)status;
    k->up = false;
    k->outstanding = 0;
    k->n_in = 0;
    orr_sim_at(k->cluster->sim, orr_sim_now(k->cluster->sim) + 50 * ORR_MS, reconnect, k);
}
static const struct orr_sim_client_ops client_ops = { on_connected, on_data, on_closed };

/* -- The cluster --------------------------------------------------------------------------------------------------- */
static struct cluster *cluster_new(size_t n, uint64_t seed) {
    struct cluster *c = calloc(1, sizeof *c);
    struct orr_sim_config cfg;
    verbose = getenv("VERBOSE") != NULL;
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.log = on_log;
    cfg.life = on_life;
    if (verbose) cfg.event = on_event;
    cfg.ud = c;
    cfg.log_level = ORR_LOG_DEBUG;
    c->n = n;
    c->next_id = 1;
    c->snapshot_bytes = 64 << 20;
    c->segment_bytes = 1 << 20;
    counter_pad = 0;
    orri_rng_init(&c->rng, seed);
    assert_int_equal(orr_sim_new(&c->sim, &cfg), 0);
    for (size_t i = 0; i < n; i++) {
        struct member *m = &c->members[i];
        m->cluster = c;
        snprintf(m->name, sizeof m->name, "n%zu", i + 1);
        snprintf(m->at, sizeof m->at, "10.0.0.%zu:7000", i + 1);
        snprintf(m->service, sizeof m->service, "10.0.0.%zu:7500", i + 1);
        c->file[i] = (struct orr_node_member){ m->name, m->at, true };
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(orr_sim_add(c->sim, c->members[i].name,
                                     &(struct orr_sim_boot){ .start = boot, .halt = halt, .ud = &c->members[i] }),
                         0);
    }
    return c;
}
static void start_all(struct cluster *c) {
    for (size_t i = 0; i < c->n; i++) assert_int_equal(orr_sim_start(c->sim, c->members[i].name), 0);
}
static void start_clients(struct cluster *c) {
    for (size_t i = 0; i < CLIENTS; i++) {
        struct client *k = &c->clients[i];
        char name[32];
        snprintf(name, sizeof name, "c%zu", i);
        *k = (struct client){ .cluster = c, .node = i % c->n };
        assert_int_equal(orr_sim_client_new(c->sim, &k->c, name, &client_ops, k), 0);
        reconnect(k);
        beat(k);
    }
}
static void cluster_free(struct cluster *c) {
    orr_sim_free(c->sim);
    free(c);
}
static void run(struct cluster *c, orr_time for_ns) { orr_sim_run(c->sim, orr_sim_now(c->sim) + for_ns); }

static struct member *leader_of(struct cluster *c) {
    struct member *best = NULL;
    orr_term term = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct orr_order_status s;
        if (!c->members[i].node || !orr_group_status(c->members[i].group, &s)) continue;
        if (s.role == ORR_LEADER && s.term >= term) best = &c->members[i], term = s.term;
    }
    return best;
}
/* Of no account: it lost its disk, and the others said so. */
static bool is_out(const struct member *m) {
    struct orr_node_status s;
    if (!m->node) return false;
    orr_node_status(m->node, &s);
    return s.disenfranchised;
}
static bool all_ready(struct cluster *c) {
    for (size_t i = 0; i < c->n; i++) {
        struct orr_node_status s;
        if (!c->members[i].node) return false;
        orr_node_status(c->members[i].node, &s);
        if (!s.ready && !s.disenfranchised) return false;
    }
    return true;
}
static void run_until_ready(struct cluster *c, orr_time at_most) {
    orr_time until = orr_sim_now(c->sim) + at_most;
    while (!all_ready(c) && orr_sim_now(c->sim) < until) run(c, 10 * ORR_MS);
    assert_true(all_ready(c));
}

static struct cluster *ready_cluster(size_t n, uint64_t seed) {
    struct cluster *c = cluster_new(n, seed);
    start_all(c);
    run_until_ready(c, 5 * ORR_SECOND);
    return c;
}
/* With clients, who have been at it for a second. */
static struct cluster *busy_cluster(size_t n, uint64_t seed) {
    struct cluster *c = ready_cluster(n, seed);
    start_clients(c);
    run(c, ORR_SECOND);
    return c;
}

/* Has everybody applied what the furthest has? (A disk may have hung for a while.) */
static bool all_even(struct cluster *c) {
    orr_index most = 0, least = UINT64_MAX;
    for (size_t i = 0; i < c->n; i++) {
        struct orr_order_status s;
        if (is_out(&c->members[i]) || !c->members[i].node || !orr_group_status(c->members[i].group, &s)) continue;
        if (s.last > most) most = s.last;
        if (s.applied < least) least = s.applied;
    }
    return least == most;
}

/* Faults are over and clients silent: all that was promised is there, on every node. */
static void check_promises(struct cluster *c) {
    c->quiet = true;
    run(c, 4 * ORR_SECOND);
    run_until_ready(c, 20 * ORR_SECOND);
    for (int i = 0; i < 150 && !all_even(c); i++) run(c, 100 * ORR_MS);
    const struct member *first = NULL;
    for (size_t i = 0; i < c->n && verbose; i++) {
        struct orr_order_status s;
        if (orr_group_status(c->members[i].group, &s)) {
            printf("%s: role %d term %" PRIu64 " last %" PRIu64 " stored %" PRIu64 " commit %" PRIu64
                   " applied %" PRIu64 " error %d\n",
                   c->members[i].name, (int)s.role, s.term, s.last, s.stored, s.commit, s.applied, s.error);
        }
    }
    for (size_t i = 0; i < c->n; i++) {
        const struct member *m = &c->members[i];
        if (is_out(m)) continue;
        if (!first) first = m;
        assert_true(orr_group_digest(m->group) == orr_group_digest(first->group));
        for (uint64_t id = 1; id < c->next_id; id++) {
            unsigned n = counter_of(m->group, id);
            if (c->fate[id] == DONE ? n != 1 : c->fate[id] == NOT_DONE ? n != 0 : n > 1) {
                fail_msg("%s applied %" PRIu64 " %u times, and the client was told %d", m->name, id, n, c->fate[id]);
            }
        }
    }
    if (verbose) printf("done %zu unknown %zu not done %zu reads %zu\n", c->done, c->unknown, c->not_done, c->reads);
}

/* -- Tests --------------------------------------------------------------------------------------------------------- */
static void one_node_alone_serves(void **state) {
    (void)state;
    struct cluster *c = ready_cluster(1, 1);
    start_clients(c);
    run(c, 2 * ORR_SECOND);
    check_promises(c);
    assert_true(c->done > 1000 && c->reads > 100 && c->not_done == 0 && c->unknown == 0);
    cluster_free(c);
}

static void three_nodes_serve_on_every_node(void **state) {
    (void)state;
    struct cluster *c = ready_cluster(3, 2);
    start_clients(c);
    run(c, 2 * ORR_SECOND);
    check_promises(c);
    assert_true(c->done > 1000 && c->reads > 100 && c->not_done == 0 && c->unknown == 0);
    cluster_free(c);
}

static void the_same_seed_is_the_same_run(void **state) {
    (void)state;
    uint64_t digest[2];
    for (int i = 0; i < 2; i++) {
        struct cluster *c = cluster_new(3, 77);
        start_all(c);
        start_clients(c);
        run(c, 2 * ORR_SECOND);
        digest[i] = orr_sim_digest(c->sim);
        cluster_free(c);
    }
    assert_true(digest[0] == digest[1]);
}

static void leaders_are_killed_again_and_again(void **state) {
    (void)state;
    struct cluster *c = ready_cluster(3, 3);
    start_clients(c);
    for (int i = 0; i < 10; i++) {
        run(c, ORR_SECOND);
        struct member *m = leader_of(c);
        if (!m) continue;
        orr_sim_kill(c->sim, m->name);
        run(c, 700 * ORR_MS);
        assert_int_equal(orr_sim_start(c->sim, m->name), 0);
    }
    check_promises(c);
    assert_true(c->done > 1000);
    cluster_free(c);
}

static void links_are_cut_and_mended(void **state) {
    (void)state;
    struct cluster *c = ready_cluster(5, 4);
    start_clients(c);
    for (int i = 0; i < 12; i++) {
        run(c, 500 * ORR_MS);
        orr_sim_partition(c->sim, 1 + orri_rng_below(&c->rng, 30));
        run(c, 1500 * ORR_MS);
        orr_sim_heal_links(c->sim);
        if (i % 3 == 0) orr_sim_reset(c->sim, c->members[i % 5].name, c->members[(i + 1) % 5].name);
    }
    check_promises(c);
    assert_true(c->done > 1000);
    cluster_free(c);
}

static void snapshots_let_the_log_go_and_bring_a_late_node_up(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 5);
    c->snapshot_bytes = 2 << 20;
    c->segment_bytes = 1 << 20;
    counter_pad = 400;
    start_all(c);
    run_until_ready(c, 5 * ORR_SECOND);
    orr_sim_kill(c->sim, "n3");
    start_clients(c);
    struct orr_order_status s = { 0 };
    for (int i = 0; i < 60 && s.first < 100; i++) {
        run(c, ORR_SECOND);
        struct member *m = leader_of(c);
        if (m) assert_true(orr_group_status(m->group, &s));
    }
    assert_true(s.snapshot > 0 && s.first > 100);
    assert_int_equal(orr_sim_start(c->sim, "n3"), 0);
    run_until_ready(c, 20 * ORR_SECOND);
    for (size_t i = 0; i < 3; i++) {                 /* and each of them loads its own at a start */
        orr_sim_restart(c->sim, c->members[i].name, ORR_SIM_KEPT);
        run_until_ready(c, 20 * ORR_SECOND);
    }
    check_promises(c);
    cluster_free(c);
}

/* The leader's newest snapshot loses a bit, and no log reaches back to where the late one is. */
static void a_snapshot_that_rots_is_taken_anew_for_who_needs_it(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 18);
    c->snapshot_bytes = 2 << 20;
    c->segment_bytes = 1 << 20;
    counter_pad = 400;
    start_all(c);
    run_until_ready(c, 5 * ORR_SECOND);
    orr_sim_kill(c->sim, "n3");
    start_clients(c);
    struct orr_order_status s = { 0 };
    for (int i = 0; i < 60 && s.first < 100; i++) {
        run(c, ORR_SECOND);
        assert_true(orr_group_status(leader_of(c)->group, &s));
    }
    c->quiet = true;
    run(c, ORR_SECOND);
    const struct member *m = leader_of(c);
    assert_true(orr_group_status(m->group, &s));
    orr_index damaged = s.snapshot;
    char newest[64];
    const char *name;
    snprintf(newest, sizeof newest, "-%016" PRIx64 "-", damaged);
    for (size_t i = 0; (name = orr_sim_disk_durable_name(c->sim, m->name, i)) && !strstr(name, newest);) i++;
    assert_non_null(name);
    assert_int_equal(orr_sim_disk_rot(c->sim, m->name, name, 200000), 0);
    assert_int_equal(orr_sim_start(c->sim, "n3"), 0);
    check_promises(c);
    assert_ptr_equal(leader_of(c), m);
    assert_true(orr_group_status(m->group, &s) && s.snapshot > damaged);
    cluster_free(c);
}

static void a_node_that_leaves_hands_over_first(void **state) {
    (void)state;
    struct cluster *c = busy_cluster(3, 6);
    struct member *m = leader_of(c);
    orr_time before = orr_sim_now(c->sim);
    unsigned char leave[COUNTER_REQUEST] = { 'Q' };
    for (size_t i = 0; i < CLIENTS; i++) {
        if (c->clients[i].up && &c->members[c->clients[i].node] == m)
            orr_sim_client_send(c->clients[i].c, leave, sizeof leave);
    }
    while (m->node && orr_sim_now(c->sim) < before + 5 * ORR_SECOND) run(c, ORR_MS);
    assert_null(m->node);
    assert_int_equal(m->stop_code, 0);
    run(c, 100 * ORR_MS);                           /* less than an election would take */
    assert_non_null(leader_of(c));
    assert_int_equal(orr_sim_start(c->sim, m->name), 0);
    check_promises(c);
    cluster_free(c);
}

static void an_emptied_disk_votes_for_nobody(void **state) {
    (void)state;
    struct cluster *c = busy_cluster(3, 7);
    struct orr_node_status s;
    orr_sim_restart(c->sim, "n2", ORR_SIM_EMPTY);
    run(c, 3 * ORR_SECOND);
    orr_node_status(c->members[1].node, &s);
    assert_true(s.disenfranchised && s.peers_up == 0);
    size_t done = c->done;
    run(c, ORR_SECOND);
    assert_true(c->done > done);                    /* the other two go on */
    orr_sim_kill(c->sim, "n1");                     /* two of three, one of them without memory, are no majority */
    run(c, 3 * ORR_SECOND);
    done = c->done;
    run(c, 3 * ORR_SECOND);
    assert_int_equal(c->done, done);
    cluster_free(c);
}

static void an_older_disk_votes_for_nobody(void **state) {
    (void)state;
    struct cluster *c = busy_cluster(3, 8);
    struct orr_node_status s;
    orr_sim_restart(c->sim, "n2", ORR_SIM_OLD);
    run(c, 3 * ORR_SECOND);
    orr_node_status(c->members[1].node, &s);
    assert_true(s.disenfranchised);
    cluster_free(c);
}

/* n3 is away, and somebody else answers at its address. */
static void expect_unbelieved(struct cluster *c, struct orri_refused *forged) {
    struct orr_node_status s, before[2];
    for (size_t i = 0; i < 2; i++) orr_node_status(c->members[i].node, &before[i]);
    c->members[2].forged = forged;
    assert_int_equal(orr_sim_start(c->sim, "n3"), 0);
    run(c, 3 * ORR_SECOND);
    for (size_t i = 0; i < 2; i++) {
        orr_node_status(c->members[i].node, &s);
        assert_true(!s.disenfranchised && s.peers_up == 1 && s.frames_bad > before[i].frames_bad);
    }
    orr_sim_kill(c->sim, "n3");
    c->members[2].forged = NULL;
}

static void a_forged_refusal_changes_nothing(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 12);
    struct orr_node_status s;
    assert_int_equal(orr_sim_start(c->sim, "n1"), 0);
    assert_int_equal(orr_sim_start(c->sim, "n2"), 0);
    run(c, 2 * ORR_SECOND);
    orr_node_status(c->members[0].node, &s);
    struct orri_refused forged = { .reason = ORRI_REFUSED_BIRTH, .text = "you are nobody" };
    expect_unbelieved(c, &forged);
    forged.cluster = s.cluster;                     /* what everybody may know; n3 was never met */
    forged.id = orr_id_of("n3");
    expect_unbelieved(c, &forged);
    assert_int_equal(orr_sim_start(c->sim, "n3"), 0);
    run_until_ready(c, 5 * ORR_SECOND);
    orr_sim_kill(c->sim, "n3");
    forged.reason = ORRI_REFUSED_MEMORY;            /* n3 was met, and had another birth */
    expect_unbelieved(c, &forged);
    assert_int_equal(orr_sim_restart(c->sim, "n1", ORR_SIM_KEPT), 0);
    start_clients(c);
    assert_int_equal(orr_sim_start(c->sim, "n3"), 0);
    run(c, 2 * ORR_SECOND);
    check_promises(c);
    for (size_t i = 0; i < 3; i++) assert_false(is_out(&c->members[i]));
    assert_true(c->done > 0);
    cluster_free(c);
}

static void an_allocation_that_fails_costs_no_promise(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 9);
    size_t ends = 0;
    c->snapshot_bytes = 256 << 10;
    start_all(c);
    run_until_ready(c, 5 * ORR_SECOND);
    start_clients(c);
    for (uint64_t nth = 1; nth < 120; nth++) {
        struct member *m = &c->members[nth % c->n];
        if (nth % 4 == 0) orr_sim_kill(c->sim, m->name);           /* at its start, too */
        if (m->node) (void)orr_sim_arm(c->sim, m->name, ORR_SIM_ALLOC, 1 + nth * 3 % 97);
        else (void)orr_sim_arm(c->sim, m->name, ORR_SIM_ALLOC, 1 + nth % 60);
        if (!m->node) (void)orr_sim_start(c->sim, m->name);
        run(c, 100 * ORR_MS);
        for (size_t i = 0; i < c->n; i++) {
            if (c->members[i].node) continue;
            ends++;
            (void)orr_sim_start(c->sim, c->members[i].name);
        }
    }
    for (size_t i = 0; i < c->n; i++) (void)orr_sim_arm(c->sim, c->members[i].name, ORR_SIM_ALLOC, 0);
    for (size_t i = 0; i < c->n; i++) {
        if (!c->members[i].node) assert_int_equal(orr_sim_start(c->sim, c->members[i].name), 0);
    }
    if (verbose) printf("%zu ends of a node\n", ends);
    check_promises(c);
    assert_true(c->done > 1000);
    cluster_free(c);
}

static void a_full_disk_refuses_writes_and_recovers(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 10);
    counter_pad = 200;
    start_all(c);
    run_until_ready(c, 5 * ORR_SECOND);
    start_clients(c);
    run(c, ORR_SECOND);
    for (size_t i = 0; i < c->n; i++) orr_sim_disk_room(c->sim, c->members[i].name, 1 << 20);
    for (int i = 0; i < 60 && c->not_done == 0; i++) run(c, 500 * ORR_MS);
    assert_true(c->not_done > 0);
    size_t done = c->done;
    run(c, 2 * ORR_SECOND);
    assert_non_null(leader_of(c));                  /* votes and no-ops go on on a full disk */
    orr_sim_kill(c->sim, leader_of(c)->name);
    run(c, 3 * ORR_SECOND);
    assert_non_null(leader_of(c));
    for (size_t i = 0; i < c->n; i++) {
        orr_sim_disk_room(c->sim, c->members[i].name, UINT64_C(1) << 30);
        if (!c->members[i].node) assert_int_equal(orr_sim_start(c->sim, c->members[i].name), 0);
    }
    run(c, 5 * ORR_SECOND);
    assert_true(c->done > done);
    check_promises(c);
    cluster_free(c);
}

static void a_sync_that_fails_ends_the_node(void **state) {
    (void)state;
    struct cluster *c = busy_cluster(3, 11);
    struct member *m = leader_of(c);
    orr_sim_arm(c->sim, m->name, ORR_SIM_SYNC_ERROR, 1);
    run(c, 2 * ORR_SECOND);
    assert_null(m->node);
    assert_int_equal(m->stop_code, 4);
    assert_int_equal(orr_sim_start(c->sim, m->name), 0);
    check_promises(c);
    cluster_free(c);
}

static orr_term term_of(const struct member *m) {
    struct orr_order_status s = { 0 };
    if (m->node) (void)orr_group_status(m->group, &s);
    return s.term;
}
static void sync_takes(struct cluster *c, const struct member *m, orr_time ns) {
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.disk.sync = ns > 0 ? ns : cfg.disk.sync;
    assert_int_equal(orr_sim_disk_speed(c->sim, m->name, &cfg.disk), 0);
}

static void a_leader_whose_disk_hangs_gives_way(void **state) {
    (void)state;
    struct cluster *c = busy_cluster(3, 12);
    struct member *m = leader_of(c);
    orr_term term = term_of(m);
    sync_takes(c, m, 20 * ORR_SECOND);
    run(c, 1250 * ORR_MS);                          /* four election timeouts, and a heartbeat */
    assert_true(leader_of(c) != m);
    assert_int_equal(term_of(leader_of(c)), term + 1);
    size_t done = c->done;
    run(c, ORR_SECOND);
    assert_true(c->done > done + 100);              /* clients of the others are served */
    sync_takes(c, m, 0);
    run(c, 25 * ORR_SECOND);
    assert_int_equal(term_of(leader_of(c)), term + 1);      /* and there leadership stays */
    check_promises(c);
    cluster_free(c);
}

static void a_leader_whose_disk_is_full_gives_way(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 14);
    struct orr_node_status s = { 0 };
    counter_pad = 200;
    start_all(c);
    run_until_ready(c, 5 * ORR_SECOND);
    start_clients(c);
    run(c, ORR_SECOND);
    struct member *m = leader_of(c);
    orr_term term = term_of(m);
    orr_sim_disk_room(c->sim, m->name, 1 << 20);
    for (int i = 0; i < 600 && !s.disk_full; i++) {
        run(c, 50 * ORR_MS);
        orr_node_status(m->node, &s);
    }
    assert_true(s.disk_full);
    run(c, ORR_SECOND);
    assert_true(leader_of(c) && leader_of(c) != m);
    assert_true(term_of(leader_of(c)) <= term + 2);
    term = term_of(leader_of(c));
    size_t done = c->done;
    run(c, ORR_SECOND);
    assert_true(c->done > done + 100 && c->not_done > 0);   /* its own clients are told that it is full */
    orr_sim_kill(c->sim, leader_of(c)->name);       /* then one of two is full; the other one leads */
    run(c, 2 * ORR_SECOND);
    assert_true(leader_of(c) && leader_of(c) != m);
    orr_sim_disk_room(c->sim, m->name, UINT64_C(1) << 30);
    for (size_t i = 0; i < c->n; i++)
        if (!c->members[i].node) assert_int_equal(orr_sim_start(c->sim, c->members[i].name), 0);
    check_promises(c);
    cluster_free(c);
}

static void slow_disks_everywhere_are_no_reason_to_change(void **state) {
    (void)state;
    struct cluster *c = ready_cluster(3, 15);
    start_clients(c);
    orr_term term = term_of(leader_of(c));
    for (size_t i = 0; i < c->n; i++) sync_takes(c, &c->members[i], 1500 * ORR_MS);      /* six election timeouts */
    run(c, 10 * ORR_SECOND);
    size_t done = c->done + c->unknown;
    run(c, 30 * ORR_SECOND);
    assert_true(c->done + c->unknown > done + 100);
    assert_true(term_of(leader_of(c)) <= term + 1);
    struct member *m = leader_of(c);
    term = term_of(m);
    orr_sim_kill(c->sim, m->name);
    run(c, 15 * ORR_SECOND);
    assert_non_null(leader_of(c));
    assert_true(term_of(leader_of(c)) <= term + 2);
    for (size_t i = 0; i < c->n; i++) sync_takes(c, &c->members[i], 0);
    assert_int_equal(orr_sim_start(c->sim, m->name), 0);
    check_promises(c);
    cluster_free(c);
}

static void chaos(uint64_t seed) {
    struct cluster *c = cluster_new(3 + 2 * (seed % 2), seed);
    struct orr_sim_faults rates;
    orr_sim_faults_default(&rates);
    if (seed % 4 == 3) rates.rate[ORR_SIM_ALLOC] = 2e-5;
    c->snapshot_bytes = 1 << 20;
    counter_pad = seed % 3 ? 20 : 300;
    if (verbose) printf("seed %" PRIu64 "\n", seed);
    start_all(c);
    start_clients(c);
    assert_int_equal(orr_sim_chaos(c->sim, &rates, ORR_SECOND, 9 * ORR_SECOND), 0);
    run(c, 10 * ORR_SECOND);
    check_promises(c);
    assert_true(c->done > 100);
    cluster_free(c);
}

static void any_faults_leave_every_promise_standing(void **state) {
    (void)state;
    uint64_t from = 1, to = 6;
    const char *seeds = getenv("SEEDS");
    if (seeds) (void)sscanf(seeds, "%" SCNu64 ":%" SCNu64, &from, &to);
    for (uint64_t seed = from; seed <= to; seed++) {
        chaos(seed);
        if (seeds) printf("seed %" PRIu64 " held\n", seed), fflush(stdout);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node_alone_serves),
        cmocka_unit_test(three_nodes_serve_on_every_node),
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(leaders_are_killed_again_and_again),
        cmocka_unit_test(links_are_cut_and_mended),
        cmocka_unit_test(snapshots_let_the_log_go_and_bring_a_late_node_up),
        cmocka_unit_test(a_snapshot_that_rots_is_taken_anew_for_who_needs_it),
        cmocka_unit_test(a_node_that_leaves_hands_over_first),
        cmocka_unit_test(an_emptied_disk_votes_for_nobody),
        cmocka_unit_test(an_older_disk_votes_for_nobody),
        cmocka_unit_test(a_forged_refusal_changes_nothing),
        cmocka_unit_test(an_allocation_that_fails_costs_no_promise),
        cmocka_unit_test(a_full_disk_refuses_writes_and_recovers),
        cmocka_unit_test(a_sync_that_fails_ends_the_node),
        cmocka_unit_test(a_leader_whose_disk_hangs_gives_way),
        cmocka_unit_test(a_leader_whose_disk_is_full_gives_way),
        cmocka_unit_test(slow_disks_everywhere_are_no_reason_to_change),
        cmocka_unit_test(any_faults_leave_every_promise_standing),
    };
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (getenv("ONLY")) cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests_name("node.cluster", tests, NULL, NULL);
}
