/* apply.c - committed entries go into the machine: a bounded time of a turn, each batch at most once, results to whom
 * waits.
 *
 * A log that is long behind must not hold up the loop: timers of elections run in it. Time is asked for behind each
 * entry (of 256 KiB, mostly), and decides nothing but what the next turn is left with. The counts bound a turn where
 * time stands still within one, as in the simulator.
 *
 * What an entry does depends on the log alone: a batch that can't be read, or that the filter drops, does nothing on
 * any replica. Whether somebody here waits for the results changes only where they go.                               */
#include <string.h>

#include "base/hash.h"
#include "node/inner.h"

enum { OPS_A_TURN = 8192, BYTES_A_TURN = 2 << 20 };
#define TIME_A_PASS (3 * ORR_MS)
#define TIME_A_TURN (5 * ORR_MS)    /* since its begin, with all its passes; one entry is applied in each */

/* -- The queue ----------------------------------------------------------------------------------------------------- */
int orri_commits_push(struct orr_group *g, const struct orr_entry *e) {
    struct orri_commits *q = &g->queue;
    if (q->n == q->cap) {
        size_t cap = q->cap ? 2 * q->cap : 64;
        struct orr_entry *ring = orri_node_resize(g->node, NULL, 0, cap * sizeof *ring);
        if (!ring) return -ENOMEM;
        for (size_t i = 0; i < q->n; i++) ring[i] = q->ring[(q->first + i) & (q->cap - 1)];
        orri_node_resize(g->node, q->ring, q->cap * sizeof *ring, 0);
        *q = (struct orri_commits){ ring, 0, q->n, cap };
    }
    struct orr_entry *to = &q->ring[(q->first + q->n++) & (q->cap - 1)];
    *to = *e;
    orr_hold(to->data);
    return 0;
}

static struct orr_entry pull(struct orri_commits *q) {
    struct orr_entry e = q->ring[q->first & (q->cap - 1)];
    q->first = (q->first + 1) & (q->cap - 1);
    q->n--;
    return e;
}

void orri_commits_clear(struct orr_group *g) {
    while (g->queue.n) orr_drop(pull(&g->queue).data);
}

/* -- One entry ----------------------------------------------------------------------------------------------------- */
uint64_t orri_apply_digest(const struct orr_group *g) {
    return orri_mix64(g->machine_ops->digest(g->machine), g->filter.digest);
}

/* One command of a batch whose waiters are here: before, the command, after. */
static int apply_told(struct orr_group *g, const struct orri_tag *tag, struct orr_slice op) {
    struct orri_waiter *w = orri_slots_look(&g->node->slots, tag->slot);
    struct orr_sink *sink = w ? w->ops->begin(w, tag->tag, &g->at) : NULL;
    int rc = g->machine_ops->apply(g->machine, &g->at, op, sink);
    w = orri_slots_look(&g->node->slots, tag->slot);            /* it may have gone meanwhile */
    if (w && rc == 0) w->ops->end(w, tag->tag, &g->at);
    orri_slots_release(&g->node->slots, tag->slot);
    return rc;
}

static void trace_ack(struct orr_group *g, const struct orri_batch_head *head) {
    struct orr_trace_ack ack = { g->at.index, head->origin.birth, head->origin.incarnation, head->origin.sequence,
                                 head->count };
    orri_trace(g, ORR_TRACE_ACK, &ack, sizeof ack);
}

/* Two fingers on the commands to come, ahead of the one that is being applied: the machine fetches what they will
 * touch. */
struct ahead {
    uint32_t n[2];
    size_t at[2];
};
static const uint32_t distance[2] = { 8, 4 };
enum { AHEAD_MIN = 5 };             /* shorter batches: what is touched next is wanted at once */

static void look_ahead(struct orr_group *g, struct orr_slice batch, uint32_t count, uint32_t i, struct ahead *a) {
    for (unsigned step = 0; step < 2; step++) {
        for (; a->n[step] < count && a->n[step] < i + distance[step]; a->n[step]++) {
            g->machine_ops->prefetch(g->machine, orri_batch_next(batch, &a->at[step]), step);
        }
    }
}

static int apply_ops(struct orr_group *g, struct orr_slice batch, const struct orri_batch_head *head,
                     struct orri_pending *ours) {
    struct ahead ahead = { { 0, 0 }, { ORRI_BATCH_HEAD, ORRI_BATCH_HEAD } };
    size_t at = ORRI_BATCH_HEAD;
    bool told = ours && !ours->told;
    bool ahead_pays = g->machine_ops->prefetch && head->count >= AHEAD_MIN;
    int rc = 0;
    if (told) {
        ours->told = true;
        trace_ack(g, head);
    }
    for (uint32_t i = 0; i < head->count && rc == 0; i++) {
        if (ahead_pays) look_ahead(g, batch, head->count, i, &ahead);
        struct orr_slice op = orri_batch_next(batch, &at);
        rc = told ? apply_told(g, &ours->tags[i], op) : g->machine_ops->apply(g->machine, &g->at, op, NULL);
    }
    return rc;
}

static bool is_ours(const struct orr_group *g, const struct orri_origin_tag *tag) {
    const struct orri_identity *id = &g->node->identity;
    return tag->incarnation == id->incarnation && orri_birth_equal(&tag->birth, &id->birth);
}

static int apply_batch(struct orr_group *g, struct orr_slice batch, size_t *ops) {
    struct orri_batch_head head;
    enum orri_filtered verdict = ORRI_PASS;
    if (orri_batch_open(batch, &head) < 0) return 0;
    *ops += head.count;
    if (orri_birth_none(&head.origin.birth)) {
        if (head.count) return apply_ops(g, batch, &head, NULL);
        g->nudged = false;
        return 0;
    }
    int rc = orri_filter_judge(&g->filter, &head.origin, g->at.index, &verdict);
    if (rc < 0) return rc;
    bool ours = is_ours(g, &head.origin);
    if (verdict == ORRI_GAP && ours) orri_origin_again(&g->origin);
    if (verdict != ORRI_PASS) return 0;
    struct orri_pending *p = ours ? orri_origin_match(&g->origin, head.origin.sequence) : NULL;
    rc = apply_ops(g, batch, &head, p);
    if (p) orri_origin_pop(&g->origin, g->node->now);
    return rc;
}

static int apply_entry(struct orr_group *g, const struct orr_entry *e, size_t *ops) {
    int rc = 0;
    ORR_ASSERT(e->index == g->at.index + 1);
    g->at = (struct orr_at){ e->index, e->term, e->time };
    if (e->kind == ORR_ENTRY_CONFIG && e->data.size <= sizeof g->config) {
        memcpy(g->config, e->data.at, e->data.size);
        g->config_size = e->data.size;
    } else if (e->kind == ORR_ENTRY_DATA && !g->machine_broken) {
        rc = apply_batch(g, e->data, ops);
        if (rc == 0) g->machine_ops->advance(g->machine, &g->at);
    }
    if (rc < 0 || g->machine_broken) return rc;
    orri_agree_applied(g);
    if (orri_traced(g)) {
        struct orr_trace_apply done = { e->index, e->term, orri_agree_traced(g, e->index), g->name };
        orri_trace(g, ORR_TRACE_APPLY, &done, sizeof done);
    }
    return rc;
}

/* When this pass has applied enough. */
static orr_time applying_ends(const struct orr_group *g) {
    orr_time pass = g->node->w->ops->fresh(g->node->w) + TIME_A_PASS, turn = g->node->now + TIME_A_TURN;
    return pass < turn ? pass : turn;
}

bool orri_apply_some(struct orr_group *g) {
    struct orr_world *w = g->node->w;
    size_t ops = 0, bytes = 0;
    bool any = false;
    orr_time until = g->queue.n > 1 ? applying_ends(g) : 0;
    while (g->queue.n && !g->restoring.on && ops < OPS_A_TURN && bytes < BYTES_A_TURN) {
        if (any && (w->ops->fresh(w) >= until || ORR_RARE(w, "apply.one_entry"))) break;
        struct orr_entry e = pull(&g->queue);
        bytes += e.data.size;
        ops++;
        int rc = apply_entry(g, &e, &ops);
        orr_drop(e.data);
        any = true;
        if (rc < 0) {               /* half an entry: this state is nobody's */
            g->machine_broken = true;
            orri_node_fail(g->node, 4, "group %s could not apply entry %llu: %s", g->name, (unsigned long long)e.index,
                           orr_strerror(rc));
            return false;
        }
    }
    if (g->queue.n && !g->restoring.on) g->node->again = true;
    return any;
}

/* -- Reads --------------------------------------------------------------------------------------------------------- */
void orri_apply_reads(struct orr_group *g) {
    struct orri_read *r;
    if (g->restoring.on || g->machine_broken) return;
    while ((r = orri_reads_due(&g->reads, g->at.index))) {
        struct orr_trace_read told = { g->at.index, r->index };
        struct orr_at at = g->at;
        if (r->time > at.time) at.time = r->time;
        orri_trace(g, ORR_TRACE_READ, &told, sizeof told);
        for (uint32_t i = 0; i < r->n; i++) {
            struct orri_waiter *w = orri_slots_look(&g->node->slots, r->tags[i].slot);
            if (w) w->ops->served(w, r->tags[i].tag, &at);
            orri_slots_release(&g->node->slots, r->tags[i].slot);
        }
        orri_reads_give_back(&g->reads, r);
    }
}
