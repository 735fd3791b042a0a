/* lab_internal.h - what the files of the laboratory share: one run, its history, its oracles. */
#ifndef ORRI_LAB_H
#define ORRI_LAB_H

#include <orrery/check.h>
#include <orrery/lab.h>
#include <orrery/trace.h>

#include "base/rng.h"

enum { LAB_NODES_MAX = 64 };

struct orr_lab;
struct lab_client;
struct lab_oracle;
struct lab_shadow;
struct lab_disks;
struct lab_fold;
struct lab_times;
struct lab_members;
struct lab_ntp;

/* One run. */
struct orr_lab {
    struct orr_lab_config cfg;      /* with the caller's hooks in cfg.sim */
    struct orr_lab_node *nodes;     /* cfg.nodes: a copy */
    size_t cap_nodes;
    struct orr_sim *sim;
    struct orr_lab_result result;
    struct orr_alloc alloc;
    struct orr_operation *ops;      /* the history, as far as it isn't settled (fold.c) */
    uint64_t *serials;              /* [operation]: its number among all, from 1 */
    size_t n_ops, cap_ops, cap_serials;
    uint64_t begun;                 /* operations in all */
    struct lab_count {
        uint64_t operations, unknown, failed, reads, overlapping_reads;
    } settled;                      /* of those that are not in the history any more */
    const char *names[LAB_NODES_MAX];   /* of the nodes, as the simulator keeps them: quick to compare */
    bool excused[LAB_NODES_MAX];    /* kept down: it owes nothing */
    bool paused[LAB_NODES_MAX];
    struct lab_client *clients, *probes;
    struct lab_oracle *oracle;
    struct lab_shadow *shadow;
    struct lab_disks *disks;
    struct lab_fold *fold;
    struct lab_times *times;
    struct lab_members *members;
    struct lab_ntp *ntp;
    uint32_t *groups;               /* their numbers, in order of appearance; slot 0 is the node itself */
    size_t n_groups, cap_groups;
    bool out_of_memory;
    bool forgotten;                 /* what was committed, by a damaged disk: nothing is promised any more */
};

/* Notes the first violation, with the virtual time, and stops the run. Later ones are consequences; and where more
 * disks were lost or damaged than a cluster can bear, nothing is. */
void lab_violate(struct orr_lab *lab, const char *property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Position of a node in the config, or -1. */
int lab_node_named(const struct orr_lab *lab, const char *name);
int lab_node_of(const struct orr_lab *lab, orr_id id);
/* Where the oracles keep a group, by its number (the hash of its name); SIZE_MAX when memory is out. */
size_t lab_slot(struct orr_lab *lab, uint32_t group);
/* A new operation in the history, by index; SIZE_MAX when memory is out (the run then ends with -ENOMEM). Older ones
 * may move (lab_clients_moved). */
size_t lab_begin(struct orr_lab *lab, const struct orr_operation *op);
struct orr_operation *lab_operation(struct orr_lab *lab, uint64_t serial);     /* NULL: none, or settled */
void lab_count_operation(struct lab_count *count, const struct orr_operation *op);
/* False: there is something wrong with these operations. */
bool lab_judge_part(struct orr_lab *lab, const struct orr_operation *ops, size_t n, struct orr_verdict *v);
void lab_judge_history(struct orr_lab *lab);        /* what is left of it: violates, where it can't be ordered */
void *lab_grow(struct orr_lab *lab, void *array, size_t *cap, size_t need, size_t each);

/* -- workload.c: clients that read, write and compare-and-set ------------------------------------------------------ */
int lab_clients_new(struct orr_lab *lab);
void lab_clients_free(struct orr_lab *lab);
void lab_clients_quiet(struct orr_lab *lab);        /* no new operations from now on */
void lab_clients_moved(struct orr_lab *lab, const uint32_t *place);    /* [operation]: where it lies from now on */
int lab_probes_start(struct orr_lab *lab);          /* one for each node: a write and a read must be answered */
bool lab_probes_done(const struct orr_lab *lab, const char **waiting_for);

/* -- oracle.c: what nodes say of themselves ------------------------------------------------------------------------ */
int lab_oracle_new(struct orr_lab *lab);
void lab_oracle_free(struct orr_lab *lab);
void lab_oracle_trace(struct orr_lab *lab, const char *node, uint32_t group, unsigned kind, const void *event);
void lab_oracle_life(struct orr_lab *lab, const char *node, enum orr_sim_state state, int code, const char *why);
/* Have all nodes but the exempt applied everything that was committed? Otherwise *behind is one that hasn't. */
bool lab_oracle_converged(const struct orr_lab *lab, const char **behind);
void lab_oracle_account(struct orr_lab *lab);       /* fills the result's counts */
bool lab_exempt(const struct orr_lab *lab, size_t node);     /* its disk was lost or damaged: it owes nothing */

/* -- times.c: what they say of the cluster's time ------------------------------------------------------------------ */
int lab_times_new(struct orr_lab *lab);
void lab_times_free(struct orr_lab *lab);
void lab_times_start(struct orr_lab *lab, size_t node);     /* it (re)starts */
void lab_times_trace(struct orr_lab *lab, size_t node, unsigned kind, const void *event);
void lab_times_lie(struct orr_lab *lab);                    /* an NTP server lies now, or no longer */
/* Has the cluster's time gone evenly for so long? Ages that nodes tell are measured by it. */
bool lab_times_steady(struct orr_lab *lab, orr_time age);
uint64_t lab_times_read(const struct orr_lab *lab);         /* how often somebody was told it */

/* -- members.c: what they say of each other's lives ---------------------------------------------------------------- */
int lab_members_new(struct orr_lab *lab);
void lab_members_free(struct orr_lab *lab);
void lab_members_life(struct orr_lab *lab, size_t node, enum orr_sim_state state);     /* it is that from now on */
void lab_members_trace(struct orr_lab *lab, size_t node, const struct orr_trace_member *t);
/* Do all who take part hold each other for what they are? Otherwise who doesn't; *owes stands until the next call. */
bool lab_members_settled(const struct orr_lab *lab, const char **who, const char **owes);
orr_time lab_members_bound(const struct orr_lab *lab);      /* so long they may take; 0: nobody takes part */
uint64_t lab_members_events(const struct orr_lab *lab);

/* -- ntp.c: servers that know the true time ------------------------------------------------------------------------ */
int lab_ntp_new(struct orr_lab *lab);               /* and starts them */
void lab_ntp_free(struct orr_lab *lab);
size_t lab_ntp_liars(const struct orr_lab *lab);

/* -- shadow.c: an independent reading of the committed log: the order of the writes -------------------------------- */
int lab_shadow_new(struct orr_lab *lab);
void lab_shadow_free(struct orr_lab *lab);
void lab_shadow_commit(struct orr_lab *lab, const struct orr_trace_commit *c);       /* each index once, in order */
void lab_shadow_write(struct orr_lab *lab, uint64_t key, uint64_t value);            /* it has taken effect now */
bool lab_shadow_witness(const struct orr_lab *lab);  /* false: the log has no set of the kv machine */

/* -- fold.c: what is settled of the history is judged, and forgotten ----------------------------------------------- */
int lab_fold_new(struct orr_lab *lab);
void lab_fold_free(struct orr_lab *lab);
void lab_fold_every(struct orr_lab *lab, size_t calls);     /* so many more, before it is tried again; for tests */
void lab_fold_if_due(struct orr_lab *lab);

/* -- tell.c: what is wrong with a history, drawn ------------------------------------------------------------------- */
/* False: nothing is written, as the calls of that key fit together, or memory is out. */
bool lab_tell_history(struct orr_lab *lab, uint64_t key, bool witness, char *out, size_t size);

/* -- disks.c: claims of messages against durable disk images ------------------------------------------------------- */
int lab_disks_new(struct orr_lab *lab);
void lab_disks_free(struct orr_lab *lab);
void lab_disks_start(struct orr_lab *lab, size_t node);      /* it (re)starts: read its disk anew */
void lab_disks_claim(struct orr_lab *lab, size_t node, size_t slot, const struct orr_claims *claims);
/* An entry is handed out as committed for the first time: do a majority of the disks of those that bear the group have
 * it? */
void lab_disks_committed(struct orr_lab *lab, size_t slot, orr_index index, orr_term term, const bool *bears);
/* Does a majority that lost nothing have the entry still, or was no disk damaged? Else whoever is left of those that
 * had it may be away, and nobody else can know of it. */
bool lab_disks_remember(struct orr_lab *lab, size_t slot, orr_index index, orr_term term, const bool *bears);

#endif
