/* orrb_machine.h - a machine of a script's, as orrb_machine.c and orrb_expose.c see it. */
#ifndef ORRB_MACHINE_H
#define ORRB_MACHINE_H

#include "base/rng.h"
#include "orrb_pack.h"
#include "orrb_script.h"

struct orrb_machine_spec {
    struct orrb_machine_spec *next;
    struct machine *machine;        /* that lives, or NULL: a crash in the simulator takes the node, but not this */
    struct orrb_host *host;
    lua_State *L;
    int init, apply, query, upgrade;        /* references; LUA_NOREF: none. apply, query: a function, or a table of
                                             * them */
    int snapshot, restore;          /* references; LUA_NOREF: the codec */
    int changed;                    /* reference: f() -> nil, or which constant of these has changed */
    lua_Integer version;
    int64_t steps_max;
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

/* orrb_expose.c. Around a run; they do nothing but in the simulator. */
void orrb_expose_init(struct machine *m);
void orrb_expose_clear(struct machine *m);
void orrb_expose_before(struct machine *m, bool asks);
void orrb_expose_applied(struct orrb_machine_call *c);
void orrb_expose_asked(struct machine *m, const char *place);
/* Its state can't be packed. */
void orrb_expose_unpacked(struct machine *m, const char *why);

#endif
