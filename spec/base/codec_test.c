/* codec_test.c - the bounded codec: what is written is read, and no input of any size is read past its end. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/codec.h"
#include "base/rng.h"

static void integers_are_little_endian(void **state) {
    (void)state;
    unsigned char b[23];
    struct orr_writer w = orri_writer(b, sizeof b);
    orri_write_u8(&w, 0x01);
    orri_write_u16(&w, 0x0203);
    orri_write_u32(&w, 0x04050607);
    orri_write_u64(&w, 0x08090a0b0c0d0e0f);
    orri_write_i64(&w, -2);
    assert_false(w.failed);
    assert_ptr_equal(w.at, w.end);
    static const unsigned char expected[] = { 0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b,
                                              0x0a, 0x09, 0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    assert_memory_equal(b, expected, sizeof b);

    struct orr_reader r = orri_reader(b, sizeof b);
    assert_int_equal(orri_read_u8(&r), 0x01);
    assert_int_equal(orri_read_u16(&r), 0x0203);
    assert_int_equal(orri_read_u32(&r), 0x04050607);
    assert_true(orri_read_u64(&r) == 0x08090a0b0c0d0e0f);
    assert_true(orri_read_i64(&r) == -2);
    assert_false(r.failed);
    assert_int_equal(orri_left(&r), 0);
}

static void past_the_end_a_writer_writes_nothing_and_stays_failed(void **state) {
    (void)state;
    unsigned char b[4] = { 9, 9, 9, 9 };
    struct orr_writer w = orri_writer(b, 3);
    orri_write_u16(&w, 0);
    orri_write_u32(&w, 0);
    assert_true(w.failed);
    orri_write_u8(&w, 7);
    assert_true(w.failed);
    assert_int_equal(b[2], 9);
    assert_int_equal(b[3], 9);
}

static void past_the_end_a_reader_gives_zeros_and_stays_failed(void **state) {
    (void)state;
    static const unsigned char b[] = { 1, 2, 3 };
    struct orr_reader r = orri_reader(b, sizeof b);
    assert_int_equal(orri_read_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(orri_read_u8(&r), 0);
    struct orr_slice s = orri_read_bytes(&r, 1);
    assert_null(s.at);
    assert_int_equal(s.size, 0);
}

static uint64_t round_trip(uint64_t v, size_t size) {
    unsigned char b[ORR_VARINT_MAX];
    struct orr_writer w = orri_writer(b, sizeof b);
    orri_write_varint(&w, v);
    assert_false(w.failed);
    assert_int_equal(w.at - b, size);
    assert_int_equal(orri_varint_size(v), size);
    for (size_t cut = 0; cut < size; cut++) {                /* each prefix fails, and so does each smaller room */
        struct orr_reader r = orri_reader(b, cut);
        assert_true(orri_read_varint(&r) == 0 && r.failed);
        unsigned char small[ORR_VARINT_MAX] = { 0 };
        struct orr_writer s = orri_writer(small, cut);
        orri_write_varint(&s, v);
        assert_true(s.failed && s.at == small);
    }
    struct orr_reader r = orri_reader(b, size);
    uint64_t got = orri_read_varint(&r);
    assert_false(r.failed);
    assert_int_equal(orri_left(&r), 0);
    return got;
}

static void varints_of_every_size_come_back(void **state) {
    (void)state;
    assert_true(round_trip(0, 1) == 0);
    for (unsigned bits = 1; bits <= 64; bits++) {
        uint64_t low = (uint64_t)1 << (bits - 1), high = low + (low - 1);
        assert_true(round_trip(low, (bits + 6) / 7) == low);
        assert_true(round_trip(high, (bits + 6) / 7) == high);
    }
    struct orr_rng rng;
    orri_rng_init(&rng, 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t v = orri_rng_next(&rng) >> orri_rng_below(&rng, 64);
        assert_true(round_trip(v, orri_varint_size(v)) == v);
    }
}

static bool refused(const unsigned char *at, size_t size) {
    struct orr_reader r = orri_reader(at, size);
    return orri_read_varint(&r) == 0 && r.failed;
}

static void a_varint_has_one_form_only(void **state) {
    (void)state;
    assert_true(refused((const unsigned char[]){ 0x80, 0x00 }, 2));
    assert_true(refused((const unsigned char[]){ 0x81, 0x80, 0x00 }, 3));
    assert_true(refused((const unsigned char[]){ 255, 255, 255, 255, 255, 255, 255, 255, 255, 2 }, 10));
    assert_true(refused((const unsigned char[]){ 255, 255, 255, 255, 255, 255, 255, 255, 255, 0x81, 0 }, 11));
}

static void blobs_keep_to_their_limit(void **state) {
    (void)state;
    unsigned char b[16];
    struct orr_writer w = orri_writer(b, sizeof b);
    orri_write_blob(&w, "orrery", 6);
    orri_write_blob(&w, NULL, 0);
    assert_int_equal(w.at - b, 8);

    struct orr_reader r = orri_reader(b, 8);
    struct orr_slice s = orri_read_blob(&r, 6);
    assert_int_equal(s.size, 6);
    assert_memory_equal(s.at, "orrery", 6);
    assert_ptr_equal(s.at, b + 1);                           /* borrowed, not copied */
    assert_int_equal(orri_read_blob(&r, 6).size, 0);
    assert_false(r.failed);

    r = orri_reader(b, 8);
    assert_int_equal(orri_read_blob(&r, 5).size, 0);
    assert_true(r.failed);
    r = orri_reader(b, 6);
    assert_int_equal(orri_read_blob(&r, 6).size, 0);
    assert_true(r.failed);
}

static void no_input_is_read_past_its_end(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 2);
    for (int i = 0; i < 20000; i++) {
        unsigned char b[24];
        size_t size = orri_rng_below(&rng, sizeof b + 1);
        orri_rng_fill(&rng, b, size);
        struct orr_reader r = orri_reader(b, size);
        while (!r.failed && orri_left(&r)) {
            size_t before = orri_left(&r);
            struct orr_slice s = orri_read_blob(&r, 16);
            if (r.failed) break;
            assert_true(s.size <= 16 && s.at >= b && s.at + s.size == r.at && r.at <= b + size);
            assert_true(orri_left(&r) < before);
        }
    }
}

static void what_is_empty_may_be_nowhere(void **state) {
    (void)state;
    struct orr_reader r = orri_reader(NULL, 0);
    assert_non_null(r.at);
    assert_int_equal(orri_left(&r), 0);
    assert_int_equal(orri_read_u8(&r), 0);
    assert_true(r.failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_little_endian),
        cmocka_unit_test(past_the_end_a_writer_writes_nothing_and_stays_failed),
        cmocka_unit_test(past_the_end_a_reader_gives_zeros_and_stays_failed),
        cmocka_unit_test(varints_of_every_size_come_back),
        cmocka_unit_test(a_varint_has_one_form_only),
        cmocka_unit_test(blobs_keep_to_their_limit),
        cmocka_unit_test(no_input_is_read_past_its_end),
        cmocka_unit_test(what_is_empty_may_be_nowhere),
    };
    return cmocka_run_group_tests_name("base.codec", tests, NULL, NULL);
}
