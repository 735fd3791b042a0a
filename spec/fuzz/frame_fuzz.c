/* frame_fuzz.c - any bytes, cut anywhere, put together as frames. The first byte says how they are cut. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/trace.h>

#include "node/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAYLOAD_MAX = 1 << 16 };

/* As a host sends it: the head, its clock, its messages. */
static void look(const unsigned char *head, struct orr_slice payload) {
    size_t clock = payload.size < 8 ? payload.size : 8;
    struct orr_slice parts[3] = { orr_borrow(head, ORRI_FRAME_HEAD), orr_part_of(payload, 0, clock),
                                  orr_part_of(payload, clock, payload.size - clock) };
    struct orr_glance seen;
    if (orr_frame_glance(parts, 3, NULL, &seen) < 0 || !seen.kind) abort();
    if (!memchr(seen.name, '\0', sizeof seen.name)) abort();
}

static void judge(const struct orri_frame *f) {
    unsigned char head[ORRI_FRAME_HEAD];
    size_t size = 0;
    if (f->payload.size > PAYLOAD_MAX || f->kind == 0 || f->kind >= ORRI_FRAME_KINDS || f->channel > 1) abort();
    orri_frame_head(head, f, &f->payload, 1);       /* reads the payload, too */
    look(head, f->payload);
    if (orri_frame_measure(head, PAYLOAD_MAX, &size) < 0 || size != sizeof head + f->payload.size) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    struct orr_chunks *chunks = orr_chunks_new(&orr_alloc_libc);
    struct orri_assembly a = { 0 };
    struct orri_frame f;
    size_t piece = 1 + data[0], at = 1;
    int rc = 0;
    while (at < size && rc >= 0) {
        size_t n = piece < size - at ? piece : size - at;
        struct orr_chunk *c = chunks->get(chunks, n);
        memcpy(c->at, data + at, n);
        struct orr_slice in = { c, c->at, n };
        while ((rc = orri_assembly_next(&a, chunks, PAYLOAD_MAX, &in, &f)) == 1) judge(&f);
        if (rc == 0 && in.size) abort();            /* what it didn't use would be lost */
        orr_chunk_drop(c);
        at += n;
    }
    orri_assembly_clear(&a);
    orr_chunks_free(chunks);
    return 0;
}
