/* orrb_rpc.c - messages between nodes, for scripts: handlers, which are tasks, and calls, which wait.
 *
 * A handler's results travel as an array of MessagePack values that keeps its nils, whatever they are: a `nil, message,
 * code` of a handler reaches the caller as it is. `try` puts a boolean first, by which lua/orrery/rpc.lua tells it from
 * what never became an answer. */
#include <stdio.h>
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

enum { HANDLERS_MAX = 4096 };       /* which are looked through one by one */

static struct orrb_handler *find(struct orrb_handler *at, const void *name, size_t size) {
    while (at && (at->size != size || memcmp(at->name, name, size) != 0)) at = at->next;
    return at;
}

static unsigned count(const struct orrb_handler *at) {
    unsigned n = 0;
    while (at) n++, at = at->next;
    return n;
}

static struct orrb_host *host(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* on(name, f or nil, limit) -> true; or false, and how many names there may be */
static int on(lua_State *L) {
    struct orrb_host *h = host(L);
    size_t size;
    const char *name = luaL_checklstring(L, 1, &size);
    struct orrb_handler **all = h->staging ? &h->staged_handlers : &h->handlers;
    struct orrb_handler *at = find(*all, name, size);
    if (!at) {
        if (count(*all) == HANDLERS_MAX) {
            lua_pushboolean(L, 0);
            lua_pushinteger(L, HANDLERS_MAX);
            return 2;
        }
        at = calloc(1, sizeof *at + size);
        if (!at) return luaL_error(L, "not enough memory");
        memcpy(at->name, name, size);
        at->size = size;
        at->function = LUA_NOREF;
        at->next = *all;
        *all = at;
    }
    luaL_unref(L, LUA_REGISTRYINDEX, at->function);
    at->function = LUA_NOREF;
    at->limit = (uint32_t)luaL_checkinteger(L, 3);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) at->function = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushboolean(L, 1);
    return 1;
}

static void handler_over(struct orrb_task *t, int status, const char *text) {
    struct orr_asked *a = t->asked;
    struct orrb_handler *handler = t->of;
    handler->running--;
    t->asked = NULL;
    if (status == ORR_ECANCELED) status = t->begun ? ORR_EUNKNOWN : ORR_EUNAVAILABLE;
    if (a) orr_node_answer(a, status, orr_borrow(text ? text : "", text ? strlen(text) : 0));
}

static int handle(lua_State *L);

/* Pushes "FILE:LINE: ", or "": the script's line; where none is left, because it called last, where the handler
 * begins. */
static const char *place(lua_State *L, const struct orrb_task *t) {
    lua_Debug ar;
    const char *at = orrb_place(L);
    if (at) return at;
    if (!t || t->body != handle) return lua_pushliteral(L, "");
    const struct orrb_handler *handler = t->of;
    if (lua_rawgeti(L, LUA_REGISTRYINDEX, handler->function) != LUA_TFUNCTION) return lua_pushliteral(L, "");
    lua_getinfo(L, ">S", &ar);
    return lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.linedefined);
}

struct refusal {
    const struct orrb_buffer *out;
    int which, error;
    const char *what;
};

/* Called by C, so that no line of Orrery's own comes before the message. */
static int refuse(lua_State *L) {
    const struct refusal *r = lua_touserdata(L, 1);
    return orrb_value_refuse_args(L, 3 - r->which, r->which, r->out, r->error, r->what);
}

/* Packs what lies from `first` up to the top, or raises by the script's line. */
static struct orr_slice pack(lua_State *L, struct orrb_tasks *all, int first, const char *what) {
    struct refusal r = { .out = &all->out };
    all->out.size = 0;
    r.error = orrb_value_try_pack_args(L, first, lua_gettop(L) - first + 1, &all->out, &r.which);
    if (r.error == 0) {
        orrb_budget_charge_packed(L, all->out.size);
        return orr_borrow(all->out.at, all->out.size);
    }
    int value = first + r.which - 1;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    r.what = lua_pushfstring(L, "%s%s", place(L, all->running), what);
    lua_pushcfunction(L, refuse);
    lua_pushlightuserdata(L, &r);
    if (r.which) lua_pushvalue(L, value);
    else lua_pushnil(L);
    lua_call(L, 2, 0);
    return (struct orr_slice){ 0 };
}

static int answered(lua_State *L, int status, lua_KContext ctx) {
    struct orrb_task *t = (struct orrb_task *)ctx;
    (void)status;
    if (t->asked->cast) return 0;
    orr_node_answer(t->asked, 0, pack(L, t->all, 2, "result"));
    t->asked = NULL;
    orrb_buffer_trim(L, &t->all->out);
    return 0;
}

/* The body of a handler's task. */
static int handle(lua_State *L) {
    struct orrb_task *t = lua_touserdata(L, 1);
    const struct orrb_handler *handler = t->of;
    if (lua_rawgeti(L, LUA_REGISTRYINDEX, handler->function) != LUA_TFUNCTION) {
        orr_node_answer(t->asked, ORR_EINVALID, (struct orr_slice){ 0 });       /* it was closed meanwhile */
        t->asked = NULL;
        return 0;
    }
    int n = orrb_value_unpack_args(L, t->got.at, t->got.size);
    orrb_task_let_go(t);
    if (n < 0) return luaL_error(L, "%s: the arguments can't be read", handler->name);
    lua_callk(L, n, LUA_MULTRET, (lua_KContext)t, answered);
    return answered(L, LUA_OK, (lua_KContext)t);
}

/* What begins with a NUL is of the node itself (lua/orrery/console.lua): for visitors, who are from this machine. */
static bool may_ask(const struct orr_asked *a) { return a->name.at[0] != '\0' || a->from == ORR_NOBODY; }

int orrb_rpc_asked(struct orrb_host *h, struct orr_asked *a) {
    if (!may_ask(a)) return ORR_EINVALID;
    struct orrb_handler *handler = find(h->handlers, a->name.at, a->name.size);
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

static void free_all(lua_State *L, struct orrb_handler **all) {
    for (struct orrb_handler *at; (at = *all);) {
        *all = at->next;
        if (L) luaL_unref(L, LUA_REGISTRYINDEX, at->function);
        free(at);
    }
}

void orrb_rpc_clear(struct orrb_host *h) {
    free_all(NULL, &h->handlers);
    free_all(NULL, &h->staged_handlers);
    free_all(NULL, &h->old_handlers);
}

/* Those of the old scripts stay while somebody runs in them. */
void orrb_rpc_commit(struct orrb_host *h) {
    struct orrb_handler *idle = NULL, *busy = h->old_handlers;
    h->old_handlers = NULL;
    while (busy || h->handlers) {
        struct orrb_handler **from = busy ? &busy : &h->handlers, *at = *from;
        struct orrb_handler **to = at->running ? &h->old_handlers : &idle;
        *from = at->next;
        at->next = *to;
        *to = at;
    }
    free_all(h->tasks.L, &idle);
    h->handlers = h->staged_handlers;
    h->staged_handlers = NULL;
}

void orrb_rpc_abandon(struct orrb_host *h) { free_all(h->tasks.L, &h->staged_handlers); }

/* -- Calls -------------------------------------------------------------------------------------------------------- */
/* What call was given, below its arguments. They are its stack's first three while it waits. */
enum { TO = 1, NAME, TIMEOUT, FIRST };

static const char *reason(int status) {
    switch (status) {
    case ORR_EINVALID: return "there is no such handler";
    case ORR_EUNAVAILABLE: return "it is not connected, surely not done";
    case ORR_EOVERLOADED: return "too much is under way to it or in it, surely not done";
    case ORR_ETIMEOUT: return "no time was left to begin, surely not done";
    default: return orr_strerror(status);
    }
}

/* nil, "TO: NAME: WHY", code. waited: seconds since the call, for what may have happened. */
static int not_answered(lua_State *L, int status, struct orr_slice text, double waited) {
    char why[128];
    lua_pushnil(L);
    if (status == ORR_EUNKNOWN) {
        snprintf(why, sizeof why, "no answer in %.3f s: it may or may not have happened", waited);
        lua_pushstring(L, why);
    } else if (status == ORR_EFAILED && text.size > 0) {
        lua_pushlstring(L, (const char *)text.at, text.size);
    } else {
        lua_pushstring(L, reason(status));
    }
    lua_pushfstring(L, "%s: %s: %s", lua_tostring(L, TO), lua_tostring(L, NAME), lua_tostring(L, -1));
    lua_replace(L, -2);
    lua_pushstring(L, orr_error_word(status));
    return 3;
}

/* It was not even sent. */
static int not_sent(lua_State *L, int status, size_t size) {
    if (status != ORR_EINVALID) return not_answered(L, status, (struct orr_slice){ 0 }, 0);
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s: arguments of %I bytes are too large", lua_tostring(L, TO), lua_tostring(L, NAME),
                    (LUAI_UACINT)size);
    lua_pushstring(L, orr_error_word(status));
    return 3;
}

static double since(lua_State *L, const struct orrb_tasks *all) {
    return (double)all->world->ops->now(all->world) / 1e9 - lua_tonumber(L, TIMEOUT);
}

static int called(lua_State *L, int status, lua_KContext ctx) {
    struct orrb_task *t = (struct orrb_task *)ctx;
    (void)status;
    status = t->wait.status;
    int n = status < 0 ? not_answered(L, status, t->got, since(L, t->all))
                       : orrb_value_unpack_args(L, t->got.at, t->got.size);
    orrb_task_let_go(t);
    return n >= 0 ? n : not_answered(L, ORR_ECORRUPT, (struct orr_slice){ 0 }, 0);
}

/* The same, with a boolean first: was there an answer? */
static int tried(lua_State *L, int status, lua_KContext ctx) {
    const struct orrb_task *t = (struct orrb_task *)ctx;
    lua_pushboolean(L, t->wait.status == 0);
    return called(L, status, ctx) + 1;
}

static struct orr_slice text_arg(lua_State *L, int arg) {
    size_t size;
    const char *at = luaL_checklstring(L, arg, &size);
    return orr_borrow(at, size);
}

/* The call with these arguments, which are bytes. */
static int submit(lua_State *L, struct orrb_task *t, struct orr_slice args) {
    struct orrb_tasks *all = t->all;
    orr_time until = orrb_task_until(t, orrb_seconds(L, TIMEOUT));
    orr_id to = orr_id_of(luaL_checkstring(L, TO));
    lua_settop(L, TIMEOUT);
    lua_pushnumber(L, (lua_Number)all->world->ops->now(all->world) / 1e9);
    lua_replace(L, TIMEOUT);        /* from now on: since when */
    return orr_node_call(all->node, orrb_task_request(t), to, text_arg(L, NAME), args, until);
}

/* call(to, name, timeout, ...) -> results...; or nil, message, code. Waits. */
static int call(lua_State *L) {
    struct orrb_task *t = orrb_task_check(L, &host(L)->tasks, "node:call");
    struct orr_slice args = pack(L, t->all, FIRST, "argument");
    int rc = submit(L, t, args);
    orrb_buffer_trim(L, &t->all->out);
    return rc < 0 ? not_sent(L, rc, args.size) : orrb_task_wait(L, t, called);
}

/* try(to, name, timeout, packed) -> true, results...; or false, nil, message, code. Waits. */
static int try_call(lua_State *L) {
    struct orrb_task *t = orrb_task_check(L, &host(L)->tasks, "node:call");
    struct orr_slice args = text_arg(L, FIRST);
    int rc = submit(L, t, args);    /* no collector runs before the bytes are copied */
    if (rc == 0) return orrb_task_wait(L, t, tried);
    lua_pushboolean(L, 0);
    return not_sent(L, rc, args.size) + 1;
}

/* packed(...) -> bytes, for try and post */
static int packed(lua_State *L) {
    struct orr_slice args = pack(L, &host(L)->tasks, 1, "argument");
    lua_pushlstring(L, (const char *)args.at, args.size);
    orrb_buffer_trim(L, &host(L)->tasks.out);
    return 1;
}

static int send(lua_State *L, struct orr_slice args) {
    int rc = orr_node_cast(host(L)->tasks.node, orr_id_of(luaL_checkstring(L, TO)), text_arg(L, NAME), args);
    if (rc < 0) return not_sent(L, rc, args.size);
    lua_pushboolean(L, 1);
    return 1;
}

/* cast(to, name, ...) -> true; or nil, message, code */
static int cast(lua_State *L) {
    int n = send(L, pack(L, &host(L)->tasks, 3, "argument"));
    orrb_buffer_trim(L, &host(L)->tasks.out);
    return n;
}

/* post(to, name, packed): as cast */
static int post(lua_State *L) { return send(L, text_arg(L, 3)); }

/* from() -> id, or nil where nobody asked */
static int from(lua_State *L) {
    const struct orrb_task *t = host(L)->tasks.running;
    lua_pushstring(L, t && t->asked ? t->asked->from_name : NULL);      /* NULL is nil */
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
        { "on", on },     { "call", call }, { "try", try_call }, { "packed", packed }, { "cast", cast },
        { "post", post }, { "from", from }, { "peer", peer },    { NULL, NULL },
    };
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, h);
    luaL_setfuncs(L, functions, 1);
}
