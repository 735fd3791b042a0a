/* sum.c - XXH3-64 of bytes that come piece by piece.
 *
 * The library's state wants to lie at a multiple of 64, which an allocator need not give.                            */
#define XXH_STATIC_LINKING_ONLY
#include "storage/inner.h"

#include <xxhash.h>

struct orri_sum {
    XXH3_state_t *state;
    unsigned char room[sizeof(XXH3_state_t) + 63];
};

struct orri_sum *orri_sum_new(struct orr_storage *s) {
    struct orri_sum *sum = orri_get(s, sizeof *sum);
    if (!sum) return NULL;
    sum->state = (XXH3_state_t *)(((uintptr_t)sum->room + 63) & ~(uintptr_t)63);
    XXH3_INITSTATE(sum->state);
    orri_sum_reset(sum);
    return sum;
}

void orri_sum_free(struct orr_storage *s, struct orri_sum *sum) { orri_put(s, sum, sizeof *sum); }

void orri_sum_reset(struct orri_sum *sum) { (void)XXH3_64bits_reset(sum->state); }

void orri_sum_add(struct orri_sum *sum, struct orr_slice bytes) {
    if (bytes.size) (void)XXH3_64bits_update(sum->state, bytes.at, bytes.size);
}

uint64_t orri_sum_get(const struct orri_sum *sum) { return XXH3_64bits_digest(sum->state); }
