/* clock_fuzz.c - any bytes as what a clock has saved: refused, or a clock that works and saves what can be loaded. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <orrery/clock.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct orr_clock *made(enum orr_clock_mode mode) {
    struct orr_clock_config config;
    struct orr_clock *c;
    orr_clock_config_init(&config);
    config.mode = mode;
    config.peers_max = 4;
    if (orr_clock_new(&c, &config) != 0) abort();
    for (uint32_t id = 1; id <= 3; id++)
        if (orr_clock_peer_add(c, 0, id, 0) != 0) abort();
    return c;
}

/* The last byte, part of a checksum that is not looked at here, says in which mode. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static unsigned char saved[8192];
    enum orr_clock_mode mode = size > 0 && data[size - 1] & 1 ? ORR_CLOCK_PACEMAKER : ORR_CLOCK_NTP;
    struct orr_clock *c = made(mode);
    if (orr_clock_load(c, data, size) == 0) {
        size_t bytes = orr_clock_save(c, saved, sizeof saved);
        struct orr_clock *again = made(mode);
        if (bytes > sizeof saved || orr_clock_load(again, saved, bytes) != 0) abort();
        orr_clock_free(again);
    }
    for (orr_time t = ORR_SECOND; t < 20 * ORR_SECOND; t += ORR_SECOND) {
        struct orr_clock_exchange x = { .t1 = t, .t4 = t + ORR_MS, .t2 = t + ORR_MS / 2, .t3 = t + ORR_MS / 2,
                                        .stratum = 1 };
        struct orr_clock_time now;
        uint32_t id = mode == ORR_CLOCK_NTP ? 1 + (uint32_t)(t / ORR_SECOND % 3) : 1;
        (void)orr_clock_sample(c, t + ORR_MS, id, &x);
        if (orr_clock_now(c, t + 2 * ORR_MS, &now) && now.earliest > now.latest) abort();
    }
    orr_clock_free(c);
    return 0;
}
