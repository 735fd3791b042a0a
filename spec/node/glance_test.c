/* glance_test.c - what a frame is by its first bytes: kinds and names, and no bytes do harm. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <orrery/raft.h>
#include <orrery/trace.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "node/frame.h"
#include "node/message.h"

static const unsigned char clock_bytes[ORRI_MESSAGES_HEAD];

/* A frame of this kind with these parts behind its head. */
static int glance(enum orri_frame_kind kind, struct orr_slice one, struct orr_slice two, struct orr_glance *out) {
    unsigned char head[ORRI_FRAME_HEAD];
    struct orr_slice parts[3] = { { 0 }, one, two };
    orri_frame_head(head, &(struct orri_frame){ .kind = kind, .group = 9 }, parts + 1, 2);
    parts[0] = orr_borrow(head, sizeof head);
    return orr_frame_glance(parts, 3, &orr_raft_order, out);
}

static size_t put(unsigned char *at, enum orri_message_kind kind, const char *name, size_t body) {
    struct orri_message m = { .kind = kind, .name = orr_borrow(name, strlen(name)) };
    memset(at, 'x', ORRI_MESSAGE_HEAD + m.name.size + body);
    m.body = orr_borrow(at, body);
    orri_message_write(at, &m);
    return ORRI_MESSAGE_HEAD + m.name.size + body;
}

static void messages_are_named(void **state) {
    (void)state;
    unsigned char bytes[512];
    struct orr_glance g;
    struct orr_slice clock = orr_borrow(clock_bytes, sizeof clock_bytes);
    size_t size = put(bytes, ORRI_MESSAGE_NOTHING, "gone", 3);
    size += put(bytes + size, ORRI_MESSAGE_CALL, "add", 5);
    size += put(bytes + size, ORRI_MESSAGE_REPLY, "", 2);
    assert_int_equal(glance(ORRI_FRAME_RPC, clock, orr_borrow(bytes, size), &g), 0);
    assert_string_equal(g.kind, "call");
    assert_string_equal(g.name, "add");
    assert_int_equal(g.count, 2);
    size = put(bytes, ORRI_MESSAGE_CAST, "a name that is longer than what is shown of it", 0);
    assert_int_equal(glance(ORRI_FRAME_RPC, clock, orr_borrow(bytes, size), &g), 0);
    assert_string_equal(g.kind, "cast");
    assert_string_equal(g.name, "a name that is longer t");
    assert_int_equal(glance(ORRI_FRAME_RPC, clock, orr_borrow(bytes, 30), &g), 0);
    assert_string_equal(g.kind, "messages");        /* its name is not there */
}

static void frames_are_told_apart(void **state) {
    (void)state;
    static const char *const kinds[ORRI_FRAME_KINDS] = {
        [ORRI_FRAME_HELLO] = "hello",     [ORRI_FRAME_REFUSED] = "refused", [ORRI_FRAME_PING] = "ping",
        [ORRI_FRAME_FORWARD] = "forward", [ORRI_FRAME_RESEND] = "resend",   [ORRI_FRAME_VISIT] = "visit",
        [ORRI_FRAME_WELCOME] = "welcome", [ORRI_FRAME_BUNDLE] = "bundle",   [ORRI_FRAME_RPC] = "messages",
    };
    struct orr_slice none = { 0 };
    struct orr_glance g;
    for (unsigned kind = 1; kind < ORRI_FRAME_KINDS; kind++) {
        if (kind == ORRI_FRAME_ORDER) continue;
        assert_int_equal(glance((enum orri_frame_kind)kind, none, none, &g), 0);
        assert_string_equal(g.kind, kinds[kind]);
        assert_int_equal(g.group, 9);
    }
    assert_int_equal(glance(ORRI_FRAME_ORDER, none, none, &g), ORR_EINVALID);
    const unsigned char timeout_now[] = { ORR_RAFT_TIMEOUT_NOW, 1, 0, 5 };
    assert_int_equal(glance(ORRI_FRAME_ORDER, orr_borrow(timeout_now, sizeof timeout_now), none, &g), 0);
    assert_string_equal(g.kind, "timeout_now");
    assert_int_equal(g.term, 5);
    assert_int_equal(orr_frame_glance(&none, 1, NULL, &g), ORR_EINVALID);
    assert_int_equal(orr_frame_glance(&none, 0, NULL, &g), ORR_EINVALID);
}

/* Each part lies in memory of its own size, so that a step beyond it is seen. */
static void any_bytes_do_no_harm(void **state) {
    (void)state;
    struct orr_rng rng;
    unsigned known = 0;
    orri_rng_init(&rng, 3);
    for (unsigned n = 0; n < 100000; n++) {
        struct orr_slice parts[3];
        unsigned char *memory[3];
        for (unsigned i = 0; i < 3; i++) {
            size_t size = i == 0 && n % 8 ? ORRI_FRAME_HEAD : (size_t)orri_rng_below(&rng, 70);
            memory[i] = malloc(size ? size : 1);
            assert_non_null(memory[i]);
            orri_rng_fill(&rng, memory[i], size);
            parts[i] = orr_borrow(memory[i], size);
        }
        if (parts[0].size == ORRI_FRAME_HEAD) {
            memory[0][4] = ORRI_FRAME_VERSION;
            memory[0][6] = (unsigned char)orri_rng_below(&rng, ORRI_FRAME_KINDS + 1);
        }
        if (parts[2].size > 8 && n % 2) memory[2][0] = (unsigned char)orri_rng_below(&rng, ORRI_MESSAGE_KINDS);
        struct orr_glance g = { 0 };
        if (orr_frame_glance(parts, orri_rng_below(&rng, 4), &orr_raft_order, &g) == 0) {
            assert_non_null(g.kind);
            assert_non_null(memchr(g.name, '\0', sizeof g.name));
            known++;
        }
        for (unsigned i = 0; i < 3; i++) free(memory[i]);
    }
    assert_true(known > 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_named),
        cmocka_unit_test(frames_are_told_apart),
        cmocka_unit_test(any_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
