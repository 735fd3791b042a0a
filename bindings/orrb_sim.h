/* orrb_sim.h - what the files of core.sim share: the simulation behind a handle, and how a method answers.
 *
 *     orrb_sim.c          its life, its time, how it is judged
 *     orrb_sim_notes.c    what happens meanwhile is noted, and fetched afterwards
 *     orrb_sim_nodes.c    its nodes: how they live, what they say of themselves, what they are asked
 *     orrb_sim_faults.c   what hurts and mends links, disks and clocks
 *     orrb_sim_client.c   endpoints outside the nodes                                                                */
#ifndef ORRB_SIM_H
#define ORRB_SIM_H

#include <stdio.h>

#include <orrery/lab.h>
#include <orrery/sim.h>

#include "orrb_fleet.h"
#include "orrb_strikes.h"
#include "orrb_trace.h"

enum { ORRB_SEEN_GROUPS_MAX = 64 };
enum orrb_seen_kind {
    ORRB_SEEN_LEADER, ORRB_SEEN_COMMIT, ORRB_SEEN_APPLY, ORRB_SEEN_SNAPSHOT, ORRB_SEEN_UPGRADE, ORRB_SEEN_KILL,
    ORRB_SEEN_RESTART, ORRB_SEEN_KINDS
};
struct orrb_seen {                  /* how often each happened to one group */
    uint32_t group;
    uint64_t n[ORRB_SEEN_KINDS];
};

struct orrb_note;
struct orrb_sim_client;
struct orrb_sim {
    struct orr_lab *lab;
    struct orr_sim *sim;            /* the laboratory's; NULL: closed */
    struct orrb_fleet fleet;
    FILE *events;
    struct orrb_note *first, *last;
    size_t n_notes;
    uint64_t seen[ORRB_SEEN_KINDS];
    struct orrb_seen groups[ORRB_SEEN_GROUPS_MAX];  /* later ones are counted together alone */
    size_t n_groups;
    struct orrb_strikes strikes;
    bool news;                      /* for who waits outside the nodes, since the last sim:news() */
    struct orrb_sim_client *clients;
    struct orrb_trace *trace;       /* NULL: none is kept */
};

/* Of the handle at 1; raise where it is another value, or closed. */
struct orrb_sim *orrb_sim_self(lua_State *L);
struct orr_sim *orrb_check_sim(lua_State *L);
/* 0 -> true, else nil, message, code. */
int orrb_sim_answer(lua_State *L, int rc, const char *what);
/* nil, why a node did not start, code. */
int orrb_sim_boot_failed(lua_State *L, struct orrb_sim *s, int rc);

/* -- orrb_sim_notes.c --------------------------------------------------------------------------------------------- */
/* From now on what happens is noted in s. After s->events and s->trace are set. */
void orrb_sim_hooks(struct orrb_sim *s, struct orr_lab_config *cfg);
void orrb_sim_forget(struct orrb_sim *s);       /* all notes */
/* News for who waits outside the nodes of that struct orrb_sim: sim:run returns after this event. */
void orrb_sim_tell(void *ud);

/* -- orrb_sim_client.c -------------------------------------------------------------------------------------------- */
#define ORRB_SIM_CLIENT "orrery.core.client"    /* its metatable */
void orrb_sim_clients_end(struct orrb_sim *s);  /* all of them are closed */
extern const luaL_Reg orrb_sim_client_methods[];
int orrb_sim_client_close(lua_State *L);        /* of the client at 1 */

/* -- Methods, ended by NULLs -------------------------------------------------------------------------------------- */
extern const luaL_Reg orrb_sim_notes[], orrb_sim_nodes[], orrb_sim_faults[], orrb_sim_clients[];

#endif
