/* hlc.h - a hybrid logical clock: stamps that follow the wall clock and never contradict cause and effect.
 *
 *     struct orr_hlc hlc;
 *     orr_hlc_stamp stamp, limit;
 *     orr_hlc_init(&hlc, NULL, limit_read_from_disk);            // 0 on an empty disk
 *     ...
 *     orr_hlc_tick(&hlc, wall, &stamp);                          // something happens here, or a message is sent
 *     orr_hlc_receive(&hlc, wall, latest, heard, &stamp);        // a message with the stamp `heard` has come
 *     if (orr_hlc_store(&hlc, wall, &limit)) ...                 // write `limit` to the disk; then
 *     orr_hlc_stored(&hlc, limit);
 *     if (orr_hlc_usable(&hlc, stamp)) ...                       // it may be seen outside: sent, kept, answered
 *
 * (Kulkarni, Demirbas et al., Logical Physical Clocks, 2014.) If a happened before b, a's stamp is less than b's: on
 * one node, over messages, over steps of the wall clock in either direction and over restarts. And stamps are near
 * the time: none is further ahead of the latest time that any node believed in than `skew_max` and `ahead` allow.
 *
 * A restart must not give what was given before it. So there is an upper limit on the disk, up to `ahead` before the
 * time, and a stamp at or above what is known to be stored may not be used yet: withhold what depends on it. store()
 * asks for the next limit when half of the way is gone, so nothing waits where the disk takes less than ahead / 2.
 *
 * A node that starts again begins at its limit, and so up to `ahead` before the time. Others refuse its messages while
 * it is more than their `skew_max` ahead: let it wait for orr_hlc_ahead() to get below that before it sends.
 *
 * No clock is read here and nothing is allocated. `wall` is the caller's best reading of the time, in ns since 1970;
 * `latest` the upper bound of it (orrery/clock.h). */
#ifndef ORR_HLC_H
#define ORR_HLC_H

#include <orrery/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 48 bits: time since 1970 in units of 2^-16 s (15.3 us), until 2106; 16 bits: a counter within one unit. Stamps are
 * compared as the integers that they are. 0 is before all stamps and none of them. */
typedef uint64_t orr_hlc_stamp;

struct orr_hlc_config {
    size_t size;                    /* set by config_init */
    orr_time skew_max;              /* a message further ahead of `latest` is refused; 500 ms */
    orr_time ahead;                 /* how far before the time the stored limit may be; 1 s, at least 1 ms */
};
/* A value; copy it to fork it. Its fields are for reading only. */
struct orr_hlc {
    orr_time skew_max, ahead;
    orr_hlc_stamp last;             /* given, or seen in a message that was taken */
    orr_hlc_stamp asked, limit;     /* stamps below: asked to be stored; known to be stored */
    uint64_t refused;               /* messages, by receive() */
};

ORR_API void orr_hlc_config_init(struct orr_hlc_config *config);
/* 0, or ORR_EINVALID with *field naming the field that is wrong. */
ORR_API int orr_hlc_config_check(const struct orr_hlc_config *config, const char **field);

/* `config`: copied; NULL is the defaults. `limit` is the last that was stored, 0 if none ever was. ORR_EINVALID. */
ORR_API int orr_hlc_init(struct orr_hlc *h, const struct orr_hlc_config *config, orr_hlc_stamp limit);

/* A stamp for what happens now, greater than all before it. ORR_EUNAVAILABLE: there are none after the last (2106). */
ORR_API int orr_hlc_tick(struct orr_hlc *h, orr_time wall, orr_hlc_stamp *stamp);
/* A message with the stamp `heard` came: *stamp, greater than it and all before, is its receipt's. ORR_EDENIED: it is
 * more than skew_max ahead of `latest`; counted, and nothing else has changed. ORR_EUNAVAILABLE as above. */
ORR_API int orr_hlc_receive(struct orr_hlc *h, orr_time wall, orr_time latest, orr_hlc_stamp heard,
                            orr_hlc_stamp *stamp);

/* Whether `*limit` is to be stored now. Each is told once; where a write failed, orr_hlc_unstored() asks anew. */
ORR_API bool orr_hlc_store(struct orr_hlc *h, orr_time wall, orr_hlc_stamp *limit);
ORR_API void orr_hlc_stored(struct orr_hlc *h, orr_hlc_stamp limit);
ORR_API void orr_hlc_unstored(struct orr_hlc *h);
/* Whether a stamp of this node may be seen outside. */
ORR_API bool orr_hlc_usable(const struct orr_hlc *h, orr_hlc_stamp stamp);

/* How far the clock is ahead of `wall`; 0: not at all. */
ORR_API orr_time orr_hlc_ahead(const struct orr_hlc *h, orr_time wall);
/* The stamp's time, without its counter, in ns since 1970; and the least stamp of a time (rounded down to its unit). */
ORR_API orr_time orr_hlc_time(orr_hlc_stamp stamp);
ORR_API orr_hlc_stamp orr_hlc_of(orr_time wall);

#ifdef __cplusplus
}
#endif
#endif
