/* orrb_unpack.c - MessagePack to Lua values, whatever the bytes; and core.value: pack, unpack.
 *
 * A table is made for as many elements as its head names, but never for more than there are bytes left which no table
 * around it has claimed: `owed` counts values that have been announced and not read, and stays at or below the bytes
 * left. So the memory that bytes can ask for is linear in their number, at any depth.
 *
 * A key that comes twice is refused. Keys in canonical order, as packing writes them, are unique by that; from the
 * first key on that is out of order each is looked up before it is set. */
#include "orrb_pack.h"

/* -- Tokens -------------------------------------------------------------------------------------------------------- */
static uint64_t take_be(struct orr_reader *r, unsigned bytes) {
    if (!orri_read_fits(r, bytes)) return 0;
    r->at += bytes;
    return orrb_get_be(r->at - bytes, bytes);
}

static void take_bytes(struct orr_reader *r, struct orrb_token *t, enum orrb_token_kind kind, uint64_t size) {
    if (orri_left(r) < size) r->failed = true;
    if (r->failed) return;
    t->kind = kind;
    t->n = (size_t)size;
    t->at = r->at;
    r->at += size;
}

static void take_table(struct orr_reader *r, struct orrb_token *t, enum orrb_token_kind kind, uint64_t n) {
    if (r->failed) return;
    t->kind = kind;
    t->n = (size_t)n;
}

static void take_unsigned(struct orr_reader *r, struct orrb_token *t, unsigned bytes) {
    uint64_t v = take_be(r, bytes);
    if (v > INT64_MAX) r->failed = true;                    /* Lua has no such integer */
    t->kind = ORRB_TOKEN_INTEGER;
    t->integer = (lua_Integer)v;
}

static void take_signed(struct orr_reader *r, struct orrb_token *t, unsigned bytes) {
    uint64_t v = take_be(r, bytes), sign = (uint64_t)1 << (8 * bytes - 1);
    t->kind = ORRB_TOKEN_INTEGER;
    t->integer = (lua_Integer)((v ^ sign) - sign);
}

static void take_float(struct orr_reader *r, struct orrb_token *t, unsigned bytes) {
    uint64_t bits = take_be(r, bytes), nan = (uint64_t)0x7ff8 << 48;
    if (bytes == 4) {
        uint32_t half = (uint32_t)bits;
        float narrow;
        memcpy(&narrow, &half, sizeof narrow);
        t->number = (lua_Number)narrow;
    } else {
        memcpy(&t->number, &bits, sizeof bits);
    }
    if (t->number != t->number) memcpy(&t->number, &nan, sizeof nan);
    t->kind = ORRB_TOKEN_FLOAT;
}

static void take_ext(struct orr_reader *r, struct orrb_token *t, uint64_t size) {
    t->type = (int)take_be(r, 1);
    take_bytes(r, t, ORRB_TOKEN_EXT, size);
}

/* 0xc0 to 0xdf. */
static void take_headed(struct orr_reader *r, struct orrb_token *t, unsigned first) {
    switch (first) {
    case 0xc0: t->kind = ORRB_TOKEN_NIL; break;
    case 0xc2: case 0xc3:
        t->kind = ORRB_TOKEN_BOOLEAN;
        t->integer = first & 1;
        break;
    case 0xc4: case 0xc5: case 0xc6: take_bytes(r, t, ORRB_TOKEN_STRING, take_be(r, 1u << (first - 0xc4))); break;
    case 0xc7: case 0xc8: case 0xc9: take_ext(r, t, take_be(r, 1u << (first - 0xc7))); break;
    case 0xca: case 0xcb: take_float(r, t, 4u << (first - 0xca)); break;
    case 0xcc: case 0xcd: case 0xce: case 0xcf: take_unsigned(r, t, 1u << (first - 0xcc)); break;
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: take_signed(r, t, 1u << (first - 0xd0)); break;
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: take_ext(r, t, (uint64_t)1 << (first - 0xd4)); break;
    case 0xd9: case 0xda: case 0xdb: take_bytes(r, t, ORRB_TOKEN_STRING, take_be(r, 1u << (first - 0xd9))); break;
    case 0xdc: case 0xdd: take_table(r, t, ORRB_TOKEN_ARRAY, take_be(r, 2u << (first - 0xdc))); break;
    case 0xde: case 0xdf: take_table(r, t, ORRB_TOKEN_MAP, take_be(r, 2u << (first - 0xde))); break;
    default: break;                                         /* 0xc1, which means nothing */
    }
    if (r->failed) t->kind = ORRB_TOKEN_BAD;
}

void orrb_token_read(struct orr_reader *r, struct orrb_token *t) {
    t->kind = ORRB_TOKEN_BAD;
    if (!orri_read_fits(r, 1)) return;
    unsigned first = *r->at++;
    if (first < 0x80 || first >= 0xe0) {
        t->kind = ORRB_TOKEN_INTEGER;
        t->integer = (signed char)first;
    } else if (first >= 0xc0) {
        take_headed(r, t, first);
    } else if (first >= 0xa0) {
        take_bytes(r, t, ORRB_TOKEN_STRING, first & 31);
    } else {
        take_table(r, t, first & 16 ? ORRB_TOKEN_ARRAY : ORRB_TOKEN_MAP, first & 15);
    }
}

void orrb_token_skip(struct orr_reader *r) {
    struct orrb_token t;
    for (uint64_t left = 1; left > 0 && !r->failed; left--) {
        orrb_token_read(r, &t);
        if (t.kind == ORRB_TOKEN_BAD) return;
        if (t.kind == ORRB_TOKEN_ARRAY) left += t.n;
        if (t.kind == ORRB_TOKEN_MAP) left += 2 * (uint64_t)t.n;
    }
}

bool orrb_token_key(const struct orrb_token *t, struct orrb_key *out) {
    switch (t->kind) {
    case ORRB_TOKEN_INTEGER: *out = orrb_key_of_integer(t->integer); return true;
    case ORRB_TOKEN_STRING: *out = orrb_key_of_string(t->at, t->n); return true;
    case ORRB_TOKEN_BOOLEAN: *out = orrb_key_of_boolean((int)t->integer); return true;
    case ORRB_TOKEN_FLOAT:
        if (t->number != t->number) return false;
        *out = orrb_key_of_float(t->number);
        return true;
    default: return false;
    }
}

/* -- Values -------------------------------------------------------------------------------------------------------- */
struct reading {
    struct orr_reader in;
    uint64_t owed;
    unsigned flags;
};

static bool read_value(lua_State *L, struct reading *r, int depth);

static bool claim(struct reading *r, uint64_t n) {
    if (orri_left(&r->in) < r->owed || n > orri_left(&r->in) - r->owed) return false;
    r->owed += n;
    return true;
}

/* An element or a pair's value: anything but nil. */
static bool read_element(lua_State *L, struct reading *r, int depth) {
    r->owed--;
    return orri_left(&r->in) > 0 && *r->in.at != 0xc0 && read_value(L, r, depth);
}

static bool read_array(lua_State *L, struct reading *r, size_t n, int depth) {
    if (depth >= ORRB_TABLE_DEPTH || n > INT32_MAX || !claim(r, n)) return false;
    luaL_checkstack(L, 4, NULL);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 1; i <= n; i++) {
        if (!read_element(L, r, depth + 1)) return false;
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    return true;
}

/* The table at -2 has the key at the top already. */
static bool has_key(lua_State *L) {
    lua_pushvalue(L, -1);
    bool has = lua_rawget(L, -3) != LUA_TNIL;
    lua_pop(L, 1);
    return has;
}

static bool read_map(lua_State *L, struct reading *r, size_t n, int depth) {
    struct orrb_key last = { 0 }, key;
    struct orrb_token t;
    bool in_order = true;
    if (depth >= ORRB_TABLE_DEPTH || n > INT32_MAX || !claim(r, 2 * (uint64_t)n)) return false;
    luaL_checkstack(L, 4, NULL);
    int first = n > 0 && *r->in.at == 1;                    /* an op's name, at [1], is where Lua's arrays are */
    lua_createtable(L, first, (int)n - first);
    for (size_t i = 0; i < n; i++) {
        r->owed--;
        orrb_token_read(&r->in, &t);
        if (!orrb_token_key(&t, &key)) return false;
        in_order = in_order && (i == 0 || orrb_key_compare(&last, &key) < 0);
        last = key;
        orrb_key_push(L, &key);
        if (!in_order && has_key(L)) return false;
        if (!read_element(L, r, depth + 1)) return false;
        lua_rawset(L, -3);
    }
    return true;
}

static bool read_ext(lua_State *L, struct reading *r, const struct orrb_token *t, int depth) {
    if (t->type != ORRB_EXT_MAP || !(r->flags & ORRB_VALUE_MAPS) || depth > 1) return false;
    luaL_checkstack(L, 4, NULL);
    return orrb_map_unpack(L, t->at, t->n) == 0;
}

static bool read_value(lua_State *L, struct reading *r, int depth) {
    struct orrb_token t;
    orrb_token_read(&r->in, &t);
    switch (t.kind) {
    case ORRB_TOKEN_NIL: lua_pushnil(L); return true;
    case ORRB_TOKEN_BOOLEAN: lua_pushboolean(L, (int)t.integer); return true;
    case ORRB_TOKEN_INTEGER: lua_pushinteger(L, t.integer); return true;
    case ORRB_TOKEN_FLOAT: lua_pushnumber(L, t.number); return true;
    case ORRB_TOKEN_STRING: lua_pushlstring(L, (const char *)t.at, t.n); return true;
    case ORRB_TOKEN_ARRAY: return read_array(L, r, t.n, depth);
    case ORRB_TOKEN_MAP: return read_map(L, r, t.n, depth);
    case ORRB_TOKEN_EXT: return read_ext(L, r, &t, depth);
    default: return false;
    }
}

int orrb_value_unpack(lua_State *L, const void *at, size_t size, unsigned flags) {
    struct reading r = { orri_reader(at, size), 0, flags };
    int top = lua_gettop(L);
    luaL_checkstack(L, 4, NULL);
    if (read_value(L, &r, 0) && r.in.at == r.in.end) return 0;
    lua_settop(L, top);
    return ORR_EINVALID;
}

int orrb_value_unpack_args(lua_State *L, const void *at, size_t size) {
    struct reading r = { orri_reader(at, size), 0, 0 };
    struct orrb_token t;
    int top = lua_gettop(L);
    orrb_token_read(&r.in, &t);
    if (t.kind != ORRB_TOKEN_ARRAY || t.n > ORRB_ARGUMENTS_MAX || !claim(&r, t.n)) return ORR_EINVALID;
    luaL_checkstack(L, (int)t.n + 4, NULL);
    size_t n = 0;
    for (; n < t.n; n++) {
        r.owed--;
        if (!read_value(L, &r, 0)) break;
    }
    if (n == t.n && r.in.at == r.in.end) return (int)n;
    lua_settop(L, top);
    return ORR_EINVALID;
}

/* -- core.value ---------------------------------------------------------------------------------------------------- */
int orrb_value_copy(lua_State *L, int idx, struct orrb_buffer *b, const char *what) {
    size_t begin = b->size;
    (void)orrb_value_pack(L, idx, b, what);
    lua_pushlstring(L, (const char *)b->at + begin, b->size - begin);   /* a finalizer may come and use the buffer */
    b->size = begin;
    size_t size;
    const char *bytes = lua_tolstring(L, -1, &size);
    int rc = orrb_value_unpack(L, bytes, size, b->flags);
    lua_remove(L, rc == 0 ? -2 : -1);
    return rc;
}

static struct orrb_buffer *buffer(lua_State *L) {
    struct orrb_buffer *b = lua_touserdata(L, lua_upvalueindex(1));
    b->size = 0;
    b->flags = ORRB_VALUE_MAPS;
    return b;
}

static int buffer_gc(lua_State *L) {
    orrb_buffer_free(L, lua_touserdata(L, 1));
    return 0;
}

void orrb_buffer_push(lua_State *L) {
    struct orrb_buffer *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct orrb_buffer){ 0 };
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, buffer_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
}

/* value.pack(v) */
static int value_pack(lua_State *L) {
    struct orrb_buffer *b = buffer(L);
    luaL_checkany(L, 1);
    (void)orrb_value_pack(L, 1, b, "value");
    lua_pushlstring(L, (const char *)b->at, b->size);
    orrb_buffer_trim(L, b);
    orrb_budget_charge_packed(L, lua_rawlen(L, -1));
    return 1;
}

/* value.unpack(s) -> value; or nil, message, code */
static int value_unpack(lua_State *L) {
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size);
    orrb_budget_charge_packed(L, size);
    if (orrb_value_unpack(L, bytes, size, ORRB_VALUE_MAPS) == 0) return 1;
    lua_pushnil(L);
    lua_pushliteral(L, "orrery.unpack: these are not the bytes of a packed value");
    lua_pushstring(L, orr_error_word(ORR_EINVALID));
    return 3;
}

/* value.copy(v) */
static int value_copy(lua_State *L) {
    luaL_checkany(L, 1);
    int rc = orrb_value_copy(L, 1, buffer(L), "value");
    return rc == 0 ? 1 : orrb_fail(L, rc, "copy");
}

/* value.hash(v): 64 bits, as an integer */
static int value_hash(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushinteger(L, (lua_Integer)orrb_value_hash(L, 1, buffer(L), "value"));
    return 1;
}

int orrb_open_value(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "pack", value_pack }, { "unpack", value_unpack }, { "copy", value_copy }, { "hash", value_hash },
        { NULL, NULL },
    };
    luaL_newlibtable(L, functions);
    orrb_buffer_push(L);
    luaL_setfuncs(L, functions, 1);
    return 1;
}
