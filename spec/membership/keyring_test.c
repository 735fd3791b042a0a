/* keyring_test.c - codes of packets: by another's implementation of BLAKE2b, for whom they hold, rotation, wiping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "membership/keyring.h"

enum { FROM = 77, TO = 88 };

static const unsigned char *key(unsigned char i) {
    static unsigned char keys[256][ORRI_KEY];
    for (unsigned b = 0; b < ORRI_KEY; b++) keys[i][b] = (unsigned char)(i + b);
    return keys[i];
}

/* By Python 3.11: blake2b(pack("<QQ", from, to) + bytes, digest_size=16, key=bytes(range(32))). */
static void is_keyed_blake2b(void **state) {
    (void)state;
    static const unsigned char of_text[] = { 0x8d, 0x0b, 0x45, 0x0b, 0x92, 0x90, 0xac, 0x52,
                                             0x78, 0x59, 0xb4, 0x07, 0xad, 0x0a, 0x1f, 0x39 };
    static const unsigned char of_nothing[] = { 0xfa, 0xfe, 0x6e, 0x5c, 0x0b, 0x06, 0x32, 0x2c,
                                                0x5c, 0x7b, 0x7c, 0x2e, 0x07, 0x65, 0x2e, 0xee };
    struct orri_keyring k;
    unsigned char b[64] = "a packet";
    orri_keyring_init(&k);
    assert_int_equal(orri_keyring_add(&k, key(0)), 0);
    assert_int_equal(orri_keyring_seal(&k, b, 8, 0x0102030405060708, 0x1112131415161718), 24);
    assert_memory_equal(b, "a packet", 8);
    assert_memory_equal(b + 8, of_text, ORRI_CODE);
    assert_int_equal(orri_keyring_seal(&k, b, 0, 0x0102030405060708, 0x1112131415161718), 16);
    assert_memory_equal(b, of_nothing, ORRI_CODE);
    orri_keyring_clear(&k);
}

/* By Python 3.11: blake2b(b"a secret", digest_size=32), and of b"". */
static void makes_keys_of_secrets(void **state) {
    (void)state;
    static const unsigned char of_secret[] = {
        0x08, 0xcc, 0x89, 0x42, 0x54, 0x3e, 0xf4, 0x17, 0x31, 0xb4, 0x51, 0x38, 0x23, 0x46, 0x8f, 0xd3,
        0xd4, 0x26, 0xc7, 0xeb, 0xcd, 0x85, 0x06, 0x50, 0xe8, 0xf3, 0x64, 0x86, 0xc7, 0xb0, 0x7b, 0x40 };
    static const unsigned char of_nothing[] = {
        0x0e, 0x57, 0x51, 0xc0, 0x26, 0xe5, 0x43, 0xb2, 0xe8, 0xab, 0x2e, 0xb0, 0x60, 0x99, 0xda, 0xa1,
        0xd1, 0xe5, 0xdf, 0x47, 0x77, 0x8f, 0x77, 0x87, 0xfa, 0xab, 0x45, 0xcd, 0xf1, 0x2f, 0xe3, 0xa8 };
    unsigned char got[ORRI_KEY];
    orri_keyring_key_of("a secret", 8, got);
    assert_memory_equal(got, of_secret, ORRI_KEY);
    orri_keyring_key_of(NULL, 0, got);
    assert_memory_equal(got, of_nothing, ORRI_KEY);
}

static bool opens(const struct orri_keyring *k, const unsigned char *bytes, size_t size, size_t inner) {
    size_t got = size;
    bool is = orri_keyring_open(k, bytes, &got, FROM, TO);
    assert_int_equal(got, is ? inner : size);
    return is;
}

static void without_a_key_asks_for_none(void **state) {
    (void)state;
    struct orri_keyring k;
    unsigned char b[64] = "a packet";
    orri_keyring_init(&k);
    assert_int_equal(orri_keyring_seal(&k, b, 8, FROM, TO), 8);
    assert_true(opens(&k, b, 8, 8));
    assert_true(opens(&k, b, 0, 0));
}

static void refuses_whatever_was_changed(void **state) {
    (void)state;
    struct orri_keyring k;
    unsigned char b[64] = "a packet";
    orri_keyring_init(&k);
    assert_int_equal(orri_keyring_add(&k, key(1)), 0);
    size_t size = orri_keyring_seal(&k, b, 8, FROM, TO);
    assert_int_equal(size, 24);
    assert_true(opens(&k, b, size, 8));
    for (unsigned bit = 0; bit < size * 8; bit++) {
        b[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(opens(&k, b, size, 8));
        b[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t less = 0; less < size; less++) assert_false(opens(&k, b, less, 0));
    assert_false(opens(&k, b, size + 1, 0));
    size_t got = size;
    assert_false(orri_keyring_open(&k, b, &got, FROM + 1, TO));
    assert_false(orri_keyring_open(&k, b, &got, FROM, TO + 1));
    assert_false(orri_keyring_open(&k, b, &got, TO, FROM));
    assert_int_equal(got, size);
    assert_true(orri_keyring_open(&k, b, &got, FROM, TO));
    orri_keyring_clear(&k);
}

/* Keys that differ in one bit, be it the last, are others. */
static void knows_keys_by_all_of_their_bytes(void **state) {
    (void)state;
    struct orri_keyring ours, theirs;
    unsigned char b[64] = "a packet", other[ORRI_KEY];
    orri_keyring_init(&ours);
    assert_int_equal(orri_keyring_add(&ours, key(1)), 0);
    size_t size = orri_keyring_seal(&ours, b, 8, FROM, TO);
    for (unsigned bit = 0; bit < ORRI_KEY * 8; bit++) {
        memcpy(other, key(1), ORRI_KEY);
        other[bit / 8] ^= (unsigned char)(1 << bit % 8);
        orri_keyring_init(&theirs);
        assert_int_equal(orri_keyring_add(&theirs, other), 0);
        assert_false(opens(&theirs, b, size, 8));
        assert_int_equal(orri_keyring_add(&ours, other), 0);
        assert_int_equal(ours.n, 2);                        /* not one that is there */
        assert_int_equal(orri_keyring_remove(&ours, other), 0);
        assert_int_equal(orri_keyring_primary(&ours, other), ORR_EINVALID);
        orri_keyring_clear(&theirs);
    }
    orri_keyring_clear(&ours);
}

/* Two nodes, step by step as membership.h says: at no step is a packet refused. */
static void rotates(void **state) {
    (void)state;
    struct orri_keyring nodes[2];
    for (unsigned i = 0; i < 2; i++) {
        orri_keyring_init(&nodes[i]);
        assert_int_equal(orri_keyring_add(&nodes[i], key(1)), 0);
    }
    for (unsigned step = 0; step < 6; step++) {
        struct orri_keyring *k = &nodes[step % 2];
        if (step < 2) assert_int_equal(orri_keyring_add(k, key(2)), 0);
        else if (step < 4) assert_int_equal(orri_keyring_primary(k, key(2)), 0);
        else assert_int_equal(orri_keyring_remove(k, key(1)), 0);
        for (unsigned from = 0; from < 2; from++) {
            unsigned char b[64] = "a packet";
            size_t size = orri_keyring_seal(&nodes[from], b, 8, FROM, TO);
            assert_true(opens(&nodes[1 - from], b, size, 8));
        }
    }
    struct orri_keyring old;
    unsigned char b[64] = "a packet";
    orri_keyring_init(&old);
    assert_int_equal(orri_keyring_add(&old, key(1)), 0);
    assert_false(opens(&nodes[0], b, orri_keyring_seal(&old, b, 8, FROM, TO), 8));
    assert_int_equal(nodes[0].n, 1);
    orri_keyring_clear(&old);
}

static void has_room_for_eight(void **state) {
    (void)state;
    struct orri_keyring k;
    unsigned char b[64] = "a packet";
    orri_keyring_init(&k);
    for (unsigned char i = 0; i < ORRI_KEYS_MAX; i++) {
        assert_int_equal(orri_keyring_add(&k, key(i)), 0);
        assert_int_equal(orri_keyring_add(&k, key(i)), 0);
        assert_int_equal(k.n, i + 1);
    }
    assert_int_equal(orri_keyring_add(&k, key(9)), ORR_EOVERLOADED);
    assert_int_equal(orri_keyring_add(&k, key(3)), 0);
    assert_int_equal(orri_keyring_primary(&k, key(7)), 0);
    assert_memory_equal(k.keys[0], key(7), ORRI_KEY);
    for (unsigned char i = 0; i < 7; i++) assert_memory_equal(k.keys[i + 1], key(i), ORRI_KEY);
    size_t size = orri_keyring_seal(&k, b, 8, FROM, TO);
    assert_int_equal(orri_keyring_primary(&k, key(0)), 0);
    assert_true(opens(&k, b, size, 8));
    assert_int_equal(orri_keyring_primary(&k, key(9)), ORR_EINVALID);
    assert_int_equal(orri_keyring_remove(&k, key(9)), ORR_EINVALID);
    assert_int_equal(orri_keyring_remove(&k, key(0)), ORR_EINVALID);       /* the primary */
    assert_int_equal(orri_keyring_remove(&k, key(6)), 0);                  /* the last in line */
    assert_int_equal(orri_keyring_remove(&k, key(7)), 0);
    assert_false(opens(&k, b, size, 8));
    for (unsigned char i = 1; i < 6; i++) assert_int_equal(orri_keyring_remove(&k, key(i)), 0);
    assert_int_equal(orri_keyring_remove(&k, key(0)), 0);                  /* the primary, but there is no other */
    assert_int_equal(k.n, 0);
    assert_int_equal(orri_keyring_remove(&k, key(0)), ORR_EINVALID);
}

static bool bears(const struct orri_keyring *k, const unsigned char *it) {
    for (unsigned i = 0; i < ORRI_KEYS_MAX; i++)
        if (memcmp(k->keys[i], it, ORRI_KEY) == 0) return true;
    return false;
}
static void wipes_what_goes(void **state) {
    (void)state;
    struct orri_keyring k;
    orri_keyring_init(&k);
    for (unsigned char i = 1; i <= 4; i++) assert_int_equal(orri_keyring_add(&k, key(i)), 0);
    assert_int_equal(orri_keyring_remove(&k, key(4)), 0);
    assert_false(bears(&k, key(4)));
    assert_int_equal(orri_keyring_remove(&k, key(2)), 0);
    assert_false(bears(&k, key(2)));
    assert_true(bears(&k, key(3)));
    unsigned copies = 0;
    for (unsigned i = 0; i < ORRI_KEYS_MAX; i++) copies += memcmp(k.keys[i], key(3), ORRI_KEY) == 0;
    assert_int_equal(copies, 1);
    orri_keyring_clear(&k);
    static const struct orri_keyring nothing;
    assert_memory_equal(&k, &nothing, sizeof k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_keyed_blake2b), cmocka_unit_test(makes_keys_of_secrets),
        cmocka_unit_test(without_a_key_asks_for_none),
        cmocka_unit_test(refuses_whatever_was_changed), cmocka_unit_test(knows_keys_by_all_of_their_bytes),
        cmocka_unit_test(rotates), cmocka_unit_test(has_room_for_eight), cmocka_unit_test(wipes_what_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
