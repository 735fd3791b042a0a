/* hash.c - XXH3 from libxxhash, and the id of a node.
 *
 * A list of slices is hashed in a state on the stack: no allocation. The functions are compiled in here (which makes
 * that state's type known too): most of what is hashed is a few bytes, and a call of the library costs as much. */
#define XXH_INLINE_ALL
#include "base/hash.h"

#include <string.h>
#include <xxhash.h>

uint64_t orri_hash64(const void *at, size_t size, uint64_t seed) { return XXH3_64bits_withSeed(at, size, seed); }

struct orr_hash128 orri_hash128(const void *at, size_t size, uint64_t seed) {
    XXH128_hash_t h = XXH3_128bits_withSeed(at, size, seed);
    return (struct orr_hash128){ h.low64, h.high64 };
}

/* A few bytes are sooner put side by side than hashed in pieces. */
static bool joined(const struct orr_slice *parts, size_t n_parts, unsigned char *to, size_t cap, size_t *size) {
    *size = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].size > cap - *size) return false;
        if (parts[i].size) memcpy(to + *size, parts[i].at, parts[i].size);
        *size += parts[i].size;
    }
    return true;
}

uint64_t orri_hash64_slices(const struct orr_slice *parts, size_t n_parts, uint64_t seed) {
    unsigned char bytes[512];
    size_t size;
    if (n_parts == 1) return orri_hash64(parts[0].at, parts[0].size, seed);
    if (joined(parts, n_parts, bytes, sizeof bytes, &size)) return orri_hash64(bytes, size, seed);
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    (void)XXH3_64bits_reset_withSeed(&state, seed);
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].size) (void)XXH3_64bits_update(&state, parts[i].at, parts[i].size);
    }
    return XXH3_64bits_digest(&state);
}

/* For each digest a bijection of the word, and the other way round: two runs that differ in one word never meet again
 * but by chance. The constants are XXH64's primes and splitmix64's finish; zeros move it too.                        */
uint64_t orri_mix64(uint64_t digest, uint64_t word) {
    uint64_t x = digest * 0x9e3779b185ebca87 + word + 0x165667b19e3779f9;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

orr_id orr_id_of(const char *name) {
    uint64_t id = XXH3_64bits(name, strlen(name));
    return id == ORR_NOBODY ? 1 : id;
}
