/* time.h - a node's part in its cluster's time (orrery/time.h): what is kept for it, and who does what.
 *
 *   wall.c           this node's own clock          median.c        the arithmetic
 *   time.c           asking and being asked         time_known.c    what is known by it, what a program is told
 *   time_told.c      what the log is told, and who looks on         steer.c     steering the machine's clock by it
 *   time_saved.c     the temperature, and what outlives the node
 *   edges.c          what nodes tell each other of the clocks that they measure
 *   time_mesh.c      telling it, hearing it, and what all of it says together
 */
#ifndef ORRI_TIME_H
#define ORRI_TIME_H

#include <orrery/ntp.h>
#include <orrery/steer.h>
#include <orrery/time.h>

#include "node/edges.h"
#include "node/inner.h"
#include "node/median.h"
#include "node/wall.h"

enum { ORRI_ASKED_MAX = ORR_TIME_MEMBERS_MAX + ORRI_SERVERS_MAX };
struct orri_timekeeper {            /* who is asked: a member, as this node knows it, or a server */
    struct orri_alarm alarm;        /* first: it is asked next */
    struct orri_time *time;
    orr_id id;
    const char *name;
    bool server, linked;
    uint32_t number;                /* in the estimations */
    uint64_t clock;                 /* which of its clocks it was that answered last; 0: none yet */
    struct orr_ntp_client *client;  /* NULL: this node itself, or one that it has no link to */
    uint32_t asked;                 /* how often, up to a few */
    uint32_t moved;                 /* the number of its address, as datagrams from there have it */
    bool waits;                     /* for its answer */
    bool known;                     /* it was heard, and its clock is still that one */
    bool unsteady;                  /* its last answer: it begins anew, or is not synchronised */
    bool named, restless;           /* the log says that it is off; that it doesn't keep still */
    orr_time begins;                /* local; since when it is unsteady */
    orr_time heard;                 /* local; when the last good answer was asked for */
};
/* What all links say together, as of `at`. */
struct orri_solution {
    orr_time at;                    /* local */
    size_t n;                       /* links; 0: there is none */
    struct orr_mesh_edge edges[ORR_TIME_LINKS_MAX];         /* a < b, members; `at` is when it was measured */
    struct orr_mesh_link links[ORR_TIME_LINKS_MAX];
    struct orr_mesh_node nodes[ORR_TIME_MEMBERS_MAX];       /* against this node's own clock */
};
struct orri_mesh {
    struct orri_alarm alarm;        /* first: others are told next */
    struct orri_time *time;
    struct orri_teller tellers[ORR_TIME_MEMBERS_MAX];
    struct orri_solution now;
    bool better[ORR_TIME_MEMBERS_MAX];      /* the graph knows more of the clock than our own link to it, */
    orr_time correction[ORR_TIME_MEMBERS_MAX];      /* which is to be moved by so much */
    orr_time changed[ORR_TIME_MEMBERS_MAX]; /* local: since when it is another than `named`; 0: it is that */
    bool named[ORR_TIME_MEMBERS_MAX];       /* the log says that our own link to it is asymmetric */
    struct orr_time_gossip count;
};
struct orri_steering {
    struct orri_alarm alarm;        /* first */
    struct orr_steer steer;
    bool begun, off;                /* off: it was tried, and can't be done */
    int32_t found;                  /* the rate that the clock had, ppb */
    struct orri_stretch {           /* from the local time `local` on, in which the clock had `ppb` more than that */
        orr_time local, free;       /* free: what it would show, had it never been steered */
        int32_t ppb;
    } now, before;
    struct orri_note note;
};
struct orri_time {
    struct orr_node *node;
    struct orri_wall wall;
    struct orr_ntp_server *server;  /* NULL: nobody has asked yet */
    struct orr_clock *clock;        /* of all who are asked; NULL: this node does not ask */
    struct orri_timekeeper asked[ORRI_ASKED_MAX];       /* members first */
    size_t n, n_asked;              /* members; all */
    struct orri_timekeeper *me;     /* among them, or NULL */
    bool loose;                     /* since `floor` was told, some member's clock may have become another one */
    orr_time floor;                 /* what was told in this epoch */
    uint32_t epoch;
    bool known, named;              /* as the log has it; named: it has said anything */
    struct orri_note note;          /* of this machine's clock being set */
    struct orri_steering steering;
    struct orr_clock_reading reading;       /* the last one, */
    orr_time read;                  /* local */
    bool senses;                    /* a temperature was read in this life; */
    orr_time sense_at, save_at;     /* is read again, and what was learned saved */
    struct orr_wait saving;
    struct orri_mesh mesh;
};
/* Is the cluster's time that of NTP servers? */
static inline bool orri_time_by_servers(const struct orri_time *t) { return t->node->n_servers > 0; }

/* time.c. Each but ask and start may be called for any node. */
struct orri_time *orri_time_ask(struct orr_node *n);            /* asks from now on; NULL: no memory, or no node yet */
void orri_time_start(struct orr_node *n);                       /* it runs */
void orri_time_turn(struct orr_node *n);                        /* a turn begins */
void orri_time_datagram(struct orr_node *n, const struct orr_datagram *d);
void orri_time_leave(struct orr_node *n);                       /* it is about to stop: what it learned is saved */
void orri_time_stop(struct orr_node *n);                        /* asks nobody any more */
void orri_time_free(struct orr_node *n);
void orri_time_forget(struct orri_timekeeper *m, orr_time local);   /* its clock may be another one */
/* time_known.c */
/* So many of the NTP servers may be wrong. */
static inline size_t orri_time_liars(const struct orri_time *t) { return (t->node->n_servers - 1) / 2; }
struct orri_known {                 /* now */
    struct orri_span clocks[ORRI_ASKED_MAX], all;       /* of each that is asked; the cluster's time */
    orr_time likely;                /* 0 where all may be anything, as state is UNSYNC then */
    enum orr_clock_state state;
    uint32_t epoch;
    size_t n_known;
};
struct orri_known orri_time_known(const struct orri_time *t, orr_time local);
bool orri_time_reading(struct orr_node *n, struct orr_clock_reading *out);      /* now; false: this node does not ask */
bool orri_time_is_narrow(const struct orri_time *t, const struct orri_span *s);         /* as bound_max asks */
bool orri_time_look(const struct orri_timekeeper *m, orr_time local, struct orri_span *out, orr_time *likely);
void orri_time_expire(struct orri_time *t, orr_time local);     /* forgets whose clocks were not heard for too long */
/* time_mesh.c */
void orri_mesh_begin(struct orri_time *t);                      /* others are asked from now on */
void orri_mesh_stop(struct orri_time *t);
void orri_mesh_hear(struct orri_time *t, struct orri_timekeeper *from, const struct orr_datagram *d);  /* NULL: who? */
void orri_mesh_review(struct orri_time *t, orr_time local);     /* something was learned */
orr_time orri_mesh_correct(const struct orri_timekeeper *m, orr_time local, const struct orri_span *clock,
                           orr_time likely);                    /* its clock's likely value, by what all links say */
/* steer.c */
void orri_steer_start(struct orri_time *t);
void orri_steer_stop(struct orri_time *t);
void orri_steer_rest(struct orri_time *t);                      /* the time isn't known now */
/* What the local clock would show if it had not been steered: by that the estimation goes, which could not tell our
 * slewing from the oscillator's. Elsewhere, and for whoever steers nothing, it is the local clock. */
orr_time orri_time_free_running(const struct orri_time *t, orr_time local);
/* time_told.c */
void orri_time_trace_clock(const struct orri_time *t);          /* the clock that we keep is this one from now on */
void orri_time_review(struct orri_time *t);                     /* something was learned: the log says what is new */

/* time_saved.c */
void orri_time_sense(struct orri_time *t);                      /* it asks */
void orri_time_load(struct orri_time *t);                       /* before it asks */
void orri_time_save(struct orri_time *t);

#endif
