/* support.h - what the specs of the loop share: worlds whose node is a function, waiting for an event and never for a
 * time, free ports, plain sockets.                                                                                   */
#ifndef SPEC_LOOP_SUPPORT_H
#define SPEC_LOOP_SUPPORT_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loop/inner.h"

#define TIME_LIMIT_S 60             /* of one wait; only a failure reaches it */

struct node {
    struct orr_loop *loop;
    struct orr_world *w;
    void (*on)(struct node *n, struct orr_req *req);
    void *ud;
    unsigned wakes, taken, logged;
    bool say_nothing;
};

static void node_wake(void *ud) {
    struct node *n = ud;
    n->wakes++;
    for (struct orr_req *req = n->w->ops->take(n->w); req; req = n->w->ops->take(n->w)) {
        n->taken++;
        if (req->done) req->done(req);
        else if (n->on) n->on(n, req);
    }
}

static void node_log(void *ud, enum orr_level level, const char *text, size_t size) {
    struct node *n = ud;
    n->logged++;
    if (level <= ORR_LOG_WARN && !n->say_nothing) print_message("log: %.*s\n", (int)size, text);
}

static inline void node_config(struct node *n, struct orr_loop_config *config) {
    orr_loop_config_init(config);
    config->log = node_log;
    config->log_ud = n;
}

static inline void node_new_with(struct node *n, const struct orr_loop_config *config) {
    assert_int_equal(orr_loop_new(&n->loop, config), 0);
    n->w = orr_loop_world(n->loop);
    n->w->wake = node_wake;
    n->w->ud = n;
}

static inline void node_new(struct node *n, const char *dir) {
    struct orr_loop_config config;
    memset(n, 0, sizeof *n);
    node_config(n, &config);
    config.dir = dir;
    node_new_with(n, &config);
    if (dir) assert_int_equal(n->w->ops->open_dir(n->w), 0);
}

static inline double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Steps the worlds in turn until cond(ud) holds, as a host would that polls their descriptors. */
static inline void until_n(struct node *const *nodes, size_t n, bool (*cond)(void *ud), void *ud) {
    double limit = seconds() + TIME_LIMIT_S;
    while (!cond(ud)) {
        struct pollfd fds[8];
        bool busy = false;
        if (seconds() > limit) fail_msg("it did not come about in %d s", TIME_LIMIT_S);
        for (size_t i = 0; i < n; i++) {
            busy = orr_loop_step(nodes[i]->loop, 0) == 1 || busy;
            busy = busy || orr_loop_deadline(nodes[i]->loop) <= nodes[i]->w->ops->now(nodes[i]->w);
        }
        if (busy || cond(ud)) continue;
        for (size_t i = 0; i < n; i++) fds[i] = (struct pollfd){ orr_loop_fd(nodes[i]->loop), POLLIN, 0 };
        poll(fds, (nfds_t)n, 1000);
    }
}
static inline void until(struct node *n, bool (*cond)(void *ud), void *ud) { until_n(&n, 1, cond, ud); }

/* A condition that many share: a counter has reached a value. */
struct reached {
    const unsigned *counter;
    unsigned value;
};
static inline bool has_reached(void *ud) {
    const struct reached *r = ud;
    return *r->counter >= r->value;
}
#define UNTIL(node, counter, value) until((node), has_reached, &(struct reached){ &(counter), (value) })

static inline int free_port(void) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    close(fd);
    return ntohs(a.sin_port);
}
static inline const char *address_of(int port) {
    static char text[4][32];
    static unsigned i;
    char *at = text[i++ % 4];
    snprintf(at, 32, "127.0.0.1:%d", port);
    return at;
}

/* A blocking client's socket, connected. */
static inline int dial_plain(int port) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* A directory of its own for a test, under where it runs. */
static inline const char *fresh_dir(void) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/orrery-loop-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}
static inline void remove_dir(const char *path) {
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

#endif
