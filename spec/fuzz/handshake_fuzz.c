/* handshake_fuzz.c - what a stranger says first: HELLO and REFUSED, and the node's own state from the disk, which has
 * the same parts. What was read and can be written again must be read as the same. */
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
}

static void identity(struct orr_slice in) {
    struct orri_identity id;
    struct orri_hello h;
    bool changed;
    orri_identity_init(&id, &orr_alloc_libc);
    if (orri_identity_read(&id, in) == 0) {
        unsigned char *bytes = malloc(orri_identity_size(&id) + sizeof(struct orri_pin));
        if (orri_hello_read(in, &h) == 0) (void)orri_identity_meet(&id, &h, &changed);
        (void)orri_identity_write(&id, bytes, orri_identity_size(&id));
        free(bytes);
    }
    orri_identity_clear(&id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct orri_forward f;
    struct orri_resend r;
    struct orr_slice batch, in;
    if (size < 1) return 0;
    in = orr_borrow(data + 1, size - 1);
    switch (data[0] & 3) {
    case 0: hello(in); break;
    case 1: refused(in); break;
    case 2: identity(in); break;
    default:
        if (orri_forward_read(in, &f, &batch) == 0 && batch.size + ORRI_FORWARD_HEAD != in.size) abort();
        if (orri_resend_read(in, &r) == 0 && r.status >= 0) abort();
    }
    return 0;
}
