/* welcome.h - what a visitor (orrery/visit.h) and a node tell each other before anything else.
 *
 * VISIT, a visitor's first frame:
 *   byte  size  field
 *      0     4  "ORRY"
 *      4     2  oldest protocol version that the sender speaks, little-endian as all numbers here
 *      6     2  newest one
 *      8     1+ name of the cluster that it wants, with its length before it; empty: any
 * WELCOME, the node's first one, or REFUSED (handshake.h), its last:
 *      0     2  oldest protocol version
 *      2     2  newest one
 *      4     8  cluster id
 *     12     4  incarnation
 *     16     8  nonce of this run
 *     24     4  bytes that what is asked, and an answer, may have
 *     28     1+ name of the node, with its length before it
 *            1+ name of the cluster
 * Then frames of kind RPC, of group 0: CALL, CAST and CANCEL from the visitor, REPLY from the node. A visitor has no
 * id: nothing but the connection tells one from another.                                                             */
#ifndef ORRI_WELCOME_H
#define ORRI_WELCOME_H

#include "node/handshake.h"

enum { ORRI_VISIT_MAX = 8 + 1 + ORRI_NAME_MAX, ORRI_WELCOME_MAX = 28 + 2 * (1 + ORRI_NAME_MAX) };
/* Bytes beside what is asked or answered: the largest frame of either side is that much larger; or that large, with
 * many messages. */
enum { ORRI_VISIT_BESIDES = 1 << 10, ORRI_VISIT_FRAME_MIN = 512 << 10 };

struct orri_visit_hello {
    uint16_t oldest, newest;
    char cluster[ORRI_NAME_MAX + 1];
};
struct orri_welcome {
    uint16_t oldest, newest;
    uint64_t cluster;
    uint32_t incarnation;
    uint64_t nonce;
    uint32_t bytes_max;
    char node[ORRI_NAME_MAX + 1], cluster_name[ORRI_NAME_MAX + 1];
};

size_t orri_visit_hello_write(const struct orri_visit_hello *h, unsigned char at[ORRI_VISIT_MAX]);  /* bytes written */
int orri_visit_hello_read(struct orr_slice payload, struct orri_visit_hello *out);                  /* ORR_EINVALID */
size_t orri_welcome_write(const struct orri_welcome *w, unsigned char at[ORRI_WELCOME_MAX]);
int orri_welcome_read(struct orr_slice payload, struct orri_welcome *out);                          /* ORR_EINVALID */

/* Of a frame to or from a visitor. */
static inline size_t orri_visit_payload_max(size_t bytes_max) {
    size_t one = bytes_max + ORRI_VISIT_BESIDES;
    return one > ORRI_VISIT_FRAME_MIN ? one : (size_t)ORRI_VISIT_FRAME_MIN;
}

#endif
