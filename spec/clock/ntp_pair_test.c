/* ntp_pair_test.c - clients against a server over a network that delays, loses, doubles and replays, with random bytes
 * between: each exchange that comes out is one that took place, stamp for stamp, and none comes out twice. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/ntp.h>

#include "base/rng.h"

enum { CLIENTS = 3, POLLS = 3000, FLYING = 256, REPLIES = 2 * CLIENTS * POLLS };

static const orr_time in_2026 = 1796000000 * ORR_SECOND, era1 = 2085978496 * ORR_SECOND;

/* What has really taken place. */
struct request {
    orr_time t1, t1_kernel;         /* by the client's clock */
    int reply;                      /* the first that came to it, or -1 */
    orr_time t4;
    bool told;
};
struct reply {
    int client, request;
    orr_time t2, t3, t3_real;       /* what was read, and when it left */
};
struct datagram {
    orr_time at;
    bool to_server;
    int client, request, reply;     /* -1: a forgery, or a copy of something older */
    size_t size;
    unsigned char bytes[128];
};
struct client {
    struct orr_ntp_client *c;
    orr_time offset, drift_ppm;     /* of its local clock */
    struct request requests[POLLS + 8];
    int n_requests, n_taken, n_interleaved;
    uint64_t stamp_late;            /* the cookie of a request whose kernel stamp is still to come, or 0 */
};
struct net {
    struct orr_rng rng;
    orr_time now, epoch;            /* true time; its 0 by the wall */
    struct orr_ntp_server *s;
    struct client clients[CLIENTS];
    struct reply replies[REPLIES];
    int n_replies;
    struct datagram flying[FLYING], older;
    size_t n_flying;
    bool quiet;                     /* nothing is lost */
};

static const struct orr_ntp_address server_address = { .ip = { [10] = 0xff, 0xff, 192, 0, 2, 1 }, .port = 123 };

static orr_time local_of(const struct client *c, orr_time at) { return at + at / 1000000 * c->drift_ppm + c->offset; }

static struct orr_ntp_server *server(const struct net *n, bool interleaved) {
    struct orr_ntp_server *s;
    struct orr_ntp_server_config config;
    orr_ntp_server_config_init(&config);
    config.interval = 0;
    config.interleaved = interleaved;
    config.seed = (uint64_t)n->now;
    assert_int_equal(orr_ntp_server_new(&s, &config), 0);
    return s;
}

static struct net *begin(uint64_t seed, bool ask_interleaved, bool serve_interleaved) {
    struct net *n = calloc(1, sizeof *n);
    assert_non_null(n);
    orri_rng_init(&n->rng, seed);
    n->epoch = seed % 2 ? in_2026 : era1 - 1000 * ORR_SECOND;               /* the era ends in the midst of it */
    n->s = server(n, serve_interleaved);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &n->clients[i];
        struct orr_ntp_client_config config;
        orr_ntp_client_config_init(&config);
        config.server = server_address;
        config.poll_min = config.poll_max = 0;
        config.interleaved = ask_interleaved;
        config.seed = seed * CLIENTS + (uint64_t)i;
        c->offset = orri_rng_between(&n->rng, -1000 * ORR_SECOND, 1000 * ORR_SECOND);
        c->drift_ppm = orri_rng_between(&n->rng, -50, 50);
        assert_int_equal(orr_ntp_client_new(&c->c, &config, local_of(c, 0)), 0);
    }
    return n;
}

static void end(struct net *n) {
    for (int i = 0; i < CLIENTS; i++) orr_ntp_client_free(n->clients[i].c);
    orr_ntp_server_free(n->s);
    free(n);
}

/* -- The network --------------------------------------------------------------------------------------------------- */
static void fly(struct net *n, struct datagram d) {
    assert_true(n->n_flying < FLYING);
    d.at = n->now + orri_rng_between(&n->rng, 50 * ORR_US, 30 * ORR_MS);
    if (!n->quiet && orri_rng_chance(&n->rng, 0.02)) d.at += orri_rng_between(&n->rng, 0, 5 * ORR_SECOND);
    n->flying[n->n_flying++] = d;
}

static void put(struct net *n, struct datagram d) {
    if (n->quiet || !orri_rng_chance(&n->rng, 0.1)) fly(n, d);
    if (n->quiet) return;
    if (orri_rng_chance(&n->rng, 0.1)) fly(n, d);                           /* twice */
    if (orri_rng_chance(&n->rng, 0.02)) {                                   /* again, later */
        if (n->older.size) fly(n, n->older);
        n->older = d;
    }
    if (orri_rng_chance(&n->rng, 0.1)) {                                    /* somebody's work */
        struct datagram forged = d;
        if (orri_rng_chance(&n->rng, 0.5)) forged.to_server = !forged.to_server;
        forged.reply = forged.request = -1;
        orri_rng_fill(&n->rng, forged.bytes + orri_rng_below(&n->rng, 56), 1 + orri_rng_below(&n->rng, 8));
        /* Who sees the cookies can do as he likes. This one doesn't: neither does he send them, nor get them back. */
        for (size_t i = 25; i < 48; i += 8) forged.bytes[i] = (unsigned char)(d.bytes[i] + 1);
        if (orri_rng_chance(&n->rng, 0.2)) forged.size = orri_rng_below(&n->rng, sizeof forged.bytes);
        fly(n, forged);
    }
}

static bool soonest(const struct net *n, size_t *found) {
    for (size_t i = 0; i < n->n_flying; i++) {
        if (i == 0 || n->flying[i].at < n->flying[*found].at) *found = i;
    }
    return n->n_flying > 0;
}

/* -- The two ends -------------------------------------------------------------------------------------------------- */
static void serve(struct net *n, const struct datagram *d) {
    struct orr_ntp_arrival a = { .at = d->bytes, .size = d->size, .local = n->now, .wall = n->epoch + n->now,
                                 .from = { .ip = { [10] = 0xff, 0xff, 10, 0, 0, (unsigned char)d->client } } };
    struct orr_ntp_server_clock clock = { .synchronised = true, .stratum = 2, .precision = -20,
                                          .half_width = 100 * ORR_US };
    struct datagram back = { .client = d->client, .request = d->request, .reply = n->n_replies,
                             .size = ORR_NTP_SIZE };
    orr_time t3 = a.wall + orri_rng_between(&n->rng, 5 * ORR_US, 2 * ORR_MS);
    orr_time t3_real = t3 + orri_rng_between(&n->rng, ORR_US, 200 * ORR_US);
    if (orr_ntp_server_recv(n->s, &a, &clock, t3, back.bytes) != ORR_NTP_TAKEN) return;
    assert_true(n->n_replies < REPLIES);
    n->replies[n->n_replies++] = (struct reply){ d->client, d->request, a.wall, t3, t3_real };
    if (n->quiet || !orri_rng_chance(&n->rng, 0.02)) orr_ntp_server_sent(n->s, back.bytes, t3_real);
    orr_time now = n->now;
    n->now = t3_real - n->epoch;
    put(n, back);
    n->now = now;
}

static void late_stamp(struct client *c) {
    if (c->stamp_late) orr_ntp_client_sent(c->c, c->stamp_late, c->requests[c->n_requests - 1].t1_kernel);
    c->stamp_late = 0;
}

static void ask(struct net *n, int i) {
    struct client *c = &n->clients[i];
    struct datagram d = { .to_server = true, .client = i, .request = c->n_requests, .reply = -1,
                          .size = ORR_NTP_SIZE };
    struct orr_ntp_cookies cookies = { orri_rng_next(&n->rng), orri_rng_next(&n->rng) };
    late_stamp(c);
    orr_time t1 = local_of(c, n->now), t1_kernel = t1 + orri_rng_between(&n->rng, 0, 20 * ORR_US);
    c->requests[c->n_requests++] = (struct request){ .t1 = t1, .t1_kernel = t1_kernel, .reply = -1 };
    assert_int_equal(orr_ntp_client_request(c->c, t1, &cookies, d.bytes), 0);
    switch (orri_rng_below(&n->rng, 3)) {
    case 0: orr_ntp_client_sent(c->c, cookies.transmit, t1_kernel); break;
    case 1: c->stamp_late = cookies.transmit; break;
    default:;
    }
    put(n, d);
}

/* Of all requests of this client, the one that the exchange is of; and each stamp is what it was. */
static void verify(struct net *n, struct client *c, const struct orr_ntp_exchange *x) {
    bool user = x->flags & ORR_NTP_USER_T1, interleaved = x->flags & ORR_NTP_INTERLEAVED;
    int of = c->n_requests - 1;
    while (of >= 0 && x->t1 != (user ? c->requests[of].t1 : c->requests[of].t1_kernel)) of--;
    assert_true(of >= 0);
    struct request *r = &c->requests[of];
    assert_false(r->told);
    r->told = true;
    assert_true(r->reply >= 0 && x->t4 == r->t4);
    const struct reply *reply = &n->replies[r->reply];
    assert_true(reply->request == of);
    assert_true(x->t2 == reply->t2);
    assert_true(x->t3 == (interleaved ? reply->t3_real : reply->t3));
    assert_int_equal(x->stratum, 2);
    c->n_taken++;
    c->n_interleaved += interleaved;
}

static void hear(struct net *n, const struct datagram *d) {
    struct client *c = &n->clients[d->client];
    struct orr_ntp_arrival a = { .at = d->bytes, .size = d->size, .from = server_address,
                                 .local = local_of(c, n->now), .wall = n->epoch + n->now - 300 * ORR_SECOND };
    struct orr_ntp_exchange x = { 0 };
    a.by_kernel = d->at % 2;
    if (orri_rng_chance(&n->rng, 0.01)) a.from.port++;
    enum orr_ntp_verdict verdict = orr_ntp_client_recv(c->c, &a, &x);
    if (verdict == ORR_NTP_TAKEN || verdict == ORR_NTP_KEPT) {
        assert_true(d->reply >= 0 && d->request == c->n_requests - 1);      /* not another's, not an older one */
        struct request *r = &c->requests[d->request];
        assert_int_equal(r->reply, -1);                                     /* the first of them */
        r->reply = d->reply;
        r->t4 = a.local;
    }
    if (verdict == ORR_NTP_TAKEN) verify(n, c, &x);
}

/* -- Runs ---------------------------------------------------------------------------------------------------------- */
/* Whose turn it is, by the true time. */
static bool step(struct net *n) {
    size_t at = 0;
    int next = -1;
    orr_time when = ORR_NEVER;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &n->clients[i];
        orr_time due = orr_ntp_client_deadline(c->c) - c->offset;
        due -= due / 1000000 * c->drift_ppm;                                /* nearly */
        if (c->n_requests < POLLS && due < when) when = due, next = i;
    }
    bool delivers = soonest(n, &at) && n->flying[at].at <= when;
    if (!delivers && next < 0) return false;
    if (!delivers) {
        if (when > n->now) n->now = when;
        ask(n, next);
        return true;
    }
    struct datagram d = n->flying[at];
    n->flying[at] = n->flying[--n->n_flying];
    n->now = d.at > n->now ? d.at : n->now;
    if (d.to_server) serve(n, &d);
    else hear(n, &d);
    if (orri_rng_chance(&n->rng, 0.5)) late_stamp(&n->clients[d.client]);
    return true;
}

static void run(struct net *n) { while (step(n)) continue; }

static void basic_exchanges_are_those_that_took_place(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct net *n = begin(seed, false, seed % 4 < 2);
        run(n);
        for (int i = 0; i < CLIENTS; i++) {
            struct orr_ntp_client_status status;
            orr_ntp_client_status(n->clients[i].c, &status);
            assert_int_equal(status.requests, POLLS);
            assert_in_range(n->clients[i].n_taken, POLLS / 2, POLLS - POLLS / 20);
            assert_int_equal(n->clients[i].n_interleaved, 0);
            assert_true(status.verdicts[ORR_NTP_COOKIE] > 20 && status.verdicts[ORR_NTP_NOT_ASKED] > 20);
            assert_true(status.verdicts[ORR_NTP_ADDRESS] > 5 && status.verdicts[ORR_NTP_KEPT] == 0);
        }
        end(n);
    }
}

static void interleaved_exchanges_have_the_time_at_which_the_reply_left(void **state) {
    (void)state;
    for (uint64_t seed = 101; seed <= 120; seed++) {
        struct net *n = begin(seed, true, true);
        run(n);
        for (int i = 0; i < CLIENTS; i++) {
            assert_in_range(n->clients[i].n_taken, POLLS / 2, POLLS - POLLS / 20);
            assert_in_range(n->clients[i].n_interleaved, n->clients[i].n_taken * 9 / 10, n->clients[i].n_taken);
        }
        end(n);
    }
}

static void where_nothing_is_lost_every_exchange_comes_out_interleaved_but_the_first(void **state) {
    (void)state;
    struct net *n = begin(21, true, true);
    n->quiet = true;
    run(n);
    for (int i = 0; i < CLIENTS; i++) {
        const struct client *c = &n->clients[i];
        int bad_port = 0;
        for (int k = 0; k < c->n_requests; k++) bad_port += c->requests[k].reply < 0;
        assert_int_equal(c->n_taken, POLLS - bad_port - 1);                 /* the last one's t3 is still to come */
        assert_int_equal(c->n_interleaved, c->n_taken - 1);
    }
    end(n);
}

static void a_server_that_speaks_basic_mode_only_is_asked_in_it(void **state) {
    (void)state;
    struct net *n = begin(31, true, false);
    n->quiet = true;
    int asked = 0, polls = 0;
    while (step(n)) {
        struct orr_ntp_client_status status;
        orr_ntp_client_status(n->clients[0].c, &status);
        if ((int)status.requests == polls) continue;
        polls = (int)status.requests;
        asked += status.interleaved;
    }
    const struct client *c = &n->clients[0];
    assert_int_equal(c->n_interleaved, 0);
    assert_in_range(c->n_taken, POLLS * 98 / 100, POLLS);
    assert_in_range(asked, POLLS / 8, POLLS / 3);           /* four in twenty */
    end(n);
}

/* It has forgotten everything, or is away for a while: a few basic exchanges, and on as before. */
static void a_server_that_starts_again_costs_a_few_exchanges(void **state) {
    (void)state;
    struct net *n = begin(41, true, true);
    n->quiet = true;
    for (int life = 0; life < 20; life++) {
        for (int i = 0; i < 400; i++) assert_true(step(n));
        orr_ntp_server_free(n->s);
        n->s = server(n, true);
        if (life % 2 == 0) continue;
        orr_time back = n->now + 7 * ORR_SECOND;
        while (n->now < back) {                             /* nobody answers */
            n->n_flying = 0;
            assert_true(step(n));
        }
    }
    run(n);
    for (int i = 0; i < CLIENTS; i++) {
        const struct client *c = &n->clients[i];
        assert_in_range(c->n_taken, POLLS - 20 - 10 * 9 - POLLS / 50, POLLS - 10 * 5);
        assert_in_range(c->n_taken - c->n_interleaved, 10, 60);
    }
    end(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(basic_exchanges_are_those_that_took_place),
        cmocka_unit_test(interleaved_exchanges_have_the_time_at_which_the_reply_left),
        cmocka_unit_test(where_nothing_is_lost_every_exchange_comes_out_interleaved_but_the_first),
        cmocka_unit_test(a_server_that_speaks_basic_mode_only_is_asked_in_it),
        cmocka_unit_test(a_server_that_starts_again_costs_a_few_exchanges),
    };
    return cmocka_run_group_tests_name("clock.ntp_pair", tests, NULL, NULL);
}
