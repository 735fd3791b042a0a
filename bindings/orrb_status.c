/* orrb_status.c - what nodes and groups say of themselves, as tables; the same inside a node and outside it. */
#include <orrery/host.h>
#include <orrery/node_members.h>
#include <orrery/time.h>

#include "orrb_script.h"

static void set_flag(lua_State *L, const char *name, bool is) {
    lua_pushboolean(L, is);
    lua_setfield(L, -2, name);
}

void orrb_push_node_status(lua_State *L, const struct orr_node *node) {
    struct orr_node_status s;
    orr_node_status(node, &s);
    lua_createtable(L, 0, 9);
    set_flag(L, "recovered", s.recovered);
    set_flag(L, "ready", s.ready);
    set_flag(L, "disenfranchised", s.disenfranchised);
    set_flag(L, "disk_full", s.disk_full);
    orrb_set_count(L, "peers_up", s.peers_up);
    orrb_set_count(L, "clients", s.clients);
    orrb_set_count(L, "visitors", s.visitors);
    orrb_set_count(L, "incarnation", s.incarnation);
    if (orr_node_members(node)) {
        orrb_push_members_status(L, orr_node_members(node));
        lua_setfield(L, -2, "members");
    }
    if (!orr_node_time_asks(node)) return;
    orrb_push_clock(L, node);
    lua_setfield(L, -2, "clock");
}

void orrb_push_groups(lua_State *L, struct orr_node *node) {
    const char *name;
    lua_newtable(L);
    for (size_t i = 0; orr_node_group_at(node, i, &name); i++) {
        if (orrb_push_group_status(L, orr_node_group(node, name))) lua_setfield(L, -2, name);
    }
}

static void set_seconds(lua_State *L, const char *name, orr_time at) {
    lua_pushnumber(L, (lua_Number)at / 1e9);
    lua_setfield(L, -2, name);
}

/* How long its lease lasts, and how old its copy is at most; nil where there is none, or it is not known. */
static void set_ages(lua_State *L, const struct orr_group *group) {
    orr_time lease = orr_group_lease(group), age = orr_group_age(group);
    if (lease > 0) set_seconds(L, "lease", lease);
    if (age != ORR_NEVER) set_seconds(L, "age", age);
}

bool orrb_push_group_status(lua_State *L, const struct orr_group *group) {
    static const char *const roles[] = { "follower", "precandidate", "candidate", "leader", "learner" };
    struct orr_order_status s;
    if (!orr_group_status(group, &s)) return false;
    lua_createtable(L, 0, 6);
    lua_pushstring(L, roles[s.role]);
    lua_setfield(L, -2, "role");
    lua_pushstring(L, orr_group_leader(group));
    lua_setfield(L, -2, "leader");
    orrb_set_count(L, "term", s.term);
    orrb_set_count(L, "commit", s.commit);
    orrb_set_count(L, "applied", s.applied);
    orrb_set_count(L, "lag", s.commit > s.applied ? s.commit - s.applied : 0);
    orrb_set_count(L, "digest", orr_group_digest(group));
    set_ages(L, group);
    if (orr_group_machine_ops(group) == &orrb_lua_machine) orrb_push_code(L, orr_group_machine(group));
    return true;
}

/* -- Why they are so ---------------------------------------------------------------------------------------------- */
static void push_name(lua_State *L, const struct orr_node *node, orr_id id) {
    struct orr_peer_status s;
    lua_pushstring(L, orr_node_peer(node, id, &s) ? s.name : "?");
}

/* { b = "yes", c = "silent" } */
static void push_ballots(lua_State *L, const struct orr_node *node, const struct orr_cause *c) {
    static const char *const said[] = { "silent", "yes", "no" };
    lua_createtable(L, 0, (int)c->n_voters);
    for (unsigned i = 0; i < c->n_voters; i++) {
        push_name(L, node, c->voters[i]);
        lua_pushstring(L, said[c->ballots[i]]);
        lua_rawset(L, -3);
    }
}

static void push_cause(lua_State *L, const struct orr_node *node, const struct orr_cause *c) {
    static const char *const kinds[] = { "start", "silence", "prevote", "vote", "won", "leader", "term", "voted",
                                         "alone", "asked_to_lead", "hands_over", "mute" };
    lua_createtable(L, 0, 8);
    lua_pushstring(L, kinds[c->kind]);
    lua_setfield(L, -2, "kind");
    set_seconds(L, "at", c->at);
    set_seconds(L, "last", c->last);
    orrb_set_count(L, "count", c->count);
    orrb_set_count(L, "term", c->term);
    if (c->waited) set_seconds(L, "waited", c->waited);
    if (c->peer != ORR_NOBODY) {
        push_name(L, node, c->peer);
        lua_setfield(L, -2, "peer");
    }
    if (c->status) {
        lua_pushstring(L, orr_strerror(c->status));
        lua_setfield(L, -2, "status");
    }
    if (c->n_voters) {
        push_ballots(L, node, c);
        lua_setfield(L, -2, "ballots");
    }
}

void orrb_push_causes(lua_State *L, const struct orr_node *node, const struct orr_group *group, lua_Integer n) {
    struct orr_cause causes[64];
    size_t max = n < 0 ? 0 : n > 64 ? 64 : (size_t)n;
    max = orr_group_causes(group, causes, max);
    lua_createtable(L, (int)max, 0);
    for (size_t i = 0; i < max; i++) {
        push_cause(L, node, &causes[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushnumber(L, (lua_Number)orr_node_now(node) / 1e9);
}

int orrb_push_why(lua_State *L, struct orrb_node *n, const char *name, lua_Integer most) {
    struct orr_node *node = orrb_node_of(n);
    const struct orr_group *g = orr_node_group(node, name);
    struct orr_order_status s;
    if (!g || !orr_group_status(g, &s)) return orrb_fail(L, ORR_EUNAVAILABLE, name);
    orrb_push_causes(L, node, g, most);
    return 2;
}
