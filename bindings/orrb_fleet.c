/* orrb_fleet.c - the nodes of a simulation, each with a Lua state of its own.
 *
 * Each start of a simulated node gets a new Lua state, which is closed when it halts: by a crash or a stop, or at the
 * end of the run.                                                                                                    */
#include "orrb_fleet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orrery/host.h>

struct orrb_member *orrb_fleet_find(const struct orrb_fleet *fleet, const char *id) {
    for (size_t i = 0; i < fleet->n; i++) {
        if (strcmp(fleet->members[i].script.id, id) == 0) return &fleet->members[i];
    }
    return NULL;
}

struct orrb_door orrb_fleet_door(struct orrb_fleet *fleet, const struct orrb_member *m) {
    return (struct orrb_door){ &m->node, &m->starts, m->script.id, &fleet->out, NULL, NULL };
}

static void refused(void *ud, const char *why) {
    struct orrb_fleet *fleet = ud;
    if (!fleet->why[0]) snprintf(fleet->why, sizeof fleet->why, "%s", why);
}

static int start_node(void *ud, struct orr_world *w, const char *name) {
    struct orrb_fleet *fleet = ud;
    struct orrb_member *m = orrb_fleet_find(fleet, name);
    if (!m) return -ENOENT;
    char why[sizeof fleet->why] = "";
    m->starts++;
    int rc = orrb_node_boot(&m->node, w, &m->script, why, sizeof why);
    if (rc < 0) refused(fleet, why);
    return rc;
}

static void halt_node(void *ud, const char *name) {
    struct orrb_member *m = orrb_fleet_find(ud, name);
    orrb_node_free(m->node, true);
    m->node = NULL;
}

struct orr_sim_boot orrb_fleet_boot(struct orrb_fleet *fleet) {
    return (struct orr_sim_boot){ .start = start_node, .halt = halt_node, .ud = fleet };
}

void orrb_fleet_read(lua_State *L, int arg, struct orrb_fleet *fleet) {
    const char *path = orrb_text_field(L, arg, "path", NULL);
    lua_Integer simulation;
    struct orrb_chunks *chunks = orrb_chunks_of(L, &simulation);
    lua_getfield(L, arg, "nodes");
    luaL_checktype(L, -1, LUA_TTABLE);
    int list = lua_gettop(L);
    size_t n = (size_t)luaL_len(L, list);
    fleet->members = lua_newuserdatauv(L, (n + 1) * sizeof *fleet->members, 1);
    memset(fleet->members, 0, (n + 1) * sizeof *fleet->members);
    lua_pushvalue(L, arg);
    lua_setiuservalue(L, -2, 1);
    for (size_t i = 0; i < n; i++) {
        struct orrb_member *m = &fleet->members[i];
        lua_geti(L, list, (lua_Integer)i + 1);
        m->script.id = orrb_text_field(L, lua_gettop(L), "id", NULL);
        m->script.plan = orrb_text_field(L, lua_gettop(L), "plan", &m->script.plan_size);
        m->script.path = path;
        m->script.chunks = chunks;
        m->script.simulation = simulation;
        m->script.refused = refused;
        m->script.ud = fleet;
        lua_getfield(L, -1, "resp");
        m->resp = lua_tostring(L, -1);
        lua_getfield(L, -2, "at");
        m->at = lua_tostring(L, -1);
        lua_pop(L, 3);
    }
    fleet->n = n;
    lua_remove(L, list);
}

int orrb_fleet_reload(lua_State *L, struct orrb_fleet *fleet, struct orrb_member *m, char *why, size_t why_size) {
    size_t size;
    const char *plan = luaL_checklstring(L, -2, &size);
    int rc = m->node ? orrb_node_reload(m->node, plan, size, why, why_size) : 0;
    if (rc < 0) return rc;
    lua_getiuservalue(L, -1, 1);
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, m - fleet->members + 1);         /* what was read has names alone */
    lua_pop(L, 1);
    m->script.plan = plan;
    m->script.plan_size = size;
    return 0;
}

void orrb_fleet_draw(struct orrb_fleet *fleet, uint64_t seed) {
    for (size_t i = 0; i < fleet->n; i++) {
        fleet->members[i].script.segment_bytes = (uint64_t)256 << 10 << seed % 4;
        fleet->members[i].script.snapshot_bytes = (uint64_t)64 << 10 << seed / 4 % 4;
    }
}

uint64_t orrb_fleet_bit(const struct orr_sim *sim, const char *name) {
    const char *known;
    for (size_t i = 0; i < 64 && (known = orr_sim_node_name(sim, i)); i++)
        if (strcmp(known, name) == 0) return (uint64_t)1 << i;
    return 0;
}

static int quorum_of(const struct orr_group *g, struct orr_sim *sim) {
    const char *names[64];
    uint64_t members = 0;
    size_t n = orr_group_voters(g, names, 64);
    for (size_t i = 0; i < n && i < 64; i++) members |= orrb_fleet_bit(sim, names[i]);
    return orr_sim_quorum(sim, members);
}

int orrb_fleet_quorums(const struct orrb_fleet *fleet, struct orr_sim *sim) {
    const char *name;
    int rc = 0;
    for (size_t i = 0; i < fleet->n; i++) {
        struct orr_node *node = fleet->members[i].node ? orrb_node_of(fleet->members[i].node) : NULL;
        for (size_t k = 0; rc == 0 && node && orr_node_group_at(node, k, &name); k++)
            rc = quorum_of(orr_node_group(node, name), sim);
    }
    return rc;
}

bool orrb_faults_read(lua_State *L, int arg, struct orr_sim_faults *faults) {
    int type = lua_getfield(L, arg, "faults");
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_getfield(L, -1, "default");
    lua_getfield(L, -2, "swarm");
    if (lua_toboolean(L, -1)) orr_sim_faults_swarm(faults, (uint64_t)orrb_integer_field(L, arg, "seed", 1));
    else if (lua_toboolean(L, -2)) orr_sim_faults_default(faults);
    else orr_sim_faults_init(faults);
    lua_pop(L, 2);
    lua_getfield(L, -1, "damage");
    if (lua_toboolean(L, -1)) orr_sim_faults_damage(faults, (uint64_t)orrb_integer_field(L, arg, "seed", 1));
    lua_pop(L, 1);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        lua_getfield(L, -1, orr_sim_fault_name((enum orr_sim_fault)kind));
        if (!lua_isnil(L, -1)) faults->rate[kind] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return true;
}
