/* lab.h - the laboratory: runs a cluster in the simulator under faults and judges it.
 *
 * A run has a safety phase, in which faults strike and nothing wrong may ever be seen, and a liveness phase, in which
 * they have stopped and every node must answer within a bound. Oracles outside the nodes read the trace that the nodes
 * emit and the simulated disks, never a core's memory:
 *
 *   one_leader            no term has two leaders
 *   committed_changed     what was committed at an index stays, on every node
 *   leader_completeness   a leader's log reaches as far as anything that was committed in terms before its own
 *   persist_before_claim  each term, vote and acknowledgement that a message claims is on its sender's durable
 *                         disk image
 *   acknowledged_lost     a client's acknowledgement names a committed entry
 *   digest                replicas that have applied the same index have the same state
 *   monotone              no node's term, commit or applied index goes back while it runs, nor its term over restarts
 *   exactly_once          no command takes effect twice
 *   linearizable          the clients' history, with the log's order as witness
 *   liveness, quiet       the cluster answers once it is left alone; without faults, no elections but the first
 *   crash                 a node ended by itself without a fault that explains it
 *   floor                 the run did too little work to prove anything
 *
 *     struct orr_lab_config cfg;
 *     orr_lab_config_init(&cfg);
 *     cfg.seed = 7; cfg.nodes = nodes; cfg.n_nodes = 3; cfg.boot = boot; cfg.faults = &rates;
 *     struct orr_lab_result r;
 *     orr_lab_run(&cfg, &r);
 *     if (!r.ok) printf("%s: %s\n", r.property, r.violation); */
#ifndef ORR_LAB_H
#define ORR_LAB_H

#include <orrery/sim.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_lab_node {
    const char *id;
    const char *resp;               /* address of its RESP listener, as its boot makes it listen; NULL:
                                     * clients pass it by */
};
struct orr_lab_config {
    size_t size;                    /* set by init */
    uint64_t seed;
    const struct orr_lab_node *nodes;
    size_t n_nodes;
    struct orr_sim_boot boot;       /* of every node; start() gets its name */
    const struct orr_sim_faults *faults;    /* NULL: none */
    orr_time run;                   /* of the safety phase; 30 s */
    orr_time liveness_bound;        /* 10 s: by then every node has answered a write and a read */
    /* The kv workload. */
    unsigned clients, keys;         /* 4, 3; clients 0: an idle cluster */
    orr_time think;                 /* mean pause of a client between two packets; 10 ms */
    unsigned pipeline_max;          /* commands in a packet: 1 to this many; 4 */
    uint64_t operations_floor;      /* fewer done is a failure; 0: a twentieth of what a quiet run would do */
    /* Hooks, may be NULL. plan: before the run begins: for faults and clients of one's own (orr_sim_at, _arm, ...),
     * besides those of `faults`, whose chaos heals all of them when the run is over. */
    void (*plan)(void *ud, struct orr_sim *sim);
    void (*event)(void *ud, const char *line, size_t size);
    void (*log)(void *ud, orr_time now, const char *node, enum orr_level level, const char *text, size_t size);
    void *ud;
    uint64_t flip;                  /* for a spec of the digest: flips a bit of the nth
                                     * delivered byte, from 1; 0: none */
};
ORR_API void orr_lab_config_init(struct orr_lab_config *cfg);

enum { ORR_LAB_RARES_MAX = 96 };
struct orr_lab_rare {               /* a branch of ORR_RARE, over all nodes */
    char name[32];
    uint64_t asked, taken;
};
struct orr_lab_result {
    bool ok;
    char property[32];              /* not ok: which of the above; "" otherwise */
    char violation[512];            /* one line, with the virtual time */
    uint64_t seed, events, digest;
    uint64_t operations, unknown, failed;   /* done; of unknown fate; surely not done */
    uint64_t reads, overlapping_reads;      /* reads done; those that overlap a write of their key */
    uint64_t committed, elections, leaders, restarts;
    orr_time virtual_time;
    uint64_t faults[ORR_SIM_KINDS]; /* how often each struck */
    uint64_t claims;                /* in messages, compared with the disk image */
    struct orr_lab_rare rares[ORR_LAB_RARES_MAX];   /* in the order of their first use */
    size_t n_rares;
};
/* 0 with a result; -ENOMEM or ORR_EINVALID when the run could not be made. One thread;
 * many runs may follow each other. */
ORR_API int orr_lab_run(const struct orr_lab_config *cfg, struct orr_lab_result *out);

#ifdef __cplusplus
}
#endif
#endif
