/* wal_write.c - group commit: what was handed in while a write was under way becomes one batch, one write, one sync.
 *
 * flush: plan (which of the waiting stores, in their order; which of them are refused), find a place, make room in
 * memory, encode, submit; only then does the index know of the batch: until the submission nothing has changed. A store
 * is told stored when its batch is; with a failed write or sync the log is at its end and nothing is told stored again.
 * A write that found the disk full (a file system that writes elsewhere) is made again, the same bytes at the same
 * place: nothing else was promised about that place.                                                                 */
#include "storage/inner.h"

#include "base/assert.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BATCH_MAX ((size_t)16 << 20)    /* more stores than this wait for the next batch */
#define INLINE_MAX 256                  /* data up to here is copied beside its head: one piece less for the system */
#define AGAIN (100 * ORR_MS)
#define NO_MEMORY (10 * ORR_MS)

struct plan {
    size_t n;                           /* waits, from the first */
    size_t accepted;
    size_t body, heads, parts;          /* bytes of the records; of them those encoded here; pieces */
    bool data, urgent;
};

/* -- Hand-in ------------------------------------------------------------------------------------------------------- */
static void wait_taken(struct orr_storage *s, struct orri_result *result) {
    struct orri_wait *wait = (struct orri_wait *)result;
    orri_put(s, wait->long_state, wait->long_state ? wait->state_size : 0);
    wait->long_state = NULL;
    orri_row_push(&s->pool, wait);
}

static struct orri_wait *wait_get(struct orr_storage *s, size_t n_entries) {
    struct orri_wait *wait;
    if (s->pool.n == 0) {
        if (orri_row_reserve(s, &s->waits, 1) < 0) return NULL;
        if (orri_row_reserve(s, &s->pool, s->waits.n + 1) < 0) return NULL;
        wait = orri_get(s, sizeof *wait);
        if (!wait) return NULL;
        orri_row_push(&s->waits, wait);
        orri_row_push(&s->pool, wait);
    }
    wait = s->pool.at[s->pool.n - 1];
    void *entries = wait->entries;
    int rc = orri_grow(s, &entries, &wait->cap_entries, n_entries, sizeof *wait->entries);
    wait->entries = entries;
    if (rc < 0) return NULL;
    s->pool.n--;
    wait->result = (struct orri_result){ .taken = wait_taken };
    wait->n_entries = wait->state_size = 0;
    wait->truncate = wait->urgent = wait->data = false;
    wait->receiver = NULL;
    return wait;
}

static int check_store(const struct orr_storage *s, uint32_t group, const struct orr_store *store) {
    if (s->failed) return ORR_EPOISONED;
    if (!s->opened) return ORR_EUNAVAILABLE;
    if (store->state.size > s->cfg.state_bytes_max || (group == 0 && store->n_entries > 0)) return ORR_EINVALID;
    for (size_t i = 0; i < store->n_entries; i++) {
        const struct orr_entry *entry = &store->entries[i];
        if (entry->index != store->entries[0].index + i || entry->index == 0 || entry->index >= UINT64_MAX - 1)
            return ORR_EINVALID;
        if (entry->data.size > UINT32_MAX - 8) return ORR_EINVALID;
    }
    return 0;
}

int orri_storage_store(struct orr_storage *s, uint32_t group, const struct orr_store *store) {
    int rc = check_store(s, group, store);
    if (rc < 0) return rc;
    struct orri_group *g = orri_group_make(s, group);
    struct orri_wait *wait = g ? wait_get(s, store->n_entries) : NULL;
    if (!wait) return -ENOMEM;
    unsigned char *state = wait->state;
    if (store->state.size > sizeof wait->state) state = wait->long_state = orri_get(s, store->state.size);
    if (!state) {
        orri_row_push(&s->pool, wait);
        return -ENOMEM;
    }
    orri_index_forget_configs(s, g, 0, UINT64_MAX);
    wait->group = g;
    wait->state_size = store->state.size;
    if (store->state.size) memcpy(state, store->state.at, store->state.size);
    for (size_t i = 0; i < store->n_entries; i++) {
        wait->entries[i] = store->entries[i];
        (void)orr_hold(store->entries[i].data);
        wait->data = wait->data || store->entries[i].kind >= ORR_ENTRY_DATA;
    }
    wait->n_entries = store->n_entries;
    wait->truncate = store->truncate;
    wait->urgent = store->urgent;
    wait->result.done = (struct orri_storage_done){ .kind = ORR_TAKE_STORED, .group = group, .id = store->id };
    orri_queue_push(&s->wal.waiting, &wait->result);
    return 0;
}

int orri_wal_reset(struct orr_storage *s, struct orri_group *g, const struct orr_snapshot *to,
                   struct orri_writer *receiver) {
    if (s->failed) return ORR_EPOISONED;
    struct orri_wait *wait = wait_get(s, 0);
    if (!wait) return -ENOMEM;
    wait->group = g;
    wait->receiver = receiver;
    wait->reset_to = *to;
    orri_queue_push(&s->wal.waiting, &wait->result);
    return 0;
}

static struct orr_slice state_of(const struct orri_wait *wait) {
    return orr_borrow(wait->long_state ? wait->long_state : wait->state, wait->state_size);
}

/* -- Results ------------------------------------------------------------------------------------------------------- */
static void wait_over(struct orr_storage *s, struct orri_wait *wait, int status) {
    for (size_t i = 0; i < wait->n_entries; i++) orr_drop(wait->entries[i].data);
    if (wait->receiver) {
        orri_snapshot_reset_done(s, wait->receiver, status);
        wait_taken(s, &wait->result);
        return;
    }
    if (status == 0 && wait->n_entries) wait->group->stored = wait->entries[wait->n_entries - 1].index;
    wait->refused = wait->n_entries > 0;
    wait->n_entries = 0;
    wait->result.done.status = status;
    orri_tell(s, &wait->result);
}

void orri_wal_refusal_heard(struct orr_storage *s, struct orri_result *result) {
    struct orri_wait *heard = (struct orri_wait *)result;
    if (result->done.status != ORR_EFULL || !heard->refused) return;
    heard->group->refusals--;
    for (struct orri_result *r = s->wal.waiting.head; r; r = r->next) {
        struct orri_wait *wait = (struct orri_wait *)r;
        if (wait->group != heard->group || wait->n_entries == 0 || r->done.status < 0) continue;
        r->done.status = ORR_EFULL;
        wait->group->refusals++;
    }
}

void orri_wal_fail(struct orr_storage *s, int status, const char *what) {
    if (s->failed) return;
    s->failed = true;
    s->stats.failed = true;
    (void)snprintf(s->text, sizeof s->text,
                   "the log can't be written any more: %s: %s; this node claims nothing of its disk from here on", what,
                   orr_strerror(status));
    struct orri_result *r;
    while ((r = orri_queue_pop(&s->wal.batch.stores))) wait_over(s, (struct orri_wait *)r, status);
    while ((r = orri_queue_pop(&s->wal.waiting))) wait_over(s, (struct orri_wait *)r, status);
    s->failed_result.done = (struct orri_storage_done){ .kind = ORR_TAKE_FAILED, .status = status, .text = s->text };
    orri_tell(s, &s->failed_result);
}

static void written(struct orr_req *req) {
    struct orr_storage *s = req->owner;
    struct orri_batch *b = &s->wal.batch;
    s->running--;
    b->running = false;
    if (s->failed) return;
    if (req->status == ORR_EFULL) {
        b->again = true;
        s->wal.retry = s->w->ops->now(s->w) + AGAIN;
        return;
    }
    if (req->status < 0) {
        orri_wal_fail(s, req->status, "writing or syncing a segment");
        return;
    }
    b->again = false;
    s->stats.syncs++;
    s->stats.sync_last = req->ended - req->begun;
    s->sync_total += s->stats.sync_last;
    s->segments.oldest_stated = b->oldest;
    struct orri_result *r;
    while ((r = orri_queue_pop(&b->stores))) {
        struct orri_wait *wait = (struct orri_wait *)r;
        wait_over(s, wait, wait->result.done.status);
    }
}

/* -- Plan ---------------------------------------------------------------------------------------------------------- */
static struct orri_group *planned(struct orr_storage *s, struct orri_group *g) {
    if (g->round == s->wal.round) return g;
    g->round = s->wal.round;
    g->plan_n = 0;
    g->plan_last = g->reset ? g->reset_to.index : g->last;
    g->plan_first = g->reset ? g->plan_last + 1 : g->first;
    orr_index through = g->release < g->plan_last ? g->release : g->plan_last;
    if (through + 1 > g->plan_first) g->plan_first = through + 1;
    return g;
}

/* What becomes of a store where it stands. A refusal stays one, and takes with it all entries of its group that were
 * handed in before the caller heard of it: they may rest on what was refused. */
static int judge(struct orr_storage *s, struct orri_wait *wait) {
    struct orri_group *g = planned(s, wait->group);
    if (wait->result.done.status < 0 || wait->receiver || wait->n_entries == 0) return wait->result.done.status;
    orr_index first = wait->entries[0].index;
    if (g->refusals > 0 || (wait->data && s->full)) {
        g->refusals++;
        return ORR_EFULL;
    }
    if (first > g->plan_last + 1 || first < g->plan_first) return ORR_EINVALID;
    return first <= g->plan_last && !wait->truncate ? ORR_EINVALID : 0;
}

static void measure(const struct orri_wait *wait, struct plan *one) {
    *one = (struct plan){ .n = 1, .data = wait->data, .urgent = wait->urgent };
    if (wait->result.done.status < 0) return;
    one->accepted = 1;
    if (wait->receiver) one->body = ORRI_WAL_RESET_SIZE;
    if (wait->state_size) one->body += orri_wal_state_size(wait->state_size);
    if (wait->n_entries) one->body += ORRI_WAL_ENTRIES_SIZE;
    one->heads = one->body;
    for (size_t i = 0; i < wait->n_entries; i++) {
        size_t data = wait->entries[i].data.size, whole = orri_wal_entry_size(data);
        one->body += whole;
        one->heads += data > INLINE_MAX ? whole - data : whole;
        one->parts += data > INLINE_MAX ? 2 : 0;
    }
}

static void account(struct orri_wait *wait) {
    struct orri_group *g = wait->group;
    if (wait->result.done.status < 0) return;
    if (wait->receiver) {
        g->plan_last = wait->reset_to.index;
        g->plan_first = g->plan_last + 1;
    } else if (wait->n_entries) {
        g->plan_last = wait->entries[wait->n_entries - 1].index;
        g->plan_n += wait->n_entries;
    }
}

static void make_plan(struct orr_storage *s, struct plan *plan) {
    uint64_t max = s->cfg.segment_bytes / 2 < BATCH_MAX ? s->cfg.segment_bytes / 2 : BATCH_MAX;
    if (s->wal.waiting.head && s->wal.waiting.head->next && ORR_RARE(s->w, "storage.small_batch")) max = 0;
    *plan = (struct plan){ .n = 0 };
    s->wal.round++;
    for (struct orri_result *r = s->wal.waiting.head; r; r = r->next) {
        struct orri_wait *wait = (struct orri_wait *)r;
        struct plan one;
        r->done.status = judge(s, wait);
        measure(wait, &one);
        if (plan->accepted && plan->body + one.body > max) break;
        account(wait);
        plan->n++;
        plan->accepted += one.accepted;
        plan->body += one.body;
        plan->heads += one.heads;
        plan->parts += one.parts;
        plan->data = plan->data || (one.accepted && one.data);
        plan->urgent = plan->urgent || one.urgent;
    }
    for (size_t i = 0; i < s->groups.n && s->wal.marks; i++) {
        const struct orri_group *g = s->groups.at[i];
        size_t marks = (g->reset ? ORRI_WAL_RESET_SIZE : 0) + (g->release ? ORRI_WAL_RELEASE_SIZE : 0);
        plan->body += marks;
        plan->heads += marks;
    }
}

/* Data that came too late for the room that is left: those stores are refused, and the others planned anew. */
static bool refuse(struct orr_storage *s, const struct plan *plan, bool all) {
    bool any = false;
    struct orri_result *r = s->wal.waiting.head;
    for (size_t i = 0; i < plan->n; i++, r = r->next) {
        struct orri_wait *wait = (struct orri_wait *)r;
        if (r->done.status < 0 || wait->receiver || !(wait->data || all)) continue;
        r->done.status = ORR_EFULL;
        if (wait->n_entries) wait->group->refusals++;
        any = true;
    }
    orri_segments_cramped(s);
    return any;
}

/* Refused stores in front of all others have nothing to wait for. */
static void tell_refused(struct orr_storage *s) {
    while (s->wal.waiting.head && s->wal.waiting.head->done.status < 0) {
        struct orri_wait *wait = (struct orri_wait *)orri_queue_pop(&s->wal.waiting);
        wait_over(s, wait, wait->result.done.status);
    }
}

/* -- Encode -------------------------------------------------------------------------------------------------------- */
struct encoder {
    struct orr_writer w;
    struct orri_batch *b;
    unsigned char *cut;                 /* what lies before is in the parts */
    uint64_t fold;
};

static void cut(struct encoder *e) {
    if (e->w.at > e->cut) e->b->parts[e->b->n_parts++] = orr_borrow(e->cut, (size_t)(e->w.at - e->cut));
    e->cut = e->w.at;
}

static void encode_entry(struct encoder *e, uint32_t group, const struct orr_entry *entry) {
    static const unsigned char zeros[8];
    orri_wal_put_entry(&e->w, &e->fold, group, entry);
    if (entry->data.size > INLINE_MAX) {
        cut(e);
        e->b->parts[e->b->n_parts++] = entry->data;
    } else {
        orri_write_bytes(&e->w, entry->data.at, entry->data.size);
    }
    orri_write_bytes(&e->w, zeros, orri_wal_pad(entry->data.size));
}

static void encode_reset(struct encoder *e, uint32_t group, const struct orr_snapshot *to) {
    struct orri_wal_record r = {
        .kind = ORRI_WAL_RESET, .group = group, .index = to->index, .term = to->term, .time = to->time
    };
    orri_wal_put(&e->w, &e->fold, &r);
}

static void encode_wait(struct encoder *e, const struct orri_wait *wait) {
    struct orri_wal_record r = { .kind = ORRI_WAL_STATE, .group = wait->group->id };
    if (wait->receiver) encode_reset(e, r.group, &wait->reset_to);
    if (wait->state_size) {
        r.bytes = state_of(wait);
        orri_wal_put(&e->w, &e->fold, &r);
    }
    if (wait->n_entries == 0) return;
    r.kind = ORRI_WAL_ENTRIES;
    r.truncate = wait->truncate;
    r.first = wait->entries[0].index;
    r.last = wait->entries[wait->n_entries - 1].index;
    r.bytes.size = 0;
    for (size_t i = 0; i < wait->n_entries; i++) r.bytes.size += orri_wal_entry_size(wait->entries[i].data.size);
    orri_wal_put_entries(&e->w, &e->fold, &r);
    for (size_t i = 0; i < wait->n_entries; i++) encode_entry(e, r.group, &wait->entries[i]);
}

static void encode_marks(struct orr_storage *s, struct encoder *e) {
    for (size_t i = 0; i < s->groups.n && s->wal.marks; i++) {
        const struct orri_group *g = s->groups.at[i];
        if (g->reset) encode_reset(e, g->id, &g->reset_to);
        if (g->release)
            orri_wal_put(&e->w, &e->fold,
                         &(struct orri_wal_record){ .kind = ORRI_WAL_RELEASE, .group = g->id, .index = g->release });
    }
}

static void encode_groups(struct orr_storage *s, struct encoder *e) {
    for (size_t i = 0; i < s->groups.n; i++) {
        const struct orri_group *g = s->groups.at[i];
        orri_wal_put(&e->w, &e->fold,
                     &(struct orri_wal_record){ .kind = ORRI_WAL_GROUP,
                                                .group = g->id,
                                                .first = g->first,
                                                .last = g->last,
                                                .bytes = orr_borrow(g->state, g->state_size) });
    }
}

static size_t groups_size(const struct orr_storage *s) {
    size_t size = 0;
    for (size_t i = 0; i < s->groups.n; i++)
        size += orri_wal_group_size(((struct orri_group *)s->groups.at[i])->state_size);
    return size;
}

/* Encodes the batch for `segment`; gives its head (whose chain becomes the log's). */
static struct orri_wal_head encode(struct orr_storage *s, const struct plan *plan, const struct orri_segment *segment,
                                   bool begins) {
    struct orri_wal *wal = &s->wal;
    struct orri_wal_head head = { .number = wal->number + 1, .before = wal->chain, .oldest = orri_segments_oldest(s) };
    struct orri_segment *last = orri_segment_last(s);
    head.segment = !begins ? segment->sequence : last ? last->sequence + 1 : 1;
    head.size = plan->body + (begins ? groups_size(s) : 0);
    struct encoder e = { .w = orri_writer(wal->batch.heads, wal->batch.cap_heads),
                         .b = &wal->batch,
                         .cut = wal->batch.heads };
    if (begins) {
        memset(e.w.at, 0, ORRI_WAL_PAGE);
        orri_wal_put_header(e.w.at, &(struct orri_wal_header){ ORRI_WAL_VERSION, wal->id, head.segment, head.number,
                                                               head.before, head.oldest });
        e.w.at += ORRI_WAL_PAGE;
    }
    unsigned char *at = e.w.at;
    e.w.at += ORRI_WAL_HEAD;
    e.fold = orri_wal_fold(wal->id, head.number);
    wal->batch.n_parts = 0;
    if (begins) encode_groups(s, &e);
    encode_marks(s, &e);
    struct orri_result *r = wal->waiting.head;
    for (size_t i = 0; i < plan->n; i++, r = r->next) {
        if (r->done.status == 0) encode_wait(&e, (struct orri_wait *)r);
    }
    cut(&e);
    ORR_ASSERT(!e.w.failed);
    head.fold = e.fold;
    orri_wal_put_head(at, wal->id, &head);
    return head;
}

/* -- Submit -------------------------------------------------------------------------------------------------------- */
static int reserve(struct orr_storage *s, const struct plan *plan, bool begins) {
    struct orri_batch *b = &s->wal.batch;
    size_t heads = plan->heads + ORRI_WAL_HEAD + (begins ? ORRI_WAL_PAGE + groups_size(s) : 0);
    void *bytes = b->heads, *parts = b->parts;
    int rc = orri_grow(s, &bytes, &b->cap_heads, heads, 1);
    b->heads = bytes;
    if (rc == 0) rc = orri_grow(s, &parts, &b->cap_parts, plan->parts + 1, sizeof *b->parts);
    b->parts = parts;
    if (rc == 0 && begins) rc = orri_row_reserve(s, &s->segments.used, 1);
    struct orri_result *r = s->wal.waiting.head;
    for (size_t i = 0; i < plan->n && rc == 0; i++, r = r->next) {
        struct orri_wait *wait = (struct orri_wait *)r;
        rc = orri_index_reserve(s, wait->group, wait->group->plan_n, wait->state_size);
    }
    return rc;
}

static void apply_marks(struct orr_storage *s) {
    for (size_t i = 0; i < s->groups.n && s->wal.marks; i++) {
        struct orri_group *g = s->groups.at[i];
        if (g->reset) orri_index_reset(s, g, g->reset_to.index, g->reset_to.time);
        if (g->release) orri_index_release(s, g, g->release);
        g->reset = false;
        g->release = 0;
    }
    s->wal.marks = 0;
}

/* What the batch that was just submitted means, in the order of its records; `at` is where the first store begins. */
static void apply(struct orr_storage *s, const struct plan *plan, uint32_t segment, uint64_t at) {
    apply_marks(s);
    for (size_t i = 0; i < plan->n; i++) {
        struct orri_result *r = orri_queue_pop(&s->wal.waiting);
        struct orri_wait *wait = (struct orri_wait *)r;
        struct orri_group *g = wait->group;
        orri_queue_push(&s->wal.batch.stores, r);
        if (r->done.status < 0) continue;
        s->stats.records += (wait->state_size ? 1u : 0u) + (wait->n_entries ? 1u : 0u) + (wait->receiver ? 1u : 0u);
        if (wait->receiver) {
            orri_index_reset(s, g, wait->reset_to.index, wait->reset_to.time);
            at += ORRI_WAL_RESET_SIZE;
        }
        if (wait->state_size) {
            orri_index_state(g, state_of(wait));
            at += orri_wal_state_size(wait->state_size);
        }
        if (wait->n_entries == 0) continue;
        at += ORRI_WAL_ENTRIES_SIZE;
        orri_index_truncate(s, g, wait->entries[0].index);
        for (size_t k = 0; k < wait->n_entries; k++) {
            orri_index_append(s, g, &wait->entries[k], segment, at);
            at += orri_wal_entry_size(wait->entries[k].data.size);
        }
    }
}

static int submit(struct orr_storage *s) {
    struct orri_batch *b = &s->wal.batch;
    b->write.req = (struct orr_req){ .done = written, .owner = s };
    int rc = s->w->ops->write(s->w, &b->write);
    if (rc < 0) return rc;
    b->running = true;
    s->running++;
    s->stats.writes++;
    return 0;
}

static size_t marks_size(const struct orr_storage *s) {
    size_t size = 0;
    for (size_t i = 0; i < s->groups.n && s->wal.marks; i++) {
        const struct orri_group *g = s->groups.at[i];
        size += (g->reset ? ORRI_WAL_RESET_SIZE : 0) + (g->release ? ORRI_WAL_RELEASE_SIZE : 0);
    }
    return size;
}

static void write_batch(struct orr_storage *s, const struct plan *plan, struct orri_segment *segment, bool begins) {
    struct orri_wal *wal = &s->wal;
    struct orri_batch *b = &wal->batch;
    size_t before = ORRI_WAL_HEAD + marks_size(s) + (begins ? groups_size(s) : 0);
    int rc = reserve(s, plan, begins);
    if (rc == 0) {
        struct orri_wal_head head = encode(s, plan, segment, begins);
        bool alone = plan->urgent || plan->accepted == 1;
        b->write = (struct orr_write){ .file = segment->file, .at = begins ? 0 : segment->used, .parts = b->parts,
            .n_parts = b->n_parts, .flags = ORR_W_SYNC | (alone ? ORR_W_NOW : 0) };
        rc = submit(s);
        if (rc == 0) {
            if (begins) orri_segments_use(s, segment);
            wal->number = head.number;
            wal->chain = head.chain;
            b->oldest = head.oldest;
            apply(s, plan, (uint32_t)head.segment, segment->used + before);
            segment->used += ORRI_WAL_HEAD + head.size;
            s->stats.bytes_written += ORRI_WAL_HEAD + head.size + (begins ? ORRI_WAL_PAGE : 0);
            return;
        }
    }
    if (rc == -ENOMEM) wal->retry = s->w->ops->now(s->w) + NO_MEMORY;
    else orri_wal_fail(s, rc, "a write was not taken");
}

/* A batch of our own, without stores: only where it brings back a segment that is missed. */
static bool wants_mark(const struct orr_storage *s) {
    if (!orri_segments_short(s) || s->segments.used.n < 2) return false;
    return s->wal.marks > 0 || orri_segments_oldest(s) > s->segments.oldest_stated;
}

/* The stores find no place, for segments that nobody needs any more come back only once a durable batch has said so:
 * theirs can't, so one without stores does. The reserve is there for it. */
static void write_mark(struct orr_storage *s) {
    struct plan none = { .body = marks_size(s), .heads = marks_size(s) };
    struct orri_segment *last = orri_segment_last(s);
    uint64_t need = ORRI_WAL_HEAD + none.body, want = s->segments.want;
    if (need <= last->size - last->used) {
        write_batch(s, &none, last, false);
        return;
    }
    struct orri_segment *spare = orri_segments_spare(s, need + ORRI_WAL_PAGE + groups_size(s), true);
    if (spare) write_batch(s, &none, spare, true);
    else s->segments.want = want;
}

/* One that says nothing, where it fits. */
static bool needless(const struct orr_storage *s) {
    const struct orri_segment *last = orri_segment_last(s);
    bool fits = last && ORRI_WAL_HEAD + marks_size(s) <= last->size - last->used;
    return fits && ORR_RARE(s->w, "storage.needless_batch");
}

/* False: there was nothing to do. */
static bool write_next(struct orr_storage *s) {
    struct plan plan;
    bool waited = s->wal.waiting.head != NULL;
    if (!waited && !wants_mark(s) && !needless(s)) return false;
    for (;; waited = true) {
        make_plan(s, &plan);
        if (plan.accepted == 0) {
            tell_refused(s);
            plan.n = 0;
        }
        if (plan.accepted == 0 && waited && !wants_mark(s)) return true;
        struct orri_segment *last = orri_segment_last(s);
        uint64_t need = ORRI_WAL_HEAD + plan.body;
        bool early = last && s->segments.spare.n > 1 && ORR_RARE(s->w, "storage.early_segment");
        if (last && need <= last->size - last->used && !early) {
            write_batch(s, &plan, last, false);
            return true;
        }
        need += ORRI_WAL_PAGE + groups_size(s);
        struct orri_segment *spare = orri_segments_spare(s, need, !plan.data);
        if (spare) write_batch(s, &plan, spare, true);
        else if (!s->segments.no_room && wants_mark(s)) write_mark(s);
        if (spare || !s->segments.no_room || !refuse(s, &plan, !plan.data)) return true;
    }
}

bool orri_wal_flush(struct orr_storage *s) {
    struct orri_wal *wal = &s->wal;
    if (!s->opened || s->failed || wal->batch.running) return false;
    if (wal->retry != ORR_NEVER && s->w->ops->now(s->w) < wal->retry) return false;
    wal->retry = ORR_NEVER;
    if (wal->waiting.head && ORR_RARE(s->w, "storage.flushes_later")) {
        wal->retry = s->w->ops->now(s->w) + ORR_MS;
        return false;
    }
    if (wal->batch.again) {
        int rc = submit(s);
        if (rc == -ENOMEM) wal->retry = s->w->ops->now(s->w) + NO_MEMORY;
        else if (rc < 0) orri_wal_fail(s, rc, "a write was not taken");
        return true;
    }
    return write_next(s);
}

void orri_wal_clear(struct orr_storage *s) {
    struct orri_result *r;
    while ((r = orri_queue_pop(&s->wal.batch.stores)) || (r = orri_queue_pop(&s->wal.waiting))) {
        struct orri_wait *wait = (struct orri_wait *)r;
        for (size_t i = 0; i < wait->n_entries; i++) orr_drop(wait->entries[i].data);
    }
    for (size_t i = 0; i < s->waits.n; i++) {
        struct orri_wait *wait = s->waits.at[i];
        orri_put(s, wait->long_state, wait->long_state ? wait->state_size : 0);
        orri_put(s, wait->entries, wait->cap_entries * sizeof *wait->entries);
        orri_put(s, wait, sizeof *wait);
    }
    orri_row_clear(s, &s->waits);
    orri_row_clear(s, &s->pool);
    orri_put(s, s->wal.batch.heads, s->wal.batch.cap_heads);
    orri_put(s, s->wal.batch.parts, s->wal.batch.cap_parts * sizeof *s->wal.batch.parts);
}
