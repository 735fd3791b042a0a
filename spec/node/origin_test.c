/* origin_test.c - the stream of a node's own batches, against an order that obeys the test: taken at once, refused,
 * lost with its leader. The log is what the order took; what it does at apply is the filter's, as in a group.        */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/rng.h"
#include "node/filter.h"
#include "node/origin.h"
#include "support/alloc.h"

enum { LOG_MAX = 4096 };
#define CALL (100 * ORR_MS)

struct waiter {
    struct orri_waiter w;
    unsigned told[64];              /* by tag: how often */
    int status[64];                 /* the last: 1 applied, or why not */
};
struct fixture {
    struct spec_alloc a;
    struct orr_alloc alloc;
    struct orr_chunks *chunks;
    struct orri_slots slots;
    struct orri_origin o;
    struct orri_filter filter;
    struct orr_slice log[LOG_MAX];
    size_t n_log, n_applied;
    int refuse;                     /* what propose and forward say */
    struct orri_forward last;       /* head of the last forward */
    struct waiter waiter;
    orr_time now;
    size_t ops_applied;
};
static struct fixture *F;

static int propose(void *x, orr_time now, const struct orr_slice *batches, size_t n, size_t *taken) {
    (void)x, (void)now;
    *taken = 0;
    if (F->refuse) return F->refuse;
    for (size_t i = 0; i < n; i++) F->log[F->n_log++] = orr_hold(batches[i]);
    *taken = n;
    return 0;
}
static const struct orr_order_ops fake_order = { .name = "fake", .propose = propose };

static int forward(void *ud, const struct orri_forward *head, struct orr_slice batch) {
    struct fixture *f = ud;
    if (f->refuse) return f->refuse;
    f->last = *head;
    f->log[f->n_log++] = orr_hold(batch);
    return 0;
}

static void lost(struct orri_waiter *w, uint64_t tag, bool read, int status) {
    struct waiter *me = (struct waiter *)(void *)w;
    assert_false(read);
    me->told[tag]++;
    me->status[tag] = status;
}
static const struct orri_waiter_ops waiter_ops = { .lost = lost };

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    F = &f;
    f.alloc = spec_alloc_of(&f.a);
    f.chunks = orr_chunks_new(&f.alloc);
    f.waiter.w.ops = &waiter_ops;
    f.now = ORR_SECOND;
    orri_slots_init(&f.slots, &f.alloc);
    orri_filter_init(&f.filter, &f.alloc);
    struct orri_origin_config cfg = { .alloc = &f.alloc,
                                      .chunks = f.chunks,
                                      .slots = &f.slots,
                                      .order = &fake_order,
                                      .forward = forward,
                                      .ud = &f,
                                      .birth = { { 1 } },
                                      .incarnation = 4,
                                      .bytes_max = 1 << 20,
                                      .call = CALL };
    orri_origin_init(&f.o, &cfg);
    *state = &f;
    return 0;
}
static int tear_down(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < f->n_log; i++) orr_drop(f->log[i]);
    orri_origin_clear(&f->o);
    orri_slots_clear(&f->slots);
    orri_filter_clear(&f->filter);
    orr_chunks_free(f->chunks);
    spec_alloc_check(&f->a);
    return 0;
}

static void command(struct fixture *f, uint64_t tag) {
    int status;
    unsigned char *at = orri_origin_room(&f->o, f->now, 16, &status);
    assert_non_null(at);
    memcpy(at, &tag, sizeof tag);
    orri_origin_commit(&f->o, sizeof tag, &f->waiter.w, tag);
}

/* A turn with one command. */
static void turn(struct fixture *f, uint64_t tag) {
    command(f, tag);
    orri_origin_push(&f->o, f->now);
}

/* Applies the log from where it stopped up to `n`, as a group does. */
static void apply(struct fixture *f, size_t n) {
    for (; f->n_applied < n; f->n_applied++) {
        struct orri_batch_head head;
        enum orri_filtered verdict;
        assert_int_equal(orri_batch_open(f->log[f->n_applied], &head), 0);
        assert_int_equal(orri_filter_judge(&f->filter, &head.origin, f->n_applied + 1, &verdict), 0);
        if (verdict == ORRI_GAP) orri_origin_again(&f->o);
        if (verdict != ORRI_PASS) continue;
        f->ops_applied += head.count;
        struct orri_pending *p = orri_origin_match(&f->o, head.origin.sequence);
        if (!p) continue;
        for (uint32_t i = 0; i < p->count && !p->told; i++) {
            if (orri_slots_look(&f->slots, p->tags[i].slot))
                f->waiter.told[p->tags[i].tag]++, f->waiter.status[p->tags[i].tag] = 1;
            orri_slots_release(&f->slots, p->tags[i].slot);
        }
        p->told = true;
        orri_origin_pop(&f->o, f->now);
    }
}

static uint64_t sequence_at(const struct fixture *f, size_t i) {
    struct orri_batch_head head;
    assert_int_equal(orri_batch_open(f->log[i], &head), 0);
    return head.origin.sequence;
}

/* The leader's log lost everything from `n` on. */
static void truncate_log(struct fixture *f, size_t n) {
    while (f->n_log > n) orr_drop(f->log[--f->n_log]);
}

static void a_turns_commands_are_one_batch(void **state) {
    struct fixture *f = *state;
    orri_origin_aim(&f->o, ORRI_TO_SELF, 1, 0);
    for (uint64_t tag = 0; tag < 50; tag++) command(f, tag);
    orri_origin_push(&f->o, f->now);
    assert_int_equal(f->n_log, 1);
    apply(f, 1);
    for (size_t tag = 0; tag < 50; tag++) assert_true(f->waiter.told[tag] == 1 && f->waiter.status[tag] == 1);
    assert_int_equal(f->o.bytes, 0);
    assert_int_equal(f->waiter.w.slot, 0);
}

static void what_was_sent_to_nobody_times_out_as_surely_not_done(void **state) {
    struct fixture *f = *state;
    turn(f, 1);
    f->now += CALL / 2;
    turn(f, 2);
    assert_true(orri_origin_deadline(&f->o) == ORR_SECOND + CALL);
    f->now = ORR_SECOND + CALL;
    orri_origin_tick(&f->o, f->now, ORR_ENOLEADER);
    assert_int_equal(f->waiter.status[1], ORR_ENOLEADER);
    assert_int_equal(f->waiter.told[2], 0);
    orri_origin_aim(&f->o, ORRI_TO_SELF, 1, 0);
    orri_origin_push(&f->o, f->now);
    assert_int_equal(f->n_log, 1);                  /* the second one only */
    assert_int_equal(sequence_at(f, 0), 1);
    apply(f, 1);
    assert_int_equal(f->waiter.status[2], 1);
}

static void what_was_sent_is_unknown_at_its_deadline_and_stays(void **state) {
    struct fixture *f = *state;
    orri_origin_aim(&f->o, ORRI_TO_LEADER, 1, 7);
    turn(f, 1);
    assert_int_equal(f->n_log, 1);
    f->now += CALL;
    orri_origin_tick(&f->o, f->now, ORR_ETIMEOUT);
    assert_int_equal(f->waiter.status[1], ORR_EUNKNOWN);
    truncate_log(f, 0);                             /* that leader is gone, and its log with it */
    orri_origin_aim(&f->o, ORRI_TO_LEADER, 2, 8);
    orri_origin_push(&f->o, f->now);
    assert_int_equal(f->n_log, 1);                  /* sent once more */
    assert_true(f->last.restart && f->last.term == 2);
    apply(f, 1);
    assert_int_equal(f->waiter.told[1], 1);         /* told once, whatever came of it */
    assert_null(f->o.head);
}

static void a_new_leader_gets_all_that_is_not_applied_here(void **state) {
    struct fixture *f = *state;
    orri_origin_aim(&f->o, ORRI_TO_LEADER, 1, 7);
    for (uint64_t tag = 0; tag < 6; tag++) turn(f, tag);
    apply(f, 2);
    truncate_log(f, 4); /* two were lost with the old leader, two are in the log of the new one */
    orri_origin_aim(&f->o, ORRI_TO_LEADER, 2, 8);
    orri_origin_push(&f->o, f->now);
    assert_int_equal(f->n_log, 8);
    for (size_t i = 4; i < 8; i++) assert_int_equal(sequence_at(f, i), i - 1);
    apply(f, 8);
    assert_int_equal(f->ops_applied, 6);            /* each exactly once */
    for (size_t tag = 0; tag < 6; tag++) assert_true(f->waiter.told[tag] == 1 && f->waiter.status[tag] == 1);
}

static void a_refused_batch_has_no_number_any_more(void **state) {
    struct fixture *f = *state;
    orri_origin_aim(&f->o, ORRI_TO_LEADER, 3, 7);
    for (uint64_t tag = 0; tag < 4; tag++) turn(f, tag);
    truncate_log(f, 2);
    struct orri_resend r = { 3, f->last.epoch, ORR_EOVERLOADED, 3 };
    orri_origin_refused(&f->o, f->now, &r);
    assert_int_equal(f->o.next_sequence, 3);
    orri_origin_push(&f->o, f->now);
    assert_int_equal(f->n_log, 2);                  /* it waits a little */
    f->now = orri_origin_deadline(&f->o);
    orri_origin_push(&f->o, f->now);
    assert_int_equal(f->n_log, 4);
    assert_int_equal(sequence_at(f, 2), 3);
    orri_origin_refused(&f->o, f->now, &r);         /* of the epoch before: means nothing now */
    assert_int_equal(f->o.next_sequence, 5);
    apply(f, 4);
    assert_int_equal(f->ops_applied, 4);
}

static void a_full_disk_is_told_at_once_where_nothing_was_taken(void **state) {
    struct fixture *f = *state;
    orri_origin_aim(&f->o, ORRI_TO_LEADER, 3, 7);
    for (uint64_t tag = 0; tag < 3; tag++) turn(f, tag);
    truncate_log(f, 1);
    orri_origin_refused(&f->o, f->now, &(struct orri_resend){ 3, f->last.epoch, ORR_EFULL, 2 });
    assert_int_equal(f->waiter.told[0], 0);
    assert_int_equal(f->waiter.status[1], ORR_EFULL);
    assert_int_equal(f->waiter.status[2], ORR_EFULL);
    apply(f, 1);
    assert_int_equal(f->waiter.status[0], 1);
    assert_null(f->o.head);
}

static void what_another_leader_may_have_taken_keeps_its_number_when_refused(void **state) {
    struct fixture *f = *state;
    orri_origin_aim(&f->o, ORRI_TO_LEADER, 1, 7);
    turn(f, 0);
    turn(f, 1);
    orri_origin_aim(&f->o, ORRI_TO_LEADER, 2, 8);
    turn(f, 2);
    uint32_t epoch = f->last.epoch;
    orri_origin_refused(&f->o, f->now, &(struct orri_resend){ 2, epoch, ORR_EFULL, 1 });
    assert_int_equal(f->waiter.told[0] + f->waiter.told[1], 0);     /* the first leader may have them */
    assert_int_equal(f->waiter.status[2], ORR_EFULL);               /* nobody has this one */
    assert_int_equal(f->o.next_sequence, 3);
    truncate_log(f, 2);
    apply(f, 2);
    assert_int_equal(f->waiter.status[0], 1);
    assert_int_equal(f->waiter.status[1], 1);
}

static void bytes_that_somebody_holds_do_not_change(void **state) {
    struct fixture *f = *state;
    unsigned char before[64];
    orri_origin_aim(&f->o, ORRI_TO_LEADER, 1, 7);
    turn(f, 0);
    turn(f, 1);
    struct orr_slice held = f->log[1];
    memcpy(before, held.at, held.size);
    orri_origin_refused(&f->o, f->now, &(struct orri_resend){ 1, f->last.epoch, ORR_EOVERLOADED, 1 });
    f->now += CALL - 1;
    command(f, 2);                                  /* 0 and 1 run out before they are sent again; 2 becomes number 1 */
    f->now += 1;
    orri_origin_tick(&f->o, f->now, ORR_ETIMEOUT);
    orri_origin_push(&f->o, f->now);
    assert_int_equal(f->n_log, 3);
    assert_int_equal(sequence_at(f, 2), 1);
    assert_memory_equal(held.at, before, held.size);
    assert_int_equal(f->waiter.status[1], ORR_ETIMEOUT);
}

static void above_the_limit_it_is_overloaded(void **state) {
    struct fixture *f = *state;
    int status = 0;
    size_t n = 0;
    while (n < 4000) {
        unsigned char *at = orri_origin_room(&f->o, f->now, 1000, &status);
        if (!at) break;
        memset(at, 1, 1000);
        orri_origin_commit(&f->o, 1000, &f->waiter.w, n++ % 64);
    }
    assert_int_equal(status, ORR_EOVERLOADED);
    assert_true(n > 900 && f->o.bytes <= 1 << 20);
}

static void a_forgotten_waiter_is_told_nothing(void **state) {
    struct fixture *f = *state;
    struct waiter other = { .w.ops = &waiter_ops };
    int status;
    orri_origin_aim(&f->o, ORRI_TO_SELF, 1, 0);
    command(f, 1);
    assert_non_null(orri_origin_room(&f->o, f->now, 8, &status));
    orri_origin_commit(&f->o, 8, &other.w, 5);
    orri_slots_forget(&f->slots, &other.w);
    orri_origin_push(&f->o, f->now);
    apply(f, 1);
    assert_int_equal(f->waiter.status[1], 1);
    assert_int_equal(other.told[5], 0);
}

static void nothing_is_lost_in_a_random_run(void **state) {
    struct fixture *f = *state;
    struct orr_rng rng;
    orri_rng_init(&rng, 11);
    orr_term term = 1;
    size_t committed = 0, turns = 0;
    for (int step = 0; step < 6000 && f->n_log < LOG_MAX - 200; step++) {
        uint64_t what = orri_rng_below(&rng, 12);
        f->now += (orr_time)orri_rng_below(&rng, 4) * ORR_MS;
        f->refuse = orri_rng_below(&rng, 8) == 0 ? ORR_EOVERLOADED : 0;
        orri_origin_tick(&f->o, f->now, ORR_ETIMEOUT);
        if (what < 5 && f->o.bytes < 4096) {
            memset(&f->waiter.told, 0, sizeof f->waiter.told);
            turn(f, turns++ % 64);
        } else if (what < 8) {
            committed += (size_t)orri_rng_below(&rng, f->n_log - committed + 1);
            apply(f, committed);
        } else if (what == 8) {                     /* a leader of another term, whose log ends earlier */
            term++;
            truncate_log(f, committed + (size_t)orri_rng_below(&rng, f->n_log - committed + 1));
            orri_origin_aim(&f->o, orri_rng_below(&rng, 2) ? ORRI_TO_SELF : ORRI_TO_LEADER, term, term);
        } else if (what == 9 && f->o.target == ORRI_TO_LEADER && f->n_log > committed && f->last.term == term) {
            size_t keep = f->n_log - 1;             /* it refuses its last one, if that is of this epoch */
            struct orri_pending *p = f->o.head;
            while (p && p->next && p->next->sequence) p = p->next;
            if (p && p->sequence == sequence_at(f, keep) && p->epoch == f->o.epoch) {
                truncate_log(f, keep);
                orri_origin_refused(&f->o, f->now,
                                    &(struct orri_resend){ term, f->o.epoch, ORR_EOVERLOADED, p->sequence });
            }
        }
        orri_origin_push(&f->o, f->now);
    }
    f->refuse = 0;
    orri_origin_aim(&f->o, ORRI_TO_SELF, ++term, 0);
    orri_origin_push(&f->o, f->now);
    apply(f, f->n_log);
    assert_null(f->o.head);                         /* all that was not withdrawn is applied, */
    assert_true(f->o.next_sequence - 1 == f->ops_applied);      /* once each (a batch is one command here) */
    assert_true(f->ops_applied > 300);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_turns_commands_are_one_batch),
        TEST(what_was_sent_to_nobody_times_out_as_surely_not_done),
        TEST(what_was_sent_is_unknown_at_its_deadline_and_stays),
        TEST(a_new_leader_gets_all_that_is_not_applied_here),
        TEST(a_refused_batch_has_no_number_any_more),
        TEST(a_full_disk_is_told_at_once_where_nothing_was_taken),
        TEST(what_another_leader_may_have_taken_keeps_its_number_when_refused),
        TEST(bytes_that_somebody_holds_do_not_change),
        TEST(above_the_limit_it_is_overloaded),
        TEST(a_forgotten_waiter_is_told_nothing),
        TEST(nothing_is_lost_in_a_random_run),
    };
    return cmocka_run_group_tests_name("node.origin", tests, NULL, NULL);
}
