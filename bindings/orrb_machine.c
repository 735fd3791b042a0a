/* orrb_machine.c - a replicated state machine written in Lua.
 *
 * Its state is a Lua value that only this file can reach: what enters (ops, questions) and what leaves (results) is
 * copied by being packed. What runs on it runs as a pure function (orrb_pure.c): within its budget, on a coroutine of
 * its own, always from the same depth, so that a stack that overflows does so at the same call on every replica.
 *
 * What apply raises is that op's result everywhere: nil, message, "failed". Memory that runs out is none: it depends on
 * the collector, so this replica stops.
 *
 * Digest.  A chain over the results of all ops, and now and then over the packed state: after as many ops as make its
 *          cost small beside theirs, counted from the beginning, so at the same op on every replica; and after a second
 *          without ops (log time), in an empty entry that the leader makes for it. So what differs is in the chain some
 *          ops later, or when the group has come to rest, and there for good. In the simulator a small state is in it
 *          after every op.
 *
 *          An orrery.map in it counts by its own digest, which costs nothing.
 *
 * Snapshot.  Packed whole when it is frozen (12 ns a byte of tables, 1 ns of maps):
 *
 *   byte  size  field (little-endian)
 *      0     7  "orrlua1"
 *      7     1  0: the state, packed; 1: parts that the spec's snapshot() gave
 *      8     8  the state's version
 *     16     8  chain
 *     24     8  ops applied
 *     32     8  the op after which the chain takes the state in
 *     40        the state, packed; or each part, packed, behind its size in 4 bytes */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orrb_machine.h"

enum { HEAD = 40, CHECK_FIRST = 16, BYTES_AN_OP = 16 };
static const char magic[7] = "orrlua1";
enum { IN_PARTS = 1 };
#define STALL (10 * ORR_MS)         /* of a turn: above it people are told */
#define REST ORR_SECOND             /* of log time without ops */

/* -- Calling Lua -------------------------------------------------------------------------------------------------- */
static void push_at(lua_State *L, const struct orr_at *at) {
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, (lua_Integer)at->index);
    lua_setfield(L, -2, "index");
    lua_pushinteger(L, (lua_Integer)at->term);
    lua_setfield(L, -2, "term");
    lua_pushnumber(L, (lua_Number)at->time / 1e9);
    lua_setfield(L, -2, "time");
}

/* The function for the op at the stack's top; false: there is none of its name. */
static bool choose(lua_State *L, int functions) {
    if (lua_rawgeti(L, LUA_REGISTRYINDEX, functions) == LUA_TFUNCTION) return true;
    if (!lua_istable(L, -1) || !lua_istable(L, -2)) return false;
    lua_rawgeti(L, -2, 1);
    if (lua_type(L, -1) != LUA_TSTRING || lua_rawget(L, -2) != LUA_TFUNCTION) return false;
    lua_replace(L, -2);
    return true;
}

static void pack_failure(lua_State *L, struct machine *m, const char *code) {
    lua_pushnil(L);
    lua_insert(L, -2);
    lua_pushstring(L, code);
    m->out.size = 0;
    orrb_value_pack_args(L, lua_gettop(L) - 2, 3, &m->out);
}

/* No function for the op at idx, or no op. */
static void pack_unknown(lua_State *L, const struct orrb_machine_call *c, int idx) {
    const char *group = c->m->spec->name;
    int kind = lua_istable(L, idx) ? lua_rawgeti(L, idx, 1) : LUA_TNONE;
    if (c->functions == LUA_NOREF) {
        lua_pushfstring(L, "%s: the group has no %s", group, c->what);
    } else if (kind != LUA_TSTRING) {
        lua_pushfstring(L, "%s: %s goes by a name, in [1] (got %s)", group, c->what,
                        kind <= LUA_TNIL ? "nothing" : lua_typename(L, kind));
    } else {
        lua_pushfstring(L, "%s: %s has no \"%s\"", group, c->what, lua_tostring(L, -1));
    }
    pack_failure(L, c->m, "invalid");
}

/* For people: the function at the top. */
static void name_place(lua_State *L, const char *what, char place[ORRB_PLACE_MAX]) {
    lua_Debug info;
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">S", &info);
    snprintf(place, ORRB_PLACE_MAX, "%s (%s:%d)", what, info.short_src, info.linedefined);
}

/* Protected. Leaves the packed results in m->out. */
static int run(lua_State *L) {
    struct orrb_machine_call *c = lua_touserdata(L, 1);
    struct machine *m = c->m;
    if (orrb_value_unpack(L, c->bytes.at, c->bytes.size, 0) < 0) lua_pushnil(L);
    int op = lua_gettop(L);
    if (!choose(L, c->functions)) {
        pack_unknown(L, c, op);
        return 0;
    }
    if (m->expose.looking) name_place(L, c->what, c->place);
    lua_insert(L, -2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->state);
    lua_insert(L, -2);
    push_at(L, c->at);
    int base = lua_gettop(L) - 4;
    orrb_call_in_text(L, 3);
    m->out.size = 0;
    orrb_value_pack_args(L, base + 1, lua_gettop(L) - base, &m->out);
    return 0;
}

/* Protected, with what was raised as the second argument. */
static int run_failed(lua_State *L) {
    const struct orrb_machine_call *c = lua_touserdata(L, 1);
    pack_failure(L, c->m, "failed");
    return 0;
}

int orrb_machine_perform(struct orrb_machine_call *c) {
    const struct orrb_machine_spec *spec = c->m->spec;
    lua_State *L = spec->L;
    int top = lua_gettop(L);
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, c);
    int rc = orrb_pure_call(L, 1, spec->steps_max, c->at->index);
    c->raised = rc != LUA_OK && rc != LUA_ERRMEM;
    if (c->raised) {
        lua_pushcfunction(L, run_failed);
        lua_insert(L, -2);
        lua_pushlightuserdata(L, c);
        lua_insert(L, -2);
        rc = lua_pcall(L, 2, 0, 0);
    }
    lua_settop(L, top);
    return rc == LUA_OK ? 0 : -ENOMEM;
}

/* -- The state ---------------------------------------------------------------------------------------------------- */
/* Protected: packs the state into m->packed. */
static int pack_state(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->state);
    m->packed.size = 0;
    orrb_value_pack(L, -1, &m->packed, "state");
    return 0;
}

/* Protected: the state becomes what init gives. */
static int init_state(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    if (m->spec->init == LUA_NOREF) {
        lua_newtable(L);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->spec->init);
        lua_call(L, 0, 1);
    }
    if (!lua_istable(L, -1)) return luaL_error(L, "init must return a table (got a %s)", luaL_typename(L, -1));
    lua_rawseti(L, LUA_REGISTRYINDEX, m->state);
    return pack_state(L);
}

int orrb_machine_protect(struct machine *m, lua_CFunction f, char *why, size_t why_size) {
    lua_State *L = m->spec->L;
    int top = lua_gettop(L);
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, m);
    int rc = orrb_pure_call(L, 1, m->spec->steps_max, 0);
    if (rc != LUA_OK && why && lua_isstring(L, -1)) snprintf(why, why_size, "%s", lua_tostring(L, -1));
    lua_settop(L, top);
    return rc == LUA_OK ? 0 : rc == LUA_ERRMEM ? -ENOMEM : ORR_EFAILED;
}

static int protect(struct machine *m, lua_CFunction f) { return orrb_machine_protect(m, f, NULL, 0); }

static void say(const struct machine *m, enum orr_level level, const char *what, const char *why) {
    struct orr_world *w = m->spec->host->tasks.world;
    char line[400];
    int n = snprintf(line, sizeof line, "group %s: %s: %s", m->spec->name, what, why);
    w->ops->log(w, level, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* Not as a pure function: packing runs nothing of a script's, and most states are smaller than that would cost. */
static int try_pack_state(struct machine *m) {
    lua_State *L = m->spec->L;
    int top = lua_gettop(L);
    if (!lua_checkstack(L, LUA_MINSTACK)) return -ENOMEM;
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->state);
    m->packed.size = 0;
    int rc = orrb_value_try_pack(L, -1, &m->packed);
    lua_settop(L, top);
    return rc;
}

static uint64_t check_after(const struct machine *m) {
    if (m->expose.simulated && m->packed.size <= ORRB_SMALL) return 1;
    return CHECK_FIRST + m->packed.size / BYTES_AN_OP;
}

static int chain_state(struct machine *m) {
    char why[300] = "";
    int rc = try_pack_state(m);
    if (rc < 0 && rc != -ENOMEM) {
        rc = orrb_machine_protect(m, pack_state, why, sizeof why);
        if (rc < 0) orrb_expose_unpacked(m, why);
        if (rc < 0) say(m, ORR_LOG_ERROR, "its state can't be packed", why);
    }
    if (rc < 0) return rc;
    m->chain = orri_hash64(m->packed.at, m->packed.size, m->chain);
    m->check_at = m->ops + check_after(m);
    m->unchecked_since = ORR_NEVER;
    return 0;
}

/* -- The table ---------------------------------------------------------------------------------------------------- */
static int machine_apply(void *x, const struct orr_at *at, struct orr_slice op, struct orr_sink *sink) {
    struct machine *m = x;
    struct orrb_machine_call c = { m, at, op, m->spec->apply, "apply", false, "" };
    if (m->failed) return m->failed;
    orrb_expose_before(m, false);
    int rc = orrb_machine_perform(&c);
    if (rc < 0) return rc;
    orrb_expose_applied(&c);
    m->chain = orri_hash64(m->out.at, m->out.size, orri_mix64(m->chain, at->index));
    m->ops++;
    m->unchecked_since = at->time;
    m->applied = true;
    if (sink) sink->ops->text(sink, m->out.at, m->out.size);
    return m->ops == m->check_at ? chain_state(m) : 0;
}

/* An entry without ops takes the state in, wherever it comes from: nothing but the log says when. */
static void machine_advance(void *x, const struct orr_at *at) {
    struct machine *m = x;
    (void)at;
    if (!m->applied) m->failed = chain_state(m);
    m->applied = false;
}

static int machine_query(void *x, const struct orr_at *at, struct orr_slice question, struct orr_sink *sink) {
    struct machine *m = x;
    struct orrb_machine_call c = { m, at, question, m->spec->query, "query", false, "" };
    orrb_expose_before(m, true);
    int rc = orrb_machine_perform(&c);
    if (rc == 0) orrb_expose_asked(m, c.place);
    if (rc == 0) sink->ops->text(sink, m->out.at, m->out.size);
    return rc;
}

static orr_time machine_wants(const void *x) {
    const struct machine *m = x;
    return m->unchecked_since == ORR_NEVER ? ORR_NEVER : m->unchecked_since + REST;
}

static uint64_t machine_digest(const void *x) { return ((const struct machine *)x)->chain; }

static void machine_stats(const void *x, struct orr_machine_stats *out) {
    const struct machine *m = x;
    *out = (struct orr_machine_stats){ .keys = 0, .bytes = m->packed.size };
}

static int add(struct orrb_buffer *b, const void *at, size_t size) {
    if (orrb_buffer_room(NULL, b, size) < 0) return -ENOMEM;
    if (size) memcpy(b->at + b->size, at, size);
    b->size += size;
    return 0;
}

static void machine_unfreeze(void *x) {
    struct machine *m = x;
    orrb_buffer_free(NULL, &m->image);
    m->given = 0;
    m->frozen = false;
}

/* Each part that snapshot(state) gives, as in `for part in snapshot(state)`, behind its size. */
static void pack_parts(lua_State *L, struct machine *m) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->spec->snapshot);
    lua_insert(L, -2);
    lua_call(L, 1, 3);
    for (;;) {
        lua_pushvalue(L, -3);
        lua_pushvalue(L, -3);
        lua_pushvalue(L, -3);
        lua_call(L, 2, 1);
        if (lua_isnil(L, -1)) return;
        size_t at = m->image.size;
        unsigned char size[4] = { 0 };
        if (add(&m->image, size, sizeof size) < 0) luaL_error(L, "not enough memory");
        orrb_value_pack(L, -1, &m->image, "a part of the snapshot");
        struct orr_writer w = orri_writer(m->image.at + at, sizeof size);
        orri_write_u32(&w, (uint32_t)(m->image.size - at - sizeof size));
        lua_replace(L, -2);
    }
}

/* Protected. */
static int pack_image(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    unsigned char head[HEAD] = { 0 };
    memcpy(head, magic, sizeof magic);
    head[sizeof magic] = m->spec->snapshot == LUA_NOREF ? 0 : IN_PARTS;
    struct orr_writer w = orri_writer(head + 8, HEAD - 8);
    orri_write_u64(&w, (uint64_t)m->spec->version);
    orri_write_u64(&w, m->chain);
    orri_write_u64(&w, m->ops);
    orri_write_u64(&w, m->check_at);
    m->image.size = 0;
    m->image.flags = ORRB_VALUE_MAPS;
    if (add(&m->image, head, HEAD) < 0) return luaL_error(L, "not enough memory");
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->state);
    if (m->spec->snapshot == LUA_NOREF) orrb_value_pack(L, -1, &m->image, "state");
    else pack_parts(L, m);
    return 0;
}

static int machine_freeze(void *x) {
    struct machine *m = x;
    if (m->frozen) return ORR_EBUSY;
    char why[300] = "";
    struct orr_world *w = m->spec->host->tasks.world;
    orr_time began = w->ops->fresh(w);
    int rc = orrb_machine_protect(m, pack_image, why, sizeof why);
    orr_time took = w->ops->fresh(w) - began;
    if (took > STALL) {
        snprintf(why, sizeof why, "%zu bytes of it were packed at once, and all else waited for %d ms: big states want "
                 "orrery.map", m->image.size, (int)(took / ORR_MS));
        say(m, ORR_LOG_WARN, "a snapshot of its state", why);
    }
    if (rc < 0) {
        say(m, ORR_LOG_ERROR, "its state can't be snapshotted", why);
        machine_unfreeze(m);
        return rc;
    }
    m->given = 0;
    m->frozen = true;
    return 0;
}

static int machine_next(void *x, size_t bytes, struct orr_slice *out) {
    struct machine *m = x;
    size_t left = m->image.size - m->given, size = left < bytes ? left : bytes;
    struct orr_chunk *c = m->chunks->get(m->chunks, size ? size : 1);
    if (!c) return -ENOMEM;
    memcpy(c->at, m->image.at + m->given, size);
    m->given += size;
    *out = (struct orr_slice){ c, c->at, size };
    return m->given < m->image.size;
}

static int machine_restore_begin(void *x) {
    machine_unfreeze(x);
    return 0;
}

static int machine_restore_part(void *x, const void *at, size_t size) {
    struct machine *m = x;
    return add(&m->image, at, size);
}

/* Upvalues: the machine, where the next part begins. */
static int next_part(lua_State *L) {
    struct machine *m = lua_touserdata(L, lua_upvalueindex(1));
    size_t at = (size_t)lua_tointeger(L, lua_upvalueindex(2)), left = m->image.size - at;
    if (left == 0) return 0;
    struct orr_reader r = orri_reader(m->image.at + at, left);
    size_t size = orri_read_u32(&r);
    if (r.failed || size > orri_left(&r) || orrb_value_unpack(L, r.at, size, ORRB_VALUE_MAPS) < 0)
        return luaL_error(L, "the snapshot can't be read");
    lua_pushinteger(L, (lua_Integer)(at + 4 + size));
    lua_replace(L, lua_upvalueindex(2));
    return 1;
}

static void push_imaged(lua_State *L, struct machine *m) {
    if (m->image.at[sizeof magic] != IN_PARTS) {
        if (orrb_value_unpack(L, m->image.at + HEAD, m->image.size - HEAD, ORRB_VALUE_MAPS) < 0) lua_pushnil(L);
    } else if (m->spec->restore != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->spec->restore);
        lua_pushlightuserdata(L, m);
        lua_pushinteger(L, HEAD);
        lua_pushcclosure(L, next_part, 2);
        lua_call(L, 1, 1);
    } else {
        lua_pushnil(L);
    }
    if (!lua_istable(L, -1)) luaL_error(L, "the snapshot can't be read");
}

/* Protected: the state becomes what the image says, raised to this version where it is an older one's. */
static int unpack_state(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    struct orr_reader r = orri_reader(m->image.at + 8, HEAD - 8);
    lua_Integer from = (lua_Integer)orri_read_u64(&r);
    push_imaged(L, m);
    if (from > m->spec->version) return luaL_error(L, "the snapshot is of version %I", (LUAI_UACINT)from);
    if (from < m->spec->version && m->spec->upgrade != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->spec->upgrade);
        lua_insert(L, -2);
        lua_pushinteger(L, from);
        lua_call(L, 2, 1);
        if (!lua_istable(L, -1)) return luaL_error(L, "upgrade must return a table (got a %s)", luaL_typename(L, -1));
    }
    lua_rawseti(L, LUA_REGISTRYINDEX, m->state);
    return pack_state(L);
}

static int machine_restore_end(void *x) {
    struct machine *m = x;
    if (m->image.size < HEAD || memcmp(m->image.at, magic, sizeof magic) != 0) return ORR_ECORRUPT;
    char why[300] = "";
    int rc = orrb_machine_protect(m, unpack_state, why, sizeof why);
    if (rc < 0) say(m, ORR_LOG_ERROR, "its state can't be restored", why);
    if (rc < 0) return rc == -ENOMEM ? rc : ORR_ECORRUPT;
    struct orr_reader r = orri_reader(m->image.at + 16, HEAD - 16);
    m->chain = orri_read_u64(&r);
    m->ops = orri_read_u64(&r);
    m->check_at = orri_read_u64(&r);
    m->unchecked_since = ORR_NEVER;
    m->applied = false;
    m->failed = 0;
    machine_unfreeze(m);
    return m->check_at > m->ops ? 0 : ORR_ECORRUPT;
}

static void drop(struct machine *m) {
    m->spec->machine = NULL;
    orrb_expose_clear(m);
    orrb_buffer_free(NULL, &m->out);
    orrb_buffer_free(NULL, &m->packed);
    orrb_buffer_free(NULL, &m->image);
    free(m);
}

static void machine_destroy(void *x) {
    struct machine *m = x;
    luaL_unref(m->spec->L, LUA_REGISTRYINDEX, m->state);
    drop(m);
}

/* Protected. */
static int make_place(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    lua_pushboolean(L, 0);
    m->state = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int machine_create(void **out, const struct orr_machine_config *cfg) {
    struct orrb_machine_spec *spec = cfg->ud;
    struct machine *m = malloc(sizeof *m);
    if (!m) return -ENOMEM;
    *m = (struct machine){
        .spec = spec,
        .chunks = cfg->chunks,
        .state = LUA_NOREF,
        .unchecked_since = ORR_NEVER,
        .out = { .alloc = &orr_alloc_libc },
        .packed = { .alloc = &orr_alloc_libc, .flags = ORRB_VALUE_MAPS | ORRB_VALUE_DIGESTS },
        .image = { .alloc = &orr_alloc_libc },
    };
    spec->machine = m;
    orrb_expose_init(m);
    int rc = protect(m, make_place);
    if (rc == 0) rc = protect(m, init_state);
    if (rc == 0) m->check_at = check_after(m);
    if (rc == 0) *out = m;
    else machine_destroy(m);
    return rc;
}

const struct orr_machine_ops orrb_lua_machine = {
    .name = "lua",
    .version = 1,
    .create = machine_create,
    .destroy = machine_destroy,
    .apply = machine_apply,
    .advance = machine_advance,
    .query = machine_query,
    .wants = machine_wants,
    .digest = machine_digest,
    .stats = machine_stats,
    .freeze = machine_freeze,
    .next = machine_next,
    .unfreeze = machine_unfreeze,
    .restore_begin = machine_restore_begin,
    .restore_part = machine_restore_part,
    .restore_end = machine_restore_end,
};

/* -- For scripts -------------------------------------------------------------------------------------------------- */
static int reference(lua_State *L, int idx, const char *field) {
    if (lua_getfield(L, idx, field) != LUA_TNIL) return luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
    return LUA_NOREF;
}

struct orrb_machine_spec *orrb_machine_declare(lua_State *L, struct orrb_host *h, int idx) {
    luaL_checktype(L, idx, LUA_TTABLE);
    struct orrb_machine_spec *spec = calloc(1, sizeof *spec);
    if (!spec) luaL_error(L, "not enough memory");
    spec->init = spec->apply = spec->query = spec->upgrade = spec->changed = LUA_NOREF;
    spec->snapshot = spec->restore = LUA_NOREF;
    spec->host = h;
    spec->L = h->tasks.L;
    spec->next = h->machines;
    h->machines = spec;
    spec->init = reference(L, idx, "init");
    spec->apply = reference(L, idx, "apply");
    spec->query = reference(L, idx, "query");
    spec->upgrade = reference(L, idx, "upgrade");
    spec->snapshot = reference(L, idx, "snapshot");
    spec->restore = reference(L, idx, "restore");
    spec->changed = reference(L, idx, "changed");
    snprintf(spec->name, sizeof spec->name, "%s", orrb_text_field(L, idx, "name", NULL));
    spec->version = orrb_integer_field(L, idx, "version", 1);
    spec->steps_max = orrb_integer_field(L, idx, "steps", 10000000);
    return spec;
}

void orrb_machines_clear(struct orrb_host *h) {
    for (struct orrb_machine_spec *spec; (spec = h->machines);) {
        h->machines = spec->next;
        if (spec->machine) drop(spec->machine);
        free(spec);
    }
}

/* Protected: the function, its arguments. */
static int ask(lua_State *L) {
    orrb_call_in_text(L, lua_gettop(L) - 1);
    return lua_gettop(L);
}

int orrb_machine_ask(lua_State *L, void *machine, const struct orr_at *at, int idx) {
    struct machine *m = machine;
    int top = lua_gettop(L);
    m->out.size = 0;
    if (idx == 0) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->state);
    } else {
        char place[ORRB_PLACE_MAX] = "";
        orrb_expose_before(m, true);
        lua_pushcfunction(L, ask);
        lua_pushvalue(L, idx);
        if (m->expose.looking) name_place(L, "the function", place);
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->state);
        push_at(L, at);
        int rc = orrb_pure_call(L, 3, m->spec->steps_max, at->index);
        orrb_expose_asked(m, place);
        if (rc != LUA_OK) {
            lua_pushnil(L);
            if (lua_type(L, -2) == LUA_TSTRING) lua_pushvalue(L, -2);
            else lua_pushliteral(L, "the error has no text");
            lua_pushliteral(L, "failed");
            return 3;
        }
    }
    orrb_value_pack_args(L, top + 1, lua_gettop(L) - top, &m->out);
    orrb_budget_charge_packed(L, 2 * m->out.size);
    int n = orrb_value_unpack_args(L, m->out.at, m->out.size);
    return n >= 0 ? n : luaL_error(L, "the results can't be read");
}
