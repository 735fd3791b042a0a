/* orrb_memory.c - core.memory: runs a function with a limit on what the state that it runs in may allocate.
 *
 * For code of others that runs in the program's own state, before any node has a state of its own. What is counted is
 * the growth since the call: blocks from before it that are freed meanwhile make room.                              */
#include <stddef.h>
#include <stdint.h>

#include "orrb.h"

struct meter {
    lua_Alloc allocate;             /* the state's own, */
    void *ud;                       /* and put back afterwards */
    int64_t used, limit;
};

static void *metered(void *ud, void *at, size_t old_size, size_t new_size) {
    struct meter *m = ud;
    int64_t more = (int64_t)new_size - (at ? (int64_t)old_size : 0);    /* without a block old_size tells its kind */
    if (more > 0 && m->used > m->limit - more) return NULL;
    void *got = m->allocate(m->ud, at, old_size, new_size);
    if (got || new_size == 0) m->used += more;
    return got;
}

/* memory.limit(bytes, f, ...): as pcall(f, ...); the error is "not enough memory" once the state would have grown by
 * more than that. Limits may nest: the narrower one counts. */
static int memory_limit(lua_State *L) {
    struct meter m = { .limit = luaL_checkinteger(L, 1) };
    luaL_argcheck(L, m.limit >= 0, 1, "bytes must not be negative");
    luaL_checkany(L, 2);
    int arguments = lua_gettop(L) - 2;
    m.allocate = lua_getallocf(L, &m.ud);
    lua_setallocf(L, metered, &m);
    int rc = lua_pcall(L, arguments, LUA_MULTRET, 0);
    lua_setallocf(L, m.allocate, m.ud);
    lua_pushboolean(L, rc == LUA_OK);
    lua_replace(L, 1);              /* in the place of bytes, below the results */
    return lua_gettop(L);
}

int orrb_open_memory(lua_State *L) {
    static const luaL_Reg functions[] = { { "limit", memory_limit }, { NULL, NULL } };
    luaL_newlib(L, functions);
    return 1;
}
