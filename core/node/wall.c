/* wall.c - the clock that this node keeps for the cluster.
 *
 * The wall clock gives the offset once; from then on the clock goes by the monotonic one, at one pace. When the machine
 * sets its wall clock, ours goes on for ORR_TIME_KEPT, but nobody is told of it any more: what others heard before is
 * too old for them by then. A wall clock that doesn't keep still (it was frozen, or runs away from the monotonic one)
 * is never told again.
 *
 * Reading both clocks takes time, and a program may be stopped between the two: the reading counts only if both ends of
 * it are close together. */
#include "node/wall.h"

#include <orrery/time.h>

#define SET_LEAST (5 * ORR_MS)      /* less is no setting: it may be our own reading */
#define LOOK_EVERY (10 * ORR_MS)
#define READING_MAX (ORR_MS)
#define MARGIN (ORR_TIME_KEPT / 100)        /* others' clocks are slow */
enum { READINGS = 8 };              /* of which the quickest is the most exact */

struct reading {
    orr_time local, offset, width;
};
static struct reading measure(struct orr_world *w) {
    struct orr_wall wall;
    orr_time before = w->ops->fresh(w);
    w->ops->wall(w, &wall);
    orr_time after = w->ops->fresh(w);
    return (struct reading){ after, wall.realtime - (before + (after - before) / 2), after - before };
}

void orri_wall_begin(struct orri_wall *k, struct orr_world *w, bool first, orr_time since) {
    struct reading best = measure(w);
    for (int tries = 0; best.width > 0 && tries < READINGS; tries++) {
        struct reading r = measure(w);
        if (r.width < best.width) best = r;
    }
    bool told = first || best.local - since >= ORR_TIME_KEPT + MARGIN;
    *k = (struct orri_wall){ .ours = told, .told = told, .offset = best.offset, .next = best.offset,
                             .steady = since + ORR_TIME_KEPT + MARGIN, .looked = best.local,
                             .born = best.local + best.offset };
}

/* The clock that we keep goes on as it was, unless it is to become the wall clock's: then that one's as it is now. */
void orri_wall_stepped(struct orri_wall *k, orr_time by) { k->next += by; }

bool orri_wall_look(struct orri_wall *k, struct orr_world *w) {
    if (w->ops->fresh(w) - k->looked < LOOK_EVERY) return false;
    const struct reading r = measure(w);
    if (r.width > READING_MAX) return false;
    k->looked = r.local;
    orr_time moved = r.offset - k->next;
    if (moved > SET_LEAST || moved < -SET_LEAST) {
        k->told = false;
        k->next = r.offset;
        k->steady = r.local + ORR_TIME_KEPT + MARGIN;
        k->set = moved;
    }
    if (k->told || r.local < k->steady) return false;
    k->offset = k->next;
    k->born = r.local + k->offset;
    k->ours = k->told = true;
    return true;
}
