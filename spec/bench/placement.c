/* placement.c - the policies beside each other: balance, movement, memory, time: [--report]
 *
 * For each policy and number of nodes, all of weight 1:
 *
 *   max/mean, sd      the fullest node's share of all keys and the standard deviation of shares, in parts of the mean;
 *                     by design, as very many keys would show them
 *   seen              the fullest of KEYS random keys: with few keys a node, chance too
 *   +1, -1, inside    what moves when a node comes at the end, goes there, goes in the middle: the fraction of keys, in
 *                     parts of the least that must for the shares to be the new ones
 *   memory, build     bytes that are held; the best of three
 *   look-up           of a random 16-byte key; the best of three
 *
 * Without --report a hundred nodes alone. Exit 1 where a policy isn't what it is for: see bars(). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <orrery/placement.h>

enum { KEYS = 1 << 20, NODES = 1001, ROUNDS = 3 };

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

static const struct policy {
    const char *name;
    enum orr_placement_policy policy;
    enum orr_ring_hash hash;
} policies[] = {
    { "ring", ORR_PLACEMENT_RING, ORR_RING_XXH3 },         { "ring, ketama", ORR_PLACEMENT_RING, ORR_RING_KETAMA },
    { "ring, nginx", ORR_PLACEMENT_RING, ORR_RING_NGINX }, { "jump", ORR_PLACEMENT_JUMP, ORR_RING_XXH3 },
    { "rendezvous", ORR_PLACEMENT_RENDEZVOUS, ORR_RING_XXH3 }, { "maglev", ORR_PLACEMENT_MAGLEV, ORR_RING_XXH3 },
    { "multiprobe", ORR_PLACEMENT_MULTIPROBE, ORR_RING_XXH3 },
};

struct row {
    double most, deviation, seen, more, less, inside, build, look_up;
    size_t bytes;
};

static char keys[KEYS][16];
static char ids[NODES][16];

static void draw_keys(void) {
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < sizeof keys; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        keys[i / 16][i % 16] = "0123456789abcdef"[x >> 60];
    }
}

/* n nodes; but the one at `without`. */
static struct orr_placement *build(const struct policy *policy, uint32_t n, uint32_t without) {
    static struct orr_ring_node nodes[NODES];
    struct orr_placement_config cfg;
    struct orr_placement *p;
    size_t have = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i != without) nodes[have++] = (struct orr_ring_node){ .id = ids[i] };
    }
    orr_placement_config_init(&cfg);
    cfg.policy = policy->policy;
    cfg.hash = policy->hash;
    cfg.slots = n > 655 ? 655373 : 65537;           /* the paper's two sizes: a hundred slots a node, and more */
    cfg.alloc.fn = counted;
    if (orr_placement_new(&p, &cfg, nodes, have, NULL) == 0) return p;
    fprintf(stderr, "placement: no %s of %zu nodes\n", policy->name, have);
    exit(2);
}

static double moved_of(const struct orr_placement *a, const struct policy *policy, uint32_t n, uint32_t without) {
    struct orr_placement *b = build(policy, n, without);
    double least, moved = orr_placement_moved(a, b, &least);
    orr_placement_free(b);
    return moved / least;
}

static void balance(const struct orr_placement *p, uint32_t n, struct row *out) {
    double squares = 0;
    out->most = 0;
    for (uint32_t i = 0; i < n; i++) {
        double part = orr_placement_share(p, i) * n;
        out->most = part > out->most ? part : out->most;
        squares += (part - 1) * (part - 1);
    }
    out->deviation = sqrt(squares / n);
}

/* Each round, so many keys that it takes a while. */
static void look_up(const struct orr_placement *p, uint32_t n, struct row *out) {
    static uint32_t counts[NODES];
    uint32_t most = 0;
    out->look_up = 1e9;
    memset(counts, 0, sizeof counts);
    for (int round = 0; round < ROUNDS; round++) {
        double t = now();
        for (size_t i = 0; i < KEYS; i++) counts[orr_placement_owner(p, keys[i], 16)]++;
        t = (now() - t) / KEYS;
        out->look_up = t < out->look_up ? t : out->look_up;
    }
    for (uint32_t i = 0; i < n; i++) most = counts[i] > most ? counts[i] : most;
    out->seen = (double)most * n / ROUNDS / KEYS;
}

static struct row measure(const struct policy *policy, uint32_t n) {
    struct row out = { .build = 1e9 };
    struct orr_placement *p = NULL;
    for (int round = 0; round < ROUNDS; round++) {
        orr_placement_free(p);
        bytes = 0;
        double t = now();
        p = build(policy, n, UINT32_MAX);
        t = now() - t;
        out.build = t < out.build ? t : out.build;
    }
    out.bytes = bytes;
    balance(p, n, &out);
    look_up(p, n, &out);
    out.more = moved_of(p, policy, n + 1, UINT32_MAX);
    out.less = moved_of(p, policy, n, n - 1);
    out.inside = moved_of(p, policy, n, n / 2);
    orr_placement_free(p);
    return out;
}

static void print(const struct policy *policy, uint32_t n, const struct row *r) {
    printf("%-13s %5u  %8.3f %6.3f %6.3f  %5.2f %5.2f %6.2f  %8.1f KiB %8.3f ms %8.1f ns\n", policy->name, n, r->most,
           r->deviation, r->seen, r->more, r->less, r->inside, (double)r->bytes / 1024, r->build * 1e3,
           r->look_up * 1e9);
}

static int missed;
static void bar(const struct policy *policy, uint32_t n, const char *what, double got, double limit) {
    if (got <= limit) return;
    printf("%s, %u nodes: %s is %.3f, at most %.3f: MISSED\n", policy->name, n, what, got, limit);
    missed = 1;
}

/* What each is taken for: the fewest moves (to the noise of 65,536 keys, of which a thousandth moves), balance.
 * Ketama's moves are libmemcached's: where its floats give all nodes 156 points each and with one more 160, others
 * move, too. */
static void bars(const struct policy *policy, uint32_t n, const struct row *r) {
    double noise = 1 + 5 * sqrt((double)n / 65536);
    bool table = policy->policy == ORR_PLACEMENT_MAGLEV, jump = policy->policy == ORR_PLACEMENT_JUMP;
    bar(policy, n, "max/mean", r->most, table || jump || policy->policy == ORR_PLACEMENT_RENDEZVOUS ? 1.02 :
        policy->policy == ORR_PLACEMENT_MULTIPROBE ? 1.12 : 1.5);
    if (policy->hash == ORR_RING_KETAMA) return;
    bar(policy, n, "what moves with one more node", r->more, table ? 5 : noise);
    bar(policy, n, "what moves with one less", r->less, table ? 5 : noise);
    if (!jump) bar(policy, n, "what moves without one inside", r->inside, table ? 5 : noise);
}

int main(int argc, char **argv) {
    static const uint32_t sizes[] = { 10, 100, 1000 };
    bool report = argc > 1 && strcmp(argv[1], "--report") == 0;
    if (argc > 2 || (argc > 1 && !report)) {
        fprintf(stderr, "usage: placement [--report]\n");
        return 2;
    }
    draw_keys();
    for (uint32_t i = 0; i < NODES; i++) snprintf(ids[i], sizeof ids[i], "node%05u", i);
    printf("%-13s %5s  %8s %6s %6s  %5s %5s %6s  %12s %11s %11s\n", "policy", "nodes", "max/mean", "sd", "seen", "+1",
           "-1", "inside", "memory", "build", "look-up");
    for (size_t s = 0; s < 3; s++) {
        for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
            if (!report && sizes[s] != 100) continue;
            struct row r = measure(&policies[i], sizes[s]);
            print(&policies[i], sizes[s], &r);
            bars(&policies[i], sizes[s], &r);
        }
    }
    printf("bars: %s\n", missed ? "MISSED" : "met");
    return missed;
}
