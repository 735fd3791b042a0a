/* raft_codec_test.c - frames: what is written is read again, and no bytes do harm. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "consensus/raft/internal.h"
#include <orrery/trace.h>
#include <stdlib.h>

static uint64_t number(struct orr_rng *rng) { return orri_rng_next(rng) >> orri_rng_below(rng, 64); }

struct sample {
    struct orr_raft_msg m;
    struct orr_entry entries[8];
    unsigned char bytes[256];
};

static struct orr_slice some(struct sample *s, struct orr_rng *rng) {
    size_t size = orri_rng_below(rng, 40);
    return orr_borrow(s->bytes + orri_rng_below(rng, sizeof s->bytes - size), size);
}

static void draw_entries(struct sample *s, struct orr_rng *rng) {
    orr_term term = s->m.prev_log_term;
    s->m.n_entries = orri_rng_below(rng, 9);
    s->m.entries = s->entries;
    for (size_t i = 0; i < s->m.n_entries; i++) {
        if (orri_rng_chance(rng, 0.3)) term += orri_rng_below(rng, 300);
        s->entries[i] = (struct orr_entry){ .index = s->m.prev_log_index + 1 + i,
                                            .term = term,
                                            .time = (orr_time)number(rng),
                                            .kind = (uint32_t)number(rng),
                                            .data = some(s, rng) };
    }
}

static void draw(struct sample *s, struct orr_rng *rng) {
    memset(s, 0, sizeof *s);
    orri_rng_fill(rng, s->bytes, sizeof s->bytes);
    struct orr_raft_msg *m = &s->m;
    m->type = (enum orr_raft_type)orri_rng_between(rng, ORR_RAFT_PREVOTE, ORR_RAFT_TIMEOUT_NOW);
    m->term = number(rng);
    m->forced = orri_rng_chance(rng, 0.5);
    m->granted = orri_rng_chance(rng, 0.5);
    switch (m->type) {
    case ORR_RAFT_PREVOTE:
    case ORR_RAFT_VOTE:
        m->last_log_index = number(rng);
        m->last_log_term = number(rng);
        if (m->type == ORR_RAFT_VOTE) m->from = number(rng);
        break;
    case ORR_RAFT_VOTE_REPLY:
        m->to = number(rng);
        m->time = (orr_time)number(rng);
        break;
    case ORR_RAFT_APPEND:
        m->want_reply = orri_rng_chance(rng, 0.5);
        m->prev_log_index = number(rng);
        m->prev_log_term = number(rng);
        m->leader_commit = number(rng);
        m->round = number(rng);
        m->time = (orr_time)number(rng);
        m->as_of_time = orri_rng_chance(rng, 0.5) ? (orr_time)number(rng) : 0;
        m->as_of_index = m->as_of_time ? number(rng) : 0;
        draw_entries(s, rng);
        break;
    case ORR_RAFT_APPEND_REPLY:
        m->success = orri_rng_chance(rng, 0.5);
        m->promise = orri_rng_chance(rng, 0.5);
        m->match_index = number(rng);
        m->prev_log_index = number(rng);
        m->round = number(rng);
        m->hint_index = number(rng);
        m->hint_term = number(rng);
        break;
    case ORR_RAFT_SNAPSHOT:
    case ORR_RAFT_SNAPSHOT_REPLY:
        m->snapshot.index = number(rng);
        m->snapshot.term = number(rng);
        m->offset = number(rng);
        m->done = orri_rng_chance(rng, 0.5);
        if (m->type == ORR_RAFT_SNAPSHOT_REPLY) break;
        m->snapshot.time = (orr_time)number(rng);
        m->snapshot.size = number(rng);
        m->snapshot.checksum = number(rng);
        m->snapshot.config = some(s, rng);
        m->data = some(s, rng);
        break;
    case ORR_RAFT_READ: m->tag = number(rng); break;
    case ORR_RAFT_READ_REPLY:
        m->tag = number(rng);
        m->read_index = number(rng);
        m->time = (orr_time)number(rng);
        break;
    case ORR_RAFT_PREVOTE_REPLY:
    case ORR_RAFT_TIMEOUT_NOW: break;
    }
}

static size_t frame_of(const struct orr_raft_msg *m, unsigned char *out, size_t cap) {
    size_t size = orri_raft_encode(m, out, cap);
    assert_true(size <= orri_raft_head_size(m));
    for (size_t i = 0; i < m->n_entries; i++) {
        if (m->entries[i].data.size) memcpy(out + size, m->entries[i].data.at, m->entries[i].data.size);
        size += m->entries[i].data.size;
    }
    if (m->data.size) memcpy(out + size, m->data.at, m->data.size);
    return size + m->data.size;
}

static void same_slice(struct orr_slice a, struct orr_slice b) {
    assert_int_equal(a.size, b.size);
    if (a.size) assert_memory_equal(a.at, b.at, a.size);
}

static void same_msg(const struct orr_raft_msg *a, const struct orr_raft_msg *b) {
    struct orr_raft_msg x = *a, y = *b;
    assert_int_equal(x.n_entries, y.n_entries);
    for (size_t i = 0; i < x.n_entries; i++) {
        const struct orr_entry *e = &x.entries[i], *f = &y.entries[i];
        assert_true(e->index == f->index && e->term == f->term && e->time == f->time && e->kind == f->kind);
        same_slice(e->data, f->data);
    }
    same_slice(x.data, y.data);
    same_slice(x.snapshot.config, y.snapshot.config);
    x.entries = y.entries = NULL;
    x.data = y.data = x.snapshot.config = y.snapshot.config = orr_borrow(NULL, 0);
    assert_memory_equal(&x, &y, sizeof x);
}

static void round_trip(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 1);
    for (unsigned n = 0; n < 20000; n++) {
        struct sample s;
        struct orr_raft_msg m;
        struct orr_entry entries[ORR_RAFT_ENTRIES_MAX];
        unsigned char frame[2048];
        draw(&s, &rng);
        size_t size = frame_of(&s.m, frame, sizeof frame);
        memset(&m, 0, sizeof m);
        assert_int_equal(orri_raft_decode(orr_borrow(frame, size), &m, entries), 0);
        same_msg(&s.m, &m);
    }
}

/* Each frame cut short at every byte: refused, but for one whose last part, a snapshot's data, has no length of its
 * own. */
static void truncated(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 2);
    for (unsigned n = 0; n < 500; n++) {
        struct sample s;
        unsigned char frame[2048];
        draw(&s, &rng);
        size_t size = frame_of(&s.m, frame, sizeof frame);
        for (size_t cut = 0; cut < size; cut++) {
            struct orr_raft_msg m;
            struct orr_entry entries[ORR_RAFT_ENTRIES_MAX];
            unsigned char *exact = malloc(cut + 1);    /* so that ASan sees a read past it */
            memcpy(exact, frame, cut);
            int rc = orri_raft_decode(orr_borrow(exact, cut), &m, entries);
            assert_true(rc == ORR_EINVALID || s.m.type == ORR_RAFT_SNAPSHOT);
            free(exact);
        }
    }
}

static int start(struct orr_raft **r, struct orr_chunks *chunks) {
    static const struct orr_member voters[3] = { { 1, "a" }, { 2, "b" }, { 3, "c" } };
    struct orr_raft_config cfg;
    orr_raft_config_init(&cfg);
    cfg.order.self = 1;
    cfg.order.voters = voters;
    cfg.order.n_voters = 3;
    cfg.order.chunks = chunks;
    cfg.order.window_entries = 8;
    return orr_raft_new(r, &cfg, NULL, 0);
}

static void drain(struct orr_raft *r, orr_time now) {
    const struct orr_raft_ready *rd;
    while ((rd = orr_raft_ready(r))) {
        uint64_t ids[ORRI_RAFT_STORES_MAX];
        size_t n = rd->io.n_stores;
        uint64_t part = rd->io.n_parts ? rd->io.parts->id : 0;
        orr_index applied = rd->io.n_commits ? rd->io.commits[rd->io.n_commits - 1].index : 0;
        if (rd->io.restore) applied = rd->io.restore->index;
        for (size_t i = 0; i < n; i++) ids[i] = rd->io.stores[i].id;
        for (size_t i = 0; i < n; i++) orr_raft_stored(r, now, ids[i], 0);
        if (part) orr_raft_part_stored(r, now, part, 0);
        if (applied) orr_raft_applied(r, now, applied);
    }
}

/* Frames with flipped, lost and foreign bytes, and drawn ones that lie, into a live core: it may be led astray, as
 * by any liar, but it neither breaks nor grows. (Numbers are kept small, so that many make sense to it.) */
static void any_bytes_into_a_core(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 3);
    struct orr_chunks *chunks = orr_chunks_new(&orr_alloc_libc);
    struct orr_raft *r = NULL;
    unsigned taken = 0, refused = 0;
    for (unsigned n = 0; n < 60000; n++) {
        if (n % 300 == 0) {
            orr_raft_free(r);
            assert_int_equal(start(&r, chunks), 0);
            orr_raft_campaign(r, 0);
        }
        struct sample s;
        struct orr_entry entries[ORR_RAFT_ENTRIES_MAX];
        unsigned char frame[2048];
        draw(&s, &rng);
        s.m.from = 2 + n % 2;
        s.m.term = 1 + orri_rng_below(&rng, 3);
        s.m.prev_log_index %= 4;
        s.m.prev_log_term %= 3;
        s.m.match_index %= 4;
        s.m.round %= 3;
        s.m.leader_commit %= 9;
        orr_term term = s.m.prev_log_term;
        for (size_t i = 0; i < s.m.n_entries; i++) {
            s.entries[i].index = s.m.prev_log_index + 1 + i;
            s.entries[i].term = term = term + (orri_rng_chance(&rng, 0.2) && term < s.m.term);
        }
        if (s.m.type == ORR_RAFT_SNAPSHOT) {
            s.m.snapshot.index %= 9;
            s.m.snapshot.term %= 3;
            s.m.offset = 0;
            s.m.snapshot.size = s.m.data.size;
            s.m.done = true;
        }
        size_t size = frame_of(&s.m, frame, sizeof frame);
        if (n % 3 == 1) frame[orri_rng_below(&rng, size)] ^= (unsigned char)(1u << orri_rng_below(&rng, 8));
        if (n % 7 == 1) size = orri_rng_below(&rng, size + 1);
        struct orr_raft_msg m;
        struct orr_claims claims;
        orr_raft_order.claims(orr_borrow(frame, size), &claims);
        if (orri_raft_decode(orr_borrow(frame, size), &m, entries) != 0) {
            refused++;
            continue;
        }
        m.from = s.m.from;
        if (orr_raft_recv(r, n * ORR_MS, &m) == 0) taken++;
        if (n % 50 == 0) orr_raft_tick(r, n * ORR_MS);
        drain(r, n * ORR_MS);
        orr_raft_check(r);
    }
    assert_true(taken > 20000 && refused > 5000);
    orr_raft_free(r);
    orr_chunks_free(chunks);
}

/* What viewers see of a message is what it says; of a cut one that, or nothing. */
static void a_glance_at_the_head(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 4);
    for (unsigned n = 0; n < 20000; n++) {
        struct sample s;
        struct orr_glance seen = { 0 };
        unsigned char head[2048];
        draw(&s, &rng);
        size_t size = orri_raft_encode(&s.m, head, sizeof head);
        assert_int_equal(orr_raft_order.glance(orr_borrow(head, size), &seen), 0);
        assert_non_null(seen.kind);
        assert_true(seen.term == s.m.term);
        if (s.m.type == ORR_RAFT_APPEND) {
            assert_string_equal(seen.kind, s.m.n_entries ? "append" : "heartbeat");
            assert_true(seen.count == s.m.n_entries && seen.index == s.m.prev_log_index + s.m.n_entries);
        } else if (s.m.type == ORR_RAFT_APPEND_REPLY) {
            assert_true(seen.index == s.m.match_index && seen.refused == !s.m.success);
        } else if (s.m.type == ORR_RAFT_VOTE_REPLY || s.m.type == ORR_RAFT_PREVOTE_REPLY) {
            assert_true(seen.refused == !s.m.granted);
        }
        size_t cut = orri_rng_below(&rng, size);
        unsigned char *less = malloc(cut + 1);
        assert_non_null(less);
        memcpy(less, head, cut);
        struct orr_glance part = { 0 };
        if (orr_raft_order.glance(orr_borrow(less, cut), &part) == 0) assert_string_equal(part.kind, seen.kind);
        free(less);
        less = malloc(cut + 1);
        assert_non_null(less);
        orri_rng_fill(&rng, less, cut);
        (void)orr_raft_order.glance(orr_borrow(less, cut), &part);
        free(less);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(truncated),
        cmocka_unit_test(any_bytes_into_a_core),
        cmocka_unit_test(a_glance_at_the_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
