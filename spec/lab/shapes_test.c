/* shapes_test.c - every shape in which five nodes may hear each other, up to symmetry, and every place in it of the one
 * that leads when it comes about.
 *
 * A shape is a graph: an edge where two nodes hear each other, both ways. There are 34 of five vertices, and 90 with
 * one vertex marked. Among them are those in which the field has seen leaders lost for good, or elections without end,
 * though a majority is whole:
 *
 *   quorum loss    all hear one node only, and another one leads: it must see that it leads nobody, and the one in the
 *                  middle must win (check quorum, and stickiness that ends)
 *   chained        a leader and one that can't hear it share the nodes in between: it must not disturb these for ever
 *                  (pre-vote, and stickiness)
 *
 * What is owed: where some node hears two others, so a quorum, there is a leader; it and all that hear it answer
 * writes, each of them, and it leads the same term to the end. Where none does, nobody leads.
 *
 * A third of that kind, constrained election, Raft does not promise: the one node that hears a quorum lacks what the
 * others have, so none of them may vote for it. Then there is no leader, but no election without end either, and all is
 * well when the links are. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "kv_cluster.h"

enum { N = 5, EDGES = N * (N - 1) / 2, GRAPHS = 1 << EDGES, PERMUTATIONS = 120 };
#define CUT_AT (2 * ORR_SECOND)
#define SETTLED_AT (8 * ORR_SECOND)
#define ASK_EVERY (500 * ORR_MS)
#define ASK_LAST (13 * ORR_SECOND)
#define JUDGED_AT (14 * ORR_SECOND)

/* -- Graphs -------------------------------------------------------------------------------------------------------- */
static unsigned edge(unsigned a, unsigned b) {
    unsigned low = a < b ? a : b, high = a < b ? b : a;
    return 1u << (high * (high - 1) / 2 + low);
}
static bool hears(unsigned graph, unsigned a, unsigned b) { return a != b && (graph & edge(a, b)); }

static unsigned degree(unsigned graph, unsigned v) {
    unsigned n = 0;
    for (unsigned u = 0; u < N; u++) n += hears(graph, v, u);
    return n;
}

static unsigned permutations[PERMUTATIONS][N];

static void list_permutations(void) {
    unsigned n = 0, p[N];
    for (unsigned code = 0; code < 3125; code++) {         /* 5 to the 5th: all words, of which those without repeats */
        unsigned seen = 0, rest = code;
        for (unsigned i = 0; i < N; i++, rest /= N) seen |= 1u << (p[i] = rest % N);
        if (seen == (1u << N) - 1) memcpy(permutations[n++], p, sizeof p);
    }
    assert_int_equal(n, PERMUTATIONS);
}

/* The least of all that it may be called: two are the same shape where this is the same. */
static unsigned canonical(unsigned graph, unsigned marked, bool with_mark) {
    unsigned least = UINT32_MAX;
    for (unsigned i = 0; i < PERMUTATIONS; i++) {
        const unsigned *p = permutations[i];
        unsigned image = with_mark ? p[marked] << EDGES : 0;
        for (unsigned a = 0; a < N; a++) {
            for (unsigned b = 0; b < a; b++) image |= hears(graph, a, b) ? edge(p[a], p[b]) : 0;
        }
        if (image < least) least = image;
    }
    return least;
}

static void show(unsigned graph, char text[64]) {
    size_t n = 0;
    text[0] = '\0';
    for (unsigned a = 0; a < N; a++) {
        for (unsigned b = a + 1; b < N; b++)
            if (hears(graph, a, b)) n += (size_t)snprintf(text + n, 64 - n, "%s%u-%u", n ? " " : "", a, b);
    }
    if (n == 0) snprintf(text, 64, "no edge");
}

/* -- One run ------------------------------------------------------------------------------------------------------- */
struct asker {
    struct trial *trial;
    struct orr_sim_client *client;
    unsigned asked, answered;
};
struct trial {
    struct kv_cluster cluster;
    struct orr_sim *sim;
    unsigned graph, marked;
    bool stale_middle;              /* before that, vertex 0 hears nobody for a while */
    unsigned place[N];              /* of each vertex, the node */
    int leader;                     /* once it has settled, its node; or -1 */
    orr_term term, term_before;
    struct asker askers[N];         /* by node */
    char wrong[200];
};

static void wrong(struct trial *t, const char *what) {
    if (!t->wrong[0]) snprintf(t->wrong, sizeof t->wrong, "%s", what);
}

/* Who leads in the latest term; *terms: that term. */
static int leader_of(const struct trial *t, orr_term *term) {
    int leader = -1;
    *term = 0;
    for (int i = 0; i < N; i++) {
        struct orr_order_status s;
        if (!orr_group_status(t->cluster.groups[i], &s) || s.role != ORR_LEADER || s.term < *term) continue;
        leader = i;
        *term = s.term;
    }
    return leader;
}

static orr_term latest_term(const struct trial *t) {
    orr_term latest = 0;
    for (int i = 0; i < N; i++) {
        struct orr_order_status s;
        if (orr_group_status(t->cluster.groups[i], &s) && s.term > latest) latest = s.term;
    }
    return latest;
}

static bool owed(unsigned graph) {
    for (unsigned v = 0; v < N; v++)
        if (degree(graph, v) >= N / 2) return true;
    return false;
}

static void cut_all_but(struct trial *t, unsigned graph) {
    orr_sim_heal_links(t->sim);
    for (unsigned a = 0; a < N; a++) {
        for (unsigned b = 0; b < N; b++) {
            if (a == b || hears(graph, a, b)) continue;
            (void)orr_sim_cut(t->sim, kv_places[t->place[a]].id, kv_places[t->place[b]].id);
        }
    }
}

/* The node that leads goes to the marked vertex, the others to the rest in their order. */
static void take_places(struct trial *t) {
    orr_term term;
    int leader = leader_of(t, &term);
    if (leader < 0) {
        wrong(t, "nobody led before");
        leader = 0;
    }
    unsigned node = 0;
    for (unsigned v = 0; v < N; v++) {
        if (v == t->marked) {
            t->place[v] = (unsigned)leader;
            continue;
        }
        node += node == (unsigned)leader;
        t->place[v] = node++;
    }
}

static void cut_now(void *ud) {
    struct trial *t = ud;
    if (!t->stale_middle) take_places(t);
    cut_all_but(t, t->graph);
}

/* All but vertex 0 hear each other: what is written now it lacks. */
static void leave_behind_now(void *ud) {
    struct trial *t = ud;
    unsigned graph = GRAPHS - 1;
    take_places(t);
    for (unsigned v = 1; v < N; v++) graph &= ~edge(0, v);
    cut_all_but(t, graph);
}

/* -- Those who ask ------------------------------------------------------------------------------------------------- */
static void on_connected(void *ud) { (void)ud; }
static void on_data(void *ud, const void *bytes, size_t size) {
    struct asker *a = ud;
    const char *at = bytes;
    for (size_t i = 0; i < size; i++) a->answered += at[i] == '+';
    if (size && at[0] == '-') wrong(a->trial, "a write was refused");
}
static void on_closed(void *ud, int status) {
    (void)status;
    wrong(((struct asker *)ud)->trial, "a client's connection was closed");
}

static void ask(struct trial *t, unsigned node) {
    static const struct orr_sim_client_ops ops = { on_connected, on_data, on_closed };
    static const char set[] = "*3\r\n$3\r\nSET\r\n$5\r\nshape\r\n$1\r\n1\r\n";
    struct asker *a = &t->askers[node];
    char name[8];
    if (!a->client) {
        snprintf(name, sizeof name, "ask %u", node);
        a->trial = t;
        assert_int_equal(orr_sim_client_new(t->sim, &a->client, name, &ops, a), 0);
        assert_int_equal(orr_sim_client_connect(a->client, kv_places[node].resp), 0);
    }
    if (orr_sim_client_send(a->client, set, sizeof set - 1) < 0) wrong(t, "a client could not ask");
    a->asked++;
}

static void ask_now(void *ud) {
    struct trial *t = ud;
    if (t->leader < 0) return;
    for (unsigned v = 0; v < N; v++) {
        unsigned leads = 0;
        while (t->place[leads] != (unsigned)t->leader) leads++;
        if (v == leads || hears(t->graph, v, leads)) ask(t, t->place[v]);
    }
}

/* -- Judged -------------------------------------------------------------------------------------------------------- */
static void settled_now(void *ud) {
    struct trial *t = ud;
    t->leader = leader_of(t, &t->term);
    t->term_before = latest_term(t);
    bool leads = t->leader >= 0;
    if (leads != (owed(t->graph) && !t->stale_middle))
        wrong(t, leads ? "somebody leads whom no quorum hears" : "nobody leads although a node hears a quorum");
}

static void judge_now(void *ud) {
    struct trial *t = ud;
    orr_term term;
    if (leader_of(t, &term) != t->leader || term != t->term) wrong(t, "it did not lead to the end");
    if (latest_term(t) != t->term_before) wrong(t, "terms went on rising");
    for (int i = 0; i < N; i++)
        if (t->askers[i].answered != t->askers[i].asked) wrong(t, "a write was not answered");
    for (int i = 0; i < N; i++) {
        if (t->askers[i].client) orr_sim_client_free(t->askers[i].client);
        t->askers[i].client = NULL;
    }
}

static void plan(void *ud, struct orr_sim *sim) {
    struct trial *t = ud;
    t->sim = sim;
    int rc = orr_sim_at(sim, CUT_AT, cut_now, t);
    if (t->stale_middle) rc |= orr_sim_at(sim, CUT_AT - ORR_SECOND / 2, leave_behind_now, t);
    rc |= orr_sim_at(sim, SETTLED_AT, settled_now, t);
    for (orr_time at = SETTLED_AT + ORR_MS; at <= ASK_LAST; at += ASK_EVERY) rc |= orr_sim_at(sim, at, ask_now, t);
    rc |= orr_sim_at(sim, JUDGED_AT, judge_now, t);
    assert_int_equal(rc, 0);
}

static void run(struct trial *t, uint64_t seed) {
    struct orr_sim_faults none;
    struct orr_lab_config cfg;
    struct orr_lab_result r;
    char shape[64];
    orr_lab_config_init(&cfg);
    orr_sim_faults_init(&none);
    cfg.sim.seed = seed;
    cfg.nodes = kv_places;
    cfg.n_nodes = N;
    cfg.boot = (struct orr_sim_boot){ .start = kv_start, .ud = &t->cluster };
    cfg.faults = &none;
    cfg.run = JUDGED_AT + ORR_MS;
    cfg.clients = 3;
    cfg.think = 100 * ORR_MS;
    cfg.operations_floor = 1;
    cfg.plan = plan;
    cfg.sim.ud = t;
    assert_int_equal(orr_lab_run(&cfg, &r), 0);
    show(t->graph, shape);
    if (t->wrong[0]) fail_msg("%s, %u led, seed %d: %s", shape, t->marked, (int)seed, t->wrong);
    if (!r.ok) fail_msg("%s, %u led, seed %d: %s: %s", shape, t->marked, (int)seed, r.property, r.violation);
}

static void every_shape_gets_what_it_is_owed(void **state) {
    (void)state;
    static bool seen[GRAPHS], seen_marked[N * GRAPHS];
    unsigned shapes = 0, marked = 0, with_leader = 0;
    list_permutations();
    for (unsigned graph = 0; graph < GRAPHS; graph++) {
        unsigned shape = canonical(graph, 0, false);
        if (!seen[shape]) shapes++;
        seen[shape] = true;
        for (unsigned v = 0; v < N; v++) {
            unsigned with_mark = canonical(graph, v, true);
            if (seen_marked[with_mark]) continue;
            seen_marked[with_mark] = true;
            struct trial t = { .cluster = KV_CLUSTER(N), .graph = graph, .marked = v };
            run(&t, 100 + ++marked);
            with_leader += t.leader >= 0;
        }
    }
    print_message("%u shapes, %u with a leader's place; %u of these have a leader in the end\n", shapes, marked,
                  with_leader);
    assert_int_equal(shapes, 34);
    assert_int_equal(marked, 90);
    assert_true(with_leader > 0 && with_leader < marked);
}

static void the_shapes_with_names_do_for_any_seed(void **state) {
    (void)state;
    unsigned star = 0, chain = 0, pair = 0;
    for (unsigned v = 1; v < N; v++) star |= edge(0, v);
    for (unsigned v = 1; v < N; v++) chain |= edge(v - 1, v);
    for (unsigned v = 2; v < N; v++) pair |= edge(0, v) | edge(1, v);
    const struct { unsigned graph, marked; } named[] = {
        { star, 1 },                                        /* quorum loss */
        { chain, 0 }, { chain, 1 }, { chain, 2 },           /* chained */
        { pair, 0 }, { pair, 2 },                           /* two that share all voters, and don't hear each other */
    };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
            struct trial t = { .cluster = KV_CLUSTER(N), .graph = named[i].graph, .marked = named[i].marked };
            run(&t, seed);
            assert_true(t.leader >= 0);
        }
    }
}

static void a_constrained_election_ends_in_quiet(void **state) {
    (void)state;
    unsigned middle = edge(0, 2) | edge(0, 3) | edge(0, 4);         /* who led is away */
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct trial t = { .cluster = KV_CLUSTER(N), .graph = middle, .marked = 1, .stale_middle = true };
        run(&t, seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_gets_what_it_is_owed),
        cmocka_unit_test(the_shapes_with_names_do_for_any_seed),
        cmocka_unit_test(a_constrained_election_ends_in_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
