/* fulldisk.c - disks without room: of a follower, of the leader, of all, and for a snapshot alone.
 *
 *     fulldisk PROGRAM [NAME...]          with mounts of its own: unshare -m (or -rm)
 *
 * The data of a node lie on a tmpfs that is too small, and then grows. What must hold: an answer to every writer, a
 * refusal or an acknowledgement; nothing acknowledged lost; votes and reads while there is no room; recovery when
 * there is. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "live.h"

#define MIB ((size_t)1 << 20)
enum { KEYS = 1000 };

static struct live l;
static char last[KEYS];             /* what was acknowledged last under key v<i>; 0: nothing, 1: unknown */
static unsigned written;

/* -- Disks --------------------------------------------------------------------------------------------------------- */
static void sized(struct live_node *n, unsigned mib, unsigned long flags) {
    char options[64];
    snprintf(options, sizeof options, "size=%um", mib);
    if (mount("tmpfs", n->data, "tmpfs", flags, options) < 0) live_die("no mounts here: run it under unshare -m");
}

static void small_disk(struct live_node *n, unsigned mib) {
    snprintf(n->data, sizeof n->data, "%.400s/small-%s", l.dir, n->id);
    mkdir(n->data, 0755);
    sized(n, mib, 0);
}

static void more_room(struct live_node *n) { sized(n, 1500, MS_REMOUNT); }

static bool is_full(struct live_node *n) { return live_info_number(n, "disk_full") == 1; }

/* -- Work ---------------------------------------------------------------------------------------------------------- */
/* Writes `size` bytes to the next of `keys` keys through n; gives the answer's type, its text in *text. */
static char put(struct live_node *n, size_t size, unsigned keys, char text[128]) {
    char key[16];
    unsigned i = written % keys;
    char fill = (char)('a' + written % 26);
    snprintf(key, sizeof key, "v%u", i);
    written++;
    struct live_conn c;
    struct live_reply r = { .type = 'x', .text = "" };
    if (live_dial(&c, n->resp, ORR_SECOND) && live_set_big(&c, key, fill, size, 10 * ORR_SECOND))
        r = live_reply(&c, 10 * ORR_SECOND);
    snprintf(text, 128, "%s", r.text);
    if (r.type == '+') last[i] = fill;
    else if (r.type != '-' || strncmp(r.text, "UNKNOWN", 7) == 0) last[i] = 1;
    char type = r.type;
    live_hang_up(&c);
    return type;
}

/* Writes until `n` says that its disk is full; false when `mib` MiB have been written before. Counts what was not
 * acknowledged. */
static bool fill_up(struct live_node *through, struct live_node *n, unsigned mib, unsigned keys, unsigned *refused,
                    unsigned *mute) {
    char text[128];
    for (unsigned i = 0; i < mib; i++) {
        char type = put(through, MIB, keys, text);
        *refused += type == '-';
        *mute += type != '-' && type != '+';
        if (is_full(n)) return true;
    }
    return false;
}

static void nothing_lost(const char *when) {
    size_t all = 0, kept = 0;
    char key[16];
    for (unsigned i = 0; i < KEYS; i++) {
        if (last[i] <= 1) continue;
        snprintf(key, sizeof key, "v%u", i);
        for (size_t k = 0; k < l.n; k++) {
            struct live_reply r = live_ask(&l.nodes[k], 5 * ORR_SECOND, "GETRANGE", key, "0", "0", NULL);
            all++;
            kept += r.type == '$' && r.size == 1 && r.text[0] == last[i];
        }
    }
    live_check(all > 0 && kept == all, "%s every node has what was acknowledged (%zu of %zu)", when, kept, all);
}

static bool applied_all(struct live_node *n) {
    struct live_node *leader = live_leader(&l, 5 * ORR_SECOND);
    return leader && live_info_number(n, "orrery_applied") >= live_info_number(leader, "orrery_commit");
}

static bool leads(struct live_node *n) {
    for (int i = 0; i < 20; i++) { /* killed, not stopped: who stops hands over, and maybe always to the same */
        struct live_node *leader = live_leader(&l, 10 * ORR_SECOND);
        if (leader == n) return true;
        if (!leader) return false;
        live_kill(leader);
        live_start(leader);
        if (!live_serves(leader, 10 * ORR_SECOND)) return false;
    }
    return false;
}

/* -- The tests ----------------------------------------------------------------------------------------------------- */
static void of_a_follower(void) {
    unsigned refused = 0, mute = 0;
    bool ok;
    small_disk(&l.nodes[2], 224);
    live_up(&l);
    if (live_leader(&l, 5 * ORR_SECOND) == &l.nodes[2] && !leads(&l.nodes[0])) live_die("no other leader");
    bool full = fill_up(&l.nodes[0], &l.nodes[2], 400, 50, &refused, &mute);
    live_check(full, "a follower's disk is full after %u MiB", written);
    live_check(refused == 0 && mute == 0, "every write was acknowledged: the others are a majority");
    char text[128];
    unsigned done = 0;
    for (int i = 0; i < 20; i++) done += put(&l.nodes[1], 1000, 50, text) == '+';
    live_check(done == 20, "and go on (%u of 20)", done);
    live_kill(&l.nodes[2]);
    live_start(&l.nodes[2]);
    live_check(live_logged(&l.nodes[2], "start number", 15 * ORR_SECOND) && !live_ended(&l.nodes[2], 0),
               "it starts with a full disk");
    more_room(&l.nodes[2]);
    LIVE_WITHIN(ok, 30 * ORR_SECOND, applied_all(&l.nodes[2]));
    live_check(ok, "with room again it catches up");
    nothing_lost("then");
}

static void of_the_leader(void) {
    unsigned refused = 0, mute = 0;
    char text[128] = "";
    bool ok;
    small_disk(&l.nodes[0], 224);
    live_up(&l);
    if (!leads(&l.nodes[0])) live_die("a never leads");
    bool full = fill_up(&l.nodes[0], &l.nodes[0], 400, 50, &refused, &mute);
    live_check(full, "the leader's disk is full after %u MiB", written);
    live_check(mute == 0, "every writer had an answer (%u refusals)", refused);
    LIVE_WITHIN(ok, 3 * ORR_SECOND, put(&l.nodes[1], 1000, 50, text) == '+');
    live_check(ok && live_leader(&l, ORR_SECOND) != &l.nodes[0], "another one leads, and writers on it are served");
    char type = put(&l.nodes[0], 1000, 50, text);
    live_check(type == '-' && strncmp(text, "FULL", 4) == 0, "the full one refuses its own: %s", text);
    live_check(live_serves(&l.nodes[1], 2 * ORR_SECOND) && live_serves(&l.nodes[2], 2 * ORR_SECOND),
               "the others answer reads (the full one would have to store first what was written since)");
    live_kill(&l.nodes[0]);
    LIVE_WITHIN(ok, 10 * ORR_SECOND, put(&l.nodes[1], 1000, 50, text) == '+');
    live_check(ok, "without it the others take writes");
    live_start(&l.nodes[0]);
    live_check(live_logged(&l.nodes[0], "start number", 15 * ORR_SECOND) && !live_ended(&l.nodes[0], 0),
               "it starts with a full disk");
    more_room(&l.nodes[0]);
    LIVE_WITHIN(ok, 30 * ORR_SECOND, applied_all(&l.nodes[0]) && put(&l.nodes[0], 1000, 50, text) == '+');
    live_check(ok, "with room again it catches up, and takes writes");
    nothing_lost("then");
}

static void of_all(void) {
    unsigned refused = 0, mute = 0;
    char text[128] = "";
    bool ok;
    for (size_t i = 0; i < l.n; i++) small_disk(&l.nodes[i], 224);
    live_up(&l);
    (void)fill_up(&l.nodes[0], &l.nodes[0], 400, 50, &refused, &mute);
    LIVE_WITHIN(ok, 10 * ORR_SECOND, put(&l.nodes[0], MIB, 50, text) == '-');
    live_check(ok && strncmp(text, "FULL", 4) == 0, "with all disks full a writer is told: %s", text);
    live_check(live_serves(&l.nodes[0], 2 * ORR_SECOND), "reads are answered");
    struct live_node *leader = live_leader(&l, 5 * ORR_SECOND);
    if (!leader) live_die("no leader");
    live_kill(leader);
    struct live_node *new = live_leader_but(&l, leader, 10 * ORR_SECOND);
    live_check(new != NULL, "votes have their reserve: a new leader comes");
    live_check(new && live_serves(new, 10 * ORR_SECOND), "and it answers reads");
    live_start(leader);
    for (size_t i = 0; i < l.n; i++) more_room(&l.nodes[i]);
    LIVE_WITHIN(ok, 30 * ORR_SECOND, put(&l.nodes[1], MIB, 50, text) == '+');
    live_check(ok, "with room again writes are taken (%s)", text);
    LIVE_WITHIN(ok, 30 * ORR_SECOND, applied_all(&l.nodes[0]) && applied_all(&l.nodes[1]) && applied_all(&l.nodes[2]));
    nothing_lost("then");
}

/* 256 MiB of log ask for a snapshot, whose 120 MiB find no room beside it. */
static void of_a_snapshot(void) {
    unsigned refused = 0, mute = 0;
    char text[128] = "";
    bool ok;
    small_disk(&l.nodes[2], 460);
    live_up(&l);
    if (live_leader(&l, 5 * ORR_SECOND) == &l.nodes[2] && !leads(&l.nodes[0])) live_die("no other leader");
    for (unsigned i = 0; i < 300; i++) {
        char type = put(&l.nodes[0], MIB, 120, text);
        refused += type == '-';
        mute += type != '+' && type != '-';
    }
    live_check(refused == 0 && mute == 0, "a snapshot that finds no room on a follower hinders no writer");
    live_check(!live_ended(&l.nodes[2], 0) && live_serves(&l.nodes[0], 2 * ORR_SECOND), "the node without room lives");
    LIVE_WITHIN(ok, 20 * ORR_SECOND, live_info_number(&l.nodes[0], "orrery_snapshot") > 0);
    live_check(ok, "the others have taken theirs");
    more_room(&l.nodes[2]);
    LIVE_WITHIN(ok, 40 * ORR_SECOND, applied_all(&l.nodes[2]) && live_info_number(&l.nodes[2], "orrery_snapshot") > 0);
    live_check(ok, "with room again it takes its own, and has caught up");
    nothing_lost("then");
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    { "follower", of_a_follower }, { "leader", of_the_leader }, { "all", of_all }, { "snapshot", of_a_snapshot }
};

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: fulldisk PROGRAM [NAME...]\n"), 2;
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        bool wanted = argc == 2;
        for (int k = 2; k < argc; k++) wanted = wanted || strstr(tests[i].name, argv[k]);
        if (!wanted) continue;
        live_init(&l, argv[1], 3);
        live_say("-- a full disk: %s", tests[i].name);
        memset(last, 0, sizeof last);
        written = 0;
        tests[i].run();
        for (size_t k = 0; k < l.n; k++) {
            live_stop(&l.nodes[k]);
            if (strstr(l.nodes[k].data, "small-")) umount(l.nodes[k].data);
        }
        live_done(&l);
    }
    return live_summary();
}
