/* raft_liar_test.c - what a peer that doesn't keep to the protocol can't bring about. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/raft_hand.h"

/* A candidate asks nobody before its own vote is on its disk: who votes for it already is lying, or was never asked. */
static void votes_that_nobody_asked_for(void **state) {
    (void)state;
    struct hand *h = hand_new(3, NULL);
    h->held[0] = true;
    orr_raft_campaign(h->r[0], 0);
    hand_collect(h, 0);
    for (orr_id from = 2; from <= 3; from++) {
        struct orr_raft_msg m = { .type = ORR_RAFT_VOTE_REPLY, .from = from, .term = 1, .granted = true };
        hand_recv(h, 0, m);
    }
    assert_int_equal(hand_status(h, 0).role, ORR_CANDIDATE);
    hand_written(h, 0);
    hand_pump(h);
    assert_int_equal(hand_status(h, 0).role, ORR_LEADER);
    hand_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(votes_that_nobody_asked_for) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
