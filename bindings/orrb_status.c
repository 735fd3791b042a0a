/* orrb_status.c - what nodes and groups say of themselves, as tables; the same inside a node and outside it. */
#include "orrb.h"

static void set_flag(lua_State *L, const char *name, bool is) {
    lua_pushboolean(L, is);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
    lua_pushinteger(L, (lua_Integer)value);
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
    set_integer(L, "peers_up", s.peers_up);
    set_integer(L, "clients", s.clients);
    set_integer(L, "visitors", s.visitors);
    set_integer(L, "incarnation", s.incarnation);
}

void orrb_push_groups(lua_State *L, struct orr_node *node) {
    const char *name;
    lua_newtable(L);
    for (size_t i = 0; orr_node_group_at(node, i, &name); i++) {
        if (orrb_push_group_status(L, orr_node_group(node, name))) lua_setfield(L, -2, name);
    }
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
    set_integer(L, "term", s.term);
    set_integer(L, "commit", s.commit);
    set_integer(L, "applied", s.applied);
    set_integer(L, "lag", s.commit > s.applied ? s.commit - s.applied : 0);
    set_integer(L, "digest", orr_group_digest(group));
    return true;
}
