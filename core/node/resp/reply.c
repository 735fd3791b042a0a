/* reply.c - values as RESP, for replies made here and for the machine's results.
 *
 * RESP3, where the client asked for it by HELLO 3, differs in three things that we say: nil is "_", a map is "%",
 * a text to be read by people is verbatim. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "node/kv/kv.h"
#include "node/resp/resp.h"

enum { HEAD = 32, LINE = 512 };

void orri_resp_put(struct orri_resp_conn *c, const void *at, size_t size) {
    if (c->muted || size == 0) return;
    if (c->into) {
        orri_resp_later(c, at, size);
        return;
    }
    if (c->queueing) {
        orri_resp_extend(c, at, size);
        return;
    }
    unsigned char *room = orr_conn_room(c->conn, size);
    if (!room) {
        orri_resp_give_up(c);
        return;
    }
    memcpy(room, at, size);
    orr_conn_wrote(c->conn, size);
}

/* kind, number, CRLF: at most HEAD bytes. */
static size_t write_head(char *out, char kind, int64_t n) {
    out[0] = kind;
    size_t size = 1 + orri_kv_write_int(out + 1, n);
    out[size] = '\r';
    out[size + 1] = '\n';
    return size + 2;
}

void orri_resp_head(struct orri_resp_conn *c, char kind, int64_t n) {
    char head[HEAD];
    orri_resp_put(c, head, write_head(head, kind, n));
}

void orri_resp_integer(struct orri_resp_conn *c, int64_t v) { orri_resp_head(c, ':', v); }

/* Head, bytes and CRLF in one piece of room where they go out directly. */
void orri_resp_bulk(struct orri_resp_conn *c, const void *at, size_t size) {
    char head[HEAD];
    size_t n = write_head(head, '$', (int64_t)size);
    unsigned char *room = c->muted || c->queueing || c->into ? NULL : orr_conn_room(c->conn, n + size + 2);
    if (!room) {
        orri_resp_put(c, head, n);
        orri_resp_put(c, at, size);
        orri_resp_put(c, "\r\n", 2);
        return;
    }
    memcpy(room, head, n);
    if (size) memcpy(room + n, at, size);
    memcpy(room + n + size, "\r\n", 2);
    orr_conn_wrote(c->conn, n + size + 2);
}

void orri_resp_text(struct orri_resp_conn *c, const char *text) { orri_resp_bulk(c, text, strlen(text)); }

void orri_resp_nil(struct orri_resp_conn *c, unsigned proto) {
    if (proto == 3) orri_resp_put(c, "_\r\n", 3);
    else orri_resp_put(c, "$-1\r\n", 5);
}

void orri_resp_map(struct orri_resp_conn *c, size_t pairs) {
    if (c->proto_in == 3) orri_resp_head(c, '%', (int64_t)pairs);
    else orri_resp_head(c, '*', (int64_t)pairs * 2);
}

void orri_resp_verbatim(struct orri_resp_conn *c, const char *at, size_t size) {
    if (c->proto_in != 3) {
        orri_resp_bulk(c, at, size);
        return;
    }
    orri_resp_head(c, '=', (int64_t)size + 4);
    orri_resp_put(c, "txt:", 4);
    orri_resp_put(c, at, size);
    orri_resp_put(c, "\r\n", 2);
}

static void line(struct orri_resp_conn *c, char kind, const char *text, size_t size) {
    char out[LINE];
    if (size > sizeof out - 3) size = sizeof out - 3;
    out[0] = kind;
    for (size_t i = 0; i < size; i++) out[1 + i] = text[i] == '\r' || text[i] == '\n' ? ' ' : text[i];
    memcpy(out + 1 + size, "\r\n", 2);
    orri_resp_put(c, out, size + 3);
}

void orri_resp_status(struct orri_resp_conn *c, const char *word) { line(c, '+', word, strlen(word)); }

static void error_line(struct orri_resp_conn *c, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void error_line(struct orri_resp_conn *c, const char *format, va_list args) {
    char text[LINE];
    int size = vsnprintf(text, sizeof text, format, args);
    if (size > 0) line(c, '-', text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

void orri_resp_error(struct orri_resp_conn *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    error_line(c, format, args);
    va_end(args);
}

const char *orri_resp_failure(int status) {
    switch (status) {
    case ORR_ETIMEOUT: return "TIMEOUT no majority answered in time; the command was surely not done";
    case ORR_EUNKNOWN: return "UNKNOWN the write may or may not have happened; read before you try again";
    case ORR_ENOLEADER: return "NOLEADER no leader is known now; the command was not done";
    case ORR_EOVERLOADED: return "OVERLOADED too much is waiting already; the command was not done";
    case ORR_EFULL: return "FULL the disk is full; the write was not done";
    case ORR_EUNAVAILABLE: return "UNAVAILABLE this node can't answer now; the command was not done";
    case ORR_ECORRUPT: return "CORRUPT this replica's state is not the others'; the command was not done";
    case ORR_EINVALID: return "ERR the command is larger than the cluster's limit for one op";
    default: return "FAILED the command was not done";
    }
}

void orri_resp_lost(struct orri_resp_conn *c, int status) { orri_resp_error(c, "%s", orri_resp_failure(status)); }

/* -- Replies made here --------------------------------------------------------------------------------------------- */

void orri_resp_begin(struct orri_resp_conn *c, unsigned flags) {
    c->queueing = !orri_resp_idle(c);
    if (!c->queueing) {
        c->muted = c->mute || c->skip;
        return;
    }
    struct orri_resp_item *item = orri_resp_push(c, ORRI_RESP_REPLY, 0);
    if (item) item->flags |= (uint8_t)flags;
    else c->queueing = false;
}

void orri_resp_end(struct orri_resp_conn *c, unsigned flags) {
    bool direct = !c->queueing;
    c->queueing = c->muted = false;
    if (!direct) return;
    if (flags & ORRI_RESP_PROTO2) c->proto_out = 2;
    if (flags & ORRI_RESP_PROTO3) c->proto_out = 3;
    if (flags & ORRI_RESP_CLOSE) orr_conn_close(c->conn, true);
}

void orri_resp_say_status(struct orri_resp_conn *c, const char *word) {
    orri_resp_begin(c, 0);
    orri_resp_status(c, word);
    orri_resp_end(c, 0);
}

void orri_resp_say_error(struct orri_resp_conn *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    orri_resp_begin(c, 0);
    error_line(c, format, args);
    orri_resp_end(c, 0);
    va_end(args);
}

/* -- The machine's sink -------------------------------------------------------------------------------------------- */

static struct orri_resp_conn *conn_of(struct orr_sink *s) {
    return (struct orri_resp_conn *)(void *)((char *)s - offsetof(struct orri_resp_conn, sink));
}
static void sink_nil(struct orr_sink *s) { orri_resp_nil(conn_of(s), conn_of(s)->proto_out); }
static void sink_integer(struct orr_sink *s, int64_t v) { orri_resp_integer(conn_of(s), v); }
static void sink_text(struct orr_sink *s, const void *at, size_t size) { orri_resp_bulk(conn_of(s), at, size); }
static void sink_status(struct orr_sink *s, const char *word) { orri_resp_status(conn_of(s), word); }
static void sink_error(struct orr_sink *s, int code, const char *text) {
    (void)code;
    line(conn_of(s), '-', text, strlen(text));
}
static void sink_array(struct orr_sink *s, size_t n) { orri_resp_head(conn_of(s), '*', (int64_t)n); }

const struct orr_sink_ops orri_resp_sink_ops = {
    sink_nil, sink_integer, sink_text, sink_status, sink_error, sink_array
};
