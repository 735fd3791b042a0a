/* handshake.c - encoding of HELLO and REFUSED (format in handshake.h). Decoding is total. Text from a peer is made
 * printable here, so that nobody can write into a log what isn't so.                                                 */
#include "node/handshake.h"

#include <string.h>

#include "base/assert.h"
#include "base/codec.h"

static const unsigned char magic[4] = { 'O', 'R', 'R', 'Y' };

const char *orri_refusal_word(enum orri_refusal reason) {
    switch (reason) {
#define ORR_X(name, word) case name: return word;
    ORRI_REFUSALS(ORR_X)
#undef ORR_X
    case ORRI_WELCOME: case ORRI_REFUSAL_KINDS: break;
    }
    return "welcome";
}

static void read_into(struct orr_reader *r, void *to, size_t size) {
    struct orr_slice s = orri_read_bytes(r, size);
    if (s.size) memcpy(to, s.at, s.size);
}

static void read_text(struct orr_reader *r, char *to, size_t max) {
    struct orr_slice s = orri_read_blob(r, max);
    for (size_t i = 0; i < s.size; i++) to[i] = s.at[i] < 0x20 || s.at[i] > 0x7e ? '?' : (char)s.at[i];
    to[s.size] = '\0';
}

size_t orri_hello_write(const struct orri_hello *h, unsigned char at[ORRI_HELLO_MAX]) {
    struct orr_writer w = orri_writer(at, ORRI_HELLO_MAX);
    orri_write_bytes(&w, magic, sizeof magic);
    orri_write_u16(&w, h->oldest);
    orri_write_u16(&w, h->newest);
    orri_write_u64(&w, h->cluster);
    orri_write_u64(&w, h->id);
    orri_write_bytes(&w, h->birth.b, sizeof h->birth.b);
    orri_write_u32(&w, h->incarnation);
    orri_write_u64(&w, h->nonce);
    orri_write_bytes(&w, h->bundle.b, sizeof h->bundle.b);
    for (size_t i = 0; i < ORRI_TRAIL; i++) orri_write_u32(&w, h->trail[i]);
    orri_write_blob(&w, h->name, strlen(h->name));
    orri_write_varint(&w, h->n_groups);
    for (size_t i = 0; i < h->n_groups; i++) {
        orri_write_u32(&w, h->groups[i].group);
        orri_write_u64(&w, h->groups[i].term);
        orri_write_u64(&w, h->groups[i].last);
    }
    ORR_ASSERT(!w.failed);
    return (size_t)(w.at - at);
}

int orri_hello_read(struct orr_slice payload, struct orri_hello *out) {
    struct orr_reader r = orri_reader(payload.at, payload.size);
    unsigned char m[sizeof magic] = { 0 };
    *out = (struct orri_hello){ 0 };
    read_into(&r, m, sizeof m);
    if (memcmp(m, magic, sizeof m) != 0) return ORR_EINVALID;
    out->oldest = orri_read_u16(&r);
    out->newest = orri_read_u16(&r);
    out->cluster = orri_read_u64(&r);
    out->id = orri_read_u64(&r);
    read_into(&r, out->birth.b, sizeof out->birth.b);
    out->incarnation = orri_read_u32(&r);
    out->nonce = orri_read_u64(&r);
    read_into(&r, out->bundle.b, sizeof out->bundle.b);
    for (size_t i = 0; i < ORRI_TRAIL; i++) out->trail[i] = orri_read_u32(&r);
    read_text(&r, out->name, ORRI_NAME_MAX);
    uint64_t n = orri_read_varint(&r);
    if (r.failed || n > ORRI_GROUPS_MAX || out->id == ORR_NOBODY || out->incarnation == 0) return ORR_EINVALID;
    out->n_groups = (size_t)n;
    for (size_t i = 0; i < out->n_groups; i++) {
        out->groups[i].group = orri_read_u32(&r);
        out->groups[i].term = orri_read_u64(&r);
        out->groups[i].last = orri_read_u64(&r);
    }
    return r.failed || orri_left(&r) ? ORR_EINVALID : 0;
}

size_t orri_refused_write(const struct orri_refused *r, unsigned char *at, size_t cap) {
    struct orr_writer w = orri_writer(at, cap);
    orri_write_u8(&w, (uint8_t)r->reason);
    orri_write_u64(&w, r->cluster);
    orri_write_u64(&w, r->id);
    orri_write_bytes(&w, r->birth.b, sizeof r->birth.b);
    orri_write_blob(&w, r->text, strlen(r->text));
    ORR_ASSERT(!w.failed);
    return (size_t)(w.at - at);
}

int orri_refused_read(struct orr_slice payload, struct orri_refused *out) {
    struct orr_reader r = orri_reader(payload.at, payload.size);
    unsigned reason = orri_read_u8(&r);
    *out = (struct orri_refused){ 0 };
    out->cluster = orri_read_u64(&r);
    out->id = orri_read_u64(&r);
    read_into(&r, out->birth.b, sizeof out->birth.b);
    read_text(&r, out->text, ORRI_REFUSAL_TEXT_MAX);
    if (r.failed || orri_left(&r) || reason == ORRI_WELCOME || reason >= ORRI_REFUSAL_KINDS) return ORR_EINVALID;
    out->reason = (enum orri_refusal)reason;
    return 0;
}
