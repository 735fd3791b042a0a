/* arm_test.c - strikes by hand: several of a kind, crashes while bytes go out, how a crash is, what slows a link. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "probe.h"

enum { PEERS = 4 };
static const char *const names[PEERS] = { "a", "b", "c", "d" };
static const char *const addresses[PEERS] = { "a:1", "b:1", "c:1", "d:1" };

struct world {
    struct orr_sim *sim;
    struct probe p[PEERS];
    struct orr_stream *to[PEERS];
    size_t heard[PEERS];            /* bytes */
    unsigned closed;                /* streams of a's peers that ended */
};

static void event(struct probe *p, struct orr_req *req) {
    struct world *x = p->ud;
    size_t i = (size_t)(p - x->p);
    if (req->op == ORR_OP_DATA) x->heard[i] += req->result;
    if (req->op == ORR_OP_CLOSED && i > 0) x->closed++;
}

static struct world *world_new(uint64_t seed) {
    struct world *x = calloc(1, sizeof *x);
    assert_non_null(x);
    x->sim = probe_sim(seed);
    for (unsigned i = 0; i < PEERS; i++) {
        x->p[i] = (struct probe){ .on_event = event, .ud = x };
        assert_int_equal(probe_add(x->sim, &x->p[i], names[i], addresses[i]), 0);
    }
    return x;
}
static void world_free(struct world *x) {
    orr_sim_free(x->sim);
    free(x);
}
static void run(struct world *x, orr_time lasts) { orr_sim_run(x->sim, orr_sim_now(x->sim) + lasts); }

static void connect_all(struct probe *p, void *arg) {
    struct world *x = arg;
    for (unsigned i = 1; i < PEERS; i++) {
        (void)p->w->ops->peer(p->w, orr_id_of(names[i]), addresses[i]);
        assert_int_equal(p->w->ops->connect(p->w, orr_id_of(names[i]), &x->to[i]), 0);
    }
}
static void tell_all(struct probe *p, void *arg) {
    struct world *x = arg;
    struct orr_slice part = orr_borrow("0123456789", 10);
    for (unsigned i = 1; i < PEERS; i++) assert_int_equal(p->w->ops->send(p->w, x->to[i], 0, &part, 1), 0);
}

/* -- Several of a kind ------------------------------------------------------------------------------------------- */
/* Which of `n` allocations failed, as a bitmap. */
static void allocate(struct probe *p, void *arg) {
    const struct orr_alloc *a = &p->w->alloc;
    uint64_t *failed = arg;
    for (unsigned i = 0; i < 40; i++) {
        void *block = a->fn(a->ud, NULL, 0, 8);
        if (block) (void)a->fn(a->ud, block, 8, 0);
        else *failed |= (uint64_t)1 << i;
    }
}
static uint64_t failures(struct world *x) {
    uint64_t failed = 0;
    probe_do(&x->p[0], allocate, &failed);
    return failed;
}

static void several_are_armed_in_any_order(void **state) {
    (void)state;
    static const uint64_t nths[] = { 7, 3, 20, 1, 7, 15, 30, 21, 2 };    /* 7 twice is once: eight */
    struct world *x = world_new(1);
    uint64_t expected = 0;
    for (size_t i = 0; i < sizeof nths / sizeof *nths; i++) {
        assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_ALLOC, nths[i]), 0);
        expected |= (uint64_t)1 << (nths[i] - 1);
    }
    assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_ALLOC, 25), ORR_EFULL);
    assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_ALLOC, 2), 0);
    assert_int_equal(failures(x), expected);
    assert_int_equal(failures(x), 0);
    assert_int_equal(orr_sim_counts(x->sim)[ORR_SIM_ALLOC], 8);
    world_free(x);
}

static void all_are_taken_back_at_once(void **state) {
    (void)state;
    struct world *x = world_new(1);
    for (uint64_t nth = 1; nth < 6; nth++) assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_ALLOC, nth), 0);
    assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_ALLOC, 0), 0);
    assert_int_equal(failures(x), 0);
    assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_ALLOC, 4), 0);
    orr_sim_heal(x->sim);
    assert_int_equal(failures(x), 0);
    assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_CUT, 1), ORR_EINVALID);
    assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_RARE, 1), ORR_EINVALID);
    assert_int_equal(orr_sim_arm_crash(x->sim, "a", ORR_SIM_ALLOC, 1, 0), ORR_EINVALID);
    assert_int_equal(orr_sim_arm_crash(x->sim, "z", ORR_SIM_CRASH, 1, 0), -ENOENT);
    world_free(x);
}

/* -- Crashes ----------------------------------------------------------------------------------------------------- */
/* The nth send: n - 1 peers got theirs, and the others nothing. */
static void a_crash_while_bytes_go_out_reaches_some_peers(void **state) {
    (void)state;
    for (uint64_t nth = 1; nth <= 3; nth++) {
        struct world *x = world_new(nth);
        unsigned reached = 0;
        probe_do(&x->p[0], connect_all, x);
        run(x, 20 * ORR_MS);
        assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_CRASH_SEND, nth), 0);
        probe_do(&x->p[0], tell_all, x);
        run(x, 20 * ORR_MS);
        assert_int_equal(orr_sim_state(x->sim, "a"), ORR_SIM_DOWN);
        assert_int_equal(orr_sim_counts(x->sim)[ORR_SIM_CRASH_SEND], 1);
        for (unsigned i = 1; i < PEERS; i++) {
            assert_true(x->heard[i] == 0 || x->heard[i] == 10);
            reached += x->heard[i] > 0;
        }
        assert_int_equal(reached, nth - 1);
        world_free(x);
    }
}

/* What was written and not synced is in the page cache of a process; a silent host says nothing to its peers. */
static void how_a_crash_is_can_be_said(void **state) {
    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        unsigned kept = 0, told = 0;
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct world *x = world_new(seed);
            int status;
            char bytes[4] = "";
            probe_do(&x->p[0], connect_all, x);
            struct orr_file *f = probe_open(&x->p[0], "f", ORR_F_CREATE, &status);
            assert_int_equal(probe_name_op(&x->p[0], ORR_OP_SYNC_DIR, NULL, NULL), 0);
            assert_int_equal(probe_write(&x->p[0], f, 0, "data", 4, 0), 0);
            run(x, 20 * ORR_MS);
            assert_int_equal(orr_sim_arm_crash(x->sim, "a", ORR_SIM_CRASH, 1, how), 0);
            run(x, 20 * ORR_MS);
            assert_int_equal(orr_sim_state(x->sim, "a"), ORR_SIM_DOWN);
            told += x->closed > 0;
            assert_int_equal(orr_sim_start(x->sim, "a"), 0);
            f = probe_open(&x->p[0], "f", ORR_F_CREATE, &status);
            kept += probe_read(&x->p[0], f, 0, bytes, 4) == 4 && memcmp(bytes, "data", 4) == 0;
            world_free(x);
        }
        assert_int_equal(told, how & ORR_SIM_SILENT ? 0 : 12);
        if (how & ORR_SIM_PROCESS) assert_int_equal(kept, 12);
        else assert_in_range(kept, 1, 11);
    }
}

/* -- Links and disks --------------------------------------------------------------------------------------------- */
static orr_time told_after(struct world *x) {
    size_t before = x->heard[1];
    orr_time began = orr_sim_now(x->sim);
    probe_do(&x->p[0], tell_all, x);
    while (x->heard[1] == before && orr_sim_step(x->sim)) continue;
    return orr_sim_now(x->sim) - began;
}

static void a_slow_link_is_slow_that_way_until_it_is_not(void **state) {
    (void)state;
    struct world *x = world_new(1);
    struct orr_sim_link link;
    probe_do(&x->p[0], connect_all, x);
    run(x, 20 * ORR_MS);
    orr_time quick = told_after(x);
    assert_int_equal(orr_sim_slow(x->sim, "a", "b", 10), 0);
    assert_true(told_after(x) > 500 * ORR_MS);
    assert_int_equal(orr_sim_link_now(x->sim, "a", "b", &link, NULL), 0);
    assert_int_equal(link.bandwidth, 0);            /* the link's own figures are untouched */
    assert_int_equal(orr_sim_slow(x->sim, "a", "b", 0), 0);
    run(x, 5 * ORR_SECOND);
    assert_true(told_after(x) < quick + 5 * ORR_MS);
    assert_int_equal(orr_sim_slow(x->sim, "a", "z", 0), -ENOENT);
    world_free(x);
}

static void a_worn_disk_takes_so_many_times_as_long(void **state) {
    (void)state;
    struct world *x = world_new(1);
    int status;
    struct orr_file *f = probe_open(&x->p[0], "f", ORR_F_CREATE, &status);
    assert_int_equal(orr_sim_disk_slower(x->sim, "a", 1000), 0);
    orr_time began = orr_sim_now(x->sim);
    assert_int_equal(probe_write(&x->p[0], f, 0, "data", 4, ORR_W_SYNC), 0);
    assert_in_range(orr_sim_now(x->sim) - began, 120 * ORR_MS, 300 * ORR_MS);    /* 20 us + 100 us, a thousand times */
    assert_int_equal(orr_sim_disk_slower(x->sim, "a", 0.5), ORR_EINVALID);
    assert_int_equal(orr_sim_disk_slower(x->sim, "z", 2), -ENOENT);
    world_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_are_armed_in_any_order),
        cmocka_unit_test(all_are_taken_back_at_once),
        cmocka_unit_test(a_crash_while_bytes_go_out_reaches_some_peers),
        cmocka_unit_test(how_a_crash_is_can_be_said),
        cmocka_unit_test(a_slow_link_is_slow_that_way_until_it_is_not),
        cmocka_unit_test(a_worn_disk_takes_so_many_times_as_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
