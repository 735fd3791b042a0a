/* fold_test.c - a history that is judged piece by piece, while it goes on, is judged as it would be as a whole.
 *
 * Calls on a few keys are made up with the moment at which each takes effect, which gives the witness; some histories
 * are then spoilt. What the laboratory says, folding every few calls, must be what the checker says of all together. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kv_cluster.h"
#include "lab/lab_internal.h"

enum { PROCESSES = 4, KEYS = 3, STEPS = 900, CALLS_MAX = STEPS, LATE_MAX = 8 };

struct history {
    struct orr_lab *lab;
    struct orr_rng rng;
    orr_time now;
    struct orr_operation all[CALLS_MAX];        /* [serial - 1] */
    uint64_t n;
    uint64_t value[KEYS], writes[KEYS];
    uint64_t at_work[PROCESSES];                /* serial; 0: idle */
    bool effective[CALLS_MAX];
    uint64_t late[LATE_MAX];                    /* of unknown fate, not done yet */
    unsigned n_late;
};
enum spoilt { NOTHING, A_READ, AN_ANSWER, A_FAILURE, SPOILS };

static void begin(struct history *h, unsigned process) {
    struct orr_operation op = { .process = process, .invoked = h->now, .returned = ORR_NEVER,
                                .outcome = ORR_OUTCOME_INFO, .key = orri_rng_below(&h->rng, KEYS) };
    uint64_t luck = orri_rng_below(&h->rng, 10);
    op.call = luck < 4 ? ORR_CALL_GET : luck < 8 ? ORR_CALL_SET : ORR_CALL_CAS;
    if (op.call == ORR_CALL_CAS) op.expected = h->value[op.key];
    if (op.call != ORR_CALL_GET) op.value = h->n + 1;
    h->all[h->n++] = op;
    h->at_work[process] = h->n;
    size_t at = lab_begin(h->lab, &op);
    assert_true(at < h->lab->n_ops && h->lab->serials[at] == h->n);
}

static void take_effect(struct history *h, uint64_t serial) {
    struct orr_operation *op = &h->all[serial - 1];
    h->effective[serial - 1] = true;
    if (op->call == ORR_CALL_GET) {
        op->got = h->value[op->key];
        return;
    }
    op->got = op->call == ORR_CALL_SET || h->value[op->key] == op->expected;
    if (!op->got) return;
    h->value[op->key] = serial;
    op->order = ++h->writes[op->key];
    lab_shadow_write(h->lab, op->key, serial);
}

static void end(struct history *h, unsigned process, enum orr_outcome outcome) {
    uint64_t serial = h->at_work[process];
    struct orr_operation *op = &h->all[serial - 1], *kept = lab_operation(h->lab, serial);
    h->at_work[process] = 0;
    op->outcome = (uint8_t)outcome;
    op->returned = h->now;
    if (outcome != ORR_OUTCOME_OK) op->got = 0;
    assert_non_null(kept);
    kept->outcome = op->outcome;
    kept->returned = op->returned;
    kept->got = op->got;
    bool late = outcome == ORR_OUTCOME_INFO && !h->effective[serial - 1] && op->call != ORR_CALL_GET;
    if (late && h->n_late < LATE_MAX) h->late[h->n_late++] = serial;
}

/* An answer that is wrong, perhaps: a read of another value, a write said to be done which isn't, or the reverse. */
static void end_wrongly(struct history *h, unsigned process, enum spoilt how) {
    struct orr_operation *op = &h->all[h->at_work[process] - 1];
    bool effective = h->effective[h->at_work[process] - 1];
    if (how == A_READ && op->call == ORR_CALL_GET && effective) {
        op->got = orri_rng_below(&h->rng, h->n + 1);
        end(h, process, ORR_OUTCOME_OK);
    } else if (how == AN_ANSWER && op->call == ORR_CALL_SET && !effective) {
        op->got = 1;
        h->effective[h->at_work[process] - 1] = true;       /* it never will be */
        end(h, process, ORR_OUTCOME_OK);
    } else if (how == A_FAILURE && effective) {
        end(h, process, ORR_OUTCOME_FAIL);
    }
}

static void step(struct history *h, enum spoilt how) {
    unsigned process = (unsigned)orri_rng_below(&h->rng, PROCESSES);
    uint64_t serial = h->at_work[process], luck = orri_rng_below(&h->rng, 100);
    h->now += (orr_time)orri_rng_below(&h->rng, 3);         /* some things happen at once */
    if (h->n_late > 0 && luck < 2) {
        unsigned i = (unsigned)orri_rng_below(&h->rng, h->n_late);
        take_effect(h, h->late[i]);
        h->late[i] = h->late[--h->n_late];
    } else if (serial == 0) {
        begin(h, process);
    } else if (how != NOTHING && luck == 50) {
        end_wrongly(h, process, how);
    } else if (!h->effective[serial - 1]) {
        if (luck < 8) end(h, process, luck < 4 ? ORR_OUTCOME_INFO : ORR_OUTCOME_FAIL);
        else take_effect(h, serial);
    } else {
        bool read = h->all[serial - 1].call == ORR_CALL_GET;
        end(h, process, luck < 8 && !read ? ORR_OUTCOME_INFO : ORR_OUTCOME_OK);
    }
}

/* As a whole: does it fit, and is nothing done that was said not to be? */
static bool fits(const struct history *h) {
    struct orr_check_config cfg = { .witness = true };
    struct orr_verdict v;
    for (uint64_t i = 0; i < h->n; i++)
        if (h->all[i].outcome == ORR_OUTCOME_FAIL && h->all[i].order != 0) return false;
    assert_int_equal(orr_check_linearizable(h->all, h->n, &cfg, &v), 0);
    return v.result == ORR_VERDICT_OK;
}

/* Its one node does nothing: the calls are ours. */
static struct orr_lab *laboratory(size_t every) {
    static struct kv_cluster cluster = KV_CLUSTER(1);
    struct orr_lab_config cfg;
    struct orr_lab *lab;
    orr_lab_config_init(&cfg);
    cfg.clients = 0;
    cfg.keys = KEYS;
    cfg.nodes = kv_places;
    cfg.n_nodes = 1;
    cfg.boot = (struct orr_sim_boot){ .start = kv_start, .ud = &cluster };
    assert_int_equal(orr_lab_new(&lab, &cfg), 0);
    lab_fold_every(lab, every);
    return lab;
}

static void run(uint64_t seed, enum spoilt how, size_t every, unsigned *broken) {
    struct history *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h->lab = laboratory(every);
    orri_rng_init(&h->rng, seed);
    for (unsigned i = 0; i < STEPS; i++) step(h, how);
    lab_judge_history(h->lab);
    if (h->lab->result.ok != fits(h))
        fail_msg("seed %d, spoilt %d, every %d: judged %s as a whole, but %s %s", (int)seed, (int)how, (int)every,
                 fits(h) ? "right" : "wrong", h->lab->result.property, h->lab->result.violation);
    if (how == NOTHING) {
        struct lab_count count = h->lab->settled;
        for (size_t i = 0; i < h->lab->n_ops; i++) lab_count_operation(&count, &h->lab->ops[i]);
        assert_true(h->lab->result.ok);
        assert_int_equal(count.operations + count.failed + count.unknown, h->n);
        assert_true(h->lab->n_ops < h->n / 2 + every);
    }
    *broken += !h->lab->result.ok;
    orr_lab_free(h->lab);
    free(h);
}

static void pieces_are_judged_as_the_whole(void **state) {
    (void)state;
    static const size_t every[] = { 5, 40, 100000 };
    for (int how = NOTHING; how < SPOILS; how++) {
        unsigned broken = 0;
        for (uint64_t seed = 1; seed <= 300; seed++)
            for (size_t i = 0; i < sizeof every / sizeof *every; i++) run(seed, (enum spoilt)how, every[i], &broken);
        if (how == NOTHING) assert_int_equal(broken, 0);
        else assert_in_range(broken, 200, 900);
    }
}

/* What was settled is not done once more. */
static void a_settled_write_that_takes_effect_again_is_seen(void **state) {
    (void)state;
    struct history *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h->lab = laboratory(5);
    orri_rng_init(&h->rng, 1);
    for (unsigned i = 0; i < STEPS; i++) step(h, NOTHING);
    uint64_t settled = 1;
    while (h->all[settled - 1].order == 0 || lab_operation(h->lab, settled)) settled++;
    assert_true(h->lab->result.ok);
    lab_shadow_write(h->lab, h->all[settled - 1].key, settled);
    assert_string_equal(h->lab->result.property, "exactly_once");
    orr_lab_free(h->lab);
    free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_judged_as_the_whole),
        cmocka_unit_test(a_settled_write_that_takes_effect_again_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
