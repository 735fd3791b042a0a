/* loop_echo.c - what the world costs over bare libevent: TCP echo of 64 bytes, both servers in the same run.
 *
 *     cc -O2 -Icore/include -o loop_echo spec/bench/loop_echo.c build/release/liborrery.a -levent_core \
 *        -lxxhash -lmd -lz -lpthread
 *     loop_echo [SECONDS]
 *
 * The server is held to core 0 and the client to core 1: left alone, the scheduler at times puts a pair on one core,
 * which makes a ping-pong four times faster. A line for each shape: medians of three runs, the server's CPU per
 * message, and the ratio of the rates. The raw server reads and writes from a callback; the world's node echoes
 * through take and send. */
#define _GNU_SOURCE
#include <orrery/loop.h>

#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, CONNECTIONS_MAX = 64, WINDOW_MAX = 64, RUNS = 3 };

static void fail(const char *what) {
    perror(what);
    exit(2);
}
static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static void hold_to_core(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) fail("sched_setaffinity");
}
static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* -- The servers --------------------------------------------------------------------------------------------------- */
static void echo_wake(void *ud) {
    struct orr_world *w = ud;
    for (struct orr_req *req = w->ops->take(w); req; req = w->ops->take(w)) {
        struct orr_stream_event *e = (struct orr_stream_event *)(void *)req;
        if (req->op == ORR_OP_DATA) w->ops->send(w, e->stream, 0, &e->data, 1);
    }
}
static void serve_world(int port) {
    struct orr_loop_config config;
    struct orr_loop *loop;
    char address[32];
    orr_loop_config_init(&config);
    if (orr_loop_new(&loop, &config) != 0) fail("orr_loop_new");
    struct orr_world *w = orr_loop_world(loop);
    w->wake = echo_wake;
    w->ud = w;
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    if (w->ops->listen(w, address, 0, CONNECTIONS_MAX) != 0) fail("listen");
    orr_loop_run(loop);
}

static struct event_base *base;
static void on_readable(evutil_socket_t fd, short what, void *arg) {
    static char buffer[65536];
    (void)what;
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n > 0 && write(fd, buffer, (size_t)n) == n) return;
    event_free(*(struct event **)arg);
    free(arg);
    close(fd);
}
static void on_acceptable(evutil_socket_t listener, short what, void *arg) {
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    (void)what, (void)arg;
    if (fd < 0) return;
    struct event **e = malloc(sizeof *e);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *e = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, e);
    event_add(*e, NULL);
}
static void serve_raw(int port) {
    struct sockaddr_in a = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 128) != 0) fail("listen");
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_add(event_new(base, fd, EV_READ | EV_PERSIST, on_acceptable, NULL), NULL);
    event_base_dispatch(base);
}

/* -- The client ---------------------------------------------------------------------------------------------------- */
struct connection {
    int fd;
    size_t got;
};
static int dial(int port) {
    struct sockaddr_in a = loopback(port);
    for (double limit = seconds() + 5; seconds() < limit; usleep(1000)) {
        int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
        close(fd);
    }
    fail("connect");
    return -1;
}
/* Each connection has `window` messages under way; when all are back they are sent again. Gives messages. */
static double load(int port, int n, size_t window, double for_seconds, double *took) {
    static char out[MESSAGE * WINDOW_MAX], in[1 << 16];
    struct connection c[CONNECTIONS_MAX];
    size_t round = MESSAGE * window, messages = 0;
    int ep = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        c[i] = (struct connection){ dial(port), 0 };
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = &c[i] };
        epoll_ctl(ep, EPOLL_CTL_ADD, c[i].fd, &e);
    }
    double begun = seconds();
    for (int i = 0; i < n; i++)
        if (write(c[i].fd, out, round) != (ssize_t)round) fail("write");
    while ((*took = seconds() - begun) < for_seconds) {
        struct epoll_event events[CONNECTIONS_MAX];
        int ready = epoll_wait(ep, events, CONNECTIONS_MAX, 1000);
        for (int i = 0; i < ready; i++) {
            struct connection *k = events[i].data.ptr;
            ssize_t got = recv(k->fd, in, sizeof in, MSG_DONTWAIT);
            if (got <= 0) fail("recv");
            k->got += (size_t)got;
            if (k->got < round) continue;
            k->got = 0;
            messages += window;
            if (write(k->fd, out, round) != (ssize_t)round) fail("write");
        }
    }
    for (int i = 0; i < n; i++) close(c[i].fd);
    close(ep);
    return (double)messages;
}

/* -- Runs ---------------------------------------------------------------------------------------------------------- */
struct result {
    double rate, cpu_us;
};
static struct result run(void (*serve)(int port), int port, int connections, size_t window, double for_seconds) {
    double took;
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
        hold_to_core(0);
        serve(port);
        _exit(0);
    }
    double messages = load(port, connections, window, for_seconds, &took);
    struct rusage used;
    kill(pid, SIGKILL);
    wait4(pid, NULL, 0, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    return (struct result){ messages / took, cpu / messages };
}
static int by_rate(const void *a, const void *b) {
    double x = ((const struct result *)a)->rate, y = ((const struct result *)b)->rate;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static const struct {
        int connections;
        size_t window;
    } shapes[] = { { 50, 1 }, { 1, 1 }, { 50, 16 } };
    double for_seconds = argc > 1 ? atof(argv[1]) : 1;
    int port = 23610;
    hold_to_core(1);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct result world[RUNS], raw[RUNS];
        for (int k = 0; k < RUNS; k++) {        /* in turns, so that a busy moment hits both */
            world[k] = run(serve_world, port++, shapes[i].connections, shapes[i].window, for_seconds);
            raw[k] = run(serve_raw, port++, shapes[i].connections, shapes[i].window, for_seconds);
        }
        qsort(world, RUNS, sizeof *world, by_rate);
        qsort(raw, RUNS, sizeof *raw, by_rate);
        const struct result *w = &world[RUNS / 2], *r = &raw[RUNS / 2];
        printf("echo connections=%-2d window=%-2zu world %8.0f/s %.2f us   raw libevent %8.0f/s %.2f us   ratio %.2f\n",
               shapes[i].connections, shapes[i].window, w->rate, w->cpu_us, r->rate, r->cpu_us, w->rate / r->rate);
        fflush(stdout);
    }
    return 0;
}
