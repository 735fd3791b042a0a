/* append.c - serializability of transactions over lists, out of what they read (Kingsbury & Alvaro 2020).
 *
 * A list that was read tells the whole order of the appends before it. So the longest one that was read of a key is the
 * order of its versions, as far as anybody saw; all others must be beginnings of it. What was acknowledged and is not
 * in it comes after it, in an order nobody knows. From the order follow the dependencies (graph.h), and a cycle among
 * them proves that no serial order has all of these transactions. What needs no cycle is looked for first:
 *   made up, duplicate append      an element that nobody appended, or that is there twice
 *   G1a                            a read of what was surely not done
 *   G1b                            a read that ends between two appends of one transaction
 *   internal                       a transaction that does not see what it did itself
 *   incompatible order             two reads of which neither begins with the other
 *   lost append                    one that was acknowledged, and is not in a read marked final; or a part of a
 *                                  transaction without what came before it
 * A transaction of unknown fate counts when somebody read what it appended. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check/graph.h"
#include "check/model.h"

struct append {
    orri_id key, value;
    uint32_t call, place;           /* place: of the micro-operation */
    orri_id before;                 /* what its transaction appended to the key just before; itself: nothing */
    bool last;                      /* of its transaction to this key */
    bool seen;                      /* in the longest list */
};
struct read {
    orri_id key, list;              /* list: what it saw */
    uint32_t call, place, own;      /* own: how many of the last elements are its transaction's */
};
struct txns {
    struct orr_history *h;
    struct orri_judgement *j;
    struct append *appends;         /* by key, value */
    struct read *reads;             /* by key, call, place */
    size_t n_appends, appends_cap, n_reads, reads_cap;
    struct orri_graph graph;        /* a node for each call */
    uint32_t *times;                /* by value: how often it is in the list that is looked at */
    bool *done;                     /* by call: acknowledged, or somebody read something of it */
};

static const struct orri_value *at(const struct txns *t, orri_id id) { return orri_at(&t->h->values, id); }
static uint32_t length(const struct txns *t, orri_id list) { return at(t, list)->n; }
static orri_id element(const struct txns *t, orri_id list, uint32_t i) { return at(t, list)->items[i]; }

/* -- Telling ------------------------------------------------------------------------------------------------------- */
#define say(t, ...) orri_text_add(&(t)->h->text, __VA_ARGS__)
static void show(struct txns *t, orri_id id) { orri_value_show(&t->h->values, id, 48, &t->h->text); }
static void place(struct txns *t, uint32_t call) {
    say(t, " (");
    orri_place_show(&t->h->calls[call], &t->h->text);
    say(t, ")");
}
static int by_number(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}
static int violate(struct txns *t, const char *property, uint32_t a, uint32_t b) {
    uint32_t calls[2] = { a < b ? a : b, a < b ? b : a }, n = a == b ? 1 : 2;
    t->j->report->result = ORR_VERDICT_VIOLATED;
    t->j->report->property = property;
    say(t, ".\n\n");
    for (uint32_t i = 0; i < n; i++)
        if (orri_blame(t->h, t->j, t->h->calls[calls[i]].invoked) < 0) return -ENOMEM;
    return orri_draw(t->h, t->j->arena, calls, n);
}
static bool goes_on(const struct txns *t, int rc) { return rc == 0 && t->j->report->result == ORR_VERDICT_OK; }

/* -- Reading them in ----------------------------------------------------------------------------------------------- */
static int by_append(const void *a, const void *b) {
    const struct append *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->call < y->call ? -1 : x->call > y->call;
}
static int by_read(const void *a, const void *b) {
    const struct read *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->call != y->call) return x->call < y->call ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static struct append *find(const struct txns *t, orri_id key, orri_id value) {
    size_t low = 0, high = t->n_appends;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct append *a = &t->appends[middle];
        if (a->key < key || (a->key == key && a->value < value)) low = middle + 1;
        else high = middle;
    }
    bool found = low < t->n_appends && t->appends[low].key == key && t->appends[low].value == value;
    return found ? &t->appends[low] : NULL;
}

/* A micro-operation: [f, key, value]; a read that has seen nothing yet may be without the value. */
static bool micro(const struct txns *t, orri_id txn, uint32_t i, orri_id out[3], bool *append) {
    const struct orri_value *v = at(t, element(t, txn, i));
    if (v->kind != ORRI_IS_ARRAY || v->n < 2 || v->n > 3) return false;
    out[2] = ORRI_NULL;
    memcpy(out, v->items, v->n * sizeof *out);
    *append = orri_is(t->h, out[0], "append") && v->n == 3;
    return *append || orri_is(t->h, out[0], "r") || orri_is(t->h, out[0], "read");
}

static int add_micro(struct txns *t, uint32_t call, orri_id txn, uint32_t i) {
    const struct orri_call *c = &t->h->calls[call];
    bool done = c->outcome == ORR_OUTCOME_OK, append;
    orri_id m[3];
    uint32_t line = done ? c->returned : c->invoked;
    if (!micro(t, txn, i, m, &append))
        return orri_refuse(t->h, line, "a transaction is a list of [\"append\",key,value] and [\"r\",key,list]");
    if (append) {
        if (orri_array_grow(t->h->alloc, (void **)&t->appends, t->n_appends, &t->appends_cap, sizeof *t->appends) < 0)
            return -ENOMEM;
        struct append *a = &t->appends[t->n_appends++];
        *a = (struct append){ m[1], m[2], call, i, m[2], true, false };
        for (struct append *b = a; b > t->appends && b[-1].call == call; b--) {
            if (b[-1].key != m[1] || !b[-1].last) continue;
            b[-1].last = false;
            a->before = b[-1].value;
        }
        return 0;
    }
    if (!done) return 0;
    if (m[2] != ORRI_NULL && at(t, m[2])->kind != ORRI_IS_ARRAY)
        return orri_refuse(t->h, line, "what a transaction read must be a list, or null");
    if (orri_array_grow(t->h->alloc, (void **)&t->reads, t->n_reads, &t->reads_cap, sizeof *t->reads) < 0)
        return -ENOMEM;
    t->reads[t->n_reads++] = (struct read){ m[1], m[2], call, i, 0 };
    return 0;
}

static int read_in(struct txns *t) {
    for (uint32_t call = 0; call < t->h->n; call++) {
        const struct orri_call *c = &t->h->calls[call];
        orri_id txn = c->outcome == ORR_OUTCOME_OK ? c->out : c->in;
        if (at(t, txn)->kind != ORRI_IS_ARRAY)
            return orri_refuse(t->h, c->outcome == ORR_OUTCOME_OK ? c->returned : c->invoked,
                               "the value of txn must be a list");
        for (uint32_t i = 0; i < length(t, txn); i++) {
            int rc = add_micro(t, call, txn, i);
            if (rc < 0) return rc;
        }
    }
    if (t->n_appends > 1) qsort(t->appends, t->n_appends, sizeof *t->appends, by_append);
    if (t->n_reads > 1) qsort(t->reads, t->n_reads, sizeof *t->reads, by_read);
    for (size_t i = 1; i < t->n_appends; i++) {
        const struct append *a = &t->appends[i - 1], *b = &t->appends[i];
        if (a->key == b->key && a->value == b->value)
            return orri_refuse(t->h, t->h->calls[b->call].invoked, "appends to a key what line %" PRIu32
                               " appends to it: values must differ for their order to be known",
                               t->h->calls[a->call].invoked);
    }
    return 0;
}

/* -- Without cycles ------------------------------------------------------------------------------------------------ */
static void say_read(struct txns *t, const struct read *r) {
    say(t, "a transaction read ");
    show(t, r->key);
    say(t, " as ");
    if (r->list == ORRI_NULL) say(t, "[]");
    else show(t, r->list);
    place(t, r->call);
}

/* An element is there once, and behind what its transaction appended before it. */
static int check_order_within(struct txns *t, const struct read *r, uint32_t i) {
    orri_id value = element(t, r->list, i);
    const struct append *a = find(t, r->key, value);
    bool twice = t->times[value]++ > 0;
    t->done[a->call] = true;
    if (!twice && (a->before == value || t->times[a->before] > 0)) return 0;
    say_read(t, r);
    say(t, ", and ");
    show(t, value);
    if (twice) {
        say(t, " is there twice");
    } else {
        say(t, " is there without the ");
        show(t, a->before);
        say(t, " that was appended before it");
        place(t, a->call);
    }
    return violate(t, twice ? "duplicate append" : "lost append", r->call, a->call);
}

static int check_elements(struct txns *t, const struct read *r) {
    for (uint32_t i = 0; i < length(t, r->list); i++) {
        orri_id value = element(t, r->list, i);
        const struct append *a = find(t, r->key, value);
        bool failed = a && t->h->calls[a->call].outcome == ORR_OUTCOME_FAIL;
        bool ahead = a && a->call == r->call && a->place > r->place;
        if (a && !failed && !ahead) continue;
        say_read(t, r);
        if (ahead) {
            say(t, ", and appended ");
            show(t, value);
            say(t, " only after that");
            return violate(t, "internal", r->call, r->call);
        }
        say(t, ", and ");
        show(t, value);
        if (failed) say(t, " had failed to be appended"), place(t, a->call);
        else say(t, " was appended by nobody");
        return violate(t, failed ? "G1a" : "made up", r->call, failed ? a->call : r->call);
    }
    int rc = 0;
    for (uint32_t i = 0; goes_on(t, rc) && i < length(t, r->list); i++) rc = check_order_within(t, r, i);
    for (uint32_t i = 0; i < length(t, r->list); i++) t->times[element(t, r->list, i)] = 0;
    return rc;
}

/* What it had appended to the key before must be the end of what it read; sets `own`. */
static int check_own(struct txns *t, struct read *r, const struct read *before) {
    orri_id txn = t->h->calls[r->call].out, m[3];
    uint32_t n = length(t, r->list), own = 0;
    bool append, fine = true;
    for (uint32_t i = 0; i < r->place; i++)
        if (micro(t, txn, i, m, &append) && append && m[1] == r->key) own++;
    r->own = own;
    fine = own <= n;
    for (uint32_t i = 0, k = 0; fine && i < r->place; i++)
        if (micro(t, txn, i, m, &append) && append && m[1] == r->key) fine = element(t, r->list, n - own + k++) == m[2];
    if (fine && before && before->call == r->call && before->key == r->key) {
        uint32_t outside = n - own, outside_before = length(t, before->list) - before->own;
        fine = outside == outside_before;
        for (uint32_t i = 0; fine && i < outside; i++) fine = element(t, r->list, i) == element(t, before->list, i);
    }
    if (fine) return 0;
    say_read(t, r);
    say(t, ", which is not what it had seen and done by itself before");
    return violate(t, "internal", r->call, r->call);
}

static int check_whole(struct txns *t, const struct read *r) {
    uint32_t n = length(t, r->list) - r->own;
    const struct append *a = n > 0 ? find(t, r->key, element(t, r->list, n - 1)) : NULL;
    if (!a || a->last || a->call == r->call) return 0;
    say_read(t, r);
    say(t, ", and who appended ");
    show(t, a->value);
    say(t, " appended more to it");
    place(t, a->call);
    return violate(t, "G1b", r->call, a->call);
}

/* Of the reads [from, to) of one key: the longest list, of which all must be beginnings. */
static int check_orders(struct txns *t, size_t from, size_t to, orri_id *longest) {
    const struct read *most = &t->reads[from];
    for (size_t i = from; i < to; i++)
        if (length(t, t->reads[i].list) > length(t, most->list)) most = &t->reads[i];
    *longest = most->list;
    for (size_t i = from; i < to; i++) {
        const struct read *r = &t->reads[i];
        for (uint32_t k = 0; k < length(t, r->list); k++) {
            if (element(t, r->list, k) == element(t, most->list, k)) continue;
            say_read(t, r);
            say(t, ", and another one as ");
            show(t, most->list);
            place(t, most->call);
            say(t, ": neither begins with the other");
            return violate(t, "incompatible order", r->call, most->call);
        }
    }
    return 0;
}

/* -- Dependencies -------------------------------------------------------------------------------------------------- */
/* Those whose append to the key nobody saw, though it was done: they come after all that was seen. Whoever saw
 * the end points to all of them but itself: by helper nodes, up[i] for those up to i, down[i] for those from i on. */
struct unseen {
    const struct append **appends;
    uint32_t n, up, down;           /* the first helper of each sort */
};

static int help(struct txns *t, struct unseen *u) {
    int rc = 0;
    u->up = t->graph.n;
    u->down = t->graph.n + u->n;
    t->graph.n += 2 * u->n;
    for (uint32_t i = 0; rc == 0 && i < u->n; i++) {
        const struct append *a = u->appends[i];
        struct orri_edge e = { .to = a->call, .kind = ORRI_PASS, .key = a->key, .written = a->value };
        e.from = u->up + i;
        rc = orri_edge_add(&t->graph, e);
        e.from = u->down + i;
        if (rc == 0) rc = orri_edge_add(&t->graph, e);
        if (rc == 0 && i > 0) {
            e.from = u->up + i, e.to = u->up + i - 1;
            rc = orri_edge_add(&t->graph, e);
        }
        if (rc == 0 && i + 1 < u->n) {
            e.from = u->down + i, e.to = u->down + i + 1;
            rc = orri_edge_add(&t->graph, e);
        }
    }
    return rc;
}

static int point_to_unseen(struct txns *t, const struct unseen *u, struct orri_edge e) {
    uint32_t self = 0;
    while (self < u->n && u->appends[self]->call < e.from) self++;      /* they are by call */
    uint32_t behind = self;
    while (behind < u->n && u->appends[behind]->call == e.from) behind++;
    int rc = 0;
    if (self > 0) e.to = u->up + self - 1, rc = orri_edge_add(&t->graph, e);
    if (rc == 0 && behind < u->n) e.to = u->down + behind, rc = orri_edge_add(&t->graph, e);
    return rc;
}

static int by_call(const void *a, const void *b) {
    const struct append *x = *(const struct append *const *)a, *y = *(const struct append *const *)b;
    return x->call < y->call ? -1 : x->call > y->call;
}

static int find_unseen(struct txns *t, orri_id key, orri_id longest, struct unseen *u) {
    size_t from = 0, to = t->n_appends;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (t->appends[middle].key < key) from = middle + 1;
        else to = middle;
    }
    for (uint32_t i = 0; i < length(t, longest); i++) find(t, key, element(t, longest, i))->seen = true;
    size_t n = 0;
    for (to = from; to < t->n_appends && t->appends[to].key == key; to++) n++;
    *u = (struct unseen){ .appends = orri_take(t->j->arena, n + 1, sizeof *u->appends) };
    if (!u->appends) return -ENOMEM;
    for (size_t i = from; i < to; i++)
        if (!t->appends[i].seen && t->done[t->appends[i].call])
            u->appends[u->n++] = &t->appends[i];
    if (u->n > 1) qsort(u->appends, u->n, sizeof *u->appends, by_call);
    return help(t, u);
}

/* The reader of the first n elements of the order comes before who wrote the next one, and after who wrote the last. */
static int add_read(struct txns *t, const struct read *r, orri_id longest, const struct unseen *u) {
    uint32_t n = length(t, r->list) - r->own;
    struct orri_edge e = { .from = r->call, .kind = ORRI_RW, .key = r->key, .seen = r->list };
    int rc = 0;
    if (n > 0) {
        orri_id last = element(t, longest, n - 1);
        rc = orri_edge_add(&t->graph, (struct orri_edge){ find(t, r->key, last)->call, r->call, ORRI_WR, r->key,
                                                          r->list, last });
    }
    if (rc < 0) return rc;
    uint32_t next = n;              /* past what it wrote itself */
    while (next < length(t, longest) && find(t, r->key, element(t, longest, next))->call == r->call) next++;
    if (next == length(t, longest)) return point_to_unseen(t, u, e);
    e.written = element(t, longest, next);
    e.to = find(t, r->key, e.written)->call;
    return orri_edge_add(&t->graph, e);
}

static int add_key(struct txns *t, size_t from, size_t to) {
    struct unseen u;
    orri_id longest, key = t->reads[from].key;
    int rc = check_orders(t, from, to, &longest);
    if (!goes_on(t, rc)) return rc;
    rc = find_unseen(t, key, longest, &u);
    uint32_t before = 0;
    for (uint32_t i = 0; rc == 0 && i < length(t, longest); i++) {
        orri_id value = element(t, longest, i);
        uint32_t call = find(t, key, value)->call;
        if (i > 0)
            rc = orri_edge_add(&t->graph, (struct orri_edge){ before, call, ORRI_WW, key, element(t, longest, i - 1),
                                                              value });
        before = call;
    }
    if (rc == 0 && length(t, longest) > 0)
        rc = point_to_unseen(t, &u, (struct orri_edge){ .from = before, .kind = ORRI_WW, .key = key,
                                                        .seen = element(t, longest, length(t, longest) - 1) });
    for (size_t i = from; rc == 0 && i < to; i++) rc = add_read(t, &t->reads[i], longest, &u);
    for (size_t i = from; rc == 0 && i < to; i++) {
        if (!t->h->calls[t->reads[i].call].final) continue;
        for (uint32_t k = 0; k < u.n; k++) {
            const struct orri_call *by = &t->h->calls[u.appends[k]->call];
            if (by->outcome != ORR_OUTCOME_OK || by->returned > t->h->calls[t->reads[i].call].invoked) continue;
            show(t, u.appends[k]->value);
            say(t, " was appended to ");
            show(t, key);
            place(t, u.appends[k]->call);
            say(t, ", and a read marked final doesn't have it");
            place(t, t->reads[i].call);
            return violate(t, "lost append", u.appends[k]->call, t->reads[i].call);
        }
    }
    return rc;
}

/* -- Real time: who was over before who began; through those in between, where there are any ----------------------- */
struct moment { uint32_t line, call; bool over; };
static int by_line(const void *a, const void *b) {
    const struct moment *x = a, *y = b;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int add_times(struct txns *t) {
    struct moment *moments = orri_take(t->j->arena, 2 * t->h->n + 1, sizeof *moments);
    uint32_t *latest = orri_take(t->j->arena, t->h->n + 1, sizeof *latest), n_latest = 0;
    size_t n = 0;
    if (!moments || !latest) return -ENOMEM;
    for (uint32_t i = 0; i < t->h->n; i++) {
        const struct orri_call *c = &t->h->calls[i];
        if (c->outcome == ORR_OUTCOME_FAIL) continue;
        moments[n++] = (struct moment){ c->invoked, i, false };
        if (c->outcome == ORR_OUTCOME_OK) moments[n++] = (struct moment){ c->returned, i, true };
    }
    if (n > 1) qsort(moments, n, sizeof *moments, by_line);
    for (size_t i = 0; i < n; i++) {
        uint32_t call = moments[i].call, kept = 0;
        for (uint32_t k = 0; k < n_latest; k++) {
            uint32_t other = latest[k];
            if (!moments[i].over) {
                int rc = orri_edge_add(&t->graph, (struct orri_edge){ .from = other, .to = call, .kind = ORRI_RT });
                if (rc < 0) return rc;
            } else if (t->h->calls[other].returned > t->h->calls[call].invoked) {
                latest[kept++] = other;         /* it isn't before this one, so this one can't stand for it */
            }
        }
        if (moments[i].over) n_latest = kept, latest[n_latest++] = call;
    }
    return 0;
}

/* -- Telling a cycle ----------------------------------------------------------------------------------------------- */
static void say_edge(struct txns *t, const struct orri_edge *e, uint32_t from, uint32_t to) {
    say(t, "  T%" PRIu32 " before T%" PRIu32 ": ", from, to);
    if (e->kind == ORRI_RT) {
        say(t, "T%" PRIu32 " was over (line %" PRIu32 ") before T%" PRIu32 " began (line %" PRIu32 ")", from,
            t->h->calls[e->from].returned, to, t->h->calls[e->to].invoked);
    } else if (e->kind == ORRI_WW) {
        say(t, "T%" PRIu32 " appended ", from), show(t, e->seen), say(t, " to "), show(t, e->key);
        say(t, ", and T%" PRIu32 " appended ", to), show(t, e->written), say(t, " behind it");
    } else if (e->kind == ORRI_WR) {
        say(t, "T%" PRIu32 " appended ", from), show(t, e->written), say(t, " to "), show(t, e->key);
        say(t, ", and T%" PRIu32 " read that", to);
    } else {
        say(t, "T%" PRIu32 " read ", from), show(t, e->key), say(t, " as ");
        if (e->seen == ORRI_NULL) say(t, "[]");
        else show(t, e->seen);
        say(t, ", without the ");
        show(t, e->written), say(t, " that T%" PRIu32 " appended", to);
    }
    static const char *const kinds[] = { "ww", "wr", "rw", "rt" };
    say(t, "  (%s)\n", kinds[e->kind]);
}

static int tell_cycle(struct txns *t, const struct orri_cycle *c) {
    uint32_t *calls = orri_take(t->j->arena, c->n, sizeof *calls);
    if (!calls) return -ENOMEM;
    t->j->report->result = ORR_VERDICT_VIOLATED;
    t->j->report->property = c->name;
    say(t, "%s: no serial order has these %" PRIu32 " transactions, each must come before the next:\n\n", c->name,
        c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        const struct orri_call *call = &t->h->calls[calls[i] = c->edges[i].from];
        say(t, "  T%" PRIu32 "  ", i + 1);
        orri_value_show(&t->h->values, call->outcome == ORR_OUTCOME_OK ? call->out : call->in, 70, &t->h->text);
        place(t, calls[i]);
        say(t, "\n");
        if (orri_blame(t->h, t->j, call->invoked) < 0) return -ENOMEM;
    }
    say(t, "\n");
    for (uint32_t i = 0; i < c->n; i++) say_edge(t, &c->edges[i], i + 1, i + 1 == c->n ? 1 : i + 2);
    say(t, "\n");
    qsort(calls, c->n, sizeof *calls, by_number);
    return orri_draw(t->h, t->j->arena, calls, c->n);
}

static int judge(struct txns *t) {
    int rc = read_in(t);
    t->times = orri_take_zeroed(t->j->arena, t->h->values.n, sizeof *t->times);
    t->done = orri_take(t->j->arena, t->h->n + 1, sizeof *t->done);
    if (rc == 0 && (!t->times || !t->done)) rc = -ENOMEM;
    for (size_t i = 0; rc == 0 && i < t->h->n; i++) t->done[i] = t->h->calls[i].outcome == ORR_OUTCOME_OK;
    for (size_t i = 0; goes_on(t, rc) && i < t->n_reads; i++) rc = check_elements(t, &t->reads[i]);
    for (size_t i = 0; goes_on(t, rc) && i < t->n_reads; i++)
        rc = check_own(t, &t->reads[i], i > 0 ? &t->reads[i - 1] : NULL);
    for (size_t i = 0; goes_on(t, rc) && i < t->n_reads; i++) rc = check_whole(t, &t->reads[i]);
    for (size_t from = 0, to; goes_on(t, rc) && from < t->n_reads; from = to) {
        for (to = from; to < t->n_reads && t->reads[to].key == t->reads[from].key; to++) {}
        rc = add_key(t, from, to);
        t->j->report->keys++;
    }
    if (goes_on(t, rc) && t->j->judge->strict) rc = add_times(t);
    struct orri_cycle cycle;
    if (goes_on(t, rc)) {
        rc = orri_cycle_find(&t->graph, t->j->arena, &cycle);
        if (rc == 0 && cycle.name) rc = tell_cycle(t, &cycle);
    }
    return rc;
}

int orri_judge_append(struct orr_history *h, struct orri_judgement *j) {
    struct txns t = { .h = h, .j = j, .graph = { .alloc = h->alloc, .n = (uint32_t)h->n } };
    int rc = judge(&t);
    orri_graph_clear(&t.graph);
    if (t.appends) h->alloc->fn(h->alloc->ud, t.appends, t.appends_cap * sizeof *t.appends, 0);
    if (t.reads) h->alloc->fn(h->alloc->ud, t.reads, t.reads_cap * sizeof *t.reads, 0);
    j->report->reads = t.n_reads;
    return rc;
}
