/* batch_fuzz.c - the data of a log entry, walked as a group applies it; and the duplicate filter of a snapshot.
 * What was read is written again as the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/batch.h"
#include "node/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void batch(struct orr_slice in) {
    struct orri_batch_head head;
    unsigned char again[ORRI_BATCH_HEAD];
    size_t at = ORRI_BATCH_HEAD;
    if (orri_batch_open(in, &head) < 0) return;
    orri_batch_head_write(again, &head);
    /* But for the level, which may be one of before. */
    if (again[0] != in.at[0] || memcmp(again + 2, in.at + 2, sizeof again - 2) != 0) abort();
    for (uint32_t i = 0; i < head.count; i++) {
        struct orr_slice command = orri_batch_next(in, &at);
        volatile unsigned char last = command.size ? command.at[command.size - 1] : 0;
        (void)last;
    }
    if (at != in.size) abort();
}

/* Whatever a machine wants first of all comes back as the one command of its batch. */
static void alone(struct orr_slice in) {
    static struct orr_chunks *chunks;
    struct orri_batch_head head;
    size_t at = ORRI_BATCH_HEAD;
    if (!chunks) chunks = orr_chunks_new(&orr_alloc_libc);
    struct orr_slice batch = orri_batch_of_one(chunks, in);
    if (orri_batch_open(batch, &head) < 0 || head.count != 1 || !orri_birth_none(&head.origin.birth)) abort();
    struct orr_slice command = orri_batch_next(batch, &at);
    if (command.size != in.size || (in.size && memcmp(command.at, in.at, in.size) != 0) || at != batch.size) abort();
    orr_drop(batch);
}

static void same_bytes(const struct orri_filter *f, struct orr_slice in) {
    size_t size = orri_filter_size(f);
    unsigned char *again = malloc(size);
    struct orr_writer w = orri_writer(again, size);
    orri_filter_write(f, &w);
    if (w.failed || w.at != w.end || memcmp(again, in.at, size) != 0) abort();
    free(again);
}

/* The next batch of an origin passes, and is a duplicate then. */
static void next_of(struct orri_filter *f, struct orri_origin_tag tag, orr_index index) {
    enum orri_filtered verdict;
    uint64_t last = orri_filter_last(f, &tag.birth, tag.incarnation);
    if (last == UINT64_MAX) return;                 /* a later incarnation's, or there is no next one */
    tag.sequence = last + 1;
    if (orri_filter_judge(f, &tag, index, &verdict) < 0 || verdict != ORRI_PASS) abort();
    if (orri_filter_judge(f, &tag, index + 1, &verdict) < 0 || verdict != ORRI_DUPLICATE) abort();
    if (orri_filter_last(f, &tag.birth, tag.incarnation) != tag.sequence) abort();
}

static void filter(struct orr_slice in) {
    struct orri_filter f;
    struct orr_reader r = orri_reader(in.at, in.size);
    orri_filter_init(&f, &orr_alloc_libc);
    if (orri_filter_read(&f, &r) == 0) {
        if (orri_filter_size(&f) + orri_left(&r) != in.size) abort();
        same_bytes(&f, in);
        struct orri_origin_tag tag = { .birth = { "a new one" }, .incarnation = 1 };
        if (f.n) next_of(&f, f.entries[f.n - 1].last, 1);
        next_of(&f, tag, 2);
    }
    orri_filter_clear(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    if (data[0] & 1) filter(orr_borrow(data + 1, size - 1));
    else batch(orr_borrow(data + 1, size - 1));
    alone(orr_borrow(data + 1, size - 1));
    return 0;
}
