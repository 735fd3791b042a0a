/* clock.h - what time it is, and how wrong that may be: an estimate of reference time from exchanges with peers.
 *
 * An exchange has four stamps: the local clock when the request left (t1) and when the reply came (t4), the peer's when
 * the request came (t2) and when the reply left (t3). Give each to orr_clock_sample; ask orr_clock_now at any moment:
 *
 *     struct orr_clock_config config;
 *     orr_clock_config_init(&config);
 *     orr_clock_new(&c, &config);
 *     orr_clock_peer_add(c, local, 7, 0);
 *     orr_clock_sample(c, local, 7, &exchange);        // each reply; orr_clock_lost for what had none
 *     orr_clock_now(c, local, &t);                     // t.earliest <= reference time <= t.latest
 *     if (orr_clock_after(&t, lease_end)) ...          // has surely passed
 *
 * Nothing here reads a clock or touches a socket, and nothing is allocated after orr_clock_new. The local clock should
 * be one that nobody steers (CLOCK_MONOTONIC_RAW). The same calls give the same bits. One thread at a time.
 *
 * What is promised: reference time is in [earliest, latest] while the state is not ORR_CLOCK_UNSYNC, fewer than half of
 * the peers lie, the local oscillator's frequency leaves the learned one by no more than `max_drift_ppb` (or, which
 * asks for less and gives a wider interval: no clock leaves `rate_max_ppb`), and what the peers say of their own error
 * (root delay, root dispersion) is true. A path that is longer one way than the other moves the offset by up to half of
 * the difference, which nobody can see from one path; the interval holds it. Where half or more disagree, the state is
 * ORR_CLOCK_UNSYNC: no guess is made. */
#ifndef ORR_CLOCK_H
#define ORR_CLOCK_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- Life ---------------------------------------------------------------------------------------------------------- */
/* Both give the same intervals, and take the same peers for true. They differ in the likely value: what
 * ORR_CLOCK_PACEMAKER learned of a network (orr_clock_save keeps it) makes that several times nearer where queues hide
 * the clock, for some 10 times the CPU (30 us an exchange) and 2.5 times the memory. Until it has seen some 20
 * exchanges with a peer, and while nothing is heard, it says what ORR_CLOCK_NTP would. It takes short delays for the
 * likely ones: where all delays lie around a usual one, none near the least, ORR_CLOCK_NTP is the nearer. */
enum orr_clock_mode {
    ORR_CLOCK_NTP,                  /* each peer's offset and frequency by a bank of filters, peers by majority */
    ORR_CLOCK_PACEMAKER             /* and of each peer more estimates, weighed by what hindsight says of them */
};
enum { ORR_CLOCK_PEERS_MAX = 64 };

struct orr_clock_config {
    enum orr_clock_mode mode;
    unsigned peers_max;             /* 1 to ORR_CLOCK_PEERS_MAX; memory is taken for so many */
    uint32_t precision_ns;          /* of reading the local clock */
    uint32_t max_drift_ppb;         /* how fast the oscillator may leave its estimated frequency; at most 1000000 */
    uint32_t rate_max_ppb;          /* 0; or the promise rests on nothing that was learned, but on this alone: no peer's
                                     * clock gains or loses more on the local one, however both change their pace;
                                     * at most 10000000 */
    int8_t poll_min, poll_max;      /* log2 s, -6 to 17: what orr_clock_next keeps to */
    uint64_t seed;                  /* of the small jitter in orr_clock_next */
    const struct orr_alloc *alloc;  /* NULL: libc's; borrowed while the clock lives */
};
struct orr_clock;

ORR_API void orr_clock_config_init(struct orr_clock_config *config);
/* 0, -ENOMEM, ORR_EINVALID. */
ORR_API int orr_clock_new(struct orr_clock **out, const struct orr_clock_config *config);
ORR_API void orr_clock_free(struct orr_clock *c);   /* NULL is nothing */
/* Bytes of a clock with room for so many peers: about 5.5 KiB for each, 13.5 KiB in ORR_CLOCK_PACEMAKER. */
ORR_API size_t orr_clock_bytes(enum orr_clock_mode mode, unsigned peers_max);

/* All inputs take `now`, the local clock's reading at the call: never less than before, but after a step. */

/* -- Peers --------------------------------------------------------------------------------------------------------- */
enum {
    ORR_CLOCK_TRUST = 1,            /* while there are such peers, they alone have a vote */
    ORR_CLOCK_NOSELECT = 2          /* measured and shown, but without a vote and never followed */
};
/* 0; ORR_ECONFLICT: it is there; ORR_EOVERLOADED: there are peers_max; ORR_EINVALID: a flag that is none. */
ORR_API int orr_clock_peer_add(struct orr_clock *c, orr_time now, uint32_t id, unsigned flags);
ORR_API int orr_clock_peer_remove(struct orr_clock *c, orr_time now, uint32_t id);  /* ORR_EINVALID: there is none */

/* -- Exchanges ----------------------------------------------------------------------------------------------------- */
struct orr_clock_exchange {
    orr_time t1, t4;                /* local */
    orr_time t2, t3;                /* the peer's, its era already unwrapped */
    uint32_t root_delay_ns, root_dispersion_ns;
    uint32_t stamp_error_ns;        /* how far the stamps may be off, besides precision_ns: the peer's precision, a
                                     * stamp that was taken in user space */
    uint8_t stratum, leap;          /* as in the packet: leap 3 is "not synchronised" */
};
/* What became of an exchange. From ORR_CLOCK_BAD_ORDER on: nothing was learned from it. */
enum orr_clock_verdict {
    ORR_CLOCK_USED,
    ORR_CLOCK_HELD_OUT,             /* contradicts what is known; kept out, but the interval holds it, too */
    ORR_CLOCK_STEP,                 /* it isn't alone: the peer's estimate began anew at it */
    ORR_CLOCK_BAD_ORDER,            /* not later than one that was taken */
    ORR_CLOCK_BAD_RANGE,            /* stamps that cannot be */
    ORR_CLOCK_BAD_DELAY,            /* a round trip that cannot be, or of more than 16 s */
    ORR_CLOCK_BAD_ROOT,             /* the peer says that it may be wrong by more than 1 s */
    ORR_CLOCK_BAD_SYNC              /* the peer says that it is not synchronised */
};
enum { ORR_CLOCK_VERDICTS = ORR_CLOCK_BAD_SYNC + 1 };
/* A verdict, or ORR_EINVALID: no such peer. */
ORR_API int orr_clock_sample(struct orr_clock *c, orr_time now, uint32_t id, const struct orr_clock_exchange *x);
/* A request of this peer's that had no reply. */
ORR_API int orr_clock_lost(struct orr_clock *c, orr_time now, uint32_t id);
/* A reading of a sensor near the oscillator, in 1/1000 degree Celsius: how the frequency follows it is learned in an
 * hour or so, and then used. Readings that cannot be are left out. Where all peers are ORR_CLOCK_NOSELECT, it is
 * learned from what all their frequencies do alike. With a rate_max_ppb it moves likely values alone, no interval.   */
ORR_API void orr_clock_temperature(struct orr_clock *c, orr_time now, int32_t millicelsius);

/* The local clock was set by `delta`, or by nobody knows how much (a suspended machine, one that was moved). `now` is
 * its reading after it. A new epoch: no interval until peers have been heard anew; the frequency is kept. A reading
 * that is more than 1 s before an earlier one is taken for such a step without being told.                           */
#define ORR_CLOCK_UNKNOWN INT64_MIN
ORR_API void orr_clock_local_step(struct orr_clock *c, orr_time now, orr_time delta);

/* -- The time ------------------------------------------------------------------------------------------------------ */
enum orr_clock_state {
    ORR_CLOCK_UNSYNC,               /* no promise; offset and interval, if any, are for people */
    ORR_CLOCK_SYNC,
    ORR_CLOCK_HOLDOVER              /* the promise stands, but no true peer was heard for 8 of its polls */
};
struct orr_clock_time {
    orr_time offset;                /* reference minus local, the likely value; in [earliest, latest] - local */
    orr_time earliest, latest;      /* reference time now is in there. Within an epoch, earliest never goes back */
    orr_time likely;                /* 5 standard deviations of the offset: true of symmetric paths, not promised */
    int32_t rate_ppt;               /* of the local clock against reference, 1e-12: positive is fast */
    uint32_t epoch;                 /* counts steps: intervals of different epochs may contradict each other */
    enum orr_clock_state state;
    uint8_t stratum;                /* one more than the best true peer's; 16: not synchronised */
    uint64_t good;                  /* bit k: the peer in place k (orr_clock_peer_info) is true */
};
/* Changes nothing. false: not even an interval for people. */
ORR_API bool orr_clock_now(const struct orr_clock *c, orr_time local, struct orr_clock_time *out);

/* Has `t` surely passed, is it surely to come? Neither, while the state is ORR_CLOCK_UNSYNC. */
static inline bool orr_clock_after(const struct orr_clock_time *now, orr_time t) {
    return now->state != ORR_CLOCK_UNSYNC && now->earliest > t;
}
static inline bool orr_clock_before(const struct orr_clock_time *now, orr_time t) {
    return now->state != ORR_CLOCK_UNSYNC && now->latest < t;
}
/* Commit-wait: how long, from `local` on, until `t` has surely passed if nothing more is heard. 0: it has. ORR_NEVER:
 * nobody can say. Ask again after it: an epoch may have begun.                                                       */
ORR_API orr_time orr_clock_wait(const struct orr_clock *c, orr_time local, orr_time t);

/* -- Looking at peers ---------------------------------------------------------------------------------------------- */
enum orr_clock_role {
    ORR_CLOCK_NEW,                  /* too few exchanges */
    ORR_CLOCK_TRUE,                 /* a truechimer: part of the offset */
    ORR_CLOCK_FALSE,                /* a falseticker: left out */
    ORR_CLOCK_OBSERVED              /* ORR_CLOCK_NOSELECT */
};
struct orr_clock_peer {
    unsigned place;                 /* its bit in orr_clock_time.good */
    unsigned flags;
    enum orr_clock_role role;
    orr_time offset, sd;            /* at `local`, reference by this peer minus local */
    orr_time earliest, latest;      /* by this peer alone */
    int32_t rate_ppt;
    orr_time delay, jitter;         /* the least round trip of late, and the median of what others had more */
    int8_t out_percent;             /* how much of the jitter was seen to be on the way out: 0 to 100, 50: even */
    uint8_t reach;                  /* bits of the last 8 polls, the newest lowest: 1 was answered usably */
    int8_t poll;                    /* log2 s */
    uint64_t verdicts[ORR_CLOCK_VERDICTS];
    uint64_t lost;
};
/* Who is in that place; places count from 0, and a peer that is removed moves those behind it. false: nobody. */
ORR_API bool orr_clock_peer_at(const struct orr_clock *c, unsigned place, uint32_t *id);
ORR_API int orr_clock_peer_info(const struct orr_clock *c, orr_time local, uint32_t id, struct orr_clock_peer *out);

/* When to ask this peer next: four times at 2 s, then as often as bound and wander ask for, 1 % early or late by
 * chance. ORR_NEVER: no such peer.                                                                                   */
ORR_API orr_time orr_clock_next(const struct orr_clock *c, orr_time local, uint32_t id);

/* -- What outlives a restart: frequency, temperature's share, jitter, what mode pacemaker learned ------------------ */
/* Bytes that it takes (whether or not there is room for them: written only if so). */
ORR_API size_t orr_clock_save(const struct orr_clock *c, void *at, size_t size);
/* Into a clock that has heard nothing yet; of peers, those that were added. 0; ORR_ECORRUPT: not what orr_clock_save
 * wrote; ORR_EINVALID: an exchange was heard already. What an earlier version or the other mode saved is read, too. The
 * frequency is left out where all peers that were added are ORR_CLOCK_NOSELECT: each has its own. */
ORR_API int orr_clock_load(struct orr_clock *c, const void *at, size_t size);

#ifdef __cplusplus
}
#endif
#endif
