/* loop.c - the life of a loop and its turn.
 *
 * A turn: wait; let libevent call what only links things into lists; read the clock; collect what other threads have
 * finished; then, if there is anything for the node, wake it, and start what it submitted: one writev a stream, one
 * hand-over to the disk. No code of the node ever runs under a frame of libevent.
 *
 * Bytes are read when the node takes them, not before: one chunk that is hot in the cache serves all streams, an idle
 * stream has no buffer, and a slow node can't pile up what it has not taken.
 * A turn reads a bounded amount for a bounded time; streams that had their share stand behind the others.            */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/inner.h"

/* -- Config -------------------------------------------------------------------------------------------------------- */
void orr_loop_config_init(struct orr_loop_config *config) {
    *config = (struct orr_loop_config){
        .size = sizeof *config,
        .alloc = orr_alloc_libc,
        .level = ORR_LOG_INFO,
        .jobs_max = 2,
        .send_bytes_max = 16 << 20,
        .stream_turn_bytes = 256 << 10,
        .turn_bytes = 1 << 20,
        .turn_time = 4 * ORR_MS,
        .patience = 5 * ORR_SECOND,
        .peer_timeout = 10 * ORR_SECOND,
        .sync_now_max = 250 * ORR_US,
    };
}

int orr_loop_config_check(const struct orr_loop_config *config, const char **field) {
    const char *wrong = config->size != sizeof *config                        ? "size"
                        : !config->alloc.fn                                   ? "alloc"
                        : config->level > ORR_LOG_DEBUG                       ? "level"
                        : config->jobs_max < 1 || config->jobs_max > 1024     ? "jobs_max"
                        : config->send_bytes_max < 1                          ? "send_bytes_max"
                        : config->stream_turn_bytes < 1                       ? "stream_turn_bytes"
                        : config->turn_bytes < config->stream_turn_bytes      ? "turn_bytes"
                        : config->turn_time < 1                               ? "turn_time"
                        : config->patience < 1                                ? "patience"
                        : config->peer_timeout < ORR_MS                       ? "peer_timeout"
                        : config->sync_now_max < 0                            ? "sync_now_max"
                                                                              : NULL;
    if (field) *field = wrong;
    return wrong ? ORR_EINVALID : 0;
}

/* -- Memory, events ------------------------------------------------------------------------------------------------ */
void *orri_alloc(struct orr_loop *loop, size_t size) {
    void *at = loop->world.alloc.fn(loop->world.alloc.ud, NULL, 0, size);
    if (at) memset(at, 0, size);
    return at;
}
void orri_dealloc(struct orr_loop *loop, void *at, size_t size) {
    if (at) loop->world.alloc.fn(loop->world.alloc.ud, at, size, 0);
}

void orri_event_set(struct orr_loop *loop, struct event *event, int fd, short what, event_callback_fn fn, void *arg) {
    int error = event_assign(event, loop->base, fd, what, fn, arg);
    ORR_ASSERT(error == 0);         /* it fails on contradictory flags only */
}

/* Within a turn the end of the turn sees what was submitted. */
void orri_nudge(struct orr_loop *loop) {
    if (!loop->in_turn) orri_done_ring(loop);
}

void orri_guest_join(struct orr_loop *loop, struct orri_guest *g) {
    orri_link_init(&g->all);
    orri_link_last(&loop->guests, &g->all);
    orri_nudge(loop);
}

/* -- The door ------------------------------------------------------------------------------------------------------ */
static struct orr_req *loop_take(struct orr_world *w) {
    struct orr_loop *loop = orri_loop(w);
    orri_event_drop(loop);
    struct orr_req *req = orri_list_pop(&loop->finished);
    if (req) {
        if (req->op != ORR_OP_JOB) orri_file_taken(loop, req);
        return req;
    }
    req = orri_signal_take(loop);
    if (!req) req = orri_datagram_take(loop);       /* few, and stamps in them grow old */
    if (!req) req = orri_stream_take(loop);
    return req;
}

static void loop_cancel(struct orr_world *w, struct orr_req *req) {
    if (orri_loop(w)->halted) return;
    if (req->op == ORR_OP_JOB) orri_jobs_cancel(orri_loop(w), req);
    else if (req->op <= ORR_OP_SPACE) orri_disk_cancel(orri_loop(w), req);
}

static bool loop_stats(struct orr_world *w, struct orr_world_stats *out) {
    orr_loop_stats(orri_loop(w), out);
    return true;
}

static const struct orr_world_ops ops = {
    .now = orri_now, .fresh = orri_fresh, .wall = orri_wall, .alarm = orri_alarm,
    .take = loop_take, .cancel = loop_cancel,
    .seed = orri_seed, .secret = orri_secret,
    .open_dir = orri_open_dir, .open = orri_open, .write = orri_write, .read = orri_read,
    .file_op = orri_file_op, .name_op = orri_name_op,
    .peer = orri_peer, .listen = orri_listen, .connect = orri_connect,
    .send = orri_send, .queued = orri_queued, .read_pause = orri_read_pause, .close = orri_close,
    .datagram = orri_datagram, .job = orri_job,
    .log = orri_log, .stop = orri_stop, .stats = loop_stats, .steer = orri_steer,
    .temperature = orri_temperature,
};

void orr_loop_stats(struct orr_loop *loop, struct orr_world_stats *out) {
    *out = loop->stats;
    out->turns = loop->turn;
    out->streams = loop->n_streams;
    out->queued_bytes = loop->n_queued;
    out->writes = atomic_load(&loop->disk.writes);
    out->syncs = atomic_load(&loop->disk.syncs);
    out->syncs_now = atomic_load(&loop->disk.syncs_now);
    out->sync_time = atomic_load(&loop->disk.sync_time);
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static struct event_base *base_new(void) {
    struct event_config *config = event_config_new();
    if (!config) return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    event_config_require_features(config, EV_FEATURE_ET);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static int loop_open(struct orr_loop *loop, const struct orr_loop_config *config) {
    loop->world.chunks = orr_chunks_new(&config->alloc);
    loop->base = base_new();
    if (!loop->world.chunks || !loop->base) return -ENOMEM;
    if (config->dir) {
        size_t size = strlen(config->dir) + 1;
        loop->dir = orri_alloc(loop, size);
        if (!loop->dir) return -ENOMEM;
        memcpy(loop->dir, config->dir, size);
        loop->config.dir = loop->dir;
    }
    int error = orri_done_new(loop);
    if (error == 0) error = orri_clock_new(loop);
    if (error == 0) error = orri_process_new(loop);
    return error;
}

int orr_loop_new(struct orr_loop **out, const struct orr_loop_config *config) {
    if (orr_loop_config_check(config, NULL) != 0) return ORR_EINVALID;
    struct orr_loop *loop = config->alloc.fn(config->alloc.ud, NULL, 0, sizeof *loop);
    if (!loop) return -ENOMEM;
    memset(loop, 0, sizeof *loop);
    loop->world.ops = &ops;
    loop->world.alloc = config->alloc;
    loop->config = *config;
    loop->poll_fd = loop->timer_fd = loop->done.fd = loop->udp_fd = loop->spare_fd = -1;
    loop->accept_again = ORR_NEVER;
    loop->look_up_again = 64 * ORR_SECOND;
    loop->refused_said = -ORR_NEVER;
    orri_link_init(&loop->streams);
    orri_link_init(&loop->ready);
    orri_link_init(&loop->dirty);
    orri_link_init(&loop->patient);
    orri_link_init(&loop->guests);
    orri_sensor_init(&loop->sensor);
    orri_file_init(loop);
    orri_jobs_init(loop);
    int error = loop_open(loop, config);
    if (error != 0) {
        orr_loop_free(loop);
        return error;
    }
    *out = loop;
    return 0;
}

struct orr_world *orr_loop_world(struct orr_loop *loop) { return &loop->world; }

/* The streams stay as ended ones until free, so that a node which is freed now may still close them. */
void orr_loop_halt(struct orr_loop *loop) {
    if (loop->halted) return;
    loop->halted = true;
    orri_event_drop(loop);
    orri_disk_halt(loop);
    orri_jobs_halt(loop);
    orri_done_collect(loop);
    orri_file_drop(&loop->finished);
    for (struct orri_link *l = loop->streams.next; l != &loop->streams; l = l->next)
        orri_stream_end(ORRI_MEMBER(l, struct orri_stream, all), ORR_ECLOSED);
    orri_listen_free(loop);
    orri_datagram_free(loop);
}

void orr_loop_free(struct orr_loop *loop) {
    if (!loop) return;
    orr_loop_halt(loop);
    while (orri_linked(&loop->streams)) orri_stream_free(ORRI_MEMBER(loop->streams.next, struct orri_stream, all));
    orri_file_free(loop);
    orri_send_free(loop);
    orri_process_free(loop);
    orri_clock_free(loop);
    orri_sensor_clear(&loop->sensor);
    orri_done_free(loop);
    orr_chunk_drop(loop->read_chunk);
    orr_chunk_drop(loop->scratch);
    if (loop->base) event_base_free(loop->base);
    if (loop->world.chunks) orr_chunks_free(loop->world.chunks);
    orri_named_free(loop);
    orri_dealloc(loop, loop->peers, loop->peers_cap * sizeof *loop->peers);
    if (loop->dir) orri_dealloc(loop, loop->dir, strlen(loop->dir) + 1);
    struct orr_alloc alloc = loop->world.alloc;
    alloc.fn(alloc.ud, loop, sizeof *loop, 0);
}

/* -- The turn ------------------------------------------------------------------------------------------------------ */
static bool has_something(const struct orr_loop *loop) {
    return loop->finished.first || orri_linked(&loop->ready) || loop->udp_ready || loop->signals_came;
}

/* Nothing for the node, or not yet, but no reason to wait either. */
static bool has_work(const struct orr_loop *loop) {
    return has_something(loop) || orri_linked(&loop->dirty) || atomic_load(&loop->done.rung);
}

static void start_submitted(struct orr_loop *loop) {
    orri_send_flush(loop);          /* first: peers write to their disks while we write to ours */
    orri_disk_submit(loop);
}

static void wait_for_something(struct orr_loop *loop, orr_time timeout) {
    bool wait = timeout > 0 && !has_work(loop) && !loop->stopped && orri_done_sleep(loop);
    if (wait) orri_clock_arm(loop, timeout > ORR_NEVER - loop->now ? ORR_NEVER : orri_boottime() + timeout);
    event_base_loop(loop->base, wait ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
    atomic_store(&loop->done.awake, true);
    atomic_store(&loop->done.rung, false);
}

static void account(struct orr_loop *loop) {
    uint64_t took = (uint64_t)(orri_boottime() - loop->now) | 1;
    unsigned i = 63u - (unsigned)__builtin_clzll(took), last = sizeof loop->stats.turn_log2_ns / sizeof(uint64_t) - 1;
    loop->stats.turn_log2_ns[i < last ? i : last]++;
}

static void serve_guests(struct orr_loop *loop) {
    for (struct orri_link *l = loop->guests.next; l != &loop->guests; l = l->next) {
        struct orri_guest *g = ORRI_MEMBER(l, struct orri_guest, all);
        g->turn(g);
    }
}

static bool turn(struct orr_loop *loop, orr_time timeout) {
    start_submitted(loop);
    wait_for_something(loop, timeout);
    orri_clock_read(loop);
    loop->turn++;
    loop->turn_bytes = 0;
    loop->turn_events = loop->turn_datagrams = 0;
    orri_done_collect(loop);
    orri_streams_expire(loop);
    if (loop->now >= loop->accept_again) orri_accept_resume(loop);
    serve_guests(loop);

    bool alarm = loop->now >= loop->alarm, woken = alarm || has_something(loop);
    if (woken) {
        if (alarm) loop->alarm = ORR_NEVER;
        loop->in_turn = true;
        if (loop->world.wake) loop->world.wake(loop->world.ud);
        loop->in_turn = false;
    }
    start_submitted(loop);
    account(loop);
    return woken;
}

/* A host that polls sees only descriptors: the timer must be set and the threads must ring. */
static void settle(struct orr_loop *loop) {
    orri_clock_arm(loop, ORR_NEVER);
    if (!orri_done_sleep(loop)) orri_done_collect(loop);
}

int orr_loop_step(struct orr_loop *loop, orr_time timeout) {
    if (loop->stopped || loop->halted) return ORR_ECLOSED;
    bool woken = turn(loop, timeout);
    settle(loop);
    return woken ? 1 : 0;
}

int orr_loop_run(struct orr_loop *loop) {
    while (!loop->stopped && !loop->halted) turn(loop, ORR_NEVER);
    orr_loop_halt(loop);
    return loop->stop_code;
}

orr_time orr_loop_deadline(const struct orr_loop *loop) { return has_work(loop) ? loop->now : orri_next_time(loop); }

/* -- The descriptor ------------------------------------------------------------------------------------------------ */
/* libevent does not give its epoll descriptor away. Of all this process's, it is the one that watches our eventfd. */
static bool watches(int fd, int watched) {
    char path[64], line[128];
    int number;
    bool found = false;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(path, "re");
    if (!info) return false;
    while (!found && fgets(line, sizeof line, info)) found = sscanf(line, "tfd: %d", &number) == 1 && number == watched;
    fclose(info);
    return found;
}

static int find_poll_fd(int watched) {
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return -1;
    int fd = -1;
    for (struct dirent *e = readdir(dir); e && fd < 0; e = readdir(dir)) {
        char *end;
        long number = strtol(e->d_name, &end, 10);
        if (*end == '\0' && end != e->d_name && watches((int)number, watched)) fd = (int)number;
    }
    closedir(dir);
    return fd;
}

int orr_loop_fd(struct orr_loop *loop) {
    if (loop->poll_fd < 0) loop->poll_fd = find_poll_fd(loop->done.fd);
    if (loop->poll_fd < 0) return ORR_EUNAVAILABLE;
    settle(loop);
    return loop->poll_fd;
}
