/* raft_time_test.c - log time as a follower guesses it: it keeps to the leader's, whatever comes late. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "consensus/raft/internal.h"

/* Both clocks say the same here. A message with an entry each few ms, a heartbeat each 50; each is late by up to 8 ms,
 * and they arrive in order. */
static void a_follower_that_hears_the_leader_is_never_ahead_of_it(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct orr_rng rng;
        struct orri_raft_time follower;
        orri_rng_init(&rng, seed);
        orri_raft_time_init(&follower, 0, 0);
        orr_time arrived = 0;
        for (orr_time sent = ORR_SECOND; sent < 60 * ORR_SECOND; sent += orri_rng_between(&rng, ORR_MS, 5 * ORR_MS)) {
            orr_time at = sent + orri_rng_between(&rng, ORR_US, 8 * ORR_MS);
            arrived = at > arrived ? at : arrived + 1;
            orri_raft_time_wall(&follower, arrived, arrived);
            orri_raft_time_hear(&follower, arrived, sent);
            if (orri_rng_chance(&rng, 0.9)) orri_raft_time_floor(&follower, arrived, sent - ORR_US);
            orr_time guess = orri_raft_time_guess(&follower, arrived);
            assert_in_range(guess, sent - ORR_US, arrived);
        }
    }
}

/* What a leader that was isolated had stamped is not lost, and time goes on from there. */
static void an_entry_that_is_ahead_moves_it_on_from_now(void **state) {
    (void)state;
    struct orri_raft_time t;
    orri_raft_time_init(&t, 0, 0);
    orri_raft_time_wall(&t, ORR_SECOND, ORR_SECOND);
    orri_raft_time_hear(&t, ORR_SECOND, ORR_SECOND);
    orri_raft_time_wall(&t, 5 * ORR_SECOND, 5 * ORR_SECOND);
    orri_raft_time_floor(&t, 5 * ORR_SECOND, 9 * ORR_SECOND);
    assert_int_equal(orri_raft_time_guess(&t, 5 * ORR_SECOND), 9 * ORR_SECOND);
    assert_int_equal(orri_raft_time_guess(&t, 6 * ORR_SECOND), 9 * ORR_SECOND + 900 * ORR_MS);
    orri_raft_time_floor(&t, 6 * ORR_SECOND, 9 * ORR_SECOND + 1);           /* less than has passed: nothing is lost */
    assert_int_equal(orri_raft_time_guess(&t, 6 * ORR_SECOND), 9 * ORR_SECOND + 900 * ORR_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_follower_that_hears_the_leader_is_never_ahead_of_it),
        cmocka_unit_test(an_entry_that_is_ahead_moves_it_on_from_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
