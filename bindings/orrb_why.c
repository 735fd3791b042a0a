/* orrb_why.c - why a value can't be packed: the first offence in the order of keys, by its path.
 *
 * Packing stops at the first offence that it meets, in the order in which Lua happens to keep a table; the complaint
 * must be the same in every process. So it is looked for again, slowly: at each table the least key whose value
 * offends. Tables that were found clean are remembered with the depth where that was, for the same table deeper down
 * may still be too deep. A cycle offends by its depth; on the way down to it it is known as a cycle.               */
#include <stdio.h>

#include "orrb_pack.h"

enum { TEXT_MAX = 40 };             /* bytes that are shown of a key */

struct search {
    lua_State *L;
    int clean;                      /* where the table is: table -> depth + 1 */
    int path;                       /* and that of the tables and maps on the way down */
    unsigned flags;
};

static bool is_clean(struct search *s, int depth) {
    lua_pushvalue(s->L, -1);
    bool clean = lua_rawget(s->L, s->clean) == LUA_TNUMBER && lua_tointeger(s->L, -1) > depth;
    lua_pop(s->L, 1);
    return clean;
}

static void set_clean(struct search *s, int depth) {
    lua_pushvalue(s->L, -1);
    lua_pushinteger(s->L, depth + 1);
    lua_rawset(s->L, s->clean);
}

static bool has_metatable(lua_State *L) {
    if (!lua_getmetatable(L, -1)) return false;
    lua_pop(L, 1);
    return true;
}

/* Whether the value at the top offends; the stack is as it was. */
static bool offends(struct search *s, int depth) {
    lua_State *L = s->L;
    struct orrb_key key;
    int type = lua_type(L, -1), top = lua_gettop(L);
    if (type == LUA_TUSERDATA) return !(s->flags & ORRB_VALUE_MAPS && depth < 2 && orrb_map_at(L, -1));
    if (type != LUA_TTABLE) return type > LUA_TTABLE || type == LUA_TLIGHTUSERDATA;
    if (depth >= ORRB_TABLE_DEPTH || has_metatable(L)) return true;
    if (is_clean(s, depth)) return false;
    luaL_checkstack(L, 8, NULL);
    bool bad = false;
    for (lua_pushnil(L); !bad && lua_next(L, top);) {
        bad = !orrb_key_at(L, -2, &key) || offends(s, depth + 1);
        lua_pop(L, 1);
    }
    lua_settop(L, top);
    if (!bad) set_clean(s, depth);
    return bad;
}

/* Of the table at the top the least key whose value offends, pushed with that value. A key that has no order offends
 * itself and comes after all others: then nil is pushed, and *type is the least type of such. False: there is none. */
static bool push_first(struct search *s, int depth, int *type) {
    lua_State *L = s->L;
    struct orrb_key best, key;
    int table = lua_gettop(L);
    bool found = false;
    *type = LUA_NUMTYPES;
    luaL_checkstack(L, 8, NULL);
    lua_pushnil(L);                                         /* table + 1: the best key so far; it keeps best.at alive */
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (!orrb_key_at(L, -2, &key)) {
            if (lua_type(L, -2) < *type) *type = lua_type(L, -2);
        } else if ((!found || orrb_key_compare(&key, &best) < 0) && offends(s, depth)) {
            best = key;
            found = true;
            lua_pushvalue(L, -2);
            lua_replace(L, table + 1);
        }
    }
    if (!found && *type == LUA_NUMTYPES) return false;
    lua_pushvalue(L, table + 1);
    if (found) lua_rawget(L, table);
    return true;
}

/* -- In words ------------------------------------------------------------------------------------------------------ */
static bool is_name(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) return false;
    }
    return size > 0 && size <= TEXT_MAX;
}

static void add_quoted(luaL_Buffer *out, const char *text, size_t size) {
    char code[8];
    luaL_addstring(out, "[\"");
    for (size_t i = 0; i < size && i < TEXT_MAX; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 32 && c < 127 && c != '"' && c != '\\') snprintf(code, sizeof code, "%c", c);
        else snprintf(code, sizeof code, c == '"' || c == '\\' ? "\\%c" : "\\x%02x", c);
        luaL_addstring(out, code);
    }
    luaL_addstring(out, size > TEXT_MAX ? "...\"]" : "\"]");
}

void orrb_key_describe(lua_State *L, int idx) {
    luaL_Buffer out;
    size_t size;
    idx = lua_absindex(L, idx);
    if (lua_type(L, idx) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, idx, &size);
        luaL_buffinit(L, &out);
        if (!is_name(text, size)) {
            add_quoted(&out, text, size);
        } else {
            luaL_addchar(&out, '.');
            luaL_addlstring(&out, text, size);
        }
        luaL_pushresult(&out);
    } else {
        lua_pushfstring(L, "[%s]", luaL_tolstring(L, idx, NULL));
        lua_remove(L, -2);
    }
}

static int raise_type(lua_State *L, const char *path, int type) {
    const char *name = lua_typename(L, type);
    if (type != LUA_TUSERDATA) return luaL_error(L, "%s is a %s", path, name);
    if (luaL_getmetafield(L, -1, "__name") == LUA_TSTRING) name = lua_tostring(L, -1);
    return luaL_error(L, "%s is %s %s", path, strchr("aeiou", *name) ? "an" : "a", name);
}

/* What the value at the top is itself, its path at idx `path`; returns when it is something in it. */
static void judge(struct search *s, int path, int depth) {
    lua_State *L = s->L;
    int type = lua_type(L, -1);
    const char *text = lua_tostring(L, path);
    if (type != LUA_TTABLE) {
        raise_type(L, text, type);
    } else if (has_metatable(L)) {
        luaL_error(L, "%s has a metatable", text);
    } else {
        lua_pushvalue(L, -1);
        if (lua_rawget(L, s->path) != LUA_TNIL) luaL_error(L, "%s is a cycle", text);
        lua_pop(L, 1);
        if (depth >= ORRB_TABLE_DEPTH) luaL_error(L, "%s is more than %d tables deep", text, ORRB_TABLE_DEPTH);
        lua_pushvalue(L, -1);
        lua_pushboolean(L, 1);
        lua_rawset(L, s->path);
    }
}

int orrb_why(lua_State *L, int idx, unsigned flags, const char *what) {
    struct search s = { .L = L, .flags = flags };
    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 12, NULL);
    lua_newtable(L);
    s.clean = lua_gettop(L);
    lua_newtable(L);
    s.path = lua_gettop(L);
    lua_pushstring(L, what);
    int path = lua_gettop(L);
    lua_pushvalue(L, idx);
    for (int depth = 0; depth <= ORRB_TABLE_DEPTH; depth++) {
        judge(&s, path, depth);
        int table = lua_gettop(L), type;
        if (!push_first(&s, depth + 1, &type)) break;
        if (lua_isnil(L, -2))
            return luaL_error(L, "%s has a %s as a key", lua_tostring(L, path), lua_typename(L, type));
        orrb_key_describe(L, -2);
        lua_pushvalue(L, path);
        lua_insert(L, -2);
        lua_concat(L, 2);
        lua_replace(L, path);
        lua_replace(L, table);                              /* the value is the next to look at */
        lua_settop(L, table);
    }
    return luaL_error(L, "%s changed while it was packed", what);
}
