/* orrb_expose.c - in simulated runs, and only there: what would make the replicas of a machine differ some day is
 * looked for now and then, as the run's seed has it, and ends the run.
 *
 *     state    not plain data: it could not be snapshotted
 *     apply    run a second time, on what the state's snapshot gives back, has other results, or leaves another state:
 *              # of a table with holes, an upvalue that it changes. From then on that copy is the state.
 *     apply    raised, and has changed the state
 *     query    changes the state
 *     constant an upvalue of theirs isn't what it was when they were handed over
 *
 * A question is looked at each time. A big state is looked at seldom: a look costs some walks over it. */
#include <stdio.h>
#include <string.h>

#include "orrb_machine.h"

/* One op in OFTEN; of a state above ORRB_SMALL less in proportion. Not each one: what is run again is rebuilt, and
 * # of a table with holes shows in one that has grown over many ops. */
enum { OFTEN = 4 };

static struct orr_world *world(const struct machine *m) { return m->spec->host->tasks.world; }

void orrb_expose_init(struct machine *m) {
    struct orr_world *w = world(m);
    struct orrb_expose *e = &m->expose;
    char use[48];
    *e = (struct orrb_expose){ .simulated = w && w->ops->rare };
    if (!e->simulated) return;
    snprintf(use, sizeof use, "expose %s", m->spec->name);
    orri_rng_init(&e->chance, w->ops->seed(w, use));
    e->before.alloc = e->after.alloc = e->out.alloc = &orr_alloc_libc;
    e->before.flags = e->after.flags = ORRB_VALUE_MAPS;
}

void orrb_expose_clear(struct machine *m) {
    if (!m->expose.simulated) return;
    orrb_buffer_free(NULL, &m->expose.before);
    orrb_buffer_free(NULL, &m->expose.after);
    orrb_buffer_free(NULL, &m->expose.out);
}

/* The node ends with this turn; the first one that was found counts. */
static void found(struct machine *m, const char *format, const char *a, const char *b) {
    struct orr_world *w = world(m);
    char text[400], line[440];
    snprintf(text, sizeof text, format, a, b);
    snprintf(line, sizeof line, "%s: %s", m->spec->name, text);
    m->expose.looking = false;
    w->ops->stop(w, 2, line);
}

void orrb_expose_found(struct machine *m, const char *what) { found(m, "%s%s", what, ""); }

/* -- Walks over the state: protected ------------------------------------------------------------------------------- */
static int pack_into(lua_State *L, struct machine *m, struct orrb_buffer *b) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->state);
    b->size = 0;
    orrb_value_pack(L, -1, b, "state");
    return 0;
}

static int pack_before(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    return pack_into(L, m, &m->expose.before);
}

static int pack_after(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    return pack_into(L, m, &m->expose.after);
}

/* The state becomes what it was before, from its bytes. */
static int take_copy(lua_State *L) {
    struct machine *m = lua_touserdata(L, 1);
    const struct orrb_buffer *b = &m->expose.before;
    if (orrb_value_unpack(L, b->at, b->size, ORRB_VALUE_MAPS) < 0) return luaL_error(L, "state can't be read back");
    lua_rawseti(L, LUA_REGISTRYINDEX, m->state);
    return 0;
}

void orrb_expose_unpacked(struct machine *m, const char *why) {
    if (m->expose.simulated) found(m, "%s%s", why, ": a state is plain data, and so are its snapshots");
}

static bool walk(struct machine *m, lua_CFunction f) {
    char why[300] = "";
    int rc = orrb_machine_protect(m, f, why, sizeof why);
    if (rc == ORR_EFAILED) orrb_expose_unpacked(m, why);
    if (rc < 0) m->expose.looking = false;
    return rc == 0;
}

static bool same(const struct orrb_buffer *a, const struct orrb_buffer *b) {
    return a->size == b->size && (a->size == 0 || memcmp(a->at, b->at, a->size) == 0);
}

/* Not as a pure function: it walks them. */
static void look_at_constants(struct machine *m) {
    lua_State *L = m->spec->L;
    int top = lua_gettop(L);
    if (m->code->changed == LUA_NOREF) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->code->changed);
    if (lua_pcall(L, 0, 1, 0) == LUA_OK && lua_isstring(L, -1)) found(m, "%s%s", lua_tostring(L, -1), "");
    lua_settop(L, top);
}

/* -- Around a run -------------------------------------------------------------------------------------------------- */
void orrb_expose_before(struct machine *m, bool asks) {
    struct orrb_expose *e = &m->expose;
    if (!e->simulated) return;
    size_t parts = 1 + m->packed.size / ORRB_SMALL;         /* when it was last packed */
    e->looking = orri_rng_below(&e->chance, asks ? parts : OFTEN * parts) == 0;
    if (e->looking) walk(m, pack_before);
}

/* The same op on the copy; c's results stay what they were. */
static void again(struct orrb_machine_call *c) {
    struct machine *m = c->m;
    struct orrb_expose *e = &m->expose;
    struct orrb_machine_call second = *c;
    struct orrb_buffer first = m->out;
    if (!walk(m, take_copy)) return;
    m->out = e->out;
    int rc = orrb_machine_perform(&second);
    e->out = m->out;
    m->out = first;
    if (rc == 0 && !same(&m->out, &e->out)) {
        found(m, "%s gave other results when it was run again, on the same state after its snapshot%s", c->place, "");
        return;
    }
    if (rc < 0 || !walk(m, pack_before)) return;            /* which is not needed any more */
    if (!same(&e->before, &e->after))
        found(m, "%s left another state when it was run again, on the same state after its snapshot%s", c->place, "");
}

void orrb_expose_applied(struct orrb_machine_call *c) {
    struct machine *m = c->m;
    struct orrb_expose *e = &m->expose;
    if (!e->looking) return;
    look_at_constants(m);
    if (e->looking && !walk(m, pack_after)) return;
    if (e->looking && c->raised && !same(&e->before, &e->after))
        found(m, "%s raised and has changed the state: check first, then change%s", c->place, "");
    if (e->looking) again(c);
    e->looking = false;
}

void orrb_expose_asked(struct machine *m, const char *place) {
    struct orrb_expose *e = &m->expose;
    if (!e->looking) return;
    if (walk(m, pack_after) && !same(&e->before, &e->after)) found(m, "%s changes the state%s", place, "");
    e->looking = false;
}
