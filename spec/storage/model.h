/* model.h - a storage under random work, and what it must hold after any crash.
 *
 * One simulated node runs one storage. The model knows every store that was handed in, in order, and which of them were
 * reported stored. After a crash the storage must hold exactly what some prefix of them leads to, none of the reported
 * missing: all groups at the same prefix, each entry byte for byte. Snapshots: the newest is at least the newest that
 * was reported, and its bytes are those that were written.                                                           */
#ifndef ORR_SPEC_STORAGE_MODEL_H
#define ORR_SPEC_STORAGE_MODEL_H

#include "base/hash.h"
#include "base/rng.h"
#include "sim/probe.h"
#include "storage/storage.h"

#include <errno.h>
#include <stdlib.h>

enum { GROUPS = 4, ENTRIES = 2000, PENDING = 4000, STORE_MAX = 8, SNAPSHOTS = 400 };

struct m_entry {
    orr_term term;
    orr_time time;
    uint32_t kind, size;
    uint64_t seed;
};
struct m_group { /* what the disk should have of it */
    uint64_t state_seed;
    uint32_t state_size;
    orr_index base, last;            /* nothing is known at or before base (a snapshot stands there) */
    orr_index released;              /* asked for: the log may begin anywhere up to released + 1 */
    struct m_entry entries[ENTRIES]; /* [index % ENTRIES] */
};
struct m_op {
    uint32_t group;
    uint64_t id, state_seed;
    uint32_t state_size;
    orr_index first;
    size_t n;
    bool truncate, data;
    struct m_entry entries[STORE_MAX];
};
struct m_snapshot {
    uint32_t group;
    orr_index index;
    orr_term term;
    uint64_t seed, size, checksum;
    bool reported;
};
struct model {
    struct probe probe;
    struct orr_sim *sim;
    struct orr_rng rng;
    struct orr_storage *s;
    struct orr_storage_config cfg;
    struct m_group group[GROUPS]; /* after all that was reported */
    struct m_group view[GROUPS];  /* after all that was handed in: what new stores connect to */
    struct m_group found[GROUPS]; /* what a start found */
    orr_index found_first[GROUPS];
    orr_index floor[GROUPS]; /* a snapshot was begun there: nothing up to it is ever replaced */
    struct m_op pending[PENDING];
    size_t n_pending;
    struct m_snapshot snapshot[SNAPSHOTS];
    size_t n_snapshots;
    uint64_t id, seeds;
    /* This life. */
    bool opened, checked, over, was_full, full, busy; /* busy: a fetch of the check is under way */
    int opened_status;
    char text[700];
    uint32_t check_group;
    orr_index check_at;
    uint64_t check_offset;
    unsigned turns;
    /* A snapshot in the making, in one group at a time; an install likewise. */
    bool making, installing;
    struct m_snapshot made, install;
    uint64_t made_at;
    uint32_t making_group;
    bool quiet;      /* no new work */
    bool may_refuse; /* the disk is small */
    double p_store, p_big, p_truncate, p_snapshot, p_install, p_state;
    uint64_t n_stores, n_reported, n_lives, n_refused, n_installed, n_snapshots_made, n_skipped;
};

/* -- Bytes from seeds ---------------------------------------------------------------------------------------------- */
static void m_fill(uint64_t seed, unsigned char *out, size_t size) {
    struct orr_rng rng;
    orri_rng_init(&rng, seed);
    orri_rng_fill(&rng, out, size);
}

static bool m_same(uint64_t seed, const unsigned char *at, size_t size) {
    unsigned char *want = malloc(size + 1);
    m_fill(seed, want, size);
    bool same = size == 0 || memcmp(want, at, size) == 0;
    free(want);
    return same;
}

static void m_bad(struct model *m, const char *what) {
    printf("life %llu, turn %u, t %lld: %s\n", (unsigned long long)m->n_lives, m->turns, (long long)orr_sim_now(m->sim),
           what);
    fflush(stdout);
    abort();
}

/* -- The model ----------------------------------------------------------------------------------------------------- */
static void m_apply(struct m_group *g, const struct m_op *op) {
    if (op->state_size) {
        g->state_seed = op->state_seed;
        g->state_size = op->state_size;
    }
    for (size_t i = 0; i < op->n; i++) g->entries[(op->first + i) % ENTRIES] = op->entries[i];
    if (op->n) g->last = op->first + op->n - 1;
}

static bool m_equal(const struct model *m, uint32_t i, const struct m_group *want) {
    const struct m_group *got = &m->found[i];
    if (got->state_size != want->state_size || got->last != want->last) return false;
    if (got->state_size && got->state_seed != want->state_seed) return false;
    if (m->found_first[i] > want->released + 1 || m->found_first[i] <= want->base) return false;
    for (orr_index k = m->found_first[i]; k <= want->last; k++) {
        const struct m_entry *a = &got->entries[k % ENTRIES], *b = &want->entries[k % ENTRIES];
        if (a->term != b->term || a->time != b->time || a->kind != b->kind || a->size != b->size || a->seed != b->seed)
            return false;
    }
    return true;
}

/* The group as an install that was under way would have left it. */
static bool m_is_installed(const struct model *m, uint32_t i) {
    const struct m_group *got = &m->found[i], *was = &m->group[i];
    return m->installing && m->install.group == i && got->last == m->install.index &&
           m->found_first[i] == got->last + 1 && got->state_size == was->state_size &&
           (!got->state_size || got->state_seed == was->state_seed);
}

static bool m_all_equal(struct model *m, const struct m_group *want) {
    for (uint32_t i = 0; i < GROUPS; i++) {
        if (!m_equal(m, i, &want[i]) && !m_is_installed(m, i)) return false;
    }
    return true;
}

/* Is what was found what some prefix of the pending stores leads to? Where the disk is small, any
 * of those with entries may have been refused. */
static bool m_match(struct model *m, struct m_group *want, size_t from, bool skips) {
    if (m_all_equal(m, want)) {
        for (uint32_t i = 0; i < GROUPS; i++) m->group[i] = want[i];
        return true;
    }
    for (size_t p = from; p < m->n_pending; p++) {
        const struct m_op *op = &m->pending[p];
        struct m_group *g = &want[op->group];
        if (skips && op->n && p - from < 12) {
            struct m_group *copy = malloc(GROUPS * sizeof *copy);
            memcpy(copy, want, GROUPS * sizeof *copy);
            bool matched = m_match(m, copy, p + 1, true);
            free(copy);
            if (matched) return true;
        }
        if (op->n && op->first > g->last + 1) return false;
        m_apply(g, op);
        if (m_all_equal(m, want)) {
            for (uint32_t i = 0; i < GROUPS; i++) m->group[i] = want[i];
            return true;
        }
    }
    return false;
}

/* -- After a start: everything is read back ------------------------------------------------------------------------ */
static void m_checked(struct model *m) {
    struct m_group *want = malloc(sizeof m->group);
    memcpy(want, m->group, sizeof m->group);
    bool matched = m_match(m, want, 0, m->may_refuse);
    free(want);
    if (!matched) {
        for (uint32_t i = 0; i < GROUPS; i++) {
            const struct m_group *g = &m->group[i], *f = &m->found[i];
            printf("group %u: found %llu..%llu state %llu; reported %llu..%llu (released %llu) state %llu\n", i,
                   (unsigned long long)m->found_first[i], (unsigned long long)f->last,
                   (unsigned long long)f->state_seed, (unsigned long long)g->base, (unsigned long long)g->last,
                   (unsigned long long)g->released, (unsigned long long)g->state_seed);
        }
        for (size_t i = 0; i < m->n_pending && i < 20; i++) {
            const struct m_op *op = &m->pending[i];
            printf("pending: group %u from %llu n %zu state %llu%s\n", op->group, (unsigned long long)op->first, op->n,
                   (unsigned long long)(op->state_size ? op->state_seed : 0), op->truncate ? " truncate" : "");
        }
        if (m->installing)
            printf("installing %llu in group %u\n", (unsigned long long)m->install.index, m->install.group);
    }
    if (!matched) m_bad(m, "what the disk has is not what any prefix of the stores leads to");
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct m_group *g = &m->group[i];
        if (m_is_installed(m, i) && !m_equal(m, i, g)) {
            g->base = g->last = g->released = m->install.index;
        }
        m->view[i] = *g;
    }
    m->n_pending = 0;
    m->checked = true;
    m->was_full = m->full;
    m->installing = m->making = false;
}

static void m_check_boot(struct model *m) {
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct orr_boot boot;
        struct m_group *got = &m->found[i];
        orri_storage_boot(m->s, i, &boot);
        memset(got, 0, sizeof *got);
        m->found_first[i] = boot.first;
        got->last = boot.last;
        if (boot.last + 1 < boot.first || boot.first > boot.snapshot.index + 1) m_bad(m, "first and last don't fit");
        got->state_size = (uint32_t)boot.state.size;
        /* The seed is in the state's first bytes. */
        if (boot.state.size >= 8) memcpy(&got->state_seed, boot.state.at, 8);
        if (boot.state.size >= 8 && !m_same(got->state_seed, boot.state.at + 8, boot.state.size - 8))
            m_bad(m, "a state's bytes are wrong");
        size_t configs = 0;
        for (size_t k = 0; k + 1 < boot.n_runs; k++) {
            if (boot.runs[k].first >= boot.runs[k + 1].first || boot.runs[k].term == boot.runs[k + 1].term)
                m_bad(m, "runs are not runs");
        }
        if (boot.n_runs && boot.runs[0].first != boot.first) m_bad(m, "the first run is not the log's beginning");
        for (size_t k = 0; k < boot.n_configs; k++) {
            const struct orr_entry *e = &boot.configs[k];
            if (e->index < boot.first || e->index > boot.last || e->kind != ORR_ENTRY_CONFIG)
                m_bad(m, "a configuration from nowhere");
            configs++;
        }
        got->base = configs; /* compared with the entries when they are read */
        struct orr_snapshot newest, older;
        orri_storage_snapshots(m->s, i, &newest, &older);
        bool known = newest.index == 0;
        orr_index reported = 0;
        for (size_t k = 0; k < m->n_snapshots; k++) {
            const struct m_snapshot *s = &m->snapshot[k];
            if (s->group != i) continue;
            if (s->reported && s->index > reported) reported = s->index;
            if (s->index == newest.index && s->term == newest.term && s->size == newest.size &&
                s->checksum == newest.checksum)
                known = true;
        }
        if (!known) m_bad(m, "a snapshot that was never written");
        if (newest.index < reported) m_bad(m, "a reported snapshot is lost");
    }
}

static const struct m_snapshot *m_snapshot_of(const struct model *m, uint32_t group, const struct orr_snapshot *s) {
    for (size_t k = 0; k < m->n_snapshots; k++) {
        const struct m_snapshot *x = &m->snapshot[k];
        if (x->group == group && x->index == s->index && x->term == s->term && x->checksum == s->checksum) return x;
    }
    return NULL;
}

/* The next thing to read back; false: all was. */
static bool m_check_next(struct model *m) {
    while (m->check_group < GROUPS) {
        uint32_t i = m->check_group;
        struct orr_snapshot newest;
        orri_storage_snapshots(m->s, i, &newest, NULL);
        struct orr_fetch f = { .id = 77, .from = m->check_at, .through = m->found[i].last, .bytes_max = 20000 };
        if (m->check_at <= m->found[i].last) {
            f.kind = ORR_FETCH_ENTRIES;
        } else if (m->check_offset < newest.size) {
            f = (struct orr_fetch){ .id = 78,
                                    .kind = ORR_FETCH_SNAPSHOT,
                                    .from = newest.index,
                                    .term = newest.term,
                                    .offset = m->check_offset,
                                    .bytes_max = 30000 };
        } else {
            m->check_group++;
            m->check_offset = 0;
            if (m->check_group < GROUPS) m->check_at = m->found_first[m->check_group];
            continue;
        }
        m->busy = orri_storage_fetch(m->s, i, &f) == 0; /* memory may be out: again in the next turn */
        return true;
    }
    return false;
}

static void m_got_entries(struct model *m, const struct orri_storage_done *d) {
    struct m_group *got = &m->found[d->group];
    for (size_t i = 0; i < d->n_entries; i++) {
        const struct orr_entry *e = &d->entries[i];
        if (e->index != m->check_at) m_bad(m, "entries are not in a row");
        uint64_t seed = 0;
        if (e->data.size >= 8) memcpy(&seed, e->data.at, 8);
        if (e->data.size >= 8 && !m_same(seed, e->data.at + 8, e->data.size - 8))
            m_bad(m, "an entry's bytes are wrong");
        got->entries[e->index % ENTRIES] = (struct m_entry){ e->term, e->time, e->kind, (uint32_t)e->data.size, seed };
        m->check_at++;
    }
    if (d->n_entries == 0) m_bad(m, "a fetch without entries");
}

static void m_got_piece(struct model *m, const struct orri_storage_done *d) {
    struct orr_snapshot newest;
    orri_storage_snapshots(m->s, d->group, &newest, NULL);
    const struct m_snapshot *s = m_snapshot_of(m, d->group, &newest);
    unsigned char *want = malloc(s->size + 1);
    m_fill(s->seed, want, s->size);
    if (d->data.size == 0 || memcmp(want + m->check_offset, d->data.at, d->data.size) != 0)
        m_bad(m, "a snapshot's bytes are wrong");
    free(want);
    m->check_offset += d->data.size;
}

/* -- Work ---------------------------------------------------------------------------------------------------------- */
static struct orr_slice m_payload(struct model *m, uint64_t seed, uint32_t size) {
    if (size == 0) return orr_borrow(NULL, 0);
    struct orr_chunk *c = m->probe.w->chunks->get(m->probe.w->chunks, size);
    if (!c) return orr_borrow(NULL, 0);
    if (size >= 8) {
        memcpy(c->at, &seed, 8);
        m_fill(seed, c->at + 8, size - 8);
    } else {
        memset(c->at, 0, size);
    }
    return (struct orr_slice){ c, c->at, size };
}

static uint32_t m_size(struct model *m) {
    if (orri_rng_chance(&m->rng, m->p_big)) return 8 + (uint32_t)orri_rng_below(&m->rng, m->cfg.segment_bytes * 5 / 4);
    if (orri_rng_chance(&m->rng, 0.1)) return 8 + (uint32_t)orri_rng_below(&m->rng, 9000);
    if (orri_rng_chance(&m->rng, 0.1)) return 0;
    return 8 + (uint32_t)orri_rng_below(&m->rng, 400);
}

static void m_store(struct model *m) {
    if (m->n_pending == PENDING) return;
    struct m_op *op = &m->pending[m->n_pending];
    memset(op, 0, sizeof *op);
    op->group = (uint32_t)orri_rng_below(&m->rng, GROUPS);
    struct m_group *g = &m->view[op->group];
    if (m->installing && m->install.group == op->group) return;
    if (op->group == 0 || orri_rng_chance(&m->rng, m->p_state)) {
        op->state_seed = ++m->seeds;
        op->state_size = 8 + (uint32_t)orri_rng_below(&m->rng, orri_rng_chance(&m->rng, 0.1) ? 1000 : 90);
    }
    if (op->group != 0) op->n = (size_t)orri_rng_below(&m->rng, STORE_MAX);
    if (!op->n && !op->state_size) return;
    orr_index low = g->base > g->released ? g->base : g->released;
    if (low < m->floor[op->group]) low = m->floor[op->group];
    op->first = g->last + 1;
    if (op->n && g->last > low && orri_rng_chance(&m->rng, m->p_truncate)) {
        orr_index back = 1 + orri_rng_below(&m->rng, g->last - low < 40 ? g->last - low : 40);
        op->first = g->last + 1 - back;
        op->truncate = true;
    }
    if (op->n && op->first + op->n > low + ENTRIES / 2) return;
    struct orr_entry entries[STORE_MAX];
    for (size_t i = 0; i < op->n; i++) {
        struct m_entry *e = &op->entries[i];
        uint32_t kinds[] = { ORR_ENTRY_NOOP, ORR_ENTRY_CONFIG, ORR_ENTRY_DATA, ORR_ENTRY_DATA, ORR_ENTRY_DATA };
        *e = (struct m_entry){ 1 + m->id / 50, (orr_time)m->id, kinds[orri_rng_below(&m->rng, 5)], m_size(m),
                               ++m->seeds };
        if (e->kind == ORR_ENTRY_CONFIG && e->size > ORR_CONFIG_MAX) e->size = ORR_CONFIG_MAX;
        if (e->kind == ORR_ENTRY_NOOP) e->size = 0;
        if (e->size < 8) e->seed = e->size = 0;
        if (e->kind == ORR_ENTRY_DATA) op->data = true;
        entries[i] = (struct orr_entry){ op->first + i, e->term, e->time, e->kind, m_payload(m, e->seed, e->size) };
        if (entries[i].data.size != e->size) { /* memory is out */
            for (size_t k = 0; k < i; k++) orr_drop(entries[k].data);
            return;
        }
    }
    unsigned char state[1200];
    memcpy(state, &op->state_seed, 8);
    if (op->state_size) m_fill(op->state_seed, state + 8, op->state_size - 8);
    op->id = ++m->id;
    struct orr_store store = { .id = op->id,
                               .state = orr_borrow(state, op->state_size),
                               .entries = entries,
                               .n_entries = op->n,
                               .truncate = op->truncate,
                               .urgent = orri_rng_chance(&m->rng, 0.2) };
    int rc = orri_storage_store(m->s, op->group, &store);
    for (size_t i = 0; i < op->n; i++) orr_drop(entries[i].data);
    if (rc == -ENOMEM) return;
    if (rc < 0) m_bad(m, orr_strerror(rc));
    m->n_pending++;
    m->n_stores++;
    m_apply(g, op);
}

static bool m_group_rests(const struct model *m, uint32_t group) {
    for (size_t i = 0; i < m->n_pending; i++) {
        if (m->pending[i].group == group) return false;
    }
    return true;
}

static void m_make_snapshot(struct model *m) {
    if (m->n_snapshots + 2 >= SNAPSHOTS) return;
    if (!m->making && orri_rng_chance(&m->rng, m->p_snapshot)) {
        uint32_t i = 1 + (uint32_t)orri_rng_below(&m->rng, GROUPS - 1);
        struct m_group *g = &m->group[i];
        if (g->last <= g->base || !m_group_rests(m, i) || (m->installing && m->install.group == i)) return;
        struct orr_snapshot newest;
        orri_storage_snapshots(m->s, i, &newest, NULL);
        orr_index low = g->released > g->base ? g->released : g->base;
        if (newest.index > low) low = newest.index;
        if (g->last <= low) return;
        orr_index index = low + 1 + orri_rng_below(&m->rng, g->last - low);
        m->made =
            (struct m_snapshot){ i, index, g->entries[index % ENTRIES].term, ++m->seeds, orri_rng_below(&m->rng, 90000),
                                 0, false };
        struct orr_snapshot s = { .index = index, .term = m->made.term, .time = 5, .config = orr_borrow("config", 6) };
        if (orri_storage_snapshot_begin(m->s, i, &s) < 0) return;
        unsigned char *all = malloc(m->made.size + 1);
        m_fill(m->made.seed, all, m->made.size);
        m->made.checksum = orri_hash64(all, m->made.size, 0);
        free(all);
        m->snapshot[m->n_snapshots++] = m->made;
        m->making = true;
        m->made_at = 0;
        m->floor[i] = index;
    }
    if (!m->making || m->made_at > m->made.size) return;
    if (orri_rng_chance(&m->rng, 0.02)) {
        orri_storage_snapshot_abort(m->s, m->made.group);
        m->making = false;
        return;
    }
    while (m->made_at < m->made.size && orri_storage_snapshot_room(m->s, m->made.group) > 0) {
        size_t size = 1 + (size_t)orri_rng_below(&m->rng, 20000);
        if (size > m->made.size - m->made_at) size = m->made.size - m->made_at;
        struct orr_chunk *c = m->probe.w->chunks->get(m->probe.w->chunks, size);
        if (!c) return;
        unsigned char *all = malloc(m->made.size + 1);
        m_fill(m->made.seed, all, m->made.size);
        memcpy(c->at, all + m->made_at, size);
        free(all);
        if (orri_storage_snapshot_write(m->s, m->made.group, (struct orr_slice){ c, c->at, size }) < 0) {
            orr_chunk_drop(c);
            return;
        }
        m->made_at += size;
    }
    if (m->made_at == m->made.size && orri_storage_snapshot_finish(m->s, m->made.group) == 0) m->made_at++;
}

/* A whole snapshot from a peer, in pieces, all handed in at once. */
static void m_install(struct model *m) {
    if (m->installing || m->making || m->n_snapshots + 2 >= SNAPSHOTS || !orri_rng_chance(&m->rng, m->p_install))
        return;
    uint32_t i = 1 + (uint32_t)orri_rng_below(&m->rng, GROUPS - 1);
    struct m_group *g = &m->group[i];
    if (!m_group_rests(m, i)) return;
    struct orr_snapshot newest;
    orri_storage_snapshots(m->s, i, &newest, NULL);
    orr_index low = newest.index > g->released ? newest.index : g->released;
    orr_index index = orri_rng_chance(&m->rng, 0.5) || g->last <= low
                          ? g->last + 1 + orri_rng_below(&m->rng, 50)
                          : low + 1 + orri_rng_below(&m->rng, g->last - low);
    m->install = (struct m_snapshot){ i, index, 1000000 + m->id, ++m->seeds, orri_rng_below(&m->rng, 50000), 0, false };
    unsigned char *all = malloc(m->install.size + 1);
    m_fill(m->install.seed, all, m->install.size);
    m->install.checksum = orri_hash64(all, m->install.size, 0);
    m->snapshot[m->n_snapshots++] = m->install;
    m->installing = true;
    struct orr_part part = { .snapshot = { .index = index,
                                           .term = m->install.term,
                                           .time = 9,
                                           .size = m->install.size,
                                           .checksum = m->install.checksum,
                                           .config = orr_borrow("peer", 4) } };
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && !part.done;) {
        size_t size = 1 + (size_t)orri_rng_below(&m->rng, 16000);
        if (size > m->install.size - at) size = (size_t)(m->install.size - at);
        struct orr_chunk *c = m->probe.w->chunks->get(m->probe.w->chunks, size + 1);
        if (!c) break;
        memcpy(c->at, all + at, size);
        part.id = ++m->id;
        part.offset = at;
        part.data = (struct orr_slice){ c, c->at, size };
        at += size;
        part.done = at == m->install.size;
        rc = orri_storage_part(m->s, i, &part);
        orr_chunk_drop(c);
    }
    free(all);
    if (!part.done || rc < 0)
        m->over = true; /* memory was out: this life ends here */
    else
        m->install.size = part.id; /* the id that is waited for */
}

static void m_release(struct model *m) {
    uint32_t i = 1 + (uint32_t)orri_rng_below(&m->rng, GROUPS - 1);
    struct m_group *g = &m->view[i];
    struct orr_snapshot newest;
    orri_storage_snapshots(m->s, i, &newest, NULL);
    if (newest.index <= g->released || (m->installing && m->install.group == i)) return;
    orr_index through = g->released + 1 + orri_rng_below(&m->rng, newest.index - g->released);
    if (through > m->group[i].last) return;
    orri_storage_release(m->s, i, through);
    g->released = m->group[i].released = through;
}

/* -- Results ------------------------------------------------------------------------------------------------------- */
static void m_stored(struct model *m, const struct orri_storage_done *d) {
    if (d->status < 0 && d->status != ORR_EFULL && d->status != ORR_EINVALID) {
        m->over = true;
        return;
    }
    size_t at = 0;
    while (at < m->n_pending && m->pending[at].id != d->id) at++;
    if (at == m->n_pending) m_bad(m, "a store was told twice, or none was");
    for (size_t i = 0; i < at; i++) {
        if (m->pending[i].group == d->group) {
            printf("told %llu status %d before %llu; group %u\n", (unsigned long long)d->id, d->status,
                   (unsigned long long)m->pending[i].id, d->group);
            m_bad(m, "stores of a group were told out of order");
        }
    }
    struct m_op *op = &m->pending[at];
    if (d->status == 0) {
        if (at != 0 && !m->was_full) m_bad(m, "stores were told out of order");
        m_apply(&m->group[op->group], op);
        m->n_reported++;
    } else {
        if (d->status != ORR_EFULL) m_bad(m, "a store was invalid");
        if (!m->was_full && !m->full) m_bad(m, "a store was refused and the disk was never said to be full");
        m->n_refused++;
        m->over = m->over || m->n_refused % 7 == 0;
    }
    memmove(op, op + 1, (m->n_pending - at - 1) * sizeof *op);
    m->n_pending--;
    if (d->status < 0) { /* what new stores connect to is another now */
        struct m_group *view = &m->view[d->group];
        *view = m->group[d->group];
        for (size_t i = 0; i < m->n_pending; i++) {
            if (m->pending[i].group == d->group && m->pending[i].n == 0) m_apply(view, &m->pending[i]);
        }
    }
}

static void m_take(struct model *m, const struct orri_storage_done *d) {
    switch (d->kind) {
    case ORR_TAKE_OPENED:
        m->opened = true;
        m->opened_status = d->status;
        (void)snprintf(m->text, sizeof m->text, "%s", d->text);
        if (d->status < 0) {
            m->over = true;
            return;
        }
        m_check_boot(m);
        m->check_group = 0;
        m->check_at = m->found_first[0];
        m->check_offset = 0;
        break;
    case ORR_TAKE_STORED: m_stored(m, d); break;
    case ORR_TAKE_FETCHED:
        m->busy = false;
        if (d->status == -EIO) break;
        if (d->status < 0) m_bad(m, d->text ? d->text : orr_strerror(d->status));
        if (d->id == 77) m_got_entries(m, d);
        break;
    case ORR_TAKE_FETCHED_PART:
        m->busy = false;
        if (d->status == -EIO || d->status == -ENOMEM) break;
        if (d->status < 0) m_bad(m, orr_strerror(d->status));
        if (d->id == 78) m_got_piece(m, d);
        break;
    case ORR_TAKE_SNAPSHOT:
        if (!m->making || d->group != m->made.group) break;
        m->making = false;
        if (d->status < 0) break;
        for (size_t k = 0; k < m->n_snapshots; k++) {
            if (m->snapshot[k].group == d->group && m->snapshot[k].seed == m->made.seed) m->snapshot[k].reported = true;
        }
        if (d->snapshot.index != m->made.index || d->snapshot.checksum != m->made.checksum)
            m_bad(m, "another snapshot was told");
        m->n_snapshots_made++;
        break;
    case ORR_TAKE_PART:
        if (d->status < 0) {
            m->over = true;
        } else if (m->installing && d->id == m->install.size) {
            struct m_group *g = &m->group[d->group];
            g->base = g->last = g->released = m->install.index;
            m->view[d->group] = *g;
            for (size_t k = 0; k < m->n_snapshots; k++) {
                if (m->snapshot[k].group == d->group && m->snapshot[k].seed == m->install.seed)
                    m->snapshot[k].reported = true;
            }
            m->installing = false;
            m->n_installed++;
        }
        break;
    case ORR_TAKE_ROOM: break;
    case ORR_TAKE_FULL:
        m->full = d->status < 0;
        m->was_full = true; /* it may have been, and be over before anybody was told */
        break;
    case ORR_TAKE_FAILED: m->over = true; break;
    }
}

static void m_turn(struct probe *p) {
    struct model *m = p->ud;
    struct orri_storage_done d;
    m->turns++;
    if (!m->s || m->over) return;
    while (orri_storage_take(m->s, &d)) m_take(m, &d);
    if (m->opened && m->opened_status == 0 && !m->checked && !m->busy && !m_check_next(m)) m_checked(m);
    if (m->checked && !m->quiet && !m->over) {
        while (orri_rng_chance(&m->rng, m->p_store) && !(m->may_refuse && m->n_pending > 5)) m_store(m);
        m_make_snapshot(m);
        m_install(m);
        if (orri_rng_chance(&m->rng, 0.1)) m_release(m);
    }
    if (m->opened && m->opened_status == 0) orri_storage_flush(m->s);
}

static void m_start(struct probe *p) {
    struct model *m = p->ud;
    m->s = NULL;
    m->opened = m->checked = m->over = m->full = m->busy = false;
    m->n_lives++;
    if (orri_storage_new(&m->s, p->w, &m->cfg) < 0) m->over = true;
}

static void m_new(struct model *m, uint64_t seed, const struct orr_sim_config *cfg) {
    memset(m, 0, sizeof *m);
    m->may_refuse = cfg->disk_bytes < 1000000;
    orri_rng_init(&m->rng, seed);
    orri_storage_config_init(&m->cfg);
    m->cfg.segment_bytes = (uint64_t)(8 + orri_rng_below(&m->rng, 25)) * 4096;
    m->cfg.state_bytes_max = 2000;
    m->cfg.segments_ahead = 1 + (unsigned)orri_rng_below(&m->rng, 3);
    m->p_store = 0.2 + 0.7 * orri_rng_unit(&m->rng);
    m->p_big = orri_rng_chance(&m->rng, 0.3) ? 0.02 : 0;
    m->p_truncate = orri_rng_chance(&m->rng, 0.5) ? 0.2 : 0.01;
    m->p_snapshot = 0.1;
    m->p_install = orri_rng_chance(&m->rng, 0.5) ? 0.02 : 0;
    m->p_state = 0.3;
    if (orr_sim_new(&m->sim, cfg) != 0) abort();
    m->probe.ud = m;
    m->probe.on_start = m_start;
    m->probe.on_turn = m_turn;
}

/* Lets the node live until `until`, or until it is over or down. */
static void m_live(struct model *m, orr_time until) {
    while (orr_sim_now(m->sim) < until && !m->over && orr_sim_state(m->sim, "a") == ORR_SIM_UP) {
        if (!orr_sim_step(m->sim)) break;
    }
}

static void m_free(struct model *m) { orr_sim_free(m->sim); }

#endif
