/* clock.c - the clock fed from a recorded trace, an answer for each of its queries.
 *
 *   clock [--mode ntp|pacemaker] [--peers N] [--poll S] <TRACE          (--poll: for the sake of what calls it; the
 *                                                                        trace has it anyway)
 *   clock --cost                                 prints CPU an exchange, bytes a peer
 *
 * Lines in and answers out are those of orrery/clock_replay.h, as in `orrery clock replay`; this is the clock without
 * Lua, to be measured and to be compiled in other ways. */
#include <orrery/clock_replay.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"

static const char *const modes[] = { "ntp", "pacemaker" };

static double cpu_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* A hundred thousand exchanges, made beforehand: what the clock alone takes for each. */
static void cost(enum orr_clock_mode mode, unsigned peers) {
    enum { MADE = 4096, ROUNDS = 25 };
    static struct orr_clock_exchange made[MADE];
    struct orr_clock_config config;
    struct orr_clock *c;
    struct orr_rng rng;
    orri_rng_init(&rng, peers);
    orr_clock_config_init(&config);
    config.mode = mode;
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
    printf("%s, %u peer%s: %.2f us of CPU an exchange, %zu bytes a peer\n", modes[mode], peers, peers > 1 ? "s" : "",
           spent * 1e6 / MADE / ROUNDS, orr_clock_bytes(mode, 2) - orr_clock_bytes(mode, 1));
    orr_clock_free(c);
}

int main(int argc, char **argv) {
    struct orr_clock_config config;
    struct orr_clock *c;
    char line[512], text[ORR_CLOCK_TEXT];
    if (argc == 2 && strcmp(argv[1], "--cost") == 0) {
        for (int mode = ORR_CLOCK_NTP; mode <= ORR_CLOCK_PACEMAKER; mode++) {
            cost((enum orr_clock_mode)mode, 1);
            cost((enum orr_clock_mode)mode, 4);
        }
        return 0;
    }
    orr_clock_config_init(&config);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--peers") == 0) config.peers_max = (unsigned)atoi(argv[i + 1]);
        if (strcmp(argv[i], "--mode") == 0) {
            config.mode = strcmp(argv[i + 1], modes[0]) == 0 ? ORR_CLOCK_NTP : ORR_CLOCK_PACEMAKER;
        }
    }
    if (orr_clock_new(&c, &config) != 0) return 2;
    for (uint32_t i = 0; i < config.peers_max; i++) (void)orr_clock_peer_add(c, INT64_MIN / 4, i, 0);
    for (unsigned long n = 1; fgets(line, sizeof line, stdin); n++) {
        int said = orr_clock_replay(c, line, strcspn(line, "\n"), text);
        if (said > 0) puts(text);
        if (said >= 0) continue;
        fprintf(stderr, "clock: line %lu: %s\n", n, text);
        return 2;
    }
    orr_clock_free(c);
    return 0;
}
