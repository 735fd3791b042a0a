/* linearizable.c - judges histories over numbers: each key's operations through the search, as a store's.
 *
 * An operation that failed was surely not done, and a read of unknown fate says nothing: neither takes part. A write of
 * unknown fate never returns, and so may stay out for ever; with a witness that doesn't have it, it was never done. */
#include <orrery/check.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/kv.h"
#include "check/overlap.h"
#include "check/search.h"

struct task {
    const struct orr_operation *ops;
    const struct orr_operation **sorted;
    const struct orr_alloc *alloc;
    bool witness;
    uint64_t steps_max;
    struct orri_search *search;
    struct orri_item *items;
    struct orri_kv_call *calls;
};

static struct orri_content content(uint64_t value) { return value ? orri_kv_number(value) : orri_kv_missing; }

static struct orri_kv_call call_of(const struct orr_operation *op) {
    struct orri_kv_call call = { .want = content(op->expected), .to = content(op->value) };
    bool some = op->outcome == ORR_OUTCOME_INFO || op->got == 1;
    switch (op->call) {
    case ORR_CALL_GET: call.verb = ORRI_KV_GET, call.want = content(op->got); break;
    case ORR_CALL_SET: call.verb = ORRI_KV_SET; break;
    case ORR_CALL_CAS: call.verb = some ? ORRI_KV_CAS : ORRI_KV_CAS_NOT; break;
    default:
        call.verb = some ? ORRI_KV_DEL_SOME : ORRI_KV_DEL_NONE;
        call.want = call.to = orri_kv_missing;
    }
    return call;
}

static bool counts(const struct orr_operation *op, bool witness) {
    if (op->outcome == ORR_OUTCOME_OK) return true;
    if (op->outcome == ORR_OUTCOME_FAIL || op->call == ORR_CALL_GET) return false;
    return !witness || op->order != 0;
}

static int by_invocation(const void *a, const void *b) {
    const struct orr_operation *x = *(const struct orr_operation *const *)a,
                               *y = *(const struct orr_operation *const *)b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->invoked != y->invoked) return x->invoked < y->invoked ? -1 : 1;
    return x < y ? -1 : x > y;      /* both in the caller's array: its order */
}

/* What lay there after the deepest try. */
static uint64_t value_after(const struct task *t, const struct orri_outcome *outcome) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < outcome->height; i++) {
        uint32_t at = outcome->trail[i];
        const struct orr_operation *op = &t->ops[t->items[at].process];
        if (!t->items[at].reads) value = op->call == ORR_CALL_DEL ? 0 : op->value;
    }
    return value;
}

/* One key's operations, sorted. */
static int judge(struct task *t, const struct orr_operation *const *ops, size_t n_ops, struct orr_verdict *out) {
    uint32_t n = 0;
    for (size_t i = 0; i < n_ops; i++) {
        if (!counts(ops[i], t->witness)) continue;
        t->calls[n] = call_of(ops[i]);
        t->items[n] = (struct orri_item){ .call = n, .invoked = ops[i]->invoked, .returned = ops[i]->returned,
                                          .process = (uint32_t)(ops[i] - t->ops) };     /* its name: nobody asks */
        if (ops[i]->outcome == ORR_OUTCOME_INFO) t->items[n].returned = ORR_NEVER;
        t->items[n].reads = orri_kv_reads(&t->calls[n]);
        if (t->witness) t->items[n].order = ops[i]->order;
        n++;
    }
    orri_count_overlaps(t->items, n, t->calls, &out->reads, &out->overlapping_reads);
    struct orri_arena arena;
    struct orri_object object;
    struct orri_outcome outcome;
    orri_arena_init(&arena, t->alloc);
    int rc = orri_kv_object(&object, &arena, t->calls, n, orri_kv_missing, NULL, NULL);
    struct orri_problem p = { .object = &object, .items = t->items, .n = n, .witness = t->witness, .look = true,
                              .steps_max = t->steps_max };
    if (rc == 0) rc = orri_search_run(t->search, &p, &outcome);
    orri_arena_clear(&arena);
    if (rc < 0) return rc;
    out->steps += outcome.steps;
    out->result = outcome.result;
    if (outcome.result != ORR_VERDICT_VIOLATED || outcome.stuck == ORRI_NONE) return 0;
    out->operation = t->items[outcome.stuck].process;
    out->value = value_after(t, &outcome);
    return 0;
}

static int judge_all(struct task *t, size_t n, struct orr_verdict *out) {
    enum orr_verdict_result worst = ORR_VERDICT_OK;
    uint64_t undecided_key = 0;
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && t->sorted[to]->key == t->sorted[from]->key; to++) {}
        out->key = t->sorted[from]->key;
        int rc = judge(t, t->sorted + from, to - from, out);
        if (rc < 0 || out->result == ORR_VERDICT_VIOLATED) return rc;
        if (out->result != ORR_VERDICT_UNDECIDED) continue;
        worst = ORR_VERDICT_UNDECIDED;          /* but another key may be violated: it has a budget of its own */
        undecided_key = out->key;
    }
    out->result = worst;
    out->key = undecided_key;
    return 0;
}

static bool valid(const struct orr_operation *ops, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (ops[i].call > ORR_CALL_DEL || ops[i].outcome > ORR_OUTCOME_INFO) return false;
        if (ops[i].outcome == ORR_OUTCOME_OK && ops[i].returned < ops[i].invoked) return false;
    }
    return n < ORRI_NONE;
}

int orr_check_linearizable(const struct orr_operation *ops, size_t n, const struct orr_check_config *cfg,
                           struct orr_verdict *out) {
    const struct orr_alloc *alloc = cfg && cfg->alloc ? cfg->alloc : &orr_alloc_libc;
    struct task t = { .ops = ops, .alloc = alloc, .witness = cfg && cfg->witness };
    t.steps_max = cfg && cfg->steps_max ? cfg->steps_max : 10000000;
    *out = (struct orr_verdict){ .result = ORR_VERDICT_OK };
    if (!valid(ops, n)) return ORR_EINVALID;
    struct orri_arena arena;
    orri_arena_init(&arena, alloc);
    t.sorted = orri_take(&arena, n + 1, sizeof *t.sorted);
    t.items = orri_take(&arena, n + 1, sizeof *t.items);
    t.calls = orri_take(&arena, n + 1, sizeof *t.calls);
    int rc = t.sorted && t.items && t.calls ? 0 : -ENOMEM;
    if (rc == 0) {
        size_t most = 0;
        for (size_t i = 0; i < n; i++) t.sorted[i] = &ops[i];
        if (n > 1) qsort(t.sorted, n, sizeof *t.sorted, by_invocation);
        for (size_t from = 0, to = 0; from < n; from = to) {
            for (; to < n && t.sorted[to]->key == t.sorted[from]->key; to++) {}
            if (to - from > most) most = to - from;
        }
        rc = orri_search_new(&t.search, alloc, (uint32_t)most);
    }
    if (rc == 0) rc = judge_all(&t, n, out);
    orri_search_free(t.search);
    orri_arena_clear(&arena);
    return rc;
}

int orr_operation_show(const struct orr_operation *op, char *out, size_t size) {
    static const char *const outcomes[] = { "ok", "fail", "unknown" };
    char what[96], times[64];
    switch (op->call) {
    case ORR_CALL_GET: snprintf(what, sizeof what, "get k%" PRIu64 " -> %" PRIu64, op->key, op->got); break;
    case ORR_CALL_SET: snprintf(what, sizeof what, "set k%" PRIu64 " = %" PRIu64, op->key, op->value); break;
    case ORR_CALL_CAS:
        snprintf(what, sizeof what, "cas k%" PRIu64 " %" PRIu64 " to %" PRIu64 " -> %s", op->key, op->expected,
                 op->value, op->got ? "swapped" : "another was there");
        break;
    default: snprintf(what, sizeof what, "del k%" PRIu64 " -> %" PRIu64, op->key, op->got);
    }
    double invoked = (double)op->invoked / 1e9, returned = (double)op->returned / 1e9;
    if (op->outcome == ORR_OUTCOME_INFO) snprintf(times, sizeof times, "%.6f..", invoked);
    else snprintf(times, sizeof times, "%.6f..%.6f", invoked, returned);
    return snprintf(out, size, "process %" PRIu32 " %s at %s: %s", op->process, what, times, outcomes[op->outcome]);
}
