/* log_test.c - the storage's promises one by one: bytes, group commit, recycling, a full disk, failed syncs. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "storage/fixture.h"
#include "storage/snapshot_format.h"
#include "storage/wal_format.h"

#include <errno.h>

/* -- Bytes --------------------------------------------------------------------------------------------------------- */
static void assert_hex(const unsigned char *at, size_t size, const char *hex) {
    char got[2048];
    assert_true(size * 2 < sizeof got);
    for (size_t i = 0; i < size; i++) (void)snprintf(got + 2 * i, 3, "%02x", at[i]);
    assert_string_equal(got, hex);
}

static void test_the_bytes_of_the_log(void **state) {
    (void)state;
    unsigned char at[1024];
    struct orri_wal_header header = { ORRI_WAL_VERSION, 0x1122334455667788, 5, 9, 0xabcd, 4 };
    orri_wal_put_header(at, &header);
    assert_hex(at, 64,
               "6f7272657279776c01000000000000008877665544332211"
               "0500000000000000"
               "0900000000000000"
               "cdab000000000000"
               "0400000000000000"
               "601222ca6b39aedd");

    struct orr_writer w = orri_writer(at, sizeof at);
    uint64_t fold = orri_wal_fold(7, 2);
    struct orri_wal_record r = {
        .kind = ORRI_WAL_GROUP, .group = 1, .first = 3, .last = 8, .bytes = orr_borrow("abc", 3)
    };
    orri_wal_put(&w, &fold, &r);
    r = (struct orri_wal_record){ .kind = ORRI_WAL_STATE, .group = 1, .bytes = orr_borrow("state", 5) };
    orri_wal_put(&w, &fold, &r);
    r = (struct orri_wal_record){ .kind = ORRI_WAL_RELEASE, .group = 1, .index = 4 };
    orri_wal_put(&w, &fold, &r);
    r = (struct orri_wal_record){ .kind = ORRI_WAL_RESET, .group = 1, .index = 9, .term = 2, .time = -1 };
    orri_wal_put(&w, &fold, &r);
    struct orr_entry entry = {
        .index = 10, .term = 6, .time = 77, .kind = ORR_ENTRY_DATA, .data = orr_borrow("hello", 5)
    };
    r = (struct orri_wal_record){ .kind = ORRI_WAL_ENTRIES,
                                  .group = 1,
                                  .truncate = true,
                                  .first = 10,
                                  .last = 10,
                                  .bytes = orr_borrow(NULL, orri_wal_entry_size(5)) };
    orri_wal_put_entries(&w, &fold, &r);
    orri_wal_put_entry(&w, &fold, 1, &entry);
    orri_write_bytes(&w, "hello\0\0\0", 8);
    assert_false(w.failed);
    assert_hex(at, (size_t)(w.at - at),
               "01000000010000002000000000000000"
               "0300000000000000"
               "0800000000000000"
               "0300000000000000"
               "6162630000000000"
               "02000000010000001000000000000000"
               "0500000000000000"
               "7374617465000000"
               "04000000010000000800000000000000"
               "0400000000000000"
               "05000000010000001800000000000000"
               "0900000000000000"
               "0200000000000000"
               "ffffffffffffffff"
               "03010000010000003800000000000000"
               "0a00000000000000"
               "0100000000000000"
               "0600000000000000"
               "4d00000000000000"
               "1000000005000000"
               "e9f3ff3f89e78df8"
               "68656c6c6f000000");

    struct orri_wal_head head = {
        .segment = 5, .number = 2, .before = 0xef, .size = (size_t)(w.at - at), .fold = fold, .oldest = 4
    };
    unsigned char bytes[64];
    orri_wal_put_head(bytes, 7, &head);
    assert_hex(bytes, 64,
               "7f57616c00000000"
               "0500000000000000"
               "0200000000000000"
               "ef00000000000000"
               "d800000000000000"
               "e9dc4a630cec135b"
               "0400000000000000"
               "d9954e45606725a6");
    struct orri_wal_head back;
    assert_int_equal(orri_wal_get_head(bytes, 7, &back), 0);
    assert_int_equal(orri_wal_get_head(bytes, 8, &back), ORR_ECORRUPT);
    assert_int_equal(orri_wal_check(7, &head, orr_borrow(at, (size_t)(w.at - at))), 0);
    for (size_t i = 0; i < (size_t)(w.at - at); i++) { /* every byte counts */
        at[i] ^= 1;
        assert_int_equal(orri_wal_check(7, &head, orr_borrow(at, (size_t)(w.at - at))), ORR_ECORRUPT);
        at[i] ^= 1;
    }
    /* What no log can have counted to would make the next batch's number one that nobody can read. */
    head.number = UINT64_MAX;
    orri_wal_put_head(bytes, 7, &head);
    assert_int_equal(orri_wal_get_head(bytes, 7, &back), ORR_ECORRUPT);
}

static void test_the_bytes_of_a_snapshot(void **state) {
    (void)state;
    static unsigned char at[ORRI_SNAPSHOT_HEAD];
    struct orr_snapshot s = {
        .index = 5, .term = 2, .time = 99, .size = 1000, .checksum = 0xfeed, .config = orr_borrow("cfg", 3)
    };
    orri_snapshot_put_head(at, 3, &s);
    assert_hex(at, 72,
               "6f7272657279736e"
               "01000000"
               "03000000"
               "0500000000000000"
               "0200000000000000"
               "6300000000000000"
               "e803000000000000"
               "edfe000000000000"
               "03000000"
               "00000000"
               "6366670000000000");
    assert_hex(at + ORRI_SNAPSHOT_HEAD - 8, 8, "0759320b3438d72f");
    char name[ORRI_SNAPSHOT_NAME];
    orri_snapshot_name(name, 3, &s);
    assert_string_equal(name, "snap-00000003-0000000000000005-0000000000000002-000000000000feed");
    assert_true(orri_snapshot_is_name(name));
    uint32_t group;
    struct orr_snapshot back;
    for (size_t i = 0; i < ORRI_SNAPSHOT_HEAD; i += 7) {
        at[i] ^= 4;
        assert_int_not_equal(orri_snapshot_get_head(orr_borrow(at, sizeof at), &group, &back), 0);
        at[i] ^= 4;
    }
    assert_int_equal(orri_snapshot_get_head(orr_borrow(at, sizeof at), &group, &back), 0);
    assert_int_equal(back.time, 99);
}

/* -- Group commit -------------------------------------------------------------------------------------------------- */
static void many(struct probe *p, void *arg) {
    (void)arg;
    struct fixture *f = p->ud;
    for (uint32_t i = 1; i <= 80; i++) assert_int_equal(store(f, i, "st", 1, 3, ORR_ENTRY_DATA, 60, false), 0);
}

static void test_a_turn_is_one_write(void **state) {
    (void)state;
    struct fixture *f = fixture(0);
    struct orri_storage_stats before, after;
    orri_storage_stats(f->s, &before);
    f->probe.todo = many;
    run(f, 20 * ORR_MS);
    orri_storage_stats(f->s, &after);
    for (uint64_t id = 1; id <= 80; id++) assert_int_equal(status_of(f, ORR_TAKE_STORED, id), 0);
    assert_int_equal(after.writes - before.writes, 1);
    assert_int_equal(after.syncs - before.syncs, 1);
    done(f);
}

/* -- Size ---------------------------------------------------------------------------------------------------------- */
static void test_a_batch_larger_than_a_segment(void **state) {
    (void)state;
    struct fixture *f = fixture(0);
    assert_int_equal(store(f, 1, NULL, 1, 2, ORR_ENTRY_DATA, 100000, false), 0);
    assert_int_equal(store(f, 1, NULL, 3, 1, ORR_ENTRY_DATA, 10, false), 0);
    run(f, 100 * ORR_MS);
    assert_int_equal(status_of(f, ORR_TAKE_STORED, 1), 0);
    assert_int_equal(status_of(f, ORR_TAKE_STORED, 2), 0);
    restart(f, true);
    assert_int_equal(f->status, 0);
    struct orr_boot boot;
    orri_storage_boot(f->s, 1, &boot);
    assert_int_equal(boot.last, 3);
    assert_int_equal(call(f, fetch_now, &(struct orr_fetch){ .id = 9, .from = 2, .through = 3, .bytes_max = 10 }), 0);
    run(f, 20 * ORR_MS);
    assert_int_equal(status_of(f, ORR_TAKE_FETCHED, 9), 0);
    assert_int_equal(f->fetched[0].index, 2);
    assert_int_equal(f->fetched[0].data.size, 100000);
    done(f);
}

static void test_segments_are_used_again(void **state) {
    (void)state;
    struct fixture *f = fixture(0);
    orr_index last = 0;
    for (unsigned round = 0; round < 60; round++) {
        assert_int_equal(store(f, 1, NULL, last + 1, 4, ORR_ENTRY_DATA, 5000, false), 0);
        last += 4;
        run(f, 10 * ORR_MS);
        if (round % 4 == 3) {
            struct orr_snapshot s = { .index = last - 2, .term = 3, .time = 1 };
            assert_int_equal(call(f, begin_now, &s), 0);
            assert_int_equal(call(f, finish_now, NULL), 0);
            run(f, 20 * ORR_MS);
            orri_storage_release(f->s, 1, last - 2);
        }
    }
    run(f, 50 * ORR_MS);
    size_t segments = 0, snapshots = 0;
    const char *name;
    for (size_t i = 0; (name = orr_sim_disk_durable_name(f->sim, "a", i)); i++) {
        segments += strncmp(name, "wal-", 4) == 0;
        snapshots += strncmp(name, "snap-", 5) == 0;
    }
    assert_in_range(segments, 2, 6);
    assert_in_range(snapshots, 2, 3); /* a name that was removed may not have been synced */
    restart(f, true);
    assert_int_equal(f->status, 0);
    struct orr_boot boot;
    orri_storage_boot(f->s, 1, &boot);
    assert_int_equal(boot.last, 240);
    assert_int_equal(boot.snapshot.index, 238);
    done(f);
}

/* Of a log of two segments the first one is damaged, where it lies in a slot that is free for the next, if `released`:
 * the second one's beginning still names it. */
static int opened_with_damage_in_the_first(bool released) {
    struct fixture *f = fixture(0);
    struct orr_snapshot s = { .index = 18, .term = 3, .time = 1 };
    for (orr_index at = 1; at <= 17; at += 4) {     /* 20 KB each, of segments of 64 KiB */
        assert_int_equal(store(f, 1, NULL, at, 4, ORR_ENTRY_DATA, 5000, false), 0);
        run(f, 20 * ORR_MS);
    }
    assert_int_equal(call(f, begin_now, &s), 0);
    assert_int_equal(call(f, finish_now, NULL), 0);
    run(f, 50 * ORR_MS);
    if (released) orri_storage_release(f->s, 1, 18);
    for (orr_index at = 21; at <= 22; at++) {       /* the first bears it, the second one says what it means */
        assert_int_equal(store(f, 1, NULL, at, 1, ORR_ENTRY_DATA, 10, false), 0);
        run(f, 20 * ORR_MS);
    }
    uint64_t log;
    uint32_t slot = 1;
    const char *name = "";
    for (size_t i = 0; name && (!orri_wal_name_read(name, &log, &slot) || slot > 0); i++)
        name = orr_sim_disk_durable_name(f->sim, "a", i);
    assert_non_null(name);
    assert_int_equal(orr_sim_disk_rot(f->sim, "a", name, ORRI_WAL_PAGE + 1000), 0);
    restart(f, true);
    int status = f->status;
    struct orr_boot boot = { .last = 22 };
    if (status == 0) orri_storage_boot(f->s, 1, &boot);
    assert_int_equal(boot.last, 22);
    done(f);
    return status;
}

static void test_damage_where_nothing_is_needed_any_more(void **state) {
    (void)state;
    assert_int_equal(opened_with_damage_in_the_first(true), 0);
    assert_int_equal(opened_with_damage_in_the_first(false), ORR_ECORRUPT);
}

/* -- A full disk --------------------------------------------------------------------------------------------------- */
static void test_a_full_disk_refuses_entries_and_keeps_votes(void **state) {
    (void)state;
    struct fixture *f = fixture(200 << 10); /* three segments and a bit */
    orr_index last = 0;
    uint64_t refused = 0;
    for (unsigned round = 0; round < 60 && !refused; round++) {
        assert_int_equal(store(f, 1, NULL, last + 1, 1, ORR_ENTRY_DATA, 4000, false), 0);
        run(f, 50 * ORR_MS);
        int status = status_of(f, ORR_TAKE_STORED, f->id);
        if (status == 0)
            last++;
        else
            refused = f->id;
        assert_true(status == 0 || status == ORR_EFULL);
    }
    assert_true(refused);
    assert_true(f->full);
    for (unsigned i = 0; i < 200; i++) { /* terms, votes and no-ops go on */
        assert_int_equal(store(f, 1, "term and vote", last + 1, 1, ORR_ENTRY_NOOP, 0, false), 0);
        run(f, 2 * ORR_MS);
        assert_int_equal(status_of(f, ORR_TAKE_STORED, f->id), 0);
        last++;
        f->n_told = 0;
    }
    restart(f, true); /* and a start on a full disk */
    assert_int_equal(f->status, 0);
    struct orr_boot boot;
    orri_storage_boot(f->s, 1, &boot);
    assert_int_equal(boot.last, last);
    run(f, 3 * ORR_SECOND);
    assert_int_equal(store(f, 1, "vote", last + 1, 1, ORR_ENTRY_NOOP, 0, false), 0);
    run(f, 10 * ORR_MS);
    assert_int_equal(status_of(f, ORR_TAKE_STORED, f->id), 0);
    last++;
    assert_int_equal(orr_sim_disk_room(f->sim, "a", 10 << 20), 0);
    run(f, 5 * ORR_SECOND);
    assert_false(f->full);
    for (unsigned i = 0; i < 30; i++) {
        assert_int_equal(store(f, 1, NULL, last + 1, 1, ORR_ENTRY_DATA, 4000, false), 0);
        run(f, 20 * ORR_MS);
        assert_int_equal(status_of(f, ORR_TAKE_STORED, f->id), 0);
        last++;
    }
    done(f);
}

/* -- Failures ------------------------------------------------------------------------------------------------------ */
static void test_a_failed_sync_is_the_end(void **state) {
    (void)state;
    struct fixture *f = fixture(0);
    assert_int_equal(store(f, 1, "one", 1, 1, ORR_ENTRY_DATA, 10, false), 0);
    run(f, 20 * ORR_MS);
    assert_int_equal(orr_sim_arm(f->sim, "a", ORR_SIM_SYNC_ERROR, 1), 0);
    assert_int_equal(store(f, 1, "two", 2, 1, ORR_ENTRY_DATA, 10, false), 0);
    run(f, 20 * ORR_MS);
    assert_true(f->failed);
    assert_true(status_of(f, ORR_TAKE_STORED, 2) < 0);
    assert_int_equal(store(f, 1, "three", 3, 1, ORR_ENTRY_DATA, 10, false), ORR_EPOISONED);
    restart(f, true);
    assert_int_equal(f->status, 0);
    struct orr_boot boot;
    orri_storage_boot(f->s, 1, &boot);
    assert_in_range(boot.last, 1, 2);
    done(f);
}

static void test_misuse_is_told(void **state) {
    (void)state;
    struct fixture *f = fixture(0);
    assert_int_equal(store(f, 0, NULL, 1, 1, ORR_ENTRY_DATA, 10, false), ORR_EINVALID);
    assert_int_equal(store(f, 1, NULL, 5, 1, ORR_ENTRY_DATA, 10, false), 0); /* a gap */
    run(f, 20 * ORR_MS);
    assert_int_equal(status_of(f, ORR_TAKE_STORED, f->id), ORR_EINVALID);
    assert_int_equal(store(f, 1, NULL, 1, 3, ORR_ENTRY_DATA, 10, false), 0);
    assert_int_equal(store(f, 1, NULL, 2, 1, ORR_ENTRY_DATA, 10, false), 0); /* replaces, and doesn't say so */
    run(f, 20 * ORR_MS);
    assert_int_equal(status_of(f, ORR_TAKE_STORED, f->id), ORR_EINVALID);
    assert_int_equal(call(f, fetch_now, &(struct orr_fetch){ .id = 5, .from = 4, .through = 9, .bytes_max = 10 }), 0);
    assert_int_equal(call(f, fetch_now, &(struct orr_fetch){ .id = 6, .from = 1, .through = 9, .bytes_max = 10 }), 0);
    run(f, 20 * ORR_MS);
    assert_int_equal(status_of(f, ORR_TAKE_FETCHED, 5), ORR_EUNAVAILABLE);
    assert_int_equal(status_of(f, ORR_TAKE_FETCHED, 6), ORR_EUNAVAILABLE);
    done(f);
}

/* Each allocation of a life fails once: a start or a store says so, or waits, and nothing is lost. */
static void test_each_allocation_may_fail(void **state) {
    (void)state;
    unsigned failed_starts = 0;
    for (uint64_t n = 1; n < 120; n++) {
        struct fixture *f = fixture(0);
        for (uint32_t i = 1; i <= 3; i++) assert_int_equal(store(f, i, "first", 1, 2, ORR_ENTRY_DATA, 300, false), 0);
        run(f, 50 * ORR_MS);
        assert_int_equal(orr_sim_kill(f->sim, "a"), 0);
        assert_int_equal(orr_sim_arm(f->sim, "a", ORR_SIM_ALLOC, n), 0);
        int rc = orr_sim_start(f->sim, "a");
        run(f, 50 * ORR_MS);
        if (rc != 0 || !f->opened || f->status < 0) {
            failed_starts++;
            if (orr_sim_state(f->sim, "a") == ORR_SIM_UP) assert_int_equal(orr_sim_kill(f->sim, "a"), 0);
            assert_int_equal(orr_sim_start(f->sim, "a"), 0);
            run(f, 50 * ORR_MS);
        }
        assert_true(f->opened);
        assert_int_equal(f->status, 0);
        bool taken[4] = { false };
        for (uint32_t i = 1; i <= 3; i++) {
            int status = store(f, i, "second", 3, 2, ORR_ENTRY_DATA, 300, false);
            assert_true(status == 0 || status == -ENOMEM);
            taken[i] = status == 0;
        }
        run(f, 100 * ORR_MS);
        assert_int_equal(orr_sim_arm(f->sim, "a", ORR_SIM_ALLOC, 0), 0);
        restart(f, true);
        for (uint32_t i = 1; i <= 3; i++) {
            struct orr_boot boot;
            orri_storage_boot(f->s, i, &boot);
            assert_int_equal(boot.last, taken[i] ? 4 : 2);
        }
        done(f);
    }
    assert_true(failed_starts > 3);
}

/* -- Snapshots ----------------------------------------------------------------------------------------------------- */
static unsigned char picture[100000];

static void draw(void) {
    for (size_t i = 0; i < sizeof picture; i++) picture[i] = (unsigned char)(i * 7 + i / 251);
}

static void own_snapshot(struct fixture *f, orr_index index) {
    draw();
    struct orr_snapshot s = { .index = index, .term = 3, .time = 1, .config = orr_borrow("abc", 3) };
    assert_int_equal(call(f, begin_now, &s), 0);
    assert_int_equal(call(f, begin_now, &s), ORR_EBUSY);
    for (size_t at = 0; at < sizeof picture; at += 10000) {
        struct orr_slice piece = orr_borrow(picture + at, 10000);
        assert_int_equal(call(f, write_now, &piece), 0);
    }
    assert_int_equal(call(f, finish_now, NULL), 0);
    run(f, 50 * ORR_MS);
    assert_int_equal(status_of(f, ORR_TAKE_SNAPSHOT, 0), 0);
    f->n_told = 0;
}

static const char *name_of(const struct fixture *f, const char *prefix, unsigned which) {
    const char *name;
    for (size_t i = 0; (name = orr_sim_disk_durable_name(f->sim, "a", i)); i++) {
        if (strncmp(name, prefix, strlen(prefix)) == 0 && which-- == 0) return name;
    }
    return NULL;
}

static int read_all(struct fixture *f, orr_index index) {
    int status = 0;
    for (uint64_t at = 0; at < sizeof picture && status == 0; at += 40000) {
        f->n_told = 0;
        struct orr_fetch fetch = {
            .id = 1, .kind = ORR_FETCH_SNAPSHOT, .from = index, .term = 3, .offset = at, .bytes_max = 40000
        };
        assert_int_equal(call(f, fetch_now, &fetch), 0);
        run(f, 10 * ORR_MS);
        status = status_of(f, ORR_TAKE_FETCHED_PART, 1);
        if (status == 0) assert_memory_equal(f->bytes, picture + at, f->n_bytes);
    }
    return status;
}

static void test_damage_in_a_snapshot(void **state) {
    (void)state;
    struct fixture *f = fixture(0);
    assert_int_equal(store(f, 1, "s", 1, 10, ORR_ENTRY_DATA, 100, false), 0);
    run(f, 20 * ORR_MS);
    own_snapshot(f, 3);
    own_snapshot(f, 6);
    orri_storage_release(f->s, 1, 2);
    assert_int_equal(store(f, 1, "t", 0, 0, 0, 0, false), 0);
    run(f, 20 * ORR_MS);
    assert_int_equal(read_all(f, 6), 0);
    assert_int_equal(orr_sim_kill(f->sim, "a"), 0);
    assert_int_equal(orr_sim_disk_rot(f->sim, "a", name_of(f, "snap-", 1), ORRI_SNAPSHOT_HEAD + 99000), 0);
    restart(f, true);
    assert_int_equal(f->status, 0);
    assert_int_equal(read_all(f, 6), ORR_ECORRUPT); /* by its checksum, with the last piece */
    assert_int_equal(orr_sim_kill(f->sim, "a"), 0);
    assert_int_equal(orr_sim_disk_rot(f->sim, "a", name_of(f, "snap-", 1), 20), 0);
    restart(f, true);
    assert_int_equal(f->status, 0); /* the older one reaches the log */
    struct orr_snapshot newest;
    orri_storage_snapshots(f->s, 1, &newest, NULL);
    assert_int_equal(newest.index, 3);
    assert_int_equal(read_all(f, 3), 0);
    assert_int_equal(orr_sim_kill(f->sim, "a"), 0);
    assert_int_equal(orr_sim_disk_rot(f->sim, "a", name_of(f, "snap-", 0), 20), 0);
    restart(f, true);
    assert_int_equal(f->status, ORR_ECORRUPT); /* entries 1 and 2 are nowhere now */
    assert_non_null(strstr(f->text, "group 1"));
    done(f);
}

enum damage { FLIPPED, CUT, EMPTIED };

static void damage(struct fixture *f, const char *name, enum damage how) {
    if (how == FLIPPED) {
        assert_int_equal(orr_sim_disk_rot(f->sim, "a", name, ORRI_SNAPSHOT_HEAD + sizeof picture / 10 * 9), 0);
        return;
    }
    struct probe_req open = { .op = ORR_OP_OPEN, .u.open.path = name };
    assert_int_equal(probe_run(&f->probe, &open), 0);
    struct probe_req cut = { .op = ORR_OP_TRUNCATE, .u.file = { .file = open.u.open.file } };
    if (how == CUT) cut.u.file.at = open.u.open.size / 2;
    assert_int_equal(probe_run(&f->probe, &cut), 0);
    struct probe_req sync = { .op = ORR_OP_SYNC, .u.file = { .file = open.u.open.file } };
    assert_int_equal(probe_run(&f->probe, &sync), 0);
}

/* The newest of two is damaged: the one before it is used, and is not given up for one that can't be. */
static void a_damaged_snapshot(enum damage how) {
    struct fixture *f = fixture(0);
    struct orr_snapshot newest, older;
    assert_int_equal(store(f, 1, "s", 1, 12, ORR_ENTRY_DATA, 100, false), 0);
    run(f, 20 * ORR_MS);
    own_snapshot(f, 3);
    own_snapshot(f, 6);
    orri_storage_release(f->s, 1, 3);
    assert_int_equal(store(f, 1, "t", 0, 0, 0, 0, false), 0);
    run(f, 20 * ORR_MS);
    uint64_t after_six = orri_storage_log_bytes(f->s, 1);
    char bad[ORRI_SNAPSHOT_NAME];
    snprintf(bad, sizeof bad, "%s", name_of(f, "snap-", 1));
    damage(f, bad, how);
    restart(f, true);
    assert_int_equal(f->status, 0);
    if (how == FLIPPED) {
        assert_int_equal(read_all(f, 6), ORR_ECORRUPT);
        assert_string_equal(f->text, bad);
        orri_storage_snapshot_damaged(f->s, 1);
    }
    orri_storage_snapshots(f->s, 1, &newest, &older);
    assert_int_equal(newest.index, 3);
    assert_int_equal(older.index, 0);
    assert_true(orri_storage_log_bytes(f->s, 1) > after_six);
    assert_int_equal(read_all(f, 3), 0);
    own_snapshot(f, 9);
    orri_storage_snapshots(f->s, 1, &newest, &older);
    assert_int_equal(newest.index, 9);
    assert_int_equal(older.index, 3);               /* not the damaged one */
    restart(f, true);
    orri_storage_snapshots(f->s, 1, &newest, &older);
    assert_int_equal(newest.index, 9);
    assert_int_equal(older.index, 3);
    assert_int_equal(read_all(f, 3), 0);
    /* The next one is damaged, too, and the log reaches back no farther than to it. */
    orri_storage_release(f->s, 1, 9);
    assert_int_equal(store(f, 1, "u", 0, 0, 0, 0, false), 0);
    run(f, 20 * ORR_MS);
    orri_storage_snapshots(f->s, 1, &newest, NULL);
    orri_snapshot_name(bad, 1, &newest);
    damage(f, bad, how == FLIPPED ? CUT : how);
    restart(f, true);
    assert_int_equal(f->status, ORR_ECORRUPT);
    assert_non_null(strstr(f->text, bad));
    assert_non_null(strstr(f->text, "offset 0"));
    assert_non_null(strstr(f->text, "group 1"));
    assert_non_null(strstr(f->text, "Put back"));
    done(f);
}
static void test_a_flipped_byte_in_the_newest_snapshot(void **state) { (void)state, a_damaged_snapshot(FLIPPED); }
static void test_the_newest_snapshot_cut(void **state) { (void)state, a_damaged_snapshot(CUT); }
static void test_the_newest_snapshot_emptied(void **state) { (void)state, a_damaged_snapshot(EMPTIED); }

static void test_all_memory_is_given_back(void **state) {
    (void)state;
    struct fixture *f = fixture(0);
    f->counts = true;
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(store(f, 1 + i % 5, "some state", 1 + i / 5 * 2, 2, i % 2 ? ORR_ENTRY_CONFIG : ORR_ENTRY_DATA,
                               900, false),
                         0);
    run(f, 100 * ORR_MS);
    restart(f, true);
    assert_true(f->live > 0);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(store(f, 1 + i % 5, "some state", 13 + i / 5 * 2, 2, ORR_ENTRY_DATA, 900, false), 0);
    own_snapshot(f, 3);
    own_snapshot(f, 4);
    assert_int_equal(read_all(f, 4), 0);
    orri_storage_release(f->s, 1, 3);
    run(f, 200 * ORR_MS);
    assert_true(orri_storage_idle(f->s));
    orri_storage_free(f->s);
    f->s = NULL;
    assert_int_equal(f->live, 0);
    done(f);
}

static void give_part(struct fixture *f, uint64_t checksum, uint64_t offset, size_t size, bool last) {
    struct orr_part part = { .id = ++f->id,
                             .offset = offset,
                             .data = orr_borrow(picture + offset, size),
                             .done = last,
                             .snapshot = { .index = 50,
                                           .term = 8,
                                           .time = 4,
                                           .size = sizeof picture,
                                           .checksum = checksum,
                                           .config = orr_borrow("zz", 2) } };
    assert_int_equal(call(f, part_now, &part), 0);
    run(f, 30 * ORR_MS);
}

static void test_a_snapshot_from_a_peer(void **state) {
    (void)state;
    struct fixture *f = fixture(0);
    draw();
    uint64_t checksum = orri_hash64(picture, sizeof picture, 0);
    assert_int_equal(store(f, 1, "s", 1, 10, ORR_ENTRY_DATA, 100, false), 0);
    run(f, 20 * ORR_MS);
    give_part(f, 5, 0, 60000, false); /* a transfer whose checksum is wrong */
    give_part(f, 5, 60000, 40000, true);
    assert_int_equal(status_of(f, ORR_TAKE_PART, f->id), ORR_ECORRUPT);
    give_part(f, checksum, 0, 60000, false);
    give_part(f, checksum, 0, 60000, false); /* the same once more */
    assert_int_equal(status_of(f, ORR_TAKE_PART, f->id), 0);
    give_part(f, checksum, 70000, 10000, false); /* a gap */
    assert_int_equal(status_of(f, ORR_TAKE_PART, f->id), ORR_EINVALID);
    give_part(f, checksum, 60000, 40000, true);
    assert_int_equal(status_of(f, ORR_TAKE_PART, f->id), 0);
    assert_int_equal(store(f, 1, NULL, 51, 2, ORR_ENTRY_DATA, 10, false), 0);
    run(f, 20 * ORR_MS);
    assert_int_equal(status_of(f, ORR_TAKE_STORED, f->id), 0);
    restart(f, true);
    assert_int_equal(f->status, 0);
    struct orr_boot boot;
    orri_storage_boot(f->s, 1, &boot);
    assert_int_equal(boot.first, 51);
    assert_int_equal(boot.last, 52);
    assert_int_equal(boot.snapshot.index, 50);
    assert_int_equal(boot.snapshot.time, 4);
    assert_memory_equal(boot.snapshot.config.at, "zz", 2);
    assert_memory_equal(boot.state.at, "s", 1);
    assert_null(name_of(f, "snap-0.tmp", 0));
    done(f);
}

/* It makes all that was there void. The batch behind it fills the next segment, and can't say yet that the one before
 * is to be had again; the one after that has no place until somebody says so. */
static void test_a_snapshot_from_a_peer_and_much_behind_it(void **state) {
    (void)state;
    draw();
    uint64_t checksum = orri_hash64(picture, sizeof picture, 0);
    struct fixture *f = fixture(0);
    assert_int_equal(store(f, 1, "s", 1, 4, ORR_ENTRY_DATA, 9000, false), 0);
    run(f, 20 * ORR_MS);
    give_part(f, checksum, 0, sizeof picture, true);
    uint64_t first = f->id + 1;
    assert_int_equal(store(f, 1, NULL, 51, 6, ORR_ENTRY_DATA, 10000, false), 0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(store(f, 1, NULL, 57 + 2 * i, 2, ORR_ENTRY_DATA, 9000, false), 0);
    run(f, 500 * ORR_MS);
    for (uint64_t id = first; id <= f->id; id++) assert_int_equal(status_of(f, ORR_TAKE_STORED, id), 0);
    done(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bytes_of_the_log),
        cmocka_unit_test(test_the_bytes_of_a_snapshot),
        cmocka_unit_test(test_a_turn_is_one_write),
        cmocka_unit_test(test_a_batch_larger_than_a_segment),
        cmocka_unit_test(test_segments_are_used_again),
        cmocka_unit_test(test_damage_where_nothing_is_needed_any_more),
        cmocka_unit_test(test_a_full_disk_refuses_entries_and_keeps_votes),
        cmocka_unit_test(test_a_failed_sync_is_the_end),
        cmocka_unit_test(test_misuse_is_told),
        cmocka_unit_test(test_all_memory_is_given_back),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_damage_in_a_snapshot),
        cmocka_unit_test(test_a_flipped_byte_in_the_newest_snapshot),
        cmocka_unit_test(test_the_newest_snapshot_cut),
        cmocka_unit_test(test_the_newest_snapshot_emptied),
        cmocka_unit_test(test_a_snapshot_from_a_peer),
        cmocka_unit_test(test_a_snapshot_from_a_peer_and_much_behind_it),
    };
    return cmocka_run_group_tests_name("storage", tests, NULL, NULL);
}
