/* ring_hash.c - the points and keys of other programs' rings, to the last key:
 *
 *   libmemcached 1.1  hosts.cc, update_continuum: the MD5 of "host-K", or "host:port-K" where the port is not 11211,
 *                     gives four points; floor(weight / all weights * 160 / 4 * servers + 1e-10) digests, in floats;
 *                     unweighted 100 digests and one point of each. A Unix socket is a host with port 0.
 *   libketama         ketama.c, ketama_create_continuum: the same but always "address-K" as it was given, and
 *                     floor(weight / all weights * 40 * servers) digests, in doubles rounded to a float.
 *   nginx             ngx_http_upstream_hash_module.c, init_chash: the CRC-32 of host, a zero byte, port, and the
 *                     point before in four bytes, the lowest first; 160 points times the weight. The port is what
 *                     stands behind the last colon if that is digits alone, as written: nobody adds a port of 80.
 *
 * Keys are MD5's first word, and CRC-32. What equal points do: ring.c. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "placement/ring_inner.h"

enum { POINTS = 160, POINTS_UNWEIGHTED = 100, NAME_MAX_SIZE = ORR_RING_ID_MAX + 16 };

double orri_ring_weight_max(enum orr_ring_hash hash) {
    switch (hash) {
    case ORR_RING_KETAMA:
    case ORR_RING_LIBKETAMA: return UINT32_MAX;                 /* often megabytes; only their ratio counts */
    case ORR_RING_KETAMA_UNWEIGHTED: return 1;
    case ORR_RING_NGINX:
    case ORR_RING_XXH3: break;
    }
    return ORR_RING_WEIGHT_MAX;
}

/* -- Names --------------------------------------------------------------------------------------------------------- */
static size_t name_for_libmemcached(const char *id, char *out) {
    static const char usual[] = ":11211";
    size_t size = strlen(id);
    if (*id == '/') return (size_t)snprintf(out, NAME_MAX_SIZE, "%s:0", id);
    if (size >= sizeof usual && strcmp(id + size - (sizeof usual - 1), usual) == 0) size -= sizeof usual - 1;
    memcpy(out, id, size);
    return size;
}

static size_t name_for_nginx(const char *id, char *out) {
    size_t size = strlen(id), digits = 0;
    if (strncasecmp(id, "unix:", 5) == 0) {
        memcpy(out, id + 5, size - 5 + 1);
        return size - 5 + 1;
    }
    while (digits < size && id[size - digits - 1] >= '0' && id[size - digits - 1] <= '9') digits++;
    memcpy(out, id, size + 1);
    if (digits == size || id[size - digits - 1] != ':') return size + 1;
    out[size - digits - 1] = '\0';
    return size;
}

/* What of a node's id is hashed, into NAME_MAX_SIZE bytes. */
static size_t name_of(const struct orr_ring *r, uint32_t node, char *out) {
    const char *id = r->m.nodes[node].id;
    if (r->hash == ORR_RING_NGINX) return name_for_nginx(id, out);
    if (r->hash != ORR_RING_LIBKETAMA) return name_for_libmemcached(id, out);
    memcpy(out, id, strlen(id));
    return strlen(id);
}

/* table: by the names' hashes, a node's number and 1. */
static uint32_t first_alias(const struct orr_ring *r, uint32_t *table, uint32_t mask) {
    char ours[NAME_MAX_SIZE], other[NAME_MAX_SIZE];
    for (uint32_t i = 0; i < r->m.n; i++) {
        size_t size = name_of(r, i, ours);
        uint32_t at = (uint32_t)XXH3_64bits(ours, size) & mask;
        for (; table[at]; at = (at + 1) & mask) {
            if (name_of(r, table[at] - 1, other) == size && memcmp(other, ours, size) == 0) return i;
        }
        table[at] = i + 1;
    }
    return ORR_RING_NOBODY;
}

int orri_ring_aliases(const struct orr_ring *r, uint32_t *second) {
    uint32_t cap = 2;
    while (cap < 2 * r->m.n) cap *= 2;
    uint32_t *table = orri_get(&r->m.alloc, cap, sizeof *table);
    if (!table) return -ENOMEM;
    memset(table, 0, cap * sizeof *table);
    *second = first_alias(r, table, cap - 1);
    orri_give_back(&r->m.alloc, table, cap, sizeof *table);
    return 0;
}

/* -- Points -------------------------------------------------------------------------------------------------------- */
uint32_t orri_ring_foreign_points(const struct orr_ring *r, uint32_t node, double all_weights) {
    float part = (float)r->m.nodes[node].weight / (float)all_weights;
    if (r->hash == ORR_RING_NGINX) return POINTS * (uint32_t)r->m.nodes[node].weight;
    if (r->hash == ORR_RING_KETAMA_UNWEIGHTED) return POINTS_UNWEIGHTED;
    if (r->hash == ORR_RING_LIBKETAMA) {
        float digests = (float)((double)part * 40.0 * (double)(float)r->m.n);
        return (uint32_t)digests * 4;
    }
    float digests = part * (float)POINTS;
    digests = digests / 4;
    digests = digests * (float)r->m.n;
    digests = digests + 0.0000000001F;
    return (uint32_t)digests * 4;
}

static void by_md5(const struct orr_ring *r, char *name, size_t size, uint32_t n, uint64_t *to) {
    unsigned char digest[16];
    uint32_t each = r->hash == ORR_RING_KETAMA_UNWEIGHTED ? 1 : 4;
    for (uint32_t k = 0; k < n / each; k++) {
        int more = snprintf(name + size, NAME_MAX_SIZE - size, "-%u", k);
        orri_md5(name, size + (size_t)more, digest);
        for (uint32_t word = 0; word < each; word++) *to++ = ORRI_RING_POINT(orri_md5_word(digest, word));
    }
}

static void by_crc32(const char *name, size_t size, uint32_t n, uint64_t *to) {
    uint32_t base = orri_crc32(0, name, size), point = 0;
    for (uint32_t k = 0; k < n; k++) {
        const unsigned char before[4] = { (unsigned char)point, (unsigned char)(point >> 8),
                                          (unsigned char)(point >> 16), (unsigned char)(point >> 24) };
        point = orri_crc32(base, before, sizeof before);
        *to++ = ORRI_RING_POINT(point);
    }
}

void orri_ring_foreign_places(const struct orr_ring *r, uint32_t node, uint32_t n, uint64_t *to) {
    char name[NAME_MAX_SIZE];
    size_t size = name_of(r, node, name);
    if (r->hash == ORR_RING_NGINX) by_crc32(name, size, n, to);
    else by_md5(r, name, size, n, to);
}

/* -- Keys ---------------------------------------------------------------------------------------------------------- */
uint64_t orri_ring_foreign_place(enum orr_ring_hash hash, const void *key, size_t size) {
    unsigned char digest[16];
    if (hash == ORR_RING_NGINX) return (uint64_t)orri_crc32(0, key, size) << 32;
    orri_md5(key, size, digest);
    return (uint64_t)orri_md5_word(digest, 0) << 32;
}
