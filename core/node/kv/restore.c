/* restore.c - a snapshot back into a machine, from parts that are cut anywhere (the format is image.c's).
 *
 * Nothing in the bytes is believed: sizes are bounded before memory is asked for, a key that comes twice, a record too
 * many or too few, an end or a version that can't be, or a digest other than the head's is ORR_ECORRUPT. After a
 * failure the machine is empty but whole. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "node/kv/kv.h"

enum { REAP = 256 };

static int fail(struct orri_kv *m, int status) {
    if (!m->restore.failed) m->restore.failed = status;
    return status;
}

static void drop_half(struct orri_kv *m) {
    struct orri_kv_restore *r = &m->restore;
    if (r->key) m->alloc.fn(m->alloc.ud, r->key, r->key_size + 1, 0);
    r->key = NULL;
    r->entry = NULL;
    r->n_head = r->filled = 0;
}

void orri_kv_restore_clear(struct orri_kv *m) {
    drop_half(m);
    m->restore = (struct orri_kv_restore){ .on = false };
}

/* No seed, no keys, no slots. The old table is taken down bit by bit. */
static int empty(struct orri_kv *m) {
    struct orr_at nowhere = { 0, 0, 0 };
    if (orri_kv_flush(m, &nowhere) < 0) return -ENOMEM;
    m->seed = 0;
    return 0;
}

int orri_kv_restore_begin(struct orri_kv *m) {
    orri_kv_unfreeze(m);
    orri_kv_restore_clear(m);
    if (empty(m) < 0) return -ENOMEM;
    m->restore.on = true;
    return 0;
}

/* Moves up to `want` bytes in all into the small buffer; true when they are there. */
static bool gather(struct orri_kv_restore *r, struct orr_slice *in, size_t want) {
    size_t size = want - r->n_head < in->size ? want - r->n_head : in->size;
    memcpy(r->head + r->n_head, in->at, size);
    r->n_head += size;
    *in = orr_part_of(*in, size, in->size - size);
    return r->n_head == want;
}

static int take_head(struct orri_kv *m, struct orr_slice *in) {
    struct orri_kv_restore *r = &m->restore;
    if (!gather(r, in, ORRI_KV_HEAD)) return 0;
    struct orr_reader head = orri_reader(r->head, r->n_head);
    struct orr_slice magic = orri_read_bytes(&head, 8);
    if (memcmp(magic.at, ORRI_KV_MAGIC, 8) != 0 || orri_read_u32(&head) != ORRI_KV_FORMAT) return ORR_ECORRUPT;
    if (orri_read_u32(&head) != 0) return ORR_ECORRUPT;
    m->seed = orri_read_u64(&head);
    r->keys = orri_read_u64(&head);
    r->digest = orri_read_u64(&head);
    r->n_head = 0;
    r->begun = true;
    return m->seed || r->keys == 0 ? 0 : ORR_ECORRUPT;
}

static int take_slot(struct orri_kv *m, struct orr_slice *in) {
    if (!gather(&m->restore, in, 8)) return 0;
    orri_kv_set_slot(m, m->restore.n_slots++, orri_get_le(m->restore.head, 8));
    m->restore.n_head = 0;
    return 0;
}

/* A record's four numbers, byte by byte until they are whole. */
static int take_record(struct orri_kv *m, struct orr_slice *in) {
    struct orri_kv_restore *r = &m->restore;
    if (m->live->n == r->keys) return ORR_ECORRUPT;
    while (in->size > 0) {
        if (r->n_head == ORRI_KV_RECORD_HEAD_MAX) return ORR_ECORRUPT;
        (void)gather(r, in, r->n_head + 1);
        if (r->head[r->n_head - 1] >= 0x80) continue;
        struct orr_reader head = orri_reader(r->head, r->n_head);
        uint64_t key_size = orri_read_varint(&head);
        r->value_size = orri_read_varint(&head);
        r->version = orri_read_varint(&head);
        r->ends = orri_read_varint(&head);
        if (head.failed) continue;
        if (key_size > ORR_KV_KEY_MAX || r->value_size > ORR_KV_VALUE_MAX || r->ends > INT64_MAX) return ORR_ECORRUPT;
        r->key_size = (size_t)key_size;
        r->key = m->alloc.fn(m->alloc.ud, NULL, 0, r->key_size + 1);
        return r->key ? 0 : -ENOMEM;
    }
    return 0;
}

static int make_entry(struct orri_kv *m) {
    struct orri_kv_restore *r = &m->restore;
    struct orr_slice key = orr_borrow(r->key, r->key_size);
    uint64_t hash = orri_kv_hash(m, key);
    if (orri_kv_find(m->live, key.at, key.size, hash)) return ORR_ECORRUPT;
    r->entry = orri_kv_insert(m->live, key, hash, (uint32_t)r->value_size);
    if (!r->entry) return -ENOMEM;
    memset(r->entry->bytes + r->key_size, 0, r->value_size);
    r->filled = 0;
    return orri_kv_set_ends(m->live, r->entry, (int64_t)r->ends);
}

/* Bytes of the key, then of the value; the entry is made between the two. */
static int take_bytes(struct orri_kv *m, struct orr_slice *in) {
    struct orri_kv_restore *r = &m->restore;
    unsigned char *to = r->entry ? r->entry->bytes + r->key_size : r->key;
    size_t want = r->entry ? (size_t)r->value_size : r->key_size;
    size_t size = want - r->filled < in->size ? want - r->filled : in->size;
    if (size) memcpy(to + r->filled, in->at, size);
    r->filled += size;
    *in = orr_part_of(*in, size, in->size - size);
    if (r->filled < want) return 0;
    if (!r->entry) {
        int status = make_entry(m);
        if (status < 0 || r->value_size > 0) return status;
    }
    orri_kv_seal(m, r->entry, r->version);
    drop_half(m);
    return 0;
}

static int take(struct orri_kv *m, struct orr_slice *in) {
    struct orri_kv_restore *r = &m->restore;
    if (!r->begun) return take_head(m, in);
    if (r->n_slots < ORRI_KV_SLOTS) return take_slot(m, in);
    return r->key ? take_bytes(m, in) : take_record(m, in);
}

/* Is the record at hand one without bytes to wait for? */
static bool at_once(const struct orri_kv_restore *r) { return r->key && !r->entry && r->filled == r->key_size; }

int orri_kv_restore_part(struct orri_kv *m, const void *at, size_t size) {
    struct orr_slice in = orr_borrow(at, size);
    if (!m->restore.on) return ORR_EINVALID;
    while (!m->restore.failed && (in.size > 0 || at_once(&m->restore))) {
        int status = take(m, &in);
        if (status < 0) (void)fail(m, status);
    }
    orri_kv_reap(m, REAP);
    return m->restore.failed;
}

int orri_kv_restore_end(struct orri_kv *m) {
    struct orri_kv_restore *r = &m->restore;
    if (!r->on) return ORR_EINVALID;
    int status = r->failed;
    bool whole = r->begun && r->n_slots == ORRI_KV_SLOTS && !r->key && r->n_head == 0 && m->live->n == r->keys;
    if (status == 0 && (!whole || orri_kv_digest(m) != r->digest)) status = ORR_ECORRUPT;
    orri_kv_restore_clear(m);
    if (status < 0 && empty(m) < 0) return -ENOMEM;
    return status;
}
