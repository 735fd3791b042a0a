/* frame_test.c - frames: round trips, every cut, every flipped bit, and what is refused before anything is
 * allocated. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/rng.h"
#include "node/frame.h"
#include "support/alloc.h"

enum { MAX = 1 << 16 };

struct fixture {
    struct spec_alloc a;
    struct orr_alloc alloc;
    struct orr_chunks *chunks;
};

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    f.alloc = spec_alloc_of(&f.a);
    f.chunks = orr_chunks_new(&f.alloc);
    *state = &f;
    return 0;
}
static int tear_down(void **state) {
    struct fixture *f = *state;
    orr_chunks_free(f->chunks);
    spec_alloc_check(&f->a);
    return 0;
}

/* A frame in a chunk of its own: head and `size` payload bytes that count up from `first`. */
static struct orr_slice make(struct fixture *f, size_t size, unsigned char first, uint32_t group) {
    struct orr_chunk *c = f->chunks->get(f->chunks, ORRI_FRAME_HEAD + size);
    for (size_t i = 0; i < size; i++) c->at[ORRI_FRAME_HEAD + i] = (unsigned char)(first + i);
    struct orr_slice halves[2] = { { NULL, c->at + ORRI_FRAME_HEAD, size / 2 },
                                   { NULL, c->at + ORRI_FRAME_HEAD + size / 2, size - size / 2 } };
    struct orri_frame frame = { .kind = ORRI_FRAME_ORDER, .channel = 1, .group = group };
    orri_frame_head(c->at, &frame, halves, 2);
    return (struct orr_slice){ c, c->at, ORRI_FRAME_HEAD + size };
}

static void comes_back_as_it_was(void **state) {
    struct fixture *f = *state;
    struct orri_assembly a = { 0 };
    struct orri_frame out;
    for (size_t size = 0; size < 3000; size += size < 40 ? 1 : 517) {
        struct orr_slice whole = make(f, size, 3, 77), in = whole;
        assert_int_equal(orri_assembly_next(&a, f->chunks, MAX, &in, &out), 1);
        assert_int_equal(out.kind, ORRI_FRAME_ORDER);
        assert_int_equal(out.channel, 1);
        assert_int_equal(out.group, 77);
        assert_int_equal(out.payload.size, size);
        assert_memory_equal(out.payload.at, whole.at + ORRI_FRAME_HEAD, size);
        assert_int_equal(in.size, 0);
        assert_int_equal(orri_assembly_next(&a, f->chunks, MAX, &in, &out), 0);
        orr_drop(whole);
    }
    orri_assembly_clear(&a);
}

static void a_large_frame_is_handed_out_in_place_and_a_small_one_is_not(void **state) {
    struct fixture *f = *state;
    struct orri_assembly a = { 0 };
    struct orri_frame out;
    struct orr_slice large = make(f, 4000, 1, 1), in = large;
    assert_int_equal(orri_assembly_next(&a, f->chunks, MAX, &in, &out), 1);
    assert_ptr_equal(out.payload.chunk, large.chunk);
    struct orr_chunk *block = f->chunks->get(f->chunks, 1 << 16);
    struct orr_slice small = make(f, 100, 1, 1);
    memcpy(block->at, small.at, small.size);
    in = (struct orr_slice){ block, block->at, small.size };
    assert_int_equal(orri_assembly_next(&a, f->chunks, MAX, &in, &out), 1);
    assert_ptr_not_equal(out.payload.chunk, block);
    orri_assembly_clear(&a);
    orr_drop(large);
    orr_drop(small);
    orr_chunk_drop(block);
}

/* Three frames, cut into pieces at random places, come out as three frames. */
static void any_cut_of_a_stream_gives_the_same_frames(void **state) {
    struct fixture *f = *state;
    struct orr_rng rng;
    orri_rng_init(&rng, 7);
    for (int round = 0; round < 2000; round++) {
        unsigned char stream[4096];
        size_t sizes[3], n = 0, at = 0, seen = 0;
        for (int i = 0; i < 3; i++) {
            sizes[i] = (size_t)orri_rng_below(&rng, 900);
            struct orr_slice s = make(f, sizes[i], (unsigned char)i, (uint32_t)i);
            memcpy(stream + n, s.at, s.size);
            n += s.size;
            orr_drop(s);
        }
        struct orri_assembly a = { 0 };
        struct orri_frame out;
        while (at < n) {
            size_t piece = 1 + (size_t)orri_rng_below(&rng, round % 2 ? 30 : 1500);
            if (piece > n - at) piece = n - at;
            struct orr_chunk *c = f->chunks->get(f->chunks, piece);
            memcpy(c->at, stream + at, piece);
            struct orr_slice in = { c, c->at, piece };
            while (orri_assembly_next(&a, f->chunks, MAX, &in, &out) == 1) {
                assert_int_equal(out.group, seen);
                assert_int_equal(out.payload.size, sizes[seen]);
                for (size_t i = 0; i < out.payload.size; i++)
                    assert_int_equal(out.payload.at[i], (unsigned char)(seen + i));
                seen++;
            }
            assert_int_equal(in.size, 0);
            orr_chunk_drop(c);
            at += piece;
        }
        assert_int_equal(seen, 3);
        orri_assembly_clear(&a);
    }
}

/* Byte 7 of a head that is written by hand: the CRC bit by bit. */
static void seal(unsigned char *head) {
    unsigned crc = 0;
    for (unsigned i = 0; i < 12; i++) {
        if (i == 7) continue;
        crc ^= head[i];
        for (unsigned bit = 0; bit < 8; bit++) crc = crc & 0x80 ? (crc << 1 & 0xff) ^ 0x07 : crc << 1;
    }
    head[7] = (unsigned char)crc;
}

static void a_flipped_bit_never_passes(void **state) {
    struct fixture *f = *state;
    struct orr_slice whole = make(f, 64, 9, 5);
    for (size_t bit = 0; bit < whole.size * 8; bit++) {
        struct orri_assembly a = { 0 };
        struct orri_frame out;
        whole.chunk->at[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        struct orr_slice in = whole;
        int rc = orri_assembly_next(&a, f->chunks, MAX, &in, &out);
        assert_true(rc < 0);        /* a length that flipped is seen at once, too: nobody waits for the rest */
        whole.chunk->at[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        orri_assembly_clear(&a);
    }
    orr_drop(whole);
}

/* Whatever three bits of a head flip. */
static void three_flipped_bits_of_a_head_are_seen_at_once(void **state) {
    struct fixture *f = *state;
    struct orr_slice whole = make(f, 64, 9, 5);
    unsigned char head[ORRI_FRAME_HEAD];
    size_t size;
    for (unsigned a = 0; a < 96; a++) {
        for (unsigned b = a; b < 96; b++) {
            for (unsigned c = b; c < 96; c++) {
                memcpy(head, whole.at, sizeof head);
                head[a / 8] ^= (unsigned char)(1u << (a % 8));
                if (b > a) head[b / 8] ^= (unsigned char)(1u << (b % 8));
                if (c > b) head[c / 8] ^= (unsigned char)(1u << (c % 8));
                assert_true(orri_frame_measure(head, UINT32_MAX, &size) < 0);
            }
        }
    }
    orr_drop(whole);
}

static void a_length_above_the_limit_allocates_nothing(void **state) {
    struct fixture *f = *state;
    struct orri_assembly a = { 0 };
    struct orri_frame out;
    unsigned char head[ORRI_FRAME_HEAD] = { 0xff, 0xff, 0xff, 0x7f, ORRI_FRAME_VERSION, 0, ORRI_FRAME_ORDER };
    seal(head);
    struct orr_slice in = orr_borrow(head, sizeof head);
    size_t before = f->a.n_calls;
    assert_int_equal(orri_assembly_next(&a, f->chunks, MAX, &in, &out), ORR_EOVERLOADED);
    assert_int_equal(f->a.n_calls, before);
    orri_assembly_clear(&a);
}

static void what_is_no_frame_is_refused(void **state) {
    (void)state;
    size_t size;
    unsigned char head[ORRI_FRAME_HEAD] = { 1, 0, 0, 0, ORRI_FRAME_VERSION, 0, ORRI_FRAME_PING };
    seal(head);
    assert_int_equal(orri_frame_measure(head, MAX, &size), 0);
    assert_int_equal(size, ORRI_FRAME_HEAD + 1);
    for (int at = 4; at <= 7; at++) {
        unsigned char was = head[at];
        head[at] = 200;
        if (at < 7) seal(head);
        assert_int_equal(orri_frame_measure(head, MAX, &size), ORR_EINVALID);
        head[at] = was;
        seal(head);
    }
    assert_int_equal(orri_frame_measure((const unsigned char *)"GET / HTTP/1.1\r\n\r\n\r\n", MAX, &size), ORR_EINVALID);
}

static void memory_that_is_out_is_an_error(void **state) {
    struct fixture *f = *state;
    struct orri_assembly a = { 0 };
    struct orri_frame out;
    struct orr_slice whole = make(f, 5000, 1, 1), in = orr_part_of(whole, 0, 1000);
    f->a.fail_at = f->a.n_calls + 1;
    assert_int_equal(orri_assembly_next(&a, f->chunks, MAX, &in, &out), -12);
    orri_assembly_clear(&a);
    orr_drop(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_back_as_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_frame_is_handed_out_in_place_and_a_small_one_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_cut_of_a_stream_gives_the_same_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flipped_bit_never_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(three_flipped_bits_of_a_head_are_seen_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_length_above_the_limit_allocates_nothing, set_up, tear_down),
        cmocka_unit_test(what_is_no_frame_is_refused),
        cmocka_unit_test_setup_teardown(memory_that_is_out_is_an_error, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("node.frame", tests, NULL, NULL);
}
