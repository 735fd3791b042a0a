/* time.h - the time of a cluster, and how wrong a node's knowledge of it may be.
 *
 *     struct orr_node_time t;
 *     if (orr_node_time(node, &t) == 0 && t.earliest > lease_end) ...     // it has surely passed
 *
 * What the cluster's time is. Each of the first ORR_TIME_MEMBERS_MAX nodes of the file keeps a clock: its monotonic
 * clock plus an offset, which was its machine's wall clock when it began. The cluster's time is the (lower) median of
 * these clocks, this node's own among them; those of nodes that are down or cut off go on in it. So no minority of
 * wrong clocks moves it, and no machine has to be believed.
 *
 * How a node knows it. Nodes ask each other by NTP packets in datagrams. From each exchange the other's clock is surely
 * in an interval, which widens with age by twice `drift_max` (2 d / (1 - d), for age is counted by a clock that may be
 * slow): nothing learned goes into it, no symmetry of paths, no statistics. A clock that was not heard of for
 * ORR_TIME_KEPT may be anything. Order statistics are monotone: the median of the clocks is between the median of the
 * lower ends and that of the upper ends. Both are finite as soon as a majority is known, and then the answer holds
 * whatever the rest may be.
 *
 * A machine's wall clock that is set does not move its node's clock at once: others may hold it in an interval. The
 * node answers "not known" for ORR_TIME_KEPT, when nobody holds it any more, and then begins anew from the wall clock.
 * So does a process that is started again, which cannot know what it was believed to be.
 *
 * Where the file names NTP servers (config.clock.ntp), the cluster's time is theirs instead. Every node asks all of
 * them, and the other members for what these have from them; it is what all of these hold but for a minority of the
 * servers, (n - 1) / 2, whoever is heard. A node answers others by what it has from servers alone, so nothing it says
 * comes back to it. Too few heard: the time is not known.
 *
 * Of a pool, one name for many servers, the file's layer names four (the name's "NAME:PORT/1" to "/4", world.h), and n
 * counts four, whether the name has as many addresses or not: who is missing is a server that is silent. A pool of n
 * servers may so have (n - 1) / 2 liars, not more; whoever fears that all of one pool lie together names servers of
 * others beside it, more than the pool has. Where a server's name comes to mean another address, what was learned
 * from the one before is forgotten with the first answer.
 *
 * What is promised: earliest <= the cluster's time <= latest, as long as no clock runs farther off than `drift_max`
 * (a kernel that slews faster, a virtual machine that stands still and isn't told, are beyond that) and a member that
 * has lost its disk is not started again within ORR_TIME_KEPT of its end under another wall clock. */
#ifndef ORR_TIME_H
#define ORR_TIME_H

#include <orrery/clock.h>
#include <orrery/mesh.h>
#include <orrery/node.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ORR_TIME_MEMBERS_MAX = 15 };
#define ORR_TIME_KEPT (10 * ORR_SECOND)

struct orr_node_time {
    orr_time earliest, latest;      /* ns since 1970: the cluster's time is in there now */
    orr_time likely;
    uint32_t epoch;                 /* counts steps: within one, earliest never goes back */
    enum orr_clock_state state;     /* HOLDOVER: a majority of the members was heard of, but not lately */
};
/* Now, read anew. The first call makes this node ask the others, where its config has not done so from the start on.
 * 0; ORR_EUNAVAILABLE: it is not known, or not within `bound_max`: *out is for people then, state UNSYNC, all 0 where
 * not even they get an interval. At any time on the world's thread. */
ORR_API int orr_node_time(struct orr_node *node, struct orr_node_time *out);
/* How long to wait, in ns, before `t` has surely passed, if nothing more is heard; 0: it has; ORR_NEVER: not known. */
ORR_API orr_time orr_node_time_wait(struct orr_node *node, orr_time t);
/* The same for who looks on from outside: nothing changes, not even whether the node asks. */
ORR_API int orr_node_time_peek(const struct orr_node *node, struct orr_node_time *out);
/* Why it is not known, for people: a line without a name into out[0..size), "" where it is known. */
ORR_API void orr_node_time_why(const struct orr_node *node, char *out, size_t size);
/* Where config.clock.discipline is on: the machine's clock is set by the next correction, which is due at once, if it
 * is far off; without this it is slewed, but at the start. 0; ORR_EINVALID: it is off; ORR_EUNAVAILABLE: this node
 * can't steer the clock (its log says why), or doesn't run. */
ORR_API int orr_node_time_step(struct orr_node *node);

enum orr_time_role {
    ORR_TIME_UNKNOWN,               /* not heard of, or not lately */
    ORR_TIME_UNSTEADY,              /* it answers that its wall clock was set: it begins anew; that it has no time */
    ORR_TIME_KNOWN,
    ORR_TIME_OFF                    /* known, and surely farther from the cluster's time than `bound_max`; a server: at
                                     * all */
};
struct orr_time_member {
    const char *name;               /* the node's, for its life */
    bool own, server;               /* this node itself; an NTP server, by its address */
    enum orr_time_role role;
    orr_time earliest, latest;      /* its clock, by what is known of it; 0 where it isn't */
    orr_time likely;
    orr_time off;                   /* surely at least so far from the cluster's time: positive is ahead */
    orr_time delay;                 /* the least round trip of late */
    orr_time age;                   /* since it was heard; 0: own */
};
/* The i-th member, in the file's order, and behind them the servers. False: there are no more, or this node does not
 * ask. */
ORR_API bool orr_node_time_member(const struct orr_node *node, size_t i, struct orr_time_member *out);
/* Does it ask (and so may know the time)? */
ORR_API bool orr_node_time_asks(const struct orr_node *node);

/* -- What the links are worth -------------------------------------------------------------------------------------- */
/* Members tell each other, every few seconds, what they measured of the others' clocks. Around a loop of links offsets
 * must add up to nothing; so what the members know together corrects what each of them knows, and names the link that
 * takes longer one way than the other (orrery/mesh.h). It moves what is likely, never what is promised. Both ends of a
 * link are told by both of them, and it counts once.
 *
 * Each node knows the links of the members that it is linked to, and its own: a file with few links may leave it
 * without loops. Where NTP servers give the time (clock.ntp) there is none: then nobody measures kept clocks. */
enum { ORR_TIME_LINKS_MAX = ORR_TIME_MEMBERS_MAX * (ORR_TIME_MEMBERS_MAX - 1) / 2 };
struct orr_time_link {
    const char *from, *to;          /* the nodes', for its life; in the file's order */
    orr_time offset, sd;            /* as measured: to's clock minus from's */
    orr_time residual;              /* offset minus what all others say: the way from -> to takes twice as much longer
                                     * than the way back; negative: less. 0 where not `checked` */
    orr_time age;                   /* since it was measured last */
    enum orr_mesh_verdict verdict;
    bool checked;                   /* false: no loop has it, and nothing can be known of its asymmetry */
};
struct orr_time_clock {
    const char *name;
    bool known;                     /* there is a way to it by links that are used */
    orr_time offset, sd;            /* its clock minus this node's own */
};
struct orr_time_gossip {            /* datagrams, since this node asks */
    uint64_t told, heard;
    uint64_t wrong;                 /* dropped: damaged, of another cluster, nothing that a member says */
    uint64_t strange;               /* dropped: from who is no member, or whose clock isn't known */
    uint64_t late;                  /* dropped: overtaken, come again, long under way, of a clock that is gone */
};
struct orr_time_graph {
    size_t n_clocks, n_links;
    size_t own;                     /* this node's place among the clocks */
    struct orr_time_clock clocks[ORR_TIME_MEMBERS_MAX];     /* every member, in the file's order */
    struct orr_time_link links[ORR_TIME_LINKS_MAX];         /* that were measured of late, from < to in that order */
    struct orr_time_gossip gossip;
};
/* Of now, into the caller's *out. 0; ORR_EUNAVAILABLE: this node does not ask, is no member, or the time is that of NTP
 * servers. Takes some 10 us for 15 members. */
ORR_API int orr_node_time_graph(const struct orr_node *node, struct orr_time_graph *out);

#ifdef __cplusplus
}
#endif
#endif
