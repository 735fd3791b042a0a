/* identity.c - who may be what: locks, founding, a voter that lost its memory, drift, orphans, damaged logs.
 *
 *     identity PROGRAM [NAME...]          all, or those whose name holds one of the words
 *
 * Each test has a cluster of its own: what one does to a disk is nothing for the next. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"

static const char *program;
static struct live l;

/* -- Helpers ------------------------------------------------------------------------------------------------------- */
/* Runs the program until it ends: its exit status (-1: it did not end in time), its output in out. */
static int run(char *out, size_t size, orr_time patience, const char *const *args) {
    int p[2], status = -1;
    const char *argv[12] = { program };
    for (size_t i = 0; args[i] && i < 10; i++) argv[i + 1] = args[i];
    if (pipe2(p, O_CLOEXEC) < 0) live_die("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(p[1], 1), dup2(p[1], 2);
        execv(program, (char *const *)argv);
        _exit(127);
    }
    close(p[1]);
    size_t n = 0;
    for (orr_time until = live_now() + patience; live_now() < until;) {
        struct pollfd wait = { p[0], POLLIN, 0 };
        if (poll(&wait, 1, 50) == 0) continue;
        ssize_t got = read(p[0], out + n, size - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
    }
    out[n] = 0;
    close(p[0]);
    if (waitpid(pid, &status, WNOHANG) == 0) {
        orr_time until = live_now() + ORR_SECOND;
        while (waitpid(pid, &status, WNOHANG) == 0 && live_now() < until) live_pause();
        if (live_now() >= until) kill(pid, SIGKILL), waitpid(pid, &status, 0), status = -1;
    }
    return status == -1 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
#define RUN(out, ...) run(out, sizeof(out), 10 * ORR_SECOND, (const char *const[]){ __VA_ARGS__, NULL })

static size_t lines_of(const char *text) {
    size_t n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

static void folder(const struct live_node *n, char *out) { snprintf(out, LIVE_PATH + 32, "%s/%s", n->data, n->id); }

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
    char command[4 * LIVE_PATH];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (system(command) != 0) live_die(command);
}

/* Has the majority a leader, does it take writes? Without one for this long. */
static bool nobody_leads(struct live_node *n, orr_time how_long) {
    for (orr_time until = live_now() + how_long; live_now() < until; live_pause()) {
        struct live_reply r = live_ask(n, 3 * ORR_SECOND, "SET", "led", "1", NULL);
        if (r.type == '+') return false;
    }
    return true;
}

static void some_writes(struct live_node *n, const char *prefix, unsigned count) {
    char key[64];
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof key, "%s%u", prefix, i);
        if (!live_write_works(n, 5 * ORR_SECOND, key, "a value that takes some room in the log"))
            live_die("a write does not work");
    }
}

static bool has_key(struct live_node *n, const char *key) {
    struct live_reply r = live_ask(n, 3 * ORR_SECOND, "EXISTS", key, NULL);
    return r.type == ':' && r.n == 1;
}

/* -- Wrong use ----------------------------------------------------------------------------------------------------- */
static void locked(void) {
    char out[4096], second[LIVE_PATH];
    live_up(&l);
    struct live other = l;              /* the same node at other addresses: only the directory is contended */
    for (size_t i = 0; i < l.n; i++) other.nodes[i].at = live_port(), other.nodes[i].resp = live_port();
    snprintf(second, sizeof second, "%.400s/second.lua", l.dir);
    live_write(&other, second, l.n);
    int status = RUN(out, "run", second, "--node", "a", "--data", l.nodes[0].data);
    live_check(status == 2 && lines_of(out) == 1 && strstr(out, "another process"),
               "a second process on a directory: exit %d: %s", status, out);
    status = RUN(out, "run", l.nodes[0].cluster, "--node", "a", "--data", "/nonexistent");
    live_check(status == 2 && lines_of(out) == 1 && strstr(out, "cluster.lua:"), "an address in use: exit %d: %s",
               status, out);
    live_check(live_serves(&l.nodes[0], ORR_SECOND), "the first one goes on");
    live_stop(&l.nodes[2]);
    shell("mv '%s/c' '%s/kept' && cp -a '%s/b' '%s/c'", l.nodes[2].data, l.nodes[2].data, l.nodes[2].data,
          l.nodes[2].data);
    live_start(&l.nodes[2]);
    bool ended = live_ended(&l.nodes[2], 10 * ORR_SECOND), said = live_line(&l.nodes[2], "node b's", out, sizeof out);
    live_check(ended && l.nodes[2].status == 2 && said, "another node's directory: exit %d: %s", l.nodes[2].status,
               out);
}

static const struct {
    const char *name, *text, *expected;
} mistakes[] = {
    { "an unknown field", "return orrery.cluster {\n  name = 'x', node = 'node.lua',\n  nodez = {},\n}\n", "nearest" },
    { "a duplicate id",
      "return orrery.cluster {\n  name = 'x', node = 'node.lua',\n  nodes = { { id = 'a', at = '127.0.0.1:1' },\n"
      "    { id = 'a', at = '127.0.0.1:2' } },\n}\n",
      "id" },
    { "a missing script",
      "return orrery.cluster {\n  name = 'x', node = 'missing.lua',\n  nodes = { { id = 'a', at = '127.0.0.1:1' } "
      "},\n}\n",
      "missing.lua" },
    { "a syntax error", "return orrery.cluster {\n  name = ,\n}\n", "symbol" },
    { "a bad address",
      "return orrery.cluster {\n  name = 'x', node = 'node.lua',\n  nodes = { { id = 'a', at = 'here' } },\n}\n",
      "at" },
};

static void wrong_files(void) {
    char out[4096], path[LIVE_PATH];
    live_write(&l, l.nodes[0].cluster, l.n);
    snprintf(path, sizeof path, "%.400s/mistake.lua", l.dir);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        FILE *f = fopen(path, "w");
        if (!f) live_die(path);
        fputs(mistakes[i].text, f);
        fclose(f);
        int status = RUN(out, "up", path, "--data", l.nodes[0].data);
        live_check(status == 2 && lines_of(out) == 1 && strstr(out, "mistake.lua:") &&
                       strstr(out, mistakes[i].expected),
                   "%s: exit %d: %s", mistakes[i].name, status, out);
    }
}

/* -- Founding ------------------------------------------------------------------------------------------------------ */
static void founding(void) {
    live_write(&l, l.nodes[0].cluster, l.n);
    live_start(&l.nodes[0]);
    live_check(nobody_leads(&l.nodes[0], 2 * ORR_SECOND), "one of three founds nothing");
    live_start(&l.nodes[1]);
    live_check(live_serves(&l.nodes[0], 10 * ORR_SECOND) && live_serves(&l.nodes[1], 10 * ORR_SECOND),
               "two of three do");
    some_writes(&l.nodes[1], "early", 20);
    live_start(&l.nodes[2]);
    live_check(live_serves(&l.nodes[2], 10 * ORR_SECOND) && has_key(&l.nodes[2], "early19"),
               "the third one comes later, and has all");
    live_kill(&l.nodes[0]);
    live_check(live_write_works(&l.nodes[2], 10 * ORR_SECOND, "late", "1"),
               "and counts: without the first, the others go on");
}

static void files_differ(void) {
    char four[LIVE_PATH], line[1024] = "";
    live_write(&l, l.nodes[0].cluster, 3);
    snprintf(four, sizeof four, "%.400s/four.lua", l.dir);
    live_write(&l, four, 4);
    snprintf(l.nodes[2].cluster, LIVE_PATH, "%s", four);
    for (size_t i = 0; i < 3; i++) live_start(&l.nodes[i]);
    live_check(live_serves(&l.nodes[0], 10 * ORR_SECOND), "two nodes of one file work together");
    bool told =
        live_logged(&l.nodes[0], "efused", 5 * ORR_SECOND) && live_line(&l.nodes[0], "efused", line, sizeof line);
    live_check(told, "the one with another file is refused: %s", line);
    told = live_logged(&l.nodes[2], "efused", 5 * ORR_SECOND) && live_line(&l.nodes[2], "efused", line, sizeof line);
    live_check(told, "and is told: %s", line);
    live_check(nobody_leads(&l.nodes[2], ORR_SECOND), "it answers no write");
    live_stop(&l.nodes[2]);
    snprintf(l.nodes[2].cluster, LIVE_PATH, "%s", l.nodes[0].cluster);
    shell("rm -rf '%s/c'", l.nodes[2].data);
    live_start(&l.nodes[2]);
    live_check(live_serves(&l.nodes[2], 10 * ORR_SECOND), "with the right file, and nothing founded, it is welcome");
    l.n = 3;
}

static void scripts_differ(void) {
    char other[LIVE_PATH], line[1024] = "";
    live_up(&l);
    live_stop(&l.nodes[2]);
    snprintf(other, sizeof other, "%.400s/other", l.dir);
    shell("mkdir '%s' && cp '%s' '%s/cluster.lua' && { cat '%s/node.lua'; echo 'node.log:info \"another script\"'; } "
          ">'%s/node.lua'",
          other, l.nodes[2].cluster, other, l.dir, other);
    snprintf(l.nodes[2].cluster, LIVE_PATH, "%.400s/cluster.lua", other);
    live_start(&l.nodes[2]);
    bool told = live_logged(&l.nodes[2], "other scripts", 5 * ORR_SECOND) &&
                live_line(&l.nodes[2], "other scripts", line, sizeof line);
    live_check(told, "a node with another script says so: %s", line);
    live_check(live_logged(&l.nodes[0], "c runs other scripts", 5 * ORR_SECOND), "and so do the others");
    live_check(live_serves(&l.nodes[2], 10 * ORR_SECOND), "it is one of them all the same");
    live_check(live_write_works(&l.nodes[2], 5 * ORR_SECOND, "k", "v"), "and serves");
}

static void drift(void) {
    char line[1024] = "", four[LIVE_PATH];
    l.n = 3;
    live_up(&l);
    some_writes(&l.nodes[0], "before", 10);
    for (size_t i = 0; i < 3; i++) live_stop(&l.nodes[i]);
    snprintf(four, sizeof four, "%.400s/four.lua", l.dir);
    live_write(&l, four, 4);
    for (size_t i = 0; i < 3; i++) {
        snprintf(l.nodes[i].cluster, LIVE_PATH, "%s", four);
        live_start(&l.nodes[i]);
    }
    bool up = live_serves(&l.nodes[0], 10 * ORR_SECOND) && has_key(&l.nodes[0], "before9");
    live_check(up, "a file that names one node more: the cluster is the one that was founded");
    bool told = live_line(&l.nodes[0], "founded with", line, sizeof line);
    live_check(told, "it says so: %.160s...", line);
    live_kill(&l.nodes[2]);
    live_check(live_write_works(&l.nodes[0], 10 * ORR_SECOND, "two of", "three"),
               "two of the three are a majority, as before");
}

/* -- Lost memory --------------------------------------------------------------------------------------------------- */
/* `forgetful` is back with less than it had. It must say so, and with `gone` killed too there is no majority that
 * elects. */
static void votes_for_nobody(struct live_node *forgetful, const char *what) {
    char line[1024] = "";
    struct live_node *leader = live_leader_but(&l, forgetful, 10 * ORR_SECOND);
    bool told = live_logged(forgetful, "votes for nobody", 8 * ORR_SECOND) &&
                live_line(forgetful, "votes for nobody", line, sizeof line);
    live_check(told, "a voter with %s says so: %s", what, line);
    if (!leader) live_die("no leader");
    live_check(live_write_works(leader, 5 * ORR_SECOND, "k", "v"), "the others go on");
    live_kill(leader);
    struct live_node *last = NULL;
    for (size_t i = 0; i < l.n; i++)
        if (&l.nodes[i] != leader && &l.nodes[i] != forgetful) last = &l.nodes[i];
    live_check(nobody_leads(last, 3 * ORR_SECOND), "with another one dead nobody is elected by its vote");
    live_kill(forgetful);
    live_start(forgetful);
    live_check(nobody_leads(last, 2 * ORR_SECOND), "nor when it has been started once more");
    live_start(leader);
    live_check(live_write_works(last, 10 * ORR_SECOND, "k", "w") && has_key(last, "newest9"),
               "when that one is back the cluster works, and has all");
}

static void empty_disk(void) {
    live_up(&l);
    some_writes(&l.nodes[0], "newest", 10);
    struct live_node *n = live_follower(&l);
    live_stop(n);
    shell("rm -rf '%s/%s'", n->data, n->id);
    live_start(n);
    votes_for_nobody(n, "an empty disk");
}

static void older_disk(void) {
    live_up(&l);
    some_writes(&l.nodes[0], "old", 10);
    struct live_node *n = live_follower(&l);
    live_stop(n);
    shell("cp -a '%s/%s' '%s/copy'", n->data, n->id, n->data);
    live_start(n);
    if (!live_serves(n, 10 * ORR_SECOND)) live_die("a restart does not work");
    some_writes(n, "newest", 10);
    live_stop(n);
    shell("rm -rf '%s/%s' && mv '%s/copy' '%s/%s'", n->data, n->id, n->data, n->data, n->id);
    live_start(n);
    votes_for_nobody(n, "an older disk");
}

/* The older disk is started several times while nobody hears of it: its start number has caught up with the one that
 * they know. */
static void older_disk_unseen(void) {
    live_up(&l);
    struct live_node *n = live_follower(&l);
    live_stop(n);
    shell("cp -a '%s/%s' '%s/copy'", n->data, n->id, n->data);
    live_start(n);
    if (!live_serves(n, 10 * ORR_SECOND)) live_die("a restart does not work");
    some_writes(n, "newest", 10);
    live_stop(n);
    shell("rm -rf '%s/%s' && mv '%s/copy' '%s/%s'", n->data, n->id, n->data, n->data, n->id);
    for (size_t i = 0; i < l.n; i++) live_signal(&l.nodes[i], SIGSTOP);
    for (int i = 0; i < 3; i++) {
        live_start(n);
        if (!live_logged(n, "start number", 10 * ORR_SECOND)) live_die("it does not start");
        live_kill(n);
    }
    live_start(n);
    for (size_t i = 0; i < l.n; i++) live_signal(&l.nodes[i], SIGCONT);
    votes_for_nobody(n, "an older disk, started three times unseen,");
}

/* -- up ------------------------------------------------------------------------------------------------------------ */
static pid_t spawn_up(char *log) {
    snprintf(log, LIVE_PATH, "%.400s/up.log", l.dir);
    unlink(log);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(fd, 1), dup2(fd, 2);
        execl(program, program, "up", l.nodes[0].cluster, "--data", l.nodes[0].data, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static bool up_said(const char *log, const char *text, orr_time patience) {
    struct live_node as_node = { 0 };
    snprintf(as_node.log, sizeof as_node.log, "%s", log);
    return live_logged(&as_node, text, patience);
}

static size_t children(const char *log, pid_t *pids) {
    char line[512];
    size_t n = 0;
    FILE *f = fopen(log, "r");
    while (f && n < 3 && fgets(line, sizeof line, f)) n += sscanf(line, "node %*s pid %d at", &pids[n]) == 1;
    if (f) fclose(f);
    return n;
}

static bool all_gone(const pid_t *pids, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (kill(pids[i], 0) == 0) return false;
    return true;
}

static void orphans(void) {
    char log[LIVE_PATH];
    pid_t pids[3] = { 0 };
    int status = 0;
    live_write(&l, l.nodes[0].cluster, 3);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that killed grandchildren can be reaped here, not by whoever is process 1 */
    pid_t up = spawn_up(log);
    bool ready = up_said(log, "ready", 20 * ORR_SECOND);
    size_t n = children(log, pids);
    live_check(ready && n == 3, "up says a line for each node, then ready");
    kill(pids[1], SIGKILL);
    live_check(up_said(log, "node b", ORR_SECOND) && up_said(log, "died", 5 * ORR_SECOND),
               "it tells when a node has died");
    live_check(live_write_works(&l.nodes[0], 10 * ORR_SECOND, "k", "v"), "and goes on");
    kill(up, SIGKILL);
    waitpid(up, &status, 0);
    bool gone;
    LIVE_WITHIN(gone, 5 * ORR_SECOND, (waitpid(-1, NULL, WNOHANG), all_gone(pids, n)));
    live_check(gone, "killed, it leaves no orphans");
    up = spawn_up(log);
    ready = up_said(log, "ready", 20 * ORR_SECOND);
    n = children(log, pids);
    kill(up, SIGTERM);
    bool ended;
    LIVE_WITHIN(ended, 15 * ORR_SECOND, waitpid(up, &status, WNOHANG) == up);
    live_check(ready && ended && WIFEXITED(status) && WEXITSTATUS(status) == 0 && all_gone(pids, n),
               "told to stop, it stops them all, and ends with 0");
    for (size_t i = 0; i < 3; i++) l.nodes[i].pid = 0;
}

/* -- Damage -------------------------------------------------------------------------------------------------------- */
/* The segment with the newest batches: the one whose header bears the highest sequence. Where its bytes end. */
static void newest_segment(const struct live_node *n, char *path, long *end) {
    char dir[LIVE_PATH + 32];
    uint64_t best = 0;
    folder(n, dir);
    DIR *d = opendir(dir);
    path[0] = 0;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char full[2 * LIVE_PATH];
        uint64_t sequence = 0;
        if (strncmp(e->d_name, "wal-", 4) != 0) continue;
        snprintf(full, sizeof full, "%s/%s", dir, e->d_name);
        int fd = open(full, O_RDONLY);
        if (fd >= 0 && pread(fd, &sequence, 8, 24) == 8 && sequence >= best) {
            best = sequence;
            snprintf(path, LIVE_PATH, "%.500s", full);
        }
        if (fd >= 0) close(fd);
    }
    if (d) closedir(d);
    unsigned char block[4096];
    int fd = open(path, O_RDONLY);
    *end = 0;
    for (long at = 0; fd >= 0; at += (long)sizeof block) {
        ssize_t got = pread(fd, block, sizeof block, at);
        if (got <= 0) break;
        for (long i = 0; i < got; i++)
            if (block[i]) *end = at + i + 1;
        if (*end && at > *end + (1 << 20)) break;
    }
    if (fd >= 0) close(fd);
    if (*end < 8192) live_die("no segment with anything in it");
}

static void change(const char *path, long at, int how, size_t count) {
    int fd = open(path, O_RDWR);
    for (size_t i = 0; i < count; i++) {
        unsigned char byte = 0;
        bool ok = fd >= 0 && pread(fd, &byte, 1, at + (long)i) == 1;
        byte = how == 'x' ? byte ^ 0x40 : how == '0' ? 0 : (unsigned char)(byte ^ (i * 37 + 11));
        if (!ok || pwrite(fd, &byte, 1, at + (long)i) != 1) live_die(path);
    }
    close(fd);
}

static void damaged_log(void) {
    char path[LIVE_PATH], line[1024] = "", word[64];
    long end;
    live_up(&l);
    some_writes(&l.nodes[0], "newest", 300);
    struct live_node *n = live_follower(&l);
    live_stop(n);
    newest_segment(n, path, &end);
    change(path, 4096 + (end - 4096) / 2, 'x', 1);
    live_start(n);
    bool ended = live_ended(n, 10 * ORR_SECOND);
    snprintf(word, sizeof word, "%s", strrchr(path, '/') + 1);
    bool told = live_line(n, word, line, sizeof line);
    live_check(ended && n->status == 3, "a byte in the middle of the log is wrong: the node doesn't start (exit %d)",
               n->status);
    live_check(told && strpbrk(strstr(line, word) + strlen(word), "0123456789"),
               "it names the segment, the place, the choices: %s", line);
    live_check(strstr(line, "not older than its last start") && strstr(line, "refuse it"),
               "it advises what works: a good copy, not an emptied directory");
    live_check(live_write_works(live_leader(&l, 5 * ORR_SECOND), 5 * ORR_SECOND, "k", "v"), "the others go on");
    change(path, 4096 + (end - 4096) / 2, 'x', 1);
    live_start(n);
    live_check(live_serves(n, 10 * ORR_SECOND) && has_key(n, "newest299"),
               "with the byte put right it starts, and nothing was changed meanwhile");
}

static void torn_tail(void) {
    char path[LIVE_PATH];
    long end;
    live_up(&l);
    some_writes(&l.nodes[0], "newest", 100);
    struct live_node *n = live_follower(&l);
    live_kill(n);
    newest_segment(n, path, &end);
    change(path, (end + 7) & ~7L, 'r', 300);            /* the beginning of a batch that never became whole */
    live_start(n);
    live_check(live_serves(n, 10 * ORR_SECOND) && has_key(n, "newest99"),
               "a torn write at the end is cut off, and the node starts");
    live_kill(n);
    newest_segment(n, path, &end);
    change(path, end - 10, '0', 10);                    /* the last batch, which was whole: it looks just so */
    live_start(n);
    bool up = live_logged(n, "start number", 10 * ORR_SECOND);
    live_check(up, "its last bytes gone: it starts");
    bool wary = live_serves(n, 5 * ORR_SECOND) || live_logged(n, "votes for nobody", ORR_SECOND);
    live_check(wary && !live_ended(n, 0), "and either all that it had claimed is there, or it votes for nobody");
    live_check(live_write_works(live_leader_but(&l, n, 5 * ORR_SECOND), 5 * ORR_SECOND, "k", "v"), "the others go on");
}

/* -- The whole ----------------------------------------------------------------------------------------------------- */
static const struct {
    const char *name;
    void (*run)(void);
    size_t nodes;
} tests[] = {
    { "locked", locked, 3 },               { "wrong files", wrong_files, 3 },
    { "founding", founding, 3 },           { "files differ", files_differ, 4 },
    { "scripts differ", scripts_differ, 3 }, { "drift", drift, 4 },
    { "empty disk", empty_disk, 3 },       { "older disk", older_disk, 3 },
    { "older disk unseen", older_disk_unseen, 3 }, { "orphans", orphans, 3 },
    { "damaged log", damaged_log, 3 },     { "torn tail", torn_tail, 3 },
};

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: identity PROGRAM [NAME...]\n"), 2;
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
