/* orrb_hash.c - core.hash: XXH3 of a string. */
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "orrb.h"

/* hash.text(s): 128 bits as 32 hexadecimal digits. */
static int hash_text(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    struct orr_hash128 h = orri_hash128(text, size, 0);
    char hex[33];
    snprintf(hex, sizeof hex, "%016" PRIx64 "%016" PRIx64, h.high, h.low);
    lua_pushstring(L, hex);
    return 1;
}

/* hash.word(s): 64 bits as an integer. */
static int hash_word(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    orrb_budget_charge_packed(L, size / 8);
    lua_pushinteger(L, (lua_Integer)orri_hash64(text, size, 0));
    return 1;
}

int orrb_open_hash(lua_State *L) {
    static const luaL_Reg functions[] = { { "text", hash_text }, { "word", hash_word }, { NULL, NULL } };
    luaL_newlib(L, functions);
    return 1;
}
