/* resp.h - the RESP service inside: a connection, its queue of what is not answered yet, and what its files share.
 *
 *     parser.c    bytes to commands              strings.c           commands to ops and questions of the kv machine
 *     commands.c  the table of commands          server.c, info.c    commands that are answered here
 *     service.c   a connection's life and turns  reply.c             values to bytes; the machine's sink
 *     walk.c      KEYS, over many turns
 *     queue.c     the queue: order of replies, which read may be served when
 */
#ifndef ORRI_RESP_H
#define ORRI_RESP_H

#include <orrery/kv.h>
#include <orrery/service.h>

#include "node/group.h"
#include "node/resp/parser.h"

/* -- The queue ----------------------------------------------------------------------------------------------------- */
enum orri_resp_kind {
    ORRI_RESP_WRITE,                /* proposed; its reply comes between begin() and end() */
    ORRI_RESP_READ,                 /* its bytes are the question */
    ORRI_RESP_REPLY,                /* its bytes are the reply: it only waits for its turn */
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

/* The read at the queue's front that takes many turns: how far it is, and what it has found. */
struct orri_resp_walk {
    int64_t cursor;
    bool through;                   /* all was found; what is left is to be written */
    uint64_t n, bytes;
    struct orri_resp_block *first, *last;
};

struct orri_resp_conn {
    struct orri_waiter waiter;      /* first */
    struct orr_sink sink;
    struct orr_conn *conn;
    struct orr_group *group;
    const struct orr_alloc *alloc;
    struct orri_resp_parser parser;
    struct orri_resp_queue queue;
    struct orri_resp_walk walk;
    uint64_t turn, tag;             /* this turn; the last tag given */
    uint64_t rest_from;             /* the turn since which its rest is timed, 0: it isn't */
    uint64_t fresh;                 /* reads up to this tag may be served as soon as all before them is answered, */
    orr_time fresh_time;            /* at this log time at least */
    uint64_t last_read;             /* tags of this turn's last read and write, 0: none */
    uint64_t last_write;
    bool ask_again;                 /* reads hung on a write that was lost */
    bool queueing;                  /* replies go into the queue's newest item, not out */
    bool muted;                     /* what is being written is unwanted */
    bool mute, skip, skip_next;     /* CLIENT REPLY OFF; of this command; of the next */
    bool walking;                   /* a walk is in the queue: nothing behind it is taken */
    bool paused, ended;             /* too much waits; QUIT or a broken stream: no more is read */
    bool seeded;
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
void orri_resp_refuse(struct orri_resp_conn *c, int status);         /* the newest item will come to nothing */
void orri_resp_queue_clear(struct orri_resp_conn *c);
void orri_resp_queue_turn(struct orri_resp_conn *c);                /* asks for the reads of this turn */
extern const struct orri_waiter_ops orri_resp_waiter_ops;
static inline bool orri_resp_idle(const struct orri_resp_conn *c) { return c->queue.n == 0; }
static inline unsigned char *orri_resp_bytes(struct orri_resp_item *item) { return (unsigned char *)(item + 1); }

/* walk.c. One step of the walk that the item asks for; true: it is answered. */
bool orri_resp_walk(struct orri_resp_conn *c, struct orri_resp_item *item, const struct orr_at *at);
void orri_resp_walk_clear(struct orri_resp_conn *c);

/* service.c */
void orri_resp_give_up(struct orri_resp_conn *c);                   /* no memory: closes it */
void orri_resp_drained(struct orri_resp_conn *c);                   /* the queue got shorter */

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
enum orri_resp_command_flag {
    ORRI_RESP_IS_WRITE = 1, ORRI_RESP_IS_READ = 2, ORRI_RESP_FAST = 4,
    ORRI_RESP_KEY = 8,              /* the first argument is a key */
    ORRI_RESP_KEYS = 16,            /* all are */
    ORRI_RESP_PAIRS = 32            /* each second */
};
struct orri_resp_command {
    const char *name;               /* lower case */
    int arity;                      /* with the name; negative: at least */
    unsigned flags;
    orri_resp_fn fn;
    unsigned code;                  /* of the op or question */
    unsigned op_flags;
    int64_t a;
};
void orri_resp_dispatch(struct orri_resp_conn *c);                  /* the parser's command */
const struct orri_resp_command *orri_resp_find(struct orr_slice name);
const struct orri_resp_command *orri_resp_commands(size_t *n);

/* For the commands' functions. Arguments: 0 is the name. */
static inline struct orr_slice orri_resp_at(const struct orri_resp_conn *c, size_t i) {
    return orri_resp_arg(&c->parser, i);
}
static inline size_t orri_resp_n(const struct orri_resp_conn *c) { return c->parser.n_args; }
bool orri_resp_is(struct orr_slice arg, const char *word);          /* word: lower case */
/* Sends the call with arguments `from` and on as its own (call->args is not looked at);
 * an op is proposed, a question queued. */
void orri_resp_send(struct orri_resp_conn *c, struct orr_kv_call *call, size_t from, size_t n);
void orri_resp_send_args(struct orri_resp_conn *c, struct orr_kv_call *call);   /* the same with call->args */
/* Reads an integer, or answers with Redis's error. */
bool orri_resp_take_int(struct orri_resp_conn *c, size_t i, int64_t *out);
void orri_resp_syntax(struct orri_resp_conn *c);
void orri_resp_wrong_arity(struct orri_resp_conn *c, const char *name);
extern const char orri_resp_not_integer[];

/* strings.c, walk.c, server.c, info.c */
void orri_resp_plain(struct orri_resp_conn *c, const struct orri_resp_command *cmd);     /* the arguments as they are */
void orri_resp_mset(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_set(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_setex(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_getex(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_incrby(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_getrange(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_setrange(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_expire(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_scan(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_keys(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
void orri_resp_flush(struct orri_resp_conn *c, const struct orri_resp_command *cmd);
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
