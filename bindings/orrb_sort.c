/* orrb_sort.c - core.sort: table.sort as a stable merge sort; the rest of `table` with its steps counted.
 *
 * Lua's own takes pivots from clock and time when its partitions are bad, and where it leaves equal elements depends on
 * them. Here a table's values are copied, their places sorted, and the values written back: a comparison that raises
 * leaves the table as it was, and one that contradicts itself gives some order, the same everywhere.                */
#include <limits.h>
#include <string.h>

#include "orrb_environment.h"

struct sorting {
    lua_State *L;
    struct orrb_environment *e;
    uint32_t *scratch;
    int values;                     /* where the copies are */
    bool asks;                      /* a function, at 2; otherwise < */
};

static bool before(const struct sorting *s, uint32_t a, uint32_t b) {
    lua_State *L = s->L;
    bool is;
    if (s->asks) lua_pushvalue(L, 2);
    lua_rawgeti(L, s->values, a);
    lua_rawgeti(L, s->values, b);
    if (s->asks) {
        lua_call(L, 2, 1);
        is = lua_toboolean(L, -1);
        lua_pop(L, 1);
    } else {
        is = lua_compare(L, -2, -1, LUA_OPLT);
        lua_pop(L, 2);
    }
    return is;
}

static void merge_sort(const struct sorting *s, uint32_t *a, uint32_t n) {
    if (n <= 6) {
        for (uint32_t i = 1; i < n; i++) {
            uint32_t one = a[i], j = i;
            for (; j > 0 && before(s, one, a[j - 1]); j--) a[j] = a[j - 1];
            a[j] = one;
        }
        return;
    }
    uint32_t half = n / 2, i = 0, j = half, to = 0;
    merge_sort(s, a, half);
    merge_sort(s, a + half, n - half);
    orrb_charge(s->L, s->e, n);
    if (!before(s, a[half], a[half - 1])) return;
    memcpy(s->scratch, a, half * sizeof *a);
    while (i < half && j < n) a[to++] = before(s, a[j], s->scratch[i]) ? a[j++] : s->scratch[i++];
    memcpy(a + to, s->scratch + i, (half - i) * sizeof *a);
}

/* As Lua's own: a table, or what can be indexed, assigned to and measured. */
static void check_table(lua_State *L, int arg, const char *const *fields) {
    if (lua_istable(L, arg)) return;
    for (; *fields; fields++) {
        if (luaL_getmetafield(L, arg, *fields) == LUA_TNIL) luaL_checktype(L, arg, LUA_TTABLE);
        lua_pop(L, 1);
    }
}

static const char *const read_write[] = { "__index", "__newindex", "__len", NULL };

static int sort_sort(lua_State *L) {
    check_table(L, 1, read_write);
    lua_Integer n = luaL_len(L, 1);
    if (n <= 1) return 0;
    luaL_argcheck(L, n < INT_MAX, 1, "array too big");
    if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    struct sorting s = { .L = L, .e = orrb_self(L), .values = 3, .asks = !lua_isnil(L, 2) };
    orrb_charge(L, s.e, n);
    lua_createtable(L, (int)n, 0);
    uint32_t *places = lua_newuserdatauv(L, (size_t)(n + n / 2) * sizeof *places, 0);
    s.scratch = places + n;
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, 1, i);
        lua_rawseti(L, s.values, i);
        places[i - 1] = (uint32_t)i;
    }
    merge_sort(&s, places, (uint32_t)n);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, s.values, places[i - 1]);
        lua_seti(L, 1, i);
    }
    return 0;
}

/* -- Lua's own do the work; upvalue 2 ------------------------------------------------------------------------------ */
/* Elements from first to last; what is no range costs nothing, since Lua refuses it or does nothing. */
static void charge_range(lua_State *L, lua_Integer first, lua_Integer last) {
    if (first > last) return;
    uint64_t n = (uint64_t)last - (uint64_t)first + 1;
    orrb_charge(L, orrb_self(L), n == 0 || n > INT64_MAX ? INT64_MAX : (int64_t)n);
}

static lua_Integer integer_or(lua_State *L, int arg, lua_Integer otherwise) {
    int is;
    lua_Integer i = lua_tointegerx(L, arg, &is);
    return is ? i : otherwise;
}

static lua_Integer length_or_0(lua_State *L) { return lua_istable(L, 1) ? luaL_len(L, 1) : 0; }

/* insert(t, [at,] v), remove(t [, at]): what lies behind `at` moves. As Lua's own, but these would ask for the length
 * again: a __len may then say more than was paid for. */
static int sort_insert(lua_State *L) {
    check_table(L, 1, read_write);
    lua_Integer end = (lua_Integer)((lua_Unsigned)luaL_len(L, 1) + 1), at = end;
    if (lua_gettop(L) == 3) {
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, (lua_Unsigned)at - 1 < (lua_Unsigned)end, 2, "position out of bounds");
        charge_range(L, at, end);
        for (lua_Integer i = end; i > at; i--) {
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
        }
    } else if (lua_gettop(L) != 2) {
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, at);
    return 0;
}

static int sort_remove(lua_State *L) {
    check_table(L, 1, read_write);
    lua_Integer n = luaL_len(L, 1), at = luaL_optinteger(L, 2, n);
    if (at != n) luaL_argcheck(L, (lua_Unsigned)at - 1 <= (lua_Unsigned)n, 2, "position out of bounds");
    charge_range(L, at, n);
    lua_geti(L, 1, at);
    for (; at < n; at++) {
        lua_geti(L, 1, at + 1);
        lua_seti(L, 1, at);
    }
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

static int sort_move(lua_State *L) {
    charge_range(L, integer_or(L, 2, 1), integer_or(L, 3, 0));
    return orrb_stock_call(L);
}

static int sort_concat(lua_State *L) {
    struct orrb_environment *e = orrb_self(L);
    charge_range(L, integer_or(L, 3, 1), integer_or(L, 4, length_or_0(L)));
    int n = orrb_stock_call(L);
    orrb_charge_bytes(L, e, lua_rawlen(L, -1));
    return n;
}

static int sort_unpack(lua_State *L) {
    lua_Integer first = integer_or(L, 2, 1), last = integer_or(L, 3, length_or_0(L));
    if (first <= last && (uint64_t)last - (uint64_t)first < 1000000) charge_range(L, first, last);
    return orrb_stock_call(L);
}

int orrb_open_sort(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "sort", sort_sort }, { "insert", sort_insert }, { "remove", sort_remove }, { NULL, NULL },
    };
    static const luaL_Reg counted[] = {
        { "move", sort_move },
        { "concat", sort_concat }, { "unpack", sort_unpack }, { NULL, NULL },
    };
    orrb_environment_functions(L, functions);
    for (const luaL_Reg *f = counted; f->name; f++) {
        orrb_environment_push(L);
        orrb_environment_stock(L, "table", f->name);
        lua_pushcclosure(L, f->func, 2);
        lua_setfield(L, -2, f->name);
    }
    return 1;
}
