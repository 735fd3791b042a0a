/* oracle.c - invariants over what nodes say of themselves, checked as they say it.
 *
 * The ledger is the one truth: for each index of a group, the first entry that any node handed out as committed,
 * and the first digest that any had after applying it. Everyone else must agree with it for ever, over crashes
 * and restarts. An index enters the ledger once, in order, and so the shadow (shadow.c) reads each committed
 * entry exactly once. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "lab_internal.h"

struct entry {
    orr_term term;
    orr_term by;                    /* the latest term that was led when it was handed out first: committed by then */
    orr_time time;
    orr_time known_at;              /* virtual: when it was handed out first */
    uint64_t hash, digest;
    uint32_t kind;
    bool known, has_digest;
    uint8_t digester;               /* whose digest it is */
};
struct leadership {
    orr_term term;
    orr_id leader;
};
struct told {                       /* by messages of any of its lives */
    orr_term term;                  /* the greatest that one claimed */
    orr_term voted;                 /* the last in which it voted, for whom */
    orr_id candidate;
};
struct member {                     /* a node as it showed itself in one group */
    struct told told;
    orr_term term;                  /* in this life, as all below */
    orr_index commit, applied;
    enum orr_role role;
};
struct ledger {                     /* one group */
    bool used, seen[LAB_NODES_MAX]; /* seen: the nodes that bear a replica */
    struct entry *entries;          /* [index] */
    size_t cap;
    orr_index committed;            /* highest that anybody handed out */
    struct leadership *leaders;
    size_t n_leaders, cap_leaders;
    orr_term led;                   /* the latest term of them */
    struct member members[LAB_NODES_MAX];
};
struct lab_oracle {
    struct ledger *groups;          /* [slot] */
    size_t n_groups, cap_groups;
    uint64_t starts, elections, claims;
};

int lab_oracle_new(struct orr_lab *lab) {
    lab->oracle = lab->alloc.fn(lab->alloc.ud, NULL, 0, sizeof *lab->oracle);
    if (!lab->oracle) return -ENOMEM;
    memset(lab->oracle, 0, sizeof *lab->oracle);
    return 0;
}
void lab_oracle_free(struct orr_lab *lab) {
    if (!lab->oracle) return;
    struct lab_oracle *o = lab->oracle;
    for (size_t g = 0; g < o->n_groups; g++) {
        struct ledger *l = &o->groups[g];
        if (l->entries) lab->alloc.fn(lab->alloc.ud, l->entries, l->cap * sizeof *l->entries, 0);
        if (l->leaders) lab->alloc.fn(lab->alloc.ud, l->leaders, l->cap_leaders * sizeof *l->leaders, 0);
    }
    if (o->groups) lab->alloc.fn(lab->alloc.ud, o->groups, o->cap_groups * sizeof *o->groups, 0);
    lab->alloc.fn(lab->alloc.ud, lab->oracle, sizeof *lab->oracle, 0);
}

static struct entry *entry_at(struct orr_lab *lab, struct ledger *l, orr_index index) {
    struct entry *entries = lab_grow(lab, l->entries, &l->cap, index + 1, sizeof *entries);
    if (!entries) return NULL;
    l->entries = entries;
    return &entries[index];
}

static struct ledger *ledger_of(struct orr_lab *lab, size_t slot) {
    struct lab_oracle *o = lab->oracle;
    struct ledger *groups = lab_grow(lab, o->groups, &o->cap_groups, slot + 1, sizeof *groups);
    if (!groups) return NULL;
    o->groups = groups;
    if (o->n_groups <= slot) o->n_groups = slot + 1;
    return &groups[slot];
}

/* Leader completeness (paper 5.4.3) is of later leaders: a node that was silent while others went on may find that it
 * has won a term which is over, and lack what was committed since. */
static orr_index committed_before(const struct ledger *l, orr_term term) {
    orr_index index = l->committed;
    while (index > 0 && l->entries[index].by >= term) index--;
    return index;
}

/* -- Elections ----------------------------------------------------------------------------------------------------- */
static void leads(struct orr_lab *lab, struct ledger *l, size_t slot, size_t node, const struct orr_order_status *s) {
    for (size_t i = l->n_leaders; i-- > 0;) {
        if (l->leaders[i].term != s->term) continue;
        int other = lab_node_of(lab, l->leaders[i].leader);
        if (l->leaders[i].leader != s->id)
            lab_violate(lab, "one_leader", "%s and %s both lead term %" PRIu64, lab->cfg.nodes[node].id,
                        other < 0 ? "?" : lab->cfg.nodes[other].id, s->term);
        return;
    }
    struct leadership *leaders = lab_grow(lab, l->leaders, &l->cap_leaders, l->n_leaders + 1, sizeof *leaders);
    if (!leaders) return;
    l->leaders = leaders;
    leaders[l->n_leaders++] = (struct leadership){ s->term, s->id };
    if (s->term > l->led) l->led = s->term;
    orr_index owed = committed_before(l, s->term);
    if (s->last < owed && !lab_disks_remember(lab, slot, owed, l->entries[owed].term, l->seen)) lab->forgotten = true;
    else if (s->last < owed)
        lab_violate(lab, "leader_completeness", "%s leads term %" PRIu64 " with a log that ends at %" PRIu64
                    ", but %" PRIu64 " was committed", lab->cfg.nodes[node].id, s->term, s->last, owed);
    if (lab->cfg.quiet && l->n_leaders > 1)
        lab_violate(lab, "quiet", "%s was elected in term %" PRIu64 " although nothing had happened",
                    lab->cfg.nodes[node].id, s->term);
}

static void on_status(struct orr_lab *lab, struct ledger *l, size_t slot, size_t node,
                      const struct orr_order_status *s) {
    struct member *m = &l->members[node];
    const char *id = lab->cfg.nodes[node].id;
    if (s->term < m->term)
        lab_violate(lab, "monotone", "%s went from term %" PRIu64 " back to %" PRIu64, id, m->term, s->term);
    if (s->commit < m->commit)
        lab_violate(lab, "monotone", "%s went from commit %" PRIu64 " back to %" PRIu64, id, m->commit, s->commit);
    if (s->role == ORR_LEADER && (m->role != ORR_LEADER || s->term != m->term)) leads(lab, l, slot, node, s);
    if (s->role == ORR_CANDIDATE && (m->role != ORR_CANDIDATE || s->term != m->term)) lab->oracle->elections++;
    m->term = s->term;
    m->commit = s->commit;
    m->role = s->role;
}

static const char *name_of(const struct orr_lab *lab, orr_id id) {
    int node = lab_node_of(lab, id);
    return node < 0 ? "nobody" : lab->cfg.nodes[node].id;
}

/* One vote a term (paper 5.2), over restarts too: a second one makes no second leader but where all else goes wrong. */
static void on_claims(struct orr_lab *lab, struct ledger *l, size_t node, const struct orr_claims *c) {
    struct told *told = &l->members[node].told;
    lab->oracle->claims++;
    if (c->term > told->term) told->term = c->term;
    if (!c->vote || c->term < told->voted) return;
    if (c->term == told->voted && c->candidate != told->candidate && !lab_exempt(lab, node))
        lab_violate(lab, "one_vote", "%s votes for %s in term %" PRIu64 " after it had voted for %s",
                    lab->cfg.nodes[node].id, name_of(lab, c->candidate), c->term, name_of(lab, told->candidate));
    told->voted = c->term;
    told->candidate = c->candidate;
}

/* What a node found on its disk: at least the term that it told others of, and the vote, unless the disk was taken from
 * it. */
static void on_recovered(struct orr_lab *lab, struct ledger *l, size_t node, const struct orr_order_status *s) {
    struct member *m = &l->members[node];
    const struct told *told = &m->told;
    if (s->term < told->term && !lab_exempt(lab, node))
        lab_violate(lab, "monotone", "%s came back with term %" PRIu64 " after it had claimed %" PRIu64,
                    lab->cfg.nodes[node].id, s->term, told->term);
    if (s->term == told->voted && s->vote != told->candidate && !lab_exempt(lab, node))
        lab_violate(lab, "one_vote", "%s came back in term %" PRIu64 " with a vote for %s after it had voted for %s",
                    lab->cfg.nodes[node].id, s->term, name_of(lab, s->vote), name_of(lab, told->candidate));
    *m = (struct member){ .told = { s->term, s->vote == ORR_NOBODY ? 0 : s->term, s->vote }, .term = s->term,
                          .applied = m->applied, .role = ORR_FOLLOWER };      /* of a snapshot, in this life */
}

/* -- The log ------------------------------------------------------------------------------------------------------- */
static void on_commit(struct orr_lab *lab, struct ledger *l, size_t slot, size_t node,
                      const struct orr_trace_commit *c) {
    struct member *m = &l->members[node];
    const char *id = lab->cfg.nodes[node].id;
    struct entry *e = entry_at(lab, l, c->index);
    if (!e) return;
    if (c->index <= m->commit && m->commit != 0 && c->index <= m->applied)
        lab_violate(lab, "monotone", "%s handed out index %" PRIu64 " again after %" PRIu64, id, c->index, m->applied);
    if (e->known) {
        if (e->term != c->term || e->hash != c->hash || e->kind != c->kind || e->time != c->time)
            lab_violate(lab, "committed_changed", "%s has an entry of term %" PRIu64 " at index %" PRIu64
                        " where one of term %" PRIu64 " was committed", id, c->term, c->index, e->term);
        return;
    }
    if (c->index != l->committed + 1) {
        lab_violate(lab, "committed_changed", "%s handed out index %" PRIu64 " when %" PRIu64 " was the last committed",
                    id, c->index, l->committed);
        return;
    }
    if (l->committed > 0 && c->time < l->entries[l->committed].time)
        lab_violate(lab, "monotone", "log time goes back at index %" PRIu64, c->index);
    if (l->committed > 0 && c->term < l->entries[l->committed].term)
        lab_violate(lab, "log_matching", "the term goes back at index %" PRIu64, c->index);
    *e = (struct entry){ .term = c->term, .by = l->led, .time = c->time, .hash = c->hash, .kind = c->kind,
                         .known_at = orr_sim_now(lab->sim), .known = true };
    l->committed = c->index;
    lab_shadow_commit(lab, c);
    /* The founding configuration is everybody's. */
    if (c->index > 1) lab_disks_committed(lab, slot, c->index, c->term, l->seen);
}

static void on_apply(struct orr_lab *lab, struct ledger *l, size_t node, const struct orr_trace_apply *a,
                     bool restored) {
    struct member *m = &l->members[node];
    const char *id = lab->cfg.nodes[node].id;
    struct entry *e = entry_at(lab, l, a->index);
    if (!e) return;
    if (!restored && m->applied != 0 && a->index != m->applied + 1)
        lab_violate(lab, "monotone", "%s applied %" PRIu64 " after %" PRIu64, id, a->index, m->applied);
    if (a->index < m->applied)
        lab_violate(lab, "monotone", "%s went back from applied %" PRIu64 " to %" PRIu64, id, m->applied, a->index);
    if (a->index > l->committed)
        lab_violate(lab, "committed_changed", "%s applied %" PRIu64 ", but %" PRIu64 " was the last committed", id,
                    a->index, l->committed);
    m->applied = a->index;
    if (a->digest == 0) return;     /* a machine whose digest is costly: not at every index */
    if (e->has_digest && e->digest != a->digest)
        lab_violate(lab, "digest", "group %s: the states of %s and %s differ at index %" PRIu64 ": what they apply "
                    "depends on more than the log, or a read changes the state", a->name, id,
                    lab->cfg.nodes[e->digester].id, a->index);
    if (!e->has_digest) e->digester = (uint8_t)node;
    e->has_digest = true;
    e->digest = a->digest;
}

static void on_ack(struct orr_lab *lab, struct ledger *l, size_t node, const struct orr_trace_ack *a) {
    if (a->index > l->committed || a->index == 0)
        lab_violate(lab, "acknowledged_lost", "%s acknowledged a write at index %" PRIu64 ", but %" PRIu64
                    " was the last committed", lab->cfg.nodes[node].id, a->index, l->committed);
}

static void on_read(struct orr_lab *lab, size_t node, const struct orr_trace_read *r) {
    if (r->index < r->read_index)
        lab_violate(lab, "linearizable", "%s served a read at index %" PRIu64 " that wanted %" PRIu64,
                    lab->cfg.nodes[node].id, r->index, r->read_index);
}

/* -- Leases and ages ----------------------------------------------------------------------------------------------- */
/* What was known `age` ago. Clocks run apart, so a little more than that. */
static orr_index committed_ago(const struct orr_lab *lab, const struct ledger *l, orr_time age) {
    orr_time then = orr_sim_now(lab->sim) - age - age / 500;
    orr_index index = l->committed;
    while (index > 0 && l->entries[index].known_at >= then) index--;
    return index;
}

/* Whoever holds a lease leads alone, whether he is asked or not; and a copy has all that it says. */
static void on_lease(struct orr_lab *lab, const struct ledger *l, size_t node, const struct orr_trace_lease *t) {
    const char *id = lab->cfg.nodes[node].id;
    if (t->held && l->led > t->term)
        lab_violate(lab, "lease", "%s would answer reads by its lease of term %" PRIu64 ", but term %" PRIu64 " is led",
                    id, t->term, l->led);
    if (t->held && l->committed > t->commit)
        lab_violate(lab, "lease", "%s would answer reads by its lease at index %" PRIu64 ", but %" PRIu64
                    " is committed", id, t->commit, l->committed);
    if (t->age == ORR_NEVER || !lab_times_steady(lab, t->age)) return;
    orr_index owed = committed_ago(lab, l, t->age);
    if (t->applied < owed)
        lab_violate(lab, "age", "%s says that its copy, at index %" PRIu64 ", is %.6f s old at most, but %" PRIu64
                    " was committed before", id, t->applied, (double)t->age / 1e9, owed);
}

void lab_oracle_trace(struct orr_lab *lab, const char *name, uint32_t group, unsigned kind, const void *event) {
    int node = lab_node_named(lab, name);
    size_t slot = lab_slot(lab, group);
    if (node < 0 || slot == SIZE_MAX) return;
    struct ledger *l = ledger_of(lab, slot);
    if (!l) return;
    l->used = l->seen[node] = true;
    switch (kind) {
    case ORR_TRACE_STATUS: on_status(lab, l, slot, (size_t)node, event); break;
    case ORR_TRACE_RECOVERED: on_recovered(lab, l, (size_t)node, event); break;
    case ORR_TRACE_COMMIT: on_commit(lab, l, slot, (size_t)node, event); break;
    case ORR_TRACE_APPLY: on_apply(lab, l, (size_t)node, event, false); break;
    case ORR_TRACE_RESTORE: on_apply(lab, l, (size_t)node, event, true); break;
    case ORR_TRACE_ACK: on_ack(lab, l, (size_t)node, event); break;
    case ORR_TRACE_READ: on_read(lab, (size_t)node, event); break;
    case ORR_TRACE_LEASE: on_lease(lab, l, (size_t)node, event); break;
    case ORR_TRACE_SEND: {
        const struct orr_trace_send *s = event;
        on_claims(lab, l, (size_t)node, &s->claims);
        lab_disks_claim(lab, (size_t)node, slot, &s->claims);
        break;
    }
    default: break;
    }
}

/* -- Lives --------------------------------------------------------------------------------------------------------- */
/* Which faults so far explain that a node ends by itself with this code. */
static bool explained(const struct orr_lab *lab, size_t node, int code) {
    const uint64_t *n = orr_sim_counts(lab->sim);
    bool disk = n[ORR_SIM_SYNC_ERROR] || n[ORR_SIM_WRITE_ERROR] || n[ORR_SIM_READ_ERROR] || n[ORR_SIM_DISK_FULL];
    bool memory = n[ORR_SIM_ALLOC] != 0;
    if (code == 0) return true;
    if (lab_exempt(lab, node)) return true;
    return memory || (code == 4 && disk);
}
void lab_oracle_life(struct orr_lab *lab, const char *name, enum orr_sim_state state, int code, const char *why) {
    int node = lab_node_named(lab, name);
    if (node < 0) return;
    bool goes_on = state == ORR_SIM_UP && lab->paused[node];       /* it stood still: that is no new life */
    lab_members_life(lab, (size_t)node, state);
    lab->paused[node] = state == ORR_SIM_PAUSED;
    if (state == ORR_SIM_UP && !goes_on) {
        lab->oracle->starts++;
        lab_times_start(lab, (size_t)node);
        lab_disks_start(lab, (size_t)node);
        for (size_t g = 0; g < lab->oracle->n_groups; g++) {
            struct member *m = &lab->oracle->groups[g].members[node];
            *m = (struct member){ .told = m->told };
        }
    } else if (state == ORR_SIM_DOWN && code != 0 && !explained(lab, (size_t)node, code)) {
        lab_violate(lab, "crash", "node %s ended: %s", name, why ? why : "no reason given");
    }
}

bool lab_oracle_converged(const struct orr_lab *lab, const char **behind) {
    for (size_t g = 0; g < lab->oracle->n_groups; g++) {
        const struct ledger *l = &lab->oracle->groups[g];
        for (size_t i = 0; l->used && i < lab->cfg.n_nodes; i++) {
            if (!l->seen[i] || l->members[i].applied == l->committed) continue;
            if (lab->excused[i] || lab_exempt(lab, i)) continue;
            *behind = lab->cfg.nodes[i].id;
            return false;
        }
    }
    return true;
}

void lab_oracle_account(struct orr_lab *lab) {
    struct orr_lab_result *r = &lab->result;
    r->committed = r->leaders = 0;
    r->elections = lab->oracle->elections;
    r->claims = lab->oracle->claims;
    r->restarts = lab->oracle->starts - lab->cfg.n_nodes;
    for (size_t g = 0; g < lab->oracle->n_groups; g++) {
        r->committed += lab->oracle->groups[g].committed;
        r->leaders += lab->oracle->groups[g].n_leaders;
    }
}
