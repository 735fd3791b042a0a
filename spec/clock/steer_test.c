/* steer_test.c - a simulated clock is steered: its oscillator is off and wanders, what is known of it is noisy and
 * late. It comes near the time and stays there, and is set once at most.                                             */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include <orrery/steer.h>

#include "base/rng.h"

enum { EVERY_S = 16 };

struct clock {                      /* its time minus the true one, in seconds, */
    double off, ppm;                /* and its oscillator */
    double given_ppm;
    double wander;                  /* ppm per update, at most */
    double noise;                   /* of what is known, seconds at most */
    double known;                   /* the offset as it was known an update ago */
    bool late;
    orr_time now;
    unsigned steps, updates, turns; /* turns: of the offset's sign, since it follows */
    double last;
    struct orr_rng rng;
    struct orr_steer steer;
};

static double any(struct clock *c) { return (double)orri_rng_between(&c->rng, -1000000, 1000000) / 1e6; }

static void update(struct clock *c) {
    struct orr_steer_command command;
    double known = -c->off + c->noise * any(c), told = c->late ? c->known : known;
    if (c->updates == 0) told = known;
    c->known = known;
    orr_steer_update(&c->steer, c->now, (orr_time)llround(told * 1e9), ORR_MS, &command);
    assert_true(command.rate_ppb <= 500000 && command.rate_ppb >= -500000);
    if (command.step != 0) {
        assert_int_equal(c->updates, 0);            /* never again */
        c->steps++;
        c->off += (double)command.step / 1e9;
        c->known -= (double)command.step / 1e9;
    }
    c->updates++;
    c->given_ppm = command.rate_ppb / 1e3;
    c->ppm += c->wander * any(c);
    c->off += EVERY_S * (c->ppm + c->given_ppm) / 1e6;
    c->now += EVERY_S * ORR_SECOND;
    if (fabs(c->off) < 1e-7) return;
    if (c->steer.state == ORR_STEER_FOLLOWS && c->last * c->off < 0) c->turns++;
    c->last = c->off;
}
static struct clock clock_new(double off, double ppm, uint64_t seed) {
    struct clock c = { .off = off, .ppm = ppm, .now = (orr_time)seed * ORR_SECOND };
    orri_rng_init(&c.rng, seed);
    assert_int_equal(orr_steer_init(&c.steer, NULL, 0), 0);
    return c;
}
/* The most that it is off over so many hours. */
static double worst(struct clock *c, double hours) {
    double most = 0;
    for (double until = (double)c->now / 1e9 + 3600 * hours; (double)c->now / 1e9 < until;) {
        update(c);
        if (fabs(c->off) > most) most = fabs(c->off);
    }
    return most;
}

static void whatever_it_begins_with_it_comes_near_and_stays(void **state) {
    static const double offs[] = { 0, 1e-4, -4e-3, 6e-3, -0.3, 3, -86400 }, ppms[] = { 0, 1, -20, 80, -150, 240 };
    (void)state;
    for (size_t i = 0; i < sizeof offs / sizeof *offs; i++) {
        for (size_t k = 0; k < sizeof ppms / sizeof *ppms; k++) {
            struct clock c = clock_new(offs[i], ppms[k], 1 + i);
            double first = worst(&c, 1);
            assert_int_equal(c.steps, fabs(offs[i]) > 5e-3);
            assert_true(c.steps || first < fabs(offs[i]) + 80 * fabs(ppms[k]) * 1e-6 + 1e-6);
            assert_int_equal(c.turns, 0);           /* it doesn't swing, nor go beyond */
            assert_true(worst(&c, 1) < 1e-6);
            assert_true(fabs(c.given_ppm + c.ppm) < 0.01);
        }
    }
}

static void noise_and_delay_and_a_wandering_oscillator_do_not_make_it_swing(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct clock c = clock_new(any(&(struct clock){ .rng.s = { seed, 2, 3, 4 } }), 60 - (double)seed * 3, seed);
        c.noise = 200e-6;
        c.wander = 0.01;
        c.late = seed % 2;
        worst(&c, 2);
        double most = worst(&c, 12);
        assert_true(most < 300e-6);                 /* 200 us is what is known */
    }
}

/* Somebody sets the clock under us: it is slewed back, at the limit, and comes to rest without going beyond. */
static void what_is_far_off_later_is_slewed_never_stepped(void **state) {
    (void)state;
    struct clock c = clock_new(0.2, 30, 5);
    worst(&c, 2);
    assert_int_equal(c.steps, 1);
    for (int way = -1; way <= 1; way += 2) {
        c.off += way * 0.5;
        double before = fabs(c.off), least = 1;
        for (int i = 0; i < 3 * 225; i++) {
            update(&c);
            assert_true(fabs(c.given_ppm + c.ppm) < 251);
            assert_true(way * c.off < before + 1e-9);
            if (way * c.off < least) least = way * c.off;
        }
        assert_true(fabs(c.off) < 1e-5);
        assert_true(least > -0.01);
    }
    assert_int_equal(c.steps, 1);
}

static void what_may_be_right_is_not_stepped(void **state) {
    struct orr_steer_command c;
    struct orr_steer s;
    (void)state;
    assert_int_equal(orr_steer_init(&s, NULL, 1234), 0);
    orr_steer_update(&s, ORR_SECOND, 40 * ORR_MS, 50 * ORR_MS, &c);
    assert_int_equal(c.step, 0);
    assert_int_equal(c.rate_ppb, 1234);             /* what it was given before stands at first */
    orr_steer_init(&s, NULL, 0);
    orr_steer_update(&s, ORR_SECOND, INT64_MIN, 0, &c);
    assert_true(c.step == INT64_MIN);
}

static void a_pause_and_odd_input_do_no_harm(void **state) {
    (void)state;
    struct orr_steer_command before, c;
    struct clock k = clock_new(0, 50, 9);
    worst(&k, 1);
    orr_steer_update(&k.steer, k.now, 1000, ORR_MS, &before);
    orr_steer_update(&k.steer, k.now, ORR_SECOND, ORR_MS, &c);                  /* in the same instant */
    assert_int_equal(c.rate_ppb, before.rate_ppb);
    orr_steer_update(&k.steer, k.now - ORR_SECOND, ORR_SECOND, ORR_MS, &c);     /* before it */
    assert_int_equal(c.rate_ppb, before.rate_ppb);
    k.now += 24 * 3600 * ORR_SECOND;                /* a day without the time, in which it ran as it was told */
    k.off = 0.005;
    worst(&k, 2);
    assert_true(worst(&k, 1) < 1e-5 && k.turns <= 4);
    static const orr_time wild[] = { INT64_MAX, INT64_MIN, 1, -1, 0 };
    for (size_t i = 0; i < 200; i++) {
        orr_steer_update(&k.steer, k.now += EVERY_S * ORR_SECOND, wild[i % 5], wild[i % 3], &c);
        assert_true(c.step == 0 && c.rate_ppb <= 500000 && c.rate_ppb >= -500000);
    }
}

static void its_config_is_checked(void **state) {
    struct orr_steer_config cfg;
    struct orr_steer s;
    const char *field = NULL;
    (void)state;
#define WRONG(name, value)                                                                                             \
    orr_steer_config_init(&cfg);                                                                                       \
    assert_int_equal(orr_steer_config_check(&cfg, &field), 0);                                                         \
    cfg.name = value;                                                                                                  \
    assert_int_equal(orr_steer_config_check(&cfg, &field), ORR_EINVALID);                                              \
    assert_string_equal(field, #name);                                                                                 \
    assert_int_equal(orr_steer_init(&s, &cfg, 0), ORR_EINVALID)
    WRONG(size, 3);
    WRONG(constant, ORR_SECOND);
    WRONG(learn, 0);
    WRONG(step_min, -1);
    WRONG(rate_max_ppb, 0);
    WRONG(slew_max_ppb, 500001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_it_begins_with_it_comes_near_and_stays),
        cmocka_unit_test(noise_and_delay_and_a_wandering_oscillator_do_not_make_it_swing),
        cmocka_unit_test(what_is_far_off_later_is_slewed_never_stepped),
        cmocka_unit_test(what_may_be_right_is_not_stepped),
        cmocka_unit_test(a_pause_and_odd_input_do_no_harm),
        cmocka_unit_test(its_config_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
