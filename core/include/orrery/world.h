/* world.h - the one door between a node and everything outside it.
 *
 * A world is ONE node's view of outside: time, chance, files, streams, datagrams, jobs. loop/ and sim/ implement it;
 * storage/ and node/ are written against it. One process may hold many worlds, live and simulated together, so it is a
 * table of functions and there are no globals. A world, its chunks and its requests belong to one thread.
 *
 * The turn.   The world calls wake() when something is ready, never from inside another call of this header. The node
 *             takes completions until take() is NULL, steps its protocols, submits new work, arms ONE alarm, returns.
 *             now() is constant in a turn. Work submitted in a turn starts when the turn ends: that is the batching
 *             point (one writev a stream, one write and sync a file). The simulator may hand over one completion a
 *             turn or many, and cut any batch; only order within one stream and one file is promised.
 * Requests.   Caller-owned, intrusive, never allocated here. A submit function returns 0 (exactly one completion will
 *             come, in a later turn, never inside the submit) or an error (none will come, nothing was kept). The
 *             request and all bytes it points to are borrowed, and must not change, until take() gives it back.
 * Cancel.     Is a wish: the request still completes once, with ORR_ECANCELED or with what really happened. A write
 *             or sync that has begun is not cancelled. A hung one has no completion: detect it by age, don't wait.
 * Alarm.      wake() also comes when the alarm is due, with nothing to take.
 * Crash.      After a simulated crash nothing of the node runs, no request completes, and all it got from alloc is
 *             gone. Only files survive, as "Files" says. So no clean-up code of a node is part of its safety.       */
#ifndef ORR_WORLD_H
#define ORR_WORLD_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_world;

/* -- Requests ------------------------------------------------------------------------------------------------------ */
enum orr_op {
    ORR_OP_OPEN, ORR_OP_READ, ORR_OP_WRITE, ORR_OP_SYNC, ORR_OP_TRUNCATE, ORR_OP_PREPARE, ORR_OP_CLOSE,   /* files */
    ORR_OP_RENAME, ORR_OP_REMOVE, ORR_OP_LIST, ORR_OP_SYNC_DIR, ORR_OP_SPACE,                             /* names */
    ORR_OP_JOB,
    ORR_OP_ACCEPTED, ORR_OP_CONNECTED, ORR_OP_DATA, ORR_OP_ROOM, ORR_OP_CLOSED,                           /* streams */
    ORR_OP_DATAGRAM, ORR_OP_SIGNAL,                                                                        /* others */
    ORR_OP_ENDED                    /* streams, too: only where it was asked for */
};

struct orr_req {                    /* embed; zero it first. Read-only to the caller while it runs */
    struct orr_req *next;           /* the world's */
    uint16_t op;                    /* enum orr_op; the world sets it at submission */
    bool cancel;                    /* the world's */
    int status;                     /* 0, -errno or an ORR_E code; valid once taken */
    uint64_t result;                /* bytes done; with status 0 all that was asked: short counts are retried below */
    orr_time begun, ended;          /* when it was submitted and when it was over: sync lag is a health signal */
    void (*done)(struct orr_req *req);   /* the caller's: what its turn calls with the request that take() gave.
                                          * The world never does */
    void *owner;                    /* the caller's */
};

/* -- Files ------------------------------------------------------------------------------------------------------------
 * Names are relative to the node's directory, which open_dir locked for this process; one level of '/' is allowed.
 * Order.  Requests on ONE file take effect in the order of submission, and complete so. Between files: no order.
 *         Name requests (rename, remove, list, sync_dir, space) are one such file of their own.
 * Sync.   Covers exactly the writes, truncations and preparations of that file submitted before it. A write with
 *         ORR_W_SYNC is durable at its completion; several in one turn become one write and one sync (group commit).
 * Not covered by a file's sync: its name. create, rename and remove are durable only after sync_dir.
 * Failure. A failed write leaves unknown bytes in its range. A failed sync is final: this and every later request on
 *         the file, and on no other, completes with ORR_EPOISONED; what is on the disk is unknown until it is read
 *         back after a restart. ENOSPC and EDQUOT (given as ORR_EFULL) on a write or prepare don't poison; nothing was
 *         promised. After any other failed write, later requests of that file that were already submitted still run.
 * Crash.  Every sector (512 B; 4 KiB where the run says so) of a write not synced is old, new, or (torn) either in any
 *         mix and order; a size not synced may be any on the way; a name not synced may be old, new or both. Synced
 *         bytes stay, but for faults the run declares (rot, misdirected, stale), which reads show as they are.
 * Hint.   ORR_W_NOW: the world may write and sync on the loop's thread if nothing else is ready, recent syncs were
 *         quick, and no other file's request runs. It changes no promise; the completion comes by take() all the
 *         same. */
struct orr_file;
enum { ORR_F_CREATE = 1, ORR_F_EXCLUSIVE = 2, ORR_F_READONLY = 4, ORR_F_DIRECT = 8 };
enum { ORR_W_SYNC = 1, ORR_W_NOW = 2, ORR_W_BULK = 4 /* snapshot or spill: behind all others, rate-limited */ };

struct orr_open {
    struct orr_req req;
    const char *path;               /* borrowed until taken */
    unsigned flags;
    struct orr_file *file;          /* out; give back with CLOSE */
    uint64_t size;                  /* out: bytes in the file */
};
struct orr_write {
    struct orr_req req;
    struct orr_file *file;
    uint64_t at;
    const struct orr_slice *parts;  /* borrowed until taken, as their bytes are */
    size_t n_parts;
    unsigned flags;
};
struct orr_read {
    struct orr_req req;
    struct orr_file *file;
    uint64_t at;
    size_t size;
    struct orr_slice got;           /* out: owned, drop it. Shorter than size only at the end of the file */
};
struct orr_file_op {                /* SYNC, CLOSE, TRUNCATE to `at`, PREPARE:
                                     * real zeros from the end of file up to `at` */
    struct orr_req req;
    struct orr_file *file;
    uint64_t at;
    unsigned flags;                 /* ORR_W_BULK for PREPARE */
};
struct orr_name_op {
    struct orr_req req;
    const char *path, *to;          /* RENAME path to `to` (replacing it), REMOVE path; LIST and SYNC_DIR: path NULL */
    uint64_t free_bytes, total_bytes;    /* out: SPACE */
    struct orr_slice names;         /* out: LIST; owned: names, bytewise sorted, each ended by a NUL */
};

/* -- Streams: bytes in order, to a peer by id or from a client --------------------------------------------------------
 * A stream may end at any byte; a send that completed was only handed over, never read. Each stream has a serial that
 * is never used again in this world. send() takes the slices at once (it holds them; slices without a chunk are copied)
 * and returns ORR_EOVERLOADED above the stream's limit with nothing taken; ROOM comes when it is below half. Class 0
 * (control) overtakes 1 (bulk) only at the frame borders that the caller marks by one call a frame. DATA comes in
 * chunks of the world; read_pause is the back-pressure, and the world's total of unread bytes is limited too: reading
 * never waits for writing. A half-open stream is found by the caller's heartbeats (live also sets TCP_USER_TIMEOUT).
 * SIGPIPE, EINTR, EMFILE (accepting pauses, one spare descriptor refuses politely) and partial writes never show here.
 * After CLOSED was taken, or close() was called and then CLOSED taken, the stream is gone; CLOSED comes exactly once.
 * Between close() and CLOSED neither DATA nor ROOM comes.                                                            */
struct orr_stream {                 /* the world's object begins with this */
    void *owner;                    /* the caller's, set after connect or at ACCEPTED */
    uint64_t serial;
    bool local;                     /* the world's, of one that was accepted: the other side is this machine itself */
    bool half;                      /* the caller's, as owner: an end of the other side's is told as ENDED, once, and
                                     * what is sent still goes out until we close. A world may tell CLOSED all the
                                     * same */
};
struct orr_stream_event {           /* the world's; valid until the next take(). req.status of CLOSED says why (0:
                                     * the other side's end) */
    struct orr_req req;
    struct orr_stream *stream;
    struct orr_slice data;          /* DATA: borrowed, hold what you keep */
    uint32_t listener;              /* ACCEPTED: the number given to listen() */
};
struct orr_datagram {               /* the world's; valid until the next take() */
    struct orr_req req;
    orr_id from;
    struct orr_slice data;
    orr_time received;
    bool kernel_stamp;
    uint32_t moved;                 /* of a peer called by a name: another number, another address */
};
struct orr_job {
    struct orr_req req;
    void (*run)(void *arg);         /* on a pool thread; touches only *arg; no clock, no chance,
                                     * no call of this header */
    void *arg;
    uint64_t cost_ns;               /* simulated: run() runs at submission, the completion comes cost_ns later */
};
struct orr_wall {
    orr_time realtime;              /* ns since 1970 as the machine claims; may jump */
    uint32_t steps;                 /* jumps noticed */
};
struct orr_world_stats {
    uint64_t turns;
    uint64_t turn_log2_ns[40];      /* turns that took 2^i .. 2^(i+1) ns, from waking up to the last send of the turn */
    uint64_t bytes_in, bytes_out;
    uint64_t streams;               /* open now */
    uint64_t queued_bytes;          /* taken by send and not yet with the system, all streams together */
    uint64_t accepted, refused;     /* refused: above connections_max, or no descriptor left */
    uint64_t datagrams_dropped;     /* from nobody we know */
    uint64_t writes, syncs;         /* system calls on files */
    uint64_t syncs_now;             /* of them on the loop's thread */
    orr_time sync_time;             /* moving average of a sync */
};
enum orr_level { ORR_LOG_ERROR, ORR_LOG_WARN, ORR_LOG_INFO, ORR_LOG_DEBUG };

struct orr_world_ops {
    /* Time: ns since an arbitrary start, never back, goes on while the machine sleeps (CLOCK_BOOTTIME), read once a
     * turn. fresh() reads anew: for stamps, for leaving work to the next turn, and for leases, which a program that
     * stood still in its turn must not overstay; no other decision may rest on it.
     * One alarm: the node keeps its own heap. */
    orr_time (*now)(struct orr_world *w);
    orr_time (*fresh)(struct orr_world *w);
    void (*wall)(struct orr_world *w, struct orr_wall *out);
    void (*alarm)(struct orr_world *w, orr_time at, orr_time slack);  /* replaces the last; never early;
                                                                       * up to slack late; ORR_NEVER: none */
    struct orr_req *(*take)(struct orr_world *w);
    void (*cancel)(struct orr_world *w, struct orr_req *req);
    /* Chance: a seed for each named use, independent of all others and of the order of asking, so that a new use moves
     * no old one. secret(): keys, cookies, the birth id; the simulator derives them from the run's seed too. */
    uint64_t (*seed)(struct orr_world *w, const char *use);
    void (*secret)(struct orr_world *w, void *out, size_t size);
    /* Files. open_dir: at start, once: makes the directory and locks it; ORR_EBUSY where another process has it. */
    int (*open_dir)(struct orr_world *w);
    int (*open)(struct orr_world *w, struct orr_open *r);
    int (*write)(struct orr_world *w, struct orr_write *r);
    int (*read)(struct orr_world *w, struct orr_read *r);
    int (*file_op)(struct orr_world *w, struct orr_file_op *r, enum orr_op op);
    int (*name_op)(struct orr_world *w, struct orr_name_op *r, enum orr_op op);
    /* Peers and streams. Addresses are "host:port". Live, a host is an IP address; only a peer who gets nothing but
     * datagrams may have a name, "name:port", or be one of several behind a name, "name:port/K", K from 1 to 16: none
     * of them has an address that another peer has. What is sent while a name has no address for it vanishes. */
    int (*peer)(struct orr_world *w, orr_id id, const char *address);          /* add, move; NULL: forget */
    int (*listen)(struct orr_world *w, const char *address, uint32_t listener, unsigned connections_max);
    int (*connect)(struct orr_world *w, orr_id peer, struct orr_stream **out); /* then CONNECTED or CLOSED */
    int (*send)(struct orr_world *w, struct orr_stream *s, unsigned cls, const struct orr_slice *parts, size_t n_parts);
    size_t (*queued)(struct orr_world *w, const struct orr_stream *s);         /* bytes taken, not yet
                                                                                * with the system */
    void (*read_pause)(struct orr_world *w, struct orr_stream *s, bool on);
    void (*close)(struct orr_world *w, struct orr_stream *s, bool flush);      /* then CLOSED, once; twice is once */
    int (*datagram)(struct orr_world *w, orr_id to, struct orr_slice data);    /* may vanish; <= 1200 bytes */
    int (*job)(struct orr_world *w, struct orr_job *r);
    void (*log)(struct orr_world *w, enum orr_level level, const char *text, size_t size);
    bool (*rare)(struct orr_world *w, const char *name);                       /* ORR_RARE's; NULL: never */
    /* What the oracles see: the driver reports each input, ready item, stored, applied and answered thing as a value
     * (orrery/trace.h). Live: NULL, one test a call. A checker reads no core's memory.                               */
    void (*trace)(struct orr_world *w, uint32_t group, unsigned kind, const void *event, size_t size);
    void (*stop)(struct orr_world *w, int code, const char *why);    /* this node ends after the turn; never exit() */
    bool (*stats)(struct orr_world *w, struct orr_world_stats *out); /* for people, no decision
                                                                      * rests on it. May be NULL */
    /* Steers the machine's own clock: it runs faster by *rate_ppb from now on than its oscillator has it, now() with
     * it, and its wall time is set by `step` (0: it isn't). ORR_RATE_KEEP: nothing changes but by the step, and
     * *rate_ppb is what is in force. -EPERM; others of the system's. NULL: there is none to be steered. */
    int (*steer)(struct orr_world *w, orr_time step, int32_t *rate_ppb);
    /* What a sensor of this machine shows, in 1/1000 degree Celsius: near the oscillator, one hopes. 0, or
     * ORR_EUNAVAILABLE: it has none. May take a ms, so ask a few times a minute. NULL: no sensor. */
    int (*temperature)(struct orr_world *w, int32_t *milli_c);
};
#define ORR_RATE_KEEP INT32_MIN


struct orr_world {
    const struct orr_world_ops *ops;
    struct orr_alloc alloc;         /* may fail; all of it goes at a crash */
    struct orr_chunks *chunks;      /* for encoding into */
    void (*wake)(void *ud);         /* the node's; set before the first turn */
    void *ud;
    uint64_t ordinary;              /* so many askings of ORR_RARE are answered with no, before ops->rare is asked */
};

/* A branch that the simulator takes now and then and the real world never: a tiny buffer, an early timeout. `name` is a
 * literal. Askings are many (a dozen for each event of a simulation), so most are answered here. */
#define ORR_RARE(w, name) orr_rare_in((w), (name))
static inline bool orr_rare_in(struct orr_world *w, const char *name) {
    if (w->ordinary == 0) return w->ops->rare && w->ops->rare(w, name);
    w->ordinary--;
    return false;
}

#ifdef __cplusplus
}
#endif
#endif
