/* orrb_ordered.c - core.ordered: pairs and next in an order that the keys alone define.
 *
 * Positive integers ascending, then the other integers ascending (so by k - 1, unsigned), floats, strings bytewise,
 * false, true. Lua's own order depends on addresses and on a seed that each process draws. A walk is over a snapshot of
 * the keys: what is added meanwhile isn't visited, what is removed meanwhile is skipped.
 *
 * A sequence needs no snapshot. That a table is one, and nothing else, can be seen at once only if it is known that it
 * has no hash part, which the API doesn't tell. So one word of it is read: `lastfree` of ltable.c is NULL exactly then.
 * Whether tables are laid out like this is tested when the module is loaded; if not, all walks take snapshots.
 *
 * next(t, k) goes on in the snapshot of the walk whose last key was k; without one it makes one of the keys that are
 * there now. Which of the two it is depends only on what the script did since its run began.                        */
#include <string.h>

#include "orrb_environment.h"

enum { LASTFREE_AT = 32 };          /* 5.4.0 to 5.4.7 on 64 bits */
enum { UNMERGED = 12 };              /* so few are sorted by insertion */
enum kind { INTEGERS, FLOATS, STRINGS, BOOLEANS, KINDS };

struct entry {
    uint64_t key;                   /* of a string: eight bytes after what all have in common, big-endian */
    const char *text;               /* kept by the keys' table */
    uint32_t size, index;           /* index: in the keys' table */
};

struct orrb_snapshot {
    uint32_t n, at;                 /* at: the next entry */
    uint32_t begins[KINDS + 1];
    size_t common;                  /* bytes with which all strings begin */
    struct entry entries[];
};

static bool no_hash_part(lua_State *L, int table) {
    const void *word;
    memcpy(&word, (const char *)lua_topointer(L, table) + LASTFREE_AT, sizeof word);
    return !word;
}

void orrb_ordered_test(lua_State *L, struct orrb_environment *e) {
    lua_newtable(L);
    bool as_supposed = sizeof(void *) == 8 && no_hash_part(L, -1);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "x");
    as_supposed = as_supposed && !no_hash_part(L, -1);
    lua_pop(L, 1);
    lua_createtable(L, 3, 0);
    for (int i = 1; i <= 3; i++) {
        lua_pushinteger(L, i);
        lua_rawseti(L, -2, i);
    }
    as_supposed = as_supposed && no_hash_part(L, -1);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "x");
    as_supposed = as_supposed && !no_hash_part(L, -1);
    lua_pop(L, 1);
    e->peeks = as_supposed;
}

/* -- Keys ---------------------------------------------------------------------------------------------------------- */
/* The kind of the key at that place, and its part of the order; raises where there is none. */
static enum kind key_of(lua_State *L, int at, struct entry *out) {
    size_t size;
    switch (lua_type(L, at)) {
    case LUA_TNUMBER:
        if (lua_isinteger(L, at)) {
            out->key = (uint64_t)lua_tointeger(L, at) - 1;
            return INTEGERS;
        }
        double number = lua_tonumber(L, at);
        memcpy(&out->key, &number, sizeof out->key);
        out->key = out->key >> 63 ? ~out->key : out->key | (uint64_t)1 << 63;
        return FLOATS;
    case LUA_TSTRING:
        out->text = lua_tolstring(L, at, &size);
        if (size > UINT32_MAX) luaL_error(L, "a key of more than 4 GiB has no order");
        out->size = (uint32_t)size;
        return STRINGS;
    case LUA_TBOOLEAN:
        out->key = (uint64_t)lua_toboolean(L, at);
        return BOOLEANS;
    default:
        luaL_error(L, "a key that is a %s has no order", luaL_typename(L, at));
        return KINDS;
    }
}

static int compare_texts(const struct entry *a, const struct entry *b) {
    int c = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return c ? c : a->size < b->size ? -1 : a->size > b->size;
}

static bool before(const struct entry *a, const struct entry *b) {
    if (a->key != b->key) return a->key < b->key;
    return a->text && compare_texts(a, b) < 0;
}

static uint64_t eight_bytes(const struct entry *entry, size_t from) {
    unsigned char bytes[8] = { 0 };
    uint64_t key = 0;
    size_t n = entry->size - from;
    memcpy(bytes, entry->text + from, n < 8 ? n : 8);
    for (int i = 0; i < 8; i++) key = key << 8 | bytes[i];
    return key;
}

static size_t common_bytes(const struct entry *strings, uint32_t n) {
    size_t common = n > 1 ? strings[0].size : 0;
    for (uint32_t i = 1; i < n && common > 0; i++) {
        if (strings[i].size < common) common = strings[i].size;
        if (memcmp(strings[0].text, strings[i].text, common) == 0) continue;
        for (common = 0; strings[0].text[common] == strings[i].text[common];) common++;
    }
    return common;
}

static void merge_sort(struct entry *a, uint32_t n, struct entry *scratch) {
    if (n <= UNMERGED) {
        for (uint32_t i = 1; i < n; i++) {
            struct entry one = a[i];
            uint32_t j = i;
            for (; j > 0 && before(&one, &a[j - 1]); j--) a[j] = a[j - 1];
            a[j] = one;
        }
        return;
    }
    uint32_t half = n / 2, i = 0, j = half, to = 0;
    merge_sort(a, half, scratch);
    merge_sort(a + half, n - half, scratch);
    if (!before(&a[half], &a[half - 1])) return;
    memcpy(scratch, a, half * sizeof *a);
    while (i < half && j < n) a[to++] = before(&a[j], &scratch[i]) ? a[j++] : scratch[i++];
    memcpy(a + to, scratch + i, (half - i) * sizeof *a);
}

/* -- Snapshots ----------------------------------------------------------------------------------------------------- */
/* How many keys of each kind: counts[KINDS] is all of them. */
static void count_keys(lua_State *L, int table, uint32_t *counts) {
    struct entry key;
    memset(counts, 0, (KINDS + 1) * sizeof *counts);
    for (lua_pushnil(L); lua_next(L, table);) {
        lua_pop(L, 1);
        counts[key_of(L, -1, &key)]++;
        if (++counts[KINDS] == UINT32_MAX) luaL_error(L, "too many keys");
    }
}

static void collect(lua_State *L, int table, int keys, struct orrb_snapshot *s) {
    uint32_t to[KINDS], index = 0;
    memcpy(to, s->begins, sizeof to);
    for (lua_pushnil(L); lua_next(L, table);) {
        struct entry entry = { .index = ++index };
        lua_pop(L, 1);
        s->entries[to[key_of(L, -1, &entry)]++] = entry;
        lua_pushvalue(L, -1);
        lua_rawseti(L, keys, index);
    }
}

static void sort(lua_State *L, struct orrb_snapshot *s) {
    struct entry *strings = s->entries + s->begins[STRINGS];
    uint32_t n_strings = s->begins[STRINGS + 1] - s->begins[STRINGS];
    s->common = common_bytes(strings, n_strings);
    for (uint32_t i = 0; i < n_strings; i++) strings[i].key = eight_bytes(&strings[i], s->common);
    struct entry *scratch = s->n <= UNMERGED ? NULL : lua_newuserdatauv(L, (s->n / 2 + 1) * sizeof *scratch, 0);
    for (int kind = 0; kind < KINDS; kind++)
        merge_sort(s->entries + s->begins[kind], s->begins[kind + 1] - s->begins[kind], scratch);
    if (scratch) lua_pop(L, 1);
}

struct orrb_snapshot *orrb_ordered_take(lua_State *L, struct orrb_environment *e, int table) {
    uint32_t counts[KINDS + 1];
    count_keys(L, table, counts);
    orrb_charge(L, e, counts[KINDS]);
    lua_createtable(L, counts[KINDS] > INT32_MAX ? INT32_MAX : (int)counts[KINDS], 0);
    struct orrb_snapshot *s = lua_newuserdatauv(L, sizeof *s + counts[KINDS] * sizeof s->entries[0], 0);
    s->n = counts[KINDS];
    s->at = s->begins[0] = 0;
    for (int kind = 0; kind < KINDS; kind++) s->begins[kind + 1] = s->begins[kind] + counts[kind];
    collect(L, table, lua_gettop(L) - 1, s);
    sort(L, s);
    return s;
}

/* Whether the key at that place is the one that was given out last. */
static bool is_last(lua_State *L, const struct orrb_snapshot *s, int keys, int key) {
    if (s->at == 0) return false;
    lua_rawgeti(L, keys, s->entries[s->at - 1].index);
    bool is = lua_rawequal(L, -1, key);
    lua_pop(L, 1);
    return is;
}

/* Puts `at` behind that key, be it there or not. */
static void seek(lua_State *L, struct orrb_snapshot *s, int key) {
    struct entry wanted = { 0 };
    enum kind kind = key_of(L, key, &wanted);
    uint32_t low = s->begins[kind], high = s->begins[kind + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct entry *entry = &s->entries[middle];
        bool after = kind == STRINGS ? compare_texts(&wanted, entry) < 0 : wanted.key < entry->key;
        if (after) high = middle;
        else low = middle + 1;
    }
    s->at = low;
}

int orrb_ordered_advance(lua_State *L, struct orrb_snapshot *s, int table, int keys) {
    while (s->at < s->n) {
        lua_rawgeti(L, keys, s->entries[s->at++].index);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, table) != LUA_TNIL) return 2;
        lua_pop(L, 2);
    }
    lua_pushnil(L);
    return 1;
}

/* -- pairs --------------------------------------------------------------------------------------------------------- */
/* The iterator over a snapshot. Upvalues: keys, snapshot. */
static int step(lua_State *L) {
    struct orrb_snapshot *s = lua_touserdata(L, lua_upvalueindex(2));
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) s->at = 0;
    else if (!is_last(L, s, lua_upvalueindex(1), 2)) seek(L, s, 2);
    return orrb_ordered_advance(L, s, 1, lua_upvalueindex(1));
}

/* The iterator over a sequence. Upvalues: the table, its length when the walk began. */
static int step_sequence(lua_State *L) {
    lua_Integer i = lua_tointegerx(L, 2, NULL), n = lua_tointegerx(L, lua_upvalueindex(2), NULL);
    while (i < n) {
        lua_pushinteger(L, ++i);
        if (lua_rawgeti(L, lua_upvalueindex(1), i) != LUA_TNIL) return 2;
        lua_pop(L, 2);
    }
    lua_pushnil(L);
    return 1;
}

/* Whether all that the table has is 1..n. Its border n is in the array then, and nothing comes behind it. */
static bool is_sequence(lua_State *L, const struct orrb_environment *e, int table, lua_Integer *n) {
    if (!e->peeks || !no_hash_part(L, table)) return false;
    *n = (lua_Integer)lua_rawlen(L, table);
    if (*n == 0) lua_pushnil(L);
    else lua_pushinteger(L, *n);
    if (!lua_next(L, table)) return true;
    lua_pop(L, 2);
    return false;
}

static int finish_pairs(lua_State *L, int status, lua_KContext context) {
    (void)L, (void)status, (void)context;
    return 3;
}

static int ordered_pairs(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    lua_Integer n;
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_callk(L, 1, 3, 0, finish_pairs);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    if (is_sequence(L, e, 1, &n)) {
        lua_pushvalue(L, 1);
        lua_pushinteger(L, n);
        lua_pushcclosure(L, step_sequence, 2);
    } else {
        orrb_ordered_take(L, e, 1);
        lua_pushcclosure(L, step, 2);
    }
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* -- next ---------------------------------------------------------------------------------------------------------- */
void orrb_ordered_forget(lua_State *L, struct orrb_environment *e) {
    if (!(e->kept & 1u << ORRB_WALKS)) return;      /* nothing was walked */
    memset(e->walks, 0, sizeof e->walks);
    e->walks_next = 0;
    orrb_environment_forget(L, e, ORRB_WALKS);
}

/* Pushes the least key and its value, or nil. Nothing is allocated: it is how one asks whether a table is empty. */
static int first(lua_State *L, struct orrb_environment *e) {
    int64_t visited = 0;
    lua_pushinteger(L, 1);
    if (lua_rawgeti(L, 1, 1) != LUA_TNIL) return 2;
    lua_settop(L, 1);
    lua_pushnil(L);                 /* 2: the least so far */
    struct entry least = { 0 };
    enum kind least_kind = KINDS;
    for (lua_pushnil(L); lua_next(L, 1);) {
        struct entry key = { 0 };
        lua_pop(L, 1);
        visited++;
        enum kind kind = key_of(L, -1, &key);
        bool less = kind != least_kind ? kind < least_kind
                    : kind == STRINGS  ? compare_texts(&key, &least) < 0 : key.key < least.key;
        if (!less) continue;
        least = key;
        least_kind = kind;
        lua_pushvalue(L, -1);
        lua_replace(L, 2);
    }
    orrb_charge(L, e, visited);
    if (lua_isnil(L, 2)) return 1;
    lua_pushvalue(L, 2);
    lua_rawget(L, 1);
    return 2;
}

/* The walk that gave out the key at 2 last, with its keys pushed above what is kept; or a new one from there. */
static struct orrb_walk *walk_from(lua_State *L, struct orrb_environment *e) {
    const void *table = lua_topointer(L, 1);
    orrb_environment_kept(L, ORRB_WALKS, NULL);
    int kept = lua_gettop(L);
    for (int i = 0; i < ORRB_WALKS_MAX; i++) {
        if (e->walks[i].table != table) continue;
        lua_rawgeti(L, kept, 3 * i + 2);
        if (is_last(L, e->walks[i].snapshot, kept + 1, 2)) return &e->walks[i];
        lua_settop(L, kept);
    }
    struct orrb_snapshot *s = orrb_ordered_take(L, e, 1);
    seek(L, s, 2);
    int to = (int)(e->walks_next++ % ORRB_WALKS_MAX);
    e->walks[to].table = NULL;      /* while what it pointed to goes */
    lua_rawseti(L, kept, 3 * to + 3);
    lua_pushvalue(L, -1);
    lua_rawseti(L, kept, 3 * to + 2);
    lua_pushvalue(L, 1);
    lua_rawseti(L, kept, 3 * to + 1);
    e->walks[to].table = table;
    e->walks[to].snapshot = s;
    return &e->walks[to];
}

static int ordered_next(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    lua_Integer n;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) return first(L, e);
    if (lua_isinteger(L, 2) && lua_tointeger(L, 2) > 0 && lua_tointeger(L, 2) < LUA_MAXINTEGER) {
        lua_Integer key = lua_tointeger(L, 2);
        lua_pushinteger(L, key + 1);
        if (lua_rawgeti(L, 1, key + 1) != LUA_TNIL) return 2;
        if (is_sequence(L, e, 1, &n) && key >= n) {
            lua_pushnil(L);
            return 1;
        }
        lua_settop(L, 2);
    }
    struct orrb_walk *walk = walk_from(L, e);
    return orrb_ordered_advance(L, walk->snapshot, 1, lua_gettop(L));
}

int orrb_open_ordered(lua_State *L) {
    static const luaL_Reg functions[] = { { "pairs", ordered_pairs }, { "next", ordered_next }, { NULL, NULL } };
    orrb_environment_functions(L, functions);
    return 1;
}
