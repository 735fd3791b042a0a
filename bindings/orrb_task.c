/* orrb_task.c - the scheduler of one node's tasks: the only lua_resume of the tree.
 *
 * Coroutines are used again: one that ended well begins its next task with an empty stack, one that failed or was
 * cancelled is reset first. So a task that ends at once costs neither memory nor work for the collector. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "orrb_environment.h"
#include "orrb_task.h"

enum { RESUMES_A_TURN = 4096, UNWINDS_NESTED = 16, SPAWN_STEPS = 20 };
#define TIME_A_TURN (3 * ORR_MS)
static const char anchors;          /* its address is the registry's key of the table of coroutines */

/* -- The queue ---------------------------------------------------------------------------------------------------- */
static void enqueue(struct orrb_task *t) {
    struct orrb_tasks *all = t->all;
    t->state = ORRB_TASK_READY;
    t->next = NULL;
    t->before = all->last;
    if (all->last) all->last->next = t;
    else all->first = t;
    all->last = t;
}

static void dequeue(struct orrb_task *t) {
    struct orrb_tasks *all = t->all;
    if (t->before) t->before->next = t->next;
    else all->first = t->next;
    if (t->next) t->next->before = t->before;
    else all->last = t->before;
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
    t->generation = all->running && !all->beginning ? all->running->generation : all->generation;
    t->begun = t->closing = t->doomed = false;
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
    bool plain;                     /* no memory or time for its own text and traceback */
};

/* Whoever made the task is told once, however it ends. */
static void tell(struct orrb_task *t, int status, const char *text) {
    void (*over)(struct orrb_task *, int, const char *) = t->over;
    t->over = NULL;
    if (over) over(t, status, text);
}

/* Tells of a task that did not end well: settle(handle or nil, message, code, traceback). */
static int settle(lua_State *L) {
    const struct outcome *o = lua_touserdata(L, 1);
    struct orrb_task *t = o->t;
    bool own = o->status == ORR_EFAILED && t->co && !o->plain;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->all->settle);
    if (t->handle == LUA_NOREF) lua_pushnil(L);
    else lua_rawgeti(L, LUA_REGISTRYINDEX, t->handle);
    if (own) {
        lua_pushvalue(t->co, -1);
        lua_xmove(t->co, L, 1);
        orrb_tostring(L, orrb_environment_of(L), lua_gettop(L), NULL);
        lua_replace(L, -2);
    } else {
        lua_pushstring(L, o->status == ORR_EFAILED ? "failed, and can't say why" : orr_strerror(o->status));
    }
    tell(t, o->status, lua_tostring(L, -1));
    lua_pushstring(L, orr_error_word(o->status));
    if (own) luaL_traceback(L, t->co, NULL, 0);
    else lua_pushnil(L);
    lua_call(L, 4, 0);
    return 0;
}

/* Its error may be a value of the script's own, whose __tostring may do anything. */
static bool settle_in_time(struct outcome *o) {
    lua_State *L = o->t->all->L;
    struct orrb_budget budget;
    orrb_budget_begin(L, &budget, o->t->all->steps_max);
    bool told = protect(L, settle, o);
    orrb_budget_end(L, &budget);
    return told;
}

/* A variable's __close raised, and nobody else can say so. The error is on top of its stack. */
static void tell_of_close(struct orrb_task *t) {
    struct orrb_task nobody = { .all = t->all, .co = t->co, .handle = LUA_NOREF };
    struct outcome o = { &nobody, ORR_EFAILED, false };
    (void)settle_in_time(&o);
}

/* Closes what it holds, in reverse order, within a budget of its own. What fails in there is told as a failure of its
 * own. */
static void unwind(struct orrb_task *t) {
    struct orrb_tasks *all = t->all;
    struct orrb_task *outer = all->running;
    bool failed = lua_status(t->co) != LUA_YIELD;
    struct orrb_budget budget;
    t->closing = true;
    t->state = ORRB_TASK_RUNNING;
    all->running = t;
    all->nested++;
    failed = failed && lua_checkstack(all->L, 4);
    if (failed) lua_pushvalue(t->co, -1), lua_xmove(t->co, all->L, 1);
    orrb_budget_begin(t->co, &budget, all->steps_max);
    int status = lua_resetthread(t->co);
    orrb_budget_end(t->co, &budget);
    bool another = status != LUA_OK;
    if (failed) {
        if (another) lua_pushvalue(all->L, -1), lua_xmove(all->L, t->co, 1);
        another = another && !lua_rawequal(t->co, -1, -2);
        lua_pop(all->L, 1);
        if (another) lua_pop(t->co, 1);
    }
    if (another) tell_of_close(t);
    lua_settop(t->co, 0);
    all->nested--;
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

/* It has ended: with status ORR_EFAILED its error is on top of its stack. */
static void end(struct orrb_task *t, int status, bool exhausted) {
    lua_State *L = t->all->L;
    struct outcome o = { t, status, false };
    bool told = status == 0 || settle_in_time(&o);
    if (t->co && !t->begun) lua_settop(t->co, 0);
    else if (t->co && status == 0) lua_settop(t->co, 0);
    else if (t->co && exhausted) abandon(t);
    else if (t->co) unwind(t);
    o.plain = true;                 /* there is memory again */
    if (!told) (void)protect(L, settle, &o);
    tell(t, status, NULL);
    luaL_unref(L, LUA_REGISTRYINDEX, t->handle);
    t->handle = LUA_NOREF;
    release(t);
}

/* A chain of tasks, each of which holds the next one, must not go as deep as it is long. */
void orrb_task_cancel(struct orrb_task *t) {
    if (t->state == ORRB_TASK_FREE || t->state == ORRB_TASK_RUNNING) return;
    if (t->state == ORRB_TASK_READY) dequeue(t);
    orr_wait_cancel(&t->wait);
    t->doomed = t->all->nested >= UNWINDS_NESTED;
    if (t->doomed) enqueue(t);
    else end(t, ORR_ECANCELED, false);
}

void orrb_tasks_cancel(struct orrb_tasks *all) {
    while (all->newest && all->newest->state != ORRB_TASK_RUNNING) orrb_task_cancel(all->newest);
}

/* A cancelled one's variables may cancel others, the next one too: then it begins anew. */
static void cancel_some(struct orrb_tasks *all, unsigned from, unsigned to) {
    for (struct orrb_task *t = all->newest, *then; t; t = then) {
        then = t->older;
        uint64_t serial = then ? then->serial : 0;
        if (t->generation < from || t->generation > to || t->state == ORRB_TASK_RUNNING || t->doomed) continue;
        orrb_task_cancel(t);
        if (then && then->serial != serial) then = all->newest;
    }
}

void orrb_tasks_cancel_older(struct orrb_tasks *all, unsigned generation) { cancel_some(all, 0, generation - 1); }
void orrb_tasks_cancel_of(struct orrb_tasks *all, unsigned generation) { cancel_some(all, generation, generation); }

/* -- Running ------------------------------------------------------------------------------------------------------ */
/* It yielded, but not in a wait of ours. */
static int refuse_yield(lua_State *L) {
    struct orrb_task *t = lua_touserdata(L, 1);
    luaL_checkstack(t->co, 8, NULL);
    luaL_where(t->co, 1);
    lua_pushfstring(t->co, "%scoroutine.yield outside a coroutine of one's own: a task waits in node:sleep, node:call "
                           "and the like", lua_tostring(t->co, -1));
    return 0;
}

/* Its stack, and what it begins with on it; how many arguments, or < 0: no memory. */
static int begin(struct orrb_task *t) {
    if (!t->co && !protect(t->all->L, make_stack, t)) return -1;
    if (t->body) {
        lua_pushcfunction(t->co, t->body);
        lua_pushlightuserdata(t->co, t);
    }
    return lua_gettop(t->co) - 1;
}

/* Is the time of whoever asked up? What it waited for may have failed for that: then it is told so, and has the reserve
 * that is left to answer. The node says so too, maybe later in this turn. */
static bool too_late(const struct orrb_task *t) {
    bool told = t->begun && t->wait.status < 0;
    return t->asked && !told && t->deadline <= t->all->world->ops->now(t->all->world);
}

static void resume(struct orrb_task *t) {
    struct orrb_tasks *all = t->all;
    if (!t->doomed && too_late(t)) {
        end(t, t->begun ? ORR_ECANCELED : ORR_ETIMEOUT, false);
        return;
    }
    int n = 0, args = t->begun ? 0 : begin(t);
    if (args < 0 || t->doomed) {
        end(t, t->doomed ? ORR_ECANCELED : ORR_EFAILED, false);
        return;
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
    if (status == LUA_YIELD) (void)protect(all->L, refuse_yield, t);
    end(t, status == LUA_OK ? 0 : ORR_EFAILED, budget.exhausted);
}

/* A turn has several passes: their time counts from its begin, and one task is resumed in each. */
bool orrb_tasks_turn(struct orrb_tasks *all) {
    struct orr_world *w = all->world;
    orr_time until = orr_node_now(all->node) + TIME_A_TURN;
    bool any = false;
    all->slow = false;
    for (int i = 0; all->first && !all->slow && i < RESUMES_A_TURN; i++) {
        if (i % 64 == 1 && w->ops->fresh(w) >= until) break;
        struct orrb_task *t = all->first;
        dequeue(t);
        resume(t);
        any = true;
    }
    if (all->first) orr_node_soon(all->node);
    return any;
}

/* -- Waiting ------------------------------------------------------------------------------------------------------ */
const char *orrb_place(lua_State *L) {
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && strncmp(ar.source, "@orrery/", 8) != 0)
            return lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
    }
    return NULL;
}

int orrb_complain(lua_State *L, const char *format, ...) {
    va_list args;
    if (!orrb_place(L)) lua_pushliteral(L, "");
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    lua_concat(L, 2);
    return lua_error(L);
}

struct refusal {
    const struct orrb_buffer *b;
    int error;
    const char *what;
};

/* Called by C, so that no line of Orrery's own comes before the message. */
static int say_why(lua_State *L) {
    const struct refusal *r = lua_touserdata(L, 1);
    return orrb_value_refuse(L, 2, r->b, r->error, r->what);
}

void orrb_pack_told(lua_State *L, int idx, struct orrb_buffer *b, const char *what) {
    size_t size = b->size;
    struct refusal r = { b, orrb_value_try_pack(L, idx, b), what };
    if (r.error == 0) {
        orrb_budget_charge_packed(L, b->size - size);
        return;
    }
    idx = lua_absindex(L, idx);
    lua_pushcfunction(L, say_why);
    lua_pushlightuserdata(L, &r);
    lua_pushvalue(L, idx);
    (void)lua_pcall(L, 2, 0, 0);
    if (lua_type(L, -1) == LUA_TSTRING && orrb_place(L)) {
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    lua_error(L);
}

static int refuse(lua_State *L, const char *what, const char *why) {
    const char *place = orrb_place(L);
    lua_pushfstring(L, "%s%s %s", place ? place : "", what, why);
    return lua_error(L);
}

struct orrb_task *orrb_task_check(lua_State *L, struct orrb_tasks *all, const char *what) {
    struct orrb_task *t = all->running;
    if (all->at_once) refuse(L, what, "can't wait in eval, which runs between two events: node:spawn(f) can");
    if (!t) refuse(L, what, "waits, so it must be called from a task: a handler, or node:spawn(f)");
    if (t->closing) refuse(L, what, "can't wait while a task's variables are closed");
    if (t->co != L) refuse(L, what, "can't wait in a coroutine of one's own inside a task");
    if (!lua_isyieldable(L)) refuse(L, what, "can't wait in a callback of sort, gsub or the like");
    return t;
}

struct orr_wait *orrb_task_request(struct orrb_task *t) {
    orrb_task_let_go(t);
    t->ticket = 0;                  /* of a park that it did not come to */
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

/* spawn(handle or nil, f, ...) -> task, serial: no deadline, nobody who asked; nothing: there are too many */
static int spawn(lua_State *L) {
    struct orrb_tasks *all = tasks(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    orrb_budget_charge(L, SPAWN_STEPS);
    if (all->live >= all->live_max) return 0;
    lua_pushvalue(L, 1);
    int handle = lua_isnil(L, 1) ? (lua_pop(L, 1), LUA_NOREF) : luaL_ref(L, LUA_REGISTRYINDEX);
    struct orrb_task *t = orrb_task_new(all, NULL);
    int n = lua_gettop(L) - 1;
    if (!t || (!t->co && !protect(L, make_stack, t)) || !lua_checkstack(t->co, n + 1)) {
        luaL_unref(L, LUA_REGISTRYINDEX, handle);
        if (t) orrb_task_cancel(t);
        return luaL_error(L, "not enough memory");
    }
    lua_xmove(L, t->co, n);
    t->handle = handle;
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
    if (t && t->state == ORRB_TASK_RUNNING && !t->closing)
        return luaL_error(L, "a task that runs can't be cancelled: it returns, or raises");
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

/* complain(what, why): raises "PLACE: WHAT WHY", with the script's line */
static int complain(lua_State *L) { return refuse(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2)); }

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

/* room() -> how many tasks there may be */
static int room(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)tasks(L)->live_max);
    return 1;
}

void orrb_tasks_init(struct orrb_tasks *all, lua_State *L) {
    *all = (struct orrb_tasks){
        .L = L, .settle = LUA_NOREF, .live_max = SIZE_MAX, .out = { .alloc = &orr_alloc_libc },
    };
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &anchors);
    lua_pushboolean(L, 0);
    all->settle = luaL_ref(L, LUA_REGISTRYINDEX);
}

void orrb_tasks_open(lua_State *L, struct orrb_tasks *all) {
    static const luaL_Reg functions[] = {
        { "spawn", spawn }, { "cancel", cancel }, { "current", current }, { "ticket", ticket },
        { "park", park },   { "wake", wake },     { "sleep", sleep_for }, { "left", left },
        { "inherit", inherit }, { "now", now },   { "settle", set_settle },
        { "complain", complain }, { "room", room },
        { NULL, NULL },
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
