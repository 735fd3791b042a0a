/* base.c - the small things of orrery/base.h: error texts, version, libc as an allocator. */
#define _GNU_SOURCE                 /* strerrordesc_np: the untranslated, static text of an errno */
#include <orrery/base.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *orr_strerror(int error) {
    switch (error) {
    case 0: return "no error";
#define ORR_X(name, number, word, text) case name: return text;
    ORR_ERRORS(ORR_X)
#undef ORR_X
    default: break;
    }
    const char *text = error < 0 && error > -1000 ? strerrordesc_np(-error) : NULL;
    return text ? text : "no such error";
}

const char *orr_error_word(int error) {
    switch (error) {
    case 0: return "ok";
    case -ENOSPC: return "full";
#define ORR_X(name, number, word, text) case name: return word;
    ORR_ERRORS(ORR_X)
#undef ORR_X
    default: return "failed";
    }
}

#define TEXT_OF(x) #x
#define DOTTED(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *orr_version(void) { return DOTTED(ORR_VERSION_MAJOR, ORR_VERSION_MINOR, ORR_VERSION_PATCH); }

static void *libc_alloc(void *ud, void *ptr, size_t old_size, size_t new_size) {
    (void)ud;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

const struct orr_alloc orr_alloc_libc = { libc_alloc, NULL };
