/* vivaldi.h - network coordinates: a point for each node, such that distances are round trips.
 *
 * Each round trip that a node measures moves it a little, as a spring between the two would (Dabek, Cox, Kaashoek and
 * Morris, SIGCOMM 2004). Of the additions to it, those that Serf found worth having, with its figures: a median of the
 * latest samples of each peer, a pull to the origin so that all don't drift away together (both Ledlie, Gardner and
 * Seltzer, NSDI 2007), and a correction that needs no geometry (Lee and others, ToN 2010).
 *
 * Plain values: no time, no memory of their own; chance from the seed alone. Of arithmetic only + - * / and the square
 * root, which IEEE 754 rounds everywhere alike: the same samples give the same bits on every machine.               */
#ifndef ORRI_VIVALDI_H
#define ORRI_VIVALDI_H

#include <orrery/base.h>

#include "base/rng.h"

enum {
    ORRI_DIMENSIONS = 8,            /* more than seven gained nothing for Ledlie and others */
    ORRI_COORDINATE = 44,           /* bytes of one as it travels: at, height, adjustment, error as floats,
                                     * little-endian */
    ORRI_VIVALDI_FILTER = 3,        /* samples whose median counts */
    ORRI_VIVALDI_WINDOW = 20,       /* samples whose mean error the adjustment is */
    ORRI_VIVALDI_PEERS = 64         /* whose samples are kept; of more, chance keeps some */
};
#define ORRI_VIVALDI_RTT_MAX (10 * ORR_SECOND)

/* In seconds. The round trip between two is the distance of their `at`, plus both heights (the way from a node to where
 * the network is a plane), plus both adjustments. */
struct orri_coordinate {
    double at[ORRI_DIMENSIONS];
    double height;                  /* at least 10 us of one's own */
    double adjustment;              /* may be negative */
    double error;                   /* how far off, as a fraction, by its own account: 1.5 knows nothing */
};

struct orri_vivaldi {
    struct orri_coordinate here;    /* to be read: this node's own */
    uint32_t rejected;              /* samples that were none */
    uint32_t n_window, n_peers;     /* n_window: counted on and on */
    double window[ORRI_VIVALDI_WINDOW];
    struct orri_vivaldi_peer {
        orr_id id;
        uint32_t rtt_us_16[ORRI_VIVALDI_FILTER];        /* in 1/16 us, so that 10 s fit; the latest first */
        uint32_t n;
    } peers[ORRI_VIVALDI_PEERS];
    struct orr_rng rng;
};

/* At the origin, knowing nothing. */
void orri_vivaldi_init(struct orri_vivaldi *v, uint64_t seed);
/* A round trip to a peer was measured, which said that it is at *other (copied). False: nothing was learned, but
 * `rejected` counted: rtt < 0 or above ORRI_VIVALDI_RTT_MAX, or a coordinate that orri_coordinate_read would refuse. */
bool orri_vivaldi_learn(struct orri_vivaldi *v, orr_id peer, const struct orri_coordinate *other, orr_time rtt);

/* The likely round trip between two; 0 or more. */
orr_time orri_coordinate_rtt(const struct orri_coordinate *a, const struct orri_coordinate *b);
/* Finite, and of a size that measured round trips can lead to. */
bool orri_coordinate_fits(const struct orri_coordinate *c);
/* ORRI_COORDINATE bytes at `at`. read: false where it does not fit, and then *c is not to be used. */
void orri_coordinate_write(unsigned char *at, const struct orri_coordinate *c);
bool orri_coordinate_read(const unsigned char *at, struct orri_coordinate *c);

#endif
