/* keyring.c - keyed codes of packets. */
#include "membership/keyring.h"

#include <sodium.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"

_Static_assert(ORRI_CODE >= crypto_generichash_BYTES_MIN && ORRI_KEY <= crypto_generichash_KEYBYTES_MAX &&
               ORRI_KEY >= crypto_generichash_KEYBYTES_MIN, "what BLAKE2b takes");

void orri_keyring_init(struct orri_keyring *k) { *k = (struct orri_keyring){ .n = 0 }; }

void orri_keyring_clear(struct orri_keyring *k) { sodium_memzero(k, sizeof *k); }

void orri_keyring_key_of(const void *secret, size_t size, unsigned char key[ORRI_KEY]) {
    int rc = crypto_generichash(key, ORRI_KEY, secret, size, NULL, 0);
    ORR_ASSERT(rc == 0);
}

/* n: it isn't there. */
static unsigned find(const struct orri_keyring *k, const unsigned char *key) {
    unsigned i = 0;
    while (i < k->n && sodium_memcmp(k->keys[i], key, ORRI_KEY) != 0) i++;
    return i;
}

int orri_keyring_add(struct orri_keyring *k, const unsigned char key[ORRI_KEY]) {
    if (find(k, key) < k->n) return 0;
    if (k->n == ORRI_KEYS_MAX) return ORR_EOVERLOADED;
    memcpy(k->keys[k->n++], key, ORRI_KEY);
    return 0;
}

int orri_keyring_primary(struct orri_keyring *k, const unsigned char key[ORRI_KEY]) {
    unsigned char it[ORRI_KEY];
    unsigned i = find(k, key);
    if (i == k->n) return ORR_EINVALID;
    memcpy(it, k->keys[i], ORRI_KEY);
    memmove(k->keys + 1, k->keys, i * sizeof *k->keys);
    memcpy(k->keys[0], it, ORRI_KEY);
    sodium_memzero(it, sizeof it);
    return 0;
}

int orri_keyring_remove(struct orri_keyring *k, const unsigned char key[ORRI_KEY]) {
    unsigned i = find(k, key);
    if (i == k->n || (i == 0 && k->n > 1)) return ORR_EINVALID;
    k->n--;
    memmove(k->keys + i, k->keys + i + 1, (k->n - i) * sizeof *k->keys);
    sodium_memzero(k->keys[k->n], ORRI_KEY);
    return 0;
}

static void code_of(const unsigned char *key, const unsigned char *bytes, size_t size, orr_id from, orr_id to,
                    unsigned char out[ORRI_CODE]) {
    crypto_generichash_state state;
    unsigned char ends[16];
    orri_put_le(ends, from, 8);
    orri_put_le(ends + 8, to, 8);
    int rc = crypto_generichash_init(&state, key, ORRI_KEY, ORRI_CODE);
    rc |= crypto_generichash_update(&state, ends, sizeof ends);
    rc |= crypto_generichash_update(&state, bytes, size);
    rc |= crypto_generichash_final(&state, out, ORRI_CODE);
    ORR_ASSERT(rc == 0);
    sodium_memzero(&state, sizeof state);
}

size_t orri_keyring_seal(const struct orri_keyring *k, unsigned char *bytes, size_t size, orr_id from, orr_id to) {
    if (k->n == 0) return size;
    code_of(k->keys[0], bytes, size, from, to, bytes + size);
    return size + ORRI_CODE;
}

/* Each key is tried, also when one has fitted. */
bool orri_keyring_open(const struct orri_keyring *k, const unsigned char *bytes, size_t *size, orr_id from, orr_id to) {
    if (k->n == 0) return true;
    if (*size < ORRI_CODE) return false;
    size_t inner = *size - ORRI_CODE;
    unsigned fit = 0;
    for (unsigned i = 0; i < k->n; i++) {
        unsigned char code[ORRI_CODE];
        code_of(k->keys[i], bytes, inner, from, to, code);
        fit |= sodium_memcmp(code, bytes + inner, ORRI_CODE) == 0;
    }
    if (!fit) return false;
    *size = inner;
    return true;
}
