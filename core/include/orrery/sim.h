/* sim.h - the simulated world: any number of nodes, their links, disks and clocks, in one thread on virtual time.
 *
 * A run is its seed: the same seed, program and calls give the same events in the same order, and orr_sim_digest() over
 * every delivered byte shows it. The simulator is the strictest world there is: what world.h forbids is asserted, what
 * world.h permits happens. Nothing in here reads a clock, the environment or any address.
 *
 *     struct orr_sim_config cfg;
 *     struct orr_sim *sim;
 *     orr_sim_config_init(&cfg);
 *     cfg.seed = 42;
 *     orr_sim_new(&sim, &cfg);
 *     orr_sim_add(sim, "n1", &(struct orr_sim_boot){ .start = my_start, .halt = my_halt, .ud = &me });
 *     orr_sim_start(sim, "n1");                       start() builds a node on its world: sets w->wake, w->ud
 *     orr_sim_chaos(sim, &rates, ORR_SECOND, 20 * ORR_SECOND);
 *     orr_sim_run(sim, 30 * ORR_SECOND);
 *     printf("%016" PRIx64 "\n", orr_sim_digest(sim));
 *     orr_sim_free(sim);
 *
 * Names of nodes are given as strings everywhere; an unknown one is -ENOENT (or nothing happens, in void functions).
 * None of these functions may be called from inside a node's turn; all may be from orr_sim_at's functions and from
 * clients' callbacks. */
#ifndef ORR_SIM_H
#define ORR_SIM_H

#include <orrery/base.h>
#include <orrery/world.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_sim;
struct orr_sim_client;

/* -- Faults: every kind has a rate, a count and a name ----------------------------------------------------------- */
/* X(enumerator, name, unit). Units:
 *   OP     probability for each operation of that sort (a datagram, a write, an allocation, ...);
 *   TIMED  strikes a virtual second over the whole cluster, drawn by orr_sim_chaos only;
 *   SHARE  share of the crashes (or restarts) that are of that sort;
 *   COUNT  no rate: counted where it happens. */
#define ORR_SIM_FAULTS(X)                                                                                              \
    /* datagrams */                                                                                                    \
    X(ORR_SIM_LOSS, "loss", OP)                       /* a datagram vanishes */                                        \
    X(ORR_SIM_DUPLICATE, "duplicate", OP)             /* comes twice */                                                \
    X(ORR_SIM_REORDER, "reorder", OP)                 /* is late by up to 20 ms */                                     \
    /* links and streams */                                                                                            \
    X(ORR_SIM_DELAY, "delay", OP)                     /* a piece of a stream is late by up to 200 ms */                \
    X(ORR_SIM_MUTATE, "mutate", OP)                   /* bits of what goes from node to node flip */                   \
    X(ORR_SIM_REPLAY, "replay", OP)                   /* frames from node to node come once more, a little later */    \
    X(ORR_SIM_RESET, "reset", TIMED)                  /* the streams between two ends break, bytes in flight lost */   \
    X(ORR_SIM_STALL, "stall", TIMED)                  /* a link delivers nothing for a while, then goes on */          \
    X(ORR_SIM_SLOW, "slow", TIMED)                    /* a link has a bandwidth of 20 kB/s to 2 MB/s for a while */    \
    X(ORR_SIM_FAR, "far", COUNT)                      /* a link is longer as long as chaos reigns */                   \
    X(ORR_SIM_CUT, "cut", TIMED)                      /* two nodes do not hear each other */                           \
    X(ORR_SIM_CUT_ONE_WAY, "cut_one_way", TIMED)      /* one hears the other, which hears nothing */                   \
    X(ORR_SIM_PARTITION, "partition", TIMED)          /* two sets of nodes, cut both ways */                           \
    /* processes */                                                                                                    \
    X(ORR_SIM_CRASH, "crash", TIMED)                  /* at some event within the next few */                          \
    X(ORR_SIM_CRASH_SEND, "crash_send", TIMED)        /* bytes are going out: some peers get theirs */                 \
    X(ORR_SIM_CRASH_SUBMITTED, "crash_submitted", TIMED)   /* a write was submitted, not executed */                   \
    X(ORR_SIM_CRASH_WRITTEN, "crash_written", TIMED)       /* written, not synced */                                   \
    X(ORR_SIM_CRASH_SYNCED, "crash_synced", TIMED)         /* synced, the completion not delivered */                  \
    X(ORR_SIM_CRASH_PROCESS, "crash_process", SHARE)  /* of crashes: kill -9, the page cache survives */               \
    X(ORR_SIM_CRASH_SILENT, "crash_silent", SHARE)    /* of crashes: no peer hears of it, streams are half-open */     \
    X(ORR_SIM_RESTART_EMPTY, "restart_empty", SHARE)  /* of restarts: with an empty disk */                            \
    X(ORR_SIM_RESTART_OLD, "restart_old", SHARE)      /* of restarts: with the disk as it was at the last start */     \
    X(ORR_SIM_START, "start", COUNT)                  /* chaos started one again that had ended by itself */           \
    X(ORR_SIM_PAUSE, "pause", TIMED)                  /* SIGSTOP for a while */                                        \
    /* disks */                                                                                                        \
    X(ORR_SIM_WRITE_ERROR, "write_error", OP)         /* -EIO, any part of it written */                               \
    X(ORR_SIM_READ_ERROR, "read_error", OP)           /* -EIO */                                                       \
    X(ORR_SIM_SYNC_ERROR, "sync_error", OP)           /* the file is poisoned */                                       \
    X(ORR_SIM_SYNC_HANG, "sync_hang", OP)             /* a sync takes 1 to 10 seconds */                               \
    X(ORR_SIM_WORN, "worn", COUNT)                    /* a disk is slower as long as chaos reigns */                   \
    X(ORR_SIM_DISK_FULL, "disk_full", TIMED)          /* no room for a while */                                        \
    X(ORR_SIM_ROT, "rot", TIMED)                      /* a bit of a synced byte flips: damage */                       \
    X(ORR_SIM_MISDIRECTED, "misdirected", OP)         /* a write lands elsewhere in its file: damage */                \
    X(ORR_SIM_STALE, "stale", OP)                     /* a write never lands, though reported: damage */               \
    X(ORR_SIM_SECTOR_LOST, "sector_lost", COUNT)      /* at a power loss: an unsynced sector kept its old bytes */     \
    X(ORR_SIM_SECTOR_KEPT, "sector_kept", COUNT)      /* ... has new ones */                                           \
    X(ORR_SIM_SIZE_LOST, "size_lost", COUNT)          /* an unsynced size was lost, all or in part */                  \
    X(ORR_SIM_NAME_LOST, "name_lost", COUNT)          /* an unsynced create, rename or remove was lost */              \
    X(ORR_SIM_NAME_BOTH, "name_both", COUNT)          /* both names of an unsynced rename are there */                 \
    /* clocks, memory, turns */                                                                                        \
    X(ORR_SIM_CLOCK_STEP, "clock_step", TIMED)        /* the wall clock jumps by up to a minute */                     \
    X(ORR_SIM_CLOCK_FREEZE, "clock_freeze", TIMED)    /* the wall clock stands for a while, and goes on from there */  \
    X(ORR_SIM_CLOCK_DRIFT, "clock_drift", TIMED)      /* the clocks run up to 300 ppm fast or slow from now on */      \
    X(ORR_SIM_CLOCK_WANDER, "clock_wander", TIMED)    /* their rate walks at random from now on, within 300 ppm */     \
    X(ORR_SIM_ALLOC, "alloc", OP)                     /* an allocation fails */                                        \
    X(ORR_SIM_TURN_CUT, "turn_cut", OP)               /* take() ends a turn's batch early; the rest comes next turn */ \
    X(ORR_SIM_SHORT_READ, "short_read", OP)           /* DATA ends at a random byte of what has arrived */             \
    X(ORR_SIM_RARE, "rare", OP)                       /* ORR_RARE is taken (about: each name of each node differs) */  \
    /* clients */                                                                                                      \
    X(ORR_SIM_HALF_CLOSE, "half_close", COUNT)        /* one has said all, and listens: orr_sim_client_end */

enum orr_sim_fault {
#define ORR_X(fault, name, unit) fault,
    ORR_SIM_FAULTS(ORR_X)
#undef ORR_X
    ORR_SIM_KINDS
};
#define ORR_SIM_MINORITY UINT32_MAX /* (number of nodes - 1) / 2 */
#define ORR_SIM_QUORUMS (UINT32_MAX - 1)    /* a minority of each of orr_sim_quorum's sets, and none that is in none:
                                             * what only it has is lost with its disk */
struct orr_sim_faults {
    double rate[ORR_SIM_KINDS];
    unsigned budget;                /* nodes whose disk may be damaged or lost at once, by chance, at most; and never
                                     * more than orr_sim_quorum's sets bear: ORR_SIM_MINORITY, or _QUORUMS */
    orr_time down_mean, pause_mean, cut_mean;  /* how long a crashed node stays down, a paused one paused, a link cut */
    /* While chaos reigns each link is longer by up to this, and each disk up to so many times as slow, drawn for each;
     * 0, 0 and 1: as they were. */
    orr_time delay, jitter;
    double slower;
};
/* Zero rates but turn_cut, short_read and rare, which are no faults: what any world may do. */
ORR_API void orr_sim_faults_init(struct orr_sim_faults *faults);
/* Moderate rates for every kind that no node may be hurt by beyond what world.h says: no rot, misdirected, stale. */
ORR_API void orr_sim_faults_default(struct orr_sim_faults *faults);
/* Swarm: a random half of those kinds, and of crash_send, clock_freeze and mutate, each at a random strength, with
 * random means, links and disks, all drawn from the seed; and clock_wander in a quarter of the seeds. Whatever is
 * drawn, a cluster is whole, or short of a minority, most of the time. */
ORR_API void orr_sim_faults_swarm(struct orr_sim_faults *faults, uint64_t seed);
/* In half of the seeds, besides: rot, and restarts with an old or an empty disk, within the budget, which is
 * ORR_SIM_QUORUMS from then on. A node that is hurt so may never answer again, and owes nothing any more
 * (orr_sim_disk_damaged); all others do. Neither misdirected nor stale: a write that was reported and isn't there makes
 * a node tell what is not so, which no quorum bears. */
ORR_API void orr_sim_faults_damage(struct orr_sim_faults *faults, uint64_t seed);
ORR_API const char *orr_sim_fault_name(enum orr_sim_fault kind);        /* "crash_written"; NULL past the end */
ORR_API const char *orr_sim_fault_unit(enum orr_sim_fault kind);        /* "OP", "TIMED", "SHARE", "COUNT" */
ORR_API int orr_sim_fault_by_name(const char *name);                    /* the kind, or -ENOENT */

/* -- The simulation ---------------------------------------------------------------------------------------------- */
struct orr_sim_strike;
enum orr_sim_state { ORR_SIM_DOWN, ORR_SIM_UP, ORR_SIM_PAUSED };
enum orr_sim_disk { ORR_SIM_KEPT, ORR_SIM_OLD, ORR_SIM_EMPTY };         /* with what disk a node comes back */

/* Delay: `delay` plus an exponential tail of mean `jitter`. bandwidth in bytes a second, 0: no limit. The rest are
 * probabilities for each datagram; what a stream loses is sent again, and late by up to 200 ms. mutate and replay are
 * for each datagram and each piece of a stream: no link does that by itself, and only some protocols bear it. */
struct orr_sim_link {
    orr_time delay, jitter;
    uint64_t bandwidth;
    double loss, duplicate, reorder, mutate, replay;
};
/* Latencies: a base plus an exponential tail of a tenth of it; bandwidth in bytes a second. */
struct orr_sim_disk_speed {
    orr_time read, write, sync, name;
    uint64_t bandwidth;
};
/* A second listener: the laboratory's oracles, where the hooks are somebody else's. Each may be NULL. */
struct orr_sim_judge {
    void (*trace)(void *ud, orr_time now, const char *node, uint32_t group, unsigned kind, const void *event,
                  size_t size);
    void (*life)(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why);
    void *ud;
};
struct orr_sim_config {
    size_t size;                    /* of this struct: set by _init */
    uint64_t seed;
    const struct orr_alloc *alloc;  /* NULL: libc. Must outlive the simulation */
    unsigned nodes_max;             /* 32 */
    struct orr_sim_link link;       /* between nodes, until set otherwise: 100 us + 50 us; and from and to clients */
    struct orr_sim_disk_speed disk; /* 80 us reads, 20 us writes, 100 us syncs, 500 MB/s */
    unsigned sector;                /* 512 or 4096: the unit that a power loss keeps whole */
    uint64_t disk_bytes;            /* 64 GiB */
    size_t stream_bytes_max;        /* send() refuses above this much that is not yet on the wire: 4 MiB */
    size_t wire_bytes_max;          /* sent and not yet taken by the other end, before bytes queue: 256 KiB */
    size_t data_bytes_max;          /* of one DATA: 64 KiB */
    orr_time stream_timeout;        /* unacknowledged bytes or a silent connect break a stream: 10 s */
    orr_time wall_start;            /* ns since 1970 at virtual time 0 */
    struct orr_sim_faults faults;   /* OP and SHARE rates that hold all the time, outside of chaos too */
    /* Hooks, each may be NULL. None may call into the simulation but for the readers (now, events, disk_*). */
    enum orr_level log_level;       /* what is more detailed is not passed on: ORR_LOG_INFO */
    void (*log)(void *ud, orr_time now, const char *node, enum orr_level level, const char *text, size_t size);
    void (*trace)(void *ud, orr_time now, const char *node, uint32_t group, unsigned kind, const void *event,
                  size_t size);
    void (*event)(void *ud, const char *line, size_t size);  /* one line of text, without the newline, for each event */
    /* The durable image (orr_sim_disk_durable) of path changed in at..at+size. size 0: the file's size is `at` now. */
    void (*durable)(void *ud, orr_time now, const char *node, const char *path, uint64_t at, size_t size);
    /* A node's state changed. code and why are stop()'s, or the start's error; 0 and what struck it otherwise. */
    void (*life)(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why);
    /* Chaos has struck: what would do the same in a run of this seed without it. */
    void (*strike)(void *ud, const struct orr_sim_strike *strike);
    /* For viewers: what the ends of streams say to each other, a call for each send. Names are nodes', or
     * ORR_SIM_CLIENTS. `sent` gives it a token above 0, and later ones are greater; 0: it is of no interest. What is on
     * its way together, tokens `first` to `last`, has been sent with `with` == first but for the first (0); others may
     * lie between. It arrives, or is lost from its byte `kept` on; even after it arrived, where nobody took it. */
    uint64_t (*sent)(void *ud, orr_time now, const char *from, const char *to, uint64_t with,
                     const struct orr_slice *parts, size_t n_parts);
    void (*arrived)(void *ud, orr_time now, uint64_t first, uint64_t last);
    void (*lost)(void *ud, orr_time now, uint64_t first, uint64_t last, size_t kept);
    /* The way from one to the other was cut, or is whole again. */
    void (*cut)(void *ud, orr_time now, const char *from, const char *to, bool on);
    void *ud;
    struct orr_sim_judge judge;     /* told the same, before the hooks */
};
ORR_API void orr_sim_config_init(struct orr_sim_config *config);
/* -ENOMEM, ORR_EINVALID. config: copied */
ORR_API int orr_sim_new(struct orr_sim **sim, const struct orr_sim_config *config);
ORR_API void orr_sim_free(struct orr_sim *sim);          /* halts what is up first; clients are freed too */

ORR_API orr_time orr_sim_now(const struct orr_sim *sim);         /* virtual ns, from 0 */
ORR_API bool orr_sim_step(struct orr_sim *sim);  /* one event or one turn; false: nothing will ever happen again */
/* The same, but nothing later than `until`; false: there is nothing up to then. */
ORR_API bool orr_sim_step_until(struct orr_sim *sim, orr_time until);
/* everything up to and at `until`; now is `until` then, or where a stop came */
ORR_API void orr_sim_run(struct orr_sim *sim, orr_time until);
ORR_API void orr_sim_stop(struct orr_sim *sim);  /* run() returns after this event: for oracles, legal in every hook */
/* deliveries to nodes: message, timer, disk completion, client's bytes */
ORR_API uint64_t orr_sim_events(const struct orr_sim *sim);
/* How often orr_sim_step would have returned true so far: with the time, where in the run this is. A run is played
 * again by a new simulation of the same seed, with each call made at the place where it was. */
ORR_API uint64_t orr_sim_steps(const struct orr_sim *sim);
/* over all that was delivered: kind, node, time, status, bytes */
ORR_API uint64_t orr_sim_digest(const struct orr_sim *sim);
ORR_API const uint64_t *orr_sim_counts(const struct orr_sim *sim);  /* [ORR_SIM_KINDS]: how often each fault struck */
/* ORR_RARE by name, over all nodes, in order of first use: false past the end. offered: how often it was one of those
 * that a node may take (ten times the rate); which it then does, by its own inclination, or not. */
ORR_API bool orr_sim_rare(const struct orr_sim *sim, size_t i, const char **name, uint64_t *offered, uint64_t *taken);
/* A seed for a named use of the harness's own (workloads, plans): a new use moves no old one. */
ORR_API uint64_t orr_sim_seed(const struct orr_sim *sim, const char *use);
/* fn(ud) at virtual time `at` (or at once, if that is past), before any node's turn of that instant. -ENOMEM. */
ORR_API int orr_sim_at(struct orr_sim *sim, orr_time at, void (*fn)(void *ud), void *ud);

/* -- Nodes ------------------------------------------------------------------------------------------------------- */
struct orr_sim_boot {
    /* Builds a node on this world: sets w->wake and w->ud. It is the node's turn 0: it may call all of world.h. An
     * error leaves the node down. The world is a new one at each start. */
    int (*start)(void *ud, struct orr_world *w, const char *name);
    /* The node has crashed or stopped: throw away what belongs to it outside its world (a Lua state). No call of
     * world.h, but w->alloc may still be given memory back. All that the world's alloc gave is freed afterwards. May
     * be NULL. */
    void (*halt)(void *ud, const char *name);
    void *ud;
    const char *dir;  /* name of its directory; NULL: its own. Two nodes may name the same one: ORR_EBUSY */
};
/* -EEXIST, ORR_EFULL, -ENOMEM */
ORR_API int orr_sim_add(struct orr_sim *sim, const char *name, const struct orr_sim_boot *boot);
ORR_API int orr_sim_start(struct orr_sim *sim, const char *name);        /* start()'s error; -EALREADY where it is up */
/* Power loss: what was not synced goes or stays sector by sector, as world.h says. */
ORR_API int orr_sim_kill(struct orr_sim *sim, const char *name);
/* kill -9: what was written is in the page cache and stays, until a power loss. */
ORR_API int orr_sim_kill_process(struct orr_sim *sim, const char *name);
/* Kills it if it is up, and starts it with its disk as it is, as it was at its last start, or empty. */
ORR_API int orr_sim_restart(struct orr_sim *sim, const char *name, enum orr_sim_disk disk);
ORR_API int orr_sim_pause(struct orr_sim *sim, const char *name);
ORR_API int orr_sim_resume(struct orr_sim *sim, const char *name);
ORR_API int orr_sim_state(const struct orr_sim *sim, const char *name);  /* enum orr_sim_state */
/* Gives a node that is up a turn at this instant, though nothing came: its bearer has something for it. (An alarm that
 * the bearer sets between turns does the same; so what host.h offers at any time may be called then.) */
ORR_API int orr_sim_poke(struct orr_sim *sim, const char *name);
/* in order of addition; NULL past the end */
ORR_API const char *orr_sim_node_name(const struct orr_sim *sim, size_t i);
ORR_API struct orr_world *orr_sim_world(struct orr_sim *sim, const char *name);  /* NULL: down. For tests */
/* bytes its alloc has given and not got back */
ORR_API size_t orr_sim_memory(const struct orr_sim *sim, const char *name);

/* -- Clients: endpoints outside the nodes, one connection at a time, over the same links ------------------------- */
struct orr_sim_client_ops {         /* each may call all client functions but free */
    void (*connected)(void *ud);
    void (*data)(void *ud, const void *bytes, size_t size);      /* borrowed */
    void (*closed)(void *ud, int status);                        /* once for each connect that returned 0 */
};
ORR_API int orr_sim_client_new(struct orr_sim *sim, struct orr_sim_client **client, const char *name,
                               const struct orr_sim_client_ops *ops, void *ud);
ORR_API void orr_sim_client_free(struct orr_sim_client *client);         /* closes without a callback */
/* -EISCONN; then connected or closed */
ORR_API int orr_sim_client_connect(struct orr_sim_client *client, const char *address);
/* copied; -ENOTCONN, ORR_EOVERLOADED */
ORR_API int orr_sim_client_send(struct orr_sim_client *client, const void *bytes, size_t size);
/* Shuts its sending side behind what was sent, and goes on listening, until the other side closes or this one does.
 * -ENOTCONN: not connected, nor connecting, or said already. */
ORR_API int orr_sim_client_end(struct orr_sim_client *client);
ORR_API void orr_sim_client_close(struct orr_sim_client *client);  /* what was sent still goes out; then closed() */

/* -- Links. A name may be ORR_SIM_CLIENTS (all clients together) or NULL (every end but `the other`). ------------ */
#define ORR_SIM_CLIENTS "clients"
ORR_API int orr_sim_link(struct orr_sim *sim, const char *from, const char *to, const struct orr_sim_link *link);
/* How the link between two ends is now, and whether it is cut. cut: may be NULL. Not for NULL names. */
ORR_API int orr_sim_link_now(const struct orr_sim *sim, const char *from, const char *to, struct orr_sim_link *link,
                             bool *cut);
ORR_API int orr_sim_cut(struct orr_sim *sim, const char *from, const char *to);  /* one way; cuts don't add up */
ORR_API int orr_sim_uncut(struct orr_sim *sim, const char *from, const char *to);
/* Cuts both ways between the nodes of the bitmap (bit i: orr_sim_node_name(i)) and the others. Clients reach all. */
ORR_API void orr_sim_partition(struct orr_sim *sim, uint64_t side);
ORR_API int orr_sim_slow(struct orr_sim *sim, const char *from, const char *to, uint64_t bandwidth);  /* 0: no more */
ORR_API int orr_sim_stall(struct orr_sim *sim, const char *from, const char *to, orr_time until);
ORR_API int orr_sim_reset(struct orr_sim *sim, const char *a, const char *b);  /* breaks every stream between them */
ORR_API void orr_sim_heal_links(struct orr_sim *sim);  /* no cut, no stall, config's delay and bandwidth */

/* -- Disks ------------------------------------------------------------------------------------------------------- */
/* Bytes of the durable image: what a power loss now would surely leave. -ENOENT: the name is not durable. */
ORR_API int orr_sim_disk_durable(const struct orr_sim *sim, const char *node, const char *path, uint64_t at, void *buf,
                                 size_t size, size_t *got);
ORR_API int orr_sim_disk_durable_size(const struct orr_sim *sim, const char *node, const char *path, uint64_t *size);
/* i-th durable name in bytewise order; NULL past the end. Borrowed until the simulation goes on. */
ORR_API const char *orr_sim_disk_durable_name(const struct orr_sim *sim, const char *node, size_t i);
/* How often the durable images or names of the disk have changed: who has read them need not do so again until then. */
ORR_API uint64_t orr_sim_disk_changes(const struct orr_sim *sim, const char *node);
/* The number, counted so, of the last change that was not of path's image. */
ORR_API uint64_t orr_sim_disk_changed_beside(const struct orr_sim *sim, const char *node, const char *path);
/* the disk has this many bytes now */
ORR_API int orr_sim_disk_room(struct orr_sim *sim, const char *node, uint64_t bytes);
/* how many bytes are taken */
ORR_API int orr_sim_disk_used(const struct orr_sim *sim, const char *node, uint64_t *bytes);
/* when the last of its syncs that hang will be done; past, or 0: none does. The end of faults ends no hang. */
ORR_API orr_time orr_sim_disk_hangs(const struct orr_sim *sim, const char *node);
/* flips a bit there */
ORR_API int orr_sim_disk_rot(struct orr_sim *sim, const char *node, const char *path, uint64_t at);
ORR_API int orr_sim_disk_speed(struct orr_sim *sim, const char *node, const struct orr_sim_disk_speed *speed);
ORR_API int orr_sim_disk_slower(struct orr_sim *sim, const char *node, double times);    /* latencies: 1 and more */
/* Has the disk been damaged (rot, misdirected, stale) or lost (empty, old)? The harness clears it when the node is
 * whole again. */
ORR_API bool orr_sim_disk_damaged(const struct orr_sim *sim, const char *node);
ORR_API void orr_sim_disk_repaired(struct orr_sim *sim, const char *node);
/* These nodes (bit i: orr_sim_node_name(i)) decide by a majority: chance damages or loses the disks of a minority of
 * each such set at most, so a healthy copy of whatever they decided stays in every majority. Without any, all nodes are
 * one set. ORR_EFULL: over 64 sets. */
ORR_API int orr_sim_quorum(struct orr_sim *sim, uint64_t members);
/* Has each set a majority left without these nodes, and without those whose disks are damaged or lost? */
ORR_API bool orr_sim_bears(const struct orr_sim *sim, uint64_t without);

/* -- Clocks, memory, and any OP fault or crash by count ---------------------------------------------------------- */
/* step: wall clock only; drift: both */
ORR_API int orr_sim_clock(struct orr_sim *sim, const char *node, orr_time step, int32_t drift_ppb);
/* The wall clock stands; then it goes on from there, late, and tells nobody of it. */
ORR_API int orr_sim_clock_freeze(struct orr_sim *sim, const char *node, bool on);
/* what the node's wall clock shows now, ns since 1970, and its drift */
ORR_API int orr_sim_clock_now(const struct orr_sim *sim, const char *node, orr_time *wall, int32_t *drift_ppb);
/* what its monotonic clock shows now, and what it would if it did not begin anew at each boot */
ORR_API int orr_sim_clock_local(const struct orr_sim *sim, const char *node, orr_time *local, orr_time *lived);

/* What a quartz does by itself, on top of orr_sim_clock's drift: its rate changes at each whole virtual second, and
 * what it is then is a matter of the seed and the node's name. All 0: it keeps to one rate. Wander and heat take it no
 * farther off than most_ppb; a drift beyond that stays, and they add nothing to it. */
struct orr_sim_oscillator {
    int32_t wander_ppb;             /* the rate walks at random: deviation after an hour, growing with the root of time;
                                     * up to 100000000. 0: no walk, and what it has come to is forgotten */
    int32_t most_ppb;               /* 0: 500000, which is what a cluster believes unless its file says otherwise */
    int32_t swing_mk;               /* the temperature goes up and down by so many mK around 25 degrees, with noise of a
                                     * tenth of it; up to 100000. 0: it has no sensor */
    int32_t ppb_per_kelvin;         /* how the rate follows: up to 1000000 either way */
    orr_time period;                /* of the temperature, from 25 degrees on; 0: an hour */
};
/* Copied. -ENOENT, ORR_EINVALID. Healing ends it. */
ORR_API int orr_sim_oscillator(struct orr_sim *sim, const char *node, const struct orr_sim_oscillator *as);
/* as it was set */
ORR_API int orr_sim_oscillator_now(const struct orr_sim *sim, const char *node, struct orr_sim_oscillator *as);
/* how fast its clocks run now, with all that: positive is fast */
ORR_API int orr_sim_oscillator_rate(const struct orr_sim *sim, const char *node, int32_t *ppb);
/* what its sensor shows now, in 1/1000 degree Celsius. ORR_EUNAVAILABLE: it has none */
ORR_API int orr_sim_temperature(struct orr_sim *sim, const char *node, int32_t *milli_c);

/* The nth next opportunity (1: the next) for this OP fault or effect crash at this node is taken. ORR_SIM_CRASH counts
 * deliveries. Several may be armed, each counted from when it was; 0 takes them all back. ORR_EFULL: too many. */
ORR_API int orr_sim_arm(struct orr_sim *sim, const char *node, enum orr_sim_fault kind, uint64_t nth);
/* An effect crash, and how the node's next crash shall be, which is drawn otherwise. */
enum { ORR_SIM_POWER = 0, ORR_SIM_PROCESS = 1, ORR_SIM_SILENT = 2 };
ORR_API int orr_sim_arm_crash(struct orr_sim *sim, const char *node, enum orr_sim_fault kind, uint64_t nth,
                              unsigned how);
/* The rate of an OP fault, or of rot, at this node alone, whatever the budget says; negative: as the simulation's. */
ORR_API int orr_sim_rate(struct orr_sim *sim, const char *node, enum orr_sim_fault kind, double rate);
/* Flips a bit of the nth byte (from 0, over all streams and datagrams) that is delivered: what a digest must show. */
ORR_API void orr_sim_flip(struct orr_sim *sim, uint64_t nth);

/* -- Chaos ------------------------------------------------------------------------------------------------------- */
/* Between `from` and `until` faults strike at these rates (copied), drawn from random streams of their own; whatever
 * goes down, also by its own stop(), comes back after a while. At `until` everything is healed: links, clocks' drift,
 * room on the disks, OP rates back to the config's; what is down, paused, or has a poisoned file is (re)started.
 * Damaged disks stay. What stops itself later is started again too: an answer to an old fault may come late. */
/* A strike, told when it comes; names are the simulation's own, and live as long. */
struct orr_sim_strike {
    orr_time from, till;            /* till: `from` where nothing lasts; ORR_NEVER: until all is healed */
    enum orr_sim_fault kind;
    const char *node, *other;       /* links: the way from node to other; else NULL. partition: both NULL */
    uint64_t side;                  /* partition: as of orr_sim_partition */
    /* OP kinds and effect crashes: which opportunity of the instant `from` it was, so orr_sim_arm a ns before does it
     * again. slow: bytes a second; disk_full: bytes that were left; clock_step: ns; clock_drift: ppb; clock_wander:
     * ppb in the square root of an hour; stall: ns; rot:
     * the place; far: delay; worn: how many times as slow, in millionths. */
    int64_t amount;
    orr_time jitter;                /* far */
    const char *path;               /* rot; borrowed during the call */
    unsigned how;                   /* effect crashes: flags as of orr_sim_arm_crash */
    enum orr_sim_disk disk;         /* start: with which one; told too where a node that crashed has another one then */
};
ORR_API int orr_sim_chaos(struct orr_sim *sim, const struct orr_sim_faults *rates, orr_time from, orr_time until);
ORR_API void orr_sim_heal(struct orr_sim *sim);          /* the same, now */

#ifdef __cplusplus
}
#endif
#endif
