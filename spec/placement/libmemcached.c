/* libmemcached.c - the owners of 120,000 keys by orr_ring's ketama modes and by libmemcached itself, for lists of
 * servers of many sizes, with weights and without. Each list is given to it sorted by host, as orr_ring sorts it, so
 * that points in common have the same owner; it takes a hundred servers at most. Then of every number of servers up to
 * there, for shares are rounded in floats. A line for each list; the closing one as stages want it.
 * (spec/stages/48-placement.sh) */
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orrery/ring.h>

enum { KEYS = 120000, KEYS_EACH = 4000, SERVERS = 100 };

struct list {
    const char *about;
    size_t n;
    const char *form;               /* of an id, by its number */
    unsigned port;                  /* the first one's; 0: sockets */
    bool ports_differ, named_port;
    const uint32_t *weights;        /* again and again; NULL: none, and KETAMA alone is asked for too */
    size_t n_weights;
};

static const uint32_t small[] = { 1, 2, 3, 1, 5 }, megabytes[] = { 64, 4096, 1024, 512, 3000, 100000 };
static const uint32_t light[] = { 1, 1000, 999, 1000, 4000000000u }, primes[] = { 7, 11, 13, 17, 19, 23, 29 };
static const struct list lists[] = {
    { "one server", 1, "10.0.0.%03zu", 11211, false, false, NULL, 0 },
    { "three servers", 3, "10.0.0.%03zu", 11211, false, false, NULL, 0 },
    { "three servers, whose usual port is named", 3, "10.0.0.%03zu", 11211, false, true, NULL, 0 },
    { "seven, another port", 7, "cache%03zu.example", 11311, false, true, NULL, 0 },
    { "twenty, each another port", 20, "10.0.1.%03zu", 12000, true, true, NULL, 0 },
    { "sockets", 5, "/run/memcached/%03zu.sock", 0, false, false, NULL, 0 },
    { "a hundred", 100, "node%03zu", 11211, false, false, NULL, 0 },
    { "ninety-nine", 99, "n%03zu", 11211, false, false, NULL, 0 },
    { "four of different weights", 4, "10.0.0.%03zu", 11211, false, false, small, 5 },
    { "six by their megabytes", 6, "10.0.0.%03zu", 11212, false, true, megabytes, 6 },
    { "fifty by their megabytes", 50, "node%03zu", 11211, false, false, megabytes, 6 },
    { "five, one with next to all", 5, "node%03zu", 11211, false, false, light, 5 },
    { "thirty-one by primes", 31, "10.1.0.%03zu", 11000, true, true, primes, 7 },
    { "a hundred by primes", 100, "node%03zu", 11211, false, false, primes, 7 },
};

static char ids[SERVERS][64];
static struct orr_ring_node nodes[SERVERS];

static memcached_st *theirs(const struct list *l, bool weighted) {
    memcached_st *m = memcached_create(NULL);
    memcached_return_t rc = MEMCACHED_SUCCESS;
    for (size_t i = 0; i < l->n && rc == MEMCACHED_SUCCESS; i++) {
        char host[64];
        snprintf(host, sizeof host, l->form, i);
        uint32_t weight = l->weights ? l->weights[i % l->n_weights] : 1;
        in_port_t port = (in_port_t)(l->port + (l->ports_differ ? i : 0));
        rc = l->port ? memcached_server_add_with_weight(m, host, port, weight)
                     : memcached_server_add_unix_socket_with_weight(m, host, weight);
    }
    if (rc != MEMCACHED_SUCCESS || memcached_server_count(m) != l->n) {
        fprintf(stderr, "libmemcached takes no list like that: %s\n", memcached_strerror(m, rc));
        exit(2);
    }
    memcached_behavior_set(m, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_MD5);
    memcached_behavior_set(m, MEMCACHED_BEHAVIOR_KETAMA, 1);        /* last: each server would make all points anew */
    if (weighted) memcached_behavior_set(m, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    return m;
}

static struct orr_ring *ours(const struct list *l, enum orr_ring_hash hash) {
    struct orr_ring_config cfg;
    struct orr_ring *ring;
    for (size_t i = 0; i < l->n; i++) {
        int size = snprintf(ids[i], sizeof ids[i], l->form, i);
        if (l->named_port)
            snprintf(ids[i] + size, sizeof ids[i] - (size_t)size, ":%zu", l->port + (l->ports_differ ? i : 0));
        nodes[l->n - 1 - i] = (struct orr_ring_node){ .id = ids[i],
                                                      .weight = l->weights ? l->weights[i % l->n_weights] : 1 };
    }
    orr_ring_config_init(&cfg);
    cfg.hash = hash;
    if (orr_ring_new(&ring, &cfg, nodes, l->n, NULL) == 0) return ring;
    fprintf(stderr, "no ring of %s\n", l->about);
    exit(2);
}

static uint64_t chance = 88172645463325252u;
static size_t draw_key(char *key, size_t i) {
    if (i % 3 == 0) return (size_t)snprintf(key, 64, "user:%zu", i);
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (size_t)snprintf(key, 64, i % 3 == 1 ? "%016llx" : "session/%llu/of/some/length",
                            (unsigned long long)chance);
}

static unsigned others_of(const struct list *l, enum orr_ring_hash hash, size_t keys) {
    memcached_st *m = theirs(l, hash == ORR_RING_KETAMA);
    struct orr_ring *ring = ours(l, hash);
    unsigned others = 0;
    char key[64];
    for (size_t i = 0; i < keys; i++) {
        size_t size = draw_key(key, i);
        uint32_t at = memcached_generate_hash(m, key, size);
        const char *id = orr_ring_id(ring, orr_ring_owner(ring, key, size));
        if (strcmp(id, ids[at]) == 0) continue;
        if (others++ == 0) printf("key %s: %s by libmemcached, %s by us\n", key, ids[at], id);
    }
    orr_ring_free(ring);
    memcached_free(m);
    return others;
}

static unsigned compare(const struct list *l, enum orr_ring_hash hash) {
    unsigned others = others_of(l, hash, KEYS);
    printf("%s: %s, %s: %d keys, %u with another owner\n", others ? "not ok" : "ok", l->about,
           hash == ORR_RING_KETAMA ? "KETAMA_WEIGHTED" : "KETAMA", KEYS, others);
    return others > 0;
}

static unsigned compare_all_sizes(const char *about, const uint32_t *weights, size_t n_weights) {
    unsigned others = 0;
    for (size_t n = 1; n <= SERVERS; n++) {
        struct list l = { about, n, "cache%03zu", 11211, false, false, weights, n_weights };
        others += others_of(&l, ORR_RING_KETAMA, KEYS_EACH);
    }
    printf("%s: 1 to %d servers, %s: %d keys each, %u with another owner\n", others ? "not ok" : "ok", SERVERS, about,
           KEYS_EACH, others);
    return others > 0;
}

int main(void) {
    unsigned passed = 0, failed = 0;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        unsigned bad = compare(&lists[i], ORR_RING_KETAMA), runs = 1;
        if (!lists[i].weights) {
            bad += compare(&lists[i], ORR_RING_KETAMA_UNWEIGHTED);
            runs++;
        }
        failed += bad;
        passed += runs - bad;
    }
    unsigned bad = compare_all_sizes("of one weight", NULL, 0) + compare_all_sizes("by primes", primes, 7);
    failed += bad;
    passed += 2 - bad;
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
