/* orrb_sim.h - what the files of core.sim share: how a method finds its simulation, and answers. */
#ifndef ORRB_SIM_H
#define ORRB_SIM_H

#include <orrery/sim.h>

#include "orrb.h"

/* Of the handle at 1; raises where it is another value, or closed. */
struct orr_sim *orrb_check_sim(lua_State *L);
/* 0 -> true, else nil, message, code. */
int orrb_sim_answer(lua_State *L, int rc, const char *what);
/* orrb_sim_faults.c: what hurts and mends links, disks and clocks. Ends with NULLs. */
extern const luaL_Reg orrb_sim_faults[];

#endif
