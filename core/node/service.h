/* service.h - what answers the connections of a listener, and what it may do with one.
 *
 * The node owns the connection; a service sees bytes in order and writes bytes in order. Output is gathered in the
 * connection's chunk during a turn and sent as one piece at its end. A client that doesn't read: when more than the
 * limit waits, reading from it stops (the service's `data` isn't called) until there is room.                        */
#ifndef ORRI_SERVICE_H
#define ORRI_SERVICE_H

#include <orrery/node.h>

struct orri_conn;

/* Why a client is closed that has done nothing wrong: it holds too much memory, or all do and it the most of them. */
enum orri_shed { ORRI_SHED_NOT, ORRI_SHED_ALONE, ORRI_SHED_TOGETHER };

struct orr_service {
    const char *name;
    /* A connection opened: *state is the service's own for it. < 0 closes it. */
    int (*open)(void *ud, struct orri_conn *c, void **state);
    /* Bytes came: consume what is complete and return how many bytes that were; the rest is offered again, joined with
     * what follows (`want` may be raised: not called again before that many bytes are there). < 0: close after what was
     * written. Slices of `data` may be held. */
    int64_t (*data)(void *state, struct orr_slice data, size_t *want);
    /* The turn is about to end (called for connections that got data, or for which orri_conn_soon was called). */
    void (*turn)(void *state);
    void (*close)(void *state);     /* the connection is gone: forget it */
    void (*tick)(void *state, orr_time now);    /* the time set by orri_conn_alarm came; may be NULL */
    /* The client says no more, but may still listen: close when what is owed was written. NULL: it is closed at once.
     * In some worlds `close` comes instead. */
    void (*ended)(void *state);
    /* What is said to a client before it is closed for `why`: static text. unsaid: answers that it does not get were
     * given up. NULL: nothing. Said where its stream has taken all that came before, so always between two sends. */
    const char *(*shed)(void *state, enum orri_shed why, bool unsaid);
};

/* Room for `size` bytes of output, to be filled at once; NULL when memory is out or the connection is closing. */
unsigned char *orri_conn_room(struct orri_conn *c, size_t size);
void orri_conn_wrote(struct orri_conn *c, size_t size);                   /* how much of the room was used */
int orri_conn_write(struct orri_conn *c, struct orr_slice bytes);         /* copied when small, held when large */
size_t orri_conn_queued(const struct orri_conn *c);                       /* bytes not yet taken by the system */
/* Enough was written for one turn, or the client doesn't read: the rest should wait for the next `turn`, after
 * orri_conn_soon. */
bool orri_conn_crowded(const struct orri_conn *c);
void orri_conn_pause(struct orri_conn *c, bool on);                       /* back-pressure of the service's own */
/* call `turn` before this turn ends, or, where the client doesn't read, when there is room */
void orri_conn_soon(struct orri_conn *c);
void orri_conn_alarm(struct orri_conn *c, orr_time at);                   /* ORR_NEVER: none */
void orri_conn_close(struct orri_conn *c, bool flush);
uint64_t orri_conn_serial(const struct orri_conn *c);
orr_time orri_conn_now(const struct orri_conn *c);
struct orr_node *orri_conn_node(const struct orri_conn *c);
/* What this client's listener has, and lets a client and all clients hold. */
void orri_conn_limits(const struct orri_conn *c, size_t *held, size_t *client_max, size_t *clients_max);

#endif
