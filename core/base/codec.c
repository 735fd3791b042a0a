/* codec.c - varints and blobs. One form for each number: a reader refuses padding, so equal values are equal bytes. */
#include "base/codec.h"

size_t orri_varint_size(uint64_t v) {
    unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
    return (bits + 6) / 7;
}

void orri_write_varint_long(struct orr_writer *w, uint64_t v) {
    if (!orri_write_fits(w, orri_varint_size(v))) return;
    unsigned char *at = w->at;
    for (; v >= 0x80; v >>= 7) *at++ = (unsigned char)(v | 0x80);
    *at++ = (unsigned char)v;
    w->at = at;
}

uint64_t orri_read_varint_long(struct orr_reader *r) {
    uint64_t v = 0;
    const unsigned char *at = r->at;
    for (unsigned shift = 0; !r->failed && at < r->end; shift += 7) {
        unsigned char byte = *at++;
        if (shift == 63 && byte > 1) break;                 /* the tenth byte has room for one bit, and is the last */
        if (shift > 0 && byte == 0) break;                  /* padded */
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte >= 0x80) continue;
        r->at = at;
        return v;
    }
    r->failed = true;
    return 0;
}

void orri_write_blob(struct orr_writer *w, const void *at, size_t size) {
    orri_write_varint(w, size);
    orri_write_bytes(w, at, size);
}

struct orr_slice orri_read_blob(struct orr_reader *r, size_t max) {
    uint64_t size = orri_read_varint(r);
    if (size > max) r->failed = true;
    return r->failed ? orr_borrow(NULL, 0) : orri_read_bytes(r, (size_t)size);
}
