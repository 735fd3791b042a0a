/* kv_snapshot_fuzz.c - any bytes as a snapshot. The first byte says how it is cut. What lies between the head and the
 * records (32 KiB of slots) is filled in, so that a small input reaches the records, and half of the inputs get the
 * digest that the rest makes. */
#include <stdlib.h>

#include "../node/kv_rig.h"

enum { SLOTS = ORRI_KV_SLOTS * 8 };

/* The digest of what the image's records make, taken from a machine that was made to believe them. */
static void put_digest(struct rig *r, unsigned char *image, size_t size) {
    if (orr_kv_machine.restore_begin(r->m) < 0) abort();
    (void)orr_kv_machine.restore_part(r->m, image, size);
    orri_put_le(image + 32, digest(r), 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size) {
    static struct rig r;
    if (size < 1 + ORRI_KV_HEAD) return 0;
    if (rig_init_with(&r, NULL, 1) < 0) abort();
    size_t n = size - 1 + SLOTS, cut = at[0] ? at[0] : n;
    unsigned char *image = calloc(1, n);
    memcpy(image, at + 1, ORRI_KV_HEAD);
    memcpy(image + ORRI_KV_HEAD + SLOTS, at + 1 + ORRI_KV_HEAD, size - 1 - ORRI_KV_HEAD);
    if (at[0] & 1) put_digest(&r, image, n);
    int status = orr_kv_machine.restore_begin(r.m);
    for (size_t i = 0, step; i < n && status == 0; i += step) {
        step = i < SLOTS ? SLOTS : cut;
        if (step > n - i) step = n - i;
        unsigned char *exact = malloc(step);
        memcpy(exact, image + i, step);
        status = orr_kv_machine.restore_part(r.m, exact, step);
        free(exact);
    }
    (void)orr_kv_machine.restore_end(r.m);
    orri_kv_table_check(inside(&r)->live);
    free(image);
    rig_free(&r);
    return 0;
}
