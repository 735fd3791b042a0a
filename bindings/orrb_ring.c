/* orrb_ring.c - core.ring: hash rings for scripts; core.jump. lua/orrery/ring.lua checks what is given, and adds and
 * removes nodes: a ring never changes, so that makes another one, in the same object.
 *
 * Uservalues of an object: 1 the ids, by the ring's numbers; 2 what it was made of, as ring.lua keeps it; 3 the ring
 * itself, which a walk goes on over when the object has another one. A look-up is one call and makes no string: it
 * gives one of the ids. */
#include <orrery/ring.h>

#include "orrb_ring.h"

#define RING "orrery.ring"
#define HELD "orrery.ring.held"
enum { IDS = 1, MADE_OF = 2, RING_HELD = 3, USERVALUES = 3 };

struct box {
    struct orr_ring *ring;          /* that of its third uservalue */
};

/* The methods' upvalue is the metatable: comparing it is quicker than looking its name up. */
static const struct orr_ring *check(lua_State *L) {
    struct box *b = lua_touserdata(L, 1);
    if (b && lua_getmetatable(L, 1)) {
        bool same = lua_rawequal(L, -1, lua_upvalueindex(1));
        lua_pop(L, 1);
        if (same) return b->ring;
    }
    luaL_typeerror(L, 1, RING);
    return NULL;
}

const char *orrb_check_key(lua_State *L, int arg, size_t *size) {
    if (lua_type(L, arg) != LUA_TSTRING) luaL_typeerror(L, arg, "string");
    return lua_tolstring(L, arg, size);
}

static uint64_t place_of(lua_State *L, const struct orr_ring *r, int arg) {
    size_t size;
    const char *key = orrb_check_key(L, arg, &size);
    return orr_ring_place_in(r, key, size);
}

/* -- Making -------------------------------------------------------------------------------------------------------- */
struct orr_ring_node *orrb_read_ring_nodes(lua_State *L, int at, size_t n) {
    struct orr_ring_node *nodes = lua_newuserdatauv(L, (n ? n : 1) * sizeof *nodes, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, at, (lua_Integer)i + 1);
        lua_getfield(L, -1, "id");
        lua_getfield(L, -2, "weight");
        lua_getfield(L, -3, "zone");
        nodes[i] = (struct orr_ring_node){ lua_tostring(L, -3), lua_tonumber(L, -2), lua_tostring(L, -1) };
        lua_pop(L, 4);                              /* the list holds them */
    }
    return nodes;
}

/* Pushes their ids. */
static void name_them(lua_State *L, const struct orr_ring *r) {
    uint32_t n = orr_ring_size(r);
    lua_createtable(L, (int)n, 0);
    for (uint32_t i = 0; i < n; i++) {
        lua_pushstring(L, orr_ring_id(r, i));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

enum orr_ring_hash orrb_check_ring_hash(lua_State *L, int arg) {
    static const char *const hashes[] = { "xxh3", "ketama", "ketama-unweighted", "libketama", "nginx", NULL };
    return (enum orr_ring_hash)luaL_checkoption(L, arg, "xxh3", hashes);
}

/* -- What placements have in common -------------------------------------------------------------------------------- */
int orrb_placed_wrong(lua_State *L, size_t wrong, size_t n) {
    lua_pushnil(L);
    if (wrong < n) lua_pushinteger(L, (lua_Integer)wrong + 1);
    else lua_pushnil(L);
    return 2;
}

int orrb_push_owners(lua_State *L, const uint32_t *found, uint32_t n, uint32_t zones) {
    lua_createtable(L, (int)n, 0);
    for (uint32_t i = 0; i < n; i++) {
        lua_rawgeti(L, -2, (lua_Integer)found[i] + 1);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushinteger(L, zones);
    return 2;
}

void orrb_open_placed(lua_State *L, const struct orrb_placed_class *class) {
    luaL_newmetatable(L, class->held);
    lua_pushcfunction(L, class->collect);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_newtable(L);
    luaL_newmetatable(L, class->name);
    lua_pushcfunction(L, class->tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, class->size, 1);
    lua_setfield(L, -2, "__len");
    lua_newtable(L);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, class->methods, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
    lua_setfield(L, -3, "methods");
    lua_pop(L, 1);
}

/* -- Making a ring ------------------------------------------------------------------------------------------------- */
/* make(box or nil, { { id =, weight =, zone = }, ... }, vnodes, hash) -> box; or nil, and the place of the node that is
 * wrong, or nil */
static int make(lua_State *L) {
    struct orr_ring_config cfg;
    struct orr_ring *ring = NULL;
    size_t wrong;
    luaL_checktype(L, 2, LUA_TTABLE);
    orr_ring_config_init(&cfg);
    cfg.vnodes = (uint32_t)luaL_checkinteger(L, 3);
    cfg.hash = orrb_check_ring_hash(L, 4);
    struct box *b = luaL_testudata(L, 1, RING);
    if (!b) {
        b = lua_newuserdatauv(L, sizeof *b, USERVALUES);
        *b = (struct box){ NULL };
        luaL_setmetatable(L, RING);
        lua_replace(L, 1);
    }
    size_t n = lua_rawlen(L, 2);
    const struct orr_ring_node *nodes = orrb_read_ring_nodes(L, 2, n);
    struct box *held = lua_newuserdatauv(L, sizeof *held, 0);
    *held = (struct box){ NULL };
    luaL_setmetatable(L, HELD);
    int rc = orr_ring_new(&ring, &cfg, nodes, n, &wrong);
    if (rc == ORR_EINVALID) return orrb_placed_wrong(L, wrong, n);
    if (rc < 0) return luaL_error(L, "not enough memory");
    held->ring = ring;
    name_them(L, ring);                             /* memory may be out in here, and behind it no more */
    b->ring = ring;
    lua_setiuservalue(L, 1, IDS);
    lua_setiuservalue(L, 1, RING_HELD);             /* who had it before is collected once nobody walks over it */
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, MADE_OF);
    lua_settop(L, 1);
    return 1;
}

static int made_of(lua_State *L) {
    luaL_checkudata(L, 1, RING);
    lua_getiuservalue(L, 1, MADE_OF);
    return 1;
}

static int collect(lua_State *L) {
    struct box *held = luaL_checkudata(L, 1, HELD);
    orr_ring_free(held->ring);
    held->ring = NULL;
    return 0;
}

/* -- Looking up ---------------------------------------------------------------------------------------------------- */
static int owner(lua_State *L) {
    const struct orr_ring *r = check(L);
    size_t size;
    const char *key = orrb_check_key(L, 2, &size);
    uint32_t node = orr_ring_owner(r, key, size);
    lua_getiuservalue(L, 1, IDS);
    lua_rawgeti(L, -1, (lua_Integer)node + 1);
    return 1;
}

/* r:owners(key, n) -> { id, ... }, in how many zones */
static int owners(lua_State *L) {
    const struct orr_ring *r = check(L);
    uint64_t place = place_of(L, r, 2);
    lua_Integer wanted = luaL_checkinteger(L, 3);
    uint32_t zones, size = orr_ring_size(r), n = wanted > (lua_Integer)size ? size : (uint32_t)wanted;
    luaL_argcheck(L, wanted >= 1, 3, "at least 1 is expected");
    uint32_t *found = lua_newuserdatauv(L, n * sizeof *found, 0);
    n = orr_ring_owners_at(r, place, n, found, &zones);
    lua_getiuservalue(L, 1, IDS);
    return orrb_push_owners(L, found, n, zones);
}

/* Upvalues: the walk, the ids, and the ring as it was. */
static int step(lua_State *L) {
    uint32_t node = orr_ring_next(lua_touserdata(L, lua_upvalueindex(1)));
    if (node == ORR_RING_NOBODY) return 0;
    lua_rawgeti(L, lua_upvalueindex(2), (lua_Integer)node + 1);
    return 1;
}

/* for id in r:walk(key): the owner, and who comes next. Of the nodes that there were when it began. */
static int walk(lua_State *L) {
    const struct orr_ring *r = check(L);
    uint64_t place = place_of(L, r, 2);
    size_t words = ORR_RING_SEEN(orr_ring_size(r));
    struct orr_ring_walk *w = lua_newuserdatauv(L, sizeof *w + words * sizeof(uint64_t), 0);
    orr_ring_walk(w, r, place, (uint64_t *)(void *)(w + 1));
    lua_getiuservalue(L, 1, IDS);
    lua_getiuservalue(L, 1, RING_HELD);
    lua_pushcclosure(L, step, 3);
    return 1;
}

static uint64_t load_of(lua_State *L, int loads, const char *id) {
    lua_getfield(L, loads, id);
    lua_Integer load = lua_isnil(L, -1) ? 0 : luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    luaL_argcheck(L, load >= 0 && load <= INT64_C(1) << 40, loads, "loads of 0 to 2^40 are expected");
    return (uint64_t)load;
}

/* r:bounded(key, { [id] = load }, slack) -> id */
static int bounded(lua_State *L) {
    const struct orr_ring *r = check(L);
    uint64_t place = place_of(L, r, 2);
    lua_Number slack = luaL_optnumber(L, 4, 0.25);
    luaL_checktype(L, 3, LUA_TTABLE);
    luaL_argcheck(L, slack > 0 && slack <= 1000, 4, "a number above 0 and at most 1000 is expected");
    uint32_t n = orr_ring_size(r);
    uint64_t *loads = lua_newuserdatauv(L, n * sizeof *loads, 0);
    for (uint32_t i = 0; i < n; i++) loads[i] = load_of(L, 3, orr_ring_id(r, i));
    lua_getiuservalue(L, 1, IDS);
    lua_rawgeti(L, -1, (lua_Integer)orr_ring_bounded_at(r, place, loads, slack) + 1);
    return 1;
}

/* -- What there is ------------------------------------------------------------------------------------------------- */
/* r:share() -> { [id] = fraction } */
static int share(lua_State *L) {
    const struct orr_ring *r = check(L);
    uint32_t n = orr_ring_size(r);
    lua_createtable(L, 0, (int)n);
    for (uint32_t i = 0; i < n; i++) {
        lua_pushnumber(L, orr_ring_share(r, i));
        lua_setfield(L, -2, orr_ring_id(r, i));
    }
    return 1;
}

static int size(lua_State *L) {
    lua_pushinteger(L, orr_ring_size(check(L)));
    return 1;
}

static void push_move(lua_State *L, const struct orr_ring_move *m) {
    lua_createtable(L, 0, 4);
    orrb_set_text(L, "before", m->before);
    orrb_set_text(L, "after", m->after);
    orrb_set_integer(L, "from", (int64_t)m->from);
    orrb_set_integer(L, "to", (int64_t)m->to);
}

/* r:diff(other) -> { { before =, after =, from =, to = }, ..., moved = fraction, least = fraction } */
static int diff(lua_State *L) {
    const struct orr_ring *a = check(L);
    const struct box *b = luaL_checkudata(L, 2, RING);
    struct orr_ring_diff d;
    struct orr_ring_move m;
    luaL_argcheck(L, orr_ring_comparable(a, b->ring), 2, "a ring whose hash gives keys the same places is expected");
    double least, moved = orr_ring_moved(a, b->ring, &least);
    lua_newtable(L);
    orr_ring_diff(&d, a, b->ring);
    for (lua_Integer i = 1; orr_ring_diff_next(&d, &m); i++) {
        push_move(L, &m);
        lua_rawseti(L, -2, i);
    }
    orrb_set_number(L, "moved", moved);
    orrb_set_number(L, "least", least);
    return 1;
}

static int tostring(lua_State *L) {
    const struct box *b = luaL_checkudata(L, 1, RING);
    if (!b->ring) lua_pushliteral(L, RING "()");
    else lua_pushfstring(L, RING "(%d nodes, %d points)", (int)orr_ring_size(b->ring), (int)orr_ring_points(b->ring));
    return 1;
}

/* jump(key, buckets) -> from 0 */
static int jump(lua_State *L) {
    lua_Integer buckets = luaL_checkinteger(L, 2);
    luaL_argcheck(L, buckets >= 1 && buckets <= UINT32_MAX, 2, "1 to 2^32 - 1 buckets are expected");
    size_t size = 0;
    const char *key = lua_isinteger(L, 1) ? NULL : orrb_check_key(L, 1, &size);
    uint64_t place = key ? orr_ring_place(key, size) : (uint64_t)lua_tointeger(L, 1);
    lua_pushinteger(L, orr_jump(place, (uint32_t)buckets));
    return 1;
}

int orrb_open_ring(lua_State *L) {
    static const luaL_Reg methods[] = { { "owner", owner }, { "owners", owners }, { "walk", walk },
                                        { "share", share }, { "diff", diff },     { "bounded", bounded },
                                        { NULL, NULL } };
    static const luaL_Reg functions[] = { { "make", make }, { "made_of", made_of }, { "jump", jump }, { NULL, NULL } };
    static const struct orrb_placed_class class = { RING, HELD, collect, tostring, size, methods };
    orrb_open_placed(L, &class);
    luaL_setfuncs(L, functions, 0);
    return 1;
}
