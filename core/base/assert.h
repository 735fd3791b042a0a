/* assert.h - assertions that stay on in release, and checks that don't.
 *
 * ORR_ASSERT is for our own bugs only, never for outside input, and is cheap (no loops). It prints the expression and
 * ends the process. -DORR_ASSERTS=OFF (which defines ORR_NO_ASSERTS) leaves it out, so that the simulator's oracles can
 * be shown to see what it would have seen. ORR_CHECK may loop; it is there in debug builds and where ORR_CHECKS is
 * defined. */
#ifndef ORRI_ASSERT_H
#define ORRI_ASSERT_H

__attribute__((noreturn)) void orri_assert_failed(const char *expression, const char *file, int line);

#ifdef ORR_NO_ASSERTS
#define ORR_ASSERT(x) ((void)sizeof(!(x)))
#else
#define ORR_ASSERT(x) (__builtin_expect(!!(x), 1) ? (void)0 : orri_assert_failed(#x, __FILE__, __LINE__))
#endif

#if defined(ORR_CHECKS) && !defined(ORR_NO_ASSERTS)
#define ORR_CHECK(x) ORR_ASSERT(x)
#else
#define ORR_CHECK(x) ((void)sizeof(!(x)))
#endif

#endif
