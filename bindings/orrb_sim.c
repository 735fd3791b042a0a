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

#include <orrery/trace.h>

#include "orrb_fleet.h"
#include "orrb_strikes.h"

#define SIM "orrery.core.sim"
#define CLIENT "orrery.core.client"

enum { NOTES_MAX = 1000, STATES = 1 << 14, GROUPS_MAX = 64 };
struct note {                       /* a log line, a node's life, or that replicas differ */
    struct note *next;
    orr_time at;
    const char *node, *kind;        /* kind: a level's word; or "up", "down", "paused", "differs" */
    int code;
    char text[];
};
enum seen_kind {
    SEEN_LEADER, SEEN_COMMIT, SEEN_APPLY, SEEN_SNAPSHOT, SEEN_UPGRADE, SEEN_KILL, SEEN_RESTART, SEEN_KINDS
};
static const char *const seen_names[] = { "leader", "commit", "apply", "snapshot", "upgrade", "kill", "restart",
                                          NULL };

/* What the first replica to apply an index had then: every other one must have the same, over crashes and restarts. The
 * last ones are kept; where two meet in one place, the later one counts. */
struct state {
    uint32_t group;
    orr_index index;
    uint64_t digest;
    const char *node;               /* NULL: unknown */
};

struct seen {                       /* how often each happened to one group */
    uint32_t group;
    uint64_t n[SEEN_KINDS];
};

struct client;
struct sim {
    struct orr_sim *sim;            /* NULL: closed */
    struct orrb_fleet fleet;
    FILE *events;
    struct note *first, *last;
    size_t n_notes;
    uint64_t seen[SEEN_KINDS];
    struct seen groups[GROUPS_MAX]; /* later ones are counted together alone */
    size_t n_groups;
    struct orrb_strikes strikes;
    struct state *states;           /* [STATES] */
    bool differs;                   /* which is noted once */
    struct client *clients;
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

/* 0 -> true, else nil, message, code. */
static int answer(lua_State *L, int rc, const char *what) {
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

static void on_life(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why) {
    static const char *const words[] = { "down", "up", "paused" };
    struct sim *s = ud;
    if (state == ORR_SIM_DOWN) s->seen[SEEN_KILL]++;
    if (state == ORR_SIM_UP && strcmp(why, "start") == 0) s->seen[SEEN_RESTART]++;
    note(s, now, node, words[state], code, why, strlen(why));
}

static void compare(struct sim *s, orr_time now, const char *node, uint32_t group, const struct orr_trace_apply *a) {
    struct state *first = &s->states[(group + a->index) % STATES];
    char text[300];
    if (a->digest == 0 || s->differs) return;
    if (!first->node || first->group != group || first->index != a->index) {
        *first = (struct state){ group, a->index, a->digest, node };
    } else if (first->digest != a->digest) {
        int n = snprintf(text, sizeof text, "group %s: the states of %s and %s differ at index %" PRIu64 ": what they "
                         "apply depends on more than the log, or a read changes the state", a->name, node, first->node,
                         a->index);
        s->differs = true;
        note(s, now, node, "differs", 0, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    }
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
    if (kind == ORR_TRACE_APPLY || kind == ORR_TRACE_RESTORE) compare(s, now, node, group, event);
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

/* -- Life --------------------------------------------------------------------------------------------------------- */
static void client_end(struct client *c);

static int sim_close(lua_State *L) {
    struct sim *s = luaL_checkudata(L, 1, SIM);
    while (s->clients) client_end(s->clients);
    orr_sim_free(s->sim);
    s->sim = NULL;
    if (s->events) fclose(s->events);
    s->events = NULL;
    while (s->first) forget_first(s);
    orrb_strikes_free(&s->strikes);
    free(s->states);
    s->states = NULL;
    orrb_buffer_free(L, &s->fleet.out);
    return 0;
}

/* Its disk is open, and its script's top level has run; or it is down. */
static bool has_declared(const struct orrb_member *m) {
    const char *why;
    return !m->node || orrb_node_declared(m->node, &why);
}

/* All are up when it returns: what a script declares can be seen, and its mistakes are told at once. */
static int start_all(struct sim *s) {
    struct orr_sim_boot boot = orrb_fleet_boot(&s->fleet);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->fleet.n; i++) rc = orr_sim_add(s->sim, s->fleet.members[i].script.id, &boot);
    for (size_t i = 0; rc == 0 && i < s->fleet.n; i++) rc = orr_sim_start(s->sim, s->fleet.members[i].script.id);
    for (size_t i = 0; rc == 0 && i < s->fleet.n; i++) {
        while (!has_declared(&s->fleet.members[i]) && orr_sim_now(s->sim) < ORR_SECOND && orr_sim_step(s->sim)) {}
    }
    return rc == 0 && s->fleet.why[0] ? ORR_EINVALID : rc;
}

static int boot_failed(lua_State *L, struct sim *s, int rc) {
    lua_pushnil(L);
    lua_pushstring(L, s->fleet.why[0] ? s->fleet.why : orr_strerror(rc));
    lua_pushstring(L, orr_error_word(rc));
    s->fleet.why[0] = '\0';
    return 3;
}

/* sim.new{ seed, path, nodes = { { id, plan }, ... }, faults, events, debug } -> handle, or nil, one line, code */
static int sim_new(lua_State *L) {
    struct orr_sim_config cfg;
    struct orr_sim_faults faults;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct sim *s = lua_newuserdatauv(L, sizeof *s, 1);
    *s = (struct sim){ 0 };
    luaL_setmetatable(L, SIM);
    s->states = calloc(STATES, sizeof *s->states);
    if (!s->states) return luaL_error(L, "not enough memory");
    orr_sim_config_init(&cfg);
    cfg.seed = (uint64_t)orrb_integer_field(L, 1, "seed", 1);
    orrb_fleet_read(L, 1, &s->fleet);
    lua_setiuservalue(L, 2, 1);
    orrb_fleet_draw(&s->fleet, cfg.seed);
    cfg.nodes_max = s->fleet.n > 0 ? (unsigned)s->fleet.n : 1;
    bool raging = orrb_faults_read(L, 1, &faults);
    if (lua_getfield(L, 1, "events") == LUA_TSTRING) {
        s->events = fopen(lua_tostring(L, -1), "w");
        if (!s->events) return orrb_fail(L, -errno, lua_tostring(L, -1));
        cfg.event = on_event;
    }
    lua_getfield(L, 1, "debug");
    if (lua_toboolean(L, -1)) cfg.log_level = ORR_LOG_DEBUG;
    cfg.log = on_log;
    cfg.life = on_life;
    cfg.trace = on_trace;
    cfg.strike = on_strike;
    cfg.ud = s;
    int rc = orr_sim_new(&s->sim, &cfg);
    if (rc == 0) rc = start_all(s);
    if (rc == 0) rc = orrb_fleet_quorums(&s->fleet, s->sim);
    if (rc == 0 && raging) rc = orr_sim_chaos(s->sim, &faults, 0, ORR_NEVER);
    if (rc < 0) return boot_failed(L, s, rc);
    lua_settop(L, 2);
    return 1;
}

/* -- Time --------------------------------------------------------------------------------------------------------- */
static int sim_now(lua_State *L) {
    lua_pushinteger(L, orr_sim_now(check_sim(L)->sim));
    return 1;
}

/* sim:run(until): everything up to and at it. */
static int sim_run(lua_State *L) {
    orr_sim_run(check_sim(L)->sim, luaL_checkinteger(L, 2));
    return 0;
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
    return answer(L, orr_sim_kill(check_sim(L)->sim, luaL_checkstring(L, 2)), "kill");
}

/* sim:restart(id, "kept", "old" or "empty") */
static int sim_restart(lua_State *L) {
    static const char *const disks[] = { "kept", "old", "empty", NULL };
    struct sim *s = check_sim(L);
    enum orr_sim_disk disk = (enum orr_sim_disk)luaL_checkoption(L, 3, "kept", disks);
    if (disk != ORR_SIM_KEPT) memset(s->states, 0, STATES * sizeof *s->states);    /* may begin anew, if all do */
    int rc = orr_sim_restart(s->sim, luaL_checkstring(L, 2), disk);
    return rc < 0 ? boot_failed(L, s, rc) : answer(L, rc, "restart");
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
    if (rc == 0) return answer(L, rc, "reload");
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", m->script.id, why);
    lua_pushstring(L, orr_error_word(rc));
    return 3;
}

static int sim_pause(lua_State *L) {
    return answer(L, orr_sim_pause(check_sim(L)->sim, luaL_checkstring(L, 2)), "pause");
}

static int sim_resume(lua_State *L) {
    return answer(L, orr_sim_resume(check_sim(L)->sim, luaL_checkstring(L, 2)), "resume");
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
    return answer(L, rc, "arm");
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
    return orrb_fleet_door(&s->fleet, m);
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

/* -- Links. An end is an id, or "clients". ------------------------------------------------------------------------ */

/* sim:link(from, to) -> { delay, jitter, bandwidth, loss, duplicate, reorder, mutate, replay, cut } */
static int sim_link(lua_State *L) {
    struct orr_sim_link link;
    bool cut = false;
    struct sim *s = check_sim(L);
    int rc = orr_sim_link_now(s->sim, luaL_checkstring(L, 2), luaL_checkstring(L, 3), &link, &cut);
    if (rc < 0) return orrb_fail(L, rc, "link");
    lua_createtable(L, 0, 9);
    lua_pushinteger(L, link.delay);
    lua_setfield(L, -2, "delay");
    lua_pushinteger(L, link.jitter);
    lua_setfield(L, -2, "jitter");
    lua_pushinteger(L, (lua_Integer)link.bandwidth);
    lua_setfield(L, -2, "bandwidth");
    lua_pushnumber(L, link.loss);
    lua_setfield(L, -2, "loss");
    lua_pushnumber(L, link.duplicate);
    lua_setfield(L, -2, "duplicate");
    lua_pushnumber(L, link.reorder);
    lua_setfield(L, -2, "reorder");
    lua_pushnumber(L, link.mutate);
    lua_setfield(L, -2, "mutate");
    lua_pushnumber(L, link.replay);
    lua_setfield(L, -2, "replay");
    lua_pushboolean(L, cut);
    lua_setfield(L, -2, "cut");
    return 1;
}

static double number_field(lua_State *L, int arg, const char *field) {
    lua_getfield(L, arg, field);
    double value = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return value;
}

/* sim:set_link(from, to, { ... as link gives it }): one way. cut = nil: as it is. */
static int sim_set_link(lua_State *L) {
    struct sim *s = check_sim(L);
    const char *from = luaL_checkstring(L, 2), *to = luaL_checkstring(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    struct orr_sim_link link = {
        .delay = orrb_integer_field(L, 4, "delay", 0),
        .jitter = orrb_integer_field(L, 4, "jitter", 0),
        .bandwidth = (uint64_t)orrb_integer_field(L, 4, "bandwidth", 0),
        .loss = number_field(L, 4, "loss"),
        .duplicate = number_field(L, 4, "duplicate"),
        .reorder = number_field(L, 4, "reorder"),
        .mutate = number_field(L, 4, "mutate"),
        .replay = number_field(L, 4, "replay"),
    };
    int type = lua_getfield(L, 4, "cut");
    int rc = orr_sim_link(s->sim, from, to, &link);
    bool cut = lua_toboolean(L, -1);
    if (rc == 0 && type != LUA_TNIL) rc = cut ? orr_sim_cut(s->sim, from, to) : orr_sim_uncut(s->sim, from, to);
    return answer(L, rc, "link");
}

static int sim_reset(lua_State *L) {
    return answer(L, orr_sim_reset(check_sim(L)->sim, luaL_checkstring(L, 2), luaL_checkstring(L, 3)), "reset");
}

/* sim:stall(from, to, lasts) */
static int sim_stall(lua_State *L) {
    struct sim *s = check_sim(L);
    orr_time until = orr_sim_now(s->sim) + luaL_checkinteger(L, 4);
    return answer(L, orr_sim_stall(s->sim, luaL_checkstring(L, 2), luaL_checkstring(L, 3), until), "stall");
}

/* sim:slow(from, to, bytes a second); 0: as it was */
static int sim_slow(lua_State *L) {
    uint64_t bandwidth = (uint64_t)luaL_checkinteger(L, 4);
    return answer(L, orr_sim_slow(check_sim(L)->sim, luaL_checkstring(L, 2), luaL_checkstring(L, 3), bandwidth),
                  "slow");
}

/* sim:calm(): ends the faults that it was made with, and all others: links, disks, clocks; what is down is started. */
static int sim_calm(lua_State *L) {
    orr_sim_heal(check_sim(L)->sim);
    return 0;
}

/* -- Disks and clocks --------------------------------------------------------------------------------------------- */
/* sim:disk_speed(id, T): every operation takes that long; without T: the default. sync: only syncs do. */
static int sim_disk_speed(lua_State *L) {
    struct sim *s = check_sim(L);
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    struct orr_sim_disk_speed speed = cfg.disk;
    if (!lua_isnoneornil(L, 3)) {
        speed.sync = luaL_checkinteger(L, 3);
        if (!lua_toboolean(L, 4)) speed.read = speed.write = speed.name = speed.sync;
    }
    return answer(L, orr_sim_disk_speed(s->sim, luaL_checkstring(L, 2), &speed), "disk_speed");
}

/* sim:disk_room(id, bytes): so many more can be written; without: as at the beginning */
static int sim_disk_room(lua_State *L) {
    struct sim *s = check_sim(L);
    const char *id = luaL_checkstring(L, 2);
    struct orr_sim_config cfg;
    uint64_t used = 0;
    orr_sim_config_init(&cfg);
    int rc = orr_sim_disk_used(s->sim, id, &used);
    if (rc == 0 && lua_isnoneornil(L, 3)) rc = orr_sim_disk_room(s->sim, id, cfg.disk_bytes);
    else if (rc == 0) rc = orr_sim_disk_room(s->sim, id, used + (uint64_t)luaL_checkinteger(L, 3));
    return answer(L, rc, "disk_room");
}

/* sim:wear_disk(id, times) */
static int sim_wear_disk(lua_State *L) {
    return answer(L, orr_sim_disk_slower(check_sim(L)->sim, luaL_checkstring(L, 2), luaL_checknumber(L, 3)),
                  "wear_disk");
}

/* sim:damaged(id) -> was its disk damaged or lost? It owes nothing then. */
static int sim_damaged(lua_State *L) {
    lua_pushboolean(L, orr_sim_disk_damaged(check_sim(L)->sim, luaL_checkstring(L, 2)));
    return 1;
}

/* sim:rot(id, path, at): flips a bit of that byte; nil, message, code: the durable image has none there */
static int sim_rot(lua_State *L) {
    uint64_t at = (uint64_t)luaL_checkinteger(L, 4);
    return answer(L, orr_sim_disk_rot(check_sim(L)->sim, luaL_checkstring(L, 2), luaL_checkstring(L, 3), at), "rot");
}

/* sim:clock(id) -> what its wall clock shows, in ns since 1970; how fast its clocks run, in ppb */
static int sim_clock(lua_State *L) {
    orr_time wall = 0;
    int32_t ppb = 0;
    int rc = orr_sim_clock_now(check_sim(L)->sim, luaL_checkstring(L, 2), &wall, &ppb);
    if (rc < 0) return orrb_fail(L, rc, "clock");
    lua_pushinteger(L, wall);
    lua_pushinteger(L, ppb);
    return 2;
}

/* sim:set_clock(id, step, ppb) */
static int sim_set_clock(lua_State *L) {
    struct sim *s = check_sim(L);
    int32_t ppb = (int32_t)luaL_checkinteger(L, 4);
    return answer(L, orr_sim_clock(s->sim, luaL_checkstring(L, 2), luaL_checkinteger(L, 3), ppb), "set_clock");
}

/* sim:freeze_clock(id, on) */
static int sim_freeze_clock(lua_State *L) {
    return answer(L, orr_sim_clock_freeze(check_sim(L)->sim, luaL_checkstring(L, 2), lua_toboolean(L, 3)),
                  "freeze_clock");
}

/* sim:rate(id, fault, rate): of this node alone; nil: as the simulation's */
static int sim_rate(lua_State *L) {
    struct sim *s = check_sim(L);
    int kind = orr_sim_fault_by_name(luaL_checkstring(L, 3));
    luaL_argcheck(L, kind >= 0, 3, "not a fault");
    double rate = lua_isnoneornil(L, 4) ? -1 : luaL_checknumber(L, 4);
    return answer(L, orr_sim_rate(s->sim, luaL_checkstring(L, 2), (enum orr_sim_fault)kind, rate), "rate");
}

/* -- Clients ------------------------------------------------------------------------------------------------------ */
static void on_connected(void *ud) { ((struct client *)ud)->connected = true; }

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
}

static void on_closed(void *ud, int status) {
    struct client *c = ud;
    c->over = true;
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
    return answer(L, orr_sim_client_send(c->client, bytes, size), "send");
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
        { "now", sim_now },         { "run", sim_run },           { "touch", sim_touch },
        { "tick", sim_tick },       { "events", sim_events },     { "digest", sim_digest },
        { "counts", sim_counts },   { "notes", sim_notes },       { "seen", sim_seen },
        { "state", sim_state },     { "kill", sim_kill },         { "restart", sim_restart },
        { "pause", sim_pause },     { "resume", sim_resume },     { "arm", sim_arm },
        { "status", sim_status },   { "shown", sim_shown },       { "link", sim_link },
        { "set_link", sim_set_link }, { "reset", sim_reset },     { "calm", sim_calm },
        { "disk_speed", sim_disk_speed }, { "disk_room", sim_disk_room }, { "clock", sim_clock },
        { "set_clock", sim_set_clock }, { "client", sim_client }, { "ask", sim_ask },
        { "submit", sim_submit },   { "peek", sim_peek },
        { "causes", sim_causes },   { "strikes", sim_strikes },   { "seed", sim_seed },
        { "stall", sim_stall },     { "slow", sim_slow },         { "wear_disk", sim_wear_disk },
        { "rot", sim_rot },         { "damaged", sim_damaged },
        { "freeze_clock", sim_freeze_clock }, { "rate", sim_rate },
        { "cast", sim_cast },       { "close", sim_close },
        { "reload", sim_reload },   { "eval", sim_eval },         { NULL, NULL },
    };
    static const luaL_Reg client_methods[] = {
        { "send", client_send }, { "take", client_take }, { "close", client_close }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = { { "new", sim_new }, { NULL, NULL } };
    class(L, SIM, methods, sim_close);
    class(L, CLIENT, client_methods, client_close);
    orrb_ask_open(L);
    luaL_newlib(L, functions);
    return 1;
}
