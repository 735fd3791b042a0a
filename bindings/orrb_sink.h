/* orrb_sink.h - a machine's results as the bytes of a packed list of values, for whoever asked in Lua.
 *
 * A machine written in Lua tells one text, which is such a list already (`packed`). One written in C tells values: they
 * become a list of one; an error becomes nil, text, code. */
#ifndef ORRB_SINK_H
#define ORRB_SINK_H

#include <lua.h>

#include <orrery/machine.h>

#include "orrb.h"

struct orrb_sink {
    struct orr_sink sink;           /* first */
    struct orrb_buffer out;
    bool packed, failed;            /* failed: memory ran out */
    bool array;                     /* one was begun */
};
/* Empty, to be told to. */
struct orr_sink *orrb_sink_begin(struct orrb_sink *s, bool packed);
/* Pushes what it was told; returns how many values. May raise. */
int orrb_sink_push(lua_State *L, const struct orrb_sink *s);
void orrb_sink_clear(struct orrb_sink *s);

#endif
