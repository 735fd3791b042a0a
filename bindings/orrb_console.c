/* orrb_console.c - what lua/orrery/console.lua needs of C inside a node: its status, and eval, which never waits.
 *
 * eval comes from a visitor, as a task, or from this process, between two turns: for what it runs there is no
 * difference. It is nobody's task: it waits for nothing, and whoever asked is out of its sight. */
#include <string.h>

#include "orrb.h"
#include "orrb_console.h"

static const char evaluator;        /* its address is the registry's key of what eval is in Lua */

static struct orrb_host *host(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* status() -> what the node says of itself; groups: by name */
static int status(lua_State *L) {
    struct orr_node *node = host(L)->tasks.node;
    orrb_push_node_status(L, node);
    orrb_push_groups(L, node);
    lua_setfield(L, -2, "groups");
    return 1;
}

/* at_once(f, ...) -> what f returns; whatever waits in it raises */
static int at_once(lua_State *L) {
    struct orrb_tasks *all = &host(L)->tasks;
    struct orrb_task *running = all->running;
    bool before = all->at_once;
    luaL_checkany(L, 1);
    all->running = NULL;
    all->at_once = true;
    int rc = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    all->running = running;
    all->at_once = before;
    return rc == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* evaluator(f): f(text) -> bytes of an argument list: true, results; or false, message, code */
static int set_evaluator(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &evaluator);
    return 0;
}

void orrb_console_open(lua_State *L, struct orrb_host *h) {
    static const luaL_Reg functions[] = {
        { "status", status }, { "at_once", at_once }, { "evaluator", set_evaluator }, { NULL, NULL },
    };
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, h);
    luaL_setfuncs(L, functions, 1);
}

/* -- From this process -------------------------------------------------------------------------------------------- */
struct text {
    const char *at;
    size_t size;
};

static int run(lua_State *L) {
    const struct text *t = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &evaluator);
    lua_pushlstring(L, t->at, t->size);
    lua_call(L, 1, 1);
    return 1;
}

static int fail(lua_State *L, const char *why, const char *code) {
    lua_pushboolean(L, false);
    lua_pushstring(L, why);
    lua_pushstring(L, code);
    return 3;
}

int orrb_console_eval(lua_State *L, struct orrb_host *h, const char *at, size_t size) {
    lua_State *inner = h->tasks.L;
    struct text text = { at, size };
    size_t n;
    lua_settop(inner, 0);
    lua_pushcfunction(inner, run);
    lua_pushlightuserdata(inner, &text);
    int rc = lua_pcall(inner, 1, 1, 0);
    const char *bytes = lua_tolstring(inner, -1, &n);
    if (rc != LUA_OK) rc = fail(L, bytes ? bytes : "it failed, and can't say why", "failed");
    else rc = bytes ? orrb_value_unpack_args(L, bytes, n) : -1;
    lua_settop(inner, 0);
    orr_node_soon(h->tasks.node);                   /* what it spawned begins in a turn */
    return rc >= 0 ? rc : fail(L, "its results can't be read", "failed");
}
