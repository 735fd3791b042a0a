/* codec.h - bounded writing and reading of bytes: fixed little-endian integers, varints (LEB128), blobs.
 *
 * Both sides carry an error flag and are total: past the end a writer writes nothing more, a reader gives zeros and
 * empty slices, and `failed` stays set. So a decoder reads a whole head and looks at the flag once.                   */
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
    return (struct orr_reader){ (const unsigned char *)at, (const unsigned char *)at + size, false };
}
static inline size_t orri_left(const struct orr_reader *r) { return (size_t)(r->end - r->at); }

static inline unsigned char *orri_write_room(struct orr_writer *w, size_t size) {
    if (w->failed || (size_t)(w->end - w->at) < size) {
        w->failed = true;
        return NULL;
    }
    unsigned char *at = w->at;
    w->at += size;
    return at;
}
static inline const unsigned char *orri_read_room(struct orr_reader *r, size_t size) {
    if (r->failed || orri_left(r) < size) {
        r->failed = true;
        return NULL;
    }
    const unsigned char *at = r->at;
    r->at += size;
    return at;
}

/* Little-endian whatever the machine. */
static inline void orri_put_le(unsigned char *at, uint64_t v, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) at[i] = (unsigned char)(v >> (8 * i));
}
static inline uint64_t orri_get_le(const unsigned char *at, unsigned bytes) {
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)at[i] << (8 * i);
    return v;
}

#define ORRI_FIXED(name, type, bytes)                                                                                  \
    static inline void orri_write_##name(struct orr_writer *w, type v) {                                              \
        unsigned char *at = orri_write_room(w, bytes);                                                                 \
        if (at) orri_put_le(at, (uint64_t)v, bytes);                                                                   \
    }                                                                                                                  \
    static inline type orri_read_##name(struct orr_reader *r) {                                                       \
        const unsigned char *at = orri_read_room(r, bytes);                                                            \
        return at ? (type)orri_get_le(at, bytes) : 0;                                                                  \
    }
ORRI_FIXED(u8, uint8_t, 1)
ORRI_FIXED(u16, uint16_t, 2)
ORRI_FIXED(u32, uint32_t, 4)
ORRI_FIXED(u64, uint64_t, 8)
ORRI_FIXED(i64, int64_t, 8)
#undef ORRI_FIXED

static inline void orri_write_bytes(struct orr_writer *w, const void *from, size_t size) {
    unsigned char *at = orri_write_room(w, size);
    if (at && size) memcpy(at, from, size);
}
/* `size` bytes of the input, borrowed from it; empty after a failure. */
static inline struct orr_slice orri_read_bytes(struct orr_reader *r, size_t size) {
    const unsigned char *at = orri_read_room(r, size);
    return at ? orr_borrow(at, size) : orr_borrow(NULL, 0);
}

size_t orri_varint_size(uint64_t v);
void orri_write_varint(struct orr_writer *w, uint64_t v);
uint64_t orri_read_varint(struct orr_reader *r);      /* fails on more than 10 bytes, on overflow, on a padded form */
/* Length as varint, then the bytes. The reader fails on a length above `max`. */
void orri_write_blob(struct orr_writer *w, const void *at, size_t size);
struct orr_slice orri_read_blob(struct orr_reader *r, size_t max);

#endif
