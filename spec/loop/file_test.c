/* file_test.c - files of the real world: order, group commit, poison, a full disk, names, the lock. */
#include "support.h"

#include <sys/mount.h>

static struct node node;
static const char *dir;

/* -- A disk that counts, fails and hangs --------------------------------------------------------------------------- */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    unsigned writes, syncs, parts;
    bool hold;                      /* syncs wait while this holds */
    unsigned held;                  /* and this many do */
    bool fail_sync;
    int fail_write;                 /* errno of a write, once */
    unsigned fail_write_after;      /* this many that succeed */
    int fail_fallocate;             /* errno */
    size_t write_most;              /* bytes that one write takes, 0: all */
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER };

static ssize_t fake_pwritev(int fd, const struct iovec *parts, int n, off_t at) {
    pthread_mutex_lock(&fake.lock);
    fake.writes++;
    fake.parts += (unsigned)n;
    int fail = fake.fail_write_after > 0 ? 0 : fake.fail_write;
    size_t most = fake.write_most;
    if (fake.fail_write_after > 0) fake.fail_write_after--;
    else fake.fail_write = 0;
    pthread_mutex_unlock(&fake.lock);
    if (fail) return errno = fail, -1;
    if (most == 0) return pwritev(fd, parts, n, at);
    return pwrite(fd, parts[0].iov_base, parts[0].iov_len < most ? parts[0].iov_len : most, at);
}
static int fake_fdatasync(int fd) {
    pthread_mutex_lock(&fake.lock);
    fake.syncs++;
    fake.held++;
    pthread_cond_broadcast(&fake.change);
    while (fake.hold) pthread_cond_wait(&fake.change, &fake.lock);
    fake.held--;
    bool fail = fake.fail_sync;
    pthread_mutex_unlock(&fake.lock);
    return fail ? (errno = EIO, -1) : fdatasync(fd);
}
static ssize_t fake_pread(int fd, void *to, size_t size, off_t at) { return pread(fd, to, size, at); }
static int fake_ftruncate(int fd, off_t size) { return ftruncate(fd, size); }
static int fake_fallocate(int fd, int mode, off_t at, off_t size) {
    return fake.fail_fallocate ? (errno = fake.fail_fallocate, -1) : fallocate(fd, mode, at, size);
}
static const struct orri_system fake_system = {
    fake_pwritev, fake_pread, fake_fdatasync, fsync, fake_ftruncate, fake_fallocate,
};

static void hold_syncs(bool on) {
    pthread_mutex_lock(&fake.lock);
    fake.hold = on;
    pthread_cond_broadcast(&fake.change);
    pthread_mutex_unlock(&fake.lock);
}
static void wait_until_held(void) {
    pthread_mutex_lock(&fake.lock);
    while (fake.held == 0) pthread_cond_wait(&fake.change, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
}

/* -- Requests that note their order -------------------------------------------------------------------------------- */
static struct orr_req *order[256];
static unsigned n_done;
static void note(struct orr_req *req) {
    order[n_done % 256] = req;
    n_done++;
}

static int set_up(void **state) {
    (void)state;
    fake.writes = fake.syncs = fake.parts = fake.held = 0;
    fake.hold = fake.fail_sync = false;
    fake.fail_write = fake.fail_fallocate = 0;
    fake.fail_write_after = 0;
    fake.write_most = 0;
    n_done = 0;
    dir = fresh_dir();
    node_new(&node, dir);
    node.loop->disk.system = &fake_system;
    node.loop->config.sync_now_max = 0;
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    orr_loop_free(node.loop);
    remove_dir(dir);
    return 0;
}

static void go(unsigned n) { UNTIL(&node, n_done, n); }

static struct orr_file *open_file(const char *path, unsigned flags) {
    struct orr_open r = { .req.done = note, .path = path, .flags = flags };
    unsigned before = n_done;
    assert_int_equal(node.w->ops->open(node.w, &r), 0);
    go(before + 1);
    assert_int_equal(r.req.status, 0);
    n_done = before;
    return r.file;
}
static int close_file(struct orr_file *file) {
    struct orr_file_op r = { .req.done = note, .file = file };
    unsigned before = n_done;
    assert_int_equal(node.w->ops->file_op(node.w, &r, ORR_OP_CLOSE), 0);
    go(before + 1);
    return r.req.status;
}
static void start_write(struct orr_write *r, struct orr_slice *part, struct orr_file *file, uint64_t at,
                        const void *bytes, size_t size, unsigned flags) {
    *part = orr_borrow(bytes, size);
    *r = (struct orr_write){ .req.done = note, .file = file, .at = at, .parts = part, .n_parts = 1, .flags = flags };
    assert_int_equal(node.w->ops->write(node.w, r), 0);
}
static int write_file(struct orr_file *file, uint64_t at, const void *bytes, size_t size, unsigned flags) {
    struct orr_write r;
    struct orr_slice part;
    unsigned before = n_done;
    start_write(&r, &part, file, at, bytes, size, flags);
    go(before + 1);
    if (r.req.status == 0) assert_int_equal(r.req.result, size);
    return r.req.status;
}
static int file_op(struct orr_file *file, enum orr_op op, uint64_t at, unsigned flags) {
    struct orr_file_op r = { .req.done = note, .file = file, .at = at, .flags = flags };
    unsigned before = n_done;
    assert_int_equal(node.w->ops->file_op(node.w, &r, op), 0);
    go(before + 1);
    return r.req.status;
}
static size_t read_file(struct orr_file *file, uint64_t at, char *out, size_t size) {
    struct orr_read r = { .req.done = note, .file = file, .at = at, .size = size };
    unsigned before = n_done;
    assert_int_equal(node.w->ops->read(node.w, &r), 0);
    go(before + 1);
    assert_int_equal(r.req.status, 0);
    size_t got = r.got.size;
    if (got > 0) memcpy(out, r.got.at, got);
    orr_drop(r.got);
    return got;
}
static int name_op(struct orr_name_op *r, enum orr_op op) {
    unsigned before = n_done;
    r->req.done = note;
    assert_int_equal(node.w->ops->name_op(node.w, r, op), 0);
    go(before + 1);
    return r->req.status;
}
static int rename_file(const char *from, const char *to) {
    return name_op(&(struct orr_name_op){ .path = from, .to = to }, ORR_OP_RENAME);
}

/* -- Specs --------------------------------------------------------------------------------------------------------- */
static void what_was_written_is_read(void **state) {
    (void)state;
    char back[16];
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    assert_int_equal(write_file(f, 0, "hello world", 11, 0), 0);
    assert_int_equal(write_file(f, 6, "there", 5, ORR_W_SYNC), 0);
    assert_int_equal(read_file(f, 0, back, sizeof back), 11);   /* short only at the end of the file */
    assert_memory_equal(back, "hello there", 11);
    assert_int_equal(read_file(f, 11, back, sizeof back), 0);
    assert_int_equal(read_file(f, 3, back, 2), 2);
    assert_memory_equal(back, "lo", 2);
    assert_int_equal(file_op(f, ORR_OP_TRUNCATE, 5, 0), 0);
    assert_int_equal(close_file(f), 0);
    struct orr_open r = { .req.done = note, .path = "a", .flags = ORR_F_READONLY };
    assert_int_equal(node.w->ops->open(node.w, &r), 0);
    go(n_done + 1);
    assert_int_equal(r.size, 5);
    assert_int_equal(write_file(r.file, 0, "x", 1, 0), -EBADF);
}

static void an_open_that_fails_leaves_nothing(void **state) {
    (void)state;
    struct orr_open r = { .req.done = note, .path = "nowhere" };
    assert_int_equal(node.w->ops->open(node.w, &r), 0);
    go(1);
    assert_int_equal(r.req.status, -ENOENT);
    assert_null(r.file);
    struct orr_file *f = open_file("b", ORR_F_CREATE | ORR_F_EXCLUSIVE);
    r = (struct orr_open){ .req.done = note, .path = "b", .flags = ORR_F_CREATE | ORR_F_EXCLUSIVE };
    assert_int_equal(node.w->ops->open(node.w, &r), 0);
    go(2);
    assert_int_equal(r.req.status, -EEXIST);
    assert_int_equal(close_file(f), 0);
    assert_false(orri_linked(&node.loop->disk.files));
}

static void writes_of_a_turn_are_one_write_and_one_sync(void **state) {
    (void)state;
    struct orr_write r[20];
    struct orr_slice part[20];
    char back[20];
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    for (unsigned i = 0; i < 20; i++) start_write(&r[i], &part[i], f, i, "abcdefghijklmnopqrst" + i, 1, ORR_W_SYNC);
    assert_int_equal(fake.writes, 0);       /* nothing starts before the turn ends */
    go(20);
    assert_int_equal(fake.writes, 1);
    assert_int_equal(fake.syncs, 1);
    for (unsigned i = 0; i < 20; i++) assert_ptr_equal(order[i], &r[i].req);
    assert_int_equal(read_file(f, 0, back, sizeof back), 20);
    assert_memory_equal(back, "abcdefghijklmnopqrst", 20);
}

static void what_comes_while_a_sync_runs_shares_the_next(void **state) {
    (void)state;
    struct orr_write r[31];
    struct orr_slice part[31];
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    hold_syncs(true);
    start_write(&r[0], &part[0], f, 0, "x", 1, ORR_W_SYNC);
    orr_loop_step(node.loop, 0);
    wait_until_held();
    for (unsigned i = 1; i <= 30; i++) {
        start_write(&r[i], &part[i], f, i, "y", 1, ORR_W_SYNC);
        orr_loop_step(node.loop, 0);        /* each in a turn of its own */
    }
    hold_syncs(false);
    go(31);
    assert_int_equal(fake.syncs, 2);
    assert_int_equal(fake.writes, 2);
    for (unsigned i = 0; i < 31; i++) assert_ptr_equal(order[i], &r[i].req);
}

static void stretches_apart_are_written_apart_and_synced_together(void **state) {
    (void)state;
    struct orr_write r[3];
    struct orr_slice part[3];
    char back[12];
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    start_write(&r[0], &part[0], f, 0, "aaaa", 4, 0);
    start_write(&r[1], &part[1], f, 8, "cccc", 4, 0);
    start_write(&r[2], &part[2], f, 0, "bb", 2, ORR_W_SYNC);    /* over the first: order matters */
    go(3);
    assert_int_equal(fake.writes, 3);
    assert_int_equal(fake.syncs, 1);
    assert_int_equal(read_file(f, 0, back, sizeof back), 12);
    assert_memory_equal(back, "bbaa\0\0\0\0cccc", 12);
}

static void many_parts_and_short_writes_are_gone_on_with(void **state) {
    (void)state;
    enum { N = 3000, SIZE = 7 };
    static char bytes[N * SIZE], back[N * SIZE];
    static struct orr_slice parts[N];
    for (unsigned i = 0; i < N * SIZE; i++) bytes[i] = (char)(i * 31 + i / 256);
    for (unsigned i = 0; i < N; i++) parts[i] = orr_borrow(bytes + i * SIZE, SIZE);
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    for (unsigned round = 0; round < 2; round++) {
        fake.write_most = round == 0 ? 0 : 5;
        struct orr_write r = { .req.done = note, .file = f, .parts = parts, .n_parts = N, .flags = ORR_W_SYNC };
        assert_int_equal(node.w->ops->write(node.w, &r), 0);
        go(n_done + 1);
        assert_int_equal(r.req.status, 0);
        assert_int_equal(r.req.result, N * SIZE);
        memset(back, 0, sizeof back);
        assert_int_equal(read_file(f, 0, back, sizeof back), sizeof back);
        assert_memory_equal(back, bytes, sizeof back);
        assert_int_equal(file_op(f, ORR_OP_TRUNCATE, 0, 0), 0);
    }
}

static void a_failed_write_is_its_own_and_the_rest_goes_on(void **state) {
    (void)state;
    struct orr_write r[3];
    struct orr_slice part[3];
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    fake.fail_write = EIO;
    for (unsigned i = 0; i < 3; i++) start_write(&r[i], &part[i], f, i, "abc" + i, 1, ORR_W_SYNC);
    go(3);
    assert_int_equal(r[0].req.status, -EIO);
    assert_int_equal(r[1].req.status, 0);
    assert_int_equal(r[2].req.status, 0);
    fake.fail_write = ENOSPC;
    assert_int_equal(write_file(f, 0, "a", 1, ORR_W_SYNC), ORR_EFULL);
    fake.fail_write = EDQUOT;
    assert_int_equal(write_file(f, 0, "a", 1, ORR_W_SYNC), ORR_EFULL);
    fake.fail_write = EINTR;
    assert_int_equal(write_file(f, 0, "a", 1, ORR_W_SYNC), 0);
}

static void a_failed_sync_poisons_its_file_and_no_other(void **state) {
    (void)state;
    struct orr_write r[3];
    struct orr_slice part[3];
    struct orr_file *f = open_file("a", ORR_F_CREATE), *other = open_file("b", ORR_F_CREATE);
    start_write(&r[0], &part[0], f, 0, "x", 1, 0);
    start_write(&r[1], &part[1], f, 1, "x", 1, ORR_W_SYNC);
    start_write(&r[2], &part[2], f, 2, "x", 1, 0);
    fake.fail_sync = true;
    go(3);
    assert_int_equal(r[0].req.status, 0);       /* nothing was promised, nothing is */
    assert_int_equal(r[1].req.status, ORR_EPOISONED);
    assert_int_equal(r[2].req.status, ORR_EPOISONED);
    fake.fail_sync = false;
    assert_int_equal(write_file(f, 0, "x", 1, 0), ORR_EPOISONED);
    assert_int_equal(write_file(f, 0, "x", 1, ORR_W_BULK), ORR_EPOISONED);
    assert_int_equal(file_op(f, ORR_OP_SYNC, 0, 0), ORR_EPOISONED);
    assert_int_equal(file_op(f, ORR_OP_TRUNCATE, 0, 0), ORR_EPOISONED);
    assert_int_equal(write_file(other, 0, "x", 1, ORR_W_SYNC), 0);
    unsigned syncs = fake.syncs;
    assert_int_equal(close_file(f), ORR_EPOISONED);
    assert_int_equal(fake.syncs, syncs);
    assert_int_equal(close_file(other), 0);
    assert_false(orri_linked(&node.loop->disk.files));
}

static void a_bulk_sync_that_fails_poisons_too(void **state) {
    (void)state;
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    assert_int_equal(write_file(f, 0, "x", 1, ORR_W_BULK), 0);
    fake.fail_sync = true;
    assert_int_equal(file_op(f, ORR_OP_SYNC, 0, 0), ORR_EPOISONED);
    fake.fail_sync = false;
    assert_int_equal(write_file(f, 0, "x", 1, ORR_W_SYNC), ORR_EPOISONED);
}

static void a_request_not_begun_can_be_canceled_and_keeps_its_place(void **state) {
    (void)state;
    struct orr_write r[4];
    struct orr_slice part[4];
    char back[4] = { 0 };
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    hold_syncs(true);
    start_write(&r[0], &part[0], f, 0, "a", 1, ORR_W_SYNC);
    orr_loop_step(node.loop, 0);
    wait_until_held();
    for (unsigned i = 1; i < 4; i++) start_write(&r[i], &part[i], f, i, "abcd" + i, 1, ORR_W_SYNC);
    orr_loop_step(node.loop, 0);
    node.w->ops->cancel(node.w, &r[0].req);     /* has begun: not canceled */
    node.w->ops->cancel(node.w, &r[2].req);
    hold_syncs(false);
    go(4);
    for (unsigned i = 0; i < 4; i++) {
        assert_ptr_equal(order[i], &r[i].req);
        assert_int_equal(r[i].req.status, i == 2 ? ORR_ECANCELED : 0);
    }
    assert_int_equal(read_file(f, 0, back, 4), 4);
    assert_memory_equal(back, "ab\0d", 4);
}

static void zeros_are_real_and_end_where_they_should(void **state) {
    (void)state;
    enum { SIZE = (3 << 20) + 12345 };
    struct stat s;
    char path[128], *back = malloc(SIZE);
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    assert_int_equal(write_file(f, 0, "head", 4, 0), 0);
    assert_int_equal(file_op(f, ORR_OP_PREPARE, SIZE, ORR_W_BULK), 0);
    assert_int_equal(fake.writes, 1 + 4);                       /* a piece for each mebibyte begun, not only a size */
    assert_int_equal(file_op(f, ORR_OP_PREPARE, 100, 0), 0);    /* nothing to do */
    assert_int_equal(fake.writes, 1 + 4);
    assert_int_equal(file_op(f, ORR_OP_SYNC, 0, 0), 0);
    snprintf(path, sizeof path, "%s/a", dir);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_size, SIZE);
    assert_true(s.st_blocks * 512 >= SIZE / 4096 * 4096);
    assert_int_equal(read_file(f, 0, back, SIZE), SIZE);
    assert_memory_equal(back, "head", 4);
    for (size_t i = 4; i < SIZE; i++) assert_int_equal(back[i], 0);
    free(back);
}

static void zeros_that_do_not_fit_are_taken_back(void **state) {
    (void)state;
    enum { MIB = 1 << 20 };
    struct stat s;
    char path[128];
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    snprintf(path, sizeof path, "%s/a", dir);
    assert_int_equal(write_file(f, 0, "head", 4, 0), 0);
    fake.fail_fallocate = ENOSPC;                               /* known before anything is written */
    assert_int_equal(file_op(f, ORR_OP_PREPARE, 4 * MIB, 0), ORR_EFULL);
    assert_int_equal(fake.writes, 1);
    fake.fail_fallocate = EOPNOTSUPP;                           /* only writing can tell */
    fake.fail_write = ENOSPC;
    fake.fail_write_after = 2;
    assert_int_equal(file_op(f, ORR_OP_PREPARE, 4 * MIB, 0), ORR_EFULL);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_size, 4);
    assert_int_equal(file_op(f, ORR_OP_PREPARE, 4 * MIB, 0), 0);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_size, 4 * MIB);
}

static void a_log_write_does_not_wait_for_a_bulk_one(void **state) {
    (void)state;
    enum { SIZE = 64 << 20 };
    char *bytes = calloc(1, SIZE);
    struct orr_write bulk, log[2];
    struct orr_slice part[3];
    struct orr_file *snapshot = open_file("snap", ORR_F_CREATE), *f = open_file("log", ORR_F_CREATE);
    start_write(&bulk, &part[0], snapshot, 0, bytes, SIZE, ORR_W_BULK);
    start_write(&log[0], &part[1], f, 0, "x", 1, ORR_W_SYNC);
    go(1);
    assert_ptr_equal(order[0], &log[0].req);
    start_write(&log[1], &part[2], f, 1, "x", 1, ORR_W_SYNC);
    go(3);
    assert_ptr_equal(order[1], &log[1].req);
    assert_ptr_equal(order[2], &bulk.req);
    assert_int_equal(bulk.req.status, 0);
    assert_int_equal(bulk.req.result, SIZE);
    free(bytes);
}

static void requests_of_one_file_keep_their_order_across_lanes(void **state) {
    (void)state;
    struct orr_write r[6];
    struct orr_slice part[6];
    struct orr_file_op sync = { .req.done = note };
    struct orr_read read = { .req.done = note, .size = 6 };
    sync.file = read.file = open_file("a", ORR_F_CREATE);
    for (unsigned i = 0; i < 6; i++)
        start_write(&r[i], &part[i], sync.file, i, "abcdef" + i, 1, i % 2 ? ORR_W_BULK : 0);
    assert_int_equal(node.w->ops->file_op(node.w, &sync, ORR_OP_SYNC), 0);
    assert_int_equal(node.w->ops->read(node.w, &read), 0);
    go(8);
    for (unsigned i = 0; i < 6; i++) assert_ptr_equal(order[i], &r[i].req);
    assert_ptr_equal(order[6], &sync.req);
    assert_ptr_equal(order[7], &read.req);
    assert_int_equal(read.got.size, 6);
    assert_memory_equal(read.got.at, "abcdef", 6);
    orr_drop(read.got);
}

/* -- In the loop --------------------------------------------------------------------------------------------------- */
static void a_lone_write_is_done_in_the_loop_when_syncs_are_quick(void **state) {
    (void)state;
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    struct orr_world_stats stats;
    node.loop->config.sync_now_max = ORR_SECOND;
    assert_int_equal(write_file(f, 0, "x", 1, ORR_W_SYNC | ORR_W_NOW), 0);     /* how quick is not known yet */
    orr_loop_stats(node.loop, &stats);
    assert_int_equal(stats.syncs_now, 0);
    assert_true(stats.sync_time > 0);
    assert_int_equal(write_file(f, 1, "y", 1, ORR_W_SYNC | ORR_W_NOW), 0);
    orr_loop_stats(node.loop, &stats);
    assert_int_equal(stats.syncs_now, 1);
    assert_int_equal(write_file(f, 2, "z", 1, ORR_W_SYNC), 0);                 /* not wished */
    node.loop->config.sync_now_max = 1;                                         /* too slow */
    assert_int_equal(write_file(f, 3, "z", 1, ORR_W_SYNC | ORR_W_NOW), 0);
    orr_loop_stats(node.loop, &stats);
    assert_int_equal(stats.syncs_now, 1);
    assert_int_equal(stats.syncs, 4);
    node.loop->config.sync_now_max = ORR_SECOND;
    fake.fail_sync = true;
    assert_int_equal(write_file(f, 4, "z", 1, ORR_W_SYNC | ORR_W_NOW), ORR_EPOISONED);
    fake.fail_sync = false;
    assert_int_equal(write_file(f, 4, "z", 1, ORR_W_SYNC | ORR_W_NOW), ORR_EPOISONED);
}

static void nothing_is_done_in_the_loop_while_the_disk_works(void **state) {
    (void)state;
    struct orr_file *f = open_file("a", ORR_F_CREATE), *g = open_file("b", ORR_F_CREATE);
    struct orr_world_stats stats;
    struct orr_write r[2];
    struct orr_slice part[2];
    node.loop->config.sync_now_max = ORR_SECOND;
    assert_int_equal(write_file(f, 0, "x", 1, ORR_W_SYNC), 0);
    hold_syncs(true);
    start_write(&r[0], &part[0], g, 0, "x", 1, ORR_W_SYNC);
    orr_loop_step(node.loop, 0);
    wait_until_held();
    start_write(&r[1], &part[1], f, 1, "x", 1, ORR_W_SYNC | ORR_W_NOW);
    orr_loop_step(node.loop, 0);                /* would hang here if it were */
    hold_syncs(false);
    go(n_done + 2);
    orr_loop_stats(node.loop, &stats);
    assert_int_equal(stats.syncs_now, 0);
}

/* -- Names --------------------------------------------------------------------------------------------------------- */
static void names_can_be_listed_renamed_and_removed(void **state) {
    (void)state;
    static const char expected[] = "a\0sub/c\0sub/d\0zz";
    struct orr_name_op list = { 0 }, space = { 0 };
    close_file(open_file("zz", ORR_F_CREATE));
    close_file(open_file("sub/d", ORR_F_CREATE));       /* makes sub */
    close_file(open_file("b", ORR_F_CREATE));
    close_file(open_file("x", ORR_F_CREATE));
    assert_int_equal(rename_file("b", "a"), 0);
    assert_int_equal(rename_file("x", "sub/c"), 0);
    assert_int_equal(rename_file("nothing", "a"), -ENOENT);
    assert_int_equal(name_op(&list, ORR_OP_LIST), 0);
    assert_int_equal(list.names.size, sizeof expected);
    assert_memory_equal(list.names.at, expected, sizeof expected);      /* LOCK is not one of ours */
    assert_int_equal(list.req.result, 4);
    orr_drop(list.names);
    assert_int_equal(name_op(&(struct orr_name_op){ .path = "sub/c" }, ORR_OP_REMOVE), 0);
    assert_int_equal(name_op(&(struct orr_name_op){ .path = "sub/c" }, ORR_OP_REMOVE), -ENOENT);
    assert_int_equal(rename_file("a", "zz"), 0);        /* replaces */
    assert_int_equal(name_op(&(struct orr_name_op){ 0 }, ORR_OP_SYNC_DIR), 0);
    assert_int_equal(name_op(&space, ORR_OP_SPACE), 0);
    assert_true(space.total_bytes >= space.free_bytes && space.total_bytes > 0);
    list = (struct orr_name_op){ 0 };
    assert_int_equal(name_op(&list, ORR_OP_LIST), 0);
    assert_memory_equal(list.names.at, "sub/d\0zz", 9);
    orr_drop(list.names);
}

static void an_empty_directory_has_an_empty_list(void **state) {
    (void)state;
    struct orr_name_op list = { 0 };
    assert_int_equal(name_op(&list, ORR_OP_LIST), 0);
    assert_int_equal(list.names.size, 0);
    orr_drop(list.names);
}

static void names_do_not_lead_out_of_the_directory(void **state) {
    (void)state;
    static const char *const bad[] = { "", "/etc/passwd", "..", ".", "../x", "a/..", "a/b/c", "a/", "/a", "LOCK",
                                       "./x" };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct orr_open r = { .path = bad[i], .flags = ORR_F_CREATE };
        struct orr_name_op n = { .path = bad[i] }, to = { .path = "a", .to = bad[i] };
        assert_int_equal(node.w->ops->open(node.w, &r), ORR_EINVALID);
        assert_int_equal(node.w->ops->name_op(node.w, &n, ORR_OP_REMOVE), ORR_EINVALID);
        assert_int_equal(node.w->ops->name_op(node.w, &to, ORR_OP_RENAME), ORR_EINVALID);
    }
    char path[128];
    snprintf(path, sizeof path, "%s/link", dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    struct orr_open r = { .req.done = note, .path = "link", .flags = ORR_F_READONLY };
    assert_int_equal(node.w->ops->open(node.w, &r), 0);
    go(1);
    assert_int_equal(r.req.status, -ELOOP);
}

static void a_directory_belongs_to_one_loop(void **state) {
    (void)state;
    struct node second;
    struct orr_loop_config config;
    node_config(&second, &config);
    config.dir = dir;
    memset(&second, 0, sizeof second);
    node_new_with(&second, &config);
    assert_int_equal(second.w->ops->open_dir(second.w), ORR_EBUSY);
    struct orr_open r = { .path = "a", .flags = ORR_F_CREATE };
    assert_int_equal(second.w->ops->open(second.w, &r), ORR_EUNAVAILABLE);
    orr_loop_free(node.loop);
    assert_int_equal(second.w->ops->open_dir(second.w), 0);
    orr_loop_free(second.loop);
    node_new(&node, dir);
}

static void the_directory_is_made_with_its_parents(void **state) {
    (void)state;
    struct node deep;
    char path[128];
    struct stat s;
    snprintf(path, sizeof path, "%s/x/y/z/", dir);
    node_new(&deep, path);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0700);
    orr_loop_free(deep.loop);
    assert_int_equal(node.w->ops->open_dir(node.w), 0);         /* a second time changes nothing */
}

static void freeing_waits_for_what_runs_and_drops_the_rest(void **state) {
    (void)state;
    static struct orr_write r[10];
    static struct orr_slice part[10];
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    for (unsigned i = 0; i < 10; i++) {
        start_write(&r[i], &part[i], f, i, "x", 1, ORR_W_SYNC | (i % 3 ? 0 : ORR_W_BULK));
        orr_loop_step(node.loop, 0);
    }
    orr_loop_halt(node.loop);
    orr_loop_halt(node.loop);
    assert_int_equal(node.w->ops->write(node.w, &r[0]), ORR_ECLOSED);
    assert_int_equal(orr_loop_step(node.loop, 0), ORR_ECLOSED);
}

/* Whatever way each of them has come: handed in, waiting, run, or run and not taken. The chunks' pool sees what stays
 * out, the sanitizer what a listing leaves behind. */
static void drop_read(struct orr_req *req) { orr_drop(((struct orr_read *)(void *)req)->got); }
static void drop_list(struct orr_req *req) { orr_drop(((struct orr_name_op *)(void *)req)->names); }

static void freeing_takes_back_what_reads_and_lists_have_got(void **state) {
    (void)state;
    static struct orr_read reads[64];
    static struct orr_name_op lists[8];
    static struct orr_write w;
    static struct orr_slice part;
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    start_write(&w, &part, f, 0, "some", 4, 0);
    for (unsigned i = 0; i < 64; i++) {
        reads[i] = (struct orr_read){ .req.done = drop_read, .file = f, .size = 100 };
        assert_int_equal(node.w->ops->read(node.w, &reads[i]), 0);
        if (i % 8 == 0) {
            lists[i / 8] = (struct orr_name_op){ .req.done = drop_list };
            assert_int_equal(node.w->ops->name_op(node.w, &lists[i / 8], ORR_OP_LIST), 0);
        }
        if (i % 16 == 7) orr_loop_step(node.loop, 0);
    }
    orr_loop_halt(node.loop);
}

/* -- A disk that is really full ------------------------------------------------------------------------------------ */
static void a_full_disk_is_an_answer(void **state) {
    (void)state;
    enum { MIB = 1 << 20 };
    char path[128], *bytes = calloc(8, MIB);
    struct node small;
    struct stat s;
    if (geteuid() != 0) {           /* who may not mount has a limit on the size of files instead */
        struct rlimit before, low = { MIB, MIB };
        getrlimit(RLIMIT_FSIZE, &before);
        low.rlim_max = before.rlim_max;
        struct orr_file *limited = open_file("a", ORR_F_CREATE);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        assert_int_equal(write_file(limited, 0, bytes, 2 * MIB, ORR_W_SYNC), -EFBIG);
        assert_int_equal(write_file(limited, 0, bytes, MIB, ORR_W_SYNC), 0);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        free(bytes);
        return;
    }
    snprintf(path, sizeof path, "%s/small", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mount("tmpfs", path, "tmpfs", 0, "size=4m"), 0);
    struct node kept = node;
    node_new(&small, path);
    node = small;
    node.w->ud = &node;
    struct orr_file *f = open_file("a", ORR_F_CREATE);
    assert_int_equal(write_file(f, 0, bytes, MIB, ORR_W_SYNC), 0);
    assert_int_equal(file_op(f, ORR_OP_PREPARE, 8 * MIB, 0), ORR_EFULL);
    char file[256];
    snprintf(file, sizeof file, "%s/a", path);
    assert_int_equal(stat(file, &s), 0);
    assert_int_equal(s.st_size, MIB);           /* the zeros that fitted were taken back */
    assert_int_equal(write_file(f, MIB, bytes, 8 * MIB, ORR_W_SYNC), ORR_EFULL);
    assert_int_equal(file_op(f, ORR_OP_TRUNCATE, 0, 0), 0);
    assert_int_equal(write_file(f, 0, bytes, MIB, ORR_W_SYNC), 0);      /* not poisoned, and there is room again */
    assert_int_equal(write_file(f, 0, bytes, 8 * MIB, ORR_W_BULK), ORR_EFULL);
    assert_int_equal(close_file(f), 0);
    orr_loop_free(node.loop);
    node = kept;
    node.w->ud = &node;
    assert_int_equal(umount(path), 0);
    free(bytes);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(what_was_written_is_read),
        T(an_open_that_fails_leaves_nothing),
        T(writes_of_a_turn_are_one_write_and_one_sync),
        T(what_comes_while_a_sync_runs_shares_the_next),
        T(stretches_apart_are_written_apart_and_synced_together),
        T(many_parts_and_short_writes_are_gone_on_with),
        T(a_failed_write_is_its_own_and_the_rest_goes_on),
        T(a_failed_sync_poisons_its_file_and_no_other),
        T(a_bulk_sync_that_fails_poisons_too),
        T(a_request_not_begun_can_be_canceled_and_keeps_its_place),
        T(zeros_are_real_and_end_where_they_should),
        T(zeros_that_do_not_fit_are_taken_back),
        T(a_log_write_does_not_wait_for_a_bulk_one),
        T(requests_of_one_file_keep_their_order_across_lanes),
        T(a_lone_write_is_done_in_the_loop_when_syncs_are_quick),
        T(nothing_is_done_in_the_loop_while_the_disk_works),
        T(names_can_be_listed_renamed_and_removed),
        T(an_empty_directory_has_an_empty_list),
        T(names_do_not_lead_out_of_the_directory),
        T(a_directory_belongs_to_one_loop),
        T(the_directory_is_made_with_its_parents),
        T(freeing_waits_for_what_runs_and_drops_the_rest),
        T(freeing_takes_back_what_reads_and_lists_have_got),
        T(a_full_disk_is_an_answer),
    };
    return cmocka_run_group_tests_name("loop.file", tests, NULL, NULL);
}
