/* datagram.c - datagrams: a UDP socket on the address of the node's first listener.
 *
 * They bear no identity, so only those from a known peer's address are given on. When they came is the kernel's stamp
 * where it gives one, moved from its wall clock to ours. They are sent at once: nothing is gained by waiting,
 * and a stamp in them stays true.
 *
 * A wall clock may have been set since, and a program may be shown another one than the kernel's: how long a datagram
 * waited is believed only as far as others did lately. None can have come after it was read, so the quickest of late
 * tells how far the kernel's wall clock is ahead of our clock, at least. What is told is too late rather than too
 * early: whoever measures a round trip by it finds it longer, and never shorter. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "loop/inner.h"

enum { DATAGRAMS_A_TURN = 64, STAMPS = 64 };
#define WAKING_MAX (100 * ORR_US)  /* that the quickest one waited, too */

static void on_datagram(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct orr_loop *loop = arg;
    loop->udp_ready = true;
}

static int udp_open(struct orr_loop *loop, int family, const struct orri_address *address) {
    int one = 1, fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    if (address && bind(fd, (const struct sockaddr *)&address->at, address->size) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    orri_event_set(loop, &loop->udp, fd, EV_READ | EV_PERSIST, on_datagram, loop);
    if (event_add(&loop->udp, NULL) != 0) {
        close(fd);
        return -ENOMEM;
    }
    loop->udp_fd = fd;
    return 0;
}

/* A node can live without, so this is no error of listen's. */
void orri_datagram_bind(struct orr_loop *loop, const struct orri_address *address) {
    if (loop->udp_fd >= 0) return;
    int error = udp_open(loop, address->at.ss_family, address);
    if (error != 0) orri_say(loop, ORR_LOG_WARN, "no datagrams: %s", orr_strerror(error));
}

void orri_datagram_free(struct orr_loop *loop) {
    if (loop->udp_fd < 0) return;
    event_del(&loop->udp);
    close(loop->udp_fd);
    loop->udp_fd = -1;
    loop->udp_ready = false;
}

int orri_datagram(struct orr_world *w, orr_id to, struct orr_slice data) {
    struct orr_loop *loop = orri_loop(w);
    struct orri_peer *p = (struct orri_peer *)(uintptr_t)orri_peer_find(loop, to);
    if (loop->halted) return ORR_ECLOSED;
    if (!p) return ORR_EUNAVAILABLE;
    if (data.size > DATAGRAM_MAX) return ORR_EINVALID;
    if (p->host && !orri_named_placed(loop, p)) return 0;
    if (loop->udp_fd < 0) {
        int error = udp_open(loop, p->address.at.ss_family, NULL);
        if (error != 0) return error;
    }
    (void)sendto(loop->udp_fd, data.at, data.size, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&p->address.at,
                 p->address.size);          /* it may vanish here as well as on the way */
    return 0;
}

static bool same_address(const struct orri_address *a, const struct sockaddr_storage *b) {
    if (a->at.ss_family != b->ss_family) return false;
    if (b->ss_family == AF_INET) {
        const struct sockaddr_in *x = (const struct sockaddr_in *)&a->at, *y = (const struct sockaddr_in *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)&a->at, *y = (const struct sockaddr_in6 *)b;
    return x->sin6_port == y->sin6_port && memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0;
}

static struct orri_peer *sender(const struct orr_loop *loop, const struct sockaddr_storage *from) {
    for (size_t i = 0; i < loop->n_peers; i++)
        if (same_address(&loop->peers[i].address, from)) return &loop->peers[i];
    return NULL;
}

static orr_time wall_of(const struct timespec *t) { return (orr_time)t->tv_sec * ORR_SECOND + t->tv_nsec; }

/* How much longer than the quickest of the last few dozen this one waited. ahead: its stamp minus our clock's reading
 * after it was read. */
static orr_time waited_more(struct orr_loop *loop, orr_time ahead) {
    struct orri_stamps *s = &loop->stamps;
    if (s->n == 0 || s->wall_steps != loop->wall_steps) *s = (struct orri_stamps){ 0, loop->wall_steps, ahead, ahead };
    if (s->n++ == STAMPS) {
        s->before = s->most;
        s->most = ahead;
        s->n = 1;
    }
    if (ahead > s->most) s->most = ahead;
    return (s->most > s->before ? s->most : s->before) - ahead;
}

/* How long ago it came. False: the kernel doesn't say. */
static bool age(struct orr_loop *loop, struct msghdr *message, orr_time *out) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
        struct timespec came, now;
        memcpy(&came, CMSG_DATA(c), sizeof came);
        clock_gettime(CLOCK_REALTIME, &now);
        orr_time waited = wall_of(&now) - wall_of(&came), more = waited_more(loop, wall_of(&came) - orri_boottime());
        *out = waited < 0 ? 0 : waited > more + WAKING_MAX ? more : waited;
        return true;
    }
    return false;
}

static bool receive(struct orr_loop *loop) {
    struct sockaddr_storage from;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec part = { loop->read_chunk->at + loop->read_used, DATAGRAM_MAX + 1 };
    struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
                              .msg_control = control, .msg_controllen = sizeof control };
    orr_time old = 0;
    ssize_t n = recvmsg(loop->udp_fd, &message, MSG_DONTWAIT);
    if (n < 0) {
        if (errno == EAGAIN) loop->udp_ready = false;
        return false;               /* or an ICMP error of an earlier send, or EINTR */
    }
    struct orri_peer *p = sender(loop, &from);
    if (!p || n > DATAGRAM_MAX) {
        loop->stats.datagrams_dropped++;
        return false;
    }
    orri_named_heard(p);
    bool stamped = age(loop, &message, &old);
    loop->datagram = (struct orr_datagram){
        .req = { .op = ORR_OP_DATAGRAM, .result = (uint64_t)n, .begun = loop->now, .ended = loop->now },
        .from = p->id,
        .moved = p->moved,
        .data = orri_read_slice(loop, (size_t)n),
        .received = orri_boottime() - (stamped ? old : 0),
        .kernel_stamp = stamped,
    };
    return true;
}

struct orr_req *orri_datagram_take(struct orr_loop *loop) {
    while (loop->udp_ready) {
        if (loop->turn_datagrams++ >= DATAGRAMS_A_TURN || !orri_read_room(loop, READ_ROOM_MIN)) return NULL;
        if (receive(loop)) return &loop->datagram.req;
    }
    return NULL;
}
