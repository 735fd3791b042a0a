/* file_test.c - files of the simulated world: order, group commit, failures, and what each kind of crash leaves. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "probe.h"

static unsigned char bytes_a[8192], bytes_b[8192];

static void fill(unsigned char *at, size_t size, unsigned char with) { memset(at, with, size); }

static struct orr_file *must_open(struct probe *p, const char *path, unsigned flags) {
    int status;
    struct orr_file *f = probe_open(p, path, flags, &status);
    assert_int_equal(status, 0);
    return f;
}

static struct orr_file *made(struct probe *p, const char *path) {
    struct orr_file *f = must_open(p, path, ORR_F_CREATE);
    assert_int_equal(probe_name_op(p, ORR_OP_SYNC_DIR, NULL, NULL), 0);
    return f;
}

/* -- What stays -------------------------------------------------------------------------------------------------- */
static void what_was_synced_survives_a_power_loss(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct orr_sim *sim = probe_sim(seed);
        struct probe p = { 0 };
        unsigned char got[3000];
        assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
        fill(bytes_a, 3000, 'a');
        struct orr_file *f = made(&p, "log");
        assert_int_equal(probe_write(&p, f, 0, bytes_a, 3000, ORR_W_SYNC), 0);
        fill(bytes_b, 3000, 'b');
        assert_int_equal(probe_write(&p, f, 3000, bytes_b, 3000, 0), 0);
        assert_int_equal(orr_sim_restart(sim, "n1", ORR_SIM_KEPT), 0);
        f = must_open(&p, "log", 0);
        assert_int_equal(probe_read(&p, f, 0, got, sizeof got), 3000);
        assert_memory_equal(got, bytes_a, 3000);
        orr_sim_free(sim);
    }
}

static void a_name_that_was_not_synced_may_be_lost_with_synced_bytes(void **state) {
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct orr_sim *sim = probe_sim(seed);
        struct probe p = { 0 };
        int status;
        assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
        struct orr_file *f = must_open(&p, "log", ORR_F_CREATE);
        assert_int_equal(probe_write(&p, f, 0, "x", 1, ORR_W_SYNC), 0);
        uint64_t size;
        assert_int_equal(orr_sim_disk_durable_size(sim, "n1", "log", &size), -ENOENT);
        orr_sim_restart(sim, "n1", ORR_SIM_KEPT);
        f = probe_open(&p, "log", 0, &status);
        if (f) assert_int_equal(probe_read(&p, f, 0, bytes_a, 10), 1);
        lost += f == NULL;
        orr_sim_free(sim);
    }
    assert_in_range(lost, 10, 50);
}

static void of_a_rename_old_new_or_both_names_are_left(void **state) {
    (void)state;
    unsigned seen[4] = { 0 };
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct orr_sim *sim = probe_sim(seed);
        struct probe p = { 0 };
        uint64_t size;
        assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
        made(&p, "new.tmp");
        assert_int_equal(probe_name_op(&p, ORR_OP_RENAME, "new.tmp", "new"), 0);
        orr_sim_kill(sim, "n1");
        bool from = orr_sim_disk_durable_size(sim, "n1", "new.tmp", &size) == 0;
        bool to = orr_sim_disk_durable_size(sim, "n1", "new", &size) == 0;
        seen[from * 2 + to]++;
        orr_sim_free(sim);
    }
    assert_int_equal(seen[0], 0);
    assert_true(seen[1] > 5 && seen[2] > 5 && seen[3] > 2);
}

static void a_killed_process_leaves_its_page_cache_and_a_later_power_loss_takes_it(void **state) {
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct orr_sim *sim = probe_sim(seed);
        struct probe p = { 0 };
        unsigned char got[600];
        assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
        fill(bytes_a, 600, 'a');
        assert_int_equal(probe_write(&p, made(&p, "log"), 0, bytes_a, 600, 0), 0);
        assert_int_equal(orr_sim_kill_process(sim, "n1"), 0);
        assert_int_equal(orr_sim_start(sim, "n1"), 0);
        struct orr_file *f = must_open(&p, "log", 0);
        assert_int_equal(probe_read(&p, f, 0, got, 600), 600);
        assert_memory_equal(got, bytes_a, 600);
        orr_sim_restart(sim, "n1", ORR_SIM_KEPT);
        f = must_open(&p, "log", 0);
        long n = probe_read(&p, f, 0, got, 600);
        lost += n != 600 || memcmp(got, bytes_a, 600) != 0;
        orr_sim_free(sim);
    }
    assert_in_range(lost, 5, 29);
}

static void a_node_comes_back_with_the_disk_that_it_is_given(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct probe p = { 0 };
    int status;
    unsigned char got[4];
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    assert_int_equal(probe_write(&p, made(&p, "log"), 0, "one", 3, ORR_W_SYNC), 0);
    orr_sim_restart(sim, "n1", ORR_SIM_KEPT);
    struct orr_file *f = must_open(&p, "log", 0);
    assert_int_equal(probe_write(&p, f, 0, "two", 3, ORR_W_SYNC), 0);
    assert_false(orr_sim_disk_damaged(sim, "n1"));
    orr_sim_restart(sim, "n1", ORR_SIM_OLD);
    assert_true(orr_sim_disk_damaged(sim, "n1"));
    f = must_open(&p, "log", 0);
    assert_int_equal(probe_read(&p, f, 0, got, 4), 3);
    assert_memory_equal(got, "one", 3);
    orr_sim_restart(sim, "n1", ORR_SIM_EMPTY);
    assert_null(probe_open(&p, "log", 0, &status));
    assert_int_equal(status, -ENOENT);
    orr_sim_free(sim);
}

/* -- Any history, any crash: the image is one of those allowed --------------------------------------------------- */
enum { OPS_MAX = 12, FILE_MAX = 16384 };
struct op {
    enum orr_op kind;
    uint64_t at;
    size_t size;
    unsigned char with;
};
struct model {
    unsigned char base[FILE_MAX];   /* synced */
    uint64_t base_size;
    struct op ops[OPS_MAX];         /* submitted since; the last ones may not have run */
    size_t n;
    unsigned sector;
};

static uint64_t size_after(uint64_t size, const struct op *op) {
    if (op->kind == ORR_OP_TRUNCATE) return op->at;
    uint64_t end = op->kind == ORR_OP_PREPARE ? op->at : op->at + op->size;
    return end > size ? end : size;
}

/* The sector with its first m writes, and the truncations among the first k operations. */
static void sector_of(const struct model *m, uint64_t from, size_t k, size_t writes, unsigned char *out) {
    memcpy(out, m->base + from, m->sector);
    uint64_t end = from + m->sector;
    for (size_t i = 0; i < m->n; i++) {
        const struct op *op = &m->ops[i];
        uint64_t a = op->at > from ? op->at : from;
        if (op->kind == ORR_OP_TRUNCATE && i < k && a < end) memset(out + (a - from), 0, (size_t)(end - a));
        if (op->kind != ORR_OP_WRITE) continue;
        uint64_t b = op->at + op->size < end ? op->at + op->size : end;
        if (a >= b) continue;
        if (writes == 0) continue;
        writes--;
        memset(out + (a - from), op->with, (size_t)(b - a));
    }
}

static bool sector_allowed(const struct model *m, uint64_t from, size_t k, const unsigned char *got, uint64_t size) {
    unsigned char want[4096];
    size_t n = size - from < m->sector ? (size_t)(size - from) : m->sector;
    for (size_t writes = 0; writes <= m->n; writes++) {
        sector_of(m, from, k, writes, want);
        if (memcmp(want, got + from, n) == 0) return true;
    }
    return false;
}

static bool image_allowed(const struct model *m, const unsigned char *got, uint64_t size) {
    uint64_t before = m->base_size;
    for (size_t k = 0; k <= m->n; k++) {
        uint64_t after = k < m->n ? size_after(before, &m->ops[k]) : before;
        bool fits = size == before || (size > before && size <= after);
        for (uint64_t at = 0; fits && at < size; at += m->sector) fits = sector_allowed(m, at, k, got, size);
        if (fits) return true;
        before = after;
    }
    return false;
}

static void model_sync(struct model *m) {
    for (size_t i = 0; i < m->n; i++) {
        const struct op *op = &m->ops[i];
        uint64_t size = size_after(m->base_size, op);
        if (op->kind == ORR_OP_WRITE) memset(m->base + op->at, op->with, op->size);
        if (size < m->base_size) memset(m->base + size, 0, (size_t)(m->base_size - size));
        m->base_size = size;
    }
    m->n = 0;
}

struct walk {
    struct model model;
    struct probe_req reqs[OPS_MAX + 1];
    unsigned char bytes[OPS_MAX][4096];
    uint64_t random;
};

static uint64_t draw(struct walk *w, uint64_t below) {
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (w->random >> 33) % below;
}

static void random_op(struct walk *w, struct orr_file *f, struct op *op, struct probe_req *r, unsigned char *buffer) {
    static const enum orr_op kinds[] = { ORR_OP_WRITE, ORR_OP_WRITE, ORR_OP_WRITE, ORR_OP_TRUNCATE, ORR_OP_PREPARE };
    *op = (struct op){ .kind = kinds[draw(w, 5)], .with = (unsigned char)(1 + draw(w, 255)) };
    op->at = draw(w, FILE_MAX - 4096);
    op->size = op->kind == ORR_OP_WRITE ? 1 + draw(w, 4096) : 0;
    memset(buffer, op->with, op->size);
    *r = (struct probe_req){ .op = op->kind, .part = orr_borrow(buffer, op->size) };
    if (op->kind == ORR_OP_WRITE) {
        r->u.write = (struct orr_write){ .file = f, .at = op->at };
    } else {
        r->u.file = (struct orr_file_op){ .file = f, .at = op->at };
    }
}

/* Rounds of random operations, each ended by a sync; in the last one the power goes, somewhere. */
static void crash_somewhere(uint64_t seed, unsigned sector) {
    struct orr_sim_config cfg;
    struct orr_sim *sim;
    struct probe p = { 0 };
    struct walk *w = calloc(1, sizeof *w);
    unsigned char *got = calloc(1, FILE_MAX);
    uint64_t size;
    size_t n;
    assert_non_null(w);
    orr_sim_config_init(&cfg);
    cfg.seed = seed;
    cfg.sector = w->model.sector = sector;
    w->random = seed;
    assert_int_equal(orr_sim_new(&sim, &cfg), 0);
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_file *f = made(&p, "log");
    for (unsigned round = 0; round < 3; round++) {
        size_t ops = draw(w, OPS_MAX);
        w->model.n = 0;
        for (size_t i = 0; i < ops; i++) {
            random_op(w, f, &w->model.ops[i], &w->reqs[i], w->bytes[i]);
            w->model.n++;
            probe_do(&p, probe_submit, &w->reqs[i]);
        }
        if (round == 2) break;
        assert_int_equal(probe_file_op(&p, f, ORR_OP_SYNC, 0), 0);
        model_sync(&w->model);
    }
    for (uint64_t steps = draw(w, 12); steps > 0; steps--) orr_sim_step(sim);
    orr_sim_kill(sim, "n1");
    assert_int_equal(orr_sim_disk_durable_size(sim, "n1", "log", &size), 0);
    assert_in_range(size, 0, FILE_MAX);
    assert_int_equal(orr_sim_disk_durable(sim, "n1", "log", 0, got, FILE_MAX, &n), 0);
    assert_int_equal(n, size);
    assert_true(image_allowed(&w->model, got, size));
    orr_sim_free(sim);
    free(got);
    free(w);
}

static void after_any_crash_each_sector_and_the_size_are_ones_that_were(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) crash_somewhere(seed, seed % 3 ? 512 : 4096);
}

/* -- Order and group commit -------------------------------------------------------------------------------------- */
struct group {
    struct probe_req reqs[4];
    struct orr_file *file;
};
static void submit_group(struct probe *p, void *arg) {
    struct group *g = arg;
    for (unsigned i = 0; i < 4; i++) {
        unsigned flags = i == 1 ? ORR_W_SYNC : 0;
        g->reqs[i] = (struct probe_req){ .op = i == 3 ? ORR_OP_READ : ORR_OP_WRITE, .part = orr_borrow(&"abc"[i], 1) };
        if (i == 3) {
            g->reqs[i].u.read = (struct orr_read){ .file = g->file, .at = 0, .size = 10 };
        } else {
            g->reqs[i].u.write = (struct orr_write){ .file = g->file, .at = i, .flags = flags };
        }
        probe_submit(p, &g->reqs[i]);
    }
}

static void writes_of_one_turn_become_one_write_and_one_sync_and_a_read_sees_them(void **state) {
    (void)state;
    struct orr_sim_config cfg;
    struct orr_sim *sim;
    struct probe p = { 0 };
    struct group g;
    orr_sim_config_init(&cfg);
    cfg.faults.rate[ORR_SIM_TURN_CUT] = 0;
    assert_int_equal(orr_sim_new(&sim, &cfg), 0);
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    g.file = made(&p, "log");
    probe_do(&p, submit_group, &g);
    probe_wait(&p, &g.reqs[3]);
    assert_int_equal(g.reqs[0].u.req.ended, g.reqs[2].u.req.ended);
    assert_true(g.reqs[3].u.req.ended > g.reqs[2].u.req.ended);
    assert_int_equal(g.reqs[3].u.read.got.size, 3);
    assert_memory_equal(g.reqs[3].u.read.got.at, "abc", 3);
    orr_drop(g.reqs[3].u.read.got);
    unsigned char got[3];
    size_t n;
    assert_int_equal(orr_sim_disk_durable(sim, "n1", "log", 0, got, 3, &n), 0);
    assert_memory_equal(got, "abc", 3);
    orr_sim_free(sim);
}

struct cancelled {
    struct probe_req first, second;
};
static void submit_and_cancel(struct probe *p, void *arg) {
    struct cancelled *c = arg;
    probe_submit(p, &c->first);
    probe_submit(p, &c->second);
    p->w->ops->cancel(p->w, &c->second.u.req);
}
static void a_cancelled_request_completes_once_all_the_same(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(3);
    struct probe p = { 0 };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_file *f = made(&p, "log");
    struct cancelled c = { .first = { .op = ORR_OP_SYNC, .u.file = { .file = f } },
                           .second = { .op = ORR_OP_SYNC, .u.file = { .file = f } } };
    probe_do(&p, submit_and_cancel, &c);
    probe_wait(&p, &c.first);
    probe_wait(&p, &c.second);
    assert_int_equal(c.first.u.req.status, 0);
    assert_int_equal(c.second.u.req.status, ORR_ECANCELED);
    orr_sim_free(sim);
}

/* -- Failures ---------------------------------------------------------------------------------------------------- */
static void a_failed_sync_poisons_its_file_and_no_other(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(4);
    struct probe p = { 0 };
    int status;
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_file *a = made(&p, "a");
    struct orr_file *b = made(&p, "b");
    assert_int_equal(orr_sim_arm(sim, "n1", ORR_SIM_SYNC_ERROR, 1), 0);
    assert_int_equal(probe_write(&p, a, 0, "x", 1, ORR_W_SYNC), -EIO);
    assert_int_equal(probe_write(&p, a, 0, "x", 1, 0), ORR_EPOISONED);
    assert_int_equal(probe_file_op(&p, a, ORR_OP_SYNC, 0), ORR_EPOISONED);
    assert_int_equal(probe_write(&p, b, 0, "x", 1, ORR_W_SYNC), 0);
    assert_int_equal(probe_file_op(&p, a, ORR_OP_CLOSE, 0), ORR_EPOISONED);
    assert_null(probe_open(&p, "a", 0, &status));
    assert_int_equal(status, ORR_EPOISONED);
    orr_sim_restart(sim, "n1", ORR_SIM_KEPT);
    a = must_open(&p, "a", 0);
    assert_int_equal(probe_write(&p, a, 0, "x", 1, ORR_W_SYNC), 0);
    assert_int_equal(orr_sim_counts(sim)[ORR_SIM_SYNC_ERROR], 1);
    orr_sim_free(sim);
}

static void a_full_disk_refuses_and_recovers(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(5);
    struct probe p = { 0 };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_file *f = made(&p, "a");
    assert_int_equal(orr_sim_disk_room(sim, "n1", 10000), 0);
    assert_int_equal(probe_file_op(&p, f, ORR_OP_PREPARE, 8192), 0);
    assert_int_equal(probe_write(&p, f, 8192, bytes_a, 4096, ORR_W_SYNC), ORR_EFULL);
    assert_int_equal(probe_file_op(&p, f, ORR_OP_PREPARE, 20000), ORR_EFULL);
    assert_int_equal(probe_write(&p, f, 4096, bytes_a, 4096, ORR_W_SYNC), 0);
    struct probe_req space = { .op = ORR_OP_SPACE };
    assert_int_equal(probe_run(&p, &space), 0);
    assert_int_equal(space.u.name.free_bytes, 10000 - 8192);
    orr_sim_disk_room(sim, "n1", 20000);
    assert_int_equal(probe_write(&p, f, 8192, bytes_a, 4096, ORR_W_SYNC), 0);
    orr_sim_free(sim);
}

static void errors_come_where_they_are_armed(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(6);
    struct probe p = { 0 };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_file *f = made(&p, "a");
    orr_sim_arm(sim, "n1", ORR_SIM_WRITE_ERROR, 2);
    assert_int_equal(probe_write(&p, f, 0, "x", 1, 0), 0);
    assert_int_equal(probe_write(&p, f, 0, "y", 1, 0), -EIO);
    assert_int_equal(probe_write(&p, f, 0, "z", 1, ORR_W_SYNC), 0);
    orr_sim_arm(sim, "n1", ORR_SIM_READ_ERROR, 1);
    assert_int_equal(probe_read(&p, f, 0, bytes_a, 1), -EIO);
    assert_int_equal(probe_read(&p, f, 0, bytes_a, 1), 1);
    orr_sim_arm(sim, "n1", ORR_SIM_SYNC_HANG, 1);
    orr_time before = orr_sim_now(sim);
    assert_int_equal(probe_file_op(&p, f, ORR_OP_SYNC, 0), 0);
    assert_true(orr_sim_now(sim) - before >= ORR_SECOND);
    orr_sim_free(sim);
}

static void rot_and_stale_writes_are_seen_by_readers_and_count_as_damage(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(7);
    struct probe p = { 0 };
    unsigned char got = 0;
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_file *f = made(&p, "a");
    assert_int_equal(probe_write(&p, f, 0, "x", 1, ORR_W_SYNC), 0);
    assert_int_equal(orr_sim_disk_rot(sim, "n1", "a", 0), 0);
    assert_int_equal(probe_read(&p, f, 0, &got, 1), 1);
    assert_int_not_equal(got, 'x');
    assert_true(orr_sim_disk_damaged(sim, "n1"));
    orr_sim_disk_repaired(sim, "n1");
    orr_sim_arm(sim, "n1", ORR_SIM_STALE, 1);
    assert_int_equal(probe_write(&p, f, 0, "y", 1, ORR_W_SYNC), 0);
    assert_true(orr_sim_disk_damaged(sim, "n1"));
    assert_int_equal(probe_read(&p, f, 0, &got, 1), 1);
    assert_int_not_equal(got, 'y');
    orr_sim_free(sim);
}

/* -- Crash points ------------------------------------------------------------------------------------------------ */
static void each_crash_point_of_a_write_is_hit_where_it_says(void **state) {
    (void)state;
    static const enum orr_sim_fault points[] = { ORR_SIM_CRASH_SUBMITTED, ORR_SIM_CRASH_WRITTEN, ORR_SIM_CRASH_SYNCED };
    for (unsigned i = 0; i < 3; i++) {
        unsigned kept = 0;
        for (uint64_t seed = 1; seed <= 30; seed++) {
            struct orr_sim *sim = probe_sim(seed);
            struct probe p = { 0 };
            unsigned char got = 0;
            size_t n;
            assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
            struct orr_file *f = made(&p, "a");
            orr_sim_arm(sim, "n1", points[i], 1);
            assert_int_equal(probe_write(&p, f, 0, "x", 1, ORR_W_SYNC), ORR_ECLOSED);
            assert_int_equal(orr_sim_state(sim, "n1"), ORR_SIM_DOWN);
            assert_int_equal(orr_sim_counts(sim)[points[i]], 1);
            assert_int_equal(orr_sim_disk_durable(sim, "n1", "a", 0, &got, 1, &n), 0);
            kept += got == 'x';
            orr_sim_free(sim);
        }
        if (i == 2) assert_int_equal(kept, 30);
        if (i < 2) assert_in_range(kept, 3, 27);
    }
}

/* -- The rest ---------------------------------------------------------------------------------------------------- */
static void a_directory_has_one_user(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(8);
    struct probe p = { 0 };
    struct probe q = { .name = "n2", .sim = sim };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_sim_boot boot = { .start = probe_start, .halt = probe_halt, .ud = &q, .dir = "n1" };
    assert_int_equal(orr_sim_add(sim, "n2", &boot), 0);
    assert_int_equal(orr_sim_start(sim, "n2"), ORR_EBUSY);
    orr_sim_kill(sim, "n1");
    assert_int_equal(orr_sim_start(sim, "n2"), 0);
    orr_sim_free(sim);
}

static void names_are_listed_in_order_and_removed(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(9);
    struct probe p = { 0 };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    made(&p, "wal/2");
    made(&p, "b");
    made(&p, "wal/1");
    struct probe_req list = { .op = ORR_OP_LIST };
    assert_int_equal(probe_run(&p, &list), 0);
    assert_int_equal(list.u.name.names.size, 14);
    assert_memory_equal(list.u.name.names.at, "b\0wal/1\0wal/2", 14);
    orr_drop(list.u.name.names);
    assert_int_equal(probe_name_op(&p, ORR_OP_REMOVE, "b", NULL), 0);
    assert_int_equal(probe_name_op(&p, ORR_OP_REMOVE, "b", NULL), -ENOENT);
    assert_int_equal(probe_name_op(&p, ORR_OP_RENAME, "wal/2", "wal/1"), 0);
    assert_string_equal(orr_sim_disk_durable_name(sim, "n1", 0), "b");
    assert_int_equal(probe_name_op(&p, ORR_OP_SYNC_DIR, NULL, NULL), 0);
    assert_string_equal(orr_sim_disk_durable_name(sim, "n1", 0), "wal/1");
    assert_null(orr_sim_disk_durable_name(sim, "n1", 1));
    static const char *const wrong[] = { "", "/x", "x/", "a/b/c", "..", "../x", "." };
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status;
        assert_null(probe_open(&p, wrong[i], ORR_F_CREATE, &status));
        assert_int_equal(status, ORR_EINVALID);
    }
    orr_sim_free(sim);
}

struct meter {
    size_t now, most;
};
static void *metered(void *ud, void *ptr, size_t old_size, size_t new_size) {
    struct meter *m = ud;
    m->now += new_size - old_size;
    if (m->now > m->most) m->most = m->now;
    if (new_size > 0) return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}
static void prepared_zeros_cost_no_memory(void **state) {
    (void)state;
    struct meter meter = { 0 };
    struct orr_alloc alloc = { metered, &meter };
    struct orr_sim_config cfg;
    struct orr_sim *sim;
    struct probe p = { 0 };
    orr_sim_config_init(&cfg);
    cfg.alloc = &alloc;
    assert_int_equal(orr_sim_new(&sim, &cfg), 0);
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_file *f = made(&p, "segment");
    assert_int_equal(probe_file_op(&p, f, ORR_OP_PREPARE, 64 << 20), 0);
    assert_int_equal(probe_file_op(&p, f, ORR_OP_SYNC, 0), 0);
    assert_int_equal(probe_write(&p, f, (64 << 20) - 5, "hello", 5, ORR_W_SYNC), 0);
    assert_true(meter.most < 2 << 20);
    orr_sim_free(sim);
    assert_int_equal(meter.now, 0);
}

static void note_durable(void *ud, orr_time now, const char *node, const char *path, uint64_t at, size_t size) {
    (void)now;
    char *text = ud;
    snprintf(text + strlen(text), 200 - strlen(text), "%s/%s %d+%d;", node, path, (int)at, (int)size);
}
static void oracles_are_told_what_becomes_durable(void **state) {
    (void)state;
    char told[200] = "";
    struct orr_sim_config cfg;
    struct orr_sim *sim;
    struct probe p = { 0 };
    orr_sim_config_init(&cfg);
    cfg.durable = note_durable;
    cfg.ud = told;
    assert_int_equal(orr_sim_new(&sim, &cfg), 0);
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_file *f = made(&p, "a");
    assert_int_equal(probe_write(&p, f, 4, "hello", 5, 0), 0);
    assert_int_equal(probe_file_op(&p, f, ORR_OP_TRUNCATE, 6), 0);
    assert_string_equal(told, "");
    assert_int_equal(probe_file_op(&p, f, ORR_OP_SYNC, 0), 0);
    assert_string_equal(told, "n1/a 4+5;n1/a 6+0;");
    orr_sim_free(sim);
}

static void changes_of_durable_images_are_counted_and_told_apart_by_file(void **state) {
    (void)state;
    struct orr_sim *sim = probe_sim(1);
    struct probe p = { 0 };
    assert_int_equal(probe_add(sim, &p, "n1", NULL), 0);
    struct orr_file *a = made(&p, "a");
    uint64_t before = orr_sim_disk_changes(sim, "n1");
    assert_true(before > 0);                        /* the name */
    assert_int_equal(probe_write(&p, a, 0, "x", 1, 0), 0);
    assert_int_equal(orr_sim_disk_changes(sim, "n1"), before);      /* nothing is durable yet */
    assert_int_equal(probe_file_op(&p, a, ORR_OP_SYNC, 0), 0);
    uint64_t after = orr_sim_disk_changes(sim, "n1");
    assert_true(after > before);
    assert_int_equal(orr_sim_disk_changed_beside(sim, "n1", "a"), before);
    assert_int_equal(orr_sim_disk_changed_beside(sim, "n1", "other"), after);
    made(&p, "b");
    after = orr_sim_disk_changes(sim, "n1");
    assert_int_equal(orr_sim_disk_changed_beside(sim, "n1", "a"), after);
    assert_int_equal(orr_sim_disk_changed_beside(sim, "n1", "b"), after);
    assert_int_equal(orr_sim_disk_rot(sim, "n1", "a", 0), 0);
    assert_int_equal(orr_sim_disk_changes(sim, "n1"), after + 1);
    assert_int_equal(orr_sim_disk_changed_beside(sim, "n1", "a"), after);
    assert_int_equal(orr_sim_disk_changed_beside(sim, "n1", "b"), after + 1);
    assert_int_equal(orr_sim_disk_changes(sim, "nobody"), 0);
    orr_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_synced_survives_a_power_loss),
        cmocka_unit_test(a_name_that_was_not_synced_may_be_lost_with_synced_bytes),
        cmocka_unit_test(of_a_rename_old_new_or_both_names_are_left),
        cmocka_unit_test(a_killed_process_leaves_its_page_cache_and_a_later_power_loss_takes_it),
        cmocka_unit_test(a_node_comes_back_with_the_disk_that_it_is_given),
        cmocka_unit_test(after_any_crash_each_sector_and_the_size_are_ones_that_were),
        cmocka_unit_test(writes_of_one_turn_become_one_write_and_one_sync_and_a_read_sees_them),
        cmocka_unit_test(a_cancelled_request_completes_once_all_the_same),
        cmocka_unit_test(a_failed_sync_poisons_its_file_and_no_other),
        cmocka_unit_test(a_full_disk_refuses_and_recovers),
        cmocka_unit_test(errors_come_where_they_are_armed),
        cmocka_unit_test(rot_and_stale_writes_are_seen_by_readers_and_count_as_damage),
        cmocka_unit_test(each_crash_point_of_a_write_is_hit_where_it_says),
        cmocka_unit_test(a_directory_has_one_user),
        cmocka_unit_test(names_are_listed_in_order_and_removed),
        cmocka_unit_test(prepared_zeros_cost_no_memory),
        cmocka_unit_test(oracles_are_told_what_becomes_durable),
        cmocka_unit_test(changes_of_durable_images_are_counted_and_told_apart_by_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
