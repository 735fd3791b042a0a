/* ntp_client.c - an association with one server: requests, what is believed of replies, when to ask again.
 *
 * A request says nothing of us: version, mode, poll and a random transmit stamp (the cookie). t1 stays here. A reply is
 * looked at in a fixed order, so that each refusal has one name: its form, whom it is from, whether it was asked for,
 * and only then, the request being over, what it says.
 *
 * Interleaved mode. Request k bears the server's receive stamp of the last good reply (origin) and a second cookie
 * (receive). A server that knows that stamp answers with the second cookie, its t2 of request k, and the t3 that the
 * reply to the earlier request really had. So of each good reply t1, t2 and t4 are kept, as `last`, until its t3 comes:
 *
 *     request k-1 ->  (t1, t2 of k-1)     <- reply: t2 of k-1, real t3 of k-2         exchange k-2 comes out
 *     request k   ->  origin: t2 of k-1   <- reply: t2 of k,   real t3 of k-1         exchange k-1 comes out
 *
 * A lost reply loses nothing but time: the next request names the same t2, and the same t3 comes. The RFC has the
 * client's own receive stamp where the second cookie is; the server only copies it, and random bits can't be guessed.
 * A server that answers in basic mode, or not at all, four times in a row has lost the stamp or never kept it: the next
 * request is a basic one. If it answered each time it may not speak the other mode, which is not tried again before
 * ENOUGH more replies have come. */
#include <orrery/ntp.h>

#include <errno.h>
#include <string.h>

#include "base/rng.h"

enum {
    BURST = 4,                      /* requests */
    MISSES_MAX = 4,
    ENOUGH = 16,
    RATE_STEP = 2, RATE_EVERY = 4   /* asked to ask less: poll goes up by so much, at most every so many polls */
};
static const orr_time burst_interval = 2 * ORR_SECOND;
static const orr_time hold_max = 4 * ORR_SECOND;            /* t3 - t2 */
static const orr_time root_distance_hard = 16 * ORR_SECOND;
static const orr_time user_stamp_error = 10 * ORR_US;
static const orr_time range = (orr_time)1 << 62;

/* A request, and what was stamped of its reply. */
struct turn {
    struct orr_ntp_cookies cookies;
    orr_time t1, t4;
    orr_ntp_stamp t2;               /* 0: no reply */
    uint8_t flags;
};
struct orr_ntp_client {
    struct orr_ntp_client_config config;
    struct orr_alloc alloc;
    struct orr_rng rng;

    struct turn now;                /* the last request */
    bool waiting;                   /* for its reply */
    struct turn last;               /* interleaved: the last good reply; t2 0: none */
    bool told;                      /* its exchange has come out already */
    bool asked;                     /* the last request was for an interleaved reply, and that hasn't come */
    unsigned misses, declined;      /* in a row: interleaved replies that didn't come; of them, those that a basic one
                                     * came for */
    unsigned pause;                 /* good basic replies until it is tried again */

    int poll, poll_least;           /* the latter: a server that was asked too often raises it */
    unsigned burst;                 /* requests of it to come */
    bool raised;
    uint64_t raised_at;             /* the number of requests then */
    bool stopped;
    orr_time sent_at, next;
    uint8_t reach;
    uint64_t requests;
    uint64_t verdicts[ORR_NTP_VERDICT_COUNT];
};

/* -- Life ---------------------------------------------------------------------------------------------------------- */
void orr_ntp_client_config_init(struct orr_ntp_client_config *config) {
    *config = (struct orr_ntp_client_config){ .size = sizeof *config, .poll_min = 6, .poll_max = 10, .burst = true,
                                              .precision_ns = 1000, .root_distance_max = ORR_SECOND };
}

int orr_ntp_client_config_check(const struct orr_ntp_client_config *config, const char **field) {
    const char *wrong = NULL;
    if (config->size != sizeof *config) wrong = "size";
    else if (config->poll_min < ORR_NTP_POLL_MIN || config->poll_min > ORR_NTP_POLL_MAX) wrong = "poll_min";
    else if (config->poll_max < config->poll_min || config->poll_max > ORR_NTP_POLL_MAX) wrong = "poll_max";
    else if (config->root_distance_max <= 0 || config->root_distance_max > root_distance_hard)
        wrong = "root_distance_max";
    if (wrong && field) *field = wrong;
    return wrong ? ORR_EINVALID : 0;
}

int orr_ntp_client_new(struct orr_ntp_client **out, const struct orr_ntp_client_config *config, orr_time now) {
    if (orr_ntp_client_config_check(config, NULL) < 0) return ORR_EINVALID;
    const struct orr_alloc *alloc = config->alloc ? config->alloc : &orr_alloc_libc;
    struct orr_ntp_client *c = alloc->fn(alloc->ud, NULL, 0, sizeof *c);
    if (!c) return -ENOMEM;
    *c = (struct orr_ntp_client){ .config = *config, .alloc = *alloc, .poll = config->poll_min,
                                  .poll_least = config->poll_min, .burst = config->burst ? BURST : 0,
                                  .sent_at = now, .next = now };
    orri_rng_init(&c->rng, config->seed);
    *out = c;
    return 0;
}

void orr_ntp_client_free(struct orr_ntp_client *c) {
    if (c) (void)c->alloc.fn(c->alloc.ud, c, sizeof *c, 0);
}

/* -- When to ask --------------------------------------------------------------------------------------------------- */
static int within(int poll, int least, int most) { return poll > most ? most : poll < least ? least : poll; }

/* The next request, from the last one on: 1 % early or late, so that clients which began together don't stay so. */
static void plan(struct orr_ntp_client *c) {
    orr_time interval = orr_ntp_power(c->poll);
    if (c->burst > 0 && interval > burst_interval) interval = burst_interval;
    interval += orri_rng_between(&c->rng, -(interval / 100), interval / 100);
    if (__builtin_add_overflow(c->sent_at, interval, &c->next)) c->next = ORR_NEVER - 1;
}

orr_time orr_ntp_client_deadline(const struct orr_ntp_client *c) { return c->stopped ? ORR_NEVER : c->next; }

/* A server's wish is above poll_max, if it must be. */
void orr_ntp_client_set_poll(struct orr_ntp_client *c, int poll) {
    poll = within(poll, c->config.poll_min, c->config.poll_max);
    poll = within(poll, c->poll_least, ORR_NTP_POLL_MAX);
    if (poll == c->poll) return;
    c->poll = poll;
    if (c->requests > 0 && c->burst == 0) plan(c);
}

static void ask_less(struct orr_ntp_client *c) {
    if (c->raised && c->requests - c->raised_at < RATE_EVERY) return;
    c->raised = true;
    c->raised_at = c->requests;
    c->burst = 0;
    c->poll = c->poll_least = within(c->poll + RATE_STEP, ORR_NTP_POLL_MIN, ORR_NTP_POLL_MAX);
    plan(c);
}

/* -- Requests ------------------------------------------------------------------------------------------------------ */
/* None is 0, and they differ: a server tells the modes apart by that. */
static struct orr_ntp_cookies distinct(const struct orr_ntp_cookies *given) {
    struct orr_ntp_cookies cookies = *given;
    if (cookies.transmit == 0) cookies.transmit = 1;
    if (cookies.receive == 0 || cookies.receive == cookies.transmit) cookies.receive = ~cookies.transmit;
    if (cookies.receive == 0) cookies.receive = 1;
    return cookies;
}

static void miss(struct orr_ntp_client *c, bool declined) {
    if (!c->asked) return;
    c->asked = false;
    if (declined) c->declined++;
    if (++c->misses < MISSES_MAX) return;
    if (c->declined == c->misses) c->pause = ENOUGH;
    c->misses = c->declined = 0;
    c->last.t2 = 0;
}

static bool wants_interleaved(const struct orr_ntp_client *c) {
    return c->config.interleaved && c->pause == 0 && c->last.t2 != 0;
}

int orr_ntp_client_request(struct orr_ntp_client *c, orr_time now, const struct orr_ntp_cookies *cookies,
                           unsigned char out[ORR_NTP_SIZE]) {
    if (c->stopped) return ORR_EDENIED;
    miss(c, false);
    c->now = (struct turn){ .cookies = distinct(cookies), .t1 = now, .flags = ORR_NTP_USER_T1 };
    struct orr_ntp_packet p = { .version = 4, .mode = ORR_NTP_CLIENT, .poll = (int8_t)c->poll,
                                .transmit = c->now.cookies.transmit };
    if (wants_interleaved(c)) {
        p.origin = c->last.t2;
        p.receive = c->now.cookies.receive;
        c->asked = true;
    }
    orr_ntp_encode(&p, out);
    c->waiting = true;
    c->requests++;
    c->reach = (uint8_t)(c->reach << 1);
    c->sent_at = now;
    if (c->burst > 0) c->burst--;
    plan(c);
    return 0;
}

static void stamp(struct turn *turn, uint64_t transmit, orr_time t1) {
    if (turn->cookies.transmit != transmit) return;
    turn->t1 = t1;
    turn->flags &= (uint8_t)~ORR_NTP_USER_T1;
}

void orr_ntp_client_sent(struct orr_ntp_client *c, uint64_t transmit, orr_time t1) {
    if (transmit == 0) transmit = 1;        /* as distinct() made of it */
    stamp(&c->now, transmit, t1);
    stamp(&c->last, transmit, t1);
}

/* -- Replies: what they are ---------------------------------------------------------------------------------------- */
static bool same_address(const struct orr_ntp_address *a, const struct orr_ntp_address *b) {
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0 && a->zone == b->zone && a->port == b->port;
}

static bool brings_cookie(const struct orr_ntp_client *c, const struct orr_ntp_packet *p) {
    return p->origin == c->now.cookies.transmit || (c->asked && p->origin == c->now.cookies.receive);
}

/* TAKEN: it is the reply to the last request. */
static enum orr_ntp_verdict look(const struct orr_ntp_client *c, const struct orr_ntp_arrival *a,
                                 struct orr_ntp_packet *p) {
    enum orr_ntp_verdict form = orr_ntp_decode(a->at, a->size, p);
    if (form != ORR_NTP_TAKEN) return form;
    if (!same_address(&a->from, &c->config.server)) return ORR_NTP_ADDRESS;
    if (p->mode != ORR_NTP_SERVER) return ORR_NTP_MODE;
    if (p->version < 3 || p->version > 4) return ORR_NTP_VERSION;
    if (!c->waiting) return ORR_NTP_NOT_ASKED;
    return brings_cookie(c, p) ? ORR_NTP_TAKEN : ORR_NTP_COOKIE;
}

static uint32_t letters(const char word[5]) {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v = v << 8 | (unsigned char)word[i];
    return v;
}

/* TAKEN: it is none. */
static enum orr_ntp_verdict kiss(const struct orr_ntp_packet *p) {
    if (p->stratum != 0) return ORR_NTP_TAKEN;
    if (p->refid == letters("RATE")) return ORR_NTP_RATE;
    if (p->refid == letters("DENY") || p->refid == letters("RSTR")) return ORR_NTP_DENY;
    for (int shift = 0; shift < 32; shift += 8) {
        unsigned letter = p->refid >> shift & 255;
        if (letter < ' ' || letter > '~') return ORR_NTP_TAKEN;
    }
    return ORR_NTP_KISS;
}

static bool is_us(const struct orr_ntp_client *c, const struct orr_ntp_packet *p) {
    if (p->stratum < 2 || p->refid == 0) return false;      /* of stratum 1 it is letters: where the time comes from */
    for (int i = 0; i < ORR_NTP_REFIDS; i++) {
        if (c->config.refids[i] == p->refid) return true;
    }
    return false;
}

/* -- Replies: what they say ---------------------------------------------------------------------------------------- */
/* Seen from `t2`, so that an era which ends between the two is none. */
static enum orr_ntp_verdict judge_stamps(orr_ntp_stamp t2, orr_ntp_stamp t3) {
    if (t2 == 0 || t3 == 0) return ORR_NTP_ZERO;
    if ((int64_t)(t3 - t2) < 0) return ORR_NTP_ORDER;
    if (t3 - t2 > (uint64_t)(hold_max / ORR_SECOND) << 32) return ORR_NTP_SLOW;
    return ORR_NTP_TAKEN;
}

static bool apart(orr_time a, orr_time b) {
    orr_time d;
    return __builtin_sub_overflow(a, b, &d) || d > range || d < -range;
}

/* The round trip is no less than nothing: but for both precisions, and a clock of ours that is 1 ppm fast. */
static enum orr_ntp_verdict judge_delay(const struct orr_ntp_client *c, const struct orr_ntp_exchange *x) {
    if (x->t4 <= x->t1) return ORR_NTP_BACK;
    if (apart(x->t4, x->t1) || apart(x->t2, x->t1) || apart(x->t3, x->t4)) return ORR_NTP_RANGE;
    orr_time out = x->t4 - x->t1, delay = out - (x->t3 - x->t2);
    orr_time slack = (orr_time)c->config.precision_ns + x->stamp_error_ns + out / 1000000;
    return delay < -slack ? ORR_NTP_DELAY : ORR_NTP_TAKEN;
}

static uint32_t saturated(orr_time span) { return span > UINT32_MAX ? UINT32_MAX : (uint32_t)span; }

/* The exchange of `turn`, whose reply left at `t3`; what the server says of its clock is of now. */
static struct orr_ntp_exchange exchange(const struct turn *turn, orr_ntp_stamp t3, orr_time wall,
                                        const struct orr_ntp_packet *p) {
    orr_time error = orr_ntp_power(p->precision), t2 = orr_ntp_time(turn->t2, wall);
    if (turn->flags & ORR_NTP_USER_T1) error += user_stamp_error;
    if (turn->flags & ORR_NTP_USER_T4) error += user_stamp_error;
    return (struct orr_ntp_exchange){ .t1 = turn->t1, .t4 = turn->t4, .t2 = t2, .t3 = orr_ntp_time(t3, t2),
                                      .root_delay_ns = saturated(orr_ntp_span(p->root_delay)),
                                      .root_dispersion_ns = saturated(orr_ntp_span(p->root_dispersion)),
                                      .stamp_error_ns = saturated(error), .stratum = p->stratum, .leap = p->leap,
                                      .precision = p->precision, .flags = turn->flags, .refid = p->refid };
}

static enum orr_ntp_verdict judge_server(const struct orr_ntp_packet *p) {
    if (p->leap == ORR_NTP_UNSYNC) return ORR_NTP_LEAP;
    if (p->stratum < 1 || p->stratum > 15) return ORR_NTP_STRATUM;
    return ORR_NTP_TAKEN;
}

static enum orr_ntp_verdict judge_root(const struct orr_ntp_client *c, const struct orr_ntp_packet *p) {
    orr_time distance = orr_ntp_span(p->root_delay) / 2 + orr_ntp_span(p->root_dispersion);
    if (distance >= c->config.root_distance_max) return ORR_NTP_ROOT;
    return is_us(c, p) ? ORR_NTP_LOOP : ORR_NTP_TAKEN;
}

/* TAKEN: *x is the exchange of `turn`. */
static enum orr_ntp_verdict judge(const struct orr_ntp_client *c, const struct turn *turn, orr_time wall,
                                  const struct orr_ntp_packet *p, struct orr_ntp_exchange *x) {
    enum orr_ntp_verdict verdict = judge_server(p);
    if (verdict == ORR_NTP_TAKEN) verdict = judge_stamps(turn->t2, p->transmit);
    if (verdict == ORR_NTP_TAKEN && p->receive == 0) verdict = ORR_NTP_ZERO;
    if (verdict == ORR_NTP_TAKEN && p->precision > 0) verdict = ORR_NTP_PRECISION;
    if (verdict != ORR_NTP_TAKEN) return verdict;
    *x = exchange(turn, p->transmit, wall, p);
    verdict = judge_delay(c, x);
    return verdict == ORR_NTP_TAKEN ? judge_root(c, p) : verdict;
}

/* The basic reply: its own exchange. */
static enum orr_ntp_verdict take_basic(struct orr_ntp_client *c, const struct orr_ntp_arrival *a,
                                       const struct orr_ntp_packet *p, struct orr_ntp_exchange *x) {
    miss(c, true);
    enum orr_ntp_verdict verdict = judge(c, &c->now, a->wall, p, x);
    if (verdict != ORR_NTP_TAKEN) return verdict;
    if (c->pause > 0) c->pause--;
    c->last = c->now;
    c->told = true;
    return ORR_NTP_TAKEN;
}

/* The interleaved one: that of the reply before, unless it was told (as a basic one) already. */
static enum orr_ntp_verdict take_interleaved(struct orr_ntp_client *c, const struct orr_ntp_arrival *a,
                                             const struct orr_ntp_packet *p, struct orr_ntp_exchange *x) {
    c->asked = false;
    c->misses = c->declined = 0;
    enum orr_ntp_verdict verdict = judge(c, &c->last, a->wall, p, x);
    x->flags |= ORR_NTP_INTERLEAVED;
    if (verdict == ORR_NTP_TAKEN && c->told) verdict = ORR_NTP_KEPT;
    if (verdict == ORR_NTP_TAKEN || verdict == ORR_NTP_KEPT) {
        c->last = c->now;
        c->told = false;
    }
    return verdict;
}

static enum orr_ntp_verdict take(struct orr_ntp_client *c, const struct orr_ntp_arrival *a,
                                 const struct orr_ntp_packet *p, struct orr_ntp_exchange *x) {
    enum orr_ntp_verdict verdict = kiss(p);
    c->waiting = false;
    if (verdict != ORR_NTP_TAKEN) {
        if (verdict == ORR_NTP_RATE) ask_less(c);
        if (verdict == ORR_NTP_DENY) c->stopped = true;
        return verdict;
    }
    c->now.t2 = p->receive;
    c->now.t4 = a->local;
    if (!a->by_kernel) c->now.flags |= ORR_NTP_USER_T4;
    if (c->asked && p->origin == c->now.cookies.receive) return take_interleaved(c, a, p, x);
    return take_basic(c, a, p, x);
}

enum orr_ntp_verdict orr_ntp_client_recv(struct orr_ntp_client *c, const struct orr_ntp_arrival *a,
                                         struct orr_ntp_exchange *x) {
    struct orr_ntp_packet p;
    struct orr_ntp_exchange found = { 0 };
    enum orr_ntp_verdict verdict = look(c, a, &p);
    if (verdict == ORR_NTP_TAKEN) verdict = take(c, a, &p, &found);
    c->verdicts[verdict]++;
    if (verdict == ORR_NTP_TAKEN) *x = found;
    if (verdict == ORR_NTP_TAKEN || verdict == ORR_NTP_KEPT) c->reach |= 1;
    return verdict;
}

void orr_ntp_client_status(const struct orr_ntp_client *c, struct orr_ntp_client_status *out) {
    *out = (struct orr_ntp_client_status){ .requests = c->requests, .reach = c->reach, .poll = (int8_t)c->poll,
                                           .waiting = c->waiting, .stopped = c->stopped,
                                           .interleaved = wants_interleaved(c) };
    memcpy(out->verdicts, c->verdicts, sizeof out->verdicts);
}
