/* support/raft_net.h - Raft cores on virtual time: a network and disks that do what they may, and oracles that watch.
 *
 * Messages travel as frames, with delay, loss, duplicates, cuts of many shapes; nodes pause; disks are slow, and a
 * crash loses what wasn't reported stored (or some of it), and they may be full, or hang, for a while; a turn has one
 * input or several. After each event: one leader a term; a leader has all that was committed before its term; what is
 * committed never changes and is applied equally everywhere; each message's claims are on its sender's disk; a
 * read's index is no less than what was committed when it was asked; now and then the logs of all are compared.
 * The first breach is kept as text, with its time; the run then stands still. */
#ifndef SPEC_RAFT_NET_H
#define SPEC_RAFT_NET_H

#include <orrery/raft.h>

struct net_options {
    uint64_t seed;
    size_t n_nodes;                 /* 1..7 */
    double loss, duplicate;
    orr_time delay_max, disk_max;   /* uniform from 0 */
    orr_time election;
    /* Chances a step of chaos (every fifth of `election`). */
    double crash, cut, pause, hand_over, compact, lost, full, hang;
    double pick_leader;             /* the chance that such a step strikes a leader */
    size_t window_entries, window_bytes;
};
struct net_report {
    uint64_t events, committed, elections, crashes, snapshots, reads, fetches, cuts, pauses, refused, hangs;
};
struct net;

struct net *net_new(const struct net_options *options);
void net_free(struct net *net);
void net_run(struct net *net, orr_time for_ns, bool chaos, bool load);
/* No cuts, no losses, everybody up; then does it elect, commit a new entry and bring all to the same state? */
bool net_recovers(struct net *net, orr_time within);
const char *net_breach(const struct net *net);      /* NULL: none */
const struct net_report *net_report(const struct net *net);

#endif
