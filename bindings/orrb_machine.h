/* orrb_machine.h - a machine of a script's, as orrb_machine.c, orrb_code.c and orrb_expose.c see it. */
#ifndef ORRB_MACHINE_H
#define ORRB_MACHINE_H

#include "base/codec.h"
#include "base/hash.h"
#include "base/rng.h"
#include "orrb_pack.h"
#include "orrb_script.h"

/* The functions of a group, as one bundle of scripts declares them. Counted: by the script, by the machine that runs
 * them. */
struct orrb_code {
    unsigned refs;
    struct orr_birth bundle;
    int init, apply, query, upgrade;        /* references; LUA_NOREF: none. apply, query: a function, or a table of
                                             * them */
    int snapshot, restore;          /* references; LUA_NOREF: the codec */
    int changed;                    /* reference: f() -> nil, or which constant of these has changed */
    lua_Integer version;            /* of the state's shape */
    int64_t steps_max;
};
/* A group of the node's scripts. */
struct orrb_machine_spec {
    struct orrb_machine_spec *next;
    struct machine *machine;        /* that lives, or NULL: a crash in the simulator takes the node, but not this */
    struct orrb_host *host;
    struct orr_group *group;        /* NULL: not declared to the node yet */
    lua_State *L;
    struct orrb_code *own, *staged; /* of the scripts that run here; of those that are about to. NULL: none */
    struct orr_wait wait;           /* for new code, proposed by this node as the leader */
    struct orr_birth unwelcome;     /* a bundle that the group did not take, or that people were told about */
    char name[33];                  /* the group's */
};
/* orrb_expose.c's: drawn anew in each run of the simulator. */
struct orrb_expose {
    bool simulated;
    struct orr_rng chance;
    struct orrb_buffer before, after, out;
    bool looking;
};
struct machine {
    struct orrb_machine_spec *spec;
    struct orrb_code *code;         /* what it runs */
    bool named;                     /* by the log; else it runs what the scripts here declare */
    struct orrb_buffer record;      /* where it was named: the bundle, as text, for whoever has other scripts */
    struct orrb_code *next_code;    /* while it goes over */
    struct orr_chunks *chunks;
    int state;                      /* reference */
    uint64_t chain, ops, check_at;
    orr_time unchecked_since;       /* log time of the last op, if the chain has not the state after it; ORR_NEVER */
    bool applied;                   /* an op of the present entry */
    int failed;                     /* < 0: where nothing could be returned; the next op does */
    struct orrb_buffer out;         /* results */
    struct orrb_buffer packed;      /* the state */
    struct orrb_buffer image;       /* being given out, or being put together */
    size_t given;
    bool frozen;
    struct orrb_expose expose;
    struct orrb_feed *feed;         /* who follows it, or NULL */
};
enum {
    ORRB_PLACE_MAX = LUA_IDSIZE + 40,
    ORRB_SMALL = 4096,              /* bytes of a state that is walked over at every op in the simulator */
};
/* One run of apply or query. */
struct orrb_machine_call {
    struct machine *m;
    const struct orr_at *at;
    struct orr_slice bytes;
    int functions;                  /* reference of apply or query */
    const char *what;
    bool raised;                    /* out: by what m->out has as "failed" */
    char place[ORRB_PLACE_MAX];                 /* out: "apply (FILE:LINE)" */
};

/* Leaves the packed results in m->out. 0 or -ENOMEM. */
int orrb_machine_perform(struct orrb_machine_call *c);
/* f runs as a pure function with m as its argument. 0, -ENOMEM, or ORR_EFAILED with the message in why. */
int orrb_machine_protect(struct machine *m, lua_CFunction f, char *why, size_t why_size);

/* Packs the state into m->packed, chains it and says when that is due again. 0, -ENOMEM, ORR_EFAILED. */
int orrb_machine_chain_state(struct machine *m);
/* Protected, with the machine as the argument: the state becomes what next_code's init gives. */
int orrb_machine_init_state(lua_State *L);
void orrb_machine_say(const struct machine *m, enum orr_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* orrb_code.c. The code that the table at idx declares: init, apply, query, ... May raise. */
struct orrb_code *orrb_code_new(lua_State *L, int idx, const struct orr_birth *bundle);
/* L: NULL where the state is closed. NULL is allowed. */
void orrb_code_drop(lua_State *L, struct orrb_code *code);
/* Is this op not the script's, but new code? */
bool orrb_code_is(struct orr_slice op);
/* Applies it: the results are in m->out. 0; or < 0: this replica can't go on. */
int orrb_code_apply(struct machine *m, const struct orr_at *at, struct orr_slice op);
/* What a leader writes first where the log has named none yet. As orr_machine_ops.opening. */
int orrb_code_opening(const struct machine *m, struct orr_slice *op);
/* The code of that bundle, for a machine whose snapshot names it: m->code and m->record. 0, -ENOMEM, ORR_EFAILED. */
int orrb_code_take(struct machine *m, const struct orr_birth *bundle, const void *record, size_t size);

/* orrb_expose.c. Around a run; they do nothing but in the simulator. */
void orrb_expose_init(struct machine *m);
void orrb_expose_clear(struct machine *m);
void orrb_expose_before(struct machine *m, bool asks);
void orrb_expose_applied(struct orrb_machine_call *c);
void orrb_expose_found(struct machine *m, const char *what);        /* the run ends with it */
void orrb_expose_asked(struct machine *m, const char *place);
/* Its state can't be packed. */
void orrb_expose_unpacked(struct machine *m, const char *why);

#endif
