/* check.h - judges recorded histories: could what clients were told have been told by what the service claims to be?
 *
 * A history is a list of invocations and completions by clients, as lines of JSON or entry by entry:
 *
 *     struct orr_history *h;
 *     orr_history_new(&h, NULL);
 *     orr_history_read(h, text, size);                    // {"process":1,"type":"invoke","f":"set","key":"x",...}
 *     orr_history_end(h);
 *     struct orr_report report;
 *     int rc = orr_history_judge(h, &(struct orr_judge){ .model = "kv" }, &report);
 *     if (rc < 0) puts(orr_history_error(h));             // line 7: process 3 invokes before its call is over
 *     else if (report.result == ORR_VERDICT_VIOLATED) puts(report.text);
 *     orr_history_free(h);
 *
 * Linearizability (Herlihy & Wing 1990) is local, so each key is judged alone. Where the system's own order of the
 * writes is known (the log knows it), it is the witness, and one pass verifies it: no search. Without a witness the
 * order is searched for (Wing & Gong 1993, Lowe 2016), within a budget. Other claims have judges of their own: see
 * orr_judge. orr_check_linearizable is the same search over numbers that are there already.                          */
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

/* -- Histories ----------------------------------------------------------------------------------------------------- */
struct orr_history;
ORR_API int orr_history_new(struct orr_history **out, const struct orr_alloc *alloc);      /* alloc NULL: libc's */
ORR_API void orr_history_free(struct orr_history *h);

/* A piece of JSON lines, cut anywhere. A line is an object:
 *     process  a whole number; a line of any other process (a text) is passed over
 *     type     "invoke", "ok", "fail" (surely not done), "info" (may or may not have been done, now or ever)
 *     f        the call's name          key, value   any JSON; a completion's value is the result
 *     time     ns, for people: the order of the lines is what counts
 *     order    of a completion: its place in the system's own order, from 1 (the witness)
 *     final    true on a read after all has come to rest
 * Other members are passed over. A process has one call at a time; what follows "info" is a new one.
 * 0; -ENOMEM; or ORR_EINVALID: orr_history_error says which line, and nothing more is read. */
ORR_API int orr_history_read(struct orr_history *h, const void *at, size_t size);
/* The last line needs no newline; this says that it has come. */
ORR_API int orr_history_end(struct orr_history *h);
/* "line 12, column 30: ..." of what was refused last; "" when nothing was. Borrowed until the next call. */
ORR_API const char *orr_history_error(const struct orr_history *h);
ORR_API size_t orr_history_count(const struct orr_history *h);     /* operations */

/* -- Judging ------------------------------------------------------------------------------------------------------- */
/* An operation as a model of one's own sees it; texts are JSON. All borrowed during the step. */
struct orr_step {
    size_t operation;               /* its number, by invocation, from 0 */
    int64_t process;
    const char *f, *key, *value, *result;
    bool unknown;                   /* its fate: there is no result */
};
/* A model of one's own: a state is a number, 0 the first one, and equal states have equal numbers. */
struct orr_model {
    /* 1: it may happen in `state`, and *next is the state after it; 0: it may not; < 0: an error, which ends all. */
    int (*step)(void *ud, uint64_t state, const struct orr_step *op, uint64_t *next);
    /* A line on a state, as snprintf does. NULL: nothing is said of states. */
    int (*show)(void *ud, uint64_t state, char *out, size_t size);
    /* Whether this call never changes a state, nor needs a choice: a read. NULL: none is known to. */
    bool (*reads)(void *ud, const char *f);
    void *ud;
    bool by_key;                    /* keys are independent: each is judged alone, from the first state */
};

struct orr_judge {
    /* What the service claims to be; NULL: by the calls' names, where these leave no doubt.
     *   kv            get set del cas append, also read write put delete: linearizable; what is not there is null
     *   register      the same
     *   strings       the same, and what is not there is ""
     *   counter       incr decr add (value: by how much, null is 1), read
     *   queue         enqueue dequeue: first in, first out; null came out of an empty one
     *   lock          acquire release: held by one process; a number from acquire is a fencing token, and grows
     *   fenced-lock   a lock that its holder may lose (a lease): tokens grow, that is all
     *   g-set, broadcast     add (broadcast), read: what was acknowledged is in every final read, nothing is made up
     *   pn-counter    add (incr, decr), read: final reads are the sum
     *   unique-ids    generate: no two are equal
     *   log           send poll: offsets grow, no acknowledged record is lost, none changes its place
     *   append        txn of ["append",k,v] and ["r",k,null]: serializable                                           */
    const char *model;
    const struct orr_model *own;    /* instead of `model` */
    bool sequential;                /* order within each process counts, real time doesn't */
    bool strict;                    /* append: real time counts (strict serializability) */
    bool search;                    /* a witness is there, and is not to be used */
    uint64_t steps_max;             /* budget of one key's search; 0: 100,000,000, of an own model 2,000,000 */
};

struct orr_report {
    enum orr_verdict_result result;
    const char *model;              /* that it was judged by; static, or borrowed from orr_judge */
    const char *property;           /* VIOLATED: what was violated, in a word or two; static */
    const char *text;               /* VIOLATED, UNDECIDED: the counter-example, or why; lines, each ended. Borrowed
                                     * until the next judgement, or the end of the history */
    const uint32_t *lines;          /* lines of the invocations in the counter-example; borrowed as the text is */
    size_t n_lines;
    size_t operations, keys;
    size_t reads, overlapping_reads;        /* as in orr_verdict; of models with reads and writes */
    bool witnessed;                 /* by the order that it bears, without a search */
    uint64_t steps;
};
/* 0 with a report; -ENOMEM; ORR_EINVALID with orr_history_error: the history is none of this model's, or the model is
 * unknown; or what the own model's step gave. */
ORR_API int orr_history_judge(struct orr_history *h, const struct orr_judge *judge, struct orr_report *out);
/* The name of the i-th model; NULL: there are no more. */
ORR_API const char *orr_model_name(size_t i);

#ifdef __cplusplus
}
#endif
#endif
