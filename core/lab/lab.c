/* lab.c - one run of the laboratory: build the cluster, let faults strike, heal, wait for answers, judge. */
#include "lab_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void orr_lab_config_init(struct orr_lab_config *cfg) {
    *cfg = (struct orr_lab_config){ .size = sizeof *cfg, .run = 30 * ORR_SECOND, .liveness_bound = 10 * ORR_SECOND,
                                    .clients = 4, .keys = 3, .think = 10 * ORR_MS, .pipeline_max = 4 };
    orr_sim_config_init(&cfg->sim);
    cfg->sim.seed = 1;
}

/* -- Shared by the other files ------------------------------------------------------------------------------------- */
/* Nothing is promised once a majority of the disks is gone, nor once a damaged one has made a majority forget. */
static bool beyond_bearing(const struct orr_lab *lab) {
    size_t gone = 0;
    for (size_t i = 0; i < lab->cfg.n_nodes; i++) gone += lab_exempt(lab, i);
    return lab->forgotten || (gone > 0 && 2 * gone >= lab->cfg.n_nodes);
}

void lab_violate(struct orr_lab *lab, const char *property, const char *format, ...) {
    if (!lab->result.ok || beyond_bearing(lab)) return;
    lab->result.ok = false;
    snprintf(lab->result.property, sizeof lab->result.property, "%s", property);
    char *at = lab->result.violation;
    size_t size = sizeof lab->result.violation;
    int n = snprintf(at, size, "at %.6f s: ", (double)orr_sim_now(lab->sim) / 1e9);
    va_list args;
    va_start(args, format);
    vsnprintf(at + n, size - (size_t)n, format, args);
    va_end(args);
    if (lab->cfg.violated) lab->cfg.violated(lab->cfg.sim.ud, orr_sim_now(lab->sim), property, at + n);
    orr_sim_stop(lab->sim);
}

int lab_node_named(const struct orr_lab *lab, const char *name) {
    for (size_t i = 0; i < lab->cfg.n_nodes; i++)      /* the simulator's own names, mostly */
        if (lab->names[i] == name) return (int)i;
    for (size_t i = 0; i < lab->cfg.n_nodes; i++)
        if (strcmp(lab->cfg.nodes[i].id, name) == 0) return (int)i;
    return -1;
}

int lab_node_of(const struct orr_lab *lab, orr_id id) {
    for (size_t i = 0; i < lab->cfg.n_nodes; i++)
        if (orr_id_of(lab->cfg.nodes[i].id) == id) return (int)i;
    return -1;
}

size_t lab_slot(struct orr_lab *lab, uint32_t group) {
    for (size_t i = 0; i < lab->n_groups; i++)
        if (lab->groups[i] == group) return i;
    uint32_t *groups = lab_grow(lab, lab->groups, &lab->cap_groups, lab->n_groups + 1, sizeof *groups);
    if (!groups) return SIZE_MAX;
    lab->groups = groups;
    groups[lab->n_groups] = group;
    return lab->n_groups++;
}

void *lab_grow(struct orr_lab *lab, void *array, size_t *cap, size_t need, size_t each) {
    if (need <= *cap) return array;
    size_t grown = *cap ? 2 * *cap : 64;
    while (grown < need) grown *= 2;
    void *at = lab->alloc.fn(lab->alloc.ud, array, *cap * each, grown * each);
    if (!at) {
        lab->out_of_memory = true;
        orr_sim_stop(lab->sim);
        return NULL;
    }
    memset((char *)at + *cap * each, 0, (grown - *cap) * each);
    *cap = grown;
    return at;
}

size_t lab_begin(struct orr_lab *lab, const struct orr_operation *op) {
    lab_fold_if_due(lab);
    struct orr_operation *ops = lab_grow(lab, lab->ops, &lab->cap_ops, lab->n_ops + 1, sizeof *ops);
    if (ops) lab->ops = ops;
    uint64_t *serials = lab_grow(lab, lab->serials, &lab->cap_serials, lab->n_ops + 1, sizeof *serials);
    if (serials) lab->serials = serials;
    if (!ops || !serials) return SIZE_MAX;
    serials[lab->n_ops] = ++lab->begun;
    ops[lab->n_ops] = *op;
    return lab->n_ops++;
}

struct orr_operation *lab_operation(struct orr_lab *lab, uint64_t serial) {
    size_t from = 0, to = lab->n_ops;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (lab->serials[mid] < serial) from = mid + 1;
        else to = mid;
    }
    return from < lab->n_ops && lab->serials[from] == serial ? &lab->ops[from] : NULL;
}

bool lab_exempt(const struct orr_lab *lab, size_t node) {
    return orr_sim_disk_damaged(lab->sim, lab->cfg.nodes[node].id);
}

/* -- What the simulation tells ------------------------------------------------------------------------------------- */
static void on_trace(void *ud, orr_time now, const char *node, uint32_t group, unsigned kind, const void *event,
                     size_t size) {
    struct orr_lab *lab = ud;
    (void)now;
    (void)size;
    bool of_node = kind == ORR_TRACE_CLOCK || kind == ORR_TRACE_TIME || kind == ORR_TRACE_STAMP;
    int of = of_node || kind == ORR_TRACE_MEMBER ? lab_node_named(lab, node) : -1;
    if (of >= 0 && kind == ORR_TRACE_MEMBER) lab_members_trace(lab, (size_t)of, event);
    else if (of >= 0) lab_times_trace(lab, (size_t)of, kind, event);
    else lab_oracle_trace(lab, node, group, kind, event);
}
static void on_life(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why) {
    (void)now;
    lab_oracle_life(ud, node, state, code, why);
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static int start_nodes(struct orr_lab *lab) {
    for (size_t i = 0; i < lab->cfg.n_nodes; i++) {
        int rc = orr_sim_add(lab->sim, lab->nodes[i].id, &lab->cfg.boot);
        if (rc < 0) return rc;
        lab->names[i] = orr_sim_node_name(lab->sim, i);
        if ((rc = orr_sim_start(lab->sim, lab->nodes[i].id)) < 0) return rc;
    }
    return 0;
}

static int build(struct orr_lab *lab) {
    struct orr_sim_config sim = lab->cfg.sim;
    sim.judge = (struct orr_sim_judge){ on_trace, on_life, lab };
    size_t places = lab->cfg.n_nodes + lab->cfg.n_ntp;
    if (sim.nodes_max < places) sim.nodes_max = (unsigned)places;
    size_t cap = 0;
    lab->nodes = lab_grow(lab, NULL, &cap, lab->cfg.n_nodes, sizeof *lab->nodes);
    lab->cap_nodes = cap;
    if (!lab->nodes) return -ENOMEM;
    memcpy(lab->nodes, lab->cfg.nodes, lab->cfg.n_nodes * sizeof *lab->nodes);
    lab->cfg.nodes = lab->nodes;
    lab_slot(lab, 0);
    int rc = orr_sim_new(&lab->sim, &sim);
    if (rc < 0) return rc;
    if (lab->cfg.flip) orr_sim_flip(lab->sim, lab->cfg.flip - 1);
    if ((rc = lab_oracle_new(lab)) < 0 || (rc = lab_shadow_new(lab)) < 0 || (rc = lab_disks_new(lab)) < 0) return rc;
    if ((rc = lab_fold_new(lab)) < 0 || (rc = lab_times_new(lab)) < 0 || (rc = lab_members_new(lab)) < 0) return rc;
    if ((rc = start_nodes(lab)) < 0 || (rc = lab_ntp_new(lab)) < 0) return rc;
    return lab_clients_new(lab);
}

void orr_lab_free(struct orr_lab *lab) {
    if (!lab) return;
    lab_clients_free(lab);
    if (lab->sim) orr_sim_free(lab->sim);
    lab_oracle_free(lab);
    lab_shadow_free(lab);
    lab_disks_free(lab);
    lab_times_free(lab);
    lab_members_free(lab);
    lab_ntp_free(lab);
    struct orr_alloc alloc = lab->alloc;
    lab_fold_free(lab);
    if (lab->ops) alloc.fn(alloc.ud, lab->ops, lab->cap_ops * sizeof *lab->ops, 0);
    if (lab->serials) alloc.fn(alloc.ud, lab->serials, lab->cap_serials * sizeof *lab->serials, 0);
    if (lab->groups) alloc.fn(alloc.ud, lab->groups, lab->cap_groups * sizeof *lab->groups, 0);
    if (lab->nodes) alloc.fn(alloc.ud, lab->nodes, lab->cap_nodes * sizeof *lab->nodes, 0);
    alloc.fn(alloc.ud, lab, sizeof *lab, 0);
}

int orr_lab_new(struct orr_lab **out, const struct orr_lab_config *cfg) {
    *out = NULL;
    if (cfg->n_nodes == 0 || cfg->n_nodes > LAB_NODES_MAX || cfg->run <= 0) return ORR_EINVALID;
    struct orr_alloc alloc = cfg->sim.alloc ? *cfg->sim.alloc : orr_alloc_libc;
    struct orr_lab *lab = alloc.fn(alloc.ud, NULL, 0, sizeof *lab);
    if (!lab) return -ENOMEM;
    *lab = (struct orr_lab){ .cfg = *cfg, .result = { .ok = true, .seed = cfg->sim.seed }, .alloc = alloc };
    int rc = build(lab);
    if (rc < 0) {
        orr_lab_free(lab);
        return rc;
    }
    *out = lab;
    return 0;
}

struct orr_sim *orr_lab_sim(struct orr_lab *lab) { return lab->sim; }

/* -- Phases -------------------------------------------------------------------------------------------------------- */
int orr_lab_chaos(struct orr_lab *lab) {
    const struct orr_lab_config *cfg = &lab->cfg;
    if (!cfg->faults) return 0;
    orr_time calm = cfg->run > 4 * ORR_SECOND ? ORR_SECOND : cfg->run / 4;       /* a first leader, something to lose */
    return orr_sim_chaos(lab->sim, cfg->faults, calm, cfg->run);
}

int orr_lab_quiet(struct orr_lab *lab) {
    lab_clients_quiet(lab);
    return lab->cfg.clients > 0 && !lab->probes ? lab_probes_start(lab) : 0;
}

bool orr_lab_settled(const struct orr_lab *lab, const char **who, const char **owes) {
    *owes = "has not answered a write and a read";
    if (lab->probes && !lab_probes_done(lab, who)) return false;
    *owes = "has not applied all that was committed";
    return lab_oracle_converged(lab, who) && lab_members_settled(lab, who, owes);
}

bool orr_lab_watched(const struct orr_lab *lab) { return lab_members_bound(lab) > 0; }

orr_time orr_lab_bound(const struct orr_lab *lab) {
    orr_time members = lab_members_bound(lab);
    return members > lab->cfg.liveness_bound ? members : lab->cfg.liveness_bound;
}

int orr_lab_excuse(struct orr_lab *lab, const char *name, bool excused) {
    int node = lab_node_named(lab, name);
    if (node < 0) return -ENOENT;
    lab->excused[node] = excused;
    return 0;
}

void orr_lab_violate(struct orr_lab *lab, const char *property, const char *text) {
    lab_violate(lab, property, "%s", text);
}

bool lab_judge_part(struct orr_lab *lab, const struct orr_operation *ops, size_t n, struct orr_verdict *v) {
    struct orr_check_config cfg = { .alloc = &lab->alloc, .witness = lab_shadow_witness(lab) };
    for (size_t i = 0; i < n && cfg.witness; i++) {
        char line[200];
        if (ops[i].outcome != ORR_OUTCOME_FAIL || ops[i].order == 0) continue;
        orr_operation_show(&ops[i], line, sizeof line);
        lab_violate(lab, "exactly_once", "%s, but it took effect", line);
    }
    if (orr_check_linearizable(ops, n, &cfg, v) < 0) {
        lab->out_of_memory = true;
        return true;
    }
    return v->result == ORR_VERDICT_OK;
}

void lab_judge_history(struct orr_lab *lab) {
    struct orr_verdict v = { .result = ORR_VERDICT_OK };
    bool fits = lab_judge_part(lab, lab->ops, lab->n_ops, &v);
    lab->result.reads = lab->settled.reads + v.reads;
    lab->result.overlapping_reads = lab->settled.overlapping_reads + v.overlapping_reads;
    if (fits) return;
    char drawn[1800], line[200];
    if (lab_tell_history(lab, v.key, lab_shadow_witness(lab), drawn, sizeof drawn)) {
        lab_violate(lab, "linearizable", "%s", drawn);
        return;
    }
    orr_operation_show(&lab->ops[v.operation], line, sizeof line);
    lab_violate(lab, "linearizable", "%s; it finds no place: the value was %" PRIu64 " when it had to be", line,
                v.value);
}

void lab_count_operation(struct lab_count *count, const struct orr_operation *op) {
    if (op->outcome == ORR_OUTCOME_OK) count->operations++;
    else if (op->outcome == ORR_OUTCOME_INFO) count->unknown++;
    else count->failed++;
}

static void count_operations(struct orr_lab *lab) {
    struct lab_count count = lab->settled;
    for (size_t i = 0; i < lab->n_ops; i++) lab_count_operation(&count, &lab->ops[i]);
    lab->result.operations = count.operations;
    lab->result.unknown = count.unknown;
    lab->result.failed = count.failed;
}

static void judge_floor(struct orr_lab *lab) {
    const struct orr_lab_config *cfg = &lab->cfg;
    uint64_t floor = cfg->operations_floor;
    if (floor == 0) floor = cfg->clients * (uint64_t)(cfg->run / (cfg->think > 0 ? cfg->think : ORR_MS)) / 20;
    if (lab->result.operations < floor)
        lab_violate(lab, "floor",
                    "%" PRIu64 " operations were done, and %" PRIu64 " are the least that proves anything",
                    lab->result.operations, floor);
}

static void account_rares(const struct orr_lab *lab, struct orr_lab_result *r) {
    const char *name;
    uint64_t offered, taken;
    r->n_rares = 0;
    for (size_t i = 0; r->n_rares < ORR_LAB_RARES_MAX && orr_sim_rare(lab->sim, i, &name, &offered, &taken); i++) {
        struct orr_lab_rare *rare = &r->rares[r->n_rares++];
        snprintf(rare->name, sizeof rare->name, "%s", name);
        rare->offered = offered;
        rare->taken = taken;
    }
}

static void account(struct orr_lab *lab) {
    struct orr_lab_result *r = &lab->result;
    r->events = orr_sim_events(lab->sim);
    r->digest = orr_sim_digest(lab->sim);
    r->virtual_time = orr_sim_now(lab->sim);
    r->times = lab_times_read(lab);
    r->members = lab_members_events(lab);
    memcpy(r->faults, orr_sim_counts(lab->sim), sizeof r->faults);
    account_rares(lab, r);
    count_operations(lab);
    lab_oracle_account(lab);
}

int orr_lab_judge(struct orr_lab *lab, struct orr_lab_result *out) {
    account(lab);
    if (lab->cfg.clients > 0 && !lab->out_of_memory) lab_judge_history(lab);
    if (lab->cfg.clients > 0) judge_floor(lab);
    *out = lab->result;
    return lab->out_of_memory ? -ENOMEM : 0;
}

/* -- A whole run --------------------------------------------------------------------------------------------------- */
/* Everything through `until`, or to the first violation. */
static bool go_on(struct orr_lab *lab, orr_time until) {
    orr_sim_run(lab->sim, until);
    return lab->result.ok && !lab->out_of_memory;
}

static void liveness_phase(struct orr_lab *lab) {
    orr_time bound = orr_lab_bound(lab);
    const char *who = NULL, *owes = NULL;
    for (orr_time at = lab->cfg.run; at < lab->cfg.run + bound;) {
        at += 50 * ORR_MS;
        if (!go_on(lab, at) || orr_lab_settled(lab, &who, &owes)) return;
    }
    lab_violate(lab, "liveness", "%s %s, %.1f s after the last fault", who, owes,
                (double)bound / 1e9);
}

int orr_lab_run(const struct orr_lab_config *cfg, struct orr_lab_result *out) {
    struct orr_lab *lab;
    struct orr_lab_config whole = *cfg;
    whole.quiet = !cfg->faults;
    int rc = orr_lab_new(&lab, &whole);
    if (rc < 0) return rc;
    rc = orr_lab_chaos(lab);
    if (cfg->plan) cfg->plan(cfg->sim.ud, lab->sim);
    if (rc == 0 && go_on(lab, cfg->run)) {
        rc = orr_lab_quiet(lab);
        if (rc == 0 && (cfg->clients > 0 || orr_lab_watched(lab))) liveness_phase(lab);
    }
    if (rc == 0) rc = orr_lab_judge(lab, out);
    orr_lab_free(lab);
    return rc;
}
