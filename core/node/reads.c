/* reads.c - one question for all reads of a turn (the rules: reads.h). */
#include "node/reads.h"

#include <errno.h>

#include "base/assert.h"

enum { TAGS_MIN = 32, TAGS_KEPT_MAX = 4096, SPARE_MAX = 16, TAGS_MAX = 1 << 20 };
#define RETRY (10 * ORR_MS)
#define MERGE (5 * ORR_MS)          /* reads that wait for a leader share an item with those of so long before */

void orri_reads_init(struct orri_reads *r, const struct orri_reads_config *cfg) {
    *r = (struct orri_reads){ .cfg = *cfg };
}

static void *resize(const struct orri_reads *r, void *p, size_t old_size, size_t new_size) {
    return r->cfg.alloc->fn(r->cfg.alloc->ud, p, old_size, new_size);
}

static void read_free(struct orri_reads *r, struct orri_read *p) {
    resize(r, p->tags, p->cap * sizeof *p->tags, 0);
    resize(r, p, sizeof *p, 0);
}

void orri_reads_clear(struct orri_reads *r) {
    for (struct orri_read *p = r->head, *next; p; p = next) {
        next = p->next;
        read_free(r, p);
    }
    for (struct orri_read *p = r->spare, *next; p; p = next) {
        next = p->next;
        read_free(r, p);
    }
    orri_reads_init(r, &r->cfg);
}

static struct orri_read *read_new(struct orri_reads *r, orr_time now) {
    struct orri_read *p = r->spare;
    if (p) {
        r->spare = p->next;
        r->n_spare--;
    } else {
        p = resize(r, NULL, 0, sizeof *p);
        if (!p) return NULL;
        *p = (struct orri_read){ 0 };
    }
    *p = (struct orri_read){ .tags = p->tags, .cap = p->cap, .begun = now, .deadline = now + r->cfg.call };
    if (r->tail) r->tail->next = p;
    else r->head = p;
    r->tail = p;
    r->n_unasked++;
    return p;
}

int orri_reads_add(struct orri_reads *r, orr_time now, struct orri_waiter *w, uint64_t tag) {
    if (r->n_tags >= TAGS_MAX) return ORR_EOVERLOADED;
    if (orri_slots_ensure(r->cfg.slots) < 0) return -ENOMEM;
    struct orri_read *p = r->tail;
    if (!p || p->question || p->begun + MERGE < now) p = read_new(r, now);
    if (!p) return -ENOMEM;
    if (p->n == p->cap) {
        uint32_t cap = p->cap ? 2 * p->cap : TAGS_MIN;
        void *tags = resize(r, p->tags, p->cap * sizeof *p->tags, cap * sizeof *p->tags);
        if (!tags) return -ENOMEM;
        p->tags = tags;
        p->cap = cap;
    }
    p->tags[p->n++] = (struct orri_tag){ orri_slots_take(r->cfg.slots, w), tag };
    r->n_tags++;
    return 0;
}

void orri_reads_push(struct orri_reads *r, orr_time now) {
    if (r->n_unasked == 0 || now < r->not_before) return;
    int rc = r->cfg.order->read(r->cfg.x, now, r->question + 1);
    if (rc < 0) {
        r->not_before = now + RETRY;
        return;
    }
    r->question++;
    r->asked = now;
    for (struct orri_read *p = r->head; p; p = p->next) {
        if (!p->question) p->question = r->question;
    }
    r->n_unasked = 0;
}

void orri_reads_answer(struct orri_reads *r, orr_time now, const struct orr_answer *a) {
    for (struct orri_read *p = r->head; p; p = p->next) {
        if (p->answered || p->question != a->tag) continue;
        if (a->status < 0) {
            p->question = 0;
            r->n_unasked++;
            r->not_before = now + RETRY;
        } else {
            p->answered = true;
            p->index = a->index;
            p->time = a->time;
            r->n_answered++;
        }
    }
}

/* `before` is the one before p, or NULL. */
static void take_out(struct orri_reads *r, struct orri_read *before, struct orri_read *p) {
    if (before) before->next = p->next;
    else r->head = p->next;
    if (r->tail == p) r->tail = before;
    if (p->answered) r->n_answered--;
    if (!p->question) r->n_unasked--;
    r->n_tags -= p->n;
    p->next = NULL;
}

struct orri_read *orri_reads_due(struct orri_reads *r, orr_index applied) {
    if (r->n_answered == 0) return NULL;
    struct orri_read *before = NULL;
    for (struct orri_read *p = r->head; p; before = p, p = p->next) {
        if (!p->answered || p->index > applied) continue;
        take_out(r, before, p);
        return p;
    }
    return NULL;
}

void orri_reads_give_back(struct orri_reads *r, struct orri_read *read) {
    if (r->n_spare == SPARE_MAX || read->cap > TAGS_KEPT_MAX) {
        read_free(r, read);
        return;
    }
    read->next = r->spare;
    r->spare = read;
    r->n_spare++;
}

/* All reads wait equally long, so those whose time is up are the first ones. */
static void expire(struct orri_reads *r, orr_time until, int status) {
    while (r->head && r->head->deadline <= until) {
        struct orri_read *p = r->head;
        take_out(r, NULL, p);
        for (uint32_t i = 0; i < p->n; i++) orri_slots_lost(r->cfg.slots, &p->tags[i], true, status);
        orri_reads_give_back(r, p);
    }
}

void orri_reads_abandon(struct orri_reads *r, int status) { expire(r, ORR_NEVER, status); }

/* Anything asked and not answered? (Answered ones wait for applied only.) */
static bool in_question(const struct orri_reads *r) {
    for (const struct orri_read *p = r->head; p; p = p->next) {
        if (p->question && !p->answered) return true;
    }
    return false;
}

orr_time orri_reads_deadline(const struct orri_reads *r) {
    if (!r->head) return ORR_NEVER;
    orr_time at = r->head->deadline;
    if (r->n_unasked && r->not_before < at) at = r->not_before;
    if (r->asked + r->cfg.again < at && in_question(r)) at = r->asked + r->cfg.again;
    return at;
}

void orri_reads_tick(struct orri_reads *r, orr_time now, int status) {
    expire(r, now, status);
    if (r->head && now >= r->asked + r->cfg.again) orri_reads_again(r);
}

void orri_reads_again(struct orri_reads *r) {
    for (struct orri_read *p = r->head; p; p = p->next) {
        if (!p->question || p->answered) continue;
        p->question = 0;
        r->n_unasked++;
    }
}
