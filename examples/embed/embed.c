/* embed.c - a program that bears a node of a cluster: its machine (tally.c), its handlers, its loop, all in C.
 *
 *     embed PORT ID [NUMBER...]           ID is a, b or c; they listen on PORT, PORT + 1, PORT + 2; data in ./ID
 *
 * With numbers, it adds each and prints the sum, asks the next node for what its replica has, and leaves. Without, it
 * serves until SIGINT or SIGTERM. The program owns the loop: it polls one descriptor, and gives the node its turns. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/host.h>
#include <orrery/loop.h>

#include "tally.h"

enum { NODES = 3 };
static const char *const ids[NODES] = { "a", "b", "c" };

struct number {                         /* told by the machine */
    struct orr_sink sink;
    int64_t value;
};
struct app {
    struct orr_loop *loop;
    struct orr_node *node;
    struct orr_group *tally;
    struct orr_wait wait;               /* one at a time */
    struct number sum;
    bool waiting;
    char text[64];
};

/* -- What the machine tells ---------------------------------------------------------------------------------------- */
static void on_integer(struct orr_sink *s, int64_t v) {
    ((struct number *)(void *)s)->value = v;
}
static void on_nil(struct orr_sink *s) { (void)s; }
static void on_text(struct orr_sink *s, const void *at, size_t size) { (void)s, (void)at, (void)size; }
static void on_status(struct orr_sink *s, const char *word) { (void)s, (void)word; }
static void on_error(struct orr_sink *s, int code, const char *text) { (void)s, (void)code, (void)text; }
static void on_array(struct orr_sink *s, size_t n) { (void)s, (void)n; }
static const struct orr_sink_ops sink_ops = {
    .nil = on_nil, .integer = on_integer, .text = on_text, .status = on_status, .error = on_error, .array = on_array,
};

/* -- What the node asks of its host: in its turns, so never wait in here ------------------------------------------- */
static int declare(void *ud, const char **why) {
    struct app *a = ud;
    (void)why;
    return orr_node_replicate(a->node, "tally",
                              &(struct orr_group_spec){ .order = &orr_raft_order, .machine = &tally_machine },
                              &a->tally);
}

struct question {
    struct orr_wait wait;
    struct number sum;
    struct orr_asked *asked;
};

static void answer(struct orr_wait *w) {
    struct question *q = w->owner;
    char text[64];
    int n = snprintf(text, sizeof text, "%" PRId64, q->sum.value);
    orr_node_answer(q->asked, w->status, orr_borrow(text, (size_t)n));
    free(q);
}

/* "sum": as text, answered once the replica here is as late as the question. */
static int asked(void *ud, struct orr_asked *asked) {
    struct app *a = ud;
    if (asked->name.size != 3 || memcmp(asked->name.at, "sum", 3) != 0) return ORR_EINVALID;
    struct question *q = calloc(1, sizeof *q);
    if (!q) return ORR_EOVERLOADED;
    *q = (struct question){ .wait = { .done = answer, .owner = q, .sink = &q->sum.sink }, .sum.sink.ops = &sink_ops,
                            .asked = asked };
    int rc = orr_group_read(a->tally, &q->wait, orr_borrow(NULL, 0), 0, asked->deadline);
    if (rc < 0) {
        orr_node_answer(asked, rc, orr_borrow(NULL, 0));
        free(q);
    }
    return 0;
}

static const struct orr_host_ops host = { .declare = declare, .asked = asked };

static void done(struct orr_wait *w) {
    struct app *a = w->owner;
    size_t size = w->result.size < sizeof a->text - 1 ? w->result.size : sizeof a->text - 1;
    if (size) memcpy(a->text, w->result.at, size);
    a->text[size] = '\0';
    a->waiting = false;
}

/* -- The program's own loop ---------------------------------------------------------------------------------------- */
/* Waits until the node has something to do, and does it. False: it has stopped. */
static bool turn(struct app *a) {
    struct orr_world *w = orr_loop_world(a->loop);
    struct pollfd fd = { .fd = orr_loop_fd(a->loop), .events = POLLIN };       /* first: it settles what is due */
    orr_time at = orr_loop_deadline(a->loop), left = at - w->ops->fresh(w);
    int ms = left <= 0 ? 0 : left > 1000 * ORR_MS ? 1000 : (int)(left / ORR_MS) + 1;
    (void)poll(&fd, 1, ms);
    return orr_loop_step(a->loop, 0) != ORR_ECLOSED;
}

static bool ready(struct app *a) {
    struct orr_node_status s;
    do orr_node_status(a->node, &s);
    while (!s.ready && turn(a));
    return s.ready;
}

/* Waits for what was submitted with rc; gives its status. */
static int finish(struct app *a, int rc) {
    if (rc < 0) return rc;
    while (a->waiting && turn(a)) {}
    return a->waiting ? ORR_ECLOSED : a->wait.status;
}

static int add(struct app *a, int64_t by) {
    unsigned char op[TALLY_OP];
    a->wait = (struct orr_wait){ .done = done, .owner = a, .sink = &a->sum.sink };
    a->waiting = true;
    return finish(a, orr_group_propose(a->tally, &a->wait, tally_op(op, by), orr_node_now(a->node) + 2 * ORR_SECOND));
}

/* Nobody is told of a call to a node that isn't connected (yet). */
static void wait_for(struct app *a, const char *id) {
    struct orr_peer_status peer;
    orr_time until = orr_node_now(a->node) + 2 * ORR_SECOND;
    while (orr_node_peer(a->node, orr_id_of(id), &peer) && !peer.up && orr_node_now(a->node) < until && turn(a)) {}
}

static int ask(struct app *a, const char *id) {
    wait_for(a, id);
    a->wait = (struct orr_wait){ .done = done, .owner = a };
    a->waiting = true;
    return finish(a, orr_node_call(a->node, &a->wait, orr_id_of(id), orr_borrow("sum", 3), orr_borrow(NULL, 0),
                                   orr_node_now(a->node) + 2 * ORR_SECOND));
}

static int work(struct app *a, const char *next, char *const *numbers) {
    if (!ready(a)) return ORR_ECLOSED;
    for (; *numbers; numbers++) {
        int rc = add(a, strtoll(*numbers, NULL, 10));
        if (rc < 0) return rc;
        printf("%" PRId64 "\n", a->sum.value);
    }
    int rc = ask(a, next);
    if (rc == 0) printf("%s has %s\n", next, a->text);
    orr_node_stop(a->node, "done");
    while (turn(a)) {}
    return rc;
}

static int start(struct app *a, size_t which, int port, const char **why) {
    char addresses[NODES][32];
    struct orr_node_member nodes[NODES];
    struct orr_node_config cfg;
    for (size_t i = 0; i < NODES; i++) {
        snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%d", port + (int)i);
        nodes[i] = (struct orr_node_member){ .id = ids[i], .address = addresses[i], .link = true };
    }
    orr_node_config_init(&cfg);
    cfg.cluster = "embed";
    cfg.id = ids[which];
    cfg.nodes = nodes;
    cfg.n_nodes = NODES;
    int rc = orr_node_new(&a->node, orr_loop_world(a->loop), &cfg, why);
    if (rc == 0) rc = orr_node_host(a->node, &host, a);
    return rc == 0 ? orr_node_start(a->node) : rc;
}

int main(int argc, char **argv) {
    struct app a = { .sum.sink.ops = &sink_ops };
    struct orr_loop_config config;
    const char *why = NULL;
    size_t which = 0;
    while (argc > 2 && which < NODES && strcmp(argv[2], ids[which]) != 0) which++;
    if (argc < 3 || which == NODES) {
        fprintf(stderr, "usage: embed PORT a|b|c [NUMBER...]\n");
        return 2;
    }
    orr_loop_config_init(&config);
    config.dir = ids[which];
    config.signals = true;              /* ask for them only in a program that has no handlers of its own */
    config.level = ORR_LOG_WARN;
    int rc = orr_loop_new(&a.loop, &config);
    if (rc == 0) rc = start(&a, which, atoi(argv[1]), &why);
    if (rc == 0 && argc > 3) rc = work(&a, ids[(which + 1) % NODES], argv + 3);
    else if (rc == 0) while (turn(&a)) {}
    if (rc < 0) fprintf(stderr, "embed: %s\n", why ? why : orr_strerror(rc));
    if (a.loop) orr_loop_halt(a.loop);
    if (a.node) orr_node_free(a.node);
    orr_loop_free(a.loop);
    return rc < 0 ? 1 : 0;
}
