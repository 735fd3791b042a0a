/* orrb_trace.h - the last events of a simulation, for viewers: messages, lives, cuts, roles, commits, times told. */
#ifndef ORRB_TRACE_H
#define ORRB_TRACE_H

#include <orrery/sim.h>
#include <orrery/trace.h>

#include "orrb.h"

struct orrb_trace;

struct orrb_trace *orrb_trace_new(orr_time wall_start);     /* the true time at 0. NULL: no memory */
void orrb_trace_free(struct orrb_trace *t);                 /* NULL is allowed */

/* What the hooks of struct orr_sim_config say; t may be NULL in all. Names must stay where they are. */
uint64_t orrb_trace_sent(struct orrb_trace *t, orr_time now, const char *from, const char *to, uint64_t with,
                         const struct orr_slice *parts, size_t n_parts);
void orrb_trace_arrived(struct orrb_trace *t, orr_time now, uint64_t first, uint64_t last);
void orrb_trace_lost(struct orrb_trace *t, orr_time now, uint64_t first, uint64_t last, size_t kept);
void orrb_trace_cut(struct orrb_trace *t, orr_time now, const char *from, const char *to, bool on);
void orrb_trace_life(struct orrb_trace *t, orr_time now, const char *node, enum orr_sim_state state, const char *why);
void orrb_trace_group(struct orrb_trace *t, orr_time now, const char *node, uint32_t group, unsigned kind,
                      const void *event);

/* Pushes an array of events, the oldest first: those that began or ended in from..till. kinds at idx: nil, or { KIND =
 * true }. Then whether older ones were forgotten in that time. */
int orrb_trace_push(lua_State *L, const struct orrb_trace *t, orr_time from, orr_time till, int kinds);

#endif
