/* orrb_ring.h - what core.ring and core.placement have in common. */
#ifndef ORRB_RING_H
#define ORRB_RING_H

#include <orrery/ring.h>

#include "orrb.h"

/* Of { { id =, weight =, zone = }, ... }; pushes a userdata that holds them, as long as the list holds their texts. */
struct orr_ring_node *orrb_read_ring_nodes(lua_State *L, int at, size_t n);
enum orr_ring_hash orrb_check_ring_hash(lua_State *L, int arg);
/* A string: numbers are none. */
const char *orrb_check_key(lua_State *L, int arg, size_t *size);
/* nil, and the place of the node that is wrong, or nil: 2 */
int orrb_placed_wrong(lua_State *L, size_t wrong, size_t n);
/* With the ids on top: an array of those found, in how many zones: 2 */
int orrb_push_owners(lua_State *L, const uint32_t *found, uint32_t n, uint32_t zones);

/* Pushes the module: a table whose `methods` are the class's, to which the Lua side adds its own. The methods' and the
 * size's upvalue is the metatable. */
struct orrb_placed_class {
    const char *name, *held;
    lua_CFunction collect, tostring, size;
    const luaL_Reg *methods;
};
void orrb_open_placed(lua_State *L, const struct orrb_placed_class *class);

#endif
