/* node.h - a node: drives protocols over a world; identity, peers, groups, listeners.
 *
 * A node is one object on one world (orrery/world.h), in a simulator or on a real loop; all calls are from the world's
 * thread. Names are declared first (orr_node_replicate, orr_node_listen), then orr_node_start opens the disk, recovers
 * and joins the others.
 *
 *     struct orr_node_config cfg;
 *     orr_node_config_init(&cfg);
 *     cfg.cluster = "kv"; cfg.id = "a"; cfg.nodes = nodes; cfg.n_nodes = 3;
 *     orr_node_new(&node, world, &cfg);                             // sets the world's wake
 *     orr_node_replicate(node, "kv", &(struct orr_group_spec){ .machine = &orr_kv_machine, .order = &orr_raft_order },
 *     &group); orr_node_listen(node, "resp", "127.0.0.1:7501", &orr_resp_service, group);
 *     orr_node_start(node);
 *     ... the world runs: orr_loop_run(loop), or orr_sim_run(...)
 *
 * What a node reports, it reports by its log and by orr_node_status; what ends it, by the world's stop.              */
#ifndef ORR_NODE_H
#define ORR_NODE_H

#include <orrery/clock.h>
#include <orrery/machine.h>
#include <orrery/membership.h>
#include <orrery/order.h>
#include <orrery/world.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_node;
struct orr_group;

struct orr_node_member {
    const char *id, *address;       /* copied */
    bool link;                      /* may this node talk to it? (itself: ignored) */
};
struct orr_node_clock {             /* the cluster's time: orrery/time.h */
    bool off;                       /* it is never known here, and nobody is answered */
    bool at_once;                   /* this node asks from its start on, not only from the first use on */
    bool discipline;                /* this node sets its machine's clock once, at its start, and slews it from then on,
                                     * by the time of the NTP servers, which there must be */
    enum orr_clock_mode mode;       /* of the likely value */
    orr_time bound_max;             /* what is known less well (half the interval) isn't known; 100 ms */
    uint32_t drift_max_ppb;         /* no machine's clock runs farther off; 500000, at most 1000000 */
    orr_time skew_max;              /* orrery/node_hlc.h: stamps from further ahead are refused; 500 ms */
    const char *const *ntp;         /* NTP servers, as the world's peer() calls them; copied */
    size_t n_ntp;                   /* 16 at most; 0: the cluster's time is the median of its clocks */
};
struct orr_node_membership {        /* who is there: orrery/node_members.h */
    bool at_once;                   /* this node joins at its start, not only from the first use on */
    const char *zone;               /* told to the others; NULL: "" */
    const unsigned char (*keys)[ORR_MEMBERSHIP_KEY];    /* the primary first; n_keys may be 0 */
    size_t n_keys;
    struct orr_membership_config with;      /* its timing and detector; what is the node's own (self, cluster, open,
                                             * seed, alloc) is not looked at */
};
struct orr_node_config {
    size_t size;                    /* set by config_init */
    const char *cluster;            /* the file's name: 1..63 of [a-z0-9-] */
    const char *id;                 /* which of `nodes` this is */
    const struct orr_node_member *nodes;    /* all of the file, this one too */
    size_t n_nodes;
    struct orr_birth bundle;        /* hash of the scripts, which peers are told; zero: none */
    size_t message_bytes_max;       /* limits.message: of any frame from a peer */
    size_t op_bytes_max;            /* limits.op: of one command (a value of 8 MiB and its key by default) */
    size_t memory_bytes_max;        /* of batches that wait for their commit */
    unsigned connections_max;       /* clients, each listener */
    orr_time call;                  /* timing.call: a client's command is answered by then, if only with an error */
    orr_time election, heartbeat;   /* defaults of groups */
    uint64_t segment_bytes;         /* of the log */
    struct orr_node_clock clock;
    struct orr_node_membership members;
    uint64_t snapshot_bytes;        /* log bytes since the last snapshot that ask for the next one */
    /* What a client, and all clients of a listener together, may hold here: input that is no whole command yet, output
     * that they don't read (of one client's, what its stream has taken does not count). Who is above, or holds most, is
     * closed, and told why where he can be. One command always fits. A listener may have its own: orr_node_limit. */
    size_t client_bytes_max, clients_bytes_max;
    /* Of the host (orrery/host.h). */
    unsigned calls_max;             /* limits.calls: handlers at a time */
    size_t peer_bytes_max;          /* of messages that wait for room in a peer's stream */
    unsigned visitors_max;          /* connections of visitors (orrery/visit.h) at a time; they get half of calls_max */
};
ORR_API void orr_node_config_init(struct orr_node_config *cfg);

/* ORR_EINVALID with *why (static text) naming the field; -ENOMEM. The world is borrowed for the node's life. */
ORR_API int orr_node_new(struct orr_node **out, struct orr_world *w, const struct orr_node_config *cfg,
                         const char **why);
ORR_API void orr_node_free(struct orr_node *node);

struct orr_group_spec {
    const struct orr_order_ops *order;
    const struct orr_machine_ops *machine;
    void *machine_ud;               /* what the machine's create gets: borrowed for the node's life */
    const char *const *on;          /* ids of the first replicas; NULL: the file's first seven nodes at most */
    size_t n_on;
    orr_time election, heartbeat;   /* 0: the node's */
    bool leases;                    /* the leader serves reads by leases (order.h): the node asks for the cluster's time
                                     * from its start on. The same on all nodes; where it isn't, or clock.off, none are
                                     * taken */
};
/* Declares a group; before start, or in the host's declare. *out is the node's, for its life. ORR_ECONFLICT: that name
 * is taken. */
ORR_API int orr_node_replicate(struct orr_node *node, const char *name, const struct orr_group_spec *spec,
                               struct orr_group **out);

/* A service answers the connections of one listener. The node calls these with a connection (orrery/service.h), never
 * more than one at a time. */
struct orr_service;
ORR_API extern const struct orr_service orr_resp_service;   /* ud: the struct orr_group * whose machine is "kv" */
ORR_API int orr_node_listen(struct orr_node *node, const char *name, const char *address,
                            const struct orr_service *service, void *ud);
/* Before start: what the clients of that listener may hold, instead of the config's (0: as there). ORR_EINVALID: no
 * such listener, or a client may hold more than all together. */
ORR_API int orr_node_limit(struct orr_node *node, const char *listener, size_t client_bytes_max,
                           size_t clients_bytes_max);

/* Opens the directory (ORR_EBUSY), starts recovery. What fails later stops the node through the world's stop with a
 * code (2: wrong use or another's directory, 3: damaged data, 4: disk) and a text that says what to do. */
ORR_API int orr_node_start(struct orr_node *node);
/* Leaves cleanly, from its next turn on: hands leadership over, flushes, then the world's stop(0). A signal that the
 * world reports does the same. Asked in a turn, or, on a world that hears of an alarm set outside one (a live one), at
 * any time. */
ORR_API void orr_node_stop(struct orr_node *node, const char *why);

struct orr_node_status {
    bool recovered, ready;          /* the disk was read; every group has a leader and answers */
    bool disenfranchised;           /* another birth, or lost what it acknowledged: votes for nobody */
    bool disk_full;
    struct orr_birth birth;
    uint32_t incarnation;
    uint64_t cluster;               /* hash of the founding configuration */
    size_t peers_up, clients, visitors;
    uint64_t frames_in, frames_out, frames_bad, bytes_in, bytes_out;
    size_t clients_bytes;           /* what clients hold, of all listeners */
    uint64_t clients_shed;          /* closed because that was too much, one's own or all together */
    size_t asked;                   /* handlers that run for others, and for this node's own calls */
    uint64_t calls, casts, casts_dropped;       /* that came; casts for which there was no handler, or no room */
};
ORR_API void orr_node_status(const struct orr_node *node, struct orr_node_status *out);
ORR_API struct orr_group *orr_node_group(struct orr_node *node, const char *name);      /* NULL: none */
/* The i-th group that was declared, and its name; NULL: past the end. */
ORR_API struct orr_group *orr_node_group_at(struct orr_node *node, size_t i, const char **name);
/* False where this node has no replica. */
ORR_API bool orr_group_status(const struct orr_group *g, struct orr_order_status *out);
/* Why it is so: the last causes, at most `max`, the oldest first; 0 where no replica is here. */
ORR_API size_t orr_group_causes(const struct orr_group *g, struct orr_cause *out, size_t max);
ORR_API const char *orr_group_leader(const struct orr_group *g); /* name of the leader as this node knows it, or NULL */
ORR_API uint64_t orr_group_digest(const struct orr_group *g);         /* of the state here, at applied */
/* Is the state here not what a majority has at the same index, or does no majority have the same? Then requests are
 * answered ORR_ECORRUPT here. */
ORR_API bool orr_group_corrupt(const struct orr_group *g);

#ifdef __cplusplus
}
#endif
#endif
