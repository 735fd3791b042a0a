/* tell.c - what is wrong with the clients' history, for people: the calls of one key, judged once more as the history
 * of any service is (check.h), which finds the fewest that contradict each other and draws them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab_internal.h"

struct moment {                     /* an invocation, or a return */
    orr_time time;
    size_t op;
    bool end;
};

/* What returns at an instant comes before what is invoked then, as real time has it. */
static int by_time(const void *a, const void *b) {
    const struct moment *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    if (x->op == y->op || x->end == y->end) return (x->end > y->end) - (x->end < y->end);
    return y->end - x->end;
}

static int value_text(const struct orr_operation *op, bool end, char *out, size_t size) {
    if (op->call == ORR_CALL_CAS && end && op->outcome == ORR_OUTCOME_OK)
        return snprintf(out, size, "%s", op->got ? "true" : "false");
    if (op->call == ORR_CALL_CAS) return snprintf(out, size, "[%" PRIu64 ",%" PRIu64 "]", op->expected, op->value);
    uint64_t value = op->call == ORR_CALL_GET ? (end ? op->got : 0) : op->value;
    return value ? snprintf(out, size, "%" PRIu64, value) : snprintf(out, size, "null");
}

/* One line of the history, as check.h reads them. */
static int line_text(const struct orr_operation *op, const struct moment *m, bool witness, char *out, size_t size) {
    static const char *const calls[] = { "get", "set", "cas", "del" }, *const ends[] = { "ok", "fail", "info" };
    char value[64], order[40] = "";
    value_text(op, m->end, value, sizeof value);
    if (witness && m->end && op->order) snprintf(order, sizeof order, ",\"order\":%" PRIu64, op->order);
    return snprintf(out, size,
                    "{\"process\":%" PRIu32 ",\"type\":\"%s\",\"f\":\"%s\",\"key\":\"k%" PRIu64 "\",\"value\":%s,"
                    "\"time\":%" PRId64 "%s}\n",
                    op->process, m->end ? ends[op->outcome] : "invoke", calls[op->call], op->key, value, m->time,
                    order);
}

static struct moment *moments_of(struct orr_lab *lab, uint64_t key, size_t *n, size_t *cap) {
    struct moment *all = lab_grow(lab, NULL, cap, 2 * lab->n_ops + 1, sizeof *all);
    for (size_t i = 0; all && i < lab->n_ops; i++) {
        const struct orr_operation *op = &lab->ops[i];
        if (op->key != key) continue;
        all[(*n)++] = (struct moment){ op->invoked, i, false };
        if (op->returned != ORR_NEVER) all[(*n)++] = (struct moment){ op->returned, i, true };
    }
    if (all) qsort(all, *n, sizeof *all, by_time);
    return all;
}

bool lab_tell_history(struct orr_lab *lab, uint64_t key, bool witness, char *out, size_t size) {
    struct orr_history *h = NULL;
    size_t n = 0, cap = 0;
    struct moment *all = moments_of(lab, key, &n, &cap);
    int rc = all ? orr_history_new(&h, &lab->alloc) : -1;
    char line[256];
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = orr_history_read(h, line, (size_t)line_text(&lab->ops[all[i].op], &all[i], witness, line, sizeof line));
    struct orr_report report;
    if (rc == 0) rc = orr_history_judge(h, &(struct orr_judge){ .model = "kv" }, &report);
    bool told = rc == 0 && report.result == ORR_VERDICT_VIOLATED;
    if (told) snprintf(out, size, "%s", report.text);
    orr_history_free(h);
    if (all) lab->alloc.fn(lab->alloc.ud, all, cap * sizeof *all, 0);
    return told;
}
