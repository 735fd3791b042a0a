/* ntp_packet.c - NTP on the wire: 48 bytes, extension fields, fixed point.
 *
 *     0   LI 2 bits, version 3, mode 3      16  reference stamp
 *     1   stratum                           24  origin
 *     2   poll, precision                   32  receive
 *     4   root delay, root dispersion       40  transmit
 *     12  refid                             48  extension fields: type 2, length 2 (with these four), value
 *
 * All of it is big-endian (RFC 5905, 7.3). Any bytes decode to a packet or to the reason why they are none; what the
 * fields say is for client and server to judge. */
#include <orrery/ntp.h>

#include <string.h>

enum { EXTENSION_MIN = 16 };
static const int64_t seconds_to_1970 = 2208988800;     /* from 1900 */

const char *orr_ntp_verdict_word(enum orr_ntp_verdict verdict) {
    static const char *const words[] = {
#define ORR_X(name, word) word,
        ORR_NTP_VERDICTS(ORR_X)
#undef ORR_X
    };
    return (unsigned)verdict < ORR_NTP_VERDICT_COUNT ? words[verdict] : "";
}

/* -- Bytes --------------------------------------------------------------------------------------------------------- */
static uint64_t get(const unsigned char *at, unsigned bytes) {
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v = v << 8 | at[i];
    return v;
}

static void put(unsigned char *at, uint64_t v, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0; v >>= 8) at[i] = (unsigned char)v;
}

void orr_ntp_encode(const struct orr_ntp_packet *p, unsigned char out[ORR_NTP_SIZE]) {
    out[0] = (unsigned char)((p->leap & 3) << 6 | (p->version & 7) << 3 | (p->mode & 7));
    out[1] = p->stratum;
    out[2] = (unsigned char)p->poll;
    out[3] = (unsigned char)p->precision;
    put(out + 4, p->root_delay, 4);
    put(out + 8, p->root_dispersion, 4);
    put(out + 12, p->refid, 4);
    put(out + 16, p->reference, 8);
    put(out + 24, p->origin, 8);
    put(out + 32, p->receive, 8);
    put(out + 40, p->transmit, 8);
}

static bool extensions_fit(const unsigned char *at, size_t size) {
    while (size > 0) {
        if (size < EXTENSION_MIN) return false;
        size_t length = (size_t)get(at + 2, 2);
        if (length < EXTENSION_MIN || length % 4 != 0 || length > size) return false;
        at += length;
        size -= length;
    }
    return true;
}

enum orr_ntp_verdict orr_ntp_decode(const void *bytes, size_t size, struct orr_ntp_packet *p) {
    const unsigned char *at = bytes;
    if (size < ORR_NTP_SIZE) return ORR_NTP_SHORT;
    if (size > ORR_NTP_SIZE_MAX) return ORR_NTP_LONG;
    if (!extensions_fit(at + ORR_NTP_SIZE, size - ORR_NTP_SIZE)) return ORR_NTP_EXTENSION;
    *p = (struct orr_ntp_packet){ .leap = at[0] >> 6, .version = at[0] >> 3 & 7, .mode = at[0] & 7,
                                  .stratum = at[1], .poll = (int8_t)at[2], .precision = (int8_t)at[3],
                                  .root_delay = (uint32_t)get(at + 4, 4), .root_dispersion = (uint32_t)get(at + 8, 4),
                                  .refid = (uint32_t)get(at + 12, 4), .reference = get(at + 16, 8),
                                  .origin = get(at + 24, 8), .receive = get(at + 32, 8),
                                  .transmit = get(at + 40, 8) };
    return ORR_NTP_TAKEN;
}

/* -- Fixed point --------------------------------------------------------------------------------------------------- */
/* Rounded down, also before 1970. */
static int64_t whole_seconds(orr_time wall) { return wall / ORR_SECOND - (wall % ORR_SECOND < 0); }

orr_ntp_stamp orr_ntp_stamp_of(orr_time wall) {
    int64_t seconds = whole_seconds(wall);
    uint64_t ns = (uint64_t)(wall % ORR_SECOND + (wall % ORR_SECOND < 0 ? ORR_SECOND : 0));
    uint64_t fraction = ((ns << 32) + (uint64_t)ORR_SECOND / 2) / (uint64_t)ORR_SECOND;
    orr_ntp_stamp stamp = ((uint64_t)(seconds + seconds_to_1970) << 32) + fraction;
    return stamp ? stamp : 1;               /* 0 would say that there is none; a quarter of a ns is nothing */
}

orr_time orr_ntp_time(orr_ntp_stamp stamp, orr_time near) {
    int64_t middle = whole_seconds(near) + seconds_to_1970;
    int32_t away = (int32_t)((uint32_t)(stamp >> 32) - (uint32_t)middle);
    int64_t seconds = middle + away - seconds_to_1970;
    int64_t ns = (int64_t)(((stamp & UINT32_MAX) * (uint64_t)ORR_SECOND + (UINT64_C(1) << 31)) >> 32);
    /* Before 1970 the fraction counts upward from a second that may itself be out of range: one is lent to it. */
    int64_t lent = seconds < 0;
    orr_time wall;
    if (__builtin_mul_overflow(seconds + lent, ORR_SECOND, &wall) ||
        __builtin_add_overflow(wall, ns - lent * ORR_SECOND, &wall))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return wall;
}

uint32_t orr_ntp_short_of(orr_time span) {
    if (span <= 0) return 0;
    if (span >= (orr_time)65536 * ORR_SECOND) return UINT32_MAX;
    uint64_t v = (((uint64_t)span << 16) + (uint64_t)ORR_SECOND - 1) / (uint64_t)ORR_SECOND;
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

orr_time orr_ntp_span(uint32_t v) { return (orr_time)(((uint64_t)v * (uint64_t)ORR_SECOND + 65535) >> 16); }

orr_time orr_ntp_power(int log2) {
    if (log2 < -29) return 1;
    if (log2 < 0) return ORR_SECOND >> -log2;
    return log2 > 33 ? INT64_MAX : ORR_SECOND << log2;
}
