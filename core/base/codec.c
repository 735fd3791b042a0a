/* codec.c - varints and blobs. One form for each number: a reader refuses padding, so equal values are equal bytes. */
#include "base/codec.h"

size_t orri_varint_size(uint64_t v) {
    size_t size = 1;
    while (v >>= 7) size++;
    return size;
}

void orri_write_varint(struct orr_writer *w, uint64_t v) {
    if (!orri_write_fits(w, orri_varint_size(v))) return;
    for (; v >= 0x80; v >>= 7) *w->at++ = (unsigned char)(v | 0x80);
    *w->at++ = (unsigned char)v;
}

uint64_t orri_read_varint(struct orr_reader *r) {
    uint64_t v = 0;
    for (unsigned shift = 0; orri_read_fits(r, 1); shift += 7) {
        unsigned char byte = *r->at++;
        if (shift == 63 && byte > 1) break;                 /* the tenth byte has room for one bit, and is the last */
        if (shift > 0 && byte == 0) break;                  /* padded */
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return v;
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
