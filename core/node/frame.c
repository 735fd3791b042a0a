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

/* CRC-8 (polynomial 7) of a head, over what AT_CHECK does not hold. */
static const unsigned char crc_table[256] = {
    0x00, 0x07, 0x0e, 0x09, 0x1c, 0x1b, 0x12, 0x15, 0x38, 0x3f, 0x36, 0x31, 0x24, 0x23, 0x2a, 0x2d,
    0x70, 0x77, 0x7e, 0x79, 0x6c, 0x6b, 0x62, 0x65, 0x48, 0x4f, 0x46, 0x41, 0x54, 0x53, 0x5a, 0x5d,
    0xe0, 0xe7, 0xee, 0xe9, 0xfc, 0xfb, 0xf2, 0xf5, 0xd8, 0xdf, 0xd6, 0xd1, 0xc4, 0xc3, 0xca, 0xcd,
    0x90, 0x97, 0x9e, 0x99, 0x8c, 0x8b, 0x82, 0x85, 0xa8, 0xaf, 0xa6, 0xa1, 0xb4, 0xb3, 0xba, 0xbd,
    0xc7, 0xc0, 0xc9, 0xce, 0xdb, 0xdc, 0xd5, 0xd2, 0xff, 0xf8, 0xf1, 0xf6, 0xe3, 0xe4, 0xed, 0xea,
    0xb7, 0xb0, 0xb9, 0xbe, 0xab, 0xac, 0xa5, 0xa2, 0x8f, 0x88, 0x81, 0x86, 0x93, 0x94, 0x9d, 0x9a,
    0x27, 0x20, 0x29, 0x2e, 0x3b, 0x3c, 0x35, 0x32, 0x1f, 0x18, 0x11, 0x16, 0x03, 0x04, 0x0d, 0x0a,
    0x57, 0x50, 0x59, 0x5e, 0x4b, 0x4c, 0x45, 0x42, 0x6f, 0x68, 0x61, 0x66, 0x73, 0x74, 0x7d, 0x7a,
    0x89, 0x8e, 0x87, 0x80, 0x95, 0x92, 0x9b, 0x9c, 0xb1, 0xb6, 0xbf, 0xb8, 0xad, 0xaa, 0xa3, 0xa4,
    0xf9, 0xfe, 0xf7, 0xf0, 0xe5, 0xe2, 0xeb, 0xec, 0xc1, 0xc6, 0xcf, 0xc8, 0xdd, 0xda, 0xd3, 0xd4,
    0x69, 0x6e, 0x67, 0x60, 0x75, 0x72, 0x7b, 0x7c, 0x51, 0x56, 0x5f, 0x58, 0x4d, 0x4a, 0x43, 0x44,
    0x19, 0x1e, 0x17, 0x10, 0x05, 0x02, 0x0b, 0x0c, 0x21, 0x26, 0x2f, 0x28, 0x3d, 0x3a, 0x33, 0x34,
    0x4e, 0x49, 0x40, 0x47, 0x52, 0x55, 0x5c, 0x5b, 0x76, 0x71, 0x78, 0x7f, 0x6a, 0x6d, 0x64, 0x63,
    0x3e, 0x39, 0x30, 0x37, 0x22, 0x25, 0x2c, 0x2b, 0x06, 0x01, 0x08, 0x0f, 0x1a, 0x1d, 0x14, 0x13,
    0xae, 0xa9, 0xa0, 0xa7, 0xb2, 0xb5, 0xbc, 0xbb, 0x96, 0x91, 0x98, 0x9f, 0x8a, 0x8d, 0x84, 0x83,
    0xde, 0xd9, 0xd0, 0xd7, 0xc2, 0xc5, 0xcc, 0xcb, 0xe6, 0xe1, 0xe8, 0xef, 0xfa, 0xfd, 0xf4, 0xf3,
};
static unsigned char check_of(const unsigned char *head) {
    unsigned char crc = 0;
    for (unsigned i = 0; i < AT_CHECK; i++) crc = crc_table[crc ^ head[i]];
    for (unsigned i = AT_CHECK + 1; i < AT_SUM; i++) crc = crc_table[crc ^ head[i]];
    return crc;
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
