/* ntp_refid.c - how NTP names a server in four bytes (RFC 5905, section 7.3): an IPv4 address is its own name, an IPv6
 * address is known by the first four bytes of its MD5 (RFC 1321), which others compare to find a loop. The message is
 * always 16 bytes, so it is one block. */
#include <math.h>
#include <string.h>

#include "loop/ntp_inner.h"

static uint32_t rotated(uint32_t x, unsigned by) { return x << by | x >> (32 - by); }

static uint32_t little(const unsigned char *at) {
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

/* The first word of the digest. */
static uint32_t md5_of_16(const unsigned char ip[16]) {
    static const unsigned char shifts[4][4] = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 },
                                                { 6, 10, 15, 21 } };
    uint32_t x[16] = { little(ip), little(ip + 4), little(ip + 8), little(ip + 12), 0x80, [14] = 128 };
    uint32_t a = 0x67452301, b = 0xefcdab89, c = 0x98badcfe, d = 0x10325476;
    for (unsigned i = 0; i < 64; i++) {
        unsigned round = i / 16, k = round == 0 ? i : round == 1 ? 5 * i + 1 : round == 2 ? 3 * i + 5 : 7 * i;
        uint32_t f = round == 0   ? (b & c) | (~b & d)
                     : round == 1 ? (d & b) | (~d & c)
                     : round == 2 ? b ^ c ^ d
                                  : c ^ (b | ~d);
        uint32_t sum = a + f + x[k % 16] + (uint32_t)(fabs(sin(i + 1)) * 4294967296.0);
        a = d;
        d = c;
        c = b;
        b += rotated(sum, shifts[round][i % 4]);
    }
    return a + 0x67452301;
}

/* As a number whose highest byte goes first on the wire. */
uint32_t orri_ntp_refid(const struct sockaddr_storage *at) {
    struct orr_ntp_address a = orri_ntp_address(at);
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (memcmp(a.ip, mapped, sizeof mapped) == 0) return __builtin_bswap32(little(a.ip + 12));
    return __builtin_bswap32(md5_of_16(a.ip));
}
