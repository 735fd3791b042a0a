/* restart.c - going and coming back: leaving soon whoever is connected, and the replay of a long log.
 *
 *     restart PROGRAM [NAME...]           all, or those whose name holds one of the words
 *
 * ORR_LONG=1 replays three million writes. Times are generous, for others may use the machine; what they guard against
 * is a wait for a timeout, or work that grows with the log in one turn. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "live.h"

static const char *program;
static struct live l;

/* -- Leaving ------------------------------------------------------------------------------------------------------- */
static void leaves_soon(struct live_node *n, const char *who, bool idle_client) {
    struct live_conn client = { .fd = -1 };
    if (idle_client) {
        bool up = live_dial(&client, n->resp, ORR_SECOND) && live_command(&client, "PING", NULL);
        struct live_reply r = live_reply(&client, 2 * ORR_SECOND);
        if (!up || !live_is(&r, '+', "PONG")) live_die("no client can connect");
    }
    live_hang_up(&n->talk);
    orr_time from = live_now();
    live_stop(n);
    double ms = (double)(live_now() - from) / 1e6;
    live_check(ms < 600, "a %s %s leaves soon (%.0f ms)", who, idle_client ? "with an idle client" : "without clients",
               ms);
    if (idle_client) live_check(live_closed(&client, ORR_SECOND), "and its client sees the end");
    live_hang_up(&client);
    live_start(n);
    if (!live_serves(n, 10 * ORR_SECOND)) live_die("it does not come back");
}

static void leaving(void) {
    live_up(&l);
    for (int idle = 0; idle < 2; idle++) {
        leaves_soon(live_leader(&l, 5 * ORR_SECOND), "leader", idle);
        leaves_soon(live_follower(&l), "follower", idle);
    }
}

/* -- A long log ---------------------------------------------------------------------------------------------------- */
enum { PIPELINE = 5000 };

static void load(struct live_node *n, unsigned writes) {
    static char packet[PIPELINE * 128];
    struct live_conn c;
    if (!live_dial(&c, n->resp, ORR_SECOND)) live_die("no client can connect");
    for (unsigned done = 0; done < writes; done += PIPELINE) {
        size_t size = 0;
        for (unsigned i = 0; i < PIPELINE; i++) {
            size += (size_t)snprintf(packet + size, sizeof packet - size,
                                     "*3\r\n$3\r\nSET\r\n$9\r\nk%08u\r\n$40\r\n%040u\r\n",
                                     (done + i) * 7919u % (writes / 2), done + i);
        }
        if (!live_send(&c, packet, size, 20 * ORR_SECOND)) live_die("the load is not taken");
        for (unsigned i = 0; i < PIPELINE; i++) {
            struct live_reply r = live_reply(&c, 20 * ORR_SECOND);
            if (!live_is(&r, '+', "OK")) live_die("a write of the load fails");
        }
    }
    live_hang_up(&c);
}

/* Asks every node for the last write from the first moment on, until each has told it. Is anything else ever told? */
static size_t ask_until_told(const char *last, orr_time patience, bool *stale) {
    struct live_conn at[LIVE_NODES_MAX];
    bool asked[LIVE_NODES_MAX] = { false }, told[LIVE_NODES_MAX] = { false };
    size_t n_told = 0;
    for (size_t i = 0; i < l.n; i++) at[i].fd = -1;
    for (orr_time until = live_now() + patience; n_told < l.n && live_now() < until; live_pause()) {
        for (size_t i = 0; i < l.n; i++) {
            if (told[i] || (at[i].fd < 0 && !live_dial(&at[i], l.nodes[i].resp, 100 * ORR_MS))) continue;
            if (!asked[i]) asked[i] = live_command(&at[i], "GET", "last", NULL);
            struct live_reply r = live_reply(&at[i], 0);
            if (r.type == 0) continue;
            asked[i] = false;
            told[i] = live_is(&r, '$', last);
            n_told += told[i];
            *stale = *stale || (r.type == '$' && !told[i]);
            if (r.type == 'x') live_hang_up(&at[i]);
        }
    }
    for (size_t i = 0; i < l.n; i++)
        if (at[i].fd >= 0) live_hang_up(&at[i]);
    return n_told;
}

static int64_t highest_term(void) {
    int64_t term = 0;
    for (size_t i = 0; i < l.n; i++) {
        int64_t its = live_info_number(&l.nodes[i], "orrery_term");
        if (its > term) term = its;
    }
    return term;
}

static bool in_the_midst(struct live_node *n) {
    int64_t applied = live_info_number(n, "orrery_applied"), last = live_info_number(n, "orrery_last");
    return applied > 0 && applied < last;
}

static void one_replays(struct live_node *n, const char *last) {
    char mine[64] = "", theirs[64] = "";
    live_kill(n);
    live_start(n);
    bool midst;
    LIVE_WITHIN(midst, 20 * ORR_SECOND, in_the_midst(n));
    orr_time from = live_now();
    live_stop(n);
    live_check(midst && live_now() - from < 2 * ORR_SECOND, "told to leave amidst its log it leaves soon (%.0f ms)",
               (double)(live_now() - from) / 1e6);
    live_start(n);
    bool up = live_serves(n, 60 * ORR_SECOND);
    struct live_reply r = live_ask(n, 5 * ORR_SECOND, "GET", "last", NULL);
    live_check(up && live_is(&r, '$', last), "and reads all of it at its next start");
    int64_t turns = live_info_number(n, "loop_turns"), over = live_info_number(n, "loop_turns_over_16ms");
    live_check(turns > 0 && over >= 0 && over <= 3 + turns / 20,
               "no turn of the loop is long meanwhile: %" PRId64 " of %" PRId64 " above 16 ms", over, turns);
    struct live_node *leader = live_leader(&l, 5 * ORR_SECOND);
    bool same = false;
    if (leader) {
        LIVE_WITHIN(same, 5 * ORR_SECOND, live_info(n, "orrery_digest", mine, sizeof mine) &&
                    live_info(leader, "orrery_digest", theirs, sizeof theirs) && strcmp(mine, theirs) == 0);
    }
    live_check(same, "its state is the leader's (%s)", mine);
}

static void replay(void) {
    const char *last = "the last one", *longer = getenv("ORR_LONG");
    unsigned writes = longer && longer[0] ? 3000000 : 600000;
    for (size_t i = 0; i < l.n; i++) l.nodes[i].nice = -10;
    live_up(&l);
    load(&l.nodes[0], writes);
    if (!live_write_works(&l.nodes[0], 5 * ORR_SECOND, "last", last)) live_die("a write does not work");
    int64_t term = highest_term();
    for (size_t i = 0; i < l.n; i++) live_kill(&l.nodes[i]);
    for (size_t i = 0; i < l.n; i++) live_start(&l.nodes[i]);
    orr_time from = live_now();
    bool stale = false;
    size_t told = ask_until_told(last, 120 * ORR_SECOND, &stale);
    double seconds = (double)(live_now() - from) / 1e9;
    live_check(!stale, "killed with %u writes in the log and started again, no node answers with what is old", writes);
    live_check(told == l.n && seconds < 15 + 20e-6 * writes, "each answers, after %.1f s", seconds);
    int64_t terms = highest_term() - term;
    live_check(terms >= 1 && terms <= 4, "elections settle: %" PRId64 " terms", terms);
    for (size_t i = 0; i < l.n; i++) {
        bool ready;
        LIVE_WITHIN(ready, 5 * ORR_SECOND, live_info_number(&l.nodes[i], "ready") == 1);
        live_check(ready && live_logged(&l.nodes[i], "ready", 5 * ORR_SECOND), "node %s is ready, and says so",
                   l.nodes[i].id);
    }
    one_replays(live_follower(&l), last);
}

/* -- The whole ----------------------------------------------------------------------------------------------------- */
static const struct {
    const char *name;
    void (*run)(void);
    size_t nodes;
} tests[] = {
    { "leaving", leaving, 3 },
    { "replay", replay, 3 },
};

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: restart PROGRAM [NAME...]\n"), 2;
    program = argv[1];
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        bool wanted = argc == 2;
        for (int k = 2; k < argc; k++) wanted = wanted || strstr(tests[i].name, argv[k]);
        if (!wanted) continue;
        live_init(&l, program, tests[i].nodes);
        live_say("-- %s", tests[i].name);
        tests[i].run();
        live_done(&l);
    }
    return live_summary();
}
