/* handshake_fuzz.c - what a stranger says first: HELLO and REFUSED, what a peer says of forwarded batches, and the
 * node's own state from the disk, which has the same parts. What was read is written again as the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/forward.h"
#include "node/handshake.h"
#include "node/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hello(struct orr_slice in) {
    struct orri_hello h, again;
    unsigned char bytes[ORRI_HELLO_MAX];
    if (orri_hello_read(in, &h) < 0) return;
    if (strlen(h.name) > ORRI_NAME_MAX || h.n_groups > ORRI_GROUPS_MAX) abort();
    size_t size = orri_hello_write(&h, bytes);
    if (orri_hello_read(orr_borrow(bytes, size), &again) < 0 || memcmp(&h, &again, sizeof h) != 0) abort();
}

static void refused(struct orr_slice in) {
    struct orri_refused r;
    if (orri_refused_read(in, &r) < 0) return;
    if (strlen(r.text) > ORRI_REFUSAL_TEXT_MAX || strcmp(orri_refusal_word(r.reason), "welcome") == 0) abort();
    struct orri_refused again;
    unsigned char bytes[ORRI_REFUSED_MAX];
    size_t size = orri_refused_write(&r, bytes, sizeof bytes);
    if (orri_refused_read(orr_borrow(bytes, size), &again) < 0 || memcmp(&r, &again, sizeof r) != 0) abort();
}

static void forward(struct orr_slice in) {
    struct orri_forward f;
    struct orri_inbound stream = { 0 };
    struct orr_slice batch;
    unsigned char bytes[ORRI_FORWARD_HEAD];
    uint64_t from;
    if (orri_forward_read(in, &f, &batch) < 0) return;
    if (batch.size + sizeof bytes != in.size) abort();
    orri_forward_write(bytes, &f);
    if (memcmp(bytes, in.at, sizeof bytes) != 0) abort();
    if ((orri_inbound_judge(&stream, &f, 5, &from) == ORRI_TAKE) != f.restart) abort();
    f.restart = false;
    if (!stream.open) return;
    orri_inbound_took(&stream, 5);
    if (orri_inbound_judge(&stream, &f, 7, &from) != ORRI_REFUSE || from != 6) abort();
    if (orri_inbound_judge(&stream, &f, 6, &from) != ORRI_IGNORE) abort();         /* its epoch is over */
}

static void resend(struct orr_slice in) {
    struct orri_resend r;
    unsigned char bytes[ORRI_RESEND_SIZE];
    if (orri_resend_read(in, &r) < 0) return;
    orri_resend_write(bytes, &r);
    if (r.status >= 0 || memcmp(bytes, in.at, sizeof bytes) != 0) abort();
}

/* -- The node's own state ------------------------------------------------------------------------------------------ */
static void meet(struct orri_identity *id, const struct orri_hello *h, enum orri_refusal verdict, bool changes) {
    bool changed;
    if (orri_identity_meet(id, h, &changed) != verdict || changed != changes) abort();
}

/* Whom it has met comes again: as before, started anew, with an older disk, with another one. */
static void meet_again(struct orri_identity *id, orr_id peer) {
    const struct orri_pin *pin = orri_identity_pin(id, peer);
    struct orri_hello h = { .id = peer, .birth = pin->birth, .incarnation = pin->incarnation, .nonce = pin->nonce };
    meet(id, &h, ORRI_WELCOME, false);
    if (h.incarnation > UINT32_MAX - 2) return;
    h.incarnation += 2;
    meet(id, &h, ORRI_REFUSED_MEMORY, false);
    h.trail[2] = (uint32_t)pin->nonce ? (uint32_t)pin->nonce : 1;
    meet(id, &h, ORRI_WELCOME, true);
    h.incarnation--;
    meet(id, &h, ORRI_REFUSED_MEMORY, false);
    h.birth.b[0] ^= 1;
    meet(id, &h, ORRI_REFUSED_BIRTH, false);
}

static void written_again(const struct orri_identity *id) {
    struct orri_identity again;
    unsigned char *bytes = malloc(orri_identity_size(id));
    size_t size = orri_identity_write(id, bytes, orri_identity_size(id));
    orri_identity_init(&again, &orr_alloc_libc);
    if (orri_identity_read(&again, orr_borrow(bytes, size)) < 0 || again.incarnation != id->incarnation ||
        memcmp(again.trail, id->trail, sizeof again.trail) != 0 || again.n_pins != id->n_pins)
        abort();
    orri_identity_clear(&again);
    free(bytes);
}

static void identity(struct orr_slice in) {
    struct orri_identity id;
    struct orri_hello stranger = { .id = 7, .birth = { { 7 } }, .incarnation = 1, .nonce = 7 };
    orri_identity_init(&id, &orr_alloc_libc);
    if (orri_identity_read(&id, in) == 0) {
        if (!orri_identity_pin(&id, stranger.id)) meet(&id, &stranger, ORRI_WELCOME, id.n_pins < ORRI_PINS_MAX);
        if (id.n_pins) meet_again(&id, id.pins[0].id);
        if (id.n_pins) meet_again(&id, id.pins[id.n_pins - 1].id);
        orri_identity_begin(&id, in.size);
        written_again(&id);
    }
    orri_identity_clear(&id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct orr_slice in;
    if (size < 1) return 0;
    in = orr_borrow(data + 1, size - 1);
    switch (data[0] & 3) {
    case 0: hello(in); break;
    case 1: refused(in); break;
    case 2: identity(in); break;
    default: forward(in), resend(in);
    }
    return 0;
}
