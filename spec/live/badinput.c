/* badinput.c - what strangers, broken clients and greedy ones do to a live cluster: it closes or answers.
 *
 *     badinput PROGRAM [NAME...]          all attacks, or those whose name holds one of the words
 *
 * Three nodes, and one attack after another on both of their ports. After each of them every node must still be the
 * process that it was, answer a write and a read within a second, and hold no more memory than the attack explains. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <orrery/kv.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "live.h"
#include "node/frame.h"
#include "node/message.h"
#include "node/welcome.h"

#define MIB ((size_t)1 << 20)
#define PATIENCE (2 * ORR_SECOND)
/* Other programs share this machine's processors: a single late answer or turn is no proof of anything. */
#define PROMPT ORR_SECOND

static struct live l;
static struct orr_rng chance;

static bool say(struct live_conn *c, const char *text) { return live_send(c, text, strlen(text), PATIENCE); }
static double mib(size_t bytes) { return (double)bytes / (double)MIB; }

/* -- Clients that don't speak the protocol ------------------------------------------------------------------------- */
static const struct {
    const char *name, *send, *reply;        /* reply: how its last line begins; then the connection is closed */
} wrongs[] = {
    { "a count that is no number", "*x\r\n", "ERR Protocol error: invalid multibulk length" },
    { "a count above the limit", "*2147483648\r\n", "ERR Protocol error: invalid multibulk length" },
    { "a count with a sign in front", "*+3\r\n", "ERR Protocol error: invalid multibulk length" },
    { "an integer for a string", "*1\r\n:4\r\n", "ERR Protocol error: expected '$', got ':'" },
    { "a status for a string", "*2\r\n$4\r\nECHO\r\n+hi\r\n", "ERR Protocol error: expected '$', got '+'" },
    { "a negative size", "*1\r\n$-7\r\n", "ERR Protocol error: invalid bulk length" },
    { "a size that is no number", "*1\r\n$ab\r\n", "ERR Protocol error: invalid bulk length" },
    { "a size above the limit", "*1\r\n$536870913\r\n", "ERR Protocol error: invalid bulk length" },
    { "quotes that don't end", "SET k \"v\r\n", "ERR Protocol error: unbalanced quotes in request" },
};

static void protocol_errors(void) {
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        struct live_conn c;
        bool sent = live_dial(&c, l.nodes[i % l.n].resp, PATIENCE) && say(&c, wrongs[i].send);
        struct live_reply r = live_reply(&c, PATIENCE);
        bool told = sent && live_is(&r, '-', wrongs[i].reply), closed = live_closed(&c, PATIENCE);
        live_check(told && closed, "%s is answered with Redis's text and the end", wrongs[i].name);
        live_hang_up(&c);
    }
}

static void endless_lines(void) {
    const char *begins[] = { "", "*", "*1\r\n$" };
    const char *replies[] = { "ERR Protocol error: too big inline request",
                              "ERR Protocol error: too big mbulk count string",
                              "ERR Protocol error: too big bulk count string" };
    char *many = malloc(200000);
    if (!many) live_die("memory");
    memset(many, '1', 200000);
    for (size_t i = 0; i < 3; i++) {
        struct live_conn c;
        bool sent = live_dial(&c, l.nodes[i].resp, PATIENCE) && say(&c, begins[i]);
        (void)live_send(&c, many, 200000, PATIENCE);    /* it may be closed half-way, and the answer lost with that */
        struct live_reply r = live_reply(&c, PATIENCE);
        bool told = r.type == 'x' || live_is(&r, '-', replies[i]);
        live_check(sent && told && live_closed(&c, PATIENCE), "a line without an end is not waited for: %s",
                   replies[i] + 20);
        live_hang_up(&c);
    }
    free(many);
}

static size_t random_bytes(char *at, size_t max, bool leaning) {
    static const char dear[] = "*$+-:\r\n0123456789SETGETPING\0 \"'";
    size_t size = 1 + orri_rng_below(&chance, max);
    orri_rng_fill(&chance, at, size);
    for (size_t i = 0; leaning && i < size; i++)
        if (orri_rng_chance(&chance, 0.9)) at[i] = dear[orri_rng_below(&chance, sizeof dear - 1)];
    return size;
}

static void garbage(void) {
    char bytes[4096];
    struct live_conn conns[60];
    for (size_t round = 0; round < 6; round++) {
        for (size_t i = 0; i < 60; i++) {
            const struct live_node *n = &l.nodes[orri_rng_below(&chance, l.n)];
            if (!live_dial(&conns[i], round % 2 ? n->at : n->resp, PATIENCE)) continue;
            for (int piece = 0; piece < 4; piece++)
                (void)live_send(&conns[i], bytes, random_bytes(bytes, sizeof bytes, piece % 2), 0);
        }
        for (size_t i = 0; i < 60; i++) live_hang_up(&conns[i]);
    }
}

static void byte_by_byte(void) {
    static const char bytes[] = "*3\r\n$3\r\nSET\r\n$4\r\nslow\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n";
    struct live_conn c;
    bool ok = live_dial(&c, l.nodes[1].resp, PATIENCE);
    for (size_t i = 0; ok && i < sizeof bytes - 1; i++) {
        ok = live_send(&c, bytes + i, 1, PATIENCE);
        if (i % 4 == 0) live_pause();               /* so that the bytes come apart */
    }
    struct live_reply set = live_reply(&c, PATIENCE);
    bool set_ok = live_is(&set, '+', "OK");
    struct live_reply get = live_reply(&c, PATIENCE);
    live_check(ok && set_ok && live_is(&get, '$', "value"), "a command that comes byte by byte is done");
    live_hang_up(&c);
}

static void half_commands(void) {
    struct live_conn conns[100];
    size_t before = live_rss(&l.nodes[0]);
    for (size_t i = 0; i < 100; i++) {
        bool open = live_dial(&conns[i], l.nodes[0].resp, PATIENCE);
        if (open) (void)say(&conns[i], "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8388608\r\nabc");
        if (i % 2) live_hang_up(&conns[i]);
    }
    struct live_reply r = live_ask(&l.nodes[0], PROMPT, "PING", NULL);
    size_t after = live_rss(&l.nodes[0]);
    live_check(live_is(&r, '+', "PONG") && after < before + 32 * MIB,
               "commands that stop half-way hold up nobody, nor do they get the memory that they announce (%.0f MiB "
               "before, %.0f after)",
               mib(before), mib(after));
    for (size_t i = 0; i < 100; i += 2) live_hang_up(&conns[i]);
}

static void huge_counts(void) {
    struct live_conn conns[50];
    size_t before = live_rss(&l.nodes[2]);
    for (size_t i = 0; i < 50; i++)
        if (live_dial(&conns[i], l.nodes[2].resp, PATIENCE))
            (void)say(&conns[i], "*1048576\r\n$4\r\nMGET\r\n$1\r\nk\r\n");
    struct live_reply r = live_ask(&l.nodes[2], PROMPT, "PING", NULL);
    size_t after = live_rss(&l.nodes[2]);
    live_check(live_is(&r, '+', "PONG") && after < before + 16 * MIB,
               "an announced million of words takes no memory (%.0f MiB, then %.0f)", mib(before), mib(after));
    for (size_t i = 0; i < 50; i++) live_hang_up(&conns[i]);
}

/* -- Values above the limit ---------------------------------------------------------------------------------------- */
static void too_large(void) {
    struct live_conn c;
    if (!live_dial(&c, l.nodes[1].resp, PATIENCE)) live_die("dial");
    bool sent = live_set_big(&c, "big", 'b', ORR_KV_VALUE_MAX, 10 * ORR_SECOND);
    struct live_reply r = live_reply(&c, 10 * ORR_SECOND);
    live_check(sent && live_is(&r, '+', "OK"), "a value of 8 MiB is taken");
    live_command(&c, "APPEND", "big", "x", NULL);
    r = live_reply(&c, 5 * ORR_SECOND);
    live_check(live_is(&r, '-', ""), "what would make it longer is refused: %s", r.text);
    live_command(&c, "SETRANGE", "big", "8388608", "x", NULL);
    r = live_reply(&c, 5 * ORR_SECOND);
    live_check(live_is(&r, '-', ""), "by SETRANGE, too: %s", r.text);
    live_command(&c, "STRLEN", "big", NULL);
    r = live_reply(&c, 5 * ORR_SECOND);
    live_check(r.type == ':' && r.n == ORR_KV_VALUE_MAX, "the connection is usable, the value as it was");
    (void)live_set_big(&c, "bigger", 'b', ORR_KV_VALUE_MAX + 1, 5 * ORR_SECOND);
    r = live_reply(&c, 5 * ORR_SECOND);
    live_check(r.type == '-' || r.type == 'x', "one byte more is refused: %s", r.type == '-' ? r.text : "closed");
    live_hang_up(&c);
    r = live_ask(&l.nodes[0], PATIENCE, "EXISTS", "bigger", NULL);
    live_check(r.type == ':' && r.n == 0, "and isn't there");
    live_ask(&l.nodes[0], PATIENCE, "DEL", "big", NULL);
}

/* -- A client that never reads ------------------------------------------------------------------------------------- */
static void never_reads(void) {
    enum { READERS = 4, GETS = 2000 };
    struct live_conn c, readers[READERS];
    struct live_node *n = &l.nodes[0];
    if (!live_dial(&c, n->resp, PATIENCE) || !live_set_big(&c, "mib", 'm', MIB, PATIENCE)) live_die("dial");
    (void)live_reply(&c, PATIENCE);
    size_t before = live_rss(n), most = before;
    for (size_t i = 0; i < READERS; i++) {
        if (!live_dial(&readers[i], n->resp, PATIENCE)) live_die("dial");
        for (size_t k = 0; k < GETS; k++)
            if (!say(&readers[i], "*2\r\n$3\r\nGET\r\n$3\r\nmib\r\n")) live_die("the system takes no more");
    }
    orr_time slowest = 0;
    for (orr_time until = live_now() + PATIENCE; live_now() < until;) {
        orr_time asked = live_now();
        struct live_reply r = live_ask(n, PATIENCE, "PING", NULL);
        if (!live_is(&r, '+', "PONG")) break;
        if (live_now() - asked > slowest) slowest = live_now() - asked;
        size_t rss = live_rss(n);
        if (rss > most) most = rss;
        live_pause();
    }
    live_check(most < before + READERS * 24 * MIB, "%d GiB are asked for and not read: the node keeps %.0f MiB of them",
               READERS * GETS / 1024, mib(most - before));
    live_check(slowest < PROMPT, "meanwhile others are answered (at worst after %.0f ms)", (double)slowest / 1e6);
    struct live_reply first = live_reply(&readers[0], PATIENCE), second = live_reply(&readers[0], PATIENCE);
    live_check(first.type == '$' && second.type == '$' && second.n == (int64_t)MIB,
               "when it reads at last, it gets on");
    for (size_t i = 0; i < READERS; i++) live_hang_up(&readers[i]);
    live_hang_up(&c);
    live_ask(n, PATIENCE, "DEL", "mib", NULL);
}

/* A short command whose one answer is a gigabyte, and a pipeline of the like before a write, which must be answered
 * in order. */
static void huge_answers(void) {
    enum { TIMES = 1000 };
    struct live_conn c;
    struct live_node *n = &l.nodes[1];
    char *packet = malloc(TIMES * 32 + 64), *at = packet;
    if (!packet || !live_dial(&c, n->resp, PATIENCE) || !live_set_big(&c, "mib", 'm', MIB, PATIENCE)) live_die("dial");
    (void)live_reply(&c, PATIENCE);
    live_hang_up(&c);
    for (int way = 0; way < 2; way++) {
        at = packet + (way ? 0 : sprintf(packet, "*%d\r\n$4\r\nMGET\r\n", TIMES + 1));
        for (int i = 0; i < TIMES; i++) at += sprintf(at, way ? "*2\r\n$3\r\nGET\r\n$3\r\nmib\r\n" : "$3\r\nmib\r\n");
        if (way) at += sprintf(at, "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n");
        size_t before = live_rss(n);
        bool closed = live_dial(&c, n->resp, PATIENCE) && live_send(&c, packet, (size_t)(at - packet), PATIENCE)
                      && live_closed(&c, 10 * ORR_SECOND);
        size_t after = live_rss(n);
        live_check(closed && after < before + 400 * MIB,
                   "%s is not kept in memory: closed (%.0f MiB before, %.0f after)",
                   way ? "a gigabyte before a write" : "one answer of a gigabyte", mib(before), mib(after));
        live_hang_up(&c);
    }
    free(packet);
    live_ask(n, PATIENCE, "DEL", "mib", NULL);
}

/* -- Strangers at the port of the peers ---------------------------------------------------------------------------- */
static size_t frame(unsigned char *at, enum orri_frame_kind kind, const void *payload, size_t size) {
    struct orr_slice part = orr_borrow(payload, size);
    orri_frame_head(at, &(struct orri_frame){ .kind = kind }, &part, 1);
    memcpy(at + ORRI_FRAME_HEAD, payload, size);
    return ORRI_FRAME_HEAD + size;
}

/* A HELLO as `id` of the right cluster would say it, from another data directory. */
static size_t forged_hello(unsigned char *at, const char *id, uint64_t cluster, uint16_t newest) {
    unsigned char payload[ORRI_HELLO_MAX];
    struct orri_hello h = {
        .oldest = newest, .newest = newest, .cluster = cluster, .id = orr_id_of(id), .incarnation = 1000, .nonce = 7
    };
    memset(h.birth.b, 'x', sizeof h.birth.b);
    snprintf(h.name, sizeof h.name, "%s", id);
    return frame(at, ORRI_FRAME_HELLO, payload, orri_hello_write(&h, payload));
}

static uint64_t cluster_id(void) {
    char text[64] = "";
    live_info(&l.nodes[0], "cluster", text, sizeof text);
    return strtoull(text, NULL, 16);
}

/* Is the last frame that came a REFUSED? Behind a HELLO, where it costs the other side its vote. */
static bool ends_refused(const struct live_conn *c) {
    bool refused = false;
    for (size_t at = 0; at + ORRI_FRAME_HEAD <= c->n_in;) {
        const unsigned char *head = (const unsigned char *)c->in + at;
        refused = head[6] == ORRI_FRAME_REFUSED;
        at += ORRI_FRAME_HEAD + ((size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16);
    }
    return refused;
}

/* Says it to a's port, and looks at what comes back: closed in time, maybe with a REFUSED. */
static void stranger(const char *what, const unsigned char *bytes, size_t size, bool refusal) {
    struct live_conn c;
    bool open = live_dial(&c, l.nodes[0].at, PATIENCE) && live_send(&c, bytes, size, PATIENCE);
    bool closed = live_closed(&c, 4 * ORR_SECOND);
    bool refused = ends_refused(&c);
    live_check(open && closed && refused == refusal, "%s: %s, closed", what, refused ? "refused" : "no word");
    live_hang_up(&c);
}

static void strangers(void) {
    unsigned char bytes[4096] = { 0 };
    uint64_t cluster = cluster_id();
    size_t size = frame(bytes, ORRI_FRAME_PING, "", 0);
    stranger("who speaks before he says who he is", bytes, size, false);
    size = forged_hello(bytes, "b", cluster, ORRI_PROTOCOL_NEWEST);
    bytes[size - 1] ^= 1;
    stranger("a frame with a wrong checksum", bytes, size, false);
    size = forged_hello(bytes, "b", cluster, ORRI_PROTOCOL_NEWEST);
    stranger("b with another data directory", bytes, size, true);
    size = forged_hello(bytes, "b", cluster + 1, ORRI_PROTOCOL_NEWEST);
    stranger("b of another cluster", bytes, size, true);
    size = forged_hello(bytes, "z", cluster, ORRI_PROTOCOL_NEWEST);
    stranger("a node that is not in the file", bytes, size, true);
    size = forged_hello(bytes, "b", cluster, 99);
    stranger("a protocol of the future", bytes, size, true);
    size = frame(bytes, ORRI_FRAME_HELLO, "ORRY", 4);
    stranger("a HELLO cut short", bytes, size, true);
    memset(bytes, 0xff, 4);                             /* the length of the payload */
    stranger("a length of 4 GiB", bytes, ORRI_FRAME_HEAD, false);
    stranger("half a head, and then nothing", bytes, ORRI_FRAME_HEAD / 2, false);
}

static void silent_strangers(void) {
    struct live_conn conns[300];
    size_t open = 0, closed = 0, before = live_rss(&l.nodes[0]);
    for (size_t i = 0; i < 300; i++) open += live_dial(&conns[i], l.nodes[0].at, PATIENCE);
    live_check(live_write_works(&l.nodes[0], PATIENCE, "among", "strangers"),
               "%zu silent connections on the peers' port: writes go on", open);
    orr_time until = live_now() + 5 * ORR_SECOND;
    for (size_t i = 0; i < 300; i++) {
        closed += conns[i].fd < 0 || live_closed(&conns[i], until - live_now());
        live_hang_up(&conns[i]);
    }
    size_t after = live_rss(&l.nodes[0]);
    live_check(closed == 300 && after < before + 16 * MIB, "%zu of them were closed in time", closed);
}

/* -- Visitors who don't behave ------------------------------------------------------------------------------------- */
static size_t visit(unsigned char *at, uint16_t oldest, uint16_t newest, const char *cluster) {
    unsigned char payload[ORRI_VISIT_MAX];
    struct orri_visit_hello h = { .oldest = oldest, .newest = newest };
    snprintf(h.cluster, sizeof h.cluster, "%s", cluster);
    return frame(at, ORRI_FRAME_VISIT, payload, orri_visit_hello_write(&h, payload));
}

/* A call of `name` with so many bytes of nothing, or another message like it. */
static size_t message(unsigned char *at, enum orri_message_kind kind, const char *name, size_t size) {
    static unsigned char payload[64 << 10];
    bool asks = kind == ORRI_MESSAGE_CALL || kind == ORRI_MESSAGE_PROPOSE || kind == ORRI_MESSAGE_READ;
    struct orri_message m = { .kind = kind, .tag = 1, .when = asks ? ORR_NEVER : 0,
                              .name = orr_borrow(name, strlen(name)), .body = { .size = size } };
    memset(payload, 0, sizeof payload);
    orri_message_write(payload + ORRI_MESSAGES_HEAD, &m);
    return frame(at, ORRI_FRAME_RPC, payload, ORRI_MESSAGES_HEAD + orri_message_head_size(&m) + size);
}

static bool welcomed(struct live_conn *c) {
    unsigned char bytes[ORRI_FRAME_HEAD + ORRI_VISIT_MAX];
    struct pollfd readable = { .events = POLLIN };
    unsigned char head[ORRI_FRAME_HEAD] = { 0 };
    if (!live_dial(c, l.nodes[0].at, PATIENCE)) return false;
    if (!live_send(c, bytes, visit(bytes, 1, ORRI_PROTOCOL_NEWEST, ""), PATIENCE)) return false;
    readable.fd = c->fd;
    return poll(&readable, 1, (int)(PATIENCE / ORR_MS)) == 1 &&
           recv(c->fd, head, sizeof head, MSG_PEEK) == (ssize_t)sizeof head && head[6] == ORRI_FRAME_WELCOME;
}

static void visitors(void) {
    static const enum orri_message_kind none_of_his[] = { ORRI_MESSAGE_PROPOSE, ORRI_MESSAGE_READ, ORRI_MESSAGE_REPLY };
    static unsigned char bytes[128 << 10];
    stranger("a visitor of the future", bytes, visit(bytes, 99, 99, ""), true);
    stranger("a visitor from before there were calls", bytes, visit(bytes, 1, 1, ""), true);
    stranger("a visitor of another cluster", bytes, visit(bytes, 1, 2, "other"), true);
    stranger("a VISIT cut short", bytes, frame(bytes, ORRI_FRAME_VISIT, "ORRY", 4), true);
    stranger("who asks before the VISIT", bytes, message(bytes, ORRI_MESSAGE_CALL, "x", 0), false);
    for (size_t kind = ORRI_FRAME_HELLO; kind < ORRI_FRAME_KINDS; kind++) {
        size_t size = visit(bytes, 1, 2, "");
        if (kind != ORRI_FRAME_RPC) size += frame(bytes + size, (enum orri_frame_kind)kind, "ORRY", 4);
        if (kind != ORRI_FRAME_RPC) stranger("a visitor with a frame of the nodes'", bytes, size, false);
    }
    for (size_t i = 0; i < 3; i++) {
        size_t size = visit(bytes, 1, 2, "");
        size += message(bytes + size, none_of_his[i], none_of_his[i] == ORRI_MESSAGE_REPLY ? "" : "kv", 0);
        stranger("a visitor with a message of the nodes'", bytes, size, false);
    }
    size_t size = visit(bytes, 1, 2, "");
    for (size_t i = 0; i < 500; i++) bytes[size++] = (unsigned char)orri_rng_below(&chance, 256);
    stranger("a visitor with garbage", bytes, size, false);
    size = visit(bytes, 1, 2, "") + ORRI_FRAME_HEAD;
    (void)frame(bytes + size - ORRI_FRAME_HEAD, ORRI_FRAME_RPC, "", 0);
    memset(bytes + size - ORRI_FRAME_HEAD, 0xff, 4);
    stranger("a visitor with a frame of 4 GiB", bytes, size, false);
}

static void many_visitors(void) {
    enum { MANY = 150 };
    struct live_conn conns[MANY];
    size_t in = 0;
    for (size_t i = 0; i < MANY; i++) in += welcomed(&conns[i]);
    live_check(in == 100, "of %d visitors at once %zu are let in", MANY, in);
    live_check(live_write_works(&l.nodes[0], PROMPT, "among", "visitors"), "and writes go on");
    for (size_t i = 0; i < MANY; i++) live_hang_up(&conns[i]);
    struct live_conn c;
    bool again;
    LIVE_WITHIN(again, 5 * ORR_SECOND, welcomed(&c) || (live_hang_up(&c), false));
    live_check(again, "when they have left, others are");
    live_hang_up(&c);
}

/* Calls of what isn't there, of which each has an answer, that it never reads. */
static void visitor_never_reads(void) {
    static unsigned char bytes[128 << 10];
    struct live_conn c;
    size_t before = live_rss(&l.nodes[0]), size = 0, sent = 0;
    if (!welcomed(&c)) live_die("no welcome");
    while (size + 100 < sizeof bytes) size += message(bytes + size, ORRI_MESSAGE_CALL, "x", 0);
    orr_time until = live_now() + 20 * ORR_SECOND;
    while (live_now() < until && live_send(&c, bytes, size, 100 * ORR_MS)) sent++;
    live_check(live_write_works(&l.nodes[0], PROMPT, "beside", "deaf"), "a visitor reads nothing: writes go on");
    size_t after = live_rss(&l.nodes[0]);
    live_check(sent > 0 && live_now() < until && after < before + 32 * MIB,
               "he is not read for ever (%.1f MiB), nor kept in memory (%.0f MiB before, %.0f after)",
               mib(sent * size), mib(before), mib(after));
    bool gone = live_logged(&l.nodes[0], "it reads no answers", 15 * ORR_SECOND);
    live_check(gone, "and is shown out");
    live_hang_up(&c);
}

/* -- Many clients -------------------------------------------------------------------------------------------------- */
static void idle_clients(void) {
    enum { MANY = 9990 };       /* the limit is 10,000, and this program has some of its own */
    struct live_node *n = &l.nodes[0];
    struct live_conn *conns = calloc(MANY, sizeof *conns);
    size_t open = 0, before = live_rss(n);
    if (!conns) live_die("memory");
    struct live_reply r = live_ask(n, PATIENCE, "PING", NULL);
    for (size_t i = 0; i < MANY; i++) {
        open += live_dial(&conns[i], n->resp, 5 * ORR_SECOND);
        if (conns[i].fd >= 0) (void)live_command(&conns[i], "PING", NULL);
    }
    size_t answered = 0;
    for (size_t i = 0; i < MANY; i++) {
        r = live_reply(&conns[i], 5 * ORR_SECOND);
        answered += live_is(&r, '+', "PONG");
        free(conns[i].in);
        conns[i].in = NULL;
    }
    orr_time times[21];
    for (size_t i = 0; i < 21; i++) {
        orr_time asked = live_now();
        r = live_ask(n, PATIENCE, "PING", NULL);
        times[i] = live_is(&r, '+', "PONG") ? live_now() - asked : ORR_NEVER;
        for (size_t k = i; k > 0 && times[k] < times[k - 1]; k--) {
            orr_time t = times[k];
            times[k] = times[k - 1];
            times[k - 1] = t;
        }
    }
    size_t after = live_rss(n);
    live_check(open == MANY && answered == MANY, "%zu clients connect, %zu are answered", open, answered);
    live_check(after < before + 100 * MIB, "idle, they take %.1f MiB", mib(after - before));
    live_check(times[10] < 50 * ORR_MS, "among them PING is answered after %.2f ms (the median; at worst %.2f)",
               (double)times[10] / 1e6, (double)times[20] / 1e6);
    live_check(live_write_works(n, PROMPT, "among", "many"), "and a write works");
    for (size_t i = 0; i < MANY; i++) live_hang_up(&conns[i]);
    free(conns);
    bool gone;
    LIVE_WITHIN(gone, 10 * ORR_SECOND, live_info_number(n, "connected_clients") < 10);
    live_check(gone, "when they have gone, they are forgotten");
}

static uint64_t cpu_ticks(const struct live_node *n) {
    char path[64], line[1024] = "";
    uint64_t user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)n->pid);
    FILE *f = fopen(path, "r");
    if (f && fgets(line, sizeof line, f) && strrchr(line, ')'))
        sscanf(strrchr(line, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
               &system);
    if (f) fclose(f);
    return user + system;
}

static void no_descriptors(void) {
    enum { MANY = 120 };
    struct live_node *n = live_follower(&l);
    struct live_conn conns[MANY], old;
    live_stop(n);
    n->files_max = 64;
    live_start(n);
    if (!live_serves(n, 10 * ORR_SECOND)) live_die("a node with 64 descriptors does not start");
    if (!live_dial(&old, n->resp, PATIENCE)) live_die("dial");
    for (size_t i = 0; i < MANY; i++) (void)live_dial(&conns[i], n->resp, PATIENCE);
    live_check(live_write_works(n, PATIENCE, "without", "descriptors"), "out of descriptors, old clients go on");
    live_command(&old, "PING", NULL);
    struct live_reply r = live_reply(&old, PATIENCE);
    live_check(live_is(&r, '+', "PONG"), "each of them");
    uint64_t ticks = cpu_ticks(n);
    orr_time from = live_now();
    while (live_now() < from + ORR_SECOND) live_pause();    /* a wait for time itself: what does it do in a second? */
    double share = (double)(cpu_ticks(n) - ticks) / (double)sysconf(_SC_CLK_TCK);
    live_check(share < 0.3, "accepting pauses: the node is at rest (%.0f %% of a processor)", 100 * share);
    for (size_t i = 0; i < MANY; i++) live_hang_up(&conns[i]);
    struct live_conn fresh;
    bool served = live_dial(&fresh, n->resp, PATIENCE) && live_command(&fresh, "PING", NULL);
    r = live_reply(&fresh, 5 * ORR_SECOND);
    live_check(served && live_is(&r, '+', "PONG"), "when there are some again, new clients are served");
    live_hang_up(&fresh);
    live_hang_up(&old);
    live_stop(n);
    n->files_max = 0;
    live_start(n);
    live_check(live_serves(n, 10 * ORR_SECOND), "the node is back with as many as before");
}

/* -- Big values from all sides at once ----------------------------------------------------------------------------- */
static bool writes_work(void) {
    bool all = true;
    for (size_t i = 0; i < l.n; i++) all = live_write_works(&l.nodes[i], 10 * ORR_SECOND, "after", "both write") && all;
    return all;
}

static void both_write(void) {
    enum { EACH = 6, SIZE = 6 << 20 };
    struct live_conn conns[LIVE_NODES_MAX];
    pid_t writers[LIVE_NODES_MAX];
    size_t answered = 0;
    orr_time from = live_now();
    for (size_t i = 0; i < l.n; i++) {
        char key[] = { 'f', 'r', 'o', 'm', l.nodes[i].id[0], 0 };
        if (!live_dial(&conns[i], l.nodes[i].resp, PATIENCE)) live_die("dial");
        writers[i] = fork();                            /* nobody reads until everything is sent */
        if (writers[i] < 0) live_die("fork");
        for (size_t k = 0; writers[i] == 0 && k < EACH; k++)
            if (!live_set_big(&conns[i], key, (char)('a' + k), SIZE, 60 * ORR_SECOND)) _exit(1);
        if (writers[i] == 0) _exit(0);
    }
    for (size_t i = 0; i < l.n; i++) {
        for (size_t k = 0; k < EACH; k++) {
            struct live_reply r = live_reply(&conns[i], 60 * ORR_SECOND);
            if (live_is(&r, '+', "OK")) answered++;
            else live_say("   %s: %c %s", l.nodes[i].id, r.type ? r.type : '0', r.text);
        }
        live_hang_up(&conns[i]);
        int status;
        waitpid(writers[i], &status, 0);
    }
    /* A disk that others use too may be too slow for all of it in the time that a command has; nodes that block each
     * other would answer nothing in time, nor what comes after. */
    live_check(2 * answered >= EACH * l.n && writes_work(),
               "%zu of %zu values of 6 MiB, written on all nodes at once, are there after %.1f s: nodes that "
               "write to each other don't block",
               answered, EACH * l.n, (double)(live_now() - from) / 1e9);
    live_ask(&l.nodes[0], PATIENCE, "FLUSHALL", NULL);
}

/* -- The whole ----------------------------------------------------------------------------------------------------- */
static const struct {
    const char *name;
    void (*run)(void);
    bool syncs;                     /* it makes the nodes copy and sync so much that a turn may take long */
} attacks[] = {
    { "protocol errors", protocol_errors, false },   { "endless lines", endless_lines, false },
    { "garbage", garbage, false },                   { "byte by byte", byte_by_byte, false },
    { "half commands", half_commands, false },       { "huge counts", huge_counts, false },
    { "too large", too_large, true },                { "never reads", never_reads, true },
    { "huge answers", huge_answers, true },
    { "strangers", strangers, false },               { "silent strangers", silent_strangers, false },
    { "visitors", visitors, false },                 { "many visitors", many_visitors, false },
    { "deaf visitor", visitor_never_reads, false },
    { "idle clients", idle_clients, false },         { "no descriptors", no_descriptors, true },
    { "both write", both_write, true },
};

/* All are the processes that they were, answer a write and a read, and have not grown without end. */
static void still_well(const char *after, const pid_t *pids) {
    bool same = true, prompt = true;
    size_t most = 0;
    for (size_t i = 0; i < l.n; i++) {
        struct live_node *n = &l.nodes[i];
        same = same && (!pids[i] || n->pid == pids[i]) && !live_ended(n, 0);
        live_ask(n, PATIENCE, "PING", NULL);            /* a broken connection is found out here */
        prompt = prompt && live_write_works(n, PROMPT, "after", after) && live_serves(n, PROMPT);
        if (live_rss(n) > most) most = live_rss(n);
    }
    if (!live_check(same && prompt && most < 600 * MIB,
                    "after %s all nodes are up and answer within a second (%.0f MiB at most)", after, mib(most)))
        live_die("no use to go on");
}

static int64_t slow_turns(void) {
    int64_t sum = 0;
    for (size_t i = 0; i < l.n; i++) {
        int64_t slow = live_info_number(&l.nodes[i], "loop_turns_over_16ms");
        if (slow < 0) return -1;
        sum += slow;
    }
    return sum;
}

/* Where other programs run too, a turn may have to wait for the processor: what an attack does, it does twice. */
static void attack(size_t i) {
    enum { SLOW_MAX = 5 };
    pid_t pids[LIVE_NODES_MAX] = { 0 };
    bool restarts = attacks[i].run == no_descriptors;
    live_say("-- %s", attacks[i].name);
    for (size_t k = 0; k < l.n && !restarts; k++) pids[k] = l.nodes[k].pid;
    int64_t slow = SLOW_MAX + 1;
    for (int times = 0; times < 2 && (times == 0 || (slow > SLOW_MAX && !attacks[i].syncs)); times++) {
        int64_t before = slow_turns();
        attacks[i].run();
        still_well(attacks[i].name, pids);
        slow = before < 0 ? -1 : slow_turns() - before;
    }
    if (!attacks[i].syncs)
        live_check(slow >= 0 && slow <= SLOW_MAX,
                   "no turn of the loop took long (%" PRId64 " above 16 ms; other programs run here, too)", slow);
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: badinput PROGRAM [NAME...]\n"), 2;
    struct rlimit files = { 20000, 20000 };
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    orri_rng_init(&chance, 1);
    live_init(&l, argv[1], 3);
    for (size_t i = 0; i < l.n; i++) l.nodes[i].nice = -15;
    live_up(&l);
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        bool wanted = argc == 2;
        for (int k = 2; k < argc; k++) wanted = wanted || strstr(attacks[i].name, argv[k]);
        if (wanted) attack(i);
    }
    return live_end(&l);
}
