/* detectors.c - how soon each detector finds the dead, and how often it takes the living for dead, on a latency trace:
 * [--trace FILE] [NODES] [HOURS] [SEED]
 *
 * The trace has a line for each of its messages, in the order of time: `SECONDS DELAY_MS`, or `SECONDS lost`; lines
 * that begin with # are for people. Each way between two nodes plays it round and round from a place of its own: a
 * message fares as the last one of the trace that was sent no later. Without one, an hour is made up by the seed: a
 * message each 50 ms, a half to a millisecond long, one in 50 with a heavy tail behind it (Pareto's, exponent 16/15, up
 * to 5 s); one in 200 lost, and each two minutes or so a burst of a second or so in which three of four are; and of the
 * nodes the last is slow: in half of each minute it stands still for some seconds again and again, and works off what
 * has come in between.
 *
 * Each minute and a half one node dies, for 45 s. Time to detect: from its death until one other declares it failed,
 * over all deaths and all others. False: a node that lives is declared failed by one other; by hour of each node; and
 * of these how many were not of the slow one, and how many not by it either. */
#include "members.h"

enum { NODES_MOST = 64, CYCLE = 90, DOWN = 45, SAMPLES_MOST = 1 << 22 };

/* -- The trace ----------------------------------------------------------------------------------------------------- */
struct line {
    orr_time at, delay;             /* delay negative: lost */
};
static struct {
    struct line *lines;
    size_t n, cap;
    orr_time length;
    bool made_up;
} trace;

static void add(orr_time at, orr_time delay) {
    if (trace.n == trace.cap) {
        trace.cap = trace.cap ? trace.cap * 2 : 1024;
        trace.lines = realloc(trace.lines, trace.cap * sizeof *trace.lines);
        if (!trace.lines) exit(2);
    }
    trace.lines[trace.n++] = (struct line){ at, delay };
}

static void make_up(uint64_t seed) {
    struct orr_rng rng;
    orri_rng_init(&rng, seed);
    orr_time burst = 0, next = exponential(&rng, 120e9);
    for (orr_time t = 0; t < 3600 * ORR_SECOND; t += 50 * ORR_MS) {
        if (t >= next) {
            burst = t + exponential(&rng, 1e9);
            next = burst + exponential(&rng, 120e9);
        }
        double delay = 500e3 + 500e3 * orri_rng_unit(&rng);
        double u = 1 - orri_rng_unit(&rng), root = u;       /* to the power of 1/16, on all machines alike */
        for (int i = 0; i < 4; i++) root = sqrt(root);
        if (orri_rng_chance(&rng, 0.02)) delay += 1e6 / (u / root);
        bool lost = orri_rng_chance(&rng, t < burst ? 0.75 : 0.005);
        add(t, lost ? -1 : (orr_time)(delay < 5e9 ? delay : 5e9));
    }
    trace.length = 3600 * ORR_SECOND;
    trace.made_up = true;
}

static bool refuse(const char *file, size_t line, const char *expected, const char *got) {
    fprintf(stderr, "detectors: %s:%zu: expected %s (got '%.60s')\n", file, line, expected, got);
    return false;
}

static bool read_line(const char *file, size_t n, char *text) {
    char *end, *rest;
    text[strcspn(text, "\r\n")] = '\0';
    if (text[strspn(text, " \t")] == '\0' || text[0] == '#') return true;
    double at = strtod(text, &end), delay = -1e-6;
    if (end == text || !(at >= 0 && at < 1e9)) return refuse(file, n, "SECONDS, a time from 0 up", text);
    orr_time time = (orr_time)(at * 1e9 + 0.5);
    if (trace.n && time < trace.lines[trace.n - 1].at) return refuse(file, n, "a time not before the last", text);
    rest = end + strspn(end, " \t");
    if (strcmp(rest, "lost") != 0) {
        delay = strtod(rest, &end);
        if (end == rest || rest == text || !(delay >= 0 && delay <= 600e3) || end[strspn(end, " \t")] != '\0')
            return refuse(file, n, "DELAY_MS from 0 to 600000, or 'lost', behind the time", text);
    }
    add(time, (orr_time)(delay * 1e6 + (delay < 0 ? -0.5 : 0.5)));
    return true;
}

static bool read_trace(const char *file) {
    FILE *in = fopen(file, "r");
    char text[256];
    size_t n = 0;
    bool good = in != NULL;
    if (!in) fprintf(stderr, "detectors: cannot read %s: %s\n", file, strerror(errno));
    while (good && fgets(text, sizeof text, in)) {
        if (!strchr(text, '\n') && !feof(in)) good = refuse(file, n + 1, "a line of less than 255 bytes", text);
        else good = read_line(file, ++n, text);
    }
    if (in) (void)fclose(in);
    if (good && (trace.n < 2 || trace.lines[trace.n - 1].at == trace.lines[0].at)) {
        fprintf(stderr, "detectors: %s: expected messages of more than one moment (got %zu messages)\n", file, trace.n);
        good = false;
    }
    if (!good) return false;
    orr_time first = trace.lines[0].at, span = trace.lines[trace.n - 1].at - first;
    for (size_t i = 0; i < trace.n; i++) trace.lines[i].at -= first;
    trace.length = span + span / (orr_time)(trace.n - 1);   /* the last one's moment lasts as long as others' do */
    return true;
}

static orr_time fate(orr_time at) {
    size_t low = 0, high = trace.n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (trace.lines[middle].at <= at) low = middle;
        else high = middle;
    }
    return trace.lines[low].delay;
}

/* -- A run --------------------------------------------------------------------------------------------------------- */
struct contender {
    const char *name;
    enum orr_detector detector;
    double value;                   /* phi, or seconds of silence */
    bool lifeguard;
};
static const struct contender contenders[] = {
    { "swim", ORR_DETECTOR_SWIM, 0, true },
    { "swim without Lifeguard", ORR_DETECTOR_SWIM, 0, false },
    { "phi 3", ORR_DETECTOR_PHI, 3, false },
    { "phi 5", ORR_DETECTOR_PHI, 5, false },
    { "phi 8", ORR_DETECTOR_PHI, 8, false },
    { "phi 12", ORR_DETECTOR_PHI, 12, false },
    { "phi 16", ORR_DETECTOR_PHI, 16, false },
    { "deadline 2 s", ORR_DETECTOR_DEADLINE, 2, false },
    { "deadline 3 s", ORR_DETECTOR_DEADLINE, 3, false },
    { "deadline 5 s", ORR_DETECTOR_DEADLINE, 5, false },
    { "deadline 10 s", ORR_DETECTOR_DEADLINE, 10, false },
};

static struct run {
    struct mnet *net;
    size_t n;
    const struct contender *who;
    uint64_t seed;
    size_t victim;                  /* who is, or was last, down */
    orr_time died;
    bool expected[NODES_MOST];      /* of these observers */
    uint64_t starts[NODES_MOST];
    struct orr_rng chance;          /* of deaths and of the slow one's pauses: the same for all that contend */
    orr_time turn;                  /* when the slow one stops, or goes on */
    bool stopped;
    double *took;                   /* seconds */
    size_t n_took, missed;
    uint64_t wrong, of_healthy, by_healthy;        /* by_healthy: of the healthy, by the healthy */
} run;

static orr_time delay(void *ud, struct orr_rng *rng, orr_time now, size_t from, size_t to) {
    uint64_t place = orri_mix64(orri_mix64(run.seed, from), to) % (uint64_t)trace.length;
    (void)ud;
    (void)rng;
    return fate((now + (orr_time)place) % trace.length);
}

static bool slow(size_t node) { return trace.made_up && node == run.n - 1; }

/* In half of each minute it stops for 2 to 8 s, then runs for a tenth to a whole one; and again. */
static void turn(void) {
    orr_time minute = 60 * ORR_SECOND, half = run.turn - run.turn % minute + minute / 2;
    run.stopped = !run.stopped;
    mnet_pause(run.net, run.n - 1, run.stopped);
    if (run.stopped) {
        run.turn += orri_rng_between(&run.chance, 2 * ORR_SECOND, 8 * ORR_SECOND);
        if (run.turn > half) run.turn = half;
    } else {
        run.turn += orri_rng_between(&run.chance, ORR_SECOND / 10, ORR_SECOND);
        if (run.turn >= half) run.turn = half + minute / 2;
    }
}

static void advance(orr_time until) {
    for (; run.turn <= until; turn()) mnet_run(run.net, run.turn - mnet_now(run.net));
    mnet_run(run.net, until - mnet_now(run.net));
}

static struct orr_membership_config config(void) {
    struct orr_membership_config cfg;
    orr_membership_config_init(&cfg);
    cfg.cluster = 1;
    cfg.detector = run.who->detector;
    if (run.who->detector == ORR_DETECTOR_PHI) {
        cfg.phi_fail = run.who->value;
        cfg.phi_suspect = run.who->value * 0.625;           /* as 5 is to 8 */
    }
    if (run.who->detector == ORR_DETECTOR_DEADLINE) cfg.silence = (orr_time)(run.who->value * 1e9);
    if (run.who->detector == ORR_DETECTOR_SWIM && !run.who->lifeguard) {
        cfg.awareness_max = 1;
        cfg.suspicion_max_mult = 1;
    }
    return cfg;
}

static void event(void *ud, size_t node, const struct orr_membership_ready *r) {
    size_t about = mnet_number(run.net, r->event.id);
    (void)ud;
    if (r->event.kind != ORR_MEMBER_FAILS) return;
    if (mnet_of(run.net, about) && r->event.incarnation >> 32 == run.starts[about]) {
        run.wrong++;
        run.of_healthy += !slow(about);
        run.by_healthy += !slow(about) && !slow(node);
    } else if (about == run.victim && run.expected[node] && run.n_took < SAMPLES_MOST) {
        run.expected[node] = false;
        run.took[run.n_took++] = SECONDS(mnet_now(run.net) - run.died);
    }
}

static void start(size_t i) {
    run.starts[i]++;
    mnet_start(run.net, i);
}

/* Somebody who isn't slow. Those who have it for failed by mistake will not say so again. */
static void dies(void) {
    run.victim = (size_t)orri_rng_below(&run.chance, run.n - trace.made_up);
    run.died = mnet_now(run.net);
    for (size_t i = 0; i < run.n; i++)
        run.expected[i] = i != run.victim && mnet_sees(run.net, i, run.victim) >= 0 &&
                          mnet_sees(run.net, i, run.victim) < ORR_MEMBER_FAILED;
    mnet_kill(run.net, run.victim);
}

static void begin(size_t n) {
    struct mnet_options o = { .n = n, .seed = run.seed, .cfg = config(), .delay = delay, .event = event };
    run.net = mnet_new(&o);
    run.n = n;
    run.n_took = run.missed = 0;
    memset(run.starts, 0, sizeof run.starts);
    memset(run.expected, 0, sizeof run.expected);
    orri_rng_init(&run.chance, run.seed);
    run.stopped = false;
    run.turn = trace.made_up ? 60 * ORR_SECOND : ORR_NEVER;
    for (size_t i = 0; i < n; i++) start(i);
    advance(60 * ORR_SECOND - 1);
    run.wrong = run.of_healthy = run.by_healthy = 0;        /* while they come together, nothing counts */
}

static void play(size_t n, double hours) {
    begin(n);
    unsigned rounds = (unsigned)(hours * 3600 / CYCLE + 0.5);
    for (unsigned k = 0; k < rounds; k++) {
        orr_time from = mnet_now(run.net);
        dies();
        advance(from + DOWN * ORR_SECOND);
        for (size_t i = 0; i < n; i++) run.missed += run.expected[i];
        memset(run.expected, 0, sizeof run.expected);
        start(run.victim);
        advance(from + CYCLE * ORR_SECOND);
    }
}

/* In order of size, those that never came last. */
static void print_quantile(double q) {
    size_t all = run.n_took + run.missed, at = all ? (size_t)((double)(all - 1) * q) : 0;
    if (at < run.n_took) printf(" %8.2f", run.took[at]);
    else printf(" %8s", "never");
}

static void report(double hours) {
    double by = (double)run.n * hours;
    qsort(run.took, run.n_took, sizeof *run.took, by_size);
    printf("%-24s", run.who->name);
    print_quantile(0.5);
    print_quantile(0.99);
    printf(" %8zu %10.3f %10.3f %10.3f %10.2f\n", run.missed, (double)run.wrong / by, (double)run.of_healthy / by,
           (double)run.by_healthy / by, (double)mnet_packets(run.net) / ((double)run.n * SECONDS(mnet_now(run.net))));
}

static void print_head(const char *file, double n, double hours, double seed) {
    size_t lost = 0;
    for (size_t i = 0; i < trace.n; i++) lost += trace.lines[i].delay < 0;
    printf("%s: %zu messages in %.0f s, %.2f %% lost; %.0f nodes, %g hours each, seed %.0f\n", file ? file : "made up",
           trace.n, SECONDS(trace.length), 100.0 * (double)lost / (double)trace.n, n, hours, seed);
    printf("%-24s %8s %8s %8s %10s %10s %10s %10s\n", "", "detected", "99 % in", "not in", "false by", "of them:",
           "of healthy", "messages");
    printf("%-24s %8s %8s %8s %10s %10s %10s %10s\n", "", "in, s", "s", "45 s", "node, h", "of healthy", "by healthy",
           "node, s");
}

int main(int argc, char **argv) {
    double value[3] = { 16, 2, 1 };
    static const struct { const char *what; double least, most; } ranges[] = {
        { "NODES", 3, NODES_MOST }, { "HOURS", 0.1, 1000 }, { "SEED", 0, 1e15 } };
    const char *file = NULL;
    unsigned k = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0 && i + 1 < argc) {
            file = argv[++i];
        } else if (k == 3) {
            fprintf(stderr, "detectors: expected [--trace FILE] [NODES] [HOURS] [SEED] (got '%s' too)\n", argv[i]);
            return 2;
        } else if (!number("detectors", ranges[k].what, argv[i], ranges[k].least, ranges[k].most, &value[k])) {
            return 2;
        } else {
            k++;
        }
    }
    run.seed = (uint64_t)value[2];
    if (file && !read_trace(file)) return 2;
    if (!file) make_up(run.seed);
    run.took = calloc(SAMPLES_MOST, sizeof *run.took);
    if (!run.took) return 2;
    print_head(file, value[0], value[1], value[2]);
    for (size_t i = 0; i < sizeof contenders / sizeof *contenders; i++) {
        run.who = &contenders[i];
        play((size_t)value[0], value[1]);
        report(value[1]);
        mnet_free(run.net);
    }
    free(run.took);
    free(trace.lines);
    return 0;
}
