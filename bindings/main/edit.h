/* edit.h - orrery.edit, which the program has and the module has not. */
#ifndef ORRB_EDIT_H
#define ORRB_EDIT_H

#include <lua.h>

/* Leaves the module's table. */
int orrb_open_edit(lua_State *L);

#endif
