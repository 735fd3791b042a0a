/* hash.h - hashing and checksums: XXH3, 64 and 128 bits, of one block or of a list of slices. */
#ifndef ORRI_HASH_H
#define ORRI_HASH_H

#include <orrery/base.h>

struct orr_hash128 {
    uint64_t low, high;
};

uint64_t orri_hash64(const void *at, size_t size, uint64_t seed);
struct orr_hash128 orri_hash128(const void *at, size_t size, uint64_t seed);
/* The same as of the slices' bytes end to end. */
uint64_t orri_hash64_slices(const struct orr_slice *parts, size_t n_parts, uint64_t seed);
/* Order-dependent mixing of one word into a running digest. */
uint64_t orri_mix64(uint64_t digest, uint64_t word);

#endif
