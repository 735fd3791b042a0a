/* orrb_budget.c - core.budget: bounds on what a run of a script's code may take, and pcall, xpcall, load and coroutine
 * functions that don't swallow its end.
 *
 * A count hook takes its stride from the innermost budget; functions in C whose time grows with their input charge it
 * themselves. A stopped run stays stopped: its hook is at every instruction then, so no __close and no handler gets
 * anywhere, and whatever catches an error here raises it again. A canceled run differs in one thing: what is called
 * while it unwinds (__close) is an ordinary call, and may catch errors of its own.
 *
 * One instruction may last: where what __call names is a table, Lua looks for that one's __call, and puts each on the
 * stack, below all others; t.__call = t took more than 100 s until that overflowed. No hook sees it, but the allocator
 * does: a stack of more than 64 KiB that doubles again and again while nobody ticks is refused (orrb_stack_chained),
 * and that is the end of the budget.
 *
 * Lua doesn't turn hooks on again in a thread that died in one. Closing such a thread would run its __close unbounded,
 * so it is never closed: these threads are `spoiled`, and what they held goes to the collector.                     */
#include <string.h>

#include "orrb_environment.h"

enum { STRIDE = 1000, THREAD_STEPS = 200, RUN_STEPS = 200, MEMORY_STEPS = 1000000 };
enum { STACK_BIG = 1 << 16, STACK_DOUBLES = 3, PACKED_FREE = 256, PACKED_A_STEP = 4 };
#define ALLOCATIONS_LEAST ((uint64_t)1 << 30)

/* -- Stopping ------------------------------------------------------------------------------------------------------ */
static bool stopped(const struct orrb_environment *e, bool was_canceled) {
    return e->memory_out || (e->budget && (e->budget->exhausted || (e->budget->canceled && !was_canceled)));
}

/* Pushes "file:line: " of the innermost Lua function, or "". */
static void push_place(lua_State *L) {
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

static void count(lua_State *L, lua_Debug *ar);

static int raise(lua_State *L) {
    const struct orrb_environment *e = orrb_environment_push(L);
    if (!orrb_canceled(e)) lua_sethook(L, count, LUA_MASKCOUNT, 1);
    if (e->memory_out) lua_pushliteral(L, "memory ran out in apply");
    else if (e->budget->exhausted) lua_getiuservalue(L, -1, ORRB_MESSAGE);
    else lua_pushliteral(L, "canceled");
    return lua_error(L);
}

static int exhaust(lua_State *L, struct orrb_environment *e) {
    e->budget->exhausted = true;    /* first: what follows may raise for want of memory */
    push_place(L);
    lua_pushfstring(L, "%sran for more than %I instructions", lua_tostring(L, -1), (LUAI_UACINT)e->budget->steps);
    orrb_environment_keep(L, ORRB_MESSAGE);
    return raise(L);
}

static int stride(const struct orrb_budget *b) { return b->steps < STRIDE ? (int)b->steps : STRIDE; }

static void count(lua_State *L, lua_Debug *ar) {
    struct orrb_environment *e = orrb_environment_of(L);
    int taken = lua_gethookcount(L);
    (void)ar;
    if (!e->budget) return;
    if (e->allocations) e->allocations->ticks++;
    if (stopped(e, true)) raise(L);
    e->budget->left -= taken;
    if (e->budget->left <= 0) exhaust(L, e);
    if (taken != stride(e->budget)) lua_sethook(L, count, LUA_MASKCOUNT, stride(e->budget));
}

void orrb_charge(lua_State *L, struct orrb_environment *e, int64_t steps) {
    if (!e->budget) return;
    if (e->allocations) e->allocations->ticks++;
    if (stopped(e, true)) raise(L);
    if (steps >= e->budget->left) {
        e->budget->left = 0;
        exhaust(L, e);
    }
    e->budget->left -= steps;
}

/* Buffers and packing tell of it as an error like others, in Lua's own words; wrap puts a place before them. */
bool orrb_is_memory(lua_State *L, int at) {
    static const char words[] = "not enough memory";
    if (lua_type(L, at) != LUA_TSTRING) return false;
    size_t size, n = sizeof words - 1;
    const char *text = lua_tolstring(L, at, &size);
    return size >= n && memcmp(text + size - n, words, n) == 0;
}

/* What was caught is on top. */
void orrb_uncaught(lua_State *L, struct orrb_environment *e, int status, bool was_canceled) {
    bool failed = status != LUA_OK && status != LUA_YIELD;
    if (failed && e->allocations && e->allocations->chained) {
        e->allocations->chained = false;
        if (e->budget) exhaust(L, e);
    }
    if (failed && (status == LUA_ERRMEM || orrb_is_memory(L, -1))) {
        if (e->pure) e->memory_out = true;
        else orrb_charge(L, e, MEMORY_STEPS);
    }
    if (stopped(e, was_canceled)) raise(L);
}

/* -- For C --------------------------------------------------------------------------------------------------------- */
void orrb_budget_allocations(lua_State *L, struct orrb_allocations *allocations) {
    orrb_environment_push(L)->allocations = allocations;
    lua_pop(L, 1);
}

/* A stack doubles to a size that nothing else has: a slot takes 16 bytes, five are extra. Where a collection came
 * between, it is asked for twice. */
bool orrb_stack_chained(struct orrb_allocations *a, size_t size) {
    if (size < STACK_BIG || size % 16 != 0) return false;
    bool ticked = a->ticks != a->ticks_then, again = size == a->big_then;
    if (ticked || (!again && size != 2 * a->big_then - 80)) a->doubled = 0;
    else if (!again) a->doubled++;
    a->ticks_then = a->ticks;
    a->big_then = size;
    a->chained = a->doubled >= STACK_DOUBLES;
    return a->chained;
}

static void bound_allocations(struct orrb_allocations *a, int64_t steps) {
    uint64_t bytes = steps < (INT64_MAX >> 10) ? (uint64_t)steps << 10 : INT64_MAX;
    if (bytes < ALLOCATIONS_LEAST) bytes = ALLOCATIONS_LEAST;
    a->most = a->sum + bytes;
    a->ticks++;
    a->chained = false;
}

void orrb_budget_begin(lua_State *L, struct orrb_budget *b, int64_t steps) {
    struct orrb_environment *e = orrb_environment_push(L);
    *b = (struct orrb_budget){ .outer = e->budget, .steps = steps > 0 ? steps : 1 };
    b->left = b->steps;
    b->hook = lua_gethook(L);
    b->hook_mask = lua_gethookmask(L);
    b->hook_count = lua_gethookcount(L);
    lua_pop(L, 1);
    if (!b->outer && e->allocations) bound_allocations(e->allocations, b->steps);
    if (!b->outer) {
        orrb_ordered_forget(L, e);
        orrb_environment_forget(L, e, ORRB_METATABLES);
    }
    e->budget = b;
    lua_sethook(L, count, LUA_MASKCOUNT, stride(b));
}

int64_t orrb_budget_end(lua_State *L, struct orrb_budget *b) {
    struct orrb_environment *e = orrb_environment_of(L);
    e->budget = b->outer;
    lua_sethook(L, b->hook, b->hook_mask, b->hook_count);
    if (b->outer) b->outer->left -= b->steps - b->left;
    return b->steps - b->left;
}

void orrb_budget_charge(lua_State *L, int64_t steps) { orrb_charge(L, orrb_environment_of(L), steps); }

void orrb_budget_charge_packed(lua_State *L, size_t bytes) {
    if (bytes < PACKED_FREE) return;
    struct orrb_environment *e = orrb_environment_of(L);
    if (e) orrb_charge(L, e, (int64_t)(bytes / PACKED_A_STEP));
}

bool orrb_budget_exhausted(lua_State *L) {
    const struct orrb_environment *e = orrb_environment_of(L);
    return e->memory_out || (e->budget && e->budget->exhausted);
}

int orrb_budget_cancel(lua_State *L) {
    struct orrb_environment *e = orrb_environment_of(L);
    if (!e->budget) return luaL_error(L, "canceled");
    e->budget->canceled = true;
    return raise(L);
}

/* -- pcall, xpcall, load ------------------------------------------------------------------------------------------- */
/* Context of a protected call: how many values lie below the results; the lowest bit: was it canceled before? */
static int finish_pcall(lua_State *L, int status, lua_KContext context) {
    orrb_uncaught(L, orrb_self(L), status, context & 1);
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)(context >> 1);
    lua_pushboolean(L, 0);
    lua_pushvalue(L, -2);
    return 2;
}

static int budget_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    lua_KContext context = orrb_canceled(orrb_self(L));
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, context, finish_pcall);
    return finish_pcall(L, status, context);
}

/* In the place of the script's own handler, which is upvalue 2: it isn't asked about what it must not see. */
static int handler(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    lua_settop(L, 1);
    if (e->pure && orrb_is_memory(L, 1)) e->memory_out = true;
    if (stopped(e, lua_toboolean(L, lua_upvalueindex(3)))) return 1;
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int budget_xpcall(lua_State *L) {
    int n = lua_gettop(L);
    bool canceled = orrb_canceled(orrb_self(L));
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 2);
    lua_pushboolean(L, canceled);
    lua_pushcclosure(L, handler, 3);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);            /* f, handler, true, f, arguments */
    lua_KContext context = 2 << 1 | canceled;
    int status = lua_pcallk(L, n - 2, LUA_MULTRET, 2, context, finish_pcall);
    return finish_pcall(L, status, context);
}

/* load, with Lua's own as upvalue 2, which catches what a reader raises: text only. A step a byte. */
static int budget_load(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    bool canceled = orrb_canceled(e);
    if (lua_type(L, 1) == LUA_TSTRING) orrb_charge(L, e, (int64_t)lua_rawlen(L, 1));
    if (lua_gettop(L) < 3) lua_settop(L, 3);
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    int n = orrb_stock_call(L);
    orrb_uncaught(L, e, lua_isnil(L, -n) ? LUA_ERRRUN : LUA_OK, canceled);
    return n;
}

/* -- Coroutines: Lua's own do the work ----------------------------------------------------------------------------- */
static lua_State *check_thread(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTHREAD);
    return lua_tothread(L, 1);
}

static void spoil(lua_State *L, int thread) {
    thread = lua_absindex(L, thread);
    orrb_environment_kept(L, ORRB_SPOILED, "k");
    lua_pushvalue(L, thread);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* After a resume or a close of the thread at that place, with results from 2: raises if it ended as nobody may see. */
static void settle(lua_State *L, struct orrb_environment *e, int thread, bool was_canceled) {
    int status = lua_status(lua_tothread(L, thread));
    if (!lua_toboolean(L, 2) && status != LUA_ERRMEM) status = LUA_ERRRUN;
    if (stopped(e, true)) spoil(L, thread);
    orrb_uncaught(L, e, status, was_canceled);
}

/* Upvalue 2: Lua's own. A thread costs something, and its own first stride is short: many short ones are counted. */
static int budget_create(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    orrb_charge(L, e, THREAD_STEPS);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (e->budget) lua_sethook(lua_tothread(L, -1), count, LUA_MASKCOUNT, THREAD_STEPS);
    return 1;
}

/* Upvalue 2: Lua's own. */
static int budget_resume(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    bool canceled = orrb_canceled(e);
    check_thread(L);
    orrb_charge(L, e, 1);
    lua_pushvalue(L, 1);
    lua_insert(L, 1);               /* stays below */
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 2);
    lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
    settle(L, e, 1, canceled);
    return lua_gettop(L) - 1;
}

/* Upvalues: environment, Lua's coroutine.resume, the thread. */
static int wrapped(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    bool canceled = orrb_canceled(e);
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_insert(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, 1);
    lua_rotate(L, 2, 2);            /* thread, resume, thread, arguments */
    lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
    settle(L, e, 1, canceled);
    if (lua_toboolean(L, 2)) return lua_gettop(L) - 2;
    lua_State *thread = lua_tothread(L, 1);
    int status = lua_status(thread);
    if (status != LUA_OK && status != LUA_YIELD) {
        status = lua_resetthread(thread);
        settle(L, e, 1, canceled);
        lua_xmove(thread, L, 1);    /* the error, or one of its __close */
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* Upvalues 2 and 3: create above, Lua's coroutine.resume. */
static int budget_wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_pushcclosure(L, wrapped, 3);
    return 1;
}

static bool is_spoiled(lua_State *L, int thread) {
    orrb_environment_kept(L, ORRB_SPOILED, "k");
    lua_pushvalue(L, thread);
    bool is = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return is;
}

/* Upvalue 2: Lua's own. */
static int budget_close(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    bool canceled = orrb_canceled(e);
    check_thread(L);
    lua_settop(L, 1);
    if (is_spoiled(L, 1)) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "it was stopped by its budget");
        return 2;
    }
    int n = orrb_stock_call(L);     /* the thread stays below */
    settle(L, e, 1, canceled);
    return n;
}

/* -- For Lua ------------------------------------------------------------------------------------------------------- */
/* Runs in protected mode: f and its arguments. */
static int checked_run(lua_State *L) {
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    orrb_metatables_check(L);
    return lua_gettop(L);
}

/* budget.run(steps, f, ...): as pcall(f, ...) within so many instructions. */
static int budget_run(lua_State *L) {
    struct orrb_budget b;
    lua_Integer steps = luaL_checkinteger(L, 1);
    luaL_argcheck(L, steps > 0, 1, "a positive number of instructions expected");
    luaL_checkany(L, 2);
    lua_pushcfunction(L, checked_run);
    lua_insert(L, 2);
    orrb_budget_begin(L, &b, steps);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    if (b.exhausted) {
        lua_settop(L, 1);
        orrb_environment_push(L);
        lua_getiuservalue(L, -1, ORRB_MESSAGE);
        lua_replace(L, 2);          /* wrap may have put its own place before it */
        lua_settop(L, 2);
    }
    orrb_budget_end(L, &b);
    orrb_charge(L, orrb_self(L), RUN_STEPS);        /* the outer one's stride began anew */
    lua_pushboolean(L, status == LUA_OK && !b.exhausted);
    lua_replace(L, 1);
    return lua_gettop(L);
}

static int budget_spent(lua_State *L) {
    const struct orrb_budget *b = orrb_self(L)->budget;
    lua_pushinteger(L, b ? b->steps - b->left : 0);
    return 1;
}

static int budget_charge(lua_State *L) {
    lua_Integer steps = luaL_checkinteger(L, 1);
    luaL_argcheck(L, steps >= 0, 1, "not negative");
    orrb_charge(L, orrb_self(L), steps);
    return 0;
}

static int budget_cancel(lua_State *L) { return orrb_budget_cancel(L); }

/* Sets field NAME of the table on top to f, whose upvalue 2 is Lua's own LIBRARY.NAME. */
static void set_over(lua_State *L, const char *library, const char *name, lua_CFunction f) {
    orrb_environment_push(L);
    orrb_environment_stock(L, library, name);
    lua_pushcclosure(L, f, 2);
    lua_setfield(L, -2, name);
}

int orrb_open_budget(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "pcall", budget_pcall }, { "xpcall", budget_xpcall }, { "run", budget_run },
        { "spent", budget_spent }, { "charge", budget_charge }, { "cancel", budget_cancel },
        { NULL, NULL },
    };
    orrb_environment_functions(L, functions);
    set_over(L, "_G", "load", budget_load);
    lua_newtable(L);
    set_over(L, "coroutine", "create", budget_create);
    set_over(L, "coroutine", "resume", budget_resume);
    set_over(L, "coroutine", "close", budget_close);
    orrb_environment_push(L);
    lua_getfield(L, -2, "create");
    orrb_environment_stock(L, "coroutine", "resume");
    lua_pushcclosure(L, budget_wrap, 3);
    lua_setfield(L, -2, "wrap");
    lua_setfield(L, -2, "coroutine");
    return 1;
}
