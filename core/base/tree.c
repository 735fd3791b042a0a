/* tree.c - the ordered map: a B+ tree whose leaves are linked.
 *
 * A node has up to FAN entries: in a leaf the items themselves, above it children with the least item of each. That
 * is written anew on the way back up from every change, so nothing ever points at an item that has gone. A
 * node is split in the middle when it is full, or at three quarters where keys come in order. One that falls below a
 * quarter is joined with a neighbour, or shares with it what both have; so only the root has fewer.
 *
 * A set takes the nodes that it may need before it changes anything, so that memory that runs out leaves the tree as it
 * was. Most of a search is cache misses on keys: the first eight bytes of each are kept in the node, after those that
 * all keys of the node begin with.                                                                                   */
#include "base/tree.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/hash.h"

enum { FAN = 32, LEAST = FAN / 4, HEIGHT_MAX = 24 };

struct orr_tree_node {
    unsigned count;
    bool leaf;
    uint32_t shared;                                    /* bytes that all keys begin with; 0 where tags differ */
    struct orr_tree_node *next;                         /* of leaves; of spare nodes, too */
    uint64_t heads[FAN];                                /* after those, eight bytes as a number; their order */
    struct orr_tree_item *items[FAN];                   /* of a child its least one */
    struct orr_tree_node *kids[];                       /* FAN, in inner nodes only */
};

static void *resize(const struct orr_tree *t, void *at, size_t old_size, size_t new_size) {
    return t->alloc.fn(t->alloc.ud, at, old_size, new_size);
}

/* -- Items --------------------------------------------------------------------------------------------------------- */
static size_t item_size(const struct orr_tree_item *item) {
    return sizeof *item + item->key_size + item->value_size;
}

static struct orr_tree_key key_of(const struct orr_tree_item *item) {
    return (struct orr_tree_key){ item->tag, item->bytes, item->key_size };
}

static struct orr_tree_item *new_item(const struct orr_tree *t, struct orr_tree_key key, const void *value,
                                      size_t value_size) {
    struct orr_tree_item *item = resize(t, NULL, 0, sizeof *item + key.size + value_size);
    if (!item) return NULL;
    item->tag = (unsigned char)key.tag;
    item->key_size = (uint32_t)key.size;
    item->value_size = (uint32_t)value_size;
    if (key.size) memcpy(item->bytes, key.at, key.size);
    if (value_size) memcpy(item->bytes + key.size, value, value_size);
    item->hash = orri_mix64(orri_hash64(item->bytes, key.size, key.tag),
                            orri_hash64(item->bytes + key.size, value_size, 0));
    return item;
}

static void count_in(struct orr_tree *t, const struct orr_tree_item *item) {
    t->sum += item->hash;
    t->bytes += (size_t)item->key_size + item->value_size;
    t->n++;
}

static void discard(struct orr_tree *t, struct orr_tree_item *item) {
    t->sum -= item->hash;
    t->bytes -= (size_t)item->key_size + item->value_size;
    t->n--;
    (void)resize(t, item, item_size(item), 0);
}

int orri_tree_order(const struct orr_tree_item *item, struct orr_tree_key key) {
    if (item->tag != key.tag) return item->tag < key.tag ? -1 : 1;
    size_t size = item->key_size < key.size ? item->key_size : key.size;
    int order = size ? memcmp(item->bytes, key.at, size) : 0;
    return order ? order : item->key_size < key.size ? -1 : item->key_size > key.size;
}

/* -- Nodes --------------------------------------------------------------------------------------------------------- */
static size_t node_size(bool leaf) {
    return sizeof(struct orr_tree_node) + (leaf ? 0 : FAN * sizeof(struct orr_tree_node *));
}

static void free_node(const struct orr_tree *t, struct orr_tree_node *node) {
    (void)resize(t, node, node_size(node->leaf), 0);
}

/* A spare one, of which there is one of each floor. */
static struct orr_tree_node *take_node(struct orr_tree *t, bool leaf) {
    struct orr_tree_node **at = &t->spare;
    while (*at && (*at)->leaf != leaf) at = &(*at)->next;
    struct orr_tree_node *node = *at;
    ORR_ASSERT(node != NULL);
    *at = node->next;
    node->next = NULL;
    node->count = 0;
    return node;
}

static bool make_spare(struct orr_tree *t, bool leaf, unsigned count) {
    for (const struct orr_tree_node *node = t->spare; node; node = node->next) count -= node->leaf == leaf && count > 0;
    for (; count > 0; count--) {
        struct orr_tree_node *node = resize(t, NULL, 0, node_size(leaf));
        if (!node) return false;
        *node = (struct orr_tree_node){ .leaf = leaf, .next = t->spare };
        t->spare = node;
    }
    return true;
}

static bool overflows(const struct orr_tree_node *node) { return node->count == FAN; }

/* Whether a set may split the root's whole path: one node for each floor that is full, and one for a new root. */
static bool prepare(struct orr_tree *t) {
    unsigned inner = 1;
    for (const struct orr_tree_node *node = t->root; node && !node->leaf; node = node->kids[0]) inner++;
    return make_spare(t, true, 1) && make_spare(t, false, inner);
}

static uint64_t head_of(const unsigned char *at, size_t size, size_t skip) {
    uint64_t head = 0;
    if (size >= skip + sizeof head) memcpy(&head, at + skip, sizeof head);
    else if (size > skip) memcpy(&head, at + skip, size - skip);
    return __builtin_bswap64(orri_le(head));
}

/* Its keys are in order, so what the first and the last begin with, all do. */
static uint32_t shared_of(const struct orr_tree_node *node) {
    const struct orr_tree_item *a = node->items[0], *b = node->items[node->count - 1];
    uint32_t n = 0, max = a->key_size < b->key_size ? a->key_size : b->key_size;
    if (a->tag != b->tag) return 0;
    while (n < max && a->bytes[n] == b->bytes[n]) n++;
    return node->count == 1 ? 0 : n;
}

/* After entries from..to have changed. */
static void refresh(struct orr_tree_node *node, unsigned from, unsigned to) {
    if (node->count == 0) return;
    uint32_t shared = shared_of(node);
    if (shared != node->shared) {
        node->shared = shared;
        from = 0;
        to = node->count;
    }
    for (unsigned i = from; i < to; i++) {
        node->heads[i] = head_of(node->items[i]->bytes, node->items[i]->key_size, shared);
    }
}

static void put_at(struct orr_tree_node *node, unsigned i, struct orr_tree_item *item, struct orr_tree_node *kid) {
    unsigned rest = node->count - i;
    memmove(node->items + i + 1, node->items + i, rest * sizeof *node->items);
    memmove(node->heads + i + 1, node->heads + i, rest * sizeof *node->heads);
    node->items[i] = item;
    if (!node->leaf) {
        memmove(node->kids + i + 1, node->kids + i, rest * sizeof *node->kids);
        node->kids[i] = kid;
    }
    node->count++;
    refresh(node, i, i + 1);
}

static void take_from(struct orr_tree_node *node, unsigned i) {
    unsigned rest = --node->count - i;
    memmove(node->items + i, node->items + i + 1, rest * sizeof *node->items);
    memmove(node->heads + i, node->heads + i + 1, rest * sizeof *node->heads);
    if (!node->leaf) memmove(node->kids + i, node->kids + i + 1, rest * sizeof *node->kids);
    refresh(node, 0, 0);
}

/* The child's least item may be another one now. */
static void follow(struct orr_tree_node *node, unsigned i) {
    if (node->items[i] == node->kids[i]->items[0]) return;
    node->items[i] = node->kids[i]->items[0];
    refresh(node, i, i + 1);
}

/* Moves the entries from `at` on to the end of `to`, which is empty or comes before. */
static void move_tail(struct orr_tree_node *from, unsigned at, struct orr_tree_node *to) {
    unsigned n = from->count - at;
    memcpy(to->items + to->count, from->items + at, n * sizeof *to->items);
    if (!to->leaf) memcpy(to->kids + to->count, from->kids + at, n * sizeof *to->kids);
    to->count += n;
    from->count = at;
}

/* -- Finding ------------------------------------------------------------------------------------------------------- */
/* How many of the node's keys come before the key; `or_at`: or are it. */
static unsigned position(const struct orr_tree_node *node, struct orr_tree_key key, bool or_at) {
    unsigned low = 0, high = node->count;
    const struct orr_tree_item *any = node->items[0];
    bool heads = key.tag == any->tag && key.tag == node->items[high - 1]->tag && key.size >= node->shared &&
                 (node->shared == 0 || memcmp(any->bytes, key.at, node->shared) == 0);
    uint64_t head = heads ? head_of(key.at, key.size, node->shared) : 0;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        bool before;
        if (heads && node->heads[middle] != head) {
            before = node->heads[middle] < head;
        } else {
            int order = orri_tree_order(node->items[middle], key);
            before = order < 0 || (or_at && order == 0);
        }
        if (before) low = middle + 1;
        else high = middle;
    }
    return low;
}

static unsigned kid_of(const struct orr_tree_node *node, struct orr_tree_key key) {
    unsigned i = position(node, key, true);
    return i > 0 ? i - 1 : 0;
}

const struct orr_tree_item *orri_tree_at(struct orr_tree_place *place) {
    if (place->leaf && place->index == place->leaf->count) {
        place->leaf = place->leaf->next;
        place->index = 0;
    }
    return place->leaf ? place->leaf->items[place->index] : NULL;
}

const struct orr_tree_item *orri_tree_seek(const struct orr_tree *t, struct orr_tree_key key, bool after,
                                           struct orr_tree_place *place) {
    *place = (struct orr_tree_place){ .leaf = t->root, .version = t->version };
    if (!t->root) return NULL;
    while (!place->leaf->leaf) place->leaf = place->leaf->kids[kid_of(place->leaf, key)];
    place->index = position(place->leaf, key, after);
    return orri_tree_at(place);
}

const struct orr_tree_item *orri_tree_first(const struct orr_tree *t, struct orr_tree_place *place) {
    *place = (struct orr_tree_place){ .leaf = t->root, .version = t->version };
    while (place->leaf && !place->leaf->leaf) place->leaf = place->leaf->kids[0];
    return orri_tree_at(place);
}

const struct orr_tree_item *orri_tree_next(struct orr_tree_place *place) {
    if (place->leaf) place->index++;
    return orri_tree_at(place);
}

const struct orr_tree_item *orri_tree_get(const struct orr_tree *t, struct orr_tree_key key) {
    struct orr_tree_place place;
    const struct orr_tree_item *item = orri_tree_seek(t, key, false, &place);
    return item && orri_tree_order(item, key) == 0 ? item : NULL;
}

/* -- Changing ------------------------------------------------------------------------------------------------------ */
/* The item's slot in the leaf, whose key the item has: in place, and in the nodes above whose least item it is. */
static void replace(struct orr_tree *t, struct orr_tree_item *item) {
    struct orr_tree_key key = key_of(item);
    struct orr_tree_item *old = NULL;
    struct orr_tree_node *node = t->root;
    while (node) {
        unsigned i = node->leaf ? position(node, key, false) : kid_of(node, key);
        if (orri_tree_order(node->items[i], key) == 0) {
            old = node->items[i];
            node->items[i] = item;
        }
        node = node->leaf ? NULL : node->kids[i];
    }
    ORR_ASSERT(old != NULL);
    discard(t, old);
    count_in(t, item);
}

/* The node is full: its tail becomes one of its own, to stand behind it. Keys that come in order leave fuller ones. */
static struct orr_tree_node *split(struct orr_tree *t, struct orr_tree_node *node, unsigned put) {
    struct orr_tree_node *right = take_node(t, node->leaf);
    move_tail(node, put == FAN - 1 ? FAN - LEAST : FAN / 2, right);
    right->next = node->next;
    if (node->leaf) node->next = right;
    refresh(node, 0, node->count);
    refresh(right, 0, right->count);
    return right;
}

/* Puts the item below the node; what must stand behind the node then, or NULL. */
static struct orr_tree_node *insert(struct orr_tree *t, struct orr_tree_node *node, struct orr_tree_item *item) {
    unsigned i;
    if (node->leaf) {
        i = position(node, key_of(item), false);
        put_at(node, i, item, NULL);
    } else {
        i = kid_of(node, key_of(item));
        struct orr_tree_node *beside = insert(t, node->kids[i], item);
        follow(node, i);
        if (!beside) return NULL;
        put_at(node, ++i, beside->items[0], beside);
    }
    return overflows(node) ? split(t, node, i) : NULL;
}

static void insert_first(struct orr_tree *t, struct orr_tree_item *item) {
    t->root = take_node(t, true);
    put_at(t->root, 0, item, NULL);
}

int orri_tree_set(struct orr_tree *t, struct orr_tree_key key, const void *value, size_t value_size) {
    if (key.size > UINT32_MAX || value_size > UINT32_MAX) return ORR_EINVALID;
    struct orr_tree_item *item = new_item(t, key, value, value_size);
    if (!item) return -ENOMEM;
    if (orri_tree_get(t, key)) {
        replace(t, item);
        return 0;
    }
    if (!prepare(t)) {
        (void)resize(t, item, item_size(item), 0);
        return -ENOMEM;
    }
    struct orr_tree_node *left = t->root, *right = NULL;
    if (left) right = insert(t, left, item);
    else insert_first(t, item);
    if (right) {
        t->root = take_node(t, false);
        put_at(t->root, 0, left->items[0], left);
        put_at(t->root, 1, right->items[0], right);
    }
    count_in(t, item);
    t->version++;
    return 0;
}

/* Moves the last n entries of the left one to the front of the right one. */
static void move_right(struct orr_tree_node *left, struct orr_tree_node *right, unsigned n) {
    memmove(right->items + n, right->items, right->count * sizeof *right->items);
    memcpy(right->items, left->items + left->count - n, n * sizeof *right->items);
    if (!right->leaf) {
        memmove(right->kids + n, right->kids, right->count * sizeof *right->kids);
        memcpy(right->kids, left->kids + left->count - n, n * sizeof *right->kids);
    }
    right->count += n;
    left->count -= n;
}

/* And the first n of the right one to the end of the left one. */
static void move_left(struct orr_tree_node *left, struct orr_tree_node *right, unsigned n) {
    unsigned rest = right->count - n;
    memcpy(left->items + left->count, right->items, n * sizeof *left->items);
    memmove(right->items, right->items + n, rest * sizeof *right->items);
    if (!left->leaf) {
        memcpy(left->kids + left->count, right->kids, n * sizeof *left->kids);
        memmove(right->kids, right->kids + n, rest * sizeof *right->kids);
    }
    left->count += n;
    right->count = rest;
}

/* Child i has few entries: it and a neighbour become one, or share evenly. */
static void even_out(struct orr_tree *t, struct orr_tree_node *node, unsigned i) {
    ORR_ASSERT(node->count > 1);
    if (i + 1 == node->count) i--;
    struct orr_tree_node *left = node->kids[i], *right = node->kids[i + 1];
    unsigned total = left->count + right->count, half = total / 2;
    if (total <= FAN / 4 * 3) {
        move_left(left, right, right->count);
        if (left->leaf) left->next = right->next;
        take_from(node, i + 1);
        free_node(t, right);
    } else {
        if (left->count > half) move_right(left, right, left->count - half);
        else move_left(left, right, half - left->count);
        refresh(right, 0, right->count);
        follow(node, i + 1);
    }
    refresh(left, 0, left->count);
    follow(node, i);
}

/* Takes the key's item from below the node, and gives it. It is there. */
static struct orr_tree_item *take(struct orr_tree *t, struct orr_tree_node *node, struct orr_tree_key key) {
    if (node->leaf) {
        unsigned at = position(node, key, false);
        struct orr_tree_item *item = node->items[at];
        take_from(node, at);
        return item;
    }
    unsigned i = kid_of(node, key);
    struct orr_tree_item *item = take(t, node->kids[i], key);
    follow(node, i);
    if (node->kids[i]->count < LEAST) even_out(t, node, i);
    return item;
}

bool orri_tree_remove(struct orr_tree *t, struct orr_tree_key key) {
    if (!orri_tree_get(t, key)) return false;
    struct orr_tree_item *item = take(t, t->root, key);
    struct orr_tree_node *root = t->root;
    if (root->count == (root->leaf ? 0 : 1)) {
        t->root = root->leaf ? NULL : root->kids[0];
        free_node(t, root);
    }
    discard(t, item);
    t->version++;
    return true;
}

/* -- The whole ----------------------------------------------------------------------------------------------------- */
void orri_tree_init(struct orr_tree *t, const struct orr_alloc *alloc) { *t = (struct orr_tree){ .alloc = *alloc }; }

static void clear_below(struct orr_tree *t, struct orr_tree_node *node) {
    for (unsigned i = 0; i < node->count; i++) {
        if (node->leaf) discard(t, node->items[i]);
        else clear_below(t, node->kids[i]);
    }
    free_node(t, node);
}

void orri_tree_clear(struct orr_tree *t) {
    if (t->root) clear_below(t, t->root);
    t->root = NULL;
    for (struct orr_tree_node *next; t->spare; t->spare = next) {
        next = t->spare->next;
        free_node(t, t->spare);
    }
    t->version++;
}

uint64_t orri_tree_digest(const struct orr_tree *t) { return orri_mix64(t->sum, t->n); }

/* Returns the height; *n counts the items. */
static unsigned check_node(const struct orr_tree_node *node, bool root, size_t *n) {
    unsigned height = 0;
    ORR_ASSERT(node->count > 0 && node->count < FAN);
    ORR_ASSERT(root || node->count >= LEAST);
    ORR_ASSERT(node->shared == shared_of(node));
    for (unsigned i = 0; i < node->count; i++) {
        const struct orr_tree_item *item = node->items[i];
        ORR_ASSERT(node->heads[i] == head_of(item->bytes, item->key_size, node->shared));
        ORR_ASSERT(i == 0 || orri_tree_order(node->items[i - 1], key_of(item)) < 0);
        if (node->leaf) continue;
        ORR_ASSERT(node->kids[i]->items[0] == item);
        unsigned below = check_node(node->kids[i], false, n);
        ORR_ASSERT(i == 0 || below == height);
        height = below;
    }
    *n += node->leaf ? node->count : 0;
    return height + 1;
}

void orri_tree_check(const struct orr_tree *t) {
    size_t n = 0, walked = 0;
    uint64_t sum = 0;
    struct orr_tree_place place;
    ORR_ASSERT(!t->root || check_node(t->root, true, &n) <= HEIGHT_MAX);
    const struct orr_tree_item *last = NULL, *item = orri_tree_first(t, &place);
    for (; item; last = item, item = orri_tree_next(&place), walked++) {
        ORR_ASSERT(!last || orri_tree_order(last, key_of(item)) < 0);
        sum += item->hash;
    }
    ORR_ASSERT(n == t->n && walked == t->n && sum == t->sum);
}
