/* orrb_ask.h - a node of this process is asked from outside its turns; the answer waits until Lua fetches it.
 *
 * What is asked is an object of Lua: :over() (is there an answer, or will there be none?) and :results() -> true, what
 * came, or false, why, code. Closed or collected, it is asked no more. */
#ifndef ORRB_ASK_H
#define ORRB_ASK_H

#include "orrb.h"

/* Who is asked, by whoever owns it: a fleet's member, a live node. */
struct orrb_door {
    struct orrb_node *const *node;  /* NULL there: down */
    const uint64_t *starts;         /* changes with each start: what was asked of another one has no answer any more */
    const char *id;
    struct orrb_buffer *out;        /* for packing what the node copies at once */
    void (*answered)(void *ud);     /* in the node's turn, when an answer is there; may be NULL */
    void *ud;                       /* lives as long as what is kept */
};

void orrb_ask_open(lua_State *L);
/* All take their arguments from `arg` on and push the object, or nil, message, code. keep: index of what owns the door.
 *
 * A call of `to` by the node: name, T in ns, what the message bears. */
int orrb_ask_call(lua_State *L, struct orrb_door door, orr_id to, int arg, int keep);
/* A proposal to a group, or a strong read: "propose" or "read", name of the group, T in ns, op or question. */
int orrb_ask_group(lua_State *L, struct orrb_door door, int arg, int keep);
/* What the replica here answers, at once: name of the group, question -> true, results; or false, why, code */
int orrb_ask_peek(lua_State *L, struct orrb_door door, int arg);
/* Why it is as it is: name of the group, n -> causes, the node's time now; or nil, message, code */
int orrb_ask_why(lua_State *L, struct orrb_door door, int arg);
/* cast: name, what the message bears -> true; or nil, message, code */
int orrb_ask_cast(lua_State *L, struct orrb_door door, orr_id to, int arg);

#endif
