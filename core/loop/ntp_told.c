/* ntp_told.c - what others are told of our clock: how right it is, whom it follows, which second is a leap second.
 *
 * Of a clock: half the width of its interval, and the best of its true sources, the one whose own interval is the
 * tightest. Of the machine: what whoever steers it told the kernel (ntp_adjtime's maxerror, which the kernel lets grow
 * by 500 ppm); where nobody does, the kernel says so. */
#define _GNU_SOURCE
#include <sys/timex.h>

#include "loop/ntp_inner.h"

/* "LOCL" of the old servers: a machine's own clock. */
enum { MACHINE_REFID = 0x7f7f0100 };
static const orr_time maxerror_limit = 16 * ORR_SECOND;    /* the kernel's maxerror stops there */

int8_t orri_ntp_precision(void) {
    orr_time least = ORR_SECOND;
    for (unsigned i = 0; i < 64; i++) {
        orr_time a = orr_ntp_local(), b = orr_ntp_local();
        if (b > a && b - a < least) least = b - a;
    }
    int8_t log2 = 0;
    while (log2 > -30 && orr_ntp_power(log2 - 1) >= least) log2--;
    return log2;
}

static void tell_machine(const struct orr_ntp_service_config *config, const struct orri_ntp_moment *now,
                         struct orri_ntp_told *out) {
    struct timex t = { .modes = 0 };
    out->offset = now->wall - now->local;
    out->clock.stratum = config->machine_stratum;
    out->clock.refid = MACHINE_REFID;
    out->clock.reference = now->wall;
    if (ntp_adjtime(&t) < 0) return;
    out->clock.half_width = (orr_time)t.maxerror * ORR_US + now->error;
    out->clock.synchronised = !(t.status & (STA_UNSYNC | STA_CLOCKERR)) && out->clock.half_width < maxerror_limit;
    out->clock.leap = t.status & STA_INS ? 1 : t.status & STA_DEL ? 2 : 0;
}

/* -- By a clock ---------------------------------------------------------------------------------------------------- */
struct best {
    const struct orri_ntp_server *server;
    orr_time width, delay;
    unsigned n, leaps[4];           /* true servers; what they say of leap seconds */
};

static void weigh(const struct orr_clock *clock, const struct orri_ntp_server *s, orr_time local, uint64_t good,
                  struct best *best) {
    struct orr_clock_peer peer;
    if (!s->client || s->exchanges == 0 || orr_clock_peer_info(clock, local, s->id, &peer) != 0) return;
    if (!(good >> peer.place & 1)) return;
    best->n++;
    best->leaps[s->last.leap & 3]++;
    if (best->server && peer.latest - peer.earliest >= best->width) return;
    best->server = s;
    best->width = peer.latest - peer.earliest;
    best->delay = peer.delay;
}

static void tell_source(const struct orr_ntp_service_config *config, orr_time local, uint64_t good,
                        struct orri_ntp_told *out) {
    struct best best = { 0 };
    for (size_t i = 0; i < config->sources->n_places; i++)
        weigh(config->clock, &config->sources->places[i], local, good, &best);
    if (!best.server) return;
    out->clock.refid = orri_ntp_refid(&best.server->address.at);
    out->clock.root_delay = best.delay + best.server->last.root_delay_ns;
    out->clock.reference = best.server->last.t4 + out->offset;
    for (uint8_t leap = 1; leap <= 2; leap++)
        if (2 * best.leaps[leap] > best.n) out->clock.leap = leap;
}

static void tell_clock(const struct orr_ntp_service_config *config, orr_time local, struct orri_ntp_told *out) {
    struct orr_clock_time now;
    bool any = orr_clock_now(config->clock, local, &now);
    out->offset = any ? now.offset : orr_ntp_wall_offset(NULL);     /* an answer bears stamps, worthless or not */
    if (!any || now.state == ORR_CLOCK_UNSYNC) return;
    orr_time likely = local + now.offset, before = likely - now.earliest, after = now.latest - likely;
    out->clock.synchronised = true;
    out->clock.stratum = now.stratum;
    out->clock.half_width = before > after ? before : after;
    out->clock.reference = likely;
    if (config->sources) tell_source(config, local, now.good, out);
}

void orri_ntp_tell(const struct orr_ntp_service_config *config, const struct orri_ntp_moment *now,
                   struct orri_ntp_told *out) {
    *out = (struct orri_ntp_told){ .clock = { .stratum = 16 } };
    if (config->clock) tell_clock(config, now->local, out);
    else tell_machine(config, now, out);
}
