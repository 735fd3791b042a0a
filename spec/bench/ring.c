/* ring.c - hash rings: look-ups beside a bare jump table over as many points, time to build, bytes: [SECONDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <orrery/ring.h>

enum { KEYS = 1 << 20, TABLE = 1 << 16, POINTS = 16000 };

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

static struct orr_ring *build(uint32_t n, double *took) {
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
    struct orr_ring *r = build(100, &took);
    double table = table_alone(keys, seconds, &sum), ours = look_ups(r, keys, seconds, &sum);
    printf("100 nodes, 16-byte keys: %.1f million look-ups a second, %.2f of a bare table's %.1f (at least 0.3: %s)\n",
           ours / 1e6, ours / table, table / 1e6, ours >= 0.3 * table ? "met" : "MISSED");
    printf("100 nodes built in %.2f ms, %.1f KiB\n", took * 1e3, (double)bytes / 1024);
    orr_ring_free(r);
    r = build(10000, &took);
    printf("10,000 nodes built in %.1f ms, %.1f MiB\n", took * 1e3, (double)bytes / (1 << 20));
    orr_ring_free(r);
    free(keys);
    return sum == 42;
}
