/* orrb_ask.c - a node is called from outside its turns, as by itself; the answer waits here until Lua fetches it.
 *
 * What completes does so in the node's turn, in plain C: the bytes are kept. A node that crashes tells nothing, so who
 * waits also looks whether it is still the same one.                                                                */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/host.h>

#include "orrb_fleet.h"

#define ASK "orrery.core.ask"

struct ask {
    struct orr_wait wait;
    struct orrb_member *member;     /* NULL: nothing is under way */
    uint64_t starts;                /* of the member, when it was asked */
    int status;
    unsigned char *bytes;
    size_t size;
};

static void answered(struct orr_wait *w) {
    struct ask *a = w->owner;
    a->member = NULL;
    a->status = w->status;
    a->bytes = w->result.size ? malloc(w->result.size) : NULL;
    if (a->bytes) {
        a->size = w->result.size;
        memcpy(a->bytes, w->result.at, a->size);
    } else if (w->result.size) {
        a->status = ORR_EUNKNOWN;   /* it can't be told */
    }
}

static bool alive(const struct ask *a) { return a->member->node && a->member->starts == a->starts; }

static int ask_close(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, ASK);
    if (a->member && alive(a)) orr_wait_cancel(&a->wait);
    free(a->bytes);
    a->member = NULL;
    a->bytes = NULL;
    a->size = 0;
    return 0;
}

/* ask:over(): is there an answer, or will there be none? */
static int ask_over(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, ASK);
    lua_pushboolean(L, !a->member || !alive(a));
    return 1;
}

/* ask:results() -> what the handler returned; or false, why, code: no answer. Then it is over. */
static int ask_results(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, ASK);
    int status = a->member ? ORR_EUNKNOWN : a->status;
    lua_settop(L, 1);
    if (status == 0) {
        lua_pushboolean(L, true);
        int n = orrb_value_unpack_args(L, a->bytes, a->size);
        if (n >= 0) return n + 1;
        status = ORR_ECORRUPT;
    }
    lua_pushboolean(L, false);
    if (status == ORR_EFAILED && a->size) lua_pushlstring(L, (const char *)a->bytes, a->size);
    else if (status == ORR_EINVALID) lua_pushliteral(L, "there is no such handler");
    else lua_pushstring(L, orr_strerror(status));
    lua_pushstring(L, orr_error_word(status));
    return 3;
}

static struct orr_slice text_arg(lua_State *L, int arg) {
    size_t size;
    const char *at = luaL_checklstring(L, arg, &size);
    return orr_borrow(at, size);
}

/* The arguments from `first`, packed: until the next time. */
static struct orr_slice packed(lua_State *L, struct orrb_fleet *fleet, int first) {
    fleet->out.size = 0;
    orrb_value_pack_args(L, first, lua_gettop(L) - first + 1, &fleet->out);
    return orr_borrow(fleet->out.at, fleet->out.size);
}

int orrb_ask(lua_State *L, struct orrb_fleet *fleet, struct orrb_member *m, int arg, int keep) {
    struct orr_slice name = text_arg(L, arg);
    orr_time within = luaL_checkinteger(L, arg + 1);
    struct orr_slice args = packed(L, fleet, arg + 2);
    struct ask *a = lua_newuserdatauv(L, sizeof *a, 1);
    *a = (struct ask){ .wait = { .done = answered } };
    a->wait.owner = a;
    luaL_setmetatable(L, ASK);
    lua_pushvalue(L, keep);
    lua_setiuservalue(L, -2, 1);
    if (!m->node) return orrb_fail(L, ORR_EUNAVAILABLE, m->script.id);
    struct orr_node *node = orrb_node_of(m->node);
    int rc = orr_node_call(node, &a->wait, orr_id_of(m->script.id), name, args, orr_node_now(node) + within);
    if (rc < 0) return orrb_fail(L, rc, m->script.id);
    a->member = m;
    a->starts = m->starts;
    return 1;
}

int orrb_cast(lua_State *L, struct orrb_fleet *fleet, struct orrb_member *m, int arg) {
    struct orr_slice name = text_arg(L, arg), args = packed(L, fleet, arg + 1);
    int rc = m->node ? orr_node_cast(orrb_node_of(m->node), orr_id_of(m->script.id), name, args) : ORR_EUNAVAILABLE;
    if (rc < 0) return orrb_fail(L, rc, m->script.id);
    lua_pushboolean(L, true);
    return 1;
}

void orrb_ask_open(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "over", ask_over }, { "results", ask_results }, { "close", ask_close }, { NULL, NULL },
    };
    luaL_newmetatable(L, ASK);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, ask_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, ask_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}
