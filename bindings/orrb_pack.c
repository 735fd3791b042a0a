/* orrb_pack.c - Lua values to MessagePack: equal values are equal bytes, in every process.
 *
 * One pass, straight from the Lua stack. A table is written in the order in which Lua gives it, which differs from
 * process to process. While its keys come as 1, 2, 3 ... only values are written, as an array; with the first other
 * key each entry gets a record of where it lies. At the table's end the records are sorted, and the entries copied into
 * that order. So every value is visited once, no key is looked up, and no Lua object is made on the way: nothing here
 * raises and no finalizer runs meanwhile.
 *
 *     integers   the shortest form; of those that are not negative the unsigned one
 *     floats     64 bits always, so that 1 and 1.0 stay apart; one NaN
 *     strings    MessagePack's str, whatever their bytes: Lua knows no other kind
 *     tables     an array exactly when the keys are 1..n, {} too; else a map: positive integers, other integers,
 *                floats, strings bytewise, booleans, each ascending
 *     maps       extension type 1 over a MessagePack map                                                            */
#include "orrb_pack.h"

/* -- Keys ---------------------------------------------------------------------------------------------------------- */
static const uint64_t sign_bit = (uint64_t)1 << 63;

struct orrb_key orrb_key_of_integer(lua_Integer v) {
    return (struct orrb_key){ (uint64_t)v ^ sign_bit, NULL, 0, v > 0 ? ORRB_KEY_POSITIVE : ORRB_KEY_INTEGER };
}

struct orrb_key orrb_key_of_float(lua_Number v) {
    lua_Integer integer;
    uint64_t bits;
    if (lua_numbertointeger(v, &integer) && (lua_Number)integer == v) return orrb_key_of_integer(integer);
    memcpy(&bits, &v, sizeof bits);
    return (struct orrb_key){ bits & sign_bit ? ~bits : bits | sign_bit, NULL, 0, ORRB_KEY_FLOAT };
}

struct orrb_key orrb_key_of_string(const void *at, size_t size) {
    unsigned char first[8] = { 0 };
    if (size >= sizeof first) memcpy(first, at, sizeof first);
    else memcpy(first, at, size);
    return (struct orrb_key){ orrb_get_be(first, sizeof first), at, size, ORRB_KEY_STRING };
}

struct orrb_key orrb_key_of_boolean(int v) { return (struct orrb_key){ (uint64_t)v, NULL, 0, ORRB_KEY_BOOLEAN }; }

bool orrb_key_at(lua_State *L, int idx, struct orrb_key *out) {
    size_t size;
    const char *text;
    switch (lua_type(L, idx)) {
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx)) *out = orrb_key_of_integer(lua_tointeger(L, idx));
        else if (lua_tonumber(L, idx) != lua_tonumber(L, idx)) return false;
        else *out = orrb_key_of_float(lua_tonumber(L, idx));
        return true;
    case LUA_TSTRING:
        text = lua_tolstring(L, idx, &size);
        *out = orrb_key_of_string(text, size);
        return true;
    case LUA_TBOOLEAN: *out = orrb_key_of_boolean(lua_toboolean(L, idx)); return true;
    default: return false;
    }
}

int orrb_key_compare(const struct orrb_key *a, const struct orrb_key *b) {
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (a->kind != ORRB_KEY_STRING) return 0;
    int order = memcmp(a->at, b->at, a->size < b->size ? a->size : b->size);
    return order ? order : a->size < b->size ? -1 : a->size > b->size;
}

lua_Integer orrb_key_integer(const struct orrb_key *key) { return (lua_Integer)(key->rank ^ sign_bit); }

lua_Number orrb_key_float(const struct orrb_key *key) {
    uint64_t bits = key->rank & sign_bit ? key->rank ^ sign_bit : ~key->rank;
    lua_Number v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void orrb_key_push(lua_State *L, const struct orrb_key *key) {
    switch (key->kind) {
    case ORRB_KEY_FLOAT: lua_pushnumber(L, orrb_key_float(key)); break;
    case ORRB_KEY_STRING: lua_pushlstring(L, (const char *)key->at, key->size); break;
    case ORRB_KEY_BOOLEAN: lua_pushboolean(L, (int)key->rank); break;
    default: lua_pushinteger(L, orrb_key_integer(key));
    }
}

/* -- The buffer ---------------------------------------------------------------------------------------------------- */
/* An entry of a table that is being written. Of its key only a string's bytes are in the buffer. */
struct orrb_record {
    uint64_t rank;
    size_t key, value, end;         /* where they begin */
    uint32_t head;                  /* bytes before a string's first one */
    uint32_t kind;
};

static void *resize(lua_State *L, const struct orrb_buffer *b, void *at, size_t old_size, size_t new_size) {
    void *ud;
    if (b->alloc) return b->alloc->fn(b->alloc->ud, at, old_size, new_size);
    lua_Alloc fn = lua_getallocf(L, &ud);
    return fn(ud, at, old_size, new_size);
}

int orrb_buffer_grow(lua_State *L, struct orrb_buffer *b, size_t more) {
    size_t max = b->max ? b->max : ORRB_PACKED_MAX, cap = b->cap ? 2 * b->cap : 256;
    max *= 8;                                               /* while a table of the shortest entries is put in order */
    if (more > max || b->size > max - more) return ORR_EFULL;
    while (cap - b->size < more) cap *= 2;
    void *at = resize(L, b, b->at, b->cap, cap);
    if (!at) return -ENOMEM;
    b->at = at;
    b->cap = cap;
    return 0;
}

void orrb_buffer_free(lua_State *L, struct orrb_buffer *b) {
    if (b->at) (void)resize(L, b, b->at, b->cap, 0);
    if (b->records) (void)resize(L, b, b->records, b->cap_records * sizeof *b->records, 0);
    *b = (struct orrb_buffer){ .max = b->max, .alloc = b->alloc };
}

void orrb_buffer_trim(lua_State *L, struct orrb_buffer *b) {
    if (b->cap + b->cap_records * sizeof *b->records > ORRB_BUFFER_KEPT) orrb_buffer_free(L, b);
}

static int grow_records(lua_State *L, struct orrb_buffer *b, size_t more) {
    size_t cap = b->cap_records ? b->cap_records : 16;
    while (cap - b->n_records < more) cap *= 2;
    void *at = resize(L, b, b->records, b->cap_records * sizeof *b->records, cap * sizeof *b->records);
    if (!at) return -ENOMEM;
    b->records = at;
    b->cap_records = cap;
    return 0;
}

/* -- Heads --------------------------------------------------------------------------------------------------------- */
static unsigned char *put(unsigned char *at, unsigned first, uint64_t v, unsigned bytes) {
    *at = (unsigned char)first;
    orrb_put_be(at + 1, v, bytes);
    return at + 1 + bytes;
}

static unsigned char *put_negative(unsigned char *at, lua_Integer v) {
    if (v >= -32) {
        *at = (unsigned char)v;
        return at + 1;
    }
    uint64_t bits = (uint64_t)v;
    if (v >= INT8_MIN) return put(at, 0xd0, bits & 0xff, 1);
    if (v >= INT16_MIN) return put(at, 0xd1, bits & 0xffff, 2);
    if (v >= INT32_MIN) return put(at, 0xd2, bits & 0xffffffff, 4);
    return put(at, 0xd3, bits, 8);
}

unsigned char *orrb_put_integer(unsigned char *at, lua_Integer v) {
    if (v < 0) return put_negative(at, v);
    if (v < 0x80) {
        *at = (unsigned char)v;
        return at + 1;
    }
    if (v <= UINT8_MAX) return put(at, 0xcc, (uint64_t)v, 1);
    if (v <= UINT16_MAX) return put(at, 0xcd, (uint64_t)v, 2);
    if (v <= UINT32_MAX) return put(at, 0xce, (uint64_t)v, 4);
    return put(at, 0xcf, (uint64_t)v, 8);
}

unsigned char *orrb_put_float(unsigned char *at, lua_Number v) {
    uint64_t bits = (uint64_t)0x7ff8 << 48;                 /* the only NaN that travels */
    if (v == v) memcpy(&bits, &v, sizeof bits);
    return put(at, 0xcb, bits, 8);
}

unsigned char *orrb_put_string_head(unsigned char *at, size_t size) {
    if (size < 32) {
        *at = (unsigned char)(0xa0 | size);
        return at + 1;
    }
    return size <= UINT8_MAX ? put(at, 0xd9, size, 1) : size <= UINT16_MAX ? put(at, 0xda, size, 2)
                                                                           : put(at, 0xdb, size, 4);
}

unsigned char *orrb_put_table_head(unsigned char *at, size_t n, bool array) {
    if (n < 16) {
        *at = (unsigned char)((array ? 0x90 : 0x80) | n);
        return at + 1;
    }
    return n <= UINT16_MAX ? put(at, array ? 0xdc : 0xde, n, 2) : put(at, array ? 0xdd : 0xdf, n, 4);
}

unsigned char *orrb_put_ext_head(unsigned char *at, size_t size, int type) {
    at = size <= UINT8_MAX ? put(at, 0xc7, size, 1) : size <= UINT16_MAX ? put(at, 0xc8, size, 2)
                                                                         : put(at, 0xc9, size, 4);
    *at = (unsigned char)type;
    return at + 1;
}

/* -- Scalars ------------------------------------------------------------------------------------------------------- */
static int pack_bytes(lua_State *L, struct orrb_buffer *b, const void *text, size_t size) {
    int rc = size > UINT32_MAX ? ORR_EFULL : orrb_buffer_room(L, b, size + ORRB_HEAD_MAX);
    if (rc < 0) return rc;
    unsigned char *at = orrb_put_string_head(b->at + b->size, size);
    memcpy(at, text, size);
    b->size = (size_t)(at + size - b->at);
    return 0;
}

static int pack_string(lua_State *L, struct orrb_buffer *b) {
    size_t size;
    const char *text = lua_tolstring(L, -1, &size);
    return pack_bytes(L, b, text, size);
}

static int pack_number(lua_State *L, struct orrb_buffer *b) {
    int rc = orrb_buffer_room(L, b, ORRB_HEAD_MAX);
    if (rc < 0) return rc;
    unsigned char *at = b->at + b->size;
    at = lua_isinteger(L, -1) ? orrb_put_integer(at, lua_tointeger(L, -1)) : orrb_put_float(at, lua_tonumber(L, -1));
    b->size = (size_t)(at - b->at);
    return 0;
}

static int pack_byte(lua_State *L, struct orrb_buffer *b, unsigned byte) {
    int rc = orrb_buffer_room(L, b, 1);
    if (rc == 0) b->at[b->size++] = (unsigned char)byte;
    return rc;
}

static unsigned char *put_key(unsigned char *at, uint32_t kind, const struct orrb_key *key) {
    if (kind == ORRB_KEY_FLOAT) return orrb_put_float(at, orrb_key_float(key));
    if (kind != ORRB_KEY_BOOLEAN) return orrb_put_integer(at, orrb_key_integer(key));
    *at = key->rank ? 0xc3 : 0xc2;
    return at + 1;
}

int orrb_pack_key(lua_State *L, struct orrb_buffer *b, const struct orrb_key *key) {
    if (key->kind == ORRB_KEY_STRING) return pack_bytes(L, b, key->at, key->size);
    int rc = orrb_buffer_room(L, b, ORRB_HEAD_MAX);
    if (rc == 0) b->size = (size_t)(put_key(b->at + b->size, key->kind, key) - b->at);
    return rc;
}

/* -- Tables -------------------------------------------------------------------------------------------------------- */
/* What has been written as an array of n turns out to be the beginning of a table with other keys. */
static int record_sequence(lua_State *L, struct orrb_buffer *b, size_t body, size_t n) {
    struct orr_reader r = orri_reader(b->at + body, b->size - body);
    int rc = b->cap_records - b->n_records < n + 1 ? grow_records(L, b, n + 1) : 0;
    for (size_t i = 1; rc == 0 && i <= n; i++) {
        struct orrb_record *e = &b->records[b->n_records++];
        e->rank = orrb_key_of_integer((lua_Integer)i).rank;
        e->kind = ORRB_KEY_POSITIVE;
        e->key = e->value = (size_t)(r.at - b->at);
        orrb_token_skip(&r);
        e->end = (size_t)(r.at - b->at);
    }
    return rc;
}

/* The key at -2 and the value at the top. */
static int pack_entry(lua_State *L, struct orrb_buffer *b, int depth) {
    struct orrb_key key;
    size_t i = b->n_records;
    if (!orrb_key_at(L, -2, &key)) return ORR_EINVALID;
    int rc = b->n_records == b->cap_records ? grow_records(L, b, 1) : 0;
    if (rc < 0) return rc;
    b->n_records++;
    struct orrb_record *e = &b->records[i];
    *e = (struct orrb_record){ .rank = key.rank, .kind = key.kind, .key = b->size };
    if (key.kind == ORRB_KEY_STRING) {
        rc = pack_bytes(L, b, key.at, key.size);
        if (rc < 0) return rc;
        e->head = (uint32_t)(b->size - e->key - key.size);
    }
    e->value = b->size;
    rc = orrb_pack_top(L, b, depth);
    b->records[i].end = b->size;                            /* the records may have moved */
    return rc;
}

static bool comes_before(const struct orrb_buffer *b, const struct orrb_record *x, const struct orrb_record *y) {
    struct orrb_key kx = { x->rank, b->at + x->key + x->head, x->value - x->key - x->head, x->kind };
    struct orrb_key ky = { y->rank, b->at + y->key + y->head, y->value - y->key - y->head, y->kind };
    return orrb_key_compare(&kx, &ky) < 0;
}

static void insertion_sort(const struct orrb_buffer *b, struct orrb_record *e, size_t n) {
    for (size_t i = 1; i < n; i++) {
        struct orrb_record one = e[i];
        size_t k = i;
        for (; k > 0 && comes_before(b, &one, &e[k - 1]); k--) e[k] = e[k - 1];
        e[k] = one;
    }
}

/* Merges runs that are twice as long each time; `spare` has room for n. Returns which of the two holds the result. */
static struct orrb_record *merge_sort(const struct orrb_buffer *b, struct orrb_record *e, struct orrb_record *spare,
                                      size_t n) {
    enum { RUN = 16 };
    for (size_t i = 0; i < n; i += RUN) insertion_sort(b, e + i, n - i < RUN ? n - i : RUN);
    for (size_t run = RUN; run < n; run *= 2) {
        for (size_t i = 0; i < n; i += 2 * run) {
            size_t x = i, x_end = n - i < run ? n : i + run, y = x_end, y_end = n - x_end < run ? n : x_end + run;
            for (size_t k = i; k < y_end; k++)
                spare[k] = y == y_end || (x < x_end && !comes_before(b, &e[y], &e[x])) ? e[x++] : e[y++];
        }
        struct orrb_record *sorted = spare;
        spare = e;
        e = sorted;
    }
    return e;
}

/* Writes the table anew behind itself, in order, and moves it to where it begins. */
static int put_in_order(lua_State *L, struct orrb_buffer *b, size_t begin, size_t first) {
    size_t n = b->n_records - first;
    if (n > UINT32_MAX) return ORR_EFULL;
    int rc = b->cap_records - b->n_records < n ? grow_records(L, b, n) : 0;
    if (rc == 0) rc = orrb_buffer_room(L, b, b->size - begin + (n + 1) * ORRB_HEAD_MAX);
    if (rc < 0) return rc;
    struct orrb_record *e = merge_sort(b, b->records + first, b->records + b->n_records, n);
    bool array = e[n - 1].kind == ORRB_KEY_POSITIVE && e[n - 1].rank == orrb_key_of_integer((lua_Integer)n).rank;
    unsigned char *from = b->at + b->size, *at = orrb_put_table_head(from, n, array);
    for (size_t i = 0; i < n; i++) {
        struct orrb_key key = { .rank = e[i].rank };
        bool text = e[i].kind == ORRB_KEY_STRING;
        if (!text && !array) at = put_key(at, e[i].kind, &key);
        size_t copied = text ? e[i].key : e[i].value;
        memcpy(at, b->at + copied, e[i].end - copied);
        at += e[i].end - copied;
    }
    memmove(b->at + begin, from, (size_t)(at - from));
    b->size = begin + (size_t)(at - from);
    b->n_records = first;
    return 0;
}

static int pack_table(lua_State *L, struct orrb_buffer *b, int depth) {
    if (depth >= ORRB_TABLE_DEPTH || !lua_checkstack(L, 4) || lua_getmetatable(L, -1)) return ORR_EINVALID;
    size_t begin = b->size, first = b->n_records, expected = lua_rawlen(L, -1);
    lua_Integer n = 0;
    int rc = expected > UINT32_MAX ? ORR_EFULL : orrb_buffer_room(L, b, ORRB_HEAD_MAX);
    if (rc < 0) return rc;
    b->size = (size_t)(orrb_put_table_head(b->at + begin, expected, true) - b->at);
    size_t body = b->size;
    for (lua_pushnil(L); rc == 0 && lua_next(L, -2); lua_pop(L, 1)) {
        if (b->n_records == first && lua_isinteger(L, -2) && lua_tointeger(L, -2) == n + 1) {
            n++;
            rc = orrb_pack_top(L, b, depth + 1);
            continue;
        }
        if (b->n_records == first) rc = record_sequence(L, b, body, (size_t)n);
        if (rc == 0) rc = pack_entry(L, b, depth + 1);
        if (rc < 0) return rc;
    }
    if (rc < 0 || (b->n_records == first && (size_t)n == expected)) return rc;
    if (b->n_records == first) rc = record_sequence(L, b, body, (size_t)n);
    return rc < 0 ? rc : put_in_order(L, b, begin, first);
}

static int pack_map(lua_State *L, struct orrb_buffer *b, int depth) {
    struct orrb_map *m = b->flags & ORRB_VALUE_MAPS && depth < 2 ? orrb_map_at(L, -1) : NULL;
    return m ? orrb_map_pack(L, m, b) : ORR_EINVALID;
}

int orrb_pack_top(lua_State *L, struct orrb_buffer *b, int depth) {
    switch (lua_type(L, -1)) {
    case LUA_TNIL: return pack_byte(L, b, 0xc0);
    case LUA_TBOOLEAN: return pack_byte(L, b, lua_toboolean(L, -1) ? 0xc3 : 0xc2);
    case LUA_TNUMBER: return pack_number(L, b);
    case LUA_TSTRING: return pack_string(L, b);
    case LUA_TTABLE: return pack_table(L, b, depth);
    case LUA_TUSERDATA: return pack_map(L, b, depth);
    default: return ORR_EINVALID;
    }
}

/* -- Whole values -------------------------------------------------------------------------------------------------- */
static int pack_once(lua_State *L, int idx, struct orrb_buffer *b) {
    size_t begin = b->size;
    int top = lua_gettop(L);
    if (!lua_checkstack(L, 4)) return -ENOMEM;
    lua_pushvalue(L, idx);
    int rc = orrb_pack_top(L, b, 0);
    if (rc == 0 && b->size - begin > (b->max ? b->max : ORRB_PACKED_MAX)) rc = ORR_EFULL;
    if (rc < 0) b->size = begin;
    b->n_records = 0;
    lua_settop(L, top);
    return rc;
}

int orrb_value_try_pack(lua_State *L, int idx, struct orrb_buffer *b) {
    int rc = pack_once(L, idx, b);
    if (rc != -ENOMEM) return rc;
    lua_gc(L, LUA_GCCOLLECT, 0);                            /* nothing is under way here: finalizers may run */
    return pack_once(L, idx, b);
}

/* How much was packed until then is not known. */
enum { REFUSED_BYTES = 1 << 14 };

int orrb_value_refuse(lua_State *L, int idx, const struct orrb_buffer *b, int error, const char *what) {
    orrb_budget_charge_packed(L, REFUSED_BYTES);
    if (error == ORR_EINVALID) return orrb_why(L, idx, b->flags, what);
    if (error == ORR_EFULL)
        return luaL_error(L, "%s takes more than %I bytes", what, (lua_Integer)(b->max ? b->max : ORRB_PACKED_MAX));
    lua_pushliteral(L, "not enough memory");                /* Lua's own words, without a place as Lua's are */
    return lua_error(L);
}

int orrb_value_pack(lua_State *L, int idx, struct orrb_buffer *b, const char *what) {
    idx = lua_absindex(L, idx);
    int rc = orrb_value_try_pack(L, idx, b);
    return rc == 0 ? 0 : orrb_value_refuse(L, idx, b, rc, what);
}

int orrb_value_try_pack_args(lua_State *L, int first, int n, struct orrb_buffer *b, int *which) {
    size_t begin = b->size;
    *which = 0;
    if (n > ORRB_ARGUMENTS_MAX) return ORR_EOVERLOADED;
    int rc = orrb_buffer_room(L, b, ORRB_HEAD_MAX);
    if (rc < 0) return rc;
    b->size = (size_t)(orrb_put_table_head(b->at + b->size, (size_t)n, true) - b->at);
    for (int i = 0; i < n && rc == 0; i++) {
        *which = i + 1;
        rc = orrb_value_try_pack(L, first + i, b);
        if (rc == 0 && b->size - begin > (b->max ? b->max : ORRB_PACKED_MAX)) rc = ORR_EFULL;
    }
    if (rc < 0) b->size = begin;
    return rc;
}

int orrb_value_refuse_args(lua_State *L, int first, int which, const struct orrb_buffer *b, int error,
                           const char *what) {
    if (error == ORR_EOVERLOADED) return luaL_error(L, "%s: more than %d", what, ORRB_ARGUMENTS_MAX);
    return orrb_value_refuse(L, which ? first + which - 1 : 0, b, error, lua_pushfstring(L, "%s #%d", what, which));
}

int orrb_value_pack_args(lua_State *L, int first, int n, struct orrb_buffer *b) {
    int which;
    first = lua_absindex(L, first);
    int rc = orrb_value_try_pack_args(L, first, n, b, &which);
    return rc == 0 ? 0 : orrb_value_refuse_args(L, first, which, b, rc, "argument");
}

uint64_t orrb_value_hash(lua_State *L, int idx, struct orrb_buffer *b, const char *what) {
    size_t begin = b->size;
    (void)orrb_value_pack(L, idx, b, what);
    uint64_t hash = orri_hash64(b->at + begin, b->size - begin, 0);
    b->size = begin;
    return hash;
}
