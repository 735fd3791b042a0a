/* orrb_group.c - groups for scripts: propose, read, peek. Ops and questions travel packed; results come through a sink.
 *
 * A group is a light userdata to Lua; lua/orrery/group.lua keeps them and says which machine a group has. */
#include <stdlib.h>
#include <string.h>

#include <orrery/kv.h>

#include "orrb.h"
#include "orrb_code.h"

static struct orrb_host *host(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

static struct orr_group *group_arg(lua_State *L) {
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
    return lua_touserdata(L, 1);
}

/* Is the value at `arg` for a machine written in Lua (true), whose ops are packed, or bytes for one in C? */
static struct orr_slice packed(lua_State *L, int arg, bool lua, const char *what) {
    struct orrb_buffer *out = &host(L)->tasks.out;
    if (!lua) {
        size_t size;
        const char *at = luaL_checklstring(L, arg, &size);
        return orr_borrow(at, size);
    }
    out->size = 0;
    orrb_pack_told(L, arg, out, what);
    return orr_borrow(out->at, out->size);
}

static int failed(lua_State *L, int status, const char *what, struct orr_group *g) {
    lua_pushnil(L);
    if (status == ORR_ENOLEADER) {
        lua_pushfstring(L, "%s knows no leader of %s", host(L)->name, orr_group_name(g));
    } else if (status == ORR_EUNAVAILABLE && !orr_group_machine(g)) {
        lua_pushfstring(L, "%s: %s: %s has no replica", orr_group_name(g), what, host(L)->name);
    } else {
        lua_pushfstring(L, "%s: %s: %s", orr_group_name(g), what, orr_strerror(status));
    }
    lua_pushstring(L, orr_error_word(status));
    return 3;
}

static int finish(lua_State *L, struct orrb_task *t, const char *what) {
    if (t->wait.status < 0) return failed(L, t->wait.status, what, lua_touserdata(L, 1));
    return orrb_sink_push(L, &t->results);
}

static int proposed(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    return finish(L, (struct orrb_task *)ctx, "propose");
}

/* propose(group, lua, timeout, op) -> results, or nil, message, code. Waits. */
static int propose(lua_State *L) {
    struct orrb_tasks *all = &host(L)->tasks;
    struct orr_group *g = group_arg(L);
    struct orrb_task *t = orrb_task_check(L, all, "group:propose");
    bool lua = lua_toboolean(L, 2);
    orr_time until = orrb_task_until(t, orrb_seconds(L, 3));
    struct orr_slice op = packed(L, 4, lua, "op");
    struct orr_wait *w = orrb_task_request(t);
    w->sink = orrb_sink_begin(&t->results, lua);
    int rc = orr_group_propose(g, w, op, until);
    return rc < 0 ? failed(L, rc, "propose", g) : orrb_task_wait(L, t, proposed);
}

static int was_read(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    return finish(L, (struct orrb_task *)ctx, "read");
}

/* As it was asked when the state here was late enough: by a function of the script's. */
static int may_be_read(lua_State *L, int status, lua_KContext ctx) {
    struct orrb_task *t = (struct orrb_task *)ctx;
    struct orr_group *g = lua_touserdata(L, 1);
    (void)status;
    if (t->wait.status < 0) return failed(L, t->wait.status, "read", g);
    return orrb_machine_ask(L, orr_group_machine(g), &t->wait.at, 4);
}

static int no_replica(lua_State *L, const struct orr_group *g) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: read: %s has no replica: ask by name, { name, ... }, not by a function", orr_group_name(g),
                    host(L)->name);
    lua_pushstring(L, orr_error_word(ORR_EINVALID));
    return 3;
}

/* read(group, lua, timeout, question or function, max_age or nil) -> results, or nil, message, code. Waits. */
static int read(lua_State *L) {
    struct orrb_tasks *all = &host(L)->tasks;
    struct orr_group *g = group_arg(L);
    struct orrb_task *t = orrb_task_check(L, all, "group:read");
    bool lua = lua_toboolean(L, 2), by_function = lua && lua_isfunction(L, 4);
    orr_time until = orrb_task_until(t, orrb_seconds(L, 3));
    orr_time age_max = lua_isnoneornil(L, 5) ? 0 : orrb_seconds(L, 5);
    struct orr_slice question = { 0 };
    if (by_function && !orr_group_machine(g)) return no_replica(L, g);
    if (!by_function) {
        struct orr_slice bytes = packed(L, 4, lua, "question");
        struct orr_chunk *c = all->world->chunks->get(all->world->chunks, bytes.size);
        if (!c) return luaL_error(L, "not enough memory");
        memcpy(c->at, bytes.at, bytes.size);
        question = (struct orr_slice){ c, c->at, bytes.size };
    }
    struct orr_wait *w = orrb_task_request(t);
    w->sink = by_function ? NULL : orrb_sink_begin(&t->results, lua);
    int rc = orr_group_read(g, w, question, age_max, until);
    orr_drop(question);
    if (rc < 0) return failed(L, rc, "read", g);
    return orrb_task_wait(L, t, by_function ? may_be_read : was_read);
}

/* peek(group, lua, question or function or nil) -> results, or nil, message, code */
static int peek(lua_State *L) {
    struct orr_group *g = group_arg(L);
    bool lua = lua_toboolean(L, 2);
    struct orr_at at;
    struct orrb_sink results = { 0 };
    if (!orr_group_here(g, &at)) return failed(L, ORR_EUNAVAILABLE, "peek", g);
    if (orr_group_corrupt(g)) return failed(L, ORR_ECORRUPT, "peek", g);
    if (lua && !orr_group_machine(g)) {
        lua_pushnil(L);
        lua_pushfstring(L, "%s: peek: %s has not read its log yet", orr_group_name(g), host(L)->name);
        lua_pushstring(L, orr_error_word(ORR_EUNAVAILABLE));
        return 3;
    }
    if (lua && (lua_isfunction(L, 3) || lua_isnoneornil(L, 3))) {
        return orrb_machine_ask(L, orr_group_machine(g), &at, lua_isnoneornil(L, 3) ? 0 : 3);
    }
    int rc = orr_group_query(g, NULL, packed(L, 3, lua, "question"), orrb_sink_begin(&results, lua));
    if (rc < 0) {
        orrb_sink_clear(&results);
        return failed(L, rc, "peek", g);
    }
    lua_pushlstring(L, (const char *)results.out.at, results.out.size);
    orrb_sink_clear(&results);
    int n = orrb_value_unpack_args(L, lua_tostring(L, -1), lua_rawlen(L, -1));
    return n >= 0 ? n : luaL_error(L, "the results can't be read");
}

static int taken(lua_State *L, int status, lua_KContext ctx) {
    const struct orrb_task *t = (struct orrb_task *)ctx;
    (void)status;
    if (t->wait.status < 0) return failed(L, t->wait.status, "snapshot", lua_touserdata(L, 1));
    lua_pushinteger(L, (lua_Integer)t->wait.at.index);
    return 1;
}

/* snapshot(group) -> its index, or nil, message, code. Waits. */
static int snapshot(lua_State *L) {
    struct orr_group *g = group_arg(L);
    struct orrb_task *t = orrb_task_check(L, &host(L)->tasks, "group:snapshot");
    int rc = orr_group_snapshot(g, orrb_task_request(t));
    return rc < 0 ? failed(L, rc, "snapshot", g) : orrb_task_wait(L, t, taken);
}

/* causes(group, n) -> the last n, the node's time now; nil, message, code */
static int causes(lua_State *L) {
    struct orr_group *g = group_arg(L);
    struct orr_order_status s;
    if (!orr_group_status(g, &s)) return failed(L, ORR_EUNAVAILABLE, "why", g);
    orrb_push_causes(L, host(L)->tasks.node, g, luaL_checkinteger(L, 2));
    return 2;
}

/* kv("set", flags or nil, a or nil, b or nil, argument...) -> the bytes of that call to a key-value machine */
static int kv(lua_State *L) {
    static const struct {
        const char *name;
        unsigned code;
    } codes[] = {
        { "set", ORR_KV_SET }, { "add", ORR_KV_ADD }, { "add_float", ORR_KV_ADD_FLOAT }, { "del", ORR_KV_DEL },
        { "get", ORR_KV_GET }, { "mget", ORR_KV_MGET }, { "scan", ORR_KV_SCAN },
        { "list", ORR_KV_LIST },
    };
    static const struct {
        const char *name;
        unsigned flag;
    } flags[] = { { "nx", ORR_KV_NX }, { "xx", ORR_KV_XX }, { "ttl", ORR_KV_TIMED | ORR_KV_RELATIVE },
                  { "version", ORR_KV_IFVERSION } };
    struct orr_kv_call call = { .a = luaL_optinteger(L, 3, 0), .b = luaL_optinteger(L, 4, 0) };
    const char *name = luaL_checkstring(L, 1);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (strcmp(codes[i].name, name) == 0) call.code = codes[i].code;
    }
    for (size_t i = 0; lua_istable(L, 2) && i < sizeof flags / sizeof *flags; i++) {
        lua_getfield(L, 2, flags[i].name);
        if (lua_toboolean(L, -1)) call.flags |= flags[i].flag;
        lua_pop(L, 1);
    }
    int first = 5, n = lua_gettop(L) - first + 1;
    call.n_args = n > 0 ? (size_t)n : 0;
    struct orr_slice *args = lua_newuserdatauv(L, (call.n_args + 1) * sizeof *args, 0);
    for (size_t i = 0; i < call.n_args; i++) {
        size_t size;
        const char *at = luaL_checklstring(L, first + (int)i, &size);
        args[i] = orr_borrow(at, size);
    }
    call.args = args;
    luaL_Buffer out;
    size_t size = orr_kv_size(&call);
    size = orr_kv_encode(luaL_buffinitsize(L, &out, size), size, &call);
    luaL_pushresultsize(&out, size);
    return 1;
}

enum { WATCHES_MAX = 1000 };        /* for good: closed ones count, each is a task when something happens */

/* -- Events ------------------------------------------------------------------------------------------------------- */
struct orrb_watch {
    struct orrb_watch *next;
    struct orr_group *group;
    unsigned events;                /* that are of interest */
    int function;                   /* reference */
};

static int event_told(lua_State *L, int status, lua_KContext ctx) {
    (void)L, (void)status, (void)ctx;
    return 0;
}

/* The body of the task that an event makes. */
static int tell_event(lua_State *L) {
    const struct orrb_task *t = lua_touserdata(L, 1);
    const struct orrb_watch *watch = t->of;
    lua_rawgeti(L, LUA_REGISTRYINDEX, watch->function);
    lua_callk(L, 0, 0, 0, event_told);
    return 0;
}

bool orrb_group_event(struct orrb_host *h, struct orr_group *g, unsigned events) {
    bool any = false;
    if (g && events & ORR_GROUP_RESTORED) orrb_feeds_restored(h, g);
    for (struct orrb_watch *at = h->watches; at; at = at->next) {
        if (at->group != g || !(at->events & events)) continue;
        struct orrb_task *t = orrb_task_new(&h->tasks, tell_event);
        if (t) t->of = at;          /* without memory it is lost: events tell what was */
        any = any || t;
    }
    return any;
}

static void free_all(lua_State *L, struct orrb_watch **all) {
    for (struct orrb_watch *at; (at = *all);) {
        *all = at->next;
        if (L) luaL_unref(L, LUA_REGISTRYINDEX, at->function);
        free(at);
    }
}

void orrb_group_clear(struct orrb_host *h) {
    free_all(NULL, &h->watches);
    free_all(NULL, &h->staged_watches);
    free_all(NULL, &h->old_watches);
}

/* Those of the old scripts stay until the scripts are replaced once more: by then their tasks have ended. */
void orrb_group_commit(struct orrb_host *h) {
    free_all(h->tasks.L, &h->old_watches);
    h->old_watches = h->watches;
    h->watches = h->staged_watches;
    h->staged_watches = NULL;
    h->members.woken = false;
}

void orrb_group_abandon(struct orrb_host *h) { free_all(h->tasks.L, &h->staged_watches); }

static unsigned count(const struct orrb_watch *at) {
    unsigned n = 0;
    while (at) n++, at = at->next;
    return n;
}

/* watch(group, "leader", "snapshot" or "upgrade", f), watch(nil, "step" or "members", f) -> true: f() is a task for
 * each such event, from now on for good; or false, and how many there may be */
static int watch(lua_State *L) {
    static const char *const names[] = { "leader", "snapshot", "upgrade", "step", "members", NULL };
    static const unsigned events[] = { ORR_GROUP_LEADER, ORR_GROUP_SNAPSHOT, ORRB_GROUP_UPGRADE, ORRB_TIME_STEP,
                                       ORRB_MEMBERS };
    struct orrb_host *h = host(L);
    struct orr_group *g = lua_isnil(L, 1) ? NULL : group_arg(L);
    unsigned which = events[luaL_checkoption(L, 2, NULL, names)];
    luaL_checktype(L, 3, LUA_TFUNCTION);
    struct orrb_watch **all = h->staging ? &h->staged_watches : &h->watches;
    if (count(*all) == WATCHES_MAX) {
        lua_pushboolean(L, 0);
        lua_pushinteger(L, WATCHES_MAX);
        return 2;
    }
    struct orrb_watch *at = calloc(1, sizeof *at);
    if (!at) return luaL_error(L, "not enough memory");
    *at = (struct orrb_watch){ .next = *all, .group = g, .events = which, .function = LUA_NOREF };
    *all = at;
    lua_settop(L, 3);
    at->function = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushboolean(L, 1);
    return 1;
}

/* declare{ init, apply, query, version, upgrade } -> light userdata: the machine of one group */
static int declare(lua_State *L) {
    lua_pushlightuserdata(L, orrb_machine_declare(L, host(L), 1));
    return 1;
}

void orrb_group_open(lua_State *L, struct orrb_host *h) {
    static const luaL_Reg functions[] = {
        { "propose", propose }, { "read", read }, { "peek", peek }, { "declare", declare }, { "kv", kv },
        { "watch", watch },     { "snapshot", snapshot }, { "causes", causes }, { NULL, NULL },
    };
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, h);
    luaL_setfuncs(L, functions, 1);
    orrb_feed_open(L, h);
}
