/* batch.c - reading and writing batches (format in batch.h). Decoding is total, and allocates nothing.               */
#include "node/batch.h"

#include <string.h>

#include "base/codec.h"

bool orri_birth_equal(const struct orr_birth *a, const struct orr_birth *b) {
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool orri_birth_none(const struct orr_birth *a) {
    static const struct orr_birth none;
    return orri_birth_equal(a, &none);
}

void orri_batch_head_write(unsigned char at[ORRI_BATCH_HEAD], const struct orri_batch_head *head) {
    struct orr_writer w = orri_writer(at, ORRI_BATCH_HEAD);
    orri_write_u8(&w, ORRI_BATCH_VERSION);
    orri_write_u8(&w, ORRI_BATCH_LEVEL);
    orri_write_u16(&w, 0);
    orri_write_u32(&w, head->count);
    orri_write_bytes(&w, head->origin.birth.b, sizeof head->origin.birth.b);
    orri_write_u32(&w, head->origin.incarnation);
    orri_write_u32(&w, 0);
    orri_write_u64(&w, head->origin.sequence);
}

struct orr_slice orri_batch_of_one(struct orr_chunks *chunks, struct orr_slice command) {
    size_t size = ORRI_BATCH_HEAD + ORRI_COMMAND_HEAD + command.size;
    struct orr_chunk *c = chunks->get(chunks, size);
    if (!c) return (struct orr_slice){ 0 };
    orri_batch_head_write(c->at, &(struct orri_batch_head){ .count = 1 });
    struct orr_writer w = orri_writer(c->at + ORRI_BATCH_HEAD, size - ORRI_BATCH_HEAD);
    orri_write_u32(&w, (uint32_t)command.size);
    orri_write_bytes(&w, command.at, command.size);
    return (struct orr_slice){ c, c->at, size };
}

static bool head_read(struct orr_reader *r, struct orri_batch_head *out) {
    bool known = orri_read_u8(r) == ORRI_BATCH_VERSION;
    known = orri_read_u8(r) <= ORRI_BATCH_LEVEL && known;
    known = orri_read_u16(r) == 0 && known;
    out->count = orri_read_u32(r);
    struct orr_slice birth = orri_read_bytes(r, sizeof out->origin.birth.b);
    if (birth.size) memcpy(out->origin.birth.b, birth.at, birth.size);
    out->origin.incarnation = orri_read_u32(r);
    known = orri_read_u32(r) == 0 && known;
    out->origin.sequence = orri_read_u64(r);
    return known && !r->failed;
}

int orri_batch_open(struct orr_slice batch, struct orri_batch_head *out) {
    struct orr_reader r = orri_reader(batch.at, batch.size);
    if (!head_read(&r, out)) return ORR_EINVALID;
    if (orri_birth_none(&out->origin.birth) && (out->origin.incarnation || out->origin.sequence))
        return ORR_EINVALID;
    if (!orri_birth_none(&out->origin.birth) && (!out->origin.incarnation || !out->origin.sequence))
        return ORR_EINVALID;
    for (uint32_t i = 0; i < out->count && !r.failed; i++) (void)orri_read_bytes(&r, orri_read_u32(&r));
    return r.failed || orri_left(&r) ? ORR_EINVALID : 0;
}
