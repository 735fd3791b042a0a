/* orrb_node_hlc.c - a node's hybrid logical clock, for scripts (lua/orrery/node_hlc.lua).
 *
 * A stamp is an integer, all 64 bits of it, as in orrb_hlc.c. Its time in seconds is a multiple of 2^-16, which a
 * double has exactly. */
#include <errno.h>
#include <math.h>

#include <orrery/node_hlc.h>
#include <orrery/time.h>

#include "orrb.h"
#include "orrb_script.h"

enum { COUNTER_BITS = 16 };
static const double units_per_second = 65536;

static const struct orrb_host *host(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }
static struct orr_node *node(lua_State *L) { return host(L)->tasks.node; }

static double seconds_of(orr_hlc_stamp stamp) { return (double)(stamp >> COUNTER_BITS) / units_per_second; }

static int push_stamp(lua_State *L, orr_hlc_stamp stamp) {
    lua_pushinteger(L, (lua_Integer)stamp);
    return 1;
}

/* -- Failures ------------------------------------------------------------------------------------------------------ */
static int fail(lua_State *L, int rc, const char *what, const char *why) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", what, why);
    lua_pushstring(L, orr_error_word(rc));
    return 3;
}

static int unavailable(lua_State *L, const char *what) {
    char why[200];
    orr_node_time_why(node(L), why, sizeof why);
    return fail(L, ORR_EUNAVAILABLE, what, why[0] ? why : "there are no stamps after 2106");
}

static int denied(lua_State *L, const char *what, orr_hlc_stamp heard) {
    struct orr_node_time t;
    double ahead = orr_node_time_peek(node(L), &t) == 0 ? seconds_of(heard) - (double)t.latest / 1e9 : 0;
    lua_pushnil(L);
    lua_pushfstring(L, "%s: its stamp is %f s ahead of the latest that the time can be, and clock.skew_max is %f s",
                    what, ahead, (double)orr_node_hlc_skew_max(node(L)) / 1e9);
    lua_pushstring(L, orr_error_word(ORR_EDENIED));
    return 3;
}

static int failed(lua_State *L, int rc, const char *what, orr_hlc_stamp heard) {
    switch (rc) {
    case -EAGAIN: lua_pushboolean(L, 0); return 1;
    case ORR_EUNAVAILABLE: return unavailable(L, what);
    case ORR_EDENIED: return denied(L, what, heard);
    case ORR_ECORRUPT:
        return fail(L, rc, what, "its saved value, orrery.hlc in the node's directory, is damaged: which stamps were "
                                 "given before is not known");
    default: return fail(L, rc, what, lua_pushfstring(L, "the limit of its stamps can't be stored: %s",
                                                      orr_strerror(rc)));
    }
}

/* -- Functions ----------------------------------------------------------------------------------------------------- */
/* stamp(what [, heard]) -> a stamp; false: wait; nil, message, code */
static int stamp_of(lua_State *L) {
    const char *what = luaL_checkstring(L, 1);
    orr_hlc_stamp heard = (orr_hlc_stamp)luaL_optinteger(L, 2, 0), stamp;
    int rc = lua_isnoneornil(L, 2) ? orr_node_hlc_now(node(L), &stamp) : orr_node_hlc_recv(node(L), heard, &stamp);
    return rc < 0 ? failed(L, rc, what, heard) : push_stamp(L, stamp);
}

static int waited(lua_State *L, int status, lua_KContext ctx) {
    const struct orrb_task *t = (struct orrb_task *)ctx;
    struct orr_node_hlc_status s;
    const char *what = lua_tostring(L, 1);
    (void)status;
    if (t->wait.status == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (t->wait.status != ORR_ETIMEOUT) return orrb_fail(L, t->wait.status, what);
    orr_node_hlc_status(node(L), &s);
    const char *limit = "the limit of its stamps is not on the disk yet";
    bool ahead = s.ahead > orr_node_hlc_skew_max(node(L));
    return fail(L, ORR_ETIMEOUT, what,
                ahead ? lua_pushfstring(L, "its stamps are %f s ahead of the time, and others take %f s",
                                        (double)s.ahead / 1e9, (double)orr_node_hlc_skew_max(node(L)) / 1e9) : limit);
}

/* wait(what, timeout) -> true: it is worth asking again; nil, message, code. Waits. */
static int wait_for(lua_State *L) {
    struct orrb_tasks *all = &((struct orrb_host *)lua_touserdata(L, lua_upvalueindex(1)))->tasks;
    const char *what = luaL_checkstring(L, 1);
    struct orrb_task *t = orrb_task_check(L, all, what);
    orr_time until = orrb_task_until(t, orrb_seconds(L, 2));
    int rc = orr_node_hlc_wait(all->node, orrb_task_request(t), until);
    return rc < 0 ? orrb_fail(L, rc, what) : orrb_task_wait(L, t, waited);
}

/* parts(stamp) -> seconds since 1970, counter */
static int parts(lua_State *L) {
    orr_hlc_stamp stamp = (orr_hlc_stamp)luaL_checkinteger(L, 1);
    lua_pushnumber(L, seconds_of(stamp));
    lua_pushinteger(L, (lua_Integer)(stamp & ((1 << COUNTER_BITS) - 1)));
    return 2;
}

/* of(seconds since 1970) -> the least stamp of that time */
static int of(lua_State *L) {
    double units = floor(luaL_checknumber(L, 1) * units_per_second), most = 281474976710655;
    uint64_t n = !(units > 0) ? 0 : units > most ? (uint64_t)most : (uint64_t)units;
    return push_stamp(L, n << COUNTER_BITS);
}

/* status() -> last, limit (nil: none), skew_max, ahead, given, refused */
static int status(lua_State *L) {
    struct orr_node_hlc_status s;
    orr_node_hlc_status(node(L), &s);
    lua_createtable(L, 0, 6);
    if (s.last) orrb_set_count(L, "last", s.last);
    if (s.limit) orrb_set_count(L, "limit", s.limit);
    orrb_set_number(L, "skew_max", (double)orr_node_hlc_skew_max(node(L)) / 1e9);
    orrb_set_number(L, "ahead", (double)s.ahead / 1e9);
    orrb_set_count(L, "given", s.given);
    orrb_set_count(L, "refused", s.refused);
    return 1;
}

void orrb_node_hlc_open(lua_State *L, struct orrb_host *h) {
    static const luaL_Reg functions[] = { { "stamp", stamp_of }, { "wait", wait_for }, { "parts", parts },
                                          { "of", of },          { "status", status }, { NULL, NULL } };
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, h);
    luaL_setfuncs(L, functions, 1);
}
