/* linearizable.c - the search for an order of one key's operations, and the verification of a given one.
 *
 * The operations of a key lie in a list by time of invocation. A candidate for the next place is one that was invoked
 * before any operation still in the list returned. Two observations make it fast:
 *  - An operation that changes nothing and fits the present value may be placed at once: in any order that places it
 *    later it can be moved here, since nothing that returned before its invocation is still unplaced. So only writes
 *    are ever a choice.
 *  - Two searches that have placed the same set and hold the same value go on alike (Lowe 2016),
 *    so a set of such pairs, as 128-bit hashes, cuts the second one off.
 * With a witness there is no choice at all: the next write is the witness's.
 *
 * An operation of unknown fate never returns: it may stay unplaced for ever. */
#include <orrery/check.h>

#include "base/assert.h"
#include "base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct node {                       /* an operation in the list; links are positions, the list's head is position n */
    const struct orr_operation *op;
    orr_time returned;              /* ORR_NEVER for unknown fate */
    uint32_t prev, next;
};
struct choice {                     /* a write that was placed, and how far to undo when it leads nowhere */
    uint32_t placed;                /* height of the trail before it */
    uint32_t tried;                 /* the write */
    uint64_t value;                 /* before it */
    struct orr_hash128 set;
};
struct search {
    const struct orr_alloc *alloc;
    const struct orr_operation *ops;
    struct node *nodes;             /* n + 1 */
    uint32_t n, left;               /* operations; those that must still find a place */
    uint32_t *trail, height;        /* placed, in order */
    struct choice *choices;
    uint32_t depth;
    uint32_t *writes, n_writes, next_write;    /* the witness */
    struct orr_hash128 *memo, set;
    size_t memo_cap, memo_n;
    uint64_t value, steps, steps_max;
    uint32_t stuck;                 /* deepest failure: who found no place, */
    uint32_t stuck_height;
    uint64_t stuck_value;
};

static bool changes(const struct orr_operation *op) {
    switch (op->call) {
    case ORR_CALL_SET: return true;
    case ORR_CALL_CAS:
    case ORR_CALL_DEL: return op->outcome == ORR_OUTCOME_INFO || op->got == 1;
    default: return false;
    }
}

/* May `op` stand here, where the value is `value`? An unknown fate that changes nothing here is no choice. */
static bool fits(const struct orr_operation *op, uint64_t value) {
    switch (op->call) {
    case ORR_CALL_GET: return op->got == value;
    case ORR_CALL_SET: return true;
    case ORR_CALL_CAS: return changes(op) ? value == op->expected : value != op->expected;
    default: return changes(op) ? value != 0 : value == 0;
    }
}

static uint64_t after(const struct orr_operation *op, uint64_t value) {
    if (!changes(op)) return value;
    return op->call == ORR_CALL_DEL ? 0 : op->value;
}

/* -- The list ------------------------------------------------------------------------------------------------------ */
static struct orr_hash128 name_of(uint32_t at) {
    struct orr_hash128 h = orri_hash128(&at, sizeof at, 0x6f727265);
    return h;
}
static void place(struct search *s, uint32_t at) {
    struct node *x = &s->nodes[at];
    struct orr_hash128 h = name_of(at);
    s->nodes[x->prev].next = x->next;
    s->nodes[x->next].prev = x->prev;
    s->value = after(x->op, s->value);
    s->set.low ^= h.low;
    s->set.high ^= h.high;
    s->trail[s->height++] = at;
    if (x->returned != ORR_NEVER) s->left--;
}
static void unplace_to(struct search *s, uint32_t height) {
    while (s->height > height) {    /* in reverse, so that each finds its neighbours as they were */
        uint32_t at = s->trail[--s->height];
        struct node *x = &s->nodes[at];
        s->nodes[x->prev].next = at;
        s->nodes[x->next].prev = at;
        if (x->returned != ORR_NEVER) s->left++;
    }
}

/* Places all that changes nothing and fits, until no more does. */
static void place_reads(struct search *s) {
    for (bool again = true; again;) {
        again = false;
        orr_time first_return = ORR_NEVER;
        for (uint32_t at = s->nodes[s->n].next, next; at != s->n; at = next) {
            struct node *x = &s->nodes[at];
            next = x->next;
            if (x->op->invoked > first_return) break;
            s->steps++;
            if (!changes(x->op) && fits(x->op, s->value)) {
                place(s, at);
                again = true;
            } else if (x->returned < first_return) {
                first_return = x->returned;
            }
        }
    }
}

/* The next write after `tried` (NONE: the first) that may stand here; NONE when there is none. */
static uint32_t next_choice(struct search *s, uint32_t tried) {
    orr_time first_return = ORR_NEVER;
    bool beyond = tried == NONE;
    for (uint32_t at = s->nodes[s->n].next; at != s->n; at = s->nodes[at].next) {
        const struct node *x = &s->nodes[at];
        if (x->op->invoked > first_return) return NONE;
        s->steps++;
        if (beyond && changes(x->op) && fits(x->op, s->value)) return at;
        if (at == tried) beyond = true;
        if (x->returned < first_return) first_return = x->returned;
    }
    return NONE;
}

static void note_stuck(struct search *s) {
    if (s->stuck != NONE && s->height <= s->stuck_height) return;
    uint32_t first = NONE;          /* who returns first can't wait any longer */
    for (uint32_t at = s->nodes[s->n].next; at != s->n; at = s->nodes[at].next)
        if (first == NONE || s->nodes[at].returned < s->nodes[first].returned) first = at;
    s->stuck = first;
    s->stuck_height = s->height;
    s->stuck_value = s->value;
}

/* -- The memo ------------------------------------------------------------------------------------------------------ */
static int memo_grow(struct search *s) {
    size_t cap = s->memo_cap ? 2 * s->memo_cap : 1024;
    struct orr_hash128 *memo = s->alloc->fn(s->alloc->ud, NULL, 0, cap * sizeof *memo);
    if (!memo) return -ENOMEM;
    memset(memo, 0, cap * sizeof *memo);
    for (size_t i = 0; i < s->memo_cap; i++) {
        if (s->memo[i].low == 0 && s->memo[i].high == 0) continue;
        size_t at = s->memo[i].low & (cap - 1);
        while (memo[at].low || memo[at].high) at = (at + 1) & (cap - 1);
        memo[at] = s->memo[i];
    }
    if (s->memo) s->alloc->fn(s->alloc->ud, s->memo, s->memo_cap * sizeof *memo, 0);
    s->memo = memo;
    s->memo_cap = cap;
    return 0;
}
/* 1: new, and noted; 0: was there; or -ENOMEM. */
static int memo_add(struct search *s) {
    if (2 * s->memo_n >= s->memo_cap) {
        int rc = memo_grow(s);
        if (rc < 0) return rc;
    }
    uint64_t words[3] = { s->set.low, s->set.high, s->value };
    struct orr_hash128 h = orri_hash128(words, sizeof words, 0x6d656d6f);
    if (h.low == 0 && h.high == 0) h.low = 1;
    size_t at = h.low & (s->memo_cap - 1);
    for (; s->memo[at].low || s->memo[at].high; at = (at + 1) & (s->memo_cap - 1))
        if (s->memo[at].low == h.low && s->memo[at].high == h.high) return 0;
    s->memo[at] = h;
    s->memo_n++;
    return 1;
}

/* -- Two ways through ---------------------------------------------------------------------------------------------- */
static enum orr_verdict_result verify(struct search *s) {
    for (;;) {
        place_reads(s);
        if (s->left == 0) return ORR_VERDICT_OK;
        uint32_t wanted = s->next_write < s->n_writes ? s->writes[s->next_write] : NONE;
        uint32_t at = next_choice(s, NONE);
        while (at != NONE && at != wanted) at = next_choice(s, at);
        if (at == NONE) {
            note_stuck(s);
            return ORR_VERDICT_VIOLATED;
        }
        place(s, at);
        s->next_write++;
    }
}

static int search(struct search *s, enum orr_verdict_result *result) {
    uint32_t tried = NONE;
    for (;;) {
        if (tried == NONE) place_reads(s);
        if (s->left == 0) return *result = ORR_VERDICT_OK, 0;
        if (s->steps > s->steps_max) return *result = ORR_VERDICT_UNDECIDED, 0;
        uint32_t at = next_choice(s, tried);
        if (at != NONE) {
            s->choices[s->depth++] = (struct choice){ s->height, at, s->value, s->set };
            place(s, at);
            int rc = memo_add(s);
            if (rc < 0) return rc;
            tried = NONE;
            if (rc == 1) continue;
        } else {
            note_stuck(s);
        }
        if (s->depth == 0) return *result = ORR_VERDICT_VIOLATED, 0;
        struct choice c = s->choices[--s->depth];
        unplace_to(s, c.placed);
        s->value = c.value;
        s->set = c.set;
        tried = c.tried;
    }
}

/* -- One key ------------------------------------------------------------------------------------------------------- */
static int by_invocation(const void *a, const void *b) {
    const struct orr_operation *x = *(const struct orr_operation *const *)a,
                               *y = *(const struct orr_operation *const *)b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->invoked != y->invoked) return x->invoked < y->invoked ? -1 : 1;
    return x < y ? -1 : x > y;      /* both in the caller's array: its order */
}

/* The writes of one key in the witness's order. */
struct ordered {
    uint64_t order;
    uint32_t at;
};
static int by_witness(const void *a, const void *b) {
    const struct ordered *x = a, *y = b;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Whether an operation takes part: a failed one was surely not done, an unknown read says nothing, and an unknown write
 * that the witness doesn't have was never done. */
static bool counts(const struct orr_operation *op, bool witness) {
    if (op->outcome == ORR_OUTCOME_OK) return true;
    if (op->outcome == ORR_OUTCOME_FAIL || op->call == ORR_CALL_GET) return false;
    return !witness || op->order != 0;
}

static void link_list(struct search *s) {
    for (uint32_t i = 0; i <= s->n; i++) {
        s->nodes[i].prev = i == 0 ? s->n : i - 1;
        s->nodes[i].next = i == s->n ? 0 : i + 1;
    }
}

/* Fills the search with one key's operations, and the witness's order if there is one. */
static void load(struct search *s, const struct orr_operation *const *ops, size_t n, bool witness,
                 struct ordered *scratch) {
    s->n = s->left = s->height = s->depth = s->n_writes = s->next_write = 0;
    s->value = 0;
    s->set = (struct orr_hash128){ 0, 0 };
    s->stuck = NONE;
    if (s->memo_n) memset(s->memo, 0, s->memo_cap * sizeof *s->memo);
    s->memo_n = 0;
    for (size_t i = 0; i < n; i++) {
        if (!counts(ops[i], witness)) continue;
        bool open = ops[i]->outcome == ORR_OUTCOME_INFO;
        if (witness && changes(ops[i]) && ops[i]->order != 0)
            scratch[s->n_writes++] = (struct ordered){ ops[i]->order, s->n };
        s->nodes[s->n++] = (struct node){ ops[i], open ? ORR_NEVER : ops[i]->returned, 0, 0 };
        if (!open) s->left++;
    }
    s->nodes[s->n] = (struct node){ NULL, ORR_NEVER, 0, 0 };
    link_list(s);
    qsort(scratch, s->n_writes, sizeof *scratch, by_witness);
    for (uint32_t i = 0; i < s->n_writes; i++) s->writes[i] = scratch[i].at;
}

/* How much of the history could go wrong at all: a read that no write of its key overlaps proves little. */
static void count_overlaps(const struct search *s, struct orr_verdict *out) {
    orr_time written_until = INT64_MIN;     /* latest return of a write invoked so far */
    for (uint32_t i = 0; i < s->n; i++) {
        const struct node *x = &s->nodes[i];
        if (x->op->call != ORR_CALL_GET) {
            if (x->returned > written_until) written_until = x->returned;
            continue;
        }
        bool overlaps = written_until >= x->op->invoked;
        for (uint32_t j = i + 1; !overlaps && j < s->n && s->nodes[j].op->invoked <= x->returned; j++)
            overlaps = s->nodes[j].op->call != ORR_CALL_GET;
        out->reads++;
        out->overlapping_reads += overlaps;
    }
}

static int judge(struct search *s, bool witness, struct orr_verdict *out) {
    enum orr_verdict_result result = ORR_VERDICT_OK;
    if (witness) {
        result = verify(s);
    } else {
        int rc = search(s, &result);
        if (rc < 0) return rc;
    }
    out->result = result;
    if (result == ORR_VERDICT_VIOLATED && s->stuck != NONE) {
        out->operation = (size_t)(s->nodes[s->stuck].op - s->ops);
        out->value = s->stuck_value;
    }
    return 0;
}

/* -- All keys ------------------------------------------------------------------------------------------------------ */
struct room {                       /* one block for all arrays */
    const struct orr_operation **sorted;
    struct ordered *scratch;
    void *block;
    size_t size;
};

static int make_room(struct search *s, struct room *room, size_t n) {
    size_t each = sizeof *room->sorted + sizeof *room->scratch + sizeof *s->nodes + sizeof *s->choices
                  + sizeof *s->trail + sizeof *s->writes;
    room->size = (n + 1) * each;
    char *at = room->block = s->alloc->fn(s->alloc->ud, NULL, 0, room->size);
    if (!at) return -ENOMEM;
    room->sorted = (void *)at, at += (n + 1) * sizeof *room->sorted;
    room->scratch = (void *)at, at += (n + 1) * sizeof *room->scratch;
    s->nodes = (void *)at, at += (n + 1) * sizeof *s->nodes;
    s->choices = (void *)at, at += (n + 1) * sizeof *s->choices;
    s->trail = (void *)at, at += (n + 1) * sizeof *s->trail;
    s->writes = (void *)at;
    return 0;
}

static bool valid(const struct orr_operation *ops, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (ops[i].call > ORR_CALL_DEL || ops[i].outcome > ORR_OUTCOME_INFO) return false;
        if (ops[i].outcome == ORR_OUTCOME_OK && ops[i].returned < ops[i].invoked) return false;
    }
    return n < NONE;
}

static int judge_all(struct search *s, const struct room *room, size_t n, bool witness, struct orr_verdict *out) {
    enum orr_verdict_result worst = ORR_VERDICT_OK;
    uint64_t undecided_key = 0;
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && room->sorted[to]->key == room->sorted[from]->key; to++) {}
        load(s, room->sorted + from, to - from, witness, room->scratch);
        count_overlaps(s, out);
        out->key = room->sorted[from]->key;
        int rc = judge(s, witness, out);
        if (rc < 0 || out->result == ORR_VERDICT_VIOLATED) return rc;
        if (out->result == ORR_VERDICT_UNDECIDED) {
            worst = ORR_VERDICT_UNDECIDED;
            undecided_key = out->key;
            s->steps_max += s->steps_max;   /* the next key has a budget of its own */
        }
    }
    out->result = worst;
    out->key = undecided_key;
    return 0;
}

int orr_check_linearizable(const struct orr_operation *ops, size_t n, const struct orr_check_config *cfg,
                           struct orr_verdict *out) {
    struct search s = { .ops = ops, .alloc = cfg && cfg->alloc ? cfg->alloc : &orr_alloc_libc };
    bool witness = cfg && cfg->witness;
    s.steps_max = cfg && cfg->steps_max ? cfg->steps_max : 10000000;
    *out = (struct orr_verdict){ .result = ORR_VERDICT_OK };
    if (!valid(ops, n)) return ORR_EINVALID;
    struct room room;
    int rc = make_room(&s, &room, n);
    if (rc < 0) return rc;
    for (size_t i = 0; i < n; i++) room.sorted[i] = &ops[i];
    qsort(room.sorted, n, sizeof *room.sorted, by_invocation);
    rc = judge_all(&s, &room, n, witness, out);
    out->steps = s.steps;
    if (s.memo) s.alloc->fn(s.alloc->ud, s.memo, s.memo_cap * sizeof *s.memo, 0);
    s.alloc->fn(s.alloc->ud, room.block, room.size, 0);
    return rc;
}

int orr_operation_show(const struct orr_operation *op, char *out, size_t size) {
    static const char *const outcomes[] = { "ok", "fail", "unknown" };
    char what[96], times[64];
    switch (op->call) {
    case ORR_CALL_GET: snprintf(what, sizeof what, "get k%" PRIu64 " -> %" PRIu64, op->key, op->got); break;
    case ORR_CALL_SET: snprintf(what, sizeof what, "set k%" PRIu64 " = %" PRIu64, op->key, op->value); break;
    case ORR_CALL_CAS:
        snprintf(what, sizeof what, "cas k%" PRIu64 " %" PRIu64 " to %" PRIu64 " -> %s", op->key, op->expected,
                 op->value, op->got ? "swapped" : "another was there");
        break;
    default: snprintf(what, sizeof what, "del k%" PRIu64 " -> %" PRIu64, op->key, op->got);
    }
    double invoked = (double)op->invoked / 1e9, returned = (double)op->returned / 1e9;
    if (op->outcome == ORR_OUTCOME_INFO) snprintf(times, sizeof times, "%.6f..", invoked);
    else snprintf(times, sizeof times, "%.6f..%.6f", invoked, returned);
    return snprintf(out, size, "process %" PRIu32 " %s at %s: %s", op->process, what, times, outcomes[op->outcome]);
}
