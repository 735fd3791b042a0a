/* state.c - how the state changes: every change of a key goes through here, so that digest,
 * versions and snapshots are right.
 *
 * The digest is a sum (so the order of changes does not matter) over keys and slots of a hash of each:
 *
 *     key:   hash64(value, mix(mix(hash of the key, version), end))    slot: mix(slot + 1, version), 0 while that is 0
 *
 * kept in the entry, taken off before a change and added after it. A change is: orri_kv_look, orri_kv_open,
 * write the value and the end, orri_kv_close; nothing between can fail but the end's place in the heap, which
 * sets are asked for first. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "node/kv/kv.h"

uint64_t orri_kv_hash(const struct orri_kv *m, struct orr_slice key) { return orri_hash64(key.at, key.size, m->seed); }

static uint64_t digest_of(const struct orri_kv *m, const struct orri_kv_entry *e) {
    uint64_t head = orri_mix64(orri_mix64(e->hash, e->version), (uint64_t)orri_kv_ends(m->live, e));
    return orri_hash64(orri_kv_value(e), e->value_size, head);
}

uint64_t orri_kv_digest(const struct orri_kv *m) { return orri_mix64(m->sum, m->seed); }

void orri_kv_set_slot(struct orri_kv *m, uint64_t slot, uint64_t version) {
    uint64_t old = m->slots[slot];
    if (old == version) return;
    if (old) m->sum -= orri_mix64(slot + 1, old);
    if (version) m->sum += orri_mix64(slot + 1, version);
    m->slots[slot] = version;
}

bool orri_kv_is_due(const struct orri_kv *m, const struct orri_kv_entry *e, int64_t now_ms) {
    return e->place && orri_kv_ends(m->live, e) <= now_ms;
}

const struct orri_kv_entry *orri_kv_peek(const struct orri_kv *m, const struct orr_at *at, struct orr_slice key) {
    struct orri_kv_entry **link = orri_kv_find(m->live, key.at, key.size, orri_kv_hash(m, key));
    return link && !orri_kv_is_due(m, *link, orri_kv_ms(at)) ? *link : NULL;
}

void orri_kv_warm(const struct orri_kv *m, const struct orri_kv_args *args, size_t i, size_t step) {
    enum { AHEAD = 16 };
    if (i % (AHEAD * step) != 0 || args->n <= step) return;
    uint64_t hashes[AHEAD];
    size_t n = 0;
    for (struct orri_kv_args rest = *args; n < AHEAD && i < args->n; i += step) {
        hashes[n++] = orri_kv_hash(m, orri_kv_next_arg(&rest));
        if (step == 2) (void)orri_kv_next_arg(&rest);
    }
    for (unsigned phase = 0; phase < 2; phase++) {
        for (size_t k = 0; k < n; k++) orri_kv_prefetch(m->live, hashes[k], phase);
    }
}

uint64_t orri_kv_version(const struct orri_kv *m, const struct orr_at *at, struct orr_slice key) {
    const struct orri_kv_entry *e = orri_kv_peek(m, at, key);
    return e ? e->version : m->slots[orri_kv_hash(m, key) >> (64 - ORRI_KV_SLOT_BITS)];
}

void orri_kv_look(struct orri_kv *m, const struct orr_at *at, struct orr_slice key, struct orri_kv_spot *out) {
    uint64_t hash = orri_kv_hash(m, key);
    *out = (struct orri_kv_spot){ key, hash, orri_kv_find(m->live, key.at, key.size, hash) };
    if (out->link && orri_kv_is_due(m, *out->link, orri_kv_ms(at))) orri_kv_drop(m, at, out);
}

void orr_kv_observe(void *machine, struct orr_kv_observer *o) {
    struct orri_kv *m = machine;
    m->observer = o;
}

static void tell(struct orri_kv *m, enum orr_kv_change_kind kind, const struct orr_at *at,
                 const struct orri_kv_entry *e) {
    struct orr_kv_change change = { .kind = kind, .version = at->index, .position = e->hash };
    change.key = orr_borrow(e->bytes, e->key_size);
    if (kind == ORR_KV_CHANGE_SET) change.value = orr_borrow(orri_kv_value(e), e->value_size);
    m->observer->changed(m->observer, &change);
}

void orri_kv_drop(struct orri_kv *m, const struct orr_at *at, struct orri_kv_spot *spot) {
    struct orri_kv_entry *e = *spot->link;
    bool due = orri_kv_is_due(m, e, orri_kv_ms(at));
    if (m->observer) tell(m, due ? ORR_KV_CHANGE_EXPIRE : ORR_KV_CHANGE_DEL, at, e);
    orri_kv_save(m, e);
    m->sum -= e->digest;
    orri_kv_set_slot(m, spot->hash >> (64 - ORRI_KV_SLOT_BITS), at->index);
    orri_kv_remove(m->live, spot->link);
    spot->link = NULL;
}

int orri_kv_open(struct orri_kv *m, struct orri_kv_spot *spot, uint32_t value_size, struct orri_kv_entry **out) {
    struct orri_kv_entry *e = orri_kv_at(spot);
    if (!e) {
        *out = orri_kv_insert(m->live, spot->key, spot->hash, value_size);
        return *out ? 0 : -ENOMEM;
    }
    orri_kv_save(m, e);
    uint64_t digest = e->digest;
    e = orri_kv_resize(m->live, spot->link, value_size);
    if (!e) return -ENOMEM;
    m->sum -= digest;
    *out = e;
    return 0;
}

void orri_kv_seal(struct orri_kv *m, struct orri_kv_entry *e, uint64_t version) {
    e->version = version;
    e->image = m->image.id;
    e->digest = digest_of(m, e);
    m->sum += e->digest;
}

void orri_kv_close(struct orri_kv *m, const struct orr_at *at, struct orri_kv_entry *e) {
    orri_kv_seal(m, e, at->index);
    if (m->observer) tell(m, ORR_KV_CHANGE_SET, at, e);
}

int orri_kv_store(struct orri_kv *m, const struct orr_at *at, struct orri_kv_spot *spot, struct orr_slice value,
                  int64_t ends) {
    struct orri_kv_entry *e;
    if (orri_kv_open(m, spot, (uint32_t)value.size, &e) < 0) return -ENOMEM;
    if (value.size) memcpy(e->bytes + e->key_size, value.at, value.size);
    int status = orri_kv_set_ends(m->live, e, ends);
    orri_kv_close(m, at, e);
    return status;
}

/* The table goes as it is, to be taken down bit by bit (and read by a snapshot that is still at it);
 * an empty one takes its place. All slots get the index: whatever was there is gone since now.                       */
int orri_kv_flush(struct orri_kv *m, const struct orr_at *at) {
    struct orri_kv_table *empty;
    if (orri_kv_table_new(&empty, &m->alloc) < 0) return -ENOMEM;
    if (m->observer) m->observer->replaced(m->observer, at->index);
    m->live->next = m->dead;
    m->dead = m->live;
    m->live = empty;
    m->sum = 0;
    memset(m->slots, 0, sizeof m->slots);
    for (uint64_t i = 0; i < ORRI_KV_SLOTS; i++) orri_kv_set_slot(m, i, at->index);
    return 0;
}

void orri_kv_reap(struct orri_kv *m, uint64_t work) {
    struct orri_kv_table **link = &m->dead;
    while (*link && *link == m->image.of) link = &(*link)->next;
    if (!*link) return;
    struct orri_kv_table *next = (*link)->next;
    if (orri_kv_table_reap(*link, work)) *link = next;
}
