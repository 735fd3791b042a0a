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

static bool measure(struct orr_world *w, orr_time *local, orr_time *offset) {
    struct orr_wall wall;
    orr_time before = w->ops->fresh(w);
    w->ops->wall(w, &wall);
    *local = w->ops->fresh(w);
    *offset = wall.realtime - (before + (*local - before) / 2);
    return *local - before <= READING_MAX;
}

void orri_wall_begin(struct orri_wall *k, struct orr_world *w, bool first, orr_time since) {
    orr_time local, offset;
    for (int tries = 0; !measure(w, &local, &offset) && tries < 10; tries++) {}
    bool told = first || local - since >= ORR_TIME_KEPT + MARGIN;
    *k = (struct orri_wall){ .begun = true, .ours = told, .told = told, .offset = offset, .next = offset,
                             .steady = since + ORR_TIME_KEPT + MARGIN, .looked = local };
}

bool orri_wall_look(struct orri_wall *k, struct orr_world *w) {
    orr_time local, offset;
    if (w->ops->fresh(w) - k->looked < LOOK_EVERY || !measure(w, &local, &offset)) return false;
    k->looked = local;
    orr_time moved = offset - k->next;
    if (moved > SET_LEAST || moved < -SET_LEAST) {
        k->told = false;
        k->next = offset;
        k->steady = local + ORR_TIME_KEPT + MARGIN;
        k->set = moved;
    }
    if (k->told || local < k->steady) return false;
    k->offset = k->next;
    k->ours = k->told = true;
    return true;
}
