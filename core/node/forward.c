/* forward.c - frames of forwarding (format in forward.h), and the leader's bookkeeping of an origin's stream.        */
#include "node/forward.h"

#include "base/codec.h"

void orri_forward_write(unsigned char at[ORRI_FORWARD_HEAD], const struct orri_forward *f) {
    orri_put_le(at, f->term, 8);
    orri_put_le(at + 8, f->epoch, 4);
    orri_put_le(at + 12, f->restart, 4);
}

int orri_forward_read(struct orr_slice payload, struct orri_forward *out, struct orr_slice *batch) {
    if (payload.size < ORRI_FORWARD_HEAD) return ORR_EINVALID;
    uint64_t flags = orri_get_le(payload.at + 12, 4);
    if (flags > 1) return ORR_EINVALID;
    *out = (struct orri_forward){ orri_get_le(payload.at, 8), (uint32_t)orri_get_le(payload.at + 8, 4), flags == 1 };
    *batch = orr_part_of(payload, ORRI_FORWARD_HEAD, payload.size - ORRI_FORWARD_HEAD);
    return 0;
}

void orri_resend_write(unsigned char at[ORRI_RESEND_SIZE], const struct orri_resend *r) {
    orri_put_le(at, r->term, 8);
    orri_put_le(at + 8, r->epoch, 4);
    orri_put_le(at + 12, (uint64_t)(-(int64_t)r->status), 4);
    orri_put_le(at + 16, r->from, 8);
}

int orri_resend_read(struct orr_slice payload, struct orri_resend *out) {
    if (payload.size != ORRI_RESEND_SIZE) return ORR_EINVALID;
    uint64_t why = orri_get_le(payload.at + 12, 4);
    *out = (struct orri_resend){ orri_get_le(payload.at, 8), (uint32_t)orri_get_le(payload.at + 8, 4), 0,
                                 orri_get_le(payload.at + 16, 8) };
    if (why == 0 || why > INT32_MAX) return ORR_EINVALID;
    out->status = -(int)why;
    return 0;
}

enum orri_inbound_verdict orri_inbound_judge(struct orri_inbound *in, const struct orri_forward *f, uint64_t sequence,
                                             uint64_t *from) {
    if (f->restart) *in = (struct orri_inbound){ f->epoch, true, sequence };
    *from = sequence;
    if (f->epoch != in->epoch || !in->open) return ORRI_IGNORE;
    if (sequence == in->next) return ORRI_TAKE;
    *from = in->next;
    in->open = false;
    return ORRI_REFUSE;
}

void orri_inbound_took(struct orri_inbound *in, uint64_t sequence) { in->next = sequence + 1; }
void orri_inbound_refuse(struct orri_inbound *in) { in->open = false; }
