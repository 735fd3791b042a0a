/* socket_test.c - streams and datagrams of the real world whose other end is a plain socket or comes from nowhere. */
#include "sides.h"

/* -- Streams ------------------------------------------------------------------------------------------------------- */
static void an_answer_reaches_a_client_that_has_shut_its_side(void **state) {
    (void)state;
    char answer[16] = { 0 };
    expected_next = &(struct side){ .echo = true };
    int fd = dial_plain(port);
    assert_int_equal(write(fd, "ping", 4), 4);
    shutdown(fd, SHUT_WR);
    UNTIL(&b, n_closed, 1);
    assert_int_equal(sides[0].status, 0);
    assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), 4);
    assert_memory_equal(answer, "ping", 4);
    close(fd);
}

static struct orr_stream *half_ended;
static void answer_late(struct node *n, struct orr_req *req) {
    struct orr_stream_event *ev = (struct orr_stream_event *)(void *)req;
    (void)n;
    if (req->op == ORR_OP_ACCEPTED) ev->stream->half = true;
    if (req->op == ORR_OP_CLOSED) n_closed++;
    if (req->op != ORR_OP_ENDED) return;
    n_begun++;
    half_ended = ev->stream;
}

/* What is asked takes its time, and is answered in two pieces. */
static void a_late_answer_reaches_one_who_has_shut_his_side(void **state) {
    (void)state;
    char answer[16] = { 0 };
    b.on = answer_late;
    int fd = dial_plain(port);
    assert_int_equal(write(fd, "ping", 4), 4);
    shutdown(fd, SHUT_WR);
    UNTIL(&b, n_begun, 1);
    for (unsigned i = 0; i < 2; i++) {
        struct orr_slice part = orr_borrow("pong" + 2 * i, 2);
        assert_int_equal(b.w->ops->send(b.w, half_ended, 0, &part, 1), 0);
        for (unsigned k = 0; k < 5; k++) orr_loop_step(b.loop, ORR_MS);
        assert_int_equal(n_closed, 0);
    }
    b.w->ops->close(b.w, half_ended, true);
    UNTIL(&b, n_closed, 1);
    assert_int_equal(n_begun, 1);   /* told once */
    assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), 4);
    assert_memory_equal(answer, "pong", 4);
    close(fd);
}

static void a_long_answer_reaches_one_who_has_shut_his_side(void **state) {
    (void)state;
    int fd = dial_plain(port);
    UNTIL(&b, n_begun, 1);
    struct orr_slice parts[4];
    for (unsigned i = 0; i < 4; i++) parts[i] = (struct orr_slice){ pattern, pattern->at, 2 * PATTERN };
    assert_int_equal(b.w->ops->send(b.w, sides[0].stream, 1, parts, 4), 0);     /* more than the system takes at once */
    shutdown(fd, SHUT_WR);
    for (unsigned i = 0; i < 10; i++) orr_loop_step(b.loop, ORR_MS);
    assert_int_equal(n_closed, 0);
    assert_true(sides[0].stream && b.w->ops->queued(b.w, sides[0].stream) > 0);
    static char in[1 << 16];
    size_t got = 0;
    for (ssize_t n = 1; n != 0; got += n > 0 ? (size_t)n : 0) {
        n = recv(fd, in, sizeof in, MSG_DONTWAIT);
        if (n > 0) assert_memory_equal(in, pattern->at + got % PATTERN, (size_t)n);
        if (n < 0) orr_loop_step(b.loop, 0);
    }
    assert_int_equal(got, 8 * PATTERN);
    UNTIL(&b, n_closed, 1);
    assert_int_equal(sides[0].status, 0);
    close(fd);
}

static void who_comes_from_this_machine_is_known_by_that(void **state) {
    (void)state;
    int fd = dial_plain(port);
    UNTIL(&b, n_begun, 1);
    assert_true(sides[0].stream->local);            /* (127.0.0.1; nobody else comes in a test) */
    close(fd);
}

static void a_reset_is_an_end_with_a_reason(void **state) {
    (void)state;
    int fd = dial_plain(port);
    UNTIL(&b, n_begun, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    close(fd);
    UNTIL(&b, n_closed, 1);
    assert_int_equal(sides[0].status, -ECONNRESET);
}

static void writing_to_one_who_has_gone_raises_no_signal(void **state) {
    (void)state;
    int fd = dial_plain(port);
    UNTIL(&b, n_begun, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    close(fd);
    assert_int_equal(say(&sides[0], 0, "anybody there?"), 0);
    orr_loop_step(b.loop, 0);
    UNTIL(&b, n_closed, 1);
    assert_true(sides[0].status == -EPIPE || sides[0].status == -ECONNRESET);
}

static void what_is_sent_to_an_ended_stream_goes_to_nobody(void **state) {
    (void)state;
    int fd = dial_plain(port);
    UNTIL(&b, n_begun, 1);
    orri_stream_end((struct orri_stream *)(void *)sides[0].stream, -ECONNRESET);    /* CLOSED waits to be taken */
    assert_int_equal(say(&sides[0], 0, "anybody there?"), 0);
    assert_int_equal(b.w->ops->queued(b.w, sides[0].stream), 0);
    UNTIL(&b, n_closed, 1);
    close(fd);
}

static void one_who_never_reads_is_given_up_after_patience(void **state) {
    (void)state;
    int fd = dial_plain(port);
    UNTIL(&b, n_begun, 1);
    struct orr_slice part = { pattern, pattern->at, PATTERN };
    while (b.w->ops->send(b.w, sides[0].stream, 1, &part, 1) == 0) orr_loop_step(b.loop, 0);
    b.loop->config.patience = 50 * ORR_MS;
    close_side(&sides[0], true);
    assert_int_equal(say(&sides[0], 0, "x"), ORR_ECLOSED);
    UNTIL(&b, n_closed, 1);
    assert_int_equal(sides[0].status, ORR_ETIMEOUT);
    assert_int_equal(b.loop->n_queued, 0);
    close(fd);
}

static void the_last_words_reach_one_who_is_still_talking(void **state) {
    (void)state;
    enum { MUCH = 4 << 20 };
    char *bytes = calloc(1, MUCH), answer[32] = { 0 };
    int fd = dial_plain(port);
    UNTIL(&b, n_begun, 1);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    size_t sent = (size_t)write(fd, bytes, MUCH);
    assert_int_equal(say(&sides[0], 0, "too big"), 0);
    close_side(&sides[0], true);
    while (sent < MUCH) {                   /* goes on as a client does that has not looked yet */
        ssize_t n = write(fd, bytes + sent, MUCH - sent);
        if (n > 0) sent += (size_t)n;
        else assert_int_equal(errno, EAGAIN);
        orr_loop_step(b.loop, 0);
    }
    fcntl(fd, F_SETFL, 0);
    assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), 7);
    assert_memory_equal(answer, "too big", 7);
    close(fd);
    UNTIL(&b, n_closed, 1);
    free(bytes);
}

static void above_its_limit_a_listener_refuses(void **state) {
    (void)state;
    int other = free_port(), fds[6], refused = 0;
    char byte;
    b.say_nothing = true;
    assert_int_equal(b.w->ops->listen(b.w, address_of(other), 5, 4), 0);
    for (unsigned i = 0; i < 6; i++) fds[i] = dial_plain(other);
    UNTIL(&b, n_begun, 4);
    struct orr_world_stats stats;
    do orr_loop_step(b.loop, 0), orr_loop_stats(b.loop, &stats);
    while (stats.refused < 2);
    for (unsigned i = 0; i < 6; i++) refused += recv(fds[i], &byte, 1, MSG_DONTWAIT) == 0;
    assert_int_equal(refused, 2);
    assert_int_equal(stats.streams, 4);
    assert_int_equal(b.logged, 1);          /* once in a while, not once each */
    close(fds[0]);
    UNTIL(&b, n_closed, 1);
    int again = dial_plain(other);
    UNTIL(&b, n_begun, 5);
    close(again);
    for (unsigned i = 1; i < 6; i++) close(fds[i]);
}

static void without_descriptors_accepting_pauses_and_resumes(void **state) {
    (void)state;
    enum { CLIENTS = 20, ROOM_FOR = 8 };
    int fds[CLIENTS], last, refused = 0, gone = 0;
    char byte;
    struct rlimit before, low;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    b.say_nothing = true;
    orr_loop_fd(b.loop);                    /* looked up while there are descriptors for looking */
    for (unsigned i = 0; i < CLIENTS; i++) fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    last = dup(0);
    close(last);
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)last + ROOM_FOR;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (unsigned i = 0; i < CLIENTS; i++) assert_int_equal(connect(fds[i], (struct sockaddr *)&at, sizeof at), 0);
    UNTIL(&b, n_begun, ROOM_FOR);
    struct orr_world_stats stats;
    do orr_loop_step(b.loop, ORR_MS), orr_loop_stats(b.loop, &stats);
    while (stats.refused == 0);
    assert_int_not_equal(b.loop->accept_again, ORR_NEVER);
    for (unsigned i = 0; i < CLIENTS; i++) refused += recv(fds[i], &byte, 1, MSG_DONTWAIT) == 0;
    assert_true(refused >= 1 && refused < CLIENTS - ROOM_FOR);      /* the others wait */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    UNTIL(&b, n_begun, CLIENTS - (unsigned)stats.refused);
    assert_int_equal(b.loop->accept_again, ORR_NEVER);
    for (unsigned i = 0; i < CLIENTS; i++) gone += close(fds[i]);
    UNTIL(&b, n_closed, n_begun);
    assert_int_equal(gone, 0);
}

/* Counts what a world has allocated. */
static size_t allocated;
static void *counting_alloc(void *ud, void *ptr, size_t old_size, size_t new_size) {
    (void)ud;
    void *out = orr_alloc_libc.fn(orr_alloc_libc.ud, ptr, old_size, new_size);
    if (out || new_size == 0) allocated += new_size - old_size;
    return out;
}

static void two_thousand_clients_come_talk_and_go(void **state) {
    (void)state;
    enum { CLIENTS = 2000 };
    static int fds[CLIENTS];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    b.w->alloc.fn = counting_alloc;         /* the loop's own from here on */
    size_t before = allocated;
    expected_next = &(struct side){ .echo = true };
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = dial_plain(port);
        orr_loop_step(b.loop, 0);
    }
    UNTIL(&b, n_begun, CLIENTS);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < CLIENTS; i++) assert_int_equal(write(fds[i], "hello", 5), 5);
        char answer[5];
        for (unsigned i = 0; i < CLIENTS; i++) {
            while (recv(fds[i], answer, 5, MSG_DONTWAIT | MSG_PEEK) < 5) orr_loop_step(b.loop, 0);
            assert_int_equal(recv(fds[i], answer, 5, 0), 5);
            assert_memory_equal(answer, "hello", 5);
        }
    }
    assert_true((allocated - before) / CLIENTS < 1024);     /* bytes for an idle client; a buffer each would be more */
    for (unsigned i = 0; i < CLIENTS; i++) close(fds[i]);
    UNTIL(&b, n_closed, CLIENTS);
    assert_int_equal(b.loop->n_streams, 0);
}

static void one_who_floods_does_not_starve_another(void **state) {
    (void)state;
    b.loop->config.stream_turn_bytes = b.loop->config.turn_bytes = 64 << 10;
    int flood = dial_plain(port), small = dial_plain(port);
    char *bytes = calloc(1, 1 << 20);
    UNTIL(&b, n_begun, 2);
    fcntl(flood, F_SETFL, O_NONBLOCK);
    assert_int_equal(write(small, "x", 1), 1);
    for (unsigned i = 0; i < 4; i++) {
        (void)!write(flood, bytes, 1 << 20);
        orr_loop_step(b.loop, 0);
    }
    assert_int_equal(sides[0].got + sides[1].got > 1 && (sides[0].got == 1 || sides[1].got == 1), 1);
    assert_true(b.loop->turn_bytes <= 2 * (64 << 10));
    close(flood);
    close(small);
    free(bytes);
}

static void what_a_turn_has_no_time_to_say_is_said_in_the_next(void **state) {
    (void)state;
    enum { CLIENTS = 100 };
    int fds[CLIENTS];
    char byte;
    for (unsigned i = 0; i < CLIENTS; i++) fds[i] = dial_plain(port);
    UNTIL(&b, n_begun, CLIENTS);
    while (orr_loop_step(b.loop, 0) == 1) continue;
    b.loop->config.turn_time = 1;
    for (unsigned i = 0; i < CLIENTS; i++) assert_int_equal(say(&sides[i], 0, "x"), 0);
    assert_int_equal(orr_loop_step(b.loop, 0), 0);
    assert_true(b.loop->n_queued > 0);
    assert_true(orr_loop_deadline(b.loop) <= b.w->ops->now(b.w));
    while (b.loop->n_queued > 0) assert_int_equal(orr_loop_step(b.loop, 0), 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(recv(fds[i], &byte, 1, MSG_DONTWAIT), 1);
        close(fds[i]);
    }
}

static void the_descriptor_shows_every_reason_to_step(void **state) {
    (void)state;
    int fd = orr_loop_fd(b.loop);
    assert_true(fd >= 0);
    while (orr_loop_step(b.loop, 0) == 1) continue;
    struct pollfd p = { fd, POLLIN, 0 };
    assert_int_equal(poll(&p, 1, 0), 0);
    int client = dial_plain(port);
    assert_int_equal(poll(&p, 1, 10000), 1);        /* a connection */
    UNTIL(&b, n_begun, 1);
    while (orr_loop_step(b.loop, 0) == 1) continue;
    assert_int_equal(poll(&p, 1, 0), 0);
    b.w->ops->alarm(b.w, b.w->ops->fresh(b.w) + 2 * ORR_MS, 0);
    assert_int_equal(poll(&p, 1, 0), 1);            /* work submitted outside a turn: the timer has to be set */
    assert_int_equal(orr_loop_step(b.loop, 0), 0);
    unsigned wakes = b.wakes;
    while (b.wakes == wakes) {
        assert_int_equal(poll(&p, 1, 10000), 1);    /* the alarm */
        orr_loop_step(b.loop, 0);
    }
    assert_int_equal(say(&sides[0], 0, "x"), 0);
    assert_int_equal(poll(&p, 1, 0), 1);
    orr_loop_step(b.loop, 0);
    char byte;
    assert_int_equal(recv(client, &byte, 1, MSG_DONTWAIT), 1);
    close(client);
}

/* Everything at once, by a seed: each stream begins at most once, and ends exactly once. */
static void whatever_happens_a_stream_ends_once(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 42);
    b.say_nothing = a.say_nothing = true;
    expected_next = &(struct side){ .to_send = 300000 };
    int fds[64], n_fds = 0;
    for (unsigned step = 0; step < 3000; step++) {
        struct side *s = n_sides ? &sides[orri_rng_below(&rng, n_sides)] : NULL;
        if (s && !s->stream) s = NULL;
        switch (orri_rng_below(&rng, 12)) {
        case 0: if (n_sides < SIDES_MAX / 2) dial()->to_send = orri_rng_below(&rng, 2000000); break;
        case 1: if (n_fds < 64) fds[n_fds++] = dial_plain(port); break;
        case 2:
            if (n_fds == 0) break;
            if (orri_rng_chance(&rng, 0.5))
                setsockopt(fds[n_fds - 1], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
            close(fds[--n_fds]);
            break;
        case 3: if (n_fds) (void)!send(fds[n_fds - 1], pattern->at, 100000, MSG_DONTWAIT | MSG_NOSIGNAL); break;
        case 4: if (n_fds) shutdown(fds[n_fds - 1], SHUT_WR); break;
        case 5: if (s && !s->closing) close_side(s, orri_rng_chance(&rng, 0.5)); break;
        case 6: if (s) s->node->w->ops->read_pause(s->node->w, s->stream, orri_rng_chance(&rng, 0.5)); break;
        case 7: if (s) (void)say(s, 0, "ctl"); break;
        default: orr_loop_step(orri_rng_chance(&rng, 0.5) ? a.loop : b.loop, 0); break;
        }
    }
    while (n_fds) close(fds[--n_fds]);
    for (unsigned i = 0; i < n_sides; i++)
        if (sides[i].stream && !sides[i].closing) close_side(&sides[i], i % 2);
    a.loop->config.patience = b.loop->config.patience = ORR_MS;
    expected_next = NULL;
    for (unsigned quiet = 0; quiet < 50; quiet++) {
        if (orr_loop_step(a.loop, ORR_MS) + orr_loop_step(b.loop, ORR_MS) > 0) quiet = 0;
        for (unsigned i = 0; i < n_sides; i++)
            if (sides[i].stream && !sides[i].closing) close_side(&sides[i], false);     /* accepted late */
        if (a.loop->n_streams + b.loop->n_streams > 0) quiet = 0;
    }
    assert_true(n_sides > 300);
    for (unsigned i = 0; i < n_sides; i++) assert_int_equal(sides[i].closed, 1);
    assert_int_equal(a.loop->n_queued + b.loop->n_queued, 0);
}

static void addresses_are_numbers(void **state) {
    (void)state;
    static const char *const bad[] = { "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000",
                                       "127.0.0.1:-1", "example.org", "[::1:80", "::1:80", "[::1]80",
                                       "127.0.0.1:80 ", "1.2.3:4" };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(a.w->ops->peer(a.w, 1, bad[i]), ORR_EINVALID);
        assert_int_equal(a.w->ops->listen(a.w, bad[i], 1, 1), ORR_EINVALID);
    }
    assert_int_equal(a.w->ops->listen(a.w, "example.org:80", 1, 1), ORR_EINVALID);
    assert_int_equal(a.w->ops->peer(a.w, 1, "[::1]:80"), 0);
    assert_int_equal(a.w->ops->peer(a.w, 1, "localhost:80"), 0);
    assert_int_equal(a.w->ops->peer(a.w, ORR_NOBODY, "localhost:80"), ORR_EINVALID);
    assert_int_equal(a.w->ops->listen(a.w, address_of(port), 1, 1), -EADDRINUSE);
}

/* -- Datagrams ----------------------------------------------------------------------------------------------------- */
static struct {
    unsigned n;
    orr_id from;
    char bytes[64];
    size_t size;
    orr_time received;
} got;
static void on_datagram_req(struct node *n, struct orr_req *req) {
    struct orr_datagram *d = (struct orr_datagram *)(void *)req;
    if (req->op != ORR_OP_DATAGRAM) {
        on_event(n, req);
        return;
    }
    got.n++;
    got.from = d->from;
    got.size = d->data.size;
    got.received = d->received;
    memcpy(got.bytes, d->data.at, d->data.size < 64 ? d->data.size : 64);
}
static void datagrams_come_from_known_peers_only(void **state) {
    (void)state;
    int mine = free_port();
    char big[1300] = { 0 };
    assert_int_equal(a.w->ops->listen(a.w, address_of(mine), 1, 1), 0);
    a.on = b.on = on_datagram_req;
    memset(&got, 0, sizeof got);
    orr_time before = a.w->ops->fresh(a.w);
    struct orr_world_stats stats;
    assert_int_equal(a.w->ops->datagram(a.w, 7, orr_borrow("who?", 4)), 0);
    do orr_loop_step(b.loop, ORR_MS), orr_loop_stats(b.loop, &stats);
    while (stats.datagrams_dropped == 0);
    assert_int_equal(got.n, 0);
    assert_int_equal(b.w->ops->peer(b.w, 6, address_of(mine)), 0);
    assert_int_equal(a.w->ops->datagram(a.w, 7, orr_borrow("hello", 5)), 0);
    UNTIL(&b, got.n, 1);
    assert_int_equal(got.from, 6);
    assert_int_equal(got.size, 5);
    assert_memory_equal(got.bytes, "hello", 5);
    assert_true(got.received >= before && got.received <= b.w->ops->fresh(b.w));
    assert_int_equal(a.w->ops->datagram(a.w, 7, orr_borrow(big, sizeof big)), ORR_EINVALID);
    assert_int_equal(a.w->ops->datagram(a.w, 99, orr_borrow("x", 1)), ORR_EUNAVAILABLE);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(an_answer_reaches_a_client_that_has_shut_its_side),
        T(a_late_answer_reaches_one_who_has_shut_his_side),
        T(a_long_answer_reaches_one_who_has_shut_his_side),
        T(who_comes_from_this_machine_is_known_by_that),
        T(a_reset_is_an_end_with_a_reason),
        T(writing_to_one_who_has_gone_raises_no_signal),
        T(what_is_sent_to_an_ended_stream_goes_to_nobody),
        T(one_who_never_reads_is_given_up_after_patience),
        T(the_last_words_reach_one_who_is_still_talking),
        T(above_its_limit_a_listener_refuses),
        T(without_descriptors_accepting_pauses_and_resumes),
        T(two_thousand_clients_come_talk_and_go),
        T(one_who_floods_does_not_starve_another),
        T(what_a_turn_has_no_time_to_say_is_said_in_the_next),
        T(the_descriptor_shows_every_reason_to_step),
        T(whatever_happens_a_stream_ends_once),
        T(addresses_are_numbers),
        T(datagrams_come_from_known_peers_only),
    };
    return cmocka_run_group_tests_name("loop.socket", tests, NULL, NULL);
}
