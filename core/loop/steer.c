/* steer.c - the machine's clock, set and made faster or slower (adjtimex(2)).
 *
 * Only the frequency is given, not the kernel's own phase-locked loop, which is switched off: what goes round here is
 * the caller's loop. Who may not (CAP_SYS_TIME, or a kernel that lets nobody) is told by the first call that would
 * change anything. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/timex.h>
#include <time.h>

#include "loop/inner.h"

enum { BY_KERNEL = STA_PLL | STA_FLL | STA_PPSFREQ | STA_PPSTIME | STA_FREQHOLD };

/* The kernel's unit is 2^-16 ppm. */
static long scaled(int32_t ppb) { return (long)((int64_t)ppb * 65536 / 1000); }
static int32_t unscaled(long freq) { return (int32_t)((int64_t)freq * 1000 / 65536); }

static int set_rate(int32_t ppb, int status) {
    struct timex t = { .modes = ADJ_FREQUENCY | ADJ_STATUS, .freq = scaled(ppb), .status = status & ~BY_KERNEL };
    return clock_adjtime(CLOCK_REALTIME, &t) < 0 ? -errno : 0;
}

static int set_by(orr_time step) {
    struct timex t = { .modes = ADJ_SETOFFSET };
    orr_time us = step / ORR_US, rest = us % 1000000;
    if (rest < 0) rest += 1000000;                  /* the kernel wants it so */
    t.time.tv_sec = (us - rest) / 1000000;
    t.time.tv_usec = rest;
    return clock_adjtime(CLOCK_REALTIME, &t) < 0 ? -errno : 0;
}

int orri_steer(struct orr_world *w, orr_time step, int32_t *rate_ppb) {
    struct timex now = { .modes = 0 };
    (void)w;
    if (clock_adjtime(CLOCK_REALTIME, &now) < 0) return -errno;
    int error = 0;
    if (*rate_ppb == ORR_RATE_KEEP) *rate_ppb = unscaled(now.freq);
    else error = set_rate(*rate_ppb, now.status);
    return error == 0 && step != 0 ? set_by(step) : error;
}
