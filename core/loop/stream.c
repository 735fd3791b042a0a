/* stream.c - the life of a TCP stream on the loop, and reading.
 *
 *     CONNECTING --> OPEN --> FLUSHING --> DRAINING --> ENDED
 *          \___________\__________\____________\__________/
 *
 * FLUSHING: close(flush) was called, what is queued still goes out. DRAINING: all is out and we have shut our side;
 * what still comes in is thrown away, for closing with unread bytes would reset the connection and could take our last
 * bytes from the other side's hands. Both, and connecting, have a time of patience, which is the same for all, so the
 * list of the patient is in order of their ends. ENDED: the descriptor is closed, CLOSED is pending; once it was taken
 * and the next take has come, the stream is freed.
 *
 * A stream is in the ready list while something is pending for the node. CLOSED comes after every byte that was read; a
 * reset is seen when reading, after what had come before it.                                                         */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/inner.h"

static struct orri_stream *stream_of(struct orr_stream *s) { return (struct orri_stream *)(void *)s; }

/* -- Life ---------------------------------------------------------------------------------------------------------- */
/* What the node would be given now. */
static unsigned pending_now(const struct orri_stream *s) {
    return s->paused ? s->pending & ~(unsigned)READABLE : s->pending;
}

void orri_stream_pend(struct orri_stream *s, unsigned pending) {
    s->pending |= (uint8_t)pending;
    if (pending_now(s) && !orri_linked(&s->ready)) orri_link_last(&s->loop->ready, &s->ready);
}

static void reading(struct orri_stream *s, bool on) {
    if (s->reading == on) return;
    if (on ? event_add(&s->in, NULL) : event_del(&s->in)) return;   /* stays as it was: read_pause tries again */
    s->reading = on;
}

/* Read and throw away what a stream says that we have closed, up to a share of the turn. */
static void drain(struct orri_stream *s) {
    struct orr_loop *loop = s->loop;
    char waste[4096];
    for (size_t n = 0; n < loop->config.stream_turn_bytes;) {
        ssize_t got = recv(s->fd, waste, sizeof waste, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            orri_stream_end(s, ORR_ECLOSED);
            return;
        }
        n += (size_t)got;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct orri_stream *s = arg;
    if (s->state == DRAINING) drain(s);
    else if (s->state == OPEN && s->paused) reading(s, false);
    else if (s->state == OPEN) orri_stream_pend(s, READABLE);
    else reading(s, false);
}

struct orri_stream *orri_stream_new(struct orr_loop *loop, int fd, struct orri_listener *listener) {
    struct orri_stream *s = orri_alloc(loop, sizeof *s);
    if (!s) return NULL;
    s->face.serial = ++loop->serial;
    s->loop = loop;
    s->listener = listener;
    s->fd = fd;
    s->state = CONNECTING;
    orri_link_init(&s->all);
    orri_link_init(&s->ready);
    orri_link_init(&s->dirty);
    orri_link_init(&s->patient);
    orri_link_last(&loop->streams, &s->all);
    orri_event_set(loop, &s->in, fd, EV_READ | EV_PERSIST, on_readable, s);
    orri_event_set(loop, &s->out, fd, EV_WRITE, orri_send_writable, s);
    if (listener) listener->connections++;
    loop->n_streams++;
    return s;
}

void orri_stream_free(struct orri_stream *s) {
    ORR_ASSERT(s->state == ENDED);
    orri_unlink(&s->ready);
    orri_unlink(&s->all);
    orri_dealloc(s->loop, s, sizeof *s);
}

void orri_stream_opened(struct orri_stream *s, unsigned pending) {
    s->state = OPEN;
    orri_unlink(&s->patient);
    reading(s, true);
    if (!s->reading) {
        orri_stream_end(s, -ENOMEM);
        return;
    }
    if (s->queued > 0) orri_link_last(&s->loop->dirty, &s->dirty);
    orri_stream_pend(s, pending);
}

void orri_stream_end(struct orri_stream *s, int status) {
    if (s->state == ENDED) return;
    s->state = ENDED;
    s->status = status;
    if (s->reading) event_del(&s->in);
    if (s->writing) event_del(&s->out);
    s->reading = s->writing = false;
    orri_unlink(&s->dirty);
    orri_unlink(&s->patient);
    orri_send_drop(s);
    close(s->fd);
    s->fd = -1;
    s->loop->n_streams--;
    if (s->listener) s->listener->connections--;
    if (s->loop->accept_again != ORR_NEVER) s->loop->accept_again = s->loop->now;   /* a descriptor has become free */
    s->pending &= ACCEPTED;         /* a node that is told of the end must have been told of the beginning */
    orri_stream_pend(s, CLOSED);
}

void orri_stream_wait(struct orri_stream *s) {
    s->patience_ends = s->loop->now + s->loop->config.patience;
    orri_link_last(&s->loop->patient, &s->patient);
}

void orri_streams_expire(struct orr_loop *loop) {
    while (orri_linked(&loop->patient)) {
        struct orri_stream *s = ORRI_MEMBER(loop->patient.next, struct orri_stream, patient);
        if (s->patience_ends > loop->now) return;
        orri_stream_end(s, s->state == DRAINING ? ORR_ECLOSED : ORR_ETIMEOUT);
    }
}

/* -- Closing ------------------------------------------------------------------------------------------------------- */
void orri_close(struct orr_world *w, struct orr_stream *face, bool flush) {
    struct orri_stream *s = stream_of(face);
    struct orr_loop *loop = orri_loop(w);
    if (s->state == ENDED || s->left) return;
    s->left = true;
    s->pending &= ACCEPTED;         /* no DATA and no ROOM from here on */
    s->starved = false;
    if (!flush || s->state == CONNECTING) {
        orri_stream_end(s, ORR_ECLOSED);
    } else {
        s->state = FLUSHING;
        reading(s, false);
        orri_stream_wait(s);
        if (!s->writing) orri_link_last(&loop->dirty, &s->dirty);   /* even with nothing queued */
    }
    orri_nudge(loop);
}

void orri_stream_flushed(struct orri_stream *s) {
    if (s->state == OPEN && s->at_end && !s->face.half) {
        orri_stream_end(s, 0);
    } else if (s->state == FLUSHING) {
        s->state = DRAINING;
        shutdown(s->fd, SHUT_WR);
        reading(s, true);
        drain(s);
    }
}

/* -- Reading ------------------------------------------------------------------------------------------------------- */
bool orri_read_room(struct orr_loop *loop, size_t size) {
    if (loop->read_chunk && loop->read_chunk->refs == 1) loop->read_used = 0;   /* nobody holds any of it */
    if (loop->read_chunk && loop->read_chunk->cap - loop->read_used >= size) return true;
    struct orr_chunk *fresh = loop->world.chunks->get(loop->world.chunks, READ_CHUNK);
    if (!fresh) return false;
    orr_chunk_drop(loop->read_chunk);
    loop->read_chunk = fresh;
    loop->read_used = 0;
    return true;
}

/* The next `size` bytes of the read chunk, which are filled. Held. */
struct orr_slice orri_read_slice(struct orr_loop *loop, size_t size) {
    struct orr_slice slice = { loop->read_chunk, loop->read_chunk->at + loop->read_used, size };
    loop->read_used += size;
    loop->turn_bytes += size;
    loop->stats.bytes_in += size;
    return orr_hold(slice);
}

/* The other side has ended, or the connection broke. What is queued goes out first where it still can. */
static void read_ended(struct orri_stream *s, int status) {
    s->pending &= (uint8_t)~READABLE;
    if (s->broken) status = s->status;
    if (status == 0 && s->face.half) {      /* the owner closes, when it has said what it owes */
        s->at_end = true;
        reading(s, false);
        orri_stream_pend(s, HALF);
        return;
    }
    if (status != 0 || s->queued == 0) {
        orri_stream_end(s, status);
        return;
    }
    s->at_end = true;
    reading(s, false);
    orri_stream_wait(s);
}

/* Reads what there is, at most one chunk. False: there was nothing after all. */
static bool read_some(struct orri_stream *s, struct orr_slice *out) {
    struct orr_loop *loop = s->loop;
    if (s->read_turn != loop->turn) {
        s->read_turn = loop->turn;
        s->read_bytes = 0;
    }
    if (s->at_end || !orri_read_room(loop, READ_ROOM_MIN)) {    /* without memory: the event comes again */
        s->pending &= (uint8_t)~READABLE;
        return false;
    }
    size_t room = loop->read_chunk->cap - loop->read_used;
    ssize_t n;
    do n = recv(s->fd, loop->read_chunk->at + loop->read_used, room, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN && !s->broken) s->pending &= (uint8_t)~READABLE;
        else read_ended(s, n == 0 ? 0 : -errno);
        return false;
    }
    s->read_bytes += (size_t)n;
    if ((size_t)n < room || s->read_bytes >= loop->config.stream_turn_bytes) s->pending &= (uint8_t)~READABLE;
    *out = orri_read_slice(loop, (size_t)n);
    return true;
}

void orri_read_pause(struct orr_world *w, struct orr_stream *face, bool on) {
    struct orri_stream *s = stream_of(face);
    if (s->state == ENDED || s->paused == on) return;
    s->paused = on;
    if (on) return;                 /* the event is taken out when it next comes: a short pause costs nothing */
    if (s->state == OPEN && !s->at_end) reading(s, true);
    orri_stream_pend(s, 0);
    orri_nudge(orri_loop(w));
}

/* -- Events -------------------------------------------------------------------------------------------------------- */
void orri_event_drop(struct orr_loop *loop) {
    orr_drop(loop->event.data);
    orr_drop(loop->datagram.data);
    loop->event.data = loop->datagram.data = orr_borrow(NULL, 0);
    if (loop->gone) orri_stream_free(loop->gone);
    loop->gone = NULL;
}

static struct orr_req *event(struct orri_stream *s, enum orr_op op, int status, struct orr_slice data) {
    struct orr_loop *loop = s->loop;
    loop->event = (struct orr_stream_event){
        .req = { .op = (uint16_t)op, .status = status, .result = data.size, .begun = loop->now, .ended = loop->now },
        .stream = &s->face,
        .data = data,
        .listener = s->listener ? s->listener->number : 0,
    };
    return &loop->event.req;
}

/* The first thing that is pending; NULL: it came to nothing. */
static struct orr_req *stream_next(struct orri_stream *s) {
    static const struct orr_slice none;
    struct orr_slice data;
    unsigned pending = pending_now(s);
    if (pending & (ACCEPTED | CONNECTED)) {
        s->pending &= (uint8_t)~(ACCEPTED | CONNECTED);
        return event(s, pending & ACCEPTED ? ORR_OP_ACCEPTED : ORR_OP_CONNECTED, 0, none);
    }
    if (pending & READABLE) return read_some(s, &data) ? event(s, ORR_OP_DATA, 0, data) : NULL;
    if (pending & HALF) {
        s->pending &= (uint8_t)~HALF;
        return event(s, ORR_OP_ENDED, 0, none);
    }
    if (pending & ROOM) {
        s->pending &= (uint8_t)~ROOM;
        return event(s, ORR_OP_ROOM, 0, none);
    }
    if (pending & CLOSED) {
        s->pending = 0;
        s->loop->gone = s;
        return event(s, ORR_OP_CLOSED, s->status, none);
    }
    return NULL;
}

/* The turn has read its share, or has lasted too long. The clock is cheap but not free, so it is asked seldom. */
static bool enough(struct orr_loop *loop) {
    if (loop->turn_bytes >= loop->config.turn_bytes) return true;
    return loop->turn_events % 8 == 7 && orri_boottime() - loop->now > loop->config.turn_time;
}

struct orr_req *orri_stream_take(struct orr_loop *loop) {
    while (orri_linked(&loop->ready)) {
        if (enough(loop)) return NULL;
        struct orri_stream *s = ORRI_MEMBER(loop->ready.next, struct orri_stream, ready);
        struct orr_req *req = stream_next(s);
        if (pending_now(s)) orri_link_last(&loop->ready, &s->ready);
        else orri_unlink(&s->ready);
        loop->turn_events++;        /* an end that was only found takes its time, too */
        if (req) return req;
    }
    return NULL;
}
