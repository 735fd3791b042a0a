/* orrb_node.c - a node with a Lua state of its own: the script's top level declares, then the node starts.
 *
 * The state runs lua/orrery/node.lua, which makes the script's environment and checks what it asks for; that calls the
 * host functions below, and they call orr_node_*. Both worlds boot a node through here, so a script can't tell them
 * apart. The state has an allocator of its own with the limit of the cluster file, apart from the node's memory: a
 * script that eats all it may gets an error, and nothing else does. */
#include <errno.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blocks.h"
#include "orrb_code.h"
#include "orrb_console.h"
#include "orrb_listen.h"
#include "orrb_pack.h"

enum { BYTES_A_TASK = 2560, REFUSALS_MAX = 20 };    /* of the state's limit: tasks alone never fill it */

struct orrb_node {
    lua_State *L;
    struct orr_world *world;
    struct orr_node *node;
    struct orrb_host host;
    const struct orrb_script *script;   /* during boot */
    size_t used, limit;                 /* bytes of the Lua state */
    struct orri_blocks blocks;          /* where they lie */
    struct orrb_allocations allocations;
    unsigned refusals;                  /* for good, since there was room for certain */
    bool started, declared, simulated;
    const struct orr_group *in_lua[64]; /* groups whose machine is the script's */
    size_t n_in_lua;
    void (*refused)(void *ud, const char *why);
    void *refused_ud;
    char name[64];
    int declare, reload, reloaded;      /* references: run the script's top level; another's; how that went */
    struct orr_wait retiring;           /* until the tasks of replaced scripts are ended */
    int retired;                        /* reference: is told then; LUA_NOREF: nobody is */
    unsigned generation;                /* of tasks: those below are of scripts that were replaced */
    bool reloads, reload_asked;         /* does who drives the node load other scripts; is he asked to? */
    int status;                         /* of the core, when it was what failed; 0: the script's fault */
    char why[1024];                     /* of the top level, when it failed */
};

/* -- What node.lua calls: each has the orrb_node as its upvalue --------------------------------------------------- */
static struct orrb_node *self(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

static int refuse(lua_State *L, int rc, const char *what) {
    self(L)->status = rc;
    return luaL_error(L, "%s: %s", what, orr_strerror(rc));
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static struct orr_birth read_bundle(lua_State *L) {
    size_t size;
    struct orr_birth bundle;
    const char *hex = orrb_text_field(L, 1, "bundle", &size);
    luaL_argcheck(L, size == 2 * sizeof bundle.b, 1, "bundle must be 32 hexadecimal digits");
    for (size_t i = 0; i < sizeof bundle.b; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        luaL_argcheck(L, high >= 0 && low >= 0, 1, "bundle must be 32 hexadecimal digits");
        bundle.b[i] = (unsigned char)(high << 4 | low);
    }
    return bundle;
}

/* The scripts as text, which groups' logs bear. */
static void keep_record(lua_State *L) {
    struct orrb_buffer *to = &self(L)->host.record;
    size_t size;
    const char *text = orrb_text_field(L, 1, "record", &size);
    to->size = 0;
    if (orrb_buffer_room(NULL, to, size) < 0) luaL_error(L, "not enough memory");
    memcpy(to->at, text, size);
    to->size = size;
}

static void read_limits(lua_State *L) {
    struct orrb_node *n = self(L);
    n->limit = (size_t)orrb_integer_field(L, 1, "memory", (int64_t)n->limit);
    n->host.tasks.steps_max = orrb_integer_field(L, 1, "steps", 10000000);
    n->host.tasks.live_max = n->limit / BYTES_A_TASK;
}

/* host.new{ cluster, id, nodes = { { id, at, link } }, bundle, record, message, op, calls, memory, steps, call,
 * election, heartbeat, clock, members } */
static int host_new(lua_State *L) {
    struct orrb_node *n = self(L);
    struct orr_node_config cfg;
    const char *why = NULL;
    luaL_checktype(L, 1, LUA_TTABLE);
    orr_node_config_init(&cfg);
    cfg.cluster = orrb_text_field(L, 1, "cluster", NULL);
    cfg.id = orrb_text_field(L, 1, "id", NULL);
    snprintf(n->name, sizeof n->name, "%s", cfg.id);
    n->host.name = n->name;
    cfg.message_bytes_max = (size_t)orrb_integer_field(L, 1, "message", (int64_t)cfg.message_bytes_max);
    cfg.op_bytes_max = (size_t)orrb_integer_field(L, 1, "op", (int64_t)cfg.op_bytes_max);
    cfg.calls_max = (unsigned)orrb_integer_field(L, 1, "calls", cfg.calls_max);
    if (cfg.peer_bytes_max < 2 * cfg.message_bytes_max) cfg.peer_bytes_max = 2 * cfg.message_bytes_max;
    size_t least = 2 * cfg.op_bytes_max;            /* one is stored while the next one waits */
    if (cfg.memory_bytes_max < least) cfg.memory_bytes_max = least;
    cfg.call = orrb_time_field(L, 1, "call", cfg.call);
    cfg.election = orrb_time_field(L, 1, "election", cfg.election);
    cfg.heartbeat = orrb_time_field(L, 1, "heartbeat", cfg.heartbeat);
    orrb_read_clock(L, &cfg.clock);
    orrb_read_membership(L, &cfg.members);
    if (n->script->segment_bytes) cfg.segment_bytes = n->script->segment_bytes;
    if (n->script->snapshot_bytes) cfg.snapshot_bytes = n->script->snapshot_bytes;
    read_limits(L);
    keep_record(L);
    n->host.bundle = cfg.bundle = read_bundle(L);
    orrb_read_nodes(L, &cfg);
    int rc = orr_node_new(&n->node, n->world, &cfg, &why);
    if (rc < 0) return refuse(L, rc, why ? why : "node");
    return 0;
}

static const char *const *read_ids(lua_State *L, int arg, size_t *count) {
    *count = 0;
    if (lua_isnoneornil(L, arg)) return NULL;
    *count = (size_t)luaL_len(L, arg);
    luaL_argcheck(L, *count > 0 && *count <= 1000, arg, "1 to 1000 ids expected");
    luaL_checkstack(L, (int)*count + 2, NULL);
    const char **ids = lua_newuserdatauv(L, *count * sizeof *ids, 0);
    for (size_t i = 0; i < *count; i++) {
        lua_geti(L, arg, (lua_Integer)i + 1);
        ids[i] = luaL_checkstring(L, -1);
    }
    return ids;
}

/* The group of a script that is staged: it must be there already. */
static int staged_group(lua_State *L, const char *name, const struct orr_machine_ops *machine) {
    struct orr_group *group = orr_node_group(self(L)->node, name);
    if (!group)
        return orrb_complain(L, "node:replicate %s: a node that runs can't bear new groups: start it again", name);
    if (orr_group_machine_ops(group) != machine)
        return orrb_complain(L, "node:replicate %s: its machine was another one so far, and stays it", name);
    lua_pushlightuserdata(L, group);
    return 1;
}

/* host.replicate(name, election or nil, heartbeat or nil, { id, ... } or nil, machine or nil, leases) -> group: order
 * raft, the machine kv or the one that was declared */
static int host_replicate(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    struct orr_group *group = NULL;
    struct orr_group_spec spec = {
        .order = &orr_raft_order,
        .machine = &orr_kv_machine,
        .election = lua_isnoneornil(L, 2) ? 0 : orrb_seconds(L, 2),
        .heartbeat = lua_isnoneornil(L, 3) ? 0 : orrb_seconds(L, 3),
        .leases = lua_toboolean(L, 6),
    };
    if (!lua_isnoneornil(L, 5)) {
        spec.machine = &orrb_lua_machine;
        spec.machine_ud = lua_touserdata(L, 5);
    }
    if (self(L)->host.staging) return staged_group(L, name, spec.machine);
    spec.on = read_ids(L, 4, &spec.n_on);
    int rc = orr_node_replicate(self(L)->node, name, &spec, &group);
    if (rc < 0) return refuse(L, rc, lua_pushfstring(L, "replicate %s", name));
    struct orrb_node *n = self(L);
    if (spec.machine_ud) orrb_machine_bind(spec.machine_ud, group);
    if (spec.machine_ud && n->n_in_lua < sizeof n->in_lua / sizeof n->in_lua[0]) n->in_lua[n->n_in_lua++] = group;
    lua_pushlightuserdata(L, group);
    return 1;
}

/* host.status(group) -> { role, term, leader, commit, applied, digest }; or unavailable: not started, no replica */
static int host_status(lua_State *L) {
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
    if (self(L)->started && orrb_push_group_status(L, lua_touserdata(L, 1))) return 1;
    return orrb_fail(L, ORR_EUNAVAILABLE, "group:status");
}

/* host.show(table): what is seen of the script from outside, its node.state. */
static const char shown = 0;
static int host_show(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &shown);
    return 0;
}

static int host_log(lua_State *L) {
    static const char *const words[] = { "error", "warn", "info", "debug", NULL };
    enum orr_level level = (enum orr_level)luaL_checkoption(L, 1, NULL, words);
    size_t size;
    const char *text = luaL_checklstring(L, 2, &size);
    struct orr_world *w = self(L)->world;
    w->ops->log(w, level, text, size);
    return 0;
}

static int host_seed(lua_State *L) {
    struct orr_world *w = self(L)->world;
    lua_pushinteger(L, (lua_Integer)w->ops->seed(w, luaL_checkstring(L, 1)));
    return 1;
}

static int saved(lua_State *L, int status, lua_KContext ctx) {
    const struct orrb_task *t = (struct orrb_task *)ctx;
    (void)status;
    if (t->wait.status < 0) return orrb_fail(L, t->wait.status, "node:save");
    lua_pushboolean(L, 1);
    return 1;
}

/* host.save(name, value) -> true once it is on the disk. Waits. */
static int host_save(lua_State *L) {
    struct orrb_tasks *all = &self(L)->host.tasks;
    struct orrb_task *t = orrb_task_check(L, all, "node:save");
    const char *name = luaL_checkstring(L, 1);
    all->out.size = 0;
    orrb_pack_told(L, 2, &all->out, "value");
    int rc = orr_node_save(all->node, orrb_task_request(t), name, orr_borrow(all->out.at, all->out.size));
    return rc < 0 ? orrb_fail(L, rc, "node:save") : orrb_task_wait(L, t, saved);
}

/* host.load(name) -> value; nil where nothing was saved; nil, message, "corrupt" */
static int host_load(lua_State *L) {
    struct orr_slice value;
    int rc = orr_node_load(self(L)->node, luaL_checkstring(L, 1), &value);
    if (rc == -ENOENT) return 0;
    if (rc == 0) rc = orrb_value_unpack(L, value.at, value.size, 0);
    return rc < 0 ? orrb_fail(L, rc, "node:load") : 1;
}

/* host.secret("env:VAR", "file:PATH" or "sim:NAME", directory) -> text; nil, message, "unavailable". In a simulation
 * each is its own name. */
static int host_secret(lua_State *L) {
    if (!self(L)->simulated) return orrb_push_secret(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    lua_settop(L, 1);
    return 1;
}

/* host.stop(why): leaves cleanly */
static int host_stop(lua_State *L) {
    orr_node_stop(self(L)->node, luaL_checkstring(L, 1));
    return 0;
}

/* -- Other scripts ------------------------------------------------------------------------------------------------- */
#define RETIREMENT (5 * ORR_SECOND)

/* host.stage{ bundle }: what is declared from here on is the new scripts', until commit or abandon. */
static int host_stage(lua_State *L) {
    struct orrb_host *h = &self(L)->host;
    h->staged_bundle = read_bundle(L);
    h->staging = true;
    h->tasks.generation++;
    h->tasks.beginning = true;
    return 0;
}

static void end_staging(struct orrb_host *h) { h->staging = h->tasks.beginning = false; }

/* host.abandon(): nothing of it is left. */
static int host_abandon(lua_State *L) {
    struct orrb_host *h = &self(L)->host;
    end_staging(h);
    orrb_tasks_cancel_of(&h->tasks, h->tasks.generation);
    orrb_rpc_abandon(h);
    orrb_group_abandon(h);
    orrb_listen_abandon(h);
    orrb_code_abandon(h);
    return 0;
}

/* The scripts before those that run have had their time. */
static void retire(struct orrb_node *n) {
    lua_State *L = n->L;
    orrb_tasks_cancel_older(&n->host.tasks, n->generation);
    if (n->retired == LUA_NOREF) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, n->retired);
    luaL_unref(L, LUA_REGISTRYINDEX, n->retired);
    n->retired = LUA_NOREF;
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) lua_pop(L, 1);
}

static void time_is_up(struct orr_wait *w) { retire(w->owner); }

/* host.complete(): raises what keeps the staged scripts from taking over. */
static int host_complete(lua_State *L) {
    const struct orrb_host *h = &self(L)->host;
    const char *name = orrb_listen_missing(h);
    lua_Integer version;
    if (name)
        return orrb_complain(L, "nobody listens on %s any more, as the scripts did so far: start the node again", name);
    if (orrb_code_refused(h, &name, &version) < 0)
        return orrb_complain(L, "node:replicate %s: 'version' must not go down (its state has version %I)", name,
                             (LUAI_UACINT)version);
    return 0;
}

/* host.commit{ record, steps, memory, retired = f }: the staged scripts take over. What runs of the old ones has 5 s;
 * then f() is called. */
static int host_commit(lua_State *L) {
    struct orrb_node *n = self(L);
    struct orrb_host *h = &n->host;
    keep_record(L);
    read_limits(L);
    lua_getfield(L, 1, "retired");
    int retired = luaL_ref(L, LUA_REGISTRYINDEX);
    orr_wait_cancel(&n->retiring);
    end_staging(h);
    if (n->retired != LUA_NOREF) {      /* those before: their time is over */
        orrb_tasks_cancel_older(&h->tasks, n->generation);
        lua_rawgeti(L, LUA_REGISTRYINDEX, n->retired);
        luaL_unref(L, LUA_REGISTRYINDEX, n->retired);
        lua_call(L, 0, 0);
    }
    n->retired = retired;
    n->generation = h->tasks.generation;
    h->bundle = h->staged_bundle;
    orrb_rpc_commit(h);
    orrb_group_commit(h);
    orrb_listen_commit(h);
    orrb_code_commit(h);
    orr_node_bundle(n->node, &h->bundle);
    n->retiring = (struct orr_wait){ .done = time_is_up, .owner = n };
    int rc = orr_node_timer(n->node, &n->retiring, orr_node_now(n->node) + RETIREMENT);
    if (rc < 0) retire(n);              /* no memory for a timer: at once */
    orrb_code_consider(h);
    orr_node_soon(n->node);
    return 0;
}

/* host.ask_reload() -> whether somebody will: whoever drives the node is to load other scripts */
static int host_ask_reload(lua_State *L) {
    struct orrb_node *n = self(L);
    n->reload_asked = n->reloads;
    lua_pushboolean(L, n->reloads);
    return 1;
}

static const luaL_Reg host_functions[] = {
    { "new", host_new }, { "replicate", host_replicate }, { "log", host_log },
    { "seed", host_seed }, { "status", host_status }, { "save", host_save }, { "load", host_load },
    { "stop", host_stop }, { "secret", host_secret }, { "show", host_show }, { "stage", host_stage },
    { "complete", host_complete }, { "commit", host_commit }, { "abandon", host_abandon },
    { "ask_reload", host_ask_reload }, { NULL, NULL },
};

/* -- What the node tells its host ---------------------------------------------------------------------------------- */
static int on_declare(void *ud, const char **why) {
    struct orrb_node *n = ud;
    n->declared = true;
    lua_rawgeti(n->L, LUA_REGISTRYINDEX, n->declare);
    int rc = lua_pcall(n->L, 0, 0, 0);
    if (rc == LUA_OK) return 0;
    const char *text = lua_tostring(n->L, -1);
    snprintf(n->why, sizeof n->why, "%s", text ? text : "the script raised a value that is no text");
    lua_settop(n->L, 0);
    *why = n->why;
    if (n->refused) n->refused(n->refused_ud, n->why);
    return rc == LUA_ERRMEM ? -ENOMEM : n->status < 0 ? n->status : ORR_EINVALID;
}

static int on_asked(void *ud, struct orr_asked *a) { return orrb_rpc_asked(&((struct orrb_node *)ud)->host, a); }

static void on_gone(void *ud, struct orr_asked *a) {
    (void)ud;
    orrb_rpc_gone(a);
}

static void on_event(void *ud, struct orr_group *g, unsigned events) {
    struct orrb_host *h = &((struct orrb_node *)ud)->host;
    (void)orrb_group_event(h, g, events);
    orrb_code_consider(h);
}

static void on_stepped(void *ud) { (void)orrb_group_event(&((struct orrb_node *)ud)->host, NULL, ORRB_TIME_STEP); }

static void on_member(void *ud, const struct orr_member_event *e) {
    orrb_members_event(&((struct orrb_node *)ud)->host, e);
}

static void on_peers(void *ud) { orrb_code_consider(&((struct orrb_node *)ud)->host); }

/* What a script keeps may fill its memory for good. Then each request takes a whole collection and fails, and others
 * wait: such a node only looks alive. */
static void stop_if_full(struct orrb_node *n) {
    char why[200];
    lua_gc(n->L, LUA_GCCOLLECT, 0);
    n->refusals = 0;
    if (n->used <= n->limit - n->limit / 4) return;
    snprintf(why, sizeof why, "the script keeps %zu MiB of the %zu MiB that limits.memory gives it, in locals, "
             "node.state or live tasks (%zu), and needs more", n->used >> 20, n->limit >> 20, n->host.tasks.live);
    n->world->ops->stop(n->world, 4, why);
}

static bool on_turn(void *ud) {
    struct orrb_node *n = ud;
    if (n->host.code_changed) orrb_code_consider(&n->host);
    orrb_members_wake(&n->host);
    bool any = orrb_tasks_turn(&n->host.tasks);
    if (n->used <= n->limit - n->limit / 4) n->refusals = 0;
    if (n->refusals >= REFUSALS_MAX) stop_if_full(n);
    return any;
}
static void on_stop(void *ud) { orrb_tasks_cancel(&((struct orrb_node *)ud)->host.tasks); }

static const struct orr_host_ops host_ops = {
    .declare = on_declare, .asked = on_asked, .gone = on_gone, .event = on_event, .turn = on_turn, .stop = on_stop,
    .peers = on_peers, .stepped = on_stepped, .member = on_member,
};

/* -- The state ---------------------------------------------------------------------------------------------------- */
static void refuse_for_good(struct orrb_node *n) {
    n->allocations.pressed = false;
    n->allocations.refused = true;
    n->refusals++;
    n->host.tasks.slow = true;
}

/* Lua collects all its garbage when it is refused, and asks again. Unless that has freed a good part, it is refused for
 * good: near the limit each small request would take such a collection, and a run minutes. Its buffers don't ask again,
 * as the next request shows, which is for something else. */
static bool has_room(struct orrb_node *n, size_t had, size_t new_size) {
    enum { LARGE = 1 << 16 };
    struct orrb_allocations *a = &n->allocations;
    bool enough = a->sum <= a->most || new_size < LARGE;
    if (a->pressed && new_size - had != a->pressed_for) refuse_for_good(n);
    if (enough && n->used - had + new_size <= (a->pressed ? n->limit - n->limit / 4 : n->limit)) {
        a->pressed = false;
        a->sum += new_size - had;
        return true;
    }
    a->pressed_for = new_size - had;
    if (a->pressed) refuse_for_good(n);
    else a->pressed = true;
    return false;
}

static void *allocate(void *ud, void *at, size_t old_size, size_t new_size) {
    struct orrb_node *n = ud;
    size_t had = at ? old_size : 0;                 /* without a block old_size tells its kind */
    if (new_size == 0) {
        if (at) orri_block_free(&n->blocks, at, had);
        n->used -= had;
        return NULL;
    }
    if (orrb_stack_chained(&n->allocations, new_size)) return NULL;
    if (new_size > had && !has_room(n, had, new_size)) return NULL;
    void *got = orri_block_resize(&n->blocks, at, had, new_size);
    if (got) n->used += new_size - had;
    else n->allocations.refused = true;
    return got;
}

static void require_field(lua_State *L, const char *module, const char *field) {
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, field);
}

/* Runs protected, with the orrb_node as its argument. */
static int boot(lua_State *L) {
    struct orrb_node *n = lua_touserdata(L, 1);
    luaL_openlibs(L);
    orrb_budget_allocations(L, &n->allocations);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_orrery_core);
    lua_setfield(L, -2, "orrery.core");
    lua_getglobal(L, "package");
    lua_pushstring(L, n->script->path);
    lua_setfield(L, -2, "path");
    orrb_chunks_install(L, n->script);
    require_field(L, "orrery.environment", "install");
    lua_call(L, 0, 0);
    require_field(L, "orrery.node", "boot");
    luaL_newlibtable(L, host_functions);
    lua_pushlightuserdata(L, n);
    luaL_setfuncs(L, host_functions, 1);
    orrb_tasks_init(&n->host.tasks, L);
    orrb_tasks_open(L, &n->host.tasks);
    lua_setfield(L, -2, "tasks");
    orrb_rpc_open(L, &n->host);
    lua_setfield(L, -2, "rpc");
    orrb_group_open(L, &n->host);
    lua_setfield(L, -2, "groups");
    orrb_listen_open(L, &n->host);
    lua_setfield(L, -2, "listeners");
    orrb_time_open(L, &n->host);
    lua_setfield(L, -2, "clock");
    orrb_node_hlc_open(L, &n->host);
    lua_setfield(L, -2, "hlc");
    orrb_members_open(L, &n->host);
    lua_setfield(L, -2, "members");
    orrb_console_open(L, &n->host);
    lua_setfield(L, -2, "console");
    lua_pushlstring(L, n->script->plan, n->script->plan_size);
    lua_call(L, 2, 4);
    n->reloaded = luaL_ref(L, LUA_REGISTRYINDEX);
    n->host.declares = luaL_ref(L, LUA_REGISTRYINDEX);
    n->reload = luaL_ref(L, LUA_REGISTRYINDEX);
    n->declare = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int protect(struct orrb_node *n, char *why, size_t why_size) {
    lua_State *L = n->L;
    lua_pushcfunction(L, boot);
    lua_pushlightuserdata(L, n);
    int rc = lua_pcall(L, 1, 0, 0);
    if (rc == LUA_OK) return 0;
    const char *text = lua_tostring(L, -1);
    snprintf(why, why_size, "%s", text ? text : "the script raised a value that is no text");
    return rc == LUA_ERRMEM ? -ENOMEM : n->status < 0 ? n->status : ORR_EINVALID;
}

int orrb_node_boot(struct orrb_node **out, struct orr_world *w, const struct orrb_script *script, char *why,
                   size_t why_size) {
    *out = NULL;
    struct orrb_node *n = calloc(1, sizeof *n);
    if (!n) return -ENOMEM;
    n->world = w;
    n->script = script;
    n->refused = script->refused;
    n->refused_ud = script->ud;
    n->reloads = script->reloads;
    n->simulated = script->simulation != 0;
    n->limit = (size_t)1 << 28;
    n->allocations.most = UINT64_MAX;
    n->retired = LUA_NOREF;
    n->host.record.alloc = &orr_alloc_libc;
    orri_blocks_init(&n->blocks, &orr_alloc_libc);
    n->L = lua_newstate(allocate, n);
    int rc = n->L ? protect(n, why, why_size) : -ENOMEM;
    if (rc == 0) {
        n->host.tasks.node = n->node;
        n->host.tasks.world = w;
        rc = orr_node_host(n->node, &host_ops, n);
        if (rc == 0) rc = orr_node_start(n->node);
        n->started = rc == 0;
        if (rc < 0) snprintf(why, why_size, "node %s does not start: %s", script->id, orr_strerror(rc));
    }
    n->script = NULL;
    if (rc == 0) *out = n;
    else orrb_node_free(n, false);
    return rc;
}

void orrb_node_free(struct orrb_node *n, bool crashed) {
    if (!n) return;
    if (n->node && !crashed) orr_node_free(n->node);
    if (crashed) orrb_listen_crashed(&n->host);
    if (n->L) lua_close(n->L);
    orri_blocks_clear(&n->blocks);
    orrb_maps_free(&n->allocations);
    orrb_listen_clear(&n->host);
    orrb_rpc_clear(&n->host);
    orrb_machines_clear(&n->host);
    orrb_group_clear(&n->host);
    orrb_feeds_clear(&n->host);
    orrb_members_clear(&n->host);
    orrb_tasks_clear(&n->host.tasks, crashed);
    orrb_buffer_free(NULL, &n->host.record);
    free(n);
}

int orrb_node_reload(struct orrb_node *n, const char *plan, size_t size, char *why, size_t why_size) {
    lua_State *L = n->L;
    const char *text = NULL;
    if (!n->declared || n->host.tasks.running) {
        snprintf(why, why_size, "the node has not read its log yet");
        return ORR_EUNAVAILABLE;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, n->reload);
    lua_pushlstring(L, plan, size);
    int rc = lua_pcall(L, 1, 0, 0);
    if (rc != LUA_OK) text = lua_tostring(L, -1);
    if (rc != LUA_OK) snprintf(why, why_size, "%s", text ? text : "the script raised a value that is no text");
    lua_settop(L, 0);
    return rc == LUA_OK ? 0 : rc == LUA_ERRMEM ? -ENOMEM : ORR_EINVALID;
}

void orrb_node_reloaded(struct orrb_node *n, const char *why) {
    lua_rawgeti(n->L, LUA_REGISTRYINDEX, n->reloaded);
    lua_pushstring(n->L, why);
    (void)lua_pcall(n->L, 1, 0, 0);
    lua_settop(n->L, 0);
    orr_node_soon(n->node);
}

bool orrb_node_reload_asked(struct orrb_node *n) {
    bool asked = n->reload_asked;
    n->reload_asked = false;
    return asked;
}

struct orr_node *orrb_node_of(struct orrb_node *n) { return n->node; }

int orrb_node_eval(lua_State *L, struct orrb_node *n, const char *at, size_t size) {
    return orrb_console_eval(L, &n->host, at, size);
}

bool orrb_node_in_lua(const struct orrb_node *n, const struct orr_group *group) {
    for (size_t i = 0; i < n->n_in_lua; i++) {
        if (n->in_lua[i] == group) return true;
    }
    return false;
}

bool orrb_node_declared(const struct orrb_node *n, const char **why) {
    *why = n->why[0] ? n->why : NULL;
    return n->declared;
}

/* -- What is seen from outside: a copy, made without an allocation or a metamethod in the node's own state -------- */
static void copy(lua_State *from, lua_State *to, int made);

static void copy_table(lua_State *from, lua_State *to, int made) {
    const void *which = lua_topointer(from, -1);
    luaL_checkstack(to, 8, NULL);
    if (lua_rawgetp(to, made, which) == LUA_TTABLE || !lua_checkstack(from, 4)) return;
    lua_pop(to, 1);
    lua_newtable(to);
    lua_pushvalue(to, -1);
    lua_rawsetp(to, made, which);
    for (lua_pushnil(from); lua_next(from, -2); lua_pop(from, 1)) {
        lua_pushvalue(from, -2);
        copy(from, to, made);
        lua_pop(from, 1);
        copy(from, to, made);
        if (lua_isnil(to, -2)) lua_pop(to, 2);
        else lua_rawset(to, -3);
    }
}

/* The value on top of `from` goes on top of `to`; what is no plain data becomes the name of its type. made: index in
 * `to` of the tables that are there already, by address. */
static void copy(lua_State *from, lua_State *to, int made) {
    size_t size;
    switch (lua_type(from, -1)) {
    case LUA_TNIL: lua_pushnil(to); return;
    case LUA_TBOOLEAN: lua_pushboolean(to, lua_toboolean(from, -1)); return;
    case LUA_TNUMBER:
        if (lua_isinteger(from, -1)) lua_pushinteger(to, lua_tointeger(from, -1));
        else lua_pushnumber(to, lua_tonumber(from, -1));
        return;
    case LUA_TSTRING: {
        const char *text = lua_tolstring(from, -1, &size);
        lua_pushlstring(to, text, size);
        return;
    }
    case LUA_TTABLE: copy_table(from, to, made); return;
    default: lua_pushfstring(to, "(%s)", lua_typename(from, lua_type(from, -1)));
    }
}

void orrb_copy_plain(lua_State *from, lua_State *to) {
    lua_newtable(to);
    copy(from, to, lua_gettop(to));
    lua_remove(to, -2);
}

void orrb_push_state(lua_State *L, struct orrb_node *n) {
    lua_settop(n->L, 0);
    lua_rawgetp(n->L, LUA_REGISTRYINDEX, &shown);
    orrb_copy_plain(n->L, L);
    lua_settop(n->L, 0);
}
