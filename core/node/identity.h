/* identity.h - who this node is, and whom it has met: the state of group 0.
 *
 *   byte  size  field (little-endian)
 *      0     2  version of this format: 1
 *      2     1  1: disenfranchised: it was told that it lost its memory; it votes for nobody until it is re-admitted
 *      3     1  zero
 *      4     4  incarnation: starts of this directory; raised, and durable, before anything is said to anybody
 *      8    16  birth id
 *     24     8  cluster id: XXH3-64 of the founding configuration
 *     32   128  trail: marks of the last 32 starts, 4 bytes each, the last one first; 0: there was none
 *    160     1+ name of the node, with its length before it
 *            2+ founding configuration: text, with its length before it
 *            1+ how many pins; each: 8 node id, 16 birth id, 4 incarnation, 8 nonce
 *
 * A pin is what a peer last shook hands with. A known name with another birth id, or with an incarnation that is not
 * above its pin (unless it is that very run), has another disk, or an older one, and has forgotten what it once
 * acknowledged. So has one whose incarnation is above the pin but whose trail doesn't lead through it: an older disk
 * that was started several times before anybody heard of it. (After more than 32 unheard starts only the protocols' own
 * memory remains, order.h: greet.) */
#ifndef ORRI_IDENTITY_H
#define ORRI_IDENTITY_H

#include <orrery/base.h>

#include "node/handshake.h"

enum { ORRI_PINS_MAX = 512, ORRI_FOUNDING_MAX = 32 << 10, ORRI_IDENTITY_MAX = 60 << 10 };

struct orri_pin {
    orr_id id;
    struct orr_birth birth;
    uint32_t incarnation;
    uint64_t nonce;
};
struct orri_identity {
    struct orr_birth birth;
    uint32_t incarnation;
    uint64_t nonce;                 /* of this run: not stored */
    uint32_t trail[ORRI_TRAIL];
    uint64_t cluster;
    bool disenfranchised;
    char name[ORRI_NAME_MAX + 1];
    char *founding;                 /* text, founding_size bytes */
    size_t founding_size;
    struct orri_pin *pins;
    size_t n_pins, cap_pins;
    const struct orr_alloc *alloc;
};

void orri_identity_init(struct orri_identity *id, const struct orr_alloc *alloc);
void orri_identity_clear(struct orri_identity *id);
/* A new directory's: the birth id is the caller's to fill. ORR_EINVALID: too long; -ENOMEM. */
int orri_identity_found(struct orri_identity *id, const char *name, const char *founding, size_t size);
/* A new run of this directory: the next incarnation, known by its nonce. */
void orri_identity_begin(struct orri_identity *id, uint64_t nonce);
int orri_identity_read(struct orri_identity *id, struct orr_slice state);          /* ORR_ECORRUPT, -ENOMEM */
size_t orri_identity_size(const struct orri_identity *id);
size_t orri_identity_write(const struct orri_identity *id, unsigned char *at, size_t cap);
/* May this peer be who it says? ORRI_WELCOME (*changed: it has a new pin, which must be durable first), or why not. */
enum orri_refusal orri_identity_meet(struct orri_identity *id, const struct orri_hello *hello, bool *changed);

/* NULL: it was never met. */
const struct orri_pin *orri_identity_pin(const struct orri_identity *id, orr_id peer);

#endif
