/* fixture.h - a storage on a simulated node, for log_test.c: what it tells is kept; it is spoken to in turns only. */
#ifndef ORR_SPEC_STORAGE_FIXTURE_H
#define ORR_SPEC_STORAGE_FIXTURE_H

#include "sim/probe.h"
#include "storage/storage.h"

#include <stdlib.h>

struct fixture {
    struct orr_sim *sim;
    struct probe probe;
    struct orr_storage *s;
    struct orr_storage_config cfg;
    struct orri_storage_done told[512];
    size_t n_told;
    struct orr_entry fetched[64]; /* of the last fetch; data held in bytes */
    unsigned char bytes[200000];
    size_t n_bytes;
    char text[700];
    bool opened, full, failed;
    int status; /* of OPENED */
    uint64_t id;
    bool counts; /* from the next start on: bytes that the storage has */
    struct orr_alloc below;
    int64_t live;
};

static void *count(void *ud, void *ptr, size_t old_size, size_t new_size) {
    struct fixture *f = ud;
    void *at = f->below.fn(f->below.ud, ptr, old_size, new_size);
    if (at || new_size == 0) f->live += (int64_t)new_size - (int64_t)old_size;
    return at;
}

static void keep(struct fixture *f, const struct orri_storage_done *d) {
    if (d->text && d->status < 0) (void)snprintf(f->text, sizeof f->text, "%s", d->text);
    if (d->kind == ORR_TAKE_OPENED) {
        f->opened = true;
        f->status = d->status;
    }
    if (d->kind == ORR_TAKE_FULL) f->full = d->status < 0;
    if (d->kind == ORR_TAKE_FAILED) f->failed = true;
    if (d->kind == ORR_TAKE_FETCHED) {
        f->n_bytes = 0;
        for (size_t i = 0; i < d->n_entries && i < 64; i++) {
            f->fetched[i] = d->entries[i];
            memcpy(f->bytes + f->n_bytes, d->entries[i].data.at, d->entries[i].data.size);
            f->fetched[i].data.at = f->bytes + f->n_bytes;
            f->n_bytes += d->entries[i].data.size;
        }
    }
    if (d->kind == ORR_TAKE_FETCHED_PART && d->status == 0) {
        memcpy(f->bytes, d->data.at, d->data.size);
        f->n_bytes = d->data.size;
    }
    if (f->n_told < 512) f->told[f->n_told++] = *d;
}

static void turn(struct probe *p) {
    struct fixture *f = p->ud;
    struct orri_storage_done d;
    if (!f->s) return;
    while (orri_storage_take(f->s, &d)) keep(f, &d);
    orri_storage_flush(f->s);
}

static void start(struct probe *p) {
    struct fixture *f = p->ud;
    f->s = NULL;
    f->opened = f->full = f->failed = false;
    f->n_told = 0;
    f->text[0] = 0;
    f->live = 0;
    if (f->counts) {
        f->below = p->w->alloc;
        p->w->alloc = (struct orr_alloc){ count, f };
    }
    (void)orri_storage_new(&f->s, p->w, &f->cfg);
}

static void run(struct fixture *f, orr_time time) { orr_sim_run(f->sim, orr_sim_now(f->sim) + time); }

static struct fixture *fixture(uint64_t disk_bytes) {
    struct fixture *f = calloc(1, sizeof *f);
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    cfg.seed = 7;
    if (disk_bytes) cfg.disk_bytes = disk_bytes;
    memset(cfg.faults.rate, 0, sizeof cfg.faults.rate);
    assert_int_equal(orr_sim_new(&f->sim, &cfg), 0);
    orri_storage_config_init(&f->cfg);
    f->cfg.segment_bytes = 64 << 10;
    f->probe.ud = f;
    f->probe.on_start = start;
    f->probe.on_turn = turn;
    assert_int_equal(probe_add(f->sim, &f->probe, "a", NULL), 0);
    run(f, 50 * ORR_MS);
    assert_true(f->opened);
    assert_int_equal(f->status, 0);
    f->n_told = 0;
    return f;
}

static void done(struct fixture *f) {
    orr_sim_free(f->sim);
    free(f);
}

static void restart(struct fixture *f, bool power) {
    if (orr_sim_state(f->sim, "a") == ORR_SIM_UP)
        assert_int_equal(power ? orr_sim_kill(f->sim, "a") : orr_sim_kill_process(f->sim, "a"), 0);
    assert_int_equal(orr_sim_start(f->sim, "a"), 0);
    run(f, 100 * ORR_MS);
    assert_true(f->opened);
}

/* The simulated world is spoken to in turns only. */
struct call {
    int (*fn)(struct fixture *f, const void *arg);
    const void *arg;
    int rc;
};
static void call_now(struct probe *p, void *arg) {
    struct call *c = arg;
    c->rc = c->fn(p->ud, c->arg);
}
static int call(struct fixture *f, int (*fn)(struct fixture *f, const void *arg), const void *arg) {
    struct call c = { fn, arg, 1 };
    probe_do(&f->probe, call_now, &c);
    return c.rc;
}
static int fetch_now(struct fixture *f, const void *arg) {
    const struct orr_fetch *fetch = arg;
    return orri_storage_fetch(f->s, fetch->id == 6 ? 7 : 1, fetch);
}
static int part_now(struct fixture *f, const void *arg) { return orri_storage_part(f->s, 1, arg); }
static int begin_now(struct fixture *f, const void *arg) { return orri_storage_snapshot_begin(f->s, 1, arg); }
static int write_now(struct fixture *f, const void *arg) {
    return orri_storage_snapshot_write(f->s, 1, *(const struct orr_slice *)arg);
}
static int finish_now(struct fixture *f, const void *arg) { return (void)arg, orri_storage_snapshot_finish(f->s, 1); }

static int store(struct fixture *f, uint32_t group, const char *state, orr_index first, size_t n, uint32_t kind,
                 size_t size, bool truncate) {
    static const unsigned char zeros[200000];
    struct orr_entry entries[64];
    for (size_t i = 0; i < n; i++) entries[i] = (struct orr_entry){ first + i, 3, 1000, kind, orr_borrow(zeros, size) };
    struct orr_store s = { .id = ++f->id,
                           .state = orr_borrow(state, state ? strlen(state) : 0),
                           .entries = entries,
                           .n_entries = n,
                           .truncate = truncate };
    return orri_storage_store(f->s, group, &s);
}

static const struct orri_storage_done *told(const struct fixture *f, enum orri_storage_kind kind, uint64_t id) {
    for (size_t i = 0; i < f->n_told; i++) {
        if (f->told[i].kind == kind && f->told[i].id == id) return &f->told[i];
    }
    return NULL;
}

static int status_of(struct fixture *f, enum orri_storage_kind kind, uint64_t id) {
    const struct orri_storage_done *d = told(f, kind, id);
    assert_non_null(d);
    return d->status;
}

#endif
