/* visit.h - asking a node from outside its cluster: a connection to its address, which bears calls and nothing else.
 *
 * A visitor is no node: it has no id, takes part in no group and is never called. A node lets it in from its own
 * machine alone (a loopback address; there is no TLS yet), config visitors_max of them at a time.
 *
 *     static void answered(struct orr_visit_call *c) { ... c->status, c->result ... }
 *     struct orr_visit_config cfg;
 *     orr_visit_config_init(&cfg);
 *     orr_visit_new(&v, orr_loop_world(loop), &cfg);                  // a loop of its own, without a directory
 *     orr_visit_open(v, "127.0.0.1:7401");
 *     do orr_loop_step(loop, ORR_NEVER), orr_visit_status(v, &status); while (status.state == ORR_VISIT_OPENING);
 *     struct orr_visit_call c = { .done = answered };
 *     orr_visit_call(v, &c, name, args, w->ops->now(w) + ORR_SECOND);
 *     while (orr_visit_busy(&c)) orr_loop_step(loop, ORR_NEVER);
 *
 * One visit has a world of its own, whose turns it takes; all calls are from that world's thread, and may be made from
 * done() too. After it was lost it may be opened again, at the same address or another one. Names and arguments are
 * bytes, as in host.h.                                                                                               */
#ifndef ORR_VISIT_H
#define ORR_VISIT_H

#include <orrery/world.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orr_visit;

struct orr_visit_config {
    size_t size;                    /* set by config_init */
    const char *cluster;            /* copied: of that name it must be; NULL: any */
    orr_time greeting;              /* connecting and being let in may take that long; 2 s */
    size_t answer_bytes_max;        /* of an answer; 64 MiB. A larger one ends the connection */
};
ORR_API void orr_visit_config_init(struct orr_visit_config *cfg);

/* Sets the world's wake. The world is borrowed for the visit's life. ORR_EINVALID (a field of cfg), -ENOMEM. */
ORR_API int orr_visit_new(struct orr_visit **out, struct orr_world *w, const struct orr_visit_config *cfg);
/* Tells nothing. NULL is allowed. */
ORR_API void orr_visit_free(struct orr_visit *v);

enum orr_visit_state { ORR_VISIT_CLOSED, ORR_VISIT_OPENING, ORR_VISIT_OPEN };
struct orr_visit_status {
    enum orr_visit_state state;
    /* CLOSED: why the last try, or the last connection, ended: 0 before the first, ORR_ECLOSED after orr_visit_close,
     * ORR_EDENIED, ORR_EOVERLOADED, ORR_EINVALID (the node said no), ORR_EUNAVAILABLE (nobody is there, or it was
     * lost), ORR_ETIMEOUT, ORR_ECORRUPT (that is no node). why: for people; until the next turn or open */
    int error;
    const char *why;
    /* Of the last node that let it in, "" before that. */
    const char *node, *cluster;
    uint64_t cluster_id, nonce;     /* nonce: of that node's run */
    uint32_t incarnation;
    size_t bytes_max;               /* arguments may have */
    size_t calls;                   /* under way */
};
ORR_API void orr_visit_status(const struct orr_visit *v, struct orr_visit_status *out);

/* Begins to connect; orr_visit_status tells what came of it. ORR_EINVALID: no such address; ORR_EBUSY: it is open, or
 * opening; an errno. */
ORR_API int orr_visit_open(struct orr_visit *v, const char *address);
/* What is under way is told in a later turn, as for a lost connection. Twice is once. */
ORR_API void orr_visit_close(struct orr_visit *v);

/* -- Asking ----------------------------------------------------------------------------------------------------------
 * A call is the caller's, embedded, zeroed first, and borrowed from a submission that returned 0 until done(c), which
 * comes exactly once, in a turn and never inside the submission; then it may be used again, from done() on. A visit
 * that is freed tells nothing. */
struct orr_visit_call {
    void (*done)(struct orr_visit_call *c);
    void *owner;                    /* the caller's, as done */
    int status;                     /* the callee's own; or an ORR_E code, as below */
    struct orr_slice result;        /* borrowed during done: hold what is kept. Also with a status < 0 */
    struct orr_visit_call *next, *before;   /* the visit's, from here on */
    uint64_t tag;                   /* 0: nothing is under way */
    orr_time deadline;
    bool told;
};
static inline bool orr_visit_busy(const struct orr_visit_call *c) { return c->tag != 0; }

/* As orr_node_call (host.h), with the same meanings. Returned, and then surely not done: ORR_EUNAVAILABLE (not open),
 * ORR_EINVALID (name or args too long), ORR_ETIMEOUT (the deadline is past), ORR_EOVERLOADED (too much waits to be
 * sent), -ENOMEM. done tells the callee's own status; ORR_EINVALID, ORR_EOVERLOADED, ORR_EUNAVAILABLE, ORR_ETIMEOUT,
 * where the node did not begin it; ORR_EUNKNOWN where no answer came in time, or before the connection was lost: of
 * what was given to a connection nothing tells whether it arrived. */
ORR_API int orr_visit_call(struct orr_visit *v, struct orr_visit_call *c, struct orr_slice name, struct orr_slice args,
                           orr_time deadline);
/* No answer, no promise. The same errors, but ORR_ETIMEOUT. */
ORR_API int orr_visit_cast(struct orr_visit *v, struct orr_slice name, struct orr_slice args);
/* done(c) will not come; c is the caller's again, and the callee is told. Nothing under way: nothing happens. */
ORR_API void orr_visit_cancel(struct orr_visit *v, struct orr_visit_call *c);

#ifdef __cplusplus
}
#endif
#endif
