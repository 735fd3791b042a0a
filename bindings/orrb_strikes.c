/* orrb_strikes.c - a run's chaos as verbs: what lua/orrery/faults/ can write down and play again.
 *
 * A strike is { at, till, verb, fault, ... its arguments }; at and till in ns, arguments as the verb takes them. What
 * is armed strikes at an opportunity of one instant, so it is armed a ns before. */
#include "orrb_strikes.h"

#include <stdlib.h>
#include <string.h>

#include "orrb.h"

/* -- Keeping ------------------------------------------------------------------------------------------------------ */
static bool is_crash(enum orr_sim_fault kind) { return kind >= ORR_SIM_CRASH && kind <= ORR_SIM_CRASH_SYNCED; }

/* A node that crashed comes back with another disk: that is the crash's. */
static bool merged(struct orrb_strikes *strikes, const struct orr_sim_strike *start) {
    for (size_t i = strikes->n; i-- > 0;) {
        struct orr_sim_strike *s = &strikes->at[i];
        if (!is_crash(s->kind) || s->till != start->from || strcmp(s->node, start->node) != 0) continue;
        s->disk = start->disk;
        return true;
    }
    return false;
}

void orrb_strikes_note(struct orrb_strikes *strikes, const struct orr_sim_strike *strike) {
    if (strike->kind == ORR_SIM_START && merged(strikes, strike)) return;
    if (strikes->n == strikes->cap) {
        size_t cap = strikes->cap ? 2 * strikes->cap : 64;
        struct orr_sim_strike *at = realloc(strikes->at, cap * sizeof *at);
        if (!at) {
            strikes->lost = true;
            return;
        }
        strikes->at = at;
        strikes->cap = cap;
    }
    char *path = strike->path ? strdup(strike->path) : NULL;
    if (strike->path && !path) strikes->lost = true;
    struct orr_sim_strike *kept = &strikes->at[strikes->n++];
    *kept = *strike;
    kept->path = path;
}

void orrb_strikes_free(struct orrb_strikes *strikes) {
    for (size_t i = 0; i < strikes->n; i++) free((char *)(uintptr_t)strikes->at[i].path);
    free(strikes->at);
    *strikes = (struct orrb_strikes){ 0 };
}

/* -- As verbs ----------------------------------------------------------------------------------------------------- */
static const char *verb_of(enum orr_sim_fault kind) {
    switch (kind) {
    case ORR_SIM_CUT: return "cut";
    case ORR_SIM_CUT_ONE_WAY: return "cut_way";
    case ORR_SIM_PARTITION: return "partition";
    case ORR_SIM_RESET: return "reset";
    case ORR_SIM_STALL: return "stall";
    case ORR_SIM_SLOW: return "slow";
    case ORR_SIM_FAR: return "far";
    case ORR_SIM_START: return "start";
    case ORR_SIM_PAUSE: return "pause";
    case ORR_SIM_WORN: return "wear_disk";
    case ORR_SIM_DISK_FULL: return "fill_disk";
    case ORR_SIM_ROT: return "flip_bit";
    case ORR_SIM_CLOCK_STEP: return "step_clock";
    case ORR_SIM_CLOCK_FREEZE: return "freeze_clock";
    case ORR_SIM_CLOCK_DRIFT: return "drift";
    case ORR_SIM_CLOCK_WANDER: return "wander";
    default: return is_crash(kind) ? "crash_at" : "strike";
    }
}

static void push_side(lua_State *L, const struct orr_sim *sim, uint64_t side) {
    const char *name;
    lua_newtable(L);
    for (size_t i = 0; i < 64 && (name = orr_sim_node_name(sim, i)); i++) {
        if (!(side >> i & 1)) continue;
        lua_pushstring(L, name);
        lua_seti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
}

static int push_crash(lua_State *L, const struct orr_sim_strike *s) {
    static const char *const hows[] = { "power", "process", "power_silent", "process_silent" };
    static const char *const disks[] = { "kept", "old", "empty" };
    const char *name = orr_sim_fault_name(s->kind);
    lua_pushstring(L, s->kind == ORR_SIM_CRASH ? "event" : name + strlen("crash_"));
    lua_pushinteger(L, s->amount);
    lua_pushstring(L, hows[s->how & 3]);
    lua_pushstring(L, disks[s->disk]);
    return s->disk == ORR_SIM_KEPT ? (lua_pop(L, 1), 3) : 4;
}

/* Arguments behind the nodes; how many. */
static int push_amounts(lua_State *L, const struct orr_sim *sim, const struct orr_sim_strike *s) {
    switch (s->kind) {
    case ORR_SIM_PARTITION: push_side(L, sim, s->side); push_side(L, sim, ~s->side); return 2;
    case ORR_SIM_START: lua_pushstring(L, s->disk == ORR_SIM_OLD ? "old" : "empty"); return 1;
    case ORR_SIM_STALL: case ORR_SIM_CLOCK_STEP: lua_pushnumber(L, (lua_Number)s->amount / 1e9); return 1;
    case ORR_SIM_FAR:
        lua_pushnumber(L, (lua_Number)s->amount / 1e9);
        lua_pushnumber(L, (lua_Number)s->jitter / 1e9);
        return 2;
    case ORR_SIM_WORN: lua_pushnumber(L, (lua_Number)s->amount / 1e6); return 1;
    case ORR_SIM_CLOCK_DRIFT: lua_pushnumber(L, (lua_Number)s->amount / 1e3); return 1;
    case ORR_SIM_CLOCK_WANDER:
        lua_pushnumber(L, (lua_Number)s->amount / 1e3);
        lua_pushinteger(L, 300);    /* ppm at the most */
        return 2;
    case ORR_SIM_SLOW: case ORR_SIM_DISK_FULL: lua_pushinteger(L, s->amount); return 1;
    case ORR_SIM_ROT: lua_pushstring(L, s->path); lua_pushinteger(L, s->amount); return 2;
    case ORR_SIM_CUT: case ORR_SIM_CUT_ONE_WAY: case ORR_SIM_RESET: case ORR_SIM_PAUSE: case ORR_SIM_CLOCK_FREEZE:
        return 0;
    default: break;
    }
    if (is_crash(s->kind)) return push_crash(L, s);
    lua_pushstring(L, orr_sim_fault_name(s->kind));
    lua_pushinteger(L, s->amount);
    return 2;
}

static bool is_armed(enum orr_sim_fault kind) {
    return is_crash(kind) || strcmp(orr_sim_fault_unit(kind), "OP") == 0;
}

static void push_strike(lua_State *L, const struct orr_sim *sim, const struct orr_sim_strike *s) {
    int n = 0;
    lua_newtable(L);
    int table = lua_gettop(L);
    if (s->node) lua_pushstring(L, s->node), n++;
    if (s->other) lua_pushstring(L, s->other), n++;
    bool bare = s->kind == ORR_SIM_START && s->disk == ORR_SIM_KEPT;
    if (!bare) n += push_amounts(L, sim, s);
    for (int i = n; i > 0; i--) lua_seti(L, table, i);
    lua_pushinteger(L, is_armed(s->kind) ? s->from - 1 : s->from);
    lua_setfield(L, table, "at");
    if (s->till != s->from && s->till != ORR_NEVER) {
        lua_pushinteger(L, s->till);
        lua_setfield(L, table, "till");
    }
    lua_pushstring(L, verb_of(s->kind));
    lua_setfield(L, table, "verb");
    lua_pushstring(L, orr_sim_fault_name(s->kind));
    lua_setfield(L, table, "fault");
}

int orrb_strikes_push(lua_State *L, const struct orrb_strikes *strikes, const struct orr_sim *sim) {
    if (strikes->lost) return orrb_fail(L, ORR_EFULL, "strikes");
    luaL_checkstack(L, 12, "strikes");
    lua_createtable(L, (int)strikes->n, 0);
    for (size_t i = 0; i < strikes->n; i++) {
        push_strike(L, sim, &strikes->at[i]);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}
