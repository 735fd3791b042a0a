/* wal_index.c - where each entry lies: 16 bytes an entry, runs of terms, and what a group is on the disk.
 *
 * The index follows the order of the records: an entry written at an index that is there already takes it and all
 * behind it away. Places are an array that grows at its end and is eaten from its beginning; room is made before a
 * batch is begun (orri_index_reserve), so nothing here can fail afterwards. A segment's `live` counts the places that
 * point into it. While recovering, entries may be known to exist without a place (they lie in segments that are gone,
 * because they were released later in the log): first <= known.                                                      */
#include "storage/inner.h"

#include "base/assert.h"
#include <errno.h>
#include <string.h>

struct orri_group *orri_group_find(const struct orr_storage *s, uint32_t id) {
    size_t low = 0, high = s->groups.n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        struct orri_group *g = s->groups.at[mid];
        if (g->id == id) return g;
        if (g->id < id) low = mid + 1;
        else high = mid;
    }
    return NULL;
}

struct orri_group *orri_group_make(struct orr_storage *s, uint32_t id) {
    struct orri_group *g = orri_group_find(s, id);
    if (g) return g;
    if (orri_row_reserve(s, &s->groups, 1) < 0) return NULL;
    g = orri_get(s, sizeof *g);
    if (!g) return NULL;
    g->id = id;
    g->first = g->known = 1;
    orri_row_push(&s->groups, g);
    for (size_t i = s->groups.n - 1; i > 0; i--) {
        struct orri_group *before = s->groups.at[i - 1];
        if (before->id < id) break;
        s->groups.at[i] = before;
        s->groups.at[i - 1] = g;
    }
    return g;
}

void orri_group_free(struct orr_storage *s, struct orri_group *g) {
    orri_index_forget_configs(s, g, 0, UINT64_MAX);
    orri_kept_free(s, g->newest);
    orri_kept_free(s, g->older);
    for (struct orri_kept *kept; (kept = g->damaged);) {
        g->damaged = kept->next;
        orri_kept_free(s, kept);
    }
    orri_put(s, g->configs, g->cap_configs * sizeof *g->configs);
    orri_put(s, g->state, g->state_cap);
    orri_put(s, g->places, g->cap_places * sizeof *g->places);
    orri_put(s, g->runs, g->cap_runs * sizeof *g->runs);
    orri_put(s, g, sizeof *g);
}

void orri_index_state(struct orri_group *g, struct orr_slice state) {
    ORR_ASSERT(state.size <= g->state_cap);
    if (state.size) memcpy(g->state, state.at, state.size);
    g->state_size = state.size;
}

/* -- Entries ------------------------------------------------------------------------------------------------------- */
static size_t placed(const struct orri_group *g) { return (size_t)(g->last + 1 - g->known); }

int orri_index_reserve(struct orr_storage *s, struct orri_group *g, size_t more, size_t state_size) {
    size_t n = placed(g);
    if (g->begin > n && g->begin > 64) {        /* more was eaten than is left: moving it is paid for */
        memmove(g->places, g->places + g->begin, n * sizeof *g->places);
        g->begin = 0;
    }
    void *places = g->places, *runs = g->runs, *state = g->state;
    int rc = orri_grow(s, &places, &g->cap_places, g->begin + n + more, sizeof *g->places);
    g->places = places;
    if (rc == 0) rc = orri_grow(s, &runs, &g->cap_runs, g->n_runs + more, sizeof *g->runs);
    g->runs = runs;
    if (rc == 0) rc = orri_grow(s, &state, &g->state_cap, state_size, 1);
    g->state = state;
    return rc;
}

static void live(struct orr_storage *s, const struct orri_place *place, bool more) {
    struct orri_segment *segment = orri_segment_of(s, place->segment);
    if (!segment) return;                       /* recovering: counted when all is known */
    ORR_ASSERT(more || segment->live > 0);
    segment->live += more ? 1 : (uint64_t)-1;
}

static uint64_t weight(const struct orri_place *place) { return orri_wal_entry_size(place->size); }

static bool counts(const struct orri_group *g, orr_index index) {
    return !g->newest || index > g->newest->snapshot.index;
}

const struct orri_place *orri_index_place(const struct orri_group *g, orr_index index) {
    ORR_ASSERT(index >= g->known && index <= g->last);
    return &g->places[g->begin + (size_t)(index - g->known)];
}

orr_term orri_index_term(const struct orri_group *g, orr_index index) {
    if (index < g->known || index > g->last) return 0;
    size_t low = 0, high = g->n_runs;           /* the last run that begins at or before it */
    while (high - low > 1) {
        size_t mid = (low + high) / 2;
        if (g->runs[mid].first <= index) low = mid;
        else high = mid;
    }
    return g->runs[low].term;
}

void orri_index_truncate(struct orr_storage *s, struct orri_group *g, orr_index from) {
    if (from > g->last) return;
    for (orr_index i = g->last; i >= from && i >= g->known; i--) {
        const struct orri_place *place = orri_index_place(g, i);
        live(s, place, false);
        if (counts(g, i)) g->bytes -= weight(place);
    }
    while (g->n_runs > 0 && g->runs[g->n_runs - 1].first >= from) g->n_runs--;
    orri_index_forget_configs(s, g, from, UINT64_MAX);
    g->last = from - 1;
    if (g->known > from) g->known = from;
    if (g->first > from) g->first = from;
    if (g->stored > g->last) g->stored = g->last;
}

void orri_index_append(struct orr_storage *s, struct orri_group *g, const struct orr_entry *entry, uint32_t segment,
                       uint64_t at) {
    ORR_ASSERT(entry->index == g->last + 1);
    ORR_ASSERT(g->begin + placed(g) < g->cap_places && g->n_runs < g->cap_runs);
    struct orri_place *place = &g->places[g->begin + placed(g)];
    *place = (struct orri_place){ at, segment, (uint32_t)entry->data.size };
    live(s, place, true);
    if (g->n_runs == 0 || g->runs[g->n_runs - 1].term != entry->term) {
        g->runs[g->n_runs++] = (struct orr_term_run){ entry->index, entry->term };
    }
    g->last = entry->index;
    g->time = entry->time;
    if (counts(g, entry->index)) g->bytes += weight(place);
}

void orri_index_release(struct orr_storage *s, struct orri_group *g, orr_index through) {
    if (through > g->last) through = g->last;
    if (through < g->first) return;
    orri_index_forget_configs(s, g, 0, through);
    while (g->known <= through) {
        const struct orri_place *place = &g->places[g->begin];
        live(s, place, false);
        if (counts(g, g->known)) g->bytes -= weight(place);
        g->begin++;
        g->known++;
    }
    size_t gone = 0;
    while (gone + 1 < g->n_runs && g->runs[gone + 1].first <= g->known) gone++;
    if (g->known > g->last) gone = g->n_runs;
    g->n_runs -= gone;
    if (gone && g->n_runs) memmove(g->runs, g->runs + gone, g->n_runs * sizeof *g->runs);
    if (g->n_runs && g->runs[0].first < g->known) g->runs[0].first = g->known;
    g->first = through + 1;
}

void orri_index_reset(struct orr_storage *s, struct orri_group *g, orr_index index, orr_time time) {
    if (g->last >= g->first) orri_index_truncate(s, g, g->first);
    g->begin = 0;
    g->n_runs = 0;
    g->first = g->known = index + 1;
    g->last = g->stored = index;
    g->time = time;
    g->bytes = 0;
}

void orri_index_measure(struct orri_group *g) {
    g->bytes = 0;
    orr_index from = g->newest && g->newest->snapshot.index >= g->known ? g->newest->snapshot.index + 1 : g->known;
    for (orr_index i = from; i <= g->last; i++) g->bytes += weight(orri_index_place(g, i));
}

/* -- Configurations: what a protocol wants to see again at its start ----------------------------------------------- */
int orri_index_config(struct orr_storage *s, struct orri_group *g, const struct orr_entry *entry) {
    void *at = g->configs;
    int rc = orri_grow(s, &at, &g->cap_configs, g->n_configs + 1, sizeof *g->configs);
    g->configs = at;
    if (rc < 0) return rc;
    struct orr_entry *copy = &g->configs[g->n_configs];
    *copy = *entry;
    unsigned char *data = entry->data.size ? orri_get(s, entry->data.size) : NULL;
    if (entry->data.size && !data) return -ENOMEM;
    if (data) memcpy(data, entry->data.at, entry->data.size);
    copy->data = orr_borrow(data, entry->data.size);
    g->n_configs++;
    return 0;
}

void orri_index_forget_configs(struct orr_storage *s, struct orri_group *g, orr_index from, orr_index through) {
    size_t kept = 0;
    for (size_t i = 0; i < g->n_configs; i++) {
        struct orr_entry *config = &g->configs[i];
        if (config->index < from || config->index > through) g->configs[kept++] = *config;
        else orri_put(s, (void *)(uintptr_t)config->data.at, config->data.size);
    }
    g->n_configs = kept;
}
