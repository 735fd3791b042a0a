/* orrb_environment.c - the environment's userdata; core.environment: metatables, raw access, chance, counted copies of
 * Lua's functions whose cost is their arguments' or results' size.
 *
 * A metatable may become one with __mode after it was set, and Lua has no place where that could be refused. So what a
 * run has set is looked at again when it ends (orrb_metatables_check), and the run has failed if it did.            */
#include <string.h>

#include "orrb_environment.h"

static const char environment_key = 0;

struct orrb_environment *orrb_environment_of(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &environment_key);
    struct orrb_environment *e = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return e;
}

struct orrb_environment *orrb_environment_push(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &environment_key) == LUA_TUSERDATA) return lua_touserdata(L, -1);
    lua_pop(L, 1);
    struct orrb_environment *e = lua_newuserdatauv(L, sizeof *e, ORRB_KEPT);
    memset(e, 0, sizeof *e);
    orri_rng_init(&e->chance, 0);
    orri_rng_init(&e->pure_chance, 0);
    orrb_ordered_test(L, e);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &environment_key);
    return e;
}

void orrb_environment_functions(lua_State *L, const luaL_Reg *functions) {
    lua_newtable(L);
    orrb_environment_push(L);
    luaL_setfuncs(L, functions, 1);
}

void orrb_environment_stock(lua_State *L, const char *library, const char *name) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, library);
    lua_getfield(L, -1, name);
    lua_insert(L, -3);
    lua_pop(L, 2);
}

void orrb_environment_kept(lua_State *L, enum orrb_kept which, const char *mode) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &environment_key);
    if (lua_getiuservalue(L, -1, which) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        if (mode) {
            lua_createtable(L, 0, 1);
            lua_pushstring(L, mode);
            lua_setfield(L, -2, "__mode");
            lua_setmetatable(L, -2);
        }
        ((struct orrb_environment *)lua_touserdata(L, -2))->kept |= 1u << which;
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, -3, which);
    }
    lua_remove(L, -2);
}

void orrb_environment_keep(lua_State *L, enum orrb_kept which) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &environment_key);
    struct orrb_environment *e = lua_touserdata(L, -1);
    e->kept = lua_isnil(L, -2) ? e->kept & ~(1u << which) : e->kept | 1u << which;
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, which);
    lua_pop(L, 1);
}

/* -- Metatables --------------------------------------------------------------------------------------------------- */
/* The name in it that is not for scripts, or NULL. In pure functions __close isn't either: while memory runs out, it
 * could put an error of its own, one that can be caught, in the place of the one that must not be. */
static const char *refused(lua_State *L, int metatable) {
    static const char *const names[] = { "__gc", "__mode", "__close" };
    for (size_t i = 0; i < (orrb_environment_of(L)->pure ? 3 : 2); i++) {
        lua_pushstring(L, names[i]);
        bool there = lua_rawget(L, metatable) != LUA_TNIL;
        lua_pop(L, 1);
        if (there) return names[i];
    }
    return NULL;
}

static const char *reason(const char *name) {
    return strcmp(name, "__close") == 0 ? "is not for pure functions" :
           "is not for scripts: when it acts depends on the collector";
}

/* Whether the value has a metatable that no script has set: of a view, a library, a handle, of strings. Scripts neither
 * see it nor change it, nor what it is of. */
static bool is_foreign(lua_State *L, int at) {
    if (!lua_getmetatable(L, at)) return false;
    orrb_environment_kept(L, ORRB_SHOWN, "k");
    lua_insert(L, -2);
    bool foreign = lua_rawget(L, -2) == LUA_TNIL;
    lua_pop(L, 2);
    return foreign;
}

static void note(lua_State *L, enum orrb_kept set, const char *mode, int metatable) {
    orrb_environment_kept(L, set, mode);
    lua_pushvalue(L, metatable);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static int environment_setmetatable(lua_State *L) {
    int kind = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, kind == LUA_TNIL || kind == LUA_TTABLE, 2, "nil or table");
    if (is_foreign(L, 1) || luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    if (kind == LUA_TTABLE) {
        const char *name = refused(L, 2);
        if (name) return luaL_error(L, "setmetatable: %s %s", name, reason(name));
        note(L, ORRB_METATABLES, NULL, 2);
        note(L, ORRB_SHOWN, "k", 2);
    }
    lua_setmetatable(L, 1);
    return 1;
}

static int environment_getmetatable(lua_State *L) {
    luaL_checkany(L, 1);
    if (is_foreign(L, 1)) {
        lua_pushboolean(L, 0);
        return 1;
    }
    if (!lua_getmetatable(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    luaL_getmetafield(L, 1, "__metatable");
    return 1;
}

void orrb_metatables_check(lua_State *L) {
    orrb_environment_kept(L, ORRB_METATABLES, NULL);
    int set = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, set);) {
        lua_pop(L, 1);
        const char *name = refused(L, lua_gettop(L));
        if (name) luaL_error(L, "a metatable got %s after setmetatable, which %s", name, reason(name));
    }
    lua_settop(L, set - 1);
}

static int environment_rawset(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (is_foreign(L, 1)) return luaL_error(L, "rawset: this table is read-only");
    lua_rawset(L, 1);
    return 1;
}

/* -- Chance: as math.random, from the script's own stream, in pure functions from one that begins with the entry --- */
int orrb_random(lua_State *L, struct orr_rng *rng) {
    lua_Integer low = 1, high;
    switch (lua_gettop(L)) {
    case 0:
        lua_pushnumber(L, orri_rng_unit(rng));
        return 1;
    case 1:
        high = luaL_checkinteger(L, 1);
        if (high == 0) {
            lua_pushinteger(L, (lua_Integer)orri_rng_next(rng));
            return 1;
        }
        break;
    case 2:
        low = luaL_checkinteger(L, 1);
        high = luaL_checkinteger(L, 2);
        break;
    default:
        return luaL_error(L, "wrong number of arguments");
    }
    luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
    lua_pushinteger(L, orri_rng_between(rng, low, high));
    return 1;
}

static int environment_random(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    return orrb_random(L, e->pure ? &e->pure_chance : &e->chance);
}

static int environment_seed(lua_State *L) {
    orri_rng_init(&orrb_self(L)->chance, (uint64_t)luaL_checkinteger(L, 1));
    return 0;
}

/* -- Counted: the bytes of the strings that go in and come out ----------------------------------------------------- */
static size_t bytes_of(lua_State *L, int from) {
    size_t bytes = 0;
    for (int i = from; i <= lua_gettop(L); i++)
        if (lua_type(L, i) == LUA_TSTRING) bytes += lua_rawlen(L, i);
    return bytes;
}

static int counted_call(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    orrb_charge_bytes(L, e, bytes_of(L, 1));
    int n = orrb_stock_call(L), first = lua_gettop(L) - n + 1;
    orrb_charge_bytes(L, e, bytes_of(L, first));
    if (n > 1) orrb_charge(L, e, n);
    return n;
}

/* environment.counted(f): f, whose cost is that of its arguments and results. */
static int environment_counted(lua_State *L) {
    luaL_argcheck(L, lua_iscfunction(L, 1), 1, "a function of Lua's libraries expected");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, counted_call, 2);
    return 1;
}

int orrb_open_environment(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "setmetatable", environment_setmetatable }, { "getmetatable", environment_getmetatable },
        { "rawset", environment_rawset },             { "random", environment_random },
        { "seed", environment_seed },                 { "counted", environment_counted },
        { NULL, NULL },
    };
    orrb_environment_functions(L, functions);
    return 1;
}
