/* kv_op_fuzz.c - any bytes as ops and questions: records of one byte for the size, then so many bytes.
 * The digest is the same on a second machine with another seed of its own, and after a snapshot. */
#include <stdlib.h>

#include "../node/kv_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size) {
    static struct rig r[3];
    size_t n_image;
    for (int k = 0; k < 3; k++) {
        if (rig_init_with(&r[k], NULL, (uint64_t)k) < 0) abort();
    }
    for (size_t i = 0, n; i < size; i += n) {
        n = at[i++];
        if (n > size - i) n = size - i;
        for (int k = 0; k < 2; k++) {
            struct orr_slice bytes = orr_borrow(at + i, n);
            r[k].at.index++;
            r[k].at.time += ORR_MS;
            r[k].n_text = 0;
            if (n > 0 && at[i] >= 64) (void)orr_kv_machine.query(r[k].m, &r[k].at, bytes, &r[k].sink);
            else if (orr_kv_machine.apply(r[k].m, &r[k].at, bytes, &r[k].sink) < 0) abort();
            orr_kv_machine.advance(r[k].m, &r[k].at);
        }
        if (digest(&r[0]) != digest(&r[1])) abort();
    }
    if (orr_kv_machine.freeze(r[0].m) < 0) abort();
    unsigned char *image = rig_image(&r[0], 4096, &n_image);
    if (rig_restore(&r[2], image, n_image, NULL) < 0 || digest(&r[2]) != digest(&r[0])) abort();
    free(image);
    for (int k = 0; k < 3; k++) rig_free(&r[k]);
    return 0;
}
