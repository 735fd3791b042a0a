/* reads_test.c - linearizable reads of a group: one question a turn, asked anew where it was refused or lost,
 * served when the state is late enough.                                                                              */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "node/reads.h"
#include "support/alloc.h"

#define CALL (100 * ORR_MS)
#define AGAIN (30 * ORR_MS)

struct fixture {
    struct spec_alloc a;
    struct orr_alloc alloc;
    struct orri_slots slots;
    struct orri_reads r;
    struct orri_waiter w;
    orr_time now;
    int refuse;
    uint64_t asked, n_asked;
    unsigned n_lost;
    int status;
};
static struct fixture *F;

static int ask(void *x, orr_time now, uint64_t tag) {
    (void)x, (void)now;
    if (F->refuse) return F->refuse;
    F->asked = tag;
    F->n_asked++;
    return 0;
}
static const struct orr_order_ops fake_order = { .name = "fake", .read = ask };

static void lost(struct orri_waiter *w, uint64_t tag, bool read, int status) {
    (void)w, (void)tag;
    assert_true(read);
    F->n_lost++;
    F->status = status;
}
static const struct orri_waiter_ops waiter_ops = { .lost = lost };

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    F = &f;
    f.alloc = spec_alloc_of(&f.a);
    f.w.ops = &waiter_ops;
    f.now = ORR_SECOND;
    orri_slots_init(&f.slots, &f.alloc);
    struct orri_reads_config cfg = { .alloc = &f.alloc, .slots = &f.slots, .order = &fake_order };
    cfg.call = CALL;
    cfg.again = AGAIN;
    orri_reads_init(&f.r, &cfg);
    *state = &f;
    return 0;
}
static int tear_down(void **state) {
    struct fixture *f = *state;
    orri_reads_clear(&f->r);
    orri_slots_clear(&f->slots);
    spec_alloc_check(&f->a);
    return 0;
}

static void read_once(struct fixture *f, uint64_t tag) {
    assert_int_equal(orri_reads_add(&f->r, f->now, &f->w, tag), 0);
}
static void answer(struct fixture *f, uint64_t question, orr_index index, int status) {
    orri_reads_answer(&f->r, f->now, &(struct orr_answer){ .tag = question, .index = index, .status = status });
}
/* Serves what may be served at `applied`; how many reads that were. */
static unsigned serve(struct fixture *f, orr_index applied) {
    unsigned n = 0;
    for (struct orri_read *r; (r = orri_reads_due(&f->r, applied)); n += r->n, orri_reads_give_back(&f->r, r)) {
        for (uint32_t i = 0; i < r->n; i++) orri_slots_release(&f->slots, r->tags[i].slot);
    }
    return n;
}

static void a_turns_reads_are_one_question(void **state) {
    struct fixture *f = *state;
    for (uint64_t tag = 0; tag < 100; tag++) read_once(f, tag);
    orri_reads_push(&f->r, f->now);
    assert_int_equal(f->n_asked, 1);
    assert_int_equal(serve(f, 50), 0);              /* no answer yet */
    answer(f, f->asked, 10, 0);
    assert_int_equal(serve(f, 9), 0);               /* the state is not late enough */
    assert_int_equal(serve(f, 10), 100);
    assert_true(orri_reads_deadline(&f->r) == ORR_NEVER);
}

static void a_read_that_came_later_has_its_own_question(void **state) {
    struct fixture *f = *state;
    read_once(f, 1);
    orri_reads_push(&f->r, f->now);
    uint64_t first = f->asked;
    read_once(f, 2);
    orri_reads_push(&f->r, f->now);
    assert_int_equal(f->n_asked, 2);
    answer(f, first, 1, 0);
    assert_int_equal(serve(f, 100), 1);             /* the other one must not be served by an older answer */
    answer(f, f->asked, 2, 0);
    assert_int_equal(serve(f, 100), 1);
}

static void refused_questions_are_asked_again_for_all(void **state) {
    struct fixture *f = *state;
    read_once(f, 1);
    orri_reads_push(&f->r, f->now);
    read_once(f, 2);
    answer(f, f->asked, 0, ORR_ENOLEADER);
    orri_reads_push(&f->r, f->now);
    assert_int_equal(f->n_asked, 1);                /* after a pause */
    f->now = orri_reads_deadline(&f->r);
    orri_reads_push(&f->r, f->now);
    assert_int_equal(f->n_asked, 2);
    answer(f, f->asked, 3, 0);
    assert_int_equal(serve(f, 3), 2);
}

static void a_question_without_an_answer_is_asked_anew(void **state) {
    struct fixture *f = *state;
    read_once(f, 1);
    orri_reads_push(&f->r, f->now);
    uint64_t first = f->asked;
    f->now += AGAIN;
    assert_true(orri_reads_deadline(&f->r) <= f->now);
    orri_reads_tick(&f->r, f->now, ORR_ETIMEOUT);
    orri_reads_push(&f->r, f->now);
    assert_int_equal(f->n_asked, 2);
    answer(f, first, 1, 0);                         /* nobody waits for that one any more */
    assert_int_equal(serve(f, 100), 0);
    answer(f, f->asked, 1, 0);
    assert_int_equal(serve(f, 100), 1);
}

static void time_runs_out_and_says_so(void **state) {
    struct fixture *f = *state;
    f->refuse = ORR_ENOLEADER;
    for (uint64_t tag = 0; tag < 10; tag++) {
        read_once(f, tag);
        orri_reads_push(&f->r, f->now);
        f->now += ORR_MS;
    }
    f->now = ORR_SECOND + CALL + 20 * ORR_MS;
    orri_reads_tick(&f->r, f->now, ORR_ENOLEADER);
    assert_int_equal(f->n_lost, 10);
    assert_int_equal(f->status, ORR_ENOLEADER);
    assert_int_equal(f->w.slot, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_turns_reads_are_one_question),
        TEST(a_read_that_came_later_has_its_own_question),
        TEST(refused_questions_are_asked_again_for_all),
        TEST(a_question_without_an_answer_is_asked_anew),
        TEST(time_runs_out_and_says_so),
    };
    return cmocka_run_group_tests_name("node.reads", tests, NULL, NULL);
}
