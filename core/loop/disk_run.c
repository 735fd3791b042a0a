/* disk_run.c - what the threads of the disk do with a file's requests. No lock is held here, the file is the caller's.
 *
 * A request that has failed, or was cancelled, has its status set and is passed by. A failed sync poisons the file: the
 * kernel may have dropped the pages that it could not write and marked them clean: a second sync that succeeds proves
 * nothing (Rebello et al., "Can applications recover from fsync failures?", 2020).                                   */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/inner.h"

enum { PIECE = 1 << 20, PARTS_MAX = 1024, ZEROS = 64 << 10, BATCH_WRITE_MAX = 16 << 20 };

static ssize_t real_pwritev(int fd, const struct iovec *parts, int n, off_t at) { return pwritev(fd, parts, n, at); }
static ssize_t real_pread(int fd, void *to, size_t size, off_t at) { return pread(fd, to, size, at); }
static int real_ftruncate(int fd, off_t size) { return ftruncate(fd, size); }
static int real_fallocate(int fd, int mode, off_t at, off_t size) { return fallocate(fd, mode, at, size); }
const struct orri_system orri_system_real = {
    real_pwritev, real_pread, fdatasync, fsync, real_ftruncate, real_fallocate,
};

int orri_errno(void) { return errno == ENOSPC || errno == EDQUOT ? ORR_EFULL : -errno; }

/* -- Syncs --------------------------------------------------------------------------------------------------------- */
static int sync_file(struct orri_disk *disk, struct orr_file *file) {
    int failed;
    do failed = disk->system->fdatasync(file->fd);
    while (failed && errno == EINTR);
    atomic_fetch_add(&disk->syncs, 1);
    if (!failed) return 0;
    file->poisoned = true;
    return ORR_EPOISONED;
}

/* The average tells whether the loop may sync itself, so only the quick lane's syncs count. */
static int sync_timed(struct orri_disk *disk, struct orr_file *file) {
    orr_time begun = orri_boottime();
    int error = sync_file(disk, file);
    orr_time took = orri_boottime() - begun, average = atomic_load(&disk->sync_time);
    if (took < 1) took = 1;
    average = average == 0 ? took : average + (took - average) / 8;
    atomic_store(&disk->sync_time, average < 1 ? 1 : average);
    return error;
}

static bool wants_sync(const struct orr_req *req) {
    if (req->op == ORR_OP_SYNC) return true;
    return req->op == ORR_OP_WRITE && (((const struct orr_write *)(const void *)req)->flags & ORR_W_SYNC);
}

/* -- Writes -------------------------------------------------------------------------------------------------------- */
static struct orr_write *as_write(struct orr_req *req) { return (struct orr_write *)(void *)req; }

/* The next write that still has bytes to go; req->result is how many are done. */
static struct orr_req *write_next(struct orr_req *req) {
    while (req && (req->op != ORR_OP_WRITE || req->status != 0 || req->result == orri_write_size(as_write(req))))
        req = req->next;
    return req;
}

/* Adds the parts of one write from its byte `result` on, up to `room` bytes; gives how many. */
static size_t gather_parts(const struct orr_write *r, struct iovec *parts, size_t *n, size_t room) {
    uint64_t skip = r->req.result;
    size_t got = 0;
    for (size_t i = 0; i < r->n_parts && *n < PARTS_MAX && got < room; i++) {
        size_t size = r->parts[i].size;
        if (skip >= size) {
            skip -= size;
            continue;
        }
        size -= skip;
        if (size > room - got) size = room - got;
        parts[*n] = (struct iovec){ (void *)(uintptr_t)(r->parts[i].at + skip), size };
        ++*n;
        got += size;
        skip = 0;
    }
    return got;
}

/* One system call for the stretch of the file that begins with req: writes that follow one another there,
 * whatever other requests lie between. */
static ssize_t write_stretch(struct orri_disk *disk, struct orr_file *file, struct orr_req *req, size_t room) {
    struct iovec parts[PARTS_MAX];
    const uint64_t from = as_write(req)->at + req->result;
    uint64_t at = from;
    size_t n = 0;
    for (; req && n < PARTS_MAX && at - from < room; req = write_next(req->next)) {
        const struct orr_write *r = as_write(req);
        if (r->at + req->result != at) break;
        at += gather_parts(r, parts, &n, room - (size_t)(at - from));
        if (r->at + orri_write_size(r) != at) break;
    }
    if (from > (uint64_t)INT64_MAX) return errno = EFBIG, -1;
    atomic_fetch_add(&disk->writes, 1);
    ssize_t done = disk->system->pwritev(file->fd, parts, (int)n, (off_t)from);
    return done == 0 ? (errno = EIO, -1) : done;
}

/* Writes at most one stretch of `room` bytes; a failure is the first request's alone. */
static void write_once(struct orri_disk *disk, struct orr_file *file, struct orr_req *req, size_t room) {
    ssize_t n = write_stretch(disk, file, req, room);
    if (n < 0) {
        if (errno != EINTR) req->status = orri_errno();
        return;
    }
    for (uint64_t left = (uint64_t)n; left > 0; req = write_next(req)) {
        uint64_t missing = orri_write_size(as_write(req)) - req->result, part = left < missing ? left : missing;
        req->result += part;
        left -= part;
    }
}

void orri_run_quick(struct orri_disk *disk, struct orr_file *file, struct orri_list *batch) {
    bool sync = false;
    for (struct orr_req *req = batch->first; req; req = req->next)
        if (file->poisoned && req->status == 0) req->status = ORR_EPOISONED;
    for (struct orr_req *req = write_next(batch->first); req; req = write_next(req))
        write_once(disk, file, req, BATCH_WRITE_MAX);
    for (const struct orr_req *req = batch->first; req; req = req->next)
        sync = sync || (req->status == 0 && wants_sync(req));
    if (!sync || sync_timed(disk, file) == 0) return;
    bool after = false;             /* what comes before the first that wanted the sync was promised nothing */
    for (struct orr_req *req = batch->first; req; req = req->next) {
        after = after || wants_sync(req);
        if (after && req->status == 0) req->status = ORR_EPOISONED;
    }
}

/* -- The slow ones: each call does a piece, and true means that the request is over -------------------------------- */
/* Bytes of a bulk write leave for the disk soon, so that the sync at the end has little left to do and the disk's queue
 * is never long: a mebibyte that is full is started, the one before it waited for. No promise rests on this. */
static void bulk_push(struct orr_file *file, uint64_t at, size_t size) {
    uint64_t full = (at + size) / PIECE * PIECE;
    file->bulk_dirty = true;
    if (full <= at || full < PIECE) return;
    sync_file_range(file->fd, (off_t)(full - PIECE), PIECE, SYNC_FILE_RANGE_WRITE);
    if (full < 2 * PIECE) return;
    sync_file_range(file->fd, (off_t)(full - 2 * PIECE), PIECE,
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

static int sync_slow(struct orri_disk *disk, struct orr_file *file) {
    file->bulk_dirty = false;
    return sync_file(disk, file);
}

static bool run_write(struct orri_disk *disk, struct orr_file *file, struct orr_write *r) {
    uint64_t before = r->req.result;
    struct orr_req *alone = write_next(&r->req);
    if (alone == &r->req) write_once(disk, file, alone, PIECE);
    uint64_t done = r->req.result - before;
    if ((r->flags & ORR_W_BULK) && done > 0) bulk_push(file, r->at + before, (size_t)done);
    if (r->req.status == 0 && r->req.result < orri_write_size(r)) return false;
    if (r->req.status == 0 && (r->flags & ORR_W_SYNC)) r->req.status = sync_slow(disk, file);
    return true;
}

static bool run_read(struct orri_disk *disk, struct orr_file *file, struct orr_read *r) {
    size_t left = r->size - (size_t)r->req.result;
    ssize_t n = left == 0 ? 0
                          : disk->system->pread(file->fd, r->got.chunk->at + r->req.result, left < PIECE ? left : PIECE,
                                                (off_t)(r->at + r->req.result));
    if (n < 0 && errno == EINTR) return false;
    if (n < 0) r->req.status = orri_errno();
    if (n > 0) r->req.result += (uint64_t)n;
    return n <= 0 || r->req.result == r->size;
}

/* Zeros from the end of the file on. `result` counts them, so where the file ended before is known when one fails. */
static bool run_prepare(struct orri_disk *disk, struct orr_file *file, struct orr_file_op *r) {
    static const unsigned char zeros[ZEROS];
    struct iovec parts[PIECE / ZEROS];
    struct stat now;
    if (fstat(file->fd, &now) != 0) return r->req.status = orri_errno(), true;
    uint64_t size = (uint64_t)now.st_size, left = r->at > size ? r->at - size : 0;
    if (left == 0) return true;
    if (r->req.result == 0 && disk->system->fallocate(file->fd, FALLOC_FL_KEEP_SIZE, now.st_size, (off_t)left) != 0 &&
        (errno == ENOSPC || errno == EDQUOT)) {
        r->req.status = ORR_EFULL;  /* known before any zero is written; where it can't be asked, writing tells */
        return true;
    }
    int n = 0;
    for (uint64_t piece = left < PIECE ? left : PIECE; piece > 0; n++) {
        parts[n] = (struct iovec){ (void *)(uintptr_t)zeros, piece < ZEROS ? (size_t)piece : ZEROS };
        piece -= parts[n].iov_len;
    }
    ssize_t done = disk->system->pwritev(file->fd, parts, n, now.st_size);
    atomic_fetch_add(&disk->writes, 1);
    if (done < 0 && errno == EINTR) return false;
    if (done <= 0) {
        r->req.status = done < 0 ? orri_errno() : -EIO;
        if (disk->system->ftruncate(file->fd, now.st_size - (off_t)r->req.result) == 0) r->req.result = 0;
        return true;
    }
    r->req.result += (uint64_t)done;
    bulk_push(file, size, (size_t)done);
    return (uint64_t)done == left;
}

static int run_open(struct orri_disk *disk, struct orr_file *file, struct orr_open *r) {
    struct stat now;
    file->fd = orri_names_open(disk, r);
    if (file->fd < 0) return orri_errno();
    if (fstat(file->fd, &now) != 0) return orri_errno();
    if (!S_ISREG(now.st_mode)) return ORR_EINVALID;
    r->size = (uint64_t)now.st_size;
    return 0;
}

static int run_close(struct orr_file *file) {
    int fd = file->fd;
    file->fd = -1;
    return fd >= 0 && close(fd) != 0 && errno != EINTR ? orri_errno() : 0;
}

static int run_truncate(struct orri_disk *disk, struct orr_file *file, uint64_t at) {
    int failed;
    if (at > (uint64_t)INT64_MAX) return -EFBIG;
    do failed = disk->system->ftruncate(file->fd, (off_t)at);
    while (failed && errno == EINTR);
    return failed ? orri_errno() : 0;
}

bool orri_run_slow(struct orri_disk *disk, struct orr_file *file, struct orr_req *req) {
    struct orr_file_op *op = (struct orr_file_op *)(void *)req;
    if (file->poisoned) {
        req->status = ORR_EPOISONED;
        if (req->op == ORR_OP_CLOSE) (void)run_close(file);
        return true;
    }
    switch (req->op) {
    case ORR_OP_WRITE: return run_write(disk, file, as_write(req));
    case ORR_OP_READ: return run_read(disk, file, (struct orr_read *)(void *)req);
    case ORR_OP_PREPARE: return run_prepare(disk, file, op);
    case ORR_OP_OPEN: req->status = run_open(disk, file, (struct orr_open *)(void *)req); break;
    case ORR_OP_SYNC: req->status = sync_slow(disk, file); break;
    case ORR_OP_TRUNCATE: req->status = run_truncate(disk, file, op->at); break;
    case ORR_OP_CLOSE: req->status = run_close(file); break;
    default:
        req->status = orri_names_run(disk, req);
        file->poisoned = req->status == ORR_EPOISONED;
        break;
    }
    return true;
}
