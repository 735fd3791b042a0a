/* batch_fuzz.c - the data of a log entry, walked as a group applies it; and the duplicate filter of a snapshot. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "node/batch.h"
#include "node/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void batch(struct orr_slice in) {
    struct orri_batch_head head;
    size_t at = ORRI_BATCH_HEAD;
    if (orri_batch_open(in, &head) < 0) return;
    for (uint32_t i = 0; i < head.count; i++) {
        struct orr_slice command = orri_batch_next(in, &at);
        volatile unsigned char last = command.size ? command.at[command.size - 1] : 0;
        (void)last;
    }
    if (at != in.size) abort();
}

static void filter(struct orr_slice in) {
    struct orri_filter f;
    struct orr_reader r = orri_reader(in.at, in.size);
    enum orri_filtered verdict;
    orri_filter_init(&f, &orr_alloc_libc);
    if (orri_filter_read(&f, &r) == 0) {
        if (orri_filter_size(&f) + orri_left(&r) != in.size) abort();
        struct orri_origin_tag tag = { .incarnation = 1, .sequence = 1 };
        if (f.n) tag = f.entries[f.n - 1].last;
        tag.sequence++;
        (void)orri_filter_judge(&f, &tag, 1, &verdict);
    }
    orri_filter_clear(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    if (data[0] & 1) filter(orr_borrow(data + 1, size - 1));
    else batch(orr_borrow(data + 1, size - 1));
    return 0;
}
