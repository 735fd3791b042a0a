/* orrb_code.c - which functions a group of the script's runs: its log says it, so all replicas go over at one entry.
 *
 * An op that begins so is no script's, for no value does:
 *
 *   byte  size  field (little-endian)
 *      0     2  0xc1, 'C'
 *      2     1  version of this format: 1
 *      3     1  zero
 *      4    16  hash of the bundle that runs until here; zero: none was named yet
 *     20    16  hash of the bundle that runs from here on
 *     36     8  the version that this one has of the state's shape
 *     44        the bundle as text (lua/orrery/plan.lua, record)
 *
 * A leader writes one before all else while none is named (orr_machine_ops.opening), so whoever founds a group decides
 * what it runs. Later on a leader proposes one when it runs other scripts than its group does, and every voter runs
 * them too. It is taken if the group still runs what it says, and unless the version goes down: so one that comes late,
 * or twice, does nothing.
 *
 * The op bears the scripts themselves, and a snapshot those that run. So a replica that has others - it was down, or
 * was not given the new ones - or that reads a log older than its files needs nobody to get them from: it runs their
 * top level once, on a host that does nothing, for what they declare. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/trace.h>

#include "orrb_code.h"
#include "orrb_environment.h"
#include "orrb_machine.h"

enum { OP_HEAD = 44, OP_VERSION = 1 };
#define AGAIN ORR_SECOND            /* after a proposal that failed */
#define PROPOSAL (5 * ORR_SECOND)

static const struct orr_birth no_bundle;

static bool same(const struct orr_birth *a, const struct orr_birth *b) { return memcmp(a, b, sizeof *a) == 0; }

/* -- Code --------------------------------------------------------------------------------------------------------- */
static int reference(lua_State *L, int idx, const char *field) {
    if (lua_getfield(L, idx, field) != LUA_TNIL) return luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
    return LUA_NOREF;
}

struct orrb_code *orrb_code_new(lua_State *L, int idx, const struct orr_birth *bundle) {
    lua_Integer version = orrb_integer_field(L, idx, "version", 1);
    int64_t steps = orrb_integer_field(L, idx, "steps", 10000000);
    struct orrb_code *code = calloc(1, sizeof *code);
    if (!code) luaL_error(L, "not enough memory");
    *code = (struct orrb_code){ 1, *bundle, LUA_NOREF, LUA_NOREF, LUA_NOREF, LUA_NOREF, LUA_NOREF, LUA_NOREF, LUA_NOREF,
                                version, steps };
    code->init = reference(L, idx, "init");
    code->apply = reference(L, idx, "apply");
    code->query = reference(L, idx, "query");
    code->upgrade = reference(L, idx, "upgrade");
    code->snapshot = reference(L, idx, "snapshot");
    code->restore = reference(L, idx, "restore");
    code->changed = reference(L, idx, "changed");
    return code;
}

void orrb_code_drop(lua_State *L, struct orrb_code *code) {
    if (!code || --code->refs > 0) return;
    const int refs[] = { code->init, code->apply, code->query, code->upgrade, code->snapshot, code->restore,
                         code->changed };
    for (size_t i = 0; L && i < sizeof refs / sizeof *refs; i++) luaL_unref(L, LUA_REGISTRYINDEX, refs[i]);
    free(code);
}

/* -- The op ------------------------------------------------------------------------------------------------------- */
struct change {
    struct orr_birth from, to;
    lua_Integer version;
    const unsigned char *record;
    size_t record_size;
};

bool orrb_code_is(struct orr_slice op) { return op.size >= 2 && op.at[0] == 0xc1 && op.at[1] == 'C'; }

static int read_change(struct orr_slice op, struct change *c) {
    struct orr_reader r = orri_reader(op.at, op.size);
    (void)orri_read_u16(&r);
    bool known = orri_read_u8(&r) == OP_VERSION;
    known = orri_read_u8(&r) == 0 && known;
    struct orr_slice from = orri_read_bytes(&r, sizeof c->from), to = orri_read_bytes(&r, sizeof c->to);
    uint64_t version = orri_read_u64(&r);
    if (r.failed || !known || version == 0 || version > INT64_MAX) return ORR_EINVALID;
    memcpy(&c->from, from.at, sizeof c->from);
    memcpy(&c->to, to.at, sizeof c->to);
    c->version = (lua_Integer)version;
    c->record = r.at;
    c->record_size = orri_left(&r);
    return 0;
}

static void write_change(unsigned char *at, const struct orrb_host *h, const struct machine *m) {
    const struct orrb_code *own = m->spec->own;
    struct orr_writer w = orri_writer(at, OP_HEAD + h->record.size);
    orri_write_u16(&w, 0xc1 | 'C' << 8);
    orri_write_u8(&w, OP_VERSION);
    orri_write_u8(&w, 0);
    orri_write_bytes(&w, m->named ? &m->code->bundle : &no_bundle, sizeof no_bundle);
    orri_write_bytes(&w, &own->bundle, sizeof own->bundle);
    orri_write_u64(&w, (uint64_t)own->version);
    orri_write_bytes(&w, h->record.at, h->record.size);
}

int orrb_code_opening(const struct machine *m, struct orr_slice *op) {
    const struct orrb_host *h = m->spec->host;
    if (m->named || h->record.size == 0 || !same(&m->spec->own->bundle, &h->bundle)) return 0;
    size_t size = OP_HEAD + h->record.size;
    struct orr_chunk *c = m->chunks->get(m->chunks, size);
    if (!c) return -ENOMEM;
    write_change(c->at, h, m);
    *op = (struct orr_slice){ c, c->at, size };
    return 1;
}

/* -- Finding it --------------------------------------------------------------------------------------------------- */
struct search {
    struct machine *m;
    const struct orr_birth *bundle;
    const void *record;
    size_t size;
    struct orrb_code *found;
};

/* Protected: what the scripts in the record declare for this group. */
static int declared(lua_State *L) {
    struct search *s = lua_touserdata(L, 1);
    const struct orrb_machine_spec *spec = s->m->spec;
    lua_rawgeti(L, LUA_REGISTRYINDEX, spec->host->declares);
    lua_pushlstring(L, s->record, s->size);
    lua_pushstring(L, spec->name);
    lua_call(L, 2, 1);
    if (!lua_istable(L, -1)) return luaL_error(L, "the scripts declare no such group");
    s->found = orrb_code_new(L, lua_gettop(L), s->bundle);
    return 0;
}

/* The scripts' own stream of chance must not notice. */
static int run_apart(lua_State *L, lua_CFunction f, void *arg) {
    struct orrb_environment *e = orrb_environment_of(L);
    struct orr_rng chance = e->chance;
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, arg);
    int status = lua_pcall(L, 1, 0, 0);
    e->chance = chance;
    return status;
}

/* 0 and a reference to it, which is the caller's; or what was wrong was logged. */
static int find(struct search *s) {
    struct orrb_machine_spec *spec = s->m->spec;
    lua_State *L = spec->L;
    if (spec->own && same(&spec->own->bundle, s->bundle)) {
        s->found = spec->own;
        s->found->refs++;
        return 0;
    }
    int top = lua_gettop(L), status = run_apart(L, declared, s);
    const char *why = status == LUA_OK ? NULL : lua_tostring(L, -1);
    if (status != LUA_OK)
        orrb_machine_say(s->m, ORR_LOG_ERROR, "bundle %02x%02x%02x%02x, which the log names, can't be run here: %s",
                         s->bundle->b[0], s->bundle->b[1], s->bundle->b[2], s->bundle->b[3], why ? why : "no text");
    lua_settop(L, top);
    return status == LUA_OK ? 0 : status == LUA_ERRMEM ? -ENOMEM : ORR_EFAILED;
}

static int keep_record(struct machine *m, const void *record, size_t size) {
    m->record.size = 0;
    if (orrb_buffer_room(NULL, &m->record, size) < 0) return -ENOMEM;
    if (size) memcpy(m->record.at, record, size);
    m->record.size = size;
    return 0;
}

static void run_from_now_on(struct machine *m, struct orrb_code *code) {
    orrb_code_drop(m->spec->L, m->code);
    m->code = code;
    m->named = true;
}

int orrb_code_take(struct machine *m, const struct orr_birth *bundle, const void *record, size_t size) {
    struct search s = { m, bundle, record, size, NULL };
    int rc = find(&s);
    if (rc < 0) return rc;
    rc = keep_record(m, record, size);
    if (rc < 0) orrb_code_drop(m->spec->L, s.found);
    else run_from_now_on(m, s.found);
    return rc;
}

/* -- Going over --------------------------------------------------------------------------------------------------- */
/* upgrade of next_code on a copy of the state: the new state is on top. */
static void push_upgraded(lua_State *L, struct machine *m) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->next_code->upgrade);
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->state);
    orrb_value_copy(L, -1, &m->packed, "state");
    lua_replace(L, -2);
    lua_pushinteger(L, m->code->version);
    lua_call(L, 2, 1);
    if (!lua_istable(L, -1)) luaL_error(L, "upgrade must return a table (got a %s)", luaL_typename(L, -1));
    m->packed.size = 0;
    orrb_value_pack(L, -1, &m->packed, "what upgrade returned");
}

/* Protected. In a simulation it is run twice, as apply is now and then. */
static int upgrade_state(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    push_upgraded(L, m);
    if (m->expose.simulated) {
        uint64_t first = orri_hash64(m->packed.at, m->packed.size, 0);
        push_upgraded(L, m);
        bool differs = orri_hash64(m->packed.at, m->packed.size, 0) != first;
        if (differs) orrb_expose_found(m, "upgrade gave another state when it was run again");
    }
    lua_rawseti(L, LUA_REGISTRYINDEX, m->state);
    return 0;
}

/* The state becomes next_code's. On failure it is what it was. */
static int change_state(struct machine *m, char *why, size_t why_size) {
    const struct orrb_code *next = m->next_code;
    if (!m->named && m->ops == 0) return orrb_machine_protect(m, orrb_machine_init_state, why, why_size);
    if (next->version <= m->code->version || next->upgrade == LUA_NOREF) return 0;
    m->packed.flags = ORRB_VALUE_MAPS;
    int rc = orrb_machine_protect(m, upgrade_state, why, why_size);
    m->packed.flags = ORRB_VALUE_MAPS | ORRB_VALUE_DIGESTS;
    return rc;
}

struct answer {
    struct machine *m;
    const char *message, *code;     /* message NULL: true */
};

static int pack_answer(lua_State *L) {
    const struct answer *a = lua_touserdata(L, 1);
    int first = lua_gettop(L) + 1;
    if (a->message) {
        lua_pushnil(L);
        lua_pushfstring(L, "%s: %s", a->m->spec->name, a->message);
        lua_pushstring(L, a->code);
    } else {
        lua_pushboolean(L, 1);
    }
    a->m->out.size = 0;
    orrb_value_pack_args(L, first, lua_gettop(L) - first + 1, &a->m->out);
    return 0;
}

static int answer(struct machine *m, const char *message, const char *code) {
    struct answer a = { m, message, code };
    lua_State *L = m->spec->L;
    lua_pushcfunction(L, pack_answer);
    lua_pushlightuserdata(L, &a);
    int status = lua_pcall(L, 1, 0, 0);
    if (status != LUA_OK) lua_pop(L, 1);
    return status == LUA_OK ? 0 : -ENOMEM;
}

/* Nobody offers it again until there are other scripts. */
static int refuse(struct machine *m, const struct change *c, const char *why, const char *code) {
    m->spec->unwelcome = c->to;
    orrb_machine_say(m, ORR_LOG_ERROR, "does not take bundle %02x%02x%02x%02x: %s", c->to.b[0], c->to.b[1], c->to.b[2],
                     c->to.b[3], why);
    return answer(m, why, code);
}

static void tell(struct machine *m, const struct orr_at *at, lua_Integer from) {
    const struct orrb_code *code = m->code;
    const unsigned char *b = code->bundle.b;
    char versions[64] = "";
    if (from != code->version)
        snprintf(versions, sizeof versions, ", version %lld after %lld", (long long)code->version, (long long)from);
    orrb_machine_say(m, ORR_LOG_INFO, "runs bundle %02x%02x%02x%02x from entry %llu on%s", b[0], b[1], b[2], b[3],
                     (unsigned long long)at->index, versions);
    orrb_group_event(m->spec->host, m->spec->group, ORRB_GROUP_UPGRADE);
    orr_group_trace(m->spec->group, ORR_TRACE_UPGRADE, &at->index, sizeof at->index);
    m->spec->host->code_changed = true;
    orr_node_soon(m->spec->host->tasks.node);
}

/* With the code in s: 0, also where it is not taken after all; it is used up in any case. */
static int go_over(struct machine *m, const struct orr_at *at, const struct change *c, struct orrb_code *next) {
    char why[300] = "";
    lua_Integer from = m->code->version;
    bool founding = !m->named;
    m->next_code = next;
    int rc = change_state(m, why, sizeof why);
    m->next_code = NULL;
    if (rc == 0) rc = keep_record(m, c->record, c->record_size);
    if (rc < 0) {
        orrb_code_drop(m->spec->L, next);
        return rc == ORR_EFAILED ? refuse(m, c, why, "failed") : rc;
    }
    run_from_now_on(m, next);
    m->check_at = m->ops + 1;       /* the chain takes the state in at once */
    tell(m, at, founding ? next->version : from);
    return answer(m, NULL, NULL);
}

int orrb_code_apply(struct machine *m, const struct orr_at *at, struct orr_slice op) {
    struct change c;
    if (read_change(op, &c) < 0) return answer(m, "new code that can't be read", "invalid");
    if (!same(&c.from, m->named ? &m->code->bundle : &no_bundle)) return answer(m, "it runs other code", "conflict");
    if (m->named && c.version < m->code->version) {
        char why[80];
        snprintf(why, sizeof why, "its version %lld is below the state's, %lld", (long long)c.version,
                 (long long)m->code->version);
        return refuse(m, &c, why, "invalid");
    }
    struct search s = { m, &c.to, c.record, c.record_size, NULL };
    int rc = find(&s);
    return rc < 0 ? rc : go_over(m, at, &c, s.found);
}

/* -- The leader proposes it --------------------------------------------------------------------------------------- */
static void consider(struct orrb_machine_spec *spec);

static void look_again(struct orr_wait *w) { consider(w->owner); }

static void proposed(struct orr_wait *w) {
    struct orrb_machine_spec *spec = w->owner;
    struct orr_node *node = spec->host->tasks.node;
    if (w->status == 0) {
        consider(spec);
        return;
    }
    spec->wait = (struct orr_wait){ .done = look_again, .owner = spec };
    (void)orr_node_timer(node, &spec->wait, orr_node_now(node) + AGAIN);
}

static bool goes_down(struct orrb_machine_spec *spec) {
    const struct machine *m = spec->machine;
    const struct orrb_code *own = spec->own;
    if (own->version >= m->code->version) return false;
    spec->unwelcome = own->bundle;
    orrb_machine_say(m, ORR_LOG_WARN, "these scripts have version %lld of its state, it has %lld already: it goes on "
                     "with what it runs", (long long)own->version, (long long)m->code->version);
    return true;
}

static void consider(struct orrb_machine_spec *spec) {
    struct machine *m = spec->machine;
    struct orrb_host *h = spec->host;
    struct orr_order_status s;
    if (!m || !m->named || !spec->own || !spec->group || spec->wait.under_way) return;
    if (same(&m->code->bundle, &spec->own->bundle) || same(&spec->unwelcome, &spec->own->bundle)) return;
    if (goes_down(spec) || !orr_group_status(spec->group, &s) || s.role != ORR_LEADER) return;
    if (!orr_group_all_run(spec->group, &spec->own->bundle)) return;
    unsigned char *op = malloc(OP_HEAD + h->record.size);
    if (!op) return;
    write_change(op, h, m);
    struct orr_node *node = h->tasks.node;
    spec->wait = (struct orr_wait){ .done = proposed, .owner = spec };
    int rc = orr_group_propose(spec->group, &spec->wait, orr_borrow(op, OP_HEAD + h->record.size),
                               orr_node_now(node) + PROPOSAL);
    free(op);
    if (rc == 0) return;
    spec->wait = (struct orr_wait){ .done = look_again, .owner = spec };
    (void)orr_node_timer(node, &spec->wait, orr_node_now(node) + AGAIN);
}

void orrb_code_consider(struct orrb_host *h) {
    h->code_changed = false;
    for (struct orrb_machine_spec *spec = h->machines; spec; spec = spec->next) consider(spec);
}

/* -- Other scripts on this node ------------------------------------------------------------------------------------ */
int orrb_code_refused(const struct orrb_host *h, const char **group, lua_Integer *version) {
    for (const struct orrb_machine_spec *spec = h->machines; spec; spec = spec->next) {
        if (!spec->machine || !spec->staged || spec->staged->version >= spec->machine->code->version) continue;
        *group = spec->name;
        *version = spec->machine->code->version;
        return ORR_EINVALID;
    }
    return 0;
}

void orrb_code_commit(struct orrb_host *h) {
    for (struct orrb_machine_spec *spec = h->machines; spec; spec = spec->next) {
        if (!spec->staged) continue;
        orrb_code_drop(spec->L, spec->own);
        spec->own = spec->staged;
        spec->staged = NULL;
        spec->unwelcome = no_bundle;
        struct machine *m = spec->machine;
        if (!m || m->named) continue;
        orrb_code_drop(spec->L, m->code);           /* nothing has been applied, or by logs that name no code */
        m->code = spec->own;
        m->code->refs++;
    }
}

void orrb_code_abandon(struct orrb_host *h) {
    for (struct orrb_machine_spec *spec = h->machines; spec; spec = spec->next) {
        orrb_code_drop(spec->L, spec->staged);
        spec->staged = NULL;
    }
}

void orrb_push_code(lua_State *L, const void *machine) {
    const struct machine *m = machine;
    const struct orrb_code *own = m->spec->own;
    char hex[17];
    for (int i = 0; i < 8; i++) snprintf(hex + 2 * i, 3, "%02x", m->code->bundle.b[i]);
    lua_pushinteger(L, m->code->version);
    lua_setfield(L, -2, "version");
    lua_pushstring(L, hex);
    lua_setfield(L, -2, "code");
    if (!own || same(&own->bundle, &m->code->bundle)) return;
    for (int i = 0; i < 8; i++) snprintf(hex + 2 * i, 3, "%02x", own->bundle.b[i]);
    lua_pushstring(L, hex);
    lua_setfield(L, -2, "next_code");
}
