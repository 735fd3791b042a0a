/* ntp_server_test.c - the server by hand: whom it answers, what it says of its clock, how it refuses, what it keeps for
 * interleaved mode. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include <orrery/ntp.h>

#include "base/rng.h"
#include "support/alloc.h"

static const orr_time wall = 1796000000 * ORR_SECOND;       /* in 2026 */
static const orr_time local = 5000 * ORR_SECOND;

/* -- A server by hand ---------------------------------------------------------------------------------------------- */
struct hand {
    struct orr_ntp_server *s;
    struct orr_ntp_server_clock clock;
    struct orr_ntp_packet request;
    struct orr_ntp_arrival arrival;
    orr_time t3;
    unsigned char bytes[ORR_NTP_SIZE];
    struct orr_ntp_packet answer;
};

static struct hand begin(orr_time interval) {
    struct hand h = { .clock = { .synchronised = true, .leap = 1, .stratum = 3, .precision = -22, .refid = 0xc0000201,
                                 .reference = wall - 5 * ORR_SECOND, .root_delay = 10 * ORR_MS,
                                 .half_width = 7 * ORR_MS },
                      .request = { .version = 4, .mode = ORR_NTP_CLIENT, .poll = 7, .transmit = 0xfeedbeef12345678 },
                      .arrival = { .from = { .ip = { [10] = 0xff, 0xff, 192, 0, 2, 7 }, .port = 5000 },
                                   .local = local, .wall = wall },
                      .t3 = wall + 30 * ORR_US };
    struct orr_ntp_server_config config;
    orr_ntp_server_config_init(&config);
    config.interval = interval;
    assert_int_equal(orr_ntp_server_new(&h.s, &config), 0);
    return h;
}

static enum orr_ntp_verdict ask_bytes(struct hand *h, const void *at, size_t size) {
    unsigned char untouched[ORR_NTP_SIZE];
    memset(h->bytes, 0xa5, sizeof h->bytes);
    memset(untouched, 0xa5, sizeof untouched);
    h->arrival.at = at;
    h->arrival.size = size;
    enum orr_ntp_verdict verdict = orr_ntp_server_recv(h->s, &h->arrival, &h->clock, h->t3, h->bytes);
    if (verdict == ORR_NTP_TAKEN || verdict == ORR_NTP_RATE) {
        assert_int_equal(orr_ntp_decode(h->bytes, sizeof h->bytes, &h->answer), ORR_NTP_TAKEN);
        assert_int_equal(h->answer.mode, ORR_NTP_SERVER);
    } else {
        assert_memory_equal(h->bytes, untouched, sizeof untouched);
    }
    return verdict;
}

static enum orr_ntp_verdict ask(struct hand *h) {
    unsigned char bytes[ORR_NTP_SIZE];
    orr_ntp_encode(&h->request, bytes);
    return ask_bytes(h, bytes, sizeof bytes);
}

static struct orr_ntp_server_status status_of(const struct hand *h) {
    struct orr_ntp_server_status status;
    orr_ntp_server_status(h->s, &status);
    return status;
}

static void an_answer_says_what_the_clock_is(void **state) {
    (void)state;
    struct hand h = begin(0);
    for (uint8_t version = 1; version <= 4; version++) {
        h.request.version = version;
        h.arrival.wall = wall + version;
        assert_int_equal(ask(&h), ORR_NTP_TAKEN);
        assert_int_equal(h.answer.version, version);
        assert_int_equal(h.answer.leap, 1);
        assert_int_equal(h.answer.stratum, 3);
        assert_int_equal(h.answer.poll, 7);
        assert_int_equal(h.answer.precision, -22);
        assert_int_equal(h.answer.refid, 0xc0000201);
        assert_true(h.answer.origin == h.request.transmit);
        assert_true(orr_ntp_time(h.answer.reference, wall) == wall - 5 * ORR_SECOND);
        assert_true(orr_ntp_time(h.answer.receive, wall) == wall + version);
        assert_true(orr_ntp_time(h.answer.transmit, wall) == wall + 30 * ORR_US);
        assert_int_equal(h.answer.root_delay, 656);         /* 655.36 and 131.07 units, rounded up */
        assert_int_equal(h.answer.root_dispersion, 132);
    }
    assert_int_equal(status_of(&h).verdicts[ORR_NTP_TAKEN], 4);
    orr_ntp_server_free(h.s);
}

/* What it announces covers what its caller said of the clock, whatever that was. */
static void it_never_claims_to_be_better_than_it_is(void **state) {
    (void)state;
    struct hand h = begin(0);
    struct orr_rng rng;
    orri_rng_init(&rng, 4);
    for (int i = 0; i < 20000; i++) {
        h.clock.half_width = orri_rng_between(&rng, 0, (orr_time)1 << orri_rng_below(&rng, 45));
        h.clock.root_delay = orri_rng_between(&rng, 0, (orr_time)1 << orri_rng_below(&rng, 45));
        assert_int_equal(ask(&h), ORR_NTP_TAKEN);
        double half = h.answer.root_delay / 65536.0 / 2 + h.answer.root_dispersion / 65536.0;
        assert_true(half >= (double)h.clock.half_width / 1e9 - 1e-12);
        assert_true(h.answer.root_delay / 65536.0 >= (double)h.clock.root_delay / 1e9 - 1e-12);
        if (h.clock.half_width >= h.clock.root_delay / 2) assert_true(half <= (double)h.clock.half_width / 1e9 + 25e-6);
    }
    h.clock.half_width = INT64_MAX;
    h.clock.root_delay = INT64_MIN;
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    assert_true(h.answer.root_dispersion == UINT32_MAX && h.answer.root_delay == 0);
    orr_ntp_server_free(h.s);
}

static void without_synchronisation_it_says_so(void **state) {
    (void)state;
    struct hand h = begin(0);
    for (int i = 0; i < 3; i++) {
        h.clock.synchronised = i != 0;
        h.clock.stratum = i == 1 ? 16 : i == 2 ? 0 : 3;
        assert_int_equal(ask(&h), ORR_NTP_TAKEN);
        assert_int_equal(h.answer.leap, 3);
        assert_int_equal(h.answer.stratum, 0);
        assert_int_equal(h.answer.refid, 0);
        assert_true(h.answer.origin == h.request.transmit);
    }
    orr_ntp_server_free(h.s);
}

static void it_answers_clients_only(void **state) {
    (void)state;
    struct hand h = begin(0);
    for (uint8_t mode = 0; mode < 8; mode++) {
        h.request.mode = mode;
        assert_int_equal(ask(&h), mode == ORR_NTP_CLIENT ? ORR_NTP_TAKEN : ORR_NTP_MODE);
    }
    h.request.mode = ORR_NTP_CLIENT;
    for (uint8_t version = 0; version < 8; version++) {
        h.request.version = version;
        assert_int_equal(ask(&h), version >= 1 && version <= 4 ? ORR_NTP_TAKEN : ORR_NTP_VERSION);
    }
    struct orr_ntp_server_status status = status_of(&h);
    assert_int_equal(status.verdicts[ORR_NTP_MODE], 7);
    assert_int_equal(status.verdicts[ORR_NTP_VERSION], 4);
    assert_int_equal(status.verdicts[ORR_NTP_TAKEN], 5);
    orr_ntp_server_free(h.s);
}

static void its_own_answer_is_no_question(void **state) {
    (void)state;
    struct hand h = begin(0);
    unsigned char own[ORR_NTP_SIZE];
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    memcpy(own, h.bytes, sizeof own);
    assert_int_equal(ask_bytes(&h, own, sizeof own), ORR_NTP_MODE);
    orr_ntp_server_free(h.s);
}

static void bytes_that_are_no_request_get_no_answer(void **state) {
    (void)state;
    struct hand h = begin(ORR_SECOND);
    unsigned char bytes[2048] = { 0x23 };
    for (size_t size = 0; size < 48; size++) assert_int_equal(ask_bytes(&h, bytes, size), ORR_NTP_SHORT);
    for (size_t size = 49; size <= 1232; size += 7) assert_int_equal(ask_bytes(&h, bytes, size), ORR_NTP_EXTENSION);
    assert_int_equal(ask_bytes(&h, bytes, 1233), ORR_NTP_LONG);
    bytes[51] = 100;
    assert_int_equal(ask_bytes(&h, bytes, 147), ORR_NTP_EXTENSION);
    assert_int_equal(ask_bytes(&h, bytes, 148), ORR_NTP_TAKEN);             /* and the answer is 48 bytes */
    for (int i = 0; i < 15; i++) assert_int_equal(ask_bytes(&h, bytes, 48), ORR_NTP_TAKEN);
    assert_int_equal(ask_bytes(&h, bytes, 48), ORR_NTP_RATE);               /* what was no request took no tokens */
    orr_ntp_server_free(h.s);
}

/* The clock was set back between the two readings; or gave t2 twice, and it was moved on. */
static void no_answer_leaves_before_its_request_came(void **state) {
    (void)state;
    struct hand h = begin(ORR_SECOND);
    for (int i = 0; i < 17; i++) {
        h.t3 = i % 2 ? wall : wall - ORR_MS;
        assert_int_equal(ask(&h), i < 16 ? ORR_NTP_TAKEN : ORR_NTP_RATE);
        assert_true(h.answer.transmit >= h.answer.receive);
    }
    orr_ntp_server_free(h.s);
}

/* -- Too many ------------------------------------------------------------------------------------------------------ */
static void who_asks_too_often_is_told_one_time_in_eight(void **state) {
    (void)state;
    struct hand h = begin(500 * ORR_MS);
    for (int i = 0; i < 16; i++) assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    for (int i = 0; i < 80; i++) {
        assert_int_equal(ask(&h), i % 8 == 0 ? ORR_NTP_RATE : ORR_NTP_LIMITED);
        if (i % 8) continue;
        assert_int_equal(h.answer.leap, 3);
        assert_int_equal(h.answer.stratum, 0);
        assert_int_equal(h.answer.refid, 0x52415445);
        assert_true(h.answer.origin == h.request.transmit);
    }
    h.arrival.local += 499 * ORR_MS;
    assert_int_equal(ask(&h), ORR_NTP_RATE);
    h.arrival.local += ORR_MS;
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);               /* a token is back */
    assert_int_equal(ask(&h), ORR_NTP_LIMITED);
    h.arrival.local += 3600 * ORR_SECOND;
    for (int i = 0; i < 16; i++) assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    assert_int_equal(ask(&h), ORR_NTP_LIMITED);             /* no more than all of them */
    for (int i = 0; i < 1000; i++) {
        h.arrival.local += 500 * ORR_MS;
        assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    }
    h.arrival.local = INT64_MAX - 1;
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    orr_ntp_server_free(h.s);
}

static enum orr_ntp_verdict ask_often(struct hand *h) {
    enum orr_ntp_verdict verdict = ORR_NTP_TAKEN;
    for (int i = 0; i < 17; i++) verdict = ask(h);
    return verdict;
}

static void each_address_has_its_own_measure(void **state) {
    (void)state;
    struct hand h = begin(500 * ORR_MS);
    assert_int_equal(ask_often(&h), ORR_NTP_RATE);
    h.arrival.from.port = 6000;
    assert_int_equal(ask(&h), ORR_NTP_LIMITED);             /* another port is no other address */
    h.arrival.from.ip[15]++;
    assert_int_equal(ask_often(&h), ORR_NTP_RATE);
    h.arrival.from = (struct orr_ntp_address){ .ip = { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
    assert_int_equal(ask_often(&h), ORR_NTP_RATE);
    h.arrival.from.ip[15]++;
    assert_int_equal(ask(&h), ORR_NTP_LIMITED);             /* the same network: the same host, for all we know */
    h.arrival.from.ip[7]++;
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    h.arrival.from.ip[7]--;
    h.arrival.from.zone = 2;
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    orr_ntp_server_free(h.s);
}

/* A flood from everywhere: nothing grows, nobody crashes, and who asks on through it is still measured. */
static void strangers_drive_out_the_oldest(void **state) {
    (void)state;
    struct hand h = begin(500 * ORR_MS);
    const struct orr_ntp_address honest = h.arrival.from;
    struct orr_rng rng;
    orri_rng_init(&rng, 11);
    assert_int_equal(ask_often(&h), ORR_NTP_RATE);
    for (int i = 0; i < 100000; i++) {
        h.arrival.local += ORR_US;
        orri_rng_fill(&rng, h.arrival.from.ip + 12, 4);
        assert_int_equal(ask(&h), ORR_NTP_TAKEN);
        if (i % 16) continue;
        h.arrival.from = honest;
        enum orr_ntp_verdict verdict = ask(&h);
        assert_true(verdict == ORR_NTP_LIMITED || verdict == ORR_NTP_RATE);
    }
    h.arrival.from = (struct orr_ntp_address){ .ip = { [10] = 0xff, 0xff, 10, 0, 0, 1 } };
    assert_int_equal(ask_often(&h), ORR_NTP_RATE);
    orr_ntp_server_free(h.s);
}

/* -- Interleaved mode ---------------------------------------------------------------------------------------------- */
static void a_request_that_names_an_answer_gets_its_real_t3(void **state) {
    (void)state;
    struct hand h = begin(0);
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    orr_ntp_stamp first = h.answer.receive;
    h.request.origin = first;
    h.request.receive = 77;
    h.request.transmit = 78;
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);               /* nobody told when the first one left */
    assert_true(h.answer.origin == 78);
    assert_true(h.answer.receive != first);                 /* though the clock gave the same t2 twice */
    assert_true(orr_ntp_time(h.answer.receive, wall) == wall);
    assert_true(h.answer.transmit >= h.answer.receive);

    unsigned char second[ORR_NTP_SIZE];
    memcpy(second, h.bytes, sizeof second);
    h.request.origin = h.answer.receive;
    orr_ntp_server_sent(h.s, second, wall + 99 * ORR_US);
    h.arrival.wall = wall + ORR_SECOND;
    for (int i = 0; i < 2; i++) {                           /* it may be asked twice: a reply can be lost */
        assert_int_equal(ask(&h), ORR_NTP_TAKEN);
        assert_true(h.answer.origin == 77);
        assert_true(orr_ntp_time(h.answer.receive, wall) == wall + ORR_SECOND);
        assert_true(orr_ntp_time(h.answer.transmit, wall) == wall + 99 * ORR_US);
    }
    h.request.receive = 78;                                 /* as transmit: the modes could not be told apart */
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    assert_true(orr_ntp_time(h.answer.transmit, wall) >= wall + ORR_SECOND);
    h.request.receive = 0;
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    assert_true(h.answer.origin == 78);
    assert_int_equal(status_of(&h).interleaved, 2);
    orr_ntp_server_free(h.s);
}

static void it_knows_the_last_1024_answers(void **state) {
    (void)state;
    struct hand h = begin(0);
    orr_ntp_stamp t2[1030];
    for (int i = 0; i < 1030; i++) {
        h.arrival.wall = wall + i / 5;                      /* a coarse clock: each stamp five times */
        assert_int_equal(ask(&h), ORR_NTP_TAKEN);
        t2[i] = h.answer.receive;
        for (int k = i > 9 ? i - 9 : 0; k < i; k++) assert_true(t2[k] != t2[i]);
        orr_ntp_server_sent(h.s, h.bytes, wall + 1000 + i);
    }
    h.request.receive = 77;
    h.arrival.wall = wall + ORR_SECOND;
    h.request.origin = t2[5];
    assert_int_equal(ask(&h), ORR_NTP_TAKEN);
    assert_true(h.answer.origin == h.request.transmit);     /* forgotten */
    for (int i = 7; i < 1030; i += 93) {
        h.request.origin = t2[i];
        h.arrival.wall += ORR_SECOND;
        assert_int_equal(ask(&h), ORR_NTP_TAKEN);
        assert_true(h.answer.origin == 77);
        assert_true(orr_ntp_time(h.answer.transmit, wall) == wall + 1000 + i);
    }
    assert_int_equal(status_of(&h).interleaved, 11);
    orr_ntp_server_free(h.s);
}

static void a_config_that_makes_no_sense_is_named(void **state) {
    (void)state;
    struct orr_ntp_server_config config;
    struct orr_ntp_server *s = NULL;
    const char *field = NULL;
    orr_ntp_server_config_init(&config);
    assert_int_equal(orr_ntp_server_config_check(&config, &field), 0);
#define WRONG(name, value)                                                                                             \
    do {                                                                                                               \
        orr_ntp_server_config_init(&config);                                                                           \
        config.name = value;                                                                                           \
        assert_int_equal(orr_ntp_server_config_check(&config, &field), ORR_EINVALID);                                  \
        assert_string_equal(field, #name);                                                                             \
        assert_int_equal(orr_ntp_server_new(&s, &config), ORR_EINVALID);                                               \
    } while (0)
    WRONG(size, 1);
    WRONG(addresses_max, 0);
    WRONG(addresses_max, (1 << 20) + 1);
    WRONG(interval, -1);
    WRONG(interval, 3601 * ORR_SECOND);
    WRONG(burst, 0);
    WRONG(burst, 65537);
#undef WRONG
    assert_null(s);
    orr_ntp_server_free(NULL);
    orr_ntp_server_config_init(&config);
    SPEC_EACH_FAILURE(a) {
        const struct orr_alloc alloc = spec_alloc_of(&a);
        config.alloc = &alloc;
        int rc = orr_ntp_server_new(&s, &config);
        assert_int_equal(rc, a.failed ? -ENOMEM : 0);
        if (rc == 0) orr_ntp_server_free(s);
        spec_alloc_check(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_says_what_the_clock_is),
        cmocka_unit_test(it_never_claims_to_be_better_than_it_is),
        cmocka_unit_test(without_synchronisation_it_says_so),
        cmocka_unit_test(it_answers_clients_only),
        cmocka_unit_test(its_own_answer_is_no_question),
        cmocka_unit_test(bytes_that_are_no_request_get_no_answer),
        cmocka_unit_test(no_answer_leaves_before_its_request_came),
        cmocka_unit_test(who_asks_too_often_is_told_one_time_in_eight),
        cmocka_unit_test(each_address_has_its_own_measure),
        cmocka_unit_test(strangers_drive_out_the_oldest),
        cmocka_unit_test(a_request_that_names_an_answer_gets_its_real_t3),
        cmocka_unit_test(it_knows_the_last_1024_answers),
        cmocka_unit_test(a_config_that_makes_no_sense_is_named),
    };
    return cmocka_run_group_tests_name("clock.ntp_server", tests, NULL, NULL);
}
