/* codec_test.c - HELLO, REFUSED, batches, forwarding, identity: round trips, every truncation, every flipped bit. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "node/batch.h"
#include "node/forward.h"
#include "node/handshake.h"
#include "node/identity.h"
#include "support/alloc.h"

static struct orri_hello a_hello(void) {
    struct orri_hello h = {
        .oldest = 1, .newest = 3, .cluster = 0x1122334455667788, .id = 42, .incarnation = 7, .nonce = 99, .n_groups = 3
    };
    memset(&h.birth, 0x5a, sizeof h.birth);
    memset(&h.bundle, 0xa5, sizeof h.bundle);
    strcpy(h.name, "n1");
    for (uint32_t i = 0; i < ORRI_TRAIL; i++) h.trail[i] = i ? 1000 + i : 99;
    for (size_t i = 0; i < h.n_groups; i++) h.groups[i] = (struct orri_hello_group){ (uint32_t)i + 1, 10 + i, 20 + i };
    return h;
}

static void hello_comes_back_as_it_was(void **state) {
    (void)state;
    unsigned char bytes[ORRI_HELLO_MAX];
    struct orri_hello h = a_hello(), got;
    size_t size = orri_hello_write(&h, bytes);
    assert_int_equal(orri_hello_read(orr_borrow(bytes, size), &got), 0);
    assert_int_equal(got.newest, 3);
    assert_true(got.cluster == h.cluster && got.id == 42 && got.incarnation == 7 && got.nonce == 99);
    assert_memory_equal(&got.birth, &h.birth, sizeof h.birth);
    assert_memory_equal(&got.bundle, &h.bundle, sizeof h.bundle);
    assert_memory_equal(got.trail, h.trail, sizeof h.trail);
    assert_string_equal(got.name, "n1");
    assert_int_equal(got.n_groups, 3);
    assert_int_equal(got.groups[2].last, 22);
}

static void hello_at_its_largest_fits(void **state) {
    (void)state;
    unsigned char bytes[ORRI_HELLO_MAX];
    struct orri_hello h = a_hello(), got;
    memset(h.name, 'x', ORRI_NAME_MAX);
    h.n_groups = ORRI_GROUPS_MAX;
    size_t size = orri_hello_write(&h, bytes);
    assert_true(size <= ORRI_HELLO_MAX);
    assert_int_equal(orri_hello_read(orr_borrow(bytes, size), &got), 0);
}

static void hello_cut_or_longer_is_refused(void **state) {
    (void)state;
    unsigned char bytes[ORRI_HELLO_MAX + 1] = { 0 };
    struct orri_hello h = a_hello(), got;
    size_t size = orri_hello_write(&h, bytes);
    for (size_t n = 0; n < size; n++) assert_int_equal(orri_hello_read(orr_borrow(bytes, n), &got), ORR_EINVALID);
    assert_int_equal(orri_hello_read(orr_borrow(bytes, size + 1), &got), ORR_EINVALID);
}

/* The frame's checksum guards the bits; here only: no crash, no more than its limits. */
static void hello_with_any_bit_flipped_is_total(void **state) {
    (void)state;
    unsigned char bytes[ORRI_HELLO_MAX];
    struct orri_hello h = a_hello(), got;
    size_t size = orri_hello_write(&h, bytes);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        if (orri_hello_read(orr_borrow(bytes, size), &got) == 0) {
            assert_true(got.n_groups <= ORRI_GROUPS_MAX && strlen(got.name) <= ORRI_NAME_MAX);
        }
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
}

static void text_from_a_peer_is_printable(void **state) {
    (void)state;
    unsigned char bytes[300];
    struct orri_refused r = { .reason = ORRI_REFUSED_BIRTH, .cluster = 5, .id = 6, .birth.b = { 7 },
                              .text = "a\nb\033[2Jc" }, got;
    size_t size = orri_refused_write(&r, bytes, sizeof bytes);
    assert_int_equal(orri_refused_read(orr_borrow(bytes, size), &got), 0);
    assert_int_equal(got.reason, ORRI_REFUSED_BIRTH);
    assert_true(got.cluster == 5 && got.id == 6 && got.birth.b[0] == 7 && got.birth.b[15] == 0);
    assert_string_equal(got.text, "a?b?[2Jc");
    for (size_t n = 0; n < size; n++) assert_int_equal(orri_refused_read(orr_borrow(bytes, n), &got), ORR_EINVALID);
    bytes[0] = ORRI_REFUSAL_KINDS;
    assert_int_equal(orri_refused_read(orr_borrow(bytes, size), &got), ORR_EINVALID);
}

static void every_refusal_has_a_word(void **state) {
    (void)state;
    for (int i = 1; i < ORRI_REFUSAL_KINDS; i++)
        assert_string_not_equal(orri_refusal_word((enum orri_refusal)i), "welcome");
}

/* -- Batches ------------------------------------------------------------------------------------------------------- */
static size_t a_batch(unsigned char *at) {
    struct orri_batch_head head = { { .incarnation = 3, .sequence = 9 }, 3 };
    memset(&head.origin.birth, 7, sizeof head.origin.birth);
    orri_batch_head_write(at, &head);
    size_t n = ORRI_BATCH_HEAD;
    for (unsigned char i = 0; i < 3; i++) {
        unsigned char command[] = { (unsigned char)(i * 2), 0, 0, 0, 'a', 'b', 'c', 'd' };
        memcpy(at + n, command, 4 + (size_t)i * 2);
        n += 4 + (size_t)i * 2;
    }
    return n;
}

static void batch_comes_back_as_it_was(void **state) {
    (void)state;
    unsigned char bytes[128];
    struct orri_batch_head head;
    struct orr_slice batch = orr_borrow(bytes, a_batch(bytes));
    assert_int_equal(orri_batch_open(batch, &head), 0);
    assert_int_equal(head.count, 3);
    assert_int_equal(head.origin.incarnation, 3);
    assert_int_equal(head.origin.sequence, 9);
    size_t at = ORRI_BATCH_HEAD;
    for (size_t i = 0; i < 3; i++) {
        struct orr_slice command = orri_batch_next(batch, &at);
        assert_int_equal(command.size, i * 2);
        assert_memory_equal(command.at, "abcd", command.size);
    }
    assert_int_equal(at, batch.size);
}

static void batch_cut_longer_or_flipped_never_reaches_out(void **state) {
    (void)state;
    unsigned char bytes[128] = { 0 };
    struct orri_batch_head head;
    size_t size = a_batch(bytes);
    for (size_t n = 0; n < size; n++) assert_int_equal(orri_batch_open(orr_borrow(bytes, n), &head), ORR_EINVALID);
    assert_int_equal(orri_batch_open(orr_borrow(bytes, size + 1), &head), ORR_EINVALID);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        struct orr_slice batch = orr_borrow(bytes, size);
        size_t at = ORRI_BATCH_HEAD;
        if (orri_batch_open(batch, &head) == 0) {
            for (uint32_t i = 0; i < head.count; i++) {
                (void)orri_batch_next(batch, &at);
                assert_true(at <= size);
            }
            assert_int_equal(at, size);
        }
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
}

static void batch_of_nobody_is_empty(void **state) {
    (void)state;
    unsigned char bytes[ORRI_BATCH_HEAD];
    struct orri_batch_head head = { 0 };
    orri_batch_head_write(bytes, &head);
    assert_int_equal(orri_batch_open(orr_borrow(bytes, sizeof bytes), &head), 0);
    head.origin.sequence = 1;
    orri_batch_head_write(bytes, &head);
    assert_int_equal(orri_batch_open(orr_borrow(bytes, sizeof bytes), &head), ORR_EINVALID);
}

/* -- Forwarding ---------------------------------------------------------------------------------------------------- */
static void forward_and_resend_come_back(void **state) {
    (void)state;
    unsigned char bytes[64] = { 0 };
    struct orri_forward f = { 5, 6, true }, got;
    struct orri_resend r = { 7, 8, ORR_EFULL, 9 }, back;
    struct orr_slice batch;
    orri_forward_write(bytes, &f);
    assert_int_equal(orri_forward_read(orr_borrow(bytes, 20), &got, &batch), 0);
    assert_true(got.term == 5 && got.epoch == 6 && got.restart && batch.size == 4);
    for (size_t n = 0; n < ORRI_FORWARD_HEAD; n++)
        assert_int_equal(orri_forward_read(orr_borrow(bytes, n), &got, &batch), ORR_EINVALID);
    orri_resend_write(bytes, &r);
    assert_int_equal(orri_resend_read(orr_borrow(bytes, ORRI_RESEND_SIZE), &back), 0);
    assert_true(back.term == 7 && back.epoch == 8 && back.status == ORR_EFULL && back.from == 9);
    assert_int_equal(orri_resend_read(orr_borrow(bytes, ORRI_RESEND_SIZE - 1), &back), ORR_EINVALID);
    memset(bytes + 12, 0, 4);
    assert_int_equal(orri_resend_read(orr_borrow(bytes, ORRI_RESEND_SIZE), &back), ORR_EINVALID);
}

static void the_leader_takes_a_prefix_of_an_epoch_and_refuses_once(void **state) {
    (void)state;
    struct orri_inbound in = { 0 };
    uint64_t from;
    struct orri_forward first = { 1, 4, true }, next = { 1, 4, false };
    /* of an epoch whose begin was never seen */
    assert_int_equal(orri_inbound_judge(&in, &next, 10, &from), ORRI_IGNORE);
    assert_int_equal(orri_inbound_judge(&in, &first, 10, &from), ORRI_TAKE);
    orri_inbound_took(&in, 10);
    assert_int_equal(orri_inbound_judge(&in, &next, 12, &from), ORRI_REFUSE);
    assert_int_equal(from, 11);
    assert_int_equal(orri_inbound_judge(&in, &next, 11, &from), ORRI_IGNORE);       /* the epoch is over */
    struct orri_forward again = { 1, 5, true };
    assert_int_equal(orri_inbound_judge(&in, &again, 11, &from), ORRI_TAKE);
    orri_inbound_refuse(&in);
    assert_int_equal(orri_inbound_judge(&in, &(struct orri_forward){ 1, 5, false }, 12, &from), ORRI_IGNORE);
}

/* -- Identity ------------------------------------------------------------------------------------------------------ */
static void identity_comes_back_and_is_damaged_by_any_cut(void **state) {
    (void)state;
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orri_identity id, got;
    unsigned char bytes[1024];
    bool changed;
    orri_identity_init(&id, &alloc);
    memset(&id.birth, 3, sizeof id.birth);
    id.incarnation = 11;
    orri_identity_begin(&id, 77);
    id.disenfranchised = true;
    assert_int_equal(orri_identity_found(&id, "a", "cluster kv\n", 11), 0);
    struct orri_hello h = a_hello();
    assert_int_equal(orri_identity_meet(&id, &h, &changed), ORRI_WELCOME);
    assert_true(changed);
    size_t size = orri_identity_write(&id, bytes, sizeof bytes);
    assert_true(size <= orri_identity_size(&id));

    orri_identity_init(&got, &alloc);
    assert_int_equal(orri_identity_read(&got, orr_borrow(bytes, size)), 0);
    assert_true(got.incarnation == 12 && got.disenfranchised && got.cluster == id.cluster && got.n_pins == 1);
    assert_string_equal(got.name, "a");
    assert_memory_equal(&got.birth, &id.birth, sizeof id.birth);
    assert_memory_equal(got.trail, id.trail, sizeof id.trail);
    assert_int_equal(got.trail[0], 77);
    assert_int_equal(orri_identity_meet(&got, &h, &changed), ORRI_WELCOME);        /* the same run once more */
    assert_false(changed);
    orri_identity_clear(&got);
    for (size_t n = 0; n < size; n++) {
        orri_identity_init(&got, &alloc);
        assert_int_equal(orri_identity_read(&got, orr_borrow(bytes, n)), ORR_ECORRUPT);
        orri_identity_clear(&got);
    }
    orri_identity_clear(&id);
    spec_alloc_check(&a);
}

static void another_disk_or_an_older_one_is_refused(void **state) {
    (void)state;
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct orri_identity id;
    bool changed;
    orri_identity_init(&id, &alloc);
    struct orri_hello h = a_hello(), other;
    assert_int_equal(orri_identity_meet(&id, &h, &changed), ORRI_WELCOME);
    other = h;
    other.birth.b[0] ^= 1;
    assert_int_equal(orri_identity_meet(&id, &other, &changed), ORRI_REFUSED_BIRTH);
    other = h;
    other.nonce++;
    assert_int_equal(orri_identity_meet(&id, &other, &changed), ORRI_REFUSED_MEMORY); /* the same number, another run */
    other.incarnation--;
    assert_int_equal(orri_identity_meet(&id, &other, &changed), ORRI_REFUSED_MEMORY);
    other.incarnation += 2; /* later, but it knows nothing of the run that we have met */
    assert_int_equal(orri_identity_meet(&id, &other, &changed), ORRI_REFUSED_MEMORY);
    other.trail[1] = (uint32_t)h.nonce;
    assert_int_equal(orri_identity_meet(&id, &other, &changed), ORRI_WELCOME);
    assert_true(changed);
    /* and the earlier run is gone for good */
    assert_int_equal(orri_identity_meet(&id, &h, &changed), ORRI_REFUSED_MEMORY);
    orri_identity_clear(&id);
    spec_alloc_check(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_comes_back_as_it_was),
        cmocka_unit_test(hello_at_its_largest_fits),
        cmocka_unit_test(hello_cut_or_longer_is_refused),
        cmocka_unit_test(hello_with_any_bit_flipped_is_total),
        cmocka_unit_test(text_from_a_peer_is_printable),
        cmocka_unit_test(every_refusal_has_a_word),
        cmocka_unit_test(batch_comes_back_as_it_was),
        cmocka_unit_test(batch_cut_longer_or_flipped_never_reaches_out),
        cmocka_unit_test(batch_of_nobody_is_empty),
        cmocka_unit_test(forward_and_resend_come_back),
        cmocka_unit_test(the_leader_takes_a_prefix_of_an_epoch_and_refuses_once),
        cmocka_unit_test(identity_comes_back_and_is_damaged_by_any_cut),
        cmocka_unit_test(another_disk_or_an_older_one_is_refused),
    };
    return cmocka_run_group_tests_name("node.codec", tests, NULL, NULL);
}
