/* kv_op_fuzz.c - any bytes as ops and questions: records of one byte for the size, then so many bytes.
 * The digest is the same on a second machine with another seed of its own, and after a snapshot.
 * What was read and is written again is read as the same. */
#include <stdlib.h>

#include "../node/kv_rig.h"

static void written_again(struct orr_slice bytes) {
    enum { ARGS = 256, OF_HEAD = ORR_KV_HAS_A | ORR_KV_HAS_B };
    struct orri_kv_args was, is;
    struct orr_slice args[ARGS];
    unsigned char again[ARGS + 64];
    if (orri_kv_decode(&was, bytes) < 0) return;
    if (was.n && orri_kv_first_arg(bytes).at != was.arg[0].at) abort();
    struct orr_kv_call call = { .code = was.code, .flags = was.flags, .a = was.a, .b = was.b,
                                .args = args, .n_args = was.n };
    for (size_t i = 0; i < was.n; i++) args[i] = orri_kv_next_arg(&was);
    size_t n = orr_kv_encode(again, sizeof again, &call);
    if (n == 0 || n != orr_kv_size(&call) || orri_kv_decode(&is, orr_borrow(again, n)) < 0) abort();
    if (is.code != was.code || (is.flags | OF_HEAD) != (was.flags | OF_HEAD) || is.a != was.a || is.b != was.b) abort();
    for (size_t i = 0; i < was.n; i++) {
        struct orr_slice arg = orri_kv_next_arg(&is);
        if (arg.size != args[i].size || (arg.size && memcmp(arg.at, args[i].at, arg.size) != 0)) abort();
    }
}

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
        written_again(orr_borrow(at + i, n));
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
