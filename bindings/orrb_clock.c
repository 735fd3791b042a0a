/* orrb_clock.c - core.clock: a clock as an object. Nothing here reads a clock or waits; times are integers, in ns.
 *
 * lua/orrery/clock.lua checks the options. Peers have numbers in C; a script may give names instead. A name's number is
 * its hash, so what was saved finds its peer again after a restart; NAMES has what to call each: [number] = name.
 *
 * What a sample may say beside its stamps is read here, for there are many samples; where something is wrong with it,
 * CHECK, lua/orrery/clock.lua's, raises as all options do. Memory is that of the Lua state.                          */
#include <errno.h>
#include <string.h>

#include <orrery/clock_replay.h>

#include "base/hash.h"
#include "orrb.h"

#define CLOCK "orrery.clock"

#define CLOCK_LIMIT ((orr_time)1 << 62)     /* ns; what is beyond it the clock takes for no reading */

enum { NAMES = 1, CHECK = 2, USER_VALUES = 2 };
enum { SAMPLE_STEPS = 60 };         /* instructions that a sample costs a script beside its own: some 3 us */

struct clock {
    lua_State *main;
    struct orr_clock *c;            /* NULL: closed */
    orr_time latest;                /* reading of the local clock that was given */
    struct orr_alloc alloc;
};

static const char *const verdicts[ORR_CLOCK_VERDICTS] = { "used",      "held_out",  "step",     "bad_order",
                                                          "bad_range", "bad_delay", "bad_root", "bad_sync" };
static const char *const states[] = { "unsync", "sync", "holdover" };
static const char *const roles[] = { "new", "true", "false", "observed" };

static void *allocate(void *ud, void *ptr, size_t old_size, size_t new_size) {
    struct clock *h = ud;
    void *lua_ud;
    lua_Alloc of_lua = lua_getallocf(h->main, &lua_ud);
    return of_lua(lua_ud, ptr, ptr ? old_size : 0, new_size);
}

static struct clock *check(lua_State *L) {
    struct clock *h = luaL_checkudata(L, 1, CLOCK);
    if (!h->c) luaL_error(L, CLOCK ": it is closed");
    return h;
}

/* -- Arguments and results ----------------------------------------------------------------------------------------- */
/* Notes that it is so late. */
static orr_time at(struct clock *h, orr_time now) {
    if (now > -CLOCK_LIMIT && now < CLOCK_LIMIT) h->latest = now;
    return now;
}

static orr_time opt_now(lua_State *L, int arg, const struct clock *h) {
    return luaL_optinteger(L, arg, h->latest == INT64_MIN ? -CLOCK_LIMIT / 2 : h->latest);
}

static int done(lua_State *L) {
    lua_pushboolean(L, true);
    return 1;
}

/* The text is on the stack. */
static int refuse(lua_State *L, int error) {
    lua_pushnil(L);
    lua_insert(L, -2);
    lua_pushstring(L, orr_error_word(error));
    return 3;
}

static uint32_t check_peer(lua_State *L, int arg) {
    size_t size;
    if (lua_type(L, arg) == LUA_TSTRING) {
        const char *name = lua_tolstring(L, arg, &size);
        luaL_argcheck(L, size > 0, arg, "a peer's name must not be empty");
        return (uint32_t)orri_hash64(name, size, 0);
    }
    lua_Integer id = luaL_checkinteger(L, arg);
    luaL_argcheck(L, id >= 0 && id <= (lua_Integer)UINT32_MAX, arg, "a peer must be a name, or from 0 to 4294967295");
    return (uint32_t)id;
}

/* What the script calls the peer. */
static void push_peer(lua_State *L, uint32_t id) {
    lua_getiuservalue(L, 1, NAMES);
    lua_rawgeti(L, -1, (lua_Integer)id);
    lua_remove(L, -2);
    if (!lua_isnil(L, -1)) return;
    lua_pop(L, 1);
    lua_pushinteger(L, (lua_Integer)id);
}

static void set_name(lua_State *L, uint32_t id, int arg) {
    lua_getiuservalue(L, 1, NAMES);
    if (arg && lua_type(L, arg) == LUA_TSTRING) lua_pushvalue(L, arg);
    else lua_pushnil(L);
    lua_rawseti(L, -2, (lua_Integer)id);
    lua_pop(L, 1);
}

static bool known(const struct clock *h, uint32_t id) {
    struct orr_clock_peer info;
    return orr_clock_peer_info(h->c, h->latest, id, &info) == 0;
}

static int refuse_unknown(lua_State *L, int arg, const char *what) {
    lua_pushfstring(L, CLOCK ":%s: there is no peer %s", what, luaL_tolstring(L, arg, NULL));
    return refuse(L, ORR_EINVALID);
}

/* 0, with the peer at arg in the clock; or what the script is told. */
static int introduce(lua_State *L, struct clock *h, orr_time now, int arg, unsigned flags, const char *what) {
    uint32_t id = check_peer(L, arg);
    int rc = orr_clock_peer_add(h->c, now, id, flags);
    if (rc == 0) {
        set_name(L, id, arg);
        return 0;
    } else if (rc == ORR_ECONFLICT) {
        push_peer(L, id);
        bool same = lua_compare(L, -1, arg, LUA_OPEQ);
        lua_pushfstring(L, same ? CLOCK ":%s: peer %s is there" : CLOCK ":%s: its number is that of peer %s", what,
                        luaL_tolstring(L, -1, NULL));
    } else if (rc == ORR_EOVERLOADED) {
        lua_pushfstring(L, CLOCK ":%s: there is no room for peer %s", what, luaL_tolstring(L, arg, NULL));
    } else {
        return orrb_fail(L, rc, CLOCK);
    }
    return refuse(L, rc);
}

/* Is the peer at arg in the clock? One whose name's number is another's isn't. */
static bool find(lua_State *L, const struct clock *h, int arg, uint32_t *id) {
    *id = check_peer(L, arg);
    if (!known(h, *id)) return false;
    push_peer(L, *id);
    bool same = lua_compare(L, -1, arg, LUA_OPEQ);
    lua_pop(L, 1);
    return same;
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static int clock_close(lua_State *L) {
    struct clock *h = luaL_checkudata(L, 1, CLOCK);
    orr_clock_free(h->c);
    h->c = NULL;
    return 0;
}

static struct clock *new_closed(lua_State *L) {
    struct clock *h = lua_newuserdatauv(L, sizeof *h, USER_VALUES);
    memset(h, 0, sizeof *h);
    h->latest = INT64_MIN;
    luaL_setmetatable(L, CLOCK);
    lua_newtable(L);
    lua_setiuservalue(L, -2, NAMES);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    h->main = lua_tothread(L, -1);
    lua_pop(L, 1);
    h->alloc = (struct orr_alloc){ allocate, h };
    return h;
}

/* clock.new(options, check): options are those of orrery.clock, checked, `peers` a number; check(options) raises what
 * is wrong with a sample's -> the object, or nil, message, code */
static int clock_new(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    struct orr_clock_config config;
    orr_clock_config_init(&config);
    config.mode = strcmp(orrb_text_field(L, 1, "mode", NULL), "ntp") == 0 ? ORR_CLOCK_NTP : ORR_CLOCK_PACEMAKER;
    config.peers_max = (unsigned)orrb_integer_field(L, 1, "peers", 1);
    config.precision_ns = (uint32_t)orrb_integer_field(L, 1, "precision", config.precision_ns);
    config.max_drift_ppb = (uint32_t)orrb_integer_field(L, 1, "max_drift", config.max_drift_ppb);
    config.poll_min = (int8_t)orrb_integer_field(L, 1, "poll_min", config.poll_min);
    config.poll_max = (int8_t)orrb_integer_field(L, 1, "poll_max", config.poll_max);
    config.seed = (uint64_t)orrb_integer_field(L, 1, "seed", 1);
    struct clock *h = new_closed(L);
    config.alloc = &h->alloc;
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, CHECK);
    int rc = orr_clock_new(&h->c, &config);
    if (rc) return orrb_fail(L, rc, CLOCK);
    lua_gc(L, LUA_GCSTEP, (int)(orr_clock_bytes(config.mode, config.peers_max) >> 10)); /* KiB that Lua hasn't seen */
    return 1;
}

/* -- Peers --------------------------------------------------------------------------------------------------------- */
/* c:add(peer, flags, now): lua/orrery/clock.lua's method reads the options. */
static int clock_add(lua_State *L) {
    struct clock *h = check(L);
    unsigned flags = (unsigned)luaL_checkinteger(L, 3);
    orr_time now = opt_now(L, 4, h);
    int said = introduce(L, h, now, 2, flags, "add");
    return said ? said : done(L);
}

static int clock_remove(lua_State *L) {
    struct clock *h = check(L);
    uint32_t id;
    if (!find(L, h, 2, &id)) return refuse_unknown(L, 2, "remove");
    int rc = orr_clock_peer_remove(h->c, opt_now(L, 3, h), id);
    if (rc) return orrb_fail(L, rc, CLOCK ":remove");
    set_name(L, id, 0);
    return done(L);
}

/* -- Inputs -------------------------------------------------------------------------------------------------------- */
static uint32_t saturated(lua_Integer ns) { return ns > (lua_Integer)UINT32_MAX ? UINT32_MAX : (uint32_t)ns; }

/* One of a sample's options, key at -2 and value at -1; false: it is none, or not that. */
static bool read_option(lua_State *L, struct orr_clock_exchange *x, orr_time *now) {
    int is_integer;
    lua_Integer v = lua_tointegerx(L, -1, &is_integer);
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TNUMBER || !is_integer) return false;
    const char *key = lua_tostring(L, -2);
    if (strcmp(key, "now") == 0) return *now = v, true;
    if (v < 0) return false;
    if (strcmp(key, "root_delay") == 0) return x->root_delay_ns = saturated(v), true;
    if (strcmp(key, "root_dispersion") == 0) return x->root_dispersion_ns = saturated(v), true;
    if (strcmp(key, "error") == 0) return x->stamp_error_ns = saturated(v), true;
    if (strcmp(key, "stratum") == 0) return x->stratum = (uint8_t)v, v <= UINT8_MAX;
    if (strcmp(key, "leap") == 0) return x->leap = (uint8_t)v, v <= 3;
    return false;
}

/* The table at arg, if there is one. */
static void read_options(lua_State *L, int arg, struct orr_clock_exchange *x, orr_time *now) {
    bool good = lua_istable(L, arg);
    if (lua_isnoneornil(L, arg)) return;
    if (good) lua_pushnil(L);
    while (good && lua_next(L, arg)) {
        good = read_option(L, x, now);
        lua_pop(L, 1);
    }
    if (good) return;
    lua_getiuservalue(L, 1, CHECK);
    lua_pushvalue(L, arg);
    lua_call(L, 1, 0);                      /* raises */
    luaL_argerror(L, arg, "options that a sample has are expected");
}

/* c:sample(peer, t1, t2, t3, t4 [, options]) -> verdict; or nil, message, code */
static int clock_sample(lua_State *L) {
    struct clock *h = check(L);
    lua_settop(L, 7);
    struct orr_clock_exchange x = { .t1 = luaL_checkinteger(L, 3), .t2 = luaL_checkinteger(L, 4),
                                    .t3 = luaL_checkinteger(L, 5), .t4 = luaL_checkinteger(L, 6), .stratum = 1 };
    orr_time now = x.t4;
    uint32_t id;
    read_options(L, 7, &x, &now);
    orrb_budget_charge(L, SAMPLE_STEPS);
    if (!find(L, h, 2, &id)) {
        int said = introduce(L, h, now, 2, 0, "sample");
        if (said) return said;
        h = check(L);                       /* making room may have run a finalizer */
    }
    int verdict = orr_clock_sample(h->c, at(h, now), id, &x);
    lua_pushstring(L, verdicts[verdict]);
    return 1;
}

static int clock_lost(lua_State *L) {
    struct clock *h = check(L);
    orr_time now = luaL_checkinteger(L, 3);
    uint32_t id;
    if (!find(L, h, 2, &id)) {
        int said = introduce(L, h, now, 2, 0, "lost");
        if (said) return said;
        h = check(L);
    }
    (void)orr_clock_lost(h->c, at(h, now), id);
    return done(L);
}

static int clock_temperature(lua_State *L) {
    struct clock *h = check(L);
    lua_Integer degrees = luaL_checkinteger(L, 3);
    if (degrees < INT32_MIN) degrees = INT32_MIN;           /* far from any that is taken */
    if (degrees > INT32_MAX) degrees = INT32_MAX;
    orr_clock_temperature(h->c, at(h, luaL_checkinteger(L, 2)), (int32_t)degrees);
    return done(L);
}

static int clock_step(lua_State *L) {
    struct clock *h = check(L);
    orr_time delta = luaL_optinteger(L, 3, ORR_CLOCK_UNKNOWN);
    orr_clock_local_step(h->c, at(h, luaL_checkinteger(L, 2)), delta);
    return done(L);
}

/* c:replay(line) -> true, or the answer to a query; or nil, what is wrong with the line, code */
static int clock_replay(lua_State *L) {
    struct clock *h = check(L);
    char text[ORR_CLOCK_TEXT];
    size_t size;
    const char *line = luaL_checklstring(L, 2, &size);
    orrb_budget_charge(L, SAMPLE_STEPS + (int64_t)(size / 8));
    int said = orr_clock_replay(h->c, line, size, text);
    if (said == 0) return done(L);
    lua_pushstring(L, text);
    return said > 0 ? 1 : refuse(L, said);
}

/* -- The time ------------------------------------------------------------------------------------------------------ */
/* Numbers of the peers in these places. */
static unsigned pick(const struct clock *h, uint64_t places, uint32_t ids[ORR_CLOCK_PEERS_MAX + 1]) {
    unsigned n = 0;
    for (unsigned place = 0; orr_clock_peer_at(h->c, place, &ids[n]); place++) {
        if (places >> place & 1) n++;
    }
    return n;
}

static void push_peers(lua_State *L, const uint32_t *ids, unsigned n) {
    lua_createtable(L, (int)n, 0);
    for (unsigned i = 0; i < n; i++) {
        push_peer(L, ids[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static int refuse_time(lua_State *L, const char *what) {
    lua_pushfstring(L, CLOCK ":%s: nobody knows what time it is", what);
    return refuse(L, ORR_EUNAVAILABLE);
}

static int clock_now(lua_State *L) {
    struct clock *h = check(L);
    struct orr_clock_time t;
    uint32_t ids[ORR_CLOCK_PEERS_MAX + 1];
    if (!orr_clock_now(h->c, luaL_checkinteger(L, 2), &t)) return refuse_time(L, "now");
    unsigned n = pick(h, t.good, ids);
    lua_createtable(L, 0, 9);
    orrb_set_text(L, "state", states[t.state]);
    orrb_set_integer(L, "offset", t.offset);
    orrb_set_integer(L, "earliest", t.earliest);
    orrb_set_integer(L, "latest", t.latest);
    orrb_set_integer(L, "likely", t.likely);
    orrb_set_integer(L, "rate", t.rate_ppt);
    orrb_set_integer(L, "epoch", t.epoch);
    orrb_set_integer(L, "stratum", t.stratum);
    push_peers(L, ids, n);
    lua_setfield(L, -2, "good");
    return 1;
}

static int clock_after(lua_State *L) {
    struct clock *h = check(L);
    struct orr_clock_time now;
    (void)orr_clock_now(h->c, luaL_checkinteger(L, 2), &now);
    lua_pushboolean(L, orr_clock_after(&now, luaL_checkinteger(L, 3)));
    return 1;
}

static int clock_before(lua_State *L) {
    struct clock *h = check(L);
    struct orr_clock_time now;
    (void)orr_clock_now(h->c, luaL_checkinteger(L, 2), &now);
    lua_pushboolean(L, orr_clock_before(&now, luaL_checkinteger(L, 3)));
    return 1;
}

static int clock_wait(lua_State *L) {
    struct clock *h = check(L);
    orr_time left = orr_clock_wait(h->c, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
    if (left == ORR_NEVER) return refuse_time(L, "wait");
    lua_pushinteger(L, left);
    return 1;
}

/* -- Looking at peers ---------------------------------------------------------------------------------------------- */
static void set_estimate(lua_State *L, const struct orr_clock_peer *p) {
    orrb_set_integer(L, "offset", p->offset);
    orrb_set_integer(L, "sd", p->sd);
    orrb_set_integer(L, "earliest", p->earliest);
    orrb_set_integer(L, "latest", p->latest);
    orrb_set_integer(L, "rate", p->rate_ppt);
    orrb_set_integer(L, "delay", p->delay);
    orrb_set_integer(L, "jitter", p->jitter);
    orrb_set_integer(L, "out_percent", p->out_percent);
}

static int clock_peer(lua_State *L) {
    struct clock *h = check(L);
    orr_time local = luaL_optinteger(L, 3, h->latest);
    struct orr_clock_peer p;
    uint32_t id;
    if (!find(L, h, 2, &id)) return refuse_unknown(L, 2, "peer");
    (void)orr_clock_peer_info(h->c, local, id, &p);
    lua_createtable(L, 0, 16);
    orrb_set_text(L, "role", roles[p.role]);
    lua_pushboolean(L, (p.flags & ORR_CLOCK_TRUST) != 0);
    lua_setfield(L, -2, "trust");
    lua_pushboolean(L, (p.flags & ORR_CLOCK_NOSELECT) != 0);
    lua_setfield(L, -2, "noselect");
    orrb_set_integer(L, "reach", p.reach);
    orrb_set_integer(L, "poll", p.poll);
    orrb_set_integer(L, "lost", (lua_Integer)p.lost);
    if (p.role != ORR_CLOCK_NEW) set_estimate(L, &p);
    lua_createtable(L, 0, ORR_CLOCK_VERDICTS);
    for (unsigned i = 0; i < ORR_CLOCK_VERDICTS; i++) orrb_set_integer(L, verdicts[i], (lua_Integer)p.verdicts[i]);
    lua_setfield(L, -2, "verdicts");
    return 1;
}

static int clock_peers(lua_State *L) {
    uint32_t ids[ORR_CLOCK_PEERS_MAX + 1];
    unsigned n = pick(check(L), UINT64_MAX, ids);
    push_peers(L, ids, n);
    return 1;
}

static int clock_next(lua_State *L) {
    struct clock *h = check(L);
    orr_time local = luaL_checkinteger(L, 2);
    uint32_t id;
    if (!find(L, h, 3, &id)) return refuse_unknown(L, 3, "next");
    lua_pushinteger(L, orr_clock_next(h->c, local, id));
    return 1;
}

/* -- What outlives a restart --------------------------------------------------------------------------------------- */
static int clock_save(lua_State *L) {
    struct clock *h = check(L);
    luaL_Buffer b;
    size_t size = orr_clock_save(h->c, NULL, 0);
    void *at = luaL_buffinitsize(L, &b, size);
    if (orr_clock_save(check(L)->c, at, size) != size) return luaL_error(L, CLOCK ":save: a finalizer changed it");
    luaL_pushresultsize(&b, size);
    return 1;
}

static int clock_load(lua_State *L) {
    struct clock *h = check(L);
    size_t size;
    const char *saved = luaL_checklstring(L, 2, &size);
    int rc = orr_clock_load(h->c, saved, size);
    if (rc == 0) return done(L);
    lua_pushstring(L, rc == ORR_ECORRUPT ? CLOCK ":load: this is nothing that save() wrote"
                                         : CLOCK ":load: an exchange was heard already");
    return refuse(L, rc);
}

static int clock_tostring(lua_State *L) {
    struct clock *h = luaL_checkudata(L, 1, CLOCK);
    struct orr_clock_time t;
    uint32_t ids[ORR_CLOCK_PEERS_MAX + 1];
    if (!h->c) {
        lua_pushliteral(L, CLOCK "(closed)");
        return 1;
    }
    unsigned n = pick(h, UINT64_MAX, ids);
    if (!orr_clock_now(h->c, h->latest, &t)) {
        lua_pushfstring(L, CLOCK "(unsync peers=%d)", (int)n);
        return 1;
    }
    lua_pushfstring(L, CLOCK "(%s offset=%I ns in %I..%I good=%d of %d epoch=%I)", states[t.state],
                    (LUAI_UACINT)t.offset, (LUAI_UACINT)(t.earliest - h->latest), (LUAI_UACINT)(t.latest - h->latest),
                    __builtin_popcountll(t.good), (int)n, (LUAI_UACINT)t.epoch);
    return 1;
}

int orrb_open_clock(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "remove", clock_remove }, { "sample", clock_sample }, { "lost", clock_lost },
        { "step", clock_step },     { "now", clock_now },       { "temperature", clock_temperature },
        { "after", clock_after },   { "before", clock_before }, { "wait", clock_wait },
        { "peer", clock_peer },     { "peers", clock_peers },   { "next", clock_next },
        { "save", clock_save },     { "load", clock_load },     { "replay", clock_replay },
        { "close", clock_close },   { NULL, NULL },
    };
    static const luaL_Reg metamethods[] = {
        { "__tostring", clock_tostring }, { "__gc", clock_close }, { "__close", clock_close }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = { { "new", clock_new }, { "add", clock_add }, { NULL, NULL } };
    luaL_newmetatable(L, CLOCK);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
    luaL_newlib(L, functions);
    lua_insert(L, -2);
    lua_setfield(L, -2, "methods");
    lua_remove(L, -2);
    return 1;
}
