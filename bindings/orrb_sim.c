/* orrb_sim.c - core.sim: a simulation as an object. lua/orrery/sim.lua checks, converts times and makes it pleasant.
 *
 * All times in here are integers, in ns. Lua runs neither inside a step nor from a hook: what happens meanwhile is
 * noted (log lines, lives, counts) and fetched afterwards.
 *
 *     local s <close> = assert(core.sim.new{ seed = 1, path = package.path, nodes = { { id = "a", plan = text } } })
 *     s:run(5000000000)                       s:kill "a"                       print(s:digest())                     */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/lab.h>
#include <orrery/trace.h>

#include "orrb_environment.h"
#include "orrb_fleet.h"
#include "orrb_lab.h"
#include "orrb_sim.h"
#include "orrb_strikes.h"
#include "orrb_trace.h"

#define SIM "orrery.core.sim"
#define CLIENT "orrery.core.client"

enum { NOTES_MAX = 1000, GROUPS_MAX = 64, WALK = 20000 };
struct note {                       /* a log line, a node's life, or what an oracle saw */
    struct note *next;
    orr_time at;
    const char *node, *kind;        /* kind: a level's word; or "up", "down", "paused"; "violated": node is "" */
    int code;
    char text[];
};
enum seen_kind {
    SEEN_LEADER, SEEN_COMMIT, SEEN_APPLY, SEEN_SNAPSHOT, SEEN_UPGRADE, SEEN_KILL, SEEN_RESTART, SEEN_KINDS
};
static const char *const seen_names[] = { "leader", "commit", "apply", "snapshot", "upgrade", "kill", "restart",
                                          NULL };

struct seen {                       /* how often each happened to one group */
    uint32_t group;
    uint64_t n[SEEN_KINDS];
};

struct client;
struct sim {
    struct orr_lab *lab;
    struct orr_sim *sim;            /* the laboratory's; NULL: closed */
    struct orrb_fleet fleet;
    FILE *events;
    struct note *first, *last;
    size_t n_notes;
    uint64_t seen[SEEN_KINDS];
    struct seen groups[GROUPS_MAX]; /* later ones are counted together alone */
    size_t n_groups;
    struct orrb_strikes strikes;
    bool news;                      /* for who waits outside the nodes, since the last sim:news() */
    struct client *clients;
    struct orrb_trace *trace;       /* NULL: none is kept */
};
struct client {                     /* an endpoint outside the nodes */
    struct client *next;
    struct sim *owner;              /* NULL: closed */
    struct orr_sim_client *client;
    bool connected, over;           /* over: the other side, or the link, has ended it */
    int status;
    char *bytes;
    size_t size, cap;
};

static struct sim *check_sim(lua_State *L) {
    struct sim *s = luaL_checkudata(L, 1, SIM);
    luaL_argcheck(L, s->sim, 1, "the simulation is closed");
    return s;
}

struct orr_sim *orrb_check_sim(lua_State *L) { return check_sim(L)->sim; }

int orrb_sim_answer(lua_State *L, int rc, const char *what) {
    if (rc < 0) return orrb_fail(L, rc, what);
    lua_pushboolean(L, true);
    return 1;
}

/* -- Hooks: what happens is noted --------------------------------------------------------------------------------- */
static void forget_first(struct sim *s) {
    struct note *old = s->first;
    s->first = old->next;
    if (!s->first) s->last = NULL;
    s->n_notes--;
    free(old);
}

static void note(struct sim *s, orr_time at, const char *node, const char *kind, int code, const char *text,
                 size_t size) {
    struct note *n = malloc(sizeof *n + size + 1);
    if (!n) return;                 /* for people: a run doesn't depend on it */
    *n = (struct note){ .at = at, .node = node, .kind = kind, .code = code };
    memcpy(n->text, text, size);
    n->text[size] = '\0';
    if (s->last) s->last->next = n;
    else s->first = n;
    s->last = n;
    if (++s->n_notes > NOTES_MAX) forget_first(s);
}

static void on_log(void *ud, orr_time now, const char *node, enum orr_level level, const char *text, size_t size) {
    static const char *const words[] = { "error", "warn", "info", "debug" };
    note(ud, now, node, words[level], 0, text, size);
}

/* News for who waits outside the nodes: sim:run returns after this event. */
static void tell(void *ud) {
    struct sim *s = ud;
    s->news = true;
    if (s->sim) orr_sim_stop(s->sim);
}

static void on_life(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why) {
    static const char *const words[] = { "down", "up", "paused" };
    struct sim *s = ud;
    if (state == ORR_SIM_DOWN) {
        s->seen[SEEN_KILL]++;
        tell(s);                    /* what it was asked has no answer any more */
    }
    if (state == ORR_SIM_UP && strcmp(why, "start") == 0) s->seen[SEEN_RESTART]++;
    note(s, now, node, words[state], code, why, strlen(why));
    orrb_trace_life(s->trace, now, node, state, why);
}

static uint64_t on_sent(void *ud, orr_time now, const char *from, const char *to, uint64_t with,
                        const struct orr_slice *parts, size_t n_parts) {
    return orrb_trace_sent(((struct sim *)ud)->trace, now, from, to, with, parts, n_parts);
}
static void on_arrived(void *ud, orr_time now, uint64_t first, uint64_t last) {
    orrb_trace_arrived(((struct sim *)ud)->trace, now, first, last);
}
static void on_lost(void *ud, orr_time now, uint64_t first, uint64_t last, size_t kept) {
    orrb_trace_lost(((struct sim *)ud)->trace, now, first, last, kept);
}
static void on_cut(void *ud, orr_time now, const char *from, const char *to, bool on) {
    orrb_trace_cut(((struct sim *)ud)->trace, now, from, to, on);
}

static void on_violated(void *ud, orr_time now, const char *property, const char *text) {
    struct sim *s = ud;
    char line[2200];
    int n = snprintf(line, sizeof line, "%s: %s", property, text);
    note(s, now, "", "violated", 0, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static struct seen *seen_of(struct sim *s, uint32_t group) {
    for (size_t i = 0; i < s->n_groups; i++)
        if (s->groups[i].group == group) return &s->groups[i];
    return NULL;
}

static void happened(struct sim *s, uint32_t group, enum seen_kind what) {
    struct seen *g = seen_of(s, group);
    if (!g && s->n_groups < GROUPS_MAX) {
        g = &s->groups[s->n_groups++];
        *g = (struct seen){ .group = group };
    }
    if (g) g->n[what]++;
    s->seen[what]++;
}

static void on_trace(void *ud, orr_time now, const char *node, uint32_t group, unsigned kind, const void *event,
                     size_t size) {
    struct sim *s = ud;
    (void)size;
    orrb_trace_group(s->trace, now, node, group, kind, event);
    bool leads = kind == ORR_TRACE_STATUS && ((const struct orr_order_status *)event)->role == ORR_LEADER;
    if (leads) happened(s, group, SEEN_LEADER);
    if (kind == ORR_TRACE_COMMIT) happened(s, group, SEEN_COMMIT);
    if (kind == ORR_TRACE_APPLY) happened(s, group, SEEN_APPLY);
    if (kind == ORR_TRACE_SNAPSHOT) happened(s, group, SEEN_SNAPSHOT);
    if (kind == ORR_TRACE_UPGRADE) happened(s, group, SEEN_UPGRADE);
}

static void on_strike(void *ud, const struct orr_sim_strike *strike) {
    orrb_strikes_note(&((struct sim *)ud)->strikes, strike);
}

static void on_event(void *ud, const char *line, size_t size) {
    struct sim *s = ud;
    fwrite(line, 1, size, s->events);
    fputc('\n', s->events);
}

/* sim:notes() -> array of { at, node, kind, code, text }: what was noted since the last call, the last 1000. */
static int sim_notes(lua_State *L) {
    struct sim *s = check_sim(L);
    lua_createtable(L, (int)s->n_notes, 0);
    for (lua_Integer i = 1; s->first; i++) {
        const struct note *n = s->first;
        lua_createtable(L, 0, 5);
        lua_pushinteger(L, n->at);
        lua_setfield(L, -2, "at");
        lua_pushstring(L, n->node);
        lua_setfield(L, -2, "node");
        lua_pushstring(L, n->kind);
        lua_setfield(L, -2, "kind");
        lua_pushinteger(L, n->code);
        lua_setfield(L, -2, "code");
        lua_pushstring(L, n->text);
        lua_setfield(L, -2, "text");
        lua_seti(L, -2, i);
        forget_first(s);
    }
    return 1;
}

/* sim:seen(event, group) -> how often it happened, to that group or at all: "leader", "commit", "apply", "kill", ... */
static int sim_seen(lua_State *L) {
    struct sim *s = check_sim(L);
    int what = luaL_checkoption(L, 2, NULL, seen_names);
    const char *name = luaL_optstring(L, 3, NULL);
    const struct seen *g = name ? seen_of(s, orr_group_number(name)) : NULL;
    bool of_group = name && what != SEEN_KILL && what != SEEN_RESTART;
    lua_pushinteger(L, (lua_Integer)(!of_group ? s->seen[what] : g ? g->n[what] : 0));
    return 1;
}

/* sim:strikes() -> what its chaos did, as verbs: array of { at, till, verb, fault, ... } in ns; nil, message, code */
static int sim_strikes(lua_State *L) {
    struct sim *s = check_sim(L);
    return orrb_strikes_push(L, &s->strikes, s->sim);
}

/* sim:seed(use) -> a seed for that use, of the run's */
static int sim_seed(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)orr_sim_seed(check_sim(L)->sim, luaL_checkstring(L, 2)));
    return 1;
}

/* sim:trace(from, till, kinds = all) -> events; whether older ones of that time were forgotten (orrb_trace.h) */
static int sim_trace(lua_State *L) {
    struct sim *s = check_sim(L);
    lua_settop(L, 4);
    return orrb_trace_push(L, s->trace, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), 4);
}

/* -- Life --------------------------------------------------------------------------------------------------------- */
static void client_end(struct client *c);

static int sim_close(lua_State *L) {
    struct sim *s = luaL_checkudata(L, 1, SIM);
    while (s->clients) client_end(s->clients);
    orr_lab_free(s->lab);
    s->lab = NULL;
    s->sim = NULL;
    if (s->events) fclose(s->events);
    s->events = NULL;
    while (s->first) forget_first(s);
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
static int start_all(struct sim *s, const struct orr_lab_config *cfg) {
    int rc = orr_lab_new(&s->lab, cfg);
    if (rc < 0) return rc;
    s->sim = orr_lab_sim(s->lab);
    for (size_t i = 0; i < s->fleet.n; i++) {
        while (!has_declared(&s->fleet.members[i]) && orr_sim_now(s->sim) < ORR_SECOND && orr_sim_step(s->sim)) {}
    }
    return s->fleet.why[0] ? ORR_EINVALID : 0;
}

static int boot_failed(lua_State *L, struct sim *s, int rc) {
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
        nodes[i] = (struct orr_lab_node){ .id = fleet->members[i].script.id, .resp = fleet->members[i].resp };
    cfg->nodes = nodes;
    cfg->n_nodes = fleet->n;
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

static void hooks(struct sim *s, struct orr_lab_config *cfg) {
    cfg->sim.log = on_log;
    cfg->sim.life = on_life;
    cfg->sim.trace = on_trace;
    cfg->sim.strike = on_strike;
    if (s->events) cfg->sim.event = on_event;
    if (s->trace) {
        cfg->sim.sent = on_sent;
        cfg->sim.arrived = on_arrived;
        cfg->sim.lost = on_lost;
        cfg->sim.cut = on_cut;
    }
    cfg->sim.ud = s;
    cfg->violated = on_violated;
}

/* Faults strike in the safety phase, where there is one: with opts.run. Otherwise from now on, until sim:calm(). */
static int rage(lua_State *L, struct sim *s, const struct orr_sim_faults *faults) {
    bool phase = lua_getfield(L, 1, "run") != LUA_TNIL;
    lua_pop(L, 1);
    return phase ? orr_lab_chaos(s->lab) : orr_sim_chaos(s->sim, faults, 0, ORR_NEVER);
}

/* sim.new{ seed, path, nodes = { { id, plan, resp }, ... }, faults, events, debug, record, quiet, run, clients, keys,
 * flip } -> handle, or nil, one line, code */
static int sim_new(lua_State *L) {
    struct orr_lab_config cfg;
    struct orr_sim_faults faults;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct sim *s = lua_newuserdatauv(L, sizeof *s, 1);
    *s = (struct sim){ 0 };
    luaL_setmetatable(L, SIM);
    read_config(L, 1, &cfg);
    orrb_fleet_read(L, 1, &s->fleet);
    lua_setiuservalue(L, 2, 1);
    orrb_fleet_draw(&s->fleet, cfg.sim.seed);
    name_nodes(L, &s->fleet, &cfg);
    cfg.boot = orrb_fleet_boot(&s->fleet);
    bool raging = orrb_faults_read(L, 1, &faults);
    if (raging) cfg.faults = &faults;
    if (lua_getfield(L, 1, "events") == LUA_TSTRING) {
        s->events = fopen(lua_tostring(L, -1), "w");
        if (!s->events) return orrb_fail(L, -errno, lua_tostring(L, -1));
    }
    lua_getfield(L, 1, "record");
    if (lua_toboolean(L, -1) && !(s->trace = orrb_trace_new())) return luaL_error(L, "not enough memory");
    hooks(s, &cfg);
    int rc = start_all(s, &cfg);
    if (rc == 0) rc = orrb_fleet_quorums(&s->fleet, s->sim);
    if (rc == 0 && raging) rc = rage(L, s, &faults);
    if (rc < 0) return boot_failed(L, s, rc);
    lua_settop(L, 2);
    return 1;
}

/* -- Judging ------------------------------------------------------------------------------------------------------ */
/* sim:quiet(): the kv workload's clients ask nothing new, and one for each node wants an answer. */
static int sim_quiet(lua_State *L) { return orrb_sim_answer(L, orr_lab_quiet(check_sim(L)->lab), "quiet"); }

/* sim:settled() -> true; or false, who, what it owes */
static int sim_settled(lua_State *L) {
    const char *who = "", *owes = "";
    bool settled = orr_lab_settled(check_sim(L)->lab, &who, &owes);
    lua_pushboolean(L, settled);
    if (settled) return 1;
    lua_pushstring(L, who);
    lua_pushstring(L, owes);
    return 3;
}

/* sim:bears(id, ...): without these, and without what is damaged, each group has a majority left */
static int sim_bears(lua_State *L) {
    struct orr_sim *sim = check_sim(L)->sim;
    uint64_t without = 0;
    for (int arg = 2; arg <= lua_gettop(L); arg++) without |= orrb_fleet_bit(sim, luaL_checkstring(L, arg));
    lua_pushboolean(L, orr_sim_bears(sim, without));
    return 1;
}

/* sim:damaged(id): its disk was lost or damaged */
static int sim_damaged(lua_State *L) {
    lua_pushboolean(L, orr_sim_disk_damaged(check_sim(L)->sim, luaL_checkstring(L, 2)));
    return 1;
}

/* sim:hangs(id): when the last of its disk's syncs that hang will be done */
static int sim_hangs(lua_State *L) {
    lua_pushinteger(L, orr_sim_disk_hangs(check_sim(L)->sim, luaL_checkstring(L, 2)));
    return 1;
}

/* sim:excuse(id, yes): it owes nothing while that holds */
static int sim_excuse(lua_State *L) {
    struct sim *s = check_sim(L);
    return orrb_sim_answer(L, orr_lab_excuse(s->lab, luaL_checkstring(L, 2), lua_toboolean(L, 3)), "excuse");
}

/* sim:violate(property, text): the first one counts */
static int sim_violate(lua_State *L) {
    orr_lab_violate(check_sim(L)->lab, luaL_checkstring(L, 2), luaL_checkstring(L, 3));
    return 0;
}

/* sim:judge() -> { ok, property, violation, seed, events, ... }: of what happened so far */
static int sim_judge(lua_State *L) {
    struct orr_lab_result r;
    int rc = orr_lab_judge(check_sim(L)->lab, &r);
    if (rc < 0) return orrb_fail(L, rc, "judge");
    orrb_push_lab_result(L, &r);
    return 1;
}

/* -- Time --------------------------------------------------------------------------------------------------------- */
static int sim_now(lua_State *L) {
    lua_pushinteger(L, orr_sim_now(check_sim(L)->sim));
    return 1;
}

/* sim:run(until): everything up to and at it, or up to the first news from now on. */
static int sim_run(lua_State *L) {
    struct sim *s = check_sim(L);
    orr_time until = luaL_checkinteger(L, 2);
    s->news = false;
    orr_sim_run(s->sim, until);
    return 0;
}

/* sim:news() -> since the last time, did anything come that may end somebody's waiting outside the nodes? An answer, a
 * client's bytes or its end, the end of a node. */
static int sim_news(lua_State *L) {
    struct sim *s = check_sim(L);
    lua_pushboolean(L, s->news);
    s->news = false;
    return 1;
}

static int draw(lua_State *L) { return orrb_random(L, lua_touserdata(L, lua_upvalueindex(1))); }

/* sim:random(use) -> as math.random, from a stream of the seed that is this use's own */
static int sim_random(lua_State *L) {
    uint64_t seed = orr_sim_seed(check_sim(L)->sim, luaL_checkstring(L, 2));
    orri_rng_init(lua_newuserdatauv(L, sizeof(struct orr_rng), 0), seed);
    lua_pushcclosure(L, draw, 1);
    return 1;
}

/* sim:touch(until): goes on until something reached a node, or a node's life changed: true; false: nothing did, and it
 * is `until`. */
static int sim_touch(lua_State *L) {
    struct sim *s = check_sim(L);
    orr_time until = luaL_checkinteger(L, 2);
    uint64_t events = orr_sim_events(s->sim), lives = s->seen[SEEN_KILL] + s->seen[SEEN_RESTART];
    while (orr_sim_step_until(s->sim, until)) {
        if (orr_sim_events(s->sim) == events && s->seen[SEEN_KILL] + s->seen[SEEN_RESTART] == lives) continue;
        lua_pushboolean(L, true);
        return 1;
    }
    orr_sim_run(s->sim, until);
    lua_pushboolean(L, false);
    return 1;
}

/* sim:tick(until): one thing that happens, be it outside the nodes; false as in touch. */
static int sim_tick(lua_State *L) {
    struct sim *s = check_sim(L);
    orr_time until = luaL_checkinteger(L, 2);
    bool more = orr_sim_step_until(s->sim, until);
    if (!more) orr_sim_run(s->sim, until);
    lua_pushboolean(L, more);
    return 1;
}

/* sim:steps() -> with now(), where in its run it is */
static int sim_steps(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)orr_sim_steps(check_sim(L)->sim));
    return 1;
}

/* sim:walk(steps, now) -> true: it is there; false: not yet, for that is far. A run that was there before gets there by
 * the same way, so where there is nothing to step by this is another run: nil. */
static int sim_walk(lua_State *L) {
    struct orr_sim *sim = check_sim(L)->sim;
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
    lua_pushinteger(L, (lua_Integer)orr_sim_events(check_sim(L)->sim));
    return 1;
}

static int sim_digest(lua_State *L) {
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, orr_sim_digest(check_sim(L)->sim));
    lua_pushstring(L, digest);
    return 1;
}

/* sim:counts() -> { FAULT = n, ... }: those that struck */
static int sim_counts(lua_State *L) {
    const uint64_t *counts = orr_sim_counts(check_sim(L)->sim);
    lua_newtable(L);
    for (int kind = 0; kind < ORR_SIM_KINDS; kind++) {
        if (counts[kind] == 0) continue;
        lua_pushinteger(L, (lua_Integer)counts[kind]);
        lua_setfield(L, -2, orr_sim_fault_name((enum orr_sim_fault)kind));
    }
    return 1;
}

/* -- Nodes -------------------------------------------------------------------------------------------------------- */
static int sim_state(lua_State *L) {
    static const char *const words[] = { "down", "up", "paused" };
    int state = orr_sim_state(check_sim(L)->sim, luaL_checkstring(L, 2));
    if (state < 0) return orrb_fail(L, state, "state");
    lua_pushstring(L, words[state]);
    return 1;
}

static int sim_kill(lua_State *L) {
    return orrb_sim_answer(L, orr_sim_kill(check_sim(L)->sim, luaL_checkstring(L, 2)), "kill");
}

/* sim:restart(id, "kept", "old" or "empty") */
static int sim_restart(lua_State *L) {
    static const char *const disks[] = { "kept", "old", "empty", NULL };
    struct sim *s = check_sim(L);
    enum orr_sim_disk disk = (enum orr_sim_disk)luaL_checkoption(L, 3, "kept", disks);
    int rc = orr_sim_restart(s->sim, luaL_checkstring(L, 2), disk);
    return rc < 0 ? boot_failed(L, s, rc) : orrb_sim_answer(L, rc, "restart");
}

/* sim:reload(id, plan) -> true, or nil, message, code: it has other scripts from now on */
static int sim_reload(lua_State *L) {
    struct sim *s = check_sim(L);
    char why[1024] = "";
    struct orrb_member *m = orrb_fleet_find(&s->fleet, luaL_checkstring(L, 2));
    luaL_argcheck(L, m, 2, "no such node");
    luaL_checkstring(L, 3);
    lua_settop(L, 3);
    lua_getiuservalue(L, 1, 1);
    int rc = orrb_fleet_reload(L, &s->fleet, m, why, sizeof why);
    if (rc == 0) return orrb_sim_answer(L, rc, "reload");
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", m->script.id, why);
    lua_pushstring(L, orr_error_word(rc));
    return 3;
}

static int sim_pause(lua_State *L) {
    return orrb_sim_answer(L, orr_sim_pause(check_sim(L)->sim, luaL_checkstring(L, 2)), "pause");
}

static int sim_resume(lua_State *L) {
    return orrb_sim_answer(L, orr_sim_resume(check_sim(L)->sim, luaL_checkstring(L, 2)), "resume");
}

/* sim:arm(id, fault, n [, how]): the nth next opportunity is taken; 0: none any more. how: of a crash */
static int sim_arm(lua_State *L) {
    static const char *const hows[] = { "power", "process", "power_silent", "process_silent", NULL };
    struct sim *s = check_sim(L);
    int kind = orr_sim_fault_by_name(luaL_checkstring(L, 3));
    lua_Integer nth = luaL_checkinteger(L, 4);
    luaL_argcheck(L, kind >= 0, 3, "not a fault");
    luaL_argcheck(L, nth >= 0, 4, "must not be negative");
    const char *id = luaL_checkstring(L, 2);
    int how = lua_isnoneornil(L, 5) ? -1 : luaL_checkoption(L, 5, NULL, hows);
    int rc = how < 0 ? orr_sim_arm(s->sim, id, (enum orr_sim_fault)kind, (uint64_t)nth)
                     : orr_sim_arm_crash(s->sim, id, (enum orr_sim_fault)kind, (uint64_t)nth, (unsigned)how);
    return orrb_sim_answer(L, rc, "arm");
}

/* The node of id, if it is up; NULL where it isn't. */
static struct orrb_node *node_up(struct sim *s, const char *id) {
    struct orrb_member *m = orrb_fleet_find(&s->fleet, id);
    return m ? m->node : NULL;
}

/* sim:status(id) -> { recovered, ready, ... groups = { NAME = status } }; or nil, message, "unavailable": it is down */
static int sim_status(lua_State *L) {
    struct sim *s = check_sim(L);
    const char *id = luaL_checkstring(L, 2);
    struct orrb_node *n = node_up(s, id);
    if (!n) return orrb_fail(L, ORR_EUNAVAILABLE, id);
    struct orr_node *node = orrb_node_of(n);
    orrb_push_node_status(L, node);
    orrb_push_groups(L, node);
    lua_setfield(L, -2, "groups");
    return 1;
}

/* sim:shown(id) -> a copy of its script's node.state; or nil, message, "unavailable" */
static int sim_shown(lua_State *L) {
    struct sim *s = check_sim(L);
    const char *id = luaL_checkstring(L, 2);
    struct orrb_node *n = node_up(s, id);
    if (!n) return orrb_fail(L, ORR_EUNAVAILABLE, id);
    orrb_push_state(L, n);
    return 1;
}

/* sim:eval(id, text) -> true, results; or false, why, code */
static int sim_eval(lua_State *L) {
    struct sim *s = check_sim(L);
    size_t size;
    const char *id = luaL_checkstring(L, 2), *text = luaL_checklstring(L, 3, &size);
    struct orrb_node *n = node_up(s, id);
    if (n && orr_sim_state(s->sim, id) == ORR_SIM_UP) return orrb_node_eval(L, n, text, size);
    lua_pushboolean(L, false);
    lua_pushstring(L, n ? "it is paused" : "it is down");
    lua_pushstring(L, orr_error_word(ORR_EUNAVAILABLE));
    return 3;
}

static struct orrb_door check_door(lua_State *L, struct sim *s) {
    const struct orrb_member *m = orrb_fleet_find(&s->fleet, luaL_checkstring(L, 2));
    luaL_argcheck(L, m, 2, "no such node");
    struct orrb_door door = orrb_fleet_door(&s->fleet, m);
    door.answered = tell;
    door.ud = s;
    return door;
}

/* sim:ask(id, name, T, ...) -> what waits for the answer; or nil, message, code */
static int sim_ask(lua_State *L) {
    struct orrb_door door = check_door(L, check_sim(L));
    return orrb_ask_call(L, door, orr_id_of(door.id), 3, 1);
}

/* sim:submit(id, "propose", "read" or "snapshot", group, T, value) -> likewise */
static int sim_submit(lua_State *L) { return orrb_ask_group(L, check_door(L, check_sim(L)), 3, 1); }

/* sim:peek(id, group, value) -> true, results; or false, why, code */
static int sim_peek(lua_State *L) { return orrb_ask_peek(L, check_door(L, check_sim(L)), 3); }

/* sim:causes(id, group, n) -> causes, the node's time now; or nil, message, code */
static int sim_causes(lua_State *L) { return orrb_ask_why(L, check_door(L, check_sim(L)), 3); }

/* sim:cast(id, name, ...) */
static int sim_cast(lua_State *L) {
    struct orrb_door door = check_door(L, check_sim(L));
    return orrb_ask_cast(L, door, orr_id_of(door.id), 3);
}

/* -- Clients ------------------------------------------------------------------------------------------------------ */
static void on_connected(void *ud) {
    struct client *c = ud;
    c->connected = true;
    tell(c->owner);
}

static void on_data(void *ud, const void *bytes, size_t size) {
    struct client *c = ud;
    if (size > c->cap - c->size) {
        size_t cap = 2 * (c->size + size);
        char *more = realloc(c->bytes, cap);
        if (!more) abort();         /* as the simulator's own memory: no outcome of a run may depend on it */
        c->bytes = more;
        c->cap = cap;
    }
    memcpy(c->bytes + c->size, bytes, size);
    c->size += size;
    tell(c->owner);
}

static void on_closed(void *ud, int status) {
    struct client *c = ud;
    c->over = true;
    tell(c->owner);
    c->status = status;
}

static void client_end(struct client *c) {
    if (!c->owner) return;
    struct client **at = &c->owner->clients;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    orr_sim_client_free(c->client);
    free(c->bytes);
    *c = (struct client){ 0 };
}

static struct client *check_client(lua_State *L) {
    struct client *c = luaL_checkudata(L, 1, CLIENT);
    luaL_argcheck(L, c->owner, 1, "the client is closed");
    return c;
}

static int client_close(lua_State *L) {
    client_end(luaL_checkudata(L, 1, CLIENT));
    return 0;
}

/* sim:client(name, address) -> a client that connects */
static int sim_client(lua_State *L) {
    static const struct orr_sim_client_ops ops = { on_connected, on_data, on_closed };
    struct sim *s = check_sim(L);
    const char *name = luaL_checkstring(L, 2), *address = luaL_checkstring(L, 3);
    struct client *c = lua_newuserdatauv(L, sizeof *c, 1);
    *c = (struct client){ 0 };
    luaL_setmetatable(L, CLIENT);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);    /* keeps the simulation */
    int rc = orr_sim_client_new(s->sim, &c->client, name, &ops, c);
    if (rc < 0) return orrb_fail(L, rc, "client");
    c->owner = s;
    c->next = s->clients;
    s->clients = c;
    rc = orr_sim_client_connect(c->client, address);
    return rc < 0 ? orrb_fail(L, rc, address) : 1;
}

/* client:send(bytes): queued while it connects */
static int client_send(lua_State *L) {
    struct client *c = check_client(L);
    size_t size;
    const char *bytes = luaL_checklstring(L, 2, &size);
    return orrb_sim_answer(L, orr_sim_client_send(c->client, bytes, size), "send");
}

/* client:take() -> what came since the last time, "connecting", "open" or "closed" */
static int client_take(lua_State *L) {
    struct client *c = check_client(L);
    lua_pushlstring(L, c->size ? c->bytes : "", c->size);
    c->size = 0;
    lua_pushstring(L, c->over ? "closed" : c->connected ? "open" : "connecting");
    return 2;
}

/* -- The table ---------------------------------------------------------------------------------------------------- */
static void class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction end) {
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, end);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, end);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}

int orrb_open_sim(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "now", sim_now }, { "run", sim_run }, { "touch", sim_touch }, { "tick", sim_tick },
        { "news", sim_news }, { "random", sim_random },
        { "events", sim_events }, { "digest", sim_digest }, { "counts", sim_counts }, { "notes", sim_notes },
        { "seen", sim_seen }, { "state", sim_state }, { "kill", sim_kill }, { "restart", sim_restart },
        { "pause", sim_pause }, { "resume", sim_resume }, { "arm", sim_arm }, { "status", sim_status },
        { "shown", sim_shown }, { "client", sim_client }, { "ask", sim_ask }, { "submit", sim_submit },
        { "peek", sim_peek }, { "causes", sim_causes }, { "strikes", sim_strikes }, { "seed", sim_seed },
        { "cast", sim_cast }, { "close", sim_close }, { "reload", sim_reload }, { "eval", sim_eval },
        { "quiet", sim_quiet }, { "settled", sim_settled }, { "violate", sim_violate }, { "judge", sim_judge },
        { "excuse", sim_excuse }, { "damaged", sim_damaged }, { "hangs", sim_hangs }, { "trace", sim_trace },
        { "bears", sim_bears },
        { "steps", sim_steps }, { "walk", sim_walk }, { NULL, NULL },
    };
    static const luaL_Reg client_methods[] = {
        { "send", client_send }, { "take", client_take }, { "close", client_close }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = { { "new", sim_new }, { NULL, NULL } };
    class(L, SIM, methods, sim_close);
    luaL_getmetatable(L, SIM);
    lua_getfield(L, -1, "__index");
    luaL_setfuncs(L, orrb_sim_faults, 0);
    lua_pop(L, 2);
    class(L, CLIENT, client_methods, client_close);
    orrb_ask_open(L);
    luaL_newlib(L, functions);
    return 1;
}
