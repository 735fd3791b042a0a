/* listen.c - listeners: who comes in, who is refused, and what to do when no descriptor is left.
 *
 * Above its limit a listener accepts and closes at once: a refusal that the caller sees at once, where an unaccepted
 * connection would hang. When the process is out of descriptors, one that was kept spare is given up to refuse
 * the caller who woke us (left in the queue it would wake us for ever), and accepting pauses until a stream
 * ends, or for a moment. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/inner.h"

#define ACCEPT_PAUSE (100 * ORR_MS)
#define REFUSED_SAY_EVERY (10 * ORR_SECOND)
enum { ACCEPTS_A_TURN = 64, BACKLOG = 1024 };

static void refused(struct orri_listener *l, const char *why) {
    struct orr_loop *loop = l->loop;
    loop->stats.refused++;
    if (loop->refused_said > loop->now - REFUSED_SAY_EVERY) return;
    loop->refused_said = loop->now;
    orri_say(loop, ORR_LOG_WARN, "refusing connections on listener %u: %s (%llu refused so far)", l->number, why,
             (unsigned long long)loop->stats.refused);
}

static void accept_pause(struct orr_loop *loop) {
    for (struct orri_listener *l = loop->listeners; l; l = l->next) event_del(&l->event);
    loop->accept_again = loop->now + ACCEPT_PAUSE;
}

void orri_accept_resume(struct orr_loop *loop) {
    loop->accept_again = ORR_NEVER;
    if (loop->spare_fd < 0) loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (struct orri_listener *l = loop->listeners; l; l = l->next)
        if (event_add(&l->event, NULL) != 0) loop->accept_again = loop->now + ACCEPT_PAUSE;
}

static void out_of_descriptors(struct orri_listener *l) {
    struct orr_loop *loop = l->loop;
    if (loop->spare_fd >= 0) {
        close(loop->spare_fd);
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) close(fd);
        loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    refused(l, "no descriptor is left");
    accept_pause(loop);
}

/* 127.0.0.0/8 and ::1: nothing from beyond this machine comes from there. */
static bool is_loopback(const struct orri_address *a) {
    if (a->at.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->at;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->at;
    return a->at.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static void accepted(struct orri_listener *l, int fd, const struct orri_address *from) {
    struct orr_loop *loop = l->loop;
    if (l->connections >= l->connections_max) {
        close(fd);
        refused(l, "as many as are allowed are open");
        return;
    }
    struct orri_stream *s = orri_stream_new(loop, fd, l);
    if (!s) {
        close(fd);
        refused(l, "no memory");
        return;
    }
    loop->stats.accepted++;
    s->face.local = is_loopback(from);
    orri_stream_opened(s, ACCEPTED);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    struct orri_listener *l = arg;
    for (int n = 0; n < ACCEPTS_A_TURN; n++) {
        struct orri_address from = { .size = sizeof from.at };
        int got = accept4(fd, (struct sockaddr *)&from.at, &from.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int error = got < 0 ? errno : 0;
        if (got >= 0) accepted(l, got, &from);
        if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) out_of_descriptors(l);
        if (error != 0 && error != EINTR && error != ECONNABORTED) return;
    }
}

static int listener_open(const struct orri_address *address) {
    int one = 1, fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->at.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    orri_socket_options(fd);        /* accepted sockets inherit them */
    if (bind(fd, (const struct sockaddr *)&address->at, address->size) != 0 || listen(fd, BACKLOG) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int orri_listen(struct orr_world *w, const char *address, uint32_t number, unsigned connections_max) {
    struct orr_loop *loop = orri_loop(w);
    struct orri_address parsed;
    if (loop->halted) return ORR_ECLOSED;
    if (orri_address_parse(&parsed, address) != 0) return ORR_EINVALID;
    int fd = listener_open(&parsed);
    if (fd < 0) return fd;
    struct orri_listener *l = orri_alloc(loop, sizeof *l);
    if (!l) {
        close(fd);
        return -ENOMEM;
    }
    *l = (struct orri_listener){ .next = loop->listeners, .loop = loop, .fd = fd, .number = number,
                                 .connections_max = connections_max };
    orri_event_set(loop, &l->event, fd, EV_READ | EV_PERSIST, on_acceptable, l);
    if (event_add(&l->event, NULL) != 0) {
        close(fd);
        orri_dealloc(loop, l, sizeof *l);
        return -ENOMEM;
    }
    if (loop->spare_fd < 0) loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (!loop->listeners) orri_datagram_bind(loop, &parsed);
    loop->listeners = l;
    return 0;
}

void orri_listen_free(struct orr_loop *loop) {
    for (struct orri_listener *l = loop->listeners, *next; l; l = next) {
        next = l->next;
        event_del(&l->event);
        close(l->fd);
        orri_dealloc(loop, l, sizeof *l);
    }
    loop->listeners = NULL;
    loop->accept_again = ORR_NEVER;
    if (loop->spare_fd >= 0) close(loop->spare_fd);
    loop->spare_fd = -1;
}
