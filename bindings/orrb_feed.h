/* orrb_feed.h - what a group applies, as its machine tells it to the tasks that follow it. */
#ifndef ORRB_FEED_H
#define ORRB_FEED_H

#include "orrb_script.h"

struct orrb_feed;

/* An op was applied, with these results, both packed. In plain C, in the node's turn; never raises, never fails. */
void orrb_feed_applied(struct orrb_feed *f, const struct orr_at *at, struct orr_slice op, struct orr_slice results);
/* The state is about to be replaced by a snapshot's. */
void orrb_feed_replaced(struct orrb_feed *f);

#endif
