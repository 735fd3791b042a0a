/* wal.c - a batch appended to the log and synced, against the bare limit: pwrite and fdatasync of as many bytes, one
 * behind the other over a zeroed file. Through core/storage and core/loop, one batch at a time.
 *
 *     cc -O2 -Icore/include -Icore -o wal spec/bench/wal.c build/release/liborrery.a -levent_core -levent_pthreads \
 *        -lxxhash -lmd -lz -lpthread
 *     wal DIRECTORY [ROUNDS]
 *
 * A line for each shape (entries in a batch, bytes of an entry): bytes of a write, the medians of both in microseconds,
 * and the median over the rounds of their ratio, with its range. A round is RUN batches and then RUN bare writes, so
 * that what slows the disk for a while slows both. Before the first round the log has prepared its segments; from then
 * on it goes round in those. */
#define _GNU_SOURCE
#include <orrery/loop.h>

#include "storage/storage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RUN = 200, ROUNDS_MAX = 101, ENTRIES_MAX = 256, FILE_BYTES = 64 << 20 };

static unsigned char bytes[FILE_BYTES];

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}
static void fail(const char *what) {
    perror(what);
    exit(2);
}
static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, size_t n) {
    qsort(v, n, sizeof *v, by_size);
    return v[n / 2];
}

/* -- The limit ----------------------------------------------------------------------------------------------------- */
static int limit_open(const char *dir) {
    char path[4096];
    snprintf(path, sizeof path, "%s/limit", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || unlink(path) < 0) fail(path);
    memset(bytes, 0, sizeof bytes);
    if (pwrite(fd, bytes, sizeof bytes, 0) != sizeof bytes || fsync(fd) < 0) fail("zeros");
    memset(bytes, 1, sizeof bytes);
    return fd;
}

static double limit_run(int fd, size_t size, off_t *at) {
    double took[RUN];
    for (size_t i = 0; i < RUN; i++) {
        if (*at + (off_t)size > FILE_BYTES) *at = 0;
        double from = now_us();
        if (pwrite(fd, bytes, size, *at) != (ssize_t)size || fdatasync(fd) < 0) fail("pwrite, fdatasync");
        took[i] = now_us() - from;
        *at += (off_t)size;
    }
    return median(took, RUN);
}

/* -- The log ------------------------------------------------------------------------------------------------------- */
struct log {
    struct orr_loop *loop;
    struct orr_world *w;
    struct orr_storage *s;
    size_t n_entries, entry_bytes;
    orr_index last;
    double from, took[RUN];
    size_t n, wanted;               /* batches of this run: stored, wanted */
    bool opened;
};

static void append(struct log *l) {
    struct orr_entry entries[ENTRIES_MAX];
    for (size_t i = 0; i < l->n_entries; i++)
        entries[i] = (struct orr_entry){ .index = ++l->last, .term = 1, .kind = ORR_ENTRY_DATA,
                                         .data = orr_borrow(bytes, l->entry_bytes) };
    struct orr_store store = { .id = l->last, .entries = entries, .n_entries = l->n_entries, .urgent = true };
    l->from = now_us();
    if (orri_storage_store(l->s, 1, &store) < 0) fail("store");
}

static void wake(void *ud) {
    struct log *l = ud;
    struct orri_storage_done d;
    for (struct orr_req *req; (req = l->w->ops->take(l->w));) req->done(req);
    while (orri_storage_take(l->s, &d)) {
        if (d.status < 0) {
            fprintf(stderr, "%s: %s\n", orr_strerror(d.status), d.text ? d.text : "");
            exit(2);
        }
        if (d.kind == ORR_TAKE_OPENED) l->opened = true;
        if (d.kind != ORR_TAKE_STORED) continue;
        l->took[l->n++] = now_us() - l->from;
        orri_storage_release(l->s, 1, l->last);
        if (l->n < l->wanted) append(l);
    }
    orri_storage_flush(l->s);
}

static void step(struct log *l) {
    if (orr_loop_step(l->loop, 10 * ORR_MS) < 0) fail("loop");
}

static double log_run(struct log *l, size_t n) {
    l->n = 0;
    l->wanted = n;
    append(l);
    orri_storage_flush(l->s);
    while (l->n < n) step(l);
    return median(l->took, n);
}

/* Open, and with its segments prepared: what is measured then is appending. */
static void log_open(struct log *l, const char *dir) {
    struct orr_loop_config config;
    struct orr_storage_config cfg;
    struct orri_storage_stats stats = { 0 };
    orr_loop_config_init(&config);
    config.dir = dir;
    if (orr_loop_new(&l->loop, &config) < 0) fail("loop");
    l->w = orr_loop_world(l->loop);
    l->w->wake = wake;
    l->w->ud = l;
    orri_storage_config_init(&cfg);
    cfg.segment_bytes = FILE_BYTES;
    if (l->w->ops->open_dir(l->w) < 0 || orri_storage_new(&l->s, l->w, &cfg) < 0) fail("storage");
    while (!l->opened) step(l);
    (void)log_run(l, 1);
    while (stats.segments_spare < cfg.segments_ahead || !orri_storage_idle(l->s)) {
        step(l);
        orri_storage_stats(l->s, &stats);
    }
}

static void shape(const char *dir, size_t n_entries, size_t entry_bytes, size_t rounds) {
    struct log l = { .n_entries = n_entries, .entry_bytes = entry_bytes };
    struct orri_storage_stats before, after;
    char path[4096], command[4200];
    double ours[ROUNDS_MAX], bare[ROUNDS_MAX], ratio[ROUNDS_MAX];
    off_t at = 0;
    snprintf(path, sizeof path, "%s/log", dir);
    int fd = limit_open(dir);
    log_open(&l, path);
    orri_storage_stats(l.s, &before);
    (void)log_run(&l, RUN);
    orri_storage_stats(l.s, &after);
    size_t size = (size_t)((after.bytes_written - before.bytes_written) / (after.writes - before.writes));
    (void)limit_run(fd, size, &at);
    for (size_t i = 0; i < rounds; i++) {
        ours[i] = log_run(&l, RUN);
        bare[i] = limit_run(fd, size, &at);
        ratio[i] = ours[i] / bare[i];
    }
    double middle = median(ratio, rounds);
    printf("%3zu entries of %4zu bytes, a write of %7zu: %7.1f us, the limit %7.1f us, ratio %.2f (%.2f to %.2f)\n",
           n_entries, entry_bytes, size, median(ours, rounds), median(bare, rounds), middle, ratio[0],
           ratio[rounds - 1]);
    fflush(stdout);
    close(fd);
    while (!orri_storage_idle(l.s)) step(&l);
    orri_storage_free(l.s);
    orr_loop_free(l.loop);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0) fail(command);
}

int main(int argc, char **argv) {
    size_t rounds = argc > 2 ? (size_t)atoi(argv[2]) : 7;
    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: wal DIRECTORY [ROUNDS, 1 to %d]\n", ROUNDS_MAX);
        return 2;
    }
    (void)mkdir(argv[1], 0700);
    shape(argv[1], 1, 64, rounds);
    shape(argv[1], 1, 4000, rounds);
    shape(argv[1], 16, 1000, rounds);
    shape(argv[1], 256, 64, rounds);
    shape(argv[1], 256, 4000, rounds);
    return 0;
}
