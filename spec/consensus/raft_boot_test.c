/* raft_boot_test.c - what a crash may leave on the disk, and what a start makes of it. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <orrery/raft.h>

/* Found by the simulator: seed 32 of the kv example, with reads that don't ask. A snapshot that a leader of term 3
 * sends has a file of its own; its name may be durable before the state of term 3 is. Nothing was claimed of that
 * term, so it is entered anew. */
static void a_snapshot_may_be_of_a_later_term_than_the_state(void **state) {
    (void)state;
    struct orr_member voters[] = { { 1, "a" }, { 2, "b" }, { 3, "c" } };
    unsigned char stored[ORR_RAFT_STATE_SIZE];
    orr_raft_state_encode(stored, 2, 3);
    struct orr_boot boot = { .state = orr_borrow(stored, sizeof stored), .first = 11, .last = 10,
                             .snapshot = { .index = 10, .term = 3, .time = 5, .size = 100, .checksum = 7 }, .time = 5 };
    struct orr_raft_config cfg;
    struct orr_raft *r;
    orr_raft_config_init(&cfg);
    cfg.order.self = 1;
    cfg.order.voters = voters;
    cfg.order.n_voters = 3;
    cfg.order.alloc = &orr_alloc_libc;
    cfg.order.chunks = orr_chunks_new(&orr_alloc_libc);
    assert_int_equal(orr_raft_new(&r, &cfg, &boot, 0), 0);
    struct orr_order_status s;
    orr_raft_status(r, &s);
    assert_int_equal(s.term, 3);
    assert_int_equal(s.vote, ORR_NOBODY);
    const struct orr_raft_ready *rd = orr_raft_ready(r);
    assert_non_null(rd);
    assert_int_equal(rd->io.n_stores, 1);               /* and made durable before anything is said */
    assert_int_equal(rd->n_msgs, 0);
    orr_raft_free(r);
    orr_chunks_free((struct orr_chunks *)cfg.order.chunks);
}

/* What the caller knows to be committed is handed out to be applied, as far as the disk has it. */
static void what_is_known_to_be_committed_is_applied(void **state) {
    (void)state;
    struct orr_member voters[] = { { 1, "a" }, { 2, "b" }, { 3, "c" } };
    unsigned char stored[ORR_RAFT_STATE_SIZE];
    orr_raft_state_encode(stored, 2, 0);
    struct orr_term_run runs[] = { { 1, 1 }, { 3, 2 } };
    struct orr_boot boot = { .state = orr_borrow(stored, sizeof stored), .first = 1, .last = 4, .runs = runs,
                             .n_runs = 2 };
    struct orr_raft_config cfg;
    struct orr_raft *r;
    struct orr_order_status s;
    orr_raft_config_init(&cfg);
    cfg.order.self = 1;
    cfg.order.voters = voters;
    cfg.order.n_voters = 3;
    cfg.order.chunks = orr_chunks_new(&orr_alloc_libc);
    const struct {
        orr_index known, commit;
    } cases[] = { { 0, 0 }, { 3, 3 }, { 9, 4 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cfg.commit = cases[i].known;
        assert_int_equal(orr_raft_new(&r, &cfg, &boot, 0), 0);
        orr_raft_status(r, &s);
        assert_int_equal(s.commit, cases[i].commit);
        assert_int_equal(s.applied, 0);
        const struct orr_raft_ready *rd = orr_raft_ready(r);
        assert_int_equal(rd ? rd->io.n_fetches : 0, cases[i].commit ? 1 : 0);      /* entries to be applied */
        if (rd) assert_int_equal(rd->io.fetches[0].through, cases[i].commit);
        orr_raft_free(r);
    }
    orr_chunks_free(cfg.order.chunks);
}

/* Found by the simulator: seed 287 of the kv example. While the last part of a snapshot is being named the disk has
 * given up the log before it, and says so to a fetch that was under way. That is no damage: the entries are not needed
 * any more, and where naming fails they are asked for again. */
static void a_fetch_may_fail_while_a_snapshot_takes_the_logs_place(void **state) {
    (void)state;
    struct orr_member voters[] = { { 1, "a" }, { 2, "b" }, { 3, "c" } };
    unsigned char stored[ORR_RAFT_STATE_SIZE], config[] = { 0 };
    orr_raft_state_encode(stored, 2, 0);
    struct orr_term_run runs[] = { { 1, 1 }, { 3, 2 } };
    struct orr_boot boot = { .state = orr_borrow(stored, sizeof stored), .first = 1, .last = 4, .runs = runs,
                             .n_runs = 2 };
    struct orr_raft_config cfg;
    orr_raft_config_init(&cfg);
    cfg.order.self = 1;
    cfg.order.voters = voters;
    cfg.order.n_voters = 3;
    cfg.order.chunks = orr_chunks_new(&orr_alloc_libc);
    cfg.commit = 4;
    for (int named = 0; named < 2; named++) {
        struct orr_raft *r;
        struct orr_order_status s;
        assert_int_equal(orr_raft_new(&r, &cfg, &boot, 0), 0);
        const struct orr_raft_ready *rd = orr_raft_ready(r);
        assert_non_null(rd);
        assert_int_equal(rd->io.n_fetches, 1);
        uint64_t fetch = rd->io.fetches[0].id;
        struct orr_raft_msg m = { .type = ORR_RAFT_SNAPSHOT, .from = 2, .to = 1, .term = 2, .done = true,
                                  .data = orr_borrow("image", 5),
                                  .snapshot = { .index = 9, .term = 2, .time = 5, .size = 5, .checksum = 7,
                                                .config = orr_borrow(config, sizeof config) } };
        assert_int_equal(orr_raft_recv(r, 1, &m), 0);
        rd = orr_raft_ready(r);
        assert_non_null(rd);
        assert_int_equal(rd->io.n_parts, 1);
        uint64_t part = rd->io.parts[0].id;
        assert_int_equal(orr_raft_fetched(r, 2, fetch, NULL, 0, ORR_EUNAVAILABLE), 0);
        assert_int_equal(orr_raft_part_stored(r, 3, part, named ? 0 : ORR_EFULL), 0);
        orr_raft_status(r, &s);
        assert_int_equal(s.error, 0);
        rd = orr_raft_ready(r);
        assert_non_null(rd);
        if (named) assert_int_equal(rd->io.restore->index, 9);
        else assert_int_equal(rd->io.n_fetches, 1);
        orr_raft_free(r);
    }
    orr_chunks_free(cfg.order.chunks);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_snapshot_may_be_of_a_later_term_than_the_state),
                                        cmocka_unit_test(what_is_known_to_be_committed_is_applied),
                                        cmocka_unit_test(a_fetch_may_fail_while_a_snapshot_takes_the_logs_place) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
