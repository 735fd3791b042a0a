/* orrb_lab.h - what a run of the laboratory gave, as a table. */
#ifndef ORRB_LAB_H
#define ORRB_LAB_H

#include <orrery/lab.h>

#include "orrb.h"

void orrb_push_lab_result(lua_State *L, const struct orr_lab_result *r);

#endif
