/* orrb_members.c - who is there, for scripts (lua/orrery/node_members.lua) and for who looks on from outside.
 *
 * Events are kept in a queue, bounded, until the script's side takes them: its task begins when the first one comes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/node_members.h>

#include "orrb.h"
#include "orrb_pack.h"
#include "orrb_script.h"

enum { EVENTS_MAX = 8192 };

static struct orrb_host *host(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }
static struct orr_node *node(lua_State *L) { return host(L)->tasks.node; }
static const struct orr_membership *members(lua_State *L) { return node(L) ? orr_node_members(node(L)) : NULL; }

static double seconds(orr_time ns) { return (double)ns / 1e9; }

/* -- Events -------------------------------------------------------------------------------------------------------- */
static const char *const event_words[] = {
    [ORR_MEMBER_JOINS] = "join",   [ORR_MEMBER_SUSPECTED] = "suspect", [ORR_MEMBER_REFUTED] = "alive",
    [ORR_MEMBER_FAILS] = "fail",   [ORR_MEMBER_RETURNS] = "alive",     [ORR_MEMBER_LEAVES] = "leave",
    [ORR_MEMBER_CHANGES] = "change",
};

static bool has_room(struct orrb_member_events *q) {
    if (q->n < q->cap) return true;
    size_t cap = q->cap ? 2 * q->cap : 16;
    struct orrb_member_event *at = cap <= EVENTS_MAX ? realloc(q->at, cap * sizeof *at) : NULL;
    if (!at) return false;
    q->at = at;
    q->cap = cap;
    return true;
}

void orrb_members_event(struct orrb_host *h, const struct orr_member_event *e) {
    struct orrb_member_events *q = &h->members;
    q->changes++;
    if (!q->wanted) return;
    if (!has_room(q)) {
        q->lost++;
        return;
    }
    q->at[q->n++] = (struct orrb_member_event){ e->kind, e->id, e->by };
    orrb_members_wake(h);
}

void orrb_members_wake(struct orrb_host *h) {
    struct orrb_member_events *q = &h->members;
    if (q->n > 0 && !q->woken) q->woken = orrb_group_event(h, NULL, ORRB_MEMBERS);
}

void orrb_members_clear(struct orrb_host *h) {
    free(h->members.at);
    h->members = (struct orrb_member_events){ .n = 0 };
}

/* changes() -> how often anything changed: who keeps what follows from members makes it anew when this did */
static int changes(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)host(L)->members.changes);
    return 1;
}

/* wanted(): events are kept from now on */
static int wanted(lua_State *L) {
    host(L)->members.wanted = true;
    return 0;
}

/* -- What is known ------------------------------------------------------------------------------------------------- */
static const char *name_of(lua_State *L, orr_id id) {
    struct orr_peer_status p;
    return orr_node_peer(node(L), id, &p) ? p.name : NULL;
}

static const char *way_word(enum orr_member_way way) {
    static const char *const words[] = { "none", "direct", "indirect", "stream" };
    return words[way];
}

static void push_tags(lua_State *L, struct orr_slice tags) {
    if (tags.size && orrb_value_unpack(L, tags.at, tags.size, 0) == 0) return;
    lua_newtable(L);
}

static void push_member(lua_State *L, const struct orr_member_info *m) {
    char version[9];
    lua_createtable(L, 0, 12);
    orrb_set_text(L, "id", m->name);
    orrb_set_text(L, "state", orr_member_state_word(m->state));
    orrb_set_text(L, "zone", m->zone);
    orrb_set_text(L, "at", m->address);
    orrb_set_count(L, "start", m->incarnation >> 32);
    orrb_set_count(L, "refuted", m->incarnation & UINT32_MAX);
    snprintf(version, sizeof version, "%08x", (unsigned)m->version);
    orrb_set_text(L, "version", version);
    orrb_set_number(L, "since", seconds(m->since));
    push_tags(L, m->tags);
    lua_setfield(L, -2, "tags");
    if (m->self) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "own");
        return;
    }
    if (m->rtt) orrb_set_number(L, "rtt", seconds(m->rtt));
    if (m->probed != INT64_MIN) orrb_set_text(L, "way", way_word(m->way));
}

void orrb_push_members(lua_State *L, const struct orr_node *n) {
    const struct orr_membership *of = n ? orr_node_members(n) : NULL;
    struct orr_member_info m;
    lua_newtable(L);
    for (size_t i = 0; of && orr_membership_at(of, i, &m); i++) {
        push_member(L, &m);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* list() -> array in the order of names; empty where this node takes no part */
static int list(lua_State *L) {
    orrb_push_members(L, node(L));
    return 1;
}

/* state(id) -> its state; nil: it was not heard of */
static int state(lua_State *L) {
    struct orr_member_info m;
    const struct orr_membership *of = members(L);
    if (!of || !orr_membership_find(of, orr_id_of(luaL_checkstring(L, 1)), &m)) return 0;
    lua_pushstring(L, orr_member_state_word(m.state));
    return 1;
}

/* member(id) -> as in list(); nil */
static int member(lua_State *L) {
    struct orr_member_info m;
    const struct orr_membership *of = members(L);
    if (!of || !orr_membership_find(of, orr_id_of(luaL_checkstring(L, 1)), &m)) return 0;
    push_member(L, &m);
    return 1;
}

/* events() -> array of { event, id, by (nil: this node) }, those since the last call; how many were lost */
static int events(lua_State *L) {
    struct orrb_member_events *q = &host(L)->members;
    size_t n = q->n;
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_createtable(L, 0, 3);
        orrb_set_text(L, "event", event_words[q->at[i].kind]);
        orrb_set_text(L, "id", name_of(L, q->at[i].id));
        if (q->at[i].by != ORR_NOBODY) orrb_set_text(L, "by", name_of(L, q->at[i].by));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushinteger(L, (lua_Integer)q->lost);
    q->n = q->lost = 0;
    q->woken = false;
    return 2;
}

static void push_probes(lua_State *L, const struct orr_member_why *w) {
    lua_createtable(L, (int)w->n_probes, 0);
    for (size_t i = 0; i < w->n_probes; i++) {
        const struct orr_member_probe *p = &w->probes[i];
        lua_createtable(L, 0, 5);
        orrb_set_number(L, "at", seconds(p->at));
        orrb_set_text(L, "way", way_word(p->way));
        if (p->way == ORR_WAY_DIRECT) orrb_set_number(L, "rtt", seconds(p->rtt));
        if (p->asked) orrb_set_integer(L, "asked", p->asked);
        if (p->asked) orrb_set_integer(L, "nacks", p->nacks);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* why(id) -> the member with probes, suspected_by, confirmed, suspected, fails, phi, awareness; nil: not heard of */
static int why(lua_State *L) {
    struct orr_member_why w;
    const struct orr_membership *of = members(L);
    orr_time now = orr_node_now(node(L));
    if (!of || orr_membership_why(of, now, orr_id_of(luaL_checkstring(L, 1)), &w) < 0) return 0;
    push_member(L, &w.member);
    push_probes(L, &w);
    lua_setfield(L, -2, "probes");
    orrb_set_integer(L, "awareness", w.awareness);
    orrb_set_number(L, "now", seconds(now));
    if (w.phi > 0) orrb_set_number(L, "phi", w.phi);
    if (w.member.state == ORR_MEMBER_ALIVE || w.member.state == ORR_MEMBER_LEFT) return 1;
    orrb_set_text(L, "suspected_by", name_of(L, w.suspected_by));
    orrb_set_integer(L, "confirmed", w.confirmed);
    if (w.suspected != ORR_NEVER) orrb_set_number(L, "suspected", seconds(w.suspected));
    if (w.fails != ORR_NEVER) orrb_set_number(L, "fails", seconds(w.fails));
    return 1;
}

void orrb_push_members_status(lua_State *L, const struct orr_membership *of) {
    struct orr_membership_status s;
    orr_membership_status(of, &s);
    lua_createtable(L, 0, 20);
    orrb_set_count(L, "alive", s.alive);
    orrb_set_count(L, "suspect", s.suspect);
    orrb_set_count(L, "failed", s.failed);
    orrb_set_count(L, "left", s.left);
    orrb_set_integer(L, "awareness", s.awareness);
    orrb_set_count(L, "untold", s.untold);
#define ORR_X(field, word) orrb_set_count(L, word, s.field);
    ORR_MEMBERSHIP_COUNTERS(ORR_X)
#undef ORR_X
}

/* status() -> counts; nil: this node takes no part yet */
static int status(lua_State *L) {
    const struct orr_membership *of = members(L);
    if (!of) return 0;
    orrb_push_members_status(L, of);
    return 1;
}

/* rtt(a, b) -> seconds, error; or nil, message, "unavailable" */
static int rtt(lua_State *L) {
    orr_time likely;
    double error;
    const struct orr_membership *of = members(L);
    const char *a = luaL_checkstring(L, 1), *b = luaL_checkstring(L, 2);
    int rc = of ? orr_membership_estimate(of, orr_id_of(a), orr_id_of(b), &likely, &error) : ORR_EUNAVAILABLE;
    if (rc < 0) return orrb_fail(L, rc, "node.members:rtt");
    lua_pushnumber(L, seconds(likely));
    lua_pushnumber(L, error);
    return 2;
}

/* -- What is done -------------------------------------------------------------------------------------------------- */
/* ask(): this node takes part from now on, or once it runs */
static int ask(lua_State *L) {
    int rc = node(L) ? orr_node_members_ask(node(L)) : 0;
    if (rc < 0) return orrb_fail(L, rc, "node.members");
    lua_pushboolean(L, 1);
    return 1;
}

/* tags(table) -> true; or nil, message, code */
static int tags(lua_State *L) {
    struct orrb_buffer *out = &host(L)->tasks.out;
    out->size = 0;
    orrb_pack_told(L, 1, out, "tags");
    int rc = orr_node_members_tags(node(L), orr_borrow(out->at, out->size));
    if (rc == ORR_EINVALID) {
        lua_pushnil(L);
        lua_pushfstring(L, "node.members:tag: tags may take %d bytes, and these take %d", ORR_MEMBER_TAGS_MAX,
                        (int)out->size);
        lua_pushstring(L, orr_error_word(rc));
        return 3;
    }
    if (rc < 0) return orrb_fail(L, rc, "node.members:tag");
    lua_pushboolean(L, 1);
    return 1;
}

/* key("add", "use" or "remove", secret) -> true; or nil, message, code */
static int key(lua_State *L) {
    static const char *const words[] = { "add", "use", "remove", NULL };
    static const enum orr_node_key what[] = { ORR_NODE_KEY_ADD, ORR_NODE_KEY_PRIMARY, ORR_NODE_KEY_REMOVE };
    unsigned char bytes[ORR_MEMBERSHIP_KEY];
    size_t size;
    enum orr_node_key which = what[luaL_checkoption(L, 1, NULL, words)];
    const char *secret = luaL_checklstring(L, 2, &size);
    orr_membership_key_of(secret, size, bytes);
    int rc = orr_node_members_key(node(L), which, bytes);
    if (rc < 0) return orrb_fail(L, rc, "node.members:key");
    lua_pushboolean(L, 1);
    return 1;
}

void orrb_members_open(lua_State *L, struct orrb_host *h) {
    static const luaL_Reg functions[] = {
        { "ask", ask },       { "list", list },     { "state", state },   { "member", member }, { "events", events },
        { "why", why },       { "status", status }, { "rtt", rtt },       { "tags", tags },     { "key", key },
        { "changes", changes }, { "wanted", wanted }, { NULL, NULL },
    };
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, h);
    luaL_setfuncs(L, functions, 1);
}
