/* code_fuzz.c - ops that say which scripts a group runs (bindings/orrb_code.c), as a log bears them.
 *
 * The first byte: bit 0, code was named already; bit 1, in the simulator, where upgrades run twice; bits 2 to 4, the
 * version of the scripts here. Then ops, each behind its size in two bytes. What a record declares is said by its first
 * byte, below; its second one is the version.
 *
 * Whatever comes: there is a result for it that can be read, and the group goes over only from what it runs. In the end
 * this node leads, and proposes what is read again. */
#include <lualib.h>
#include <orrery/trace.h>
#include <stdlib.h>
#include <string.h>

#include "orrb_code.h"
#include "orrb_environment.h"
#include "orrb_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size);

enum { HEAD = 44, VERSION_AT = 36, PROPOSED_MAX = 256 };

static struct orrb_environment environment;
static unsigned char proposed[PROPOSED_MAX];
static size_t proposed_size;
static bool refuses;                            /* the group, what is proposed */

/* -- Of the node's, and of the rest of the bindings ---------------------------------------------------------------- */
void orrb_budget_charge_packed(lua_State *L, size_t bytes) { (void)L, (void)bytes; }
struct orrb_environment *orrb_environment_of(lua_State *L) { (void)L; return &environment; }
int orrb_fail(lua_State *L, int error, const char *what) { return luaL_error(L, "%s: %s", what, orr_strerror(error)); }
int64_t orrb_integer_field(lua_State *L, int arg, const char *field, int64_t otherwise) {
    lua_getfield(L, arg, field);
    lua_Integer v = luaL_optinteger(L, -1, otherwise);
    lua_pop(L, 1);
    return v;
}
bool orrb_group_event(struct orrb_host *h, struct orr_group *g, unsigned events) {
    (void)h, (void)g, (void)events;
    return false;
}
void orrb_expose_found(struct machine *m, const char *what) { (void)m, (void)what; }
void orrb_machine_say(const struct machine *m, enum orr_level level, const char *format, ...) {
    (void)m, (void)level;
    char line[500];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
}
int orrb_machine_init_state(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    lua_createtable(L, 0, 0);
    lua_rawseti(L, LUA_REGISTRYINDEX, m->state);
    return 0;
}
int orrb_machine_protect(struct machine *m, lua_CFunction f, char *why, size_t why_size) {
    lua_State *L = m->spec->L;
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, m);
    int status = lua_pcall(L, 1, 0, 0);
    if (status == LUA_OK) return 0;
    if (lua_isstring(L, -1)) snprintf(why, why_size, "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return status == LUA_ERRMEM ? -ENOMEM : ORR_EFAILED;
}

void orr_node_soon(struct orr_node *n) { (void)n; }
orr_time orr_node_now(const struct orr_node *n) { (void)n; return ORR_SECOND; }
int orr_node_timer(struct orr_node *n, struct orr_wait *w, orr_time at) { (void)n, (void)w, (void)at; return 0; }
void orr_group_trace(const struct orr_group *g, enum orr_trace_kind kind, const void *event, size_t size) {
    (void)g, (void)kind, (void)event, (void)size;
}
bool orr_group_all_run(const struct orr_group *g, const struct orr_birth *bundle) {
    (void)g, (void)bundle;
    return true;
}
bool orr_group_status(const struct orr_group *g, struct orr_order_status *out) {
    (void)g;
    *out = (struct orr_order_status){ .role = ORR_LEADER };
    return true;
}
int orr_group_propose(struct orr_group *g, struct orr_wait *w, struct orr_slice op, orr_time deadline) {
    (void)g, (void)w, (void)deadline;
    if (refuses) return ORR_EFULL;
    if (op.size > sizeof proposed) abort();
    memcpy(proposed, op.at, op.size);
    proposed_size = op.size;
    return 0;
}

/* -- Scripts ------------------------------------------------------------------------------------------------------- */
static int upgrades(lua_State *L) { lua_settop(L, 1); return 1; }
static int upgrades_badly(lua_State *L) { return luaL_error(L, "no luck"); }
static int upgrades_to_nothing(lua_State *L) { (void)L; return 0; }
static int upgrades_to_what_is_not_packed(lua_State *L) {
    lua_createtable(L, 1, 0);
    lua_pushcfunction(L, upgrades);
    lua_rawseti(L, -2, 1);
    return 1;
}
static int upgrades_differently(lua_State *L) {
    static lua_Integer n;
    lua_createtable(L, 1, 0);
    lua_pushinteger(L, ++n);
    lua_rawseti(L, -2, 1);
    return 1;
}

/* f(record, group), as lua/orrery/node.lua's. */
static int declares(lua_State *L) {
    size_t size;
    const char *record = luaL_checklstring(L, 1, &size);
    static const struct { char by; lua_CFunction upgrade; } ways[] = {
        { 'u', upgrades }, { 'b', upgrades_badly }, { '0', upgrades_to_nothing },
        { 'p', upgrades_to_what_is_not_packed }, { 'd', upgrades_differently },
    };
    if (size < 2 || record[0] == 'e') return luaL_error(L, "can't be read");
    if (record[0] == 't') { lua_createtable(L, 0, 0); return lua_error(L); }
    if (record[0] == 'n') return 0;
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, record[1] & 7);
    lua_setfield(L, -2, "version");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (ways[i].by != record[0]) continue;
        lua_pushcfunction(L, ways[i].upgrade);
        lua_setfield(L, -2, "upgrade");
    }
    return 1;
}

static int code_of(lua_State *L) {                  /* (where it goes, version, bundle's first byte) */
    struct orrb_code **to = lua_touserdata(L, 1);
    struct orr_birth bundle = { { (unsigned char)lua_tointeger(L, 3) } };
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "version");
    *to = orrb_code_new(L, lua_gettop(L), &bundle);
    return 0;
}
static struct orrb_code *make_code(lua_State *L, unsigned version, unsigned bundle) {
    struct orrb_code *code;
    lua_pushcfunction(L, code_of);
    lua_pushlightuserdata(L, &code);
    lua_pushinteger(L, (lua_Integer)version);
    lua_pushinteger(L, (lua_Integer)bundle);
    if (lua_pcall(L, 3, 0, 0) != LUA_OK) abort();
    return code;
}

/* -- The group ----------------------------------------------------------------------------------------------------- */
static void expect_readable(lua_State *L, const struct orrb_buffer *b) {
    int top = lua_gettop(L), n = orrb_value_unpack_args(L, b->at, b->size);
    bool took = n == 1 && lua_toboolean(L, -1);
    if (!took && !(n == 3 && lua_isnil(L, -3) && lua_isstring(L, -2) && lua_isstring(L, -1))) abort();
    lua_settop(L, top);
}

static void apply(struct machine *m, struct orr_slice op) {
    static const struct orr_birth none;
    const struct orr_at at = { .index = m->ops + 1, .term = 1, .time = 1 };
    const struct orr_birth before = m->named ? m->code->bundle : none;
    lua_Integer version = m->code->version;
    const struct orrb_code *code = m->code;
    bool named = m->named;
    if (!orrb_code_is(op)) return;
    if (orrb_code_apply(m, &at, op) < 0) {          /* scripts that can't be run here: this replica stops */
        if (m->code != code || m->named != named) abort();
        return;
    }
    m->ops++;
    expect_readable(m->spec->L, &m->out);
    if (m->code == code && m->named == named) return;
    uint64_t says = op.size < HEAD ? 0 : orri_get_le(op.at + VERSION_AT, 8);
    if (op.size < HEAD || memcmp(op.at + 4, &before, sizeof before) != 0 || says == 0) abort();
    if (named && says < (uint64_t)version) abort();
    if (m->record.size != op.size - HEAD || memcmp(m->record.at, op.at + HEAD, m->record.size) != 0) abort();
}

/* It leads: what it runs itself is proposed, and taken unless that is older. */
static void lead(struct machine *m) {
    struct orrb_machine_spec *spec = m->spec;
    struct orr_slice op;
    if (!m->named && orrb_code_opening(m, &op) == 1) {
        apply(m, op);
        orr_chunk_drop(op.chunk);
        if (!m->named) abort();
    }
    orrb_code_consider(spec->host);
    if (spec->wait.done && proposed_size == 0) {    /* it was refused: once more, a while later */
        refuses = false;
        spec->wait.done(&spec->wait);
    }
    if (!proposed_size) return;
    apply(m, orr_borrow(proposed, proposed_size));
    spec->wait.status = 0;
    spec->wait.done(&spec->wait);
    lua_createtable(spec->L, 0, 3);
    orrb_push_code(spec->L, m);
    lua_pop(spec->L, 1);
}

static void play(lua_State *L, const uint8_t *data, size_t size) {
    static const char here[] = "u1 of these";
    unsigned own = data[0] >> 2 & 7;
    struct orrb_host host = { .name = "a", .bundle = { { 1 } } };
    struct orrb_machine_spec spec = { .host = &host, .L = L, .name = "g", .group = (struct orr_group *)(void *)&host };
    struct machine m = {
        .spec = &spec, .chunks = orr_chunks_new(NULL), .expose.simulated = data[0] & 2,
        .out = { .alloc = &orr_alloc_libc }, .record = { .alloc = &orr_alloc_libc },
        .packed = { .alloc = &orr_alloc_libc, .flags = ORRB_VALUE_MAPS | ORRB_VALUE_DIGESTS },
    };
    if (!m.chunks) abort();
    host.record = (struct orrb_buffer){ .at = (unsigned char *)(uintptr_t)here, .size = sizeof here - 1 };
    host.machines = &spec;
    spec.machine = &m;
    lua_pushcfunction(L, declares);
    host.declares = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_createtable(L, 0, 0);
    m.state = luaL_ref(L, LUA_REGISTRYINDEX);
    spec.own = make_code(L, own ? own : 1, 1);
    m.named = data[0] & 1;
    m.code = m.named ? make_code(L, 2, 2) : spec.own;
    if (!m.named) m.code->refs++;
    for (data++, size--; size >= 2;) {
        size_t n = (size_t)orri_get_le(data, 2) < size - 2 ? (size_t)orri_get_le(data, 2) : size - 2;
        apply(&m, orr_borrow(data + 2, n));
        data += 2 + n, size -= 2 + n;
    }
    lead(&m);
    orrb_code_drop(L, m.code);
    orrb_code_drop(L, spec.own);
    orrb_buffer_free(L, &m.out);
    orrb_buffer_free(L, &m.packed);
    orrb_buffer_free(L, &m.record);
    orr_chunks_free(m.chunks);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size) {
    lua_State *L = luaL_newstate();
    if (!L) abort();
    proposed_size = 0;
    refuses = size > 0 && (at[0] & 32);
    if (size > 0) play(L, at, size);
    lua_close(L);
    return 0;
}
