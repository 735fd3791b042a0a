/* leader_test.c - the oracle of leader completeness, both ways: a leader that lacks what was committed before its term
 * is blamed, one that has won a term which is over by then is not (paper 5.4.3 speaks of later terms).
 *
 * First the oracle alone, told by nodes that do nothing what they would do. Then real nodes: one asks for votes, and
 * stands still while its answer comes; the others elect another and go on; when it moves again it first finds that it
 * has won. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_cluster.h"
#include "lab/lab_internal.h"

/* -- The oracle alone ---------------------------------------------------------------------------------------------- */
enum { GROUP = 7 };

static void wake_nobody(void *ud) { (void)ud; }
static int start_nothing(void *ud, struct orr_world *w, const char *name) {
    (void)ud;
    (void)name;
    w->wake = wake_nobody;
    return 0;
}

static struct orr_lab *lab_of_nothing(void) {
    struct orr_lab *lab;
    struct orr_lab_config cfg;
    orr_lab_config_init(&cfg);
    cfg.nodes = kv_places;
    cfg.n_nodes = 3;
    cfg.boot = (struct orr_sim_boot){ .start = start_nothing };
    cfg.clients = 0;
    assert_int_equal(orr_lab_new(&lab, &cfg), 0);
    return lab;
}

static void leads(struct orr_lab *lab, const char *name, orr_term term, orr_index last) {
    struct orr_order_status s = { .id = orr_id_of(name), .leader = orr_id_of(name), .role = ORR_LEADER, .term = term,
                                  .last = last };
    lab_oracle_trace(lab, name, GROUP, ORR_TRACE_STATUS, &s);
}
/* The first entry of a log: any disk may be without it. */
static void commits(struct orr_lab *lab, const char *name, orr_term term) {
    struct orr_trace_commit c = { .index = 1, .term = term, .time = 1, .hash = 1 };
    lab_oracle_trace(lab, name, GROUP, ORR_TRACE_COMMIT, &c);
}

/* Judges, and ends it. */
static void assert_property(struct orr_lab *lab, const char *property) {
    struct orr_lab_result r;
    assert_int_equal(orr_lab_judge(lab, &r), 0);
    assert_string_equal(r.property, property);
    orr_lab_free(lab);
}

static void a_later_leader_without_a_committed_entry_is_blamed(void **state) {
    (void)state;
    struct orr_lab *lab = lab_of_nothing();
    leads(lab, "a", 2, 1);
    commits(lab, "a", 2);
    leads(lab, "b", 3, 0);
    assert_property(lab, "leader_completeness");
}

static void who_has_it_is_not(void **state) {
    (void)state;
    struct orr_lab *lab = lab_of_nothing();
    leads(lab, "a", 2, 1);
    commits(lab, "a", 2);
    leads(lab, "b", 3, 1);
    assert_property(lab, "");
}

/* Seed 479 of examples/cache: paused when all was committed, it was held to owe it for ever, as nothing came after. */
static void who_stood_still_has_what_he_had(void **state) {
    const char *who, *owes;
    struct orr_trace_apply applied = { .index = 1, .term = 2, .name = "group" };
    (void)state;
    struct orr_lab *lab = lab_of_nothing();
    leads(lab, "a", 2, 1);
    commits(lab, "a", 2);
    lab_oracle_trace(lab, "a", GROUP, ORR_TRACE_APPLY, &applied);
    assert_true(orr_lab_settled(lab, &who, &owes));
    lab_oracle_life(lab, "a", ORR_SIM_PAUSED, 0, "pause");
    lab_oracle_life(lab, "a", ORR_SIM_UP, 0, "resume");
    assert_true(orr_lab_settled(lab, &who, &owes));
    lab_oracle_life(lab, "a", ORR_SIM_DOWN, 0, "kill");
    lab_oracle_life(lab, "a", ORR_SIM_UP, 0, "start");
    assert_false(orr_lab_settled(lab, &who, &owes));
    assert_string_equal(who, "a");
    assert_property(lab, "");
}

/* Seed 7363 of examples/cache, for 8 s: its snapshot had all that was committed, and nothing came after. */
static void who_begins_with_a_snapshot_has_what_is_in_it(void **state) {
    const char *who, *owes;
    struct orr_trace_apply applied = { .index = 1, .term = 2, .name = "group" };
    struct orr_order_status found = { .id = orr_id_of("a"), .term = 2, .role = ORR_FOLLOWER };
    (void)state;
    struct orr_lab *lab = lab_of_nothing();
    leads(lab, "a", 2, 1);
    commits(lab, "a", 2);
    lab_oracle_life(lab, "a", ORR_SIM_DOWN, 0, "kill");
    lab_oracle_life(lab, "a", ORR_SIM_UP, 0, "start");
    assert_false(orr_lab_settled(lab, &who, &owes));
    lab_oracle_trace(lab, "a", GROUP, ORR_TRACE_RESTORE, &applied);
    lab_oracle_trace(lab, "a", GROUP, ORR_TRACE_RECOVERED, &found);
    assert_true(orr_lab_settled(lab, &who, &owes));
    assert_property(lab, "");
}

static void a_term_that_was_over_owes_nothing(void **state) {
    (void)state;
    struct orr_lab *lab = lab_of_nothing();
    leads(lab, "a", 1, 0);
    leads(lab, "b", 3, 1);
    commits(lab, "b", 3);
    leads(lab, "c", 2, 0);
    assert_property(lab, "");
}

/* The entry is of term 2, but it was term 4's leader that committed it: the leader of 3 need not have it. */
static void what_counts_is_when_it_was_committed(void **state) {
    (void)state;
    struct orr_lab *lab = lab_of_nothing();
    leads(lab, "a", 2, 1);
    leads(lab, "b", 4, 1);
    commits(lab, "b", 2);
    leads(lab, "c", 3, 0);
    assert_property(lab, "");
    lab = lab_of_nothing();
    leads(lab, "a", 2, 1);
    leads(lab, "b", 4, 1);
    commits(lab, "b", 2);
    leads(lab, "c", 5, 0);
    assert_property(lab, "leader_completeness");
}

/* An old leader that speaks up late makes no entry older than it is. */
static void who_leads_an_old_term_later_excuses_nobody(void **state) {
    (void)state;
    struct orr_lab *lab = lab_of_nothing();
    leads(lab, "a", 3, 1);
    leads(lab, "b", 2, 0);
    commits(lab, "a", 3);
    leads(lab, "c", 4, 0);
    assert_property(lab, "leader_completeness");
}

/* One of the disks that had it is an old one now, and the other two are no majority that remembers: nobody can know. */
static void what_a_damaged_disk_forgot_is_owed_by_nobody(void **state) {
    (void)state;
    for (int damaged = 0; damaged < 2; damaged++) {
        struct orr_lab *lab = lab_of_nothing();
        leads(lab, "a", 2, 1);
        leads(lab, "b", 1, 0);
        commits(lab, "a", 2);
        if (damaged) assert_int_equal(orr_sim_restart(orr_lab_sim(lab), "a", ORR_SIM_OLD), 0);
        leads(lab, "b", 3, 0);
        assert_property(lab, damaged ? "" : "leader_completeness");
    }
}

/* -- Real nodes ---------------------------------------------------------------------------------------------------- */
#define BEGINS (2 * ORR_SECOND)
#define LOOK (20 * ORR_US)
#define ARRIVES (20 * ORR_MS)       /* a vote is stored, and across the network */

struct scene {
    struct kv_cluster cluster;
    struct orr_sim *sim;
    enum { CALM, LEADERLESS, ASKED, CUT_OFF, WENT_ON, WON, KNOWS } stage;
    size_t led, asks;               /* places: who led at first; who wins too late */
    orr_term term;                  /* that it wins */
    orr_index lacks;                /* it ends before this */
    orr_time asked;
};

static struct orr_order_status status_of(const struct scene *s, size_t place) {
    struct orr_order_status status = { 0 };
    assert_true(orr_group_status(s->cluster.groups[place], &status));
    return status;
}
static const char *name_at(size_t place) { return kv_places[place].id; }

/* The leader falls silent. */
static bool leader_is_gone(struct scene *s) {
    while (s->led < 3 && status_of(s, s->led).role != ORR_LEADER) s->led++;
    assert_true(s->led < 3);
    assert_int_equal(orr_sim_pause(s->sim, name_at(s->led)), 0);
    return true;
}

/* One has the other's vote, which is still on its way: now it stands still, and the old leader is back. */
static bool vote_is_on_its_way(struct scene *s) {
    for (size_t i = 0; i < 3; i++) {
        if (i == s->led) continue;
        struct orr_order_status asks = status_of(s, i), votes = status_of(s, 3 - s->led - i);
        if (asks.role != ORR_CANDIDATE || votes.term != asks.term || votes.vote != asks.id) continue;
        s->asks = i;
        s->term = asks.term;
        s->lacks = asks.last + 1;
        s->asked = orr_sim_now(s->sim);
        assert_int_equal(orr_sim_pause(s->sim, name_at(i)), 0);
        assert_int_equal(orr_sim_resume(s->sim, name_at(s->led)), 0);
        return true;
    }
    return false;
}

/* Of what comes it hears the vote alone. */
static bool vote_is_there(struct scene *s) {
    if (orr_sim_now(s->sim) < s->asked + ARRIVES) return false;
    orr_sim_partition(s->sim, 1u << s->asks);
    return true;
}

/* Another leads a later term, and has committed what the one that stands still lacks. */
static bool others_went_on(struct scene *s) {
    for (size_t i = 0; i < 3; i++) {
        struct orr_order_status other = status_of(s, i);
        if (i == s->asks || other.role != ORR_LEADER || other.term <= s->term || other.commit <= s->lacks) continue;
        assert_int_equal(orr_sim_resume(s->sim, name_at(s->asks)), 0);
        return true;
    }
    return false;
}

static bool has_won(struct scene *s) {
    struct orr_order_status status = status_of(s, s->asks);
    if (status.role != ORR_LEADER || status.term != s->term) return false;
    orr_sim_heal_links(s->sim);
    return true;
}

static bool knows_better(struct scene *s) { return status_of(s, s->asks).term > s->term; }

static void look(void *ud) {
    static bool (*const happens[])(struct scene *) = { leader_is_gone, vote_is_on_its_way, vote_is_there,
                                                       others_went_on, has_won, knows_better };
    struct scene *s = ud;
    if (happens[s->stage](s)) s->stage++;
    if (s->stage < KNOWS) assert_int_equal(orr_sim_at(s->sim, orr_sim_now(s->sim) + LOOK, look, s), 0);
}

static void plan(void *ud, struct orr_sim *sim) {
    struct scene *s = ud;
    s->sim = sim;
    assert_int_equal(orr_sim_at(sim, BEGINS, look, s), 0);
}

static void who_wins_a_term_that_is_over_is_not_blamed(void **state) {
    (void)state;
    struct scene s = { .cluster = KV_CLUSTER(3) };
    struct orr_lab_config cfg;
    struct orr_lab_result r;
    struct orr_sim_faults none;
    orr_lab_config_init(&cfg);
    orr_sim_faults_init(&none);
    none.rate[ORR_SIM_TURN_CUT] = none.rate[ORR_SIM_SHORT_READ] = none.rate[ORR_SIM_RARE] = 0;
    cfg.nodes = kv_places;
    cfg.n_nodes = 3;
    cfg.boot = (struct orr_sim_boot){ .start = kv_start, .ud = &s.cluster };
    cfg.faults = &none;
    cfg.sim.ud = &s;
    cfg.plan = plan;
    cfg.run = 10 * ORR_SECOND;
    assert_int_equal(orr_lab_run(&cfg, &r), 0);
    if (!r.ok) fail_msg("%s: %s", r.property, r.violation);
    assert_int_equal(s.stage, KNOWS);
    assert_int_equal(r.leaders, 3);     /* the first, who went on, and who had won */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_leader_without_a_committed_entry_is_blamed),
        cmocka_unit_test(who_has_it_is_not),
        cmocka_unit_test(who_stood_still_has_what_he_had),
        cmocka_unit_test(who_begins_with_a_snapshot_has_what_is_in_it),
        cmocka_unit_test(a_term_that_was_over_owes_nothing),
        cmocka_unit_test(what_counts_is_when_it_was_committed),
        cmocka_unit_test(who_leads_an_old_term_later_excuses_nobody),
        cmocka_unit_test(what_a_damaged_disk_forgot_is_owed_by_nobody),
        cmocka_unit_test(who_wins_a_term_that_is_over_is_not_blamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
