/* orrb_ask.c - see orrb_ask.h. A node that crashes tells nothing, so who waits also looks whether it is still the same
 * one. */
#include "orrb_ask.h"

#include <stddef.h>

#include <orrery/host.h>

#include "orrb_question.h"

#define ASK "orrery.core.ask"

struct ask {
    struct orrb_question question;
    struct orrb_door door;
    uint64_t starts;                /* of the node, when it was asked */
};

static bool alive(const struct ask *a) { return *a->door.node && *a->door.starts == a->starts; }

static int ask_close(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, ASK);
    if (a->question.under_way && alive(a)) orr_wait_cancel(&a->question.wait);
    a->question.under_way = false;
    orrb_question_clear(&a->question);
    return 0;
}

/* ask:over(): is there an answer, or will there be none? */
static int ask_over(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, ASK);
    lua_pushboolean(L, !a->question.under_way || !alive(a));
    return 1;
}

/* ask:results() -> true, what came; or false, why, code: no answer. Then it is over. */
static int ask_results(lua_State *L) {
    struct ask *a = luaL_checkudata(L, 1, ASK);
    lua_settop(L, 1);
    return orrb_question_results(L, &a->question);
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

/* The value at arg, packed: until the next time. */
static struct orr_slice packed_value(lua_State *L, struct orrb_buffer *out, int arg, const char *what) {
    out->size = 0;
    orrb_value_pack(L, arg, out, what);
    return orr_borrow(out->at, out->size);
}

static void tell(struct orrb_question *q) {
    struct ask *a = (struct ask *)(void *)((char *)q - offsetof(struct ask, question));
    a->door.answered(a->door.ud);
}

/* An object that asks nothing yet, on the stack. */
static struct ask *new_ask(lua_State *L, struct orrb_door door, int keep) {
    struct ask *a = lua_newuserdatauv(L, sizeof *a, 1);
    *a = (struct ask){ .door = door, .starts = *door.starts };
    if (door.answered) a->question.over = tell;
    luaL_setmetatable(L, ASK);
    lua_pushvalue(L, keep);
    lua_setiuservalue(L, -2, 1);
    return a;
}

static int asked(lua_State *L, const struct ask *a, int rc) { return rc < 0 ? orrb_fail(L, rc, a->door.id) : 1; }

int orrb_ask_call(lua_State *L, struct orrb_door door, orr_id to, int arg, int keep) {
    struct orr_slice name = text_arg(L, arg);
    orr_time within = luaL_checkinteger(L, arg + 1);
    struct orr_slice args = packed(L, door.out, arg + 2);
    struct ask *a = new_ask(L, door, keep);
    if (!*door.node) return asked(L, a, ORR_EUNAVAILABLE);
    struct orr_node *node = orrb_node_of(*door.node);
    return asked(L, a, orrb_question_call(&a->question, node, to, name, args, orr_node_now(node) + within));
}

int orrb_ask_cast(lua_State *L, struct orrb_door door, orr_id to, int arg) {
    struct orr_slice name = text_arg(L, arg), args = packed(L, door.out, arg + 1);
    int rc = *door.node ? orr_node_cast(orrb_node_of(*door.node), to, name, args) : ORR_EUNAVAILABLE;
    if (rc < 0) return orrb_fail(L, rc, door.id);
    lua_pushboolean(L, true);
    return 1;
}

/* -- Groups ------------------------------------------------------------------------------------------------------- */
int orrb_ask_group(lua_State *L, struct orrb_door door, int arg, int keep) {
    enum orrb_verb verb = (enum orrb_verb)luaL_checkoption(L, arg, NULL, orrb_verbs);
    const char *name = luaL_checkstring(L, arg + 1);
    orr_time within = luaL_checkinteger(L, arg + 2);
    struct orr_slice value = packed_value(L, door.out, arg + 3, verb == ORRB_READ ? "question" : "op");
    struct ask *a = new_ask(L, door, keep);
    if (!*door.node) return asked(L, a, ORR_EUNAVAILABLE);
    orr_time until = orr_node_now(orrb_node_of(*door.node)) + within;
    return asked(L, a, orrb_question_group(&a->question, *door.node, verb, name, value, until));
}

int orrb_ask_peek(lua_State *L, struct orrb_door door, int arg) {
    const char *name = luaL_checkstring(L, arg);
    struct orr_slice value = packed_value(L, door.out, arg + 1, "question");
    struct ask *a = new_ask(L, door, arg);          /* for its sink */
    if (!*door.node) return orrb_question_failure(L, ORR_EUNAVAILABLE);
    orrb_question_peek(&a->question, *door.node, name, value);
    return orrb_question_results(L, &a->question);
}

int orrb_ask_why(lua_State *L, struct orrb_door door, int arg) {
    const char *name = luaL_checkstring(L, arg);
    if (!*door.node) return orrb_fail(L, ORR_EUNAVAILABLE, door.id);
    return orrb_push_why(L, *door.node, name, luaL_checkinteger(L, arg + 1));
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
