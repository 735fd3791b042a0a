/* recent.h - the last records of a stream, within so many bytes, for readers that may be slow.
 *
 * Each record bears a mark; marks never go down, and several records in a row may have one. Whoever reads has a place
 * of its own. What it has not read when it is forgotten is told to it as a gap, and what comes after a gap begins with
 * a whole mark: of one that was forgotten in part, nothing is given. */
#ifndef ORRI_RECENT_H
#define ORRI_RECENT_H

#include <orrery/base.h>

struct orri_recent_record {
    uint64_t mark;
    size_t size;
    unsigned char bytes[];
};
struct orri_recent {
    const struct orr_alloc *alloc;
    struct orri_recent_record **ring;       /* record i is in ring[i & (cap - 1)] */
    size_t cap;
    uint64_t first, next;           /* the oldest that is kept; the one to come */
    uint64_t gone;                  /* the last mark of which something is not kept */
    size_t bytes, bytes_max;
};
struct orri_recent_place {
    uint64_t next;                  /* the record to be read; 0: before all that ever were */
    uint64_t from;                  /* lower marks are not wanted */
};

/* Everything through `gone` is not in it. */
void orri_recent_init(struct orri_recent *r, const struct orr_alloc *alloc, size_t bytes_max, uint64_t gone);
void orri_recent_clear(struct orri_recent *r);
/* A record of these parts; the newest is kept whatever its size. One that finds no memory is forgotten at once, with
 * all that came before it. */
void orri_recent_add(struct orri_recent *r, uint64_t mark, const struct orr_slice *parts, size_t n);
/* Everything through `mark`, whether it came by here or not: readers have a gap. */
void orri_recent_forget(struct orri_recent *r, uint64_t mark);

enum orri_recent_found { ORRI_RECENT_NONE, ORRI_RECENT_RECORD, ORRI_RECENT_GAP };
/* What comes next at a place, which moves on. GAP: what it had not read through *gap is lost. The record is borrowed
 * until the next add or forget. */
enum orri_recent_found orri_recent_read(const struct orri_recent *r, struct orri_recent_place *place,
                                        const struct orri_recent_record **record, uint64_t *gap);

#endif
