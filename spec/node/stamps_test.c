/* stamps_test.c - a node's hybrid logical clock in C (orrery/node_hlc.h): what it withholds, who waits for it, and what
 * becomes of it with its disk.                                                                                      */
#include <orrery/node_hlc.h>

#include "host_rig.h"

static struct rig r;

static int set_up(void **state) {
    memset(&r, 0, sizeof r);
    *state = &r;
    rig_new(&r, 1, 3);
    rig_run(&r, ORR_SECOND);
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    rig_free(&r);
    return 0;
}
static struct host *host(void) { return &r.hosts[0]; }

struct try {
    struct orr_wait w;              /* first */
    orr_time deadline;              /* 0: it does not wait */
    int rc, status;                 /* of the stamp; of the wait */
    orr_hlc_stamp heard, stamp;
    unsigned told;
};
static void told(struct orr_wait *w) {
    struct try *t = (struct try *)(void *)w;
    t->told++;
    t->status = w->status;
}
static void attempt(struct host *h, void *ud) {
    struct try *t = ud;
    t->rc = t->heard ? orr_node_hlc_recv(h->node, t->heard, &t->stamp) : orr_node_hlc_now(h->node, &t->stamp);
    if (t->rc != -EAGAIN || !t->deadline) return;
    t->w = (struct orr_wait){ .done = told };
    assert_int_equal(orr_node_hlc_wait(h->node, &t->w, orr_node_now(h->node) + t->deadline), 0);
}
static orr_hlc_stamp now(void) {
    struct try t = { .deadline = 3 * ORR_SECOND };
    rig_do(host(), attempt, &t);
    for (int i = 0; i < 300 && t.rc == -EAGAIN; i++) {
        rig_run(&r, 10 * ORR_MS);
        if (!t.told) continue;
        assert_int_equal(t.status, 0);
        t.told = 0;
        rig_do(host(), attempt, &t);
    }
    assert_int_equal(t.rc, 0);
    return t.stamp;
}
static void restart(void) {
    assert_int_equal(orr_sim_restart(r.sim, "n1", ORR_SIM_KEPT), 0);
    rig_run(&r, 500 * ORR_MS);
}
static struct orr_node_hlc_status status(void) {
    struct orr_node_hlc_status s;
    orr_node_hlc_status(host()->node, &s);
    return s;
}

static void a_stamp_is_withheld_until_its_limit_is_stored(void **state) {
    (void)state;
    struct try t = { .deadline = ORR_SECOND };
    assert_int_equal(status().last, 0);
    attempt(host(), &t);            /* outside a turn */
    assert_int_equal(t.rc, -EAGAIN);
    assert_int_equal(t.stamp, 0);
    assert_int_equal(t.told, 0);
    rig_run(&r, 20 * ORR_MS);
    assert_int_equal(t.told, 1);
    assert_int_equal(t.status, 0);
    orr_hlc_stamp first = now(), second = now();
    assert_true(first < second && second < status().limit && second == status().last);
    assert_int_equal(status().given, 2);
}

static void it_begins_above_all_that_it_gave(void **state) {
    (void)state;
    orr_hlc_stamp before = now();
    for (int i = 0; i < 20; i++) {
        restart();
        orr_hlc_stamp next = now();
        assert_true(next > before);
        before = next;
    }
}

static void a_wait_ends_in_time_and_can_be_cancelled(void **state) {
    (void)state;
    now();
    struct try late = { .deadline = 50 * ORR_MS }, cancelled = late, patient = { .deadline = 2 * ORR_SECOND };
    assert_int_equal(orr_sim_restart(r.sim, "n1", ORR_SIM_KEPT), 0);
    rig_run(&r, 100 * ORR_MS);      /* it begins a second ahead, and half a second is taken by others */
    struct try *all[] = { &late, &cancelled, &patient }, first = { 0 };
    attempt(host(), &first);
    rig_run(&r, 20 * ORR_MS);       /* a limit is stored, which wakes whoever waits */
    for (size_t i = 0; i < 3; i++) {
        attempt(host(), all[i]);
        assert_int_equal(all[i]->rc, -EAGAIN);
    }
    orr_wait_cancel(&cancelled.w);
    rig_run(&r, 60 * ORR_MS);
    assert_int_equal(late.told, 1);
    assert_int_equal(late.status, ORR_ETIMEOUT);
    assert_int_equal(cancelled.told, 0);
    rig_run(&r, 2 * ORR_SECOND);
    assert_int_equal(patient.told, 1);
    assert_int_equal(patient.status, 0);
    assert_int_equal(cancelled.told, 0);
}

static void who_waits_is_told_when_the_node_ends(void **state) {
    (void)state;
    struct try t = { .deadline = 10 * ORR_SECOND };
    assert_int_equal(orr_sim_disk_room(r.sim, "n1", UINT64_C(1) << 36), 0);
    attempt(host(), &t);
    assert_int_equal(t.rc, -EAGAIN);
    orr_node_stop(host()->node, "enough");
    rig_run(&r, 5 * ORR_SECOND);
    assert_int_equal(t.told, 1);
}

static void a_damaged_limit_is_told_and_no_stamp_is_guessed(void **state) {
    (void)state;
    now();
    rig_run(&r, 100 * ORR_MS);
    assert_int_equal(orr_sim_disk_rot(r.sim, "n1", "value-orrery%2Ehlc", 20), 0);
    restart();
    struct try t = { 0 };
    for (int i = 0; i < 3; i++) {
        attempt(host(), &t);
        assert_int_equal(t.rc, ORR_ECORRUPT);
        assert_int_equal(t.stamp, 0);
        t.heard = 1;
        rig_run(&r, ORR_SECOND);
    }
}

static void a_full_disk_is_told_and_tried_again(void **state) {
    (void)state;
    struct try t = { .deadline = ORR_SECOND };
    assert_int_equal(orr_sim_disk_room(r.sim, "n1", 0), 0);
    attempt(host(), &t);
    rig_run(&r, 100 * ORR_MS);
    attempt(host(), &t);
    assert_int_equal(t.rc, ORR_EFULL);
    assert_int_equal(orr_sim_disk_room(r.sim, "n1", UINT64_C(1) << 36), 0);
    rig_run(&r, 5 * ORR_SECOND);
    assert_true(now() > 0);
}

static void its_skew_max_is_checked(void **state) {
    (void)state;
    struct orr_node_config cfg;
    struct orr_node *n;
    const char *why = NULL;
    struct orr_node_member me = { "n1", "10.0.0.1:7000", true };
    orr_node_config_init(&cfg);
    assert_true(cfg.clock.skew_max == 500 * ORR_MS);
    cfg.cluster = "test";
    cfg.id = "n1";
    cfg.nodes = &me;
    cfg.n_nodes = 1;
    cfg.clock.skew_max = -1;
    assert_int_equal(orr_node_new(&n, orr_node_world(host()->node), &cfg, &why), ORR_EINVALID);
    assert_string_equal(why, "clock.skew_max");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stamp_is_withheld_until_its_limit_is_stored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_begins_above_all_that_it_gave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wait_ends_in_time_and_can_be_cancelled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_is_told_when_the_node_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_limit_is_told_and_no_stamp_is_guessed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told_and_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(its_skew_max_is_checked, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
