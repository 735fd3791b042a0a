/* orrb_lab.c - core.lab: one run of the laboratory over a cluster file's nodes.
 *
 * Each start of a simulated node gets a new Lua state, which is closed when it halts: by a crash or a stop, or at the
 * end of the run.                                                                                                    */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <orrery/lab.h>

#include "orrb.h"

struct sim_node {
    struct orrb_script script;
    struct orrb_node *node;
};
struct run {
    struct sim_node *nodes;
    size_t n_nodes;
    FILE *events;
    bool verbose;
    char why[1024];                 /* of the first boot that failed */
};
#define EVENTS "orrery.events"

/* -- Nodes -------------------------------------------------------------------------------------------------------- */
static struct sim_node *node_named(struct run *run, const char *name) {
    for (size_t i = 0; i < run->n_nodes; i++) {
        if (strcmp(run->nodes[i].script.id, name) == 0) return &run->nodes[i];
    }
    return NULL;
}

static int start_node(void *ud, struct orr_world *w, const char *name) {
    struct run *run = ud;
    struct sim_node *n = node_named(run, name);
    if (!n) return -ENOENT;
    char why[sizeof run->why] = "";
    int rc = orrb_node_boot(&n->node, w, &n->script, why, sizeof why);
    if (rc < 0 && !run->why[0]) snprintf(run->why, sizeof run->why, "%s", why);
    return rc;
}

static void halt_node(void *ud, const char *name) {
    struct sim_node *n = node_named(ud, name);
    orrb_node_free(n->node, true);
    n->node = NULL;
}

/* Small logs, so that segments are filled and recycled and snapshots are taken within a run's few thousand operations;
 * the seed says how small. */
static void draw_sizes(struct run *run, uint64_t seed) {
    for (size_t i = 0; i < run->n_nodes; i++) {
        run->nodes[i].script.segment_bytes = (uint64_t)256 << 10 << seed % 4;
        run->nodes[i].script.snapshot_bytes = (uint64_t)64 << 10 << seed / 4 % 4;
    }
}

/* opts.nodes: { { id, resp or nil, plan }, ... } */
static void read_nodes(lua_State *L, struct run *run, struct orr_lab_config *cfg, const char *path) {
    lua_getfield(L, 1, "nodes");
    int list = lua_gettop(L);
    size_t n = (size_t)luaL_len(L, list);
    run->nodes = lua_newuserdatauv(L, (n + 1) * sizeof *run->nodes, 0);
    memset(run->nodes, 0, (n + 1) * sizeof *run->nodes);
    struct orr_lab_node *nodes = lua_newuserdatauv(L, (n + 1) * sizeof *nodes, 0);
    for (size_t i = 0; i < n; i++) {
        lua_geti(L, list, (lua_Integer)i + 1);
        struct orrb_script *script = &run->nodes[i].script;
        script->id = orrb_text_field(L, lua_gettop(L), "id", NULL);
        script->plan = orrb_text_field(L, lua_gettop(L), "plan", &script->plan_size);
        script->path = path;
        lua_getfield(L, -1, "resp");
        nodes[i] = (struct orr_lab_node){ .id = script->id, .resp = lua_tostring(L, -1) };
        lua_pop(L, 2);
    }
    run->n_nodes = n;
    cfg->nodes = nodes;
    cfg->n_nodes = n;
}

/* -- Faults ------------------------------------------------------------------------------------------------------- */
/* opts.faults: nil, or { NAME = rate, default = true } */
static bool read_faults(lua_State *L, struct orr_sim_faults *faults) {
    if (lua_getfield(L, 1, "faults") == LUA_TNIL) return false;
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_getfield(L, -1, "default");
    if (lua_toboolean(L, -1)) orr_sim_faults_default(faults);
    else orr_sim_faults_init(faults);
    lua_pop(L, 1);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        lua_getfield(L, -1, orr_sim_fault_name((enum orr_sim_fault)kind));
        if (!lua_isnil(L, -1)) faults->rate[kind] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    return true;
}

/* -- The run ------------------------------------------------------------------------------------------------------ */
static void write_event(void *ud, const char *line, size_t size) {
    struct run *run = ud;
    fwrite(line, 1, size, run->events);
    fputc('\n', run->events);
}

static void write_log(void *ud, orr_time now, const char *node, enum orr_level level, const char *text, size_t size) {
    static const char *const words[] = { "error", "warn", "info", "debug" };
    (void)ud;
    fprintf(stderr, "%11.6f %s %-5s %.*s\n", (double)now / 1e9, node, words[level], (int)size, text);
}

static void push_result(lua_State *L, const struct orr_lab_result *r) {
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, r->digest);
    lua_newtable(L);
    lua_pushboolean(L, r->ok);
    lua_setfield(L, -2, "ok");
    lua_pushstring(L, r->property);
    lua_setfield(L, -2, "property");
    lua_pushstring(L, r->violation);
    lua_setfield(L, -2, "violation");
    lua_pushstring(L, digest);
    lua_setfield(L, -2, "digest");
    lua_pushnumber(L, (lua_Number)r->virtual_time / 1e9);
    lua_setfield(L, -2, "virtual_s");
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        { "seed", r->seed },           { "events", r->events },       { "operations", r->operations },
        { "unknown", r->unknown },     { "failed", r->failed },       { "reads", r->reads },
        { "committed", r->committed }, { "elections", r->elections }, { "overlapping_reads", r->overlapping_reads },
        { "leaders", r->leaders },     { "restarts", r->restarts },   { "claims", r->claims },
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        lua_pushinteger(L, (lua_Integer)counts[i].value);
        lua_setfield(L, -2, counts[i].name);
    }
    lua_createtable(L, 0, ORR_SIM_KINDS);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        lua_pushinteger(L, (lua_Integer)r->faults[kind]);
        lua_setfield(L, -2, orr_sim_fault_name((enum orr_sim_fault)kind));
    }
    lua_setfield(L, -2, "faults");
}

static int close_events(lua_State *L) {
    FILE **file = luaL_checkudata(L, 1, EVENTS);
    int rc = *file ? fclose(*file) : 0;
    *file = NULL;
    lua_pushboolean(L, rc == 0);
    return 1;
}

/* opts.events: the file that the event log goes to. Its userdata keeps the file until the run is over. */
static FILE *open_events(lua_State *L) {
    if (lua_getfield(L, 1, "events") == LUA_TNIL) return NULL;
    const char *path = luaL_checkstring(L, -1);
    FILE **file = lua_newuserdatauv(L, sizeof *file, 0);
    *file = NULL;
    luaL_setmetatable(L, EVENTS);
    *file = fopen(path, "w");
    if (!*file) luaL_error(L, "%s: %s", path, strerror(errno));
    return *file;
}

/* lab.run{ seed, nodes, path, faults, run, clients, keys, events, verbose, flip } -> result, or nil, one line, code */
static int lab_run(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct run run = { 0 };
    struct orr_lab_config cfg;
    struct orr_sim_faults faults;
    struct orr_lab_result result;
    orr_lab_config_init(&cfg);
    cfg.seed = (uint64_t)orrb_integer_field(L, 1, "seed", 1);
    cfg.run = orrb_time_field(L, 1, "run", cfg.run);
    cfg.clients = (unsigned)orrb_integer_field(L, 1, "clients", cfg.clients);
    cfg.keys = (unsigned)orrb_integer_field(L, 1, "keys", cfg.keys);
    cfg.flip = (uint64_t)orrb_integer_field(L, 1, "flip", 0);
    if (read_faults(L, &faults)) cfg.faults = &faults;
    read_nodes(L, &run, &cfg, orrb_text_field(L, 1, "path", NULL));
    draw_sizes(&run, cfg.seed);
    run.events = open_events(L);
    if (run.events) cfg.event = write_event;
    if (lua_getfield(L, 1, "verbose") == LUA_TBOOLEAN && lua_toboolean(L, -1)) cfg.log = write_log;
    cfg.boot = (struct orr_sim_boot){ .start = start_node, .halt = halt_node, .ud = &run };
    cfg.ud = &run;
    int rc = orr_lab_run(&cfg, &result);
    if (run.events) fflush(run.events);
    if (rc == 0) {
        push_result(L, &result);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, run.why[0] ? run.why : orr_strerror(rc));
    lua_pushstring(L, orr_error_word(rc));
    return 3;
}

/* lab.faults() -> array of { name, unit } */
static int lab_faults(lua_State *L) {
    lua_createtable(L, ORR_SIM_KINDS, 0);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        lua_createtable(L, 0, 2);
        lua_pushstring(L, orr_sim_fault_name((enum orr_sim_fault)kind));
        lua_setfield(L, -2, "name");
        lua_pushstring(L, orr_sim_fault_unit((enum orr_sim_fault)kind));
        lua_setfield(L, -2, "unit");
        lua_seti(L, -2, kind + 1);
    }
    return 1;
}

int orrb_open_lab(lua_State *L) {
    static const luaL_Reg functions[] = { { "run", lab_run }, { "faults", lab_faults }, { NULL, NULL } };
    luaL_newmetatable(L, EVENTS);
    lua_pushcfunction(L, close_events);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
