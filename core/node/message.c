/* message.c - encoding of what nodes ask each other (format in message.h). Decoding is total.                        */
#include "node/message.h"

#include "base/assert.h"
#include "base/codec.h"

void orri_message_write(unsigned char *at, const struct orri_message *m) {
    ORR_ASSERT(m->name.size <= UINT8_MAX && m->body.size <= UINT32_MAX);
    at[0] = (unsigned char)m->kind;
    at[1] = (unsigned char)m->name.size;
    at[2] = at[3] = 0;
    orri_put_le(at + 4, m->body.size, 4);
    orri_put_le(at + 8, m->tag, 8);
    orri_put_le(at + 16, (uint64_t)m->when, 8);
    if (m->name.size) memcpy(at + ORRI_MESSAGE_HEAD, m->name.at, m->name.size);
}

int orri_messages_open(struct orr_slice payload, orr_time *clock, size_t *at) {
    if (payload.size < ORRI_MESSAGES_HEAD) return ORR_EINVALID;
    *clock = (orr_time)orri_get_le(payload.at, 8);
    *at = ORRI_MESSAGES_HEAD;
    return *clock < 0 ? ORR_EINVALID : 0;
}

/* Has each kind what belongs to it, and nothing else? */
static bool fits(const struct orri_message *m) {
    switch (m->kind) {
    case ORRI_MESSAGE_NOTHING: return true;
    case ORRI_MESSAGE_CALL: case ORRI_MESSAGE_PROPOSE: case ORRI_MESSAGE_READ: case ORRI_MESSAGE_READ_AGED:
        return m->name.size && m->when >= 0;
    case ORRI_MESSAGE_CAST: return m->name.size && m->when == 0 && m->tag == 0;
    case ORRI_MESSAGE_REPLY: return m->name.size == 0 && m->when <= 0 && m->when > INT32_MIN;
    case ORRI_MESSAGE_CANCEL: return m->name.size == 0 && m->body.size == 0 && m->when == 0;
    case ORRI_MESSAGE_KINDS: break;
    }
    return false;
}

int orri_message_next(struct orr_slice payload, size_t *at, struct orri_message *out) {
    size_t left = payload.size - *at;
    const unsigned char *p = payload.at + *at;
    if (left == 0) return 0;
    if (left < ORRI_MESSAGE_HEAD || p[0] >= ORRI_MESSAGE_KINDS || p[2] || p[3]) return ORR_EINVALID;
    size_t name = p[1], body = (size_t)orri_get_le(p + 4, 4);
    left -= ORRI_MESSAGE_HEAD;
    if (name > left || body > left - name) return ORR_EINVALID;
    *out = (struct orri_message){ (enum orri_message_kind)p[0], orri_get_le(p + 8, 8), (int64_t)orri_get_le(p + 16, 8),
                                  orr_part_of(payload, *at + ORRI_MESSAGE_HEAD, name),
                                  orr_part_of(payload, *at + ORRI_MESSAGE_HEAD + name, body) };
    *at += ORRI_MESSAGE_HEAD + name + body;
    return fits(out) ? 1 : ORR_EINVALID;
}
