/* torture.c - real processes under kill -9: starts a cluster, lets clients write while nodes die, and judges what they saw.
 *
 *   torture --orrery PROGRAM --cluster FILE --data DIR --node a=127.0.0.1:7501 --node b=... [--seconds 20] [--seed 1]
 *           [--clients 4] [--calm] [--preload LIBRARY]
 *
 * Every second a random node gets SIGKILL and comes back after a while; with --preload its process runs under the
 * interposer (powerloss.c), so that what it didn't sync is gone as after a power loss. Four clients read, write and compare-
 * and-set few keys, a new set of keys every few seconds, and each write of a key of its own is noted. In the end every node
 * must have every acknowledged key, and the history must be linearizable. Exit 0 only then; the closing line counts checks. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <orrery/check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"

enum { NODES_MAX = 7, CLIENTS_MAX = 16, OPS_MAX = 4000000, KEYS = 3 };

struct node {
    const char *id;
    struct sockaddr_in resp;
    pid_t pid;
    orr_time back;                  /* down until then */
    unsigned deaths;
};
struct client {
    int fd;                         /* -1: away */
    size_t node;
    bool waiting, own;              /* an operation is out; it is of a key of the client's own */
    size_t op;
    orr_time since;
    char in[512];
    size_t n_in;
    uint64_t own_next, *own_acked, n_acked;
    struct orr_rng rng;
};

static struct node nodes[NODES_MAX];
static size_t n_nodes, n_clients = 4;
static struct client clients[CLIENTS_MAX];
static struct orr_operation *ops;
static size_t n_ops;
static const char *program, *cluster, *data, *preload;
static uint64_t seen[KEYS];
static struct orr_rng chance;
static orr_time longest_gap, last_ok;

static orr_time now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (orr_time)t.tv_sec * ORR_SECOND + t.tv_nsec;
}
static void die(const char *what) {
    perror(what);
    for (size_t i = 0; i < n_nodes; i++)
        if (nodes[i].pid > 0) kill(nodes[i].pid, SIGKILL);
    exit(2);
}

/* -- Nodes ------------------------------------------------------------------------------------------------------------------ */
/* What an interposed process hadn't synced when it died is in these folders: names that never became durable. */
static void drop_unsynced(const struct node *n) {
    char command[1024];
    snprintf(command, sizeof command, "find '%s/%s' -name '.unsynced.*' -delete", data, n->id);
    if (system(command) != 0) fprintf(stderr, "torture: %s failed\n", command);
}

static void start(struct node *n) {
    char log[512];
    snprintf(log, sizeof log, "%s/%s.log", data, n->id);
    if (preload && n->deaths > 0) drop_unsynced(n);
    n->pid = fork();
    if (n->pid < 0) die("fork");
    if (n->pid > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd >= 0) dup2(fd, 1), dup2(fd, 2);
    for (int i = 3; i < 256; i++) close(i);
    if (preload) {
        char dir[512];
        snprintf(dir, sizeof dir, "%s/%s", data, n->id);
        setenv("LD_PRELOAD", preload, 1);
        setenv("POWERLOSS_DIR", dir, 1);
    }
    execl(program, program, "run", cluster, "--node", n->id, "--data", data, (char *)NULL);
    _exit(127);
}

static void strike(orr_time t, bool calm) {
    size_t down = 0;
    for (size_t i = 0; i < n_nodes; i++) {
        if (nodes[i].pid > 0 && waitpid(nodes[i].pid, NULL, WNOHANG) == nodes[i].pid) {
            fprintf(stderr, "torture: node %s ended by itself; see its log\n", nodes[i].id);
            exit(1);
        }
        if (nodes[i].pid == 0 && t >= nodes[i].back) start(&nodes[i]);
        down += nodes[i].pid == 0;
    }
    static orr_time next;
    if (calm || t < next || 2 * (down + 1) >= n_nodes + 1) return;
    next = t + ORR_SECOND;
    struct node *n = &nodes[orri_rng_below(&chance, n_nodes)];
    if (n->pid == 0) return;
    kill(n->pid, SIGKILL);
    waitpid(n->pid, NULL, 0);
    n->pid = 0;
    n->deaths++;
    n->back = t + (orr_time)orri_rng_below(&chance, 700) * ORR_MS;
}

/* -- Clients ---------------------------------------------------------------------------------------------------------------- */
static void finish(struct client *c, enum orr_outcome outcome) {
    struct orr_operation *op = &ops[c->op];
    op->returned = now();
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
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->n_in = 0;
}
static void dial(struct client *c) {
    c->node = orri_rng_below(&c->rng, n_nodes);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->since = now();
    if (connect(c->fd, (struct sockaddr *)&nodes[c->node].resp, sizeof nodes[c->node].resp) < 0 && errno != EINPROGRESS) hang_up(c);
}

static void ask(struct client *c, uint64_t round) {
    if (n_ops >= OPS_MAX) return;
    struct orr_operation op = { .process = (uint32_t)(c - clients), .outcome = ORR_OUTCOME_INFO, .returned = ORR_NEVER };
    uint64_t slot = orri_rng_below(&c->rng, KEYS), luck = orri_rng_below(&c->rng, 10);
    char packet[256], value[24], expected[24];
    int size, v = snprintf(value, sizeof value, "%zu", n_ops + 1);
    c->own = luck >= 8;
    op.key = c->own ? 1000000000 + (uint64_t)(c - clients) * 100000000 + c->own_next : round * KEYS + slot;
    op.call = luck < 4 ? ORR_CALL_GET : luck < 6 || c->own || !seen[slot] ? ORR_CALL_SET : ORR_CALL_CAS;
    char key[32];
    int k = snprintf(key, sizeof key, "k%" PRIu64, op.key);
    if (op.call != ORR_CALL_GET) op.value = n_ops + 1;
    if (op.call == ORR_CALL_CAS) op.expected = seen[slot];
    int e = snprintf(expected, sizeof expected, "%" PRIu64, op.expected);
    if (op.call == ORR_CALL_GET) size = snprintf(packet, sizeof packet, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", k, key);
    else if (op.call == ORR_CALL_SET)
        size = snprintf(packet, sizeof packet, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", k, key, v, value);
    else size = snprintf(packet, sizeof packet, "*5\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n$4\r\nIFEQ\r\n$%d\r\n%s\r\n", k, key,
                         v, value, e, expected);
    op.invoked = now();
    c->op = n_ops;
    ops[n_ops++] = op;
    c->waiting = true;
    c->since = op.invoked;
    c->own_next += c->own;
    if (send(c->fd, packet, (size_t)size, MSG_NOSIGNAL) != size) hang_up(c);
}

static void answered(struct client *c, char type, const char *text) {
    struct orr_operation *op = &ops[c->op];
    if (type == '-') {
        finish(c, strncmp(text, "UNKNOWN", 7) == 0 ? ORR_OUTCOME_INFO : ORR_OUTCOME_FAIL);
        return;
    }
    op->got = op->call == ORR_CALL_GET ? (text ? strtoull(text, NULL, 10) : 0) : type == '+';
    uint64_t value = op->call == ORR_CALL_GET ? op->got : op->got ? op->value : 0;
    if (c->own) c->own_acked[c->n_acked++] = op->key;
    else if (value) seen[op->key % KEYS] = value;
    finish(c, ORR_OUTCOME_OK);
}

static void listen_to(struct client *c) {
    ssize_t got = recv(c->fd, c->in + c->n_in, sizeof c->in - 1 - c->n_in, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) hang_up(c);
        return;
    }
    c->n_in += (size_t)got;
    c->in[c->n_in] = 0;
    char *line = strstr(c->in, "\r\n");
    if (!line) return;
    if (c->in[0] == '$' && c->in[1] != '-') {
        char *end = strstr(line + 2, "\r\n");
        if (!end) return;
        *end = 0;
        answered(c, '$', line + 2);
    } else {
        *line = 0;
        answered(c, c->in[0], c->in[0] == '$' ? NULL : c->in + 1);
    }
    c->n_in = 0;
    if (orri_rng_chance(&c->rng, 0.002)) hang_up(c);
}

static void turn(uint64_t round, bool quiet) {
    struct pollfd fds[CLIENTS_MAX];
    for (size_t i = 0; i < n_clients; i++) {
        struct client *c = &clients[i];
        if (c->fd < 0 && !quiet) dial(c);
        fds[i] = (struct pollfd){ c->fd, (short)(c->waiting ? POLLIN : POLLOUT), 0 };
    }
    poll(fds, n_clients, 20);
    for (size_t i = 0; i < n_clients; i++) {
        struct client *c = &clients[i];
        if (c->fd < 0) continue;
        if (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL) && !(fds[i].revents & POLLIN)) hang_up(c);
        else if (fds[i].revents & POLLIN) listen_to(c);
        else if (fds[i].revents & POLLOUT && !c->waiting && !quiet) ask(c, round);
        else if (now() - c->since > 6 * ORR_SECOND) hang_up(c);
    }
}

/* -- Judgement -------------------------------------------------------------------------------------------------------------- */
/* One command, answered within the deadline, on a connection of its own; false otherwise. */
static bool ask_once(const struct node *n, const char *packet, char *out, size_t size, orr_time deadline) {
    while (now() < deadline) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct timeval patience = { 3, 0 };
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ssize_t got = 0;
        if (connect(fd, (const struct sockaddr *)&n->resp, sizeof n->resp) == 0
            && send(fd, packet, strlen(packet), MSG_NOSIGNAL) > 0)
            got = recv(fd, out, size - 1, 0);
        close(fd);
        if (got > 0 && out[0] != '-') return out[got] = 0, true;
        poll(NULL, 0, 50);
    }
    return false;
}

static size_t missing_on(const struct node *n, orr_time deadline) {
    size_t missing = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = { 10, 0 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&n->resp, sizeof n->resp) < 0) return SIZE_MAX;
    for (size_t i = 0; i < n_clients && now() < deadline; i++) {
        for (uint64_t j = 0; j < clients[i].n_acked; j++) {
            char packet[96], key[32], in[96];
            int k = snprintf(key, sizeof key, "k%" PRIu64, clients[i].own_acked[j]);
            int size = snprintf(packet, sizeof packet, "*2\r\n$6\r\nEXISTS\r\n$%d\r\n%s\r\n", k, key);
            if (send(fd, packet, (size_t)size, MSG_NOSIGNAL) != size || recv(fd, in, sizeof in, 0) < 4) return SIZE_MAX;
            if (in[0] != ':' || in[1] != '1') missing++;
        }
    }
    close(fd);
    return missing;
}

static int judge(void) {
    int failed = 0;
    uint64_t acked = 0, ok = 0, unknown = 0;
    unsigned deaths = 0;
    for (size_t i = 0; i < n_clients; i++) acked += clients[i].n_acked;
    for (size_t i = 0; i < n_nodes; i++) deaths += nodes[i].deaths;
    for (size_t i = 0; i < n_ops; i++) ok += ops[i].outcome == ORR_OUTCOME_OK, unknown += ops[i].outcome == ORR_OUTCOME_INFO;
    printf("%zu operations: %" PRIu64 " done, %" PRIu64 " of unknown fate; %u kills; longest time without an answer %.0f ms\n",
           n_ops, ok, unknown, deaths, (double)longest_gap / 1e6);
    for (size_t i = 0; i < n_nodes; i++) {
        char in[512];
        bool up = ask_once(&nodes[i], "*2\r\n$3\r\nGET\r\n$1\r\nx\r\n", in, sizeof in, now() + 20 * ORR_SECOND);
        size_t missing = up ? missing_on(&nodes[i], now() + 120 * ORR_SECOND) : SIZE_MAX;
        if (missing == SIZE_MAX) printf("not ok: node %s does not answer\n", nodes[i].id);
        else printf("%s: node %s has %" PRIu64 " of %" PRIu64 " acknowledged keys\n", missing ? "not ok" : "ok", nodes[i].id,
                    acked - missing, acked);
        failed += missing != 0;
    }
    struct orr_verdict v;
    if (orr_check_linearizable(ops, n_ops, &(struct orr_check_config){ .steps_max = 500000000 }, &v) < 0) die("check");
    char line[200] = "";
    if (v.result == ORR_VERDICT_VIOLATED) orr_operation_show(&ops[v.operation], line, sizeof line);
    printf("%s: the history is %s%s\n", v.result == ORR_VERDICT_OK ? "ok" : "not ok",
           v.result == ORR_VERDICT_OK ? "linearizable"
           : v.result == ORR_VERDICT_VIOLATED ? "not linearizable: " : "undecided", line);
    failed += v.result != ORR_VERDICT_OK;
    if (ok < 1000) printf("not ok: too little was done to prove anything\n"), failed++;
    else printf("ok: enough was done\n");
    printf("%d passed, %d failed\n", (int)n_nodes + 2 - failed, failed);
    return failed != 0;
}

static void add_node(char *text) {
    char *address = strchr(text, '='), *port = address ? strrchr(address, ':') : NULL;
    if (!port || n_nodes == NODES_MAX) {
        fprintf(stderr, "torture: --node ID=HOST:PORT\n");
        exit(2);
    }
    *address++ = 0;
    *port++ = 0;
    struct node *n = &nodes[n_nodes++];
    n->id = text;
    n->resp.sin_family = AF_INET;
    n->resp.sin_port = htons((uint16_t)atoi(port));
    inet_pton(AF_INET, address, &n->resp.sin_addr);
}

int main(int argc, char **argv) {
    long seconds = 20;
    uint64_t seed = 1;
    bool calm = false;
    for (int i = 1; i < argc; i++) {
        char *name = argv[i];
        if (strcmp(name, "--calm") == 0) {
            calm = true;
            continue;
        }
        char *value = i + 1 < argc ? argv[++i] : "";
        if (strcmp(name, "--orrery") == 0) program = value;
        else if (strcmp(name, "--cluster") == 0) cluster = value;
        else if (strcmp(name, "--data") == 0) data = value;
        else if (strcmp(name, "--node") == 0) add_node(value);
        else if (strcmp(name, "--seconds") == 0) seconds = atol(value);
        else if (strcmp(name, "--seed") == 0) seed = strtoull(value, NULL, 10);
        else if (strcmp(name, "--clients") == 0) n_clients = (size_t)atol(value);
        else if (strcmp(name, "--preload") == 0) preload = value;
        else return fprintf(stderr, "torture: unknown option %s\n", name), 2;
    }
    if (!program || !cluster || !data || n_nodes == 0 || n_clients > CLIENTS_MAX) return fprintf(stderr, "torture: wrong use; see the top of torture.c\n"), 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    mkdir(data, 0755);
    orri_rng_init(&chance, seed);
    ops = calloc(OPS_MAX, sizeof *ops);
    for (size_t i = 0; i < n_clients; i++) {
        clients[i].fd = -1;
        clients[i].own_acked = calloc(OPS_MAX / n_clients, sizeof *clients[i].own_acked);
        orri_rng_init(&clients[i].rng, seed * 1000 + i);
    }
    for (size_t i = 0; i < n_nodes; i++) start(&nodes[i]);
    char in[512];
    for (size_t i = 0; i < n_nodes; i++)
        if (!ask_once(&nodes[i], "*2\r\n$3\r\nGET\r\n$1\r\nx\r\n", in, sizeof in, now() + 30 * ORR_SECOND)) die("the cluster does not come up");
    orr_time from = last_ok = now(), until = from + seconds * ORR_SECOND;
    while (now() < until) {
        strike(now(), calm);
        turn((uint64_t)((now() - from) / (3 * ORR_SECOND)), false);
    }
    while (now() < until + 7 * ORR_SECOND) {    /* everybody comes back; what is out is answered or given up */
        bool out = false, down = false;
        strike(now(), true);
        turn(0, true);
        for (size_t i = 0; i < n_clients; i++) out = out || clients[i].waiting;
        for (size_t i = 0; i < n_nodes; i++) down = down || nodes[i].pid == 0;
        if (!out && !down) break;
    }
    int rc = judge();
    for (size_t i = 0; i < n_nodes; i++)
        if (nodes[i].pid > 0) kill(nodes[i].pid, SIGTERM), waitpid(nodes[i].pid, NULL, 0);
    return rc;
}
