/* host.h - a node from inside the program that bears it: a script layer, a gateway, a C program.
 *
 * One host a node, declared before orr_node_start. The node calls it in its own turns, on its world's thread, and never
 * from inside a call that the host makes; so whatever this header offers may be called from every one of the host's
 * functions, and from done().
 *
 *     static int declare(void *ud, const char **why) { return orr_node_replicate(node, "count", &spec, &group); }
 *     static int asked(void *ud, struct orr_asked *a) {       // "add": answered at once
 *         if (a->name.size != 3 || memcmp(a->name.at, "add", 3) != 0) return ORR_EINVALID;
 *         orr_node_answer(a, 0, a->args);
 *         return 0;
 *     }
 *     static const struct orr_host_ops ops = { .declare = declare, .asked = asked };
 *     orr_node_new(&node, world, &cfg, &why);
 *     orr_node_host(node, &ops, NULL);
 *     orr_node_start(node);
 *     ... and, once ready() came:
 *     static struct orr_wait w = { .done = answered };                         // told once, in a later point of a turn
 *     orr_node_call(node, &w, orr_id_of("b"), name, args, orr_node_now(node) + ORR_SECOND);
 *
 * Names and arguments are bytes to the node. What a handler's failure looks like is its host's affair: a status and
 * bytes travel. */
#ifndef ORR_HOST_H
#define ORR_HOST_H

#include <orrery/machine.h>
#include <orrery/node.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ORR_CALL_NAME_MAX = 255, ORR_SAVED_NAME_MAX = 60 };

/* -- What the host is asked ---------------------------------------------------------------------------------------- */
struct orr_asked {                  /* the node's; until orr_node_answer */
    orr_id from;                    /* who asked, proven by its connection; this node itself for its own; ORR_NOBODY: a
                                     * visitor (orrery/visit.h) */
    const char *from_name;          /* the node's, for its life; "(visitor)", which is no id of a cluster file */
    bool cast;                      /* nobody waits for the answer */
    orr_time deadline;              /* by this node's now, ORR_NEVER: none. What the asker has left, less a reserve:
                                     * what is handed on ends then, and the question itself a little later */
    struct orr_slice name, args;    /* borrowed during asked(): hold (orr_hold) what is kept */
    void *owner;                    /* the host's */
};
/* What changed at a group, as bits. They tell what was, in no order among themselves: look at its status. */
enum orr_group_event {
    ORR_GROUP_LEADER = 1,           /* role, term or leader */
    ORR_GROUP_SNAPSHOT = 2,         /* one was taken here */
    ORR_GROUP_RESTORED = 4          /* the state here was replaced by a snapshot */
};
/* Each may be NULL. */
struct orr_host_ops {
    /* The disk is open, saved values are read: now the groups and listeners are declared (orr_node_replicate,
     * orr_node_listen, orr_node_limit), and orr_node_load works. < 0: the node stops with code 2 and *why (borrowed
     * until the return; NULL: the error's text). */
    int (*declare)(void *ud, const char **why);
    void (*ready)(void *ud);        /* the log is read, the node listens: from now on others ask, and calls go out */
    /* A message. 0: taken, orr_node_answer ends it, here or later, casts too. ORR_EINVALID: no such handler;
     * ORR_EOVERLOADED: too many of it: that is the answer, and *a is gone. */
    int (*asked)(void *ud, struct orr_asked *a);
    /* The asker cancelled, was lost, or has no time left: nothing of the answer travels, but orr_node_answer must still
     * end it. Told at most once. */
    void (*gone)(void *ud, struct orr_asked *a);
    void (*event)(void *ud, struct orr_group *g, unsigned events);
    /* In the passes of a turn, after done() was told to all that is due: do work. True: something was done, so that
     * what it proposed and sent goes out in this turn, and what that brings is told in it, where that is possible. */
    bool (*turn)(void *ud);
    /* A peer came up or went, or runs other scripts than before: orr_node_peer says. */
    void (*peers)(void *ud);
    /* The cluster's time may have stepped back: a new epoch (orrery/time.h) has begun, or several have. */
    void (*stepped)(void *ud);
    /* Somebody came, is suspected, lives, failed, left (orrery/node_members.h). *e is borrowed. */
    void (*member)(void *ud, const struct orr_member_event *e);
    void (*stop)(void *ud);         /* the node leaves, or has failed: tasks end now; once */
};
/* ops, ud: borrowed for the node's life. ORR_EINVALID: started already. */
ORR_API int orr_node_host(struct orr_node *node, const struct orr_host_ops *ops, void *ud);
/* Ends what asked() took. result: held, or copied where small or borrowed. */
ORR_API void orr_node_answer(struct orr_asked *a, int status, struct orr_slice result);
/* Calls host->turn in a turn soon, although nothing else may happen. From the world's thread. */
ORR_API void orr_node_soon(struct orr_node *node);

/* -- What completes later ------------------------------------------------------------------------------------------
 * A wait is the caller's, embedded, zeroed first, and borrowed from a submission that returned 0 until done(w), which
 * comes exactly once, never inside the submission. (An error from the submission: done does not come.) Then it may be
 * used again, from done() on. A node that has failed or left tells all that is still under way before it stops; one
 * that crashed, or is freed, tells nothing. */
struct orr_wait {
    void (*done)(struct orr_wait *w);
    void *owner;                    /* the caller's, as done and sink */
    struct orr_sink *sink;          /* propose, read: gets the results before done, maybe long before; calls nothing of
                                     * the node. May be NULL */
    int status;                     /* 0, or an ORR_E code */
    struct orr_slice result;        /* of a call: borrowed during done: hold what is kept. Also with a status < 0 */
    struct orr_at at;               /* of a proposal or read: where in the log */
    void *under_way;                /* the node's; NULL: nothing is */
};
/* done(w) will not come; w is the caller's again. A callee is told; what was proposed stays proposed, what is being
 * saved may be saved. Nothing under way: nothing happens. */
ORR_API void orr_wait_cancel(struct orr_wait *w);

ORR_API orr_time orr_node_now(const struct orr_node *node);             /* of this turn */
ORR_API struct orr_world *orr_node_world(const struct orr_node *node);
/* done when `at` is due, status 0. -ENOMEM. */
ORR_API int orr_node_timer(struct orr_node *node, struct orr_wait *w, orr_time at);

/* -- Nodes ---------------------------------------------------------------------------------------------------------
 * All messages of a turn to one peer travel as one frame. Two to one peer are asked there in the order in which they
 * were given, while the connection lasts.
 *
 * call returns, with done never told: ORR_EUNAVAILABLE (no such peer, no connection, no host that could be told here),
 * ORR_EOVERLOADED (too much is queued to it, or too many calls are under way), ORR_EINVALID (name or args too long),
 * ORR_ETIMEOUT (the deadline is past), -ENOMEM. done tells
 *     the callee's own status, with its result
 *     ORR_EINVALID, ORR_EOVERLOADED     there is no such handler; too many run there (config: calls_max)
 *     ORR_EUNAVAILABLE                  the connection went before it was sent, or the callee takes no calls
 *     ORR_ETIMEOUT                      its time was up before a handler began
 *     ORR_EUNKNOWN                      it was sent, and no answer came in time, or before the connection was lost
 * of which all but the first and the last say: surely not done. A name is 1..ORR_CALL_NAME_MAX bytes; name and args are
 * copied, or held where args are large and in a chunk.                                                               */
ORR_API int orr_node_call(struct orr_node *node, struct orr_wait *w, orr_id to, struct orr_slice name,
                          struct orr_slice args, orr_time deadline);
/* No answer, no promise. The same errors, but ORR_ETIMEOUT. */
ORR_API int orr_node_cast(struct orr_node *node, orr_id to, struct orr_slice name, struct orr_slice args);

struct orr_peer_status {
    const char *name;               /* the node's, for its life */
    bool linked, up;                /* may it be talked to (this node itself: yes); is it connected */
    size_t calls;                   /* under way to it */
    size_t queued;                  /* bytes of messages that wait for room in its stream */
    struct orr_birth bundle;        /* of the scripts that it runs, while it is up */
};
/* False: no such node in the file. */
ORR_API bool orr_node_peer(const struct orr_node *node, orr_id id, struct orr_peer_status *out);
/* This node runs other scripts from now on: its peers are told. At any time from the start on. */
ORR_API void orr_node_bundle(struct orr_node *node, const struct orr_birth *bundle);

/* -- Groups --------------------------------------------------------------------------------------------------------
 * The same on every node: where no replica is, propose and read are carried to one, and their results back. Returned,
 * or told by done: ORR_ETIMEOUT, ORR_ENOLEADER, ORR_EOVERLOADED, ORR_EFULL, ORR_EUNAVAILABLE, ORR_EINVALID (too large):
 * surely not done; ORR_EUNKNOWN; ORR_EFAILED: done, but the results were too large to be carried. A deadline is at most
 * config.call away: a later one is as that.                                                                          */
/* The op: copied. Its results go to w->sink while it is applied, w->at says where. */
ORR_API int orr_group_propose(struct orr_group *g, struct orr_wait *w, struct orr_slice op, orr_time deadline);
/* A read: asks the question (held; one without a chunk is borrowed until done) and gives the results to w->sink. With
 * age_max 0 it is linearizable; else a copy will do that has all that was acknowledged `age_max` ns ago, by the
 * cluster's time (orrery/time.h): where there is none it is as with 0. With sink NULL nothing is asked: done may ask by
 * orr_group_query(g, &w->at, ...) as often as it likes, which needs a replica here (ORR_EINVALID). */
ORR_API int orr_group_read(struct orr_group *g, struct orr_wait *w, struct orr_slice question, orr_time age_max,
                           orr_time deadline);
/* So old the copy here is at most, ns; ORR_NEVER: not known, or there is none. */
ORR_API orr_time orr_group_age(const struct orr_group *g);
/* For so long from now on this node, the leader, answers reads by its lease, ns; 0: it has none. */
ORR_API orr_time orr_group_lease(const struct orr_group *g);
/* Asks the replica here and now. at: w->at, from the done of a read, or NULL: its state as it is, however old.
 * ORR_EUNAVAILABLE: none here, or it is being restored; else the machine's. */
ORR_API int orr_group_query(struct orr_group *g, const struct orr_at *at, struct orr_slice question,
                            struct orr_sink *sink);
/* Takes a snapshot of the state here, although none is due. done: status 0, and w->at: one is on the disk that holds
 * all that was applied when it was asked for; it gets its name when a majority is known to have the same state, or half
 * a minute later. Returned, or told: ORR_EUNAVAILABLE (no replica here, or it is being restored), ORR_ECORRUPT,
 * ORR_EFULL, what the disk or the machine said; the old one stands. */
ORR_API int orr_group_snapshot(struct orr_group *g, struct orr_wait *w);
/* The names of those that vote in it, into names[0..max), in order of their ids; how many there are. */
ORR_API size_t orr_group_voters(const struct orr_group *g, const char **names, size_t max);
ORR_API bool orr_group_here(const struct orr_group *g, struct orr_at *at);     /* applied so far; false: no replica, or
                                                                                * a snapshot is being loaded */
ORR_API void *orr_group_machine(const struct orr_group *g);                    /* the machine's object here, or NULL */
ORR_API const struct orr_machine_ops *orr_group_machine_ops(const struct orr_group *g);
ORR_API const char *orr_group_name(const struct orr_group *g);
/* Does every voter run these scripts, as far as it is connected and has said so? */
ORR_API bool orr_group_all_run(const struct orr_group *g, const struct orr_birth *bundle);

/* -- Durable values ------------------------------------------------------------------------------------------------
 * This node's own, by name: replaced as a whole or not at all, whenever the machine stops. A file value-NAME (bytes of
 * NAME but letters, digits, '_' and '-' as %XX) in the node's directory:
 *
 *   byte  size  field (little-endian)
 *      0     4  "ORRV"
 *      4     2  version of this format: 1
 *      6     2  size of the name
 *      8     8  size of the value
 *     16        the name, the value
 *            8  XXH3-64 of all before it
 *
 * It is written beside its predecessor, synced, renamed, and the directory synced. Saves of one name take effect in the
 * order in which they were given; one that is overtaken before it was begun is told with the one that overtook it. */
/* value: held, or copied where it has no chunk. Returned: ORR_EINVALID (name empty, too long, or one of the node's own,
 * which begin with "orrery."), ORR_EFULL (the disk, or too many names), ORR_EOVERLOADED (a value above op_bytes_max),
 * ORR_EUNAVAILABLE, -ENOMEM. done: 0: it is on the disk; ORR_EFULL, an errno: the old value stands (after a failed
 * sync_dir: either may). */
ORR_API int orr_node_save(struct orr_node *node, struct orr_wait *w, const char *name, struct orr_slice value);
/* The value last saved (done was told) or read at the start; hold it to keep it. -ENOENT: none; ORR_ECORRUPT: its file
 * is damaged, and stays as it is until the next save of that name. */
ORR_API int orr_node_load(const struct orr_node *node, const char *name, struct orr_slice *out);

#ifdef __cplusplus
}
#endif
#endif
