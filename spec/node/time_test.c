/* time_test.c - the cluster's time in the simulator, where the truth is known: the laboratory compares whatever any
 * node is told, at each of its turns. */
#include <inttypes.h>

#include "node/time.h"
#include "node/time_rig.h"

static struct orr_time_member member(size_t of, size_t i) {
    struct orr_time_member m;
    assert_true(orr_node_time_member(w.places[of].node, i, &m));
    return m;
}
static const char *why(size_t of) {
    static char text[200];
    orr_node_time_why(w.places[of].node, text, sizeof text);
    return text;
}
static double half(const struct orr_node_time *t) { return (double)(t->latest - t->earliest) / 2e9; }

/* -- What it is ---------------------------------------------------------------------------------------------------- */
static void a_second_after_the_start_each_node_knows_it_within_a_few_ms(void **state) {
    (void)state;
    begin(3, 1, NULL, 60 * ORR_SECOND);
    run(1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(w.places[i].rc, 0);
        assert_int_equal(w.places[i].last.state, ORR_CLOCK_SYNC);
        assert_int_equal(w.places[i].last.epoch, 0);
        assert_true(half(&w.places[i].last) < 0.004);
    }
    assert_true(end() > 20);
}

static void one_node_alone_knows_it_exactly(void **state) {
    (void)state;
    begin(1, 1, NULL, 60 * ORR_SECOND);
    run(1);
    assert_int_equal(w.places[0].rc, 0);
    assert_true(w.places[0].last.earliest == w.places[0].last.latest);
    assert_string_equal(why(0), "");
    end();
}

static void whose_machine_is_wrong_is_named_and_moves_nothing(void **state) {
    (void)state;
    begin(4, 2, NULL, 60 * ORR_SECOND);
    set_wall("n4", 2);
    run(3);
    orr_time wall;
    int32_t drift;
    orr_sim_clock_now(w.sim, "n1", &wall, &drift);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(w.places[i].rc, 0);
        assert_true(llabs((long long)(w.places[i].last.likely - wall)) < 500 * ORR_MS);
        assert_int_equal(member(i, 3).role, ORR_TIME_OFF);
        assert_true(llabs((long long)(member(i, 3).off - 2 * ORR_SECOND)) < 15 * ORR_MS);   /* walls differ by 10 ms */
        assert_int_equal(member(i, 0).role, ORR_TIME_KNOWN);
    }
    assert_true(said("n1: n4's clock is at least 2.0") || said("n1: n4's clock is at least 1.9"));
    assert_true(said("n4: this machine's clock is at least 2.0") || said("n4: this machine's clock is at least 1.9"));
    end();
}

static void of_twenty_nodes_the_first_fifteen_keep_it(void **state) {
    (void)state;
    begin(MOST, 3, NULL, 60 * ORR_SECOND);
    run(2);
    struct orr_time_member m;
    for (size_t i = 0; i < MOST; i++) {
        assert_int_equal(w.places[i].rc, 0);
        assert_false(orr_node_time_member(w.places[i].node, ORR_TIME_MEMBERS_MAX, &m));
    }
    assert_true(member(14, 14).own);
    assert_false(member(16, 14).own);
    end();
}

/* -- What takes it away -------------------------------------------------------------------------------------------- */
static void who_is_cut_off_knows_it_for_ten_seconds(void **state) {
    (void)state;
    begin(3, 4, NULL, 60 * ORR_SECOND);
    run(2);
    orr_sim_partition(w.sim, 1);
    run(7);
    assert_int_equal(w.places[0].rc, 0);
    assert_int_equal(w.places[0].last.state, ORR_CLOCK_HOLDOVER);
    assert_int_equal(w.places[1].last.state, ORR_CLOCK_SYNC);
    run(4);
    assert_int_equal(w.places[0].rc, ORR_EUNAVAILABLE);
    assert_int_equal(w.places[0].last.state, ORR_CLOCK_UNSYNC);
    assert_int_equal(w.places[1].rc, 0);
    assert_string_equal(why(0), "the clocks of 1 of 3 members are known, 2 are needed");
    assert_true(said("n1: the cluster's time is not known any more: the clocks of 1 of 3"));
    orr_sim_heal_links(w.sim);
    run(3);
    assert_int_equal(w.places[0].rc, 0);
    end();
}

static void a_narrow_limit(struct orr_node_config *cfg) { cfg->clock.bound_max = 10 * ORR_MS; }

static void a_wider_answer_than_the_limit_is_none(void **state) {
    (void)state;
    w.config = a_narrow_limit;
    begin(3, 5, NULL, 60 * ORR_SECOND);
    const struct orr_sim_link slow = { .delay = 30 * ORR_MS };
    assert_int_equal(orr_sim_link(w.sim, "n1", NULL, &slow), 0);
    run(3);
    assert_int_equal(w.places[0].rc, ORR_EUNAVAILABLE);
    assert_true(half(&w.places[0].last) > 0.0101 && half(&w.places[0].last) < 0.02);
    assert_non_null(strstr(why(0), "s only, and clock.bound_max is 0.010000 s"));
    assert_true(orr_node_time_wait(w.places[0].node, 1) == ORR_NEVER);
    assert_int_equal(w.places[1].rc, 0);            /* it has the third one near */
    end();
}

/* -- What moves it ------------------------------------------------------------------------------------------------- */
static void a_clock_that_is_set_counts_again_when_it_has_kept_still(void **state) {
    (void)state;
    begin(3, 6, NULL, 60 * ORR_SECOND);
    run(2);
    set_wall("n2", 30);
    run(2);
    assert_true(said("n2: this machine's clock was set by +30.000 s"));
    assert_int_equal(member(0, 1).role, ORR_TIME_UNSTEADY);
    assert_int_equal(member(1, 1).role, ORR_TIME_UNSTEADY);
    assert_true(llabs((long long)member(1, 1).off) < ORR_SECOND);      /* its own clock is still the old one */
    for (size_t i = 0; i < 3; i++) assert_int_equal(w.places[i].rc, 0);
    run(11);
    assert_int_equal(member(0, 1).role, ORR_TIME_OFF);
    assert_true(member(1, 1).off > 29 * ORR_SECOND);
    for (size_t i = 0; i < 3; i++) assert_int_equal(w.places[i].rc, 0);
    end();
}

static void a_clock_that_stands_never_counts_again(void **state) {
    (void)state;
    begin(3, 7, NULL, 60 * ORR_SECOND);
    run(2);
    orr_sim_clock_freeze(w.sim, "n3", true);
    run(30);
    assert_int_equal(member(0, 2).role, ORR_TIME_UNSTEADY);
    assert_true(said("n1: n3's clock does not keep still: it does not count"));
    for (size_t i = 0; i < 3; i++) assert_int_equal(w.places[i].rc, 0);
    end();
}

static void two_of_three_that_are_set_move_it_and_an_epoch_begins(void **state) {
    (void)state;
    begin(3, 8, NULL, 60 * ORR_SECOND);
    run(2);
    set_wall("n1", -20);
    set_wall("n2", -20);
    run(1);
    assert_int_equal(w.places[2].rc, ORR_EUNAVAILABLE);
    run(12);
    orr_time wall;
    int32_t drift;
    orr_sim_clock_now(w.sim, "n1", &wall, &drift);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(w.places[i].rc, 0);
        assert_true(llabs((long long)(w.places[i].last.likely - wall)) < ORR_SECOND);
        assert_true(w.places[i].last.epoch >= 1 && w.places[i].steps >= 1);
    }
    assert_true(said("the cluster's time may have stepped back by up to"));
    end();
}

static void a_wide_limit(struct orr_node_config *cfg) { cfg->clock.bound_max = ORR_SECOND; }

/* n1 rests on n2's clock for as long as it may, and then n2 takes another one: the median steps back to below what n1
 * has told a moment ago, and well within what it knows. */
static void what_was_told_by_a_clock_that_is_lost_binds_no_longer(void **state) {
    (void)state;
    w.config = a_wide_limit;
    begin(3, 12, NULL, 60 * ORR_SECOND);
    set_wall("n2", 0.8);
    set_wall("n3", 1.6);
    run(2);
    orr_sim_cut(w.sim, "n1", "n2");
    orr_sim_cut(w.sim, "n2", "n1");
    set_wall("n2", -1.5);
    run(9);
    assert_int_equal(w.places[0].last.epoch, 0);
    run(5);
    assert_int_equal(w.places[0].rc, 0);
    assert_int_equal(w.places[0].last.epoch, 1);
    end();
}

static void a_node_started_again_knows_it_at_once_but_does_not_count(void **state) {
    (void)state;
    begin(3, 9, NULL, 60 * ORR_SECOND);
    run(2);
    assert_int_equal(orr_sim_restart(w.sim, "n1", ORR_SIM_KEPT), 0);
    set_wall("n1", 5);
    run(2);
    assert_int_equal(w.places[0].rc, 0);
    assert_int_equal(member(0, 0).role, ORR_TIME_UNSTEADY);
    assert_int_equal(member(1, 0).role, ORR_TIME_UNSTEADY);
    run(12);
    assert_int_equal(member(1, 0).role, ORR_TIME_OFF);
    end();
}

static void waiting_is_over_when_it_has_surely_passed(void **state) {
    (void)state;
    begin(3, 10, NULL, 60 * ORR_SECOND);
    run(2);
    struct orr_node *n = w.places[0].node;
    struct orr_node_time now;
    assert_int_equal(orr_node_time(n, &now), 0);
    orr_time at = now.latest + 50 * ORR_MS, wait = orr_node_time_wait(n, at);
    assert_true(orr_node_time_wait(n, now.earliest - 1) == 0);
    assert_true(wait > 50 * ORR_MS && wait < 70 * ORR_MS);
    w.asks = false;
    orr_sim_run(w.sim, orr_sim_now(w.sim) + wait);
    assert_true(orr_node_time_wait(n, at) == 0);
    end();
}

/* -- Who doesn't want it ------------------------------------------------------------------------------------------- */
static void off(struct orr_node_config *cfg) { cfg->clock.off = true; }
static void at_once(struct orr_node_config *cfg) { cfg->clock.at_once = true; }

static void nobody_asks_where_nobody_wants_to_know(void **state) {
    uint64_t events[3];
    void (*const configs[])(struct orr_node_config *) = { NULL, off, at_once };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        w.config = configs[i];
        begin(3, 11, NULL, 60 * ORR_SECOND);
        w.asks = false;
        run(5);
        events[i] = orr_sim_events(w.sim);
        assert_true(orr_node_time_asks(w.places[0].node) == (i == 2));
        if (i == 1) assert_string_equal(why(0), "the cluster file says clock = false");
        end();
    }
    assert_true(events[0] == events[1] && events[2] > events[0]);
}

/* The next server says something else: it is believed from its first answer on, as a new one is, and what the last one
 * said is no part of it. */
static void what_a_server_said_is_forgotten_with_its_address(void **state) {
    struct orr_time_member m;
    (void)state;
    w.server = "s1:123";
    w.moved = 1;
    begin(1, 3, NULL, 300 * ORR_SECOND);
    run(20);
    m = member(0, 1);
    assert_true(m.server && m.role == ORR_TIME_KNOWN && m.latest - m.earliest < 100 * ORR_MS);
    orr_time before = m.likely;
    assert_int_equal(orr_lab_lie(w.lab, "s1:123", 3 * ORR_SECOND), 0);
    w.moved = 2;
    for (int i = 0; i < 1000 && m.likely - before < 200 * ORR_MS; i++) {
        before = m.likely;
        run(0.1);
        m = member(0, 1);
        assert_true(m.latest - m.earliest < 200 * ORR_MS);      /* no doubt between the two */
    }
    assert_true(m.likely - before > 3 * ORR_SECOND && m.age < 200 * ORR_MS);
    assert_true(m.latest - m.earliest < 100 * ORR_MS && m.role == ORR_TIME_KNOWN);
    end();
}

static void disciplined(struct orr_node_config *cfg) { cfg->clock.discipline = true; }
static double off_by(void) {
    orr_time wall;
    int32_t drift;
    assert_int_equal(orr_sim_clock_now(w.sim, "n1", &wall, &drift), 0);
    return (double)(wall - 1700000000 * ORR_SECOND - orr_sim_now(w.sim)) / 1e9;
}

/* (Over hours: spec/lua/node_time_spec.lua.) */
static void a_machines_clock_is_set_by_its_node_and_that_is_no_setting(void **state) {
    (void)state;
    w.server = "s1:123";
    w.config = disciplined;
    begin(1, 3, NULL, 3000 * ORR_SECOND);
    set_wall("n1", 30);
    assert_true(off_by() > 29);
    run(40);
    assert_true(off_by() < 0.05 && off_by() > -0.05);
    assert_true(said("n1: this machine's clock is set by -30.0") || said("n1: this machine's clock is set by -29.9"));
    run(1000);
    assert_true(off_by() < 1e-3 && off_by() > -1e-3);
    assert_false(said("was set by"));
    set_wall("n1", 2);
    run(100);
    assert_true(said("n1: this machine's clock was set by +2.0"));
    assert_true(said("n1: this machine's clock is +1.9") || said("n1: this machine's clock is +2.0"));
    assert_true(off_by() > 1.9);
    end();
}

static void who_may_not_steer_a_clock_is_told_once(void **state) {
    (void)state;
    w.server = "s1:123";
    w.config = disciplined;
    w.forbidden = true;
    w.steered = 0;
    begin(1, 3, NULL, 3000 * ORR_SECOND);
    set_wall("n1", 30);
    run(500);
    assert_int_equal(w.steered, 1);
    assert_true(said("n1: this machine's clock can't be steered (clock.discipline): Operation not permitted; it takes "
                     "the right to set it, CAP_SYS_TIME"));
    assert_true(off_by() > 29);
    assert_int_equal(w.places[0].rc, 0);            /* the time is known all the same */
    end();
}

/* -- What is learned of the oscillator ----------------------------------------------------------------------------- */
#define LEARNS (2 * 3600 + 300)
enum { HEAT_AT = 8 + 16, COEFFICIENT_AT = HEAT_AT + 1 + 8 };        /* in orr_clock_save's bytes */
static const char kept_at[] = "value-orrery%2Eclock";

/* How the frequency follows a kelvin, as the node has learned it; 0: it has not yet. */
static double coefficient(size_t place) {
    unsigned char bytes[8192];
    double out = 0;
    assert_true(orr_clock_save(w.places[place].node->time->clock, bytes, sizeof bytes) <= sizeof bytes);
    if (bytes[HEAT_AT]) memcpy(&out, bytes + COEFFICIENT_AT, sizeof out);
    return out;
}
static bool has_kept(const char *node) {
    uint64_t size;
    return orr_sim_disk_durable_size(w.sim, node, kept_at, &size) == 0;
}
/* n1 is heated: a kelvin makes it faster by 200 ppb, and so all others slower. */
static void begin_heated(uint64_t seed) {
    const struct orr_sim_oscillator warm = { .swing_mk = 20000, .ppb_per_kelvin = 200 };
    w.config = at_once;
    begin(3, seed, NULL, ORR_NEVER);
    w.config = at_once;
    w.asks = false;
    assert_int_equal(orr_sim_oscillator(w.sim, "n1", &warm), 0);
}
static void is_learned(double k) { assert_true(k < -190e-9 && k > -210e-9); }

static void how_the_oscillator_follows_the_temperature_is_learned_and_kept(void **state) {
    (void)state;
    begin_heated(5);
    run(500);
    assert_false(has_kept("n1"));
    run(LEARNS);
    is_learned(coefficient(0));
    assert_true(has_kept("n1") && !has_kept("n2"));         /* which has no sensor */
    assert_int_equal(orr_sim_restart(w.sim, "n1", ORR_SIM_KEPT), 0);
    run(2);
    is_learned(coefficient(0));
    assert_int_equal(orr_sim_restart(w.sim, "n1", ORR_SIM_EMPTY), 0);
    run(100);
    assert_true(coefficient(0) >= 0 && coefficient(0) <= 0);
    end();
}

static void who_leaves_keeps_what_he_has_learned_so_far(void **state) {
    (void)state;
    begin_heated(6);
    run(300);
    orr_node_stop(w.places[0].node, "test");
    run(5);
    assert_int_equal(orr_sim_state(w.sim, "n1"), ORR_SIM_DOWN);
    assert_true(has_kept("n1"));
    end();
}

/* How long the queues on each way are, and which estimate to believe there. */
static void paced(struct orr_node_config *cfg) {
    cfg->clock.mode = ORR_CLOCK_PACEMAKER;
    cfg->clock.at_once = true;
}
static void what_mode_pacemaker_learned_is_kept(void **state) {
    (void)state;
    w.config = paced;
    begin(3, 9, NULL, 2000 * ORR_SECOND);
    run(1);
    size_t little = orr_clock_save(w.places[0].node->time->clock, NULL, 0);
    assert_false(has_kept("n1"));
    run(700);
    assert_true(has_kept("n1"));
    size_t much = orr_clock_save(w.places[0].node->time->clock, NULL, 0);
    assert_int_equal(orr_sim_restart(w.sim, "n1", ORR_SIM_KEPT), 0);
    run(1);
    assert_true(much > little);
    assert_int_equal(orr_clock_save(w.places[0].node->time->clock, NULL, 0), much);
    end();
}

static void a_damaged_value_is_learned_anew(void **state) {
    (void)state;
    begin_heated(7);
    run(LEARNS);
    is_learned(coefficient(0));
    assert_int_equal(orr_sim_disk_rot(w.sim, "n1", kept_at, 100), 0);
    assert_int_equal(orr_sim_restart(w.sim, "n1", ORR_SIM_KEPT), 0);
    run(2);
    assert_true(coefficient(0) >= 0 && coefficient(0) <= 0);
    assert_true(said("n1: the saved value orrery.clock (value-orrery%2Eclock) is lost"));
    run(700);
    assert_int_equal(orr_sim_restart(w.sim, "n1", ORR_SIM_KEPT), 0);
    run(2);
    assert_null(strstr(strstr(w.log, "is lost") + 7, "is lost"));
    end();
}

static void of_other_peers_it_is_not_taken(void **state) {
    (void)state;
    begin_heated(8);
    run(LEARNS);
    is_learned(coefficient(0));
    w.file[2].id = "other";
    snprintf(w.places[2].id, sizeof w.places[2].id, "other");
    assert_int_equal(orr_sim_restart(w.sim, "n1", ORR_SIM_KEPT), 0);
    run(2);
    assert_true(coefficient(0) >= 0 && coefficient(0) <= 0);
    end();
}

/* -- Under faults -------------------------------------------------------------------------------------------------- */
/* A node reads at each of its turns, of which an idle one has few besides the clock's own. */
static void whatever_strikes_the_answer_holds(void **state) {
    const char *given = getenv("ORR_SEEDS");
    uint64_t seeds = given ? strtoull(given, NULL, 10) : 40, told = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct orr_sim_faults faults;
        orr_sim_faults_swarm(&faults, seed);
        orr_sim_faults_damage(&faults, seed);
        faults.rate[ORR_SIM_CLOCK_STEP] *= 4;
        faults.rate[ORR_SIM_CLOCK_FREEZE] *= 4;
        faults.rate[ORR_SIM_CLOCK_DRIFT] *= 4;
        begin(1 + seed % 7, seed, &faults, 60 * ORR_SECOND);
        assert_int_equal(orr_lab_chaos(w.lab), 0);
        orr_sim_run(w.sim, 62 * ORR_SECOND);
        if (w.violation[0]) fail_msg("seed %" PRIu64 ": %s", seed, w.violation);
        told += end();
    }
    assert_true(told > 200 * seeds);
}

/* Each at rates of its own, up to what drift_max allows, in rooms that are warmer and colder. */
static void oscillators_of_all_sorts(uint64_t seed) {
    for (size_t i = 0; i < w.n; i++) {
        const struct orr_sim_oscillator as = {
            .wander_ppb = (int32_t)(100000 << (seed + i) % 9), .most_ppb = 500000,
            .swing_mk = (int32_t)((seed + i) % 3 * 15000), .ppb_per_kelvin = seed % 2 ? 9000 : -300,
            .period = (orr_time)(10 + seed % 50) * ORR_SECOND,
        };
        assert_int_equal(orr_sim_oscillator(w.sim, w.places[i].id, &as), 0);
    }
}

static void whatever_oscillators_do_the_answer_holds(void **state) {
    const char *given = getenv("ORR_SEEDS");
    uint64_t seeds = given ? strtoull(given, NULL, 10) : 20, told = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct orr_sim_faults faults;
        orr_sim_faults_swarm(&faults, seed);
        faults.rate[ORR_SIM_CLOCK_WANDER] = faults.rate[ORR_SIM_CLOCK_DRIFT] = 0;    /* they know 300 ppm only */
        begin(1 + seed % 7, seed, &faults, 60 * ORR_SECOND);
        oscillators_of_all_sorts(seed);
        assert_int_equal(orr_lab_chaos(w.lab), 0);
        orr_sim_run(w.sim, 62 * ORR_SECOND);
        if (w.violation[0]) fail_msg("seed %" PRIu64 ": %s", seed, w.violation);
        told += end();
    }
    assert_true(told > 200 * seeds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_after_the_start_each_node_knows_it_within_a_few_ms),
        cmocka_unit_test(one_node_alone_knows_it_exactly),
        cmocka_unit_test(whose_machine_is_wrong_is_named_and_moves_nothing),
        cmocka_unit_test(of_twenty_nodes_the_first_fifteen_keep_it),
        cmocka_unit_test(who_is_cut_off_knows_it_for_ten_seconds),
        cmocka_unit_test(a_wider_answer_than_the_limit_is_none),
        cmocka_unit_test(a_clock_that_is_set_counts_again_when_it_has_kept_still),
        cmocka_unit_test(a_clock_that_stands_never_counts_again),
        cmocka_unit_test(two_of_three_that_are_set_move_it_and_an_epoch_begins),
        cmocka_unit_test(what_was_told_by_a_clock_that_is_lost_binds_no_longer),
        cmocka_unit_test(a_node_started_again_knows_it_at_once_but_does_not_count),
        cmocka_unit_test(waiting_is_over_when_it_has_surely_passed),
        cmocka_unit_test(nobody_asks_where_nobody_wants_to_know),
        cmocka_unit_test(what_a_server_said_is_forgotten_with_its_address),
        cmocka_unit_test(a_machines_clock_is_set_by_its_node_and_that_is_no_setting),
        cmocka_unit_test(who_may_not_steer_a_clock_is_told_once),
        cmocka_unit_test(how_the_oscillator_follows_the_temperature_is_learned_and_kept),
        cmocka_unit_test(who_leaves_keeps_what_he_has_learned_so_far),
        cmocka_unit_test(what_mode_pacemaker_learned_is_kept),
        cmocka_unit_test(a_damaged_value_is_learned_anew),
        cmocka_unit_test(of_other_peers_it_is_not_taken),
        cmocka_unit_test(whatever_strikes_the_answer_holds),
        cmocka_unit_test(whatever_oscillators_do_the_answer_holds),
    };
    return cmocka_run_group_tests_name("node.time", tests, NULL, NULL);
}
