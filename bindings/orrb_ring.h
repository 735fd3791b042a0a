/* orrb_ring.h - what core.ring and core.placement read alike. */
#ifndef ORRB_RING_H
#define ORRB_RING_H

#include <orrery/ring.h>

#include "orrb.h"

/* Of { { id =, weight =, zone = }, ... }; pushes a userdata that holds them, as long as the list holds their texts. */
struct orr_ring_node *orrb_read_ring_nodes(lua_State *L, int at, size_t n);
enum orr_ring_hash orrb_check_ring_hash(lua_State *L, int arg);
/* A string: numbers are none. */
const char *orrb_check_key(lua_State *L, int arg, size_t *size);

#endif
