/* posix.c - what a host of a node has and Lua alone lacks, as a module for spec/live/host.lua: poll, fork, wait. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

int luaopen_posix(lua_State *L);

/* poll(fd, seconds): is it readable, within so long? */
static int l_poll(lua_State *L) {
    struct pollfd p = { .fd = (int)luaL_checkinteger(L, 1), .events = POLLIN };
    lua_Number seconds = luaL_checknumber(L, 2);
    lua_pushboolean(L, poll(&p, 1, seconds > 1e6 ? -1 : (int)(seconds * 1000)) > 0);
    return 1;
}

/* fork() -> 0 in the child, its pid in the parent */
static int l_fork(lua_State *L) {
    lua_pushinteger(L, fork());
    return 1;
}

/* wait(pid) -> its exit status, or -1 */
static int l_wait(lua_State *L) {
    int status = 0;
    pid_t pid = (pid_t)luaL_checkinteger(L, 1), got;
    do got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    lua_pushinteger(L, got == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 1;
}

int luaopen_posix(lua_State *L) {
    static const luaL_Reg functions[] = { { "poll", l_poll }, { "fork", l_fork }, { "wait", l_wait }, { NULL, NULL } };
    luaL_newlib(L, functions);
    return 1;
}
