/* message.h - what nodes ask each other for their hosts, as bytes: the payload of a frame of kind RPC.
 *
 *   byte  size  field (little-endian)
 *      0     8  the sender's clock when the frame leaves, ns
 *      8        messages, as many as there are; each:
 *      0     1  kind: enum orri_message_kind
 *      1     1  size of the name (a handler's or a group's): 1.. where something is asked, else 0
 *      2     2  zero
 *      4     4  size of the body
 *      8     8  tag: the asker's name for the answer; 0 in a cast
 *     16     8  CALL, PROPOSE, READ(_AGED): the deadline by the sender's clock, INT64_MAX: none
 *               REPLY: the status, two's complement, -2^31 < status <= 0. Else 0
 *     24        the name, the body
 *
 * A deadline is no span of time, so that a message may wait in a queue without being written anew: what is left of it
 * follows from the frame's clock, and clocks are never compared.                                                     */
#ifndef ORRI_MESSAGE_H
#define ORRI_MESSAGE_H

#include <orrery/base.h>

enum { ORRI_MESSAGES_HEAD = 8, ORRI_MESSAGE_HEAD = 24 };

enum orri_message_kind {
    ORRI_MESSAGE_NOTHING,           /* withdrawn before it was sent */
    ORRI_MESSAGE_CALL,
    ORRI_MESSAGE_CAST,
    ORRI_MESSAGE_PROPOSE,           /* to a group's replica; the body is the op */
    ORRI_MESSAGE_READ,              /* likewise; the question */
    ORRI_MESSAGE_REPLY,
    ORRI_MESSAGE_CANCEL,            /* nobody waits for that tag any more */
    ORRI_MESSAGE_READ_AGED,         /* READ of a copy that may be old: how old, 8 bytes, ns; the question */
    ORRI_MESSAGE_KINDS
};

struct orri_message {
    enum orri_message_kind kind;
    uint64_t tag;
    int64_t when;                   /* deadline or status */
    struct orr_slice name, body;
};

/* The head and the name; the body follows it. */
static inline size_t orri_message_head_size(const struct orri_message *m) { return ORRI_MESSAGE_HEAD + m->name.size; }
void orri_message_write(unsigned char *at, const struct orri_message *m);
/* Marks one that was written there, and not sent, as withdrawn. */
static inline void orri_message_void(unsigned char *at) { at[0] = ORRI_MESSAGE_NOTHING; }

/* ORR_EINVALID. *at: where the first message begins. */
int orri_messages_open(struct orr_slice payload, orr_time *clock, size_t *at);
/* 1: *out is the next one, its slices parts of the payload; 0: that was all; ORR_EINVALID. */
int orri_message_next(struct orr_slice payload, size_t *at, struct orri_message *out);

#endif
