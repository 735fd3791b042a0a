/* orrb_check.c - core.check: histories, entry by entry or as lines, and their judgement; models written in Lua.
 *
 * A model's state is a Lua value; the search wants a number. So each state is packed, equal bytes have one number, and
 * a step unpacks the state, which it may so change in place. What a step gave once for a state and a call is kept. All
 * of it runs in protected mode: nothing is raised through the search. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <orrery/check.h>

#include "orrb.h"

#define HISTORY "orrery.history"

struct history {
    struct orr_history *h;
};

static struct orr_history *check_history(lua_State *L, int arg) {
    struct history *history = luaL_checkudata(L, arg, HISTORY);
    return history->h;
}

/* -- Values as JSON ------------------------------------------------------------------------------------------------ */
enum { DEPTH_MAX = 60 };

static void add_string(lua_State *L, luaL_Buffer *b, int idx) {
    size_t size;
    const char *text = lua_tolstring(L, idx, &size);
    luaL_addchar(b, '"');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        char escape[8];
        if (c >= 0x20 && c != '"' && c != '\\') {
            luaL_addchar(b, text[i]);
            continue;
        }
        snprintf(escape, sizeof escape, "\\u%04x", c);
        luaL_addstring(b, escape);
    }
    luaL_addchar(b, '"');
}

/* The length of a table as a list, whose holes are null; -1: it has other keys, or is all holes. */
static lua_Integer list_length(lua_State *L, int idx) {
    lua_Integer most = 0, count = 0;
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pop(L, 1);
        lua_Integer at = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
        if (at < 1) return lua_pop(L, 1), -1;
        if (at > most) most = at;
        count++;
    }
    return most > 2 * count + 8 ? -1 : most;
}

static int add_value(lua_State *L, luaL_Buffer *b, int idx, int depth);

/* The buffer may lie on the stack: what is added must be below it, or gone again. So tables are made text by piece. */
static void push_value_text(lua_State *L, int idx, int depth) {
    luaL_Buffer b;
    idx = lua_absindex(L, idx);
    luaL_buffinit(L, &b);
    add_value(L, &b, idx, depth);
    luaL_pushresult(&b);
}

static void add_list(lua_State *L, luaL_Buffer *b, int idx, lua_Integer n, int depth) {
    luaL_addchar(b, '[');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(b, ',');
        lua_geti(L, idx, i);
        push_value_text(L, -1, depth);
        lua_remove(L, -2);
        luaL_addvalue(b);
    }
    luaL_addchar(b, ']');
}

static void add_object(lua_State *L, luaL_Buffer *b, int idx, int depth) {
    bool first = true;
    luaL_addchar(b, '{');
    lua_newtable(L);                /* the pieces; the buffer stays below it */
    int pieces = lua_gettop(L);
    lua_pushnil(L);
    for (lua_Integer n = 1; lua_next(L, idx); n++) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "a table in a history must be a list, or have strings as keys (got a %s)",
                       luaL_typename(L, -2));
        push_value_text(L, -2, depth);
        lua_pushliteral(L, ":");
        push_value_text(L, -3, depth);
        lua_concat(L, 3);
        lua_seti(L, pieces, n);
        lua_pop(L, 1);
    }
    lua_Integer n = luaL_len(L, pieces);
    lua_pushliteral(L, "");
    for (lua_Integer i = 1; i <= n; i++, first = false) {
        if (!first) lua_pushliteral(L, ","), lua_concat(L, 2);
        lua_geti(L, pieces, i);
        lua_concat(L, 2);
    }
    lua_remove(L, pieces);
    luaL_addvalue(b);
    luaL_addchar(b, '}');
}

static int add_value(lua_State *L, luaL_Buffer *b, int idx, int depth) {
    char number[40];
    switch (lua_type(L, idx)) {
    case LUA_TNIL: luaL_addstring(b, "null"); return 0;
    case LUA_TBOOLEAN: luaL_addstring(b, lua_toboolean(L, idx) ? "true" : "false"); return 0;
    case LUA_TSTRING: add_string(L, b, idx); return 0;
    case LUA_TNUMBER: {
        lua_Number x = lua_tonumber(L, idx);
        if (lua_isinteger(L, idx)) snprintf(number, sizeof number, "%lld", (long long)lua_tointeger(L, idx));
        else if (x != x || x - x != 0) return luaL_error(L, "a history can't have %f", x);
        else snprintf(number, sizeof number, "%.17g", x);
        luaL_addstring(b, number);
        return 0;
    }
    case LUA_TTABLE: break;
    default: return luaL_error(L, "a history can't have a %s", luaL_typename(L, idx));
    }
    if (depth == DEPTH_MAX) return luaL_error(L, "a table in a history is nested too deep, or holds itself");
    luaL_checkstack(L, 20, "a history's value");
    lua_Integer n = list_length(L, idx);
    if (n >= 0) add_list(L, b, idx, n, depth + 1);
    else add_object(L, b, idx, depth + 1);
    return 0;
}

/* check.json(value) -> text */
static int check_json(lua_State *L) {
    luaL_checkany(L, 1);
    push_value_text(L, 1, 0);
    return 1;
}

/* The entry at idx as a line of JSON, pushed. */
static void push_line(lua_State *L, int idx) {
    static const char *const fields[] = { "process", "type", "f", "key", "value", "time", "order", "final" };
    luaL_Buffer b;
    bool first = true;
    luaL_buffinit(L, &b);
    luaL_addchar(&b, '{');
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (lua_getfield(L, idx, fields[i]) == LUA_TNIL) {
            lua_pop(L, 1);
            continue;
        }
        lua_Integer whole;          /* a time is whole nanoseconds */
        bool rounded = i == 5 && lua_type(L, -1) == LUA_TNUMBER && !lua_isinteger(L, -1);
        if (rounded && lua_numbertointeger(lua_tonumber(L, -1), &whole)) lua_pushinteger(L, whole), lua_replace(L, -2);
        push_value_text(L, -1, 0);
        lua_pushfstring(L, "%s\"%s\":", first ? "" : ",", fields[i]);
        lua_insert(L, -2);
        lua_concat(L, 2);
        lua_remove(L, -2);
        luaL_addvalue(&b);
        first = false;
    }
    luaL_addchar(&b, '}');
    luaL_pushresult(&b);
}

/* check.line(entry) -> text */
static int check_line(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    push_line(L, 1);
    return 1;
}

/* -- Histories ----------------------------------------------------------------------------------------------------- */
static int fail(lua_State *L, const struct orr_history *h, int rc) {
    const char *why = orr_history_error(h);
    lua_pushnil(L);
    lua_pushstring(L, rc == ORR_EINVALID && *why ? why : orr_strerror(rc));
    lua_pushstring(L, orr_error_word(rc));
    return 3;
}

/* check.new() -> history */
static int check_new(lua_State *L) {
    struct history *history = lua_newuserdatauv(L, sizeof *history, 0);
    history->h = NULL;
    luaL_setmetatable(L, HISTORY);
    int rc = orr_history_new(&history->h, NULL);
    return rc < 0 ? luaL_error(L, "not enough memory") : 1;
}

static int history_close(lua_State *L) {
    struct history *history = luaL_checkudata(L, 1, HISTORY);
    orr_history_free(history->h);
    history->h = NULL;
    return 0;
}

/* history:read(text) -> true, or nil, message, code */
static int history_read(lua_State *L) {
    size_t size;
    struct orr_history *h = check_history(L, 1);
    const char *text = luaL_checklstring(L, 2, &size);
    int rc = orr_history_read(h, text, size);
    return rc < 0 ? fail(L, h, rc) : (lua_pushboolean(L, true), 1);
}

/* history:add(entry) -> true, or nil, message, code */
static int history_add(lua_State *L) {
    size_t size;
    struct orr_history *h = check_history(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    push_line(L, 2);
    lua_pushliteral(L, "\n");
    lua_concat(L, 2);
    const char *text = lua_tolstring(L, -1, &size);
    int rc = orr_history_read(h, text, size);
    return rc < 0 ? fail(L, h, rc) : (lua_pushboolean(L, true), 1);
}

/* history:finish() -> count, or nil, message, code */
static int history_finish(lua_State *L) {
    struct orr_history *h = check_history(L, 1);
    int rc = orr_history_end(h);
    if (rc < 0) return fail(L, h, rc);
    lua_pushinteger(L, (lua_Integer)orr_history_count(h));
    return 1;
}

/* -- Models in Lua ------------------------------------------------------------------------------------------------- */
/* At these places of the stack while it is judged. */
enum { MODEL = 2, NUMBERS, STATES, CALLS, KNOWN, FAILURE, TOP = FAILURE };

struct own {
    lua_State *L;
    struct orrb_buffer buffer;
    lua_Integer n_states;
    /* arguments and results of the protected function */
    uint64_t state, next;
    const struct orr_step *op;
    char *out;
    size_t size;
    int taken;
};

static int push_json(lua_State *L, const char **at);


static void push_json_string(lua_State *L, const char **at) {
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (++*at; **at != '"'; ++*at) {
        if (**at != '\\') {
            luaL_addchar(&b, **at);
        } else if (*++*at == 'u') {                     /* the history writes control characters alone so */
            unsigned code = 0;
            sscanf(*at + 1, "%4x", &code);
            luaL_addchar(&b, (char)code);
            *at += 4;
        } else {
            luaL_addchar(&b, **at);
        }
    }
    ++*at;
    luaL_pushresult(&b);
}

/* What the history wrote: it is well formed. */
static int push_json(lua_State *L, const char **at) {
    luaL_checkstack(L, 6, "a history's value");
    bool list = **at == '[';
    switch (**at) {
    case '"': push_json_string(L, at); return 1;
    case 'n': *at += 4, lua_pushnil(L); return 1;
    case 't': *at += 4, lua_pushboolean(L, true); return 1;
    case 'f': *at += 5, lua_pushboolean(L, false); return 1;
    case '[':
    case '{': break;
    default: {
        char number[400];
        size_t size = strspn(*at, "+-0123456789.eE");
        snprintf(number, sizeof number, "%.*s", (int)size, *at);
        if (lua_stringtonumber(L, number) == 0) lua_pushnumber(L, 0);
        *at += size;
        return 1;
    }
    }
    lua_newtable(L);
    ++*at;
    for (lua_Integer i = 1; **at != ']' && **at != '}'; i++) {
        if (**at == ',') ++*at;
        if (list) lua_pushinteger(L, i);
        else push_json(L, at), ++*at;
        push_json(L, at);
        lua_settable(L, -3);
    }
    ++*at;
    return 1;
}

static void set_json(lua_State *L, const char *field, const char *text) {
    push_json(L, &text);
    lua_setfield(L, -2, field);
}

static void push_call(lua_State *L, const struct orr_step *op) {
    if (lua_geti(L, CALLS, (lua_Integer)op->operation + 1) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 6);
    lua_pushstring(L, op->f);
    lua_setfield(L, -2, "f");
    lua_pushinteger(L, op->process);
    lua_setfield(L, -2, "process");
    set_json(L, "key", op->key);
    set_json(L, "value", op->value);
    if (!op->unknown) set_json(L, "result", op->result);
    lua_pushboolean(L, op->unknown);
    lua_setfield(L, -2, "unknown");
    lua_pushvalue(L, -1);
    lua_seti(L, CALLS, (lua_Integer)op->operation + 1);
}

/* The number of the state on top, which it pops. */
static uint64_t number_of(lua_State *L, struct own *o) {
    o->buffer.size = 0;
    orrb_value_pack(L, -1, &o->buffer, "state");
    lua_pushlstring(L, (const char *)o->buffer.at, o->buffer.size);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, NUMBERS) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushinteger(L, o->n_states);
        lua_rawset(L, NUMBERS);
        lua_pushvalue(L, -1);
        lua_seti(L, STATES, o->n_states);
        lua_pushinteger(L, o->n_states++);
    }
    uint64_t number = (uint64_t)lua_tointeger(L, -1);
    lua_pop(L, 3);
    return number;
}

static void push_state(lua_State *L, uint64_t number) {
    size_t size;
    lua_geti(L, STATES, (lua_Integer)number);
    const char *bytes = lua_tolstring(L, -1, &size);
    if (orrb_value_unpack(L, bytes, size, 0) < 0) lua_pushnil(L);
    lua_remove(L, -2);
}

/* In protected mode, on the stack of the judgement. */
static int step_in_lua(lua_State *L, struct own *o) {
    int top = lua_gettop(L);
    lua_Integer name = (lua_Integer)(o->state * 0x100000000u + o->op->operation);
    if (lua_rawgeti(L, KNOWN, name) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_getfield(L, MODEL, "step");
        push_state(L, o->state);
        push_call(L, o->op);
        lua_call(L, 2, LUA_MULTRET);
        int results = lua_gettop(L) - top;
        lua_Integer known = -1;
        if (results > 0 && lua_toboolean(L, top + 1)) {
            lua_settop(L, results > 1 ? top + 2 : top + 1);
            known = results > 1 ? (lua_Integer)number_of(L, o) : (lua_Integer)o->state;
        }
        lua_settop(L, top);
        lua_pushinteger(L, known);
        lua_pushvalue(L, -1);
        lua_rawseti(L, KNOWN, name);
    }
    lua_Integer next = lua_tointeger(L, -1);
    lua_settop(L, top);
    o->taken = next >= 0;
    if (next >= 0) o->next = (uint64_t)next;
    return 0;
}

static int show_in_lua(lua_State *L, struct own *o) {
    lua_getfield(L, MODEL, "show");
    push_state(L, o->state);
    lua_call(L, 1, 1);
    snprintf(o->out, o->size, "%s", luaL_tolstring(L, -1, NULL));
    lua_pop(L, 2);
    return 0;
}

static int begin_in_lua(lua_State *L, struct own *o) {
    lua_getfield(L, MODEL, "init");
    number_of(L, o);                /* the first state: 0 */
    return 0;
}

/* MODEL.. FAILURE are the first of the stack here, too: they are passed along. */
static int protected_call(lua_State *L) {
    struct own *o = lua_touserdata(L, TOP + 1);
    lua_settop(L, TOP);
    if (o->out) return show_in_lua(L, o);
    return o->op ? step_in_lua(L, o) : begin_in_lua(L, o);
}

static int run(struct own *o) {
    lua_State *L = o->L;
    lua_pushcfunction(L, protected_call);
    for (int i = 1; i <= TOP; i++) lua_pushvalue(L, i);
    lua_pushlightuserdata(L, o);
    if (lua_pcall(L, TOP + 1, 0, 0) == LUA_OK) return 0;
    lua_replace(L, FAILURE);
    return ORR_EFAILED;
}

static int own_step(void *ud, uint64_t state, const struct orr_step *op, uint64_t *next) {
    struct own *o = ud;
    o->state = state;
    o->op = op;
    o->out = NULL;
    int rc = run(o);
    if (rc < 0) return rc;
    *next = o->next;
    return o->taken;
}

static int own_show(void *ud, uint64_t state, char *out, size_t size) {
    struct own *o = ud;
    o->state = state;
    o->out = out;
    o->size = size;
    return run(o);
}

static bool own_reads(void *ud, const char *f) {        /* raises nothing: the table and its keys are plain */
    struct own *o = ud;
    lua_State *L = o->L;
    bool reads = false;
    lua_getfield(L, MODEL, "reads");
    if (lua_type(L, -1) == LUA_TTABLE) {
        for (lua_Integer i = 1; !reads && lua_rawgeti(L, -1, i) != LUA_TNIL; i++, lua_pop(L, 1))
            reads = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), f) == 0;
    }
    lua_settop(L, TOP);
    return reads;
}

/* -- Judging ------------------------------------------------------------------------------------------------------- */
static bool flag(lua_State *L, const char *field) {
    lua_getfield(L, MODEL, field);
    bool set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return set;
}

static void push_report(lua_State *L, const struct orr_report *r) {
    static const char *const results[] = { "ok", "violated", "undecided" };
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = { { "operations", r->operations }, { "keys", r->keys },
                   { "reads", r->reads },           { "overlapping_reads", r->overlapping_reads },
                   { "steps", r->steps } };
    lua_createtable(L, 0, 12);
    orrb_set_text(L, "result", results[r->result]);
    orrb_set_text(L, "model", r->model);
    orrb_set_text(L, "property", r->property);
    orrb_set_text(L, "text", r->text);
    lua_pushboolean(L, r->witnessed);
    lua_setfield(L, -2, "witnessed");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        lua_pushinteger(L, (lua_Integer)counts[i].value);
        lua_setfield(L, -2, counts[i].name);
    }
    lua_createtable(L, (int)r->n_lines, 0);
    for (size_t i = 0; i < r->n_lines; i++) {
        lua_pushinteger(L, r->lines[i]);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "lines");
}

/* history:judge{ model, sequential, strict, search, budget; or init, step, show, reads, by_key } -> report;
 * or nil, message, code. Raises what a step raised. */
static int history_judge(lua_State *L) {
    struct orr_history *h = check_history(L, 1);
    luaL_checktype(L, MODEL, LUA_TTABLE);
    lua_settop(L, MODEL);
    for (int i = NUMBERS; i <= TOP; i++) lua_newtable(L);
    struct own own = { .L = L };
    struct orr_model model = { own_step, NULL, own_reads, &own, flag(L, "by_key") };
    if (flag(L, "show")) model.show = own_show;
    struct orr_judge judge = { .sequential = flag(L, "sequential"), .strict = flag(L, "strict"),
                               .search = flag(L, "search"),
                               .steps_max = (uint64_t)orrb_integer_field(L, MODEL, "budget", 0) };
    luaL_checkstack(L, 4 * TOP, "a judgement");
    int begun = 0;
    if (flag(L, "step")) {
        judge.own = &model;
        begun = run(&own);
    } else if (lua_getfield(L, MODEL, "model") == LUA_TSTRING) {
        judge.model = lua_tostring(L, -1);              /* the options hold it */
    }
    struct orr_report report;
    int rc = begun < 0 ? begun : orr_history_judge(h, &judge, &report);
    orrb_buffer_free(L, &own.buffer);
    if (rc == ORR_EFAILED) return lua_settop(L, FAILURE), lua_error(L);
    if (rc < 0) return fail(L, h, rc);
    push_report(L, &report);
    return 1;
}

/* check.models() -> names */
static int check_models(lua_State *L) {
    lua_newtable(L);
    for (size_t i = 0; orr_model_name(i); i++) {
        lua_pushstring(L, orr_model_name(i));
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

int orrb_open_check(lua_State *L) {
    static const luaL_Reg functions[] = {
        { "new", check_new }, { "models", check_models }, { "json", check_json }, { "line", check_line },
        { NULL, NULL }
    };
    static const luaL_Reg methods[] = {
        { "read", history_read },   { "add", history_add },     { "finish", history_finish },
        { "judge", history_judge }, { "close", history_close }, { NULL, NULL },
    };
    luaL_newmetatable(L, HISTORY);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, history_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, history_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
