/* orrb_visit.c - core.visit: a visit to a live node (orrery/visit.h) on a loop of its own, driven from Lua.
 *
 *     local v <close> = assert(core.visit.new{})
 *     assert(v:open "127.0.0.1:7401")
 *     while v:status() == "opening" do v:step(0.1) end
 *     local a <close> = assert(v:ask("add", 2000000000, 5))
 *     while not a:over() do v:step(0.1) end                       print(a:results())
 *
 * What is asked is an object, as in orrb_ask.h: closed or collected, it is asked no more.                            */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/loop.h>
#include <orrery/visit.h>

#include "orrb.h"

#define VISIT "orrery.core.visit"
#define VISIT_ASK "orrery.core.visit.ask"

struct visit {
    struct orr_loop *loop;          /* NULL: closed */
    struct orr_visit *visit;
    struct orrb_buffer out;
};
struct ask {
    struct orr_visit_call call;     /* first */
    struct visit *visit;            /* kept by the object's user value */
    int status;
    unsigned char *bytes;
    size_t size;
};

static struct visit *check_visit(lua_State *L) {
    struct visit *v = luaL_checkudata(L, 1, VISIT);
    luaL_argcheck(L, v->loop, 1, "the visit is closed");
    return v;
}

static int visit_close(lua_State *L) {
    struct visit *v = luaL_checkudata(L, 1, VISIT);
    if (v->loop) orr_loop_halt(v->loop);
    orr_visit_free(v->visit);
    orr_loop_free(v->loop);
    orrb_buffer_free(L, &v->out);
    v->loop = NULL;
    v->visit = NULL;
    return 0;
}

/* visit.new{ cluster = name or nil } -> handle; or nil, message, code */
static int visit_new(lua_State *L) {
    struct orr_loop_config loop;
    struct orr_visit_config config;
    luaL_checktype(L, 1, LUA_TTABLE);
    orr_loop_config_init(&loop);
    loop.level = ORR_LOG_ERROR;
    orr_visit_config_init(&config);
    lua_getfield(L, 1, "cluster");
    config.cluster = lua_tostring(L, -1);
    struct visit *v = lua_newuserdatauv(L, sizeof *v, 0);
    *v = (struct visit){ 0 };
    luaL_setmetatable(L, VISIT);
    int rc = orr_loop_new(&v->loop, &loop);
    if (rc == 0) rc = orr_visit_new(&v->visit, orr_loop_world(v->loop), &config);
    return rc == 0 ? 1 : orrb_fail(L, rc, "visit");
}

/* visit:open(address) -> true: it is being opened; or nil, why, code */
static int visit_open(lua_State *L) {
    struct visit *v = check_visit(L);
    int rc = orr_visit_open(v->visit, luaL_checkstring(L, 2));
    if (rc < 0) return orrb_fail(L, rc, lua_tostring(L, 2));
    lua_pushboolean(L, true);
    return 1;
}

/* visit:leave(): the connection; it may be opened again */
static int visit_leave(lua_State *L) {
    orr_visit_close(check_visit(L)->visit);
    return 0;
}

/* visit:step(T): one turn, after at most T */
static int visit_step(lua_State *L) {
    orr_loop_step(check_visit(L)->loop, orrb_seconds(L, 2));
    return 0;
}

/* visit:status() -> "closed", "opening" or "open"; why, code; node, cluster, incarnation, calls under way */
static int visit_status(lua_State *L) {
    static const char *const states[] = { "closed", "opening", "open" };
    struct orr_visit_status s;
    orr_visit_status(check_visit(L)->visit, &s);
    lua_pushstring(L, states[s.state]);
    lua_pushstring(L, s.why);
    lua_pushstring(L, s.error ? orr_error_word(s.error) : NULL);
    lua_pushstring(L, s.node);
    lua_pushstring(L, s.cluster);
    lua_pushinteger(L, s.incarnation);
    lua_pushinteger(L, (lua_Integer)s.calls);
    return 7;
}

/* visit:clock() -> seconds */
static int visit_clock(lua_State *L) {
    struct orr_world *w = orr_loop_world(check_visit(L)->loop);
    lua_pushnumber(L, (lua_Number)w->ops->fresh(w) / 1e9);
    return 1;
}

/* visit:fd() -> to be polled for reading */
static int visit_fd(lua_State *L) {
    int fd = orr_loop_fd(check_visit(L)->loop);
    if (fd < 0) return orrb_fail(L, fd, "fd");
    lua_pushinteger(L, fd);
    return 1;
}

/* visit:deadline() -> T in which a step should come at the latest; infinite: no timer */
static int visit_deadline(lua_State *L) {
    struct visit *v = check_visit(L);
    struct orr_world *w = orr_loop_world(v->loop);
    orr_time at = orr_loop_deadline(v->loop), now = w->ops->fresh(w);
    lua_pushnumber(L, at == ORR_NEVER ? (lua_Number)HUGE_VAL : at <= now ? 0.0 : (lua_Number)(at - now) / 1e9);
    return 1;
}

/* -- Asking ------------------------------------------------------------------------------------------------------- */
static void answered(struct orr_visit_call *c) {
    struct ask *a = (struct ask *)(void *)c;
    a->status = c->status;
    a->bytes = c->result.size ? malloc(c->result.size) : NULL;
    if (a->bytes) {
        a->size = c->result.size;
        memcpy(a->bytes, c->result.at, a->size);
    } else if (c->result.size) {
        a->status = ORR_EUNKNOWN;   /* it can't be told */
    }
}

static struct orr_slice name_arg(lua_State *L, int arg) {
    size_t size;
    const char *at = luaL_checklstring(L, arg, &size);
    return orr_borrow(at, size);
}

static struct orr_slice packed(lua_State *L, struct visit *v, int first) {
    v->out.size = 0;
    orrb_value_pack_args(L, first, lua_gettop(L) - first + 1, &v->out);
    return orr_borrow(v->out.at, v->out.size);
}

/* Why it was not even sent: nil, why, code. */
static int not_sent(lua_State *L, struct visit *v, int rc, size_t size) {
    orrb_buffer_trim(L, &v->out);
    lua_pushnil(L);
    if (rc == ORR_EINVALID) lua_pushfstring(L, "arguments of %I bytes are too large", (LUAI_UACINT)size);
    else lua_pushstring(L, orr_strerror(rc));
    lua_pushstring(L, orr_error_word(rc));
    return 3;
}

/* visit:ask(name, T in ns, ...) -> what waits for the answer; or nil, why, code */
static int visit_ask(lua_State *L) {
    struct visit *v = check_visit(L);
    struct orr_world *w = orr_loop_world(v->loop);
    struct orr_slice name = name_arg(L, 2), args;
    orr_time within = luaL_checkinteger(L, 3);
    args = packed(L, v, 4);
    struct ask *a = lua_newuserdatauv(L, sizeof *a, 1);
    *a = (struct ask){ .call = { .done = answered }, .visit = v, .status = ORR_EUNKNOWN };
    luaL_setmetatable(L, VISIT_ASK);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    int rc = orr_visit_call(v->visit, &a->call, name, args, w->ops->now(w) + within);
    if (rc < 0) return not_sent(L, v, rc, args.size);
    orrb_buffer_trim(L, &v->out);
    return 1;
}

/* visit:cast(name, ...) -> true; or nil, why, code */
static int visit_cast(lua_State *L) {
    struct visit *v = check_visit(L);
    struct orr_slice name = name_arg(L, 2), args = packed(L, v, 3);
    int rc = orr_visit_cast(v->visit, name, args);
    if (rc < 0) return not_sent(L, v, rc, args.size);
    orrb_buffer_trim(L, &v->out);
    lua_pushboolean(L, true);
    return 1;
}

static bool under_way(const struct ask *a) { return orr_visit_busy(&a->call) && a->visit->visit; }

static int ask_close(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, VISIT_ASK);
    if (under_way(a)) orr_visit_cancel(a->visit->visit, &a->call);
    free(a->bytes);
    a->bytes = NULL;
    a->size = 0;
    return 0;
}

/* ask:over(): is there an answer, or will there be none? */
static int ask_over(lua_State *L) {
    lua_pushboolean(L, !under_way(luaL_checkudata(L, 1, VISIT_ASK)));
    return 1;
}

static int push_failure(lua_State *L, int status, const char *text, size_t size) {
    lua_pushboolean(L, false);
    if (status == ORR_EFAILED && size) lua_pushlstring(L, text, size);
    else if (status == ORR_EINVALID) lua_pushliteral(L, "there is no such handler");
    else lua_pushstring(L, orr_strerror(status));
    lua_pushstring(L, orr_error_word(status));
    return 3;
}

/* ask:results() -> true, what came; or false, why, code */
static int ask_results(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, VISIT_ASK);
    int status = orr_visit_busy(&a->call) ? ORR_EUNKNOWN : a->status;
    if (status < 0) return push_failure(L, status, (const char *)a->bytes, a->size);
    lua_pushboolean(L, true);
    int n = orrb_value_unpack_args(L, a->bytes, a->size);
    return n >= 0 ? n + 1 : push_failure(L, ORR_ECORRUPT, NULL, 0);
}

/* -- The room ----------------------------------------------------------------------------------------------------- */
static void new_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction close) {
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}

int orrb_open_visit(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "open", visit_open }, { "leave", visit_leave }, { "step", visit_step }, { "status", visit_status },
        { "clock", visit_clock }, { "fd", visit_fd }, { "deadline", visit_deadline }, { "ask", visit_ask },
        { "cast", visit_cast }, { "close", visit_close }, { NULL, NULL },
    };
    static const luaL_Reg ask_methods[] = {
        { "over", ask_over }, { "results", ask_results }, { "close", ask_close }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = { { "new", visit_new }, { NULL, NULL } };
    new_class(L, VISIT, methods, visit_close);
    new_class(L, VISIT_ASK, ask_methods, ask_close);
    luaL_newlib(L, functions);
    return 1;
}
