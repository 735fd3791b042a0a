/* edges_test.c - what nodes tell each other of the clocks that they measure: bytes, what is refused, how it ages. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/codec.h"
#include "base/hash.h"
#include "node/edges.h"

enum { CLUSTER = 77, CLOCK = 5000 };
#define NOW (1700000000 * ORR_SECOND)

static struct orri_edge edge_to(orr_id to) {
    return (struct orri_edge){ .to = to, .clock = 900 + to, .offset = -3 * ORR_MS, .sd_ns = 300, .rate_ppt = 2000000,
                               .rate_sd_ppb = 100, .age_us = 250000 };
}
static struct orri_edges edges_of(size_t n) {
    struct orri_edges e = { .clock = CLOCK, .now = NOW, .n = n };
    for (size_t i = 0; i < n; i++) e.edges[i] = edge_to(i + 1);
    return e;
}
static unsigned char bytes[ORRI_EDGES_SIZE_MAX + 1];
static struct orr_slice written(const struct orri_edges *e) {
    return orr_borrow(bytes, orri_edges_write(e, CLUSTER, bytes));
}
static bool is_read(const struct orri_edges *e) {
    struct orri_edges out;
    return orri_edges_read(written(e), CLUSTER, &out);
}

/* -- Bytes --------------------------------------------------------------------------------------------------------- */
static void what_was_written_is_read_for_any_number(void **state) {
    (void)state;
    for (size_t n = 1; n <= ORRI_EDGES_MAX; n++) {
        struct orri_edges e = edges_of(n), out;
        struct orr_slice data = written(&e);
        assert_int_equal(data.size, 26 + 40 * n);
        assert_true(orri_edges_are(data));
        assert_true(orri_edges_read(data, CLUSTER, &out));
        assert_true(out.clock == e.clock && out.now == e.now && out.n == n);
        for (size_t i = 0; i < n; i++) assert_memory_equal(&out.edges[i], &e.edges[i], sizeof e.edges[i]);
    }
    assert_true(ORRI_EDGES_SIZE_MAX <= 1200);       /* a datagram */
}

static void the_bytes_are_these(void **state) {
    (void)state;
    static const unsigned char expected[] = {
        8, 1, 0x88, 0x13, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 0, 0, 0, 0, 0x85, 3, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        4, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 5, 0, 0, 0, 6, 0, 0, 0,
    };
    struct orri_edges e = { .clock = CLOCK, .now = 2, .n = 1 };
    e.edges[0] = (struct orri_edge){ .to = 1, .clock = 901, .offset = -1, .sd_ns = 4, .rate_ppt = -2, .rate_sd_ppb = 5,
                                     .age_us = 6 };
    struct orr_slice data = written(&e);
    assert_int_equal(data.size, sizeof expected + 8);
    assert_memory_equal(data.at, expected, sizeof expected);
    assert_true(orri_get_le(data.at + sizeof expected, 8) == orri_hash64(data.at, sizeof expected, CLUSTER));
}

static void a_flipped_bit_another_cluster_and_any_other_size_are_refused(void **state) {
    (void)state;
    struct orri_edges e = edges_of(3), out;
    struct orr_slice data = written(&e);
    assert_false(orri_edges_read(data, CLUSTER + 1, &out));
    for (size_t size = 0; size <= data.size + 1; size++)
        assert_true(orri_edges_read(orr_borrow(bytes, size), CLUSTER, &out) == (size == data.size));
    for (size_t bit = 0; bit < 8 * data.size; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(orri_edges_read(data, CLUSTER, &out));
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true(orri_edges_read(data, CLUSTER, &out));
}

static void seal_anew(size_t size) { orri_put_le(bytes + size - 8, orri_hash64(bytes, size - 8, CLUSTER), 8); }

static void whole_bytes_of_another_form_are_refused(void **state) {
    (void)state;
    struct orri_edges e = edges_of(2), out;
    struct orr_slice data = written(&e);
    const struct { size_t at; unsigned char value; } wrong[] = { { 0, 16 }, { 0, 0 }, { 1, 0 }, { 1, 1 }, { 1, 3 },
                                                                 { 1, 15 }, { 1, 255 }, { 0, 0x23 } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        (void)written(&e);
        bytes[wrong[i].at] = wrong[i].value;
        seal_anew(data.size);
        assert_false(orri_edges_read(data, CLUSTER, &out));
    }
    static const unsigned char ntp[] = { 0x23, 0x24, 0xe3 };
    for (size_t i = 0; i < sizeof ntp; i++) assert_false(orri_edges_are(orr_borrow(&ntp[i], 1)));
    assert_false(orri_edges_are(orr_borrow(NULL, 0)));
}

#define REFUSED(field, value)                                                                                          \
    do {                                                                                                               \
        struct orri_edges bad = edges_of(2);                                                                           \
        bad.field = value;                                                                                             \
        assert_false(is_read(&bad));                                                                                   \
    } while (0)

static void values_that_cannot_be_are_refused(void **state) {
    (void)state;
    REFUSED(clock, 0);
    REFUSED(now, ORRI_EDGE_OFFSET_LIMIT);
    REFUSED(now, -ORRI_EDGE_OFFSET_LIMIT);
    REFUSED(edges[1].clock, 0);
    REFUSED(edges[1].offset, ORRI_EDGE_OFFSET_LIMIT);
    REFUSED(edges[1].offset, INT64_MIN);
    REFUSED(edges[0].sd_ns, 0);
    REFUSED(edges[0].rate_ppt, 1000000001);
    REFUSED(edges[0].rate_ppt, INT32_MIN);
    REFUSED(edges[0].rate_sd_ppb, 1000001);
    REFUSED(edges[0].age_us, 10000001);
    REFUSED(edges[1].to, 1);                        /* as edges[0] */
    struct orri_edges widest = edges_of(2);
    widest.edges[1] = (struct orri_edge){ .to = 2, .clock = 1, .offset = 1 - ORRI_EDGE_OFFSET_LIMIT,
                                          .sd_ns = UINT32_MAX, .rate_ppt = -1000000000, .rate_sd_ppb = 1000000,
                                          .age_us = 10000000 };
    assert_true(is_read(&widest));
}

/* -- What is kept -------------------------------------------------------------------------------------------------- */
/* A teller whose clock is 1 s ahead of ours, known to 1 ms. */
#define LOCAL (50 * ORR_SECOND)
static const struct orri_teller_clock known = { CLOCK, NOW, NOW + ORR_MS };

static void what_is_older_or_as_old_as_the_last_is_late(void **state) {
    (void)state;
    struct orri_teller t = { .at = 0 };
    struct orri_edges e = edges_of(2);
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD);
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD_LATE);
    e.now--;
    e.n = 1;
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD_LATE);
    assert_int_equal(t.last.n, 2);
    e.now += 2;
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD);
    assert_int_equal(t.last.n, 1);
}

static void another_clock_than_the_teller_keeps_now_is_late(void **state) {
    (void)state;
    struct orri_teller t = { .at = 0 };
    struct orri_edges e = edges_of(2);
    const struct orri_teller_clock other = { CLOCK + 1, NOW - ORR_SECOND, NOW };
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD);
    e.now += ORR_MS;
    assert_int_equal(orri_teller_hear(&t, &e, &other, LOCAL), ORRI_HEARD_LATE);
    e.clock++;
    e.now = NOW - 10 * ORR_SECOND;                  /* of a new clock any time is new, */
    assert_int_equal(orri_teller_hear(&t, &e, &other, LOCAL), ORRI_HEARD);
    assert_true(t.last.clock == CLOCK + 1);
}

static void what_comes_from_the_future_is_wrong_and_what_was_long_under_way_late(void **state) {
    (void)state;
    struct orri_teller t = { .at = 0 };
    struct orri_edges e = edges_of(1);
    e.now = known.latest + 1;
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD_WRONG);
    e.now = NOW - ORRI_EDGE_KEPT - 1;
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD_LATE);
    assert_true(t.last.clock == 0);
    e.now = NOW - 3 * ORR_SECOND;
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD);
    assert_true(t.at == LOCAL - 3 * ORR_SECOND);
    e.now = known.latest;                           /* likely is nearer than it may be: it can't have been told later */
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD);
    assert_true(t.at == LOCAL);
}

static void an_edge_moves_on_becomes_less_exact_and_is_too_old_in_the_end(void **state) {
    (void)state;
    struct orri_teller t = { .at = 0 };
    struct orri_edges e = edges_of(2);
    struct orri_edge out;
    orr_time sd;
    assert_false(orri_teller_edge(&t, 0, LOCAL, &out, &sd));
    assert_int_equal(orri_teller_hear(&t, &e, &known, LOCAL), ORRI_HEARD);
    assert_true(orri_teller_edge(&t, 1, LOCAL, &out, &sd));
    assert_true(out.to == 2 && out.clock == 902 && out.offset == -3 * ORR_MS && sd == 300 && out.age_us == 250000);
    assert_true(orri_teller_edge(&t, 1, LOCAL + 4 * ORR_SECOND, &out, &sd));
    assert_true(out.offset == -3 * ORR_MS + 8000);  /* 2 us a second */
    assert_int_equal(sd, 500);                      /* 300 beside 4 * 100 */
    assert_int_equal(out.age_us, 4250000);
    assert_false(orri_teller_edge(&t, 2, LOCAL, &out, &sd));
    assert_true(orri_teller_edge(&t, 0, LOCAL + ORRI_EDGE_KEPT - 250 * ORR_MS, &out, &sd));
    assert_false(orri_teller_edge(&t, 0, LOCAL + ORRI_EDGE_KEPT - 250 * ORR_MS + 1, &out, &sd));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_for_any_number),
        cmocka_unit_test(the_bytes_are_these),
        cmocka_unit_test(a_flipped_bit_another_cluster_and_any_other_size_are_refused),
        cmocka_unit_test(whole_bytes_of_another_form_are_refused),
        cmocka_unit_test(values_that_cannot_be_are_refused),
        cmocka_unit_test(what_is_older_or_as_old_as_the_last_is_late),
        cmocka_unit_test(another_clock_than_the_teller_keeps_now_is_late),
        cmocka_unit_test(what_comes_from_the_future_is_wrong_and_what_was_long_under_way_late),
        cmocka_unit_test(an_edge_moves_on_becomes_less_exact_and_is_too_old_in_the_end),
    };
    return cmocka_run_group_tests_name("node.edges", tests, NULL, NULL);
}
