/* orrb_raft_message.c - Raft's messages and entries as Lua tables, both ways, by one list of fields for each type.
 *
 * Names and fields are the paper's. What the paper doesn't have may be left out of a message that is made by hand, and
 * then means what the paper's would: an append wants a reply, a refusal without hints goes back by one. Log time is not
 * among the fields: a bare object has none. Whatever a table has beyond them is not looked at, so that scripts may put
 * marks on messages. Tables are read without metamethods: no script runs meanwhile.                                 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "orrb_raft.h"

enum kind { NUMBER, FLAG, BYTES, ENTRIES, VOTERS, LEARNERS };
/* NEEDED: in any message; REFUSED: said by refusals alone; EXTRA: not the paper's, said where its absence would mean
 * something else. */
enum { ALWAYS = 0, NEEDED = 1, REFUSED = 2, EXTRA = 4 };

struct field {
    const char *name;
    enum kind kind;
    unsigned flags;
    size_t at;
};
#define FIELD(name, kind, flags, member) { name, kind, flags, offsetof(struct orr_raft_msg, member) }
#define LAST(name, kind) { name, kind, ALWAYS, 0 }
#define END { NULL, NUMBER, 0, 0 }

static const struct field candidate[] = {
    FIELD("last_log_index", NUMBER, NEEDED, last_log_index), FIELD("last_log_term", NUMBER, NEEDED, last_log_term),
    FIELD("forced", FLAG, EXTRA, forced), END
};
static const struct field ballot[] = { FIELD("granted", FLAG, NEEDED, granted), END };
static const struct field append[] = {
    FIELD("prev_log_index", NUMBER, NEEDED, prev_log_index), FIELD("prev_log_term", NUMBER, NEEDED, prev_log_term),
    FIELD("entries", ENTRIES, NEEDED, entries), FIELD("leader_commit", NUMBER, NEEDED, leader_commit),
    FIELD("round", NUMBER, EXTRA, round), FIELD("want_reply", FLAG, EXTRA, want_reply), END
};
static const struct field append_reply[] = {
    FIELD("success", FLAG, NEEDED, success), FIELD("match_index", NUMBER, ALWAYS, match_index),
    FIELD("prev_log_index", NUMBER, EXTRA, prev_log_index), FIELD("hint_index", NUMBER, REFUSED, hint_index),
    FIELD("hint_term", NUMBER, REFUSED, hint_term), FIELD("round", NUMBER, EXTRA, round), END
};
static const struct field snapshot[] = {
    FIELD("last_index", NUMBER, NEEDED, snapshot.index), FIELD("last_term", NUMBER, NEEDED, snapshot.term),
    FIELD("offset", NUMBER, NEEDED, offset), FIELD("data", BYTES, NEEDED, data), FIELD("done", FLAG, NEEDED, done),
    FIELD("size", NUMBER, ALWAYS, snapshot.size), LAST("voters", VOTERS), LAST("learners", LEARNERS), END
};
static const struct field snapshot_reply[] = {
    FIELD("last_index", NUMBER, ALWAYS, snapshot.index), FIELD("last_term", NUMBER, ALWAYS, snapshot.term),
    FIELD("offset", NUMBER, ALWAYS, offset), FIELD("done", FLAG, ALWAYS, done), END
};
static const struct field read[] = { FIELD("tag", NUMBER, NEEDED, tag), END };
static const struct field read_reply[] = {
    FIELD("tag", NUMBER, NEEDED, tag), FIELD("read_index", NUMBER, NEEDED, read_index), END
};
static const struct field timeout_now[] = { END };

static const struct {
    const char *name;
    const struct field *fields;
} types[] = {
    [ORR_RAFT_PREVOTE] = { "prevote", candidate },
    [ORR_RAFT_PREVOTE_REPLY] = { "prevote_reply", ballot },
    [ORR_RAFT_VOTE] = { "vote", candidate },
    [ORR_RAFT_VOTE_REPLY] = { "vote_reply", ballot },
    [ORR_RAFT_APPEND] = { "append", append },
    [ORR_RAFT_APPEND_REPLY] = { "append_reply", append_reply },
    [ORR_RAFT_SNAPSHOT] = { "snapshot", snapshot },
    [ORR_RAFT_SNAPSHOT_REPLY] = { "snapshot_reply", snapshot_reply },
    [ORR_RAFT_READ] = { "read", read },
    [ORR_RAFT_READ_REPLY] = { "read_reply", read_reply },
    [ORR_RAFT_TIMEOUT_NOW] = { "timeout_now", timeout_now },
};
enum { N_TYPES = sizeof types / sizeof types[0] };

const char *orrb_raft_type(enum orr_raft_type type) { return types[type].name; }

/* -- As tables --------------------------------------------------------------------------------------------------- */
void orrb_raft_push_name(lua_State *L, const struct orrb_raft_names *names, orr_id id) {
    for (size_t i = 0; i < names->n; i++)
        if (names->at[i].id == id) {
            lua_pushstring(L, names->at[i].name);
            return;
        }
    lua_pushnil(L);
}

void orrb_raft_push_names(lua_State *L, const struct orrb_raft_names *names) {
    lua_createtable(L, (int)names->n, 0);
    for (size_t i = 0; i < names->n; i++) {
        lua_pushstring(L, names->at[i].name);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_kind(lua_State *L, uint32_t kind) {
    if (kind == ORR_ENTRY_NOOP) lua_pushliteral(L, "noop");
    else if (kind == ORR_ENTRY_DATA) lua_pushliteral(L, "data");
    else lua_pushfstring(L, "%d", (int)kind);
}

void orrb_raft_push_entry(lua_State *L, const struct orr_entry *e) {
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)e->index);
    lua_setfield(L, -2, "index");
    lua_pushinteger(L, (lua_Integer)e->term);
    lua_setfield(L, -2, "term");
    push_kind(L, e->kind);
    lua_setfield(L, -2, "kind");
    lua_pushlstring(L, e->data.size ? (const char *)e->data.at : "", e->data.size);
    lua_setfield(L, -2, "data");
}

static void push_entries(lua_State *L, const struct orr_entry *entries, size_t n) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        orrb_raft_push_entry(L, &entries[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_field(lua_State *L, const struct orrb_raft_names *names, const struct orr_raft_msg *m,
                       const struct field *f) {
    const char *at = (const char *)m + f->at;
    switch (f->kind) {
    case NUMBER: lua_pushinteger(L, (lua_Integer)*(const uint64_t *)at); break;
    case FLAG: lua_pushboolean(L, *(const bool *)at); break;
    case BYTES: lua_pushlstring(L, m->data.size ? (const char *)m->data.at : "", m->data.size); break;
    case ENTRIES: push_entries(L, m->entries, m->n_entries); break;
    case VOTERS: orrb_raft_push_names(L, names); break;
    case LEARNERS: lua_newtable(L); break;
    }
}

static bool goes_without_saying(const struct orr_raft_msg *m, const struct field *f) {
    const char *at = (const char *)m + f->at;
    if (f->flags & REFUSED) return m->success;
    if (!(f->flags & EXTRA)) return false;
    if (f->at == offsetof(struct orr_raft_msg, prev_log_index))
        return m->success && m->prev_log_index == m->match_index;
    if (f->kind == FLAG) return *(const bool *)at == (f->at == offsetof(struct orr_raft_msg, want_reply));
    return *(const uint64_t *)at == 0;
}

void orrb_raft_push_message(lua_State *L, const struct orrb_raft_names *names, const struct orr_raft_msg *m) {
    lua_newtable(L);
    lua_pushstring(L, types[m->type].name);
    lua_setfield(L, -2, "type");
    orrb_raft_push_name(L, names, m->from);
    lua_setfield(L, -2, "from");
    orrb_raft_push_name(L, names, m->to);
    lua_setfield(L, -2, "to");
    lua_pushinteger(L, (lua_Integer)m->term);
    lua_setfield(L, -2, "term");
    for (const struct field *f = types[m->type].fields; f->name; f++) {
        if (goes_without_saying(m, f)) continue;
        push_field(L, names, m, f);
        lua_setfield(L, -2, f->name);
    }
}

/* -- From tables: one value, at the top of the stack --------------------------------------------------------------- */
static const char *push_got(lua_State *L) {
    size_t size;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        lua_tolstring(L, -1, &size);
        return size > 60 ? lua_pushfstring(L, "a string of %d bytes", (int)(size < INT32_MAX ? size : INT32_MAX))
                         : lua_pushfstring(L, "\"%s\"", lua_tostring(L, -1));
    case LUA_TNUMBER: return luaL_tolstring(L, -1, NULL);
    case LUA_TBOOLEAN: return lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
    default: return lua_pushfstring(L, "a %s", luaL_typename(L, -1));
    }
}

/* `path` is at most what two names and an index need. */
static void complain(lua_State *L, const char *what, const char *path, const char *expected) {
    if (lua_isnil(L, -1)) luaL_error(L, "%s: '%s' is missing, must be %s", what, path, expected);
    luaL_error(L, "%s: '%s' must be %s (got %s)", what, path, expected, push_got(L));
}

/* Some 4.6 * 10^18, so that no sum of two overflows. */
static const lua_Integer most = (lua_Integer)1 << 62;

static uint64_t number(lua_State *L, const char *what, const char *path) {
    int whole = 0;
    lua_Integer n = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &whole) : 0;
    if (!whole || n < 0 || n > most) complain(L, what, path, "an integer from 0 to 2^62");
    return (uint64_t)n;
}

static bool flag(lua_State *L, const char *what, const char *path) {
    if (!lua_isboolean(L, -1)) complain(L, what, path, "true or false");
    return lua_toboolean(L, -1);
}

static struct orr_slice bytes(lua_State *L, const char *what, const char *path) {
    size_t size;
    if (lua_type(L, -1) != LUA_TSTRING) complain(L, what, path, "a string");
    const char *at = lua_tolstring(L, -1, &size);
    return orr_borrow(at, size);
}

static bool raw_field(lua_State *L, int table, const char *name) {     /* pushes it; false: nil */
    lua_pushstring(L, name);
    return lua_rawget(L, table) != LUA_TNIL;
}

/* -- Entries ----------------------------------------------------------------------------------------------------- */
static uint32_t kind_of(lua_State *L, const char *what, const char *path) {
    struct orr_slice word = bytes(L, what, path);
    const char *text = (const char *)word.at;
    if (strcmp(text, "data") == 0) return ORR_ENTRY_DATA;
    if (strcmp(text, "noop") != 0) complain(L, what, path, "\"data\" or \"noop\"");
    return ORR_ENTRY_NOOP;
}

void orrb_raft_read_entry(lua_State *L, int list, size_t i, orr_index index, const char *what, struct orr_entry *e) {
    char path[64];
    *e = (struct orr_entry){ .index = index, .kind = ORR_ENTRY_DATA };
    snprintf(path, sizeof path, "entries[%zu]", i);
    if (lua_rawgeti(L, list, (lua_Integer)i) != LUA_TTABLE) complain(L, what, path, "a table");
    int at = lua_gettop(L);
#define PATH(name) (snprintf(path, sizeof path, "entries[%zu]." name, i), path)
    if (raw_field(L, at, "index")) e->index = number(L, what, PATH("index"));
    raw_field(L, at, "term");
    e->term = number(L, what, PATH("term"));
    if (raw_field(L, at, "kind")) e->kind = kind_of(L, what, PATH("kind"));
    if (raw_field(L, at, "data")) e->data = bytes(L, what, PATH("data"));
#undef PATH
    lua_replace(L, at);
    lua_settop(L, at);
}

static void read_entries(lua_State *L, const char *what, struct orr_raft_msg *m) {
    int list = lua_gettop(L);
    if (!lua_istable(L, list)) complain(L, what, "entries", "an array of entries");
    size_t n = (size_t)lua_rawlen(L, list);
    if (n > ORR_RAFT_ENTRIES_MAX)
        luaL_error(L, "%s: 'entries' must have at most %d elements (got %I)", what, ORR_RAFT_ENTRIES_MAX,
                   (lua_Integer)n);
    struct orr_entry *entries = lua_newuserdatauv(L, (n + 1) * sizeof *entries, 0);
    luaL_checkstack(L, (int)n + 16, what);
    for (size_t i = 0; i < n; i++)
        orrb_raft_read_entry(L, list, i + 1, m->prev_log_index + 1 + i, what, &entries[i]);
    m->entries = entries;
    m->n_entries = n;
}

/* -- Members: all the same, as long as they can't change --------------------------------------------------------- */
static bool names_all(lua_State *L, int list, const struct orrb_raft_names *names) {
    uint64_t seen = 0;
    for (size_t i = 0; i < names->n; i++) {
        if (lua_rawgeti(L, list, (lua_Integer)i + 1) != LUA_TSTRING) return false;
        orr_id id = orr_id_of(lua_tostring(L, -1));
        for (size_t k = 0; k < names->n; k++)
            if (names->at[k].id == id) seen |= (uint64_t)1 << k;
        lua_pop(L, 1);
    }
    return seen == (names->n < 64 ? ((uint64_t)1 << names->n) - 1 : UINT64_MAX);
}

static void check_members(lua_State *L, const struct orrb_raft_names *names, const char *what, const struct field *f) {
    int list = lua_gettop(L);
    if (!lua_istable(L, list)) complain(L, what, f->name, "an array of ids");
    bool same = f->kind == LEARNERS ? lua_rawlen(L, list) == 0
                                    : lua_rawlen(L, list) == names->n && names_all(L, list, names);
    if (!same) luaL_error(L, "%s: '%s' must be this node's: changes of members are not available yet", what, f->name);
}

/* -- Messages ---------------------------------------------------------------------------------------------------- */
static enum orr_raft_type type_of(lua_State *L, const char *what) {
    struct orr_slice word = bytes(L, what, "type");
    for (unsigned i = 1; i < N_TYPES; i++)
        if (strcmp(types[i].name, (const char *)word.at) == 0) return (enum orr_raft_type)i;
    complain(L, what, "type", "a message's, such as \"append\" or \"vote_reply\"");
    return 0;
}

static void read_field(lua_State *L, const struct orrb_raft_names *names, const char *what, const struct field *f,
                       struct orr_raft_msg *m) {
    char *at = (char *)m + f->at;
    switch (f->kind) {
    case NUMBER: *(uint64_t *)at = number(L, what, f->name); break;
    case FLAG: *(bool *)at = flag(L, what, f->name); break;
    case BYTES: m->data = bytes(L, what, f->name); break;
    case ENTRIES: read_entries(L, what, m); break;
    case VOTERS:
    case LEARNERS: check_members(L, names, what, f); break;
    }
}

static void before(struct orr_raft_msg *m) {
    m->want_reply = m->type == ORR_RAFT_APPEND;
    if (m->type == ORR_RAFT_APPEND_REPLY) {
        m->match_index = m->prev_log_index = ORRB_RAFT_ABSENT;
        m->hint_index = m->hint_term = ORRB_RAFT_ABSENT;
    }
    if (m->type == ORR_RAFT_SNAPSHOT) m->snapshot.size = ORRB_RAFT_ABSENT;
}

static void after(lua_State *L, const char *what, struct orr_raft_msg *m) {
    if (m->type == ORR_RAFT_SNAPSHOT && m->snapshot.size == ORRB_RAFT_ABSENT)
        m->snapshot.size = m->done ? m->offset + m->data.size : (uint64_t)INT64_MAX;
    if (m->type != ORR_RAFT_APPEND_REPLY) return;
    if (m->success && m->match_index == ORRB_RAFT_ABSENT)
        luaL_error(L, "%s: 'match_index' is missing, which a success has", what);
    if (m->match_index == ORRB_RAFT_ABSENT) m->match_index = 0;
    if (m->success && m->prev_log_index == ORRB_RAFT_ABSENT) m->prev_log_index = m->match_index;
    if (m->hint_term == ORRB_RAFT_ABSENT) m->hint_term = m->term;      /* none is later: hint_index alone counts */
}

static orr_id read_name(lua_State *L, int table, const char *what, const char *field) {
    raw_field(L, table, field);
    bytes(L, what, field);
    return orr_id_of(lua_tostring(L, -1));
}

void orrb_raft_read_message(lua_State *L, int arg, const struct orrb_raft_names *names, const char *what,
                            struct orr_raft_msg *m) {
    if (!lua_istable(L, arg)) {
        lua_pushvalue(L, arg);
        luaL_error(L, "%s: a message must be a table (got %s)", what, lua_isnil(L, -1) ? "nothing" : push_got(L));
    }
    luaL_checkstack(L, 64, what);
    *m = (struct orr_raft_msg){ 0 };
    raw_field(L, arg, "type");
    m->type = type_of(L, what);
    m->from = read_name(L, arg, what, "from");
    m->to = read_name(L, arg, what, "to");
    raw_field(L, arg, "term");
    m->term = number(L, what, "term");
    before(m);
    for (const struct field *f = types[m->type].fields; f->name; f++)
        if (raw_field(L, arg, f->name) || (f->flags & NEEDED)) read_field(L, names, what, f, m);
    after(L, what, m);
}
