/* ntp_stamp.c - the two clocks read together, and the kernel's stamps of what came and what left.
 *
 * The kernel stamps by its wall clock, which is slewed by up to 500 ppm, while the local clock may be as far from truth
 * the other way: what a stamp loses by its age is a thousandth at most. A stamp of what came may be missing for the
 * first datagrams after nobody wanted stamps; SO_TIMESTAMPING leaves it out then, where SO_TIMESTAMPNS makes one up at
 * the read. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include <linux/errqueue.h>         /* after <time.h> */
#include <linux/net_tstamp.h>

#include "loop/ntp_inner.h"

enum { BRACKETS = 3, RATE_MAX = 1000 };     /* the latter: one in so many */

static orr_time of_timespec(const struct timespec *t) { return (orr_time)t->tv_sec * ORR_SECOND + t->tv_nsec; }

static orr_time read_clock(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return of_timespec(&t);
}

/* -- Clocks -------------------------------------------------------------------------------------------------------- */
orr_time orr_ntp_local(void) { return read_clock(CLOCK_MONOTONIC_RAW); }

struct orri_ntp_moment orri_ntp_moment(void) {
    struct orri_ntp_moment best = { .error = ORR_NEVER };
    for (unsigned i = 0; i < BRACKETS; i++) {
        orr_time before = orr_ntp_local(), wall = read_clock(CLOCK_REALTIME), after = orr_ntp_local();
        orr_time half = (after - before + 1) / 2;
        if (half < best.error) best = (struct orri_ntp_moment){ before + half, wall, half };
    }
    return best;
}

orr_time orr_ntp_wall_offset(orr_time *error) {
    struct orri_ntp_moment m = orri_ntp_moment();
    if (error) *error = m.error;
    return m.wall - m.local;
}

bool orri_ntp_was_set(const struct orri_ntp_moment *a, const struct orri_ntp_moment *b) {
    orr_time moved = (b->wall - b->local) - (a->wall - a->local);
    orr_time allowed = a->error + b->error + (b->local - a->local) / RATE_MAX + ORR_US;
    return moved > allowed || moved < -allowed;
}

orr_time orri_ntp_to_local(const struct orri_ntp_moment *m, orr_time wall, orr_time *error) {
    orr_time age = m->wall - wall;
    *error = m->error + (age > 0 ? age : -age) / RATE_MAX;
    return m->local - age;
}

/* Read in this order, time between the readings makes it less. */
orr_time orri_ntp_slept(void) {
    orr_time with = read_clock(CLOCK_BOOTTIME);
    return with - read_clock(CLOCK_MONOTONIC);
}

/* -- Stamps -------------------------------------------------------------------------------------------------------- */
bool orri_ntp_stamps(int fd, unsigned which) {
    int one = 1, flags = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE;
    if (which & (ORRI_NTP_SENT | ORRI_NTP_SENT_ASKED)) flags |= SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
    if (which & ORRI_NTP_SENT) flags |= SOF_TIMESTAMPING_TX_SOFTWARE;
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) == 0) return true;
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) == 0 && which == ORRI_NTP_RECEIVED;
}

static bool stamp_in(const struct cmsghdr *c, orr_time *wall) {
    struct timespec t;              /* the first of SCM_TIMESTAMPING's three is the kernel's own */
    if (c->cmsg_level != SOL_SOCKET || (c->cmsg_type != SCM_TIMESTAMPING && c->cmsg_type != SCM_TIMESTAMPNS))
        return false;
    if (c->cmsg_len < CMSG_LEN(sizeof t)) return false;
    memcpy(&t, CMSG_DATA(c), sizeof t);
    *wall = of_timespec(&t);
    return *wall != 0;
}

bool orri_ntp_received(struct msghdr *message, orr_time *wall) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (stamp_in(c, wall)) return true;
    return false;
}

void orri_ntp_ask_stamp(struct cmsghdr *at) {
    uint32_t flags = SOF_TIMESTAMPING_TX_SOFTWARE;
    *at = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SO_TIMESTAMPING,
                            .cmsg_len = CMSG_LEN(sizeof flags) };
    memcpy(CMSG_DATA(at), &flags, sizeof flags);
}

static bool number_in(const struct cmsghdr *c, uint32_t *number) {
    struct sock_extended_err e;
    bool error = (c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) ||
                 (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR);
    if (!error || c->cmsg_len < CMSG_LEN(sizeof e)) return false;
    memcpy(&e, CMSG_DATA(c), sizeof e);
    *number = e.ee_data;
    return e.ee_origin == SO_EE_ORIGIN_TIMESTAMPING && e.ee_info == SCM_TSTAMP_SND;
}

int orri_ntp_sent(int fd, uint32_t *number, orr_time *wall) {
    _Alignas(struct cmsghdr) char control[512];
    struct msghdr message = { .msg_control = control, .msg_controllen = sizeof control };
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return -errno;
    bool stamped = false, numbered = false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        stamped = stamped || stamp_in(c, wall);
        numbered = numbered || number_in(c, number);
    }
    return stamped && numbered;
}
