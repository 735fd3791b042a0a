/* resp.h - the RESP services inside: a connection, its queue of what is not answered yet, and what their files share.
 *
 *     parser.c    bytes to commands              commands.c          how one is found and checked
 *     service.c   a connection's life and turns  server.c, info.c    commands that are answered here
 *     queue.c     what is not answered yet       reply.c             values to bytes; a sink
 *
 * Who answers the other commands is behind it (struct orri_resp_back):
 *
 *     kv.c        a group's kv machine: the table of its commands     strings.c    commands to ops and questions
 *     reads.c     order of replies, which read may be served when     walk.c       KEYS, over many turns
 *     host.c      whoever bears the node: orrery/resp.h
 */
#ifndef ORRI_RESP_H
#define ORRI_RESP_H

#include <orrery/resp.h>

#include "node/group.h"
#include "node/resp/parser.h"

#define ORRI_RESP_OWNER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* -- The queue ----------------------------------------------------------------------------------------------------- */
enum orri_resp_kind {
    ORRI_RESP_WRITE,                /* proposed; its reply comes between begin() and end() */
    ORRI_RESP_READ,                 /* its bytes are the question */
    ORRI_RESP_REPLY,                /* its bytes are the reply: it only waits for its turn */
    ORRI_RESP_CALL,                 /* a host's: its bytes are a struct orri_resp_call * */
    ORRI_RESP_LOST                  /* nothing more will come: `status` says why */
};
enum orri_resp_flag {
    ORRI_RESP_MUTE = 1,             /* the client wants no reply (CLIENT REPLY) */
    ORRI_RESP_CLOSE = 2,            /* close behind it */
    ORRI_RESP_PROTO2 = 4, ORRI_RESP_PROTO3 = 8,     /* the replies behind it are in this protocol */
    ORRI_RESP_WALK = 16             /* a read that takes many turns (walk.c); the newest item, then */
};
struct orri_resp_item {
    uint32_t size;                  /* of the bytes that follow */
    uint8_t kind, flags;
    int16_t status;
    uint64_t turn, tag;             /* parsed in; its number in the connection, from 1 */
};
/* Items in a row, each on a border of 8 bytes. */
struct orri_resp_queue {
    unsigned char *bytes;
    size_t cap, from, to, last;     /* last: where the newest item stands */
    size_t n;
};

struct orri_resp_conn;
/* What is behind a connection. */
struct orri_resp_back {
    size_t size;                    /* of its connections: each begins with a struct orri_resp_conn */
    const struct orr_resp_command *(*find)(const struct orri_resp_conn *c, struct orr_slice name);
    const struct orr_resp_command *(*at)(const struct orri_resp_conn *c, size_t i);      /* NULL: past the end */
    void (*run)(struct orri_resp_conn *c, const struct orr_resp_command *cmd);           /* the parser's command */
    void (*turn)(struct orri_resp_conn *c);
    void (*close)(struct orri_resp_conn *c);
};

struct orri_resp_conn {             /* first in what the back makes of it */
    const struct orri_resp_back *back;
    struct orr_sink sink;           /* writes a reply */
    struct orr_conn *conn;
    struct orr_group *group;        /* NULL: a host is behind it */
    const struct orr_alloc *alloc;
    struct orri_resp_parser parser;
    struct orri_resp_queue queue;
    struct orr_chunk *input;        /* of what is being parsed; may be NULL */
    uint64_t turn, tag;             /* this turn; the last tag given */
    uint64_t rest_from;             /* the turn since which its rest is timed, 0: it isn't */
    size_t pending_max;             /* bytes of what waits that pause it */
    size_t kept;                    /* of them, those beside the queue's */
    struct orri_resp_call *into;    /* replies are kept for later in here, not written */
    bool queueing;                  /* replies go into the queue's newest item, not out */
    bool muted;                     /* what is being written is unwanted */
    bool mute, skip, skip_next;     /* CLIENT REPLY OFF; of this command; of the next */
    bool alone;                     /* nothing behind the queue's newest item is taken before that is answered */
    bool paused, ended;             /* too much waits; QUIT or a broken stream: no more is read */
    uint8_t proto_in, proto_out;    /* of what is parsed now; of what is written now */
    orr_time since;
    uint64_t n_commands;
    char *name;                     /* CLIENT SETNAME */
    size_t name_size;
};

/* queue.c. Push: NULL when memory is out; then the connection is given up. */
struct orri_resp_item *orri_resp_push(struct orri_resp_conn *c, enum orri_resp_kind kind, size_t room);
void orri_resp_trim(struct orri_resp_conn *c, size_t size);         /* how much of the newest item's room was used */
void orri_resp_extend(struct orri_resp_conn *c, const void *at, size_t size);
void orri_resp_queue_clear(struct orri_resp_conn *c);
struct orri_resp_item *orri_resp_first(const struct orri_resp_conn *c);    /* NULL: the queue is empty */
struct orri_resp_item *orri_resp_last(const struct orri_resp_conn *c);     /* of a queue that isn't */
struct orri_resp_item *orri_resp_after(const struct orri_resp_conn *c, const struct orri_resp_item *item);
/* Around the reply of the first item: how it is written; it is, and the item goes. */
void orri_resp_show(struct orri_resp_conn *c, const struct orri_resp_item *item);
void orri_resp_answered(struct orri_resp_conn *c);
static inline bool orri_resp_idle(const struct orri_resp_conn *c) { return c->queue.n == 0; }
static inline unsigned char *orri_resp_bytes(struct orri_resp_item *item) { return (unsigned char *)(item + 1); }

/* service.c */
/* NULL: no memory. */
struct orri_resp_conn *orri_resp_open(const struct orri_resp_back *back, struct orr_conn *conn);
int64_t orri_resp_on_data(void *state, struct orr_slice data, size_t *want);
void orri_resp_on_turn(void *state);
void orri_resp_on_tick(void *state, orr_time now);
void orri_resp_on_ended(void *state);
const char *orri_resp_on_shed(void *state, enum orr_shed why, bool unsaid);
void orri_resp_on_close(void *state);
#define ORRI_RESP_SERVICE(title, on_open)                                                                              \
    {                                                                                                                  \
        .name = (title), .open = (on_open), .data = orri_resp_on_data, .turn = orri_resp_on_turn,                      \
        .close = orri_resp_on_close, .tick = orri_resp_on_tick, .ended = orri_resp_on_ended,                           \
        .shed = orri_resp_on_shed,                                                                                     \
    }
void orri_resp_give_up(struct orri_resp_conn *c);                   /* no memory: closes it */
void orri_resp_drained(struct orri_resp_conn *c);                   /* the queue got shorter */

/* host.c */
void orri_resp_later(struct orri_resp_conn *c, const void *at, size_t size);        /* adds to c->into */

/* -- Replies (reply.c): to the client at once, or into the queue where something older waits ----------------------- */
extern const struct orr_sink_ops orri_resp_sink_ops;
void orri_resp_begin(struct orri_resp_conn *c, unsigned flags);     /* around the reply of a command
                                                                     * that is answered here */
void orri_resp_end(struct orri_resp_conn *c, unsigned flags);
void orri_resp_put(struct orri_resp_conn *c, const void *at, size_t size);
void orri_resp_status(struct orri_resp_conn *c, const char *word);
void orri_resp_error(struct orri_resp_conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void orri_resp_integer(struct orri_resp_conn *c, int64_t v);
void orri_resp_bulk(struct orri_resp_conn *c, const void *at, size_t size);
void orri_resp_text(struct orri_resp_conn *c, const char *text);
void orri_resp_nil(struct orri_resp_conn *c, unsigned proto);
void orri_resp_head(struct orri_resp_conn *c, char kind, int64_t n); /* '*', '%' (as an array in RESP2), ... */
void orri_resp_map(struct orri_resp_conn *c, size_t pairs);
void orri_resp_verbatim(struct orri_resp_conn *c, const char *at, size_t size);
void orri_resp_lost(struct orri_resp_conn *c, int status);
/* What an ORR_E code is to a client. */
const char *orri_resp_failure(int status);
/* A whole reply in one. */
void orri_resp_say_status(struct orri_resp_conn *c, const char *word);
void orri_resp_say_error(struct orri_resp_conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* -- Commands (commands.c) ----------------------------------------------------------------------------------------- */
struct orri_resp_command;
typedef void (*orri_resp_fn)(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
enum { ORRI_RESP_SERVER = 1 << 16 };    /* a flag: about the connection or the server, whatever is behind it */
struct orri_resp_command {
    struct orr_resp_command face;   /* first */
    orri_resp_fn fn;
    unsigned code;                  /* of the op or question */
    unsigned op_flags;
    int64_t a;
};
void orri_resp_dispatch(struct orri_resp_conn *c);                  /* the parser's command */
/* In a table of n that is sorted by name, its rows `stride` bytes apart. */
const struct orr_resp_command *orri_resp_search(const struct orr_resp_command *table, size_t n, size_t stride,
                                                struct orr_slice name);
/* kv.c: in the table that has them all */
const struct orri_resp_command *orri_resp_find(struct orr_slice name);
const struct orri_resp_command *orri_resp_commands(size_t *n);

/* For the commands' functions. Arguments: 0 is the name. */
static inline struct orr_slice orri_resp_at(const struct orri_resp_conn *c, size_t i) {
    return orri_resp_arg(&c->parser, i);
}
static inline size_t orri_resp_n(const struct orri_resp_conn *c) { return c->parser.n_args; }
bool orri_resp_is(struct orr_slice arg, const char *word);          /* word: lower case */
/* Reads an integer, or answers with Redis's error. */
bool orri_resp_take_int(struct orri_resp_conn *c, size_t i, int64_t *out);
void orri_resp_syntax(struct orri_resp_conn *c);
void orri_resp_wrong_arity(struct orri_resp_conn *c, const char *name);
extern const char orri_resp_not_integer[];

/* server.c, info.c */
void orri_resp_ping(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_echo(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_quit(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_select(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_hello(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_client(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_config(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_command(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_info(struct orri_resp_conn *c, const struct orri_resp_command *cmd);

#endif
