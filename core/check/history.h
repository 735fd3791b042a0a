/* history.h - what clients did: invocations and completions, paired, in the order of their lines.
 *
 * That order is the history's time: a call takes place somewhere between its two lines. The `time` of a line is told
 * to people, nothing else. */
#ifndef ORRI_CHECK_HISTORY_H
#define ORRI_CHECK_HISTORY_H

#include <orrery/check.h>

#include "base/map.h"
#include "check/json.h"

#define ORRI_OPEN UINT32_MAX        /* the line of a completion that never came */

struct orri_call {
    int64_t process;
    orri_id f, key, in, out;        /* out: the completion's value */
    uint32_t invoked, returned;     /* lines, from 1 */
    orr_time time, time_returned;
    uint64_t order;                 /* the witness's; 0: none */
    uint8_t outcome;                /* enum orr_outcome */
    bool final;                     /* marked as one of the last reads */
    bool has_time;
};

struct orri_process;
struct orr_history {
    const struct orr_alloc *alloc;
    struct orri_values values;
    struct orri_json json;
    struct orri_call *calls;
    size_t n, cap;
    struct orr_map processes;       /* number -> struct orri_process, in the values' arena */
    struct orri_process *recent;    /* the one asked for last */
    uint32_t lines;
    char *carry;                    /* a line whose end hasn't come */
    size_t n_carry, carry_cap;
    bool ordered;                   /* some completion bears an order */
    int status;                     /* of the first wrong line: nothing is read behind it */
    struct orri_text error;
    struct orri_text text;          /* of the last report */
    uint32_t *lines_out;            /* its lines */
    size_t lines_cap;
};

/* A line of an invocation to its operation; processes by the order in which they came. */
const char *orri_name(const struct orr_history *h, orri_id id, size_t *size);

#endif
