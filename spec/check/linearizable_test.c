/* linearizable_test.c - the checker against brute force on small histories, and against itself on large ones. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <orrery/check.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

#define SMALL 6

/* -- Brute force: every subset that holds all OK operations, in every order that time allows ----------------------- */
static bool apply(const struct orr_operation *op, uint64_t *value) {
    bool info = op->outcome == ORR_OUTCOME_INFO;
    switch (op->call) {
    case ORR_CALL_GET: return info || op->got == *value;
    case ORR_CALL_SET: *value = op->value; return true;
    case ORR_CALL_CAS:
        if (!info && (*value == op->expected) != (op->got == 1)) return false;
        if (*value == op->expected) *value = op->value;
        return true;
    default:
        if (!info && (*value != 0) != (op->got == 1)) return false;
        *value = 0;
        return true;
    }
}
static bool brute(const struct orr_operation *ops, size_t n, unsigned placed, uint64_t value) {
    bool done = true;
    for (size_t i = 0; i < n; i++) done = done && (placed >> i & 1 || ops[i].outcome != ORR_OUTCOME_OK);
    if (done) return true;
    for (size_t i = 0; i < n; i++) {
        if (placed >> i & 1 || ops[i].outcome == ORR_OUTCOME_FAIL) continue;
        bool first = true;
        for (size_t j = 0; j < n; j++)
            first = first && (placed >> j & 1 || ops[j].outcome != ORR_OUTCOME_OK || ops[j].returned >= ops[i].invoked);
        uint64_t next = value;
        if (first && apply(&ops[i], &next) && brute(ops, n, placed | 1u << i, next)) return true;
    }
    return false;
}

static struct orr_operation random_operation(struct orr_rng *rng) {
    struct orr_operation op = { .process = (uint32_t)orri_rng_below(rng, 3),
                                .call = (uint8_t)orri_rng_below(rng, 4),
                                .key = 1 };
    uint64_t luck = orri_rng_below(rng, 10);
    op.outcome = luck == 0 ? ORR_OUTCOME_FAIL : luck == 1 ? ORR_OUTCOME_INFO : ORR_OUTCOME_OK;
    op.value = 1 + orri_rng_below(rng, 3);
    op.expected = orri_rng_below(rng, 3);
    op.got = op.call == ORR_CALL_GET ? orri_rng_below(rng, 4) : orri_rng_below(rng, 2);
    op.invoked = (orr_time)orri_rng_below(rng, 12);
    op.returned = op.invoked + (orr_time)orri_rng_below(rng, 6);
    return op;
}

static void agrees_with_brute_force(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 1);
    size_t fine = 0, wrong = 0;
    for (int round = 0; round < 20000; round++) {
        struct orr_operation ops[SMALL];
        size_t n = 1 + orri_rng_below(&rng, SMALL);
        for (size_t i = 0; i < n; i++) ops[i] = random_operation(&rng);
        struct orr_verdict v;
        assert_int_equal(orr_check_linearizable(ops, n, NULL, &v), 0);
        bool expected = brute(ops, n, 0, 0);
        if (expected) fine++;
        else wrong++;
        assert_int_equal(v.result, expected ? ORR_VERDICT_OK : ORR_VERDICT_VIOLATED);
    }
    assert_true(fine > 2000 && wrong > 2000);
}

/* -- A true register, seen by many clients ------------------------------------------------------------------------- */
static size_t true_history(struct orr_operation *ops, size_t n, unsigned processes, unsigned keys, uint64_t seed) {
    struct orr_rng rng;
    orri_rng_init(&rng, seed);
    uint64_t *value = calloc(keys, sizeof *value), *order = calloc(keys, sizeof *order), next = 1;
    orr_time *free_at = calloc(processes, sizeof *free_at);
    orr_time moment = 0;
    for (size_t i = 0; i < n; i++) {    /* each operation takes effect at `moment`, within its own interval */
        moment += 1 + (orr_time)orri_rng_below(&rng, 20);
        uint32_t p = (uint32_t)orri_rng_below(&rng, processes);
        uint64_t k = orri_rng_below(&rng, keys);
        struct orr_operation op = { .process = p, .key = k, .invoked = moment - (orr_time)orri_rng_below(&rng, 200),
                                    .returned = moment + (orr_time)orri_rng_below(&rng, 200) };
        if (op.invoked <= free_at[p]) op.invoked = free_at[p] < moment ? free_at[p] + 1 : moment;
        free_at[p] = op.returned;
        op.call = (uint8_t)orri_rng_below(&rng, 3);
        op.expected = orri_rng_chance(&rng, 0.5) ? value[k] : value[k] + 1;
        op.value = op.call == ORR_CALL_GET ? 0 : next++;
        bool writes = op.call == ORR_CALL_SET || (op.call == ORR_CALL_CAS && op.expected == value[k]);
        op.got = op.call == ORR_CALL_GET ? value[k] : writes;
        if (writes) value[k] = op.value, op.order = ++order[k];
        if (writes && orri_rng_chance(&rng, 0.05)) op.outcome = ORR_OUTCOME_INFO;
        ops[i] = op;
    }
    free(value);
    free(order);
    free(free_at);
    return n;
}

static void a_true_history_passes_with_and_without_witness(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct orr_operation ops[2000];
        size_t n = true_history(ops, 2000, 8, 4, seed);
        struct orr_verdict v;
        assert_int_equal(orr_check_linearizable(ops, n, &(struct orr_check_config){ .witness = true }, &v), 0);
        assert_int_equal(v.result, ORR_VERDICT_OK);
        assert_true(v.overlapping_reads * 10 > v.reads * 3);
        assert_int_equal(orr_check_linearizable(ops, n, NULL, &v), 0);
        assert_int_equal(v.result, ORR_VERDICT_OK);
    }
}

static void a_stale_read_is_found_both_ways(void **state) {
    (void)state;
    size_t found = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct orr_operation ops[2000];
        size_t n = true_history(ops, 2000, 8, 4, seed), broken = 0;
        for (size_t i = 1000; i < n && !broken; i++)    /* a read late in the history sees what was there long before */
            if (ops[i].call == ORR_CALL_GET && ops[i].got > 200) ops[i].got -= 150, broken = i;
        struct orr_verdict with, without;
        assert_int_equal(orr_check_linearizable(ops, n, &(struct orr_check_config){ .witness = true }, &with), 0);
        assert_int_equal(orr_check_linearizable(ops, n, NULL, &without), 0);
        assert_int_equal(with.result, ORR_VERDICT_VIOLATED);
        found += without.result == ORR_VERDICT_VIOLATED;
        assert_int_equal(with.key, ops[broken].key);
        char line[200];
        assert_true(orr_operation_show(&ops[with.operation], line, sizeof line) > 0);
        assert_non_null(strstr(line, "process"));
    }
    assert_int_equal(found, 50);
}

static void an_acknowledged_write_that_the_witness_lacks_is_found(void **state) {
    (void)state;
    struct orr_operation ops[] = {
        { .call = ORR_CALL_SET, .value = 1, .invoked = 0, .returned = 1, .order = 1 },
        { .call = ORR_CALL_SET, .value = 2, .invoked = 2, .returned = 3, .order = 0 },
    };
    struct orr_verdict v;
    assert_int_equal(orr_check_linearizable(ops, 2, &(struct orr_check_config){ .witness = true }, &v), 0);
    assert_int_equal(v.result, ORR_VERDICT_VIOLATED);
    assert_int_equal(v.operation, 1);
}

static void unknown_fates_stay_open_for_ever(void **state) {
    (void)state;
    struct orr_operation ops[] = {
        { .call = ORR_CALL_SET, .value = 1, .invoked = 0, .returned = 1, .outcome = ORR_OUTCOME_INFO },
        { .call = ORR_CALL_GET, .got = 0, .invoked = 100, .returned = 110 },
        { .call = ORR_CALL_GET, .got = 1, .invoked = 200, .returned = 210 },
        { .call = ORR_CALL_GET, .got = 0, .invoked = 300, .returned = 310 },
    };
    struct orr_verdict v;
    assert_int_equal(orr_check_linearizable(ops, 3, NULL, &v), 0);
    assert_int_equal(v.result, ORR_VERDICT_OK);
    assert_int_equal(orr_check_linearizable(ops, 4, NULL, &v), 0);
    assert_int_equal(v.result, ORR_VERDICT_VIOLATED);
}

static void a_budget_gives_undecided_and_bad_input_is_refused(void **state) {
    (void)state;
    struct orr_operation ops[400];
    size_t n = true_history(ops, 400, 40, 1, 3);
    struct orr_verdict v;
    assert_int_equal(orr_check_linearizable(ops, n, &(struct orr_check_config){ .steps_max = 10 }, &v), 0);
    assert_int_equal(v.result, ORR_VERDICT_UNDECIDED);
    ops[0].returned = ops[0].invoked - 1;
    ops[0].outcome = ORR_OUTCOME_OK;
    assert_int_equal(orr_check_linearizable(ops, n, NULL, &v), ORR_EINVALID);
    assert_int_equal(orr_check_linearizable(NULL, 0, NULL, &v), 0);
    assert_int_equal(v.result, ORR_VERDICT_OK);
}

static int countdown;
static void *failing(void *ud, void *ptr, size_t old_size, size_t new_size) {
    (void)ud;
    (void)old_size;
    if (new_size == 0) return free(ptr), NULL;
    return countdown-- > 0 ? realloc(ptr, new_size) : NULL;
}
static void memory_that_runs_out_is_an_error_and_nothing_leaks(void **state) {
    (void)state;
    struct orr_operation ops[600];
    size_t n = true_history(ops, 600, 8, 2, 5);
    struct orr_alloc alloc = { failing, NULL };
    struct orr_verdict v;
    for (int k = 0;; k++) {
        countdown = k;
        int rc = orr_check_linearizable(ops, n, &(struct orr_check_config){ .alloc = &alloc }, &v);
        if (rc == 0) break;
        assert_int_equal(rc, -12);
        assert_true(k < 100);
    }
    assert_int_equal(v.result, ORR_VERDICT_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_brute_force),
        cmocka_unit_test(a_true_history_passes_with_and_without_witness),
        cmocka_unit_test(a_stale_read_is_found_both_ways),
        cmocka_unit_test(an_acknowledged_write_that_the_witness_lacks_is_found),
        cmocka_unit_test(unknown_fates_stay_open_for_ever),
        cmocka_unit_test(a_budget_gives_undecided_and_bad_input_is_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
