/* raft_time_test.c - log time as a follower counts it: by what it hears late, and by entries of unknown age. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consensus/raft/internal.h"

#define WALL (1700000000 * ORR_SECOND)
#define MS ORR_MS

/* A message that was longer on its way than those before, with an entry: what has passed since then has not passed for
 * the entry's stamp. */
static void an_entry_that_comes_late(void **state) {
    (void)state;
    struct orri_raft_time t;
    orri_raft_time_init(&t, 0, 0);
    orri_raft_time_wall(&t, 0, WALL);
    orri_raft_time_hear(&t, 0, WALL);
    for (orr_time now = 50 * MS; now <= 10 * ORR_SECOND; now += 50 * MS) {      /* each 20 ms late from now on */
        orri_raft_time_hear(&t, now, WALL + now - 20 * MS);
        orri_raft_time_floor(&t, now, WALL + now - 20 * MS);
        orr_time guess = orri_raft_time_guess(&t, now);
        assert_true(guess >= WALL + now - 20 * MS && guess <= WALL + now);
    }
}

/* Clocks are right, and the leader's log time is the wall clock's: then no follower's is ahead of it, or before an
 * entry that it has. */
static void whatever_the_network_does(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 5);
    for (int run = 0; run < 1000; run++) {
        struct orri_raft_time t;
        orr_time now = 0, sent = 0, newest = 0;
        orri_raft_time_init(&t, 0, 0);
        for (int i = 0; i < 200; i++) {
            now += (orr_time)orri_rng_below(&rng, 100 * MS);
            orr_time late = (orr_time)orri_rng_below(&rng, (uint64_t)(now - sent + 1));     /* they come in order */
            sent = now - late;
            orr_time entry = WALL + sent - (orr_time)orri_rng_below(&rng, 10 * MS);
            orri_raft_time_wall(&t, now, WALL + now);
            if (orri_rng_below(&rng, 8) > 0) orri_raft_time_hear(&t, now, WALL + sent);
            if (orri_rng_below(&rng, 2) > 0) {
                orri_raft_time_floor(&t, now, entry);
                if (entry > newest) newest = entry;
            }
            orr_time guess = orri_raft_time_guess(&t, now);
            assert_true(guess <= WALL + now && guess >= newest);
        }
    }
}

/* Without a wall clock nothing counts but what was said. */
static void without_a_wall_clock(void **state) {
    (void)state;
    struct orri_raft_time t;
    orri_raft_time_init(&t, 5, 0);
    orri_raft_time_hear(&t, 0, 100);
    orri_raft_time_floor(&t, ORR_SECOND, 101);
    assert_int_equal(orri_raft_time_guess(&t, ORR_SECOND), 101);
    orri_raft_time_floor(&t, ORR_SECOND, 50);
    assert_int_equal(orri_raft_time_stamp(&t, 2 * ORR_SECOND), 101);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_that_comes_late),
        cmocka_unit_test(whatever_the_network_does),
        cmocka_unit_test(without_a_wall_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
