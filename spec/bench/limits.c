/* limits.c - what this machine can do at best: fdatasync of 4 KiB over a zeroed file,
 * and a round trip between two cores.
 *
 *   limits FILE     prints "sync_us N" and "round_trip_us N", medians, in microseconds */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SYNCS = 2000, TRIPS = 5000, BYTES = 4096 };

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, size_t n) {
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}
static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double sync_us(const char *path) {
    static char block[BYTES];
    static double took[SYNCS];
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
    if (fd < 0) fail(path);
    for (int i = 0; i < SYNCS; i++)
        if (pwrite(fd, block, BYTES, (off_t)i * BYTES) != BYTES) fail("pwrite");
    if (fsync(fd) < 0) fail("fsync");
    memset(block, 'x', BYTES);
    for (int i = 0; i < SYNCS; i++) {
        double from = now_us();
        if (pwrite(fd, block, BYTES, (off_t)i * BYTES) != BYTES || fdatasync(fd) < 0) fail("fdatasync");
        took[i] = now_us() - from;
    }
    close(fd);
    unlink(path);
    return median(took, SYNCS);
}

static void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);     /* one core only: the figure is then of that */
}
static void echo(int fd) {
    char buf[64];
    for (ssize_t n; (n = recv(fd, buf, sizeof buf, 0)) > 0;)
        if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n) break;
    _exit(0);
}
static double round_trip_us(void) {
    static double took[TRIPS];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (bind(l, (struct sockaddr *)&a, sizeof a) < 0 || listen(l, 1) < 0 ||
        getsockname(l, (struct sockaddr *)&a, &size) < 0)
        fail("listen");
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        pin(1);
        int fd = accept(l, NULL, NULL);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        echo(fd);
    }
    pin(0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char buf[64] = { 0 };
    for (int i = 0; i < TRIPS; i++) {
        double from = now_us();
        if (send(fd, buf, sizeof buf, MSG_NOSIGNAL) != sizeof buf ||
            recv(fd, buf, sizeof buf, MSG_WAITALL) != sizeof buf)
            fail("echo");
        took[i] = now_us() - from;
    }
    close(fd);
    waitpid(child, NULL, 0);
    return median(took, TRIPS);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "limits FILE\n"), 2;
    printf("sync_us %.1f\nround_trip_us %.1f\n", sync_us(argv[1]), round_trip_us());
    return 0;
}
