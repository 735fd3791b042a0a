/* hlc_test.c - the hybrid logical clock: each rule by hand; then five nodes whose clocks step and which restart, under
 * random messages, against vector clocks: cause before effect, and never far from the time. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/hlc.h>

#include "base/rng.h"

static const orr_time start = 1796000000 * ORR_SECOND;     /* in 2026 */
static const orr_hlc_stamp unit = 1 << 16;

static orr_hlc_stamp tick(struct orr_hlc *h, orr_time wall) {
    orr_hlc_stamp stamp = 0;
    assert_int_equal(orr_hlc_tick(h, wall, &stamp), 0);
    return stamp;
}

static void stamps_are_units_of_the_time(void **state) {
    (void)state;
    assert_true(orr_hlc_of(0) == 0 && orr_hlc_of(-5) == 0 && orr_hlc_of(INT64_MIN) == 0);
    assert_true(orr_hlc_of(ORR_SECOND) == (orr_hlc_stamp)1 << 32);
    assert_true(orr_hlc_of(ORR_SECOND + ORR_SECOND / 2) == (orr_hlc_stamp)3 << 31);
    assert_true(orr_hlc_of(15258) == 0 && orr_hlc_of(15259) == unit);       /* a unit is 15258.8 ns */
    assert_true(orr_hlc_of(INT64_MAX) == UINT64_MAX - unit + 1);            /* 2262: the last unit there is */
    assert_true(orr_hlc_time(UINT64_MAX) / ORR_SECOND == UINT32_MAX);
    assert_true(orr_hlc_time(orr_hlc_of(start)) == start);
    assert_true(orr_hlc_time(7) == 0);                                      /* a counter is no time */
    struct orr_rng rng;
    orri_rng_init(&rng, 3);
    for (int i = 0; i < 10000; i++) {
        orr_time wall = orri_rng_between(&rng, 0, (orr_time)UINT32_MAX * ORR_SECOND);
        orr_time back = orr_hlc_time(orr_hlc_of(wall));
        assert_true(back <= wall && wall - back <= 15259);
    }
}

static void the_config_is_checked(void **state) {
    (void)state;
    struct orr_hlc h;
    struct orr_hlc_config config;
    const char *field = NULL;
    orr_hlc_config_init(&config);
    assert_int_equal(orr_hlc_config_check(&config, &field), 0);
    config.ahead = ORR_MS - 1;
    assert_int_equal(orr_hlc_config_check(&config, &field), ORR_EINVALID);
    assert_string_equal(field, "ahead");
    config.skew_max = -1;
    assert_int_equal(orr_hlc_init(&h, &config, 0), ORR_EINVALID);
    assert_int_equal(orr_hlc_config_check(&config, &field), ORR_EINVALID);
    assert_string_equal(field, "skew_max");
    config.size = 0;
    assert_int_equal(orr_hlc_config_check(&config, &field), ORR_EINVALID);
    assert_string_equal(field, "size");
}

static void it_follows_the_time_and_counts_while_that_stands_or_goes_back(void **state) {
    (void)state;
    struct orr_hlc h;
    assert_int_equal(orr_hlc_init(&h, NULL, 0), 0);
    assert_true(tick(&h, start) == orr_hlc_of(start));
    assert_true(tick(&h, start) == orr_hlc_of(start) + 1);
    assert_true(tick(&h, start - 90 * ORR_SECOND) == orr_hlc_of(start) + 2);
    assert_true(orr_hlc_ahead(&h, start - 90 * ORR_SECOND) == 90 * ORR_SECOND);
    assert_true(orr_hlc_ahead(&h, start + 1) == 0);
    assert_true(orr_hlc_ahead(&h, INT64_MIN) == INT64_MAX);
    assert_true(tick(&h, start + ORR_SECOND) == orr_hlc_of(start + ORR_SECOND));
}

/* The paper's three cases, and its counter, each told apart. */
static void a_receipt_is_after_its_message_and_all_before(void **state) {
    (void)state;
    struct orr_hlc h;
    orr_hlc_stamp now = orr_hlc_of(start), got;
    assert_int_equal(orr_hlc_init(&h, NULL, 0), 0);
    (void)tick(&h, start);
    (void)tick(&h, start);                                                                  /* (l, 1) */
    assert_int_equal(orr_hlc_receive(&h, start, start, now + 5, &got), 0);                  /* both at l: the greater */
    assert_true(got == now + 6);
    assert_int_equal(orr_hlc_receive(&h, start, start, now - unit + 9, &got), 0);           /* ours is later */
    assert_true(got == now + 7);
    assert_int_equal(orr_hlc_receive(&h, start, start, now + 3 * unit + 4, &got), 0);       /* theirs is */
    assert_true(got == now + 3 * unit + 5);
    orr_time later = start + ORR_SECOND;
    assert_int_equal(orr_hlc_receive(&h, later, later, now + 3 * unit + 9, &got), 0);       /* the time is */
    assert_true(got == orr_hlc_of(later));
    assert_int_equal(h.refused, 0);
}

static void the_counter_carries_into_the_time(void **state) {
    (void)state;
    struct orr_hlc h;
    orr_hlc_stamp before, got;
    assert_int_equal(orr_hlc_init(&h, NULL, 0), 0);
    before = tick(&h, start);
    for (int i = 0; i < 3 * 65536; i++) {
        got = tick(&h, start);
        assert_true(got > before);
        before = got;
    }
    assert_true(before == orr_hlc_of(start) + 3 * unit);
    assert_true(orr_hlc_time(before) > start && orr_hlc_time(before) - start <= 3 * 15259);
    assert_int_equal(orr_hlc_receive(&h, start, start, before | (unit - 1), &got), 0);
    assert_true(got == before + unit);                      /* the message's counter was full */
}

static void after_the_last_stamp_there_is_none(void **state) {
    (void)state;
    struct orr_hlc h, same;
    orr_hlc_stamp got = 7, limit;
    assert_int_equal(orr_hlc_init(&h, NULL, UINT64_MAX - 2), 0);
    assert_true(tick(&h, start) == UINT64_MAX - 2);
    assert_true(orr_hlc_store(&h, start, &limit) && limit == UINT64_MAX);
    orr_hlc_stored(&h, limit);
    assert_true(tick(&h, INT64_MAX) == UINT64_MAX - 1);
    assert_true(orr_hlc_usable(&h, UINT64_MAX - 1));
    same = h;
    assert_int_equal(orr_hlc_tick(&h, start, &got), ORR_EUNAVAILABLE);
    assert_int_equal(orr_hlc_receive(&h, start, INT64_MAX, UINT64_MAX, &got), ORR_EUNAVAILABLE);
    assert_false(orr_hlc_store(&h, INT64_MAX, &limit));
    assert_true(got == 7);
    assert_memory_equal(&h, &same, sizeof h);
}

static void a_message_from_too_far_ahead_is_refused_and_changes_nothing(void **state) {
    (void)state;
    struct orr_hlc h, same;
    orr_hlc_stamp got = 7;
    orr_time latest = start + 10 * ORR_MS;
    assert_int_equal(orr_hlc_init(&h, NULL, 0), 0);
    (void)tick(&h, start);
    same = h;
    orr_hlc_stamp edge = orr_hlc_of(latest + 500 * ORR_MS);
    assert_int_equal(orr_hlc_receive(&h, start, latest, edge + unit, &got), ORR_EDENIED);
    assert_int_equal(orr_hlc_receive(&h, start, latest, UINT64_MAX, &got), ORR_EDENIED);
    assert_int_equal(h.refused, 2);
    assert_true(got == 7);
    h.refused = 0;
    assert_memory_equal(&h, &same, sizeof h);
    assert_int_equal(orr_hlc_receive(&h, start, latest, edge, &got), 0);
    assert_true(got == edge + 1);
}

static void a_stamp_may_be_used_when_a_limit_above_it_is_stored(void **state) {
    (void)state;
    struct orr_hlc h;
    orr_hlc_stamp limit = 0, next, stamp;
    assert_int_equal(orr_hlc_init(&h, NULL, 0), 0);
    stamp = tick(&h, start);
    assert_false(orr_hlc_usable(&h, stamp));
    assert_true(orr_hlc_store(&h, start, &limit));
    assert_true(limit == orr_hlc_of(start + ORR_SECOND));
    assert_false(orr_hlc_store(&h, start, &next));          /* told once */
    assert_false(orr_hlc_usable(&h, stamp));                /* asked for, not stored */
    orr_hlc_unstored(&h);                                   /* the disk was full */
    assert_true(orr_hlc_store(&h, start, &limit));
    orr_hlc_stored(&h, limit);
    assert_true(orr_hlc_usable(&h, stamp) && orr_hlc_usable(&h, limit - 1) && !orr_hlc_usable(&h, limit));
    assert_false(orr_hlc_store(&h, start + 499 * ORR_MS, &next));
    assert_true(orr_hlc_store(&h, start + 500 * ORR_MS, &next));            /* half a second before it is needed */
    assert_true(next == orr_hlc_of(start + 1500 * ORR_MS));
    orr_hlc_stored(&h, next);
    orr_hlc_stored(&h, limit);                              /* an older write that ends later takes nothing back */
    assert_true(orr_hlc_usable(&h, next - 1));
}

static void a_restart_goes_on_above_all_that_was_used(void **state) {
    (void)state;
    struct orr_hlc h;
    orr_hlc_stamp limit = 0, highest = 0, stamp;
    assert_int_equal(orr_hlc_init(&h, NULL, 0), 0);
    for (int life = 0; life < 100; life++) {                /* at once, again and again: no second is lost for each */
        assert_int_equal(orr_hlc_init(&h, NULL, limit), 0);
        if (orr_hlc_store(&h, start, &limit)) orr_hlc_stored(&h, limit);
        for (int i = 0; i < 10; i++) {
            stamp = tick(&h, start);
            assert_true(stamp > highest && orr_hlc_usable(&h, stamp));
            highest = stamp;
        }
    }
    assert_true(orr_hlc_ahead(&h, start) <= ORR_SECOND + 100 * ORR_MS);
    assert_true(tick(&h, start + 2 * ORR_SECOND) == orr_hlc_of(start + 2 * ORR_SECOND));
}

/* -- Five nodes ---------------------------------------------------------------------------------------------------- */
enum { NODES = 5, EVENTS = 4000, FLYING = 64 };

struct event {
    unsigned node, past[NODES];     /* how many events of each node are before it, itself among its own */
    orr_hlc_stamp stamp;
    bool shown;                     /* a limit above it was stored: it is there for good */
};
struct node {
    struct orr_hlc h;
    orr_time offset;                /* of its wall clock to the true time */
    orr_hlc_stamp disk, writing;    /* the limit on its disk; one on its way, or 0 */
    unsigned past[NODES];
};
struct world {
    struct orr_rng rng;
    orr_time now, latest_ever;
    struct node nodes[NODES];
    struct event events[EVENTS];
    size_t n_events, flying[FLYING], n_flying;
    unsigned n_restarts, n_refused, n_lost;
};

static const orr_time doubt = 10 * ORR_MS;

static orr_time wall_of(struct world *w, const struct node *n) {
    orr_time wall = w->now + n->offset;
    if (wall + doubt > w->latest_ever) w->latest_ever = wall + doubt;
    return wall;
}

/* What may be seen of a node's events after each step. */
static void show(struct world *w, unsigned id) {
    for (size_t i = 0; i < w->n_events; i++) {
        struct event *e = &w->events[i];
        if (e->node == id && orr_hlc_usable(&w->nodes[id].h, e->stamp)) e->shown = true;
    }
}

static void begin_store(struct world *w, unsigned id) {
    struct node *n = &w->nodes[id];
    if (n->writing == 0 && !orr_hlc_store(&n->h, wall_of(w, n), &n->writing)) n->writing = 0;
}

static void end_store(struct world *w, unsigned id) {
    struct node *n = &w->nodes[id];
    if (n->writing == 0) return;
    if (orri_rng_chance(&w->rng, 0.1)) {
        orr_hlc_unstored(&n->h);
    } else {
        n->disk = n->writing;
        orr_hlc_stored(&n->h, n->disk);
        show(w, id);
    }
    n->writing = 0;
}

static void happen(struct world *w, unsigned id, const struct event *heard) {
    struct node *n = &w->nodes[id];
    orr_time wall = wall_of(w, n);
    struct event e = { .node = id };
    if (!heard) {
        e.stamp = tick(&n->h, wall);
    } else if (orr_hlc_receive(&n->h, wall, wall + doubt, heard->stamp, &e.stamp) < 0) {
        assert_true(orr_hlc_time(heard->stamp) > wall + doubt + n->h.skew_max);
        w->n_refused++;
        return;
    } else {
        for (unsigned i = 0; i < NODES; i++) {
            if (heard->past[i] > n->past[i]) n->past[i] = heard->past[i];
        }
    }
    n->past[id]++;
    memcpy(e.past, n->past, sizeof e.past);
    e.shown = orr_hlc_usable(&n->h, e.stamp);
    assert_true(w->n_events < EVENTS);
    w->events[w->n_events++] = e;

    /* No earlier than its own clock, and no later than the latest that anybody believed, a second and the restarts. */
    orr_time allowed = ORR_SECOND + (orr_time)(w->n_restarts + 1) * ORR_MS;
    assert_true(e.stamp >= orr_hlc_of(wall));
    assert_true(orr_hlc_time(e.stamp) <= w->latest_ever + allowed);
}

/* What was not shown is forgotten, by all: nothing of it has left the node. */
static void restart(struct world *w, unsigned id) {
    struct node *n = &w->nodes[id];
    if (n->writing && orri_rng_chance(&w->rng, 0.5)) n->disk = n->writing;
    n->writing = 0;
    size_t kept = 0;
    memset(n->past, 0, sizeof n->past);
    w->n_flying = 0;                                        /* they are named by their places */
    for (size_t i = 0; i < w->n_events; i++) {
        const struct event *e = &w->events[i];
        if (e->node == id && !e->shown) continue;
        if (e->node == id) memcpy(n->past, e->past, sizeof n->past);
        w->events[kept++] = *e;
    }
    w->n_lost += (unsigned)(w->n_events - kept);
    w->n_events = kept;
    assert_int_equal(orr_hlc_init(&n->h, NULL, n->disk), 0);
    w->n_restarts++;
}

static void step(struct world *w) {
    unsigned id = (unsigned)orri_rng_below(&w->rng, NODES);
    struct node *n = &w->nodes[id];
    w->now += orri_rng_between(&w->rng, 0, orri_rng_chance(&w->rng, 0.05) ? 400 * ORR_MS : ORR_MS);
    switch (orri_rng_below(&w->rng, 16)) {
    case 0: n->offset += orri_rng_between(&w->rng, -300 * ORR_MS, 300 * ORR_MS); break;
    case 1:
        if (orri_rng_chance(&w->rng, 0.05)) n->offset = orri_rng_between(&w->rng, -20 * ORR_SECOND, 5 * ORR_SECOND);
        else if (orri_rng_chance(&w->rng, 0.5)) n->offset = 0;
        break;
    case 2:
        if (orri_rng_chance(&w->rng, 0.2)) restart(w, id);
        break;
    case 3: case 4: end_store(w, id); break;
    case 5: case 6: case 7: case 8: case 9:
        if (w->n_flying) {                                  /* it stays under way: it may come twice, or never */
            size_t at = w->flying[orri_rng_below(&w->rng, w->n_flying)];
            struct event heard = w->events[at];
            if (heard.node != id && heard.shown) happen(w, id, &heard);
        }
        break;
    default:
        happen(w, id, NULL);
        if (w->n_flying == FLYING) w->n_flying = 0;
        w->flying[w->n_flying++] = w->n_events - 1;
    }
    begin_store(w, id);
}

static bool before(const struct event *a, const struct event *b) {
    return a != b && a->past[a->node] <= b->past[a->node];
}

static void causes_come_before_effects_whatever_the_clocks_do(void **state) {
    (void)state;
    unsigned refused = 0, lost = 0, pairs = 0;
    for (unsigned seed = 1; seed <= 40; seed++) {
        struct world *w = calloc(1, sizeof *w);
        assert_non_null(w);
        orri_rng_init(&w->rng, seed);
        w->now = w->latest_ever = start;
        for (unsigned i = 0; i < NODES; i++) assert_int_equal(orr_hlc_init(&w->nodes[i].h, NULL, 0), 0);
        for (int i = 0; i < 3000; i++) step(w);
        for (size_t a = 0; a < w->n_events; a++) {
            for (size_t b = 0; b < w->n_events; b++) {
                if (!before(&w->events[a], &w->events[b])) continue;
                assert_true(w->events[a].stamp < w->events[b].stamp);
                pairs++;
            }
        }
        refused += w->n_refused;
        lost += w->n_lost;
        free(w);
    }
    assert_true(refused > 100 && lost > 100 && pairs > 1000000);            /* all of it has happened */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_are_units_of_the_time),
        cmocka_unit_test(the_config_is_checked),
        cmocka_unit_test(it_follows_the_time_and_counts_while_that_stands_or_goes_back),
        cmocka_unit_test(a_receipt_is_after_its_message_and_all_before),
        cmocka_unit_test(the_counter_carries_into_the_time),
        cmocka_unit_test(after_the_last_stamp_there_is_none),
        cmocka_unit_test(a_message_from_too_far_ahead_is_refused_and_changes_nothing),
        cmocka_unit_test(a_stamp_may_be_used_when_a_limit_above_it_is_stored),
        cmocka_unit_test(a_restart_goes_on_above_all_that_was_used),
        cmocka_unit_test(causes_come_before_effects_whatever_the_clocks_do),
    };
    return cmocka_run_group_tests_name("clock.hlc", tests, NULL, NULL);
}
