/* support/member_net.c - see the header. Packets on their way and nodes' deadlines lie in one heap of timers, which has
 * a total order, so a run is its seed. */
#include "support/member_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/heap.h"

enum { WAITING_MAX = 64 };

struct flight {
    struct orr_timer timer;         /* first */
    uint32_t from, to;
    uint32_t size;
    struct flight *after;           /* among those that wait for a paused node */
    unsigned char bytes[];
};
struct node {
    struct orr_timer timer;         /* first */
    struct orr_membership *m;
    bool paused, leaving;
    uint64_t starts;
    char name[16];
    orr_id id;
    struct flight *first, *last;
    size_t n_waiting;
};
struct mnet {
    struct mnet_options o;
    struct orr_rng rng;
    struct orr_heap timers;
    orr_time now;
    struct node *nodes;
    uint32_t *by_id;                /* open addressing; number + 1 */
    size_t cap;
    bool *cuts;
    uint64_t packets, digest;
};

static void *get(size_t n, size_t each) {
    void *p = calloc(n ? n : 1, each);
    ORR_ASSERT(p);
    return p;
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static size_t slot(const struct mnet *net, orr_id id) {
    size_t at = (size_t)id & (net->cap - 1);
    while (net->by_id[at] && net->nodes[net->by_id[at] - 1].id != id) at = (at + 1) & (net->cap - 1);
    return at;
}

struct mnet *mnet_new(const struct mnet_options *o) {
    struct mnet *net = get(1, sizeof *net);
    net->o = *o;
    orri_rng_init(&net->rng, o->seed);
    orri_heap_init(&net->timers, &orr_alloc_libc);
    net->now = ORR_SECOND;
    net->nodes = get(o->n, sizeof *net->nodes);
    net->cuts = get(o->n * o->n, sizeof *net->cuts);
    for (net->cap = 8; net->cap < 2 * o->n; net->cap *= 2) continue;
    net->by_id = get(net->cap, sizeof *net->by_id);
    for (size_t i = 0; i < o->n; i++) {
        snprintf(net->nodes[i].name, sizeof net->nodes[i].name, "n%04u", (unsigned)i);
        net->nodes[i].id = orr_id_of(net->nodes[i].name);
        net->by_id[slot(net, net->nodes[i].id)] = (uint32_t)i + 1;
    }
    return net;
}

static bool is_node(const struct mnet *net, const struct orr_timer *t) {
    uintptr_t at = (uintptr_t)t;
    return at >= (uintptr_t)net->nodes && at < (uintptr_t)(net->nodes + net->o.n);
}

static void drop_waiting(struct node *n) {
    for (struct flight *f = n->first, *after; f; f = after) {
        after = f->after;
        free(f);
    }
    n->first = n->last = NULL;
    n->n_waiting = 0;
}

void mnet_free(struct mnet *net) {
    if (!net) return;
    for (struct orr_timer *t; (t = orri_heap_due(&net->timers, INT64_MAX));) {
        if (!is_node(net, t)) free(t);
    }
    for (size_t i = 0; i < net->o.n; i++) {
        orr_membership_free(net->nodes[i].m);
        drop_waiting(&net->nodes[i]);
    }
    orri_heap_clear(&net->timers);
    free(net->nodes);
    free(net->cuts);
    free(net->by_id);
    free(net);
}

/* -- Packets ------------------------------------------------------------------------------------------------------- */
static orr_time delay(struct mnet *net, size_t from, size_t to) {
    if (net->o.delay) return net->o.delay(net->o.ud, &net->rng, net->now, from, to);
    return net->o.delay_min + (orr_time)orri_rng_below(&net->rng, (uint64_t)(net->o.delay_max - net->o.delay_min) + 1);
}

static void fly(struct mnet *net, size_t from, size_t to, struct orr_slice bytes) {
    orr_time takes = delay(net, from, to);
    if (takes < 0) return;
    struct flight *f = malloc(sizeof *f + bytes.size);
    ORR_ASSERT(f);
    *f = (struct flight){ .from = (uint32_t)from, .to = (uint32_t)to, .size = (uint32_t)bytes.size };
    memcpy(f->bytes, bytes.at, bytes.size);
    int rc = orri_heap_set(&net->timers, &f->timer, net->now + takes);
    ORR_ASSERT(rc == 0);
}

static void send(struct mnet *net, size_t from, orr_id id, struct orr_slice bytes) {
    size_t to = mnet_number(net, id);
    if (to == SIZE_MAX || net->cuts[from * net->o.n + to]) return;
    if (net->o.cut && net->o.cut(net->o.ud, from, to, bytes)) return;
    if (orri_rng_chance(&net->rng, net->o.loss)) return;
    fly(net, from, to, bytes);
    if (orri_rng_chance(&net->rng, net->o.duplicate)) fly(net, from, to, bytes);
}

static void end(struct mnet *net, size_t i) {
    struct node *n = &net->nodes[i];
    orri_heap_unset(&net->timers, &n->timer);
    orr_membership_free(n->m);
    n->m = NULL;
    n->paused = n->leaving = false;
    drop_waiting(n);
}

void mnet_took(struct mnet *net, size_t i) {
    struct node *n = &net->nodes[i];
    for (const struct orr_membership_ready *r; (r = orr_membership_ready(n->m));) {
        if (r->kind == ORR_MEMBERSHIP_PACKET) send(net, i, r->packet.to, r->packet.bytes);
        else if (net->o.event) net->o.event(net->o.ud, i, r);
    }
    if (n->leaving && orr_membership_gone(n->m)) {
        end(net, i);
        return;
    }
    orr_time at = n->paused ? ORR_NEVER : orr_membership_deadline(n->m);
    int rc = orri_heap_set(&net->timers, &n->timer, at != ORR_NEVER && at < net->now ? net->now : at);
    ORR_ASSERT(rc == 0);
}

static void take(struct mnet *net, const struct flight *f) {
    struct node *n = &net->nodes[f->to];
    uint64_t parts[3] = { (uint64_t)net->now, f->from, f->to };
    net->digest = orri_mix64(net->digest, orri_hash64(parts, sizeof parts, orri_hash64(f->bytes, f->size, 0)));
    net->packets++;
    (void)orr_membership_recv(n->m, net->now, net->nodes[f->from].id, orr_borrow(f->bytes, f->size));
    mnet_took(net, f->to);
}

static void arrive(struct mnet *net, struct flight *f) {
    struct node *n = &net->nodes[f->to];
    if (n->m && n->paused && n->n_waiting < WAITING_MAX) {
        n->n_waiting++;
        if (n->last) n->last->after = f;
        else n->first = f;
        n->last = f;
        return;
    }
    if (n->m && !n->paused) take(net, f);
    free(f);
}

/* -- What is done to it -------------------------------------------------------------------------------------------- */
void mnet_start(struct mnet *net, size_t i) {
    struct node *n = &net->nodes[i];
    struct orr_membership_config cfg = net->o.cfg;
    if (n->m) end(net, i);
    cfg.self.name = n->name;
    if (!cfg.self.address) cfg.self.address = n->name;
    cfg.self.incarnation = ++n->starts << 32;
    cfg.seed = (uint32_t)orri_rng_next(&net->rng);
    if (net->o.seeds) cfg.open = true;
    int rc = orr_membership_new(&n->m, &cfg, net->now, NULL);
    ORR_ASSERT(rc == 0);
    size_t known = net->o.seeds ? net->o.seeds : net->o.n;
    for (size_t k = 0; k < known; k++) {
        bool may_talk = !net->o.may_talk || net->o.may_talk(net->o.ud, i, k);
        if (k != i) rc = orr_membership_know(n->m, net->now, net->nodes[k].name, net->nodes[k].name, may_talk);
        ORR_ASSERT(rc == 0);
    }
    mnet_took(net, i);
}

void mnet_kill(struct mnet *net, size_t i) {
    if (net->nodes[i].m) end(net, i);
}

void mnet_leave(struct mnet *net, size_t i) {
    struct node *n = &net->nodes[i];
    if (!n->m || n->leaving) return;
    n->leaving = true;
    orr_membership_leave(n->m, net->now);
    mnet_took(net, i);
}

void mnet_pause(struct mnet *net, size_t i, bool paused) {
    struct node *n = &net->nodes[i];
    if (!n->m || n->paused == paused) return;
    n->paused = paused;
    struct flight *f = n->first;
    n->first = n->last = NULL;
    n->n_waiting = 0;
    for (struct flight *after; f; f = after) {
        after = f->after;
        if (n->m) take(net, f);
        free(f);
    }
    if (n->m) mnet_took(net, i);
}

void mnet_cut(struct mnet *net, size_t from, size_t to, bool cut) { net->cuts[from * net->o.n + to] = cut; }

void mnet_heal(struct mnet *net) {
    memset(net->cuts, 0, net->o.n * net->o.n * sizeof *net->cuts);
    net->o.loss = net->o.duplicate = 0;
    for (size_t i = 0; i < net->o.n; i++) mnet_pause(net, i, false);
}

bool mnet_step(struct mnet *net) {
    orr_time at = orri_heap_next(&net->timers);
    if (at == ORR_NEVER) return false;
    if (at > net->now) net->now = at;
    struct orr_timer *t = orri_heap_due(&net->timers, net->now);
    if (!is_node(net, t)) {
        arrive(net, (struct flight *)t);
        return true;
    }
    struct node *n = (struct node *)t;
    orr_membership_tick(n->m, net->now);
    mnet_took(net, (size_t)(n - net->nodes));
    return true;
}

void mnet_run(struct mnet *net, orr_time by) {
    orr_time until = net->now + by;
    while (orri_heap_next(&net->timers) <= until) mnet_step(net);
    net->now = until;
}

/* -- What is seen -------------------------------------------------------------------------------------------------- */
orr_time mnet_now(const struct mnet *net) { return net->now; }
struct orr_membership *mnet_of(const struct mnet *net, size_t i) { return net->nodes[i].m; }
bool mnet_is_paused(const struct mnet *net, size_t i) { return net->nodes[i].paused; }
bool mnet_is_leaving(const struct mnet *net, size_t i) { return net->nodes[i].leaving; }
orr_id mnet_id(const struct mnet *net, size_t i) { return net->nodes[i].id; }
const char *mnet_name(const struct mnet *net, size_t i) { return net->nodes[i].name; }
uint64_t mnet_packets(const struct mnet *net) { return net->packets; }
uint64_t mnet_digest(const struct mnet *net) { return net->digest; }

size_t mnet_number(const struct mnet *net, orr_id id) {
    uint32_t at = net->by_id[slot(net, id)];
    return at ? at - 1 : SIZE_MAX;
}

int mnet_sees(const struct mnet *net, size_t at, size_t of) {
    struct orr_member_info member;
    if (!net->nodes[at].m || !orr_membership_find(net->nodes[at].m, net->nodes[of].id, &member)) return -1;
    return (int)member.state;
}
