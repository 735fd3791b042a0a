/* rpc.c - calls and casts between two live nodes over loopback, against a bare ping-pong of the same size.
 *
 *     cc -O2 -Icore/include -o rpc spec/bench/rpc.c build/release/liborrery.a -levent_core -levent_pthreads \
 *        -lxxhash -lmd -lz -lpthread
 *     rpc [SECONDS]
 *
 * Two processes, each with a node and held to a core of its own; the callee's host answers at once. A line for each
 * shape: how many a second, the CPU that one took of the callee and of the caller (system calls too), and how many
 * reached it. One call at a time is judged against the bare ping-pong of 64 bytes, 64 at a time and casts against
 * their bars; exit 1 when one is missed. */
#define _GNU_SOURCE
#include <orrery/host.h>
#include <orrery/loop.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, WINDOW_MAX = 64, CASTS_A_TURN = 2000 };

struct tally {                      /* the callee's, as it answers "tally" */
    uint64_t casts;
    double cpu;
};
static struct {
    struct orr_node *node;
    struct orr_loop *loop;
    orr_id other;
    bool caller;
    double seconds;
    struct tally tally;
} me;

static void fail(const char *what) {
    perror(what);
    exit(2);
}
static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}
static void hold_to_core(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

/* -- The bare ping-pong -------------------------------------------------------------------------------------------- */
static void bare_server(int fd) {
    char bytes[MESSAGE];
    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;) {
        if (write(fd, bytes, (size_t)n) != n) break;
    }
    _exit(0);
}
static double bare(double for_seconds) {
    int fds[2];
    char bytes[MESSAGE] = { 0 };
    uint64_t n = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) fail("socketpair");
    pid_t pid = fork();
    if (pid == 0) {
        hold_to_core(1);
        close(fds[0]);
        bare_server(fds[1]);
    }
    close(fds[1]);
    double begun = seconds(), now = begun;
    while (now < begun + for_seconds) {
        for (int i = 0; i < 100; i++, n++) {
            if (write(fds[0], bytes, sizeof bytes) != MESSAGE || read(fds[0], bytes, sizeof bytes) != MESSAGE)
                fail("ping-pong");
        }
        now = seconds();
    }
    close(fds[0]);
    waitpid(pid, NULL, 0);
    return (double)n / (now - begun);
}

/* -- The callee ---------------------------------------------------------------------------------------------------- */
static int asked(void *ud, struct orr_asked *a) {
    (void)ud;
    if (a->cast) me.tally.casts++;
    if (!a->cast && a->name.size == 5 && memcmp(a->name.at, "tally", 5) == 0) {
        me.tally.cpu = cpu();
        orr_node_answer(a, 0, orr_borrow(&me.tally, sizeof me.tally));
    } else {
        orr_node_answer(a, 0, a->args);
    }
    return 0;
}

/* -- The caller: wait for the other node; then each shape: tally, as much as fits, tally --------------------------- */
static const struct shape {
    const char *name;
    unsigned window;                /* 0: casts */
    double bar;                     /* a second; 0: a share of the bare ping-pong */
} shapes[] = {
    { "call, one at a time", 1, 0 },
    { "call, 64 at a time", 64, 300000 },
    { "cast", 0, 1000000 },
};
static struct {
    size_t shape;
    struct orr_wait tally, calls[WINDOW_MAX], pause;
    bool running;
    struct tally before;
    double begun, ended, cpu;
    uint64_t n, failed, refused;
    double bare;
    bool missed;
} run;
static char payload[MESSAGE];

static void ask_tally(struct orr_wait *w);
static struct orr_slice name(const char *s) { return orr_borrow(s, strlen(s)); }
static orr_time in(double s) { return orr_node_now(me.node) + (orr_time)(s * 1e9); }

static void called(struct orr_wait *w) {
    run.n++;
    run.failed += w->status != 0;
    if (seconds() < run.ended &&
        orr_node_call(me.node, w, me.other, name("echo"), orr_borrow(payload, sizeof payload), in(1)) == 0)
        return;
    if (!run.running) return;
    run.running = false;
    run.ended = seconds();
    run.cpu = cpu() - run.cpu;
    ask_tally(&run.pause);
}
static void begin_shape(const struct shape *s) {
    run.n = run.failed = run.refused = 0;
    run.running = true;
    run.cpu = cpu();
    run.begun = seconds();
    run.ended = run.begun + me.seconds;
    for (unsigned i = 0; i < s->window; i++) {
        struct orr_wait *w = &run.calls[i];
        w->done = called;
        if (orr_node_call(me.node, w, me.other, name("echo"), orr_borrow(payload, sizeof payload), in(1)) < 0)
            fail("orr_node_call");
    }
    orr_node_soon(me.node);
}
static void report(const struct shape *s, const struct tally *now) {
    double lasted = run.ended - run.begun, n = (double)run.n;
    uint64_t reached = s->window ? run.n - run.failed : now->casts - run.before.casts;
    double rate = (s->window ? n : (double)reached) / lasted;
    double bar = s->bar > 0 ? s->bar : run.bare * 0.6;
    bool met = rate >= bar;
    run.missed = run.missed || !met;
    printf("%-20s %9.0f /s   callee %5.2f us, caller %5.2f us of CPU   %llu of %llu, %llu refused   "
           "(at least %.0f: %s)\n",
           s->name, rate, (now->cpu - run.before.cpu) / n * 1e6, run.cpu / n * 1e6, (unsigned long long)reached,
           (unsigned long long)run.n, (unsigned long long)run.refused, bar, met ? "met" : "MISSED");
}
static void tallied(struct orr_wait *w) {
    static bool begun;
    struct tally now;
    if (w->status < 0 || w->result.size != sizeof now) {
        ask_tally(w);
        return;
    }
    memcpy(&now, w->result.at, sizeof now);
    if (begun) report(&shapes[run.shape++], &now);
    begun = true;
    run.before = now;
    if (run.shape < sizeof shapes / sizeof *shapes) begin_shape(&shapes[run.shape]);
    else orr_node_stop(me.node, "all is measured");
}
static void ask_tally(struct orr_wait *w) {
    (void)w;
    run.tally.done = tallied;
    if (orr_node_call(me.node, &run.tally, me.other, name("tally"), name(""), in(1)) == 0) return;
    run.pause.done = ask_tally;     /* not connected yet, or its queue is full */
    if (orr_node_timer(me.node, &run.pause, in(0.01)) < 0) fail("orr_node_timer");
}
static bool turn(void *ud) {
    (void)ud;
    if (!me.caller || !run.running || shapes[run.shape].window) return false;
    if (seconds() >= run.ended) {
        run.running = false;
        run.ended = seconds();
        run.cpu = cpu() - run.cpu;
        ask_tally(NULL);
        return true;
    }
    for (int i = 0; i < CASTS_A_TURN; i++) {
        int rc = orr_node_cast(me.node, me.other, name("note"), orr_borrow(payload, 16));
        run.n += rc == 0;
        run.refused += rc < 0;
        if (rc < 0) break;
    }
    orr_node_soon(me.node);
    return false;
}
static void ready(void *ud) {
    (void)ud;
    if (me.caller) ask_tally(NULL);
}
static const struct orr_host_ops host = { .ready = ready, .asked = asked, .turn = turn };

static int node(const char *id, const char *dir) {
    static const struct orr_node_member nodes[] = {
        { "a", "127.0.0.1:17661", true },
        { "b", "127.0.0.1:17662", true },
    };
    struct orr_loop_config lc;
    struct orr_node_config cfg;
    const char *why = "";
    orr_loop_config_init(&lc);
    lc.dir = dir;
    lc.level = ORR_LOG_ERROR;
    orr_node_config_init(&cfg);
    cfg.cluster = "bench";
    cfg.id = id;
    cfg.nodes = nodes;
    cfg.n_nodes = 2;
    me.caller = *id == 'a';
    me.other = orr_id_of(me.caller ? "b" : "a");
    hold_to_core(me.caller ? 0 : 1);
    if (orr_loop_new(&me.loop, &lc) < 0 || orr_node_new(&me.node, orr_loop_world(me.loop), &cfg, &why) < 0 ||
        orr_node_host(me.node, &host, NULL) < 0 || orr_node_start(me.node) < 0) {
        fprintf(stderr, "rpc: node %s does not start %s\n", id, why);
        return 2;
    }
    int code = orr_loop_run(me.loop);
    orr_node_free(me.node);
    orr_loop_free(me.loop);
    return code ? 2 : run.missed;
}

int main(int argc, char **argv) {
    char dir[] = "/tmp/orrery-rpc-XXXXXX", a[64], b[64], clean[80];
    me.seconds = argc > 1 ? atof(argv[1]) : 2;
    if (me.seconds <= 0 || !mkdtemp(dir)) fail("rpc [SECONDS]");
    (void)snprintf(a, sizeof a, "%s/a", dir);
    (void)snprintf(b, sizeof b, "%s/b", dir);
    hold_to_core(0);
    run.bare = bare(me.seconds / 2);
    printf("%-20s %9.0f /s   (a socket pair, 64 bytes each way)\n", "bare ping-pong", run.bare);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) _exit(node("b", b));
    int code = node("a", a);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    (void)snprintf(clean, sizeof clean, "rm -rf %s", dir);
    return system(clean) == 0 ? code : 2;
}
