/* lie_test.c - what is told is not what was said: mutated and replayed bytes, a frozen clock, rates of one node. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "probe.h"

/* Two nodes; a says numbered frames of eight bytes, and b keeps what comes. */
struct pair {
    struct orr_sim *sim;
    struct probe a, b;
    struct orr_stream *s;
    unsigned char said[8];
    unsigned char heard[4096];
    size_t n_heard;
    unsigned datagrams, odd;        /* that came; of which the bytes are not what was said */
};

static void event(struct probe *p, struct orr_req *req) {
    struct pair *x = p->ud;
    if (p != &x->b) return;
    if (req->op == ORR_OP_DATA) {
        const struct orr_slice data = ((const struct orr_stream_event *)(const void *)req)->data;
        if (data.size > sizeof x->heard - x->n_heard) abort();
        memcpy(x->heard + x->n_heard, data.at, data.size);
        x->n_heard += data.size;
    } else if (req->op == ORR_OP_DATAGRAM) {
        const struct orr_slice data = ((const struct orr_datagram *)(const void *)req)->data;
        x->datagrams++;
        x->odd += data.size != sizeof x->said || memcmp(data.at, x->said, data.size) != 0;
    }
}

static void connect_it(struct probe *p, void *arg) {
    struct pair *x = arg;
    (void)p->w->ops->peer(p->w, orr_id_of("b"), "b:1");
    assert_int_equal(p->w->ops->connect(p->w, orr_id_of("b"), &x->s), 0);
}
static void say(struct probe *p, void *arg) {
    struct pair *x = arg;
    struct orr_slice part = orr_borrow(x->said, sizeof x->said);
    assert_int_equal(p->w->ops->send(p->w, x->s, 0, &part, 1), 0);
}
static void throw(struct probe *p, void *arg) {
    struct pair *x = arg;
    assert_int_equal(p->w->ops->datagram(p->w, orr_id_of("b"), orr_borrow(x->said, sizeof x->said)), 0);
}

static struct pair *pair_new(uint64_t seed) {
    struct pair *x = calloc(1, sizeof *x);
    assert_non_null(x);
    x->sim = probe_sim(seed);
    x->a = x->b = (struct probe){ .on_event = event, .ud = x };
    assert_int_equal(probe_add(x->sim, &x->a, "a", "a:1"), 0);
    assert_int_equal(probe_add(x->sim, &x->b, "b", "b:1"), 0);
    probe_do(&x->a, connect_it, x);
    orr_sim_run(x->sim, orr_sim_now(x->sim) + 20 * ORR_MS);
    return x;
}
static void pair_free(struct pair *x) {
    orr_sim_free(x->sim);
    free(x);
}
static void say_all(struct pair *x, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        memset(x->said, (int)i, sizeof x->said);
        probe_do(&x->a, say, x);
        orr_sim_run(x->sim, orr_sim_now(x->sim) + 5 * ORR_MS);
    }
}

/* -- Mutated ----------------------------------------------------------------------------------------------------- */
static unsigned bits_that_differ(const struct pair *x, unsigned n) {
    unsigned bits = 0;
    for (size_t i = 0; i < n * 8u; i++) {
        for (unsigned odd = x->heard[i] ^ (unsigned)(i / 8); odd; odd >>= 1) bits += odd & 1;
    }
    return bits;
}

static void a_mutated_piece_has_one_to_three_odd_bits(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair *x = pair_new(seed);
        assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_MUTATE, 3), 0);
        say_all(x, 6);
        assert_int_equal(x->n_heard, 48);
        unsigned bits = bits_that_differ(x, 6);
        assert_true(bits <= 3 && (bits > 0 || orr_sim_counts(x->sim)[ORR_SIM_MUTATE] == 1));
        for (size_t i = 0; i < 48; i++) assert_true(i / 8 == 2 || x->heard[i] == i / 8);
        pair_free(x);
    }
}

static void a_link_may_mutate_all_that_passes(void **state) {
    (void)state;
    struct pair *x = pair_new(1);
    struct orr_sim_link link;
    assert_int_equal(orr_sim_link_now(x->sim, "a", "b", &link, NULL), 0);
    link.mutate = 1;
    assert_int_equal(orr_sim_link(x->sim, "a", "b", &link), 0);
    say_all(x, 30);
    assert_int_equal(orr_sim_counts(x->sim)[ORR_SIM_MUTATE], 30);
    assert_in_range(bits_that_differ(x, 30), 30, 90);
    for (unsigned i = 0; i < 30; i++) {
        probe_do(&x->a, throw, x);
        orr_sim_run(x->sim, orr_sim_now(x->sim) + 5 * ORR_MS);
    }
    assert_int_equal(x->datagrams, 30);
    assert_in_range(x->odd, 25, 30);
    link.mutate = 1.5;
    assert_int_equal(orr_sim_link(x->sim, "a", "b", &link), ORR_EINVALID);
    pair_free(x);
}

/* -- Replayed ---------------------------------------------------------------------------------------------------- */
static void a_replayed_piece_comes_once_more_behind_others(void **state) {
    (void)state;
    unsigned late = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct pair *x = pair_new(seed);
        unsigned times = 0;
        assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_REPLAY, 2), 0);
        say_all(x, 8);
        assert_int_equal(x->n_heard, 72);
        for (size_t i = 0; i < 72; i += 8) {
            assert_true(memcmp(x->heard + i, x->heard + i + 1, 7) == 0);     /* whole frames */
            times += x->heard[i] == 1;
            late += x->heard[i] == 1 && i > 16;
        }
        assert_int_equal(times, 2);
        pair_free(x);
    }
    assert_true(late > 3);
}

static void a_replayed_datagram_comes_once_more(void **state) {
    (void)state;
    struct pair *x = pair_new(1);
    assert_int_equal(orr_sim_arm(x->sim, "a", ORR_SIM_REPLAY, 1), 0);
    probe_do(&x->a, throw, x);
    orr_sim_run(x->sim, orr_sim_now(x->sim) + 2 * ORR_SECOND);
    assert_int_equal(x->datagrams, 2);
    assert_int_equal(x->odd, 0);
    pair_free(x);
}

/* -- A clock that stands ----------------------------------------------------------------------------------------- */
static void look(struct probe *p, void *arg) { p->w->ops->wall(p->w, arg); }
static orr_time wall(struct pair *x) {
    struct orr_wall w;
    orr_time outside;
    int32_t ppb;
    probe_do(&x->a, look, &w);
    assert_int_equal(orr_sim_clock_now(x->sim, "a", &outside, &ppb), 0);
    assert_true(outside - w.realtime >= 0 && outside - w.realtime < 2 * ORR_MS);
    return w.realtime;
}

static void a_frozen_clock_stands_and_goes_on_late(void **state) {
    (void)state;
    struct pair *x = pair_new(1);
    orr_time before = wall(x);
    assert_int_equal(orr_sim_clock_freeze(x->sim, "a", true), 0);
    orr_time stands = wall(x);
    assert_in_range(stands - before, 0, 2 * ORR_MS);
    orr_sim_run(x->sim, orr_sim_now(x->sim) + ORR_SECOND);
    assert_int_equal(wall(x), stands);
    assert_int_equal(orr_sim_clock(x->sim, "a", 5 * ORR_SECOND, 0), 0);     /* a step is one, all the same */
    assert_int_equal(wall(x), stands + 5 * ORR_SECOND);
    assert_int_equal(orr_sim_clock_freeze(x->sim, "a", false), 0);
    orr_sim_run(x->sim, orr_sim_now(x->sim) + ORR_SECOND);
    assert_in_range(wall(x) - stands, 6 * ORR_SECOND, 6 * ORR_SECOND + 5 * ORR_MS);
    assert_int_equal(orr_sim_clock_freeze(x->sim, "z", true), -ENOENT);
    pair_free(x);
}

/* -- Rates of one node ------------------------------------------------------------------------------------------- */
static void a_rate_is_of_that_node_alone_until_it_is_taken_back(void **state) {
    (void)state;
    struct pair *x = pair_new(1);
    struct probe *nodes[] = { &x->a, &x->b };
    for (unsigned round = 0; round < 2; round++) {
        unsigned failed[2] = { 0, 0 };
        if (round == 0) assert_int_equal(orr_sim_rate(x->sim, "a", ORR_SIM_WRITE_ERROR, 0.5), 0);
        else assert_int_equal(orr_sim_rate(x->sim, "a", ORR_SIM_WRITE_ERROR, -1), 0);
        for (unsigned i = 0; i < 2; i++) {
            int status;
            struct orr_file *f = probe_open(nodes[i], "f", ORR_F_CREATE, &status);
            for (unsigned k = 0; k < 40; k++) failed[i] += probe_write(nodes[i], f, 0, "data", 4, 0) == -EIO;
        }
        if (round == 0) assert_in_range(failed[0], 10, 30);
        else assert_int_equal(failed[0], 0);
        assert_int_equal(failed[1], 0);
    }
    assert_int_equal(orr_sim_rate(x->sim, "a", ORR_SIM_WRITE_ERROR, 2), ORR_EINVALID);
    assert_int_equal(orr_sim_rate(x->sim, "a", ORR_SIM_CUT, 0.1), ORR_EINVALID);
    assert_int_equal(orr_sim_rate(x->sim, "z", ORR_SIM_LOSS, 0.1), -ENOENT);
    pair_free(x);
}

/* Damage asked for by hand does not ask the budget, which is none of two nodes; rot is so many strikes a second. */
static void damage_by_a_rate_of_its_own_strikes(void **state) {
    (void)state;
    struct pair *x = pair_new(1);
    static char block[4096], back[4096];
    int status;
    struct orr_file *f = probe_open(&x->a, "f", ORR_F_CREATE, &status);
    assert_int_equal(probe_write(&x->a, f, 0, block, sizeof block, ORR_W_SYNC), 0);
    assert_int_equal(probe_name_op(&x->a, ORR_OP_SYNC_DIR, NULL, NULL), 0);
    assert_int_equal(orr_sim_rate(x->sim, "a", ORR_SIM_ROT, 5), 0);
    orr_sim_run(x->sim, orr_sim_now(x->sim) + 10 * ORR_SECOND);
    uint64_t rot = orr_sim_counts(x->sim)[ORR_SIM_ROT];
    assert_in_range(rot, 25, 80);
    assert_true(orr_sim_disk_damaged(x->sim, "a"));
    assert_int_equal(probe_read(&x->a, f, 0, back, sizeof back), sizeof back);
    assert_true(memcmp(back, block, sizeof back) != 0);
    assert_int_equal(orr_sim_rate(x->sim, "a", ORR_SIM_ROT, -1), 0);
    orr_sim_run(x->sim, orr_sim_now(x->sim) + 10 * ORR_SECOND);
    assert_int_equal(orr_sim_counts(x->sim)[ORR_SIM_ROT], rot);

    assert_int_equal(orr_sim_rate(x->sim, "a", ORR_SIM_STALE, 1), 0);
    assert_int_equal(probe_write(&x->a, f, 0, "new", 3, ORR_W_SYNC), 0);
    memset(block, 0, sizeof block);
    assert_int_equal(probe_read(&x->a, f, 0, back, 3), 3);
    assert_true(memcmp(back, "new", 3) != 0);
    orr_sim_heal(x->sim);                       /* ends rates, too */
    assert_int_equal(probe_write(&x->a, f, 0, "new", 3, ORR_W_SYNC), 0);
    assert_int_equal(probe_read(&x->a, f, 0, back, 3), 3);
    assert_memory_equal(back, "new", 3);
    pair_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutated_piece_has_one_to_three_odd_bits),
        cmocka_unit_test(a_link_may_mutate_all_that_passes),
        cmocka_unit_test(a_replayed_piece_comes_once_more_behind_others),
        cmocka_unit_test(a_replayed_datagram_comes_once_more),
        cmocka_unit_test(a_frozen_clock_stands_and_goes_on_late),
        cmocka_unit_test(a_rate_is_of_that_node_alone_until_it_is_taken_back),
        cmocka_unit_test(damage_by_a_rate_of_its_own_strikes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
