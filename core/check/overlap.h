/* overlap.h - how much of a history could go wrong at all: a read that no write of its key overlaps proves little. */
#ifndef ORRI_CHECK_OVERLAP_H
#define ORRI_CHECK_OVERLAP_H

#include "check/kv.h"

/* Adds the gets among these items of one key to *reads, and those whose time overlaps that of a write. */
static inline void orri_count_overlaps(const struct orri_item *items, uint32_t n, const struct orri_kv_call *calls,
                                       size_t *reads, size_t *overlapping) {
    int64_t written_until = INT64_MIN;          /* latest return of a write invoked so far */
    for (uint32_t i = 0; i < n; i++) {
        const struct orri_item *x = &items[i];
        if (orri_kv_writes(&calls[x->call])) {
            if (x->returned > written_until) written_until = x->returned;
            continue;
        }
        bool overlaps = written_until >= x->invoked;
        for (uint32_t j = i + 1; !overlaps && j < n && items[j].invoked <= x->returned; j++)
            overlaps = orri_kv_writes(&calls[items[j].call]);
        *reads += 1;
        *overlapping += overlaps;
    }
}

#endif
