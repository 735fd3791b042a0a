/* orrb_hlc.c - core.hlc: a hybrid logical clock as an object. Nothing here reads a clock; times are integers, in ns.
 *
 * A stamp is the integer that it is in C, all of its 64 bits: from 2038 on Lua takes it for negative, and math.ult is
 * what compares. lua/orrery/hlc.lua checks the options.                                                              */
#include <orrery/hlc.h>

#include "orrb.h"

#define HLC "orrery.hlc"

static struct orr_hlc *check(lua_State *L) { return luaL_checkudata(L, 1, HLC); }

static orr_hlc_stamp check_stamp(lua_State *L, int arg) { return (orr_hlc_stamp)luaL_checkinteger(L, arg); }

static int push_stamp(lua_State *L, orr_hlc_stamp stamp) {
    lua_pushinteger(L, (lua_Integer)stamp);
    return 1;
}

/* hlc.new(options): those of orrery.hlc, checked -> the object */
static int hlc_new(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    struct orr_hlc_config config;
    orr_hlc_config_init(&config);
    config.skew_max = orrb_integer_field(L, 1, "skew_max", config.skew_max);
    config.ahead = orrb_integer_field(L, 1, "ahead", config.ahead);
    orr_hlc_stamp limit = (orr_hlc_stamp)orrb_integer_field(L, 1, "limit", 0);
    struct orr_hlc *h = lua_newuserdatauv(L, sizeof *h, 0);
    int rc = orr_hlc_init(h, &config, limit);
    if (rc) return orrb_fail(L, rc, HLC);
    luaL_setmetatable(L, HLC);
    return 1;
}

static int hlc_now(lua_State *L) {
    orr_hlc_stamp stamp;
    int rc = orr_hlc_tick(check(L), luaL_checkinteger(L, 2), &stamp);
    return rc ? orrb_fail(L, rc, HLC ":now") : push_stamp(L, stamp);
}

/* h:recv(ns, stamp [, latest]) */
static int hlc_recv(lua_State *L) {
    orr_time wall = luaL_checkinteger(L, 2);
    orr_hlc_stamp heard = check_stamp(L, 3), stamp;
    struct orr_hlc *h = check(L);
    int rc = orr_hlc_receive(h, wall, luaL_optinteger(L, 4, wall), heard, &stamp);
    if (rc == 0) return push_stamp(L, stamp);
    if (rc != ORR_EDENIED) return orrb_fail(L, rc, HLC ":recv");
    lua_pushnil(L);
    lua_pushfstring(L, HLC ":recv: its stamp is more than %I ns ahead", (LUAI_UACINT)h->skew_max);
    lua_pushstring(L, orr_error_word(rc));
    return 3;
}

/* h:parts(stamp) -> ns since 1970, counter */
static int hlc_parts(lua_State *L) {
    (void)check(L);
    orr_hlc_stamp stamp = check_stamp(L, 2);
    lua_pushinteger(L, orr_hlc_time(stamp));
    lua_pushinteger(L, (lua_Integer)(stamp & UINT16_MAX));
    return 2;
}

static int hlc_of(lua_State *L) {
    (void)check(L);
    return push_stamp(L, orr_hlc_of(luaL_checkinteger(L, 2)));
}

/* -- The limit ----------------------------------------------------------------------------------------------------- */
static int hlc_store(lua_State *L) {
    orr_hlc_stamp limit;
    if (!orr_hlc_store(check(L), luaL_checkinteger(L, 2), &limit)) return 0;
    return push_stamp(L, limit);
}

static int hlc_stored(lua_State *L) {
    struct orr_hlc *h = check(L);
    orr_hlc_stamp limit = check_stamp(L, 2);
    if (limit > h->asked) {
        lua_pushnil(L);
        lua_pushliteral(L, HLC ":stored: nobody asked for this limit to be stored");
        lua_pushstring(L, orr_error_word(ORR_EINVALID));
        return 3;
    }
    orr_hlc_stored(h, limit);
    lua_pushboolean(L, true);
    return 1;
}

static int hlc_unstored(lua_State *L) {
    orr_hlc_unstored(check(L));
    lua_pushboolean(L, true);
    return 1;
}

static int hlc_usable(lua_State *L) {
    lua_pushboolean(L, orr_hlc_usable(check(L), check_stamp(L, 2)));
    return 1;
}

static int hlc_ahead(lua_State *L) {
    lua_pushinteger(L, orr_hlc_ahead(check(L), luaL_checkinteger(L, 2)));
    return 1;
}

static int hlc_status(lua_State *L) {
    const struct orr_hlc *h = check(L);
    const struct {
        const char *name;
        lua_Integer value;
    } figures[] = { { "last", (lua_Integer)h->last },       { "limit", (lua_Integer)h->limit },
                    { "asked", (lua_Integer)h->asked },     { "skew_max", h->skew_max },
                    { "ahead", h->ahead },                  { "refused", (lua_Integer)h->refused } };
    lua_createtable(L, 0, (int)(sizeof figures / sizeof *figures));
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        lua_pushinteger(L, figures[i].value);
        lua_setfield(L, -2, figures[i].name);
    }
    return 1;
}

static int hlc_tostring(lua_State *L) {
    const struct orr_hlc *h = check(L);
    lua_pushfstring(L, HLC "(last=%I ns+%d limit=%I ns refused=%I)", (LUAI_UACINT)orr_hlc_time(h->last),
                    (int)(h->last & UINT16_MAX), (LUAI_UACINT)orr_hlc_time(h->limit), (LUAI_UACINT)h->refused);
    return 1;
}

int orrb_open_hlc(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "now", hlc_now },           { "recv", hlc_recv },     { "parts", hlc_parts }, { "of", hlc_of },
        { "store", hlc_store },       { "stored", hlc_stored }, { "usable", hlc_usable },
        { "unstored", hlc_unstored }, { "ahead", hlc_ahead },   { "status", hlc_status }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = { { "new", hlc_new }, { NULL, NULL } };
    luaL_newmetatable(L, HLC);
    lua_pushcfunction(L, hlc_tostring);
    lua_setfield(L, -2, "__tostring");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
