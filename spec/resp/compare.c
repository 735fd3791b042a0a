/* compare.c - the same commands to a real Redis and to us, and the same bytes back.
 *
 *     compare COMMANDS REDIS_PORT [OUR_PORT]        without OUR_PORT: the service and the machine in this process,
 *                                                   no cluster
 *
 * COMMANDS has a command a line, its words as redis-cli would read them ("..." with \x00, \r, \n, \" and \\).
 * Lines may begin with a rule:
 *
 *     ~set        an array whose order is free          ~near N     integers that differ by at most N
 *     ~kind       only the first byte must agree        ~ours TEXT  we answer with TEXT (C escapes), Redis otherwise
 *     ~skip       run on both, not compared             ~scan       cursor and order are free: the keys of a whole SCAN
 *     raw N "..." the bytes as they are, N replies      rawclose N "..."   the same, then both must close
 *     repeat N CMD   N times in one packet              sleep MS
 *
 * Exit: 0 all agree, 1 some did not, 2 wrong use. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../node/resp_fake.h"

struct bytes {
    char *at;
    size_t n, cap;
};
struct side {
    const char *name;
    int fd, port;                   /* port 0: in this process */
    struct fake_conn *conn;
    struct bytes in;
    bool closed;
};
enum { WORDS = 64, WAIT_MS = 5000 };

static struct fake fake;
static int n_compared, n_differ;
static const char *last_line = "";

static void fail_use(const char *what) {
    fprintf(stderr, "compare: %s (at: %s)\n", what, last_line);
    exit(2);
}

/* A NUL follows, which doesn't count. */
static void append(struct bytes *b, const void *at, size_t n) {
    if (b->n + n >= b->cap) {
        b->cap = 2 * (b->n + n) + 1;
        b->at = realloc(b->at, b->cap);
    }
    if (n) memcpy(b->at + b->n, at, n);
    b->n += n;
    b->at[b->n] = 0;
}

/* -- Two sides ----------------------------------------------------------------------------------------------------- */
static void side_connect(struct side *s) {
    s->in.n = 0;
    s->closed = false;
    if (s->port == 0) {
        if (s->conn) fake_disconnect(s->conn);
        s->conn = fake_connect(&fake);
        return;
    }
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons((uint16_t)s->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (s->fd > 0) close(s->fd);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s->fd, (struct sockaddr *)&a, sizeof a) < 0) fail_use("can't connect");
}

static void side_send(struct side *s, const struct bytes *b) {
    if (s->port == 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        fake.at.time = (orr_time)now.tv_sec * ORR_SECOND + now.tv_nsec;
        orr_kv_machine.advance(fake.machine, &fake.at);
        fake_feed(s->conn, b->at, b->n);
        fake_turn(&fake);
        append(&s->in, s->conn->out, s->conn->n_out);
        s->conn->n_out = 0;
        s->closed = s->conn->closing;
        return;
    }
    for (size_t sent = 0; sent < b->n;) {
        ssize_t n = send(s->fd, b->at + sent, b->n - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += (size_t)n;
    }
}

/* Size of the reply at `at`, 0: not all there. */
static size_t reply_size(const char *at, size_t n) {
    const char *end = n ? memmem(at, n, "\r\n", 2) : NULL;
    if (!end) return 0;
    size_t size = (size_t)(end - at) + 2;
    long count = strtol(at + 1, NULL, 10);
    if (*at == '$' || *at == '=') {
        if (count >= 0) size += (size_t)count + 2;
        return size <= n ? size : 0;
    }
    if (*at != '*' && *at != '%' && *at != '~') return size;
    for (long i = 0; i < (*at == '%' ? 2 * count : count); i++) {
        size_t more = reply_size(at + size, n - size);
        if (!more) return 0;
        size += more;
    }
    return size;
}

static size_t replies_size(const struct bytes *b, int count) {
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size_t more = reply_size(b->at + size, b->n - size);
        if (!more) return 0;
        size += more;
    }
    return size;
}

/* Until so many replies are there, or the other side closed. */
static void side_wait(struct side *s, int count, bool to_end) {
    while (s->port && !s->closed && (to_end || (count > 0 && replies_size(&s->in, count) == 0))) {
        struct pollfd p = { s->fd, POLLIN, 0 };
        char buffer[65536];
        ssize_t n = poll(&p, 1, WAIT_MS) > 0 ? recv(s->fd, buffer, sizeof buffer, 0) : -1;
        if (n > 0) append(&s->in, buffer, (size_t)n);
        else if (n == 0) s->closed = true;
        else break;
    }
}

/* -- Lines --------------------------------------------------------------------------------------------------------- */
static int unescape(const char **p) {
    const char *s = *p;
    int c = (unsigned char)*s++;
    if (c == '\\') {
        c = (unsigned char)*s++;
        if (c == 'n') c = '\n';
        else if (c == 'r') c = '\r';
        else if (c == 't') c = '\t';
        else if (c == 'x') {
            char hex[3] = { s[0], s[1], 0 };
            c = (int)strtol(hex, NULL, 16);
            s += 2;
        }
    }
    *p = s;
    return c;
}

static bool next_word(const char **p, struct bytes *out) {
    while (**p == ' ') ++*p;
    if (**p == 0) return false;
    out->n = 0;
    append(out, "", 0);
    bool quoted = **p == '"';
    if (quoted) ++*p;
    while (**p && **p != (quoted ? '"' : ' ')) {
        char c = quoted ? (char)unescape(p) : *(*p)++;
        append(out, &c, 1);
    }
    if (quoted) ++*p;
    return true;
}

static void encode(const char *line, struct bytes *out) {
    struct bytes word = { 0 }, body = { 0 };
    char head[32];
    int n = 0;
    while (next_word(&line, &word)) {
        append(&body, head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", word.n));
        append(&body, word.at, word.n);
        append(&body, "\r\n", 2);
        n++;
    }
    append(out, head, (size_t)snprintf(head, sizeof head, "*%d\r\n", n));
    append(out, body.at, body.n);
    free(word.at);
    free(body.at);
}

static void show(const char *who, const char *at, size_t n) {
    fprintf(stderr, "    %s: ", who);
    for (size_t i = 0; i < n && i < 400; i++) {
        unsigned char c = (unsigned char)at[i];
        if (c == '\r') fputs("\\r", stderr);
        else if (c == '\n') fputs("\\n", stderr);
        else if (c < 32 || c > 126) fprintf(stderr, "\\x%02x", c);
        else fputc(c, stderr);
    }
    fputc('\n', stderr);
}

static void judge(bool agree, struct side *redis, struct side *ours) {
    n_compared++;
    if (agree) return;
    n_differ++;
    fprintf(stderr, "differs: %s\n", last_line);
    show("redis", redis->in.at, redis->in.n);
    show("ours ", ours->in.at, ours->in.n);
}

/* -- Rules --------------------------------------------------------------------------------------------------------- */
static int by_bytes(const void *a, const void *b) {
    const struct bytes *x = a, *y = b;
    int order = memcmp(x->at, y->at, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* An array's elements in order, behind its head. */
static void sorted(const struct bytes *in, struct bytes *out) {
    struct bytes parts[1024];
    const char *end = memmem(in->at, in->n, "\r\n", 2);
    size_t n = 0, at = (size_t)(end - in->at) + 2;
    append(out, in->at, at);
    for (size_t size; at < in->n && n < 1024 && (size = reply_size(in->at + at, in->n - at)); at += size) {
        parts[n++] = (struct bytes){ in->at + at, size, 0 };
    }
    qsort(parts, n, sizeof *parts, by_bytes);
    for (size_t i = 0; i < n; i++) append(out, parts[i].at, parts[i].n);
}

static bool same(const struct bytes *a, const struct bytes *b) {
    return a->n == b->n && (a->n == 0 || memcmp(a->at, b->at, a->n) == 0);
}

static bool same_set(struct side *redis, struct side *ours) {
    struct bytes a = { 0 }, b = { 0 };
    sorted(&redis->in, &a);
    sorted(&ours->in, &b);
    bool equal = same(&a, &b);
    free(a.at);
    free(b.at);
    return equal;
}

static void exchange(struct side *s, const struct bytes *packet, int count, bool to_end) {
    s->in.n = 0;
    side_send(s, packet);
    side_wait(s, count, to_end);
}

/* All that a SCAN with these options gives, as an array without its head. */
static void scan_all(struct side *s, const char *options, struct bytes *out) {
    char cursor[32] = "0", line[512];
    struct bytes keys = { 0 };
    do {
        struct bytes packet = { 0 };
        (void)snprintf(line, sizeof line, "SCAN %s %s", cursor, options);
        encode(line, &packet);
        exchange(s, &packet, 1, false);
        free(packet.at);
        const char *at = memmem(s->in.at, s->in.n, "\r\n", 2);
        size_t size = reply_size(at + 2, s->in.n - (size_t)(at + 2 - s->in.at));
        const char *text = (const char *)memmem(at + 2, size, "\r\n", 2) + 2;
        (void)snprintf(cursor, sizeof cursor, "%.*s", (int)(at + 2 + size - 2 - text), text);
        const char *list = at + 2 + size,
                   *first = (const char *)memmem(list, s->in.n - (size_t)(list - s->in.at), "\r\n", 2) + 2;
        append(&keys, first, s->in.n - (size_t)(first - s->in.at));
    } while (strcmp(cursor, "0") != 0);
    struct bytes whole = { 0 };
    append(&whole, "*\r\n", 3);
    append(&whole, keys.at, keys.n);
    sorted(&whole, out);
    free(whole.at);
    free(keys.at);
}

static void run_scan(struct side *redis, struct side *ours, const char *options) {
    struct bytes a = { 0 }, b = { 0 };
    scan_all(redis, options, &a);
    scan_all(ours, options, &b);
    redis->in.n = ours->in.n = 0;
    append(&redis->in, a.at, a.n);
    append(&ours->in, b.at, b.n);
    judge(same(&a, &b), redis, ours);
    free(a.at);
    free(b.at);
}

static bool near(struct side *redis, struct side *ours, long by) {
    if (redis->in.n < 2 || ours->in.n < 2 || redis->in.at[0] != ':' || ours->in.at[0] != ':') return false;
    return labs(atol(redis->in.at + 1) - atol(ours->in.at + 1)) <= by;
}

static void run_raw(struct side *redis, struct side *ours, const char *line, bool closes) {
    struct bytes packet = { 0 };
    int count = (int)strtol(line, (char **)(uintptr_t)&line, 10);
    (void)next_word(&line, &packet);
    exchange(redis, &packet, count, closes);
    exchange(ours, &packet, count, closes);
    judge(same(&redis->in, &ours->in) && redis->closed == closes && ours->closed == closes, redis, ours);
    free(packet.at);
    side_connect(redis);
    side_connect(ours);
}

static bool starts(const char **line, const char *with) {
    size_t n = strlen(with);
    if (strncmp(*line, with, n) != 0) return false;
    *line += n;
    return true;
}

static void run_line(struct side *redis, struct side *ours, const char *line) {
    struct bytes packet = { 0 }, text = { 0 };
    bool set = starts(&line, "~set "), kind = starts(&line, "~kind "), skip = starts(&line, "~skip "),
         mine = starts(&line, "~ours ");
    long by = starts(&line, "~near ") ? strtol(line, (char **)(uintptr_t)&line, 10) : -1;
    int count = 1;
    if (mine) (void)next_word(&line, &text);
    if (starts(&line, "repeat ")) count = (int)strtol(line, (char **)(uintptr_t)&line, 10);
    for (int i = 0; i < count; i++) encode(line, &packet);
    exchange(redis, &packet, count, false);
    exchange(ours, &packet, count, false);
    if (set) judge(same_set(redis, ours), redis, ours);
    else if (kind) judge(redis->in.n && ours->in.n && redis->in.at[0] == ours->in.at[0], redis, ours);
    else if (mine) judge(same(&text, &ours->in), redis, ours);
    else if (by >= 0) judge(near(redis, ours, by), redis, ours);
    else if (!skip) judge(same(&redis->in, &ours->in), redis, ours);
    if (redis->closed || ours->closed) {
        side_connect(redis);
        side_connect(ours);
    }
    free(packet.at);
    free(text.at);
}

int main(int argc, char **argv) {
    char line[4096];
    FILE *f = argc > 2 ? fopen(argv[1], "r") : NULL;
    if (!f) fail_use("usage: compare COMMANDS REDIS_PORT [OUR_PORT]");
    struct side redis = { .name = "redis", .port = atoi(argv[2]) },
                ours = { .name = "ours", .port = argc > 3 ? atoi(argv[3]) : 0 };
    if (ours.port == 0) fake_init(&fake);
    side_connect(&redis);
    side_connect(&ours);
    while (fgets(line, sizeof line, f)) {
        const char *rest = line;
        line[strcspn(line, "\n")] = 0;
        last_line = line;
        if (line[0] == 0 || line[0] == '#') continue;
        if (starts(&rest, "raw ")) run_raw(&redis, &ours, rest, false);
        else if (starts(&rest, "rawclose ")) run_raw(&redis, &ours, rest, true);
        else if (starts(&rest, "~scan")) run_scan(&redis, &ours, rest);
        else if (starts(&rest, "sleep ")) usleep((useconds_t)atoi(rest) * 1000);
        else run_line(&redis, &ours, rest);
    }
    fclose(f);
    printf("%d compared, %d differ\n", n_compared, n_differ);
    free(redis.in.at);
    free(ours.in.at);
    if (ours.port == 0) fake_free(&fake);
    return n_differ != 0;
}
