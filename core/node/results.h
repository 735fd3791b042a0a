/* results.h - what a machine tells a sink, as bytes, so that another node's sink hears the same.
 *
 *   a value:  1 kind, then  nil: nothing; integer: 8 bytes; text, status: size (varint), bytes;
 *                           error: 4 bytes code, its sign turned, size (varint), bytes; array: how many values follow
 *                           (varint)
 *
 * Little-endian. Words of a status are at most ORRI_WORD_MAX bytes, texts of an error ORRI_ERROR_MAX: longer ones are
 * cut. Values are told in a row, whole ones, any number of them.                                                     */
#ifndef ORRI_RESULTS_H
#define ORRI_RESULTS_H

#include <orrery/machine.h>

enum { ORRI_WORD_MAX = 63, ORRI_ERROR_MAX = 1023 };

/* A sink that writes them down behind `head` bytes that its owner fills. */
struct orri_results {
    struct orr_sink sink;           /* first */
    struct orr_chunks *chunks;
    struct orr_chunk *chunk;        /* NULL: nothing was told */
    size_t head, size, max;
    int status;                     /* ORR_EFAILED: more than max; -ENOMEM */
};
void orri_results_init(struct orri_results *r, struct orr_chunks *chunks, size_t head, size_t max);
/* What was told, and room for the head: owned. Empty where memory was out. */
struct orr_slice orri_results_take(struct orri_results *r);
void orri_results_clear(struct orri_results *r);

/* Checks all, then tells it to the sink. ORR_EINVALID: nothing was told. */
int orri_results_tell(struct orr_slice bytes, struct orr_sink *sink);

#endif
