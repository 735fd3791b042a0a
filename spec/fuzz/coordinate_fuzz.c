/* coordinate_fuzz.c - any coordinates and round trips to a node that learns from them, and any packets to a keyring:
 * what the node has come to fits and travels, guesses are no less than nothing, and no packet is believed that was not
 * sealed.
 *
 * Each step is a byte that says which, then its bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "membership/arrivals.h"
#include "membership/keyring.h"
#include "membership/vivaldi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t size;
};

/* Zeros behind the end. */
static void bytes(struct input *in, void *out, size_t size) {
    size_t some = size < in->size ? size : in->size;
    memset(out, 0, size);
    if (some) memcpy(out, in->at, some);
    in->at += some;
    in->size -= some;
}
static uint64_t number(struct input *in, size_t size) {
    unsigned char b[8];
    uint64_t v = 0;
    bytes(in, b, size);
    for (size_t i = 0; i < size; i++) v |= (uint64_t)b[i] << 8 * i;
    return v;
}

static void learn(struct input *in, struct orri_vivaldi *v, bool far) {
    unsigned char b[ORRI_COORDINATE], again[ORRI_COORDINATE];
    struct orri_coordinate c, own;
    bytes(in, b, sizeof b);
    orr_id peer = number(in, 1);
    orr_time rtt = (orr_time)number(in, far ? 8 : 5);
    bool fits = orri_coordinate_read(b, &c);
    if (orri_vivaldi_learn(v, peer, &c, rtt) && !fits) abort();
    if (!orri_coordinate_fits(&v->here)) abort();
    if (fits && orri_coordinate_rtt(&v->here, &c) < 0) abort();
    orri_coordinate_write(again, &v->here);
    if (!orri_coordinate_read(again, &own)) abort();
    if (!fits) return;
    orri_coordinate_write(again, &c);
    if (memcmp(b, again, sizeof b) != 0) abort();
}

/* Bytes as they came were sealed by nobody; sealed ones are believed, unless one bit is another. */
static void open(struct input *in, struct orri_keyring *k) {
    unsigned char b[64 + ORRI_CODE];
    size_t size = number(in, 1) % 65, got = size;
    bytes(in, b, size);
    if (orri_keyring_open(k, b, &got, 1, 2) != (k->n == 0) || got != size) abort();
    size_t sealed = orri_keyring_seal(k, b, size, 1, 2);
    got = sealed;
    if (!orri_keyring_open(k, b, &got, 1, 2) || got != size) abort();
    if (k->n == 0) return;
    size_t bit = number(in, 2) % (sealed * 8);
    b[bit / 8] ^= (unsigned char)(1 << bit % 8);
    got = sealed;
    if (orri_keyring_open(k, b, &got, 1, 2)) abort();
}

static void turn_keys(struct input *in, struct orri_keyring *k) {
    unsigned char key[ORRI_KEY];
    unsigned what = (unsigned)number(in, 1), secret = what >> 4;
    orri_keyring_key_of(&secret, sizeof secret, key);
    if (what % 3 == 0) (void)orri_keyring_add(k, key);
    else if (what % 3 == 1) (void)orri_keyring_primary(k, key);
    else (void)orri_keyring_remove(k, key);
    if (k->n > ORRI_KEYS_MAX) abort();
}

static void hear(struct input *in, struct orri_arrivals *a, orr_time *now) {
    if (__builtin_add_overflow(*now, (orr_time)number(in, 6), now)) *now = ORR_NEVER;
    orri_arrivals_heard(a, *now);
    double phi = (double)(1 + number(in, 1));
    orr_time when = orri_arrivals_when(a, phi);
    if (when <= *now && *now < ORR_NEVER) abort();
    if (when < ORR_NEVER && !(orri_arrivals_phi(a, when) >= phi && orri_arrivals_phi(a, when - 1) < phi)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = { data, size };
    struct orri_vivaldi v;
    struct orri_keyring k;
    struct orri_arrivals a;
    orr_time now = 0;
    orri_vivaldi_init(&v, number(&in, 1));
    orri_keyring_init(&k);
    orri_arrivals_init(&a, 1 + (orr_time)number(&in, 5), 1 + (orr_time)number(&in, 4), (orr_time)number(&in, 4));
    while (in.size > 0) {
        unsigned what = (unsigned)number(&in, 1);
        switch (what & 3) {
        case 0: learn(&in, &v, what & 4); break;
        case 1: open(&in, &k); break;
        case 2: turn_keys(&in, &k); break;
        default: hear(&in, &a, &now);
        }
    }
    orri_keyring_clear(&k);
    return 0;
}
