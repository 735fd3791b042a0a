/* steer.h - how to steer a machine's clock towards a time that is known better: a step at first, then slewing alone.
 *
 *     struct orr_steer s;
 *     struct orr_steer_command c;
 *     orr_steer_init(&s, NULL, rate_now);
 *     ... each 16 s or so, while the time is known:
 *     orr_steer_update(&s, now, offset, bound, &c);
 *     if (c.step) ...                                    // set the clock by it: only ever in the first update
 *     ...                                                // and let it run at c.rate_ppb from now on
 *
 * Arithmetic alone: no clock is read and nothing allocated. Two things are corrected at once: the oscillator's rate,
 * which is learned from how the offset grows over the first minute, and from then on by what was not expected of it;
 * and the offset, by running faster or slower in proportion to it. All of it within limits: `slew_max` for the offset's
 * part, as whoever measures time by the clock meanwhile is wrong by that; `rate_max` for both together, which the
 * kernel has.
 *
 * Whoever estimates the offset by the very clock that is steered must take out again what was commanded: to him it
 * would be an oscillator that leaps about. */
#ifndef ORR_STEER_H
#define ORR_STEER_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_steer_config {
    size_t size;                    /* set by config_init */
    orr_time constant;              /* an offset goes by 1/e in about that time; 256 s, at least 16 s */
    orr_time learn;                 /* the rate is learned over so long; 64 s */
    orr_time step_min;              /* what is less is slewed at first, too; 5 ms */
    int32_t slew_max_ppb;           /* 250000 */
    int32_t rate_max_ppb;           /* 500000: Linux' */
};
struct orr_steer_command {
    orr_time step;                  /* to be added to the clock; 0: no step */
    int32_t rate_ppb;               /* beside what the oscillator does by itself: positive makes the clock faster */
};
/* A value. Its fields are for reading only. */
struct orr_steer {
    struct orr_steer_config config;
    enum { ORR_STEER_NEW, ORR_STEER_LEARNS, ORR_STEER_FOLLOWS } state;
    double rate, slew;              /* ppb: the oscillator's correction; the offset's */
    orr_time at;                    /* the last update, */
    double offset;                  /* and what was left to do */
    orr_time first, first_offset;   /* since when it learns, and from what */
};

ORR_API void orr_steer_config_init(struct orr_steer_config *config);
/* 0, or ORR_EINVALID with *field naming the field that is wrong. */
ORR_API int orr_steer_config_check(const struct orr_steer_config *config, const char **field);
/* config: copied; NULL is the defaults. rate_ppb: what the clock is given now. ORR_EINVALID. */
ORR_API int orr_steer_init(struct orr_steer *s, const struct orr_steer_config *config, int32_t rate_ppb);
/* now: by any clock that goes on, ns; offset: the time minus the clock, positive where the clock is late; bound: how
 * wrong that may be: no step is smaller. What was commanded before was carried out. An update in the same instant as
 * the last one, or before it, changes nothing. */
ORR_API void orr_steer_update(struct orr_steer *s, orr_time now, orr_time offset, orr_time bound,
                              struct orr_steer_command *out);
/* The next update may be a step, as the first one was. Behind it the rate is learned anew, from the one that it has. */
ORR_API void orr_steer_begin(struct orr_steer *s);
/* The time isn't known now, or nobody will steer any more: the clock is to go by its own rate, corrected. */
ORR_API void orr_steer_rest(struct orr_steer *s, orr_time now, struct orr_steer_command *out);

#ifdef __cplusplus
}
#endif
#endif
