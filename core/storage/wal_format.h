/* wal_format.h - the bytes of the write-ahead log: pure encoding and decoding, for oracles and fuzzers too.
 *
 * A log is a row of segments, each a file "wal-LLLLLLLLLLLLLLLL-SSSSSSSS": the log's random id and the slot, in hex. A
 * slot is used again and again; which segment it holds now, the bytes say. Integers are little-endian. Whatever one
 * write made durable at once is one batch: it counts as a whole or not at all. Batches are numbered through the whole
 * log, without gaps, and a batch is written only after the one before it was synced.
 *
 *   segment    0  magic "orrerywl"   8  u32 version, u32 0    16  u64 log id       24  u64 sequence of the segment
 *             32  u64 number of its first batch               40  u64 chain of the batch before that
 *             48  u64 oldest segment needed                   56  u64 XXH3-64 of bytes 0..55, seeded by the log id
 *             64  zeros up to 4096, where the first batch begins; both are written at once
 *   batch      0  u32 magic          4  u32 0                  8  u64 sequence of the segment
 *             16  u64 number        24  u64 chain of the batch before (0 before the first)
 *             32  u64 bytes of the body                       40  u64 fold of the body
 *             48  u64 oldest segment needed                   56  u64 chain: XXH3-64 of bytes 0..55, seed: the log id
 *             64  the body: records, each a multiple of 8 bytes. The next batch begins right behind it.
 *   record     0  u8 kind            1  u8 flags, u16 0        4  u32 group         8  u64 bytes that follow
 *   GROUP     16  u64 first         24  u64 last              32  u64 size of the state      40  state, zeros up to 8
 *   STATE     16  u64 size of the state                       24  state, zeros up to 8
 *   ENTRIES   16  u64 first index   24  u64 count             32  entries (flag 1: what stood at first and after goes)
 *   entry      0  u64 term           8  i64 time              16  u32 kind, u32 size of the data
 *             24  u64 XXH3-64 of 0..23, seed: that of the data, seed: group and index;      32  data, zeros up to 8
 *   RELEASE   16  u64 through: entries up to here are not needed any more
 *   RESET     16  u64 index         24  u64 term              32  i64 time: the log is empty and goes on behind index
 *
 * The first batch of a segment begins with a GROUP record for every group, as it stands before that batch: so nothing
 * is needed of older segments but the entries that are still wanted, and `oldest` says where those begin. The fold of a
 * body is taken record by record, entries by their own checksums, so that each byte is hashed once and an entry that is
 * read back alone can still be judged.
 *
 * What a bad batch means. Everything after it in the file was there before, or belongs to the one write that was under
 * way: so a readable head with a number above the bad one's proves that the bad one was synced: damage. (A head from
 * the slot's earlier use has another segment's sequence.) A segment that follows proves it too, by its first number and
 * chain, which stand twice, in the header and in the first batch's head, in different sectors. Nothing readable behind
 * it: a torn tail, to be cut off. What can't be told apart: damage to the very last batch alone, or the loss of the
 * newest segment's file, look like a write that never ended; whoever has claimed that batch is caught by its peers
 * (orr_order_ops.greet). Two damaged sectors that hide both copies of the newest segment's beginning look so.        */
#ifndef ORRI_WAL_FORMAT_H
#define ORRI_WAL_FORMAT_H

#include "base/codec.h"
#include <orrery/order.h>

#define ORRI_WAL_NUMBER_MAX (UINT64_MAX / 2)   /* above it a number is damage: numbers never wrap round */
enum {
    ORRI_WAL_VERSION = 1,
    ORRI_WAL_PAGE = 4096,           /* where a segment's first batch begins */
    ORRI_WAL_HEADER = 64,
    ORRI_WAL_HEAD = 64,
    ORRI_WAL_RECORD = 16,
    ORRI_WAL_ENTRY = 32
};

struct orri_wal_header {
    uint32_t version;
    uint64_t log, segment, number, chain, oldest;
};
struct orri_wal_head {
    uint64_t segment, number, before, size, fold, oldest, chain;
};
void orri_wal_put_header(unsigned char out[ORRI_WAL_HEADER], const struct orri_wal_header *header);
/* 0; ORR_ECORRUPT: not a header of this log; ORR_EINVALID: a version that this program can't read (version is set). */
int orri_wal_get_header(const unsigned char at[ORRI_WAL_HEADER], uint64_t log, struct orri_wal_header *out);
/* Also sets head->chain. */
void orri_wal_put_head(unsigned char out[ORRI_WAL_HEAD], uint64_t log, struct orri_wal_head *head);
int orri_wal_get_head(const unsigned char at[ORRI_WAL_HEAD], uint64_t log, struct orri_wal_head *out);

#define ORRI_WAL_NAME 32            /* bytes that a segment's file name takes with its NUL */
void orri_wal_name(char out[ORRI_WAL_NAME], uint64_t log, uint32_t slot);
bool orri_wal_name_read(const char *name, uint64_t *log, uint32_t *slot);

/* -- Records ------------------------------------------------------------------------------------------------------- */
enum orri_wal_kind { ORRI_WAL_GROUP = 1, ORRI_WAL_STATE, ORRI_WAL_ENTRIES, ORRI_WAL_RELEASE, ORRI_WAL_RESET };
struct orri_wal_record {
    enum orri_wal_kind kind;
    uint32_t group;
    bool truncate;                  /* ENTRIES */
    orr_index first, last;          /* GROUP, ENTRIES (which may not be empty) */
    orr_index index;                /* RELEASE, RESET */
    orr_term term;                  /* RESET */
    orr_time time;
    struct orr_slice bytes;         /* GROUP, STATE: the state; ENTRIES: the entries, for orri_wal_next_entry */
};
/* The fold of a body begins with this; each put adds to it. */
uint64_t orri_wal_fold(uint64_t log, uint64_t number);
static inline size_t orri_wal_pad(size_t size) { return (0 - size) & 7; }
static inline size_t orri_wal_group_size(size_t state) { return ORRI_WAL_RECORD + 24 + state + orri_wal_pad(state); }
static inline size_t orri_wal_state_size(size_t state) { return ORRI_WAL_RECORD + 8 + state + orri_wal_pad(state); }
static inline size_t orri_wal_entry_size(size_t data) { return ORRI_WAL_ENTRY + data + orri_wal_pad(data); }
#define ORRI_WAL_ENTRIES_SIZE ((size_t)ORRI_WAL_RECORD + 16)
#define ORRI_WAL_RELEASE_SIZE ((size_t)ORRI_WAL_RECORD + 8)
#define ORRI_WAL_RESET_SIZE ((size_t)ORRI_WAL_RECORD + 24)
/* A whole record, of any kind but ENTRIES. */
void orri_wal_put(struct orr_writer *w, uint64_t *fold, const struct orri_wal_record *r);
/* The beginning of ENTRIES: `bytes.size` is that of all its entries; they follow. */
void orri_wal_put_entries(struct orr_writer *w, uint64_t *fold, const struct orri_wal_record *r);
/* The head of one entry; its data and orri_wal_pad(size) zeros follow. */
void orri_wal_put_entry(struct orr_writer *w, uint64_t *fold, uint32_t group, const struct orr_entry *entry);

/* 0 when the body is what its head says, down to each entry (the functions below can't fail then); ORR_ECORRUPT. */
int orri_wal_check(uint64_t log, const struct orri_wal_head *head, struct orr_slice body);
/* The next record: 1; 0 at the end; ORR_ECORRUPT. Nothing is hashed. Slices are parts of the body, not held. */
int orri_wal_next(struct orr_slice body, size_t *at, struct orri_wal_record *out);
/* The next entry of an ENTRIES record: start with *at = 0. Likewise. */
int orri_wal_next_entry(const struct orri_wal_record *r, size_t *at, struct orr_entry *out);
/* One entry read back alone, at the beginning of `bytes`: its checksum is compared. ORR_ECORRUPT. */
int orri_wal_get_entry(uint32_t group, orr_index index, struct orr_slice bytes, struct orr_entry *out);

#endif
