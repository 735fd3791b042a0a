/* clock.c - the clock as an object: what comes in, what is refused, steps, when to poll.
 *
 * Each input first writes down how early the answer was that could have been read until now (`floor`), and then changes
 * the estimate: within an epoch `earliest` stays at or above it, though reading the clock changes nothing.           */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "clock/clock_inner.h"

#define DELAY_MAX (16 * ORR_SECOND)
#define ROOT_MAX ORR_SECOND
#define ORIGIN_FAR 16.0             /* s */
#define STEP_RATE_SD 1e-6           /* after a step, the frequency is known no better than that */
enum {
    HELD_ALIKE = 2, HELD_AT_ALL = 3,        /* in a row, and the peer's estimate begins anew */
    TAKEN_MOST = 8,                         /* exchanges with one peer, and nobody else is waited for */
    LOST_MOST = 3,                          /* in a row, and the peer isn't waited for */
    BURST = 4, CALM = 4, LEAP_UNSYNC = 3, STRATUM_MAX = 15, RATE_MAX_PPB = 10000000
};

/* -- Life ---------------------------------------------------------------------------------------------------------- */
void orr_clock_config_init(struct orr_clock_config *config) {
    *config = (struct orr_clock_config){
        .mode = ORR_CLOCK_NTP,
        .peers_max = 16,
        .precision_ns = 30,
        .max_drift_ppb = 1000,
        .poll_min = 4,
        .poll_max = 10,
        .seed = 1,
    };
}

static bool config_fits(const struct orr_clock_config *k) {
    return (k->mode == ORR_CLOCK_NTP || k->mode == ORR_CLOCK_PACEMAKER) && k->peers_max >= 1 &&
           k->peers_max <= ORR_CLOCK_PEERS_MAX && k->precision_ns >= 1 && k->precision_ns <= ORR_SECOND &&
           k->max_drift_ppb <= 1000000 && k->rate_max_ppb <= RATE_MAX_PPB && k->poll_min >= -6 &&
           k->poll_min <= k->poll_max && k->poll_max <= 17;
}

size_t orr_clock_bytes(enum orr_clock_mode mode, unsigned peers_max) {
    size_t of_peer = sizeof(struct orri_peer) + (mode == ORR_CLOCK_PACEMAKER ? sizeof(struct orri_pace) : 0);
    return sizeof(struct orr_clock) + peers_max * of_peer;
}

int orr_clock_new(struct orr_clock **out, const struct orr_clock_config *config) {
    if (!config_fits(config)) return ORR_EINVALID;
    const struct orr_alloc *alloc = config->alloc ? config->alloc : &orr_alloc_libc;
    size_t bytes = orr_clock_bytes(config->mode, config->peers_max);
    struct orr_clock *c = alloc->fn(alloc->ud, NULL, 0, bytes);
    if (!c) return -ENOMEM;
    memset(c, 0, bytes);
    c->config = *config;
    c->alloc = *alloc;
    c->latest = c->floor = INT64_MIN;
    c->rate_sd = ORRI_RATE_SD_START;
    struct orri_pace *paces = (struct orri_pace *)&c->peers[config->peers_max];     /* behind the peers */
    for (unsigned i = 0; config->mode == ORR_CLOCK_PACEMAKER && i < config->peers_max; i++) {
        c->peers[i].pace = &paces[i];
    }
    *out = c;
    return 0;
}

void orr_clock_free(struct orr_clock *c) {
    if (c) (void)c->alloc.fn(c->alloc.ud, c, orr_clock_bytes(c->config.mode, c->config.peers_max), 0);
}

struct orri_peer *orri_clock_find(const struct orr_clock *c, uint32_t id) {
    for (unsigned i = 0; i < c->n; i++) {
        if (c->peers[i].id == id) return (struct orri_peer *)(uintptr_t)&c->peers[i];
    }
    return NULL;
}

/* -- Around every input -------------------------------------------------------------------------------------------- */
static void forget(struct orr_clock *c) {
    c->epoch++;
    c->floor = INT64_MIN;
    c->good = 0;
}

/* The clock's reading comes first in every input; false: it is no reading. */
static bool input(struct orr_clock *c, orr_time now) {
    struct orr_clock_time t;
    if (now <= -ORRI_TIME_LIMIT || now >= ORRI_TIME_LIMIT) return false;
    if (now < orri_subtract(c->latest, ORR_SECOND)) orr_clock_local_step(c, now, ORR_CLOCK_UNKNOWN);
    if (now > c->latest) c->latest = now;
    if (orr_clock_now(c, c->latest, &t) && t.state != ORR_CLOCK_UNSYNC && t.earliest > c->floor) c->floor = t.earliest;
    return true;
}

/* And this last: what was claimed may have been wrong, and then a new epoch begins. */
static void changed(struct orr_clock *c, orr_time now, bool step) {
    struct orr_clock_time t;
    if (step) forget(c);
    if (!orr_clock_now(c, now, &t) || t.state == ORR_CLOCK_UNSYNC) {
        c->good = 0;
        return;
    }
    if (t.earliest < c->floor) {
        forget(c);
        if (!orr_clock_now(c, now, &t)) return;
    }
    c->good = t.good;
    c->synced = true;
}

int orr_clock_peer_add(struct orr_clock *c, orr_time now, uint32_t id, unsigned flags) {
    if (flags & ~(unsigned)(ORR_CLOCK_TRUST | ORR_CLOCK_NOSELECT)) return ORR_EINVALID;
    if (orri_clock_find(c, id)) return ORR_ECONFLICT;
    if (c->n == c->config.peers_max) return ORR_EOVERLOADED;
    if (!input(c, now)) return ORR_EINVALID;
    struct orri_peer *p = &c->peers[c->n++];
    *p = (struct orri_peer){ .id = id, .flags = flags, .waiting = !c->synced, .poll = c->config.poll_min,
                             .t1 = INT64_MIN, .asked = INT64_MIN, .rate_max = c->config.rate_max_ppb * 1e-9,
                             .pace = p->pace };
    if (p->pace) *p->pace = (struct orri_pace){ .lead = 0 };
    orri_path_init(&p->path);
    changed(c, now, false);
    return 0;
}

int orr_clock_peer_remove(struct orr_clock *c, orr_time now, uint32_t id) {
    struct orri_peer *p = orri_clock_find(c, id);
    if (!p || !input(c, now)) return ORR_EINVALID;
    struct orri_pace *pace = p->pace;
    c->n--;
    memmove(p, p + 1, (size_t)(&c->peers[c->n] - p) * sizeof *p);
    c->peers[c->n].pace = pace;
    changed(c, now, false);
    return 0;
}

/* -- Steps --------------------------------------------------------------------------------------------------------- */
/* The peer's estimate begins at x, the frequency kept. */
static void begin(struct orri_peer *p, const struct orri_exchange *x, double rate, double rate_sd) {
    struct orri_exchange at = *x;
    double whole = round(x->offset * 1e9);
    double by = whole * 1e-9;
    p->origin = orri_add(p->origin, (orr_time)whole);
    at.offset -= by;
    at.low -= by;
    at.high -= by;
    p->history.n = p->history.next = 0;
    p->held = 0;
    p->heat = 0;
    orri_bank_begin(&p->bank, &at, rate, rate_sd);
    if (p->pace) orri_pace_begin(p->pace, &at, rate, rate_sd);
    orri_history_add(&p->history, &at);
    orri_peer_intersect(p);
}
static void begin_anew(struct orri_peer *p) {
    p->root = p->suspect_root;
    begin(p, &p->suspect, p->bank.rate, orri_larger(p->bank.rate_sd, STEP_RATE_SD));
}

/* While the peer is new: a line is sooner near than the bank, which has to find out how long the queues are. */
static double early(struct orri_peer *p) {
    double offset;
    if (p->firsts >= ORRI_FIRSTS) return 0;
    p->firsts++;
    if (!orri_line_fit(p->price, ORRI_FIRSTS, &p->history, &p->bank, p->path.excess / 2, &offset)) return 0;
    double beyond = offset - p->bank.offset;
    return fabs(beyond) <= ORRI_BENT * p->bank.sd ? beyond : 0;
}

/* Offsets are exact to far below 1 ns only while they are small: the origin follows them. */
static void follow(struct orri_peer *p) {
    if (fabs(p->bank.offset) < ORIGIN_FAR) return;
    double whole = round(p->bank.offset), by = -whole;
    p->origin = orri_add(p->origin, (orr_time)whole * ORR_SECOND);
    orri_bank_move(&p->bank, by);
    if (p->pace) orri_pace_move(p->pace, by);
    for (uint32_t j = 0; j < p->history.n; j++) {
        p->history.ring[j].low += by;
        p->history.ring[j].high += by;
    }
    p->suspect.offset += by;
    p->suspect.low += by;
    p->suspect.high += by;
    p->low += by;
    p->high += by;
}

void orr_clock_local_step(struct orr_clock *c, orr_time now, orr_time delta) {
    if (now <= -ORRI_TIME_LIMIT || now >= ORRI_TIME_LIMIT) return;
    bool known = delta > -ORRI_TIME_LIMIT / 2 && delta < ORRI_TIME_LIMIT / 2;
    forget(c);
    c->latest = now;
    c->synced = false;
    c->heat.begun = false;                                  /* what was learned stays, the reading doesn't */
    for (unsigned i = 0; i < c->n; i++) {
        struct orri_peer *p = &c->peers[i];
        if (p->bank.begun) {
            c->rate = p->bank.rate;
            c->rate_sd = orri_larger(p->bank.rate_sd, STEP_RATE_SD);
        }
        p->t1 = p->asked = INT64_MIN;
        p->history.n = p->history.next = 0;
        p->held = p->attempts = p->taken = 0;
        p->waiting = true;
        p->reach = 0;
        known &= !p->bank.begun || (p->origin > -ORRI_TIME_LIMIT / 2 && p->origin < ORRI_TIME_LIMIT / 2 &&
                                    p->bank.at > -ORRI_TIME_LIMIT / 2 && p->bank.at < ORRI_TIME_LIMIT / 2);
        if (known && p->bank.begun) {
            p->origin -= delta;
            orri_bank_shift(&p->bank, delta);
            if (p->pace) orri_pace_shift(p->pace, delta);
        } else {
            p->bank.begun = false;
            orri_path_begin(&p->path);
        }
    }
}

/* -- Exchanges ----------------------------------------------------------------------------------------------------- */
static bool in_range(orr_time t) { return t > -ORRI_TIME_LIMIT && t < ORRI_TIME_LIMIT; }

static enum orr_clock_verdict check(const struct orr_clock *c, orr_time now, const struct orri_peer *p,
                                    const struct orr_clock_exchange *x) {
    if (!in_range(x->t1) || !in_range(x->t2) || !in_range(x->t3) || !in_range(x->t4)) return ORR_CLOCK_BAD_RANGE;
    if (x->t2 == 0 || x->t3 == 0 || x->t3 < x->t2 || x->t4 <= x->t1) return ORR_CLOCK_BAD_RANGE;
    if (!in_range(x->t2 - x->t1) || !in_range(x->t3 - x->t4)) return ORR_CLOCK_BAD_RANGE;
    if (x->t4 > orri_add(now, ORR_SECOND)) return ORR_CLOCK_BAD_RANGE;
    orr_time out_and_back = orri_subtract(x->t4, x->t1), inside = orri_subtract(x->t3, x->t2);
    if (out_and_back > DELAY_MAX) return ORR_CLOCK_BAD_DELAY;
    if (inside - out_and_back > (orr_time)c->config.precision_ns + x->stamp_error_ns) return ORR_CLOCK_BAD_DELAY;
    if (x->leap == LEAP_UNSYNC || x->stratum == 0 || x->stratum > STRATUM_MAX) return ORR_CLOCK_BAD_SYNC;
    if (x->root_delay_ns / 2 + (orr_time)x->root_dispersion_ns > ROOT_MAX) return ORR_CLOCK_BAD_ROOT;
    if (x->stamp_error_ns > ROOT_MAX) return ORR_CLOCK_BAD_RANGE;
    if (x->t1 <= p->t1 || (p->bank.begun && x->t1 + (x->t4 - x->t1) / 2 <= p->bank.at)) return ORR_CLOCK_BAD_ORDER;
    return ORR_CLOCK_USED;
}

static struct orri_exchange convert(const struct orr_clock *c, const struct orri_peer *p,
                                    const struct orr_clock_exchange *x) {
    struct orri_exchange e = { .at = x->t1 + (x->t4 - x->t1) / 2 };
    e.stamp = orri_seconds((orr_time)c->config.precision_ns + x->stamp_error_ns);
    e.stamp += p->rate_max * orri_seconds(x->t4 - x->t1);       /* the peer's stamps are of some moment in between */
    e.high = orri_seconds(orri_subtract(x->t2 - x->t1, p->origin));
    e.low = orri_seconds(orri_subtract(x->t3 - x->t4, p->origin));
    e.offset = (e.high + e.low) / 2;
    e.delay = orri_larger(orri_seconds((x->t4 - x->t1) - (x->t3 - x->t2)), e.stamp);
    return e;
}

/* Could both be true at once? Of two peers, too: the clock they are read by is the same. */
static bool alike(const struct orri_peer *p, const struct orri_peer *q, const struct orri_exchange *x) {
    const struct orri_exchange *s = &q->suspect;
    double dt = orri_seconds(x->at - s->at), wide = fabs(dt) * ORRI_RATE_SD_START + x->stamp + s->stamp;
    double by = orri_seconds(orri_subtract(q->origin, p->origin)) + p->bank.rate * dt;
    return s->low + by - wide <= x->high && s->high + by + wide >= x->low;
}

/* It contradicts what is known. If most peers have been contradicted alike, they have not all gone wrong. */
static enum orr_clock_verdict hold_out(struct orr_clock *c, struct orri_peer *p, const struct orri_exchange *x,
                                       double root, bool *all) {
    unsigned voters = 0, held = 0;
    bool again = p->held > 0 && alike(p, p, x);
    p->suspect = *x;
    p->suspect_root = root;
    p->held++;
    for (unsigned i = 0; i < c->n; i++) {
        const struct orri_peer *q = &c->peers[i];
        if ((q->flags & ORR_CLOCK_NOSELECT) || !q->bank.begun) continue;
        voters++;
        held += q->held > 0 && alike(p, q, x);
    }
    *all = 2 * held > voters && !(p->flags & ORR_CLOCK_NOSELECT);
    if (*all && voters > 2) {
        for (unsigned i = 0; i < c->n; i++) {
            struct orri_peer *q = &c->peers[i];
            if (q != p && q->held > 0 && q->bank.begun && alike(p, q, x)) begin_anew(q);
        }
    } else if (!(again && p->held >= HELD_ALIKE) && p->held < HELD_AT_ALL) {
        orri_peer_intersect(p);
        return ORR_CLOCK_HELD_OUT;
    }
    begin_anew(p);
    return ORR_CLOCK_STEP;
}

static enum orr_clock_verdict take(struct orr_clock *c, struct orri_peer *p, const struct orr_clock_exchange *x,
                                   bool *all) {
    if (!p->bank.begun) p->origin = (x->t2 - x->t1) / 2 + (x->t3 - x->t4) / 2;
    struct orri_exchange e = convert(c, p, x);
    double root = orri_seconds(x->root_delay_ns) / 2 + orri_seconds(x->root_dispersion_ns);
    if (p->rate_max > 0) {      /* each exchange bears how wrong the peer was then, and not now */
        e.low -= root;
        e.high += root;
        root = 0;
    }
    struct orri_path path = p->path;
    struct orri_reading r = orri_path_read(&path, &e);
    if (!p->bank.begun) {
        begin(p, &e, c->rate, c->rate_sd);
    } else {
        double dt = orri_seconds(e.at - p->bank.at);
        orri_bank_predict(&p->bank, e.at);
        double error = e.offset - p->bank.offset;
        if (fabs(error) > e.delay / 2 + e.stamp + 6 * p->bank.sd + orri_max_drift(c) * dt) {
            return hold_out(c, p, &e, root, all);
        }
        orri_path_learn(&path, &r, error, p->bank.sd);
        orri_bank_update(&p->bank, &e, &r, &p->history);
        orri_history_add(&p->history, &e);
        orri_peer_intersect(p);
        if (p->pace) orri_pace_update(p, &e);
        else p->early = early(p);
        follow(p);
    }
    p->path = path;
    p->root = root;
    p->held = 0;
    p->heat = 0;
    if (p->taken < TAKEN_MOST && ++p->taken == TAKEN_MOST) {
        for (unsigned i = 0; i < c->n; i++) c->peers[i].waiting = false;
    }
    return ORR_CLOCK_USED;
}

static void unanswered(struct orri_peer *p) {
    p->reach = (uint8_t)(p->reach << 1);
    if (p->lost_in_row < UINT32_MAX) p->lost_in_row++;
    if (p->lost_in_row >= LOST_MOST) p->waiting = false;
}

static void asked(struct orri_peer *p, orr_time at) {
    if (at > p->asked) p->asked = at;
    if (p->attempts < UINT32_MAX) p->attempts++;
}

/* -- When to poll -------------------------------------------------------------------------------------------------- */
/* An interval of T lets the bound grow by the drift, and the offset's deviation by the wander. It is short enough while
 * the one stays below an eighth of the round trip (half of which the bound has anyway), and the other below the
 * jitter. */
static bool bears(const struct orr_clock *c, const struct orri_peer *p, int poll) {
    double t = pow(2, poll);
    return orri_larger(orri_max_drift(c), p->rate_max) * t <= p->path.delay / 8 &&
           orri_bank_carry(&p->bank, t) <= orri_square(p->path.excess + p->path.delay / 16);
}
static void adapt(const struct orr_clock *c, struct orri_peer *p) {
    if (p->held > 0) {
        p->calm = 0;
        p->poll = c->config.poll_min;
    } else if (!bears(c, p, p->poll)) {
        p->calm = 0;
        if (p->poll > c->config.poll_min) p->poll--;
    } else if (!bears(c, p, p->poll + 1)) {
        p->calm = 0;
    } else if (++p->calm >= CALM) {
        p->calm = 0;
        if (p->poll < c->config.poll_max) p->poll++;
    }
}

orr_time orr_clock_next(const struct orr_clock *c, orr_time local, uint32_t id) {
    const struct orri_peer *p = orri_clock_find(c, id);
    if (!p) return ORR_NEVER;
    if (p->asked == INT64_MIN) return local;
    uint64_t chance = orri_mix64(orri_mix64(c->config.seed, id), p->attempts);
    double jitter = ((double)(chance >> 11) / 4503599627370496.0 - 1) * 0.01;
    double interval = p->attempts < BURST && c->config.poll_min > 1 ? 2 : pow(2, p->poll);
    orr_time at = orri_add(p->asked, (orr_time)(interval * (1 + jitter) * 1e9));
    return at > local ? at : local;
}

/* -- Inputs -------------------------------------------------------------------------------------------------------- */
int orr_clock_sample(struct orr_clock *c, orr_time now, uint32_t id, const struct orr_clock_exchange *x) {
    struct orri_peer *p = orri_clock_find(c, id);
    bool all = false;
    if (!p) return ORR_EINVALID;
    enum orr_clock_verdict verdict = input(c, now) ? check(c, c->latest, p, x) : ORR_CLOCK_BAD_RANGE;
    if (verdict == ORR_CLOCK_USED) {
        verdict = take(c, p, x, &all);
        if (p->t1 != INT64_MIN) {
            double gap = orri_seconds(orri_subtract(x->t1, p->t1));
            p->spacing += (p->spacing > 0 ? 0.25 : 1) * (gap - p->spacing);
        }
        asked(p, x->t1);
        p->t1 = x->t1;
        p->stratum = x->stratum;
        p->reach = (uint8_t)(p->reach << 1 | 1);
        p->lost_in_row = 0;
        c->heard = true;
        adapt(c, p);
        changed(c, now, verdict == ORR_CLOCK_STEP && (all || c->n <= 2) && !(p->flags & ORR_CLOCK_NOSELECT));
    } else if (verdict == ORR_CLOCK_BAD_SYNC || verdict == ORR_CLOCK_BAD_ROOT) {
        asked(p, x->t1);
        unanswered(p);
        changed(c, now, false);
    }
    p->verdicts[verdict]++;
    return (int)verdict;
}

int orr_clock_lost(struct orr_clock *c, orr_time now, uint32_t id) {
    struct orri_peer *p = orri_clock_find(c, id);
    if (!p) return ORR_EINVALID;
    if (!input(c, now)) return 0;
    asked(p, now);
    unanswered(p);
    p->lost++;
    changed(c, now, false);
    return 0;
}

/* -- Temperature --------------------------------------------------------------------------------------------------- */
/* Heard for long and lately. */
static bool steady(const struct orri_peer *p, orr_time now) {
    if (p->history.n < ORRI_HISTORY / 2 || p->bank.rate_sd > STEP_RATE_SD) return false;
    return orri_seconds(now - p->bank.at) <= 4 * p->spacing + 1;
}

/* The frequency, by the one of the true peers that knows it best. */
static const double *rate_of_true(const struct orr_clock *c, orr_time now) {
    const struct orri_peer *best = NULL;
    for (unsigned i = 0; i < c->n; i++) {
        const struct orri_peer *p = &c->peers[i];
        if (!(c->good >> i & 1) || !steady(p, now)) continue;
        if (!best || p->bank.rate_sd < best->bank.rate_sd) best = p;
    }
    return best ? &best->bank.rate : NULL;
}

/* Where nobody has a vote, nobody's clock is reference, and each has a rate of its own. But what this oscillator does
 * shows in all of them alike: so each is held against a level of its own, which is such that the first rate it shows is
 * what the regression expects, and the (lower) median of what is left is this oscillator's doing. */
static const double *rate_of_observed(struct orr_clock *c, orr_time now) {
    double left[ORR_CLOCK_PEERS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < c->n; i++) {
        struct orri_peer *p = &c->peers[i];
        if (!steady(p, now)) continue;
        if (!p->levelled) p->level = p->bank.rate - orri_heat_expected(&c->heat);
        p->levelled = true;
        double x = p->bank.rate - p->level;
        unsigned at = n++;
        for (; at > 0 && left[at - 1] > x; at--) left[at] = left[at - 1];
        left[at] = x;
    }
    if (n == 0) return NULL;
    c->observed = left[(n - 1) / 2];
    return &c->observed;
}

static bool anybody_votes(const struct orr_clock *c) {
    unsigned i = 0;
    while (i < c->n && (c->peers[i].flags & ORR_CLOCK_NOSELECT)) i++;
    return i < c->n;
}

/* Bounds are carried by the new rate from now on only; where no rate carries them (rate_max), none moves them. */
static void heat_bounds(struct orri_peer *p, orr_time now, double change) {
    if (p->rate_max > 0) return;
    for (uint32_t j = 0; j < p->history.n; j++) {
        struct orri_bounds *h = &p->history.ring[j];
        h->low -= change * orri_seconds(now - h->at);
        h->high -= change * orri_seconds(now - h->at);
    }
    p->low -= change * orri_seconds(now - p->bank.at);
    p->high -= change * orri_seconds(now - p->bank.at);
}

void orr_clock_temperature(struct orr_clock *c, orr_time now, int32_t millicelsius) {
    if (!input(c, now)) return;
    const double *rate = anybody_votes(c) ? rate_of_true(c, now) : rate_of_observed(c, now);
    double change = orri_heat_read(&c->heat, now, millicelsius / 1000.0, rate);
    if (!(fabs(change) > 0)) return;
    for (unsigned i = 0; i < c->n; i++) {
        struct orri_peer *p = &c->peers[i];
        if (!p->bank.begun) continue;
        heat_bounds(p, now, change);
        orri_bank_heat(&p->bank, now, change);
        if (p->pace) orri_pace_heat(p->pace, now, change);
        p->heat += fabs(change);
    }
    changed(c, now, false);
}

/* -- Looking at peers ---------------------------------------------------------------------------------------------- */
bool orr_clock_peer_at(const struct orr_clock *c, unsigned place, uint32_t *id) {
    if (place >= c->n) return false;
    *id = c->peers[place].id;
    return true;
}

int orr_clock_peer_info(const struct orr_clock *c, orr_time local, uint32_t id, struct orr_clock_peer *out) {
    const struct orri_peer *p = orri_clock_find(c, id);
    if (!p) return ORR_EINVALID;
    unsigned place = (unsigned)(p - c->peers);
    *out = (struct orr_clock_peer){ .place = place, .flags = p->flags, .role = ORR_CLOCK_NEW, .reach = p->reach,
                                    .poll = p->poll, .lost = p->lost };
    memcpy(out->verdicts, p->verdicts, sizeof out->verdicts);
    if (!orri_peer_usable(p) || !in_range(local)) return 0;
    double dt = orri_seconds(orri_subtract(local, p->bank.at)), low, high;
    orri_peer_interval(p, local, orri_max_drift(c), &low, &high);
    out->offset = orri_offset_down(p->origin, p->bank.offset + orri_peer_lead(p) + p->bank.rate * dt);
    out->sd = orri_offset_up(0, sqrt(orri_bank_variance(&p->bank, fabs(dt))));
    out->earliest = orri_add(local, orri_offset_down(p->origin, low));
    out->latest = orri_add(local, orri_offset_up(p->origin, high));
    out->rate_ppt = (int32_t)lround(-1e12 * p->bank.rate);
    out->delay = orri_offset_up(0, p->path.delay);
    out->jitter = orri_offset_up(0, p->path.excess);
    out->out_percent = (int8_t)lround(50 + 100 * orri_within(orri_path_share(&p->path), 0.5));
    if (p->flags & ORR_CLOCK_NOSELECT) out->role = ORR_CLOCK_OBSERVED;
    else out->role = c->good >> place & 1 ? ORR_CLOCK_TRUE : ORR_CLOCK_FALSE;
    return 0;
}
