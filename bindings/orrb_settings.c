/* orrb_settings.c - what the Lua side gives a node's config: the nodes, the clock, the membership; and what a secret of
 * the cluster file stands for. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orrb.h"
#include "orrb_script.h"

enum { SECRET_MAX = 4096 };         /* bytes of its text */

/* nodes = { { id, at, link }, ... } */
void orrb_read_nodes(lua_State *L, struct orr_node_config *cfg) {
    lua_getfield(L, 1, "nodes");
    size_t n = (size_t)luaL_len(L, -1);
    struct orr_node_member *nodes = lua_newuserdatauv(L, (n + 1) * sizeof *nodes, 0);
    for (size_t i = 0; i < n; i++) {
        lua_geti(L, -2, (lua_Integer)i + 1);
        nodes[i].id = orrb_text_field(L, lua_gettop(L), "id", NULL);
        nodes[i].address = orrb_text_field(L, lua_gettop(L), "at", NULL);
        lua_getfield(L, -1, "link");
        nodes[i].link = lua_toboolean(L, -1);
        lua_pop(L, 2);
    }
    cfg->nodes = nodes;
    cfg->n_nodes = n;
}

/* The array at the top as texts; what holds them is left in its place. */
static void read_servers(lua_State *L, struct orr_node_clock *clock) {
    size_t n = (size_t)luaL_len(L, -1);
    const char **names = lua_newuserdatauv(L, (n + 1) * sizeof *names, 0);
    luaL_checkstack(L, (int)n + 2, NULL);
    for (size_t i = 0; i < n; i++) {
        lua_geti(L, -2 - (int)i, (lua_Integer)i + 1);
        names[i] = luaL_checkstring(L, -1);
    }
    clock->ntp = names;
    clock->n_ntp = n;
}

/* false: nobody asks or answers; or { mode, bound_max, skew_max, drift_max, at_once, discipline, ntp }, each may
 * be nil. Leaves what holds the servers' addresses. */
void orrb_read_clock(lua_State *L, struct orr_node_clock *clock) {
    clock->off = lua_getfield(L, 1, "clock") == LUA_TBOOLEAN;
    if (lua_istable(L, -1)) {
        int at = lua_gettop(L);
        clock->bound_max = orrb_time_field(L, at, "bound_max", clock->bound_max);
        clock->skew_max = orrb_time_field(L, at, "skew_max", clock->skew_max);
        if (lua_getfield(L, at, "drift_max") != LUA_TNIL)
            clock->drift_max_ppb = (uint32_t)ceil(1e9 * luaL_checknumber(L, -1));
        lua_getfield(L, at, "at_once");
        clock->at_once = lua_toboolean(L, -1);
        lua_getfield(L, at, "discipline");
        clock->discipline = lua_toboolean(L, -1);
        lua_getfield(L, at, "mode");
        if (lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), "pacemaker") == 0) clock->mode = ORR_CLOCK_PACEMAKER;
        lua_settop(L, at);
        if (lua_getfield(L, at, "ntp") == LUA_TTABLE) read_servers(L, clock);
    }
}

static void read_detector(lua_State *L, int at, struct orr_membership_config *m) {
    for (enum orr_detector d = ORR_DETECTOR_SWIM; d <= ORR_DETECTOR_DEADLINE; d++)
        if (strcmp(orrb_text_field(L, at, "detector", NULL), orr_detector_word(d)) == 0) m->detector = d;
}

/* The keys' secrets at `at`, an array of texts. Leaves what holds the keys on the stack. */
static void read_keys(lua_State *L, int at, struct orr_node_membership *m) {
    lua_getfield(L, at, "keys");
    int from = lua_gettop(L);
    size_t n = (size_t)luaL_len(L, -1);
    unsigned char(*keys)[ORR_MEMBERSHIP_KEY] = lua_newuserdatauv(L, (n + 1) * sizeof *keys, 0);
    for (size_t i = 0; i < n; i++) {
        size_t size;
        lua_geti(L, from, (lua_Integer)i + 1);
        const char *secret = luaL_checklstring(L, -1, &size);
        orr_membership_key_of(secret, size, keys[i]);
        lua_pop(L, 1);
    }
    m->keys = (const unsigned char(*)[ORR_MEMBERSHIP_KEY])keys;
    m->n_keys = n;
}

/* { detector, zone, keys = { secret, ... }, and what may be nil: at_once, probe, probe_timeout, indirect, suspicion,
 * suspicion_max, gossip, sync, forget, phi, silence } */
void orrb_read_membership(lua_State *L, struct orr_node_membership *m) {
    struct orr_membership_config *with = &m->with;
    lua_getfield(L, 1, "members");
    int at = lua_gettop(L);
    luaL_checktype(L, at, LUA_TTABLE);
    read_detector(L, at, with);
    m->zone = orrb_text_field(L, at, "zone", NULL);
    with->probe_interval = orrb_time_field(L, at, "probe", with->probe_interval);
    with->probe_timeout = orrb_time_field(L, at, "probe_timeout", with->probe_interval / 2);
    with->gossip_interval = orrb_time_field(L, at, "gossip", with->gossip_interval);
    with->sync_interval = orrb_time_field(L, at, "sync", with->sync_interval);
    with->forget = orrb_time_field(L, at, "forget", with->forget);
    with->silence = orrb_time_field(L, at, "silence", with->silence);
    with->indirect = (unsigned)orrb_integer_field(L, at, "indirect", with->indirect);
    with->suspicion_mult = (unsigned)orrb_integer_field(L, at, "suspicion", with->suspicion_mult);
    with->suspicion_max_mult = (unsigned)orrb_integer_field(L, at, "suspicion_max", with->suspicion_max_mult);
    if (lua_getfield(L, at, "phi") != LUA_TNIL) {
        with->phi_fail = luaL_checknumber(L, -1);
        with->phi_suspect = with->phi_fail * 5 / 8;
    }
    lua_getfield(L, at, "at_once");
    m->at_once = lua_toboolean(L, -1);
    lua_settop(L, at);
    read_keys(L, at, m);
}

/* -- Secrets ------------------------------------------------------------------------------------------------------- */
/* What a secret of the cluster file stands for, by where it is: pushes the text, or NULL and *why. */
static const char *read_secret(lua_State *L, const char *path, const char **why) {
    char text[SECRET_MAX + 1];
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(text, 1, sizeof text, file) : 0;
    bool failed = !file || ferror(file);
    *why = lua_pushfstring(L, "%s: %s", path, failed ? strerror(errno) : size == 0 ? "it is empty" : "it is too long");
    if (file) fclose(file);
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) size--;
    bool good = !failed && size > 0 && size <= SECRET_MAX;
    if (good) lua_pushlstring(L, text, size);
    explicit_bzero(text, sizeof text);
    return good ? lua_tostring(L, -1) : NULL;
}

int orrb_push_secret(lua_State *L, const char *from, const char *directory) {
    const char *value = NULL, *why = NULL;
    if (strncmp(from, "env:", 4) == 0) {
        value = lua_pushstring(L, getenv(from + 4));
        why = lua_pushfstring(L, "the environment has no %s", from + 4);
        if (value) lua_pushvalue(L, -2);
    } else if (strncmp(from, "file:", 5) == 0) {
        value = read_secret(L, lua_pushfstring(L, "%s%s", from[5] == '/' ? "" : directory, from + 5), &why);
    } else {
        why = "it is for simulations only";
    }
    if (value) return 1;
    lua_pushnil(L);
    lua_pushfstring(L, "secret %s: %s", from, why);
    lua_pushstring(L, orr_error_word(ORR_EUNAVAILABLE));
    return 3;
}
