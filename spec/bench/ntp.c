/* ntp.c - how many NTP queries a second one core answers, beside a bare UDP echo of as many bytes in the same run.
 *
 *     cc -O2 -Icore/include -Icore -o ntp spec/bench/ntp.c build/release/liborrery.a -levent_core -levent_pthreads \
 *        -lxxhash -lmd -lz -lm -lpthread
 *     ntp [SECONDS]
 *
 * Servers are held to core 0, the client to core 1: it keeps BATCH questions under way on each of SOCKETS sockets, by
 * sendmmsg and recvmmsg, each with a cookie of its own, and looks at every answer. The service counts how often each
 * address asks, but refuses none; its clock follows four peers. The echo does recvmmsg and sendmmsg, and nothing
 * between. A line for each, the better of three runs: answers a second, and the server's CPU for each. What a core that
 * the service has to itself would answer follows from the latter: so it is the same on a busy machine. Exit status 1
 * where that is below 100000 a second. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <orrery/ntp_live.h>
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

enum { BATCH = 64, SOCKETS = 8, RUNS = 3, BAR = 100000 };

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
static int udp(uint32_t ip, uint16_t *port) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip) };
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 4 << 20;
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0) fail("bind");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (port && getsockname(fd, (struct sockaddr *)&a, &size) == 0) *port = ntohs(a.sin_port);
    return fd;
}

/* -- Batches ------------------------------------------------------------------------------------------------------- */
struct batch {
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in peers[BATCH];
    unsigned char data[BATCH][ORR_NTP_SIZE];
};
static void batch_init(struct batch *b) {
    for (unsigned i = 0; i < BATCH; i++) {
        b->parts[i] = (struct iovec){ b->data[i], ORR_NTP_SIZE };
        b->headers[i].msg_hdr = (struct msghdr){ .msg_name = &b->peers[i], .msg_namelen = sizeof b->peers[i],
                                                 .msg_iov = &b->parts[i], .msg_iovlen = 1 };
    }
}

/* -- The servers --------------------------------------------------------------------------------------------------- */
static void serve_echo(int say) {
    static struct batch b;
    uint16_t port;
    int fd = udp(INADDR_LOOPBACK, &port);
    if (write(say, &port, sizeof port) != sizeof port) fail("write");
    batch_init(&b);
    for (;;) {
        int n = recvmmsg(fd, b.headers, BATCH, MSG_WAITFORONE, NULL);
        if (n > 0 && sendmmsg(fd, b.headers, (unsigned)n, 0) < 0) fail("sendmmsg");
    }
}

/* Of a clock that follows four peers. */
static struct orr_clock *clock_of_four(void) {
    struct orr_clock_config config;
    struct orr_clock *clock;
    orr_clock_config_init(&config);
    if (orr_clock_new(&clock, &config) != 0) fail("orr_clock_new");
    for (uint32_t id = 0; id < 4; id++) orr_clock_peer_add(clock, orr_ntp_local(), id, 0);
    for (unsigned i = 0; i < 64; i++) {
        orr_time t = orr_ntp_local() - (64 - i) * ORR_SECOND, there = t + 1700000000 * ORR_SECOND;
        struct orr_clock_exchange x = { .t1 = t, .t2 = there + 50000, .t3 = there + 51000, .t4 = t + 101000,
                                        .stratum = 2 };
        for (uint32_t id = 0; id < 4; id++) orr_clock_sample(clock, orr_ntp_local(), id, &x);
    }
    return clock;
}
static void serve_ntp(int say) {
    struct orr_loop_config loop_config;
    struct orr_loop *loop;
    struct orr_ntp_service_config config;
    struct orr_ntp_service *service;
    orr_loop_config_init(&loop_config);
    orr_ntp_service_config_init(&config);
    config.address = "127.0.0.1:0";
    config.clock = clock_of_four();
    config.server.addresses_max = 65536;
    config.server.interval = 1;             /* counted, and never too much */
    config.server.burst = 65536;
    if (orr_loop_new(&loop, &loop_config) != 0 || orr_ntp_service_new(&service, loop, &config) != 0) fail("service");
    uint16_t port = orr_ntp_service_port(service);
    if (write(say, &port, sizeof port) != sizeof port) fail("write");
    orr_loop_run(loop);
}

/* -- The client ---------------------------------------------------------------------------------------------------- */
struct asker {
    int fds[SOCKETS], under_way[SOCKETS];
    unsigned long answered, wrong;
    uint64_t cookie;
    bool echo;
    struct batch out, in;
};
static void ask(struct asker *a, unsigned k, uint16_t port) {
    for (unsigned i = 0; i < BATCH; i++) {
        struct orr_ntp_packet p = { .version = 4, .mode = ORR_NTP_CLIENT, .transmit = ++a->cookie };
        orr_ntp_encode(&p, a->out.data[i]);
        a->out.peers[i] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
                                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    }
    int n = sendmmsg(a->fds[k], a->out.headers, BATCH, 0);
    if (n < 0) fail("sendmmsg");
    a->under_way[k] = n;
}
static void look(struct asker *a, int n) {
    for (int i = 0; i < n; i++) {
        struct orr_ntp_packet p;
        bool good = a->in.headers[i].msg_len == ORR_NTP_SIZE &&
                    orr_ntp_decode(a->in.data[i], ORR_NTP_SIZE, &p) == ORR_NTP_TAKEN &&
                    (a->echo ? p.transmit : p.origin) <= a->cookie && (a->echo || p.stratum == 3);
        a->wrong += !good;
        a->in.headers[i].msg_hdr.msg_namelen = sizeof a->in.peers[i];
    }
    a->answered += (unsigned long)n;
}
/* All that this socket waits for; what doesn't come within the socket's timeout is lost. */
static void hear(struct asker *a, unsigned k) {
    while (a->under_way[k] > 0) {
        int n = recvmmsg(a->fds[k], a->in.headers, BATCH, MSG_WAITFORONE, NULL);
        if (n <= 0) break;
        look(a, n);
        a->under_way[k] -= n;
    }
    a->under_way[k] = 0;
}
static double rate(struct asker *a, uint16_t port, double for_s) {
    double start = seconds(), now = start;
    a->answered = 0;
    for (unsigned k = 0; (now = seconds()) < start + for_s; k = (k + 1) % SOCKETS) {
        hear(a, k);
        ask(a, k, port);
    }
    return (double)a->answered / (now - start);
}

struct figure {
    double rate, cpu_us;
};
static double cpu_of(const struct rusage *r) {
    return (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) +
           (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) * 1e-6;
}
static struct figure measure(void (*serve)(int say), bool echo, double for_s) {
    static struct asker a;
    int ends[2];
    uint16_t port;
    struct rusage before, after;
    if (pipe(ends) != 0) fail("pipe");
    getrusage(RUSAGE_CHILDREN, &before);
    pid_t pid = fork();
    if (pid == 0) {
        hold_to_core(0);
        serve(ends[1]);
        _exit(0);
    }
    if (pid < 0 || read(ends[0], &port, sizeof port) != sizeof port) fail("server");
    memset(&a, 0, sizeof a);
    a.echo = echo;
    batch_init(&a.out);
    batch_init(&a.in);
    struct timeval patience = { .tv_usec = 20000 };
    for (unsigned i = 0; i < SOCKETS; i++) {
        a.fds[i] = udp((127u << 24) + 0x010001 + i, NULL);
        setsockopt(a.fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    double r = rate(&a, port, for_s);
    unsigned long answered = a.answered;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    getrusage(RUSAGE_CHILDREN, &after);
    for (unsigned i = 0; i < SOCKETS; i++) close(a.fds[i]);
    close(ends[0]), close(ends[1]);
    if (a.wrong > 0) {
        fprintf(stderr, "%lu answers are wrong\n", a.wrong);
        exit(2);
    }
    double cpu = cpu_of(&after) - cpu_of(&before);
    return (struct figure){ r, cpu / (double)answered * 1e6 };
}
static struct figure best(void (*serve)(int say), bool echo, double for_s) {
    struct figure best = { 0, 0 };
    for (unsigned i = 0; i < RUNS; i++) {
        struct figure f = measure(serve, echo, for_s);
        if (f.rate > best.rate) best = f;
    }
    return best;
}

int main(int argc, char **argv) {
    double for_s = argc > 1 ? atof(argv[1]) : 2;
    hold_to_core(sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 1 : 0);
    struct figure echo = best(serve_echo, true, for_s), ntp = best(serve_ntp, false, for_s);
    double core = 1e6 / ntp.cpu_us;
    printf("bare echo    %8.0f answers/s, %.2f us of CPU each\n", echo.rate, echo.cpu_us);
    printf("ntp service  %8.0f answers/s, %.2f us of CPU each: %.2f of the echo's rate, %.2f of its CPU\n", ntp.rate,
           ntp.cpu_us, ntp.rate / echo.rate, ntp.cpu_us / echo.cpu_us);
    printf("a core of its own answers %.0f a second: %s\n", core, core >= BAR ? "met" : "MISSED");
    return core >= BAR ? 0 : 1;
}
