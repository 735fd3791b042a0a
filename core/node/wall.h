/* wall.h - the clock that this node keeps for the cluster: its monotonic clock plus an offset (orrery/time.h). */
#ifndef ORRI_WALL_H
#define ORRI_WALL_H

#include <orrery/world.h>

struct orri_wall {
    bool ours;                      /* the offset is that of the clock that we keep: this node itself may rest on it */
    bool told;                      /* ... and others, who ask */
    orr_time offset;                /* wall time minus the local clock */
    orr_time born;                  /* what it showed when it began: its name, which no other one of this node's has */
    orr_time next;                  /* as the machine's wall clock has it now: the offset from `steady` on */
    orr_time steady;                /* local; while !told */
    orr_time looked;                /* local */
    orr_time set;                   /* by how much it was set when it was last seen so; 0: never, or told already */
};
/* Begins to keep one, first: nobody can have believed one of ours before. Else it is told ORR_TIME_KEPT from `since`, a
 * local time, on. */
void orri_wall_begin(struct orri_wall *k, struct orr_world *w, bool first, orr_time since);
/* We have set the machine's wall clock by so much ourselves, and know it: that is no setting to be looked for. */
void orri_wall_stepped(struct orri_wall *k, orr_time by);
/* Looks at the machine's wall clock. True: the clock that we keep is another one from now on. */
bool orri_wall_look(struct orri_wall *k, struct orr_world *w);

#endif
