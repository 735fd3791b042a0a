/* orrb_console.h - see orrb_console.c. */
#ifndef ORRB_CONSOLE_H
#define ORRB_CONSOLE_H

#include "orrb_script.h"

/* Leaves a table of functions on the stack. May raise. */
void orrb_console_open(lua_State *L, struct orrb_host *h);
/* Runs text in the node, between two of its turns. Pushes onto L true, results; or false, why, code: that many. */
int orrb_console_eval(lua_State *L, struct orrb_host *h, const char *at, size_t size);

#endif
