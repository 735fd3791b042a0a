/* orrb_placement.c - core.placement: jump, rendezvous, Maglev, multi-probe hashing and rings behind one face, for
 * scripts. As core.ring (orrb_ring.c), which it is like in everything: lua/orrery/placement.lua checks what is given,
 * and makes another placement in the same object to add and remove nodes.
 *
 * Uservalues of an object: 1 the ids, by the placement's numbers; 2 what it was made of, as placement.lua keeps it;
 * 3 the placement itself, which a walk goes on over when the object has another one. */
#include <orrery/placement.h>

#include "orrb_ring.h"

#define PLACEMENT "orrery.placement"
#define HELD "orrery.placement.held"
enum { IDS = 1, MADE_OF = 2, PLACEMENT_HELD = 3, USERVALUES = 3 };

struct box {
    struct orr_placement *placement;        /* that of its third uservalue */
};

static const char *const policies[] = { "ring", "jump", "rendezvous", "maglev", "multiprobe", NULL };

/* The methods' upvalue is the metatable: comparing it is quicker than looking its name up. */
static const struct orr_placement *check(lua_State *L) {
    struct box *b = lua_touserdata(L, 1);
    if (b && lua_getmetatable(L, 1)) {
        bool same = lua_rawequal(L, -1, lua_upvalueindex(1));
        lua_pop(L, 1);
        if (same) return b->placement;
    }
    luaL_typeerror(L, 1, PLACEMENT);
    return NULL;
}

static uint64_t place_of(lua_State *L, const struct orr_placement *p, int arg) {
    size_t size;
    const char *key = orrb_check_key(L, arg, &size);
    return orr_placement_place(p, key, size);
}

/* -- Making -------------------------------------------------------------------------------------------------------- */
static uint32_t number(lua_State *L, int at, const char *key) {
    lua_getfield(L, at, key);
    lua_Integer n = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return (uint32_t)n;
}

static void read_config(lua_State *L, int at, struct orr_placement_config *cfg) {
    orr_placement_config_init(cfg);
    lua_getfield(L, at, "policy");
    cfg->policy = (enum orr_placement_policy)luaL_checkoption(L, -1, NULL, policies);
    lua_getfield(L, at, "hash");
    cfg->hash = orrb_check_ring_hash(L, -1);
    lua_pop(L, 2);
    cfg->vnodes = number(L, at, "vnodes");
    cfg->slots = number(L, at, "slots");
    cfg->probes = number(L, at, "probes");
}

/* Pushes their ids. */
static void name_them(lua_State *L, const struct orr_placement *p) {
    uint32_t n = orr_placement_size(p);
    lua_createtable(L, (int)n, 0);
    for (uint32_t i = 0; i < n; i++) {
        lua_pushstring(L, orr_placement_id(p, i));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* make(box or nil, { { id =, weight =, zone = }, ... }, { policy =, vnodes =, hash =, slots =, probes = }) -> box; or
 * nil, and the place of the node that is wrong, or nil */
static int make(lua_State *L) {
    struct orr_placement_config cfg;
    struct orr_placement *placement = NULL;
    size_t wrong;
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    read_config(L, 3, &cfg);
    struct box *b = luaL_testudata(L, 1, PLACEMENT);
    if (!b) {
        b = lua_newuserdatauv(L, sizeof *b, USERVALUES);
        *b = (struct box){ NULL };
        luaL_setmetatable(L, PLACEMENT);
        lua_replace(L, 1);
    }
    size_t n = lua_rawlen(L, 2);
    const struct orr_ring_node *nodes = orrb_read_ring_nodes(L, 2, n);
    struct box *held = lua_newuserdatauv(L, sizeof *held, 0);
    *held = (struct box){ NULL };
    luaL_setmetatable(L, HELD);
    int rc = orr_placement_new(&placement, &cfg, nodes, n, &wrong);
    if (rc == ORR_EINVALID) return orrb_placed_wrong(L, wrong, n);
    if (rc < 0) return luaL_error(L, "not enough memory");
    held->placement = placement;
    name_them(L, placement);                        /* memory may be out in here, and behind it no more */
    b->placement = placement;
    lua_setiuservalue(L, 1, IDS);
    lua_setiuservalue(L, 1, PLACEMENT_HELD);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, MADE_OF);
    lua_settop(L, 1);
    return 1;
}

static int made_of(lua_State *L) {
    luaL_checkudata(L, 1, PLACEMENT);
    lua_getiuservalue(L, 1, MADE_OF);
    return 1;
}

static int collect(lua_State *L) {
    struct box *held = luaL_checkudata(L, 1, HELD);
    orr_placement_free(held->placement);
    held->placement = NULL;
    return 0;
}

/* -- Looking up ---------------------------------------------------------------------------------------------------- */
static int owner(lua_State *L) {
    const struct orr_placement *p = check(L);
    size_t size;
    const char *key = orrb_check_key(L, 2, &size);
    uint32_t node = orr_placement_owner(p, key, size);
    lua_getiuservalue(L, 1, IDS);
    lua_rawgeti(L, -1, (lua_Integer)node + 1);
    return 1;
}

/* p:owners(key, n) -> { id, ... }, in how many zones */
static int owners(lua_State *L) {
    const struct orr_placement *p = check(L);
    uint64_t place = place_of(L, p, 2);
    lua_Integer wanted = luaL_checkinteger(L, 3);
    uint32_t zones, size = orr_placement_size(p), n = wanted > (lua_Integer)size ? size : (uint32_t)wanted;
    luaL_argcheck(L, wanted >= 1, 3, "at least 1 is expected");
    uint64_t *room = lua_newuserdatauv(L, orr_placement_room(p) * sizeof *room, 0);
    uint32_t *found = lua_newuserdatauv(L, n * sizeof *found, 0);
    n = orr_placement_owners_at(p, place, n, found, &zones, room);
    lua_getiuservalue(L, 1, IDS);
    return orrb_push_owners(L, found, n, zones);
}

/* Upvalues: the walk, the ids, and the placement as it was. */
static int step(lua_State *L) {
    uint32_t node = orr_placement_next(lua_touserdata(L, lua_upvalueindex(1)));
    if (node == ORR_RING_NOBODY) return 0;
    lua_rawgeti(L, lua_upvalueindex(2), (lua_Integer)node + 1);
    return 1;
}

/* for id in p:walk(key): the owner, and who comes next. Of the nodes that there were when it began. */
static int walk(lua_State *L) {
    const struct orr_placement *p = check(L);
    uint64_t place = place_of(L, p, 2);
    size_t words = orr_placement_room(p);
    struct orr_placement_walk *w = lua_newuserdatauv(L, sizeof *w + words * sizeof(uint64_t), 0);
    orr_placement_walk(w, p, place, (uint64_t *)(void *)(w + 1));
    lua_getiuservalue(L, 1, IDS);
    lua_getiuservalue(L, 1, PLACEMENT_HELD);
    lua_pushcclosure(L, step, 3);
    return 1;
}

/* -- What there is ------------------------------------------------------------------------------------------------- */
/* p:share() -> { [id] = fraction } */
static int share(lua_State *L) {
    const struct orr_placement *p = check(L);
    uint32_t n = orr_placement_size(p);
    lua_createtable(L, 0, (int)n);
    for (uint32_t i = 0; i < n; i++) {
        lua_pushnumber(L, orr_placement_share(p, i));
        lua_setfield(L, -2, orr_placement_id(p, i));
    }
    return 1;
}

/* p:moved(other) -> the fraction of keys that moves to the other's, and that which must */
static int moved(lua_State *L) {
    const struct orr_placement *p = check(L);
    const struct box *other = luaL_checkudata(L, 2, PLACEMENT);
    double least, all = orr_placement_moved(p, other->placement, &least);
    lua_pushnumber(L, all);
    lua_pushnumber(L, least);
    return 2;
}

static int size(lua_State *L) {
    lua_pushinteger(L, orr_placement_size(check(L)));
    return 1;
}

static int tostring(lua_State *L) {
    const struct box *b = luaL_checkudata(L, 1, PLACEMENT);
    if (!b->placement) lua_pushliteral(L, PLACEMENT "()");
    else
        lua_pushfstring(L, PLACEMENT "(%s, %d nodes)", policies[orr_placement_policy(b->placement)],
                        (int)orr_placement_size(b->placement));
    return 1;
}

int orrb_open_placement(lua_State *L) {
    static const luaL_Reg methods[] = { { "owner", owner }, { "owners", owners }, { "walk", walk },
                                        { "share", share }, { "moved", moved },   { NULL, NULL } };
    static const luaL_Reg functions[] = { { "make", make }, { "made_of", made_of }, { NULL, NULL } };
    static const struct orrb_placed_class class = { PLACEMENT, HELD, collect, tostring, size, methods };
    orrb_open_placed(L, &class);
    luaL_setfuncs(L, functions, 0);
    return 1;
}
