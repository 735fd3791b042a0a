/* fault.c - the kinds of faults: names, rates, and when each strikes at each node.
 *
 * A fault that may strike at each operation is not drawn each time: the number of operations up to the next strike is
 * drawn (it is geometric) and counted down, so a rate of zero costs one comparison. orr_sim_arm sets that number by
 * hand: a strike is named by (node, kind, number), which is what a shrinker writes down. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim/disk.h"

static const char *const names[] = {
#define ORR_X(fault, name, unit) name,
    ORR_SIM_FAULTS(ORR_X)
#undef ORR_X
};
static const char *const units[] = {
#define ORR_X(fault, name, unit) #unit,
    ORR_SIM_FAULTS(ORR_X)
#undef ORR_X
};

const char *orr_sim_fault_name(enum orr_sim_fault kind) { return (unsigned)kind < ORR_SIM_KINDS ? names[kind] : NULL; }
const char *orr_sim_fault_unit(enum orr_sim_fault kind) { return (unsigned)kind < ORR_SIM_KINDS ? units[kind] : NULL; }

int orr_sim_fault_by_name(const char *name) {
    for (int i = 0; i < ORR_SIM_KINDS; i++) {
        if (strcmp(names[i], name) == 0) return i;
    }
    return -ENOENT;
}

void orr_sim_faults_init(struct orr_sim_faults *faults) {
    *faults = (struct orr_sim_faults){ .budget = ORR_SIM_MINORITY };
    faults->down_mean = ORR_SECOND;
    faults->pause_mean = 500 * ORR_MS;
    faults->cut_mean = ORR_SECOND;
    faults->slower = 1;
    faults->rate[ORR_SIM_TURN_CUT] = 0.02;
    faults->rate[ORR_SIM_SHORT_READ] = 0.02;
    faults->rate[ORR_SIM_RARE] = 0.001;
}

void orr_sim_faults_default(struct orr_sim_faults *faults) {
    static const struct { enum orr_sim_fault kind; double rate;
    } defaults[] = {
        { ORR_SIM_LOSS, 0.02 },         { ORR_SIM_DUPLICATE, 0.01 },     { ORR_SIM_REORDER, 0.02 },
        { ORR_SIM_DELAY, 0.002 },       { ORR_SIM_RESET, 0.3 },          { ORR_SIM_STALL, 0.2 },
        { ORR_SIM_SLOW, 0.1 },          { ORR_SIM_CUT, 0.15 },           { ORR_SIM_CUT_ONE_WAY, 0.15 },
        { ORR_SIM_PARTITION, 0.1 },     { ORR_SIM_CRASH, 0.15 },         { ORR_SIM_CRASH_SUBMITTED, 0.05 },
        { ORR_SIM_CRASH_WRITTEN, 0.1 }, { ORR_SIM_CRASH_SYNCED, 0.05 },  { ORR_SIM_CRASH_PROCESS, 0.3 },
        { ORR_SIM_CRASH_SILENT, 0.3 },  { ORR_SIM_PAUSE, 0.1 },          { ORR_SIM_WRITE_ERROR, 0.00002 },
        { ORR_SIM_READ_ERROR, 0.0002 }, { ORR_SIM_SYNC_ERROR, 0.00005 }, { ORR_SIM_SYNC_HANG, 0.0001 },
        { ORR_SIM_DISK_FULL, 0.03 },    { ORR_SIM_CLOCK_STEP, 0.05 },    { ORR_SIM_CLOCK_DRIFT, 0.05 },
    };
    orr_sim_faults_init(faults);
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) faults->rate[defaults[i].kind] = defaults[i].rate;
}

/* -- Strikes ----------------------------------------------------------------------------------------------------- */
static uint64_t draw_gap(struct orr_rng *rng, double rate) {
    if (!(rate > 0)) return 0;
    if (rate < 0.2) return 1 + (uint64_t)orri_expo(rng, (orr_time)(1 / rate));
    uint64_t gap = 1;
    while (!orri_rng_chance(rng, rate)) gap++;
    return gap;
}

/* TIMED kinds strike where chaos or arm aims them, never by a rate. */
static double rate_of(const struct orri_node *node, enum orr_sim_fault kind) {
    if (node->aims[kind].own >= 0 && kind != ORR_SIM_ROT) return node->aims[kind].own;
    return strcmp(units[kind], "OP") == 0 && kind != ORR_SIM_RARE ? node->sim->rates.rate[kind] : 0;
}

static void draw(struct orri_node *node, enum orr_sim_fault kind) {
    struct orri_aim *aim = &node->aims[kind];
    aim->rate = rate_of(node, kind);
    aim->left = draw_gap(&aim->rng, aim->rate);
}

/* What has kept its rate keeps its next strike: so a run with chaos differs from one without by chaos's strikes alone,
 * and they can be played again. */
void orri_aims_draw(struct orri_node *node) {
    for (unsigned i = 0; i < ORR_SIM_KINDS; i++) {
        struct orri_aim *aim = &node->aims[i];
        bool fresh = !aim->seeded;
        if (fresh) orri_sim_rng(node->sim, &aim->rng, names[i], node->name);
        if (fresh) aim->own = -1;
        aim->seeded = true;
        double rate = rate_of(node, (enum orr_sim_fault)i);
        if (!aim->armed && (fresh || rate < aim->rate || rate > aim->rate)) draw(node, (enum orr_sim_fault)i);
    }
    orri_rare_draw(node);
}

/* The next one armed, or else the next one drawn. */
static void aim_next(struct orri_node *node, enum orr_sim_fault kind) {
    struct orri_aim *aim = &node->aims[kind];
    aim->by_chaos = false;
    if (aim->n_more == 0) {
        aim->armed = false;
        draw(node, kind);
        return;
    }
    aim->left = aim->more[0];
    aim->n_more--;
    memmove(aim->more, aim->more + 1, aim->n_more * sizeof aim->more[0]);
}

static bool is_crash(enum orr_sim_fault kind) { return kind >= ORR_SIM_CRASH && kind <= ORR_SIM_CRASH_SYNCED; }

/* A crash is told when the node is up again; what the config's own rates do comes again without being told. */
static void tell_strike(struct orri_node *node, enum orr_sim_fault kind, bool by_chaos) {
    struct orr_sim *sim = node->sim;
    struct orr_sim_strike strike = { .from = sim->now, .till = sim->now, .kind = kind, .node = node->name,
                                     .amount = (int64_t)node->aims[kind].nth };
    if (is_crash(kind)) {
        if (by_chaos) node->crash = strike;
        return;
    }
    double rate = sim->rates.rate[kind], own = sim->config.faults.rate[kind];
    if (!node->aims[kind].armed && node->aims[kind].own < 0 && (rate < own || rate > own)) orri_sim_told(sim, &strike);
}

bool orri_strike_now(struct orri_node *node, enum orr_sim_fault kind) {
    tell_strike(node, kind, node->aims[kind].by_chaos);
    aim_next(node, kind);
    orri_sim_count(node->sim, kind);
    if (kind != ORR_SIM_TURN_CUT && kind != ORR_SIM_SHORT_READ)
        ORRI_SAY(node->sim, node->name, "FAULT %s", names[kind]);
    return true;
}

/* How many of the set a majority can do without, besides those that are damaged and those of the other set. */
static int spare_of(const struct orr_sim *sim, uint64_t set, uint64_t without) {
    int members = 0, lost = 0;
    for (unsigned i = 0; i < sim->n_nodes; i++) {
        if (set != UINT64_MAX && (i >= 64 || !(set >> i & 1))) continue;
        members++;
        lost += sim->nodes[i]->disk->damaged || (i < 64 && (without >> i & 1));
    }
    return (members - 1) / 2 - lost;
}

/* May one more node of the set be damaged? */
static bool bears(const struct orr_sim *sim, uint64_t set) { return spare_of(sim, set, 0) > 0; }

bool orr_sim_bears(const struct orr_sim *sim, uint64_t without) {
    if (sim->n_quorums == 0) return spare_of(sim, UINT64_MAX, without) >= 0;
    unsigned i = 0;
    while (i < sim->n_quorums && spare_of(sim, sim->quorums[i], without) >= 0) i++;
    return i == sim->n_quorums;
}

bool orri_may_damage(const struct orri_node *node, enum orr_sim_fault kind) {
    const struct orr_sim *sim = node->sim;
    bool by_hand = kind < ORR_SIM_KINDS && (node->aims[kind].armed || node->aims[kind].own >= 0);
    if (node->disk->damaged || by_hand) return true;
    unsigned budget = sim->rates.budget, damaged = 0;
    bool decides = false;
    for (unsigned i = 0; i < sim->n_nodes; i++) damaged += sim->nodes[i]->disk->damaged;
    if (budget < ORR_SIM_QUORUMS && damaged >= budget) return false;
    if (budget == ORR_SIM_MINORITY && sim->n_quorums == 0 && !bears(sim, UINT64_MAX)) return false;
    for (unsigned i = 0; i < sim->n_quorums; i++) {
        bool of_it = node->index < 64 && sim->quorums[i] >> node->index & 1;
        if (of_it && !bears(sim, sim->quorums[i])) return false;
        decides = decides || of_it;
    }
    return decides || budget != ORR_SIM_QUORUMS;
}

int orr_sim_quorum(struct orr_sim *sim, uint64_t members) {
    for (unsigned i = 0; i < sim->n_quorums; i++) {
        if (sim->quorums[i] == members) return 0;
    }
    if (sim->n_quorums == ORRI_QUORUMS_MAX) return ORR_EFULL;
    sim->quorums[sim->n_quorums++] = members;
    return 0;
}

/* -- By hand ----------------------------------------------------------------------------------------------------- */
static void disarm(struct orri_node *node, enum orr_sim_fault kind) {
    struct orri_aim *aim = &node->aims[kind];
    aim->n_more = 0;
    if (aim->armed) aim_next(node, kind);
}

void orri_aims_disarm(struct orri_node *node) {
    for (unsigned i = 0; i < ORR_SIM_KINDS; i++) {
        disarm(node, (enum orr_sim_fault)i);
        if (node->aims[i].own >= 0) (void)orr_sim_rate(node->sim, node->name, (enum orr_sim_fault)i, -1);
    }
    node->next_crash = -1;
}

/* Between those that are armed already: `left` leads to the first, more[] from each to the next. */
static int insert(struct orri_aim *aim, uint64_t nth) {
    uint64_t first = aim->left;
    uint64_t gap = nth > first ? nth - first : first - nth;  /* from the one before it, or to the one that was first */
    unsigned at = 0;
    while (nth > first && at < aim->n_more && gap > aim->more[at]) gap -= aim->more[at++];
    if (gap == 0 || (nth > first && at < aim->n_more && gap == aim->more[at])) return 0;
    if (aim->n_more == ORRI_ARMED_MAX - 1) return ORR_EFULL;
    if (nth < first) aim->left = nth;
    else if (at < aim->n_more) aim->more[at] -= gap;
    memmove(aim->more + at + 1, aim->more + at, (aim->n_more - at) * sizeof aim->more[0]);
    aim->more[at] = gap;
    aim->n_more++;
    return 0;
}

void orri_aim_crash(struct orri_node *node, enum orr_sim_fault kind, uint64_t nth) {
    struct orri_aim *aim = &node->aims[kind];
    aim->n_more = 0;
    aim->left = nth;
    aim->armed = aim->by_chaos = true;
}

int orr_sim_arm(struct orr_sim *sim, const char *name, enum orr_sim_fault kind, uint64_t nth) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    if (!is_crash(kind) && (kind == ORR_SIM_RARE || strcmp(units[kind], "OP") != 0)) return ORR_EINVALID;
    struct orri_aim *aim = &node->aims[kind];
    if (nth == 0) {
        disarm(node, kind);
    } else if (aim->armed && !aim->by_chaos) {
        return insert(aim, nth);
    } else {
        aim->left = nth;
        aim->armed = true;
        aim->by_chaos = false;
    }
    return 0;
}

int orr_sim_arm_crash(struct orr_sim *sim, const char *name, enum orr_sim_fault kind, uint64_t nth, unsigned how) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    if (!is_crash(kind)) return ORR_EINVALID;
    node->next_crash = (int)how;
    return orr_sim_arm(sim, name, kind, nth);
}

/* -- A node's own rates ------------------------------------------------------------------------------------------ */
bool orri_rot(struct orri_node *node, struct orr_rng *rng, const char **path, uint64_t *at) {
    const struct orr_sim *sim = node->sim;
    uint64_t size = 0;
    size_t n = 0;
    while (orr_sim_disk_durable_name(sim, node->name, n)) n++;
    if (n == 0) return false;
    *path = orr_sim_disk_durable_name(sim, node->name, (size_t)orri_rng_below(rng, n));
    (void)orr_sim_disk_durable_size(sim, node->name, *path, &size);
    if (size == 0) return false;
    *at = orri_rng_below(rng, size);
    (void)orr_sim_disk_rot(node->sim, node->name, *path, *at);
    return true;
}

static void rot_next(struct orri_node *node) {
    const struct orri_aim *aim = &node->aims[ORR_SIM_ROT];
    orri_sim_unset(node->sim, &node->rot);
    if (!(aim->own > 0)) return;
    orr_time after = orri_expo(&node->aims[ORR_SIM_ROT].rng, (orr_time)((double)ORR_SECOND / aim->own));
    orri_sim_set(node->sim, &node->rot, node->sim->now + after + 1);
}

void orri_rot_fire(struct orri_tick *tick) {
    struct orri_node *node = ORRI_CONTAINER(tick, struct orri_node, rot);
    const char *path;
    uint64_t at;
    (void)orri_rot(node, &node->aims[ORR_SIM_ROT].rng, &path, &at);
    rot_next(node);
}

int orr_sim_rate(struct orr_sim *sim, const char *name, enum orr_sim_fault kind, double rate) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    bool op = kind != ORR_SIM_RARE && strcmp(units[kind], "OP") == 0;
    if ((!op && kind != ORR_SIM_ROT) || (op && rate > 1)) return ORR_EINVALID;
    node->aims[kind].own = rate < 0 ? -1 : rate;
    if (kind == ORR_SIM_ROT) rot_next(node);
    else orri_aims_draw(node);
    return 0;
}
