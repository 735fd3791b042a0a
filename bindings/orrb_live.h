/* orrb_live.h - a live node as its bindings have it: its loop and what runs on it. orrb_live.c turns it on the thread
 * of the Lua that asked for it, orrb_thread.c on one of its own. */
#ifndef ORRB_LIVE_H
#define ORRB_LIVE_H

#include <orrery/loop.h>

#include "orrb.h"

struct orrb_live {
    struct orr_loop *loop;          /* NULL: closed */
    struct orrb_node *node;
};

/* Of the table at arg: plan, id, path, dir, signals = false, debug = false, level = "info". Strings are borrowed while
 * it holds them. */
void orrb_live_read(lua_State *L, int arg, struct orr_loop_config *config, struct orrb_script *script);
/* Boots the node and turns until the script's top level has run. < 0: nothing is open; `why` has a line or is empty. */
int orrb_live_open(struct orrb_live *v, const struct orr_loop_config *config, const struct orrb_script *script,
                   char *why, size_t why_size);
void orrb_live_close(struct orrb_live *v);          /* twice is once */
/* nil, why, code */
int orrb_live_refused(lua_State *L, int rc, const char *why);

/* What can be looked at, at once: look pushes its results onto L, which need not be the host's. text: the argument, or
 * NULL; n: another one, or 0. */
struct orrb_look {
    const char *name;
    int (*look)(lua_State *L, const struct orrb_live *v, const char *text, lua_Integer n);
};
extern const struct orrb_look orrb_looks[];         /* the last one has no name */

#endif
