/* orrb_listen.h - listeners that a script answers: commands in Redis's protocol, and plain connections. */
#ifndef ORRB_LISTEN_H
#define ORRB_LISTEN_H

#include "orrb_script.h"

/* Leaves a table of functions on the stack. May raise. */
void orrb_listen_open(lua_State *L, struct orrb_host *h);
/* Of scripts that are staged: a listener that they don't declare, or NULL; they take over; they don't. */
const char *orrb_listen_missing(const struct orrb_host *h);
void orrb_listen_commit(struct orrb_host *h);
void orrb_listen_abandon(struct orrb_host *h);
/* The node's memory is gone, and every connection with it: before the Lua state is closed. */
void orrb_listen_crashed(struct orrb_host *h);
/* Gives back what is C's, once the state is closed. */
void orrb_listen_clear(struct orrb_host *h);

#endif
