/* orrb_chunks.c - in a node's state, Orrery's own Lua bears the same names wherever it is installed: orrery/group.lua.
 *
 * An error that is raised in it names its file, and scripts may keep such a text in a state: installations would
 * differ. So its modules are loaded here, in the place of Lua's own searcher, which names the path. orrb_place knows
 * them by these names.
 *
 * A simulation starts nodes by the hundred, and to compile these modules is most of what a start costs. So who drives
 * simulations keeps them compiled (struct orrb_chunks), in a state of its own: whether a module was there already, a
 * node's state sees no difference of, not even in the memory it takes. A file that has changed is compiled anew. */
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
    lua_State *compiler;            /* its registry: chunk name -> { text, code } */
    bool closed;                    /* the state that keeps them is ending */
};
struct source {
    const char *chunk, *text, *code;
    size_t size, code_size;
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

/* Puts { text, code } on the stack and into the registry. */
static void compile(lua_State *C, const struct source *s) {
    struct dump d = { .begun = false };
    lua_createtable(C, 2, 0);
    lua_pushlstring(C, s->text, s->size);
    lua_rawseti(C, -2, 1);
    if (luaL_loadbufferx(C, s->text, s->size, s->chunk, "t") != LUA_OK) lua_error(C);
    lua_dump(C, append, &d, false);
    luaL_pushresult(&d.buffer);
    lua_rawseti(C, -3, 2);
    lua_pop(C, 1);
    lua_pushvalue(C, -1);
    lua_setfield(C, LUA_REGISTRYINDEX, s->chunk);
}

/* In the compiler: the code of a source. */
static int find_code(lua_State *C) {
    struct source *s = lua_touserdata(C, 1);
    size_t size = 0;
    const char *text = NULL;
    if (lua_getfield(C, LUA_REGISTRYINDEX, s->chunk) == LUA_TTABLE) {
        lua_rawgeti(C, -1, 1);
        text = lua_tolstring(C, -1, &size);
        lua_pop(C, 1);
    }
    if (!text || size != s->size || memcmp(text, s->text, size) != 0) compile(C, s);
    lua_rawgeti(C, -1, 2);
    s->code = lua_tolstring(C, -1, &s->code_size);  /* the registry keeps it */
    return 0;
}

static int load_source(lua_State *L, struct orrb_chunks *chunks, struct source *s) {
    if (chunks && !chunks->closed && !chunks->compiler) chunks->compiler = luaL_newstate();
    if (chunks && chunks->compiler) {
        lua_State *C = chunks->compiler;
        lua_pushcfunction(C, find_code);
        lua_pushlightuserdata(C, s);
        if (lua_pcall(C, 1, 0, 0) == LUA_OK) return luaL_loadbufferx(L, s->code, s->code_size, s->chunk, "b");
        lua_pop(C, 1);                      /* what is wrong with it is told there where it is wanted */
    }
    return luaL_loadbufferx(L, s->text, s->size, s->chunk, "t");
}

static int chunks_close(lua_State *L) {
    struct orrb_chunks *chunks = lua_touserdata(L, 1);
    if (chunks->compiler) lua_close(chunks->compiler);
    *chunks = (struct orrb_chunks){ .closed = true };
    return 0;
}

struct orrb_chunks *orrb_chunks_of(lua_State *L) {
    static const char key = 0;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
        struct orrb_chunks *chunks = lua_newuserdatauv(L, sizeof *chunks, 0);
        *chunks = (struct orrb_chunks){ 0 };
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
    return chunks;
}

/* -- The searcher ------------------------------------------------------------------------------------------------- */
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
    struct source source = { .chunk = chunk, .text = text, .size = size };
    if (load_source(L, lua_touserdata(L, lua_upvalueindex(1)), &source) != LUA_OK) return lua_error(L);
    lua_pushvalue(L, path);
    return 2;
}

void orrb_chunks_install(lua_State *L, struct orrb_chunks *chunks) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_pushlightuserdata(L, chunks);
    lua_pushcclosure(L, search_own, 1);
    lua_rawseti(L, -2, 2);                  /* behind preload */
    lua_pop(L, 2);
}
