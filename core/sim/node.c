/* node.c - a simulated node: its life, its turns, and the parts of its world that need no file or stream.
 *
 * A turn: wake(), in which the node takes what is ready; then what it submitted starts. A batch may be cut short
 * (turn_cut): the rest comes in the next turn of the same instant. A crash that is due at a delivery ends the batch,
 * and of what the turn submitted any part may still have got out: the process died somewhere in it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "sim/room.h"

/* -- What is ready ----------------------------------------------------------------------------------------------- */
void orri_node_runnable(struct orri_node *node) {
    if (node->runnable || node->state != ORR_SIM_UP) return;
    struct orr_sim *sim = node->sim;
    node->runnable = true;
    node->runnable_next = NULL;
    if (sim->runnable_last) {
        sim->runnable_last->runnable_next = node;
    } else {
        sim->runnable_first = node;
    }
    sim->runnable_last = node;
}

void orri_node_ready(struct orri_node *node, struct orri_ready *ready) {
    if (!ready->queued) {
        ready->queued = true;
        ready->next = NULL;
        if (node->ready_last) {
            node->ready_last->next = ready;
        } else {
            node->ready_first = ready;
        }
        node->ready_last = ready;
    }
    if (!node->in_turn) orri_node_runnable(node);
}

static struct orri_ready *next_ready(struct orri_node *node) {
    struct orri_ready *ready = node->ready_first;
    if (!ready) return NULL;
    node->ready_first = ready->next;
    if (!node->ready_first) node->ready_last = NULL;
    ready->queued = false;
    return ready;
}

static void unready(struct orri_node *node) {
    for (struct orri_ready *ready; (ready = next_ready(node));) {
        if (ready->kind == ORRI_READY_GRAM) orri_gram_free(node->sim, ORRI_CONTAINER(ready, struct orri_gram, ready));
    }
}

static struct orr_req *take_from(struct orri_ready *ready) {
    switch (ready->kind) {
    case ORRI_READY_IO: return orri_io_take(ORRI_CONTAINER(ready, struct orri_io, ready));
    case ORRI_READY_END: return orri_end_take(ORRI_CONTAINER(ready, struct orri_end, ready));
    case ORRI_READY_GRAM: return orri_gram_take(ORRI_CONTAINER(ready, struct orri_gram, ready));
    }
    return NULL;
}

static void give_back_lent(struct orri_node *node) {
    if (!node->lent) return;
    orr_drop(node->event.data);
    orr_drop(node->datagram.data);
    memset(&node->event, 0, sizeof node->event);
    memset(&node->datagram, 0, sizeof node->datagram);
    node->lent = false;
}

static struct orr_req *world_take(struct orr_world *w) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(node->in_turn);
    give_back_lent(node);
    if (node->turn_over || !node->ready_first) return NULL;
    if (node->taken > 0 && orri_strike(node, ORR_SIM_TURN_CUT)) {
        node->turn_over = true;
        return NULL;
    }
    if (orri_strike(node, ORR_SIM_CRASH)) {
        node->turn_over = node->doomed = true;
        return NULL;
    }
    struct orr_req *req = NULL;
    for (struct orri_ready *ready; !req && (ready = next_ready(node));) req = take_from(ready);
    if (req) {
        node->taken++;
        node->sim->events++;
    }
    return req;
}

/* -- Turns ------------------------------------------------------------------------------------------------------- */
static void alarm_begin(struct orri_node *node);

static void alarm_fire(struct orri_tick *tick) {
    struct orri_node *node = ORRI_CONTAINER(tick, struct orri_node, alarm);
    struct orri_clock *clock = &node->clock;
    if (clock->until != ORR_NEVER && orri_clock_local(clock, node->sim->now) < node->alarm_at) {
        alarm_begin(node);              /* it was far off: not yet */
        return;
    }
    node->alarm_due = true;
    node->alarm_at = ORR_NEVER;
    orri_node_runnable(node);
}

static void alarm_begin(struct orri_node *node) {
    node->alarm_moved = false;
    if (node->alarm_at == ORR_NEVER) {
        orri_sim_unset(node->sim, &node->alarm);
        return;
    }
    orr_time at = orri_clock_when(&node->clock, node->alarm_at);
    if (node->alarm_slack > 0) at += orri_rng_between(&node->turns, 0, node->alarm_slack);
    orri_sim_set(node->sim, &node->alarm, at < node->sim->now ? node->sim->now : at);
}

static void turn_begin(struct orri_node *node) {
    node->in_turn = true;
    node->turn_over = false;
    node->taken = 0;
    node->now = orri_clock_local(&node->clock, node->sim->now);
}

/* The process died in the middle of its turn: of what it submitted, some had already gone out. */
static void die_in_turn(struct orri_node *node) {
    if (orri_rng_chance(&node->turns, 0.5)) (void)orri_ends_begin(node);
    if (orri_rng_chance(&node->turns, 0.5)) orri_files_begin(node);
    orri_node_crash(node, "crash");
}

static void turn_end(struct orri_node *node) {
    give_back_lent(node);
    node->in_turn = false;
    if (node->doomed) {
        die_in_turn(node);
        return;
    }
    if (!orri_ends_begin(node)) {
        orri_node_crash(node, "crash_send");
        return;
    }
    orri_files_begin(node);
    if (node->stopping) {
        orri_node_end(node, ORRI_STOPPED, false, node->stop_code, node->stop_why);
        return;
    }
    if (node->alarm_moved) alarm_begin(node);
    if (node->ready_first) orri_node_runnable(node);
}

void orri_node_turn(struct orri_node *node) {
    if (node->state != ORR_SIM_UP) return;
    turn_begin(node);
    if (node->alarm_due) {
        node->alarm_due = false;
        node->sim->events++;
        orri_sim_deliver(node->sim, node->index, UINT16_MAX, 0, NULL, 0);
        ORRI_SAY(node->sim, node->name, "ALARM");
        if (orri_strike(node, ORR_SIM_CRASH)) node->doomed = node->turn_over = true;
    }
    if (!node->doomed) node->world.wake(node->world.ud);
    turn_end(node);
}

/* -- The world: time, chance, log -------------------------------------------------------------------------------- */
/* Outside a turn its bearer may ask, too. */
static orr_time world_now(struct orr_world *w) {
    struct orri_node *node = orri_node_of(w);
    return node->in_turn ? node->now : orri_clock_local(&node->clock, node->sim->now);
}
static orr_time world_fresh(struct orr_world *w) { return world_now(w); }

static void world_wall(struct orr_world *w, struct orr_wall *out) {
    const struct orri_node *node = orri_node_of(w);
    *out = (struct orr_wall){ orri_clock_wall(&node->clock, world_now(w)), node->clock.steps };
}

static void world_alarm(struct orr_world *w, orr_time at, orr_time slack) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(slack >= 0);
    if (node->alarm_at == at && node->alarm_slack == slack) return;
    node->alarm_at = at;
    node->alarm_slack = slack;
    node->alarm_moved = true;
    if (!node->in_turn) alarm_begin(node);      /* by its bearer, between turns: as on a loop */
}

static uint64_t world_seed(struct orr_world *w, const char *use) {
    const struct orri_node *node = orri_node_of(w);
    uint64_t seed = orri_mix64(orri_mix64(node->sim->config.seed, node->id), node->boots);
    return orri_hash64(use, strlen(use), seed);
}

static void world_secret(struct orr_world *w, void *out, size_t size) {
    orri_rng_fill(&orri_node_of(w)->secrets, out, size);
}

static void world_log(struct orr_world *w, enum orr_level level, const char *text, size_t size) {
    struct orri_node *node = orri_node_of(w);
    const struct orr_sim_config *c = &node->sim->config;
    if (c->log && level <= c->log_level) c->log(c->ud, node->sim->now, node->name, level, text, size);
}

static void world_trace(struct orr_world *w, uint32_t group, unsigned kind, const void *event, size_t size) {
    struct orri_node *node = orri_node_of(w);
    const struct orr_sim_config *c = &node->sim->config;
    const struct orr_sim_judge *j = &c->judge;
    if (j->trace) j->trace(j->ud, node->sim->now, node->name, group, kind, event, size);
    if (c->trace) c->trace(c->ud, node->sim->now, node->name, group, kind, event, size);
}

static void world_stop(struct orr_world *w, int code, const char *why) {
    struct orri_node *node = orri_node_of(w);
    ORR_ASSERT(node->in_turn);
    if (node->stopping) return;
    node->stopping = true;
    node->stop_code = code;
    snprintf(node->stop_why, sizeof node->stop_why, "%s", why ? why : "");
}

/* -- ORR_RARE ---------------------------------------------------------------------------------------------------- */
#define FACTOR_MAX 10               /* what a name's inclination makes of the rate at most */

static struct orri_rare_count *rare_count(struct orr_sim *sim, const char *name) {
    struct orri_rare_count **at = &sim->rares;
    for (; *at; at = &(*at)->next) {
        if (strcmp((*at)->name, name) == 0) return *at;
    }
    *at = orri_sim_get(sim, sizeof **at);
    (*at)->name = orri_sim_text(sim, name);
    return *at;
}

/* Each name of each node has its own inclination: a third never takes it, a third often, so that seeds differ. */
static struct orri_rare *rare_new(struct orri_node *node, const char *name) {
    static const double factors[] = { 0, 1, FACTOR_MAX };
    struct orri_rare *rare = orri_sim_get(node->sim, sizeof *rare);
    struct orr_rng rng;
    orri_sim_rng(node->sim, &rng, name, node->name);
    rare->factor = factors[orri_rng_below(&rng, 3)];
    rare->count = rare_count(node->sim, name);
    ORRI_MUST(orri_map_set(&node->rares, name, strlen(name), rare, NULL) == 0);
    return rare;
}

static double offers(double rate) { return FACTOR_MAX * rate < 1 ? FACTOR_MAX * rate : 1; }

/* Of all that is asked at the node, whatever its name, the next that is offered: a geometric number, by an exponential
 * one of the same mean that is rounded down, which is right for small rates. A draw for each asking took a tenth of a
 * run. */
static void offer_next(struct orri_node *node) {
    double most = offers(node->rare_rate);
    if (most <= 0) node->world.ordinary = UINT64_MAX;
    else if (most >= 1) node->world.ordinary = 0;
    else node->world.ordinary = (uint64_t)orri_expo(&node->rare_rng, (orr_time)((1 / most - 0.5) * 0x1p20)) >> 20;
}

void orri_rare_draw(struct orri_node *node) {
    double rate = node->sim->rates.rate[ORR_SIM_RARE];
    if (rate <= node->rare_rate && rate >= node->rare_rate) return;
    node->rare_rate = rate;
    offer_next(node);
}

/* What is offered is taken as often as the name's own inclination says. */
static bool world_rare(struct orr_world *w, const char *name) {
    struct orri_node *node = orri_node_of(w);
    struct orri_rare *rare = orri_map_get(&node->rares, name, strlen(name));
    if (!rare) rare = rare_new(node, name);
    offer_next(node);
    rare->count->offered++;
    if (!orri_rng_chance(&node->rare_rng, rare->factor * node->rare_rate / offers(node->rare_rate))) return false;
    rare->count->taken++;
    orri_sim_count(node->sim, ORR_SIM_RARE);
    return true;
}

static void clock_step(struct orri_clock *clock, orr_time step) {
    clock->wall_offset += step;
    clock->frozen_at += step;
    if (step != 0) clock->steps++;
}

static int world_steer(struct orr_world *w, orr_time step, int32_t *rate_ppb) {
    struct orri_node *node = orri_node_of(w);
    struct orri_clock *clock = &node->clock;
    if (*rate_ppb == ORR_RATE_KEEP) *rate_ppb = clock->steered;
    orri_clock_drift(clock, node->sim->now, clock->ppb - clock->steered + *rate_ppb);
    clock->steered = *rate_ppb;
    clock_step(clock, step);
    node->alarm_moved = true;                       /* another instant is that local time now */
    if (!node->in_turn) alarm_begin(node);
    return 0;
}

static const struct orr_world_ops ops = {
    .now = world_now, .fresh = world_fresh, .wall = world_wall, .alarm = world_alarm, .take = world_take,
    .cancel = orri_world_cancel, .seed = world_seed, .secret = world_secret,
    .open_dir = orri_world_open_dir, .open = orri_world_open, .write = orri_world_write, .read = orri_world_read,
    .file_op = orri_world_file_op, .name_op = orri_world_name_op,
    .peer = orri_world_peer, .listen = orri_world_listen, .connect = orri_world_connect, .send = orri_world_send,
    .queued = orri_world_queued, .read_pause = orri_world_read_pause, .close = orri_world_close,
    .datagram = orri_world_datagram, .job = orri_world_job, .log = world_log, .rare = world_rare, .trace = world_trace,
    .stop = world_stop, .steer = world_steer, .temperature = orri_world_temperature,
};

/* -- Life -------------------------------------------------------------------------------------------------------- */
static void tell_life(struct orri_node *node, int code, const char *why) {
    static const char *const words[] = { "DOWN", "UP", "PAUSED" };
    const struct orr_sim_config *c = &node->sim->config;
    ORRI_SAY(node->sim, node->name, "%s %d %s", words[node->state], code, why);
    const struct orr_sim_judge *j = &c->judge;
    if (j->life) j->life(j->ud, node->sim->now, node->name, node->state, code, why);
    if (c->life) c->life(c->ud, node->sim->now, node->name, node->state, code, why);
}

/* Monotonic time begins anywhere at each boot, the wall clock goes on. */
static void clock_boot(struct orri_node *node) {
    struct orri_clock *clock = &node->clock;
    orr_time local = orri_clock_local(clock, node->sim->now);
    orri_clock_drift(clock, node->sim->now, clock->ppb - clock->steered);
    clock->steered = 0;
    clock->base_local = orri_rng_between(&node->turns, ORR_SECOND, 1000 * ORR_SECOND);
    clock->wall_offset += local - clock->base_local;
    clock->before += local - clock->base_local;
    clock->steps = 0;
}

static int world_build(struct orri_node *node) {
    memset(&node->world, 0, sizeof node->world);
    node->world.ops = &ops;
    node->world.alloc = (struct orr_alloc){ orri_memory_fn, node };
    node->memory.never_fails = true;
    node->world.chunks = orr_chunks_new(&node->world.alloc);
    node->memory.never_fails = false;
    return node->world.chunks ? 0 : -ENOMEM;
}

int orri_node_start(struct orri_node *node) {
    if (node->state != ORR_SIM_DOWN) return -EALREADY;
    node->boots++;
    node->state = ORR_SIM_UP;
    bool was_silent = node->silent;
    node->silent = node->stopping = node->doomed = node->alarm_due = node->alarm_moved = false;
    node->alarm_at = ORR_NEVER;
    node->serials = 0;
    orri_sim_rng(node->sim, &node->secrets, "secret", node->name);
    for (uint64_t i = 0; i < node->boots; i++) (void)orri_rng_next(&node->secrets);
    clock_boot(node);
    orri_disk_save(node->disk);
    if (was_silent) orri_wire_rearm(node->sim, UINT32_MAX, node->site);
    int rc = world_build(node);
    turn_begin(node);
    if (rc == 0) rc = node->boot.start(node->boot.ud, &node->world, node->name);
    if (rc != 0) {
        node->in_turn = false;
        orri_node_end(node, ORRI_STOPPED, false, rc, "start failed");
        return rc;
    }
    ORR_ASSERT(node->world.wake != NULL);
    node->started = true;
    tell_life(node, 0, "start");
    turn_end(node);
    return 0;
}

static void listeners_close(struct orri_node *node) {
    for (struct orri_listener *l = node->sim->listeners; l; l = l->next) {
        if (l->node == node) l->open = false;
    }
}

static void peers_clear(struct orri_node *node) {
    size_t at = 0;
    for (struct orr_map_entry *e; (e = orri_map_each(&node->peers, &at));) orri_sim_put_text(node->sim, e->value);
    orri_map_clear(&node->peers);
}

void orri_node_end(struct orri_node *node, enum orri_end_how how, bool silent, int code, const char *why) {
    ORR_ASSERT(node->state != ORR_SIM_DOWN && !node->in_turn);
    char reason[sizeof node->stop_why];
    snprintf(reason, sizeof reason, "%s", why);
    node->state = ORR_SIM_DOWN;
    orri_files_cut(node);
    if (node->boot.halt && node->started) node->boot.halt(node->boot.ud, node->name);
    node->started = false;
    node->silent = silent;
    unready(node);
    orri_sim_unset(node->sim, &node->alarm);
    orri_files_end(node, how);
    orri_ends_end(node, how, silent);
    listeners_close(node);
    peers_clear(node);
    memset(&node->event, 0, sizeof node->event);
    memset(&node->datagram, 0, sizeof node->datagram);
    node->lent = false;
    orri_memory_clear(node);
    tell_life(node, code, reason);
    orri_chaos_down(node, how == ORRI_STOPPED);
    node->crash = (struct orr_sim_strike){ 0 };
}

void orri_node_crash(struct orri_node *node, const char *why) {
    struct orr_rng *rng = &node->turns;
    const double *rate = node->sim->rates.rate;
    bool process = orri_rng_chance(rng, rate[ORR_SIM_CRASH_PROCESS]);
    bool silent = orri_rng_chance(rng, rate[ORR_SIM_CRASH_SILENT]);
    if (node->next_crash >= 0) {
        process = node->next_crash & ORR_SIM_PROCESS;
        silent = node->next_crash & ORR_SIM_SILENT;
        node->next_crash = -1;
    }
    node->crash.how = (process ? ORR_SIM_PROCESS : 0u) | (silent ? ORR_SIM_SILENT : 0u);
    if (process) orri_sim_count(node->sim, ORR_SIM_CRASH_PROCESS);
    if (silent) orri_sim_count(node->sim, ORR_SIM_CRASH_SILENT);
    orri_node_end(node, process ? ORRI_PROCESS : ORRI_POWER, silent, 0, why);
}

void orri_node_clear(struct orri_node *node) {
    struct orr_sim *sim = node->sim;
    size_t at = 0;
    orri_sim_unset(sim, &node->rot);
    for (struct orr_map_entry *e; (e = orri_map_each(&node->rares, &at));) {
        orri_sim_put(sim, e->value, sizeof(struct orri_rare));
    }
    orri_map_clear(&node->rares);
    orri_sim_put_text(sim, (char *)(uintptr_t)node->boot.dir);
    orri_sim_put_text(sim, node->name);
    orri_sim_put(sim, node, sizeof *node);
}

void orri_node_pause(struct orri_node *node) {
    if (node->state != ORR_SIM_UP) return;
    node->state = ORR_SIM_PAUSED;
    tell_life(node, 0, "pause");
}

void orri_node_resume(struct orri_node *node) {
    if (node->state != ORR_SIM_PAUSED) return;
    node->state = ORR_SIM_UP;
    tell_life(node, 0, "resume");
    if (node->ready_first || node->alarm_due) orri_node_runnable(node);
}

/* -- Public ------------------------------------------------------------------------------------------------------ */
struct orri_node *orri_node_find(const struct orr_sim *sim, const char *name) {
    for (unsigned i = 0; i < sim->n_nodes; i++) {       /* the simulator's own names, mostly */
        if (sim->nodes[i]->name == name) return sim->nodes[i];
    }
    for (unsigned i = 0; name && i < sim->n_nodes; i++) {
        if (strcmp(sim->nodes[i]->name, name) == 0) return sim->nodes[i];
    }
    return NULL;
}

/* A cheap quartz, and what NTP leaves of it. */
static void clock_init(struct orri_node *node) {
    struct orr_rng own;
    node->clock.wall_offset = node->sim->config.wall_start + orri_rng_between(&node->turns, -5 * ORR_MS, 5 * ORR_MS);
    node->clock.rate = node->clock.ppb = (int32_t)orri_rng_between(&node->turns, -20000, 20000);
    node->clock.until = ORR_NEVER;
    orri_sim_rng(node->sim, &own, "oscillator", node->name);
    node->clock.seed = orri_rng_next(&own);
}

int orr_sim_add(struct orr_sim *sim, const char *name, const struct orr_sim_boot *boot) {
    if (!name || !name[0] || strcmp(name, ORR_SIM_CLIENTS) == 0 || !boot->start) return ORR_EINVALID;
    if (orri_node_find(sim, name)) return -EEXIST;
    if (sim->n_nodes == sim->config.nodes_max) return ORR_EFULL;
    struct orri_node *node = orri_sim_get(sim, sizeof *node);
    node->sim = sim;
    node->name = orri_sim_text(sim, name);
    node->id = orr_id_of(name);
    node->index = sim->n_nodes;
    node->site = sim->n_nodes + 1;
    node->boot = *boot;
    node->boot.dir = orri_sim_text(sim, boot->dir ? boot->dir : name);
    node->disk = orri_disk_of(sim, node->boot.dir);
    node->alarm.fire = alarm_fire;
    node->rot.fire = orri_rot_fire;
    node->next_crash = -1;
    orri_sim_rng(sim, &node->turns, "turns", name);
    orri_sim_rng(sim, &node->disks, "disk", name);
    orri_sim_rng(sim, &node->ends_rng, "streams", name);
    orri_sim_rng(sim, &node->rare_rng, "rare", name);
    node->rare_rate = -1;
    orri_map_init(&node->rares, &sim->alloc, sim->config.seed);
    orri_map_init(&node->peers, &sim->alloc, sim->config.seed);
    clock_init(node);
    sim->nodes[sim->n_nodes++] = node;
    orri_aims_draw(node);
    return 0;
}

int orr_sim_start(struct orr_sim *sim, const char *name) {
    struct orri_node *node = orri_node_find(sim, name);
    return node ? orri_node_start(node) : -ENOENT;
}

static int kill_how(struct orr_sim *sim, const char *name, enum orri_end_how how) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    if (node->state == ORR_SIM_DOWN) return -EALREADY;
    orri_node_end(node, how, false, 0, how == ORRI_POWER ? "kill" : "kill_process");
    return 0;
}
int orr_sim_kill(struct orr_sim *sim, const char *name) { return kill_how(sim, name, ORRI_POWER); }
int orr_sim_kill_process(struct orr_sim *sim, const char *name) { return kill_how(sim, name, ORRI_PROCESS); }

int orr_sim_restart(struct orr_sim *sim, const char *name, enum orr_sim_disk disk) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    if (node->state != ORR_SIM_DOWN) orri_node_end(node, ORRI_POWER, false, 0, "restart");
    orri_disk_reset(node->disk, disk);
    return orri_node_start(node);
}

int orr_sim_pause(struct orr_sim *sim, const char *name) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    orri_node_pause(node);
    return 0;
}

int orr_sim_resume(struct orr_sim *sim, const char *name) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    orri_node_resume(node);
    return 0;
}

int orr_sim_state(const struct orr_sim *sim, const char *name) {
    const struct orri_node *node = orri_node_find(sim, name);
    return node ? (int)node->state : -ENOENT;
}

int orr_sim_poke(struct orr_sim *sim, const char *name) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    orri_node_runnable(node);
    return 0;
}

const char *orr_sim_node_name(const struct orr_sim *sim, size_t i) {
    return i < sim->n_nodes ? sim->nodes[i]->name : NULL;
}

struct orr_world *orr_sim_world(struct orr_sim *sim, const char *name) {
    struct orri_node *node = orri_node_find(sim, name);
    return node && node->state != ORR_SIM_DOWN ? &node->world : NULL;
}

size_t orr_sim_memory(const struct orr_sim *sim, const char *name) {
    const struct orri_node *node = orri_node_find(sim, name);
    return node ? node->memory.bytes : 0;
}

void orri_node_rearm(struct orri_node *node) {
    if (node->state != ORR_SIM_DOWN && !node->in_turn && node->alarm_at != ORR_NEVER) alarm_begin(node);
}

int orr_sim_clock(struct orr_sim *sim, const char *name, orr_time step, int32_t drift_ppb) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    orri_clock_drift(&node->clock, sim->now, drift_ppb + node->clock.steered);
    clock_step(&node->clock, step);
    orri_node_rearm(node);
    return 0;
}

int orr_sim_clock_freeze(struct orr_sim *sim, const char *name, bool on) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    orri_clock_freeze(&node->clock, sim->now, on);
    return 0;
}

int orr_sim_clock_now(const struct orr_sim *sim, const char *name, orr_time *wall, int32_t *drift_ppb) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    *wall = orri_clock_wall(&node->clock, orri_clock_local(&node->clock, sim->now));
    *drift_ppb = node->clock.ppb - node->clock.steered;
    return 0;
}

int orr_sim_clock_local(const struct orr_sim *sim, const char *name, orr_time *local, orr_time *lived) {
    struct orri_node *node = orri_node_find(sim, name);
    if (!node) return -ENOENT;
    *local = orri_clock_local(&node->clock, sim->now);
    *lived = *local + node->clock.before;
    return 0;
}
