/* orrb_lab.c - core.lab: what a run of the laboratory gave, and the kinds of faults, as tables. */
#include "orrb_lab.h"

#include <inttypes.h>
#include <stdio.h>

/* { NAME = { offered, taken } } */
static void push_rares(lua_State *L, const struct orr_lab_result *r) {
    lua_createtable(L, 0, (int)r->n_rares);
    for (size_t i = 0; i < r->n_rares; i++) {
        lua_createtable(L, 2, 0);
        lua_pushinteger(L, (lua_Integer)r->rares[i].offered);
        lua_seti(L, -2, 1);
        lua_pushinteger(L, (lua_Integer)r->rares[i].taken);
        lua_seti(L, -2, 2);
        lua_setfield(L, -2, r->rares[i].name);
    }
}

void orrb_push_lab_result(lua_State *L, const struct orr_lab_result *r) {
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, r->digest);
    lua_newtable(L);
    lua_pushboolean(L, r->ok);
    lua_setfield(L, -2, "ok");
    lua_pushstring(L, r->property);
    lua_setfield(L, -2, "property");
    lua_pushstring(L, r->violation);
    lua_setfield(L, -2, "violation");
    lua_pushstring(L, digest);
    lua_setfield(L, -2, "digest");
    lua_pushnumber(L, (lua_Number)r->virtual_time / 1e9);
    lua_setfield(L, -2, "virtual_s");
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        { "seed", r->seed },           { "events", r->events },       { "operations", r->operations },
        { "unknown", r->unknown },     { "failed", r->failed },       { "reads", r->reads },
        { "committed", r->committed }, { "elections", r->elections }, { "overlapping_reads", r->overlapping_reads },
        { "leaders", r->leaders },     { "restarts", r->restarts },   { "claims", r->claims },
        { "times", r->times },         { "members", r->members },
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        lua_pushinteger(L, (lua_Integer)counts[i].value);
        lua_setfield(L, -2, counts[i].name);
    }
    lua_createtable(L, 0, ORR_SIM_KINDS);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        lua_pushinteger(L, (lua_Integer)r->faults[kind]);
        lua_setfield(L, -2, orr_sim_fault_name((enum orr_sim_fault)kind));
    }
    lua_setfield(L, -2, "faults");
    push_rares(L, r);
    lua_setfield(L, -2, "rare");
}

/* lab.faults() -> array of { name, unit } */
static int lab_faults(lua_State *L) {
    lua_createtable(L, ORR_SIM_KINDS, 0);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        lua_createtable(L, 0, 2);
        lua_pushstring(L, orr_sim_fault_name((enum orr_sim_fault)kind));
        lua_setfield(L, -2, "name");
        lua_pushstring(L, orr_sim_fault_unit((enum orr_sim_fault)kind));
        lua_setfield(L, -2, "unit");
        lua_seti(L, -2, kind + 1);
    }
    return 1;
}

int orrb_open_lab(lua_State *L) {
    static const luaL_Reg functions[] = { { "faults", lab_faults }, { NULL, NULL } };
    luaL_newlib(L, functions);
    return 1;
}
