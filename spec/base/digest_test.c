/* digest_test.c - MD5 and CRC-32 by their published answers (RFC 1321, appendix A.5; the check value of CRC-32 in the
 * catalogues, 0xcbf43926). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"

static void md5_is_the_rfc_s(void **state) {
    (void)state;
    static const char *const suite[][2] = {
        { "", "d41d8cd98f00b204e9800998ecf8427e" },
        { "a", "0cc175b9c0f1b6a831c399e269772661" },
        { "abc", "900150983cd24fb0d6963f7d28e17f72" },
        { "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
        { "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b" },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f" },
        { "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
          "57edf4a22be3c955ac49da2e2107b67a" },
    };
    for (size_t i = 0; i < sizeof suite / sizeof *suite; i++) {
        unsigned char digest[16];
        char text[33];
        orri_md5(suite[i][0], strlen(suite[i][0]), digest);
        for (size_t k = 0; k < 16; k++) snprintf(text + 2 * k, 3, "%02x", digest[k]);
        assert_string_equal(text, suite[i][1]);
        assert_int_equal(orri_md5_word(digest, 3) >> 24, digest[15]);
        assert_int_equal(orri_md5_word(digest, 0) & 255, digest[0]);
    }
}

static void crc32_is_the_known_one(void **state) {
    (void)state;
    assert_int_equal(orri_crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(orri_crc32(0, "The quick brown fox jumps over the lazy dog", 43), 0x414fa339);
    assert_int_equal(orri_crc32(0, "", 0), 0);
    assert_int_equal(orri_crc32(orri_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
    assert_int_equal(orri_crc32(0xcbf43926, NULL, 0), 0xcbf43926);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(md5_is_the_rfc_s),
        cmocka_unit_test(crc32_is_the_known_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
