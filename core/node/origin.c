/* origin.c - the stream of this node's own batches (states, numbers and promises: origin.h).
 *
 * Invariants: numbered batches come before those without, their numbers are consecutive and end at next_sequence - 1;
 * deadlines never fall along the list; what has no number has no slice anywhere that anybody will read again.        */
#include "node/origin.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

enum {
    BATCH_BYTES = 256 << 10,        /* above: another batch (a single command may be larger) */
    BATCH_BYTES_MIN = 1 << 10,
    TAGS_MIN = 32, TAGS_KEPT_MAX = 4096, SPARE_MAX = 64,
    PROPOSE_MAX = 32
};
#define RETRY (2 * ORR_MS)
#define RETRY_FAR (20 * ORR_MS)

static void *resize(const struct orri_origin *o, void *p, size_t old_size, size_t new_size) {
    return o->cfg.alloc->fn(o->cfg.alloc->ud, p, old_size, new_size);
}

void orri_origin_init(struct orri_origin *o, const struct orri_origin_config *cfg) {
    *o = (struct orri_origin){ .cfg = *cfg, .next_sequence = 1, .hint = BATCH_BYTES_MIN, .restart = true };
}

static void pending_free(struct orri_origin *o, struct orri_pending *p) {
    resize(o, p->tags, p->cap * sizeof *p->tags, 0);
    resize(o, p, sizeof *p, 0);
}

static void recycle(struct orri_origin *o, struct orri_pending *p) {
    o->bytes -= p->size;
    orr_chunk_drop(p->chunk);
    if (o->n_spare == SPARE_MAX || p->cap > TAGS_KEPT_MAX) {
        pending_free(o, p);
        return;
    }
    *p = (struct orri_pending){ .next = o->spare, .tags = p->tags, .cap = p->cap };
    o->spare = p;
    o->n_spare++;
}

void orri_origin_clear(struct orri_origin *o) {
    if (o->open) recycle(o, o->open);
    for (struct orri_pending *p = o->head, *next; p; p = next) {
        next = p->next;
        recycle(o, p);
    }
    for (struct orri_pending *p = o->spare, *next; p; p = next) {
        next = p->next;
        pending_free(o, p);
    }
    orri_origin_init(o, &o->cfg);
}

/* -- Filling the open batch ---------------------------------------------------------------------------------------- */
void orri_origin_close(struct orri_origin *o) {
    struct orri_pending *p = o->open;
    if (!p || p->count == 0) return;
    o->open = NULL;
    o->hint = p->size + p->size / 4;
    if (o->tail) o->tail->next = p;
    else o->head = p;
    o->tail = p;
    if (!o->cursor) o->cursor = p;
    if (!o->untold) o->untold = p;
}

static struct orri_pending *pending_new(struct orri_origin *o) {
    struct orri_pending *p = o->spare;
    if (p) {
        o->spare = p->next;
        o->n_spare--;
        p->next = NULL;
        return p;
    }
    p = resize(o, NULL, 0, sizeof *p);
    if (p) *p = (struct orri_pending){ 0 };
    return p;
}

static struct orri_pending *open_new(struct orri_origin *o, size_t need) {
    struct orri_pending *p = pending_new(o);
    if (!p) return NULL;
    size_t cap = o->hint < BATCH_BYTES_MIN ? BATCH_BYTES_MIN : o->hint > BATCH_BYTES ? BATCH_BYTES : o->hint;
    if (cap < ORRI_BATCH_HEAD + need) cap = ORRI_BATCH_HEAD + need;
    p->chunk = o->cfg.chunks->get(o->cfg.chunks, cap);
    if (!p->chunk) {
        pending_free(o, p);
        return NULL;
    }
    p->size = ORRI_BATCH_HEAD;
    o->bytes += p->size;
    return o->open = p;
}

/* Moves the open batch to a larger block; nobody else holds the old one yet. */
static int grow_chunk(struct orri_origin *o, struct orri_pending *p, size_t need) {
    size_t cap = 2 * (size_t)p->chunk->cap > p->size + need ? 2 * (size_t)p->chunk->cap : p->size + need;
    struct orr_chunk *chunk = o->cfg.chunks->get(o->cfg.chunks, cap);
    if (!chunk) return -ENOMEM;
    memcpy(chunk->at, p->chunk->at, p->size);
    orr_chunk_drop(p->chunk);
    p->chunk = chunk;
    return 0;
}

static int grow_tags(struct orri_origin *o, struct orri_pending *p) {
    uint32_t cap = p->cap ? 2 * p->cap : TAGS_MIN;
    void *tags = resize(o, p->tags, p->cap * sizeof *p->tags, cap * sizeof *p->tags);
    if (!tags) return -ENOMEM;
    p->tags = tags;
    p->cap = cap;
    return 0;
}

unsigned char *orri_origin_room(struct orri_origin *o, orr_time now, size_t max, int *status) {
    size_t need = ORRI_COMMAND_HEAD + max;
    *status = ORR_EOVERLOADED;
    if (o->bytes + need + ORRI_BATCH_HEAD > o->cfg.bytes_max) return NULL;
    if (o->open && o->open->size + need > BATCH_BYTES) orri_origin_close(o);
    *status = -ENOMEM;
    struct orri_pending *p = o->open ? o->open : open_new(o, need);
    if (!p) return NULL;
    if (p->count == 0) p->deadline = now + o->cfg.call;
    if (p->size + need > p->chunk->cap && grow_chunk(o, p, need) < 0) return NULL;
    if (p->count == p->cap && grow_tags(o, p) < 0) return NULL;
    if (orri_slots_ensure(o->cfg.slots) < 0) return NULL;
    *status = 0;
    return p->chunk->at + p->size + ORRI_COMMAND_HEAD;
}

void orri_origin_commit(struct orri_origin *o, size_t size, struct orri_waiter *w, uint64_t tag) {
    struct orri_pending *p = o->open;
    ORR_ASSERT(p && p->count < p->cap && p->size + ORRI_COMMAND_HEAD + size <= p->chunk->cap);
    unsigned char *head = p->chunk->at + p->size;
    for (unsigned i = 0; i < ORRI_COMMAND_HEAD; i++) head[i] = (unsigned char)(size >> (8 * i));
    p->size += ORRI_COMMAND_HEAD + size;
    o->bytes += ORRI_COMMAND_HEAD + size;
    p->tags[p->count++] = (struct orri_tag){ orri_slots_take(o->cfg.slots, w), tag };
}

/* -- Telling waiters ----------------------------------------------------------------------------------------------- */
static void tell(struct orri_origin *o, struct orri_pending *p, int status) {
    if (p->told) return;
    p->told = true;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->tags[i].slot) orri_slots_lost(o->cfg.slots, &p->tags[i], false, status);
    }
}

static struct orri_pending *first_without_number(const struct orri_origin *o, struct orri_pending **before) {
    struct orri_pending *p = o->head;
    for (*before = NULL; p && p->sequence; p = p->next) *before = p;
    return p;
}

/* Takes out `n` batches (all: SIZE_MAX) of those without a number, oldest first, and tells their waiters. They are
 * taken out first, for who is told may open a new batch at once. */
static void withdraw(struct orri_origin *o, orr_time until, int status) {
    struct orri_pending *before, *gone = first_without_number(o, &before), *last = NULL;
    for (struct orri_pending *p = gone; p && p->deadline <= until; p = p->next) last = p;
    if (!last) return;
    struct orri_pending *rest = last->next;
    if (before) before->next = rest;
    else o->head = rest;
    if (!rest) o->tail = before;
    last->next = NULL;
    for (struct orri_pending *p = gone; p; p = p->next) {
        if (o->cursor == p) o->cursor = rest;
        if (o->untold == p) o->untold = rest;
    }
    for (struct orri_pending *next; gone; gone = next) {
        next = gone->next;
        tell(o, gone, status);
        recycle(o, gone);
    }
}

static bool take_out(struct orri_origin *o, struct orri_pending *p, uint32_t slot, uint64_t tag) {
    for (uint32_t i = 0; i < p->count && p->withdrawn < p->count; i++) {
        if (p->tags[i].slot != slot || p->tags[i].tag != tag) continue;
        p->tags[i].slot = 0;
        p->withdrawn++;
        orri_slots_release(o->cfg.slots, slot);
        return true;
    }
    return false;
}

bool orri_origin_withdraw(struct orri_origin *o, struct orri_waiter *w, uint64_t tag) {
    struct orri_pending *before, *p = first_without_number(o, &before);
    for (; p; p = p->next) {
        if (take_out(o, p, w->slot, tag)) return true;
    }
    return o->open && take_out(o, o->open, w->slot, tag);
}

void orri_origin_abandon(struct orri_origin *o, int status) {
    orri_origin_close(o);
    withdraw(o, ORR_NEVER, status);
    for (struct orri_pending *p = o->head; p; p = p->next) tell(o, p, ORR_EUNKNOWN);
}

orr_time orri_origin_deadline(const struct orri_origin *o) {
    orr_time at = o->untold ? o->untold->deadline : ORR_NEVER;
    if (o->cursor && o->target != ORRI_TO_NOBODY && o->not_before < at) at = o->not_before;
    if (o->head && o->head->sequence && o->progress + o->cfg.call < at) at = o->progress + o->cfg.call;
    return at;
}

void orri_origin_tick(struct orri_origin *o, orr_time now, int status) {
    while (o->untold && o->untold->sequence && o->untold->deadline <= now) {
        struct orri_pending *p = o->untold;
        o->untold = p->next;
        tell(o, p, ORR_EUNKNOWN);
    }
    if (o->untold && !o->untold->sequence && o->untold->deadline <= now) withdraw(o, now, status);
    /* nothing was applied for long: something was lost */
    if (o->head && o->head->sequence && o->progress + o->cfg.call <= now) {
        o->progress = now;
        orri_origin_again(o);
    }
}

/* -- Sending ------------------------------------------------------------------------------------------------------- */
void orri_origin_again(struct orri_origin *o) {
    o->epoch++;
    o->restart = true;
    o->cursor = o->head;
    o->not_before = 0;
}

void orri_origin_aim(struct orri_origin *o, enum orri_target target, orr_term term, uint64_t route) {
    if (o->target == target && o->term == term && o->route == route) return;
    o->target = target;
    o->term = term;
    o->route = route;
    orri_origin_again(o);
}

void orri_origin_unblock(struct orri_origin *o) { o->not_before = 0; }

/* Bytes that somebody holds a slice of never change: a batch that gets another head than the one it was once sent with
 * gets another block too. */
static int write_head(struct orri_origin *o, struct orri_pending *p) {
    unsigned char head[ORRI_BATCH_HEAD];
    orri_batch_head_write(head,
                          &(struct orri_batch_head){ { o->cfg.birth, o->cfg.incarnation, p->sequence }, p->count });
    if (p->chunk->refs > 1) {
        if (memcmp(p->chunk->at, head, sizeof head) == 0) return 0;
        int rc = grow_chunk(o, p, 0);
        if (rc < 0) return rc;
    }
    memcpy(p->chunk->at, head, sizeof head);
    return 0;
}

/* Closes the gaps of what was withdrawn, in a block that nobody else holds. */
static int compact(struct orri_origin *o, struct orri_pending *p) {
    size_t at = ORRI_BATCH_HEAD, to = ORRI_BATCH_HEAD;
    uint32_t kept = 0;
    if (p->withdrawn == 0) return 0;
    if (p->chunk->refs > 1 && grow_chunk(o, p, 0) < 0) return -ENOMEM;
    for (uint32_t i = 0; i < p->count; i++) {
        size_t from = at;
        (void)orri_batch_next((struct orr_slice){ p->chunk, p->chunk->at, p->size }, &at);
        if (!p->tags[i].slot) continue;
        memmove(p->chunk->at + to, p->chunk->at + from, at - from);
        p->tags[kept++] = p->tags[i];
        to += at - from;
    }
    o->bytes -= p->size - to;
    p->size = to;
    p->count = kept;
    p->withdrawn = 0;
    return 0;
}

static int number(struct orri_origin *o, struct orri_pending *p) {
    if (p->sequence) return 0;
    if (compact(o, p) < 0) return -ENOMEM;
    p->sequence = o->next_sequence;
    int rc = write_head(o, p);
    if (rc < 0) p->sequence = 0;
    else o->next_sequence++;
    return rc;
}

/* What was sent to nobody, or only to one who refused it, has no number again, from `p` on. */
static void take_back(struct orri_origin *o, struct orri_pending *p) {
    if (!p || !p->sequence) return;
    o->next_sequence = p->sequence;
    for (; p && p->sequence; p = p->next) {
        p->sequence = 0;
        p->sends = 0;
    }
}

static void sent(struct orri_origin *o, struct orri_pending *p, orr_time now) {
    if (p == o->head) o->progress = now;
    p->sends++;
    p->epoch = o->epoch;
    o->cursor = p->next;
    o->restart = false;
    if (o->cfg.taken) o->cfg.taken(o->cfg.ud, p);
}

static void refuse(struct orri_origin *o, orr_time now, int status) {
    o->not_before = now + (status == ORR_EOVERLOADED ? RETRY : RETRY_FAR);
    if (status == ORR_EFULL) withdraw(o, ORR_NEVER, status);
}

static bool propose_some(struct orri_origin *o, orr_time now) {
    struct orr_slice batches[PROPOSE_MAX];
    size_t n = 0, taken = 0;
    int rc = 0;
    for (struct orri_pending *p = o->cursor; p && n < PROPOSE_MAX && (rc = number(o, p)) == 0; p = p->next) {
        batches[n++] = (struct orr_slice){ p->chunk, p->chunk->at, p->size };
    }
    if (n > 0) rc = o->cfg.order->propose(o->cfg.x, now, batches, n, &taken);
    for (size_t i = 0; i < taken; i++) sent(o, o->cursor, now);
    if (taken == n && rc == 0) return o->cursor != NULL;
    struct orri_pending *p = o->cursor;
    while (p && p->sends) p = p->next;
    take_back(o, p);
    refuse(o, now, rc == 0 ? ORR_EOVERLOADED : rc);
    return false;
}

static bool forward_one(struct orri_origin *o, orr_time now) {
    struct orri_pending *p = o->cursor;
    int rc = number(o, p);
    if (rc == 0) {
        struct orri_forward head = { o->term, o->epoch, o->restart };
        rc = o->cfg.forward(o->cfg.ud, &head, (struct orr_slice){ p->chunk, p->chunk->at, p->size });
        if (rc < 0 && p->sends == 0) take_back(o, p);
    }
    if (rc < 0) o->not_before = now + (rc == ORR_EOVERLOADED ? RETRY : RETRY_FAR);
    else sent(o, p, now);
    return rc == 0 && o->cursor;
}

void orri_origin_push(struct orri_origin *o, orr_time now) {
    orri_origin_close(o);
    if (!o->cursor || now < o->not_before) return;
    if (o->target == ORRI_TO_SELF) {
        while (propose_some(o, now)) {}
    } else if (o->target == ORRI_TO_LEADER) {
        while (forward_one(o, now)) {}
    }
}

void orri_origin_refused(struct orri_origin *o, orr_time now, const struct orri_resend *r) {
    /* of an epoch that is over */
    if (o->target != ORRI_TO_LEADER || r->term != o->term || r->epoch != o->epoch) return;
    struct orri_pending *p = o->head;
    while (p && p->sequence && (p->sequence < r->from || p->sends > 1 || p->epoch != o->epoch)) p = p->next;
    take_back(o, p);                /* from here on: sent once, to this leader, and refused */
    orri_origin_again(o);
    while (o->cursor && o->cursor->sequence && o->cursor->sequence < r->from) o->cursor = o->cursor->next;
    refuse(o, now, r->status);
}

/* -- Applied ------------------------------------------------------------------------------------------------------- */
struct orri_pending *orri_origin_match(struct orri_origin *o, uint64_t sequence) {
    return o->head && o->head->sequence == sequence ? o->head : NULL;
}

void orri_origin_pop(struct orri_origin *o, orr_time now) {
    struct orri_pending *p = o->head;
    ORR_ASSERT(p && p->sequence);
    o->head = p->next;
    if (!o->head) o->tail = NULL;
    if (o->cursor == p) o->cursor = p->next;
    if (o->untold == p) o->untold = p->next;
    o->progress = now;
    recycle(o, p);
}

void orri_origin_settle(struct orri_origin *o, orr_time now, uint64_t last) {
    while (o->head && o->head->sequence && o->head->sequence <= last) {
        tell(o, o->head, ORR_EUNKNOWN);
        orri_origin_pop(o, now);
    }
}
