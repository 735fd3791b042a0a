/* live.h - what the tests of real processes share: a cluster of them in a folder of its own, clients that ask,
 * checks.
 *
 *     struct live l;
 *     live_init(&l, argv[1], 3);                      // the program; a folder, free ports; fields may be changed now
 *     live_up(&l);                                    // writes the cluster file, starts all, waits until they answer
 *     struct live_reply r = live_ask(&l.nodes[0], ORR_SECOND, "SET", "k", "v", NULL);
 *     live_check(live_is(&r, '+', "OK"), "a write is acknowledged");
 *     return live_end(&l);                            // stops all, removes the folder, prints `N passed, N failed`
 *
 * Nothing here sleeps for its own sake: everything waits for something, up to a deadline. Nodes die with the test
 * (their parent-death signal), so that no way of ending it leaves processes behind. */
#ifndef LIVE_H
#define LIVE_H

#include <orrery/base.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>

enum { LIVE_NODES_MAX = 7, LIVE_PATH = 512 };

/* -- Clients ------------------------------------------------------------------------------------------------------- */
struct live_conn {
    int fd;                         /* -1: closed */
    char *in;
    size_t n_in, at, cap;           /* bytes read; of these taken as replies */
};
struct live_reply {                 /* one element; an array's elements are the replies that follow it */
    char type;                      /* + - : $ *, or 0: nothing came in time, or 'x': the connection is closed */
    int64_t n;                      /* of : and *; of $ the size, -1: nil */
    const char *text;               /* of + - $, with a NUL behind it; until the connection's next use */
    size_t size;
};
bool live_dial(struct live_conn *c, uint16_t port, orr_time patience);         /* on 127.0.0.1 */
bool live_dial_at(struct live_conn *c, const char *host, uint16_t port, orr_time patience);
void live_hang_up(struct live_conn *c);
bool live_send(struct live_conn *c, const void *bytes, size_t size, orr_time patience);
bool live_command(struct live_conn *c, const char *word, ...);         /* words up to NULL, as one RESP command */
/* SET key = `size` times `fill`. */
bool live_set_big(struct live_conn *c, const char *key, char fill, size_t size, orr_time patience);
struct live_reply live_reply(struct live_conn *c, orr_time patience);
bool live_closed(struct live_conn *c, orr_time patience);              /* reads on until the other side has closed */
bool live_is(const struct live_reply *r, char type, const char *begins);

/* -- Nodes --------------------------------------------------------------------------------------------------------- */
struct live_node {
    struct live *all;
    char id[16], host[32];
    uint16_t at, resp;              /* ports */
    char data[LIVE_PATH], cluster[LIVE_PATH], log[LIVE_PATH];          /* DIR, the cluster file, stdout and stderr */
    pid_t pid;                      /* 0: it doesn't run */
    int status;                     /* of its last end: exit status, or 1000 + signal */
    long log_from;                  /* where the log of its last start begins */
    unsigned long files_max;        /* RLIMIT_NOFILE; 0: this process's */
    int nice;                       /* where that is allowed: what it is timed by should not be the others' work */
    const char *preload;            /* LD_PRELOAD, with POWERLOSS_DIR the node's data */
    void (*before_exec)(struct live_node *n);       /* in the child; may be NULL */
    unsigned starts;
    struct live_conn talk;          /* live_ask's */
};
struct live {
    const char *program;
    char dir[LIVE_PATH];
    const char *extra;              /* more fields of the cluster file, e.g. `timing = { call = 1 },` */
    struct live_node nodes[LIVE_NODES_MAX];
    size_t n;
};
void live_init(struct live *l, const char *program, size_t n);
uint16_t live_port(void);                                              /* free now, and none that a client is given */
/* Writes node.lua and the cluster file `path` with the first n nodes. */
void live_write(struct live *l, const char *path, size_t n);
void live_start(struct live_node *n);
bool live_ended(struct live_node *n, orr_time patience);               /* waits for its end */
void live_signal(struct live_node *n, int number);                     /* SIGSTOP: returns when it has stopped */
void live_kill(struct live_node *n);                                   /* SIGKILL, and buried */
void live_stop(struct live_node *n);                                   /* SIGTERM; checks that it leaves with 0 */
void live_up(struct live *l);
void live_done(struct live *l);                                         /* stops all that runs, removes the folder */
int live_end(struct live *l); /* and prints the closing line; the exit status */

/* One command on the node's own connection, dialed when need be. */
struct live_reply live_ask(struct live_node *n, orr_time patience, const char *word, ...);
bool live_serves(struct live_node *n, orr_time patience);              /* a linearizable read is answered within that */
bool live_write_works(struct live_node *n, orr_time patience, const char *key, const char *value);
/* A field of INFO; false where there is none or no answer. */
bool live_info(struct live_node *n, const char *field, char *out, size_t size);
int64_t live_info_number(struct live_node *n, const char *field);      /* -1: none */
struct live_node *live_leader(struct live *l, orr_time patience);      /* of the nodes that run; NULL: none in time */
struct live_node *live_leader_but(struct live *l, const struct live_node *not_asked, orr_time patience);
struct live_node *live_follower(struct live *l);
bool live_logged(const struct live_node *n, const char *text, orr_time patience);      /* since its last start */
bool live_line(const struct live_node *n, const char *text, char *out, size_t size);   /* the first line with it */
size_t live_rss(const struct live_node *n);                            /* bytes */

/* -- Checks -------------------------------------------------------------------------------------------------------- */
orr_time live_now(void);
void live_pause(void);                                                 /* a few milliseconds, between two looks */
/* OK becomes whether CONDITION came true within that time. */
#define LIVE_WITHIN(ok, patience, condition)                                                                           \
    for (orr_time live_end_ = live_now() + (patience); !((ok) = (condition)) && live_now() < live_end_;) live_pause()
bool live_check(bool held, const char *format, ...) __attribute__((format(printf, 2, 3)));
void live_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void live_die(const char *what);
int live_summary(void);                                                /* prints the closing line; the exit status */

#endif
