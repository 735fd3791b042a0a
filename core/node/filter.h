/* filter.h - what keeps a retried batch from being applied twice. Part of the replicated state: in snapshots, in the
 * digest.
 *
 * For each origin the last batch that was applied. A batch counts only if it is exactly the next one of its origin's
 * stream: sequence last + 1 in the same incarnation, or sequence 1 of a later one. So duplicates are dropped wherever
 * they come from, and a gap never closes over something that was lost; the origin sends all that it doesn't see applied
 * again, in order.
 *
 * In a snapshot: 4 bytes how many; each origin: birth 16, incarnation 4, sequence 8, index of its last entry 8.      */
#ifndef ORRI_FILTER_H
#define ORRI_FILTER_H

#include "base/codec.h"
#include "node/batch.h"

enum { ORRI_FILTER_ORIGINS_MAX = 1024, ORRI_FILTER_ENTRY = 36 };

struct orri_filter_entry {
    struct orri_origin_tag last;
    orr_index index;
};
struct orri_filter {
    struct orri_filter_entry *entries;      /* in order of arrival */
    size_t n, cap, hint;
    uint64_t digest;                        /* of all entries, whatever their order */
    const struct orr_alloc *alloc;
};
enum orri_filtered { ORRI_PASS, ORRI_DUPLICATE, ORRI_GAP };

void orri_filter_init(struct orri_filter *f, const struct orr_alloc *alloc);
void orri_filter_clear(struct orri_filter *f);
/* Judges the batch at `index`, and remembers it when it passes. A new origin where there are too many takes the place
 * of the one that was silent the longest. -ENOMEM. */
int orri_filter_judge(struct orri_filter *f, const struct orri_origin_tag *tag, orr_index index,
                      enum orri_filtered *out);
/* Last sequence applied of an origin's incarnation; a later incarnation has made all of it final: UINT64_MAX. */
uint64_t orri_filter_last(const struct orri_filter *f, const struct orr_birth *birth, uint32_t incarnation);

size_t orri_filter_size(const struct orri_filter *f);
void orri_filter_write(const struct orri_filter *f, struct orr_writer *w);
/* Replaces all. ORR_ECORRUPT, -ENOMEM: it is empty then. */
int orri_filter_read(struct orri_filter *f, struct orr_reader *r);

#endif
