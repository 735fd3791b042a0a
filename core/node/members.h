/* members.h - a node's part in its cluster's membership (orrery/node_members.h). Each may be called for any node. */
#ifndef ORRI_MEMBERS_H
#define ORRI_MEMBERS_H

#include <orrery/node_members.h>

#include "node/inner.h"

struct orri_members {
    struct orri_alarm alarm;        /* first: the membership's deadline */
    struct orr_node *node;
    struct orr_membership *of;      /* NULL: it doesn't take part */
    bool wanted;                    /* it does once it runs */
    struct orr_slice tags;          /* owned */
    uint64_t incarnation;           /* that the trace knows */
};

void orri_members_start(struct orr_node *n);                    /* it runs */
void orri_members_turn(struct orr_node *n);                     /* what outsiders asked of it is done */
void orri_members_datagram(struct orr_node *n, const struct orr_datagram *d);
void orri_members_bundle(struct orr_node *n);                   /* other scripts run */
void orri_members_leave(struct orr_node *n);                    /* it is about to stop: others are told */
bool orri_members_gone(const struct orr_node *n);               /* they were, or there is nobody to be told */
void orri_members_stop(struct orr_node *n);
void orri_members_free(struct orr_node *n);

#endif
