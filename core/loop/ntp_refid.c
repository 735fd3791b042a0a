/* ntp_refid.c - how NTP names a server in four bytes (RFC 5905, section 7.3): an IPv4 address is its own name, an IPv6
 * address is known by the first four bytes of its MD5, which others compare to find a loop. */
#include <string.h>

#include "base/digest.h"
#include "loop/ntp_inner.h"

/* As a number whose highest byte goes first on the wire. */
uint32_t orri_ntp_refid(const struct sockaddr_storage *at) {
    struct orr_ntp_address a = orri_ntp_address(at);
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    unsigned char digest[16];
    const unsigned char *name = a.ip + 12;
    if (memcmp(a.ip, mapped, sizeof mapped) != 0) {
        orri_md5(a.ip, sizeof a.ip, digest);
        name = digest;
    }
    return (uint32_t)name[0] << 24 | (uint32_t)name[1] << 16 | (uint32_t)name[2] << 8 | name[3];
}
