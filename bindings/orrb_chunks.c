/* orrb_chunks.c - in a node's state, Orrery's own Lua bears the same names wherever it is installed: orrery/group.lua.
 *
 * An error that is raised in it names its file, and scripts may keep such a text in a state: installations would
 * differ. So its modules are loaded here, in the place of Lua's own searcher, which names the path. orrb_place knows
 * them by these names.
 *
 * A simulation starts nodes by the hundred, and to compile these modules is most of what a start costs. So who drives
 * simulations keeps them compiled (struct orrb_chunks), in a state of its own, which finds, reads and compiles the
 * files too: of whether a module was there already, a node's state sees nothing, not even in the memory it takes. A
 * file is looked at once in a simulation, and compiled anew where it has changed. */
#include <lualib.h>
#include <stdbool.h>
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

/* -- Compiled chunks ---------------------------------------------------------------------------------------------- */
struct orrb_chunks {
    lua_State *compiler;            /* its registry: chunk name -> { text, code, file, simulation } */
    bool closed;                    /* the state that keeps them is ending */
    lua_Integer simulations;
};
enum { TEXT = 1, CODE, FILE_NAME, SIMULATION };

/* What is looked for, and what is found: code and file are kept by the registry. */
struct source {
    const char *name, *chunk, *path;
    lua_Integer simulation;
    const char *code, *file;
    size_t size;
};
struct dump {
    luaL_Buffer buffer;
    bool begun;
};

static int append(lua_State *C, const void *bytes, size_t size, void *ud) {
    struct dump *d = ud;
    if (!d->begun) luaL_buffinit(C, &d->buffer);    /* not before: lua_dump wants the function at the top */
    d->begun = true;
    luaL_addlstring(&d->buffer, bytes, size);
    return 0;
}

/* Of the text at the top; leaves the code in its place. */
static void compile(lua_State *C, const char *chunk) {
    struct dump d = { .begun = false };
    size_t size;
    const char *text = lua_tolstring(C, -1, &size);
    if (luaL_loadbufferx(C, text, size, chunk, "t") != LUA_OK) lua_error(C);
    lua_dump(C, append, &d, false);
    luaL_pushresult(&d.buffer);
    lua_replace(C, -3);
    lua_pop(C, 1);
}

/* Leaves the path of the module's file; or, false, where it was looked for. */
static bool find_file(lua_State *L, const char *name, const char *path) {
    lua_getglobal(L, "package");
    int top = lua_gettop(L);
    lua_getfield(L, -1, "searchpath");
    lua_pushstring(L, name);
    lua_pushstring(L, path);
    lua_call(L, 2, 2);
    bool found = !lua_isnil(L, -2);
    lua_pushvalue(L, found ? -2 : -1);
    lua_replace(L, top);
    lua_settop(L, top);
    return found;
}

/* In the compiler, with the table that is kept for the chunk at the top: as the file is now. */
static void look_at_file(lua_State *C, const struct source *s) {
    int kept = lua_gettop(C);
    if (!find_file(C, s->name, s->path)) lua_error(C);
    push_file(C, lua_gettop(C));
    lua_rawgeti(C, kept, TEXT);
    if (!lua_rawequal(C, -1, -2)) {
        lua_pushvalue(C, -2);
        compile(C, s->chunk);
        lua_rawseti(C, kept, CODE);
        lua_pushvalue(C, -2);
        lua_rawseti(C, kept, TEXT);
    }
    lua_pop(C, 2);
    lua_rawseti(C, kept, FILE_NAME);
    lua_pushinteger(C, s->simulation);
    lua_rawseti(C, kept, SIMULATION);
}

static int find_code(lua_State *C) {
    struct source *s = lua_touserdata(C, 1);
    luaL_getsubtable(C, LUA_REGISTRYINDEX, s->chunk);
    lua_rawgeti(C, -1, SIMULATION);
    bool seen = lua_tointeger(C, -1) == s->simulation;
    lua_pop(C, 1);
    if (!seen) look_at_file(C, s);
    lua_rawgeti(C, -1, CODE);
    s->code = lua_tolstring(C, -1, &s->size);
    lua_rawgeti(C, -2, FILE_NAME);
    s->file = lua_tostring(C, -1);
    return 0;
}

/* False: there is something wrong with the module. */
static bool find_compiled(struct orrb_chunks *chunks, struct source *s) {
    if (!chunks || chunks->closed) return false;
    if (!chunks->compiler) {
        chunks->compiler = luaL_newstate();
        if (!chunks->compiler) return false;
        luaL_openlibs(chunks->compiler);
    }
    lua_State *C = chunks->compiler;
    lua_pushcfunction(C, find_code);
    lua_pushlightuserdata(C, s);
    bool found = lua_pcall(C, 1, 0, 0) == LUA_OK;
    if (!found) lua_pop(C, 1);
    return found;
}

static int chunks_close(lua_State *L) {
    struct orrb_chunks *chunks = lua_touserdata(L, 1);
    if (chunks->compiler) lua_close(chunks->compiler);
    *chunks = (struct orrb_chunks){ .closed = true };
    return 0;
}

struct orrb_chunks *orrb_chunks_of(lua_State *L, lua_Integer *simulation) {
    static const char key = 0;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
        struct orrb_chunks *made = lua_newuserdatauv(L, sizeof *made, 0);
        *made = (struct orrb_chunks){ 0 };
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, chunks_close);
        lua_setfield(L, -2, "__gc");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
        lua_remove(L, -2);
    }
    struct orrb_chunks *chunks = lua_touserdata(L, -1);
    lua_pop(L, 1);
    *simulation = ++chunks->simulations;
    return chunks;
}

/* -- The searcher ------------------------------------------------------------------------------------------------- */
static int load_file(lua_State *L, const char *name, const char *chunk, const char *path) {
    if (!find_file(L, name, path)) return 1;
    int file = lua_gettop(L);
    push_file(L, file);
    size_t size;
    const char *text = luaL_checklstring(L, -1, &size);
    if (luaL_loadbufferx(L, text, size, chunk, "t") != LUA_OK) return lua_error(L);
    lua_pushvalue(L, file);
    return 2;
}

/* A searcher of require: the loader, and the path. */
static int search_own(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    if (strncmp(name, "orrery.", 7) != 0) return 0;
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    const char *path = luaL_checkstring(L, -1);
    luaL_gsub(L, name, ".", "/");
    const char *chunk = lua_pushfstring(L, "@%s.lua", lua_tostring(L, -1));
    struct source s = { .name = name, .chunk = chunk, .path = path,
                        .simulation = lua_tointeger(L, lua_upvalueindex(2)) };
    if (!find_compiled(lua_touserdata(L, lua_upvalueindex(1)), &s)) return load_file(L, name, chunk, path);
    if (luaL_loadbufferx(L, s.code, s.size, chunk, "b") != LUA_OK) return lua_error(L);
    lua_pushstring(L, s.file);
    return 2;
}

void orrb_chunks_install(lua_State *L, const struct orrb_script *script) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_pushlightuserdata(L, script->chunks);
    lua_pushinteger(L, script->simulation);
    lua_pushcclosure(L, search_own, 2);
    lua_rawseti(L, -2, 2);                  /* behind preload */
    lua_pop(L, 2);
}
