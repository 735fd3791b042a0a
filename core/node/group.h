/* group.h - a group as a service sees it: propose, read, query. (group.c drives the protocol behind it.)
 *
 * All commands of a turn go out as one batch, all reads as one read. Waiters are the caller's, intrusive, and told
 * exactly once for each command or read: applied (begin, end) / served, or lost.
 *
 * Order for one connection: commands of one node are applied in the order in which they were proposed. A read that
 * stands before a write in a connection may be served just before that write is applied here (begin); one that was
 * parsed in the same turn as the write before it, right after it (end): everything that was acknowledged before the
 * read was asked lies below the write in the log, so both are linearizable without asking anybody. Other reads:
 * orri_group_read.                                                                                                   */
#ifndef ORRI_GROUP_H
#define ORRI_GROUP_H

#include <orrery/node.h>

struct orri_waiter;
struct orri_waiter_ops {
    /* The command `tag` is about to be applied, on the state as it is before it: the sink for its result (NULL: not
     * wanted any more). */
    struct orr_sink *(*begin)(struct orri_waiter *w, uint64_t tag, const struct orr_at *at);
    void (*end)(struct orri_waiter *w, uint64_t tag, const struct orr_at *at);
    /* The read `tag` may be served now, by orri_group_query at `at`. */
    void (*served)(struct orri_waiter *w, uint64_t tag, const struct orr_at *at);
    /* Nothing will come any more for this tag: ORR_ETIMEOUT, ORR_EFULL, ORR_EOVERLOADED, ORR_ENOLEADER (surely not
     * done), ORR_EUNKNOWN (may yet be done). `read`: it was a read's. */
    void (*lost)(struct orri_waiter *w, uint64_t tag, bool read, int status);
};
/* Embed it in the connection; it must stay until each tag was told, or it was forgotten. */
struct orri_waiter {
    const struct orri_waiter_ops *ops;
    uint32_t slot;                  /* the node's: 0 at first, and whenever nothing is outstanding */
};

/* Room for one command of at most `max` bytes in this turn's batch; write the op there, then commit its real size.
 * NULL: *status says why (ORR_EOVERLOADED, ORR_EFULL, ORR_EUNAVAILABLE, -ENOMEM). No other call on the group between
 * the two. */
unsigned char *orri_group_room(struct orr_group *g, size_t max, int *status);
void orri_group_commit(struct orr_group *g, size_t size, struct orri_waiter *w, uint64_t tag);
/* A linearizable read: served() once the state here is late enough. One question to the leader for all reads of a
 * turn. */
int orri_group_read(struct orr_group *g, struct orri_waiter *w, uint64_t tag);
/* Asks the machine here and now. at->time judges expiry. */
int orri_group_query(struct orr_group *g, const struct orr_at *at, struct orr_slice question, struct orr_sink *sink);
/* What a query that needs no freshness uses: applied index, and the log time of the last entry applied. */
void orri_group_here(const struct orr_group *g, struct orr_at *at);
/* Ends all interest of a waiter: its tags are told nothing any more; what was proposed stays proposed. */
void orri_group_forget(struct orr_group *g, struct orri_waiter *w);

/* ORR_RARE of its node's world. */
struct orr_conn;
bool orri_conn_rare(const struct orr_conn *c, const char *name);

struct orr_node *orri_group_node(const struct orr_group *g);
const struct orr_machine_ops *orri_group_machine(const struct orr_group *g);
void orri_group_machine_stats(const struct orr_group *g, struct orr_machine_stats *out);

#endif
