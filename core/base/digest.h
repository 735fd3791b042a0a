/* digest.h - the digests of other programs' formats: MD5 (RFC 1321), CRC-32 (ISO 3309, as in zlib). Neither guards
 * against anybody. */
#ifndef ORRI_DIGEST_H
#define ORRI_DIGEST_H

#include <orrery/base.h>

void orri_md5(const void *at, size_t size, unsigned char out[16]);
/* Of bytes end to end: begins with crc = 0, goes on with what it gave. */
uint32_t orri_crc32(uint32_t crc, const void *at, size_t size);

/* Word 0 to 3 of a digest, its first byte the lowest. */
static inline uint32_t orri_md5_word(const unsigned char digest[16], unsigned word) {
    const unsigned char *at = digest + (size_t)4 * word;
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

#endif
