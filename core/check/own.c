/* own.c - a model of the user's own as an object of the search; and several objects as one. */
#include <errno.h>
#include <string.h>

#include "check/model.h"

/* -- A model of one's own ------------------------------------------------------------------------------------------ */
struct own {
    const struct orr_model *model;
    struct orr_step *steps;         /* by call */
    uint64_t now, *before;
    uint32_t height;
};

static int own_step(void *ud, uint32_t at) {
    struct own *o = ud;
    uint64_t next = o->now;
    int rc = o->model->step(o->model->ud, o->now, &o->steps[at], &next);
    if (rc != 1) return rc;
    o->before[o->height++] = o->now;
    o->now = next;
    return 1;
}
static void own_undo(void *ud, uint32_t at) {
    struct own *o = ud;
    (void)at;
    o->now = o->before[--o->height];
}
static struct orr_hash128 own_state(void *ud) { return (struct orr_hash128){ ((struct own *)ud)->now, 0 }; }
static void own_show(void *ud, struct orri_text *out) {
    struct own *o = ud;
    char line[200] = "";
    if (o->model->show(o->model->ud, o->now, line, sizeof line) >= 0) orri_text_add(out, "%s", line);
}
static int own_reset(void *ud, const struct orri_item *items, uint32_t n, bool look) {
    struct own *o = ud;
    (void)items, (void)n, (void)look;
    o->now = 0;
    o->height = 0;
    return 0;
}

/* A value as JSON, in the arena. NULL: memory is out. */
static const char *json_of(struct orri_part *part, orri_id id) {
    struct orri_text text = { .alloc = part->h->alloc };
    orri_value_show(&part->h->values, id, SIZE_MAX, &text);
    char *at = text.failed ? NULL : orri_take(part->arena, text.size + 1, 1);
    if (at) memcpy(at, text.at, text.size + 1);
    orri_text_clear(&text);
    return at;
}

int orri_load_own(struct orri_part *part) {
    struct own *o = orri_take_zeroed(part->arena, 1, sizeof *o);
    if (!o) return -ENOMEM;
    o->model = part->own;
    o->steps = orri_take(part->arena, part->n + 1u, sizeof *o->steps);
    o->before = orri_take(part->arena, part->n + 1u, sizeof *o->before);
    if (!o->steps || !o->before) return -ENOMEM;
    for (uint32_t at = 0; at < part->n; at++) {
        const struct orri_call *c = &part->h->calls[part->calls[at]];
        size_t size;
        o->steps[at] = (struct orr_step){ .operation = part->calls[at], .process = c->process,
                                          .f = orri_name(part->h, c->f, &size), .key = json_of(part, c->key),
                                          .value = json_of(part, c->in), .result = json_of(part, c->out),
                                          .unknown = c->outcome != ORR_OUTCOME_OK };
        if (!o->steps[at].key || !o->steps[at].value || !o->steps[at].result) return -ENOMEM;
        part->reads[at] = o->model->reads && o->model->reads(o->model->ud, o->steps[at].f);
        part->skip[at] = part->reads[at] && o->steps[at].unknown;
    }
    part->object = (struct orri_object){ own_reset, own_step, own_undo, own_state, NULL, NULL,
                                         o->model->show ? own_show : NULL, NULL, NULL, o };
    return 0;
}

/* -- Several as one: where keys can't be judged alone -------------------------------------------------------------- */
struct together {
    struct orri_part *parts;
    uint32_t n_parts;
    const uint32_t *part_of, *call_of;      /* by call */
    struct orri_item *scratch;
    uint32_t *from;                 /* by part + 1: where its items begin in scratch */
    struct orr_hash128 sum;
};

static struct orr_hash128 share(const struct together *t, uint32_t part) {
    struct orr_hash128 state = t->parts[part].object.state(t->parts[part].object.ud);
    uint64_t words[3] = { state.low, state.high, part };
    return orri_hash128(words, sizeof words, 0x746f67);
}
static void add(struct together *t, uint32_t part) {
    struct orr_hash128 h = share(t, part);
    t->sum.low ^= h.low;
    t->sum.high ^= h.high;
}
static int together_step(void *ud, uint32_t at) {
    struct together *t = ud;
    const struct orri_object *o = &t->parts[t->part_of[at]].object;
    add(t, t->part_of[at]);
    int rc = o->step(o->ud, t->call_of[at]);
    add(t, t->part_of[at]);
    return rc;
}
static void together_undo(void *ud, uint32_t at) {
    struct together *t = ud;
    const struct orri_object *o = &t->parts[t->part_of[at]].object;
    add(t, t->part_of[at]);
    o->undo(o->ud, t->call_of[at]);
    add(t, t->part_of[at]);
}
static struct orr_hash128 together_state(void *ud) { return ((struct together *)ud)->sum; }
static bool together_useless_here(void *ud, uint32_t at) {
    struct together *t = ud;
    const struct orri_object *o = &t->parts[t->part_of[at]].object;
    return o->useless_here && o->useless_here(o->ud, t->call_of[at]);
}
static bool together_useless(void *ud, uint32_t at) {
    struct together *t = ud;
    const struct orri_object *o = &t->parts[t->part_of[at]].object;
    return o->useless && o->useless(o->ud, t->call_of[at]);
}

static int together_reset(void *ud, const struct orri_item *items, uint32_t n, bool look) {
    struct together *t = ud;
    t->sum = (struct orr_hash128){ 0, 0 };
    memset(t->from, 0, (t->n_parts + 1) * sizeof *t->from);
    for (uint32_t i = 0; i < n; i++) t->from[t->part_of[items[i].call] + 1]++;
    for (uint32_t part = 0; part < t->n_parts; part++) t->from[part + 1] += t->from[part];
    for (uint32_t i = n; i > 0; i--) {          /* each part's from its end: the sums come to point to its beginning */
        uint32_t at = --t->from[t->part_of[items[i - 1].call] + 1];
        t->scratch[at] = items[i - 1];
        t->scratch[at].call = t->call_of[items[i - 1].call];
    }
    for (uint32_t part = 0; part < t->n_parts; part++) {
        uint32_t begin = t->from[part + 1], end = part + 1 < t->n_parts ? t->from[part + 2] : n;
        const struct orri_object *o = &t->parts[part].object;
        int rc = o->reset(o->ud, t->scratch + begin, end - begin, look);
        if (rc < 0) return rc;
        add(t, part);
    }
    return 0;
}

int orri_together(struct orri_object *out, struct orri_arena *arena, struct orri_part *parts, uint32_t n_parts,
                  const uint32_t *part_of, const uint32_t *call_of, uint32_t n_calls) {
    struct together *t = orri_take_zeroed(arena, 1, sizeof *t);
    if (!t) return -ENOMEM;
    *t = (struct together){ .parts = parts, .n_parts = n_parts, .part_of = part_of, .call_of = call_of };
    t->scratch = orri_take(arena, n_calls + 1u, sizeof *t->scratch);
    t->from = orri_take(arena, n_parts + 2u, sizeof *t->from);
    if (!t->scratch || !t->from) return -ENOMEM;
    *out = (struct orri_object){ together_reset, together_step, together_undo, together_state, together_useless_here,
                                 together_useless, NULL, NULL, NULL, t };
    return 0;
}
