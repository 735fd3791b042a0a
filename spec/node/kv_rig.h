/* kv_rig.h - a kv machine under test: ops from printf-like calls, results as text.
 *
 *     rig_init(&r, NULL);
 *     assert_string_equal(run(&r, ORR_KV_SET, 0, 0, 0, 2, "k", "v"), "OK");
 *
 * A result reads: nil, 42, "text", OK, !ERR ..., [a b c]. */
#ifndef SPEC_KV_RIG_H
#define SPEC_KV_RIG_H

#include <orrery/kv.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "node/kv/kv.h"

struct rig {
    struct orr_sink sink;           /* first */
    struct orr_alloc alloc;
    struct orr_chunks *chunks;
    void *m;
    struct orr_at at;
    char text[1 << 16];             /* of the last result */
    size_t n_text, open;            /* open: values that an array still waits for */
    int status;
};

static inline void rig_put(struct rig *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (r->n_text && r->text[r->n_text - 1] != '[') r->n_text += (size_t)snprintf(r->text + r->n_text, 2, " ");
    int n = vsnprintf(r->text + r->n_text, sizeof r->text - r->n_text, format, args);
    va_end(args);
    r->n_text += (size_t)n < sizeof r->text - r->n_text ? (size_t)n : 0;
}
static inline void rig_nil(struct orr_sink *s) { rig_put((struct rig *)(void *)s, "nil"); }
static inline void rig_integer(struct orr_sink *s, int64_t v) {
    rig_put((struct rig *)(void *)s, "%lld", (long long)v);
}
static inline void rig_text(struct orr_sink *s, const void *at, size_t size) {
    rig_put((struct rig *)(void *)s, "\"%.*s\"", (int)(size < 4096 ? size : 4096), (const char *)at);
}
static inline void rig_status(struct orr_sink *s, const char *word) { rig_put((struct rig *)(void *)s, "%s", word); }
static inline void rig_error(struct orr_sink *s, int code, const char *text) {
    (void)code;
    rig_put((struct rig *)(void *)s, "!%s", text);
}
static inline void rig_array(struct orr_sink *s, size_t n) { rig_put((struct rig *)(void *)s, "[%zu:", n); }

static const struct orr_sink_ops rig_ops = { rig_nil, rig_integer, rig_text, rig_status, rig_error, rig_array };

static inline int rig_init_with(struct rig *r, const struct orr_alloc *alloc, uint64_t seed) {
    memset(r, 0, sizeof *r);
    r->sink.ops = &rig_ops;
    r->alloc = alloc ? *alloc : orr_alloc_libc;
    r->chunks = orr_chunks_new(&r->alloc);
    if (!r->chunks) return -1;
    r->at = (struct orr_at){ 0, 1, 1000 * ORR_SECOND };
    struct orr_machine_config cfg = { seed, &r->alloc, r->chunks, NULL, { NULL, NULL } };
    return orr_kv_machine.create(&r->m, &cfg);
}
static inline void rig_init(struct rig *r) {
    if (rig_init_with(r, NULL, 7) < 0) abort();
}
static inline void rig_free(struct rig *r) {
    orr_kv_machine.destroy(r->m);
    orr_chunks_free(r->chunks);
}

static inline const char *run_slices(struct rig *r, unsigned code, unsigned flags, int64_t a, int64_t b,
                                     const struct orr_slice *args, size_t n) {
    struct orr_kv_call call = { code, flags, a, b, args, n };
    size_t size = orr_kv_size(&call);
    unsigned char *bytes = malloc(size);
    if (orr_kv_encode(bytes, size, &call) != size || (size > 1 && orr_kv_encode(bytes, size - 1, &call) != 0)) abort();
    (void)orr_kv_encode(bytes, size, &call);
    r->n_text = 0;
    r->text[0] = 0;
    if (code < 64) {
        r->at.index++;
        r->status = orr_kv_machine.apply(r->m, &r->at, orr_borrow(bytes, size), &r->sink);
        orr_kv_machine.advance(r->m, &r->at);
    } else {
        r->status = orr_kv_machine.query(r->m, &r->at, orr_borrow(bytes, size), &r->sink);
    }
    free(bytes);
    return r->text;
}

/* n strings follow. */
static inline const char *run(struct rig *r, unsigned code, unsigned flags, int64_t a, int64_t b, int n, ...) {
    struct orr_slice args[16];
    va_list list;
    va_start(list, n);
    for (int i = 0; i < n && i < 16; i++) {
        const char *s = va_arg(list, const char *);
        args[i] = orr_borrow(s, strlen(s));
    }
    va_end(list);
    return run_slices(r, code, flags, a, b, args, (size_t)n);
}

static inline uint64_t digest(const struct rig *r) { return orr_kv_machine.digest(r->m); }
static inline struct orri_kv *inside(const struct rig *r) { return r->m; }

/* All of a frozen machine's image, in pieces of `bytes`. */
static inline unsigned char *rig_image(struct rig *r, size_t bytes, size_t *size) {
    unsigned char *image = NULL;
    struct orr_slice part;
    int more = 1;
    *size = 0;
    while (more > 0) {
        more = orr_kv_machine.next(r->m, bytes, &part);
        if (more < 0) break;
        image = realloc(image, *size + part.size + 1);
        if (part.size) memcpy(image + *size, part.at, part.size);
        *size += part.size;
        orr_drop(part);
    }
    return image;
}

/* Into a machine, in parts cut at random. */
static inline int rig_restore(struct rig *r, const unsigned char *image, size_t size, struct orr_rng *rng) {
    int status = orr_kv_machine.restore_begin(r->m);
    for (size_t at = 0, n; at < size && status == 0; at += n) {
        n = rng ? 1 + (size_t)orri_rng_below(rng, 1 + orri_rng_below(rng, 5000)) : size;
        if (n > size - at) n = size - at;
        unsigned char *exact = malloc(n);
        memcpy(exact, image + at, n);
        status = orr_kv_machine.restore_part(r->m, exact, n);
        free(exact);
    }
    int end = orr_kv_machine.restore_end(r->m);
    return status < 0 ? status : end;
}

#endif
