/* clock.c - time: the machine's CLOCK_BOOTTIME, its wall clock's jumps, and the one alarm.
 *
 * The alarm is a timerfd on CLOCK_BOOTTIME and not a libevent timer: it is due after a suspend too, is exact to
 * microseconds, and shows in the descriptor that a host polls. It is set lazily: one that stands for an earlier time
 * stays, and the early turn that it brings sets it anew. A node that moves its alarm with every message pays nothing.
 * With slack the timer is set for the latest time, and every turn after the earliest serves the alarm.
 *
 * A jump of the wall clock is a change of (realtime - boottime) that slewing can't explain: slewing is bounded at
 * 500 ppm by the kernel; 1000 ppm and 10 ms are allowed for.                                                         */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "loop/inner.h"

#define WALL_CHECK_EVERY ORR_SECOND
#define WALL_JUMP_MIN (10 * ORR_MS)

static orr_time clock_read(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (orr_time)t.tv_sec * ORR_SECOND + t.tv_nsec;
}
orr_time orri_boottime(void) { return clock_read(CLOCK_BOOTTIME); }

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct orr_loop *loop = arg;
    loop->timer_at = ORR_NEVER;     /* edge-triggered: the next setting makes the next edge */
}

int orri_clock_new(struct orr_loop *loop) {
    loop->alarm = loop->timer_at = ORR_NEVER;
    loop->now = loop->wall_checked = orri_boottime();
    loop->wall_offset = clock_read(CLOCK_REALTIME) - loop->now;
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->timer_fd < 0) return -errno;
    orri_event_set(loop, &loop->timer, loop->timer_fd, EV_READ | EV_PERSIST | EV_ET, on_timer, loop);
    return event_add(&loop->timer, NULL) == 0 ? 0 : -ENOMEM;
}

void orri_clock_free(struct orr_loop *loop) {
    if (loop->timer_fd < 0) return;
    if (event_initialized(&loop->timer)) event_del(&loop->timer);
    close(loop->timer_fd);
    loop->timer_fd = -1;
}

static void wall_check(struct orr_loop *loop, orr_time realtime, orr_time boottime) {
    orr_time offset = realtime - boottime, moved = offset - loop->wall_offset;
    orr_time allowed = WALL_JUMP_MIN + (boottime - loop->wall_checked) / 1000;
    if (moved > allowed || moved < -allowed) loop->wall_steps++;
    loop->wall_offset = offset;
    loop->wall_checked = boottime;
}

void orri_clock_read(struct orr_loop *loop) {
    orr_time now = orri_boottime();
    if (now > loop->now) loop->now = now;
    if (now - loop->wall_checked >= WALL_CHECK_EVERY) wall_check(loop, clock_read(CLOCK_REALTIME), now);
}

void orri_wall(struct orr_world *w, struct orr_wall *out) {
    struct orr_loop *loop = orri_loop(w);
    orr_time boottime = orri_boottime();
    out->realtime = clock_read(CLOCK_REALTIME);
    wall_check(loop, out->realtime, boottime);
    out->steps = loop->wall_steps;
}

/* Outside a turn, where a host calls its node, the last turn's time may be long ago. */
orr_time orri_now(struct orr_world *w) {
    struct orr_loop *loop = orri_loop(w);
    if (!loop->in_turn) orri_clock_read(loop);
    return loop->now;
}
orr_time orri_fresh(struct orr_world *w) { return (void)w, orri_boottime(); }

void orri_alarm(struct orr_world *w, orr_time at, orr_time slack) {
    struct orr_loop *loop = orri_loop(w);
    loop->alarm = at;
    loop->alarm_slack = slack > 0 ? slack : 0;
    orri_nudge(loop);
}

static orr_time sooner(orr_time a, orr_time b) { return a < b ? a : b; }

/* What is due at these times needs no exactness, so only the alarm has slack. */
static orr_time patience_next(const struct orr_loop *loop) {
    orr_time next = loop->accept_again;
    if (orri_linked(&loop->patient))
        next = sooner(next, ORRI_MEMBER(loop->patient.next, struct orri_stream, patient)->patience_ends);
    for (struct orri_link *l = loop->guests.next; l != &loop->guests; l = l->next)
        next = sooner(next, ORRI_MEMBER(l, struct orri_guest, all)->deadline);
    return next;
}
orr_time orri_next_time(const struct orr_loop *loop) { return sooner(loop->alarm, patience_next(loop)); }

void orri_clock_arm(struct orr_loop *loop, orr_time until) {
    orr_time latest = loop->alarm > ORR_NEVER - loop->alarm_slack ? ORR_NEVER : loop->alarm + loop->alarm_slack;
    orr_time at = sooner(sooner(latest, patience_next(loop)), until);
    if (at >= loop->timer_at) return;       /* the one that stands comes first, or none is needed */
    if (at < 1) at = 1;                     /* 0 would disarm it */
    struct itimerspec spec = { .it_value = { .tv_sec = at / ORR_SECOND, .tv_nsec = at % ORR_SECOND } };
    if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0) loop->timer_at = at;
}
