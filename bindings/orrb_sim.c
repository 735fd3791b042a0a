/* orrb_sim.c - core.sim: a simulation as an object. lua/orrery/sim.lua checks, converts times and makes it pleasant.
 *
 * All times in here are integers, in ns. Lua runs neither inside a step nor from a hook: what happens meanwhile is
 * noted (orrb_sim_notes.c) and fetched afterwards. Here are its life, its time and how it is judged; orrb_sim.h says
 * where the rest is.
 *
 *     local s <close> = assert(core.sim.new{ seed = 1, path = package.path, nodes = { { id = "a", plan = text } } })
 *     s:run(5000000000)                       s:kill "a"                       print(s:digest())                     */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <orrery/lab.h>

#include "orrb_environment.h"
#include "orrb_lab.h"
#include "orrb_sim.h"

#define SIM "orrery.core.sim"

enum { WALK = 20000 };

struct orrb_sim *orrb_sim_self(lua_State *L) {
    struct orrb_sim *s = luaL_checkudata(L, 1, SIM);
    luaL_argcheck(L, s->sim, 1, "the simulation is closed");
    return s;
}

struct orr_sim *orrb_check_sim(lua_State *L) { return orrb_sim_self(L)->sim; }

int orrb_sim_answer(lua_State *L, int rc, const char *what) {
    if (rc < 0) return orrb_fail(L, rc, what);
    lua_pushboolean(L, true);
    return 1;
}

/* -- Life --------------------------------------------------------------------------------------------------------- */
static int sim_close(lua_State *L) {
    struct orrb_sim *s = luaL_checkudata(L, 1, SIM);
    orrb_sim_clients_end(s);
    orr_lab_free(s->lab);
    s->lab = NULL;
    s->sim = NULL;
    if (s->events) fclose(s->events);
    s->events = NULL;
    orrb_sim_forget(s);
    orrb_strikes_free(&s->strikes);
    orrb_trace_free(s->trace);
    s->trace = NULL;
    orrb_buffer_free(L, &s->fleet.out);
    return 0;
}

/* Its disk is open, and its script's top level has run; or it is down. */
static bool has_declared(const struct orrb_member *m) {
    const char *why;
    return !m->node || orrb_node_declared(m->node, &why);
}

/* All are up when it returns: what a script declares can be seen, and its mistakes are told at once. */
static int start_all(struct orrb_sim *s, const struct orr_lab_config *cfg) {
    int rc = orr_lab_new(&s->lab, cfg);
    if (rc < 0) return rc;
    s->sim = orr_lab_sim(s->lab);
    for (size_t i = 0; i < s->fleet.n; i++) {
        while (!has_declared(&s->fleet.members[i]) && orr_sim_now(s->sim) < ORR_SECOND && orr_sim_step(s->sim)) {}
    }
    return s->fleet.why[0] ? ORR_EINVALID : 0;
}

int orrb_sim_boot_failed(lua_State *L, struct orrb_sim *s, int rc) {
    lua_pushnil(L);
    lua_pushstring(L, s->fleet.why[0] ? s->fleet.why : orr_strerror(rc));
    lua_pushstring(L, orr_error_word(rc));
    s->fleet.why[0] = '\0';
    return 3;
}

/* What the laboratory is told of the nodes; the userdata that holds it is pushed. */
static void name_nodes(lua_State *L, const struct orrb_fleet *fleet, struct orr_lab_config *cfg) {
    struct orr_lab_node *nodes = lua_newuserdatauv(L, (fleet->n + 1) * sizeof *nodes, 0);
    for (size_t i = 0; i < fleet->n; i++)
        nodes[i] = (struct orr_lab_node){ .id = fleet->members[i].script.id, .at = fleet->members[i].at,
                                          .resp = fleet->members[i].resp };
    cfg->nodes = nodes;
    cfg->n_nodes = fleet->n;
}

/* ntp = { ADDRESS, ... } or nil; what holds it is pushed, and the table's strings stay where they are. */
static void name_servers(lua_State *L, int arg, struct orr_lab_config *cfg) {
    const char **names = lua_newuserdatauv(L, ORR_LAB_NTP_MAX * sizeof *names, 0);
    if (lua_getfield(L, arg, "ntp") == LUA_TTABLE) cfg->n_ntp = (size_t)luaL_len(L, -1);
    luaL_argcheck(L, cfg->n_ntp <= ORR_LAB_NTP_MAX, arg, "too many NTP servers");
    for (size_t i = 0; i < cfg->n_ntp; i++) {
        lua_geti(L, -1, (lua_Integer)i + 1);
        names[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    cfg->ntp = names;
}

static void read_config(lua_State *L, int arg, struct orr_lab_config *cfg) {
    orr_lab_config_init(cfg);
    cfg->sim.seed = (uint64_t)orrb_integer_field(L, arg, "seed", 1);
    cfg->run = orrb_time_field(L, arg, "run", cfg->run);
    cfg->clients = (unsigned)orrb_integer_field(L, arg, "clients", 0);
    cfg->keys = (unsigned)orrb_integer_field(L, arg, "keys", cfg->keys);
    cfg->flip = (uint64_t)orrb_integer_field(L, arg, "flip", 0);
    lua_getfield(L, arg, "quiet");
    cfg->quiet = lua_toboolean(L, -1);
    lua_getfield(L, arg, "debug");
    if (lua_toboolean(L, -1)) cfg->sim.log_level = ORR_LOG_DEBUG;
    lua_pop(L, 2);
}

/* Faults strike in the safety phase, where there is one: with opts.run. Otherwise from now on, until sim:calm(). */
static int rage(lua_State *L, struct orrb_sim *s, const struct orr_sim_faults *faults) {
    bool phase = lua_getfield(L, 1, "run") != LUA_TNIL;
    lua_pop(L, 1);
    return phase ? orr_lab_chaos(s->lab) : orr_sim_chaos(s->sim, faults, 0, ORR_NEVER);
}

/* sim.new{ seed, path, nodes = { { id, plan, at, resp }, ... }, ntp, faults, events, debug, record, quiet, run,
 * clients, keys, flip } -> handle, or nil, one line, code */
static int sim_new(lua_State *L) {
    struct orr_lab_config cfg;
    struct orr_sim_faults faults;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct orrb_sim *s = lua_newuserdatauv(L, sizeof *s, 1);
    *s = (struct orrb_sim){ 0 };
    luaL_setmetatable(L, SIM);
    read_config(L, 1, &cfg);
    orrb_fleet_read(L, 1, &s->fleet);
    lua_setiuservalue(L, 2, 1);
    orrb_fleet_draw(&s->fleet, cfg.sim.seed);
    name_nodes(L, &s->fleet, &cfg);
    name_servers(L, 1, &cfg);
    cfg.boot = orrb_fleet_boot(&s->fleet);
    bool raging = orrb_faults_read(L, 1, &faults);
    if (raging) cfg.faults = &faults;
    if (lua_getfield(L, 1, "events") == LUA_TSTRING) {
        s->events = fopen(lua_tostring(L, -1), "w");
        if (!s->events) return orrb_fail(L, -errno, lua_tostring(L, -1));
    }
    lua_getfield(L, 1, "record");
    if (lua_toboolean(L, -1) && !(s->trace = orrb_trace_new(cfg.sim.wall_start)))
        return luaL_error(L, "not enough memory");
    orrb_sim_hooks(s, &cfg);
    int rc = start_all(s, &cfg);
    if (rc == 0) rc = orrb_fleet_quorums(&s->fleet, s->sim);
    if (rc == 0 && raging) rc = rage(L, s, &faults);
    if (rc < 0) return orrb_sim_boot_failed(L, s, rc);
    lua_settop(L, 2);
    return 1;
}

/* -- Judging ------------------------------------------------------------------------------------------------------ */
/* sim:quiet(): the kv workload's clients ask nothing new, and one for each node wants an answer. */
static int sim_quiet(lua_State *L) { return orrb_sim_answer(L, orr_lab_quiet(orrb_sim_self(L)->lab), "quiet"); }

/* sim:watched() -> do nodes watch each other (orrery/membership.h), so that they owe it to agree? */
static int sim_watched(lua_State *L) {
    lua_pushboolean(L, orr_lab_watched(orrb_sim_self(L)->lab));
    return 1;
}

/* sim:bound() -> so long after the last fault it may take until all is settled, in seconds */
static int sim_bound(lua_State *L) {
    lua_pushnumber(L, (lua_Number)orr_lab_bound(orrb_sim_self(L)->lab) / 1e9);
    return 1;
}

/* sim:settled() -> true; or false, who, what it owes */
static int sim_settled(lua_State *L) {
    const char *who = "", *owes = "";
    bool settled = orr_lab_settled(orrb_sim_self(L)->lab, &who, &owes);
    lua_pushboolean(L, settled);
    if (settled) return 1;
    lua_pushstring(L, who);
    lua_pushstring(L, owes);
    return 3;
}

/* sim:bears(id, ...): without these, and without what is damaged, each group has a majority left */
static int sim_bears(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    uint64_t without = 0;
    for (int arg = 2; arg <= lua_gettop(L); arg++) without |= orrb_fleet_bit(sim, luaL_checkstring(L, arg));
    lua_pushboolean(L, orr_sim_bears(sim, without));
    return 1;
}

/* sim:damaged(id): its disk was lost or damaged */
static int sim_damaged(lua_State *L) {
    lua_pushboolean(L, orr_sim_disk_damaged(orrb_check_sim(L), luaL_checkstring(L, 2)));
    return 1;
}

/* sim:hangs(id): when the last of its disk's syncs that hang will be done */
static int sim_hangs(lua_State *L) {
    lua_pushinteger(L, orr_sim_disk_hangs(orrb_check_sim(L), luaL_checkstring(L, 2)));
    return 1;
}

/* sim:excuse(id, yes): it owes nothing while that holds */
static int sim_excuse(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    return orrb_sim_answer(L, orr_lab_excuse(s->lab, luaL_checkstring(L, 2), lua_toboolean(L, 3)), "excuse");
}

/* sim:lie(server, ns): it is wrong by so much from now on */
static int sim_lie(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    return orrb_sim_answer(L, orr_lab_lie(s->lab, luaL_checkstring(L, 2), luaL_checkinteger(L, 3)), "lie");
}

/* sim:violate(property, text): the first one counts */
static int sim_violate(lua_State *L) {
    orr_lab_violate(orrb_sim_self(L)->lab, luaL_checkstring(L, 2), luaL_checkstring(L, 3));
    return 0;
}

/* sim:judge() -> { ok, property, violation, seed, events, ... }: of what happened so far */
static int sim_judge(lua_State *L) {
    struct orr_lab_result r;
    int rc = orr_lab_judge(orrb_sim_self(L)->lab, &r);
    if (rc < 0) return orrb_fail(L, rc, "judge");
    orrb_push_lab_result(L, &r);
    return 1;
}

/* -- Time --------------------------------------------------------------------------------------------------------- */
static int sim_now(lua_State *L) {
    lua_pushinteger(L, orr_sim_now(orrb_check_sim(L)));
    return 1;
}

/* sim:run(until): everything up to and at it, or up to the first news from now on. */
static int sim_run(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    orr_time until = luaL_checkinteger(L, 2);
    s->news = false;
    orr_sim_run(s->sim, until);
    return 0;
}

/* sim:news() -> since the last time, did anything come that may end somebody's waiting outside the nodes? An answer, a
 * client's bytes or its end, the end of a node. */
static int sim_news(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    lua_pushboolean(L, s->news);
    s->news = false;
    return 1;
}

/* sim:seed(use) -> a seed for that use, of the run's */
static int sim_seed(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)orr_sim_seed(orrb_check_sim(L), luaL_checkstring(L, 2)));
    return 1;
}

static int draw(lua_State *L) { return orrb_random(L, lua_touserdata(L, lua_upvalueindex(1))); }

/* sim:random(use) -> as math.random, from a stream of the seed that is this use's own */
static int sim_random(lua_State *L) {
    uint64_t seed = orr_sim_seed(orrb_check_sim(L), luaL_checkstring(L, 2));
    orri_rng_init(lua_newuserdatauv(L, sizeof(struct orr_rng), 0), seed);
    lua_pushcclosure(L, draw, 1);
    return 1;
}

/* sim:touch(until): goes on until something reached a node, or a node's life changed: true; false: nothing did, and it
 * is `until`. */
static int sim_touch(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    orr_time until = luaL_checkinteger(L, 2);
    uint64_t events = orr_sim_events(s->sim), lives = s->seen[ORRB_SEEN_KILL] + s->seen[ORRB_SEEN_RESTART];
    while (orr_sim_step_until(s->sim, until)) {
        if (orr_sim_events(s->sim) == events && s->seen[ORRB_SEEN_KILL] + s->seen[ORRB_SEEN_RESTART] == lives) continue;
        lua_pushboolean(L, true);
        return 1;
    }
    orr_sim_run(s->sim, until);
    lua_pushboolean(L, false);
    return 1;
}

/* sim:tick(until): one thing that happens, be it outside the nodes; false as in touch. */
static int sim_tick(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    orr_time until = luaL_checkinteger(L, 2);
    bool more = orr_sim_step_until(s->sim, until);
    if (!more) orr_sim_run(s->sim, until);
    lua_pushboolean(L, more);
    return 1;
}

/* sim:steps() -> with now(), where in its run it is */
static int sim_steps(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)orr_sim_steps(orrb_check_sim(L)));
    return 1;
}

/* sim:walk(steps, now) -> true: it is there; false: not yet, for that is far. A run that was there before gets there by
 * the same way, so where there is nothing to step by this is another run: nil. */
static int sim_walk(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    uint64_t steps = (uint64_t)luaL_checkinteger(L, 2), far = orr_sim_steps(sim) + WALK;
    orr_time now = luaL_checkinteger(L, 3);
    bool same = true;
    while (same && orr_sim_steps(sim) < steps && orr_sim_steps(sim) < far) same = orr_sim_step_until(sim, now);
    if (!same || orr_sim_steps(sim) > steps) return 0;
    if (orr_sim_steps(sim) == steps && orr_sim_now(sim) < now) orr_sim_run(sim, now);
    lua_pushboolean(L, orr_sim_steps(sim) == steps);
    return 1;
}

static int sim_events(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)orr_sim_events(orrb_check_sim(L)));
    return 1;
}

static int sim_digest(lua_State *L) {
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, orr_sim_digest(orrb_check_sim(L)));
    lua_pushstring(L, digest);
    return 1;
}

/* sim:counts() -> { FAULT = n, ... }: those that struck */
static int sim_counts(lua_State *L) {
    const uint64_t *counts = orr_sim_counts(orrb_check_sim(L));
    lua_newtable(L);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        if (counts[kind] == 0) continue;
        lua_pushinteger(L, (lua_Integer)counts[kind]);
        lua_setfield(L, -2, orr_sim_fault_name((enum orr_sim_fault)kind));
    }
    return 1;
}

/* -- The table ---------------------------------------------------------------------------------------------------- */
static void class(lua_State *L, const char *name, const luaL_Reg *const *methods, lua_CFunction end) {
    luaL_newmetatable(L, name);
    lua_newtable(L);
    for (; *methods; methods++) luaL_setfuncs(L, *methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, end);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, end);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}

int orrb_open_sim(lua_State *L) {
    static const luaL_Reg own[] = {
        { "close", sim_close }, { "now", sim_now }, { "run", sim_run }, { "touch", sim_touch }, { "tick", sim_tick },
        { "news", sim_news }, { "seed", sim_seed }, { "random", sim_random }, { "steps", sim_steps },
        { "walk", sim_walk }, { "events", sim_events }, { "digest", sim_digest }, { "counts", sim_counts },
        { "quiet", sim_quiet }, { "settled", sim_settled }, { "bound", sim_bound }, { "watched", sim_watched },
        { "excuse", sim_excuse }, { "damaged", sim_damaged }, { "hangs", sim_hangs }, { "bears", sim_bears },
        { "violate", sim_violate }, { "lie", sim_lie }, { "judge", sim_judge }, { NULL, NULL },
    };
    static const luaL_Reg *const methods[] = {
        own, orrb_sim_notes, orrb_sim_nodes, orrb_sim_faults, orrb_sim_clients, NULL
    };
    static const luaL_Reg *const of_client[] = { orrb_sim_client_methods, NULL };
    static const luaL_Reg functions[] = { { "new", sim_new }, { NULL, NULL } };
    class(L, SIM, methods, sim_close);
    class(L, ORRB_SIM_CLIENT, of_client, orrb_sim_client_close);
    orrb_ask_open(L);
    luaL_newlib(L, functions);
    return 1;
}
