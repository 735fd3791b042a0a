/* snapshot_format.h - the bytes of a snapshot's file: pure encoding and decoding.
 *
 * A snapshot is a file "snap-GROUP-INDEX-TERM-CHECKSUM" (hex): a head, then the machine's image as it is. While it is
 * being written it is a ".tmp", which the next start sweeps away: a name without .tmp was synced before it was given.
 *
 *   head       0  magic "orrerysn"   8  u32 version            12  u32 group           16  u64 index
 *             24  u64 term          32  i64 time               40  u64 size of the image
 *             48  u64 XXH3-64 of the image                     56  u32 size of the config, u32 0
 *             64  the config as the protocol encoded it, zeros up to
 *           8184  u64 XXH3-64 of bytes 0..8183
 *   image   8192  its bytes                                                                                         */
#ifndef ORRI_SNAPSHOT_FORMAT_H
#define ORRI_SNAPSHOT_FORMAT_H

#include "base/codec.h"
#include <orrery/order.h>

enum { ORRI_SNAPSHOT_VERSION = 1, ORRI_SNAPSHOT_HEAD = 8192, ORRI_SNAPSHOT_NAME = 80 };

void orri_snapshot_put_head(unsigned char out[ORRI_SNAPSHOT_HEAD], uint32_t group, const struct orr_snapshot *snapshot);
/* config is a part of `at`, not held. ORR_ECORRUPT; ORR_EINVALID: a version that this program can't read. */
int orri_snapshot_get_head(struct orr_slice at, uint32_t *group, struct orr_snapshot *out);
void orri_snapshot_name(char out[ORRI_SNAPSHOT_NAME], uint32_t group, const struct orr_snapshot *snapshot);
bool orri_snapshot_is_name(const char *name);
void orri_snapshot_tmp_name(char out[ORRI_SNAPSHOT_NAME], uint64_t serial);
bool orri_snapshot_is_tmp(const char *name);

#endif
