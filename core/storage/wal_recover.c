/* wal_recover.c - what the log holds: which slots are segments, batch after batch, and how the row ends.
 *
 * The newest segment says from where on the row is needed; from there all must be there, each beginning where the one
 * before ended (by number and chain). Where a batch can't be read, what follows decides (wal_format.h): a later segment
 * or a later head in the same segment: damage. Nothing: the tail of a write that was under way. A newest segment whose
 * very first batch is such a tail does not exist yet, and the row ends in the one before it.
 *
 * A segment that is not needed any more may have been about to become another one: its slot's beginning still bears the
 * old one, and what lies behind is no more what it was. From where on the row is needed the newest segment says first
 * in its beginning, but its later batches may have said better since. So where an older segment seems damaged, the
 * newest is read alone, for what it says last, and the row is read again from there.
 *
 * Nothing is changed here; recover.c cuts the tail off once all else was found to be in order. Reads are bounded: a
 * piece, or one batch.                                                                                               */
#include "storage/recover.h"

#include "base/assert.h"
#include <errno.h>

#define PIECE ((size_t)1 << 20)

static void scan(struct orri_recovery *r);

static struct orri_segment *segment_at(const struct orri_recovery *r, size_t k) { return r->s->segments.used.at[k]; }

/* -- Claims -------------------------------------------------------------------------------------------------------- */
int orri_wal_claim(struct orri_recovery *r, struct orri_segment *segment, struct orr_slice begin) {
    void *claims = r->claims;
    int rc = orri_grow(r->s, &claims, &r->cap_claims, r->n_claims + 1, sizeof *r->claims);
    r->claims = claims;
    if (rc < 0) return rc;
    struct orri_claim *claim = &r->claims[r->n_claims++];
    *claim = (struct orri_claim){ .segment = segment };
    if (begin.size < ORRI_WAL_HEADER) return 0;
    struct orri_wal_header header;
    struct orri_wal_head head;
    rc = orri_wal_get_header(begin.at, r->s->wal.id, &header);
    if (rc == ORR_EINVALID) return rc;
    if (rc == 0) *claim = (struct orri_claim){ segment, header.segment, header.number, header.chain, header.oldest };
    if (begin.size < ORRI_WAL_PAGE + ORRI_WAL_HEAD) return 0;
    if (orri_wal_get_head(begin.at + ORRI_WAL_PAGE, r->s->wal.id, &head) == 0 && head.segment > claim->sequence) {
        *claim = (struct orri_claim){ segment, head.segment, head.number, head.before, head.oldest };
    }
    return 0;
}

static struct orri_claim *claim_of(const struct orri_recovery *r, uint64_t sequence) {
    for (size_t i = 0; i < r->n_claims; i++) {
        if (r->claims[i].sequence == sequence) return &r->claims[i];
    }
    return NULL;
}

static struct orri_claim *newest_claim(const struct orri_recovery *r) {
    struct orri_claim *newest = NULL;
    for (size_t i = 0; i < r->n_claims; i++) {
        if (r->claims[i].sequence && (!newest || r->claims[i].sequence > newest->sequence)) newest = &r->claims[i];
    }
    return newest;
}

/* -- The search for what proves damage ----------------------------------------------------------------------------- */
static void search_next(struct orri_recovery *r);

static bool search_piece(const struct orri_recovery *r, struct orr_slice piece) {
    struct orri_wal_head head;
    for (size_t at = 0; at + ORRI_WAL_HEAD <= piece.size; at += 8) {
        if (orri_get_le(piece.at + at, 4) == 0) continue;       /* zeros, mostly: no head begins so */
        if (orri_wal_get_head(piece.at + at, r->s->wal.id, &head) < 0) continue;
        if (head.number >= r->search_number && (!r->search_segment || head.segment == r->search_segment)) return true;
    }
    return false;
}

static void searched(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    if (status < 0) {
        orri_recover_damage(r, r->searched->name, r->search_at, status, "can't be read");
        return;
    }
    struct orr_slice piece = e->r.read.got;
    bool found = search_piece(r, piece);
    r->search_at = piece.size < PIECE ? r->searched->size : r->search_at + piece.size - ORRI_WAL_HEAD + 8;
    orr_drop(piece);
    if (found) r->search_over(r, true);
    else search_next(r);
}

static void search_next(struct orri_recovery *r) {
    if (r->search_at + ORRI_WAL_HEAD > r->searched->size) r->search_over(r, false);
    else orri_errand_read(&r->e, r->searched->file, r->search_at, PIECE, searched);
}

/* Is there a head of `segment` (0: any) with at least this number, at or behind `at`? */
static void search(struct orri_recovery *r, struct orri_segment *in, uint64_t at, uint64_t segment, uint64_t number,
                   void (*over)(struct orri_recovery *r, bool found)) {
    r->searched = in;
    r->search_at = at;
    r->search_segment = segment;
    r->search_number = number;
    r->search_over = over;
    search_next(r);
}

/* -- One batch ----------------------------------------------------------------------------------------------------- */
static int apply_group(struct orri_recovery *r, struct orri_group *g, const struct orri_wal_record *record,
                       bool begins) {
    struct orr_storage *s = r->s;
    if (!begins) {      /* what was read so far must have led here */
        bool same = g->first == record->first && g->last == record->last && g->state_size == record->bytes.size &&
                    (g->state_size == 0 || memcmp(g->state, record->bytes.at, g->state_size) == 0);
        return same ? 0 : ORR_ECORRUPT;
    }
    int rc = orri_index_reserve(s, g, 0, record->bytes.size);
    if (rc < 0) return rc;
    orri_index_reset(s, g, record->last, 0);
    g->first = record->first;
    orri_index_state(g, record->bytes);
    return 0;
}

static int apply_entries(struct orri_recovery *r, struct orri_group *g, const struct orri_wal_record *record,
                         uint64_t at) {
    struct orr_storage *s = r->s;
    bool fits =
        record->first <= g->last + 1 && record->first >= g->first && (record->first > g->last || record->truncate);
    if (!fits) return ORR_ECORRUPT;
    orri_index_truncate(s, g, record->first);
    int rc = orri_index_reserve(s, g, (size_t)(record->last - record->first + 1), 0);
    struct orr_entry entry;
    size_t next = 0, before = 0;
    while (rc == 0 && (rc = orri_wal_next_entry(record, &next, &entry)) > 0) {
        orri_index_append(s, g, &entry, (uint32_t)segment_at(r, r->k)->sequence, at + before);
        rc = entry.kind == ORR_ENTRY_CONFIG ? orri_index_config(s, g, &entry) : 0;
        before = next;
    }
    return rc;
}

static int apply_batch(struct orri_recovery *r, struct orr_slice body, bool begins) {
    struct orri_wal_record record;
    size_t at = 0;
    int rc;
    while ((rc = orri_wal_next(body, &at, &record)) > 0) {
        struct orri_group *g = orri_group_make(r->s, record.group);
        if (!g) return -ENOMEM;
        switch (record.kind) {
        case ORRI_WAL_GROUP: rc = apply_group(r, g, &record, begins); break;
        case ORRI_WAL_STATE:
            rc = orri_index_reserve(r->s, g, 0, record.bytes.size);
            if (rc == 0) orri_index_state(g, record.bytes);
            break;
        case ORRI_WAL_ENTRIES:
            rc = apply_entries(r, g, &record, r->at + ORRI_WAL_HEAD + (uint64_t)(record.bytes.at - body.at));
            break;
        case ORRI_WAL_RELEASE: orri_index_release(r->s, g, record.index); break;
        case ORRI_WAL_RESET: orri_index_reset(r->s, g, record.index, record.time); break;
        }
        if (rc < 0) return rc;
    }
    return rc;
}

/* -- The row, once more ------------------------------------------------------------------------------------------- */
static void read_again(struct orri_recovery *r) {
    struct orr_storage *s = r->s;
    for (size_t i = 0; i < s->segments.used.n; i++) segment_at(r, i)->sequence = segment_at(r, i)->live = 0;
    s->segments.used.n = 0;
    while (s->groups.n > 0) orri_group_free(s, s->groups.at[--s->groups.n]);
    orr_drop(r->piece);
    r->piece = orr_borrow(NULL, 0);
    r->started = false;
    r->number = r->chain = r->oldest = 0;
    orri_wal_recover(r);
}

static void damaged(struct orri_recovery *r) {
    orri_recover_damage(r, r->suspect->name, r->suspect_at, ORR_ECORRUPT,
                        "a batch is damaged, and a later segment proves that it was complete");
}

static void ask_newest(struct orri_recovery *r) {
    struct orri_claim *newest = newest_claim(r);
    r->suspect = segment_at(r, r->k);
    r->suspect_sequence = r->suspect->sequence;
    r->suspect_at = r->at;
    r->newest_asked = ORRI_ASKING;
    newest->oldest = newest->sequence;
    read_again(r);
}

static void newest_has_said(struct orri_recovery *r) {
    r->newest_asked = ORRI_ASKED;
    if (r->oldest <= r->suspect_sequence) {
        damaged(r);
        return;
    }
    newest_claim(r)->oldest = r->oldest;
    read_again(r);
}

/* -- The row's end ------------------------------------------------------------------------------------------------- */
static void log_over(struct orri_recovery *r) {
    struct orr_storage *s = r->s;
    struct orri_segment *last = orri_segment_last(s);
    if (r->newest_asked == ORRI_ASKING) {
        newest_has_said(r);
        return;
    }
    orr_drop(r->piece);
    r->piece = orr_borrow(NULL, 0);
    s->wal.number = r->number;
    s->wal.chain = r->chain;
    s->segments.oldest_stated = r->oldest;
    if (last && (r->oldest < segment_at(r, 0)->sequence || r->oldest > last->sequence)) {
        orri_recover_damage(r, last->name, last->used, ORR_ECORRUPT,
                            "an older segment that is still needed is missing");
        return;
    }
    orri_recover_reconcile(r);
}

static void tail_searched(struct orri_recovery *r, bool found) {
    struct orri_segment *last = segment_at(r, r->k);
    if (found)
        orri_recover_damage(r, last->name, last->used, ORR_ECORRUPT,
                            "a batch is damaged, and later ones prove that it was complete");
    else log_over(r);
}

/* There is no log yet; then no slot holds a batch but the first. */
static void slot_searched(struct orri_recovery *r, bool found) {
    if (found) {
        orri_recover_damage(r, r->searched->name, 0, ORR_ECORRUPT, "the beginning of the log is damaged");
    } else if (r->search_claim == r->n_claims) {
        log_over(r);
    } else {
        struct orri_segment *next = r->claims[r->search_claim++].segment;
        search(r, next, 0, 0, 2, slot_searched);
    }
}

/* The first batch of the newest segment was never whole: that segment doesn't exist, and the row is read once more as
 * if it had never been tried. (It may have said that less is needed than the batches before it did; only what was
 * durably said counts, for the segments it would have given up were not.)                                            */
static void beginning_searched(struct orri_recovery *r, bool found) {
    struct orri_segment *last = segment_at(r, r->k);
    struct orri_claim *claim = claim_of(r, last->sequence);
    if (found) {
        orri_recover_damage(r, last->name, ORRI_WAL_PAGE, ORR_ECORRUPT,
                            "a segment's first batch is damaged, and later ones prove that it was complete");
        return;
    }
    if (r->k == 0 && claim->number != 1 && r->newest_asked != ORRI_ASKING) {
        orri_recover_damage(r, last->name, 0, ORR_ECORRUPT, "the segment before this one is missing");
        return;
    }
    r->torn = last;
    claim->sequence = 0;
    if (r->newest_asked == ORRI_ASKING) r->newest_asked = ORRI_NOT_ASKED;      /* it is another one */
    read_again(r);
}

/* Nothing can be read at r->at. */
static void segment_over(struct orri_recovery *r, bool head_readable) {
    struct orri_segment *segment = segment_at(r, r->k);
    segment->used = r->at;
    r->cut = head_readable ? segment->size - r->at : 0;
    if (r->k + 1 < r->s->segments.used.n) {
        const struct orri_claim *next = claim_of(r, segment->sequence + 1);
        if (!r->started || next->number != r->number + 1 || next->before != r->chain) {
            if (r->newest_asked == ORRI_NOT_ASKED) {
                ask_newest(r);
                return;
            }
            r->suspect = segment;
            r->suspect_at = r->at;
            damaged(r);
            return;
        }
        r->k++;
        r->at = ORRI_WAL_PAGE;
        orr_drop(r->piece);
        r->piece = orr_borrow(NULL, 0);
        scan(r);
    } else if (r->at == ORRI_WAL_PAGE) {
        search(r, segment, r->at + 8, segment->sequence, claim_of(r, segment->sequence)->number + 1,
               beginning_searched);
    } else {
        search(r, segment, r->at + 8, segment->sequence, r->number + 2, tail_searched);
    }
}

/* -- The scan ------------------------------------------------------------------------------------------------------ */
static void scan_read(struct orri_errand *e, int status) {
    struct orri_recovery *r = e->owner;
    struct orri_segment *segment = segment_at(r, r->k);
    if (status < 0) {
        orri_recover_damage(r, segment->name, r->at, status, "can't be read");
        return;
    }
    r->piece = e->r.read.got;
    r->piece_at = r->at;
    if (r->piece.size < segment->size - r->at && r->piece.size < e->r.read.size) segment->size = r->at + r->piece.size;
    scan(r);
}

static void read_more(struct orri_recovery *r, uint64_t size) {
    orr_drop(r->piece);
    r->piece = orr_borrow(NULL, 0);
    orri_errand_read(&r->e, segment_at(r, r->k)->file, r->at, size > PIECE ? (size_t)size : PIECE, scan_read);
}

static bool expected(const struct orri_recovery *r, const struct orri_wal_head *head) {
    const struct orri_segment *segment = segment_at(r, r->k);
    if (head->segment != segment->sequence) return false;
    return !r->started || (head->number == r->number + 1 && head->before == r->chain);
}

static void scan(struct orri_recovery *r) {
    for (;;) {
        const struct orri_segment *segment = segment_at(r, r->k);
        uint64_t left = segment->size > r->at ? segment->size - r->at : 0;
        uint64_t have = r->piece.size ? r->piece_at + r->piece.size - r->at : 0;
        struct orri_wal_head head;
        if (left >= ORRI_WAL_HEAD && have < ORRI_WAL_HEAD) {
            read_more(r, 0);
            return;
        }
        size_t in = have ? (size_t)(r->at - r->piece_at) : 0;
        bool readable = left >= ORRI_WAL_HEAD && orri_wal_get_head(r->piece.at + in, r->s->wal.id, &head) == 0 &&
                        expected(r, &head);
        bool whole = readable && head.size <= left - ORRI_WAL_HEAD;
        if (whole && have - ORRI_WAL_HEAD < head.size) {
            read_more(r, ORRI_WAL_HEAD + head.size);
            return;
        }
        struct orr_slice body = whole ? orr_part_of(r->piece, in + ORRI_WAL_HEAD, (size_t)head.size) : r->piece;
        if (!whole || orri_wal_check(r->s->wal.id, &head, body) < 0) {
            segment_over(r, readable);
            return;
        }
        int rc = apply_batch(r, body, !r->started);
        if (rc < 0) {
            orri_recover_damage(r, segment->name, r->at, rc, "a batch doesn't fit those before it");
            return;
        }
        r->started = true;
        r->number = head.number;
        r->chain = head.chain;
        r->oldest = head.oldest;
        r->at += ORRI_WAL_HEAD + head.size;
    }
}

/* -- The beginning ------------------------------------------------------------------------------------------------- */
/* Puts the segments that are needed into the row, oldest first. */
static int line_up(struct orri_recovery *r, const struct orri_claim *newest) {
    struct orri_row *used = &r->s->segments.used;
    uint64_t first = newest->sequence;
    while (first > newest->oldest && first > 1 && claim_of(r, first - 1)) first--;
    int rc = orri_row_reserve(r->s, used, (size_t)(newest->sequence - first + 1));
    for (uint64_t q = first; rc == 0 && q <= newest->sequence; q++) {
        const struct orri_claim *claim = claim_of(r, q);
        claim->segment->sequence = q;
        orri_row_push(used, claim->segment);
        for (const struct orri_claim *twin = claim + 1; twin < r->claims + r->n_claims; twin++) {
            if (twin->sequence == q) return ORR_ECONFLICT;
        }
    }
    return rc;
}

void orri_wal_recover(struct orri_recovery *r) {
    const struct orri_claim *newest = newest_claim(r);
    if (!newest) {
        slot_searched(r, false);
        return;
    }
    int rc = line_up(r, newest);
    if (rc < 0) {
        orri_recover_damage(r, newest->segment->name, 0, rc, "two files say that they are the same segment");
        return;
    }
    r->k = 0;
    r->at = ORRI_WAL_PAGE;
    scan(r);
}
