/* orrb_script.h - a node's script, as the files that serve it see it: its tasks, its handlers, its machines. */
#ifndef ORRB_SCRIPT_H
#define ORRB_SCRIPT_H

#include <orrery/node.h>

#include "orrb_task.h"

struct orrb_feed;
struct orrb_handler;
struct orrb_listener;
struct orrb_machine_spec;
struct orrb_watch;

/* What happened to members, until the script's side takes it. */
struct orrb_member_events {
    struct orrb_member_event {
        enum orr_member_event_kind kind;
        orr_id id, by;
    } *at;
    size_t n, cap, lost;
    uint64_t changes;               /* in all */
    bool wanted;                    /* somebody will take them, */
    bool woken;                     /* and is about to */
};

struct orrb_host {
    const char *name;               /* of the node */
    struct orrb_tasks tasks;
    struct orrb_handler *handlers;
    struct orrb_listener *listeners;
    struct orrb_machine_spec *machines;
    struct orrb_watch *watches;     /* of groups' events */
    struct orr_birth bundle;        /* hash of the scripts */
    struct orrb_buffer record;      /* the scripts, as text: what a leader puts into a group's log */
    bool code_changed;              /* of a group, in this turn */
    int declares;                   /* reference: f(record, group) -> what its scripts declare that group to be */
    /* While other scripts' top level runs (orrb_node_reload), what it declares is put here. */
    bool staging;
    struct orr_birth staged_bundle;
    struct orrb_handler *staged_handlers;
    struct orrb_watch *staged_watches;
    /* Of scripts that were replaced: their tasks may still point there. */
    struct orrb_handler *old_handlers;
    struct orrb_watch *old_watches;
    struct orrb_feed *feeds;        /* of groups that somebody follows */
    struct orrb_member_events members;
};

/* Each leaves a table of functions on the stack. May raise. */
void orrb_rpc_open(lua_State *L, struct orrb_host *h);
void orrb_group_open(lua_State *L, struct orrb_host *h);

/* orrb_rpc.c: what the node tells its host. Never raise. */
int orrb_rpc_asked(struct orrb_host *h, struct orr_asked *a);
void orrb_rpc_gone(struct orr_asked *a);
void orrb_rpc_commit(struct orrb_host *h);
void orrb_rpc_abandon(struct orrb_host *h);
void orrb_rpc_clear(struct orrb_host *h);

/* orrb_group.c. g: NULL for what is the node's: ORRB_TIME_STEP, ORRB_MEMBERS */
enum { ORRB_TIME_STEP = 1 << 17, ORRB_MEMBERS = 1 << 18 };  /* besides enum orr_group_event and ORRB_GROUP_UPGRADE */
bool orrb_group_event(struct orrb_host *h, struct orr_group *g, unsigned events);       /* false: it made no task */
void orrb_group_commit(struct orrb_host *h);
void orrb_group_abandon(struct orrb_host *h);
void orrb_group_clear(struct orrb_host *h);

/* orrb_settings.c: parts of the table at 1 into a node's config; what holds texts is left on the stack. May raise. */
void orrb_read_nodes(lua_State *L, struct orr_node_config *cfg);
void orrb_read_clock(lua_State *L, struct orr_node_clock *clock);
void orrb_read_membership(lua_State *L, struct orr_node_membership *members);
/* What "env:VAR" or "file:PATH" (beside the directory) stands for; or nil, message, "unavailable". How many. */
int orrb_push_secret(lua_State *L, const char *from, const char *directory);

/* orrb_time.c: node:time and node.clock. */
void orrb_time_open(lua_State *L, struct orrb_host *h);

/* orrb_members.c: node.members. */
void orrb_members_open(lua_State *L, struct orrb_host *h);
void orrb_members_event(struct orrb_host *h, const struct orr_member_event *e);     /* never raises, nor does wake */
void orrb_members_wake(struct orrb_host *h);        /* where there was no memory for a task when something came */
void orrb_members_clear(struct orrb_host *h);
void orrb_push_members_status(lua_State *L, const struct orr_membership *of);

/* orrb_node_hlc.c: node.hlc. */
void orrb_node_hlc_open(lua_State *L, struct orrb_host *h);

/* orrb_feed.c. open adds its functions to the table at the top; may raise. */
void orrb_feed_open(lua_State *L, struct orrb_host *h);
void orrb_feeds_restored(struct orrb_host *h, struct orr_group *g);
void orrb_feeds_clear(struct orrb_host *h);

/* orrb_machine.c: a state machine written in Lua. The table at idx has name, init, apply, query, version, upgrade; the
 * spec is the host's, one for each name, and what a group gets as its machine's ud. May raise. */
extern const struct orr_machine_ops orrb_lua_machine;
struct orrb_machine_spec *orrb_machine_declare(lua_State *L, struct orrb_host *h, int idx);
void orrb_machines_clear(struct orrb_host *h);
/* Pushes a copy of the whole state (idx 0), or of what the pure function at idx says to it; what that raises becomes
 * nil, message, "failed". Returns how many values. May raise. */
int orrb_machine_ask(lua_State *L, void *machine, const struct orr_at *at, int idx);
/* Into the table on top: version and code, what the group runs; next_code, where the scripts here are others. */
void orrb_push_code(lua_State *L, const void *machine);
/* The declared group is this one of the node's. */
void orrb_machine_bind(struct orrb_machine_spec *spec, struct orr_group *g);

#endif
