/* support/member_net.h - memberships on virtual time: a network of datagrams that does what it may, and nodes that
 * start, stand still, die and come back.
 *
 *     struct mnet_options o = { .n = 5, .seed = 1, .delay_max = 2 * ORR_MS };
 *     orr_membership_config_init(&o.cfg);
 *     struct mnet *net = mnet_new(&o);
 *     for (size_t i = 0; i < o.n; i++) mnet_start(net, i);
 *     mnet_run(net, 10 * ORR_SECOND);                  // by so much
 *     mnet_sees(net, 0, 3) ...
 *
 * Node i is called n0000 and on, in the order of its number. The same options give the same run. */
#ifndef SPEC_MEMBER_NET_H
#define SPEC_MEMBER_NET_H

#include <orrery/membership.h>

#include "base/rng.h"

struct mnet;
struct mnet_options {
    size_t n;
    uint64_t seed;
    struct orr_membership_config cfg;       /* self and seed apart, of each */
    size_t seeds;                   /* each knows the first so many, and cfg.open; 0: all know all, nobody else joins */
    bool (*may_talk)(void *ud, size_t a, size_t b);     /* NULL: all */
    double loss, duplicate;
    orr_time delay_min, delay_max;  /* uniform; so packets overtake each other */
    /* NULL: as these say. Else how long a packet takes that is sent now; negative: it is lost. */
    orr_time (*delay)(void *ud, struct orr_rng *rng, orr_time now, size_t from, size_t to);
    /* Told of what happens; each may be NULL. cut: true: this packet is lost. */
    void (*event)(void *ud, size_t node, const struct orr_membership_ready *r);
    bool (*cut)(void *ud, size_t from, size_t to, struct orr_slice bytes);
    void *ud;
};

struct mnet *mnet_new(const struct mnet_options *o);
void mnet_free(struct mnet *net);

void mnet_start(struct mnet *net, size_t i);            /* a new life, with a higher incarnation, its records lost */
void mnet_kill(struct mnet *net, size_t i);             /* at once, without a word; not up: nothing */
void mnet_leave(struct mnet *net, size_t i);            /* it says so, and ends when it is gone */
void mnet_pause(struct mnet *net, size_t i, bool paused);       /* what comes waits (64 packets at most) */
void mnet_cut(struct mnet *net, size_t from, size_t to, bool cut);      /* one way */
void mnet_heal(struct mnet *net);                       /* no cuts, no pauses, no loss, no duplicates */
void mnet_run(struct mnet *net, orr_time by);
bool mnet_step(struct mnet *net);                       /* the next thing that happens; false: nothing ever */
void mnet_took(struct mnet *net, size_t i);             /* after an input of the caller's own: what it wants is done */

orr_time mnet_now(const struct mnet *net);
struct orr_membership *mnet_of(const struct mnet *net, size_t i);       /* NULL: not up */
bool mnet_is_paused(const struct mnet *net, size_t i);
bool mnet_is_leaving(const struct mnet *net, size_t i);
orr_id mnet_id(const struct mnet *net, size_t i);
size_t mnet_number(const struct mnet *net, orr_id id);
const char *mnet_name(const struct mnet *net, size_t i);
/* What `of` is to `at`; -1: nothing. */
int mnet_sees(const struct mnet *net, size_t at, size_t of);
uint64_t mnet_packets(const struct mnet *net);          /* delivered so far */
uint64_t mnet_digest(const struct mnet *net);           /* of all that was delivered, and when */

#endif
