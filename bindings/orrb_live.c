/* orrb_live.c - core.live: a node of this process on a real loop of its own, driven from Lua between turns.
 *
 *     local live <close> = assert(core.live.new{ plan = text, id = "a", path = package.path, dir = "data/a" })
 *     while live:step(0.05) do ... end        -- false once the node has stopped
 *     local code, reason = live:run()         -- turns until it stops                                               */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <orrery/host.h>

#include "orrb_ask.h"
#include "orrb_live.h"

#define LIVE "orrery.live"

struct live {
    struct orrb_live of;
    uint64_t starts;                /* one */
    struct orrb_buffer out;
    char id[64];
};

static struct live *check_live(lua_State *L) {
    struct live *v = luaL_checkudata(L, 1, LIVE);
    luaL_argcheck(L, v->of.loop, 1, "the node is closed");
    return v;
}

/* -- Opening, closing --------------------------------------------------------------------------------------------- */
void orrb_live_close(struct orrb_live *v) {
    if (v->loop) orr_loop_halt(v->loop);        /* it may still have requests of the node's */
    orrb_node_free(v->node, false);
    orr_loop_free(v->loop);
    *v = (struct orrb_live){ 0 };
}

static int live_close(lua_State *L) {
    struct live *v = luaL_checkudata(L, 1, LIVE);
    orrb_live_close(&v->of);
    orrb_buffer_free(L, &v->out);
    return 0;
}

/* Each client is a descriptor, and most systems start a program with few of the many that it may have. A process that
 * is a node's alone (it has the signals) takes them all. */
static void raise_descriptors(struct orr_world *w) {
    enum { BESIDES = 256 };         /* clients: the log, snapshots, peers, strangers */
    struct orr_node_config node;
    struct rlimit limit;
    char line[160];
    orr_node_config_init(&node);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    rlim_t before = limit.rlim_cur, wanted = (rlim_t)node.connections_max + BESIDES;
    limit.rlim_cur = limit.rlim_max;
    if (before < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
    if (limit.rlim_cur >= wanted) return;
    int n = snprintf(line, sizeof line,
                     "at most %llu descriptors may be open, %u clients need %llu: raise the hard limit",
                     (unsigned long long)limit.rlim_cur, node.connections_max, (unsigned long long)wanted);
    w->ops->log(w, ORR_LOG_WARN, line, (size_t)n);
}

/* The turns until the script's top level has run, or the disk has said that it can't. */
static int declare(const struct orrb_live *v, char *why, size_t why_size) {
    const char *text = NULL;
    while (!orrb_node_declared(v->node, &text) && orr_loop_step(v->loop, ORR_SECOND) != ORR_ECLOSED) {}
    if (!text) return 0;                        /* another failure is told by run() */
    snprintf(why, why_size, "%s", text);
    return ORR_EINVALID;
}

int orrb_live_open(struct orrb_live *v, const struct orr_loop_config *config, const struct orrb_script *script,
                   char *why, size_t why_size) {
    *v = (struct orrb_live){ 0 };
    int rc = orr_loop_new(&v->loop, config);
    if (rc < 0) return rc;
    if (config->signals) raise_descriptors(orr_loop_world(v->loop));
    rc = orrb_node_boot(&v->node, orr_loop_world(v->loop), script, why, why_size);
    if (rc == 0) rc = declare(v, why, why_size);
    if (rc < 0) orrb_live_close(v);
    return rc;
}

void orrb_live_read(lua_State *L, int arg, struct orr_loop_config *config, struct orrb_script *script) {
    static const char *const levels[] = { "error", "warn", "info", "debug", NULL };
    luaL_checktype(L, arg, LUA_TTABLE);
    orr_loop_config_init(config);
    script->plan = orrb_text_field(L, arg, "plan", &script->plan_size);
    script->id = orrb_text_field(L, arg, "id", NULL);
    script->path = orrb_text_field(L, arg, "path", NULL);
    script->reloads = true;
    config->dir = orrb_text_field(L, arg, "dir", NULL);
    lua_getfield(L, arg, "signals");
    config->signals = lua_toboolean(L, -1);
    lua_getfield(L, arg, "debug");
    if (lua_toboolean(L, -1)) config->level = ORR_LOG_DEBUG;
    lua_getfield(L, arg, "level");
    if (!lua_isnil(L, -1)) config->level = (enum orr_level)luaL_checkoption(L, -1, NULL, levels);
    lua_pop(L, 3);
}

int orrb_live_refused(lua_State *L, int rc, const char *why) {
    lua_pushnil(L);
    lua_pushstring(L, why[0] ? why : orr_strerror(rc));
    lua_pushstring(L, rc == ORR_EBUSY ? "busy" : orr_error_word(rc));
    return 3;
}

/* live.new{ plan, id, path, dir, signals = false, debug = false, level = "info" } -> handle, or nil, one line, code */
static int live_new(lua_State *L) {
    struct orr_loop_config config;
    struct orrb_script script = { 0 };
    char why[1024] = "";
    orrb_live_read(L, 1, &config, &script);
    struct live *v = lua_newuserdatauv(L, sizeof *v, 0);
    *v = (struct live){ .starts = 1 };
    snprintf(v->id, sizeof v->id, "%s", script.id);
    luaL_setmetatable(L, LIVE);
    int rc = orrb_live_open(&v->of, &config, &script, why, sizeof why);
    return rc < 0 ? orrb_live_refused(L, rc, why) : 1;
}

/* -- Its turns ---------------------------------------------------------------------------------------------------- */
/* live:step(T): one turn, after at most T. False once the node has stopped. */
static int live_step(lua_State *L) {
    struct live *v = check_live(L);
    lua_pushboolean(L, orr_loop_step(v->of.loop, orrb_seconds(L, 2)) != ORR_ECLOSED);
    return 1;
}

/* live:run() -> code, reason; or nil: other scripts are to be loaded */
static int live_run(lua_State *L) {
    struct live *v = check_live(L);
    while (orr_loop_step(v->of.loop, ORR_NEVER) != ORR_ECLOSED) {
        if (orrb_node_reload_asked(v->of.node)) return 0;
    }
    int code = orr_loop_run(v->of.loop);
    const char *reason = orr_loop_stop_reason(v->of.loop, &code);
    lua_pushinteger(L, code);
    lua_pushstring(L, reason ? reason : "");
    return 2;
}

/* live:reload_asked(): since the last time? */
static int live_reload_asked(lua_State *L) {
    lua_pushboolean(L, orrb_node_reload_asked(check_live(L)->of.node));
    return 1;
}

/* live:stop(why): leaves cleanly; the turns that come do it. */
static int live_stop(lua_State *L) {
    struct live *v = check_live(L);
    orr_node_stop(orrb_node_of(v->of.node), luaL_optstring(L, 2, "asked to"));
    return 0;
}

/* live:reason() -> why it stopped, or nil */
static int live_reason(lua_State *L) {
    lua_pushstring(L, orr_loop_stop_reason(check_live(L)->of.loop, NULL));
    return 1;
}

/* live:progress() -> is its log read; does the cluster answer, too */
static int live_progress(lua_State *L) {
    struct orr_node_status s;
    orr_node_status(orrb_node_of(check_live(L)->of.node), &s);
    lua_pushboolean(L, s.recovered);
    lua_pushboolean(L, s.ready);
    return 2;
}

/* live:clock() -> seconds, by the node's clock */
static int live_clock(lua_State *L) {
    struct orr_world *w = orr_loop_world(check_live(L)->of.loop);
    lua_pushnumber(L, (lua_Number)w->ops->fresh(w) / 1e9);
    return 1;
}

/* -- Looking ------------------------------------------------------------------------------------------------------ */
/* status() -> { recovered, ready, disenfranchised, disk_full, peers_up, clients, visitors, incarnation } */
static int look_status(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    (void)text, (void)n;
    orrb_push_node_status(L, orrb_node_of(v->node));
    return 1;
}

/* groups() -> { NAME = status } */
static int look_groups(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    (void)text, (void)n;
    orrb_push_groups(L, orrb_node_of(v->node));
    return 1;
}

/* members() -> what this node knows of each */
static int look_members(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    (void)text, (void)n;
    orrb_push_members(L, orrb_node_of(v->node));
    return 1;
}

/* shown() -> a copy of its script's node.state */
static int look_shown(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    (void)text, (void)n;
    orrb_push_state(L, v->node);
    return 1;
}

/* has_group(name) */
static int look_has_group(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    (void)n;
    lua_pushboolean(L, text && orr_node_group(orrb_node_of(v->node), text));
    return 1;
}

/* peer(id) -> is there a connection, calls under way to it */
static int look_peer(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    (void)n;
    struct orr_peer_status s = { 0 };
    if (!text || !orr_node_peer(orrb_node_of(v->node), orr_id_of(text), &s)) return luaL_error(L, "no such node");
    lua_pushboolean(L, s.up);
    lua_pushinteger(L, (lua_Integer)s.calls);
    return 2;
}

/* causes(group, n) -> causes, the node's time now; or nil, message, "unavailable" */
static int look_causes(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    return orrb_push_why(L, v->node, text ? text : "", n);
}

/* eval(text) -> true, results; or false, why, code */
static int look_eval(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    (void)n;
    return orrb_node_eval(L, v->node, text ? text : "", text ? strlen(text) : 0);
}

/* true; or nil, message, code. Who asked for it is told. */
static int reloaded(lua_State *L, const struct orrb_live *v, int rc, const char *why) {
    orrb_node_reloaded(v->node, rc == 0 ? NULL : why);
    if (rc < 0) {
        lua_pushnil(L);
        lua_pushstring(L, why);
        lua_pushstring(L, orr_error_word(rc));
        return 3;
    }
    lua_pushboolean(L, true);
    return 1;
}

/* reload(plan) -> true; or nil, message, code: the scripts that run go on */
static int look_reload(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    char why[1024] = "";
    (void)n;
    int rc = orrb_node_reload(v->node, text ? text : "", text ? strlen(text) : 0, why, sizeof why);
    return reloaded(L, v, rc, why);
}

/* refuse(why): as reload, where there is no plan to try */
static int look_refuse(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n) {
    (void)n;
    return reloaded(L, v, ORR_EINVALID, text ? text : "");
}

const struct orrb_look orrb_looks[] = {
    { "status", look_status }, { "groups", look_groups }, { "members", look_members }, { "shown", look_shown },
    { "has_group", look_has_group }, { "peer", look_peer }, { "causes", look_causes }, { "eval", look_eval },
    { "reload", look_reload }, { "refuse", look_refuse }, { NULL, NULL },
};

/* live:NAME([text [, n]]), of all of them; upvalue: which */
static int live_look(lua_State *L) {
    const struct orrb_look *look = lua_touserdata(L, lua_upvalueindex(1));
    return look->look(L, &check_live(L)->of, luaL_optstring(L, 2, NULL), luaL_optinteger(L, 3, 0));
}

/* -- Asking ------------------------------------------------------------------------------------------------------- */
static struct orrb_door check_door(lua_State *L) {
    struct live *v = check_live(L);
    return (struct orrb_door){ &v->of.node, &v->starts, v->id, &v->out, NULL, NULL };
}

/* live:ask(to, name, T, ...) -> what waits for the answer; or nil, message, code */
static int live_ask(lua_State *L) {
    return orrb_ask_call(L, check_door(L), orr_id_of(luaL_checkstring(L, 2)), 3, 1);
}

/* live:cast(to, name, ...) */
static int live_cast(lua_State *L) {
    return orrb_ask_cast(L, check_door(L), orr_id_of(luaL_checkstring(L, 2)), 3);
}

/* live:submit("propose", "read" or "snapshot", group, T, value) -> what waits for the answer; or nil, message, code */
static int live_submit(lua_State *L) { return orrb_ask_group(L, check_door(L), 2, 1); }

/* live:peek(group, value) -> true, results; or false, why, code */
static int live_peek(lua_State *L) { return orrb_ask_peek(L, check_door(L), 2); }

/* -- A host's own loop -------------------------------------------------------------------------------------------- */
/* live:fd() -> to be polled for reading */
static int live_fd(lua_State *L) {
    int fd = orr_loop_fd(check_live(L)->of.loop);
    if (fd < 0) return orrb_fail(L, fd, "fd");
    lua_pushinteger(L, fd);
    return 1;
}

/* live:deadline() -> T in which a step should come at the latest; infinite: no timer */
static int live_deadline(lua_State *L) {
    struct live *v = check_live(L);
    struct orr_world *w = orr_loop_world(v->of.loop);
    orr_time at = orr_loop_deadline(v->of.loop), now = w->ops->fresh(w);
    lua_pushnumber(L, at == ORR_NEVER ? (lua_Number)HUGE_VAL : at <= now ? 0.0 : (lua_Number)(at - now) / 1e9);
    return 1;
}

int orrb_open_live(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "step", live_step },     { "run", live_run },     { "stop", live_stop },
        { "close", live_close },   { "reason", live_reason }, { "progress", live_progress },
        { "clock", live_clock },   { "ask", live_ask },     { "cast", live_cast },
        { "submit", live_submit }, { "peek", live_peek },   { "fd", live_fd },
        { "deadline", live_deadline }, { "reload_asked", live_reload_asked }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = { { "new", live_new }, { NULL, NULL } };
    luaL_newmetatable(L, LIVE);
    luaL_newlib(L, methods);
    for (const struct orrb_look *look = orrb_looks; look->name; look++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)look);
        lua_pushcclosure(L, live_look, 1);
        lua_setfield(L, -2, look->name);
    }
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, live_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, live_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
    orrb_ask_open(L);
    luaL_newlib(L, functions);
    return 1;
}
