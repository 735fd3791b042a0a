/* search.c - just-in-time linearization: depth first, with a memo; and one pass along a witness.
 *
 * Calls lie in a list by time of invocation. A candidate for the next place is one that was invoked before any call
 * still in the list returned (with `by_process`: the next of its process). Invariants:
 *  - The list is what must be placed and isn't, a second one what may; the trail is what is placed, in order. Unplacing
 *    runs backwards, so each call finds its neighbours as they were.
 *  - A call that only reads, and fits, is placed at once: in any order that places it later it can be moved here, for
 *    what returned before its invocation is placed already, and it changes nothing for the others. So only changes are
 *    ever a choice.
 *  - Of twins that are candidates, the one that returns first is tried alone: in an order that places another one of
 *    them here, the two can change places.
 *  - Two tries that have placed the same set and reached the same state go on alike (Lowe 2016): such pairs are noted
 *    as 128-bit hashes, and cut the second one off. When the memo is full it takes no more, which costs time only.
 *  - A call that may stay out (unknown fate) is tried after those that must be placed, and only where the object finds
 *    it useful. */
#include "check/search.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

enum { MEMO_FIRST = 1024, MEMO_MAX = 1 << 23 };

struct link {                       /* positions; the lists' heads are positions n, and n + 1 for what may stay out */
    uint32_t prev, next;
};
struct best {                       /* of twins: the candidate that returns first, as of scan `scan` */
    uint64_t scan;
    uint32_t at;
};
struct choice {                     /* a change that was placed, and how far to undo when it leads nowhere */
    uint32_t height;                /* of the trail before it */
    uint32_t tried;
    unsigned phase;                 /* which sort of calls is being tried */
    struct orr_hash128 set;
};
struct orri_search {
    const struct orr_alloc *alloc;
    uint32_t cap;
    void *block;
    size_t block_size;

    const struct orri_problem *p;
    const struct orri_item *items;
    struct link *links;             /* cap + 2 */
    struct orr_hash128 *names;      /* of each position, for the set */
    uint32_t *followers;            /* by_process: how many of the next positions become candidates with it */
    uint32_t *trail, height, n, left;
    struct choice *choices;
    uint32_t depth;
    uint32_t *writes, n_writes;     /* the witness */
    struct best *best;              /* by the twins' number */
    uint64_t scan;
    struct orr_hash128 *memo, set;
    size_t memo_cap, memo_n;
    uint64_t steps;
    uint32_t stuck, *stuck_trail, stuck_height;
    bool twins, optionals;          /* are there any */
};

int orri_search_new(struct orri_search **out, const struct orr_alloc *alloc, uint32_t n) {
    struct orri_search *s = alloc->fn(alloc->ud, NULL, 0, sizeof *s);
    if (!s) return -ENOMEM;
    *s = (struct orri_search){ .alloc = alloc, .cap = n };
    size_t room = (size_t)n + 2;
    s->block_size = room * (sizeof *s->names + sizeof *s->choices + sizeof *s->best + sizeof *s->links
                            + 4 * sizeof(uint32_t));
    char *at = s->block = alloc->fn(alloc->ud, NULL, 0, s->block_size);
    if (!at) return alloc->fn(alloc->ud, s, sizeof *s, 0), -ENOMEM;
    s->names = (void *)at, at += room * sizeof *s->names;
    s->choices = (void *)at, at += room * sizeof *s->choices;
    s->best = (void *)at, at += room * sizeof *s->best;
    s->links = (void *)at, at += room * sizeof *s->links;
    s->followers = (void *)at, at += room * sizeof *s->followers;
    s->trail = (void *)at, at += room * sizeof *s->trail;
    s->stuck_trail = (void *)at, at += room * sizeof *s->stuck_trail;
    s->writes = (void *)at;
    memset(s->best, 0, room * sizeof *s->best);
    for (uint32_t i = 0; i < n; i++) s->names[i] = orri_hash128(&i, sizeof i, 0x6f727265);
    *out = s;
    return 0;
}

static void memo_drop(struct orri_search *s) {
    if (s->memo) s->alloc->fn(s->alloc->ud, s->memo, s->memo_cap * sizeof *s->memo, 0);
    s->memo = NULL;
    s->memo_cap = s->memo_n = 0;
}

void orri_search_free(struct orri_search *s) {
    if (!s) return;
    memo_drop(s);
    s->alloc->fn(s->alloc->ud, s->block, s->block_size, 0);
    s->alloc->fn(s->alloc->ud, s, sizeof *s, 0);
}

/* -- The list ------------------------------------------------------------------------------------------------------ */
static bool optional(const struct orri_item *x) { return x->returned == ORR_NEVER; }

static void unlink_at(struct orri_search *s, uint32_t at) {
    struct link *x = &s->links[at];
    s->links[x->prev].next = x->next;
    s->links[x->next].prev = x->prev;
}
static void link_at(struct orri_search *s, uint32_t at) {
    struct link *x = &s->links[at];
    s->links[x->prev].next = at;
    s->links[x->next].prev = at;
}
static void link_behind(struct orri_search *s, uint32_t prev, uint32_t at) {
    s->links[at] = (struct link){ prev, s->links[prev].next };
    link_at(s, at);
}
static uint32_t last(const struct orri_search *s, bool optionals) { return s->links[s->n + optionals].prev; }

/* What its object has applied takes its place. */
static void placed(struct orri_search *s, uint32_t at) {
    unlink_at(s, at);
    for (uint32_t i = 1; i <= s->followers[at]; i++) {
        bool stays = optional(&s->items[at + i]);
        link_behind(s, stays ? last(s, true) : s->links[at].prev, at + i);
    }
    s->set.low ^= s->names[at].low;
    s->set.high ^= s->names[at].high;
    s->trail[s->height++] = at;
    if (!optional(&s->items[at])) s->left--;
}
static void unplace_to(struct orri_search *s, uint32_t height) {
    const struct orri_object *o = s->p->object;
    while (s->height > height) {
        uint32_t at = s->trail[--s->height];
        for (uint32_t i = s->followers[at]; i > 0; i--) unlink_at(s, at + i);
        link_at(s, at);
        if (!optional(&s->items[at])) s->left++;
        o->undo(o->ud, s->items[at].call);
    }
}

static int try(struct orri_search *s, uint32_t at) {
    const struct orri_object *o = s->p->object;
    int rc = o->step(o->ud, s->items[at].call);
    if (rc == 1) placed(s, at);
    return rc;
}

static uint32_t first(const struct orri_search *s) { return s->links[s->n].next; }
static uint32_t first_optional(const struct orri_search *s) { return s->links[s->n + 1].next; }
/* Whether the walk of candidates ends before x: something that is not placed returned before x was invoked. */
static bool ends(const struct orri_search *s, const struct orri_item *x, int64_t first_return) {
    return !s->p->by_process && x->invoked > first_return;
}

/* Places all that reads and fits, until no more does. */
static int place_reads(struct orri_search *s) {
    for (bool again = true; again;) {
        again = false;
        int64_t first_return = ORR_NEVER;
        for (uint32_t at = first(s), next; at != s->n; at = next) {
            const struct orri_item *x = &s->items[at];
            next = s->links[at].next;
            s->steps++;
            if (ends(s, x, first_return)) break;
            int rc = x->reads ? try(s, at) : 0;
            if (rc < 0) return rc;
            again = again || rc == 1;
            if (rc == 0 && x->returned < first_return) first_return = x->returned;
        }
    }
    return 0;
}

/* When the first of those returns who are candidates and must be placed: nothing invoked later is a candidate. */
static int64_t soonest_return(struct orri_search *s) {
    int64_t first_return = ORR_NEVER;
    for (uint32_t at = first(s); at != s->n && !ends(s, &s->items[at], first_return); at = s->links[at].next) {
        if (s->items[at].returned < first_return) first_return = s->items[at].returned;
        s->steps++;
    }
    return first_return;
}

/* Notes, of each twins' class, the candidate that returns first. */
static void note_best(struct orri_search *s, uint32_t at) {
    const struct orri_item *x = &s->items[at];
    struct best *best = &s->best[x->twins];
    if (x->twins == 0 || (best->scan == s->scan && s->items[best->at].returned <= x->returned)) return;
    *best = (struct best){ s->scan, at };
}
static void find_best(struct orri_search *s) {
    int64_t first_return = soonest_return(s);
    s->scan++;
    for (uint32_t at = first(s); at != s->n && !ends(s, &s->items[at], first_return); at = s->links[at].next)
        note_best(s, at);
    for (uint32_t at = first_optional(s); at != s->n + 1; at = s->links[at].next) {
        if (ends(s, &s->items[at], first_return)) return;
        note_best(s, at);
    }
}

/* Phases of trying: by rank what must be placed, then what may stay out. */
enum { RANKS = 3, OPTIONALS = RANKS };
static unsigned next_phase(const struct orri_search *s, unsigned phase) {
    if (phase < OPTIONALS && !s->p->object->rank) phase = RANKS - 1;
    return ++phase == OPTIONALS && !s->optionals ? OPTIONALS + 1 : phase;
}

/* The next change behind `tried` (NONE: the first) that the object takes here, placed; NONE when there is none. */
static int next_choice(struct orri_search *s, uint32_t tried, unsigned phase, uint32_t *out) {
    const struct orri_object *o = s->p->object;
    bool optionals = phase == OPTIONALS, beyond = tried == ORRI_NONE;
    int64_t first_return = optionals ? soonest_return(s) : ORR_NEVER;
    uint32_t end = s->n + optionals;
    *out = ORRI_NONE;
    if (s->twins) find_best(s);
    for (uint32_t at = s->links[end].next, next; at != end; at = next) {
        const struct orri_item *x = &s->items[at];
        next = s->links[at].next;
        s->steps++;
        if (ends(s, x, first_return)) return 0;
        if (x->returned < first_return) first_return = x->returned;
        bool passed = beyond;
        if (at == tried) beyond = true;
        if (!passed || x->reads) continue;
        if (x->twins && s->twins && s->best[x->twins].at != at) continue;
        if (!optionals && o->rank && o->rank(o->ud, x->call) != phase) continue;
        if (optionals && o->useless_here && o->useless_here(o->ud, x->call)) continue;
        int rc = try(s, at);
        if (rc != 0) return *out = at, rc < 0 ? rc : 0;
    }
    return 0;
}

/* Of what is left, who returns first can't wait any longer. */
static void note_stuck(struct orri_search *s) {
    if (s->stuck != ORRI_NONE && s->height <= s->stuck_height) return;
    for (uint32_t at = first(s), soonest = ORRI_NONE; at != s->n; at = s->links[at].next)
        if (soonest == ORRI_NONE || s->items[at].returned < s->items[soonest].returned) s->stuck = soonest = at;
    s->stuck_height = s->height;
    memcpy(s->stuck_trail, s->trail, s->height * sizeof *s->trail);
}

/* -- The memo ------------------------------------------------------------------------------------------------------ */
static int memo_grow(struct orri_search *s) {
    size_t cap = s->memo_cap ? 2 * s->memo_cap : MEMO_FIRST;
    struct orr_hash128 *memo = s->alloc->fn(s->alloc->ud, NULL, 0, cap * sizeof *memo);
    if (!memo) return -ENOMEM;
    memset(memo, 0, cap * sizeof *memo);
    size_t n = s->memo_n;
    for (size_t i = 0; i < s->memo_cap; i++) {
        if (s->memo[i].low == 0 && s->memo[i].high == 0) continue;
        size_t at = s->memo[i].low & (cap - 1);
        while (memo[at].low || memo[at].high) at = (at + 1) & (cap - 1);
        memo[at] = s->memo[i];
    }
    memo_drop(s);
    s->memo = memo;
    s->memo_cap = cap;
    s->memo_n = n;
    return 0;
}
/* 1: new, and noted if there is room; 0: was there; or -ENOMEM. */
static int memo_add(struct orri_search *s) {
    const struct orri_object *o = s->p->object;
    if (2 * s->memo_n >= s->memo_cap && s->memo_cap < MEMO_MAX && memo_grow(s) < 0) return -ENOMEM;
    struct orr_hash128 state = o->state(o->ud);
    uint64_t words[4] = { s->set.low, s->set.high, state.low, state.high };
    struct orr_hash128 h = orri_hash128(words, sizeof words, 0x6d656d6f);
    if (h.low == 0 && h.high == 0) h.low = 1;
    size_t at = h.low & (s->memo_cap - 1);
    for (; s->memo[at].low || s->memo[at].high; at = (at + 1) & (s->memo_cap - 1))
        if (s->memo[at].low == h.low && s->memo[at].high == h.high) return 0;
    if (4 * s->memo_n < 3 * s->memo_cap) {
        s->memo[at] = h;
        s->memo_n++;
    }
    return 1;
}

/* -- Two ways through ---------------------------------------------------------------------------------------------- */
/* The witness's next write is the only choice there is; those in no order can't be placed. */
static int verify(struct orri_search *s, enum orr_verdict_result *result) {
    uint32_t next_write = 0;
    for (;;) {
        int rc = place_reads(s);
        if (rc < 0) return rc;
        if (s->left == 0) return *result = ORR_VERDICT_OK, 0;
        rc = 0;
        bool freed = false;
        if (next_write < s->n_writes) {
            uint32_t at = s->writes[next_write++];
            freed = s->items[at].invoked == ORRI_ANY_TIME;
            if (!ends(s, &s->items[at], soonest_return(s))) rc = try(s, at);
        }
        if (rc < 0) return rc;
        if (rc == 1 || freed) continue;
        note_stuck(s);
        return *result = ORR_VERDICT_VIOLATED, 0;
    }
}

static int search(struct orri_search *s, enum orr_verdict_result *result) {
    uint32_t tried = ORRI_NONE, at;
    unsigned phase = 0;
    for (;;) {
        int rc = tried == ORRI_NONE && phase == 0 ? place_reads(s) : 0;
        if (rc < 0) return rc;
        if (s->left == 0) return *result = ORR_VERDICT_OK, 0;
        if (s->steps > s->p->steps_max) return *result = ORR_VERDICT_UNDECIDED, 0;
        uint32_t height = s->height;
        struct orr_hash128 set = s->set;
        rc = next_choice(s, tried, phase, &at);
        if (rc < 0) return rc;
        if (at != ORRI_NONE) {
            s->choices[s->depth++] = (struct choice){ height, at, phase, set };
            rc = memo_add(s);
            if (rc < 0) return rc;
            tried = ORRI_NONE;
            phase = 0;
            if (rc == 1) continue;
        } else {
            tried = ORRI_NONE;
            phase = next_phase(s, phase);
            if (phase <= OPTIONALS) continue;
            note_stuck(s);
        }
        if (s->depth == 0) return *result = ORR_VERDICT_VIOLATED, 0;
        struct choice c = s->choices[--s->depth];
        unplace_to(s, c.height);
        s->set = c.set;
        tried = c.tried;
        phase = c.phase;
    }
}

/* -- A run --------------------------------------------------------------------------------------------------------- */
/* With `by_process` the list begins with the first calls of each process; a call's followers are those that may come
 * next: all up to and with the first that must be placed. Items of one process are neighbours then. */
static uint32_t followers(const struct orri_search *s, uint32_t at) {
    uint32_t n = 0;
    if (optional(&s->items[at])) return 0;
    for (uint32_t next = at + 1; next < s->n && s->items[next].process == s->items[at].process; next++) {
        n++;
        if (!optional(&s->items[next])) break;
    }
    return n;
}

static void link_list(struct orri_search *s) {
    const struct orri_object *o = s->p->object;
    s->links[s->n] = (struct link){ s->n, s->n };
    s->links[s->n + 1] = (struct link){ s->n + 1, s->n + 1 };
    bool begun = false;             /* a call of this process that must be placed is in the list */
    for (uint32_t i = 0; i < s->n; i++) {
        s->followers[i] = s->p->by_process ? followers(s, i) : 0;
        if (i > 0 && s->items[i].process != s->items[i - 1].process) begun = false;
        if (s->p->by_process && begun) continue;
        if (optional(&s->items[i]) && !s->p->witness && o->useless && o->useless(o->ud, s->items[i].call)) continue;
        link_behind(s, last(s, optional(&s->items[i])), i);
        begun = !optional(&s->items[i]);
    }
}

/* The witness's writes in its order: a heap sort, by order, then by place. */
static bool later(const struct orri_search *s, uint32_t a, uint32_t b) {
    uint64_t x = s->items[a].order, y = s->items[b].order;
    return x != y ? x > y : a > b;
}
static void sift(struct orri_search *s, uint32_t at, uint32_t n) {
    uint32_t *w = s->writes, moved = w[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && later(s, w[child + 1], w[child])) child++;
        if (!later(s, w[child], moved)) break;
        w[at] = w[child];
    }
    w[at] = moved;
}
static void sort_writes(struct orri_search *s) {
    s->n_writes = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->items[i].order != 0 && !s->items[i].reads) s->writes[s->n_writes++] = i;
    for (uint32_t i = s->n_writes / 2; i > 0; i--) sift(s, i - 1, s->n_writes);
    for (uint32_t n = s->n_writes; n > 1; n--) {
        uint32_t last = s->writes[n - 1];
        s->writes[n - 1] = s->writes[0];
        s->writes[0] = last;
        sift(s, 0, n - 1);
    }
}

static void begin(struct orri_search *s, const struct orri_problem *p) {
    ORR_ASSERT(p->n <= s->cap);
    s->p = p;
    s->items = p->items;
    s->n = p->n;
    s->left = s->height = s->depth = 0;
    s->set = (struct orr_hash128){ 0, 0 };
    s->steps = 0;
    s->stuck = ORRI_NONE;
    s->stuck_height = 0;
    if (s->memo_cap > 16 * MEMO_FIRST) memo_drop(s);
    if (s->memo_n) memset(s->memo, 0, s->memo_cap * sizeof *s->memo);
    s->memo_n = 0;
    s->twins = s->optionals = false;
    for (uint32_t i = 0; i < s->n; i++) {
        if (optional(&s->items[i])) s->optionals = true;
        else s->left++;
        s->twins = s->twins || s->items[i].twins;
    }
    s->twins = s->twins && !p->by_process && !p->witness;
}

int orri_search_run(struct orri_search *s, const struct orri_problem *p, struct orri_outcome *out) {
    begin(s, p);
    int rc = p->object->reset(p->object->ud, p->items, p->n, p->look && !p->witness);
    if (rc < 0) return rc;
    link_list(s);
    if (p->witness) sort_writes(s);
    enum orr_verdict_result result = ORR_VERDICT_OK;
    rc = p->witness ? verify(s, &result) : search(s, &result);
    if (rc < 0) return rc;
    *out = (struct orri_outcome){ result, s->steps, s->stuck, s->stuck_trail, s->stuck_height };
    return 0;
}
