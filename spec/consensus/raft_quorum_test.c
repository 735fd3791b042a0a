/* raft_quorum_test.c - majorities, exactly: against counting by hand, for all small cases. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consensus/raft/internal.h"

static void nobody_agrees_to_all(void **state) {
    (void)state;
    assert_true(orri_quorum_reached(NULL, 0) == UINT64_MAX);
    assert_int_equal(orri_quorum_vote(0, 0, 0), ORRI_WON);
}

/* Every list of up to 5 values of 0..3: the result is the greatest that more than half have reached. */
static void reached_by_counting(void **state) {
    (void)state;
    for (size_t n = 1; n <= 5; n++) {
        unsigned lists = 1u << (2 * n);
        for (unsigned list = 0; list < lists; list++) {
            uint64_t values[5], most = 0;
            for (size_t i = 0; i < n; i++) values[i] = list >> (2 * i) & 3;
            for (uint64_t v = 0; v <= 3; v++) {
                size_t have = 0;
                for (size_t i = 0; i < n; i++) have += values[i] >= v;
                if (2 * have > n) most = v;
            }
            assert_int_equal(orri_quorum_reached(values, n), most);
        }
    }
}

static void votes_by_counting(void **state) {
    (void)state;
    for (size_t n = 1; n <= 9; n++)
        for (size_t yes = 0; yes <= n; yes++)
            for (size_t no = 0; yes + no <= n; no++) {
                enum orri_verdict v = orri_quorum_vote(yes, no, n);
                assert_int_equal(v == ORRI_WON, 2 * yes > n);
                assert_int_equal(v == ORRI_LOST, 2 * (n - no) <= n);
            }
}

static void both_halves(void **state) {
    (void)state;
    assert_int_equal(orri_quorum_both(ORRI_WON, ORRI_WON), ORRI_WON);
    assert_int_equal(orri_quorum_both(ORRI_WON, ORRI_PENDING), ORRI_PENDING);
    assert_int_equal(orri_quorum_both(ORRI_PENDING, ORRI_LOST), ORRI_LOST);
    assert_int_equal(orri_quorum_both(ORRI_LOST, ORRI_WON), ORRI_LOST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_agrees_to_all),
        cmocka_unit_test(reached_by_counting),
        cmocka_unit_test(votes_by_counting),
        cmocka_unit_test(both_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
