/* members_test.c - the oracle of membership, both ways: told by nodes that do nothing what they would do. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lab/lab_internal.h"

static const struct orr_lab_node places[] = { { .id = "a" }, { .id = "b" }, { .id = "c" } };
static struct orr_lab *lab;

static void wake_nobody(void *ud) { (void)ud; }
static int start_nothing(void *ud, struct orr_world *w, const char *name) {
    (void)ud;
    (void)name;
    w->wake = wake_nobody;
    return 0;
}

/* -- What they say ------------------------------------------------------------------------------------------------- */
static void says(size_t who, struct orr_trace_member t) { lab_members_trace(lab, who, &t); }
static void takes_part(size_t who, uint64_t incarnation) {
    says(who, (struct orr_trace_member){ .about = orr_id_of(places[who].id), .incarnation = incarnation,
                                         .bound = 30 * ORR_SECOND });
}
static void hears(size_t who, size_t of, enum orr_member_state state, uint64_t incarnation) {
    says(who, (struct orr_trace_member){ .about = orr_id_of(places[of].id), .state = state,
                                         .incarnation = incarnation });
}
static bool settled(void) {
    const char *who, *owes;
    return lab_members_settled(lab, &who, &owes);
}

static int make(bool quiet) {
    struct orr_lab_config cfg;
    orr_lab_config_init(&cfg);
    cfg.nodes = places;
    cfg.n_nodes = 3;
    cfg.boot = (struct orr_sim_boot){ .start = start_nothing };
    cfg.clients = 0;
    cfg.quiet = quiet;
    if (orr_lab_new(&lab, &cfg) < 0) return -1;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            if (i != j) says(i, (struct orr_trace_member){ .about = orr_id_of(places[j].id), .unheard = true,
                                                           .linked = true });
        }
    }
    for (size_t i = 0; i < 3; i++) takes_part(i, 1);
    return 0;
}
static int faulty(void **state) {
    (void)state;
    return make(false);
}
static int quiet(void **state) {
    (void)state;
    return make(true);
}
static int done(void **state) {
    (void)state;
    orr_lab_free(lab);
    return 0;
}
static void all_join(void) {
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) if (i != j) hears(i, j, ORR_MEMBER_ALIVE, 1);
    }
}
static void assert_property(const char *property) {
    struct orr_lab_result r;
    assert_int_equal(orr_lab_judge(lab, &r), 0);
    assert_string_equal(r.property, property);
}

/* -- What is wrong ------------------------------------------------------------------------------------------------- */
static void an_incarnation_that_a_node_never_had_is_made_up(void **state) {
    (void)state;
    hears(0, 1, ORR_MEMBER_ALIVE, 2);
    assert_property("membership");
}
static void one_that_it_had_in_an_earlier_life_is_not(void **state) {
    (void)state;
    takes_part(1, 7);
    lab_members_life(lab, 1, ORR_SIM_DOWN);
    lab_members_life(lab, 1, ORR_SIM_UP);
    takes_part(1, 1);
    hears(0, 1, ORR_MEMBER_ALIVE, 7);
    assert_property("");
}
static void nobody_goes_back_to_an_older_incarnation(void **state) {
    (void)state;
    takes_part(1, 2);
    hears(0, 1, ORR_MEMBER_ALIVE, 2);
    hears(0, 1, ORR_MEMBER_FAILED, 1);
    assert_property("membership");
}
static void who_is_suspected_lives_by_a_higher_incarnation_only(void **state) {
    (void)state;
    takes_part(1, 2);
    hears(0, 1, ORR_MEMBER_ALIVE, 1);
    hears(0, 1, ORR_MEMBER_SUSPECT, 1);
    hears(0, 1, ORR_MEMBER_ALIVE, 2);
    hears(0, 1, ORR_MEMBER_SUSPECT, 2);
    assert_property("");
    hears(0, 1, ORR_MEMBER_ALIVE, 2);
    assert_property("membership");
}
static void an_observer_that_begins_anew_may_hear_older_news(void **state) {
    (void)state;
    takes_part(1, 2);
    hears(0, 1, ORR_MEMBER_ALIVE, 2);
    lab_members_life(lab, 0, ORR_SIM_DOWN);
    lab_members_life(lab, 0, ORR_SIM_UP);
    takes_part(0, 1);
    hears(0, 1, ORR_MEMBER_ALIVE, 1);
    assert_property("");
}
static void one_that_stood_still_does_not_begin_anew(void **state) {
    (void)state;
    takes_part(1, 2);
    hears(0, 1, ORR_MEMBER_ALIVE, 2);
    lab_members_life(lab, 0, ORR_SIM_PAUSED);
    lab_members_life(lab, 0, ORR_SIM_UP);
    hears(0, 1, ORR_MEMBER_ALIVE, 1);
    assert_property("membership");
}
static void without_faults_nobody_is_suspected(void **state) {
    (void)state;
    all_join();
    assert_property("");
    hears(0, 1, ORR_MEMBER_SUSPECT, 1);
    assert_property("membership");
}

/* -- What is settled ----------------------------------------------------------------------------------------------- */
static void all_must_know_all(void **state) {
    const char *who, *owes;
    (void)state;
    assert_false(settled());
    all_join();
    assert_true(settled());
    hears(2, 1, ORR_MEMBER_SUSPECT, 1);
    assert_false(lab_members_settled(lab, &who, &owes));
    assert_string_equal(who, "c");
    assert_string_equal(owes, "doesn't know that b is alive");
}
static void who_is_down_must_be_known_to_be(void **state) {
    const char *who, *owes;
    (void)state;
    all_join();
    lab_members_life(lab, 1, ORR_SIM_DOWN);
    assert_false(lab_members_settled(lab, &who, &owes));
    assert_string_equal(owes, "doesn't know that b is down");
    hears(0, 1, ORR_MEMBER_FAILED, 1);
    hears(2, 1, ORR_MEMBER_LEFT, 1);
    assert_true(settled());
}
static void an_earlier_life_is_not_the_present_one(void **state) {
    (void)state;
    all_join();
    lab_members_life(lab, 1, ORR_SIM_DOWN);
    lab_members_life(lab, 1, ORR_SIM_UP);
    const char *who, *owes;
    assert_false(lab_members_settled(lab, &who, &owes));
    assert_string_equal(who, "b");
    assert_string_equal(owes, "takes no part any more");
    takes_part(1, 5);
    hears(1, 0, ORR_MEMBER_ALIVE, 1);
    hears(1, 2, ORR_MEMBER_ALIVE, 1);
    assert_false(settled());
    hears(0, 1, ORR_MEMBER_ALIVE, 5);
    hears(2, 1, ORR_MEMBER_ALIVE, 5);
    assert_true(settled());             /* b was told of a and c before it was asked of them: its views began anew, */
    lab->excused[1] = true;             /* and who is excused owes nothing and is owed nothing */
    hears(0, 1, ORR_MEMBER_FAILED, 5);
    assert_true(settled());
}
static void the_bound_is_what_the_nodes_tell(void **state) {
    (void)state;
    assert_true(orr_lab_bound(lab) == 30 * ORR_SECOND);
    says(0, (struct orr_trace_member){ .about = orr_id_of("a"), .incarnation = 1, .bound = ORR_SECOND });
    assert_true(orr_lab_bound(lab) == 30 * ORR_SECOND);
}

int main(void) {
#define FAULTY(test) cmocka_unit_test_setup_teardown(test, faulty, done)
    const struct CMUnitTest tests[] = {
        FAULTY(an_incarnation_that_a_node_never_had_is_made_up), FAULTY(one_that_it_had_in_an_earlier_life_is_not),
        FAULTY(nobody_goes_back_to_an_older_incarnation),
        FAULTY(who_is_suspected_lives_by_a_higher_incarnation_only),
        FAULTY(an_observer_that_begins_anew_may_hear_older_news), FAULTY(one_that_stood_still_does_not_begin_anew),
        cmocka_unit_test_setup_teardown(without_faults_nobody_is_suspected, quiet, done),
        FAULTY(all_must_know_all), FAULTY(who_is_down_must_be_known_to_be),
        FAULTY(an_earlier_life_is_not_the_present_one), FAULTY(the_bound_is_what_the_nodes_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
