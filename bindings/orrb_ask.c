/* orrb_ask.c - see orrb_ask.h.
 *
 * What completes does so in the node's turn, in plain C: the bytes are kept. A node that crashes tells nothing, so who
 * waits also looks whether it is still the same one.                                                                */
#include "orrb_ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/host.h>

#include "orrb_sink.h"

#define ASK "orrery.core.ask"

struct ask {
    struct orr_wait wait;
    struct orrb_door door;
    bool under_way;
    uint64_t starts;                /* of the node, when it was asked */
    int status;
    unsigned char *bytes;           /* of a call */
    size_t size;
    struct orrb_sink sink;          /* of a group */
    bool index;                     /* the answer is where in the log */
};

static void answered(struct orr_wait *w) {
    struct ask *a = w->owner;
    a->under_way = false;
    a->status = w->status;
    a->bytes = w->result.size ? malloc(w->result.size) : NULL;
    if (a->bytes) {
        a->size = w->result.size;
        memcpy(a->bytes, w->result.at, a->size);
    } else if (w->result.size) {
        a->status = ORR_EUNKNOWN;   /* it can't be told */
    }
}

static bool alive(const struct ask *a) { return *a->door.node && *a->door.starts == a->starts; }

static int ask_close(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, ASK);
    if (a->under_way && alive(a)) orr_wait_cancel(&a->wait);
    free(a->bytes);
    orrb_sink_clear(&a->sink);
    a->under_way = false;
    a->bytes = NULL;
    a->size = 0;
    return 0;
}

/* ask:over(): is there an answer, or will there be none? */
static int ask_over(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, ASK);
    lua_pushboolean(L, !a->under_way || !alive(a));
    return 1;
}

/* false, why, code */
static int push_failure(lua_State *L, int status, const char *text, size_t size) {
    lua_pushboolean(L, false);
    if (status == ORR_EFAILED && size) lua_pushlstring(L, text, size);
    else lua_pushstring(L, orr_strerror(status));
    lua_pushstring(L, orr_error_word(status));
    return 3;
}

/* true, the values of this list; or false, why, code */
static int push_list(lua_State *L, const void *at, size_t size) {
    lua_pushboolean(L, true);
    int n = orrb_value_unpack_args(L, at, size);
    return n >= 0 ? n + 1 : push_failure(L, ORR_ECORRUPT, NULL, 0);
}

static int push_told(lua_State *L, const struct orrb_sink *sink) {
    if (sink->failed) return push_failure(L, -ENOMEM, NULL, 0);
    return push_list(L, sink->out.at, sink->out.size);
}

/* ask:results() -> true, what came; or false, why, code: no answer. Then it is over. */
static int ask_results(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, ASK);
    int status = a->under_way ? ORR_EUNKNOWN : a->status;
    lua_settop(L, 1);
    if (status == 0 && a->index) {
        lua_pushboolean(L, true);
        lua_pushinteger(L, (lua_Integer)a->wait.at.index);
        return 2;
    }
    if (status == 0) return a->wait.sink ? push_told(L, &a->sink) : push_list(L, a->bytes, a->size);
    if (status == ORR_EINVALID && !a->wait.sink && !a->index) {
        lua_pushboolean(L, false);
        lua_pushliteral(L, "there is no such handler");
        lua_pushstring(L, orr_error_word(status));
        return 3;
    }
    return push_failure(L, status, (const char *)a->bytes, a->size);
}

static struct orr_slice text_arg(lua_State *L, int arg) {
    size_t size;
    const char *at = luaL_checklstring(L, arg, &size);
    return orr_borrow(at, size);
}

/* The arguments from `first`, packed: until the next time. */
static struct orr_slice packed(lua_State *L, struct orrb_buffer *out, int first) {
    out->size = 0;
    orrb_value_pack_args(L, first, lua_gettop(L) - first + 1, out);
    return orr_borrow(out->at, out->size);
}

/* An object that asks nothing yet, on the stack. */
static struct ask *new_ask(lua_State *L, struct orrb_door door, int keep) {
    struct ask *a = lua_newuserdatauv(L, sizeof *a, 1);
    *a = (struct ask){ .wait = { .done = answered }, .door = door, .starts = *door.starts };
    a->wait.owner = a;
    luaL_setmetatable(L, ASK);
    lua_pushvalue(L, keep);
    lua_setiuservalue(L, -2, 1);
    return a;
}

static int asked(lua_State *L, struct ask *a, int rc) {
    if (rc < 0) return orrb_fail(L, rc, a->door.id);
    a->under_way = true;
    return 1;
}

int orrb_ask_call(lua_State *L, struct orrb_door door, orr_id to, int arg, int keep) {
    struct orr_slice name = text_arg(L, arg);
    orr_time within = luaL_checkinteger(L, arg + 1);
    struct orr_slice args = packed(L, door.out, arg + 2);
    struct ask *a = new_ask(L, door, keep);
    if (!*door.node) return asked(L, a, ORR_EUNAVAILABLE);
    struct orr_node *node = orrb_node_of(*door.node);
    return asked(L, a, orr_node_call(node, &a->wait, to, name, args, orr_node_now(node) + within));
}

int orrb_ask_cast(lua_State *L, struct orrb_door door, orr_id to, int arg) {
    struct orr_slice name = text_arg(L, arg), args = packed(L, door.out, arg + 1);
    int rc = *door.node ? orr_node_cast(orrb_node_of(*door.node), to, name, args) : ORR_EUNAVAILABLE;
    if (rc < 0) return orrb_fail(L, rc, door.id);
    lua_pushboolean(L, true);
    return 1;
}

/* -- Groups ------------------------------------------------------------------------------------------------------- */
/* ORR_EINVALID: no such group, or its machine is none of Lua's: what that is asked is no value of Lua. */
static int find_group(struct orrb_door door, const char *name, struct orr_group **out) {
    if (!*door.node) return ORR_EUNAVAILABLE;
    *out = orr_node_group(orrb_node_of(*door.node), name);
    return *out && orrb_node_in_lua(*door.node, *out) ? 0 : ORR_EINVALID;
}

enum verb { PROPOSE, READ, SNAPSHOT };

static int submit(struct ask *a, enum verb verb, struct orr_group *g, orr_time within, struct orr_slice bytes) {
    struct orr_node *node = orrb_node_of(*a->door.node);
    struct orr_chunks *chunks = orr_node_world(node)->chunks;
    orr_time until = orr_node_now(node) + within;
    a->index = verb == SNAPSHOT;
    if (verb == SNAPSHOT) return orr_group_snapshot(g, &a->wait);
    a->wait.sink = orrb_sink_begin(&a->sink, true);
    if (verb == PROPOSE) return orr_group_propose(g, &a->wait, bytes, until);
    struct orr_chunk *c = chunks->get(chunks, bytes.size);
    if (!c) return -ENOMEM;
    memcpy(c->at, bytes.at, bytes.size);
    struct orr_slice question = { c, c->at, bytes.size };
    int rc = orr_group_read(g, &a->wait, question, until);
    orr_drop(question);
    return rc;
}

int orrb_ask_group(lua_State *L, struct orrb_door door, int arg, int keep) {
    static const char *const verbs[] = { "propose", "read", "snapshot", NULL };
    enum verb verb = (enum verb)luaL_checkoption(L, arg, NULL, verbs);
    const char *name = luaL_checkstring(L, arg + 1);
    orr_time within = luaL_checkinteger(L, arg + 2);
    struct orr_group *g = NULL;
    door.out->size = 0;
    orrb_value_pack(L, arg + 3, door.out, verb == READ ? "question" : "op");
    struct ask *a = new_ask(L, door, keep);
    int rc = find_group(door, name, &g);
    if (verb == SNAPSHOT && g) rc = 0;          /* whatever its machine */
    if (rc == 0) rc = submit(a, verb, g, within, orr_borrow(door.out->at, door.out->size));
    return asked(L, a, rc);
}

int orrb_ask_peek(lua_State *L, struct orrb_door door, int arg) {
    struct orr_group *g = NULL;
    const char *name = luaL_checkstring(L, arg);
    door.out->size = 0;
    orrb_value_pack(L, arg + 1, door.out, "question");
    struct ask *a = new_ask(L, door, arg);          /* for its sink */
    int rc = find_group(door, name, &g);
    struct orr_slice question = orr_borrow(door.out->at, door.out->size);
    if (rc == 0) rc = orr_group_query(g, NULL, question, orrb_sink_begin(&a->sink, true));
    return rc < 0 ? push_failure(L, rc, NULL, 0) : push_told(L, &a->sink);
}

int orrb_ask_why(lua_State *L, struct orrb_door door, int arg) {
    struct orr_group *g = NULL;
    struct orr_order_status s;
    (void)find_group(door, luaL_checkstring(L, arg), &g);
    if (!g || !orr_group_status(g, &s)) return orrb_fail(L, ORR_EUNAVAILABLE, door.id);
    orrb_push_causes(L, orrb_node_of(*door.node), g, luaL_checkinteger(L, arg + 1));
    return 2;
}

void orrb_ask_open(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "over", ask_over }, { "results", ask_results }, { "close", ask_close }, { NULL, NULL },
    };
    if (!luaL_newmetatable(L, ASK)) {               /* both worlds use it */
        lua_pop(L, 1);
        return;
    }
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, ask_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, ask_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}
