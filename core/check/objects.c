/* objects.c - counter, queue and lock as objects of the search; and a store, out of a history's calls.
 *
 * Each is a present state, and a stack of what was there before, by height. States and invariants:
 *   counter   a sum. A read saw it. Where no amount is negative it only grows, so a read of less than it is lost.
 *   queue     what was put in, in order, and how much of that has come out: out <= in. A value came out first. Where
 *             values are put in once, and it is known what each dequeue took, the order of the dequeues that don't
 *             overlap is that of their enqueues.
 *   lock      the process that holds it, or none; the last fencing token, which only grows.                          */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check/kv.h"
#include "check/model.h"
#include "check/waiting.h"

static const struct orri_call *call_at(const struct orri_part *part, uint32_t at) {
    return &part->h->calls[part->calls[at]];
}
static const struct orri_value *value_of(const struct orri_part *part, orri_id id) {
    return orri_at(&part->h->values, id);
}
static bool done(const struct orri_call *c) { return c->outcome == ORR_OUTCOME_OK; }

/* An amount: an integer, or null, which is 1. */
static bool amount_of(const struct orri_part *part, const struct orri_call *c, int64_t *amount) {
    const struct orri_value *v = value_of(part, c->in);
    *amount = v->kind == ORRI_IS_NULL ? 1 : v->integer;
    return v->kind == ORRI_IS_NULL || v->kind == ORRI_IS_INTEGER;
}
/* What a call says of whether it did it: false and 0 say no. */
static bool denies(orri_id out, const struct orri_part *part) {
    const struct orri_value *v = value_of(part, out);
    return out == ORRI_FALSE || (v->kind == ORRI_IS_INTEGER && v->integer == 0);
}

/* -- A store ------------------------------------------------------------------------------------------------------- */
static struct orri_content content_of(const struct orri_part *part, orri_id id) {
    const struct orri_value *v = value_of(part, id);
    if (id == ORRI_NULL) return orri_kv_missing;
    return v->kind == ORRI_IS_STRING ? orri_kv_text(v->text, v->n) : orri_kv_number(id);
}

static int load_cas(struct orri_part *part, const struct orri_call *c, struct orri_kv_call *call) {
    const struct orri_value *pair = value_of(part, c->in);
    if (pair->kind != ORRI_IS_ARRAY || pair->n != 2)
        return orri_refuse(part->h, c->invoked, "the value of cas must be [expected, new]");
    call->verb = done(c) && denies(c->out, part) ? ORRI_KV_CAS_NOT : ORRI_KV_CAS;
    call->want = content_of(part, pair->items[0]);
    call->to = content_of(part, pair->items[1]);
    call->value = pair->items[1];
    return 0;
}

static int load_store_call(struct orri_part *part, uint32_t at, struct orri_kv_call *call) {
    const struct orri_call *c = call_at(part, at);
    const struct orr_history *h = part->h;
    *call = (struct orri_kv_call){ .value = c->in };
    if (orri_is(h, c->f, "get") || orri_is(h, c->f, "read")) {
        call->verb = ORRI_KV_GET;
        call->want = content_of(part, c->out);
        part->skip[at] = !done(c);
    } else if (orri_is(h, c->f, "cas")) {
        return load_cas(part, c, call);
    } else if (orri_is(h, c->f, "del") || orri_is(h, c->f, "delete")) {
        bool said = done(c) && value_of(part, c->out)->kind != ORRI_IS_NULL;
        call->verb = !said ? ORRI_KV_DEL : denies(c->out, part) ? ORRI_KV_DEL_NONE : ORRI_KV_DEL_SOME;
        call->want = call->to = orri_kv_missing;
    } else {
        call->verb = orri_is(h, c->f, "append") ? ORRI_KV_APPEND : ORRI_KV_SET;
        call->to = content_of(part, c->in);
        if (call->verb == ORRI_KV_APPEND && !call->to.text)
            return orri_refuse(part->h, c->invoked, "the value of append must be a string");
    }
    return 0;
}

static int load_store(struct orri_part *part, bool texts) {
    struct orri_kv_call *calls = orri_take(part->arena, part->n + 1u, sizeof *calls);
    if (!calls) return -ENOMEM;
    struct orri_content first = texts ? orri_kv_text("", 0) : orri_kv_missing;
    for (uint32_t at = 0; at < part->n; at++) {
        int rc = load_store_call(part, at, &calls[at]);
        if (rc < 0) return rc;
        if (texts && calls[at].verb == ORRI_KV_GET && call_at(part, at)->out == ORRI_NULL) calls[at].want = first;
        part->reads[at] = orri_kv_reads(&calls[at]);
    }
    part->kv = calls;
    return orri_kv_object(&part->object, part->arena, calls, part->n, first, &part->h->values, part->twins);
}

int orri_load_kv(struct orri_part *part) { return load_store(part, false); }
int orri_load_strings(struct orri_part *part) { return load_store(part, true); }

/* -- Counter ------------------------------------------------------------------------------------------------------- */
enum { LOOK_AHEAD = 8 };            /* waiting calls that are looked at after a change */

struct counter {
    uint32_t n;
    int64_t *amount, *saw;          /* by call: what it adds; the sum that it was told */
    bool *told;
    int64_t now, *before;
    uint32_t height;
    struct orri_waiting waiting;    /* who was told a sum */
    bool grows, look;
};

static int counter_step(void *ud, uint32_t at) {
    struct counter *c = ud;
    int64_t next = (int64_t)((uint64_t)c->now + (uint64_t)c->amount[at]);
    if (c->told[at] && c->saw[at] != next) return 0;
    uint32_t w = orri_waiting_first(&c->waiting);
    for (int i = 0; c->look && c->grows && i < LOOK_AHEAD && w != c->n; i++, w = c->waiting.next[w])
        if (c->saw[w] < next) return 0;
    c->before[c->height++] = c->now;
    c->now = next;
    orri_waiting_leave(&c->waiting, at);
    return 1;
}
static void counter_undo(void *ud, uint32_t at) {
    struct counter *c = ud;
    c->now = c->before[--c->height];
    orri_waiting_come_back(&c->waiting, at);
}
static struct orr_hash128 counter_state(void *ud) {
    return (struct orr_hash128){ (uint64_t)((struct counter *)ud)->now, 0 };
}
static void counter_show(void *ud, struct orri_text *out) {
    orri_text_add(out, "%" PRId64, ((struct counter *)ud)->now);
}
/* With nobody left who was told a sum, it is all the same. */
static bool counter_useless(void *ud, uint32_t at) {
    struct counter *c = ud;
    (void)at;
    return orri_waiting_first(&c->waiting) == c->n;
}
static int counter_reset(void *ud, const struct orri_item *items, uint32_t n, bool look) {
    struct counter *c = ud;
    c->now = 0;
    c->height = 0;
    c->look = look;
    c->grows = true;
    orri_waiting_reset(&c->waiting);
    for (uint32_t i = 0; i < n; i++) {
        if (c->amount[items[i].call] < 0) c->grows = false;
        if (c->told[items[i].call] && items[i].returned != ORR_NEVER) orri_waiting_add(&c->waiting, items[i].call);
    }
    return 0;
}

/* Whether the results of increments but repeat their amounts, as some clients write them: then nothing was told. (Where
 * they are sums and look so all the same, each key has but one increment, and nothing is lost.) */
static bool repeats(const struct orri_part *part) {
    for (uint32_t at = 0; at < part->n; at++) {
        const struct orri_call *c = call_at(part, at);
        if (orri_is(part->h, c->f, "read") || !done(c)) continue;
        if (value_of(part, c->out)->kind == ORRI_IS_INTEGER && c->out != c->in) return false;
    }
    return true;
}

struct amount {
    int64_t amount;
    uint32_t call;
};
static int by_amount(const void *a, const void *b) {
    const struct amount *x = a, *y = b;
    if (x->amount != y->amount) return x->amount < y->amount ? -1 : 1;
    return x->call < y->call ? -1 : x->call > y->call;
}

/* Increments of one amount, whose result isn't known, are twins. */
static int counter_twins(struct orri_part *part, const struct counter *c) {
    struct amount *list = orri_take(part->arena, part->n + 1u, sizeof *list);
    uint32_t n = 0;
    if (!list) return -ENOMEM;
    for (uint32_t at = 0; at < part->n; at++)
        if (!part->reads[at] && !c->told[at]) list[n++] = (struct amount){ c->amount[at], at };
    if (n > 1) qsort(list, n, sizeof *list, by_amount);
    for (uint32_t i = 0, first = 0; i < n; i++) {
        if (list[i].amount != list[first].amount) first = i;
        part->twins[list[i].call] = list[first].call + 1;
    }
    return 0;
}

int orri_load_counter(struct orri_part *part) {
    struct counter *c = orri_take_zeroed(part->arena, 1, sizeof *c);
    if (!c) return -ENOMEM;
    c->n = part->n;
    c->amount = orri_take_zeroed(part->arena, c->n + 1u, sizeof *c->amount);
    c->saw = orri_take_zeroed(part->arena, c->n + 1u, sizeof *c->saw);
    c->told = orri_take_zeroed(part->arena, c->n + 1u, sizeof *c->told);
    c->before = orri_take(part->arena, c->n + 1u, sizeof *c->before);
    if (!c->amount || !c->saw || !c->told || !c->before || !orri_waiting_init(&c->waiting, part->arena, c->n))
        return -ENOMEM;
    bool repeated = repeats(part);
    for (uint32_t at = 0; at < c->n; at++) {
        const struct orri_call *call = call_at(part, at);
        const struct orri_value *out = value_of(part, call->out);
        bool read = orri_is(part->h, call->f, "read");
        if (!read && !amount_of(part, call, &c->amount[at]))
            return orri_refuse(part->h, call->invoked, "the value of an increment must be a whole number");
        if (read && done(call) && out->kind != ORRI_IS_INTEGER)
            return orri_refuse(part->h, call->returned, "the value of a counter's read must be a whole number");
        if (orri_is(part->h, call->f, "decr")) c->amount[at] = (int64_t)(0 - (uint64_t)c->amount[at]);
        c->told[at] = done(call) && out->kind == ORRI_IS_INTEGER
                      && (read || (!repeated && !orri_is(part->h, call->f, "add")));
        c->saw[at] = out->kind == ORRI_IS_INTEGER ? out->integer : 0;
        part->reads[at] = read;
        part->skip[at] = read && !done(call);
    }
    if (counter_twins(part, c) < 0) return -ENOMEM;
    part->object = (struct orri_object){ counter_reset, counter_step, counter_undo, counter_state, counter_useless,
                                         NULL, counter_show, NULL, NULL, c };
    return 0;
}

/* -- Queue --------------------------------------------------------------------------------------------------------- */
enum queue_verb { PUT, TAKE, TAKE_ANY, FOUND_EMPTY };
#define QUEUE_BASE_1 0x9e3779b185ebca87ull
#define QUEUE_BASE_2 0xbf58476d1ce4e5b9ull

struct queue {
    const struct orri_values *values;
    uint32_t n;
    uint8_t *verb;
    uint32_t *value;                /* by call: the rank of its value among those of this queue */
    orri_id *names;                 /* by rank */
    uint32_t *in;                   /* all that was put in; from `out` on it is there still */
    uint32_t n_in, out;
    struct orr_hash128 *sums, *powers;      /* of in[0 .. i), so that what is there has a hash */
    struct orri_waiting puts;       /* not placed, whose value was surely taken, by the return of who took it */
    uint32_t *taker;                /* of a put whose value is put in once, and taken at most once; ORRI_NONE: nobody */
    struct queue_value *by_value;
    int64_t *invoked, *returned;    /* of takers */
    bool *placed;
    struct queue_taken *scratch;
    bool look, sure;                /* sure: no take of unknown fate */
    bool impossible;                /* something came out more often than it was put in */
};
struct queue_value {
    uint32_t puts, takes, must;     /* must: takes that must be placed */
    uint32_t put, take;             /* one of them */
};
struct queue_taken {
    int64_t returned;
    uint32_t put;
};
static bool single(const struct queue_value *v) { return v->puts == 1 && v->takes <= 1; }

/* Something whose value came out before this one was asked for must be put in before it. */
static bool queue_too_early(const struct queue *q, uint32_t at) {
    uint32_t soonest = orri_waiting_first(&q->puts), taker = q->taker[at];
    if (soonest == q->n || soonest == at || !single(&q->by_value[q->value[at]])) return false;
    bool stays = taker == ORRI_NONE || q->returned[taker] == ORR_NEVER;
    if (stays && !q->sure) return false;
    return q->returned[q->taker[soonest]] < (taker == ORRI_NONE ? ORR_NEVER : q->invoked[taker]);
}

static int queue_step(void *ud, uint32_t at) {
    struct queue *q = ud;
    if (q->look && q->impossible) return 0;
    if (q->verb[at] == FOUND_EMPTY) return q->out == q->n_in;
    if (q->verb[at] != PUT) {
        if (q->out == q->n_in || (q->verb[at] == TAKE && q->in[q->out] != q->value[at])) return 0;
        q->out++;
        q->placed[at] = true;
        return 1;
    }
    if (q->look && queue_too_early(q, at)) return 0;
    uint64_t word = orri_mix64(0, q->value[at]);
    struct orr_hash128 sum = q->sums[q->n_in];
    q->in[q->n_in++] = q->value[at];
    q->sums[q->n_in] = (struct orr_hash128){ sum.low * QUEUE_BASE_1 + word, sum.high * QUEUE_BASE_2 + word };
    orri_waiting_leave(&q->puts, at);
    return 1;
}
static void queue_undo(void *ud, uint32_t at) {
    struct queue *q = ud;
    if (q->verb[at] == TAKE || q->verb[at] == TAKE_ANY) q->out--, q->placed[at] = false;
    if (q->verb[at] != PUT) return;
    q->n_in--;
    orri_waiting_come_back(&q->puts, at);
}
static struct orr_hash128 queue_state(void *ud) {
    const struct queue *q = ud;
    struct orr_hash128 all = q->sums[q->n_in], gone = q->sums[q->out], power = q->powers[q->n_in - q->out];
    uint32_t there = q->n_in - q->out;
    return (struct orr_hash128){ all.low - gone.low * power.low, (all.high - gone.high * power.high) ^ there };
}
/* A value that nobody is known to have taken had better not be there: were it taken all the same, both can go. */
static bool queue_useless(void *ud, uint32_t at) {
    const struct queue *q = ud;
    return q->verb[at] == PUT && q->by_value[q->value[at]].takes == 0;
}
/* Nor must anybody take what another one surely takes. */
static bool queue_useless_here(void *ud, uint32_t at) {
    const struct queue *q = ud;
    if (q->verb[at] == PUT) return queue_useless(ud, at);
    if (q->verb[at] != TAKE_ANY || q->out == q->n_in) return false;
    const struct queue_value *v = &q->by_value[q->in[q->out]];
    return single(v) && v->must == 1 && !q->placed[v->take];
}
static void queue_show(void *ud, struct orri_text *out) {
    const struct queue *q = ud;
    if (q->out == q->n_in) orri_text_add(out, "empty");
    for (uint32_t i = q->out; i < q->n_in && i < q->out + 5; i++) {
        if (i > q->out) orri_text_add(out, ", ");
        orri_value_show(q->values, q->names[q->in[i]], 30, out);
    }
    if (q->n_in > q->out + 5) orri_text_add(out, ", and %" PRIu32 " more", q->n_in - q->out - 5);
}

static int by_taken(const void *a, const void *b) {
    const struct queue_taken *x = a, *y = b;
    if (x->returned != y->returned) return x->returned < y->returned ? -1 : 1;
    return x->put < y->put ? -1 : x->put > y->put;
}

static void queue_count(struct queue *q, const struct orri_item *x) {
    struct queue_value *v = &q->by_value[q->value[x->call]];
    if (q->verb[x->call] == TAKE_ANY) q->sure = false;
    if (q->verb[x->call] == PUT) v->puts++, v->put = x->call;
    if (q->verb[x->call] != TAKE) return;
    v->takes++;
    if (x->returned != ORR_NEVER) v->must++;
    v->take = x->call;
    q->invoked[x->call] = x->invoked;
    q->returned[x->call] = x->returned;
}

static int queue_reset(void *ud, const struct orri_item *items, uint32_t n, bool look) {
    struct queue *q = ud;
    uint32_t taken = 0;
    q->n_in = q->out = 0;
    q->look = look;
    q->sure = true;
    q->impossible = false;
    orri_waiting_reset(&q->puts);
    for (uint32_t i = 0; i < q->n; i++) {
        q->taker[i] = ORRI_NONE;
        q->placed[i] = false;
        q->by_value[q->value[i]] = (struct queue_value){ 0 };
    }
    for (uint32_t i = 0; i < n; i++) queue_count(q, &items[i]);
    for (uint32_t i = 0; i < n; i++) {
        const struct queue_value *v = &q->by_value[q->value[items[i].call]];
        if (q->verb[items[i].call] == TAKE && v->must > v->puts) q->impossible = true;
        if (q->verb[items[i].call] != PUT || !single(v) || v->takes == 0) continue;
        q->taker[items[i].call] = v->take;
        if (v->must == 1) q->scratch[taken++] = (struct queue_taken){ q->returned[v->take], items[i].call };
    }
    if (taken > 1) qsort(q->scratch, taken, sizeof *q->scratch, by_taken);
    for (uint32_t i = 0; i < taken; i++) orri_waiting_add(&q->puts, q->scratch[i].put);
    return 0;
}

static int queue_room(struct queue *q, struct orri_arena *arena) {
    size_t n = q->n + 1u;
    q->verb = orri_take(arena, n, sizeof *q->verb);
    q->value = orri_take_zeroed(arena, n, sizeof *q->value);
    q->in = orri_take(arena, n, sizeof *q->in);
    q->sums = orri_take_zeroed(arena, n + 1, sizeof *q->sums);
    q->powers = orri_take(arena, n + 1, sizeof *q->powers);
    q->taker = orri_take(arena, n, sizeof *q->taker);
    q->invoked = orri_take(arena, n, sizeof *q->invoked);
    q->returned = orri_take(arena, n, sizeof *q->returned);
    q->scratch = orri_take(arena, n, sizeof *q->scratch);
    q->placed = orri_take(arena, n, sizeof *q->placed);
    q->by_value = orri_take(arena, n, sizeof *q->by_value);
    q->names = orri_take(arena, n, sizeof *q->names);
    if (!q->verb || !q->value || !q->in || !q->sums || !q->powers || !q->taker || !q->invoked || !q->returned
        || !q->scratch || !q->placed || !q->by_value || !q->names || !orri_waiting_init(&q->puts, arena, q->n))
        return -ENOMEM;
    q->powers[0] = (struct orr_hash128){ 1, 1 };
    for (uint32_t i = 1; i <= q->n; i++)
        q->powers[i] = (struct orr_hash128){ q->powers[i - 1].low * QUEUE_BASE_1,
                                             q->powers[i - 1].high * QUEUE_BASE_2 };
    return 0;
}

static int by_id(const void *a, const void *b) {
    const orri_id *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* `value` has the values' numbers in the history: they become ranks, so that arrays by value stay small. */
static void queue_rank(struct queue *q) {
    uint32_t n = 0;
    memcpy(q->names, q->value, q->n * sizeof *q->names);
    if (q->n > 1) qsort(q->names, q->n, sizeof *q->names, by_id);
    for (uint32_t i = 0; i < q->n; i++)
        if (i == 0 || q->names[i] != q->names[n - 1]) q->names[n++] = q->names[i];
    for (uint32_t at = 0; at < q->n; at++)
        q->value[at] = (uint32_t)((orri_id *)bsearch(&q->value[at], q->names, n, sizeof *q->names, by_id) - q->names);
}

int orri_load_queue(struct orri_part *part) {
    struct queue *q = orri_take_zeroed(part->arena, 1, sizeof *q);
    if (!q) return -ENOMEM;
    q->n = part->n;
    q->values = &part->h->values;
    if (queue_room(q, part->arena) < 0) return -ENOMEM;
    for (uint32_t at = 0; at < q->n; at++) {
        const struct orri_call *c = call_at(part, at);
        bool put = orri_is(part->h, c->f, "enqueue");
        if (put) q->verb[at] = PUT;
        else if (!done(c)) q->verb[at] = TAKE_ANY;
        else q->verb[at] = c->out == ORRI_NULL ? FOUND_EMPTY : TAKE;
        q->value[at] = put ? c->in : c->out;
        part->reads[at] = q->verb[at] == FOUND_EMPTY;
    }
    queue_rank(q);
    part->object = (struct orri_object){ queue_reset, queue_step, queue_undo, queue_state, queue_useless_here,
                                         queue_useless, queue_show, NULL, NULL, q };
    return 0;
}

/* -- Lock ---------------------------------------------------------------------------------------------------------- */
enum lock_verb { ACQUIRE, WAS_HELD, RELEASE, WAS_NOT_HOLDER };
struct lock_state {
    int64_t holder, token;
    bool held;
};
struct lock {
    uint8_t *verb;
    int64_t *process, *token;       /* token INT64_MIN: none was told */
    struct lock_state now, *before;
    uint32_t height;
    bool fenced;
};

static int lock_step(void *ud, uint32_t at) {
    struct lock *l = ud;
    struct lock_state next = l->now;
    bool mine = l->now.held && l->now.holder == l->process[at];
    switch (l->verb[at]) {
    case ACQUIRE:
        if (l->now.held && !l->fenced) return 0;
        if (l->token[at] != INT64_MIN && l->token[at] <= l->now.token) return 0;
        if (l->token[at] != INT64_MIN) next.token = l->token[at];
        next.held = true;
        next.holder = l->process[at];
        break;
    case WAS_HELD:
        if (!l->now.held && !l->fenced) return 0;
        break;
    case RELEASE:
        if (!mine && !l->fenced) return 0;
        if (mine) next.held = false, next.holder = 0;
        break;
    default:
        if (mine && !l->fenced) return 0;
    }
    l->before[l->height++] = l->now;
    l->now = next;
    return 1;
}
static void lock_undo(void *ud, uint32_t at) {
    struct lock *l = ud;
    (void)at;
    l->now = l->before[--l->height];
}
static struct orr_hash128 lock_state_of(void *ud) {
    const struct lock *l = ud;
    return (struct orr_hash128){ (uint64_t)l->now.holder, orri_mix64((uint64_t)l->now.token, l->now.held) };
}
static void lock_show(void *ud, struct orri_text *out) {
    const struct lock *l = ud;
    if (l->now.held) orri_text_add(out, "held by process %" PRId64, l->now.holder);
    else orri_text_add(out, "free");
    if (l->now.token != INT64_MIN) orri_text_add(out, ", its last token %" PRId64, l->now.token);
}
static int lock_reset(void *ud, const struct orri_item *items, uint32_t n, bool look) {
    struct lock *l = ud;
    (void)items, (void)n, (void)look;
    l->now = (struct lock_state){ .token = INT64_MIN };
    l->height = 0;
    return 0;
}

static int load_lock(struct orri_part *part, bool fenced) {
    struct lock *l = orri_take_zeroed(part->arena, 1, sizeof *l);
    if (!l) return -ENOMEM;
    l->fenced = fenced;
    l->verb = orri_take(part->arena, part->n + 1u, sizeof *l->verb);
    l->process = orri_take(part->arena, part->n + 1u, sizeof *l->process);
    l->token = orri_take(part->arena, part->n + 1u, sizeof *l->token);
    l->before = orri_take(part->arena, part->n + 1u, sizeof *l->before);
    if (!l->verb || !l->process || !l->token || !l->before) return -ENOMEM;
    for (uint32_t at = 0; at < part->n; at++) {
        const struct orri_call *c = call_at(part, at);
        const struct orri_value *out = value_of(part, c->out);
        bool refused = done(c) && c->out == ORRI_FALSE;
        if (orri_is(part->h, c->f, "acquire")) l->verb[at] = refused ? WAS_HELD : ACQUIRE;
        else l->verb[at] = refused ? WAS_NOT_HOLDER : RELEASE;
        l->process[at] = c->process;
        l->token[at] = done(c) && out->kind == ORRI_IS_INTEGER ? out->integer : INT64_MIN;
        part->reads[at] = refused;
    }
    part->object = (struct orri_object){ lock_reset, lock_step, lock_undo, lock_state_of, NULL, NULL, lock_show, NULL,
                                         NULL, l };
    return 0;
}
int orri_load_lock(struct orri_part *part) { return load_lock(part, false); }
int orri_load_fenced_lock(struct orri_part *part) { return load_lock(part, true); }
