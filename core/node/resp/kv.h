/* kv.h - a connection to a group's kv machine: what the files share that know of one. */
#ifndef ORRI_RESP_KV_H
#define ORRI_RESP_KV_H

#include <orrery/kv.h>

#include "node/resp/resp.h"

/* The read at the queue's front that takes many turns: how far it is, and what it has found. */
struct orri_resp_walk {
    int64_t cursor;
    bool through;                   /* all was found; what is left is to be written */
    uint64_t n, bytes;
    struct orri_resp_block *first, *last;
};

struct orri_resp_kv {
    struct orri_resp_conn conn;     /* first */
    struct orri_waiter waiter;
    struct orri_resp_walk walk;
    uint64_t fresh;                 /* reads up to this tag may be served as soon as all before them is answered, */
    orr_time fresh_time;            /* at this log time at least */
    uint64_t last_read;             /* tags of this turn's last read and write, 0: none */
    uint64_t last_write;
    bool ask_again;                 /* reads hung on a write that was lost */
    bool seeded;
};
static inline struct orri_resp_kv *orri_resp_kv_of(struct orri_resp_conn *c) {
    return ORRI_RESP_OWNER(c, struct orri_resp_kv, conn);
}

/* reads.c */
extern const struct orri_waiter_ops orri_resp_waiter_ops;
void orri_resp_refuse(struct orri_resp_conn *c, int status);        /* the newest item will come to nothing */
void orri_resp_reads_turn(struct orri_resp_conn *c);                /* asks for the reads of this turn */

/* walk.c. One step of the walk that the item asks for; true: it is answered. */
bool orri_resp_walk(struct orri_resp_conn *c, struct orri_resp_item *item, const struct orr_at *at);
void orri_resp_walk_clear(struct orri_resp_kv *kv);

/* kv.c */
/* Sends the call with arguments `from` and on as its own (call->args is not looked at);
 * an op is proposed, a question queued. */
void orri_resp_send(struct orri_resp_conn *c, struct orr_kv_call *call, size_t from, size_t n);
void orri_resp_send_args(struct orri_resp_conn *c, struct orr_kv_call *call);   /* the same with call->args */

/* kv.c, strings.c, walk.c: what the table names */
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

#endif
