/* ring.c - hash rings: look-ups beside a bare jump table over as many points and beside libmemcached's ketama, in our
 * own hash and in ketama's; time to build, bytes. Rounds take turns and the best of each counts.
 * (spec/bench/ring.sh) */
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <orrery/ring.h>

enum { KEYS = 1 << 20, TABLE = 1 << 16, POINTS = 16000, NODES = 100, ROUNDS = 5 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t bytes;
static void *counted(void *ud, void *p, size_t old_size, size_t new_size) {
    bytes += new_size - old_size;
    return orr_alloc_libc.fn(ud, p, old_size, new_size);
}

static struct orr_ring *build(uint32_t n, enum orr_ring_hash hash, double *took) {
    static char ids[10000][16];
    static struct orr_ring_node nodes[10000];
    struct orr_ring_config cfg;
    struct orr_ring *ring = NULL;
    for (uint32_t i = 0; i < n; i++) {
        snprintf(ids[i], sizeof ids[i], "node%05u", i);
        nodes[i] = (struct orr_ring_node){ .id = ids[i] };
    }
    orr_ring_config_init(&cfg);
    cfg.alloc.fn = counted;
    cfg.hash = hash;
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        orr_ring_free(ring);
        bytes = 0;
        double t = now();
        if (orr_ring_new(&ring, &cfg, nodes, n, NULL) < 0) exit(2);
        t = now() - t;
        best = t < best ? t : best;
    }
    *took = best;
    return ring;
}

/* The limit: as many points, another cheap hash, a table by its upper 16 bits, a step or two; all in one loop. */
static uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ unsigned __int128 r = (unsigned __int128)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}
static uint64_t cheap(const char *key) {
    uint64_t a, b;
    memcpy(&a, key, 8);
    memcpy(&b, key + 8, 8);
    return mix(mix(a ^ 0x9e3779b97f4a7c15u, b ^ 0xe7037ed1a0b428dbu), 0x8ebc6af09c88c6e3u);
}
static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}
static double table_alone(const char *keys, double seconds, uint64_t *sum) {
    static uint64_t points[POINTS + 1];
    static uint16_t first[TABLE], owner[POINTS + 1];
    for (unsigned i = 0; i < POINTS; i++) points[i] = mix(i + 1, 0x9e3779b97f4a7c15u) * 0xe7037ed1a0b428dbu;
    qsort(points, POINTS, sizeof *points, by_size);
    points[POINTS] = UINT64_MAX;
    for (unsigned i = 0; i < POINTS; i++) owner[i] = (uint16_t)(i * 40503u % 100);
    for (unsigned b = 0, i = 0; b < TABLE; b++) {
        while (i < POINTS && points[i] < (uint64_t)b << 48) i++;
        first[b] = (uint16_t)i;
    }
    uint64_t n = 0;
    double t0 = now(), t = t0;
    for (; t - t0 < seconds; t = now()) {
        for (int k = 0; k < 4096; k++, n++) {
            uint64_t place = cheap(keys + n % KEYS * 16);
            unsigned i = first[place >> 48];
            while (points[i] < place) i++;
            *sum += owner[i];
        }
    }
    return (double)n / (t - t0);
}

static double look_ups(const struct orr_ring *r, const char *keys, double seconds, uint64_t *sum) {
    uint64_t n = 0;
    double t0 = now(), t = t0;
    for (; t - t0 < seconds; t = now())
        for (int i = 0; i < 4096; i++, n++) *sum += orr_ring_owner(r, keys + n % KEYS * 16, 16);
    return (double)n / (t - t0);
}

/* -- libmemcached's ------------------------------------------------------------------------------------------------ */
static memcached_st *ketama(double *took) {
    memcached_st *m = memcached_create(NULL);
    memcached_server_list_st list = NULL;
    memcached_return_t rc = MEMCACHED_SUCCESS;
    memcached_behavior_set(m, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_MD5);
    memcached_behavior_set(m, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    double t = now();
    for (uint32_t i = 0; i < NODES && rc == MEMCACHED_SUCCESS; i++) {
        char name[16];
        snprintf(name, sizeof name, "node%05u", i);
        list = memcached_server_list_append_with_weight(list, name, 11211, 1, &rc);
    }
    if (rc != MEMCACHED_SUCCESS || memcached_server_push(m, list) != MEMCACHED_SUCCESS) exit(2);
    *took = now() - t;
    memcached_server_list_free(list);
    return m;
}

static double their_look_ups(const memcached_st *m, const char *keys, double seconds, uint64_t *sum) {
    uint64_t n = 0;
    double t0 = now(), t = t0;
    for (; t - t0 < seconds; t = now())
        for (int i = 0; i < 4096; i++, n++) *sum += memcached_generate_hash(m, keys + n % KEYS * 16, 16);
    return (double)n / (t - t0);
}

/* ------------------------------------------------------------------------------------------------------------------ */
static int missed;
static const char *met(bool good) {
    missed |= !good;
    return good ? "met" : "MISSED";
}

static void keep_best(double *best, double now_seen) { *best = now_seen > *best ? now_seen : *best; }

static void compare(const char *keys, double seconds, uint64_t *sum) {
    double took, took_ketama, took_theirs, table = 0, ours = 0, ours_ketama = 0, theirs = 0;
    struct orr_ring *k = build(NODES, ORR_RING_KETAMA, &took_ketama), *r = build(NODES, ORR_RING_XXH3, &took);
    memcached_st *m = ketama(&took_theirs);
    for (int round = 0; round < ROUNDS; round++) {
        keep_best(&table, table_alone(keys, seconds / ROUNDS, sum));
        keep_best(&ours, look_ups(r, keys, seconds / ROUNDS, sum));
        keep_best(&theirs, their_look_ups(m, keys, seconds / ROUNDS, sum));
        keep_best(&ours_ketama, look_ups(k, keys, seconds / ROUNDS, sum));
    }
    printf("100 nodes, 16-byte keys: %.1f million look-ups a second, %.2f of a bare table's %.1f (at least 0.3: %s)\n",
           ours / 1e6, ours / table, table / 1e6, met(ours >= 0.3 * table));
    printf("and %.1f times libmemcached's ketama, %.2f million a second (at least 10: %s)\n", ours / theirs,
           theirs / 1e6, met(ours >= 10 * theirs));
    printf("hash = ketama: %.2f million a second, %.2f times libmemcached's\n", ours_ketama / 1e6,
           ours_ketama / theirs);
    printf("100 nodes built in %.2f ms, %.1f KiB (under 2 ms: %s)\n", took * 1e3, (double)bytes / 1024,
           met(took < 2e-3));
    printf("hash = ketama: built in %.2f ms, libmemcached's in %.2f\n", took_ketama * 1e3, took_theirs * 1e3);
    orr_ring_free(r);
    orr_ring_free(k);
    memcached_free(m);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 1, took;
    char *keys = malloc((size_t)KEYS * 16);
    uint64_t x = 88172645463325252u, sum = 0;
    if (!keys || seconds <= 0) return 2;
    for (size_t i = 0; i < (size_t)KEYS * 16; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        keys[i] = "0123456789abcdef"[x >> 60];
    }
    compare(keys, seconds, &sum);
    struct orr_ring *r = build(10000, ORR_RING_XXH3, &took);
    printf("10,000 nodes built in %.1f ms, %.1f MiB (under 400 ms and 64 MiB: %s)\n", took * 1e3,
           (double)bytes / (1 << 20), met(took < 0.4 && bytes < 64 << 20));
    orr_ring_free(r);
    free(keys);
    return missed || sum == 42;
}
