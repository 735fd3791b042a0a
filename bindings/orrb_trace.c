/* orrb_trace.c - see orrb_trace.h.
 *
 * A ring of EVENTS_MAX; its pages are touched as it fills. An event's token is its number from 1, so what becomes of a
 * message is written where the message is, if that is still there. Of a message the first bytes are kept, and looked at
 * when somebody wants to know (orr_frame_glance); what isn't a node's frame is a client's "bytes". */
#include "orrb_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/time.h>

enum { EVENTS_MAX = 1 << 16, GROUPS_MAX = 16, NAME_BYTES = 64 };
enum kind { MESSAGE, LIFE, CUT, STATUS, COMMIT, APPLY, RESTORE, TIME };
static const char *const kind_names[] = { "message", "life", "cut", "status", "commit", "apply", "restore",
                                          "time" };

enum { PARTS = 3, PART_BYTES = 40 };    /* of a frame: its head, the protocol's or the host's, the first message */
struct first {                          /* bytes of a message */
    unsigned char n, size[PARTS], at[PARTS][PART_BYTES];
};
struct event {
    orr_time at, till;              /* till: of a message: when it arrived or was lost; -1: it is under way */
    const char *from, *to;          /* from: the node, where it is about one */
    uint32_t size, group;
    unsigned char kind;
    bool lost;
    union {
        struct {
            uint64_t with;          /* the first of those that travel together */
            struct first first;
        } message;
        struct {
            const char *what;       /* a role, a state */
            uint64_t term, index;
            orr_id leader;
            char why[24];           /* a node is down */
        } other;
        struct orr_node_time time;
    } u;
};
struct group {
    uint32_t number;
    char name[NAME_BYTES];
};
struct orrb_trace {
    struct event *ring;             /* [EVENTS_MAX] */
    orr_time wall_start;            /* the true time at 0 */
    uint64_t n;                     /* so many were noted */
    struct group groups[GROUPS_MAX];
    unsigned n_groups;
};

struct orrb_trace *orrb_trace_new(orr_time wall_start) {
    struct orrb_trace *t = calloc(1, sizeof *t);
    if (t) t->wall_start = wall_start;
    if (t) t->ring = calloc(EVENTS_MAX, sizeof *t->ring);
    if (t && t->ring) return t;
    free(t);
    return NULL;
}

void orrb_trace_free(struct orrb_trace *t) {
    if (t) free(t->ring);
    free(t);
}

static struct event *event_of(const struct orrb_trace *t, uint64_t token) { return &t->ring[(token - 1) % EVENTS_MAX]; }

static uint64_t oldest(const struct orrb_trace *t) { return t->n > EVENTS_MAX ? t->n - EVENTS_MAX + 1 : 1; }

static struct event *add(struct orrb_trace *t, orr_time at, enum kind kind, const char *from) {
    struct event *e = event_of(t, ++t->n);
    e->at = e->till = at;
    e->from = from;
    e->to = NULL;
    e->kind = (unsigned char)kind;
    e->size = e->group = 0;
    e->lost = false;
    if (kind != MESSAGE) memset(&e->u.other, 0, sizeof e->u.other);
    return e;
}

/* -- What happens ------------------------------------------------------------------------------------------------- */
static void take_first(struct first *first, const struct orr_slice *parts, size_t n_parts) {
    first->n = n_parts < PARTS ? (unsigned char)n_parts : PARTS;
    for (size_t i = 0; i < first->n; i++) {
        size_t size = parts[i].size < PART_BYTES ? parts[i].size : PART_BYTES;
        first->size[i] = (unsigned char)size;
        if (size) memcpy(first->at[i], parts[i].at, size);
    }
}

uint64_t orrb_trace_sent(struct orrb_trace *t, orr_time now, const char *from, const char *to, uint64_t with,
                         const struct orr_slice *parts, size_t n_parts) {
    size_t size = 0;
    if (!t) return 0;
    for (size_t i = 0; i < n_parts; i++) size += parts[i].size;
    struct event *e = add(t, now, MESSAGE, from);
    e->till = -1;
    e->to = to;
    e->size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    e->u.message.with = with ? with : t->n;
    take_first(&e->u.message.first, parts, n_parts);
    return t->n;
}

static bool is_of(const struct event *e, uint64_t first) { return e->kind == MESSAGE && e->u.message.with == first; }

void orrb_trace_arrived(struct orrb_trace *t, orr_time now, uint64_t first, uint64_t last) {
    for (uint64_t k = first > oldest(t) ? first : oldest(t); k <= last; k++) {
        struct event *e = event_of(t, k);
        if (is_of(e, first) && e->till < 0) e->till = now;
    }
}

void orrb_trace_lost(struct orrb_trace *t, orr_time now, uint64_t first, uint64_t last, size_t kept) {
    uint64_t end = 0;
    for (uint64_t k = first > oldest(t) ? first : oldest(t); k <= last; k++) {
        struct event *e = event_of(t, k);
        if (!is_of(e, first)) continue;
        end += e->size;
        if (end <= kept || e->lost) continue;
        e->lost = true;
        e->till = now;
    }
}

void orrb_trace_cut(struct orrb_trace *t, orr_time now, const char *from, const char *to, bool on) {
    if (!t) return;
    struct event *e = add(t, now, CUT, from);
    e->to = to;
    e->u.other.what = on ? "cut" : "whole";
}

void orrb_trace_life(struct orrb_trace *t, orr_time now, const char *node, enum orr_sim_state state, const char *why) {
    static const char *const words[] = { "down", "up", "paused" };
    if (!t) return;
    struct event *e = add(t, now, LIFE, node);
    e->u.other.what = words[state];
    snprintf(e->u.other.why, sizeof e->u.other.why, "%s", why);
}

static void learn(struct orrb_trace *t, uint32_t group, const char *name) {
    for (unsigned i = 0; i < t->n_groups; i++) {
        if (t->groups[i].number == group) return;
    }
    if (t->n_groups == GROUPS_MAX) return;
    t->groups[t->n_groups].number = group;
    snprintf(t->groups[t->n_groups++].name, NAME_BYTES, "%s", name);
}

void orrb_trace_group(struct orrb_trace *t, orr_time now, const char *node, uint32_t group, unsigned kind,
                      const void *event) {
    static const char *const roles[] = { "follower", "precandidate", "candidate", "leader", "learner" };
    struct event *e = NULL;
    if (!t) return;
    if (kind == ORR_TRACE_STATUS || kind == ORR_TRACE_RECOVERED) {
        const struct orr_order_status *s = event;
        e = add(t, now, STATUS, node);
        e->u.other.what = roles[s->role];
        e->u.other.term = s->term;
        e->u.other.index = s->commit;
        e->u.other.leader = s->leader;
    } else if (kind == ORR_TRACE_COMMIT) {
        const struct orr_trace_commit *c = event;
        e = add(t, now, COMMIT, node);
        e->u.other.index = c->index;
        e->u.other.term = c->term;
        e->u.other.what = c->leader ? "leader" : "follower";
    } else if (kind == ORR_TRACE_APPLY || kind == ORR_TRACE_RESTORE) {
        const struct orr_trace_apply *a = event;
        learn(t, group, a->name);
        e = add(t, now, kind == ORR_TRACE_APPLY ? APPLY : RESTORE, node);
        e->u.other.index = a->index;
        e->u.other.term = a->term;
    } else if (kind == ORR_TRACE_TIME) {
        e = add(t, now, TIME, node);
        e->u.time = *(const struct orr_node_time *)event;
    }
    if (e) e->group = group;
}

/* -- As tables ---------------------------------------------------------------------------------------------------- */
static const char *group_name(const struct orrb_trace *t, uint32_t number) {
    for (unsigned i = 0; i < t->n_groups; i++) {
        if (t->groups[i].number == number) return t->groups[i].name;
    }
    return NULL;
}

static void set_numbers(lua_State *L, const struct orrb_trace *t, uint32_t group, uint64_t term, uint64_t index) {
    const char *name = group ? group_name(t, group) : NULL;
    if (name) orrb_set_text(L, "group", name);
    if (term) orrb_set_count(L, "term", term);
    if (index) orrb_set_count(L, "index", index);
}

static void push_message(lua_State *L, const struct orrb_trace *t, const struct event *e) {
    const struct first *first = &e->u.message.first;
    struct orr_glance seen = { .kind = "bytes" };
    struct orr_slice parts[PARTS];
    for (size_t i = 0; i < first->n; i++) parts[i] = orr_borrow(first->at[i], first->size[i]);
    bool clients = strcmp(e->from, ORR_SIM_CLIENTS) == 0 || strcmp(e->to, ORR_SIM_CLIENTS) == 0;
    if (clients || orr_frame_glance(parts, first->n, &orr_raft_order, &seen) < 0)
        seen = (struct orr_glance){ .kind = "bytes" };
    orrb_set_text(L, "what", seen.kind);
    orrb_set_count(L, "size", e->size);
    set_numbers(L, t, seen.group, seen.term, seen.index);
    if (e->till >= 0) orrb_set_count(L, "till", (uint64_t)e->till);
    orrb_set_text(L, "outcome", e->lost ? "lost" : e->till < 0 ? "under way" : "delivered");
    if (seen.count) orrb_set_count(L, "count", seen.count);
    if (seen.name[0]) orrb_set_text(L, "name", seen.name);
    if (!seen.refused) return;
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "refused");
}

/* The name of a leader, which is known as a number: that of a node of which there is an event. */
static const char *name_of(const struct orrb_trace *t, orr_id id) {
    for (uint64_t k = oldest(t); id != ORR_NOBODY && k <= t->n; k++) {
        const struct event *e = event_of(t, k);
        if (orr_id_of(e->from) == id) return e->from;
        if (e->to && orr_id_of(e->to) == id) return e->to;
    }
    return NULL;
}

/* Against the true time. */
static void push_time(lua_State *L, const struct orrb_trace *t, const struct event *e) {
    static const char *const states[] = { "unsync", "sync", "holdover" };
    orr_time now = t->wall_start + e->at;
    orrb_set_integer(L, "earliest", e->u.time.earliest - now);
    orrb_set_integer(L, "likely", e->u.time.likely - now);
    orrb_set_integer(L, "latest", e->u.time.latest - now);
    orrb_set_count(L, "epoch", e->u.time.epoch);
    orrb_set_text(L, "what", states[e->u.time.state]);
}

static void push_event(lua_State *L, const struct orrb_trace *t, const struct event *e) {
    lua_createtable(L, 0, 10);
    orrb_set_count(L, "at", (uint64_t)e->at);
    orrb_set_text(L, "kind", kind_names[e->kind]);
    orrb_set_text(L, e->to ? "from" : "node", e->from);
    if (e->to) orrb_set_text(L, "to", e->to);
    if (e->kind == MESSAGE) {
        push_message(L, t, e);
        return;
    }
    if (e->kind == TIME) {
        push_time(L, t, e);
        return;
    }
    const char *leader = e->kind == STATUS ? name_of(t, e->u.other.leader) : NULL;
    if (e->u.other.what) orrb_set_text(L, "what", e->u.other.what);
    if (leader) orrb_set_text(L, "leader", leader);
    if (e->kind == LIFE) orrb_set_text(L, "why", e->u.other.why);
    set_numbers(L, t, e->group, e->u.other.term, e->u.other.index);
}

static bool is_wanted(lua_State *L, int kinds, const struct event *e) {
    if (lua_isnoneornil(L, kinds)) return true;
    lua_getfield(L, kinds, kind_names[e->kind]);
    bool wanted = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return wanted;
}

int orrb_trace_push(lua_State *L, const struct orrb_trace *t, orr_time from, orr_time till, int kinds) {
    lua_Integer n = 0;
    lua_newtable(L);
    for (uint64_t k = t ? oldest(t) : 1; t && k <= t->n; k++) {
        const struct event *e = event_of(t, k);
        bool within = e->at <= till && (e->at >= from || e->till < 0 || e->till >= from);
        if (!within || !is_wanted(L, kinds, e)) continue;
        push_event(L, t, e);
        lua_rawseti(L, -2, ++n);
    }
    lua_pushboolean(L, t && oldest(t) > 1 && event_of(t, oldest(t))->at > from);
    return 2;
}
