/* restart.c - going and coming back: leaving soon whoever is connected, the replay of a long log, damaged snapshots.
 *
 *     restart PROGRAM [NAME...]           all, or those whose name holds one of the words
 *
 * ORR_LONG=1 replays three million writes. Times are generous, for others may use the machine; what they guard against
 * is a wait for a timeout, or work that grows with the log in one turn. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* -- Damaged snapshots --------------------------------------------------------------------------------------------- */
/* The `which`-th of the node's snapshots, from the newest; their names sort by index. */
static bool snapshot_file(const struct live_node *n, size_t which, char *out, size_t size) {
    struct dirent **names;
    char dir[LIVE_PATH];
    snprintf(dir, sizeof dir, "%.480s/%s", n->data, n->id);
    int count = scandir(dir, &names, NULL, alphasort);
    bool found = false;
    for (int i = count - 1; i >= 0; i--) {
        bool is = strncmp(names[i]->d_name, "snap-", 5) == 0 && !strstr(names[i]->d_name, ".tmp");
        if (is && which-- == 0) found = snprintf(out, size, "%s/%s", dir, names[i]->d_name) > 0;
        free(names[i]);
    }
    if (count >= 0) free(names);
    return found;
}

/* Writes and overwrites until the node has taken one more snapshot. Each round leaves a mark. */
static void until_snapshot(struct live_node *n, unsigned *marks) {
    int64_t before = live_info_number(n, "orrery_snapshot");
    for (orr_time until = live_now() + 120 * ORR_SECOND; live_now() < until;) {
        char key[32];
        for (unsigned i = 0; i < 16; i++) {
            snprintf(key, sizeof key, "big%u", i);
            struct live_conn *c = &n->talk;
            if (!live_set_big(c, key, (char)('a' + i), 500000, 10 * ORR_SECOND)) live_die("a write is not taken");
        }
        for (unsigned i = 0; i < 16; i++) {
            struct live_reply r = live_reply(&n->talk, 10 * ORR_SECOND);
            if (!live_is(&r, '+', "OK")) live_die("a large write fails");
        }
        snprintf(key, sizeof key, "mark%u", (*marks)++);
        if (!live_write_works(n, 5 * ORR_SECOND, key, "1")) live_die("a write does not work");
        if (live_info_number(n, "orrery_snapshot") > before) return;
    }
    live_die("no snapshot is taken");
}

static bool has_marks(struct live_node *n, unsigned marks) {
    for (unsigned i = 0; i < marks; i++) {
        char key[32];
        snprintf(key, sizeof key, "mark%u", i);
        struct live_reply r = live_ask(n, 5 * ORR_SECOND, "EXISTS", key, NULL);
        if (r.type != ':' || r.n != 1) return false;
    }
    return true;
}

static void flip(const char *path) {
    unsigned char byte = 0;
    int fd = open(path, O_RDWR);
    off_t middle = lseek(fd, 0, SEEK_END) / 2;
    bool ok = fd >= 0 && pread(fd, &byte, 1, middle) == 1;
    byte ^= 0x20;
    if (!ok || pwrite(fd, &byte, 1, middle) != 1) live_die(path);
    close(fd);
}
static void cut(const char *path) {
    int fd = open(path, O_RDWR);
    if (fd < 0 || ftruncate(fd, lseek(fd, 0, SEEK_END) / 2) < 0) live_die(path);
    close(fd);
}
static void empty(const char *path) {
    if (truncate(path, 0) < 0) live_die(path);
}

/* A start that falls back takes a new snapshot soon: each begins with the directory as it was. */
static void copy(const struct live_node *n, const char *from, const char *to) {
    char command[4 * LIVE_PATH];
    snprintf(command, sizeof command, "cd '%.400s' && rm -rf '%s/%s' && cp -a '%s/%s' '%s'", l.dir, to, n->id, from,
             n->id, to);
    if (system(command) != 0) live_die(command);
}

static void snapshots(void) {
    static const struct {
        const char *what;
        void (*damage)(const char *path);
    } ways[] = { { "a byte flipped", flip }, { "cut in its middle", cut }, { "emptied", empty } };
    struct live_node *n = &l.nodes[0];
    char newest[2 * LIVE_PATH], older[2 * LIVE_PATH], line[1024] = "";
    unsigned marks = 0;
    live_up(&l);
    until_snapshot(n, &marks);
    live_stop(n);
    if (!snapshot_file(n, 0, newest, sizeof newest)) live_die("no snapshot is there");
    flip(newest);
    live_start(n);
    bool all = live_serves(n, 30 * ORR_SECOND) && has_marks(n, marks);
    live_check(all && live_line(n, strrchr(newest, '/') + 1, line, sizeof line),
               "its only snapshot with a byte flipped: the log gives all: %s", line);
    until_snapshot(n, &marks);
    until_snapshot(n, &marks);
    if (!live_write_works(n, 5 * ORR_SECOND, "mark0", "again")) live_die("a write does not work");
    live_stop(n);
    bool two = snapshot_file(n, 0, newest, sizeof newest) && snapshot_file(n, 1, older, sizeof older);
    if (!live_check(two, "a node has two snapshots")) return;
    copy(n, "data", ".");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        ways[i].damage(newest);
        live_start(n);
        bool up = live_serves(n, 30 * ORR_SECOND) && has_marks(n, marks);
        bool told = live_line(n, strrchr(newest, '/') + 1, line, sizeof line);
        live_check(up && told, "its newest snapshot %s: the older one and the log give all: %s", ways[i].what, line);
        live_stop(n);
        copy(n, ".", "data");
    }
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        ways[i].damage(newest);
        ways[i].damage(older);
        live_start(n);
        bool ended = live_ended(n, 20 * ORR_SECOND);
        bool told = live_line(n, "stopping", line, sizeof line) && strstr(line, "snap-") && strstr(line, "Put back");
        live_check(ended && n->status == 3 && told, "both %s: it refuses (exit %d): %s", ways[i].what, n->status,
                   line);
        copy(n, ".", "data");
    }
    live_start(n);
    live_check(live_serves(n, 30 * ORR_SECOND) && has_marks(n, marks), "put right, it has all");
}

/* -- The whole ----------------------------------------------------------------------------------------------------- */
static const struct {
    const char *name;
    void (*run)(void);
    size_t nodes;
} tests[] = {
    { "leaving", leaving, 3 },
    { "replay", replay, 3 },
    { "snapshots", snapshots, 1 },
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
