/* life_test.c - a membership's life: what its configuration can't be, leaving, tags, keys, memory that is refused, and
 * what a look shows. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support/alloc.h"
#include "support/member_hand.h"
#include "support/member_net.h"

/* -- Configuration ------------------------------------------------------------------------------------------------- */
#define BAD(word, ...)                                                                                                 \
    do {                                                                                                               \
        struct orr_membership_config c;                                                                                \
        struct orr_membership *m = NULL;                                                                               \
        const char *why = NULL;                                                                                        \
        orr_membership_config_init(&c);                                                                                \
        c.self.name = "a";                                                                                             \
        __VA_ARGS__;                                                                                                   \
        assert_int_equal(orr_membership_new(&m, &c, 0, &why), ORR_EINVALID);                                           \
        assert_string_equal(why, word);                                                                                \
        assert_null(m);                                                                                                \
    } while (0)

static void what_cannot_be_is_named(void **state) {
    (void)state;
    char longer[200];
    memset(longer, 'x', sizeof longer);
    longer[ORR_MEMBER_NAME_MAX + 1] = 0;
    BAD("size", c.size = 1);
    BAD("name", c.self.name = NULL);
    BAD("name", c.self.name = "");
    BAD("name", c.self.name = longer);
    longer[ORR_MEMBER_NAME_MAX + 1] = 'x';
    longer[ORR_MEMBER_ADDRESS_MAX + 1] = 0;
    BAD("address", c.self.address = longer);
    BAD("zone", c.self.zone = longer);
    BAD("tags", c.self.tags = orr_borrow(longer, ORR_MEMBER_TAGS_MAX + 1));
    BAD("incarnation", c.self.incarnation = INT64_MAX);
    BAD("probe_interval", c.probe_interval = 0);
    BAD("probe_timeout", c.probe_timeout = c.probe_interval);
    BAD("probe_timeout", c.probe_timeout = 0);
    BAD("indirect", c.indirect = 17);
    BAD("suspicion_mult", c.suspicion_mult = 0);
    BAD("suspicion_max_mult", c.suspicion_max_mult = 0);
    BAD("retransmit_mult", c.retransmit_mult = 13);
    BAD("gossip_interval", c.gossip_interval = -1);
    BAD("gossip_nodes", c.gossip_nodes = 0);
    BAD("gossip_dead", c.gossip_dead = -1);
    BAD("sync_interval", c.sync_interval = -1);
    BAD("awareness_max", c.awareness_max = 0);
    BAD("forget", c.forget = -1);
    BAD("detector", c.detector = (enum orr_detector)9);
    BAD("phi_suspect", c.phi_suspect = NAN);
    BAD("phi_fail", c.phi_fail = 4);
    BAD("silence", c.silence = 0);
}

static void who_is_known_has_a_name(void **state) {
    (void)state;
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    struct mhand *h = mhand_new(0, NULL);
    assert_int_equal(orr_membership_know(h->m, 0, NULL, "", true), ORR_EINVALID);
    assert_int_equal(orr_membership_know(h->m, 0, "", "", true), ORR_EINVALID);
    assert_int_equal(orr_membership_know(h->m, 0, "a", "", true), ORR_EINVALID);
    assert_int_equal(orr_membership_know(h->m, 0, longer, "", true), ORR_EINVALID);
    assert_int_equal(orr_membership_know(h->m, 0, "b", longer, true), ORR_EINVALID);
    for (unsigned i = 1; i < ORR_MEMBERS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        assert_int_equal(orr_membership_know(h->m, 0, name, NULL, true), 0);
    }
    assert_int_equal(orr_membership_know(h->m, 0, "n1", "elsewhere", true), 0);
    assert_int_equal(orr_membership_know(h->m, 0, "one more", NULL, true), ORR_EOVERLOADED);
    assert_int_equal(orr_membership_count(h->m), 1);
    mhand_free(h);
}

static void the_operators_address_is_where_packets_go(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, NULL);
    struct orri_fact f = mhand_whole(ORR_MEMBER_ALIVE, "b", 2);
    f.address = orr_borrow("inside", 6);
    mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_GOSSIP }, &f, 1);
    assert_string_equal(mhand_sees(h, 'b').address, "address");
    assert_int_equal(orr_membership_know(h->m, h->now, "b", "outside", true), 0);
    assert_string_equal(mhand_sees(h, 'b').address, "outside");
    assert_int_equal(orr_membership_know(h->m, h->now, "b", "", true), 0);
    assert_string_equal(mhand_sees(h, 'b').address, "inside");
    const struct orr_membership_ready *r;
    while (!(r = orr_membership_ready(h->m))) orr_membership_tick(h->m, orr_membership_deadline(h->m));
    assert_string_equal(r->packet.address, "inside");
    mhand_free(h);
}

/* -- Leaving, tags ------------------------------------------------------------------------------------------------- */
static void who_leaves_tells_it_and_is_gone(void **state) {
    (void)state;
    struct mhand *h = mhand_new(5, NULL);
    mhand_answering(h, h->now + 5 * ORR_SECOND);
    mhand_forget(h);
    assert_false(orr_membership_gone(h->m));
    orr_membership_leave(h->m, h->now);
    orr_membership_leave(h->m, h->now);
    assert_false(orr_membership_gone(h->m));
    mhand_until(h, h->now + ORR_SECOND);
    assert_true(orr_membership_gone(h->m));
    size_t told = 0;
    for (size_t i = 0; i < h->n_said; i++) told += mhand_says(&h->said[i], ORR_MEMBER_LEFT, 'a', 1);
    assert_true(told >= 4);
    mhand_forget(h);
    mhand_until(h, h->now + 60 * ORR_SECOND);
    assert_int_equal(h->n_said, 0);
    mhand_told(h, 'b', ORR_MEMBER_FAILED, 'a', 1, 'b');             /* nothing to refute any more */
    assert_int_equal(mhand_sees(h, 'a').incarnation, 1);
    mhand_recv(h, 'b', (struct orri_packet){ .kind = ORRI_PING }, NULL, 0);
    assert_true(mhand_says(mhand_said(h, ORRI_ACK, 'b'), ORR_MEMBER_LEFT, 'a', 1));
    mhand_free(h);
}

static void alone_one_is_gone_at_once(void **state) {
    (void)state;
    struct mhand *h = mhand_new(0, NULL);
    orr_membership_leave(h->m, h->now);
    assert_true(orr_membership_gone(h->m));
    mhand_free(h);
}

static void where_nobody_may_be_told_leaving_takes_its_time_and_ends(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, NULL);
    assert_int_equal(orr_membership_know(h->m, h->now, "x", "", false), 0);
    mhand_told(h, 'b', ORR_MEMBER_ALIVE, 'x', 1, 0);
    mhand_told(h, 'b', ORR_MEMBER_LEFT, 'b', 1, 0);
    orr_membership_leave(h->m, h->now);
    assert_false(orr_membership_gone(h->m));
    mhand_until(h, h->now + 10 * ORR_SECOND);
    assert_true(orr_membership_gone(h->m));
    mhand_free(h);
}

static void new_tags_are_told_at_a_higher_incarnation(void **state) {
    (void)state;
    struct mhand *h = mhand_new(3, NULL);
    unsigned char tags[ORR_MEMBER_TAGS_MAX + 1] = { 1 };
    assert_int_equal(orr_membership_tags(h->m, h->now, orr_borrow(tags, sizeof tags)), ORR_EINVALID);
    assert_int_equal(mhand_sees(h, 'a').incarnation, 1);
    assert_int_equal(orr_membership_tags(h->m, h->now, orr_borrow("red", 3)), 0);
    assert_int_equal(mhand_sees(h, 'a').incarnation, 2);
    assert_int_equal(orr_membership_tags(h->m, h->now, orr_borrow("red", 3)), 0);       /* the same: no news */
    assert_int_equal(mhand_sees(h, 'a').incarnation, 2);
    mhand_until(h, h->now + ORR_SECOND / 2);
    const struct mhand_said *s = mhand_said(h, ORRI_GOSSIP, 0);
    assert_true(mhand_says(s, ORR_MEMBER_ALIVE, 'a', 2));
    for (size_t i = 0; i < s->facts.n; i++) {
        if (s->facts.at[i].id == mhand_id('a')) assert_memory_equal(s->facts.at[i].tags.at, "red", 3);
    }
    mhand_free(h);
}

/* -- Keys ---------------------------------------------------------------------------------------------------------- */
static const unsigned char old_key[ORR_MEMBERSHIP_KEY] = { 1 }, new_key[ORR_MEMBERSHIP_KEY] = { 2 };

static uint64_t wrong_keys(const struct mnet *net, size_t n) {
    uint64_t dropped = 0;
    for (size_t i = 0; i < n; i++) {
        struct orr_membership_status s;
        orr_membership_status(mnet_of(net, i), &s);
        dropped += s.dropped_key;
    }
    return dropped;
}

static void each(struct mnet *net, size_t n, int (*what)(struct orr_membership *, const unsigned char *),
                 const unsigned char *key) {
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(what(mnet_of(net, i), key), 0);
        mnet_run(net, 3 * ORR_SECOND);
    }
}

static void keys_change_and_no_packet_is_lost(void **state) {
    (void)state;
    enum { N = 5 };
    struct mnet_options o = { .n = N, .seed = 3, .delay_min = ORR_MS, .delay_max = 9 * ORR_MS };
    orr_membership_config_init(&o.cfg);
    o.cfg.sync_interval = ORR_SECOND;
    struct mnet *net = mnet_new(&o);
    for (size_t i = 0; i < N; i++) {
        mnet_start(net, i);
        assert_int_equal(orr_membership_key_add(mnet_of(net, i), old_key), 0);
    }
    mnet_run(net, 5 * ORR_SECOND);
    each(net, N, orr_membership_key_add, new_key);
    each(net, N, orr_membership_key_primary, new_key);
    each(net, N, orr_membership_key_remove, old_key);
    assert_int_equal(wrong_keys(net, N), 0);
    for (size_t i = 0; i < N * N; i++) assert_int_equal(mnet_sees(net, i / N, i % N), ORR_MEMBER_ALIVE);
    assert_int_equal(orr_membership_key_remove(mnet_of(net, 0), old_key), ORR_EINVALID);
    mnet_free(net);
}

/* 0 has no key, 1 the old one, 2 and 3 the new one. */
static void without_the_right_key_nobody_is_heard(void **state) {
    (void)state;
    struct mnet_options o = { .n = 4, .seed = 3, .delay_max = ORR_MS };
    orr_membership_config_init(&o.cfg);
    struct mnet *net = mnet_new(&o);
    for (size_t i = 0; i < 4; i++) mnet_start(net, i);
    for (size_t i = 1; i < 4; i++) orr_membership_key_add(mnet_of(net, i), i == 1 ? old_key : new_key);
    mnet_run(net, 30 * ORR_SECOND);
    for (size_t i = 0; i < 4; i++) {
        struct orr_membership_status s;
        orr_membership_status(mnet_of(net, i), &s);
        assert_int_equal(s.alive, i < 2 ? 1 : 2);
        assert_true(s.dropped_key > 5);
        assert_int_equal(s.dropped_malformed, 0);
    }
    assert_int_equal(mnet_sees(net, 2, 3), ORR_MEMBER_ALIVE);
    mnet_free(net);
}

static void a_changed_bit_is_found(bool sealed) {
    struct mhand *h = mhand_new(1, NULL);
    unsigned char bytes[ORR_MEMBERSHIP_PACKET_MAX];
    struct orri_keyring k;
    orri_keyring_init(&k);
    orri_keyring_add(&k, old_key);
    if (sealed) assert_int_equal(orr_membership_key_add(h->m, old_key), 0);
    struct orr_writer w = orri_writer(bytes, sizeof bytes);
    struct orri_fact f = mhand_brief(ORR_MEMBER_FAILED, 'b', 1, 'b');
    struct orri_packet gossip = { .kind = ORRI_GOSSIP, .from = mhand_id('b'), .to = mhand_id('a') };
    orri_packet_write(&w, &gossip, 0, sealed);
    orri_fact_write(&w, &f);
    size_t inner = (size_t)(w.at - bytes);
    size_t size = sealed ? orri_keyring_seal(&k, bytes, inner, mhand_id('b'), mhand_id('a'))
                         : orri_packet_sum(bytes, inner);
    for (size_t i = 0; i < 8 * size; i++) {
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
        assert_true(orr_membership_recv(h->m, h->now, ORR_NOBODY, orr_borrow(bytes, size)) < 0);
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_ALIVE);
    assert_int_equal(orr_membership_recv(h->m, h->now, mhand_id('b'), orr_borrow(bytes, size)), 0);
    assert_int_equal(mhand_sees(h, 'b').state, ORR_MEMBER_FAILED);
    mhand_free(h);
}

static void one_changed_bit_is_found(void **state) {
    (void)state;
    a_changed_bit_is_found(true);
    a_changed_bit_is_found(false);
}

/* -- Memory -------------------------------------------------------------------------------------------------------- */
static void drain(struct orr_membership *m) {
    while (orr_membership_ready(m)) continue;
}

static void say(struct orr_membership *m, orr_time now, enum orri_kind kind, const struct orri_fact *f) {
    unsigned char bytes[ORR_MEMBERSHIP_PACKET_MAX];
    struct orr_writer w = orri_writer(bytes, sizeof bytes);
    struct orri_packet p = { .kind = kind, .from = mhand_id('b'), .to = mhand_id('a') };
    orri_packet_write(&w, &p, 0, false);
    orri_fact_write(&w, f);
    (void)orr_membership_recv(m, now, ORR_NOBODY, orr_borrow(bytes, orri_packet_sum(bytes, (size_t)(w.at - bytes))));
}

static void a_day(struct orr_membership *m) {
    orr_time now = 0;
    (void)orr_membership_know(m, now, "b", "somewhere", true);
    (void)orr_membership_know(m, now, "c", "elsewhere", true);
    for (unsigned i = 0; i < 30; i++) {
        char name[2] = { (char)('b' + i % 13), 0 };
        struct orri_fact f = mhand_whole(i % 5 == 4 ? ORR_MEMBER_LEFT : ORR_MEMBER_ALIVE, name, 1 + i / 4);
        say(m, now, i % 3 == 2 ? ORRI_RECORDS : ORRI_GOSSIP, &f);
        f = mhand_brief(i % 4 == 3 ? ORR_MEMBER_FAILED : ORR_MEMBER_SUSPECT, (char)('b' + i % 7), 1 + i / 4, 'c');
        say(m, now, ORRI_GOSSIP, &f);
        say(m, now, ORRI_PING, &f);
        orr_membership_heard(m, now, mhand_id('b'));
        now += ORR_SECOND;
        orr_membership_tick(m, now);
        drain(m);
    }
    (void)orr_membership_tags(m, now, orr_borrow("red", 3));
    orr_membership_leave(m, now);
    for (unsigned i = 0; i < 40; i++) orr_membership_tick(m, now += ORR_SECOND);
    drain(m);
}

static void memory_may_be_refused_at_any_time(void **state) {
    (void)state;
    size_t rounds = 0;
    for (int detector = ORR_DETECTOR_SWIM; detector <= ORR_DETECTOR_DEADLINE; detector++) {
        SPEC_EACH_FAILURE(a) {
            struct orr_membership_config cfg;
            struct orr_membership *m = NULL;
            orr_membership_config_init(&cfg);
            cfg.self.name = "a";
            cfg.open = true;
            cfg.forget = 10 * ORR_SECOND;
            cfg.detector = (enum orr_detector)detector;
            cfg.alloc = spec_alloc_of(&a);
            int rc = orr_membership_new(&m, &cfg, 0, NULL);
            assert_true(rc == 0 || (rc == -ENOMEM && a.failed));
            if (rc == 0) a_day(m);
            orr_membership_free(m);
            spec_alloc_check(&a);
            rounds++;
        }
    }
    assert_true(rounds > 30);
}

/* -- Looking ------------------------------------------------------------------------------------------------------- */
static void members_come_in_the_order_of_their_names(void **state) {
    (void)state;
    static const char order[] = "dcfbe";
    struct mhand *h = mhand_new(0, NULL);
    for (size_t i = 0; i < 5; i++) {
        char name[2] = { order[i], 0 };
        orr_membership_know(h->m, h->now, name, "", true);
    }
    for (size_t i = 0; i < 4; i++) mhand_told(h, order[i], ORR_MEMBER_ALIVE, order[i], 1, 0);
    struct orr_member_info m;
    for (size_t i = 0; i < 5; i++) {
        assert_true(orr_membership_at(h->m, i, &m));
        assert_int_equal(m.name[0], "abcdf"[i]);
        assert_int_equal(m.self, i == 0);
    }
    assert_false(orr_membership_at(h->m, 5, &m));
    assert_false(orr_membership_find(h->m, mhand_id('e'), &m));     /* named, but not heard of */
    struct orr_member_why why;
    assert_int_equal(orr_membership_why(h->m, h->now, mhand_id('e'), &why), ORR_EINVALID);
    mhand_free(h);
}

static void the_last_probes_are_kept(void **state) {
    (void)state;
    struct mhand *h = mhand_new(1, NULL);
    mhand_answering(h, h->now + 20 * ORR_SECOND);
    struct orr_member_why why;
    assert_int_equal(orr_membership_why(h->m, h->now, mhand_id('b'), &why), 0);
    assert_int_equal(why.n_probes, ORR_MEMBER_PROBES_KEPT);
    for (size_t i = 1; i < why.n_probes; i++) assert_int_equal(why.probes[i].at - why.probes[i - 1].at, ORR_SECOND);
    assert_true(why.probes[7].at > h->now - 2 * ORR_SECOND);
    assert_int_equal(why.probes[0].way, ORR_WAY_DIRECT);
    assert_int_equal(why.suspected_by, ORR_NOBODY);
    assert_int_equal(why.fails, ORR_NEVER);
    mhand_free(h);
}

static void distances_are_told_once_both_were_heard(void **state) {
    (void)state;
    struct mnet_options o = { .n = 3, .seed = 3, .delay_min = 20 * ORR_MS, .delay_max = 20 * ORR_MS };
    orr_membership_config_init(&o.cfg);
    struct mnet *net = mnet_new(&o);
    for (size_t i = 0; i < 3; i++) mnet_start(net, i);
    orr_time rtt;
    double error;
    struct orr_membership *m = mnet_of(net, 0);
    assert_int_equal(orr_membership_estimate(m, mnet_id(net, 0), mnet_id(net, 1), &rtt, &error), ORR_EUNAVAILABLE);
    mnet_run(net, 300 * ORR_SECOND);
    for (size_t i = 0; i < 2; i++) {            /* one's own, and between two others */
        assert_int_equal(orr_membership_estimate(m, mnet_id(net, 2 * i), mnet_id(net, 1), &rtt, &error), 0);
        assert_true(rtt > 30 * ORR_MS && rtt < 50 * ORR_MS);
        assert_true(error < 0.3);
    }
    assert_int_equal(orr_membership_estimate(m, mnet_id(net, 1), mnet_id(net, 1), &rtt, NULL), 0);
    assert_int_equal(rtt, 0);
    mnet_free(net);
}

static void words(void **state) {
    (void)state;
    assert_string_equal(orr_member_state_word(ORR_MEMBER_ALIVE), "alive");
    assert_string_equal(orr_member_state_word(ORR_MEMBER_LEFT), "left");
    assert_string_equal(orr_member_state_word((enum orr_member_state)9), "?");
    assert_string_equal(orr_detector_word(ORR_DETECTOR_SWIM), "swim");
    assert_string_equal(orr_detector_word(ORR_DETECTOR_DEADLINE), "deadline");
    assert_string_equal(orr_detector_word((enum orr_detector)9), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_is_named),
        cmocka_unit_test(who_is_known_has_a_name),
        cmocka_unit_test(the_operators_address_is_where_packets_go),
        cmocka_unit_test(who_leaves_tells_it_and_is_gone),
        cmocka_unit_test(alone_one_is_gone_at_once),
        cmocka_unit_test(where_nobody_may_be_told_leaving_takes_its_time_and_ends),
        cmocka_unit_test(new_tags_are_told_at_a_higher_incarnation),
        cmocka_unit_test(keys_change_and_no_packet_is_lost),
        cmocka_unit_test(without_the_right_key_nobody_is_heard),
        cmocka_unit_test(one_changed_bit_is_found),
        cmocka_unit_test(memory_may_be_refused_at_any_time),
        cmocka_unit_test(members_come_in_the_order_of_their_names),
        cmocka_unit_test(the_last_probes_are_kept),
        cmocka_unit_test(distances_are_told_once_both_were_heard),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
