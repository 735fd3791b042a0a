/* gossip_test.c - how changes are told: SWIM, section 4.1, with memberlist's figures. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/member_hand.h"
#include "support/member_net.h"

static size_t times_told(const struct mhand *h, enum orr_member_state state, char of, uint64_t incarnation) {
    size_t n = 0;
    for (size_t i = 0; i < h->n_said; i++) n += mhand_says(&h->said[i], state, of, incarnation);
    return n;
}

static void is_open(struct orr_membership_config *cfg) { cfg->open = true; }

static void fill_up(struct mhand *h, size_t members) {
    for (unsigned i = 0; orr_membership_count(h->m) < members; i++) {
        char name[16];
        snprintf(name, sizeof name, "more-%u", i);
        struct orri_fact f = mhand_whole(ORR_MEMBER_ALIVE, name, 1);
        mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_GOSSIP }, &f, 1);
    }
    for (unsigned i = 0; i < 50 && mhand_status(h).untold > 0; i++) mhand_answering(h, h->now + 100 * ORR_MS);
    mhand_forget(h);
}

static void a_change_is_told_so_many_times_the_logarithm(void **state) {
    (void)state;
    static const struct { size_t members; size_t told; } cases[] = { { 8, 4 }, { 9, 4 }, { 10, 8 }, { 99, 8 } };
    for (size_t i = 0; i < 4; i++) {
        struct mhand *h = mhand_new(4, is_open);
        fill_up(h, cases[i].members);
        assert_int_equal(mhand_status(h).untold, 0);
        mhand_told(h, 'c', ORR_MEMBER_ALIVE, 'b', 2, 0);
        assert_int_equal(mhand_status(h).untold, 1);
        mhand_answering(h, h->now + 3 * ORR_SECOND);
        assert_int_equal(times_told(h, ORR_MEMBER_ALIVE, 'b', 2), cases[i].told);
        mhand_free(h);
    }
}

static void with_nothing_to_tell_nobody_is_told(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    mhand_answering(h, h->now + 10 * ORR_SECOND);
    mhand_forget(h);
    assert_int_equal(h->m->gossip_at, ORR_NEVER);
    mhand_answering(h, h->now + 10 * ORR_SECOND);
    assert_int_equal(mhand_count(h, ORRI_GOSSIP, 0), 0);
    assert_true(mhand_count(h, ORRI_PING, 0) >= 9);
    mhand_free(h);
}

static void a_newer_change_takes_the_older_ones_place(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    mhand_answering(h, h->now + 5 * ORR_SECOND);
    mhand_told(h, 'c', ORR_MEMBER_SUSPECT, 'b', 1, 'c');
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'b', 2, 0);
    mhand_forget(h);
    assert_int_equal(mhand_status(h).untold, 1);
    mhand_answering(h, h->now + 5 * ORR_SECOND);
    assert_int_equal(times_told(h, ORR_MEMBER_SUSPECT, 'b', 1), 0);
    assert_int_equal(times_told(h, ORR_MEMBER_ALIVE, 'b', 2), 4);
    mhand_free(h);
}

static void those_least_told_go_first(void **state) {
    (void)state;
    struct mhand *h = mhand_new(10, NULL);
    mhand_answering(h, h->now + 5 * ORR_SECOND);
    mhand_told(h, 'c', ORR_MEMBER_ALIVE, 'b', 2, 0);
    mhand_until(h, h->now + 250 * ORR_MS);
    assert_int_equal(h->m->self->queued, 0);
    mhand_forget(h);
    mhand_told(h, 'c', ORR_MEMBER_ALIVE, 'd', 2, 0);
    mhand_until(h, h->now + 250 * ORR_MS);
    const struct mhand_said *s = mhand_said(h, ORRI_GOSSIP, 0);
    assert_int_equal(s->facts.at[0].id, mhand_id('d'));
    assert_int_equal(s->facts.at[1].id, mhand_id('b'));
    mhand_free(h);
}

static void changes_ride_on_answers(void **state) {
    (void)state;
    struct mhand *h = mhand_new(4, NULL);
    mhand_answering(h, h->now + 5 * ORR_SECOND);
    mhand_told(h, 'c', ORR_MEMBER_ALIVE, 'b', 2, 0);
    mhand_forget(h);
    for (unsigned i = 0; i < 6; i++) mhand_recv(h, 'd', (struct orri_packet){ .kind = ORRI_PING }, NULL, 0);
    assert_int_equal(times_told(h, ORR_MEMBER_ALIVE, 'b', 2), 4);       /* and no more than its limit */
    assert_int_equal(mhand_status(h).untold, 0);
    mhand_free(h);
}

static void gossips_often(struct orr_membership_config *cfg) { cfg->retransmit_mult = 12; }

static void some_members_are_told_each_time_and_each_of_them_once(void **state) {
    (void)state;
    struct mhand *h = mhand_new(6, gossips_often);
    mhand_answering(h, h->now + 20 * ORR_SECOND);
    mhand_forget(h);
    mhand_told(h, 'c', ORR_MEMBER_FAILED, 'b', 1, 'c');
    mhand_told(h, 'c', ORR_MEMBER_LEFT, 'd', 1, 0);
    mhand_until(h, h->m->gossip_at);
    assert_int_equal(mhand_count(h, ORRI_GOSSIP, 0), 3);
    for (char c = 'b'; c <= 'g'; c++) assert_true(mhand_count(h, ORRI_GOSSIP, c) <= 1);
    assert_int_equal(mhand_count(h, ORRI_GOSSIP, 'd'), 0);              /* who left does not care */
    mhand_free(h);
}

static void who_failed_is_told_for_a_while(void **state) {
    (void)state;
    for (unsigned late = 0; late <= 1; late++) {
        struct mhand *h = mhand_new(4, NULL);
        mhand_answering(h, h->now + 5 * ORR_SECOND);
        mhand_told(h, 'c', ORR_MEMBER_FAILED, 'b', 1, 'c');
        mhand_answering(h, h->now + (late ? 31 : 10) * ORR_SECOND);
        mhand_forget(h);
        for (unsigned i = 2; i < 30; i++) {
            mhand_told(h, 'c', ORR_MEMBER_ALIVE, 'd', i, 0);
            mhand_answering(h, h->now + ORR_SECOND / 2);
        }
        if (late) assert_int_equal(mhand_count(h, ORRI_GOSSIP, 'b'), 0);
        else assert_true(mhand_count(h, ORRI_GOSSIP, 'b') > 3);
        mhand_free(h);
    }
}

static void packets_are_filled_but_not_beyond_their_size(void **state) {
    (void)state;
    struct mhand *h = mhand_new(2, is_open);
    unsigned char tags[ORR_MEMBER_TAGS_MAX] = { 0 };
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "more-%u", i);
        struct orri_fact f = mhand_whole(ORR_MEMBER_ALIVE, name, 1);
        f.tags = orr_borrow(tags, i * 37 % (sizeof tags + 1));
        mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_GOSSIP }, &f, 1);
    }
    mhand_forget(h);
    mhand_until(h, h->now + ORR_SECOND);            /* note_packet looks at the size */
    size_t bytes = 0;
    for (size_t i = 0; i < h->n_said; i++) bytes += h->said[i].size;
    assert_true(h->n_said > 10 && bytes > h->n_said * ORR_MEMBERSHIP_PACKET_MAX * 8 / 10);
    mhand_free(h);
}

static void the_largest_member_of_all_joins(void **state) {
    (void)state;
    char name[ORR_MEMBER_NAME_MAX + 1], address[ORR_MEMBER_ADDRESS_MAX + 1], zone[ORR_MEMBER_ZONE_MAX + 1];
    unsigned char tags[ORR_MEMBER_TAGS_MAX], key[ORR_MEMBERSHIP_KEY] = { 1 };
    memset(name, 'n', sizeof name);
    memset(address, 'a', sizeof address);
    memset(zone, 'z', sizeof zone);
    memset(tags, 't', sizeof tags);
    name[sizeof name - 1] = address[sizeof address - 1] = zone[sizeof zone - 1] = 0;
    struct orr_membership_config cfg;
    struct orr_membership *m[2];
    orr_membership_config_init(&cfg);
    for (unsigned i = 0; i < 2; i++) {
        name[0] = (char)('n' + i);
        cfg.self = (struct orr_member_self){ name, address, zone, orr_borrow(tags, sizeof tags), UINT32_MAX,
                                             INT64_MAX / 2 };
        assert_int_equal(orr_membership_new(&m[i], &cfg, 0, NULL), 0);
        assert_int_equal(orr_membership_key_add(m[i], key), 0);
        name[0] = (char)('n' + 1 - i);
        assert_int_equal(orr_membership_know(m[i], 0, name, address, true), 0);
    }
    orr_membership_tick(m[0], 0);
    for (unsigned i = 0; i < 4; i++) {
        const struct orr_membership_ready *r;
        while ((r = orr_membership_ready(m[i % 2]))) {
            if (r->kind != ORR_MEMBERSHIP_PACKET) continue;
            assert_int_equal(orr_membership_recv(m[1 - i % 2], 0, ORR_NOBODY, r->packet.bytes), 0);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(orr_membership_count(m[i]), 2);
        orr_membership_free(m[i]);
    }
}

/* -- In a large cluster -------------------------------------------------------------------------------------------- */
/* A newcomer is known to all after a few times log2 n rounds (SWIM, section 4.1; Demers and others, PODC 1987): with a
 * fan-out of 3 each round makes nearly four times as many that know, until most do; the tail takes as long again. */
static void a_newcomer_is_known_to_all_within_the_bound(void **state) {
    (void)state;
    struct mnet_options o = { .n = 256, .seed = 5, .seeds = 2, .delay_min = ORR_MS, .delay_max = 3 * ORR_MS };
    orr_membership_config_init(&o.cfg);
    struct mnet *net = mnet_new(&o);
    for (size_t i = 0; i + 1 < o.n; i++) mnet_start(net, i);
    mnet_run(net, 60 * ORR_SECOND);
    mnet_start(net, o.n - 1);
    mnet_run(net, 2 * 8 * o.cfg.gossip_interval);
    for (size_t i = 0; i < o.n; i++) {
        assert_int_equal(mnet_sees(net, i, o.n - 1), ORR_MEMBER_ALIVE);
        assert_int_equal(mnet_sees(net, o.n - 1, i), ORR_MEMBER_ALIVE);
    }
    mnet_free(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_told_so_many_times_the_logarithm),
        cmocka_unit_test(with_nothing_to_tell_nobody_is_told),
        cmocka_unit_test(a_newer_change_takes_the_older_ones_place),
        cmocka_unit_test(those_least_told_go_first),
        cmocka_unit_test(changes_ride_on_answers),
        cmocka_unit_test(some_members_are_told_each_time_and_each_of_them_once),
        cmocka_unit_test(who_failed_is_told_for_a_while),
        cmocka_unit_test(packets_are_filled_but_not_beyond_their_size),
        cmocka_unit_test(the_largest_member_of_all_joins),
        cmocka_unit_test(a_newcomer_is_known_to_all_within_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
