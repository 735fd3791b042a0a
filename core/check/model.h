/* model.h - what a service may claim to be: names of its calls, and who judges.
 *
 * An ordered model gives the search an object over one part of a history: the calls of one key, or all. The others have
 * a judge of their own. */
#ifndef ORRI_CHECK_MODEL_H
#define ORRI_CHECK_MODEL_H

#include "check/history.h"
#include "check/search.h"

struct orri_part {
    struct orr_history *h;
    struct orri_arena *arena;
    const uint32_t *calls;          /* numbers of the history's calls; what surely wasn't done isn't among them */
    uint32_t n;
    const struct orr_model *own;
    /* Filled in by load; zeroed before. */
    bool *skip;                     /* says nothing: a read of unknown fate */
    bool *reads;                    /* changes no state */
    uint32_t *twins;
    struct orri_object object;
    const struct orri_kv_call *kv;  /* of a store */
};

struct orri_judgement {             /* what judges fill in */
    struct orr_report *report;
    const struct orr_judge *judge;
    struct orri_arena *arena;
};

struct orri_model {
    const char *name;
    const char *const *calls;       /* ended by NULL; NULL: any */
    int (*load)(struct orri_part *part);                    /* ordered models; -ENOMEM, or ORR_EINVALID with an error */
    int (*judge)(struct orr_history *h, struct orri_judgement *j);      /* the others */
    bool guessed;                   /* by the names of its calls, where no model is named */
};

const struct orri_model *orri_model_named(const char *name);
extern const struct orri_model orri_own_model;

int orri_load_kv(struct orri_part *part);
int orri_load_strings(struct orri_part *part);
int orri_load_counter(struct orri_part *part);
int orri_load_queue(struct orri_part *part);
int orri_load_lock(struct orri_part *part);
int orri_load_fenced_lock(struct orri_part *part);
int orri_load_own(struct orri_part *part);

int orri_judge_set(struct orr_history *h, struct orri_judgement *j);
int orri_judge_sum(struct orr_history *h, struct orri_judgement *j);
int orri_judge_unique(struct orr_history *h, struct orri_judgement *j);
int orri_judge_log(struct orr_history *h, struct orri_judgement *j);
int orri_judge_append(struct orr_history *h, struct orri_judgement *j);

/* Of one part, or of several whose states are one state together (when keys can't be judged alone). */
int orri_together(struct orri_object *out, struct orri_arena *arena, struct orri_part *parts, uint32_t n_parts,
                  const uint32_t *part_of, const uint32_t *call_of, uint32_t n_calls);

/* -- Saying what is wrong ------------------------------------------------------------------------------------------ */
bool orri_is(const struct orr_history *h, orri_id id, const char *word);
/* ORR_EINVALID, with "line 12: ..." as the history's error. */
__attribute__((format(printf, 3, 4))) int orri_refuse(struct orr_history *h, uint32_t line, const char *format, ...);
/* `set x 3`, `get x -> 1`, `cas x [1,2] -> false`: the call in a few words. */
void orri_call_show(const struct orr_history *h, const struct orri_call *c, struct orri_text *out);
/* "process 3 (lines 5 to 9)" */
void orri_place_show(const struct orri_call *c, struct orri_text *out);
/* Adds a call to the report's counter-example. */
int orri_blame(struct orr_history *h, struct orri_judgement *j, uint32_t line);
/* Processes as rows, time to the right, these calls as bars. */
int orri_draw(struct orr_history *h, struct orri_arena *arena, const uint32_t *calls, uint32_t n);

#endif
