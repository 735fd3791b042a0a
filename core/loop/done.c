/* done.c - how the disk's and the pool's threads hand requests back to the loop.
 *
 * They push onto one atomic stack; the loop takes the whole stack and turns it round, so what one thread finished keeps
 * its order. An eventfd is rung only when the loop may be asleep: before it waits it clears `awake` and looks once
 * more, and the first who finds `awake` clear sets it and rings. So a busy loop costs the threads no system call, and
 * since the eventfd is edge-triggered it costs the loop none to read it. Threads of the host ring in the same way. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop/inner.h"

static void on_ring(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;    /* that the loop has woken is all there is to it */
}

int orri_done_new(struct orr_loop *loop) {
    struct orri_done *d = &loop->done;
    d->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (d->fd < 0) return -errno;
    atomic_store(&d->awake, true);
    orri_event_set(loop, &d->event, d->fd, EV_READ | EV_PERSIST | EV_ET, on_ring, loop);
    return event_add(&d->event, NULL) == 0 ? 0 : -ENOMEM;
}

void orri_done_free(struct orr_loop *loop) {
    if (loop->done.fd < 0) return;
    if (event_initialized(&loop->done.event)) event_del(&loop->done.event);
    close(loop->done.fd);
    loop->done.fd = -1;
}

void orri_done_push(struct orr_loop *loop, struct orri_list *list) {
    struct orri_done *d = &loop->done;
    for (struct orr_req *req = orri_list_pop(list); req; req = orri_list_pop(list)) {
        struct orr_req *top = atomic_load(&d->finished);
        do req->next = top;
        while (!atomic_compare_exchange_weak(&d->finished, &top, req));
    }
}

void orri_done_ring(struct orr_loop *loop) {
    if (atomic_exchange(&loop->done.awake, true)) return;
    uint64_t one = 1;
    ssize_t n = write(loop->done.fd, &one, sizeof one);
    ORR_ASSERT(n == (ssize_t)sizeof one);   /* the count can't overflow in the life of a machine */
}

void orr_loop_ring(struct orr_loop *loop) {
    atomic_store(&loop->done.rung, true);
    orri_done_ring(loop);
}

void orri_done_collect(struct orr_loop *loop) {
    struct orr_req *turned = NULL;
    for (struct orr_req *req = atomic_exchange(&loop->done.finished, NULL), *next; req; req = next) {
        next = req->next;
        req->next = turned;
        turned = req;
    }
    for (struct orr_req *next; turned; turned = next) {
        next = turned->next;
        orri_list_add(&loop->finished, turned);
    }
}

bool orri_done_sleep(struct orr_loop *loop) {
    atomic_store(&loop->done.awake, false);
    if (!atomic_load(&loop->done.finished) && !atomic_load(&loop->done.rung)) return true;
    atomic_store(&loop->done.awake, true);
    return false;
}
