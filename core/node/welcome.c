/* welcome.c - encoding of VISIT and WELCOME (format in welcome.h). Decoding is total, text is made printable.        */
#include "node/welcome.h"

#include <string.h>

#include "base/assert.h"
#include "base/codec.h"

static const unsigned char magic[4] = { 'O', 'R', 'R', 'Y' };

static void read_name(struct orr_reader *r, char to[ORRI_NAME_MAX + 1]) {
    struct orr_slice s = orri_read_blob(r, ORRI_NAME_MAX);
    for (size_t i = 0; i < s.size; i++) to[i] = s.at[i] < 0x20 || s.at[i] > 0x7e ? '?' : (char)s.at[i];
    to[s.size] = '\0';
}

size_t orri_visit_hello_write(const struct orri_visit_hello *h, unsigned char at[ORRI_VISIT_MAX]) {
    struct orr_writer w = orri_writer(at, ORRI_VISIT_MAX);
    orri_write_bytes(&w, magic, sizeof magic);
    orri_write_u16(&w, h->oldest);
    orri_write_u16(&w, h->newest);
    orri_write_blob(&w, h->cluster, strlen(h->cluster));
    ORR_ASSERT(!w.failed);
    return (size_t)(w.at - at);
}

int orri_visit_hello_read(struct orr_slice payload, struct orri_visit_hello *out) {
    struct orr_reader r = orri_reader(payload.at, payload.size);
    struct orr_slice m = orri_read_bytes(&r, sizeof magic);
    *out = (struct orri_visit_hello){ 0 };
    if (r.failed || memcmp(m.at, magic, sizeof magic) != 0) return ORR_EINVALID;
    out->oldest = orri_read_u16(&r);
    out->newest = orri_read_u16(&r);
    read_name(&r, out->cluster);
    return r.failed || orri_left(&r) || out->oldest > out->newest ? ORR_EINVALID : 0;
}

size_t orri_welcome_write(const struct orri_welcome *h, unsigned char at[ORRI_WELCOME_MAX]) {
    struct orr_writer w = orri_writer(at, ORRI_WELCOME_MAX);
    orri_write_u16(&w, h->oldest);
    orri_write_u16(&w, h->newest);
    orri_write_u64(&w, h->cluster);
    orri_write_u32(&w, h->incarnation);
    orri_write_u64(&w, h->nonce);
    orri_write_u32(&w, h->bytes_max);
    orri_write_blob(&w, h->node, strlen(h->node));
    orri_write_blob(&w, h->cluster_name, strlen(h->cluster_name));
    ORR_ASSERT(!w.failed);
    return (size_t)(w.at - at);
}

int orri_welcome_read(struct orr_slice payload, struct orri_welcome *out) {
    struct orr_reader r = orri_reader(payload.at, payload.size);
    *out = (struct orri_welcome){ 0 };
    out->oldest = orri_read_u16(&r);
    out->newest = orri_read_u16(&r);
    out->cluster = orri_read_u64(&r);
    out->incarnation = orri_read_u32(&r);
    out->nonce = orri_read_u64(&r);
    out->bytes_max = orri_read_u32(&r);
    read_name(&r, out->node);
    read_name(&r, out->cluster_name);
    return r.failed || orri_left(&r) || out->oldest > out->newest ? ORR_EINVALID : 0;
}
