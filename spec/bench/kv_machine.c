/* kv_machine.c - the kv machine alone: what an op costs, and the longest that any one takes while ten million keys
 * come, are frozen, and go.
 *
 *     kv_machine [KEYS]        default 10,000,000; values of 64 bytes
 *
 * Compared with the machine's limit in the same run: a memcpy of the same bytes to a random one of as many places. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <orrery/kv.h>

#include "base/rng.h"

enum { SMALL = 100000, VALUE = 64, BATCH = 64 };

static void nothing(struct orr_sink *s) { (void)s; }
static void no_integer(struct orr_sink *s, int64_t v) { (void)s, (void)v; }
static void no_text(struct orr_sink *s, const void *at, size_t size) { (void)s, (void)at, (void)size; }
static void no_word(struct orr_sink *s, const char *word) { (void)s, (void)word; }
static void no_error(struct orr_sink *s, int code, const char *text) {
    (void)s;
    fprintf(stderr, "error %d: %s\n", code, text);
    exit(1);
}
static void no_array(struct orr_sink *s, size_t n) { (void)s, (void)n; }
static const struct orr_sink_ops sink_ops = { nothing, no_integer, no_text, no_word, no_error, no_array };
static struct orr_sink sink = { &sink_ops };

static const struct orr_machine_ops *const kv = &orr_kv_machine;
static void *machine;
static struct orr_at at = { 0, 1, 1700000000 * ORR_SECOND };
static struct orr_rng rng;

/* This thread's own time: what others on the machine take is not in it. */
static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static size_t encode(unsigned char *out, size_t cap, unsigned code, uint64_t key, unsigned n_args) {
    char name[24], value[VALUE];
    size_t size = (size_t)snprintf(name, sizeof name, "key:%012llu", (unsigned long long)key);
    memset(value, 'x', sizeof value);
    struct orr_slice args[2] = { orr_borrow(name, size), orr_borrow(value, sizeof value) };
    struct orr_kv_call call = { .code = code, .args = args, .n_args = n_args };
    return orr_kv_encode(out, cap, &call);
}

static void one(unsigned code, uint64_t key) {
    unsigned char bytes[256];
    struct orr_slice op = orr_borrow(bytes, encode(bytes, sizeof bytes, code, key, code == ORR_KV_SET ? 2 : 1));
    if (code < 64) {
        at.index++;
        if (kv->apply(machine, &at, op, &sink) < 0) exit(1);
    } else {
        (void)kv->query(machine, &at, op, &sink);
    }
}

/* ns an op, the ops encoded beforehand; ahead: as in a batch, where what comes is known. */
static double cost(unsigned code, uint64_t keys, size_t n, bool ahead) {
    unsigned char *bytes = malloc(n * 128);
    size_t *sizes = malloc(n * sizeof *sizes);
    for (size_t i = 0; i < n; i++)
        sizes[i] = encode(bytes + i * 128, 128, code, orri_rng_below(&rng, keys), code == ORR_KV_SET ? 2 : 1);
    int64_t begin = now_ns();
    for (size_t i = 0; i < n; i++) {
        struct orr_slice op = orr_borrow(bytes + i * 128, sizes[i]);
        at.index++;
        if (ahead && i + 8 < n) kv->prefetch(machine, orr_borrow(bytes + (i + 8) * 128, sizes[i + 8]), 0);
        if (ahead && i + 4 < n) kv->prefetch(machine, orr_borrow(bytes + (i + 4) * 128, sizes[i + 4]), 1);
        if (code < 64) (void)kv->apply(machine, &at, op, &sink);
        else (void)kv->query(machine, &at, op, &sink);
    }
    double ns = (double)(now_ns() - begin) / (double)n;
    free(bytes);
    free(sizes);
    return ns;
}

/* The limit: bytes copied to a random place among as many. */
static double limit(uint64_t keys, size_t n) {
    unsigned char *places = malloc(keys * 128), value[VALUE] = { 1 };
    memset(places, 0, keys * 128);
    int64_t begin = now_ns();
    for (size_t i = 0; i < n; i++) memcpy(places + orri_rng_below(&rng, keys) * 128, value, sizeof value);
    double ns = (double)(now_ns() - begin) / (double)n;
    free(places);
    return ns;
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The worst call (the system's interrupts and page faults are in it), and the one that 1 of 100,000 exceeds. */
static void told(const char *what, int64_t *took, size_t n) {
    qsort(took, n, sizeof *took, by_size);
    printf("%-34s worst %8.1f us, 99.999 %% under %6.1f us, median %6.2f us\n", what, (double)took[n - 1] / 1e3,
           (double)took[n - 1 - n / 100000] / 1e3, (double)took[n / 2] / 1e3);
}

static void each(const char *what, unsigned code, uint64_t keys) {
    int64_t *took = malloc(keys * sizeof *took);
    for (uint64_t i = 0; i < keys; i++) {
        int64_t begin = now_ns();
        one(code, i);
        took[i] = now_ns() - begin;
    }
    told(what, took, keys);
    free(took);
}

static void snapshot(uint64_t keys) {
    struct orr_slice part;
    size_t n = 0, cap = 1 << 20;
    int64_t *took = malloc(cap * sizeof *took), *sets = malloc(cap * BATCH * sizeof *sets);
    size_t n_sets = 0, bytes = 0;
    int64_t begin = now_ns();
    if (kv->freeze(machine) < 0) exit(1);
    printf("%-34s       %8.1f us\n", "freeze", (double)(now_ns() - begin) / 1e3);
    for (int more = 1; more > 0 && n < cap; n++) {
        begin = now_ns();
        more = kv->next(machine, 64 << 10, &part);
        took[n] = now_ns() - begin;
        bytes += part.size;
        orr_drop(part);
        for (int i = 0; i < 8; i++) {
            begin = now_ns();
            one(ORR_KV_SET, orri_rng_below(&rng, keys));
            sets[n_sets++] = now_ns() - begin;
        }
    }
    kv->unfreeze(machine);
    told("snapshot piece of 64 KiB", took, n);
    told("SET while a snapshot is taken", sets, n_sets);
    printf("%-34s       %8.1f MB in %zu pieces\n", "image", (double)bytes / 1e6, n);
    free(took);
    free(sets);
}

/* Commands that name as many keys as one may, far apart: each is one go. */
static void widest(const char *what, unsigned code, uint64_t keys) {
    enum { MANY = ORR_KV_KEYS_MAX, TIMES = 20, PAIR = 2 };
    static char names[MANY][24], value[VALUE];
    static struct orr_slice args[PAIR * MANY];
    int64_t took[TIMES];
    size_t step = code == ORR_KV_MSET ? PAIR : 1, cap = (size_t)MANY * 128;
    unsigned char *bytes = malloc(cap);
    for (int t = 0; t < TIMES; t++) {
        for (size_t i = 0; i < MANY; i++) {
            size_t size = (size_t)snprintf(names[i], sizeof names[i], "key:%012llu",
                                           (unsigned long long)orri_rng_below(&rng, keys));
            args[i * step] = orr_borrow(names[i], size);
            if (step == PAIR) args[i * step + 1] = orr_borrow(value, sizeof value);
        }
        struct orr_kv_call call = { .code = code, .args = args, .n_args = MANY * step };
        struct orr_slice op = orr_borrow(bytes, orr_kv_encode(bytes, cap, &call));
        if (op.size == 0) exit(1);
        int64_t begin = now_ns();
        at.index++;
        if ((code < 64 ? kv->apply : kv->query)(machine, &at, op, &sink) < 0) exit(1);
        took[t] = now_ns() - begin;
    }
    told(what, took, TIMES);
    free(bytes);
}

int main(int argc, char **argv) {
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    struct orr_machine_config cfg = { 7, &orr_alloc_libc, orr_chunks_new(&orr_alloc_libc), NULL,
                                      { NULL, NULL } };
    struct orr_machine_stats stats;
    orri_rng_init(&rng, 1);
    if (keys < SMALL || kv->create(&machine, &cfg) < 0) return 2;
    for (uint64_t i = 0; i < SMALL; i++) one(ORR_KV_SET, i);
    double copy = limit(SMALL, 2000000), set = cost(ORR_KV_SET, SMALL, 2000000, false),
           get = cost(ORR_KV_GET, SMALL, 2000000, false);
    printf("%d keys of %d bytes: SET %.0f ns, GET %.0f ns; a copy to a random place %.0f ns (ratios %.1f, %.1f)\n",
           SMALL, VALUE, set, get, copy, set / copy, get / copy);
    printf("%-34s SET %.0f ns, GET %.0f ns\n", "fetched ahead", cost(ORR_KV_SET, SMALL, 2000000, true),
           cost(ORR_KV_GET, SMALL, 2000000, true));
    each("SET, the table growing", ORR_KV_SET, keys);
    kv->stats(machine, &stats);
    printf("%-34s       %8.1f MB, %.0f bytes a key\n", "memory", (double)stats.bytes / 1e6,
           (double)stats.bytes / (double)stats.keys);
    printf("%-34s SET %.0f ns, GET %.0f ns\n", "at that size", cost(ORR_KV_SET, keys, 1000000, false),
           cost(ORR_KV_GET, keys, 1000000, false));
    printf("%-34s SET %.0f ns, GET %.0f ns\n", "fetched ahead", cost(ORR_KV_SET, keys, 1000000, true),
           cost(ORR_KV_GET, keys, 1000000, true));
    snapshot(keys);
    widest("MSET of as many keys as may be", ORR_KV_MSET, keys);
    widest("MGET of as many", ORR_KV_MGET, keys);
    widest("EXISTS of as many", ORR_KV_COUNT, keys);
    widest("DEL of as many", ORR_KV_DEL, keys);
    each("DEL, the table shrinking", ORR_KV_DEL, keys);
    kv->destroy(machine);
    orr_chunks_free(cfg.chunks);
    return 0;
}
