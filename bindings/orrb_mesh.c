/* orrb_mesh.c - core.mesh: the graph of a cluster's clocks (orrery/mesh.h), of edges that anybody measured. Times are
 * integers in ns; nodes are numbers from 1 here, and names in lua/orrery/mesh.lua, which checks all that comes in. */
#include <orrery/mesh.h>

#include "orrb.h"
#include "orrb_script.h"

const char *orrb_mesh_verdict(enum orr_mesh_verdict verdict) {
    static const char *const words[] = { "kept", "cut", "suspect", "unused" };
    return words[verdict];
}

/* The array at the top: { from, to, offset, sd, age }. */
static struct orr_mesh_edge edge(lua_State *L) {
    lua_Integer part[5];
    for (int i = 0; i < 5; i++) {
        lua_rawgeti(L, -1, i + 1);
        part[i] = luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    return (struct orr_mesh_edge){ (unsigned)(part[0] - 1), (unsigned)(part[1] - 1), part[2], part[3], -part[4] };
}

static void push_links(lua_State *L, const struct orr_mesh_link *links, size_t n) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_createtable(L, 0, 4);
        orrb_set_integer(L, "sd", links[i].sd);
        orrb_set_text(L, "verdict", orrb_mesh_verdict(links[i].verdict));
        lua_pushboolean(L, links[i].checked);
        lua_setfield(L, -2, "checked");
        if (links[i].checked) orrb_set_integer(L, "residual", links[i].residual);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* Arrays of { offset, sd }, or false: it is unknown. */
static void push_nodes(lua_State *L, const struct orr_mesh_node *nodes, unsigned n) {
    lua_createtable(L, (int)n, 0);
    for (unsigned i = 0; i < n; i++) {
        if (nodes[i].known) {
            lua_createtable(L, 0, 2);
            orrb_set_integer(L, "offset", nodes[i].offset);
            orrb_set_integer(L, "sd", nodes[i].sd);
        } else {
            lua_pushboolean(L, false);
        }
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* solve(nodes, anchor, max_drift, max_age, edges) -> links, nodes; nil: something is out of range */
static int solve(lua_State *L) {
    struct orr_mesh mesh = { .nodes = (unsigned)luaL_checkinteger(L, 1), .age_max = luaL_checkinteger(L, 4),
                             .anchor = (unsigned)luaL_checkinteger(L, 2) - 1,
                             .drift_ppb = (uint32_t)luaL_checkinteger(L, 3) };
    struct orr_mesh_node nodes[ORR_MESH_NODES_MAX];
    luaL_checktype(L, 5, LUA_TTABLE);
    size_t n = lua_rawlen(L, 5);
    struct orr_mesh_edge *edges = lua_newuserdatauv(L, (n + 1) * sizeof *edges, 0);
    struct orr_mesh_link *links = lua_newuserdatauv(L, (n + 1) * sizeof *links, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 5, (lua_Integer)i + 1);
        edges[i] = edge(L);
        lua_pop(L, 1);
    }
    orrb_budget_charge(L, (int64_t)n * 64 + (int64_t)mesh.nodes * mesh.nodes * mesh.nodes / 16);
    if (orr_mesh_solve(&mesh, edges, n, links, nodes) < 0) return 0;
    push_links(L, links, n);
    push_nodes(L, nodes, mesh.nodes);
    return 2;
}

int orrb_open_mesh(lua_State *L) {
    static const luaL_Reg functions[] = { { "solve", solve }, { NULL, NULL } };
    luaL_newlib(L, functions);
    return 1;
}
