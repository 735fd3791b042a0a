/* loop.h - the real world: one node's sockets, files, clock and threads, under libevent.
 *
 *     struct orr_loop_config config;
 *     struct orr_loop *loop;
 *     orr_loop_config_init(&config);
 *     config.dir = "data/n1";
 *     if (orr_loop_new(&loop, &config) != 0) ...
 *     struct orr_world *world = orr_loop_world(loop);
 *     world->wake = my_turn;                  // the node; it takes what is ready and submits what is to be done
 *     world->ud = my_node;
 *     int code = orr_loop_run(loop);          // until world->ops->stop
 *     my_node_free(my_node);                  // drops its slices
 *     orr_loop_free(loop);
 *
 * A loop is one world and belongs to one thread; orr_loop_ring alone may be called from others. It keeps no global
 * state, never exits, raises no SIGPIPE, installs no signal handler unless asked, and starts no thread before the first
 * request that needs one (two for files, some for jobs; all with every signal blocked). A host with a loop of its own
 * polls orr_loop_fd and calls orr_loop_step with 0.
 *
 * Streams. send counts class 0 against its own limit and class 1 against all that is queued, so bulk refuses no
 * control; to a stream that has ended and whose CLOSED was not taken yet, it goes to nobody; after a close it is
 * ORR_ECLOSED. CLOSED says 0 where the other side ended, -errno where the connection broke, ORR_ECLOSED after a close
 * of our own, and ORR_ETIMEOUT where patience ended. After close(flush) the other side may still talk for that long;
 * nobody hears it. The other side's end is CLOSED at once, or when what is queued has gone out;
 * where `half` was set it is ENDED, and the stream lasts until it is closed or a send finds nobody.
 *
 * Addresses are "127.0.0.1:7401", "[::1]:7401" or "localhost:7401" (which is 127.0.0.1). Other names are refused: to
 * look one up would block the loop.                                                                                  */
#ifndef ORR_LOOP_H
#define ORR_LOOP_H

#include <orrery/world.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_loop;

struct orr_loop_config {
    size_t size;                    /* set by config_init */
    const char *dir;                /* copied. The node's directory; NULL: a world without files */
    struct orr_alloc alloc;         /* used on the loop's thread only */
    void (*log)(void *log_ud, enum orr_level level, const char *text, size_t size);    /* NULL: a line on stderr */
    void *log_ud;
    enum orr_level level;           /* what is less urgent is not logged; default INFO */
    unsigned jobs_max;              /* threads for jobs; default 2 */
    bool signals;                   /* SIGINT, SIGTERM and SIGHUP arrive as ORR_OP_SIGNAL; one such loop a process */
    size_t send_bytes_max;          /* queued on a stream before ORR_EOVERLOADED (an empty
                                     * one takes any call); 16 MiB */
    size_t stream_turn_bytes;       /* read from one stream in a turn; 256 KiB */
    size_t turn_bytes;              /* read from all streams in a turn; 1 MiB */
    orr_time turn_time;             /* after this much of a turn, streams wait for the next one; 4 ms */
    orr_time patience;              /* how long a connect may take, and a close that flushes; 5 s */
    orr_time peer_timeout;          /* TCP_USER_TIMEOUT of the streams that we dialled; 10 s */
    orr_time sync_now_max;          /* ORR_W_NOW is followed while syncs take less than this; 250 us, 0: never */
};

ORR_API void orr_loop_config_init(struct orr_loop_config *config);
/* 0, or ORR_EINVALID with *field naming the field that is wrong. */
ORR_API int orr_loop_config_check(const struct orr_loop_config *config, const char **field);

/* ORR_EINVALID (config), -ENOMEM, -EMFILE. *loop: owned, give it to orr_loop_free. */
ORR_API int orr_loop_new(struct orr_loop **loop, const struct orr_loop_config *config);
/* Ends what still runs (as halt), then frees. Slices of its chunks must have been dropped. NULL is allowed. */
ORR_API void orr_loop_free(struct orr_loop *loop);

ORR_API struct orr_world *orr_loop_world(struct orr_loop *loop);       /* borrowed until free */

/* Turns until the node stops, then halts. Gives the stop's code. */
ORR_API int orr_loop_run(struct orr_loop *loop);
/* One turn: waits up to `timeout` (0: not at all, ORR_NEVER: for ever) for something to do and does it. 1: the node was
 * woken, 0: there was nothing for it, ORR_ECLOSED: it has stopped.                                                   */
ORR_API int orr_loop_step(struct orr_loop *loop, orr_time timeout);

/* From any thread, while the loop lives: a step that waits returns, and if none does, the next one won't wait. So its
 * thread, when it looks after each step, sees what others had put down for it before they rang. */
ORR_API void orr_loop_ring(struct orr_loop *loop);

/* For a host that polls: this is readable when a step has something to do (the alarm too, and work that was submitted
 * outside a turn), except for what the last step left over, which orr_loop_deadline shows. Found through /proc/self;
 * ORR_EUNAVAILABLE where there is none. Borrowed until free; only to be polled.                                      */
ORR_API int orr_loop_fd(struct orr_loop *loop);
/* When a step should come at the latest, by the world's now(): not after now()
 * when work is left, ORR_NEVER: no timer. */
ORR_API orr_time orr_loop_deadline(const struct orr_loop *loop);

/* Why the node stopped (borrowed until free) and its code (may be NULL); NULL while it has not. */
ORR_API const char *orr_loop_stop_reason(const struct orr_loop *loop, int *code);

/* Cuts the node off: no turn comes any more, streams and listeners are closed, requests not begun are dropped and those
 * under way waited for. Afterwards no request and no byte of the node is touched, so it may be freed. Twice is once. */
ORR_API void orr_loop_halt(struct orr_loop *loop);

ORR_API void orr_loop_stats(struct orr_loop *loop, struct orr_world_stats *out);

#ifdef __cplusplus
}
#endif
#endif
