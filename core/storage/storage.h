/* storage.h - a node's durable memory: one write-ahead log shared by all its groups, and their snapshots.
 *
 * Written against world.h, so both worlds run it. It knows no protocol: a group has a state (a few bytes, replaced as a
 * whole) and a log of entries (orrery/order.h). Group 0 is the node itself, whose state is its identity.
 *
 * Results are pulled: after the turn's completions, `while (orri_storage_take(s, &done)) ...`. Work handed in during a
 * turn is written by orri_storage_flush at its end, as one write and one sync; while a write is under way it waits for
 * that one, without timers: so a batch is what came in meanwhile.
 *
 * The formats on disk are in wal_format.h and snapshot_format.h, as byte tables.                                     */
#ifndef ORRI_STORAGE_H
#define ORRI_STORAGE_H

#include <orrery/order.h>
#include <orrery/world.h>

struct orr_storage;

struct orr_storage_config {
    uint64_t segment_bytes;         /* default 64 MiB; written with zeros ahead, then overwritten, then recycled */
    unsigned segments_ahead;        /* prepared and waiting; default 2, the last of them is the reserve */
    size_t state_bytes_max;         /* default 64 KiB */
};
void orri_storage_config_init(struct orr_storage_config *cfg);

/* Opens the world's directory (already locked) and begins recovery; ORR_TAKE_OPENED tells how it went. */
int orri_storage_new(struct orr_storage **out, struct orr_world *w, const struct orr_storage_config *cfg);
void orri_storage_free(struct orr_storage *s);          /* no request may be under way, or the world is dead */
bool orri_storage_idle(const struct orr_storage *s);    /* nothing under way, nothing waiting */

/* Makes durable whatever `store` says for a group (its slices are held until then; the state is copied). Group 0: state
 * only. Here: -ENOMEM, ORR_EINVALID (indices with gaps, a state above the limit), ORR_EUNAVAILABLE (not opened),
 * ORR_EPOISONED (failed); nothing comes then. Else one ORR_TAKE_STORED, in the order of a group's stores. Its status:
 *   0            durable
 *   ORR_EFULL    nothing of it was written, its state neither. Stores with data are refused before the reserve is
 *                touched; states and the protocol's own entries are not. A refusal takes with it every store with
 *                entries that its group handed in before the refusal was taken, since those may rest on it; what is
 *                handed in after that is new.
 *   ORR_EINVALID entries[0] leaves a gap, is at or below what was released, or replaces without `truncate`: misuse
 *   other        final for the node: it must claim nothing more of this disk (ORR_TAKE_FAILED comes too)             */
int orri_storage_store(struct orr_storage *s, uint32_t group, const struct orr_store *store);
/* Reads back; entries from the disk, or bytes of a snapshot file. Entries: those that are durable and lie together, at
 * least the first and perhaps fewer than asked for; ORR_EUNAVAILABLE where the first isn't there, ORR_ECORRUPT (with
 * text) where it is damaged. Bytes: fewer at the end, none behind it; who reads a file in a row from 0 to its end is
 * told ORR_ECORRUPT with the last piece where its checksum differs. An error here (-ENOMEM, ...): nothing comes.     */
int orri_storage_fetch(struct orr_storage *s, uint32_t group, const struct orr_fetch *fetch);
/* A piece of a snapshot that comes from a peer. The last piece: sizes and checksum are compared, the file is synced and
 * named, the group's log begins anew behind it, and only then is it reported; ORR_ECORRUPT where they differ: the
 * transfer begins anew. Pieces come in order; one that is here already is told 0 again, one that leaves a gap
 * ORR_EINVALID, one of a snapshot older than the newest ORR_ECONFLICT. The first piece (offset 0) of another snapshot
 * ends an unfinished transfer.                                                                                       */
int orri_storage_part(struct orr_storage *s, uint32_t group, const struct orr_part *part);
/* A snapshot of our own: begin, write pieces (moved), finish: ORR_TAKE_SNAPSHOT with the finished file's size and
 * checksum, synced and named. One at a time in a group (ORR_EBUSY). Two are kept, older ones go. Its index, term, time
 * and config are given at begin; config is copied. room: bytes that may be written now without queueing much; 0: wait
 * for ORR_TAKE_ROOM. A failure is told by ORR_TAKE_SNAPSHOT at once; from then on write and finish are ORR_ECANCELED,
 * and the next may begin. After an abort nothing is told.                                                            */
int orri_storage_snapshot_begin(struct orr_storage *s, uint32_t group, const struct orr_snapshot *snapshot);
size_t orri_storage_snapshot_room(const struct orr_storage *s, uint32_t group);
int orri_storage_snapshot_write(struct orr_storage *s, uint32_t group, struct orr_slice bytes);
int orri_storage_snapshot_finish(struct orr_storage *s, uint32_t group);
void orri_storage_snapshot_abort(struct orr_storage *s, uint32_t group);
/* Entries of `group` through `index` are no longer needed; segments that nobody needs are recycled. */
void orri_storage_release(struct orr_storage *s, uint32_t group, orr_index through);
/* Ends the turn: starts what waits. */
void orri_storage_flush(struct orr_storage *s);
/* When it next wants tick (a full disk is looked at again, memory was out); ORR_NEVER: not at all. Ask after flush. */
orr_time orri_storage_deadline(const struct orr_storage *s);
void orri_storage_tick(struct orr_storage *s, orr_time now);

enum orri_storage_kind {
    ORR_TAKE_OPENED,        /* status; on ORR_ECORRUPT `text` says which file and offset, and what the choices are;
                             * on 0 it may say that an unfinished batch was cut off */
    ORR_TAKE_STORED,        /* group, id, status */
    ORR_TAKE_PART,          /* group, id, status */
    ORR_TAKE_FETCHED,       /* group, id, status, entries: borrowed until the next take (their slices: hold) */
    ORR_TAKE_FETCHED_PART,  /* group, id, status, data: likewise; of `snapshot`, without
                             * its config; text: the file's name */
    ORR_TAKE_SNAPSHOT,      /* group, status, snapshot */
    ORR_TAKE_ROOM,          /* group: snapshot_room is above 0 again */
    ORR_TAKE_FULL,          /* status ORR_EFULL: the disk is full, proposals should be refused; 0: there is room again.
                             * Only the newest is told */
    ORR_TAKE_FAILED         /* the log can't be used any more (failed sync): status, text */
};
struct orri_storage_done {
    enum orri_storage_kind kind;
    uint32_t group;
    uint64_t id;
    int status;
    const struct orr_entry *entries;
    size_t n_entries;
    struct orr_slice data;
    struct orr_snapshot snapshot;
    const char *text;
};
bool orri_storage_take(struct orr_storage *s, struct orri_storage_done *out);

/* What the disk has of a group, once opened. Everything is borrowed until the group's first store. A group that was
 * never stored: all 0, first 1, last 0. Groups are registered by their first store or boot. */
void orri_storage_boot(struct orr_storage *s, uint32_t group, struct orr_boot *out);
/* The newest complete snapshot of a group, index 0: none; the one before it in *older (may be NULL). */
void orri_storage_snapshots(const struct orr_storage *s, uint32_t group, struct orr_snapshot *newest,
                            struct orr_snapshot *older);

/* The newest one can't be loaded: the one before it takes its place (index 0: there is none), and the log is measured
 * from there. The file goes when the next snapshot has its name; until then the next start tries it once more. */
void orri_storage_snapshot_damaged(struct orr_storage *s, uint32_t group);

struct orri_storage_stats {
    uint64_t bytes_log;             /* in segments in use */
    uint64_t records, writes, syncs, bytes_written;
    orr_time sync_last, sync_mean;  /* ns */
    unsigned segments, segments_spare;
    bool full, failed;
};
void orri_storage_stats(const struct orr_storage *s, struct orri_storage_stats *out);
/* Bytes that a group's entries take in the log since its newest snapshot: the trigger of the next one. */
uint64_t orri_storage_log_bytes(const struct orr_storage *s, uint32_t group);
/* Segments from that of the group's oldest entry to the log's end: none of them can be given up meanwhile, whichever
 * group fills them. 0: it has no entries. */
uint64_t orri_storage_segments_held(const struct orr_storage *s, uint32_t group);

#endif
