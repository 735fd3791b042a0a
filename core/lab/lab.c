/* lab.c - one run of the laboratory: build the cluster, let faults strike, heal, wait for answers, judge. */
#include "lab_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void orr_lab_config_init(struct orr_lab_config *cfg) {
    *cfg = (struct orr_lab_config){ .size = sizeof *cfg, .seed = 1, .run = 30 * ORR_SECOND,
                                    .liveness_bound = 10 * ORR_SECOND, .clients = 4, .keys = 3,
                                    .think = 10 * ORR_MS, .pipeline_max = 4 };
}

/* -- Shared by the other files ------------------------------------------------------------------------------------- */
void lab_violate(struct lab *lab, const char *property, const char *format, ...) {
    if (!lab->result->ok) return;
    lab->result->ok = false;
    snprintf(lab->result->property, sizeof lab->result->property, "%s", property);
    char *at = lab->result->violation;
    size_t size = sizeof lab->result->violation;
    int n = snprintf(at, size, "at %.6f s: ", (double)orr_sim_now(lab->sim) / 1e9);
    va_list args;
    va_start(args, format);
    vsnprintf(at + n, size - (size_t)n, format, args);
    va_end(args);
    orr_sim_stop(lab->sim);
}

int lab_node_named(const struct lab *lab, const char *name) {
    for (size_t i = 0; i < lab->cfg->n_nodes; i++)      /* the simulator's own names, mostly */
        if (lab->names[i] == name) return (int)i;
    for (size_t i = 0; i < lab->cfg->n_nodes; i++)
        if (strcmp(lab->cfg->nodes[i].id, name) == 0) return (int)i;
    return -1;
}

int lab_node_of(const struct lab *lab, orr_id id) {
    for (size_t i = 0; i < lab->cfg->n_nodes; i++)
        if (orr_id_of(lab->cfg->nodes[i].id) == id) return (int)i;
    return -1;
}

size_t lab_slot(struct lab *lab, uint32_t group) {
    for (size_t i = 0; i < lab->n_groups; i++)
        if (lab->groups[i] == group) return i;
    if (lab->n_groups == LAB_GROUPS_MAX) return SIZE_MAX;
    lab->groups[lab->n_groups] = group;
    return lab->n_groups++;
}

void *lab_grow(struct lab *lab, void *array, size_t *cap, size_t need, size_t each) {
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

size_t lab_begin(struct lab *lab, const struct orr_operation *op) {
    struct orr_operation *ops = lab_grow(lab, lab->ops, &lab->cap_ops, lab->n_ops + 1, sizeof *ops);
    if (!ops) return SIZE_MAX;
    lab->ops = ops;
    ops[lab->n_ops] = *op;
    return lab->n_ops++;
}

bool lab_exempt(const struct lab *lab, size_t node) {
    return orr_sim_disk_damaged(lab->sim, lab->cfg->nodes[node].id);
}

/* -- Hooks of the simulation --------------------------------------------------------------------------------------- */
static void on_trace(void *ud, orr_time now, const char *node, uint32_t group, unsigned kind, const void *event,
                     size_t size) {
    (void)now;
    (void)size;
    lab_oracle_trace(ud, node, group, kind, event);
}
static void on_life(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why) {
    (void)now;
    lab_oracle_life(ud, node, state, code, why);
}
static void on_event(void *ud, const char *line, size_t size) {
    struct lab *lab = ud;
    lab->cfg->event(lab->cfg->ud, line, size);
}
static void on_log(void *ud, orr_time now, const char *node, enum orr_level level, const char *text, size_t size) {
    struct lab *lab = ud;
    lab->cfg->log(lab->cfg->ud, now, node, level, text, size);
}

/* -- The run ------------------------------------------------------------------------------------------------------- */
static int build(struct lab *lab) {
    const struct orr_lab_config *cfg = lab->cfg;
    struct orr_sim_config sim;
    orr_sim_config_init(&sim);
    sim.seed = cfg->seed;
    sim.trace = on_trace;
    sim.life = on_life;
    if (cfg->event) sim.event = on_event;
    if (cfg->log) sim.log = on_log;
    sim.ud = lab;
    if (sim.nodes_max < cfg->n_nodes) sim.nodes_max = (unsigned)cfg->n_nodes;
    int rc = orr_sim_new(&lab->sim, &sim);
    if (rc < 0) return rc;
    if (cfg->flip) orr_sim_flip(lab->sim, cfg->flip - 1);
    if ((rc = lab_oracle_new(lab)) < 0 || (rc = lab_shadow_new(lab)) < 0 || (rc = lab_disks_new(lab)) < 0) return rc;
    for (size_t i = 0; i < cfg->n_nodes; i++) {
        if ((rc = orr_sim_add(lab->sim, cfg->nodes[i].id, &cfg->boot)) < 0) return rc;
        lab->names[i] = orr_sim_node_name(lab->sim, i);
        if ((rc = orr_sim_start(lab->sim, cfg->nodes[i].id)) < 0) return rc;
    }
    return lab_clients_new(lab);
}

/* Everything through `until`, or to the first violation. */
static bool go_on(struct lab *lab, orr_time until) {
    orr_sim_run(lab->sim, until);
    return lab->result->ok && !lab->out_of_memory;
}

static bool safety_phase(struct lab *lab) {
    const struct orr_lab_config *cfg = lab->cfg;
    if (cfg->faults) {
        orr_time calm = cfg->run > 4 * ORR_SECOND ? ORR_SECOND : cfg->run / 4;   /* a first leader, something to lose */
        int rc = orr_sim_chaos(lab->sim, cfg->faults, calm, cfg->run);
        if (rc < 0) lab->out_of_memory = true;
    }
    return go_on(lab, cfg->run);
}

static bool liveness_phase(struct lab *lab) {
    orr_time bound = lab->cfg->run + lab->cfg->liveness_bound;
    lab_clients_quiet(lab);
    if (lab->cfg->clients == 0) return true;
    if (lab_probes_start(lab) < 0) return false;
    const char *who = NULL;
    for (orr_time at = lab->cfg->run; at < bound;) {
        at += 50 * ORR_MS;
        if (!go_on(lab, at)) return false;
        if (lab_probes_done(lab, &who) && lab_oracle_converged(lab, &who)) return true;
    }
    bool answered = lab_probes_done(lab, &who);
    if (answered) lab_oracle_converged(lab, &who);
    lab_violate(lab, "liveness", "%s %s, %.1f s after the last fault", who,
                answered ? "has not applied all that was committed" : "has not answered a write and a read",
                (double)lab->cfg->liveness_bound / 1e9);
    return false;
}

static void judge_history(struct lab *lab) {
    bool witness = lab_shadow_witness(lab);
    struct orr_verdict v;
    struct orr_check_config cfg = { .alloc = &lab->alloc, .witness = witness };
    if (orr_check_linearizable(lab->ops, lab->n_ops, &cfg, &v) < 0) {
        lab->out_of_memory = true;
        return;
    }
    lab->result->reads = v.reads;
    lab->result->overlapping_reads = v.overlapping_reads;
    if (v.result == ORR_VERDICT_OK) return;
    char line[200];
    orr_operation_show(&lab->ops[v.operation], line, sizeof line);
    lab_violate(lab, "linearizable", "%s; it finds no place: the value was %" PRIu64 " when it had to be", line,
                v.value);
}

static void count_operations(struct lab *lab) {
    for (size_t i = 0; i < lab->n_ops; i++) {
        if (lab->ops[i].outcome == ORR_OUTCOME_OK) lab->result->operations++;
        else if (lab->ops[i].outcome == ORR_OUTCOME_INFO) lab->result->unknown++;
        else lab->result->failed++;
    }
}

static void judge_floor(struct lab *lab) {
    const struct orr_lab_config *cfg = lab->cfg;
    if (cfg->clients == 0) return;
    uint64_t floor = cfg->operations_floor;
    if (floor == 0) floor = cfg->clients * (uint64_t)(cfg->run / (cfg->think > 0 ? cfg->think : ORR_MS)) / 20;
    if (lab->result->operations < floor)
        lab_violate(lab, "floor",
                    "%" PRIu64 " operations were done, and %" PRIu64 " are the least that proves anything",
                    lab->result->operations, floor);
}

static void account_rares(const struct lab *lab) {
    struct orr_lab_result *r = lab->result;
    const char *name;
    uint64_t asked, taken;
    for (size_t i = 0; r->n_rares < ORR_LAB_RARES_MAX && orr_sim_rare(lab->sim, i, &name, &asked, &taken); i++) {
        struct orr_lab_rare *rare = &r->rares[r->n_rares++];
        snprintf(rare->name, sizeof rare->name, "%s", name);
        rare->asked = asked;
        rare->taken = taken;
    }
}

static void account(struct lab *lab) {
    struct orr_lab_result *r = lab->result;
    r->events = orr_sim_events(lab->sim);
    r->digest = orr_sim_digest(lab->sim);
    r->virtual_time = orr_sim_now(lab->sim);
    memcpy(r->faults, orr_sim_counts(lab->sim), sizeof r->faults);
    account_rares(lab);
    count_operations(lab);
    lab_oracle_account(lab);
}

static void clear(struct lab *lab) {
    lab_clients_free(lab);
    orr_sim_free(lab->sim);
    lab_oracle_free(lab);
    lab_shadow_free(lab);
    lab_disks_free(lab);
    if (lab->ops) lab->alloc.fn(lab->alloc.ud, lab->ops, lab->cap_ops * sizeof *lab->ops, 0);
}

int orr_lab_run(const struct orr_lab_config *cfg, struct orr_lab_result *out) {
    *out = (struct orr_lab_result){ .ok = true, .seed = cfg->seed };
    if (cfg->n_nodes == 0 || cfg->n_nodes > LAB_NODES_MAX || cfg->run <= 0) return ORR_EINVALID;
    struct lab lab = { .cfg = cfg, .result = out, .alloc = orr_alloc_libc, .n_groups = 1 };
    int rc = build(&lab);
    if (rc == 0) {
        if (cfg->plan) cfg->plan(cfg->ud, lab.sim);
        if (safety_phase(&lab)) liveness_phase(&lab);
        account(&lab);
        if (!lab.out_of_memory) judge_history(&lab);
        judge_floor(&lab);
        if (lab.out_of_memory) rc = -ENOMEM;
    }
    clear(&lab);
    return rc;
}
