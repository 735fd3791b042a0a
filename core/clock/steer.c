/* steer.c - steering a clock: a step, a minute of learning its rate, then an observer and a proportional controller.
 *
 * The offset is taken off in proportion, offset / T. What the oscillator needs is learned from what was not expected:
 * with the rate right, the offset shrinks by the slew that was given and by nothing else, and the rest, over the time,
 * is what the rate lacks; a part of that is taken each time, over some minutes all of it. An integral of the offset
 * would do too, but it goes on to count an offset that is known and being taken off, and has to overshoot to be rid of
 * it. A jump is nothing that an oscillator does: it is slewed, and nothing is learned from it.
 *
 * An oscillator may be 50 ppm off, and by the parts the clock would be 10 ms off when it is found. So at first the rate
 * is measured: what the offset grows by, while the command stands. */
#include <orrery/steer.h>

#include "base/assert.h"

enum { BILLION = 1000000000 };
#define FOLLOW (320 * ORR_SECOND)   /* that the rate takes to be learned anew */
#define JUMP_PPB 200000             /* oscillators don't change by so much between two updates */
static const orr_time constant_least = 16 * ORR_SECOND;

void orr_steer_config_init(struct orr_steer_config *config) {
    *config = (struct orr_steer_config){ .size = sizeof *config, .constant = 256 * ORR_SECOND,
                                         .learn = 64 * ORR_SECOND, .step_min = 5 * ORR_MS, .slew_max_ppb = 250000,
                                         .rate_max_ppb = 500000 };
}

int orr_steer_config_check(const struct orr_steer_config *config, const char **field) {
    const char *wrong = NULL;
    if (config->size != sizeof *config) wrong = "size";
    else if (config->constant < constant_least) wrong = "constant";
    else if (config->learn < ORR_SECOND) wrong = "learn";
    else if (config->step_min < 0) wrong = "step_min";
    else if (config->rate_max_ppb < 1 || config->rate_max_ppb > BILLION / 10) wrong = "rate_max_ppb";
    else if (config->slew_max_ppb < 1 || config->slew_max_ppb > config->rate_max_ppb) wrong = "slew_max_ppb";
    if (wrong && field) *field = wrong;
    return wrong ? ORR_EINVALID : 0;
}

int orr_steer_init(struct orr_steer *s, const struct orr_steer_config *config, int32_t rate_ppb) {
    struct orr_steer_config defaults;
    orr_steer_config_init(&defaults);
    if (!config) config = &defaults;
    if (orr_steer_config_check(config, NULL) < 0) return ORR_EINVALID;
    *s = (struct orr_steer){ .config = *config, .rate = rate_ppb };
    return 0;
}

/* -- Arithmetic ---------------------------------------------------------------------------------------------------- */
static double within(double x, double most) { return x > most ? most : x < -most ? -most : x; }

static double seconds(orr_time t) { return (double)t / BILLION; }

static orr_time later(orr_time at, orr_time by) { return at > INT64_MAX - by ? INT64_MAX : at + by; }

static orr_time size_of(orr_time t) { return t < 0 ? t == INT64_MIN ? INT64_MAX : -t : t; }

/* What was not expected is the rate's fault. */
static void follow(struct orr_steer *s, orr_time passed, orr_time offset) {
    double expected = s->offset - s->slew * seconds(passed);
    double lacks = ((double)offset - expected) / seconds(passed);
    if (lacks < JUMP_PPB && lacks > -JUMP_PPB) s->rate += lacks * seconds(passed) / seconds(later(passed, FOLLOW));
    s->slew = within((double)offset / seconds(s->config.constant), s->config.slew_max_ppb);
}

static void note(struct orr_steer *s, orr_time now, orr_time offset) {
    s->at = now;
    s->offset = (double)offset;
}

static void begin(struct orr_steer *s, orr_time now, orr_time offset) {
    s->state = ORR_STEER_LEARNS;
    s->first = now;
    s->first_offset = offset;
}

static void learn(struct orr_steer *s, orr_time now, orr_time offset) {
    double lacks = ((double)offset - (double)s->first_offset) / seconds(now - s->first);
    if (lacks > s->config.rate_max_ppb || lacks < -s->config.rate_max_ppb) {
        begin(s, now, offset);                      /* somebody has set it meanwhile */
    } else if (now - s->first >= s->config.learn) {
        s->rate += lacks;
        s->state = ORR_STEER_FOLLOWS;
    }
}

static void command(struct orr_steer *s, struct orr_steer_command *out) {
    double most = s->config.rate_max_ppb;
    s->rate = within(s->rate, most);
    out->rate_ppb = (int32_t)within(s->rate + s->slew, most);
    s->slew = out->rate_ppb - s->rate;              /* as it is, and not as it was to be */
}

/* -- What is asked ------------------------------------------------------------------------------------------------- */
void orr_steer_begin(struct orr_steer *s) {
    s->state = ORR_STEER_NEW;
    s->slew = 0;
}

void orr_steer_rest(struct orr_steer *s, orr_time now, struct orr_steer_command *out) {
    *out = (struct orr_steer_command){ 0 };
    if (now > s->at) {
        s->offset -= s->slew * seconds(now - s->at);
        s->at = now;
    }
    s->slew = 0;
    command(s, out);
}

void orr_steer_update(struct orr_steer *s, orr_time now, orr_time offset, orr_time bound,
                      struct orr_steer_command *out) {
    *out = (struct orr_steer_command){ 0 };
    if (s->state == ORR_STEER_NEW) {
        bool far = size_of(offset) > s->config.step_min && size_of(offset) > bound;
        if (far) out->step = offset;
        begin(s, now, offset - out->step);
        note(s, now, offset - out->step);
    } else if (now > s->at) {
        if (s->state == ORR_STEER_LEARNS) learn(s, now, offset);
        else follow(s, now - s->at, offset);
        note(s, now, offset);
    }
    command(s, out);
}
