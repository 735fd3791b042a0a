/* log.c - append-only logs, one for each key: what send was told, and what poll gave.
 *
 * A record has an offset: a send is told it (5, or [5, message]); a poll gives [[5, message], ...], or an object of
 * such lists by key. What must hold:
 *  - one offset has one record, and a record that was sent once has one offset;
 *  - offsets grow in a poll, and from one poll of a process to its next (unless that asks for an offset: its value);
 *  - a send that began after another one was over gets a higher offset;
 *  - a poll passes over no record that is known, and where polls don't choose where they begin, an acknowledged record
 *    below what was polled was polled by somebody (with polls marked final: every acknowledged record);
 *  - what is polled was sent before, and its sending had not failed.                                                */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check/model.h"

struct record {                     /* a record as somebody saw it */
    orri_id key, message;
    int64_t offset;
    uint32_t call, place;           /* in its poll */
    bool sent;
};
struct sending {
    orri_id key, message;
    uint32_t call;
};
struct logs {
    struct orr_history *h;
    struct orri_judgement *j;
    struct record *records;         /* by key, offset, call, place */
    size_t n, cap;
    struct sending *sendings;       /* by key, message, call */
    uint32_t n_sendings;
    bool *chosen, *final;           /* by key: some poll says where it begins; some poll is marked final */
};

#define say(l, ...) orri_text_add(&(l)->h->text, __VA_ARGS__)

static int violate(struct logs *l, const char *property, uint32_t a, uint32_t b) {
    uint32_t calls[2] = { a < b ? a : b, a < b ? b : a };
    l->j->report->result = ORR_VERDICT_VIOLATED;
    l->j->report->property = property;
    say(l, ".\n\n");
    for (uint32_t i = 0; i < (a == b ? 1 : 2); i++)
        if (orri_blame(l->h, l->j, l->h->calls[calls[i]].invoked) < 0) return -ENOMEM;
    return orri_draw(l->h, l->j->arena, calls, a == b ? 1 : 2);
}
static void name(struct logs *l, const struct record *r) {
    say(l, "record ");
    orri_value_show(&l->h->values, r->message, 40, &l->h->text);
    say(l, " at %" PRId64 " of ", r->offset);
    orri_value_show(&l->h->values, r->key, 40, &l->h->text);
    say(l, " (");
    orri_place_show(&l->h->calls[r->call], &l->h->text);
    say(l, ")");
}
static bool goes_on(const struct logs *l, int rc) { return rc == 0 && l->j->report->result == ORR_VERDICT_OK; }

/* -- Reading it in ------------------------------------------------------------------------------------------------- */
static int add(struct logs *l, struct record r) {
    if (orri_array_grow(l->h->alloc, (void **)&l->records, l->n, &l->cap, sizeof r) < 0) return -ENOMEM;
    l->records[l->n++] = r;
    return 0;
}

static int add_send(struct logs *l, uint32_t call) {
    const struct orri_call *c = &l->h->calls[call];
    const struct orri_value *v = orri_at(&l->h->values, c->out);
    l->sendings[l->n_sendings++] = (struct sending){ c->key, c->in, call };
    if (c->outcome != ORR_OUTCOME_OK) return 0;
    if (v->kind == ORRI_IS_ARRAY && v->n == 2) v = orri_at(&l->h->values, v->items[0]);
    if (v->kind != ORRI_IS_INTEGER) return orri_refuse(l->h, c->returned, "the value of send must be an offset");
    return add(l, (struct record){ c->key, c->in, v->integer, call, 0, true });
}

static int add_list(struct logs *l, uint32_t call, orri_id key, orri_id list) {
    const struct orri_values *values = &l->h->values;
    const struct orri_value *v = orri_at(values, list);
    for (uint32_t i = 0; v->kind == ORRI_IS_ARRAY && i < v->n; i++) {
        const struct orri_value *pair = orri_at(values, v->items[i]);
        bool fine = pair->kind == ORRI_IS_ARRAY && pair->n == 2
                    && orri_at(values, pair->items[0])->kind == ORRI_IS_INTEGER;
        if (!fine) return orri_refuse(l->h, l->h->calls[call].returned, "a polled record must be [offset, message]");
        int64_t offset = orri_at(values, pair->items[0])->integer;
        if (add(l, (struct record){ key, pair->items[1], offset, call, i, false }) < 0) return -ENOMEM;
    }
    if (v->kind == ORRI_IS_ARRAY || list == ORRI_NULL) return 0;
    return orri_refuse(l->h, l->h->calls[call].returned, "the value of poll must be a list of [offset, message]");
}

static int add_poll(struct logs *l, uint32_t call) {
    const struct orri_call *c = &l->h->calls[call];
    const struct orri_value *v = orri_at(&l->h->values, c->out);
    if (c->outcome != ORR_OUTCOME_OK) return 0;
    if (v->kind != ORRI_IS_OBJECT) {
        if (c->in != ORRI_NULL) l->chosen[c->key] = true;
        l->final[c->key] = l->final[c->key] || c->final;
        return add_list(l, call, c->key, c->out);
    }
    for (uint32_t i = 0; i < v->n; i += 2) {
        orri_id key = v->items[i];
        if (orri_member(&l->h->values, c->in, key) != ORRI_NULL) l->chosen[key] = true;
        l->final[key] = l->final[key] || c->final;
        int rc = add_list(l, call, key, v->items[i + 1]);
        if (rc < 0) return rc;
    }
    return 0;
}

/* Where a poll was asked to begin; INT64_MIN: it wasn't. */
static int64_t begin_of(const struct logs *l, const struct record *r) {
    const struct orri_call *c = &l->h->calls[r->call];
    const struct orri_value *v = orri_at(&l->h->values, c->in);
    if (v->kind == ORRI_IS_OBJECT) v = orri_at(&l->h->values, orri_member(&l->h->values, c->in, r->key));
    return v->kind == ORRI_IS_INTEGER ? v->integer : INT64_MIN;
}

/* -- Orders -------------------------------------------------------------------------------------------------------- */
static int less(int64_t a, int64_t b) { return a < b ? -1 : a > b; }
static int by_offset(const void *a, const void *b) {
    const struct record *x = a, *y = b;
    int rc = less(x->key, y->key);
    if (rc == 0) rc = less(x->offset, y->offset);
    if (rc == 0) rc = less(x->call, y->call);
    return rc ? rc : less(x->place, y->place);
}
static int by_message(const void *a, const void *b) {
    const struct record *x = a, *y = b;
    int rc = less(x->key, y->key);
    if (rc == 0) rc = less(x->message, y->message);
    if (rc == 0) rc = less(x->call, y->call);
    return rc ? rc : less(x->place, y->place);
}
static int by_sending(const void *a, const void *b) {
    const struct sending *x = a, *y = b;
    int rc = less(x->key, y->key);
    if (rc == 0) rc = less(x->message, y->message);
    return rc ? rc : less(x->call, y->call);
}
struct poll_record {                /* of polls: by key, process, call, place */
    int64_t process;
    struct record r;
};
static int by_reader(const void *a, const void *b) {
    const struct poll_record *x = a, *y = b;
    int rc = less(x->r.key, y->r.key);
    if (rc == 0) rc = less(x->process, y->process);
    if (rc == 0) rc = less(x->r.call, y->r.call);
    return rc ? rc : less(x->r.place, y->r.place);
}

/* -- What must hold ------------------------------------------------------------------------------------------------ */
static int one_record_an_offset(struct logs *l) {
    for (size_t i = 1; i < l->n; i++) {
        const struct record *a = &l->records[i - 1], *b = &l->records[i];
        if (a->key != b->key || a->offset != b->offset || a->message == b->message) continue;
        name(l, a);
        say(l, " and ");
        name(l, b);
        say(l, " have one offset");
        return violate(l, "two records at one offset", a->call, b->call);
    }
    return 0;
}

/* The sendings of a message; *n: how many. */
static const struct sending *sendings_of(const struct logs *l, orri_id key, orri_id message, uint32_t *n) {
    struct sending wanted = { key, message, 0 };
    uint32_t low = 0, high = l->n_sendings;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (by_sending(&l->sendings[middle], &wanted) < 0) low = middle + 1;
        else high = middle;
    }
    for (*n = 0; low + *n < l->n_sendings && l->sendings[low + *n].key == key
                 && l->sendings[low + *n].message == message; ++*n) {}
    return &l->sendings[low];
}

static int polled_was_sent(struct logs *l, const struct record *r) {
    uint32_t n;
    bool before = false, failed = false;
    const struct sending *s = sendings_of(l, r->key, r->message, &n);
    for (uint32_t i = 0; i < n; i++) {
        const struct orri_call *c = &l->h->calls[s[i].call];
        failed = failed || c->outcome == ORR_OUTCOME_FAIL;
        before = before || (c->outcome != ORR_OUTCOME_FAIL && c->invoked < l->h->calls[r->call].returned);
    }
    if (before) return 0;
    name(l, r);
    say(l, failed ? " was polled, though its sending had failed" : " was polled, and nobody had sent it");
    return violate(l, "made up", r->call, n > 0 ? s[0].call : r->call);
}

/* `sorted` is by message. */
static int one_offset_a_record(struct logs *l, const struct record *sorted) {
    for (size_t i = 0; i < l->n; i++) {
        const struct record *a = &sorted[i ? i - 1 : 0], *b = &sorted[i];
        uint32_t n;
        int rc = b->sent ? 0 : polled_was_sent(l, b);
        if (!goes_on(l, rc)) return rc;
        if (a->key != b->key || a->message != b->message || a->offset == b->offset) continue;
        sendings_of(l, b->key, b->message, &n);
        if (n > 1) continue;
        name(l, a);
        say(l, " is at %" PRId64 " as well (", b->offset);
        orri_place_show(&l->h->calls[b->call], &l->h->text);
        say(l, ")");
        return violate(l, "one record at two offsets", a->call, b->call);
    }
    return 0;
}

/* Known records of a key between two offsets, exclusive: the first, or NULL. */
static const struct record *between(const struct logs *l, orri_id key, int64_t from, int64_t to) {
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct record *r = &l->records[middle];
        if (r->key < key || (r->key == key && r->offset <= from)) low = middle + 1;
        else high = middle;
    }
    const struct record *r = &l->records[low];
    return low < l->n && r->key == key && r->offset < to ? r : NULL;
}

static int passes_over(struct logs *l, const struct record *before, const struct record *next, int64_t from) {
    const struct record *lost = between(l, next->key, from, next->offset);
    if (!lost) return 0;
    say(l, "a poll goes ");
    if (before) say(l, "from %" PRId64 " ", before->offset);
    say(l, "to %" PRId64 " (", next->offset);
    orri_place_show(&l->h->calls[next->call], &l->h->text);
    say(l, ") and passes over ");
    name(l, lost);
    return violate(l, "lost", next->call, lost->call);
}

static int polls_go_on(struct logs *l) {
    struct poll_record *polls = orri_take(l->j->arena, l->n + 1, sizeof *polls);
    size_t n = 0;
    if (!polls) return -ENOMEM;
    for (size_t i = 0; i < l->n; i++)
        if (!l->records[i].sent)
            polls[n++] = (struct poll_record){ l->h->calls[l->records[i].call].process, l->records[i] };
    if (n > 1) qsort(polls, n, sizeof *polls, by_reader);
    for (size_t i = 0; i < n; i++) {
        const struct record *r = &polls[i].r, *before = NULL;
        bool first = r->place == 0;
        int64_t begin = first ? begin_of(l, r) : INT64_MIN;
        if (i > 0 && polls[i - 1].r.key == r->key && polls[i - 1].process == polls[i].process
            && (!first || begin == INT64_MIN))
            before = &polls[i - 1].r;
        if (before && r->offset <= before->offset) {
            name(l, r);
            say(l, first ? " was polled after one at %" PRId64 " (" : " comes behind one at %" PRId64 " in its poll (",
                before->offset);
            orri_place_show(&l->h->calls[before->call], &l->h->text);
            say(l, ")");
            return violate(l, "reordered", before->call, r->call);
        }
        int rc = 0;
        if (before) rc = passes_over(l, before, r, before->offset);
        else if (begin != INT64_MIN) rc = passes_over(l, NULL, r, begin - 1);
        if (!goes_on(l, rc)) return rc;
    }
    return 0;
}

static int nothing_is_lost(struct logs *l) {
    for (size_t from = 0, to; from < l->n; from = to) {
        orri_id key = l->records[from].key;
        int64_t top = INT64_MIN;
        for (to = from; to < l->n && l->records[to].key == key; to++)
            if (!l->records[to].sent) top = l->records[to].offset;
        if (l->chosen[key] && !l->final[key]) continue;
        for (size_t i = from, next; i < to; i = next) {
            const struct record *r = &l->records[i];
            bool polled = false;
            for (next = i; next < to && l->records[next].offset == r->offset; next++)
                polled = polled || !l->records[next].sent;
            if (polled || (!l->final[key] && r->offset > top)) continue;
            name(l, r);
            if (l->final[key]) say(l, " was acknowledged, and is in no poll to the very last");
            else say(l, " was acknowledged, and is in no poll, though later ones are");
            return violate(l, "lost", r->call, r->call);
        }
    }
    return 0;
}

struct moment { orri_id key; uint32_t line; const struct record *r; bool over; };
static int by_moment(const void *a, const void *b) {
    const struct moment *x = a, *y = b;
    int rc = less(x->key, y->key);
    return rc ? rc : less(x->line, y->line);
}

static int offsets_grow(struct logs *l) {
    struct moment *moments = orri_take(l->j->arena, 2 * l->n + 1, sizeof *moments);
    size_t n = 0;
    if (!moments) return -ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        const struct record *r = &l->records[i];
        if (!r->sent) continue;
        moments[n++] = (struct moment){ r->key, l->h->calls[r->call].invoked, r, false };
        moments[n++] = (struct moment){ r->key, l->h->calls[r->call].returned, r, true };
    }
    if (n > 1) qsort(moments, n, sizeof *moments, by_moment);
    const struct record *highest = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct record *r = moments[i].r;
        if (highest && highest->key != r->key) highest = NULL;
        if (moments[i].over) {
            if (!highest || r->offset > highest->offset) highest = r;
        } else if (highest && r->offset <= highest->offset) {
            name(l, r);
            say(l, " was sent when ");
            name(l, highest);
            say(l, " was there already");
            return violate(l, "offsets go back", highest->call, r->call);
        }
    }
    return 0;
}

int orri_judge_log(struct orr_history *h, struct orri_judgement *j) {
    struct logs l = { .h = h, .j = j };
    l.sendings = orri_take(j->arena, h->n + 1, sizeof *l.sendings);
    l.chosen = orri_take_zeroed(j->arena, h->values.n, sizeof *l.chosen);
    l.final = orri_take_zeroed(j->arena, h->values.n, sizeof *l.final);
    int rc = l.sendings && l.chosen && l.final ? 0 : -ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < h->n; i++)
        rc = orri_is(h, h->calls[i].f, "send") ? add_send(&l, i) : add_poll(&l, i);
    struct record *sorted = rc == 0 ? orri_take(j->arena, l.n + 1, sizeof *sorted) : NULL;
    if (rc == 0 && !sorted) rc = -ENOMEM;
    if (rc == 0 && l.n > 0) {
        memcpy(sorted, l.records, l.n * sizeof *sorted);
        qsort(sorted, l.n, sizeof *sorted, by_message);
        qsort(l.records, l.n, sizeof *l.records, by_offset);
        qsort(l.sendings, l.n_sendings, sizeof *l.sendings, by_sending);
        rc = one_record_an_offset(&l);
        if (goes_on(&l, rc)) rc = one_offset_a_record(&l, sorted);
        if (goes_on(&l, rc)) rc = polls_go_on(&l);
        if (goes_on(&l, rc)) rc = nothing_is_lost(&l);
        if (goes_on(&l, rc)) rc = offsets_grow(&l);
    }
    if (l.records) h->alloc->fn(h->alloc->ud, l.records, l.cap * sizeof *l.records, 0);
    return rc;
}
