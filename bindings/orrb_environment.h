/* orrb_environment.h - what the files of the deterministic environment share: one userdata for each Lua state.
 *
 * It is upvalue 1 of every function that they export. The table of what these functions replace, and why, is the head
 * of lua/orrery/environment.lua.                                                                                    */
#ifndef ORRB_ENVIRONMENT_H
#define ORRB_ENVIRONMENT_H

#include "base/rng.h"
#include "orrb.h"

/* What of Lua's the userdata keeps alive, as its user values. */
enum orrb_kept {
    ORRB_MESSAGE = 1,               /* why the budget's run was stopped */
    ORRB_SPOILED,                   /* threads that were stopped in the hook: { [thread] = true }, weak */
    ORRB_NAMES, ORRB_PURE_NAMES,    /* { [reference] = number }, weak */
    ORRB_WALKS,                     /* what next walks: { table, keys, snapshot, table, ... } */
    ORRB_HIDDEN,                    /* { table, key, value, value in pure functions, ... } */
    ORRB_METATABLES,                /* those that this run has set: { [metatable] = true } */
    ORRB_SHOWN,                     /* all that scripts have set, weak */
    ORRB_LIBRARIES,                 /* { [table or function] = name }: what pure functions may reach, weak */
    ORRB_THREAD,                    /* where pure functions run */
    ORRB_KEPT = ORRB_THREAD
};

enum { ORRB_WALKS_MAX = 8 };

struct orrb_environment {
    struct orrb_budget *budget;     /* the innermost, or NULL */
    struct orr_rng chance, pure_chance;
    struct orrb_allocations *allocations;   /* or NULL */
    lua_Integer names, pure_names;  /* how many were given */
    unsigned kept;                  /* bit i: there is a kept value i */
    bool pure, memory_out;
    bool peeks;                     /* tables are laid out as orrb_ordered.c supposes */
    unsigned walks_next;
    struct orrb_walk {
        const void *table;
        struct orrb_snapshot *snapshot;
    } walks[ORRB_WALKS_MAX];
};

/* Of a function that was made by orrb_environment_functions. */
static inline struct orrb_environment *orrb_self(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* The state's, made when it is first asked for; pushed as well. */
struct orrb_environment *orrb_environment_push(lua_State *L);
/* The state's, or NULL where nobody has asked for it yet. */
struct orrb_environment *orrb_environment_of(lua_State *L);
/* Pushes a new table with these functions, whose upvalue 1 is the environment. */
void orrb_environment_functions(lua_State *L, const luaL_Reg *functions);
/* Pushes LIBRARY.NAME as Lua itself has it ("_G" for the basic ones). */
void orrb_environment_stock(lua_State *L, const char *library, const char *name);
/* Lua's own function that is upvalue 2, in the present frame and with its arguments: what it raises names the line of
 * whoever called. How many results lie on top. For those without upvalues, which these libraries' are. */
static inline int orrb_stock_call(lua_State *L) { return lua_tocfunction(L, lua_upvalueindex(2))(L); }
/* Pushes one of the kept values, a new table (weak by mode, or NULL) where there is none yet. */
void orrb_environment_kept(lua_State *L, enum orrb_kept which, const char *mode);
/* Sets, or forgets, from the top of the stack. */
void orrb_environment_keep(lua_State *L, enum orrb_kept which);
/* Forgets; doesn't raise. Each resume does so, and there is mostly nothing. */
static inline void orrb_environment_forget(lua_State *L, const struct orrb_environment *e, enum orrb_kept which) {
    if (!(e->kept & 1u << which)) return;
    lua_pushnil(L);
    orrb_environment_keep(L, which);
}

/* orrb_budget.c */
void orrb_charge(lua_State *L, struct orrb_environment *e, int64_t steps);
/* Raises again what must not be caught, after a protected call that ended with `status`. `was_canceled`: before it. */
void orrb_uncaught(lua_State *L, struct orrb_environment *e, int status, bool was_canceled);
bool orrb_is_memory(lua_State *L, int at);  /* whether that error is that memory ran out */
static inline bool orrb_canceled(const struct orrb_environment *e) { return e->budget && e->budget->canceled; }

enum { ORRB_BYTES_A_STEP = 64 };    /* of what is copied or read through */
static inline void orrb_charge_bytes(lua_State *L, struct orrb_environment *e, size_t bytes) {
    if (bytes >= ORRB_BYTES_A_STEP) orrb_charge(L, e, (int64_t)(bytes / ORRB_BYTES_A_STEP));
}

/* orrb_ordered.c */
void orrb_ordered_forget(lua_State *L, struct orrb_environment *e);     /* what next walks; doesn't raise */
/* Pushes the keys of the table at that place, and above them the snapshot. */
struct orrb_snapshot *orrb_ordered_take(lua_State *L, struct orrb_environment *e, int table);
/* Pushes the next key that is still there, and its value: 2; or nil: 1. `keys`: where they were pushed. */
int orrb_ordered_advance(lua_State *L, struct orrb_snapshot *s, int table, int keys);
void orrb_ordered_test(lua_State *L, struct orrb_environment *e);

/* orrb_names.c: as luaL_tolstring, with stable names. */
const char *orrb_tostring(lua_State *L, struct orrb_environment *e, int at, size_t *size);

/* orrb_environment.c: raises if a metatable that this run has set became one with __mode or __gc since. */
void orrb_metatables_check(lua_State *L);
/* What math.random gives for the arguments of the present frame, drawn from rng. */
int orrb_random(lua_State *L, struct orr_rng *rng);

#endif
