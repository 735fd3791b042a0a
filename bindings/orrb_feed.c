/* orrb_feed.c - what a group applies, for the tasks that follow it: g:changes, g:watch.
 *
 * A group's feed begins with the first who asks for it, and stays for the node's life: its last records within so many
 * bytes (base/recent.h). Until then it costs one test an op. The machine adds to it while it applies, in plain C, and
 * who waits is made ready; each reader has a place of its own, and one that is too slow finds a gap. A snapshot that
 * replaces the state is a gap, too: through the index at which applying goes on.
 *
 * A record of a machine in Lua: the size of the op in 4 bytes, the op, the results, both packed. One of the key-value
 * machine: what was done in 1 byte, the key's position in 8, its size in 4, the key, the value.
 *
 * There a flush, too, is a gap: as many changes as there were keys would fill what is kept. */
#include <stdlib.h>
#include <string.h>

#include <orrery/kv.h>

#include "base/codec.h"
#include "base/recent.h"
#include "orrb_feed.h"
#include "orrb_machine.h"

#define READER "orrery.feed"
enum { KV_HEAD = 13 };

struct reader {                     /* a userdata; closed: feed is NULL */
    struct orrb_feed *feed;
    struct reader *next, *before;
    struct orri_recent_place place;
    const char *prefix;             /* of keys; NULL: not of a key-value machine. Its text is the user value */
    size_t prefix_size;
    struct orrb_task *task;         /* that waits, if it is still in the wait of this ticket */
    uint64_t ticket;
};
struct orrb_feed {
    struct orr_kv_observer observer;        /* first; of a key-value machine */
    struct orrb_feed *next;         /* of the host's */
    struct orrb_host *host;
    struct orr_group *group;
    struct orri_recent recent;
    struct reader *readers;
    bool replaced;                  /* by a snapshot, and it is not known yet at which index */
};

/* -- What comes --------------------------------------------------------------------------------------------------- */
static bool waits(const struct reader *r) {
    return r->task && r->task->ticket == r->ticket && r->task->state == ORRB_TASK_WAITING;
}

static void wake(struct reader *r) {
    if (waits(r)) {
        orrb_task_wake(r->task);
        orr_node_soon(r->feed->host->tasks.node);
    }
    r->task = NULL;
}

static void wake_all(struct orrb_feed *f) {
    for (struct reader *r = f->readers; r; r = r->next) wake(r);
}

/* Everything through this index is in the snapshot. */
static void settle(struct orrb_feed *f, orr_index through) {
    if (!f->replaced) return;
    f->replaced = false;
    orri_recent_forget(&f->recent, through);
    wake_all(f);
}

void orrb_feed_applied(struct orrb_feed *f, const struct orr_at *at, struct orr_slice op, struct orr_slice results) {
    unsigned char size[4];
    orri_put_le(size, op.size, sizeof size);
    struct orr_slice parts[] = { orr_borrow(size, sizeof size), op, results };
    settle(f, at->index - 1);
    orri_recent_add(&f->recent, at->index, parts, sizeof parts / sizeof parts[0]);
    wake_all(f);
}

void orrb_feed_replaced(struct orrb_feed *f) { f->replaced = true; }

static void kv_changed(struct orr_kv_observer *o, const struct orr_kv_change *change) {
    struct orrb_feed *f = (struct orrb_feed *)(void *)o;
    unsigned char head[KV_HEAD] = { (unsigned char)change->kind };
    orri_put_le(head + 1, change->position, 8);
    orri_put_le(head + 9, change->key.size, 4);
    struct orr_slice parts[] = { orr_borrow(head, sizeof head), change->key, change->value };
    settle(f, change->version - 1);
    orri_recent_add(&f->recent, change->version, parts, sizeof parts / sizeof parts[0]);
    wake_all(f);
}

static void kv_replaced(struct orr_kv_observer *o, orr_index version) {
    struct orrb_feed *f = (struct orrb_feed *)(void *)o;
    f->replaced = true;
    if (version) settle(f, version);
}

void orrb_feeds_restored(struct orrb_host *h, struct orr_group *g) {
    struct orr_at at;
    for (struct orrb_feed *f = h->feeds; f; f = f->next) {
        if (f->group == g && orr_group_here(g, &at)) settle(f, at.index);
    }
}

void orrb_feeds_clear(struct orrb_host *h) {
    for (struct orrb_feed *f; (f = h->feeds);) {
        h->feeds = f->next;
        orri_recent_clear(&f->recent);
        free(f);
    }
}

/* -- For scripts -------------------------------------------------------------------------------------------------- */
static struct orrb_host *host(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* Two orders of things lead here: a feed begins while a snapshot is being loaded, or before. */
static struct orrb_feed *feed_of(struct orrb_host *h, struct orr_group *g, size_t bytes_max) {
    struct orrb_feed *f = h->feeds;
    struct orr_at at;
    while (f && f->group != g) f = f->next;
    if (f || !(f = calloc(1, sizeof *f))) return f;
    f->host = h;
    f->group = g;
    f->replaced = !orr_group_here(g, &at);
    orri_recent_init(&f->recent, &orr_alloc_libc, bytes_max, at.index);
    f->next = h->feeds;
    h->feeds = f;
    return f;
}

/* By the collector, too, when the node may be gone: nobody waits for it then. */
static int reader_gc(lua_State *L) {
    struct reader *r = luaL_checkudata(L, 1, READER);
    struct orrb_feed *f = r->feed;
    if (!f) return 0;
    if (r->before) r->before->next = r->next;
    else f->readers = r->next;
    if (r->next) r->next->before = r->before;
    r->feed = NULL;
    return 0;
}

static int reader_close(lua_State *L) {
    struct reader *r = luaL_checkudata(L, 1, READER);
    if (r->feed) wake(r);
    return reader_gc(L);
}

/* Does the record's key begin so? */
static bool begins(const struct orri_recent_record *record, const char *prefix, size_t size) {
    return orri_get_le(record->bytes + 9, 4) >= size && memcmp(record->bytes + KV_HEAD, prefix, size) == 0;
}

static enum orri_recent_found find(struct reader *r, const struct orri_recent_record **record, uint64_t *gap) {
    enum orri_recent_found found = ORRI_RECENT_NONE;
    if (r->feed->replaced) return found;
    do found = orri_recent_read(&r->feed->recent, &r->place, record, gap);
    while (found == ORRI_RECENT_RECORD && r->prefix && !begins(*record, r->prefix, r->prefix_size));
    return found;
}

/* index, "set", "del" or "expire", position, key, value or nil */
static int push_change(lua_State *L, const struct orri_recent_record *record) {
    static const char *const kinds[] = { "set", "del", "expire" };
    size_t key_size = (size_t)orri_get_le(record->bytes + 9, 4), size = record->size - KV_HEAD - key_size;
    const char *key = (const char *)record->bytes + KV_HEAD;
    lua_pushinteger(L, (lua_Integer)record->mark);
    lua_pushstring(L, kinds[record->bytes[0]]);
    lua_pushinteger(L, (lua_Integer)orri_get_le(record->bytes + 1, 8));
    lua_pushlstring(L, key, key_size);
    if (record->bytes[0] == ORR_KV_CHANGE_SET) lua_pushlstring(L, key + key_size, size);
    else lua_pushnil(L);
    return 5;
}

static int push_op(lua_State *L, const struct orri_recent_record *record) {
    size_t size = (size_t)orri_get_le(record->bytes, 4);
    const unsigned char *op = record->bytes + 4, *results = op + size;
    lua_pushinteger(L, (lua_Integer)record->mark);
    int n = orrb_value_unpack(L, op, size, 0) < 0 ? -1 : 0;
    if (n == 0) n = orrb_value_unpack_args(L, results, record->size - 4 - size);
    return n >= 0 ? n + 2 : luaL_error(L, "an op can't be read");
}

/* What there is at once; 0: nothing. */
static int push_next(lua_State *L, struct reader *r) {
    const struct orri_recent_record *record;
    uint64_t gap;
    switch (find(r, &record, &gap)) {
    case ORRI_RECENT_RECORD: return r->prefix ? push_change(L, record) : push_op(L, record);
    case ORRI_RECENT_GAP:
        lua_pushinteger(L, (lua_Integer)gap);
        lua_pushliteral(L, "gap");
        return 2;
    case ORRI_RECENT_NONE: break;
    }
    return 0;
}

/* poll(reader): as next, but false where it would wait */
static int poll(lua_State *L) {
    struct reader *r = luaL_checkudata(L, 1, READER);
    int n = r->feed ? push_next(L, r) : 0;
    if (n || !r->feed) return n;
    lua_pushboolean(L, false);
    return 1;
}

static int next(lua_State *L);

static int woken(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    ((struct orrb_task *)ctx)->ticket = 0;
    return next(L);
}

/* next(reader) -> index, op, results...; or index, kind, position, key, value; or index, "gap"; nothing once it is
 * closed. Waits. */
static int next(lua_State *L) {
    struct reader *r = luaL_checkudata(L, 1, READER);
    int n = r->feed ? push_next(L, r) : 0;
    if (n || !r->feed) return n;
    struct orrb_tasks *all = &r->feed->host->tasks;
    struct orrb_task *t = orrb_task_check(L, all, r->prefix ? "group:watch" : "group:changes");
    if (waits(r)) return luaL_error(L, "another task waits for the same changes");
    r->task = t;
    r->ticket = t->ticket = ++all->ticket;
    return orrb_task_wait(L, t, woken);
}

/* The group's machine tells it from now on. */
static void attach(struct orrb_feed *f, bool kv) {
    void *machine = orr_group_machine(f->group);
    f->observer = (struct orr_kv_observer){ kv_changed, kv_replaced };
    if (kv) orr_kv_observe(machine, &f->observer);
    else ((struct machine *)machine)->feed = f;
}

/* follow(group, from or nil, bytes, prefix or nil) -> reader; nothing where no replica is here. bytes: kept of the
 * past; prefix: of keys, where the machine is the key-value one. */
static int follow(lua_State *L) {
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
    struct orr_group *g = lua_touserdata(L, 1);
    if (!orr_group_machine(g)) return 0;
    lua_settop(L, 4);
    struct reader *r = lua_newuserdatauv(L, sizeof *r, 1);
    *r = (struct reader){ .feed = NULL };
    r->prefix = lua_tolstring(L, 4, &r->prefix_size);
    lua_pushvalue(L, 4);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, READER);
    struct orrb_feed *f = feed_of(host(L), g, (size_t)luaL_checkinteger(L, 3));
    if (!f) return luaL_error(L, "not enough memory");
    attach(f, r->prefix != NULL);
    struct orr_at at;
    (void)orr_group_here(g, &at);
    lua_Integer from = luaL_optinteger(L, 2, (lua_Integer)at.index + 1);
    r->place.from = from > 0 ? (uint64_t)from : 1;
    r->next = f->readers;
    if (r->next) r->next->before = r;
    f->readers = r;
    r->feed = f;
    return 1;
}

void orrb_feed_open(lua_State *L, struct orrb_host *h) {
    static const luaL_Reg functions[] = { { "follow", follow }, { "poll", poll }, { NULL, NULL } };
    static const luaL_Reg methods[] = { { "close", reader_close }, { NULL, NULL } };
    if (luaL_newmetatable(L, READER)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, reader_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, reader_close);
        lua_setfield(L, -2, "__close");
        lua_pushcfunction(L, next);
        lua_setfield(L, -2, "__call");
        lua_pushboolean(L, false);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
    lua_pushlightuserdata(L, h);
    luaL_setfuncs(L, functions, 1);
}
