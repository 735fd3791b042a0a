/* recover.c - the start: names, then the log, then whether both fit; only then is anything changed.
 *
 * Changed: the place behind the log's end is overwritten with zeros (an unfinished batch's head, if it was there, can
 * never be read again, whatever later lies behind it); a slot that holds the beginning of a segment that never was is
 * wiped; unfinished and superfluous snapshots go. The zeros are written with a sync and names are synced, so what was
 * found is durable before anybody hears of it: after a kill without a crash it may have been in memory only.
 *
 * A snapshot that reaches farther than the log, or disagrees with it, came from a peer just before a crash: the log
 * begins anew behind it, and its next batch says so.                                                                 */
#include "storage/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void next_name(struct orri_recovery *r);

/* -- The end of it ------------------------------------------------------------------------------------------------- */
void orri_recover_end(struct orri_recovery *r, int status) {
    struct orr_storage *s = r->s;
    orr_drop(r->piece);
    r->piece = orr_borrow(NULL, 0);
    s->opened = status == 0;
    s->opened_result.done = (struct orri_storage_done){ .kind = ORR_TAKE_OPENED, .status = status, .text = s->text };
    orri_tell(s, &s->opened_result);
}

void orri_recover_damage(struct orri_recovery *r, const char *name, uint64_t at, int status, const char *what) {
    static const char advice[] =
        " Nothing was changed. Put back an undamaged copy of this node's data directory, not older than its last start;"
        " without one, form the cluster anew. With an emptied directory its peers refuse it: taking such a node in"
        " again needs membership change, which this version hasn't.";
    const char *choices = status == ORR_ECORRUPT || status == ORR_ECONFLICT ? advice : "";
    (void)snprintf(r->s->text, sizeof r->s->text, "%s, offset %llu: %s (%s).%s", name, (unsigned long long)at, what,
                   orr_strerror(status), choices);
    orri_recover_end(r, status == ORR_ECONFLICT ? ORR_ECORRUPT : status);
}

static void failed(struct orri_recovery *r, int status, const char *what) {
    (void)snprintf(r->s->text, sizeof r->s->text, "%s: %s", what, orr_strerror(status));
    orri_recover_end(r, status);
}

void orri_recover_clear(struct orr_storage *s) {
    struct orri_recovery *r = s->recovery;
    if (!r) return;
    orr_drop(r->names);
    orr_drop(r->piece);
    for (size_t i = 0; i < r->kept.n; i++) orri_kept_free(s, r->kept.at[i]);
    orri_row_clear(s, &r->kept);
    for (size_t i = 0; i < r->n_claims; i++) {  /* those in a row are the row's */
        struct orri_segment *segment = r->claims[i].segment;
        if (segment && orri_segment_of(s, segment->sequence) != segment) orri_segment_free(s, segment);
    }
    orri_segment_free(s, r->opening);
    orri_put(s, r->claims, r->cap_claims * sizeof *r->claims);
    orri_put(s, r, sizeof *r);
    s->recovery = NULL;
}

/* -- Changes ------------------------------------------------------------------------------------------------------- */
static void sweep(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    (void)status;                               /* what can't be removed is tried again at the next start */
    while (r->name_at < r->names.size) {
        const char *name = (const char *)r->names.at + r->name_at;
        r->name_at += strlen(name) + 1;
        if (!orri_snapshot_is_tmp(name)) continue;
        orri_errand_name(&r->e, ORR_OP_REMOVE, name, NULL, sweep);
        return;
    }
    if (r->kept.n > 0) {
        struct orri_kept *kept = r->kept.at[--r->kept.n];
        memcpy(r->removing, kept->name, sizeof r->removing);
        orri_kept_free(r->s, kept);
        orri_errand_name(&r->e, ORR_OP_REMOVE, r->removing, NULL, sweep);
        return;
    }
    if (r->cut)
        (void)snprintf(r->s->text, sizeof r->s->text, "a batch that was never complete was cut off the log's end");
    orri_recover_end(r, 0);
}

static void names_synced(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    r->name_at = 0;
    if (status < 0) failed(r, status, "syncing the directory");
    else sweep(e, 0);
}

/* What is not in use: spare when whole, to be filled or removed otherwise. */
static int sort_slots(struct orri_recovery *r) {
    struct orr_storage *s = r->s;
    struct orri_segments *all = &s->segments;
    while (all->used.n > 1 && ((struct orri_segment *)all->used.at[0])->sequence < r->oldest)
        orri_row_cut(&all->used, 0);
    uint64_t first = all->used.n ? ((struct orri_segment *)all->used.at[0])->sequence : 0;
    for (size_t i = 0; i < r->n_claims; i++) {
        struct orri_segment *segment = r->claims[i].segment;
        if (segment->sequence && segment->sequence >= first && all->used.n && segment != r->torn) continue;
        bool whole = segment->size == s->cfg.segment_bytes && all->spare.n <= s->cfg.segments_ahead;
        struct orri_row *to = whole ? &all->spare : segment->size < s->cfg.segment_bytes ? &all->blank : &all->trash;
        if (orri_row_reserve(s, to, 1) < 0) return -ENOMEM;
        segment->sequence = 0;
        segment->live = 0;
        orri_row_push(to, segment);
        r->claims[i].segment = NULL;
    }
    r->n_claims = 0;
    return 0;
}

static void wiped(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    if (status == 0) status = sort_slots(r);
    if (status < 0) failed(r, status, "wiping a segment that never was");
    else orri_errand_name(e, ORR_OP_SYNC_DIR, NULL, NULL, names_synced);
}

static const unsigned char zeros[ORRI_WAL_PAGE + ORRI_WAL_HEAD];

static void tail_cut(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    if (status < 0) failed(r, status, "writing behind the log's end");
    else if (r->torn) orri_errand_write(e, r->torn->file, 0, orr_borrow(zeros, sizeof zeros), ORR_W_SYNC, wiped);
    else wiped(e, 0);
}

static void change(struct orri_recovery *r) {
    const struct orri_segment *last = orri_segment_last(r->s);
    uint64_t left = last ? last->size - last->used : 0;
    if (left > ORRI_WAL_HEAD) left = ORRI_WAL_HEAD;
    if (left) orri_errand_write(&r->e, last->file, last->used, orr_borrow(zeros, (size_t)left), ORR_W_SYNC, tail_cut);
    else if (last) orri_errand_file(&r->e, ORR_OP_SYNC, last->file, 0, 0, tail_cut);
    else tail_cut(&r->e, 0);
}

/* -- Do log and snapshots fit? ------------------------------------------------------------------------------------- */
/* Gives each group its two newest snapshots; those that remain in the row are superfluous. */
static int hand_out_snapshots(struct orri_recovery *r) {
    for (size_t i = 0; i < r->kept.n; i++) {
        struct orri_kept *kept = r->kept.at[i];
        struct orri_group *g = orri_group_make(r->s, kept->group);
        if (!g) return -ENOMEM;
        struct orri_kept **place = orri_snapshot_later(kept, g->newest)  ? &g->newest
                                   : orri_snapshot_later(kept, g->older) ? &g->older
                                                                         : NULL;
        if (!place) continue;
        if (place == &g->newest) {
            struct orri_kept *before = g->newest;
            g->newest = kept;
            kept = before;
            place = &g->older;
        }
        struct orri_kept *out = g->older;
        *place = kept;
        if (out) r->kept.at[i] = out;
        else orri_row_cut(&r->kept, i--);
    }
    return 0;
}

static bool reconcile(struct orri_recovery *r, struct orri_group *g) {
    const struct orr_snapshot *snapshot = g->newest ? &g->newest->snapshot : NULL;
    orr_index reach = snapshot ? snapshot->index : 0;
    const struct orri_segment *last = orri_segment_last(r->s);
    const char *name = last ? last->name : "the directory";
    char what[160], prefix[16];
    if (reach + 1 < g->first) {
        (void)snprintf(prefix, sizeof prefix, "snap-%08x-", g->id);
        bool damaged = strncmp(r->damaged, prefix, strlen(prefix)) == 0;
        (void)snprintf(what, sizeof what,
                       "%sthe log of group %u begins at entry %llu, and no whole snapshot reaches up to it",
                       damaged ? "this snapshot is damaged; " : "", g->id, (unsigned long long)g->first);
        orri_recover_damage(r, damaged ? r->damaged : name, 0, ORR_ECORRUPT, what);
        return false;
    }
    bool inside = reach >= g->known && reach <= g->last;
    if (reach > g->last || (inside && orri_index_term(g, reach) != snapshot->term)) {
        g->reset = true;
        g->reset_to = *snapshot;
        r->s->wal.marks++;
        orri_index_forget_configs(r->s, g, 0, UINT64_MAX);
    } else if (g->known > g->first && g->first <= g->last) {
        (void)snprintf(what, sizeof what, "entries from %llu on of group %u are missing", (unsigned long long)g->first,
                       g->id);
        orri_recover_damage(r, name, 0, ORR_ECORRUPT, what);
        return false;
    }
    g->stored = g->last;
    orri_index_measure(g);
    return true;
}

void orri_recover_reconcile(struct orri_recovery *r) {
    int rc = hand_out_snapshots(r);
    if (rc < 0) {
        failed(r, rc, "recovering");
        return;
    }
    for (size_t i = 0; i < r->s->groups.n; i++) {
        if (!reconcile(r, r->s->groups.at[i])) return;
    }
    change(r);
}

/* -- Names --------------------------------------------------------------------------------------------------------- */
static void snapshot_closed(struct orri_errand *e, int status) {
    (void)status;
    next_name(e->owner);
}

static void snapshot_read(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    if (status < 0) {
        orri_recover_damage(r, r->name, 0, status, "can't be read");
        return;
    }
    struct orr_slice head = e->r.read.got;
    struct orr_snapshot snapshot;
    uint32_t group;
    char name[ORRI_SNAPSHOT_NAME];
    int rc = orri_snapshot_get_head(head, &group, &snapshot);
    if (rc == 0) orri_snapshot_name(name, group, &snapshot);
    bool good = rc == 0 && strcmp(name, r->name) == 0 && r->snapshot_size == ORRI_SNAPSHOT_HEAD + snapshot.size;
    struct orri_kept *kept = good ? orri_kept_new(r->s, group, &snapshot) : NULL;
    bool memory = good && (!kept || orri_row_reserve(r->s, &r->kept, 1) < 0);
    if (kept && !memory) orri_row_push(&r->kept, kept);
    else orri_kept_free(r->s, kept);
    orr_drop(head);
    if (memory || rc == ORR_EINVALID) {
        failed(r, memory ? -ENOMEM : rc,
               memory ? "recovering" : "a snapshot is of a version that this program can't read");
        return;
    }
    if (!good) {                                /* it is left where it is; what matters is whether it is missed */
        char text[160];
        (void)snprintf(r->damaged, sizeof r->damaged, "%s", r->name);
        int size = snprintf(text, sizeof text, "%s, offset 0: this snapshot is damaged and is not used", r->name);
        r->s->w->ops->log(r->s->w, ORR_LOG_WARN, text, (size_t)size);
    }
    orri_errand_file(e, ORR_OP_CLOSE, r->snapshot_file, 0, 0, snapshot_closed);
}

static void snapshot_opened(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    if (status < 0) {
        orri_recover_damage(r, r->name, 0, status, "can't be opened");
        return;
    }
    r->snapshot_file = e->r.open.file;
    r->snapshot_size = e->r.open.size;
    orri_errand_read(e, r->snapshot_file, 0, ORRI_SNAPSHOT_HEAD, snapshot_read);
}

static void segment_read(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    if (status < 0) {
        orri_recover_damage(r, r->name, 0, status, "can't be read");
        return;
    }
    struct orr_slice begin = e->r.read.got;
    int rc = orri_wal_claim(r, r->opening, begin);
    orr_drop(begin);
    if (rc == -ENOMEM) orri_segment_free(r->s, r->opening);
    r->opening = NULL;
    if (rc < 0) failed(r, rc, rc == -ENOMEM ? "recovering" : "the log is of a version that this program can't read");
    else next_name(r);
}

static void segment_opened(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    if (status < 0) {
        orri_recover_damage(r, r->name, 0, status, "can't be opened");
        return;
    }
    r->opening->file = e->r.open.file;
    r->opening->size = e->r.open.size;
    orri_errand_read(e, r->opening->file, 0, ORRI_WAL_PAGE + ORRI_WAL_HEAD, segment_read);
}

static void open_segment(struct orri_recovery *r, uint64_t log, uint32_t slot) {
    struct orr_storage *s = r->s;
    if (s->wal.id && s->wal.id != log) {
        orri_recover_damage(r, r->name, 0, ORR_ECONFLICT, "segments of two logs lie in one directory");
        return;
    }
    s->wal.id = log;
    if (slot >= s->segments.slots) s->segments.slots = slot + 1;
    r->opening = orri_segment_new(s, slot);
    if (!r->opening) failed(r, -ENOMEM, "recovering");
    else orri_errand_open(&r->e, r->opening->name, 0, segment_opened);
}

static void names_over(struct orri_recovery *r) {
    if (r->s->wal.id == 0) r->s->w->ops->secret(r->s->w, &r->s->wal.id, sizeof r->s->wal.id);
    if (r->s->wal.id == 0) r->s->wal.id = 1;
    orri_wal_recover(r);
}

static void next_name(struct orri_recovery *r) {
    while (r->name_at < r->names.size) {
        r->name = (const char *)r->names.at + r->name_at;
        r->name_at += strlen(r->name) + 1;
        uint64_t log;
        uint32_t slot;
        if (orri_wal_name_read(r->name, &log, &slot)) {
            open_segment(r, log, slot);
            return;
        }
        if (orri_snapshot_is_name(r->name)) {
            orri_errand_open(&r->e, r->name, ORR_F_READONLY, snapshot_opened);
            return;
        }
    }
    names_over(r);
}

static void listed(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    if (status < 0) {
        failed(r, status, "listing the directory");
        return;
    }
    r->names = e->r.name.names;
    next_name(r);
}

int orri_recover(struct orr_storage *s) {
    struct orri_recovery *r = orri_get(s, sizeof *r);
    if (!r) return -ENOMEM;
    s->recovery = r;
    r->s = s;
    r->e.s = s;
    r->e.owner = r;
    orri_errand_name(&r->e, ORR_OP_LIST, NULL, NULL, listed);
    return 0;
}
