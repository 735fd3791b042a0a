/* sync_test.c - anti-entropy and joining. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/member_hand.h"
#include "support/member_net.h"

static void is_open(struct orr_membership_config *cfg) { cfg->open = true; }

/* A comparison as by one who has the same, but for these buckets. */
static struct orri_packet sync_but(const struct mhand *h, uint64_t buckets, unsigned upper) {
    struct orri_packet p = { .kind = ORRI_SYNC, .upper = (uint8_t)upper };
    for (unsigned i = 0; i < ORRI_BUCKETS; i++) {
        uint64_t hash = h->m->buckets[i] ^ (buckets >> i & 1 ? UINT64_C(0x100000001) : 0);
        p.buckets[i] = (uint32_t)(upper ? hash >> 32 : hash);
    }
    return p;
}

static uint64_t bit(char of) { return UINT64_C(1) << orri_sync_bucket(mhand_id(of)); }

/* -- An exchange --------------------------------------------------------------------------------------------------- */
static void in_agreement_nothing_is_told(void **state) {
    (void)state;
    for (unsigned upper = 0; upper <= 1; upper++) {
        struct mhand *h = mhand_new(6, NULL);
        mhand_answering(h, h->now + 5 * ORR_SECOND);
        mhand_forget(h);
        mhand_recv(h, 'b', sync_but(h, 0, upper), NULL, 0);
        assert_int_equal(h->n_said, 1);
        assert_int_equal(h->said[0].packet.kind, ORRI_RECORDS);
        assert_int_equal(h->said[0].packet.flags, ORRI_LAST | ORRI_ANSWER);
        assert_int_equal(h->said[0].packet.wanted, 0);
        assert_int_equal(h->said[0].facts.n, 0);
        mhand_free(h);
    }
}

static void what_differs_is_told_and_asked_for(void **state) {
    (void)state;
    for (char c = 'a'; c <= 'g'; c++) {
        struct mhand *h = mhand_new(6, NULL);
        mhand_recv(h, 'b', sync_but(h, bit(c), (unsigned)c % 2), NULL, 0);
        const struct mhand_said *s = mhand_said(h, ORRI_RECORDS, 'b');
        assert_int_equal(s->packet.wanted, bit(c));
        size_t n = 0;
        for (char d = 'a'; d <= 'g'; d++) {
            if (bit(d) != bit(c) && d != 'a') continue;
            assert_true(mhand_says(s, ORR_MEMBER_ALIVE, d, 1));
            n++;
        }
        assert_int_equal(s->facts.n, n);
        mhand_free(h);
    }
}

static void what_is_asked_for_is_told(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    struct orri_packet records = { .kind = ORRI_RECORDS, .wanted = bit('c'), .flags = ORRI_LAST | ORRI_ANSWER };
    mhand_recv(h, 'b', records, NULL, 0);
    const struct mhand_said *s = mhand_said(h, ORRI_RECORDS, 'b');
    assert_true(mhand_says(s, ORR_MEMBER_ALIVE, 'c', 1));
    assert_int_equal(s->packet.wanted, 0);
    assert_int_equal(s->packet.flags, ORRI_LAST);
    mhand_free(h);
}

static void states_are_compared_too(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    struct orri_packet before = sync_but(h, 0, 0);
    mhand_told(h, 'd', ORR_MEMBER_SUSPECT, 'c', 1, 'd');
    mhand_recv(h, 'b', before, NULL, 0);
    const struct mhand_said *s = mhand_said(h, ORRI_RECORDS, 'b');
    assert_int_equal(s->packet.wanted, bit('c'));
    assert_true(mhand_says(s, ORR_MEMBER_SUSPECT, 'c', 1));
    assert_int_equal(s->facts.at[1].by, mhand_id('d'));
    mhand_free(h);
}

static void an_answer_is_bounded_and_says_that_there_is_more(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, is_open);
    unsigned char tags[500] = { 0 };
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "more-%u", i);
        struct orri_fact f = mhand_whole(ORR_MEMBER_ALIVE, name, 1);
        f.tags = orr_borrow(tags, sizeof tags);
        mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_GOSSIP }, &f, 1);
    }
    mhand_forget(h);
    mhand_recv(h, 'b', sync_but(h, UINT64_MAX, 0), NULL, 0);
    size_t facts = 0, bytes = 0;
    uint64_t told = 0;
    for (size_t i = 0; i < h->n_said; i++) {
        const struct mhand_said *s = &h->said[i];
        assert_int_equal(s->packet.wanted, i == 0 ? UINT64_MAX : 0);
        assert_int_equal(s->packet.flags, ORRI_ANSWER | ORRI_MORE | (i + 1 < h->n_said ? 0 : ORRI_LAST));
        facts += s->facts.n;
        bytes += s->size;
        for (size_t k = i == 0; k < s->facts.n; k++) told |= UINT64_C(1) << orri_sync_bucket(s->facts.at[k].id);
    }
    assert_true(bytes > ORRI_SYNC_BYTES / 2 && bytes < ORRI_SYNC_BYTES * 5 / 4);
    size_t whole = 1;                       /* oneself is told in any case */
    for (size_t i = 0; i < h->m->n_names; i++) {
        const struct orri_member *r = h->m->names[i];
        if (r != h->m->self) whole += told >> orri_sync_bucket(r->id) & 1;
    }
    assert_int_equal(facts, whole);
    mhand_free(h);
}

static void where_there_is_more_it_is_asked_for_soon_if_that_helps(void **state) {
    (void)state;
    struct orri_packet more = { .kind = ORRI_RECORDS, .flags = ORRI_ANSWER | ORRI_LAST | ORRI_MORE };
    for (unsigned news = 0; news <= 1; news++) {
        struct mhand *h = mhand_new(4, NULL);
        mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_RECORDS, .flags = ORRI_ANSWER | ORRI_LAST }, NULL, 0);
        mhand_answering(h, h->now + 100 * ORR_SECOND);
        orr_time planned = h->m->sync_at;
        struct orri_fact f = mhand_whole(ORR_MEMBER_ALIVE, "c", 1 + news);
        mhand_recv(h, 'b', more, &f, 1);
        if (news) assert_true(h->m->sync_at <= h->now + 200 * ORR_MS);
        else assert_int_equal(h->m->sync_at, planned);
        mhand_free(h);
    }
}

/* -- When ---------------------------------------------------------------------------------------------------------- */
static void comparisons_go_on_at_their_pace(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_RECORDS, .flags = ORRI_ANSWER | ORRI_LAST }, NULL, 0);
    mhand_answering(h, h->now + 120 * ORR_SECOND);
    mhand_forget(h);
    mhand_answering(h, h->now + 600 * ORR_SECOND);
    size_t n = mhand_count(h, ORRI_SYNC, 0);
    assert_true(n >= 600 / 30 * 4 / 5 && n <= 600 / 30 * 4 / 3 + 1);
    assert_true(mhand_says(mhand_said(h, ORRI_SYNC, 0), ORR_MEMBER_ALIVE, 'a', 1));
    mhand_free(h);
}

static void seldom_alone(struct orr_membership_config *cfg) { cfg->sync_interval = 8 * ORR_SECOND; }

static void who_is_alone_asks_with_growing_pauses(void **state) {
    (void)state;
    struct mhand *h = mhand_new(0, seldom_alone);
    for (char c = 'b'; c <= 'f'; c++) {
        char name[2] = { c, 0 };
        assert_int_equal(orr_membership_know(h->m, h->now, name, "", c != 'f'), 0);
    }
    mhand_until(h, h->now);
    assert_int_equal(mhand_count(h, ORRI_SYNC, 0), 3);
    orr_time last = h->now, pause = ORR_SECOND;
    for (unsigned i = 0; i < 8; i++) {
        mhand_forget(h);
        mhand_until(h, orr_membership_deadline(h->m));
        assert_int_equal(mhand_count(h, ORRI_SYNC, 0), 3);
        assert_int_equal(mhand_count(h, ORRI_SYNC, 'f'), 0);
        assert_true(h->now - last >= pause * 3 / 4 && h->now - last <= pause * 5 / 4);
        last = h->now;
        if (pause < 8 * ORR_SECOND) pause *= 2;
    }
    mhand_free(h);
}

static void the_absent_are_asked_in_turn(void **state) {
    (void)state;
    struct mhand *h = mhand_new(5, NULL);
    assert_int_equal(orr_membership_know(h->m, h->now, "x", "", true), 0);
    mhand_told(h, 'e', ORR_MEMBER_FAILED, 'b', 1, 'e');
    mhand_told(h, 'e', ORR_MEMBER_LEFT, 'c', 1, 0);
    mhand_answering(h, h->now + 240 * ORR_SECOND);
    assert_true(mhand_count(h, ORRI_SYNC, 'b') >= 2);           /* it failed */
    assert_true(mhand_count(h, ORRI_SYNC, 'x') >= 2);           /* it was never here */
    assert_true(mhand_count(h, ORRI_SYNC, 'c') >= 2);           /* it left, but is in the file */
    mhand_free(h);
}

static void what_a_joiner_hears_of_is_not_told_on(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, is_open);
    struct orri_fact f = mhand_whole(ORR_MEMBER_ALIVE, "x", 1);
    struct orri_packet records = { .kind = ORRI_RECORDS, .flags = ORRI_ANSWER };
    mhand_answering(h, h->now + ORR_SECOND / 2);
    size_t untold = mhand_status(h).untold;
    mhand_recv(h, 'b', records, &f, 1);
    assert_int_equal(mhand_status(h).untold, untold);
    f = mhand_whole(ORR_MEMBER_ALIVE, "w", 1);              /* of what it was told itself: another joiner's */
    mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_RECORDS }, &f, 1);
    assert_int_equal(mhand_status(h).untold, ++untold);
    records.flags |= ORRI_LAST;
    mhand_recv(h, 'b', records, NULL, 0);
    f = mhand_whole(ORR_MEMBER_ALIVE, "y", 1);
    mhand_recv(h, 'b', records, &f, 1);                     /* it has joined: this may be news to others */
    assert_int_equal(mhand_status(h).untold, untold + 1);
    mhand_free(h);
}

/* -- A large cluster ----------------------------------------------------------------------------------------------- */
static void a_joiner_hears_of_thousands(void **state) {
    (void)state;
    struct mnet_options o = { .n = 2, .seed = 5, .seeds = 1, .delay_min = ORR_MS, .delay_max = 3 * ORR_MS };
    orr_membership_config_init(&o.cfg);
    struct mnet *net = mnet_new(&o);
    mnet_start(net, 0);
    struct orr_membership *m = mnet_of(net, 0);
    for (unsigned i = 0; i < 3000; i++) {
        char name[16];
        snprintf(name, sizeof name, "more-%u", i);
        struct orri_fact f = mhand_whole(ORR_MEMBER_ALIVE, name, 1);
        f.tags = orr_borrow("0123456789012345678901234567890123456789", 40);
        orri_member_merge(m, &f, false);
    }
    mnet_start(net, 1);
    mnet_run(net, 5 * ORR_SECOND);
    assert_int_equal(orr_membership_count(mnet_of(net, 1)), 3002);
    mnet_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_agreement_nothing_is_told),
        cmocka_unit_test(what_differs_is_told_and_asked_for),
        cmocka_unit_test(what_is_asked_for_is_told),
        cmocka_unit_test(states_are_compared_too),
        cmocka_unit_test(an_answer_is_bounded_and_says_that_there_is_more),
        cmocka_unit_test(where_there_is_more_it_is_asked_for_soon_if_that_helps),
        cmocka_unit_test(comparisons_go_on_at_their_pace),
        cmocka_unit_test(who_is_alone_asks_with_growing_pauses),
        cmocka_unit_test(the_absent_are_asked_in_turn),
        cmocka_unit_test(what_a_joiner_hears_of_is_not_told_on),
        cmocka_unit_test(a_joiner_hears_of_thousands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
