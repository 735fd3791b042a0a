/* records.c - who is known: the table by id, the order of names, the shuffled list of whom to talk to.
 *
 * A newcomer is put at a random place of the list, so that a node that joined is found to have failed as soon as
 * others, on average (SWIM, section 4.3); who goes leaves no gap, and nobody is passed over because of it. */
#include <errno.h>
#include <string.h>

#include "membership/inner.h"

enum { TABLE_FIRST = 16, DRAWS = 8 };

/* -- By id --------------------------------------------------------------------------------------------------------- */
static size_t slot(const struct orr_membership *m, orr_id id) {
    size_t at = (size_t)id & (m->table_cap - 1);
    while (m->table[at] && m->table[at]->id != id) at = (at + 1) & (m->table_cap - 1);
    return at;
}

struct orri_member *orri_member_find(const struct orr_membership *m, orr_id id) {
    return m->table_cap ? m->table[slot(m, id)] : NULL;
}

/* Each step's misses of the cache are waited for together. */
void orri_member_fetch(const struct orr_membership *m, const struct orri_facts *facts) {
    size_t mask = m->table_cap - 1;
    for (size_t i = 0; i < facts->n; i++) __builtin_prefetch(&m->table[(size_t)facts->at[i].id & mask]);
    for (size_t i = 0; i < facts->n; i++) {
        const struct orri_member *likely = m->table[(size_t)facts->at[i].id & mask];
        if (likely) __builtin_prefetch(likely);
    }
}

static int grow_table(struct orr_membership *m) {
    if (4 * (m->n_records + 1) <= 3 * m->table_cap) return 0;
    size_t cap = m->table_cap ? 2 * m->table_cap : TABLE_FIRST, had = m->table_cap;
    struct orri_member **old = m->table;
    struct orri_member **table = m->alloc.fn(m->alloc.ud, NULL, 0, cap * sizeof(struct orri_member *));
    if (!table) return -ENOMEM;
    memset(table, 0, cap * sizeof(struct orri_member *));
    m->table = table;
    m->table_cap = cap;
    for (size_t i = 0; i < had; i++) {
        if (old[i]) m->table[slot(m, old[i]->id)] = old[i];
    }
    if (old) m->alloc.fn(m->alloc.ud, old, had * sizeof(struct orri_member *), 0);
    return 0;
}

/* Those behind it that its place had turned away move up, so that no search ends too early. */
static void take_out_of_table(struct orr_membership *m, orr_id id) {
    size_t mask = m->table_cap - 1, hole = slot(m, id);
    for (size_t at = (hole + 1) & mask; m->table[at]; at = (at + 1) & mask) {
        size_t home = (size_t)m->table[at]->id & mask;
        if (((at - home) & mask) < ((at - hole) & mask)) continue;
        m->table[hole] = m->table[at];
        hole = at;
    }
    m->table[hole] = NULL;
}

/* -- Texts --------------------------------------------------------------------------------------------------------- */
static size_t text_size(const struct orri_member *r) {
    return (size_t)r->name_size + r->address_size + r->zone_size + 3 + r->tags_size;
}

static char *put(char *to, struct orr_slice from, bool nul) {
    if (from.size) memcpy(to, from.at, from.size);
    to += from.size;
    if (nul) *to++ = 0;
    return to;
}

static struct orr_slice name_of(const struct orri_member *r) { return orr_borrow(orri_name(r), r->name_size); }

/* What the fact leaves out stays. */
static struct orr_slice address_in(const struct orri_member *r, const struct orri_fact *f) {
    return f->address.size ? f->address : orr_borrow(orri_told_address(r), r->address_size);
}

int orri_record_tell(struct orr_membership *m, struct orri_member *r, const struct orri_fact *f) {
    struct orr_slice address = address_in(r, f);
    size_t size = r->name_size + address.size + f->zone.size + 3 + f->tags.size, had = text_size(r);
    char *text = orri_block_resize(&m->blocks, NULL, 0, size);
    if (!text) return -ENOMEM;
    put(put(put(put(text, name_of(r), true), address, true), f->zone, true), f->tags, false);
    orri_block_free(&m->blocks, r->text, had);
    r->text = text;
    r->address_size = (uint8_t)address.size;
    r->zone_size = (uint8_t)f->zone.size;
    r->tags_size = (uint16_t)f->tags.size;
    r->version = f->version;
    return 0;
}

static bool same(struct orr_slice a, const void *at, size_t size) {
    return a.size == size && (size == 0 || memcmp(a.at, at, size) == 0);
}

bool orri_record_differs(const struct orri_member *r, const struct orri_fact *f) {
    return f->version != r->version || !same(address_in(r, f), orri_told_address(r), r->address_size) ||
           !same(f->zone, orri_zone(r), r->zone_size) || !same(f->tags, orri_tags(r), r->tags_size);
}

int orri_record_via(struct orr_membership *m, struct orri_member *r, const char *address) {
    char *via = NULL;
    size_t size = strlen(address);
    if (size > 0) {
        via = orri_block_resize(&m->blocks, NULL, 0, size + 1);
        if (!via) return -ENOMEM;
        memcpy(via, address, size + 1);
    }
    if (r->via) orri_block_free(&m->blocks, r->via, strlen(r->via) + 1);
    r->via = via;
    return 0;
}

/* -- Whom to talk to ----------------------------------------------------------------------------------------------- */
static void place(struct orr_membership *m, struct orri_member *r, size_t at) {
    m->talk[at] = r;
    r->place = (uint32_t)at + 1;
}

static void swap(struct orr_membership *m, size_t a, size_t b) {
    struct orri_member *r = m->talk[a];
    place(m, m->talk[b], a);
    place(m, r, b);
}

void orri_member_shuffle(struct orr_membership *m) {
    for (size_t i = m->n_talk; i > 1; i--) swap(m, i - 1, orri_rng_below(&m->rng, i));
}

static int talk_to(struct orr_membership *m, struct orri_member *r) {
    int rc = orri_member_room(m, &m->talk, m->n_talk, &m->talk_cap);
    if (rc < 0) return rc;
    place(m, r, m->n_talk++);
    swap(m, m->n_talk - 1, orri_rng_below(&m->rng, m->n_talk));
    return 0;
}

/* Whose turn it was in this round has had it. */
static void fill(struct orr_membership *m, size_t hole, size_t from) {
    if (hole != from) place(m, m->talk[from], hole);
}
static void talk_no_more(struct orr_membership *m, struct orri_member *r) {
    size_t hole = r->place - 1;
    r->place = 0;
    if (hole < m->next_probe) {
        fill(m, hole, --m->next_probe);
        hole = m->next_probe;
    }
    fill(m, hole, --m->n_talk);
}

int orri_record_may_talk(struct orr_membership *m, struct orri_member *r, bool may_talk) {
    int rc = may_talk && !r->place ? talk_to(m, r) : 0;
    if (rc < 0) return rc;
    if (!may_talk && r->place) talk_no_more(m, r);
    r->may_talk = may_talk;
    return 0;
}

static bool is_one_of(const orr_id *ids, size_t n, orr_id id) {
    for (size_t i = 0; i < n; i++) {
        if (ids[i] == id) return true;
    }
    return false;
}

/* A few draws, which choose evenly; where few fit, whoever comes next from a random place. */
struct orri_member *orri_member_pick(struct orr_membership *m, orri_member_fits fits, const orr_id *but, size_t n) {
    if (m->n_talk == 0) return NULL;
    for (unsigned i = 0; i < DRAWS; i++) {
        struct orri_member *r = m->talk[orri_rng_below(&m->rng, m->n_talk)];
        if (fits(m, r) && !is_one_of(but, n, r->id)) return r;
    }
    size_t from = orri_rng_below(&m->rng, m->n_talk);
    for (size_t i = 0; i < m->n_talk; i++) {
        struct orri_member *r = m->talk[(from + i) % m->n_talk];
        if (fits(m, r) && !is_one_of(but, n, r->id)) return r;
    }
    return NULL;
}

/* -- The order of names -------------------------------------------------------------------------------------------- */
static size_t name_place(const struct orr_membership *m, const char *name) {
    size_t from = 0, to = m->n_names;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (strcmp(orri_name(m->names[mid]), name) < 0) from = mid + 1;
        else to = mid;
    }
    return from;
}

int orri_record_heard(struct orr_membership *m, struct orri_member *r) {
    int rc = orri_member_room(m, &m->names, m->n_names, &m->names_cap);
    if (rc < 0) return rc;
    size_t at = name_place(m, orri_name(r));
    memmove(m->names + at + 1, m->names + at, (m->n_names - at) * sizeof(struct orri_member *));
    m->names[at] = r;
    m->n_names++;
    r->heard = true;
    r->since = m->now;
    m->n_in[r->state]++;
    if (orri_member_in_sync(m, r)) m->buckets[orri_sync_bucket(r->id)] ^= orri_sync_hash(m, r);
    return 0;
}

static void take_out_of_names(struct orr_membership *m, struct orri_member *r) {
    size_t at = name_place(m, orri_name(r));
    ORR_ASSERT(at < m->n_names && m->names[at] == r);
    if (orri_member_in_sync(m, r)) m->buckets[orri_sync_bucket(r->id)] ^= orri_sync_hash(m, r);
    m->n_in[r->state]--;
    m->n_names--;
    memmove(m->names + at, m->names + at + 1, (m->n_names - at) * sizeof(struct orri_member *));
}

/* -- States -------------------------------------------------------------------------------------------------------- */
void orri_record_state(struct orr_membership *m, struct orri_member *r, enum orr_member_state state,
                       uint64_t incarnation, orr_time since) {
    uint64_t *bucket = &m->buckets[orri_sync_bucket(r->id)];
    if (orri_member_in_sync(m, r)) *bucket ^= orri_sync_hash(m, r);
    if (r->heard) m->n_in[r->state]--;
    r->state = (uint8_t)state;
    r->incarnation = incarnation;
    r->since = since;
    r->faded = false;
    if (r->heard) m->n_in[r->state]++;
    if (orri_member_in_sync(m, r)) *bucket ^= orri_sync_hash(m, r);
}

void orri_record_fade(struct orr_membership *m, struct orri_member *r) {
    if (orri_member_in_sync(m, r)) m->buckets[orri_sync_bucket(r->id)] ^= orri_sync_hash(m, r);
    r->faded = true;
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */
struct orri_member_detail *orri_member_detail(struct orr_membership *m, struct orri_member *r) {
    if (r->detail) return r->detail;
    r->detail = orri_member_get(m, sizeof *r->detail);
    if (r->detail) r->detail->probed = INT64_MIN;
    return r->detail;
}

static void drop(struct orr_membership *m, struct orri_member *r) {
    orri_suspicion_end(m, r);
    orri_pulse_end(m, r);
    orri_member_give_back(m, r->detail, sizeof *r->detail);
    if (r->via) orri_block_free(&m->blocks, r->via, strlen(r->via) + 1);
    if (r->text) orri_block_free(&m->blocks, r->text, text_size(r));
    orri_member_give_back(m, r, sizeof *r);
}

struct orri_member *orri_record_new(struct orr_membership *m, struct orr_slice name, bool may_talk) {
    if (m->n_records == ORR_MEMBERS_MAX || grow_table(m) < 0) return NULL;
    struct orri_member *r = orri_member_get(m, sizeof *r);
    if (!r) return NULL;
    r->name_size = (uint8_t)name.size;
    r->text = orri_block_resize(&m->blocks, NULL, 0, text_size(r));
    if (r->text) {
        char *at = put(r->text, name, true);
        at[0] = at[1] = 0;
        r->id = orr_id_of(r->text);
    }
    if (!r->text || orri_record_may_talk(m, r, may_talk) < 0) {
        drop(m, r);
        return NULL;
    }
    m->table[slot(m, r->id)] = r;
    m->n_records++;
    return r;
}

void orri_record_unhear(struct orr_membership *m, struct orri_member *r) {
    orri_member_tell_no_more(m, r);
    take_out_of_names(m, r);
    orri_pulse_end(m, r);
    orri_member_give_back(m, r->detail, sizeof *r->detail);
    r->detail = NULL;
    r->heard = r->faded = false;
    r->state = ORR_MEMBER_ALIVE;
    r->incarnation = 0;
    r->by = ORR_NOBODY;
}

void orri_record_free(struct orr_membership *m, struct orri_member *r) {
    orri_member_tell_no_more(m, r);
    if (r->heard) take_out_of_names(m, r);
    if (r->place) talk_no_more(m, r);
    take_out_of_table(m, r->id);
    m->n_records--;
    drop(m, r);
}

void orri_member_records_clear(struct orr_membership *m) {
    for (size_t i = 0; i < m->table_cap; i++) {
        if (m->table[i]) drop(m, m->table[i]);
    }
    size_t one = sizeof(struct orri_member *);
    if (m->table) m->alloc.fn(m->alloc.ud, m->table, m->table_cap * one, 0);
    if (m->names) m->alloc.fn(m->alloc.ud, m->names, m->names_cap * one, 0);
    if (m->talk) m->alloc.fn(m->alloc.ud, m->talk, m->talk_cap * one, 0);
}
