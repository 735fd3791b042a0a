/* orrb_listen.c - listeners that a script answers: commands in Redis's protocol, and plain connections.
 *
 * Each command, and each connection, is a task. The node's upcalls only begin tasks and wake them; the protocol, the
 * order of replies and the bounds on memory are core/node's.
 *
 * What a client sent lies with its connection until the script reads it, a bounded amount: then the client waits. A
 * connection object outlives its connection, and is told that it is closed.                                         */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/resp.h>

#include "orrb.h"
#include "orrb_listen.h"

enum {
    UNREAD_MAX = 64 << 10,          /* bytes that wait for the script: then the client does */
    PIECE = 256 << 10,              /* of a string that is written */
    REPLY_DEPTH_MAX = 64,
    ERROR_MAX = 400
};

struct orrb_connection {
    struct orrb_connection *next, *before;  /* of the listener's */
    struct orrb_listener *of;
    struct orr_conn *c;             /* NULL: it is closed */
    struct orrb_task *task;         /* whom it was made for; NULL: that has ended */
    struct orrb_task *reader, *writer;      /* who waits in there, if anybody */
    uint64_t reader_serial, writer_serial;
    unsigned char *in;              /* from `from` to `to`: not read yet */
    size_t from, to, cap;
    size_t wanted;                  /* what the reader waits for, if that is more than UNREAD_MAX */
    bool ended, paused;             /* the client says no more; we don't read */
    bool closed, named;             /* by the script; Lua has an object of it */
};
struct commands {
    struct commands *next;          /* of older scripts: calls may still point there */
    size_t n;
    struct orr_resp_command *at;
    int *functions;                 /* references */
};
enum served { PLAIN, COMMANDS, KV };
static const char *const served_by[] = { "a function", "orrery.resp.serve{...}", "a group's resp()" };
struct orrb_listener {
    struct orrb_listener *next;
    struct orrb_host *host;
    char *name;
    enum served by;
    int function, staged;           /* PLAIN: references */
    struct orrb_connection *conns;
    struct orr_resp_host resp;      /* COMMANDS */
    struct commands *commands, *staged_commands;
    unsigned staged_calls_max;
    struct orr_group *group;        /* KV */
    bool declared;                  /* by the scripts that are staged */
};

static struct orrb_host *host(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }
static void *zeroed(lua_State *L, size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) luaL_error(L, "not enough memory");
    return p;
}

/* -- Replies ------------------------------------------------------------------------------------------------------ */
/* The string field of the table at idx, raw; NULL: there is none. Leaves it on the stack. */
static const char *text_of(lua_State *L, int idx, const char *field) {
    lua_pushstring(L, field);
    lua_rawget(L, idx);
    return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
}

static void reply(lua_State *L, int idx, struct orr_sink *out, int depth);

static void reply_table(lua_State *L, int idx, struct orr_sink *out, int depth) {
    const char *text;
    if ((text = text_of(L, idx, "err"))) {
        out->ops->error(out, ORR_EFAILED, text);
    } else if ((text = text_of(L, idx, "ok"))) {
        out->ops->status(out, text);
    } else {
        size_t n = lua_rawlen(L, idx);
        out->ops->array(out, n);
        for (size_t i = 1; i <= n; i++) {
            lua_rawgeti(L, idx, (lua_Integer)i);
            reply(L, lua_gettop(L), out, depth + 1);
            lua_pop(L, 1);
        }
    }
}

/* What becomes what, as in Redis's own Lua, but that nothing is cut: a float is its text. */
static void reply(lua_State *L, int idx, struct orr_sink *out, int depth) {
    char complaint[96];
    size_t size;
    int top = lua_gettop(L);
    luaL_checkstack(L, 4, NULL);
    switch (lua_type(L, idx)) {
    case LUA_TNIL: out->ops->nil(out); return;
    case LUA_TBOOLEAN:
        if (lua_toboolean(L, idx)) out->ops->integer(out, 1);
        else out->ops->nil(out);
        return;
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx)) {
            out->ops->integer(out, lua_tointeger(L, idx));
            return;
        }
        lua_pushvalue(L, idx);
        idx = lua_gettop(L);                /* fallthrough: as text, of a copy */
        /* FALLTHROUGH */
    case LUA_TSTRING: {
        const char *at = lua_tolstring(L, idx, &size);
        out->ops->text(out, at, size);
        break;
    }
    case LUA_TTABLE:
        if (depth < REPLY_DEPTH_MAX) reply_table(L, idx, out, depth);
        else out->ops->error(out, ORR_EINVALID, "ERR the reply is nested too deep");
        break;
    default:
        snprintf(complaint, sizeof complaint, "ERR a %s can't be a reply", luaL_typename(L, idx));
        out->ops->error(out, ORR_EINVALID, complaint);
    }
    lua_settop(L, top);
}

/* The core's status that a script's code is; else ORR_EFAILED. */
static int status_of(const char *code) {
#define ORR_X(name, number, word, text) if (code && strcmp(code, word) == 0) return name;
    ORR_ERRORS(ORR_X)
#undef ORR_X
    return ORR_EFAILED;
}

/* The results at `first` and on: one value, or nil, message, code. */
static void reply_results(lua_State *L, int first, struct orr_resp_call *call) {
    bool failed = lua_isnil(L, first) && lua_type(L, first + 1) == LUA_TSTRING;
    const char *code = lua_type(L, first + 2) == LUA_TSTRING ? lua_tostring(L, first + 2) : NULL;
    if (failed) orr_resp_fail(call, status_of(code), lua_tostring(L, first + 1));
    else if (lua_gettop(L) < first) orr_resp_sink(call)->ops->nil(orr_resp_sink(call));
    else reply(L, first, orr_resp_sink(call), 0);
}

/* -- Commands ----------------------------------------------------------------------------------------------------- */
/* What was raised, with where; a reply that was raised (orrery.resp.integer does) as it is. */
static int trace(lua_State *L) {
    if (lua_istable(L, 1) && text_of(L, 1, "err")) {
        lua_settop(L, 1);
        return 1;
    }
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

static void say_raised(lua_State *L, struct orrb_task *t, struct orr_resp_call *call) {
    struct orr_world *w = t->all->world;
    char first_line[ERROR_MAX];
    size_t size;
    if (lua_istable(L, -1)) {
        reply(L, lua_gettop(L), orr_resp_sink(call), 0);
        return;
    }
    const char *text = lua_tolstring(L, -1, &size);
    if (!text) text = "the command failed", size = strlen(text);
    w->ops->log(w, ORR_LOG_ERROR, text, size);
    snprintf(first_line, sizeof first_line, "%.*s", (int)strcspn(text, "\n"), text);
    orr_resp_fail(call, ORR_EFAILED, first_line);
}

static int answered(lua_State *L, int status, lua_KContext ctx) {
    struct orrb_task *t = (struct orrb_task *)ctx;
    struct orr_resp_call *call = t->of;
    if (status == LUA_OK || status == LUA_YIELD) reply_results(L, 3, call);
    else say_raised(L, t, call);
    t->of = NULL;
    orr_resp_end(call);
    return 0;
}

static const struct commands *of_command(const struct orrb_tasks *all, const struct orr_resp_command *cmd) {
    const struct orrb_host *h = (const void *)((const char *)all - offsetof(struct orrb_host, tasks));
    for (const struct orrb_listener *l = h->listeners; l; l = l->next) {
        for (const struct commands *at = l->commands; at; at = at->next) {
            if (cmd >= at->at && cmd < at->at + at->n) return at;
        }
    }
    return NULL;
}

/* The body of a command's task. */
static int run_command(lua_State *L) {
    struct orrb_task *t = lua_touserdata(L, 1);
    const struct orr_resp_call *call = t->of;
    const struct commands *all = of_command(t->all, call->command);
    lua_pushcfunction(L, trace);
    luaL_checkstack(L, (int)call->n_args + 8, "too many arguments");
    lua_rawgeti(L, LUA_REGISTRYINDEX, all->functions[call->command - all->at]);
    for (size_t i = 1; i < call->n_args; i++) lua_pushlstring(L, (const char *)call->args[i].at, call->args[i].size);
    int status = lua_pcallk(L, (int)call->n_args - 1, LUA_MULTRET, 2, (lua_KContext)t, answered);
    return answered(L, status, (lua_KContext)t);
}

/* It ended without having answered: cancelled, or what was no memory for. */
static void command_over(struct orrb_task *t, int status, const char *text) {
    struct orr_resp_call *call = t->of;
    if (!call) return;
    t->of = NULL;
    orr_resp_fail(call, status, status == ORR_EFAILED ? text : NULL);
    orr_resp_end(call);
}

static int on_command(void *ud, struct orr_resp_call *call) {
    struct orrb_listener *l = ud;
    struct orrb_task *t = orrb_task_new(&l->host->tasks, run_command);
    if (!t) return ORR_EOVERLOADED;
    t->of = call;
    t->over = command_over;
    call->owner = t;
    orr_node_soon(l->host->tasks.node);
    return 0;
}

static void on_gone(void *ud, struct orr_resp_call *call) {
    (void)ud;
    orrb_task_cancel(call->owner);
}

/* -- Connections: what the node tells ----------------------------------------------------------------------------- */
static void wake(struct orrb_task **who, uint64_t serial) {
    struct orrb_task *t = *who;
    *who = NULL;
    if (t && t->serial == serial) orrb_task_wake(t);
}

static void drop(struct orrb_connection *k) {
    if (k->before) k->before->next = k->next;
    else k->of->conns = k->next;
    if (k->next) k->next->before = k->before;
    free(k->in);
    free(k);
}

/* Nobody has it any more. */
static void drop_if_done(struct orrb_connection *k) {
    if (!k->c && !k->task && !k->named) drop(k);
}

static void wake_both(struct orrb_connection *k) {
    wake(&k->reader, k->reader_serial);
    wake(&k->writer, k->writer_serial);
    orr_node_soon(k->of->host->tasks.node);
}

static void connection_over(struct orrb_task *t, int status, const char *text) {
    struct orrb_connection *k = t->of;
    (void)status, (void)text;
    k->task = NULL;
    if (k->c) orr_conn_close(k->c, true);
    drop_if_done(k);
}

static int run_connection(lua_State *L);

static int on_open(void *ud, struct orr_conn *c, void **state) {
    struct orrb_listener *l = ud;
    struct orrb_connection *k = calloc(1, sizeof *k);
    struct orrb_task *t = k ? orrb_task_new(&l->host->tasks, run_connection) : NULL;
    if (!t) {
        free(k);
        return -ENOMEM;
    }
    k->of = l;
    k->c = c;
    k->task = t;
    k->next = l->conns;
    if (l->conns) l->conns->before = k;
    l->conns = k;
    t->of = k;
    t->over = connection_over;
    *state = k;
    orr_node_soon(l->host->tasks.node);
    return 0;
}

static bool make_room(struct orrb_connection *k, size_t size) {
    size_t cap = k->cap ? k->cap : 1024;
    if (k->from > 0) {
        memmove(k->in, k->in + k->from, k->to - k->from);
        k->to -= k->from;
        k->from = 0;
    }
    while (cap - k->to < size) cap *= 2;
    if (cap == k->cap) return true;
    unsigned char *in = realloc(k->in, cap);
    if (!in) return false;
    k->in = in;
    k->cap = cap;
    return true;
}

static void see_to_pause(struct orrb_connection *k) {
    size_t unread = k->to - k->from, max = k->wanted > UNREAD_MAX ? k->wanted : UNREAD_MAX;
    if (!k->c || k->paused == (unread >= max)) return;
    k->paused = !k->paused;
    orr_conn_pause(k->c, k->paused);
}

static int64_t on_data(void *state, struct orr_slice data, size_t *want) {
    struct orrb_connection *k = state;
    (void)want;
    if (k->cap - k->to < data.size && !make_room(k, data.size)) return -ENOMEM;
    memcpy(k->in + k->to, data.at, data.size);
    k->to += data.size;
    orr_conn_keeps(k->c, k->cap);
    see_to_pause(k);
    wake(&k->reader, k->reader_serial);
    return (int64_t)data.size;
}

static void on_turn(void *state) {
    struct orrb_connection *k = state;
    wake(&k->writer, k->writer_serial);
}

static void on_ended(void *state) {
    struct orrb_connection *k = state;
    k->ended = true;
    wake(&k->reader, k->reader_serial);
}

/* The client went: so does the task that was for it, where it is. One that has closed it itself goes on. */
static void on_close(void *state) {
    struct orrb_connection *k = state;
    struct orrb_task *t = k->task;
    k->c = NULL;
    k->ended = true;
    wake_both(k);
    if (t && !k->closed && t->state != ORRB_TASK_RUNNING) orrb_task_cancel(t);      /* its end may drop k */
    else drop_if_done(k);
}

static const struct orr_service stream_service = {
    .name = "script", .open = on_open, .data = on_data, .turn = on_turn, .close = on_close, .ended = on_ended,
};

/* -- Connections: what the script does ---------------------------------------------------------------------------- */
static const char kind[] = "orrery.connection";

static struct orrb_connection *check(lua_State *L) {
    struct orrb_connection **at = luaL_checkudata(L, 1, kind);
    return *at;
}

static int closed(lua_State *L, const char *what) { return orrb_fail(L, ORR_ECLOSED, what); }

/* What is there of what was asked for, as a string; false: wait. */
static bool take(lua_State *L, struct orrb_connection *k) {
    size_t unread = k->to - k->from, size = unread, skip = 0;
    const unsigned char *at = k->in + k->from, *end = NULL;
    bool line = lua_type(L, 2) == LUA_TSTRING;
    if (line) {
        end = unread ? memchr(at, '\n', unread) : NULL;
        if (end) size = (size_t)(end - at), skip = 1;
        if (end && size > 0 && at[size - 1] == '\r') size--, skip = 2;
    } else if ((lua_Integer)unread >= lua_tointeger(L, 2)) {
        end = at;
        size = (size_t)lua_tointeger(L, 2);
    }
    if (!end && !(k->ended && unread > 0)) return false;
    lua_pushlstring(L, (const char *)at, size);
    k->from += size + skip;
    if (k->from == k->to) k->from = k->to = 0;
    if (k->to == 0 && k->cap > UNREAD_MAX) {
        free(k->in);
        k->in = NULL;
        k->cap = 0;
    }
    if (k->c) orr_conn_keeps(k->c, k->cap);
    return true;
}

static int read_more(lua_State *L, int status, lua_KContext ctx) {
    struct orrb_connection *k = check(L);
    (void)status, (void)ctx;
    if (k && take(L, k)) {
        k->wanted = 0;
        see_to_pause(k);
        return 1;
    }
    if (!k || k->ended || !k->c) return closed(L, "connection:read");
    struct orrb_task *t = orrb_task_check(L, &k->of->host->tasks, "connection:read");
    if (k->reader && k->reader->serial == k->reader_serial) return luaL_error(L, "connection:read: another task reads");
    k->wanted = lua_isinteger(L, 2) ? (size_t)lua_tointeger(L, 2) : k->cap + 1;
    see_to_pause(k);
    k->reader = t;
    k->reader_serial = t->serial;
    return orrb_task_wait(L, t, read_more);
}

/* connection:read(n or "l") -> string; nil, message, "closed" at the end. Waits. */
static int conn_read(lua_State *L) {
    (void)check(L);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_pushliteral(L, "l");
        lua_replace(L, 2);
    }
    bool line = lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "l") == 0;
    luaL_argcheck(L, line || (lua_isinteger(L, 2) && lua_tointeger(L, 2) > 0 && lua_tointeger(L, 2) <= 1 << 30), 2,
                  "a number of bytes, 1 up to 2^30, or \"l\" expected");
    return read_more(L, LUA_OK, 0);
}

static int next_line(lua_State *L) {
    lua_settop(L, 1);
    lua_pushliteral(L, "l");
    return read_more(L, LUA_OK, 0);
}

/* for line in connection:lines() */
static int conn_lines(lua_State *L) {
    (void)check(L);
    lua_pushcfunction(L, next_line);
    lua_pushvalue(L, 1);
    return 2;
}

static int write_again(lua_State *L, int status, lua_KContext ctx);

/* From byte ctx on. */
static int write_more(lua_State *L, int status, lua_KContext ctx) {
    struct orrb_connection *k = check(L);
    size_t size, from = (size_t)ctx;
    const char *text = lua_tolstring(L, 2, &size);
    (void)status;
    while (k && k->c && from < size) {
        if (orr_conn_crowded(k->c)) {
            struct orrb_task *t = orrb_task_check(L, &k->of->host->tasks, "connection:write");
            if (k->writer && k->writer->serial == k->writer_serial)
                return luaL_error(L, "connection:write: another task writes");
            k->writer = t;
            k->writer_serial = t->serial;
            orr_conn_soon(k->c);
            lua_settop(L, 2);
            lua_pushinteger(L, (lua_Integer)from);
            return orrb_task_wait(L, t, write_again);
        }
        size_t piece = size - from < PIECE ? size - from : PIECE;
        if (orr_conn_write(k->c, orr_borrow(text + from, piece)) < 0) return closed(L, "connection:write");
        from += piece;
    }
    if (!k || !k->c) return closed(L, "connection:write");
    lua_pushboolean(L, 1);
    return 1;
}

static int write_again(lua_State *L, int status, lua_KContext ctx) {
    (void)ctx;
    lua_Integer from = lua_tointeger(L, 3);
    lua_settop(L, 2);
    return write_more(L, status, (lua_KContext)from);
}

/* connection:write(s) -> true; nil, message, "closed". Waits while the client doesn't read. */
static int conn_write(lua_State *L) {
    (void)check(L);
    (void)luaL_checkstring(L, 2);
    lua_settop(L, 2);
    return write_more(L, LUA_OK, 0);
}

/* connection:close(): what was written still goes out. Twice is once. */
static int conn_close(lua_State *L) {
    struct orrb_connection *k = check(L);
    if (k && k->c) {
        orr_conn_close(k->c, true);
        k->ended = k->closed = true;
        k->from = k->to = 0;
        wake_both(k);
    }
    return 0;
}

static int conn_collect(lua_State *L) {
    struct orrb_connection **at = luaL_checkudata(L, 1, kind), *k = *at;
    *at = NULL;
    if (!k) return 0;
    k->named = false;
    drop_if_done(k);
    return 0;
}

static int conn_text(lua_State *L) {
    const struct orrb_connection *k = check(L);
    if (k && k->c) lua_pushfstring(L, "orrery.connection(%I)", (LUAI_UACINT)orr_conn_serial(k->c));
    else lua_pushliteral(L, "orrery.connection(closed)");
    return 1;
}

static int ran(lua_State *L, int status, lua_KContext ctx) {
    (void)L, (void)status, (void)ctx;
    return 0;
}

/* The body of a connection's task: f(connection). */
static int run_connection(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "read", conn_read }, { "lines", conn_lines }, { "write", conn_write }, { "close", conn_close },
        { NULL, NULL },
    };
    const struct orrb_task *t = lua_touserdata(L, 1);
    struct orrb_connection *k = t->of, **at = lua_newuserdatauv(L, sizeof(void *), 0);
    *at = NULL;
    if (luaL_newmetatable(L, kind)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, conn_close);
        lua_setfield(L, -2, "__close");
        lua_pushcfunction(L, conn_collect);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, conn_text);
        lua_setfield(L, -2, "__tostring");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    *at = k;
    k->named = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, k->of->function);
    lua_insert(L, -2);
    lua_callk(L, 1, 0, 0, ran);
    return 0;
}

/* -- Declaring ---------------------------------------------------------------------------------------------------- */
/* A new one; or, for scripts that are staged, the one that there is already. */
static struct orrb_listener *listener(lua_State *L, struct orrb_host *h, enum served by) {
    const char *name = luaL_checkstring(L, 1);
    struct orrb_listener *l = h->listeners;
    if (h->staging) {
        while (l && strcmp(l->name, name) != 0) l = l->next;
        if (!l) orrb_complain(L, "node:listen %s: a node that runs can't listen anew: start it again", name);
        if (l->by != by)
            orrb_complain(L, "node:listen %s: %s answered so far, and now %s is to: start the node again", name,
                          served_by[l->by], served_by[by]);
        l->declared = true;
        return l;
    }
    l = zeroed(L, 1, sizeof *l);
    l->host = h;
    l->by = by;
    l->function = l->staged = LUA_NOREF;
    l->next = h->listeners;
    h->listeners = l;
    l->name = zeroed(L, strlen(name) + 1, 1);
    strcpy(l->name, name);
    return l;
}

static int declare(lua_State *L, struct orrb_host *h, const struct orr_service *service, void *ud) {
    const char *name = luaL_checkstring(L, 1), *address = luaL_checkstring(L, 2);
    if (h->staging) return 0;
    int rc = orr_node_listen(h->tasks.node, name, address, service, ud);
    if (rc == 0)
        rc = orr_node_limit(h->tasks.node, name, (size_t)luaL_optinteger(L, 4, 0), (size_t)luaL_optinteger(L, 5, 0));
    return rc < 0 ? luaL_error(L, "listen %s at %s: %s", name, address, orr_strerror(rc)) : 0;
}

/* accept(name, address, f, client or nil, clients or nil): f(connection) is a task for each */
static int accept_at(lua_State *L) {
    struct orrb_host *h = host(L);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    struct orrb_listener *l = listener(L, h, PLAIN);
    int *place = h->staging ? &l->staged : &l->function;
    lua_pushvalue(L, 3);
    *place = luaL_ref(L, LUA_REGISTRYINDEX);
    return declare(L, h, &stream_service, l);
}

/* The function on the top, which goes, as the next command: its arity comes from its parameters. */
static void add_command(lua_State *L, struct commands *all, const char *name) {
    lua_Debug info;
    struct orr_resp_command *cmd = &all->at[all->n];
    char *copy = zeroed(L, strlen(name) + 1, 1);
    cmd->name = strcpy(copy, name);
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">u", &info);
    cmd->arity = info.isvararg ? -(info.nparams + 1) : info.nparams + 1;
    all->functions[all->n++] = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void commands_free(lua_State *L, struct commands *all) {
    for (struct commands *next; all; all = next) {
        next = all->next;
        for (size_t i = 0; i < all->n; i++) {
            free((void *)(uintptr_t)all->at[i].name);
            if (L) luaL_unref(L, LUA_REGISTRYINDEX, all->functions[i]);
        }
        free(all->at);
        free(all->functions);
        free(all);
    }
}

/* The commands at 3, as the first of *to. */
static void read_commands(lua_State *L, struct commands **to) {
    struct commands *all = zeroed(L, 1, sizeof *all);
    all->next = *to;
    *to = all;
    size_t n = lua_rawlen(L, 3);
    all->at = zeroed(L, n, sizeof *all->at);
    all->functions = zeroed(L, n, sizeof *all->functions);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 3, (lua_Integer)i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        bool fits = lua_isfunction(L, -1) && lua_type(L, -2) == LUA_TSTRING;
        luaL_argcheck(L, fits, 3, "{ { command, f }, ... } expected");
        add_command(L, all, lua_tostring(L, -2));
        lua_pop(L, 2);
    }
}

static void serve_these(struct orrb_listener *l, unsigned calls_max) {
    l->resp.commands = l->commands->at;
    l->resp.n_commands = l->commands->n;
    l->resp.calls_max = calls_max;
}

/* serve(name, address, { { command, f }, ... } sorted, client, clients, calls_max): each is a task */
static int serve(lua_State *L) {
    struct orrb_host *h = host(L);
    luaL_checktype(L, 3, LUA_TTABLE);
    unsigned calls_max = (unsigned)luaL_checkinteger(L, 6);
    struct orrb_listener *l = listener(L, h, COMMANDS);
    read_commands(L, h->staging ? &l->staged_commands : &l->commands);
    if (h->staging) {
        l->staged_calls_max = calls_max;
        return 0;
    }
    serve_these(l, calls_max);
    l->resp.command = on_command;
    l->resp.gone = on_gone;
    l->resp.ud = l;
    return declare(L, h, &orr_resp_host_service, &l->resp);
}

/* kv(name, address, group, client or nil, clients or nil): the RESP service of a group whose machine is kv */
static int kv_at(lua_State *L) {
    struct orrb_host *h = host(L);
    luaL_checktype(L, 3, LUA_TLIGHTUSERDATA);
    struct orr_group *group = lua_touserdata(L, 3);
    struct orrb_listener *l = listener(L, h, KV);
    if (h->staging && l->group != group)
        return orrb_complain(L, "node:listen %s: was for %s so far: start the node again", l->name,
                             orr_group_name(l->group));
    l->group = group;
    return declare(L, h, &orr_resp_service, group);
}

void orrb_listen_open(lua_State *L, struct orrb_host *h) {
    static const luaL_Reg functions[] = { { "accept", accept_at }, { "serve", serve }, { "kv", kv_at },
                                          { NULL, NULL } };
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, h);
    luaL_setfuncs(L, functions, 1);
}

const char *orrb_listen_missing(const struct orrb_host *h) {
    for (const struct orrb_listener *l = h->listeners; l; l = l->next) {
        if (!l->declared) return l->name;
    }
    return NULL;
}

void orrb_listen_commit(struct orrb_host *h) {
    for (struct orrb_listener *l = h->listeners; l; l = l->next) {
        if (l->staged != LUA_NOREF) {
            luaL_unref(h->tasks.L, LUA_REGISTRYINDEX, l->function);
            l->function = l->staged;
            l->staged = LUA_NOREF;
        }
        if (l->staged_commands) {       /* calls that wait point into the old ones, which stay for the node's life */
            l->staged_commands->next = l->commands;
            l->commands = l->staged_commands;
            l->staged_commands = NULL;
            serve_these(l, l->staged_calls_max);
        }
        l->declared = false;
    }
}

void orrb_listen_abandon(struct orrb_host *h) {
    for (struct orrb_listener *l = h->listeners; l; l = l->next) {
        luaL_unref(h->tasks.L, LUA_REGISTRYINDEX, l->staged);
        commands_free(h->tasks.L, l->staged_commands);
        l->staged = LUA_NOREF;
        l->staged_commands = NULL;
        l->declared = false;
    }
}

void orrb_listen_crashed(struct orrb_host *h) {
    for (struct orrb_listener *l = h->listeners; l; l = l->next) {
        for (struct orrb_connection *k = l->conns; k; k = k->next) k->c = NULL;
    }
}

void orrb_listen_clear(struct orrb_host *h) {
    for (struct orrb_listener *l; (l = h->listeners);) {
        h->listeners = l->next;
        while (l->conns) drop(l->conns);
        commands_free(NULL, l->commands);
        commands_free(NULL, l->staged_commands);
        free(l->name);
        free(l);
    }
}
