/* raft_log.c - the log: its newest entries in memory, the terms of all.
 *
 * Three borders: first <= window <= last + 1. Entries first..last are the log (on the disk, or on their way
 * there), those from `window` on are in a ring too. The ring is bounded in entries and bytes and gives up the
 * oldest first, which are then fetched from the disk by whoever needs them: it is a cache, except for entries that
 * aren't stored yet.
 *
 * Terms are kept as runs (where each term begins), so that consistency checks, hints and elections never wait for
 * the disk. The term of first - 1, against which the first entry is checked, is known after a snapshot at just
 * that index, or when it was compacted in this life. */
#include "internal.h"

static size_t power_of_two(size_t n) {
    size_t p = 1;
    while (p < n) p *= 2;
    return p;
}

static struct orr_entry *slot(const struct orri_raft_log *log, orr_index index) {
    return &log->ring[index & (log->cap - 1)];
}

static bool runs_valid(const struct orr_boot *boot) {
    if (boot->last < boot->first) return true;
    if (boot->n_runs == 0 || boot->runs[0].first > boot->first) return false;
    for (size_t i = 1; i < boot->n_runs; i++)
        if (boot->runs[i].first <= boot->runs[i - 1].first || boot->runs[i].term <= boot->runs[i - 1].term)
            return false;
    return boot->runs[boot->n_runs - 1].first <= boot->last;
}

static void load(struct orri_raft_log *log, const struct orr_boot *boot) {
    const struct orr_snapshot *s = &boot->snapshot;
    if (boot->last < boot->first || boot->last < s->index) {    /* nothing, or nothing that the snapshot doesn't hold */
        orri_raft_log_restart(log, s->index, s->term);
        return;
    }
    log->first = boot->first;
    log->last = boot->last;
    log->window = boot->last + 1;
    log->base_known = boot->first == 1 || s->index == boot->first - 1;
    log->base_term = boot->first == 1 ? 0 : s->term;
    memcpy(log->runs, boot->runs, boot->n_runs * sizeof *boot->runs);
    log->n_runs = boot->n_runs;
    while (log->n_runs > 1 && log->runs[1].first <= log->first)
        memmove(log->runs, log->runs + 1, --log->n_runs * sizeof *log->runs);
    log->runs[0].first = log->first;
}

int orri_raft_log_init(struct orri_raft_log *log, const struct orr_order_config *cfg, const struct orr_boot *boot) {
    *log = (struct orri_raft_log){ .alloc = cfg->alloc,
                                   .entries_max = cfg->window_entries,
                                   .bytes_max = cfg->window_bytes };
    if (boot->first > boot->snapshot.index + 1 || !runs_valid(boot)) return ORR_ECORRUPT;
    log->cap = power_of_two(cfg->window_entries + 1);    /* one for a new leader's no-op */
    log->ring = orri_raft_alloc(log->alloc, log->cap * sizeof *log->ring);
    if (!log->ring) return -ENOMEM;
    int rc = orri_raft_log_reserve(log, boot->n_runs + 16);
    if (rc == 0) load(log, boot);
    return rc;
}

static void forget(struct orri_raft_log *log, orr_index through) {     /* from the window's front */
    for (; log->window <= through; log->window++) {
        struct orr_entry *e = slot(log, log->window);
        log->bytes -= e->data.size;
        orr_drop(e->data);
        *e = (struct orr_entry){ 0 };
    }
}

void orri_raft_log_clear(struct orri_raft_log *log) {
    if (log->ring) {
        forget(log, log->last);
        log->alloc->fn(log->alloc->ud, log->ring, log->cap * sizeof *log->ring, 0);
    }
    if (log->runs) log->alloc->fn(log->alloc->ud, log->runs, log->cap_runs * sizeof *log->runs, 0);
    log->ring = NULL;
    log->runs = NULL;
}

/* The run that index is in; first <= index <= last. */
static size_t run_of(const struct orri_raft_log *log, orr_index index) {
    size_t low = 0, high = log->n_runs;
    if (log->runs[high - 1].first <= index) return high - 1;    /* nearly always */
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (log->runs[mid].first <= index) low = mid;
        else high = mid;
    }
    return low;
}

bool orri_raft_log_term(const struct orri_raft_log *log, orr_index index, orr_term *term) {
    if (index + 1 == log->first) {
        *term = log->base_term;
        return log->base_known;
    }
    if (index < log->first || index > log->last) return false;
    *term = log->runs[run_of(log, index)].term;
    return true;
}

orr_term orri_raft_log_last_term(const struct orri_raft_log *log) {
    return log->n_runs ? log->runs[log->n_runs - 1].term : log->base_term;
}

const struct orr_entry *orri_raft_log_at(const struct orri_raft_log *log, orr_index index) {
    ORR_ASSERT(index >= log->window && index <= log->last);
    return slot(log, index);
}

bool orri_raft_log_room(struct orri_raft_log *log, size_t size, orr_index evict_through) {
    for (;;) {
        size_t n = (size_t)(log->last + 1 - log->window);
        if (n == 0 || (n < log->entries_max && log->bytes + size <= log->bytes_max)) return true;
        if (log->window > evict_through) return false;
        forget(log, log->window);
    }
}

void orri_raft_log_evict(struct orri_raft_log *log, orr_index through) { forget(log, orri_min(through, log->last)); }

int orri_raft_log_reserve(struct orri_raft_log *log, size_t runs) {
    if (log->n_runs + runs <= log->cap_runs) return 0;
    size_t cap = log->cap_runs * 2 > log->n_runs + runs ? log->cap_runs * 2 : log->n_runs + runs;
    struct orr_term_run *grown =
        log->alloc->fn(log->alloc->ud, log->runs, log->cap_runs * sizeof *grown, cap * sizeof *grown);
    if (!grown) return -ENOMEM;
    log->runs = grown;
    log->cap_runs = cap;
    return 0;
}

void orri_raft_log_append(struct orri_raft_log *log, const struct orr_entry *entry) {
    ORR_ASSERT(entry->index == log->last + 1);
    ORR_ASSERT(log->last + 1 - log->window < log->cap);
    ORR_ASSERT(entry->term >= orri_raft_log_last_term(log));
    if (log->n_runs == 0 || entry->term != log->runs[log->n_runs - 1].term) {
        ORR_ASSERT(log->n_runs < log->cap_runs);
        log->runs[log->n_runs++] = (struct orr_term_run){ entry->index, entry->term };
    }
    *slot(log, entry->index) = *entry;
    log->bytes += entry->data.size;
    log->last = entry->index;
}

void orri_raft_log_truncate(struct orri_raft_log *log, orr_index from) {
    ORR_ASSERT(from >= log->first);
    for (; log->last >= from && log->last >= log->window; log->last--) {
        struct orr_entry *e = slot(log, log->last);
        log->bytes -= e->data.size;
        orr_drop(e->data);
        *e = (struct orr_entry){ 0 };
    }
    if (log->last >= from) log->last = from - 1;
    if (log->window > log->last + 1) log->window = log->last + 1;
    while (log->n_runs && log->runs[log->n_runs - 1].first > log->last) log->n_runs--;
}

void orri_raft_log_compact(struct orri_raft_log *log, orr_index keep_after) {
    if (keep_after < log->first) return;
    log->base_known = orri_raft_log_term(log, keep_after, &log->base_term);
    forget(log, orri_min(keep_after, log->last));
    log->first = keep_after + 1;
    size_t gone = 0;
    while (gone < log->n_runs && (gone + 1 < log->n_runs ? log->runs[gone + 1].first : log->last + 1) <= log->first)
        gone++;
    log->n_runs -= gone;
    memmove(log->runs, log->runs + gone, log->n_runs * sizeof *log->runs);
    if (log->n_runs) log->runs[0].first = log->first;
}

void orri_raft_log_restart(struct orri_raft_log *log, orr_index index, orr_term term) {
    if (log->last >= log->window) forget(log, log->last);
    log->n_runs = 0;
    log->base_term = term;
    log->base_known = true;
    log->last = index;
    log->first = log->window = index + 1;
}

size_t orri_raft_log_span(const struct orri_raft_log *log, orr_index from, orr_index through, size_t n_max,
                          size_t bytes_max, const struct orr_entry **at) {
    ORR_ASSERT(from >= log->window && through <= log->last);
    size_t bytes = 0, n = 0, to_end = log->cap - (size_t)(from & (log->cap - 1));
    *at = slot(log, from);
    while (n < n_max && n < to_end && from + n <= through) {
        bytes += (*at)[n].data.size;
        if (n > 0 && bytes > bytes_max) break;
        n++;
    }
    return n;
}

orr_index orri_raft_log_agree(const struct orri_raft_log *log, orr_index index, orr_term term) {
    index = orri_min(index, log->last);
    if (index < log->first) return index;
    for (size_t i = run_of(log, index) + 1; i-- > 0;) {
        if (log->runs[i].term <= term) return index;
        index = log->runs[i].first - 1;
    }
    return index;
}

void orri_raft_log_check(const struct orri_raft_log *log, bool whole) {
    ORR_ASSERT(log->first >= 1 && log->first <= log->last + 1);
    ORR_ASSERT(log->window >= log->first && log->window <= log->last + 1);
    ORR_ASSERT(log->last + 1 - log->window <= log->cap);
    ORR_ASSERT((log->n_runs == 0) == (log->last < log->first));
    ORR_ASSERT(log->n_runs == 0 || (log->runs[0].first == log->first && log->runs[log->n_runs - 1].first <= log->last));
    if (!whole) return;
    for (size_t i = 1; i < log->n_runs; i++) {
        ORR_ASSERT(log->runs[i].first > log->runs[i - 1].first);
        ORR_ASSERT(log->runs[i].term > log->runs[i - 1].term);
    }
    size_t bytes = 0;
    for (orr_index i = log->window; i <= log->last; i++) {
        const struct orr_entry *e = slot(log, i);
        ORR_ASSERT(e->index == i && e->term == log->runs[run_of(log, i)].term);
        bytes += e->data.size;
    }
    ORR_ASSERT(bytes == log->bytes);
}
