/* orrb_chunks.c - in a node's state, Orrery's own Lua bears the same names wherever it is installed: orrery/group.lua.
 *
 * An error that is raised in it names its file, and scripts may keep such a text in a state: installations would
 * differ. So its modules are loaded here, in the place of Lua's own searcher, which names the path. orrb_place knows
 * them by these names. */
#include <string.h>

#include "orrb.h"

/* Leaves its text. Lua's own io library closes the file, whatever is raised meanwhile. */
static void push_file(lua_State *L, int path) {
    lua_getglobal(L, "io");
    lua_getfield(L, -1, "open");
    lua_pushvalue(L, path);
    lua_pushliteral(L, "rb");
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2)) luaL_error(L, "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    lua_getfield(L, -1, "read");
    lua_pushvalue(L, -2);
    lua_pushliteral(L, "a");
    lua_call(L, 2, 1);
    lua_getfield(L, -2, "close");
    lua_pushvalue(L, -3);
    lua_call(L, 1, 0);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* A searcher of require: the loader, and the path. */
static int search_own(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    if (strncmp(name, "orrery.", 7) != 0) return 0;
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchpath");
    lua_pushvalue(L, 1);
    lua_getfield(L, -3, "path");
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2)) return 1;         /* where it was looked for */
    lua_pop(L, 1);
    int path = lua_gettop(L);
    push_file(L, path);
    size_t size;
    const char *text = luaL_checklstring(L, -1, &size);
    luaL_gsub(L, name, ".", "/");
    const char *chunk = lua_pushfstring(L, "@%s.lua", lua_tostring(L, -1));
    if (luaL_loadbufferx(L, text, size, chunk, "t") != LUA_OK) return lua_error(L);
    lua_pushvalue(L, path);
    return 2;
}

void orrb_chunks_install(lua_State *L) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_pushcfunction(L, search_own);
    lua_rawseti(L, -2, 2);                  /* behind preload */
    lua_pop(L, 2);
}
