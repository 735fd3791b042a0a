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
 * Code.     Which functions run is said by the log: orrb_code.c.
 *
 * Snapshot.  Packed whole when it is frozen (12 ns a byte of tables, 1 ns of maps):
 *
 *   byte  size  field (little-endian)
 *      0     7  "orrlua2"
 *      7     1  0: the state, packed; 1: parts that the spec's snapshot() gave
 *      8     8  the state's version
 *     16     8  chain
 *     24     8  ops applied
 *     32     8  the op after which the chain takes the state in
 *     40    16  hash of the bundle whose code runs; zero: the log has not named one yet
 *     56     4  size of that bundle's text
 *     60        the text
 *               the state, packed; or each part, packed, behind its size in 4 bytes
 *
 * In "orrlua1" the state begins at 40: no code was named. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orrb_feed.h"
#include "orrb_machine.h"

enum { HEAD = 60, HEAD_1 = 40, CHECK_FIRST = 16, BYTES_AN_OP = 16 };
static const char magic[7] = "orrlua2", magic_1[7] = "orrlua1";
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
    lua_State *L = c->m->spec->L;
    int top = lua_gettop(L);
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, c);
    int rc = orrb_pure_call(L, 1, c->m->code->steps_max, c->at->index);
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

int orrb_machine_init_state(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    if (m->next_code->init == LUA_NOREF) {
        lua_newtable(L);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->next_code->init);
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
    const struct orrb_code *code = m->next_code ? m->next_code : m->code;
    int rc = orrb_pure_call(L, 1, code->steps_max, 0);
    if (rc != LUA_OK && why && lua_isstring(L, -1)) snprintf(why, why_size, "%s", lua_tostring(L, -1));
    lua_settop(L, top);
    return rc == LUA_OK ? 0 : rc == LUA_ERRMEM ? -ENOMEM : ORR_EFAILED;
}

static int protect(struct machine *m, lua_CFunction f) { return orrb_machine_protect(m, f, NULL, 0); }

void orrb_machine_say(const struct machine *m, enum orr_level level, const char *format, ...) {
    struct orr_world *w = m->spec->host->tasks.world;
    char line[500];
    va_list args;
    int head = snprintf(line, sizeof line, "group %s: ", m->spec->name);
    va_start(args, format);
    int n = head + vsnprintf(line + head, sizeof line - (size_t)head, format, args);
    va_end(args);
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

int orrb_machine_chain_state(struct machine *m) {
    char why[300] = "";
    int rc = try_pack_state(m);
    if (rc < 0 && rc != -ENOMEM) {
        rc = orrb_machine_protect(m, pack_state, why, sizeof why);
        if (rc < 0) orrb_expose_unpacked(m, why);
        if (rc < 0) orrb_machine_say(m, ORR_LOG_ERROR, "its state can't be packed: %s", why);
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
    struct orrb_machine_call c = { m, at, op, m->code->apply, "apply", false, "" };
    bool code = orrb_code_is(op);
    if (m->failed) return m->failed;
    if (!code) orrb_expose_before(m, false);
    int rc = code ? orrb_code_apply(m, at, op) : orrb_machine_perform(&c);
    if (rc < 0) return rc;
    if (!code) orrb_expose_applied(&c);
    m->chain = orri_hash64(m->out.at, m->out.size, orri_mix64(m->chain, at->index));
    m->ops++;
    if (m->feed && !code) orrb_feed_applied(m->feed, at, op, orr_borrow(m->out.at, m->out.size));
    m->unchecked_since = at->time;
    m->applied = true;
    if (sink) sink->ops->text(sink, m->out.at, m->out.size);
    return m->ops == m->check_at ? orrb_machine_chain_state(m) : 0;
}

/* An entry without ops takes the state in, wherever it comes from: nothing but the log says when. */
static void machine_advance(void *x, const struct orr_at *at) {
    struct machine *m = x;
    (void)at;
    if (!m->applied) m->failed = orrb_machine_chain_state(m);
    m->applied = false;
}

static int machine_query(void *x, const struct orr_at *at, struct orr_slice question, struct orr_sink *sink) {
    struct machine *m = x;
    struct orrb_machine_call c = { m, at, question, m->code->query, "query", false, "" };
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
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->code->snapshot);
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
    const struct orrb_buffer *record = &m->record;
    memcpy(head, magic, sizeof magic);
    head[sizeof magic] = m->code->snapshot == LUA_NOREF ? 0 : IN_PARTS;
    struct orr_writer w = orri_writer(head + 8, HEAD - 8);
    orri_write_u64(&w, (uint64_t)m->code->version);
    orri_write_u64(&w, m->chain);
    orri_write_u64(&w, m->ops);
    orri_write_u64(&w, m->check_at);
    if (m->named) memcpy(w.at, m->code->bundle.b, sizeof m->code->bundle.b);
    w = orri_writer(head + HEAD - 4, 4);
    orri_write_u32(&w, (uint32_t)record->size);
    m->image.size = 0;
    m->image.flags = ORRB_VALUE_MAPS;
    if (add(&m->image, head, HEAD) < 0 || add(&m->image, record->at, record->size) < 0)
        return luaL_error(L, "not enough memory");
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->state);
    if (m->code->snapshot == LUA_NOREF) orrb_value_pack(L, -1, &m->image, "state");
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
        orrb_machine_say(m, ORR_LOG_WARN, "a snapshot of its state: %zu bytes of it were packed at once, and all else "
                         "waited for %d ms: big states want orrery.map", m->image.size, (int)(took / ORR_MS));
    }
    if (rc < 0) {
        orrb_machine_say(m, ORR_LOG_ERROR, "its state can't be snapshotted: %s", why);
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
    const struct machine *m = x;
    if (m->feed) orrb_feed_replaced(m->feed);
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

/* Where the state begins; 0: that is no image. */
static size_t imaged(const struct machine *m) {
    if (m->image.size >= HEAD_1 && memcmp(m->image.at, magic_1, sizeof magic_1) == 0) return HEAD_1;
    if (m->image.size < HEAD || memcmp(m->image.at, magic, sizeof magic) != 0) return 0;
    struct orr_reader r = orri_reader(m->image.at + HEAD - 4, 4);
    size_t record = orri_read_u32(&r);
    return record <= m->image.size - HEAD ? HEAD + record : 0;
}

static void push_imaged(lua_State *L, struct machine *m) {
    size_t at = imaged(m);
    if (m->image.at[sizeof magic] != IN_PARTS) {
        if (orrb_value_unpack(L, m->image.at + at, m->image.size - at, ORRB_VALUE_MAPS) < 0) lua_pushnil(L);
    } else if (m->code->restore != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->code->restore);
        lua_pushlightuserdata(L, m);
        lua_pushinteger(L, (lua_Integer)at);
        lua_pushcclosure(L, next_part, 2);
        lua_call(L, 1, 1);
    } else {
        lua_pushnil(L);
    }
    if (!lua_istable(L, -1)) luaL_error(L, "the snapshot can't be read");
}

/* Protected: the state becomes what the image says. Where no code was named, it is raised to the version of this one's,
 * should it be an older one's. */
static int unpack_state(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    struct orr_reader r = orri_reader(m->image.at + 8, HEAD - 8);
    lua_Integer from = (lua_Integer)orri_read_u64(&r);
    push_imaged(L, m);
    if (from > m->code->version) return luaL_error(L, "the snapshot is of version %I", (LUAI_UACINT)from);
    if (from < m->code->version && m->code->upgrade != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->code->upgrade);
        lua_insert(L, -2);
        lua_pushinteger(L, from);
        lua_call(L, 2, 1);
        if (!lua_istable(L, -1)) return luaL_error(L, "upgrade must return a table (got a %s)", luaL_typename(L, -1));
    }
    lua_rawseti(L, LUA_REGISTRYINDEX, m->state);
    return pack_state(L);
}

/* The code that the image names. */
static int take_code(struct machine *m, size_t state) {
    struct orr_birth bundle = { 0 };
    if (state == HEAD_1) return 0;
    memcpy(bundle.b, m->image.at + HEAD_1, sizeof bundle.b);
    static const struct orr_birth none;
    if (memcmp(&bundle, &none, sizeof none) == 0) return 0;
    return orrb_code_take(m, &bundle, m->image.at + HEAD, state - HEAD);
}

static int machine_restore_end(void *x) {
    struct machine *m = x;
    size_t state = imaged(m);
    if (state == 0) return ORR_ECORRUPT;
    char why[300] = "its code";
    int rc = take_code(m, state);
    if (rc == 0) rc = orrb_machine_protect(m, unpack_state, why, sizeof why);
    if (rc < 0) orrb_machine_say(m, ORR_LOG_ERROR, "its state can't be restored: %s", why);
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
    orrb_buffer_free(NULL, &m->record);
    free(m);
}

static void machine_destroy(void *x) {
    struct machine *m = x;
    luaL_unref(m->spec->L, LUA_REGISTRYINDEX, m->state);
    orrb_code_drop(m->spec->L, m->code);
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
        .code = spec->own,
        .next_code = spec->own,
        .chunks = cfg->chunks,
        .state = LUA_NOREF,
        .unchecked_since = ORR_NEVER,
        .out = { .alloc = &orr_alloc_libc },
        .packed = { .alloc = &orr_alloc_libc, .flags = ORRB_VALUE_MAPS | ORRB_VALUE_DIGESTS },
        .image = { .alloc = &orr_alloc_libc },
        .record = { .alloc = &orr_alloc_libc },
    };
    spec->machine = m;
    spec->own->refs++;
    orrb_expose_init(m);
    int rc = protect(m, make_place);
    if (rc == 0) rc = protect(m, orrb_machine_init_state);
    m->next_code = NULL;
    if (rc == 0) m->check_at = check_after(m);
    if (rc == 0) *out = m;
    else machine_destroy(m);
    return rc;
}

static int machine_opening(const void *x, struct orr_slice *op) { return orrb_code_opening(x, op); }

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
    .opening = machine_opening,
};

/* -- For scripts -------------------------------------------------------------------------------------------------- */
static struct orrb_machine_spec *find(struct orrb_host *h, const char *name) {
    struct orrb_machine_spec *spec = h->machines;
    while (spec && strcmp(spec->name, name) != 0) spec = spec->next;
    return spec;
}

struct orrb_machine_spec *orrb_machine_declare(lua_State *L, struct orrb_host *h, int idx) {
    luaL_checktype(L, idx, LUA_TTABLE);
    const char *name = orrb_text_field(L, idx, "name", NULL);
    struct orrb_machine_spec *spec = find(h, name);
    if (!spec) {
        spec = calloc(1, sizeof *spec);
        if (!spec) luaL_error(L, "not enough memory");
        spec->host = h;
        spec->L = h->tasks.L;
        snprintf(spec->name, sizeof spec->name, "%s", name);
        spec->next = h->machines;
        h->machines = spec;
    }
    struct orrb_code **place = h->staging ? &spec->staged : &spec->own;
    orrb_code_drop(L, *place);
    *place = NULL;
    *place = orrb_code_new(L, idx, h->staging ? &h->staged_bundle : &h->bundle);
    return spec;
}

void orrb_machine_bind(struct orrb_machine_spec *spec, struct orr_group *g) { spec->group = g; }

void orrb_machines_clear(struct orrb_host *h) {
    for (struct orrb_machine_spec *spec; (spec = h->machines);) {
        h->machines = spec->next;
        if (spec->machine) orrb_code_drop(NULL, spec->machine->code), drop(spec->machine);
        orrb_code_drop(NULL, spec->own);
        orrb_code_drop(NULL, spec->staged);
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
        int rc = orrb_pure_call(L, 3, m->code->steps_max, at->index);
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
