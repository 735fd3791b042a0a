/* image.c - a snapshot of the keys, taken while ops go on.
 *
 * freeze() gives the image a number and writes its head; next() walks the table in hash order and writes what doesn't
 * bear the number yet. An entry that is about to be changed or removed and doesn't bear it is written first
 * (orri_kv_save), a new one bears it from birth: so the image is exactly the state at freeze(), whatever came between,
 * and no walk is longer than its call. The position is a hash, so the table may split and join buckets meanwhile; where
 * two were joined behind the position, the number tells what is already out. FLUSHALL leaves the table as it is: the
 * walk goes on in the old one.
 *
 * The image, little-endian:
 *
 *     | offset | bytes | is                                        | a record, in any order:                |
 *     | 0      | 8     | "orrerykv"                                | varint  size of the key                |
 *     | 8      | 4     | format version, 1                         | varint  size of the value              |
 *     | 12     | 4     | 0                                         | varint  version                        |
 *     | 16     | 8     | seed                                      | varint  end in ms, 0: none             |
 *     | 24     | 8     | number of records                         | key, value                             |
 *     | 32     | 8     | digest of the state                       |                                        |
 *     | 40     | 32768 | versions of the 4096 slots, 8 bytes each  |                                        |
 *     | 32808  |       | the records; nothing follows              |                                        | */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "node/kv/kv.h"

enum { CHUNK = 64 << 10, WALK_MAX = 4096 };

static struct orri_kv_chunk *add_chunk(struct orri_kv *m, size_t cap) {
    struct orri_kv_chunk *c = m->alloc.fn(m->alloc.ud, NULL, 0, sizeof *c);
    struct orr_chunk *chunk = c ? m->chunks->get(m->chunks, cap) : NULL;
    if (!chunk) {
        if (c) m->alloc.fn(m->alloc.ud, c, sizeof *c, 0);
        return NULL;
    }
    *c = (struct orri_kv_chunk){ .chunk = chunk };
    if (m->image.last) m->image.last->next = c;
    else m->image.first = c;
    m->image.last = c;
    return c;
}

static void drop_first(struct orri_kv *m) {
    struct orri_kv_chunk *c = m->image.first;
    m->image.first = c->next;
    if (!c->next) m->image.last = NULL;
    orr_chunk_drop(c->chunk);
    m->alloc.fn(m->alloc.ud, c, sizeof *c, 0);
}

/* Room for a record in one piece: a new chunk where the last one is too full, so a failure leaves no half of one. */
static unsigned char *room(struct orri_kv *m, size_t size) {
    struct orri_kv_chunk *c = m->image.last;
    bool own = orr_rare(&m->rare, "kv.image_own_chunk");
    if (!c || c->chunk->cap - c->used < size || own) c = add_chunk(m, size > CHUNK || own ? size : CHUNK);
    return c ? c->chunk->at + c->used : NULL;
}

static void wrote(struct orri_kv *m, size_t size) {
    m->image.last->used += (uint32_t)size;
    m->image.queued += size;
}

static int write_head(struct orri_kv *m) {
    size_t size = ORRI_KV_HEAD + sizeof m->slots;
    unsigned char *at = room(m, size);
    if (!at) return -ENOMEM;
    struct orr_writer w = orri_writer(at, size);
    orri_write_bytes(&w, ORRI_KV_MAGIC, 8);
    orri_write_u32(&w, ORRI_KV_FORMAT);
    orri_write_u32(&w, 0);
    orri_write_u64(&w, m->seed);
    orri_write_u64(&w, m->live->n);
    orri_write_u64(&w, orri_kv_digest(m));
    for (size_t i = 0; i < ORRI_KV_SLOTS; i++) orri_write_u64(&w, m->slots[i]);
    ORR_ASSERT(!w.failed);
    wrote(m, size);
    return 0;
}

static int write_record(struct orri_kv *m, struct orri_kv_entry *e) {
    size_t max = ORRI_KV_RECORD_HEAD_MAX + (size_t)e->key_size + e->value_size;
    unsigned char *at = room(m, max);
    if (!at) return -ENOMEM;
    struct orr_writer w = orri_writer(at, max);
    orri_write_varint(&w, e->key_size);
    orri_write_varint(&w, e->value_size);
    orri_write_varint(&w, e->version);
    orri_write_varint(&w, (uint64_t)orri_kv_ends(m->image.of, e));
    orri_write_bytes(&w, e->bytes, (size_t)e->key_size + e->value_size);
    ORR_ASSERT(!w.failed);
    wrote(m, (size_t)(w.at - at));
    e->image = m->image.id;
    return 0;
}

/* For want of memory the image is given up, never the op: other replicas have applied it. */
void orri_kv_save(struct orri_kv *m, struct orri_kv_entry *e) {
    if (m->image.of != m->live || e->image == m->image.id) return;
    if (write_record(m, e) == 0) return;
    m->image.failed = true;
    m->image.of = NULL;
}

int orri_kv_freeze(struct orri_kv *m) {
    if (m->image.on) return ORR_EBUSY;
    if (write_head(m) < 0) return -ENOMEM;
    m->image.on = true;
    m->image.id++;
    m->image.of = m->live;
    m->image.position = 0;
    return 0;
}

void orri_kv_unfreeze(struct orri_kv *m) {
    while (m->image.first) drop_first(m);
    m->image.queued = 0;
    m->image.of = NULL;
    m->image.on = m->image.failed = false;
}

/* Whole buckets, until `bytes` are ready or enough were looked into. */
static int advance(struct orri_kv *m, size_t bytes) {
    struct orri_kv_image *image = &m->image;
    unsigned walk = orr_rare(&m->rare, "kv.image_short_walk") ? 1 : WALK_MAX;
    for (unsigned looked = 0; image->of && image->queued < bytes && looked < walk; looked++) {
        uint64_t next;
        struct orri_kv_entry *e = orri_kv_bucket(image->of, image->position, &next);
        for (; e; e = e->next, looked++) {
            if (e->image != image->id && write_record(m, e) < 0) return -ENOMEM;
        }
        image->position = next;
        if (next == 0) image->of = NULL;
    }
    return 0;
}

int orri_kv_next(struct orri_kv *m, size_t bytes, struct orr_slice *out) {
    struct orri_kv_image *image = &m->image;
    if (!image->on) return ORR_EINVALID;
    if (bytes == 0) bytes = 1;
    if (image->failed || advance(m, bytes) < 0) return -ENOMEM;
    *out = orr_borrow(NULL, 0);
    while (image->first && image->first->taken == image->first->used && image->first->next) drop_first(m);
    struct orri_kv_chunk *c = image->first;
    if (c) {
        size_t size = c->used - c->taken < bytes ? c->used - c->taken : bytes;
        *out = orr_hold((struct orr_slice){ c->chunk, c->chunk->at + c->taken, size });
        c->taken += (uint32_t)size;
        image->queued -= size;
    }
    return image->of || image->queued > 0;
}
