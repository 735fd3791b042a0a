/* kv_image_test.c - snapshots that are taken while ops go on, digests that depend on the state alone,
 * the table at every size, SCAN across tables that grow and shrink. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "node/kv_rig.h"
#include "support/alloc.h"

/* The digest from nothing but keys and slots, by state.c's definition. */
static uint64_t digest_anew(const struct rig *r) {
    const struct orri_kv *m = inside(r);
    uint64_t sum = 0, position = 0;
    do {
        for (const struct orri_kv_entry *e = orri_kv_bucket(m->live, position, &position); e; e = e->next) {
            uint64_t hash = orri_hash64(e->bytes, e->key_size, m->seed);
            uint64_t head = orri_mix64(orri_mix64(hash, e->version), (uint64_t)orri_kv_ends(m->live, e));
            sum += orri_hash64(orri_kv_value(e), e->value_size, head);
        }
    } while (position != 0);
    for (uint64_t i = 0; i < ORRI_KV_SLOTS; i++) {
        if (m->slots[i]) sum += orri_mix64(i + 1, m->slots[i]);
    }
    return orri_mix64(sum, m->seed);
}

/* A random op among `keys` keys, at a log time that moves on. */
static void random_op(struct rig *r, struct orr_rng *rng, unsigned keys) {
    char key[24], other[16], value[80];
    (void)snprintf(key, sizeof key, "key%u", (unsigned)orri_rng_below(rng, keys));
    (void)snprintf(other, sizeof other, "key%u", (unsigned)orri_rng_below(rng, keys));
    (void)snprintf(value, sizeof value, "%0*u", (int)orri_rng_between(rng, 1, 60), (unsigned)orri_rng_below(rng, 1000));
    r->at.time += (orr_time)orri_rng_below(rng, 3) * ORR_MS;
    switch (orri_rng_below(rng, 16)) {
    case 0: case 1: case 2: case 3: case 4: run(r, ORR_KV_SET, 0, 0, 0, 2, key, value); break;
    case 5: case 6:
        run(r, ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, orri_rng_between(rng, 1, 200), 0, 2, key, value);
        break;
    case 7: run(r, ORR_KV_APPEND, 0, 0, 0, 2, key, "more"); break;
    case 8: run(r, ORR_KV_ADD, 0, 3, 0, 1, key); break;
    case 9: case 10: run(r, ORR_KV_DEL, 0, 0, 0, 2, key, other); break;
    case 11: run(r, ORR_KV_EXPIRE, ORR_KV_RELATIVE, orri_rng_between(rng, -10, 300), 0, 1, key); break;
    case 12: run(r, ORR_KV_PERSIST, 0, 0, 0, 1, key); break;
    case 13: run(r, ORR_KV_RENAME, 0, 0, 0, 2, key, other); break;
    case 14: run(r, ORR_KV_MSET, 0, 0, 0, 4, key, value, other, "x"); break;
    default:
        if (orri_rng_below(rng, 60) == 0) run(r, ORR_KV_FLUSH, 0, 0, 0, 0);
        break;
    }
    assert_int_equal(r->status, 0);
}

/* Two machines say the same to every question about keys, and want the same. */
static void assert_same(struct rig *a, struct rig *b, unsigned keys) {
    assert_int_equal(digest(a), digest(b));
    assert_int_equal(orr_kv_machine.wants(a->m), orr_kv_machine.wants(b->m));
    b->at = a->at;
    for (unsigned i = 0; i < keys; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "key%u", i);
        (void)run(a, ORR_KV_GET, 0, 0, 0, 1, key);
        assert_string_equal(a->text, run(b, ORR_KV_GET, 0, 0, 0, 1, key));
        (void)run(a, ORR_KV_TTL, 0, 0, 0, 1, key);
        assert_string_equal(a->text, run(b, ORR_KV_TTL, 0, 0, 0, 1, key));
        (void)run(a, ORR_KV_VERSION, 0, 0, 0, 1, key);
        assert_string_equal(a->text, run(b, ORR_KV_VERSION, 0, 0, 0, 1, key));
    }
}

/* -- Snapshots ----------------------------------------------------------------------------------------------------- */

/* Freeze at a random moment; ops go on between pieces of random size; what is restored from the pieces is the state at
 * freeze. */
static void freeze_one(uint64_t seed) {
    struct rig r, twin, restored;
    struct orr_rng rng, ahead;
    orri_rng_init(&rng, seed);
    unsigned keys = 1 + (unsigned)orri_rng_below(&rng, 60);
    rig_init(&r);
    rig_init(&twin);
    assert_int_equal(rig_init_with(&restored, NULL, 3), 0);
    size_t before = (size_t)orri_rng_below(&rng, 200), size = 0;
    ahead = rng;                    /* the twin goes the same way, up to the freeze */
    for (size_t i = 0; i < before; i++) random_op(&r, &rng, keys);
    for (size_t i = 0; i < before; i++) random_op(&twin, &ahead, keys);
    assert_int_equal(orr_kv_machine.freeze(r.m), 0);
    assert_int_equal(orr_kv_machine.freeze(r.m), ORR_EBUSY);
    unsigned char *image = NULL;
    struct orr_slice part;
    bool whole = false;
    for (int more = 1; more > 0;) {
        for (uint64_t n = orri_rng_below(&rng, 12); n > 0; n--) random_op(&r, &rng, keys);
        more = orr_kv_machine.next(r.m, 1 + (size_t)orri_rng_below(&rng, 20000), &part);
        assert_true(more >= 0);
        image = realloc(image, size + part.size + 1);
        if (part.size) memcpy(image + size, part.at, part.size);
        size += part.size;
        orr_drop(part);
        whole = more == 0;
        if (!whole && orri_rng_below(&rng, 200) == 0) break;    /* given up */
    }
    orr_kv_machine.unfreeze(r.m);
    if (whole) {
        assert_int_equal(rig_restore(&restored, image, size, &rng), 0);
        assert_same(&twin, &restored, keys);
        for (int i = 0; i < 50; i++) {                          /* and both go on alike */
            ahead = rng;
            random_op(&twin, &rng, keys);
            random_op(&restored, &ahead, keys);
        }
        assert_same(&twin, &restored, keys);
    }
    assert_int_equal(digest(&r), digest_anew(&r));
    orri_kv_table_check(inside(&r)->live);
    free(image);
    rig_free(&r);
    rig_free(&twin);
    rig_free(&restored);
}

static void an_image_is_the_state_at_freeze_whatever_comes_between(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++) freeze_one(seed);
}

/* The table splits thousands of buckets during the walk, then joins them again. */
static void an_image_survives_growth_and_shrinking(void **state) {
    (void)state;
    for (int grow = 0; grow < 2; grow++) {
        struct rig r, restored;
        char key[24];
        rig_init(&r);
        rig_init(&restored);
        for (int i = 0; i < 20000; i++) {
            (void)snprintf(key, sizeof key, "key%d", i);
            run(&r, ORR_KV_SET, 0, 0, 0, 2, key, "v");
        }
        uint64_t frozen = digest(&r);
        assert_int_equal(orr_kv_machine.freeze(r.m), 0);
        unsigned char *image = NULL;
        size_t size = 0;
        struct orr_slice part;
        for (int more = 1, i = 0; more > 0;) {
            for (int k = 0; k < 60; k++, i++) {
                (void)snprintf(key, sizeof key, "key%d", grow ? 20000 + i : i);
                if (grow) run(&r, ORR_KV_SET, 0, 0, 0, 2, key, "w");
                else run(&r, ORR_KV_DEL, 0, 0, 0, 1, key);
            }
            more = orr_kv_machine.next(r.m, 1000, &part);
            image = realloc(image, size + part.size + 1);
            if (part.size) memcpy(image + size, part.at, part.size);
            size += part.size;
            orr_drop(part);
        }
        assert_int_equal(rig_restore(&restored, image, size, NULL), 0);
        assert_int_equal(digest(&restored), frozen);
        assert_int_equal(inside(&restored)->live->n, 20000);
        free(image);
        rig_free(&r);
        rig_free(&restored);
    }
}

static unsigned char *some_image(struct rig *r, size_t *size) {
    rig_init(r);
    for (int i = 0; i < 20; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "key%d", i);
        run(r, ORR_KV_SET, i % 2 ? 0 : ORR_KV_TIMED | ORR_KV_RELATIVE, i % 2 ? 0 : 1000 + i, 0, 2, key,
            i == 7 ? "" : "value");
    }
    run(r, ORR_KV_SET, 0, 0, 0, 2, "", "empty");
    run(r, ORR_KV_DEL, 0, 0, 0, 1, "key3");
    assert_int_equal(orr_kv_machine.freeze(r->m), 0);
    unsigned char *image = rig_image(r, 1 << 20, size);
    orr_kv_machine.unfreeze(r->m);
    return image;
}

static void a_damaged_image_is_refused_and_leaves_an_empty_machine(void **state) {
    (void)state;
    struct rig r, restored;
    size_t size;
    unsigned char *image = some_image(&r, &size), *longer = malloc(size + 1);
    rig_init(&restored);
    uint64_t empty = digest(&restored);
    enum { TAIL = ORRI_KV_HEAD + ORRI_KV_SLOTS * 8 };
    for (size_t i = 0; i < size; i += i >= ORRI_KV_HEAD && i < TAIL ? 997 : 1) {
        unsigned char bit = (unsigned char)(1u << (i % 8));
        image[i] ^= bit;
        assert_true(rig_restore(&restored, image, size, NULL) == ORR_ECORRUPT);
        image[i] ^= bit;
        assert_int_equal(digest(&restored), empty);
    }
    for (size_t cut = 0; cut < size; cut += cut < TAIL ? 409 : 1) {
        assert_int_equal(rig_restore(&restored, image, cut, NULL), ORR_ECORRUPT);
    }
    memcpy(longer, image, size);
    longer[size] = 0;
    assert_int_equal(rig_restore(&restored, longer, size + 1, NULL), ORR_ECORRUPT);
    assert_int_equal(rig_restore(&restored, image, size, NULL), 0);
    assert_int_equal(digest(&restored), digest(&r));
    assert_string_equal(run(&restored, ORR_KV_GET, 0, 0, 0, 1, ""), "\"empty\"");
    free(image);
    free(longer);
    rig_free(&r);
    rig_free(&restored);
}

static void an_image_can_be_cut_at_every_byte(void **state) {
    (void)state;
    struct rig r, restored;
    size_t size;
    unsigned char *image = some_image(&r, &size);
    rig_init(&restored);
    assert_int_equal(orr_kv_machine.restore_begin(restored.m), 0);
    for (size_t i = 0; i < size; i++) assert_int_equal(orr_kv_machine.restore_part(restored.m, image + i, 1), 0);
    assert_int_equal(orr_kv_machine.restore_end(restored.m), 0);
    assert_int_equal(digest(&restored), digest(&r));
    free(image);
    rig_free(&r);
    rig_free(&restored);
}

/* Ops never fail for a snapshot's sake: it is given up instead. */
static void an_image_that_finds_no_memory_is_given_up(void **state) {
    (void)state;
    struct spec_alloc a = { 0 };
    const struct orr_alloc alloc = spec_alloc_of(&a);
    struct rig r;
    struct orr_slice part;
    assert_int_equal(rig_init_with(&r, &alloc, 7), 0);
    char big[1000];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = 0;
    for (int i = 0; i < 100; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "key%d", i);
        run(&r, ORR_KV_SET, 0, 0, 0, 2, key, big);
    }
    assert_int_equal(orr_kv_machine.freeze(r.m), 0);
    a.fail_at = a.n_calls + 1;
    big[0] = 'c';                   /* the same size: nothing but before-images wants memory */
    for (int i = 0; i < 100; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "key%d", i);
        assert_string_equal(run(&r, ORR_KV_SET, 0, 0, 0, 2, key, big), "OK");
    }
    assert_true(a.failed);
    assert_true(orr_kv_machine.next(r.m, 100, &part) < 0);
    orr_kv_machine.unfreeze(r.m);
    assert_int_equal(digest(&r), digest_anew(&r));
    assert_int_equal(orr_kv_machine.freeze(r.m), 0);            /* and the next one is whole again */
    size_t size;
    free(rig_image(&r, 5000, &size));
    assert_true(size > 100000);
    orr_kv_machine.unfreeze(r.m);
    rig_free(&r);
    spec_alloc_check(&a);
}

/* -- Digests ------------------------------------------------------------------------------------------------------- */

/* The same keys with the same versions and ends, put in in two orders, one table having been large and shrunk. */
static void the_digest_and_the_order_of_ends_forget_history(void **state) {
    (void)state;
    enum { N = 600 };
    struct rig r[2];
    int order[N];
    struct orr_rng rng;
    orri_rng_init(&rng, 9);
    for (int k = 0; k < 2; k++) {
        rig_init(&r[k]);
        run(&r[k], ORR_KV_SEED, 0, 0, 0, 1, "seed");
        for (int i = 0; i < N; i++) order[i] = i;
        for (int i = N - 1; k == 1 && i > 0; i--) {
            int j = (int)orri_rng_below(&rng, (uint64_t)i + 1), swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
        for (int i = 0; i < N; i++) {
            char key[24];
            (void)snprintf(key, sizeof key, "key%d", order[i]);
            r[k].at.index = 1000 + (orr_index)order[i];         /* run() adds one */
            run(&r[k], ORR_KV_SET, ORR_KV_TIMED, 2000000 + order[i] % 7, 0, 2, key, key);
        }
        r[k].at.index = 5000;
    }
    assert_same(&r[0], &r[1], N);
    while (orr_kv_machine.wants(r[0].m) != ORR_NEVER) {
        r[0].at.index++;
        r[0].at.time = orr_kv_machine.wants(r[0].m) + 2 * ORR_MS;       /* some of the times at once */
        r[1].at = r[0].at;
        for (int k = 0; k < 2; k++) orr_kv_machine.advance(r[k].m, &r[k].at);
        assert_int_equal(digest(&r[0]), digest(&r[1]));
    }
    assert_int_equal(digest(&r[0]), digest_anew(&r[0]));
    rig_free(&r[0]);
    rig_free(&r[1]);
}

static void the_digest_is_kept_right_by_every_op(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rig r;
        struct orr_rng rng;
        rig_init(&r);
        orri_rng_init(&rng, seed);
        for (int i = 0; i < 300; i++) {
            random_op(&r, &rng, 10);
            if (i % 10 == 0) assert_int_equal(digest(&r), digest_anew(&r));
        }
        rig_free(&r);
    }
}

/* -- Sizes --------------------------------------------------------------------------------------------------------- */

/* Each third large block isn't there, once `armed`: segments and directories of the table. */
struct scarce {
    struct spec_alloc a;
    bool armed;
    unsigned n_large;
};
static void *scarce_alloc(void *ud, void *ptr, size_t old_size, size_t new_size) {
    struct scarce *s = ud;
    struct orr_alloc all = spec_alloc_of(&s->a);
    if (s->armed && new_size >= 512 && ++s->n_large % 3 == 0) return NULL;
    return all.fn(all.ud, ptr, old_size, new_size);
}

/* A split or a join that finds no memory is made later. */
static void the_table_holds_at_every_size(void **state) {
    (void)state;
    enum { N = 60000 };
    struct scarce a = { .armed = false };
    const struct orr_alloc alloc = { scarce_alloc, &a };
    struct rig r;
    char key[24];
    assert_int_equal(rig_init_with(&r, &alloc, 7), 0);
    size_t at_rest = a.a.bytes_live;
    a.armed = true;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            (void)snprintf(key, sizeof key, "key%d", i);
            run(&r, ORR_KV_SET, 0, 0, 0, 2, key, "v");
            assert_int_equal(r.status, 0);
            if (i % 5000 == 0) orri_kv_table_check(inside(&r)->live);
        }
        assert_int_equal(inside(&r)->live->n, N);
        for (int i = 0; i < N; i++) {
            (void)snprintf(key, sizeof key, "key%d", (i * 7919) % N);
            assert_string_equal(run(&r, ORR_KV_DEL, 0, 0, 0, 1, key), "1");
            if (i % 5000 == 0) orri_kv_table_check(inside(&r)->live);
        }
        assert_int_equal(inside(&r)->live->n, 0);
        assert_int_equal(inside(&r)->live->bits, 12);
    }
    struct orr_machine_stats stats;
    orr_kv_machine.stats(r.m, &stats);
    assert_int_equal(stats.keys, 0);
    assert_true(stats.bytes < 512 << 10 && a.a.bytes_live <= at_rest + (256 << 10));
    assert_true(a.n_large > 30);
    rig_free(&r);
    spec_alloc_check(&a.a);
}

static void a_flushed_table_goes_bit_by_bit(void **state) {
    (void)state;
    struct rig r;
    char key[24];
    rig_init(&r);
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        run(&r, ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, 100000, 0, 2, key, "v");
    }
    struct orr_machine_stats before, after;
    orr_kv_machine.stats(r.m, &before);
    assert_string_equal(run(&r, ORR_KV_FLUSH, 0, 0, 0, 0), "OK");
    orr_kv_machine.stats(r.m, &after);
    assert_int_equal(after.keys, 0);
    assert_true(after.bytes > before.bytes / 2);
    for (int i = 0; i < 1000 && inside(&r)->dead; i++) run(&r, ORR_KV_SET, 0, 0, 0, 2, "k", "v");
    assert_null(inside(&r)->dead);
    assert_int_equal(orr_kv_machine.wants(r.m), ORR_NEVER);
    rig_free(&r);
}

/* -- SCAN ---------------------------------------------------------------------------------------------------------- */

struct seen {
    struct orr_sink sink;           /* first */
    int64_t cursor;
    bool first;
    unsigned char *hits;
};
static void seen_none(struct orr_sink *s) { (void)s; }
static void seen_int(struct orr_sink *s, int64_t v) { (void)s, (void)v; }
static void seen_word(struct orr_sink *s, const char *word) { (void)s, (void)word; }
static void seen_error(struct orr_sink *s, int code, const char *text) {
    (void)s;
    fail_msg("%d %s", code, text);
}
static void seen_array(struct orr_sink *s, size_t n) { (void)s, (void)n; }
static void seen_text(struct orr_sink *s, const void *at, size_t size) {
    struct seen *seen = (struct seen *)(void *)s;
    char text[32] = "";
    memcpy(text, at, size < 31 ? size : 31);
    if (seen->first) seen->cursor = atoll(text);
    else if (strncmp(text, "key", 3) == 0) seen->hits[atoi(text + 3)]++;
    seen->first = false;
}

static void scan_some(struct rig *r, struct seen *seen, int64_t count) {
    unsigned char bytes[32];
    struct orr_kv_call call = { .code = ORR_KV_SCAN, .a = seen->cursor, .b = count };
    size_t size = orr_kv_encode(bytes, sizeof bytes, &call);
    seen->first = true;
    assert_int_equal(orr_kv_machine.query(r->m, &r->at, orr_borrow(bytes, size), &seen->sink), 0);
}

/* Each call is asked of one of two replicas whose tables have other sizes, and keys come and go:
 * those that stay are seen, once each. */
static void a_scan_sees_what_stays_on_whichever_node(void **state) {
    (void)state;
    enum { N = 9000, EXTRA = 30000 };
    static const struct orr_sink_ops ops = { seen_none, seen_int, seen_text, seen_word, seen_error, seen_array };
    struct rig r[2];
    char key[24];
    struct seen seen = { .sink = { &ops }, .hits = calloc(N, 1) };
    struct orr_rng rng;
    orri_rng_init(&rng, 4);
    for (int k = 0; k < 2; k++) {
        rig_init(&r[k]);
        for (int i = 0; i < N; i++) {
            (void)snprintf(key, sizeof key, "key%d", i);
            run(&r[k], ORR_KV_SET, 0, 0, 0, 2, key, "v");
        }
    }
    int extra = 0;
    do {
        scan_some(&r[orri_rng_below(&rng, 2)], &seen, 1 + (int64_t)orri_rng_below(&rng, 40));
        for (int i = 0; i < 100 && extra < EXTRA; i++, extra++) {       /* one grows meanwhile */
            (void)snprintf(key, sizeof key, "other%d", extra);
            run(&r[0], ORR_KV_SET, 0, 0, 0, 2, key, "v");
        }
        assert_true(seen.cursor < INT64_C(1) << 52);
    } while (seen.cursor != 0);
    for (int i = 0; i < N; i++) assert_int_equal(seen.hits[i], 1);
    assert_true(inside(&r[0])->live->bits > inside(&r[1])->live->bits);
    free(seen.hits);
    rig_free(&r[0]);
    rig_free(&r[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_is_the_state_at_freeze_whatever_comes_between),
        cmocka_unit_test(an_image_survives_growth_and_shrinking),
        cmocka_unit_test(a_damaged_image_is_refused_and_leaves_an_empty_machine),
        cmocka_unit_test(an_image_can_be_cut_at_every_byte),
        cmocka_unit_test(an_image_that_finds_no_memory_is_given_up),
        cmocka_unit_test(the_digest_and_the_order_of_ends_forget_history),
        cmocka_unit_test(the_digest_is_kept_right_by_every_op),
        cmocka_unit_test(the_table_holds_at_every_size),
        cmocka_unit_test(a_flushed_table_goes_bit_by_bit),
        cmocka_unit_test(a_scan_sees_what_stays_on_whichever_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
