/* live.c - clusters of real processes for tests (live.h). */
#define _GNU_SOURCE
#include "live.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned passed, failed;
static struct live *the_live;       /* whose processes die_now ends */

/* -- Checks -------------------------------------------------------------------------------------------------------- */
orr_time live_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (orr_time)t.tv_sec * ORR_SECOND + t.tv_nsec;
}

void live_pause(void) { poll(NULL, 0, 5); }

bool live_check(bool held, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf(held ? "ok: " : "not ok: ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    if (held) passed++;
    else failed++;
    return held;
}

void live_say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

int live_summary(void) {
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0 || passed == 0;
}

/* The test can't go on: what it had to do before it tests anything failed. */
void live_die(const char *what) {
    printf("not ok: %s\n", what);
    for (size_t i = 0; the_live && i < the_live->n; i++) {
        struct live_node *n = &the_live->nodes[i];
        if (n->pid > 0) live_kill(n);
        printf("-- the end of %s\n", n->log);
        fflush(stdout);
        char command[LIVE_PATH + 32];
        snprintf(command, sizeof command, "tail -n 15 '%s'", n->log);
        if (system(command) != 0) printf("(no log)\n");
    }
    failed++;
    exit(live_summary());
}

/* -- Clients ------------------------------------------------------------------------------------------------------- */
static bool ready_for(int fd, short what, orr_time until) {
    for (;;) {
        orr_time left = until - live_now();
        struct pollfd p = { fd, what, 0 };
        int n = poll(&p, 1, left <= 0 ? 0 : (int)((left + ORR_MS - 1) / ORR_MS));
        if (n > 0) return true;
        if (n == 0 || errno != EINTR) return false;
    }
}

bool live_dial_at(struct live_conn *c, const char *host, uint16_t port, orr_time patience) {
    *c = (struct live_conn){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
    if (c->fd < 0) return false;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, host, &to.sin_addr);
    int one = 1, error = 0;
    socklen_t size = sizeof error;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) == 0) return true;
    if (errno == EINPROGRESS && ready_for(c->fd, POLLOUT, live_now() + patience)
        && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
        return true;
    live_hang_up(c);
    return false;
}

bool live_dial(struct live_conn *c, uint16_t port, orr_time patience) {
    return live_dial_at(c, "127.0.0.1", port, patience);
}

void live_hang_up(struct live_conn *c) {
    if (c->fd >= 0) close(c->fd);
    free(c->in);
    *c = (struct live_conn){ .fd = -1 };
}

bool live_send(struct live_conn *c, const void *bytes, size_t size, orr_time patience) {
    orr_time until = live_now() + patience;
    for (const char *at = bytes; size > 0;) {
        ssize_t n = send(c->fd, at, size, MSG_NOSIGNAL);
        if (n > 0) at += n, size -= (size_t)n;
        else if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
        else if (!ready_for(c->fd, POLLOUT, until)) return false;
    }
    return true;
}

static bool send_words(struct live_conn *c, const char *word, va_list args) {
    char packet[4096], body[4000];
    size_t n = 0, size = 0;
    for (; word; word = va_arg(args, const char *), n++)
        size += (size_t)snprintf(body + size, sizeof body - size, "$%zu\r\n%s\r\n", strlen(word), word);
    int all = snprintf(packet, sizeof packet, "*%zu\r\n%s", n, body);
    return live_send(c, packet, (size_t)all, 5 * ORR_SECOND);
}

bool live_command(struct live_conn *c, const char *word, ...) {
    va_list args;
    va_start(args, word);
    bool ok = send_words(c, word, args);
    va_end(args);
    return ok;
}

bool live_set_big(struct live_conn *c, const char *key, char fill, size_t size, orr_time patience) {
    char *packet = malloc(size + 256);
    if (!packet) live_die("memory");
    int head = snprintf(packet, 256, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, size);
    memset(packet + head, fill, size);
    memcpy(packet + head + size, "\r\n", 2);
    bool ok = live_send(c, packet, (size_t)head + size + 2, patience);
    free(packet);
    return ok;
}

/* One element at the beginning of what was read: 1, or 0: there is more to come. */
static int parse(struct live_conn *c, struct live_reply *r) {
    char *from = c->in + c->at, *end = memmem(from, c->n_in - c->at, "\r\n", 2);
    if (!end) return 0;
    size_t used = (size_t)(end - from) + 2;
    *r = (struct live_reply){ .type = from[0], .text = from + 1, .size = used - 3 };
    r->n = from[0] == ':' || from[0] == '*' || from[0] == '$' ? strtoll(from + 1, NULL, 10) : 0;
    if (from[0] == '$' && r->n >= 0) {
        if (c->n_in - c->at < used + (size_t)r->n + 2) return 0;
        r->text = from + used;
        r->size = (size_t)r->n;
        used += (size_t)r->n + 2;
        end = from + used - 2;
    }
    *end = 0;
    c->at += used;
    return 1;
}

/* Reads what is there: bytes, 0 when nothing is, -1 when the other side has gone. */
static ssize_t take_in(struct live_conn *c) {
    if (c->at > 0 && c->at == c->n_in) c->at = c->n_in = 0;
    if (c->cap - c->n_in < 65536) {
        c->cap = c->cap ? 2 * c->cap : 1 << 17;
        c->in = realloc(c->in, c->cap);
        if (!c->in) live_die("memory");
    }
    ssize_t n = recv(c->fd, c->in + c->n_in, c->cap - c->n_in - 1, 0);
    if (n > 0) c->n_in += (size_t)n;
    return n > 0 ? n : n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

struct live_reply live_reply(struct live_conn *c, orr_time patience) {
    struct live_reply r = { 0 };
    orr_time until = live_now() + patience;
    if (c->fd < 0) return (struct live_reply){ .type = 'x', .text = "" };
    while (!c->in || !parse(c, &r)) {
        if (c->at > 0 && c->at < c->n_in) memmove(c->in, c->in + c->at, c->n_in - c->at), c->n_in -= c->at, c->at = 0;
        if (!ready_for(c->fd, POLLIN, until)) return (struct live_reply){ .text = "" };
        if (take_in(c) < 0) return (struct live_reply){ .type = 'x', .text = "" };
    }
    return r;
}

bool live_closed(struct live_conn *c, orr_time patience) {
    for (orr_time until = live_now() + patience; ready_for(c->fd, POLLIN, until);) {
        if (c->n_in > 1 << 20) c->n_in = c->at = 0;     /* what comes first may still be looked at */
        if (take_in(c) < 0) return true;
    }
    return false;
}

bool live_is(const struct live_reply *r, char type, const char *begins) {
    return r->type == type && (type != '$' || r->n >= 0) && strncmp(r->text, begins, strlen(begins)) == 0;
}

/* -- The cluster's files ------------------------------------------------------------------------------------------- */
/* Below what the kernel gives to clients (so that none of them takes it before the node is there). */
uint16_t live_port(void) {
    static unsigned next;
    if (!next) next = 10000 + (unsigned)getpid() * 37 % 20000;
    for (int tries = 0; tries < 20000; tries++) {
        next = next >= 30000 ? 10000 : next + 1;
        struct sockaddr_in at = { .sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)next),
                                  .sin_addr.s_addr = htonl(INADDR_ANY) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool free_now = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
        if (fd >= 0) close(fd);
        if (free_now) return (uint16_t)next;
    }
    live_die("no free port");
}

void live_init(struct live *l, const char *program, size_t n) {
    const char *base = getenv("TMPDIR");
    *l = (struct live){ .program = program, .n = n, .extra = "" };
    the_live = l;
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    snprintf(l->dir, sizeof l->dir, "%s/orrery-live-XXXXXX", base && base[0] ? base : "/tmp");
    if (!mkdtemp(l->dir)) live_die("mkdtemp");
    for (size_t i = 0; i < n; i++) {
        struct live_node *node = &l->nodes[i];
        *node =
            (struct live_node){ .all = l, .host = "127.0.0.1", .at = live_port(), .resp = live_port(), .talk.fd = -1 };
        snprintf(node->id, sizeof node->id, "%c", (char)('a' + i));
        snprintf(node->data, sizeof node->data, "%.400s/data", l->dir);
        snprintf(node->cluster, sizeof node->cluster, "%.400s/cluster.lua", l->dir);
        snprintf(node->log, sizeof node->log, "%.400s/%s.log", l->dir, node->id);
    }
}

void live_write(struct live *l, const char *path, size_t n) {
    char script[LIVE_PATH];
    snprintf(script, sizeof script, "%.400s/node.lua", l->dir);
    FILE *f = fopen(script, "w");
    if (!f) live_die(script);
    fputs("local kv = node:replicate(\"kv\", { machine = \"kv\" })\nnode:listen(\"resp\", kv:resp())\n", f);
    fclose(f);
    f = fopen(path, "w");
    if (!f) live_die(path);
    fprintf(f, "return orrery.cluster {\n  name = \"live\",\n  node = \"node.lua\",\n  %s\n  nodes = {\n", l->extra);
    for (size_t i = 0; i < n; i++)
        fprintf(f, "    { id = \"%s\", at = \"%s:%u\", resp = \"%s:%u\" },\n", l->nodes[i].id, l->nodes[i].host,
                l->nodes[i].at, l->nodes[i].host, l->nodes[i].resp);
    fputs("  },\n}\n", f);
    fclose(f);
}

/* -- Processes ----------------------------------------------------------------------------------------------------- */
static _Noreturn void become(struct live_node *n) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(n->log, O_WRONLY | O_CREAT | O_APPEND, 0644), null = open("/dev/null", O_RDONLY);
    if (fd >= 0) dup2(fd, 1), dup2(fd, 2);
    if (null >= 0) dup2(null, 0);
    signal(SIGPIPE, SIG_DFL);
    if (n->nice) (void)setpriority(PRIO_PROCESS, 0, n->nice);
    if (n->files_max) setrlimit(RLIMIT_NOFILE, &(struct rlimit){ n->files_max, n->files_max });
    if (n->preload) {
        char dir[LIVE_PATH + 32];
        snprintf(dir, sizeof dir, "%s/%s", n->data, n->id);
        setenv("LD_PRELOAD", n->preload, 1);
        setenv("POWERLOSS_DIR", dir, 1);
    }
    if (n->before_exec) n->before_exec(n);
    close_range(3, ~0u, 0);
    execl(n->all->program, n->all->program, "run", n->cluster, "--node", n->id, "--data", n->data, (char *)NULL);
    _exit(127);
}

/* What an interposed process hadn't synced when it died lies under names that never became durable (powerloss.c). */
static void drop_unsynced(const struct live_node *n) {
    char command[2 * LIVE_PATH];
    snprintf(command, sizeof command, "find '%s/%s' -name '.unsynced.*' -delete", n->data, n->id);
    if (system(command) != 0) live_die(command);
}

void live_start(struct live_node *n) {
    struct stat st;
    n->log_from = stat(n->log, &st) == 0 ? (long)st.st_size : 0;
    mkdir(n->data, 0755);
    if (n->preload && n->starts > 0) drop_unsynced(n);
    n->starts++;
    fflush(stdout);
    n->pid = fork();
    if (n->pid < 0) live_die("fork");
    if (n->pid == 0) become(n);
}

static bool bury(struct live_node *n, int flags) {
    int status = 0;
    if (n->pid <= 0 || waitpid(n->pid, &status, flags) != n->pid) return n->pid <= 0;
    n->status = WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
    n->pid = 0;
    live_hang_up(&n->talk);
    return true;
}

bool live_ended(struct live_node *n, orr_time patience) {
    bool ended;
    LIVE_WITHIN(ended, patience, bury(n, WNOHANG));
    return ended;
}

static char state_of(pid_t pid) {
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    if (!fgets(line, sizeof line, f)) line[0] = 0;
    fclose(f);
    const char *after = strrchr(line, ')');
    return after && after[1] ? after[2] : 0;
}

void live_signal(struct live_node *n, int number) {
    bool stopped = true;
    if (n->pid <= 0) return;
    kill(n->pid, number);
    if (number == SIGSTOP) LIVE_WITHIN(stopped, 5 * ORR_SECOND, state_of(n->pid) == 'T');
    if (!stopped) live_die("a process does not stop");
}

void live_kill(struct live_node *n) {
    if (n->pid <= 0) return;
    kill(n->pid, SIGKILL);
    bury(n, 0);
}

void live_stop(struct live_node *n) {
    if (n->pid <= 0) return;
    kill(n->pid, SIGTERM);
    bool ended = live_ended(n, 15 * ORR_SECOND);
    if (!ended) live_kill(n);
    live_check(ended && n->status == 0, "node %s leaves when it is told to (%s %d)", n->id,
               ended ? "status" : "had to be killed:", n->status);
}

void live_up(struct live *l) {
    live_write(l, l->nodes[0].cluster, l->n);
    for (size_t i = 0; i < l->n; i++) live_start(&l->nodes[i]);
    for (size_t i = 0; i < l->n; i++)
        if (!live_serves(&l->nodes[i], 30 * ORR_SECOND)) live_die("the cluster does not come up");
}

void live_done(struct live *l) {
    char command[LIVE_PATH + 32];
    for (size_t i = 0; i < l->n; i++) live_stop(&l->nodes[i]);
    snprintf(command, sizeof command, "rm -rf '%s'", l->dir);
    if (!getenv("ORR_KEEP") && system(command) != 0) perror(command);
    the_live = NULL;
}

int live_end(struct live *l) {
    live_done(l);
    return live_summary();
}

/* -- Asking nodes -------------------------------------------------------------------------------------------------- */
static struct live_reply ask(struct live_node *n, orr_time patience, const char *word, va_list args) {
    struct live_reply r = { .type = 'x', .text = "" };
    if (n->talk.fd < 0 && !live_dial_at(&n->talk, n->host, n->resp, patience)) return r;
    if (send_words(&n->talk, word, args)) r = live_reply(&n->talk, patience);
    if (r.type == 0 || r.type == 'x') live_hang_up(&n->talk);
    return r;
}

struct live_reply live_ask(struct live_node *n, orr_time patience, const char *word, ...) {
    va_list args;
    va_start(args, word);
    struct live_reply r = ask(n, patience, word, args);
    va_end(args);
    return r;
}

bool live_serves(struct live_node *n, orr_time patience) {
    for (orr_time until = live_now() + patience;; live_pause()) {
        orr_time left = until - live_now();
        if (left <= 0) return false;
        struct live_reply r = live_ask(n, left, "GET", "live:none", NULL);
        if (r.type == '$') return true;
        if (n->pid > 0 && bury(n, WNOHANG)) return false;
    }
}

bool live_write_works(struct live_node *n, orr_time patience, const char *key, const char *value) {
    for (orr_time until = live_now() + patience;; live_pause()) {
        orr_time left = until - live_now();
        if (left <= 0) return false;
        struct live_reply r = live_ask(n, left, "SET", key, value, NULL);
        if (live_is(&r, '+', "OK")) return true;
    }
}

bool live_info(struct live_node *n, const char *field, char *out, size_t size) {
    struct live_reply r = live_ask(n, 2 * ORR_SECOND, "INFO", NULL);
    size_t length = strlen(field);
    if (r.type != '$' || r.n < 0) return false;
    for (const char *line = r.text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, field, length) != 0 || line[length] != ':') continue;
        snprintf(out, size, "%.*s", (int)strcspn(line + length + 1, "\r\n"), line + length + 1);
        return true;
    }
    return false;
}

int64_t live_info_number(struct live_node *n, const char *field) {
    char text[64];
    return live_info(n, field, text, sizeof text) ? strtoll(text, NULL, 10) : -1;
}

static struct live_node *who_leads(struct live *l, const struct live_node *not_asked) {
    char role[32];
    for (size_t i = 0; i < l->n; i++) {
        struct live_node *n = &l->nodes[i];
        if (n != not_asked && n->pid > 0 && state_of(n->pid) != 'T' && live_info(n, "orrery_role", role, sizeof role)
            && strcmp(role, "leader") == 0)
            return n;
    }
    return NULL;
}

struct live_node *live_leader_but(struct live *l, const struct live_node *not_asked, orr_time patience) {
    struct live_node *n = NULL;
    bool found;
    LIVE_WITHIN(found, patience, (n = who_leads(l, not_asked)) != NULL);
    return found ? n : NULL;
}

struct live_node *live_leader(struct live *l, orr_time patience) { return live_leader_but(l, NULL, patience); }

struct live_node *live_follower(struct live *l) {
    struct live_node *leader = live_leader(l, 10 * ORR_SECOND);
    if (!leader) live_die("no node says that it leads");
    for (size_t i = 0; i < l->n; i++)
        if (&l->nodes[i] != leader && l->nodes[i].pid > 0) return &l->nodes[i];
    live_die("no follower is left");
}

bool live_line(const struct live_node *n, const char *text, char *out, size_t size) {
    char line[2048];
    bool found = false;
    FILE *f = fopen(n->log, "r");
    if (!f) return false;
    fseek(f, n->log_from, SEEK_SET);
    while (!found && fgets(line, sizeof line, f)) found = strstr(line, text) != NULL;
    fclose(f);
    if (found && out) snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
    return found;
}

bool live_logged(const struct live_node *n, const char *text, orr_time patience) {
    bool found;
    LIVE_WITHIN(found, patience, live_line(n, text, NULL, 0));
    return found;
}

size_t live_rss(const struct live_node *n) {
    char path[64], line[256];
    unsigned long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)n->pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %lu", &kib) == 1) break;
    if (f) fclose(f);
    return kib * 1024;
}
