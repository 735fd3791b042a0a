/* swarm.c - what a seed of the swarm suffers: a random subset of the kinds, each at a strength of its own.
 *
 * Faults that are all on at once hide each other: a cluster that never has a leader for long shows no bug of a leader.
 * So each seed has some kinds and lacks others (Groce et al., "Swarm Testing"), and strengths vary over nearly two
 * orders of magnitude. Every kind draws from a stream of its own: a new kind moves no other.
 *
 * The rules of the swarm: no kind by which a node may lose what it acknowledged (rot, restarts with another disk: those
 * are drawn besides, for who judges by what a cluster owes and not by what a node does; misdirected, stale), and none
 * that only some protocols bear; and in the mean no more than TROUBLE_MAX disturbances at a time, so that a run does
 * work whatever is drawn. Strengths are built of powers of two: the same on every machine. */
#include <string.h>

#include "base/hash.h"
#include "sim/room.h"

#define ON 0.5                      /* the share of the kinds that a seed has */
#define TROUBLE_MAX 1.2             /* nodes down or paused, links cut or slow, at a time */
enum { OCTAVES = 3 };               /* a strength lies within 2^-3 .. 2^3 of the default */

static double within_octaves(struct orr_rng *rng) {
    double factor = 1 + orri_rng_unit(rng);
    int64_t octave = orri_rng_between(rng, -OCTAVES, OCTAVES - 1);
    for (; octave > 0; octave--) factor *= 2;
    for (; octave < 0; octave++) factor /= 2;
    return factor;
}

static orr_time vary(struct orr_rng *rng, orr_time mean) { return (orr_time)((double)mean * within_octaves(rng)); }

static void own_stream(struct orr_rng *rng, uint64_t seed, const char *use) {
    orri_rng_init(rng, orri_hash64(use, strlen(use), orri_mix64(seed, orri_hash64("swarm", 5, 0))));
}

static void choose(struct orr_sim_faults *faults, enum orr_sim_fault kind, uint64_t seed) {
    struct orr_rng rng;
    own_stream(&rng, seed, orr_sim_fault_name(kind));
    bool on = orri_rng_chance(&rng, ON);
    double rate = faults->rate[kind] * within_octaves(&rng);
    faults->rate[kind] = on ? rate : 0;
    if (strcmp(orr_sim_fault_unit(kind), "SHARE") == 0 && faults->rate[kind] > 1) faults->rate[kind] = 1;
}

/* How long a strike of that kind lasts, in the mean; 0: it breaks nothing for a while. */
static orr_time lasts(const struct orr_sim_faults *faults, enum orr_sim_fault kind) {
    switch (kind) {
    case ORR_SIM_CRASH: case ORR_SIM_CRASH_SEND: case ORR_SIM_CRASH_SUBMITTED: case ORR_SIM_CRASH_WRITTEN:
    case ORR_SIM_CRASH_SYNCED:
        return faults->down_mean;
    case ORR_SIM_PAUSE: case ORR_SIM_STALL: return faults->pause_mean;
    case ORR_SIM_SLOW: case ORR_SIM_CUT: case ORR_SIM_CUT_ONE_WAY: case ORR_SIM_PARTITION: return faults->cut_mean;
    case ORR_SIM_DISK_FULL: return 2 * ORR_SECOND;
    case ORR_SIM_RESET: return 100 * ORR_MS;
    default: return 0;
    }
}

static void spare(struct orr_sim_faults *faults) {
    double trouble = 0;
    for (unsigned i = 0; i < ORR_SIM_KINDS; i++)
        trouble += faults->rate[i] * (double)lasts(faults, (enum orr_sim_fault)i) / (double)ORR_SECOND;
    if (trouble <= TROUBLE_MAX) return;
    for (unsigned i = 0; i < ORR_SIM_KINDS; i++) {
        if (lasts(faults, (enum orr_sim_fault)i) > 0) faults->rate[i] *= TROUBLE_MAX / trouble;
    }
}

/* Kinds that hurt nobody either, and that the default lacks: its runs are to stay what they are. */
static void add_new_kinds(struct orr_sim_faults *faults) {
    faults->rate[ORR_SIM_CRASH_SEND] = 0.05;
    faults->rate[ORR_SIM_CLOCK_FREEZE] = 0.05;
    faults->rate[ORR_SIM_MUTATE] = 0.0002;
}

/* Clocks that wander find little that clocks that drift don't, so few seeds have them, and the others are what they
 * were. */
static void choose_wander(struct orr_sim_faults *faults, uint64_t seed) {
    struct orr_rng rng;
    own_stream(&rng, seed, "oscillators");
    if (!orri_rng_chance(&rng, ON)) return;
    faults->rate[ORR_SIM_CLOCK_WANDER] = 0.1;
    choose(faults, ORR_SIM_CLOCK_WANDER, seed);
}

void orr_sim_faults_swarm(struct orr_sim_faults *faults, uint64_t seed) {
    struct orr_rng rng;
    orr_sim_faults_default(faults);
    add_new_kinds(faults);
    for (unsigned i = 0; i < ORR_SIM_KINDS; i++) {
        bool is_fault = i != ORR_SIM_TURN_CUT && i != ORR_SIM_SHORT_READ && i != ORR_SIM_RARE;
        if (is_fault && faults->rate[i] > 0) choose(faults, (enum orr_sim_fault)i, seed);
    }
    choose_wander(faults, seed);
    own_stream(&rng, seed, "means");
    faults->down_mean = vary(&rng, faults->down_mean / 2);
    faults->pause_mean = vary(&rng, faults->pause_mean / 2);
    faults->cut_mean = vary(&rng, faults->cut_mean / 2);
    own_stream(&rng, seed, "figures");
    if (orri_rng_chance(&rng, ON)) faults->delay = vary(&rng, ORR_MS);
    if (orri_rng_chance(&rng, ON)) faults->jitter = vary(&rng, ORR_MS);
    if (orri_rng_chance(&rng, ON)) faults->slower = 1 + 2 * within_octaves(&rng);
    spare(faults);
}

void orr_sim_faults_damage(struct orr_sim_faults *faults, uint64_t seed) {
    static const struct { enum orr_sim_fault kind; double rate;
    } damages[] = { { ORR_SIM_ROT, 0.05 }, { ORR_SIM_RESTART_EMPTY, 0.05 }, { ORR_SIM_RESTART_OLD, 0.05 } };
    struct orr_rng rng;
    own_stream(&rng, seed, "damage");
    bool on = orri_rng_chance(&rng, ON);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        faults->rate[damages[i].kind] = on ? damages[i].rate : 0;
        choose(faults, damages[i].kind, seed);
    }
    faults->budget = ORR_SIM_QUORUMS;
}
