/* clock_select.c - of all peers' intervals the answer: what a majority holds possible, and who is true.
 *
 * With n peers of which fewer than half lie, the truth is in the intervals of at least n - f of them, f being (n-1)/2.
 * Points that so many cover may lie in several pieces: the promise is their hull. Where there are none, half or more
 * disagree, and nobody can say who lies.
 *
 * Until the first answer, peers that have not been heard yet count among the n: or the first to answer would be right
 * for being first.                                                                                                   */
#include <math.h>

#include "base/assert.h"
#include "clock/clock_inner.h"

#define LIMIT ORRI_TIME_LIMIT
#define SHARED 0.2                  /* of the peers' errors: one oscillator is under all of them */
enum { HOLDOVER_POLLS = 8, STRATUM_UNSYNC = 16 };

struct candidate {
    const struct orri_peer *peer;
    unsigned place;
    bool votes;
    orr_time low, high;             /* ns, offsets */
    double offset, variance;        /* against the common origin */
};
struct field {
    unsigned n, voters, needed;
    struct candidate list[ORR_CLOCK_PEERS_MAX];
};

orr_time orri_add(orr_time a, orr_time b) {
    orr_time sum;
    if (__builtin_add_overflow(a, b, &sum)) return b < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}
orr_time orri_subtract(orr_time a, orr_time b) {
    orr_time difference;
    if (__builtin_sub_overflow(a, b, &difference)) return b < 0 ? INT64_MAX : INT64_MIN;
    return difference;
}
static orr_time whole(double ns) {
    if (ns >= (double)LIMIT) return LIMIT;
    return ns <= -(double)LIMIT ? -LIMIT : (orr_time)ns;
}
orr_time orri_offset_down(orr_time origin, double offset) { return orri_add(origin, whole(floor(offset * 1e9))); }
orr_time orri_offset_up(orr_time origin, double offset) { return orri_add(origin, whole(ceil(offset * 1e9))); }

/* -- The promise --------------------------------------------------------------------------------------------------- */
static void gather(const struct orr_clock *c, orr_time local, struct field *f) {
    unsigned waiting = 0;
    bool trusted = false;
    f->n = f->voters = 0;
    for (unsigned i = 0; i < c->n; i++) trusted |= (c->peers[i].flags & ORR_CLOCK_TRUST) != 0;
    for (unsigned i = 0; i < c->n; i++) {
        const struct orri_peer *p = &c->peers[i];
        bool votes = !(p->flags & ORR_CLOCK_NOSELECT) && (!trusted || (p->flags & ORR_CLOCK_TRUST));
        if (!orri_peer_usable(p)) {
            waiting += votes && p->waiting && !c->synced;
            continue;
        }
        double low, high;
        orri_peer_interval(p, local, orri_max_drift(c), &low, &high);
        f->list[f->n++] = (struct candidate){ .peer = p, .place = i, .votes = votes,
                                              .low = orri_offset_down(p->origin, low),
                                              .high = orri_offset_up(p->origin, high) };
        f->voters += votes;
    }
    unsigned all = f->voters + waiting;
    f->needed = all ? all - (all - 1) / 2 : 1;
}

static unsigned cover(const struct field *f, orr_time at) {
    unsigned n = 0;
    for (unsigned i = 0; i < f->n; i++) n += f->list[i].votes && f->list[i].low <= at && at <= f->list[i].high;
    return n;
}

/* Where enough cover a point, the hull of such points begins at some lower end and ends at some upper end. */
static bool majority(const struct field *f, orr_time *low, orr_time *high) {
    bool found = false;
    for (unsigned i = 0; i < f->n; i++) {
        const struct candidate *k = &f->list[i];
        if (!k->votes) continue;
        if ((!found || k->low < *low) && cover(f, k->low) >= f->needed) {
            *low = k->low;
            if (!found) *high = k->low;
            found = true;
        }
        if ((!found || k->high > *high) && cover(f, k->high) >= f->needed) {
            *high = k->high;
            if (!found) *low = k->high;
            found = true;
        }
    }
    return found;
}

static bool hull(const struct field *f, orr_time *low, orr_time *high) {
    for (unsigned i = 0; i < f->n; i++) {
        if (i == 0 || f->list[i].low < *low) *low = f->list[i].low;
        if (i == 0 || f->list[i].high > *high) *high = f->list[i].high;
    }
    return f->n > 0;
}

/* -- Who is true, and the likely value ----------------------------------------------------------------------------- */
static double median(double *v, unsigned n) {
    for (unsigned i = 1; i < n; i++) {
        double x = v[i];
        unsigned j = i;
        for (; j > 0 && v[j - 1] > x; j--) v[j] = v[j - 1];
        v[j] = x;
    }
    return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void estimate(struct field *f, orr_time local, orr_time origin) {
    for (unsigned i = 0; i < f->n; i++) {
        struct candidate *k = &f->list[i];
        const struct orri_peer *p = k->peer;
        double dt = orri_seconds(local - p->bank.at);
        k->offset = p->bank.offset + orri_peer_lead(p) + p->bank.rate * dt;
        k->offset += orri_seconds(orri_subtract(p->origin, origin));
        k->variance = orri_bank_variance(&p->bank, fabs(dt)) + 1e-15;
    }
}

struct middle {
    double offset, rate, low, high;
    bool of_many;
};
static bool is_true(const struct candidate *k, const struct middle *m) {
    const struct orri_bank *b = &k->peer->bank;
    if (!k->votes) return false;
    if (!m->of_many) return true;                           /* one, or two that overlap */
    return k->offset >= m->low && k->offset <= m->high &&
           fabs(b->rate - m->rate) <= 6 * b->rate_sd + 5e-9 &&
           fabs(k->offset - m->offset) <= 6 * sqrt(k->variance) + k->peer->path.delay / 2;
}

/* The true peers, each by the inverse of its variance; offset and sd in seconds, against the origin. */
static double combine(const struct field *f, const struct middle *m, struct orr_clock_time *out, double *sd) {
    double w = 0, wo = 0, wr = 0, wrr = 0;
    unsigned n = 0;
    out->stratum = STRATUM_UNSYNC;
    for (unsigned i = 0; i < f->n; i++) {
        const struct candidate *k = &f->list[i];
        if (!is_true(k, m)) continue;
        /* One that comes apart counts for less long before it is far enough away to be left out. */
        double apart = m->of_many ? k->offset - m->offset : 0, weight = 1 / orri_larger(k->variance, apart * apart / 9);
        double rate_w = 1 / (orri_square(k->peer->bank.rate_sd) + 1e-20);
        n++;
        w += weight;
        wo += weight * k->offset;
        wr += rate_w;
        wrr += rate_w * k->peer->bank.rate;
        out->good |= (uint64_t)1 << k->place;
        if (k->peer->stratum + 1 < out->stratum) out->stratum = (uint8_t)(k->peer->stratum + 1);
    }
    out->rate_ppt = (int32_t)lround(-1e12 * (w > 0 ? wrr / wr : m->rate));
    *sd = w > 0 ? sqrt((1 + SHARED * (n - 1)) / w) : (m->high - m->low) / 2;
    return w > 0 ? wo / w : m->offset;
}

static bool heard_lately(const struct field *f, uint64_t good, orr_time local) {
    for (unsigned i = 0; i < f->n; i++) {
        const struct orri_peer *p = f->list[i].peer;
        if (!(good >> f->list[i].place & 1)) continue;
        if (orri_seconds(local - p->bank.at) <= HOLDOVER_POLLS * orri_larger(p->spacing, 1)) return true;
    }
    return false;
}

static void answer(struct field *f, orr_time local, orr_time low, orr_time high, struct orr_clock_time *out) {
    double offsets[ORR_CLOCK_PEERS_MAX], rates[ORR_CLOCK_PEERS_MAX], sd;
    unsigned n = 0;
    estimate(f, local, low);
    for (unsigned i = 0; i < f->n; i++) {
        if (f->voters > 0 && !f->list[i].votes) continue;
        offsets[n] = f->list[i].offset;
        rates[n++] = f->list[i].peer->bank.rate;
    }
    double width = orri_seconds(orri_subtract(high, low));
    struct middle m = { median(offsets, n), median(rates, n), 0, width, f->voters > 2 };
    double offset = combine(f, &m, out, &sd);
    offset = orri_smaller(orri_larger(offset, 0), m.high);
    out->offset = orri_add(low, whole(round(offset * 1e9)));
    out->offset = out->offset > high ? high : out->offset;
    out->likely = whole(ceil(5e9 * sd));
}

bool orr_clock_now(const struct orr_clock *c, orr_time local, struct orr_clock_time *out) {
    struct field f;
    orr_time low = 0, high = 0;
    *out = (struct orr_clock_time){ .epoch = c->epoch, .stratum = STRATUM_UNSYNC, .state = ORR_CLOCK_UNSYNC };
    if (local <= -LIMIT || local >= LIMIT || local < orri_add(c->latest, -ORR_SECOND)) return false;
    gather(c, local, &f);
    bool agreed = majority(&f, &low, &high);
    if (!agreed && !hull(&f, &low, &high)) return false;
    answer(&f, local, low, high, out);
    out->earliest = orri_add(local, low);
    out->latest = orri_add(local, high);
    if (!agreed) {
        out->good = 0;
        out->stratum = STRATUM_UNSYNC;
        return true;
    }
    out->state = heard_lately(&f, out->good, local) ? ORR_CLOCK_SYNC : ORR_CLOCK_HOLDOVER;
    if (out->earliest < c->floor) out->earliest = c->floor < out->latest ? c->floor : out->latest;
    orr_time least = orri_subtract(out->earliest, local);
    if (out->offset < least) out->offset = least;
    return true;
}

orr_time orr_clock_wait(const struct orr_clock *c, orr_time local, orr_time t) {
    struct orr_clock_time now;
    orr_time at = local;
    /* `earliest` runs a little slower than the local clock: what is missing shrinks fast, and a few rounds do. */
    for (unsigned rounds = 0; rounds < 64; rounds++) {
        if (t == ORR_NEVER || !orr_clock_now(c, at, &now) || now.state == ORR_CLOCK_UNSYNC) return ORR_NEVER;
        if (now.earliest > t) return at - local;
        orr_time missing = orri_subtract(t, now.earliest);
        at = orri_add(at, orri_add(missing, missing / 1000 + 1));
    }
    return ORR_NEVER;
}
