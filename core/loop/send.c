/* send.c - what a stream has to say: two queues of slices, and one writev a turn.
 *
 * Class 0 (control) goes before class 1 (bulk), but a bulk call that has begun ends first: a call is a frame. Its limit
 * counts its own bytes only, so that a queue full of bulk refuses no heartbeat. Slices are
 * held until the system has their bytes; borrowed ones are copied together into a scratch chunk. What follows its
 * predecessor in memory is joined to it, so a hundred small answers are one part of the writev;
 * where that joins two bulk calls, the border between them is lost to control, which is why a joined part is bounded.
 *
 * Little is left to wait in the kernel (TCP_NOTSENT_LOWAT, set in peer.c): bytes that it has can't be overtaken.   */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "loop/inner.h"

enum { PIECES_A_BLOCK = 64, JOINED_MAX = 16 << 10, FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT };

struct orri_block {                 /* of pieces; kept until the loop is freed */
    struct orri_block *next;
    struct orri_piece pieces[PIECES_A_BLOCK];
};

/* -- Pieces -------------------------------------------------------------------------------------------------------- */
static void piece_put(struct orr_loop *loop, struct orri_piece *p) {
    orr_drop(p->slice);
    p->next = loop->free_pieces;
    loop->free_pieces = p;
}

/* Sees to it that n pieces are free. */
static bool pieces_reserve(struct orr_loop *loop, size_t n) {
    size_t have = 0;
    for (struct orri_piece *p = loop->free_pieces; p && have < n; p = p->next) have++;
    for (; have < n; have += PIECES_A_BLOCK) {
        struct orri_block *b = orri_alloc(loop, sizeof *b);
        if (!b) return false;
        b->next = loop->piece_blocks;
        loop->piece_blocks = b;
        for (size_t i = 0; i < PIECES_A_BLOCK; i++) piece_put(loop, &b->pieces[i]);
    }
    return true;
}

void orri_send_free(struct orr_loop *loop) {
    for (struct orri_block *b = loop->piece_blocks, *next; b; b = next) {
        next = b->next;
        orri_dealloc(loop, b, sizeof *b);
    }
    loop->piece_blocks = NULL;
    loop->free_pieces = NULL;
}

/* Takes the slice over, with its hold. */
static void queue_add(struct orr_loop *loop, struct orri_queue *q, struct orr_slice slice) {
    struct orri_piece *last = q->last;
    if (last && last->slice.chunk == slice.chunk && last->slice.at + last->slice.size == slice.at &&
        last->slice.size + slice.size <= JOINED_MAX) {
        last->slice.size += slice.size;
        last->ends = false;
        orr_drop(slice);
        return;
    }
    struct orri_piece *p = loop->free_pieces;
    loop->free_pieces = p->next;
    *p = (struct orri_piece){ .slice = slice };
    if (last) last->next = p;
    else q->first = p;
    q->last = p;
}

static void queue_pop(struct orr_loop *loop, struct orri_queue *q) {
    struct orri_piece *p = q->first;
    q->first = p->next;
    if (!q->first) q->last = NULL;
    piece_put(loop, p);
}

/* -- Sending ------------------------------------------------------------------------------------------------------- */
/* Room for `size` bytes in the scratch chunk, or a chunk of their own. */
static bool scratch_room(struct orr_loop *loop, size_t size) {
    if (loop->scratch && loop->scratch->refs == 1) loop->scratch_used = 0;
    if (loop->scratch && loop->scratch->cap - loop->scratch_used >= size) return true;
    struct orr_chunk *fresh = loop->world.chunks->get(loop->world.chunks, size > SCRATCH_CHUNK ? size : SCRATCH_CHUNK);
    if (!fresh) return false;
    orr_chunk_drop(loop->scratch);
    loop->scratch = fresh;
    loop->scratch_used = 0;
    return true;
}

static struct orr_slice scratch_copy(struct orr_loop *loop, struct orr_slice from) {
    struct orr_slice to = { loop->scratch, loop->scratch->at + loop->scratch_used, from.size };
    memcpy(loop->scratch->at + loop->scratch_used, from.at, from.size);
    loop->scratch_used += from.size;
    return orr_hold(to);
}

int orri_send(struct orr_world *w, struct orr_stream *face, unsigned cls, const struct orr_slice *parts,
              size_t n_parts) {
    struct orr_loop *loop = orri_loop(w);
    struct orri_stream *s = (struct orri_stream *)(void *)face;
    size_t size = 0, copied = 0;
    if (s->left) return ORR_ECLOSED;
    if (s->state == ENDED || s->broken) return 0;   /* it goes to nobody; CLOSED is on its way */
    for (size_t i = 0; i < n_parts; i++) {
        size += parts[i].size;
        if (!parts[i].chunk) copied += parts[i].size;
    }
    if (size == 0) return 0;
    struct orri_queue *q = &s->queues[cls == 0 ? 0 : 1];
    size_t before = cls == 0 ? q->bytes : s->queued;
    if (before > 0 && before + size > loop->config.send_bytes_max) {
        s->starved = true;
        return ORR_EOVERLOADED;
    }
    if (!pieces_reserve(loop, n_parts) || (copied > 0 && !scratch_room(loop, copied))) return -ENOMEM;

    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].size == 0) continue;
        queue_add(loop, q, parts[i].chunk ? orr_hold(parts[i]) : scratch_copy(loop, parts[i]));
    }
    q->last->ends = true;
    q->bytes += size;
    s->queued += size;
    loop->n_queued += size;
    if (!s->writing && s->state == OPEN && !orri_linked(&s->dirty)) orri_link_last(&loop->dirty, &s->dirty);
    orri_nudge(loop);
    return 0;
}

size_t orri_queued(struct orr_world *w, const struct orr_stream *s) {
    (void)w;
    return orri_stream_of(s)->queued;
}

void orri_send_drop(struct orri_stream *s) {
    for (unsigned cls = 0; cls < 2; cls++) {
        while (s->queues[cls].first) queue_pop(s->loop, &s->queues[cls]);
        s->queues[cls].bytes = 0;
    }
    s->loop->n_queued -= s->queued;
    s->queued = 0;
    s->bulk_begun = false;
}

/* -- Writing ------------------------------------------------------------------------------------------------------- */
/* The order in which pieces go out is decided here alone: for gathering them and for taking off what was written. */
static unsigned class_next(const struct orri_piece *control, bool bulk_begun) { return bulk_begun || !control ? 1 : 0; }

static size_t gather(const struct orri_stream *s, struct iovec *parts) {
    const struct orri_piece *at[2] = { s->queues[0].first, s->queues[1].first };
    bool begun = s->bulk_begun;
    size_t n = 0;
    while (n < SEND_PARTS_MAX && (at[0] || at[1])) {
        unsigned cls = class_next(at[0], begun);
        const struct orri_piece *p = at[cls];
        parts[n].iov_base = (void *)(uintptr_t)p->slice.at;
        parts[n++].iov_len = p->slice.size;
        if (cls == 1) begun = !p->ends;
        at[cls] = p->next;
    }
    return n;
}

static void written(struct orri_stream *s, size_t n) {
    s->queued -= n;
    s->loop->n_queued -= n;
    s->loop->stats.bytes_out += n;
    while (n > 0) {
        unsigned cls = class_next(s->queues[0].first, s->bulk_begun);
        struct orri_piece *p = s->queues[cls].first;
        size_t part = n < p->slice.size ? n : p->slice.size;
        p->slice.at += part;
        p->slice.size -= part;
        s->queues[cls].bytes -= part;
        n -= part;
        if (cls == 1) s->bulk_begun = p->slice.size > 0 || !p->ends;
        if (p->slice.size == 0) queue_pop(s->loop, &s->queues[cls]);
    }
    if (s->starved && s->queued < s->loop->config.send_bytes_max / 2) {
        s->starved = false;
        orri_stream_pend(s, ROOM);
    }
}

/* What the other side had said before the connection broke is still to be read. */
static void send_failed(struct orri_stream *s, int error) {
    if (s->state != OPEN || s->paused || s->at_end) {
        orri_stream_end(s, error);
        return;
    }
    orri_send_drop(s);
    s->broken = true;
    s->status = error;
    orri_stream_pend(s, READABLE);
}

static void wait_writable(struct orri_stream *s) {
    if (event_add(&s->out, NULL) == 0) s->writing = true;
    else orri_stream_end(s, -ENOMEM);
}

static void flush(struct orri_stream *s) {
    struct iovec parts[SEND_PARTS_MAX];
    struct msghdr message = { .msg_iov = parts };
    orri_unlink(&s->dirty);
    while (s->queued > 0) {
        message.msg_iovlen = gather(s, parts);
        ssize_t n = message.msg_iovlen == 1 ? send(s->fd, parts[0].iov_base, parts[0].iov_len, FLAGS)
                                            : sendmsg(s->fd, &message, FLAGS);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            wait_writable(s);
            return;
        }
        if (n < 0) {
            send_failed(s, -errno);
            return;
        }
        written(s, (size_t)n);
    }
    orri_stream_flushed(s);
}

/* A turn that has much to say to very many goes on with it in the next, so that none is long. */
void orri_send_flush(struct orr_loop *loop) {
    for (unsigned n = 1; orri_linked(&loop->dirty); n++) {
        flush(ORRI_MEMBER(loop->dirty.next, struct orri_stream, dirty));
        if (n % 16 == 0 && orri_boottime() - loop->now > 2 * loop->config.turn_time) return;
    }
}

void orri_send_writable(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct orri_stream *s = arg;
    s->writing = false;             /* the event was for once */
    if (s->state == CONNECTING) orri_connect_done(s);
    else flush(s);
}
