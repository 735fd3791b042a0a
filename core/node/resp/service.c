/* service.c - a RESP connection: bytes in, commands out, turn by turn; back-pressure; its end.
 *
 * All commands that a turn brings go into one batch of writes and one question for the reads (queue.c).
 * When too much waits for its answer, parsing stops and the connection is paused until half of it is answered. */
#include <string.h>

#include "node/inner.h"
#include "node/resp/resp.h"

enum {
    PENDING_MAX = 16384, PENDING_BYTES_MAX = 4 << 20,
    COMMAND_SLACK = 512 << 10       /* what a command in RESP may take beyond the largest op: the node keeps no more */
};
#define REST ORR_SECOND             /* without a command: then a connection keeps no buffer */

struct orri_resp_conn *orri_resp_open(const struct orri_resp_back *back, struct orr_conn *conn) {
    const struct orr_alloc *alloc = orr_conn_alloc(conn);
    struct orri_resp_conn *c = alloc->fn(alloc->ud, NULL, 0, back->size);
    if (!c) return NULL;
    memset(c, 0, back->size);
    c->back = back;
    c->sink.ops = &orri_resp_sink_ops;
    c->conn = conn;
    c->alloc = alloc;
    c->turn = 1;
    c->proto_in = c->proto_out = 2;
    c->since = orr_conn_now(conn);
    size_t command_max = orr_conn_node(conn)->cfg.op_bytes_max + COMMAND_SLACK, held, client_max, clients_max;
    orri_resp_parser_init(&c->parser, alloc, command_max);
    orr_conn_limits(conn, &held, &client_max, &clients_max);
    size_t half = (client_max - command_max) / 2;       /* one command more always fits */
    c->pending_max = half < PENDING_BYTES_MAX ? half : PENDING_BYTES_MAX;
    return c;
}

static bool too_much_waits(const struct orri_resp_conn *c) {
    return c->queue.n >= PENDING_MAX || c->queue.to - c->queue.from + c->kept >= c->pending_max;
}

void orri_resp_drained(struct orri_resp_conn *c) {
    bool half = c->queue.n <= PENDING_MAX / 2 && c->queue.to - c->queue.from + c->kept <= c->pending_max / 2;
    if (orri_resp_idle(c)) c->alone = false;
    if (!c->paused || !half || c->alone) return;
    c->paused = false;
    orr_conn_pause(c->conn, false);
    orr_conn_soon(c->conn);        /* what was kept meanwhile is offered then */
}

void orri_resp_give_up(struct orri_resp_conn *c) {
    c->ended = true;
    orr_conn_close(c->conn, false);
}

static void break_off(struct orri_resp_conn *c) {
    c->ended = true;
    orri_resp_begin(c, ORRI_RESP_CLOSE);
    orri_resp_error(c, "ERR %s", c->parser.error);
    orri_resp_end(c, ORRI_RESP_CLOSE);
}

int64_t orri_resp_on_data(void *state, struct orr_slice data, size_t *want) {
    struct orri_resp_conn *c = state;
    size_t used = 0, need = 0;
    c->input = data.chunk;
    while (!c->ended && !c->paused && used < data.size) {
        int status = orri_resp_parse(&c->parser, data.at + used, data.size - used, &need);
        if (status == 0) {
            *want = need;
            return (int64_t)used;
        }
        if (status < 0) {
            break_off(c);
            break;
        }
        if (orri_resp_n(c) > 0) orri_resp_dispatch(c);
        used += c->parser.at;
        orri_resp_parser_next(&c->parser);
        if (!too_much_waits(c) && !c->alone) continue;
        c->paused = true;
        orr_conn_pause(c->conn, true);
    }
    return (int64_t)(c->ended ? data.size : used);
}

/* As if it had said QUIT, whose answer is nothing here: it comes behind all answers that are owed. */
void orri_resp_on_ended(void *state) {
    struct orri_resp_conn *c = state;
    if (c->ended) return;
    c->ended = true;
    orri_resp_begin(c, ORRI_RESP_CLOSE);
    orri_resp_end(c, ORRI_RESP_CLOSE);
}

/* An error that stands where an answer was owed says no more than is known of that command. */
const char *orri_resp_on_shed(void *state, enum orr_shed why, bool unsaid) {
    const struct orri_resp_conn *c = state;
    bool owes = unsaid || !orri_resp_idle(c);
    if (why == ORR_SHED_ALONE) {
        return owes ? "-UNKNOWN closed: this client holds more memory here than it may; what was not answered may or "
                      "may not have happened\r\n"
                    : "-ERR closed: this client holds more memory here than it may\r\n";
    }
    return owes ? "-UNKNOWN closed: all clients together hold too much memory here, this one the most; what was not "
                  "answered may or may not have happened\r\n"
                : "-ERR closed: all clients together hold too much memory here, this one the most\r\n";
}

/* A queue that is busy keeps its block; one at rest has none. */
void orri_resp_on_turn(void *state) {
    struct orri_resp_conn *c = state;
    c->back->turn(c);
    if (c->queue.cap == 0 || c->rest_from) return;
    c->rest_from = c->turn;
    orr_conn_alarm(c->conn, orr_conn_now(c->conn) + REST);
}

void orri_resp_on_tick(void *state, orr_time now) {
    struct orri_resp_conn *c = state;
    bool rested = orri_resp_idle(c) && c->turn == c->rest_from;
    if (rested) orri_resp_queue_clear(c);
    c->rest_from = rested ? 0 : c->turn;
    if (!rested) orr_conn_alarm(c->conn, now + REST);
}

void orri_resp_on_close(void *state) {
    struct orri_resp_conn *c = state;
    c->back->close(c);
    orri_resp_parser_clear(&c->parser);
    orri_resp_queue_clear(c);
    if (c->name) c->alloc->fn(c->alloc->ud, c->name, c->name_size, 0);
    c->alloc->fn(c->alloc->ud, c, c->back->size, 0);
}
