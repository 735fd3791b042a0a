/* ntp_sources_test.c - a clock that follows servers over real sockets, and what strangers may try meanwhile. */
#include "ntp_sides.h"

static struct node node;
static struct orr_clock *reference, *mine;
static struct orr_ntp_service *service;
static struct orr_ntp_sources *sources;
static int server_fd, server_port;  /* of a server that the test answers for */

static int set_up(void **state) {
    (void)state;
    node_new(&node, NULL);
    node.say_nothing = true;
    reference = clock_that_knows();
    mine = clock_that_follows();
    service = NULL;
    sources = NULL;
    server_fd = udp_socket(&server_port);
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    orr_ntp_service_free(service);
    orr_ntp_sources_free(sources);
    orr_loop_free(node.loop);
    orr_clock_free(mine);
    orr_clock_free(reference);
    close(server_fd);
    return 0;
}

static bool has_exchanges(void *ud) { return place_of(sources, 0).exchanges >= *(const unsigned *)ud; }
static void until_exchanges(unsigned n) { until(&node, has_exchanges, &n); }

/* Every stamp is the kernel's: it begins to give them some time after it was asked to. */
static bool is_stamped(void *ud) { return (void)ud, (place_of(sources, 0).last.flags & ~ORR_NTP_INTERLEAVED) == 0; }

/* The interval holds the time that is served. */
static void assert_true_time(orr_time width_max) {
    struct orr_clock_time now;
    orr_time local = orr_ntp_local();
    assert_true(orr_clock_now(mine, local, &now));
    assert_int_not_equal(now.state, ORR_CLOCK_UNSYNC);
    assert_true(now.earliest <= local + AHEAD && local + AHEAD <= now.latest);
    assert_true(now.latest - now.earliest < width_max);
}

/* So does what one exchange leaves possible. */
static void assert_true_exchange(void) {
    struct orr_ntp_exchange x = place_of(sources, 0).last;
    orr_time error = x.stamp_error_ns;
    assert_true(x.t3 - x.t4 - error <= AHEAD && AHEAD <= x.t2 - x.t1 + error);
}

/* -- Names, clocks, stamps ----------------------------------------------------------------------------------------- */
static void names_are_hosts_with_a_port_or_without(void **state) {
    (void)state;
    static const struct {
        const char *name, *host;
        uint16_t port;
    } good[] = {
        { "192.0.2.1", "192.0.2.1", 123 }, { "192.0.2.1:9", "192.0.2.1", 9 }, { "::1", "::1", 123 },
        { "[::1]", "::1", 123 },           { "[::1]:65535", "::1", 65535 },   { "a.example", "a.example", 123 },
        { "a-b.example:1", "a-b.example", 1 }, { "localhost", "localhost", 123 },
    };
    static const char *const bad[] = {
        "", ":", ":123", "a:", "a:0", "a:65536", "a:x", "a:1x", "a:-1", "[::1", "::1]", "[::1]x", "[::1]:", "[a]b:1",
        "[]", "a b", "a/b", "-a", "a\n", "1::2::3", "[x:y]:1", "a:b:c",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char host[ORR_NTP_NAME_MAX + 1];
        uint16_t port;
        assert_int_equal(orri_ntp_split(good[i].name, host, &port), 0);
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
        assert_true(orr_ntp_name_ok(good[i].name));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (orr_ntp_name_ok(bad[i])) fail_msg("'%s' is no name", bad[i]);
    }
    char longest[ORR_NTP_NAME_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[ORR_NTP_NAME_MAX + 1] = '\0';
    assert_false(orr_ntp_name_ok(longest));
    assert_true(orr_ntp_name_ok(longest + 1));
}

static uint32_t refid_of(const char *host) {
    struct orri_address a;
    assert_true(orri_ntp_number(host, 123, &a));
    return orri_ntp_refid(&a.at);
}
static void a_refid_is_an_address_or_its_digest(void **state) {
    (void)state;
    assert_int_equal(refid_of("192.0.2.1"), 0xc0000201);
    assert_int_equal(refid_of("::ffff:192.0.2.1"), 0xc0000201);
    assert_int_equal(refid_of("::1"), 0xcf404dc8);                  /* echo: md5sum of the 16 bytes */
    assert_int_equal(refid_of("2001:db8::123"), 0xc975cecc);
}

static void a_wall_stamp_is_moved_to_the_local_clock(void **state) {
    (void)state;
    struct orri_ntp_moment m = { .local = 5000, .wall = 1000000, .error = 20 };
    orr_time error;
    assert_int_equal(orri_ntp_to_local(&m, 997000, &error), 2000);
    assert_int_equal(error, 23);
    struct orri_ntp_moment later = { .local = 5000 + ORR_SECOND, .wall = 1000000 + ORR_SECOND, .error = 20 };
    assert_false(orri_ntp_was_set(&m, &later));
    later.wall += 500 * ORR_US;                                     /* slewing */
    assert_false(orri_ntp_was_set(&m, &later));
    later.wall += ORR_MS;
    assert_true(orri_ntp_was_set(&m, &later));
    later.wall -= 10 * ORR_MS;
    assert_true(orri_ntp_was_set(&m, &later));
}

static void both_clocks_are_read_together(void **state) {
    (void)state;
    struct orri_ntp_moment a = orri_ntp_moment(), b = orri_ntp_moment();
    orr_time error, offset = orr_ntp_wall_offset(&error);
    assert_true(a.error >= 0 && a.error < ORR_SECOND && a.local <= b.local);
    assert_false(orri_ntp_was_set(&a, &b));
    orr_time apart = offset - (b.wall - b.local);
    assert_true(apart <= error + b.error + ORR_MS && apart >= -(error + b.error + ORR_MS));
    assert_true(orri_ntp_slept() > -ORR_SECOND);
}

static void the_kernel_stamps_what_leaves_and_what_comes(void **state) {
    (void)state;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)server_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int port, fd = udp_socket(&port);
    uint32_t number = 99;
    orr_time wall = 0, before = orri_ntp_moment().wall;
    assert_true(orri_ntp_stamps(fd, ORRI_NTP_RECEIVED | ORRI_NTP_SENT));
    assert_true(orri_ntp_stamps(server_fd, ORRI_NTP_RECEIVED));
    assert_int_equal(orri_ntp_sent(fd, &number, &wall), -EAGAIN);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
        assert_int_equal(orri_ntp_sent(fd, &number, &wall), 1);
        assert_int_equal(number, i);
        assert_true(wall >= before && wall <= orri_ntp_moment().wall);
    }
    close(fd);
}

/* -- Following ----------------------------------------------------------------------------------------------------- */
static void a_clock_follows_a_server(void **state) {
    (void)state;
    service = serve(&node, "127.0.0.1:0", reference);
    sources = follow(&node, orr_ntp_service_port(service), mine, false);
    until_exchanges(8);
    until(&node, is_stamped, NULL);
    struct orr_ntp_place place = place_of(sources, 0);
    assert_int_equal(place.last.stratum, 3);
    assert_true(place.last.t4 > place.last.t1 && place.last.t4 <= orr_ntp_local());
    assert_int_equal(place.verdict, ORR_NTP_TAKEN);
    assert_null(place.why);
    assert_int_equal(place.status.reach & 15, 15);
    assert_true_time(5 * ORR_MS);
}

static void interleaved_mode_tells_when_answers_left(void **state) {
    (void)state;
    service = serve(&node, "127.0.0.1:0", reference);
    sources = follow(&node, orr_ntp_service_port(service), mine, true);
    until_exchanges(8);
    until(&node, is_stamped, NULL);
    struct orr_ntp_service_status status;
    orr_ntp_service_status(service, &status);
    assert_true(status.server.interleaved >= 4);
    assert_true(status.sent_stamps >= 4);
    struct orr_ntp_place place = place_of(sources, 0);
    assert_int_equal(place.last.flags, ORR_NTP_INTERLEAVED);
    assert_true(place.last.t3 >= place.last.t2);
    assert_true_time(5 * ORR_MS);
}

static void a_server_that_knows_no_time_is_no_source(void **state) {
    (void)state;
    struct orr_clock *empty = clock_that_follows();
    struct orr_clock_time now;
    service = serve(&node, "127.0.0.1:0", empty);
    sources = follow(&node, orr_ntp_service_port(service), mine, false);
    while (!place_of(sources, 0).heard) orr_loop_step(node.loop, ORR_SECOND);
    assert_int_equal(place_of(sources, 0).verdict, ORR_NTP_LEAP);
    assert_int_equal(place_of(sources, 0).exchanges, 0);
    assert_false(orr_clock_now(mine, orr_ntp_local(), &now));
    orr_ntp_service_free(service);
    service = NULL;
    orr_clock_free(empty);
}

static bool is_silent(void *ud) { return place_of(sources, 0).silent >= *(const unsigned *)ud; }
static void a_server_may_go_and_come_back(void **state) {
    (void)state;
    service = serve(&node, "127.0.0.1:0", reference);
    int port = orr_ntp_service_port(service);
    sources = follow(&node, port, mine, true);
    until_exchanges(6);
    orr_ntp_service_free(service);
    service = NULL;
    until(&node, is_silent, &(unsigned){ 3 });
    assert_non_null(place_of(sources, 0).why);                      /* refused, says the kernel */
    assert_true_time(ORR_SECOND);
    service = serve(&node, address_of(port), reference);
    until_exchanges(12);
    assert_int_equal(place_of(sources, 0).silent, 0);
    assert_null(place_of(sources, 0).why);
    assert_true_time(5 * ORR_MS);
}

static void nobody_votes_twice(void **state) {
    (void)state;
    struct orr_ntp_sources_config config;
    struct orr_ntp_source list[2] = { { address_of(server_port), 0 }, { address_of(server_port), 0 } };
    follow_config(&config, list, 2, mine);
    assert_int_equal(orr_ntp_sources_new(&sources, node.loop, &config), 0);
    assert_string_equal(place_of(sources, 0).address, list[0].name);
    assert_string_equal(place_of(sources, 1).address, "");
    assert_non_null(place_of(sources, 1).why);
}

/* As if the source were a name, with this address, too. */
static void add_address(int port) {
    struct orri_ntp_origin *o = &sources->origins[0];
    o->number = false;
    assert_true(orri_ntp_number("127.0.0.1", (uint16_t)port, &o->addresses[o->n_addresses++]));
}
static void a_name_s_next_address_is_tried(void **state) {
    (void)state;
    service = serve(&node, "127.0.0.1:0", reference);
    int port = orr_ntp_service_port(service);
    sources = follow(&node, server_port, mine, false);              /* which is silent */
    add_address(port);
    assert_int_equal(place_of(sources, 0).untried, 1);
    until_exchanges(1);
    assert_string_equal(place_of(sources, 0).address, address_of(port));
    assert_int_equal(place_of(sources, 0).untried, 0);
    assert_true_exchange();
}

static void a_server_that_was_heard_is_not_left_for_another_address(void **state) {
    (void)state;
    service = serve(&node, "127.0.0.1:0", reference);
    int port = orr_ntp_service_port(service);
    sources = follow(&node, port, mine, false);
    until_exchanges(4);
    add_address(server_port);
    orr_ntp_service_free(service);
    service = NULL;
    until(&node, is_silent, &(unsigned){ 12 });                     /* and the name was looked up again */
    assert_string_equal(place_of(sources, 0).address, address_of(port));
    assert_true(sources->origins[0].looked_up > 0);
    assert_true_time(ORR_SECOND);                                   /* what is known of it still holds */
}

static bool is_looked_up(void *ud) { return (void)ud, place_of(sources, 0).why != NULL; }
static void a_name_that_is_not_found_holds_nobody_up(void **state) {
    (void)state;
    struct orr_ntp_sources_config config;
    struct orr_ntp_source list[1] = { { "no.such.name.invalid", ORR_NTP_POOL } };
    follow_config(&config, list, 1, mine);
    assert_int_equal(orr_ntp_sources_new(&sources, node.loop, &config), 0);
    assert_int_equal(orr_ntp_sources_places(sources), 4);
    orr_loop_step(node.loop, 0);                                    /* one turn begins to look it up */
    until(&node, is_looked_up, NULL);
    assert_true(sources->origins[0].look_up_at > orr_ntp_local());  /* and it will be tried again */
    assert_true(orr_loop_deadline(node.loop) < ORR_NEVER);
    assert_false(orr_ntp_sources_place(sources, 1, &(struct orr_ntp_place){ 0 }));
}

static void a_look_up_may_be_left_alone(void **state) {
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        struct orri_ntp_lookup *l = orri_ntp_look_up(node.loop, "127.0.0.1", 7);
        struct orri_address found[ORRI_NTP_ADDRESSES];
        const char *why;
        int n = -1;
        assert_non_null(l);
        while (i % 2 && (n = orri_ntp_found(l, found, &why)) < 0) orr_loop_step(node.loop, ORR_SECOND);
        assert_int_equal(n, i % 2 ? 1 : -1);
        orri_ntp_look_up_free(l);
    }
}

/* -- The machine --------------------------------------------------------------------------------------------------- */
static void a_suspended_machine_begins_anew(void **state) {
    (void)state;
    struct orr_clock_time before, now;
    service = serve(&node, "127.0.0.1:0", reference);
    sources = follow(&node, orr_ntp_service_port(service), mine, true);
    until_exchanges(6);
    orr_clock_now(mine, orr_ntp_local(), &before);
    while (sources->places[0].fd < 0) orri_ntp_ask(&sources->places[0]);
    sources->slept -= 3 * ORR_SECOND;                               /* as if it had slept since */
    orri_ntp_look_for_sleep(sources);
    assert_int_equal(sources->places[0].fd, -1);                    /* t1 is from before: no reply is waited for */
    assert_false(orr_clock_now(mine, orr_ntp_local(), &now) && now.state != ORR_CLOCK_UNSYNC);
    assert_int_equal(now.epoch, before.epoch + 1);
    uint64_t exchanges = place_of(sources, 0).exchanges;
    until_exchanges((unsigned)exchanges + 4);
    assert_true_time(5 * ORR_MS);
    orri_ntp_look_for_sleep(sources);
    orr_clock_now(mine, orr_ntp_local(), &now);
    assert_int_equal(now.epoch, before.epoch + 1);
}

/* -- Strangers ----------------------------------------------------------------------------------------------------- */
static struct sockaddr_in client;   /* who asked last */
static unsigned char request[2 * ORR_NTP_SIZE];

static void await_request(void) {
    assert_int_equal(heard_by(&node, server_fd, request, sizeof request, &client), ORR_NTP_SIZE);
}
static void say_to_client(int fd, const struct orr_ntp_packet *p, size_t size) {
    unsigned char data[ORR_NTP_SIZE];
    orr_ntp_encode(p, data);
    (void)sendto(fd, data, size, 0, (struct sockaddr *)&client, sizeof client);
}
/* The reply that an honest server would give. */
static struct orr_ntp_packet honest(void) {
    struct orr_ntp_packet asked, p = { .version = 4, .mode = ORR_NTP_SERVER, .stratum = 1, .precision = -20,
                                       .refid = 0x47505300 };
    assert_int_equal(orr_ntp_decode(request, ORR_NTP_SIZE, &asked), ORR_NTP_TAKEN);
    p.origin = asked.transmit;
    p.receive = p.transmit = orr_ntp_stamp_of(orr_ntp_local() + AHEAD);
    return p;
}
static void turn_a_while(void) {
    for (unsigned i = 0; i < 8; i++) orr_loop_step(node.loop, 0);
}

static void a_request_says_nothing_of_us(void **state) {
    (void)state;
    struct orr_ntp_packet first, second;
    sources = follow(&node, server_port, mine, false);
    await_request();
    uint16_t port = client.sin_port;
    assert_int_equal(orr_ntp_decode(request, ORR_NTP_SIZE, &first), ORR_NTP_TAKEN);
    assert_int_equal(first.version << 4 | first.mode, 0x43);
    assert_int_equal(first.origin | first.receive | first.reference, 0);
    assert_int_equal(first.stratum | first.refid | first.root_delay | first.root_dispersion, 0);
    await_request();
    assert_int_equal(orr_ntp_decode(request, ORR_NTP_SIZE, &second), ORR_NTP_TAKEN);
    assert_int_not_equal(first.transmit, second.transmit);
    assert_int_not_equal(port, client.sin_port);                    /* but once in 28,000 runs */
}

static void forged_replies_change_nothing(void **state) {
    (void)state;
    int other_port, other = udp_socket(&other_port);
    sources = follow(&node, server_port, mine, false);
    await_request();
    struct orr_ntp_packet reply = honest(), forged = reply;
    say_to_client(other, &reply, ORR_NTP_SIZE);                     /* the right one from a wrong port */
    forged.origin++;
    forged.transmit = forged.receive += (uint64_t)5 << 32;
    say_to_client(server_fd, &forged, ORR_NTP_SIZE);                /* a wrong cookie */
    say_to_client(server_fd, &reply, ORR_NTP_SIZE - 1);
    forged = reply;
    forged.mode = ORR_NTP_BROADCAST;
    say_to_client(server_fd, &forged, ORR_NTP_SIZE);
    turn_a_while();
    assert_true(place_of(sources, 0).waiting);
    assert_false(place_of(sources, 0).heard);
    say_to_client(server_fd, &reply, ORR_NTP_SIZE);
    say_to_client(server_fd, &reply, ORR_NTP_SIZE);                 /* again: nobody listens any more */
    until_exchanges(1);
    turn_a_while();
    assert_int_equal(place_of(sources, 0).exchanges, 1);
    assert_int_equal(place_of(sources, 0).status.verdicts[ORR_NTP_COOKIE], 1);
    assert_int_equal(place_of(sources, 0).status.verdicts[ORR_NTP_SHORT], 1);
    assert_int_equal(place_of(sources, 0).status.verdicts[ORR_NTP_MODE], 1);
    assert_int_equal(place_of(sources, 0).status.verdicts[ORR_NTP_ADDRESS], 0);     /* the kernel kept it off */
    assert_true_exchange();
    close(other);
}

static void a_flood_does_not_hide_the_reply(void **state) {
    (void)state;
    sources = follow(&node, server_port, mine, false);
    await_request();
    struct orr_ntp_packet reply = honest(), forged = reply;
    sources->places[0].lost_at += 10 * ORR_SECOND;                  /* a slow machine is no failure */
    for (unsigned i = 0; i < 3000; i++) {
        forged.origin = reply.origin + 1 + i;
        say_to_client(server_fd, &forged, ORR_NTP_SIZE);
        if (i % 100 == 0) turn_a_while();
    }
    while (place_of(sources, 0).status.verdicts[ORR_NTP_COOKIE] < 2000) orr_loop_step(node.loop, ORR_MS);
    turn_a_while();
    say_to_client(server_fd, &reply, ORR_NTP_SIZE);
    until_exchanges(1);
    assert_true_exchange();
}

static void a_stamp_across_a_step_of_the_wall_clock_is_not_believed(void **state) {
    (void)state;
    sources = follow(&node, server_port, mine, false);
    await_request();
    sources->places[0].sent.wall -= 5 * ORR_MS;                     /* it was set since */
    struct orr_ntp_packet reply = honest();
    say_to_client(server_fd, &reply, ORR_NTP_SIZE);
    until_exchanges(1);
    assert_true(place_of(sources, 0).last.flags & ORR_NTP_USER_T4);
    assert_true(place_of(sources, 0).last.stamp_error_ns >= 10000);
    assert_true_exchange();
}

static void who_is_denied_asks_no_more(void **state) {
    (void)state;
    sources = follow(&node, server_port, mine, false);
    await_request();
    struct orr_ntp_packet kiss = honest();
    kiss.leap = ORR_NTP_UNSYNC;
    kiss.stratum = 0;
    kiss.refid = 'D' << 24 | 'E' << 16 | 'N' << 8 | 'Y';
    say_to_client(server_fd, &kiss, ORR_NTP_SIZE);
    while (!place_of(sources, 0).heard) orr_loop_step(node.loop, ORR_SECOND);
    assert_true(place_of(sources, 0).status.stopped);
    assert_int_equal(orr_loop_deadline(node.loop), ORR_NEVER);
}

static void who_is_asked_to_ask_less_does(void **state) {
    (void)state;
    sources = follow(&node, server_port, mine, false);
    await_request();
    struct orr_ntp_packet kiss = honest();
    kiss.leap = ORR_NTP_UNSYNC;
    kiss.stratum = 0;
    kiss.refid = 'R' << 24 | 'A' << 16 | 'T' << 8 | 'E';
    say_to_client(server_fd, &kiss, ORR_NTP_SIZE);
    while (!place_of(sources, 0).heard) orr_loop_step(node.loop, ORR_SECOND);
    assert_int_equal(place_of(sources, 0).status.poll, -3);
    assert_true(sources->places[0].due > orr_ntp_local() + 50 * ORR_MS);    /* of 125 */
}

/* -- Limits -------------------------------------------------------------------------------------------------------- */
static void a_wrong_config_is_named(void **state) {
    (void)state;
    struct orr_ntp_sources_config config;
    struct orr_ntp_source list[1] = { { "a:b", 0 } };
    const char *field = NULL;
    follow_config(&config, list, 1, mine);
    assert_int_equal(orr_ntp_sources_config_check(&config, &field), ORR_EINVALID);
    assert_string_equal(field, "sources");
    list[0].name = "127.0.0.1";
    assert_int_equal(orr_ntp_sources_config_check(&config, &field), 0);
    config.clock = NULL;
    assert_int_equal(orr_ntp_sources_config_check(&config, &field), ORR_EINVALID);
    assert_string_equal(field, "clock");
    config.clock = mine;
    config.timeout = 0;
    assert_int_equal(orr_ntp_sources_new(&sources, node.loop, &config), ORR_EINVALID);
    assert_int_equal(orr_ntp_sources_config_check(&config, &field), ORR_EINVALID);
    assert_string_equal(field, "timeout");
}

static void a_clock_without_room_is_an_error(void **state) {
    (void)state;
    struct orr_clock_config small;
    struct orr_clock *clock;
    struct orr_ntp_sources_config config;
    struct orr_ntp_source list[2] = { { "127.0.0.1:9", 0 }, { "127.0.0.2:9", 0 } };
    orr_clock_config_init(&small);
    small.peers_max = 1;
    assert_int_equal(orr_clock_new(&clock, &small), 0);
    follow_config(&config, list, 2, clock);
    assert_int_equal(orr_ntp_sources_new(&sources, node.loop, &config), ORR_EOVERLOADED);
    assert_null(sources);
    assert_int_equal(orr_clock_peer_add(clock, orr_ntp_local(), 9, 0), 0);      /* no peer is left behind */
    orr_clock_free(clock);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(names_are_hosts_with_a_port_or_without),
        T(a_refid_is_an_address_or_its_digest),
        T(a_wall_stamp_is_moved_to_the_local_clock),
        T(both_clocks_are_read_together),
        T(the_kernel_stamps_what_leaves_and_what_comes),
        T(a_clock_follows_a_server),
        T(interleaved_mode_tells_when_answers_left),
        T(a_server_that_knows_no_time_is_no_source),
        T(a_server_may_go_and_come_back),
        T(nobody_votes_twice),
        T(a_name_s_next_address_is_tried),
        T(a_server_that_was_heard_is_not_left_for_another_address),
        T(a_name_that_is_not_found_holds_nobody_up),
        T(a_look_up_may_be_left_alone),
        T(a_suspended_machine_begins_anew),
        T(a_request_says_nothing_of_us),
        T(forged_replies_change_nothing),
        T(a_flood_does_not_hide_the_reply),
        T(a_stamp_across_a_step_of_the_wall_clock_is_not_believed),
        T(who_is_denied_asks_no_more),
        T(who_is_asked_to_ask_less_does),
        T(a_wrong_config_is_named),
        T(a_clock_without_room_is_an_error),
    };
    return cmocka_run_group_tests_name("loop.ntp_sources", tests, NULL, NULL);
}
