/* codec.c - varints and blobs. One form for each number: a reader refuses padding, so equal values are equal bytes. */
#include "base/codec.h"

size_t orri_varint_size(uint64_t v) {
    size_t size = 1;
    while (v >>= 7) size++;
    return size;
}

void orri_write_varint(struct orr_writer *w, uint64_t v) {
    unsigned char *at = orri_write_room(w, orri_varint_size(v));
    if (!at) return;
    for (; v >= 0x80; v >>= 7) *at++ = (unsigned char)(v | 0x80);
    *at = (unsigned char)v;
}

uint64_t orri_read_varint(struct orr_reader *r) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 7 * ORR_VARINT_MAX; shift += 7) {
        const unsigned char *at = orri_read_room(r, 1);
        if (!at) return 0;
        if (shift == 63 && *at > 1) break;                  /* the tenth byte has room for one bit */
        if (shift > 0 && *at == 0) break;                   /* padded */
        v |= (uint64_t)(*at & 0x7f) << shift;
        if (*at < 0x80) return v;
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
