/* history.c - reads lines, pairs invocations with completions, and says what is wrong with a line. */
#include "check/history.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"

enum { LINES_MAX = INT32_MAX };

struct orri_process {
    int64_t number;
    size_t call;                    /* its open one, + 1; 0: none */
};
enum type { INVOKE, OK, FAIL, INFO, N_TYPES };
static const char *const types[] = { "invoke", "ok", "fail", "info" };

struct entry {                      /* one line */
    int64_t process, time, order;
    enum type type;
    orri_id f, key, value;
    bool has_process, has_type, has_f, has_key, has_value, has_time, has_order, final, other;
};

int orr_history_new(struct orr_history **out, const struct orr_alloc *alloc) {
    if (!alloc) alloc = &orr_alloc_libc;
    struct orr_history *h = *out = alloc->fn(alloc->ud, NULL, 0, sizeof *h);
    if (!h) return -ENOMEM;
    *h = (struct orr_history){ .alloc = alloc, .error.alloc = alloc, .text.alloc = alloc };
    orri_map_init(&h->processes, alloc, 0);
    if (orri_values_init(&h->values, alloc) < 0) {
        alloc->fn(alloc->ud, h, sizeof *h, 0);
        *out = NULL;
        return -ENOMEM;
    }
    orri_json_init(&h->json, &h->values);
    return 0;
}

void orr_history_free(struct orr_history *h) {
    if (!h) return;
    const struct orr_alloc *alloc = h->alloc;
    if (h->calls) alloc->fn(alloc->ud, h->calls, h->cap * sizeof *h->calls, 0);
    if (h->carry) alloc->fn(alloc->ud, h->carry, h->carry_cap, 0);
    if (h->lines_out) alloc->fn(alloc->ud, h->lines_out, h->lines_cap * sizeof *h->lines_out, 0);
    orri_map_clear(&h->processes);
    orri_json_clear(&h->json);
    orri_values_clear(&h->values);
    orri_text_clear(&h->error);
    orri_text_clear(&h->text);
    alloc->fn(alloc->ud, h, sizeof *h, 0);
}

const char *orr_history_error(const struct orr_history *h) { return h->error.at ? h->error.at : ""; }
size_t orr_history_count(const struct orr_history *h) { return h->n; }

const char *orri_name(const struct orr_history *h, orri_id id, size_t *size) {
    const struct orri_value *v = orri_at(&h->values, id);
    *size = v->kind == ORRI_IS_STRING ? v->n : 0;
    return v->kind == ORRI_IS_STRING ? v->text : "";
}

/* -- One line ------------------------------------------------------------------------------------------------------ */
#define refuse(h, ...) (orri_text_clear(&(h)->error), orri_text_add(&(h)->error, __VA_ARGS__), ORR_EINVALID)

static int read_type(struct orr_history *h, struct entry *e) {
    const char *text;
    size_t size;
    int rc = orri_json_string(&h->json, &text, &size);
    if (rc < 0) return rc;
    for (int t = 0; t < N_TYPES; t++) {
        if (size != strlen(types[t]) || memcmp(text, types[t], size) != 0) continue;
        e->type = (enum type)t;
        e->has_type = true;
        return 0;
    }
    return orri_json_refuse(&h->json, "\"invoke\", \"ok\", \"fail\" or \"info\" as type");
}

static int read_process(struct orr_history *h, struct entry *e) {
    e->has_process = true;
    if (orri_json_next(&h->json) == '"') {      /* not a client: who causes faults says so under a name */
        orri_id id;
        e->other = true;
        return orri_json_value(&h->json, &id);
    }
    return orri_json_integer(&h->json, &e->process);
}

static int read_order(struct orr_history *h, struct entry *e) {
    if (orri_json_next(&h->json) == 'n') {
        orri_id id;
        return orri_json_value(&h->json, &id);
    }
    e->has_order = true;
    return orri_json_integer(&h->json, &e->order);
}

static bool is(const char *name, size_t size, const char *word) {
    return size == strlen(word) && memcmp(name, word, size) == 0;
}

static int read_member(struct orr_history *h, struct entry *e) {
    const char *name;
    size_t size;
    orri_id id;
    struct orri_json *j = &h->json;
    int rc = orri_json_string(j, &name, &size);
    if (rc < 0) return rc;
    enum { PROCESS, TYPE, F, KEY, VALUE, TIME, ORDER, FINAL, OTHER };
    static const char *const names[] = { "process", "type", "f", "key", "value", "time", "order", "final" };
    int what = OTHER;
    for (int i = 0; i < OTHER; i++)
        if (is(name, size, names[i])) what = i;
    if (!orri_json_take(j, ':')) return orri_json_refuse(j, "':'");
    switch (what) {
    case PROCESS: return read_process(h, e);
    case TYPE: return read_type(h, e);
    case F: e->has_f = true; return orri_json_value(j, &e->f);
    case KEY: e->has_key = true; return orri_json_value(j, &e->key);
    case VALUE: e->has_value = true; return orri_json_value(j, &e->value);
    case TIME: e->has_time = true; return orri_json_integer(j, &e->time);
    case ORDER: return read_order(h, e);
    case FINAL:
        rc = orri_json_value(j, &id);
        e->final = id == ORRI_TRUE;
        return rc;
    default: return orri_json_value(j, &id);
    }
}

static int read_entry(struct orr_history *h, struct entry *e) {
    struct orri_json *j = &h->json;
    if (!orri_json_take(j, '{')) return orri_json_refuse(j, "an object");
    if (!orri_json_take(j, '}')) {
        do {
            int rc = read_member(h, e);
            if (rc < 0) return rc;
        } while (orri_json_take(j, ','));
        if (!orri_json_take(j, '}')) return orri_json_refuse(j, "',' or '}'");
    }
    return orri_json_next(j) == '\0' && j->at == j->end ? 0 : orri_json_refuse(j, "nothing behind the object");
}

/* -- Pairing ------------------------------------------------------------------------------------------------------- */
static struct orri_process *process_of(struct orr_history *h, int64_t number) {
    if (h->recent && h->recent->number == number) return h->recent;
    struct orri_process *p = orri_map_get(&h->processes, &number, sizeof number);
    if (!p) {
        p = orri_take(&h->values.arena, 1, sizeof *p);
        if (!p) return NULL;
        *p = (struct orri_process){ .number = number };
        if (orri_map_set(&h->processes, &number, sizeof number, p, NULL) < 0) return NULL;
    }
    return h->recent = p;
}

static int invoke(struct orr_history *h, const struct entry *e, struct orri_process *p) {
    if (p->call)
        return refuse(h, "line %" PRIu32 ": process %" PRId64 " invokes before its call of line %" PRIu32 " is over",
                      h->lines, p->number, h->calls[p->call - 1].invoked);
    if (orri_array_grow(h->alloc, (void **)&h->calls, h->n, &h->cap, sizeof *h->calls) < 0) return -ENOMEM;
    h->calls[h->n] = (struct orri_call){ .process = e->process, .f = e->f, .key = e->key, .in = e->value,
                                         .invoked = h->lines, .returned = ORRI_OPEN, .time = e->time,
                                         .has_time = e->has_time, .outcome = ORR_OUTCOME_INFO, .final = e->final };
    p->call = ++h->n;
    return 0;
}

static int complete(struct orr_history *h, const struct entry *e, struct orri_process *p) {
    if (!p->call)
        return refuse(h, "line %" PRIu32 ": process %" PRId64 " completes a call that it has not invoked", h->lines,
                      p->number);
    struct orri_call *c = &h->calls[p->call - 1];
    size_t n, m;
    if (e->f != c->f) {
        const char *began = orri_name(h, c->f, &n), *ended = orri_name(h, e->f, &m);
        return refuse(h, "line %" PRIu32 ": process %" PRId64 " completes '%.40s', and line %" PRIu32
                      " invoked '%.40s'", h->lines, p->number, ended, c->invoked, began);
    }
    if (e->has_key && e->key != c->key)
        return refuse(h, "line %" PRIu32 ": process %" PRId64 " completes a call of another key than line %" PRIu32
                      " invoked", h->lines, p->number, c->invoked);
    if (e->has_order && e->order < 1) return refuse(h, "line %" PRIu32 ": 'order' counts from 1", h->lines);
    c->out = e->value;
    c->returned = h->lines;
    c->time_returned = e->time;
    c->has_time = c->has_time && e->has_time;
    c->final = c->final || e->final;
    c->order = (uint64_t)e->order;
    c->outcome = e->type == OK ? ORR_OUTCOME_OK : e->type == FAIL ? ORR_OUTCOME_FAIL : ORR_OUTCOME_INFO;
    h->ordered = h->ordered || c->order;
    p->call = 0;
    return 0;
}

static int take_entry(struct orr_history *h, const struct entry *e) {
    const char *missing = !e->has_process ? "process" : !e->has_type ? "type" : !e->has_f ? "f" : NULL;
    if (e->other) return 0;
    if (missing) return refuse(h, "line %" PRIu32 ": '%s' is missing", h->lines, missing);
    if (orri_at(&h->values, e->f)->kind != ORRI_IS_STRING) return refuse(h, "line %" PRIu32 ": 'f' must be a string",
                                                                         h->lines);
    struct orri_process *p = process_of(h, e->process);
    if (!p) return -ENOMEM;
    return e->type == INVOKE ? invoke(h, e, p) : complete(h, e, p);
}

static bool blank(const char *at, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (at[i] != ' ' && at[i] != '\t' && at[i] != '\r') return false;
    return true;
}

static int read_line(struct orr_history *h, const char *at, size_t size) {
    if (h->lines == LINES_MAX) return refuse(h, "more than %d lines", LINES_MAX);
    h->lines++;
    if (blank(at, size)) return 0;
    struct entry e = { 0 };
    orri_json_open(&h->json, at, size);
    int rc = read_entry(h, &e);
    if (rc == ORR_EINVALID)
        return refuse(h, "line %" PRIu32 ", column %zu: expected %s", h->lines, (size_t)(h->json.at - at) + 1,
                      h->json.wrong);
    return rc < 0 ? rc : take_entry(h, &e);
}

/* -- Pieces -------------------------------------------------------------------------------------------------------- */
static int carry(struct orr_history *h, const char *at, size_t size) {
    if (h->n_carry + size > h->carry_cap) {
        size_t cap = 2 * (h->n_carry + size) + 256;
        char *more = h->alloc->fn(h->alloc->ud, h->carry, h->carry_cap, cap);
        if (!more) return -ENOMEM;
        h->carry = more;
        h->carry_cap = cap;
    }
    if (size) memcpy(h->carry + h->n_carry, at, size);
    h->n_carry += size;
    return 0;
}

static int read_lines(struct orr_history *h, const char *at, const char *end) {
    for (const char *newline; (newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL); at = newline + 1) {
        int rc;
        if (h->n_carry == 0) {
            rc = read_line(h, at, (size_t)(newline - at));
        } else {
            rc = carry(h, at, (size_t)(newline - at));
            if (rc == 0) rc = read_line(h, h->carry, h->n_carry);
            h->n_carry = 0;
        }
        if (rc < 0) return rc;
    }
    return carry(h, at, (size_t)(end - at));
}

int orr_history_read(struct orr_history *h, const void *at, size_t size) {
    if (h->status == 0) h->status = read_lines(h, at, (const char *)at + size);
    return h->status;
}

int orr_history_end(struct orr_history *h) {
    if (h->status == 0 && h->n_carry > 0) h->status = read_line(h, h->carry, h->n_carry);
    h->n_carry = 0;
    return h->status;
}
