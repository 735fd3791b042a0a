/* main.c - the program orrery: a Lua state, its modules inside, and lua/orrery/cli.lua.
 *
 * The Lua files are found from where the program lies: beside it in a build, in ../share/lua/5.4 once installed. What
 * commands there are, and what they say, is the command line's business; its result is the exit status.             */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lualib.h>

#include "edit.h"
#include "orrb.h"

#ifndef ORR_BUILD
#define ORR_BUILD "unknown build"
#endif

/* Pushes the folder of the running program, without a slash at the end. */
static void push_home(lua_State *L) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0) luaL_error(L, "cannot find where this program lies: /proc/self/exe can't be read");
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash) *slash = '\0';
    lua_pushstring(L, path);
}

static void set_path(lua_State *L) {
    push_home(L);
    const char *home = lua_tostring(L, -1);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s/../share/lua/5.4/?.lua;%s/../share/lua/5.4/?/init.lua;%s",
                    home, home, home, home, lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pop(L, 3);
}

/* Runs protected: argc and argv are its arguments. Leaves the exit status. */
static int run(lua_State *L) {
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    luaL_openlibs(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_orrery_core);
    lua_setfield(L, -2, "orrery.core");
    lua_pushcfunction(L, orrb_open_edit);
    lua_setfield(L, -2, "orrery.edit");
    set_path(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "orrery.cli");
    lua_call(L, 1, 1);
    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_seti(L, -2, i);
    }
    lua_pushliteral(L, ORR_BUILD);
    lua_call(L, 2, 1);
    return 1;
}

int main(int argc, char **argv) {
    lua_State *L = luaL_newstate();
    if (!L) {
        fputs("orrery: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    lua_pushcfunction(L, run);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    int status = EXIT_FAILURE;
    if (lua_pcall(L, 2, 1, 0) == LUA_OK) status = (int)lua_tointeger(L, -1);
    else fprintf(stderr, "orrery: %s\n", luaL_tolstring(L, -1, NULL));
    lua_close(L);
    if (fflush(stdout) != 0 && status == EXIT_SUCCESS) status = EXIT_FAILURE;
    return status;
}
