/* wal.c - the log against the machine's limit: pwrite and fdatasync of 4 KiB over a zeroed file, in the same run.
 *
 *     cc -O2 -Icore/include -Icore -o wal spec/bench/wal.c build/release/liborrery.a -levent_core -levent_pthreads \
 *        -lxxhash -lpthread
 *     wal DIRECTORY [SECONDS]
 *
 * A line for each shape: stores in flight, bytes of an entry; syncs and stores a second,
 * the median time from hand-in to "stored", and that time over the limit's. */
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

enum { IN_FLIGHT_MAX = 256, SAMPLES_MAX = 1 << 20 };

static double samples[SAMPLES_MAX];
static size_t n_samples;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static void fail(const char *what) {
    perror(what);
    exit(2);
}
static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}
static double median(void) {
    qsort(samples, n_samples, sizeof *samples, by_size);
    return n_samples ? samples[n_samples / 2] : 0;
}

/* -- The limit ----------------------------------------------------------------------------------------------------- */
static double limit(const char *dir, double time) {
    static unsigned char block[1 << 20];
    char path[4096];
    snprintf(path, sizeof path, "%s/limit", dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) fail(path);
    for (int i = 0; i < 64; i++) {
        if (pwrite(fd, block, sizeof block, (off_t)i << 20) < 0) fail("pwrite");
    }
    if (fsync(fd) != 0) fail("fsync");
    memset(block, 1, 4096);
    n_samples = 0;
    double begin = seconds(), before = begin;
    for (off_t at = 0; before - begin < time && n_samples < SAMPLES_MAX; at = (at + 4096) & ((64 << 20) - 1)) {
        if (pwrite(fd, block, 4096, at) != 4096 || fdatasync(fd) != 0) fail("pwrite, fdatasync");
        double after = seconds();
        samples[n_samples++] = after - before;
        before = after;
    }
    double rate = (double)n_samples / (before - begin);
    printf("limit: %.0f syncs/s, median %.1f us\n", rate, median() * 1e6);
    close(fd);
    unlink(path);
    return median();
}

/* -- The storage --------------------------------------------------------------------------------------------------- */
struct bench {
    struct orr_world *w;
    struct orr_storage *s;
    unsigned in_flight_max;
    size_t entry_bytes;
    double time, begin, end;
    bool opened;
    orr_index next[IN_FLIGHT_MAX + 1];
    double handed_in[IN_FLIGHT_MAX + 1];
    uint64_t stored;
    struct orri_storage_stats before;
};

/* One group for each store in flight, as a node with many groups would have. */
static void hand_in(struct bench *b, uint32_t group) {
    static const unsigned char bytes[1 << 16];
    struct orr_entry entry = { .index = ++b->next[group], .term = 1, .kind = ORR_ENTRY_DATA,
                               .data = orr_borrow(bytes, b->entry_bytes) };
    struct orr_store store = { .id = entry.index, .entries = &entry, .n_entries = 1, .urgent = b->in_flight_max == 1 };
    b->handed_in[group] = seconds();
    if (orri_storage_store(b->s, group, &store) < 0) fail("store");
    if (entry.index % 64 == 0) orri_storage_release(b->s, group, entry.index - 32);
}

static void wake(void *ud) {
    struct bench *b = ud;
    struct orri_storage_done d;
    for (struct orr_req *req; (req = b->w->ops->take(b->w));) req->done(req);
    while (orri_storage_take(b->s, &d)) {
        if (d.status < 0) {
            fprintf(stderr, "%s: %s\n", orr_strerror(d.status), d.text ? d.text : "");
            exit(2);
        }
        if (d.kind == ORR_TAKE_OPENED) {
            b->opened = true;
            for (uint32_t i = 1; i <= b->in_flight_max; i++) hand_in(b, i);
        }
        if (d.kind != ORR_TAKE_STORED) continue;
        double now = seconds();
        if (b->stored++ == 1000) {              /* the segments ahead are there by now */
            b->begin = now;
            n_samples = 0;
            orri_storage_stats(b->s, &b->before);
        }
        if (n_samples < SAMPLES_MAX) samples[n_samples++] = now - b->handed_in[d.group];
        if (b->begin == 0 || now - b->begin < b->time) hand_in(b, d.group);
        else b->end = now;
    }
    orri_storage_flush(b->s);
    if (b->end > 0 && orri_storage_idle(b->s)) b->w->ops->stop(b->w, 0, "done");
}

static void shape(const char *dir, unsigned in_flight, size_t entry_bytes, double time, double limit_time) {
    struct bench b = { .in_flight_max = in_flight, .entry_bytes = entry_bytes, .time = time };
    struct orr_loop_config config;
    struct orr_loop *loop;
    char path[4096], command[4200];
    snprintf(path, sizeof path, "%s/log", dir);
    orr_loop_config_init(&config);
    config.dir = path;
    if (orr_loop_new(&loop, &config) != 0) fail("loop");
    b.w = orr_loop_world(loop);
    b.w->wake = wake;
    b.w->ud = &b;
    struct orr_storage_config cfg;
    orri_storage_config_init(&cfg);
    if (b.w->ops->open_dir(b.w) < 0 || orri_storage_new(&b.s, b.w, &cfg) < 0) fail("storage");
    (void)orr_loop_run(loop);
    struct orri_storage_stats after;
    orri_storage_stats(b.s, &after);
    double took = b.end - b.begin, syncs = (double)(after.syncs - b.before.syncs) / took;
    double half = median();
    printf("%3u in flight, %5zu bytes: %6.0f syncs/s, %8.0f stores/s, median %6.1f us, %.2f x the limit's time, %u "
           "segments\n",
           in_flight, entry_bytes, syncs, (double)(b.stored - 1000) / took, half * 1e6, half / limit_time,
           after.segments);
    orri_storage_free(b.s);
    orr_loop_free(loop);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0) fail(command);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: wal DIRECTORY [SECONDS]\n");
        return 2;
    }
    double time = argc > 2 ? atof(argv[2]) : 3;
    (void)mkdir(argv[1], 0700);
    double limit_time = limit(argv[1], time);
    shape(argv[1], 1, 64, time, limit_time);
    shape(argv[1], 1, 4000, time, limit_time);
    shape(argv[1], 16, 1000, time, limit_time);
    shape(argv[1], 256, 64, time, limit_time);
    shape(argv[1], 256, 4000, time, limit_time);
    return 0;
}
