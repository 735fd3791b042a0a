/* orrb_task.c - the scheduler of one node's tasks: the only lua_resume of the tree.
 *
 * Coroutines are used again: one that ended well begins its next task with an empty stack, one that failed or was
 * cancelled is reset first. So a task that ends at once costs neither memory nor work for the collector. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "orrb.h"
#include "orrb_task.h"

enum { RESUMES_A_TURN = 4096 };
#define TIME_A_TURN (3 * ORR_MS)
static const char anchors;          /* its address is the registry's key of the table of coroutines */

/* -- The queue ---------------------------------------------------------------------------------------------------- */
static void enqueue(struct orrb_task *t) {
    struct orrb_tasks *all = t->all;
    t->state = ORRB_TASK_READY;
    t->next = NULL;
    if (all->last) all->last->next = t;
    else all->first = t;
    all->last = t;
}

static void dequeue(struct orrb_task *t) {
    struct orrb_tasks *all = t->all;
    struct orrb_task **link = &all->first, *before = NULL;
    while (*link != t) before = *link, link = &before->next;
    *link = t->next;
    if (all->last == t) all->last = before;
}

void orrb_task_wake(struct orrb_task *t) {
    if (t->state == ORRB_TASK_WAITING) enqueue(t);
}

static void completed(struct orr_wait *w) {
    struct orrb_task *t = w->owner;
    t->got = w->result;
    orr_hold(t->got);
    orrb_task_wake(t);
}

/* -- Beginning ---------------------------------------------------------------------------------------------------- */
struct orrb_task *orrb_task_new(struct orrb_tasks *all, lua_CFunction body) {
    struct orrb_task *t = all->spare;
    if (t) {
        all->spare = t->next;
    } else {
        t = calloc(1, sizeof *t);
        if (!t) return NULL;
        t->all = all;
    }
    t->serial = ++all->serial;
    t->begun = t->closing = false;
    t->deadline = ORR_NEVER;
    t->body = body;
    t->asked = NULL;
    t->over = NULL;
    t->handle = LUA_NOREF;
    t->newer = NULL;
    t->older = all->newest;
    if (all->newest) all->newest->newer = t;
    all->newest = t;
    all->live++;
    enqueue(t);
    return t;
}

lua_State *orrb_task_stack(lua_State *L, struct orrb_task *t) {
    if (t->co) return t->co;
    luaL_checkstack(L, 3, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &anchors);
    lua_State *co = lua_newthread(L);
    lua_rawsetp(L, -2, t);
    lua_pop(L, 1);
    t->co = co;
    return co;
}

static int make_stack(lua_State *L) {
    (void)orrb_task_stack(L, lua_touserdata(L, 1));
    return 0;
}

static bool protect(lua_State *L, lua_CFunction f, void *arg) {
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, arg);
    if (lua_pcall(L, 1, 0, 0) == LUA_OK) return true;
    lua_pop(L, 1);
    return false;
}

/* -- Ending ------------------------------------------------------------------------------------------------------- */
void orrb_task_let_go(struct orrb_task *t) {
    orr_drop(t->got);
    t->got = (struct orr_slice){ 0 };
}

/* What C owns of it goes back; the coroutine stays for the next one. */
static void release(struct orrb_task *t) {
    struct orrb_tasks *all = t->all;
    orrb_task_let_go(t);
    if (t->newer) t->newer->older = t->older;
    else all->newest = t->older;
    if (t->older) t->older->newer = t->newer;
    all->live--;
    t->state = ORRB_TASK_FREE;
    t->serial = t->ticket = 0;
    t->next = all->spare;
    all->spare = t;
}

struct outcome {
    struct orrb_task *t;
    int status;
};

/* Tells Lua's side: settle(handle or nil, message, code, traceback). */
static int settle(lua_State *L) {
    const struct outcome *o = lua_touserdata(L, 1);
    struct orrb_task *t = o->t;
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->all->settle);
    if (t->handle == LUA_NOREF) lua_pushnil(L);
    else lua_rawgeti(L, LUA_REGISTRYINDEX, t->handle);
    if (t->co && lua_gettop(t->co) > 0 && o->status == ORR_EFAILED) {
        lua_pushvalue(t->co, -1);
        lua_xmove(t->co, L, 1);
        luaL_tolstring(L, -1, NULL);
        lua_replace(L, -2);
    } else {
        lua_pushstring(L, orr_strerror(o->status));
    }
    lua_pushstring(L, orr_error_word(o->status));
    if (o->status == ORR_EFAILED && t->co) luaL_traceback(L, t->co, NULL, 0);
    else lua_pushnil(L);
    lua_call(L, 4, 0);
    return 0;
}

static void end(struct orrb_task *t, int status) {
    struct orrb_tasks *all = t->all;
    const char *text = NULL;
    if (status < 0) {
        struct outcome o = { t, status };
        if (status == ORR_EFAILED && t->co && lua_type(t->co, -1) == LUA_TSTRING) text = lua_tostring(t->co, -1);
        if (t->over) t->over(t, status, text);
        (void)protect(all->L, settle, &o);
    } else if (t->over) {
        t->over(t, 0, NULL);
    }
    if (t->handle != LUA_NOREF) luaL_unref(all->L, LUA_REGISTRYINDEX, t->handle);
    t->handle = LUA_NOREF;
}

/* Closes what it holds, in reverse order. What fails in there is told as a failure of its own. */
static void unwind(struct orrb_task *t) {
    struct orrb_tasks *all = t->all;
    struct orrb_task *outer = all->running;
    t->closing = true;
    t->state = ORRB_TASK_RUNNING;
    all->running = t;
    (void)lua_resetthread(t->co);
    lua_settop(t->co, 0);
    all->running = outer;
}

/* Its budget is spent, so its __close would run without one: they don't, and the coroutine is the collector's. */
static void abandon(struct orrb_task *t) {
    lua_State *L = t->all->L;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &anchors);
    lua_pushnil(L);
    lua_rawsetp(L, -2, t);
    lua_pop(L, 1);
    t->co = NULL;
}

void orrb_task_cancel(struct orrb_task *t) {
    if (t->state == ORRB_TASK_FREE || t->state == ORRB_TASK_RUNNING) return;
    if (t->state == ORRB_TASK_READY) dequeue(t);
    orr_wait_cancel(&t->wait);
    if (t->co && t->begun) unwind(t);
    else if (t->co) lua_settop(t->co, 0);
    end(t, ORR_ECANCELED);
    release(t);
}

void orrb_tasks_cancel(struct orrb_tasks *all) {
    for (struct orrb_task *t = all->newest, *older; t; t = older) {
        older = t->older;
        orrb_task_cancel(t);
    }
}

/* -- Running ------------------------------------------------------------------------------------------------------ */
/* It yielded, but not in a wait of ours. */
static void refuse_yield(struct orrb_task *t) {
    lua_settop(t->co, 0);
    lua_pushliteral(t->co, "coroutine.yield outside a coroutine of one's own: a task waits in node:sleep, node:call "
                           "and the like");
}

static void resume(struct orrb_task *t) {
    struct orrb_tasks *all = t->all;
    int n = 0, args = 0;
    if (!t->begun) {
        if (!t->co && !protect(all->L, make_stack, t)) {
            end(t, ORR_EFAILED);
            release(t);
            return;
        }
        if (t->body) {
            lua_pushcfunction(t->co, t->body);
            lua_pushlightuserdata(t->co, t);
        }
        args = lua_gettop(t->co) - 1;
    }
    t->begun = true;
    t->state = ORRB_TASK_RUNNING;
    all->running = t;
    struct orrb_budget budget;
    orrb_budget_begin(t->co, &budget, all->steps_max);
    int status = lua_resume(t->co, all->L, args, &n);
    orrb_budget_end(t->co, &budget);
    all->running = NULL;
    if (status == LUA_YIELD && t->state == ORRB_TASK_WAITING) return;
    if (status == LUA_YIELD) refuse_yield(t);
    end(t, status == LUA_OK ? 0 : ORR_EFAILED);
    if (status == LUA_OK) lua_settop(t->co, 0);
    else if (budget.exhausted) abandon(t);
    else unwind(t);
    release(t);
}

/* A turn has several passes: their time counts from its begin, and one task is resumed in each. */
bool orrb_tasks_turn(struct orrb_tasks *all) {
    struct orr_world *w = all->world;
    orr_time until = orr_node_now(all->node) + TIME_A_TURN;
    bool any = false;
    for (int i = 0; all->first && i < RESUMES_A_TURN; i++) {
        if (i % 64 == 1 && w->ops->fresh(w) >= until) break;
        struct orrb_task *t = all->first;
        all->first = t->next;
        if (!all->first) all->last = NULL;
        resume(t);
        any = true;
    }
    if (all->first) orr_node_soon(all->node);
    return any;
}

/* -- Waiting ------------------------------------------------------------------------------------------------------ */
struct orrb_task *orrb_task_check(lua_State *L, struct orrb_tasks *all, const char *what) {
    struct orrb_task *t = all->running;
    if (!t) luaL_error(L, "%s waits, so it must be called from a task: a handler, or node:spawn(f)", what);
    if (t->closing) luaL_error(L, "%s can't wait while a task's variables are closed", what);
    if (t->co != L) luaL_error(L, "%s can't wait in a coroutine of one's own inside a task", what);
    if (!lua_isyieldable(L)) luaL_error(L, "%s can't wait in a callback of sort, gsub or the like", what);
    return t;
}

struct orr_wait *orrb_task_request(struct orrb_task *t) {
    orrb_task_let_go(t);
    t->wait = (struct orr_wait){ .done = completed, .owner = t };
    return &t->wait;
}

int orrb_task_wait(lua_State *L, struct orrb_task *t, lua_KFunction then) {
    t->state = ORRB_TASK_WAITING;
    return lua_yieldk(L, 0, (lua_KContext)t, then);
}

orr_time orrb_task_until(const struct orrb_task *t, orr_time timeout) {
    struct orr_world *w = t->all->world;
    orr_time now = w->ops->now(w), at = timeout >= ORR_NEVER - now ? ORR_NEVER : now + timeout;
    return at < t->deadline ? at : t->deadline;
}

/* -- What Lua calls: upvalue 1 is the scheduler ------------------------------------------------------------------- */
static struct orrb_tasks *tasks(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* spawn(handle, f, ...) -> task, serial: no deadline, nobody who asked */
static int spawn(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    struct orrb_task *t = orrb_task_new(tasks(L), NULL);
    if (!t) return luaL_error(L, "not enough memory");
    int n = lua_gettop(L) - 1;
    lua_State *co = orrb_task_stack(L, t);
    if (!lua_checkstack(co, n + 1)) {
        orrb_task_cancel(t);
        return luaL_error(L, "too many arguments");
    }
    lua_xmove(L, co, n);
    t->handle = lua_isnil(L, 1) ? LUA_NOREF : luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, t);
    lua_pushinteger(L, (lua_Integer)t->serial);
    return 2;
}

static struct orrb_task *named(lua_State *L, int arg) {
    luaL_checktype(L, arg, LUA_TLIGHTUSERDATA);
    struct orrb_task *t = lua_touserdata(L, arg);
    return t->serial == (uint64_t)luaL_checkinteger(L, arg + 1) ? t : NULL;
}

/* cancel(task, serial) -> true, or false where it has ended */
static int cancel(lua_State *L) {
    struct orrb_task *t = named(L, 1);
    if (t && t->state == ORRB_TASK_RUNNING) return luaL_error(L, "a task can't cancel itself: return, or raise");
    if (t) orrb_task_cancel(t);
    lua_pushboolean(L, t != NULL);
    return 1;
}

/* current() -> task, serial; or nil outside a task */
static int current(lua_State *L) {
    struct orrb_task *t = tasks(L)->running;
    if (!t) return 0;
    lua_pushlightuserdata(L, t);
    lua_pushinteger(L, (lua_Integer)t->serial);
    return 2;
}

/* ticket(what) -> task, ticket: of the park that the present task is about to begin; it raises where it can't wait */
static int ticket(lua_State *L) {
    struct orrb_task *t = orrb_task_check(L, tasks(L), luaL_checkstring(L, 1));
    t->ticket = ++tasks(L)->ticket;
    lua_pushlightuserdata(L, t);
    lua_pushinteger(L, (lua_Integer)t->ticket);
    return 2;
}

static int resumed(lua_State *L, int status, lua_KContext ctx) {
    struct orrb_task *t = (struct orrb_task *)ctx;
    (void)L;
    (void)status;
    t->ticket = 0;
    return 0;
}

/* park(): until wake */
static int park(lua_State *L) {
    struct orrb_task *t = orrb_task_check(L, tasks(L), "park");
    return orrb_task_wait(L, t, resumed);
}

/* wake(task, ticket) -> was it parked with that ticket? */
static int wake(lua_State *L) {
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
    struct orrb_task *t = lua_touserdata(L, 1);
    bool parked = t->ticket != 0 && t->ticket == (uint64_t)luaL_checkinteger(L, 2) && t->state == ORRB_TASK_WAITING;
    if (parked) t->ticket = 0;
    if (parked) orrb_task_wake(t);
    lua_pushboolean(L, parked);
    return 1;
}

/* sleep(seconds) */
static int sleep_for(lua_State *L) {
    struct orrb_task *t = orrb_task_check(L, tasks(L), "node:sleep");
    orr_time until = orrb_task_until(t, orrb_seconds(L, 1));
    int rc = orr_node_timer(t->all->node, orrb_task_request(t), until);
    if (rc < 0) return orrb_fail(L, rc, "node:sleep");
    return orrb_task_wait(L, t, resumed);
}

/* left() -> seconds that the present task has, or math.huge */
static int left(lua_State *L) {
    const struct orrb_task *t = tasks(L)->running;
    orr_time now = tasks(L)->world->ops->now(tasks(L)->world);
    if (!t || t->deadline == ORR_NEVER) lua_pushnumber(L, (lua_Number)INFINITY);
    else lua_pushnumber(L, t->deadline > now ? (lua_Number)(t->deadline - now) / 1e9 : 0);
    return 1;
}

/* inherit(task, serial): the present task's deadline becomes that one's */
static int inherit(lua_State *L) {
    struct orrb_task *t = named(L, 1);
    if (t && tasks(L)->running) t->deadline = tasks(L)->running->deadline;
    return 0;
}

/* now() -> monotonic seconds of this node */
static int now(lua_State *L) {
    struct orr_world *w = tasks(L)->world;
    lua_pushnumber(L, (lua_Number)w->ops->now(w) / 1e9);
    return 1;
}

/* settle(f): f(handle or nil, message, code, traceback or nil) is told of tasks that fail or are cancelled */
static int set_settle(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_rawseti(L, LUA_REGISTRYINDEX, tasks(L)->settle);
    return 0;
}

void orrb_tasks_init(struct orrb_tasks *all, lua_State *L) {
    *all = (struct orrb_tasks){ .L = L, .settle = LUA_NOREF, .out = { .alloc = &orr_alloc_libc } };
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &anchors);
    lua_pushboolean(L, 0);
    all->settle = luaL_ref(L, LUA_REGISTRYINDEX);
}

void orrb_tasks_open(lua_State *L, struct orrb_tasks *all) {
    static const luaL_Reg functions[] = {
        { "spawn", spawn }, { "cancel", cancel }, { "current", current }, { "ticket", ticket },
        { "park", park },   { "wake", wake },     { "sleep", sleep_for }, { "left", left },
        { "inherit", inherit }, { "now", now },   { "settle", set_settle }, { NULL, NULL },
    };
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, all);
    luaL_setfuncs(L, functions, 1);
}

static void drop_all(struct orrb_task *t, struct orrb_task *(*following)(const struct orrb_task *), bool crashed) {
    for (struct orrb_task *then; t; t = then) {
        then = following(t);
        if (!crashed) orrb_task_let_go(t);
        orrb_sink_clear(&t->results);
        free(t);
    }
}

static struct orrb_task *older(const struct orrb_task *t) { return t->older; }
static struct orrb_task *next_free(const struct orrb_task *t) { return t->next; }

void orrb_tasks_clear(struct orrb_tasks *all, bool crashed) {
    drop_all(all->newest, older, crashed);
    drop_all(all->spare, next_free, crashed);
    all->newest = all->spare = NULL;
    orrb_buffer_free(NULL, &all->out);
}
