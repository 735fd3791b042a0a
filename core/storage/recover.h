/* recover.h - what recover.c and wal_recover.c share while the storage starts. */
#ifndef ORRI_STORAGE_RECOVER_H
#define ORRI_STORAGE_RECOVER_H

#include "storage/inner.h"

/* What a slot says of itself, by its header or its first batch's head, whichever is the later. */
struct orri_claim {
    struct orri_segment *segment;
    uint64_t sequence;              /* 0: nothing */
    uint64_t number, before, oldest;
};
struct orri_recovery {
    struct orr_storage *s;
    struct orri_errand e;
    struct orr_slice names;
    size_t name_at;                 /* the next name's place in `names` */
    const char *name;
    struct orri_segment *opening;
    struct orr_file *snapshot_file;
    uint64_t snapshot_size;
    struct orri_row kept;           /* struct orri_kept: whole snapshots, in no order yet */
    struct orri_claim *claims;
    size_t n_claims, cap_claims;
    /* The scan. */
    size_t k;                       /* of s->segments.used */
    uint64_t at;                    /* in it */
    struct orr_slice piece;
    uint64_t piece_at;
    bool started;                   /* number, chain and oldest are of a batch that was read */
    uint64_t number, chain, oldest;
    struct orri_segment *torn;      /* a segment whose first batch was never whole: to be wiped */
    /* The first that seemed damaged; and is, or was, the newest read alone, for what it says of that? */
    struct orri_segment *suspect;
    uint64_t suspect_sequence, suspect_at;
    enum { ORRI_NOT_ASKED, ORRI_ASKING, ORRI_ASKED } newest_asked;
    /* The search for heads behind a bad batch. */
    struct orri_segment *searched;
    size_t search_claim;            /* all slots are searched: the next */
    uint64_t search_at, search_segment, search_number;
    void (*search_over)(struct orri_recovery *r, bool found);
    char removing[ORRI_SNAPSHOT_NAME];
    char damaged[ORRI_SNAPSHOT_NAME];   /* a snapshot that can't be used; empty: none */
    uint64_t cut;                   /* bytes of an unfinished batch that was cut off; 0: none was seen */
};
/* Ends the recovery with a status; the text stands in s->text. */
void orri_recover_end(struct orri_recovery *r, int status);
void orri_recover_damage(struct orri_recovery *r, const char *name, uint64_t at, int status, const char *what);
/* Goes on where both the log and the names are read. */
void orri_recover_reconcile(struct orri_recovery *r);
/* The log: `claim` for each slot whose beginning was read, then all of it. */
int orri_wal_claim(struct orri_recovery *r, struct orri_segment *segment, struct orr_slice begin);
void orri_wal_recover(struct orri_recovery *r);

#endif
