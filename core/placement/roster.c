/* roster.c - the nodes of a placement: what is given is checked, copied and sorted by id, so that nothing follows from
 * the order of arrival; and which of them fail together, level by level of their zones. */
#define XXH_INLINE_ALL
#include "placement/roster.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

void orri_roster_free(struct orri_roster *m) {
    orri_give_back(&m->alloc, m->nodes, m->n, sizeof *m->nodes);
    orri_give_back(&m->alloc, m->text, m->text_size, 1);
}

/* -- Taking them --------------------------------------------------------------------------------------------------- */
static double weight_of(const struct orr_ring_node *n) {
    return isnan(n->weight) || n->weight > 0 || n->weight < 0 ? n->weight : 1;
}

static bool sound(const struct orr_ring_node *n, double weight_max, bool whole) {
    size_t size = n->id ? strnlen(n->id, ORR_RING_ID_MAX + 1) : 0;
    double w = weight_of(n);
    if (size == 0 || size > ORR_RING_ID_MAX || !(w > 0 && w <= weight_max)) return false;   /* no number is neither */
    return !whole || w - (double)(uint64_t)w <= 0;
}

static const char *copy(struct orri_roster *m, size_t *used, const char *text) {
    size_t size = strlen(text) + 1;
    char *to = memcpy(m->text + *used, text, size);
    *used += size;
    return to;
}

static int copy_text(struct orri_roster *m, const struct orr_ring_node *nodes) {
    size_t used = 0;
    for (uint32_t i = 0; i < m->n; i++)
        m->text_size += strlen(nodes[i].id) + 1 + (nodes[i].zone ? strlen(nodes[i].zone) : 0) + 1;
    m->text = orri_get(&m->alloc, m->text_size, 1);
    if (!m->text) return -ENOMEM;
    for (uint32_t i = 0; i < m->n; i++) {
        m->nodes[i].id = copy(m, &used, nodes[i].id);
        m->nodes[i].zone = copy(m, &used, nodes[i].zone ? nodes[i].zone : "");
        m->nodes[i].weight = weight_of(&nodes[i]);
    }
    return 0;
}

/* A heap sort: of any order in, the same time. */
static void sift(struct orri_listed *a, size_t at, size_t n) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && strcmp(a[child].id, a[child + 1].id) < 0) child++;
        if (strcmp(a[at].id, a[child].id) >= 0) return;
        struct orri_listed other = a[at];
        a[at] = a[child];
        a[child] = other;
    }
}
static void sort_by_id(struct orri_listed *a, size_t n) {
    for (size_t i = n / 2; i-- > 0;) sift(a, i, n);
    for (size_t i = n; i-- > 1;) {
        struct orri_listed last = a[i];
        a[i] = a[0];
        a[0] = last;
        sift(a, 0, i);
    }
}

size_t orri_roster_given(const struct orr_ring_node *nodes, size_t n, const char *id) {
    while (n-- > 0 && strcmp(nodes[n].id, id) != 0) {}
    return n;
}

/* -- Zones --------------------------------------------------------------------------------------------------------- */
/* How long the part of a zone is that names its domain on that level; 0: it has none. */
static size_t prefix(const char *zone, uint32_t level) {
    const char *at = zone;
    for (uint32_t l = 0; *at; l++) {
        size_t size = strcspn(at, "/");
        if (size == 0) return 0;
        if (l == level) return (size_t)(at - zone) + size;
        at += size;
        if (*at) at++;
    }
    return 0;
}

/* The first node, up to i, in i's domain. table: by the domain's hash, a node's number and 1. */
static uint32_t domain_of(const struct orri_roster *m, uint32_t level, uint32_t i, uint32_t *table, uint32_t mask) {
    const char *zone = m->nodes[i].zone;
    size_t size = prefix(zone, level);
    if (size == 0) return i;
    uint32_t at = (uint32_t)XXH3_64bits(zone, size) & mask;
    for (; table[at]; at = (at + 1) & mask) {
        const char *other = m->nodes[table[at] - 1].zone;
        if (prefix(other, level) == size && memcmp(other, zone, size) == 0) return table[at] - 1;
    }
    table[at] = i + 1;
    return i;
}

static int name_domains(struct orri_roster *m) {
    uint32_t cap = 2;
    while (cap < 2 * m->n) cap *= 2;
    uint32_t *table = orri_get(&m->alloc, cap, sizeof *table);
    if (!table) return -ENOMEM;
    for (uint32_t level = 0; level < ORR_RING_LEVELS_MAX; level++) {
        memset(table, 0, cap * sizeof *table);
        for (uint32_t i = 0; i < m->n; i++) {
            uint32_t domain = domain_of(m, level, i, table, cap - 1);
            m->nodes[i].domains[level] = domain;
            m->domains[level] += domain == i;
            if (prefix(m->nodes[i].zone, level) > 0) m->levels = level + 1;
        }
    }
    orri_give_back(&m->alloc, table, cap, sizeof *table);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------------ */
int orri_roster_take(struct orri_roster *m, const struct orr_ring_node *nodes, size_t n, double weight_max,
                      bool whole, size_t *wrong) {
    *wrong = SIZE_MAX;
    if (n == 0 || n > ORR_RING_NODES_MAX) return ORR_EINVALID;
    for (size_t i = 0; i < n; i++) {
        if (sound(&nodes[i], weight_max, whole)) continue;
        *wrong = i;
        return ORR_EINVALID;
    }
    m->nodes = orri_get(&m->alloc, n, sizeof *m->nodes);
    if (!m->nodes) return -ENOMEM;
    memset(m->nodes, 0, n * sizeof *m->nodes);
    m->n = (uint32_t)n;
    int rc = copy_text(m, nodes);
    if (rc < 0) return rc;
    sort_by_id(m->nodes, m->n);
    for (uint32_t i = 1; i < m->n; i++) {
        if (strcmp(m->nodes[i - 1].id, m->nodes[i].id) != 0) continue;
        *wrong = orri_roster_given(nodes, n, m->nodes[i].id);
        return ORR_EINVALID;
    }
    return name_domains(m);
}

/* -- What is asked ------------------------------------------------------------------------------------------------- */
uint32_t orri_roster_find(const struct orri_roster *m, const char *id) {
    uint32_t from = 0, to = m->n;
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        int order = strcmp(m->nodes[mid].id, id);
        if (order == 0) return mid;
        if (order < 0) from = mid + 1;
        else to = mid;
    }
    return ORR_RING_NOBODY;
}

double orri_roster_weights(const struct orri_roster *m) {
    double sum = 0;
    for (uint32_t i = 0; i < m->n; i++) sum += m->nodes[i].weight;
    return sum;
}

bool orri_roster_fits(const struct orri_roster *m, const uint32_t *owners, uint32_t n, uint32_t node,
                       uint32_t level) {
    for (uint32_t i = 0; i < n; i++) {
        if (owners[i] == node) return false;
        if (level < m->levels && m->nodes[owners[i]].domains[level] == m->nodes[node].domains[level]) return false;
    }
    return true;
}

uint32_t orri_roster_zones(const struct orri_roster *m, const uint32_t *owners, uint32_t n) {
    uint32_t zones = 0;
    for (uint32_t i = 0; i < n; i++) zones += orri_roster_fits(m, owners, i, owners[i], 0);
    return zones;
}
