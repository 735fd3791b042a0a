/* orrb_strikes.h - the strikes of a run's chaos, kept as the hook of orr_sim_config tells them. */
#ifndef ORRB_STRIKES_H
#define ORRB_STRIKES_H

#include <orrery/sim.h>

#include <lua.h>

struct orrb_strikes {               /* zeroed: none */
    struct orr_sim_strike *at;
    size_t n, cap;
    bool lost;                      /* there was no memory for one */
};
void orrb_strikes_note(struct orrb_strikes *strikes, const struct orr_sim_strike *strike);
void orrb_strikes_free(struct orrb_strikes *strikes);
/* Pushes the array that sim:strikes() gives; or nil, message, code where some were lost. sim: they are its nodes'. */
int orrb_strikes_push(lua_State *L, const struct orrb_strikes *strikes, const struct orr_sim *sim);

#endif
