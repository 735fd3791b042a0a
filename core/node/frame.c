/* frame.c - frames between nodes: their head, their checksum, and how they are put together again (format in frame.h).
 *
 * Decoding is total: any bytes give a frame or an error, and never make more be allocated than the limit that the
 * caller gave. Where the fuzzers build this, the checksum always fits: they are to reach what lies behind it.        */
#include "node/frame.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/hash.h"

enum {
    AT_VERSION = 4, AT_CHANNEL = 5, AT_KIND = 6, AT_CHECK = 7, AT_GROUP = 8, AT_SUM = 12,
    PIN_FACTOR = 8                  /* a frame under an eighth of its block leaves it */
};

/* CRC-8 of a head, four bits at a time, over what AT_CHECK does not hold. */
static unsigned char check_of(const unsigned char *head) {
    static const unsigned char table[16] = { 0x00, 0x07, 0x0e, 0x09, 0x1c, 0x1b, 0x12, 0x15,
                                             0x38, 0x3f, 0x36, 0x31, 0x24, 0x23, 0x2a, 0x2d };
    unsigned crc = 0;
    for (unsigned i = 0; i < AT_SUM; i++) {
        if (i == AT_CHECK) continue;
        crc ^= head[i];
        crc = (crc << 4 & 0xff) ^ table[crc >> 4];
        crc = (crc << 4 & 0xff) ^ table[crc >> 4];
    }
    return (unsigned char)crc;
}

static uint64_t checksum(const unsigned char *head, const struct orr_slice *parts, size_t n_parts) {
    return orri_hash64_slices(parts, n_parts, orri_hash64(head, AT_SUM, 0));
}

void orri_frame_head(unsigned char head[ORRI_FRAME_HEAD], const struct orri_frame *frame, const struct orr_slice *parts,
                     size_t n_parts) {
    size_t size = 0;
    for (size_t i = 0; i < n_parts; i++) size += parts[i].size;
    ORR_ASSERT(size <= UINT32_MAX);
    orri_put_le(head, size, 4);
    head[AT_VERSION] = ORRI_FRAME_VERSION;
    head[AT_CHANNEL] = (unsigned char)frame->channel;
    head[AT_KIND] = (unsigned char)frame->kind;
    orri_put_le(head + AT_GROUP, frame->group, 4);
    head[AT_CHECK] = check_of(head);
    orri_put_le(head + AT_SUM, checksum(head, parts, n_parts), 8);
}

int orri_frame_measure(const unsigned char *head, size_t payload_max, size_t *size) {
    if (head[AT_VERSION] != ORRI_FRAME_VERSION || head[AT_CHANNEL] > 1) return ORR_EINVALID;
#ifndef ORR_FUZZING
    if (head[AT_CHECK] != check_of(head)) return ORR_EINVALID;
#endif
    if (head[AT_KIND] == 0 || head[AT_KIND] >= ORRI_FRAME_KINDS) return ORR_EINVALID;
    uint64_t payload = orri_get_le(head, 4);
    if (payload > payload_max) return ORR_EOVERLOADED;
    *size = ORRI_FRAME_HEAD + (size_t)payload;
    return 0;
}

int orri_frame_decode(struct orr_slice whole, struct orri_frame *out) {
    ORR_ASSERT(whole.size >= ORRI_FRAME_HEAD);
    out->kind = (enum orri_frame_kind)whole.at[AT_KIND];
    out->channel = whole.at[AT_CHANNEL];
    out->group = (uint32_t)orri_get_le(whole.at + AT_GROUP, 4);
    out->payload = orr_part_of(whole, ORRI_FRAME_HEAD, whole.size - ORRI_FRAME_HEAD);
#ifndef ORR_FUZZING
    if (checksum(whole.at, &out->payload, 1) != orri_get_le(whole.at + AT_SUM, 8)) return ORR_ECORRUPT;
#endif
    return 0;
}

/* -- Assembly ------------------------------------------------------------------------------------------------------ */
static void take(struct orr_slice *in, void *to, size_t size) {
    memcpy(to, in->at, size);
    in->at += size;
    in->size -= size;
}

static int hand_out(struct orri_assembly *a, struct orr_slice whole, struct orri_frame *out) {
    a->last = whole;
    int rc = orri_frame_decode(whole, out);
    return rc < 0 ? rc : 1;
}

/* The frame lies in *in as a whole, and is a good part of what its block holds: no copy. */
static bool lies_whole(const struct orr_slice *in, size_t size) {
    return in->size >= size && in->chunk && size >= in->chunk->cap / PIN_FACTOR;
}

static int begin(struct orri_assembly *a, struct orr_chunks *chunks) {
    a->chunk = chunks->get(chunks, a->size);
    if (!a->chunk) return -ENOMEM;
    memcpy(a->chunk->at, a->head, ORRI_FRAME_HEAD);
    return 0;
}

int orri_assembly_next(struct orri_assembly *a, struct orr_chunks *chunks, size_t payload_max, struct orr_slice *in,
                       struct orri_frame *out) {
    orr_drop(a->last);
    a->last = (struct orr_slice){ 0 };
    if (a->have < ORRI_FRAME_HEAD) {
        size_t n = ORRI_FRAME_HEAD - a->have < in->size ? ORRI_FRAME_HEAD - a->have : in->size;
        if (n == 0) return 0;
        take(in, a->head + a->have, n);
        a->have += n;
        if (a->have < ORRI_FRAME_HEAD) return 0;
        int rc = orri_frame_measure(a->head, payload_max, &a->size);
        if (rc < 0) return rc;
        if (n == ORRI_FRAME_HEAD) {                 /* the head came in one piece: perhaps all of it did */
            struct orr_slice whole = { in->chunk, in->at - n, in->size + n };
            if (lies_whole(&whole, a->size)) {
                *in = orr_part_of(whole, a->size, whole.size - a->size);
                a->have = 0;
                return hand_out(a, orr_hold(orr_part_of(whole, 0, a->size)), out);
            }
        }
        rc = begin(a, chunks);
        if (rc < 0) return rc;
    }
    size_t n = a->size - a->have < in->size ? a->size - a->have : in->size;
    take(in, a->chunk->at + a->have, n);
    a->have += n;
    if (a->have < a->size) return 0;
    struct orr_slice whole = { a->chunk, a->chunk->at, a->size };
    a->chunk = NULL;                                /* its reference is a->last's now */
    a->have = 0;
    return hand_out(a, whole, out);
}

void orri_assembly_clear(struct orri_assembly *a) {
    orr_chunk_drop(a->chunk);
    orr_drop(a->last);
    *a = (struct orri_assembly){ 0 };
}
