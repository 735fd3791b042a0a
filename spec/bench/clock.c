/* clock.c - the clock fed from a recorded trace, an answer for each of its queries.
 *
 *   clock [--peers N] [--poll S] <TRACE          (--poll: for the sake of what calls it; the trace has it anyway)
 *   clock --cost                                 prints CPU an exchange, bytes a peer
 *
 * Lines in, times in ns: `X peer t1 t2 t3 t4 . . . stratum root_delay root_dispersion`, an exchange; `L peer . t1`, one
 * without a reply; `S local millicelsius`; `Q . local .`, a query. The dotted fields are the generator's truth and not
 * read. Out, for each Q: `local offset earliest latest sd freq_ppb state goodmask`, all offsets of reference against
 * local; `-` is unknown. */
#include <orrery/clock.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"

static const char *const states[] = { "unsync", "sync", "holdover" };

static double cpu_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* A million exchanges, made beforehand: what the clock alone takes for each. */
static void cost(unsigned peers) {
    enum { MADE = 4096, ROUNDS = 250 };
    static struct orr_clock_exchange made[MADE];
    struct orr_clock_config config;
    struct orr_clock *c;
    struct orr_rng rng;
    orri_rng_init(&rng, peers);
    orr_clock_config_init(&config);
    config.peers_max = peers;
    if (orr_clock_new(&c, &config) != 0) exit(2);
    for (uint32_t i = 0; i < peers; i++) (void)orr_clock_peer_add(c, 0, i, 0);
    double spent = 0;
    orr_time now = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < MADE; i++) {
            orr_time out = 100000 + (orr_time)orri_rng_below(&rng, 50000);
            orr_time back = 100000 + (orr_time)orri_rng_below(&rng, 50000);
            now += ORR_SECOND / peers;
            made[i] = (struct orr_clock_exchange){ .t1 = now, .t2 = now + out, .t3 = now + out + 5000,
                                                   .t4 = now + out + 5000 + back, .stratum = 1 };
        }
        double began = cpu_seconds();
        for (unsigned i = 0; i < MADE; i++) (void)orr_clock_sample(c, made[i].t4, i % peers, &made[i]);
        spent += cpu_seconds() - began;
    }
    printf("%u peer%s: %.2f us of CPU an exchange, %zu bytes a peer\n", peers, peers > 1 ? "s" : "",
           spent * 1e6 / MADE / ROUNDS, orr_clock_bytes(2) - orr_clock_bytes(1));
    orr_clock_free(c);
}

static void query(const struct orr_clock *c, orr_time local) {
    struct orr_clock_time t;
    if (!orr_clock_now(c, local, &t) || t.state == ORR_CLOCK_UNSYNC) {
        printf("%" PRId64 " - - - - - unsync 0\n", local);
        return;
    }
    printf("%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %.1f %.3f %s %" PRIx64 "\n", local, t.offset,
           t.earliest - local, t.latest - local, (double)t.likely / 5, t.rate_ppt / 1e3, states[t.state], t.good);
}

static bool exchange(struct orr_clock *c, const char *line) {
    struct orr_clock_exchange x = { 0 };
    unsigned peer, stratum;
    double delay, dispersion;
    if (sscanf(line, "X %u %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %*s %*s %*s %u %lf %lf", &peer, &x.t1, &x.t2,
               &x.t3, &x.t4, &stratum, &delay, &dispersion) != 8) return false;
    x.stratum = (uint8_t)stratum;
    x.root_delay_ns = (uint32_t)delay;
    x.root_dispersion_ns = (uint32_t)dispersion;
    return orr_clock_sample(c, x.t4, peer, &x) >= 0;
}

int main(int argc, char **argv) {
    struct orr_clock_config config;
    struct orr_clock *c;
    char line[512];
    if (argc == 2 && strcmp(argv[1], "--cost") == 0) {
        cost(1);
        cost(4);
        return 0;
    }
    orr_clock_config_init(&config);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--peers") == 0) config.peers_max = (unsigned)atoi(argv[i + 1]);
    }
    if (orr_clock_new(&c, &config) != 0) return 2;
    for (uint32_t i = 0; i < config.peers_max; i++) (void)orr_clock_peer_add(c, INT64_MIN / 4, i, 0);
    while (fgets(line, sizeof line, stdin)) {
        orr_time local;
        int celsius;
        unsigned peer;
        if (line[0] == 'X') (void)exchange(c, line);
        else if (sscanf(line, "L %u %*s %" SCNd64, &peer, &local) == 2) (void)orr_clock_lost(c, local, peer);
        else if (sscanf(line, "S %" SCNd64 " %d", &local, &celsius) == 2) orr_clock_temperature(c, local, celsius);
        else if (sscanf(line, "Q %*s %" SCNd64, &local) == 1) query(c, local);
    }
    orr_clock_free(c);
    return 0;
}
