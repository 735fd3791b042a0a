/* kv_test.c - what each op does and each question answers, exactly; and thousands of random ops against a model that
 * keeps an array. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/kv_rig.h"
#include "support/alloc.h"

#define IS(text, ...) assert_string_equal(run(&r, __VA_ARGS__), text)

static void set_has_its_conditions(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    IS("OK", ORR_KV_SET, 0, 0, 0, 2, "k", "1");
    IS("\"1\"", ORR_KV_GET, 0, 0, 0, 1, "k");
    IS("nil", ORR_KV_SET, ORR_KV_NX, 0, 0, 2, "k", "2");
    IS("nil", ORR_KV_SET, ORR_KV_XX, 0, 0, 2, "absent", "2");
    IS("0", ORR_KV_SET, ORR_KV_NX | ORR_KV_INTEGER, 0, 0, 2, "k", "2");
    IS("1", ORR_KV_SET, ORR_KV_NX | ORR_KV_INTEGER, 0, 0, 2, "new", "2");
    IS("\"1\"", ORR_KV_SET, ORR_KV_NX | ORR_KV_WITH_GET, 0, 0, 2, "k", "2");
    IS("\"1\"", ORR_KV_SET, ORR_KV_WITH_GET, 0, 0, 2, "k", "2");
    IS("nil", ORR_KV_SET, ORR_KV_IFEQ, 0, 0, 3, "k", "3", "1");
    IS("OK", ORR_KV_SET, ORR_KV_IFEQ, 0, 0, 3, "k", "3", "2");
    IS("nil", ORR_KV_SET, ORR_KV_IFEQ, 0, 0, 3, "absent", "3", "");
    IS("\"3\"", ORR_KV_SET, ORR_KV_IFEQ | ORR_KV_WITH_GET, 0, 0, 3, "k", "4", "no");
    IS("\"3\"", ORR_KV_GET, 0, 0, 0, 1, "k");
    rig_free(&r);
}

static void versions_are_log_indices_and_missing_keys_have_them_too(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    IS("0", ORR_KV_VERSION, 0, 0, 0, 1, "k");
    IS("OK", ORR_KV_SET, ORR_KV_IFVERSION, 0, 0, 2, "k", "1");              /* index 1 */
    IS("1", ORR_KV_VERSION, 0, 0, 0, 1, "k");
    IS("!CONFLICT the key has another version", ORR_KV_SET, ORR_KV_IFVERSION, 0, 7, 2, "k", "2");
    IS("OK", ORR_KV_SET, ORR_KV_IFVERSION, 0, 1, 2, "k", "2");              /* 3 */
    IS("3", ORR_KV_VERSION, 0, 0, 0, 1, "k");
    IS("1", ORR_KV_EXPIRE, ORR_KV_RELATIVE, 1000, 0, 1, "k");               /* 4 */
    IS("4", ORR_KV_VERSION, 0, 0, 0, 1, "k");
    IS("1", ORR_KV_DEL, 0, 0, 0, 1, "k");                                   /* 5 */
    IS("5", ORR_KV_VERSION, 0, 0, 0, 1, "k");
    IS("OK", ORR_KV_FLUSH, 0, 0, 0, 0);                                     /* 6 */
    IS("6", ORR_KV_VERSION, 0, 0, 0, 1, "anything");
    rig_free(&r);
}

static void numbers_are_strict_and_overflow_is_an_error(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    IS("1", ORR_KV_ADD, 0, 1, 0, 1, "n");
    IS("-9", ORR_KV_ADD, 0, -10, 0, 1, "n");
    IS("OK", ORR_KV_SET, 0, 0, 0, 2, "n", "9223372036854775807");
    IS("!ERR increment or decrement would overflow", ORR_KV_ADD, 0, 1, 0, 1, "n");
    IS("9223372036854775806", ORR_KV_ADD, 0, -1, 0, 1, "n");
    IS("OK", ORR_KV_SET, 0, 0, 0, 2, "n", "-9223372036854775808");
    IS("!ERR increment or decrement would overflow", ORR_KV_ADD, 0, INT64_MIN, 0, 1, "n");
    IS("9223372036854775807", ORR_KV_ADD, 0, INT64_MAX, 0, 1, "x");
    static const char *const bad[] = { "", " 1", "1 ", "+1", "01", "-0", "-", "1.0", "9223372036854775808",
                                       "99999999999999999999999" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        IS("OK", ORR_KV_SET, 0, 0, 0, 2, "n", bad[i]);
        IS("!ERR value is not an integer or out of range", ORR_KV_ADD, 0, 1, 0, 1, "n");
    }
    rig_free(&r);
}

static void fractions_are_decimal(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    static const char *const sums[][3] = {
        { "0.1", "0.2", "0.3" }, { "10.50", "0.1", "10.6" }, { "5.0e3", "2.0e2", "5200" }, { "3", "-3.0", "0" },
        { ".5", "5.", "5.5" },   { "-1", "0.75", "-0.25" },  { "1e-17", "0", "0.00000000000000001" },
        { "1e-18", "0", "0" },
        { "99999999999999999999", "-0.00000000000000001", "99999999999999999998.99999999999999999" },
    };
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        char quoted[64];
        (void)snprintf(quoted, sizeof quoted, "\"%s\"", sums[i][2]);
        IS("OK", ORR_KV_SET, 0, 0, 0, 2, "f", sums[i][0]);
        IS(quoted, ORR_KV_ADD_FLOAT, 0, 0, 0, 2, "f", sums[i][1]);
    }
    static const char *const bad[] = { "", "a", "1a", ".", "e5", "1e", "1e+", "1 ", " 1", "--1", "1.2.3", "nan", "inf",
                                       "1e21" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        IS("!ERR value is not a valid float", ORR_KV_ADD_FLOAT, 0, 0, 0, 2, "none", bad[i]);
    }
    IS("OK", ORR_KV_SET, 0, 0, 0, 2, "f", "99999999999999999999");
    IS("!ERR increment would produce NaN or Infinity", ORR_KV_ADD_FLOAT, 0, 0, 0, 2, "f", "1");
    rig_free(&r);
}

static void ends_are_judged_by_log_time_alone(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    IS("OK", ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, 100, 0, 2, "k", "v");
    IS("100", ORR_KV_TTL, ORR_KV_RELATIVE, 0, 0, 1, "k");
    IS("1000100", ORR_KV_TTL, 0, 0, 0, 1, "k");
    assert_int_equal(orr_kv_machine.wants(r.m), 1000100 * ORR_MS);
    r.at.time += 99 * ORR_MS;
    IS("\"v\"", ORR_KV_GET, 0, 0, 0, 1, "k");
    r.at.time += ORR_MS;
    IS("nil", ORR_KV_GET, 0, 0, 0, 1, "k");                     /* nobody has removed it yet */
    IS("1", ORR_KV_DBSIZE, 0, 0, 0, 0);
    IS("-2", ORR_KV_TTL, ORR_KV_RELATIVE, 0, 0, 1, "k");
    rig_free(&r);
}

static void a_key_whose_time_has_come_is_missing_for_ops(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    IS("OK", ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, 100, 0, 2, "k", "5");
    r.at.time += 100 * ORR_MS;
    IS("1", ORR_KV_ADD, 0, 1, 0, 1, "k");
    IS("-1", ORR_KV_TTL, ORR_KV_RELATIVE, 0, 0, 1, "k");
    IS("OK", ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, 100, 0, 2, "k", "5");
    r.at.time += 100 * ORR_MS;
    IS("0", ORR_KV_DEL, 0, 0, 0, 1, "k");
    IS("OK", ORR_KV_SET, ORR_KV_TIMED, 5, 0, 2, "past", "5");
    IS("0", ORR_KV_COUNT, 0, 0, 0, 1, "past");
    IS("OK", ORR_KV_SET, 0, 0, 0, 2, "p", "5");
    IS("1", ORR_KV_EXPIRE, ORR_KV_RELATIVE, -1, 0, 1, "p");
    IS("nil", ORR_KV_GET, 0, 0, 0, 1, "p");
    IS("OK", ORR_KV_SET, 0, 0, 0, 2, "p", "5");
    IS("\"5\"", ORR_KV_GET_EXPIRE, 0, 1, 0, 1, "p");
    IS("nil", ORR_KV_GET, 0, 0, 0, 1, "p");
    IS("OK", ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, INT64_MAX, 0, 2, "far", "5");
    IS("1", ORR_KV_COUNT, 0, 0, 0, 1, "far");
    assert_int_equal(orr_kv_machine.wants(r.m), ORR_NEVER);
    rig_free(&r);
}

static void due_keys_go_in_advance_a_bounded_number_at_a_time(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    for (int i = 0; i < 5000; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "%d", i);
        IS("OK", ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, 100 + i % 3, 0, 2, key, "v");
    }
    r.at.time += 200 * ORR_MS;
    uint64_t before = inside(&r)->live->n;
    while (orr_kv_machine.wants(r.m) <= r.at.time) {
        r.at.index++;
        orr_kv_machine.advance(r.m, &r.at);
        assert_true(inside(&r)->live->n + 1024 >= before && inside(&r)->live->n < before);
        before = inside(&r)->live->n;
        orri_kv_table_check(inside(&r)->live);
    }
    IS("0", ORR_KV_DBSIZE, 0, 0, 0, 0);
    rig_free(&r);
}

/* Entries of 5000 keys that live for one entry's time: no more of them stand than two entries brought. */
static void keys_that_come_and_go_do_not_pile_up(void **state) {
    (void)state;
    struct rig r;
    unsigned char op[64];
    rig_init(&r);
    for (int i = 0, n = 0; i < 20; i++) {
        r.at.index++;
        r.at.time += 10 * ORR_MS;
        for (int k = 0; k < 5000; k++) {
            char key[24];
            struct orr_slice args[2] = { orr_borrow(key, (size_t)snprintf(key, sizeof key, "%d", n++)),
                                         orr_borrow("v", 1) };
            struct orr_kv_call set = { ORR_KV_SET, ORR_KV_TIMED | ORR_KV_RELATIVE, 10, 0, args, 2 };
            size_t size = orr_kv_encode(op, sizeof op, &set);
            assert_int_equal(orr_kv_machine.apply(r.m, &r.at, orr_borrow(op, size), NULL), 0);
        }
        orr_kv_machine.advance(r.m, &r.at);
        assert_true(inside(&r)->live->n <= 10000);
    }
    rig_free(&r);
}

static void large_values_and_keys_have_limits(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    char *big = calloc(1, ORR_KV_VALUE_MAX + 1);
    struct orr_slice args[2] = { orr_borrow("k", 1), orr_borrow(big, ORR_KV_VALUE_MAX) };
    assert_string_equal(run_slices(&r, ORR_KV_SET, 0, 0, 0, args, 2), "OK");
    IS("8388608", ORR_KV_SIZE, 0, 0, 0, 1, "k");
    IS("!ERR string exceeds maximum allowed size (proto-max-bulk-len)", ORR_KV_APPEND, 0, 0, 0, 2, "k", "x");
    IS("!ERR string exceeds maximum allowed size (proto-max-bulk-len)", ORR_KV_SETRANGE, 0, ORR_KV_VALUE_MAX, 0, 2, "j",
       "x");
    IS("8388608", ORR_KV_SETRANGE, 0, ORR_KV_VALUE_MAX - 1, 0, 2, "j", "x");
    args[1].size++;
    assert_string_equal(run_slices(&r, ORR_KV_SET, 0, 0, 0, args, 2), "!ERR not an op");
    args[0] = orr_borrow(big, ORR_KV_KEY_MAX);
    args[1].size = 1;
    assert_string_equal(run_slices(&r, ORR_KV_SET, 0, 0, 0, args, 2), "OK");
    args[0].size++;
    assert_string_equal(run_slices(&r, ORR_KV_SET, 0, 0, 0, args, 2), "!ERR not an op");
    free(big);
    rig_free(&r);
}

static void patterns_match_as_in_redis(void **state) {
    (void)state;
    static const struct { const char *pattern, *text; bool match; } cases[] = {
        { "*", "", true }, { "", "", true }, { "", "a", false }, { "a*b*c", "a1b2b3c", true },
        { "a*b*c", "a1b2b3", false }, { "?", "", false }, { "h[ae]llo", "hallo", true }, { "h[ae]llo", "hillo", false },
        { "h[^e]llo", "hello", false }, { "h[a-c]", "hb", true }, { "h[c-a]", "hb", true }, { "\\*", "*", true },
        { "\\*", "a", false }, { "[\\]]", "]", true }, { "[a-", "-", true }, { "a\\", "a\\", true },
        { "[^]", "a", true }, { "***a", "ba", true }, { "*a", "b", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct orr_slice p = orr_borrow(cases[i].pattern, strlen(cases[i].pattern)),
                         t = orr_borrow(cases[i].text, strlen(cases[i].text));
        if (orri_kv_match(p, t) != cases[i].match) fail_msg("%s against %s", cases[i].pattern, cases[i].text);
    }
}

static void bytes_that_are_no_op_change_nothing(void **state) {
    (void)state;
    struct rig r;
    struct orr_rng rng;
    rig_init(&r);
    orri_rng_init(&rng, 1);
    IS("OK", ORR_KV_SET, 0, 0, 0, 2, "k", "v");
    unsigned char good[32], bytes[64];
    struct orr_slice args[2] = { orr_borrow("k", 1), orr_borrow("w", 1) };
    struct orr_kv_call call = { ORR_KV_SET, 0, 0, 0, args, 2 };
    size_t size = orr_kv_encode(good, sizeof good, &call);
    uint64_t before = digest(&r);
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *exact = malloc(cut + 1);
        memcpy(exact, good, cut);
        assert_int_equal(orr_kv_machine.apply(r.m, &r.at, orr_borrow(exact, cut), NULL), 0);
        free(exact);
    }
    memcpy(bytes, good, size);
    bytes[size] = 0;                                            /* something follows */
    assert_int_equal(orr_kv_machine.apply(r.m, &r.at, orr_borrow(bytes, size + 1), NULL), 0);
    assert_int_equal(digest(&r), before);
    for (int i = 0; i < 200000; i++) {    /* questions and ops alike: nothing is read beyond, nothing breaks */
        size_t n = (size_t)orri_rng_below(&rng, 24);
        orri_rng_fill(&rng, bytes, n);
        bytes[0] = (unsigned char)(orri_rng_below(&rng, 2) ? 64 + orri_rng_below(&rng, 16) : orri_rng_below(&rng, 16));
        bytes[1] &= 0x7f;
        r.n_text = 0;
        if (bytes[0] < 64) (void)orr_kv_machine.apply(r.m, &r.at, orr_borrow(bytes, n), &r.sink);
        else (void)orr_kv_machine.query(r.m, &r.at, orr_borrow(bytes, n), &r.sink);
    }
    orri_kv_table_check(inside(&r)->live);
    rig_free(&r);
}

static void the_first_op_seeds_the_table_and_no_later_one(void **state) {
    (void)state;
    struct rig a, b;
    rig_init(&a);
    assert_int_equal(rig_init_with(&b, NULL, 99), 0);
    assert_string_not_equal(run(&a, ORR_KV_UNSEEDED, 0, 0, 0, 0), "nil");
    run(&a, ORR_KV_SEED, 0, 0, 0, 1, "secret");
    run(&b, ORR_KV_SEED, 0, 0, 0, 1, "secret");
    uint64_t seed = inside(&a)->seed;
    assert_true(seed != 0 && seed == inside(&b)->seed);         /* not this process's seed: the op's */
    run(&a, ORR_KV_SEED, 0, 0, 0, 1, "other");
    assert_int_equal(inside(&a)->seed, seed);
    assert_string_equal(run(&a, ORR_KV_UNSEEDED, 0, 0, 0, 0), "nil");
    rig_free(&a);
    rig_free(&b);
}

/* -- The model: an array of keys, searched from its front ---------------------------------------------------------- */
enum { KEYS = 12 };
struct model_key {
    bool there;
    char value[256];
    int64_t ends;                   /* ms, 0: never */
};
struct model {
    struct model_key keys[KEYS];
    int64_t now;
};

static struct model_key *alive(struct model *m, size_t i) {
    struct model_key *k = &m->keys[i];
    if (k->there && k->ends && k->ends <= m->now) k->there = false;
    return k->there ? k : NULL;
}

static void model_put(struct model *m, size_t i, const char *value, int64_t ends) {
    struct model_key *k = &m->keys[i];
    k->there = !ends || ends > m->now;
    memmove(k->value, value, strlen(value) + 1);                /* may be its own */
    k->ends = ends;
}

static void quote(char *out, const struct model_key *k) {
    if (k) (void)sprintf(out, "\"%s\"", k->value);
    else (void)strcpy(out, "nil");
}

static void model_set(struct model *m, struct orr_rng *rng, size_t i, unsigned *flags, int64_t *a, const char *value,
                      char *expect) {
    static const unsigned choices[] = { 0, 0, ORR_KV_NX, ORR_KV_XX, ORR_KV_WITH_GET, ORR_KV_KEEPTTL,
                                        ORR_KV_NX | ORR_KV_INTEGER, ORR_KV_TIMED | ORR_KV_RELATIVE,
                                        ORR_KV_TIMED | ORR_KV_RELATIVE | ORR_KV_WITH_GET };
    struct model_key *k = alive(m, i);
    *flags = choices[orri_rng_below(rng, sizeof choices / sizeof *choices)];
    int64_t ends = 0;
    if (*flags & ORR_KV_TIMED) {
        *a = orri_rng_between(rng, 1, 300);
        ends = m->now + *a;
    }
    if (k && (*flags & ORR_KV_KEEPTTL)) ends = k->ends;
    bool may = !((*flags & ORR_KV_NX) && k) && !((*flags & ORR_KV_XX) && !k);
    if (*flags & ORR_KV_WITH_GET) quote(expect, k);
    else if (*flags & ORR_KV_INTEGER) (void)strcpy(expect, may ? "1" : "0");
    else (void)strcpy(expect, may ? "OK" : "nil");
    if (may) model_put(m, i, value, ends);
}

static void model_add(struct model *m, size_t i, int64_t by, char *expect) {
    struct model_key *k = alive(m, i);
    char text[32], again[32], *end;
    long long v = k ? strtoll(k->value, &end, 10) : 0;
    if (k) {
        (void)sprintf(again, "%lld", v);
        if (strlen(k->value) > 20 || strcmp(again, k->value) != 0) {
            (void)strcpy(expect, "!ERR value is not an integer or out of range");
            return;
        }
    }
    (void)sprintf(text, "%lld", v + (long long)by);
    (void)strcpy(expect, text);
    model_put(m, i, text, k ? k->ends : 0);
}

static void model_expire(struct model *m, struct orr_rng *rng, size_t i, unsigned *flags, int64_t *a, char *expect) {
    static const unsigned choices[] = { 0, ORR_KV_NX, ORR_KV_XX, ORR_KV_GT, ORR_KV_LT, ORR_KV_XX | ORR_KV_LT };
    struct model_key *k = alive(m, i);
    unsigned f = choices[orri_rng_below(rng, sizeof choices / sizeof *choices)];
    *a = orri_rng_between(rng, -20, 300);
    *flags = f | ORR_KV_RELATIVE;
    int64_t ends = m->now + *a, had = k ? k->ends : 0;
    bool may = k && !((f & ORR_KV_NX) && had) && !((f & ORR_KV_XX) && !had) &&
               !((f & ORR_KV_GT) && (!had || ends <= had)) && !((f & ORR_KV_LT) && had && ends >= had);
    if (may) model_put(m, i, k->value, ends);
    (void)strcpy(expect, may ? "1" : "0");
}

static void model_append(struct model *m, size_t i, const char *value, char *expect) {
    struct model_key *k = alive(m, i);
    char joined[400];
    (void)sprintf(joined, "%s%s", k ? k->value : "", value);
    model_put(m, i, joined, k ? k->ends : 0);
    (void)sprintf(expect, "%zu", strlen(joined));
}

/* One random op on both; the answers must be the same. */
static void step(struct rig *r, struct model *m, struct orr_rng *rng) {
    size_t i = (size_t)orri_rng_below(rng, KEYS), j = (size_t)orri_rng_below(rng, KEYS);
    char key[8], to[8], value[64], expect[300] = "";
    unsigned flags = 0;
    int64_t a = 0;
    (void)sprintf(key, "k%zu", i);
    (void)sprintf(to, "k%zu", j);
    (void)sprintf(value, orri_rng_below(rng, 2) ? "%lld" : "v%lld", (long long)orri_rng_between(rng, -1000, 1000));
    if (orri_rng_below(rng, 4) == 0) {
        m->now += (int64_t)orri_rng_below(rng, 40);
        r->at.time = m->now * ORR_MS + 999;
    }
    struct model_key *k = alive(m, i);
    switch (orri_rng_below(rng, 12)) {
    case 0: case 1: case 2:
        model_set(m, rng, i, &flags, &a, value, expect);
        run(r, ORR_KV_SET, flags, a, 0, 2, key, value);
        break;
    case 3:
        a = orri_rng_between(rng, -100, 100);
        model_add(m, i, a, expect);
        run(r, ORR_KV_ADD, 0, a, 0, 1, key);
        break;
    case 4:
        (void)sprintf(expect, "%d", (k != NULL) + (j != i && alive(m, j)));
        m->keys[i].there = m->keys[j].there = false;
        run(r, ORR_KV_DEL, 0, 0, 0, 2, key, to);
        break;
    case 5: case 6:
        model_expire(m, rng, i, &flags, &a, expect);
        run(r, ORR_KV_EXPIRE, flags, a, 0, 1, key);
        break;
    case 7:
        if (k && strlen(k->value) > 100) return;
        model_append(m, i, value, expect);
        run(r, ORR_KV_APPEND, 0, 0, 0, 2, key, value);
        break;
    case 8:
        (void)strcpy(expect, k ? "OK" : "!ERR no such key");
        if (k && i != j) {
            model_put(m, j, k->value, k->ends);
            k->there = false;
        }
        run(r, ORR_KV_RENAME, 0, 0, 0, 2, key, to);
        break;
    case 9:
        (void)strcpy(expect, k && k->ends ? "1" : "0");
        if (k) k->ends = 0;
        run(r, ORR_KV_PERSIST, 0, 0, 0, 1, key);
        break;
    case 10:
        model_put(m, i, value, 0);
        model_put(m, j, "x", 0);
        (void)strcpy(expect, "OK");
        run(r, ORR_KV_MSET, 0, 0, 0, 4, key, value, to, "x");
        break;
    default:
        if (orri_rng_below(rng, 40)) return;
        for (size_t n = 0; n < KEYS; n++) m->keys[n].there = false;
        (void)strcpy(expect, "OK");
        run(r, ORR_KV_FLUSH, 0, 0, 0, 0);
        break;
    }
    assert_string_equal(r->text, expect);
}

static void compare_all(struct rig *r, struct model *m) {
    for (size_t i = 0; i < KEYS; i++) {
        char key[8], expect[300];
        (void)sprintf(key, "k%zu", i);
        struct model_key *k = alive(m, i);
        quote(expect, k);
        assert_string_equal(run(r, ORR_KV_GET, 0, 0, 0, 1, key), expect);
        (void)sprintf(expect, "%lld", k ? (k->ends ? (long long)(k->ends - m->now) : -1LL) : -2LL);
        assert_string_equal(run(r, ORR_KV_TTL, ORR_KV_RELATIVE, 0, 0, 1, key), expect);
    }
}

static void random_ops_do_what_the_model_does(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rig r;
        struct orr_rng rng;
        struct model m = { .now = 1000000 };
        rig_init(&r);
        orri_rng_init(&rng, seed);
        for (int i = 0; i < 400; i++) {
            step(&r, &m, &rng);
            if (i % 16 == 0) compare_all(&r, &m);
        }
        compare_all(&r, &m);
        orri_kv_table_check(inside(&r)->live);
        rig_free(&r);
    }
}

/* With the n-th allocation failing: an op says -ENOMEM or is done, a question works, and everything is given back. */
static void memory_that_runs_out_breaks_nothing(void **state) {
    (void)state;
    SPEC_EACH_FAILURE(a) {
        const struct orr_alloc alloc = spec_alloc_of(&a);
        struct rig r;
        struct orr_rng rng;
        orri_rng_init(&rng, 5);
        bool ok = rig_init_with(&r, &alloc, 7) == 0;
        for (int i = 0; ok && i < 60; i++) {
            char key[24], value[200];
            (void)snprintf(key, sizeof key, "%d", (int)orri_rng_below(&rng, 30));
            (void)snprintf(value, sizeof value, "%0*d", (int)orri_rng_between(&rng, 1, 150), i);
            if (i == 20) (void)orr_kv_machine.freeze(r.m);
            run(&r, ORR_KV_SET, i % 3 ? 0 : ORR_KV_TIMED | ORR_KV_RELATIVE, i % 3 ? 0 : 50, 0, 2, key, value);
            ok = r.status == 0;
            if (i == 30) run(&r, ORR_KV_FLUSH, 0, 0, 0, 0);
            if (ok && i % 7 == 0) run(&r, ORR_KV_DEL, 0, 0, 0, 1, key);
            r.at.time += 5 * ORR_MS;
        }
        size_t size = 0;
        unsigned char *image = ok ? rig_image(&r, 100, &size) : NULL;
        struct rig s;
        if (r.chunks && r.m && rig_init_with(&s, &alloc, 8) == 0 && image) (void)rig_restore(&s, image, size, &rng);
        if (r.chunks && r.m) {
            orr_kv_machine.destroy(s.m);
            orr_chunks_free(s.chunks);
        }
        free(image);
        orr_kv_machine.destroy(r.m);
        orr_chunks_free(r.chunks);
        spec_alloc_check(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_has_its_conditions),
        cmocka_unit_test(versions_are_log_indices_and_missing_keys_have_them_too),
        cmocka_unit_test(numbers_are_strict_and_overflow_is_an_error),
        cmocka_unit_test(fractions_are_decimal),
        cmocka_unit_test(ends_are_judged_by_log_time_alone),
        cmocka_unit_test(a_key_whose_time_has_come_is_missing_for_ops),
        cmocka_unit_test(due_keys_go_in_advance_a_bounded_number_at_a_time),
        cmocka_unit_test(keys_that_come_and_go_do_not_pile_up),
        cmocka_unit_test(large_values_and_keys_have_limits),
        cmocka_unit_test(patterns_match_as_in_redis),
        cmocka_unit_test(bytes_that_are_no_op_change_nothing),
        cmocka_unit_test(the_first_op_seeds_the_table_and_no_later_one),
        cmocka_unit_test(random_ops_do_what_the_model_does),
        cmocka_unit_test(memory_that_runs_out_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
