/* pingpong.c - the machine's limit for calls one at a time: 64 bytes to and fro over loopback TCP between two
 * processes, each held to a core of its own. Prints how many a second, and the CPU of one on the dearer side in ns.
 *
 *     cc -O2 -o pingpong spec/bench/pingpong.c
 *     pingpong [SECONDS] */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64 };

static void fail(const char *what) {
    perror(what);
    exit(2);
}
static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static double cpu(int who) {
    struct rusage u;
    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}
static void hold_to_core(unsigned core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}
static void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}
static void echo(int listener) {
    char bytes[MESSAGE];
    hold_to_core(0);
    int fd = accept(listener, NULL, NULL);
    no_delay(fd);
    while (recv(fd, bytes, sizeof bytes, MSG_WAITALL) == MESSAGE && send(fd, bytes, sizeof bytes, 0) == MESSAGE) {}
    exit(0);
}

int main(int argc, char **argv) {
    double for_s = argc > 1 ? atof(argv[1]) : 1;
    char bytes[MESSAGE] = { 0 };
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 1)) fail("listen");
    if (getsockname(listener, (struct sockaddr *)&at, &size)) fail("getsockname");
    pid_t child = fork();
    if (child == 0) echo(listener);
    hold_to_core(1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&at, size)) fail("connect");
    no_delay(fd);
    long n = 0;
    double begun = seconds(), ended = begun;
    for (; ended - begun < for_s; n++) {
        if (send(fd, bytes, sizeof bytes, 0) != MESSAGE || recv(fd, bytes, sizeof bytes, MSG_WAITALL) != MESSAGE)
            fail("ping");
        if (n % 64 == 0) ended = seconds();
    }
    close(fd);
    waitpid(child, NULL, 0);
    double mine = cpu(RUSAGE_SELF), other = cpu(RUSAGE_CHILDREN);
    printf("%.0f %.0f\n", (double)n / (ended - begun), (mine > other ? mine : other) / (double)n * 1e9);
    return 0;
}
