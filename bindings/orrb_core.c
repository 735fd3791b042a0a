/* orrb_core.c - the Lua module orrery.core: one table for each room it exposes, and the helpers of all files.
 *
 * The host's Lua must be the 5.4 that this was compiled for; it is asked at load, since gateways bring their own.   */
#include "orrb.h"


int orrb_fail(lua_State *L, int error, const char *what) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", what, orr_strerror(error));
    lua_pushstring(L, orr_error_word(error));
    return 3;
}

static orr_time time_of(lua_Number seconds) {
    return seconds * 1e9 >= (lua_Number)ORR_NEVER ? ORR_NEVER : (orr_time)(seconds * 1e9);
}

orr_time orrb_seconds(lua_State *L, int arg) {
    lua_Number seconds = luaL_checknumber(L, arg);
    luaL_argcheck(L, seconds >= 0, arg, "seconds must not be negative");
    return time_of(seconds);
}

const char *orrb_text_field(lua_State *L, int arg, const char *field, size_t *size) {
    if (lua_getfield(L, arg, field) != LUA_TSTRING) luaL_error(L, "%s is missing", field);
    const char *text = lua_tolstring(L, -1, size);
    lua_pop(L, 1);
    return text;
}

orr_time orrb_time_field(lua_State *L, int arg, const char *field, orr_time otherwise) {
    lua_getfield(L, arg, field);
    lua_Number seconds = lua_isnil(L, -1) ? -1 : luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return seconds < 0 ? otherwise : time_of(seconds);
}

int64_t orrb_integer_field(lua_State *L, int arg, const char *field, int64_t otherwise) {
    lua_getfield(L, arg, field);
    int64_t value = lua_isnil(L, -1) ? otherwise : luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return value;
}

void orrb_set_text(lua_State *L, const char *field, const char *text) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, field);
}
void orrb_set_integer(lua_State *L, const char *field, int64_t value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, field);
}
void orrb_set_count(lua_State *L, const char *field, uint64_t value) {
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, field);
}
void orrb_set_number(lua_State *L, const char *field, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, field);
}

int luaopen_orrery_core(lua_State *L) {
    if ((int)lua_version(L) != LUA_VERSION_NUM)
        return luaL_error(L, "orrery.core was built for Lua %d.%d; this host runs Lua %d.%d", LUA_VERSION_NUM / 100,
                          LUA_VERSION_NUM % 100, (int)lua_version(L) / 100, (int)lua_version(L) % 100);
    luaL_checkversion(L);
    lua_newtable(L);
    lua_pushstring(L, orr_version());
    lua_setfield(L, -2, "version");
    static const struct {
        const char *name;
        lua_CFunction open;
    } rooms[] = {
        { "hash", orrb_open_hash },
        { "environment", orrb_open_environment },
        { "budget", orrb_open_budget },
        { "ordered", orrb_open_ordered },
        { "sort", orrb_open_sort },
        { "pattern", orrb_open_pattern },
        { "names", orrb_open_names },
        { "pure", orrb_open_pure },
        { "process", orrb_open_process },
        { "live", orrb_open_live },
        { "thread", orrb_open_thread },
        { "check", orrb_open_check },
        { "lab", orrb_open_lab },
        { "memory", orrb_open_memory },
        { "raft", orrb_open_raft },
        { "clock", orrb_open_clock },
        { "hlc", orrb_open_hlc },
        { "ring", orrb_open_ring },
        { "placement", orrb_open_placement },
        { "mesh", orrb_open_mesh },
        { "sim", orrb_open_sim },
        { "value", orrb_open_value },
        { "map", orrb_open_map },
        { "visit", orrb_open_visit },
        { "ntp", orrb_open_ntp },
    };
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        lua_pushcfunction(L, rooms[i].open);
        lua_call(L, 0, 1);
        lua_setfield(L, -2, rooms[i].name);
    }
    return 1;
}
