/* orrb_fleet.h - the nodes of a simulation, each with a Lua state of its own; for core.lab and core.sim. */
#ifndef ORRB_FLEET_H
#define ORRB_FLEET_H

#include <orrery/sim.h>

#include "orrb_ask.h"

struct orrb_member {
    struct orrb_script script;
    struct orrb_node *node;         /* NULL: down */
    const char *at;                 /* where its peers find it, or NULL */
    const char *resp;               /* address of its RESP listener, or NULL */
    uint64_t starts;
};
struct orrb_fleet {
    struct orrb_member *members;
    size_t n;
    struct orrb_buffer out;         /* for packing what nodes are asked; freed by who owns the fleet */
    char why[1024];                 /* of the first boot that failed since it was emptied */
};
/* Of the table at arg: nodes = { { id, plan, at or nil, resp or nil }, ... } and path. Pushes what has to be kept while
 * the fleet is used: a userdata, whose user value holds the strings. */
void orrb_fleet_read(lua_State *L, int arg, struct orrb_fleet *fleet);
/* Small logs, so that segments are filled and recycled and snapshots are taken within a run's few thousand operations;
 * the seed says how small. */
void orrb_fleet_draw(struct orrb_fleet *fleet, uint64_t seed);
/* How the simulator starts and halts them. The fleet must stay where it is. */
struct orr_sim_boot orrb_fleet_boot(struct orrb_fleet *fleet);
/* Member m has other scripts on its disk from now on, and runs them where it is up: 0; or why not, and it goes on as it
 * was. At the top is what orrb_fleet_read pushed, below it the plan. */
int orrb_fleet_reload(lua_State *L, struct orrb_fleet *fleet, struct orrb_member *m, char *why, size_t why_size);
struct orrb_member *orrb_fleet_find(const struct orrb_fleet *fleet, const char *id);         /* NULL: no such node */

/* To ask it by. */
struct orrb_door orrb_fleet_door(struct orrb_fleet *fleet, const struct orrb_member *m);

/* Bit i: the simulation's i-th node is of that name. */
uint64_t orrb_fleet_bit(const struct orr_sim *sim, const char *name);
/* Tells the simulation who votes together, as the nodes that are up have declared it. */
int orrb_fleet_quorums(const struct orrb_fleet *fleet, struct orr_sim *sim);

/* Of the table at arg: faults = nil (false), or { NAME = rate, default = true or swarm = true, of its seed; and
 * damage = true: see orr_sim_faults_damage }. */
bool orrb_faults_read(lua_State *L, int arg, struct orr_sim_faults *faults);

#endif
