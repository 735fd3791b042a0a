/* edges.h - what a node tells the others of the clocks that it measures: a value, its bytes, and what is kept of it.
 *
 *   byte  size  field
 *      0     1  8: format 1, in the place of an NTP packet's mode, which is 0: there is no such packet
 *      1     1  n, how many edges: 1 to ORRI_EDGES_MAX
 *      2     8  which clock the teller keeps: the NTP stamp that it showed when it began
 *     10     8  what that clock shows now, ns since 1970
 *     18  40 n  each: 8 id of the other node, 8 which clock of it, 8 offset, 4 sd, 4 rate, 4 sd of the rate, 4 age
 *           8  XXH3-64 of all that, seeded by the cluster's id
 *
 * Integers are little-endian. The teller's time is also its number: a lesser one of the same clock was overtaken.   */
#ifndef ORRI_EDGES_H
#define ORRI_EDGES_H

#include <orrery/time.h>

enum { ORRI_EDGES_MAX = ORR_TIME_MEMBERS_MAX - 1, ORRI_EDGES_HEAD = 18, ORRI_EDGES_EACH = 40, ORRI_EDGES_SUM = 8 };
enum { ORRI_EDGES_SIZE_MAX = ORRI_EDGES_HEAD + ORRI_EDGES_MAX * ORRI_EDGES_EACH + ORRI_EDGES_SUM };
#define ORRI_EDGE_KEPT (16 * ORR_SECOND)    /* a poll and a telling, and one of either that was lost */
#define ORRI_EDGE_OFFSET_LIMIT ((orr_time)1 << 61)

struct orri_edge {
    orr_id to;
    uint64_t clock;                 /* which of `to`'s; not 0 */
    orr_time offset;                /* that clock minus the teller's, when it was told; below the limit */
    uint32_t sd_ns;                 /* not 0 */
    int32_t rate_ppt;               /* 1e-12, within 1e-3: by how much the offset grows */
    uint32_t rate_sd_ppb;           /* 1e-9, up to 1e-3 */
    uint32_t age_us;                /* since it was measured, up to ORR_TIME_KEPT */
};
struct orri_edges {
    uint64_t clock;                 /* which of the teller's; not 0: nothing was told */
    orr_time now;                   /* what it showed */
    size_t n;
    struct orri_edge edges[ORRI_EDGES_MAX];
};
size_t orri_edges_write(const struct orri_edges *e, uint64_t seed, unsigned char out[ORRI_EDGES_SIZE_MAX]);
/* Is it meant to be such a datagram, and no NTP packet? */
static inline bool orri_edges_are(struct orr_slice data) { return data.size > 0 && (data.at[0] & 7) == 0; }
/* Total. False: damaged, another cluster's, or not what a node of this version writes. */
bool orri_edges_read(struct orr_slice data, uint64_t seed, struct orri_edges *out);

/* -- What is kept of one teller ------------------------------------------------------------------------------------ */
struct orri_teller {
    struct orri_edges last;
    orr_time at;                    /* local: when it was told */
};
/* What is surely known of a teller's clock when its datagram comes, by this node's own measurement. */
struct orri_teller_clock {
    uint64_t clock;
    orr_time likely, latest;
};
enum orri_hearing { ORRI_HEARD, ORRI_HEARD_LATE, ORRI_HEARD_WRONG };
/* LATE: it was overtaken, comes again, is of another clock than the teller keeps now, or was too long under way. WRONG:
 * it is from a time that is surely to come. Nothing changes then. */
enum orri_hearing orri_teller_hear(struct orri_teller *t, const struct orri_edges *e,
                                   const struct orri_teller_clock *known, orr_time local);
/* The k-th edge as it is at `local`: its offset then, its deviation with all that has passed. False: there is no such
 * edge, or it is too old. */
bool orri_teller_edge(const struct orri_teller *t, size_t k, orr_time local, struct orri_edge *out, orr_time *sd);

#endif
