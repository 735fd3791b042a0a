/* agree.h - do the replicas of a group have the same state? A group's part of comparing digests (agree.c). */
#ifndef ORRI_AGREE_H
#define ORRI_AGREE_H

#include <orrery/order.h>

enum {
    ORRI_AGREE_STEP = 64, ORRI_AGREE_MARKS = 128, ORRI_AGREE_RECENT = 64, ORRI_AGREE_VOTERS = 7,
    ORRI_AGREE_SIZE = 24
};

struct orri_mark {                  /* the state's digest at an index */
    orr_index index;                /* 0: none */
    uint64_t digest;
};
struct orri_agree {
    struct orri_mark marks[ORRI_AGREE_MARKS];       /* our own, at multiples of the step */
    struct orri_mark recent[ORRI_AGREE_RECENT];     /* and at the last ones */
    struct orri_mark said[ORRI_AGREE_VOTERS];       /* by each voter last, not compared yet */
    orr_index same[ORRI_AGREE_VOTERS];              /* the last at which each voter had what we have */
    orr_index asked[ORRI_AGREE_VOTERS];             /* what each voter asks for: answered once it is applied here */
    struct orri_mark votes[ORRI_AGREE_VOTERS];      /* on the open dispute */
    struct orri_mark open;          /* the dispute: our own mark. index 0: none */
    orr_time open_until;
    orr_index settled;              /* up to here there is nothing to dispute any more */
    unsigned unsettled;             /* disputes in a row that came to nothing */
    orr_index told, seen;           /* last mark told to all; last applied at the last beat */
    orr_time beat;                  /* not before then */
};

struct orri_report {                /* payload of a PING with a group */
    bool asks;
    struct orri_mark mark;
};
void orri_report_write(unsigned char at[ORRI_AGREE_SIZE], const struct orri_report *r);
int orri_report_read(struct orr_slice payload, struct orri_report *out);    /* ORR_EINVALID: none of this version */

#endif
