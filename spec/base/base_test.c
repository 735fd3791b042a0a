/* base_test.c - errors have texts and words, the version is the header's, asserts end the process. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include <orrery/base.h>

static void every_error_has_a_text_and_a_word_of_the_design(void **state) {
    (void)state;
    static const char words[] = " timeout unknown failed unavailable no_leader conflict denied invalid overloaded"
                                " corrupt full closed canceled ";
#define ORR_X(name, number, word, text)                                                                                \
    assert_string_equal(orr_strerror(name), text);                                                                     \
    assert_string_equal(orr_error_word(name), word);                                                                   \
    assert_non_null(strstr(words, " " word " "));
    ORR_ERRORS(ORR_X)
#undef ORR_X
    assert_string_equal(orr_strerror(ORR_EFULL), "no room on the disk");
    assert_string_equal(orr_error_word(-ENOSPC), "full");
    assert_string_equal(orr_error_word(-ECONNRESET), "failed");
    assert_string_equal(orr_strerror(-ENOENT), "No such file or directory");
    assert_string_equal(orr_strerror(0), "no error");
    static const int strange[] = { 1, -999, -1000, -2000, INT_MIN, INT_MAX };
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        assert_string_equal(orr_strerror(strange[i]), "no such error");
        assert_string_equal(orr_error_word(strange[i]), "failed");
    }
}

static void the_version_is_the_headers(void **state) {
    (void)state;
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", ORR_VERSION_MAJOR, ORR_VERSION_MINOR, ORR_VERSION_PATCH);
    assert_string_equal(orr_version(), expected);
}

static void libc_as_an_allocator_grows_shrinks_and_frees(void **state) {
    (void)state;
    const struct orr_alloc *a = &orr_alloc_libc;
    char *p = a->fn(a->ud, NULL, 0, 4);
    memcpy(p, "abc", 4);
    p = a->fn(a->ud, p, 4, 1 << 16);
    assert_string_equal(p, "abc");
    p = a->fn(a->ud, p, 1 << 16, 2);
    assert_memory_equal(p, "ab", 2);
    assert_null(a->fn(a->ud, p, 2, 0));
}

#ifndef ORR_NO_ASSERTS
static void a_broken_invariant_says_where_and_aborts(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        ORR_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    char text[200] = { 0 };
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "base_test.c:"));
    assert_non_null(strstr(text, "1 + 1 == 3"));
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_text_and_a_word_of_the_design),
        cmocka_unit_test(the_version_is_the_headers),
        cmocka_unit_test(libc_as_an_allocator_grows_shrinks_and_frees),
#ifndef ORR_NO_ASSERTS
        cmocka_unit_test(a_broken_invariant_says_where_and_aborts),
#endif
    };
    return cmocka_run_group_tests_name("base.base", tests, NULL, NULL);
}
