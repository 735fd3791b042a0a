/* orrb_rpc.c - messages between nodes, for scripts: handlers, which are tasks, and calls, which wait.
 *
 * A handler's results travel as an array of MessagePack values that keeps its nils, whatever they are: a `nil, message,
 * code` of a handler reaches the caller as it is. Only what never became an answer is an error here; `call` puts a
 * boolean first, by which lua/orrery/rpc.lua tells the two apart. */
#include <stdlib.h>
#include <string.h>

#include "orrb.h"
#include "orrb_script.h"

/* -- Handlers ----------------------------------------------------------------------------------------------------- */
struct orrb_handler {
    struct orrb_handler *next;
    size_t size;
    int function;                   /* reference; LUA_NOREF: it was closed */
    uint32_t running, limit;
    char name[];
};

static struct orrb_handler *find(const struct orrb_host *h, const void *name, size_t size) {
    struct orrb_handler *at = h->handlers;
    while (at && (at->size != size || memcmp(at->name, name, size) != 0)) at = at->next;
    return at;
}

static struct orrb_host *host(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* on(name, f or nil, limit) */
static int on(lua_State *L) {
    struct orrb_host *h = host(L);
    size_t size;
    const char *name = luaL_checklstring(L, 1, &size);
    struct orrb_handler *at = find(h, name, size);
    if (!at) {
        at = calloc(1, sizeof *at + size);
        if (!at) return luaL_error(L, "not enough memory");
        memcpy(at->name, name, size);
        at->size = size;
        at->function = LUA_NOREF;
        at->next = h->handlers;
        h->handlers = at;
    }
    luaL_unref(L, LUA_REGISTRYINDEX, at->function);
    at->function = LUA_NOREF;
    at->limit = (uint32_t)luaL_checkinteger(L, 3);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) at->function = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void handler_over(struct orrb_task *t, int status, const char *text) {
    struct orr_asked *a = t->asked;
    struct orrb_handler *handler = t->of;
    handler->running--;
    t->asked = NULL;
    if (a) orr_node_answer(a, status, orr_borrow(text ? text : "", text ? strlen(text) : 0));
}

static int answered(lua_State *L, int status, lua_KContext ctx) {
    struct orrb_task *t = (struct orrb_task *)ctx;
    struct orrb_buffer *out = &t->all->out;
    (void)status;
    if (t->asked->cast) return 0;
    out->size = 0;
    orrb_value_pack_args(L, 2, lua_gettop(L) - 1, out);
    orr_node_answer(t->asked, 0, orr_borrow(out->at, out->size));
    t->asked = NULL;
    return 0;
}

/* The body of a handler's task. */
static int handle(lua_State *L) {
    struct orrb_task *t = lua_touserdata(L, 1);
    const struct orrb_handler *handler = t->of;
    lua_rawgeti(L, LUA_REGISTRYINDEX, handler->function);
    int n = orrb_value_unpack_args(L, t->got.at, t->got.size);
    orrb_task_let_go(t);
    if (n < 0) return luaL_error(L, "%s: the arguments can't be read", handler->name);
    lua_callk(L, n, LUA_MULTRET, (lua_KContext)t, answered);
    return answered(L, LUA_OK, (lua_KContext)t);
}

int orrb_rpc_asked(struct orrb_host *h, struct orr_asked *a) {
    struct orrb_handler *handler = find(h, a->name.at, a->name.size);
    if (!handler || handler->function == LUA_NOREF) return ORR_EINVALID;
    if (handler->running >= handler->limit) return ORR_EOVERLOADED;
    struct orrb_task *t = orrb_task_new(&h->tasks, handle);
    if (!t) return ORR_EOVERLOADED;
    handler->running++;
    t->asked = a;
    t->of = handler;
    t->over = handler_over;
    t->deadline = a->deadline;
    t->got = a->args;
    orr_hold(t->got);
    a->owner = t;
    return 0;
}

void orrb_rpc_gone(struct orr_asked *a) {
    if (a->owner) orrb_task_cancel(a->owner);
}

void orrb_rpc_clear(struct orrb_host *h) {
    for (struct orrb_handler *at; (at = h->handlers);) {
        h->handlers = at->next;
        free(at);
    }
}

/* -- Calls -------------------------------------------------------------------------------------------------------- */
static const char *reason(int status) {
    switch (status) {
    case ORR_EINVALID: return "there is no such handler";
    case ORR_EUNAVAILABLE: return "it is not connected, surely not done";
    case ORR_EUNKNOWN: return "no answer came, so it may or may not have happened";
    default: return orr_strerror(status);
    }
}

/* to and name are arguments 1 and 2. */
static int not_answered(lua_State *L, int status, struct orr_slice text) {
    lua_pushboolean(L, 0);
    if (status == ORR_EFAILED && text.size > 0) {
        lua_pushlstring(L, (const char *)text.at, text.size);
        lua_pushfstring(L, "%s: %s: %s", lua_tostring(L, 1), lua_tostring(L, 2), lua_tostring(L, -1));
        lua_remove(L, -2);
    } else {
        lua_pushfstring(L, "%s: %s: %s", lua_tostring(L, 1), lua_tostring(L, 2), reason(status));
    }
    lua_pushstring(L, orr_error_word(status));
    return 3;
}

static int called(lua_State *L, int status, lua_KContext ctx) {
    struct orrb_task *t = (struct orrb_task *)ctx;
    (void)status;
    if (t->wait.status < 0) {
        int n = not_answered(L, t->wait.status, t->got);
        orrb_task_let_go(t);
        return n;
    }
    lua_pushboolean(L, 1);
    int n = orrb_value_unpack_args(L, t->got.at, t->got.size);
    orrb_task_let_go(t);
    if (n >= 0) return n + 1;
    return not_answered(L, ORR_ECORRUPT, (struct orr_slice){ 0 });
}

static struct orr_slice text_arg(lua_State *L, int arg) {
    size_t size;
    const char *at = luaL_checklstring(L, arg, &size);
    return orr_borrow(at, size);
}

static struct orr_slice packed_args(lua_State *L, struct orrb_tasks *all, int first) {
    all->out.size = 0;
    orrb_value_pack_args(L, first, lua_gettop(L) - first + 1, &all->out);
    return orr_borrow(all->out.at, all->out.size);
}

/* call(to, name, timeout, ...) -> true, results...; or false, message, code. Waits. */
static int call(lua_State *L) {
    struct orrb_tasks *all = &host(L)->tasks;
    struct orrb_task *t = orrb_task_check(L, all, "node:call");
    struct orr_slice name = text_arg(L, 2), args = packed_args(L, all, 4);
    orr_time until = orrb_task_until(t, orrb_seconds(L, 3));
    int rc = orr_node_call(all->node, orrb_task_request(t), orr_id_of(luaL_checkstring(L, 1)), name, args, until);
    if (rc < 0) return not_answered(L, rc, (struct orr_slice){ 0 });
    return orrb_task_wait(L, t, called);
}

/* cast(to, name, ...) -> true, or nil, message, code */
static int cast(lua_State *L) {
    struct orrb_tasks *all = &host(L)->tasks;
    struct orr_slice name = text_arg(L, 2), args = packed_args(L, all, 3);
    int rc = orr_node_cast(all->node, orr_id_of(luaL_checkstring(L, 1)), name, args);
    if (rc < 0) return orrb_fail(L, rc, lua_tostring(L, 1));
    lua_pushboolean(L, 1);
    return 1;
}

/* from() -> id, or nil where nobody asked */
static int from(lua_State *L) {
    const struct orrb_task *t = host(L)->tasks.running;
    if (!t || !t->asked) return 0;
    lua_pushstring(L, t->asked->from_name);
    return 1;
}

/* peer(id) -> up, calls under way; or nil: no such node */
static int peer(lua_State *L) {
    struct orr_peer_status s;
    if (!orr_node_peer(host(L)->tasks.node, orr_id_of(luaL_checkstring(L, 1)), &s)) return 0;
    lua_pushboolean(L, s.up);
    lua_pushinteger(L, (lua_Integer)s.calls);
    return 2;
}

void orrb_rpc_open(lua_State *L, struct orrb_host *h) {
    static const luaL_Reg functions[] = {
        { "on", on }, { "call", call }, { "cast", cast }, { "from", from }, { "peer", peer }, { NULL, NULL },
    };
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, h);
    luaL_setfuncs(L, functions, 1);
}
