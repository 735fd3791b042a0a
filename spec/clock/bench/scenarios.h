/* scenarios.h - the networks and oscillators that the clock is judged on, and what chrony did on them.
 *
 * chrony's figures are those of Debian's chronyd 4.3, unmodified, run in simulated time on these models (10 seeds): at
 * its default, and the best of that and of two settings which throw late samples away (maxdelaydevratio 1,
 * maxdelayquant 0.2). In ns; root mean squares, where the path itself is uneven (`spread`) with the mean taken out.
 * Bars are ratios to them, of the learned mode; the other may have more. */
#ifndef SPEC_CLOCK_SCENARIOS_H
#define SPEC_CLOCK_SCENARIOS_H

#include <stdbool.h>

enum queue { EXPONENTIAL, HEAVY, NORMAL, SWITCH };      /* HEAVY: Lomax, shape 2.5. SWITCH: empty but for `load` */
struct way {
    double base, mean;              /* s */
    enum queue queue;
    double load;
    double burst, burst_mean;       /* share of 2 s slots with exponential delays on top */
};
struct figures {
    double rms, tuned_rms, p95, max, bound, settle;     /* settle: s */
};
struct bars {
    double rms, tuned_rms, max, violations;             /* violations: share of queries */
};
struct scenario {
    const char *name, *about;
    double hours, poll, query;      /* s */
    unsigned peers;
    struct way out, back;
    double inside, loss;            /* s in the server; share of round trips */
    double wander;                  /* s/s per sqrt(hour) */
    double sine, sine_period;       /* s/s, s: of the frequency */
    double per_degree, degrees, degrees_period, degrees_walk;   /* degrees: sine; walk per sqrt(hour) */
    double rate_step, reference_step, route_step;               /* s/s, s, s: in the middle */
    bool outage;                    /* two hours from the middle on */
    double lie, creep;              /* s, s/s: of the last peer, from a third on */
    bool spread;
    struct figures chrony;
    struct bars bars;
    double rms_of_ntp, tuned_rms_of_ntp;                        /* 0: BAR_OF_NTP times the learned mode's */
};

#define BOTH(...) .out = { __VA_ARGS__ }, .back = { __VA_ARGS__ }
#define LAN .hours = 12, .poll = 16, .query = 10, .inside = 5e-6, BOTH(100e-6, 50e-6, EXPONENTIAL)
#define DC .inside = 5e-6, BOTH(20e-6, 5e-6, EXPONENTIAL, .burst = 0.2, .burst_mean = 50e-6)
#define NIC(l) .hours = 3, .poll = 1, .query = 5, .inside = 1e-6, BOTH(20e-6, 10e-6, SWITCH, .load = l)
#define HEAT .per_degree = 0.2e-6, .degrees = 2.5, .degrees_period = 3600, .degrees_walk = 0.5
#define STEADY .wander = 0.02e-6
#define RESTLESS .wander = 0.1e-6

static const struct scenario scenarios[] = {
    { "hw", "stamps of the NIC, 100 ns of jitter", .hours = 2, .poll = 1, .query = 3, .peers = 1, .inside = 1e-6,
      BOTH(5e-6, 0.1e-6, NORMAL), STEADY,
      .chrony = { 17.7, 17.7, 34.6, 125.1, 21378.7, 3 }, .bars = { 0.80, 0.80, 1, 0 } },
    { "dc", "data centre, bursts", .hours = 3, .poll = 1, .query = 5, .peers = 1, DC, STEADY,
      .chrony = { 1615.1, 289.4, 2391.8, 44606.3, 39517.0, 364 }, .bars = { 0.15, 0.75, 1, 0 } },
    { "dc16", "the same, asked each 16 s", .hours = 12, .poll = 16, .query = 16, .peers = 1, DC, STEADY,
      .chrony = { 1393.2, 1306.5, 2696.3, 28455.7, 47742.2, 64 }, .bars = { 0.60, 0.65, 1, 0 } },
    { "nic40", "stamps of the NIC, switches 40 % busy", .peers = 1, NIC(0.4), STEADY,
      .chrony = { 91.1, 19.2, 74.8, 4475.2, 36821.0, 249 }, .bars = { 0.25, 0.95, 1, 0 } },
    { "nic80", "80 % busy", .peers = 1, NIC(0.8), STEADY,
      .chrony = { 896.2, 222.3, 1718.2, 20979.2, 38453.3, 6 }, .bars = { 0.03, 0.13, 1, 0 },
      .rms_of_ntp = 0.15, .tuned_rms_of_ntp = 0.50 },
    { "lan", "100 us of path, 50 us of queue", .peers = 1, LAN, STEADY,
      .chrony = { 5652.4, 4437.6, 10695.5, 84578.6, 142616.6, 78 }, .bars = { 0.55, 0.70, 1, 0 } },
    { "lan4", "four servers", .peers = 4, LAN, STEADY,
      .chrony = { 2834.4, 2834.4, 5549.4, 16161.2, 142643.0, 66 }, .bars = { 0.65, 0.65, 1, 0 } },
    { "wan", "20 ms split 13 to 7, heavy tails", .hours = 48, .poll = 64, .query = 40, .peers = 1, .inside = 5e-6,
      .out = { 13e-3, 5e-3, HEAVY }, .back = { 7e-3, 5e-3, HEAVY }, STEADY, .spread = true,
      .chrony = { 452143.7, 202926.0, 3738874.0, 13675395.4, 11427131.0, 64 }, .bars = { 0.30, 0.55, 1, 0 } },
    { "wansym", "20 ms, jitter on the way out", .hours = 48, .poll = 64, .query = 40, .peers = 1, .inside = 5e-6,
      .out = { 10e-3, 5e-3, HEAVY }, .back = { 10e-3, 0.5e-3, HEAVY }, STEADY, .spread = true,
      .chrony = { 158320.1, 99346.6, 390465.9, 3765824.6, 10426741.6, 496 }, .bars = { 0.45, 0.65, 1, 0 } },
    { "temp", "lan, a cooling cycle of 0.5 ppm, wander", .peers = 1, LAN, RESTLESS, .sine = 0.5e-6, .sine_period = 3600,
      .chrony = { 16901.7, 16198.7, 34216.1, 100388.4, 151477.8, 14 }, .bars = { 0.55, 0.55, 1, 0 } },
    { "wander", "lan, 0.1 ppm of wander", .peers = 1, LAN, RESTLESS,
      .chrony = { 7505.0, 7505.0, 14468.8, 90158.5, 143491.0, 40 }, .bars = { 0.70, 0.70, 1, 0 } },
    { "fstep", "lan, the frequency steps by 5 ppm", .peers = 1, LAN, STEADY, .rate_step = 5e-6,
      .chrony = { 8261.6, 8261.6, 11906.4, 323414.8, 142776.0, 37 }, .bars = { 1.0, 1.0, 1, 0.0002 } },
    { "rstep", "lan4, the reference steps by 20 ms", .peers = 4, LAN, STEADY, .reference_step = 20e-3,
      .chrony = { 391895.5, 391895.5, 6632.8, 20004509.4, 142789.3, 52 }, .bars = { 0.95, 0.95, 1.2, 0.0005 } },
    { "false1", "lan4, one is off by 3 ms", .peers = 4, LAN, STEADY, .lie = 3e-3,
      .chrony = { 3102.0, 3102.0, 6036.6, 16240.3, 142342.2, 58 }, .bars = { 0.65, 0.65, 1, 0 } },
    { "creep1", "lan4, one creeps by 0.1 ppm", .peers = 4, LAN, STEADY, .creep = 0.1e-6,
      .chrony = { 9310.4, 9037.7, 12184.2, 69348.9, 142474.4, 58 }, .bars = { 0.35, 0.35, 1, 0 } },
    { "loss20", "lan, a fifth is lost", .peers = 1, LAN, STEADY, .loss = 0.2,
      .chrony = { 5903.4, 5128.3, 11580.6, 59256.4, 144806.0, 90 }, .bars = { 0.55, 0.70, 1, 0 } },
    /* The wander decides it, and how much there is of it differs by seed: chrony's figure of 30 of them. */
    { "outage", "wander, two hours alone", .peers = 1, LAN, RESTLESS, .outage = true,
      .chrony = { 158000, 158000, 308616.2, 0, 145728.0, 10 }, .bars = { 1.1, 1.1, 0, 0 } },
    { "tsens", "lan, a sensor in steps of 0.25 degrees", .peers = 1, LAN, STEADY, HEAT,
      .chrony = { 16954.5, 16421.0, 34319.6, 98433.2, 151576.6, 12 }, .bars = { 0.40, 0.40, 1, 0 } },
    { "tsout", "the same, two hours alone", .peers = 1, LAN, STEADY, HEAT, .outage = true,
      .chrony = { 531569.9, 531569.9, 1498405.1, 3122902.3, 154765.6, 10 }, .bars = { 0.25, 0.25, 1, 0 } },
    { "route", "lan, the way out becomes 200 us longer", .peers = 1, LAN, STEADY, .route_step = 200e-6,
      .chrony = { 71948.9, 68803.2, 106969.9, 156957.2, 230115.4, 10 }, .bars = { 1.05, 1.05, 1.2, 0 } },
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };
#define BAR_OF_NTP 1.15

#endif
