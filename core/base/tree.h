/* tree.h - an ordered map from bytes to bytes.
 *
 * Keys are ordered by their tag (a small number), then bytewise, a prefix first. Keys and values are copied. A key that
 * is set or removed costs O(log n); so does finding a place, and the next item from a place is next to nothing. The
 * digest is that of the content alone, whatever the order in which it came, and is kept along. */
#ifndef ORRI_TREE_H
#define ORRI_TREE_H

#include <orrery/base.h>

struct orr_tree_key {
    unsigned tag;                   /* 0 to 255 */
    const void *at;
    size_t size;
};
struct orr_tree_item {
    uint64_t hash;                  /* of tag, key and value */
    uint32_t key_size, value_size;
    unsigned char tag;
    unsigned char bytes[];          /* the key, the value */
};
struct orr_tree_node;
struct orr_tree {
    struct orr_tree_node *root;     /* NULL: empty */
    struct orr_tree_node *spare;    /* for the splits of the next set */
    size_t n, bytes;                /* items; bytes of all keys and values */
    uint64_t sum;                   /* of the items' hashes */
    uint64_t version;               /* goes up when keys come or go: places of before are void */
    struct orr_alloc alloc;
};
/* Where an item is, while the tree's version holds. */
struct orr_tree_place {
    const struct orr_tree_node *leaf;
    unsigned index;
    uint64_t version;
};

static inline const unsigned char *orri_tree_value(const struct orr_tree_item *item) {
    return item->bytes + item->key_size;
}

void orri_tree_init(struct orr_tree *t, const struct orr_alloc *alloc);
void orri_tree_clear(struct orr_tree *t);
/* NULL: not there. An item is borrowed until its key is set or removed, or the tree cleared. */
const struct orr_tree_item *orri_tree_get(const struct orr_tree *t, struct orr_tree_key key);
/* Neither may lie in this tree. -ENOMEM; ORR_EINVALID: more than 2^32-1 bytes of either. */
int orri_tree_set(struct orr_tree *t, struct orr_tree_key key, const void *value, size_t value_size);
bool orri_tree_remove(struct orr_tree *t, struct orr_tree_key key);     /* false: was not there */

/* The first item; the first at key, or after it; NULL at the end. Each fills the place. */
const struct orr_tree_item *orri_tree_first(const struct orr_tree *t, struct orr_tree_place *place);
const struct orr_tree_item *orri_tree_seek(const struct orr_tree *t, struct orr_tree_key key, bool after,
                                           struct orr_tree_place *place);
/* The place's item, and the one after it. The place must be of this version. */
const struct orr_tree_item *orri_tree_at(struct orr_tree_place *place);
const struct orr_tree_item *orri_tree_next(struct orr_tree_place *place);
int orri_tree_order(const struct orr_tree_item *item, struct orr_tree_key key);     /* <0: the item comes first */

/* Equal for trees of equal content. */
uint64_t orri_tree_digest(const struct orr_tree *t);
void orri_tree_check(const struct orr_tree *t);         /* every invariant, by assertion */

#endif
