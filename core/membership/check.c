/* check.c - what always holds of a membership, by assertion, where checks that loop are wanted. */
#include <string.h>

#include "base/assert.h"
#include "membership/inner.h"

#if defined(ORR_CHECKS) && !defined(ORR_NO_ASSERTS)
static void check_record(const struct orr_membership *m, const struct orri_member *r) {
    ORR_CHECK(orri_member_find(m, r->id) == r && r->id == orr_id_of(orri_name(r)));
    ORR_CHECK((r->place > 0) == r->may_talk && (r == m->self || !r->place || m->talk[r->place - 1] == r));
    ORR_CHECK(r->incarnation <= ORRI_INCARNATION_MAX && (r->heard || (r->incarnation == 0 && !r->queued)));
    ORR_CHECK(!r->faded || r->state == ORR_MEMBER_LEFT || r->state == ORR_MEMBER_FAILED);
    if (orri_member_swim(m)) {
        ORR_CHECK((r->suspicion != NULL) == (r->state == ORR_MEMBER_SUSPECT));
        ORR_CHECK(!r->suspicion || (r->suspicion->member == r && r->suspicion->timer.place > 0));
        ORR_CHECK(!r->suspicion || (r->suspicion->told <= r->suspicion->n && r->suspicion->n <= r->suspicion->k));
    } else if (r->pulse) {
        ORR_CHECK(r->pulse->member == r && r->pulse->timer.place > 0 && r->may_talk && r->heard);
    }
}

static void check_names(const struct orr_membership *m) {
    size_t n_in[ORR_MEMBER_LEFT + 1] = { 0 };
    uint64_t buckets[ORRI_BUCKETS] = { 0 };
    for (size_t i = 0; i < m->n_names; i++) {
        const struct orri_member *r = m->names[i];
        ORR_CHECK(r->heard && (i == 0 || strcmp(orri_name(m->names[i - 1]), orri_name(r)) < 0));
        n_in[r->state]++;
        if (orri_member_in_sync(m, r)) buckets[orri_sync_bucket(r->id)] ^= orri_sync_hash(m, r);
    }
    ORR_CHECK(memcmp(n_in, m->n_in, sizeof n_in) == 0);
    ORR_CHECK(memcmp(buckets, m->buckets, sizeof buckets) == 0);
}

static void check_queue(const struct orr_membership *m) {
    size_t n = 0;
    for (unsigned level = 0; level < ORRI_LEVELS; level++) {
        const struct orri_member *before = NULL;
        ORR_CHECK((m->levels[level].first != NULL) == (m->used_levels >> level & 1));
        for (const struct orri_member *r = m->levels[level].first; r; before = r, r = r->after, n++)
            ORR_CHECK(r->queued && r->told == level && r->before == before && r->heard);
        ORR_CHECK(m->levels[level].last == before);
    }
    ORR_CHECK(n == m->n_queued);
}

void orri_membership_check(const struct orr_membership *m) {
    size_t n = 0, heard = 0;
    for (size_t i = 0; i < m->table_cap; i++) {
        if (!m->table[i]) continue;
        check_record(m, m->table[i]);
        heard += m->table[i]->heard;
        n++;
    }
    ORR_CHECK(n == m->n_records && heard == m->n_names);
    for (size_t i = 0; i < m->n_talk; i++) ORR_CHECK(m->talk[i]->place == i + 1);
    ORR_CHECK(m->next_probe <= m->n_talk && m->self->state == (m->leaving ? ORR_MEMBER_LEFT : ORR_MEMBER_ALIVE));
    ORR_CHECK(m->awareness < m->cfg.awareness_max);
    check_names(m);
    check_queue(m);
    orri_heap_check(&m->timers);
}
#else
void orri_membership_check(const struct orr_membership *m) { (void)m; }
#endif
