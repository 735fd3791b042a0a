/* raft_time.c - log time: the leader's wall clock, made monotone over leaders and bounded in speed.
 *
 * Expiry is judged by log time alone. It follows the leader's wall clock at 0.9 to 1.1 times the speed of its
 * monotonic clock: a wall clock that jumps or is plain wrong moves it by a tenth of the time that passes, and it
 * never stands still.
 *
 * Over leaders: appends carry it, votes carry what the voter heard last. A read is answered after a quorum took
 * the round that bore its time, so some voter of the next leader knows of it. A node that began anew knows the
 * last entry's stamp only; its monotonic clock says nothing about the time since. When no voter of a new leader
 * knows more (the whole cluster was down), the wall clock is believed, but never backwards. */
#include "internal.h"

void orri_raft_time_init(struct orri_raft_time *t, orr_time last, orr_time now) {
    *t = (struct orri_raft_time){ .stamp = last, .at = now, .real_at = ORR_NEVER };
}

void orri_raft_time_wall(struct orri_raft_time *t, orr_time now, orr_time real) {
    t->real = real;
    t->real_at = now;
}

orr_time orri_raft_time_guess(const struct orri_raft_time *t, orr_time now) {
    if (t->real_at == ORR_NEVER) return t->stamp;
    orr_time real = t->real + (now - t->real_at);
    orr_time least = t->stamp, most = real;
    if (t->anchored && t->stamp > 0) {
        orr_time passed = now - t->at;
        least = t->stamp + passed - passed / 10;
        most = t->stamp + passed + passed / 10;
    }
    if (real < least) return least;
    return real > most ? most : real;
}

orr_time orri_raft_time_stamp(struct orri_raft_time *t, orr_time now) {
    t->stamp = orri_raft_time_guess(t, now);
    t->at = now;
    t->anchored = t->real_at != ORR_NEVER;
    return t->stamp;
}

/* A message that was long on its way says less than what passed here since the last: the later of both counts. */
void orri_raft_time_hear(struct orri_raft_time *t, orr_time now, orr_time stamp) {
    if (t->anchored && stamp < t->stamp + (now - t->at) - (now - t->at) / 10) return;
    if (stamp < t->stamp) return;
    t->stamp = stamp;
    t->at = now;
    t->anchored = true;
}

/* Where the own count is beyond it already, it says nothing. Else the count goes on from it, from now on: what passed
 * since `at` has passed for the old stamp, not for this one. */
void orri_raft_time_floor(struct orri_raft_time *t, orr_time now, orr_time stamp) {
    orr_time passed = now - t->at;
    bool counts = t->anchored && t->real_at != ORR_NEVER;
    if (stamp <= t->stamp + (counts ? passed - passed / 10 : 0)) return;
    t->stamp = stamp;
    t->at = now;
}
