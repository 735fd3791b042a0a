/* orrb_pure.c - core.pure: pure functions: which upvalues they may have, and how they are run.
 *
 * check() walks a function's upvalues, those of the functions in them, and tables: each is a constant, a pure function,
 * a table of such, or of the library (`pure.library`), globals included. What it has seen is hashed, code and constants
 * alike, in an order that content defines. Upvalues can be changed by whoever shares them, so a caller compares later:
 * changed() walks again and names the part that isn't what it was.
 *
 * What globals mean inside can't be seen from outside, and _ENV is one upvalue for all the functions of a script. While
 * a pure function runs, the globals that it must not use (`node`) hold something that raises when it is used: see
 * pure.hide. A function that may be an upvalue and yet must not be called (print, math.sin) is wrapped by pure.forbid.
 *
 * It runs in a thread of its own, so that a stack overflow is the same wherever the caller stands.                  */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "orrb_environment.h"

/* -- The mode ------------------------------------------------------------------------------------------------------ */
/* Exchanges the globals that are hidden. Their fields are there in both cases: nothing is allocated. */
static void exchange(lua_State *L, int column) {
    orrb_environment_kept(L, ORRB_HIDDEN, NULL);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n; i += 4) {
        lua_rawgeti(L, -1, i);
        lua_rawgeti(L, -2, i + 1);
        lua_rawgeti(L, -3, i + column);
        lua_rawset(L, -3);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void orrb_env_pure_begin(lua_State *L, uint64_t seed) {
    struct orrb_environment *e = orrb_environment_push(L);
    lua_pop(L, 1);
    orri_rng_init(&e->pure_chance, seed);
    e->pure_names = 0;
    lua_pushnil(L);
    orrb_environment_keep(L, ORRB_PURE_NAMES);
    orrb_ordered_forget(L, e);
    e->memory_out = false;
    if (e->allocations) e->allocations->refused = e->allocations->pressed = false;
    e->pure = true;
    exchange(L, 3);
}

bool orrb_env_pure_end(lua_State *L) {
    struct orrb_environment *e = orrb_environment_of(L);
    const struct orrb_allocations *a = e->allocations;
    bool held = !e->memory_out && !(a && (a->refused || a->pressed));       /* whatever was made of it since */
    e->memory_out = e->pure = false;
    orrb_ordered_forget(L, e);
    exchange(L, 2);
    return held;
}

bool orrb_env_pure(lua_State *L) {
    const struct orrb_environment *e = orrb_environment_of(L);
    return e && e->pure;
}

static int checked_call(lua_State *L) {
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    orrb_metatables_check(L);
    return lua_gettop(L);
}

void orrb_call_in_text(lua_State *L, int n) {
    struct orrb_environment *e = orrb_environment_of(L);
    int status = lua_pcall(L, n, LUA_MULTRET, 0);
    if (status == LUA_OK) return;
    orrb_uncaught(L, e, status, false);
    if (lua_type(L, -1) != LUA_TSTRING) orrb_tostring(L, e, -1, NULL);
    lua_error(L);
}

int orrb_pure_call(lua_State *L, int n, int64_t steps, uint64_t seed) {
    struct orrb_environment *e = orrb_environment_push(L);
    lua_pop(L, 1);
    if (e->pure) luaL_error(L, "a pure function can't run inside another");
    orrb_environment_push(L);
    if (lua_getiuservalue(L, -1, ORRB_THREAD) != LUA_TTHREAD) {
        lua_pop(L, 1);
        lua_newthread(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, -3, ORRB_THREAD);
    }
    lua_State *T = lua_tothread(L, -1);
    lua_pop(L, 2);
    lua_settop(T, 0);
    if (!lua_checkstack(T, n + 2)) luaL_error(L, "too many arguments");
    lua_pushcfunction(T, checked_call);
    lua_xmove(L, T, n + 1);
    struct orrb_budget b;
    orrb_env_pure_begin(T, seed);
    orrb_budget_begin(T, &b, steps);
    int status = lua_pcall(T, n + 1, LUA_MULTRET, 0);
    orrb_budget_end(T, &b);
    if (b.exhausted && status == LUA_OK) status = LUA_ERRRUN;
    if (status != LUA_OK && orrb_is_memory(T, -1)) status = LUA_ERRMEM;
    if (!orrb_env_pure_end(T)) status = LUA_ERRMEM;
    if (!lua_checkstack(L, lua_gettop(T) + 1)) luaL_error(L, "too many results");
    lua_xmove(T, L, lua_gettop(T));
    return status;
}

/* pure.call(steps, seed, f, ...): as pcall(f, ...), in the mode of pure functions. */
static int pure_call(lua_State *L) {
    lua_Integer steps = luaL_checkinteger(L, 1), seed = luaL_checkinteger(L, 2);
    luaL_checkany(L, 3);
    int status = orrb_pure_call(L, lua_gettop(L) - 3, steps, (uint64_t)seed);
    if (status == LUA_ERRMEM) lua_settop(L, 2), lua_pushliteral(L, "memory ran out in apply");
    lua_pushboolean(L, status == LUA_OK);
    lua_replace(L, 2);
    return lua_gettop(L) - 1;
}

static int pure_active(lua_State *L) {
    lua_pushboolean(L, orrb_self(L)->pure);
    return 1;
}

/* Upvalues: environment, the function, what is said. */
static int forbidden(lua_State *L) {
    if (orrb_self(L)->pure) return luaL_error(L, "%s", lua_tostring(L, lua_upvalueindex(3)));
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* pure.forbid(f, complaint): f, which raises that in pure functions. */
static int pure_forbid(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushcclosure(L, forbidden, 3);
    return 1;
}

/* pure.hide(t, key, instead): what t[key] is while a pure function runs. */
static int pure_hide(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstring(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    orrb_environment_kept(L, ORRB_HIDDEN, NULL);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 4);
    lua_pushvalue(L, 2);
    lua_rawget(L, 1);
    const int columns[] = { 1, 2, 5, 3 };
    for (int i = 0; i < 4; i++) {
        lua_pushvalue(L, columns[i]);
        lua_rawseti(L, 4, n + 1 + i);
    }
    return 0;
}

/* pure.hidden(t): from now on what was hidden in t is so for good: but for pure functions nothing of it runs any more.
 * It doesn't stay reachable from here. */
static int pure_hidden(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    orrb_environment_kept(L, ORRB_HIDDEN, NULL);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    lua_newtable(L);
    lua_Integer kept = 0;
    for (lua_Integer i = 1; i <= n; i += 4) {
        lua_rawgeti(L, 2, i);
        bool of_it = lua_rawequal(L, -1, 1);
        lua_rawgeti(L, 2, i + 1);
        lua_rawgeti(L, 2, i + 3);
        if (of_it) lua_rawset(L, 1);
        for (int column = 0; !of_it && column < 4; column++) {
            lua_rawgeti(L, 2, i + column);
            lua_rawseti(L, 3, ++kept);
        }
        lua_settop(L, 3);
    }
    orrb_environment_keep(L, ORRB_HIDDEN);
    return 0;
}

/* pure.library(v, name): a table or function that pure functions may reach. */
static int pure_library(lua_State *L) {
    luaL_checkany(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    orrb_environment_kept(L, ORRB_LIBRARIES, "k");
    lua_insert(L, 1);
    lua_rawset(L, 1);
    return 0;
}

/* -- The walk ------------------------------------------------------------------------------------------------------ */
enum { DEPTH_MAX = 150 };           /* of functions and tables in each other */

/* Where we are: an upvalue, a field of a table, or its index (then name is NULL). */
struct place {
    const struct place *above;
    const char *name;
    lua_Integer index;
    bool upvalue;
};

struct walk {
    lua_State *L;
    struct orrb_environment *e;
    const char *what;
    int seen, libraries;            /* tables in the stack: { [v] = n }, { [v] = name } */
    lua_Integer n;                  /* how many were seen */
    int depth;
    uint64_t low, high;             /* the running digest */
};

static void add(struct walk *w, char kind, const void *bytes, size_t size) {
    uint64_t head = (uint64_t)size << 8 | (unsigned char)kind;
    w->low = orri_mix64(orri_mix64(w->low, head), orri_hash64(bytes, size, 1));
    w->high = orri_mix64(orri_mix64(w->high, head), orri_hash64(bytes, size, 2));
}

static void add_integer(struct walk *w, char kind, int64_t value) {
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)value >> 8 * i);
    add(w, kind, bytes, sizeof bytes);
}

static void describe_from_upvalue(luaL_Buffer *b, const struct place *at, const struct place **beyond) {
    if (!at->upvalue) describe_from_upvalue(b, at->above, beyond);
    else *beyond = at->above;
    char number[32];
    snprintf(number, sizeof number, "[%" PRId64 "]", (int64_t)at->index);
    if (!at->upvalue && at->name) luaL_addchar(b, '.');
    luaL_addstring(b, at->name ? at->name : number);
}

/* Raises "apply: upvalue `cache` of `helper` MESSAGE". */
static void complain(struct walk *w, const struct place *at, const char *message) {
    luaL_Buffer b;
    luaL_buffinit(w->L, &b);
    luaL_addstring(&b, w->what);
    luaL_addstring(&b, ": upvalue ");
    for (const struct place *beyond; at; at = beyond) {
        luaL_addchar(&b, '`');
        describe_from_upvalue(&b, at, &beyond);
        luaL_addstring(&b, beyond ? "` of " : "` ");
    }
    luaL_addstring(&b, message);
    luaL_pushresult(&b);
    lua_error(w->L);
}

static const char *named(lua_State *L, int at, const char *otherwise) {
    const char *name = luaL_getmetafield(L, at, "__name") == LUA_TSTRING ? lua_tostring(L, -1) : otherwise;
    return strncmp(name, "orrery.", 7) == 0 ? name + 7 : name;
}

static void walk_value(struct walk *w, const struct place *at);

static void walk_function(struct walk *w, const struct place *at, int f) {
    lua_State *L = w->L;
    if (lua_iscfunction(L, f)) complain(w, at, "is a function in C that is not of the pure library");
    orrb_environment_stock(L, "string", "dump");
    lua_pushvalue(L, f);
    lua_pushboolean(L, 1);
    lua_call(L, 2, 1);
    add(w, 'F', lua_tostring(L, -1), lua_rawlen(L, -1));
    orrb_charge_bytes(L, w->e, lua_rawlen(L, -1));
    lua_pop(L, 1);
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, f, i)); i++) {
        const struct place inner = { .above = at, .name = name, .upvalue = true };
        walk_value(w, &inner);
        lua_pop(L, 1);
    }
}

static void walk_table(struct walk *w, const struct place *at, int table) {
    lua_State *L = w->L;
    if (lua_getmetatable(L, table)) {
        lua_pop(L, 1);
        const char *name = named(L, table, "");
        bool ours = strchr(name, '.') || strcmp(name, "node") == 0;         /* node.config; but: a channel */
        const char *what = ours ? "is %s" : "is a %s";
        complain(w, at, *name ? lua_pushfstring(L, what, name) : "is a table with a metatable");
    }
    struct orrb_snapshot *s = orrb_ordered_take(L, w->e, table);
    int keys = lua_gettop(L) - 1;
    add(w, 'T', "", 0);
    while (orrb_ordered_advance(L, s, table, keys) == 2) {
        struct place inner = { .above = at };
        if (lua_type(L, -2) == LUA_TSTRING) inner.name = lua_tostring(L, -2);
        else if (lua_isinteger(L, -2)) inner.index = lua_tointeger(L, -2);
        else inner.name = "(a key)";
        lua_pushvalue(L, -2);
        walk_value(w, &inner);
        lua_pop(L, 1);
        walk_value(w, &inner);
        lua_pop(L, 2);
    }
    add(w, 'E', "", 0);
    lua_settop(L, keys - 1);
}

/* Whether it was walked already, or is of the library: then nothing is left to do. */
static bool is_known(struct walk *w, int v) {
    lua_State *L = w->L;
    lua_pushvalue(L, v);
    if (lua_rawget(L, w->libraries) == LUA_TSTRING) {
        add(w, 'L', lua_tostring(L, -1), lua_rawlen(L, -1));
        lua_pop(L, 1);
        return true;
    }
    lua_pop(L, 1);
    lua_pushvalue(L, v);
    bool seen = lua_rawget(L, w->seen) != LUA_TNIL;
    if (seen) add_integer(w, 'R', lua_tointeger(L, -1));
    lua_pop(L, 1);
    if (seen) return true;
    lua_pushvalue(L, v);
    lua_pushinteger(L, ++w->n);
    lua_rawset(L, w->seen);
    return false;
}

/* The value on top, which stays there. */
static void walk_value(struct walk *w, const struct place *at) {
    lua_State *L = w->L;
    int v = lua_gettop(L), kind = lua_type(L, v);
    lua_Number number;
    luaL_checkstack(L, 20, "an upvalue is too deep");
    orrb_charge(L, w->e, 1);
    switch (kind) {
    case LUA_TNIL: add(w, 'N', "", 0); return;
    case LUA_TBOOLEAN: add_integer(w, 'B', lua_toboolean(L, v)); return;
    case LUA_TSTRING: add(w, 'S', lua_tostring(L, v), lua_rawlen(L, v)); return;
    case LUA_TNUMBER:
        if (lua_isinteger(L, v)) {
            add_integer(w, 'I', lua_tointeger(L, v));
        } else {
            number = lua_tonumber(L, v);
            add(w, 'D', &number, sizeof number);
        }
        return;
    case LUA_TTHREAD: complain(w, at, "is a coroutine"); return;
    case LUA_TTABLE:
    case LUA_TFUNCTION:
        if (is_known(w, v)) return;
        if (++w->depth > DEPTH_MAX) complain(w, at, "is too deep");
        if (kind == LUA_TTABLE) walk_table(w, at, v);
        else walk_function(w, at, v);
        w->depth--;
        return;
    default: complain(w, at, lua_pushfstring(L, "is a %s", named(L, v, "userdata")));
    }
}

static void push_digest(lua_State *L, const struct walk *w) {
    char hex[33];
    snprintf(hex, sizeof hex, "%016" PRIx64 "%016" PRIx64, w->high, w->low);
    lua_pushstring(L, hex);
}

/* pure.check(f, what) -> hash, parts. Raises "WHAT: upvalue `name` is ..." unless f is pure. `parts` is what changed()
 * compares: { [0] = hash so far, [1] = ... }: behind the code, and behind each upvalue. */
static int pure_check(lua_State *L) {
    struct walk w = { .L = L, .e = orrb_self(L), .what = luaL_checkstring(L, 2), .seen = 3, .libraries = 4 };
    if (!lua_isfunction(L, 1) || lua_iscfunction(L, 1))
        return luaL_error(L, "%s: a function written in Lua is expected (got a %s)", w.what,
                          lua_iscfunction(L, 1) ? "function written in C" : luaL_typename(L, 1));
    lua_settop(L, 2);
    lua_newtable(L);
    orrb_environment_kept(L, ORRB_LIBRARIES, "k");
    lua_newtable(L);
    lua_pushvalue(L, 1);
    is_known(&w, 6);
    orrb_environment_stock(L, "string", "dump");
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 1);
    lua_call(L, 2, 1);
    add(&w, 'F', lua_tostring(L, -1), lua_rawlen(L, -1));
    lua_settop(L, 5);
    push_digest(L, &w);
    lua_rawseti(L, 5, 0);
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, 1, i)); i++) {
        const struct place at = { .name = name, .upvalue = true };
        walk_value(&w, &at);
        lua_settop(L, 5);
        push_digest(L, &w);
        lua_rawseti(L, 5, i);
    }
    push_digest(L, &w);
    lua_insert(L, 5);
    return 2;
}

/* pure.changed(f, what, parts) -> nil, or "WHAT: upvalue `name` has changed since it was handed over". */
static int pure_changed(lua_State *L) {
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, pure_check, 1);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    if (lua_pcall(L, 2, 2, 0) != LUA_OK) {          /* it has changed into what is not pure */
        orrb_uncaught(L, orrb_self(L), LUA_ERRRUN, false);
        return 1;
    }
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, 1, i)); i++) {
        lua_rawgeti(L, 3, i);
        lua_rawgeti(L, 5, i);
        if (!lua_rawequal(L, -1, -2)) {
            lua_pushfstring(L, "%s: upvalue `%s` has changed since it was handed over", lua_tostring(L, 2), name);
            return 1;
        }
        lua_settop(L, 5);
    }
    lua_pushnil(L);
    return 1;
}

int orrb_open_pure(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "call", pure_call },       { "active", pure_active },   { "forbid", pure_forbid },   { "hide", pure_hide },
        { "hidden", pure_hidden },
        { "library", pure_library }, { "check", pure_check },     { "changed", pure_changed }, { NULL, NULL },
    };
    orrb_environment_functions(L, functions);
    return 1;
}
