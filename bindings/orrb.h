/* orrb.h - what the files of the Lua module share.
 *
 * Each file exposes one room: orrb_open_NAME(L) leaves one table on the stack. A binding checks arguments, calls C and
 * pushes results; logic lives below it or above it. A handle is made in this order: userdata marked closed, metatable,
 * resource opened into it; __gc, __close and close are one function, and twice is once. Lua never runs under
 * libevent's frames: a node's script runs in its node's turn, by orrb_task.c, after the loop is back.               */
#ifndef ORRB_H
#define ORRB_H

#include <lauxlib.h>
#include <lua.h>

#include <orrery/mesh.h>
#include <orrery/node.h>

#include "base/tree.h"

int orrb_open_hash(lua_State *L);
int orrb_open_environment(lua_State *L);
int orrb_open_budget(lua_State *L);
int orrb_open_ordered(lua_State *L);
int orrb_open_sort(lua_State *L);
int orrb_open_pattern(lua_State *L);
int orrb_open_names(lua_State *L);
int orrb_open_pure(lua_State *L);
int orrb_open_process(lua_State *L);
int orrb_open_live(lua_State *L);
int orrb_open_thread(lua_State *L);
int orrb_open_check(lua_State *L);
int orrb_open_lab(lua_State *L);
int orrb_open_memory(lua_State *L);
int orrb_open_raft(lua_State *L);
int orrb_open_clock(lua_State *L);
int orrb_open_hlc(lua_State *L);
int orrb_open_ring(lua_State *L);
int orrb_open_placement(lua_State *L);
int orrb_open_mesh(lua_State *L);
int orrb_open_sim(lua_State *L);
int orrb_open_value(lua_State *L);
int orrb_open_map(lua_State *L);
int orrb_open_visit(lua_State *L);
int orrb_open_ntp(lua_State *L);
ORR_API int luaopen_orrery_core(lua_State *L);
/* Orrery's own modules, compiled; kept by state L as long as it lives. For one more simulation, numbered so. */
struct orrb_chunks;
struct orrb_chunks *orrb_chunks_of(lua_State *L, lua_Integer *simulation);
/* In a node's state, after luaL_openlibs: require gives Orrery's own modules the same names everywhere. */
struct orrb_script;
void orrb_chunks_install(lua_State *L, const struct orrb_script *script);

/* nil, "WHAT: text", code */
int orrb_fail(lua_State *L, int error, const char *what);
/* An argument in seconds, not negative; infinity is ORR_NEVER. */
orr_time orrb_seconds(lua_State *L, int arg);
/* Of the table at arg: its field, or raises "FIELD is missing". A string is borrowed while the table holds it. */
const char *orrb_text_field(lua_State *L, int arg, const char *field, size_t *size);
orr_time orrb_time_field(lua_State *L, int arg, const char *field, orr_time otherwise);
int64_t orrb_integer_field(lua_State *L, int arg, const char *field, int64_t otherwise);
/* Of the table on top. */
void orrb_set_text(lua_State *L, const char *field, const char *text);         /* NULL: nil */
void orrb_set_integer(lua_State *L, const char *field, int64_t value);
void orrb_set_count(lua_State *L, const char *field, uint64_t value);
void orrb_set_number(lua_State *L, const char *field, double value);

/* -- Budgets (orrb_budget.c): what one run of a script's code may take --------------------------------------------- */
/* Lives in the frame of who begins it, who runs the code in protected mode in between. Budgets nest; what an inner one
 * spent counts for the outer one too. Hooks of L are put back at the end. */
struct orrb_budget {
    struct orrb_budget *outer;
    int64_t steps, left;
    lua_Hook hook;
    int hook_mask, hook_count;
    bool exhausted, canceled;
};
/* L: the thread that will run. May raise (memory), before anything has begun. */
void orrb_budget_begin(lua_State *L, struct orrb_budget *b, int64_t steps);
/* How many instructions it ran, to some hundreds. Whether it was stopped is in b->exhausted: its error can't have been
 * caught. A thread that ended so must not be closed (lua_resetthread): Lua leaves hooks off in it, so its __close would
 * run without bound. */
int64_t orrb_budget_end(lua_State *L, struct orrb_budget *b);
/* What a state's allocator gives out, and where it is to stop: a run that makes strings of megabytes with each
 * instruction would take hours, and the time of one `..` can't be counted. Set when a run begins. */
struct orrb_map;
struct orrb_allocations {
    uint64_t sum, most;             /* bytes, of all allocations */
    uint64_t ticks, ticks_then;     /* of budgets; when a big block was last asked for, */
    size_t big_then;                /* and how big; */
    unsigned doubled;               /* how often it was twice the one before */
    bool chained;                   /* out: a stack was refused, see orrb_budget.c */
    bool refused;                   /* out: memory was */
    bool pressed;                   /* the last request for memory was refused, and may be made again: for so much, */
    size_t pressed_for;
    struct orrb_map *maps;          /* all that live, see orrb_map.c */
};
void orrb_budget_allocations(lua_State *L, struct orrb_allocations *allocations);
/* Whether a block of that size is a stack that one instruction fills; then it must not be given. */
bool orrb_stack_chained(struct orrb_allocations *a, size_t size);
/* Takes steps off the present budget, for work in C; raises "FILE:LINE: ran for more than N instructions". */
void orrb_budget_charge(lua_State *L, int64_t steps);
/* As much for bytes that are packed or unpacked, where there is a budget; few are free. */
void orrb_budget_charge_packed(lua_State *L, size_t bytes);
/* Whether the present run was stopped. */
bool orrb_budget_exhausted(lua_State *L);
/* Ends the present run: raises "canceled", which nothing in it catches; its __close are run. Doesn't return. */
int orrb_budget_cancel(lua_State *L);

/* -- Pure functions (orrb_pure.c) ---------------------------------------------------------------------------------- */
/* In between, what pure functions must not do raises, `seed` is where math.random begins, and names begin at 1. */
void orrb_env_pure_begin(lua_State *L, uint64_t seed);
/* False: memory ran out, which is never a result: the replica must stop. Nothing has caught it. */
bool orrb_env_pure_end(lua_State *L);
bool orrb_env_pure(lua_State *L);
/* As lua_call(L, n, LUA_MULTRET), in a pure function; but what is raised is text, made while its bounds still hold: a
 * table as an error would be named by its address, and would take what it holds along. */
void orrb_call_in_text(lua_State *L, int n);
/* As lua_pcall(L, n, LUA_MULTRET, 0), within both: on a thread of its own, at the same depth everywhere. LUA_ERRMEM:
 * memory ran out. */
int orrb_pure_call(lua_State *L, int n, int64_t steps, uint64_t seed);

/* -- Values as MessagePack (orrb_pack.c, orrb_unpack.c) ----------------------------------------------------------- */
/* What travels: nil, booleans, integers, floats, strings, and tables of these without metatable or cycle, 64 deep.
 * Equal values are equal bytes in every process. nil stands alone or in an argument list, never in a table. */
enum {
    ORRB_VALUE_MAPS = 1,            /* a flag: the value, or fields of it, may be an orrery.map: for states */
    ORRB_VALUE_DIGESTS = 2,         /* and such a map is its digest: bytes to be compared, not to be read back */
    ORRB_ARGUMENTS_MAX = 250,
    ORRB_BUFFER_KEPT = 1 << 16,     /* bytes that orrb_buffer_trim leaves */
};
#define ORRB_PACKED_MAX ((size_t)1 << 30)

/* Bytes that are added to. All zeros is an empty one; reuse it with size = 0. */
struct orrb_buffer {
    unsigned char *at;
    size_t size, cap;
    size_t max;                     /* bytes that one value may take; 0: ORRB_PACKED_MAX */
    unsigned flags;
    const struct orr_alloc *alloc;  /* NULL: the Lua state's allocator */
    struct orrb_record *records;    /* of tables that are being written */
    size_t n_records, cap_records;
};
void orrb_buffer_free(lua_State *L, struct orrb_buffer *b);
void orrb_buffer_trim(lua_State *L, struct orrb_buffer *b);     /* frees what is more than ORRB_BUFFER_KEPT */

/* Adds the value at idx. 0, or raises what is wrong by its path, `what` the root's name: `op.items[3].f is a
 * function`; or "not enough memory". What was added before it raises is taken back; the buffer stays the caller's. */
int orrb_value_pack(lua_State *L, int idx, struct orrb_buffer *b, const char *what);
/* Adds the n values from `first` as an argument list, which keeps its nils. Complaints name `argument #2.f`. */
int orrb_value_pack_args(lua_State *L, int first, int n, struct orrb_buffer *b);
/* The same in two steps: 0 or an error, and which of them (0: none); then raise it. */
int orrb_value_try_pack_args(lua_State *L, int first, int n, struct orrb_buffer *b, int *which);
int orrb_value_refuse_args(lua_State *L, int first, int which, const struct orrb_buffer *b, int error,
                           const char *what);
/* The same in two steps, for who must clean up before it raises: 0 or an error; then raise it with refuse. */
int orrb_value_try_pack(lua_State *L, int idx, struct orrb_buffer *b);
int orrb_value_refuse(lua_State *L, int idx, const struct orrb_buffer *b, int error, const char *what);
/* XXH3-64 of its packed bytes, which go through b and leave nothing in it. Raises as pack does. */
uint64_t orrb_value_hash(lua_State *L, int idx, struct orrb_buffer *b, const char *what);

/* Pushes the one value that these bytes are; or pushes nothing: ORR_EINVALID, whatever the bytes. Takes 100
 * bytes of memory at most for one of them; raises "not enough memory" alone. Other languages' forms are read, too: any
 * length of integers and lengths, float32, bin as a string. Refused: nil in a table, a key twice, integers above
 * 2^63-1, other extensions. The bytes must stay: Lua may run finalizers meanwhile. */
int orrb_value_unpack(lua_State *L, const void *at, size_t size, unsigned flags);
/* Pushes the values of an argument list and returns how many; or pushes nothing and returns ORR_EINVALID. */
int orrb_value_unpack_args(lua_State *L, const void *at, size_t size);
/* Pushes a copy of the value at idx, by way of b: laid out as unpacking lays it out, the same on every replica. */
int orrb_value_copy(lua_State *L, int idx, struct orrb_buffer *b, const char *what);

/* -- orrery.map (orrb_map.c) --------------------------------------------------------------------------------------- */
struct orrb_map;
/* Where a snapshot of it stands; all zeros at first. */
struct orrb_map_place {
    struct orr_tree_place at;
    uint64_t digest;
    bool begun;
};
struct orrb_map *orrb_map_push(lua_State *L);               /* an empty one, at the top */
struct orrb_map *orrb_map_at(lua_State *L, int idx);        /* borrowed while it is on the stack; NULL: not a map */
size_t orrb_map_count(const struct orrb_map *m);
size_t orrb_map_bytes(const struct orrb_map *m);            /* of its keys and values */
uint64_t orrb_map_digest(const struct orrb_map *m);         /* of its content alone; kept along, costs nothing */
/* Those whose finalizers never ran, of a state that is closed. */
void orrb_maps_free(struct orrb_allocations *a);
void orrb_map_clear(struct orrb_map *m);                    /* of a pointer that orrb_map_at gave in this call */
/* Adds packed pairs, key and value in turn, in order, until there are `bytes` more of them. 1: more to come; 0: the
 * end. ORR_ECONFLICT: the map has changed since the first piece; -ENOMEM: the same piece may be asked for again. */
int orrb_map_piece(lua_State *L, struct orrb_map *m, struct orrb_map_place *place, size_t bytes, struct orrb_buffer *b);
/* Sets the pairs of a piece in the map at idx. ORR_EINVALID: malformed, or a key that it has already; -ENOMEM: then
 * what came before is set. */
int orrb_map_fill(lua_State *L, int idx, const void *at, size_t size);

/* -- A node with its own Lua state (orrb_node.c) ------------------------------------------------------------------ */
/* What a node is started from, in any world. All borrowed during boot. */
struct orrb_script {
    const char *plan;               /* Lua text of lua/orrery/plan.lua's making: cluster, id, peers, bundle */
    size_t plan_size;
    const char *id;
    const char *path;               /* where orrery's own Lua files are: a package.path */
    struct orrb_chunks *chunks;     /* ... compiled, for this simulation; or NULL */
    lua_Integer simulation;
    uint64_t segment_bytes, snapshot_bytes;     /* of the log; 0: the node's own default */
    bool reloads;                   /* who drives the node looks at orrb_node_reload_asked */
    /* The top level failed, in one of the node's turns; the node is about to stop. May be NULL. */
    void (*refused)(void *ud, const char *why);
    void *ud;
};
struct orrb_node;
/* Builds the node on this world and starts it; once its disk is open, in a turn, the script's top level runs. 0; or an
 * error, *out is NULL and `why` has a line for people (or is empty: then the error's own text). ORR_EINVALID: the
 * plan's fault. */
int orrb_node_boot(struct orrb_node **out, struct orr_world *w, const struct orrb_script *script, char *why,
                   size_t why_size);
/* Ends the Lua state. The node too, unless its world has crashed and taken it along. NULL is allowed. */
void orrb_node_free(struct orrb_node *n, bool crashed);
/* Other scripts take over, between two turns: 0; or why not, in one line, and those that run go on. */
int orrb_node_reload(struct orrb_node *n, const char *plan, size_t size, char *why, size_t why_size);
/* Who asked the node for that is told: NULL, or why not. */
void orrb_node_reloaded(struct orrb_node *n, const char *why);
/* Did somebody ask the node for that since this was last called? */
bool orrb_node_reload_asked(struct orrb_node *n);
struct orr_node *orrb_node_of(struct orrb_node *n);
/* Is the machine of this group of its written in Lua? */
bool orrb_node_in_lua(const struct orrb_node *n, const struct orr_group *group);
/* Did the top level run? *why: what it failed with, or NULL. */
bool orrb_node_declared(const struct orrb_node *n, const char **why);
/* Pushes onto L a copy of the script's node.state, as plain data. Between turns. */
void orrb_push_state(lua_State *L, struct orrb_node *n);
/* Runs text in the node, between turns: pushes true, results; or false, why, code. Returns how many. */
int orrb_node_eval(lua_State *L, struct orrb_node *n, const char *at, size_t size);
/* Pushes onto `to` a copy of what is on top of `from`; what is no plain data becomes the name of its type. Nothing is
 * allocated in `from`; what fails in `to` raises there. */
void orrb_copy_plain(lua_State *from, lua_State *to);

/* -- What nodes say of themselves (orrb_status.c) ------------------------------------------------------------------ */
void orrb_push_node_status(lua_State *L, const struct orr_node *node);
/* Pushes what it knows of the cluster's time; nothing changes in it. */
const char *orrb_mesh_verdict(enum orr_mesh_verdict verdict);      /* as scripts have it */
void orrb_push_clock(lua_State *L, const struct orr_node *node);
/* Pushes an array of what it knows of each member; empty where it takes no part. */
void orrb_push_members(lua_State *L, const struct orr_node *node);
/* Of all groups that have a replica here, by name. */
void orrb_push_groups(lua_State *L, struct orr_node *node);
/* False, and nothing is pushed: no replica is here. */
bool orrb_push_group_status(lua_State *L, const struct orr_group *group);
/* Pushes the last n causes of what it is, the oldest first, as tables, and the node's monotonic time now. */
void orrb_push_causes(lua_State *L, const struct orr_node *node, const struct orr_group *group, lua_Integer n);
/* The same of the group of that name; or nil, message, "unavailable": no replica is here. Returns how many values. */
int orrb_push_why(lua_State *L, struct orrb_node *n, const char *group, lua_Integer most);

#endif
