/* keyring.h - keys that make and check the codes of packets, several at a time so that they can be changed while
 * everything runs.
 *
 * A code is keyed BLAKE2b of 16 bytes (RFC 7693, libsodium's) over sender and receiver, 8 bytes little-endian each, and
 * the bytes: nobody without a key makes a packet, or turns one to another node. It hides nothing, and does not tell a
 * packet from the same one again: what is said has to bear that.
 *
 * A value; its keys are wiped when they go.                                                                          */
#ifndef ORRI_KEYRING_H
#define ORRI_KEYRING_H

#include <orrery/base.h>

enum { ORRI_KEY = 32, ORRI_KEYS_MAX = 8, ORRI_CODE = 16 };

struct orri_keyring {
    unsigned char keys[ORRI_KEYS_MAX][ORRI_KEY];        /* the primary first */
    unsigned n;
};

void orri_keyring_init(struct orri_keyring *k);
void orri_keyring_clear(struct orri_keyring *k);        /* wiped, and as after init */

/* The BLAKE2b-256 of a secret of any length. */
void orri_keyring_key_of(const void *secret, size_t size, unsigned char key[ORRI_KEY]);
/* Copied, behind the others; one that is there is not added twice. ORR_EOVERLOADED: ORRI_KEYS_MAX are there. */
int orri_keyring_add(struct orri_keyring *k, const unsigned char key[ORRI_KEY]);
/* That one makes codes from now on. ORR_EINVALID: it isn't there. */
int orri_keyring_primary(struct orri_keyring *k, const unsigned char key[ORRI_KEY]);
/* ORR_EINVALID: it isn't there, or is the primary and not the last. */
int orri_keyring_remove(struct orri_keyring *k, const unsigned char key[ORRI_KEY]);

/* With a key, puts ORRI_CODE bytes behind `size` of them, for which there must be room. The size that it is then. */
size_t orri_keyring_seal(const struct orri_keyring *k, unsigned char *bytes, size_t size, orr_id from, orr_id to);
/* Was this made so, with any of the keys? Then *size is what it was before. How long that takes tells of the size and
 * of how many keys there are, and no more. Without keys all is believed, and *size stays. */
bool orri_keyring_open(const struct orri_keyring *k, const unsigned char *bytes, size_t *size, orr_id from, orr_id to);

#endif
