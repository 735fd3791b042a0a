/* value.c - one table of all values, by a hash of their kind and content. */
#include "check/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static const void *content(const struct orri_value *v, size_t *size) {
    switch (v->kind) {
    case ORRI_IS_STRING:
    case ORRI_IS_DECIMAL: return *size = v->n, v->text;
    case ORRI_IS_ARRAY:
    case ORRI_IS_OBJECT: return *size = v->n * sizeof *v->items, v->items;
    default: return *size = sizeof v->integer, &v->integer;
    }
}
static uint64_t hash_of(const struct orri_value *v) {
    size_t size;
    const void *at = content(v, &size);
    return orri_hash64(at, size, v->kind);
}
static bool same(const struct orri_value *a, const struct orri_value *b) {
    size_t n_a, n_b;
    const void *at_a = content(a, &n_a), *at_b = content(b, &n_b);
    return a->kind == b->kind && n_a == n_b && (n_a == 0 || memcmp(at_a, at_b, n_a) == 0);
}

static int index_grow(struct orri_values *values) {
    size_t cap = values->index_cap ? 2 * values->index_cap : 256;
    const struct orr_alloc *alloc = values->arena.alloc;
    uint32_t *index = alloc->fn(alloc->ud, NULL, 0, cap * sizeof *index);
    if (!index) return -ENOMEM;
    memset(index, 0, cap * sizeof *index);
    for (size_t id = 0; id < values->n; id++) {
        size_t at = values->hashes[id] & (cap - 1);
        while (index[at]) at = (at + 1) & (cap - 1);
        index[at] = (uint32_t)id + 1;
    }
    if (values->index) alloc->fn(alloc->ud, values->index, values->index_cap * sizeof *index, 0);
    values->index = index;
    values->index_cap = cap;
    return 0;
}

/* Copies what `v` borrows. */
static int keep(struct orri_values *values, struct orri_value *v) {
    bool text = v->kind == ORRI_IS_STRING || v->kind == ORRI_IS_DECIMAL;
    if (!text && v->kind != ORRI_IS_ARRAY && v->kind != ORRI_IS_OBJECT) return 0;
    size_t size;
    const void *from = content(v, &size);
    char *at = orri_take(&values->arena, size + 1, 1);
    if (!at) return -ENOMEM;
    if (size) memcpy(at, from, size);
    at[size] = '\0';
    if (text) v->text = at;
    else v->items = (const void *)at;
    return 0;
}

static int find_or_add(struct orri_values *values, struct orri_value v, orri_id *id) {
    uint64_t hash = hash_of(&v);
    if (2 * values->n >= values->index_cap && index_grow(values) < 0) return -ENOMEM;
    size_t at = hash & (values->index_cap - 1);
    for (; values->index[at]; at = (at + 1) & (values->index_cap - 1)) {
        orri_id other = values->index[at] - 1;
        if (values->hashes[other] == hash && same(&values->at[other], &v)) return *id = other, 0;
    }
    const struct orr_alloc *alloc = values->arena.alloc;
    if (orri_array_grow(alloc, (void **)&values->at, values->n, &values->cap, sizeof v) < 0) return -ENOMEM;
    if (orri_array_grow(alloc, (void **)&values->hashes, values->n, &values->hashes_cap, sizeof hash) < 0)
        return -ENOMEM;
    if (keep(values, &v) < 0) return -ENOMEM;
    values->hashes[values->n] = hash;
    values->at[values->n] = v;
    values->index[at] = (uint32_t)values->n + 1;
    *id = (orri_id)values->n++;
    return 0;
}

int orri_values_init(struct orri_values *values, const struct orr_alloc *alloc) {
    *values = (struct orri_values){ 0 };
    orri_arena_init(&values->arena, alloc);
    static const struct orri_value first[] = { { .kind = ORRI_IS_NULL },
                                               { .kind = ORRI_IS_BOOLEAN },
                                               { .kind = ORRI_IS_BOOLEAN, .integer = 1 } };
    for (size_t i = 0; i < 3; i++) {
        orri_id id;
        if (find_or_add(values, first[i], &id) < 0) return orri_values_clear(values), -ENOMEM;
    }
    return 0;
}

void orri_values_clear(struct orri_values *values) {
    const struct orr_alloc *alloc = values->arena.alloc;
    if (values->at) alloc->fn(alloc->ud, values->at, values->cap * sizeof *values->at, 0);
    if (values->hashes) alloc->fn(alloc->ud, values->hashes, values->hashes_cap * sizeof *values->hashes, 0);
    if (values->index) alloc->fn(alloc->ud, values->index, values->index_cap * sizeof *values->index, 0);
    orri_arena_clear(&values->arena);
    *values = (struct orri_values){ .arena = values->arena };
}

int orri_integer(struct orri_values *values, int64_t integer, orri_id *id) {
    return find_or_add(values, (struct orri_value){ .kind = ORRI_IS_INTEGER, .integer = integer }, id);
}
int orri_string(struct orri_values *values, const char *at, size_t size, orri_id *id) {
    return find_or_add(values, (struct orri_value){ .kind = ORRI_IS_STRING, .n = (uint32_t)size, .text = at }, id);
}
int orri_decimal(struct orri_values *values, const char *at, size_t size, orri_id *id) {
    return find_or_add(values, (struct orri_value){ .kind = ORRI_IS_DECIMAL, .n = (uint32_t)size, .text = at }, id);
}
int orri_array(struct orri_values *values, const orri_id *items, size_t n, orri_id *id) {
    return find_or_add(values, (struct orri_value){ .kind = ORRI_IS_ARRAY, .n = (uint32_t)n, .items = items }, id);
}

/* By name, as numbers: any order will do that is the same for the same names. */
static int by_name(const void *a, const void *b) {
    const orri_id *x = a, *y = b;
    if (x[0] != y[0]) return x[0] < y[0] ? -1 : 1;
    return x[1] < y[1] ? -1 : x[1] > y[1];
}

int orri_object(struct orri_values *values, orri_id *members, size_t n, orri_id *id) {
    if (n > 2) qsort(members, n / 2, 2 * sizeof *members, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < n; i += 2) {
        if (i + 2 < n && members[i + 2] == members[i]) continue;
        members[kept] = members[i];
        members[kept + 1] = members[i + 1];
        kept += 2;
    }
    struct orri_value v = { .kind = ORRI_IS_OBJECT, .n = (uint32_t)kept, .items = members };
    return find_or_add(values, v, id);
}

orri_id orri_member(const struct orri_values *values, orri_id object, orri_id name) {
    const struct orri_value *v = orri_at(values, object);
    if (v->kind != ORRI_IS_OBJECT) return ORRI_NULL;
    for (uint32_t i = 0; i < v->n; i += 2)
        if (v->items[i] == name) return v->items[i + 1];
    return ORRI_NULL;
}

/* -- As text ------------------------------------------------------------------------------------------------------- */
static void show_string(const struct orri_value *v, struct orri_text *out) {
    orri_text_add(out, "\"");
    for (uint32_t i = 0; i < v->n; i++) {
        unsigned char c = (unsigned char)v->text[i];
        if (c == '"' || c == '\\') orri_text_add(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f) orri_text_add(out, "\\u%04x", c);
        else orri_text_bytes(out, &c, 1);
    }
    orri_text_add(out, "\"");
}

/* Stops soon after `end` bytes of output: a value may be huge, and what is cut isn't written first. */
static void show(const struct orri_values *values, orri_id id, size_t end, struct orri_text *out) {
    const struct orri_value *v = orri_at(values, id);
    if (out->size > end || out->failed) return;
    switch (v->kind) {
    case ORRI_IS_NULL: orri_text_add(out, "null"); return;
    case ORRI_IS_BOOLEAN: orri_text_add(out, v->integer ? "true" : "false"); return;
    case ORRI_IS_INTEGER: orri_text_add(out, "%" PRId64, v->integer); return;
    case ORRI_IS_DECIMAL: orri_text_bytes(out, v->text, v->n); return;
    case ORRI_IS_STRING: show_string(v, out); return;
    default: break;
    }
    bool object = v->kind == ORRI_IS_OBJECT;
    orri_text_add(out, object ? "{" : "[");
    for (uint32_t i = 0; i < v->n && out->size <= end; i++) {
        if (i > 0) orri_text_add(out, object && i % 2 ? ":" : ",");
        show(values, v->items[i], end, out);
    }
    orri_text_add(out, object ? "}" : "]");
}

void orri_value_show(const struct orri_values *values, orri_id id, size_t most, struct orri_text *out) {
    size_t from = out->size, end = most < SIZE_MAX - from ? from + most : SIZE_MAX;
    show(values, id, end, out);
    if (out->failed || out->size <= end || most < 4) return;
    size_t cut = end - 3;
    while (cut > from && ((unsigned char)out->at[cut] & 0xc0) == 0x80) cut--;      /* not within a character */
    out->size = cut;
    orri_text_add(out, "...");
}
