/* silence.c - nodes that fall silent without a word: stopped (SIGSTOP), or cut off from the network with their
 * connections half-open.
 *
 *     silence PROGRAM [NAME...]           in a network of its own: unshare -n (or -rn), with iproute2 there
 *
 * Every node is on a network of its own, joined to the others' by a bridge; to cut one off its port is taken out of
 * the bridge, so that packets vanish and nobody is told. The others must go on, a new leader come, what was
 * acknowledged be there afterwards on all three, and a node that slept must not answer a read from what it knew
 * before. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live.h"

#define MIB ((size_t)1 << 20)

static struct live l;
static unsigned serial;             /* of the numbers written: key n<serial> = serial */
static bool acknowledged[100000];

/* -- The network --------------------------------------------------------------------------------------------------- */
static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
    char command[512];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (system(command) != 0) live_die(command);
}

static int between[LIVE_NODES_MAX][2][2];       /* pipes: the child has its network; it is joined to the bridge */

/* In the child: a network of its own, whose one way out the parent makes. */
static void own_network(struct live_node *n) {
    size_t i = (size_t)(n - l.nodes);
    char byte = 0, command[512];
    if (unshare(CLONE_NEWNET) < 0 || write(between[i][0][1], &byte, 1) != 1 || read(between[i][1][0], &byte, 1) != 1)
        _exit(126);
    snprintf(command, sizeof command, "ip link set lo up && ip addr add %s/24 dev e%zu && ip link set e%zu up", n->host,
             i, i);
    if (system(command) != 0) _exit(126);
}

static void start(struct live_node *n) {
    size_t i = (size_t)(n - l.nodes);
    char byte = 0;
    if (pipe(between[i][0]) < 0 || pipe(between[i][1]) < 0) live_die("pipe");
    n->before_exec = own_network;
    live_start(n);
    if (read(between[i][0][0], &byte, 1) != 1) live_die("a node has no network");
    shell("ip link add p%zu type veth peer name e%zu netns %d && ip link set p%zu master br0 up", i, i, (int)n->pid, i);
    if (write(between[i][1][1], &byte, 1) != 1) live_die("pipe");
    for (int k = 0; k < 4; k++) close(between[i][k / 2][k % 2]);
}

static void cut(const struct live_node *n) { shell("ip link set p%zu nomaster", (size_t)(n - l.nodes)); }
static void join(const struct live_node *n) { shell("ip link set p%zu master br0", (size_t)(n - l.nodes)); }

static void network_up(void) {
    shell("ip link set lo up && ip link add br0 type bridge forward_delay 0 && ip addr add 10.77.0.100/24 dev br0 && "
          "ip link set br0 up");
    for (size_t i = 0; i < l.n; i++) snprintf(l.nodes[i].host, sizeof l.nodes[i].host, "10.77.0.%zu", i + 1);
    live_write(&l, l.nodes[0].cluster, l.n);
    for (size_t i = 0; i < l.n; i++) start(&l.nodes[i]);
    for (size_t i = 0; i < l.n; i++)
        if (!live_serves(&l.nodes[i], 30 * ORR_SECOND)) live_die("the cluster does not come up");
}

/* -- Work ---------------------------------------------------------------------------------------------------------- */
/* Writes the next number; true when it was acknowledged in time. */
static bool write_one(struct live_node *n, orr_time patience) {
    char key[32], value[32];
    unsigned i = ++serial % 100000;
    snprintf(key, sizeof key, "n%u", i);
    snprintf(value, sizeof value, "%u", i);
    struct live_reply r = live_ask(n, patience, "SET", key, value, NULL);
    return acknowledged[i] = live_is(&r, '+', "OK");
}

static unsigned write_some(struct live_node *n, unsigned count) {
    unsigned done = 0;
    for (unsigned i = 0; i < count; i++) done += write_one(n, 3 * ORR_SECOND);
    return done;
}

static struct live_node *other_than(const struct live_node *a, const struct live_node *b) {
    for (size_t i = 0; i < l.n; i++)
        if (&l.nodes[i] != a && &l.nodes[i] != b) return &l.nodes[i];
    live_die("no third node");
}

static void all_kept(const char *when) {
    size_t all = 0, kept[LIVE_NODES_MAX] = { 0 };
    for (unsigned i = 0; i < 100000; i++) {
        char key[32];
        if (!acknowledged[i]) continue;
        all++;
        snprintf(key, sizeof key, "n%u", i);
        for (size_t k = 0; k < l.n; k++) {
            struct live_reply r = live_ask(&l.nodes[k], 5 * ORR_SECOND, "GET", key, NULL);
            kept[k] += r.type == '$' && r.n > 0 && strtoul(r.text, NULL, 10) == i;
        }
    }
    bool same = true;
    for (size_t k = 0; k < l.n; k++) same = same && kept[k] == all;
    live_check(same && all > 0, "%s every node has what was acknowledged (%zu; a %zu, b %zu, c %zu)", when, all,
               kept[0], kept[1], kept[2]);
}

static bool caught_up(struct live_node *behind, struct live_node *leader) {
    int64_t there = live_info_number(leader, "orrery_commit"), here = live_info_number(behind, "orrery_applied");
    return there > 0 && here >= there;
}

/* -- Who falls silent ---------------------------------------------------------------------------------------------- */
struct way {
    const char *name;
    void (*silence)(struct live_node *n), (*wake)(struct live_node *n);
};
static void stop(struct live_node *n) { live_signal(n, SIGSTOP); }
static void go_on(struct live_node *n) { live_signal(n, SIGCONT); }
static void cut_off(struct live_node *n) { cut(n); }
static void join_again(struct live_node *n) { join(n); }
static const struct way stopped = { "stopped", stop, go_on }, cut_way = { "cut off", cut_off, join_again };

static void silent_follower(const struct way *way) {
    struct live_node *leader = live_leader(&l, 10 * ORR_SECOND);
    if (!leader) live_die("no leader");
    struct live_node *silent = other_than(leader, NULL), *third = other_than(leader, silent);
    live_say("-- a follower is %s", way->name);
    write_some(leader, 10);
    way->silence(silent);
    size_t before = live_rss(leader), most = before;
    orr_time slowest = 0;
    unsigned done = 0, big = 0;
    struct live_conn c;
    if (!live_dial_at(&c, leader->host, leader->resp, 2 * ORR_SECOND)) live_die("dial");
    for (unsigned i = 0; i < 60; i++) {
        orr_time from = live_now();
        done += write_one(i % 2 ? leader : third, 3 * ORR_SECOND);
        if (live_now() - from > slowest) slowest = live_now() - from;
        bool sent = live_set_big(&c, "filler", (char)('a' + i % 26), 2 * MIB, 5 * ORR_SECOND);
        struct live_reply r = live_reply(&c, 5 * ORR_SECOND);
        big += sent && live_is(&r, '+', "OK");
        if (live_rss(leader) > most) most = live_rss(leader);
    }
    live_hang_up(&c);
    live_check(done == 60 && big == 60,
               "the others go on: %u of 60 writes and %u of 60 values of 2 MiB (the slowest write %.0f ms)", done, big,
               (double)slowest / 1e6);
    live_check(slowest < ORR_SECOND, "nobody waits for it");
    live_check(most < before + 96 * MIB,
               "120 MiB that it does not take are not kept in memory for it (%.0f MiB, then %.0f)",
               (double)before / (double)MIB, (double)most / (double)MIB);
    way->wake(silent);
    bool ok;
    LIVE_WITHIN(ok, 20 * ORR_SECOND, caught_up(silent, leader));
    live_check(ok, "it catches up");
    live_check(live_leader(&l, 5 * ORR_SECOND) == leader, "and deposes nobody by coming back");
    all_kept("afterwards");
}

/* Two snapshots later the log that it needs is gone: the leader sends the newer one. */
static void behind_a_snapshot(void) {
    enum { VALUES = 640, KEYS = 60 };
    struct live_node *leader = live_leader(&l, 10 * ORR_SECOND);
    if (!leader) live_die("no leader");
    struct live_node *away = other_than(leader, NULL);
    struct live_conn c;
    live_say("-- a follower is away for too long");
    live_kill(away);
    if (!live_dial_at(&c, leader->host, leader->resp, 2 * ORR_SECOND)) live_die("dial");
    unsigned done = 0;
    size_t most = 0;
    for (unsigned i = 0; i < VALUES; i++) {
        char key[32];
        snprintf(key, sizeof key, "large%u", i % KEYS);
        bool ok = false;
        for (int tries = 0; tries < 3 && !ok; tries++) {        /* a busy disk may take longer than a command may */
            bool sent = live_set_big(&c, key, (char)('a' + i % 26), MIB, 10 * ORR_SECOND);
            struct live_reply r = live_reply(&c, 10 * ORR_SECOND);
            ok = sent && live_is(&r, '+', "OK");
        }
        done += ok;
        if (live_rss(leader) > most) most = live_rss(leader);
    }
    live_hang_up(&c);
    live_check(done == VALUES, "%u of %u MiB are written meanwhile", done, VALUES);
    live_check(live_info_number(leader, "orrery_first") > 1, "the log's beginning is gone (it begins at %lld)",
               (long long)live_info_number(leader, "orrery_first"));
    live_check(most < 500 * MIB, "%u MiB of values never took more than %.0f MiB of memory", KEYS,
               (double)most / (double)MIB);
    start(away);
    bool ok;
    LIVE_WITHIN(ok, 60 * ORR_SECOND, caught_up(away, leader));
    live_check(ok && live_info_number(away, "orrery_snapshot") > 0, "it is sent a snapshot, and catches up");
    live_check(live_logged(away, "snapshot", ORR_SECOND), "and says so");
    size_t same = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32], want[2];
        snprintf(key, sizeof key, "large%u", i);
        snprintf(want, sizeof want, "%c", (char)('a' + ((VALUES - 1 - i) / KEYS * KEYS + i) % 26));
        struct live_reply r = live_ask(away, 5 * ORR_SECOND, "GETRANGE", key, "1048575", "-1", NULL);
        same += live_is(&r, '$', want) && r.n == 1;
    }
    live_check(same == KEYS, "%zu of %u values are the last ones", same, KEYS);
    all_kept("afterwards");
}

static void silent_leader(const struct way *way) {
    struct live_node *old = live_leader(&l, 10 * ORR_SECOND);
    if (!old) live_die("no leader");
    struct live_node *third = other_than(old, NULL);
    struct live_conn to_old;
    live_say("-- the leader is %s", way->name);
    write_some(old, 50);
    if (!live_write_works(old, 2 * ORR_SECOND, "stale", "before") ||
        !live_dial_at(&to_old, old->host, old->resp, 2 * ORR_SECOND))
        live_die("dial");
    way->silence(old);
    orr_time from = live_now();
    struct live_node *new = live_leader_but(&l, old, 10 * ORR_SECOND);
    if (!live_check(new != NULL, "the others elect a new one (after %.2f s)", (double)(live_now() - from) / 1e9))
        live_die("no use to go on");
    bool written = live_write_works(third, 5 * ORR_SECOND, "stale", "after");
    unsigned done = write_some(third, 50);
    live_check(written && done == 50, "and go on: %u of 50 writes", done);
    /* What a client asked the old one meanwhile is the first that it finds when it wakes: before any message of the
     * new leader's. */
    if (way == &stopped) (void)live_command(&to_old, "GET", "stale", NULL);
    way->wake(old);
    if (way != &stopped) (void)live_command(&to_old, "GET", "stale", NULL);
    struct live_reply r = live_reply(&to_old, 10 * ORR_SECOND);
    live_check(live_is(&r, '$', "after") || r.type == '-' || r.type == 'x',
               "awake again, the old one gives no old answer (%c%s)", r.type ? r.type : '0', r.text);
    live_hang_up(&to_old);
    bool ok;
    LIVE_WITHIN(ok, 20 * ORR_SECOND, caught_up(old, new));
    live_check(ok && live_serves(old, 5 * ORR_SECOND), "it follows, and answers");
    all_kept("afterwards");
}

/* A leader that hears nobody must not acknowledge anything, and has to say so in time. */
static void lonely_leader(void) {
    struct live_node *old = live_leader(&l, 10 * ORR_SECOND);
    if (!old) live_die("no leader");
    live_say("-- the leader is alone with a client");
    for (size_t i = 0; i < l.n; i++)
        if (&l.nodes[i] != old) live_signal(&l.nodes[i], SIGSTOP);
    orr_time from = live_now();
    struct live_reply r = live_ask(old, 10 * ORR_SECOND, "SET", "lonely", "1", NULL);
    live_check(r.type == '-', "a write is answered with an error in time: %s (after %.1f s)", r.text,
               (double)(live_now() - from) / 1e9);
    from = live_now();
    r = live_ask(old, 10 * ORR_SECOND, "GET", "lonely", NULL);
    live_check(r.type == '-', "a read, too: %s (after %.1f s)", r.text, (double)(live_now() - from) / 1e9);
    for (size_t i = 0; i < l.n; i++)
        if (&l.nodes[i] != old) live_signal(&l.nodes[i], SIGCONT);
    bool ok = true;
    for (size_t i = 0; i < l.n; i++) ok = ok && live_write_works(&l.nodes[i], 10 * ORR_SECOND, "together", "1");
    live_check(ok, "with the others back, all answer");
    all_kept("afterwards");
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: silence PROGRAM\n"), 2;
    live_init(&l, argv[1], 3);
    network_up();
    silent_follower(&stopped);
    silent_follower(&cut_way);
    silent_leader(&stopped);
    silent_leader(&cut_way);
    lonely_leader();
    behind_a_snapshot();
    return live_end(&l);
}
