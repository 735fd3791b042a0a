/* membership_test.c - memberships in a network that is well: they join, find the dead, leave and come back. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/member_net.h"

static struct mnet_options options(size_t n) {
    struct mnet_options o = { .n = n, .seed = 7, .delay_min = ORR_MS / 2, .delay_max = 2 * ORR_MS };
    orr_membership_config_init(&o.cfg);
    return o;
}

static struct mnet *started(const struct mnet_options *o) {
    struct mnet *net = mnet_new(o);
    for (size_t i = 0; i < o->n; i++) mnet_start(net, i);
    return net;
}

static bool all_see(const struct mnet *net, size_t n, size_t of, enum orr_member_state state) {
    for (size_t i = 0; i < n; i++) {
        if (i != of && mnet_of(net, i) && mnet_sees(net, i, of) != (int)state) return false;
    }
    return true;
}

static bool all_alive(const struct mnet *net, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!all_see(net, n, i, ORR_MEMBER_ALIVE)) return false;
    }
    return true;
}

static void join_by_the_file(void **state) {
    (void)state;
    for (size_t n = 2; n <= 16; n++) {
        struct mnet_options o = options(n);
        struct mnet *net = started(&o);
        mnet_run(net, 3 * ORR_SECOND);
        assert_true(all_alive(net, n));
        mnet_free(net);
    }
}

static void join_by_seeds(void **state) {
    (void)state;
    struct mnet_options o = options(100);
    o.seeds = 2;
    struct mnet *net = started(&o);
    mnet_run(net, 10 * ORR_SECOND);
    assert_true(all_alive(net, o.n));
    mnet_free(net);
}

static void the_dead_are_found(void **state) {
    (void)state;
    struct mnet_options o = options(8);
    struct mnet *net = started(&o);
    mnet_run(net, 5 * ORR_SECOND);
    mnet_kill(net, 3);
    mnet_run(net, 40 * ORR_SECOND);
    assert_true(all_see(net, o.n, 3, ORR_MEMBER_FAILED));
    mnet_start(net, 3);
    mnet_run(net, 5 * ORR_SECOND);
    assert_true(all_alive(net, o.n));
    mnet_free(net);
}

static void who_leaves_is_no_failure(void **state) {
    (void)state;
    struct mnet_options o = options(5);
    struct mnet *net = started(&o);
    mnet_run(net, 5 * ORR_SECOND);
    mnet_leave(net, 2);
    mnet_run(net, 3 * ORR_SECOND);
    assert_null(mnet_of(net, 2));
    assert_true(all_see(net, o.n, 2, ORR_MEMBER_LEFT));
    mnet_start(net, 2);
    mnet_run(net, 5 * ORR_SECOND);
    assert_true(all_alive(net, o.n));
    mnet_free(net);
}

static void halves_find_together(void **state) {
    (void)state;
    struct mnet_options o = options(6);
    struct mnet *net = started(&o);
    mnet_run(net, 5 * ORR_SECOND);
    for (size_t a = 0; a < 3; a++) {
        for (size_t b = 3; b < 6; b++) {
            mnet_cut(net, a, b, true);
            mnet_cut(net, b, a, true);
        }
    }
    mnet_run(net, 120 * ORR_SECOND);
    assert_int_equal(mnet_sees(net, 0, 5), ORR_MEMBER_FAILED);
    assert_int_equal(mnet_sees(net, 5, 0), ORR_MEMBER_FAILED);
    mnet_heal(net);
    mnet_run(net, 90 * ORR_SECOND);
    assert_true(all_alive(net, o.n));
    mnet_free(net);
}

static enum orr_member_way way(const struct mnet *net, size_t at, size_t of) {
    struct orr_member_info member;
    assert_true(orr_membership_find(mnet_of(net, at), mnet_id(net, of), &member));
    return member.way;
}

/* Both ends of the link are well, and all know it; the two can say that their link is not. */
static void a_cut_link_is_told_from_a_dead_node(void **state) {
    (void)state;
    for (unsigned one_way = 0; one_way <= 1; one_way++) {
        struct mnet_options o = options(5);
        struct mnet *net = started(&o);
        mnet_run(net, 10 * ORR_SECOND);
        mnet_cut(net, 0, 1, true);
        if (!one_way) mnet_cut(net, 1, 0, true);
        mnet_kill(net, 4);
        mnet_run(net, 60 * ORR_SECOND);
        for (size_t i = 0; i < 4; i++) assert_true(all_see(net, o.n, i, ORR_MEMBER_ALIVE));
        assert_true(all_see(net, o.n, 4, ORR_MEMBER_FAILED));
        assert_int_equal(way(net, 0, 1), ORR_WAY_INDIRECT);
        assert_int_equal(way(net, 1, 0), ORR_WAY_INDIRECT);
        assert_int_equal(way(net, 0, 2), ORR_WAY_DIRECT);
        assert_int_equal(way(net, 0, 4), ORR_WAY_NONE);
        mnet_free(net);
    }
}

static void count_failures(void *ud, size_t node, const struct orr_membership_ready *r) {
    (void)node;
    unsigned *n = ud;
    *n += r->event.kind == ORR_MEMBER_FAILS;
}

static void lost_packets_alone_fail_nobody(void **state) {
    (void)state;
    unsigned failures = 0;
    struct mnet_options o = options(100);
    o.loss = 0.05;
    o.seeds = 3;
    o.event = count_failures;
    o.ud = &failures;
    struct mnet *net = started(&o);
    mnet_run(net, 300 * ORR_SECOND);
    assert_true(all_alive(net, o.n));
    assert_int_equal(failures, 0);
    mnet_free(net);
}

static void detectors_by_heartbeats(void **state) {
    (void)state;
    for (int detector = ORR_DETECTOR_PHI; detector <= ORR_DETECTOR_DEADLINE; detector++) {
        struct mnet_options o = options(5);
        o.cfg.detector = (enum orr_detector)detector;
        struct mnet *net = started(&o);
        mnet_run(net, 10 * ORR_SECOND);
        assert_true(all_alive(net, o.n));
        mnet_kill(net, 1);
        mnet_run(net, 10 * ORR_SECOND);
        assert_true(all_see(net, o.n, 1, ORR_MEMBER_FAILED));
        mnet_start(net, 1);
        mnet_run(net, 5 * ORR_SECOND);
        assert_true(all_alive(net, o.n));
        mnet_free(net);
    }
}

static void the_same_seed_is_the_same_run(void **state) {
    (void)state;
    uint64_t digests[2];
    for (size_t i = 0; i < 2; i++) {
        struct mnet_options o = options(12);
        o.loss = 0.1;
        struct mnet *net = started(&o);
        mnet_run(net, 30 * ORR_SECOND);
        digests[i] = mnet_digest(net);
        mnet_free(net);
    }
    assert_int_equal(digests[0], digests[1]);
}

static void alone_there_is_nothing_to_do(void **state) {
    (void)state;
    struct mnet_options o = options(1);
    struct mnet *net = started(&o);
    assert_false(mnet_step(net));
    assert_int_equal(orr_membership_deadline(mnet_of(net, 0)), ORR_NEVER);
    assert_int_equal(orr_membership_count(mnet_of(net, 0)), 1);
    mnet_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_by_the_file),
        cmocka_unit_test(join_by_seeds),
        cmocka_unit_test(the_dead_are_found),
        cmocka_unit_test(who_leaves_is_no_failure),
        cmocka_unit_test(halves_find_together),
        cmocka_unit_test(a_cut_link_is_told_from_a_dead_node),
        cmocka_unit_test(lost_packets_alone_fail_nobody),
        cmocka_unit_test(detectors_by_heartbeats),
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(alone_there_is_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
