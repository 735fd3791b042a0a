/* jump.c - jump consistent hash, after Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014).
 *
 * As buckets are added one by one, a key jumps to the new one with a chance of 1 in so many; the generator tells at
 * once where it jumps to next. Divisions of doubles are exact enough on every machine: IEEE 754 says what they give. */
#include <orrery/ring.h>

uint32_t orr_jump(uint64_t place, uint32_t buckets) {
    uint64_t bucket = 0, next = 0;
    while (next < buckets) {
        bucket = next;
        place = place * UINT64_C(2862933555777941757) + 1;
        next = (uint64_t)((double)(bucket + 1) * (0x1p31 / (double)((place >> 33) + 1)));
    }
    return (uint32_t)bucket;
}
