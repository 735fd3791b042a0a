/* ntp_inner.h - what the files of live NTP share.
 *
 * ntp_stamp.c: clocks and the kernel's stamps. ntp_name.c: addresses, names, looking them up. ntp_refid.c: how NTP
 * names a server in four bytes. ntp_sources.c: the servers that a clock follows, ntp_ask.c one request to one of them.
 * ntp_service.c: answers to others, ntp_told.c what they are told of our clock. */
#ifndef ORRI_LOOP_NTP_INNER_H
#define ORRI_LOOP_NTP_INNER_H

#include <orrery/ntp_live.h>
#include <sys/socket.h>

#include "loop/inner.h"

/* -- Stamps (ntp_stamp.c) ------------------------------------------------------------------------------------------ */
struct orri_ntp_moment {            /* by both clocks */
    orr_time local, wall;
    orr_time error;                 /* half of the bracket that was read */
};
struct orri_ntp_moment orri_ntp_moment(void);
/* Was the wall clock set between the two? Slewing is none. */
bool orri_ntp_was_set(const struct orri_ntp_moment *a, const struct orri_ntp_moment *b);
/* A wall stamp from shortly before that moment by the local clock, and how wrong that may be. */
orr_time orri_ntp_to_local(const struct orri_ntp_moment *m, orr_time wall, orr_time *error);
/* For how long the machine was suspended since it booted: never more than that. */
orr_time orri_ntp_slept(void);

enum { ORRI_NTP_RECEIVED = 1, ORRI_NTP_SENT = 2, ORRI_NTP_SENT_ASKED = 4 };    /* the last: of those that ask for it */
/* Switches stamps on; false: there are none of the kind in question. */
bool orri_ntp_stamps(int fd, unsigned which);
/* The kernel's receive stamp of a message, by the wall clock; false: it has none. */
bool orri_ntp_received(struct msghdr *message, orr_time *wall);
enum { ORRI_NTP_ASK_SIZE = CMSG_SPACE(sizeof(uint32_t)) };
/* Writes to `at` that this message asks for its stamp. */
void orri_ntp_ask_stamp(struct cmsghdr *at);
/* The next stamp of what was sent: 1; 0: something else was in the queue; or an error, -EAGAIN: none is left. */
int orri_ntp_sent(int fd, uint32_t *number, orr_time *wall);

/* -- Names (ntp_name.c) -------------------------------------------------------------------------------------------- */
enum { ORRI_NTP_ADDRESSES = 16 };   /* of one name */
struct orri_ntp_lookup;

/* Host and port of a source's name: 0 or ORR_EINVALID. */
int orri_ntp_split(const char *name, char host[ORR_NTP_NAME_MAX + 1], uint16_t *port);
/* Where the host is a number already. */
bool orri_ntp_number(const char *host, uint16_t port, struct orri_address *out);
struct orr_ntp_address orri_ntp_address(const struct sockaddr_storage *at);
void orri_ntp_text(const struct sockaddr_storage *at, char out[ORR_NTP_ADDRESS_TEXT]);
bool orri_ntp_same(const struct orri_address *a, const struct orri_address *b);

/* Begins to look one up; rings the loop at the end. NULL: out of memory or threads. */
struct orri_ntp_lookup *orri_ntp_look_up(struct orr_loop *loop, const char *host, uint16_t port);
/* -1: not yet. Else how many addresses were found, up to ORRI_NTP_ADDRESSES; none: *why (static) says why not. */
int orri_ntp_found(struct orri_ntp_lookup *l, struct orri_address *out, const char **why);
void orri_ntp_look_up_free(struct orri_ntp_lookup *l);      /* done or not; NULL is allowed */

/* -- Refids (ntp_refid.c) ------------------------------------------------------------------------------------------ */
uint32_t orri_ntp_refid(const struct sockaddr_storage *at);

/* -- Sources (ntp_sources.c, ntp_ask.c) ---------------------------------------------------------------------------- */
struct orri_ntp_server {            /* a place */
    struct orr_ntp_sources *set;
    struct orri_ntp_origin *origin;
    uint32_t id;                    /* the clock's peer, while there is a client */
    struct orr_ntp_client *client;  /* NULL: no address */
    struct orri_address address;
    int fd;                         /* of the request that waits for its reply; -1: none does */
    struct event readable;
    uint64_t cookie;                /* its transmit stamp */
    struct orri_ntp_moment sent;    /* just before it was sent */
    orr_time stamp_error, stamp_error_before;       /* of moving stamps: this request's, the one's before */
    orr_time lost_at, due;          /* local */
    unsigned silent;
    const char *why;
    uint64_t exchanges;
    bool heard;
    enum orr_ntp_verdict verdict;
    struct orr_ntp_exchange last;
    enum orr_clock_role role;       /* that was last logged */
};
struct orri_ntp_origin {            /* a source: a name, and what it stands for */
    char name[ORR_NTP_NAME_MAX + 1], host[ORR_NTP_NAME_MAX + 1];
    uint16_t port;
    unsigned flags;
    bool number;                    /* the host is one: there is nothing to look up */
    struct orri_ntp_lookup *lookup;
    struct orri_address addresses[ORRI_NTP_ADDRESSES];
    unsigned n_addresses, next;     /* next: the first that was not tried yet */
    unsigned failures;              /* in a row */
    orr_time look_up_at, looked_up; /* local; ORR_NEVER: no need; when it was last done */
    const char *why;
    struct orri_ntp_server *places;
    unsigned n_places;
};
struct orr_ntp_sources {
    struct orri_guest guest;
    struct orr_loop *loop;
    struct orr_ntp_sources_config config;
    size_t bytes;                   /* of all this */
    orr_time slept;
    enum orr_clock_state state;     /* that was last logged */
    size_t n_origins, n_places;
    struct orri_ntp_origin *origins;
    struct orri_ntp_server *places;
};

/* ntp_ask.c */
void orri_ntp_ask(struct orri_ntp_server *s);           /* sends a request now */
void orri_ntp_hang_up(struct orri_ntp_server *s);       /* forgets the request under way */
int orri_ntp_connect(const struct orri_address *to);    /* a socket, or a negative error */
/* ntp_sources.c */
void orri_ntp_answered(struct orri_ntp_server *s, enum orr_ntp_verdict verdict, const struct orr_ntp_exchange *x);
void orri_ntp_unanswered(struct orri_ntp_server *s);
void orri_ntp_look_for_sleep(struct orr_ntp_sources *set);
void orri_ntp_rearm(struct orr_ntp_sources *set);       /* due times have changed */

/* -- What others are told (ntp_told.c) ----------------------------------------------------------------------------- */
struct orri_ntp_told {
    struct orr_ntp_server_clock clock;
    orr_time offset;                /* served time minus local */
};
/* By the clock and its sources (NULL: none), or by the machine's own (clock NULL). */
void orri_ntp_tell(const struct orr_ntp_service_config *config, const struct orri_ntp_moment *now,
                   struct orri_ntp_told *out);
int8_t orri_ntp_precision(void);    /* log2 s, of reading a clock here */

#endif
