/* handshake.h - what two nodes tell each other before anything else: who they are, and what they may talk about.
 *
 * HELLO, from either side the first frame:
 *   byte  size  field
 *      0     4  "ORRY"
 *      4     2  oldest protocol version that the sender speaks, little-endian as all numbers here
 *      6     2  newest one
 *      8     8  cluster id: hash of the founding configuration
 *     16     8  node id
 *     24    16  birth id of its data directory
 *     40     4  incarnation: how often that directory was started; durable before it is said
 *     44     8  nonce of this run
 *     52    16  hash of the script bundle
 *     68   128  trail: marks of its last 32 starts, 4 bytes each, this one first; 0: there was none
 *    196     1+ name, with its length before it
 *            1+ how many groups; each: 4 bytes number, 8 durable term, 8 last index stored
 * REFUSED, the last frame:
 *      0     1  reason
 *      1     8  cluster id of who says no
 *      9     8  its node id
 *     17    16  birth id of its data directory
 *     33     1+ text, with its length before it
 * Anybody may answer at an address, so a refusal that costs the refused one its vote must come from who it says: see
 * link.c, proven. */
#ifndef ORRI_HANDSHAKE_H
#define ORRI_HANDSHAKE_H

#include <orrery/base.h>

enum {
    ORRI_PROTOCOL_OLDEST = 1, ORRI_PROTOCOL_NEWEST = 3,
    ORRI_PROTOCOL_RPC = 2,          /* the first that knows frames of kind RPC: others are sent none */
    ORRI_PROTOCOL_BUNDLE = 3,       /* of kind BUNDLE; and that talks to nodes with other scripts */
    ORRI_GROUPS_MAX = 64,
    ORRI_TRAIL = 32,
    ORRI_NAME_MAX = 63,
    ORRI_REFUSAL_TEXT_MAX = 200,
    ORRI_REFUSED_MAX = 33 + 2 + ORRI_REFUSAL_TEXT_MAX,
    ORRI_HELLO_MAX = 68 + 4 * ORRI_TRAIL + 2 + ORRI_NAME_MAX + 2 + ORRI_GROUPS_MAX * 20
};

/* X(enumerator, word): why a handshake was refused. */
#define ORRI_REFUSALS(X)                                                                                               \
    X(ORRI_REFUSED_VERSION, "version")      /* no protocol version in common */                                        \
    X(ORRI_REFUSED_CLUSTER, "cluster")      /* another founding configuration */                                       \
    X(ORRI_REFUSED_STRANGER, "stranger")    /* no node of the file */                                                  \
    X(ORRI_REFUSED_LINK, "link")            /* the topology has no such link */                                        \
    X(ORRI_REFUSED_BUNDLE, "bundle")        /* other scripts: said by nodes before protocol 3 only */                  \
    X(ORRI_REFUSED_BIRTH, "birth")          /* a known name with another data directory */                             \
    X(ORRI_REFUSED_MEMORY, "memory")        /* it has lost what it acknowledged */                                     \
    X(ORRI_REFUSED_BUSY, "busy")            /* try again */                                                            \
    X(ORRI_REFUSED_REMOTE, "remote")        /* a visitor from another machine */

enum orri_refusal {
    ORRI_WELCOME = 0,
#define ORR_X(name, word) name,
    ORRI_REFUSALS(ORR_X)
#undef ORR_X
    ORRI_REFUSAL_KINDS
};
const char *orri_refusal_word(enum orri_refusal reason);

struct orri_hello_group {
    uint32_t group;
    orr_term term;
    orr_index last;
};
struct orri_hello {
    uint16_t oldest, newest;
    uint64_t cluster;
    orr_id id;
    struct orr_birth birth;
    uint32_t incarnation;
    uint64_t nonce;
    struct orr_birth bundle;
    uint32_t trail[ORRI_TRAIL];
    char name[ORRI_NAME_MAX + 1];
    size_t n_groups;
    struct orri_hello_group groups[ORRI_GROUPS_MAX];
};
struct orri_refused {
    enum orri_refusal reason;
    uint64_t cluster;
    orr_id id;
    struct orr_birth birth;
    char text[ORRI_REFUSAL_TEXT_MAX + 1];
};

size_t orri_hello_write(const struct orri_hello *h, unsigned char at[ORRI_HELLO_MAX]);     /* bytes written */
int orri_hello_read(struct orr_slice payload, struct orri_hello *out);                     /* ORR_EINVALID */
size_t orri_refused_write(const struct orri_refused *r, unsigned char *at, size_t cap);
int orri_refused_read(struct orr_slice payload, struct orri_refused *out);                 /* ORR_EINVALID */

#endif
