/* assert.c - how a broken invariant ends: one line on stderr, then abort,
 * so that a core file or a debugger sees where. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void orri_assert_failed(const char *expression, const char *file, int line) {
    fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, expression);
    abort();
}
