/* disks.c - what each node's disk would surely have after a power loss now, read from the simulator's durable images.
 *
 * The reader follows each node's log by the format's own pure functions, never through the node. It reads on only when
 * a claim goes beyond what it has read so far, and the disk has changed since: a message that says "term 5 is stored",
 * "I voted for c" or "I have everything through 17" must find that in the image at the moment it is handed out, and
 * whatever is first handed out as committed must be in the images of a majority, with its term. */
#include <errno.h>
#include <inttypes.h>
#include <orrery/raft.h>
#include <stdio.h>
#include <string.h>

#include "lab_internal.h"
#include "storage/wal_format.h"

struct image {                      /* one group on one disk */
    orr_term term;
    orr_id vote;
    orr_index base, last;           /* everything through base is in a snapshot, or older than what was read */
    orr_term base_term;
    orr_term *terms;                /* [index], base < index <= last */
    size_t cap;
};
struct disk {
    bool open;                      /* a segment was found; the next batch is at `at` of it, if it is there, */
    struct orri_wal_header next;    /* and bears these */
    uint64_t at;
    char path[ORRI_WAL_NAME];
    uint64_t read;                  /* of the disk's changes, so many are known */
    struct image *groups;           /* [slot] */
    size_t n_groups, cap_groups;
};
struct lab_disks {
    struct disk disks[LAB_NODES_MAX];
    struct image none;              /* where memory is out */
    unsigned char *body;
    size_t cap_body;
};

int lab_disks_new(struct orr_lab *lab) {
    lab->disks = lab->alloc.fn(lab->alloc.ud, NULL, 0, sizeof *lab->disks);
    if (!lab->disks) return -ENOMEM;
    memset(lab->disks, 0, sizeof *lab->disks);
    return 0;
}

static void forget(struct orr_lab *lab, struct disk *d) {
    for (size_t g = 0; g < d->n_groups; g++) {
        struct image *m = &d->groups[g];
        if (m->terms) lab->alloc.fn(lab->alloc.ud, m->terms, m->cap * sizeof *m->terms, 0);
    }
    if (d->groups) lab->alloc.fn(lab->alloc.ud, d->groups, d->cap_groups * sizeof *d->groups, 0);
    memset(d, 0, sizeof *d);
}
void lab_disks_free(struct orr_lab *lab) {
    if (!lab->disks) return;
    for (size_t i = 0; i < LAB_NODES_MAX; i++) forget(lab, &lab->disks->disks[i]);
    if (lab->disks->body) lab->alloc.fn(lab->alloc.ud, lab->disks->body, lab->disks->cap_body, 0);
    lab->alloc.fn(lab->alloc.ud, lab->disks, sizeof *lab->disks, 0);
}
void lab_disks_start(struct orr_lab *lab, size_t node) { forget(lab, &lab->disks->disks[node]); }

/* What was read of a group: nothing, where memory is out. */
static struct image *image_of(struct orr_lab *lab, struct disk *d, size_t slot) {
    struct image *groups = lab_grow(lab, d->groups, &d->cap_groups, slot + 1, sizeof *groups);
    if (!groups) return &lab->disks->none;
    d->groups = groups;
    if (d->n_groups <= slot) d->n_groups = slot + 1;
    return &groups[slot];
}

static bool read_at(struct orr_lab *lab, size_t node, const char *path, uint64_t at, void *buf, size_t size) {
    size_t got = 0;
    int rc = orr_sim_disk_durable(lab->sim, lab->names[node], path, at, buf, size, &got);
    return rc == 0 && got == size;
}

/* -- Records ------------------------------------------------------------------------------------------------------- */
static void cut(struct image *m, orr_index base, orr_term term) {
    if (base <= m->base) return;
    m->base = base;
    m->base_term = term;
    if (m->last < base) m->last = base;
}

static void put_entries(struct orr_lab *lab, struct image *m, const struct orri_wal_record *r) {
    orr_term *terms = lab_grow(lab, m->terms, &m->cap, r->last + 1, sizeof *terms);
    if (!terms) return;
    m->terms = terms;
    size_t at = 0;
    struct orr_entry e;
    for (orr_index i = r->first; i <= r->last && orri_wal_next_entry(r, &at, &e) == 1; i++) terms[i] = e.term;
    if (m->last == m->base && r->first > m->base + 1) cut(m, r->first - 1, 0);
    if (r->truncate || r->last > m->last) m->last = r->last;
}

static void take_record(struct orr_lab *lab, struct disk *d, const struct orri_wal_record *r) {
    size_t slot = lab_slot(lab, r->group);
    if (slot == SIZE_MAX) return;
    struct image *m = image_of(lab, d, slot);
    switch (r->kind) {
    case ORRI_WAL_GROUP:            /* a segment's summary of what older ones say */
        if (r->first > 1) cut(m, r->first - 1, 0);
        if (r->bytes.size == 0) break;
        /* fall through */
    case ORRI_WAL_STATE:
        if (slot != 0) orr_raft_state_decode(r->bytes, &m->term, &m->vote);
        break;
    case ORRI_WAL_ENTRIES: put_entries(lab, m, r); break;
    case ORRI_WAL_RESET:
        m->base = m->last = r->index;
        m->base_term = r->term;
        break;
    case ORRI_WAL_RELEASE:          /* as a summary would say it; the segments that had it may have gone */
        cut(m, r->index, 0);
        break;
    }
}

/* -- Segments ------------------------------------------------------------------------------------------------------ */
/* A batch at `at` of a segment, if it is there as a whole; the body lies in lab->disks->body. */
static bool batch_at(struct orr_lab *lab, size_t node, const char *path, uint64_t at, const struct orri_wal_header *in,
                     struct orri_wal_head *head, struct orr_slice *body) {
    unsigned char bytes[ORRI_WAL_HEAD];
    if (!read_at(lab, node, path, at, bytes, sizeof bytes)) return false;
    if (orri_wal_get_head(bytes, in->log, head) < 0 || head->segment != in->segment || head->number != in->number)
        return false;
    uint64_t size = 0;
    orr_sim_disk_durable_size(lab->sim, lab->names[node], path, &size);
    if (head->before != in->chain || head->size > size) return false;
    unsigned char *room = lab_grow(lab, lab->disks->body, &lab->disks->cap_body, head->size + 1, 1);
    if (!room) return false;
    lab->disks->body = room;
    if (!read_at(lab, node, path, at + ORRI_WAL_HEAD, room, head->size)) return false;
    *body = orr_borrow(room, head->size);
    return orri_wal_check(in->log, head, *body) == 0;
}

/* Takes the next batch, if it is there. */
static bool take_batch(struct orr_lab *lab, struct disk *d, size_t node) {
    struct orri_wal_head head;
    struct orr_slice body;
    struct orri_wal_record r;
    if (!batch_at(lab, node, d->path, d->at, &d->next, &head, &body)) return false;
    for (size_t at = 0; orri_wal_next(body, &at, &r) == 1;) take_record(lab, d, &r);
    d->at += ORRI_WAL_HEAD + head.size;
    d->next.number = head.number + 1;
    d->next.chain = head.chain;
    return true;
}

/* The segment that a slot holds: by its header, or by its first batch where that is of a later one, since of the write
 * that began it a power loss may have kept that batch alone. */
static bool claim_at(struct orr_lab *lab, size_t node, const char *path, uint64_t log, struct orri_wal_header *out) {
    unsigned char header[ORRI_WAL_HEADER], first[ORRI_WAL_HEAD];
    struct orri_wal_head head;
    if (!read_at(lab, node, path, 0, header, sizeof header)) return false;
    if (orri_wal_get_header(header, log, out) < 0) *out = (struct orri_wal_header){ .log = log };
    bool begun = read_at(lab, node, path, ORRI_WAL_PAGE, first, sizeof first);
    if (begun && orri_wal_get_head(first, log, &head) == 0 && head.segment > out->segment) {
        out->segment = head.segment;
        out->number = head.number;
        out->chain = head.before;
    }
    return out->segment > 0;
}

/* The segment to go on with: of those behind the present one whose first batch is there (a slot may still bear a header
 * whose segment never began), the least, and of equals the one that goes on where this one ends. */
static bool find_segment(struct orr_lab *lab, size_t node, const struct disk *d, struct orri_wal_header *best,
                         char *path) {
    bool found = false, follows = false;
    const char *name;
    for (size_t i = 0; (name = orr_sim_disk_durable_name(lab->sim, lab->names[node], i)) != NULL; i++) {
        uint64_t log;
        uint32_t slot;
        struct orri_wal_header h;
        struct orri_wal_head head;
        struct orr_slice body;
        if (!orri_wal_name_read(name, &log, &slot) || !claim_at(lab, node, name, log, &h)) continue;
        if (d->open && h.segment <= d->next.segment) continue;
        if (found && (h.segment > best->segment || (h.segment == best->segment && follows))) continue;
        if (!batch_at(lab, node, name, ORRI_WAL_PAGE, &h, &head, &body)) continue;
        *best = h;
        snprintf(path, ORRI_WAL_NAME, "%s", name);
        found = true;
        follows = d->open && h.number == d->next.number && h.chain == d->next.chain;
    }
    return found;
}

/* May there be a segment that the last search didn't see? */
static bool others_changed(const struct orr_lab *lab, const struct disk *d, size_t node) {
    return !d->open || orr_sim_disk_changed_beside(lab->sim, lab->names[node], d->path) > d->read;
}

/* Reads everything that is durable by now. */
static void read_on(struct orr_lab *lab, size_t node) {
    struct disk *d = &lab->disks->disks[node];
    uint64_t changes = orr_sim_disk_changes(lab->sim, lab->names[node]);
    if (changes == d->read) return;
    for (;;) {
        while (d->open && take_batch(lab, d, node)) {}
        struct orri_wal_header h = { 0 };
        char path[ORRI_WAL_NAME];
        if (!others_changed(lab, d, node) || !find_segment(lab, node, d, &h, path)) break;
        memcpy(d->path, path, sizeof path);
        d->open = true;
        d->next = h;
        d->at = ORRI_WAL_PAGE;
    }
    d->read = changes;
}

/* -- Claims -------------------------------------------------------------------------------------------------------- */
static const char *unfounded(const struct image *m, const struct orr_claims *c) {
    if (c->term > m->term) return "its term";
    if (c->vote && m->term == c->term && m->vote != c->candidate) return "its vote";
    if (c->match > m->last) return "what it acknowledged";
    if (c->snapshot > m->last) return "its snapshot";
    return NULL;
}
void lab_disks_claim(struct orr_lab *lab, size_t node, size_t slot, const struct orr_claims *c) {
    const struct image *m = image_of(lab, &lab->disks->disks[node], slot);
    if (!unfounded(m, c)) return;
    read_on(lab, node);
    m = image_of(lab, &lab->disks->disks[node], slot);      /* it may have moved */
    const char *what = unfounded(m, c);
    if (what && !lab_exempt(lab, node))         /* what was damaged had been there when it was claimed */
        lab_violate(lab, "persist_before_claim", "%s claims in a message what its disk doesn't have: %s (term %" PRIu64
                    " match %" PRIu64 "; the disk has term %" PRIu64 ", entries through %" PRIu64 ")",
                    lab->cfg.nodes[node].id, what, c->term, c->match, m->term, m->last);
}

static bool has(const struct image *m, orr_index index, orr_term term) {
    if (index <= m->base) return true;
    return index <= m->last && m->terms[index] == term;
}
static bool has_now(struct orr_lab *lab, size_t node, size_t slot, orr_index index, orr_term term) {
    struct disk *d = &lab->disks->disks[node];
    if (!has(image_of(lab, d, slot), index, term)) read_on(lab, node);
    return has(image_of(lab, d, slot), index, term);
}

bool lab_disks_remember(struct orr_lab *lab, size_t slot, orr_index index, orr_term term, const bool *bears) {
    size_t have = 0, all = 0, damaged = 0;
    for (size_t i = 0; i < lab->cfg.n_nodes; i++) {
        bool hurt = bears[i] && lab_exempt(lab, i);
        damaged += hurt;
        have += bears[i] && !hurt && has_now(lab, i, slot, index, term);
        all += bears[i];
    }
    return damaged == 0 || 2 * have > all;
}

void lab_disks_committed(struct orr_lab *lab, size_t slot, orr_index index, orr_term term, const bool *bears) {
    size_t have = 0, all = 0;
    for (size_t i = 0; i < lab->cfg.n_nodes; i++) {
        if (!bears[i]) continue;
        have += has_now(lab, i, slot, index, term) || lab_exempt(lab, i);
        all++;
    }
    if (2 * have <= all)
        lab_violate(lab, "persist_before_claim",
                    "index %" PRIu64 " counts as committed, but only %zu of %zu disks have it", index, have, all);
}
