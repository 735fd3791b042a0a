/* codec.h - bounded writing and reading of bytes: fixed little-endian integers, varints (LEB128), blobs.
 *
 * Both sides carry an error flag and are total: past the end a writer writes nothing more, a reader gives zeros and
 * empty slices, and `failed` stays set. So a decoder reads a whole head and looks at the flag once. */
#ifndef ORRI_CODEC_H
#define ORRI_CODEC_H

#include <orrery/base.h>
#include <string.h>

struct orr_writer {
    unsigned char *at, *end;
    bool failed;
};
struct orr_reader {
    const unsigned char *at, *end;
    bool failed;
};

#define ORR_VARINT_MAX 10           /* bytes that a varint may take */

static inline struct orr_writer orri_writer(void *at, size_t cap) {
    return (struct orr_writer){ (unsigned char *)at, (unsigned char *)at + cap, false };
}
static inline struct orr_reader orri_reader(const void *at, size_t size) {
    static const unsigned char nothing;     /* an empty slice may be nowhere, and NULL is not to be added to */
    const unsigned char *from = size ? (const unsigned char *)at : &nothing;
    return (struct orr_reader){ from, from + size, false };
}
static inline size_t orri_left(const struct orr_reader *r) { return (size_t)(r->end - r->at); }

/* Whether there is room for, or are, `size` more bytes; if not, the writer or reader has failed. */
static inline bool orri_write_fits(struct orr_writer *w, size_t size) {
    if ((size_t)(w->end - w->at) < size) w->failed = true;
    return !w->failed;
}
static inline bool orri_read_fits(struct orr_reader *r, size_t size) {
    if (orri_left(r) < size) r->failed = true;
    return !r->failed;
}

/* The low `bytes` bytes of v, little-endian whatever the machine. */
static inline uint64_t orri_le(uint64_t v) {
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
}
static inline void orri_put_le(unsigned char *at, uint64_t v, unsigned bytes) {
    v = orri_le(v);
    memcpy(at, &v, bytes);
}
static inline uint64_t orri_get_le(const unsigned char *at, unsigned bytes) {
    uint64_t v = 0;
    memcpy(&v, at, bytes);
    return orri_le(v);
}

#define ORRI_FIXED(name, type, bytes)                                                                                  \
    static inline void orri_write_##name(struct orr_writer *w, type v) {                                               \
        if (!orri_write_fits(w, bytes)) return;                                                                        \
        orri_put_le(w->at, (uint64_t)v, bytes);                                                                        \
        w->at += bytes;                                                                                                \
    }                                                                                                                  \
    static inline type orri_read_##name(struct orr_reader *r) {                                                        \
        if (!orri_read_fits(r, bytes)) return 0;                                                                       \
        r->at += bytes;                                                                                                \
        return (type)orri_get_le(r->at - bytes, bytes);                                                                \
    }
ORRI_FIXED(u8, uint8_t, 1)
ORRI_FIXED(u16, uint16_t, 2)
ORRI_FIXED(u32, uint32_t, 4)
ORRI_FIXED(u64, uint64_t, 8)
ORRI_FIXED(i64, int64_t, 8)
#undef ORRI_FIXED

static inline void orri_write_bytes(struct orr_writer *w, const void *from, size_t size) {
    if (size == 0 || !orri_write_fits(w, size)) return;
    memcpy(w->at, from, size);
    w->at += size;
}
/* `size` bytes of the input, borrowed from it; empty after a failure. */
static inline struct orr_slice orri_read_bytes(struct orr_reader *r, size_t size) {
    if (!orri_read_fits(r, size)) return orr_borrow(NULL, 0);
    r->at += size;
    return orr_borrow(r->at - size, size);
}

size_t orri_varint_size(uint64_t v);
void orri_write_varint_long(struct orr_writer *w, uint64_t v);
uint64_t orri_read_varint_long(struct orr_reader *r);
static inline void orri_write_varint(struct orr_writer *w, uint64_t v) {
    if (v < 0x80) orri_write_u8(w, (uint8_t)v);         /* most of them */
    else orri_write_varint_long(w, v);
}
/* Fails on more than 10 bytes, on overflow, on a padded form. */
static inline uint64_t orri_read_varint(struct orr_reader *r) {
    if (r->at < r->end && *r->at < 0x80 && !r->failed) return *r->at++;
    return orri_read_varint_long(r);
}
/* Length as varint, then the bytes. The reader fails on a length above `max`. */
void orri_write_blob(struct orr_writer *w, const void *at, size_t size);
struct orr_slice orri_read_blob(struct orr_reader *r, size_t max);

#endif
