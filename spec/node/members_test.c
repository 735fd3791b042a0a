/* members_test.c - a node's part in its cluster's membership, in C (orrery/node_members.h). */
#include <orrery/node_members.h>

#include "host_rig.h"

static struct rig r;
static bool at_once;
static const unsigned char (*keys)[ORR_MEMBERSHIP_KEY];

static void config(struct rig *rig, struct orr_node_config *cfg) {
    (void)rig;
    cfg->members.at_once = at_once;
    cfg->members.zone = "hall 1";
    cfg->members.with.probe_interval = 200 * ORR_MS;
    cfg->members.with.probe_timeout = 100 * ORR_MS;
    cfg->members.with.sync_interval = 2 * ORR_SECOND;
    cfg->members.keys = keys;
    cfg->members.n_keys = keys ? 1 : 0;
}
static void set_up(size_t n, bool begin) {
    memset(&r, 0, sizeof r);
    r.config = config;
    at_once = begin;
    rig_new(&r, n, 5);
    rig_run(&r, ORR_SECOND);
}
static int tear_down(void **state) {
    (void)state;
    rig_free(&r);
    keys = NULL;
    return 0;
}

static struct orr_member_info seen(size_t by, size_t of) {
    struct orr_member_info m = { .id = ORR_NOBODY };
    const struct orr_membership *all = orr_node_members(r.hosts[by].node);
    if (all) (void)orr_membership_find(all, r.hosts[of].id, &m);
    return m;
}
static bool holds(size_t by, size_t of, enum orr_member_state state) {
    struct orr_member_info m = seen(by, of);
    return m.id != ORR_NOBODY && m.state == state;
}
static void ask_now(struct host *h, void *ud) {
    (void)ud;
    assert_int_equal(orr_node_members_ask(h->node), 0);
    assert_int_equal(orr_node_members_ask(h->node), 0);
}

static void nobody_takes_part_until_one_asks_then_all_do(void **state) {
    (void)state;
    set_up(3, false);
    rig_run(&r, 3 * ORR_SECOND);
    for (size_t i = 0; i < 3; i++) assert_null(orr_node_members(r.hosts[i].node));
    rig_do(&r.hosts[1], ask_now, NULL);
    rig_run(&r, 3 * ORR_SECOND);
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) assert_true(holds(i, j, ORR_MEMBER_ALIVE));
    }
    assert_string_equal(seen(0, 2).zone, "hall 1");
    assert_true(seen(0, 2).incarnation >> 32 == 1);
}

static void it_may_be_asked_outside_a_turn(void **state) {
    (void)state;
    set_up(2, false);
    assert_int_equal(orr_node_members_ask(r.hosts[0].node), 0);
    rig_run(&r, 3 * ORR_SECOND);
    assert_true(holds(0, 1, ORR_MEMBER_ALIVE) && holds(1, 0, ORR_MEMBER_ALIVE));
}

static void a_stopped_node_has_left_before_it_stops(void **state) {
    (void)state;
    set_up(4, true);
    rig_run(&r, 3 * ORR_SECOND);
    orr_node_stop(r.hosts[3].node, "the test");
    rig_run(&r, 3 * ORR_SECOND);
    assert_null(r.hosts[3].node);
    for (size_t i = 0; i < 3; i++) assert_true(holds(i, 3, ORR_MEMBER_LEFT));
}

static void a_killed_one_has_not(void **state) {
    (void)state;
    set_up(4, true);
    rig_run(&r, 3 * ORR_SECOND);
    assert_int_equal(orr_sim_kill(r.sim, "n4"), 0);
    rig_run(&r, 10 * ORR_SECOND);
    for (size_t i = 0; i < 3; i++) assert_true(holds(i, 3, ORR_MEMBER_FAILED));
    assert_int_equal(orr_sim_restart(r.sim, "n4", ORR_SIM_KEPT), 0);
    rig_run(&r, 4 * ORR_SECOND);
    for (size_t i = 0; i < 3; i++) {
        assert_true(holds(i, 3, ORR_MEMBER_ALIVE));
        assert_true(seen(i, 3).incarnation >> 32 == 2);
    }
}

/* An empty disk knows of no start: what others hold is above what it tells, and it goes above that. */
static void one_that_lost_its_disk_is_believed_again(void **state) {
    (void)state;
    set_up(3, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(orr_sim_kill(r.sim, "n3"), 0);
        rig_run(&r, ORR_SECOND);
        assert_int_equal(orr_sim_restart(r.sim, "n3", i < 2 ? ORR_SIM_KEPT : ORR_SIM_EMPTY), 0);
        rig_run(&r, 5 * ORR_SECOND);
    }
    assert_true(holds(0, 2, ORR_MEMBER_ALIVE) && holds(1, 2, ORR_MEMBER_ALIVE));
    assert_true(seen(0, 2).incarnation > (uint64_t)3 << 32);
    assert_true(holds(2, 0, ORR_MEMBER_ALIVE));
}

/* By a key of its own nobody believes n2's datagrams any more, nor it anybody's. */
static void streams_speak_for_a_node_whose_datagrams_are_lost(void **state) {
    static const unsigned char common[1][ORR_MEMBERSHIP_KEY] = { "a key" };
    static const unsigned char other[ORR_MEMBERSHIP_KEY] = "another key";
    (void)state;
    keys = common;
    set_up(2, true);
    rig_run(&r, 3 * ORR_SECOND);
    struct orr_node *n = r.hosts[1].node;
    assert_int_equal(orr_node_members_key(n, ORR_NODE_KEY_ADD, other), 0);
    assert_int_equal(orr_node_members_key(n, ORR_NODE_KEY_PRIMARY, other), 0);
    assert_int_equal(orr_node_members_key(n, ORR_NODE_KEY_REMOVE, common[0]), 0);
    rig_run(&r, 20 * ORR_SECOND);
    assert_true(holds(0, 1, ORR_MEMBER_ALIVE) && holds(1, 0, ORR_MEMBER_ALIVE));
    assert_int_equal(seen(0, 1).way, ORR_WAY_STREAM);
    assert_int_equal(orr_sim_pause(r.sim, "n2"), 0);
    rig_run(&r, 20 * ORR_SECOND);
    assert_true(holds(0, 1, ORR_MEMBER_FAILED));        /* and not for one that says nothing */
}

static void tags_and_keys_are_kept_for_when_it_takes_part(void **state) {
    static const unsigned char primary[1][ORR_MEMBERSHIP_KEY] = { "the first key" };
    static const unsigned char second[ORR_MEMBERSHIP_KEY] = "the second key";
    (void)state;
    keys = primary;
    set_up(2, false);
    for (size_t i = 0; i < 2; i++) {
        struct orr_node *n = r.hosts[i].node;
        assert_int_equal(orr_node_members_tags(n, orr_borrow("tags", 4)), 0);
        assert_int_equal(orr_node_members_key(n, ORR_NODE_KEY_PRIMARY, second), ORR_EINVALID);
        assert_int_equal(orr_node_members_key(n, ORR_NODE_KEY_ADD, second), 0);
        assert_int_equal(orr_node_members_key(n, ORR_NODE_KEY_ADD, second), 0);
        assert_int_equal(orr_node_members_key(n, ORR_NODE_KEY_REMOVE, primary[0]), ORR_EINVALID);
    }
    assert_int_equal(orr_node_members_key(r.hosts[0].node, ORR_NODE_KEY_PRIMARY, second), 0);
    assert_int_equal(orr_node_members_ask(r.hosts[0].node), 0);
    rig_run(&r, 3 * ORR_SECOND);
    assert_true(holds(0, 1, ORR_MEMBER_ALIVE) && holds(1, 0, ORR_MEMBER_ALIVE));
    assert_memory_equal(seen(1, 0).tags.at, "tags", 4);
    assert_int_equal(orr_node_members_key(r.hosts[1].node, ORR_NODE_KEY_REMOVE, second), 0);
    rig_run(&r, 3 * ORR_SECOND);
    struct orr_membership_status s;
    orr_membership_status(orr_node_members(r.hosts[1].node), &s);
    assert_true(s.dropped_key > 0);
    static const unsigned char big[ORR_MEMBER_TAGS_MAX + 1];
    assert_int_equal(orr_node_members_tags(r.hosts[0].node, orr_borrow(big, sizeof big)), ORR_EINVALID);
}

static void memory_that_is_out_costs_no_more_than_the_asking(void **state) {
    (void)state;
    set_up(2, false);
    size_t refused = 0;
    for (uint64_t k = 1; k < 200; k++) {
        assert_int_equal(orr_sim_arm(r.sim, "n1", ORR_SIM_ALLOC, k), 0);
        int rc = orr_node_members_ask(r.hosts[0].node);
        assert_true(rc == 0 || rc == -ENOMEM);
        refused += rc == -ENOMEM;
        if (rc == 0) break;
        assert_null(orr_node_members(r.hosts[0].node));
    }
    assert_true(refused > 2);
    assert_int_equal(orr_sim_arm(r.sim, "n1", ORR_SIM_ALLOC, 0), 0);
    rig_run(&r, 3 * ORR_SECOND);
    assert_true(holds(0, 1, ORR_MEMBER_ALIVE));
}

int main(void) {
#define TEST(test) cmocka_unit_test_teardown(test, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nobody_takes_part_until_one_asks_then_all_do), TEST(it_may_be_asked_outside_a_turn),
        TEST(a_stopped_node_has_left_before_it_stops), TEST(a_killed_one_has_not),
        TEST(one_that_lost_its_disk_is_believed_again), TEST(streams_speak_for_a_node_whose_datagrams_are_lost),
        TEST(tags_and_keys_are_kept_for_when_it_takes_part), TEST(memory_that_is_out_costs_no_more_than_the_asking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
