/* disk.c - the two threads that run requests for files, and what goes to which.
 *
 * A file's requests wait in its own queue and run one batch after another, so their order is kept whoever runs them. A
 * file that has something to run stands in one of two lanes, by what comes first in its queue:
 *   quick   small writes and their syncs: the log. All that wait become one batch, with one write for each stretch and
 *           one sync for all (group commit), so those that come while a sync runs share the next.
 *   slow    everything that may take long: bulk writes, zeros, reads of cold pages, names, and syncs of files with bulk
 *           bytes unsynced. It is done in pieces of a mebibyte, file by file in turns; before a bulk piece it waits a
 *           little for the quick lane to be calm. So a log write never waits for a snapshot.
 *
 * One lock guards queues, lanes and flags; a running file belongs to the thread that runs it. Results are pushed under
 * the lock, after the last touch of the file, for the loop may free the file as soon as it has seen its CLOSE.
 *
 * ORR_W_NOW: on the loop's own thread a write and sync of ~80 us costs less than handing it over and being woken, but
 * only where nobody else has to wait meanwhile. The conditions are in may_write_now.                                 */
#define _GNU_SOURCE
#include <errno.h>
#include <time.h>

#include "loop/inner.h"

#define BULK_WAITS (2 * ORR_MS)
enum { BATCH_BYTES = 16 << 20, NOW_BYTES = 64 << 10, NOW_EVENTS = 2 };

/* -- Which file, which lane ---------------------------------------------------------------------------------------- */
struct orr_file *orri_file_of(struct orri_disk *disk, const struct orr_req *req) {
    switch (req->op) {
    case ORR_OP_OPEN: return ((const struct orr_open *)(const void *)req)->file;
    case ORR_OP_READ: return ((const struct orr_read *)(const void *)req)->file;
    case ORR_OP_WRITE: return ((const struct orr_write *)(const void *)req)->file;
    case ORR_OP_SYNC:
    case ORR_OP_TRUNCATE:
    case ORR_OP_PREPARE:
    case ORR_OP_CLOSE: return ((const struct orr_file_op *)(const void *)req)->file;
    default: return &disk->names;
    }
}

uint64_t orri_write_size(const struct orr_write *r) {
    uint64_t size = 0;
    for (size_t i = 0; i < r->n_parts; i++) size += r->parts[i].size;
    return size;
}

static bool is_bulk(const struct orr_req *req) {
    if (req->op == ORR_OP_WRITE) return ((const struct orr_write *)(const void *)req)->flags & ORR_W_BULK;
    if (req->op == ORR_OP_PREPARE) return ((const struct orr_file_op *)(const void *)req)->flags & ORR_W_BULK;
    return false;
}

static unsigned lane_of(const struct orr_file *file, const struct orr_req *req) {
    if (file->bulk_dirty) return SLOW;
    if (req->op == ORR_OP_SYNC) return QUICK;
    return req->op == ORR_OP_WRITE && !is_bulk(req) ? QUICK : SLOW;
}

/* -- Lanes; all under the lock ------------------------------------------------------------------------------------- */
static void schedule(struct orri_disk *disk, struct orr_file *file) {
    if (file->in_lane || file->running || !file->waiting.first) return;
    struct orri_lane *lane = &disk->lanes[lane_of(file, file->waiting.first)];
    file->in_lane = true;
    file->next = NULL;
    if (lane->last) lane->last->next = file;
    else lane->first = file;
    lane->last = file;
    disk->active++;
    pthread_cond_signal(&lane->work);
}

static struct orr_file *lane_pop(struct orri_lane *lane) {
    struct orr_file *file = lane->first;
    lane->first = file->next;
    if (!lane->first) lane->last = NULL;
    file->in_lane = false;
    return file;
}

/* Takes what is to be run together from the head of the file's queue. What was cancelled before it began passes through
 * with its status, so that the order of completions stays. */
static struct orri_list batch_take(struct orri_disk *disk, struct orr_file *file, unsigned lane) {
    struct orri_list batch = { NULL, NULL };
    uint64_t bytes = 0;
    do {
        struct orr_req *req = orri_list_pop(&file->waiting);
        if ((req->cancel && req->result == 0) || disk->stopping) req->status = ORR_ECANCELED;
        if (req->op == ORR_OP_WRITE) bytes += orri_write_size((struct orr_write *)(void *)req);
        orri_list_add(&batch, req);
    } while (lane == QUICK && bytes < BATCH_BYTES && file->waiting.first &&
             lane_of(file, file->waiting.first) == QUICK);
    return batch;
}

static void put_back(struct orr_file *file, struct orr_req *req) {
    req->next = file->waiting.first;
    file->waiting.first = req;
    if (!file->waiting.last) file->waiting.last = req;
}

/* A bulk piece lets the quick lane go first, but not for ever. */
static void wait_for_calm(struct orri_disk *disk) {
    struct orri_lane *quick = &disk->lanes[QUICK];
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += BULK_WAITS;
    if (until.tv_nsec >= ORR_SECOND) until.tv_sec++, until.tv_nsec -= ORR_SECOND;
    while ((quick->busy || quick->first) && !disk->stopping)
        if (pthread_cond_timedwait(&disk->calm, &disk->lock, &until) != 0) return;
}

/* -- The threads --------------------------------------------------------------------------------------------------- */
static bool run_batch(struct orri_disk *disk, struct orr_file *file, struct orri_list *batch, unsigned lane) {
    bool over = true;
    if (lane == QUICK) orri_run_quick(disk, file, batch);
    else if (batch->first->status == 0) over = orri_run_slow(disk, file, batch->first);
    orr_time ended = orri_boottime();
    for (struct orr_req *req = batch->first; req; req = req->next) req->ended = ended;
    return over;
}

static void lane_turn(struct orri_lane *lane, unsigned kind) {
    struct orri_disk *disk = &lane->loop->disk;
    struct orr_file *file = lane_pop(lane);
    file->running = lane->busy = true;
    if (is_bulk(file->waiting.first)) wait_for_calm(disk);
    struct orri_list batch = batch_take(disk, file, kind);
    pthread_mutex_unlock(&disk->lock);

    bool over = run_batch(disk, file, &batch, kind);

    pthread_mutex_lock(&disk->lock);
    if (!over) put_back(file, orri_list_pop(&batch));
    file->running = false;
    disk->active--;
    schedule(disk, file);
    orri_done_push(lane->loop, &batch);     /* from here on the file may be gone */
    if (disk->stopping)
        for (unsigned i = 0; i < N_LANES; i++) pthread_cond_signal(&disk->lanes[i].work);
    pthread_mutex_unlock(&disk->lock);
    if (over) orri_done_ring(lane->loop);
    pthread_mutex_lock(&disk->lock);
}

static void *lane_run(void *arg) {
    struct orri_lane *lane = arg;
    struct orri_disk *disk = &lane->loop->disk;
    unsigned kind = lane == &disk->lanes[QUICK] ? QUICK : SLOW;
    pthread_mutex_lock(&disk->lock);
    while (lane->first || !disk->stopping || disk->active > 0) {
        if (lane->first) {
            lane_turn(lane, kind);
            continue;
        }
        lane->busy = false;
        if (kind == QUICK) pthread_cond_broadcast(&disk->calm);
        pthread_cond_wait(&lane->work, &disk->lock);
    }
    pthread_mutex_unlock(&disk->lock);
    return NULL;
}

static void disk_init(struct orr_loop *loop) {
    struct orri_disk *disk = &loop->disk;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&disk->calm, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (unsigned i = 0; i < N_LANES; i++) {
        disk->lanes[i].loop = loop;
        pthread_cond_init(&disk->lanes[i].work, NULL);
    }
}

static void disk_join(struct orri_disk *disk, unsigned n_lanes) {
    pthread_mutex_lock(&disk->lock);
    disk->stopping = true;
    for (unsigned i = 0; i < n_lanes; i++) pthread_cond_signal(&disk->lanes[i].work);
    pthread_cond_broadcast(&disk->calm);
    pthread_mutex_unlock(&disk->lock);
    for (unsigned i = 0; i < n_lanes; i++) pthread_join(disk->lanes[i].thread, NULL);
    for (unsigned i = 0; i < N_LANES; i++) pthread_cond_destroy(&disk->lanes[i].work);
    pthread_cond_destroy(&disk->calm);
    disk->running = disk->stopping = false;
}

int orri_disk_start(struct orr_loop *loop) {
    struct orri_disk *disk = &loop->disk;
    if (disk->running) return 0;
    disk_init(loop);
    for (unsigned i = 0; i < N_LANES; i++) {
        int error = orri_thread_start(&disk->lanes[i].thread, lane_run, &disk->lanes[i]);
        if (error != 0) {
            disk_join(disk, i);
            return error;
        }
    }
    disk->running = true;
    return 0;
}

void orri_disk_halt(struct orr_loop *loop) {
    struct orri_disk *disk = &loop->disk;
    orri_file_drop(&disk->submitted);
    if (disk->running) disk_join(disk, N_LANES);    /* what waited has become canceled, and finished */
}

/* -- From the loop ------------------------------------------------------------------------------------------------- */
/* Worth it and harmless: the disk is idle, its syncs are quick, this is one small batch for one file, the turn had
 * little to do, and nothing has become ready meanwhile (which is looked up last, for it is a system call). */
static bool may_write_now(struct orr_loop *loop) {
    struct orri_disk *disk = &loop->disk;
    const struct orr_file *file = orri_file_of(disk, disk->submitted.first);
    orr_time sync_time = atomic_load(&disk->sync_time);
    uint64_t bytes = 0;
    bool wanted = false;
    if (disk->under_way > 0 || sync_time == 0 || sync_time > loop->config.sync_now_max) return false;
    if (loop->turn_events > NOW_EVENTS || loop->finished.first || orri_linked(&loop->ready)) return false;
    for (const struct orr_req *req = disk->submitted.first; req; req = req->next) {
        if (req->op != ORR_OP_WRITE || orri_file_of(disk, req) != file || lane_of(file, req) != QUICK) return false;
        const struct orr_write *r = (const struct orr_write *)(const void *)req;
        wanted = wanted || (r->flags & ORR_W_NOW);
        bytes += orri_write_size(r);
    }
    if (!wanted || bytes > NOW_BYTES) return false;
    event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    return !orri_linked(&loop->ready) && !loop->udp_ready;
}

static void write_now(struct orr_loop *loop) {
    struct orri_disk *disk = &loop->disk;
    struct orri_list batch = disk->submitted;
    uint64_t syncs = atomic_load(&disk->syncs);
    for (struct orr_req *req = batch.first; req; req = req->next)
        if (req->cancel) req->status = ORR_ECANCELED;
    run_batch(disk, orri_file_of(disk, batch.first), &batch, QUICK);
    atomic_fetch_add(&disk->syncs_now, atomic_load(&disk->syncs) - syncs);
    for (struct orr_req *req = orri_list_pop(&batch); req; req = orri_list_pop(&batch)) {
        orri_list_add(&loop->finished, req);
        disk->under_way++;
    }
    disk->submitted = (struct orri_list){ NULL, NULL };
}

void orri_disk_submit(struct orr_loop *loop) {
    struct orri_disk *disk = &loop->disk;
    if (!disk->submitted.first) return;
    if (may_write_now(loop)) {
        write_now(loop);
        return;
    }
    pthread_mutex_lock(&disk->lock);
    for (struct orr_req *req = orri_list_pop(&disk->submitted); req; req = orri_list_pop(&disk->submitted)) {
        struct orr_file *file = orri_file_of(disk, req);
        orri_list_add(&file->waiting, req);
        schedule(disk, file);
        disk->under_way++;
    }
    pthread_mutex_unlock(&disk->lock);
}

void orri_disk_cancel(struct orr_loop *loop, struct orr_req *req) {
    if (req->op == ORR_OP_CLOSE) return;    /* or the file could never be freed */
    pthread_mutex_lock(&loop->disk.lock);
    req->cancel = true;
    pthread_mutex_unlock(&loop->disk.lock);
}
