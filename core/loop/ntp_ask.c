/* ntp_ask.c - one request to one server: a socket of its own, so that its port is a new one and nobody else's datagrams
 * reach it, and the stamps of both ways.
 *
 * What comes is looked at until the request's reply is among it; so neither a flood of forged replies nor a forged
 * ICMP message takes the true one's place. */
#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

#include "loop/ntp_inner.h"

enum { DATAGRAMS_A_CALL = 64 };

int orri_ntp_connect(const struct orri_address *to) {
    int fd = socket(to->at.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (connect(fd, (const struct sockaddr *)&to->at, to->size) == 0) return fd;
    int error = -errno;
    close(fd);
    return error;
}

void orri_ntp_hang_up(struct orri_ntp_server *s) {
    if (s->fd < 0) return;
    event_del(&s->readable);
    close(s->fd);
    s->fd = -1;
}

/* -- What the kernel tells ----------------------------------------------------------------------------------------- */
/* A stamp by the local clock, if it lies between the request and now and the wall clock was let alone. */
static bool believable(const struct orri_ntp_server *s, orr_time wall, orr_time *local, orr_time *error) {
    struct orri_ntp_moment now = orri_ntp_moment();
    *local = orri_ntp_to_local(&now, wall, error);
    return !orri_ntp_was_set(&s->sent, &now) && *local >= s->sent.local - s->sent.error &&
           *local <= now.local + now.error;
}

static void take_sent_stamps(struct orri_ntp_server *s) {
    uint32_t number;
    orr_time wall, local, error;
    int got;
    while ((got = orri_ntp_sent(s->fd, &number, &wall)) >= 0) {
        if (got == 0 || number != 0 || !believable(s, wall, &local, &error)) continue;
        orr_ntp_client_sent(s->client, s->cookie, local);
        s->stamp_error += error;
    }
}

/* -- Replies ------------------------------------------------------------------------------------------------------- */
/* Is it the request's reply? Then that is over. */
static bool look(struct orri_ntp_server *s, const struct orr_ntp_arrival *a, orr_time error) {
    struct orr_ntp_exchange x = { 0 };
    struct orr_ntp_client_status status;
    enum orr_ntp_verdict verdict = orr_ntp_client_recv(s->client, a, &x);
    orr_ntp_client_status(s->client, &status);
    if (status.waiting) return false;
    s->stamp_error += error;
    orr_time worst = s->stamp_error > s->stamp_error_before ? s->stamp_error : s->stamp_error_before;
    x.stamp_error_ns = worst > UINT32_MAX - x.stamp_error_ns ? UINT32_MAX : x.stamp_error_ns + (uint32_t)worst;
    orri_ntp_hang_up(s);
    orri_ntp_answered(s, verdict, &x);
    return true;
}

/* False: no more to look at. */
static bool receive(struct orri_ntp_server *s) {
    unsigned char data[ORR_NTP_SIZE_MAX + 1];
    struct sockaddr_storage from;
    _Alignas(struct cmsghdr) char control[256];
    struct iovec part = { data, sizeof data };
    struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
                              .msg_control = control, .msg_controllen = sizeof control };
    ssize_t n = recvmsg(s->fd, &message, MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) s->why = orr_strerror(-errno);
    if (n < 0) return false;
    orr_time wall, local, error = 0;
    struct orr_ntp_arrival a = { .at = data, .size = (size_t)n, .from = orri_ntp_address(&from),
                                 .local = orr_ntp_local(), .wall = s->sent.wall };
    if (orri_ntp_received(&message, &wall) && believable(s, wall, &local, &error)) {
        a.local = local;
        a.by_kernel = true;
    } else {
        error = 0;
    }
    return !look(s, &a, error);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct orri_ntp_server *s = arg;
    orri_ntp_look_for_sleep(s->set);
    if (s->fd < 0) return;
    take_sent_stamps(s);
    for (unsigned i = 0; i < DATAGRAMS_A_CALL && receive(s); i++) {}
    orri_ntp_rearm(s->set);
}

/* -- Requests ------------------------------------------------------------------------------------------------------ */
static int put_out(struct orri_ntp_server *s, const unsigned char *request) {
    if (send(s->fd, request, ORR_NTP_SIZE, MSG_NOSIGNAL) < 0) return -errno;
    orri_event_set(s->set->loop, &s->readable, s->fd, EV_READ | EV_PERSIST, on_readable, s);
    return event_add(&s->readable, NULL) == 0 ? 0 : -ENOMEM;
}

void orri_ntp_ask(struct orri_ntp_server *s) {
    unsigned char request[ORR_NTP_SIZE];
    struct orr_ntp_cookies cookies;
    orri_ntp_hang_up(s);
    int fd = orri_ntp_connect(&s->address), error = orri_random(&cookies, sizeof cookies);
    if (fd >= 0) orri_ntp_stamps(fd, ORRI_NTP_RECEIVED | ORRI_NTP_SENT);
    if (error == 0 && fd < 0) error = fd;
    s->stamp_error_before = s->stamp_error;
    s->stamp_error = 0;
    s->cookie = cookies.transmit;
    s->sent = orri_ntp_moment();
    s->lost_at = s->sent.local + s->set->config.timeout;
    int refused = orr_ntp_client_request(s->client, orr_ntp_local(), &cookies, request);
    s->fd = fd;
    if (error == 0) error = refused == 0 ? put_out(s, request) : refused;
    s->why = error == 0 ? NULL : orr_strerror(error);
    if (error == 0) {
        take_sent_stamps(s);
        return;
    }
    if (fd >= 0) close(fd);
    s->fd = -1;
    orri_ntp_unanswered(s);
}
