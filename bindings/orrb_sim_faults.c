/* orrb_sim_faults.c - the methods of core.sim that hurt and mend links, disks and clocks. */
#include "orrb_sim.h"

/* -- Links. An end is an id, or "clients". ------------------------------------------------------------------------ */

/* sim:link(from, to) -> { delay, jitter, bandwidth, loss, duplicate, reorder, mutate, replay, cut } */
static int sim_link(lua_State *L) {
    struct orr_sim_link link;
    bool cut = false;
    struct orr_sim *sim = orrb_check_sim(L);
    int rc = orr_sim_link_now(sim, luaL_checkstring(L, 2), luaL_checkstring(L, 3), &link, &cut);
    if (rc < 0) return orrb_fail(L, rc, "link");
    lua_createtable(L, 0, 9);
    lua_pushinteger(L, link.delay);
    lua_setfield(L, -2, "delay");
    lua_pushinteger(L, link.jitter);
    lua_setfield(L, -2, "jitter");
    lua_pushinteger(L, (lua_Integer)link.bandwidth);
    lua_setfield(L, -2, "bandwidth");
    lua_pushnumber(L, link.loss);
    lua_setfield(L, -2, "loss");
    lua_pushnumber(L, link.duplicate);
    lua_setfield(L, -2, "duplicate");
    lua_pushnumber(L, link.reorder);
    lua_setfield(L, -2, "reorder");
    lua_pushnumber(L, link.mutate);
    lua_setfield(L, -2, "mutate");
    lua_pushnumber(L, link.replay);
    lua_setfield(L, -2, "replay");
    lua_pushboolean(L, cut);
    lua_setfield(L, -2, "cut");
    return 1;
}

static double number_field(lua_State *L, int arg, const char *field) {
    lua_getfield(L, arg, field);
    double value = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return value;
}

/* sim:set_link(from, to, { ... as link gives it }): one way. cut = nil: as it is. */
static int sim_set_link(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    const char *from = luaL_checkstring(L, 2), *to = luaL_checkstring(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    struct orr_sim_link link = {
        .delay = orrb_integer_field(L, 4, "delay", 0),
        .jitter = orrb_integer_field(L, 4, "jitter", 0),
        .bandwidth = (uint64_t)orrb_integer_field(L, 4, "bandwidth", 0),
        .loss = number_field(L, 4, "loss"),
        .duplicate = number_field(L, 4, "duplicate"),
        .reorder = number_field(L, 4, "reorder"),
        .mutate = number_field(L, 4, "mutate"),
        .replay = number_field(L, 4, "replay"),
    };
    int type = lua_getfield(L, 4, "cut");
    int rc = orr_sim_link(sim, from, to, &link);
    bool cut = lua_toboolean(L, -1);
    if (rc == 0 && type != LUA_TNIL) rc = cut ? orr_sim_cut(sim, from, to) : orr_sim_uncut(sim, from, to);
    return orrb_sim_answer(L, rc, "link");
}

static int sim_reset(lua_State *L) {
    return orrb_sim_answer(L, orr_sim_reset(orrb_check_sim(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3)),
                           "reset");
}

/* sim:stall(from, to, lasts) */
static int sim_stall(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    orr_time until = orr_sim_now(sim) + luaL_checkinteger(L, 4);
    return orrb_sim_answer(L, orr_sim_stall(sim, luaL_checkstring(L, 2), luaL_checkstring(L, 3), until), "stall");
}

/* sim:slow(from, to, bytes a second); 0: as it was */
static int sim_slow(lua_State *L) {
    uint64_t bandwidth = (uint64_t)luaL_checkinteger(L, 4);
    return orrb_sim_answer(L, orr_sim_slow(orrb_check_sim(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                           bandwidth),
                  "slow");
}

/* sim:calm(): ends the faults that it was made with, and all others: links, disks, clocks; what is down is started. */
static int sim_calm(lua_State *L) {
    orr_sim_heal(orrb_check_sim(L));
    return 0;
}

/* -- Disks and clocks --------------------------------------------------------------------------------------------- */
/* sim:disk_speed(id, T): every operation takes that long; without T: the default. sync: only syncs do. */
static int sim_disk_speed(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    struct orr_sim_config cfg;
    orr_sim_config_init(&cfg);
    struct orr_sim_disk_speed speed = cfg.disk;
    if (!lua_isnoneornil(L, 3)) {
        speed.sync = luaL_checkinteger(L, 3);
        if (!lua_toboolean(L, 4)) speed.read = speed.write = speed.name = speed.sync;
    }
    return orrb_sim_answer(L, orr_sim_disk_speed(sim, luaL_checkstring(L, 2), &speed), "disk_speed");
}

/* sim:disk_room(id, bytes): so many more can be written; without: as at the beginning */
static int sim_disk_room(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    const char *id = luaL_checkstring(L, 2);
    struct orr_sim_config cfg;
    uint64_t used = 0;
    orr_sim_config_init(&cfg);
    int rc = orr_sim_disk_used(sim, id, &used);
    if (rc == 0 && lua_isnoneornil(L, 3)) rc = orr_sim_disk_room(sim, id, cfg.disk_bytes);
    else if (rc == 0) rc = orr_sim_disk_room(sim, id, used + (uint64_t)luaL_checkinteger(L, 3));
    return orrb_sim_answer(L, rc, "disk_room");
}

/* sim:wear_disk(id, times) */
static int sim_wear_disk(lua_State *L) {
    return orrb_sim_answer(L, orr_sim_disk_slower(orrb_check_sim(L), luaL_checkstring(L, 2), luaL_checknumber(L, 3)),
                  "wear_disk");
}

/* sim:rot(id, path, at): flips a bit of that byte; nil, message, code: the durable image has none there */
static int sim_rot(lua_State *L) {
    uint64_t at = (uint64_t)luaL_checkinteger(L, 4);
    return orrb_sim_answer(L, orr_sim_disk_rot(orrb_check_sim(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3), at),
                           "rot");
}

/* sim:clock(id) -> what its wall clock shows, in ns since 1970; how fast its clocks run, in ppb */
static int sim_clock(lua_State *L) {
    orr_time wall = 0;
    int32_t ppb = 0;
    int rc = orr_sim_clock_now(orrb_check_sim(L), luaL_checkstring(L, 2), &wall, &ppb);
    if (rc < 0) return orrb_fail(L, rc, "clock");
    lua_pushinteger(L, wall);
    lua_pushinteger(L, ppb);
    return 2;
}

/* sim:set_clock(id, step, ppb) */
static int sim_set_clock(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    int32_t ppb = (int32_t)luaL_checkinteger(L, 4);
    return orrb_sim_answer(L, orr_sim_clock(sim, luaL_checkstring(L, 2), luaL_checkinteger(L, 3), ppb), "set_clock");
}

/* sim:freeze_clock(id, on) */
static int sim_freeze_clock(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    return orrb_sim_answer(L, orr_sim_clock_freeze(sim, luaL_checkstring(L, 2), lua_toboolean(L, 3)), "freeze_clock");
}

static int set_oscillator(lua_State *L, struct orr_sim *sim, const struct orr_sim_oscillator *as, const char *what) {
    return orrb_sim_answer(L, orr_sim_oscillator(sim, luaL_checkstring(L, 2), as), what);
}

/* sim:wander(id, ppb in the square root of an hour, most ppb) */
static int sim_wander(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    struct orr_sim_oscillator as = { 0 };
    (void)orr_sim_oscillator_now(sim, luaL_checkstring(L, 2), &as);
    as.wander_ppb = (int32_t)luaL_checkinteger(L, 3);
    as.most_ppb = (int32_t)luaL_checkinteger(L, 4);
    return set_oscillator(L, sim, &as, "wander");
}

/* sim:heat(id, mK, period in ns, ppb per kelvin, most ppb). Where it wanders, its most stays. */
static int sim_heat(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    struct orr_sim_oscillator as = { 0 };
    (void)orr_sim_oscillator_now(sim, luaL_checkstring(L, 2), &as);
    as.swing_mk = (int32_t)luaL_checkinteger(L, 3);
    as.period = luaL_checkinteger(L, 4);
    as.ppb_per_kelvin = (int32_t)luaL_checkinteger(L, 5);
    if (as.wander_ppb == 0) as.most_ppb = (int32_t)luaL_checkinteger(L, 6);
    return set_oscillator(L, sim, &as, "heat");
}

/* sim:oscillator(id) -> how fast its clocks run now, in ppb; what its sensor shows, in 1/1000 degree, or nil */
static int sim_oscillator(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    int32_t ppb = 0, milli_c = 0;
    int rc = orr_sim_oscillator_rate(sim, luaL_checkstring(L, 2), &ppb);
    if (rc < 0) return orrb_fail(L, rc, "oscillator");
    lua_pushinteger(L, ppb);
    if (orr_sim_temperature(sim, lua_tostring(L, 2), &milli_c) == 0) lua_pushinteger(L, milli_c);
    else lua_pushnil(L);
    return 2;
}

/* sim:rate(id, fault, rate): of this node alone; nil: as the simulation's */
static int sim_rate(lua_State *L) {
    struct orr_sim *sim = orrb_check_sim(L);
    int kind = orr_sim_fault_by_name(luaL_checkstring(L, 3));
    luaL_argcheck(L, kind >= 0, 3, "not a fault");
    double rate = lua_isnoneornil(L, 4) ? -1 : luaL_checknumber(L, 4);
    return orrb_sim_answer(L, orr_sim_rate(sim, luaL_checkstring(L, 2), (enum orr_sim_fault)kind, rate), "rate");
}

const luaL_Reg orrb_sim_faults[] = {
    { "link", sim_link }, { "set_link", sim_set_link }, { "reset", sim_reset }, { "stall", sim_stall },
    { "slow", sim_slow }, { "calm", sim_calm }, { "disk_speed", sim_disk_speed },
    { "disk_room", sim_disk_room }, { "wear_disk", sim_wear_disk }, { "rot", sim_rot },
    { "clock", sim_clock }, { "set_clock", sim_set_clock }, { "freeze_clock", sim_freeze_clock },
    { "wander", sim_wander }, { "heat", sim_heat }, { "oscillator", sim_oscillator },
    { "rate", sim_rate }, { NULL, NULL },
};
