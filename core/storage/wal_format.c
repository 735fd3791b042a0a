/* wal_format.c - encoding and decoding of the log's bytes (the tables are in the header).
 *
 * All of it is total: any bytes decode to records or to ORR_ECORRUPT, in time linear in their number. With ORR_FUZZING
 * every checksum matches, so that a fuzzer reaches what lies behind them.                                            */
#include "storage/wal_format.h"

#include "base/hash.h"
#include <stdio.h>
#include <string.h>

#define MAGIC_SEGMENT "orrerywl"
#define MAGIC_BATCH 0x6c61577fu

#ifdef ORR_FUZZING
static bool same(uint64_t a, uint64_t b) { return (void)a, (void)b, true; }
#else
static bool same(uint64_t a, uint64_t b) { return a == b; }
#endif

/* -- Heads --------------------------------------------------------------------------------------------------------- */
static bool counts(uint64_t segment, uint64_t number) {
    return segment >= 1 && segment <= UINT32_MAX && number >= 1 && number <= ORRI_WAL_NUMBER_MAX;
}

void orri_wal_put_header(unsigned char out[ORRI_WAL_HEADER], const struct orri_wal_header *header) {
    struct orr_writer w = orri_writer(out, ORRI_WAL_HEADER);
    orri_write_bytes(&w, MAGIC_SEGMENT, 8);
    orri_write_u32(&w, header->version);
    orri_write_u32(&w, 0);
    orri_write_u64(&w, header->log);
    orri_write_u64(&w, header->segment);
    orri_write_u64(&w, header->number);
    orri_write_u64(&w, header->chain);
    orri_write_u64(&w, header->oldest);
    orri_write_u64(&w, orri_hash64(out, 56, header->log));
}

int orri_wal_get_header(const unsigned char at[ORRI_WAL_HEADER], uint64_t log, struct orri_wal_header *out) {
    if (memcmp(at, MAGIC_SEGMENT, 8) != 0 || !same(orri_hash64(at, 56, log), orri_get_le(at + 56, 8)))
        return ORR_ECORRUPT;
    *out = (struct orri_wal_header){
        .version = (uint32_t)orri_get_le(at + 8, 4),
        .log = orri_get_le(at + 16, 8),
        .segment = orri_get_le(at + 24, 8),
        .number = orri_get_le(at + 32, 8),
        .chain = orri_get_le(at + 40, 8),
        .oldest = orri_get_le(at + 48, 8),
    };
    if (out->version != ORRI_WAL_VERSION) return ORR_EINVALID;
    if (!same(out->log, log) || !counts(out->segment, out->number)) return ORR_ECORRUPT;
    return 0;
}

void orri_wal_put_head(unsigned char out[ORRI_WAL_HEAD], uint64_t log, struct orri_wal_head *head) {
    struct orr_writer w = orri_writer(out, ORRI_WAL_HEAD);
    orri_write_u32(&w, MAGIC_BATCH);
    orri_write_u32(&w, 0);
    orri_write_u64(&w, head->segment);
    orri_write_u64(&w, head->number);
    orri_write_u64(&w, head->before);
    orri_write_u64(&w, head->size);
    orri_write_u64(&w, head->fold);
    orri_write_u64(&w, head->oldest);
    head->chain = orri_hash64(out, 56, log);
    orri_write_u64(&w, head->chain);
}

int orri_wal_get_head(const unsigned char at[ORRI_WAL_HEAD], uint64_t log, struct orri_wal_head *out) {
    if (orri_get_le(at, 4) != MAGIC_BATCH) return ORR_ECORRUPT;
    *out = (struct orri_wal_head){
        .segment = orri_get_le(at + 8, 8),
        .number = orri_get_le(at + 16, 8),
        .before = orri_get_le(at + 24, 8),
        .size = orri_get_le(at + 32, 8),
        .fold = orri_get_le(at + 40, 8),
        .oldest = orri_get_le(at + 48, 8),
        .chain = orri_get_le(at + 56, 8),
    };
    if (!same(orri_hash64(at, 56, log), out->chain)) return ORR_ECORRUPT;
    if (!counts(out->segment, out->number) || (out->size & 7) != 0) return ORR_ECORRUPT;
    return 0;
}

void orri_wal_name(char out[ORRI_WAL_NAME], uint64_t log, uint32_t slot) {
    (void)snprintf(out, ORRI_WAL_NAME, "wal-%016llx-%08x", (unsigned long long)log, slot);
}

static bool read_hex(const char *at, size_t digits, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9') *out = *out << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f') *out = *out << 4 | (uint64_t)(c - 'a' + 10);
        else return false;
    }
    return true;
}

bool orri_wal_name_read(const char *name, uint64_t *log, uint32_t *slot) {
    uint64_t number;
    if (strlen(name) != 29 || memcmp(name, "wal-", 4) != 0 || name[20] != '-') return false;
    if (!read_hex(name + 4, 16, log) || !read_hex(name + 21, 8, &number)) return false;
    *slot = (uint32_t)number;
    return true;
}

/* -- Writing records ----------------------------------------------------------------------------------------------- */
uint64_t orri_wal_fold(uint64_t log, uint64_t number) { return orri_mix64(log, number); }

static void put_record(struct orr_writer *w, const struct orri_wal_record *r, size_t follows) {
    orri_write_u8(w, (uint8_t)r->kind);
    orri_write_u8(w, r->truncate ? 1 : 0);
    orri_write_u16(w, 0);
    orri_write_u32(w, r->group);
    orri_write_u64(w, follows);
}

static void put_state(struct orr_writer *w, struct orr_slice state) {
    static const unsigned char zeros[8];
    orri_write_u64(w, state.size);
    orri_write_bytes(w, state.at, state.size);
    orri_write_bytes(w, zeros, orri_wal_pad(state.size));
}

void orri_wal_put(struct orr_writer *w, uint64_t *fold, const struct orri_wal_record *r) {
    const unsigned char *begin = w->at;
    size_t state = r->bytes.size;
    switch (r->kind) {
    case ORRI_WAL_GROUP:
        put_record(w, r, orri_wal_group_size(state) - ORRI_WAL_RECORD);
        orri_write_u64(w, r->first);
        orri_write_u64(w, r->last);
        put_state(w, r->bytes);
        break;
    case ORRI_WAL_STATE:
        put_record(w, r, orri_wal_state_size(state) - ORRI_WAL_RECORD);
        put_state(w, r->bytes);
        break;
    case ORRI_WAL_RELEASE:
        put_record(w, r, 8);
        orri_write_u64(w, r->index);
        break;
    case ORRI_WAL_RESET:
        put_record(w, r, 24);
        orri_write_u64(w, r->index);
        orri_write_u64(w, r->term);
        orri_write_i64(w, r->time);
        break;
    default: w->failed = true;
    }
    if (!w->failed) *fold = orri_hash64(begin, (size_t)(w->at - begin), *fold);
}

void orri_wal_put_entries(struct orr_writer *w, uint64_t *fold, const struct orri_wal_record *r) {
    const unsigned char *begin = w->at;
    put_record(w, r, 16 + r->bytes.size);
    orri_write_u64(w, r->first);
    orri_write_u64(w, r->last - r->first + 1);
    if (!w->failed) *fold = orri_hash64(begin, ORRI_WAL_ENTRIES_SIZE, *fold);
}

static uint64_t entry_check(uint32_t group, orr_index index, const unsigned char head[24], const void *data,
                            size_t size) {
    return orri_hash64(head, 24, orri_hash64(data, size, orri_mix64(group, index)));
}

void orri_wal_put_entry(struct orr_writer *w, uint64_t *fold, uint32_t group, const struct orr_entry *entry) {
    if (!orri_write_fits(w, ORRI_WAL_ENTRY)) return;
    unsigned char *at = w->at;
    w->at += ORRI_WAL_ENTRY;
    orri_put_le(at, entry->term, 8);
    orri_put_le(at + 8, (uint64_t)entry->time, 8);
    orri_put_le(at + 16, entry->kind, 4);
    orri_put_le(at + 20, entry->data.size, 4);
    uint64_t check = entry_check(group, entry->index, at, entry->data.at, entry->data.size);
    orri_put_le(at + 24, check, 8);
    *fold = orri_mix64(*fold, check);
}

/* -- Reading records ----------------------------------------------------------------------------------------------- */
/* The next `size` bytes, or NULL. */
static const unsigned char *room(struct orr_reader *r, uint64_t size) {
    if (size > orri_left(r)) {
        r->failed = true;
        return NULL;
    }
    struct orr_slice bytes = orri_read_bytes(r, (size_t)size);
    return r->failed ? NULL : bytes.at;
}

static bool zeros_follow(struct orr_reader *r, size_t n) {
    const unsigned char *at = room(r, n);
    for (size_t i = 0; at && i < n; i++) {
        if (at[i] != 0) return false;
    }
    return at != NULL;
}

static struct orr_slice get_state(struct orr_reader *r, struct orr_slice body) {
    uint64_t size = orri_read_u64(r);
    const unsigned char *at = room(r, size);
    if (!at || !zeros_follow(r, orri_wal_pad((size_t)size))) {
        r->failed = true;
        return orr_borrow(NULL, 0);
    }
    return (struct orr_slice){ body.chunk, at, (size_t)size };
}

static void get_entries(struct orr_reader *r, struct orr_slice body, struct orri_wal_record *out) {
    out->first = orri_read_u64(r);
    uint64_t count = orri_read_u64(r);
    size_t size = orri_left(r);
    if (r->failed || out->first == 0 || count == 0 || count > size / ORRI_WAL_ENTRY ||
        out->first > UINT64_MAX - count) {
        r->failed = true;
        return;
    }
    out->last = out->first + count - 1;
    out->bytes = (struct orr_slice){ body.chunk, room(r, size), size };
}

int orri_wal_next(struct orr_slice body, size_t *at, struct orri_wal_record *out) {
    if (*at == body.size) return 0;
    struct orr_reader head = orri_reader(body.at + *at, body.size - *at);
    unsigned kind = orri_read_u8(&head);
    unsigned flags = orri_read_u8(&head);
    unsigned zero = orri_read_u16(&head);
    *out = (struct orri_wal_record){ .kind = (enum orri_wal_kind)kind, .truncate = flags & 1 };
    out->group = orri_read_u32(&head);
    uint64_t follows = orri_read_u64(&head);
    if (head.failed || zero != 0 || flags > 1 || (follows & 7) != 0 || follows > orri_left(&head)) return ORR_ECORRUPT;
    if ((flags & 1) && kind != ORRI_WAL_ENTRIES) return ORR_ECORRUPT;
    struct orr_reader r = orri_reader(head.at, (size_t)follows);
    switch (kind) {
    case ORRI_WAL_GROUP:
        out->first = orri_read_u64(&r);
        out->last = orri_read_u64(&r);
        out->bytes = get_state(&r, body);
        if (out->first == 0 || out->last < out->first - 1) return ORR_ECORRUPT;
        break;
    case ORRI_WAL_STATE: out->bytes = get_state(&r, body); break;
    case ORRI_WAL_ENTRIES: get_entries(&r, body, out); break;
    case ORRI_WAL_RELEASE: out->index = orri_read_u64(&r); break;
    case ORRI_WAL_RESET:
        out->index = orri_read_u64(&r);
        out->term = orri_read_u64(&r);
        out->time = orri_read_i64(&r);
        break;
    default: return ORR_ECORRUPT;
    }
    if (r.failed || orri_left(&r) != 0 || out->index == UINT64_MAX || out->last == UINT64_MAX) return ORR_ECORRUPT;
    *at += ORRI_WAL_RECORD + (size_t)follows;
    return 1;
}

/* The entry at the beginning of `bytes`, unjudged: *size is what it takes with its padding. */
static int get_entry(struct orr_slice bytes, struct orr_entry *out, size_t *size) {
    struct orr_reader r = orri_reader(bytes.at, bytes.size);
    out->term = orri_read_u64(&r);
    out->time = orri_read_i64(&r);
    out->kind = orri_read_u32(&r);
    uint32_t data = orri_read_u32(&r);
    (void)orri_read_u64(&r);
    const unsigned char *at = room(&r, data);
    if (!at || !zeros_follow(&r, orri_wal_pad(data))) return ORR_ECORRUPT;
    out->data = (struct orr_slice){ bytes.chunk, at, data };
    *size = orri_wal_entry_size(data);
    return 0;
}

int orri_wal_next_entry(const struct orri_wal_record *r, size_t *at, struct orr_entry *out) {
    if (*at == 0) out->index = r->first - 1;
    if (*at == r->bytes.size) return out->index == r->last ? 0 : ORR_ECORRUPT;
    size_t size;
    if (out->index == r->last || get_entry(orr_part_of(r->bytes, *at, r->bytes.size - *at), out, &size) < 0)
        return ORR_ECORRUPT;
    out->index++;
    *at += size;
    return 1;
}

int orri_wal_get_entry(uint32_t group, orr_index index, struct orr_slice bytes, struct orr_entry *out) {
    size_t size;
    out->index = index;
    if (get_entry(bytes, out, &size) < 0) return ORR_ECORRUPT;
    uint64_t check = entry_check(group, index, bytes.at, out->data.at, out->data.size);
    return same(check, orri_get_le(bytes.at + 24, 8)) ? 0 : ORR_ECORRUPT;
}

static int check_entries(const struct orri_wal_record *r, uint64_t *fold) {
    struct orr_entry entry;
    size_t at = 0, before = 0;
    int rc;
    while ((rc = orri_wal_next_entry(r, &at, &entry)) > 0) {
        const unsigned char *head = r->bytes.at + before;
        uint64_t check = entry_check(r->group, entry.index, head, entry.data.at, entry.data.size);
        if (!same(check, orri_get_le(head + 24, 8))) return ORR_ECORRUPT;
        *fold = orri_mix64(*fold, check);
        before = at;
    }
    return rc;
}

int orri_wal_check(uint64_t log, const struct orri_wal_head *head, struct orr_slice body) {
    uint64_t fold = orri_wal_fold(log, head->number);
    struct orri_wal_record r;
    size_t at = 0, before = 0;
    int rc;
    if (body.size != head->size) return ORR_ECORRUPT;
    while ((rc = orri_wal_next(body, &at, &r)) > 0) {
        size_t whole = r.kind == ORRI_WAL_ENTRIES ? ORRI_WAL_ENTRIES_SIZE : at - before;
        fold = orri_hash64(body.at + before, whole, fold);
        if (r.kind == ORRI_WAL_ENTRIES && (rc = check_entries(&r, &fold)) < 0) return rc;
        before = at;
    }
    return rc < 0 ? rc : same(fold, head->fold) ? 0 : ORR_ECORRUPT;
}
