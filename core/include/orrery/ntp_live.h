/* ntp_live.h - NTP over sockets, on a loop (orrery/loop.h): sources that a clock follows, and a service for others.
 *
 *     struct orr_ntp_source list[] = { { "192.0.2.1", 0 }, { "pool.example.net", ORR_NTP_POOL } };
 *     struct orr_ntp_sources_config config;
 *     orr_ntp_sources_config_init(&config);
 *     config.sources = list;
 *     config.n_sources = 2;
 *     config.clock = clock;                               // an orr_clock (orrery/clock.h) with room for them
 *     orr_ntp_sources_new(&sources, loop, &config);       // the loop's turns ask, and tell the clock
 *     orr_clock_now(clock, orr_ntp_local(), &now);        // at any time, on the loop's thread
 *
 *     struct orr_ntp_service_config of;
 *     orr_ntp_service_config_init(&of);
 *     of.address = ":123";
 *     of.clock = clock;
 *     of.sources = sources;
 *     orr_ntp_service_new(&service, loop, &of);           // answers, as long as the loop turns
 *
 * All of it belongs to the loop's thread. Services are freed first, then sources, then clock and loop.
 *
 * Stamps. The local clock is CLOCK_MONOTONIC_RAW, which nobody steers. The kernel stamps datagrams when they come and,
 * where it can, when they leave, by its wall clock; the tightest of three readings (local, wall, local) moves such a
 * stamp to the local clock, and half of that bracket is added to the stamp's error. Where the wall clock was set
 * meanwhile, or the kernel has no stamp, the program's own reading stands in, which can only be outside: earlier for
 * what leaves, later for what comes.
 *
 * A suspended machine's local clock has stood still: it is found by CLOCK_BOOTTIME, requests under way are dropped, and
 * the clock is told (orr_clock_local_step). A virtual machine that was stopped by its host sees nothing of it. */
#ifndef ORR_NTP_LIVE_H
#define ORR_NTP_LIVE_H

#include <orrery/clock.h>
#include <orrery/loop.h>
#include <orrery/ntp.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- Clocks -------------------------------------------------------------------------------------------------------- */
/* The local clock now. Any thread. */
ORR_API orr_time orr_ntp_local(void);
/* The machine's wall clock minus the local clock; *error: the offset is right within so much. Any thread. */
ORR_API orr_time orr_ntp_wall_offset(orr_time *error);

/* -- Sources ------------------------------------------------------------------------------------------------------- */
enum {
    ORR_NTP_TRUST = ORR_CLOCK_TRUST, ORR_NTP_NOSELECT = ORR_CLOCK_NOSELECT,     /* as in orrery/clock.h */
    ORR_NTP_POOL = 256              /* the name stands for many servers: pool_max of its addresses are asked */
};
enum { ORR_NTP_PORT = 123, ORR_NTP_NAME_MAX = 255, ORR_NTP_ADDRESS_TEXT = 64 };

/* HOST, HOST:PORT, [IPv6] or [IPv6]:PORT; HOST is a name or an IP address, "localhost" is 127.0.0.1. */
struct orr_ntp_source {
    const char *name;               /* copied */
    unsigned flags;
};
struct orr_ntp_sources_config {
    size_t size;                    /* set by config_init */
    const struct orr_ntp_source *sources;   /* borrowed during the call */
    size_t n_sources;
    struct orr_clock *clock;        /* borrowed until free. Is given peers first_id, first_id + 1, ...: one for each
                                     * server, pool_max for a pool */
    uint32_t first_id;              /* 0 */
    unsigned pool_max;              /* 4 */
    int8_t poll_min, poll_max;      /* log2 s, those of the clock; 6, 10 */
    bool interleaved;               /* asks for interleaved mode (RFC 9769); true */
    bool serves;                    /* there is a service: who follows us is no source (RFC 5905's loop test); false */
    bool quiet;                     /* logs nothing; false */
    orr_time timeout;               /* a reply that takes longer is lost, and no request goes out before; 2 s */
};
struct orr_ntp_sources;

ORR_API void orr_ntp_sources_config_init(struct orr_ntp_sources_config *config);
/* 0, or ORR_EINVALID with *field naming the field that is wrong. */
ORR_API int orr_ntp_sources_config_check(const struct orr_ntp_sources_config *config, const char **field);
/* Can this be the name of a source? */
ORR_API bool orr_ntp_name_ok(const char *name);
/* ORR_EINVALID; -ENOMEM; ORR_EOVERLOADED, ORR_ECONFLICT: the clock has no room, or such peers. Names are looked up by
 * threads of their own, which block nobody and may outlive the call of free. *s: owned, give it to
 * orr_ntp_sources_free. */
ORR_API int orr_ntp_sources_new(struct orr_ntp_sources **s, struct orr_loop *loop,
                                const struct orr_ntp_sources_config *config);
/* The clock keeps its peers. NULL is allowed. */
ORR_API void orr_ntp_sources_free(struct orr_ntp_sources *s);

/* One place of the sources: a server, or where one will be. */
struct orr_ntp_place {
    const char *source;             /* its name, borrowed until free */
    uint32_t id;                    /* the clock's peer, while there is an address */
    char address[ORR_NTP_ADDRESS_TEXT];     /* "192.0.2.1:123", "[::1]:123"; "": none yet */
    const char *why;                /* why there is none, or the last request found no way; static, NULL: all is well */
    uint64_t exchanges;             /* that came of its replies */
    unsigned silent;                /* requests in a row that nothing came back for */
    unsigned untried;               /* further addresses of the name, which are asked if this one is never heard */
    bool waiting;                   /* for a reply */
    bool heard;                     /* a reply has come, and `verdict` is that of the last one */
    enum orr_ntp_verdict verdict;
    struct orr_ntp_exchange last;   /* exchanges > 0: the last one */
    struct orr_ntp_client_status status;    /* where there is an address */
};
ORR_API size_t orr_ntp_sources_places(const struct orr_ntp_sources *s);
/* false: a place of a pool that stands for no server. */
ORR_API bool orr_ntp_sources_place(const struct orr_ntp_sources *s, size_t place, struct orr_ntp_place *out);

/* -- The service --------------------------------------------------------------------------------------------------- */
/* Answers by the clock, or by the machine's own wall clock as the kernel (adjtimex) says how right that is. Whoever is
 * not synchronised says so. */
struct orr_ntp_service_config {
    size_t size;                    /* set by config_init */
    const char *address;            /* borrowed during the call. "127.0.0.1:123", "[::1]:123"; ":123": all addresses;
                                     * port 0: a free one */
    const struct orr_clock *clock;  /* borrowed until free; NULL: the machine's */
    struct orr_ntp_sources *sources;        /* that the clock follows, for refid and root delay; borrowed; or NULL */
    uint8_t machine_stratum;        /* the kernel doesn't know its own; 10 */
    struct orr_ntp_server_config server;    /* limits; its seed is drawn by chance, its memory is the loop's */
};
struct orr_ntp_service;

ORR_API void orr_ntp_service_config_init(struct orr_ntp_service_config *config);
ORR_API int orr_ntp_service_config_check(const struct orr_ntp_service_config *config, const char **field);
/* ORR_EINVALID; -ENOMEM; -errno of the socket: -EADDRINUSE, -EACCES (a port below 1024), ... *s: owned, give it to
 * orr_ntp_service_free. */
ORR_API int orr_ntp_service_new(struct orr_ntp_service **s, struct orr_loop *loop,
                                const struct orr_ntp_service_config *config);
ORR_API void orr_ntp_service_free(struct orr_ntp_service *s);          /* NULL is allowed */
ORR_API uint16_t orr_ntp_service_port(const struct orr_ntp_service *s);

struct orr_ntp_service_status {
    struct orr_ntp_server_status server;
    uint64_t unsent;                /* answers that the system would not take */
    uint64_t sent_stamps;           /* times that the kernel told when an answer left */
    struct orr_ntp_server_clock clock;      /* what it would say now */
};
ORR_API void orr_ntp_service_status(const struct orr_ntp_service *s, struct orr_ntp_service_status *out);

#ifdef __cplusplus
}
#endif
#endif
