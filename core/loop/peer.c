/* peer.c - addresses, the peers that have one, and dialling them.                                                    */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/inner.h"

/* -- Addresses ----------------------------------------------------------------------------------------------------- */
static bool port_parse(uint16_t *out, const char *text) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    unsigned long port = strtoul(text, &end, 10);
    *out = htons((uint16_t)port);
    return *end == '\0' && port <= UINT16_MAX;
}

int orri_address_parse(struct orri_address *out, const char *text) {
    char host[INET6_ADDRSTRLEN + 2];
    uint16_t port;
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (n == 0 || n >= sizeof host || !port_parse(&port, colon + 1)) return ORR_EINVALID;
    memcpy(host, text, n);
    host[n] = '\0';
    memset(out, 0, sizeof *out);
    if (host[0] == '[' && host[n - 1] == ']') {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->at;
        host[n - 1] = '\0';
        *v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port };
        out->size = sizeof *v6;
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1 ? 0 : ORR_EINVALID;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->at;
    *v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
    out->size = sizeof *v4;
    const char *number = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    return inet_pton(AF_INET, number, &v4->sin_addr) == 1 ? 0 : ORR_EINVALID;
}

/* -- Peers --------------------------------------------------------------------------------------------------------- */
const struct orri_peer *orri_peer_find(const struct orr_loop *loop, orr_id id) {
    for (size_t i = 0; i < loop->n_peers; i++)
        if (loop->peers[i].id == id) return &loop->peers[i];
    return NULL;
}

static void peer_forget(struct orr_loop *loop, orr_id id) {
    struct orri_peer *p = (struct orri_peer *)(uintptr_t)orri_peer_find(loop, id);
    if (!p) return;
    loop->n_peers--;
    memmove(p, p + 1, (size_t)(loop->peers + loop->n_peers - p) * sizeof *p);
}

int orri_peer(struct orr_world *w, orr_id id, const char *address) {
    struct orr_loop *loop = orri_loop(w);
    struct orri_address parsed;
    if (!address) {
        peer_forget(loop, id);
        return 0;
    }
    struct orri_peer made = { .id = id };
    if (id == ORR_NOBODY) return ORR_EINVALID;
    int error = orri_address_parse(&parsed, address);
    if (error == 0) made.address = parsed;
    else error = orri_named_init(loop, address, &made);
    if (error != 0) return error;
    struct orri_peer *known = (struct orri_peer *)(uintptr_t)orri_peer_find(loop, id);
    if (!known && loop->n_peers == loop->peers_cap) {
        size_t cap = loop->peers_cap ? 2 * loop->peers_cap : 8;
        struct orri_peer *grown = loop->world.alloc.fn(loop->world.alloc.ud, loop->peers,
                                                       loop->peers_cap * sizeof *grown, cap * sizeof *grown);
        if (!grown) return -ENOMEM;
        loop->peers = grown;
        loop->peers_cap = cap;
    }
    if (!known) known = &loop->peers[loop->n_peers++];
    *known = made;
    return 0;
}

/* -- Dialling ------------------------------------------------------------------------------------------------------ */
static void set_int(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); }

void orri_socket_options(int fd) {
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_MAX);
}

/* A dial to a free local port of the ephemeral range may meet itself (TCP's simultaneous open) and be its own peer. */
static bool met_itself(int fd) {
    struct orri_address here = { .size = sizeof here.at }, there = { .size = sizeof there.at };
    if (getsockname(fd, (struct sockaddr *)&here.at, &here.size) != 0) return false;
    if (getpeername(fd, (struct sockaddr *)&there.at, &there.size) != 0) return false;
    return here.size == there.size && memcmp(&here.at, &there.at, here.size) == 0;
}

void orri_connect_done(struct orri_stream *s) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error == 0 && met_itself(s->fd)) error = ECONNREFUSED;
    if (error != 0) orri_stream_end(s, -error);
    else orri_stream_opened(s, CONNECTED);
}

/* Begun, or over already: CONNECTED or CLOSED tells. */
static void dial(struct orri_stream *s, const struct orri_address *to) {
    if (connect(s->fd, (const struct sockaddr *)&to->at, to->size) == 0) {
        orri_connect_done(s);
    } else if (errno != EINPROGRESS && errno != EINTR) {
        orri_stream_end(s, -errno);
    } else if (event_add(&s->out, NULL) != 0) {
        orri_stream_end(s, -ENOMEM);
    } else {
        s->writing = true;
        orri_stream_wait(s);
    }
}

int orri_connect(struct orr_world *w, orr_id peer, struct orr_stream **out) {
    struct orr_loop *loop = orri_loop(w);
    const struct orri_peer *p = orri_peer_find(loop, peer);
    if (loop->halted) return ORR_ECLOSED;
    if (!p) return ORR_EUNAVAILABLE;
    if (p->host) return ORR_EINVALID;               /* names are for datagrams */
    int fd = socket(p->address.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    struct orri_stream *s = orri_stream_new(loop, fd, NULL);
    if (!s) {
        close(fd);
        return -ENOMEM;
    }
    orri_socket_options(fd);
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)(loop->config.peer_timeout / ORR_MS));
    dial(s, &p->address);
    *out = &s->face;
    orri_nudge(loop);
    return 0;
}
