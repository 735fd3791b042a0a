/* halt_test.c - a storage that ends with its world while reads are under way. */
#include "loop/support.h"

#include "storage/storage.h"

static struct orr_storage *storage;
static unsigned n_told;
static int64_t live;

static void *count(void *ud, void *ptr, size_t old_size, size_t new_size) {
    (void)ud;
    live += (int64_t)new_size - (int64_t)old_size;
    return orr_alloc_libc.fn(orr_alloc_libc.ud, ptr, old_size, new_size);
}

static void storage_turn(void *ud) {
    struct node *n = ud;
    struct orri_storage_done done;
    for (struct orr_req *req = n->w->ops->take(n->w); req; req = n->w->ops->take(n->w))
        if (req->done) req->done(req);
    while (orri_storage_take(storage, &done)) {
        assert_int_equal(done.status, 0);
        n_told++;
    }
    orri_storage_flush(storage);
}

static void store_entries(struct node *n) {
    static unsigned char data[900];
    struct orr_entry entries[32];
    for (unsigned i = 0; i < 32; i++)
        entries[i] = (struct orr_entry){ .index = 1 + i, .term = 1, .time = 1, .data = orr_borrow(data, sizeof data) };
    struct orr_store store = { .id = 1, .state = orr_borrow("state", 5), .entries = entries, .n_entries = 32 };
    unsigned before = n_told;
    assert_int_equal(orri_storage_store(storage, 1, &store), 0);
    orri_storage_flush(storage);
    UNTIL(n, n_told, before + 1);
}

/* After some turns some of the reads wait, have run, or are told. */
static void end_with_reads_under_way(unsigned turns) {
    struct node n = { 0 };
    struct orr_loop_config config;
    struct orr_storage_config cfg;
    const char *dir = fresh_dir();
    node_config(&n, &config);
    config.dir = dir;
    config.alloc = (struct orr_alloc){ count, NULL };
    live = 0;
    n_told = 0;
    node_new_with(&n, &config);
    assert_int_equal(n.w->ops->open_dir(n.w), 0);
    orri_storage_config_init(&cfg);
    cfg.segment_bytes = 64 << 10;
    assert_int_equal(orri_storage_new(&storage, n.w, &cfg), 0);
    n.w->wake = storage_turn;
    UNTIL(&n, n_told, 1);
    store_entries(&n);
    for (unsigned i = 0; i < 32; i++) {
        struct orr_fetch fetch = {
            .id = i, .kind = ORR_FETCH_ENTRIES, .from = 1 + i, .through = 32, .bytes_max = 4000
        };
        assert_int_equal(orri_storage_fetch(storage, 1, &fetch), 0);
    }
    for (unsigned i = 0; i < turns; i++) orr_loop_step(n.loop, 0);
    orr_loop_halt(n.loop);
    orri_storage_free(storage);
    orr_loop_free(n.loop);
    assert_int_equal(live, 0);
    remove_dir(dir);
}

static void test_reads_under_way_are_given_back(void **state) {
    (void)state;
    for (unsigned turns = 0; turns < 4; turns++) end_with_reads_under_way(turns);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_reads_under_way_are_given_back) };
    return cmocka_run_group_tests_name("storage.halt", tests, NULL, NULL);
}
