/* orrb_sim_nodes.c - the methods of core.sim for its nodes: how they live, what they say of themselves, what is asked.
 */
#include <orrery/sim.h>

#include "orrb_sim.h"

/* -- Their lives -------------------------------------------------------------------------------------------------- */
static int sim_state(lua_State *L) {
    static const char *const words[] = { "down", "up", "paused" };
    int state = orr_sim_state(orrb_check_sim(L), luaL_checkstring(L, 2));
    if (state < 0) return orrb_fail(L, state, "state");
    lua_pushstring(L, words[state]);
    return 1;
}

static int sim_kill(lua_State *L) {
    return orrb_sim_answer(L, orr_sim_kill(orrb_check_sim(L), luaL_checkstring(L, 2)), "kill");
}

/* sim:restart(id, "kept", "old" or "empty") */
static int sim_restart(lua_State *L) {
    static const char *const disks[] = { "kept", "old", "empty", NULL };
    struct orrb_sim *s = orrb_sim_self(L);
    enum orr_sim_disk disk = (enum orr_sim_disk)luaL_checkoption(L, 3, "kept", disks);
    int rc = orr_sim_restart(s->sim, luaL_checkstring(L, 2), disk);
    return rc < 0 ? orrb_sim_boot_failed(L, s, rc) : orrb_sim_answer(L, rc, "restart");
}

/* sim:reload(id, plan) -> true, or nil, message, code: it has other scripts from now on */
static int sim_reload(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    char why[1024] = "";
    struct orrb_member *m = orrb_fleet_find(&s->fleet, luaL_checkstring(L, 2));
    luaL_argcheck(L, m, 2, "no such node");
    luaL_checkstring(L, 3);
    lua_settop(L, 3);
    lua_getiuservalue(L, 1, 1);
    int rc = orrb_fleet_reload(L, &s->fleet, m, why, sizeof why);
    if (rc == 0) return orrb_sim_answer(L, rc, "reload");
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", m->script.id, why);
    lua_pushstring(L, orr_error_word(rc));
    return 3;
}

static int sim_pause(lua_State *L) {
    return orrb_sim_answer(L, orr_sim_pause(orrb_check_sim(L), luaL_checkstring(L, 2)), "pause");
}

static int sim_resume(lua_State *L) {
    return orrb_sim_answer(L, orr_sim_resume(orrb_check_sim(L), luaL_checkstring(L, 2)), "resume");
}

/* sim:arm(id, fault, n [, how]): the nth next opportunity is taken; 0: none any more. how: of a crash */
static int sim_arm(lua_State *L) {
    static const char *const hows[] = { "power", "process", "power_silent", "process_silent", NULL };
    struct orrb_sim *s = orrb_sim_self(L);
    int kind = orr_sim_fault_by_name(luaL_checkstring(L, 3));
    lua_Integer nth = luaL_checkinteger(L, 4);
    luaL_argcheck(L, kind >= 0, 3, "not a fault");
    luaL_argcheck(L, nth >= 0, 4, "must not be negative");
    const char *id = luaL_checkstring(L, 2);
    int how = lua_isnoneornil(L, 5) ? -1 : luaL_checkoption(L, 5, NULL, hows);
    int rc = how < 0 ? orr_sim_arm(s->sim, id, (enum orr_sim_fault)kind, (uint64_t)nth)
                     : orr_sim_arm_crash(s->sim, id, (enum orr_sim_fault)kind, (uint64_t)nth, (unsigned)how);
    return orrb_sim_answer(L, rc, "arm");
}

/* -- What they say of themselves ---------------------------------------------------------------------------------- */
/* The node of id, if it is up; NULL where it isn't. */
static struct orrb_node *node_up(struct orrb_sim *s, const char *id) {
    struct orrb_member *m = orrb_fleet_find(&s->fleet, id);
    return m ? m->node : NULL;
}

/* sim:status(id) -> { recovered, ready, ... groups = { NAME = status } }; or nil, message, "unavailable": it is down */
static int sim_status(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    const char *id = luaL_checkstring(L, 2);
    struct orrb_node *n = node_up(s, id);
    if (!n) return orrb_fail(L, ORR_EUNAVAILABLE, id);
    struct orr_node *node = orrb_node_of(n);
    orrb_push_node_status(L, node);
    orrb_push_groups(L, node);
    lua_setfield(L, -2, "groups");
    return 1;
}

/* sim:members(id) -> what it knows of each, an array; or nil, message, "unavailable" */
static int sim_members(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    const char *id = luaL_checkstring(L, 2);
    struct orrb_node *n = node_up(s, id);
    if (!n) return orrb_fail(L, ORR_EUNAVAILABLE, id);
    orrb_push_members(L, orrb_node_of(n));
    return 1;
}

/* sim:shown(id) -> a copy of its script's node.state; or nil, message, "unavailable" */
static int sim_shown(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    const char *id = luaL_checkstring(L, 2);
    struct orrb_node *n = node_up(s, id);
    if (!n) return orrb_fail(L, ORR_EUNAVAILABLE, id);
    orrb_push_state(L, n);
    return 1;
}

/* sim:eval(id, text) -> true, results; or false, why, code */
static int sim_eval(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    size_t size;
    const char *id = luaL_checkstring(L, 2), *text = luaL_checklstring(L, 3, &size);
    struct orrb_node *n = node_up(s, id);
    if (n && orr_sim_state(s->sim, id) == ORR_SIM_UP) return orrb_node_eval(L, n, text, size);
    lua_pushboolean(L, false);
    lua_pushstring(L, n ? "it is paused" : "it is down");
    lua_pushstring(L, orr_error_word(ORR_EUNAVAILABLE));
    return 3;
}

/* -- What they are asked ------------------------------------------------------------------------------------------ */
static struct orrb_door check_door(lua_State *L, struct orrb_sim *s) {
    const struct orrb_member *m = orrb_fleet_find(&s->fleet, luaL_checkstring(L, 2));
    luaL_argcheck(L, m, 2, "no such node");
    struct orrb_door door = orrb_fleet_door(&s->fleet, m);
    door.answered = orrb_sim_tell;
    door.ud = s;
    return door;
}

/* sim:ask(id, name, T, ...) -> what waits for the answer; or nil, message, code */
static int sim_ask(lua_State *L) {
    struct orrb_door door = check_door(L, orrb_sim_self(L));
    return orrb_ask_call(L, door, orr_id_of(door.id), 3, 1);
}

/* sim:submit(id, "propose", "read" or "snapshot", group, T, value) -> likewise */
static int sim_submit(lua_State *L) { return orrb_ask_group(L, check_door(L, orrb_sim_self(L)), 3, 1); }

/* sim:peek(id, group, value) -> true, results; or false, why, code */
static int sim_peek(lua_State *L) { return orrb_ask_peek(L, check_door(L, orrb_sim_self(L)), 3); }

/* sim:causes(id, group, n) -> causes, the node's time now; or nil, message, code */
static int sim_causes(lua_State *L) { return orrb_ask_why(L, check_door(L, orrb_sim_self(L)), 3); }

/* sim:cast(id, name, ...) */
static int sim_cast(lua_State *L) {
    struct orrb_door door = check_door(L, orrb_sim_self(L));
    return orrb_ask_cast(L, door, orr_id_of(door.id), 3);
}

const luaL_Reg orrb_sim_nodes[] = {
    { "state", sim_state }, { "kill", sim_kill }, { "restart", sim_restart }, { "reload", sim_reload },
    { "pause", sim_pause }, { "resume", sim_resume }, { "arm", sim_arm }, { "status", sim_status },
    { "members", sim_members }, { "shown", sim_shown }, { "eval", sim_eval }, { "ask", sim_ask },
    { "submit", sim_submit }, { "peek", sim_peek }, { "causes", sim_causes }, { "cast", sim_cast }, { NULL, NULL },
};
