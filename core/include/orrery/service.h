/* service.h - what answers the connections of a listener, and what it may do with one.
 *
 * The node owns the connection; a service sees bytes in order and writes bytes in order. Output is gathered in the
 * connection's chunk during a turn and sent as one piece at its end. A client that doesn't read: when more than the
 * limit waits, reading from it stops (the service's `data` isn't called) until there is room.
 *
 *     static int open(void *ud, struct orr_conn *c, void **state) { *state = c; return 0; }
 *     static int64_t data(void *state, struct orr_slice data, size_t *want) {         // says back what it hears
 *         orr_conn_write(state, data);
 *         return (int64_t)data.size;
 *     }
 *     static void gone(void *state) { (void)state; }
 *     static const struct orr_service echo = { .name = "echo", .open = open, .data = data, .close = gone };
 *     orr_node_listen(node, "echo", "127.0.0.1:7501", &echo, NULL);
 *
 * All of it is called in the node's turns, on its world's thread, and what a service may do with a connection, it may
 * do in any of them, from open() to close(): from its own functions, from those of a host, when something completes. No
 * function here calls the service. orrery/resp.h is a service for Redis's protocol.                                  */
#ifndef ORR_SERVICE_H
#define ORR_SERVICE_H

#include <orrery/node.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_conn;

/* Why a client is closed that has done nothing wrong: it holds too much memory, or all do and it the most of them. */
enum orr_shed { ORR_SHED_NOT, ORR_SHED_ALONE, ORR_SHED_TOGETHER };

struct orr_service {
    const char *name;
    /* A connection opened: *state is the service's own for it. < 0 closes it, and `close` isn't called. */
    int (*open)(void *ud, struct orr_conn *c, void **state);
    /* Bytes came: consume what is complete and return how many bytes that were; the rest is offered again, joined with
     * what follows (`want` may be raised: not called again before that many bytes are there). < 0: close after what was
     * written. Slices of `data` may be held. */
    int64_t (*data)(void *state, struct orr_slice data, size_t *want);
    /* The turn is about to end (called for connections that got data, or for which orr_conn_soon was called). May be
     * NULL. */
    void (*turn)(void *state);
    void (*close)(void *state);     /* the connection is gone: forget it */
    void (*tick)(void *state, orr_time now);    /* the time set by orr_conn_alarm came; may be NULL */
    /* The client says no more, but may still listen: close when what is owed was written. NULL: it is closed at once.
     * In some worlds `close` comes instead. */
    void (*ended)(void *state);
    /* What is said to a client before it is closed for `why`: static text. unsaid: answers that it does not get were
     * given up. NULL: nothing. Said where its stream has taken all that came before, so always between two sends. */
    const char *(*shed)(void *state, enum orr_shed why, bool unsaid);
};

/* -- Out ----------------------------------------------------------------------------------------------------------- */
/* Room for `size` bytes of output, to be filled at once; NULL when memory is out or the connection is closing. */
ORR_API unsigned char *orr_conn_room(struct orr_conn *c, size_t size);
ORR_API void orr_conn_wrote(struct orr_conn *c, size_t size);               /* how much of the room was used */
/* Copied when small, held when large and in a chunk. ORR_ECLOSED: the connection is closing. */
ORR_API int orr_conn_write(struct orr_conn *c, struct orr_slice bytes);
ORR_API size_t orr_conn_queued(const struct orr_conn *c);                   /* bytes not yet taken by the system */
/* Enough was written for one turn, or the client doesn't read: the rest should wait for the next `turn`, after
 * orr_conn_soon. */
ORR_API bool orr_conn_crowded(const struct orr_conn *c);
/* Closes it, after what was written where `flush`. `data` isn't called any more; `close` comes later. */
ORR_API void orr_conn_close(struct orr_conn *c, bool flush);

/* -- In, and when -------------------------------------------------------------------------------------------------- */
ORR_API void orr_conn_pause(struct orr_conn *c, bool on);                   /* back-pressure of the service's own */
/* Call `turn` before this turn ends, or, where the client doesn't read, when there is room. */
ORR_API void orr_conn_soon(struct orr_conn *c);
ORR_API void orr_conn_alarm(struct orr_conn *c, orr_time at);               /* ORR_NEVER: none */

/* -- What it is ---------------------------------------------------------------------------------------------------- */
ORR_API uint64_t orr_conn_serial(const struct orr_conn *c);                 /* never used again in its world */
ORR_API orr_time orr_conn_now(const struct orr_conn *c);
ORR_API struct orr_node *orr_conn_node(const struct orr_conn *c);
ORR_API const struct orr_alloc *orr_conn_alloc(const struct orr_conn *c);   /* the node's */
/* What this client's listener has, and lets a client and all clients hold. */
ORR_API void orr_conn_limits(const struct orr_conn *c, size_t *held, size_t *client_max, size_t *clients_max);
/* So many bytes the service itself keeps for this client by now: they count as what the client holds. */
ORR_API void orr_conn_keeps(struct orr_conn *c, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
