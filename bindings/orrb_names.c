/* orrb_names.c - core.names: tostring and string.format without addresses.
 *
 * A table, function, thread or userdata is named by a number, in the order in which the state was asked for names:
 * "table: 1". A pure function has its own count from 1, since what was named before differs between replicas.       */
#include <string.h>

#include "orrb_environment.h"

static lua_Integer number_of(lua_State *L, struct orrb_environment *e, int at) {
    lua_Integer *given = e->pure ? &e->pure_names : &e->names;
    at = lua_absindex(L, at);
    orrb_environment_kept(L, e->pure ? ORRB_PURE_NAMES : ORRB_NAMES, "k");
    lua_pushvalue(L, at);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushvalue(L, at);
        lua_pushinteger(L, *given + 1);
        lua_rawset(L, -3);
        lua_pushinteger(L, ++*given);
    }
    lua_Integer number = lua_tointeger(L, -1);
    lua_pop(L, 2);
    return number;
}

static bool is_reference(lua_State *L, int at) {
    int kind = lua_type(L, at);
    return kind == LUA_TTABLE || kind == LUA_TFUNCTION || kind == LUA_TUSERDATA || kind == LUA_TTHREAD ||
           kind == LUA_TLIGHTUSERDATA;
}

const char *orrb_tostring(lua_State *L, struct orrb_environment *e, int at, size_t *size) {
    at = lua_absindex(L, at);
    if (luaL_getmetafield(L, at, "__tostring") != LUA_TNIL) {
        lua_pushvalue(L, at);
        lua_call(L, 1, 1);
        if (!lua_isstring(L, -1)) luaL_error(L, "'__tostring' must return a string");
        return lua_tolstring(L, -1, size);
    }
    if (!is_reference(L, at)) return luaL_tolstring(L, at, size);
    if (luaL_getmetafield(L, at, "__name") != LUA_TSTRING) lua_pushstring(L, luaL_typename(L, at));
    lua_pushfstring(L, "%s: %I", lua_tostring(L, -1), (LUAI_UACINT)number_of(L, e, at));
    return lua_tolstring(L, -1, size);
}

static int names_tostring(lua_State *L) {
    luaL_checkany(L, 1);
    orrb_tostring(L, orrb_self(L), 1, NULL);
    return 1;
}

/* -- string.format: Lua's own (upvalue 2) gets texts where a reference was asked for ------------------------------- */
/* A reference as %p shows it: its number. What has no identity, strings among them, is "(null)", as Lua's numbers. */
static void replace_pointer(lua_State *L, struct orrb_environment *e, int at) {
    if (is_reference(L, at)) lua_pushfstring(L, "0x%I", (LUAI_UACINT)number_of(L, e, at));
    else lua_pushliteral(L, "(null)");
    lua_replace(L, at);
}

/* Walks the format: %s of anything but text and numbers gets its tostring, and %p becomes %s, in `format`. */
static void replace_references(lua_State *L, struct orrb_environment *e, char *format, size_t size) {
    int at = 1, top = lua_gettop(L);
    for (char *c = format; c < format + size; c++) {
        if (*c != '%') continue;
        if (*++c == '%') continue;
        char *from = c;
        c += strspn(c, "-+ #0123456789.");
        if (++at > top) return;
        int kind = lua_type(L, at);
        if (*c == 's' && kind != LUA_TSTRING && kind != LUA_TNUMBER) {
            orrb_tostring(L, e, at, NULL);
            lua_replace(L, at);
            lua_settop(L, top);
        } else if (*c == 'p' && strspn(from, "-0123456789") == (size_t)(c - from)) {
            replace_pointer(L, e, at);
            *c = 's';
        }
    }
}

static int names_format(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    size_t size;
    const char *format = luaL_checklstring(L, 1, &size);
    int top = lua_gettop(L);
    bool all_texts = !memchr(format, 'p', size);
    for (int i = 2; i <= top && all_texts; i++) all_texts = lua_isstring(L, i);
    if (!all_texts) {
        char *copy = lua_newuserdatauv(L, size + 1, 0);
        lua_insert(L, 1);           /* kept below */
        memcpy(copy, format, size + 1);
        lua_pushvalue(L, 1);
        lua_remove(L, 1);
        lua_insert(L, top + 1);
        replace_references(L, e, copy, size);
        lua_pushlstring(L, copy, size);
        lua_replace(L, 1);
        lua_settop(L, top);
    }
    int n = orrb_stock_call(L);
    orrb_charge_bytes(L, e, lua_rawlen(L, -1));
    return n;
}

int orrb_open_names(lua_State *L) {
    static const luaL_Reg functions[] = { { "tostring", names_tostring }, { NULL, NULL } };
    orrb_environment_functions(L, functions);
    orrb_environment_push(L);
    orrb_environment_stock(L, "string", "format");
    lua_pushcclosure(L, names_format, 2);
    lua_setfield(L, -2, "format");
    return 1;
}
