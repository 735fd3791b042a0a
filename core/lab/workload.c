/* workload.c - the kv workload: clients outside the nodes that read, write and compare-and-set few keys over RESP.
 *
 * Each written value is unique (the number of its operation in the history, plus one), so a value names its write. A
 * client is closed-loop: a packet of 1 to pipeline_max commands, then their replies, then a pause. Commands of one
 * packet are separate processes of the history, for they overlap. What a broken connection leaves open is of unknown
 * fate; an error reply says itself whether the command was surely not done. Now and then a client shuts its sending
 * side behind a packet: it is owed the replies all the same. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "lab_internal.h"

enum { PACKET_MAX = 16, REPLY_MAX = 512 };
#define HALF_CLOSED 0.02            /* chance that a packet is a connection's last, and its end follows at once */
#define PATIENCE (5 * ORR_SECOND)   /* a client that hears nothing for so long hangs up */

struct lab_client {
    struct orr_lab *lab;
    struct orr_sim_client *end;
    uint32_t number;
    struct orr_rng rng;
    size_t node;                    /* talks to this one */
    enum { AWAY, CONNECTING, IDLE, BUSY } state;
    size_t waiting[PACKET_MAX];     /* operations of the packet under way, */
    unsigned n_waiting, n_answered; /* in order; so many have their reply */
    orr_time since;                 /* the packet was sent, or the connection begun */
    char reply[REPLY_MAX];          /* what came of a reply that is not complete */
    size_t n_reply;
    uint64_t *seen;                 /* by key: the last value read or written here */
    bool quiet, probe, done, ticking;
    bool ended;                     /* the packet under way is this connection's last: the server closes it */
    unsigned probe_step;            /* 0: the write is owed, 1: the read */
};

static void tick(void *ud);

static void tick_in(struct lab_client *c, orr_time delay) {
    if (c->ticking) return;
    c->ticking = orr_sim_at(c->lab->sim, orr_sim_now(c->lab->sim) + delay, tick, c) == 0;
    if (!c->ticking) c->lab->out_of_memory = true;
}
static orr_time pause_of(struct lab_client *c) {
    orr_time think = c->lab->cfg.think;
    return think / 2 + (think > 0 ? (orr_time)orri_rng_below(&c->rng, (uint64_t)think) : 0);
}

/* -- Sending ------------------------------------------------------------------------------------------------------- */
static struct orr_operation choose(struct lab_client *c) {
    struct orr_operation op = { .process = c->number, .invoked = orr_sim_now(c->lab->sim), .returned = ORR_NEVER,
                                .outcome = ORR_OUTCOME_INFO };
    op.key = orri_rng_below(&c->rng, c->lab->cfg.keys);
    uint64_t luck = orri_rng_below(&c->rng, 10);
    op.call = luck < 5 ? ORR_CALL_GET : luck < 8 ? ORR_CALL_SET : ORR_CALL_CAS;
    if (op.call == ORR_CALL_CAS && c->seen[op.key] == 0) op.call = ORR_CALL_SET;
    if (c->probe) op.call = c->probe_step == 0 ? ORR_CALL_SET : ORR_CALL_GET;
    op.expected = op.call == ORR_CALL_CAS ? c->seen[op.key] : 0;
    return op;
}

/* RESP: each argument is a bulk string. They return where they ended. */
static char *put_bulk(char *at, const char *text, size_t size) {
    *at++ = '$';
    if (size > 9) *at++ = (char)('0' + size / 10);
    *at++ = (char)('0' + size % 10);
    memcpy(at, "\r\n", 2);
    memcpy(at + 2, text, size);
    memcpy(at + 2 + size, "\r\n", 2);
    return at + size + 4;
}
static char *put_number(char *at, const char *letter, uint64_t number) {
    char text[24];
    size_t from = sizeof text;
    do text[--from] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    if (letter[0]) text[--from] = letter[0];
    return put_bulk(at, text + from, sizeof text - from);
}

static int encode(const struct orr_operation *op, char *out) {
    char *at = out;
    *at++ = '*';
    *at++ = op->call == ORR_CALL_GET ? '2' : op->call == ORR_CALL_SET ? '3' : '5';
    *at++ = '\r';
    *at++ = '\n';
    at = put_bulk(at, op->call == ORR_CALL_GET ? "GET" : "SET", 3);
    at = put_number(at, "k", op->key);
    if (op->call != ORR_CALL_GET) at = put_number(at, "", op->value);
    if (op->call == ORR_CALL_CAS) at = put_number(put_bulk(at, "IFEQ", 4), "", op->expected);
    return (int)(at - out);
}

static void send_packet(struct lab_client *c) {
    char packet[PACKET_MAX * 160];
    int size = 0;
    unsigned most = c->probe || c->lab->cfg.pipeline_max < 1 ? 1 : c->lab->cfg.pipeline_max;
    if (most > PACKET_MAX) most = PACKET_MAX;
    unsigned n = 1 + (unsigned)orri_rng_below(&c->rng, most);
    c->n_waiting = c->n_answered = 0;
    c->n_reply = 0;
    for (unsigned i = 0; i < n; i++) {
        struct orr_operation op = choose(c);
        op.process = c->number * PACKET_MAX + i;
        if (op.call != ORR_CALL_GET) op.value = c->lab->begun + 1;
        size_t at = lab_begin(c->lab, &op);
        if (at == SIZE_MAX) return;
        c->waiting[c->n_waiting++] = at;
        size += encode(&op, packet + size);
    }
    c->state = BUSY;
    c->since = orr_sim_now(c->lab->sim);
    if (orr_sim_client_send(c->end, packet, (size_t)size) < 0) orr_sim_client_close(c->end);
    else if (!c->probe && orri_rng_chance(&c->rng, HALF_CLOSED)) c->ended = orr_sim_client_end(c->end) == 0;
}

/* -- Replies ------------------------------------------------------------------------------------------------------- */
/* Surely not done, by the server's own word? Only UNKNOWN leaves it open. */
static bool surely_not(const char *text) { return strncmp(text, "UNKNOWN", 7) != 0; }

/* `text` is a line without its type and CRLF, or a bulk's bytes; NULL: nil. */
static void answer(struct lab_client *c, char type, const char *text) {
    struct orr_operation *op = &c->lab->ops[c->waiting[c->n_answered++]];
    op->returned = orr_sim_now(c->lab->sim);
    if (type == '-') {
        op->outcome = surely_not(text) ? ORR_OUTCOME_FAIL : ORR_OUTCOME_INFO;
        return;
    }
    op->outcome = ORR_OUTCOME_OK;
    if (op->call == ORR_CALL_GET) {
        op->got = text ? strtoull(text, NULL, 10) : 0;
        if (op->got) c->seen[op->key] = op->got;
    } else {
        op->got = type == '+';
        if (op->got) c->seen[op->key] = op->value;
    }
    if (c->probe && c->probe_step++ == 1) c->done = true;
}

/* Takes one whole reply off the front of the buffer; false: more bytes are needed. */
static bool take_reply(struct lab_client *c) {
    char *end = c->n_reply ? memchr(c->reply, '\n', c->n_reply) : NULL;
    if (!end || end == c->reply) return false;
    size_t used = (size_t)(end - c->reply) + 1;
    char type = c->reply[0], *text = c->reply + 1;
    if (type == '$') {
        long size = strtol(text, NULL, 10);
        if (size >= 0) {
            if (c->n_reply < used + (size_t)size + 2) return false;
            text = c->reply + used;
            text[size] = 0;
            used += (size_t)size + 2;
        } else {
            text = NULL;
        }
    } else {
        end[-1] = 0;
    }
    answer(c, type, text);
    c->n_reply -= used;
    memmove(c->reply, c->reply + used, c->n_reply);
    return true;
}

static void on_data(void *ud, const void *bytes, size_t size) {
    struct lab_client *c = ud;
    const char *at = bytes;
    while (size > 0) {
        size_t room = sizeof c->reply - 1 - c->n_reply, part = size < room ? size : room;
        memcpy(c->reply + c->n_reply, at, part);
        c->n_reply += part;
        at += part;
        size -= part;
        while (c->n_answered < c->n_waiting && take_reply(c)) {}
        if (part == 0 || (c->n_reply > 0 && c->n_answered == c->n_waiting)) {
            lab_violate(c->lab, "crash", "client %u got bytes that are no reply: %.40s", c->number, c->reply);
            return;
        }
    }
    if (c->n_answered < c->n_waiting || c->state != BUSY || c->ended) return;
    c->state = IDLE;
    if (c->probe || orri_rng_chance(&c->rng, 0.02)) orr_sim_client_close(c->end);      /* try another node */
}

/* -- Connections --------------------------------------------------------------------------------------------------- */
static void on_connected(void *ud) {
    struct lab_client *c = ud;
    c->state = IDLE;
}
static void on_closed(void *ud, int status) {
    struct lab_client *c = ud;
    if (c->ended && c->lab->cfg.quiet && (c->n_answered < c->n_waiting || status != 0))
        lab_violate(c->lab, "liveness", "client %u had its end answered by %d after %u of %u replies", c->number,
                    status, c->n_answered, c->n_waiting);
    for (; c->n_answered < c->n_waiting; c->n_answered++) {
        struct orr_operation *op = &c->lab->ops[c->waiting[c->n_answered]];
        op->outcome = op->call == ORR_CALL_GET ? ORR_OUTCOME_FAIL : ORR_OUTCOME_INFO;
        op->returned = orr_sim_now(c->lab->sim);
    }
    c->n_waiting = c->n_answered = 0;
    c->ended = false;
    c->state = AWAY;
}
static const struct orr_sim_client_ops client_ops = { on_connected, on_data, on_closed };

static void go(struct lab_client *c) {
    const struct orr_lab_config *cfg = &c->lab->cfg;
    if (!c->probe) c->node = (size_t)orri_rng_below(&c->rng, cfg->n_nodes);
    if (!cfg->nodes[c->node].resp) return;
    if (orr_sim_client_connect(c->end, cfg->nodes[c->node].resp) < 0) return;
    c->state = CONNECTING;
    c->since = orr_sim_now(c->lab->sim);
}

static void tick(void *ud) {
    struct lab_client *c = ud;
    c->ticking = false;
    if (c->done) return;
    orr_time age = orr_sim_now(c->lab->sim) - c->since;
    switch (c->state) {
    case AWAY:
        if (c->quiet) return;
        go(c);
        break;
    case IDLE:
        if (c->quiet) return;
        send_packet(c);
        break;
    case CONNECTING:
    case BUSY:
        if (age > PATIENCE) orr_sim_client_close(c->end);
        break;
    }
    tick_in(c, pause_of(c));
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
static int client_init(struct orr_lab *lab, struct lab_client *c, uint32_t number, const char *sort) {
    char name[32];
    snprintf(name, sizeof name, "%s%u", sort, number);
    *c = (struct lab_client){ .lab = lab, .number = number };
    orri_rng_init(&c->rng, orr_sim_seed(lab->sim, name));
    c->seen = lab->alloc.fn(lab->alloc.ud, NULL, 0, lab->cfg.keys * sizeof *c->seen);
    if (!c->seen) return -ENOMEM;
    memset(c->seen, 0, lab->cfg.keys * sizeof *c->seen);
    return orr_sim_client_new(lab->sim, &c->end, name, &client_ops, c);
}

static struct lab_client *make(struct orr_lab *lab, size_t n) {
    struct lab_client *c = lab->alloc.fn(lab->alloc.ud, NULL, 0, n * sizeof *c);
    if (c) memset(c, 0, n * sizeof *c);
    return c;
}

int lab_clients_new(struct orr_lab *lab) {
    unsigned n = lab->cfg.clients;
    if (n == 0) return 0;
    if (lab->cfg.keys == 0) return ORR_EINVALID;
    lab->clients = make(lab, n);
    if (!lab->clients) return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        int rc = client_init(lab, &lab->clients[i], i, "client");
        if (rc < 0) return rc;
        tick_in(&lab->clients[i], 300 * ORR_MS + pause_of(&lab->clients[i]));
    }
    return 0;
}

void lab_clients_quiet(struct orr_lab *lab) {
    for (unsigned i = 0; lab->clients && i < lab->cfg.clients; i++) lab->clients[i].quiet = true;
}

static void moved(struct lab_client *c, const uint32_t *place) {
    for (unsigned i = c->n_answered; i < c->n_waiting; i++) c->waiting[i] = place[c->waiting[i]];
}
void lab_clients_moved(struct orr_lab *lab, const uint32_t *place) {
    for (unsigned i = 0; lab->clients && i < lab->cfg.clients; i++) moved(&lab->clients[i], place);
    for (size_t i = 0; lab->probes && i < lab->cfg.n_nodes; i++) moved(&lab->probes[i], place);
}

int lab_probes_start(struct orr_lab *lab) {
    lab->probes = make(lab, lab->cfg.n_nodes);
    if (!lab->probes) return -ENOMEM;
    for (size_t i = 0; i < lab->cfg.n_nodes; i++) {
        struct lab_client *c = &lab->probes[i];
        int rc = client_init(lab, c, lab->cfg.clients + (uint32_t)i, "probe");
        if (rc < 0) return rc;
        c->probe = true;
        c->node = i;
        tick_in(c, ORR_MS);
    }
    return 0;
}

bool lab_probes_done(const struct orr_lab *lab, const char **waiting_for) {
    for (size_t i = 0; i < lab->cfg.n_nodes; i++) {
        if (lab->probes[i].done || !lab->cfg.nodes[i].resp || lab->excused[i] || lab_exempt(lab, i)) continue;
        *waiting_for = lab->cfg.nodes[i].id;
        return false;
    }
    return true;
}

static void free_all(struct orr_lab *lab, struct lab_client *clients, size_t n) {
    if (!clients) return;
    for (size_t i = 0; i < n; i++) {
        if (clients[i].end) orr_sim_client_free(clients[i].end);
        if (clients[i].seen) lab->alloc.fn(lab->alloc.ud, clients[i].seen, lab->cfg.keys * sizeof *clients[i].seen, 0);
    }
    lab->alloc.fn(lab->alloc.ud, clients, n * sizeof *clients, 0);
}
void lab_clients_free(struct orr_lab *lab) {
    free_all(lab, lab->clients, lab->cfg.clients);
    free_all(lab, lab->probes, lab->cfg.n_nodes);
}
