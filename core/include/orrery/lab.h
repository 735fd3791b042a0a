/* lab.h - the laboratory: runs a cluster in the simulator under faults and judges it.
 *
 * A run has a safety phase, in which faults strike and nothing wrong may ever be seen, and a liveness phase, in which
 * they have stopped and every node must answer within a bound. Oracles outside the nodes read the trace that the nodes
 * emit and the simulated disks, never a core's memory:
 *
 *   one_leader            no term has two leaders
 *   one_vote              no node votes for two in one term, nor forgets over a restart for whom it did
 *   committed_changed     what was committed at an index stays, on every node
 *   leader_completeness   a leader's log reaches as far as anything that was committed in terms before its own
 *   persist_before_claim  each term, vote and acknowledgement that a message claims is on its sender's durable
 *                         disk image
 *   acknowledged_lost     a client's acknowledgement names a committed entry
 *   digest                replicas that have applied the same index have the same state
 *   monotone              no node's term, commit or applied index goes back while it runs, nor its term over restarts;
 *                         nor, within an epoch, the earliest time that it tells
 *   exactly_once          no command takes effect twice
 *   linearizable          the clients' history, with the log's order as witness
 *   bound                 whoever is told the cluster's time (orrery/time.h) is told an interval that holds it
 *   lease                 while a leader has a lease, nobody else leads, and it has all that is committed
 *   age                   a replica's copy has all that was committed when it says that it is as of
 *   membership            nobody makes up what a node tells of its own life (orrery/membership.h), and nobody goes
 *                         back in it; without faults nobody is suspected
 *   liveness, quiet       the cluster answers once it is left alone, and agrees on who lives; without faults, no
 *                         elections but the first
 *   crash                 a node ended by itself without a fault that explains it
 *   floor                 the run did too little work to prove anything
 *
 * A cluster that lost, or has damaged, a majority of its disks is promised nothing, and judged no more. Nor is one
 * whose new leader lacks what was committed by the grace of a disk that was damaged since, where the others that have
 * it are no majority: a node that begins anew with an old disk can't know what it forgot, nor can those who weren't
 * told.
 *
 *     struct orr_lab_config cfg;
 *     orr_lab_config_init(&cfg);
 *     cfg.sim.seed = 7; cfg.nodes = nodes; cfg.n_nodes = 3; cfg.boot = boot; cfg.faults = &rates;
 *     struct orr_lab_result r;
 *     orr_lab_run(&cfg, &r);
 *     if (!r.ok) printf("%s: %s\n", r.property, r.violation);
 *
 * Who wants to strike by himself, or to bring clients of his own, makes the laboratory with orr_lab_new, runs its
 * simulation as he likes (orr_lab_sim), and lets the oracles look on. */
#ifndef ORR_LAB_H
#define ORR_LAB_H

#include <orrery/sim.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_lab_node {
    const char *id;
    const char *at;                 /* where it is for its peers, as its boot says; needed with `ntp` alone */
    const char *resp;               /* address of its RESP listener, as its boot makes it listen; NULL:
                                     * clients pass it by */
};
enum { ORR_LAB_NTP_MAX = 16 };
struct orr_lab;
struct orr_lab_config {
    size_t size;                    /* set by init */
    struct orr_sim_config sim;      /* seed, speeds, hooks; `judge` is the laboratory's */
    const struct orr_lab_node *nodes;   /* copied; their texts are borrowed for as long as the laboratory lives */
    size_t n_nodes;                 /* 64 at the most */
    /* Addresses of NTP servers that the nodes ask (orr_node_config.clock). The laboratory plays them: each is one more
     * node of the simulation, named by its address, that knows the true time. Borrowed, as the nodes' texts. */
    const char *const *ntp;
    size_t n_ntp;
    struct orr_sim_boot boot;       /* of every node; start() gets its name */
    const struct orr_sim_faults *faults;    /* NULL: none. Borrowed until orr_lab_chaos */
    orr_time run;                   /* of the safety phase; 30 s */
    orr_time liveness_bound;        /* 10 s: by then every node has answered a write and a read */
    bool quiet;                     /* nothing is going to strike, so nothing may happen; orr_lab_run sets it itself */
    /* The kv workload. */
    unsigned clients, keys;         /* 4, 3; clients 0: an idle cluster */
    orr_time think;                 /* mean pause of a client between two packets; 10 ms */
    unsigned pipeline_max;          /* commands in a packet: 1 to this many; 4 */
    uint64_t operations_floor;      /* fewer done is a failure; 0: a twentieth of what a quiet run would do */
    /* The first violation, as it is seen; the simulation stops behind it (as by orr_sim_stop). ud: sim's; or NULL */
    void (*violated)(void *ud, orr_time now, const char *property, const char *text);
    /* Of orr_lab_run, before the run begins: for faults and clients of one's own (orr_sim_at, _arm, ...), besides those
     * of `faults`, whose chaos heals all of them when the run is over. ud: sim's; or NULL */
    void (*plan)(void *ud, struct orr_sim *sim);
    uint64_t flip;                  /* for a spec of the digest: flips a bit of the nth
                                     * delivered byte, from 1; 0: none */
};
ORR_API void orr_lab_config_init(struct orr_lab_config *cfg);

enum { ORR_LAB_RARES_MAX = 96 };
struct orr_lab_rare {               /* a branch of ORR_RARE, over all nodes */
    char name[32];
    uint64_t offered, taken;  /* as orr_sim_rare has them */
};
struct orr_lab_result {
    bool ok;
    char property[32];              /* not ok: which of the above; "" otherwise */
    char violation[2048];           /* with the virtual time; one line, or those of a counter-example */
    uint64_t seed, events, digest;
    uint64_t operations, unknown, failed;   /* done; of unknown fate; surely not done */
    uint64_t reads, overlapping_reads;      /* reads done; those that overlap a write of their key */
    uint64_t committed, elections, leaders, restarts;
    orr_time virtual_time;
    uint64_t faults[ORR_SIM_KINDS]; /* how often each struck */
    uint64_t claims;                /* in messages, compared with the disk image */
    uint64_t times;                 /* how often somebody was told the cluster's time */
    uint64_t members;               /* how often a node's view of another one's life changed */
    struct orr_lab_rare rares[ORR_LAB_RARES_MAX];   /* in the order of their first use */
    size_t n_rares;
};
/* A whole run: both phases, judged. 0 with a result; -ENOMEM or ORR_EINVALID when the run could not be made. One
 * thread; many runs may follow each other. */
ORR_API int orr_lab_run(const struct orr_lab_config *cfg, struct orr_lab_result *out);

/* -- In steps ------------------------------------------------------------------------------------------------------ */
/* Nodes are started, clients made, oracles on; it is virtual time 0. -ENOMEM, ORR_EINVALID, or what a node's start
 * said. Freed by orr_lab_free; `config` is copied. */
ORR_API int orr_lab_new(struct orr_lab **lab, const struct orr_lab_config *config);
ORR_API void orr_lab_free(struct orr_lab *lab);          /* NULL is fine */
ORR_API struct orr_sim *orr_lab_sim(struct orr_lab *lab);    /* to be run by the caller; freed with the laboratory */
/* The safety phase: cfg.faults strike from a second after now (a quarter of a short run) until cfg.run. */
ORR_API int orr_lab_chaos(struct orr_lab *lab);
/* The liveness phase begins: clients of the kv workload, if there are any, ask nothing new; one more for each node
 * wants a write and a read answered. */
ORR_API int orr_lab_quiet(struct orr_lab *lab);
/* Has every node answered, and applied all that was committed? Otherwise who owes what. Nodes whose disks were lost or
 * damaged owe nothing. */
ORR_API bool orr_lab_settled(const struct orr_lab *lab, const char **who, const char **owes);
/* So long after the last fault it may take until all is settled: the config's liveness_bound, or what the nodes'
 * membership tells (orr_membership_bound), if that is longer. */
ORR_API orr_time orr_lab_bound(const struct orr_lab *lab);
/* Does anybody take part in a membership? */
ORR_API bool orr_lab_watched(const struct orr_lab *lab);
/* A node that is kept down in the liveness phase owes nothing, until it is excused no more. -ENOENT. */
ORR_API int orr_lab_excuse(struct orr_lab *lab, const char *node, bool excused);
/* From now on that NTP server is wrong by so much, and doesn't know it; 0: it is right again. Where half or more of
 * them lie, or did lately, what nodes are told is not judged. -ENOENT: there is none of that name. */
ORR_API int orr_lab_lie(struct orr_lab *lab, const char *server, orr_time by);
/* What the caller found to be wrong; the first violation counts. text: one line, without the time. */
ORR_API void orr_lab_violate(struct orr_lab *lab, const char *property, const char *text);
/* Judges the history so far, counts, and gives the result. -ENOMEM. */
ORR_API int orr_lab_judge(struct orr_lab *lab, struct orr_lab_result *out);

#ifdef __cplusplus
}
#endif
#endif
