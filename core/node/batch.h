/* batch.h - the data of a log entry: the commands of one node's turn, and who they come from.
 *
 *   byte  size  field
 *      0     1  version of this format: 1
 *      1     1  feature level that a reader must know: 0
 *      2     2  zero
 *      4     4  how many commands, little-endian as all numbers here
 *      8    16  origin: birth id; all zero: nobody's, but a leader's: an empty batch moves log time on, one with
 *                commands is what the machine wants first of all (orrery/machine.h: opening)
 *     24     4  origin: incarnation
 *     28     4  zero
 *     32     8  origin: sequence, from 1 within an incarnation; 0 where the origin is nobody
 *     40        each command: 4 bytes size, then its bytes
 *
 * (birth, incarnation, sequence) is the origin tag by which filter.h knows a duplicate. Log and frames have checksums;
 * a batch has none of its own.                                                                                       */
#ifndef ORRI_BATCH_H
#define ORRI_BATCH_H

#include <orrery/base.h>

enum { ORRI_BATCH_HEAD = 40, ORRI_COMMAND_HEAD = 4, ORRI_BATCH_VERSION = 1, ORRI_BATCH_LEVEL = 0 };

struct orri_origin_tag {
    struct orr_birth birth;
    uint32_t incarnation;
    uint64_t sequence;
};
struct orri_batch_head {
    struct orri_origin_tag origin;
    uint32_t count;
};

bool orri_birth_equal(const struct orr_birth *a, const struct orr_birth *b);
bool orri_birth_none(const struct orr_birth *a);            /* all zero */

void orri_batch_head_write(unsigned char at[ORRI_BATCH_HEAD], const struct orri_batch_head *head);
/* A batch of nobody's with this one command; its chunk is owned, NULL: no memory. */
struct orr_slice orri_batch_of_one(struct orr_chunks *chunks, struct orr_slice command);
/* Reads the head and walks over all commands: ORR_EINVALID unless every byte is in its place. */
int orri_batch_open(struct orr_slice batch, struct orri_batch_head *out);
/* Commands of a batch that was opened, in order: *at begins at ORRI_BATCH_HEAD. */
static inline struct orr_slice orri_batch_next(struct orr_slice batch, size_t *at) {
    const unsigned char *p = batch.at + *at;
    size_t size = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    struct orr_slice command = orr_part_of(batch, *at + ORRI_COMMAND_HEAD, size);
    *at += ORRI_COMMAND_HEAD + size;
    return command;
}

#endif
