/* snapshot.c - a group's snapshots: taking one while the group goes on, and loading one into the machine.
 *
 * The file, as this room sees it (the storage's own head and checksum are its own):
 *   byte  size  field (little-endian)
 *      0     4  "OGRP"
 *      4     2  version of this format: 1
 *      6     2  zero
 *      8     4  size of the group's own part that follows: n
 *     12     4  version of the machine's format
 *     16     n  the duplicate filter (filter.h)
 *   16+n        the machine's image
 *
 * Taking is spread over turns: the machine is frozen once, then gives pieces as the disk has room. It is begun when the
 * log has grown by enough bytes, when the host asks for one, and when the newest one can't be read back for a peer. Two
 * snapshots are kept, and the log from the older one on: should the newest be damaged, the older one and the log still
 * give the state; the same tail serves followers that are slow.
 *
 * A node's groups share one log, which is given up from its beginning: a group at rest would keep, with a few old
 * entries, all that the others write. One that holds too much of it takes a snapshot, and keeps no log before that.  */
#include <errno.h>
#include <string.h>

#include "base/codec.h"
#include "node/inner.h"

enum {
    VERSION = 1, HEAD = 16,
    PIECE = 64 << 10,               /* given by the machine at a time */
    FETCH = 256 << 10               /* read at a time */
};
#define PAUSE (5 * ORR_SECOND)      /* after a snapshot that failed */
#define HOLD (30 * ORR_SECOND)      /* for the others' word on it */

static const unsigned char magic[4] = { 'O', 'G', 'R', 'P' };

/* -- Asked for ----------------------------------------------------------------------------------------------------- */
int orr_group_snapshot(struct orr_group *g, struct orr_wait *w) {
    int rc = ORR_EUNAVAILABLE;
    if (g->corrupt) return ORR_ECORRUPT;
    if (!g->x || g->restoring.on || g->machine_broken || g->node->phase != ORRI_NODE_RUNNING) return rc;
    struct orri_under_way *u = orri_wait_new(g->node, w, ORRI_IS_SNAPSHOT, &rc);
    if (!u) return rc;
    u->group = g;
    u->logged = g->at;
    u->next = g->snapshots;
    g->snapshots = u;
    orri_host_wake(g->node);
    return 0;
}

void orri_snapshot_forget(struct orri_under_way *u) {
    struct orri_under_way **link = &u->group->snapshots;
    while (*link && *link != u) link = &(*link)->next;
    if (*link) *link = u->next;
}

void orri_snapshot_refuse(struct orr_group *g, int status) {
    while (g->snapshots) orri_wait_tell(g->snapshots, status, orr_borrow(NULL, 0));
}

/* Tells those that the newest one on the disk will do for. True: it will not for all. */
static bool is_asked_for(struct orr_group *g) {
    struct orr_snapshot newest;
    if (!g->snapshots) return false;
    orri_storage_snapshots(g->node->storage, g->number, &newest, NULL);
    for (struct orri_under_way *u = g->snapshots, *next; u; u = next) {
        next = u->next;
        if (u->logged.index > newest.index) continue;
        u->logged = (struct orr_at){ newest.index, newest.term, newest.time };
        orri_wait_tell(u, 0, orr_borrow(NULL, 0));
    }
    return g->snapshots != NULL;
}

/* -- Taking -------------------------------------------------------------------------------------------------------- */
static void taken_not(struct orr_group *g) {
    bool frozen = g->taking.state == ORRI_TAKING_PREFIX || g->taking.state == ORRI_TAKING_PIECES;
    if (frozen) g->machine_ops->unfreeze(g->machine);
    g->taking.state = ORRI_TAKING_NOT;
}

void orri_snapshot_abort(struct orr_group *g) {
    if (g->taking.state == ORRI_TAKING_NOT) return;
    orri_storage_snapshot_abort(g->node->storage, g->number);
    taken_not(g);
    g->taking.not_before = g->node->now + PAUSE;
}

/* Busy groups, each with the log behind its older snapshot, stay well below, however small their snapshots are. */
static bool holds_too_much(const struct orr_group *g) {
    const struct orr_node *n = g->node;
    uint64_t segments = 8 + 3 * n->n_groups * (n->cfg.snapshot_bytes / n->cfg.segment_bytes + 1);
    return orri_storage_segments_held(n->storage, g->number) > segments;
}

static bool is_time(const struct orr_group *g) {
    uint64_t bytes = orri_storage_log_bytes(g->node->storage, g->number), max = g->node->cfg.snapshot_bytes;
    bool early = bytes >= max / 16 && ORR_RARE(g->node->w, "snapshot.early");
    bool wanted = g->taking.wanted || bytes >= max || early || holds_too_much(g);
    return g->node->now >= g->taking.not_before && wanted;
}

static bool due(struct orr_group *g) {
    bool may = !g->agree.open.index && g->node->phase == ORRI_NODE_RUNNING && g->config_size &&
               g->status.stored >= g->at.index;
    return g->taking.state == ORRI_TAKING_NOT && may && (is_asked_for(g) || is_time(g));
}

static void compact(struct orr_group *g, const struct orr_snapshot *newest, orr_index keep_after) {
    if (g->order->compacted(g->x, g->node->now, newest, keep_after) == 0)
        orri_storage_release(g->node->storage, g->number, keep_after);
}

static void begin(struct orr_group *g) {
    struct orr_snapshot newest;
    orri_storage_snapshots(g->node->storage, g->number, &newest, NULL);
    if (g->at.index <= newest.index) {      /* nothing since: what it still holds is the log behind the older one */
        if (newest.index >= g->status.first) compact(g, &newest, newest.index);
        return;
    }
    int rc = g->machine_ops->freeze(g->machine);
    if (rc < 0) {
        orri_snapshot_refuse(g, rc);
        return;
    }
    struct orr_slice config = orr_borrow(g->config, g->config_size);
    g->taking.snapshot =
        (struct orr_snapshot){ .index = g->at.index, .term = g->at.term, .time = g->at.time, .config = config };
    g->taking.state = ORRI_TAKING_PREFIX;
    rc = orri_storage_snapshot_begin(g->node->storage, g->number, &g->taking.snapshot);
    if (rc == 0) return;
    orri_snapshot_refuse(g, rc);
    taken_not(g);
    g->taking.not_before = g->node->now + PAUSE;
}

/* The group's own part. The filter is as of the frozen state: begin and prefix are of one turn, with nothing applied
 * between. */
static int write_prefix(struct orr_group *g) {
    struct orr_chunks *chunks = g->node->w->chunks;
    size_t own = orri_filter_size(&g->filter);
    struct orr_chunk *c = chunks->get(chunks, HEAD + own);
    if (!c) return -ENOMEM;
    struct orr_writer w = orri_writer(c->at, HEAD + own);
    orri_write_bytes(&w, magic, sizeof magic);
    orri_write_u16(&w, VERSION);
    orri_write_u16(&w, 0);
    orri_write_u32(&w, (uint32_t)own);
    orri_write_u32(&w, g->machine_ops->version);
    orri_filter_write(&g->filter, &w);
    ORR_ASSERT(!w.failed && w.at == w.end);
    struct orr_slice s = { c, c->at, HEAD + own };
    int rc = orri_storage_snapshot_write(g->node->storage, g->number, s);
    if (rc < 0) orr_drop(s);
    return rc;
}

/* One more piece of the machine's image. 1: there is more. */
static int write_piece(struct orr_group *g, size_t room) {
    struct orr_slice s = { 0 };
    if (ORR_RARE(g->node->w, "snapshot.small_piece")) room = 1;
    int more = g->machine_ops->next(g->machine, room < PIECE ? room : PIECE, &s);
    if (more < 0) return more;
    int rc = s.size ? orri_storage_snapshot_write(g->node->storage, g->number, s) : 0;
    if (rc < 0 || s.size == 0) orr_drop(s);
    return rc < 0 ? rc : more;
}

/* A snapshot of a state that has come apart from the others' would keep it so over a new start: it gets its name when a
 * majority is known to have the same. Where the others are silent, or room is short, it can't wait for that. */
static bool may_name(const struct orr_group *g) {
    return orri_agree_holds(g, g->taking.snapshot.index) || g->node->disk_full || g->node->now >= g->taking.held_until;
}

void orri_snapshot_step(struct orr_group *g) {
    int rc = 0;
    if (g->restoring.on || g->machine_broken) return;
    if (due(g)) begin(g);
    if (g->taking.state == ORRI_TAKING_PIECES && ORR_RARE(g->node->w, "snapshot.abandoned")) orri_snapshot_abort(g);
    if (g->taking.state == ORRI_TAKING_PREFIX) {
        rc = write_prefix(g);
        if (rc == 0) g->taking.state = ORRI_TAKING_PIECES;
    }
    if (g->taking.state == ORRI_TAKING_PIECES) {
        size_t room = orri_storage_snapshot_room(g->node->storage, g->number);
        if (room == 0) return;                      /* ORR_TAKE_ROOM brings the next turn */
        rc = write_piece(g, room);
        if (rc == 1) {
            g->node->again = true;
        } else if (rc == 0) {
            g->machine_ops->unfreeze(g->machine);
            g->taking.state = ORRI_TAKING_HELD;
            g->taking.held_until = g->node->now + (ORR_RARE(g->node->w, "snapshot.unheld") ? 0 : HOLD);
        }
    }
    if (g->taking.state == ORRI_TAKING_HELD && may_name(g)) {
        g->taking.state = ORRI_TAKING_FINISH;
        rc = orri_storage_snapshot_finish(g->node->storage, g->number);
    }
    if (rc < 0) {
        orri_node_log_rarely(g->node, &g->note, ORR_LOG_WARN, "group %s: no snapshot now: %s", g->name,
                             orr_strerror(rc));
        orri_snapshot_abort(g);
        orri_snapshot_refuse(g, rc);
    }
}

void orri_snapshot_taken(struct orr_group *g, const struct orri_storage_done *d) {
    struct orr_node *n = g->node;
    if (g->taking.state == ORRI_TAKING_NOT || (d->status == 0 && g->taking.state != ORRI_TAKING_FINISH)) return;
    taken_not(g);                                  /* a failure may come while pieces are still being given */
    if (d->status < 0) {
        g->taking.not_before = n->now + PAUSE;
        orri_node_log_rarely(n, &g->note, ORR_LOG_WARN, "group %s: snapshot failed: %s", g->name,
                             orr_strerror(d->status));
        orri_snapshot_refuse(g, d->status);
        return;
    }
    struct orr_snapshot newest, older = { 0 };
    g->taking.wanted = false;
    orri_storage_snapshots(n->storage, g->number, &newest, &older);
    bool short_log = n->disk_full || holds_too_much(g) || ORR_RARE(n->w, "snapshot.keeps_no_log");
    orr_index keep_after = short_log ? newest.index : older.index;
    orri_node_log(n, ORR_LOG_INFO, "group %s: snapshot at %llu, %llu bytes; the log is kept after %llu", g->name,
             (unsigned long long)newest.index, (unsigned long long)newest.size, (unsigned long long)keep_after);
    orri_host_event(g, ORR_GROUP_SNAPSHOT);
    orri_trace(g, ORR_TRACE_SNAPSHOT, &newest.index, sizeof newest.index);
    compact(g, &newest, keep_after);
    (void)is_asked_for(g);
}

/* The state is in memory still: what is taken of it now is whole, and the peers get that. */
void orri_snapshot_unread(struct orr_group *g, const struct orri_storage_done *d) {
    struct orr_snapshot newest;
    orri_storage_snapshots(g->node->storage, g->number, &newest, NULL);
    bool damaged = d->status == ORR_ECORRUPT || d->status == -EIO;
    if (!damaged || d->snapshot.index != newest.index || d->snapshot.term != newest.term) return;
    orri_node_log(g->node, ORR_LOG_WARN, "group %s: %s can't be read back (%s): taking another snapshot", g->name,
                  d->text, orr_strerror(d->status));
    orri_storage_snapshot_damaged(g->node->storage, g->number);
    g->taking.wanted = true;
}

/* -- Restoring ----------------------------------------------------------------------------------------------------- */
static void fetch_next(struct orr_group *g) {
    struct orri_restoring *r = &g->restoring;
    struct orr_fetch f = { .id = ORRI_FETCH_OURS | r->offset, .kind = ORR_FETCH_SNAPSHOT, .from = r->snapshot.index,
                           .term = r->snapshot.term, .offset = r->offset, .bytes_max = FETCH };
    if (ORR_RARE(g->node->w, "snapshot.small_fetch")) f.bytes_max = 1000;
    int rc = orri_storage_fetch(g->node->storage, g->number, &f);
    if (rc < 0) orri_node_fail(g->node, 4, "group %s: its snapshot can't be read: %s", g->name, orr_strerror(rc));
}

static void prefix_drop(struct orr_group *g) {
    orr_chunk_drop(g->restoring.prefix);
    g->restoring.prefix = NULL;
    g->restoring.n_prefix = 0;
    g->restoring.prefix_done = false;
}

void orri_snapshot_restore(struct orr_group *g, const struct orr_snapshot *s) {
    struct orri_restoring *r = &g->restoring;
    orri_snapshot_abort(g);
    prefix_drop(g);
    *r = (struct orri_restoring){ .on = true, .snapshot = *s };
    ORR_ASSERT(s->config.size <= sizeof g->config);
    memcpy(g->config, s->config.at, s->config.size);
    g->config_size = s->config.size;
    r->snapshot.config = orr_borrow(g->config, g->config_size);
    int rc = g->machine_ops->restore_begin(g->machine);
    if (rc < 0) orri_node_fail(g->node, 4, "group %s: %s", g->name, orr_strerror(rc));
    else fetch_next(g);
}

/* Bytes that the prefix still wants: its head first, which says how long all of it is. ORR_ECORRUPT. */
static int prefix_wants(const struct orri_restoring *r, size_t *wants) {
    *wants = HEAD - r->n_prefix;
    if (r->n_prefix < HEAD) return 0;
    const unsigned char *at = r->prefix->at;
    uint64_t own = orri_get_le(at + 8, 4);
    if (memcmp(at, magic, sizeof magic) != 0 || orri_get_le(at + 4, 4) != VERSION) return ORR_ECORRUPT;
    if (own > 4 + (uint64_t)ORRI_FILTER_ORIGINS_MAX * ORRI_FILTER_ENTRY) return ORR_ECORRUPT;
    *wants = HEAD + (size_t)own - r->n_prefix;
    return 0;
}

/* Eats what belongs to the group's own part; the rest is the machine's. */
static int take_prefix(struct orr_group *g, struct orr_slice *data) {
    struct orri_restoring *r = &g->restoring;
    struct orr_chunks *chunks = g->node->w->chunks;
    size_t wants = 0;
    if (!r->prefix) r->prefix = chunks->get(chunks, HEAD + 4 + ORRI_FILTER_ORIGINS_MAX * ORRI_FILTER_ENTRY);
    if (!r->prefix) return -ENOMEM;
    for (;;) {
        int rc = prefix_wants(r, &wants);
        if (rc < 0) return rc;
        if (wants == 0 || data->size == 0) break;
        size_t take = wants < data->size ? wants : data->size;
        memcpy(r->prefix->at + r->n_prefix, data->at, take);
        r->n_prefix += take;
        *data = orr_part_of(*data, take, data->size - take);
    }
    if (wants) return 0;
    if (orri_get_le(r->prefix->at + 12, 4) > g->machine_ops->version) return ORR_EINVALID;
    struct orr_reader reader = orri_reader(r->prefix->at + HEAD, r->n_prefix - HEAD);
    int rc = orri_filter_read(&g->filter, &reader);
    if (rc == 0 && (reader.failed || orri_left(&reader))) rc = ORR_ECORRUPT;
    prefix_drop(g);
    r->prefix_done = true;
    return rc;
}

static int take_part(struct orr_group *g, struct orr_slice data) {
    struct orri_restoring *r = &g->restoring;
    r->offset += data.size;
    int rc = r->prefix_done ? 0 : take_prefix(g, &data);
    if (rc == 0 && data.size > 1 && ORR_RARE(g->node->w, "snapshot.splits_part")) {
        rc = g->machine_ops->restore_part(g->machine, data.at, 1);
        data = orr_part_of(data, 1, data.size - 1);
    }
    if (rc == 0 && data.size) rc = g->machine_ops->restore_part(g->machine, data.at, data.size);
    if (rc == 0 && r->offset >= r->snapshot.size)
        rc = r->prefix_done ? g->machine_ops->restore_end(g->machine) : ORR_ECORRUPT;
    return rc;
}

/* All of the log is there: no snapshot is needed. */
static void begin_without(struct orr_group *g) {
    struct orr_node *n = g->node;
    g->machine_ops->destroy(g->machine);
    g->machine = NULL;
    prefix_drop(g);
    orri_filter_clear(&g->filter);
    g->config_size = 0;
    int rc = orri_group_new_machine(g);
    if (rc < 0) orri_node_fail(n, 4, "group %s: %s", g->name, orr_strerror(rc));
    else orri_group_begin(g, NULL);
}

/* The newest one is damaged: at start the one before it will do, if the log reaches back to it; or the log alone. */
static void restore_failed(struct orr_group *g, int status, const char *file) {
    struct orr_snapshot failed = g->restoring.snapshot, older = { 0 };
    struct orr_node *n = g->node;
    struct orr_boot boot = { .first = UINT64_MAX };
    g->restoring.on = false;
    if (!g->x) {
        orri_storage_snapshot_damaged(n->storage, g->number);
        orri_storage_snapshots(n->storage, g->number, &older, NULL);
        orri_storage_boot(n->storage, g->number, &boot);
    }
    if (boot.first <= older.index + 1 && boot.last >= older.index) {
        orri_node_log(n, ORR_LOG_WARN, "group %s: %s can't be loaded (%s): taking the snapshot at %llu and the log "
                      "behind it", g->name, file, orr_strerror(status), (unsigned long long)older.index);
        if (older.index) orri_snapshot_restore(g, &older);
        else begin_without(g);
        return;
    }
    g->machine_broken = true;
    if (status == ORR_ECORRUPT)
        orri_node_fail(
            n, 3,
            "group %s: %s, at or before byte %llu of its image: the snapshot is damaged, and the log doesn't reach "
            "back to an older one. Put back an undamaged copy of this node's data directory, not older than its last "
            "start; without one, form the cluster anew (with an emptied one its peers refuse it)",
            g->name, file, (unsigned long long)g->restoring.offset);
    else
        orri_node_fail(n, 4, "group %s: its snapshot at %llu can't be read: %s", g->name,
                       (unsigned long long)failed.index, orr_strerror(status));
}

static void restored(struct orr_group *g) {
    struct orr_snapshot *s = &g->restoring.snapshot;
    struct orr_node *n = g->node;
    g->restoring.on = false;
    g->at = (struct orr_at){ s->index, s->term, s->time };
    orri_agree_restored(g);
    orri_host_event(g, ORR_GROUP_RESTORED);
    while (g->queue.n && g->queue.ring[g->queue.first].index <= s->index) {
        orr_drop(g->queue.ring[g->queue.first].data);
        g->queue.first = (g->queue.first + 1) & (g->queue.cap - 1);
        g->queue.n--;
    }
    struct orr_trace_apply done = { s->index, s->term, orri_apply_digest(g), g->name };
    orri_trace(g, ORR_TRACE_RESTORE, &done, sizeof done);
    orri_node_log(n, ORR_LOG_INFO, "group %s: loaded the snapshot at %llu", g->name, (unsigned long long)s->index);
    if (g->x)
        orri_origin_settle(&g->origin, n->now,
                           orri_filter_last(&g->filter, &n->identity.birth, n->identity.incarnation));
    else orri_group_begin(g, s);
}

void orri_snapshot_fetched(struct orr_group *g, const struct orri_storage_done *d) {
    struct orri_restoring *r = &g->restoring;
    if (!r->on || d->id != (ORRI_FETCH_OURS | r->offset)) return;      /* of one that was given up */
    int rc = d->status < 0 ? d->status : d->data.size == 0 ? ORR_ECORRUPT : take_part(g, d->data);
    if (rc == -ENOMEM) orri_node_fail(g->node, 4, "group %s: no memory for its snapshot", g->name);
    else if (rc < 0) restore_failed(g, rc, d->text ? d->text : "its snapshot");
    else if (r->offset >= r->snapshot.size) restored(g);
    else fetch_next(g);
}
