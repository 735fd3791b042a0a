/* fold.c - judges what is settled of the clients' history while the run goes on, and forgets it: memory stays flat.
 *
 * At a moment at which no call of a key is under way, the history of that key falls apart in two: it can be ordered if
 * both can, the second one beginning with what the first one ends with. The witness (shadow.c) knows what that is. So
 * all before the latest such moment is judged as the whole would be at the end, and but for its last write, by which
 * the rest begins, dropped.
 *
 * A write of unknown fate may take effect at any time. It belongs to what is settled once a later write that was
 * answered has its place behind it, and stays until then: a moment behind which such a write could be is none. */
#include <errno.h>
#include <string.h>

#include "lab_internal.h"

enum { EVERY = 4096 };

struct key {
    orr_time busy_until;            /* the last return of those that were answered */
    uint64_t top, hazy;             /* the last place among the writes: of one that was answered, of unknown fate */
    bool open;                      /* one is under way: no later moment will do */
    size_t cut;                     /* the calls before this one are settled, */
    uint64_t last;                  /* with this write as their last */
};
struct lab_fold {
    struct key *keys;
    struct orr_operation *settled;
    size_t cap_settled, n_settled;
    uint32_t *place;                /* [call]: where it is kept */
    size_t cap_place;
    size_t at, every;               /* so many calls more, before it is tried again */
    bool off;                       /* something is wrong: the whole is to be judged, as it is */
};

void lab_fold_every(struct orr_lab *lab, size_t calls) {
    lab->fold->every = calls;
    lab->fold->at = lab->n_ops + calls;
}

int lab_fold_new(struct orr_lab *lab) {
    lab->fold = lab->alloc.fn(lab->alloc.ud, NULL, 0, sizeof *lab->fold);
    if (!lab->fold) return -ENOMEM;
    memset(lab->fold, 0, sizeof *lab->fold);
    lab->fold->keys = lab->alloc.fn(lab->alloc.ud, NULL, 0, (lab->cfg.keys + 1) * sizeof(struct key));
    lab_fold_every(lab, EVERY);
    return lab->fold->keys ? 0 : -ENOMEM;
}

void lab_fold_free(struct orr_lab *lab) {
    struct lab_fold *f = lab->fold;
    const struct orr_alloc *a = &lab->alloc;
    if (!f) return;
    if (f->keys) a->fn(a->ud, f->keys, (lab->cfg.keys + 1) * sizeof *f->keys, 0);
    if (f->settled) a->fn(a->ud, f->settled, f->cap_settled * sizeof *f->settled, 0);
    if (f->place) a->fn(a->ud, f->place, f->cap_place * sizeof *f->place, 0);
    a->fn(a->ud, f, sizeof *f, 0);
}

/* The calls lie in the order in which they were begun. */
static void find_cuts(struct orr_lab *lab) {
    struct key *keys = lab->fold->keys;
    memset(keys, 0, (lab->cfg.keys + 1) * sizeof *keys);
    for (size_t i = 0; i < lab->n_ops; i++) {
        const struct orr_operation *op = &lab->ops[i];
        struct key *k = &keys[op->key];
        if (!k->open && k->top > 0 && k->hazy <= k->top && op->invoked > k->busy_until) {
            k->cut = i;
            k->last = k->top;
        }
        if (op->returned == ORR_NEVER) {
            k->open = true;
        } else if (op->outcome == ORR_OUTCOME_OK) {
            if (op->returned > k->busy_until) k->busy_until = op->returned;
            if (op->order > k->top) k->top = op->order;
        } else if (op->order > k->hazy) {
            k->hazy = op->order;
        }
    }
}

static bool is_settled(const struct orr_lab *lab, size_t i) {
    const struct orr_operation *op = &lab->ops[i];
    const struct key *k = &lab->fold->keys[op->key];
    if (i >= k->cut) return false;
    return op->outcome != ORR_OUTCOME_INFO || op->call == ORR_CALL_GET || op->order != 0;
}

/* Copies what is settled, and says where the rest is to lie. False: a later call's place is among theirs. */
static bool gather(struct orr_lab *lab) {
    struct lab_fold *f = lab->fold;
    uint32_t kept = 0;
    f->n_settled = 0;
    for (size_t i = 0; i < lab->n_ops; i++) {
        const struct orr_operation *op = &lab->ops[i];
        const struct key *k = &f->keys[op->key];
        bool settled = is_settled(lab, i), last = settled && op->order == k->last && op->order != 0;
        if (i >= k->cut && op->order != 0 && op->order <= k->last) return false;
        if (settled) f->settled[f->n_settled++] = *op;
        f->place[i] = settled && !last ? UINT32_MAX : kept++;
    }
    return true;
}

static void drop(struct orr_lab *lab) {
    struct lab_fold *f = lab->fold;
    size_t kept = 0;
    for (size_t i = 0; i < lab->n_ops; i++) {
        struct orr_operation *op = &lab->ops[i];
        if (f->place[i] == UINT32_MAX) {
            lab_count_operation(&lab->settled, op);
            continue;
        }
        if (is_settled(lab, i)) op->call = ORR_CALL_SET;        /* what lies there, whatever was there before */
        lab->serials[kept] = lab->serials[i];
        lab->ops[kept++] = *op;
    }
    lab_clients_moved(lab, f->place);
    lab->n_ops = kept;
}

void lab_fold_if_due(struct orr_lab *lab) {
    struct lab_fold *f = lab->fold;
    struct orr_verdict v;
    if (lab->n_ops < f->at || f->off || lab->out_of_memory) return;
    find_cuts(lab);
    struct orr_operation *settled = lab_grow(lab, f->settled, &f->cap_settled, lab->n_ops, sizeof *settled);
    if (settled) f->settled = settled;
    uint32_t *place = lab_grow(lab, f->place, &f->cap_place, lab->n_ops, sizeof *place);
    if (place) f->place = place;
    if (!settled || !place) return;
    if (!gather(lab) || !lab_judge_part(lab, f->settled, f->n_settled, &v)) {
        f->off = true;
        lab_judge_history(lab);
        return;
    }
    lab->settled.reads += v.reads;
    lab->settled.overlapping_reads += v.overlapping_reads;
    drop(lab);
    f->at = lab->n_ops + f->every;
}
