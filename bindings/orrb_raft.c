/* orrb_raft.c - core.raft: one Raft core as an object, by hand. No tasks, no waiting, no clock: `now` comes first.
 *
 * lua/orrery/raft.lua checks the options. ready() pulls until the core has no more, and gives all of it as one table:
 * several stores are one `write`, reported under one id; what the core wants back from a disk it gets at once from
 * orrb_raft_disk.c; a snapshot that comes in is put together there and becomes part of a `write` when it is whole.
 *
 * Memory is that of the Lua state, by whatever allocator it has at the time. While ready() makes tables a finalizer may
 * run: it finds the object busy.                                                                                    */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "orrb_raft.h"

#define RAFT "orrery.raft"
#define WHAT "orrery.raft"

enum { WRITES_MAX = 128 };          /* the core has no more than 64 stores and one part under way */
enum { NAMES = 1, TAGS = 2, USER_VALUES = 2 };

struct write {                      /* handed out, not reported */
    uint64_t id;
    uint64_t first, last;           /* of the core's stores; 0: none */
    uint64_t part;                  /* the snapshot's last; 0: none */
};
struct raft {
    lua_State *main;
    struct orr_raft *r;             /* NULL: closed */
    bool busy;
    orr_id self;
    orr_time now;
    struct orr_alloc alloc;
    struct orr_chunks *chunks;
    struct orrb_raft_names names;
    struct orrb_raft_disk disk;
    struct write writes[WRITES_MAX];        /* the first n_writes */
    size_t n_writes;
    uint64_t last_write;
    orr_term term;                  /* as last handed out */
    orr_id vote;
    uint64_t last_tag;
};

static const char *const roles[] = { "follower", "precandidate", "candidate", "leader", "learner" };

static void *allocate(void *ud, void *ptr, size_t old_size, size_t new_size) {
    struct raft *h = ud;
    void *lua_ud;
    lua_Alloc of_lua = lua_getallocf(h->main, &lua_ud);
    return of_lua(lua_ud, ptr, ptr ? old_size : 0, new_size);
}

static struct raft *check(lua_State *L) {
    struct raft *h = luaL_checkudata(L, 1, RAFT);
    if (h->busy) luaL_error(L, WHAT ": a finalizer can't use an object that is at work");
    if (!h->r) luaL_error(L, WHAT ": it is closed");
    return h;
}

/* -- Time -------------------------------------------------------------------------------------------------------- */
static orr_time ns_of(lua_Number seconds) { return (orr_time)(seconds * 1e9 + 0.5); }

static orr_time check_now(lua_State *L, int arg) {
    lua_Number seconds = luaL_checknumber(L, arg);
    luaL_argcheck(L, seconds >= 0 && seconds <= 1e9, arg, "now must be a number of seconds from 0 to 1e9");
    return ns_of(seconds);
}

/* Notes that it is so late; call it last, when all else is checked. */
static orr_time at(struct raft *h, orr_time now) {
    if (now > h->now) h->now = now;
    return h->now;
}

/* The least number of seconds that is not before t: a tick at a deadline finds it due. */
static void push_seconds(lua_State *L, orr_time t) {
    lua_Number seconds = t == ORR_NEVER ? HUGE_VAL : (lua_Number)t / 1e9;
    while (t != ORR_NEVER && ns_of(seconds) < t) seconds += seconds * DBL_EPSILON;
    lua_pushnumber(L, seconds);
}

/* -- Results ----------------------------------------------------------------------------------------------------- */
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

static int result(lua_State *L, int rc, const char *what) { return rc ? orrb_fail(L, rc, what) : done(L); }

/* -- Life -------------------------------------------------------------------------------------------------------- */
static void close(struct raft *h) {
    orr_raft_free(h->r);
    h->r = NULL;
    if (!h->chunks) return;
    orrb_raft_disk_clear(&h->disk);
    orr_chunks_free(h->chunks);
    h->chunks = NULL;
}

static int raft_close(lua_State *L) {
    struct raft *h = luaL_checkudata(L, 1, RAFT);
    if (h->busy) return luaL_error(L, WHAT ": a finalizer can't use an object that is at work");
    close(h);
    return 0;
}

/* A closed one, with room for what Lua has to hold for it. */
static struct raft *new_closed(lua_State *L) {
    struct raft *h = lua_newuserdatauv(L, sizeof *h, USER_VALUES);
    memset(h, 0, sizeof *h);
    luaL_setmetatable(L, RAFT);
    for (int i = NAMES; i <= USER_VALUES; i++) {
        lua_newtable(L);
        lua_setiuservalue(L, -2, i);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    h->main = lua_tothread(L, -1);
    lua_pop(L, 1);
    h->alloc = (struct orr_alloc){ allocate, h };
    return h;
}

/* opts.voters: names that the object keeps. */
static void read_voters(lua_State *L, struct raft *h) {
    int object = lua_gettop(L);
    lua_getiuservalue(L, object, NAMES);
    lua_getfield(L, 1, "voters");
    lua_Integer n = luaL_len(L, -1);
    luaL_argcheck(L, n >= 1 && n <= ORRB_RAFT_MEMBERS_MAX, 1, "too many voters");
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, -1, i);
        const char *name = luaL_checkstring(L, -1);
        h->names.at[h->names.n++] = (struct orr_member){ orr_id_of(name), name };
        lua_rawseti(L, -3, i);
    }
    lua_settop(L, object);
}

static bool flag_field(lua_State *L, int table, const char *field) {
    lua_getfield(L, table, field);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static lua_Number number_field(lua_State *L, int table, const char *field) {
    lua_getfield(L, table, field);
    lua_Number value = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return value;
}

static void read_config(lua_State *L, struct raft *h, struct orr_raft_config *cfg) {
    orr_raft_config_init(cfg);
    h->self = orr_id_of(orrb_text_field(L, 1, "id", NULL));
    cfg->order.self = h->self;
    cfg->order.voters = h->names.at;
    cfg->order.n_voters = h->names.n;
    cfg->order.election = ns_of(number_field(L, 1, "election_timeout"));
    cfg->order.heartbeat = ns_of(number_field(L, 1, "heartbeat"));
    cfg->order.stall = ORR_SECOND * 86400;      /* a disk that a script writes by hand is not sick when it is slow */
    cfg->order.seed = (uint64_t)orrb_integer_field(L, 1, "seed", 1);
    cfg->order.window_entries = 1000;
    cfg->order.alloc = &h->alloc;
    cfg->order.chunks = h->chunks;
    cfg->pre_vote = flag_field(L, 1, "pre_vote");
    cfg->check_quorum = flag_field(L, 1, "check_quorum");
    h->now = ns_of(number_field(L, 1, "now"));
}

/* boot.entries and boot.snapshot to the disk. */
static int fill_disk(lua_State *L, struct raft *h, int boot) {
    struct orrb_raft_disk *d = &h->disk;
    int rc = 0;
    if (lua_getfield(L, boot, "snapshot") == LUA_TTABLE) {
        size_t size;
        const char *data = orrb_text_field(L, lua_gettop(L), "data", &size);
        d->snapshot.index = (orr_index)orrb_integer_field(L, lua_gettop(L), "index", 0);
        d->snapshot.term = (orr_term)orrb_integer_field(L, lua_gettop(L), "term", 0);
        d->snapshot.size = size;
        rc = orrb_raft_disk_keep(d, orr_borrow(data, size), &d->data);
    }
    lua_getfield(L, boot, "entries");
    int list = lua_gettop(L);
    size_t n = (size_t)lua_rawlen(L, list);
    for (size_t i = 1; i <= n && rc == 0; i++) {
        struct orr_entry e;
        orrb_raft_read_entry(L, list, i, 0, WHAT ": boot", &e);
        rc = orrb_raft_disk_append(d, &e);
        lua_pop(L, 1);
    }
    return rc;
}

/* Where the terms of the disk's entries begin: userdata, left on the stack. */
static const struct orr_term_run *push_runs(lua_State *L, const struct orrb_raft_disk *d, size_t *n) {
    struct orr_term_run *runs = lua_newuserdatauv(L, (d->n + 1) * sizeof *runs, 0);
    *n = 0;
    for (size_t i = 0; i < d->n; i++)
        if (i == 0 || d->entries[i].term != d->entries[i - 1].term)
            runs[(*n)++] = (struct orr_term_run){ d->entries[i].index, d->entries[i].term };
    return runs;
}

static int open_core(lua_State *L, struct raft *h, int boot, struct orr_raft_config *cfg) {
    unsigned char state[ORR_RAFT_STATE_SIZE], config[ORR_CONFIG_MAX];
    struct orrb_raft_disk *d = &h->disk;
    struct orr_boot of_core = { .first = d->n ? d->first : d->snapshot.index + 1, .snapshot = d->snapshot };
    of_core.last = of_core.first + d->n - 1;
    of_core.runs = push_runs(L, d, &of_core.n_runs);
    size_t size;
    int rc = orr_raft_config_encode(cfg, config, &size);
    if (rc) return rc;
    if (d->snapshot.index) of_core.snapshot.config = orr_borrow(config, size);
    h->term = (orr_term)orrb_integer_field(L, boot, "term", 0);
    lua_getfield(L, boot, "vote");
    h->vote = lua_isnil(L, -1) ? ORR_NOBODY : orr_id_of(luaL_checkstring(L, -1));
    orr_raft_state_encode(state, h->term, h->vote);
    if (h->term) of_core.state = orr_borrow(state, sizeof state);
    cfg->commit = (orr_index)orrb_integer_field(L, boot, "commit", 0);
    return orr_raft_new(&h->r, cfg, &of_core, h->now);
}

/* raft.new(options): those of orrery.raft, checked and complete -> the object, or nil, message, code */
static int raft_new(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "boot");
    struct raft *h = new_closed(L);
    int object = lua_gettop(L);
    read_voters(L, h);
    h->chunks = orr_chunks_new(&h->alloc);
    if (!h->chunks) return orrb_fail(L, -ENOMEM, WHAT);
    orrb_raft_disk_init(&h->disk, h->alloc, h->chunks);
    struct orr_raft_config cfg;
    const char *field = NULL;
    read_config(L, h, &cfg);
    if (orr_raft_config_check(&cfg, &field) != 0) {
        lua_pushfstring(L, WHAT ": '%s' is not possible", field);
        return refuse(L, ORR_EINVALID);
    }
    int rc = fill_disk(L, h, 2);
    if (rc == 0) rc = open_core(L, h, 2, &cfg);
    if (rc) return orrb_fail(L, rc, WHAT);
    lua_gc(L, LUA_GCSTEP, 128);             /* so many KiB Lua hasn't seen */
    lua_settop(L, object);
    return 1;
}

/* -- Inputs ------------------------------------------------------------------------------------------------------ */
static int raft_tick(lua_State *L) {
    struct raft *h = check(L);
    return result(L, orr_raft_tick(h->r, at(h, check_now(L, 2))), WHAT ":tick");
}

static int raft_campaign(lua_State *L) {
    struct raft *h = check(L);
    return result(L, orr_raft_campaign(h->r, at(h, check_now(L, 2))), WHAT ":campaign");
}

static bool is_other(const struct raft *h, orr_id id) {
    for (size_t i = 0; i < h->names.n; i++)
        if (h->names.at[i].id == id && id != h->self) return true;
    return false;
}

static orr_index asked_last(const struct raft *h, orr_id peer) {
    struct orr_raft_member m;
    for (size_t i = 0; orr_raft_member(h->r, i, &m); i++)
        if (m.id == peer) return m.next > 0 ? m.next - 1 : 0;
    return 0;
}

/* A refusal as the paper has it says no more than that: it was of the last append, and the logs agree earlier. */
static void fill_refusal(const struct raft *h, struct orr_raft_msg *m) {
    if (m->type != ORR_RAFT_APPEND_REPLY || m->success) return;
    if (m->prev_log_index == ORRB_RAFT_ABSENT) m->prev_log_index = asked_last(h, m->from);
    if (m->hint_index == ORRB_RAFT_ABSENT) m->hint_index = m->prev_log_index ? m->prev_log_index - 1 : 0;
}

static int refuse_message(lua_State *L, const struct orr_raft_msg *m, int rc) {
    const char *type = orrb_raft_type(m->type);
    if (rc == ORR_EINVALID) lua_pushfstring(L, WHAT ":recv: nobody who keeps to the protocol sends this %s", type);
    else if (rc == ORR_ECORRUPT)
        lua_pushfstring(L, WHAT ":recv: this %s contradicts what is committed, or who leads the term", type);
    else lua_pushfstring(L, WHAT ":recv: %s", orr_strerror(rc));
    return refuse(L, rc);
}

static int raft_recv(lua_State *L) {
    check(L);
    orr_time now = check_now(L, 2);
    struct orr_raft_msg m;
    lua_settop(L, 3);
    orrb_raft_read_message(L, 3, &((struct raft *)lua_touserdata(L, 1))->names, WHAT ":recv", &m);
    struct raft *h = check(L);              /* making room may have run a finalizer */
    if (m.to != h->self || !is_other(h, m.from)) {
        lua_getfield(L, 3, m.to != h->self ? "to" : "from");
        lua_pushfstring(L, m.to != h->self ? WHAT ":recv: it is for %s, not for this node"
                                           : WHAT ":recv: it is from %s, which is no other member",
                        lua_tostring(L, -1));
        return refuse(L, ORR_EINVALID);
    }
    fill_refusal(h, &m);
    int rc = orr_raft_recv(h->r, at(h, now), &m);
    return rc ? refuse_message(L, &m, rc) : done(L);
}

static int raft_propose(lua_State *L) {
    struct raft *h = check(L);
    orr_time now = check_now(L, 2);
    size_t size, taken;
    orr_index index;
    const char *data = luaL_checklstring(L, 3, &size);
    struct orr_slice batch = orr_borrow(data, size);
    int rc = orr_raft_propose(h->r, at(h, now), &batch, 1, &taken, &index);
    if (rc == ORR_ENOLEADER) {
        lua_pushliteral(L, WHAT ":propose: this node does not lead");
        return refuse(L, rc);
    }
    if (rc) return orrb_fail(L, rc, WHAT ":propose");
    lua_pushinteger(L, (lua_Integer)index);
    return 1;
}

static int raft_read_index(lua_State *L) {
    struct raft *h = check(L);
    orr_time now = check_now(L, 2);
    luaL_argcheck(L, !lua_isnoneornil(L, 3), 3, "a tag is wanted, which the answer bears");
    lua_settop(L, 3);
    lua_getiuservalue(L, 1, TAGS);
    lua_insert(L, 3);
    lua_rawseti(L, 3, (lua_Integer)h->last_tag + 1);
    h = check(L);
    int rc = orr_raft_read_index(h->r, at(h, now), h->last_tag + 1);
    if (rc == 0) h->last_tag++;
    return result(L, rc, WHAT ":read_index");
}

static int report(struct raft *h, const struct write *w, orr_time now, int status) {
    int rc = 0;
    for (uint64_t id = w->first; id && id <= w->last && rc == 0; id++) rc = orr_raft_stored(h->r, now, id, status);
    if (rc || !w->part) return rc;
    if (status == 0) orrb_raft_disk_install(&h->disk);
    return orr_raft_part_stored(h->r, now, w->part, status);
}

static int raft_stored(lua_State *L) {
    struct raft *h = check(L);
    orr_time now = check_now(L, 2);
    lua_Integer id = luaL_checkinteger(L, 3);
    bool failed = lua_toboolean(L, 4);
    if (h->n_writes == 0 || id > (lua_Integer)h->last_write || id < (lua_Integer)h->writes[0].id) {
        lua_pushfstring(L, WHAT ":stored: no write %I is under way", id);
        return refuse(L, ORR_EINVALID);
    } else if (id != (lua_Integer)h->writes[0].id) {
        lua_pushfstring(L, WHAT ":stored: write %I comes before %I", (lua_Integer)h->writes[0].id, id);
        return refuse(L, ORR_EINVALID);
    }
    struct write w = h->writes[0];
    memmove(h->writes, h->writes + 1, --h->n_writes * sizeof h->writes[0]);
    return result(L, report(h, &w, at(h, now), failed ? ORR_EFAILED : 0), WHAT ":stored");
}

static int raft_applied(lua_State *L) {
    struct raft *h = check(L);
    orr_time now = check_now(L, 2);
    lua_Integer index = luaL_checkinteger(L, 3);
    if (index < 0 || orr_raft_applied(h->r, at(h, now), (orr_index)index) != 0) {
        lua_pushfstring(L, WHAT ":applied: %I was not among the commits", index);
        return refuse(L, ORR_EINVALID);
    }
    return done(L);
}

/* -- ready() ----------------------------------------------------------------------------------------------------- */
enum { OBJECT = 1, OUT, MESSAGES, COMMITS, READS, WRITE, ENTRIES };     /* places on drain()'s stack */

static void add(lua_State *L, int list) { lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1); }

static int take_store(lua_State *L, struct raft *h, const struct orr_store *s, struct write *w) {
    if (!w->first) w->first = s->id;
    w->last = s->id;
    if (s->state.size) orr_raft_state_decode(s->state, &h->term, &h->vote);
    if (s->truncate) {
        lua_pushinteger(L, (lua_Integer)s->entries[0].index - 1);
        lua_setfield(L, WRITE, "truncate_after");
    }
    for (size_t i = 0; i < s->n_entries; i++) {
        orrb_raft_push_entry(L, &s->entries[i]);
        add(L, ENTRIES);
        if (orrb_raft_disk_append(&h->disk, &s->entries[i]) != 0) return -ENOMEM;
    }
    return 0;
}

static void push_snapshot(lua_State *L, const struct raft *h, const struct orr_snapshot *s, struct orr_slice data) {
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, (lua_Integer)s->index);
    lua_setfield(L, -2, "index");
    lua_pushinteger(L, (lua_Integer)s->term);
    lua_setfield(L, -2, "term");
    orrb_raft_push_names(L, &h->names);
    lua_setfield(L, -2, "voters");
    lua_newtable(L);
    lua_setfield(L, -2, "learners");
    lua_pushlstring(L, data.size ? (const char *)data.at : "", data.size);
    lua_setfield(L, -2, "data");
}

static void take_restore(lua_State *L, const struct raft *h) {
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)h->disk.snapshot.index);
    lua_setfield(L, -2, "index");
    lua_pushinteger(L, (lua_Integer)h->disk.snapshot.term);
    lua_setfield(L, -2, "term");
    lua_pushliteral(L, "snapshot");
    lua_setfield(L, -2, "kind");
    lua_pushlstring(L, h->disk.data.size ? (const char *)h->disk.data.at : "", h->disk.data.size);
    lua_setfield(L, -2, "data");
    add(L, COMMITS);
}

static void take_answer(lua_State *L, const struct orr_answer *a) {
    lua_createtable(L, 0, 2);
    lua_getiuservalue(L, OBJECT, TAGS);
    lua_rawgeti(L, -1, (lua_Integer)a->tag);
    lua_setfield(L, -3, "tag");
    lua_pushnil(L);
    lua_rawseti(L, -2, (lua_Integer)a->tag);
    lua_pop(L, 1);
    if (a->status == 0) {
        lua_pushinteger(L, (lua_Integer)a->index);
        lua_setfield(L, -2, "index");
    } else {
        lua_pushstring(L, orr_strerror(a->status));
        lua_setfield(L, -2, "message");
        lua_pushstring(L, orr_error_word(a->status));
        lua_setfield(L, -2, "code");
    }
    add(L, READS);
}

static int take_lists(lua_State *L, struct raft *h, const struct orr_raft_ready *rd, struct write *w) {
    int rc = 0;
    for (size_t i = 0; i < rd->io.n_stores && rc == 0; i++) rc = take_store(L, h, &rd->io.stores[i], w);
    for (size_t i = 0; i < rd->n_msgs; i++) {
        orrb_raft_push_message(L, &h->names, &rd->msgs[i]);
        add(L, MESSAGES);
    }
    if (rd->io.restore) take_restore(L, h);
    for (size_t i = 0; i < rd->io.n_commits; i++) {
        orrb_raft_push_entry(L, &rd->io.commits[i]);
        add(L, COMMITS);
    }
    for (size_t i = 0; i < rd->io.n_answers; i++) take_answer(L, &rd->io.answers[i]);
    return rc;
}

/* A part of a snapshot: only a whole one is a script's to store. */
static int take_part(lua_State *L, struct raft *h, const struct orr_part *part, struct write *w) {
    int rc = orrb_raft_disk_take(&h->disk, part);
    if (rc || !part->done) return rc;
    w->part = part->id;
    push_snapshot(L, h, &h->disk.incoming, h->disk.incoming_data);
    lua_setfield(L, WRITE, "snapshot");
    return 0;
}

/* Everything of one look at the core; what it wants from the disk it gets. */
static int take(lua_State *L, struct raft *h, const struct orr_raft_ready *rd, struct write *w) {
    struct orr_fetch fetches[ORRB_RAFT_FETCHES_MAX];
    size_t n = rd->io.n_fetches;
    uint64_t part = 0;
    int rc = take_lists(L, h, rd, w);
    if (n) memcpy(fetches, rd->io.fetches, n * sizeof *fetches);
    if (rd->io.n_parts && rc == 0) {
        part = rd->io.parts[0].done ? 0 : rd->io.parts[0].id;
        rc = take_part(L, h, &rd->io.parts[0], w);
    }
    if (part && rc == 0) rc = orr_raft_part_stored(h->r, h->now, part, 0);
    for (size_t i = 0; i < n && rc == 0; i++) rc = orrb_raft_disk_serve(&h->disk, h->r, h->now, &fetches[i]);
    return rc;
}

static void finish_write(lua_State *L, struct raft *h, struct write *w) {
    w->id = ++h->last_write;
    h->writes[h->n_writes++] = *w;
    lua_pushinteger(L, (lua_Integer)w->id);
    lua_setfield(L, WRITE, "id");
    lua_pushinteger(L, (lua_Integer)h->term);
    lua_setfield(L, WRITE, "term");
    orrb_raft_push_name(L, &h->names, h->vote);
    lua_setfield(L, WRITE, "vote");
    lua_setfield(L, WRITE, "entries");
    lua_setfield(L, OUT, "write");
}

static int drain(lua_State *L) {
    struct raft *h = lua_touserdata(L, OBJECT);
    const struct orr_raft_ready *rd;
    struct write w = { 0 };
    int rc = 0;
    for (int i = OUT; i <= ENTRIES; i++) lua_newtable(L);
    while (rc == 0 && h->n_writes < WRITES_MAX && (rd = orr_raft_ready(h->r))) rc = take(L, h, rd, &w);
    if (rc) return luaL_error(L, WHAT ":ready: %s", orr_strerror(rc));
    bool anything = w.first || w.part || lua_rawlen(L, MESSAGES) || lua_rawlen(L, COMMITS) || lua_rawlen(L, READS);
    if (!anything) return 0;
    if (w.first || w.part) finish_write(L, h, &w);
    lua_settop(L, READS);
    lua_setfield(L, OUT, "reads");
    lua_setfield(L, OUT, "commits");
    lua_setfield(L, OUT, "messages");
    return 1;
}

static int raft_ready(lua_State *L) {
    struct raft *h = check(L);
    lua_settop(L, 1);
    lua_pushcfunction(L, drain);
    lua_insert(L, 1);
    h->busy = true;
    int rc = lua_pcall(L, 1, 1, 0);
    h->busy = false;
    return rc == LUA_OK ? 1 : lua_error(L);
}

/* -- What it is like --------------------------------------------------------------------------------------------- */
static int raft_deadline(lua_State *L) {
    push_seconds(L, orr_raft_deadline(check(L)->r));
    return 1;
}

static void push_progress(lua_State *L, const struct raft *h, const struct orr_raft_member *members, size_t n) {
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        if (members[i].id == h->self) continue;
        orrb_raft_push_name(L, &h->names, members[i].id);
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, (lua_Integer)members[i].match);
        lua_setfield(L, -2, "match");
        lua_pushinteger(L, (lua_Integer)members[i].next);
        lua_setfield(L, -2, "next");
        lua_pushboolean(L, members[i].snapshot);
        lua_setfield(L, -2, "snapshot");
        lua_rawset(L, -3);
    }
}

static int raft_status(lua_State *L) {
    struct raft *h = check(L);
    struct orr_order_status s;
    struct orr_raft_member members[ORRB_RAFT_MEMBERS_MAX];
    size_t n = 0;
    orr_raft_status(h->r, &s);
    while (n < ORRB_RAFT_MEMBERS_MAX && orr_raft_member(h->r, n, &members[n])) n++;
    lua_newtable(L);
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = { { "term", s.term },     { "commit", s.commit }, { "applied", s.applied },
                    { "first", s.first },   { "last", s.last },     { "stored", s.stored } };
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        lua_pushinteger(L, (lua_Integer)figures[i].value);
        lua_setfield(L, -2, figures[i].name);
    }
    const struct {
        const char *name;
        orr_id id;
    } ids[] = { { "id", s.id }, { "vote", s.vote }, { "leader", s.leader } };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        orrb_raft_push_name(L, &h->names, ids[i].id);
        lua_setfield(L, -2, ids[i].name);
    }
    lua_pushstring(L, roles[s.role]);
    lua_setfield(L, -2, "role");
    orrb_raft_push_names(L, &h->names);
    lua_setfield(L, -2, "voters");
    lua_newtable(L);
    lua_setfield(L, -2, "voters_outgoing");
    lua_newtable(L);
    lua_setfield(L, -2, "learners");
    if (s.role == ORR_LEADER) {
        push_progress(L, h, members, n);
        lua_setfield(L, -2, "progress");
    }
    if (s.error) {
        lua_pushstring(L, orr_strerror(s.error));
        lua_setfield(L, -2, "error");
    }
    return 1;
}

static int raft_tostring(lua_State *L) {
    struct raft *h = luaL_checkudata(L, 1, RAFT);
    if (!h->r) {
        lua_pushliteral(L, WHAT "(closed)");
        return 1;
    }
    struct orr_order_status s;
    orr_raft_status(h->r, &s);
    orrb_raft_push_name(L, &h->names, s.id);
    lua_pushfstring(L, WHAT "(%s %s term=%I commit=%I)", lua_tostring(L, -1), roles[s.role], (lua_Integer)s.term,
                    (lua_Integer)s.commit);
    return 1;
}

int orrb_open_raft(lua_State *L) {
    static const luaL_Reg methods[] = {
        { "tick", raft_tick },           { "deadline", raft_deadline }, { "campaign", raft_campaign },
        { "recv", raft_recv },           { "propose", raft_propose },   { "read_index", raft_read_index },
        { "ready", raft_ready },         { "stored", raft_stored },     { "applied", raft_applied },
        { "status", raft_status },       { "close", raft_close },       { NULL, NULL },
    };
    static const luaL_Reg metamethods[] = {
        { "__tostring", raft_tostring }, { "__gc", raft_close }, { "__close", raft_close }, { NULL, NULL },
    };
    static const luaL_Reg functions[] = { { "new", raft_new }, { NULL, NULL } };
    luaL_newmetatable(L, RAFT);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
