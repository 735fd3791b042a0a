/* sides.h - two worlds with a stream's sides: what each has seen, and streams that begin and close at most once each,
 * nothing before or after, or the test fails.                                                                        */
#ifndef SPEC_LOOP_SIDES_H
#define SPEC_LOOP_SIDES_H

#include "support.h"

#include "base/rng.h"

enum { PATTERN = 1 << 20, FRAME = 64 << 10 };

/* What one side has seen of one stream. */
struct side {
    struct node *node;
    struct orr_stream *stream;      /* NULL once closed */
    uint64_t serial;
    unsigned begun, room, closed;
    int status;
    bool closing;                   /* we called close: neither DATA nor ROOM from here on */
    uint64_t got, sent, to_send;
    bool echo, check;
    char bytes[256];                /* the first that came */
};
enum { SIDES_MAX = 4096 };
static struct side sides[SIDES_MAX];
static unsigned n_sides, n_begun, n_closed;
static struct node a, b;
static struct node *const both[] = { &a, &b };
static int port;
static struct orr_chunk *pattern;   /* of a's; 2 * PATTERN bytes that repeat after PATTERN */

static void pump(struct side *s) {
    while (s->stream && s->sent < s->to_send) {
        struct orr_slice part = { pattern, pattern->at + s->sent % PATTERN, FRAME };
        /* A chunk has one thread, but here also one world. */
        if (s->node != &a) part.chunk = NULL, part.size = FRAME / 4;
        if (part.size > s->to_send - s->sent) part.size = s->to_send - s->sent;
        if (s->node->w->ops->send(s->node->w, s->stream, 1, &part, 1) != 0) return;
        s->sent += part.size;
    }
}

static struct side *side_new(struct node *n, struct orr_stream *stream) {
    assert_true(n_sides < SIDES_MAX);
    struct side *s = &sides[n_sides++];
    *s = (struct side){ .node = n, .stream = stream, .serial = stream->serial };
    stream->owner = s;
    return s;
}

static void on_data(struct side *s, struct orr_slice data) {
    for (size_t i = 0; i < data.size && s->got + i < sizeof s->bytes; i++) s->bytes[s->got + i] = (char)data.at[i];
    for (size_t done = 0, n; s->check && done < data.size; done += n) {
        size_t at = (size_t)((s->got + done) % PATTERN);
        n = data.size - done < PATTERN ? data.size - done : PATTERN;
        if (memcmp(data.at + done, pattern->at + at, n) != 0) fail_msg("other bytes than were sent");
    }
    s->got += data.size;
    if (s->echo) assert_int_equal(s->node->w->ops->send(s->node->w, s->stream, 0, &data, 1), 0);
}

static struct side *expected_next;  /* what an accepted stream's side begins as */

static void on_event(struct node *n, struct orr_req *req) {
    struct orr_stream_event *e = (struct orr_stream_event *)(void *)req;
    struct side *s = e->stream->owner;
    if (req->op == ORR_OP_ACCEPTED) {
        assert_null(s);
        s = side_new(n, e->stream);
        if (expected_next) {
            s->echo = expected_next->echo;
            s->check = expected_next->check;
            s->to_send = expected_next->to_send;
        }
    }
    assert_non_null(s);
    assert_ptr_equal(s->stream, e->stream);
    assert_int_equal(s->serial, e->stream->serial);
    assert_int_equal(s->closed, 0);
    switch (req->op) {
    case ORR_OP_ACCEPTED:
    case ORR_OP_CONNECTED:
        assert_int_equal(s->begun++, 0);
        n_begun++;
        pump(s);
        break;
    case ORR_OP_DATA:
        assert_int_equal(s->begun, 1);
        assert_false(s->closing);
        assert_true(e->data.size > 0);
        on_data(s, e->data);
        break;
    case ORR_OP_ROOM:
        assert_false(s->closing);
        s->room++;
        assert_true(n->w->ops->queued(n->w, s->stream) < n->loop->config.send_bytes_max / 2);
        pump(s);
        break;
    case ORR_OP_CLOSED:
        s->closed = 1;
        s->status = req->status;
        s->stream = NULL;
        n_closed++;
        break;
    default: fail_msg("an unexpected request: %d", req->op);
    }
}

static void start_world(struct node *n, size_t send_max, orr_time patience) {
    struct orr_loop_config config;
    memset(n, 0, sizeof *n);
    node_config(n, &config);
    config.send_bytes_max = send_max;
    config.patience = patience;
    node_new_with(n, &config);
    n->on = on_event;
}

static int set_up_with(size_t send_max, orr_time patience) {
    n_sides = n_begun = n_closed = 0;
    expected_next = NULL;
    start_world(&a, send_max, patience);
    start_world(&b, send_max, patience);
    pattern = a.w->chunks->get(a.w->chunks, 2 * PATTERN);
    struct orr_rng rng;
    orri_rng_init(&rng, 1);
    orri_rng_fill(&rng, pattern->at, PATTERN);
    memcpy(pattern->at + PATTERN, pattern->at, PATTERN);
    port = free_port();
    assert_int_equal(b.w->ops->listen(b.w, address_of(port), 3, 3000), 0);
    assert_int_equal(a.w->ops->peer(a.w, 7, address_of(port)), 0);
    return 0;
}
static int set_up(void **state) {
    (void)state;
    return set_up_with(1 << 20, 5 * ORR_SECOND);
}
static int tear_down(void **state) {
    (void)state;
    orr_chunk_drop(pattern);
    orr_loop_free(a.loop);
    orr_loop_free(b.loop);
    return 0;
}

static struct side *dial(void) {
    struct orr_stream *stream;
    assert_int_equal(a.w->ops->connect(a.w, 7, &stream), 0);
    return side_new(&a, stream);
}
static void close_side(struct side *s, bool flush) {
    s->closing = true;
    s->node->w->ops->close(s->node->w, s->stream, flush);
    s->node->w->ops->close(s->node->w, s->stream, flush);      /* twice is once */
}
static int say(struct side *s, unsigned cls, const char *text) {
    struct orr_slice part = orr_borrow(text, strlen(text));
    return s->node->w->ops->send(s->node->w, s->stream, cls, &part, 1);
}
#define BOTH_UNTIL(counter, value) until_n(both, 2, has_reached, &(struct reached){ &(counter), (value) })

static inline bool has_got(void *ud) {
    const struct side *s = ud;
    return s->got >= s->to_send;
}

/* Begun on both sides; the accepted one. */
static inline struct side *other_of(void) {
    BOTH_UNTIL(n_begun, 2);
    return sides[0].node == &b ? &sides[0] : &sides[1];
}

#endif
