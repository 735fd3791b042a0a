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

/* Of eight bytes the low seven bits of each, side by side. */
static uint64_t squeezed(uint64_t x) {
    x &= 0x7f7f7f7f7f7f7f7f;
    x = (x & 0x007f007f007f007f) | (x & 0x7f007f007f007f00) >> 1;
    x = (x & 0x00003fff00003fff) | (x & 0x3fff00003fff0000) >> 2;
    return (x & 0x000000000fffffff) | (x & 0x0fffffff00000000) >> 4;
}

/* What ten readable bytes begin with, most often an id of nine or ten bytes: its length, or 0 where it is none. */
static size_t read_wide(const unsigned char *at, uint64_t *v) {
    uint64_t eight = orri_get_le(at, 8), ends = ~eight & 0x8080808080808080;
    if (ends) {
        unsigned last = (unsigned)__builtin_ctzll(ends) / 8;
        *v = squeezed(eight & (UINT64_MAX >> (56 - 8 * last)));
        return last > 0 && at[last] == 0 ? 0 : last + 1;
    }
    *v = squeezed(eight) | (uint64_t)at[8] << 56;           /* its top bit goes on: then the tenth byte is a one */
    if (at[8] < 0x80) return at[8] == 0 ? 0 : 9;
    return at[9] == 1 ? 10 : 0;
}

uint64_t orri_read_varint_long(struct orr_reader *r) {
    uint64_t v = 0;
    const unsigned char *at = r->at;
    if (!r->failed && orri_left(r) >= ORR_VARINT_MAX) {
        size_t size = read_wide(at, &v);
        r->at = at + size;
        r->failed = size == 0;
        return size ? v : 0;
    }
    for (unsigned shift = 0; !r->failed && at < r->end; shift += 7) {
        unsigned char byte = *at++;
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
