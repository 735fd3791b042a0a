/* check.h - judges recorded histories: was every answer one that a single register a key could have given?
 *
 * A history is an array of operations by clients, each with the times of its invocation and return. Linearizability
 * (Herlihy & Wing 1990) is local, so each key is judged alone. Where the system's own order of the writes is known (the
 * log knows it), it is the witness, and one pass verifies it: no search.
 * Without a witness the order is searched for (Wing & Gong 1993, with Lowe's memo), within a budget.
 *
 *     struct orr_operation ops[] = {
 *         { .process = 1, .call = ORR_CALL_SET, .key = 7, .value = 1, .invoked = 0, .returned = 10,
 *           .outcome = ORR_OUTCOME_OK },
 *         { .process = 2, .call = ORR_CALL_GET, .key = 7, .got = 1, .invoked = 5, .returned = 8,
 *           .outcome = ORR_OUTCOME_OK } };
 *     struct orr_verdict v;
 *     orr_check_linearizable(ops, 2, NULL, &v);           // v.result == ORR_VERDICT_OK
 *
 * Keys and values are numbers (the caller interns texts); value 0 is "nothing there".                                */
#ifndef ORR_CHECK_H
#define ORR_CHECK_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum orr_call {
    ORR_CALL_GET,                   /* got: the value seen */
    ORR_CALL_SET,                   /* value: written */
    ORR_CALL_CAS,                   /* expected, value; got: 1 it was swapped, 0 the value was another */
    ORR_CALL_DEL                    /* got: 1 there was one, 0 there was none */
};
enum orr_outcome {
    ORR_OUTCOME_OK,
    ORR_OUTCOME_FAIL,               /* surely not done */
    ORR_OUTCOME_INFO                /* may or may not have been done, now or ever:
                                     * `returned` counts for nothing, nor does `got` */
};
struct orr_operation {
    uint32_t process;
    uint8_t call, outcome;          /* enum orr_call, enum orr_outcome */
    uint64_t key, value, expected, got;
    orr_time invoked, returned;
    uint64_t order;                 /* witness: place among the writes of this key, from 1; 0:
                                     * not among them (reads: 0) */
};

enum orr_verdict_result { ORR_VERDICT_OK, ORR_VERDICT_VIOLATED, ORR_VERDICT_UNDECIDED };
struct orr_verdict {
    enum orr_verdict_result result;
    uint64_t key;                   /* VIOLATED, UNDECIDED: where */
    size_t operation;               /* VIOLATED: index of the first operation that finds no place */
    uint64_t value;                 /* VIOLATED: what was there when it had to be placed */
    size_t overlapping_reads;       /* reads whose time overlaps that of a write of their key, and all reads: */
    size_t reads;                   /* how hard the history was */
    uint64_t steps;                 /* work done */
};
struct orr_check_config {
    const struct orr_alloc *alloc;  /* NULL: libc's */
    bool witness;                   /* `order` is filled in: verify it, don't search */
    uint64_t steps_max;             /* budget of the search; 0: 10,000,000 */
};

/* 0 with a verdict, or -ENOMEM, or ORR_EINVALID (an operation that returns before it is invoked,
 * an unknown call). cfg may be NULL. */
ORR_API int orr_check_linearizable(const struct orr_operation *ops, size_t n, const struct orr_check_config *cfg,
                                   struct orr_verdict *out);
/* One line on an operation: `process 3 set k7 = 12 at 1.203..1.210: ok`; returns as snprintf does. */
ORR_API int orr_operation_show(const struct orr_operation *op, char *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
