/* eventual.c - what needs no order: growing sets, broadcasts, sums, unique ids.
 *
 * These claim only that after all has come to rest everybody sees all that was acknowledged, that nobody ever sees what
 * nobody did, and that all see the same. The last reads are those that are marked `final`; where none is, the last one
 * of each process that began after the last change was over. What is of unknown fate may be there or not, but then for
 * all. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check/model.h"

enum { NOBODY = 0 };                /* calls are numbered from 1 here */

static bool done(const struct orri_call *c) { return c->outcome == ORR_OUTCOME_OK; }

/* A violation of these calls (numbers from 1, NOBODY for none), of which `text` has the first line. */
static int violate(struct orr_history *h, struct orri_judgement *j, const char *property, uint32_t a, uint32_t b) {
    uint32_t calls[2], n = 0;
    if (a != NOBODY) calls[n++] = a - 1;
    if (b != NOBODY && b != a) calls[n++] = b - 1;
    if (n == 2 && calls[0] > calls[1]) calls[1] = a - 1, calls[0] = b - 1;
    j->report->result = ORR_VERDICT_VIOLATED;
    j->report->property = property;
    orri_text_add(&h->text, ".\n\n");
    for (uint32_t i = 0; i < n; i++)
        if (orri_blame(h, j, h->calls[calls[i]].invoked) < 0) return -ENOMEM;
    return orri_draw(h, j->arena, calls, n);
}
#define say(h, ...) orri_text_add(&(h)->text, __VA_ARGS__)
static void say_value(struct orr_history *h, orri_id id) { orri_value_show(&h->values, id, 60, &h->text); }
static void say_place(struct orr_history *h, uint32_t call) {
    say(h, " (");
    orri_place_show(&h->calls[call - 1], &h->text);
    say(h, ")");
}
static int unsettled(struct orr_history *h, struct orri_judgement *j) {
    j->report->result = ORR_VERDICT_UNDECIDED;
    say(h, "there is no last read: none is marked final, and none began after the last change was over\n");
    return 0;
}

/* -- The last reads ------------------------------------------------------------------------------------------------ */
struct last { int64_t process; uint32_t call; };
static int by_process(const void *a, const void *b) {
    const struct last *x = a, *y = b;
    if (x->process != y->process) return x->process < y->process ? -1 : 1;
    return x->call < y->call ? -1 : x->call > y->call;
}

/* Numbers from 1 of the last reads, in the arena. */
static int last_reads(struct orr_history *h, struct orri_arena *arena, uint32_t **out, uint32_t *n_out) {
    struct last *reads = orri_take(arena, h->n + 1, sizeof *reads);
    *out = orri_take(arena, h->n + 1, sizeof **out);
    *n_out = 0;
    if (!reads || !*out) return -ENOMEM;
    uint32_t n = 0, changed = 0;
    bool marked = false;
    for (uint32_t i = 0; i < h->n; i++) {
        const struct orri_call *c = &h->calls[i];
        bool read = orri_is(h, c->f, "read");
        if (!read && c->returned != ORRI_OPEN && c->returned > changed) changed = c->returned;
        if (!read || !done(c)) continue;
        reads[n++] = (struct last){ c->process, i + 1 };
        marked = marked || c->final;
    }
    if (n > 1) qsort(reads, n, sizeof *reads, by_process);
    for (uint32_t i = 0; i < n; i++) {
        const struct orri_call *c = &h->calls[reads[i].call - 1];
        bool last = i + 1 == n || reads[i + 1].process != reads[i].process;
        if (marked ? c->final : last && c->invoked > changed) (*out)[(*n_out)++] = reads[i].call;
    }
    return 0;
}

/* -- Sets ---------------------------------------------------------------------------------------------------------- */
struct element {
    uint32_t added;                 /* the first call that may have put it in, */
    uint32_t acknowledged;          /* that surely did, */
    uint32_t failed;                /* that surely didn't */
};
struct set {
    struct element *elements;       /* by value */
    uint32_t *seen;                 /* by value: the read that saw it last */
};

static int check_read(struct orr_history *h, struct orri_judgement *j, const struct set *s, uint32_t read) {
    const struct orri_call *c = &h->calls[read - 1];
    const struct orri_value *v = orri_at(&h->values, c->out);
    if (v->kind != ORRI_IS_ARRAY) return orri_refuse(h, c->returned, "the value of a read must be a list");
    for (uint32_t i = 0; i < v->n; i++) {
        const struct element *e = &s->elements[v->items[i]];
        if (e->added != NOBODY && h->calls[e->added - 1].invoked < c->returned) continue;
        uint32_t other = e->added != NOBODY ? e->added : e->failed;
        say(h, "a read has ");
        say_value(h, v->items[i]);
        say_place(h, read);
        say(h, e->added != NOBODY ? ", which was added later" : e->failed != NOBODY ? ", whose adding had failed"
                                                                                     : ", which nobody ever added");
        if (other != NOBODY) say_place(h, other);
        return violate(h, j, "made up", read, other);
    }
    return 0;
}

static void see(const struct orr_history *h, struct set *s, uint32_t read) {
    const struct orri_value *v = orri_at(&h->values, h->calls[read - 1].out);
    for (uint32_t i = 0; i < v->n; i++) s->seen[v->items[i]] = read;
}

static int check_lost(struct orr_history *h, struct orri_judgement *j, struct set *s, uint32_t read) {
    see(h, s, read);
    for (size_t id = 0; id < h->values.n; id++) {
        if (s->elements[id].acknowledged == NOBODY || s->seen[id] == read) continue;
        say_value(h, (orri_id)id);
        say(h, " was acknowledged");
        say_place(h, s->elements[id].acknowledged);
        say(h, ", and a last read doesn't have it");
        say_place(h, read);
        return violate(h, j, "lost", s->elements[id].acknowledged, read);
    }
    return 0;
}

/* Both have all that was acknowledged; whether one has something more. */
static int check_same(struct orr_history *h, struct orri_judgement *j, struct set *s, uint32_t has, uint32_t lacks) {
    see(h, s, lacks);
    const struct orri_value *v = orri_at(&h->values, h->calls[has - 1].out);
    for (uint32_t i = 0; i < v->n; i++) {
        if (s->seen[v->items[i]] == lacks) continue;
        say(h, "one last read has ");
        say_value(h, v->items[i]);
        say_place(h, has);
        say(h, ", another doesn't");
        say_place(h, lacks);
        return violate(h, j, "diverged", has, lacks);
    }
    return 0;
}

static bool goes_on(const struct orri_judgement *j, int rc) {
    return rc == 0 && j->report->result == ORR_VERDICT_OK;
}

int orri_judge_set(struct orr_history *h, struct orri_judgement *j) {
    struct set s = { orri_take_zeroed(j->arena, h->values.n, sizeof *s.elements),
                     orri_take_zeroed(j->arena, h->values.n, sizeof *s.seen) };
    uint32_t *last, n_last, acknowledged = 0;
    if (!s.elements || !s.seen || last_reads(h, j->arena, &last, &n_last) < 0) return -ENOMEM;
    for (uint32_t i = 0; i < h->n; i++) {
        const struct orri_call *c = &h->calls[i];
        struct element *e = &s.elements[c->in];
        if (orri_is(h, c->f, "read")) continue;
        if (c->outcome == ORR_OUTCOME_FAIL) e->failed = i + 1;
        else if (e->added == NOBODY) e->added = i + 1;
        if (done(c)) e->acknowledged = i + 1, acknowledged++;
    }
    int rc = 0;
    for (uint32_t i = 0; goes_on(j, rc) && i < h->n; i++) {
        bool read = orri_is(h, h->calls[i].f, "read") && done(&h->calls[i]);
        if (read) rc = check_read(h, j, &s, i + 1), j->report->reads++;
    }
    if (goes_on(j, rc) && n_last == 0 && acknowledged > 0) return unsettled(h, j);
    for (uint32_t i = 0; goes_on(j, rc) && i < n_last; i++) rc = check_lost(h, j, &s, last[i]);
    for (uint32_t i = 1; goes_on(j, rc) && i < n_last; i++) {
        rc = check_same(h, j, &s, last[i - 1], last[i]);
        if (goes_on(j, rc)) rc = check_same(h, j, &s, last[i], last[i - 1]);
    }
    return rc;
}

/* -- Sums ---------------------------------------------------------------------------------------------------------- */
struct sums {
    int64_t low, high;              /* what the sum may be at least, at most */
    int64_t *possible;              /* all that it may be, ascending; NULL: too many, anything in between */
    uint32_t n;
};
enum { POSSIBLE_MAX = 1 << 16 };

static int ascending(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static bool amount_of(struct orr_history *h, const struct orri_call *c, int64_t *amount) {
    const struct orri_value *v = orri_at(&h->values, c->in);
    *amount = v->kind == ORRI_IS_NULL ? 1 : v->integer;
    if (orri_is(h, c->f, "decr")) *amount = (int64_t)(0 - (uint64_t)*amount);
    bool small = *amount > -(INT64_MAX >> 31) && *amount < INT64_MAX >> 31;     /* so that no sum overflows */
    return (v->kind == ORRI_IS_NULL || v->kind == ORRI_IS_INTEGER) && small;
}

/* One more change that may have been made or not. */
static void double_up(struct sums *s, int64_t amount) {
    *(amount < 0 ? &s->low : &s->high) += amount;
    if (!s->possible || s->n > POSSIBLE_MAX / 2) {
        s->possible = NULL;
        return;
    }
    for (uint32_t i = 0; i < s->n; i++) s->possible[s->n + i] = s->possible[i] + amount;
    s->n *= 2;
    qsort(s->possible, s->n, sizeof *s->possible, ascending);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < s->n; i++)
        if (s->possible[i] != s->possible[kept - 1]) s->possible[kept++] = s->possible[i];
    s->n = kept;
}

static bool may_be(const struct sums *s, int64_t sum) {
    if (sum < s->low || sum > s->high) return false;
    return !s->possible || bsearch(&sum, s->possible, s->n, sizeof sum, ascending);
}

/* A read along the way: no change could have made it. */
static int check_within(struct orr_history *h, struct orri_judgement *j, uint32_t read, int64_t low, int64_t high) {
    const struct orri_call *c = &h->calls[read - 1];
    int64_t sum = orri_at(&h->values, c->out)->integer;
    if (sum >= low && sum <= high) return 0;
    say(h, "a read has %" PRId64, sum);
    say_place(h, read);
    say(h, ", and all that had been asked for by then can't make more than %" PRId64 " nor less than %" PRId64, high,
        low);
    return violate(h, j, "made up", read, NOBODY);
}

static int check_sum(struct orr_history *h, struct orri_judgement *j, const struct sums *s, uint32_t read) {
    int64_t sum = orri_at(&h->values, h->calls[read - 1].out)->integer;
    if (may_be(s, sum)) return 0;
    say(h, "a last read has %" PRId64, sum);
    say_place(h, read);
    if (s->low == s->high) say(h, ", and what was acknowledged makes %" PRId64, s->low);
    else say(h, ", and what was acknowledged makes %" PRId64 " to %" PRId64 " with what is of unknown fate", s->low,
             s->high);
    return violate(h, j, "lost", read, NOBODY);
}

struct event { uint32_t line; int64_t amount; uint32_t read; };
static int by_line(const void *a, const void *b) {
    const struct event *x = a, *y = b;
    return x->line < y->line ? -1 : x->line > y->line;
}

int orri_judge_sum(struct orr_history *h, struct orri_judgement *j) {
    struct sums s = { .possible = orri_take_zeroed(j->arena, POSSIBLE_MAX, sizeof *s.possible), .n = 1 };
    struct event *events = orri_take(j->arena, h->n + 1, sizeof *events);
    uint32_t *last, n_last, n = 0;
    if (!s.possible || !events || last_reads(h, j->arena, &last, &n_last) < 0) return -ENOMEM;
    int64_t sure = 0, amount, low = 0, high = 0;
    for (uint32_t i = 0; i < h->n; i++) {
        const struct orri_call *c = &h->calls[i];
        if (orri_is(h, c->f, "read")) {
            if (!done(c)) continue;
            if (orri_at(&h->values, c->out)->kind != ORRI_IS_INTEGER)
                return orri_refuse(h, c->returned, "the value of a counter's read must be a whole number");
            events[n++] = (struct event){ c->returned, 0, i + 1 };
            continue;
        }
        if (!amount_of(h, c, &amount))
            return orri_refuse(h, c->invoked, "the value of a change must be a whole number below 2^32");
        if (c->outcome == ORR_OUTCOME_FAIL) continue;
        events[n++] = (struct event){ c->invoked, amount, NOBODY };
        if (done(c)) sure += amount;
        else double_up(&s, amount);
    }
    s.low += sure;
    s.high += sure;
    for (uint32_t i = 0; s.possible && i < s.n; i++) s.possible[i] += sure;
    if (n > 1) qsort(events, n, sizeof *events, by_line);
    int rc = 0;
    for (uint32_t i = 0; goes_on(j, rc) && i < n; i++) {
        *(events[i].amount < 0 ? &low : &high) += events[i].amount;
        if (events[i].read != NOBODY) rc = check_within(h, j, events[i].read, low, high), j->report->reads++;
    }
    if (goes_on(j, rc) && n_last == 0 && s.low != s.high) return unsettled(h, j);
    if (goes_on(j, rc) && n_last == 0 && sure != 0) return unsettled(h, j);
    for (uint32_t i = 0; goes_on(j, rc) && i < n_last; i++) rc = check_sum(h, j, &s, last[i]);
    for (uint32_t i = 1; goes_on(j, rc) && i < n_last; i++) {
        if (h->calls[last[i] - 1].out == h->calls[last[0] - 1].out) continue;
        say(h, "the last reads differ:");
        say_place(h, last[0]);
        say_place(h, last[i]);
        rc = violate(h, j, "diverged", last[0], last[i]);
    }
    return rc;
}

/* -- Ids ----------------------------------------------------------------------------------------------------------- */
int orri_judge_unique(struct orr_history *h, struct orri_judgement *j) {
    uint32_t *given = orri_take_zeroed(j->arena, h->values.n, sizeof *given);
    if (!given) return -ENOMEM;
    for (uint32_t i = 0; i < h->n; i++) {
        const struct orri_call *c = &h->calls[i];
        if (!done(c)) continue;
        if (c->out == ORRI_NULL) return orri_refuse(h, c->returned, "generate gave nothing");
        if (given[c->out] != NOBODY) {
            say_value(h, c->out);
            say(h, " was given out twice:");
            say_place(h, given[c->out]);
            say(h, " and");
            say_place(h, i + 1);
            return violate(h, j, "not unique", given[c->out], i + 1);
        }
        given[c->out] = i + 1;
    }
    return 0;
}
