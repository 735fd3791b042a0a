/* chaos.c - faults that strike by the clock: the driver behind orr_sim_chaos, and healing.
 *
 * Each kind is a Poisson process with a random stream of its own, which also picks its victims: a new kind, or another
 * rate for one, moves the strikes of no other. What it breaks it mends after a while; a node that went down, by a
 * crash or by its own stop, is started again, as a service manager would. Damage to disks keeps to the budget.
 *
 * Each strike is told (config.strike) as what would do the same in a run of this seed without chaos: so chaos touches
 * nothing that the harness sets, but lies on top of it. */
#include <string.h>

#include "sim/disk.h"

enum { DRIFT_MOST = 300000 };        /* ppb */

struct storm {                      /* one TIMED kind */
    struct orri_tick tick;
    struct orri_chaos *chaos;
    enum orr_sim_fault kind;
    struct orr_rng rng;
};
struct mend {                       /* something to be put right later */
    struct orri_tick tick;
    struct orri_chaos *chaos;
    struct mend *prev, *next;
    void (*fn)(struct mend *mend);
    struct orri_node *node, *other;
    uint64_t side;                  /* or bytes a second, or of room */
    bool told;                      /* what is to be started again went down by a strike that was told */
};
struct orri_chaos {
    struct orr_sim *sim;
    struct orri_tick begin, end;
    bool raging, over;
    struct orr_sim_faults rates;
    struct storm storms[ORR_SIM_KINDS];
    struct mend *mends;
    struct orr_rng restarts, figures;
};

/* -- Mending ----------------------------------------------------------------------------------------------------- */
static void mend_free(struct mend *mend) {
    struct orri_chaos *chaos = mend->chaos;
    orri_sim_unset(chaos->sim, &mend->tick);
    if (mend->prev) {
        mend->prev->next = mend->next;
    } else {
        chaos->mends = mend->next;
    }
    if (mend->next) mend->next->prev = mend->prev;
    orri_sim_put(chaos->sim, mend, sizeof *mend);
}

static void mend_fire(struct orri_tick *tick) {
    struct mend *mend = ORRI_CONTAINER(tick, struct mend, tick);
    struct mend copy = *mend;
    mend_free(mend);
    copy.fn(&copy);
}

static void mend_later(struct orri_chaos *chaos, orr_time after, struct mend what) {
    struct mend *mend = orri_sim_get(chaos->sim, sizeof *mend);
    *mend = what;
    mend->tick = (struct orri_tick){ .fire = mend_fire };
    mend->chaos = chaos;
    mend->prev = NULL;
    mend->next = chaos->mends;
    if (chaos->mends) chaos->mends->prev = mend;
    chaos->mends = mend;
    orri_sim_set(chaos->sim, &mend->tick, chaos->sim->now + after + 1);
}

static void mend_uncut(struct mend *m) { orri_link_cut(m->chaos->sim, m->node, m->other, false); }
static void mend_freeze(struct mend *m) { orri_clock_freeze(&m->node->clock, m->chaos->sim->now, false); }
static void mend_resume(struct mend *m) { orri_node_resume(m->node); }

/* The newest strike of the same sort on the same thing that still lasts. */
static const struct mend *beneath(const struct mend *m) {
    const struct mend *other = m->chaos->mends;
    while (other && (other->fn != m->fn || other->node != m->node || other->other != m->other)) other = other->next;
    return other;
}

static void mend_room(struct mend *m) {
    const struct mend *still = beneath(m);
    struct orri_disk *disk = m->node->disk;
    disk->room = still ? disk->used + still->side : m->chaos->sim->config.disk_bytes;
}

static void mend_speed(struct mend *m) {
    const struct mend *still = beneath(m);
    (void)orr_sim_slow(m->chaos->sim, m->node->name, m->other->name, still ? still->side : 0);
}

static void cut_apart(struct orr_sim *sim, uint64_t side, bool on) {
    for (unsigned i = 0; i < sim->n_nodes; i++) {
        for (unsigned k = 0; k < sim->n_nodes; k++) {
            bool apart = (side >> i & 1) != (side >> k & 1);
            if (apart) orri_link_cut(sim, sim->nodes[i], sim->nodes[k], on);
        }
    }
}

static void mend_partition(struct mend *m) { cut_apart(m->chaos->sim, m->side, false); }

/* With what disk a node comes back: as it is, or, where the budget allows that, lost. */
static enum orr_sim_disk choose_disk(struct orri_chaos *chaos, struct orri_node *node) {
    double empty = chaos->rates.rate[ORR_SIM_RESTART_EMPTY];
    double old = chaos->rates.rate[ORR_SIM_RESTART_OLD];
    double draw = orri_rng_unit(&chaos->restarts);
    if (draw >= empty + old || !orri_may_damage(node, ORR_SIM_KINDS)) return ORR_SIM_KEPT;
    enum orr_sim_disk disk = draw < empty ? ORR_SIM_EMPTY : ORR_SIM_OLD;
    orri_sim_count(chaos->sim, disk == ORR_SIM_EMPTY ? ORR_SIM_RESTART_EMPTY : ORR_SIM_RESTART_OLD);
    return disk;
}

/* It went down by itself; or by a strike that was told, but not with what disk it comes back. */
static void tell_start(struct mend *m, enum orr_sim_disk disk) {
    struct orr_sim *sim = m->chaos->sim;
    struct orr_sim_strike strike = { .from = sim->now, .till = sim->now, .kind = ORR_SIM_START, .node = m->node->name,
                                     .disk = disk };
    if (!m->told) orri_sim_count(sim, ORR_SIM_START);
    if (!m->told || disk != ORR_SIM_KEPT) orri_sim_told(sim, &strike);
}

static void mend_start(struct mend *m) {
    if (m->node->state != ORR_SIM_DOWN) return;
    enum orr_sim_disk disk = m->chaos->raging ? choose_disk(m->chaos, m->node) : ORR_SIM_KEPT;
    tell_start(m, disk);
    orri_disk_reset(m->node->disk, disk);
    (void)orri_node_start(m->node);         /* where it fails, orri_chaos_down has set the next try */
}

/* When all is over, a late answer to an old fault may still make a node stop: it goes on being restarted then. */
void orri_chaos_down(struct orri_node *node, bool by_itself) {
    struct orri_chaos *chaos = node->sim->chaos;
    if (!chaos || !(chaos->raging || (chaos->over && by_itself))) return;
    orr_time after = orri_expo(&chaos->restarts, chaos->rates.down_mean);
    bool struck = node->crash.node != NULL;
    mend_later(chaos, after, (struct mend){ .fn = mend_start, .node = node, .told = struck });
    if (!struck) return;
    node->crash.till = node->sim->now + after + 1;
    orri_sim_told(node->sim, &node->crash);
}

/* -- Strikes ----------------------------------------------------------------------------------------------------- */
static struct orri_node *any_node(struct storm *s) {
    struct orr_sim *sim = s->chaos->sim;
    return sim->nodes[orri_rng_below(&s->rng, sim->n_nodes)];
}

static struct orri_node *any_other(struct storm *s, const struct orri_node *node) {
    struct orr_sim *sim = s->chaos->sim;
    return sim->nodes[(node->index + 1 + orri_rng_below(&s->rng, sim->n_nodes - 1)) % sim->n_nodes];
}

/* One that is over after `lasts` (what mend_later adds, too); 0: nothing lasts. */
static void tell(struct storm *s, orr_time lasts, struct orr_sim_strike strike) {
    strike.kind = s->kind;
    strike.from = s->chaos->sim->now;
    strike.till = strike.from + (lasts > 0 ? lasts + 1 : 0);
    orri_sim_told(s->chaos->sim, &strike);
}

static bool strike_cut(struct storm *s, struct orri_node *a, struct orri_node *b, bool both) {
    struct orr_sim *sim = s->chaos->sim;
    orr_time lasts = orri_expo(&s->rng, s->chaos->rates.cut_mean);
    orri_link_cut(sim, a, b, true);
    mend_later(s->chaos, lasts, (struct mend){ .fn = mend_uncut, .node = a, .other = b });
    if (both) {
        orri_link_cut(sim, b, a, true);
        mend_later(s->chaos, lasts, (struct mend){ .fn = mend_uncut, .node = b, .other = a });
    }
    tell(s, lasts, (struct orr_sim_strike){ .node = a->name, .other = b->name });
    return true;
}

static bool strike_partition(struct storm *s) {
    struct orr_sim *sim = s->chaos->sim;
    unsigned n = sim->n_nodes < 64 ? sim->n_nodes : 63;
    uint64_t side = 1 + orri_rng_below(&s->rng, ((uint64_t)1 << n) - 2);    /* neither none nor all */
    orr_time lasts = orri_expo(&s->rng, s->chaos->rates.cut_mean);
    cut_apart(sim, side, true);
    mend_later(s->chaos, lasts, (struct mend){ .fn = mend_partition, .side = side });
    tell(s, lasts, (struct orr_sim_strike){ .side = side });
    return true;
}

static bool strike_reset(struct storm *s, struct orri_node *a, struct orri_node *b) {
    tell(s, 0, (struct orr_sim_strike){ .node = a->name, .other = b->name });
    return orr_sim_reset(s->chaos->sim, a->name, b->name) == 0;
}

static bool strike_stall(struct storm *s, struct orri_node *a, struct orri_node *b) {
    struct orr_sim *sim = s->chaos->sim;
    orr_time lasts = orri_expo(&s->rng, s->chaos->rates.pause_mean);
    tell(s, 0, (struct orr_sim_strike){ .node = a->name, .other = b->name, .amount = lasts });
    return orr_sim_stall(sim, a->name, b->name, sim->now + lasts) == 0;
}

static bool strike_slow(struct storm *s, struct orri_node *a, struct orri_node *b) {
    uint64_t bandwidth = (uint64_t)20000 << orri_rng_below(&s->rng, 8);
    orr_time lasts = orri_expo(&s->rng, s->chaos->rates.cut_mean);
    (void)orr_sim_slow(s->chaos->sim, a->name, b->name, bandwidth);
    mend_later(s->chaos, lasts, (struct mend){ .fn = mend_speed, .node = a, .other = b, .side = bandwidth });
    tell(s, lasts, (struct orr_sim_strike){ .node = a->name, .other = b->name, .amount = (int64_t)bandwidth });
    return true;
}

static bool strike_pause(struct storm *s, struct orri_node *node) {
    if (node->state != ORR_SIM_UP) return false;
    orr_time lasts = orri_expo(&s->rng, s->chaos->rates.pause_mean);
    orri_node_pause(node);
    mend_later(s->chaos, lasts, (struct mend){ .fn = mend_resume, .node = node });
    tell(s, lasts, (struct orr_sim_strike){ .node = node->name });
    return true;
}

static bool strike_full(struct storm *s, struct orri_node *node) {
    uint64_t left = (uint64_t)1 << orri_rng_below(&s->rng, 20);
    orr_time lasts = orri_expo(&s->rng, 2 * ORR_SECOND);
    (void)orr_sim_disk_room(s->chaos->sim, node->name, node->disk->used + left - 1);
    mend_later(s->chaos, lasts, (struct mend){ .fn = mend_room, .node = node, .side = left - 1 });
    tell(s, lasts, (struct orr_sim_strike){ .node = node->name, .amount = (int64_t)left - 1 });
    return true;
}

static bool strike_rot(struct storm *s, struct orri_node *node) {
    const char *path;
    uint64_t at;
    if (!orri_may_damage(node, ORR_SIM_ROT) || !orri_rot(node, &s->rng, &path, &at)) return false;
    tell(s, 0, (struct orr_sim_strike){ .node = node->name, .path = path, .amount = (int64_t)at });
    return false;                   /* it counts itself */
}

static bool strike_clock(struct storm *s, struct orri_node *node, bool step) {
    orr_time by = step ? orri_rng_between(&s->rng, -60 * ORR_SECOND, 60 * ORR_SECOND) : 0;
    int32_t set = node->clock.ppb - node->clock.steered;
    int32_t ppb = step ? set : (int32_t)orri_rng_between(&s->rng, -DRIFT_MOST, DRIFT_MOST);
    (void)orr_sim_clock(s->chaos->sim, node->name, by, ppb);
    tell(s, 0, (struct orr_sim_strike){ .node = node->name, .amount = step ? by : ppb });
    return true;
}

/* From now on, as far off as drift takes them: 100 ppm in the square root of an hour to 25600, by octaves. */
static bool strike_wander(struct storm *s, struct orri_node *node) {
    struct orr_sim_oscillator as = node->clock.as;
    as.wander_ppb = 100000 << orri_rng_below(&s->rng, 9);
    as.most_ppb = DRIFT_MOST;
    (void)orr_sim_oscillator(s->chaos->sim, node->name, &as);
    tell(s, 0, (struct orr_sim_strike){ .node = node->name, .amount = as.wander_ppb });
    return true;
}

static bool strike_freeze(struct storm *s, struct orri_node *node) {
    if (node->clock.frozen) return false;
    orr_time lasts = orri_expo(&s->rng, s->chaos->rates.pause_mean);
    orri_clock_freeze(&node->clock, s->chaos->sim->now, true);
    mend_later(s->chaos, lasts, (struct mend){ .fn = mend_freeze, .node = node });
    tell(s, lasts, (struct orr_sim_strike){ .node = node->name });
    return true;
}

/* Effect crashes hit the next such effects of a node that is up; they count when they come. */
static bool strike_crash(struct storm *s, struct orri_node *node) {
    uint64_t within = s->kind == ORR_SIM_CRASH ? 200 : 8;
    uint64_t nth = 1 + orri_rng_below(&s->rng, within);
    if (node->state != ORR_SIM_DOWN) orri_aim_crash(node, s->kind, nth);
    return false;
}

static bool strike(struct storm *s) {
    struct orr_sim *sim = s->chaos->sim;
    struct orri_node *a = any_node(s);
    struct orri_node *b = sim->n_nodes > 1 ? any_other(s, a) : NULL;
    switch (s->kind) {
    case ORR_SIM_RESET: return b && strike_reset(s, a, b);
    case ORR_SIM_STALL: return b && strike_stall(s, a, b);
    case ORR_SIM_SLOW: return b && strike_slow(s, a, b);
    case ORR_SIM_CUT: return b && strike_cut(s, a, b, true);
    case ORR_SIM_CUT_ONE_WAY: return b && strike_cut(s, a, b, false);
    case ORR_SIM_PARTITION: return b && strike_partition(s);
    case ORR_SIM_PAUSE: return strike_pause(s, a);
    case ORR_SIM_DISK_FULL: return strike_full(s, a);
    case ORR_SIM_ROT: return strike_rot(s, a);
    case ORR_SIM_CLOCK_STEP: return strike_clock(s, a, true);
    case ORR_SIM_CLOCK_FREEZE: return strike_freeze(s, a);
    case ORR_SIM_CLOCK_DRIFT: return strike_clock(s, a, false);
    case ORR_SIM_CLOCK_WANDER: return strike_wander(s, a);
    default: return strike_crash(s, a);
    }
}

static void storm_next(struct storm *s) {
    double rate = s->chaos->rates.rate[s->kind];
    if (!(rate > 0) || strcmp(orr_sim_fault_unit(s->kind), "TIMED") != 0) return;
    orr_time after = orri_expo(&s->rng, (orr_time)((double)ORR_SECOND / rate));
    orri_sim_set(s->chaos->sim, &s->tick, s->chaos->sim->now + after + 1);
}

static void storm_fire(struct orri_tick *tick) {
    struct storm *s = ORRI_CONTAINER(tick, struct storm, tick);
    if (s->chaos->sim->n_nodes > 0 && strike(s)) {
        orri_sim_count(s->chaos->sim, s->kind);
        ORRI_SAY(s->chaos->sim, "chaos", "%s", orr_sim_fault_name(s->kind));
    }
    storm_next(s);
}

/* -- Begin and end ----------------------------------------------------------------------------------------------- */
static void rates_set(struct orr_sim *sim, const struct orr_sim_faults *rates) {
    sim->rates = *rates;
    for (unsigned i = 0; i < sim->n_nodes; i++) orri_aims_draw(sim->nodes[i]);
}

/* The links' and disks' own figures, worse for as long as chaos reigns. */
static void lengthen(struct orri_chaos *chaos, unsigned from, unsigned to) {
    struct orri_link *link = orri_link_of(chaos->sim, from, to);
    orr_time delay = orri_rng_between(&chaos->figures, 0, chaos->rates.delay);
    orr_time jitter = orri_rng_between(&chaos->figures, 0, chaos->rates.jitter);
    if (from == to || (delay == 0 && jitter == 0)) return;
    link->more_delay = delay;
    link->more_jitter = jitter;
    orri_sim_count(chaos->sim, ORR_SIM_FAR);
    orri_sim_told(chaos->sim, &(struct orr_sim_strike){
        .from = chaos->sim->now, .till = ORR_NEVER, .kind = ORR_SIM_FAR, .node = chaos->sim->nodes[from - 1]->name,
        .other = chaos->sim->nodes[to - 1]->name, .amount = link->p.delay + delay, .jitter = link->p.jitter + jitter });
}

static void worsen(struct orri_chaos *chaos) {
    struct orr_sim *sim = chaos->sim;
    for (unsigned i = 0; i < sim->n_nodes; i++) {
        for (unsigned k = 0; k < sim->n_nodes; k++) lengthen(chaos, sim->nodes[i]->site, sim->nodes[k]->site);
    }
    for (unsigned i = 0; i < sim->n_nodes; i++) {
        double slower = 1 + (chaos->rates.slower - 1) * orri_rng_unit(&chaos->figures);
        int64_t millionths = (int64_t)(slower * 1e6);
        if (millionths <= 1000000) continue;
        sim->nodes[i]->disk->slower = (double)millionths / 1e6;
        orri_sim_count(sim, ORR_SIM_WORN);
        orri_sim_told(sim, &(struct orr_sim_strike){ .from = sim->now, .till = ORR_NEVER, .kind = ORR_SIM_WORN,
                                                     .node = sim->nodes[i]->name, .amount = millionths });
    }
}

static void begin_fire(struct orri_tick *tick) {
    struct orri_chaos *chaos = ORRI_CONTAINER(tick, struct orri_chaos, begin);
    chaos->raging = true;
    worsen(chaos);
    rates_set(chaos->sim, &chaos->rates);
    for (unsigned i = 0; i < ORR_SIM_KINDS; i++) storm_next(&chaos->storms[i]);
    for (unsigned i = 0; i < chaos->sim->n_nodes; i++) {
        if (chaos->sim->nodes[i]->state == ORR_SIM_DOWN) orri_chaos_down(chaos->sim->nodes[i], false);
    }
}

static void calm(struct orri_chaos *chaos) {
    chaos->raging = false;
    chaos->over = true;
    orri_sim_unset(chaos->sim, &chaos->begin);
    orri_sim_unset(chaos->sim, &chaos->end);
    for (unsigned i = 0; i < ORR_SIM_KINDS; i++) orri_sim_unset(chaos->sim, &chaos->storms[i].tick);
    while (chaos->mends) mend_free(chaos->mends);
}

static void heal_node(struct orri_node *node) {
    static const struct orr_sim_oscillator steady;
    struct orr_sim *sim = node->sim;
    orri_aims_disarm(node);
    node->disk->room = sim->config.disk_bytes;
    node->disk->slower = 1;
    if (node->clock.until != ORR_NEVER) (void)orr_sim_oscillator(sim, node->name, &steady);
    (void)orr_sim_clock(sim, node->name, 0, 0);
    orri_clock_freeze(&node->clock, sim->now, false);
    if (node->state == ORR_SIM_PAUSED) orri_node_resume(node);
    if (node->state == ORR_SIM_UP && orri_disk_poisoned(node)) orri_node_end(node, ORRI_PROCESS, false, 0, "healed");
    if (node->state == ORR_SIM_DOWN) (void)orri_node_start(node);
}

void orr_sim_heal(struct orr_sim *sim) {
    if (sim->chaos) calm(sim->chaos);
    orr_sim_heal_links(sim);
    for (unsigned i = 0; i < sim->n_nodes; i++) heal_node(sim->nodes[i]);
    rates_set(sim, &sim->config.faults);
    ORRI_SAY(sim, "chaos", "healed");
}

static void end_fire(struct orri_tick *tick) { orr_sim_heal(ORRI_CONTAINER(tick, struct orri_chaos, end)->sim); }

int orr_sim_chaos(struct orr_sim *sim, const struct orr_sim_faults *rates, orr_time from, orr_time until) {
    if (until < from || rates->delay < 0 || rates->jitter < 0) return ORR_EINVALID;
    if (sim->chaos && sim->chaos->raging) return ORR_EINVALID;
    orri_chaos_free(sim);
    struct orri_chaos *chaos = sim->chaos = orri_sim_get(sim, sizeof *chaos);
    chaos->sim = sim;
    chaos->rates = *rates;
    orri_sim_rng(sim, &chaos->restarts, "chaos", "restart");
    orri_sim_rng(sim, &chaos->figures, "chaos", "figures");
    for (unsigned i = 0; i < ORR_SIM_KINDS; i++) {
        struct storm *s = &chaos->storms[i];
        *s = (struct storm){ .tick = { .fire = storm_fire }, .chaos = chaos, .kind = (enum orr_sim_fault)i };
        orri_sim_rng(sim, &s->rng, "chaos", orr_sim_fault_name(s->kind));
    }
    chaos->begin.fire = begin_fire;
    chaos->end.fire = end_fire;
    orri_sim_set(sim, &chaos->begin, from > sim->now ? from : sim->now);
    orri_sim_set(sim, &chaos->end, until > sim->now ? until : sim->now);
    return 0;
}

void orri_chaos_free(struct orr_sim *sim) {
    if (!sim->chaos) return;
    calm(sim->chaos);
    orri_sim_put(sim, sim->chaos, sizeof *sim->chaos);
    sim->chaos = NULL;
}
