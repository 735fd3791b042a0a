/* time.h - a node's part in its cluster's time (orrery/time.h): what is kept for it, and who does what.
 *
 *   wall.c           this node's own clock          median.c        the arithmetic
 *   time.c           asking and being asked         time_known.c    what is known by it, what a program is told
 */
#ifndef ORRI_TIME_H
#define ORRI_TIME_H

#include <orrery/ntp.h>
#include <orrery/time.h>

#include "node/inner.h"
#include "node/median.h"
#include "node/wall.h"

struct orri_timekeeper {            /* a member, as this node knows it */
    struct orri_alarm alarm;        /* first: it is asked next */
    struct orri_time *time;
    struct orri_peer *peer;
    uint32_t number;                /* in the estimation */
    struct orr_ntp_client *client;  /* NULL: this node itself, or one that it has no link to */
    uint32_t asked;                 /* how often, up to a few */
    bool waits;                     /* for its answer */
    bool known;                     /* it was heard, and its clock is still that one */
    bool unsteady;                  /* its last answer: it begins anew */
    bool named, restless;           /* the log says that it is off; that it doesn't keep still */
    orr_time begins;                /* local; since when it is unsteady */
    orr_time heard;                 /* local; when the last good answer was asked for */
};
struct orri_time {
    struct orr_node *node;
    struct orri_wall wall;
    struct orr_ntp_server *server;  /* NULL: nobody has asked yet */
    struct orr_clock *clock;        /* of the members but us; NULL: this node does not ask */
    struct orri_timekeeper members[ORR_TIME_MEMBERS_MAX];
    size_t n;
    struct orri_timekeeper *me;     /* among them, or NULL */
    bool loose;                     /* since `floor` was told, some member's clock may have become another one */
    orr_time floor;                 /* what was told in this epoch */
    uint32_t epoch;
    bool known, named;              /* as the log has it; named: it has said anything */
    struct orri_note note;          /* of this machine's clock being set */
};

/* time.c. Each but ask and start may be called for any node. */
struct orri_time *orri_time_ask(struct orr_node *n);            /* asks from now on; NULL: no memory, or no node yet */
void orri_time_start(struct orr_node *n);                       /* it runs */
void orri_time_turn(struct orr_node *n);                        /* a turn begins */
void orri_time_datagram(struct orr_node *n, const struct orr_datagram *d);
void orri_time_stop(struct orr_node *n);                        /* asks nobody any more */
void orri_time_free(struct orr_node *n);
void orri_time_forget(struct orri_timekeeper *m, orr_time local);   /* its clock may be anything */
/* time_known.c */
void orri_time_review(struct orri_time *t);                     /* something was learned: the log says what is new */
void orri_time_trace_clock(const struct orri_time *t);          /* the clock that we keep is this one from now on */

#endif
