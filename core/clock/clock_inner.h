/* clock_inner.h - what the files of the estimation share.
 *
 *     clock_path.c      one exchange's round trip: the least delay, the jitter, the share of it on the way out
 *     clock_bank.c      a peer's offset and frequency: filters side by side, weighted by how well they foretold
 *     clock_pace.c      mode pacemaker: several estimates of a peer's offset, weighed by hindsight
 *     clock_edge.c      one of them, and the teacher: what each way says by itself
 *     clock_queue.c     how long one way's queues are
 *     clock_line.c      others: a line between upper and lower bounds
 *     clock_interval.c  a peer's interval: where all its recent exchanges can be true at once
 *     clock_select.c    all peers: the interval that a majority covers, who is true, the answer
 *     clock_heat.c      how the frequency follows a temperature sensor
 *     clock.c           the object: what comes in, verdicts, steps, when to poll
 *     clock_saved.c     what outlives a restart
 *
 * Stamps are whole nanoseconds; all else is in doubles of seconds, and of differences only: of an offset to the peer's
 * `origin`, of a time to the moment of the last exchange. `offset` is reference minus local everywhere, and `rate` how
 * fast it grows: negative where the local clock is fast. */
#ifndef ORRI_CLOCK_INNER_H
#define ORRI_CLOCK_INNER_H

#include <orrery/clock.h>

#define ORRI_TIME_LIMIT ((orr_time)1 << 62)     /* ns; stamps and intervals end before it: differences fit */
#define ORRI_RATE_MAX 1e-3          /* no oscillator is farther off, and no estimate goes there */
#define ORRI_STAMP_SD (1.0 / 3)      /* deviation of a stamp: its error is a bound, of three of them */
#define ORRI_RATE_SD_START 1e-4     /* of a clock that nothing is known about */

static inline double orri_seconds(orr_time ns) { return (double)ns * 1e-9; }
static inline double orri_larger(double a, double b) { return a > b ? a : b; }
static inline double orri_smaller(double a, double b) { return a < b ? a : b; }
static inline double orri_within(double v, double limit) { return orri_smaller(orri_larger(v, -limit), limit); }
static inline double orri_square(double v) { return v * v; }

/* -- One exchange, in seconds -------------------------------------------------------------------------------------- */
struct orri_exchange {
    orr_time at;                    /* local, halfway */
    double offset;                  /* halfway, against the peer's origin */
    double low, high;               /* the offset if the way back, or out, took no time: it is surely between */
    double delay;                   /* round trip, at least the stamps' error */
    double stamp;                   /* error of the stamps */
};

/* -- clock_path.c -------------------------------------------------------------------------------------------------- */
enum { ORRI_PATH_BLOCKS = 8, ORRI_PATH_BLOCK = 32 };
struct orri_path {
    uint32_t n;                     /* exchanges, up to a few; then it stays */
    uint32_t n_excess;              /* of them, those in `excess` while that is a mean */
    uint32_t in_block;
    double least[ORRI_PATH_BLOCKS]; /* of each block of exchanges, the newest first */
    double delay;                   /* least of all of them */
    double excess;                  /* running median of what others took more */
    double spread;                  /* variance of the offset per excess squared */
    double out_sum, out_weight;     /* regression of the offset's error on the excess */
};
/* How an exchange is to be taken: the offset it stands for, its variance, how much more than the least it took. */
struct orri_reading {
    double offset, variance, excess, floor;
};
void orri_path_init(struct orri_path *p);
void orri_path_begin(struct orri_path *p);      /* another path may lie below: the least delay anew, the jitter kept */
struct orri_reading orri_path_read(struct orri_path *p, const struct orri_exchange *x);
/* What the exchange's error was, now that a better estimate with this deviation stands beside it. */
void orri_path_learn(struct orri_path *p, const struct orri_reading *r, double raw_error, double sd);
double orri_path_share(const struct orri_path *p);          /* of the excess that moves the offset: -0.5 to 0.5 */

/* -- clock_interval.c ---------------------------------------------------------------------------------------------- */
enum { ORRI_HISTORY = 64 };
struct orri_bounds {
    orr_time at;
    double low, high;
};
struct orri_history {
    struct orri_bounds ring[ORRI_HISTORY];
    uint32_t n, next;               /* how many there are; where the next goes */
};
/* The j-th newest, 0 is the last. */
static inline const struct orri_bounds *orri_history_at(const struct orri_history *h, uint32_t j) {
    return &h->ring[(h->next + ORRI_HISTORY - 1 - j) % ORRI_HISTORY];
}
void orri_history_add(struct orri_history *h, const struct orri_exchange *x);

/* -- clock_bank.c -------------------------------------------------------------------------------------------------- */
enum { ORRI_WANDERS = 7, ORRI_LENGTHS = 5, ORRI_FILTERS = ORRI_WANDERS * ORRI_LENGTHS };
struct orri_filter {
    double offset, rate;
    double p00, p01, p11;           /* their covariance */
};
struct orri_block {                 /* exchanges condensed into one measurement */
    uint32_t n;                     /* in the one under way */
    uint32_t full;                  /* blocks so far, up to ORRI_GAPS_LEARNED */
    double gap_out, gap_back;       /* mean distance of the two best bounds */
    orr_time since;                 /* moment of the `settled` filters */
};
struct orri_bank {
    bool begun;
    orr_time at;                    /* moment of `now` and of the mixture */
    struct orri_filter now[ORRI_FILTERS];
    struct orri_filter settled[ORRI_FILTERS];   /* at the end of the last full block */
    double score[ORRI_FILTERS], weight[ORRI_FILTERS];
    struct orri_block block[ORRI_LENGTHS];
    double offset, rate, sd, rate_sd, wander;   /* the mixture; wander is variance of rate per second */
};
void orri_bank_begin(struct orri_bank *b, const struct orri_exchange *x, double rate, double rate_sd);
void orri_bank_predict(struct orri_bank *b, orr_time at);
/* After orri_bank_predict to x->at. The history has what came before x. */
void orri_bank_update(struct orri_bank *b, const struct orri_exchange *x, const struct orri_reading *r,
                      const struct orri_history *h);
void orri_bank_shift(struct orri_bank *b, orr_time local);          /* the local clock was set: moments move */
void orri_bank_move(struct orri_bank *b, double by);                /* all offsets: they are against another origin */
void orri_bank_heat(struct orri_bank *b, orr_time at, double rate); /* from `at` on, it runs by `rate` differently */
/* Variance of the mixture's offset so long after it, and of what a bound carried so far may be off. */
double orri_bank_variance(const struct orri_bank *b, double dt);
double orri_bank_carry(const struct orri_bank *b, double dt);

/* -- clock_queue.c ------------------------------------------------------------------------------------------------- */
enum { ORRI_SCALES = 13 };
struct orri_queue {
    double share[ORRI_SCALES];      /* of exchanges: of no queue, of queues of about each size; they add up to 1 */
};
/* What an excess says that is known up to a variance. */
struct orri_evidence {
    double log;                     /* its logarithmic density */
    double slope, bend;             /* that one's first and second derivative */
    double share[ORRI_SCALES];      /* how likely it has had no queue, or one of each size */
};
void orri_queue_init(struct orri_queue *q, double usual);
struct orri_evidence orri_queue_weigh(const struct orri_queue *q, double excess, double variance);
void orri_queue_learn(struct orri_queue *q, const double share[ORRI_SCALES], double gain);

/* -- clock_edge.c -------------------------------------------------------------------------------------------------- */
enum { ORRI_EDGES = 6, ORRI_TRAIL = 13, ORRI_TAUGHT = 100 };
struct orri_edge_filter {
    double x[3], p[3][3];           /* offset, rate, half of the empty round trip; their covariance */
};
struct orri_edge_pull {             /* what one way's delay did to a filter */
    float gain[3], slope, bend;
};
struct orri_edge_step {             /* what an exchange did to all of them */
    orr_time at;
    double offset[ORRI_EDGES];      /* after it */
    float p[ORRI_EDGES][3];         /* and its covariance with the state */
    struct orri_edge_pull pull[ORRI_EDGES][2];
};
struct orri_edge {
    orr_time at;
    struct orri_edge_filter filter[ORRI_EDGES];
    double score[ORRI_EDGES], weight[ORRI_EDGES];
    double offset;                  /* the mixture's */
    uint32_t learned;               /* exchanges that the queues were learned from, up to ORRI_TAUGHT */
    struct orri_queue queue[2];     /* out, back */
    uint32_t steps, next;           /* in the trail; where the next goes */
    struct orri_edge_step trail[ORRI_TRAIL];
};
/* All but what was learned of the queues begins at x. */
void orri_edge_begin(struct orri_edge *e, const struct orri_exchange *x, double rate, double rate_sd);
void orri_edge_update(struct orri_edge *e, const struct orri_exchange *x);
/* The offset so many exchanges ago, by all that came since; back < steps. */
double orri_edge_hindsight(const struct orri_edge *e, uint32_t back);
void orri_edge_shift(struct orri_edge *e, orr_time local);          /* these three as in clock_bank.c */
void orri_edge_move(struct orri_edge *e, double by);
void orri_edge_heat(struct orri_edge *e, orr_time at, double rate);

/* -- clock_line.c -------------------------------------------------------------------------------------------------- */
/* The line over the last `length` exchanges, which divides ORRI_HISTORY, read at the last one; `price` is as the call
 * before left it. b says about where the line is. false: no line can be told. */
#define ORRI_BENT 2.0               /* a line so many of the bank's deviations off has a change in its window */
enum { ORRI_FIRSTS = 64 };
bool orri_line_fit(float price[][2], uint32_t length, const struct orri_history *h, const struct orri_bank *b,
                   double jitter, double *offset);

/* -- clock_pace.c -------------------------------------------------------------------------------------------------- */
enum { ORRI_CANDIDATES = 5 };
#define ORRI_ERROR_MOST 1e3         /* s^2 */
struct orri_pace {
    struct orri_edge edge;
    float price16[16][2], price32[32][2], price64[64][2];
    double past[ORRI_TRAIL][ORRI_CANDIDATES];   /* what each said, beside the edge's trail */
    double error[ORRI_CANDIDATES];  /* mean square, by hindsight */
    uint32_t taught;                /* how often, up to ORRI_TAUGHT */
    double lead;                    /* of the answer over the bank's */
};
struct orri_peer;
void orri_pace_begin(struct orri_pace *k, const struct orri_exchange *x, double rate, double rate_sd);
/* After bank, history and interval have taken x in. */
void orri_pace_update(struct orri_peer *p, const struct orri_exchange *x);
void orri_pace_shift(struct orri_pace *k, orr_time local);
void orri_pace_move(struct orri_pace *k, double by);
void orri_pace_heat(struct orri_pace *k, orr_time at, double rate);

/* -- A peer -------------------------------------------------------------------------------------------------------- */
struct orri_peer {
    uint32_t id;
    unsigned flags;
    bool waiting;                   /* the first answer of the clock waits for it */
    orr_time origin;                /* ns; offsets are against it */
    struct orri_path path;
    struct orri_bank bank;
    struct orri_pace *pace;         /* NULL in mode ntp, which has this: */
    uint32_t firsts;                /* how many exchanges there were, up to ORRI_FIRSTS, */
    double early;                   /* what a line through them says beyond the bank, */
    float price[ORRI_FIRSTS][2];    /* and its prices */
    struct orri_history history;
    double low, high;               /* interval at bank.at, without root distance */
    double root;                    /* root delay / 2 + root dispersion */
    double rate_max;                /* config.rate_max_ppb as a rate; 0: the interval goes by the bank's */
    double heat;                    /* how far the temperature moved the rate since the last exchange */
    bool levelled;
    double level;                   /* where none has a vote: this peer's own rate */
    uint32_t taken;                 /* exchanges since the last step of the local clock, up to a few; then it stays */
    uint32_t held;                  /* exchanges held out in a row */
    struct orri_exchange suspect;   /* the last of them */
    double suspect_root;
    orr_time t1;                    /* of the last exchange that was not refused */
    orr_time asked;                 /* last request known of */
    double spacing;                 /* mean time between exchanges */
    int8_t poll, calm;              /* log2 s; exchanges in a row that would bear a longer one */
    uint8_t reach, stratum;
    uint32_t attempts, lost_in_row;
    uint64_t verdicts[ORR_CLOCK_VERDICTS], lost;
};
/* The interval at `local`, against the origin: all that may widen it is in. */
void orri_peer_interval(const struct orri_peer *p, orr_time local, double max_drift, double *low, double *high);
/* After an exchange or a new beginning: low, high from the history. */
void orri_peer_intersect(struct orri_peer *p);

/* -- clock_heat.c -------------------------------------------------------------------------------------------------- */
struct orri_heat {
    bool begun, used;
    orr_time at;
    double first;                   /* degrees; sums are against it */
    double mean, applied;           /* smoothed reading; that part of it that the rate follows already */
    double per_degree;              /* of rate */
    double w, x, y, xx, xy;         /* the regression's sums, y in 1e-6 */
};
/* Change of rate that this reading asks for; rate: the best estimate's, NULL where there is none to learn from. */
double orri_heat_expected(const struct orri_heat *h);       /* the rate at the last reading, by the regression */
double orri_heat_read(struct orri_heat *h, orr_time at, double celsius, const double *rate);

/* -- The clock ----------------------------------------------------------------------------------------------------- */
struct orr_clock {
    struct orr_clock_config config;
    struct orr_alloc alloc;
    unsigned n;
    bool heard, synced;             /* any exchange; ever since the last step */
    orr_time latest;                /* largest reading of the local clock */
    orr_time floor;                 /* earliest that was claimed in this epoch; INT64_MIN: nothing was */
    uint32_t epoch;
    uint64_t good;                  /* places of true peers, after the last input */
    double rate, rate_sd;           /* what a peer begins with */
    struct orri_heat heat;
    double observed;                /* the rate that it learns by, where no peer has a vote */
    struct orri_peer peers[];
};
static inline double orri_max_drift(const struct orr_clock *c) { return (double)c->config.max_drift_ppb * 1e-9; }
static inline bool orri_peer_usable(const struct orri_peer *p) {
    return p->bank.begun && p->taken >= 3 && p->history.n > 0;
}
/* The likely offset beyond the bank's. */
static inline double orri_peer_lead(const struct orri_peer *p) { return p->pace ? p->pace->lead : p->early; }
struct orri_peer *orri_clock_find(const struct orr_clock *c, uint32_t id);

/* ns of an offset against an origin, rounded down or up, never out of range. */
orr_time orri_offset_down(orr_time origin, double offset);
orr_time orri_offset_up(orr_time origin, double offset);
/* Both stop at the ends. */
orr_time orri_add(orr_time a, orr_time b);
orr_time orri_subtract(orr_time a, orr_time b);

#endif
