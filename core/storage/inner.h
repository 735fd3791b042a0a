/* inner.h - the parts of the storage, for its own files only.
 *
 *   storage.c            life, groups, results, what callers see
 *   errand.c             a row of requests to the world, one at a time
 *   wal_format.c         bytes                   snapshot_format.c
 *   wal_index.c          where each entry lies   snapshot_write.c     images of our own, and those that peers send
 *   wal_write.c          group commit            snapshot_read.c      pieces for peers and for the machine
 *   wal_segments.c       files ahead and behind
 *   wal_recover.c        what the disk has       recover.c            all of it together, at start
 *   wal_fetch.c          reading entries back    sum.c                checksums of what comes in pieces
 *   fetch.c              what both kinds of reading back share                                                      */
#ifndef ORRI_STORAGE_INNER_H
#define ORRI_STORAGE_INNER_H

#include "storage/storage.h"
#include "storage/snapshot_format.h"
#include "storage/wal_format.h"

/* -- Memory: rows of pointers -------------------------------------------------------------------------------------- */
struct orri_row {
    void **at;
    size_t n, cap;
};
int orri_row_reserve(struct orr_storage *s, struct orri_row *row, size_t more);
void orri_row_push(struct orri_row *row, void *item);          /* room was reserved */
void orri_row_cut(struct orri_row *row, size_t at);            /* the order of the others stays */
void orri_row_clear(struct orr_storage *s, struct orri_row *row);
void *orri_get(struct orr_storage *s, size_t size);            /* zeroed, or NULL */
void orri_put(struct orr_storage *s, void *at, size_t size);
/* Makes *at, an array of items of `size` bytes, hold `want`; by doubling. */
int orri_grow(struct orr_storage *s, void **at, size_t *cap, size_t want, size_t size);

/* -- Results, told by take() --------------------------------------------------------------------------------------- */
struct orri_result {
    struct orri_result *next;
    bool queued;
    struct orri_storage_done done;
    void (*taken)(struct orr_storage *s, struct orri_result *result); /* the next take came: gives back what it lent */
};
struct orri_queue {
    struct orri_result *head, *tail;
};
void orri_queue_push(struct orri_queue *q, struct orri_result *r);
struct orri_result *orri_queue_pop(struct orri_queue *q);
void orri_tell(struct orr_storage *s, struct orri_result *r);           /* queued already: only its content is new */

/* -- Errands ------------------------------------------------------------------------------------------------------- */
/* One request at a time; `then` is called with its status when it is over, or at once where it can't even begin. */
struct orri_errand {
    union {
        struct orr_req req;
        struct orr_open open;
        struct orr_read read;
        struct orr_write write;
        struct orr_file_op file;
        struct orr_name_op name;
    } r;
    struct orr_slice bytes;
    struct orr_storage *s;
    void *owner;
    void (*then)(struct orri_errand *e, int status);
    bool running;
};
typedef void (*orri_then_fn)(struct orri_errand *e, int status);
void orri_errand_open(struct orri_errand *e, const char *path, unsigned flags, orri_then_fn then);
void orri_errand_read(struct orri_errand *e, struct orr_file *file, uint64_t at, size_t size, orri_then_fn then);
void orri_errand_write(struct orri_errand *e, struct orr_file *file, uint64_t at, struct orr_slice bytes,
                       unsigned flags, orri_then_fn then);
void orri_errand_file(struct orri_errand *e, enum orr_op op, struct orr_file *file, uint64_t at, unsigned flags,
                      orri_then_fn then);
void orri_errand_name(struct orri_errand *e, enum orr_op op, const char *path, const char *to, orri_then_fn then);

/* -- Fetches ------------------------------------------------------------------------------------------------------- */
/* What a fetch begins with, of entries or of a piece of a snapshot. While its read runs it is in s->fetches. */
struct orri_fetch {
    struct orri_result result;      /* first */
    struct orr_storage *s;
    struct orri_fetch *next, **link;
    struct orr_read read;
    size_t bytes;                   /* of all of it, this included */
};
void *orri_fetch_new(struct orr_storage *s, size_t bytes, struct orri_storage_done done);       /* NULL: no memory */
/* `done` has to begin with orri_fetch_over. Where it fails no read runs, and the fetch is still the caller's. */
int orri_fetch_read(struct orri_fetch *f, struct orr_file *file, uint64_t at, size_t size,
                    void (*done)(struct orr_req *req));
struct orri_fetch *orri_fetch_over(struct orr_req *req);
void orri_fetch_tell(struct orri_fetch *f, int status);
void orri_fetches_clear(struct orr_storage *s);

/* -- Segments ------------------------------------------------------------------------------------------------------ */
struct orri_segment {
    struct orr_file *file;
    uint64_t sequence;              /* 0: holds nothing that counts */
    uint64_t size, used;
    uint64_t live;                  /* entries in it that may still be wanted */
    uint32_t slot;
    unsigned readers;
    char name[ORRI_WAL_NAME];
};
struct orri_segments {
    struct orri_row used;           /* by sequence, without gaps; the last is written to */
    struct orri_row spare;          /* zeros or leftovers, of full size, durable by name */
    struct orri_row blank;          /* not of full size yet */
    struct orri_row trash;          /* to be removed */
    uint64_t oldest_stated;         /* by a durable batch: what lies before may be overwritten */
    uint32_t slots;                 /* the next new one's number */
    uint64_t want;                  /* a batch of more than a segment waits for one of this size */
    struct orri_errand prepare, discard;
    struct orri_segment *preparing, *discarding;
    bool no_room;                   /* the last preparation found the disk full */
    bool cramped;                   /* and a batch didn't fit in what was left */
    unsigned strikes;               /* preparations that failed otherwise, in a row */
    orr_time retry;
};
struct orri_segment *orri_segment_new(struct orr_storage *s, uint32_t slot);
void orri_segment_free(struct orr_storage *s, struct orri_segment *segment);
struct orri_segment *orri_segment_of(const struct orr_storage *s, uint64_t sequence);      /* in use */
struct orri_segment *orri_segment_last(const struct orr_storage *s);                        /* NULL: none yet */
uint64_t orri_segments_oldest(const struct orr_storage *s);     /* the first in use that is needed, as things stand */
/* A spare of at least `size`. With `reserve` the last one may be had; NULL: wait, or, where no_room, there is none. */
struct orri_segment *orri_segments_spare(struct orr_storage *s, uint64_t size, bool reserve);
void orri_segments_use(struct orr_storage *s, struct orri_segment *spare);      /* it is the last in use now */
void orri_segments_cramped(struct orr_storage *s);              /* a batch didn't fit in what is left of a full disk */
bool orri_segments_short(const struct orr_storage *s);          /* fewer spares than wanted */
void orri_segments_tend(struct orr_storage *s);                 /* recycle, prepare, remove: starts what is due */
void orri_segments_clear(struct orr_storage *s);

/* -- Groups: where their entries lie ------------------------------------------------------------------------------- */
struct orri_place {
    uint64_t at;                    /* of the entry's head in its segment */
    uint32_t segment;               /* sequence */
    uint32_t size;                  /* of its data */
};
struct orri_kept {                  /* a snapshot with its file */
    struct orr_snapshot snapshot;   /* config: copied, behind this struct */
    uint32_t group;
    struct orri_errand e;           /* open, close, remove */
    struct orr_file *file;          /* NULL: not open */
    struct orri_queue reads;        /* wait for the open */
    struct orri_kept *next;         /* in s->retired, or of its group's damaged ones */
    unsigned readers;
    bool dropped, remove;           /* dropped: to be closed when nobody reads, and removed where it says so */
    bool damaged;                   /* its removal is synced: come back, it would stand in a good one's place */
    struct orri_sum *sum;           /* of what was read in a row from the beginning */
    uint64_t summed;
    char name[ORRI_SNAPSHOT_NAME];
};
struct orri_group {
    uint32_t id;
    unsigned char *state;
    size_t state_size, state_cap;
    orr_index first, last;          /* of the log, as written; empty: last == first - 1 */
    orr_index known;                /* while recovering: places begin here, >= first; later always first */
    orr_index stored;               /* durable through here */
    struct orri_place *places;      /* n = last - known + 1 of them, from `begin` */
    size_t begin, cap_places;
    struct orr_term_run *runs;
    size_t n_runs, cap_runs;
    orr_time time;                  /* of the last entry */
    uint64_t bytes;                 /* of entries behind the newest snapshot */
    struct orr_entry *configs;      /* recovered, until the first store; data copied */
    size_t n_configs, cap_configs;
    orr_index release;              /* asked for, not yet in the log; 0: nothing */
    bool reset;                     /* the log begins anew behind `reset_to`, not yet in the log */
    struct orr_snapshot reset_to;
    size_t refusals;                /* refused stores with entries that the caller hasn't heard of */
    uint64_t round;                 /* of the planning below */
    orr_index plan_first, plan_last;
    size_t plan_n;
    struct orri_kept *newest, *older;
    struct orri_kept *damaged;      /* not to be used; by `next`; they go when the next snapshot is there */
    struct orri_writer *writer, *receiver;
    struct orri_result room;
};
struct orri_group *orri_group_find(const struct orr_storage *s, uint32_t id);
struct orri_group *orri_group_make(struct orr_storage *s, uint32_t id);        /* NULL: memory is out */
void orri_group_free(struct orr_storage *s, struct orri_group *g);

int orri_index_reserve(struct orr_storage *s, struct orri_group *g, size_t more, size_t state_size);
void orri_index_truncate(struct orr_storage *s, struct orri_group *g, orr_index from);
void orri_index_append(struct orr_storage *s, struct orri_group *g, const struct orr_entry *entry, uint32_t segment,
                       uint64_t at);
void orri_index_release(struct orr_storage *s, struct orri_group *g, orr_index through);
void orri_index_reset(struct orr_storage *s, struct orri_group *g, orr_index index, orr_time time);
const struct orri_place *orri_index_place(const struct orri_group *g, orr_index index);
orr_term orri_index_term(const struct orri_group *g, orr_index index);         /* 0: not there */
void orri_index_state(struct orri_group *g, struct orr_slice state);           /* room was reserved */
void orri_index_measure(struct orri_group *g);                                  /* bytes anew, after a snapshot */
int orri_index_config(struct orr_storage *s, struct orri_group *g, const struct orr_entry *entry);
void orri_index_forget_configs(struct orr_storage *s, struct orri_group *g, orr_index from, orr_index through);

/* -- The log's end ------------------------------------------------------------------------------------------------- */
/* A store from its hand-in until its result was taken. */
struct orri_wait {
    struct orri_result result;      /* first */
    struct orri_group *group;
    struct orr_entry *entries;
    size_t n_entries, cap_entries;
    unsigned char state[ORR_STATE_MAX];
    unsigned char *long_state;      /* where it is longer */
    size_t state_size;
    bool truncate, urgent, data;    /* data: bears more than the protocol's own entries */
    bool refused;                   /* over, and it had entries */
    struct orri_writer *receiver;   /* of an incoming snapshot: not a caller's store, but the log's new beginning at */
    struct orr_snapshot reset_to;
};
struct orri_batch {
    struct orr_write write;
    bool running, again;            /* again: the disk was full; the same bytes at the same place */
    struct orri_queue stores;       /* waits */
    unsigned char *heads;           /* all that is not an entry's data by reference */
    size_t cap_heads;
    struct orr_slice *parts;
    size_t cap_parts, n_parts;
    uint64_t oldest;                /* as it states */
};
struct orri_wal {
    uint64_t id;                    /* 0: no log yet */
    uint64_t number, chain;         /* of the last batch */
    struct orri_queue waiting;      /* waits */
    struct orri_batch batch;
    uint64_t round;
    size_t marks;                   /* groups with a release or reset that the log doesn't know */
    orr_time retry;
};
bool orri_wal_flush(struct orr_storage *s);          /* false: there was nothing to do */
int orri_wal_reset(struct orr_storage *s, struct orri_group *g, const struct orr_snapshot *to,
                   struct orri_writer *receiver);
void orri_wal_refusal_heard(struct orr_storage *s, struct orri_result *result);    /* of a store */
void orri_wal_fail(struct orr_storage *s, int status, const char *what);
void orri_wal_clear(struct orr_storage *s);
int orri_wal_fetch(struct orr_storage *s, uint32_t group, const struct orr_fetch *fetch);

/* -- Snapshots ----------------------------------------------------------------------------------------------------- */
int orri_snapshot_fetch(struct orr_storage *s, uint32_t group, const struct orr_fetch *fetch);
/* XXH3-64 of bytes that come piece by piece. */
struct orri_sum *orri_sum_new(struct orr_storage *s);
void orri_sum_free(struct orr_storage *s, struct orri_sum *sum);
void orri_sum_reset(struct orri_sum *sum);
void orri_sum_add(struct orri_sum *sum, struct orr_slice bytes);
uint64_t orri_sum_get(const struct orri_sum *sum);
/* The snapshot's config is copied. */
struct orri_kept *orri_kept_new(struct orr_storage *s, uint32_t group, const struct orr_snapshot *snapshot);
void orri_kept_free(struct orr_storage *s, struct orri_kept *kept);
void orri_snapshot_keep(struct orr_storage *s, struct orri_group *g, struct orri_kept *kept); /* moved; a third goes */
bool orri_snapshot_later(const struct orri_kept *a, const struct orri_kept *b);                   /* b may be NULL */
void orri_snapshot_reset_done(struct orr_storage *s, struct orri_writer *receiver, int status);
void orri_snapshots_clear(struct orr_storage *s);

/* -- Start --------------------------------------------------------------------------------------------------------- */
int orri_recover(struct orr_storage *s);
void orri_recover_clear(struct orr_storage *s);

struct orr_storage {
    struct orr_world *w;
    struct orr_storage_config cfg;
    size_t running;                 /* requests under way */
    bool opened, failed, full;
    struct orri_queue results;
    struct orri_result *given;      /* by the last take */
    struct orri_result opened_result, failed_result, full_result;
    char text[640];
    struct orri_row groups;         /* by id */
    struct orri_segments segments;
    struct orri_wal wal;
    struct orri_row pool;           /* waits at rest */
    struct orri_row waits;          /* all of them */
    struct orri_writer *writers;    /* all, those that only clean up too */
    struct orri_fetch *fetches;     /* whose reads run */
    struct orri_kept *retired;      /* wait for their readers, or for their removal */
    uint64_t serial;                /* of names of unfinished snapshots */
    struct orri_recovery *recovery;
    struct orri_storage_stats stats;
    orr_time sync_total;
};

#endif
