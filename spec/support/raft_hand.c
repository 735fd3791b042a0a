/* support/raft_hand.c - see raft_hand.h. */
#include "support/raft_hand.h"

#include "consensus/raft/internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MSGS_MAX = 4096 };

void hand_note(struct hand *h, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(h->trace + h->trace_size, sizeof h->trace - h->trace_size, format, args);
    va_end(args);
    h->trace_size += (size_t)n;
    if (h->trace_size >= sizeof h->trace) abort();
}

static struct orr_raft *start(struct hand *h, size_t i, const struct hand_boot *b,
                              void (*change)(struct orr_raft_config *cfg)) {
    static const char *const names[HAND_MAX] = { "n1", "n2", "n3", "n4", "n5", "n6", "n7" };
    struct orr_member voters[HAND_MAX];
    for (size_t k = 0; k < h->n; k++) voters[k] = (struct orr_member){ k + 1, names[k] };
    struct orr_raft_config cfg;
    orr_raft_config_init(&cfg);
    cfg.order.self = i + 1;
    cfg.order.voters = voters;
    cfg.order.n_voters = h->n;
    cfg.order.chunks = h->chunks;
    cfg.order.seed = i + 1;
    cfg.order.window_entries = 100;
    cfg.order.inflight_messages = 8;
    if (change) change(&cfg);
    struct orr_boot boot = { .first = 1 };
    struct orr_term_run runs[HAND_LOG];
    unsigned char state[ORR_RAFT_STATE_SIZE];
    if (b) {
        for (; b->log[boot.last]; boot.last++)
            if (boot.last == 0 || b->log[boot.last] != b->log[boot.last - 1])
                runs[boot.n_runs++] = (struct orr_term_run){ boot.last + 1, b->log[boot.last] };
        orr_raft_state_encode(state, b->term, b->vote);
        boot.state = orr_borrow(state, sizeof state);
        boot.runs = runs;
    }
    struct orr_raft *r = NULL;
    if (orr_raft_new(&r, &cfg, &boot, h->now) != 0) abort();
    return r;
}

struct hand *hand_new_with(size_t n, const struct hand_boot *boots, void (*change)(struct orr_raft_config *cfg)) {
    struct hand *h = calloc(1, sizeof *h);
    h->n = n;
    h->chunks = orr_chunks_new(&orr_alloc_libc);
    h->msgs = calloc(MSGS_MAX, sizeof *h->msgs);
    for (size_t i = 0; i < n; i++) h->r[i] = start(h, i, boots ? &boots[i] : NULL, change);
    return h;
}

struct hand *hand_new(size_t n, const struct hand_boot *boots) { return hand_new_with(n, boots, NULL); }

static void drop(struct orr_raft_msg *m) {
    for (size_t i = 0; i < m->n_entries; i++) orr_drop(m->entries[i].data);
    free((void *)(uintptr_t)m->entries);
    orr_drop(m->data);
    orr_drop(m->snapshot.config);
}

void hand_forget(struct hand *h) {
    for (size_t i = 0; i < h->n_msgs; i++) drop(&h->msgs[i]);
    h->n_msgs = 0;
}

void hand_free(struct hand *h) {
    hand_forget(h);
    for (size_t i = 0; i < h->n; i++) orr_raft_free(h->r[i]);
    orr_chunks_free(h->chunks);
    free(h->msgs);
    free(h);
}

/* -- The trace --------------------------------------------------------------------------------------------------- */
static void trace_msg(struct hand *h, const struct orr_raft_msg *m) {
    static const char *const names[] = { "", "prevote", "prevote_reply", "vote", "vote_reply", "append", "append_reply",
                                         "snapshot", "snapshot_reply", "read", "read_reply", "timeout_now" };
#define N(x) ((unsigned long long)(x))
    hand_note(h, "n%llu>n%llu %s term=%llu", N(m->from), N(m->to), names[m->type], N(m->term));
    if (m->type == ORR_RAFT_VOTE || m->type == ORR_RAFT_PREVOTE)
        hand_note(h, " last=%llu/%llu", N(m->last_log_index), N(m->last_log_term));
    if (m->type == ORR_RAFT_VOTE_REPLY || m->type == ORR_RAFT_PREVOTE_REPLY)
        hand_note(h, m->granted ? " granted" : " refused");
    if (m->type == ORR_RAFT_APPEND) {
        hand_note(h, " prev=%llu/%llu commit=%llu [", N(m->prev_log_index), N(m->prev_log_term), N(m->leader_commit));
        for (size_t i = 0; i < m->n_entries; i++) hand_note(h, "%s%llu", i ? " " : "", N(m->entries[i].term));
        hand_note(h, "]");
    }
    if (m->type == ORR_RAFT_APPEND_REPLY && m->success) hand_note(h, " match=%llu", N(m->match_index));
    if (m->type == ORR_RAFT_APPEND_REPLY && !m->success)
        hand_note(h, " refused hint=%llu/%llu", N(m->hint_index), N(m->hint_term));
    hand_note(h, "\n");
#undef N
}

/* -- Driving ----------------------------------------------------------------------------------------------------- */
static void queue(struct hand *h, const struct orr_raft_msg *m) {
    if (h->n_msgs == MSGS_MAX) abort();
    struct orr_raft_msg *to = &h->msgs[h->n_msgs++];
    *to = *m;
    struct orr_entry *entries = m->n_entries ? malloc(m->n_entries * sizeof *entries) : NULL;
    for (size_t i = 0; i < m->n_entries; i++) {
        entries[i] = m->entries[i];
        entries[i].data = orr_hold(entries[i].data);
    }
    to->entries = entries;
    to->data = orr_hold(m->data);
    to->snapshot.config = orr_hold(m->snapshot.config);
}

static void read_disk(struct hand *h, size_t i, const struct orr_fetch *f) {
    struct orr_entry entries[HAND_LOG];
    size_t n = 0;
    for (orr_index k = f->from; k <= f->through; k++, n++) {
        entries[n] = (struct orr_entry){ .index = k, .kind = ORR_ENTRY_NOOP };
        orri_raft_log_term(&h->r[i]->log, k, &entries[n].term);
    }
    if (orr_raft_fetched(h->r[i], h->now, f->id, entries, n, 0) != 0) abort();
}

void hand_collect(struct hand *h, size_t i) {
    const struct orr_raft_ready *rd;
    while ((rd = orr_raft_ready(h->r[i]))) {
        struct orr_fetch fetches[HAND_MAX + 1];
        size_t n_fetches = rd->io.n_fetches;
        if (n_fetches) memcpy(fetches, rd->io.fetches, n_fetches * sizeof *fetches);
        for (size_t k = 0; k < rd->n_msgs; k++) queue(h, &rd->msgs[k]);
        for (size_t k = 0; k < rd->io.n_stores; k++) h->stores[i][h->n_stores[i]++] = rd->io.stores[k].id;
        for (size_t k = 0; k < rd->io.n_answers; k++) h->answers[h->n_answers++] = rd->io.answers[k];
        if (rd->io.n_commits) {
            h->applied[i] = rd->io.commits[rd->io.n_commits - 1].index;
            orr_raft_applied(h->r[i], h->now, h->applied[i]);
        }
        for (size_t k = 0; k < n_fetches; k++) read_disk(h, i, &fetches[k]);
    }
}

void hand_written(struct hand *h, size_t i) {
    for (size_t k = 0; k < h->n_stores[i]; k++)
        if (orr_raft_stored(h->r[i], h->now, h->stores[i][k], 0) != 0) abort();
    h->n_stores[i] = 0;
    hand_collect(h, i);
}

bool hand_deliver(struct hand *h) {
    if (h->n_msgs == 0) return false;
    struct orr_raft_msg m = h->msgs[0];
    memmove(h->msgs, h->msgs + 1, --h->n_msgs * sizeof m);
    if (!h->cut[m.from - 1] && !h->cut[m.to - 1]) {
        trace_msg(h, &m);
        if (orr_raft_recv(h->r[m.to - 1], h->now, &m) != 0) abort();
        hand_collect(h, m.to - 1);
    }
    drop(&m);
    return true;
}

void hand_pump(struct hand *h) {
    bool busy = true;
    for (size_t i = 0; i < h->n; i++) hand_collect(h, i);
    while (busy) {
        busy = hand_deliver(h);
        for (size_t i = 0; i < h->n; i++) {
            if (h->held[i] || h->n_stores[i] == 0) continue;
            busy = true;
            hand_written(h, i);
        }
    }
}

void hand_elect(struct hand *h, size_t i) {
    orr_raft_campaign(h->r[i], h->now);
    hand_pump(h);
}

void hand_propose(struct hand *h, size_t i, const char *data) {
    struct orr_slice batch = orr_borrow(data, strlen(data));
    size_t taken;
    if (orr_raft_propose(h->r[i], h->now, &batch, 1, &taken, NULL) != 0) abort();
    hand_collect(h, i);
}

void hand_tick_all(struct hand *h, orr_time by) {
    orr_time end = h->now + by;
    for (;;) {
        orr_time at = end;
        for (size_t i = 0; i < h->n; i++) {
            orr_time t = orr_raft_deadline(h->r[i]);
            if (t < at) at = t;
        }
        if (at > h->now) h->now = at;
        bool any = false;
        for (size_t i = 0; i < h->n; i++) {
            if (orr_raft_deadline(h->r[i]) > h->now) continue;
            any = true;
            orr_raft_tick(h->r[i], h->now);
        }
        hand_pump(h);
        if (!any && h->now >= end) return;
    }
}

struct orr_order_status hand_status(const struct hand *h, size_t i) {
    struct orr_order_status s;
    orr_raft_status(h->r[i], &s);
    return s;
}

void hand_log(const struct hand *h, size_t i, char *out) {
    *out = 0;
    for (orr_index k = h->r[i]->log.first; k <= h->r[i]->log.last; k++) {
        orr_term term;
        orri_raft_log_term(&h->r[i]->log, k, &term);
        out += sprintf(out, "%s%llu", k == h->r[i]->log.first ? "" : " ", (unsigned long long)term);
    }
}

int hand_recv(struct hand *h, size_t i, struct orr_raft_msg m) {
    m.to = i + 1;
    int rc = orr_raft_recv(h->r[i], h->now, &m);
    hand_collect(h, i);
    return rc;
}

struct orr_raft_msg hand_said(struct hand *h, size_t i, enum orr_raft_type type) {
    struct orr_raft_msg found = { 0 };
    for (size_t k = 0; k < h->n_msgs; k++)
        if (h->msgs[k].from == i + 1 && h->msgs[k].type == type) found = h->msgs[k];
    return found;
}
