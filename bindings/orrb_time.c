/* orrb_time.c - the cluster's time, for scripts (lua/orrery/node_clock.lua) and for who looks on from outside.
 *
 * Times are seconds in doubles, which at today's date count in 0.24 us: what is told is rounded outward. */
#include <math.h>

#include <orrery/time.h>

#include "orrb.h"
#include "orrb_script.h"

static struct orr_node *node(lua_State *L) {
    const struct orrb_host *h = lua_touserdata(L, lua_upvalueindex(1));
    return h->tasks.node;
}

static double nearest(orr_time ns) { return (double)(ns / ORR_SECOND) + (double)(ns % ORR_SECOND) / 1e9; }
static double down(orr_time ns) { return nextafter(nearest(ns), -INFINITY); }
static double up(orr_time ns) { return nextafter(nearest(ns), INFINITY); }

static int unknown(lua_State *L, const char *what) {
    char why[200];
    orr_node_time_why(node(L), why, sizeof why);
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", what, why[0] ? why : "it has just become known");
    lua_pushstring(L, orr_error_word(ORR_EUNAVAILABLE));
    return 3;
}

/* now(what) -> earliest, latest; or nil, message, "unavailable" */
static int now(lua_State *L) {
    struct orr_node_time t;
    if (orr_node_time(node(L), &t) < 0) return unknown(L, luaL_checkstring(L, 1));
    lua_pushnumber(L, down(t.earliest));
    lua_pushnumber(L, up(t.latest));
    return 2;
}

/* wait(T) -> seconds until T has surely passed, if nothing more is heard; 0: it has; nil: that isn't known */
static int wait(lua_State *L) {
    struct orr_node_time t;
    double at = luaL_checknumber(L, 1);
    if (orr_node_time(node(L), &t) < 0) return 0;
    if (down(t.earliest) > at) {
        lua_pushnumber(L, 0);
        return 1;
    }
    double pause = at < 9e9 ? nearest(orr_node_time_wait(node(L), (orr_time)ceil(at * 1e9) + 1)) : 1e9;
    lua_pushnumber(L, pause > 1e-6 ? pause : 1e-6);
    return 1;
}

/* step(): the machine's clock may be set once more -> true; or nil, message, code */
static int step(lua_State *L) {
    int rc = orr_node_time_step(node(L));
    if (rc == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, rc == ORR_EINVALID ? "node.clock:step: the cluster file doesn't say clock.discipline = true"
                                         : "node.clock:step: this node can't steer the machine's clock: see its log");
    lua_pushstring(L, orr_error_word(rc));
    return 3;
}

/* -- Status -------------------------------------------------------------------------------------------------------- */
static double span(orr_time ns) { return (double)ns / 1e9; }

static void push_member(lua_State *L, const struct orr_time_member *m, const struct orr_node_time *t) {
    static const char *const roles[] = { "unknown", "unsteady", "known", "off" };
    lua_createtable(L, 0, 7);
    orrb_set_text(L, "role", roles[m->role]);
    lua_pushboolean(L, m->own);
    lua_setfield(L, -2, "own");
    if (m->likely == 0) return;
    orrb_set_number(L, "bound", span((m->latest - m->earliest + 1) / 2));
    orrb_set_number(L, "age", span(m->age));
    orrb_set_number(L, "delay", span(m->delay));
    if (t->likely == 0) return;
    orrb_set_number(L, "offset", span(m->likely - t->likely));
    orrb_set_number(L, "off", span(m->off));
}

/* Members by name, and at `off` the names of those that are off. */
static void push_members(lua_State *L, const struct orr_node *n, const struct orr_node_time *t) {
    struct orr_time_member m;
    lua_newtable(L);
    lua_newtable(L);
    for (size_t i = 0; orr_node_time_member(n, i, &m); i++) {
        push_member(L, &m, t);
        lua_setfield(L, -3, m.name);
        if (m.role != ORR_TIME_OFF) continue;
        lua_pushstring(L, m.name);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    lua_setfield(L, -3, "off");
    lua_setfield(L, -2, "members");
}

void orrb_push_clock(lua_State *L, const struct orr_node *n) {
    static const char *const states[] = { "unsynchronised", "synchronised", "holdover" };
    struct orr_node_time t;
    struct orr_wall wall;
    char why[200];
    const struct orr_world *w = orr_node_world(n);
    lua_createtable(L, 0, 10);
    orr_node_time_peek(n, &t);
    w->ops->wall(orr_node_world(n), &wall);
    orrb_set_text(L, "state", states[t.state]);
    lua_pushinteger(L, t.epoch);
    lua_setfield(L, -2, "epoch");
    orr_node_time_why(n, why, sizeof why);
    if (why[0]) orrb_set_text(L, "why", why);
    push_members(L, n, &t);
    if (t.likely == 0) return;
    orrb_set_number(L, "earliest", down(t.earliest));
    orrb_set_number(L, "latest", up(t.latest));
    orrb_set_number(L, "time", nearest(t.likely));
    orrb_set_number(L, "bound", span((t.latest - t.earliest + 1) / 2));
    orrb_set_number(L, "offset", span(t.likely - wall.realtime));
}

/* -- The links ----------------------------------------------------------------------------------------------------- */
static void push_link(lua_State *L, const struct orr_time_link *l) {
    lua_createtable(L, 0, 8);
    orrb_set_text(L, "from", l->from);
    orrb_set_text(L, "to", l->to);
    orrb_set_number(L, "offset", span(l->offset));
    orrb_set_number(L, "sd", span(l->sd));
    orrb_set_number(L, "age", span(l->age));
    orrb_set_text(L, "verdict", orrb_mesh_verdict(l->verdict));
    lua_pushboolean(L, l->checked);
    lua_setfield(L, -2, "checked");
    if (l->checked) orrb_set_number(L, "residual", span(l->residual));
}

static void push_datagrams(lua_State *L, const struct orr_time_gossip *g) {
    lua_createtable(L, 0, 5);
    orrb_set_count(L, "told", g->told);
    orrb_set_count(L, "heard", g->heard);
    orrb_set_count(L, "wrong", g->wrong);
    orrb_set_count(L, "strange", g->strange);
    orrb_set_count(L, "late", g->late);
}

static void push_graph(lua_State *L, const struct orr_time_graph *g) {
    lua_createtable(L, 0, 4);
    orrb_set_text(L, "anchor", g->clocks[g->own].name);
    lua_createtable(L, 0, (int)g->n_clocks);
    for (size_t i = 0; i < g->n_clocks; i++) {
        const struct orr_time_clock *c = &g->clocks[i];
        if (!c->known) continue;
        lua_createtable(L, 0, 2);
        orrb_set_number(L, "offset", span(c->offset));
        orrb_set_number(L, "sd", span(c->sd));
        lua_setfield(L, -2, c->name);
    }
    lua_setfield(L, -2, "nodes");
    lua_createtable(L, (int)g->n_links, 0);
    for (size_t i = 0; i < g->n_links; i++) {
        push_link(L, &g->links[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "links");
    push_datagrams(L, &g->gossip);
    lua_setfield(L, -2, "datagrams");
}

/* graph() -> { anchor, nodes, links, datagrams }; or nil, and why it has none where that is for want of asking */
static int graph(lua_State *L) {
    struct orr_node_time t;
    struct orr_time_graph g;
    struct orr_node *n = node(L);
    char why[200];
    (void)orr_node_time(n, &t);                     /* it asks from now on */
    if (orr_node_time_graph(n, &g) == 0) {
        push_graph(L, &g);
        return 1;
    }
    lua_pushnil(L);
    if (orr_node_time_asks(n)) return 1;
    orr_node_time_why(n, why, sizeof why);
    lua_pushstring(L, why);
    return 2;
}

/* status() -> the same, of a node that asks from now on */
static int status(lua_State *L) {
    struct orr_node_time t;
    (void)orr_node_time(node(L), &t);
    orrb_push_clock(L, node(L));
    return 1;
}

void orrb_time_open(lua_State *L, struct orrb_host *h) {
    static const luaL_Reg functions[] = { { "now", now }, { "wait", wait }, { "status", status },
                                          { "graph", graph }, { "step", step }, { NULL, NULL } };
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, h);
    luaL_setfuncs(L, functions, 1);
}
