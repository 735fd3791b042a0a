/* resp.h - commands in Redis's protocol, answered by the program that bears the node.
 *
 * The listener's service sees to the protocol: cuts of the stream, inline commands, limits, unknown commands and wrong
 * arity, the order of replies, RESP2 and 3, pressure, half-closed clients. What is asked of the connection and the
 * server it answers itself, in their place among the others: CLIENT, COMMAND, CONFIG, ECHO, HELLO, INFO, PING, QUIT,
 * SELECT; a command of the host's of such a name goes before. Every other one is a call of the host's.
 *
 *     static int command(void *ud, struct orr_resp_call *call) {          // GET key: answered at once
 *         struct orr_sink *out = orr_resp_sink(call);
 *         out->ops->text(out, call->args[1].at, call->args[1].size);
 *         orr_resp_end(call);
 *         return 0;
 *     }
 *     static const struct orr_resp_command commands[] = { { "get", 2, ORR_RESP_READ | ORR_RESP_KEY } };
 *     static const struct orr_resp_host host = { .commands = commands, .n_commands = 1, .command = command };
 *     orr_node_listen(node, "resp", "127.0.0.1:7501", &orr_resp_host_service, (void *)&host);
 *
 * Calls may be answered later and in any order; a client sees the answers in the order of its commands. What waits for
 * that is kept, and counts as what the client holds (orr_node_limit).                                                */
#ifndef ORR_RESP_H
#define ORR_RESP_H

#include <orrery/machine.h>
#include <orrery/service.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What COMMAND tells of a command, for clients that route by it. */
enum orr_resp_command_flag {
    ORR_RESP_WRITE = 1, ORR_RESP_READ = 2, ORR_RESP_FAST = 4,
    ORR_RESP_KEY = 8,               /* the first argument is a key */
    ORR_RESP_KEYS = 16,             /* all are */
    ORR_RESP_PAIRS = 32             /* each second */
};
enum { ORR_RESP_NAME_MAX = 63 };
struct orr_resp_command {
    const char *name;               /* lower case, at most ORR_RESP_NAME_MAX */
    int arity;                      /* with the name; negative: at least so many */
    unsigned flags;
};

/* One command of one client. The service's, from command() until orr_resp_end. */
struct orr_resp_call {
    const struct orr_resp_command *command;     /* NULL: none of the table (`any`) */
    const struct orr_slice *args;   /* args[0] is the name, as it was written; good until orr_resp_end */
    size_t n_args;
    uint64_t client;                /* orr_conn_serial */
    void *owner;                    /* the host's */
};
struct orr_resp_host {
    const struct orr_resp_command *commands;    /* sorted by name (strcmp) */
    size_t n_commands;
    bool any;                       /* commands that neither the table nor the service has are calls, too */
    /* Of one client's commands so many are with the host at a time, each begun in the order in which they came; the
     * others wait here. 1: each sees what the one before it has done. 0: no such limit. */
    unsigned calls_max;
    /* A call begins. 0: taken, orr_resp_end ends it, here or later. < 0: that is the answer, as by orr_resp_fail, and
     * the call is gone. */
    int (*command)(void *ud, struct orr_resp_call *call);
    /* Its client has gone: nothing of the answer travels, but orr_resp_end must still end it. Told at most once; may be
     * NULL. */
    void (*gone)(void *ud, struct orr_resp_call *call);
    void *ud;
};
/* ud: the struct orr_resp_host, borrowed for the node's life. */
ORR_API extern const struct orr_service orr_resp_host_service;

/* Where the answer goes: one value, an array being followed by its own. Errors are told to it in RESP's form, "ERR what
 * is wrong". In any turn of the node, also little by little. */
ORR_API struct orr_sink *orr_resp_sink(struct orr_resp_call *call);
/* The answer is an error: as the key-value service words it (text NULL), or its first word and this text: TIMEOUT,
 * UNKNOWN, NOLEADER, OVERLOADED, FULL, UNAVAILABLE, CORRUPT; ERR for any other status. Doesn't end the call. */
ORR_API void orr_resp_fail(struct orr_resp_call *call, int status, const char *text);
/* The answer is complete. One that was given nothing is an error to its client. */
ORR_API void orr_resp_end(struct orr_resp_call *call);

#ifdef __cplusplus
}
#endif
#endif
