/* recent_test.c - the last records of a stream against a list that keeps all of them, at random. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/recent.h"
#include "base/rng.h"
#include "support/alloc.h"

static void add(struct orri_recent *r, uint64_t mark, const char *text) {
    size_t half = strlen(text) / 2;
    struct orr_slice parts[] = { orr_borrow(text, half), orr_borrow(text + half, strlen(text) - half) };
    orri_recent_add(r, mark, parts, 2);
}

/* "7 text", "gap 6", "none" */
static const char *read_at(const struct orri_recent *r, struct orri_recent_place *place) {
    static char line[64];
    const struct orri_recent_record *record;
    uint64_t gap;
    switch (orri_recent_read(r, place, &record, &gap)) {
    case ORRI_RECENT_NONE: return "none";
    case ORRI_RECENT_GAP: (void)snprintf(line, sizeof line, "gap %d", (int)gap); break;
    case ORRI_RECENT_RECORD:
        (void)snprintf(line, sizeof line, "%d %.*s", (int)record->mark, (int)record->size, (const char *)record->bytes);
    }
    return line;
}

static void a_reader_gets_what_it_asked_for(void **state) {
    (void)state;
    struct orri_recent r;
    struct orri_recent_place all = { 0, 5 }, late = { 0, 7 }, early = { 0, 1 };
    orri_recent_init(&r, &orr_alloc_libc, 1000, 4);
    assert_string_equal(read_at(&r, &all), "none");
    add(&r, 5, "five");
    add(&r, 7, "seven");
    add(&r, 7, "again");
    assert_string_equal(read_at(&r, &all), "5 five");
    assert_string_equal(read_at(&r, &all), "7 seven");
    assert_string_equal(read_at(&r, &all), "7 again");
    assert_string_equal(read_at(&r, &all), "none");
    assert_string_equal(read_at(&r, &late), "7 seven");
    assert_string_equal(read_at(&r, &early), "gap 4");
    assert_string_equal(read_at(&r, &early), "5 five");
    orri_recent_clear(&r);
}

static void of_a_mark_that_is_forgotten_in_part_nothing_is_given_after_the_gap(void **state) {
    (void)state;
    struct orri_recent r;
    struct orri_recent_place place = { 0, 1 };
    orri_recent_init(&r, &orr_alloc_libc, 3 * (sizeof(struct orri_recent_record) + 1), 0);
    add(&r, 1, "a");
    add(&r, 1, "b");
    add(&r, 2, "c");
    assert_string_equal(read_at(&r, &place), "1 a");
    add(&r, 3, "d");
    assert_string_equal(read_at(&r, &place), "1 b");
    add(&r, 3, "e");
    add(&r, 3, "f");
    assert_string_equal(read_at(&r, &place), "gap 2");
    assert_string_equal(read_at(&r, &place), "3 d");
    struct orri_recent_place other = { 0, 1 };
    add(&r, 3, "g");
    assert_string_equal(read_at(&r, &other), "gap 3");
    assert_string_equal(read_at(&r, &other), "none");
    add(&r, 4, "h");
    assert_string_equal(read_at(&r, &other), "4 h");
    assert_string_equal(read_at(&r, &place), "gap 3");
    assert_string_equal(read_at(&r, &place), "4 h");
    orri_recent_clear(&r);
}

static void the_newest_is_kept_however_large_and_what_was_replaced_is_a_gap(void **state) {
    (void)state;
    struct orri_recent r;
    struct orri_recent_place place = { 0, 1 }, later = { 0, 9 };
    orri_recent_init(&r, &orr_alloc_libc, 100, 0);
    add(&r, 1, "a");
    assert_string_equal(read_at(&r, &place), "1 a");
    char large[101];
    memset(large, 'x', sizeof large);
    large[100] = '\0';
    add(&r, 2, large);
    assert_int_equal(r.next - r.first, 1);
    assert_int_equal(strncmp(read_at(&r, &place), "2 xxxx", 6), 0);
    assert_string_equal(read_at(&r, &place), "none");
    add(&r, 3, "c");
    assert_int_equal(r.next - r.first, 1);
    orri_recent_forget(&r, 8);
    assert_string_equal(read_at(&r, &place), "gap 8");
    assert_string_equal(read_at(&r, &later), "none");
    add(&r, 9, "b");
    assert_string_equal(read_at(&r, &place), "9 b");
    assert_string_equal(read_at(&r, &later), "9 b");
    orri_recent_clear(&r);
}

static void no_memory_is_a_gap(void **state) {
    (void)state;
    SPEC_EACH_FAILURE(a) {
        const struct orr_alloc alloc = spec_alloc_of(&a);
        struct orri_recent r;
        struct orri_recent_place place = { 0, 1 };
        orri_recent_init(&r, &alloc, 1 << 20, 0);
        for (uint64_t i = 1; i <= 40; i++) add(&r, i, "text");
        if (a.failed) assert_int_equal(strncmp(read_at(&r, &place), "gap ", 4), 0);
        for (uint64_t i = place.from; i <= 40; i++) assert_string_equal(read_at(&r, &place) + (i < 10 ? 2 : 3), "text");
        assert_string_equal(read_at(&r, &place), "none");
        orri_recent_clear(&r);
        spec_alloc_check(&a);
    }
}

/* A reader at its own pace sees each mark whole, or none of it and a gap that covers it. */
static void readers_miss_nothing_but_what_a_gap_tells(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 17);
    for (int round = 0; round < 200; round++) {
        struct spec_alloc a = { 0 };
        const struct orr_alloc alloc = spec_alloc_of(&a);
        struct orri_recent r;
        uint64_t marks[300], n = 0, mark = 3, seen = 0;
        uint64_t from = orri_rng_below(&rng, 12);
        struct orri_recent_place place = { 0, from };
        orri_recent_init(&r, &alloc, 64 + orri_rng_below(&rng, 600), 3);
        uint64_t through = 3 >= from ? 3 : from - 1;        /* what was read, or told to be lost, or not wanted */
        bool begun = 3 < from;
        for (int step = 0; step < 250; step++) {
            if (orri_rng_below(&rng, 5) < 3) {
                if (n == 0 || orri_rng_below(&rng, 3) > 0) mark++;
                marks[n++] = mark;
                add(&r, mark, "0123456789");
                assert_true(r.bytes <= r.bytes_max || r.next - r.first == 1);
                continue;
            }
            const struct orri_recent_record *record;
            uint64_t gap;
            enum orri_recent_found found = orri_recent_read(&r, &place, &record, &gap);
            if (found == ORRI_RECENT_GAP) {
                assert_true(gap >= through);
                begun = true;
                through = gap;
                from = gap + 1;
            } else if (found == ORRI_RECENT_RECORD) {
                assert_true(begun);
                while (seen < n && marks[seen] < from) seen++;
                assert_true(seen < n && marks[seen] == record->mark);
                through = record->mark;
                seen++;
            } else {
                while (seen < n && marks[seen] < from) seen++;
                assert_int_equal(seen, n);
            }
        }
        orri_recent_clear(&r);
        spec_alloc_check(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_gets_what_it_asked_for),
        cmocka_unit_test(of_a_mark_that_is_forgotten_in_part_nothing_is_given_after_the_gap),
        cmocka_unit_test(the_newest_is_kept_however_large_and_what_was_replaced_is_a_gap),
        cmocka_unit_test(no_memory_is_a_gap),
        cmocka_unit_test(readers_miss_nothing_but_what_a_gap_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
