/* support/alloc.c - the counting, failing allocator. Each block bears its size in front, to be held against what the
 * caller says; growth always moves, so that a stale pointer is seen by AddressSanitizer.                             */
#include "support/alloc.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

struct front {
    _Alignas(max_align_t) size_t size;
};

static void *take(struct spec_alloc *a, size_t size) {
    if (++a->n_calls == a->fail_at) {
        a->failed = true;
        return NULL;
    }
    struct front *front = malloc(sizeof *front + size);
    assert_non_null(front);
    front->size = size;
    a->n_live++;
    a->bytes_live += size;
    memset(front + 1, 0xa5, size);
    return front + 1;
}

static void give(struct spec_alloc *a, void *ptr, size_t size) {
    struct front *front = (struct front *)ptr - 1;
    assert_int_equal(front->size, size);
    a->n_live--;
    a->bytes_live -= size;
    free(front);
}

static void *spec_alloc(void *ud, void *ptr, size_t old_size, size_t new_size) {
    struct spec_alloc *a = ud;
    if (!ptr) assert_int_equal(old_size, 0);
    void *new = NULL;
    if (new_size) {
        new = take(a, new_size);
        if (!new) return NULL;
        if (ptr) memcpy(new, ptr, old_size < new_size ? old_size : new_size);
    }
    if (ptr) give(a, ptr, old_size);
    return new;
}

struct orr_alloc spec_alloc_of(struct spec_alloc *a) { return (struct orr_alloc){ spec_alloc, a }; }

void spec_alloc_check(const struct spec_alloc *a) {
    assert_int_equal(a->n_live, 0);
    assert_int_equal(a->bytes_live, 0);
}
