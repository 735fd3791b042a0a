/* ntp.h - NTP version 4 (RFC 5905) without sockets and clocks: packets, a client of one server, a server.
 *
 *     orr_ntp_client_new(&c, &config);                        // one for each server that is asked
 *     ...at orr_ntp_client_deadline(c), from a new port:
 *     orr_ntp_client_request(c, now, &cookies, out);          // 48 bytes to send; `now` becomes t1
 *     orr_ntp_client_sent(c, cookies.transmit, stamp);        // where the kernel tells a better t1
 *     ...a datagram has come:
 *     if (orr_ntp_client_recv(c, &arrival, &x) == ORR_NTP_TAKEN) ...     // t1..t4 for orr_clock_sample
 *
 *     verdict = orr_ntp_server_recv(s, &arrival, &clock, wall, out);
 *     if (verdict == ORR_NTP_TAKEN || verdict == ORR_NTP_RATE) ...       // 48 bytes to send back
 *
 * Three clocks are told apart. Local stamps (`now`, t1, t4) are readings of a clock that nobody steers, in ns; they
 * never go out. Wall times are ns since 1970. Stamps are as they are on the wire.
 *
 * A client believes nothing that was not asked for: the transmit stamp of a request is 64 random bits, and a reply must
 * bring them back. One reply to a request is looked at, the first with its cookie. What is refused changes nothing but
 * a counter, and where it bore the cookie the request is answered.
 *
 * Interleaved mode (RFC 9769): a reply tells when the reply before it really left. So each exchange comes out one reply
 * later, and with a better t3. Where a server doesn't speak it, or forgot, the client goes on in basic mode.
 *
 * Nothing is allocated after creation. One thread at a time. */
#ifndef ORR_NTP_H
#define ORR_NTP_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- Packets ------------------------------------------------------------------------------------------------------- */
enum { ORR_NTP_SIZE = 48, ORR_NTP_SIZE_MAX = 1232 };   /* the latter: of any datagram, by IPv6's least MTU */
enum orr_ntp_mode {
    ORR_NTP_RESERVED, ORR_NTP_ACTIVE, ORR_NTP_PASSIVE, ORR_NTP_CLIENT, ORR_NTP_SERVER, ORR_NTP_BROADCAST,
    ORR_NTP_CONTROL, ORR_NTP_PRIVATE
};
enum { ORR_NTP_UNSYNC = 3 };                /* of leap: not synchronised */

/* 32.32: seconds since 1900 modulo 2^32 (136 years; anew in February 2036) and a fraction. 0: not known. */
typedef uint64_t orr_ntp_stamp;

struct orr_ntp_packet {
    uint8_t leap, version, mode;            /* 2, 3 and 3 bits */
    uint8_t stratum;
    int8_t poll, precision;                 /* log2 s */
    uint32_t root_delay, root_dispersion;   /* 16.16 s */
    uint32_t refid;                         /* stratum 0 and 1: four letters, the first highest */
    orr_ntp_stamp reference, origin, receive, transmit;
};

/* What became of a datagram. X(enumerator, word): refusals in the order in which they are looked for. */
#define ORR_NTP_VERDICTS(X)                                                                                            \
    X(ORR_NTP_TAKEN, "taken")               /* client: an exchange; server: an answer is to be sent */                 \
    X(ORR_NTP_KEPT, "kept")                 /* client: a good reply; what it tells came out before */                  \
    X(ORR_NTP_RATE, "rate")                 /* client: asked to ask less; server: asks for that, in an answer */       \
    X(ORR_NTP_DENY, "deny")                 /* client: DENY or RSTR: never asks again */                               \
    X(ORR_NTP_KISS, "kiss")                 /* another kiss-o'-death, ignored */                                       \
    X(ORR_NTP_SHORT, "short")               /* less than 48 bytes */                                                   \
    X(ORR_NTP_LONG, "long")                 /* more than ORR_NTP_SIZE_MAX */                                           \
    X(ORR_NTP_EXTENSION, "extension")       /* what follows the 48 bytes are no extension fields */                    \
    X(ORR_NTP_ADDRESS, "address")           /* not from whom was asked */                                              \
    X(ORR_NTP_MODE, "mode")                 /* client: not 4; server: not 3 */                                         \
    X(ORR_NTP_VERSION, "version")           /* client: not 3 or 4; server: not 1 to 4 */                               \
    X(ORR_NTP_LIMITED, "limited")           /* server: too many from there, and no answer */                           \
    X(ORR_NTP_NOT_ASKED, "not_asked")       /* no request waits: a second reply, a late replay */                      \
    X(ORR_NTP_COOKIE, "cookie")             /* the reply to none, or to another request */                             \
    X(ORR_NTP_LEAP, "leap")                 /* the server is not synchronised (leap 3) */                              \
    X(ORR_NTP_STRATUM, "stratum")           /* 0, or 16 and above: likewise */                                         \
    X(ORR_NTP_ZERO, "zero")                 /* a stamp is missing */                                                   \
    X(ORR_NTP_ORDER, "order")               /* t3 < t2 */                                                              \
    X(ORR_NTP_SLOW, "slow")                 /* t3 - t2 > 4 s */                                                        \
    X(ORR_NTP_PRECISION, "precision")       /* worse than a second */                                                  \
    X(ORR_NTP_BACK, "back")                 /* t4 <= t1 */                                                             \
    X(ORR_NTP_RANGE, "range")               /* local and peer's stamps are more than 2^62 ns apart */                  \
    X(ORR_NTP_DELAY, "delay")               /* the round trip took less than nothing */                                \
    X(ORR_NTP_ROOT, "root")                 /* root delay / 2 + root dispersion is above the limit */                  \
    X(ORR_NTP_LOOP, "loop")                 /* the server follows us */
enum orr_ntp_verdict {
#define ORR_X(name, word) name,
    ORR_NTP_VERDICTS(ORR_X)
#undef ORR_X
    ORR_NTP_VERDICT_COUNT
};
/* Static; "" for a number that is no verdict. */
ORR_API const char *orr_ntp_verdict_word(enum orr_ntp_verdict verdict);

ORR_API void orr_ntp_encode(const struct orr_ntp_packet *packet, unsigned char out[ORR_NTP_SIZE]);
/* TAKEN, SHORT, LONG or EXTENSION. Extension fields (RFC 7822: 16 bytes at least, a multiple of 4) are passed over; a
 * MAC is none, and who needs one would not believe what bears none. *packet is set when TAKEN. */
ORR_API enum orr_ntp_verdict orr_ntp_decode(const void *at, size_t size, struct orr_ntp_packet *packet);

/* To the nearest 2^-32 s, never 0. */
ORR_API orr_ntp_stamp orr_ntp_stamp_of(orr_time wall);
/* To the nearest ns, in the era that puts it within 68 years of `near`. Saturates. */
ORR_API orr_time orr_ntp_time(orr_ntp_stamp stamp, orr_time near);
/* 16.16: both ways up, for they are bounds. Saturates; less than nothing is 0. */
ORR_API uint32_t orr_ntp_short_of(orr_time span);
ORR_API orr_time orr_ntp_span(uint32_t short_format);
/* 2^log2 s in ns, at least 1. Saturates. */
ORR_API orr_time orr_ntp_power(int log2);

/* An address: IPv6, or IPv4 as ::ffff:a.b.c.d. */
struct orr_ntp_address {
    unsigned char ip[16];
    uint32_t zone;                          /* of link-local addresses */
    uint16_t port;
};
struct orr_ntp_arrival {
    const void *at;                         /* borrowed during the call */
    size_t size;
    struct orr_ntp_address from;
    orr_time local;                         /* when it came */
    orr_time wall;                          /* the same. Client: right within 68 years will do. Server: t2 */
    bool by_kernel;                         /* `local` is the kernel's stamp or the card's, no later reading */
};

/* -- The client: an association with one server -------------------------------------------------------------------- */
struct orr_ntp_client;
enum { ORR_NTP_POLL_MIN = -6, ORR_NTP_POLL_MAX = 17, ORR_NTP_REFIDS = 8 };

struct orr_ntp_client_config {
    size_t size;                            /* set by config_init */
    struct orr_ntp_address server;          /* replies come from there, port included */
    int8_t poll_min, poll_max;              /* log2 s, ORR_NTP_POLL_MIN..ORR_NTP_POLL_MAX; 6, 10 */
    bool burst;                             /* the first four requests are 2 s apart (or a poll, if less); true */
    bool interleaved;                       /* false */
    uint32_t precision_ns;                  /* of reading the local clock; 1000 */
    orr_time root_distance_max;             /* 1 s; at most 16 s */
    uint32_t refids[ORR_NTP_REFIDS];        /* those that stand for us; 0: none */
    uint64_t seed;                          /* of the jitter */
    const struct orr_alloc *alloc;          /* NULL: libc's; borrowed until free */
};
/* Random numbers that nobody can guess: of getrandom(2), say. */
struct orr_ntp_cookies {
    uint64_t transmit, receive;
};
enum {
    ORR_NTP_USER_T1 = 1, ORR_NTP_USER_T4 = 2,   /* read by the program, not told by the kernel */
    ORR_NTP_INTERLEAVED = 4                 /* t3 is when the reply really left */
};
/* For orr_clock_sample (orrery/clock.h): the fields that have the same names there. */
struct orr_ntp_exchange {
    orr_time t1, t4;                        /* local */
    orr_time t2, t3;                        /* wall time by the server */
    uint32_t root_delay_ns, root_dispersion_ns;     /* saturated at 4.29 s */
    uint32_t stamp_error_ns;                /* the server's precision, and 10 us for each stamp that is the program's */
    uint8_t stratum, leap;
    int8_t precision;
    uint8_t flags;
    uint32_t refid;
};
struct orr_ntp_client_status {
    uint64_t requests;
    uint64_t verdicts[ORR_NTP_VERDICT_COUNT];
    uint8_t reach;                          /* a bit for each of the last 8 requests, the last lowest: answered well */
    int8_t poll;                            /* now */
    bool waiting;                           /* for a reply */
    bool stopped;                           /* the server wants no more requests of ours */
    bool interleaved;                       /* asks for it now */
};

ORR_API void orr_ntp_client_config_init(struct orr_ntp_client_config *config);
/* 0, or ORR_EINVALID with *field naming the field that is wrong. */
ORR_API int orr_ntp_client_config_check(const struct orr_ntp_client_config *config, const char **field);
/* The first request is due at `now`. ORR_EINVALID, -ENOMEM. *c: owned, give it to orr_ntp_client_free. */
ORR_API int orr_ntp_client_new(struct orr_ntp_client **c, const struct orr_ntp_client_config *config, orr_time now);
ORR_API void orr_ntp_client_free(struct orr_ntp_client *c);             /* NULL is allowed */

/* When the next request is due; ORR_NEVER: the server said DENY or RSTR. */
ORR_API orr_time orr_ntp_client_deadline(const struct orr_ntp_client *c);
/* The request to send now, whether it is due or not: one that still waits gets no reply any more. ORR_EDENIED: stopped,
 * `out` is as it was. */
ORR_API int orr_ntp_client_request(struct orr_ntp_client *c, orr_time now, const struct orr_ntp_cookies *cookies,
                                   unsigned char out[ORR_NTP_SIZE]);
/* The request with this transmit cookie really left at `t1`. It may come after the reply: that is of use in interleaved
 * mode. One that is over is passed over. */
ORR_API void orr_ntp_client_sent(struct orr_ntp_client *c, uint64_t transmit, orr_time t1);
/* *x is set when TAKEN. */
ORR_API enum orr_ntp_verdict orr_ntp_client_recv(struct orr_ntp_client *c, const struct orr_ntp_arrival *a,
                                                 struct orr_ntp_exchange *x);
/* How often to ask (log2 s), by what the estimation makes of it. Kept within poll_min and poll_max; a server that asked
 * for less is asked less. */
ORR_API void orr_ntp_client_set_poll(struct orr_ntp_client *c, int poll);
ORR_API void orr_ntp_client_status(const struct orr_ntp_client *c, struct orr_ntp_client_status *out);

/* -- The server ---------------------------------------------------------------------------------------------------- */
struct orr_ntp_server;

struct orr_ntp_server_config {
    size_t size;                            /* set by config_init */
    unsigned addresses_max;                 /* of which it is remembered how much they asked; 4096, up to 1048576 */
    orr_time interval;                      /* an address may ask so often in the long run, 500 ms; 0: as it likes */
    unsigned burst;                         /* and so many times at once; 16 */
    bool interleaved;                       /* true */
    uint64_t seed;                          /* of the table of addresses: nobody is to know it */
    const struct orr_alloc *alloc;          /* NULL: libc's; borrowed until free */
};
/* What the server says of its own clock. */
struct orr_ntp_server_clock {
    bool synchronised;
    uint8_t leap;                           /* 0, 1: a second is put in at the end of the day, 2: left out */
    uint8_t stratum;                        /* 1..15; above: not synchronised */
    int8_t precision;                       /* log2 s */
    uint32_t refid;
    orr_time reference;                     /* wall: when it was last set or corrected */
    orr_time root_delay;                    /* round trip to the reference */
    orr_time half_width;                    /* the wall time is right within so much */
};
struct orr_ntp_server_status {
    uint64_t verdicts[ORR_NTP_VERDICT_COUNT];
    uint64_t interleaved;                   /* answers of that kind */
};

ORR_API void orr_ntp_server_config_init(struct orr_ntp_server_config *config);
ORR_API int orr_ntp_server_config_check(const struct orr_ntp_server_config *config, const char **field);
/* ORR_EINVALID, -ENOMEM. *s: owned, give it to orr_ntp_server_free. */
ORR_API int orr_ntp_server_new(struct orr_ntp_server **s, const struct orr_ntp_server_config *config);
ORR_API void orr_ntp_server_free(struct orr_ntp_server *s);             /* NULL is allowed */

/* TAKEN or RATE: `out` goes back to a->from, from where the request came to; else there is no answer and `out` is as it
 * was. `wall`: t3, read as late as can be. An answer is never longer than its request. */
ORR_API enum orr_ntp_verdict orr_ntp_server_recv(struct orr_ntp_server *s, const struct orr_ntp_arrival *a,
                                                 const struct orr_ntp_server_clock *clock, orr_time wall,
                                                 unsigned char out[ORR_NTP_SIZE]);
/* The answer `sent` (as recv gave it) really left at `wall`: without it there is no interleaved answer. */
ORR_API void orr_ntp_server_sent(struct orr_ntp_server *s, const unsigned char sent[ORR_NTP_SIZE], orr_time wall);
ORR_API void orr_ntp_server_status(const struct orr_ntp_server *s, struct orr_ntp_server_status *out);

#ifdef __cplusplus
}
#endif
#endif
