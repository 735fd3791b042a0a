/* orrb_lab.c - core.lab: one run of the laboratory over a cluster file's nodes (orrb_fleet.c). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <orrery/lab.h>

#include "orrb_fleet.h"

struct run {
    struct orrb_fleet fleet;
    FILE *events;
};
#define EVENTS "orrery.events"

/* -- Nodes -------------------------------------------------------------------------------------------------------- */
/* What the laboratory is told of them; the userdata that holds it stays on the stack. */
static void name_nodes(lua_State *L, const struct orrb_fleet *fleet, struct orr_lab_config *cfg) {
    struct orr_lab_node *nodes = lua_newuserdatauv(L, (fleet->n + 1) * sizeof *nodes, 0);
    for (size_t i = 0; i < fleet->n; i++)
        nodes[i] = (struct orr_lab_node){ .id = fleet->members[i].script.id, .resp = fleet->members[i].resp };
    cfg->nodes = nodes;
    cfg->n_nodes = fleet->n;
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

/* { NAME = { asked, taken } } */
static void push_rares(lua_State *L, const struct orr_lab_result *r) {
    lua_createtable(L, 0, (int)r->n_rares);
    for (size_t i = 0; i < r->n_rares; i++) {
        lua_createtable(L, 2, 0);
        lua_pushinteger(L, (lua_Integer)r->rares[i].asked);
        lua_seti(L, -2, 1);
        lua_pushinteger(L, (lua_Integer)r->rares[i].taken);
        lua_seti(L, -2, 2);
        lua_setfield(L, -2, r->rares[i].name);
    }
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
    push_rares(L, r);
    lua_setfield(L, -2, "rare");
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
    if (orrb_faults_read(L, 1, &faults)) cfg.faults = &faults;
    orrb_fleet_read(L, 1, &run.fleet);
    name_nodes(L, &run.fleet, &cfg);
    orrb_fleet_draw(&run.fleet, cfg.seed);
    run.events = open_events(L);
    if (run.events) cfg.event = write_event;
    if (lua_getfield(L, 1, "verbose") == LUA_TBOOLEAN && lua_toboolean(L, -1)) cfg.log = write_log;
    cfg.boot = orrb_fleet_boot(&run.fleet);
    cfg.ud = &run;
    int rc = orr_lab_run(&cfg, &result);
    if (run.events) fflush(run.events);
    if (rc == 0 && !run.fleet.why[0]) {
        push_result(L, &result);
        return 1;
    }
    if (rc == 0) rc = ORR_EINVALID;             /* a script that can't be run is no violation */
    lua_pushnil(L);
    lua_pushstring(L, run.fleet.why[0] ? run.fleet.why : orr_strerror(rc));
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
