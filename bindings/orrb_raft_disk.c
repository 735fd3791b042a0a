/* orrb_raft_disk.c - what a bare Raft object has handed out to be stored, kept in memory for itself.
 *
 * Whoever drives the object by hand stores what he likes where he likes; the object still wants entries back that its
 * window has given up, and pieces of a snapshot to send. So that no script has to serve those, it keeps all of them
 * here, by reference, as they were handed out: what is asked for was stored before, and is the newest of its index. */
#include <errno.h>
#include <string.h>

#include "orrb_raft.h"

void orrb_raft_disk_init(struct orrb_raft_disk *d, struct orr_alloc alloc, struct orr_chunks *chunks) {
    *d = (struct orrb_raft_disk){ .alloc = alloc, .chunks = chunks, .first = 1 };
}

static void cut(struct orrb_raft_disk *d, size_t n) {
    while (d->n > n) orr_drop(d->entries[--d->n].data);
}

static void forget_incoming(struct orrb_raft_disk *d) {
    orr_drop(d->incoming_data);
    d->incoming_data = orr_borrow(NULL, 0);
}

void orrb_raft_disk_clear(struct orrb_raft_disk *d) {
    cut(d, 0);
    if (d->entries) d->alloc.fn(d->alloc.ud, d->entries, d->cap * sizeof *d->entries, 0);
    orr_drop(d->data);
    forget_incoming(d);
    *d = (struct orrb_raft_disk){ 0 };
}

int orrb_raft_disk_keep(struct orrb_raft_disk *d, struct orr_slice s, struct orr_slice *out) {
    *out = s.size ? orr_hold(s) : orr_borrow(NULL, 0);
    if (s.chunk || s.size == 0) return 0;
    struct orr_chunk *c = d->chunks->get(d->chunks, s.size);
    if (!c) return -ENOMEM;
    memcpy(c->at, s.at, s.size);
    *out = (struct orr_slice){ c, c->at, s.size };
    return 0;
}

static int reserve(struct orrb_raft_disk *d) {
    if (d->n < d->cap) return 0;
    size_t cap = d->cap ? 2 * d->cap : 16;
    struct orr_entry *grown =
        d->alloc.fn(d->alloc.ud, d->entries, d->cap * sizeof *grown, cap * sizeof *grown);
    if (!grown) return -ENOMEM;
    d->entries = grown;
    d->cap = cap;
    return 0;
}

int orrb_raft_disk_append(struct orrb_raft_disk *d, const struct orr_entry *e) {
    struct orr_slice data;
    if (d->n == 0) d->first = e->index;
    if (reserve(d) != 0 || orrb_raft_disk_keep(d, e->data, &data) != 0) return -ENOMEM;
    cut(d, (size_t)(e->index - d->first));
    d->entries[d->n] = *e;
    d->entries[d->n++].data = data;
    return 0;
}

int orrb_raft_disk_take(struct orrb_raft_disk *d, const struct orr_part *part) {
    if (part->offset == 0) forget_incoming(d);
    size_t had = d->incoming_data.size, size = had + part->data.size;
    d->incoming = (struct orr_snapshot){ .index = part->snapshot.index, .term = part->snapshot.term };
    if (part->data.size == 0) return 0;
    struct orr_chunk *c = d->chunks->get(d->chunks, size);
    if (!c) return -ENOMEM;
    if (had) memcpy(c->at, d->incoming_data.at, had);
    memcpy(c->at + had, part->data.at, part->data.size);
    forget_incoming(d);
    d->incoming_data = (struct orr_slice){ c, c->at, size };
    return 0;
}

void orrb_raft_disk_install(struct orrb_raft_disk *d) {
    cut(d, 0);
    orr_drop(d->data);
    d->snapshot = d->incoming;
    d->data = d->incoming_data;             /* moved */
    d->incoming_data = orr_borrow(NULL, 0);
    d->first = d->snapshot.index + 1;
}

static int serve_entries(const struct orrb_raft_disk *d, struct orr_raft *r, orr_time now, const struct orr_fetch *f) {
    if (f->from < d->first || f->from - d->first >= d->n) return orr_raft_fetched(r, now, f->id, NULL, 0, ORR_EINVALID);
    const struct orr_entry *at = &d->entries[f->from - d->first];
    size_t n = 0, bytes = 0, most = d->n - (size_t)(f->from - d->first);
    for (; n < most && n < ORR_RAFT_ENTRIES_MAX && at[n].index <= f->through; n++) {
        bytes += at[n].data.size;
        if (n > 0 && bytes > f->bytes_max) break;
    }
    return orr_raft_fetched(r, now, f->id, at, n, 0);
}

static int serve_part(const struct orrb_raft_disk *d, struct orr_raft *r, orr_time now, const struct orr_fetch *f) {
    bool ours = d->snapshot.index == f->from && d->snapshot.term == f->term && f->offset <= d->data.size;
    if (!ours) return orr_raft_fetched_part(r, now, f->id, orr_borrow(NULL, 0), ORR_EINVALID);
    size_t left = d->data.size - (size_t)f->offset;
    struct orr_slice part = orr_part_of(d->data, (size_t)f->offset, left < f->bytes_max ? left : f->bytes_max);
    return orr_raft_fetched_part(r, now, f->id, part, 0);
}

int orrb_raft_disk_serve(const struct orrb_raft_disk *d, struct orr_raft *r, orr_time now, const struct orr_fetch *f) {
    return f->kind == ORR_FETCH_ENTRIES ? serve_entries(d, r, now, f) : serve_part(d, r, now, f);
}
