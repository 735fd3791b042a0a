/* judge.c - takes a history to its model: each key through the search, or all to a judge of its own; and tells.
 *
 * Where the witness's order is known it is followed. Whatever is violated is shrunk to the calls that contradict each
 * other, and told as a drawing, a list with the lines, and how far the best try came. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check/model.h"
#include "check/overlap.h"
#include "check/shrink.h"

enum { STEPS_MAX = 100000000, OWN_STEPS_MAX = 2000000, TELL_STEPS = 1000000 };

/* -- Models -------------------------------------------------------------------------------------------------------- */
static const char *const store[] = { "get", "set", "cas", "del", "append", "read", "write", "put", "delete", NULL };
static const char *const counting[] = { "incr", "decr", "add", "read", NULL };
static const char *const queueing[] = { "enqueue", "dequeue", NULL };
static const char *const locking[] = { "acquire", "release", NULL };
static const char *const adding[] = { "add", "broadcast", "read", NULL };
static const char *const generating[] = { "generate", NULL };
static const char *const logging[] = { "send", "poll", NULL };
static const char *const transacting[] = { "txn", NULL };

static const struct orri_model models[] = {
    { "kv", store, orri_load_kv, NULL, true },
    { "register", store, orri_load_kv, NULL, false },
    { "strings", store, orri_load_strings, NULL, false },
    { "counter", counting, orri_load_counter, NULL, false },
    { "queue", queueing, orri_load_queue, NULL, true },
    { "lock", locking, orri_load_lock, NULL, true },
    { "fenced-lock", locking, orri_load_fenced_lock, NULL, false },
    { "g-set", adding, NULL, orri_judge_set, false },
    { "broadcast", adding, NULL, orri_judge_set, false },
    { "pn-counter", counting, NULL, orri_judge_sum, false },
    { "unique-ids", generating, NULL, orri_judge_unique, true },
    { "log", logging, NULL, orri_judge_log, true },
    { "append", transacting, NULL, orri_judge_append, true },
};
enum { N_MODELS = sizeof models / sizeof models[0] };
static const struct orri_model own_model = { "own", NULL, orri_load_own, NULL, false };

const char *orr_model_name(size_t i) { return i < N_MODELS ? models[i].name : NULL; }

static bool knows(const struct orr_history *h, const struct orri_model *model, orri_id f) {
    for (const char *const *call = model->calls; call && *call; call++)
        if (orri_is(h, f, *call)) return true;
    return !model->calls;
}

/* The first call that is none of the model's; n: there is none. */
static size_t stranger(const struct orr_history *h, const struct orri_model *model) {
    orri_id known = ORRI_NULL;
    for (size_t i = 0; i < h->n; i++) {
        if (h->calls[i].f == known) continue;
        if (!knows(h, model, h->calls[i].f)) return i;
        known = h->calls[i].f;
    }
    return h->n;
}

static int refuse_stranger(struct orr_history *h, const struct orri_model *model, size_t at) {
    char list[120] = "";
    size_t size, n = 0;
    for (const char *const *call = model->calls; *call; call++) {
        size_t length = strlen(*call);
        if (n > 0) memcpy(list + n, ", ", 2), n += 2;
        memcpy(list + n, *call, length + 1);
        n += length;
    }
    return orri_refuse(h, h->calls[at].invoked, "'%.40s' is no call of model %s (it has %s)",
                       orri_name(h, h->calls[at].f, &size), model->name, list);
}

static int choose(struct orr_history *h, const struct orr_judge *judge, const struct orri_model **out) {
    *out = NULL;
    if (judge->own) *out = &own_model;
    for (size_t i = 0; i < N_MODELS && !*out; i++) {
        if (judge->model ? strcmp(judge->model, models[i].name) != 0 : !models[i].guessed) continue;
        if (judge->model || stranger(h, &models[i]) == h->n) *out = &models[i];
    }
    if (!*out && judge->model) return orri_refuse(h, 0, "there is no model '%.40s'", judge->model);
    if (!*out) return orri_refuse(h, 0, "the names of the calls fit several models, or none: which one is it?");
    if (judge->sequential && !(*out)->load) return orri_refuse(h, 0, "model %s has no order to be sequential",
                                                               (*out)->name);
    size_t at = stranger(h, *out);
    return at < h->n ? refuse_stranger(h, *out, at) : 0;
}

/* -- Parts of a history -------------------------------------------------------------------------------------------- */
struct ordering {                   /* a history on its way through the search */
    struct orr_history *h;
    const struct orri_model *model;
    struct orri_judgement *j;
    uint32_t *calls, n;             /* that may have been done; by key, then by invocation */
    struct orri_part *parts;
    uint32_t n_parts;
    struct orri_search *search;
    bool witness, together;
};

struct keyed { orri_id key; uint32_t call; };
static int by_key(const void *a, const void *b) {
    const struct keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->call < y->call ? -1 : x->call > y->call;
}

/* With a witness, a call of unknown fate that it doesn't have was never done. */
static bool counts(const struct ordering *o, const struct orri_call *c) {
    if (c->outcome == ORR_OUTCOME_FAIL) return false;
    return c->outcome == ORR_OUTCOME_OK || !o->witness || c->order != 0;
}

static int divide(struct ordering *o) {
    const struct orr_model *own = o->j->judge->own;
    bool one = own && !own->by_key;
    size_t n = o->h->n;
    struct keyed *keyed = orri_take(o->j->arena, n + 1, sizeof *keyed);
    o->calls = orri_take(o->j->arena, n + 1, sizeof *o->calls);
    if (!keyed || !o->calls) return -ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        if (counts(o, &o->h->calls[i])) keyed[o->n++] = (struct keyed){ one ? 0 : o->h->calls[i].key, i };
    if (o->n > 1) qsort(keyed, o->n, sizeof *keyed, by_key);
    for (uint32_t i = 0; i < o->n; i++) {
        o->calls[i] = keyed[i].call;
        if (i == 0 || keyed[i].key != keyed[i - 1].key) o->n_parts++;
    }
    o->parts = orri_take_zeroed(o->j->arena, o->n_parts + 1u, sizeof *o->parts);
    if (!o->parts) return -ENOMEM;
    for (uint32_t i = 0, part = 0; i < o->n; part++) {
        struct orri_part *p = &o->parts[part];
        *p = (struct orri_part){ .h = o->h, .arena = o->j->arena, .calls = o->calls + i, .own = own };
        for (orri_id key = keyed[i].key; i < o->n && keyed[i].key == key; i++) p->n++;
    }
    return 0;
}

static int load(struct ordering *o, struct orri_part *part) {
    part->skip = orri_take_zeroed(part->arena, part->n + 1u, sizeof *part->skip);
    part->reads = orri_take_zeroed(part->arena, part->n + 1u, sizeof *part->reads);
    part->twins = orri_take_zeroed(part->arena, part->n + 1u, sizeof *part->twins);
    return part->skip && part->reads && part->twins ? o->model->load(part) : -ENOMEM;
}

static struct orri_item item_of(const struct ordering *o, const struct orri_part *part, uint32_t at) {
    const struct orri_call *c = &o->h->calls[part->calls[at]];
    return (struct orri_item){ .call = at, .twins = part->twins[at], .invoked = c->invoked,
                               .returned = c->outcome == ORR_OUTCOME_OK ? c->returned : ORR_NEVER,
                               .order = o->witness ? c->order : 0, .reads = part->reads[at] };
}

/* -- Telling ------------------------------------------------------------------------------------------------------- */
static int by_call(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* How far the best try came: with what was left out, where that helps. */
static void tell_try(struct ordering *o, const struct orri_problem *trial, const uint32_t *call_of,
                     const struct orri_outcome *outcome) {
    struct orri_text *text = &o->h->text;
    const struct orri_object *object = trial->object;
    enum { TOLD = 6 };
    orri_text_add(text, "\nNo order that %s fits, whatever else was done. The longest try: ",
                  trial->by_process ? "keeps each process's own" : "real time allows");
    if (outcome->height > TOLD) orri_text_add(text, "%" PRIu32 " others, ", outcome->height - TOLD);
    for (uint32_t i = 0; i < outcome->height; i++) {
        const struct orri_item *x = &trial->items[outcome->trail[i]];
        if (object->step(object->ud, x->call) != 1) return;
        if (i + TOLD < outcome->height) continue;
        orri_call_show(o->h, &o->h->calls[call_of[x->call]], text);
        orri_text_add(text, i + 1 < outcome->height ? ", " : ";");
    }
    if (outcome->height == 0) orri_text_add(text, "none, from the beginning;");
    if (object->show) orri_text_add(text, " then it is "), object->show(object->ud, text), orri_text_add(text, ",");
    orri_text_add(text, " and ");
    orri_call_show(o->h, &o->h->calls[call_of[trial->items[outcome->stuck].call]], text);
    orri_text_add(text, " can neither follow nor wait.\n");
}

/* The core of a violation: its drawing, its lines, and why. `call_of`: the history's number of each of its calls. */
static int tell(struct ordering *o, struct orri_problem *trial, const uint32_t *calls, uint32_t n,
                const uint32_t *call_of, bool minimal) {
    struct orr_history *h = o->h;
    struct orri_outcome outcome;
    if (n == 1) orri_text_add(&h->text, "this call can't have happened:\n\n");
    else orri_text_add(&h->text, "these %" PRIu32 " calls fit into no order%s:\n\n", n,
                       minimal ? "" : " (fewer might do)");
    if (orri_draw(h, o->j->arena, calls, n) < 0) return -ENOMEM;
    orri_text_add(&h->text, "\n");
    for (uint32_t i = 0; i < n; i++) {
        const struct orri_call *c = &h->calls[calls[i]];
        if (orri_blame(h, o->j, c->invoked) < 0) return -ENOMEM;
        orri_text_add(&h->text, "  ");
        orri_call_show(h, c, &h->text);
        orri_text_add(&h->text, "  (");
        orri_place_show(c, &h->text);
        orri_text_add(&h->text, ")\n");
    }
    trial->look = false;            /* it goes as far as it can, and doesn't give up before */
    if (trial->steps_max > TELL_STEPS) trial->steps_max = TELL_STEPS;
    int rc = orri_search_run(o->search, trial, &outcome);
    if (rc < 0 || outcome.result != ORR_VERDICT_VIOLATED || outcome.stuck == ORRI_NONE) return rc;
    rc = trial->object->reset(trial->object->ud, trial->items, trial->n, false);
    if (rc == 0) tell_try(o, trial, call_of, &outcome);
    return rc;
}

static int explain(struct ordering *o, struct orri_problem *p, const uint32_t *call_of, orri_id key) {
    struct orri_core core;
    struct orri_outcome outcome;
    struct orri_text *text = &o->h->text;
    if (p->witness) {               /* is it the order alone that is wrong? */
        struct orri_problem free = *p;
        free.witness = false;
        int rc = orri_search_run(o->search, &free, &outcome);
        if (rc < 0) return rc;
        if (outcome.result == ORR_VERDICT_VIOLATED) *p = free;
        else orri_text_add(text, "in the order that it bears (%s), ", outcome.result == ORR_VERDICT_OK
                           ? "another order fits" : "whether another fits was not found out");
    }
    int rc = orri_shrink(o->search, p, o->j->arena, &core);
    if (rc < 0) return rc;
    o->j->report->steps += core.steps;
    uint32_t *calls = orri_take(o->j->arena, core.n + 1u, sizeof *calls);
    if (!calls) return -ENOMEM;
    for (uint32_t i = 0; i < core.n; i++) calls[i] = call_of[p->items[core.items[i]].call];
    qsort(calls, core.n, sizeof *calls, by_call);
    if (key != ORRI_NULL) orri_value_show(&o->h->values, key, 60, text), orri_text_add(text, ": ");
    struct orri_problem trial = *p;
    trial.items = core.trial;
    trial.n = core.n_trial;
    return tell(o, &trial, calls, core.n, call_of, core.minimal);
}

/* -- Each key alone ------------------------------------------------------------------------------------------------ */
static int judge_part(struct ordering *o, struct orri_part *part) {
    struct orr_report *report = o->j->report;
    int rc = load(o, part);
    if (rc < 0) return rc;
    struct orri_item *items = orri_take(o->j->arena, part->n + 1u, sizeof *items);
    if (!items) return -ENOMEM;
    struct orri_problem p = { .object = &part->object, .items = items, .witness = o->witness, .look = true,
                              .steps_max = o->j->judge->steps_max };
    for (uint32_t at = 0; at < part->n; at++)
        if (!part->skip[at]) items[p.n++] = item_of(o, part, at);
    if (part->kv) orri_count_overlaps(items, p.n, part->kv, &report->reads, &report->overlapping_reads);
    struct orri_outcome outcome;
    rc = orri_search_run(o->search, &p, &outcome);
    if (rc < 0) return rc;
    report->steps += outcome.steps;
    orri_id key = o->h->calls[part->calls[0]].key;
    if (outcome.result == ORR_VERDICT_VIOLATED) {
        report->result = ORR_VERDICT_VIOLATED;
        return explain(o, &p, part->calls, part->own && !part->own->by_key ? ORRI_NULL : key);
    }
    if (outcome.result == ORR_VERDICT_UNDECIDED) {
        report->result = ORR_VERDICT_UNDECIDED;
        if (key != ORRI_NULL) orri_value_show(&o->h->values, key, 60, &o->h->text), orri_text_add(&o->h->text, ": ");
        orri_text_add(&o->h->text, "no order of its %" PRIu32 " calls was found, nor that there is none, in %" PRIu64
                      " steps\n", p.n, outcome.steps);
    }
    return 0;
}

static int judge_parts(struct ordering *o) {
    struct orri_arena *whole = o->j->arena, arena;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < o->n_parts && o->j->report->result != ORR_VERDICT_VIOLATED; i++) {
        orri_arena_init(&arena, o->h->alloc);           /* one key's memory at a time */
        o->j->arena = o->parts[i].arena = &arena;
        if (o->parts[i].n > 0) rc = judge_part(o, &o->parts[i]);
        orri_arena_clear(&arena);
    }
    o->j->arena = whole;
    return rc;
}

/* -- All keys together: sequential consistency is not local -------------------------------------------------------- */
static int by_process(const void *a, const void *b) {
    const struct orri_item *x = a, *y = b;
    if (x->process != y->process) return x->process < y->process ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

struct numbered { int64_t process; uint32_t call; };
static int by_number(const void *a, const void *b) {
    const struct numbered *x = a, *y = b;
    if (x->process != y->process) return x->process < y->process ? -1 : 1;
    return x->call < y->call ? -1 : x->call > y->call;
}

/* Each process's own order; what may stay out is bound to no later call of its process, nor to time. */
static int number_processes(struct ordering *o, struct orri_item *items, uint32_t n, const uint32_t *call_of) {
    struct numbered *list = orri_take(o->j->arena, n + 1u, sizeof *list);
    if (!list) return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) list[i] = (struct numbered){ o->h->calls[call_of[items[i].call]].process, i };
    if (n > 1) qsort(list, n, sizeof *list, by_number);
    for (uint32_t i = 0, process = 0; i < n; i++) {
        struct orri_item *x = &items[list[i].call];
        if (i > 0 && list[i].process != list[i - 1].process) process++;
        x->process = process;
        x->order = o->h->calls[call_of[x->call]].invoked;
        x->invoked = 0;
        if (x->returned != ORR_NEVER) x->returned = 0;
        x->twins = 0;
    }
    if (n > 1) qsort(items, n, sizeof *items, by_process);
    return 0;
}

static int judge_together(struct ordering *o) {
    struct orri_arena *arena = o->j->arena;
    uint32_t *part_of = orri_take(arena, o->n + 1u, sizeof *part_of);
    uint32_t *local = orri_take(arena, o->n + 1u, sizeof *local);
    struct orri_item *items = orri_take(arena, o->n + 1u, sizeof *items);
    struct orri_object object;
    struct orri_outcome outcome;
    if (!part_of || !local || !items) return -ENOMEM;
    struct orri_problem p = { .object = &object, .items = items, .by_process = true, .look = true,
                              .steps_max = o->j->judge->steps_max };
    for (uint32_t part = 0, call = 0; part < o->n_parts; part++) {
        int rc = load(o, &o->parts[part]);
        if (rc < 0) return rc;
        for (uint32_t at = 0; at < o->parts[part].n; at++, call++) {
            part_of[call] = part;
            local[call] = at;
            if (o->parts[part].skip[at]) continue;
            items[p.n] = item_of(o, &o->parts[part], at);
            items[p.n++].call = call;
        }
    }
    int rc = orri_together(&object, arena, o->parts, o->n_parts, part_of, local, o->n);
    if (rc == 0) rc = number_processes(o, items, p.n, o->calls);
    if (rc == 0) rc = orri_search_run(o->search, &p, &outcome);
    if (rc < 0) return rc;
    o->j->report->steps += outcome.steps;
    o->j->report->result = outcome.result;
    if (outcome.result == ORR_VERDICT_VIOLATED) return explain(o, &p, o->calls, ORRI_NULL);
    if (outcome.result == ORR_VERDICT_UNDECIDED)
        orri_text_add(&o->h->text, "no order of %" PRIu32 " calls was found, nor that there is none, in %" PRIu64
                      " steps\n", p.n, outcome.steps);
    return 0;
}

static int judge_ordered(struct orr_history *h, const struct orri_model *model, struct orri_judgement *j) {
    struct ordering o = { .h = h, .model = model, .j = j };
    o.together = j->judge->sequential;
    o.witness = h->ordered && !j->judge->search && !o.together;
    j->report->property = o.together ? "sequential" : "linearizable";
    j->report->witnessed = o.witness;
    int rc = divide(&o);
    uint32_t most = 0;
    for (uint32_t i = 0; rc == 0 && i < o.n_parts; i++)
        if (o.parts[i].n > most) most = o.parts[i].n;
    if (o.together) most = o.n;
    if (rc == 0) rc = orri_search_new(&o.search, h->alloc, most);
    if (rc == 0) rc = o.together ? judge_together(&o) : judge_parts(&o);
    orri_search_free(o.search);
    j->report->keys = o.n_parts;
    return rc;
}

int orr_history_judge(struct orr_history *h, const struct orr_judge *judge, struct orr_report *out) {
    static const struct orr_judge none;
    struct orr_judge asked = judge ? *judge : none;
    struct orri_arena arena;
    struct orri_judgement j = { .report = out, .judge = &asked, .arena = &arena };
    const struct orri_model *model;
    *out = (struct orr_report){ .operations = h->n };
    orri_text_clear(&h->text);
    if (h->status < 0) return h->status;
    if (asked.steps_max == 0) asked.steps_max = asked.own ? OWN_STEPS_MAX : STEPS_MAX;
    int rc = choose(h, &asked, &model);
    if (rc < 0) return rc;
    orri_arena_init(&arena, h->alloc);
    out->model = model->name;
    rc = model->load ? judge_ordered(h, model, &j) : model->judge(h, &j);
    orri_arena_clear(&arena);
    if (rc == 0 && h->text.failed) rc = -ENOMEM;
    if (out->result != ORR_VERDICT_OK) out->text = h->text.at;
    if (out->result != ORR_VERDICT_VIOLATED) out->property = NULL;
    return rc;
}
