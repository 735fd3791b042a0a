/* orrb_sim_notes.c - what happens in a simulation is noted: log lines, lives, counts, strikes, what oracles saw.
 *
 * The hooks run inside a step, and Lua doesn't: what they note is fetched afterwards. Notes are for people; no run
 * depends on them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/trace.h>

#include "orrb_sim.h"

enum { NOTES_MAX = 1000 };
struct orrb_note {                  /* a log line, a node's life, or what an oracle saw */
    struct orrb_note *next;
    orr_time at;
    const char *node, *kind;        /* kind: a level's word; or "up", "down", "paused"; "violated": node is "" */
    int code;
    char text[];
};
static const char *const seen_names[] = { "leader", "commit", "apply", "snapshot", "upgrade", "kill", "restart",
                                          NULL };

/* -- Hooks -------------------------------------------------------------------------------------------------------- */
static void forget_first(struct orrb_sim *s) {
    struct orrb_note *old = s->first;
    s->first = old->next;
    if (!s->first) s->last = NULL;
    s->n_notes--;
    free(old);
}

static void note(struct orrb_sim *s, orr_time at, const char *node, const char *kind, int code, const char *text,
                 size_t size) {
    struct orrb_note *n = malloc(sizeof *n + size + 1);
    if (!n) return;                 /* for people: a run doesn't depend on it */
    *n = (struct orrb_note){ .at = at, .node = node, .kind = kind, .code = code };
    memcpy(n->text, text, size);
    n->text[size] = '\0';
    if (s->last) s->last->next = n;
    else s->first = n;
    s->last = n;
    if (++s->n_notes > NOTES_MAX) forget_first(s);
}

static void on_log(void *ud, orr_time now, const char *node, enum orr_level level, const char *text, size_t size) {
    static const char *const words[] = { "error", "warn", "info", "debug" };
    note(ud, now, node, words[level], 0, text, size);
}

void orrb_sim_tell(void *ud) {
    struct orrb_sim *s = ud;
    s->news = true;
    if (s->sim) orr_sim_stop(s->sim);
}

static void on_life(void *ud, orr_time now, const char *node, enum orr_sim_state state, int code, const char *why) {
    static const char *const words[] = { "down", "up", "paused" };
    struct orrb_sim *s = ud;
    if (state == ORR_SIM_DOWN) {
        s->seen[ORRB_SEEN_KILL]++;
        orrb_sim_tell(s);                    /* what it was asked has no answer any more */
    }
    if (state == ORR_SIM_UP && strcmp(why, "start") == 0) s->seen[ORRB_SEEN_RESTART]++;
    note(s, now, node, words[state], code, why, strlen(why));
    orrb_trace_life(s->trace, now, node, state, why);
}

static uint64_t on_sent(void *ud, orr_time now, const char *from, const char *to, uint64_t with,
                        const struct orr_slice *parts, size_t n_parts) {
    return orrb_trace_sent(((struct orrb_sim *)ud)->trace, now, from, to, with, parts, n_parts);
}
static void on_arrived(void *ud, orr_time now, uint64_t first, uint64_t last) {
    orrb_trace_arrived(((struct orrb_sim *)ud)->trace, now, first, last);
}
static void on_lost(void *ud, orr_time now, uint64_t first, uint64_t last, size_t kept) {
    orrb_trace_lost(((struct orrb_sim *)ud)->trace, now, first, last, kept);
}
static void on_cut(void *ud, orr_time now, const char *from, const char *to, bool on) {
    orrb_trace_cut(((struct orrb_sim *)ud)->trace, now, from, to, on);
}

static void on_violated(void *ud, orr_time now, const char *property, const char *text) {
    struct orrb_sim *s = ud;
    char line[2200];
    int n = snprintf(line, sizeof line, "%s: %s", property, text);
    note(s, now, "", "violated", 0, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static struct orrb_seen *seen_of(struct orrb_sim *s, uint32_t group) {
    for (size_t i = 0; i < s->n_groups; i++)
        if (s->groups[i].group == group) return &s->groups[i];
    return NULL;
}

static void happened(struct orrb_sim *s, uint32_t group, enum orrb_seen_kind what) {
    struct orrb_seen *g = seen_of(s, group);
    if (!g && s->n_groups < ORRB_SEEN_GROUPS_MAX) {
        g = &s->groups[s->n_groups++];
        *g = (struct orrb_seen){ .group = group };
    }
    if (g) g->n[what]++;
    s->seen[what]++;
}

static void on_trace(void *ud, orr_time now, const char *node, uint32_t group, unsigned kind, const void *event,
                     size_t size) {
    struct orrb_sim *s = ud;
    (void)size;
    orrb_trace_group(s->trace, now, node, group, kind, event);
    bool leads = kind == ORR_TRACE_STATUS && ((const struct orr_order_status *)event)->role == ORR_LEADER;
    if (leads) happened(s, group, ORRB_SEEN_LEADER);
    if (kind == ORR_TRACE_COMMIT) happened(s, group, ORRB_SEEN_COMMIT);
    if (kind == ORR_TRACE_APPLY) happened(s, group, ORRB_SEEN_APPLY);
    if (kind == ORR_TRACE_SNAPSHOT) happened(s, group, ORRB_SEEN_SNAPSHOT);
    if (kind == ORR_TRACE_UPGRADE) happened(s, group, ORRB_SEEN_UPGRADE);
}

static void on_strike(void *ud, const struct orr_sim_strike *strike) {
    orrb_strikes_note(&((struct orrb_sim *)ud)->strikes, strike);
}

static void on_event(void *ud, const char *line, size_t size) {
    struct orrb_sim *s = ud;
    fwrite(line, 1, size, s->events);
    fputc('\n', s->events);
}

void orrb_sim_hooks(struct orrb_sim *s, struct orr_lab_config *cfg) {
    cfg->sim.log = on_log;
    cfg->sim.life = on_life;
    cfg->sim.trace = on_trace;
    cfg->sim.strike = on_strike;
    if (s->events) cfg->sim.event = on_event;
    if (s->trace) {
        cfg->sim.sent = on_sent;
        cfg->sim.arrived = on_arrived;
        cfg->sim.lost = on_lost;
        cfg->sim.cut = on_cut;
    }
    cfg->sim.ud = s;
    cfg->violated = on_violated;
}

void orrb_sim_forget(struct orrb_sim *s) {
    while (s->first) forget_first(s);
}

/* -- Methods ------------------------------------------------------------------------------------------------------ */
/* sim:notes() -> array of { at, node, kind, code, text }: what was noted since the last call, the last 1000. */
static int sim_notes(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    lua_createtable(L, (int)s->n_notes, 0);
    for (lua_Integer i = 1; s->first; i++) {
        const struct orrb_note *n = s->first;
        lua_createtable(L, 0, 5);
        orrb_set_integer(L, "at", n->at);
        orrb_set_text(L, "node", n->node);
        orrb_set_text(L, "kind", n->kind);
        orrb_set_integer(L, "code", n->code);
        orrb_set_text(L, "text", n->text);
        lua_seti(L, -2, i);
        forget_first(s);
    }
    return 1;
}

/* sim:seen(event, group) -> how often it happened, to that group or at all: "leader", "commit", "apply", "kill", ... */
static int sim_seen(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    int what = luaL_checkoption(L, 2, NULL, seen_names);
    const char *name = luaL_optstring(L, 3, NULL);
    const struct orrb_seen *g = name ? seen_of(s, orr_group_number(name)) : NULL;
    bool of_group = name && what != ORRB_SEEN_KILL && what != ORRB_SEEN_RESTART;
    lua_pushinteger(L, (lua_Integer)(!of_group ? s->seen[what] : g ? g->n[what] : 0));
    return 1;
}

/* sim:strikes() -> what its chaos did, as verbs: array of { at, till, verb, fault, ... } in ns; nil, message, code */
static int sim_strikes(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    return orrb_strikes_push(L, &s->strikes, s->sim);
}

/* sim:trace(from, till, kinds = all) -> events; whether older ones of that time were forgotten (orrb_trace.h) */
static int sim_trace(lua_State *L) {
    struct orrb_sim *s = orrb_sim_self(L);
    lua_settop(L, 4);
    return orrb_trace_push(L, s->trace, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), 4);
}

const luaL_Reg orrb_sim_notes[] = {
    { "notes", sim_notes }, { "seen", sim_seen }, { "strikes", sim_strikes }, { "trace", sim_trace }, { NULL, NULL },
};
