/* wal_segments.c - the log's files: prepared ahead with zeros, used in a row, overwritten again when nobody needs them.
 *
 * Overwriting a file that is there in full syncs almost twice as often as growing one. A file counts as spare once its
 * zeros and its name are durable. Only the oldest segments are given up, in order, so that those in use are always
 * without gaps; and each only after a later batch that says so (`oldest`) is durable, for a recovery that read an older
 * statement would miss it.
 *
 * The disk is full when a preparation says so. The last spare is the reserve: entries with data don't get it, terms,
 * votes and the protocol's own entries do. What a failed preparation took is given back at once; it is tried again now
 * and then, when the disk says that there is room.                                                                   */
#include "storage/inner.h"

#include "base/assert.h"

#define RETRY (1 * ORR_SECOND)
#define STRIKES_MAX 5

struct orri_segment *orri_segment_new(struct orr_storage *s, uint32_t slot) {
    struct orri_segment *segment = orri_get(s, sizeof *segment);
    if (!segment) return NULL;
    segment->slot = slot;
    orri_wal_name(segment->name, s->wal.id, slot);
    return segment;
}

void orri_segment_free(struct orr_storage *s, struct orri_segment *segment) {
    if (segment) orri_put(s, segment, sizeof *segment);
}

struct orri_segment *orri_segment_of(const struct orr_storage *s, uint64_t sequence) {
    const struct orri_row *used = &s->segments.used;
    if (used->n == 0) return NULL;
    uint64_t first = ((struct orri_segment *)used->at[0])->sequence;
    if (sequence < first || sequence - first >= used->n) return NULL;
    return used->at[sequence - first];
}

struct orri_segment *orri_segment_last(const struct orr_storage *s) {
    return s->segments.used.n ? s->segments.used.at[s->segments.used.n - 1] : NULL;
}

uint64_t orri_segments_oldest(const struct orr_storage *s) {
    const struct orri_row *used = &s->segments.used;
    size_t i = 0;
    while (i + 1 < used->n && ((struct orri_segment *)used->at[i])->live == 0) i++;
    return used->n ? ((struct orri_segment *)used->at[i])->sequence : 1;
}

struct orri_segment *orri_segments_spare(struct orr_storage *s, uint64_t size, bool reserve) {
    struct orri_segments *all = &s->segments;
    bool last = all->spare.n == 1 && !reserve && all->used.n > 0;
    for (size_t i = 0; i < all->spare.n && !last; i++) {
        struct orri_segment *segment = all->spare.at[i];
        if (segment->size >= size) return segment;
    }
    all->want = size > s->cfg.segment_bytes ? size : 0;
    return NULL;
}

void orri_segments_use(struct orr_storage *s, struct orri_segment *spare) {
    struct orri_segments *all = &s->segments;
    struct orri_segment *last = orri_segment_last(s);
    for (size_t i = 0; i < all->spare.n; i++) {
        if (all->spare.at[i] == spare) orri_row_cut(&all->spare, i);
    }
    spare->sequence = last ? last->sequence + 1 : 1;
    spare->used = ORRI_WAL_PAGE;
    spare->live = 0;
    orri_row_push(&all->used, spare);
    all->want = 0;
}

/* Those that a durable batch gave up, or is about to: no new file is needed in their place. */
static size_t coming(const struct orr_storage *s) {
    const struct orri_row *used = &s->segments.used;
    size_t n = 0;
    while (n + 1 < used->n && ((struct orri_segment *)used->at[n])->live == 0) n++;
    return n;
}

bool orri_segments_short(const struct orr_storage *s) { return s->segments.spare.n < s->cfg.segments_ahead; }

/* -- Behind -------------------------------------------------------------------------------------------------------- */
static void discard_next(struct orr_storage *s);

static void removed(struct orri_errand *e, int status) {
    (void)status;                               /* still there: the next start finds it and tries again */
    struct orr_storage *s = e->s;
    orri_segment_free(s, s->segments.discarding);
    s->segments.discarding = NULL;
    discard_next(s);
}

static void closed(struct orri_errand *e, int status) {
    (void)status;
    orri_errand_name(e, ORR_OP_REMOVE, e->s->segments.discarding->name, NULL, removed);
}

static void discard_next(struct orr_storage *s) {
    struct orri_segments *all = &s->segments;
    if (all->discarding || all->trash.n == 0) return;
    all->discarding = all->trash.at[0];
    orri_row_cut(&all->trash, 0);
    all->discard.s = s;
    if (all->discarding->file) orri_errand_file(&all->discard, ORR_OP_CLOSE, all->discarding->file, 0, 0, closed);
    else closed(&all->discard, 0);
}

static void recycle(struct orr_storage *s) {
    struct orri_segments *all = &s->segments;
    while (all->used.n > 1) {
        struct orri_segment *first = all->used.at[0];
        if (first->sequence >= all->oldest_stated || first->live > 0 || first->readers > 0) return;
        bool keep = first->size == s->cfg.segment_bytes && all->spare.n <= s->cfg.segments_ahead &&
                    !ORR_RARE(s->w, "storage.drops_segment");
        if (orri_row_reserve(s, keep ? &all->spare : &all->trash, 1) < 0) return;
        orri_row_cut(&all->used, 0);
        first->sequence = 0;
        all->cramped = false;
        orri_row_push(keep ? &all->spare : &all->trash, first);
    }
}

/* -- Ahead --------------------------------------------------------------------------------------------------------- */
static void prepare_failed(struct orr_storage *s, int status) {
    struct orri_segments *all = &s->segments;
    struct orri_segment *segment = all->preparing;
    all->preparing = NULL;
    all->retry = s->w->ops->now(s->w) + RETRY;
    if (status == ORR_EFULL) {
        all->no_room = true;
    } else if (++all->strikes >= STRIKES_MAX) {
        orri_wal_fail(s, status, "no segment can be prepared");
    }
    /* After a failed sync the file is dead: another name is tried. */
    struct orri_row *to = status == ORR_EFULL ? &all->blank : &all->trash;
    if (orri_row_reserve(s, to, 1) < 0) orri_segment_free(s, segment);
    else orri_row_push(to, segment);
}

static void given_back(struct orri_errand *e, int status) {
    e->s->segments.preparing->size = 0;
    prepare_failed(e->s, status == 0 ? ORR_EFULL : status);
}

static void named(struct orri_errand *e, int status) {
    struct orr_storage *s = e->s;
    struct orri_segments *all = &s->segments;
    if (status == 0) status = orri_row_reserve(s, &all->spare, 1);
    if (status < 0) {
        prepare_failed(s, status);
        return;
    }
    orri_row_push(&all->spare, all->preparing);
    all->preparing = NULL;
    all->no_room = all->cramped = false;
    all->strikes = 0;
    all->want = 0;                              /* who still wants one that large asks again */
    all->retry = ORR_NEVER;
}

static void zeroed(struct orri_errand *e, int status) {
    if (status < 0) prepare_failed(e->s, status);
    else orri_errand_name(e, ORR_OP_SYNC_DIR, NULL, NULL, named);
}

static void filled(struct orri_errand *e, int status) {
    struct orri_segment *segment = e->s->segments.preparing;
    if (status == ORR_EFULL) {
        orri_errand_file(e, ORR_OP_TRUNCATE, segment->file, 0, 0, given_back);
    } else if (status < 0) {
        prepare_failed(e->s, status);
    } else {
        segment->size = e->r.file.at;
        orri_errand_file(e, ORR_OP_SYNC, segment->file, 0, 0, zeroed);
    }
}

static void fill(struct orri_errand *e) {
    struct orr_storage *s = e->s;
    uint64_t size = s->segments.want > s->cfg.segment_bytes ? s->segments.want : s->cfg.segment_bytes;
    bool waited_for = s->segments.used.n == 0 || s->segments.want > 0;
    orri_errand_file(e, ORR_OP_PREPARE, s->segments.preparing->file, size, waited_for ? 0 : ORR_W_BULK, filled);
}

/* A file that a start found unfinished: whatever it held, it holds zeros from now on. */
static void emptied(struct orri_errand *e, int status) {
    if (status < 0) prepare_failed(e->s, status);
    else fill(e);
}

static void opened(struct orri_errand *e, int status) {
    if (status < 0) {
        prepare_failed(e->s, status);
        return;
    }
    e->s->segments.preparing->file = e->r.open.file;
    fill(e);
}

static void begin_prepare(struct orr_storage *s) {
    struct orri_segments *all = &s->segments;
    if (all->blank.n > 0) {
        all->preparing = all->blank.at[all->blank.n - 1];
        orri_row_cut(&all->blank, all->blank.n - 1);
    } else {
        all->preparing = orri_segment_new(s, all->slots);
        if (!all->preparing) {
            all->retry = s->w->ops->now(s->w) + RETRY;
            return;
        }
        all->slots++;
    }
    struct orr_file *file = all->preparing->file;
    if (file && all->preparing->size > 0) orri_errand_file(&all->prepare, ORR_OP_TRUNCATE, file, 0, 0, emptied);
    else if (file) fill(&all->prepare);
    else orri_errand_open(&all->prepare, all->preparing->name, ORR_F_CREATE, opened);
}

static void spaced(struct orri_errand *e, int status) {
    struct orr_storage *s = e->s;
    uint64_t size = s->segments.want > s->cfg.segment_bytes ? s->segments.want : s->cfg.segment_bytes;
    if (status == 0 && e->r.name.free_bytes < size + size / 8) s->segments.retry = s->w->ops->now(s->w) + RETRY;
    else begin_prepare(s);
}

static void prepare(struct orr_storage *s) {
    struct orri_segments *all = &s->segments;
    if (all->preparing || all->prepare.running) return;
    if (all->want == 0 && all->spare.n + coming(s) >= s->cfg.segments_ahead) {
        all->retry = ORR_NEVER;
        return;
    }
    if (s->w->ops->now(s->w) < all->retry && all->retry != ORR_NEVER) return;
    all->retry = ORR_NEVER;                     /* while a try is under way nothing is due */
    if (all->used.n > 0 && ORR_RARE(s->w, "storage.prepares_later")) {
        all->retry = s->w->ops->now(s->w) + RETRY;
        return;
    }
    all->prepare.s = s;
    if (all->no_room) orri_errand_name(&all->prepare, ORR_OP_SPACE, NULL, NULL, spaced);
    else begin_prepare(s);
}

/* -- Full or not --------------------------------------------------------------------------------------------------- */
static void judge_room(struct orr_storage *s) {
    bool short_of = s->segments.no_room && orri_segments_short(s);
    if (short_of && ORR_RARE(s->w, "storage.seems_cramped")) s->segments.cramped = true;
    const struct orri_segment *last = orri_segment_last(s);
    uint64_t room = last ? last->size - last->used : 0;
    if (s->segments.spare.n > 1) room += (s->segments.spare.n - 1) * s->cfg.segment_bytes;
    bool full = (s->segments.no_room && (s->segments.cramped || room < s->cfg.segment_bytes / 8)) || s->wal.batch.again;
    if (full == s->full) return;
    s->full = full;
    s->full_result.done = (struct orri_storage_done){ .kind = ORR_TAKE_FULL, .status = full ? ORR_EFULL : 0 };
    orri_tell(s, &s->full_result);
}

void orri_segments_cramped(struct orr_storage *s) {
    s->segments.cramped = true;
    judge_room(s);
}

void orri_segments_tend(struct orr_storage *s) {
    if (!s->opened || s->failed) return;
    recycle(s);
    prepare(s);
    discard_next(s);
    judge_room(s);
}

static void clear_row(struct orr_storage *s, struct orri_row *row) {
    for (size_t i = 0; i < row->n; i++) orri_segment_free(s, row->at[i]);
    orri_row_clear(s, row);
}

void orri_segments_clear(struct orr_storage *s) {
    struct orri_segments *all = &s->segments;
    clear_row(s, &all->used);
    clear_row(s, &all->spare);
    clear_row(s, &all->blank);
    clear_row(s, &all->trash);
    orri_segment_free(s, all->preparing);
    orri_segment_free(s, all->discarding);
    all->preparing = all->discarding = NULL;
}
