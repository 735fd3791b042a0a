/* snapshot_format.c - encoding and decoding of a snapshot's head and name (the table is in the header). */
#include "storage/snapshot_format.h"

#include "base/assert.h"
#include "base/hash.h"
#include <stdio.h>
#include <string.h>

#define MAGIC "orrerysn"
#define CHECK_AT (ORRI_SNAPSHOT_HEAD - 8)

_Static_assert(64 + ORR_CONFIG_MAX <= CHECK_AT, "a configuration fits the head");

void orri_snapshot_put_head(unsigned char out[ORRI_SNAPSHOT_HEAD], uint32_t group,
                            const struct orr_snapshot *snapshot) {
    ORR_ASSERT(snapshot->config.size <= ORR_CONFIG_MAX);
    memset(out, 0, ORRI_SNAPSHOT_HEAD);
    struct orr_writer w = orri_writer(out, ORRI_SNAPSHOT_HEAD);
    orri_write_bytes(&w, MAGIC, 8);
    orri_write_u32(&w, ORRI_SNAPSHOT_VERSION);
    orri_write_u32(&w, group);
    orri_write_u64(&w, snapshot->index);
    orri_write_u64(&w, snapshot->term);
    orri_write_i64(&w, snapshot->time);
    orri_write_u64(&w, snapshot->size);
    orri_write_u64(&w, snapshot->checksum);
    orri_write_u32(&w, (uint32_t)snapshot->config.size);
    orri_write_u32(&w, 0);
    orri_write_bytes(&w, snapshot->config.at, snapshot->config.size);
    orri_put_le(out + CHECK_AT, orri_hash64(out, CHECK_AT, 0), 8);
}

int orri_snapshot_get_head(struct orr_slice at, uint32_t *group, struct orr_snapshot *out) {
    if (at.size < ORRI_SNAPSHOT_HEAD || memcmp(at.at, MAGIC, 8) != 0) return ORR_ECORRUPT;
#ifndef ORR_FUZZING
    if (orri_hash64(at.at, CHECK_AT, 0) != orri_get_le(at.at + CHECK_AT, 8)) return ORR_ECORRUPT;
#endif
    struct orr_reader r = orri_reader(at.at + 8, CHECK_AT - 8);
    if (orri_read_u32(&r) != ORRI_SNAPSHOT_VERSION) return ORR_EINVALID;
    *group = orri_read_u32(&r);
    out->index = orri_read_u64(&r);
    out->term = orri_read_u64(&r);
    out->time = orri_read_i64(&r);
    out->size = orri_read_u64(&r);
    out->checksum = orri_read_u64(&r);
    uint32_t config = orri_read_u32(&r);
    (void)orri_read_u32(&r);
    if (config > ORR_CONFIG_MAX || out->index == 0 || out->index >= UINT64_MAX - 1) return ORR_ECORRUPT;
    out->config = orri_read_bytes(&r, config);
    out->config.chunk = at.chunk;
    return r.failed ? ORR_ECORRUPT : 0;
}

void orri_snapshot_name(char out[ORRI_SNAPSHOT_NAME], uint32_t group, const struct orr_snapshot *snapshot) {
    (void)snprintf(out, ORRI_SNAPSHOT_NAME, "snap-%08x-%016llx-%016llx-%016llx", group,
                   (unsigned long long)snapshot->index, (unsigned long long)snapshot->term,
                   (unsigned long long)snapshot->checksum);
}

bool orri_snapshot_is_name(const char *name) {
    return strlen(name) == 64 && strncmp(name, "snap-", 5) == 0 && strspn(name + 5, "0123456789abcdef-") == 59;
}

void orri_snapshot_tmp_name(char out[ORRI_SNAPSHOT_NAME], uint64_t serial) {
    (void)snprintf(out, ORRI_SNAPSHOT_NAME, "snap-%llu.tmp", (unsigned long long)serial);
}

bool orri_snapshot_is_tmp(const char *name) {
    size_t size = strlen(name);
    return size > 9 && strncmp(name, "snap-", 5) == 0 && strcmp(name + size - 4, ".tmp") == 0;
}
