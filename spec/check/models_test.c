/* models_test.c - histories of stores, counters, queues and locks: simulated ones pass, spoilt ones don't; tiny ones
 * are judged as trying all orders judges them; and a counter-example is wrong by itself, with nothing to spare. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <orrery/check.h>

#include "histories.h"

enum { SMALL = 6, KEYS = 2 };

static enum orr_verdict_result judge_with(const struct history *h, const struct orr_judge *judge, uint32_t *core,
                                          size_t *n_core) {
    struct orr_history *history;
    struct orr_report report;
    assert_int_equal(orr_history_new(&history, NULL), 0);
    if (orr_history_read(history, h->lines, h->size) < 0) fail_msg("%s", orr_history_error(history));
    assert_int_equal(orr_history_end(history), 0);
    if (orr_history_judge(history, judge, &report) < 0) fail_msg("%s", orr_history_error(history));
    assert_true((report.result == ORR_VERDICT_OK) == (report.text == NULL));
    if (core) {
        *n_core = report.n_lines;
        if (report.n_lines) memcpy(core, report.lines, report.n_lines * sizeof *core);
    }
    orr_history_free(history);
    return report.result;
}
static enum orr_verdict_result judge(const struct history *h) {
    return judge_with(h, &(struct orr_judge){ .model = model_names[h->model] }, NULL, NULL);
}

/* -- All orders ---------------------------------------------------------------------------------------------------- */
enum mode { IN, FREE };             /* FREE: at any time, or never */
struct brute {
    const struct history *h;
    const enum mode *modes;         /* NULL: all are in */
    bool by_process;
};

static bool may_stay_out(const struct brute *b, uint32_t i) {
    return b->h->ops[i].outcome == INFO || (b->modes && b->modes[i] == FREE);
}
static bool before(const struct brute *b, uint32_t i, uint32_t j) {     /* must i, which is in for sure, precede j? */
    const struct op *x = &b->h->ops[i], *y = &b->h->ops[j];
    if (may_stay_out(b, i) || (b->modes && b->modes[j] == FREE)) return false;
    return b->by_process ? x->process == y->process && x->invoked < y->invoked : x->returned < y->invoked;
}
static bool orders(const struct brute *b, unsigned placed, const struct object *state) {
    bool all = true;
    for (uint32_t i = 0; i < b->h->n; i++)
        all = all && (placed >> i & 1 || may_stay_out(b, i) || b->h->ops[i].outcome == FAIL);
    if (all) return true;
    for (uint32_t i = 0; i < b->h->n; i++) {
        if (placed >> i & 1 || b->h->ops[i].outcome == FAIL) continue;
        bool first = true;
        for (uint32_t j = 0; j < b->h->n; j++)
            first = first && (placed >> j & 1 || b->h->ops[j].outcome == FAIL || !before(b, j, i));
        if (!first) continue;
        struct object after[KEYS];
        for (int k = 0; k < KEYS; k++) {
            after[k].value = state[k].value, after[k].held_by = state[k].held_by, after[k].token = state[k].token;
            after[k].in = state[k].in, after[k].out = state[k].out, after[k].size = state[k].size;
            memcpy(after[k].queue, state[k].queue, 16 * sizeof *after[k].queue);
            after[k].text = NULL;
            if (state[k].text) memcpy(after[k].text = malloc(state[k].size + 1), state[k].text, state[k].size);
        }
        struct op op = b->h->ops[i];
        bool fits = act(b->h->model, &after[op.key], &op, false, op.outcome == INFO)
                    && orders(b, placed | 1u << i, after);
        for (int k = 0; k < KEYS; k++) free(after[k].text);
        if (fits) return true;
    }
    return false;
}
static bool brute(const struct history *h, const enum mode *modes, bool by_process) {
    static const struct object nothing[KEYS];
    return orders(&(struct brute){ h, modes, by_process }, 0, nothing);
}

/* -- Spoiling ------------------------------------------------------------------------------------------------------ */
static void spoil(struct history *h, struct orr_rng *rng) {
    for (int tries = 0; tries < 20; tries++) {
        struct op *op = &h->ops[orri_rng_below(rng, h->n)];
        if (op->outcome != OK) continue;
        if (op->text) {
            free((char *)op->text);
            op->text = strdup(orri_rng_below(rng, 2) ? "1." : "2.1.");
        } else if (op->verb == CAS || op->verb == DEL || op->verb == RELEASE || op->verb == ACQUIRE) {
            op->result = op->verb == ACQUIRE ? (int)orri_rng_below(rng, 3) : !op->result;
        } else if (op->verb == GET || op->verb == READ || op->verb == DEQUEUE) {
            op->result = (int)orri_rng_below(rng, 4);
        } else {
            continue;
        }
        break;
    }
    if (orri_rng_below(rng, 8) == 0) h->ops[orri_rng_below(rng, h->n)].outcome = FAIL;
    rewrite(h, NULL);
}

static void tiny_histories_are_judged_as_all_orders_say(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 7);
    for (enum model model = 0; model < N_MODELS; model++) {
        int fine = 0, wrong = 0;
        for (uint64_t seed = 1; seed <= 3000; seed++) {
            struct history h;
            struct shape shape = { .model = model, .n = 2 + (uint32_t)(seed % (SMALL - 1)), .processes = 3,
                                   .keys = 1 + (int)(seed % KEYS), .values = 3, .reads = 0.5, .unknown = 0.15 };
            simulate(&h, &shape, seed);
            if (seed % 4) spoil(&h, &rng);
            bool expected = brute(&h, NULL, false);
            if (judge(&h) != (expected ? ORR_VERDICT_OK : ORR_VERDICT_VIOLATED))
                fail_msg("%s, seed %d: should be %s\n%s", model_names[model], (int)seed, expected ? "ok" : "violated",
                         h.lines);
            expected ? fine++ : wrong++;
            history_free(&h);
        }
        assert_true(fine > 900 && wrong > 400);
    }
}

static void tiny_histories_are_sequential_as_all_orders_say(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 8);
    for (enum model model = 0; model < N_MODELS; model++) {
        int fine = 0, wrong = 0, only = 0;
        for (uint64_t seed = 1; seed <= 2000; seed++) {
            struct history h;
            struct shape shape = { .model = model, .n = 2 + (uint32_t)(seed % (SMALL - 1)), .processes = 3,
                                   .keys = KEYS, .values = 3, .reads = 0.5, .unknown = 0.1 };
            simulate(&h, &shape, seed);
            spoil(&h, &rng);
            bool expected = brute(&h, NULL, true);
            struct orr_judge asked = { .model = model_names[model], .sequential = true };
            if (judge_with(&h, &asked, NULL, NULL) != (expected ? ORR_VERDICT_OK : ORR_VERDICT_VIOLATED))
                fail_msg("%s, seed %d: should be %s\n%s", model_names[model], (int)seed, expected ? "ok" : "violated",
                         h.lines);
            expected ? fine++ : wrong++;
            only += expected && judge(&h) == ORR_VERDICT_VIOLATED;
            history_free(&h);
        }
        assert_true(fine > 400 && wrong > 700 && only > 0);
    }
}

/* -- Counter-examples ---------------------------------------------------------------------------------------------- */
static void a_counter_example_is_wrong_by_itself_and_has_nothing_to_spare(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 9);
    for (enum model model = 0; model < N_MODELS; model++) {
        int seen = 0, larger = 0;
        for (uint64_t seed = 1; seed <= 1500; seed++) {
            struct history h;
            struct shape shape = { .model = model, .n = 7, .processes = 3, .keys = 1, .values = 3, .reads = 0.5,
                                   .unknown = 0.1 };
            uint32_t core[16];
            size_t n_core = 0;
            simulate(&h, &shape, seed);
            spoil(&h, &rng);
            struct orr_judge asked = { .model = model_names[model] };
            if (judge_with(&h, &asked, core, &n_core) == ORR_VERDICT_VIOLATED) {
                enum mode modes[16];
                bool only[16];
                for (uint32_t i = 0; i < h.n; i++) {
                    only[i] = false;
                    for (size_t k = 0; k < n_core; k++) only[i] = only[i] || core[k] == h.ops[i].invoked;
                    modes[i] = only[i] ? IN : FREE;
                }
                assert_true(n_core > 0);
                if (brute(&h, modes, false))    /* whatever the others did */
                    fail_msg("%s, seed %d: it fits\n%s", model_names[model], (int)seed, h.lines);
                for (uint32_t i = 0; i < h.n; i++) {
                    if (!only[i]) continue;
                    modes[i] = FREE;
                    if (!brute(&h, modes, false)) fail_msg("%s, seed %d: line %d is to spare\n%s", model_names[model],
                                                           (int)seed, (int)h.ops[i].invoked, h.lines);
                    modes[i] = IN;
                }
                rewrite(&h, only);
                assert_int_equal(judge(&h), ORR_VERDICT_VIOLATED);          /* as a history of its own */
                seen++;
                larger += n_core > 2;
            }
            history_free(&h);
        }
        assert_true(seen > 700 && larger > 20);
    }
}

/* -- Large ones ---------------------------------------------------------------------------------------------------- */
static void simulated_histories_pass_with_and_without_the_witness(void **state) {
    (void)state;
    for (enum model model = 0; model < N_MODELS; model++) {
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct history h;
            struct shape shape = { .model = model, .n = 1500, .processes = 10, .keys = 4, .reads = 0.5,
                                   .unknown = model == KV || model == STRINGS ? 0.02 : 0, .order = true };
            simulate(&h, &shape, seed);
            assert_int_equal(judge(&h), ORR_VERDICT_OK);
            struct orr_judge search = { .model = model_names[model], .search = true };
            assert_int_equal(judge_with(&h, &search, NULL, NULL), ORR_VERDICT_OK);
            history_free(&h);
        }
    }
}

/* An anomaly that no order explains, planted late: what was read is of the far past, or of nobody's making. */
static bool plant(struct history *h, uint64_t seed) {
    for (uint32_t i = h->n / 2 + (uint32_t)(seed % 20); i < h->n; i++) {
        struct op *op = &h->ops[i], *old = NULL;
        if (op->outcome != OK || op->took_effect == false) continue;
        for (uint32_t k = 0; k < h->n / 4; k++)         /* the same call long before, over by then */
            if (h->ops[k].key == op->key && h->ops[k].verb == op->verb && h->ops[k].outcome == OK) old = &h->ops[k];
        if (!old) continue;
        if (op->verb == GET && h->model == STRINGS) {
            if (strlen(old->text) >= strlen(op->text)) continue;        /* a beginning: no put came in between */
            free((char *)op->text);
            op->text = strdup("0.0.");
        } else if (op->verb == GET) {
            if (old->result == 0 || op->result == 0 || old->result == op->result) continue;
            op->result = old->result;
        } else if (op->verb == READ) {
            op->result = old->result;
        } else if (op->verb == DEQUEUE || op->verb == ACQUIRE) {
            if (old->result == 0 || op->result == 0) continue;
            op->result = old->result;           /* came out twice; a token that was given out */
        } else {
            continue;
        }
        rewrite(h, NULL);
        return true;
    }
    return false;
}

static void a_planted_anomaly_is_found_with_and_without_the_witness(void **state) {
    (void)state;
    for (enum model model = 0; model < N_MODELS; model++) {
        int planted = 0, told = 0;
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct history h;
            struct shape shape = { .model = model, .n = 600, .processes = 8, .keys = 4, .reads = 0.5, .order = true };
            simulate(&h, &shape, seed);
            for (int search = 0; plant(&h, seed) && search < 2; search++) {
                struct orr_judge asked = { .model = model_names[model], .search = search };
                uint32_t core[600];
                size_t n_core = 0;
                planted++;
                assert_int_equal(judge_with(&h, &asked, core, &n_core), ORR_VERDICT_VIOLATED);
                assert_true(n_core > 0);
                told += n_core <= 12;
            }
            history_free(&h);
        }
        assert_true(planted >= 12);
        assert_true(told >= planted * 3 / 4);
    }
}

/* -- A model of one's own ------------------------------------------------------------------------------------------ */
static int step_max(void *ud, uint64_t state, const struct orr_step *op, uint64_t *next) {
    assert_ptr_equal(ud, &step_max);
    if (strcmp(op->f, "fail") == 0) return ORR_EUNAVAILABLE;
    uint64_t n = (uint64_t)atoi(strcmp(op->f, "top") == 0 ? op->result : op->value);
    if (strcmp(op->f, "top") == 0) return op->unknown || n == state;
    *next = n > state ? n : state;
    return 1;
}
static int show_max(void *ud, uint64_t state, char *out, size_t size) {
    (void)ud;
    return snprintf(out, size, "at most %d", (int)state);
}
static bool reads_max(void *ud, const char *f) {
    (void)ud;
    return strcmp(f, "top") == 0;
}

static int judge_max(const char *calls, bool by_key, enum orr_verdict_result *result, bool *shown) {
    struct orr_history *h;
    struct orr_report report;
    struct orr_model own = { step_max, show_max, reads_max, &step_max, by_key };
    assert_int_equal(orr_history_new(&h, NULL), 0);
    for (const char *at = calls; *at;) {        /* "raise a 5,top b 0": one after the other */
        char f[16], key[16], line[200];
        int value, used;
        assert_int_equal(sscanf(at, "%15s %15s %d%n", f, key, &value, &used), 3);
        snprintf(line, sizeof line, "{\"process\":1,\"type\":\"invoke\",\"f\":\"%s\",\"key\":\"%s\",\"value\":%d}\n"
                 "{\"process\":1,\"type\":\"ok\",\"f\":\"%s\",\"value\":%d}\n", f, key, value, f, value);
        assert_int_equal(orr_history_read(h, line, strlen(line)), 0);
        at += used + (at[used] == ',');
    }
    int rc = orr_history_judge(h, &(struct orr_judge){ .own = &own }, &report);
    *result = report.result;
    *shown = rc == 0 && report.text && strstr(report.text, "at most 5") != NULL;
    orr_history_free(h);
    return rc;
}

static void a_model_of_ones_own_is_stepped_over_numbers(void **state) {
    (void)state;
    enum orr_verdict_result result;
    bool shown;
    assert_int_equal(judge_max("raise a 5,raise a 3,top a 5", false, &result, &shown), 0);
    assert_int_equal(result, ORR_VERDICT_OK);
    assert_int_equal(judge_max("raise a 5,raise a 3,top a 3", false, &result, &shown), 0);
    assert_int_equal(result, ORR_VERDICT_VIOLATED);
    assert_true(shown);
    assert_int_equal(judge_max("raise a 5,top b 0", false, &result, &shown), 0);
    assert_int_equal(result, ORR_VERDICT_VIOLATED);
    assert_int_equal(judge_max("raise a 5,top b 0", true, &result, &shown), 0);
    assert_int_equal(result, ORR_VERDICT_OK);
    assert_int_equal(judge_max("raise a 5,fail a 0", true, &result, &shown), ORR_EUNAVAILABLE);
}

/* -- Memory -------------------------------------------------------------------------------------------------------- */
static int countdown;
static void *failing(void *ud, void *ptr, size_t old_size, size_t new_size) {
    (void)ud, (void)old_size;
    if (new_size == 0) return free(ptr), NULL;
    return countdown-- > 0 ? realloc(ptr, new_size) : NULL;
}

static int judge_in(const struct orr_alloc *alloc, const char *text, const struct orr_judge *asked) {
    struct orr_history *h;
    struct orr_report report;
    int rc = orr_history_new(&h, alloc);
    if (rc < 0) return rc;
    for (size_t i = 0, size = strlen(text); rc == 0 && i < size; i += 50)
        rc = orr_history_read(h, text + i, size - i < 50 ? size - i : 50);
    if (rc == 0) rc = orr_history_end(h);
    if (rc == 0) rc = orr_history_judge(h, asked, &report);
    orr_history_free(h);
    return rc;
}

static void memory_that_runs_out_is_an_error_and_nothing_leaks(void **state) {
    (void)state;
    static const char txns[] =
        "{\"process\":1,\"type\":\"invoke\",\"f\":\"txn\",\"value\":[[\"append\",1,1],[\"r\",2,null]]}\n"
        "{\"process\":2,\"type\":\"invoke\",\"f\":\"txn\",\"value\":[[\"append\",2,1],[\"r\",1,null]]}\n"
        "{\"process\":1,\"type\":\"ok\",\"f\":\"txn\",\"value\":[[\"append\",1,1],[\"r\",2,[]]]}\n"
        "{\"process\":2,\"type\":\"ok\",\"f\":\"txn\",\"value\":[[\"append\",2,1],[\"r\",1,[]]]}\n";
    static const char log[] =
        "{\"process\":1,\"type\":\"invoke\",\"f\":\"send\",\"key\":1,\"value\":\"a\\n\"}\n"
        "{\"process\":1,\"type\":\"ok\",\"f\":\"send\",\"key\":1,\"value\":0}\n"
        "{\"process\":1,\"type\":\"invoke\",\"f\":\"poll\"}\n"
        "{\"process\":1,\"type\":\"ok\",\"f\":\"poll\",\"value\":{\"1\":[[0,1.5]]}}\n";
    struct orr_alloc alloc = { failing, NULL };
    for (int i = 0; i < 2 * N_MODELS + 2; i++) {
        struct history h = { 0 };
        struct shape shape = { .model = (enum model)(i % N_MODELS), .n = 24, .processes = 4, .keys = 2, .values = 3,
                               .reads = 0.5, .unknown = 0.05 };
        struct orr_judge asked = { .sequential = i >= N_MODELS, .steps_max = 2000 };
        const char *text = i == 2 * N_MODELS ? txns : log;
        if (i < 2 * N_MODELS) {
            struct orr_rng rng;
            simulate(&h, &shape, 3);
            orri_rng_init(&rng, 5);
            spoil(&h, &rng);
            asked.model = model_names[shape.model];
            text = h.lines;
        } else {
            asked = (struct orr_judge){ .strict = i == 2 * N_MODELS };
        }
        int k = 0, rc = -1;
        for (; rc != 0 && k < 2000; k++) {
            countdown = k;
            rc = judge_in(&alloc, text, &asked);
            if (rc != 0) assert_int_equal(rc, -12);
        }
        assert_in_range(k, 10, 1000);
        history_free(&h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_histories_are_judged_as_all_orders_say),
        cmocka_unit_test(tiny_histories_are_sequential_as_all_orders_say),
        cmocka_unit_test(a_counter_example_is_wrong_by_itself_and_has_nothing_to_spare),
        cmocka_unit_test(simulated_histories_pass_with_and_without_the_witness),
        cmocka_unit_test(a_planted_anomaly_is_found_with_and_without_the_witness),
        cmocka_unit_test(a_model_of_ones_own_is_stepped_over_numbers),
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
