/* room.h - what the files of core/sim share. Not for other rooms.
 *
 * One heap of ticks (struct orri_tick) drives everything; each moving thing embeds its own: a stream's wire, a file's
 * queue, a node's alarm, a datagram, a call of the harness. A tick never calls a node: it puts something into a node's
 * ready queue. Nodes with a ready queue take their turns, in the order in which they became ready, when no tick of
 * this instant is left: so everything of one instant reaches a node in one turn.
 *
 * Randomness: every user draws from its own stream, seeded by the run's seed and the user's name (orri_sim_rng).
 *
 * Memory of the simulator itself comes from config.alloc; where that fails in the middle of a run, the run can't go on
 * and is ended by an assertion: no outcome of a run depends on it. */
#ifndef ORRI_SIM_ROOM_H
#define ORRI_SIM_ROOM_H

#include <orrery/sim.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/rng.h"

struct orri_node;
struct orri_conn;
struct orri_disk;
struct orri_chaos;

/* Memory of the simulator's own that could not be had. */
#define ORRI_MUST(x) ((x) ? (void)0 : orri_assert_failed("memory for the simulator", __FILE__, __LINE__))
#define ORRI_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* -- Time -------------------------------------------------------------------------------------------------------- */
struct orri_tick {
    struct orr_timer timer;         /* first */
    void (*fire)(struct orri_tick *tick);
};

/* A node's clocks: local = base_local + (t - base_t) * (1 + rate / 1e9), up to `until`; the wall clock adds an offset.
 * until is ORR_NEVER, and rate is ppb, but where the oscillator wanders or is heated: there the line is bent at each
 * whole second of virtual time, when somebody asks for a time behind it (oscillator.c). */
struct orri_clock {
    orr_time base_t, base_local;
    orr_time until;
    int32_t rate;
    int32_t ppb;                    /* what was set; wander and heat come on top */
    orr_time before;                /* what boots took away from local */
    int32_t steered;                /* of ppb: what the node has given it; the rest is the oscillator's */
    orr_time wall_offset;
    uint32_t steps;
    bool frozen;
    orr_time frozen_at;             /* what the wall clock shows meanwhile */
    struct orr_sim_oscillator as;
    uint64_t seed;
    int64_t walk_ppt;
    orr_time heated;                /* since when: the sine begins there */
    int64_t noise_uk, celsius_uc;   /* in millionths of a degree */
};
orr_time orri_clock_local(struct orri_clock *clock, orr_time t);        /* t: not before a time that was asked for */
/* The first t at which local is reached; or, of what is far off, an earlier one at which to ask again. */
orr_time orri_clock_when(const struct orri_clock *clock, orr_time local);
orr_time orri_clock_wall(const struct orri_clock *clock, orr_time local);
void orri_clock_freeze(struct orri_clock *clock, orr_time t, bool on);
void orri_clock_drift(struct orri_clock *clock, orr_time t, int32_t ppb);
/* oscillator.c */
void orri_clock_set(struct orri_clock *clock, orr_time t, const struct orr_sim_oscillator *as);
void orri_clock_bend(struct orri_clock *clock);      /* at `until`: the next second */
void orri_clock_aim(struct orri_clock *clock);       /* rate, from ppb, wander and heat */
orr_time orri_clock_line(const struct orri_clock *clock, orr_time t);   /* by this second's line */

/* -- Memory ------------------------------------------------------------------------------------------------------ */
/* Blocks of one size, in slabs; what is free is poisoned under AddressSanitizer. */
struct orri_pool {
    const struct orr_alloc *alloc;
    size_t size;
    void *free;
    void *slabs;
};
void orri_pool_init(struct orri_pool *pool, const struct orr_alloc *alloc, size_t size);
void orri_pool_clear(struct orri_pool *pool);        /* everything it ever gave is gone */
void *orri_pool_get(struct orri_pool *pool);         /* not zeroed */
void orri_pool_put(struct orri_pool *pool, void *block);

/* What a world's alloc gave: linked, so that all of it can go at once. */
struct orri_block;
struct orri_memory {
    struct orri_block *first;
    size_t bytes;
    bool never_fails;               /* while the world allocates for itself */
};
void *orri_memory_fn(void *node, void *ptr, size_t old_size, size_t new_size);
void orri_memory_clear(struct orri_node *node);

void *orri_sim_raw(struct orr_sim *sim, size_t size);                /* never NULL */
void *orri_sim_get(struct orr_sim *sim, size_t size);                /* and zeroed */
void orri_sim_put(struct orr_sim *sim, void *at, size_t size);
char *orri_sim_text(struct orr_sim *sim, const char *text);          /* give back with orri_sim_put_text */
void orri_sim_put_text(struct orr_sim *sim, char *text);

/* -- Faults ------------------------------------------------------------------------------------------------------ */
enum { ORRI_ARMED_MAX = 8 };
struct orri_aim {                   /* one OP fault at one node */
    uint64_t left;                  /* opportunities up to the next strike; 0: none will come */
    orr_time instant;               /* of the last opportunity, */
    uint64_t nth;                   /* and which one of that instant it was */
    bool armed, seeded, by_chaos;   /* armed: the next strike is by orr_sim_arm, not by the rate; or by chaos */
    unsigned n_more;
    uint64_t more[ORRI_ARMED_MAX - 1];       /* armed too: opportunities from each one to the next */
    double rate;                    /* that the next strike was drawn by */
    double own;                     /* of this node alone, by orr_sim_rate; negative: there is none */
    struct orr_rng rng;
};
bool orri_strike_now(struct orri_node *node, enum orr_sim_fault kind);
void orri_aims_draw(struct orri_node *node);         /* anew where the rate has changed */
void orri_rare_draw(struct orri_node *node);         /* likewise */
void orri_aims_disarm(struct orri_node *node);
/* The next of that kind, in place of all that are armed: by chaos. */
void orri_aim_crash(struct orri_node *node, enum orr_sim_fault kind, uint64_t nth);
/* May this node's disk be damaged (by chance: within the budget; armed: always)? */
bool orri_may_damage(const struct orri_node *node, enum orr_sim_fault kind);
/* A bit of some synced byte; false: it has none. */
bool orri_rot(struct orri_node *node, struct orr_rng *rng, const char **path, uint64_t *at);
void orri_rot_fire(struct orri_tick *tick);

/* -- Bytes under way --------------------------------------------------------------------------------------------- */
enum orri_piece_kind { ORRI_SYN, ORRI_OPENED, ORRI_BYTES, ORRI_FIN, ORRI_RST };
struct orri_piece {
    struct orri_piece *next;
    orr_time at;                    /* when it arrives */
    enum orri_piece_kind kind;
    int status;                     /* RST: why */
    unsigned size_class;
    size_t from, size, cap;         /* bytes[from..size) are left */
    uint64_t first, last;           /* tokens of config.sent; 0: none */
    unsigned char bytes[];
};
struct orri_pieces {
    struct orri_piece *first, *last;
    size_t bytes;
};

/* -- What waits to be taken by a node ---------------------------------------------------------------------------- */
enum orri_ready_kind { ORRI_READY_IO, ORRI_READY_END, ORRI_READY_GRAM };
struct orri_ready {
    struct orri_ready *next;
    enum orri_ready_kind kind;
    bool queued;
};

/* A file's, name's or job's request between submission and take(). req->next points at it meanwhile. */
struct orri_io {
    struct orri_tick tick;          /* OPEN and JOB only: files have one tick for a batch */
    struct orri_ready ready;
    struct orri_io *next;           /* in its file's queue */
    struct orri_io *node_prev, *node_next;
    struct orr_req *req;
    struct orri_node *node;
    struct orr_file *file;          /* NULL: OPEN, JOB */
    uint64_t sum;                   /* of a write's bytes at submission */
    int status;
    uint64_t result;
};
struct orri_ios {
    struct orri_io *first, *last;
};
/* An open file, or (inode NULL) the queue of name requests. */
struct orr_file {
    struct orri_tick tick;
    struct orri_node *node;
    struct orri_inode *inode;
    struct orr_file *node_prev, *node_next;
    struct orr_file *touched_next;
    struct orri_ios waiting, batch; /* batch: under way */
    unsigned flags;
    bool touched, poisoned, closing;
    bool syncing;                   /* the batch was written and is being synced */
};

struct orri_listener {
    struct orri_listener *next;
    char *address;
    struct orri_node *node;
    uint32_t number;
    unsigned connections_max, connections;
    bool open;                      /* stays known when its node is down */
};

/* One end of a stream. Owned by a node, by a client, or by nobody any more. */
struct orri_end {
    struct orr_stream face;         /* first */
    struct orri_conn *conn;
    struct orri_node *node;
    struct orr_sim_client *client;
    unsigned site;
    struct orri_listener *listener; /* of an accepted one */
    struct orri_ready ready;
    struct orri_end *node_prev, *node_next;
    struct orri_end *touched_next;
    struct orri_pieces queue[2];    /* by class: not on the wire yet */
    struct orri_pieces wire;        /* towards the other end, by arrival */
    struct orri_pieces inbox;       /* arrived here, not taken */
    struct orri_piece *again;       /* flies once more, when so many others have */
    unsigned again_in;
    struct orri_tick tick;          /* of the wire */
    orr_time wire_last;             /* arrival of the last piece put on it */
    int status;                     /* of CLOSED */
    bool touched, paused, refused;  /* refused: a send was, so ROOM is due */
    bool opened, told;              /* open; and the owner has been told */
    bool room;
    bool over;                      /* nothing more comes from there, and nothing goes: FIN or RST */
    bool fin, ended;                /* FIN came, to a node that may want to go on; and it was told ENDED */
    bool ending;                    /* a client says no more, but listens */
    bool closing, finished;         /* close() was called; FIN or RST was put on the wire */
    bool reset;                     /* ... RST, for bytes that nobody here wants */
};
struct orri_conn {
    struct orr_sim *sim;
    struct orri_conn *prev, *next;
    struct orri_end end[2];         /* 0 connected, 1 accepted */
    struct orri_listener *listener; /* whom the SYN is for, or NULL */
};

enum { ORRI_DATAGRAM_MAX = 1200, ORRI_SITE_CLIENTS = 0 };
struct orri_gram {
    struct orri_tick tick;
    struct orri_ready ready;
    struct orri_gram *prev, *next;
    struct orri_node *to;
    orr_id from;
    orr_time received;              /* local time of the receiver */
    size_t size;
    unsigned char bytes[ORRI_DATAGRAM_MAX];
};

struct orri_link {
    struct orr_sim_link p;
    orr_time more_delay, more_jitter;        /* chaos's, on top */
    uint64_t slow;                  /* bytes a second; 0: not slow */
    bool cut;
    unsigned cuts;                  /* chaos's, which add up */
    orr_time stalled_until, busy_until;
    struct orr_rng rng;
};

/* -- Nodes ------------------------------------------------------------------------------------------------------- */
struct orri_rare {
    double factor;                  /* of the rate, at this node */
    struct orri_rare_count *count;
};
struct orri_rare_count {
    struct orri_rare_count *next;
    char *name;
    uint64_t offered, taken;
};

struct orri_node {
    struct orr_world world;         /* first */
    struct orr_sim *sim;
    char *name;
    orr_id id;
    unsigned index, site;
    struct orr_sim_boot boot;
    enum orr_sim_state state;
    uint64_t boots, serials;
    bool silent;                    /* down, and its host does not answer */
    struct orri_disk *disk;
    bool started;                   /* start() returned 0 */
    bool locked;                    /* it holds its directory */
    struct orri_memory memory;
    struct orri_clock clock;
    struct orri_tick alarm;
    orr_time alarm_at, alarm_slack; /* as the node asked, in its time */
    bool alarm_moved, alarm_due;
    struct orr_map peers;           /* id -> address */
    struct orri_listener *listeners;
    struct orri_end *ends;
    struct orr_file *files;
    struct orr_file names;
    struct orri_io *ios;

    struct orri_ready *ready_first, *ready_last;
    struct orri_node *runnable_next;
    bool runnable;
    /* The turn. */
    bool in_turn, turn_over, doomed, stopping;
    unsigned taken;
    orr_time now;                   /* local */
    struct orr_file *touched_files;
    struct orri_end *touched_ends;
    struct orr_stream_event event;  /* what take() lent last */
    struct orr_datagram datagram;
    bool lent;
    int stop_code;
    char stop_why[160];
    int next_crash;                 /* how: flags; -1: it is drawn */
    struct orr_sim_strike crash;    /* what chaos has just struck it down by; node NULL: nothing */

    struct orri_aim aims[ORR_SIM_KINDS];
    struct orri_tick rot;           /* at a rate of its own */
    struct orr_rng turns, disks, ends_rng, secrets;
    struct orr_map rares;
    struct orr_rng rare_rng;
    double rare_rate;               /* the one for which the next was drawn */
};

static inline struct orri_node *orri_node_of(struct orr_world *w) { return (struct orri_node *)(void *)w; }


enum orri_end_how { ORRI_STOPPED, ORRI_PROCESS, ORRI_POWER };
struct orri_node *orri_node_find(const struct orr_sim *sim, const char *name);
void orri_node_clear(struct orri_node *node);        /* frees what a node that is down still has */
int orri_node_start(struct orri_node *node);
void orri_node_crash(struct orri_node *node, const char *why);       /* power or process, silent or not: drawn */
void orri_node_end(struct orri_node *node, enum orri_end_how how, bool silent, int code, const char *why);
void orri_node_turn(struct orri_node *node);
void orri_node_runnable(struct orri_node *node);
void orri_node_ready(struct orri_node *node, struct orri_ready *ready);
void orri_node_pause(struct orri_node *node);
void orri_node_resume(struct orri_node *node);
void orri_node_rearm(struct orri_node *node);        /* its clocks run otherwise from now on */

/* -- The world's parts: each implements some of struct orr_world_ops --------------------------------------------- */
/* oscillator.c */
int orri_world_temperature(struct orr_world *w, int32_t *milli_c);
/* file.c */
int orri_world_open_dir(struct orr_world *w);
int orri_world_open(struct orr_world *w, struct orr_open *r);
int orri_world_write(struct orr_world *w, struct orr_write *r);
int orri_world_read(struct orr_world *w, struct orr_read *r);
int orri_world_file_op(struct orr_world *w, struct orr_file_op *r, enum orr_op op);
int orri_world_name_op(struct orr_world *w, struct orr_name_op *r, enum orr_op op);
int orri_world_job(struct orr_world *w, struct orr_job *r);
void orri_world_cancel(struct orr_world *w, struct orr_req *req);
void orri_files_begin(struct orri_node *node);       /* the turn is over: what was submitted starts */
struct orr_req *orri_io_take(struct orri_io *io);
void orri_files_cut(struct orri_node *node);         /* the process dies: what was under way stays half done */
void orri_files_end(struct orri_node *node, enum orri_end_how how);
/* stream.c */
int orri_world_peer(struct orr_world *w, orr_id id, const char *address);
int orri_world_listen(struct orr_world *w, const char *address, uint32_t listener, unsigned connections_max);
int orri_world_connect(struct orr_world *w, orr_id peer, struct orr_stream **out);
int orri_world_send(struct orr_world *w, struct orr_stream *s, unsigned cls, const struct orr_slice *parts,
                    size_t n_parts);
size_t orri_world_queued(struct orr_world *w, const struct orr_stream *s);
void orri_world_read_pause(struct orr_world *w, struct orr_stream *s, bool on);
void orri_world_close(struct orr_world *w, struct orr_stream *s, bool flush);
bool orri_ends_begin(struct orri_node *node);        /* false: a crash is due, in the middle of it */
struct orr_req *orri_end_take(struct orri_end *end); /* NULL: it had no news after all */
void orri_ends_end(struct orri_node *node, enum orri_end_how how, bool silent);
struct orri_listener *orri_listener_find(const struct orr_sim *sim, const char *address);
/* wire.c: what goes on between two ends */
struct orri_conn *orri_conn_new(struct orr_sim *sim, unsigned from, struct orri_listener *to);
void orri_conn_release(struct orri_conn *conn);      /* frees it where neither end has an owner */
void orri_conn_free(struct orri_conn *conn);
void orri_wire_put(struct orri_end *end, enum orri_piece_kind kind, int status);
void orri_wire_pump(struct orri_end *end);
void orri_wire_break(struct orri_end *end, int status);      /* a part of what flies from it is lost, then RST */
void orri_wire_rearm(struct orr_sim *sim, unsigned from, unsigned to);       /* the way is free again */
void orri_end_news(struct orri_end *end);            /* tells the owner, where there is something to tell */
void orri_end_detach(struct orri_end *end);          /* its node has it no more */
static inline struct orri_end *orri_end_other(struct orri_end *end) {
    return &end->conn->end[end == &end->conn->end[0]];
}
struct orri_piece *orri_piece_new(struct orr_sim *sim, size_t size);
void orri_piece_free(struct orr_sim *sim, struct orri_piece *piece);
void orri_pieces_push(struct orri_pieces *pieces, struct orri_piece *piece);
struct orri_piece *orri_pieces_pop(struct orri_pieces *pieces);
void orri_pieces_clear(struct orr_sim *sim, struct orri_pieces *pieces);     /* what is in them is lost */
/* Appends bytes for `cls`; the whole is one frame. */
void orri_end_send(struct orri_end *end, unsigned cls, const struct orr_slice *parts, size_t n_parts);
void orri_client_news(struct orri_end *end);
/* link.c */
int orri_world_datagram(struct orr_world *w, orr_id to, struct orr_slice data);
const char *orri_site_name(const struct orr_sim *sim, unsigned site);
struct orri_link *orri_link_of(const struct orr_sim *sim, unsigned from, unsigned to);
orr_time orri_link_arrival(struct orr_sim *sim, unsigned from, unsigned to, size_t size);
/* How late a piece of a stream is that the link lost; 0: it didn't. */
orr_time orri_link_again(struct orr_sim *sim, unsigned from, unsigned to);
/* Does the link do that by itself? */
bool orri_link_strikes(struct orr_sim *sim, struct orri_link *link, double rate, enum orr_sim_fault kind);
/* Bits of these bytes flip. */
void orri_mutate(struct orr_rng *rng, void *bytes, size_t size);
/* May a piece arrive now? Else *again says when to look again (ORR_NEVER: it will be rearmed). */
bool orri_link_passes(const struct orr_sim *sim, unsigned from, unsigned to, orr_time *again);
struct orr_req *orri_gram_take(struct orri_gram *gram);
void orri_gram_free(struct orr_sim *sim, struct orri_gram *gram);
void orri_links_init(struct orr_sim *sim);
static inline uint64_t orri_link_bandwidth(const struct orri_link *link) {
    bool slower = link->slow > 0 && (link->p.bandwidth == 0 || link->slow < link->p.bandwidth);
    return slower ? link->slow : link->p.bandwidth;
}
void orri_link_cut(struct orr_sim *sim, const struct orri_node *from, const struct orri_node *to, bool on);
/* disk.c: images. See there. */
struct orri_disk *orri_disk_of(struct orr_sim *sim, const char *dir);        /* found or made */
void orri_disk_free(struct orri_disk *disk);
void orri_disk_save(struct orri_disk *disk);         /* for a later restart with the old disk */
void orri_disk_reset(struct orri_disk *disk, enum orr_sim_disk how);
/* chaos.c */
void orri_chaos_free(struct orr_sim *sim);
void orri_chaos_down(struct orri_node *node, bool by_itself);        /* it comes back, if chaos reigns */

/* -- The simulation ---------------------------------------------------------------------------------------------- */
enum { ORRI_PIECE_CLASSES = 3, ORRI_GRAVES = 32, ORRI_QUORUMS_MAX = 64 };
struct orri_call {
    struct orri_tick tick;
    struct orr_sim *sim;
    void (*fn)(void *ud);
    void *ud;
};
struct orr_sim {
    struct orr_sim_config config;
    struct orr_alloc alloc;
    struct orr_heap heap;
    orr_time now;
    uint64_t events, digest, turns_now, steps;
    bool stopped;
    struct orri_node **nodes;
    unsigned n_nodes, sites;        /* sites: 1 + nodes_max; 0 is the clients' */
    struct orri_node *runnable_first, *runnable_last;
    struct orri_link *links;
    struct orri_conn *conns;
    struct orri_conn *graves[ORRI_GRAVES];   /* closed lately: a late use is seen */
    unsigned grave;
    struct orri_listener *listeners;
    struct orr_sim_client *clients;
    struct orri_disk *disks;
    struct orri_gram *grams;
    struct orri_rare_count *rares;
    struct orri_chaos *chaos;
    uint64_t quorums[ORRI_QUORUMS_MAX];
    unsigned n_quorums;
    struct orr_sim_faults rates;    /* as they are now */
    uint64_t counts[ORR_SIM_KINDS];
    uint64_t bytes, flip;           /* delivered; which of them to flip */
    struct orri_pool ios, pieces[ORRI_PIECE_CLASSES], gram_pool, call_pool;
};

void orri_sim_rng(const struct orr_sim *sim, struct orr_rng *rng, const char *use, const char *name);
void orri_sim_set(struct orr_sim *sim, struct orri_tick *tick, orr_time at);
void orri_sim_unset(struct orr_sim *sim, struct orri_tick *tick);
/* Into the digest: something with these bytes is being delivered. */
void orri_sim_deliver(struct orr_sim *sim, unsigned node, unsigned kind, int status, const void *at, size_t size);
/* bytes came over a link: flips the one asked for */
void orri_sim_carried(struct orr_sim *sim, void *at, size_t size);
void orri_sim_count(struct orr_sim *sim, enum orr_sim_fault kind);
__attribute__((format(printf, 3, 4))) void orri_sim_say(struct orr_sim *sim, const char *node, const char *format, ...);
static inline bool orri_strike(struct orri_node *node, enum orr_sim_fault kind) {
    struct orri_aim *aim = &node->aims[kind];
    if (__builtin_expect(aim->left == 0, 1)) return false;
    if (aim->instant != node->sim->now) {
        aim->instant = node->sim->now;
        aim->nth = 0;
    }
    aim->nth++;
    if (--aim->left > 0) return false;
    return orri_strike_now(node, kind);
}
/* The hook: something that chaos did. */
static inline void orri_sim_told(const struct orr_sim *sim, const struct orr_sim_strike *strike) {
    if (sim->config.strike) sim->config.strike(sim->config.ud, strike);
}
#define ORRI_SAY(sim, ...) ((sim)->config.event ? orri_sim_say(sim, __VA_ARGS__) : (void)0)

/* -ln(u) * mean, in integers: the same on every machine. */
orr_time orri_expo(struct orr_rng *rng, orr_time mean);

#endif
