/* support/raft_net.c - see raft_net.h. One array of events, ordered by time and then by the order of their making. */
#include "support/raft_net.h"

#include "base/hash.h"
#include "base/rng.h"
#include "consensus/raft/internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NODES_MAX = 7, TERMS_MAX = 1 << 16, COMMITS_MAX = 1 << 16, READS = 1024, SNAPSHOT_SIZE = 300 };

struct disk {
    unsigned char state[ORR_RAFT_STATE_SIZE];
    size_t state_size;
    struct orr_entry *entries;      /* entries[i] has index first + i */
    orr_index first, last;
    size_t cap;
    struct orr_snapshot snapshot;
    uint64_t snapshot_digest;
    unsigned char incoming[SNAPSHOT_SIZE];
};
struct pending {                    /* a store not yet done */
    uint64_t id;
    unsigned char state[ORR_RAFT_STATE_SIZE];
    size_t state_size, n;
    bool truncate, data, refused;
    struct orr_entry *entries;
    struct pending *next;
};
struct node {
    orr_id id;
    char name[8];
    struct orr_raft *r;             /* NULL: down */
    unsigned life;
    orr_time up_at, paused_until, clock_offset;
    struct disk disk;
    struct pending *pending;
    orr_time disk_free_at, full_until;
    orr_index applied;
    orr_term applied_term;
    orr_time applied_time;
    uint64_t digest;
    struct orr_slice config;        /* of the last CONFIG entry applied */
    enum orr_role role;
};
enum event_kind { DELIVER, STORED, PART, FETCH, TURN_ENDS, ROOM };
struct event {
    orr_time at;
    uint64_t order;
    enum event_kind kind;
    size_t node, from;
    unsigned life;
    struct orr_slice frame;
    uint64_t id;
    struct orr_part part;
    struct orr_fetch fetch;
};
struct committed {
    orr_term term, in;              /* of the entry; in which it was seen to be committed: no earlier than it was */
    uint64_t hash, digest;
    orr_time time;
    bool digested;
};
struct net {
    struct net_options o;
    struct orr_rng rng;
    struct orr_chunks *chunks;
    orr_time now, chaos_at, load_at;
    size_t n;
    struct node nodes[NODES_MAX];
    struct orr_member members[NODES_MAX];
    bool cut[NODES_MAX][NODES_MAX];
    struct event *events;           /* a binary heap */
    size_t n_events, cap_events;
    uint64_t order, next_value, next_tag;
    orr_id *leaders;                /* by term */
    struct committed *commits;      /* by index */
    orr_index committed;
    orr_index asked[READS];         /* by tag: what was committed then */
    bool faults;
    struct net_report report;
    char breach[200];
};

static void breach(struct net *net, const char *format, ...) {
    if (net->breach[0]) return;
    int n = snprintf(net->breach, sizeof net->breach, "at %.6f: ", (double)net->now / 1e9);
    va_list args;
    va_start(args, format);
    vsnprintf(net->breach + n, sizeof net->breach - (size_t)n, format, args);
    va_end(args);
}

static bool chance(struct net *net, double p) { return orri_rng_chance(&net->rng, p); }
static orr_time up_to(struct net *net, orr_time most) { return most > 0 ? orri_rng_between(&net->rng, 1, most) : 1; }

/* -- Events ------------------------------------------------------------------------------------------------------ */
static bool before(const struct event *a, const struct event *b) {
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct net *net, struct event e) {
    if (net->n_events == net->cap_events) {
        net->cap_events = net->cap_events ? 2 * net->cap_events : 256;
        net->events = realloc(net->events, net->cap_events * sizeof *net->events);
    }
    e.order = net->order++;
    size_t i = net->n_events++;
    for (; i > 0 && before(&e, &net->events[(i - 1) / 2]); i = (i - 1) / 2) net->events[i] = net->events[(i - 1) / 2];
    net->events[i] = e;
}

static struct event pop(struct net *net) {
    struct event top = net->events[0], last = net->events[--net->n_events];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= net->n_events) break;
        if (child + 1 < net->n_events && before(&net->events[child + 1], &net->events[child])) child++;
        if (!before(&net->events[child], &last)) break;
        net->events[i] = net->events[child];
        i = child;
    }
    if (net->n_events) net->events[i] = last;
    return top;
}

static void drop_event(struct event *e) {
    if (e->kind == DELIVER) orr_drop(e->frame);
    if (e->kind == PART) orr_drop(e->part.data);
}

/* -- Disks ------------------------------------------------------------------------------------------------------- */
static struct orr_entry *on_disk(struct disk *d, orr_index index) { return &d->entries[index - d->first]; }

static void cut_disk(struct disk *d, orr_index from) {
    while (d->last >= from && d->last >= d->first) orr_drop(on_disk(d, d->last--)->data);
}

static void compact_disk(struct disk *d, orr_index through) {
    if (through < d->first) return;
    size_t gone = (size_t)(orri_min(through, d->last) + 1 - d->first), n = (size_t)(d->last + 1 - d->first);
    for (size_t i = 0; i < gone; i++) orr_drop(d->entries[i].data);
    memmove(d->entries, d->entries + gone, (n - gone) * sizeof *d->entries);
    d->first = through + 1;
    if (d->last < through) d->last = through;
}

static void append_disk(struct net *net, struct disk *d, const struct orr_entry *e, bool truncate) {
    if (truncate) cut_disk(d, e->index);
    if (e->index > d->last + 1 && d->last <= d->snapshot.index && e->index == d->snapshot.index + 1) {
        cut_disk(d, d->first);      /* all of it lies under the snapshot */
        d->first = e->index;
        d->last = e->index - 1;
    }
    if (e->index != d->last + 1) {
        breach(net, "store: entry %llu after %llu", (unsigned long long)e->index, (unsigned long long)d->last);
        return;
    }
    size_t n = (size_t)(d->last + 1 - d->first);
    if (n == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 64;
        d->entries = realloc(d->entries, d->cap * sizeof *d->entries);
    }
    d->entries[n] = *e;
    d->entries[n].data = orr_hold(e->data);
    d->last++;
}

static void apply_store(struct net *net, struct node *n) {
    struct pending *p = n->pending;
    n->pending = p->next;
    if (p->state_size) memcpy(n->disk.state, p->state, p->state_size);
    if (p->state_size) n->disk.state_size = p->state_size;
    for (size_t i = 0; i < p->n; i++) {
        append_disk(net, &n->disk, &p->entries[i], i == 0 && p->truncate);
        orr_drop(p->entries[i].data);
    }
    free(p->entries);
    free(p);
}

static void drop_store(struct node *n) {
    struct pending *p = n->pending;
    n->pending = p->next;
    for (size_t i = 0; i < p->n; i++) orr_drop(p->entries[i].data);
    free(p->entries);
    free(p);
}

static void drop_stores(struct node *n) {
    while (n->pending) drop_store(n);
}

/* No room: data is refused, and with it all entries that were handed in since. */
static int finish_store(struct net *net, struct node *n) {
    if (!n->pending->refused && !(n->pending->data && n->full_until > net->now)) {
        apply_store(net, n);
        return 0;
    }
    for (struct pending *p = n->pending; p; p = p->next) p->refused = p->n > 0;
    drop_store(n);
    orr_time room = n->full_until > net->now ? n->full_until : net->now;    /* a hang may bring this after it */
    push(net, (struct event){ .at = room + 1, .kind = ROOM, .node = (size_t)(n - net->nodes) });
    net->report.refused++;
    return ORR_EFULL;
}

static orr_time disk_done_at(struct net *net, struct node *n) {       /* in order */
    orr_time at = net->now + up_to(net, net->o.disk_max);
    if (at <= n->disk_free_at) at = n->disk_free_at + 1;
    return n->disk_free_at = at;
}

static void start_store(struct net *net, size_t i, const struct orr_store *s) {
    struct node *n = &net->nodes[i];
    struct pending *p = calloc(1, sizeof *p), **at = &n->pending;
    p->id = s->id;
    p->state_size = s->state.size;
    if (s->state.size) memcpy(p->state, s->state.at, s->state.size);
    p->truncate = s->truncate;
    p->n = s->n_entries;
    p->entries = malloc((s->n_entries + 1) * sizeof *p->entries);
    for (size_t k = 0; k < s->n_entries; k++) {
        p->entries[k] = s->entries[k];
        p->entries[k].data = orr_hold(s->entries[k].data);
        p->data = p->data || s->entries[k].kind >= ORR_ENTRY_DATA;
    }
    while (*at) at = &(*at)->next;
    *at = p;
    push(net, (struct event){ .at = disk_done_at(net, n), .kind = STORED, .node = i, .life = n->life, .id = s->id });
}

static uint64_t checksum_of(uint64_t digest) { return orri_mix64(digest, 77); }

static void snapshot_bytes(uint64_t digest, unsigned char *out) {
    for (size_t i = 0; i < SNAPSHOT_SIZE; i++) out[i] = (unsigned char)(digest >> (8 * (i % 8)));
}

static void install_on_disk(struct net *net, struct disk *d, const struct orr_part *part) {
    uint64_t digest = 0;
    for (unsigned i = 0; i < 8; i++) digest |= (uint64_t)d->incoming[i] << (8 * i);
    if (checksum_of(digest) != part->snapshot.checksum) breach(net, "snapshot: its parts don't fit together");
    cut_disk(d, d->first);
    orr_drop(d->snapshot.config);
    d->snapshot = part->snapshot;
    d->snapshot.config = orr_hold(part->snapshot.config);
    d->snapshot_digest = digest;
    d->first = part->snapshot.index + 1;
    d->last = part->snapshot.index;
    net->report.snapshots++;
}

/* -- Oracles ----------------------------------------------------------------------------------------------------- */
static uint64_t hash_of(const struct orr_entry *e) {
    return orri_mix64(orri_hash64(e->data.at, e->data.size, e->kind), orri_mix64(e->term, (uint64_t)e->time));
}

static void check_claims(struct net *net, struct node *n, const struct orr_raft_msg *m) {
    orr_term term = 0;
    orr_id vote = 0;
    if (n->disk.state_size) orr_raft_state_decode(orr_borrow(n->disk.state, n->disk.state_size), &term, &vote);
    bool talks = m->type == ORR_RAFT_PREVOTE || (m->type == ORR_RAFT_PREVOTE_REPLY && m->granted);
    if (!talks && m->term > term)
        breach(net, "%s says term %llu, its disk %llu", n->name, (unsigned long long)m->term, (unsigned long long)term);
    if (m->type == ORR_RAFT_VOTE_REPLY && m->granted && (term != m->term || vote != m->to))
        breach(net, "%s: vote not stored", n->name);
    if (m->type == ORR_RAFT_VOTE && (term != m->term || vote != n->id)) breach(net, "%s: own vote not stored", n->name);
    if (m->type == ORR_RAFT_APPEND_REPLY && m->success && m->match_index > n->disk.last)
        breach(net, "%s: ack not stored", n->name);
    if (m->type == ORR_RAFT_SNAPSHOT_REPLY && m->done && m->snapshot.index > n->disk.snapshot.index)
        breach(net, "%s: snapshot not stored", n->name);
}

static void see_commit(struct net *net, struct node *n, const struct orr_entry *e) {
    if (e->index >= COMMITS_MAX) return;
    struct committed *c = &net->commits[e->index];
    uint64_t hash = hash_of(e);
    if (e->index > net->committed) {
        if (e->index != net->committed + 1)
            breach(net, "%s commits %llu, nobody did the one before", n->name, (unsigned long long)e->index);
        if (e->index > 1 && e->time < net->commits[e->index - 1].time) breach(net, "log time goes back");
        *c = (struct committed){ .term = e->term, .in = n->r->term, .hash = hash, .time = e->time };
        net->committed = e->index;
        net->report.committed++;
    } else if (c->hash != hash) {
        breach(net, "%s: committed entry %llu is another one", n->name, (unsigned long long)e->index);
    }
}

static void see_applied(struct net *net, struct node *n) {
    if (n->applied >= COMMITS_MAX) return;
    struct committed *c = &net->commits[n->applied];
    if (c->digested && c->digest != n->digest)
        breach(net, "%s: another state at %llu", n->name, (unsigned long long)n->applied);
    c->digest = n->digest;
    c->digested = true;
}

static void see_role(struct net *net, struct node *n) {
    enum orr_role was = n->role;
    n->role = n->r->role;
    if (n->role != ORR_LEADER) return;
    orr_term term = n->r->term;
    if (term < TERMS_MAX) {
        if (net->leaders[term] && net->leaders[term] != n->id)
            breach(net, "two leaders of term %llu", (unsigned long long)term);
        net->leaders[term] = n->id;
    }
    if (was == ORR_LEADER) return;
    net->report.elections++;
    for (orr_index i = n->r->log.first; i <= net->committed && i < COMMITS_MAX; i++) {
        orr_term has;
        /* By a later leader, of whom this one, late itself, never hears. */
        if (net->commits[i].in >= term) continue;
        if (!orri_raft_log_term(&n->r->log, i, &has) || has != net->commits[i].term)
            breach(net, "leader %s of term %llu lacks committed %llu", n->name, (unsigned long long)term,
                   (unsigned long long)i);
    }
}

/* Same index and term in two logs: the same logs up to there. */
static void check_matching(struct net *net) {
    for (size_t a = 0; a < net->n; a++)
        for (size_t b = a + 1; b < net->n; b++) {
            if (!net->nodes[a].r || !net->nodes[b].r) continue;
            const struct orri_raft_log *x = &net->nodes[a].r->log, *y = &net->nodes[b].r->log;
            bool same = false;
            for (orr_index i = orri_min(x->last, y->last); i >= orri_max(x->first, y->first) && i > 0; i--) {
                orr_term s = 0, t = 0;
                orri_raft_log_term(x, i, &s);
                orri_raft_log_term(y, i, &t);
                if (same && s != t)
                    breach(net, "logs of %s and %s differ at %llu", net->nodes[a].name, net->nodes[b].name,
                           (unsigned long long)i);
                same = same || s == t;
            }
        }
}

/* -- The driver -------------------------------------------------------------------------------------------------- */
static size_t node_of(const struct net *net, orr_id id) {
    for (size_t i = 0; i < net->n; i++)
        if (net->nodes[i].id == id) return i;
    abort();
}

static struct orr_slice frame_of(struct net *net, const struct orr_raft_msg *m) {
    size_t cap = orri_raft_head_size(m) + m->data.size;
    for (size_t i = 0; i < m->n_entries; i++) cap += m->entries[i].data.size;
    struct orr_chunk *c = net->chunks->get(net->chunks, cap);
    size_t size = orri_raft_encode(m, c->at, cap);
    for (size_t i = 0; i < m->n_entries; i++) {
        if (m->entries[i].data.size) memcpy(c->at + size, m->entries[i].data.at, m->entries[i].data.size);
        size += m->entries[i].data.size;
    }
    if (m->data.size) memcpy(c->at + size, m->data.at, m->data.size);
    return (struct orr_slice){ c, c->at, size + m->data.size };
}

static void send(struct net *net, size_t from, const struct orr_raft_msg *m) {
    size_t to = node_of(net, m->to);
    check_claims(net, &net->nodes[from], m);
    if (net->cut[from][to] || (net->faults && chance(net, net->o.loss))) return;
    struct orr_slice frame = frame_of(net, m);
    unsigned copies = net->faults && chance(net, net->o.duplicate) ? 2 : 1;
    for (unsigned i = 0; i < copies; i++)
        push(net, (struct event){ .at = net->now + up_to(net, net->o.delay_max),
                                  .kind = DELIVER,
                                  .node = to,
                                  .from = from,
                                  .frame = orr_hold(frame) });
    orr_drop(frame);
}

static void apply(struct net *net, struct node *n, const struct orr_entry *e) {
    if (e->index != n->applied + 1)
        breach(net, "%s applies %llu after %llu", n->name, (unsigned long long)e->index,
               (unsigned long long)n->applied);
    see_commit(net, n, e);
    n->digest = orri_mix64(n->digest, hash_of(e));
    n->applied = e->index;
    n->applied_term = e->term;
    n->applied_time = e->time;
    if (e->kind == ORR_ENTRY_CONFIG) {
        orr_drop(n->config);
        n->config = orr_hold(e->data);
    }
    see_applied(net, n);
}

static void restore(struct net *net, struct node *n) {
    n->applied = n->disk.snapshot.index;
    n->applied_term = n->disk.snapshot.term;
    n->applied_time = n->disk.snapshot.time;
    n->digest = n->disk.snapshot_digest;
    orr_drop(n->config);
    n->config = orr_hold(n->disk.snapshot.config);
    if (n->applied) see_applied(net, n);
}

static void answers(struct net *net, const struct orr_ready *io) {
    for (size_t i = 0; i < io->n_answers; i++) {
        const struct orr_answer *a = &io->answers[i];
        if (a->status != 0) continue;
        net->report.reads++;
        if (a->index < net->asked[a->tag % READS]) breach(net, "a read at %llu, after %llu was committed",
            (unsigned long long)a->index, (unsigned long long)net->asked[a->tag % READS]);
    }
}

static void drive(struct net *net, size_t i) {
    struct node *n = &net->nodes[i];
    const struct orr_raft_ready *rd;
    while (n->r && !net->breach[0] && (rd = orr_raft_ready(n->r))) {
        orr_index applied = n->applied;
        see_role(net, n);
        for (size_t k = 0; k < rd->n_msgs; k++) send(net, i, &rd->msgs[k]);
        for (size_t k = 0; k < rd->io.n_stores; k++) start_store(net, i, &rd->io.stores[k]);
        for (size_t k = 0; k < rd->io.n_fetches; k++)
            push(net, (struct event){ .at = net->now + up_to(net, net->o.disk_max),
                                      .kind = FETCH,
                                      .node = i,
                                      .life = n->life,
                                      .fetch = rd->io.fetches[k] });
        for (size_t k = 0; k < rd->io.n_parts; k++) {
            struct event e = {
                .at = disk_done_at(net, n), .kind = PART, .node = i, .life = n->life, .part = rd->io.parts[k]
            };
            e.part.data = orr_hold(e.part.data);
            push(net, e);
        }
        if (rd->io.restore) restore(net, n);
        for (size_t k = 0; k < rd->io.n_commits; k++) apply(net, n, &rd->io.commits[k]);
        answers(net, &rd->io);
        if (n->applied != applied) orr_raft_applied(n->r, net->now, n->applied);
    }
}

static void start_node(struct net *net, size_t i) {
    struct node *n = &net->nodes[i];
    struct orr_raft_config cfg;
    orr_raft_config_init(&cfg);
    cfg.found = true;
    cfg.order.self = n->id;
    cfg.order.voters = net->members;
    cfg.order.n_voters = net->n;
    cfg.order.election = net->o.election;
    cfg.order.heartbeat = net->o.election / 5;
    cfg.order.seed = net->o.seed + n->life;
    cfg.order.window_entries = net->o.window_entries;
    cfg.order.window_bytes = net->o.window_bytes;
    cfg.order.inflight_messages = 4;
    cfg.order.inflight_bytes = 400;
    cfg.order.message_bytes = 200;
    cfg.order.part_bytes = 64;
    cfg.order.queue_bytes = 2000;
    cfg.order.chunks = net->chunks;
    struct disk *d = &n->disk;
    struct orr_term_run runs[256];
    struct orr_entry configs[4];
    struct orr_boot boot = { .state = orr_borrow(d->state, d->state_size),
                             .first = d->first,
                             .last = d->last,
                             .runs = runs,
                             .snapshot = d->snapshot,
                             .configs = configs,
                             .time = d->snapshot.time };
    for (orr_index k = d->first; k <= d->last; k++) {
        struct orr_entry *e = on_disk(d, k);
        if (boot.n_runs == 0 || runs[boot.n_runs - 1].term != e->term)
            runs[boot.n_runs++] = (struct orr_term_run){ k, e->term };
        if (e->kind == ORR_ENTRY_CONFIG) configs[boot.n_configs++] = *e;
        boot.time = e->time;
    }
    n->role = ORR_FOLLOWER;
    restore(net, n);
    int rc = orr_raft_new(&n->r, &cfg, &boot, net->now);
    if (rc) breach(net, "%s does not start: %d", n->name, rc);
    if (n->r) orr_raft_wall(n->r, net->now, net->now + n->clock_offset);
    drive(net, i);
}

static void crash(struct net *net, size_t i) {
    struct node *n = &net->nodes[i];
    if (!n->r) return;
    /* Some of it may have got there. */
    while (n->pending && !n->pending->refused && n->full_until <= net->now && chance(net, 0.5)) apply_store(net, n);
    drop_stores(n);
    orr_raft_free(n->r);
    n->r = NULL;
    n->life++;
    n->disk_free_at = 0;
    n->paused_until = 0;
    n->role = ORR_FOLLOWER;
    n->up_at = net->now + up_to(net, 3 * net->o.election);
    net->report.crashes++;
}

static void serve_fetch(struct net *net, struct node *n, const struct orr_fetch *f) {
    struct disk *d = &n->disk;
    net->report.fetches++;
    if (f->kind == ORR_FETCH_SNAPSHOT) {
        unsigned char bytes[SNAPSHOT_SIZE];
        snapshot_bytes(d->snapshot_digest, bytes);
        bool there = d->snapshot.index == f->from && d->snapshot.term == f->term && f->offset <= SNAPSHOT_SIZE;
        size_t left = there ? SNAPSHOT_SIZE - (size_t)f->offset : 0;
        orr_raft_fetched_part(n->r, net->now, f->id,
                              orr_borrow(bytes + SNAPSHOT_SIZE - left, left < f->bytes_max ? left : f->bytes_max),
                              there ? 0 : -ENOENT);
        return;
    }
    bool there = f->from >= d->first && f->from <= d->last;
    size_t count = 0, bytes = 0;
    while (there && f->from + count <= orri_min(f->through, d->last)) {
        bytes += on_disk(d, f->from + count)->data.size;
        if (count > 0 && bytes > f->bytes_max) break;
        count++;
    }
    orr_raft_fetched(n->r, net->now, f->id, there ? on_disk(d, f->from) : NULL, count, there ? 0 : -ENOENT);
}

static void compact(struct net *net, size_t i) {
    struct node *n = &net->nodes[i];
    if (!n->r || n->applied <= n->disk.snapshot.index || n->applied > n->disk.last) return;
    for (struct pending *p = n->pending; p; p = p->next)
        if (p->n && p->entries[0].index <= n->applied) return;
    struct orr_snapshot s = { n->applied,    n->applied_term,        n->applied_time,
                              SNAPSHOT_SIZE, checksum_of(n->digest), n->config };
    orr_index keep = s.index - orri_min(s.index, orri_rng_below(&net->rng, 12));
    if (orr_raft_compacted(n->r, net->now, &s, keep) != 0) return;
    orr_drop(n->disk.snapshot.config);
    n->disk.snapshot = s;
    n->disk.snapshot.config = orr_hold(s.config);
    n->disk.snapshot_digest = n->digest;
    compact_disk(&n->disk, keep);
}

/* -- Inputs ------------------------------------------------------------------------------------------------------ */
static void deliver(struct net *net, struct event *e) {
    struct node *n = &net->nodes[e->node];
    struct orr_entry entries[ORR_RAFT_ENTRIES_MAX];
    struct orr_raft_msg m;
    if (!n->r) return;
    if (orri_raft_decode(e->frame, &m, entries) != 0) {
        breach(net, "a frame that can't be read");
        return;
    }
    m.from = net->nodes[e->from].id;
    int rc = orr_raft_recv(n->r, net->now, &m);
    if (rc) breach(net, "%s: recv of type %d from %s says %d", n->name, (int)m.type, net->nodes[e->from].name, rc);
}

static void handle(struct net *net, struct event *e) {
    struct node *n = &net->nodes[e->node];
    net->report.events++;
    if (e->kind != DELIVER && e->kind != ROOM && (!n->r || e->life != n->life)) return;
    if (n->r && n->paused_until > net->now) {           /* later, and again in this order */
        struct event later = *e;
        later.at = n->paused_until;
        if (e->kind == DELIVER) orr_hold(e->frame);
        if (e->kind == PART) orr_hold(e->part.data);
        push(net, later);
        return;
    }
    switch (e->kind) {
    case DELIVER: deliver(net, e); break;
    case STORED:
        if (orr_raft_stored(n->r, net->now, e->id, finish_store(net, n)) != 0)
            breach(net, "%s: doesn't know its store", n->name);
        break;
    case PART:
        if (e->part.data.size) memcpy(n->disk.incoming + e->part.offset, e->part.data.at, e->part.data.size);
        if (e->part.done) install_on_disk(net, &n->disk, &e->part);
        orr_raft_part_stored(n->r, net->now, e->part.id, 0);
        break;
    case FETCH: serve_fetch(net, n, &e->fetch); break;
    case ROOM:
        if (n->r) orr_raft_full(n->r, net->now, n->full_until > net->now);
        break;
    case TURN_ENDS: break;
    }
    if (e->kind == TURN_ENDS || chance(net, 0.7)) drive(net, e->node);
    else
        push(net,
             (struct event){
                 .at = net->now + up_to(net, net->o.delay_max), .kind = TURN_ENDS, .node = e->node, .life = n->life });
}

static void propose(struct net *net, size_t i) {
    struct node *n = &net->nodes[i];
    unsigned char value[40] = { 0 };
    memcpy(value, &(uint64_t){ net->next_value++ }, 8);
    struct orr_slice batch = orr_borrow(value, 8 + (size_t)orri_rng_below(&net->rng, 32));
    size_t taken;
    orr_raft_propose(n->r, net->now, &batch, 1, &taken, NULL);
}

static void ask(struct net *net, size_t i) {
    net->asked[net->next_tag % READS] = net->committed;
    if (orr_raft_read_index(net->nodes[i].r, net->now, net->next_tag) == 0) net->next_tag++;
}

static void put_load(struct net *net) {
    for (size_t i = 0; i < net->n; i++) {
        struct node *n = &net->nodes[i];
        if (!n->r || n->paused_until > net->now) continue;
        for (unsigned k = 0; k < 3 && n->role == ORR_LEADER; k++) propose(net, i);
        if (chance(net, 0.3)) ask(net, i);
        drive(net, i);
    }
}

static void cut_some(struct net *net, size_t a) {
    net->report.cuts++;
    size_t b = orri_rng_below(&net->rng, net->n), half = orri_rng_below(&net->rng, (uint64_t)1 << net->n);
    unsigned shape = (unsigned)orri_rng_below(&net->rng, 5);
    for (size_t i = 0; i < net->n; i++)
        for (size_t k = 0; k < net->n; k++) {
            if (shape == 0) net->cut[i][k] |= i == a && k == b;                         /* one way */
            else if (shape == 1) net->cut[i][k] |= (i == a && k == b) || (i == b && k == a);
            else if (shape == 2) net->cut[i][k] = (i == a) != (k == a);                 /* alone */
            else if (shape == 3) net->cut[i][k] = (half >> i & 1) != (half >> k & 1);   /* halves */
            else net->cut[i][k] = i != a && k != a;                                     /* all hear `a` only */
        }
}

static size_t victim(struct net *net) {
    size_t at = orri_rng_below(&net->rng, net->n);
    bool leader = chance(net, net->o.pick_leader);
    for (size_t i = 0; leader && i < net->n; i++)
        if (net->nodes[(at + i) % net->n].role == ORR_LEADER) return (at + i) % net->n;
    return at;
}

static void fill(struct net *net, size_t i) {             /* it hears of it a little later, or by a refusal */
    struct node *n = &net->nodes[i];
    n->full_until = net->now + up_to(net, 6 * net->o.election);
    push(net, (struct event){ .at = net->now + up_to(net, 2 * net->o.disk_max), .kind = ROOM, .node = i });
    push(net, (struct event){ .at = n->full_until + net->o.disk_max * 2, .kind = ROOM, .node = i });
}

static void do_chaos(struct net *net) {
    size_t a = victim(net), b = orri_rng_below(&net->rng, net->n);
    if (chance(net, net->o.crash)) crash(net, a);
    if (chance(net, net->o.cut)) cut_some(net, a);
    if (chance(net, 0.2)) memset(net->cut, 0, sizeof net->cut);
    struct node *n = &net->nodes[a];
    if (chance(net, net->o.pause) && n->paused_until < net->now) {
        n->paused_until = net->now + up_to(net, 4 * net->o.election);
        net->report.pauses++;
    }
    if (!n->r || n->paused_until > net->now) return;
    if (chance(net, net->o.hand_over)) orr_raft_hand_over(n->r, net->now, ORR_NOBODY);
    if (chance(net, net->o.compact)) compact(net, a);
    if (chance(net, net->o.lost) && a != b) orr_raft_peer_lost(n->r, net->now, net->nodes[b].id);
    if (chance(net, net->o.full) && n->full_until < net->now) fill(net, a);
    if (chance(net, net->o.hang) && n->disk_free_at < net->now) {
        n->disk_free_at = net->now + up_to(net, 20 * net->o.election);
        net->report.hangs++;
    }
    drive(net, a);
    check_matching(net);
}

/* -- Time -------------------------------------------------------------------------------------------------------- */
static size_t next_due(const struct net *net, orr_time *at) {
    size_t due = net->n;
    for (size_t i = 0; i < net->n; i++) {
        const struct node *n = &net->nodes[i];
        orr_time t = n->r ? orr_raft_deadline(n->r) : n->up_at;
        if (n->r && t < n->paused_until) t = n->paused_until;
        if (t < *at) {
            *at = t;
            due = i;
        }
    }
    return due;
}

static void wake(struct net *net, size_t i) {
    struct node *n = &net->nodes[i];
    if (n->r) {
        if (n->paused_until == net->now && chance(net, 0.5)) {        /* asked before it sees that time has passed */
            ask(net, i);
            drive(net, i);
        }
        orr_raft_wall(n->r, net->now, net->now + n->clock_offset);
        orr_raft_tick(n->r, net->now);
        drive(net, i);
    } else {
        start_node(net, i);
    }
}

void net_run(struct net *net, orr_time for_ns, bool chaos, bool load) {
    orr_time end = net->now + for_ns;
    net->faults = chaos;
    net->chaos_at = net->load_at = net->now;
    while (net->now < end && !net->breach[0]) {
        orr_time at = end;
        if (chaos && net->chaos_at < at) at = net->chaos_at;
        if (load && net->load_at < at) at = net->load_at;
        if (net->n_events && net->events[0].at < at) at = net->events[0].at;
        size_t due = next_due(net, &at);
        if (at > net->now) net->now = at;
        if (due < net->n) {
            wake(net, due);
        } else if (net->n_events && net->events[0].at <= net->now) {
            struct event e = pop(net);
            handle(net, &e);
            drop_event(&e);
        } else if (chaos && net->chaos_at <= net->now) {
            do_chaos(net);
            net->chaos_at = net->now + net->o.election / 5;
        } else if (load && net->load_at <= net->now) {
            put_load(net);
            net->load_at = net->now + 5 * ORR_MS;
        }
    }
}

bool net_recovers(struct net *net, orr_time within) {
    memset(net->cut, 0, sizeof net->cut);
    orr_time end = net->now + within;
    orr_index before_this = net->committed;
    while (net->now < end && !net->breach[0]) {
        bool news = net->committed > before_this + 3;
        net_run(net, 50 * ORR_MS, false, !news);
        if (!news) continue;
        bool all = true;
        for (size_t i = 0; i < net->n; i++) all = all && net->nodes[i].r && net->nodes[i].applied == net->committed;
        if (all) return true;
    }
    return false;
}

/* -- Life -------------------------------------------------------------------------------------------------------- */
struct net *net_new(const struct net_options *options) {
    struct net *net = calloc(1, sizeof *net);
    net->o = *options;
    net->n = options->n_nodes;
    net->chunks = orr_chunks_new(&orr_alloc_libc);
    net->leaders = calloc(TERMS_MAX, sizeof *net->leaders);
    net->commits = calloc(COMMITS_MAX, sizeof *net->commits);
    orri_rng_init(&net->rng, options->seed);
    for (size_t i = 0; i < net->n; i++) {
        struct node *n = &net->nodes[i];
        n->id = 100 + i;
        snprintf(n->name, sizeof n->name, "n%u", (unsigned)i + 1);
        n->disk.first = 1;
        n->clock_offset = ORR_SECOND * 1000000 + up_to(net, 10 * ORR_SECOND);
        net->members[i] = (struct orr_member){ n->id, n->name };
    }
    for (size_t i = 0; i < net->n; i++) start_node(net, i);
    return net;
}

void net_free(struct net *net) {
    while (net->n_events) {
        struct event e = pop(net);
        drop_event(&e);
    }
    for (size_t i = 0; i < net->n; i++) {
        struct node *n = &net->nodes[i];
        drop_stores(n);
        orr_raft_free(n->r);
        cut_disk(&n->disk, n->disk.first);
        orr_drop(n->disk.snapshot.config);
        orr_drop(n->config);
        free(n->disk.entries);
    }
    orr_chunks_free(net->chunks);
    free(net->events);
    free(net->leaders);
    free(net->commits);
    free(net);
}

const char *net_breach(const struct net *net) { return net->breach[0] ? net->breach : NULL; }
const struct net_report *net_report(const struct net *net) { return &net->report; }
