/* storage.c - a storage's life, its results, and what callers see of the groups.
 *
 * Everything a caller hears comes through one queue of results that lie in what they tell of (a store, a fetch, a
 * group), so telling needs no memory and can't fail.                                                                 */
#include "storage/inner.h"

#include "base/assert.h"
#include <errno.h>
#include <string.h>

/* -- Memory -------------------------------------------------------------------------------------------------------- */
void *orri_get(struct orr_storage *s, size_t size) {
    void *at = s->w->alloc.fn(s->w->alloc.ud, NULL, 0, size);
    if (at) memset(at, 0, size);
    return at;
}

void orri_put(struct orr_storage *s, void *at, size_t size) {
    if (at) (void)s->w->alloc.fn(s->w->alloc.ud, at, size, 0);
}

int orri_grow(struct orr_storage *s, void **at, size_t *cap, size_t want, size_t size) {
    if (want <= *cap) return 0;
    size_t cap_new = *cap < 8 ? 8 : *cap;
    while (cap_new < want) {
        if (cap_new > SIZE_MAX / 2 / size) return -ENOMEM;
        cap_new *= 2;
    }
    void *bigger = s->w->alloc.fn(s->w->alloc.ud, *at, *cap * size, cap_new * size);
    if (!bigger) return -ENOMEM;
    *at = bigger;
    *cap = cap_new;
    return 0;
}

int orri_row_reserve(struct orr_storage *s, struct orri_row *row, size_t more) {
    void *at = row->at;
    int rc = orri_grow(s, &at, &row->cap, row->n + more, sizeof *row->at);
    row->at = at;
    return rc;
}

void orri_row_push(struct orri_row *row, void *item) {
    ORR_ASSERT(row->n < row->cap);
    row->at[row->n++] = item;
}

void orri_row_cut(struct orri_row *row, size_t at) {
    ORR_ASSERT(at < row->n);
    row->n--;
    memmove(row->at + at, row->at + at + 1, (row->n - at) * sizeof *row->at);
}

void orri_row_clear(struct orr_storage *s, struct orri_row *row) {
    orri_put(s, row->at, row->cap * sizeof *row->at);
    *row = (struct orri_row){ .n = 0 };
}

/* -- Results ------------------------------------------------------------------------------------------------------- */
void orri_queue_push(struct orri_queue *q, struct orri_result *r) {
    r->next = NULL;
    if (q->tail) q->tail->next = r;
    else q->head = r;
    q->tail = r;
}

struct orri_result *orri_queue_pop(struct orri_queue *q) {
    struct orri_result *r = q->head;
    if (!r) return NULL;
    q->head = r->next;
    if (!q->head) q->tail = NULL;
    return r;
}

void orri_tell(struct orr_storage *s, struct orri_result *r) {
    if (r->queued) return;
    r->queued = true;
    orri_queue_push(&s->results, r);
}

static void give_back(struct orr_storage *s) {
    struct orri_result *r = s->given;
    s->given = NULL;
    if (r && r->taken) r->taken(s, r);
}

bool orri_storage_take(struct orr_storage *s, struct orri_storage_done *out) {
    give_back(s);
    struct orri_result *r = orri_queue_pop(&s->results);
    if (!r) return false;
    r->queued = false;
    if (r->done.kind == ORR_TAKE_STORED) orri_wal_refusal_heard(s, r);
    *out = r->done;
    s->given = r;
    return true;
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
void orri_storage_config_init(struct orr_storage_config *cfg) {
    *cfg = (struct orr_storage_config){ .segment_bytes = 64u << 20, .segments_ahead = 2, .state_bytes_max = 64u << 10 };
}

int orri_storage_new(struct orr_storage **out, struct orr_world *w, const struct orr_storage_config *cfg) {
    bool sane =
        cfg->segment_bytes >= 8 * ORRI_WAL_PAGE && (cfg->segment_bytes & 7) == 0 && cfg->segment_bytes <= SIZE_MAX / 4;
    if (!sane || cfg->segments_ahead < 1 || cfg->state_bytes_max > cfg->segment_bytes) return ORR_EINVALID;
    struct orr_storage *s = w->alloc.fn(w->alloc.ud, NULL, 0, sizeof *s);
    if (!s) return -ENOMEM;
    *s = (struct orr_storage){ .w = w, .cfg = *cfg };
    s->wal.retry = s->segments.retry = ORR_NEVER;
    int rc = orri_recover(s);
    if (rc < 0) {
        orri_storage_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void orri_storage_free(struct orr_storage *s) {
    if (!s) return;
    give_back(s);
    struct orri_result *r;
    while ((r = orri_queue_pop(&s->results))) {
        if (r->taken) r->taken(s, r);
    }
    orri_fetches_clear(s);
    orri_recover_clear(s);
    orri_snapshots_clear(s);
    orri_wal_clear(s);
    for (size_t i = 0; i < s->groups.n; i++) orri_group_free(s, s->groups.at[i]);
    orri_segments_clear(s);
    orri_row_clear(s, &s->groups);
    orri_put(s, s, sizeof *s);
}

bool orri_storage_idle(const struct orr_storage *s) {
    return s->running == 0 && !s->wal.waiting.head && !s->wal.batch.again && !s->results.head;
}

void orri_storage_flush(struct orr_storage *s) {
    if (s->opened && s->recovery) orri_recover_clear(s);
    orri_segments_tend(s);
    if (orri_wal_flush(s)) orri_segments_tend(s);
}

orr_time orri_storage_deadline(const struct orr_storage *s) {
    if (!s->opened || s->failed) return ORR_NEVER;
    return s->wal.retry < s->segments.retry ? s->wal.retry : s->segments.retry;
}

void orri_storage_tick(struct orr_storage *s, orr_time now) {
    if (now >= orri_storage_deadline(s)) orri_storage_flush(s);
}

/* -- Groups -------------------------------------------------------------------------------------------------------- */
void orri_storage_boot(struct orr_storage *s, uint32_t group, struct orr_boot *out) {
    *out = (struct orr_boot){ .first = 1 };
    const struct orri_group *g = orri_group_find(s, group);
    if (!g) return;
    out->state = orr_borrow(g->state, g->state_size);
    if (g->newest) out->snapshot = g->newest->snapshot;
    out->first = g->reset ? g->reset_to.index + 1 : g->first;
    out->last = g->reset ? g->reset_to.index : g->last;
    out->time = out->last >= out->first ? g->time : out->snapshot.time;
    if (g->reset) return;
    out->runs = g->runs;
    out->n_runs = g->n_runs;
    out->configs = g->configs;
    out->n_configs = g->n_configs;
}

void orri_storage_snapshots(const struct orr_storage *s, uint32_t group, struct orr_snapshot *newest,
                            struct orr_snapshot *older) {
    const struct orri_group *g = orri_group_find(s, group);
    *newest = g && g->newest ? g->newest->snapshot : (struct orr_snapshot){ .index = 0 };
    if (older) *older = g && g->older ? g->older->snapshot : (struct orr_snapshot){ .index = 0 };
}

int orri_storage_fetch(struct orr_storage *s, uint32_t group, const struct orr_fetch *fetch) {
    if (s->failed) return ORR_EPOISONED;
    if (!s->opened) return ORR_EUNAVAILABLE;
    return fetch->kind == ORR_FETCH_ENTRIES ? orri_wal_fetch(s, group, fetch) : orri_snapshot_fetch(s, group, fetch);
}

void orri_storage_release(struct orr_storage *s, uint32_t group, orr_index through) {
    struct orri_group *g = orri_group_find(s, group);
    if (g && through > g->last) through = g->last;
    if (!g || through < g->first || through <= g->release) return;
    if (!g->release) s->wal.marks++;
    g->release = through;
}

uint64_t orri_storage_log_bytes(const struct orr_storage *s, uint32_t group) {
    const struct orri_group *g = orri_group_find(s, group);
    return g && !g->reset ? g->bytes : 0;
}

uint64_t orri_storage_segments_held(const struct orr_storage *s, uint32_t group) {
    const struct orri_group *g = orri_group_find(s, group);
    const struct orri_segment *last = orri_segment_last(s);
    orr_index oldest = !g ? 0 : g->release >= g->first ? g->release + 1 : g->first;
    if (!last || !g || g->reset || oldest > g->last) return 0;
    return last->sequence - orri_index_place(g, oldest)->segment + 1;
}

void orri_storage_stats(const struct orr_storage *s, struct orri_storage_stats *out) {
    *out = s->stats;
    out->full = s->full;
    out->sync_mean = s->stats.syncs ? s->sync_total / (orr_time)s->stats.syncs : 0;
    out->segments = (unsigned)s->segments.used.n;
    out->segments_spare = (unsigned)s->segments.spare.n;
    out->bytes_log = 0;
    for (size_t i = 0; i < s->segments.used.n; i++)
        out->bytes_log += ((const struct orri_segment *)s->segments.used.at[i])->used;
}
