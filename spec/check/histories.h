/* histories.h - histories of simulated objects, as lines of JSON: linearizable by construction, until one is spoilt.
 *
 * Processes invoke, an object takes their calls one at a time somewhere in between, they return. The objects here are
 * the plainest that can be, and know nothing of the checkers'. */
#ifndef SPEC_CHECK_HISTORIES_H
#define SPEC_CHECK_HISTORIES_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum model { KV, STRINGS, COUNTER, QUEUE, LOCK, N_MODELS };
static const char *const model_names[] = { "kv", "strings", "counter", "queue", "lock" };

enum verb { GET, SET, CAS, DEL, APPEND, ADD, READ, ENQUEUE, DEQUEUE, ACQUIRE, RELEASE };
static const char *const verb_names[] = { "get", "set", "cas", "del", "append", "add", "read", "enqueue", "dequeue",
                                          "acquire", "release" };
enum { OK, FAIL, INFO };
enum { TEXT_MAX = 4096, QUEUE_MAX = 4096 };

struct op {
    int process, key, verb, a, b;   /* arguments */
    int result;                     /* 0: null, or false */
    const char *text;               /* of GET in STRINGS */
    int outcome;
    uint32_t invoked, returned;     /* lines; returned 0: never */
    uint64_t order;
    bool took_effect;
};
struct object {
    int value, held_by, token;      /* held_by: process + 1 */
    int queue[QUEUE_MAX], in, out;
    char *text;
    size_t size;
};
struct history {
    enum model model;
    struct op *ops;
    uint32_t n;
    char *lines;
    size_t size, cap;
};
struct shape {
    enum model model;
    uint32_t n;
    int processes, keys, values;    /* values 0: each is written once */
    double reads, unknown;
    bool order;                     /* completions bear it */
};

/* One call on one object. `fill`: its result is set, else it is compared with; false: it doesn't fit. */
static inline bool act(enum model model, struct object *o, struct op *op, bool fill, bool any) {
    int result = 1;
    switch (op->verb) {
    case GET:
        if (model == STRINGS) {
            if (fill) op->text = strndup(o->text ? o->text : "", o->size);
            if (fill || any) return true;
            return strlen(op->text) == o->size && memcmp(op->text, o->text ? o->text : "", o->size) == 0;
        }
        result = o->value;
        break;
    case SET:
        o->value = op->a;
        if (model == STRINGS) o->size = 0;
        if (model != STRINGS) break;
        /* fall through */
    case APPEND:
        o->text = realloc(o->text, o->size + 16);
        o->size += (size_t)sprintf(o->text + o->size, "%d.", op->a);
        break;
    case CAS:
        result = o->value == op->a;
        if (result && (any || fill || op->result)) o->value = op->b;
        break;
    case DEL:
        result = o->value != 0;
        o->value = 0;
        break;
    case ADD: o->value += op->a; break;
    case READ: result = o->value; break;
    case ENQUEUE: o->queue[o->in++] = op->a; break;
    case DEQUEUE: result = o->in > o->out ? o->queue[o->out++] : 0; break;
    case ACQUIRE:
        result = o->held_by ? 0 : fill ? ++o->token : any ? o->token : op->result;
        if (!fill && !any && (result ? result <= o->token : !o->held_by)) return false;
        if (!o->held_by) o->held_by = op->process + 1, o->token = result;
        break;
    default:
        result = o->held_by == op->process + 1;
        if (result) o->held_by = 0;
    }
    bool tells = op->verb != SET && op->verb != APPEND && op->verb != ADD && op->verb != ENQUEUE;
    if (fill) op->result = result;
    return any || !tells || op->result == result;
}

/* -- As lines ------------------------------------------------------------------------------------------------------ */
static inline void put(struct history *h, const char *text) {
    size_t size = strlen(text);
    if (h->size + size + 1 > h->cap) h->lines = realloc(h->lines, h->cap = 2 * (h->size + size + 1));
    memcpy(h->lines + h->size, text, size + 1);
    h->size += size;
}

static inline void write_line(struct history *h, const struct op *op, bool end) {
    static const char *const ends[] = { "ok", "fail", "info" };
    char value[128] = "null", line[256];
    bool text = h->model == STRINGS;
    if (!end || op->verb == SET || op->verb == APPEND) {
        if (op->verb == CAS && op->a) snprintf(value, sizeof value, "[%d,%d]", op->a, op->b);
        else if (op->verb == CAS) snprintf(value, sizeof value, "[null,%d]", op->b);
        else if (text && (op->verb == SET || op->verb == APPEND)) snprintf(value, sizeof value, "\"%d.\"", op->a);
        else if (op->verb == SET || op->verb == ADD || op->verb == ENQUEUE) snprintf(value, sizeof value, "%d", op->a);
    } else if (op->outcome == OK) {
        bool flag = op->verb == CAS || op->verb == DEL || op->verb == RELEASE || (op->verb == ACQUIRE && !op->result);
        if (flag) strcpy(value, op->result ? "true" : "false");
        else if (op->result && op->verb != ADD && op->verb != ENQUEUE) snprintf(value, sizeof value, "%d", op->result);
        else if (op->verb == READ) strcpy(value, "0");
    }
    const char *f = op->verb == SET && text ? "put" : verb_names[op->verb];
    snprintf(line, sizeof line, "{\"process\":%d,\"type\":\"%s\",\"f\":\"%s\",\"key\":\"k%d\"", op->process,
             end ? ends[op->outcome] : "invoke", f, op->key);
    put(h, line);
    if (end && op->order && op->took_effect) {
        snprintf(line, sizeof line, ",\"order\":%" PRIu64, op->order);
        put(h, line);
    }
    put(h, ",\"value\":");
    if (end && op->verb == GET && text && op->outcome == OK) put(h, "\""), put(h, op->text), put(h, "\"");
    else put(h, value);
    put(h, "}\n");
}

/* The lines anew, of these ops alone (NULL: all), in the order of their lines; their own line numbers stay. */
static inline void rewrite(struct history *h, const bool *only) {
    uint32_t last = 0;
    h->size = 0;
    put(h, "");
    for (uint32_t i = 0; i < h->n; i++) {
        if (h->ops[i].invoked > last) last = h->ops[i].invoked;
        if (h->ops[i].returned > last) last = h->ops[i].returned;
    }
    struct line { const struct op *op; bool end; } *lines = calloc(last + 1, sizeof *lines);
    for (uint32_t i = 0; i < h->n; i++) {
        if (only && !only[i]) continue;
        lines[h->ops[i].invoked] = (struct line){ &h->ops[i], false };
        if (h->ops[i].returned) lines[h->ops[i].returned] = (struct line){ &h->ops[i], true };
    }
    for (uint32_t line = 1; line <= last; line++)
        if (lines[line].op) write_line(h, lines[line].op, lines[line].end);
    free(lines);
}

/* -- Simulated ----------------------------------------------------------------------------------------------------- */
static inline void choose(struct orr_rng *rng, const struct shape *s, struct op *op, const struct object *o,
                          int *fresh) {
    double luck = orri_rng_unit(rng);
    int value = s->values ? 1 + (int)orri_rng_below(rng, (uint64_t)s->values) : ++*fresh;
    op->a = value;
    switch (s->model) {
    case KV:
        op->verb = luck < s->reads ? GET : orri_rng_below(rng, 3) ? SET : orri_rng_below(rng, 3) ? CAS : DEL;
        if (op->verb != CAS) return;
        op->a = orri_rng_below(rng, 2) ? o->value : value + 1;
        op->b = value;
        return;
    case STRINGS: op->verb = luck < s->reads ? GET : orri_rng_below(rng, 6) ? APPEND : SET; return;
    case COUNTER:
        op->verb = luck < s->reads ? READ : ADD;
        op->a = 1 + value % 3;
        return;
    case QUEUE: op->verb = luck < 0.5 ? ENQUEUE : DEQUEUE; return;
    default: op->verb = luck < 0.5 ? ACQUIRE : RELEASE;
    }
}

static inline void simulate(struct history *h, const struct shape *s, uint64_t seed) {
    struct orr_rng rng;
    orri_rng_init(&rng, seed);
    struct object *objects = calloc((size_t)s->keys, sizeof *objects);
    int *open = calloc((size_t)s->processes, sizeof *open);         /* op + 1 */
    uint64_t *order = calloc((size_t)s->keys, sizeof *order);
    *h = (struct history){ .model = s->model, .ops = calloc(s->n, sizeof *h->ops) };
    uint32_t line = 0, over = 0;
    int fresh = 0;
    put(h, "");
    while (over < s->n) {
        int p = (int)orri_rng_below(&rng, (uint64_t)s->processes);
        struct op *op = open[p] ? &h->ops[open[p] - 1] : NULL;
        if (!op) {
            if (h->n == s->n) continue;
            op = &h->ops[h->n++];
            *op = (struct op){ .process = p, .key = (int)orri_rng_below(&rng, (uint64_t)s->keys) };
            choose(&rng, s, op, &objects[op->key], &fresh);
            op->invoked = ++line;
            open[p] = (int)h->n;
            if (orri_rng_chance(&rng, s->unknown)) op->outcome = INFO;
            write_line(h, op, false);
            continue;
        }
        bool skips = op->outcome == INFO && !op->took_effect && orri_rng_chance(&rng, 0.5);
        if (!op->took_effect && !skips) {
            struct object before = objects[op->key];
            act(s->model, &objects[op->key], op, true, false);
            const struct object *now = &objects[op->key];
            bool changed = before.value != now->value || before.size != now->size || before.in != now->in
                           || before.out != now->out || before.held_by != now->held_by || op->verb == SET
                           || (op->verb == CAS && op->result) || op->verb == APPEND || op->verb == ADD;
            if (s->order && changed) op->order = ++order[op->key];
            op->took_effect = true;
            continue;
        }
        op->returned = ++line;
        open[p] = 0;
        over++;
        write_line(h, op, true);
    }
    for (int k = 0; k < s->keys; k++) free(objects[k].text);
    free(objects);
    free(open);
    free(order);
}

static inline void history_free(struct history *h) {
    for (uint32_t i = 0; i < h->n; i++) free((char *)h->ops[i].text);
    free(h->ops);
    free(h->lines);
}

#endif
