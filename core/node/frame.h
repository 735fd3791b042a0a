/* frame.h - what two nodes say to each other is cut into frames: head, checksum, payload.
 *
 *   byte  size  field
 *      0     4  size of the payload, little-endian as all numbers here
 *      4     1  version of this format: 1
 *      5     1  channel: 0 control, 1 bulk (control overtakes bulk, at frame borders only)
 *      6     1  kind: enum orri_frame_kind
 *      7     1  CRC-8 (polynomial 0x07) of bytes 0..6 and 8..11
 *      8     4  group; 0: the nodes themselves
 *     12     8  XXH3-64 of the payload, seeded with the XXH3-64 of bytes 0..11
 *     20        payload
 *
 * The length is judged before anything is allocated; byte 7 shows when up to three bits of the head flipped on the
 * way, before the connection waits for megabytes that nobody sends. A frame that lies within one piece of input is
 * handed out in place; one that crosses a border is copied once, into a block of its own; one that is small beside its
 * block is copied too, so that whoever keeps it does not pin the block.                                              */
#ifndef ORRI_FRAME_H
#define ORRI_FRAME_H

#include <orrery/base.h>

enum { ORRI_FRAME_HEAD = 20, ORRI_FRAME_VERSION = 1 };

enum orri_frame_kind {
    ORRI_FRAME_HELLO = 1,           /* handshake.h: the first frame of each side */
    ORRI_FRAME_REFUSED,             /* handshake.h: and the last one */
    ORRI_FRAME_PING,                /* I am here; empty, or with a group: agree.c */
    ORRI_FRAME_ORDER,               /* a message of the group's protocol */
    ORRI_FRAME_FORWARD,             /* forward.h: a batch, to the leader */
    ORRI_FRAME_RESEND,              /* forward.h: the leader did not take it */
    ORRI_FRAME_RPC,                 /* message.h: calls and answers, of the nodes themselves */
    ORRI_FRAME_VISIT,               /* welcome.h: a visitor's first frame */
    ORRI_FRAME_WELCOME,             /* welcome.h: and the node's */
    ORRI_FRAME_BUNDLE,              /* 16 bytes: hash of the scripts that the sender runs from now on */
    ORRI_FRAME_KINDS
};

struct orri_frame {
    enum orri_frame_kind kind;
    unsigned channel;
    uint32_t group;
    struct orr_slice payload;
};

/* Writes the head of a frame whose payload is these slices end to end. */
void orri_frame_head(unsigned char head[ORRI_FRAME_HEAD], const struct orri_frame *frame, const struct orr_slice *parts,
                     size_t n_parts);
/* Size of the whole frame that begins with `head` (ORRI_FRAME_HEAD bytes). ORR_EINVALID: not a frame of ours;
 * ORR_EOVERLOADED: its payload is above payload_max. */
int orri_frame_measure(const unsigned char *head, size_t payload_max, size_t *size);
/* A whole frame, as measured; the payload is a part of it. ORR_ECORRUPT: the checksum differs. */
int orri_frame_decode(struct orr_slice whole, struct orri_frame *out);

/* Puts frames together from pieces of a stream. A value; zero it first. */
struct orri_assembly {
    unsigned char head[ORRI_FRAME_HEAD];
    size_t have, size;              /* of the frame under way; size 0: its head is not complete */
    struct orr_chunk *chunk;        /* where it is put together */
    struct orr_slice last;          /* what was handed out last */
};
/* Takes from *in what belongs to the next frame. 1: *out is it, valid until the next call; 0: *in is used up; or the
 * error of measure or decode, or -ENOMEM: the stream can't be read any further. */
int orri_assembly_next(struct orri_assembly *a, struct orr_chunks *chunks, size_t payload_max, struct orr_slice *in,
                       struct orri_frame *out);
void orri_assembly_clear(struct orri_assembly *a);

#endif
