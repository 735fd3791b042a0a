/* inner.h - the parts of the real world and what they know of each other.
 *
 * loop.c turns; clock.c has time and the alarm; sensor.c a temperature; process.c has chance, log, signals and the
 * stop; stream.c, send.c and listen.c are TCP, peer.c the addresses and dialling, datagram.c UDP; file.c takes requests
 * for files on the loop's thread, disk.c owns the threads that run them and disk_run.c is what they run, names.c is the
 * directory; jobs.c is the pool; done.c is how other threads give requests back. ntp_*.c are guests: they live on the
 * loop's turns and sockets beside its node (orrery/ntp_live.h).
 *
 * Everything here belongs to the loop's thread, except what disk.c, jobs.c and done.c say is under a lock or atomic. */
#ifndef ORRI_LOOP_INNER_H
#define ORRI_LOOP_INNER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <orrery/loop.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "loop/links.h"
#include "loop/system.h"

enum {
    READ_CHUNK = 64 << 10,          /* one chunk takes what many streams say, until it is full */
    READ_ROOM_MIN = 8 << 10,        /* with less room left a read takes a new chunk */
    SCRATCH_CHUNK = 16 << 10,       /* bytes that send() has to copy gather here */
    SEND_PARTS_MAX = 1024,          /* IOV_MAX */
    DATAGRAM_MAX = 1200,
    NOTSENT_MAX = 512 << 10         /* a stream's bytes that wait in the kernel, where control can't overtake */
};

/* -- Other threads' results (done.c) ------------------------------------------------------------------------------- */
struct orri_list {                  /* of requests, in order, by req->next */
    struct orr_req *first, *last;
};
static inline void orri_list_add(struct orri_list *list, struct orr_req *req) {
    req->next = NULL;
    if (list->last) list->last->next = req;
    else list->first = req;
    list->last = req;
}
static inline struct orr_req *orri_list_pop(struct orri_list *list) {
    struct orr_req *req = list->first;
    if (!req) return NULL;
    list->first = req->next;
    if (!list->first) list->last = NULL;
    req->next = NULL;
    return req;
}

struct orri_done {
    struct orr_req *_Atomic finished;   /* a stack: the last finished is on top */
    atomic_bool awake;                  /* the loop will look without being rung for */
    atomic_bool rung;                   /* orr_loop_ring came: a turn is due, even for nothing */
    int fd;                             /* eventfd, edge-triggered: never read */
    struct event event;
};

/* -- Streams (stream.c, send.c, listen.c) -------------------------------------------------------------------------- */
enum { CONNECTING, OPEN, FLUSHING, DRAINING, ENDED };                       /* orri_stream.state */
enum { ACCEPTED = 1, CONNECTED = 2, READABLE = 4, ROOM = 8, CLOSED = 16, HALF = 32 };  /* its pending, as it is taken */

struct orri_piece {                 /* of a send queue; pooled */
    struct orri_piece *next;
    struct orr_slice slice;         /* held */
    bool ends;                      /* the last of one call: a border that control may overtake at */
};
struct orri_queue {
    struct orri_piece *first, *last;
    size_t bytes;
};

struct orri_stream {
    struct orr_stream face;         /* first: the node's pointer is ours */
    struct orr_loop *loop;
    struct orri_listener *listener; /* NULL: we dialled */
    struct event in, out;
    struct orri_link all;           /* in loop->streams */
    struct orri_link ready;         /* in loop->ready while something is pending */
    struct orri_link dirty;         /* in loop->dirty while there is something that could be written */
    struct orri_link patient;       /* in loop->patient while CONNECTING, FLUSHING or DRAINING */
    orr_time patience_ends;
    struct orri_queue queues[2];    /* by class */
    size_t queued;                  /* bytes in them */
    uint64_t read_turn;             /* the turn in which read_bytes were read */
    size_t read_bytes;
    int fd;
    int status;                     /* what CLOSED will say */
    uint8_t state, pending;
    bool bulk_begun;                /* class 1 is in the middle of a call */
    bool reading, writing;          /* the event is with libevent */
    bool paused, starved;           /* starved: a send was refused, ROOM is owed */
    bool at_end;                    /* the other side has ended; what is queued still goes out */
    bool left;                      /* close was called */
    bool broken;                    /* a write failed, for the reason in status; what had come before is still read */
};

struct orri_listener {
    struct orri_listener *next;
    struct orr_loop *loop;
    struct event event;
    int fd;
    uint32_t number;
    unsigned connections, connections_max;
};

struct orri_address {
    struct sockaddr_storage at;
    socklen_t size;
};
struct orri_host;
struct orri_peer {
    orr_id id;
    struct orri_address address;    /* size 0: none yet */
    struct orri_host *host;         /* peer_name.c: that it is called by, or NULL; */
    unsigned place;                 /* which of that host's; 0: the only one */
    unsigned unheard;               /* datagrams to this address since the last one from it */
    bool heard;                     /* any came from there */
    uint32_t moved;                 /* how often it got an address */
};

/* -- Files (file.c, disk.c) ---------------------------------------------------------------------------------------- */
/* Requests on one file run one after another, each batch of them by one of two threads (disk.c).
 * The queue and the flags are under the disk's lock; what a run changes is touched by the one thread that runs.      */
struct orr_file {
    struct orr_file *next;          /* in its lane */
    struct orri_link all;           /* in disk.files; the loop's thread */
    struct orri_list waiting;
    bool in_lane, running;
    bool closing;                   /* CLOSE was submitted; the loop's thread */
    bool poisoned, bulk_dirty;      /* bulk_dirty: a sync would have to write much */
    int fd;
};

enum { QUICK, SLOW, N_LANES };
struct orri_lane {
    struct orr_loop *loop;
    pthread_t thread;
    pthread_cond_t work;
    struct orr_file *first, *last;
    bool busy;
};
struct orri_disk {
    const struct orri_system *system;   /* what the threads call; a test may put another one here */
    pthread_mutex_t lock;
    pthread_cond_t calm;            /* the quick lane has nothing to do */
    struct orri_lane lanes[N_LANES];
    struct orri_link files;
    struct orr_file names;          /* the file that name requests are on */
    struct orri_list submitted;     /* in this turn */
    size_t under_way;               /* handed over and not yet taken from done */
    size_t active;                  /* files in a lane or running; under the lock */
    bool running, stopping;
    int dir, lock_fd;
    _Atomic uint64_t writes, syncs, syncs_now;
    _Atomic orr_time sync_time;
};

/* -- Jobs (jobs.c) ------------------------------------------------------------------------------------------------- */
struct orri_jobs {
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t *threads;
    unsigned n, max;
    unsigned idle, n_waiting;       /* threads without a job, jobs without a thread */
    struct orri_list waiting;
    bool stopping;
};

/* -- Guests -------------------------------------------------------------------------------------------------------- */
/* What else lives on the loop's turns. Each turn calls `turn`, after libevent and before the node; one comes at
 * `deadline` (of orri_boottime) at the latest. Whoever makes a guest ends it before the loop is freed. */
struct orri_guest {
    struct orri_link all;           /* in loop->guests */
    orr_time deadline;
    void (*turn)(struct orri_guest *g);
};

/* -- The loop ------------------------------------------------------------------------------------------------------ */
struct orri_stamps {                /* of datagrams: how far the kernel's wall clock is ahead of our clock, at least */
    unsigned n;                     /* of `most` */
    uint32_t wall_steps;
    orr_time most, before;          /* by those of late, and by those before them */
};
struct orri_sensor {                /* of a temperature (sensor.c) */
    const char *root;               /* borrowed: /sys/class */
    int fd;
    bool looked, good, slow;        /* good: the last reading was one */
    orr_time at;                    /* of the last reading */
    int32_t milli_c;
};
struct orr_loop {
    struct orr_world world;         /* first: the node's pointer is ours */
    struct orr_loop_config config;
    char *dir;                      /* the copy of config.dir */
    struct event_base *base;
    int poll_fd;                    /* libevent's, once it was asked for */

    orr_time now;
    bool in_turn, halted, stopped;
    uint64_t turn;
    size_t turn_bytes;              /* read in this turn */
    unsigned turn_events;           /* stream events given in this turn, or looked for in vain */
    unsigned turn_datagrams;        /* datagrams looked at in this turn */

    int timer_fd;                   /* clock.c */
    struct event timer;
    orr_time alarm, alarm_slack, timer_at;
    orr_time wall_offset, wall_checked;
    uint32_t wall_steps;
    struct orri_sensor sensor;

    struct orri_done done;
    struct orri_list finished;      /* to be taken */
    size_t n_streams, n_queued;
    uint64_t serial;
    struct orri_link streams, ready, dirty, patient;
    struct orri_stream *gone;       /* its CLOSED was taken: freed at the next take */
    struct orr_stream_event event;  /* the one that was taken last */
    struct orr_chunk *read_chunk, *scratch;
    size_t read_used, scratch_used;
    struct orri_piece *free_pieces;
    struct orri_block *piece_blocks;

    struct orri_listener *listeners;
    orr_time accept_again;          /* ORR_NEVER: accepting is not paused */
    orr_time refused_said;
    int spare_fd;
    struct orri_peer *peers;
    size_t n_peers, peers_cap;
    struct orri_host *hosts;        /* names of peers */
    struct orri_guest names;        /* while there are any: looks them up, */
    orr_time look_up_again;         /* each at most so often; a test may make it less */
    int udp_fd;
    struct event udp;
    bool udp_ready;
    struct orri_stamps stamps;
    struct orr_datagram datagram;

    struct orri_disk disk;
    struct orri_jobs jobs;
    struct orri_link guests;

    uint64_t seed_key;
    struct event signal_events[3];
    unsigned signals_came;          /* bit i: number i of orri_signals */
    struct orr_req signal;
    int stop_code;
    char stop_reason[1024];         /* no shorter than what a node has to say */
    struct orr_world_stats stats;
};

static inline struct orr_loop *orri_loop(struct orr_world *w) { return (struct orr_loop *)(void *)w; }
static inline const struct orri_stream *orri_stream_of(const struct orr_stream *s) {
    return (const struct orri_stream *)(const void *)s;
}

/* loop.c */
void *orri_alloc(struct orr_loop *loop, size_t size);                       /* zeroed, or NULL */
void orri_dealloc(struct orr_loop *loop, void *at, size_t size);
void orri_nudge(struct orr_loop *loop);     /* something was submitted; outside a turn the host's poll must see it */
void orri_event_set(struct orr_loop *loop, struct event *event, int fd, short what, event_callback_fn fn, void *arg);
void orri_guest_join(struct orr_loop *loop, struct orri_guest *g);         /* orri_unlink takes it away */

/* clock.c */
int orri_clock_new(struct orr_loop *loop);
void orri_clock_free(struct orr_loop *loop);
orr_time orri_boottime(void);
void orri_clock_read(struct orr_loop *loop);            /* at the start of a turn */
void orri_clock_arm(struct orr_loop *loop, orr_time until);     /* before waiting, at most until then */
orr_time orri_next_time(const struct orr_loop *loop);   /* of alarm, patience, accepting again */
orr_time orri_now(struct orr_world *w);
orr_time orri_fresh(struct orr_world *w);
void orri_wall(struct orr_world *w, struct orr_wall *out);
void orri_alarm(struct orr_world *w, orr_time at, orr_time slack);

/* steer.c */
int orri_steer(struct orr_world *w, orr_time step, int32_t *rate_ppb);

/* sensor.c */
void orri_sensor_init(struct orri_sensor *s);
void orri_sensor_clear(struct orri_sensor *s);
int orri_temperature(struct orr_world *w, int32_t *milli_c);

/* process.c */
int orri_process_new(struct orr_loop *loop);
void orri_process_free(struct orr_loop *loop);
int orri_random(void *out, size_t size);
uint64_t orri_seed(struct orr_world *w, const char *use);
void orri_secret(struct orr_world *w, void *out, size_t size);
void orri_log(struct orr_world *w, enum orr_level level, const char *text, size_t size);
__attribute__((format(printf, 3, 4)))
void orri_say(struct orr_loop *loop, enum orr_level level, const char *format, ...);
void orri_stop(struct orr_world *w, int code, const char *why);
struct orr_req *orri_signal_take(struct orr_loop *loop);
int orri_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);  /* with every signal blocked */

/* done.c */
int orri_done_new(struct orr_loop *loop);
void orri_done_free(struct orr_loop *loop);
void orri_done_push(struct orr_loop *loop, struct orri_list *list);         /* any thread; empties the list */
void orri_done_ring(struct orr_loop *loop);                                 /* any thread; after a push */
void orri_done_collect(struct orr_loop *loop);
bool orri_done_sleep(struct orr_loop *loop);            /* false: don't, something is finished */

/* stream.c */
struct orri_stream *orri_stream_new(struct orr_loop *loop, int fd, struct orri_listener *listener);
void orri_stream_free(struct orri_stream *s);
void orri_stream_opened(struct orri_stream *s, unsigned pending);   /* accepted or connected */
void orri_stream_end(struct orri_stream *s, int status);
void orri_stream_flushed(struct orri_stream *s);        /* its queue has become empty */
void orri_stream_pend(struct orri_stream *s, unsigned pending);
void orri_stream_wait(struct orri_stream *s);           /* begins a time of patience */
void orri_streams_expire(struct orr_loop *loop);
struct orr_req *orri_stream_take(struct orr_loop *loop);
void orri_event_drop(struct orr_loop *loop);            /* what the last take gave */
bool orri_read_room(struct orr_loop *loop, size_t size);    /* false: no memory */
struct orr_slice orri_read_slice(struct orr_loop *loop, size_t size);
void orri_read_pause(struct orr_world *w, struct orr_stream *s, bool on);
void orri_close(struct orr_world *w, struct orr_stream *s, bool flush);

/* send.c */
void orri_send_free(struct orr_loop *loop);
int orri_send(struct orr_world *w, struct orr_stream *s, unsigned cls, const struct orr_slice *parts, size_t n_parts);
size_t orri_queued(struct orr_world *w, const struct orr_stream *s);
void orri_send_flush(struct orr_loop *loop);            /* the end of a turn: the dirty streams */
void orri_send_writable(evutil_socket_t fd, short what, void *stream);
void orri_send_drop(struct orri_stream *s);             /* all that is queued */

/* listen.c, peer.c, peer_name.c, datagram.c */
int orri_listen(struct orr_world *w, const char *address, uint32_t listener, unsigned connections_max);
void orri_listen_free(struct orr_loop *loop);
void orri_accept_resume(struct orr_loop *loop);
int orri_address_parse(struct orri_address *out, const char *text);
const struct orri_peer *orri_peer_find(const struct orr_loop *loop, orr_id id);
int orri_peer(struct orr_world *w, orr_id id, const char *address);
int orri_connect(struct orr_world *w, orr_id peer, struct orr_stream **out);
int orri_named_init(struct orr_loop *loop, const char *text, struct orri_peer *out);     /* its host and place */
bool orri_named_placed(struct orr_loop *loop, struct orri_peer *p);  /* before each datagram; false: nowhere to send */
void orri_named_heard(struct orri_peer *p);
void orri_named_free(struct orr_loop *loop);
void orri_socket_options(int fd);
void orri_connect_done(struct orri_stream *s);          /* the socket has become writable, or failed */
void orri_datagram_bind(struct orr_loop *loop, const struct orri_address *address);
void orri_datagram_free(struct orr_loop *loop);
int orri_datagram(struct orr_world *w, orr_id to, struct orr_slice data);
struct orr_req *orri_datagram_take(struct orr_loop *loop);

/* file.c, names.c */
void orri_file_init(struct orr_loop *loop);
void orri_file_free(struct orr_loop *loop);
int orri_open_dir(struct orr_world *w);
int orri_open(struct orr_world *w, struct orr_open *r);
int orri_write(struct orr_world *w, struct orr_write *r);
int orri_read(struct orr_world *w, struct orr_read *r);
int orri_file_op(struct orr_world *w, struct orr_file_op *r, enum orr_op op);
int orri_name_op(struct orr_world *w, struct orr_name_op *r, enum orr_op op);
void orri_file_taken(struct orr_loop *loop, struct orr_req *req);
void orri_file_drop(struct orri_list *list);            /* what nobody will take: gives back what it has got */
bool orri_name_ok(const char *path);
int orri_names_run(struct orri_disk *disk, struct orr_req *req);            /* a disk thread */
int orri_names_open(struct orri_disk *disk, const struct orr_open *r);      /* the descriptor; a disk thread */

/* disk.c, disk_run.c */
int orri_disk_start(struct orr_loop *loop);             /* the threads, once */
void orri_disk_submit(struct orr_loop *loop);           /* the end of a turn */
void orri_disk_cancel(struct orr_loop *loop, struct orr_req *req);
void orri_disk_halt(struct orr_loop *loop);
struct orr_file *orri_file_of(struct orri_disk *disk, const struct orr_req *req);
uint64_t orri_write_size(const struct orr_write *r);
void orri_run_quick(struct orri_disk *disk, struct orr_file *file, struct orri_list *batch);
bool orri_run_slow(struct orri_disk *disk, struct orr_file *file, struct orr_req *req);     /* false: go on later */
int orri_errno(void);                                   /* as a negative error */

/* jobs.c */
void orri_jobs_init(struct orr_loop *loop);
void orri_jobs_halt(struct orr_loop *loop);
int orri_job(struct orr_world *w, struct orr_job *r);
void orri_jobs_cancel(struct orr_loop *loop, struct orr_req *req);

#endif
