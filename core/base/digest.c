/* digest.c - MD5 from libmd, CRC-32 from zlib. */
#include "base/digest.h"

#include <md5.h>
#include <sys/types.h>
#include <zlib.h>

void orri_md5(const void *at, size_t size, unsigned char out[16]) {
    MD5_CTX state;
    MD5Init(&state);
    MD5Update(&state, at, size);
    MD5Final(out, &state);
}

uint32_t orri_crc32(uint32_t crc, const void *at, size_t size) {
    return size ? (uint32_t)crc32_z(crc, at, size) : crc;       /* of no bytes at no place zlib says 0 */
}
