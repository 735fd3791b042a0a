/* value_fuzz.c - any bytes as a packed value and as an argument list, in a Lua state with little memory.
 * What is read packs again, to bytes that are read and packed to the very same. */
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "../../bindings/orrb.h"

enum { MEMORY = 8 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size);

static size_t used;

/* Of orrb_core.c, orrb_budget.c and orrb_environment.c, which would bring every other binding along: here are neither
 * budgets nor an environment. */
void orrb_budget_charge_packed(lua_State *L, size_t bytes) { (void)L, (void)bytes; }
struct orrb_environment *orrb_environment_of(lua_State *L);
struct orrb_environment *orrb_environment_of(lua_State *L) { (void)L; return NULL; }
int orrb_fail(lua_State *L, int error, const char *what) { return luaL_error(L, "%s: %s", what, orr_strerror(error)); }

static void *limited(void *ud, void *at, size_t old_size, size_t new_size) {
    (void)ud;
    if (!at) old_size = 0;
    if (new_size > old_size && used + (new_size - old_size) > MEMORY) return NULL;
    void *got = new_size ? realloc(at, new_size) : NULL;
    if (new_size == 0) free(at);
    if (got || new_size == 0) used += new_size - old_size;
    return got;
}

static int round_trip(lua_State *L) {
    struct orrb_buffer *b = lua_touserdata(L, 1), *again = b + 1;
    const char *bytes = lua_touserdata(L, 2);
    size_t size = (size_t)lua_tointeger(L, 3);
    int n = orrb_value_unpack_args(L, bytes, size);
    if (n >= 0) (void)orrb_value_pack_args(L, 4, n, again);
    lua_settop(L, 3);
    again->size = 0;
    if (orrb_value_unpack(L, bytes, size, ORRB_VALUE_MAPS) < 0) return 0;
    (void)orrb_value_pack(L, 4, b, "value");
    if (orrb_value_unpack(L, b->at, b->size, ORRB_VALUE_MAPS) < 0) abort();
    (void)orrb_value_pack(L, 5, again, "value");
    if (b->size != again->size || memcmp(b->at, again->at, b->size) != 0) abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size) {
    struct orrb_buffer b[2] = { { .flags = ORRB_VALUE_MAPS }, { .flags = ORRB_VALUE_MAPS } };
    lua_State *L = lua_newstate(limited, NULL);
    if (!L) abort();
    lua_pushcfunction(L, round_trip);
    lua_pushlightuserdata(L, b);
    lua_pushlightuserdata(L, (void *)(uintptr_t)at);
    lua_pushinteger(L, (lua_Integer)size);
    if (lua_pcall(L, 3, 0, 0) != LUA_OK && !strstr(lua_tostring(L, -1), "not enough memory")) abort();
    for (int i = 0; i < 2; i++) orrb_buffer_free(L, &b[i]);
    lua_close(L);
    if (used != 0) abort();
    return 0;
}
