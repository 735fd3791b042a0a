/* support/counter.h - a small replicated machine, its service, and clients in the simulator, for whole nodes.
 *
 * The machine counts how often each of COUNTER_IDS numbers was applied. An op is 8 bytes: an id, little-endian; a
 * question likewise. The service's requests are 9 bytes, 'W' or 'R' and an id; its answers 17: what became of it, the
 * id, the count. ('Q': the node leaves; no answer.)
 *     '+' done (the count is after it)   '-' surely not done   '?' may or may not be done                            */
#ifndef SPEC_COUNTER_H
#define SPEC_COUNTER_H

#include <orrery/node.h>
#include <orrery/sim.h>

enum { COUNTER_IDS = 1 << 17, COUNTER_REQUEST = 9, COUNTER_ANSWER = 17 };

extern const struct orr_machine_ops counter_machine;
extern const struct orr_service counter_service;        /* ud: the group */
extern size_t counter_pad;                              /* bytes added to each op, to fill logs */

/* How often the group's machine here applied `id`. */
unsigned counter_of(const struct orr_group *g, uint64_t id);

#endif
