/* stream_test.c - streams of the real world, between two worlds in one process. */
#include "sides.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CROSSING_BYTES = 128 << 20 };
#else
enum { CROSSING_BYTES = 1 << 30 };
#endif

static void bytes_go_there_and_back(void **state) {
    (void)state;
    expected_next = &(struct side){ .echo = true };
    struct side *s = dial();
    assert_int_equal(say(s, 0, "said before the connection was there, "), 0);
    struct side *o = other_of();
    assert_int_equal(say(s, 0, "and after"), 0);
    s->to_send = 47;
    until_n(both, 2, has_got, s);
    assert_memory_equal(s->bytes, "said before the connection was there, and after", 47);
    close_side(s, true);
    BOTH_UNTIL(n_closed, 2);
    assert_int_equal(s->status, ORR_ECLOSED);
    assert_int_equal(o->status, 0);
}

static bool crossing_done(void *ud) {
    const struct side *s = ud;
    return s[0].got == CROSSING_BYTES && s[1].got == CROSSING_BYTES;
}
static void much_goes_both_ways_at_once(void **state) {
    (void)state;
    expected_next = &(struct side){ .check = true, .to_send = CROSSING_BYTES };
    struct side *s = dial();
    s->check = true;
    s->to_send = CROSSING_BYTES;
    until_n(both, 2, crossing_done, sides);
    assert_true(sides[0].room > 10 && sides[1].room > 10);
    assert_int_equal(a.loop->n_queued, 0);
    close_side(s, true);
    BOTH_UNTIL(n_closed, 2);
}

static void above_the_limit_nothing_is_taken_and_room_comes_once(void **state) {
    (void)state;
    struct side *s = dial(), *o = other_of();
    struct orr_slice part = { pattern, pattern->at, 512 << 10 };
    unsigned taken = 0;
    b.w->ops->read_pause(b.w, o->stream, true);
    for (;;) {                              /* until the system takes no more either */
        int error = a.w->ops->send(a.w, s->stream, 1, &part, 1);
        if (error == ORR_EOVERLOADED) break;
        assert_int_equal(error, 0);
        taken++;
        orr_loop_step(a.loop, 0);
    }
    size_t queued = a.w->ops->queued(a.w, s->stream);
    assert_true(queued + part.size > a.loop->config.send_bytes_max);
    assert_int_equal(a.w->ops->queued(a.w, s->stream), queued);
    assert_int_equal(a.w->ops->send(a.w, s->stream, 0, &part, 1), 0);       /* control has a limit of its own */
    assert_int_equal(a.w->ops->send(a.w, s->stream, 0, &part, 1), 0);
    assert_int_equal(a.w->ops->send(a.w, s->stream, 0, &part, 1), ORR_EOVERLOADED);
    taken += 2;
    assert_int_equal(s->room, 0);
    b.w->ops->read_pause(b.w, o->stream, false);
    BOTH_UNTIL(s->room, 1);
    o->to_send = (uint64_t)taken * part.size;
    until_n(both, 2, has_got, o);
    assert_int_equal(o->got, o->to_send);
    o->to_send += 4;
    assert_int_equal(say(s, 0, "more"), 0);
    until_n(both, 2, has_got, o);
    for (unsigned i = 0; i < 3; i++) orr_loop_step(a.loop, 0);
    assert_int_equal(s->room, 1);
}

static void an_empty_stream_takes_any_one_call(void **state) {
    (void)state;
    struct side *s = dial(), *o = other_of();
    struct orr_slice parts[2] = { { pattern, pattern->at, 2 * PATTERN }, { pattern, pattern->at, 2 * PATTERN } };
    o->check = true;
    assert_int_equal(a.w->ops->send(a.w, s->stream, 0, parts, 2), 0);
    assert_int_equal(a.w->ops->send(a.w, s->stream, 0, parts, 1), ORR_EOVERLOADED);
    o->to_send = 4 * PATTERN;
    until_n(both, 2, has_got, o);
}

/* A reader of frames: 'c' or 'b', a number, a size, then that many bytes. */
struct frames {
    unsigned char buffer[FRAME + 16];
    size_t filled;
    unsigned n_control, n_bulk, bulk_before_control;
};
static struct frames frames;
static void eat_frames(struct node *n, struct orr_req *req) {
    struct orr_stream_event *e = (struct orr_stream_event *)(void *)req;
    if (req->op != ORR_OP_DATA || n != &b) {
        on_event(n, req);
        return;
    }
    for (size_t i = 0; i < e->data.size; i++) {
        frames.buffer[frames.filled++] = e->data.at[i];
        size_t size = frames.buffer[0] == 'c' ? 8 : FRAME;
        assert_true(frames.buffer[0] == 'c' || frames.buffer[0] == 'b');
        if (frames.filled < size) continue;
        for (size_t k = 1; k < size; k++) assert_int_equal(frames.buffer[k], frames.buffer[1]);
        if (frames.buffer[0] == 'c' && frames.n_control++ == 0) frames.bulk_before_control = frames.n_bulk;
        if (frames.buffer[0] == 'b') assert_int_equal(frames.buffer[1], frames.n_bulk++ % 251);
        frames.filled = 0;
    }
}
static void control_overtakes_bulk_between_frames_only(void **state) {
    (void)state;
    enum { BULK = 800 };
    a.loop->config.send_bytes_max = BULK * (size_t)FRAME + 4096;
    b.on = eat_frames;
    memset(&frames, 0, sizeof frames);
    struct side *s = dial(), *o = other_of();
    b.w->ops->read_pause(b.w, o->stream, true);
    for (unsigned i = 0; i < BULK; i++) {
        struct orr_chunk *c = a.w->chunks->get(a.w->chunks, FRAME);
        memset(c->at, (int)(i % 251), FRAME);
        c->at[0] = 'b';
        struct orr_slice parts[2] = { { c, c->at, 1000 }, { c, c->at + 1000, FRAME - 1000 } };
        assert_int_equal(a.w->ops->send(a.w, s->stream, 1, parts, 2), 0);
        orr_chunk_drop(c);
    }
    for (unsigned i = 0; i < 4; i++) orr_loop_step(a.loop, 0);
    assert_true(s->stream && a.w->ops->queued(a.w, s->stream) > 0);
    assert_int_equal(say(s, 0, "cxxxxxxxcyyyyyyy"), 0);
    b.w->ops->read_pause(b.w, o->stream, false);
    BOTH_UNTIL(frames.n_bulk, BULK);
    assert_int_equal(frames.n_control, 2);
    assert_true(frames.bulk_before_control < BULK - 10);
}

static void a_paused_stream_is_silent_and_loses_nothing(void **state) {
    (void)state;
    struct side *s = dial(), *o = other_of();
    b.w->ops->read_pause(b.w, o->stream, true);
    assert_int_equal(say(s, 0, "held back"), 0);
    close_side(s, true);
    for (unsigned i = 0; i < 20; i++) orr_loop_step(a.loop, 0), orr_loop_step(b.loop, ORR_MS);
    assert_int_equal(o->got, 0);
    assert_int_equal(o->closed, 0);
    b.w->ops->read_pause(b.w, o->stream, false);
    BOTH_UNTIL(n_closed, 2);
    assert_int_equal(o->got, 9);
}

static void pause_at_data(struct node *n, struct orr_req *req) {
    on_event(n, req);
    if (n == &b && req->op == ORR_OP_DATA)
        b.w->ops->read_pause(b.w, ((struct orr_stream_event *)(void *)req)->stream, true);
}
static void a_pause_holds_back_what_is_ready_already(void **state) {
    (void)state;
    b.on = pause_at_data;
    struct side *s = dial(), *o = other_of();
    s->to_send = 1 << 20;
    pump(s);
    for (unsigned rounds = 1; o->got < 1 << 20; rounds++) {
        uint64_t before = o->got;
        while (o->got == before) orr_loop_step(a.loop, 0), orr_loop_step(b.loop, 0);
        assert_true(o->got - before <= READ_CHUNK);     /* one DATA for each resumption */
        b.w->ops->read_pause(b.w, o->stream, false);
        assert_true(rounds < 100000);
    }
}

static void a_dial_that_meets_itself_is_refused(void **state) {
    (void)state;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);    /* nobody listens, and yet */
    struct orri_stream *stream = orri_stream_new(a.loop, fd, NULL);
    struct side *s = side_new(&a, &stream->face);
    orri_connect_done(stream);
    BOTH_UNTIL(n_closed, 1);
    assert_int_equal(s->begun, 0);
    assert_int_equal(s->status, -ECONNREFUSED);
}

static void a_dial_that_is_refused_only_closes(void **state) {
    (void)state;
    assert_int_equal(a.w->ops->peer(a.w, 8, address_of(free_port())), 0);
    struct orr_stream *stream;
    assert_int_equal(a.w->ops->connect(a.w, 8, &stream), 0);
    struct side *s = side_new(&a, stream);
    BOTH_UNTIL(n_closed, 1);
    assert_int_equal(s->begun, 0);
    assert_int_equal(s->status, -ECONNREFUSED);
    assert_int_equal(a.w->ops->connect(a.w, 9, &stream), ORR_EUNAVAILABLE);
    assert_int_equal(a.w->ops->peer(a.w, 8, NULL), 0);
    assert_int_equal(a.w->ops->connect(a.w, 8, &stream), ORR_EUNAVAILABLE);
}

static void a_dial_to_nowhere_ends_when_patience_does(void **state) {
    (void)state;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int full = socket(AF_INET, SOCK_STREAM, 0), fillers[8];
    assert_int_equal(bind(full, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(full, 0), 0);           /* nobody accepts, and the queue has room for one */
    assert_int_equal(getsockname(full, (struct sockaddr *)&at, &size), 0);
    for (unsigned i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&at, sizeof at);
    }
    a.loop->config.patience = 50 * ORR_MS;
    assert_int_equal(a.w->ops->peer(a.w, 8, address_of(ntohs(at.sin_port))), 0);
    struct orr_stream *stream;
    assert_int_equal(a.w->ops->connect(a.w, 8, &stream), 0);
    struct side *s = side_new(&a, stream);
    BOTH_UNTIL(n_closed, 1);
    assert_int_equal(s->begun, 0);
    assert_int_equal(s->status, ORR_ETIMEOUT);
    for (unsigned i = 0; i < 8; i++) close(fillers[i]);
    close(full);
}

static void crossing_dials_are_two_streams(void **state) {
    (void)state;
    int other = free_port();
    assert_int_equal(a.w->ops->listen(a.w, address_of(other), 4, 10), 0);
    assert_int_equal(b.w->ops->peer(b.w, 6, address_of(other)), 0);
    struct orr_stream *stream;
    dial();
    assert_int_equal(b.w->ops->connect(b.w, 6, &stream), 0);
    side_new(&b, stream);
    BOTH_UNTIL(n_begun, 4);
    for (unsigned i = 0; i < 2; i++) close_side(&sides[i], i == 0);     /* each closes what it dialled */
    BOTH_UNTIL(n_closed, 4);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(bytes_go_there_and_back),
        T(much_goes_both_ways_at_once),
        T(above_the_limit_nothing_is_taken_and_room_comes_once),
        T(an_empty_stream_takes_any_one_call),
        T(control_overtakes_bulk_between_frames_only),
        T(a_paused_stream_is_silent_and_loses_nothing),
        T(a_pause_holds_back_what_is_ready_already),
        T(a_dial_that_meets_itself_is_refused),
        T(a_dial_that_is_refused_only_closes),
        T(a_dial_to_nowhere_ends_when_patience_does),
        T(crossing_dials_are_two_streams),
    };
    return cmocka_run_group_tests_name("loop.stream", tests, NULL, NULL);
}
