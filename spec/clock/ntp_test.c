/* ntp_test.c - NTP's packets, and each thing that a client or a server must not believe, by hand. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orrery/ntp.h>

#include "base/rng.h"
#include "support/alloc.h"

static const orr_time wall = 1796000000 * ORR_SECOND;       /* in 2026 */
static const orr_time era1 = 2085978496 * ORR_SECOND;       /* 2036-02-07 06:28:16 */

/* -- Packets ------------------------------------------------------------------------------------------------------- */
/* RFC 5905, figure 8: LI VN Mode | stratum | poll | precision, and so on, each field with bytes of its own. */
static const unsigned char golden[ORR_NTP_SIZE] = {
    0x64, 0x02, 0x06, 0xe9, 0x00, 0x01, 0x80, 0x00, 0x00, 0x00, 0x0a, 0x3d, 0xc0, 0x00, 0x02, 0x01,
    0xed, 0x0b, 0x8f, 0x00, 0x80, 0x00, 0x00, 0x00, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
    0xed, 0x0b, 0x8f, 0x01, 0x40, 0x00, 0x00, 0x00, 0xed, 0x0b, 0x8f, 0x01, 0xc0, 0x00, 0x00, 0x01,
};

static void a_packet_has_the_layout_of_the_rfc(void **state) {
    (void)state;
    const struct orr_ntp_packet p = { .leap = 1, .version = 4, .mode = ORR_NTP_SERVER, .stratum = 2, .poll = 6,
                                      .precision = -23, .root_delay = 0x00018000, .root_dispersion = 0x0a3d,
                                      .refid = 0xc0000201, .reference = 0xed0b8f0080000000,
                                      .origin = 0x1112131415161718, .receive = 0xed0b8f0140000000,
                                      .transmit = 0xed0b8f01c0000001 };
    unsigned char out[ORR_NTP_SIZE];
    struct orr_ntp_packet back;
    orr_ntp_encode(&p, out);
    assert_memory_equal(out, golden, sizeof out);
    assert_int_equal(orr_ntp_decode(golden, sizeof golden, &back), ORR_NTP_TAKEN);
    orr_ntp_encode(&back, out);
    assert_memory_equal(out, golden, sizeof out);
    assert_int_equal(back.leap, 1);
    assert_int_equal(back.version, 4);
    assert_int_equal(back.mode, ORR_NTP_SERVER);
    assert_int_equal(back.precision, -23);
    assert_true(orr_ntp_span(back.root_delay) == 1500 * ORR_MS);
    assert_true(back.transmit - back.receive == 0x80000001);
}

static void any_48_bytes_are_a_packet_and_come_back(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        unsigned char in[ORR_NTP_SIZE], out[ORR_NTP_SIZE];
        struct orr_ntp_packet p;
        orri_rng_fill(&rng, in, sizeof in);
        assert_int_equal(orr_ntp_decode(in, sizeof in, &p), ORR_NTP_TAKEN);
        orr_ntp_encode(&p, out);
        assert_memory_equal(in, out, sizeof in);
    }
}

/* 48 bytes and the fields whose lengths these are, up to a 0. */
static enum orr_ntp_verdict with_fields(const unsigned *lengths, size_t cut) {
    static unsigned char bytes[4096];
    struct orr_ntp_packet p;
    size_t size = ORR_NTP_SIZE;
    memcpy(bytes, golden, sizeof golden);
    for (; *lengths; lengths++) {
        bytes[size + 2] = (unsigned char)(*lengths >> 8);
        bytes[size + 3] = (unsigned char)*lengths;
        size += *lengths;
    }
    return orr_ntp_decode(bytes, size - cut, &p);
}

static void extension_fields_are_whole_or_the_packet_is_none(void **state) {
    (void)state;
    assert_int_equal(with_fields((unsigned[]){ 16, 0 }, 0), ORR_NTP_TAKEN);
    assert_int_equal(with_fields((unsigned[]){ 28, 16, 64, 0 }, 0), ORR_NTP_TAKEN);
    assert_int_equal(with_fields((unsigned[]){ 12, 0 }, 0), ORR_NTP_EXTENSION);
    assert_int_equal(with_fields((unsigned[]){ 16, 18, 0 }, 0), ORR_NTP_EXTENSION);
    assert_int_equal(with_fields((unsigned[]){ 16, 20, 0 }, 1), ORR_NTP_EXTENSION);
    assert_int_equal(with_fields((unsigned[]){ 16, 20, 0 }, 17), ORR_NTP_EXTENSION);
    assert_int_equal(with_fields((unsigned[]){ 1184, 0 }, 0), ORR_NTP_TAKEN);
    assert_int_equal(with_fields((unsigned[]){ 1184, 16, 0 }, 0), ORR_NTP_LONG);
    assert_int_equal(with_fields((unsigned[]){ 0 }, 1), ORR_NTP_SHORT);
    unsigned char zeros[ORR_NTP_SIZE + 16] = { 0 };         /* a field of length 0 */
    struct orr_ntp_packet p;
    assert_int_equal(orr_ntp_decode(zeros, sizeof zeros, &p), ORR_NTP_EXTENSION);
    assert_int_equal(orr_ntp_decode(NULL, 0, &p), ORR_NTP_SHORT);
}

static void each_verdict_has_a_word(void **state) {
    (void)state;
    for (int i = 0; i < ORR_NTP_VERDICT_COUNT; i++) assert_true(orr_ntp_verdict_word((enum orr_ntp_verdict)i)[0]);
    assert_string_equal(orr_ntp_verdict_word(ORR_NTP_NOT_ASKED), "not_asked");
    assert_string_equal(orr_ntp_verdict_word(ORR_NTP_VERDICT_COUNT), "");
}

/* -- Fixed point --------------------------------------------------------------------------------------------------- */
static void stamps_are_exact_to_the_ns_within_68_years(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 6);
    assert_true(orr_ntp_stamp_of(0) == (uint64_t)2208988800 << 32);
    assert_true(orr_ntp_stamp_of(ORR_SECOND / 2) == ((uint64_t)2208988800 << 32) + ((uint64_t)1 << 31));
    const orr_time most = ((orr_time)1 << 31) * ORR_SECOND - ORR_SECOND;
    for (int i = 0; i < 200000; i++) {
        orr_time at = orri_rng_between(&rng, INT64_MIN, INT64_MAX), near;
        if (__builtin_add_overflow(at, orri_rng_between(&rng, -most, most), &near)) near = at;
        assert_true(orr_ntp_time(orr_ntp_stamp_of(at), near) == at);
    }
}

static void the_era_is_the_one_that_is_near(void **state) {
    (void)state;
    const orr_time era = ((orr_time)1 << 32) * ORR_SECOND;
    assert_true(orr_ntp_stamp_of(era1) == 1);               /* not 0, which is "not known" */
    assert_true(orr_ntp_stamp_of(era1 - 1) == UINT64_MAX - 3);
    assert_true(orr_ntp_time(1, wall) == era1);
    assert_true(orr_ntp_time((uint64_t)5 << 32, wall) == era1 + 5 * ORR_SECOND);
    assert_true(orr_ntp_time((uint64_t)5 << 32, -2200000000 * ORR_SECOND) == era1 - era + 5 * ORR_SECOND);
    assert_true(orr_ntp_time(UINT64_MAX << 32, era1 + 5) == era1 - ORR_SECOND);
    assert_true(orr_ntp_time(orr_ntp_stamp_of(wall), wall + ((orr_time)1 << 31) * ORR_SECOND) == wall);
    assert_true(orr_ntp_time(orr_ntp_stamp_of(wall), wall + ((orr_time)1 << 31) * ORR_SECOND + ORR_SECOND) ==
                wall + era);
}

static void what_is_beyond_saturates(void **state) {
    (void)state;
    assert_true(orr_ntp_time(orr_ntp_stamp_of(INT64_MAX) + ((uint64_t)1 << 32), INT64_MAX) == INT64_MAX);
    assert_true(orr_ntp_time(orr_ntp_stamp_of(INT64_MIN) - ((uint64_t)1 << 32), INT64_MIN) == INT64_MIN);
    assert_true(orr_ntp_time(orr_ntp_stamp_of(INT64_MAX), INT64_MAX) == INT64_MAX);
    assert_true(orr_ntp_time(orr_ntp_stamp_of(INT64_MIN), INT64_MIN) == INT64_MIN);
    assert_true(orr_ntp_time(orr_ntp_stamp_of(INT64_MIN + 9), INT64_MIN) == INT64_MIN + 9);
    assert_true(orr_ntp_short_of(INT64_MAX) == UINT32_MAX && orr_ntp_short_of(-1) == 0 && orr_ntp_short_of(0) == 0);
    assert_true(orr_ntp_short_of(INT64_MIN) == 0);
    assert_true(orr_ntp_short_of(1) == 1);                  /* a bound is rounded up */
    assert_true(orr_ntp_short_of(ORR_SECOND) == 65536 && orr_ntp_short_of(ORR_SECOND + 1) == 65537);
    assert_true(orr_ntp_span(1) == 15259 && orr_ntp_span(65536) == ORR_SECOND);
    assert_true(orr_ntp_span(UINT32_MAX) > 65535 * ORR_SECOND && orr_ntp_span(UINT32_MAX) < 65536 * ORR_SECOND);
    assert_true(orr_ntp_power(0) == ORR_SECOND && orr_ntp_power(-20) == 953 && orr_ntp_power(10) == 1024 * ORR_SECOND);
    assert_true(orr_ntp_power(-29) == 1 && orr_ntp_power(-128) == 1 && orr_ntp_power(127) == INT64_MAX);
    assert_true(orr_ntp_power(33) == ((orr_time)1 << 33) * ORR_SECOND && orr_ntp_power(34) == INT64_MAX);
}

/* -- A client by hand ---------------------------------------------------------------------------------------------- */
static const struct orr_ntp_address server_address = { .ip = { [10] = 0xff, 0xff, 192, 0, 2, 1 }, .port = 123 };
static const orr_time sent = 1000 * ORR_SECOND;

struct hand {
    struct orr_ntp_client *c;
    uint64_t cookie;
    unsigned char request[ORR_NTP_SIZE];
    struct orr_ntp_packet reply;            /* a good one, but for what the test does to it */
    struct orr_ntp_arrival arrival;
    struct orr_ntp_exchange x;
};

static void ask_at(struct hand *h, orr_time now) {
    h->cookie += 0x9e3779b97f4a7c15;
    struct orr_ntp_cookies cookies = { h->cookie, ~h->cookie };
    assert_int_equal(orr_ntp_client_request(h->c, now, &cookies, h->request), 0);
    h->reply = (struct orr_ntp_packet){ .version = 4, .mode = ORR_NTP_SERVER, .stratum = 2, .precision = -20,
                                        .root_delay = 655, .root_dispersion = 655, .refid = 0xc0000202,
                                        .origin = cookies.transmit, .receive = orr_ntp_stamp_of(wall + 10 * ORR_MS),
                                        .transmit = orr_ntp_stamp_of(wall + 11 * ORR_MS) };
    h->arrival = (struct orr_ntp_arrival){ .from = server_address, .wall = wall, .by_kernel = true };
    h->arrival.local = now < INT64_MAX - 21 * ORR_MS ? now + 21 * ORR_MS : INT64_MAX;
}

static struct hand begin(const struct orr_ntp_client_config *given) {
    struct hand h = { 0 };
    struct orr_ntp_client_config config;
    orr_ntp_client_config_init(&config);
    config.refids[1] = 0xc0000209;
    if (given) config = *given;
    config.server = server_address;
    assert_int_equal(orr_ntp_client_new(&h.c, &config, sent), 0);
    ask_at(&h, sent);
    return h;
}

static enum orr_ntp_verdict hear_bytes(struct hand *h, const void *at, size_t size) {
    h->arrival.at = at;
    h->arrival.size = size;
    return orr_ntp_client_recv(h->c, &h->arrival, &h->x);
}

static enum orr_ntp_verdict hear(struct hand *h) {
    unsigned char bytes[ORR_NTP_SIZE];
    orr_ntp_encode(&h->reply, bytes);
    return hear_bytes(h, bytes, sizeof bytes);
}

static struct orr_ntp_client_status status_of(const struct hand *h) {
    struct orr_ntp_client_status status;
    orr_ntp_client_status(h->c, &status);
    return status;
}

static void a_request_tells_nothing_but_its_cookie(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    unsigned char expected[ORR_NTP_SIZE] = { 0x23, 0, 6, 0 };
    for (int i = 0; i < 8; i++) expected[40 + i] = (unsigned char)(h.cookie >> (56 - 8 * i));
    assert_memory_equal(h.request, expected, sizeof expected);
    orr_ntp_client_free(h.c);
}

static void a_good_reply_gives_its_exchange(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    orr_ntp_client_sent(h.c, h.cookie, sent + 3);
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    assert_true(h.x.t1 == sent + 3 && h.x.t4 == sent + 21 * ORR_MS);
    assert_true(h.x.t2 == wall + 10 * ORR_MS && h.x.t3 == wall + 11 * ORR_MS);
    assert_int_equal(h.x.root_delay_ns, 9994507);           /* 655 / 65536 s */
    assert_int_equal(h.x.root_dispersion_ns, 9994507);
    assert_int_equal(h.x.stratum, 2);
    assert_int_equal(h.x.precision, -20);
    assert_int_equal(h.x.refid, 0xc0000202);
    assert_int_equal(h.x.flags, 0);
    assert_int_equal(h.x.stamp_error_ns, 953);
    struct orr_ntp_client_status status = status_of(&h);
    assert_int_equal(status.reach, 1);
    assert_int_equal(status.verdicts[ORR_NTP_TAKEN], 1);
    assert_false(status.waiting);

    ask_at(&h, sent + 64 * ORR_SECOND);                     /* no stamps of the kernel's this time */
    h.arrival.by_kernel = false;
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    assert_int_equal(h.x.flags, ORR_NTP_USER_T1 | ORR_NTP_USER_T4);
    assert_int_equal(h.x.stamp_error_ns, 20953);
    orr_ntp_client_free(h.c);
}

/* What the test does to a good reply; then what is said of it, and whether the request still waits. */
static void bad(const char *what, void (*spoil)(struct hand *h), enum orr_ntp_verdict verdict, bool waits) {
    struct hand h = begin(NULL), good = h;
    struct orr_ntp_exchange untouched;
    memset(&h.x, 0x5a, sizeof h.x);
    untouched = h.x;
    spoil(&h);
    enum orr_ntp_verdict said = hear(&h);
    struct orr_ntp_client_status status = status_of(&h);
    if (said != verdict) fail_msg("%s: %s", what, orr_ntp_verdict_word(said));
    assert_memory_equal(&h.x, &untouched, sizeof h.x);
    for (int i = 0; i < ORR_NTP_VERDICT_COUNT; i++) assert_int_equal(status.verdicts[i], i == (int)verdict);
    if (status.waiting != waits) fail_msg("%s: %s", what, waits ? "took the request for answered" : "still waits");
    assert_int_equal(status.reach, 0);
    assert_false(status.stopped);
    /* Nothing else has changed: the good one is still taken. */
    if (waits && hear(&good) != ORR_NTP_TAKEN) fail_msg("%s: and then the good one is refused", what);
    orr_ntp_client_free(h.c);
}

/* How much less than nothing a round trip of 21 ms may take: our precision, the server's, the program's stamp of t1,
 * 1 ppm. */
static const orr_time limit = 1000 + 953 + 10000 + 21 + 1;

static orr_ntp_stamp moved(orr_ntp_stamp from, orr_time by) { return orr_ntp_stamp_of(orr_ntp_time(from, wall) + by); }

static void other_ip(struct hand *h) { h->arrival.from.ip[15] ^= 1; }
static void other_port(struct hand *h) { h->arrival.from.port = 124; }
static void other_zone(struct hand *h) { h->arrival.from.zone = 1; }
static void mode_3(struct hand *h) { h->reply.mode = 3; }
static void mode_5(struct hand *h) { h->reply.mode = 5; }
static void mode_0(struct hand *h) { h->reply.mode = 0; }
static void version_2(struct hand *h) { h->reply.version = 2; }
static void version_5(struct hand *h) { h->reply.version = 5; }
static void cookie_off_by_one(struct hand *h) { h->reply.origin ^= 1; }
static void cookie_zero(struct hand *h) { h->reply.origin = 0; }
static void second_cookie(struct hand *h) { h->reply.origin = ~h->cookie; }
static void leap_3(struct hand *h) { h->reply.leap = 3; }
static void stratum_0(struct hand *h) { h->reply.stratum = 0; h->reply.refid = 0; }
static void stratum_16(struct hand *h) { h->reply.stratum = 16; }
static void stratum_255(struct hand *h) { h->reply.stratum = 255; }
static void no_receive(struct hand *h) { h->reply.receive = 0; }
static void no_transmit(struct hand *h) { h->reply.transmit = 0; }
static void t3_before_t2(struct hand *h) { h->reply.transmit = h->reply.receive - 1; }
static void t3_half_an_era_on(struct hand *h) { h->reply.transmit = h->reply.receive + ((uint64_t)1 << 63); }
static void held_too_long(struct hand *h) { h->reply.transmit = h->reply.receive + ((uint64_t)4 << 32) + 1; }
static void coarse(struct hand *h) { h->reply.precision = 1; }
static void t4_is_t1(struct hand *h) { h->arrival.local = sent; }
static void t4_before_t1(struct hand *h) { h->arrival.local = sent - 1; }
static void t4_far_before(struct hand *h) { h->arrival.local = INT64_MIN; }
static void t4_far_on(struct hand *h) { h->arrival.local = INT64_MAX; }
static void far_away(struct hand *h) {                      /* wall time by the server is 1754 */
    h->arrival.wall = -6800000000 * ORR_SECOND;
    h->reply.receive = h->reply.transmit = orr_ntp_stamp_of(h->arrival.wall);
}
static void faster_than_light(struct hand *h) { h->reply.transmit = moved(h->reply.receive, 21 * ORR_MS + limit); }
static void root_at_the_limit(struct hand *h) { h->reply.root_delay = 65536; h->reply.root_dispersion = 32768; }
static void root_at_the_end(struct hand *h) { h->reply.root_delay = h->reply.root_dispersion = UINT32_MAX; }
static void follows_us(struct hand *h) { h->reply.refid = 0xc0000209; }
static void kiss(struct hand *h, uint32_t word) {
    h->reply = (struct orr_ntp_packet){ .leap = 3, .version = 4, .mode = 4, .refid = word, .origin = h->reply.origin };
}
static void kiss_of_another_kind(struct hand *h) { kiss(h, 0x494e4954); }
static void rate_without_cookie(struct hand *h) { kiss(h, 0x52415445); h->reply.origin++; }
static void deny_without_cookie(struct hand *h) { kiss(h, 0x44454e59); h->reply.origin++; }

static void a_bad_reply_is_refused_and_counted_and_changes_nothing(void **state) {
    (void)state;
#define BAD(spoil, verdict, waits) bad(#spoil, spoil, verdict, waits)
    BAD(other_ip, ORR_NTP_ADDRESS, true);
    BAD(other_port, ORR_NTP_ADDRESS, true);
    BAD(other_zone, ORR_NTP_ADDRESS, true);
    BAD(mode_0, ORR_NTP_MODE, true);
    BAD(mode_3, ORR_NTP_MODE, true);
    BAD(mode_5, ORR_NTP_MODE, true);
    BAD(version_2, ORR_NTP_VERSION, true);
    BAD(version_5, ORR_NTP_VERSION, true);
    BAD(cookie_off_by_one, ORR_NTP_COOKIE, true);
    BAD(cookie_zero, ORR_NTP_COOKIE, true);
    BAD(second_cookie, ORR_NTP_COOKIE, true);               /* which wasn't sent */
    BAD(rate_without_cookie, ORR_NTP_COOKIE, true);
    BAD(deny_without_cookie, ORR_NTP_COOKIE, true);
    BAD(leap_3, ORR_NTP_LEAP, false);
    BAD(stratum_0, ORR_NTP_STRATUM, false);
    BAD(stratum_16, ORR_NTP_STRATUM, false);
    BAD(stratum_255, ORR_NTP_STRATUM, false);
    BAD(no_receive, ORR_NTP_ZERO, false);
    BAD(no_transmit, ORR_NTP_ZERO, false);
    BAD(t3_before_t2, ORR_NTP_ORDER, false);
    BAD(t3_half_an_era_on, ORR_NTP_ORDER, false);
    BAD(held_too_long, ORR_NTP_SLOW, false);
    BAD(coarse, ORR_NTP_PRECISION, false);
    BAD(t4_is_t1, ORR_NTP_BACK, false);
    BAD(t4_before_t1, ORR_NTP_BACK, false);
    BAD(t4_far_before, ORR_NTP_BACK, false);
    BAD(t4_far_on, ORR_NTP_RANGE, false);
    BAD(far_away, ORR_NTP_RANGE, false);
    BAD(faster_than_light, ORR_NTP_DELAY, false);
    BAD(root_at_the_limit, ORR_NTP_ROOT, false);
    BAD(root_at_the_end, ORR_NTP_ROOT, false);
    BAD(follows_us, ORR_NTP_LOOP, false);
    BAD(kiss_of_another_kind, ORR_NTP_KISS, false);
}

static void bytes_that_are_no_packet_are_refused(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    unsigned char bytes[2048] = { 0 };
    orr_ntp_encode(&h.reply, bytes);
    assert_int_equal(hear_bytes(&h, NULL, 0), ORR_NTP_SHORT);
    assert_int_equal(hear_bytes(&h, bytes, 47), ORR_NTP_SHORT);
    assert_int_equal(hear_bytes(&h, bytes, sizeof bytes), ORR_NTP_LONG);
    assert_int_equal(hear_bytes(&h, bytes, 64), ORR_NTP_EXTENSION);
    assert_int_equal(hear_bytes(&h, bytes, 68), ORR_NTP_EXTENSION);         /* a MAC of 20 bytes */
    assert_true(status_of(&h).waiting);
    bytes[51] = 16;
    assert_int_equal(hear_bytes(&h, bytes, 64), ORR_NTP_TAKEN);
    orr_ntp_client_free(h.c);
}

static void what_is_at_the_edge_is_taken(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    h.reply.transmit = h.reply.receive + ((uint64_t)4 << 32);
    h.arrival.local += 4 * ORR_SECOND;
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);              /* held for 4 s */
    ask_at(&h, sent);
    h.reply.version = 3;
    h.reply.transmit = moved(h.reply.receive, 21 * ORR_MS + limit - 1);
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);              /* faster than light, but for the stamps' errors */
    ask_at(&h, sent);
    h.reply.stratum = 1;
    h.reply.refid = 0xc0000209;                             /* the letters of a source, that look like us */
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    ask_at(&h, sent);
    h.reply.stratum = 15;
    h.reply.root_delay = 65536;
    h.reply.root_dispersion = 32767;
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    ask_at(&h, sent);
    h.reply.receive = h.reply.transmit;
    h.arrival.local = sent + 1;
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    assert_true(h.x.t2 == h.x.t3);
    orr_ntp_client_free(h.c);
}

static void a_request_has_one_reply(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    struct hand old = h;
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    assert_int_equal(hear(&h), ORR_NTP_NOT_ASKED);          /* the network gave it twice */
    ask_at(&h, sent + 2 * ORR_SECOND);
    assert_int_equal(hear(&old), ORR_NTP_COOKIE);           /* a replay */
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    old = h;
    ask_at(&h, sent + 4 * ORR_SECOND);
    struct hand lost = h;
    ask_at(&h, sent + 6 * ORR_SECOND);
    assert_int_equal(hear(&lost), ORR_NTP_COOKIE);          /* it came when nobody waited for it any more */
    orr_ntp_client_sent(h.c, lost.cookie, 7);               /* nor is its stamp taken for the new one's */
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    assert_true(h.x.t1 == sent + 6 * ORR_SECOND);
    assert_int_equal(status_of(&h).verdicts[ORR_NTP_TAKEN], 3);
    orr_ntp_client_free(h.c);
}

static void an_era_that_ends_within_an_exchange_is_none(void **state) {
    (void)state;
    for (orr_time at = -30; at <= 30; at++) {
        struct hand h = begin(NULL);
        h.arrival.wall = wall;                              /* our own wall clock is ten years late */
        h.reply.receive = orr_ntp_stamp_of(era1 + at * ORR_MS);
        h.reply.transmit = orr_ntp_stamp_of(era1 + at * ORR_MS + ORR_MS);
        assert_int_equal(hear(&h), ORR_NTP_TAKEN);
        assert_true(h.x.t2 == era1 + at * ORR_MS && h.x.t3 == h.x.t2 + ORR_MS);
        orr_ntp_client_free(h.c);
    }
}

static void t3_is_near_t2_though_that_is_68_years_away(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    orr_time t2 = wall + ((orr_time)1 << 31) * ORR_SECOND - 1;
    h.reply.receive = orr_ntp_stamp_of(t2);
    h.reply.transmit = orr_ntp_stamp_of(t2 + ORR_MS);
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    assert_true(h.x.t2 == t2 && h.x.t3 == t2 + ORR_MS);
    orr_ntp_client_free(h.c);
}

/* -- Interleaved mode ---------------------------------------------------------------------------------------------- */
static struct orr_ntp_packet request_of(const struct hand *h) {
    struct orr_ntp_packet p;
    assert_int_equal(orr_ntp_decode(h->request, sizeof h->request, &p), ORR_NTP_TAKEN);
    return p;
}

static struct hand begin_interleaved(void) {
    struct orr_ntp_client_config config;
    orr_ntp_client_config_init(&config);
    config.interleaved = true;
    struct hand h = begin(&config);
    assert_true(request_of(&h).origin == 0 && request_of(&h).receive == 0);
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    return h;
}

static void a_stamp_that_comes_after_the_reply_is_of_use_yet(void **state) {
    (void)state;
    struct hand h = begin_interleaved();
    orr_ntp_stamp t2 = h.reply.receive;
    for (int i = 0; i < 2; i++) {                           /* the first time its exchange was told already */
        orr_time t1 = sent + (i + 1) * 2 * ORR_SECOND;
        uint64_t before = h.cookie;
        ask_at(&h, t1);
        orr_ntp_client_sent(h.c, before, t1 - 2 * ORR_SECOND + 5);
        assert_true(request_of(&h).origin == t2 && request_of(&h).receive == ~h.cookie);
        h.reply.origin = ~h.cookie;
        assert_int_equal(hear(&h), i == 0 ? ORR_NTP_KEPT : ORR_NTP_TAKEN);
    }
    assert_true(h.x.t1 == sent + 2 * ORR_SECOND + 5);
    assert_int_equal(h.x.flags, ORR_NTP_INTERLEAVED);
    ask_at(&h, sent + 6 * ORR_SECOND);
    h.reply.origin = ~h.cookie;
    h.reply.receive = 0;
    assert_int_equal(hear(&h), ORR_NTP_ZERO);
    orr_ntp_client_free(h.c);
}

static void after_four_misses_it_asks_in_basic_mode(void **state) {
    (void)state;
    struct hand h = begin_interleaved();
    for (int i = 0; i < 4; i++) {
        ask_at(&h, sent + (i + 1) * 2 * ORR_SECOND);
        assert_true(request_of(&h).origin != 0);
    }
    ask_at(&h, sent + 10 * ORR_SECOND);
    assert_true(request_of(&h).origin == 0 && request_of(&h).receive == 0);
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);              /* it is there again, and may know the other mode */
    for (int i = 0; i < 4; i++) {
        ask_at(&h, sent + (i + 6) * 2 * ORR_SECOND);
        assert_true(request_of(&h).origin == h.reply.receive);
        assert_int_equal(hear(&h), ORR_NTP_TAKEN);          /* but doesn't speak it */
    }
    for (int i = 0; i < 15; i++) {
        ask_at(&h, sent + (i + 10) * 2 * ORR_SECOND);
        assert_true(request_of(&h).origin == 0);
        assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    }
    ask_at(&h, sent + 100 * ORR_SECOND);
    assert_true(request_of(&h).origin != 0);
    orr_ntp_client_free(h.c);
}

/* -- What a server is worth ---------------------------------------------------------------------------------------- */
static void a_server_that_is_no_use_is_out_of_reach_after_8_polls(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(status_of(&h).reach, 1 << i);
        ask_at(&h, sent + (i + 1) * 64 * ORR_SECOND);
        if (i % 2) h.reply.leap = 3;
        else h.reply.stratum = 16;
        assert_true(hear(&h) != ORR_NTP_TAKEN);
    }
    assert_int_equal(status_of(&h).reach, 0);
    orr_ntp_client_free(h.c);
}

/* -- When to ask --------------------------------------------------------------------------------------------------- */
static orr_time next_after(struct hand *h) {
    orr_time at = orr_ntp_client_deadline(h->c);
    ask_at(h, at);
    return orr_ntp_client_deadline(h->c) - at;
}

static void near(orr_time got, orr_time expected) {
    assert_true(got >= expected - expected / 100 && got <= expected + expected / 100);
}

static void four_times_at_2_s_and_then_by_the_poll(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    near(orr_ntp_client_deadline(h.c) - sent, 2 * ORR_SECOND);
    for (int i = 0; i < 2; i++) near(next_after(&h), 2 * ORR_SECOND);
    near(next_after(&h), 64 * ORR_SECOND);                  /* the fourth */
    orr_time first = next_after(&h), second = next_after(&h);
    near(first, 64 * ORR_SECOND);
    assert_true(first != second);
    orr_ntp_client_set_poll(h.c, 8);
    near(next_after(&h), 256 * ORR_SECOND);
    orr_ntp_client_set_poll(h.c, INT32_MAX);
    near(next_after(&h), 1024 * ORR_SECOND);
    orr_ntp_client_set_poll(h.c, INT32_MIN);
    orr_time asked = h.arrival.local - 21 * ORR_MS;
    near(orr_ntp_client_deadline(h.c) - asked, 64 * ORR_SECOND);            /* at once, not in 1024 s */
    orr_ntp_client_free(h.c);
}

static enum orr_ntp_verdict hear_kiss(struct hand *h, uint32_t word) {
    kiss(h, word);
    return hear(h);
}

static void rate_makes_it_ask_less_for_good(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    assert_int_equal(hear_kiss(&h, 0x52415445), ORR_NTP_RATE);
    assert_int_equal(status_of(&h).poll, 8);
    near(orr_ntp_client_deadline(h.c) - sent, 256 * ORR_SECOND);            /* the burst is over, too */
    orr_ntp_client_set_poll(h.c, 6);
    assert_int_equal(status_of(&h).poll, 8);
    for (int i = 0; i < 3; i++) {
        (void)next_after(&h);
        assert_int_equal(hear_kiss(&h, 0x52415445), ORR_NTP_RATE);
        assert_int_equal(status_of(&h).poll, 8);            /* once in four polls */
    }
    (void)next_after(&h);
    assert_int_equal(hear_kiss(&h, 0x52415445), ORR_NTP_RATE);
    assert_int_equal(status_of(&h).poll, 10);
    for (int i = 0; i < 40; i++) {
        (void)next_after(&h);
        assert_int_equal(hear_kiss(&h, 0x52415445), ORR_NTP_RATE);
    }
    assert_int_equal(status_of(&h).poll, ORR_NTP_POLL_MAX);
    orr_ntp_client_set_poll(h.c, 6);
    near(next_after(&h), 131072 * ORR_SECOND);
    assert_int_equal(hear(&h), ORR_NTP_TAKEN);
    orr_ntp_client_free(h.c);
}

static void deny_and_rstr_end_it(void **state) {
    (void)state;
    static const uint32_t words[] = { 0x44454e59, 0x52535452 };
    for (int i = 0; i < 2; i++) {
        struct hand h = begin(NULL);
        struct orr_ntp_cookies cookies = { 1, 2 };
        unsigned char before[ORR_NTP_SIZE];
        assert_int_equal(hear_kiss(&h, words[i]), ORR_NTP_DENY);
        assert_true(orr_ntp_client_deadline(h.c) == ORR_NEVER);
        assert_true(status_of(&h).stopped);
        memcpy(before, h.request, sizeof before);
        assert_int_equal(orr_ntp_client_request(h.c, sent + ORR_SECOND, &cookies, h.request), ORR_EDENIED);
        assert_memory_equal(before, h.request, sizeof before);
        orr_ntp_client_free(h.c);
    }
}

/* So many that a counter of 16 bits, or a deadline, would have gone round: up to the end of time itself. */
static void polls_without_end_overflow_nothing(void **state) {
    (void)state;
    struct hand h = begin(NULL);
    orr_time before = sent;
    for (int i = 0; i < 1 << 20; i++) {
        orr_time at = orr_ntp_client_deadline(h.c);
        assert_true(at >= before);
        before = at;
        if (i % 16 == 0) orr_ntp_client_set_poll(h.c, i);
        if (i == 1 << 17) at = INT64_MAX - 900000 * ORR_SECOND;
        ask_at(&h, at);
        if (at < INT64_MAX - 900000 * ORR_SECOND) assert_int_equal(hear(&h), ORR_NTP_TAKEN);
        if (orr_ntp_client_deadline(h.c) == ORR_NEVER - 1) ask_at(&h, INT64_MAX);
    }
    assert_true(orr_ntp_client_deadline(h.c) == ORR_NEVER - 1);
    assert_true(status_of(&h).requests > 1 << 20);
    assert_int_equal(status_of(&h).reach, 0);
    orr_ntp_client_free(h.c);
}

static void a_config_that_makes_no_sense_is_named(void **state) {
    (void)state;
    struct orr_ntp_client_config config;
    struct orr_ntp_client *c = NULL;
    const char *field = NULL;
    orr_ntp_client_config_init(&config);
    assert_int_equal(orr_ntp_client_config_check(&config, &field), 0);
#define WRONG(name, value)                                                                                             \
    do {                                                                                                               \
        orr_ntp_client_config_init(&config);                                                                           \
        config.name = value;                                                                                           \
        assert_int_equal(orr_ntp_client_config_check(&config, &field), ORR_EINVALID);                                  \
        assert_string_equal(field, #name);                                                                             \
        assert_int_equal(orr_ntp_client_new(&c, &config, 0), ORR_EINVALID);                                            \
    } while (0)
    WRONG(size, 1);
    WRONG(poll_min, -7);
    WRONG(poll_min, 18);
    WRONG(poll_max, 5);
    WRONG(poll_max, 18);
    WRONG(root_distance_max, 0);
    WRONG(root_distance_max, 16 * ORR_SECOND + 1);
#undef WRONG
    assert_null(c);
    orr_ntp_client_free(NULL);
    orr_ntp_client_config_init(&config);
    SPEC_EACH_FAILURE(a) {
        const struct orr_alloc alloc = spec_alloc_of(&a);
        config.alloc = &alloc;
        int rc = orr_ntp_client_new(&c, &config, 0);
        assert_int_equal(rc, a.failed ? -ENOMEM : 0);
        if (rc == 0) orr_ntp_client_free(c);
        spec_alloc_check(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_has_the_layout_of_the_rfc),
        cmocka_unit_test(any_48_bytes_are_a_packet_and_come_back),
        cmocka_unit_test(extension_fields_are_whole_or_the_packet_is_none),
        cmocka_unit_test(each_verdict_has_a_word),
        cmocka_unit_test(stamps_are_exact_to_the_ns_within_68_years),
        cmocka_unit_test(the_era_is_the_one_that_is_near),
        cmocka_unit_test(what_is_beyond_saturates),
        cmocka_unit_test(a_request_tells_nothing_but_its_cookie),
        cmocka_unit_test(a_good_reply_gives_its_exchange),
        cmocka_unit_test(a_bad_reply_is_refused_and_counted_and_changes_nothing),
        cmocka_unit_test(bytes_that_are_no_packet_are_refused),
        cmocka_unit_test(what_is_at_the_edge_is_taken),
        cmocka_unit_test(a_request_has_one_reply),
        cmocka_unit_test(an_era_that_ends_within_an_exchange_is_none),
        cmocka_unit_test(t3_is_near_t2_though_that_is_68_years_away),
        cmocka_unit_test(a_stamp_that_comes_after_the_reply_is_of_use_yet),
        cmocka_unit_test(after_four_misses_it_asks_in_basic_mode),
        cmocka_unit_test(a_server_that_is_no_use_is_out_of_reach_after_8_polls),
        cmocka_unit_test(four_times_at_2_s_and_then_by_the_poll),
        cmocka_unit_test(rate_makes_it_ask_less_for_good),
        cmocka_unit_test(deny_and_rstr_end_it),
        cmocka_unit_test(polls_without_end_overflow_nothing),
        cmocka_unit_test(a_config_that_makes_no_sense_is_named),
    };
    return cmocka_run_group_tests_name("clock.ntp", tests, NULL, NULL);
}
