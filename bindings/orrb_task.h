/* orrb_task.h - tasks: coroutines that may wait, run by their node's turns.
 *
 *     free ── spawn, message ──> ready ──> running ──> waiting ── done, woken ──> ready
 *      ^                           |          |           |
 *      └──────── ended, failed ────┴──────────┴── cancelled
 *
 * Whatever a task waits for completes in plain C, in the node's turn: that only links the task into the queue of those
 * that are ready. The queue is worked off in the same turn, first come first served, by orrb_tasks_turn, which has the
 * only lua_resume of the tree. So Lua never runs under somebody else's frames, and the order of events is the world's.
 *
 * A wait is the last thing that a binding does: it submits a request with the task's own struct orr_wait (or only parks
 * the task, for somebody to wake it) and returns orrb_task_wait(). What is left to do afterwards, pushing results, is
 * done by the continuation, under lua_resume, where it may raise. */
#ifndef ORRB_TASK_H
#define ORRB_TASK_H

#include <lua.h>

#include <orrery/host.h>

#include "orrb_sink.h"

struct orrb_tasks;
enum orrb_task_state { ORRB_TASK_FREE, ORRB_TASK_READY, ORRB_TASK_RUNNING, ORRB_TASK_WAITING };

/* Never freed while the scheduler lives: what remembers one compares its serial. */
struct orrb_task {
    struct orrb_task *next, *before;        /* in the queue of the ready; the free have next alone */
    struct orrb_task *newer, *older;        /* of all that are not free */
    struct orrb_tasks *all;
    lua_State *co;                  /* its own for good, anchored by the scheduler; NULL: not made yet */
    enum orrb_task_state state;
    bool begun;                     /* it was resumed once */
    bool closing;                   /* its variables are being closed: it can't wait any more */
    bool doomed;                    /* cancelled, and ready only to be closed */
    unsigned generation;            /* of the scripts that began it */
    uint64_t serial;                /* which task this is, of all that ever were; never 0 */
    uint64_t ticket;                /* of the wait that it is in: orrb_task_wake by others */
    orr_time deadline;              /* ORR_NEVER: none */
    lua_CFunction body;             /* what it runs, with its struct orrb_task as the argument; NULL: what lies on its
                                     * stack, with its arguments */
    struct orr_wait wait;           /* done: ready again */
    struct orr_slice got;           /* the result of its last request, held until orrb_task_let_go */
    struct orrb_sink results;       /* of a group's machine, where the request asked for them */
    struct orr_asked *asked;        /* who asked, or NULL */
    void *of;                       /* of whoever made it, who is told how it ended: 0, ORR_EFAILED, ORR_ECANCELED */
    void (*over)(struct orrb_task *t, int status, const char *text);
    int handle;                     /* reference of what Lua knows it by, or LUA_NOREF */
};
struct orrb_tasks {
    lua_State *L;
    struct orr_node *node;
    struct orr_world *world;
    struct orrb_task *first, *last; /* the ready */
    struct orrb_task *spare;        /* the free */
    struct orrb_task *newest, *running;
    uint64_t serial, ticket;
    unsigned generation;            /* of the scripts that run, or whose top level runs: counts what was tried */
    bool beginning;                 /* their top level runs: whatever is begun is theirs */
    bool at_once;                   /* what runs now is eval's, which waits for nothing */
    unsigned nested;                /* of the tasks whose variables are being closed, one by another */
    int64_t steps_max;              /* instructions from one wait to the next */
    bool slow;                      /* memory was refused: the turn ends, for each request may take a collection */
    size_t live, live_max;          /* tasks that are not free; above it no script makes more */
    struct orrb_buffer out;         /* for packing what the node copies at once */
    int settle;                     /* reference of f(handle, text, code, trace): a task failed or was cancelled */
};

/* A value; node and world are set by the caller. May raise. */
void orrb_tasks_init(struct orrb_tasks *all, lua_State *L);
/* Leaves a table of the functions that lua/orrery/task.lua is made of. May raise. */
void orrb_tasks_open(lua_State *L, struct orrb_tasks *all);
/* Cancels all, the newest first. */
void orrb_tasks_cancel(struct orrb_tasks *all);
/* Cancels those of scripts older than that, or of that generation; the newest first. */
void orrb_tasks_cancel_older(struct orrb_tasks *all, unsigned generation);
void orrb_tasks_cancel_of(struct orrb_tasks *all, unsigned generation);
/* Gives back what is C's, once the state is closed. crashed: the node's memory is gone, and what was held of it. */
void orrb_tasks_clear(struct orrb_tasks *all, bool crashed);
/* Resumes what is ready, at most a turn's worth. True: anything was done. Never raises. */
bool orrb_tasks_turn(struct orrb_tasks *all);

/* A new task, ready; NULL: no memory. Never raises. Without a body it needs its coroutine at once: orrb_task_stack. */
struct orrb_task *orrb_task_new(struct orrb_tasks *all, lua_CFunction body);
lua_State *orrb_task_stack(lua_State *L, struct orrb_task *t);      /* may raise */
/* Ends it at its wait: its variables are closed in reverse order, nothing else of it runs. Not for what runs. */
void orrb_task_cancel(struct orrb_task *t);
/* Puts a waiting task into the queue; nothing for one that does not wait. */
void orrb_task_wake(struct orrb_task *t);

/* The task that L is; raises where L is none, naming the call: outside a task, in a coroutine of the script's own,
 * where Lua can't yield, while the variables of a cancelled task are closed. */
struct orrb_task *orrb_task_check(lua_State *L, struct orrb_tasks *all, const char *what);
/* Pushes "FILE:LINE: " of the innermost line that is the script's; or nothing, NULL: it called last all the way. (Files
 * of Orrery's own have the names that orrb_chunks.c gives them.) */
const char *orrb_place(lua_State *L);
/* Raises, as luaL_error does, with the script's line. */
int orrb_complain(lua_State *L, const char *format, ...);
/* As orrb_value_pack, but what can't travel is told with the script's line. */
void orrb_pack_told(lua_State *L, int idx, struct orrb_buffer *b, const char *what);
/* As new; its result will be in t->got. Submit it; where that fails, no wait. */
struct orr_wait *orrb_task_request(struct orrb_task *t);
/* The last statement of a binding that waits: for what was submitted, or to be woken. `then` pushes the results. */
int orrb_task_wait(lua_State *L, struct orrb_task *t, lua_KFunction then);
void orrb_task_let_go(struct orrb_task *t);
/* The end of a wait of at most `timeout`, within the task's own deadline. */
orr_time orrb_task_until(const struct orrb_task *t, orr_time timeout);

#endif
