/* times.c - what nodes say of the cluster's time, against the truth.
 *
 * The simulator knows every clock. The cluster's time (orrery/time.h) is the lower median of what the members keep:
 * each its local clock plus the offset that it has named, from then on, also while it is down; one that has named none
 * is known to nobody, and its wall clock stands in for it. An offset must be that of the wall clock when it is named.
 * Then every answer that anybody gets must hold the truth of that instant, and within an epoch `earliest` goes forward.
 *
 * Where there are NTP servers (ntp.c), the truth is virtual time. Where half or more of them lie it can't be known; nor
 * for a while afterwards, for what they said was believed.
 *
 * A stamp of a node's hybrid logical clock (orrery/node_hlc.h) is greater than all that the node ever gave, and than
 * that of the message whose receipt it is, and no further ahead of the truth than the config allows.
 *
 * A member that lost its disk does not know that it was believed before: while it may contradict what others still
 * believe, nothing is judged; and its stamps begin anew. Nothing else is left out. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <orrery/hlc.h>
#include <orrery/time.h>

#include "lab_internal.h"

#define NAMED_WRONG (10 * ORR_MS)
#define BELIEVED (ORR_TIME_KEPT + ORR_TIME_KEPT / 50)

struct kept {
    bool named;
    orr_time offset;                /* to its clock as that would be without boots */
    bool asked;                     /* in this life: */
    uint32_t epoch;
    orr_time earliest;
    orr_hlc_stamp stamp;            /* the last, in all its lives */
};
struct lab_times {
    struct kept nodes[LAB_NODES_MAX];
    orr_time unclear;               /* until then nothing is judged */
    orr_time ahead;                 /* the truth, of virtual time, when it was last looked at */
    orr_time looked, stepped;       /* virtual: then; when it was seen to have stepped */
    uint64_t read;
};

int lab_times_new(struct orr_lab *lab) {
    lab->times = lab->alloc.fn(lab->alloc.ud, NULL, 0, sizeof *lab->times);
    if (!lab->times) return -ENOMEM;
    *lab->times = (struct lab_times){ .unclear = 0 };
    return 0;
}
void lab_times_free(struct orr_lab *lab) {
    if (lab->times) lab->alloc.fn(lab->alloc.ud, lab->times, sizeof *lab->times, 0);
}
void lab_times_start(struct orr_lab *lab, size_t node) { lab->times->nodes[node].asked = false; }

static orr_time wall_of(const struct orr_lab *lab, size_t node) {
    orr_time wall = 0;
    int32_t drift;
    (void)orr_sim_clock_now(lab->sim, lab->names[node], &wall, &drift);
    return wall;
}
/* The simulator's local clock; booted: as the node has it. */
static orr_time local_of(const struct orr_lab *lab, size_t node, bool booted) {
    orr_time local = 0, lived = 0;
    (void)orr_sim_clock_local(lab->sim, lab->names[node], &local, &lived);
    return booted ? local : lived;
}

static void names(struct orr_lab *lab, size_t node, orr_time offset) {
    struct kept *k = &lab->times->nodes[node];
    offset += local_of(lab, node, true) - local_of(lab, node, false);
    orr_time wrong = wall_of(lab, node) - local_of(lab, node, false) - offset;
    if (k->named && k->offset != offset && lab_exempt(lab, node) && lab->times->unclear != ORR_NEVER)
        lab->times->unclear = orr_sim_now(lab->sim) + BELIEVED;
    k->named = true;
    k->offset = offset;
    if (wrong > NAMED_WRONG || wrong < -NAMED_WRONG)
        lab_violate(lab, "bound", "%s keeps a clock that is %.6f s from its wall clock when it begins",
                    lab->cfg.nodes[node].id, (double)wrong / 1e9);
}

static orr_time clock_of(const struct orr_lab *lab, size_t node) {
    const struct kept *k = &lab->times->nodes[node];
    return k->named ? local_of(lab, node, false) + k->offset : wall_of(lab, node);
}

/* While liars are half of the servers, and for as long afterwards as a node may go by what they said, nothing is
 * judged. */
#define LIES_LAST (5 * 64 * ORR_SECOND)
void lab_times_lie(struct orr_lab *lab) {
    bool many = 2 * lab_ntp_liars(lab) >= lab->cfg.n_ntp;
    orr_time now = orr_sim_now(lab->sim);
    if (many) lab->times->unclear = ORR_NEVER;
    else if (lab->times->unclear == ORR_NEVER) lab->times->unclear = now + LIES_LAST;
}

/* Below it, or equal and before it in the file, are (n - 1) / 2 others: the lower median. */
static orr_time truth(const struct orr_lab *lab) {
    if (lab->cfg.n_ntp > 0) return lab->cfg.sim.wall_start + orr_sim_now(lab->sim);
    size_t n = lab->cfg.n_nodes < ORR_TIME_MEMBERS_MAX ? lab->cfg.n_nodes : ORR_TIME_MEMBERS_MAX;
    orr_time clocks[ORR_TIME_MEMBERS_MAX];
    for (size_t i = 0; i < n; i++) clocks[i] = clock_of(lab, i);
    for (size_t i = 0; i < n; i++) {
        size_t below = 0;
        for (size_t j = 0; j < n; j++) below += clocks[j] < clocks[i] || (clocks[j] == clocks[i] && j < i);
        if (below == (n - 1) / 2) return clocks[i];
    }
    return 0;
}

static void is_told(struct orr_lab *lab, size_t node, const struct orr_node_time *t) {
    struct kept *k = &lab->times->nodes[node];
    const char *id = lab->cfg.nodes[node].id;
    if (k->asked && k->epoch == t->epoch && t->earliest < k->earliest)
        lab_violate(lab, "monotone", "%s: within epoch %" PRIu32 " the earliest time went back by %.9f s", id, t->epoch,
                    (double)(k->earliest - t->earliest) / 1e9);
    k->asked = true;
    k->epoch = t->epoch;
    k->earliest = t->earliest;
    lab->times->read++;
    if (orr_sim_now(lab->sim) < lab->times->unclear) return;
    orr_time now = truth(lab);
    if (t->earliest <= now && now <= t->latest && t->earliest <= t->likely && t->likely <= t->latest) return;
    bool late = now > t->latest;
    orr_time by = late ? now - t->latest : t->earliest - now;
    lab_violate(lab, "bound", "%s was told that the cluster's time is within %.9f s of %.9f, and it is %.9f s %s", id,
                (double)(t->latest - t->earliest) / 2e9, (double)t->likely / 1e9, (double)by / 1e9,
                late ? "later" : "earlier");
}

static void gives(struct orr_lab *lab, size_t node, const struct orr_trace_stamp *s) {
    struct kept *k = &lab->times->nodes[node];
    const char *id = lab->cfg.nodes[node].id;
    orr_hlc_stamp before = lab_exempt(lab, node) ? 0 : k->stamp;
    orr_time at = orr_hlc_time(s->stamp);
    k->stamp = s->stamp;
    if (s->stamp <= s->heard)
        lab_violate(lab, "stamp", "%s gives the stamp %" PRIu64 " to the receipt of a message from %" PRIu64, id,
                    s->stamp, s->heard);
    if (s->stamp <= before)
        lab_violate(lab, "stamp", "%s gives the stamp %" PRIu64 " after %" PRIu64, id, s->stamp, before);
    if (at < orr_hlc_time(orr_hlc_of(k->earliest)))
        lab_violate(lab, "stamp", "%s gives a stamp from %.9f s before the earliest time", id,
                    (double)(k->earliest - at) / 1e9);
    if (orr_sim_now(lab->sim) < lab->times->unclear || at <= truth(lab) + s->skew_max) return;
    lab_violate(lab, "stamp", "%s gives a stamp from %.9f s ahead of the time, of which others take %.9f s", id,
                (double)(at - truth(lab)) / 1e9, (double)s->skew_max / 1e9);
}

/* A median of clocks goes as evenly as they do, but where another one becomes the median, or one begins anew. What was
 * told across a step (so long it may have been under way) is not judged. */
#define UNDER_WAY (5 * ORR_SECOND)
bool lab_times_steady(struct orr_lab *lab, orr_time age) {
    struct lab_times *t = lab->times;
    orr_time now = orr_sim_now(lab->sim), ahead = truth(lab) - now, moved = ahead - t->ahead;
    orr_time drift = (now - t->looked) / 500 + ORR_US;
    if (t->looked > 0 && (moved > drift || moved < -drift)) t->stepped = now;
    t->ahead = ahead;
    t->looked = now;
    return now >= t->unclear && (t->stepped == 0 || now - age - age / 500 - UNDER_WAY > t->stepped);
}

void lab_times_trace(struct orr_lab *lab, size_t node, unsigned kind, const void *event) {
    if (kind == ORR_TRACE_CLOCK) names(lab, node, *(const orr_time *)event);
    else if (kind == ORR_TRACE_STAMP) gives(lab, node, event);
    else is_told(lab, node, event);
}

uint64_t lab_times_read(const struct orr_lab *lab) { return lab->times->read; }
