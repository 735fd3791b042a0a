/* torture.c - real processes under kill -9: starts a cluster, lets clients write while nodes die, and judges what
 * they saw.
 *
 *     torture PROGRAM [--seconds 20] [--seed 1] [--nodes 3] [--clients 4] [--calm] [--preload LIBRARY]
 *
 * Every second a random node gets SIGKILL and comes back after a while; with --preload its process runs under the
 * interposer (powerloss.c), so that what it didn't sync is gone as after a power loss. Four clients read, write and
 * compare- and-set few keys, a new set of keys every few seconds, and each write of a key of its own is noted. In the
 * end every node must have every acknowledged key, and the history must be linearizable. Exit 0 only then; the
 * closing line counts checks. */
#include <errno.h>
#include <inttypes.h>
#include <orrery/check.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"
#include "live.h"

enum { CLIENTS_MAX = 16, OPS_MAX = 4000000, KEYS = 3 };

struct client {
    struct live_conn conn;          /* fd -1: away */
    bool waiting, own;              /* an operation is out; it is of a key of the client's own */
    size_t op;
    orr_time since;
    uint64_t own_next, *own_acked, n_acked;
    struct orr_rng rng;
};

static struct live l;
static orr_time back[LIVE_NODES_MAX];           /* down until then */
static size_t n_clients = 4;
static struct client clients[CLIENTS_MAX];
static struct orr_operation *ops;
static size_t n_ops;
static uint64_t seen[KEYS];
static struct orr_rng chance;
static orr_time longest_gap, last_ok;
static unsigned deaths;

/* -- Nodes --------------------------------------------------------------------------------------------------------- */
static void strike(orr_time t, bool calm) {
    size_t down = 0;
    for (size_t i = 0; i < l.n; i++) {
        if (l.nodes[i].pid > 0 && live_ended(&l.nodes[i], 0)) live_die("a node ended by itself");
        if (l.nodes[i].pid == 0 && t >= back[i]) live_start(&l.nodes[i]);
        down += l.nodes[i].pid == 0;
    }
    static orr_time next;
    if (calm || t < next || 2 * (down + 1) >= l.n + 1) return;
    next = t + ORR_SECOND;
    size_t i = orri_rng_below(&chance, l.n);
    if (l.nodes[i].pid == 0) return;
    live_kill(&l.nodes[i]);
    deaths++;
    back[i] = t + (orr_time)orri_rng_below(&chance, 700) * ORR_MS;
}

/* -- Clients ------------------------------------------------------------------------------------------------------- */
static void finish(struct client *c, enum orr_outcome outcome) {
    struct orr_operation *op = &ops[c->op];
    op->returned = live_now();
    op->outcome = (uint8_t)outcome;
    if (outcome == ORR_OUTCOME_INFO && op->call == ORR_CALL_GET) op->outcome = ORR_OUTCOME_FAIL;
    if (outcome == ORR_OUTCOME_OK) {
        if (op->returned - last_ok > longest_gap) longest_gap = op->returned - last_ok;
        last_ok = op->returned;
    }
    c->waiting = false;
}
static void hang_up(struct client *c) {
    if (c->waiting) finish(c, ORR_OUTCOME_INFO);
    live_hang_up(&c->conn);
}
static void dial(struct client *c) {
    c->since = live_now();
    live_dial(&c->conn, l.nodes[orri_rng_below(&c->rng, l.n)].resp, ORR_SECOND);
}

static void ask(struct client *c, uint64_t round) {
    if (n_ops >= OPS_MAX) return;
    struct orr_operation op = { .process = (uint32_t)(c - clients),
                                .outcome = ORR_OUTCOME_INFO,
                                .returned = ORR_NEVER };
    uint64_t slot = orri_rng_below(&c->rng, KEYS), luck = orri_rng_below(&c->rng, 10);
    char key[32], value[24], expected[24];
    c->own = luck >= 8;
    op.key = c->own ? 1000000000 + (uint64_t)(c - clients) * 100000000 + c->own_next : round * KEYS + slot;
    op.call = luck < 4 ? ORR_CALL_GET : luck < 6 || c->own || !seen[slot] ? ORR_CALL_SET : ORR_CALL_CAS;
    if (op.call != ORR_CALL_GET) op.value = n_ops + 1;
    if (op.call == ORR_CALL_CAS) op.expected = seen[slot];
    snprintf(key, sizeof key, "k%" PRIu64, op.key);
    snprintf(value, sizeof value, "%" PRIu64, op.value);
    snprintf(expected, sizeof expected, "%" PRIu64, op.expected);
    op.invoked = live_now();
    c->op = n_ops;
    ops[n_ops++] = op;
    c->waiting = true;
    c->since = op.invoked;
    c->own_next += c->own;
    bool sent = op.call == ORR_CALL_GET ? live_command(&c->conn, "GET", key, NULL)
                : op.call == ORR_CALL_SET ? live_command(&c->conn, "SET", key, value, NULL)
                : live_command(&c->conn, "SET", key, value, "IFEQ", expected, NULL);
    if (!sent) hang_up(c);
}

static void answered(struct client *c, const struct live_reply *r) {
    struct orr_operation *op = &ops[c->op];
    if (r->type == '-') {
        finish(c, strncmp(r->text, "UNKNOWN", 7) == 0 ? ORR_OUTCOME_INFO : ORR_OUTCOME_FAIL);
        return;
    }
    if (op->call == ORR_CALL_GET) op->got = r->n > 0 ? strtoull(r->text, NULL, 10) : 0;
    else op->got = r->type == '+';
    uint64_t value = op->call == ORR_CALL_GET ? op->got : op->got ? op->value : 0;
    if (c->own) c->own_acked[c->n_acked++] = op->key;
    else if (value) seen[op->key % KEYS] = value;
    finish(c, ORR_OUTCOME_OK);
}

static void listen_to(struct client *c) {
    struct live_reply r = live_reply(&c->conn, 0);
    if (r.type == 'x') hang_up(c);
    if (r.type == 'x' || r.type == 0) return;
    answered(c, &r);
    if (orri_rng_chance(&c->rng, 0.002)) hang_up(c);
}

static void turn(uint64_t round, bool quiet) {
    struct pollfd fds[CLIENTS_MAX];
    for (size_t i = 0; i < n_clients; i++) {
        struct client *c = &clients[i];
        if (c->conn.fd < 0 && !quiet) dial(c);
        fds[i] = (struct pollfd){ c->conn.fd, (short)(c->waiting ? POLLIN : POLLOUT), 0 };
    }
    poll(fds, n_clients, 20);
    for (size_t i = 0; i < n_clients; i++) {
        struct client *c = &clients[i];
        if (c->conn.fd < 0) continue;
        if (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL) && !(fds[i].revents & POLLIN)) hang_up(c);
        else if (fds[i].revents & POLLIN) listen_to(c);
        else if (fds[i].revents & POLLOUT && !c->waiting && !quiet) ask(c, round);
        else if (live_now() - c->since > 6 * ORR_SECOND) hang_up(c);
    }
}

/* -- Judgement ----------------------------------------------------------------------------------------------------- */
static size_t missing_on(struct live_node *n) {
    size_t missing = 0;
    for (size_t i = 0; i < n_clients; i++) {
        for (uint64_t j = 0; j < clients[i].n_acked; j++) {
            char key[32];
            snprintf(key, sizeof key, "k%" PRIu64, clients[i].own_acked[j]);
            struct live_reply r = live_ask(n, 10 * ORR_SECOND, "EXISTS", key, NULL);
            missing += r.type != ':' || r.n != 1;
        }
    }
    return missing;
}

static void judge(void) {
    uint64_t acked = 0, ok = 0, unknown = 0, swapped = 0;
    for (size_t i = 0; i < n_clients; i++) acked += clients[i].n_acked;
    for (size_t i = 0; i < n_ops; i++) {
        ok += ops[i].outcome == ORR_OUTCOME_OK;
        unknown += ops[i].outcome == ORR_OUTCOME_INFO;
        swapped += ops[i].outcome == ORR_OUTCOME_OK && ops[i].call == ORR_CALL_CAS && ops[i].got;
    }
    live_say("%zu operations: %" PRIu64 " done, %" PRIu64
             " of unknown fate; %u kills; longest time without an answer %.0f ms",
             n_ops, ok, unknown, deaths, (double)longest_gap / 1e6);
    for (size_t i = 0; i < l.n; i++) {
        bool up = live_serves(&l.nodes[i], 20 * ORR_SECOND);
        size_t missing = up ? missing_on(&l.nodes[i]) : acked;
        live_check(up && missing == 0, "node %s has %" PRIu64 " of %" PRIu64 " acknowledged keys", l.nodes[i].id,
                   acked - missing, acked);
    }
    struct orr_verdict v;
    if (orr_check_linearizable(ops, n_ops, &(struct orr_check_config){ .steps_max = 500000000 }, &v) < 0)
        live_die("no memory to judge");
    char line[200] = "";
    if (v.result == ORR_VERDICT_VIOLATED) orr_operation_show(&ops[v.operation], line, sizeof line);
    live_check(v.result == ORR_VERDICT_OK, "the history is %s%s", v.result == ORR_VERDICT_OK ? "linearizable"
               : v.result == ORR_VERDICT_VIOLATED ? "not linearizable: " : "undecided", line);
    live_check(ok >= 1000 && swapped >= 20,
               "enough was done to prove something (%" PRIu64 " compare-and-sets among it)", swapped);
}

static void prepare(const char *program, size_t n_nodes, const char *preload, uint64_t seed) {
    live_init(&l, program, n_nodes);
    orri_rng_init(&chance, seed);
    ops = calloc(OPS_MAX, sizeof *ops);
    for (size_t i = 0; i < l.n; i++) l.nodes[i].preload = preload;
    for (size_t i = 0; i < n_clients; i++) {
        clients[i].conn.fd = -1;
        clients[i].own_acked = calloc(OPS_MAX / n_clients, sizeof *clients[i].own_acked);
        if (!ops || !clients[i].own_acked) live_die("memory");
        orri_rng_init(&clients[i].rng, seed * 1000 + i);
    }
    live_up(&l);
}

static void torment(orr_time how_long, bool calm) {
    orr_time from = last_ok = live_now(), until = from + how_long;
    while (live_now() < until) {
        strike(live_now(), calm);
        turn((uint64_t)((live_now() - from) / (3 * ORR_SECOND)), false);
    }
    while (live_now() < until + 7 * ORR_SECOND) {       /* everybody comes back; what is out is answered or given up */
        bool out = false, down = false;
        strike(live_now(), true);
        turn(0, true);
        for (size_t i = 0; i < n_clients; i++) out = out || clients[i].waiting;
        for (size_t i = 0; i < l.n; i++) down = down || l.nodes[i].pid == 0;
        if (!out && !down) break;
    }
    for (size_t i = 0; i < n_clients; i++) hang_up(&clients[i]);
}

int main(int argc, char **argv) {
    long seconds = 20;
    uint64_t seed = 1;
    size_t n_nodes = 3;
    const char *program = NULL, *preload = NULL;
    bool calm = false;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (name[0] != '-') program = name;
        else if (strcmp(name, "--calm") == 0) calm = true;
        else if (strcmp(name, "--seconds") == 0) seconds = atol(value), i++;
        else if (strcmp(name, "--seed") == 0) seed = strtoull(value, NULL, 10), i++;
        else if (strcmp(name, "--nodes") == 0) n_nodes = (size_t)atol(value), i++;
        else if (strcmp(name, "--clients") == 0) n_clients = (size_t)atol(value), i++;
        else if (strcmp(name, "--preload") == 0) preload = value, i++;
        else return fprintf(stderr, "torture: unknown option %s\n", name), 2;
    }
    if (!program || n_nodes < 1 || n_nodes > LIVE_NODES_MAX || n_clients < 1 || n_clients > CLIENTS_MAX)
        return fprintf(stderr, "torture: wrong use; see the top of torture.c\n"), 2;
    prepare(program, n_nodes, preload, seed);
    torment(seconds * ORR_SECOND, calm);
    judge();
    return live_end(&l);
}
