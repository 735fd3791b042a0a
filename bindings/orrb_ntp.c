/* orrb_ntp.c - core.ntp: servers followed, and time served, on a loop of its own.
 *
 *     local ntp <close> = assert(core.ntp.new{ from = { "192.0.2.1", "pool:pool.example.net" }, serve = ":123" })
 *     while ntp:step(0.1) do ... ntp:places() ... end     -- false: it was told to stop                             */
#include <stdio.h>
#include <string.h>

#include <orrery/ntp_live.h>

#include "orrb.h"

#define NTP "orrery.ntp"

struct ntp {
    struct orr_loop *loop;
    struct orr_clock *clock;
    struct orr_ntp_sources *sources;
    struct orr_ntp_service *service;
};

static struct ntp *check_ntp(lua_State *L) {
    struct ntp *n = luaL_checkudata(L, 1, NTP);
    luaL_argcheck(L, n->loop, 1, "it is closed");
    return n;
}

/* -- Opening, closing --------------------------------------------------------------------------------------------- */
static int ntp_close(lua_State *L) {
    struct ntp *n = luaL_checkudata(L, 1, NTP);
    orr_ntp_service_free(n->service);
    orr_ntp_sources_free(n->sources);
    orr_clock_free(n->clock);
    orr_loop_free(n->loop);
    *n = (struct ntp){ 0 };
    return 0;
}

static void on_wake(void *ud) {
    struct orr_world *w = ud;
    for (struct orr_req *req = w->ops->take(w); req; req = w->ops->take(w))
        if (req->op == ORR_OP_SIGNAL && req->result != 1) w->ops->stop(w, 0, "a signal");    /* 1: SIGHUP */
}

static int open_loop(struct ntp *n, bool signals) {
    struct orr_loop_config config;
    orr_loop_config_init(&config);
    config.signals = signals;
    int rc = orr_loop_new(&n->loop, &config);
    if (rc < 0) return rc;
    struct orr_world *w = orr_loop_world(n->loop);
    w->wake = on_wake;
    w->ud = w;
    return 0;
}

/* The strings stay in the table at arg. */
static size_t read_sources(lua_State *L, int arg, struct orr_ntp_source *list) {
    size_t n = 0;
    if (lua_getfield(L, arg, "from") == LUA_TTABLE) {
        for (; n < ORR_CLOCK_PEERS_MAX && lua_geti(L, -1, (lua_Integer)n + 1) == LUA_TSTRING; n++, lua_pop(L, 1)) {
            const char *name = lua_tostring(L, -1);
            bool pool = strncmp(name, "pool:", 5) == 0;
            list[n] = (struct orr_ntp_source){ pool ? name + 5 : name, pool ? ORR_NTP_POOL : 0 };
        }
        if (n < ORR_CLOCK_PEERS_MAX) lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return n;
}

static int follow(struct ntp *n, struct orr_ntp_sources_config *config) {
    struct orr_clock_config of;
    orr_clock_config_init(&of);
    of.peers_max = ORR_CLOCK_PEERS_MAX;
    of.poll_min = config->poll_min;
    of.poll_max = config->poll_max;
    int rc = orr_clock_new(&n->clock, &of);
    config->clock = n->clock;
    return rc < 0 ? rc : orr_ntp_sources_new(&n->sources, n->loop, config);
}

static bool flag(lua_State *L, int arg, const char *field) {
    lua_getfield(L, arg, field);
    bool set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return set;
}

/* ntp.new{ from = { "HOST:PORT" or "pool:HOST:PORT", ... }, serve = "HOST:PORT", poll_min, poll_max (log2 s), timeout,
 * interleaved, quiet, signals } -> handle, or nil, message, code. Without `from` the machine's clock is served. */
static int ntp_new(lua_State *L) {
    struct orr_ntp_source list[ORR_CLOCK_PEERS_MAX];
    struct orr_ntp_sources_config config;
    struct orr_ntp_service_config service;
    luaL_checktype(L, 1, LUA_TTABLE);
    orr_ntp_sources_config_init(&config);
    orr_ntp_service_config_init(&service);
    config.sources = list;
    config.n_sources = read_sources(L, 1, list);
    config.poll_min = (int8_t)orrb_integer_field(L, 1, "poll_min", config.poll_min);
    config.poll_max = (int8_t)orrb_integer_field(L, 1, "poll_max", config.poll_max);
    config.timeout = orrb_time_field(L, 1, "timeout", config.timeout);
    config.interleaved = flag(L, 1, "interleaved");
    config.quiet = flag(L, 1, "quiet");
    config.serves = flag(L, 1, "serve");
    bool signals = flag(L, 1, "signals");
    if (config.serves) service.address = orrb_text_field(L, 1, "serve", NULL);

    struct ntp *n = lua_newuserdatauv(L, sizeof *n, 0);
    *n = (struct ntp){ 0 };
    luaL_setmetatable(L, NTP);
    int rc = open_loop(n, signals);
    if (rc == 0 && config.n_sources > 0) rc = follow(n, &config);
    if (rc < 0) return orrb_fail(L, rc, "from");
    service.clock = n->clock;
    service.sources = n->sources;
    if (config.serves) rc = orr_ntp_service_new(&n->service, n->loop, &service);
    return rc < 0 ? orrb_fail(L, rc, service.address) : 1;
}

/* ntp:step(T): one turn, after at most T. False once a signal told it to stop. */
static int ntp_step(lua_State *L) {
    lua_pushboolean(L, orr_loop_step(check_ntp(L)->loop, orrb_seconds(L, 2)) != ORR_ECLOSED);
    return 1;
}

/* -- Looking ------------------------------------------------------------------------------------------------------ */
static void set_bool(lua_State *L, const char *field, bool value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, field);
}

/* What the clock makes of it. Offsets here are against the machine's wall clock; positive: that is behind. */
static void push_estimate(lua_State *L, const struct ntp *n, uint32_t id) {
    static const char *const roles[] = { "new", "true", "false", "observed" };
    orr_time local = orr_ntp_local(), error, wall = orr_ntp_wall_offset(&error);
    struct orr_clock_peer p;
    struct orr_clock_time now;
    if (orr_clock_peer_info(n->clock, local, id, &p) != 0 || p.latest == 0) return;
    orr_time before = local + p.offset - p.earliest, after = p.latest - local - p.offset;
    orrb_set_integer(L, "offset_ns", p.offset - wall);
    orrb_set_integer(L, "bound_ns", (before > after ? before : after) + error);
    orrb_set_integer(L, "delay_ns", p.delay);
    orrb_set_integer(L, "jitter_ns", p.jitter);
    orrb_set_integer(L, "rate_ppt", p.rate_ppt);
    orrb_set_text(L, "role", roles[p.role]);
    set_bool(L, "apart", orr_clock_now(n->clock, local, &now) && (p.latest < now.earliest || p.earliest > now.latest));
}

static void push_last(lua_State *L, const struct orr_ntp_exchange *x) {
    orrb_set_integer(L, "t1", x->t1);
    orrb_set_integer(L, "t2", x->t2);
    orrb_set_integer(L, "t3", x->t3);
    orrb_set_integer(L, "t4", x->t4);
    orrb_set_integer(L, "stamp_error_ns", x->stamp_error_ns);
    orrb_set_integer(L, "wall_offset_ns", orr_ntp_wall_offset(NULL));
    orrb_set_integer(L, "stratum", x->stratum);
    orrb_set_integer(L, "leap", x->leap);
    orrb_set_integer(L, "refid", x->refid);
    orrb_set_integer(L, "precision", x->precision);
    orrb_set_integer(L, "root_delay_ns", x->root_delay_ns);
    orrb_set_integer(L, "root_dispersion_ns", x->root_dispersion_ns);
    set_bool(L, "kernel_stamps", !(x->flags & (ORR_NTP_USER_T1 | ORR_NTP_USER_T4)));
    set_bool(L, "interleaved", x->flags & ORR_NTP_INTERLEAVED);
}

static void push_place(lua_State *L, const struct ntp *n, const struct orr_ntp_place *p) {
    lua_createtable(L, 0, 30);
    orrb_set_text(L, "source", p->source);
    if (p->address[0]) orrb_set_text(L, "address", p->address);
    orrb_set_text(L, "why", p->why);
    orrb_set_integer(L, "exchanges", (lua_Integer)p->exchanges);
    orrb_set_integer(L, "requests", (lua_Integer)p->status.requests);
    orrb_set_integer(L, "reach", p->status.reach);
    orrb_set_integer(L, "silent", p->silent);
    orrb_set_integer(L, "untried", p->untried);
    set_bool(L, "waiting", p->waiting);
    set_bool(L, "stopped", p->status.stopped);
    if (p->heard) orrb_set_text(L, "verdict", orr_ntp_verdict_word(p->verdict));
    if (p->exchanges > 0) push_last(L, &p->last);
    if (p->address[0]) push_estimate(L, n, p->id);
}

/* ntp:places() -> a table for each server, or for the name that none is known of yet */
static int ntp_places(lua_State *L) {
    const struct ntp *n = check_ntp(L);
    struct orr_ntp_place place;
    lua_Integer at = 0;
    lua_newtable(L);
    for (size_t i = 0; n->sources && i < orr_ntp_sources_places(n->sources); i++) {
        if (!orr_ntp_sources_place(n->sources, i, &place)) continue;
        push_place(L, n, &place);
        lua_seti(L, -2, ++at);
    }
    return 1;
}

/* ntp:now() -> { state, stratum, epoch, offset_ns, bound_ns }: of all servers together; nil: nobody was heard */
static int ntp_now(lua_State *L) {
    static const char *const states[] = { "unsynchronised", "synchronised", "holdover" };
    const struct ntp *n = check_ntp(L);
    orr_time local = orr_ntp_local(), error, wall = orr_ntp_wall_offset(&error);
    struct orr_clock_time now;
    if (!n->clock || !orr_clock_now(n->clock, local, &now)) return 0;
    orr_time before = local + now.offset - now.earliest, after = now.latest - local - now.offset;
    lua_createtable(L, 0, 5);
    orrb_set_text(L, "state", states[now.state]);
    orrb_set_integer(L, "stratum", now.stratum);
    orrb_set_integer(L, "epoch", now.epoch);
    orrb_set_integer(L, "offset_ns", now.offset - wall);
    orrb_set_integer(L, "bound_ns", (before > after ? before : after) + error);
    return 1;
}

/* ntp:judge() -> as now(), without those that have not answered, for good: they don't count against a majority */
static int ntp_judge(lua_State *L) {
    const struct ntp *n = check_ntp(L);
    struct orr_ntp_place place;
    for (size_t i = 0; n->sources && i < orr_ntp_sources_places(n->sources); i++) {
        if (!orr_ntp_sources_place(n->sources, i, &place) || !place.address[0] || place.exchanges > 0) continue;
        orr_clock_peer_remove(n->clock, orr_ntp_local(), place.id);
    }
    return ntp_now(L);
}

/* ntp:served() -> { port, answered, limited, refused, synchronised, stratum, refid, half_width_ns } */
static int ntp_served(lua_State *L) {
    const struct ntp *n = check_ntp(L);
    struct orr_ntp_service_status s;
    uint64_t refused = 0;
    if (!n->service) return 0;
    orr_ntp_service_status(n->service, &s);
    for (unsigned v = 0; v < ORR_NTP_VERDICT_COUNT; v++) refused += s.server.verdicts[v];
    uint64_t answered = s.server.verdicts[ORR_NTP_TAKEN];
    uint64_t limited = s.server.verdicts[ORR_NTP_RATE] + s.server.verdicts[ORR_NTP_LIMITED];
    lua_createtable(L, 0, 9);
    orrb_set_integer(L, "port", orr_ntp_service_port(n->service));
    orrb_set_integer(L, "answered", (lua_Integer)answered);
    orrb_set_integer(L, "interleaved", (lua_Integer)s.server.interleaved);
    orrb_set_integer(L, "limited", (lua_Integer)limited);
    orrb_set_integer(L, "refused", (lua_Integer)(refused - answered - limited));
    set_bool(L, "synchronised", s.clock.synchronised);
    orrb_set_integer(L, "stratum", s.clock.stratum);
    orrb_set_integer(L, "refid", s.clock.refid);
    orrb_set_integer(L, "half_width_ns", s.clock.half_width);
    return 1;
}

/* ntp.name_ok(text): can it be a source? */
static int ntp_name_ok(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    lua_pushboolean(L, orr_ntp_name_ok(strncmp(name, "pool:", 5) == 0 ? name + 5 : name));
    return 1;
}

/* ntp.address_ok(text): can it be served on? */
static int ntp_address_ok(lua_State *L) {
    struct orr_ntp_service_config config;
    orr_ntp_service_config_init(&config);
    config.address = luaL_checkstring(L, 1);
    lua_pushboolean(L, orr_ntp_service_config_check(&config, NULL) == 0);
    return 1;
}

int orrb_open_ntp(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "step", ntp_step }, { "places", ntp_places }, { "now", ntp_now }, { "judge", ntp_judge },
        { "served", ntp_served }, { "close", ntp_close }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = {
        { "new", ntp_new }, { "name_ok", ntp_name_ok }, { "address_ok", ntp_address_ok }, { NULL, NULL },
    };
    luaL_newmetatable(L, NTP);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, ntp_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, ntp_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
