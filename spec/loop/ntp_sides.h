/* ntp_sides.h - what the specs of live NTP share: a clock that knows the time, a server that a test answers for, a
 * client that a test asks with.                                                                                      */
#ifndef SPEC_LOOP_NTP_SIDES_H
#define SPEC_LOOP_NTP_SIDES_H

#include "support.h"

#include "loop/ntp_inner.h"

#define AHEAD (1000 * ORR_SECOND + 1700000000 * ORR_SECOND)     /* of the local clock: the time that is served */

/* A clock that was told AHEAD, within 1 us. */
static inline struct orr_clock *clock_that_knows(void) {
    struct orr_clock_config config;
    struct orr_clock *clock;
    orr_time local = orr_ntp_local();
    orr_clock_config_init(&config);
    assert_int_equal(orr_clock_new(&clock, &config), 0);
    assert_int_equal(orr_clock_peer_add(clock, local, 1, 0), 0);
    for (unsigned i = 4; i > 0; i--) {
        orr_time t = local - i * ORR_MS;
        struct orr_clock_exchange x = { .t1 = t, .t2 = t + AHEAD + 1000, .t3 = t + AHEAD + 1000, .t4 = t + 2000,
                                        .stratum = 2 };
        assert_int_equal(orr_clock_sample(clock, local, 1, &x), ORR_CLOCK_USED);
    }
    return clock;
}

static inline struct orr_clock *clock_that_follows(void) {
    struct orr_clock_config config;
    struct orr_clock *clock;
    orr_clock_config_init(&config);
    config.peers_max = ORR_CLOCK_PEERS_MAX;
    config.poll_min = config.poll_max = -5;     /* 31 ms: a test is not to last */
    assert_int_equal(orr_clock_new(&clock, &config), 0);
    return clock;
}

static inline struct orr_ntp_service *serve(struct node *n, const char *address, const struct orr_clock *clock) {
    struct orr_ntp_service_config config;
    struct orr_ntp_service *service;
    orr_ntp_service_config_init(&config);
    config.address = address;
    config.clock = clock;
    config.server.interval = 0;
    assert_int_equal(orr_ntp_service_new(&service, n->loop, &config), 0);
    return service;
}

static inline void follow_config(struct orr_ntp_sources_config *config, const struct orr_ntp_source *list, size_t n,
                                 struct orr_clock *clock) {
    orr_ntp_sources_config_init(config);
    config->sources = list;
    config->n_sources = n;
    config->clock = clock;
    config->poll_min = config->poll_max = -5;
    config->timeout = 50 * ORR_MS;
    config->interleaved = false;
}

static inline struct orr_ntp_sources *follow(struct node *n, int port, struct orr_clock *clock, bool interleaved) {
    struct orr_ntp_sources *sources;
    struct orr_ntp_sources_config config;
    struct orr_ntp_source source = { address_of(port), 0 };
    follow_config(&config, &source, 1, clock);
    config.interleaved = interleaved;
    assert_int_equal(orr_ntp_sources_new(&sources, n->loop, &config), 0);
    return sources;
}

static inline struct orr_ntp_place place_of(const struct orr_ntp_sources *sources, size_t i) {
    struct orr_ntp_place place;
    assert_true(orr_ntp_sources_place(sources, i, &place));
    return place;
}

/* A UDP socket on loopback, on a port of its own. */
static inline int udp_socket(int *port) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

/* The loop turns until something has come to this socket: its size, or 0: nothing comes any more. */
static inline size_t heard_by(struct node *n, int fd, unsigned char *data, size_t size, struct sockaddr_in *from) {
    socklen_t from_size = sizeof *from;
    double limit = seconds() + TIME_LIMIT_S;
    for (;;) {
        ssize_t got = recvfrom(fd, data, size, 0, (struct sockaddr *)from, &from_size);
        if (got >= 0) return (size_t)got;
        assert_int_equal(errno, EAGAIN);
        assert_true(seconds() < limit);
        orr_loop_step(n->loop, ORR_MS);
    }
}

#endif
