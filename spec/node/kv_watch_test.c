/* kv_watch_test.c - what a kv machine tells its observer, exactly; and at random: pieces of ORR_KV_LIST and changes
 * together make a copy of the keys with a prefix, at every moment of what was listed so far. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/kv_rig.h"
#include "support/alloc.h"

/* -- Told, exactly ------------------------------------------------------------------------------------------------- */
struct notes {
    struct orr_kv_observer face;    /* first */
    char text[512];
};

static void note_change(struct orr_kv_observer *o, const struct orr_kv_change *c) {
    static const char *const kinds[] = { "set", "del", "expire" };
    struct notes *n = (struct notes *)(void *)o;
    size_t at = strlen(n->text);
    (void)snprintf(n->text + at, sizeof n->text - at, "%s%s %.*s%s%.*s %d", at ? ", " : "", kinds[c->kind],
                   (int)c->key.size, (const char *)c->key.at, c->kind == ORR_KV_CHANGE_SET ? "=" : "",
                   (int)c->value.size, (const char *)c->value.at, (int)c->version);
}

static void note_replaced(struct orr_kv_observer *o, orr_index version) {
    struct notes *n = (struct notes *)(void *)o;
    size_t at = strlen(n->text);
    (void)snprintf(n->text + at, sizeof n->text - at, "%sall %d", at ? ", " : "", (int)version);
}

static const char *told(struct notes *n) {
    static char text[512];
    memcpy(text, n->text, sizeof text);
    n->text[0] = '\0';
    return text;
}

#define TELLS(what, ...) (run(&r, __VA_ARGS__), assert_string_equal(told(&n), what))

static void every_change_is_told_once_with_its_version(void **state) {
    (void)state;
    struct rig r;
    struct notes n = { .face = { note_change, note_replaced } };
    rig_init(&r);
    run(&r, ORR_KV_SET, 0, 0, 0, 2, "before", "1");             /* 1: nobody watches */
    orr_kv_observe(r.m, &n.face);
    TELLS("set k=v 2", ORR_KV_SET, 0, 0, 0, 2, "k", "v");
    TELLS("", ORR_KV_SET, ORR_KV_NX, 0, 0, 2, "k", "w");
    TELLS("set k=vw 4", ORR_KV_APPEND, 0, 0, 0, 2, "k", "w");
    TELLS("set n=7 5", ORR_KV_ADD, 0, 7, 0, 1, "n");
    TELLS("", ORR_KV_ADD, 0, 1, 0, 1, "k");
    TELLS("set x=1 7, set y=2 7", ORR_KV_MSET, 0, 0, 0, 4, "x", "1", "y", "2");
    TELLS("set z=vw 8, del k 8", ORR_KV_RENAME, 0, 0, 0, 2, "k", "z");
    TELLS("del x 9", ORR_KV_DEL, 0, 0, 0, 2, "x", "absent");
    TELLS("set y=2 10", ORR_KV_EXPIRE, ORR_KV_RELATIVE, 1000, 0, 1, "y");
    TELLS("del n 11", ORR_KV_EXPIRE, 0, 1, 0, 1, "n");           /* in the past: as Redis has it */
    r.at.time += 2 * ORR_SECOND;
    TELLS("expire y 12", ORR_KV_SET, ORR_KV_XX, 0, 0, 2, "y", "3");
    run(&r, ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, 5, 0, 2, "t", "1");
    (void)told(&n);
    r.at.time += ORR_SECOND;
    r.at.index++;
    orr_kv_machine.advance(r.m, &r.at);
    assert_string_equal(told(&n), "expire t 14");
    TELLS("all 15", ORR_KV_FLUSH, 0, 0, 0, 0);
    TELLS("set a=1 16", ORR_KV_SET, 0, 0, 0, 2, "a", "1");
    assert_int_equal(orr_kv_machine.restore_begin(r.m), 0);
    assert_string_equal(told(&n), "all 0");
    orr_kv_observe(r.m, NULL);
    rig_free(&r);
}

/* -- A copy -------------------------------------------------------------------------------------------------------- */
enum { KEYS = 60 };
struct copy {
    struct orr_kv_observer face;    /* first */
    struct orr_sink sink;
    char values[KEYS][32];          /* of key "pNN"; "": not there */
    uint64_t versions[KEYS];
    uint64_t position;              /* the next piece begins there */
    bool whole;
    int seen;                       /* of a piece: values told so far */
    int key;                        /* that was told last */
};

static int number(struct orr_slice key) {
    char text[16];
    (void)snprintf(text, sizeof text, "%.*s", (int)key.size, (const char *)key.at);
    return text[0] == 'p' ? atoi(text + 1) : -1;
}

static void put(struct copy *c, int key, struct orr_slice value, uint64_t version) {
    (void)snprintf(c->values[key], sizeof c->values[key], "=%.*s", (int)value.size, (const char *)value.at);
    c->versions[key] = version;
}

static void copy_change(struct orr_kv_observer *o, const struct orr_kv_change *change) {
    struct copy *c = (struct copy *)(void *)o;
    int key = number(change->key);
    if (key < 0 || (!c->whole && change->position >= c->position)) return;
    if (change->kind == ORR_KV_CHANGE_SET) put(c, key, change->value, change->version);
    else c->values[key][0] = '\0';
}

static void copy_replaced(struct orr_kv_observer *o, orr_index version) {
    struct copy *c = (struct copy *)(void *)o;
    (void)version;
    memset(c->values, 0, sizeof c->values);
    c->position = 0;
    c->whole = false;
}

#define COPY_OF(s) ((struct copy *)(void *)((char *)(s)-offsetof(struct copy, sink)))
static void told_integer(struct orr_sink *s, int64_t v) {
    struct copy *c = COPY_OF(s);
    if (c->seen++ == 0) c->position = (uint64_t)v, c->whole = v == 0;
    else c->versions[c->key] = (uint64_t)v;
}
static void told_text(struct orr_sink *s, const void *at, size_t size) {
    struct copy *c = COPY_OF(s);
    bool is_key = c->seen++ % 3 == 1;
    if (is_key) c->key = number(orr_borrow(at, size));
    else put(c, c->key, orr_borrow(at, size), 0);
}
static void told_array(struct orr_sink *s, size_t n) { (void)s, (void)n; }
static const struct orr_sink_ops told_ops = { .integer = told_integer, .text = told_text, .array = told_array };

static void list_a_piece(struct rig *r, struct copy *c, int64_t bytes) {
    unsigned char question[64];
    struct orr_slice prefix = orr_borrow("p", 1);
    struct orr_kv_call call = { ORR_KV_LIST, 0, (int64_t)c->position, bytes, &prefix, 1 };
    size_t size = orr_kv_encode(question, sizeof question, &call);
    c->seen = 0;
    assert_int_equal(orr_kv_machine.query(r->m, &r->at, orr_borrow(question, size), &c->sink), 0);
    assert_true(c->seen > 0);
}

static void random_op(struct rig *r, struct orr_rng *rng) {
    char key[16], other[16], value[16];
    const char *prefix = orri_rng_below(rng, 4) ? "p" : "q";
    (void)snprintf(key, sizeof key, "%s%d", prefix, (int)orri_rng_below(rng, KEYS));
    (void)snprintf(other, sizeof other, "%s%d", orri_rng_below(rng, 4) ? "p" : "q", (int)orri_rng_below(rng, KEYS));
    (void)snprintf(value, sizeof value, "%d", (int)orri_rng_below(rng, 1000));
    if (orri_rng_below(rng, 3) == 0) r->at.time += (orr_time)orri_rng_below(rng, 50) * ORR_MS;
    switch (orri_rng_below(rng, 12)) {
    case 0: case 1: case 2: case 3: run(r, ORR_KV_SET, 0, 0, 0, 2, key, value); break;
    case 4: run(r, ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, 100, 0, 2, key, value); break;
    case 5: case 6: run(r, ORR_KV_DEL, 0, 0, 0, 2, key, other); break;
    case 7: run(r, ORR_KV_MSET, 0, 0, 0, 4, key, value, other, value); break;
    case 8: run(r, ORR_KV_RENAME, 0, 0, 0, 2, key, other); break;
    case 9: run(r, ORR_KV_EXPIRE, ORR_KV_RELATIVE, (int64_t)orri_rng_below(rng, 300), 0, 1, key); break;
    case 10: run(r, ORR_KV_ADD, 0, 1, 0, 1, key); break;
    case 11:
        if (orri_rng_below(rng, 20)) run(r, ORR_KV_PERSIST, 0, 0, 0, 1, key);
        else run(r, ORR_KV_FLUSH, 0, 0, 0, 0);
        break;
    }
}

static void check_copy(struct rig *r, const struct copy *c) {
    for (int i = 0; i < KEYS; i++) {
        char key[16], expected[64];
        (void)snprintf(key, sizeof key, "p%d", i);
        (void)snprintf(expected, sizeof expected, c->values[i][0] ? "\"%s\"" : "nil", c->values[i] + 1);
        assert_string_equal(run(r, ORR_KV_GET, 0, 0, 0, 1, key), expected);
        (void)snprintf(expected, sizeof expected, "%d", (int)c->versions[i]);
        if (c->values[i][0]) assert_string_equal(run(r, ORR_KV_VERSION, 0, 0, 0, 1, key), expected);
    }
}

static void pieces_and_changes_make_a_copy(void **state) {
    (void)state;
    struct orr_rng rng;
    orri_rng_init(&rng, 5);
    for (int round = 0; round < 300; round++) {
        struct rig r;
        struct copy c = { .face = { copy_change, copy_replaced }, .sink = { &told_ops } };
        assert_int_equal(rig_init_with(&r, NULL, (uint64_t)round), 0);
        for (int i = 0; i < 100; i++) random_op(&r, &rng);
        orr_kv_observe(r.m, &c.face);
        int64_t bytes = 1 + (int64_t)orri_rng_below(&rng, 60);
        for (int i = 0; i < 300 || !c.whole; i++) {
            if (orri_rng_below(&rng, 4) == 0 && !c.whole) list_a_piece(&r, &c, bytes);
            else if (i < 300) random_op(&r, &rng);
        }
        check_copy(&r, &c);
        for (int i = 0; i < 50; i++) random_op(&r, &rng);
        while (!c.whole) list_a_piece(&r, &c, 0);
        check_copy(&r, &c);
        orr_kv_observe(r.m, NULL);
        rig_free(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_is_told_once_with_its_version),
        cmocka_unit_test(pieces_and_changes_make_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
