/* raft_quorum.c - majorities: what most have reached, how a vote stands.
 *
 * Pure arithmetic, of one half of a joint configuration at a time (thesis 4.3); an empty half agrees to
 * everything. */
#include "internal.h"

uint64_t orri_quorum_reached(uint64_t *values, size_t n) {
    if (n == 0) return UINT64_MAX;
    for (size_t i = 1; i < n; i++) {        /* insertion sort, greatest first: n is small */
        uint64_t v = values[i];
        size_t at = i;
        for (; at > 0 && values[at - 1] < v; at--) values[at] = values[at - 1];
        values[at] = v;
    }
    return values[n / 2];                   /* n/2 others are at least as far */
}

enum orri_verdict orri_quorum_vote(size_t yes, size_t no, size_t n) {
    size_t needed = n / 2 + 1;
    if (n == 0 || yes >= needed) return ORRI_WON;
    return n - no < needed ? ORRI_LOST : ORRI_PENDING;
}

enum orri_verdict orri_quorum_both(enum orri_verdict a, enum orri_verdict b) {
    if (a == ORRI_LOST || b == ORRI_LOST) return ORRI_LOST;
    return a == ORRI_WON && b == ORRI_WON ? ORRI_WON : ORRI_PENDING;
}
