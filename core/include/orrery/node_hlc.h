/* node_hlc.h - a node's own hybrid logical clock: stamps by the cluster's time (orrery/hlc.h, orrery/time.h).
 *
 *     static void try(struct orr_wait *w) {                           // w->owner: the message that is to go out
 *         orr_hlc_stamp stamp;
 *         int rc = w->status < 0 ? w->status : orr_node_hlc_now(node, &stamp);
 *         if (rc == -EAGAIN) rc = orr_node_hlc_wait(node, w, deadline);       // try() is called again
 *         else tell(w->owner, rc, stamp);
 *     }
 *
 * A stamp that is given is greater than all that this node gave or took before, in this process and in those before
 * it, as long as its disk is kept: an upper limit of them is a value of the node's own (orrery.hlc, beside those
 * of orr_node_save), written up to a second before the time, and no stamp at or above it is given. And it is near the
 * time: at most `skew_max` (config.clock) above `earliest`, so that no node that knows the time refuses it. Where the
 * clock is further ahead it waits for the time: after a restart, which begins at the limit (half a second at most, by
 * the defaults); when the cluster's time has stepped back.
 *
 * The limit is written while the clock is used, every half second, and nothing waits for that. The first stamp after a
 * pause of a second waits for one write.
 *
 * All on the world's thread; for nodes with a host (orrery/host.h), whose disk the limit goes to. */
#ifndef ORR_NODE_HLC_H
#define ORR_NODE_HLC_H

#include <orrery/hlc.h>
#include <orrery/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A stamp for what happens now. -EAGAIN: there is none yet: orr_node_hlc_wait, then again. ORR_EUNAVAILABLE: the time
 * is not known (the node asks for it from the first call on), or past 2106; ORR_ECORRUPT: the limit's file is damaged,
 * so nobody knows what was given before; ORR_EFULL and others: the limit can't be stored. *stamp is 0 then. */
ORR_API int orr_node_hlc_now(struct orr_node *node, orr_hlc_stamp *stamp);
/* A message with the stamp `heard` came: the stamp of its receipt, greater than that too. The same errors; ORR_EDENIED:
 * it is more than skew_max ahead of `latest`: counted, and nothing has changed. To ask again after -EAGAIN is right. */
ORR_API int orr_node_hlc_recv(struct orr_node *node, orr_hlc_stamp heard, orr_hlc_stamp *stamp);
/* done, status 0: ask again, something has changed. ORR_ETIMEOUT: nothing has, and the deadline has come. -ENOMEM,
 * ORR_EOVERLOADED, ORR_EUNAVAILABLE: the node has stopped. */
ORR_API int orr_node_hlc_wait(struct orr_node *node, struct orr_wait *w, orr_time deadline);

struct orr_node_hlc_status {
    orr_hlc_stamp last, limit;      /* given or taken last; stamps below are sure to be stored. 0: none yet */
    orr_time ahead;                 /* `last` of the cluster's earliest time; 0 where that isn't known */
    uint64_t given, refused;        /* in this process; refused: messages */
};
ORR_API void orr_node_hlc_status(const struct orr_node *node, struct orr_node_hlc_status *out);
ORR_API orr_time orr_node_hlc_skew_max(const struct orr_node *node);

#ifdef __cplusplus
}
#endif
#endif
