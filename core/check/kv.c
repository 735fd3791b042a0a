/* kv.c - the state of one key, and what of it is still wanted.
 *
 * A state is the content's identity: two polynomial hashes of a text (modulo 2^61 - 1), so that an append costs its own
 * length alone; a number for anything else. Texts are told from the rest by a bit. Two contents with one identity would
 * be a chance of 2^-100.
 *
 * What makes the search short (with `look`): each content that a call must have seen is a slot, which counts the calls
 * that still need it. A write that leaves the present content for another is refused when somebody needs the present
 * one still and nothing that is not placed could lead there again; and so is one after which one of the next few
 * wanting calls could never find what it saw. With values written once, as most workloads write them, hardly a choice
 * is left. A content can be reached again from
 *   - a set or cas that writes it, not placed yet (its makers);
 *   - where texts are appended: a set of a text it begins with, the present state if it begins with that, or nothing
 *     after a del.                                                                                                   */
#include "check/kv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check/waiting.h"

enum {
    LOOK_AHEAD = 128,               /* wanting calls that are looked at after a write: more than wait at once, mostly */
    FEW_WANTING = 16,               /* so many are compared with each text that may stay out */
    MAKERS_MAX = 1 << 22            /* pairs of sets and texts that are compared at most */
};
#define NOT_TEXT (1ull << 63)
#define MODULUS ((1ull << 61) - 1)
#define BASE_1 0x1b873593cc9e2d51ull
#define BASE_2 0x0f4a7c159e3779b9ull

struct slot {
    struct orri_content content;
    uint32_t needs, hopes;          /* calls that must find it, or may and would lead to something wanted; not placed */
    uint32_t nots;                  /* that must find something else */
    uint32_t makers, n_makers;      /* a part of kv->makers */
    uint32_t blamed;                /* greatest height at which a write was refused for its sake, + 1; 0: none was */
    uint32_t last_wanting;          /* of the calls that want it; a chain by kv->wanting_before */
};
struct state {
    struct orr_hash128 id;
    uint32_t size;
    uint32_t slot;                  /* ORRI_NONE: nobody wants it */
    const struct orri_content *tail;        /* of a text: how it ends */
};
struct power { uint64_t a, b; };
struct wanting {
    int64_t returned;
    uint32_t call;
};
struct orri_kv {
    const struct orri_kv_call *calls;
    const struct orri_values *values;
    uint32_t n;
    struct state first, now;
    struct state *before;           /* by height */
    uint32_t *path, height;
    uint32_t *want_slot, *not_slot, *to_slot;           /* by call */
    struct power *powers;           /* of appends */
    bool *absent;                   /* placed, or not of this run */
    bool *must;                     /* be placed */
    bool *visible;                  /* an append that may be part of something that is wanted */
    bool *hopes;                    /* it may stay out, and leads to something wanted */
    uint32_t *list;                 /* scratch of reset: slots */
    struct wanting *scratch;        /* of reset */
    struct slot *slots;
    uint32_t n_slots, *index, index_cap, missing_slot;
    uint32_t *makers, *wanting_before;
    int64_t *invoked, *returned;    /* by call */
    struct orri_waiting waiting;    /* who must be placed and see something, by return */
    uint32_t wanting, hoping, negations, dels;
    uint32_t kept;                  /* unwanted writes that may stay out, and weren't called useless since the reset */
    uint32_t deepest;               /* greatest height at which a write was refused for a slot's sake, + 1 */
    bool appends, look, look_able;
};

/* -- Contents ------------------------------------------------------------------------------------------------------ */
/* What nobody saw, nor must not have seen: one such content is as good as another (without appends). */
static const struct orri_content junk = { { 0, NOT_TEXT | 2 }, NULL, 0 };
static const struct orri_content nothing = { { 0, 0 }, "", 0 };
const struct orri_content orri_kv_missing = { { 0, NOT_TEXT }, NULL, 0 };

static uint64_t mul(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide p = (wide)a * b;
    uint64_t sum = (uint64_t)(p & MODULUS) + (uint64_t)(p >> 61);
    return sum >= MODULUS ? sum - MODULUS : sum;
}
static uint64_t plus(uint64_t a, uint64_t b) { return a + b >= MODULUS ? a + b - MODULUS : a + b; }

struct orri_content orri_kv_number(uint64_t number) {
    return (struct orri_content){ { number, NOT_TEXT | 1 }, NULL, 0 };
}
struct orri_content orri_kv_text(const char *text, size_t size) {
    struct orr_hash128 id = { 0, 0 };
    for (size_t i = 0; i < size; i++) {
        uint64_t c = (unsigned char)text[i] + 1u;       /* no byte counts for nothing */
        id.low = plus(mul(id.low, BASE_1 % MODULUS), c);
        id.high = plus(mul(id.high, BASE_2 % MODULUS), c);
    }
    return (struct orri_content){ id, text, (uint32_t)size };
}
static struct power power_of(size_t size) {
    struct power p = { 1, 1 }, base = { BASE_1 % MODULUS, BASE_2 % MODULUS };
    for (; size; size >>= 1) {
        if (size & 1) p = (struct power){ mul(p.a, base.a), mul(p.b, base.b) };
        base = (struct power){ mul(base.a, base.a), mul(base.b, base.b) };
    }
    return p;
}
static bool equal(struct orr_hash128 a, struct orr_hash128 b) { return a.low == b.low && a.high == b.high; }
static bool is_missing(struct orr_hash128 id) { return equal(id, orri_kv_missing.id); }

bool orri_kv_reads(const struct orri_kv_call *call) {
    return call->verb == ORRI_KV_GET || call->verb == ORRI_KV_CAS_NOT || call->verb == ORRI_KV_DEL_NONE;
}
bool orri_kv_writes(const struct orri_kv_call *call) { return call->verb != ORRI_KV_GET; }

static bool wants(const struct orri_kv_call *call) {
    return call->verb == ORRI_KV_GET || call->verb == ORRI_KV_CAS || call->verb == ORRI_KV_DEL_NONE;
}
static bool avoids(const struct orri_kv_call *call) {
    return call->verb == ORRI_KV_CAS_NOT || call->verb == ORRI_KV_DEL_SOME;
}

/* -- Slots --------------------------------------------------------------------------------------------------------- */
static uint32_t *find(const struct orri_kv *kv, struct orr_hash128 id) {
    uint64_t words[2] = { id.low, id.high };
    size_t at = orri_hash64(words, sizeof words, 0) & (kv->index_cap - 1);
    while (kv->index[at] && !equal(kv->slots[kv->index[at] - 1].content.id, id)) at = (at + 1) & (kv->index_cap - 1);
    return &kv->index[at];
}
static uint32_t slot_of(const struct orri_kv *kv, struct orr_hash128 id) {
    uint32_t found = *find(kv, id);
    return found ? found - 1 : ORRI_NONE;
}
static uint32_t slot_add(struct orri_kv *kv, struct orri_content content) {
    uint32_t *found = find(kv, content.id);
    if (*found == 0) {
        kv->slots[kv->n_slots] = (struct slot){ .content = content, .last_wanting = ORRI_NONE };
        *found = ++kv->n_slots;
    }
    return *found - 1;
}

static bool makes(const struct orri_kv *kv, const struct orri_kv_call *call, const struct slot *slot) {
    if (call->verb != ORRI_KV_SET && call->verb != ORRI_KV_CAS) return false;
    const struct orri_content *to = &call->to, *c = &slot->content;
    if (equal(to->id, c->id)) return true;
    return kv->appends && to->text && c->text && to->size <= c->size && memcmp(to->text, c->text, to->size) == 0;
}

/* Without appends a write makes what it writes. */
static int list_makers(struct orri_kv *kv, struct orri_arena *arena) {
    kv->makers = orri_take(arena, kv->n + 1u, sizeof *kv->makers);
    if (!kv->makers) return -ENOMEM;
    for (uint32_t i = 0; i < kv->n; i++)
        if (kv->to_slot[i] != ORRI_NONE) kv->slots[kv->to_slot[i]].n_makers++;
    for (uint32_t s = 0, at = 0; s < kv->n_slots; s++) {
        kv->slots[s].makers = at;
        at += kv->slots[s].n_makers;
        kv->slots[s].n_makers = 0;
    }
    for (uint32_t i = 0; i < kv->n; i++) {
        if (kv->to_slot[i] == ORRI_NONE) continue;
        struct slot *slot = &kv->slots[kv->to_slot[i]];
        kv->makers[slot->makers + slot->n_makers++] = i;
    }
    return 0;
}

static int list_text_makers(struct orri_kv *kv, struct orri_arena *arena) {
    uint64_t sets = 0, pairs = 0;
    for (uint32_t i = 0; i < kv->n; i++) sets += kv->calls[i].verb == ORRI_KV_SET || kv->calls[i].verb == ORRI_KV_CAS;
    kv->look_able = sets * kv->n_slots <= MAKERS_MAX;
    if (!kv->look_able) return 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1 && !(kv->makers = orri_take(arena, pairs + 1, sizeof *kv->makers))) return -ENOMEM;
        pairs = 0;
        for (uint32_t s = 0; s < kv->n_slots; s++) {
            kv->slots[s].makers = (uint32_t)pairs;
            for (uint32_t i = 0; i < kv->n; i++) {
                if (!makes(kv, &kv->calls[i], &kv->slots[s])) continue;
                if (pass == 1) kv->makers[pairs] = i;
                pairs++;
            }
            kv->slots[s].n_makers = (uint32_t)pairs - kv->slots[s].makers;
        }
    }
    return 0;
}

/* -- Looking ahead ------------------------------------------------------------------------------------------------- */
static bool begins(const struct slot *slot, const struct state *now) {
    const struct orri_content *tail = now->tail;
    const struct orri_content *c = &slot->content;
    if (!c->text || now->size > c->size) return false;
    if (is_missing(now->id)) return true;
    if (now->id.high & NOT_TEXT) return false;
    return tail->size == 0 || memcmp(c->text + now->size - tail->size, tail->text, tail->size) == 0;
}

/* May the content of a slot come (again) from this state? */
static bool reachable(const struct orri_kv *kv, uint32_t at, const struct state *now) {
    const struct slot *slot = &kv->slots[at];
    if (equal(now->id, slot->content.id)) return true;
    if (kv->appends && slot->content.text && (kv->dels > 0 || begins(slot, now))) return true;
    if (at == kv->missing_slot && kv->dels > 0) return true;
    for (uint32_t i = 0; i < slot->n_makers; i++)
        if (!kv->absent[kv->makers[slot->makers + i]]) return true;
    return false;
}

static bool blame(struct orri_kv *kv, uint32_t slot) {
    if (kv->height >= kv->slots[slot].blamed) kv->slots[slot].blamed = kv->height + 1;
    if (kv->height >= kv->deepest) kv->deepest = kv->height + 1;
    return true;
}

static bool dead(struct orri_kv *kv, const struct state *next) {
    if (!kv->look || !kv->look_able) return false;
    uint32_t left = kv->now.slot;
    if (left != ORRI_NONE && kv->slots[left].needs > 0 && !reachable(kv, left, next)) return blame(kv, left);
    uint32_t at = orri_waiting_first(&kv->waiting);
    for (int i = 0; i < LOOK_AHEAD && at != kv->n; i++, at = kv->waiting.next[at])
        if (!reachable(kv, kv->want_slot[at], next)) return blame(kv, kv->want_slot[at]);
    return false;
}

/* -- The object ---------------------------------------------------------------------------------------------------- */
static bool takes(const struct orri_kv *kv, const struct orri_kv_call *call) {
    switch (call->verb) {
    case ORRI_KV_GET:
    case ORRI_KV_CAS: return equal(kv->now.id, call->want.id);
    case ORRI_KV_CAS_NOT: return !equal(kv->now.id, call->want.id);
    case ORRI_KV_DEL_SOME: return !is_missing(kv->now.id);
    case ORRI_KV_DEL_NONE: return is_missing(kv->now.id);
    case ORRI_KV_APPEND: return !(kv->now.id.high & NOT_TEXT) || is_missing(kv->now.id);
    default: return true;
    }
}

static struct state after(const struct orri_kv *kv, uint32_t at) {
    const struct orri_kv_call *call = &kv->calls[at];
    struct state now = kv->now;
    switch (call->verb) {
    case ORRI_KV_SET:
    case ORRI_KV_CAS:
        if (!kv->appends && kv->to_slot[at] == ORRI_NONE) return (struct state){ junk.id, 0, ORRI_NONE, &nothing };
        return (struct state){ call->to.id, call->to.size, kv->to_slot[at], call->to.text ? &call->to : &nothing };
    case ORRI_KV_DEL:
    case ORRI_KV_DEL_SOME: return (struct state){ orri_kv_missing.id, 0, kv->missing_slot, &nothing };
    case ORRI_KV_APPEND:
        if (is_missing(now.id)) now.id = (struct orr_hash128){ 0, 0 };
        now.id.low = plus(mul(now.id.low, kv->powers[at].a), call->to.id.low);
        now.id.high = plus(mul(now.id.high, kv->powers[at].b), call->to.id.high);
        now.size += call->to.size;
        now.slot = slot_of(kv, now.id);
        now.tail = &call->to;
        return now;
    default: return now;
    }
}

static void count(struct orri_kv *kv, uint32_t at, uint32_t by) {
    const struct orri_kv_call *call = &kv->calls[at];
    struct slot *slot = kv->want_slot[at] == ORRI_NONE ? NULL : &kv->slots[kv->want_slot[at]];
    if (slot && kv->must[at]) slot->needs += by, kv->wanting += by;
    else if (slot && kv->hopes[at]) slot->hopes += by, kv->hoping += by;
    if (kv->must[at] && avoids(call)) kv->slots[kv->not_slot[at]].nots += by, kv->negations += by;
    if (call->verb == ORRI_KV_DEL || call->verb == ORRI_KV_DEL_SOME) kv->dels += by;
}
static void leave(struct orri_kv *kv, uint32_t at) {
    kv->absent[at] = true;
    count(kv, at, UINT32_MAX);
    orri_waiting_leave(&kv->waiting, at);
}
static void come_back(struct orri_kv *kv, uint32_t at) {
    orri_waiting_come_back(&kv->waiting, at);
    count(kv, at, 1);
    kv->absent[at] = false;
}

static int step(void *ud, uint32_t at) {
    struct orri_kv *kv = ud;
    const struct orri_kv_call *call = &kv->calls[at];
    if (!takes(kv, call)) return 0;
    struct state next = after(kv, at);
    leave(kv, at);
    if (!equal(next.id, kv->now.id) && dead(kv, &next)) {
        come_back(kv, at);
        return 0;
    }
    kv->before[kv->height] = kv->now;
    kv->path[kv->height++] = at;
    kv->now = next;
    return 1;
}

static void undo(void *ud, uint32_t at) {
    struct orri_kv *kv = ud;
    kv->now = kv->before[--kv->height];
    come_back(kv, at);
}

static struct orr_hash128 state_of(void *ud) { return ((struct orri_kv *)ud)->now.id; }

/* Who leads to a wanted content, and may stay out, makes that wanted which it must find itself. */
static void find_hopes(struct orri_kv *kv) {
    uint32_t n = 0;
    for (uint32_t s = 0; s < kv->n_slots; s++)
        if (kv->slots[s].needs > 0) kv->list[n++] = s;
    while (n > 0) {
        const struct slot *slot = &kv->slots[kv->list[--n]];
        for (uint32_t i = 0; i < slot->n_makers; i++) {
            uint32_t at = kv->makers[slot->makers + i];
            if (kv->absent[at] || kv->must[at] || kv->hopes[at] || kv->want_slot[at] == ORRI_NONE) continue;
            struct slot *before = &kv->slots[kv->want_slot[at]];
            if (before->needs + before->hopes == 0) kv->list[n++] = kv->want_slot[at];
            kv->hopes[at] = true;
            count(kv, at, 1);
        }
    }
}

static int by_return(const void *a, const void *b) {
    const struct wanting *x = a, *y = b;
    if (x->returned != y->returned) return x->returned < y->returned ? -1 : 1;
    return x->call < y->call ? -1 : x->call > y->call;
}

static int reset(void *ud, const struct orri_item *items, uint32_t n, bool look) {
    struct orri_kv *kv = ud;
    uint32_t wanting = 0;
    kv->now = kv->first;
    kv->height = kv->wanting = kv->hoping = kv->negations = kv->dels = kv->kept = 0;
    kv->look = look;
    kv->deepest = 0;
    for (uint32_t s = 0; s < kv->n_slots; s++) {
        kv->slots[s].needs = kv->slots[s].hopes = kv->slots[s].nots = 0;
        kv->slots[s].blamed = 0;
    }
    orri_waiting_reset(&kv->waiting);
    memset(kv->absent, true, kv->n * sizeof *kv->absent);
    memset(kv->hopes, false, kv->n * sizeof *kv->hopes);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = items[i].call;
        kv->absent[at] = false;
        kv->invoked[at] = items[i].invoked;
        kv->returned[at] = items[i].returned;
        kv->must[at] = items[i].returned != ORR_NEVER;
        count(kv, at, 1);
        if (kv->must[at] && kv->want_slot[at] != ORRI_NONE)
            kv->scratch[wanting++] = (struct wanting){ items[i].returned, at };
    }
    if (wanting > 1) qsort(kv->scratch, wanting, sizeof *kv->scratch, by_return);
    for (uint32_t i = 0; i < wanting; i++) orri_waiting_add(&kv->waiting, kv->scratch[i].call);
    find_hopes(kv);
    return 0;
}

/* -- What may stay out --------------------------------------------------------------------------------------------- */
static bool wanted(const struct orri_kv *kv, uint32_t slot) {
    return slot != ORRI_NONE && kv->slots[slot].needs + kv->slots[slot].hopes > 0;
}

static bool contains(const struct orri_content *whole, const struct orri_content *part) {
    for (uint32_t i = 0; i + part->size <= whole->size; i++)
        if (part->size == 0 || (whole->text[i] == part->text[0] && !memcmp(whole->text + i, part->text, part->size)))
            return true;
    return false;
}

static uint32_t leads_to(const struct orri_kv *kv, uint32_t at) {
    uint8_t verb = kv->calls[at].verb;
    return verb == ORRI_KV_SET || verb == ORRI_KV_CAS ? kv->to_slot[at] : kv->missing_slot;
}

/* A write that nobody wants can still make a call true that must not see what is there: once for each such call, a cas
 * only where it leads away from that. */
static bool useless(void *ud, uint32_t at) {
    struct orri_kv *kv = ud;
    const struct orri_kv_call *call = &kv->calls[at];
    if (!kv->appends) {
        if (wanted(kv, leads_to(kv, at))) return false;
        if (call->verb == ORRI_KV_CAS) return kv->slots[kv->want_slot[at]].nots == 0;
        uint32_t to = kv->to_slot[at];
        if (call->verb == ORRI_KV_SET && to != ORRI_NONE && kv->slots[to].nots > 0) return false;
        return kv->kept >= kv->negations || (call->verb == ORRI_KV_SET && !++kv->kept);
    }
    if (kv->negations + kv->hoping > 0 || kv->wanting > FEW_WANTING || !call->to.text) return false;
    for (uint32_t w = orri_waiting_first(&kv->waiting); w != kv->n; w = kv->waiting.next[w]) {
        const struct orri_content *c = &kv->calls[w].want;
        if (c->text && contains(c, &call->to)) return false;
    }
    return true;
}

/* Could one of those who want this content be next? Not if somebody returns before it is invoked who wants another. */
static bool wanted_now(const struct orri_kv *kv, uint32_t slot) {
    if (!wanted(kv, slot)) return false;
    if (kv->slots[slot].hopes > 0) return true;
    uint32_t other = orri_waiting_first(&kv->waiting);
    while (other != kv->n && kv->want_slot[other] == slot) other = kv->waiting.next[other];
    int64_t until = other == kv->n ? ORR_NEVER : kv->returned[other];
    for (uint32_t w = kv->slots[slot].last_wanting; w != ORRI_NONE; w = kv->wanting_before[w])
        if (!kv->absent[w] && kv->must[w] && kv->invoked[w] <= until) return true;
    return false;
}

static bool useless_here(void *ud, uint32_t at) {
    struct orri_kv *kv = ud;
    const struct orri_kv_call *call = &kv->calls[at];
    if (kv->now.slot != ORRI_NONE && kv->slots[kv->now.slot].nots > 0) return false;
    if (!kv->appends) return !wanted_now(kv, leads_to(kv, at));
    if (kv->negations + kv->hoping > 0 || !call->to.text || !takes(kv, call)) return false;
    struct state next = after(kv, at);
    int64_t until = ORR_NEVER;      /* as in wanted_now; what wants a text that begins so isn't another */
    for (uint32_t w = orri_waiting_first(&kv->waiting); w != kv->n; w = kv->waiting.next[w]) {
        bool fits = equal(kv->calls[w].want.id, next.id) || begins(&kv->slots[kv->want_slot[w]], &next);
        if (fits && kv->invoked[w] <= until) return false;
        if (!fits && until == ORR_NEVER) until = kv->returned[w];
    }
    return true;
}

/* -- Where texts are appended: what to try first ------------------------------------------------------------------- */
/* Where the next call that wants something wants another text than could come of the present one, what is done here is
 * seen by nobody: this is the place for what nobody sees, then for the sets, and last for appends that somebody sees,
 * which belong behind one of those. */
static unsigned rank(void *ud, uint32_t at) {
    const struct orri_kv *kv = ud;
    uint32_t first = orri_waiting_first(&kv->waiting);
    const struct orri_kv_call *call = &kv->calls[at];
    if (!kv->look || first == kv->n || equal(kv->calls[first].want.id, kv->now.id)) return 0;
    if (begins(&kv->slots[kv->want_slot[first]], &kv->now)) return 0;
    if (call->verb == ORRI_KV_APPEND) return kv->visible[at] ? 2 : 0;
    return kv->visible[at] ? 1 : 0;
}

static int by_text(const void *a, const void *b) {
    const struct orri_content *x = *(const struct orri_content *const *)a, *y = *(const struct orri_content *const *)b;
    int rc = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return rc ? rc : x->size < y->size ? -1 : x->size > y->size;
}

struct texts {                      /* the texts that are appended, by identity; and how long they are */
    const struct orri_kv *kv;
    uint32_t *index, cap;
    uint32_t lengths[8], n_lengths;
};
enum { LENGTHS_MAX = 8 };

static uint32_t *text_at(const struct texts *t, struct orr_hash128 id) {
    uint64_t words[2] = { id.low, id.high };
    size_t at = orri_hash64(words, sizeof words, 2) & (t->cap - 1);
    while (t->index[at] && !equal(t->kv->calls[t->index[at] - 1].to.id, id)) at = (at + 1) & (t->cap - 1);
    return &t->index[at];
}

static int list_texts(struct texts *t, struct orri_arena *arena) {
    const struct orri_kv *kv = t->kv;
    t->cap = kv->index_cap;
    t->index = orri_take_zeroed(arena, t->cap, sizeof *t->index);
    if (!t->index) return -ENOMEM;
    for (uint32_t i = 0; i < kv->n; i++) {
        if (kv->calls[i].verb != ORRI_KV_APPEND || kv->calls[i].to.size == 0) continue;
        *text_at(t, kv->calls[i].to.id) = i + 1;
        uint32_t k = 0;
        while (k < t->n_lengths && t->lengths[k] != kv->calls[i].to.size) k++;
        if (k == t->n_lengths && k < LENGTHS_MAX) t->lengths[t->n_lengths++] = kv->calls[i].to.size;
    }
    return 0;
}

/* Marks what a wanted text can be put together from, behind a set of its beginning. (That twins are not marked, nor
 * texts of a ninth length, costs time only.) */
static int mark_parts(struct orri_kv *kv, const struct texts *t, const struct orri_content *c,
                      struct orri_arena *arena) {
    bool *reached = orri_take_zeroed(arena, c->size + 1u, sizeof *reached);
    const struct slot *slot = &kv->slots[slot_of(kv, c->id)];
    if (!reached) return -ENOMEM;
    reached[0] = true;
    for (uint32_t i = 0; i < slot->n_makers; i++) {
        uint32_t maker = kv->makers[slot->makers + i];
        kv->visible[maker] = reached[kv->calls[maker].to.size] = true;
    }
    for (uint32_t at = 0; at < c->size; at++) {
        for (uint32_t k = 0; reached[at] && k < t->n_lengths; k++) {
            uint32_t size = t->lengths[k];
            uint32_t found = size <= c->size - at ? *text_at(t, orri_kv_text(c->text + at, size).id) : 0;
            if (found) kv->visible[found - 1] = reached[at + size] = true;
        }
    }
    return 0;
}

/* Of wanted texts that begin with each other the longest is enough. */
static int mark_visible(struct orri_kv *kv, struct orri_arena *arena) {
    const struct orri_content **wanted_texts = orri_take(arena, kv->n_slots + 1u, sizeof *wanted_texts);
    struct texts t = { .kv = kv };
    uint32_t n = 0;
    if (!wanted_texts || list_texts(&t, arena) < 0) return -ENOMEM;
    for (uint32_t s = 0; s < kv->n_slots; s++)
        if (kv->slots[s].content.text) wanted_texts[n++] = &kv->slots[s].content;
    if (n > 1) qsort(wanted_texts, n, sizeof *wanted_texts, by_text);
    for (uint32_t i = 0; i < n; i++) {
        const struct orri_content *c = wanted_texts[i], *next = i + 1 < n ? wanted_texts[i + 1] : NULL;
        if (next && next->size >= c->size && memcmp(c->text, next->text, c->size) == 0) continue;
        if (mark_parts(kv, &t, c, arena) < 0) return -ENOMEM;
    }
    return 0;
}

static bool suspect(void *ud, uint32_t at) {
    const struct orri_kv *kv = ud;
    enum { NEAR = 8 };              /* the wall that it failed at has a few stones */
    uint32_t slots[] = { kv->want_slot[at], kv->not_slot[at], kv->to_slot[at] };
    for (int i = 0; i < 3; i++) {
        uint32_t blamed = slots[i] == ORRI_NONE ? 0 : kv->slots[slots[i]].blamed;
        if (blamed > 0 && blamed + NEAR > kv->deepest) return true;
    }
    return false;
}

static void show(void *ud, struct orri_text *out) {
    struct orri_kv *kv = ud;
    uint32_t from = kv->height;
    bool appended = false;
    for (; from > 0; from--) {      /* back to what was there as a whole */
        uint8_t verb = kv->calls[kv->path[from - 1]].verb;
        appended = appended || verb == ORRI_KV_APPEND;
        if (verb != ORRI_KV_APPEND && !orri_kv_reads(&kv->calls[kv->path[from - 1]])) break;
    }
    const struct orri_kv_call *base = from > 0 ? &kv->calls[kv->path[from - 1]] : NULL;
    bool whole = base && (base->verb == ORRI_KV_SET || base->verb == ORRI_KV_CAS);
    if (!appended) {
        if (whole) orri_value_show(kv->values, base->value, 40, out);
        else orri_text_add(out, from == 0 && !(kv->first.id.high & NOT_TEXT) ? "\"\"" : "null");
        return;
    }
    orri_text_add(out, "\"");
    if (whole) orri_text_bytes(out, base->to.text, base->to.size);
    for (; from < kv->height; from++) {
        const struct orri_kv_call *call = &kv->calls[kv->path[from]];
        if (call->verb == ORRI_KV_APPEND) orri_text_bytes(out, call->to.text, call->to.size);
    }
    orri_text_add(out, "\"");
}

/* -- Making one ---------------------------------------------------------------------------------------------------- */
static int take_room(struct orri_kv *kv, struct orri_arena *arena) {
    size_t n = kv->n + 1u;
    kv->index_cap = 16;
    while (kv->index_cap < 2 * n + 2) kv->index_cap *= 2;
    kv->before = orri_take(arena, n, sizeof *kv->before);
    kv->path = orri_take(arena, n, sizeof *kv->path);
    kv->want_slot = orri_take(arena, n, sizeof *kv->want_slot);
    kv->not_slot = orri_take(arena, n, sizeof *kv->not_slot);
    kv->to_slot = orri_take(arena, n, sizeof *kv->to_slot);
    kv->powers = orri_take(arena, n, sizeof *kv->powers);
    kv->absent = orri_take(arena, n, sizeof *kv->absent);
    kv->must = orri_take(arena, n, sizeof *kv->must);
    kv->wanting_before = orri_take(arena, n, sizeof *kv->wanting_before);
    kv->invoked = orri_take(arena, n, sizeof *kv->invoked);
    kv->returned = orri_take(arena, n, sizeof *kv->returned);
    kv->visible = orri_take_zeroed(arena, n, sizeof *kv->visible);
    kv->hopes = orri_take(arena, n, sizeof *kv->hopes);
    kv->list = orri_take(arena, n + 1, sizeof *kv->list);
    kv->scratch = orri_take(arena, n, sizeof *kv->scratch);
    kv->slots = orri_take(arena, n + 1, sizeof *kv->slots);
    kv->index = orri_take_zeroed(arena, kv->index_cap, sizeof *kv->index);
    const void *const all[] = { kv->before, kv->path, kv->want_slot, kv->not_slot, kv->to_slot, kv->powers, kv->absent,
                                kv->must, kv->visible, kv->hopes, kv->list, kv->scratch, kv->slots, kv->index,
                                kv->wanting_before, kv->invoked, kv->returned };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!all[i]) return -ENOMEM;
    return orri_waiting_init(&kv->waiting, arena, kv->n) ? 0 : -ENOMEM;
}

/* Sets of one content are twins, and so are those that nobody saw; and appends of one text. */
static int number_twins(const struct orri_kv *kv, struct orri_arena *arena, uint32_t *twins) {
    uint32_t *index = orri_take_zeroed(arena, kv->index_cap, sizeof *index);
    if (!index) return -ENOMEM;
    for (uint32_t i = 0; i < kv->n; i++) {
        const struct orri_kv_call *call = &kv->calls[i];
        twins[i] = 0;
        if (call->verb != ORRI_KV_SET && call->verb != ORRI_KV_APPEND) continue;
        bool unseen = !kv->appends && kv->to_slot[i] == ORRI_NONE;
        struct orr_hash128 id = unseen ? junk.id : call->to.id;
        uint64_t words[3] = { id.low, id.high, call->verb };
        size_t at = orri_hash64(words, sizeof words, 1) & (kv->index_cap - 1);
        for (; index[at]; at = (at + 1) & (kv->index_cap - 1)) {
            const struct orri_kv_call *other = &kv->calls[index[at] - 1];
            bool other_unseen = !kv->appends && kv->to_slot[index[at] - 1] == ORRI_NONE;
            if (other->verb == call->verb && equal(other_unseen ? junk.id : other->to.id, id)) break;
        }
        if (index[at] == 0) index[at] = i + 1;
        else twins[i] = twins[index[at] - 1] = index[at];
    }
    return 0;
}

int orri_kv_object(struct orri_object *out, struct orri_arena *arena, const struct orri_kv_call *calls, uint32_t n,
                   struct orri_content first, const struct orri_values *values, uint32_t *twins) {
    struct orri_kv *kv = orri_take_zeroed(arena, 1, sizeof *kv);
    if (!kv) return -ENOMEM;
    kv->calls = calls;
    kv->n = n;
    kv->values = values;
    kv->look_able = true;
    if (take_room(kv, arena) < 0) return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        kv->want_slot[i] = wants(&calls[i]) ? slot_add(kv, calls[i].want) : ORRI_NONE;
        if (kv->want_slot[i] != ORRI_NONE) {
            kv->wanting_before[i] = kv->slots[kv->want_slot[i]].last_wanting;
            kv->slots[kv->want_slot[i]].last_wanting = i;
        }
        kv->not_slot[i] = avoids(&calls[i]) ? slot_add(kv, calls[i].want) : ORRI_NONE;
        if (calls[i].verb != ORRI_KV_APPEND) continue;
        kv->appends = true;
        kv->powers[i] = power_of(calls[i].to.size);
    }
    kv->missing_slot = slot_of(kv, orri_kv_missing.id);
    for (uint32_t i = 0; i < n; i++) {
        bool whole = calls[i].verb == ORRI_KV_SET || calls[i].verb == ORRI_KV_CAS;
        kv->to_slot[i] = whole ? slot_of(kv, calls[i].to.id) : ORRI_NONE;
    }
    kv->first = (struct state){ first.id, first.size, slot_of(kv, first.id), &nothing };
    if ((kv->appends ? list_text_makers(kv, arena) : list_makers(kv, arena)) < 0) return -ENOMEM;
    bool ranked = kv->appends && kv->look_able;
    if (ranked && mark_visible(kv, arena) < 0) return -ENOMEM;
    if (twins && number_twins(kv, arena, twins) < 0) return -ENOMEM;
    *out = (struct orri_object){ reset, step, undo, state_of, useless_here, useless, values ? show : NULL,
                                 suspect, ranked ? rank : NULL, kv };
    return 0;
}
