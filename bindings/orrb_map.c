/* orrb_map.c - orrery.map: an ordered map kept in C, for states that are big for Lua tables; and core.map.
 *
 * A tree from keys to packed values, so what comes in and goes out is a copy and the collector has nothing to walk. A
 * key is its kind as the tree's tag and, but for strings, its rank in eight bytes, so that the tree's order is the
 * canonical order. Memory is the Lua state's, counted by its limit.
 *
 * Each step of an iteration gives the least key above the one before: what is added ahead of it meanwhile is visited,
 * what is added behind it or removed is not. While no key comes or goes a step needs no search.
 *
 * A finalizer that finds no memory, or no stack, doesn't run, and Lua doesn't ask again. So maps stand in a list of
 * their state's, from which its node frees what Lua has left.
 *
 * Whatever allocates in Lua may run finalizers, which may change this very map. So an item is copied into a Lua string
 * before more than one Lua value is made of it. */
#include "base/tree.h"
#include "orrb_environment.h"
#include "orrb_pack.h"

enum { OWED_MAX = 1 << 16 };

struct orrb_map {                   /* a userdata points to it */
    struct orr_tree tree;
    size_t owed;                    /* bytes that the collector has not been told of */
    struct orrb_map *next, **link;  /* of the list; link NULL: in none */
};
struct cursor {
    struct orr_tree_place place;
    bool begun;
};
static const char registry_key;     /* its address: the metatable, whose [1] is a buffer */

/* -- Keys and items ------------------------------------------------------------------------------------------------ */
static struct orr_tree_key to_tree(const struct orrb_key *key, unsigned char rank[8]) {
    if (key->kind == ORRB_KEY_STRING) return (struct orr_tree_key){ key->kind, key->at, key->size };
    orrb_put_be(rank, key->rank, 8);
    return (struct orr_tree_key){ key->kind, rank, 8 };
}

static struct orrb_key from_tree(unsigned tag, const unsigned char *at, size_t size) {
    if (tag == ORRB_KEY_STRING) return orrb_key_of_string(at, size);
    return (struct orrb_key){ .rank = orrb_get_be(at, 8), .kind = tag };
}

static int out_of_memory(lua_State *L) {
    lua_pushliteral(L, "not enough memory");
    return lua_error(L);
}

static void push_value(lua_State *L, const void *at, size_t size) {
    if (orrb_value_unpack(L, at, size, 0) < 0) luaL_error(L, "a map's value is damaged");
}

/* An item's key and value, or its value alone. */
static int push_item(lua_State *L, const struct orr_tree_item *item, bool with_key) {
    size_t key_size = item->key_size, value_size = item->value_size;
    unsigned tag = item->tag, first = *orri_tree_value(item);
    bool table = (first >= 0x80 && first < 0xa0) || first >= 0xdc;
    if (!with_key && (!table || first >= 0xe0)) {
        push_value(L, orri_tree_value(item), value_size);
        return 1;
    }
    luaL_checkstack(L, 4, NULL);
    lua_pushlstring(L, (const char *)item->bytes, key_size + value_size);
    const unsigned char *bytes = (const unsigned char *)lua_tostring(L, -1);
    if (with_key) {
        struct orrb_key key = from_tree(tag, bytes, key_size);
        orrb_key_push(L, &key);
    }
    push_value(L, bytes + key_size, value_size);
    return with_key ? 2 : 1;
}

/* -- The C side ---------------------------------------------------------------------------------------------------- */
static void push_metatable(lua_State *L);

/* The allocator is asked for each time: orrb_memory.c puts another one in front of it for a while. */
static struct orrb_map *fresh(lua_State *L, struct orrb_map *m) {
    m->tree.alloc.fn = lua_getallocf(L, &m->tree.alloc.ud);
    return m;
}

struct orrb_map *orrb_map_at(lua_State *L, int idx) {
    void *at = lua_touserdata(L, idx);
    if (!at || !lua_getmetatable(L, idx)) return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
    bool is_map = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    struct orrb_map *m = is_map ? *(struct orrb_map **)at : NULL;
    return m ? fresh(L, m) : NULL;
}

static void enlist(lua_State *L, struct orrb_map *m) {
    const struct orrb_environment *e = orrb_environment_of(L);
    if (!e || !e->allocations) return;
    m->next = e->allocations->maps;
    if (m->next) m->next->link = &m->next;
    m->link = &e->allocations->maps;
    e->allocations->maps = m;
}

static void destroy(struct orrb_map *m) {
    struct orr_alloc alloc = m->tree.alloc;
    orri_tree_clear(&m->tree);
    if (m->link) *m->link = m->next;
    if (m->link && m->next) m->next->link = m->link;
    (void)alloc.fn(alloc.ud, m, sizeof *m, 0);
}

void orrb_maps_free(struct orrb_allocations *a) {
    while (a->maps) destroy(a->maps);
}

struct orrb_map *orrb_map_push(lua_State *L) {
    luaL_checkstack(L, 4, NULL);
    struct orrb_map **at = lua_newuserdatauv(L, sizeof *at, 0);
    struct orr_alloc alloc;
    *at = NULL;
    push_metatable(L);
    lua_setmetatable(L, -2);
    alloc.fn = lua_getallocf(L, &alloc.ud);
    struct orrb_map *m = alloc.fn(alloc.ud, NULL, 0, sizeof *m);
    if (!m) return (void)out_of_memory(L), NULL;
    *m = (struct orrb_map){ 0 };
    orri_tree_init(&m->tree, &alloc);
    enlist(L, m);
    *at = m;
    return m;
}

size_t orrb_map_count(const struct orrb_map *m) { return m->tree.n; }
size_t orrb_map_bytes(const struct orrb_map *m) { return m->tree.bytes; }
uint64_t orrb_map_digest(const struct orrb_map *m) { return orri_tree_digest(&m->tree); }
void orrb_map_clear(struct orrb_map *m) { orri_tree_clear(&m->tree); }

/* When memory is out, Lua's garbage may be what fills it. Nothing is under way here. */
static int set(lua_State *L, struct orrb_map *m, const struct orrb_key *key, const void *value, size_t size) {
    unsigned char rank[8];
    int rc = orri_tree_set(&m->tree, to_tree(key, rank), value, size);
    if (rc != -ENOMEM) return rc;
    lua_gc(L, LUA_GCCOLLECT, 0);
    return orri_tree_set(&m->tree, to_tree(key, rank), value, size);
}

/* A map weighs little to the collector, which would leave many dead ones behind: it is told what has come in. */
static void tell(lua_State *L, struct orrb_map *m, size_t size) {
    m->owed += size;
    if (m->owed < OWED_MAX || !lua_gc(L, LUA_GCISRUNNING)) return;
    int kilobytes = m->owed >> 10 < INT32_MAX ? (int)(m->owed >> 10) : INT32_MAX;
    m->owed = 0;
    lua_gc(L, LUA_GCSTEP, kilobytes);
}

static int pack_item(lua_State *L, struct orrb_buffer *b, const struct orr_tree_item *item) {
    struct orrb_key key = from_tree(item->tag, item->bytes, item->key_size);
    int rc = orrb_pack_key(L, b, &key);
    if (rc == 0) rc = orrb_buffer_room(L, b, item->value_size);
    if (rc < 0) return rc;
    memcpy(b->at + b->size, orri_tree_value(item), item->value_size);
    b->size += item->value_size;
    return 0;
}

int orrb_map_piece(lua_State *L, struct orrb_map *m, struct orrb_map_place *place, size_t bytes,
                   struct orrb_buffer *b) {
    struct orr_tree_place at = place->at;
    uint64_t digest = orrb_map_digest(m);
    if (place->begun && (place->digest != digest || at.version != m->tree.version)) return ORR_ECONFLICT;
    const struct orr_tree_item *item = place->begun ? orri_tree_at(&at) : orri_tree_first(&m->tree, &at);
    size_t begin = b->size;
    for (; item && b->size - begin < bytes; item = orri_tree_next(&at)) {
        int rc = pack_item(L, b, item);
        if (rc == 0) continue;
        b->size = begin;
        return rc;
    }
    *place = (struct orrb_map_place){ at, digest, true };
    return item != NULL;
}

/* One packed pair, the value packed anew: others' bytes need not be canonical. */
static int fill_pair(lua_State *L, struct orrb_map *m, struct orr_reader *r, struct orrb_buffer *b) {
    struct orrb_token t;
    struct orrb_key key;
    unsigned char rank[8];
    orrb_token_read(r, &t);
    if (!orrb_token_key(&t, &key) || orri_tree_get(&m->tree, to_tree(&key, rank))) return ORR_EINVALID;
    const unsigned char *value = r->at;
    orrb_token_skip(r);
    if (r->failed || value == r->at || *value == 0xc0) return ORR_EINVALID;
    int rc = orrb_value_unpack(L, value, (size_t)(r->at - value), 0);
    if (rc < 0) return rc;
    b->size = 0;
    b->flags = 0;
    rc = orrb_value_try_pack(L, -1, b);
    lua_pop(L, 1);
    return rc < 0 ? rc : set(L, m, &key, b->at, b->size);
}

static struct orrb_buffer *buffer_of(lua_State *L, int idx) {
    lua_getmetatable(L, idx);
    lua_rawgeti(L, -1, 1);
    struct orrb_buffer *b = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return b;
}

int orrb_map_fill(lua_State *L, int idx, const void *at, size_t size) {
    struct orr_reader r = orri_reader(at, size);
    struct orrb_map *m = orrb_map_at(L, idx);
    struct orrb_buffer *b = m ? buffer_of(L, idx) : NULL;
    int rc = m ? 0 : ORR_EINVALID;
    while (rc == 0 && orri_left(&r) > 0) rc = fill_pair(L, m, &r, b);
    if (b) orrb_buffer_trim(L, b);
    return rc;
}

/* -- In packed values ---------------------------------------------------------------------------------------------- */
enum { EXT_HEAD_MAX = 6 };

static int pack_digest(lua_State *L, const struct orrb_map *m, struct orrb_buffer *b) {
    int rc = orrb_buffer_room(L, b, EXT_HEAD_MAX + 16);
    if (rc < 0) return rc;
    unsigned char *at = orrb_put_ext_head(b->at + b->size, 16, ORRB_EXT_MAP);
    orrb_put_be(at, m->tree.n, 8);
    orrb_put_be(at + 8, orrb_map_digest(m), 8);
    b->size = (size_t)(at + 16 - b->at);
    return 0;
}

int orrb_map_pack(lua_State *L, struct orrb_map *m, struct orrb_buffer *b) {
    if (b->flags & ORRB_VALUE_DIGESTS) return pack_digest(L, m, b);
    struct orrb_map_place place = { 0 };
    unsigned char head[EXT_HEAD_MAX];
    size_t begin = b->size;
    int rc = m->tree.n > UINT32_MAX ? ORR_EFULL : orrb_buffer_room(L, b, EXT_HEAD_MAX + ORRB_HEAD_MAX);
    if (rc < 0) return rc;
    unsigned char *data = b->at + begin + EXT_HEAD_MAX;
    b->size = (size_t)(orrb_put_table_head(data, m->tree.n, false) - b->at);
    rc = orrb_map_piece(L, m, &place, SIZE_MAX, b);
    if (rc < 0) return rc;
    size_t size = b->size - begin - EXT_HEAD_MAX;
    size_t head_size = (size_t)(orrb_put_ext_head(head, size, ORRB_EXT_MAP) - head);
    memcpy(b->at + begin, head, head_size);
    memmove(b->at + begin + head_size, b->at + begin + EXT_HEAD_MAX, size);
    b->size = begin + head_size + size;
    return 0;
}

int orrb_map_unpack(lua_State *L, const void *at, size_t size) {
    struct orr_reader r = orri_reader(at, size);
    struct orrb_token t;
    orrb_token_read(&r, &t);
    if (t.kind != ORRB_TOKEN_MAP) return ORR_EINVALID;
    struct orrb_map *m = orrb_map_push(L);
    int rc = orrb_map_fill(L, -1, r.at, orri_left(&r));
    if (rc == -ENOMEM) return out_of_memory(L);
    if (rc == 0 && m->tree.n == t.n) return 0;
    lua_pop(L, 1);
    return ORR_EINVALID;
}

/* -- The Lua side -------------------------------------------------------------------------------------------------- */
static struct orrb_map *check_map(lua_State *L, int arg) {
    struct orrb_map *m = orrb_map_at(L, arg);
    if (!m) luaL_typeerror(L, arg, "orrery.map");
    return m;
}

/* A key of m[key] = value, or a bound of a range. */
static struct orrb_key check_key(lua_State *L, int arg, const char *what) {
    struct orrb_key key = { 0 };
    if (!orrb_key_at(L, arg, &key)) {
        const char *got = lua_type(L, arg) == LUA_TNUMBER ? "NaN" : luaL_typename(L, arg);
        luaL_error(L, "%s must be an integer, float, string or boolean (got %s)", what, got);
    }
    return key;
}

static bool is_range(lua_State *L, int arg) {
    return lua_type(L, arg) == LUA_TSTRING && strcmp(lua_tostring(L, arg), "range") == 0 && lua_rawlen(L, arg) == 5;
}

/* m[key] */
static int map_index(lua_State *L) {
    struct orrb_map *m = check_map(L, 1);
    struct orrb_key key;
    unsigned char rank[8];
    if (is_range(L, 2)) {
        lua_pushvalue(L, lua_upvalueindex(2));
        return 1;
    }
    if (!orrb_key_at(L, 2, &key)) return 0;
    const struct orr_tree_item *item = orri_tree_get(&m->tree, to_tree(&key, rank));
    return item ? push_item(L, item, false) : 0;
}

static int refuse_value(lua_State *L, const struct orrb_buffer *b, int rc) {
    lua_pushliteral(L, "map");
    orrb_key_describe(L, 2);
    lua_concat(L, 2);
    return orrb_value_refuse(L, 3, b, rc, lua_tostring(L, -1));
}

/* m[key] = value; nil removes */
static int map_newindex(lua_State *L) {
    struct orrb_map *m = check_map(L, 1);
    struct orrb_key key = check_key(L, 2, "a map's key");
    unsigned char rank[8];
    if (is_range(L, 2)) return luaL_error(L, "a map's key can't be \"range\": that is its method");
    if (lua_isnil(L, 3)) return (void)orri_tree_remove(&m->tree, to_tree(&key, rank)), 0;
    struct orrb_buffer *b = lua_touserdata(L, lua_upvalueindex(1));
    b->size = 0;
    b->flags = 0;
    int rc = orrb_value_try_pack(L, 3, b);
    if (rc < 0) return refuse_value(L, b, rc);
    rc = set(L, m, &key, b->at, b->size);
    size_t size = key.size + b->size + sizeof(struct orr_tree_item);
    orrb_budget_charge_packed(L, b->size);
    orrb_buffer_trim(L, b);
    tell(L, m, size);
    if (rc < 0) return rc == -ENOMEM ? out_of_memory(L) : luaL_error(L, "map: the key or its value is too big");
    return 0;
}

static int map_len(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check_map(L, 1)->tree.n);
    return 1;
}

static int map_tostring(lua_State *L) {
    lua_pushfstring(L, "orrery.map(%I)", (lua_Integer)check_map(L, 1)->tree.n);
    return 1;
}

static int map_gc(lua_State *L) {
    struct orrb_map *m = orrb_map_at(L, 1);
    if (!m) return 0;
    *(struct orrb_map **)lua_touserdata(L, 1) = NULL;
    destroy(m);
    return 0;
}

/* Upvalues: the map, the cursor, from, to. Arguments: what the loop hands on, the key of the step before. */
static int step(lua_State *L) {
    struct orrb_map *m = check_map(L, lua_upvalueindex(1));
    struct cursor *c = lua_touserdata(L, lua_upvalueindex(2));
    struct orrb_key key;
    unsigned char rank[8];
    const struct orr_tree_item *item;
    if (!c->begun && lua_isnil(L, lua_upvalueindex(3))) {
        item = orri_tree_first(&m->tree, &c->place);
    } else if (c->begun && c->place.version == m->tree.version) {
        item = orri_tree_next(&c->place);
    } else {
        key = check_key(L, c->begun ? 2 : lua_upvalueindex(3), "the key of the step before");
        item = orri_tree_seek(&m->tree, to_tree(&key, rank), c->begun, &c->place);
    }
    c->begun = true;
    bool bounded = item && orrb_key_at(L, lua_upvalueindex(4), &key);
    if (item && !(bounded && orri_tree_order(item, to_tree(&key, rank)) > 0)) return push_item(L, item, true);
    c->place.leaf = NULL;
    return 0;
}

/* for key, value in m:range(from, to): both included; nil for what has no bound */
static int map_range(lua_State *L) {
    (void)check_map(L, 1);
    if (!lua_isnoneornil(L, 2)) (void)check_key(L, 2, "range: from");
    if (!lua_isnoneornil(L, 3)) (void)check_key(L, 3, "range: to");
    lua_settop(L, 3);
    lua_pushvalue(L, 1);
    *(struct cursor *)lua_newuserdatauv(L, sizeof(struct cursor), 0) = (struct cursor){ 0 };
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_pushcclosure(L, step, 4);
    return 1;
}

static int map_pairs(lua_State *L) {
    lua_settop(L, 1);
    return map_range(L);
}

static void push_metatable(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "__index", map_index }, { "__newindex", map_newindex }, { "__len", map_len }, { "__pairs", map_pairs },
        { "__tostring", map_tostring }, { "__gc", map_gc }, { NULL, NULL },
    };
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    luaL_newlibtable(L, methods);
    orrb_buffer_push(L);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, 1);
    lua_pushcfunction(L, map_range);
    luaL_setfuncs(L, methods, 2);
    lua_pushliteral(L, "orrery.map");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
}

/* -- core.map ------------------------------------------------------------------------------------------------------ */
/* map.new() */
static int core_new(lua_State *L) {
    (void)orrb_map_push(L);
    return 1;
}

/* map.digest(m): 64 bits, as an integer */
static int core_digest(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)orrb_map_digest(check_map(L, 1)));
    return 1;
}

static int core_clear(lua_State *L) {
    orrb_map_clear(check_map(L, 1));
    return 0;
}

/* map.pieces(m, bytes) -> function that gives one packed piece of so many bytes after the other, then nil */
static int core_piece(lua_State *L) {
    struct orrb_map *m = check_map(L, lua_upvalueindex(1));
    struct orrb_map_place *place = lua_touserdata(L, lua_upvalueindex(2));
    struct orrb_buffer *b = buffer_of(L, lua_upvalueindex(1));
    b->size = 0;
    int rc = orrb_map_piece(L, m, place, (size_t)lua_tointeger(L, lua_upvalueindex(3)), b);
    if (rc < 0) return orrb_fail(L, rc, "map.pieces");
    if (b->size == 0) return 0;
    lua_pushlstring(L, (const char *)b->at, b->size);
    return 1;
}

static int core_pieces(lua_State *L) {
    (void)check_map(L, 1);
    luaL_argcheck(L, luaL_checkinteger(L, 2) > 0, 2, "a size expected");
    lua_settop(L, 2);
    *(struct orrb_map_place *)lua_newuserdatauv(L, sizeof(struct orrb_map_place), 0) = (struct orrb_map_place){ 0 };
    lua_insert(L, 2);
    lua_pushcclosure(L, core_piece, 3);
    return 1;
}

/* map.fill(m, piece) -> true, or nil, message, code */
static int core_fill(lua_State *L) {
    size_t size;
    (void)check_map(L, 1);
    const char *piece = luaL_checklstring(L, 2, &size);
    int rc = orrb_map_fill(L, 1, piece, size);
    if (rc < 0) return rc == -ENOMEM ? out_of_memory(L) : orrb_fail(L, rc, "map.fill");
    lua_pushboolean(L, 1);
    return 1;
}

int orrb_open_map(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "new", core_new }, { "digest", core_digest }, { "clear", core_clear }, { "pieces", core_pieces },
        { "fill", core_fill }, { NULL, NULL },
    };
    luaL_newlib(L, functions);
    return 1;
}
