/* ntp_service_test.c - the NTP service over real sockets: who is answered, with what, and who is not.
 *
 * That something is not answered is seen by what is asked after it: answers keep the order of the questions. */
#include "ntp_sides.h"

#include <sys/timex.h>

static struct node node;
static struct orr_clock *reference;
static struct orr_ntp_service *service;
static int fd;                      /* who asks */

static int set_up(void **state) {
    (void)state;
    int port;
    node_new(&node, NULL);
    reference = clock_that_knows();
    service = NULL;
    fd = udp_socket(&port);
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    orr_ntp_service_free(service);
    orr_loop_free(node.loop);
    orr_clock_free(reference);
    close(fd);
    return 0;
}

static void send_to(const char *ip, const void *data, size_t size) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(orr_ntp_service_port(service)) };
    assert_int_equal(inet_pton(AF_INET, ip, &to.sin_addr), 1);
    assert_int_equal(sendto(fd, data, size, 0, (struct sockaddr *)&to, sizeof to), size);
}
static void question(unsigned char *out, uint64_t cookie) {
    struct orr_ntp_packet p = { .version = 4, .mode = ORR_NTP_CLIENT, .poll = 6, .transmit = cookie };
    orr_ntp_encode(&p, out);
}
static void ask(uint64_t cookie) {
    unsigned char data[ORR_NTP_SIZE];
    question(data, cookie);
    send_to("127.0.0.1", data, sizeof data);
}
static struct orr_ntp_packet hear(struct sockaddr_in *from) {
    unsigned char data[ORR_NTP_SIZE_MAX + 1];
    struct orr_ntp_packet p;
    struct sockaddr_in ignored;
    assert_int_equal(heard_by(&node, fd, data, sizeof data, from ? from : &ignored), ORR_NTP_SIZE);
    assert_int_equal(orr_ntp_decode(data, ORR_NTP_SIZE, &p), ORR_NTP_TAKEN);
    return p;
}
static struct orr_ntp_service_status status(void) {
    struct orr_ntp_service_status s;
    orr_ntp_service_status(service, &s);
    return s;
}

static void an_answer_tells_the_clock_s_time(void **state) {
    (void)state;
    service = serve(&node, "127.0.0.1:0", reference);
    orr_time before = orr_ntp_local() + AHEAD;
    ask(77);
    struct orr_ntp_packet p = hear(NULL);
    orr_time after = orr_ntp_local() + AHEAD, t2 = orr_ntp_time(p.receive, AHEAD), t3 = orr_ntp_time(p.transmit, AHEAD);
    assert_int_equal(p.version << 4 | p.mode, 0x44);
    assert_int_equal(p.origin, 77);
    assert_int_equal(p.poll, 6);
    assert_int_equal(p.leap, 0);
    assert_int_equal(p.stratum, 3);
    assert_true(p.precision <= -10 && p.precision >= -30);
    orr_time bound = orr_ntp_span(p.root_delay) / 2 + orr_ntp_span(p.root_dispersion);
    assert_true(bound >= 1000 && bound < ORR_SECOND);
    assert_true(t2 >= before - bound && t3 >= t2 && t3 <= after + bound);
}

/* As a request waits in the queue: t2 is when it came, not when it was read. (The kernel begins to stamp some time
 * after it was asked to, by a thread of its own.) */
static void t2_is_when_the_request_came(void **state) {
    (void)state;
    struct timespec pause = { .tv_nsec = 30 * ORR_MS };
    orr_time held = 0;
    service = serve(&node, "127.0.0.1:0", reference);
    for (unsigned i = 0; i < 100 && held < 29 * ORR_MS; i++) {
        ask(i + 1);
        nanosleep(&pause, NULL);
        struct orr_ntp_packet p = hear(NULL);
        held = orr_ntp_time(p.transmit, AHEAD) - orr_ntp_time(p.receive, AHEAD);
    }
    assert_true(held >= 29 * ORR_MS);
}

static void only_questions_are_answered(void **state) {
    (void)state;
    unsigned char data[2048];
    service = serve(&node, "127.0.0.1:0", reference);
    for (unsigned mode = 0; mode < 8; mode++) {
        memset(data, 0, sizeof data);
        question(data, 1000 + mode);
        data[0] = (unsigned char)((data[0] & ~7u) | mode);
        if (mode != ORR_NTP_CLIENT) send_to("127.0.0.1", data, ORR_NTP_SIZE);
        if (mode == ORR_NTP_CONTROL) send_to("127.0.0.1", data, 12);        /* as ntpq asks */
    }
    static const unsigned char monlist[] = { 0x17, 0x00, 0x03, 0x2a, 0, 0, 0, 0 };
    send_to("127.0.0.1", monlist, sizeof monlist);
    memset(data, 0, sizeof data);
    question(data, 2000);
    for (size_t size = 0; size < ORR_NTP_SIZE; size++) send_to("127.0.0.1", data, size);
    send_to("127.0.0.1", data, ORR_NTP_SIZE + 3);       /* no extension field */
    send_to("127.0.0.1", data, ORR_NTP_SIZE_MAX + 4);
    data[0] = 0x03;                                     /* versions 0 and 5 */
    send_to("127.0.0.1", data, ORR_NTP_SIZE);
    data[0] = 0x2b;
    send_to("127.0.0.1", data, ORR_NTP_SIZE);
    ask(4711);
    assert_int_equal(hear(NULL).origin, 4711);
    assert_int_equal(status().server.verdicts[ORR_NTP_TAKEN], 1);
    assert_int_equal(status().server.verdicts[ORR_NTP_MODE], 7);
    assert_int_equal(status().server.verdicts[ORR_NTP_SHORT], 1 + 1 + ORR_NTP_SIZE);
    assert_int_equal(status().server.verdicts[ORR_NTP_LONG], 1);
    assert_int_equal(status().server.verdicts[ORR_NTP_VERSION], 2);
}

static void a_long_question_has_a_short_answer(void **state) {
    (void)state;
    unsigned char data[ORR_NTP_SIZE + 1024] = { 0 };
    service = serve(&node, "127.0.0.1:0", reference);
    question(data, 5);
    data[ORR_NTP_SIZE] = 0x7f;                          /* an extension field of 1024 bytes */
    data[ORR_NTP_SIZE + 2] = 4;
    send_to("127.0.0.1", data, sizeof data);
    assert_int_equal(hear(NULL).origin, 5);             /* hear: of 48 bytes */
}

static void who_asks_too_often_is_told_and_then_ignored(void **state) {
    (void)state;
    struct orr_ntp_service_config config;
    orr_ntp_service_config_init(&config);
    config.address = "127.0.0.1:0";
    config.clock = reference;
    config.server.interval = 3600 * ORR_SECOND;
    config.server.burst = 4;
    assert_int_equal(orr_ntp_service_new(&service, node.loop, &config), 0);
    for (uint64_t i = 1; i <= 40; i++) ask(i);
    unsigned told = 0, rates = 0;
    while (status().server.verdicts[ORR_NTP_LIMITED] + told + rates < 40) {
        struct orr_ntp_packet p = hear(NULL);
        if (p.stratum == 0) {
            assert_int_equal(p.refid, 'R' << 24 | 'A' << 16 | 'T' << 8 | 'E');
            rates++;
        } else {
            told++;
        }
    }
    assert_int_equal(told, 4);
    assert_int_equal(rates, 5);                         /* of 36, one in eight */
}

static void an_answer_comes_from_where_the_question_went(void **state) {
    (void)state;
    struct sockaddr_in from;
    unsigned char data[ORR_NTP_SIZE];
    static const char *const addresses[] = { ":0", "0.0.0.0:0" };
    for (size_t i = 0; i < 2; i++) {
        service = serve(&node, addresses[i], reference);
        for (unsigned k = 1; k <= 3; k++) {
            char ip[16];
            snprintf(ip, sizeof ip, "127.0.0.%u", k);
            question(data, k);
            send_to(ip, data, sizeof data);
            assert_int_equal(hear(&from).origin, k);
            assert_int_equal(ntohl(from.sin_addr.s_addr), 0x7f000000 + k);
        }
        orr_ntp_service_free(service);
        service = NULL;
    }
}

static void the_machine_s_own_clock_is_as_right_as_the_kernel_says(void **state) {
    (void)state;
    struct timex t = { .modes = 0 };
    assert_true(ntp_adjtime(&t) >= 0);
    bool synchronised = !(t.status & (STA_UNSYNC | STA_CLOCKERR)) && t.maxerror < 16000000;
    service = serve(&node, "127.0.0.1:0", NULL);
    orr_time before = orri_ntp_moment().wall;
    ask(1);
    struct orr_ntp_packet p = hear(NULL);
    orr_time after = orri_ntp_moment().wall;
    assert_int_equal(p.leap == ORR_NTP_UNSYNC, !synchronised);
    assert_int_equal(p.stratum, synchronised ? 10 : 0);
    assert_int_equal(p.refid, synchronised ? 0x7f7f0100 : 0);
    if (synchronised) assert_true(orr_ntp_span(p.root_dispersion) >= t.maxerror * ORR_US);
    assert_true(orr_ntp_time(p.receive, before) >= before - ORR_MS);
    assert_true(orr_ntp_time(p.transmit, before) <= after + ORR_MS);
}

static void a_clock_that_knows_nothing_says_so(void **state) {
    (void)state;
    struct orr_clock *empty = clock_that_follows();
    service = serve(&node, "127.0.0.1:0", empty);
    ask(1);
    struct orr_ntp_packet p = hear(NULL);
    assert_int_equal(p.leap, ORR_NTP_UNSYNC);
    assert_int_equal(p.stratum, 0);
    assert_int_equal(p.root_dispersion | p.root_delay | p.refid | p.reference, 0);
    orr_ntp_service_free(service);
    service = NULL;
    orr_clock_free(empty);
}

/* Its refid is the source's address, its root delay that way and further. */
static bool is_served(void *ud) { return (void)ud, status().clock.synchronised; }
static void who_follows_says_whom(void **state) {
    (void)state;
    struct orr_clock *mine = clock_that_follows();
    struct orr_ntp_service *upstream = serve(&node, "127.0.0.1:0", reference);
    struct orr_ntp_sources *sources = follow(&node, orr_ntp_service_port(upstream), mine, false);
    struct orr_ntp_service_config config;
    orr_ntp_service_config_init(&config);
    config.address = "127.0.0.1:0";
    config.clock = mine;
    config.sources = sources;
    assert_int_equal(orr_ntp_service_new(&service, node.loop, &config), 0);
    assert_false(status().clock.synchronised);
    until(&node, is_served, NULL);
    ask(9);
    struct orr_ntp_packet p = hear(NULL);
    assert_int_equal(p.stratum, 4);
    assert_int_equal(p.refid, 0x7f000001);
    assert_true(p.root_delay > 0 && orr_ntp_span(p.root_delay) < ORR_SECOND);
    assert_true(orr_ntp_time(p.reference, AHEAD) <= orr_ntp_time(p.receive, AHEAD));
    sources->slept -= 3 * ORR_SECOND;                   /* after a suspend the next answer is honest already */
    ask(10);
    assert_int_equal(hear(NULL).leap, ORR_NTP_UNSYNC);
    orr_ntp_service_free(service);
    orr_ntp_service_free(upstream);
    orr_ntp_sources_free(sources);
    orr_clock_free(mine);
    service = NULL;
}

static void a_burst_of_more_than_a_batch_is_answered_whole(void **state) {
    (void)state;
    service = serve(&node, "127.0.0.1:0", reference);
    for (uint64_t i = 1; i <= 200; i++) ask(i);
    for (uint64_t i = 1; i <= 200; i++) assert_int_equal(hear(NULL).origin, i);
}

static void a_place_that_is_taken_is_an_error(void **state) {
    (void)state;
    struct orr_ntp_service_config config;
    struct orr_ntp_service *second = NULL;
    service = serve(&node, "127.0.0.1:0", reference);
    orr_ntp_service_config_init(&config);
    config.address = address_of(orr_ntp_service_port(service));
    assert_int_equal(orr_ntp_service_new(&second, node.loop, &config), -EADDRINUSE);
    config.address = "192.0.2.1:1";
    assert_int_equal(orr_ntp_service_new(&second, node.loop, &config), -EADDRNOTAVAIL);
    assert_null(second);
}

static void a_wrong_config_is_named(void **state) {
    (void)state;
    static const char *const bad[] = { "", "127.0.0.1", "name.example:1", ":", ":x", ":65536", "127.0.0.1:1x" };
    struct orr_ntp_service_config config;
    const char *field = NULL;
    orr_ntp_service_config_init(&config);
    assert_int_equal(orr_ntp_service_config_check(&config, &field), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        config.address = bad[i];
        assert_int_equal(orr_ntp_service_config_check(&config, &field), ORR_EINVALID);
        assert_string_equal(field, "address");
    }
    config.address = "[::1]:1";
    config.server.burst = 0;
    assert_int_equal(orr_ntp_service_config_check(&config, &field), ORR_EINVALID);
    assert_string_equal(field, "burst");
    assert_int_equal(orr_ntp_service_config_check(&config, NULL), ORR_EINVALID);
    config.server.burst = 1;
    config.machine_stratum = 16;
    assert_int_equal(orr_ntp_service_config_check(&config, &field), ORR_EINVALID);
    assert_string_equal(field, "machine_stratum");
}

/* The n-th allocation fails, for every n until none does. */
static unsigned allocations_left;
static void *stingy_alloc(void *ud, void *ptr, size_t old_size, size_t new_size) {
    if (new_size > 0 && allocations_left == 0) return NULL;
    if (new_size > 0) allocations_left--;
    return orr_alloc_libc.fn(ud, ptr, old_size, new_size);
}
static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    struct orr_loop_config loop_config;
    struct node other = { .say_nothing = true };
    node_config(&other, &loop_config);
    loop_config.alloc = (struct orr_alloc){ stingy_alloc, NULL };
    allocations_left = 1000;
    node_new_with(&other, &loop_config);
    int error = -ENOMEM;
    unsigned n = 0;
    for (; error != 0; n++) {
        struct orr_clock *mine = clock_that_follows();
        struct orr_ntp_sources *sources = NULL;
        struct orr_ntp_sources_config config;
        struct orr_ntp_source source = { "127.0.0.1:9", 0 };
        struct orr_ntp_service_config of;
        struct orr_ntp_service *s = NULL;
        follow_config(&config, &source, 1, mine);
        orr_ntp_service_config_init(&of);
        of.address = "127.0.0.1:0";
        allocations_left = n;
        error = orr_ntp_sources_new(&sources, other.loop, &config);
        if (error == 0) error = orr_ntp_service_new(&s, other.loop, &of);
        if (error != 0) assert_int_equal(error, -ENOMEM);
        orr_ntp_service_free(s);
        orr_ntp_sources_free(sources);
        orr_clock_free(mine);
    }
    assert_true(n > 3);
    allocations_left = 1000;
    orr_loop_free(other.loop);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(an_answer_tells_the_clock_s_time),
        T(t2_is_when_the_request_came),
        T(only_questions_are_answered),
        T(a_long_question_has_a_short_answer),
        T(who_asks_too_often_is_told_and_then_ignored),
        T(an_answer_comes_from_where_the_question_went),
        T(the_machine_s_own_clock_is_as_right_as_the_kernel_says),
        T(a_clock_that_knows_nothing_says_so),
        T(who_follows_says_whom),
        T(a_burst_of_more_than_a_batch_is_answered_whole),
        T(a_place_that_is_taken_is_an_error),
        T(a_wrong_config_is_named),
        T(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests_name("loop.ntp_service", tests, NULL, NULL);
}
